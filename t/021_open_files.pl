# Few open files: hundreds of SSTables in hundreds of stores, many cursors,
# COPY, flushes and merges within a small limit, nothing leaks, and a clear
# error where even fd.c finds no descriptor.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my ($stores, $limit) = ($ENV{FLOWDB_FULL} ? 500 : 150, 100);
my $scans = $ENV{FLOWDB_FULL} ? 20_000 : 2000;
my ($rc, $out, $err);

# The soft limit of a process; what it starts inherits it.
sub limit_files
{
    my ($pid, $n) = @_;
    return system_log('prlimit', "--pid=$pid", "--nofile=$n:") == 0;
}

plan skip_all => 'no prlimit here' unless limit_files($$, 1000);

my $node = new_node('few', <<"EOC");
fsync = off
checkpoint_timeout = 1h
max_connections = 20
max_files_per_process = 64
max_locks_per_transaction = 1000
flowdb.auto_compaction = off
flowdb.obsolete_file_retention = 0
EOC
$node->stop;
limit_files($$, $limit) or die;
ok($node->start(fail_ok => 1), "a start with $limit files") or BAIL_OUT('no start');
limit_files($$, 1000) or die;

sub files_of
{
    my ($pid) = @_;
    my @fds = glob("/proc/$pid/fd/*");
    return scalar @fds;
}

# Descriptors on FlowDB's files by kind of process.
sub open_files
{
    my %n;
    foreach my $type ('flowdb launcher', 'flowdb worker', 'checkpointer')
    {
        $n{$type} += files_of($_) foreach process_pids($node, $type);
    }
    return \%n;
}

# ------------------------------------------------------------ many SSTables

$node->safe_psql('postgres', <<"EOC");
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE TABLE parts (key int NOT NULL, ts bigint NOT NULL, n bigint, note text)
  PARTITION BY LIST (key);
CREATE TABLE heap (LIKE parts);
DO \$\$ BEGIN
  FOR i IN 1 .. $stores LOOP
    EXECUTE format('CREATE FOREIGN TABLE part_%s PARTITION OF parts '
      'FOR VALUES IN (%s) SERVER flow '
      'OPTIONS (key_columns ''key'', time_column ''ts'')', i, i);
  END LOOP;
END \$\$;
EOC

sub add_rows
{
    my ($first, $last) = @_;
    my $rows = "SELECT k, t, k * t, md5(t::text) "
      . "FROM generate_series(1, $stores) k, generate_series($first, $last) t";
    $node->safe_psql('postgres',
        "BEGIN; INSERT INTO parts $rows; INSERT INTO heap $rows; COMMIT");
    return;
}

sub digest
{
    my ($table) = @_;
    return 'SELECT count(*), sum(n), '
      . "sum(hashtext(note)::bigint) FROM $table";
}

sub has_all_rows
{
    my ($what) = @_;
    is($node->safe_psql('postgres', digest('parts')),
        $node->safe_psql('postgres', digest('heap')), "$what: all rows");
    return;
}

my $rows = 0;
foreach (1 .. 3)
{
    add_rows($rows + 1, $rows + 20);
    $rows += 20;
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
}
cmp_ok($node->safe_psql('postgres', 'SELECT sstables FROM flowdb_stats'),
    '>=', 3 * $stores, 'many SSTables');
has_all_rows('few descriptors');
my $before = open_files();

# ------------------------------------------------------------- one session


# Cursors on a hundred tables at a time, fetched in turn; a merge and a COPY
# of others meanwhile; statements that fail in the middle of a scan.
my $cursors = <<"EOC";
DO \$\$
DECLARE
  cursors refcursor[];
  c refcursor;
  r record;
  n bigint := 0;
BEGIN
  FOR i IN 1 .. 100 LOOP
    c := 'c' || i;
    OPEN c FOR EXECUTE format('SELECT * FROM part_%s ORDER BY ts', i);
    cursors := cursors || c;
  END LOOP;
  FOR k IN 1 .. 20 LOOP
    FOREACH c IN ARRAY cursors LOOP
      FETCH c INTO r;
      n := n + r.n;
    END LOOP;
    INSERT INTO parts SELECT i, 1000000 + k, 0, '' FROM generate_series(1, $stores) i;
  END LOOP;
  IF n <> (SELECT sum(heap.n) FROM heap WHERE key <= 100 AND ts <= 20) THEN
    RAISE 'cursors: %', n;
  END IF;
  DELETE FROM parts WHERE ts BETWEEN 1000000 AND 1999999;
END \$\$;
EOC
my $errors = <<"EOC";
DO \$\$
BEGIN
  FOR i IN 1 .. $scans LOOP
    BEGIN
      IF i % 2 = 0 THEN
        EXECUTE format('SELECT sum(1 / (ts - 50)) FROM part_%s', 1 + i % $stores);
      ELSE
        EXECUTE format('SELECT count(*) FROM part_%s', 1 + i % $stores);
      END IF;
    EXCEPTION WHEN division_by_zero THEN
    END;
  END LOOP;
END \$\$;
EOC
my $loop = start_sql($node,
    join '', map { "SELECT flowdb_compact('flow');" } 1 .. 3);
my $writer = start_sql($node, <<"EOC");
SELECT set_config('flowdb.transaction_buffer', '64kB', false);
COPY (SELECT i % $stores + 1, 2000000 + i, i, 'copied' FROM generate_series(1, 20000) i)
  TO '${\$node->data_dir}/rows';
