# The everyday recipes of doc/OPERATIONS.md: dumps, ANALYZE, monitoring, a
# folder on another disk, poolers, standbys, and a database that broke.
use strict;
use warnings;

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
my $node = new_node('main', "wal_level = logical\n");

$node->safe_psql('postgres', <<'EOC');
CREATE ROLE reader;
CREATE SERVER metrics FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'metrics');
CREATE FOREIGN TABLE cpu (
  host text OPTIONS (role 'key') COLLATE "C" NOT NULL,
  ts timestamptz OPTIONS (role 'time') NOT NULL, u float8, note text DEFAULT 'x') SERVER metrics;
CREATE TABLE heap AS SELECT g FROM generate_series(1, 10) g;
CREATE VIEW last AS SELECT host, max(ts) AS ts FROM cpu GROUP BY host;
GRANT SELECT ON cpu TO reader;
INSERT INTO cpu SELECT 'h' || g % 5, '2025-01-01'::timestamptz + g * interval '1 min', g, 'n' || g
  FROM generate_series(1, 3000) g;
SELECT flowdb_flush('metrics');
INSERT INTO cpu VALUES (E'tab\tand "quote"\\', 'infinity', 'NaN', E'line\nend');
EOC
my $digest = 'SELECT md5(string_agg(cpu::text, \'|\' ORDER BY host, ts)), count(*) FROM cpu';
my $expected = $node->safe_psql('postgres', $digest);

# ------------------------------------------------------------------------ dumps

recipe_ok($node, 'dump', DUMP => "$tmp/dump");
recipe_ok($node, 'restore-beside', DUMP => "$tmp/dump", NEWDB => 'beside');
is($node->safe_psql('beside', $digest), $expected, 'restored beside the original');
is($node->safe_psql('beside', "SELECT count(*) FROM last; "
          . "SELECT has_table_privilege('reader', 'cpu', 'SELECT')"),
    "6\nt", 'with view and privileges');
($rc, $out, $err) = recipe($node, 'restore', DUMP => "$tmp/dump", NEWDB => 'taken');
isnt($rc, 0, 'not with the same data_dir');
like($err, qr/"metrics" is used by another/, 'which is said');

my $elsewhere = new_node('elsewhere', '');
$elsewhere->safe_psql('postgres', 'CREATE ROLE reader');
recipe_ok($elsewhere, 'restore', DUMP => "$tmp/dump", NEWDB => 'restored');
is($elsewhere->safe_psql('restored', $digest), $expected, 'restored into another cluster');
foreach my $format ('p', 'd', 't')
{
    $node->command_ok([ 'pg_dump', "-F$format", '--include-foreign-data=metr*',
            '-f', "$tmp/dump.$format", '-d', $node->connstr('postgres') ],
        "pg_dump -F$format");
    $elsewhere->safe_psql('postgres', 'DROP DATABASE restored');
    ok(wait_until(sub { !-e $elsewhere->data_dir . '/flowdb/metrics' }, 'the folder'),
        'the folder is free');
    $elsewhere->safe_psql('postgres', 'CREATE DATABASE restored');
    $elsewhere->command_ok(
        $format eq 'p'
        ? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$tmp/dump.p",
            '-d', $elsewhere->connstr('restored') ]
        : [ 'pg_restore', '--exit-on-error', '-d', $elsewhere->connstr('restored'),
            "$tmp/dump.$format" ],
        'restored');
    is($elsewhere->safe_psql('restored', $digest), $expected, "format $format: equal");
}
$elsewhere->stop;

# what the document warns of
my $plain = sub { (run_command([ 'pg_dump', @_, '-d', $node->connstr('postgres') ])) };
($out, $err) = $plain->();
unlike("$out$err", qr/^h1\t/m, 'pg_dump says nothing about the rows that it leaves out');
($out, $err) = $plain->('-j', '2', '-Fd', '-f', "$tmp/none", '--include-foreign-data=metrics');
like($err, qr/not supported with parallel backup/, 'no parallel dumps');
($out, $err) = $plain->('--include-foreign-data=nothing');
like($err, qr/no matching foreign servers/, 'a pattern that fits nothing is an error');

