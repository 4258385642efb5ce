# A streaming standby shows what its primary shows: transactions in progress,
# aborted and with subtransactions, during replay and flush, after SIGKILL
# and after promotion.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbLoad;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $primary = new_node('primary', "max_connections = 20\n");
create_twins($primary, 't');
my $standby = new_standby($primary, 'standby', <<'EOC');
max_standby_streaming_delay = -1
hot_standby_feedback = on
EOC
my ($rc, $out, $err);

sub same
{
    my ($what) = @_;
    is(twin_diff($standby, 't'), '', "standby: $what");
    return;
}

# Replayed rows go to SSTables of the standby's own.
sub flush_both
{
    $primary->safe_psql('postgres', 'CHECKPOINT');
    catch_up($primary, $standby);
    $standby->safe_psql('postgres', 'CHECKPOINT');
    return;
}

sub rows_of
{
    my ($node, $where) = @_;
    return $node->safe_psql('postgres', "SELECT count(*) FROM t WHERE $where");
}

# INSERT into both.
sub both
{
    my ($source) = @_;
    return "INSERT INTO t $source; INSERT INTO t_heap $source;\n";
}

sub series
{
    my ($key, $from, $to, $note) = @_;
    return "SELECT '$key', g, g, '$note' || md5(g::text) "
      . "FROM generate_series($from, $to) g";
}

# ----------------------------------------------------------------------- rows

$primary->safe_psql('postgres', 'BEGIN; ' . both(series('a', 1, 1000, '')) . 'COMMIT');
catch_up($primary, $standby);
is(rows_of($standby, 'true'), 1000, 'rows are on the standby');
same('plain rows');
is($standby->safe_psql('postgres', "SELECT n FROM t WHERE key = 'a' AND ts = 77"),
    77, 'a point query');
is($standby->safe_psql('postgres',
        "SELECT sum(n) FROM t WHERE key = 'a' AND ts BETWEEN 10 AND 20"),
    165, 'a range query');

# ------------------------------------------------------------------- read only

($rc, $out, $err) = try_sql($standby, "INSERT INTO t VALUES ('x', 1, 1)",
    extra_params => [ '-v', 'VERBOSITY=verbose' ]);
isnt($rc, 0, 'the standby is not written');
like($err, qr/ERROR:  25006: /, 'with the error of a read-only transaction');
($rc, $out, $err) = try_sql($standby, "SELECT flowdb_flush('flow')",
    extra_params => [ '-v', 'VERBOSITY=verbose' ]);
isnt($rc, 0, 'flowdb_flush is refused on the standby');
like($err, qr/ERROR:  (25006|55000): .*recovery/s, 'and says why');
($rc, $out, $err) = try_sql($standby,
    'CREATE SERVER nothere FOREIGN DATA WRAPPER flowdb_fdw');
isnt($rc, 0, 'no server is made on the standby');
is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM flowdb_stats'),
    't', 'flowdb_stats answers on the standby');

# ------------------------------------------------------------------- snapshots

# A transaction handed over early: its rows are replayed long before its fate.
# With a savepoint taken back and one kept, before and after the flush.
sub in_progress
{
    my ($name, $end) = @_;
    my $job = start_sql($primary,
            "SET flowdb.transaction_buffer = '64kB';\nBEGIN;\n"
          . both(series($name, 1, 3000, ''))
          . "SAVEPOINT gone;\n"
          . both(series($name, 3001, 6000, 'never'))
          . both(series('a', 1001, 1100, 'never'))
          . "ROLLBACK TO gone;\nSAVEPOINT kept;\n"
          . both(series($name, 6001, 9000, ''))
          . "RELEASE kept;\n"
          . "INSERT INTO progress VALUES ('$name');\n"
          . gate_sql("early_$name")
          . both("VALUES ('$name', 0, 0, 'late')")
          . gate_sql($name)
          . "$end;\n");

    wait_for_sql($primary, <<'EOC', 1);
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%gate\_early%' AND pid <> pg_backend_pid()
EOC
    return $job;
}

