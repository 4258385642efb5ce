# As little shared memory as is allowed: each part of it is filled, by what a
# busy server may do.  Who cannot go on waits, or is told why and what to do;
# afterwards everything works, and the memory is as empty as before.
# FLOWDB_FULL=1: more of everything, and more small transactions than fit.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($rc, $out, $err, $from);
my @verbose = (extra_params => [ '-v', 'VERBOSITY=verbose' ]);
my $full = $ENV{FLOWDB_FULL};

my $node = new_node('small', <<'EOC');
fsync = off
checkpoint_timeout = 1h
max_connections = 60
max_locks_per_transaction = 1000
flowdb.shared_memory = '64MB'
flowdb.obsolete_file_retention = 0
EOC

sub query
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}

sub tries
{
    my ($sql) = @_;
    return try_sql($node, $sql, @verbose);
}

# ------------------------------------------------------------ the minimum

$node->stop;
$node->append_conf('postgresql.conf', "flowdb.shared_memory = '63MB'");
$from = log_size($node);
ok(!$node->start(fail_ok => 1), 'less than the minimum is refused');
like(log_since($node, $from),
    qr/FATAL:  flowdb.shared_memory is 63 MB, and must be from 64 MB/,
    'with the number that would do');
# all the cache that was asked for is not there
$node->append_conf('postgresql.conf',
    "flowdb.shared_memory = '64MB'\nflowdb.block_cache = '60MB'");
ok($node->start(fail_ok => 1), 'too much block cache is no reason to stop');
like(log_since($node, $from), qr/flowdb.block_cache is limited to 24 MB/,
    'but is told');
$node->append_conf('postgresql.conf', "flowdb.block_cache = -1");
$node->restart;

# ---------------------------------------------------- nothing is kept for ever

my $columns = "(key text OPTIONS (role 'key') COLLATE \"C\", "
  . "ts bigint OPTIONS (role 'time'), n bigint, note text)";

query(<<"EOC");
CREATE SERVER keep FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE k $columns SERVER keep;
INSERT INTO k SELECT 'k' || i % 10, i, i, md5(i::text)
    FROM generate_series(1, 1000) i;
SELECT flowdb_flush('keep');
EOC

# Metadata in use when all is quiet: fates are noted, files are gone.
sub quiet
{
    local $FlowdbTest::timeout = 30;
    my ($last, $same) = ('', 0);

    wait_for_sql($node, <<'EOC');
SELECT sum(unresolved_transactions) = 0 AND sum(obsolete_files) = 0
    AND sum(memtable_bytes) = 0 FROM flowdb_stats WHERE state = 'open'
EOC
    wait_until(
        sub {
            my $now = query(
                "SELECT metadata_bytes FROM flowdb_stats WHERE server = 'keep'");
            $same = $now eq $last ? $same + 1 : 0;
            $last = $now;
            sleep(0.2);
            return $same == ($full ? 8 : 4);
        },
        'the memory to be quiet');
    return $last;
}

sub come_and_go
{
    my ($servers, $tables) = @_;
    my $sql = '';

    foreach my $s (1 .. $servers)
    {
        $sql .= "CREATE SERVER s$s FOREIGN DATA WRAPPER flowdb_fdw;\n";
        foreach my $t (1 .. $tables)
        {
            $sql .= "CREATE FOREIGN TABLE s${s}_$t $columns SERVER s$s;\n";
            $sql .= "INSERT INTO s${s}_$t SELECT 'k' || i % 10, i, i, "
              . "md5(i::text) FROM generate_series(1, 50) i;\n";
        }
        $sql .= "SELECT flowdb_flush('s$s');\n";
        $sql .= "UPDATE s${s}_1 SET n = n + 1; DELETE FROM s${s}_2;\n"
          . "SELECT flowdb_flush('s$s');\n"
          . "BEGIN; DECLARE c CURSOR FOR SELECT * FROM s${s}_1; FETCH 1 FROM c;\n"
          . "SELECT flowdb_compact('s$s'); FETCH ALL FROM c; COMMIT;\n"
          . "DROP FOREIGN TABLE s${s}_1;\n"
          . "BEGIN; INSERT INTO s${s}_3 VALUES ('x', 1, 1); ROLLBACK;\n";
    }
    $sql .= "DROP SERVER s$_ CASCADE;\n" foreach 1 .. $servers;
    my ($rc, $out, $err) = try_sql($node, $sql);
    is($rc, 0, 'servers and tables come and go') or diag($err);
    return;
}

