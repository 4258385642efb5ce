# The server option data_dir: named directories through restart, SIGKILL,
# replay and standby; what stands in the way of one, links least of all.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('data_dir', "max_connections = 20\n");
my $flowdb = $node->data_dir . '/flowdb';
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my ($rc, $out, $err);

sub create_server
{
    my ($name, $dir) = @_;
    return "CREATE SERVER $name FOREIGN DATA WRAPPER flowdb_fdw "
      . "OPTIONS (data_dir '$dir')";
}

sub refused
{
    my ($sql, $state, $about, $what) = @_;
    ($rc, $out, $err) = try_sql($node, $sql, @verbose);
    like($err, qr/ERROR:  $state: .*$about/s, "$what: $state");
    return;
}

sub is_gone
{
    my ($path, $what) = @_;
    ok(wait_until(sub { return !-e $path && !-l $path; }, "end of $path"),
        $what);
    return;
}

# ------------------------------------------------------- restart and SIGKILL

$node->safe_psql('postgres', create_server('named', 'metrics'));
create_twins($node, 't', 'named');
create_twins($node, 'plain', 'flow');
add_twin_rows($node, 't', 1, 5000);
add_twin_rows($node, 'plain', 1, 100);
$node->safe_psql('postgres', "SELECT flowdb_flush('named')");
add_twin_rows($node, 't', 5001, 6000);
ok(-f "$flowdb/metrics/IDENTITY", 'the directory has the name');
is(scalar(@{ [ glob("$flowdb/metrics/SST/*") ] }), 1, 'files lie there');
$node->restart;
is_whole($node, 't', 'restart');
add_twin_rows($node, 't', 6001, 7000);
crash_restart($node);
is_whole($node, 't', 'SIGKILL');
is_whole($node, 'plain', 'SIGKILL');

# CREATE, rows and DROP that only the log knows of.
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', create_server('late', 'late'));
create_twins($node, 'u', 'late');
add_twin_rows($node, 'u', 1, 1000);
$node->safe_psql('postgres', create_server('short', 'short_lived'));
$node->safe_psql('postgres', 'DROP SERVER short');
kill9_tree($node);
restart_by_force($node);
is_whole($node, 'u', 'made since the checkpoint, SIGKILL');
is_gone("$flowdb/short_lived", 'what was dropped is not there after redo');

# The same, and the directory is gone too: redo makes it again.
$node->safe_psql('postgres', create_server('again', 'again'));
create_twins($node, 'v', 'again');
add_twin_rows($node, 'v', 1, 1000);
kill9_tree($node);
PostgreSQL::Test::RecursiveCopy::copypath("$flowdb/again",
    "$flowdb/again.copy");
rmdir_tree("$flowdb/again");
unlink "$flowdb/registry";
restart_by_force($node);
is_whole($node, 'v', 'directory and registry lost before redo');
is_whole($node, 't', 'registry rebuilt from the directories');
is_whole($node, 'plain', 'registry rebuilt from the directories');
ok(-d "$flowdb/again.copy", 'a copy under another name is left alone');
add_twin_rows($node, 'v', 1001, 1100);
is_whole($node, 'v', 'and written to again');
rmdir_tree("$flowdb/again.copy");

sub rmdir_tree
{
    my ($dir) = @_;
    system('rm', '-rf', $dir) == 0 or die "could not remove $dir";
    return;
}

# --------------------------------------------------- what stands in the way

my $outside = PostgreSQL::Test::Utils::tempdir();
append_to_file("$outside/precious", 'data of somebody else');

symlink($outside, "$flowdb/link") or die;
refused(create_server('bad', 'link'), '58P02', 'symbolic link', 'a link');
symlink("$outside/nowhere", "$flowdb/dangling") or die;
refused(create_server('bad', 'dangling'),
    '58P02', 'symbolic link', 'a link to nothing');
mkdir "$flowdb/full";
append_to_file("$flowdb/full/precious", 'mine');
refused(create_server('bad', 'full'), '58P02', 'not empty',
    'a directory with something in it');
