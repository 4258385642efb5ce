# At the limits: sessions that end in the middle of things, as many servers as
# there can be, too few processes, an error in the last moment of a shutdown,
# and a base backup that is older in one file than in another.
use strict;
use warnings;

use Cwd ();
use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $max_servers = 128;
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my ($rc, $out, $err, $from, $start);

# No power fails here, so nothing needs to be synced.
my $conf = <<'EOC';
fsync = off
checkpoint_timeout = 1h
max_connections = 20
EOC

# -------------------------------------------------------- too few processes

# PostgreSQL has no room for a launcher.  The rest of it is further down: the
# writer waits for some time.
my $few = new_node('few', $conf . "max_worker_processes = 0\n");
create_twins($few, 't');
my $write_start = time();
my $writer = start_sql($few, "INSERT INTO t VALUES ('a', 1, 1, 'a')",
    '-v', 'VERBOSITY=verbose');

my $node = new_node('limits', $conf . "wal_keep_size = 512MB\n");
my $postmaster = postmaster_pid($node);
create_twins($node, 't', 'flow');
create_twins($node, 'other', 'flow2');

sub is_up
{
    my ($what) = @_;
    is(postmaster_pid($node), $postmaster, "$what: the server stays up");
    no_crash($node, $what, $from);
    return;
}

# -------------------------------------------------- sessions end with cursors

add_twin_rows($node, 't', 1, 20_000);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
add_twin_rows($node, 't', 20_001, 40_000);
add_twin_rows($node, 'other', 1, 1000);
my $cursors = <<'EOC';
BEGIN;
INSERT INTO t VALUES ('never', 1, 1, 'never');
DECLARE c CURSOR FOR SELECT * FROM t;
FETCH 3 FROM c;
DECLARE d CURSOR FOR SELECT * FROM t ORDER BY key, ts;
FETCH 2 FROM d;
EOC

$from = log_size($node);
foreach my $i (1 .. 3)
{
    ($rc, $out, $err) = try_sql($node, $cursors);
    is($rc, 0, 'a client goes away with two cursors open') or diag($err);
}
my $job = start_sql($node, $cursors . gate_sql('terminated'));
wait_for_sql($node, <<'EOC');
SELECT count(*) = 1 FROM pg_stat_activity
WHERE query LIKE '%gate\_terminated%' AND pid <> pg_backend_pid()
EOC
$node->safe_psql('postgres', <<'EOC');
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query LIKE '%gate\_terminated%' AND pid <> pg_backend_pid()
EOC
isnt((end_sql($job))[0], 0, 'another one is terminated');
# a crash would be known by now to whoever asks
is_whole($node, 't', 'sessions that end with cursors');
is_up('sessions that end with cursors');

# ------------------------------------------------------ pg_cancel_backend

$from = log_size($node);
my $launcher = process_pid($node, 'flowdb launcher');
debug_set($node, 'sst-before-sync', 'wait');
add_twin_rows($node, 't', 40_001, 41_000);
$job = start_sql($node, 'CHECKPOINT');
debug_wait($node, 'sst-before-sync');
foreach my $pid (map { process_pids($node, $_) } 'flowdb launcher',
    'flowdb worker')
{
    is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"),
        't', 'a process of FlowDB is cancelled');
}
sleep(0.3);
is(process_pid($node, 'flowdb launcher'), $launcher, 'the launcher stays');
debug_clear($node);
is((end_sql($job))[0], 0, 'and the checkpoint comes to its end');
add_twin_rows($node, 't', 41_001, 42_000);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow'); CHECKPOINT");
is_whole($node, 't', 'cancelled processes');
is(process_pid($node, 'flowdb launcher'), $launcher, 'it is still the same');
is_up('cancelled processes');

# -------------------------------------------------------------- DROP SERVER

# Its files go within two seconds, and no other's.
sub is_removed
{
    my ($what, @paths) = @_;
    $start = time();
    ok(wait_until(sub { return !grep { -e } @paths; }, 'a removal'),
        "$what: the files are removed");
    my $took = time() - $start;
    note(sprintf('after %.2f s', $took));
    cmp_ok($took, '<', slower(2.5), "$what: soon");
    return;
}

