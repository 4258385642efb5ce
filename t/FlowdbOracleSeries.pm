# FlowdbOracleSeries: rows as a time series has them, many at once.
#
# Some keys by some times, one value a row by an expression of the number of
# the time (i) and of the key (k): constants, long runs, walks, counters,
# noise, outliers, columns that are NULL for the most part.  So blocks of
# columns come about in which every encoding is at home, and keys with several
# of their frames.
package FlowdbOracleSeries;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(series_rows);

# ------------------------------------------------------------------- values

# Whole numbers from 0 up to a limit.
sub whole
{
    my ($most) = @_;
    return '(' . pick("i % $most", "(i + 7 * k) % $most", "i / 50 % $most",
        "(i / 130 + k) % $most", "abs(hashint4(i + k)::bigint) % $most",
        "CASE WHEN i % 97 = 5 THEN $most ELSE i % 3 END",
        "(1 + sin(i / 40.0 + k)) * $most / 2.1") . ')';
}

# The expressions of a type; those of "sums" keep to what its sums are exact of.
my %expressions = (
    int2 => sub { whole(pick(9, 100, 32000)) . '::smallint' },
    int4 => sub { chance(0.2) ? 'hashint4(i + k)' : whole(pick(9, 1000, 2000000000)) . '::integer' },
    int8 => sub {
        pick('hashint8extended(i, k)', '1700000000000 + i * 1000::bigint',
            'CASE WHEN i % 50 = 0 THEN 9223372036854775807 ELSE -i END',
            whole(pick(9, 1000, '4000000000000')) . '::bigint');
    },
    small => sub { whole(40) . '::integer' },
    sum4 => sub { '(' . whole(pick(9, 400)) . '::integer / 4.0)::real' },
    sum8 => sub {
        my $e = '(' . whole(pick(9, 800, 1000000)) . '::integer / 8.0)::float8';
        chance(0.1) ? "CASE WHEN i % 170 = 9 THEN 'NaN'::float8 ELSE $e END" : $e;
    },
    huge4 => sub { 'CASE WHEN i % 900 = 77 THEN 3e38 ELSE i % 9 END' },
    huge8 => sub { 'CASE WHEN i % 900 = 77 THEN 1e308 ELSE i % 9 END' },
    dec8 => sub {
        'round((' . pick('50 + 40 * sin(i / 60.0 + k)', 'i / 100.0',
            '(abs(hashint4(i)::bigint) % 10000) / 100.0') . ')::numeric, 2)::float8';
    },
    float4 => sub {
        pick('sin(i + k)', 'i / 3.0', 'i % 10', "(CASE WHEN i % 5 = 0 THEN '-0' ELSE i::text END)") . '::real';
    },
    float8 => sub {
        pick('sin(i + k)', 'i / 3.0', '(i * 1e300)', 'i % 10', '(1e-300 * i)',
            "(CASE WHEN i % 60 = 0 THEN '-Infinity' WHEN i % 7 = 0 THEN '-0' ELSE i::text END)") . '::float8';
    },
    numeric2 => sub { whole(10000) . '::integer / 100.0' },
    numeric => sub { pick('i', 'i / 7.0', 'i * 1e20') },
    text => sub { pick("'s' || i % 5", "'host_' || i", "repeat('a', i % 30)", 'md5(i::text)', "'run ' || i / 60") },
    bool => sub { pick('i % 3 = 0', 'i > 100', 'hashint4(i) > 0') },
    date => sub {
        pick("'2024-01-01'::date + i % 100",
            "CASE WHEN i % 80 = 3 THEN 'infinity'::date ELSE '2024-02-01'::date + i / 40 END");
    },
    timestamp => sub { "'2024-02-01'::timestamp + " . pick('i', 'i / 100', 'i * i') . " * interval '1 second'" },
    timestamptz => sub { "'2024-02-01+00'::timestamptz + " . pick('i', 'i / 100', 'i * i') . " * interval '1 minute'" },
    time => sub { "'00:00'::time + i * interval '" . pick('30 minutes', '1 second') . "'" },
    uuid => sub { "('12345678-0000-0000-0000-' || lpad((i % 300)::text, 12, '0'))::uuid" },
    mood => sub { "(ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::oracle.mood" },
);

# A value column's: of types that have none, and where a condition must hold,
# one value.
sub expression
{
    my ($col) = @_;
    my $sql = $TYPE{ $col->{type} }{sql};
    my $make = $expressions{ $col->{type} };

    return literal($col->{type}, some_value($col)) if !$make || $col->{check} || chance(0.1);
    my $e = $make->();
    return $e if $col->{notnull} || chance(0.7);
    return 'CASE WHEN ' . pick('i % 40 = 3', 'i % 10 <> 3', 'i % 300 < 150', '(i + k) % 2 = 0')
      . " THEN ($e)::$sql END";
}

