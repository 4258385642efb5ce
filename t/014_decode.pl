# Bytes that no table of these types wrote: the decoder reads them as what
# they are or raises an error that says so.  It crashes for none, and never
# reads one value from two different keys.  (Tables of one store need the same
# types, but text for bytea: the rest is for what checksums do not see.)
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FLOWDB_SEED} // int(rand(1_000_000));
note("seed $seed (FLOWDB_SEED)");
srand($seed);

my $node = new_node('decode', "log_min_messages = fatal\n");
$node->safe_psql('postgres', 'CREATE SERVER s FOREIGN DATA WRAPPER flowdb_fdw');

my $made = <<'EOC';
CREATE FUNCTION decode(rel regclass, key bytea, ts bigint, expire_at bigint, value bytea)
  RETURNS record STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_decode';
EOC
my ($rc, $out, $err) = try_sql($node, $made);
plan skip_all => 'needs a build with DEBUG_POINTS=1' if $rc != 0;

# The row, or the SQLSTATE and what is told of a key, as one text.
$node->safe_psql('postgres', <<'EOC');
SET timezone = 'UTC';
CREATE FUNCTION seen(rel regclass, key bytea, ts bigint DEFAULT 0, expire_at bigint DEFAULT 0, value bytea DEFAULT '\x0100')
  RETURNS text LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
BEGIN
  RETURN decode(rel, key, ts, expire_at, value)::text;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || CASE WHEN SQLSTATE = 'XX000' THEN ' ' || SQLERRM ELSE '' END;
END $$;
EOC

# make_table(NAME, COLUMNS, OPTIONS): one whose store exists.
sub make_table
{
    my ($name, $columns, $options, $row) = @_;
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $name ($columns) SERVER s OPTIONS ($options);"
          . "INSERT INTO $name VALUES ($row)");
    return;
}

my %value = (
    text => "'a'", 'varchar(2)' => "'a'", bytea => "'a'", smallint => 1, integer => 1, bigint => 1, boolean => 'true',
    uuid => 'gen_random_uuid()', date => "'2024-01-01'", timestamp => "'2024-01-01'", timestamptz => "'2024-01-01'");
my %tables;

