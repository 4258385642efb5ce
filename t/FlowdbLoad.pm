# FlowdbLoad: random transactions on FlowDB tables and their heap twins, and
# the judge who tells afterwards whether each is there whole or not at all.
#
# Transaction i of client k writes rows of key "ck-i" whose column n is i, and
# says "ack i" once its COMMIT was answered.  What must never be seen has the
# note 'never'.  The row ('hot', k) is upserted by client k alone, ('hot', 0)
# by all.  With ranges, transactions also delete ranges, write rows that expire
# and delete what an earlier one has written, while stores are compacted.
package FlowdbLoad;

use strict;
use warnings;

use FlowdbTest;
use PostgreSQL::Test::Utils;
use Test::More;

# new(NODE, CLIENTS, ranges => 1): a load for tables in server "flow".
sub new
{
    my ($class, $node, $clients, %params) = @_;
    return bless {
        ranges => $params{ranges},
        node => $node,
        clients => $clients,
        last => [ (0) x ($clients + 1) ],    # transactions made so far
        tables => 0,
    }, $class;
}

# From now on in twins of their own: an unlimited table makes slow checks.
sub new_table
{
    my ($self) = @_;

    $self->{table} = 'load' . ++$self->{tables};
    create_twins($self->{node}, $self->{table});
    $self->create_mortal if $self->{ranges};
    $self->{rows} = {};    # key -> rows; committed for certain
    $self->{hot} = {};     # client -> n of its hot row
    $self->{shared} = {};  # keys that may own the shared hot row
    return $self->{table};
}

# The same store as a table whose rows may expire.
sub create_mortal
{
    my ($self) = @_;

    $self->{node}->safe_psql('postgres', <<"EOC");
SELECT '$self->{table}'::regclass::oid AS store \\gset
CREATE FOREIGN TABLE $self->{table}_mortal (
    key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL,
    n bigint, note text,
    until timestamptz OPTIONS (role 'expire_at'))
    SERVER flow OPTIONS (store :'store');
EOC
    return;
}

# ---------------------------------------------------------------- transactions

my $replace = 'ON CONFLICT (key, ts) DO UPDATE '
  . 'SET n = EXCLUDED.n, note = EXCLUDED.note';

# INSERTs into both, in either order.
sub both
{
    my ($self, $source) = @_;
    my @sql = ("INSERT INTO $self->{table} $source;\n",
        "INSERT INTO $self->{table}_heap $source $replace;\n");

    return rand() < 0.5 ? @sql : reverse @sql;
}

sub rows
{
    my ($self, $key, $i, $from, $to, $note) = @_;

    return $self->both("SELECT '$key', g, $i, $note "
          . "FROM generate_series($from, $to) g")
      if $to - $from > 5;
    return $self->both('VALUES '
          . join(', ', map { "('$key', $_, $i, $note)" } $from .. $to));
}

# Whoever holds the lock on the heap's row hands over to FlowDB under it, so
# both see concurrent upserts in one order: the heap comes first.
sub upsert
{
    my ($self, $ts, $i, $note) = @_;
    my $values = "VALUES ('hot', $ts, $i, '$note')";

    return ("INSERT INTO $self->{table}_heap $values $replace;\n",
        "INSERT INTO $self->{table} $values;\n");
}

# A statement that fails after some rows.
sub failing
{
    my ($self, $key, $i) = @_;
    my $values =
      rand() < 0.5
      ? "VALUES ('$key', 90001, $i, 'never'), (NULL, 90002, $i, 'never')"
      : "SELECT '$key', 90000 + g, 1 / (3000 - g), 'never' "
      . 'FROM generate_series(1, 3000) g';
    return ("\\set ON_ERROR_STOP 0\n",
        "INSERT INTO $self->{table} $values;\n",
        "\\set ON_ERROR_STOP 1\n");
}

my $early = "SET LOCAL flowdb.transaction_buffer = '64kB';\n";
my $wide = "repeat(md5(g::text), 3)";

# Deletes the times [from, to) of a key from both; all of them without.
sub delete_range
{
    my ($self, $key, $from, $to) = @_;
    my $times = defined $from ? ", '$from', '$to'" : '';
    my $where = defined $from ? " AND ts >= $from AND ts < $to" : '';

    return ("SELECT flowdb_delete_range('$self->{table}', '$key', '$key!'$times);\n",
        "DELETE FROM $self->{table}_heap WHERE key = '$key'$where;\n");
}

# A row that expires, in FlowDB only: it is one that is never seen again.
sub mortal
{
    my ($self, $key, $ts, $i, $until) = @_;
    return "INSERT INTO $self->{table}_mortal VALUES ('$key', $ts, $i, 'never', "
      . "clock_timestamp() + interval '$until');\n";
}

