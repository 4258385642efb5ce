# A full disk: of one server only, and of the whole cluster.  What was
# committed stays, what cannot be kept is refused, the rest goes on, and once
# there is room everything goes on by itself.  FLOWDB_FULL=1: all of it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbMount;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $enospc = 28;
my $step = 8000;    # rows a transaction, about 1 MB in memory
my $long = $ENV{FLOWDB_FULL};
my ($rc, $out, $err, $from, $start);

diag('no file systems of our own, a failing disk is simulated: '
      . mounts_barred())
  if mounts_barred();

# No power fails here, so nothing needs to be synced.
my $conf = <<'EOC';
fsync = off
checkpoint_timeout = 1h
max_connections = 20
max_prepared_transactions = 0
flowdb.memtable_size = '2MB'
flowdb.obsolete_file_retention = 0
EOC

# ------------------------------------------------------------------ helpers

# Rows for a table and its heap twin in one transaction: '' or the error.
sub try_rows
{
    my ($node, $table, $first, $last) = @_;
    my $values = "SELECT 'k' || i % 10, i, i, md5(i::text) || md5((i * 7)::text)"
      . " FROM generate_series($first, $last) i";
    my @answer = try_sql($node,
        "BEGIN; INSERT INTO $table $values; INSERT INTO ${table}_heap $values; "
          . 'COMMIT', @verbose);
    return $answer[0] == 0 ? '' : $answer[2];
}

# More and more of them until they are refused: the error.
sub load_until_refused
{
    my ($node, $table, $from) = @_;
    my $said = '';

    for (my $i = 0; $i < 60 && $said eq ''; $i++)
    {
        $said = try_rows($node, $table, $$from, $$from + $step - 1);
        $$from += $step;
        sleep(0.1) if $i > 10;
    }
    return $said;
}

sub is_full
{
    my ($said, $what) = @_;
    like($said, qr/ERROR:  53100: /, "$what: disk_full");
    like($said, qr/No space left on device|cannot be written to disk/,
        "$what: tells why");
    like($said, qr/^HINT:  .*[Ff]ree some space/m, "$what: and what to do");
    return;
}

sub file_names
{
    my ($dir) = @_;
    return join ' ', sort map { s{.*/}{}r } glob("$dir/SST/* $dir/INDEX/*");
}

sub flushed
{
    my ($node, $server) = @_;
    return wait_for_sql($node, 'SELECT memtable_records = 0 AND '
          . "frozen_memtables = 0 FROM flowdb_stats WHERE server = '$server'");
}

# A directory below flowdb/ that is a file system of its own, where that can
# be had; else its files are failed.
my %is_mount;

sub make_volume
{
    my ($node, $name, $size) = @_;
    my $dir = $node->data_dir . "/flowdb/$name";

    mkdir $node->data_dir . '/flowdb';
    return $dir if mounts_barred();
    mount_tmpfs($dir, $size);
    $is_mount{$dir} = 1;
    return $dir;
}

sub used_kb
{
    my ($dir) = @_;
    my ($out) =
      PostgreSQL::Test::Utils::run_command([ 'df', '-k', '--output=used', $dir ]);
    my ($kb) = $out =~ /(\d+)/ or die "df $dir: $out";
    return $kb;
}

# As full as it can be; or with room again.
sub fill_up
{
    my ($node, $dir) = @_;
    my ($name) = $dir =~ m{([^/]+)$};

    return debug_io($node, map { [ $_, $enospc, "flowdb/$name/" ] } 'write',
        'create', 'mkdir')
      unless $is_mount{$dir};
    return resize_tmpfs($dir, used_kb($dir) . 'k');
}

sub make_room
{
    my ($node, $dir) = @_;
    return debug_io($node) unless $is_mount{$dir};
    return resize_tmpfs($dir, '256m');
}

# --------------------------------------------------------- one server's disk

my $node = new_node('one', $conf);
my $dir = make_volume($node, 'vol', '4m');
my $postmaster = postmaster_pid($node);
my ($n, $no) = (1, 1);

$node->safe_psql('postgres',
    'CREATE SERVER vol FOREIGN DATA WRAPPER flowdb_fdw '
      . "OPTIONS (data_dir 'vol', auto_background 'false')");
