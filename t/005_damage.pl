# Damaged and missing files, copied and dropped databases: the server runs,
# access to what is damaged says so, all else goes on.
use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{FLOWDB_SEED} // (time() * 1000 + $$) % 2**31;
diag("FLOWDB_SEED=$seed");
srand($seed);

# A cached block would be right whatever becomes of the file.
my $node = new_node('damage', "max_connections = 20\nflowdb.block_cache = 0\n");
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my ($rc, $out, $err);

create_twins($node, 't', 'flow');
create_twins($node, 'other', 'flow2');

# The only file of that name below a server's directory.
sub file_of
{
    my ($dir, $pattern) = @_;
    my @files = glob("$dir/$pattern");
    is(scalar(@files), 1, "there is one $pattern") or diag("@files");
    return $files[-1];
}

# XX001 with a hint.  about: what the message must name.
sub is_damage
{
    my ($sql, $about, $what) = @_;

    ($rc, $out, $err) = try_sql($node, $sql, @verbose);
    isnt($rc, 0, "$what: access fails");
    like($err, qr/ERROR:  XX001: .*$about/s, "$what: with XX001, naming it");
    like($err, qr/^HINT: /m, "$what: and a hint");
    return;
}

add_twin_rows($node, 't', 1, 20_000);
add_twin_rows($node, 'other', 1, 1000);
$node->safe_psql('postgres',
    "SELECT flowdb_flush('flow'), flowdb_flush('flow2'); CHECKPOINT");
my $dir = server_dir($node, 'flow');

# ---------------------------------------------------------------------- SSTable

my $sst = file_of($dir, 'SST/*');
my ($name) = $sst =~ m{([^/]+)$};

flip_byte($sst, int((-s $sst) / 3));
is_damage('SELECT sum(n), max(note) FROM t', $name, 'byte of an SSTable');
is_whole($node, 'other', 'byte of an SSTable');
$node->safe_psql('postgres', "INSERT INTO t VALUES ('new', 1, 1, 'x')");
is($node->safe_psql('postgres', "SELECT note FROM t WHERE key = 'new'"),
    'x', 'what does not touch the damage works');
$node->safe_psql('postgres', "INSERT INTO t_heap VALUES ('new', 1, 1, 'x')");
flip_byte($sst, int((-s $sst) / 3));
is_whole($node, 't', 'byte put right');

# Any byte: an error, or all the rows; never something else.
my $expected = $node->safe_psql('postgres',
    'SELECT count(*), sum(n), sum(ts), min(note), max(note) FROM t_heap');
my %seen = (error => 0, right => 0);

foreach my $offset (0, 8, (-s $sst) - 1, (-s $sst) - 9,
    map { int(rand(-s $sst)) } 1 .. 20)
{
    flip_byte($sst, $offset);
    ($rc, $out, $err) = try_sql($node,
        'SELECT count(*), sum(n), sum(ts), min(note), max(note) FROM t',
        @verbose);
    my $right = $rc == 0 && $out eq $expected;
    $seen{ $right ? 'right' : 'error' }++;
    ok($right || $err =~ /ERROR:  XX001: /, "byte $offset of the SSTable")
      or diag("$out $err");
    flip_byte($sst, $offset);
}
cmp_ok($seen{error}, '>', 10, 'most of them are noticed');
is_whole($node, 't', 'all bytes put right');

# A file that is shorter, or not there.
copy($sst, "$sst.saved") or die;
truncate($sst, (-s $sst) - 100);
is_damage('SELECT sum(n) FROM t', $name, 'truncated SSTable');
unlink $sst;
is_damage('SELECT sum(n) FROM t', $name, 'missing SSTable');
rename("$sst.saved", $sst) or die;
is_whole($node, 't', 'SSTable put back');

# ----------------------------------------------- what is read at the first use

# break: damages something while the server is down, and returns how to mend it.
sub down_and_up
{
    my ($break) = @_;

    $node->stop('fast');
    my $mend = $break->();
    ok($node->start(fail_ok => 1), 'the server starts')
      or BAIL_OUT('no start with a damaged database');
    return $mend;
}

sub broken_until_mended
{
    my ($what, $about, $break) = @_;
    my $mend = down_and_up($break);

    is_damage('SELECT * FROM t LIMIT 1', $about, $what);
    is_damage("INSERT INTO t VALUES ('no', 1, 1)", $about, "$what, write");
    is_damage("SELECT flowdb_flush('flow')", $about, "$what, flush");
    is_whole($node, 'other', $what);
    add_twin_rows($node, 'other', 100_000 + $node->safe_psql('postgres', 'SELECT max(ts) FROM other_heap'),
        100_005 + $node->safe_psql('postgres', 'SELECT max(ts) FROM other_heap'));
    is($node->safe_psql('postgres',
            "SELECT count(*) FROM flowdb_stats WHERE state = 'broken'"),
        1, "$what: flowdb_stats shows it");
    $node->stop('fast');
    $mend->();
    $node->start;
    is_whole($node, 't', "$what, mended");
    is_whole($node, 'other', "$what, mended");
    return;
}

