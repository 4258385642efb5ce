# Many sessions write a FlowDB table and its heap twin in the same
# transactions, at random and at once: who wins, who waits and who fails may
# be a matter of luck, but it is the same for both, since a transaction that
# fails on one of them is undone in the other as well.  A reader finds them
# equal at any time.
#
#   FLOWDB_SEED=n      repeats what is tried, not how it mixes
#   FLOWDB_WRITES=n    transactions of each session (300)
#
# What may differ: under READ COMMITTED the two statements of a pair have
# snapshots of their own, and what happened in between shows in the counts.
# They are undone then ("skew").  So only single rows, which are locked, are
# written there; under REPEATABLE READ ranges are as well, and the only skew is
# that of DO NOTHING: the heap does not lock the row that it finds, and it may
# be gone when FlowDB looks ("1 and 0").  Nor does FlowDB above flowdb.row_locks,
# where it does not wait for who is deleting the row either, as the heap does
# then ("0 and 1"; specs/load-beside-delete).  Plain INSERT replaces without a
# lock and in the order of pushes, so the heap's row is locked first when a
# small buffer makes pushes early.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{FLOWDB_SEED} // (time() * 1000) % 1_000_000_000;
my $each = $ENV{FLOWDB_WRITES} // 300;
my $sessions = 6;

note("FLOWDB_SEED=$seed");
srand($seed);
my $node = new_node('main', <<'EOC');
fsync = off
max_connections = 30
deadlock_timeout = 10ms
lock_timeout = 60s
EOC

$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f_one (k text COLLATE "C", ts bigint, v bigint, fill text) SERVER flow
  OPTIONS (key_columns 'k', time_column 'ts', on_duplicate 'error');
CREATE TABLE h_one (k text COLLATE "C", ts bigint, v bigint, fill text, PRIMARY KEY (k, ts));
CREATE FOREIGN TABLE f_last (k text COLLATE "C", ts bigint, v bigint, fill text) SERVER flow
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h_last (k text COLLATE "C", ts bigint, v bigint, fill text, PRIMARY KEY (k, ts));
CREATE VIEW difference AS SELECT t, k, ts, v, length(fill), md5(fill) FROM (
  (SELECT 'f_one' t, * FROM (TABLE f_one EXCEPT ALL TABLE h_one) a) UNION ALL
  (SELECT 'h_one', * FROM (TABLE h_one EXCEPT ALL TABLE f_one) b) UNION ALL
  (SELECT 'f_last', * FROM (TABLE f_last EXCEPT ALL TABLE h_last) c) UNION ALL
  (SELECT 'h_last', * FROM (TABLE h_last EXCEPT ALL TABLE f_last) d)) x;
EOC
$node->safe_psql('postgres', twin_function());

# ---------------------------------------------------------------- statements

sub pick
{
    return $_[ int(rand(@_)) ];
}

# Where a row is, and where it may be moved to.
sub place
{
    return (pick('a', 'b', 'c'), 1 + int(rand(8)));
}

sub at
{
    my ($k, $ts) = @_;
    return "k = '$k' AND ts = $ts";
}

my $serial = 0;

# [FlowDB's, the heap's], with T for the table.
sub insert
{
    my ($table) = @_;
    my ($k, $ts) = place();
    my $into = "INSERT INTO T VALUES ('$k', $ts, " . ++$serial . ", repeat('x', " . pick(1, 10, 3000) . '))';
    return ("$into ON CONFLICT DO NOTHING") x 2 if rand() < ($table eq 'one' ? 0.8 : 0.2);
    return ($into) x 2 if $table eq 'one';
    return ($into, "$into ON CONFLICT (k, ts) DO UPDATE SET v = EXCLUDED.v, fill = EXCLUDED.fill");
}

# No two orders of such changes give one value.
sub update
{
    my ($where) = @_;
    return ("UPDATE T SET v = (v * 31 + " . ++$serial . ") % 1000003 WHERE $where") x 2;
}

# Where FlowDB's table replaces the heap's must be told to.
sub move
{
    my ($table) = @_;
    my @from = place();
    my @to = place();
    my $update = "UPDATE T SET k = '$to[0]', ts = $to[1], v = v + " . ++$serial . ' WHERE ' . at(@from);
    return ($update) x 2 if $table eq 'one' || at(@from) eq at(@to);
    return ($update, 'WITH s AS (SELECT FROM T WHERE ' . at(@from) . ' FOR UPDATE) DELETE FROM T WHERE '
          . at(@to) . " AND EXISTS (SELECT FROM s); $update");
}

sub some_rows
{
    my ($from) = 1 + int(rand(6));
    return "k = '" . pick('a', 'b', 'c') . "' AND ts BETWEEN $from AND " . ($from + 3);
}

