# FlowdbOracleEdges: bounds right at the times of rows, and one beside them.
#
# A fault of one microsecond shows only where a row is at that very place.  So
# the run asks the heap now and then for the times of some rows; bounds are
# these, and the times just before and just after.  Series have rows there too
# (FlowdbOracleSeries).
#
# A table's "edges" are a hash: times (all of them), rows (those with keys).
package FlowdbOracleEdges;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOraclePredicates;
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(edges_sql note_edges edge_bounds edge_rows edge_sums);

# One time before and after, where buckets and other types have such a time.
my %beside = (
    int8 => 'CASE WHEN t BETWEEN -9e18 AND 9e18 THEN t %s 1 ELSE t END',
    date => "CASE WHEN t BETWEEN '1000-01-01' AND '9000-01-01' THEN t %s 1 ELSE t END",
    map { $_ => "CASE WHEN t BETWEEN '1000-01-01' AND '9000-01-01' THEN t %s interval '1 us' ELSE t END" }
      qw(timestamp timestamptz));

# As all constants are written: equal times have equal texts.
sub text_of
{
    my ($type, $sql) = @_;
    return "($sql)::text" if $type ne 'timestamptz';
    return "CASE WHEN isfinite($sql) THEN replace(($sql AT TIME ZONE 'UTC')::text || '+00', ' BC+00', '+00 BC') "
      . "ELSE ($sql)::text END";
}

