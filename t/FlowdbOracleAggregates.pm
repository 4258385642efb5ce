# FlowdbOracleAggregates: queries that FlowDB's engine may answer by itself.
#
# Aggregates of all that the engine can add up or compare, of the whole table,
# by keys, by buckets of time or by both, over conditions of which most are the
# engine's own.  Some have a part that is not, and then all of it stays with
# the executor; the answer is the same.
#
# Every query has one answer: sums of floats are made of columns of which they
# are exact ("sums"), of others rounded where rounding is certain, and -0 is
# made 0.  A query that may end before it has seen all rows has nothing in it
# that can fail for a row.
package FlowdbOracleAggregates;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleEdges;
use FlowdbOraclePredicates;
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(summed by_groups by_buckets newest_buckets many_buckets of_groups extent);

sub column
{
    my ($col) = @_;
    return 'x.' . quote_name($col->{name});
}

# --------------------------------------------------------------- conditions

# What the engine compares in a value column; two of these are for equality.
sub filtered
{
    my ($col) = @_;
    return $col->{role} eq 'value'
      && $TYPE{ $col->{type} }{sql} =~ /^(smallint|integer|bigint|real|double|date|timestamp|time$|"char"|oracle\.(small|mood))/;
}

# A constant of another type, where the engine knows how to compare the two.
sub other_type
{
    my ($type) = @_;
    my $sql = $TYPE{$type}{sql};

    return $type if chance(0.75);
    return pick('int2', 'int4', 'int8') if $sql =~ /^(smallint|integer|bigint)$/;
    return pick('float4', 'float8') if $sql =~ /^(real|double)/;
    return pick('date', 'timestamp', 'timestamptz') if $sql =~ /^(date|timestamp)/;
    return $type;
}

# Two constants, mostly the lesser one first; as SQL.
sub range
{
    my ($type, $word, @raw) = @_;
    my $number = $TYPE{$type}{family} eq 'number';

    @raw = map { value($type) } 1 .. 2 unless @raw;
    @raw = sort { $number && "$a$b" !~ /[Ny]/ ? $a <=> $b : $a cmp $b } @raw if chance(0.85);
    return constant($type, $raw[0]) . $word . constant($type, $raw[1]);
}

sub value_test
{
    my ($col) = @_;
    my $c = column($col);
    my $type = $col->{type};
    my $dice = below(20);
    my $value = sub { constant(other_type($type)) };

    $dice = below(11) if $type =~ /^(char1|mood)$/;
    return "$c IS " . pick('NULL', 'NOT NULL', 'NOT NULL') if $dice < 3;
    return "$c <> " . $value->() if $dice < 5;
    return "$c = " . $value->() if $dice < 8;
    return "$c IN (" . join(', ', map { constant($type) } 1 .. 1 + below(9)) . ')' if $dice == 8;
    return "$c = ANY (" . array_literal($type,
        map { chance(0.1) ? undef : value($type) } 1 .. 1 + below(9)) . ')' if $dice == 9;
    return "($c = " . $value->() . " OR $c = " . $value->() . ')' if $dice == 10;
    return "$c BETWEEN " . range($type, ' AND ') if $dice < 13;
    return "$c >= " . range($type, " AND $c < ") if $dice == 13;
    return $value->() . ' ' . pick('<', '<=', '>', '>=') . " $c" if $dice == 14;
    return "$c " . pick('<', '<=', '>', '>=') . ' ' . $value->();
}

sub flag_test
{
    my ($col) = @_;
    my $c = column($col);
    return pick($c, "NOT $c", "$c IS TRUE", "$c IS FALSE", "$c IS UNKNOWN",
        "$c IS NOT UNKNOWN", "$c = " . constant('bool'));
}

