# FlowdbOracleCompare: two answers, and whether they agree.
#
# An answer is a hash: state (SQLSTATE), count, rows, message.
#
# Documented exceptions, each with its reason:
#
# - Which of several errors.  A statement that meets several errors (a NULL
#   here, a duplicate there) raises the first; which row comes first is
#   nobody's promise.  Both must fail with an error of @ROW_ERRORS.  So may a
#   query: one row's bucket is out of range, another one's sum overflows.
# - 22025, "LIKE pattern must not end with escape character", is raised when the
#   pattern is tried on a row; what other conditions exclude first is a matter of
#   the plan.  Either may raise it alone; a change is then undone in both.
# - 23505 of UPDATE.  A heap row that moves to where another is raises it, also
#   when that one would move away later in the same statement.  FlowDB's
#   on_duplicate 'replace' replaces the other row, and the order in which rows
#   move is not the heap's.  Undone in both.
# - expire_at.  A NULL means never and is read as infinity, so that column is
#   NOT NULL here with that default.
# - Several new rows of one identity in one INSERT.  FlowDB's 'replace' keeps the
#   last one, the heap's ON CONFLICT DO UPDATE raises 21000.  Not made.
# - Times behind the year 294246.  A time or expire_at column has the
#   microseconds since 1970 and raises 22008; not made there, but compared with.
# - 23514 of UPDATE, of partitions.  A row cannot be updated from one FlowDB
#   partition into another.  Undone in both.
# - 55000 of INSERT through a view.  The heap's ON CONFLICT DO UPDATE refuses to
#   touch a row that the view does not show; FlowDB's INSERT replaces.  Undone.
# - Triggers.  flowdb_delete_range fires none, and where INSERT replaces the heap's
#   DO UPDATE fires those of UPDATE: neither is done to tables that have some.
# - 55006 of TRUNCATE.  A cursor that was planned to read no partition does not
#   keep a partitioned table from being truncated, but does keep its twin: all
#   cursors are closed before.
# - Sums and averages of floats.  Their last bits depend on the order of
#   additions, which is nobody's promise: they are asked for where every order
#   gives the same (FlowdbOracleTypes' "sums"), or rounded where the exact sum is
#   far from the edge.  Of -0 and 0 either is the least: 0 is added.
# - Errors that are not met.  Who wants the first few buckets need not look at a
#   row behind them whose own bucket is out of range, or whose sum overflows:
#   there such rows are left out.
# - Rows of COPY.  The heap has no COPY that replaces, so its rows go through
#   INSERT ... SELECT; the counts must be equal all the same.  Of a COPY that
#   fails psql does not tell the SQLSTATE.
package FlowdbOracleCompare;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(judge pair_sql pair_answers oracle_sql);

my %ROW_ERROR = map { $_ => 1 }
  ('23502', '23505', '23514', '22003', '22001', '22008', '22P02', '21000', '44000', 'COPY');

