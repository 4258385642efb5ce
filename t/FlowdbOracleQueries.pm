# FlowdbOracleQueries: random SELECTs over the tables of a scope.
#
# Every query has one answer: where rows are cut off (LIMIT, DISTINCT ON) the
# order is total, and where equal values may look different ("vague": -0 and
# 0, 1.0 and 1.00) none of them is left to choose.  Sums are of integers.
package FlowdbOracleQueries;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleAggregates;
use FlowdbOracleEdges;
use FlowdbOraclePredicates;
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(random_query simple_query total_order);

sub column
{
    my ($alias, $col) = @_;
    return "$alias." . quote_name($col->{name});
}

sub where
{
    my ($scope, $chance) = @_;
    return chance($chance // 0.85) ? ' WHERE ' . condition($scope) : '';
}

# ORDER BY what identifies the row, in one direction or in several.
sub total_order
{
    my ($table, $alias) = @_;
    my $dice = below(10);
    my @cols = identity($table);
    my @first;

    return 'ORDER BY ' . join(', ', map { column($alias, $_) } @cols) if $dice < 4;
    return 'ORDER BY ' . join(', ', map { column($alias, $_) . ' DESC' } @cols)
      if $dice < 6;
    @first = grep { $dice == 6 && !$TYPE{ $_->{type} }{no_order} && !$_->{vague} }
      values_of($table);
    @first = (pick(@first)) if @first;
    return 'ORDER BY ' . join(', ', map {
            column($alias, $_) . pick('', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST')
        } @first, $dice < 8 ? @cols : shuffled(@cols));
}

# What of a row is asked for: all, some columns, expressions, nothing.
sub target_list
{
    my ($table, $alias) = @_;
    my $dice = below(10);

    return "$alias.*" if $dice < 4;
    return columns_of($table, $alias) if $dice < 5;
    return name_list($alias, identity($table)) if $dice < 6;
    return "$alias" if $dice < 7;
    my @cols = shuffled(@{ $table->{cols} });
    splice @cols, 1 + below(scalar @cols);
    return join(', ', map {
            my $c = column($alias, $_);
            chance(0.8) ? $c : pick("$c IS NULL", "$c\::text", "pg_typeof($c)")
        } @cols);
}

# --------------------------------------------------------- of a single table

sub plain
{
    my ($table) = @_;
    my $scope = [ [ 'x', $table ] ];
    return 'SELECT ' . target_list($table, 'x') . " FROM \@.$table->{name} x"
      . where($scope);
}

sub limited
{
    my ($table, $scope) = @_;
    my $sql = '';

    $sql = ' LIMIT ' . pick(0, 1, 1, 2, 5, 20, 'NULL') if chance(0.6);
    $sql .= ' OFFSET ' . below(4) if chance(0.2);
    $sql = ' FETCH FIRST 3 ROWS ONLY' if chance(0.05);
    return total_order($table, 'x') . $sql;
}

sub one_aggregate
{
    my ($table, $alias) = @_;
    my $col = pick(@{ $table->{cols} });
    my $c = column($alias, $col);
    my $t = $TYPE{ $col->{type} };
    my $filter = chance(0.1) ? ' FILTER (WHERE ' . predicate([ [ $alias, $table ] ], 1) . ')' : '';

    return pick("min($c)", "max($c)") . $filter
      if $col->{type} =~ /^(int[248]$|date|timestamp|inet|time$|numeric2)/ && chance(0.7);
    return pick('min', 'max') . "($c COLLATE \"C\")$filter"
      if $t->{family} eq 'text' && chance(0.5);
    return "sum($c)$filter" if $col->{type} =~ /^int[248]$/ && chance(0.6);
    return pick('bool_or', 'bool_and') . "($c)$filter" if $col->{type} eq 'bool';
    return "count(DISTINCT $c)$filter" if !$t->{no_order} && chance(0.3);
    return "count($c)$filter" if chance(0.7);
    return "array_agg($c\::text " . total_order($table, $alias) . ")$filter";
}

sub aggregate
{
    my ($table) = @_;
    my @list = map { one_aggregate($table, 'x') } 1 .. 1 + below(3);
    return 'SELECT ' . join(', ', pick('count(*)', 'count(*)', '1'), @list)
      . " FROM \@.$table->{name} x" . where([ [ 'x', $table ] ]);
}

# Columns by which rows can be put together.
sub groupable
{
    my ($table) = @_;
    return grep { !$_->{vague} && !$TYPE{ $_->{type} }{no_order} } @{ $table->{cols} };
}

sub grouped
{
    my ($table) = @_;
    my @by = (shuffled(groupable($table)))[ 0 .. below(2) ];
    @by = map { column('x', $_) } grep { defined } @by;
    my $by = join(', ', @by);
    my $having = chance(0.2) ? ' HAVING count(*) ' . pick('>', '=') . ' ' . below(3) : '';
    my $set = chance(0.1) ? "ROLLUP ($by)" : $by;
    return "SELECT $by, count(*), " . one_aggregate($table, 'x')
      . " FROM \@.$table->{name} x" . where([ [ 'x', $table ] ])
      . " GROUP BY $set$having";
}

sub distinct
{
    my ($table) = @_;
    my @cols = (shuffled(groupable($table)))[ 0 .. below(3) ];
    return "SELECT DISTINCT " . name_list('x', grep { defined } @cols)
      . " FROM \@.$table->{name} x" . where([ [ 'x', $table ] ]);
}

# The newest (or oldest) row of each key.
sub newest
{
    my ($table) = @_;
    my $scope = [ [ 'x', $table ] ];
    my $keys = name_list('x', keys_of($table));
    my $desc = chance(0.5) ? ' DESC' : '';
    my $order = join(', ', map { column('x', $_) . $desc } identity($table));
    return "SELECT DISTINCT ON ($keys) x.* FROM \@.$table->{name} x"
      . where($scope) . " ORDER BY $order";
}

# min and max of the time are the first and last row of a key.
sub extremes
{
    my ($table) = @_;
    my ($time) = time_of($table);
    return aggregate($table) unless $time;
    my $t = column('x', $time);
    my ($key) = keys_of($table);
    return 'SELECT ' . pick("min($t)", "max($t)", "max($t), min($t)")
      . " FROM \@.$table->{name} x WHERE " . column('x', $key) . ' = '
      . literal($key->{type}, value($key->{type}));
}

sub windowed
{
    my ($table) = @_;
    my $order = total_order($table, 'x');
    my ($key) = keys_of($table);
    my $partition = chance(0.5) ? 'PARTITION BY ' . column('x', $key) . ' ' : '';
    return 'SELECT ' . name_list('x', identity($table))
      . ", row_number() OVER ($partition$order), lag(x.*) OVER ($partition$order)::text"
      . " FROM \@.$table->{name} x" . where([ [ 'x', $table ] ]);
}

sub set_operation
{
    my ($table) = @_;
    my @cols = (shuffled(groupable($table)))[ 0 .. below(2) ];
    my $list = name_list('x', grep { defined } @cols);
    my $half = sub { "SELECT $list FROM \@.$table->{name} x" . where([ [ 'x', $table ] ]) };
    return $half->() . ' ' . pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT', 'EXCEPT ALL')
      . ' ' . $half->();
}

sub locked
{
    my ($table) = @_;
    return plain($table) unless $CAN{row_locks};
    return "SELECT x.* FROM \@.$table->{name} x" . where([ [ 'x', $table ] ], 1)
      . ' FOR ' . pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE')
      . pick('', '', ' NOWAIT', ' SKIP LOCKED');
}

# -------------------------------------------------------- of several tables

# A pair of columns on which two tables can be joined, or nothing.
sub join_columns
{
    my ($t1, $t2) = @_;
    my @pairs;

    foreach my $a (@{ $t1->{cols} })
    {
        next if $TYPE{ $a->{type} }{no_order};
        foreach my $b (@{ $t2->{cols} })
        {
            push @pairs, [ $a, $b ]
              if $TYPE{ $a->{type} }{family} eq $TYPE{ $b->{type} }{family};
        }
    }
    my @keys = grep { $_->[0]{role} =~ /key|time/ && $_->[1]{role} =~ /key|time/ } @pairs;
    @pairs = @keys if @keys && chance(0.7);
    return @pairs ? @{ pick(@pairs) } : ();
}

sub join_condition
{
    my ($t1, $t2) = @_;
    # the same row, or the same key, of a table and itself
    if ($t1 == $t2 && chance(0.6))
    {
        my @cols = identity($t1);
        splice @cols, 1 + below(scalar @cols) if chance(0.5);
        return join(' AND ', map { column('x', $_) . ' = ' . column('y', $_) } @cols);
    }
    my ($a, $b) = join_columns($t1, $t2);
    return 'false' unless $a;
    my $collate = $TYPE{ $a->{type} }{family} eq 'text' ? ' COLLATE ' . pick('"C"', '"C"', 'oracle.icu') : '';
    return column('x', $a) . ' = ' . column('y', $b) . $collate;
}

sub joined
{
    my (@tables) = @_;
    my ($t1, $t2) = (pick(@tables), pick(@tables));
    my $scope = [ [ 'x', $t1 ], [ 'y', $t2 ] ];
    my $kind = pick('JOIN', 'JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
    my $from = "\@.$t1->{name} x $kind \@.$t2->{name} y ON " . join_condition($t1, $t2);

    $from .= ' AND ' . predicate([ pick(@$scope) ], 1) if $kind !~ /FULL/ && chance(0.3);
    # a FULL JOIN wants a condition that it can merge or hash by
    $from =~ s/ FULL JOIN/ JOIN/ if $from =~ / ON false/;
    my $list = name_list('x', identity($t1)) . ', ' . name_list('y', identity($t2));
    my $i = 0;
    $list =~ s/(\w\.".*?")/"$1 AS c" . ++$i/ge;
    return digest("SELECT $list FROM $from" . where($scope, 0.7));
}

# What may be very many rows, as few.
sub digest
{
    my ($sql) = @_;
    return 'SELECT count(*), sum(hashtextextended(d::text, 0)::numeric) '
      . "FROM ($sql) d";
}

sub lateral
{
    my (@tables) = @_;
    my ($t1, $t2) = (pick(@tables), pick(@tables));
    my ($a, $b) = join_columns($t1, $t2);
    return plain($t1) unless $a;
    my $collate = $TYPE{ $a->{type} }{family} eq 'text' ? ' COLLATE "C"' : '';
    my $order = 'ORDER BY ' . join(', ', map { column('y', $_) . pick('', ' DESC') } identity($t2));
    return 'SELECT ' . name_list('x', identity($t1)) . ", l.* FROM \@.$t1->{name} x "
      . pick('JOIN LATERAL', 'LEFT JOIN LATERAL') . " (SELECT y FROM \@.$t2->{name} y WHERE "
      . column('y', $b) . ' ' . pick('=', '=', '<=', '>') . ' ' . column('x', $a) . $collate
      . (chance(0.3) ? ' AND ' . predicate([ [ 'y', $t2 ] ], 1) : '')
      . " $order LIMIT " . pick(1, 1, 2) . ') l ON true';
}

sub scalar_subquery
{
    my (@tables) = @_;
    my ($t1, $t2) = (pick(@tables), pick(@tables));
    my ($a, $b) = join_columns($t1, $t2);
    return plain($t1) unless $a;
    my $collate = $TYPE{ $a->{type} }{family} eq 'text' ? ' COLLATE "C"' : '';
    return 'SELECT ' . name_list('x', identity($t1)) . ', (SELECT '
      . one_aggregate($t2, 'y') . " FROM \@.$t2->{name} y WHERE " . column('y', $b)
      . ' = ' . column('x', $a) . "$collate) FROM \@.$t1->{name} x" . where([ [ 'x', $t1 ] ]);
}

sub with_query
{
    my (@tables) = @_;
    my $t = pick(@tables);
    my $scope = [ [ 'x', $t ] ];
    my $how = pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ');
    return "WITH x AS $how(SELECT * FROM \@.$t->{name} x" . where($scope) . ') '
      . 'SELECT count(*), ' . one_aggregate($t, 'x') . ' FROM x' . where($scope, 0.5);
}

# ------------------------------------------------------------------- any one

my %one = (
    plain => [ 30, \&plain ], aggregate => [ 12, \&aggregate ],
    grouped => [ 6, \&grouped ], distinct => [ 5, \&distinct ],
    newest => [ 4, \&newest ], extremes => [ 4, \&extremes ],
    windowed => [ 3, \&windowed ], 'set operation' => [ 4, \&set_operation ],
    locked => [ 4, \&locked ], join => [ 12, \&joined ],
    lateral => [ 4, \&lateral ], 'scalar subquery' => [ 4, \&scalar_subquery ],
    with => [ 3, \&with_query ],
    summed => [ 10, \&summed ], extent => [ 4, \&extent ],
    'by groups' => [ 6, \&by_groups ], 'by buckets' => [ 10, \&by_buckets ],
    'newest buckets' => [ 8, \&newest_buckets ], 'of groups' => [ 4, \&of_groups ],
    'many buckets' => [ 12, \&many_buckets ],
    'edge rows' => [ 14, \&edge_rows ], 'edge sums' => [ 8, \&edge_sums ],
);

# simple_query(TABLE): rows of one table, and if their order is total.
sub simple_query
{
    my ($table) = @_;
    my $sql = plain($table);

    return ($sql, 0) if chance(0.5);
    return ("$sql " . limited($table), 1);
}

# random_query(TABLES): kind, SQL and if the order counts.
sub random_query
{
    my (@tables) = @_;
    my $sum = 0;
    $sum += $_->[0] foreach values %one;
    my $dice = below($sum);

    foreach my $kind (sort keys %one)
    {
        next if ($dice -= $one{$kind}[0]) >= 0;
        my $table = pick(@tables);
        return ($kind, simple_query($table)) if $kind eq 'plain';
        my @series = grep { $_->{step} } @tables;
        $table = pick(@series) if @series && $kind eq 'many buckets' && chance(0.7);
        my $several = $kind =~ /join|lateral|scalar|with/;
        my ($sql, $ordered) = $one{$kind}[1]->($several ? @tables : $table);
        return ('plain', simple_query($table)) unless $sql;
        return ($kind, $sql, $ordered // 0);
    }
}

1;