# A value that a key or time is likely to have.
sub known
{
    my ($table, $col) = @_;
    my $list = ($table->{known} // {})->{ $col->{name} };
    return $list && chance(0.6) ? constant($col->{type}, pick(@$list)) : constant($col->{type});
}

sub identity_test
{
    my ($table, $col) = @_;
    my $c = column($col);
    my $value = sub { known($table, $col) };
    my $dice = below(10);

    if ($col->{role} eq 'time')
    {
        return "$c >= " . $value->() if $dice < 2;
        return "$c " . pick('<', '<=') . ' ' . $value->() if $dice < 4;
        return "$c = " . $value->() if $dice < 5;
        return "$c BETWEEN " . range($col->{type}, ' AND ') if $dice < 7;
        return "$c >= " . range($col->{type}, " AND $c < ");
    }
    return "$c = " . $value->() if $dice < 5;
    return "$c IN (" . join(', ', map { $value->() } 1 .. 1 + below(5)) . ')' if $dice < 8;
    return "$c " . pick('<', '<=', '>', '>=') . ' ' . $value->()
      if $TYPE{ $col->{type} }{family} ne 'text' || ($col->{collate} // '') =~ /C|POSIX/;
    return "$c <> " . $value->();
}

# filter(TABLE): a conjunction, or nothing.
sub filter
{
    my ($table) = @_;
    my @values = shuffled(grep { filtered($_) || ($_->{type} eq 'bool' && $_->{role} eq 'value') } @{ $table->{cols} });
    my @tests;

    return '' if chance(0.15);
    # bounds of the first keys, as the engine keeps its rows
    foreach my $key (keys_of($table))
    {
        last if chance(0.6);
        push @tests, identity_test($table, $key);
    }
    push @tests, identity_test($table, $_) foreach grep { chance(0.4) } time_of($table);
    splice @values, pick(0, 1, 1, 1, 2, 3) if @values;
    push @tests, $_->{type} eq 'bool' ? flag_test($_) : value_test($_) foreach @values;
    push @tests, predicate([ [ 'x', $table ] ], 1) if chance(0.06);
    return @tests ? ' WHERE ' . join(' AND ', @tests) : '';
}

# ---------------------------------------------------------------- aggregates

my %of_type = (
    (map { $_ => [ 'sum(%s)', 'avg(%s)', 'min(%s)', 'max(%s)' ] }
          qw(int2 int4 int8 small sum4 sum8 huge4 huge8)),
    (map { $_ => [ 'min(%s)', 'max(%s)' ] } qw(date time timestamp timestamptz)),
    (map { $_ => [ 'min(%s) + 0', 'max(%s) + 0' ] } qw(float4 float8)),
    dec8 => [ 'min(%s)', 'max(%s)', 'round(sum(%s)::numeric, 4)',
        'round((avg(%s) * count(%1$s))::numeric, 4)' ],
);

# What only the executor works out.
sub local_call
{
    my ($table, $col) = @_;
    my $c = column($col);

    return "bool_or($c)" if $col->{type} eq 'bool';
    return "count(DISTINCT $c)" if !$col->{vague} && !$TYPE{ $col->{type} }{no_order} && chance(0.5);
    return "count($c) FILTER (WHERE " . predicate([ [ 'x', $table ] ], 0) . ')';
}

# call(TABLE, SAFE): one of the engine's; with SAFE none that can fail.
sub call
{
    my ($table, $safe) = @_;
    my @numbers = grep { $of_type{ $_->{type} } && $_->{role} ne 'expire' } @{ $table->{cols} };
    my $col = pick(@numbers);
    my $dice = below(100);

    return 'count(*)' if $dice < 12 || !$col;
    return 'count(' . column(pick(grep { $_->{role} ne 'expire' } @{ $table->{cols} })) . ')' if $dice < 25;
    my $forms = $of_type{ $col->{type} };
    $forms = [ 'min(%s)', 'max(%s)' ] if $safe && $TYPE{ $col->{type} }{huge};
    return sprintf(pick(@$forms), column($col));
}

sub calls
{
    my ($table, $safe) = @_;
    return ((map { call($table, $safe) } 1 .. 1 + below(chance(0.1) ? 9 : 4)),
        chance(0.06) ? local_call($table, pick(@{ $table->{cols} })) : ());
}

# An aggregate, or something made of it.
sub shown
{
    my ($sql) = @_;
    return $sql if chance(0.85);
    return pick("($sql)::text", "coalesce(($sql)::text, 'none')", "($sql) IS NULL");
}

# ------------------------------------------------------------------- buckets

my @units = qw(microseconds milliseconds second minute minute hour hour hour
  day day week month quarter year decade century millennium);
my @strides = ('0.000001 seconds', '1 minute', '7 minutes', '15 minutes', '1 hour',
    '1 hour', '5 hours', '1 day', '1 day', '36 hours', '7 days', '1 day 1 hour', '1000 days');
my @day_strides = ('1 day', '2 days', '7 days', '24 hours', '30 days', '1000 days');
my @zones = qw(UTC Europe/Berlin America/New_York Asia/Kathmandu Australia/Lord_Howe);

# A stride, or now and then one that there cannot be, when that may fail.
sub stride
{
    my ($safe, @list) = @_;
    return constant('interval', pick('1 month', '0', '-1 hour', '1.5 days')) if !$safe && chance(0.04);
    # a parameter's value would be any
    return literal('interval', pick(@list)) if $safe || chance(0.8);
    return constant('interval', pick(@list));
}

# bucket(TABLE, SAFE): of the time column.
sub bucket
{
    my ($table, $safe) = @_;
    my ($time) = time_of($table);
    my $type = $time->{type};
    my $t = column($time);

    return $t if chance(0.12);
    return 'flowdb_time_bucket(' . stride($safe, @day_strides) . ", $t)" if $type eq 'date' && chance(0.8);
    return "date_trunc('month', $t)" if $type eq 'date';
    return 'flowdb_time_bucket(' . stride($safe, @strides) . ", $t)" if $type eq 'int8' || chance(0.3);
    return 'date_bin(' . stride($safe, @strides) . ", $t, " . literal($type,
        pick('2000-01-01', '2000-01-01', '2001-03-05 06:07:08', '2024-02-02 00:00:01')
          . ($type eq 'timestamptz' ? '+00' : '')) . ')' if chance(0.45);
    return "date_trunc('" . pick(@units) . "', $t, '" . pick(@zones) . "')"
      if $type eq 'timestamptz' && chance(0.03);
    return "date_trunc('" . pick(@units, 'HOUR', 'minutes') . "', $t)";
}

# Where no bucket's edge is out of range; mostly where series have their rows,
# which then are in many windows.
my @stretches = ([ '0001-01-01', '9999-12-31' ], [ '1999-01-01', '2025-01-01' ],
    [ '2024-01-01', '2024-12-01' ], [ '2024-02-01', '2024-02-03' ], [ '2024-02-01', '2024-03-01' ]);
my @number_stretches = ([ '-1000000000000000', '9007199254740993' ], [ 0, 40 ], [ 0, 600 ],
    [ 0, 60000000000 ], [ '1700000000000000', '1700010000000000' ]);

sub near
{
    my ($table, $wide) = @_;
    my ($time) = time_of($table);
    my $type = $time->{type};
    my @edges = @{ $type eq 'int8' ? pick(@number_stretches) : pick($wide ? @stretches[ 0, 1 ] : @stretches) };
    @edges = map { "$_+00" } @edges if $type eq 'timestamptz';
    return column($time) . ' BETWEEN ' . join(' AND ', map { literal($type, $_) } @edges);
}

# ------------------------------------------------------------------- queries

# Of the whole table, a key, a stretch of time.
sub summed
{
    my ($table) = @_;
    return 'SELECT ' . join(', ', map { shown($_) } calls($table))
      . " FROM \@.$table->{name} x" . filter($table)
      . (chance(0.06) ? ' HAVING count(*) ' . pick('>', '<') . ' ' . below(20) : '');
}

# What the store knows of its rows without reading them.
sub extent
{
    my ($table) = @_;
    my ($time) = time_of($table);
    return summed($table) unless $time;
    my $t = column($time);
    my @list = shuffled('count(*)', "min($t)", "max($t)", "count($t)");
    splice @list, 1 + below(4);
    my @where = map { identity_test($table, $_) } grep { chance(0.3) } identity($table);
    return 'SELECT ' . join(', ', @list) . " FROM \@.$table->{name} x"
      . (@where ? ' WHERE ' . join(' AND ', @where) : '')
      . (chance(0.2) ? ' GROUP BY ' . column(pick(keys_of($table))) : '');
}

sub having
{
    my ($table, $safe, @groups) = @_;
    return '' if chance(0.8);
    return ' HAVING count(*) ' . pick('>', '=', '<=') . ' ' . below(70) if chance(0.6);
    my $call = call($table, $safe);
    return " HAVING ($call)" . (chance(0.5) ? '::text' . pick(' < ', ' > ') . "'5'" : ' IS NOT NULL');
}

# grouped_query(TABLE, SAFE, GROUPS...): select list and clauses of groups,
# some of which may not be shown.
sub grouped_query
{
    my ($table, $safe, $where, @groups) = @_;
    my @shown = grep { !chance(0.05) } @groups;
    my @list = @shown && chance(0.05) ? () : map { shown($_) } calls($table, $safe);
    return 'SELECT ' . join(', ', chance(0.7) ? (@shown, @list) : shuffled(@shown, @list))
      . " FROM \@.$table->{name} x$where GROUP BY " . join(', ', shuffled(@groups))
      . having($table, $safe, @groups);
}

# Keys: all of them, some that others come before, or any.
sub key_groups
{
    my ($table) = @_;
    my @keys = keys_of($table);

    @keys = shuffled(@keys) if chance(0.4);
    splice @keys, 1 + below(scalar @keys) if chance(0.6);
    return map { column($_) } @keys;
}

sub by_groups
{
    my ($table) = @_;
    return grouped_query($table, 0, filter($table), key_groups($table));
}

sub by_buckets
{
    my ($table) = @_;
    return by_groups($table) unless time_of($table);
    return grouped_query($table, 0, filter($table), bucket($table),
        chance(0.5) ? key_groups($table) : ());
}

# The first groups by time, or the last; all that is ordered by tells them
# apart.
sub newest_buckets
{
    my ($table) = @_;
    return (by_groups($table), 0) unless time_of($table);
    my $bucket = bucket($table, 1);
    my @keys = chance(0.4) ? key_groups($table) : ();
    my $where = filter($table);
    $where .= ($where ? ' AND ' : ' WHERE ') . near($table);
    $where .= ' AND ' . edge_bounds($table) if $table->{edges} && chance(0.3);
    my $sql = grouped_query($table, 1, $where, $bucket, @keys);
    my $down = chance(0.6) ? ' DESC' . pick('', '', ' NULLS LAST') : '';

    return ($sql . " ORDER BY $bucket$down" . join('', map { ", $_" . pick('', ' DESC') } @keys)
          . (chance(0.7) ? ' LIMIT ' . pick(0, 1, 1, 2, 5, 5, 20, 100) : '')
          . (chance(0.15) ? ' OFFSET ' . pick(1, 3, 30) : ''), 1);
}

# Buckets of about the rows' own steps: so many that the engine, when it goes
# by time, reads window after window, with rows at the edges of these.
sub many_buckets
{
    my ($table) = @_;
    return newest_buckets($table) unless $table->{edges};
    my ($time) = time_of($table);
    my $type = $time->{type};
    my $t = column($time);
    my $stride = pick($type eq 'date' ? ('1 day', '2 days', '7 days')
        : ($type eq 'int8' ? ('0.000010 seconds', '0.000003 seconds') : ('0.000002 seconds', '1 day'),
            '1 minute', '7 minutes', '1 hour', '1 hour', '5 hours'));
    $stride = $table->{step} if $table->{step} && chance(0.5);
    my $bucket = "flowdb_time_bucket('$stride'::interval, $t)";
    $bucket = 'date_trunc(' . pick("'minute'", "'hour'", "'hour'", "'day'") . ", $t)"
      if $type =~ /^timestamp/ && chance(0.4);
    $bucket = $t if chance(0.15);
    my @groups = ($bucket, chance(0.2) ? key_groups($table) : ());
    my @where = (near($table, $table->{step}), chance(0.4) ? edge_bounds($table) : (),
        map { identity_test($table, $_) } chance(0.2) ? (keys_of($table))[0] : ());
    my $down = chance(0.5) ? ' DESC' : '';

    return ('SELECT ' . join(', ', @groups, shuffled('count(*)', "min($t)", "max($t)"))
          . " FROM \@.$table->{name} x WHERE " . join(' AND ', @where)
          . ' GROUP BY ' . join(', ', @groups)
          . (chance(0.2) ? ' HAVING count(*) ' . pick('>', '<') . ' ' . (1 + below(3)) : '')
          . ' ORDER BY ' . join(', ', map { "$_$down" } @groups)
          . (chance(0.3) ? ' LIMIT ' . pick(1, 2, 5, 20, 100) : ''), 1);
}

# Groups below something else: a count of them, a join, one subquery a row.
sub of_groups
{
    my ($table) = @_;
    my $inner = chance(0.5) ? by_buckets($table) : by_groups($table);
    my ($key) = keys_of($table);
    my $k = column($key);

    return "SELECT count(*), sum(hashtextextended(d::text, 0)::numeric) FROM ($inner) d"
      if chance(0.5);
    return "$inner UNION ALL $inner" if chance(0.3) && $inner !~ /\$\d/;
    my $keys = array_literal($key->{type}, map { value($key->{type}) } 1 .. 3);
    my $type = $TYPE{ $key->{type} }{sql};
    return "SELECT k, l.* FROM unnest($keys) k, LATERAL (SELECT "
      . join(', ', calls($table))
      . " FROM \@.$table->{name} x WHERE $k = k::$type) l";
}

1;
