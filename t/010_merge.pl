# Compaction never loses, revives or doubles a row: killed at random moments
# with deleted ranges and expiring rows, on standbys, under base backups, when
# its process is ended, when its input is damaged.
#
#   FLOWDB_ROUNDS=30   kills
#   FLOWDB_SEED=...    repeat the load of a run (not its timing)
use strict;
use warnings;

use File::Copy ();
use FindBin;
use lib $FindBin::RealBin;
use FlowdbLoad;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{FLOWDB_ROUNDS} // 30;
my $seed = $ENV{FLOWDB_SEED} // (time() * 1000 + $$) % 2**31;
my $transactions = 150;
my $rounds_a_table = 5;
my @policies = ('stcs', 'lcs', 'twcs');

diag("FLOWDB_SEED=$seed");
srand($seed);

my $conf = <<'EOC';
flowdb.max_workers = 2
flowdb.memtable_size = '1MB'
flowdb.gc_interval = '1s'
flowdb.obsolete_file_retention = 0
max_connections = 20
wal_keep_size = '2GB'
EOC
my $node = new_node('merge', $conf . "checkpoint_timeout = 30s\n");
my $load = FlowdbLoad->new($node, 4, ranges => 1);
create_twins($node, 'plain');
my $table;

sub check
{
    my ($when) = @_;

    is(join("\n", $load->judge(sync => 1)), '', "$when: all or nothing");
    is(twin_diff($node, $table), '', "$when: as the heap");
    return;
}

# ---------------------------------------------------------------------- SIGKILL

my @victims = (
    [ 'a worker' => sub { kill_any($node, 'flowdb worker') } ],
    [ 'all processes' => sub { kill_and_restart($node) } ],
    [ 'the checkpointer' => sub { kill_any($node, 'checkpointer') } ],);
my $merges = 0;

foreach my $round (1 .. $rounds)
{
    my ($name, $kill) = @{ $victims[ ($round - 1) % @victims ] };
    my $moment = 0.1 + rand(0.4);

    if (($round - 1) % $rounds_a_table == 0)
    {
        my $policy = $policies[ int(($round - 1) / $rounds_a_table) % @policies ];
        $table = $load->new_table;
        $node->append_conf('postgresql.conf', "flowdb.merge_policy = $policy");
        $node->reload;
    }
    $load->start($transactions);
    sleep($moment);
    my ($rc, $out) =
      try_sql($node, "SELECT merges FROM flowdb_stats WHERE server = 'flow'");
    $merges += $out if $rc == 0 && $out ne '';
    ok($kill->(), sprintf('round %d: SIGKILL to %s after %.2f s',
            $round, $name, $moment));
    is(join("\n", $load->finish), '', "round $round: no other complaint");
    wait_for_sql($node, 'SELECT 1', 1) or BAIL_OUT('no restart');
    sleep(0.2);    # short-lived rows are to be gone
    check("round $round");
}
cmp_ok($merges, '>', 0, "there were merges ($merges)");
$node->safe_psql('postgres',
    "SELECT flowdb_flush('flow'); SELECT flowdb_compact('flow')");
foreach my $number (1 .. $load->{tables})
{
    is(twin_diff($node, "load$number"), '', "table $number at the end");
}

# ----------------------------------------------------- the end of its process

# What is left of unfinished work.
sub temporary_files
{
    my ($of) = @_;
    my $dir = server_dir($of, 'flow');
    return scalar(() = glob("$dir/SST/pgsql_tmp*"));
}

sub settle_down
{
    my ($of) = @_;
    return wait_until(
        sub {
            my $before = stat_of($of, 'merges');
            sleep(1.5);
            return $before == stat_of($of, 'merges')
              && temporary_files($of) == 0;
        },
        'the end of all merges');
}

$table = $load->new_table;
$load->start($transactions);
foreach my $how ('pg_terminate_backend', 'pg_cancel_backend')
{
    foreach (1 .. 5)
    {
        sleep(0.15);
        my @pids = process_pids($node, 'flowdb worker');
        $node->safe_psql('postgres',
            join('; ', map { "SELECT $how($_)" } @pids)) if @pids;
        $node->reload;
    }
}
is(join("\n", $load->finish), '', 'workers were ended: clients did not notice');
sleep(0.2);
check('workers were ended');
ok(settle_down($node), 'workers are back, and leave nothing behind');
check('after the last merge');

