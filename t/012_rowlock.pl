# Row locks under load: nobody's increment is lost, whatever flushes and merges
# meanwhile; a table of locks that is full; locks of what dies.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 8;
my $transactions = 500;    # of each client
my $rows = 4;

my $node = new_node('rowlock', <<'EOC');
flowdb.memtable_size = '1MB'
flowdb.obsolete_file_retention = 0
max_connections = 40
max_prepared_transactions = 2
deadlock_timeout = '10ms'
log_min_messages = fatal
log_statement = none
EOC

$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE counter (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v bigint, pad text)
    SERVER flow OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE done (k text, n int);
CREATE TABLE stop ();
EOC

# pgbench(NAME, OPTIONS, SCRIPT...): by all clients at once.
sub pgbench
{
    my ($name, $options, @scripts) = @_;
    my @files;

    for my $script (@scripts)
    {
        my $file = $node->basedir . "/$name" . scalar(@files) . '.sql';
        append_to_file($file, $script);
        push @files, '-f', $file;
    }
    my ($out, $err) =
      run_command([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port,
            '-c', $clients, '-j', 2, '-t', $transactions, @$options, @files,
            'postgres' ]);
    like($out, qr{transactions actually processed: (\d+)/\1\b}, "$name: all went well")
      or diag($err);
    return;
}

sub reset_counters
{
    $node->safe_psql('postgres', <<"EOC");
DELETE FROM counter;
TRUNCATE done;
INSERT INTO counter SELECT 'k' || i, 0, 0 FROM generate_series(1, $rows) i;
EOC
    return;
}

sub check_counters
{
    my ($name) = @_;

    is($node->safe_psql('postgres', 'SELECT sum(v) FROM counter WHERE ts = 0'),
        $clients * $transactions, "$name: every increment is there");
    is($node->safe_psql('postgres', <<'EOC'), '', "$name: each on its row");
SELECT k, v, n FROM counter FULL JOIN (SELECT k, sum(n) AS n FROM done GROUP BY k) d USING (k)
    WHERE ts = 0 AND v <> coalesce(n, 0)
EOC
    return;
}

# A session that flushes and merges all the time, and fills memtables.
sub start_churn
{
    return start_sql($node, <<'EOC');
DO $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM stop) LOOP
        INSERT INTO counter SELECT 'pad', i, 0, repeat('x', 1000) FROM generate_series(1, 200) i;
        COMMIT;
        PERFORM flowdb_flush('flow');
        PERFORM flowdb_compact('flow', store) FROM flowdb_stores;
        COMMIT;
    END LOOP;
END
$$;
EOC
}

sub stop_churn
{
    my ($job) = @_;

    $node->safe_psql('postgres', 'INSERT INTO stop DEFAULT VALUES');
    my ($rc, undef, $err) = end_sql($job);
    is("$rc $err", '0 ', 'flushes and merges went well');
    $node->safe_psql('postgres', 'TRUNCATE stop');
    return;
}

# ----------------------------------------------------------------- increments

my $begin = "\\set i random(1, $rows)\n\\set j random(1, $rows)\n";
my $done = "INSERT INTO done VALUES (concat('k', :i::text), 1);\n";
my %scripts = (
    update => $begin . <<"EOC",
BEGIN;
UPDATE counter SET v = v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
${done}COMMIT;
EOC
    # what was read under a lock is what is written
    lock => $begin . <<"EOC",
BEGIN;
SELECT v FROM counter WHERE k = concat('k', :i::text) AND ts = 0 FOR UPDATE \\gset
UPDATE counter SET v = :v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
${done}COMMIT;
EOC
    # rows locked and changed in vain in between
    savepoint => $begin . <<"EOC",
BEGIN;
SAVEPOINT a;
UPDATE counter SET v = v + 1000 WHERE k = concat('k', :i::text) AND ts = 0;
ROLLBACK TO a;
SAVEPOINT b;
UPDATE counter SET v = v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
RELEASE b;
${done}COMMIT;
EOC
    # the whole table
    whole => $begin . <<"EOC",
SET flowdb.row_locks = 0;
BEGIN;
UPDATE counter SET v = v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
${done}COMMIT;
EOC
    # sharers that want more, and two rows in any order: deadlocks
    upgrade => $begin . <<"EOC",
BEGIN;
SELECT v AS ignored FROM counter WHERE k = concat('k', :j::text) AND ts = 0 FOR SHARE \\gset
UPDATE counter SET v = v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
${done}COMMIT;
EOC
    # handed over at once, and moved away and back
    move => $begin . <<"EOC",
SET flowdb.transaction_buffer = '64kB';
BEGIN;
UPDATE counter SET ts = 1, pad = repeat('y', 70000) WHERE k = concat('k', :i::text) AND ts = 0;
UPDATE counter SET ts = 0, v = v + 1, pad = NULL WHERE k = concat('k', :i::text) AND ts = 1;
${done}COMMIT;
EOC
    repeatable => $begin . <<"EOC",
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE counter SET v = v + 1 WHERE k = concat('k', :i::text) AND ts = 0;
${done}COMMIT;
EOC
);