# table_of(TYPES): the name of a table with key columns of these types.
sub table_of
{
    my ($types) = @_;
    return $tables{$types} if $tables{$types};
    my @types = split / /, $types;
    my $name = 'k' . (1 + keys %tables);
    make_table($name, join(',', map { "k$_ $types[$_]" } 0 .. $#types),
        "key_columns '" . join(',', map { "k$_" } 0 .. $#types) . "'", join(',', map { $value{$_} } @types));
    return $tables{$types} = $name;
}

# ------------------------------------------------------------- keys, by hand

# XX001 is no key of these types, 22021 no text.
for (
    ['smallint', '', 'XX001'], ['smallint', '80', 'XX001'], ['smallint', '8000', '(0)'],
    ['smallint', '800000', 'XX001'], ['smallint', 'ffff', '(32767)'], ['integer', '', 'XX001'],
    ['integer', '800000', 'XX001'], ['integer', '80000001', '(1)'], ['integer', '8000000100', 'XX001'],
    ['bigint', '80000000000000', 'XX001'], ['bigint', '00000000000000ff', '(-9223372036854775553)'],
    ['bigint', '000000000000000000', 'XX001'], ['boolean', '', 'XX001'], ['boolean', '00', '(f)'],
    ['boolean', '01', '(t)'], ['boolean', '02', 'XX001'], ['boolean', 'ff', 'XX001'], ['boolean', '0100', 'XX001'],
    ['uuid', '', 'XX001'], ['uuid', '000102030405060708090a0b0c0d0e', 'XX001'],
    ['uuid', '000102030405060708090a0b0c0d0e0f', '(00010203-0405-0607-0809-0a0b0c0d0e0f)'],
    ['uuid', '000102030405060708090a0b0c0d0e0f10', 'XX001'],
    ['date', '00000000', '(-infinity)'], ['date', '00000001', 'XX001'],
    ['date', '7fda97a6', 'XX001'], ['date', '7fda97a7', '("4714-11-24 BC")'],
    ['date', 'ffda970c', '(5874897-12-31)'], ['date', 'ffda970d', 'XX001'],
    ['date', 'fffffffe', 'XX001'], ['date', 'ffffffff', '(infinity)'], ['date', '800000', 'XX001'],
    ['timestamp', '0000000000000000', '(-infinity)'], ['timestamp', '0000000000000001', 'XX001'],
    ['timestamp', '8000000000000000', '("2000-01-01 00:00:00")'],
    ['timestamp', '7d0f7cc1411fa000', '("4714-11-24 00:00:00 BC")'], ['timestamp', '7d0f7cc1411f9fff', 'XX001'],
    ['timestamptz', 'ffffff5bb3b29fff', '("294276-12-31 23:59:59.999999+00")'], ['timestamptz', 'ffffff5bb3b2a000', 'XX001'],
    ['timestamptz', 'fffffffffffffffe', 'XX001'], ['timestamptz', 'ffffffffffffffff', '(infinity)'],
    ['timestamptz', '80', 'XX001'], ['text', '', '("")'], ['text', '61', '(a)'], ['text', '6100', '22021'],
    ['text', 'ff', '22021'], ['text', 'c3', '22021'], ['varchar(2)', 'c3a9', '(é)'], ['varchar(2)', '616263', '(abc)'],
    ['bytea', '', '("\\\\x")'], ['bytea', '00ff01', '("\\\\x00ff01")'],
    ['text text', '', 'XX001'], ['text text', '610001', 'XX001'], ['text text', '6100016200', 'XX001'],
    ['text text', '610001620001', '(a,b)'], ['text text', '61000162000100', 'XX001'],
    ['text text', '610062000100', 'XX001'], ['text text', '00010001', '("","")'],
    ['text bytea', '6100ff0001620001', '22021'], ['bytea text', '6100ff0001620001', '("\\\\x6100",b)'],
    ['bytea bytea', '00', 'XX001'], ['bytea bytea', '00ff', 'XX001'], ['bytea bytea', '0001ff', 'XX001'],
    ['text integer', 'c3000180000001', '22021'], ['text integer', 'c3a9000180000001', '(é,1)'],
    ['text integer', 'c3a90001800000', 'XX001'], ['text integer', 'c3a900018000000100', 'XX001'],
    ['integer text', '80000001', 'XX001'], ['integer text', '800000010001', '(1,"")'],
    ['boolean text', '010001', '(t,"")'], ['boolean text', '020001', 'XX001'],
    ['boolean date bytea', '01ffffffff0001', '(t,infinity,"\\\\x")'], ['boolean date bytea', '01fffffff00001', 'XX001'])
{
    my ($types, $bytes, $expected) = @$_;
    my $table = table_of($types);
    is($node->safe_psql('postgres', "SELECT seen('$table', '\\x$bytes')"), $expected, "$types: $bytes");
}

# ----------------------------------------------------------------- any bytes

# fuzz(TABLE, CALL): outcomes of n calls with random bytes, by kind.
sub fuzz
{
    my ($call, $n) = @_;
    my $salt = int(rand(1_000_000));
    my $sql = <<"EOC";
SELECT setseed($salt / 1e6);
CREATE TEMP TABLE r AS SELECT i, coalesce(string_agg((ARRAY['\\x00', '\\x00', '\\x01', '\\xff', '\\x61', '\\x80', '\\x7f', '\\x02', '\\x03', '\\xc3', '\\xa9',
    set_byte('\\x00', 0, floor(random() * 256 + 0 * i * j)::int)]::bytea[])[1 + floor(random() * 12 + 0 * i * j)::int], ''), '') AS bytes
  FROM generate_series(1, $n) i LEFT JOIN LATERAL generate_series(1, (random() * 20 + 0 * i)::int) j ON true GROUP BY i;
SELECT CASE WHEN s ~ '^[0-9A-Z]{5}( |\$)' THEN s ELSE 'row' END AS kind, count(*) > 0 FROM (SELECT $call AS s FROM r OFFSET 0) x GROUP BY 1 ORDER BY 1;
EOC
    my ($rc, $out, $err) = try_sql($node, $sql);
    $out =~ s/^\s+//;
    return $rc == 0 ? join(' ', map { s/\|t$//r } split(/\n/, $out)) : "failed: $err";
}

for my $types (sort keys %value)
{
    like(fuzz("seen('" . table_of($types) . "', bytes)", 3000), qr/^((XX001|22021|row) ?)+$/, "any bytes as $types");
}
for my $n (1 .. 20)
{
    my @types = map { (sort keys %value)[ rand(keys %value) ] } 1 .. 2 + rand(3);
    like(fuzz("seen('" . table_of("@types") . "', bytes)", 2000), qr/^((XX001|22021|row) ?)+$/, "any bytes as @types");
}

# ------------------------------------------------------------ times and values

make_table('times', 'k text, t timestamptz, e date, v text, i int, b bytea, c char(3), o bool, f float8',
    "key_columns 'k', time_column 't', expire_column 'e'",
    "'k', now(), 'infinity', 'v', 1, 'b', 'c', true, 1.5");
is($node->safe_psql('postgres', "SELECT string_agg(seen('times', 'k', ts, expire_at), ' ' ORDER BY ts) FROM (VALUES"
          . " (-9223372036854775808, 9223372036854775807), (-9223372036854775807, 0), (0, 1), (1, -9223372036854775808),"
          . " (2, -9223372036854775807), (9223372036854775807, 9223372036854775806)) v (ts, expire_at)"),
    '(k,-infinity,infinity,,,,,,) 22008 (k,"1970-01-01 00:00:00+00",1970-01-02,,,,,,)'
      . ' (k,"1970-01-01 00:00:00.000001+00",-infinity,,,,,,) 22008 (k,infinity,294247-01-11,,,,,,)',
    'times at the limits');
for my $head ('', '\x01', '\x010c', '\x010d00', '\x010d10')
{
    like(fuzz("seen('times', 'k', 0, 0, '$head'::bytea || bytes)", 3000), qr/^((XX001|0A000|row) ?)+$/, "any bytes as a row: $head");
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