# ----------------------------------------------------------- at named points

# Four files with one row of 'plain' that each replaces, ready to be merged.
sub mergeable
{
    my ($n) = @_;

    foreach my $i (1 .. 4)
    {
        $node->safe_psql('postgres', <<"EOC");
INSERT INTO plain SELECT 'point', g, $n * 10 + $i, 'x' FROM generate_series($i, 300) g;
INSERT INTO plain_heap SELECT 'point', g, $n * 10 + $i, 'x' FROM generate_series($i, 300) g
ON CONFLICT (key, ts) DO UPDATE SET n = EXCLUDED.n, note = EXCLUDED.note;
EOC
        $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    }
    return;
}

sub auto_compaction
{
    my ($value) = @_;
    $node->safe_psql('postgres',
        "ALTER SYSTEM SET flowdb.auto_compaction = $value");
    $node->reload;
    sleep(0.3);
    return;
}

my $n_point = 0;
foreach my $point ('merge-begin', 'merge-written', 'merge-renamed',
    'manifest-append', 'trash-unlinked')
{
    auto_compaction('off');
    mergeable($n_point++);
    my $from = log_size($node);
    debug_set($node, $point, 'kill');
    try_sql($node, "SELECT flowdb_compact('flow')");
    debug_clear($node);
    wait_for_restart($node, $from) or BAIL_OUT('no restart');
    like(log_since($node, $from), qr/terminated by signal 9/, "SIGKILL at $point");
    is(twin_diff($node, 'plain'), '', "SIGKILL at $point: as the heap");
    $node->safe_psql('postgres', "SELECT flowdb_compact('flow')");
    is(twin_diff($node, 'plain'), '', "SIGKILL at $point: then compacted");
    is(temporary_files($node), 0, "SIGKILL at $point: nothing is left");
}

# A worker is ended while it waits in a merge; another goes on.
foreach my $how ('pg_terminate_backend', 'pg_cancel_backend')
{
    mergeable($n_point++);
    debug_set($node, 'merge-written', 'wait');
    auto_compaction('on');
    ok(debug_wait($node, 'merge-written'), "$how: a worker merges");
    my @pids = process_pids($node, 'flowdb worker');
    $node->safe_psql('postgres', join('; ', map { "SELECT $how($_)" } @pids));
    ok(wait_gone(@pids), "$how: it ends");
    debug_clear($node);
    ok(settle_down($node), "$how: what is left of it goes");
    is(twin_diff($node, 'plain'), '', "$how: as the heap");
    auto_compaction('off');
}

# A server is dropped while it is merged.
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER gone FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE gone (key text COLLATE "C", ts bigint, n bigint) SERVER gone;
EOC
foreach my $i (1 .. 4)
{
    $node->safe_psql('postgres', "INSERT INTO gone VALUES ('a', $i, $i)");
    $node->safe_psql('postgres', "SELECT flowdb_flush('gone')");
}
my $gone_dir = server_dir($node, 'gone');
debug_set($node, 'merge-written', 'wait');
auto_compaction('on');
ok(debug_wait($node, 'merge-written'), 'a worker merges');
$node->safe_psql('postgres', 'DROP SERVER gone CASCADE');
ok(wait_until(sub { !-e $gone_dir }, 'the end of a directory'),
    'a dropped server goes under a merge');
debug_clear($node);
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER gone FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE gone (key text COLLATE "C", ts bigint, n bigint) SERVER gone;
INSERT INTO gone VALUES ('a', 1, 1);
SELECT flowdb_flush('gone');
EOC
sleep(1.5);
is($node->safe_psql('postgres', 'SELECT count(*) FROM gone'), 1,
    'a new one takes its place');
ok(!-e $gone_dir, 'nothing of the old one is back');
mergeable($n_point++);
is(twin_diff($node, 'plain'), '', 'and the others go on');

# ---------------------------------------------------------- full write buffers

# More than all write buffers, while there is much to merge.
$node->safe_psql('postgres', <<"EOC");
INSERT INTO $table SELECT 'full' || g % 7, g, g, repeat(md5(g::text), 8)
FROM generate_series(1, 200000) g;
INSERT INTO ${table}_heap SELECT 'full' || g % 7, g, g, repeat(md5(g::text), 8)
FROM generate_series(1, 200000) g;
EOC
is(twin_diff($node, $table), '', 'more rows than memory holds');

