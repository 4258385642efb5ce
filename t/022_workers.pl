# Too few processes: no slot for a launcher, for workers, for some of them;
# slots that become free; workers that are ended, killed, or at work on a
# database that is dropped.  Nothing is lost, nothing hangs.  One server, which
# is started again with other settings; FLOWDB_FULL=1: with more rows.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($rc, $out, $err, $start, $from);
my $rows = $ENV{FLOWDB_FULL} ? 200_000 : 60_000;
my $written = 0;
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);

# PostgreSQL's own logical replication launcher takes the first slot.
my $conf = <<'EOC';
fsync = off
checkpoint_timeout = 1h
max_connections = 20
flowdb.memtable_size = '1MB'
flowdb.compaction_threshold = 2
flowdb.obsolete_file_retention = 0
EOC

my $node = new_node('workers', <<"EOC");
$conf
max_worker_processes = 2
EOC
create_twins($node, 't');

sub more_rows
{
    my ($n) = @_;
    my ($first, $last) = ($written + 1, $written + $n);

    $written = $last;
    return "SELECT 'k' || i % 10, i, i * 3, md5(i::text) "
      . "FROM generate_series($first, $last) i";
}

sub add_rows
{
    my ($n) = @_;
    my $values = more_rows($n);
    return try_sql($node, "BEGIN; INSERT INTO t $values; "
          . "INSERT INTO t_heap $values; COMMIT", @verbose);
}

