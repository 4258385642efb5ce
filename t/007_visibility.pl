# Who sees what, where isolation specs cannot go: an exported snapshot, a
# terminated backend, and random sessions that compare FlowDB's table with
# its heap twin at every step.
#
# Random part: PG_TEST_FLOWDB_SEED repeats a run's choices (the order in which
# concurrent sessions get on is the machine's), PG_TEST_FLOWDB_SECONDS (20)
# is its length.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use IPC::Run;
use List::Util qw(max min shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

$SIG{PIPE} = 'IGNORE';
my $node = new_node('main', "max_connections = 30\n");
create_twins($node, 't');

# ------------------------------------------------------------------- sessions

# A psql that stays, with one statement (or several) under way at a time.
my $marker = 0;

sub session
{
    my ($name) = @_;
    my %s = (name => $name, in => '', out => '', err => '');

    $s{psql} = IPC::Run::start(
        [
            'psql', '-XAtq', '-v', 'VERBOSITY=terse', '-d',
            $node->connstr('postgres') . " application_name=$name"
        ],
        '<', \$s{in}, '>', \$s{out}, '2>', \$s{err},
        IPC::Run::timeout(3 * $FlowdbTest::timeout));
    return \%s;
}

# ask: send; answer: wait for (output, errors) of what was sent.
sub ask
{
    my ($s, $sql) = @_;

    $marker++;
    $s->{marker} = "=== $marker ===";
    $s->{sql} = $sql;
    $s->{out} = $s->{err} = '';
    $s->{in} .= "$sql\n\\echo $s->{marker}\n";
    eval { $s->{psql}->pump_nb; };
    return;
}

sub answered
{
    my ($s) = @_;
    return $s->{out} =~ /^\Q$s->{marker}\E\n/m;
}

sub answer
{
    my ($s) = @_;

    until (answered($s))
    {
        eval { $s->{psql}->pump; 1; } or return (undef, $s->{err});
    }
    eval { $s->{psql}->pump_nb; };
    my $out = $s->{out};
    $out =~ s/\n?\Q$s->{marker}\E\n//;
    return ($out, $s->{err});
}

# say($s, SQL): its output; an error is part of it.
sub say_sql
{
    my ($s, $sql) = @_;
    ask($s, $sql);
    my ($out, $err) = answer($s);
    return ($out // 'lost') . $err;
}

sub quit
{
    my ($s) = @_;

    $s->{in} .= "\\q\n";
    eval { $s->{psql}->finish; };
    return;
}

# What is in one twin only, and how much there is in both.
my $compare = <<'EOC';
SELECT 'rows ' || (SELECT count(*) FROM t), 'heap ' || (SELECT count(*) FROM t_heap),
    'diff ' || (SELECT count(*) FROM (
        (TABLE t EXCEPT ALL TABLE t_heap) UNION ALL
        (TABLE t_heap EXCEPT ALL TABLE t)) d);
EOC
chomp $compare;

sub put
{
    my ($key, $first, $last, $n, $table) = @_;
    $table //= 't';
    my $values = "SELECT '$key', i, $n, repeat('x', 100) "
      . "FROM generate_series($first, $last) i";
    return "INSERT INTO $table $values; INSERT INTO ${table}_heap $values "
      . 'ON CONFLICT (key, ts) DO UPDATE SET n = EXCLUDED.n, note = EXCLUDED.note;';
}

sub compared
{
    my ($s, $rows, $what) = @_;
    is(say_sql($s, $compare), "rows $rows|heap $rows|diff 0", $what);
    return;
}

my $m = session('main');    # looks, flushes, terminates
my $flush = "DO \$\$ BEGIN PERFORM flowdb_flush('flow'); END \$\$;";

# ---------------------------------------------------------- exported snapshot

my ($s1, $s2, $s3) = map { session($_) } ('s1', 's2', 's3');
my $sum = "SELECT count(*), sum(n), (SELECT sum(n) FROM t_heap) FROM t;";

say_sql($m, put('k', 1, 1000, 1));
say_sql($s3, 'BEGIN; SET LOCAL flowdb.transaction_buffer = 64;' . put('l', 1, 3000, 1));
say_sql($s1, 'BEGIN ISOLATION LEVEL REPEATABLE READ;');
my $id = say_sql($s1, 'SELECT pg_export_snapshot();');
is(say_sql($s1, $sum), '1000|1000|1000', 'the exporting session');
say_sql($m, put('k', 1, 500, 2) . put('k', 1001, 1100, 2));
is(say_sql($m, $sum), '1100|1700|1700', 'rows were replaced and added');
say_sql($s2, "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$id';");
is(say_sql($s2, $sum), '1000|1000|1000', 'the importing session sees none of it');
compared($s2, 1000, 'and what the heap shows');
say_sql($m, $flush);
is(say_sql($s2, $sum), '1000|1000|1000', 'nor after a flush');
is(say_sql($s3, 'COMMIT;'), '', 'an older writer commits');
say_sql($m, $flush . put('k', 1, 1100, 3) . $flush);
is(say_sql($m, $sum), '4100|6300|6300', 'everything was replaced');
is(say_sql($s2, $sum), '1000|1000|1000', 'the importing session sees none of it');
is(say_sql($s1, $sum), '1000|1000|1000', 'nor does the exporting one');
compared($s1, 1000, 'which sees what the heap shows');
say_sql($s1, 'COMMIT;');
say_sql($m, put('k', 1, 10, 4) . $flush);
is(say_sql($s2, $sum), '1000|1000|1000', 'the snapshot outlives its exporter');
say_sql($s2, put('own', 1, 5, 100));
is(say_sql($s2, $sum), '1005|1500|1500', 'and the importer sees its own rows');
say_sql($s2, 'ROLLBACK;');
is(say_sql($s2, $sum), '4100|6310|6310', 'and everything afterwards');

# --------------------------------------------------------- terminated backend

sub terminate
{
    my ($name) = @_;
    return say_sql($m,
            'SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity '
          . "WHERE application_name = '$name';");
}

foreach my $case (
    [ 'with a few rows', put('gone', 1, 10, 9) ],
    [ 'with replaced rows', put('k', 1, 100, 9) ],
    [
        'after an early hand-over',
        'SET flowdb.transaction_buffer = 64;' . put('gone', 1, 3000, 9)
    ],
    [
        'after an early hand-over of replaced rows, in a subtransaction',
        'SET flowdb.transaction_buffer = 64; SAVEPOINT a;'
          . put('k', 1, 1100, 9) . 'RELEASE a; SAVEPOINT b;'
    ])
{
    my ($what, $sql) = @$case;

    foreach my $flushed (0, 1)
    {
        my $victim = session('victim');
        is(say_sql($victim, 'BEGIN;' . $sql), '', "a transaction $what");
        say_sql($m, $flush) if $flushed;
        is(terminate('victim'), 't', 'is terminated');
        is(say_sql($m, $sum), '4100|6310|6310', 'and nothing of it is seen');
        compared($m, 4100, 'in FlowDB or the heap');
        say_sql($m, $flush);
        is(say_sql($m, $sum), '4100|6310|6310', 'nor after a flush');
        eval { $victim->{psql}->finish; };
    }
}

# The statement itself is under way: pushing, and reading what it writes.
foreach my $sql (put('gone', 1, 5_000_000, 9),
    "INSERT INTO t SELECT key || i, ts, n, note FROM t, generate_series(1, 5000) i;")
{
    my $victim = session('victim');
    say_sql($victim, 'SET flowdb.transaction_buffer = 64;');
    ask($victim, $sql);
    ok(wait_for_sql($node,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' "
              . "AND state = 'active' AND backend_xid IS NOT NULL", 1),
        'a statement is writing');
    Time::HiRes::sleep(0.3);
    my $start = time();
    is(terminate('victim'), 't', 'its backend is terminated');
    cmp_ok(time() - $start, '<', slower(5), 'soon');
    is(say_sql($m, $sum), '4100|6310|6310', 'and nothing of it is seen');
    eval { $victim->{psql}->finish; };
}
compared($m, 4100, 'after all terminations');
quit($_) foreach ($s1, $s2, $s3);

# ------------------------------------------------------------ random sessions

my $seed = $ENV{PG_TEST_FLOWDB_SEED} // (time() * 1000) % 1_000_000_000;
my $seconds = $ENV{PG_TEST_FLOWDB_SECONDS} // 20;
srand($seed);
note("PG_TEST_FLOWDB_SEED=$seed");

# A table of their own: the one above is full of rows of aborted transactions.
create_twins($node, 'r');
$node->safe_psql('postgres', <<'EOC');
-- Cursors cf and ch on FlowDB's table and the heap's, with one snapshot, that
-- of the caller, because the function is stable.
CREATE FUNCTION open_both(condition text) RETURNS void STABLE
LANGUAGE plpgsql AS $$
DECLARE
    cf refcursor := 'cf';
    ch refcursor := 'ch';
BEGIN
    OPEN cf FOR EXECUTE 'SELECT * FROM r ' || condition;
    OPEN ch FOR EXECUTE 'SELECT * FROM r_heap ' || condition || ' ORDER BY key, ts';
END $$;
-- The next n rows (all: NULL) of the cursors cf and ch, compared.  FlowDB
-- gives them by key and time; a Sort would read them all at once.
CREATE FUNCTION fetch_both(n int, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
    c refcursor;
    r record;
    got text[];
    of_f text[];
BEGIN
    FOREACH c IN ARRAY ARRAY['cf', 'ch'] LOOP
        got := ARRAY[]::text[];
        WHILE n IS NULL OR cardinality(got) < n LOOP
            FETCH c INTO r;
            EXIT WHEN NOT FOUND;
            got := got || r::text;
        END LOOP;
        of_f := coalesce(of_f, got);
    END LOOP;
    answer := CASE WHEN of_f = got THEN 'diff 0' ELSE 'cursors differ' END;
END $$;
EOC

my @keys = ('a', 'b', 'k', 'z');
my %done;    # how often each kind of step was made

# A key that only this session writes: writers of the heap never meet.
sub own_key
{
    my ($s) = @_;
    return $keys[ rand @keys ] . $s->{name};
}

sub random_put
{
    my ($s) = @_;
    my $first = 1 + int rand 300;
    my $count = rand() < 0.2 ? 200 + int rand 500 : 1 + int rand 20;
    return put(own_key($s), $first, $first + $count, ++$s->{n}, 'r');
}

# Every row of a key, one time further or one more: a statement that reads
# what it writes.
sub random_copy
{
    my ($s) = @_;
    my ($key, $shift) = (own_key($s), int rand 3);
    my $from = "SELECT key, ts + $shift, n + 1, note FROM";
    my $where = "WHERE key = '$key' AND ts < " . (100 + int rand 600);
    # one row for each time: times never meet within the statement
    return "INSERT INTO r $from r $where; INSERT INTO r_heap $from r_heap $where "
      . 'ON CONFLICT (key, ts) DO UPDATE SET n = EXCLUDED.n, note = EXCLUDED.note;';
}

sub random_where
{
    my $lo = int rand 800;
    my $hi = $lo + int rand 500;
    my $key = $keys[ rand @keys ] . 'r' . (1 + int rand 4);
    my @where = (
        '', '', "WHERE key = '$key'", "WHERE ts >= $lo AND ts < $hi",
        "WHERE key = '$key' AND ts BETWEEN $lo AND $hi",
        "WHERE key >= '$key'", "WHERE key = '$key' AND ts = $lo",
        "WHERE key LIKE '$keys[rand @keys]%' AND ts > $lo");
    return $where[ rand @where ];
}

sub random_compare
{
    my $where = random_where();
    my ($f, $h) = ("SELECT * FROM r $where", "SELECT * FROM r_heap $where");
    return "SELECT 'diff ' || count(*), min(d::text) FROM (($f EXCEPT ALL $h) "
      . "UNION ALL ($h EXCEPT ALL $f)) d;";
}

# One random step: [kind, SQL], keeping track of the transaction's state.
sub random_step
{
    my ($s) = @_;
    my $dice = rand;

    if (!$s->{in_xact})
    {
        return [ 'compare', random_compare() ] if $dice < 0.3;
        return [ 'autocommit', 'BEGIN;' . random_put($s) . 'COMMIT;' ]
          if $dice < 0.45;
        $s->{in_xact} = 1;
        $s->{savepoints} = [];
        $s->{cursor} = 0;
        my $level = rand() < 0.5 ? 'READ COMMITTED' : 'REPEATABLE READ';
        my $buffer = rand() < 0.6 ? 64 : 8192;
        return [
            "begin \L$level",
            "BEGIN ISOLATION LEVEL $level;"
              . "SET LOCAL flowdb.transaction_buffer = $buffer;"
        ];
    }
    return [ 'compare', random_compare() ] if $dice < 0.3;
    return [ 'put', random_put($s) ] if $dice < 0.5;
    return [ 'copy', random_copy($s) ] if $dice < 0.56;
    if ($dice < 0.64)
    {
        push @{ $s->{savepoints} }, 's' . ++$s->{n};
        return [ 'savepoint', "SAVEPOINT $s->{savepoints}[-1];" ];
    }
    if ($dice < 0.76 && @{ $s->{savepoints} })
    {
        # one of them; those after it are gone, with RELEASE it is, too
        my $at = int rand @{ $s->{savepoints} };
        my $name = $s->{savepoints}[$at];
        my $broken = rand() < 0.3;
        $#{ $s->{savepoints} } = $at;
        if (rand() < 0.4)
        {
            pop @{ $s->{savepoints} };
            $s->{cursor_depth} = min($s->{cursor_depth}, $at) if $s->{cursor};
            return [ 'release', "RELEASE $name;" ];
        }
        # a cursor that is older than the savepoint stays, and where it was
        $s->{cursor} = 0 if $s->{cursor} && $s->{cursor_depth} > $at;
        return [ 'rollback to', "ROLLBACK TO $name;" ] unless $broken;
        return [
            'failing statement',
            "INSERT INTO r SELECT '"
              . own_key($s)
              . "', i, 12 / (500 - i), 'broken' FROM generate_series(1, 600) i;"
              . "ROLLBACK TO $name;"
        ];
    }
    if ($dice < 0.86)
    {
        if ($s->{cursor})
        {
            my $n = rand() < 0.5 ? 'NULL' : int rand 1500;
            return [ 'fetch', "SELECT fetch_both($n);" ];
        }
        $s->{cursor} = 1;
        $s->{cursor_depth} = @{ $s->{savepoints} };
        my $where = random_where();
        return [ 'cursor', "SELECT open_both(\$\$$where\$\$);" ];
    }
    $s->{in_xact} = 0;
    return rand() < 0.6 ? [ 'commit', 'COMMIT;' ] : [ 'rollback', 'ROLLBACK;' ];
}

# What is wrong with a step's answer, or ''.
sub judge
{
    my ($s, $kind, $out, $err) = @_;

    $err =~ s/^psql:.*?ERROR:\s+division by zero\n//m if $kind eq 'failing statement';
    $err =~ s/^ERROR:\s+division by zero\n//m if $kind eq 'failing statement';
    return "error: $err" if $err ne '';
    return "answer: $out" if $kind =~ /compare|fetch/ && $out !~ /^diff 0\|?$/;
    return "unexpected output: $out" if $kind !~ /compare|fetch/ && $out ne '';
    return '';
}

my @sessions = map { session("r$_") } 1 .. 4;
my $wrong = 0;
my $end = time() + $seconds;

while (time() < $end && $wrong < 5)
{
    # all at once, at random together with a flush or a termination
    my @round = shuffle @sessions;
    foreach my $s (@round)
    {
        $s->{step} = random_step($s);
        push @{ $s->{history} }, $s->{step}[1];
        $done{ $s->{step}[0] }++;
        ask($s, $s->{step}[1]);
    }
    if (rand() < 0.15)
    {
        say_sql($m, $flush);
        $done{flush}++;
    }
    foreach my $s (@round)
    {
        my ($out, $err) = answer($s);
        my $bad = defined $out ? judge($s, $s->{step}[0], $out, $err) : "lost: $err";
        next if $bad eq '';
        $wrong++;
        diag("$s->{name}, $s->{step}[0]: $bad\nlast steps of $s->{name}:\n"
              . join("\n", @{ $s->{history} }[ max(-15, -@{ $s->{history} }) .. -1 ]));
    }
    if (rand() < 0.02)
    {
        my $at = int rand @sessions;
        terminate($sessions[$at]{name});
        eval { $sessions[$at]{psql}->finish; };
        $sessions[$at] = session($sessions[$at]{name});
        $done{termination}++;
    }
}
is($wrong, 0, "random sessions agree with the heap (seed $seed)");
note(join(', ', map { "$done{$_} $_" } sort keys %done));
cmp_ok($done{compare} // 0, '>', 10, 'they have compared');
say_sql($_, 'COMMIT;') foreach @sessions;
is(twin_diff($node, 'r'), '', 'the twins hold the same');
say_sql($m, $flush);
is(twin_diff($node, 'r'), '', 'also after a flush');
quit($_) foreach (@sessions, $m);
crash_restart($node);
is(twin_diff($node, 'r'), '', 'and after a crash');

unlike(log_since($node, 0), qr/TRAP:|PANIC|was terminated by signal/,
    'no server process crashed');
$node->stop;
done_testing();
