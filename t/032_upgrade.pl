# From version to version: the extension's objects by ALTER EXTENSION UPDATE,
# what 1.0 has left on disk and in the log (t/golden), and what a later version
# leaves, which is refused.
#
# "make golden VERSION=1.1" makes an archive by this test; see doc/RELEASING.md.
use strict;
use warnings;

use File::Path qw(remove_tree);
use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use FlowdbGolden;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = <<'EOC';
flowdb.auto_compaction = off
flowdb.obsolete_file_retention = 0
timezone = 'UTC'
fsync = off
max_connections = 20
EOC
my ($rc, $out, $err);
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);

my $node = new_node('golden', $conf);
($rc, $out, $err) = try_sql($node,
    "CREATE FUNCTION pg_temp.f(int, bytea) RETURNS pg_lsn LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_log'");
plan skip_all => 'needs a build with DEBUG_POINTS=1' if $rc != 0;

# changed_lines(OLD, NEW): the first of the lines that only one of them has.
sub changed_lines
{
    my ($old, $new) = map { [ split /\n/ ] } @_;
    my %old = map { $_ => 1 } @$old;
    my %new = map { $_ => 1 } @$new;
    my @changed = ((map { "-$_" } grep { !$new{$_} } @$old), (map { "+$_" } grep { !$old{$_} } @$new));

    return join("\n", @changed ? @changed[ 0 .. ($#changed > 20 ? 20 : $#changed) ] : ());
}

# ---------------------------------------------------------- what we write now

my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
golden_make($node);
$node->safe_psql('postgres', 'CREATE SERVER gone FOREIGN DATA WRAPPER flowdb_fdw; DROP SERVER gone');
is(golden_diff($node), '', 'as it was made');
# What is written on to one archive is not in the next.
my @written_on = ('metrics_heap', 'readings_heap');
$node->safe_psql('postgres', "CREATE TABLE made_$_ AS TABLE $_") foreach @written_on;
my @records = wal_records($node, $from);
my $layout = golden_layout($node, @records);
$node->safe_psql('postgres', "SELECT flowdb_flush('m1'), flowdb_flush('m2')");
ok(wait_until(sub { my @left = glob($node->data_dir . '/flowdb/*-*'); return @left == 1; }),
    'the dropped server is gone');
$node->stop;

if (my $to = $ENV{FLOWDB_GOLDEN})
{
    golden_pack($node, golden_records(@records), "$to.tar.gz");
    spew_raw("$to.layout", $layout);
    done_testing();
    exit;
}
my @versions = golden_versions();
is(changed_lines(slurp_raw(golden_dir() . "/$versions[-1].layout"), $layout),
    '', "the layout is that of version $versions[-1]")
  or diag('Does the version of each changed format stand among the lines?  If not, raise it.  '
      . 'Then add the archive of a new version: see doc/RELEASING.md.');

# ------------------------------------------------- what released versions wrote

# varint of a number, as records have it.
sub varint
{
    my ($n) = @_;
    my $bytes = '';

    for (; $n >= 128; $n >>= 7) { $bytes .= chr($n & 127 | 128) }
    return $bytes . chr($n);
}

# replay(NODE, RECORDS): the records of the archive come again, with the ids of
# this cluster, and recovery applies them.
sub replay
{
    my ($create, $drop, $batch) = map { $_->[1] } @_;
    my ($db, $m1) = split /\|/, $node->safe_psql('postgres',
        "SELECT d.oid, s.oid FROM pg_database d, pg_foreign_server s WHERE datname = 'postgres' AND srvname = 'm1'");
    my $dir = $node->data_dir . '/flowdb/replayed';

    # A server that nobody has: CREATE makes its directory, DROP removes it.
    substr($create, 0, 8) = my $id = pack('L< L<', $db, 99999);
    substr($create, 8, 8) = $id;
    substr($create, 16, 16) = pack('Q< Q<', 4711, 0);
    substr($create, 40, 64) = pack('a64', 'replayed');
    substr($drop, 0, 8) = $id;

    # A row of a transaction of ours, as the archive's version logged it.
    substr($batch, 0, 8) = pack('L< L<', $db, $m1);
    my ($head, $rest) = unpack('a11 a*', $batch);
    $rest =~ s/^[\x80-\xff]*[\x00-\x7f]//s;
    my $xid = 1 + $node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
    $node->safe_psql('postgres', sprintf(<<'EOC', $xid, unpack('H*', $create), unpack('H*', $head . varint($xid) . $rest)));
BEGIN;
SELECT 1 / (pg_current_xact_id()::text = '%d')::int;
SELECT log_record(16, '\x%s'), log_record(0, '\x%s');
COMMIT;
EOC
    kill9_tree($node);
    restart_by_force($node);
    ok(-f "$dir/IDENTITY", 'a CREATE record is redone');
    $xid = 1 + $node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
    substr($drop, 8, 8) = pack('Q<', $xid);
    $node->safe_psql('postgres',
        sprintf("SELECT 1 / (pg_current_xact_id()::text = '%d')::int, log_record(32, '\\x%s')", $xid, unpack('H*', $drop)));
    kill9_tree($node);
    restart_by_force($node);
    ok(wait_until(sub { return !-e $dir }), 'a DROP record is redone');
    return;
}

foreach my $version (@versions)
{
    my @kept = golden_install($node, $version);
    my $row = "host = 'kept in the log'";

    $node->start;
    $node->safe_psql('postgres', "TRUNCATE $_; INSERT INTO $_ TABLE made_$_") foreach @written_on;
    is(golden_diff($node), '', "golden $version: the rows are those of heap tables");
    foreach my $t ('metrics', 'metrics_heap')
    {
        $node->safe_psql('postgres', "DELETE FROM $t WHERE $row; INSERT INTO $t (host, ts, n) SELECT 'more ' || i % 7,"
              . " timestamptz '2026-02-01' + i * interval '1 s', i FROM generate_series(1, 1000) i; UPDATE $t SET n = -n WHERE n % 5 = 0");
    }
    foreach my $t ('readings', 'readings_heap')
    {
        $node->safe_psql('postgres', "INSERT INTO $t (region, device, port, at, added) SELECT 'more', md5(i::text)::uuid, 1, i, i FROM generate_series(1, 50) i");
    }
    is(golden_diff($node), '', "golden $version: written on");
    kill9_tree($node);
    restart_by_force($node);
    is(golden_diff($node), '', "golden $version: after a crash");
    $node->safe_psql('postgres', "SELECT flowdb_flush('m1')");
    $node->safe_psql('postgres', "SELECT flowdb_compact('m1'), flowdb_compact('m2')");
    is(golden_diff($node), '', "golden $version: compacted");

    replay(@kept);
    is($node->safe_psql('postgres', "SELECT note FROM metrics WHERE $row"), 'by golden_records', "golden $version: a batch is redone");
    $node->safe_psql('postgres', "DELETE FROM metrics WHERE $row");
    is(golden_diff($node), '', "golden $version: and nothing else");
    $node->stop;
}

# --------------------------------------------------------- what comes after us

# Each of them put into a copy of what is there now, and taken out again.
$node->start;
my $flowdb = $node->data_dir . '/flowdb';
my $dir = server_dir($node, 'm1');
my %table_of = (m1 => 'metrics', m2 => 'journal');

# refused(SERVER, WHAT, ABOUT): 0A000 and what to do; the other server works.
sub refused
{
    my ($server, $what, $about) = @_;

    foreach my $sql ("SELECT count(*) FROM $table_of{$server}", "INSERT INTO $table_of{$server} SELECT * FROM $table_of{$server}_heap")
    {
        ($rc, $out, $err) = try_sql($node, $sql, @verbose);
        like($err, qr/ERROR:  0A000: .*newer version.*$about.*HINT:  Use the version/s, "$what: refused");
    }
    my $other = $server eq 'm1' ? 'm2' : 'm1';
    ($rc, $out, $err) = try_sql($node, "SELECT count(*) FROM $table_of{$other}");
    is($rc, 0, "$what: the other server works") or diag($err);
    return;
}

# with_patch(PATH, OFFSET, BYTES, CODE): CODE runs with the server started on
# the changed file, if it starts; the file is put right again.
sub with_patch
{
    my ($path, $offset, $bytes, $code) = @_;
    my $saved = slurp_raw($path);
    my $changed = $saved;

    $node->stop if $node->{_pid};
    substr($changed, $offset, length($bytes)) = $bytes;
    spew_raw($path, $changed);
    my $log = log_size($node);
    my $started = $node->start(fail_ok => 1);
    $code->($started, log_since($node, $log));
    $node->stop if $started;
    is(unpack('H*', slurp_raw($path)), unpack('H*', $changed), "$path is left alone");
    spew_raw($path, $saved);
    $node->start;
    is(golden_diff($node), '', "$path put right");
    return;
}

my ($current) = map { unpack('x16 Q<', slurp_raw($_)) } "$dir/INDEX/CURRENT";
my $two = pack('L<', 2);
with_patch("$dir/IDENTITY", 8, $two, sub { refused('m1', 'IDENTITY', 'IDENTITY') });
with_patch("$dir/INDEX/CURRENT", 8, pack('L<', 4), sub { refused('m1', 'CURRENT', 'CURRENT') });
with_patch(sprintf('%s/INDEX/MANIFEST-%08d', $dir, $current), 8, pack('L<', 4), sub { refused('m1', 'manifest', 'MANIFEST') });
with_patch("$flowdb/registry", 8, $two, sub {
        my ($started, $log) = @_;
        ok(!$started, 'no start with a later registry');
        like($log, qr/registry" was written by a newer version of flowdb_fdw.*HINT/s, 'which is told');
    });

# A file of the store itself is only read when it is needed.
my ($sst) = glob("$flowdb/named/SST/*.sst");
with_patch($sst, (-s $sst) - 24, pack('L<', 5), sub {
        ($rc, $out, $err) = try_sql($node, "SELECT count(payload) FROM journal UNION ALL SELECT count(v) FROM every_key", @verbose);
        like($err, qr/ERROR:  0A000: .*\.sst.*newer.*HINT/s, 'SSTable: refused');
    });

# ---------------------------------------------------------------- in the log

# Such a log has no other end, so each case has a copy of the cluster.
my $data = $node->data_dir;
my $saved = PostgreSQL::Test::Utils::tempdir() . '/saved';
my $ids = unpack('H*', pack('L< L<', $dir =~ m{(\d+)-(\d+)$}));

sub restore
{
    remove_tree($data);
    system_or_bail('cp', '-a', $saved, $data);
    return;
}

# SIGKILL for all of it; what the dead leave may look alive for a while.
sub kill_all
{
    kill9_tree($node);
    unlink "$data/postmaster.pid", $node->host . '/.s.PGSQL.' . $node->port . '.lock';
    return log_size($node);
}

sub end_with_record
{
    my ($type, $hex) = @_;

    $node->start;
    $node->safe_psql('postgres', "SELECT log_record($type, '\\x$hex')");
    return kill_all();
}

$node->stop;
system_or_bail('cp', '-a', $data, $saved);
foreach my $case ([ 0, "${ids}010300", 'version 3', 'a batch' ],
    [ 0, "${ids}040100", 'kind 4', 'another kind' ], [ 0x30, $ids, 'type 48', 'another type' ])
{
    my ($type, $hex, $about, $what) = @$case;
    my $log = end_with_record($type, $hex);

    ok(!$node->start(fail_ok => 1), "log, $what: no start");
    like(log_since($node, $log), qr/FATAL:  recovery needs a newer version of flowdb_fdw.*DETAIL:  [^\n]*$about.*HINT/s,
        "log, $what: told");
    is(join(' ', glob("$flowdb/aside-*")), '', "log, $what: nothing is set aside");
    restore();
}

# A database that needs a later version, and records for it: they wait in the
# log, and are there once that version is back.
$node->start;
$node->safe_psql('postgres', "INSERT INTO $_ (host, ts) VALUES ('logged', '2026-04-01')") foreach ('metrics', 'metrics_heap');
my $log = kill_all();
my $current_file = slurp_raw("$dir/INDEX/CURRENT");
spew_raw("$dir/INDEX/CURRENT", substr($current_file, 0, 8) . pack('L<', 4) . substr($current_file, 12));
ok(!$node->start(fail_ok => 1), 'records of a later database: no start');
like(log_since($node, $log), qr/FATAL:  recovery needs a newer version.*CURRENT/s, 'records of a later database: told');
spew_raw("$dir/INDEX/CURRENT", $current_file);
restart_by_force($node);
is(golden_diff($node), '', 'records of a later database: nothing is lost');

# Rows, and the description of a store, which are bytes to the engine.
$node->safe_psql('postgres', 'CREATE FUNCTION decode(rel regclass, key bytea, ts bigint, expire_at bigint, value bytea)'
      . " RETURNS record STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_decode'");
($rc, $out, $err) = try_sql($node, "SELECT decode('metrics', 'k', 0, 0, '\\x0200')", @verbose);
like($err, qr/ERROR:  0A000: .*"metrics" has rows that a newer version.*HINT/s, 'a later row: refused');
my ($id) = map { unpack('x11 C', $_->[1]) }
  grep { $_->[0] == 0 && unpack('x8 C', $_->[1]) == 2 && index($_->[1], "journal\0") >= 0 } @records;
my ($m2) = $node->safe_psql('postgres', "SELECT oid FROM pg_foreign_server WHERE srvname = 'm2'");
$node->stop;
end_with_record(0, unpack('H*', pack('L< L< C5 a8 C2', $dir =~ m{(\d+)-\d+$}, $m2, 2, 1, 0, $id, 7, 'journal', 1, 4)));
restart_by_force($node);
refused('m2', 'description', '');
$node->stop;

# ------------------------------------------------------- objects of the extension

# A copy of the installation, where the next version is added.
sub copy_installation
{
    my ($root) = @_;

    foreach my $what ('bindir', 'sharedir', 'pkglibdir')
    {
        my ($dir) = run_command([ 'pg_config', "--$what" ]);
        my $to = "$root$dir" =~ s{/[^/]+$}{}r;

        system_or_bail('mkdir', '-p', $to);
        # the server looks for its files beside where its program really is
        system_or_bail('cp', $what eq 'bindir' ? '-rL' : '-rs', $dir, "$to/");
    }
    return "$root" . (run_command([ 'pg_config', '--bindir' ]))[0] =~ s{/bin$}{}r;
}

# add_version(EXTENSION DIRECTORY): the newest one's next, with an upgrade
# script, as a release makes them; returns (newest, next).
sub add_version
{
    my ($dir) = @_;
    my $control = slurp_raw("$dir/flowdb_fdw.control");
    my ($old) = $control =~ /^default_version = '([\d.]+)'/m;
    my $new = $old =~ s/(\d+)$/$1 + 1/er;
    my $changes = <<'EOC';
CREATE FUNCTION flowdb_next() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'next' $$;
REVOKE ALL ON FUNCTION flowdb_next() FROM PUBLIC;
COMMENT ON FUNCTION flowdb_next() IS 'what is new';
CREATE OR REPLACE FUNCTION flowdb_gc(server name) RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100;
EOC

    unlink "$dir/flowdb_fdw.control"; # a link to the real one
    spew_raw("$dir/flowdb_fdw.control", $control =~ s/^(default_version = ').*'/$1$new'/mr);
    spew_raw("$dir/flowdb_fdw--$new.sql", slurp_raw("$dir/flowdb_fdw--$old.sql") . $changes);
    spew_raw("$dir/flowdb_fdw--$old--$new.sql", $changes);
    return ($old, $new);
}

# What \\dx+ lists, and all that can be told of it.
sub objects
{
    my ($database) = @_;

    return $node->safe_psql($database, <<'EOC');
SELECT pg_describe_object(classid, objid, objsubid) AS object, obj_description(objid, classid::regclass::name),
    (SELECT (pg_get_functiondef(p.oid), p.proacl) FROM pg_proc p WHERE p.oid = objid AND classid = 'pg_proc'::regclass AND prokind = 'f'),
    (SELECT (pg_get_viewdef(c.oid), c.relacl) FROM pg_class c WHERE c.oid = objid AND classid = 'pg_class'::regclass AND relkind = 'v'),
    (SELECT (fdwacl, fdwoptions) FROM pg_foreign_data_wrapper f WHERE f.oid = objid AND classid = 'pg_foreign_data_wrapper'::regclass)
FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flowdb_fdw') ORDER BY 1;
EOC
}

my $root = PostgreSQL::Test::Utils::tempdir() . '/next';
my $inst = copy_installation($root);
my $extensions = $root . (run_command([ 'pg_config', '--sharedir' ]))[0] . '/extension';
my ($old, $new) = add_version($extensions);
$node = PostgreSQL::Test::Cluster->new('next', install_path => $inst);
init_node($node);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'flowdb_fdw'\nflowdb.shared_memory = '64MB'\n$conf");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION flowdb_fdw');
is($node->safe_psql('fresh', 'SELECT extversion, flowdb_next() FROM pg_extension WHERE extname = $$flowdb_fdw$$'),
    "$new|next", 'a new installation has the new version');
my $fresh = objects('fresh');

# Every version that was ever released.
foreach my $version (map { m{--([\d.]+)\.sql$} } glob("$extensions/flowdb_fdw--*.sql"))
{
    my $db = "from_$version";

    next if $version eq $new;
    $node->safe_psql('postgres', "CREATE DATABASE \"$db\"");
    $node->safe_psql($db, <<"EOC");
CREATE EXTENSION flowdb_fdw VERSION '$version';
CREATE SERVER s FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (key text COLLATE "C", ts bigint, v int) SERVER s;
INSERT INTO t SELECT 'k', i, i FROM generate_series(1, 100) i;
SELECT flowdb_flush('s');
INSERT INTO t SELECT 'k', i, i FROM generate_series(101, 200) i;
EOC
    $node->safe_psql($db, 'ALTER EXTENSION flowdb_fdw UPDATE');
    is($node->safe_psql($db, "SELECT extversion FROM pg_extension WHERE extname = 'flowdb_fdw'"), $new, "updated from $version");
    is(objects($db), $fresh, "$version: an updated extension has the objects of a new one");
    is($node->safe_psql($db, 'INSERT INTO t VALUES (\'k\', 201, 201); SELECT count(*), sum(v) FROM t'), '201|20301',
        "$version: and the rows");
}
$node->stop;
done_testing();