sub flipper
{
    my ($file, $offset) = @_;
    return sub {
        flip_byte($file, $offset);
        return sub { flip_byte($file, $offset) };
    };
}

sub mover
{
    my ($path) = @_;
    return sub {
        rename($path, $node->data_dir . '/moved') or die "$path: $!";
        return sub { rename($node->data_dir . '/moved', $path) or die; };
    };
}

my $manifest = file_of($dir, 'INDEX/MANIFEST*');

broken_until_mended('manifest', 'MANIFEST', flipper($manifest, 20));
broken_until_mended('missing manifest', 'MANIFEST', mover($manifest));
broken_until_mended('CURRENT', 'CURRENT', flipper("$dir/INDEX/CURRENT", 2));
broken_until_mended('missing CURRENT', 'CURRENT', mover("$dir/INDEX/CURRENT"));
broken_until_mended('IDENTITY', 'IDENTITY', flipper("$dir/IDENTITY", 17));
broken_until_mended('missing IDENTITY', 'IDENTITY', mover("$dir/IDENTITY"));
broken_until_mended('missing directory', 'flow', mover($dir));

# Any byte of the manifest, its last edit included: broken, or all the rows.
# Of those that tell its version (8 to 11): refused as a newer one's.
add_twin_rows($node, 't', 30_001, 30_500);
$node->safe_psql('postgres', "SELECT flowdb_flush('flow'); CHECKPOINT");
$expected = $node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM t_heap');
$manifest = file_of($dir, 'INDEX/MANIFEST*');
my @offsets = (0, 10, (-s $manifest) - 1, map { int(rand(-s $manifest)) } 1 .. 6);
foreach my $offset (@offsets)
{
    # The load must not mend what the next round flips back.
    copy($manifest, $node->data_dir . '/manifest.saved') or die;
    my $files = join ' ', sort glob("$dir/SST/*");
    my $mend = down_and_up(flipper($manifest, $offset));
    ($rc, $out, $err) =
      try_sql($node, 'SELECT count(*), sum(n) FROM t', @verbose);
    my $refused =
      $offset >= 8 && $offset < 12 ? qr/ERROR:  0A000: .*newer version/ : qr/ERROR:  XX001: .*broken/;
    ok(($rc == 0 && $out eq $expected) || $err =~ $refused, "byte $offset of the manifest: refused or right")
      or diag("$out $err");
    $node->stop('fast');
    is(join(' ', sort glob("$dir/SST/*")), $files, 'no SSTable was removed');
    copy($node->data_dir . '/manifest.saved', $manifest) or die;
    $node->start;
}
is_whole($node, 't', 'manifest mended');

# --------------------------------------------------------------------- registry

my $registry = $node->data_dir . '/flowdb/registry';
foreach my $break (flipper($registry, 12), mover($registry))
{
    down_and_up($break);
    is_whole($node, 't', 'damaged registry');
    is_whole($node, 'other', 'damaged registry');
    $node->safe_psql('postgres', <<'EOC');
CREATE SERVER after_damage FOREIGN DATA WRAPPER flowdb_fdw;
DROP SERVER after_damage;
EOC
    $node->restart;
    is_whole($node, 't', 'registry written anew');
    is_whole($node, 'other', 'registry written anew');
}

# ------------------------------------------------------- damage met by recovery

add_twin_rows($node, 't', 50_001, 50_500);
add_twin_rows($node, 'other', 50_001, 50_500);
kill9_tree($node);
$manifest = file_of($dir, 'INDEX/MANIFEST*');
flip_byte($manifest, 20);
my $from = log_size($node);
restart_by_force($node);
like(log_since($node, $from), qr/broken/, 'recovery says that it is broken');
is_damage('SELECT count(*) FROM t', '', 'damage met by recovery');
is_whole($node, 'other', 'damage met by recovery');
my ($ids) = $dir =~ m{([^/]+)$};
ok(-s $node->data_dir . "/flowdb/aside-$ids", 'its records are set aside');
is(unpack('H32', slurp_file($node->data_dir . "/flowdb/aside-$ids")),
    unpack('H*', pack('a8 L< L<', 'FLWASID1', 1, 0)), 'behind a head with a version');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->restart;