# Each: (number of rows that are there after COMMIT, whose hot row, SQL...).
my %kinds = (
    small => sub {
        my ($self, $k, $i, $key) = @_;
        my $n = 1 + int(rand(5));
        return ($n, undef, $self->rows($key, $i, 1, $n, "'small'"));
    },
    multi => sub {
        my ($self, $k, $i, $key) = @_;
        my $n = 50 + int(rand(250));
        return ($n, undef, $self->rows($key, $i, 1, 40, "'a'"),
            $self->rows($key, $i, 41, $n, 'md5(g::text)'));
    },
    hot => sub {
        my ($self, $k, $i, $key) = @_;
        return (1, $k, $self->rows($key, $i, 1, 1, "'hot'"),
            $self->upsert($k, $i, 'never'),
            $self->upsert($k, $i, $key));
    },
    shared => sub {
        my ($self, $k, $i, $key) = @_;
        return (1, 0, $self->rows($key, $i, 1, 1, "'hot'"),
            $self->upsert(0, $i, $key));
    },
    big => sub {
        my ($self, $k, $i, $key) = @_;
        my $n = 15_000 + int(rand(10_000));
        return ($n, undef, $early, $self->rows($key, $i, 1, $n, $wide));
    },
    savepoint => sub {
        my ($self, $k, $i, $key) = @_;
        return (30, undef, $self->rows($key, $i, 1, 10, "'a'"),
            "SAVEPOINT a;\n",
            $self->rows($key, $i, 5, 15, "'never'"),
            $self->upsert($k, $i, 'never'),
            "SAVEPOINT b;\n",
            $self->rows($key, $i, 16, 18, "'never'"),
            "RELEASE b;\nROLLBACK TO a;\n",
            $self->rows($key, $i, 11, 20, "'b'"),
            "SAVEPOINT c;\n",
            $self->rows($key, $i, 21, 30, "'c'"),
            rand() < 0.5 ? "RELEASE c;\n" : '');
    },
    early_savepoint => sub {
        my ($self, $k, $i, $key) = @_;
        return (1200, undef, $early,
            $self->rows($key, $i, 1, 1000, $wide),
            "SAVEPOINT a;\n",
            $self->rows($key, $i, 1001, 2500, "'never'"),
            $self->both("SELECT '$key', 3000 + g, $i, 'never' "
                  . 'FROM generate_series(1, 1500) g'),
            $self->upsert($k, $i, 'never'),
            "ROLLBACK TO a;\n",
            $self->rows($key, $i, 1001, 1200, $wide));
    },
    rollback => sub {
        my ($self, $k, $i, $key) = @_;
        return (0, undef, $self->rows($key, $i, 1, 20, "'never'"),
            $self->upsert($k, $i, 'never'), 'ROLLBACK');
    },
    early_rollback => sub {
        my ($self, $k, $i, $key) = @_;
        return (0, undef, $early, $self->upsert($k, $i, 'never'),
            $self->rows($key, $i, 1, 5000, "repeat('never', 20)"),
            'ROLLBACK');
    },
    fail => sub {
        my ($self, $k, $i, $key) = @_;
        return (0, undef, $self->rows($key, $i, 1, 3, "'never'"),
            $self->upsert($k, $i, 'never'), $self->failing($key, $i),
            'ROLLBACK');
    },
    fail_savepoint => sub {
        my ($self, $k, $i, $key) = @_;
        return (6, undef, rand() < 0.3 ? $early : '',
            $self->rows($key, $i, 1, 3, "'a'"),
            "SAVEPOINT f;\n",
            $self->rows($key, $i, 4, 6, "'never'"),
            $self->failing($key, $i),
            "ROLLBACK TO f;\n",
            $self->rows($key, $i, 4, 6, "'b'"));
    },
);

