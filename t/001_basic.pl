# A row's way with nothing special about it: preload, insert, every kind of
# restart, SIGKILL to each of our processes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ------------------------------------------------------------ without preload

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->start;
my ($rc, $out, $err) = try_sql($bare, 'CREATE EXTENSION flowdb_fdw');
is($rc, 0, 'extension can be made without preload') or diag($err);
($rc, $out, $err) =
  try_sql($bare, 'CREATE SERVER s FOREIGN DATA WRAPPER flowdb_fdw');
isnt($rc, 0, 'server can not');
like($err, qr/shared_preload_libraries = '[^']*flowdb_fdw/,
    'the error has the line for postgresql.conf');
is($bare->safe_psql('postgres', 'SELECT count(*) FROM pg_foreign_server'),
    '0', 'no server was left behind');
$bare->stop;

# --------------------------------------------------------------- with preload

my $node = new_node('main', "flowdb.max_workers = 2\n");
create_twins($node, 't');

my $rows = 0;

# Adds rows to both twins in one transaction.
sub add_rows
{
    my ($n) = @_;
    my $values =
      "SELECT 'key ' || i % 10, i, i * 7, repeat('x', (i % 50)::int) "
      . "FROM generate_series($rows + 1, $rows + $n) i";
    $node->safe_psql('postgres',
        "BEGIN; INSERT INTO t $values; INSERT INTO t_heap $values; COMMIT");
    $rows += $n;
    return;
}

sub check_rows
{
    my ($when) = @_;
    is($node->safe_psql('postgres', 'SELECT count(*) FROM t'),
        $rows, "all rows are there $when");
    is(twin_diff($node, 't'), '', "and equal the heap's $when");
    return;
}

add_rows(1000);
check_rows('after insert');
$node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
check_rows('after flush');

foreach my $mode ('fast', 'smart', 'immediate')
{
    add_rows(500);
    $node->stop($mode);
    $node->start;
    check_rows("after $mode shutdown");
    add_rows(10);
    check_rows("and one more insert");
}

# -------------------------------------------------------------------- SIGKILL

add_rows(300);
crash_restart($node);
check_rows('after SIGKILL to the postmaster');

add_rows(300);
kill9_tree($node);
restart_by_force($node);
check_rows('after SIGKILL to postmaster and children');

foreach my $type ('flowdb launcher', 'flowdb worker', 'checkpointer')
{
    add_rows(300);
    my $postmaster = postmaster_pid($node);
    my $from = log_size($node);
    my $pid = kill9_process($node, $type);
    ok(wait_until(sub { log_since($node, $from) =~ /ready to accept conn/ },
            'the crash restart'), "server restarts after SIGKILL to $type");
    ok(wait_for_sql($node, 'SELECT count(*) FROM t', $rows),
        "rows are back after SIGKILL to $type");
    check_rows("after SIGKILL to $type");
    is(postmaster_pid($node), $postmaster, 'under the same postmaster');
    isnt(process_pid($node, $type), $pid, "with a new $type");
}

# A restart after the flush of everything reads nothing from the log.
$node->safe_psql('postgres', "SELECT flowdb_flush('flow'); CHECKPOINT");
$node->restart;
check_rows('after flush, checkpoint and restart');

unlike(log_since($node, 0), qr/TRAP:|PANIC/, 'no assertion failed');
$node->stop;
done_testing();
