# FlowdbOraclePredicates: random conditions over the columns of tables.
#
# None of them can fail for some rows only, because which rows a condition is
# asked for depends on the plan.  (Patterns that end in a backslash do fail;
# see FlowdbOracleCompare.)
package FlowdbOraclePredicates;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(predicate condition constant params_begin params_end);

# ---------------------------------------------------------------- parameters

# Types of $1, $2, ... while a statement is made to be prepared, else undef.
my $params;

sub params_begin { $params = []; return; }

sub params_end
{
    my $types = $params;
    $params = undef;
    return @$types;
}

# A constant of a type, or a parameter.
sub constant
{
    my ($type, $raw) = @_;

    if ($params && @$params < 8 && chance(0.6))
    {
        push @$params, $type;
        return '$' . @$params;
    }
    return literal($type, $raw // value($type));
}

# ------------------------------------------------------------------- columns

# A scope is a list of [alias, table]; a reference is "alias.column".
sub ref_of
{
    my ($alias, $col) = @_;
    return "$alias." . quote_name($col->{name});
}

# What decides how much is read is asked for most.
sub pick_column
{
    my ($scope, $filter) = @_;
    my @found = map {
        my ($alias, $table) = @$_;
        map { [ $alias, $_ ] } @{ $table->{cols} }
    } @$scope;

    @found = grep { $filter->($_->[1]) } @found if $filter;
    return unless @found;
    if (chance(0.7))
    {
        my @identity = grep { $_->[1]{role} =~ /key|time/ } @found;
        @found = @identity if @identity;
    }
    return @{ pick(@found) };
}

sub ordered { return !$TYPE{ $_[0]{type} }{no_order}; }
sub stringy { return $TYPE{ $_[0]{type} }{family} eq 'text'; }

# ---------------------------------------------------------------- conditions

my @ops = ('=', '=', '=', '<', '<=', '>', '>=', '<>');

sub maybe_collate
{
    my ($col) = @_;
    return '' unless stringy($col) && chance(0.15);
    return ' COLLATE ' . pick('"C"', '"default"', 'oracle.icu', 'oracle.nd');
}

sub compare_constant
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope, \&ordered);
    return 'true' unless $col;
    my $type = comparable($col->{type});
    my $column = ref_of($alias, $col) . maybe_collate($col);
    my $op = pick(@ops);

    # an untyped constant, a NULL, the other way round
    return "$column $op " . quoted(value($col->{type})) if chance(0.1);
    return "$column $op NULL::$TYPE{$type}{sql}" if chance(0.02);
    return constant($type) . " $op $column" if chance(0.2);
    return "$column IS " . (chance(0.5) ? 'NOT ' : '') . 'DISTINCT FROM ' . constant($type)
      if chance(0.07);
    return "$column $op " . constant($type);
}

sub null_test
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope);
    my $not = chance(0.5) ? ' NOT' : '';

    return "$alias.* IS$not NULL" if chance(0.05);
    return "hashtext(($alias.*)::text) % 3$not IN (0, 2)" if chance(0.05);
    return ref_of($alias, $col) . " IS$not NULL";
}

# IN and = ANY, with NULLs, duplicates, in no order, empty.
sub in_list
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope, \&ordered);
    return 'true' unless $col;
    my $type = chance(0.85) ? $col->{type} : comparable($col->{type});
    my $column = ref_of($alias, $col);
    my @values = map { chance(0.08) ? undef : value($type) } 1 .. 1 + below(5);
    my $sql = $TYPE{$type}{sql};
    my $not = chance(0.15) ? 'NOT ' : '';

    push @values, $values[0] if chance(0.2);
    return "$column ${not}IN (" . join(', ', map { constant($type, $_) } @values) . ')'
      if chance(0.5);
    return "$column = ANY (NULL::$sql\[])" if chance(0.02);
    return "$column = ANY ('{}'::$sql\[])" if chance(0.04);
    my $quantified = $not ? '<> ALL' : chance(0.8) ? '= ANY' : pick('<', '>=', '<>') . ' ANY';
    return "$column $quantified (" . array_literal($type, @values) . ')';
}

