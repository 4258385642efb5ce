# Rule S6 of doc/INVARIANTS.md: no checkpoint or restartpoint becomes durable
# while a batch logged before its redo pointer is only in memory.
#
# Each case is there twice: as it is, where nothing may be lost, and with the
# rule broken by a debug point, where the loss must be seen; else the test
# would prove nothing.  S5 has its pair here too: outcomes and asynchronous
# commits.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbLoad;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $tables = 0;
my $next_row = 1;

# A pair of tables for one case, with 100 rows that are on disk already.
sub new_case
{
    my ($node) = @_;
    my $table = 'case' . ++$tables;

    create_twins($node, $table);
    add_rows($node, $table, 100);
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    return $table;
}

sub add_rows
{
    my ($node, $table, $n) = @_;
    my $values = "SELECT 'k' || i % 7, i, i, md5(i::text) "
      . "FROM generate_series($next_row, $next_row + $n - 1) i";

    $next_row += $n;
    $node->safe_psql('postgres', "BEGIN; INSERT INTO $table $values; "
          . "INSERT INTO ${table}_heap $values; COMMIT");
    return;
}

# The same while flushes fail, when writers may be refused: both or none.
sub try_rows
{
    my ($node, $table, $n, $what) = @_;
    my ($rc, $out, $err);

    my $values = "SELECT 'k' || i % 7, i, i, md5(i::text) "
      . "FROM generate_series($next_row, $next_row + $n - 1) i";
    $next_row += $n;
    ($rc, $out, $err) = try_sql($node, "BEGIN; INSERT INTO $table $values; "
          . "INSERT INTO ${table}_heap $values; COMMIT");
    ok($rc == 0 || $err =~ /cannot be written to disk/,
        "$what: writers go on or are told why not") or diag($err);
    return;
}

sub redo_of
{
    my ($node) = @_;
    return control_data($node, "Latest checkpoint's REDO location");
}

# Kills everything, forgets the debug points, and starts again.
sub crash
{
    my ($node) = @_;

    kill9_tree($node);
    debug_clear($node);
    restart_by_force($node);
    return;
}

sub kept
{
    my ($node, $table, $what) = @_;
    is(twin_diff($node, $table), '', "$what: nothing is lost");
    return;
}

# Rows that are only in memory.  The first writer after a start may wait for
# the holder, and in passing ask the workers for room, and a busy machine's
# workers come to that late: so until rows stay.
sub add_unflushed
{
    my ($node, $table, $n) = @_;

    for (my $left = 10; $left > 0; $left--)
    {
        add_rows($node, $table, $n);
        sleep(1);
        my $unflushed = $node->safe_psql('postgres', <<'EOC');
SELECT memtable_records FROM flowdb_stats WHERE server = 'flow'
EOC
        return if $unflushed >= $n;
    }
    diag('workers do not stop to flush');
    return;
}

# The broken rule's effect: heap rows that FlowDB has not.
sub lost
{
    my ($node, $table, $what) = @_;
    like(twin_diff($node, $table), qr/^heap\|/,
        "$what: rows are lost, so the test would notice");
    return;
}

# A flush that does not come to its end, in whichever process.
sub block_flush
{
    my ($node) = @_;
    debug_set($node, 'sst-before-sync', 'wait');
    return;
}

# Is the job still running after some seconds?
sub stays
{
    my ($job, $seconds) = @_;
    my $end = time() + $seconds;

    while (time() < $end)
    {
        return 0 if !sql_running($job);
        sleep(0.05);
    }
    return 1;
}

sub passes
{
    my ($job, $what) = @_;
    my ($rc, $out, $err) = end_sql($job);
    is($rc, 0, "$what passes") or diag($err);
    return;
}

my $node = new_node('primary', <<'EOC');
checkpoint_timeout = 30s
checkpoint_completion_target = 0.9
shared_buffers = 16MB
max_connections = 20
EOC
my ($table, $redo, $job, $from);

# ----------------------------------------------------------- online checkpoint

$table = new_case($node);
add_rows($node, $table, 1000);
debug_set($node, 'holder-stop', 'wait');
debug_wait($node, 'holder-stop');
$redo = redo_of($node);
$job = start_sql($node, 'CHECKPOINT');
ok(stays($job, 2), 'a checkpoint waits for the holder');
is(redo_of($node), $redo, 'and is not durable');
add_rows($node, $table, 10);
crash($node);
kept($node, $table, 'crash while a checkpoint waits');