create_twins($node, 'gone', 'gone');
add_twin_rows($node, 'gone', 1, 1000);
my $other_dir = server_dir($node, 'flow2');
my $gone_dir = server_dir($node, 'gone');
ok(-d $gone_dir && -d $other_dir, 'two directories');
$node->safe_psql('postgres', 'DROP SERVER gone CASCADE; DROP TABLE gone_heap');
is_removed('DROP SERVER', $gone_dir);
ok(-d $other_dir, "another server's stay");
is_whole($node, 'other', 'DROP SERVER');

# Of a broken database too, whose records recovery has set aside.
create_twins($node, 'gone', 'gone');
add_twin_rows($node, 'gone', 1, 1000);
$node->safe_psql('postgres', "SELECT flowdb_flush('gone'); CHECKPOINT");
add_twin_rows($node, 'gone', 1001, 2000);
$gone_dir = server_dir($node, 'gone');
my $aside = $gone_dir =~ s{/([^/]+)$}{/aside-$1}r;
kill9_tree($node);
flip_byte(glob("$gone_dir/INDEX/MANIFEST*"), 20);
restart_by_force($node);
($rc, $out, $err) = try_sql($node, 'SELECT count(*) FROM gone', @verbose);
like($err, qr/ERROR:  XX001: .*broken/, 'a broken database');
ok(-s $aside, 'whose records are set aside');
$node->safe_psql('postgres', 'DROP SERVER gone CASCADE; DROP TABLE gone_heap');
is_removed('DROP SERVER of a broken database', $gone_dir, $aside);
ok(-d $other_dir, "another server's stay");
is_whole($node, 'other', 'DROP SERVER of a broken database');

# ----------------------------------------- CREATE SERVER without a directory

# Its record is logged already when that fails.
sub create_server
{
    my ($name) = @_;
    my $create = start_sql($node,
        "CREATE SERVER $name FOREIGN DATA WRAPPER flowdb_fdw",
        '-v', 'VERBOSITY=verbose');
    local $FlowdbTest::timeout = 20;

    ($rc, $out, $err) = end_sql($create);
    return defined $rc ? $err : 'hangs';
}

my $flowdb = $node->data_dir . '/flowdb';
chmod(0500, $flowdb) or die;
my $refused = create_server('unlucky');
chmod(0700, $flowdb) or die;
like($refused, qr/ERROR:  42501: could not create directory/,
    'CREATE SERVER that cannot make its directory')
  or BAIL_OUT('and nothing else would work');
is(create_server('unlucky'), '', 'a second try goes well');
$node->safe_psql('postgres', 'DROP SERVER unlucky');
is_whole($node, 'other', 'CREATE SERVER without a directory');

# ------------------------------------- a backup whose registry is the newest

# It was copied after CREATE SERVER, and the names of the directories before,
# or in the middle: recovery makes what is missing, for its log has the rest.
$node->backup('mixed');
my $backup = $node->backup_dir . '/mixed';
foreach my $table ('late1', 'late2', 'late3')
{
    create_twins($node, $table, $table);
    add_twin_rows($node, $table, 1, 1000);
    $node->safe_psql('postgres', "SELECT flowdb_flush('$table')");
    add_twin_rows($node, $table, 1001, 2000);
}
my %late = map { $_ => server_dir($node, $_) =~ s{.*/}{}r } 'late1', 'late2',
  'late3';
copy("$flowdb/registry", "$backup/flowdb/registry") or die;
mkdir "$backup/flowdb/$late{late2}";
copy("$flowdb/$late{late2}/IDENTITY", "$backup/flowdb/$late{late2}/IDENTITY")
  or die;
mkdir "$backup/flowdb/$late{late3}/$_" foreach '', 'INDEX', 'SST';
ok(!-d "$backup/flowdb/$late{late1}", 'a backup without a directory');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'mixed', has_streaming => 1);
$standby->start;

# Of a server that does not go on, "wait_for_catchup" would not come back.
sub standby_follows
{
    my ($what) = @_;
    $node->safe_psql('postgres', 'SELECT txid_current()');
    my $lsn = $node->lsn('insert');
    ok(wait_until(
            sub {
                my @answer = try_sql($standby,
                    "SELECT pg_last_wal_replay_lsn() >= '$lsn'");
                return 1 if $answer[0] == 0 && $answer[1] eq 't';
                return !postmaster_pid($standby);
            },
            'the standby') && postmaster_pid($standby),
        "$what: the standby follows");
    return;
}

standby_follows('mixed backup');
is_whole($standby, $_, 'mixed backup')
  foreach 't', 'other', 'late1', 'late2', 'late3';