sub between
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope, \&ordered);
    return 'true' unless $col;
    my ($lo, $hi) = (comparable($col->{type}), comparable($col->{type}));
    my $not = chance(0.1) ? 'NOT ' : '';

    return ref_of($alias, $col) . " ${not}BETWEEN "
      . (chance(0.3) ? 'SYMMETRIC ' : '') . constant($lo) . ' AND ' . constant($hi);
}

# Patterns from a value: cut, and with wildcards and escapes put in.
sub pattern
{
    my $p = value('text');

    # whole characters only
    $p = substr($p, 0, 1 + below(3)) if $p =~ /^[\x00-\x7f]+$/ && chance(0.5);
    $p =~ s/([\\%_])/\\$1/g if chance(0.6);
    $p =~ s/\\+\z// unless chance(0.02);
    $p = "a\\" . $p if chance(0.03) && $p ne '';
    return $p . pick('%', '%', '%', '_', '', '%%', '_%', '%k', '%_');
}

sub like
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope,
        sub { stringy($_[0]) && ($_[0]{collate} // '') ne 'oracle.nd' });
    return compare_constant($scope) unless $col;
    my $column = ref_of($alias, $col);
    my $kind = below(10);

    return "$column ^@ " . constant('text') if $kind == 0;
    return "starts_with($column, " . constant('text') . ')' if $kind == 1;
    return "$column ~ " . quoted(pick('^a', '^k1', '^$', 'b$', '^host_1')) if $kind == 2;
    return "$column ILIKE " . quoted(pattern()) if $kind == 3;
    return "$column LIKE " . quoted(pick('a!%%', 'k_!_', 'a!_b')) . " ESCAPE '!'" if $kind == 4;
    return "$column NOT LIKE " . quoted(pattern()) if $kind == 5;
    return "$column LIKE " . constant('text', pattern()) if $kind == 6 && !$params;
    return "$column LIKE " . quoted(pattern());
}

# Row comparisons, a prefix of what identifies a row more than others.
sub rows
{
    my ($scope) = @_;
    my ($alias, $table) = @{ pick(@$scope) };
    my @cols = identity($table);

    @cols = shuffled(@cols) if chance(0.2);
    splice @cols, 1 + below(scalar @cols) if chance(0.4);
    my $left = '(' . name_list($alias, @cols) . ')';
    my $right = sub {
        return '(' . join(', ', map { constant($_->{type}) } @cols) . ')';
    };
    return 'ROW' . $left . ' ' . pick(@ops) . ' ROW' . $right->() if chance(0.7);
    return 'ROW' . $left . ' IN (' . join(', ', map { 'ROW' . $right->() } 1 .. 1 + below(3)) . ')';
}

# Two columns of one family, of one table or of two.
sub compare_columns
{
    my ($scope) = @_;
    my ($a, $col) = pick_column($scope, \&ordered);
    return 'true' unless $col;
    my $family = $TYPE{ $col->{type} }{family};
    my ($b, $other) =
      pick_column($scope, sub { ordered($_[0]) && $TYPE{ $_[0]{type} }{family} eq $family });
    # indeterminate collations are an error
    my $collate = stringy($col) ? ' COLLATE "C"' : '';

    return ref_of($a, $col) . ' ' . pick(@ops) . ' ' . ref_of($b, $other) . $collate;
}

# A value out of a subquery; of no row, it is NULL.
sub subquery
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope, \&ordered);
    return 'true' unless $col;
    my (undef, $table) = @{ pick(@$scope) };
    my $family = $TYPE{ $col->{type} }{family};
    my ($q, $other) = pick_column([ [ 'q', $table ] ],
        sub { ordered($_[0]) && $TYPE{ $_[0]{type} }{family} eq $family });
    my $column = ref_of($alias, $col);

    # else it is not determined, which is an error for rows that are asked
    my $collate = stringy($col) ? ' COLLATE "C"' : '';
    $column .= $collate;
    return "$column " . pick(@ops) . ' (SELECT ' . constant($col->{type}) . ')'
      unless $other;
    my $what = ref_of($q, $other) . $collate;
    my $from = "FROM \@.$table->{name} q";
    my $where = chance(0.6) ? ' WHERE ' . simple([ [ 'q', $table ] ]) : '';
    my $kind = below(4);

    return "$column IN (SELECT $what $from$where)" if $kind == 0;
    return (chance(0.4) ? 'NOT ' : '')
      . "EXISTS (SELECT 1 $from WHERE $what = $column"
      . (chance(0.5) ? ' AND ' . simple([ [ 'q', $table ] ]) : '') . ')'
      if $kind == 1;
    return "$column " . pick('=', '<', '>=') . ' ANY (ARRAY(SELECT ' . "$what $from$where))"
      if $kind == 2 && $col->{type} !~ /array/;
    return "$column " . pick(@ops) . " (SELECT $what $from$where ORDER BY "
      . join(', ', map { ref_of('q', $_) } $other, identity($table)) . ' LIMIT 1)'
      unless $other->{vague};
    return "$column " . pick(@ops) . ' (SELECT ' . constant($col->{type}) . ')';
}