# --------------------------------------------------- what identifies the rows

# Some series go over a change of the clocks.
sub start
{
    return pick('2024-02-01', '2024-02-01', '2024-10-26 22:00', '2024-11-03 04:00',
        '2024-03-10 05:30', '2024-04-06 10:00', '1999-12-31 23:00');
}
sub step { return pick('10 seconds', '1 minute', '1 minute', '17 minutes', '1 hour'); }

# Steps from the start: even ones, or three rows at each second one, of which
# the first is a microsecond early and the last one late: these are on both
# sides of the edges of buckets.
sub steps
{
    my ($step, $us) = @_;
    return "i * $step" if chance(0.4);
    return "(i / 3) * $step + (i % 3 - 1) * $us" if chance(0.7);
    return "i * $step + " . pick('', '-') . $us;
}

sub clock_steps { return steps("interval '" . step() . "'", "interval '1 us'"); }

# Times by their number.
my %times = (
    int8 => sub {
        my $step = pick(1, 1, 10, 60000000);
        pick(0, 0, '1700000000000000') . ' + ' . ($step < 10 ? "i * $step\::bigint" : steps("$step\::bigint", '1'));
    },
    date => sub { "'2024-01-01'::date + i" },
    timestamp => sub { "'" . start() . "'::timestamp + " . clock_steps() },
    timestamptz => sub { "'" . start() . "+00'::timestamptz + " . clock_steps() });

# Keys by their number, of types that have so many.
my %keys = (int4 => "1000 + k", int8 => "1000 + k", text => "'host_' || k",
    varchar => "'host_' || k", int2 => 'k::smallint', date => "'2021-01-01'::date + k",
    uuid => "('12345678-0000-0000-0000-' || lpad(k::text, 12, '0'))::uuid");

# Some values of a key column, which are noted: they are asked for later.
sub key_values
{
    my ($table, $col, $count) = @_;
    my %seen;
    my @values = grep { !$seen{$_}++ } map { value_for($col) } 1 .. $count;

    $table->{known}{ $col->{name} } = \@values;
    return @values;
}

# An expression of k for a key column, and for how many k at most.
sub key_expression
{
    my ($table, $col, $count) = @_;
    return ($keys{ $col->{type} }, $count) if $count > 8 && $keys{ $col->{type} };
    my @values = key_values($table, $col, $count > 8 ? 8 : $count);
    return ('(' . array_literal($col->{type}, @values) . ')[k]', scalar @values);
}

# ------------------------------------------------------------------- inserts

# How many keys by how many times.
sub extent
{
    my ($time) = @_;
    return (pick(1, 2, 8, 50), 1) unless $time;
    return @{ pick([ 1, 500 ], [ 1, 270 ], [ 1, 270 ], [ 2, 170 ], [ 3, 140 ], [ 8, 40 ],
            [ 8, 20 ], [ 50, 1 ], [ 100, 2 ], [ 200, 1 ]) };
}

# series_rows(TABLE): columns, and a SELECT of many rows; nothing when there
# have been enough.
sub series_rows
{
    my ($table) = @_;
    return if ++$table->{bulks} > 4;
    my ($time) = time_of($table);
    my $by = pick(keys_of($table));
    my ($nkeys, $ntimes) = extent($time);
    my @cols = writable($table);
    my %of;

    foreach my $col (@cols)
    {
        $of{ $col->{name} } = $col->{role} eq 'value' ? expression($col)
          : literal($col->{type}, some_value($col)) unless $col == $by;
    }
    ($of{ $by->{name} }, $nkeys) = key_expression($table, $by, $nkeys);
    $of{ $time->{name} } = $times{ $time->{type} }->() if $time;
    $table->{step} = $1 if $time && $of{ $time->{name} } =~ /interval '(\d+ (?:sec|min|hour)\w*)'/;
    my $from = pick(1, 1, 1, 200, 5000);
    my $to = $from + $ntimes - 1;
    my $order = pick('', '', 'ORDER BY k, i', 'ORDER BY k, i DESC', 'ORDER BY i, k',
        'ORDER BY hashint4(i + 1000 * k), i, k');

    return (\@cols, 'SELECT ' . join(', ', map { $of{ $_->{name} } } @cols)
          . " FROM generate_series($from, $to) i, generate_series(1, $nkeys) k $order");
}

1;