unlike(log_since($standby, 0), qr/broken/, 'nothing is broken');
$standby->restart;
is_whole($standby, $_, 'mixed backup, restarted')
  foreach 'other', 'late1', 'late2', 'late3';

# ------------------------------------------------- as many as there can be

sub servers
{
    my ($where) = @_;
    return $where->safe_psql('postgres',
        "SELECT count(*) FROM flowdb_stats WHERE state IN ('open', 'closed')");
}

sub directories
{
    my ($where) = @_;
    return scalar grep { -d } glob($where->data_dir . '/flowdb/*');
}

my $wrapper = 'FOREIGN DATA WRAPPER flowdb_fdw';
my $n = servers($node);
$node->safe_psql('postgres',
    join '', map { "CREATE SERVER s$_ $wrapper;\n" } $n + 1 .. $max_servers);
is(servers($node), $max_servers, 'as many servers as there can be');
($rc, $out, $err) = try_sql($node, "CREATE SERVER more $wrapper", @verbose);
isnt($rc, 0, 'not one more');
like($err, qr/ERROR:  54000: too many FlowDB servers/, 'with its own error');
is(directories($node), $max_servers, 'nothing is left of it');

$node->stop('immediate');
ok($node->start(fail_ok => 1), 'the server starts with that many');
is(servers($node), $max_servers, 'all of them are there');
is_whole($node, $_, 'that many servers') foreach 't', 'late1';
standby_follows('that many servers');
is(servers($standby), $max_servers, 'on the standby too');

# One place for three hundred, one after the other, with no checkpoint and
# hardly any time in between.
$node->safe_psql('postgres', 'DROP SERVER s128');
my $redo = control_data($node, "Latest checkpoint's REDO location");
($rc, $out, $err) = try_sql($node,
    join '', map { "CREATE SERVER c$_ $wrapper;\nDROP SERVER c$_;\n" } 1 .. 300);
is($rc, 0, 'the last place is taken three hundred times') or diag($err);
$node->safe_psql('postgres', "CREATE SERVER last $wrapper");
add_twin_rows($node, 'other', 1001, 2000);
is(control_data($node, "Latest checkpoint's REDO location"),
    $redo, 'without a checkpoint');
standby_follows('three hundred servers');
is(servers($standby), $max_servers, 'with as many servers');
is_whole($standby, 'other', 'three hundred servers');
kill9_tree($node);
ok(eval { restart_by_force($node); 1 }, 'the server starts after a crash');
is(servers($node), $max_servers, 'with as many servers');
ok(wait_until(sub { directories($node) == $max_servers }, 'the directories'),
    'and directories');
is_whole($node, 'other', 'three hundred servers');

# A place whose files are just being removed is waited for.
debug_set($node, 'drop-files', 'wait');
$node->safe_psql('postgres', 'DROP SERVER last');
debug_wait($node, 'drop-files');
$job = start_sql($node, "CREATE SERVER last $wrapper");
sleep(0.5);
ok(sql_running($job), 'CREATE SERVER waits for the last place');
debug_clear($node);
($rc, $out, $err) = end_sql($job);
is($rc, 0, 'and gets it') or diag($err);

# All at once.
$node->safe_psql('postgres',
    'BEGIN; '
      . join('', map { "DROP SERVER s$_;" } $n + 1 .. $max_servers - 1)
      . 'COMMIT; '
      . join('', map { "CREATE SERVER z$_ $wrapper;" } $n + 1 .. $max_servers - 1));
is(servers($node), $max_servers, 'all of them anew');
standby_follows('all of them anew');
is(servers($standby), $max_servers, 'and on the standby');
$standby->stop;

# --------------------------------------- an error in the last flush of all

add_twin_rows($node, 'other', 2001, 3000);
debug_set($node, 'final-flush', 'error');
$from = log_size($node);
$node->stop('fast', fail_ok => 1);
wait_until(sub { !postmaster_pid($node) }, 'the end of the server');
$node->{_pid} = undef;
like(log_since($node, $from), qr/debug point "final-flush"/,
    'an error in the final flush');
like(log_since($node, $from), qr/PANIC: .*FlowDB could not flush/,
    'is a crash');
isnt(control_data($node, 'Database cluster state'),
    'shut down', 'and no clean shutdown');
debug_clear($node);
restart_by_force($node);
is_whole($node, 'other', 'an error in the final flush');
$node->stop;

# ---------------------------------------------------------------- pg_upgrade