$primary->safe_psql('postgres', 'CREATE TABLE progress (name text)');
foreach my $end ('COMMIT', 'ROLLBACK')
{
    my $name = lc $end;
    my $job = in_progress($name, $end);

    catch_up($primary, $standby);
    is(rows_of($standby, "key = '$name'"),
        0, "$end: in progress, its rows are not there");
    same("$end: in progress");
    flush_both();
    is(rows_of($standby, "key = '$name'"), 0, "$end: nor once flushed");
    same("$end: in progress, flushed");
    kill9_tree($standby);
    restart_by_force($standby);
    same("$end: in progress, killed");
    open_gate($primary, "early_$name");

    # A snapshot from before the end sees as little after it.
    my $reader = start_sql($standby,
            "BEGIN ISOLATION LEVEL REPEATABLE READ;\n"
          . "SELECT count(*) FROM t;\n"
          . gate_sql("reader_$name")
          . "SELECT count(*) FROM t;\nSELECT count(*) FROM t_heap;\n");
    wait_for_sql($standby, <<'EOC', 1);
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%gate\_reader%' AND pid <> pg_backend_pid()
EOC
    open_gate($primary, $name);
    ($rc, $out, $err) = end_sql($job);
    is($rc, 0, "$end: the transaction ends") or diag($err);
    catch_up($primary, $standby);
    is(rows_of($standby, "key = '$name'"),
        $end eq 'COMMIT' ? 6001 : 0,
        "$end: ended");
    same("$end: ended");
    flush_both();
    same("$end: ended and flushed");
    open_gate($standby, "reader_$name");
    ($rc, $out, $err) = end_sql($reader);
    is($rc, 0, "$end: the old snapshot can be read") or diag($err);
    my @counts = split /\n/, $out;
    is($counts[1], $counts[0], "$end: and has not changed");
    is($counts[2], $counts[0], "$end: as the heap's");
}
is(rows_of($standby, "note LIKE 'never%'"), 0, 'nothing of what was taken back');
is(rows_of($primary, "note LIKE 'never%'"), 0, 'nor on the primary');

# ----------------------------------------------------- reading while replaying

# One statement has one snapshot, whatever is replayed and flushed meanwhile.
my $load = FlowdbLoad->new($primary, 3);
my $loaded = $load->new_table;
catch_up($primary, $standby);
my $reads = 80;
my $compare = <<"EOC";
SELECT (SELECT (count(*), sum(n), max(ts)) FROM $loaded)
    IS NOT DISTINCT FROM (SELECT (count(*), sum(n), max(ts)) FROM ${loaded}_heap);
SELECT pg_sleep(0.01);
EOC
my @readers = map { start_sql($standby, $compare x $reads) } 1, 2;
$load->start(250);
while (grep { sql_running($_) } @readers)
{
    try_sql($standby, 'CHECKPOINT');
    sleep(0.2);
}
foreach my $reader (@readers)
{
    ($rc, $out, $err) = end_sql($reader);
    is($rc, 0, 'queries during replay go well') or diag($err);
    is(scalar(() = $out =~ /^t$/mg), $reads, 'and agree with the heap each time')
      or diag($out);
}
is(join("\n", $load->finish), '', 'the load on the primary');
is(join("\n", $load->judge(sync => 1)), '', 'primary: all or nothing');
catch_up($primary, $standby);
is(twin_diff($standby, $loaded), '', 'standby: the load');

# ------------------------------------------------------------------------- DDL

$primary->safe_psql('postgres', <<'EOC');
CREATE SERVER second FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE second (
    host text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    at timestamptz OPTIONS (role 'time') NOT NULL,
    x double precision) SERVER second;
INSERT INTO second SELECT 'h' || i % 3, '2020-01-01'::timestamptz + i * interval '1 s', i
FROM generate_series(1, 300) i;
EOC
catch_up($primary, $standby);
my $second = server_dir($primary, 'second');
my $second_there = $second =~ s/\Q@{[$primary->data_dir]}/$standby->data_dir/er;
ok(-d $second_there, "CREATE SERVER makes the standby's directory");
is($standby->safe_psql('postgres', "SELECT sum(x) FROM second WHERE host = 'h1'"),
    14950, 'and its table can be read');
