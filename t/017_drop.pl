# The end of stores, with SIGKILL around it: after recovery everything of a
# dropped store is there or nothing, and no file is left that nobody lists.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('drop', <<'EOC');
flowdb.max_workers = 2
flowdb.obsolete_file_retention = 0
flowdb.auto_compaction = off
wal_level = replica
max_prepared_transactions = 5
EOC
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE TABLE heap (v int);
EOC
my $dir = server_dir($node, 'flow');

# Tables NAME and NAME_too, each with a file and rows in memory.
sub make_tables
{
    my ($name) = @_;

    foreach my $table ($name, "${name}_too")
    {
        $node->safe_psql('postgres', <<"EOC");
CREATE FOREIGN TABLE $table (key text, ts bigint, v int) SERVER flow;
INSERT INTO $table SELECT 'k', g, g FROM generate_series(1, 100) g;
SELECT flowdb_flush('flow');
INSERT INTO $table SELECT 'k', 100 + g, g FROM generate_series(1, 100) g;
EOC
    }
    return;
}

sub files_in
{
    my ($path) = @_;
    opendir(my $handle, "$path/SST") or return -1;
    my @files = grep { !/^\./ } readdir($handle);
    closedir($handle);
    return scalar @files;
}

# Every file is one that is listed, and soon so.
sub check_files
{
    my ($when, $on) = @_;
    my $path = ($on // $node)->data_dir . '/' . ($dir =~ m{(flowdb/.*)})[0];
    my ($listed, $found);

    ok(wait_until(
            sub {
                my ($rc, $out) = try_sql($on // $node,
                    "SELECT count(*) FROM flowdb_sstables WHERE server = 'flow'");
                ($listed, $found) = ($rc == 0 ? $out : -1, files_in($path));
                return $listed == $found;
            },
            'files'),
        "$when: no stray file") or diag("$found files, $listed listed");
    return;
}

sub has_table
{
    my ($name) = @_;
    return $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_class WHERE relname = '$name'");
}

# Either all of the table or nothing, and never an orphan.
sub check_table
{
    my ($when, $name, $wanted) = @_;
    my $there = has_table($name);

    is($there, $wanted, "$when: the table") if defined $wanted;
    if ($there)
    {
        is($node->safe_psql('postgres', "SELECT count(*), sum(ts) FROM $name"),
            '200|20100', "$when: all of it is there");
    }
    ok(wait_for_sql($node,
            q{SELECT count(*) FROM flowdb_stores WHERE orphan}, 0),
        "$when: no orphan");
    is($node->safe_psql('postgres', "SELECT count(*) FROM ${name}_too"),
        200, "$when: the other table");
    check_files($when);
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    is($node->safe_psql('postgres', "SELECT count(*) FROM ${name}_too"),
        200, "$when, flushed: the other table");
    check_files("$when, flushed");
    return;
}

# ------------------------------------------------------------ SIGKILL at points

# point, action, does the table survive (undef: either way)
my @points = (
    [ 'drop-logged', 1 ],
    [ 'pre-commit-pushed', 1 ],
    [ 'drop-settle', 0 ],
    [ 'drop-settled', 0 ],
    [ 'manifest-append', 0 ],
    [ 'manifest-before-append', 0 ],
    [ 'manifest-before-sync', 0 ],
    [ 'trash-unlinked', 0 ],);
my $number = 0;

foreach my $case (@points)
{
    my ($point, $survives) = @$case;
    my $table = 'kill' . ++$number;
    my $from = log_size($node);

    make_tables($table);
    debug_set($node, $point, 'kill');
    # with rows of its own, so that there is something to push
    try_sql($node, <<"EOC");
BEGIN;
INSERT INTO ${table}_too VALUES ('own', 1, 1);
DELETE FROM heap;
INSERT INTO heap VALUES (1);
DROP FOREIGN TABLE $table;
COMMIT;
EOC
    ok(wait_until(
            sub { log_since($node, $from) =~ /terminated by signal 9/ },
            "a kill at $point"), "$point: killed");
    debug_clear($node);
    ok(wait_for_restart($node, $from), "$point: recovered");
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    # what the transaction has written itself goes the way of the drop
    is($node->safe_psql('postgres',
            "SELECT count(*) FROM ${table}_too WHERE key = 'own'"),
        $survives ? 0 : 1, "$point: atomic");
    is(has_table($table), $survives, "$point: the table");
    try_sql($node, "BEGIN; SELECT flowdb_delete_range('${table}_too', 'own', NULL); COMMIT");
    check_table($point, $table, $survives);
}

# All processes at once, at any moment.
foreach my $round (1 .. 6)
{
    my $table = "any$round";

    make_tables($table);
    my $job = start_sql($node, "DROP FOREIGN TABLE $table;");
    select(undef, undef, undef, 0.004 * $round * $round);
    kill9_tree($node);
    restart_by_force($node);
    end_sql($job);
    check_table("round $round", $table);
}

# A table that was being made: its store goes with it.
{
    my $table = 'unmade';

    make_tables($table);
    my $from = log_size($node);
    debug_set($node, 'pre-commit-pushed', 'kill');
    try_sql($node, <<'EOC');
BEGIN;
CREATE FOREIGN TABLE nothing (key text, ts bigint, v int) SERVER flow;
INSERT INTO nothing SELECT 'k', g, g FROM generate_series(1, 1000) g;
COMMIT;
EOC
    debug_clear($node);
    ok(wait_for_restart($node, $from), 'unmade: recovered');
    is(has_table('nothing'), 0, 'unmade: the table is not there');
    check_table('unmade', $table, 1);
}

# ------------------------------------------------------------- manifest and log

# A drop that only the manifest knows of when its transaction ends: the record
# lies before the redo pointer, the abort and the commit behind it.
foreach my $end ('ABORT', 'COMMIT')
{
    my $table = lc "held_$end";

    make_tables($table);
    debug_set($node, 'drop-logged', 'wait');
    my $job = start_sql($node, "DROP FOREIGN TABLE $table;");
    ok(debug_wait($node, 'drop-logged'), "$end: logged");
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    $node->safe_psql('postgres', 'CHECKPOINT');
    is($node->safe_psql('postgres', "SELECT count(*) FROM ${table}_too"),
        200, "$end: others go on");
    if ($end eq 'ABORT')
    {
        kill9_tree($node);
        debug_clear($node);
        restart_by_force($node);
    }
    else
    {
        debug_clear($node);
    }
    end_sql($job);
    check_table($end, $table, $end eq 'ABORT' ? 1 : 0);
    kill9_tree($node);
    restart_by_force($node);
    check_table("$end, restarted", $table, $end eq 'ABORT' ? 1 : 0);
}

# ------------------------------------------------------------------- a standby

my $standby = new_standby($node, 'standby', <<'EOC');
hot_standby_feedback = on
EOC
make_tables('there');
$node->safe_psql('postgres', <<'EOC');
CREATE FOREIGN TABLE named (key text, ts bigint, v int) SERVER flow
  OPTIONS (store 'named');
INSERT INTO named VALUES ('k', 1, 1);
SELECT flowdb_flush('flow');
CHECKPOINT;
EOC
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->safe_psql('postgres', 'CHECKPOINT');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM there'),
    200, 'standby: the table is there');
