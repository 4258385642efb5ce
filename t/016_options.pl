# What options and ALTER have told the engine: through restart, SIGKILL, log
# and standby, in workers that read no catalogs; undone with its transaction;
# and descriptions of stores made of any bytes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FLOWDB_SEED} // int(rand(1_000_000));
note("seed $seed (FLOWDB_SEED)");
srand($seed);

my $primary = new_node('primary', "max_connections = 20\nflowdb.auto_compaction = off\n");
my $sql = sub { return $primary->safe_psql('postgres', $_[0]); };

# The size of the newest file of server o, made of the same rows each time,
# tells the size of its blocks: smaller ones need more room for the index.
my $rows = 0;

sub blocks_of
{
    my ($node, $server) = @_;
    my $bytes = $node->safe_psql('postgres',
        "SELECT file_bytes FROM flowdb_sstables WHERE server = '$server' ORDER BY id DESC LIMIT 1");
    return $bytes < 102_000 ? 'large' : 'small';
}

sub add_rows
{
    my ($table) = @_;
    $rows++;
    $sql->("INSERT INTO $table SELECT 'k$rows', i, lpad(i::text, 100, 'x') FROM generate_series(1, 1000) i");
    return;
}

$sql->("CREATE SERVER o FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (flush_compression 'none', block_size '1024')");
$sql->("CREATE FOREIGN TABLE b (key text, ts bigint, v text) SERVER o OPTIONS (merge_policy 'lcs')");
my $standby = new_standby($primary, 'standby', "hot_standby_feedback = on\n");

# ------------------------------------------------- restart, SIGKILL, standby

# Files that a checkpoint asks for, on both.
sub flush_both
{
    $primary->safe_psql('postgres', 'CHECKPOINT');
    catch_up($primary, $standby);
    $standby->safe_psql('postgres', 'CHECKPOINT');
    return;
}

add_rows('b');
flush_both();
is(blocks_of($primary, 'o'), 'small', 'of the option of CREATE SERVER');
is(blocks_of($standby, 'o'), 'small', 'standby: of the option of CREATE SERVER');
$sql->("ALTER SERVER o OPTIONS (SET block_size '16kB')");
add_rows('b');
flush_both();
is(blocks_of($primary, 'o'), 'large', 'ALTER SERVER');
is(blocks_of($standby, 'o'), 'large', 'standby: ALTER SERVER');
$sql->("ALTER SERVER o OPTIONS (SET block_size '1024')");
add_rows('b');
crash_restart($primary);
# written by redo, or by a worker; no session has looked at the options
$sql->('CHECKPOINT');
is(blocks_of($primary, 'o'), 'small', 'SIGKILL: options are redone');
$primary->restart;
$standby->restart;
add_rows('b');
flush_both();
is(blocks_of($primary, 'o'), 'small', 'restart');
is(blocks_of($standby, 'o'), 'small', 'standby: restart');

# ---------------------------------------------------------- a worker obeys

is($sql->("SELECT max(level) FROM flowdb_sstables WHERE server = 'o'"), 0, 'auto_compaction is off');
$sql->("ALTER SERVER o OPTIONS (ADD auto_background 'on')");
ok(wait_until(sub { return $sql->("SELECT max(level) FROM flowdb_sstables WHERE server = 'o'") > 0; }, 'a merge'),
    'auto_background and merge_policy: a worker merges into levels');
is($sql->('SELECT count(*) FROM b'), 1000 * $rows, 'all rows are there');
$sql->("ALTER SERVER o OPTIONS (ADD flush_interval_ms '100')");
$sql->("INSERT INTO b VALUES ('late', 1, 'x')");
ok(wait_until(sub { return $sql->("SELECT memtable_records FROM flowdb_stats WHERE server = 'o'") == 0; }, 'a flush'),
    'flush_interval_ms: a worker writes what is in memory');
$sql->("CREATE SERVER g FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (gc_interval_secs '1', flush_interval_ms '1')");
$sql->("CREATE FOREIGN TABLE e (key text, ts timestamptz, v int) SERVER g OPTIONS (ttl '2 seconds')");
$sql->("INSERT INTO e SELECT 'e', now(), 1");
ok(wait_until(sub { return $sql->("SELECT gc_runs > 0 AND memtable_records = 0 AND sstables = 0 FROM flowdb_stats "
              . "WHERE server = 'g'") eq 't'; }, 'GC'), 'gc_interval_secs: an expired file goes');

# ----------------------------------------------------- told, not committed

debug_set($primary, 'options-told', 'kill');
my $before_kill = log_size($primary);
my ($rc, $out, $err) = try_sql($primary, "ALTER SERVER o OPTIONS (SET block_size '16kB')");
isnt($rc, 0, 'ALTER SERVER dies before its commit');
debug_clear($primary);
wait_for_restart($primary, $before_kill) or BAIL_OUT('no restart');
is($sql->("SELECT srvoptions::text ~ '1024' FROM pg_foreign_server WHERE srvname = 'o'"), 't', 'the option is as it was');
add_rows('b');
$sql->("SELECT flowdb_flush('o')");
is(blocks_of($primary, 'o'), 'small', 'and the next writer tells the engine so');