($rc, $out, $err) = try_sql($primary, <<'EOC');
BEGIN;
DROP SERVER second CASCADE;
ROLLBACK;
EOC
flush_both();
ok(-d $second_there, 'DROP SERVER that is rolled back leaves it');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM second'),
    300, 'with its rows');
$primary->safe_psql('postgres', 'ALTER FOREIGN TABLE second ADD COLUMN y int');
$primary->safe_psql('postgres',
    "INSERT INTO second VALUES ('new', '2021-01-01', 1, 2)");
catch_up($primary, $standby);
is($standby->safe_psql('postgres', "SELECT y FROM second WHERE host = 'new'"),
    2, 'ALTER TABLE ADD COLUMN');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM second WHERE y IS NULL'),
    300, 'older rows have no value in it');
$primary->safe_psql('postgres', 'DROP SERVER second CASCADE');
ok(wait_until(sub { flush_both(); return !-e $second_there; }, 'its removal'),
    "DROP SERVER removes the standby's directory");

# A crash of the primary ends a transaction without a word in the log: the next
# checkpoint tells which are over.
sub folders
{
    my ($of) = @_;
    return join(' ', map { s{.*/}{}r } grep { -d } glob($of->data_dir . '/flowdb/*'));
}

my $folders = folders($standby);
$primary->safe_psql('postgres', 'CREATE SERVER twice FOREIGN DATA WRAPPER flowdb_fdw');
catch_up($primary, $standby);
my $more = folders($standby);
my $dropping = start_sql($primary, "BEGIN;\nDROP SERVER twice;\n" . gate_sql('halfway'));
my $halfway = start_sql($primary,
    "BEGIN;\nCREATE SERVER halfway FOREIGN DATA WRAPPER flowdb_fdw;\n" . gate_sql('halfway'));
ok(wait_until(sub { catch_up($primary, $standby); return folders($standby) ne $more; }, 'its folder'),
    'CREATE SERVER in progress has a folder on the standby');
wait_for_sql($primary, <<'EOC', 2);
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%gate\_halfway%' AND pid <> pg_backend_pid()
EOC
kill9_tree($primary);
restart_by_force($primary);
end_sql($halfway);
end_sql($dropping);
$primary->safe_psql('postgres', 'DROP SERVER twice');
flush_both();
is(folders($standby), $folders,
    'which goes when a crash has ended it, as that of a server dropped again');

# ------------------------------------------------------------ SIGKILL, promotion

$primary->safe_psql('postgres', 'BEGIN; ' . both(series('b', 1, 2000, '')) . 'COMMIT');
catch_up($primary, $standby);
kill9_tree($standby);
restart_by_force($standby);
same('after SIGKILL');
my $left = in_progress('left', 'COMMIT');
catch_up($primary, $standby);
$primary->stop('immediate');
end_sql($left);
$standby->promote;
ok(wait_for_sql($standby, 'SELECT NOT pg_is_in_recovery()'), 'promoted');
same('after promotion');
is(rows_of($standby, "key = 'left'"), 0, 'what was in progress is gone');
$standby->safe_psql('postgres',
    'BEGIN; ' . both(series('c', 1, 2000, '')) . both(series('left', 1, 10, 'new')) . 'COMMIT');
same('writes after promotion');
$standby->safe_psql('postgres', "SELECT flowdb_flush('flow'); CHECKPOINT");
same('flush after promotion');
kill9_tree($standby);
restart_by_force($standby);
same('SIGKILL after promotion');
is(rows_of($standby, "key = 'left'"), 10, 'what was in progress stays gone');

foreach my $node ($primary, $standby)
{
    unlike(log_since($node, 0), qr/TRAP:|PANIC/, 'no assertion failed');
}
$standby->stop;
done_testing();