cmp_ok(
    $standby->safe_psql('postgres',
        "SELECT sum(sstables) FROM flowdb_stores WHERE 'there'::regclass = ANY (tables)"),
    '>', 0, 'standby: in files');
my ($rc, $out, $err) =
  try_sql($standby, "SELECT flowdb_drop_store('flow', 'named')");
like($err, qr/cannot execute flowdb_drop_store\(\) during recovery/,
    'standby: refused');
my $store = $node->safe_psql('postgres', "SELECT 'there'::regclass::oid");
$node->safe_psql('postgres', <<'EOC');
DROP FOREIGN TABLE there;
DROP FOREIGN TABLE named;
SELECT flowdb_drop_store('flow', 'named');
CREATE FOREIGN TABLE named (key text, ts bigint, v int) SERVER flow
  OPTIONS (store 'named');
EOC
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', 'SELECT count(*) FROM named'),
    0, 'standby: an empty store under the old name');
is($standby->safe_psql('postgres',
        "SELECT count(*) FROM flowdb_stores WHERE store = '$store'"),
    0, 'standby: the store is gone');
ok(wait_for_sql($standby, <<'EOC', 0), 'standby: its files are not listed');
SELECT count(*) FROM flowdb_sstables WHERE store IS NULL
EOC
check_files('standby', $standby);
$node->safe_psql('postgres', "INSERT INTO named VALUES ('new', 1, 1)");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', 'SELECT key FROM named'),
    'new', 'standby: the new store');
kill9_tree($standby);
restart_by_force($standby);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', 'SELECT key FROM named'),
    'new', 'standby, restarted: the new store');
check_files('standby, restarted', $standby);
$standby->promote;
ok(wait_for_sql($standby, 'SELECT pg_is_in_recovery()', 'f'), 'promoted');
is($standby->safe_psql('postgres', 'SELECT key FROM named'),
    'new', 'promoted: the new store');
$standby->safe_psql('postgres', 'DROP FOREIGN TABLE there_too');
check_files('promoted', $standby);
$standby->stop;

foreach my $server ($node, $standby)
{
    unlike(log_since($server, 0), qr/TRAP:|PANIC|is broken/,
        $server->name . ': nothing broke');
}
$node->stop;
done_testing();
