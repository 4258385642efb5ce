# FlowdbTortureChanges: single changes of FlowDB tables and their heap twins,
# with all that a statement can do. A mixin of FlowdbTortureLoad.
#
# Each takes the table, and what is fixed for the transaction: the client's own
# key, whether the heap must go first, whether rows are wide.
package FlowdbTortureChanges;

use strict;
use warnings;

use FlowdbTortureSchema;
use PostgreSQL::Test::Utils;

# A call of twin(): one statement for both, with T for the table.
sub both
{
    my ($t, $x, $f, $h) = @_;
    my $first = $x->{heap_first} // pick('true', 'false');

    $h //= $f;
    $f =~ s/\bT\b/$t->{name}/g;
    $h =~ s/\bT\b/h_$t->{name}/g;
    return "SELECT twin(\$q\$$f\$q\$, \$q\$$h\$q\$, $first);\n";
}

# Of a row in a table with expiry: some are gone when they are checked, some
# from the beginning.
sub expiry
{
    my ($t) = @_;

    return '' unless $t->{until};
    return ", 'infinity'::timestamptz" if rand() < 0.1;
    my $in = pick('-1 s', '50 ms', '300 ms', '1 s', '1 day', '1 day', '1 day', '100 days');
    return ", now() + interval '$in'";
}

# The heap has no expiry: its condition for rows that are still there.
sub alive
{
    my ($t) = @_;
    return $t->{until} ? ' AND until > statement_timestamp()' : '';
}

sub conflict
{
    my ($t) = @_;

    return ' ON CONFLICT DO NOTHING' if $t->{dup} ne 'replace';
    return ' ON CONFLICT (k, ts) DO UPDATE SET v = EXCLUDED.v, fill = EXCLUDED.fill'
      . ($t->{until} ? ', until = EXCLUDED.until' : '');
}

# Rows of a client's own key, or one of those that all write.
sub insert_rows
{
    my ($self, $t, $x) = @_;
    my $v = $self->serial;
    my $expiry = expiry($t);
    my $source;

    if (rand() < 0.4)
    {
        my $ts = 1 + int(rand(20));
        $source = "VALUES ('hot', $ts, $v, repeat('x', " . pick(1, 10, 2000) . ")$expiry)";
    }
    else
    {
        my $from = 1 + int(rand(3000));
        my $n = pick(1, 5, 30, 300);
        my $fill = $x->{wide} ? 'repeat(md5(g::text), 20)' : 'md5(g::text)';
        $source = "SELECT '$x->{key}', g, $v + g, $fill$expiry FROM generate_series($from, "
          . ($from + $n) . ') g';
    }
    # a row that has expired is one that is there, for the heap
    my $nothing = $t->{dup} eq 'error' ? rand() < 0.8 : !$t->{until} && rand() < 0.2;
    my $insert = "INSERT INTO T $source";
    return both($t, $x, "$insert ON CONFLICT DO NOTHING") if $nothing;
    return both($t, $x, $insert) if $t->{dup} eq 'error';
    return both($t, $x, $insert, $insert . conflict($t));
}

# COPY of rows that are not there yet, by the server from a file.
sub copy_rows
{
    my ($self, $t, $x) = @_;
    my $serial = $self->serial;
    my $n = pick(1, 20, 500);
    my $file = "$self->{dir}/copy$serial.csv";
    my $until = $t->{until} ? pick(',2020-01-01', ',2100-01-01', ',infinity') : '';
    my $columns = 'k, ts, v, fill' . ($t->{until} ? ', until' : '');
    my @tables = ($t->{name}, "h_$t->{name}");

    PostgreSQL::Test::Utils::append_to_file($file,
        join('', map { "$x->{key}," . (100_000 + 1000 * $serial + $_) . ",$_,copy$until\n" } 1 .. $n));
    @tables = reverse @tables if $x->{heap_first} || rand() < 0.5;
    return join('', map { "COPY $_ ($columns) FROM '$file' (FORMAT csv);\n" } @tables);
}

# Where rows are that nobody else changes meanwhile, except by lock.
sub some_rows
{
    my ($x) = @_;

    return "k = 'hot' AND ts = " . (1 + int(rand(20))) if rand() < 0.4;
    my $from = 1 + int(rand(3000));
    return "k = '$x->{key}' AND ts BETWEEN $from AND " . ($from + pick(0, 10, 200));
}

sub update_rows
{
    my ($self, $t, $x) = @_;
    my $update = 'UPDATE T SET v = (v * 31 + ' . $self->serial . ') % 1000003 WHERE ' . some_rows($x);

    return both($t, $x, $update, $update . alive($t));
}

# To where nothing is yet.
sub move_rows
{
    my ($self, $t, $x) = @_;
    my $from = 1 + int(rand(3000));
    my $update = 'UPDATE T SET ts = ts + ' . 100_000_000 * $self->serial
      . ", fill = 'moved' WHERE k = '$x->{key}' AND ts BETWEEN $from AND " . ($from + 20);

    return both($t, $x, $update, $update . alive($t));
}

sub delete_rows
{
    my ($self, $t, $x) = @_;
    my $delete = 'DELETE FROM T WHERE ' . some_rows($x);

    return both($t, $x, $delete, $delete . alive($t));
}

sub lock_rows
{
    my ($self, $t, $x) = @_;
    my $select = 'SELECT FROM T WHERE ' . some_rows($x);
    my $for = pick(' FOR UPDATE', ' FOR SHARE');

    return both($t, $x, "$select$for", $select . alive($t) . $for);
}

# Its lock on the store is best asked for before others are held. FlowDB goes
# first: then nobody else is writing, and what the heap deletes is the same.
sub delete_range
{
    my ($self, $t, $x) = @_;
    my $key = pick($x->{key}, $x->{key}, 'hot', 'c' . (1 + int(rand($self->{clients}))));
    my ($times, $where) = ('', '');

    if (rand() < 0.6)
    {
        my $from = 1 + int(rand(3000));
        my $to = pick($from + 1, $from + 500, '9223372036854775807');
        ($times, $where) = (", '$from', '$to'", " AND ts >= $from AND ts < $to");
    }
    return "SELECT flowdb_delete_range('$t->{name}', '$key', '$key!'$times);\n"
      . "DELETE FROM h_$t->{name} WHERE k = '$key'$where;\n";
}

# DELETE leaves old snapshots what they saw, as TRUNCATE of a FlowDB table does.
sub truncate_table
{
    my ($self, $t, $x) = @_;
    return "TRUNCATE $t->{name};\nDELETE FROM h_$t->{name};\n";
}

1;