add_rows($node, $table, 1000);
debug_set($node, 'holder-stop', 'wait');
debug_wait($node, 'holder-stop');
$redo = redo_of($node);
$job = start_sql($node, 'CHECKPOINT');
ok(stays($job, 1), 'the next checkpoint waits');
debug_clear($node);
passes($job, 'and once the holder goes on, it');
isnt(redo_of($node), $redo, 'the redo pointer has moved');
crash($node);
kept($node, $table, 'crash after an online checkpoint');

# The holder does its work, but the flush does not end.
add_rows($node, $table, 1000);
block_flush($node);
$redo = redo_of($node);
$job = start_sql($node, 'CHECKPOINT');
ok(stays($job, 2), 'a checkpoint waits for a flush');
is(redo_of($node), $redo, 'and is not durable before');
crash($node);
kept($node, $table, 'crash while a checkpoint waits for a flush');

# Broken: the holder lets everything pass.
add_rows($node, $table, 1000);
block_flush($node);
debug_set($node, 'holder-skip-check', 'skip');
passes(start_sql($node, 'CHECKPOINT'), 'a checkpoint that nobody holds');
crash($node);
lost($node, $table, 'online checkpoint without the rule');

# ------------------------------------------------------------------- no holder

# Between two launchers nobody holds checkpoints, so nobody may write.
sub without_launcher
{
    debug_set($node, 'launcher-start', 'wait');
    kill('TERM', process_pid($node, 'flowdb launcher'));
    debug_wait($node, 'launcher-start');
    return;
}

$table = new_case($node);
add_rows($node, $table, 1000);
without_launcher();
$job = start_sql($node, "INSERT INTO $table VALUES ('late', 1, 1, 'late')");
ok(stays($job, 1), 'a writer waits for the next launcher');
passes(start_sql($node, 'CHECKPOINT'), 'without a launcher, a checkpoint');
kept($node, $table, 'without a launcher');
debug_clear($node);
passes($job, 'and the writer, with the next one,');
$node->safe_psql('postgres',
    "INSERT INTO ${table}_heap VALUES ('late', 1, 1, 'late')");
crash($node);
kept($node, $table, 'crash after a change of launchers');

# Broken: written all the same.
without_launcher();
debug_set($node, 'admit-unarmed', 'skip');
add_rows($node, $table, 1000);
passes(start_sql($node, 'CHECKPOINT'), 'a checkpoint without a launcher');
crash($node);
lost($node, $table, 'writing without a launcher');

# ----------------------------------------------------------- spread checkpoint

# As pg_basebackup asks for one: it takes its time between fixing its redo
# pointer and becoming durable.
sub spread_checkpoint
{
    my ($n) = @_;

    # dirty pages, each of which takes it 0.1 s
    $node->safe_psql('postgres', "UPDATE dirt SET i = i + $n");
    $from = log_size($node);
    my $sql = "SELECT pg_backup_start('b$n', fast => false)";
    my $job = start_sql($node, $sql);
    ok(wait_until(
            sub { log_since($node, $from) =~ /checkpoint starting: force wait/ },
            'the checkpoint to start'), "spread checkpoint $n starts");
    sleep(0.3);
    return $job;
}

# The checkpointer has nothing left to write: it waits for the holder.
my $calm = 0;

sub all_written
{
    my $event = $node->safe_psql('postgres', <<'EOC');
SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'checkpointer'
EOC
    # The wait for those who delay it has a name from 17 on.
    $calm = $event =~ /^(?:CheckpointDelayComplete)?\z/ ? $calm + 1 : 0;
    return $calm >= 5;
}

$node->append_conf('postgresql.conf', 'log_checkpoints = on');
$node->reload;
$table = new_case($node);
$node->safe_psql('postgres', <<'EOC');
CREATE TABLE dirt AS SELECT i, repeat('x', 1000) FROM generate_series(1, 20) i;
CHECKPOINT;
EOC
foreach my $n (1, 2)
{
    add_rows($node, $table, 500);
    $job = spread_checkpoint($n);
    add_rows($node, $table, 500);
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    add_rows($node, $table, 500);
    ok(sql_running($job), 'the flush came in its middle');
    passes($job, "spread checkpoint $n");
}
add_rows($node, $table, 500);
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', 'CHECKPOINT');
add_rows($node, $table, 10);
crash($node);
kept($node, $table, 'crash after spread checkpoints with early flushes');

# Killed in the middle, with part of it flushed.
add_rows($node, $table, 500);
$job = spread_checkpoint(3);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
add_rows($node, $table, 500);
crash($node);
kept($node, $table, 'crash in a spread checkpoint');

