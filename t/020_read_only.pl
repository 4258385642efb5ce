# Files that cannot be written, read, synced or removed: of one server, of one
# SSTable, of all of flowdb/.  Errors name the file and tell what to do,
# nothing is lost, the rest of the server works, and what was in the way being
# gone, everything goes on by itself.  FLOWDB_FULL=1: all of it.
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
my ($eio, $enospc) = (5, 28);
my ($rc, $out, $err, $from, $start);
my $long = $ENV{FLOWDB_FULL};

my $node = new_node('files', <<'EOC');
fsync = on
checkpoint_timeout = 1h
max_connections = 20
flowdb.block_cache = 0
flowdb.obsolete_file_retention = 0
flowdb.auto_compaction = off
EOC
my $flowdb = $node->data_dir . '/flowdb';
create_twins($node, 't', 'flow');
create_twins($node, 'other', 'flow2');
my $dir = server_dir($node, 'flow');
my ($name) = $dir =~ m{([^/]+)$};
my $n = 1;

# What a failure leaves must be removable.
END
{
    my $status = $?;
    chmod(0700, grep { defined } $flowdb, $dir, "$dir/SST", "$dir/INDEX")
      if defined $dir;
    $? = $status;
}

# chmod does not bind everybody.
my $bound = $> != 0;

sub add_rows
{
    my ($table) = @_;
    my @answer = try_sql($node, twin_rows($table, $n, $n + 999), @verbose);
    $n += 1000;
    return $answer[0] == 0 ? '' : $answer[2];
}

sub state_of
{
    my ($server) = @_;
    return $node->safe_psql('postgres',
        "SELECT state, reason FROM flowdb_stats WHERE server = '$server'");
}

# The flush of "flow" fails as told, the rest goes on; and after CURE all does.
sub flush_fails
{
    my ($what, $sqlstate, $message, $hint, $cure, $unreadable) = @_;

    is(add_rows('t'), '', "$what: rows");
    (undef, undef, $err) = try_sql($node, "SELECT flowdb_flush('flow')", @verbose);
    like($err, qr/ERROR:  $sqlstate: FlowDB: $message/, "$what: an error");
    like($err, qr/^HINT:  .*$hint/m, "$what: and what to do");
    is(add_rows('other'), '', "$what: another server goes on");
    wait_for_sql($node,
        "SELECT flush_failures >= 2 FROM flowdb_stats WHERE server = 'flow'");
    wait_until(
        sub { $err = add_rows('t'); return $err =~ /takes no new rows/ },
        'the refusal');
    like($err, qr/ERROR:  $sqlstate: server "flow" takes no new rows/,
        "$what: writers are refused, with the same code");
    like(state_of('flow'), qr/^failing\|$message/, "$what: flowdb_stats says so");
    is_whole($node, $_, $what) foreach $unreadable ? () : 't', 'other';
    $start = time();
    $cure->();
    ok(wait_for_sql($node, "SELECT state = 'open' AND frozen_memtables = 0 "
              . "FROM flowdb_stats WHERE server = 'flow'"),
        "$what: the flush goes on");
    cmp_ok(time() - $start, '<', 5, "$what: soon");
    is(add_rows('t'), '', "$what: and so do writers");
    $node->safe_psql('postgres', "SET statement_timeout = '20s'; CHECKPOINT");
    is_whole($node, 't', "$what, after it");
    is(scalar(grep { m{/pgsql_tmp} } glob("$dir/SST/*")),
        0, "$what: no temporary files are left");
    return;
}

# ------------------------------------------------------- cannot be written

SKIP:
{
    skip 'permissions do not bind this user', 1 unless $bound;
    chmod(0500, "$dir/SST") or die;
    flush_fails('a folder without write permission', '42501',
        qr/could not open file "flowdb\/$name\/SST\/\S+": Permission denied/,
        qr/operating system user.* read and write/,
        sub { chmod(0700, "$dir/SST") or die });
    if ($long)
    {
        chmod(0000, $dir) or die;
        flush_fails('a folder without any', '42501',
            qr/could not \w+ file "flowdb\/$name\/\S+": Permission denied/,
            qr/operating system user/,
            sub { chmod(0700, $dir) or die }, 1);
    }
}

SKIP:
{
    skip 'no file systems of our own: ' . mounts_barred(), 1 if mounts_barred();
    mount_tmpfs("$flowdb/vol", '16m');
    $node->safe_psql('postgres', "CREATE SERVER vol FOREIGN DATA WRAPPER "
          . "flowdb_fdw OPTIONS (data_dir 'vol')");
    create_twins($node, 'v', 'vol');
    is(add_rows('v'), '', 'rows on a file system of its own');
    $node->safe_psql('postgres', "SELECT flowdb_flush('vol')");
    is(add_rows('v'), '', 'and more');
    remount("$flowdb/vol", 'ro');
    (undef, undef, $err) = try_sql($node, "SELECT flowdb_flush('vol')", @verbose);
    like($err, qr/ERROR:  \w{5}: FlowDB: could not \w+ file "flowdb\/vol\/.*Read-only file system/,
        'a read-only file system');
    like($err, qr/^HINT:  The file system is read-only/m, 'and what to do');
    is_whole($node, 'v', 'read-only file system');
    remount("$flowdb/vol", 'rw');
    ok(wait_for_sql($node, "SELECT state = 'open' AND frozen_memtables = 0 "
              . "FROM flowdb_stats WHERE server = 'vol'"),
        'writable again, the flush goes on');
    is_whole($node, 'v', 'writable again');
}