# edges_sql(TABLE, N): asks the heap for the first rows by time, the last, and
# some between, which N chooses; nothing for a table without a time.
sub edges_sql
{
    my ($table, $n) = @_;
    my ($time) = time_of($table) or return;
    my @identity = map { quote_name($_->{name}) } identity($table);
    my $t = $identity[-1];
    my @keys = map { "c$_" } 0 .. $#identity - 1;
    my ($before, $after) = map { '(' . sprintf($beside{ $time->{type} }, $_) . ')' } ('-', '+');
    my $columns = join(', ', map { "$identity[$_] AS c$_" } 0 .. $#identity - 1) . ", $t AS t";
    my $rows = sub {
        my ($order, $limit) = @_;
        return "(SELECT $columns FROM h.$table->{name} x ORDER BY "
          . join(', ', $order, @identity) . " LIMIT $limit)";
    };

    return 'SELECT ' . join(', ', (map { text_of($time->{type}, $_) } 't', $before, $after), map { "$_\::text" } @keys)
      . ' FROM (' . join(' UNION ', $rows->($t, 2), $rows->("$t DESC", 2), $rows->("hashtext($t\::text || '$n')", 12))
      . ') s ORDER BY ' . join(', ', map { "s.$_" } @keys, 't');
}

# By time, as far as texts tell.
sub in_order
{
    my ($type, @times) = @_;
    return $type eq 'int8' ? sort { $a <=> $b } @times : sort @times;
}

# note_edges(TABLE, ROWS): the answer; each field is separated by "|".
sub note_edges
{
    my ($table, @rows) = @_;
    my ($time) = time_of($table);
    my %edges = (times => [], rows => []);
    my %by_time;

    foreach my $row (@rows)
    {
        my ($t, $before, $after, @keys) = split(/\|/, $row, -1);
        # a key may have any byte in it
        next if grep { !defined || !/^[-+ :.\w]*$/a } $t, $before, $after;
        push @{ $edges{times} }, $t, $t, $before, $after;
        $by_time{$t} = [ $t, $t, $before, $after ];
        push @{ $edges{rows} }, [ @keys, $t ]
          if @keys == keys_of($table) && !grep { !/^[-+ :.\w]+$/a } @keys;
    }
    return unless @{ $edges{times} };
    # files and blocks end with the first and the last of all
    my @sorted = in_order($time->{type}, keys %by_time);
    push @{ $edges{times} }, (@{ $by_time{$_} }) x 5 foreach @sorted[ 0, -1 ];
    $table->{edges} = \%edges;
    ($table->{known} //= {})->{ $time->{name} } = $edges{times};
    near_values($time->{type}, @{ $edges{times} });
    return;
}

# ------------------------------------------------------------------- bounds

sub edge
{
    my ($table, $type) = @_;
    return constant($type, $table->{edges} ? pick(@{ $table->{edges}{times} }) : undef);
}

# edge_bounds(TABLE): conditions on the time.
sub edge_bounds
{
    my ($table) = @_;
    my ($time) = time_of($table);
    my $t = 'x.' . quote_name($time->{name});
    my $e = sub { edge($table, $time->{type}) };
    my $dice = below(20);

    return "$t " . pick('>', '>=') . ' ' . $e->() if $dice < 5;
    return "$t " . pick('<', '<=') . ' ' . $e->() if $dice < 10;
    return "$t = " . $e->() if $dice < 11;
    return "$t IN (" . join(', ', map { $e->() } 1 .. 1 + below(4)) . ')' if $dice < 12;
    return 'NOT ' . $e->() . ' ' . pick('<', '<=', '>', '>=') . " $t" if $dice < 13;
    my @both = map { pick(@{ $table->{edges}{times} }) } 1 .. 2;
    my ($lo, $hi) = map { constant($time->{type}, $_) } in_order($time->{type}, @both);
    return "$t BETWEEN $lo AND $hi" if $dice < 15;
    return "$t " . pick('>', '>=') . " $lo AND $t " . pick('<', '<=') . " $hi";
}

# Of the keys of a row that is there: all, the first ones, several; none.
sub edge_keys
{
    my ($table, $row) = @_;
    my @keys = keys_of($table);

    splice @keys, below(1 + @keys) if chance(0.4);
    return map {
        my $at = $_;
        my $c = 'x.' . quote_name($keys[$at]{name});
        my $type = $keys[$at]{type};
        chance(0.8) ? "$c = " . constant($type, $row->[$at])
          : "$c IN (" . join(', ', map { constant($type, $_->[$at]) }
              $row, pick(@{ $table->{edges}{rows} })) . ')';
    } 0 .. $#keys;
}

sub edge_where
{
    my ($table) = @_;
    my $rows = $table->{edges}{rows};
    my @tests;

    if (@$rows && chance(0.55))
    {
        @tests = edge_keys($table, pick(@$rows));
    }
    elsif (@$rows && chance(0.2))
    {
        # from a row on, as who reads page by page asks
        my @cols = identity($table);
        my $row = pick(@$rows);
        return ' WHERE (' . name_list('x', @cols) . ') ' . pick('<', '<=', '>', '>=') . ' ('
          . join(', ', map { constant($cols[$_]{type}, $row->[$_]) } 0 .. $#cols) . ')';
    }
    push @tests, edge_bounds($table) if chance(0.95);
    return @tests ? ' WHERE ' . join(' AND ', @tests) : '';
}

# ------------------------------------------------------------------ queries

# edge_rows(TABLE): the first or last rows by time, and if their order is total;
# nothing before there are edges.
sub edge_rows
{
    my ($table) = @_;
    return unless $table->{edges};
    my ($time) = time_of($table);
    my @keys = map { 'x.' . quote_name($_->{name}) } keys_of($table);
    my $t = 'x.' . quote_name($time->{name});
    my $down = chance(0.5) ? ' DESC' : '';
    my $list = chance(0.3) ? 'x.*' : name_list('x', shuffled(identity($table)));
    my $sql = "SELECT $list FROM \@.$table->{name} x" . edge_where($table);
    my $n = pick(1, 1, 2, 3, 5, 20, 100);

    return ("$sql ORDER BY $t$down FETCH FIRST $n ROWS WITH TIES", 0) if chance(0.2);
    my @order = map { $_ . (chance(0.1) ? pick('', ' DESC') : $down) } "\x00", @keys;
    $order[0] = "$t$down";
    @order = (map({ "$_$down" } @keys), "$t$down") if chance(0.35);
    return ("$sql ORDER BY " . join(', ', @order)
          . (chance(0.75) ? " LIMIT $n" : '') . (chance(0.15) ? ' OFFSET ' . pick(1, 2, 10) : ''), 1);
}

# edge_sums(TABLE): how many rows there are between edges, and which are the
# first and the last.
sub edge_sums
{
    my ($table) = @_;
    return unless $table->{edges};
    my ($time) = time_of($table);
    my $t = 'x.' . quote_name($time->{name});
    my $key = 'x.' . quote_name((keys_of($table))[0]{name});
    my @list = shuffled('count(*)', "min($t)", "max($t)", "count($t)");
    my $group = chance(0.25);

    splice @list, 1 + below(3);
    push @list, 'count(' . name_list('x', pick(@{ $table->{cols} })) . ')' if chance(0.4);
    return ('SELECT ' . join(', ', $group ? $key : (), @list) . " FROM \@.$table->{name} x"
          . edge_where($table) . ($group ? " GROUP BY $key" : ''), 0);
}

1;