# Broken: a holder that moves once for each redo pointer, at the early flush,
# when the checkpointer has not come to wait for it yet.
debug_set($node, 'holder-only-once', 'skip');
add_rows($node, $table, 500);
$job = spread_checkpoint(4);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
ok(wait_until(\&all_written, 'the last buffer'), 'all buffers are written');
ok(stays($job, 1), 'a holder that moves once makes a checkpoint hang');
debug_clear($node);
passes($job, 'the checkpoint, with the rule,');

# Broken: rows of the middle are not waited for by the second.
add_rows($node, $table, 500);
$job = spread_checkpoint(5);
add_rows($node, $table, 500);
block_flush($node);
debug_set($node, 'holder-skip-check', 'skip');
passes($job, 'a spread checkpoint that nobody holds');
passes(start_sql($node, 'CHECKPOINT'), 'a second one that nobody holds');
crash($node);
lost($node, $table, 'spread checkpoint without the rule');

# -------------------------------------------------------------------- shutdown

$table = new_case($node);
foreach my $mode ('fast', 'smart')
{
    add_rows($node, $table, 1000);
    $node->stop($mode);
    is(control_data($node, 'Database cluster state'),
        'shut down', "$mode shutdown");
    $node->start;
    kept($node, $table, "$mode shutdown");
}

# A final flush that fails must not let the shutdown checkpoint pass.
add_rows($node, $table, 1000);
debug_set($node, 'flush-written', 'error');
$from = log_size($node);
$node->stop('fast', fail_ok => 1);
like(log_since($node, $from), qr/PANIC: .*FlowDB could not flush/,
    'a final flush that fails is a crash');
wait_until(sub { !postmaster_pid($node) }, 'the end of the server');
isnt(control_data($node, 'Database cluster state'),
    'shut down', 'and no clean shutdown');
debug_clear($node);
$node->{_pid} = undef;
restart_by_force($node);
kept($node, $table, 'shutdown whose flush fails');

# Broken: no final flush.
add_unflushed($node, $table, 1000);
debug_set($node, 'shutdown-skip-flush', 'skip');
$node->stop('fast');
debug_clear($node);
$node->start;
lost($node, $table, 'shutdown without the flush');

# ------------------------------------------------------------- end of recovery

$table = new_case($node);
add_rows($node, $table, 1000);
kill9_tree($node);
restart_by_force($node);
kill9_tree($node);
restart_by_force($node);
kept($node, $table, 'crash right after recovery');

# Broken: the replayed rows are only in memory when recovery's checkpoint
# becomes durable.  No worker may come before either crash.
block_flush($node);
add_rows($node, $table, 1000);
kill9_tree($node);
debug_set($node, 'cleanup-skip-flush', 'skip');
debug_set($node, 'holder-stop', 'wait');
restart_by_force($node);
crash($node);
lost($node, $table, 'recovery without the flush at its end');

# -------------------------------------------- transactions that nobody remembers

# A batch may be the only record that names its subtransaction.  When the
# server crashes before the commit record, that xid must not become another's.
my $user = $node->safe_psql('postgres', 'SELECT current_user');

sub crash_before_commit
{
    my ($key, $broken) = @_;

    $node->safe_psql('postgres', 'CHECKPOINT');
    debug_set($node, 'pre-commit-pushed', 'wait');
    $job = start_sql($node, <<"EOC");
BEGIN;
INSERT INTO $table VALUES ('$key', 1, 1);
SAVEPOINT a;
INSERT INTO $table VALUES ('$key', 2, 2);
RELEASE a;
COMMIT;
EOC
    debug_wait($node, 'pre-commit-pushed');
    kill('STOP', process_pids($node, "$user postgres"));
    debug_clear($node);
    # makes the batches durable, and needs no xid that would be replayed
    $node->safe_psql('postgres', 'SELECT pg_switch_wal()');
    kill9_tree($node);
    end_sql($job);
    debug_set($node, 'reserve-xid-skip', 'skip') if $broken;
    restart_by_force($node);
    debug_clear($node);
    $node->safe_psql('postgres', "INSERT INTO dirt VALUES ($_)") for 1 .. 10;
    return $node->safe_psql('postgres',
        "SELECT count(*) FROM $table WHERE key = '$key'");
}

is(crash_before_commit('nobody', 0), 0, 'crash before the commit record');
is($node->safe_psql('postgres', <<"EOC"), 0, 'and after a flush');
SELECT flowdb_flush('flow') \\g /dev/null
SELECT count(*) FROM $table WHERE key = 'nobody';
EOC
isnt(crash_before_commit('stranger', 1),
    0, 'an xid that is given out again makes a dead batch true');

# ----------------------------------------------------- a standby's restartpoints

