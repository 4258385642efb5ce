# Rule S4 of doc/INVARIANTS.md: what became of a transaction is known to
# FlowDB before pg_xact forgets it, on a primary, after a crash, and on a
# standby, also for transactions that a crash of the primary ended without a
# word about them in the log.
#
# pg_xact forgets a segment of a million xids at a time; pg_resetwal takes the
# cluster to the end of the first one.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $segment_xids = 32 * 8192 * 4;
my $segment_bytes = 32 * 8192;
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my ($rc, $out, $err);

# ------------------------------------------------------------------- xids

# The first segment of pg_xact has room for n more xids.
sub leave_xids
{
    my ($node, $n) = @_;

    $node->stop;
    truncate($node->data_dir . '/pg_xact/0000', $segment_bytes) or die;
    system_or_bail('pg_resetwal', '-x', $segment_xids - $n, '-D',
        $node->data_dir);
    $node->start;
    return;
}

# n xids of one transaction.
sub burn_xids
{
    my ($node, $n) = @_;

    $node->safe_psql('postgres', <<"EOC");
CREATE TEMP TABLE burnt (i int);
DO \$\$ BEGIN
    FOR i IN 1 .. $n LOOP
        BEGIN
            INSERT INTO burnt VALUES (i);
        EXCEPTION WHEN division_by_zero THEN
        END;
    END LOOP;
END \$\$;
EOC
    return;
}

sub has_first_segment
{
    my ($node) = @_;
    return -e $node->data_dir . '/pg_xact/0000';
}

# Have pg_xact forget its first segment, which is full.
sub forget_first_segment
{
    my ($node) = @_;

    $node->safe_psql('postgres',
        'ALTER DATABASE template0 ALLOW_CONNECTIONS true');
    ok(has_first_segment($node), 'pg_xact reaches back to the beginning');
    foreach my $database ('template0', 'template1', 'postgres')
    {
        $node->safe_psql($database, 'VACUUM FREEZE');
    }
    ok(!has_first_segment($node), 'and then it does not');
    return;
}

# ------------------------------------------------------------------- rows

# INSERT into both twins.
sub rows
{
    my ($key, $from, $to) = @_;
    my $values = "SELECT '$key', g, g, md5(g::text) "
      . "FROM generate_series($from, $to) g";
    return "INSERT INTO t $values; INSERT INTO t_heap $values;\n";
}

# A transaction that hands its rows over long before it ends, and its end.
sub early
{
    my ($key, $end) = @_;
    return "SET flowdb.transaction_buffer = '64kB';\nBEGIN;\n"
      . rows($key, 1, 3000)
      . "SAVEPOINT a;\n"
      . rows("$key taken back", 1, 3000)
      . "ROLLBACK TO a;\nSAVEPOINT b;\n"
      . rows("$key in b", 1, 3000)
      . "RELEASE b;\n$end";
}