# ---------------------------------------------------- operations that fail

foreach my $op ('torn', $long ? ('sync', 'write', 'rename', 'syncdir') : ())
{
    my $code = $op eq 'torn' ? $enospc : $eio;

    debug_io($node, [ $op, $code, "flowdb/$name/SST" ]);
    flush_fails("$op fails", $op eq 'torn' ? '53100' : '58030',
        qr/could not (?:write|fsync|rename) .*"flowdb\/$name\/SST/,
        $op eq 'torn' ? qr/Free some space/ : qr/failures of the disk/,
        sub { debug_io($node) });
}

# The manifest: a failed one is not trusted again, the next edit makes another.
my ($manifest) = glob("$dir/INDEX/MANIFEST*");
debug_io($node, [ 'sync', $eio, "flowdb/$name/INDEX/MANIFEST" ]);
flush_fails('sync of the manifest fails', '58030',
    qr/could not fsync file "flowdb\/$name\/INDEX\/MANIFEST/,
    qr/failures of the disk/, sub { debug_io($node) });
ok(!-e $manifest || scalar(my @all = glob("$dir/INDEX/MANIFEST*")) > 1,
    'and another manifest is used');
if ($long)
{
    debug_io($node, [ 'torn', $enospc, "flowdb/$name/INDEX/" ]);
    flush_fails('a manifest that is written in half', '53100',
        qr/could not write file "flowdb\/$name\/INDEX\//, qr/Free some space/,
        sub { debug_io($node) });
}

# Files that cannot be removed are removed later.
add_rows('t');
$node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
debug_io($node, [ 'unlink', $eio, "flowdb/$name/SST" ]);
is($node->safe_psql('postgres', "SELECT flowdb_compact('flow')"),
    't', 'a merge whose inputs cannot be removed');
cmp_ok($node->safe_psql('postgres',
        "SELECT obsolete_files FROM flowdb_stats WHERE server = 'flow'"),
    '>', 0, 'they wait');
is_whole($node, 't', 'files that cannot be removed');
debug_io($node);
ok(wait_for_sql($node,
        "SELECT obsolete_files FROM flowdb_stats WHERE server = 'flow'", 0),
    'and go later');

# ------------------------------------------------------- cannot be read

my ($sst) = glob("$dir/SST/*");
my ($sst_name) = $sst =~ m{([^/]+)$};

SKIP:
{
    skip 'permissions do not bind this user', 1 unless $bound;
    chmod(0000, $sst) or die;
    (undef, undef, $err) = try_sql($node, 'SELECT sum(n) FROM t', @verbose);
    like($err,
        qr/ERROR:  42501: FlowDB: could not open file "flowdb\/$name\/SST\/$sst_name": Permission denied/,
        'an SSTable that cannot be opened');
    like($err, qr/^HINT:  .*operating system user/m, 'and what to do');
    is(add_rows('t'), '', 'rows are taken all the same');
    is_whole($node, 'other', 'an SSTable that cannot be opened');
    chmod(0600, $sst) or die;
    is_whole($node, 't', 'an SSTable that can be opened again');
}
debug_io($node, [ 'read', $eio, $sst_name ]);
(undef, undef, $err) = try_sql($node, 'SELECT sum(n) FROM t', @verbose);
like($err,
    qr/ERROR:  58030: FlowDB: could not read file "flowdb\/$name\/SST\/$sst_name" at offset \d+: Input/,
    'an SSTable that cannot be read');
like($err, qr/^HINT:  .*failures of the disk/m, 'and what to do');
(undef, undef, $err) = try_sql($node, "SELECT flowdb_compact('flow')", @verbose);
like($err, qr/58030: .*$sst_name|^$/, 'nor merged');
is_whole($node, 'other', 'an SSTable that cannot be read');
debug_io($node);
is_whole($node, 't', 'an SSTable that can be read again');

# --------------------------------------------- starts: cannot be reached

