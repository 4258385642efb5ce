# The library comes and goes: doc/OPERATIONS.md, "Install and preload",
# "Remove it for good", "A new version of the library".
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbRecipe;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($rc, $out, $err);
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $not_registered = qr/FATAL: .*resource manager with ID 184 not registered/;

# A recipe that starts a server: the node learns of it.
sub recipe_starts
{
    my ($node, $name) = @_;
    recipe_ok($node, $name);
    $node->_update_pid(1);
    return;
}

# Of a start that must fail; a standby may answer for a moment.
sub does_not_start
{
    my ($node, $what) = @_;
    my $from = log_size($node);

    $node->start(fail_ok => 1);
    ok(wait_until(sub { !postmaster_pid($node) }, 'its end'), "$what: it does not start");
    $node->{_pid} = undef;
    like(log_since($node, $from), $not_registered, "$what: and says why");
    return;
}

sub unload
{
    my ($node) = @_;
    my $conf = $node->data_dir . '/postgresql.conf';
    my $text = slurp_file($conf) =~ s/^shared_preload_libraries/#$&/mgr;

    open(my $file, '>', $conf) or die;
    print $file $text;
    close $file;
    return;
}

# ------------------------------------------------------------------- install

# Servers that were there before.
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "wal_keep_size = '500MB'\nautovacuum = off");
$primary->start;
$primary->backup('first');
my @standbys;
foreach my $name ('standby', 'late')
{
    my $standby = PostgreSQL::Test::Cluster->new($name);
    $standby->init_from_backup($primary, 'first', has_streaming => 1);
    $standby->start;
    push @standbys, $standby;
}
my ($standby, $late) = @standbys;

recipe_ok($standby, 'preload');
recipe_starts($standby, 'restart');
recipe_ok($primary, 'preload');
recipe_starts($primary, 'restart');
recipe_ok($primary, 'create-extension');
create_twins($primary, 't', 'metrics');
my $add = 'INSERT INTO t SELECT g % 7, g, g FROM generate_series(1, 1000) g; '
  . 'INSERT INTO t_heap SELECT g % 7, g, g FROM generate_series(1, 1000) g '
  . 'ON CONFLICT DO NOTHING';
$primary->safe_psql('postgres', "BEGIN; $add; COMMIT");
catch_up($primary, $standby);
is(twin_diff($standby, 't'), '', 'standbys first: it follows');

# one that was forgotten
ok(wait_until(sub { !postmaster_pid($late) }, 'its end'),
    'a standby without the library ends');
$late->{_pid} = undef;
like(log_since($late, 0), $not_registered, 'and says why');
does_not_start($late, 'a standby without the library');
recipe_ok($late, 'preload');
$late->start;
catch_up($primary, $late);
is(twin_diff($late, 't'), '', 'with it, it goes on');
$late->stop;

# too few processes, as the document says
like(document('OPERATIONS.md'), qr/max_worker_processes.*1 \+ `flowdb\.max_workers`/,
    'the document names the number of processes');

# ------------------------------------------------------- a new version comes

# The files are replaced while the server runs: sessions, new and old, go on
# with the library that is loaded.
my $lib = $primary->config_data('--pkglibdir') . '/flowdb_fdw.so';
SKIP:
{
    my $new = "$lib.new.$$";
    skip 'the library cannot be replaced', 1
      unless -w (($lib =~ s{/[^/]*$}{}r)) && !-l $lib && system('cp', $lib, $new) == 0;
    rename($new, $lib) or die;
    is($primary->safe_psql('postgres', "$add; SELECT count(*) FROM t"),
        1000, 'a library that was replaced disturbs no session');
}
recipe_starts($standby, 'upgrade-library');
recipe_starts($primary, 'upgrade-library');
recipe_ok($primary, 'upgrade-extension');
catch_up($primary, $standby);
is(twin_diff($_, 't'), '', 'restarted, standby first') foreach $primary, $standby;

# ------------------------------------------------------------- taken out wrong

# After a clean stop it starts; nobody else notices, and nothing is lost.
$primary->stop;
unload($primary);
$primary->start;
is($primary->safe_psql('postgres', 'SELECT count(*) FROM t_heap'),
    1000, 'without the library after a clean stop: the heap');
($rc, $out, $err) = try_sql($primary, 'SELECT count(*) FROM t', @verbose);
like($err, qr/ERROR:  55000: flowdb_fdw is not loaded at server start/,
    'FlowDB tables say what is missing');
$primary->safe_psql('postgres', 'CREATE TABLE other AS SELECT 1; CHECKPOINT');
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'flowdb_fdw'");
$primary->restart;
is(twin_diff($primary, 't'), '', 'and are whole once it is back');

# After a crash it does not.
$primary->safe_psql('postgres', "BEGIN; $add; INSERT INTO t VALUES ('x', 1, 1); "
      . "INSERT INTO t_heap VALUES ('x', 1, 1); COMMIT");
