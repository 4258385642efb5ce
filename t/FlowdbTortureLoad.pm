# FlowdbTortureLoad: random transactions of several clients on FlowDB tables
# and their heap twins, and all else that goes on in a server meanwhile.
#
# Transaction i of client c ends with a row (c, i) in the heap table xlog and in
# FlowDB's acks, and says "ack i" when its COMMIT has been answered. Any
# statement may fail for what others do; then the transaction is no more.
package FlowdbTortureLoad;

use strict;
use warnings;

use FlowdbTest;
use FlowdbTortureDdl;
use FlowdbTortureSchema;
use PostgreSQL::Test::Utils;

use parent -norequire, 'FlowdbTortureChanges';
use FlowdbTortureChanges;

# new(CLIENTS): nothing runs yet.
sub new
{
    my ($class, $clients) = @_;

    return bless {
        clients => $clients, serial => 0, i => 0, job => {}, acked => {}, given => {},
        ddl => FlowdbTortureDdl->new, dir => PostgreSQL::Test::Utils::tempdir(),
        kinds => {}, errors => {}
    }, $class;
}

# What is written, different each time.
sub serial
{
    my ($self) = @_;
    return ++$self->{serial};
}

# ---------------------------------------------------------------- transactions

my @changes = (
    [ insert_rows => 40 ], [ update_rows => 22 ], [ delete_rows => 10 ],
    [ copy_rows => 8 ], [ move_rows => 6 ], [ lock_rows => 6 ]);

# Tables of the DDL client come and go: a statement on them may find nothing.
sub table
{
    my ($self) = @_;

    return pick(twin_tables()) if rand() < 0.95;
    return pick($self->{ddl}->tables);
}

sub change
{
    my ($self, $x) = @_;
    my $dice = rand(92);
    my ($kind) = grep { ($dice -= $_->[1]) < 0 } @changes;
    my $name = $kind->[0];

    $self->{kinds}{$name}++;
    return $self->$name($self->table, $x);
}

# What fails in a subtransaction.
sub failing
{
    my ($self, $x) = @_;
    my $name = $self->table->{name};

    return pick("INSERT INTO $name (k, ts) VALUES ('$x->{key}', 7), (NULL, 8);\n",
        "INSERT INTO $name (k, ts, v) SELECT '$x->{key}', g, 1 / (50 - g) FROM generate_series(1, 99) g;\n",
        "SELECT 1 / 0;\n");
}

# With a savepoint: kept, given back, or given back after an error.
sub part
{
    my ($self, $x) = @_;
    my $dice = rand();
    my $sql = join('', map { $self->change($x) } 1 .. pick(1, 1, 2, 3));

    return $sql if $dice < 0.6;
    return "SAVEPOINT s;\n${sql}RELEASE s;\n" if $dice < 0.75;
    return "SAVEPOINT s;\n${sql}ROLLBACK TO s;\n" if $dice < 0.9;
    return "SAVEPOINT s;\n$sql" . $self->failing($x) . "ROLLBACK TO s;\nRELEASE s;\n";
}

# What locks a store is the first in its transaction.
sub first_part
{
    my ($self, $x) = @_;
    my $dice = rand();
    my $name = $dice < 0.05 ? 'delete_range' : $dice < 0.055 ? 'truncate_table' : return '';

    $self->{kinds}{$name}++;
    return $self->$name(pick(twin_tables()), $x);
}

# Transaction i of client c, and how it is to end: 'commit' with an ack,
# 'maybe' without one, 'rollback'.
sub transaction
{
    my ($self, $c, $i) = @_;
    my $x = { key => "c$c" };
    my $end = rand() < 0.1 ? 'rollback' : rand() < 0.1 ? 'maybe' : 'commit';
    my $set = $end eq 'maybe' ? "SET LOCAL synchronous_commit = off;\n" : '';

    # what is pushed before the commit is in the order of pushes, not commits
    if (rand() < 0.15)
    {
        $x = { %$x, heap_first => 'true', wide => rand() < 0.5 };
        $set .= "SET LOCAL flowdb.transaction_buffer = '64kB';\n";
    }
    my $sql = $self->first_part($x);
    my $level = $sql eq '' && rand() < 0.3 ? ' ISOLATION LEVEL REPEATABLE READ' : '';
    $sql .= $self->part($x) foreach 1 .. pick(1, 1, 2, 3);
    $self->{given}{$c}{$i} = $end;
    return "\\set alive 0\nBEGIN$level;\n$set$sql"
      . "INSERT INTO acks VALUES ($c, $i);\n"
      . "INSERT INTO xlog VALUES ($c, $i) RETURNING 1 AS alive \\gset\n"
      . ($end eq 'rollback' ? "ROLLBACK;\n" : "COMMIT;\n")
      . ($end eq 'commit' ? "\\if :ERROR\n\\elif :alive\n\\warn ack $i\n\\endif\n" : '');
}

