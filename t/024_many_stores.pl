# Many servers and many tables: as many servers as there can be, thousands of
# tables in one, a thousand partitions, thousands of stores imported.  What is
# done with one of them does not get slow because of the others.
# FLOWDB_FULL=1: so many that a square would be seen in all of it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($rc, $out, $err);
my $full = $ENV{FLOWDB_FULL};
my $n = $full ? 10_000 : 1_000;
my $parts = $full ? 1_000 : 100;
my $max_servers = 128;
my $wrapper = 'FOREIGN DATA WRAPPER flowdb_fdw';
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);

my $node = new_node('stores', <<'EOC');
fsync = off
checkpoint_timeout = 1h
max_connections = 20
max_locks_per_transaction = 2000
flowdb.shared_memory = '256MB'
flowdb.obsolete_file_retention = 0
log_statement = none
EOC

sub query
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}

# The time that a statement takes, whatever machine this is, is compared with
# a limit that only something that grows with the square would pass; of few
# stores not even that, on a machine that does much else.
sub timed
{
    my ($what, $limit, $sql) = @_;
    my $start = time();
    $limit = 10 + 2 * $limit unless $full;
    my $out = query($sql);
    my $took = time() - $start;

    cmp_ok($took, '<', $limit, sprintf('%s: %.2f s', $what, $took));
    return $out;
}

# DO for each number of 1 .. n, in transactions of 500.
sub each_of
{
    my ($n, $statement) = @_;
    return "DO \$do\$ BEGIN FOR i IN 1..$n LOOP EXECUTE format("
      . "\$sql\$$statement\$sql\$, i); "
      . 'IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $do$';
}

my $columns = "(key text OPTIONS (role 'key') COLLATE \"C\", "
  . "ts bigint OPTIONS (role 'time'), v double precision)";

# --------------------------------------------------- many tables in a server

query("CREATE SERVER big $wrapper; CREATE SCHEMA s; CREATE SCHEMA named");
timed("$n tables are created", $n / 100,
    each_of($n, "CREATE FOREIGN TABLE s.t%s $columns SERVER big"));
timed('each gets a row', $n / 100,
    each_of($n, "INSERT INTO s.t%s VALUES ('a', 1, 1)"));
timed('all are flushed', $n / 100, "SELECT flowdb_flush('big')");
timed('each gets another', $n / 100,
    each_of($n, "INSERT INTO s.t%s VALUES ('a', 2, 1)"));
timed('each is read', $n / 100, each_of($n, 'SELECT * FROM s.t%s'));
is(timed('flowdb_stores', $n / 500, 'SELECT count(*) FROM flowdb_stores'),
    $n, 'flowdb_stores has them');
is(timed('flowdb_sstables', $n / 500, 'SELECT count(*) FROM flowdb_sstables'),
    $n, 'flowdb_sstables has them');
timed('flowdb_stats', 2, 'SELECT * FROM flowdb_stats');
timed('flowdb_metrics', 2, 'SELECT flowdb_metrics()');
timed('an insert into one', 2, "INSERT INTO s.t7 VALUES ('b', 1, 1)");
timed('a plan', 2, "EXPLAIN SELECT * FROM s.t7 WHERE key = 'b' AND ts > 0");
timed('a step of maintenance', 5,
    "SELECT * FROM flowdb_maintenance('big', '100 ms')");
timed('a checkpoint', $n / 100, 'CHECKPOINT');
my $start = time();
$node->restart;
is(query('SELECT count(*) FROM s.t7'), 3, 'after a restart they are there');
cmp_ok(time() - $start, '<', 20 + $n / 500, 'which does not take long');
query(each_of(200, "INSERT INTO s.t%s VALUES ('c', 1, 1)"));
$start = time();
crash_restart($node);
is(query('SELECT count(*) FROM s.t7'), 4, 'and after a crash');
cmp_ok(time() - $start, '<', 30 + $n / 500, 'nor does that');

# ---------------------------------------------------------------- partitions

query("CREATE TABLE p (key text COLLATE \"C\", ts bigint, v double precision) "
      . 'PARTITION BY RANGE (ts)');
timed("$parts partitions", $parts / 20,
    "DO \$\$ BEGIN FOR i IN 0..$parts - 1 LOOP EXECUTE format('CREATE FOREIGN "
      . "TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s) SERVER big "
      . "OPTIONS (key_columns ''key'', time_column ''ts'')', i, i * 10, "
      . 'i * 10 + 10); END LOOP; END $$');
my $all = $parts * 10;
timed('rows into all of them', 10,
    "INSERT INTO p SELECT 'a', i, 1 FROM generate_series(0, $all - 1) i");
