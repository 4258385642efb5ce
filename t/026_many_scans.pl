# Many scans that stay open, each with a version of its own, while what they
# read is merged, replaced and dropped.  All of them get their rows; what they
# hold goes with them, also when their session is killed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($rc, $out, $err);
my $full = $ENV{FLOWDB_FULL};
my $sessions = $full ? 100 : 16;
my $cursors = 20;
my $rows = 3000;

my $node = new_node('scans', <<'EOC');
fsync = off
checkpoint_timeout = 1h
max_connections = 130
flowdb.shared_memory = '64MB'
flowdb.obsolete_file_retention = 0
EOC

sub query
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}

my $columns = "(key text OPTIONS (role 'key') COLLATE \"C\", "
  . "ts bigint OPTIONS (role 'time'), n bigint)";
query(<<"EOC");
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t $columns SERVER flow;
CREATE FOREIGN TABLE doomed $columns SERVER flow;
EOC
foreach my $part (0 .. 2)
{
    query("INSERT INTO t SELECT 'base', i, 1 FROM generate_series("
          . ($part * 1000 + 1) . ', ' . ($part + 1) * 1000 . ") i;"
          . "SELECT flowdb_flush('flow')");
}
query("INSERT INTO doomed SELECT * FROM t; SELECT flowdb_flush('flow')");
my $dir = server_dir($node, 'flow');

sub metadata
{
    return query("SELECT metadata_bytes FROM flowdb_stats");
}

sub is_quiet
{
    my ($what) = @_;
    query("INSERT INTO t VALUES ('quiet', 1, 1); SELECT flowdb_flush('flow')");
    ok(wait_for_sql($node, 'SELECT obsolete_files = 0 AND '
              . 'unresolved_transactions = 0 FROM flowdb_stats'),
        "$what: files that were replaced go");
    ok(wait_until(
            sub {
                my @files = grep { !m{/pgsql_tmp[^/]*$} } glob("$dir/SST/*");
                return @files == query('SELECT sstables FROM flowdb_stats');
            },
            'the files'),
        "$what: and are not on disk any more");
    return;
}

is_quiet('before');
query("SELECT flowdb_compact('flow')") foreach 1 .. 2;
is_quiet('before');
my $before = metadata();

# Each cursor reads all of "base" in the order of keys, with n as it was; in
# between somebody writes another version of everything, and a file.
sub session
{
    my ($number, $gate) = @_;
    my $sql = "BEGIN;\n";

    foreach my $i (1 .. $cursors)
    {
        $sql .= "DECLARE c$i CURSOR FOR SELECT sum(n) OVER (ORDER BY ts "
          . "ROWS UNBOUNDED PRECEDING) FROM t WHERE key = 'base' "
          . "ORDER BY ts;\nFETCH 1 FROM c$i;\nSELECT pg_sleep(0.05);\n";
    }
    $sql .= "SELECT pg_advisory_lock_shared(1);\n" . gate_sql($gate) . "\n";
    $sql .= <<"EOC";
DO \$\$
DECLARE c refcursor; n bigint;
BEGIN
    FOR i IN 1..$cursors LOOP
        c := 'c' || i;
        MOVE FORWARD ALL FROM c;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> $rows - 1 THEN
            RAISE 'cursor % has % rows', i, n;
        END IF;
    END LOOP;
END \$\$;
COMMIT;
EOC
    return start_sql($node, $sql);
}

my @jobs = map { session($_, $_ % 2 ? 'go_on' : 'killed') } 1 .. $sessions;
my $there = 'SELECT count(*) FROM pg_locks WHERE locktype = \'advisory\'';
my $round = 0;
while (query($there) < $sessions && $round < 3000)
{
    $round++;
    ($rc, $out, $err) =
      try_sql($node, "UPDATE t SET n = $round WHERE key = 'base' AND ts % 10 = 0;"
          . "SELECT flowdb_flush('flow')"
          . ($round % 3 ? '' : "; SELECT flowdb_compact('flow')"));
    is($rc, 0, 'writers and compaction go on') or diag($err) if $rc != 0;
    my @ended = grep { !sql_running($_) } @jobs;
    last if @ended;
}
is(query($there), $sessions, $sessions * $cursors . ' cursors are open')
  or diag(join "\n", map { (end_sql($_))[2] } grep { !sql_running($_) } @jobs);
($rc, $out, $err) = try_sql($node, 'DROP FOREIGN TABLE doomed');
is($rc, 0, 'a table is dropped beside them');
my $while = metadata();
my $obsolete = query('SELECT obsolete_files FROM flowdb_stats');
cmp_ok($obsolete, '>', 0, "after $round rounds $obsolete files are kept for them");
cmp_ok($while, '<', 7_000_000, 'metadata in use: ' . ($while - $before)
      . " bytes more for the scans and files, the server's is $before");
my @memory = sort { $b <=> $a } split /\n/, query(<<'EOC');
SELECT pg_log_backend_memory_contexts(pid)::int FROM pg_stat_activity
WHERE query LIKE '%gate_go\_on%' AND pid <> pg_backend_pid() LIMIT 1
EOC
sleep(0.3);
note($1) if log_since($node, 0) =~ /(FlowDB engine: \d+ total in .*)/;

# Half of them are ended as they are.
query(<<'EOC');
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE query LIKE '%gate\_killed%' AND pid <> pg_backend_pid()
EOC
isnt((end_sql($_))[0], 0, 'a session with cursors is terminated')
  foreach ($jobs[1], $jobs[3]);
is(query("SELECT count(*) FROM t WHERE key = 'base'"), $rows, 'reading works');
open_gate($node, 'go_on');
my $failed = join '', map { (end_sql($jobs[$_]))[2] } grep { $_ % 2 == 0 } 0 .. $#jobs;
is($failed, '', 'the others get all their rows');
end_sql($_) foreach @jobs;
ok(wait_until(
        sub { query("SELECT count(*) FROM pg_stat_activity "
                  . "WHERE query LIKE '%gate_%' AND pid <> pg_backend_pid()") == 0 },
        'the sessions'), 'all have gone');
is_quiet('after');
query("SELECT flowdb_compact('flow')") foreach 1 .. 8;
is_quiet('after');
cmp_ok(metadata(), '<', $before + 4000, "they have left nothing: " . metadata());

# WITH HOLD: its rows are kept by PostgreSQL, and no version.
($rc, $out, $err) = try_sql($node, <<'EOC');
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT ts FROM t WHERE key = 'base' ORDER BY ts;
FETCH 1 FROM h;
COMMIT;
UPDATE t SET n = 0;
SELECT flowdb_flush('flow');
SELECT flowdb_compact('flow');
DELETE FROM t WHERE key = 'base' AND ts > 10;
MOVE 2990 FROM h;
FETCH 5 FROM h;
EOC
is($out =~ s/\s+/ /gr, '1 t 2992 2993 2994 2995 2996', 'a cursor WITH HOLD') or diag($err);

# 10,000 connections, of which none is made: nothing in flowdb.shared_memory
# grows with them.
$node->append_conf('postgresql.conf', 'max_connections = 10000');
ok($node->restart || 1, 'max_connections = 10000 with 64MB');
query("SELECT count(*) FROM t");
cmp_ok(query('SELECT metadata_capacity FROM flowdb_stats'),
    '>', 8_000_000, 'needs no more of it');

unlike(log_since($node, 0), qr/was terminated by signal|TRAP:|PANIC/,
    'no process crashed');
$node->stop;
done_testing();