sub statement
{
    my ($table, $level) = @_;
    my $dice = rand();
    my $where = $level =~ /REPEATABLE/ && rand() < 0.3 ? some_rows() : at(place());

    return insert($table) if $dice < 0.4;
    return update($where) if $dice < 0.65;
    return ("DELETE FROM T WHERE $where") x 2 if $dice < 0.75;
    return move($table) if $dice < 0.93;
    return ("SELECT FROM T WHERE $where FOR " . pick('UPDATE', 'SHARE')) x 2;
}

sub pair
{
    my ($level, $heap_first) = @_;
    my $table = pick('one', 'last');
    my ($f, $h) = statement($table, $level);

    $f =~ s/\bT\b/f_$table/g;
    $h =~ s/\bT\b/h_$table/g;
    return "SELECT twin(\$q\$$f\$q\$, \$q\$$h\$q\$, $heap_first);\n";
}

sub transaction
{
    my ($order) = @_;
    my $level = pick('READ COMMITTED', 'REPEATABLE READ');
    my $sql = "BEGIN ISOLATION LEVEL $level;\n";

    foreach (1 .. pick(1, 1, 2, 3, 5))
    {
        my $heap_first = $order // pick('true', 'false');
        my $pairs = join('', map { pair($level, $heap_first) } 1 .. pick(1, 1, 2));

        $sql .= rand() < 0.3
          ? "SAVEPOINT s;\n$pairs" . pick("ROLLBACK TO s;\n", "RELEASE s;\n")
          : $pairs;
    }
    return $sql . (rand() < 0.1 ? "ROLLBACK;\n" : "COMMIT;\n");
}

# What a session sets, and the order of its pairs; undef: any.
my @kinds = (
    ['', undef],
    ['SET flowdb.row_locks = 2;', undef],
    ['SET flowdb.transaction_buffer = 64;', 'true']);

sub session
{
    my ($n) = @_;
    my ($set, $order) = @{ $kinds[ $n % @kinds ] };
    my $sql = "$set\n" . join('', map { transaction($order) } 1 .. $each);

    # so much that the buffer is pushed early
    $sql =~ s/(\d+), repeat\('x', 3000\)/$1, repeat(md5('$1'), 2000)/g if $set =~ /buffer/;
    # half of them go on after an error, each statement a subtransaction
    return start_sql($node, $sql, '-v', 'ON_ERROR_STOP=0', '-v',
        'ON_ERROR_ROLLBACK=' . ($n % 2 ? 'on' : 'off'));
}

# -------------------------------------------------------------------- the test

my $differences = 'SELECT * FROM difference ORDER BY 1, 2, 3';
my @jobs = map { session($_) } 0 .. $sessions - 1;
my $keeper = start_sql($node, <<'EOC');
DO $$
BEGIN
  FOR i IN 1 .. 100000 LOOP
    EXIT WHEN (pg_stat_file('gate_done', true)).size IS NOT NULL;
    PERFORM flowdb_flush('flow');
    COMMIT;
    IF i % 5 = 0 THEN PERFORM flowdb_compact('flow'); COMMIT; PERFORM flowdb_gc('flow'); COMMIT; END IF;
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;
EOC
my ($looks, $wrong) = (0, '');
my $deadline = time() + 300;
while ((grep { sql_running($_) } @jobs) && time() < $deadline)
{
    my ($rc, $out, $err) = try_sql($node, $differences);
    $looks++;
    $wrong .= "$out$err\n" if $rc != 0 || $out ne '';
    last if $wrong ne '';
}
is($wrong, '', "the twins were equal at each of $looks looks (seed $seed)");

my %errors;
my @strange;
foreach my $n (0 .. $#jobs)
{
    my (undef, undef, $err) = end_sql($jobs[$n]);
    my $counts = $kinds[ $n % @kinds ][0] =~ /row_locks/ ? '(?:0 and 1|1 and 0)' : '1 and 0';
    foreach my $line (grep { /ERROR:/ } split(/\n/, $err))
    {
        my ($what) = $line =~ /ERROR:  (.*)/;
        my $kind =
            $what =~ /^skew at (read committed|repeatable read: $counts: INSERT.*NOTHING)/ ? 'skew'
          : $what =~ /^could not serialize/ ? 'could not serialize'
          : $what =~ /^deadlock detected/ ? 'deadlock'
          : $what =~ /^duplicate key/ ? 'duplicate'
          : $what =~ /^(current transaction is aborted|savepoint "s" does not exist)/ ? 'aborted'
          : 'other';
        $errors{$kind}++;
        push @strange, $line if $kind eq 'other';
    }
}
open_gate($node, 'done');
end_sql($keeper);
note("$errors{$_} $_") foreach sort keys %errors;
is(join("\n", @strange[ 0 .. ($#strange > 9 ? 9 : $#strange) ]), '', 'no error but those of conflicts');
is($node->safe_psql('postgres', $differences), '', 'the twins are equal at the end');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $differences), '', 'and after a crash');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM h_one'), '>', 0, 'there is something in them');
$node->stop;
done_testing();