append_to_file("$flowdb/file", 'mine');
refused(create_server('bad', 'file'), '58P02', 'not a directory', 'a file');
# What was refused is not in the log either, and nobody cleans it up.
kill9_tree($node);
restart_by_force($node);
is(slurp_file("$flowdb/full/precious"), 'mine', 'what was there stays there');
is(slurp_file("$flowdb/file"), 'mine', 'the file as well');
ok(-l "$flowdb/link" && -e "$outside/precious", 'and the link');
is($node->safe_psql('postgres',
        "SELECT count(*) FROM pg_foreign_server WHERE srvname = 'bad'"),
    '0', 'no server was made');
refused('CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw '
      . "OPTIONS (data_dir '../base')", 'HV024', 'data_dir', '..');
refused(create_server('bad', $outside), '0A000', 'absolute path',
    'an absolute path');

# Empty is as good as missing; a new file system has a lost+found.
mkdir "$flowdb/empty";
mkdir "$flowdb/empty/lost+found";
$node->safe_psql('postgres', create_server('empty', 'empty'));
create_twins($node, 'e', 'empty');
add_twin_rows($node, 'e', 1, 10);
is_whole($node, 'e', 'an empty directory');

# One that cannot be made: nothing is left, and the name is free.
mkdir "$flowdb/closed";
chmod(0000, "$flowdb/closed");
SKIP:
{
    skip 'as root nothing is closed', 2 if $> == 0;
    refused(create_server('bad', 'closed'), '42501', 'closed',
        'a directory that cannot be read');
    chmod(0700, "$flowdb/closed");
    $node->safe_psql('postgres', create_server('closed', 'closed'));
    $node->safe_psql('postgres', 'DROP SERVER closed');
    is_gone("$flowdb/closed", 'removed by DROP SERVER');
}

# CREATE SERVER ends between its log record and its files, or fails there;
# DROP SERVER between its commit and the removal.
debug_set($node, 'create-logged', 'kill');
try_sql($node, create_server('torn', 'torn'));
debug_clear($node, 'create-logged');
wait_for_sql($node, 'SELECT true');
is_gone("$flowdb/torn", 'SIGKILL in CREATE SERVER leaves nothing');
debug_set($node, 'create-logged', 'error');
($rc, $out, $err) = try_sql($node, create_server('torn', 'torn'));
isnt($rc, 0, 'an error in CREATE SERVER');
debug_clear($node, 'create-logged');
$node->safe_psql('postgres', create_server('torn', 'torn'));
create_twins($node, 'w', 'torn');
add_twin_rows($node, 'w', 1, 100);
is_whole($node, 'w', 'the name is free again');
my $from = log_size($node);
debug_set($node, 'drop-files', 'kill');
try_sql($node, 'DROP SERVER torn CASCADE');
ok(wait_until(
        sub { return log_since($node, $from) =~ /terminated by signal 9/; },
        'SIGKILL before the removal'), 'SIGKILL before the removal');
debug_clear($node, 'drop-files');
wait_for_sql($node, 'SELECT true');
is_gone("$flowdb/torn", 'the next start removes it');
$node->safe_psql('postgres', create_server('torn', 'torn'));
$node->safe_psql('postgres', 'DROP SERVER torn');

# Somebody puts a link in the place of a database.
$node->stop;
rename("$flowdb/late", "$outside/late") or die;
symlink("$outside/late", "$flowdb/late") or die;
$node->start;
refused('SELECT count(*) FROM u', 'XX001', 'symbolic link',
    'a link to a database');
is_whole($node, 't', 'the others');
# Who may not read the table is told nothing of its state, a reader no paths.
$node->safe_psql('postgres', 'CREATE ROLE nobody; CREATE ROLE reader; '
      . 'GRANT SELECT ON u TO reader');