# It does not know our files: the tables say so instead of being empty.
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
init_node($upgraded);
$upgraded->append_conf('postgresql.conf',
    "shared_preload_libraries = 'flowdb_fdw'\nflowdb.shared_memory = '64MB'\n"
      . $conf);
my $upgrade_dir = PostgreSQL::Test::Utils::tempdir();
my $bin = $node->config_data('--bindir');
my $pwd = Cwd::getcwd();
chdir $upgrade_dir or die;
($out, $err) = ('', '');
$rc = IPC::Run::run(
    [ 'pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin,
        '-d', $node->data_dir, '-D', $upgraded->data_dir,
        '-s', $node->host, '-p', $node->port, '-P', $upgraded->port ],
    '>', \$out, '2>', \$err);
chdir $pwd or die;
ok($rc, 'pg_upgrade') or diag("$out $err");
$upgraded->start;
is($upgraded->safe_psql('postgres', 'SELECT count(*) FROM other_heap'),
    3000, "pg_upgrade keeps the heap's rows");
foreach my $sql ('SELECT count(*) FROM other',
    "INSERT INTO other VALUES ('x', 1, 1)")
{
    ($rc, $out, $err) = try_sql($upgraded, $sql, @verbose);
    like($err, qr/ERROR:  \w{5}: server "flow2" has no FlowDB database/,
        'pg_upgrade: its tables are not there');
    like($err, qr/^HINT: .*pg_upgrade/m, 'with a hint');
}
$upgraded->safe_psql('postgres', 'DROP SERVER flow2 CASCADE');
create_twins($upgraded, 'fresh', 'flow2');
$upgraded->safe_psql('postgres', "INSERT INTO fresh VALUES ('a', 1, 1, 'a')");
is($upgraded->safe_psql('postgres', 'SELECT note FROM fresh'),
    'a', 'a new server can be made');
$upgraded->stop;

# -------------------------------------------- one database cannot be flushed

# It is alone with that: the others' flushes go on, and so do their writers.
sub alone
{
    my $own = new_node('alone',
        $conf . "flowdb.memtable_size = '1MB'\nflowdb.max_workers = 2\n");
    my $rows = "SELECT 'k' || i % 10, i, i * 3, md5(i::text) "
      . 'FROM generate_series(1, 300000) i';

    create_twins($own, 'bad', 'bad');
    create_twins($own, 'good', 'good');
    my $dir = server_dir($own, 'bad') . '/SST';
    $own->safe_psql('postgres', "INSERT INTO bad VALUES ('a', 1, 1, 'a')");
    rename($dir, "$dir.away") or die;
    my ($rc, $out, $err) = try_sql($own, "SELECT flowdb_flush('bad')");
    isnt($rc, 0, 'a flush fails');
    my $start = time();
    ($rc, $out, $err) = try_sql($own, "INSERT INTO good $rows");
    is("$rc$err", '0', 'another server takes many rows');
    my $took = time() - $start;
    cmp_ok($took, '<', 10, 'at its speed');
    cmp_ok(
        $own->safe_psql('postgres',
            "SELECT flushes FROM flowdb_stats WHERE server = 'good'"),
        '>', 5, 'which are flushed');
    rename("$dir.away", $dir) or die;
    $own->safe_psql('postgres', "SELECT flowdb_flush('bad')");
    is($own->safe_psql('postgres', 'SELECT count(*) FROM bad'), 1,
        'the other recovers');
    $own->stop;
    return;
}
alone();

# ------------------------------------------- too few processes, the rest of it

is($few->safe_psql('postgres', 'SELECT count(*) FROM t'),
    0, 'without a launcher, reading works');
($rc, $out, $err) = end_sql($writer);
isnt($rc, 0, 'writing ends with an error');
like($err, qr/ERROR:  53400: FlowDB's launcher is not running/, 'that says why');
like($err, qr/^HINT:  .*max_worker_processes/m, 'and what to do');
$start = time();
($rc, $out, $err) =
  try_sql($few, "SET statement_timeout = '5s'; CHECKPOINT", @verbose);
is($rc, 0, 'a checkpoint works') or diag($err);
$few->append_conf('postgresql.conf', 'max_worker_processes = 8');
$few->restart;
$few->safe_psql('postgres', "INSERT INTO t VALUES ('a', 1, 1, 'a')");
is($few->safe_psql('postgres', 'SELECT note FROM t'), 'a', 'with enough, all does');
$few->stop;
done_testing();
