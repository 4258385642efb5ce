# Physical copies of a server under load: each starts, and each table of
# FlowDB's is the twin of its heap table there.  The commands are those of
# doc/OPERATIONS.md, sections "Backup" and "pg_rewind".
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbRecipe;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# Nothing replaced is kept longer than it must be, and much is replaced.
my $conf = <<'EOC';
wal_log_hints = on
wal_keep_size = '1GB'
checkpoint_timeout = '30s'
flowdb.memtable_size = '1MB'
flowdb.obsolete_file_retention = 0
flowdb.max_workers = 2
EOC
my $primary = new_node('primary', $conf, has_archiving => 1, extra => ['-k']);
create_twins($primary, 't', 'metrics');
my $tmp = PostgreSQL::Test::Utils::tempdir();

# A load that goes on until it is ended: rows that replace others, deletes.
sub start_load
{
    my ($node) = @_;
    my $sql = '';

    foreach my $i (1 .. 4000)
    {
        my $rows = "SELECT 'k' || g % 13, (g * 7919 + $i * 31) % 20000, "
          . "$i, repeat(md5(g::text), 4) FROM generate_series(1, 200) g";
        $sql .= "BEGIN; CREATE TEMP TABLE r ON COMMIT DROP AS "
          . "SELECT DISTINCT ON (1, 2) * FROM ($rows) r (key, ts, n, note); "
          . 'INSERT INTO t SELECT * FROM r; '
          . 'INSERT INTO t_heap SELECT * FROM r ON CONFLICT (key, ts) '
          . 'DO UPDATE SET n = excluded.n, note = excluded.note; '
          . "DELETE FROM t WHERE key = 'k1' AND ts % 7 = $i % 7; "
          . "DELETE FROM t_heap WHERE key = 'k1' AND ts % 7 = $i % 7; "
          . "COMMIT;\n";
    }
    my $job = start_sql($node, $sql);
    my $before = $node->safe_psql('postgres',
        "SELECT merges FROM flowdb_stats WHERE server = 'metrics'");
    wait_for_sql($node, "SELECT merges > $before + 1 FROM flowdb_stats "
          . "WHERE server = 'metrics'");
    return $job;
}

sub end_load
{
    my ($job) = @_;
    ok(sql_running($job), 'the load went on all the time')
      or diag((end_sql($job))[2]);
    kill 'TERM', $job->{pid};
    end_sql($job);
    return;
}

# A copy in DIR as a server of its own, not yet started.
sub copy_node
{
    my ($name, $dir) = @_;
    my $copy = PostgreSQL::Test::Cluster->new($name);

    rename($dir, $copy->data_dir) or die "$dir: $!";
    chmod 0700, $copy->data_dir;
    $copy->append_conf('postgresql.conf', "port = " . $copy->port
          . "\narchive_mode = off\nfsync = off\nunix_socket_directories = '" . $copy->host . "'\n");
    return $copy;
}

# It has rows, the same as its heap twin; takes more, flushes, compacts, and
# starts again.
sub is_good
{
    my ($copy, $what, $table) = @_;
    $table //= 't';

    ok(wait_for_sql($copy, 'SELECT NOT pg_is_in_recovery()'), "$what: started");
    is(twin_diff($copy, $table), '', "$what: the same as the heap");
    cmp_ok($copy->safe_psql('postgres', "SELECT count(*) FROM $table"),
        '>', 100, "$what: with rows");
    $copy->safe_psql('postgres',
        "BEGIN; INSERT INTO $table VALUES ('new', 1, 1); "
          . "INSERT INTO ${table}_heap VALUES ('new', 1, 1); COMMIT; "
          . "SELECT flowdb_flush('metrics'), flowdb_compact('metrics')");
    $copy->restart;
    is(twin_diff($copy, $table), '', "$what: more rows, and a restart");
    unlike(log_since($copy, 0), qr/broken|TRAP:|PANIC/, "$what: no complaints");
    $copy->stop;
    return;
}