# ----------------------------------------------------------------- base backups

# With no retention by time, only the notice of a backup keeps files.
$table = $load->new_table;
foreach my $n (1 .. 2)
{
    my $copy = PostgreSQL::Test::Cluster->new("backup$n");

    $load->start($transactions);
    sleep(0.3);
    $node->backup("merge$n");
    is(join("\n", $load->finish), '', "backup $n: no complaint");
    sleep(0.2);
    check("under backup $n");
    $copy->init_from_backup($node, "merge$n");
    $copy->start;
    wait_for_sql($copy, 'SELECT pg_is_in_recovery()', 'f');
    foreach my $number (1 .. $load->{tables})
    {
        is(twin_diff($copy, "load$number"), '',
            "restored backup $n: table $number as the heap");
    }
    $copy->safe_psql('postgres',
        "SELECT flowdb_flush('flow'); SELECT flowdb_compact('flow')");
    is(twin_diff($copy, $table), '', "restored backup $n: also compacted");
    $copy->stop;
    $copy->clean_node;
}
# By pg_backup_start: the manifest is copied first, and the files that it
# lists long after they were replaced.
sub copy_cluster
{
    my ($from, $to, $between) = @_;
    my $index = server_dir($node, 'flow') =~ s{.*/flowdb/}{flowdb/}r . '/INDEX';

    mkdir $to or die "could not make $to: $!";
    system("cd '$from' && tar -cf - $index | tar -C '$to' -xf -") == 0
      or die 'could not copy';
    $between->();
    system( "cd '$from' && tar --exclude=./$index --exclude=./postmaster.*"
          . " --exclude='pgsql_tmp*' --exclude=./pg_replslot/* --warning=none"
          . " -cf - . | tar -C '$to' -xf -") == 0
      or note('files changed under tar');
    return;
}

my $backup_dir = $node->backup_dir . '/by_hand';
my $session = start_sql($node,
        "SELECT pg_backup_start('by hand', true);\n"
      . gate_sql('copied')
      . "\nSELECT labelfile FROM pg_backup_stop();\n");
wait_until(sub { -s "$session->{base}.out" }, 'the start of the backup');
my $before = stat_of($node, 'merges');
mkdir $node->backup_dir;
copy_cluster(
    $node->data_dir,
    $backup_dir,
    sub {
        foreach my $i (1 .. 6)
        {
            $node->safe_psql('postgres',
                "INSERT INTO plain VALUES ('hand', $i, $i, 'x');"
                  . "INSERT INTO plain_heap VALUES ('hand', $i, $i, 'x')");
            $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
        }
        $node->safe_psql('postgres', "SELECT flowdb_compact('flow')");
        sleep(1.5);
    });
cmp_ok(stat_of($node, 'merges'), '>', $before, 'merges ran under the backup');
cmp_ok(stat_of($node, 'obsolete_files'), '>', 0, 'and left their input there');
open_gate($node, 'copied');
my ($rc, $out, $err) = end_sql($session);
is($rc, 0, "the backup ended $err");
$out =~ s/^\S+\n//;    # of pg_backup_start
PostgreSQL::Test::Utils::append_to_file("$backup_dir/backup_label", "$out\n");
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
system("cp " . $node->data_dir . "/pg_wal/0* $backup_dir/pg_wal/");
my $copy = PostgreSQL::Test::Cluster->new('by_hand');
$copy->init_from_backup($node, 'by_hand');
$copy->start;
wait_for_sql($copy, 'SELECT pg_is_in_recovery()', 'f');
is(twin_diff($copy, $_), '', "restored copy: $_ as the heap")
  foreach ($table, 'plain');