$node->safe_psql('postgres', 'CREATE DATABASE empty');
recipe_ok($node, 'dump-all', DUMP => "$tmp/all");
ok(-s "$tmp/all.empty" && -s "$tmp/all.beside", 'every database');
($out) = run_command([ 'pg_restore', '-f', '-', "$tmp/all.postgres" ]);
like($out, qr/^h1\t2025/m, 'with rows');
like(slurp_file("$tmp/all.globals.sql"), qr/CREATE ROLE reader/, 'and globals');
$node->safe_psql('postgres', 'DROP DATABASE empty; DROP DATABASE beside; DROP DATABASE taken');

# several tables of a store
$node->safe_psql('postgres', <<'EOC');
CREATE FOREIGN TABLE all_columns (key text COLLATE "C" NOT NULL, ts bigint NOT NULL, a int, b int)
  SERVER metrics OPTIONS (store 'shared');
CREATE FOREIGN TABLE some_columns (key text COLLATE "C" NOT NULL, ts bigint NOT NULL, a int)
  SERVER metrics OPTIONS (store 'shared');
INSERT INTO all_columns VALUES ('k', 1, 2, 3);
EOC
foreach my $way ([], ['--exclude-table-data=some_columns'])
{
    $node->command_ok([ 'pg_dump', '-Fc', '--include-foreign-data=metrics', @$way,
            '-f', "$tmp/shared", '-d', $node->connstr('postgres') ], 'two tables of a store');
    recipe_ok($node, 'restore-beside', DUMP => "$tmp/shared", NEWDB => 'beside');
    is($node->safe_psql('beside', 'SELECT b FROM all_columns'), @$way ? 3 : '',
        @$way ? 'the rows of one are enough' : 'those of the other replace them');
    $node->safe_psql('postgres', 'DROP DATABASE beside');
    ok(wait_until(sub { !-e $node->data_dir . '/flowdb/metrics_2' }, 'the folder'),
        'the folder is free');
}

# ---------------------------------------------------------------------- ANALYZE

my $analyzed = "SELECT count(*) FROM pg_statistic WHERE starelid = 'cpu'::regclass";
$node->safe_psql('postgres', 'ANALYZE');
$node->command_ok([ 'vacuumdb', '--analyze-only', '-d', $node->connstr('postgres') ],
    'vacuumdb --analyze-only');
is($node->safe_psql('postgres', $analyzed), 0, 'neither looks at foreign tables');
like($node->safe_psql('postgres', 'EXPLAIN SELECT * FROM cpu'), qr/rows=3001 /,
    'the planner knows the number of rows all the same');
recipe_ok($node, 'analyze');
is($node->safe_psql('postgres', $analyzed), 4, 'ANALYZE of the table does');
$node->safe_psql('postgres', 'DELETE FROM pg_statistic WHERE starelid = \'cpu\'::regclass');
recipe_ok($node, 'analyze-all');
is($node->safe_psql('postgres', $analyzed), 4, 'and of all of them');
$node->safe_psql('postgres', 'DELETE FROM pg_statistic WHERE starelid = \'cpu\'::regclass');
$node->command_ok([ 'vacuumdb', '--analyze-only', '-t', 'cpu', '-d', $node->connstr('postgres') ],
    'vacuumdb -t');