($rc, $out, $err) = try_sql($node, 'SET ROLE nobody; SELECT * FROM u', @verbose);
like($err, qr/ERROR:  42501/, 'a broken database: 42501 without rights');
unlike($err, qr/broken|flowdb\//, 'and nothing about it');
($rc, $out, $err) = try_sql($node, 'SET ROLE reader; SELECT * FROM u', @verbose);
like($err, qr/ERROR:  XX001/, 'a reader learns that it is broken');
unlike($err, qr/symbolic|flowdb\//, 'and not where it lies');
is($node->safe_psql('postgres', 'SET ROLE nobody; SELECT state, reason '
          . "FROM flowdb_stats WHERE server = 'late'"),
    '|', 'nor does the view tell');
$node->safe_psql('postgres', 'DROP SERVER late CASCADE');
is_gone("$flowdb/late", 'DROP SERVER removes the link');
ok(-f "$outside/late/IDENTITY", 'and not what it leads to');
ok(-f "$outside/precious", 'least of all what lies beside');

# --------------------------------------------------------- two with one name

refused(create_server('second', 'metrics'), '55006', 'metrics',
    'the directory of another server');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION flowdb_fdw');
($rc, $out, $err) = $node->psql('other', create_server('second', 'metrics'));
like($err, qr/"metrics" is used/, 'of another database');
$node->safe_psql('other', create_server('second', 'other_metrics'));
$node->safe_psql('other',
    'CREATE FOREIGN TABLE o (key text, v int) SERVER second; '
      . "INSERT INTO o VALUES ('a', 1)");
ok(-d "$flowdb/other_metrics", 'one of its own');

# A copy of the definition is no database, and dropping it drops nothing.
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE other');
($rc, $out, $err) = $node->psql('copied', 'SELECT * FROM o');
like($err, qr/has no FlowDB database/, 'CREATE DATABASE ... TEMPLATE');
$node->safe_psql('postgres', 'DROP DATABASE copied');
is($node->safe_psql('other', 'SELECT * FROM o'), 'a|1', 'it is still there');
$node->safe_psql('postgres', 'DROP DATABASE other');
is_gone("$flowdb/other_metrics", 'DROP DATABASE removes the directory');

# A dump has the option: it restores where the name is free.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok(
    [
        'pg_dump', '--include-foreign-data=*',
        '-f', $dump, '-d', $node->connstr('postgres')
    ],
    'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
($out, $err) = run_command(
    [ 'psql', '-X', '-q', '-d', $node->connstr('restored'), '-f', $dump ]);
like($err, qr/"metrics" is used by another/, 'restored beside the original');
is($node->safe_psql('restored',
        "SELECT srvname FROM pg_foreign_server WHERE srvname = 'flow'"),
    'flow', 'a server without the option has a directory of its own');
$node->safe_psql('postgres', 'DROP DATABASE restored');
my $elsewhere = new_node('elsewhere', '');
$elsewhere->safe_psql('postgres', 'DROP EXTENSION flowdb_fdw');
($out, $err) = run_command(
    [ 'psql', '-X', '-q', '-d', $elsewhere->connstr('postgres'), '-f', $dump ]);
is($err, '', 'restored elsewhere: no error');
ok(-f $elsewhere->data_dir . '/flowdb/metrics/IDENTITY',
    'restored elsewhere: the same name');
is_whole($elsewhere, 't', 'restored elsewhere');
$elsewhere->stop;

# Two sessions at once: one of them gets it.
my $gate = gate_sql('two');
my @jobs = map {
    start_sql($node, "BEGIN;\n" . create_server("race$_", 'race')
          . ";\n$gate\nCOMMIT;\n")
} (1, 2);
ok(wait_until(sub { return !sql_running($jobs[0]) || !sql_running($jobs[1]); },
        'the loser'),
    'one of two sessions is refused at once');
open_gate($node, 'two');
my @ended = map { [ end_sql($_) ] } @jobs;
is(join(' ', sort { $a <=> $b } map { $_->[0] } @ended), '0 3', 'and only one');
is($node->safe_psql('postgres',
        "SELECT count(*) FROM pg_foreign_server WHERE srvname ~ 'race'"),
    '1', 'the other has it');
$node->safe_psql('postgres',
    'DO $$ BEGIN EXECUTE (SELECT \'DROP SERVER \' || srvname '
      . 'FROM pg_foreign_server WHERE srvname ~ \'race\'); END $$');

# ------------------------------------------------------------------- standby

my $standby = new_standby($node, 'standby');
my $there = $standby->data_dir . '/flowdb';

ok(-f "$there/metrics/IDENTITY", 'a base backup has the directory');
is_whole($standby, 't', 'standby');
$node->safe_psql('postgres', create_server('on_standby', 'streamed'));
create_twins($node, 's', 'on_standby');
add_twin_rows($node, 's', 1, 1000);
catch_up($node, $standby);
is_whole($standby, 's', 'standby: made while it runs');
ok(-f "$there/streamed/IDENTITY", 'standby: under the same name');

# Nothing that changes anything, and all that tells.
foreach my $call ("flowdb_flush('named')", "flowdb_compact('named')",
    "flowdb_gc('named')", "flowdb_maintenance('named', '1 ms')",
    "flowdb_drop_store('named', 'x')", "flowdb_delete_range('t', NULL, NULL)")
{
    ($rc, $out, $err) = try_sql($standby, "SELECT $call", @verbose);
    like($err, qr/ERROR:  25006/, "standby: $call is refused");
}
($rc, $out, $err) =
  try_sql($standby, create_server('no', 'no'), @verbose);
like($err, qr/ERROR:  25006/, 'standby: CREATE SERVER is refused');
($rc, $out, $err) = try_sql($standby, 'SELECT * FROM flowdb_stats; '
      . 'SELECT * FROM flowdb_stores; SELECT * FROM flowdb_sstables; '
      . 'SELECT flowdb_metrics()');
is($rc, 0, 'standby: the views') or diag($err);

# A name that is used again, with nothing said about the first one's end.
my $undone = start_sql($node,
    "BEGIN;\n" . create_server('undone', 'reused') . ";\n"
      . "SELECT pg_sleep(600);\n");
ok(wait_until(sub { return -d "$flowdb/reused" }, 'CREATE SERVER'),
    'one whose transaction a crash ends');
ok(wait_until(sub { return -d "$there/reused" }, 'replay'), 'on the standby');
crash_restart($node);
end_sql($undone);
is_gone("$flowdb/reused", 'gone from the primary');
$node->safe_psql('postgres', create_server('reuse', 'reused'));
create_twins($node, 'r', 'reuse');
add_twin_rows($node, 'r', 1, 500);
catch_up($node, $standby);
is_whole($standby, 'r', 'standby: a name used again');

# What stands in the way there breaks that database and nothing else.
symlink($outside, "$there/blocked") or die;
$node->safe_psql('postgres', create_server('blocked', 'blocked'));
create_twins($node, 'b', 'blocked');
add_twin_rows($node, 'b', 1, 100);
add_twin_rows($node, 's', 1001, 1100);
catch_up($node, $standby);
($rc, $out, $err) = try_sql($standby, 'SELECT count(*) FROM b', @verbose);
like($err, qr/XX001: .*symbolic link/s, 'standby: a link in its place');
is_whole($standby, 's', 'standby: the others go on');
is_whole($node, 'b', 'primary');
is_deeply([ sort map { s{.*/}{}r } glob("$outside/*") ],
    [ 'late', 'precious' ], 'nothing was written through the link');

$node->safe_psql('postgres', 'DROP SERVER on_standby CASCADE');
catch_up($node, $standby);
$node->safe_psql('postgres', 'CHECKPOINT');
catch_up($node, $standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
is_gone("$flowdb/streamed", 'primary: dropped and gone');
is_gone("$there/streamed", 'standby: dropped and gone');

$standby->promote;
is_whole($standby, 't', 'promoted');
($rc, $out, $err) = try_sql($standby, create_server('own', 'own'));
is($rc, 0, 'promoted: a new one') or diag($err);
$standby->stop;

$node->safe_psql('postgres', 'DROP EXTENSION flowdb_fdw CASCADE');
is_gone("$flowdb/$_", "DROP EXTENSION removes $_")
  foreach ('metrics', 'again', 'empty', 'reused');
$node->stop;
done_testing();