# The lock for deleting a range comes first in its transaction: who asks for
# it after an INSERT may meet another who does the same.
my %range_kinds = (
    range => sub {
        my ($self, $k, $i, $key) = @_;
        return (8, undef, $self->delete_range($key),
            $self->rows($key, $i, 1, 20, "'never'"),
            $self->delete_range($key),
            $self->rows($key, $i, 1, 10, "'a'"),
            $self->delete_range($key, 8, 10),
            "SAVEPOINT a;\n",
            $self->delete_range($key),
            $self->rows($key, $i, 1, 3, "'never'"),
            "ROLLBACK TO a;\n");
    },
    range_rollback => sub {
        my ($self, $k, $i, $key) = @_;
        return (0, undef, rand() < 0.3 ? $early : '',
            $self->delete_range("c$k-" . ($i - 1)),
            $self->rows($key, $i, 1, rand() < 0.5 ? 5 : 2000, "'never'"),
            'ROLLBACK');
    },
    range_earlier => sub {
        my ($self, $k, $i, $key) = @_;
        $self->{deletes} = "c$k-" . ($i - 1);
        return (2, undef, $self->delete_range("c$k-" . ($i - 1)),
            $self->rows($key, $i, 1, 2, "'range'"));
    },
    range_early => sub {
        my ($self, $k, $i, $key) = @_;
        return (500, undef, $early, $self->delete_range($key),
            $self->rows($key, $i, 1, 2000, "repeat('never', 20)"),
            $self->delete_range($key, 501, 5000),
            $self->rows($key, $i, 1, 500, $wide));
    },
    mortal => sub {
        my ($self, $k, $i, $key) = @_;
        return (3, undef, $self->rows($key, $i, 1, 3, "'a'"),
            $self->mortal($key, 10, $i, '-1 s'),
            $self->mortal($key, 11, $i, '200 ms'),
            "INSERT INTO $self->{table} VALUES ('$key', 12, $i, 'never');\n",
            $self->mortal($key, 12, $i, rand() < 0.5 ? '-1 s' : '200 ms'));
    },
    long_lived => sub {
        my ($self, $k, $i, $key) = @_;
        my $source = "SELECT '$key', g, $i, 'long' FROM generate_series(1, 20) g";
        return (20, undef, $self->mortal($key, 1, $i, '100 ms'),
            "INSERT INTO $self->{table}_heap $source;\n",
            "INSERT INTO $self->{table}_mortal "
              . "SELECT s.*, now() + interval '1 day' FROM ($source) s;\n");
    },
);

my @range_weights = (
    [ mortal => 8 ], [ range_earlier => 6 ], [ range => 4 ], [ long_lived => 4 ],
    [ range_rollback => 2 ], [ range_early => 1 ],);

my @weights = (
    [ small => 40 ], [ multi => 12 ], [ hot => 12 ], [ shared => 8 ],
    [ savepoint => 8 ], [ rollback => 6 ], [ fail => 4 ],
    [ fail_savepoint => 5 ], [ early_savepoint => 2 ],
    [ early_rollback => 1 ], [ big => 1 ],);

sub random_kind
{
    my ($self) = @_;
    my $x = rand($self->{ranges} ? 124 : 99);

    foreach my $weight (@weights, @range_weights)
    {
        $x -= $weight->[1];
        return $kinds{ $weight->[0] } // $range_kinds{ $weight->[0] } if $x < 0;
    }
    return $kinds{small};
}

# Transaction i of client k, its SQL; what it should do is noted.
sub transaction
{
    my ($self, $k, $i) = @_;
    my $key = "c$k-$i";
    my ($rows, $hot, @sql) = $self->random_kind->($self, $k, $i, $key);
    my $end = $sql[-1] eq 'ROLLBACK' ? pop @sql : 'COMMIT';

    $self->{plan}[$k]{$i} =
      { rows => $rows, hot => $hot, deletes => delete $self->{deletes} };
    return join('', "BEGIN;\n", @sql, "$end;\n\\warn ack $i\n");
}

# ------------------------------------------------------------------ the clients

# Checkpoints, flushes and compactions, until the server or the clients are
# gone.
sub disturbance
{
    my ($self) = @_;
    my @calls = map { "SELECT flowdb_$_" }
      $self->{ranges}
      ? ("flush('flow')", "compact('flow')", "gc('flow')",
        "maintenance('flow', '20 ms')")
      : ("flush('flow')");
    my @sql = ("\\set ON_ERROR_STOP 0\n");

    foreach (1 .. 100)
    {
        push @sql,
          sprintf("SELECT pg_sleep(%.3f);\n", rand(0.25)),
          rand() < 0.4 ? "CHECKPOINT;\n" : $calls[ int(rand(@calls)) ] . ";\n";
    }
    return join('', @sql);
}

# start(N): N transactions a client, in the background.
sub start
{
    my ($self, $n) = @_;

    foreach my $k (1 .. $self->{clients})
    {
        my $first = $self->{last}[$k] + 1;
        my $last = $self->{last}[$k] = $first + $n - 1;

        $self->{plan}[$k] = {};
        my @sql = map { $self->transaction($k, $_) } $first .. $last;
        $self->{job}[$k] = start_sql($self->{node}, join('', @sql));
    }
    $self->{disturber} = start_sql($self->{node}, $self->disturbance);
    return;
}