# What the test's own functions and types are made by.
sub oracle_sql
{
    return (
        'CREATE SCHEMA f', 'CREATE SCHEMA h', 'CREATE SCHEMA oracle',
        "CREATE TYPE oracle.mood AS ENUM ('sad', 'ok', 'happy')",
        'CREATE TYPE oracle.pair AS (n integer, t text)',
        'CREATE DOMAIN oracle.small AS integer CHECK (VALUE < 100)',
        'CREATE DOMAIN oracle.label AS text',
        "CREATE COLLATION oracle.icu (provider = icu, locale = 'en')",
        "CREATE COLLATION oracle.nd (provider = icu, locale = 'und-u-ks-level2', "
          . 'deterministic = false)',
        # What triggers have seen.
        'CREATE TABLE f.log (op text, tab text, old text, new text)',
        'CREATE TABLE h.log (op text, tab text, old text, new text)',
        <<'EOC',
CREATE FUNCTION oracle.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.log VALUES ($1, $2, $3, $4)', TG_TABLE_SCHEMA)
        USING TG_OP, TG_TABLE_NAME::text,
            CASE WHEN TG_OP <> 'INSERT' THEN OLD::text END,
            CASE WHEN TG_OP <> 'DELETE' THEN NEW::text END;
    RETURN NULL;
END $$
EOC
        # Two changes, of which the second is taken back.
        <<'EOC',
CREATE PROCEDURE oracle.commit_first(a text, b text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE a;
    COMMIT;
    EXECUTE b;
    ROLLBACK;
END $$
EOC
        # One statement's answer.  An error is undone, with all that it did.
        <<'EOC',
CREATE FUNCTION oracle.answer(sql text,
    OUT state text, OUT n bigint, OUT got text[]) LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    state := '00000';
    n := 0;
    got := ARRAY[]::text[];
    IF sql ~ '^(INSERT|UPDATE|DELETE)' AND sql !~ ' RETURNING ' THEN
        EXECUTE sql;
        GET DIAGNOSTICS n = ROW_COUNT;
    ELSE
        FOR r IN EXECUTE sql LOOP
            got := got || r::text;
            n := n + 1;
        END LOOP;
    END IF;
EXCEPTION WHEN OTHERS THEN
    state := SQLSTATE;
    n := 0;
    got := ARRAY[SQLERRM];
END $$
EOC
        # Both answers; rows only where they differ.  When one of them is an
        # excepted error and the other one is not, both are undone.
        <<'EOC',
CREATE FUNCTION oracle.both(flow text, heap text, ordered boolean, excepted text[],
    OUT f_state text, OUT f_count bigint, OUT h_state text, OUT h_count bigint,
    OUT undone boolean, OUT differ boolean, OUT f_rows text[], OUT h_rows text[])
LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO h_state, h_count, h_rows FROM oracle.answer(heap);
    SELECT * INTO f_state, f_count, f_rows FROM oracle.answer(flow);
    undone := false;
    differ := false;
    IF f_state <> h_state THEN
        IF f_state = ANY (excepted) OR h_state = ANY (excepted) THEN
            RAISE SQLSTATE 'ORA01';
        END IF;
        differ := true;
    ELSIF f_state = '00000' THEN
        IF NOT ordered THEN
            f_rows := ARRAY(SELECT x FROM unnest(f_rows) x ORDER BY x COLLATE "C");
            h_rows := ARRAY(SELECT x FROM unnest(h_rows) x ORDER BY x COLLATE "C");
        END IF;
        differ := f_count <> h_count OR f_rows <> h_rows;
    END IF;
    IF NOT differ THEN
        f_rows := NULL;
        h_rows := NULL;
    END IF;
EXCEPTION WHEN SQLSTATE 'ORA01' THEN
    undone := true;
    differ := false;
    f_rows := NULL;
    h_rows := NULL;
END $$
EOC
    );
}

# ------------------------------------------------------------------ in the server

sub dollar
{
    my ($sql) = @_;
    return "\$flow\$$sql\$flow\$";
}

# pair_sql(FLOW, HEAP, ORDERED, EXCEPTED...): asks for both at once.
sub pair_sql
{
    my ($flow, $heap, $ordered, @excepted) = @_;
    return 'SELECT f_state, f_count, h_state, h_count, undone, differ, '
      . "f_rows::text, h_rows::text FROM oracle.both(" . dollar($flow) . ', '
      . dollar($heap) . ', ' . ($ordered ? 'true' : 'false')
      . ", '{" . join(',', @excepted) . "}')";
}

# pair_answers(ANSWER): the two answers of a pair_sql, undone, and if they are
# equal; nothing when the call itself failed.
sub pair_answers
{
    my ($answer) = @_;
    return if $answer->{state} ne '00000' || @{ $answer->{rows} } != 1;
    my ($fs, $fn, $hs, $hn, $undone, $differ, $f, $h) = split(/\|/, $answer->{rows}[0], 7);
    # the last two may hold any byte
    return (
        { state => $fs, count => $fn, rows => [], message => $f },
        { state => $hs, count => $hn, rows => [], message => '' },
        $undone eq 't', $differ eq 't');
}

# ----------------------------------------------------------------- comparison

sub shown
{
    my ($a) = @_;
    my @rows = @{ $a->{rows} };
    my $more = @rows > 30 ? "\n        ... " . (@rows - 30) . ' more' : '';
    $#rows = 29 if $more;
    return "SQLSTATE $a->{state}" . (defined $a->{count} ? ", count $a->{count}" : '')
      . (($a->{message} // '') ne '' ? ", $a->{message}" : '')
      . join('', map { "\n        $_" } @rows) . $more;
}

# judge(FLOW, HEAP, OPTIONS): '' when the answers agree, else both of them.
# Options: ordered, several, no_count, change.
sub judge
{
    my ($f, $h, %o) = @_;
    my $both = "FlowDB: " . shown($f) . "\n    heap:   " . shown($h);

    if ($f->{state} ne $h->{state})
    {
        return '' if ($o{several} || !$o{change}) && $ROW_ERROR{ $f->{state} } && $ROW_ERROR{ $h->{state} };
        return '' if !$o{change} && ($f->{state} eq '22025' || $h->{state} eq '22025');
        return $both;
    }
    return '' if $f->{state} ne '00000' || $o{no_count};
    return $both if ($f->{count} // '') ne ($h->{count} // '');
    my @f = @{ $f->{rows} };
    my @h = @{ $h->{rows} };
    unless ($o{ordered})
    {
        @f = sort @f;
        @h = sort @h;
    }
    return '' if @f == @h && join("\x1e", @f) eq join("\x1e", @h);
    # what only one of them has says more than all of it
    my (%f, %h);
    $f{$_}++ foreach @f;
    $h{$_}++ foreach @h;
    my @only_f = grep { !$h{$_}-- || $h{$_} < 0 } @f;
    my %f2;
    $f2{$_}++ foreach @f;
    my @only_h = grep { !$f2{$_}-- || $f2{$_} < 0 } @h;
    return "$both\n    (the order differs)" unless @only_f || @only_h;
    return 'FlowDB: ' . @f . ' rows, of them alone: ' . shown({ %$f, rows => \@only_f })
      . "\n    heap:   " . @h . ' rows, of them alone: ' . shown({ %$h, rows => \@only_h });
}

1;