flip_byte($manifest, 20);
$node->restart;
is_damage('SELECT count(*) FROM t', 'aside', 'while records are set aside');
is_whole($node, 'other', 'while records are set aside');

# Its place can be taken again.
$node->safe_psql('postgres', 'DROP SERVER flow CASCADE; DROP TABLE t_heap');
ok(wait_until(sub { !-e $dir }, 'the removal of the directory'),
    'a broken database can be dropped');
ok(wait_until(sub { !-e $node->data_dir . "/flowdb/aside-$ids" },
        'the removal of what was set aside'), 'with what was set aside');

# ---------------------------------------------------- copies, drops, rollbacks

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', <<'EOC');
CREATE EXTENSION flowdb_fdw;
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL, n int) SERVER flow;
INSERT INTO t SELECT 'k', i, i FROM generate_series(1, 100) i;
EOC
my $source_dir = server_dir($node, 'flow', 'source');
$node->safe_psql('postgres', 'CREATE DATABASE target TEMPLATE source');
foreach my $sql ('SELECT count(*) FROM t', "INSERT INTO t VALUES ('x', 1, 1)")
{
    $rc = $node->psql('target', $sql, stderr => \$err,
        extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    isnt($rc, 0, 'a database made from a template shares no rows');
    like($err, qr/ERROR:  \w{5}: server "flow" has no FlowDB database/,
        'but says so');
    like($err, qr/^HINT: /m, 'with a hint');
}
$node->safe_psql('target', <<'EOC');
DROP SERVER flow CASCADE;
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
EOC
my $target_dir = server_dir($node, 'flow', 'target');
is($node->safe_psql('source', 'SELECT count(*) FROM t'),
    100, 'the source keeps its rows');
ok(-d $target_dir && -d $source_dir, 'both have directories');
$node->safe_psql('postgres', 'DROP DATABASE target');
ok(wait_until(sub { !-e $target_dir }, 'the removal of the directory'),
    'DROP DATABASE removes the directory');
ok(-d $source_dir, "but not another database's");
is($node->safe_psql('source', 'SELECT count(*) FROM t'),
    100, 'which still has its rows');

# DROP SERVER counts at commit.
$node->safe_psql('source', 'BEGIN; DROP SERVER flow CASCADE; ROLLBACK');
$node->safe_psql('source',
    'BEGIN; SAVEPOINT a; DROP SERVER flow CASCADE; ROLLBACK TO a; COMMIT');
sleep(3);
ok(-d $source_dir, 'DROP SERVER rolled back removes nothing');
is($node->safe_psql('source', 'SELECT count(*) FROM t'), 100, 'no row');
$node->safe_psql('source', 'DROP SERVER flow CASCADE');
ok(wait_until(sub { !-e $source_dir }, 'the removal of the directory'),
    'DROP SERVER removes the directory');

# CREATE SERVER too.
sub directories
{
    return join ' ', sort grep { -d } glob($node->data_dir . '/flowdb/*');
}

my $before = directories();
$node->safe_psql('postgres', <<'EOC');
BEGIN;
CREATE SERVER back FOREIGN DATA WRAPPER flowdb_fdw;
ROLLBACK;
BEGIN;
SAVEPOINT a;
CREATE SERVER back FOREIGN DATA WRAPPER flowdb_fdw;
ROLLBACK TO a;
CREATE SERVER stays FOREIGN DATA WRAPPER flowdb_fdw;
COMMIT;
BEGIN;
CREATE SERVER back FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE back_t (key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL) SERVER back;
INSERT INTO back_t VALUES ('a', 1);
ROLLBACK;
DROP SERVER stays;
EOC
my $start = time();
ok(wait_until(sub { directories() eq $before }, 'the removal of directories'),
    'CREATE SERVER rolled back leaves no directory');
cmp_ok(time() - $start, '<', 10, 'for long');

# Killed before its end.
my $job = start_sql($node, 'BEGIN; CREATE SERVER back FOREIGN DATA WRAPPER '
      . 'flowdb_fdw; SELECT pg_sleep(1000)');
ok(wait_until(sub { directories() ne $before }, 'the directory'),
    'a transaction with CREATE SERVER');
kill9_tree($node);
end_sql($job);
restart_by_force($node);
ok(wait_until(sub { directories() eq $before }, 'the removal of directories'),
    'nothing is left of it after SIGKILL');
is_whole($node, 'other', 'at the end');

unlike(log_since($node, 0), qr/TRAP:|PANIC/, 'no assertion failed');
$node->stop;
done_testing();