sub all_there
{
    my ($what) = @_;
    is(eval { twin_diff($node, 't') } // $@, '', "$what: nothing is lost");
    return;
}

sub none_crashed
{
    my ($what) = @_;
    unlike(log_since($node, $from),
        qr/was terminated by signal|TRAP:|PANIC|reinitializing/,
        "$what: no process crashed");
    return;
}

# Start again, with such settings; what the log says from then on counts.
sub restart_with
{
    my (@settings) = @_;
    $node->append_conf('postgresql.conf', join "\n", @settings);
    $node->stop;
    $from = log_size($node);
    $node->start;
    return;
}

sub sum_of
{
    my ($column) = @_;
    return $node->safe_psql('postgres', "SELECT sum($column) FROM flowdb_stats");
}

sub workers
{
    return scalar process_pids($node, 'flowdb worker');
}

# ------------------------------------------------ a launcher and no worker

$from = 0;
is(workers(), 0, 'there is room for a launcher and no worker');
$start = time();
($rc, $out, $err) = add_rows(200_000);
is($rc, 0, 'a load of many write buffers ends') or diag($err);
($rc, $out, $err) = try_sql($node, 'CHECKPOINT');
is($rc, 0, 'so does a checkpoint');
note(sprintf('both took %.1f s', time() - $start));
cmp_ok(sum_of('flushes'), '>', 3, 'the launcher has flushed');
ok(wait_until(sub { sum_of('merges') > 0 }, 'a merge'),
    'and merges, small steps at a time');
ok(wait_until(sub { sum_of('unresolved_transactions') == 0 }, 'fates'),
    'and notes fates');
like(log_since($node, 0),
    qr/WARNING:  2 of 2 FlowDB workers are not running\n.*DETAIL:  .*launcher does their work/,
    'which it says');
like(log_since($node, 0), qr/HINT:  .*max_worker_processes.*flowdb.max_workers/,
    'with a hint');
all_there('no worker');
add_rows(1000);
$start = time();
$node->restart;
cmp_ok(time() - $start, '<', 30, 'the server stops and starts');
all_there('no worker, after a restart');
none_crashed('no worker');

# A statement that waits can be cancelled, and the launcher ended.
$node->safe_psql('postgres',
    "SELECT pg_terminate_backend(" . process_pid($node, 'flowdb launcher') . ')');
($rc, $out, $err) = add_rows(1000);
is($rc, 0, 'rows written while the launcher is away wait for the next');
crash_restart($node);
all_there('no worker, after a crash');

# ------------------------------------------------- slots that become free

# pg_prewarm's process has no restart once it was ended.
sub prewarm_ends
{
    kill('TERM', process_pid($node, 'autoprewarm leader'));
    return;
}

my $has_prewarm =
  -e $node->config_data('--pkglibdir') . '/pg_prewarm.so';
SKIP:
{
    skip 'pg_prewarm is not installed', 1 unless $has_prewarm;
    restart_with("shared_preload_libraries = 'pg_prewarm, flowdb_fdw'");
    is(scalar process_pids($node, 'flowdb launcher'), 0, 'no launcher');
    my $one = more_rows(1);
    my $count = 'SELECT count(*) FROM t';
    my $before = $node->safe_psql('postgres', $count);
    my $job = start_sql($node, "INSERT INTO t $one; INSERT INTO t_heap $one",
        '-v', 'VERBOSITY=verbose');
    ($rc, $out, $err) =
      try_sql($node, "SET statement_timeout = '5s'; CHECKPOINT; $count", @verbose);
    is("$rc$out", "0$before", 'checkpoints and reads do not wait') or diag($err);
    ok(sql_running($job), 'a writer does');
    prewarm_ends();
    ($rc, $out, $err) = end_sql($job);
    is($rc, 0, 'until a slot is free, when the launcher is started')
      or diag($err);
    is(workers(), 0, 'there is still none for workers');
    ($rc, $out, $err) = add_rows($rows / 4);
    is($rc, 0, 'a load goes on') or diag($err);
    all_there('a late launcher');

    restart_with('max_worker_processes = 3');
    is(scalar process_pids($node, 'flowdb launcher'), 1, 'room for a launcher');
    is(workers(), 0, 'and no worker');
    prewarm_ends();
    ok(wait_until(sub { workers() == 1 }, 'a worker'),
        'a worker starts when a slot is free');
    ($rc, $out, $err) = add_rows($rows);
    is($rc, 0, 'and works') or diag($err);
    ok(wait_until(sub { sum_of('merges') > 0 }, 'a merge'),
        'while the launcher and it merge as one worker does');
    like(log_since($node, $from), qr/WARNING:  2 of 2 FlowDB workers/,
        'that they were missing was said');
    kill9_process($node, 'flowdb worker');
    wait_for_sql($node, $count, $written);
    all_there('a late worker was killed');
    ok(wait_until(sub { workers() == 1 }, 'a worker'),
        'it comes back after the crash');
    my $one_missing = qr/WARNING:  1 of 2 FlowDB workers are not running\n.*DETAIL:  .*launcher does their work/;
    ok(wait_until(sub { log_since($node, $from) =~ $one_missing }, 'a warning'),
        'and the launcher says that it does the work of the other one');
}

# ------------------------------------------- workers that are ended or killed

restart_with("shared_preload_libraries = 'flowdb_fdw'",
    'max_worker_processes = 8');
is(workers(), 2, 'all workers are there');
unlike(log_since($node, $from), qr/are not running/, 'nothing is said');
my @values = map { more_rows($rows / 40) } 1 .. 40;
my $load = start_sql($node, join '', map { "INSERT INTO t $_;\n" } @values);
for my $i (1 .. 3)
{
    $node->safe_psql('postgres', <<'EOC');
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type LIKE 'flowdb %'
EOC
    sleep(0.7);
}
($rc, $out, $err) = end_sql($load);
is($rc, 0, 'a load while all are ended again and again') or diag($err);
$node->safe_psql('postgres', join '', map { "INSERT INTO t_heap $_;\n" } @values);
all_there('workers that are ended');
ok(wait_until(sub { workers() == 2 }, 'the workers'), 'they come back');
($rc, $out, $err) = try_sql($node, 'CHECKPOINT');
is($rc, 0, 'a checkpoint works');

# A launcher that is still flushing keeps its place: another one would let
# writers in, and the first would find their rows when it has flushed.  A writer
# asks for one after two seconds.
my $old = process_pid($node, 'flowdb launcher');
my $last = more_rows(10);
debug_set($node, 'final-flush', 'wait');
kill('TERM', $old);
debug_wait($node, 'final-flush');
my $writer = start_sql($node, "INSERT INTO t $last; INSERT INTO t_heap $last");
sleep(3.5);
ok(sql_running($writer), 'nobody writes before a launcher has left');
debug_clear($node);
($rc, $out, $err) = end_sql($writer);
is($rc, 0, 'and then they do') or diag($err);
none_crashed('workers that are ended');

# ----------------------------------- at work on a database that is dropped

# DROP DATABASE makes a checkpoint first, so no flush is under way.  It waits
# for each process to answer a signal, which one at a debug point does not.
$node->safe_psql('postgres', 'CREATE DATABASE doomed');
debug_set($node, 'worker-merge', 'wait');
$node->safe_psql('doomed', <<'EOC');
CREATE EXTENSION flowdb_fdw;
CREATE SERVER gone FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE d (key text OPTIONS (role 'key') COLLATE "C",
    ts bigint OPTIONS (role 'time'), n bigint) SERVER gone;
EOC
$node->safe_psql('doomed',
    "INSERT INTO d SELECT 'a', i, i FROM generate_series(1, 2000) i;"
      . "SELECT flowdb_flush('gone')")
  foreach 1 .. 5;
my $dir = server_dir($node, 'gone', 'doomed');
debug_wait($node, 'worker-merge');
my $drop = start_sql($node, 'DROP DATABASE doomed');
sleep(0.3);
debug_clear($node);
($rc, $out, $err) = end_sql($drop);
is($rc, 0, 'a database is dropped that a worker merges in') or diag($err);
ok(wait_until(sub { !-e $dir }, 'the removal'), 'its files go');
($rc, $out, $err) = add_rows(1000);
is($rc, 0, 'other servers go on') or diag($err);
($rc, $out, $err) = try_sql($node, 'CHECKPOINT');
is($rc, 0, 'and are flushed') or diag($err);
all_there('a dropped database');
is(workers(), 2, 'the workers are still there');
none_crashed('a dropped database');
$node->stop;
done_testing();
