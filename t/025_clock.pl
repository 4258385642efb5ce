# The system time goes forward and back, by hours and years, under a running
# server.  What waits for an interval goes on; what a statement has seen as
# expired stays so for it; nothing is removed by a clock that was wrong for a
# moment, and what is written after that is there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($rc, $out, $err, $from);
my $hour = 3600;
my $year = 365 * 24 * $hour;
my $full = $ENV{FLOWDB_FULL}; # more jumps

my $node = new_node('clock', <<'EOC');
fsync = off
checkpoint_timeout = 1h
max_connections = 20
flowdb.obsolete_file_retention = 1
flowdb.compaction_threshold = 2
flowdb.auto_compaction = off
EOC

# set_clock(NOW, TICKS): seconds that FlowDB's processes add to the time of
# day and to the clock that measures intervals, which never goes back.
my $ticks = 0;

sub set_clock
{
    my ($now, $more_ticks) = @_;
    my $dir = $node->data_dir . '/flowdb_debug';

    $ticks += $more_ticks // 0;
    mkdir $dir;
    PostgreSQL::Test::Utils::append_to_file("$dir/.new", "$now $ticks\n");
    rename("$dir/.new", "$dir/clock") or die "could not set the clock: $!";
    return;
}

sub query
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}

sub rows
{
    my ($table) = @_;
    return query("SELECT count(*) FROM $table");
}

# Everything that could remove a row is made to look.
sub clean_up
{
    my ($server) = @_;
    query("SELECT flowdb_flush('$server')");
    # only what is settled goes
    wait_for_sql($node,
        "SELECT coalesce(sum(unsettled), 0) = 0 FROM flowdb_sstables WHERE server = '$server'");
    query("SELECT flowdb_compact('$server'); SELECT flowdb_gc('$server')");
    return;
}

sub files
{
    my ($dir) = @_;
    return scalar(() = glob("$dir/SST/*"));
}

