# Definitions without a database: pg_upgrade and CREATE DATABASE ... TEMPLATE,
# as doc/OPERATIONS.md, "pg_upgrade" and "CREATE DATABASE and its kin"; and
# flowdb_create_database(), which makes an empty one.
use strict;
use warnings;

use Cwd ();
use FindBin;
use lib $FindBin::RealBin;
use FlowdbRecipe;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($rc, $out, $err);
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('old', '');

$node->safe_psql('postgres', <<'EOC');
CREATE ROLE reader; CREATE ROLE owner;
CREATE SERVER metrics FOREIGN DATA WRAPPER flowdb_fdw
  OPTIONS (data_dir 'metrics', memtable_size_mb '2');
CREATE FOREIGN TABLE cpu (
  host text OPTIONS (role 'key') COLLATE "C" NOT NULL,
  ts timestamptz OPTIONS (role 'time') NOT NULL, u float8) SERVER metrics;
CREATE FOREIGN TABLE shared (
  key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
  ts bigint OPTIONS (role 'time') NOT NULL, n int) SERVER metrics
  OPTIONS (store 'named', on_duplicate 'error');
CREATE VIEW last AS SELECT host, max(ts) AS ts FROM cpu GROUP BY host;
CREATE TABLE part (host text COLLATE "C" NOT NULL, ts timestamptz NOT NULL, u float8)
  PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE part1 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')
  SERVER metrics OPTIONS (key_columns 'host', time_column 'ts');
CREATE TABLE part2 PARTITION OF part DEFAULT;
GRANT SELECT ON cpu TO reader;
INSERT INTO cpu SELECT 'h' || g % 5, '2025-01-01'::timestamptz + g * interval '1 min', g
  FROM generate_series(1, 3000) g;
INSERT INTO shared SELECT 'k', g, g FROM generate_series(1, 100) g;
INSERT INTO part SELECT 'p', '2025-01-20'::timestamptz + g * interval '1 day', g
  FROM generate_series(1, 20) g;
SELECT flowdb_flush('metrics');
INSERT INTO cpu VALUES ('later', '2026-01-01', 1);
EOC

my $digest = 'SELECT (SELECT (count(*), sum(u), max(ts)) FROM cpu), '
  . '(SELECT (count(*), sum(n)) FROM shared), (SELECT (count(*), sum(u)) FROM part), '
  . '(SELECT count(*) FROM last), has_table_privilege(\'reader\', \'cpu\', \'SELECT\')';
my $expected = $node->safe_psql('postgres', $digest);

# -------------------------------------------------------------------- TEMPLATE

foreach my $strategy ('wal_log', 'file_copy')
{
    $node->safe_psql('postgres', "CREATE DATABASE c_$strategy TEMPLATE postgres STRATEGY $strategy");
    is($node->safe_psql("c_$strategy", "SELECT state FROM flowdb_stats"),
        'absent', "$strategy: the copy of the server has no database");
    foreach my $sql ('SELECT count(*) FROM cpu', "INSERT INTO cpu VALUES ('a', now(), 1)",
        'SELECT * FROM flowdb_flush(\'metrics\')')
    {
        $rc = $node->psql("c_$strategy", $sql, stderr => \$err, @verbose);
        like($err, qr/ERROR:  42704: server "metrics" has no FlowDB database/,
            "$strategy: $sql");
        like($err, qr/^HINT: .*flowdb_create_database/m, 'with a hint');
    }
    $node->safe_psql('postgres', "DROP DATABASE c_$strategy");
}
is($node->safe_psql('postgres', $digest), $expected, 'the original is as it was');

recipe_ok($node, 'template', NEWDB => 'copy');
is($node->safe_psql('copy', 'SELECT (count(*), sum(u), max(ts)) FROM cpu'),
    $node->safe_psql('postgres', 'SELECT (count(*), sum(u), max(ts)) FROM cpu'),
    'with rows from a dump');
is($node->safe_psql('copy', 'SELECT count(*) FROM shared; SELECT count(*) FROM last'),
    "0\n6", 'and empty where there are none');
ok(-f $node->data_dir . '/flowdb/metrics_copy/IDENTITY', 'in the folder that it was given');
$node->safe_psql('copy', "SELECT flowdb_flush('metrics'); DROP VIEW last");
is($node->safe_psql('postgres', $digest), $expected, 'the original is as it was');

# ------------------------------------------- commands on databases, as documented

$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
mkdir "$tmp/space";
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$tmp/space'");
$node->safe_psql('postgres', 'ALTER DATABASE renamed SET TABLESPACE space');
$node->safe_psql('postgres', 'ALTER DATABASE renamed OWNER TO owner');
is($node->safe_psql('renamed', 'SELECT count(*) FROM cpu'), 3001,
    'renamed, moved, given away: it is all there');
$node->safe_psql('renamed', "INSERT INTO cpu VALUES ('more', now(), 1); "
      . "SELECT flowdb_flush('metrics')");
$node->restart;
is($node->safe_psql('renamed', 'SELECT count(*) FROM cpu'), 3002, 'and after a restart');
$node->safe_psql('postgres', 'DROP DATABASE renamed WITH (FORCE)');
ok(wait_until(sub { !-e $node->data_dir . '/flowdb/metrics_copy' }, 'its removal'),
    'DROP DATABASE removes its files');