COPY parts FROM '${\$node->data_dir}/rows';
COPY heap FROM '${\$node->data_dir}/rows';
SELECT flowdb_flush('flow');
EOC
my $reader = start_sql($node, "SELECT pg_backend_pid();\n$cursors\n$errors\n"
      . gate_sql('counted') . "\n" . digest('parts') . ";\n" . gate_sql('again')
      . "\n$errors\n" . gate_sql('end'));
my $pid;
wait_until(
    sub {
        ($pid) = FlowdbTest::slurp_or_empty("$reader->{base}.out") =~ /^(\d+)/;
        return defined $pid;
    },
    'the session');

sub at_gate
{
    my ($what) = @_;
    return ok(wait_for_sql($node, "SELECT query LIKE 'DO%gate_%' "
              . "FROM pg_stat_activity WHERE pid = $pid"),
        $what);
}

at_gate('a hundred cursors, and thousands of scans and errors');
my $first = files_of($pid);
cmp_ok($first, '<=', $limit, 'within the limit');
($rc, $out, $err) = end_sql($loop);
is("$rc$err", '0', 'merges beside it');
($rc, $out, $err) = end_sql($writer);
is("$rc$err", '0', 'COPY beside it');
has_all_rows('after merges and COPY');

# --------------------------------------- fewer than fd.c believes there are

# It finds out by EMFILE, and closes what it can.
ok(limit_files($pid, $first), 'a limit of what is open already');
open_gate($node, 'counted');
ok(wait_for_sql($node, "SELECT query LIKE 'DO%gate_again%' "
          . "FROM pg_stat_activity WHERE pid = $pid"),
    'the session reads all tables');
limit_files($pid, $limit);
open_gate($node, 'again');
ok(wait_for_sql($node, "SELECT query LIKE 'DO%gate_end%' "
          . "FROM pg_stat_activity WHERE pid = $pid"),
    'and thousands of them again');
cmp_ok(files_of($pid), '<=', $first + 2, 'no descriptor has leaked');
open_gate($node, 'end');
($rc, $out, $err) = end_sql($reader);
is("$rc$err", '0', 'the session ends well');
like($out, qr/\|/, 'it has seen rows');

# Where not one can be had: an error that says what to do, and the session
# goes on afterwards.
my $poor = start_sql($node, "\\set ON_ERROR_STOP 0\n\\set VERBOSITY verbose\n"
      . "SELECT pg_backend_pid();\nSELECT count(*) > 0 FROM heap;\n"
      . gate_sql('poor') . "\nSELECT count(*) FROM part_7;\n"
      . gate_sql('rich') . "\nSELECT count(*) > 0 FROM part_7;\n");
$pid = undef;
wait_until(
    sub {
        ($pid) = FlowdbTest::slurp_or_empty("$poor->{base}.out") =~ /^(\d+)/;
        return defined $pid;
    },
    'the session');
ok(wait_for_sql($node, "SELECT query LIKE 'DO%gate_poor%' "
          . "FROM pg_stat_activity WHERE pid = $pid"), 'a session');
limit_files($pid, 3);
open_gate($node, 'poor');
wait_for_sql($node,
    "SELECT query LIKE 'DO%gate_rich%' FROM pg_stat_activity WHERE pid = $pid");
limit_files($pid, $limit);
open_gate($node, 'rich');
($rc, $out, $err) = end_sql($poor);
like($err, qr/ERROR:  53000: .*Too many open files/, 'no descriptor: an error');
like($err, qr/^HINT:  Raise the limit of open files/m, 'and what to do')
  if $err =~ /FlowDB/;
like($out, qr/^t$/m, 'later the session reads again');

# -------------------------------------------------------- crash, and leaks

add_rows($rows + 1, $rows + 20);
kill9_tree($node);
limit_files($$, $limit) or die;
restart_by_force($node);
limit_files($$, 1000) or die;
has_all_rows('after a crash');
foreach (1 .. ($ENV{FLOWDB_FULL} ? 20 : 5))
{
    $node->safe_psql('postgres',
        "INSERT INTO parts SELECT i, 3000000 + $_, 0, '' FROM generate_series(1, $stores) i;"
          . "INSERT INTO heap SELECT i, 3000000 + $_, 0, '' FROM generate_series(1, $stores) i;"
          . "SELECT flowdb_flush('flow'); CHECKPOINT");
}
my $merges = $node->safe_psql('postgres', 'SELECT merges FROM flowdb_stats');
$node->safe_psql('postgres',
    "ALTER SYSTEM SET flowdb.auto_compaction = on; SELECT pg_reload_conf()");
ok(wait_for_sql($node, "SELECT merges > $merges + 20 FROM flowdb_stats"),
    'workers merge');
has_all_rows('after merges by workers');
my $after = open_files();
foreach my $type (sort keys %$after)
{
    my $most = $limit * (process_pids($node, $type) || 1);
    cmp_ok($after->{$type}, '<=', $most, "$type: within the limit");
    note("$type: $before->{$type}, then $after->{$type}");
}
unlike(log_since($node, 0), qr/PANIC|TRAP:|WARNING:  FlowDB/,
    'nothing went wrong unseen');
$node->stop;
done_testing();