# What no engine can make use of, or must not.
sub odd
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope);
    my $column = ref_of($alias, $col);
    my $kind = below(7);

    return pick('true', 'false', 'NULL::boolean', '1 = 1', '1 > 2') if $kind == 0;
    return "$column\::text = " . quoted(value($col->{type})) if $kind == 1;
    return "length($column\::text) " . pick('<', '>', '=') . ' ' . below(12) if $kind == 2;
    return "$column\::text < " . quoted(value('text')) . ' COLLATE "C"' if $kind == 3;
    return "hashtext($column\::text) % 3 = " . below(3) if $kind == 4;
    return compare_constant($scope) if !ordered($col);
    return "coalesce($column, " . literal($col->{type}, value($col->{type})) . ') '
      . pick(@ops) . ' ' . constant($col->{type}) if $kind == 5;
    return "CASE WHEN $column IS NULL THEN true ELSE $column "
      . pick(@ops) . ' ' . constant($col->{type}) . ' END';
}

sub now_test
{
    my ($scope) = @_;
    my ($alias, $col) =
      pick_column($scope, sub { $TYPE{ $_[0]{type} }{family} eq 'datetime' });
    return bool_test($scope) unless $col;
    return ref_of($alias, $col) . ' ' . pick('<', '<=', '>', '>=') . ' '
      . pick('now()', 'statement_timestamp()', 'current_date', 'localtimestamp',
        "now() - interval '1 month'", "current_date + 365");
}

sub bool_test
{
    my ($scope) = @_;
    my ($alias, $col) = pick_column($scope, sub { $_[0]{type} eq 'bool' });
    return null_test($scope) unless $col;
    my $column = ref_of($alias, $col);
    return pick($column, "NOT $column", "$column IS TRUE", "$column IS NOT TRUE",
        "$column IS FALSE", "$column IS UNKNOWN", "$column = " . constant('bool'));
}

# simple(SCOPE): one condition without a subquery.
sub simple
{
    my ($scope) = @_;
    my $dice = below(100);

    return compare_constant($scope) if $dice < 42;
    return in_list($scope) if $dice < 54;
    return between($scope) if $dice < 62;
    return like($scope) if $dice < 73;
    return rows($scope) if $dice < 80;
    return null_test($scope) if $dice < 85;
    return compare_columns($scope) if $dice < 89;
    return now_test($scope) if $dice < 92;
    return bool_test($scope) if $dice < 95;
    return odd($scope);
}

# predicate(SCOPE, DEPTH): a tree of conditions.
sub predicate
{
    my ($scope, $depth) = @_;
    $depth //= 3;

    if ($depth > 0 && chance(0.55))
    {
        my $word = pick('AND', 'AND', 'OR');
        return '(' . join(" $word ",
            map { predicate($scope, $depth - 1) } 1 .. 2 + below(2)) . ')';
    }
    return 'NOT (' . predicate($scope, $depth - 1) . ')' if $depth > 0 && chance(0.06);
    return subquery($scope) if chance(0.07);
    return simple($scope);
}

# A row of a table by what identifies it, or any condition.
sub condition
{
    my ($scope) = @_;

    return predicate($scope) if chance(0.7);
    my ($alias, $table) = @{ pick(@$scope) };
    return join(' AND ',
        map { ref_of($alias, $_) . ' = ' . constant($_->{type}) } identity($table));
}

1;