debug_set($primary, 'options-told', 'error');
($rc, $out, $err) = try_sql($primary, "ALTER SERVER o OPTIONS (SET block_size '16kB')");
isnt($rc, 0, 'ALTER SERVER fails before its commit');
debug_clear($primary);
add_rows('b');
$sql->("SELECT flowdb_flush('o')");
is(blocks_of($primary, 'o'), 'small', 'the same after an error');

# ------------------------------------------------------------------- ALTER

$sql->("CREATE FOREIGN TABLE n1 (key text, ts bigint, v int) SERVER o OPTIONS (store 'named');"
      . "CREATE FOREIGN TABLE n2 (key text, ts bigint, v int) SERVER o OPTIONS (store 'named');"
      . "INSERT INTO n1 VALUES ('a', 1, 1)");
my $job = start_sql($primary, "BEGIN; ALTER FOREIGN TABLE n1 RENAME v TO w; ALTER FOREIGN TABLE n1 ADD x int DEFAULT 7;"
      . "INSERT INTO n1 VALUES ('b', 1, 2, 3); SELECT pg_sleep(600);");
ok(wait_for_sql($primary, "SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ 'sleep' AND wait_event = 'PgSleep'"),
    'a transaction with a rename is under way');
is($sql->('SELECT v FROM n2'), 1, 'others see the old name');
catch_up($primary, $standby);
is($standby->safe_psql('postgres', 'SELECT v FROM n2'), 1, 'so does a standby');
$sql->("ALTER FOREIGN TABLE n2 ADD y int DEFAULT 8");
is($sql->('SELECT v, y FROM n2'), '1|8', 'and can add a column meanwhile');
crash_restart($primary);
end_sql($job);
is($sql->('SELECT * FROM n1'), 'a|1|1', 'SIGKILL: the rename is undone');
is($sql->('SELECT * FROM n2'), 'a|1|1|8', 'for others too');
$sql->('ALTER FOREIGN TABLE n1 ADD x text');
is($sql->('SELECT * FROM n1'), 'a|1|1|', 'the name of the lost column is free');
$sql->('BEGIN; ALTER FOREIGN TABLE n1 RENAME v TO w; COMMIT');
crash_restart($primary);
is($sql->('SELECT w FROM n1'), 1, 'SIGKILL: a rename that was committed stays');
is($sql->('SELECT count(v) FROM n2'), 0, 'for others too');
$sql->('ALTER FOREIGN TABLE n2 RENAME v TO w');
catch_up($primary, $standby);
is($standby->safe_psql('postgres', 'SELECT w, y FROM n2'), '1|8', 'standby: new names, and the default of older rows');

# -------------------------------------------------------------- odd bytes

my $made = <<'EOC';
CREATE FUNCTION description(server text, store text) RETURNS bytea
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_description';
CREATE FUNCTION describe(description bytea) RETURNS bytea
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_describe';
EOC
($rc, $out, $err) = try_sql($primary, $made);
is($rc, 0, 'functions of a build with DEBUG_POINTS=1');
$sql->(<<'EOC');
CREATE FOREIGN TABLE d (key text COLLATE "C", ts timestamptz, i int, expire_at bigint, t text) SERVER o OPTIONS (store 'd');
INSERT INTO d VALUES ('a', '2020-01-01', 1, NULL, 't');
ALTER FOREIGN TABLE d ADD a1 int DEFAULT 5, ADD a2 text DEFAULT 'text', ADD a3 point DEFAULT '(1,2)', ADD a4 text COLLATE "POSIX";
ALTER FOREIGN TABLE d RENAME i TO j;
EOC
is($sql->("SELECT describe(description('o', 'd')) IS NOT NULL"), 't', 'a description');
is($sql->("SELECT describe(describe(description('o', 'd'))) = describe(description('o', 'd'))"), 't', 'is what it is');
is($sql->("SELECT count(*) FROM (SELECT description('o', 'd') AS d) x, "
          . "LATERAL generate_series(0, length(d) - 1) n WHERE describe(substr(d, 1, n)) IS NOT NULL"),
    0, 'cut at any byte it is none');
is($sql->("SELECT count(*) FROM (SELECT description('o', 'd') AS d) x WHERE describe(d || '\\x00') IS NOT NULL"),
    0, 'nor with a byte more');
is($sql->(<<"EOC"), 't', 'any changed byte is read or refused');
SELECT count(describe(set_byte(d, n, (random() * 255)::int))) > 0
FROM (SELECT description('o', 'd') AS d, setseed($seed / 1000001.0)) x, LATERAL generate_series(0, length(d) - 1) n, generate_series(1, 20)
EOC
is($sql->(<<"EOC"), 't', 'so is noise');
SELECT count(describe(b)) >= 0 FROM (SELECT '\\x02'::bytea || string_agg(set_byte('\\x00', 0, (random() ^ 3 * 255)::int), '') AS b
  FROM (SELECT setseed($seed / 1000001.0)) s, generate_series(1, 20000) i GROUP BY i / 40) x
EOC

$standby->stop;
$primary->stop;
done_testing();