my $standby = new_standby($node, 'standby', <<'EOC');
hot_standby_feedback = on
EOC

# Replayed all there is, and made a restartpoint of the newest checkpoint.
sub restartpoint
{
    my ($primary_redo, $what) = @_;

    $standby->safe_psql('postgres', 'CHECKPOINT');
    is(redo_of($standby), $primary_redo, "$what: restartpoint");
    return;
}

# The standby is killed and comes back, first without its primary.
sub crash_standby
{
    my ($what) = @_;

    kill9_tree($standby);
    debug_clear($standby);
    $node->stop('immediate') if $node->{_pid};
    restart_by_force($standby);
    kept($standby, $table, "$what, restart without the primary");
    $node->start;
    return;
}

$table = new_case($node);
add_rows($node, $table, 1000);
$node->safe_psql('postgres', 'CHECKPOINT');
add_rows($node, $table, 10);
catch_up($node, $standby);
restartpoint(redo_of($node), 'online checkpoint');
crash_standby('standby after an online checkpoint');

add_rows($node, $table, 1000);
catch_up($node, $standby);
$node->stop('fast');
$redo = redo_of($node);
# The walsender ends only when the shutdown checkpoint has been sent.
ok(wait_for_sql($standby,
        "SELECT pg_last_wal_replay_lsn() > '$redo'"), 'shutdown record replayed');
restartpoint($redo, 'shutdown checkpoint');
crash_standby('standby after a shutdown checkpoint');

add_rows($node, $table, 1000);
catch_up($node, $standby);
$from = log_size($standby);
kill9_tree($node);
restart_by_force($node);
$redo = redo_of($node);
ok(wait_for_sql($standby,
        "SELECT pg_last_wal_replay_lsn() > '$redo'"), 'recovery record replayed');
restartpoint($redo, 'end-of-recovery checkpoint');
crash_standby('standby after an end-of-recovery checkpoint');

add_rows($node, $table, 1000);
catch_up($node, $standby);
kept($standby, $table, 'and with the primary again');

# ------------------------------------------------------------------- promotion

$standby->promote;
ok(wait_for_sql($standby, 'SELECT NOT pg_is_in_recovery()'), 'promoted');
kill9_tree($standby);
restart_by_force($standby);
kept($standby, $table, 'kill right after promotion');
add_rows($standby, $table, 1000);
$standby->safe_psql('postgres', 'CHECKPOINT');
crash($standby);
kept($standby, $table, 'writes after promotion');
$standby->stop;

# Broken: neither the promotion nor the holder cares.
$standby = new_standby($node, 'standby2');
add_rows($node, $table, 1000);
catch_up($node, $standby);
debug_set($standby, 'cleanup-skip-flush', 'skip');
debug_set($standby, 'holder-skip-check', 'skip');
block_flush($standby);
$standby->promote;
ok(wait_for_sql($standby, 'SELECT NOT pg_is_in_recovery()'), 'promoted');
$standby->safe_psql('postgres', 'CHECKPOINT');
crash($standby);
lost($standby, $table, 'promotion without the rule');
$standby->stop;

# Broken: a restartpoint that does not flush.
$standby = new_standby($node, 'standby3');
debug_set($standby, 'restartpoint-skip-flush', 'skip');
add_rows($node, $table, 1000);
$node->safe_psql('postgres', 'CHECKPOINT');
add_rows($node, $table, 10);
catch_up($node, $standby);
restartpoint(redo_of($node), 'without the rule');
crash($standby);
catch_up($node, $standby);
lost($standby, $table, 'restartpoint without the rule');
$standby->stop;

# A standby's SSTables must not be read before recovery has come as far as
# they have: a flush moves the minimum recovery point.  The delay holds up
# every commit that is replayed after that.
sub restart_before_flush
{
    my ($name, $point) = @_;
    my $standby = new_standby($node, $name, "checkpoint_timeout = 1h\n");

    debug_set($standby, $point, 'skip') if $point;
    foreach (1 .. 2)
    {
        add_rows($node, $table, 1000);
        $node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
        sleep(0.3);    # so that they are older than every snapshot
    }
    $node->safe_psql('postgres', 'CHECKPOINT');
    $node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
    kill9_tree($standby);
    debug_clear($standby);
    $standby->append_conf('postgresql.conf', "recovery_min_apply_delay = 1h\n");
    restart_by_force($standby);
    my $diff = twin_diff($standby, $table);
    $standby->stop('immediate');
    return $diff;
}

is(restart_before_flush('standby4'),
    '', 'a restarted standby shows no row before its time');