come_and_go(2, 5);    # what is made once and stays
my $before = quiet();
cmp_ok($before, '>', 0, "$before bytes of metadata are in use");
come_and_go($full ? 60 : 4, $full ? 10 : 5) foreach 1 .. 2;
is(quiet(), $before, 'all of it was given back');
my $metrics = query('SELECT flowdb_metrics()');
like($metrics, qr/^flowdb_metadata_bytes $before$/m, 'metrics have it too');
like($metrics, qr/^flowdb_write_buffer_bytes \d+$/m, 'and write buffers');

# ------------------------------------------------------------- write buffers

# More than all buffers hold, by many at once, with little transactions' memory.
query("CREATE FOREIGN TABLE w $columns SERVER keep");
my @jobs = map {
    start_sql($node, "SET flowdb.transaction_buffer = '64kB';"
          . "INSERT INTO w SELECT 'w$_', i, i, repeat(md5(i::text), 8) "
          . 'FROM generate_series(1, ' . ($full ? 50_000 : 8_000) . ') i')
} 1 .. 30;
my $failed = join '', map { ($_->{rc} // 0) . (end_sql($_))[2] } @jobs;
is($failed =~ s/0//gr, '', 'thirty writers beside each other');
is(query('SELECT count(*) FROM w'), 30 * ($full ? 50_000 : 8_000),
    'all rows are there');
($rc, $out, $err) = tries(
    "INSERT INTO w SELECT 'big', i, i, repeat(md5(i::text), 500000) "
      . 'FROM generate_series(1, 3) i');
is($rc, 0, 'rows of 16 MB') or diag($err);
is(query("SELECT string_agg(length(note)::text, ' ') FROM w WHERE key = 'big'"),
    '16000000 16000000 16000000', 'can be read');
query('DROP FOREIGN TABLE w');
# what is gone is struck off the manifest with its next edit
cmp_ok(quiet(), '<', $before + 1000, 'all of it was given back');

# ----------------------------------------------------------------- metadata

# Descriptions of tables with many columns, of names that are as long as can be
# where there are to be fewer tables.
my $tables = $full ? 3000 : 700;
my $long = 'a_long_name_of_a_column_' . ($full ? '' : 'x' x 30);
my $wide = join ', ', map { "$long$_ bigint" } 1 .. 100;
query(<<"EOC");
CREATE SCHEMA many;
CREATE SERVER many FOREIGN DATA WRAPPER flowdb_fdw;
DO \$\$ BEGIN
    FOR i IN 1..$tables LOOP
        EXECUTE format('CREATE FOREIGN TABLE many.t%s (key text '
            'OPTIONS (role ''key'') COLLATE "C", ts bigint '
            'OPTIONS (role ''time''), $wide) SERVER many', i);
    END LOOP;
END \$\$;
EOC
($rc, $out, $err) = tries(<<"EOC");
DO \$\$ BEGIN
    FOR i IN 1..$tables LOOP
        EXECUTE format('INSERT INTO many.t%s VALUES (''a'', 1)', i);
        COMMIT;
    END LOOP;
END \$\$;
EOC
like($err, qr/ERROR:  53200: FlowDB: out of shared memory for the definition/,
    'too many stores: an error');
like($err, qr/^HINT:  .*metadata_bytes.*flowdb\.shared_memory/m,
    'that says which setting');
my $stores = query("SELECT stores FROM flowdb_stats WHERE server = 'many'");
cmp_ok($stores, '>', $tables / 6, "$stores of them fit");
is(query('SELECT count(*) FROM k'), 1000, 'reading works');
($rc, $out, $err) =
  tries("INSERT INTO k VALUES ('more', 1, 1); SELECT flowdb_flush('keep')");
note("a flush: $err");
($rc, $out, $err) = tries("SET statement_timeout = '30s'; CHECKPOINT");
is($rc, 0, 'a checkpoint ends') or diag($err);
$node->restart;
is(query('SELECT count(*) FROM many.t1'), 1, 'it can be started again');
query('DROP SCHEMA many CASCADE');
query('DROP SERVER many');
query("DELETE FROM k WHERE key = 'more'");
wait_for_sql($node,
    "SELECT metadata_bytes < 1000000 FROM flowdb_stats WHERE server = 'keep'");
($rc, $out, $err) = tries("INSERT INTO k VALUES ('b', 1, 1, 'b');"
      . "SELECT flowdb_flush('keep'); CREATE FOREIGN TABLE k2 $columns "
      . "SERVER keep; INSERT INTO k2 SELECT * FROM k; CHECKPOINT");
is($rc, 0, 'without them all works again') or diag($err);

# ---------------------------------------------------------- many transactions

# Beside an old snapshot each stays in a directory.  PROCEDURE: each is one.
query(<<'EOC');
CREATE PROCEDURE small_ones(worker int, n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO k2 VALUES ('w' || worker, i, i);
        COMMIT;
    END LOOP;
END $$;
EOC
SKIP:
{
    skip 'takes minutes; FLOWDB_FULL=1', 1 unless $full;
    my $old = start_sql($node, 'BEGIN ISOLATION LEVEL REPEATABLE READ;'
          . 'SELECT count(*) FROM k;' . gate_sql('old') . 'COMMIT');
    wait_for_sql($node,
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%gate_old%' "
          . 'AND pid <> pg_backend_pid()');
    $from = log_size($node);
    my @small = map { start_sql($node, "SET synchronous_commit = off;"
              . "CALL small_ones($_, 400000)", '-v', 'VERBOSITY=verbose') } 1 .. 4;
    ok(wait_until(
            sub {
                return log_since($node, $from) =~ /out of shared memory/
                  || !grep { sql_running($_) } @small;
            },
            'the directories to be full'),
        'transactions beside an old snapshot');
    my @ends = map { [ end_sql($_) ] } @small;
    like(join('', map { $_->[2] } @ends), qr/ERROR:  53\d\d\d: /,
        'writes are refused at last');
    like(log_since($node, $from),
        qr/out of shared memory for.*\n(.*\n)*.*HINT:  .*flowdb\.shared_memory/,
        'the log says which setting');
    is(query('SELECT count(*) > 0 FROM k2'), 't', 'reading works');
    open_gate($node, 'old');
    end_sql($old);
    ok(wait_for_sql($node, "INSERT INTO k2 VALUES ('after', 1, 1); SELECT true"),
        'when the snapshot has gone, writing works');
    ok(wait_for_sql($node, "SELECT flowdb_flush('keep') IS NOT NULL; "
              . 'SELECT sum(unresolved_transactions) = 0 FROM flowdb_stats',
            "t\nt"), 'and fates are noted');
    ($rc, $out, $err) = tries('CHECKPOINT');
    is($rc, 0, 'and a checkpoint ends');
}

# ---------------------------------------------------------------- row locks

query("INSERT INTO k2 SELECT 'l', i, i FROM generate_series(1, 60000) i");
$from = log_size($node);
my $locker = start_sql($node, 'SET flowdb.row_locks = 1000000; BEGIN;'
      . "SELECT count(*) FROM (SELECT 1 FROM k2 WHERE key = 'l' FOR UPDATE) x;"
      . 'SELECT pg_advisory_lock(7);' . gate_sql('locks') . 'COMMIT');
wait_for_sql($node,
    "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory'");
($rc, $out, $err) = tries(
    "SELECT n FROM k2 WHERE key = 'l' AND ts = 59999 FOR UPDATE NOWAIT");
like($err, qr/ERROR:  55P03/, 'more row locks than the table has: all hold');
is(query('SELECT count(*) FROM (SELECT 1 FROM k2 WHERE ts < 10 '
          . 'FOR UPDATE SKIP LOCKED) x'), 0, 'others can pass over them');
open_gate($node, 'locks');
($rc, $out, $err) = end_sql($locker);
is($rc, 0, 'who has them goes on') or diag($err);
is(query("SELECT count(*) FROM (SELECT 1 FROM k2 WHERE key = 'l' FOR UPDATE) x"),
    60_000, 'and gives them back');

unlike(log_since($node, 0), qr/was terminated by signal|TRAP:|PANIC/,
    'no process crashed');
$node->stop;
done_testing();