# --------------------------------------------------------- base backup, standby

my $load = start_load($primary);
recipe_ok($primary, 'backup', BACKUP => "$tmp/base");
my $standby_conf = <<'EOC';
hot_standby = on
hot_standby_feedback = on
EOC
my $standby = new_standby($primary, 'standby', $standby_conf);

# the low-level way, and its log from the archive
recipe_ok($primary, 'backup-low-level', BACKUP => "$tmp/low");
ok(-s "$tmp/low/backup_label", 'a low-level backup has its label');
is($primary->safe_psql('postgres', "SELECT pg_switch_wal() IS NOT NULL"), 't',
    'its log goes to the archive');

# ----------------------------------------------------- a snapshot of the disk

# All processes stand still at one moment, as the disk of an atomic snapshot.
my @pids = (postmaster_pid($primary), children_of(postmaster_pid($primary)));
kill 'STOP', @pids;
system('cp', '-a', $primary->data_dir, "$tmp/snapshot") == 0 or die;
kill 'CONT', reverse @pids;
unlink "$tmp/snapshot/postmaster.pid";

# ------------------------------------------------------------ from a standby

$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
recipe_ok($standby, 'backup', BACKUP => "$tmp/of_standby");

# ----------------------------------------------------- point-in-time recovery

recipe_ok($primary, 'backup', BACKUP => "$tmp/pitr");
$primary->safe_psql('postgres', 'SELECT pg_sleep(0.3)');
end_load($load);
my $rows_then = $primary->safe_psql('postgres', 'SELECT count(*) FROM t');
recipe_ok($primary, 'restore-point');
$primary->safe_psql('postgres', <<'EOC');
BEGIN; TRUNCATE t; TRUNCATE t_heap; COMMIT;
INSERT INTO t VALUES ('late', 1, 1); INSERT INTO t_heap VALUES ('late', 1, 1);
SELECT flowdb_flush('metrics'); CHECKPOINT; SELECT pg_switch_wal();
EOC
my $archive = $primary->archive_dir;
$primary->poll_query_until('postgres',
    "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) "
      . "OR last_archived_time > now() - interval '1 s' FROM pg_stat_archiver");

my $base = copy_node('base', "$tmp/base");
$base->start;
is_good($base, 'pg_basebackup');

my $low = copy_node('low', "$tmp/low");
$low->append_conf('postgresql.conf',
    "restore_command = 'cp \"$archive/%f\" \"%p\"'\nrecovery_target = 'immediate'\n"
      . "recovery_target_action = 'promote'\n");
PostgreSQL::Test::Utils::append_to_file($low->data_dir . '/recovery.signal', '');
$low->start;
is_good($low, 'pg_backup_start and tar');

my $snapshot = copy_node('snapshot', "$tmp/snapshot");
$snapshot->start;
is_good($snapshot, 'snapshot of the disk');

my $of_standby = copy_node('of_standby', "$tmp/of_standby");
$of_standby->append_conf('postgresql.conf', "primary_conninfo = ''\n");
unlink $of_standby->data_dir . '/standby.signal';
$of_standby->start;
is_good($of_standby, 'pg_basebackup of a standby');

my $pitr = copy_node('pitr', "$tmp/pitr");
recipe_ok($pitr, 'recover', NEWDATA => $pitr->data_dir, ARCHIVE => $archive);
$pitr->_update_pid(1);
ok(wait_for_sql($pitr, 'SELECT NOT pg_is_in_recovery()'), 'recovered');
is($pitr->safe_psql('postgres', 'SELECT count(*) FROM t'),
    $rows_then, 'point-in-time recovery: the rows of that moment');
is_good($pitr, 'point-in-time recovery');

# ------------------------------------------------------------------ incremental