$node->safe_psql('postgres', 'DROP TABLESPACE space');

# ------------------------------------------------------ flowdb_create_database()

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE postgres');

sub in_copy
{
    my ($sql, %with) = @_;
    ($out, $err) = ('', '');
    $rc = $node->psql('copy', $sql, stdout => \$out, stderr => \$err, @verbose, %with);
    return $err;
}
my $create = "SELECT flowdb_create_database('metrics')";

like(in_copy($create), qr/ERROR:  55006: data directory "metrics" is used/,
    'not in the folder of the original');
in_copy("ALTER SERVER metrics OPTIONS (SET data_dir 'metrics2')");
like(in_copy("SET ROLE reader; $create"), qr/ERROR:  42501: must be owner/,
    'not by anybody');
like(in_copy("SET default_transaction_read_only = on; $create"), qr/ERROR:  25006/,
    'not read-only');
like(in_copy("SELECT flowdb_create_database('nobody')"), qr/ERROR:  42704/,
    'not for a server that is not there');
is(in_copy("SELECT flowdb_create_database(NULL)"), '', 'NULL does nothing');
($rc, $out, $err) = try_sql($node, $create, @verbose);
like($err, qr/ERROR:  42P04: server "metrics" has a FlowDB database already/,
    'not for one that has a database');

# Until its transaction has committed it is there for that one only; and once
# it was rolled back for nobody, even before its files are removed.
my $other = "INSERT INTO cpu VALUES ('lost', now(), 1)";
my $gate = gate_sql('made');
PostgreSQL::Test::Utils::append_to_file("$tmp/made.sql",
    "\\c copy\nBEGIN; $create; INSERT INTO cpu VALUES ('own', now(), 1);\n"
      . "SELECT count(*) FROM cpu;\n$gate\nROLLBACK;\n");
my $job = start_sql($node, slurp_file("$tmp/made.sql"));
wait_for_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%gate\\_made%' "
      . 'AND pid <> pg_backend_pid()', 1);
like(in_copy($other), qr/ERROR:  42704: .*has no FlowDB database/,
    'not there for others before the commit');
debug_set($node, 'holder-stop', 'wait');
debug_wait($node, 'holder-stop');
open_gate($node, 'made');
($rc, $out, $err) = end_sql($job);
is("$rc$out$err", "0\n1", 'but for its own transaction');
like(in_copy($other), qr/ERROR:  42704: .*has no FlowDB database/,
    'nor after a rollback');
like(in_copy('SELECT count(*) FROM cpu'), qr/ERROR:  42704/, 'not even to read');
debug_clear($node);

# In a subtransaction that is rolled back, then for good.
is(in_copy("BEGIN; SAVEPOINT a; $create; ROLLBACK TO a; $create; "
          . "INSERT INTO cpu VALUES ('good', now(), 1); COMMIT; SELECT count(*) FROM cpu"),
    '', 'made after a savepoint was taken back');
is((split /\n/, $out)[-1], 1, 'with its row');
like(in_copy($create), qr/ERROR:  42P04/, 'not twice');
is(in_copy("SELECT flowdb_flush('metrics'); DROP FOREIGN TABLE shared; "
          . 'ALTER FOREIGN TABLE cpu ADD COLUMN more int; '
          . "INSERT INTO part VALUES ('x', '2025-01-02', 1)"),
    '', 'all is done with its tables that can be done');
kill9_tree($node);
restart_by_force($node);
is($node->safe_psql('copy', 'SELECT count(*) FROM cpu; SELECT count(*) FROM part1'),
    "1\n1", 'its rows are there after a crash');
$node->safe_psql('postgres', 'DROP DATABASE copy');
is($node->safe_psql('postgres', $digest), $expected, 'the original is as it was');

# ------------------------------------------------------------------ pg_upgrade

recipe_ok($node, 'upgrade-dump', DUMP => "$tmp/rows.dump");
my $new = PostgreSQL::Test::Cluster->new('new');
init_node($new);
recipe($new, 'preload');
$new->append_conf('postgresql.conf', "flowdb.shared_memory = '64MB'");
$node->stop;
my $bin = $node->config_data('--bindir');
my $pwd = Cwd::getcwd();
chdir $tmp or die;
recipe_ok($new, 'upgrade-run', OLDBIN => $bin, NEWBIN => $bin,
    OLDDATA => $node->data_dir, OLDPORT => $node->port);
chdir $pwd or die;
$new->start;
($rc, $out, $err) = try_sql($new, 'SELECT * FROM cpu', @verbose);
like($err, qr/ERROR:  42704: server "metrics" has no FlowDB database/,
    'pg_upgrade: tables are refused');
like($err, qr/^HINT: .*flowdb_create_database.*dump/m, 'with a hint');
recipe_ok($new, 'upgrade-restore', DUMP => "$tmp/rows.dump");
is($new->safe_psql('postgres', $digest), $expected, 'pg_upgrade: all is there');
is($new->safe_psql('postgres', 'SELECT srvoptions FROM pg_foreign_server'),
    '{data_dir=metrics,memtable_size_mb=2}', 'with its options');
$new->restart;
is($new->safe_psql('postgres', $digest), $expected, 'also after a restart');
unlike(log_since($_, 0), qr/TRAP:|PANIC/, 'no assertion failed') foreach $node, $new;
$new->stop;
done_testing();