like(restart_before_flush('standby5', 'log-sync-skip'),
    qr/^flowdb\|/, 'without the rule it does');

# ----------------------------------------------------- a flush that fails early

# Checkpoints wait, writers go on or are told why not, and nothing is lost.
$table = new_case($node);
foreach my $point ('manifest-before-append', 'manifest-before-sync',
    'sst-before-sync', 'flush-renamed')
{
    my ($rc, $out, $err);

    add_rows($node, $table, 500);
    debug_set($node, $point, 'error');
    ($rc, $out, $err) = try_sql($node, "SELECT flowdb_flush('flow')");
    isnt($rc, 0, "$point: a flush that fails says so");
    $redo = redo_of($node);
    $job = start_sql($node, 'CHECKPOINT');
    try_rows($node, $table, 10, $point);
    kept($node, $table, "$point: while flushes fail");
    ok(stays($job, 1), "$point: a checkpoint waits");
    is(redo_of($node), $redo, "$point: and is not durable");
    debug_clear($node);
    passes($job, "$point: once flushes succeed, it");
    kept($node, $table, "$point: afterwards");
    add_rows($node, $table, 10);
    crash($node);
    kept($node, $table, "$point: crash afterwards");

    add_rows($node, $table, 500);
    debug_set($node, $point, 'error');
    try_sql($node, "SELECT flowdb_flush('flow')");
    crash($node);
    kept($node, $table, "$point: crash while flushes fail");

    add_rows($node, $table, 500);
    debug_set($node, $point, 'kill');
    $from = log_size($node);
    try_sql($node, "SELECT flowdb_flush('flow')");
    debug_clear($node);
    wait_for_restart($node, $from);
    kept($node, $table, "$point: killed there");
}

# More is written than the write buffers hold.
debug_set($node, 'manifest-before-append', 'error');
add_rows($node, $table, 100);
my ($rc, $out, $err) = try_sql($node, <<"EOC");
SET flowdb.transaction_buffer = '1MB';
\\set VERBOSITY verbose
INSERT INTO $table SELECT 'much', i, i, repeat(md5(i::text), 10)
FROM generate_series(1, 400000) i;
EOC
isnt($rc, 0, 'writes are refused when the buffers are full');
like($err,
    qr/ERROR:  (?:53100: .*cannot be flushed|58030: .*cannot be written to disk)/,
    'with a clear error');
kept($node, $table, 'buffers full');
debug_clear($node);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow'); CHECKPOINT");
add_rows($node, $table, 1000);
kept($node, $table, 'buffers full, then flushed');
crash($node);
kept($node, $table, 'buffers full, then flushed, then a crash');
unlike(log_since($node, 0), qr/TRAP:/, 'no assertion failed');
$node->stop;

# --------------------------------------------------------- asynchronous commits

my $async = new_node('async', <<'EOC');
synchronous_commit = off
wal_writer_delay = 10s
wal_writer_flush_after = 0
wal_buffers = 16MB
max_connections = 20
EOC

# A flush publishes nothing whose commit record a crash could take away.
$table = new_case($async);
add_rows($async, $table, 10);
$async->safe_psql('postgres', "SELECT flowdb_flush('flow')");
crash($async);
kept($async, $table, 'crash after asynchronous commit and flush');

my $load = FlowdbLoad->new($async, 4);
foreach my $round (1 .. 3)
{
    my $loaded = $load->new_table;
    $load->start(300);
    foreach (1 .. 4)
    {
        sleep(0.2);
        try_sql($async, "SELECT flowdb_flush('flow')");
    }
    crash($async);
    is(join("\n", $load->finish), '', "asynchronous load $round");
    is(join("\n", $load->judge(sync => 0)),
        '', "asynchronous load $round: all or nothing");
    kept($async, $loaded, "asynchronous load $round");
}

# Broken: what the SSTable has, the log has not.  Either another transaction
# gets the xid that nobody remembers, and its rows include a stranger's; or
# the database is newer than the log and refuses.
debug_set($async, 'log-sync-skip', 'skip');
add_rows($async, $table, 10);
$async->safe_psql('postgres', "SELECT flowdb_flush('flow')");
crash($async);
$async->safe_psql('postgres', "INSERT INTO ${table}_heap VALUES ('z', 1, 1)");
($rc, $out, $err) = try_sql($async, "SELECT count(*) FROM $table");
my $strangers =
  $rc == 0 ? twin_diff($async, $table) =~ /^flowdb\|/m : $err =~ /broken/;
ok($strangers, 'flush without the rule: an unknown row, or a broken database')
  or diag($err);
$async->stop;

done_testing();