is(timed('all are read', 10, 'SELECT count(*) FROM p'), $all, 'all rows');
is(timed('one is read', 5, 'SELECT count(*) FROM p WHERE ts = 55'), 1, 'one row');
unlike(query('EXPLAIN SELECT * FROM p WHERE ts = 55'), qr/p6\b/, 'of one partition');
is(timed('the latest row', 10, 'SELECT max(ts) FROM p'), $all - 1, 'the last one');
timed('an update', 20, 'UPDATE p SET v = 2 WHERE ts % 10 = 5');
timed('a delete', 20, 'DELETE FROM p WHERE ts % 10 = 6');
is(query('SELECT count(*), sum(v) FROM p'), $all - $parts . '|' . $all, 'both are right');
timed('the parent goes', 30, 'DROP TABLE p');

# ----------------------------------------------------------- named, imported

timed("$n stores with a name", $n / 50, each_of($n / 2,
    "CREATE FOREIGN TABLE named.t%1\$s $columns SERVER big OPTIONS (store 'n%1\$s');"
      . "INSERT INTO named.t%1\$s VALUES ('a', 1, %1\$s)"));
$start = time();
($rc, $out, $err) = try_sql($node, 'DROP SCHEMA named CASCADE');
cmp_ok(time() - $start, '<', 10 + $n / 200, 'their tables go');
my $more = $n / 2 - 20;
like($err, qr/NOTICE:  $more more FlowDB stores keep their rows/,
    'which is not said for each');
is(query('SELECT count(*) FROM flowdb_stores WHERE orphan'), $n / 2, 'they stay');
query('CREATE SCHEMA named');
timed('they are imported', $n / 50,
    'IMPORT FOREIGN SCHEMA x FROM SERVER big INTO named');
is(query('SELECT v FROM named.n77'), 77, 'with their rows');

# ------------------------------------------------------------- all of it goes

timed("$n tables are dropped", $n / 50,
    'SET client_min_messages = warning; DROP SCHEMA s CASCADE');
ok(wait_for_sql($node, "SELECT stores = $n / 2 AND obsolete_files = 0 "
          . 'FROM flowdb_stats'), 'their files go');
timed('the server is dropped', $n / 50,
    'SET client_min_messages = warning; DROP SERVER big CASCADE');
ok(wait_until(sub { !glob($node->data_dir . '/flowdb/[0-9]*') }, 'the files'),
    'and its files');

# Without locks enough PostgreSQL says what to do, and nothing has happened.
query("CREATE SERVER big $wrapper");
query(each_of(1500, "CREATE FOREIGN TABLE named.t%s $columns SERVER big"));
$node->append_conf('postgresql.conf',
    "max_locks_per_transaction = 10\nmax_connections = 10");
$node->restart;
($rc, $out, $err) = try_sql($node, 'SET client_min_messages = error;'
      . 'DROP SERVER big CASCADE', @verbose);
like($err, qr/ERROR:  53200: out of shared memory\n(.*\n)*HINT:  .*max_locks_per_transaction/,
    'too few locks');
is(query("SELECT count(*) FROM pg_foreign_table"), 1500, 'no table is gone');
$node->append_conf('postgresql.conf', 'max_locks_per_transaction = 2000');
$node->restart;
query('SET client_min_messages = warning; DROP SERVER big CASCADE');

# ------------------------------------------------------------- many servers

query(join '', map { "CREATE SERVER m$_ $wrapper;\n"
          . "CREATE FOREIGN TABLE m$_ $columns SERVER m$_;\n"
          . "INSERT INTO m$_ VALUES ('a', 1, $_);\n" } 1 .. $max_servers);
($rc, $out, $err) = try_sql($node, "CREATE SERVER more $wrapper", @verbose);
like($err, qr/ERROR:  54000: too many FlowDB servers/, 'one more is refused');
like($err, qr/^(DETAIL|HINT):  .*$max_servers/m, 'with the number');
timed('a checkpoint with so many', 20, 'CHECKPOINT');
$node->restart;
is(timed('all are read', 20, 'SELECT sum(v) FROM ('
          . join(' UNION ALL ', map { "SELECT v FROM m$_" } 1 .. $max_servers)
          . ') x'),
    $max_servers * ($max_servers + 1) / 2, 'with all rows');
query(join '', map { "DROP SERVER m$_ CASCADE;\n" } 1 .. $max_servers);
unlike(log_since($node, 0), qr/was terminated by signal|TRAP:|PANIC/,
    'no process crashed');
$node->stop;
done_testing();