# ------------------------------------------------------------------ the clients

sub disturbance
{
    my ($self) = @_;
    my $sql = '';

    foreach (1 .. 200)
    {
        my $server = pick(server_names());
        $sql .= sprintf("SELECT pg_sleep(%.3f);\n", rand(0.15))
          . pick('CHECKPOINT', "SELECT flowdb_flush('$server')", "SELECT flowdb_compact('$server')",
            "SELECT flowdb_gc('$server')", "SELECT flowdb_maintenance('$server', '30 ms')",
            'SELECT pg_switch_wal()', 'SELECT count(*) IS NULL FROM flowdb_sstables') . ";\n";
    }
    return $sql;
}

# One statement has one snapshot: what it sees of twins is the same at any time.
sub reader
{
    my $names = join(', ', map { "'$_->{name}'" } twin_tables());
    return "SELECT d FROM unnest(ARRAY[$names]) t, differ(t) d;\nDO 'BEGIN PERFORM pg_sleep(0.1); END';\n" x 300;
}

# start(PRIMARY, STANDBY, N): N transactions a client, in the background.
sub start
{
    my ($self, $primary, $standby, $n) = @_;
    my @goes_on = ('-v', 'ON_ERROR_STOP=0', '-v', 'VERBOSITY=verbose', '-o', '/dev/null');
    my @reader = @goes_on[ 0 .. 3 ];

    $self->{first} = $self->{i} + 1;
    $self->{i} += $n;
    $self->{given} = {};
    $self->{acked} = {};
    foreach my $c (1 .. $self->{clients})
    {
        my $sql = join('', map { $self->transaction($c, $_) } $self->{first} .. $self->{i});
        $self->{job}{$c} = start_sql($primary, $sql, @goes_on);
    }
    $self->{job}{ddl} = start_sql($primary, $self->{ddl}->script(60), @goes_on);
    $self->{job}{disturber} = start_sql($primary, $self->disturbance, @goes_on);
    $self->{job}{reader} = start_sql($primary, reader(), @reader);
    $self->{job}{standby} = start_sql($standby, reader(), @reader) if $standby;
    return;
}

# ------------------------------------------------------------------ afterwards

# Errors that other clients, the server's end or its start bring about.
my %expected = map { $_ => 1 } (
    '40001', '40P01', '23505', '23502', '22012', 'SK001', '25P02', '3B001',
    '42P01', '42703', '42704', '42710', '42P07', '42701', '3D000', '42P04',
    '57P01', '57P02', '57P03', '55006');

# finish: waits until all have ended, with the server or by force. Returns what
# they complained about that no crash and no other client explains.
sub finish
{
    my ($self) = @_;
    my @complaints;

    kill('TERM', map { $_->{pid} } grep { sql_running($_) } values %{ $self->{job} });
    foreach my $name (sort keys %{ $self->{job} })
    {
        my (undef, $out, $err) = end_sql($self->{job}{$name});

        $self->{acked}{$name} = { map { $_ => 1 } $err =~ /^ack (\d+)$/mg } if $name =~ /^\d/;
        push @complaints, map { "$name saw: $_" } grep { /\S/ } split /\n/, $out
          if $name =~ /reader|standby/;
        push @complaints, map { "$name: $_" } $self->strange($err);
    }
    $self->{job} = {};
    return @complaints > 20 ? (@complaints[ 0 .. 19 ], @complaints . ' in all') : @complaints;
}

sub strange
{
    my ($self, $err) = @_;
    my @strange;

    foreach my $line (split /\n/, $err)
    {
        my ($state, $text) = $line =~ /(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/ or next;
        $self->{errors}{$state}++;
        push @strange, "$state $text" unless $expected{$state};
    }
    return @strange;
}

1;