$copy->stop;
$copy->clean_node;
# The other order, and nothing in the log about the database: files first,
# then the manifest that lists what they were merged into meanwhile.
sub quiet_backup
{
    my $dest = $node->backup_dir . '/quiet';
    auto_compaction('off');
    $node->safe_psql('postgres', <<'EOC');
CREATE SERVER quiet FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE quiet (key text COLLATE "C", ts bigint, n bigint) SERVER quiet;
EOC
    foreach my $i (1 .. 4)
    {
        $node->safe_psql('postgres', "INSERT INTO quiet VALUES ('a', $i, $i)");
        $node->safe_psql('postgres', "SELECT flowdb_flush('quiet')");
    }
    sleep(1.5);    # their fates are in the manifest
    my $index = server_dir($node, 'quiet') =~ s{.*/flowdb/}{flowdb/}r . '/INDEX';
    my $tar = "tar --exclude='./postmaster.*' --exclude='pgsql_tmp*' "
      . "--exclude='./pg_replslot/*' --exclude='./$index' --warning=none -cf - .";
    my $backup = start_sql($node,
            "SELECT pg_backup_start('quiet', true);\n"
          . gate_sql('quiet')
          . "\nSELECT labelfile FROM pg_backup_stop();\n");
    wait_until(sub { -s "$backup->{base}.out" }, 'the start of the backup');
    mkdir $node->backup_dir;
    mkdir $dest or die "could not make $dest: $!";
    system("cd '" . $node->data_dir . "' && $tar | tar -C '$dest' -xf -");
    is($node->safe_psql('postgres', "SELECT flowdb_compact('quiet')"),
        't', 'merged under the backup');
    system_or_bail('cp', '-a', $node->data_dir . "/$index", "$dest/$index");
    open_gate($node, 'quiet');
    my ($rc, $out, $err) = end_sql($backup);
    is($rc, 0, "the backup ended $err");
    $out =~ s/^\S+\n//;    # of pg_backup_start
    PostgreSQL::Test::Utils::append_to_file("$dest/backup_label", "$out\n");
    $node->safe_psql('postgres', 'SELECT pg_switch_wal()');
    system('cp ' . $node->data_dir . "/pg_wal/0* $dest/pg_wal/");
    foreach my $standby (0, 1)
    {
        my $copy = PostgreSQL::Test::Cluster->new("quiet$standby");
        $copy->init_from_backup($node, 'quiet', has_streaming => $standby);
        $copy->start;
        wait_for_sql($copy, 'SELECT pg_is_in_recovery()', $standby ? 't' : 'f');
        my ($rc, $out, $err) = try_sql($copy, 'SELECT sum(n) FROM quiet');
        is("$out$err", 10, "restored, standby $standby: an idle database");
        $copy->stop;
        $copy->clean_node;
    }
    auto_compaction('on');
    return;
}
quiet_backup();
ok( wait_until(
        sub {
            $node->safe_psql('postgres', "SELECT flowdb_gc('flow')");
            return stat_of($node, 'obsolete_files') == 0;
        },
        'the end of obsolete files'),
    'after the backup they go');

# ------------------------------------------------------------------- a standby

my $standby = new_standby($node, 'standby', <<'EOC');
max_standby_streaming_delay = -1
hot_standby_feedback = on
EOC

# Replayed checkpoints flush the standby's memory into small files.
sub small_files
{
    my ($n) = @_;

    foreach my $i (1 .. $n)
    {
        $node->safe_psql('postgres', <<"EOC");
BEGIN;
INSERT INTO plain SELECT 'sb', g, $i, 'sb' FROM generate_series($i, 200) g;
INSERT INTO plain_heap SELECT 'sb', g, $i, 'sb' FROM generate_series($i, 200) g
ON CONFLICT (key, ts) DO UPDATE SET n = EXCLUDED.n, note = EXCLUDED.note;
COMMIT;
CHECKPOINT;
EOC
    }
    return;
}

small_files(8);
catch_up($node, $standby);
ok(wait_for_sql($standby,
        "SELECT merges > 0 FROM flowdb_stats WHERE server = 'flow'"),
    'the standby compacts');
is(twin_diff($standby, 'plain'), '', 'the standby is as the heap');
($rc, $out, $err) = try_sql($standby, "SELECT flowdb_compact('flow')");
like($err, qr/cannot execute flowdb_compact\(\) during recovery/,
    'not by hand');
$table = $load->new_table;
foreach my $round (1 .. 4)
{
    $load->start($transactions);
    sleep(0.5 + rand(0.5));
    if ($round % 2 == 0)
    {
        kill9_tree($standby);
        restart_by_force($standby);
    }
    is(join("\n", $load->finish), '', "standby, round $round: no complaint");
    sleep(0.2);
    check("standby, round $round");
    catch_up($node, $standby);
    is(twin_diff($standby, $table), '', "standby, round $round: as the heap");
}