for my $name ('update', 'lock', 'savepoint', 'move')
{
    reset_counters();
    my $churn = start_churn();
    pgbench($name, [], $scripts{$name});
    stop_churn($churn);
    check_counters($name);
}

# Those that may fail are tried again.
for my $name ('whole', 'upgrade', 'repeatable')
{
    # many that share a row, and try again at once, keep each other from it
    ($clients, $transactions) = $name eq 'upgrade' ? (3, 30) : (8, 100);
    reset_counters();
    my $churn = start_churn();
    pgbench($name, [ '--max-tries=0', '-L', 100000 ], $scripts{$name});
    stop_churn($churn);
    check_counters($name);
}

# ---------------------------------------------------------- a full table of locks

my $locks = q{SELECT mode, count(*) FROM pg_locks WHERE locktype = 'object'
    AND classid = 'pg_foreign_server'::regclass AND objsubid > 0
    GROUP BY 1 ORDER BY 1};

reset_counters();
$node->safe_psql('postgres', <<'EOC');
CREATE FOREIGN TABLE big (k text COLLATE "C" NOT NULL, ts bigint NOT NULL)
    SERVER flow OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO big SELECT 'k', i FROM generate_series(1, 150000) i;
EOC
my $big = start_sql($node, <<'EOC' . gate_sql('full') . 'COMMIT;');
SET flowdb.row_locks = 1000000;
BEGIN;
SELECT count(*) FROM (SELECT FROM big FOR UPDATE) s;
EOC
ok(wait_until(sub { $node->safe_psql('postgres', $locks) =~ /^ExclusiveLock/ }),
    'who finds no room locks all rows');
is($node->safe_psql('postgres', <<"EOC"), "ExclusiveLock|2\nRowExclusiveLock|2\nRowShareLock|1", 'and so does the next one, of another table');
BEGIN;
UPDATE counter SET v = v + 1 WHERE ts = 0 AND k = 'k1';
$locks;
COMMIT;
EOC
open_gate($node, 'full');
is_deeply([ end_sql($big) ], [ 0, '150000', '' ], 'all rows were locked');
is($node->safe_psql('postgres', <<"EOC"), 'RowExclusiveLock|1', 'there is room again');
BEGIN;
UPDATE counter SET v = v + 1 WHERE ts = 0 AND k = 'k1';
$locks;
COMMIT;
EOC

# ------------------------------------------------------------ what does not stay

my (undef, undef, $err) = try_sql($node, <<'EOC');
BEGIN;
SELECT * FROM counter WHERE k = 'k1' AND ts = 0 FOR UPDATE;
PREPARE TRANSACTION 'locked';
EOC
like($err, qr/cannot PREPARE a transaction that has locked rows of a FlowDB table/,
    'no lock outlives its session');

my $held = start_sql($node, <<'EOC' . gate_sql('held'));
BEGIN;
UPDATE counter SET v = -1 WHERE ts = 0;
SELECT 'locked ' || pg_backend_pid();
EOC
my $pid;
wait_until(sub {
    $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_locks WHERE locktype = 'object'
        AND classid = 'pg_foreign_server'::regclass AND objsubid > 0 LIMIT 1");
});
(undef, undef, $err) = try_sql($node,
    'SELECT FROM counter WHERE ts = 0 FOR UPDATE NOWAIT');
like($err, qr/could not obtain lock on row in relation "counter"/, 'a row is locked');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
end_sql($held);
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM counter WHERE ts = 0 FOR UPDATE NOWAIT) s'),
    $rows, 'a session that is ended leaves no lock');

$held = start_sql($node, <<'EOC' . gate_sql('crash'));
BEGIN;
UPDATE counter SET v = -1 WHERE ts = 0;
EOC
wait_until(sub { $node->safe_psql('postgres', $locks) ne '' });
crash_restart($node);
end_sql($held);
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT FROM counter WHERE ts = 0 AND v >= 0 FOR UPDATE NOWAIT) s'),
    $rows, 'nor does a crash');

$node->stop;
done_testing();