my ($version) = `pg_basebackup --version` =~ /(\d+)/;
SKIP:
{
    skip 'incremental backups came with PostgreSQL 17', 1 if $version < 17;
    $primary->append_conf('postgresql.conf', 'summarize_wal = on');
    $primary->reload;
    $primary->safe_psql('postgres', 'CHECKPOINT');
    my $load = start_load($primary);
    recipe_ok($primary, 'backup-incremental', BACKUP => "$tmp/full",
        NEWDATA => "$tmp/combined");
    end_load($load);
    my $combined = copy_node('combined', "$tmp/combined");
    $combined->start;
    is_good($combined, 'incremental backup');
}

# -------------------------------------------------------------------- pg_rewind

# The standby becomes the primary; the old one goes on for a while with rows
# that nobody will ever see, and dies.
create_twins($primary, 'r', 'metrics');
my $both = sub {
    my ($node, $key, $n) = @_;
    my $rows = "SELECT '$key', g, g, md5(g::text) FROM generate_series(1, $n) g";
    $node->safe_psql('postgres',
        "BEGIN; INSERT INTO r $rows; INSERT INTO r_heap $rows; COMMIT");
    return;
};
$both->($primary, 'common', 5000);
$primary->safe_psql('postgres', 'CHECKPOINT');
$both->($primary, 'common2', 5000);
$primary->safe_psql('postgres', 'SELECT txid_current()');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$standby->promote;
ok(wait_for_sql($standby, 'SELECT NOT pg_is_in_recovery()'), 'promoted');
$both->($primary, 'lost', 9000);
$primary->safe_psql('postgres', <<'EOC');
CREATE SERVER lost FOREIGN DATA WRAPPER flowdb_fdw;
DELETE FROM r WHERE key = 'common2'; DELETE FROM r_heap WHERE key = 'common2';
SELECT flowdb_flush('metrics'), flowdb_compact('metrics'); CHECKPOINT;
EOC
$both->($primary, 'lost2', 500);
$standby->safe_psql('postgres', 'CREATE SERVER later FOREIGN DATA WRAPPER flowdb_fdw');
$both->($standby, 'new', 3000);
recipe_ok($standby, 'rewind-before');
$load = start_load($standby);
kill9_tree($primary);
unlink $primary->data_dir . '/postmaster.pid',    # a zombie may have the pid
  $primary->host . '/.s.PGSQL.' . $primary->port . '.lock';
my ($rc, $out, $err) = recipe($primary, 'rewind',
    SOURCE => $standby->connstr('postgres'), PGHOST => $primary->host);
is($rc, 0, 'recipe "rewind", after a crash') or diag("$out\n$err");
unlink $primary->data_dir . '/postmaster.pid';    # of pg_rewind's own server
$primary->append_conf('postgresql.conf',
    'port = ' . $primary->port . "\nunix_socket_directories = '" . $primary->host . "'");
$primary->start;
end_load($load);
$both->($standby, 'new2', 1000);
$standby->safe_psql('postgres', 'SELECT txid_current()');
ok(wait_for_sql($primary, "SELECT count(*) FROM r WHERE key = 'new2'", 1000),
    'rewound: it follows');
is(twin_diff($primary, 'r'), '', 'rewound: the same as the heap');
is(twin_diff($primary, 't'), '', 'rewound: what was written meanwhile too');
is($primary->safe_psql('postgres', "SELECT count(*) FROM r WHERE key ~ 'lost'"),
    0, 'rewound: nothing of the other time');
my $servers = "SELECT string_agg(server, ' ' ORDER BY server) "
  . "FROM flowdb_stats WHERE state IN ('open', 'closed')";
is($primary->safe_psql('postgres', $servers),
    $standby->safe_psql('postgres', $servers), 'rewound: the same servers');
unlike(log_since($_, 0), qr/broken|TRAP:|PANIC/, 'no complaints')
  foreach $primary, $standby;
$primary->stop;
$standby->stop;
done_testing();