create_twins($node, 't', 'vol');
create_twins($node, 'gone', 'vol');
create_twins($node, 'other', 'elsewhere');
is(try_rows($node, 'gone', 1, 2000), '', 'a second table');
is(try_rows($node, $_, 1, $step), '', "rows for $_") foreach 't', 'other';
$node->safe_psql('postgres', "SELECT flowdb_flush('vol')");
fill_up($node, $dir) unless $is_mount{$dir};
$n = $no = $step + 1;

$from = log_size($node);
my $said = load_until_refused($node, 't', \$n);
is_full($said, 'INSERT');
like($said, qr/server "vol" takes no new rows/, 'it names the server');
like($said, qr/^DETAIL:  .*could not \w+ file "flowdb\/vol\//m, 'and the file');
like(log_since($node, $from),
    qr{WARNING:  FlowDB could not write what "flowdb/vol" has in memory},
    'a WARNING in the log');
like(log_since($node, $from),
    qr/DETAIL:  .*takes no new rows.*checkpoints wait/, 'says what happens now');
is_whole($node, 't', 'full');
my $names = file_names($dir);

$node->safe_psql('postgres',
    "COPY (SELECT 'c', i, i, 'c' FROM generate_series(1, 9) i) TO '"
      . $node->data_dir . "/rows'");
(undef, undef, $err) =
  try_sql($node, "COPY t FROM '" . $node->data_dir . "/rows'", @verbose);
is_full($err, 'COPY');
(undef, undef, $err) =
  try_sql($node, "UPDATE t SET n = 0 WHERE key = 'k1' AND ts = 1", @verbose);
is_full($err, 'UPDATE');
(undef, undef, $err) = try_sql($node, "SELECT flowdb_flush('vol')", @verbose);
is_full($err, 'flowdb_flush');
like($err, qr/could not \w+ file "flowdb\/vol\//, 'which names the file');

is($node->safe_psql('postgres', <<'EOC'), 'failing|t|t', 'flowdb_stats says so');
SELECT state, reason LIKE 'could not%No space left on device', flush_failures > 0
FROM flowdb_stats WHERE server = 'vol'
EOC
is(try_rows($node, 'other', $no, $no + $step - 1), '', 'another server goes on');
$no += $step;
$node->safe_psql('postgres', "SELECT flowdb_flush('elsewhere')");
is_whole($node, 'other', 'full');

$start = time();
(undef, undef, $err) =
  try_sql($node, "SET statement_timeout = '1s'; CHECKPOINT", @verbose);
like($err, qr/ERROR:  57014: /, 'a checkpoint waits, and can be cancelled');
cmp_ok(time() - $start, '<', 10, 'at once');

# Deletes are let in: they may be what frees some space.
$node->safe_psql('postgres', "BEGIN; DELETE FROM t WHERE ts <= 10; "
      . 'DELETE FROM t_heap WHERE ts <= 10; COMMIT');
$node->safe_psql('postgres', 'BEGIN; '
      . "SELECT flowdb_delete_range('t', NULL, NULL, '11', '21'); "
      . 'DELETE FROM t_heap WHERE ts BETWEEN 11 AND 20; COMMIT');
is_whole($node, 't', 'full, after deletes');

# Definitions are logged, and small.
$node->safe_psql('postgres', 'CREATE FOREIGN TABLE late (k int OPTIONS (role \'key\'), '
      . "ts bigint OPTIONS (role 'time')) SERVER vol OPTIONS (store 'late'); "
      . "ALTER FOREIGN TABLE late OPTIONS (ADD on_duplicate 'ignore'); "
      . "ALTER SERVER vol OPTIONS (ADD default_ttl_secs '3600'); "
      . 'SELECT count(*) FROM late; '
      . 'ALTER SERVER vol OPTIONS (DROP default_ttl_secs)');
(undef, undef, $err) =
  try_sql($node, "INSERT INTO late VALUES (1, 1)", @verbose);
is_full($err, 'INSERT into a new table');

sleep($long ? 2.5 : 1.2);    # a flush was tried meanwhile
is(file_names($dir), $names, 'no files pile up');
cmp_ok($node->safe_psql('postgres',
        "SELECT memtable_bytes FROM flowdb_stats WHERE server = 'vol'"),
    '<', 10_000_000, 'memory does not grow');

# Space comes: all goes on by itself.
$from = log_size($node);
$start = time();
make_room($node, $dir);
ok(wait_for_sql($node, "SELECT state = 'open' AND reason IS NULL AND "
          . "frozen_memtables = 0 FROM flowdb_stats WHERE server = 'vol'"),
    'with room the flush goes on');
cmp_ok(time() - $start, '<', 5, 'within seconds');
is(try_rows($node, 't', $n, $n + $step - 1), '', 'and so do writers');
$n += $step;
$node->safe_psql('postgres', "SET statement_timeout = '20s'; CHECKPOINT");
ok(wait_until(
        sub {
            log_since($node, $from) =~
              /LOG:  FlowDB writes what "flowdb\/vol" has in memory to disk again/;
        },
        'the line in the log'),
    'the log says that it is over');
is_whole($node, $_, 'room again') foreach 't', 'gone', 'other';
unlike(log_since($node, 0), qr/PANIC|TRAP:|was terminated by signal/,
    'no process has crashed');
is(postmaster_pid($node), $postmaster, 'no restart');

# ------------------------------------------------- crash and shutdown, full

sub cannot_start
{
    my ($what) = @_;
    $from = log_size($node);
    # the rests of a server that was killed may be in the way
    wait_until(
        sub {
            unlink $node->data_dir . '/postmaster.pid',
              $node->host . '/.s.PGSQL.' . $node->port . '.lock'
              if FlowdbTest::is_zombie(postmaster_pid($node));
            return $node->start(fail_ok => 1)
              || log_since($node, $from) =~ /redo starts|redo in progress/;
        },
        'recovery');
    ok(!postmaster_pid($node), "$what: no start while there is no room");
    $node->{_pid} = undef;
    like(log_since($node, $from),
        qr{FATAL:  FlowDB could not recover "flowdb/vol": could not \w+ file},
        "$what: which says why");
    like(log_since($node, $from),
        qr/HINT:  Free some space.*start the server again/,
        "$what: and what to do");
    return;
}

if ($long)
{
    fill_up($node, $dir);
    is_full(load_until_refused($node, 't', \$n), 'full again');
    $from = log_size($node);
    $node->stop('fast', fail_ok => 1);
    wait_until(sub { !postmaster_pid($node) }, 'the end of the server');
    $node->{_pid} = undef;
    like(log_since($node, $from),
        qr/PANIC:  .*FlowDB could not flush.*DETAIL:  Nothing is lost/s,
        'a shutdown that cannot flush is a crash');
    is(control_data($node, 'Database cluster state'),
        'in production', 'and no clean shutdown');
    cannot_start('after the shutdown');
    make_room($node, $dir);
    restart_by_force($node);
    is_whole($node, $_, 'after the shutdown') foreach 't', 'gone', 'other';
}

fill_up($node, $dir);
is_full(load_until_refused($node, 't', \$n), 'and again');
kill9_tree($node);
cannot_start('after SIGKILL');
make_room($node, $dir);
restart_by_force($node);
is_whole($node, $_, 'after SIGKILL') foreach 't', 'gone', 'other';
is(scalar(grep { /tmp/ } split / /, file_names($dir)),
    0, 'no temporary files are left');

# ------------------------------------------------- what gives space back

# On a disk without a free byte, and with more in memory than fits.
sub frees_space
{
    my ($what, $table, $sql) = @_;
    my ($first, $said) = (1, '');

    make_room($node, $dir);
    flushed($node, 'vol');
    $node->safe_psql('postgres',
        "INSERT INTO $table SELECT 'k', 1000000 * extract(epoch FROM now())::bigint"
          . " + i, i, md5(i::text) || md5((i * 7)::text) FROM generate_series("
          . ($_ * $step + 1) . ', ' . ($_ * $step + $step) . ') i')
      foreach 0 .. 7;
    $node->safe_psql('postgres', "SELECT flowdb_flush('vol')");
    my $then = time();
    fill_up($node, $dir);
    $said = load_until_refused($node, 't', \$n);
    is_full($said, "$what: INSERT");
    $node->safe_psql('postgres', $sql) if $sql;
    $start = time();
    ok(wait_for_sql($node, "SELECT state = 'open' AND frozen_memtables = 0 "
              . "FROM flowdb_stats WHERE server = 'vol'"),
        "$what makes room");
    note(sprintf('after %.2f s, %.2f s after the load', time() - $start,
            time() - $then));
    cmp_ok(time() - $start, '<', 10, "$what: soon");
    is_whole($node, 't', $what);
    return;
}

SKIP:
{
    skip 'no file systems of our own: ' . mounts_barred(), 1 if mounts_barred();
    my $columns = "(key text OPTIONS (role 'key') COLLATE \"C\" NOT NULL, "
      . "ts bigint OPTIONS (role 'time') NOT NULL, n bigint, note text)";
    $node->safe_psql('postgres',
        "CREATE FOREIGN TABLE much $columns SERVER vol;"
          . "CREATE FOREIGN TABLE kept $columns SERVER vol OPTIONS (store 'kept');"
          . "CREATE FOREIGN TABLE brief $columns SERVER vol OPTIONS (ttl '4 seconds')");
    $node->safe_psql('postgres', "SET statement_timeout = '20s'; CHECKPOINT");
    frees_space('TRUNCATE', 'much', 'TRUNCATE much');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM much'),
        0, 'TRUNCATE: no row is left');
    if ($long)
    {
        frees_space('flowdb_delete_range', 'much',
            "SELECT flowdb_delete_range('much', 'k', 'l')");
        is($node->safe_psql('postgres', 'SELECT count(*) FROM much'),
            0, 'flowdb_delete_range: no row is left');
        frees_space('DROP FOREIGN TABLE', 'much', 'DROP FOREIGN TABLE much');
        frees_space('flowdb_drop_store', 'kept', 'DROP FOREIGN TABLE kept; '
              . "SELECT flowdb_drop_store('vol', 'kept')");
        frees_space('expiry', 'brief');
        ok(wait_for_sql($node, 'SELECT count(*) FROM brief', 0),
            'expiry: no row is left');
    }

    fill_up($node, $dir);
    $from = log_size($node);
    $node->safe_psql('postgres', 'DROP SERVER vol CASCADE');
    ok(wait_until(sub { !glob("$dir/*") }, 'the files'), 'DROP SERVER removes all');
    $node->safe_psql('postgres',
        'CREATE SERVER vol FOREIGN DATA WRAPPER flowdb_fdw '
          . "OPTIONS (data_dir 'vol')");
    unlike(log_since($node, $from), qr/could not (?:be )?remove/,
        'and says nothing of the file system that stays');
}
is_whole($node, 'other', 'in the end');
$node->stop;

# ---------------------------------------------------- the whole cluster's disk

# Its log is elsewhere, unless together: then PostgreSQL itself may give up.
sub whole_cluster
{
    my ($together) = @_;
    my $what = $together ? 'all on one disk' : 'cluster';
    my $own = PostgreSQL::Test::Cluster->new($together ? 'all' : 'cluster');
    my $first = 1;

    mount_tmpfs($own->basedir, '512m');
    my $wal = PostgreSQL::Test::Utils::tempdir() . '/wal';
    $own->init(extra => $together ? [] : [ '-X', $wal ]);
    $own->append_conf('postgresql.conf',
        "shared_preload_libraries = 'flowdb_fdw'\n"
          . "flowdb.shared_memory = '64MB'\nautovacuum = off\n"
          . "restart_after_crash = on\n$conf");
    $own->start;
    $own->safe_psql('postgres', 'CREATE EXTENSION flowdb_fdw');
    create_twins($own, 't', 'flow');
    create_twins($own, 'gone', 'second');
    is(try_rows($own, 'gone', 1, 3 * $step), '', "$what: rows");
    $own->safe_psql('postgres', "SELECT flowdb_flush('second')");
    resize_tmpfs($own->basedir,
        used_kb($own->basedir) + ($together ? 32768 : 8192) . 'k');

    my $from = log_size($own);
    my $said = load_until_refused($own, 't', \$first);
    like($said, $together ? qr/./ : qr/ERROR:  53100: /, "$what: full");
    wait_for_sql($own, 'SELECT true') unless $together;
    is_whole($own, 't', "$what, full") unless $together;
    $own->safe_psql('postgres', 'DROP SERVER second CASCADE') unless $together;

    my $more = load_until_refused($own, 't', \$first);
    kill9_tree($own) if postmaster_pid($own) && !$together;
    if ($together)
    {
        $own->stop('immediate', fail_ok => 1);
        $own->{_pid} = undef;
    }
    resize_tmpfs($own->basedir, '512m');
    restart_by_force($own);
    is_whole($own, 't', "$what, after a crash");
    is(try_rows($own, 't', $first, $first + $step - 1), '', "$what: it goes on");
    $own->safe_psql('postgres', 'CHECKPOINT');
    is_whole($own, 't', "$what, in the end");
    is(scalar(glob($own->data_dir . '/flowdb/*/SST/pgsql_tmp*') // ''),
        '', "$what: no temporary files are left");
    $own->stop;
    return;
}

# ------------------------------------------------------- a standby's own disk

# What a standby has in memory is written at restartpoints and when it is
# promoted; where that fails it stops, and goes on once there is room.
sub standby_stops
{
    my ($node_of_sql, $standby, $what, $sql) = @_;
    my $from = log_size($standby);

    $node_of_sql->psql('postgres', $sql);
    ok(wait_until(sub { !postmaster_pid($standby) }, 'the end of the standby'),
        "$what: the standby stops");
    $standby->{_pid} = undef;
    like(log_since($standby, $from),
        qr{FATAL:  FlowDB could not recover "flowdb/vol": could not \w+ file},
        "$what: and says why");
    return;
}

sub standby_goes_on
{
    my ($primary, $standby, $dir, $what) = @_;

    make_room($standby, $dir);
    restart_by_force($standby);
    $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
    is_whole($standby, 't', $what);
    is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'),
        't', "$what: it is a standby still");
    return;
}

sub full_standby
{
    my $primary = new_node('primary', $conf);
    my $standby = PostgreSQL::Test::Cluster->new('standby');
    my $dir = $standby->data_dir . '/flowdb/vol';
    my $first = 1;
    my $add = sub {
        is(try_rows($primary, 't', $first, $first + $step - 1), '', "standby: rows");
        $first += $step;
        $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
    };

    $primary->safe_psql('postgres', 'CREATE SERVER vol FOREIGN DATA WRAPPER '
          . "flowdb_fdw OPTIONS (data_dir 'vol')");
    create_twins($primary, 't', 'vol');
    keep_log($primary);
    $primary->backup('copy');
    $standby->init_from_backup($primary, 'copy', has_streaming => 1);
    rename($dir, "$dir.away") or die "$dir: $!";
    make_volume($standby, 'vol', '256m');
    system_log('cp', '-a', "$dir.away/.", $dir) == 0 or die 'cp';
    system_log('rm', '-r', "$dir.away") == 0 or die 'rm';
    $standby->start;

    $add->();
    fill_up($standby, $dir);
    standby_stops($primary, $standby, 'restartpoint', 'CHECKPOINT');
    standby_goes_on($primary, $standby, $dir, 'restartpoint');

    $add->();
    fill_up($standby, $dir);
    standby_stops($standby, $standby, 'promotion', 'SELECT pg_promote(false)');
    standby_goes_on($primary, $standby, $dir, 'promotion');
    $add->();
    $standby->promote;
    is_whole($standby, 't', 'promoted');
    is(try_rows($standby, 't', $first, $first + $step - 1), '', 'promoted: rows');
    $first += $step;
    fill_up($standby, $dir);
    is_full(load_until_refused($standby, 't', \$first), 'promoted, full');
    make_room($standby, $dir);
    $standby->safe_psql('postgres', "SET statement_timeout = '60s'; CHECKPOINT");
    is_whole($standby, 't', 'promoted, room again');
    $_->stop foreach $standby, $primary;
    return;
}

SKIP:
{
    skip 'no file systems of our own: ' . mounts_barred(), 1 if mounts_barred();
    whole_cluster(0);
    whole_cluster(1) if $long;
    full_standby() if $long;
}
done_testing();
