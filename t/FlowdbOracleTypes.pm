# FlowdbOracleTypes: types, and values of them that have been trouble before.
#
# A value is kept as the text that the type's input function reads, so that
# the same value can stand in a literal, in COPY's data and in an array.  All
# strings are bytes (UTF-8), never Perl characters.
package FlowdbOracleTypes;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(
  %TYPE pick chance below shuffled
  value value_for near_values literal quoted copy_field array_literal some_value
  types_of comparable
);

# ------------------------------------------------------------------- chance

sub below { return int rand $_[0]; }
sub chance { return rand() < $_[0]; }
sub pick { return $_[ rand @_ ]; }

# List::Util has one, but not with the same results everywhere.
sub shuffled
{
    my @list = @_;
    for (my $i = $#list; $i > 0; $i--)
    {
        my $j = below($i + 1);
        @list[ $i, $j ] = @list[ $j, $i ];
    }
    return @list;
}

# -------------------------------------------------------------------- types

my @text = (
    '', 'a', 'a ', 'ab', 'abc', 'abcd', 'A', 'Ab', 'b', 'z', ' ', '%', '_',
    'a%b', 'a_b', 'a\\b', '\\', '\\\\', "it's", '"', 'bad', 'NULL', '42',
    "a\tb", "a\nb", "\x01", "a\x01", "\x7f",
    "\xc3\xa4",        # a with diaeresis
    "a\xcc\x88",       # the same, decomposed
    "\xc3\x84",        # upper case
    "\xc3\x9f",        # sharp s
    "\xe6\x97\xa5\xe6\x9c\xac", "\xef\xbf\xbd",
    "\xf4\x8f\xbf\xbf",    # the last code point
    "\xef\xbf\xbf",        # behind it in UTF-16, before it in UTF-8
    'host_1', 'host_10', 'host_2', 'k' x 300);
# The first one that is the same day in all zones: compared with a time of the
# other kind, an earlier one is out of range in some, for rows that are asked.
my @timestamptz = (
    '-infinity', 'infinity',
    '4713-01-01 00:00:00+00 BC', '0001-01-01 00:00:00+00',
    '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00:00+00',
    '1970-01-01 00:00:00.000001+00', '1999-12-31 23:59:59.999999+00',
    '2000-01-01 00:00:00+00',
    # about the two changes of a year's clocks in Berlin and in New York
    '2024-03-10 06:59:59+00', '2024-03-10 07:00:00+00',
    '2024-03-31 00:59:59.999999+00', '2024-03-31 01:00:00+00',
    '2024-10-27 00:30:00+00', '2024-10-27 01:00:00+00', '2024-10-27 01:30:00+00',
    '2024-06-01 00:00:00+00', '2024-05-31 22:00:00+00',
    '2038-01-19 03:14:08+00', '294246-12-31 23:59:59.999999+00');
my @timestamp = map { s/\+00//r } @timestamptz;
push @timestamp, '2024-03-31 02:30:00', '2024-10-27 02:30:00';
my @date = (
    '-infinity', 'infinity', '4713-01-01 BC', '0001-01-01', '1969-12-31',
    '1970-01-01', '1999-12-31', '2000-01-01', '2024-02-29', '2024-03-31',
    '2024-10-27', '2024-06-01', '2024-05-31', '294246-12-31');
my @bytea = map { "\\x$_" } (
    '', '00', '0000', '0001', '00ff', '01', '61', '6100', '610001', '6101',
    '61ff', '6162', '7f', '80', 'fe', 'ff', 'ffff', 'ff00', 'ab' x 200);
my @uuid = (
    '00000000-0000-0000-0000-000000000000',
    '00000000-0000-0000-0000-000000000001',
    '7fffffff-ffff-ffff-ffff-ffffffffffff',
    '80000000-0000-0000-0000-000000000000',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    'ffffffff-ffff-ffff-ffff-ffffffffffff');

sub numbers
{
    my ($min, $max) = @_;
    return ($min, $min + 1, -1, 0, 1, 2, 7, 42, 255, 256, $max - 1, $max);
}

# Perl's integers have 64 bits, but their text must stay exact.
my @int8 = ('-9223372036854775808', '-9223372036854775807', '-4294967296',
    -1, 0, 1, 2, 42, 255, 256, '2147483648', '4294967296',
    '9007199254740993', '9223372036854775806', '9223372036854775807');

# sql: the name; pool: values; random: makes others;
# key, time: may have that role; expire: values far in the future;
# family: what can be compared with each other;
# vague: equal values may look different, so what stands for a group of them
# is anybody's choice; no_order: has no btree operators;
# sums: sums and averages are the same in any order of additions; huge: they
# may overflow, in any order too.
our %TYPE = (
    int2 => { sql => 'smallint', pool => [ numbers(-32768, 32767) ],
        random => sub { below(20) }, key => 1, family => 'number' },
    int4 => { sql => 'integer', pool => [ numbers(-2147483648, 2147483647) ],
        random => sub { below(40) }, key => 1, family => 'number' },
    int8 => { sql => 'bigint', pool => \@int8, random => sub { below(40) },
        key => 1, time => 1, family => 'number',
        expire => [ '4102444800000000', '9223372036854775807' ] },
    float4 => { sql => 'real',
        pool => [qw(NaN Infinity -Infinity 0 -0 1 1.5 -1.5 1e-30 3.4e38 42)],
        random => sub { below(100) / 4 }, family => 'number', vague => 1 },
    float8 => { sql => 'double precision',
        pool => [ qw(NaN Infinity -Infinity 0 -0 1 1.5 0.1 -2.25 1e-300
              1.7976931348623157e308 4.9e-324 42) ],
        random => sub { below(1000) / 8 }, family => 'number', vague => 1 },
    # floats whose sums are exact, or become infinite however they are made
    sum4 => { sql => 'real', pool => [qw(NaN Infinity -Infinity 0 1.25 -1.5 42 1000)],
        random => sub { below(400) / 4 }, family => 'number', sums => 1 },
    sum8 => { sql => 'double precision',
        pool => [qw(NaN Infinity -Infinity 0 1.125 -1.5 42 1000000 -1000000)],
        random => sub { below(1000) / 8 }, family => 'number', sums => 1 },
    huge4 => { sql => 'real', pool => [qw(0 1 42 3e38)],
        random => sub { below(9) }, family => 'number', sums => 1, huge => 1 },
    huge8 => { sql => 'double precision', pool => [qw(0 1 42 1e308)],
        random => sub { below(9) }, family => 'number', sums => 1, huge => 1 },
    # two decimals, in any order
    dec8 => { sql => 'double precision', pool => [qw(0 0.01 -0.01 42 99.99 -123.45)],
        random => sub { below(10000) / 100 }, family => 'number' },
    numeric => { sql => 'numeric',
        pool => [ qw(NaN Infinity -Infinity 0 0.0 1 1.0 1.50 -1.5 42 1e100
              -1e-50 12345678901234567890.123456789) ],
        random => sub { below(1000) / 100 }, family => 'number', vague => 1 },
    numeric2 => { sql => 'numeric(10,2)',
        pool => [qw(NaN 0 1 1.5 -1.5 42 99999999.99 -99999999.99)],
        random => sub { below(1000) / 100 }, family => 'number' },
    text => { sql => 'text', pool => \@text, random => sub { 'k' . below(30) },
        key => 1, family => 'text', long => 1 },
    varchar => { sql => 'varchar(400)', pool => \@text,
        random => sub { 'k' . below(30) }, key => 1, family => 'text' },
    bpchar => { sql => 'char(5)',
        pool => [ '', 'a', 'a ', 'ab', 'A', ' a', "\xc3\xa4", 'bad', 'zzzzz' ],
        random => sub { 'c' . below(30) }, family => 'bpchar' },
    name => { sql => 'name', pool => [ '', 'a', 'A', 'bad', 'n' x 63 ],
        random => sub { 'n' . below(30) }, family => 'name' },
    char1 => { sql => '"char"', pool => [ '', 'a', 'A', 'z' ],
        random => sub { chr(97 + below(26)) }, family => 'char1' },
    bytea => { sql => 'bytea', pool => \@bytea,
        random => sub { sprintf '\\x%02x%02x', below(4), below(8) },
        key => 1, family => 'bytea' },
    bool => { sql => 'boolean', pool => [ 't', 'f' ], key => 1,
        family => 'bool' },
    uuid => { sql => 'uuid', pool => \@uuid,
        random => sub { sprintf '12345678-0000-0000-0000-%012d', below(20) },
        key => 1, family => 'uuid' },
    date => { sql => 'date', pool => \@date,
        random => sub { sprintf '2024-02-%02d', 1 + below(28) },
        key => 1, time => 1, family => 'datetime', expire => ['2100-01-01'] },
    timestamp => { sql => 'timestamp', pool => \@timestamp,
        random => sub { sprintf '2024-02-%02d %02d:00:00', 1 + below(3), below(24) },
        key => 1, time => 1, family => 'datetime',
        expire => [ '2100-01-01 00:00:00', 'infinity' ] },
    timestamptz => { sql => 'timestamptz', pool => \@timestamptz,
        random =>
          sub { sprintf '2024-02-%02d %02d:00:00+00', 1 + below(3), below(24) },
        key => 1, time => 1, family => 'datetime',
        expire => [ '2100-01-01 00:00:00+00', 'infinity' ] },
    time => { sql => 'time', pool => [ '00:00:00', '24:00:00', '12:00:00.000001' ],
        random => sub { sprintf '%02d:30', below(24) }, family => 'time' },
    timetz => { sql => 'timetz', pool => [ '00:00:00+00', '24:00:00-15:59' ],
        random => sub { sprintf '%02d:30+02', below(24) }, family => 'timetz' },
    interval => { sql => 'interval',
        pool => [ '0', '1 day', '24 hours', '1 month', '30 days', '-1 year' ],
        random => sub { below(100) . ' minutes' }, family => 'interval',
        vague => 1 },
    jsonb => { sql => 'jsonb',
        pool => [ 'null', '{}', '[]', '""', '{"a": 1}', '{"a": 1.0}',
            '{"a": {"b": [1, null, "x\\\\y"]}}', '[1, 2, 3]', '"\\u00e4"', '42' ],
        random => sub { sprintf '{"a": %d, "b": "%s"}', below(5), 'x' x below(9) },
        family => 'jsonb', vague => 1 },
    json => { sql => 'json', pool => [ '{}', '{"a":  1, "a": 2}', '[null]' ],
        random => sub { sprintf '{"n": %d}', below(9) }, family => 'json',
        no_order => 1 },
    inet => { sql => 'inet',
        pool => [ '0.0.0.0/0', '127.0.0.1', '10.0.0.0/8', '::', '::1/128',
            'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' ],
        random => sub { '10.0.0.' . below(20) }, family => 'inet' },
    macaddr => { sql => 'macaddr',
        pool => [ '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff' ],
        random => sub { sprintf '08:00:2b:01:02:%02x', below(9) },
        family => 'macaddr' },
    point => { sql => 'point', pool => [ '(0,0)', '(1.5,-2)', '(NaN,Infinity)' ],
        random => sub { sprintf '(%d,%d)', below(5), below(5) },
        family => 'point', no_order => 1 },
    int4array => { sql => 'integer[]',
        pool => [ '{}', '{1}', '{1,2,3}', '{NULL}', '{{1,2},{3,4}}',
            '[0:1]={1,2}', '{2147483647}' ],
        random => sub { '{' . join(',', map { below(9) } 1 .. 1 + below(4)) . '}' },
        family => 'int4array' },
    textarray => { sql => 'text[]',
        pool => [ '{}', '{a}', '{NULL,"NULL"}', '{"","a b","\\"q\\""}',
            '{"\\\\"}', "{\xc3\xa4}" ],
        random => sub { '{k' . below(9) . '}' }, family => 'textarray' },
    bit => { sql => 'bit varying(20)', pool => [ '', '0', '1', '10101010101' ],
        random => sub { join '', map { below(2) } 1 .. 9 }, family => 'bit' },
    int4range => { sql => 'int4range',
        pool => [ 'empty', '(,)', '[1,1]', '[1,10)', '(,5]' ],
        random => sub { my $n = below(9); "[$n," . ($n + 3) . ')' },
        family => 'int4range' },
    # made by the test
    mood => { sql => 'oracle.mood', pool => [ 'sad', 'ok', 'happy' ],
        family => 'mood' },
    pair => { sql => 'oracle.pair',
        pool => [ '(,)', '(1,a)', '(2,"b c")', '(,"")', '(1,"(,)")' ],
        random => sub { sprintf '(%d,k%d)', below(4), below(4) },
        family => 'pair' },
    small => { sql => 'oracle.small', pool => [ 0, 1, 2, 99 ],
        random => sub { below(99) }, key => 1, family => 'number' },
    label => { sql => 'oracle.label', pool => [ 'a', 'b', 'ab', "\xc3\xa4" ],
        random => sub { 'l' . below(20) }, key => 1, family => 'text' },
);

# types_of(FLAG): names of the types that have it, in an order of their own.
sub types_of
{
    my ($flag) = @_;
    return grep { !defined $flag || $TYPE{$_}{$flag} } sort keys %TYPE;
}

# A type that can be compared with it, mostly itself.
sub comparable
{
    my ($type) = @_;
    my $family = $TYPE{$type}{family};

    return $type if chance(0.6);
    return pick(grep { $TYPE{$_}{family} eq $family } types_of());
}

# ------------------------------------------------------------------- values

# The last values that identified new rows, by type: asked for more often
# than chance would.
my %recent;

# Times at rows that are there, and beside them.
my %near;

sub near_values
{
    my ($type, @raw) = @_;
    $near{$type} = \@raw;
    return;
}

sub value
{
    my ($type) = @_;
    my $t = $TYPE{$type} // die "no type $type";

    return pick(@{ $near{$type} }) if $near{$type} && chance(0.25);
    return pick(@{ $recent{$type} }) if $recent{$type} && chance(0.4);
    return $t->{random}->() if $t->{random} && chance(0.6);
    return pick(@{ $t->{pool} });
}

# value_for(COLUMN): a value, never NULL, that the column can have.
sub value_for
{
    my ($col) = @_;
    my $raw;

    do { $raw = value($col->{type}) } while $col->{not_early} && $raw eq '-infinity';
    if ($col->{role} =~ /key|time/)
    {
        my $list = $recent{ $col->{type} } //= [];
        push @$list, $raw;
        shift @$list if @$list > 15;
    }
    return $raw;
}

# A value of a column, NULL (undef) where it may be; keys never are.
sub some_value
{
    my ($col) = @_;
    my $role = $col->{role};
    my $t = $TYPE{ $col->{type} };

    return pick(@{ $t->{expire} }) if $role eq 'expire';
    if ($role eq 'value')
    {
        return undef if chance($col->{notnull} ? 0.01 : 0.15);
        return long_text() if $t->{long} && chance(0.03);
    }
    return value_for($col);
}

# More than a page of text: one half of these can be compressed.
sub long_text
{
    return 'long ' x 2000 if chance(0.5);
    return join '', map { sprintf '%08x', below(0xffffffff) } 1 .. 1100;
}

# As SQL: no byte in it that a terminal, psql or a log would suffer from.
sub quoted
{
    my ($raw) = @_;
    my $odd = $raw =~ /[\\\x00-\x1f\x7f]/;

    $raw =~ s/'/''/g;
    return "'$raw'" unless $odd;
    $raw =~ s/\\/\\\\/g;
    $raw =~ s/([\x00-\x1f\x7f])/sprintf '\\x%02x', ord $1/ge;
    return "E'$raw'";
}

sub literal
{
    my ($type, $raw) = @_;
    my $sql = $TYPE{$type}{sql};

    return "NULL::$sql" unless defined $raw;
    return quoted($raw) . "::$sql";
}

# One field of COPY's text format.
sub copy_field
{
    my ($raw) = @_;

    return '\\N' unless defined $raw;
    $raw =~ s/\\/\\\\/g;
    $raw =~ s/\n/\\n/g;
    $raw =~ s/\t/\\t/g;
    return $raw;
}

sub array_literal
{
    my ($type, @raw) = @_;
    return 'ARRAY[' . join(', ', map { literal($type, $_) } @raw) . ']';
}

1;