# A snapshot on the standby keeps what it sees while files are merged.
my $reader = start_sql($standby,
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\n"
      . "SELECT sum(n), count(*) FROM plain WHERE key = 'sb';\n"
      . gate_sql('merged')
      . "\nSELECT sum(n), count(*) FROM plain WHERE key = 'sb';\nCOMMIT;\n");
wait_until(sub { -s "$reader->{base}.out" }, 'the reader');
$before = stat_of($standby, 'merges');
$node->safe_psql('postgres', <<"EOC");
BEGIN;
SELECT flowdb_delete_range('plain', 'sb', 'sc');
DELETE FROM plain_heap WHERE key = 'sb';
COMMIT;
EOC
small_files(8);
catch_up($node, $standby);
wait_for_sql($standby,
    "SELECT merges > $before FROM flowdb_stats WHERE server = 'flow'");
open_gate($standby, 'merged');
($rc, $out, $err) = end_sql($reader);
my @seen = split /\n/, $out;
is($seen[1], $seen[0], "the standby's snapshot did not move $err");

# Promotion in the middle of it all.
$load->start($transactions);
sleep(0.5);
$standby->promote;
is(join("\n", $load->finish), '', 'promotion: no complaint');
wait_for_sql($standby, 'SELECT pg_is_in_recovery()', 'f');
is(twin_diff($standby, $_), '', "promoted: $_ as the heap")
  foreach ('plain', map { "load$_" } 1 .. $load->{tables});
$standby->safe_psql('postgres', <<"EOC");
INSERT INTO plain VALUES ('new', 1, 1, 'new');
SELECT flowdb_flush('flow');
SELECT flowdb_compact('flow');
EOC
is( $standby->safe_psql('postgres', "SELECT n FROM plain WHERE key = 'new'"),
    1, 'and goes on');
unlike(log_since($standby, 0), qr/TRAP:|PANIC/, 'standby: no assertion failed');
$standby->stop;

# --------------------------------------------------------------- a damaged file

# A merge that cannot read a file leaves it; so does every read elsewhere.
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw;
ALTER SYSTEM SET flowdb.auto_compaction = off;
SELECT pg_reload_conf();
CREATE FOREIGN TABLE bad (key text COLLATE "C", ts bigint, n bigint) SERVER bad
OPTIONS (store 'bad');
EOC
foreach my $i (1 .. 4)
{
    $node->safe_psql('postgres',
        "INSERT INTO bad SELECT '$i', g, g FROM generate_series(1, 100) g");
    $node->safe_psql('postgres', "SELECT flowdb_flush('bad')");
}
my $dir = server_dir($node, 'bad');
my @files = sort glob("$dir/SST/*.sst");
is(scalar(@files), 4, 'four files');
$node->stop;
flip_byte($files[0], 40);
my $from = log_size($node);
$node->start;
$node->safe_psql('postgres',
    'ALTER SYSTEM RESET flowdb.auto_compaction; SELECT pg_reload_conf()');
($rc, $out, $err) = try_sql($node, "SELECT sum(n) FROM bad WHERE key = '1'",
    extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/ERROR:  XX001: /, 'the damaged file is noticed');
my $file = $files[0] =~ s{.*/}{}r;
ok( wait_until(
        sub { return log_since($node, $from) =~ /WARNING:  FlowDB could not maintain .*\Q$file\E/ },
        'a warning'),
    'the worker warns, with the name of the file');
is( $node->safe_psql('postgres', "SELECT count(*) FROM bad WHERE key = '3'"),
    100, 'what is elsewhere can be read');
is( $node->safe_psql('postgres',
        "SELECT state, merge_failures > 0 FROM flowdb_stats WHERE server = 'bad'"),
    'open|t', 'the database is not broken');
ok(-e $files[0], 'the file is still there');
sleep(2.5);
my $warnings = () = log_since($node, $from) =~ /WARNING:  FlowDB could not maintain /g;
cmp_ok($warnings, '<', 4, "no flood of warnings ($warnings)");

unlike(log_since($node, 0), qr/TRAP:|PANIC/, 'no assertion failed');
$node->stop;
done_testing();