is($node->safe_psql('postgres', $analyzed), 4, 'as vacuumdb -t does');
$node->safe_psql('postgres', <<'EOC');
CREATE TABLE part (host text COLLATE "C" NOT NULL, ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE part1 PARTITION OF part DEFAULT
  SERVER metrics OPTIONS (key_columns 'host', time_column 'ts');
INSERT INTO part SELECT 'p', now() + g * interval '1 s' FROM generate_series(1, 100) g;
ANALYZE part;
EOC
is($node->safe_psql('postgres',
        "SELECT count(*) FROM pg_statistic WHERE starelid = 'part1'::regclass"),
    2, 'ANALYZE of a partitioned table includes its FlowDB partitions');

# ------------------------------------------------------------------- monitoring

recipe_ok($node, 'monitor-role');
foreach my $name ('watch-state', 'watch-flush', 'watch-memory', 'watch-files', 'watch-checkpoint',
    'watch-snapshots', 'watch-processes')
{
    $out = recipe_ok($node, $name, PGUSER => 'flowdb_watch');
    is($out, '', "$name: nothing to see") if $name =~ /state|snapshots/;
    isnt($out, '', "$name: an answer") unless $name =~ /state|snapshots/;
}
is(scalar(() = recipe_ok($node, 'watch-processes') =~ /^flowdb/mg),
    3, 'one launcher, two workers');
recipe_ok($node, 'metrics', METRICS => "$tmp/flowdb.prom", PGUSER => 'flowdb_watch');
my $metrics = slurp_file("$tmp/flowdb.prom");
my $operations = document('OPERATIONS.md');
my ($rules) = $operations =~ /^```yaml\n(.*?)^```/ms;
foreach my $name (sort keys %{ { map { $_ => 1 } $rules =~ /\b(flowdb_\w+)/g } })
{
    like($metrics, qr/^\Q$name\E[{ ]/m, "alert rules: $name is a metric");
}
my ($absent) = $operations =~ /absent\((flowdb_\S+\})\)/;
like($metrics, qr/^\Q$absent\E /m, 'absent() names a sample');

# ------------------------------------------------------------------------ poolers

# One connection serves clients by turns, as with transaction pooling: what one
# set, made or left open is no other's.
my @sessions = map { "SET flowdb.row_locks = $_; BEGIN; "
      . "INSERT INTO cpu VALUES ('pool', '2030-01-01'::timestamptz + $_ * interval '1 s', $_); "
      . "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM cpu WHERE host = 'pool'; COMMIT;\n" } 1 .. 20;
($rc, $out, $err) = try_sql($node,
    join("DISCARD ALL;\n", @sessions) . "SELECT count(*) FROM cpu WHERE host = 'pool'");
is("$rc$out$err", '020', 'transactions of many clients on one connection');
$node->safe_psql('postgres', "DELETE FROM cpu WHERE host = 'pool'");

# ----------------------------------------------------------------------- standbys

my $standby = new_standby($node, 'standby',
    "recovery_min_apply_delay = 0\nhot_standby_feedback = on\n");
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'standby'");
$node->reload;
is($node->safe_psql('postgres', "SET synchronous_commit = remote_apply; "
          . "INSERT INTO cpu VALUES ('sync', '2031-01-01', 1); SELECT 1"), 1, 'remote_apply');
is($standby->safe_psql('postgres', "SELECT count(*) FROM cpu WHERE host = 'sync'"),
    1, 'the row is on the standby when the commit is answered');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
is(scalar(() = recipe_ok($standby, 'watch-processes') =~ /^flowdb (\w+)/mg),
    2, 'a standby has workers');
$standby->append_conf('postgresql.conf', 'recovery_min_apply_delay = 3000');
$standby->reload;
$node->safe_psql('postgres', "INSERT INTO cpu VALUES ('delayed', '2031-01-01', 1); "
      . "INSERT INTO heap VALUES (77)");
is($standby->safe_psql('postgres', "SELECT (SELECT count(*) FROM cpu WHERE host = 'delayed'), "
          . '(SELECT count(*) FROM heap WHERE g = 77)'),
    '0|0', 'a delayed standby delays both');
ok(wait_for_sql($standby, "SELECT (SELECT count(*) FROM cpu WHERE host = 'delayed'), "
          . '(SELECT count(*) FROM heap WHERE g = 77)', '1|1'), 'and shows both');
$standby->append_conf('postgresql.conf',
    "recovery_min_apply_delay = 0\nhot_standby = off");
$standby->restart;
is(scalar(process_pids($standby, 'flowdb worker')), 0,
    'with hot_standby = off there are no workers');
$standby->append_conf('postgresql.conf', 'hot_standby = on');
$standby->restart;
isnt(process_pid($standby, 'flowdb worker'), undef, 'with it there are');

# ------------------------------------------------------------------- it is broken

$expected = $node->safe_psql('postgres', $digest);
$node->safe_psql('postgres', 'SELECT txid_current()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->safe_psql('postgres', "DROP FOREIGN TABLE part1; DROP FOREIGN TABLE some_columns, all_columns; "
      . "SELECT flowdb_flush('metrics')");
$node->stop;
my ($manifest) = glob($node->data_dir . '/flowdb/metrics/INDEX/MANIFEST-*');
flip_byte($manifest, 40);
$node->start;
($rc, $out, $err) = try_sql($node, 'SELECT count(*) FROM cpu', @verbose);
like($err, qr/ERROR:  XX001: .*broken/, 'a damaged manifest: the database is broken');
like(recipe_ok($node, 'watch-state'), qr/^metrics\|broken\|.+/, 'monitoring says so');
is($node->safe_psql('postgres', 'SELECT count(*) FROM heap; CHECKPOINT'), 11,
    'the rest of the cluster works');
recipe_ok($node, 'rescue-dump', DUMP => "$tmp/rescue", STANDBY_HOST => $standby->host,
    STANDBY_PORT => $standby->port);
($rc, $out, $err) = recipe($node, 'rescue-schema', DUMP => "$tmp/rescue", SCHEMA => "$tmp/schema.sql");
is($rc, 0, 'recipe "rescue-schema"') or diag("$out\n$err");
is($node->safe_psql('postgres', $digest), $expected, 'the rows are back, from the standby');
is($node->safe_psql('postgres', "SELECT count(*) FROM last; "
          . "SELECT has_table_privilege('reader', 'cpu', 'SELECT')"),
    "8\nt", 'with view and privileges');
ok(wait_for_sql($standby, $digest, $expected), 'the standby follows');
$standby->stop;

# --------------------------------------------------- a folder on another disk

# A mount in a name space of its own, in which the server runs.
SKIP:
{
    my $own = new_node('mounted', '');
    my $disk = "$tmp/disk";
    mkdir $disk;
    mkdir "$disk/metrics", 0700;
    $own->stop;
    my %all = recipes();
    my $script = "$tmp/mounted.sh";
    PostgreSQL::Test::Utils::append_to_file($script,
            "set -eu\nmkdir -p \"\$PGDATA/flowdb\"\n$all{mount}[1]"
          . "exec unshare -U --map-user=\$USER_ID --map-group=\$GROUP_ID sh -eu $tmp/server.sh\n");
    PostgreSQL::Test::Utils::append_to_file("$tmp/server.sh", <<'EOS');
pg_ctl -s -w start -D "$PGDATA" -l "$LOGFILE"
psql -XAtq -o /dev/null -v ON_ERROR_STOP=1 -d postgres -f "$MAKE"
pg_basebackup -D "$BACKUP" -c fast
psql -XAtq -d postgres -c "INSERT INTO m VALUES ('b', 1)" -c "SELECT count(*) FROM m"
pg_ctl -s -w stop -D "$PGDATA" -m immediate
pg_ctl -s -w start -D "$PGDATA" -l "$LOGFILE"
psql -XAtq -d postgres -c "SELECT count(*) FROM m" -c "SELECT flowdb_flush('metrics')"
pg_ctl -s -w stop -D "$PGDATA" -m fast
EOS
    PostgreSQL::Test::Utils::append_to_file("$tmp/make.sql", $all{'mount-server'}[1]
          . "CREATE FOREIGN TABLE m (key text COLLATE \"C\" NOT NULL, ts bigint NOT NULL) SERVER metrics;\n"
          . "INSERT INTO m VALUES ('a', 1); SELECT flowdb_flush('metrics');\n");
    local %ENV = (%ENV, PGDATA => $own->data_dir, PGHOST => $own->host, PGPORT => $own->port,
        LOGFILE => $own->logfile, DISK => $disk, BACKUP => "$tmp/of_mounted",
        MAKE => "$tmp/make.sql", USER_ID => $>, GROUP_ID => (split ' ', $))[0]);
    skip 'no name spaces for users here', 6
      if system('unshare -Urm true 2>/dev/null') != 0;
    ($out, $err) = run_command([ 'unshare', '-Urm', 'sh', $script ]);
    is($out =~ s/\s+/ /gr, '2 2 ', 'a folder that is mounted') or diag("$err\n$out");
    ok(-f "$disk/metrics/IDENTITY" && !-e $own->data_dir . '/flowdb/metrics/IDENTITY',
        'the files are on the other disk');
    ok(-f "$tmp/of_mounted/flowdb/metrics/IDENTITY", 'a base backup has them');
    $own->start;
    like(recipe_ok($own, 'watch-state'), qr/^metrics\|broken\|.*IDENTITY" is missing/,
        'without the mount it is broken, and says why');
    # as a mount would bring them
    rmdir $own->data_dir . '/flowdb/metrics' or die;
    rename("$disk/metrics", $own->data_dir . '/flowdb/metrics') or die;
    ok(wait_for_sql($own, 'SELECT count(*) FROM m', 2), 'with its files it is used again');
    $own->stop;
}

unlike(log_since($_, 0), qr/TRAP:|PANIC/, 'no assertion failed') foreach $node, $standby;
$node->stop;
done_testing();