# finish: waits until the clients have ended, by themselves or with the server.
# Returns what they complained about that is not the server's going away.
sub finish
{
    my ($self) = @_;
    my @complaints;

    foreach my $k (1 .. $self->{clients})
    {
        my ($rc, undef, $err) = end_sql($self->{job}[$k]);

        $self->{acks}[$k] = [ $err =~ /^ack (\d+)$/mg ];
        next if $rc == 0 || $rc == 2;
        my @lines = split /\n/, $err;
        push @complaints, "client $k ended with $rc: " . join("\n", @lines[ -5 .. -1 ])
          unless $err =~ /terminating connection|server closed the conn|lost/;
    }
    kill('TERM', $self->{disturber}{pid}) if sql_running($self->{disturber});
    end_sql($self->{disturber});
    return @complaints;
}

# -------------------------------------------------------------------- the judge

# How many of client k's transactions in this round are to be there.
# found: key -> rows in the table.  With sync, all that were acknowledged; at
# most one more.
sub last_there
{
    my ($self, $k, $sync, $found) = @_;
    my $plan = $self->{plan}[$k];
    my $first = $self->{last}[$k] - keys(%$plan) + 1;
    my $acked = $self->{acks}[$k][-1] // $first - 1;
    my $there = $first - 1;

    foreach my $i ($first .. ($acked < $self->{last}[$k] ? $acked + 1 : $acked))
    {
        $there = $i if $plan->{$i}{rows} > 0 && $found->{"c$k-$i"};
    }
    return ($acked, $sync && $there < $acked ? $acked : $there);
}

sub note_committed
{
    my ($self, $k, $there) = @_;

    foreach my $i (sort { $a <=> $b } keys %{ $self->{plan}[$k] })
    {
        my $plan = $self->{plan}[$k]{$i};

        next if $i > $there || $plan->{rows} == 0;
        $self->{rows}{"c$k-$i"} = $plan->{rows};
        delete $self->{rows}{ $plan->{deletes} } if defined $plan->{deletes};
        next unless defined $plan->{hot};
        $self->{hot}{$k} = $i if $plan->{hot} == $k;
        $self->{shared}{"c$k-$i"} = 1 if $plan->{hot} == 0;
    }
    return;
}

# judge(sync => 1): what is wrong with the table, in words; nothing is right.
# Call it after finish, with the server up; again after more recoveries.
sub judge
{
    my ($self, %params) = @_;
    my (%found, %hot, @wrong);
    my ($rc, $out, $err) = try_sql($self->{node}, <<"EOC");
SELECT key, count(*), min(n), max(n), count(*) FILTER (WHERE note LIKE 'never%')
FROM $self->{table} WHERE key <> 'hot' GROUP BY key;
SELECT 'hot', ts, n, note FROM $self->{table} WHERE key = 'hot' ORDER BY ts;
EOC
    return ("the table cannot be read: $err") if $rc != 0;

    foreach my $row (split /\n/, $out)
    {
        my ($key, @row) = split /\|/, $row;
        if ($key eq 'hot')
        {
            $hot{ $row[0] } = { n => $row[1], note => $row[2] };
            next;
        }
        my ($i) = $key =~ /-(\d+)$/;
        $found{$key} = $row[0];
        push @wrong, "$key has rows of others" if $row[1] != $i || $row[2] != $i;
        push @wrong, "$key has $row[3] rows that never were" if $row[3] != 0;
    }
    foreach my $k (1 .. $self->{clients})
    {
        next unless $self->{plan}[$k];
        my ($acked, $there) = $self->last_there($k, $params{sync}, \%found);
        $self->note_committed($k, $there);
        $self->{plan}[$k] = undef;
        note("client $k: $acked acknowledged, $there there");
    }
    push @wrong, $self->compare(\%found, \%hot);
    return @wrong > 10 ? (@wrong[ 0 .. 9 ], @wrong . ' in all') : @wrong;
}

sub compare
{
    my ($self, $found, $hot) = @_;
    my @wrong;

    foreach my $key (sort keys %{ { %{ $self->{rows} }, %$found } })
    {
        my ($is, $should) = ($found->{$key} // 0, $self->{rows}{$key} // 0);
        push @wrong, "$key has $is rows, not $should" if $is != $should;
    }
    foreach my $k (1 .. $self->{clients})
    {
        my ($is, $should) = ($hot->{$k}{n} // 'none', $self->{hot}{$k} // 'none');
        push @wrong, "hot row of client $k is $is, not $should" if $is ne $should;
    }
    my $owner = $hot->{0}{note};
    push @wrong, 'shared hot row is of ' . ($owner // 'nobody')
      if defined $owner ? !$self->{shared}{$owner} : %{ $self->{shared} };
    return @wrong;
}

# How many transactions are in the table for certain.
sub committed
{
    my ($self) = @_;
    return scalar keys %{ $self->{rows} };
}

1;