query(<<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (key text OPTIONS (role 'key') COLLATE "C",
    ts timestamptz OPTIONS (role 'time'), n bigint)
    SERVER flow OPTIONS (ttl '1 hour');
CREATE FOREIGN TABLE forever (key text OPTIONS (role 'key') COLLATE "C",
    ts timestamptz OPTIONS (role 'time'), n bigint) SERVER flow;
INSERT INTO t SELECT 'k' || i % 10, now() + i * interval '1 us', i
    FROM generate_series(1, 1000) i;
SELECT flowdb_flush('flow');
INSERT INTO t SELECT 'l' || i % 10, now() + i * interval '1 us', i
    FROM generate_series(1, 1000) i;
INSERT INTO forever SELECT * FROM t;
EOC
is(rows('t'), 2000, 'rows that live for an hour');

# ------------------------------------------------- forward for a moment

my $one_statement = <<'EOC' . gate_sql('second') . <<'EOC';
BEGIN;
DECLARE c CURSOR FOR SELECT n FROM t ORDER BY key, ts;
FETCH 1 FROM c;
EOC
MOVE FORWARD ALL FROM c;
COMMIT;
EOC
my $twice = 'DO $$ DECLARE a bigint; b bigint; BEGIN '
  . 'SELECT count(*) INTO a FROM t; '
  . "WHILE (pg_stat_file('gate_second', true)).size IS NULL LOOP "
  . 'PERFORM pg_sleep(0.02); END LOOP; '
  . 'SELECT count(*) INTO b FROM t; '
  . 'IF a <> b OR a <> %d THEN RAISE \'% rows, then %\', a, b; END IF; END $$';
my $cursor = start_sql($node, $one_statement, '-e');
my $do = start_sql($node, sprintf($twice =~ s/% rows, then %/%% rows, then %%/r, 2000));
wait_for_sql($node,
    "SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE '%gate_second%' "
      . 'AND pid <> pg_backend_pid()');
$from = log_size($node);
set_clock(2 * $hour);
is(rows('t'), 0, 'two hours later none is seen');
is(rows('forever'), 2000, 'but those that do not expire');
open_gate($node, 'second');
($rc, $out, $err) = end_sql($cursor);
is($rc, 0, 'a cursor that was open') or diag($err);
($rc, $out, $err) = end_sql($do);
is("$rc$err", '0', 'and a statement see what they saw before');
clean_up('flow');
like(log_since($node, $from),
    qr/LOG:  the system time has jumped forward by 7\d\d\d seconds/,
    'the jump is noted');
is(rows('t'), 0, 'none is seen');
set_clock(0);
is(rows('t'), 2000, 'the clock is set right: all are there again');
clean_up('flow');
is(rows('t'), 2000, 'and stay');

# ----------------------------------------------------- forward for good

set_clock(2 * $hour);
clean_up('flow');
set_clock(2 * $hour + 50 * 60, 50 * 60);
clean_up('flow');
is(query("SELECT records FROM flowdb_stores WHERE 't'::regclass = ANY (tables)"),
    2000, 'a jump that lasts for less than an hour is not believed');
set_clock(3 * $hour + 60, 11 * 60);
clean_up('flow');
set_clock(0);
is(rows('t'), 0, 'one that lasts for an hour is');
is(rows('forever'), 2000, 'by what removes rows that are expired');
query("INSERT INTO t SELECT 'new', now() + i * interval '1 us', i "
      . 'FROM generate_series(1, 100) i');
is(rows('t'), 100, 'what is written after the clock was set back is there');
query("SELECT flowdb_flush('flow')");
is(rows('t'), 100, 'from a file too');
is(query("SELECT count(*) FROM t WHERE key = 'new' AND ts = "
      . "(SELECT max(ts) FROM t)"), 1, 'and by a lookup');
query('UPDATE t SET n = n + 1');
is(rows('t'), 100, 'and after an update');

# A statement that has seen rows as expired goes on to do so.
unlink $node->data_dir . '/gate_second';
set_clock(2 * $hour);
$do = start_sql($node, sprintf($twice =~ s/% rows, then %/%% rows, then %%/r, 0));
wait_for_sql($node,
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%gate_second%' "
      . 'AND pid <> pg_backend_pid()');
set_clock(0);
is(rows('t'), 100, 'the clock is set back under a statement');
open_gate($node, 'second');
($rc, $out, $err) = end_sql($do);
is("$rc$err", '0', 'for which they do not come back');

# The same of a statement that began before the clock went forward, and found
# that others have removed rows by then.
query("INSERT INTO t VALUES ('soon', now(), 1)");
unlink $node->data_dir . '/gate_second';
$do = start_sql($node, <<'EOC');
DO $$
DECLARE a bigint; b bigint;
BEGIN
    -- a write takes the statement's time, but tells nobody that it will read
    INSERT INTO forever VALUES ('y', now(), 1);
    WHILE (pg_stat_file('gate_first', true)).size IS NULL LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
    SELECT count(*) INTO a FROM t;
    PERFORM pg_advisory_lock(42);
    WHILE (pg_stat_file('gate_second', true)).size IS NULL LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
    SELECT count(*) INTO b FROM t;
    IF a <> 0 OR b <> 0 THEN
        RAISE '% rows, then %', a, b;
    END IF;
END $$
EOC
wait_for_sql($node,
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%gate_second%' "
      . 'AND pid <> pg_backend_pid()');
set_clock(2 * $hour);
query("SELECT flowdb_gc('flow')");
set_clock(4 * $hour, 70 * 60);
query("SELECT flowdb_gc('flow')");
open_gate($node, 'first');
wait_for_sql($node,
    "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory'");
set_clock(0);
is(query("SELECT count(*) FROM t WHERE key = 'soon'"),
    1, 'a row that others take for expired for a while');
open_gate($node, 'second');
($rc, $out, $err) = end_sql($do);
is("$rc$err", '0', 'does not come back either');
query("TRUNCATE t; INSERT INTO t SELECT 'new', now() + i * interval '1 us', i "
      . 'FROM generate_series(1, 100) i');

# -------------------------------------------------- back, by hours and years

# Intervals go on: memory is written for its age, fates are noted, servers
# that were dropped go, files that were replaced go, GC comes by.
sub intervals_work
{
    my ($what) = @_;
    my $flushes = query('SELECT sum(flushes) FROM flowdb_stats');
    my $runs = query('SELECT sum(gc_runs) FROM flowdb_stats');
    local $FlowdbTest::timeout = 20;

    query("INSERT INTO forever VALUES ('x', now(), 1)");
    ok(wait_for_sql($node, "SELECT sum(flushes) > $flushes FROM flowdb_stats"),
        "$what: memory is written for its age");
    ok(wait_for_sql($node,
            'SELECT sum(unresolved_transactions) = 0 FROM flowdb_stats'),
        "$what: fates are noted");
    query("SELECT flowdb_compact('flow')");
    ok(wait_for_sql($node,
            "SELECT sum(gc_runs) > $runs FROM flowdb_stats"),
        "$what: GC comes by");
    ok(wait_for_sql($node, 'SELECT sum(obsolete_files) = 0 FROM flowdb_stats'),
        "$what: files that were replaced go");
    query('CREATE SERVER gone FOREIGN DATA WRAPPER flowdb_fdw');
    my $dir = server_dir($node, 'gone');
    query('DROP SERVER gone');
    ok(wait_until(sub { !-e $dir }, 'the removal'), "$what: DROP SERVER ends");
    my ($rc, $out, $err) = try_sql($node, 'CHECKPOINT');
    is($rc, 0, "$what: checkpoints end");
    return;
}

query("ALTER SERVER flow OPTIONS (flush_interval_ms '300', "
      . "gc_interval_secs '1')");
query("ALTER SYSTEM SET flowdb.auto_compaction = on");
query('SELECT pg_reload_conf()');
intervals_work('as ever') if $full;
my $there = rows('forever');
foreach my $shift (-30 * $year, 100 * $year, $full ? (-$hour, 0) : ())
{
    set_clock($shift);
    intervals_work("a shift of $shift s");
    is(rows('forever'), ++$there, 'no row is lost');
    like(query('SELECT flowdb_metrics()'), qr/flowdb_uptime_seconds.*\} \d+\./,
        'metrics can be read');
    is(query('SELECT count(*) FROM flowdb_stats'), 1, 'and the views');
}
set_clock(0);
is(rows('t'), 100, 'rows that live for an hour are still there');

# Waiting costs nothing: who spins would have used it all.
sub cpu
{
    my $sum = 0;
    foreach my $pid (map { process_pids($node, $_) } 'flowdb launcher',
        'flowdb worker')
    {
        my @stat = split ' ', slurp_file("/proc/$pid/stat") =~ s/.*\) //r;
        $sum += $stat[11] + $stat[12];
    }
    return $sum;
}
query("ALTER SERVER flow OPTIONS (DROP flush_interval_ms, "
      . 'DROP gc_interval_secs)');
set_clock(-30 * $year);
sleep(0.5);
my $used = cpu();
sleep(1);
cmp_ok(cpu() - $used, '<', 50, 'nobody spins');
set_clock(0);
$node->restart;
is(rows('t'), 100, 'and after a restart too');
unlike(log_since($node, 0), qr/was terminated by signal|TRAP:|PANIC/,
    'no process crashed');
$node->stop;
done_testing();