# Waits until a statement of that text runs.
sub wait_for_statement
{
    my ($node, $text, $n) = @_;
    return wait_for_sql($node, <<"EOC", $n // 1);
SELECT count(*) FROM pg_stat_activity
WHERE state = 'active' AND query LIKE '%$text%' AND pid <> pg_backend_pid()
EOC
}

sub same
{
    my ($node, $what) = @_;
    is(eval { twin_diff($node, 't') } // $@,
        '', $node->name . ": $what: as the heap");
    ($rc, $out, $err) = try_sql($node, <<'EOC');
SELECT DISTINCT key FROM t
WHERE key LIKE '%taken back' OR key LIKE 'aborted%' OR key LIKE 'killed%'
EOC
    is("$out$err", '', 'and of nobody who aborted');
    return;
}

# FlowDB's directories, which are named alike on a standby.
sub directories
{
    my ($node) = @_;
    return join ' ',
      sort map { s{.*/}{}r } grep { -d } glob($node->data_dir . '/flowdb/*');
}

# ---------------------------------------------------------------- the servers

my $primary = new_node('primary', <<'EOC');
checkpoint_timeout = 1h
max_connections = 20
flowdb.max_workers = 1
EOC
leave_xids($primary, 400);
create_twins($primary, 't');
$primary->safe_psql('postgres', <<'EOC' . rows('plain', 1, 100));
CREATE SERVER spare FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE spare (key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL) SERVER spare;
INSERT INTO spare SELECT 'spare', g FROM generate_series(1, 100) g;
EOC
my $directories = directories($primary);

# The second standby does without the rule.
my $standby = new_standby($primary, 'standby');
my $spoiled = new_standby($primary, 'spoiled');
debug_set($spoiled, 'clog-truncate-skip', 'skip');

# -------------------------------------------- a crash says nothing of an abort

my @killed = (
    start_sql($primary, early('killed', "SELECT 'rows', pg_sleep(1000);\n")),
    start_sql($primary, <<'EOC'),
BEGIN;
CREATE SERVER killed FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE killed (key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL) SERVER killed;
INSERT INTO killed VALUES ('killed', 1);
SELECT 'create', pg_sleep(1000);
EOC
    start_sql($primary, <<'EOC'));
BEGIN;
DROP SERVER spare CASCADE;
SELECT 'drop', pg_sleep(1000);
EOC
wait_for_statement($primary, 'pg\_sleep(1000)', 3);
catch_up($primary, $standby, $spoiled);
isnt(directories($standby), $directories, 'a directory of CREATE SERVER');
same($standby, 'in progress');
kill9_tree($primary);
end_sql($_) foreach @killed;
restart_by_force($primary);
same($primary, 'killed and recovered');
ok(wait_until(sub { directories($primary) eq $directories }, 'the removal'),
    'primary: CREATE SERVER left nothing');
catch_up($primary, $standby, $spoiled);
same($standby, 'the primary was killed');

# ----------------------------------------------- rows that nobody has read yet

# In SSTables with the fate unknown, which is learned later.
my @open = map {
    start_sql($primary,
        early($_ eq 'COMMIT' ? 'flushed' : 'aborted flushed',
            gate_sql('flushed') . "$_;\n"))
} ('COMMIT', 'ROLLBACK');
wait_for_statement($primary, 'gate\_flushed', 2);
$primary->safe_psql('postgres', "SELECT flowdb_flush('flow')");
my $sstables = stat_of($primary, 'sstables');
open_gate($primary, 'flushed');
is((end_sql($_))[0], 0, 'a transaction that was flushed early') foreach @open;

# In memtables, never read by anybody.
foreach my $sql (rows('alone', 1, 1), early('early', 'COMMIT'),
    early('aborted', 'ROLLBACK'), "BEGIN;\n" . rows('big', 1, 500) . 'COMMIT')
{
    $primary->safe_psql('postgres', $sql);
}

# ------------------------------------------------------ pg_xact cannot be read

# It raises errors with its lock held: neither the worker nor a reader may
# keep it.  The worker is stopped, so that nobody has asked in time.
sub ends_with
{
    my ($sql, $expected, $what) = @_;
    my $job = start_sql($primary, $sql, '-v', 'VERBOSITY=verbose');
    local $FlowdbTest::timeout = 20;

    ($rc, $out, $err) = end_sql($job);
    like($err, $expected, $what) or BAIL_OUT('and nothing else would work');
    return;
}

my $from = log_size($primary);
my $pg_xact = $primary->data_dir . '/pg_xact';
debug_set($primary, 'worker-resolve', 'wait');
debug_wait($primary, 'worker-resolve');
$primary->safe_psql('postgres',
    "INSERT INTO spare SELECT 'unread$_', g FROM generate_series(1, 50) g")
  foreach 1, 2;
burn_xids($primary, 1000);
# No catalog needs it any more, and none of its buffers has the page.
$primary->safe_psql('postgres', 'VACUUM FREEZE');
$primary->safe_psql('postgres',
    'SELECT txid_status(i * 32768 + 1000) FROM generate_series(1, 25) i');
rename("$pg_xact/0000", "$pg_xact.0000") or die;
debug_clear($primary);
ok(wait_until(
        sub { log_since($primary, $from) =~ /WARNING: .*transaction status:/ },
        'a warning of the worker'),
    'a worker that cannot read pg_xact says so');
foreach my $i (1, 2)
{
    ends_with('SELECT count(*) FROM spare', qr/ERROR:  58P01: could not access/,
        'so does a reader');
    ends_with('CREATE TABLE while_unread (); DROP TABLE while_unread',
        qr/^$/, 'all else goes on');
}
sleep(1.5);    # the worker tries again
ends_with('CREATE TABLE while_unread ()', qr/^$/, 'and still does');
rename("$pg_xact.0000", "$pg_xact/0000") or die;
is($primary->safe_psql('postgres', 'SELECT count(*) FROM spare'),
    200, 'once it can be read, all is there');

# ------------------------------------------------------ pg_xact forgets it all

sleep(2.5);    # the time that workers take to learn fates, and more
forget_first_segment($primary);
catch_up($primary, $standby, $spoiled);
is(stat_of($primary, 'sstables'), $sstables, 'nothing was flushed meanwhile');
ok(!has_first_segment($standby), "the standby's pg_xact has forgotten too");

# What a crash would leave just now: the whole data directory at one moment.
sub take_image
{
    my ($name) = @_;
    my $image = PostgreSQL::Test::Cluster->new($name);
    my $copy = $primary->backup_dir . "/$name";
    my @pids = (postmaster_pid($primary), children_of(postmaster_pid($primary)));

    kill('STOP', @pids);
    system_or_bail('cp', '-a', $primary->data_dir, $copy);
    kill('CONT', @pids);
    unlink "$copy/postmaster.pid";
    $image->init_from_backup($primary, $name);
    return $image;
}

my $image = take_image('image');

same($primary, 'forgotten');
same($standby, 'forgotten');
is(directories($standby), $directories, 'standby: CREATE SERVER left nothing');
foreach my $node ($primary, $standby)
{
    is($node->safe_psql('postgres', 'SELECT count(*) FROM spare'),
        200, $node->name . ': DROP SERVER did not happen');
    is($node->safe_psql('postgres',
            "SELECT count(*) FROM t WHERE key LIKE 'early%'"),
        6000, $node->name . ': an early transaction is all there');
}

# Recovery meets everything again, with the old part of pg_xact gone.
$image->start;
same($image, 'recovered');
is(stat_of($image, 'state'), 'open', 'image: the database is sound');
$image->stop;
kill9_tree($standby);
restart_by_force($standby);
catch_up($primary, $standby, $spoiled);
same($standby, 'killed once forgotten');

# ------------------------------------------- a standby that did not learn them

# Cursors survive that their database breaks, or end with an error.
my @cursors = map {
    start_sql($spoiled,
            "BEGIN;\n"
          . "DECLARE c CURSOR FOR SELECT ts FROM t WHERE key = 'plain';\n"
          . "FETCH 3 FROM c;\n"
          . "DECLARE d CURSOR FOR SELECT ts FROM t WHERE key = 'plain' "
          . "ORDER BY ts DESC;\nFETCH 2 FROM d;\n"
          . gate_sql('cursors')
          . "$_;\n", '-v', 'VERBOSITY=verbose')
} ('FETCH 100 FROM c; CLOSE d; COMMIT', "SELECT count(*) FROM t");
wait_for_statement($spoiled, 'gate\_cursors', 2);

# --------------------------------------------------------- all goes on, flushed

($rc, $out, $err) =
  try_sql($primary, "SET statement_timeout = '20s'; CHECKPOINT");
is($rc, 0, 'a checkpoint comes to its end') or diag($err);
is(stat_of($primary, 'memtable_records'), 0, 'with everything flushed');
same($primary, 'flushed');
$primary->safe_psql('postgres', rows('new', 1, 10));
($rc, $out, $err) = try_sql($primary,
    "SET statement_timeout = '20s'; SELECT flowdb_flush('flow')");
is($rc, 0, 'flowdb_flush works') or diag($err);
$primary->safe_psql('postgres', rows('newer', 1, 10));
catch_up($primary, $standby, $spoiled);
same($standby, 'after a restartpoint');

ok(wait_until(sub { log_since($spoiled, 0) =~ /broken: .*older than pg_xact/ },
        'its end'), 'without the rule the database breaks');
is(stat_of($spoiled, 'state'), 'broken', 'spoiled: and says so');
open_gate($spoiled, 'cursors');
($rc, $out, $err) = end_sql($cursors[0]);
ok(($rc == 0 && scalar(() = $out =~ /^\d+$/mg) == 3 + 2 + 97)
      || $err =~ /ERROR:  XX001/,
    'an open cursor goes on, or fails') or diag("$rc $out $err");
($rc, $out, $err) = end_sql($cursors[1]);
like($err, qr/ERROR:  XX001: .*broken/, 'a new statement fails');
is($spoiled->safe_psql('postgres', "SELECT count(*) FROM t_heap WHERE key = 'newer'"),
    10, 'that standby goes on');
($rc, $out, $err) = try_sql($spoiled, 'SELECT count(*) FROM t', @verbose);
like($err, qr/ERROR:  XX001: .*broken/, 'without that database');

$standby->restart;
same($standby, 'restarted');
is(stat_of($standby, 'state'), 'open', 'standby: the database is sound');
kill9_tree($primary);
restart_by_force($primary);
same($primary, 'killed once flushed');
is(stat_of($primary, 'state'), 'open', 'primary: the database is sound');
unlike(log_since($_, 0), qr/broken/, $_->name . ': nothing was ever broken')
  foreach $primary, $standby, $image;
foreach my $node ($primary, $standby, $image, $spoiled)
{
    unlike(log_since($node, 0),
        qr/TRAP:|PANIC|was terminated by signal|reinitializing/,
        $node->name . ': no process crashed');
}
$_->stop foreach $standby, $spoiled, $primary;

# --------------------------- nobody has opened the database since the start

# A fate that the files do not know, because the server ended within a second
# after the commit, and databases that are loaded by nobody's statement.
sub unopened
{
    my $node = new_node('unopened', "checkpoint_timeout = 1h\n");
    leave_xids($node, 400);
    create_twins($node, 't');
    my $follower = new_standby($node, 'follower');
    my $after = sub {
        $node->safe_psql('postgres', 'SELECT txid_current()');
        $node->wait_for_catchup($follower, 'replay', $node->lsn('insert'));
    };

    debug_set($node, 'worker-resolve', 'wait');
    my $job = start_sql($node,
            early('early', "SELECT 'rows';\n")
          . gate_sql('unopened')
          . "\nCOMMIT;\n");
    wait_for_statement($node, 'gate\_unopened');
    $node->safe_psql('postgres', 'CHECKPOINT');
    $after->();
    is(stat_of($_, 'unresolved_transactions > 0'), 't',
        $_->name . ': a file with a transaction that is not over')
      foreach $node, $follower;
    $follower->safe_psql('postgres', 'CHECKPOINT');
    open_gate($node, 'unopened');
    end_sql($job);
    $after->();
    $follower->stop;
    $node->stop;
    debug_clear($node);
    $node->start;
    $follower->start;
    sleep(2.5);
    burn_xids($node, 800);
    forget_first_segment($node);
    $after->();
    ok(!has_first_segment($follower), "the standby's pg_xact has forgotten too");
    same($_, 'opened late') foreach $node, $follower;
    unlike(log_since($_, 0), qr/broken|TRAP:|PANIC/, $_->name . ' is sound')
      foreach $node, $follower;
    $_->stop foreach $follower, $node;
    return;
}
unopened();
done_testing();