# The server starts, the database is broken until its files are there, and
# loses nothing of what the log has.
sub heals
{
    my ($what, $sqlstate, $reason, $spoil, $cure) = @_;

    is(add_rows('t'), '', "$what: rows");
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    is(add_rows('t'), '', "$what: rows that only the log has");
    $node->safe_psql('postgres', "UPDATE t SET n = -n WHERE ts > $n - 500; "
          . "UPDATE t_heap SET n = -n WHERE ts > $n - 500");
    kill9_tree($node);
    $spoil->();
    $from = log_size($node);
    restart_by_force($node);
    is_whole($node, 'other', "$what: the server runs");
    foreach my $sql ('SELECT count(*) FROM t', "INSERT INTO t VALUES ('x', 1)")
    {
        (undef, undef, $err) = try_sql($node, $sql, @verbose);
        like($err, qr/ERROR:  $sqlstate: FlowDB database of server "flow" is broken/,
            "$what: the database is broken");
        like($err, qr/^DETAIL:  .*$reason/m, "$what: the reason");
        like($err, qr/^HINT:  Mount its file system.*by itself/m,
            "$what: what to do");
    }
    like(state_of('flow'), qr/^broken\|.*$reason/, "$what: flowdb_stats");
    my @said = log_since($node, $from) =~ /(is broken:)/g;
    is(scalar(@said), 1, "$what: the log says it once");
    $node->safe_psql('postgres', "SET statement_timeout = '20s'; CHECKPOINT");
    # and once more: what was kept is not kept twice
    if ($long || $what =~ /mounted/)
    {
        kill9_tree($node);
        restart_by_force($node);
        is(add_rows('other'), '', "$what: after a second crash");
    }

    $cure->();
    ok(wait_for_sql($node, 'SELECT count(*) > 0 FROM t'), "$what: it heals");
    is_whole($node, $_, "$what, healed") foreach 't', 'other';
    is(add_rows('t'), '', "$what: and takes rows");
    is(scalar(my @kept = glob("$flowdb/later-* $flowdb/aside-*")),
        0, "$what: nothing is kept any more");
    $node->restart;
    is_whole($node, 't', "$what, after a restart");
    return;
}

heals('a file system that is not mounted', 'XX001', 'IDENTITY" is missing',
    sub { rename($dir, "$dir.away") && mkdir($dir) or die },
    sub { rmdir($dir) && rename("$dir.away", $dir) or die });
SKIP:
{
    skip 'permissions do not bind this user', 1 unless $bound;
    skip 'it takes long', 1 unless $long;
    heals('a folder that cannot be read', '42501', 'Permission denied',
        sub { chmod(0000, $dir) or die },
        sub { chmod(0700, $dir) or die });
    heals('a manifest that cannot be read', '42501', 'Permission denied',
        sub { chmod(0000, "$dir/INDEX") or die },
        sub { chmod(0700, "$dir/INDEX") or die });
}

# ----------------------------------------------------- the registry's folder

SKIP:
{
    skip 'permissions do not bind this user', 1 unless $bound;
    my $launcher = process_pid($node, 'flowdb launcher');

    create_twins($node, 'gone', 'gone');
    my $gone = server_dir($node, 'gone');
    is(add_rows($_), '', "rows for $_") foreach 't', 'gone';
    chmod(0500, $flowdb) or die;
    (undef, undef, $err) = try_sql($node,
        'CREATE SERVER no FOREIGN DATA WRAPPER flowdb_fdw', @verbose);
    like($err, qr/ERROR:  42501: could not create directory "flowdb\//,
        'CREATE SERVER in a folder without write permission');
    (undef, undef, $err) =
      try_sql($node, 'DROP SERVER gone CASCADE', @verbose);
    like($err, qr/ERROR:  42501: could not write file "flowdb\//, 'DROP SERVER');
    is(add_rows($_), '', "rows for $_ all the same") foreach 't', 'gone';
    sleep(2.5);    # the launcher has looked twice
    chmod(0700, $flowdb) or die;
    is_whole($node, $_, 'the folder of all') foreach 't', 'other', 'gone';
    is(process_pid($node, 'flowdb launcher'), $launcher, 'the launcher survives');

    # a directory that cannot be removed at first
    chmod(0500, $gone) or die;
    $node->safe_psql('postgres', 'DROP SERVER gone CASCADE');
    ok(wait_until(
            sub {
                log_since($node, $from) =~
                  /WARNING:  some files of directory "flowdb\/\S+" could not be removed/;
            },
            'the warning'),
        'files of a dropped server that cannot be removed');
    chmod(0700, $gone) or die;
    ok(wait_until(sub { !-e $gone }, 'the removal'), 'are removed later');

    # and nothing of it can be read when the server starts
    $node->stop;
    chmod(0000, $flowdb) or die;
    $from = log_size($node);
    $node->start;
    is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM t_heap'),
        't', 'a start without the folder: heap tables work');
    (undef, undef, $err) = try_sql($node, 'SELECT count(*) FROM t', @verbose);
    like($err, qr/ERROR:  42501: could not open file "flowdb\/registry"/,
        'others say so');
    sleep(2.5);
    my @said = log_since($node, $from) =~ /\] (?:WARNING|ERROR|FATAL): .*registry/g;
    cmp_ok(scalar(@said), '<=', 3, 'the log is not filled with it') or diag("@said");
    chmod(0700, $flowdb) or die;
    is_whole($node, $_, 'the folder again') foreach 't', 'other';
}
unlike(log_since($node, 0), qr/PANIC|TRAP:/, 'no PANIC');
$node->stop;
done_testing();