$primary->stop('immediate');
unload($primary);
does_not_start($primary, 'without the library after a crash');
recipe_starts($primary, 'stuck');
is(twin_diff($primary, 't'), '', 'stuck: put back, nothing is lost');

# ------------------------------------------------------------ taken out right

# A logical slot reads log as well; it is one that somebody still reads.
$primary->safe_psql('postgres',
    "SELECT pg_create_logical_replication_slot('s', 'test_decoding')");
$primary->safe_psql('postgres', "BEGIN; $add; INSERT INTO t_heap VALUES ('y', 1, 1); "
      . "INSERT INTO t VALUES ('y', 1, 1); COMMIT");
$primary->safe_psql('postgres', 'CREATE DATABASE second');
$primary->safe_psql('second', 'CREATE EXTENSION flowdb_fdw; '
      . 'CREATE SERVER m FOREIGN DATA WRAPPER flowdb_fdw');
catch_up($primary, $standby);
like(recipe_ok($primary, 'remove-check'), qr/custom184/, 'the log has records');
like(recipe_ok($primary, 'remove-check', PGDATA => PostgreSQL::Test::Utils::tempdir()),
    qr/read nothing/, 'a log that cannot be read is not one without records');

recipe_ok($primary, 'remove-drop');
is($primary->safe_psql($_, "SELECT count(*) FROM pg_extension WHERE extname ~ 'flowdb'"),
    0, "the extension is gone from $_") foreach 'postgres', 'second';
is(scalar(grep { -d } glob($primary->data_dir . '/flowdb/*')), 0, 'and so are the files');
is(recipe_ok($primary, 'remove-check'), '', 'no record behind the checkpoint');
is((recipe_ok($primary, 'remove-slots') =~ /^(\w+)/)[0], 's',
    'a slot stands before it');
like($primary->safe_psql('postgres',
        "SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)"),
    qr/t_heap: INSERT: key\[text\]:'y'/, 'it can be read as long as the library is there');
$primary->safe_psql('postgres', 'CREATE TABLE x (i int)');
ok(wait_until(
        sub {
            $primary->safe_psql('postgres', 'INSERT INTO x VALUES (1); CHECKPOINT; '
                  . "SELECT count(*) FROM pg_logical_slot_get_changes('s', NULL, NULL)");
            return (recipe($primary, 'remove-slots'))[1] eq '';
        },
        'the slot'),
    'and comes behind it');
is(recipe_ok($primary, 'remove-check'), '', 'still no record');
catch_up($primary, $standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
is(recipe_ok($standby, 'remove-check'), '', 'none on the standby either');

recipe_starts($standby, 'remove-restart');
recipe_starts($primary, 'remove-restart');
foreach my $node ($standby, $primary)
{
    is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
        '', 'the library is out');
    ok(!-e $node->data_dir . '/flowdb', 'its folder too');
}
$primary->safe_psql('postgres', "CREATE TABLE after AS SELECT 1");
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', 'SELECT count(*) FROM t_heap'),
    1002, 'it starts after a crash without the library');
catch_up($primary, $standby);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM after'), 1,
    'the standby follows');
$standby->stop('immediate');
$standby->start;
$primary->safe_psql('postgres', 'INSERT INTO x VALUES (2)');
is($primary->safe_psql('postgres',
        "SELECT count(*) > 0 FROM pg_logical_slot_get_changes('s', NULL, NULL)"),
    't', 'and the slot can be read');

# Other libraries stay.
{
    my %all = recipes();
    my ($edit) = $all{'remove-restart'}[1] =~ /^(sed .*)$/m;
    my %left = (
        'a, flowdb_fdw' => 'a',
        'a,flowdb_fdw,b' => 'a,b',
        'flowdb_fdw, b' => 'b',
        'flowdb_fdw' => '');
    my $tmp = PostgreSQL::Test::Utils::tempdir();
    local $ENV{PGDATA} = $tmp;
    foreach my $list (sort keys %left)
    {
        open my $file, '>', "$tmp/postgresql.conf" or die;
        print $file "shared_preload_libraries = '$list'\nflowdb.max_workers = 3\n";
        close $file;
        system_or_bail('sh', '-c', $edit);
        is(slurp_file("$tmp/postgresql.conf"),
            "shared_preload_libraries = '$left{$list}'\n", "$list without the library");
    }
}

# and comes back
recipe_ok($standby, 'preload');
$standby->restart;
recipe_ok($primary, 'preload');
recipe_starts($primary, 'restart');
recipe_ok($primary, 'create-extension');
create_twins($primary, 'u', 'metrics');
$primary->safe_psql('postgres', "INSERT INTO u VALUES ('a', 1, 1); "
      . "INSERT INTO u_heap VALUES ('a', 1, 1)");
catch_up($primary, $standby);
is(twin_diff($standby, 'u'), '', 'installed again');

unlike(log_since($_, 0), qr/TRAP:|PANIC/, 'no assertion failed')
  foreach $primary, $standby, $late;
$_->stop foreach $standby, $primary;
done_testing();
