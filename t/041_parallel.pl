# Scans that parallel workers share, beside writers, flushes and merges; when
# the session or a worker is ended; on a standby.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_node('parallel', <<'EOC');
max_connections = 20
max_worker_processes = 16
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
max_parallel_workers_per_gather = 3
flowdb.enable_aggregate_pushdown = off
EOC
my ($rc, $out, $err);

$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (key text COLLATE "C", ts bigint, n bigint) SERVER flow
  OPTIONS (key_columns 'key', time_column 'ts');
INSERT INTO t SELECT 'k' || i % 50, i, 100 FROM generate_series(1, 20000) i;
SELECT flowdb_flush('flow');
INSERT INTO t SELECT 'k' || i % 50, i, 100 FROM generate_series(20001, 40000) i;
-- what is taken from one row goes to another, in one transaction
CREATE PROCEDURE move_around(seed int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 1000000 LOOP
    UPDATE t SET n = n - i WHERE key = 'k' || (i * seed) % 50 AND ts BETWEEN 1 AND 2000;
    UPDATE t SET n = n + i WHERE key = 'k' || (i * seed) % 50 AND ts BETWEEN 38001 AND 40000;
    IF i % 5 = 0 THEN
      DELETE FROM t WHERE key = 'k7' AND ts = 7;
      INSERT INTO t VALUES ('k7', 7, 0);
      ROLLBACK;
    END IF;
    COMMIT;
  END LOOP;
END $$;
EOC
my $sum = 'SELECT count(*), sum(n) FROM t WHERE n > -1000000000';
like($node->safe_psql('postgres', "EXPLAIN $sum"), qr/Parallel Foreign Scan/, 'workers share the scan');
# the same in the engine: from rows, by groups, and from metadata where it tells
my $engine = "SET flowdb.enable_aggregate_pushdown = on;\n";
my $groups = 'SELECT sum(c), sum(s) FROM (SELECT key, count(*) AS c, sum(n) AS s FROM t GROUP BY key) g';
my $by_time = "SELECT sum(c), sum(s) FROM (SELECT flowdb_time_bucket('1 ms', ts) AS b, count(*) AS c, sum(n) AS s FROM t GROUP BY b) g";
my $count = 'SELECT count(*), count(ts) * 100 FROM t';
like($node->safe_psql('postgres', "$engine EXPLAIN $_"), qr/PARTIAL count/, 'workers aggregate in the engine')
  foreach $sum, $groups, $by_time;

# -------------------------------------------------------------- beside writers

my @jobs = map { start_sql($node, "CALL move_around($_);") } (3, 7);
push @jobs, start_sql($node, "SELECT flowdb_flush('flow'), pg_sleep(0.05);" x 400);
my $differ = 0;
my $end = time() + slower(6);

while (time() < $end)
{
    $out = $node->safe_psql('postgres', $sum);
    $differ++ if $out ne '40000|4000000';
    $out = $node->safe_psql('postgres', <<"EOC");
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO t SELECT 'own', i, i FROM generate_series(1, 10) i;
SELECT md5(string_agg(t::text, ',' ORDER BY key, ts)) FROM t;
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT md5(string_agg(t::text, ',' ORDER BY key, ts)) FROM t;
SELECT count(*), sum(n) FROM t;
ROLLBACK;
EOC
    my ($with, $alone, $all) = split /\n/, $out;
    $differ++ if $with ne $alone || $all ne '40010|4000055';
    $out = $node->safe_psql('postgres', "$engine $sum; $groups; $by_time; $count");
    $differ++ if $out ne join("\n", ('40000|4000000') x 4);
}
is($differ, 0, 'all participants read by one snapshot');
foreach my $job (@jobs)
{
    ok(sql_running($job) || $job->{rc} == 0, 'and writers write') or diag((end_sql($job))[2]);
}
$node->safe_psql('postgres', <<'EOC');
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
EOC
end_sql($_) foreach @jobs;
is($node->safe_psql('postgres', $sum), '40000|4000000', 'the same after them');

# ---------------------------------------------------------------------- endings

my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'";
# a long one: for each row some thousand steps
my $long = 'SELECT count(*) FROM t WHERE n > (SELECT 0) AND '
  . "length(repeat(key, 100 + (ts % 2)::int)) <> length(replace(repeat(key, 20000), 'k', 'kk'))";

foreach my $end ('pg_cancel_backend', 'pg_terminate_backend', 'a worker')
{
    my $job = start_sql($node, $long, '-v', 'VERBOSITY=verbose');
    my ($start, $took);

    ok(wait_for_sql($node, $workers =~ s/count\(\*\)/count(*) > 0/r), "$end: workers are at work");
    $start = time();
    if ($end eq 'a worker')
    {
        $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
              . "WHERE backend_type = 'parallel worker' LIMIT 1");
    }
    else
    {
        $node->safe_psql('postgres', "SELECT $end(pid) FROM pg_stat_activity "
              . "WHERE backend_type = 'client backend' AND query LIKE '%replace(%' AND pid <> pg_backend_pid()");
    }
    ($rc, $out, $err) = end_sql($job);
    $took = time() - $start;
    isnt($rc, 0, "$end: the query ends");
    like($err, $end eq 'pg_cancel_backend' ? qr/57014: / : qr/57P01: /, "$end: with its error");
    cmp_ok($took, '<', slower(5), "$end: soon");
    ok(wait_for_sql($node, $workers, '0'), "$end: no worker stays");
    is($node->safe_psql('postgres', $sum), '40000|4000000', "$end: the next one is right");
}

# ---------------------------------------------------------------------- standby

my $standby = new_standby($node, 'parallel_standby');
$node->safe_psql('postgres', "INSERT INTO t VALUES ('new', 1, 0)");
catch_up($node, $standby);
is($standby->safe_psql('postgres', $sum), '40001|4000000', 'workers of a standby');
is($standby->safe_psql('postgres', "$engine $sum"), '40001|4000000', 'and aggregates in them');
like($standby->safe_psql('postgres', "EXPLAIN (ANALYZE, COSTS OFF) $sum"),
    qr/Parallel Foreign Scan/, 'which share the scan');

no_crash($_, 'parallel scans') foreach $node, $standby;
$standby->stop;
$node->stop;
done_testing();
