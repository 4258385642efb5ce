# Many clients change the same rows at once: every increment counts, every
# job is done once, every key is taken once, and no sum changes on the way.
#
# PG_TEST_FLOWDB_INCREMENTS (500) is what each of the 8 clients adds.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 8;
my $each = $ENV{PG_TEST_FLOWDB_INCREMENTS} // 500;
my $total = $clients * $each;

my $node = new_node('main', "fsync = off\nmax_connections = 30\n");
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE c (k text COLLATE "C", ts bigint, v bigint) SERVER flow
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE q (k text COLLATE "C", ts bigint, v bigint) SERVER flow
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE done (ts bigint);
CREATE TABLE taken (ts bigint, client int);
INSERT INTO c VALUES ('one', 1, 0);
INSERT INTO c SELECT 'some', i, 0 FROM generate_series(1, 10) i;
INSERT INTO c SELECT 'bank', i, 1000 FROM generate_series(1, 5) i;
EOC

# bench(NAME, TRANSACTIONS, SCRIPT, OPTIONS...): all clients run it.
sub bench
{
    my ($name, $transactions, $script, @options) = @_;

    $node->pgbench(
        "-n -c $clients -j 2 -t $transactions @options",
        0, [qr{processed: \Q@{[$clients * $transactions]}\E/}], [qr{^(?!.*aborted)}s],
        $name, { "bench_$name" => $script });
}

sub value
{
    return $node->safe_psql('postgres', $_[0]);
}

bench('one_row', $each, "UPDATE c SET v = v + 1 WHERE k = 'one' AND ts = 1;\n");
is(value("SELECT v FROM c WHERE k = 'one'"), $total, "$total increments of one row");

# Flushes and merges go on meanwhile.
my $flusher = start_sql($node, <<'EOC');
DO $$ BEGIN FOR i IN 1..60 LOOP PERFORM flowdb_flush('flow'); COMMIT; PERFORM pg_sleep(0.05); END LOOP; END $$;
EOC
bench('some_rows', $each, <<'EOC');
\set r random(1, 10)
UPDATE c SET v = v + 1 WHERE k = 'some' AND ts = :r;
EOC
is(value("SELECT sum(v) FROM c WHERE k = 'some'"), $total, "$total increments of ten rows");
end_sql($flusher);

# All rows at once, in subtransactions that are rolled back half of the time.
bench('all_rows', 20, <<'EOC');
BEGIN;
SAVEPOINT s;
UPDATE c SET v = v + 1 WHERE k = 'some';
ROLLBACK TO s;
UPDATE c SET v = v + 1 WHERE k = 'some';
COMMIT;
EOC
is(value("SELECT sum(v) FROM c WHERE k = 'some'"),
    $total + $clients * 20 * 10, 'increments of all rows, beside rolled back ones');

# Transfers: deadlocks are avoided by order, conflicts retried.
for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
    my $name = $level eq 'READ COMMITTED' ? 'committed' : 'repeatable';

    bench("transfer_$name", 50, <<"EOC", '--max-tries=10000');
\\set a random(1, 4)
\\set b random(:a + 1, 5)
BEGIN ISOLATION LEVEL $level;
UPDATE c SET v = v - 7 WHERE k = 'bank' AND ts = :a;
UPDATE c SET v = v + 7 WHERE k = 'bank' AND ts = :b;
COMMIT;
EOC
    is(value("SELECT sum(v), count(*) FROM c WHERE k = 'bank'"), '5000|5',
        "transfers under $level keep the sum");
}

# A queue.
$node->safe_psql('postgres', "INSERT INTO q SELECT 'job', i, 0 FROM generate_series(1, 800) i");
bench('queue', 120, <<'EOC');
WITH job AS (SELECT k, ts FROM q WHERE k = 'job' ORDER BY ts LIMIT 1 FOR UPDATE SKIP LOCKED),
     gone AS (DELETE FROM q USING job WHERE q.k = job.k AND q.ts = job.ts RETURNING q.ts)
  INSERT INTO done SELECT ts FROM gone;
EOC
is(value('SELECT count(*), count(DISTINCT ts) FROM done'), '800|800', 'every job is done once');
is(value("SELECT count(*) FROM q WHERE k = 'job'"), 0, 'and is gone');

# One place, many who want it.
bench('taken', 200, <<'EOC');
\set r random(1, 300)
WITH mine AS (INSERT INTO q VALUES ('taken', :r, :client_id) ON CONFLICT DO NOTHING RETURNING ts)
  INSERT INTO taken SELECT ts, :client_id FROM mine;
EOC
is(value('SELECT count(*) = count(DISTINCT ts) FROM taken'), 't', 'every key is taken once');
is(value("SELECT count(*) FROM q JOIN taken t ON t.ts = q.ts AND t.client = q.v WHERE q.k = 'taken'"),
    value('SELECT count(*) FROM taken'), 'by whom it says');

# Rows that wander: none is lost, none doubled.
$node->safe_psql('postgres', "INSERT INTO q SELECT 'w' || c, i, c FROM generate_series(0, $clients - 1) c, generate_series(1, 20) i");
bench('wander', 50, "UPDATE q SET ts = ts + 1 WHERE k = 'w' || :client_id;\n");
is(value("SELECT count(*), min(ts), max(ts) FROM q WHERE k ^@ 'w'"),
    $clients * 20 . '|51|70', 'rows that move all the time');

$node->stop;
done_testing();
