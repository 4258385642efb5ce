# What the engine is told of a store's rows without catalogs: the kinds of its
# columns are those that rows are written in, whatever the types, and whatever
# was added, dropped or came through another table since.  Bytes that are no
# description tell no shape.
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

my $node = new_node('shapes', "log_min_messages = fatal\n");
my $sql = sub { return $node->safe_psql('postgres', $_[0]) };
my ($rc, $out, $err) = try_sql($node, <<'EOC');
CREATE FUNCTION description(server text, store text) RETURNS bytea
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_description';
CREATE FUNCTION describe(description bytea) RETURNS bytea
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_describe';
CREATE FUNCTION shape(description bytea) RETURNS text
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_shape';
CREATE FUNCTION split(server text, store text) RETURNS text
  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_split';
EOC
plan skip_all => 'needs a build with DEBUG_POINTS=1' if $rc != 0;

sub shape
{
    my ($store) = @_;
    return $sql->("SELECT get_byte(d, 0) || ': ' || shape(d) FROM description('s', '$store') d");
}

sub split_is
{
    my ($store, $rows, $name) = @_;
    is($sql->("SELECT split('s', '$store')"), "$rows of $rows", "$name: in memory");
    $sql->("SELECT flowdb_flush('s')");
    is($sql->("SELECT split('s', '$store')"), "$rows of $rows", "$name: in an SSTable");
    return;
}

$sql->(<<'EOC');
CREATE SERVER s FOREIGN DATA WRAPPER flowdb_fdw;
CREATE DOMAIN celsius AS float8;
CREATE DOMAIN cold AS celsius CHECK (VALUE < 0);
CREATE DOMAIN half AS float4;
CREATE DOMAIN note AS text;
CREATE DOMAIN search AS tsquery;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE stiff;
CREATE FUNCTION stiff_in(cstring) RETURNS stiff LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION stiff_out(stiff) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE stiff (INPUT = stiff_in, OUTPUT = stiff_out, STORAGE = plain);
EOC

# types [SQL type, kind, a value, another one]
my @types = (
    [ 'bool', 'int1', 'true', 'false' ], [ '"char"', 'int1', "'a'", '(-61)::"char"' ], [ 'smallint', 'int2', -1, 32767 ],
    [ 'integer', 'int4', -2147483648, 1 ], [ 'bigint', 'int8', -1, '9223372036854775807' ],
    [ 'oid', 'int4', 1, 4294967295 ], [ 'date', 'int4', "'infinity'", "'2020-01-01'" ],
    [ 'timestamp', 'int8', "'-infinity'", "'2020-01-01'" ], [ 'time', 'int8', "'12:00'", "'24:00'" ],
    [ 'money', 'int8', "'1'", "'-1'" ], [ 'mood', 'int4', "'sad'", "'ok'" ],
    [ 'real', 'float4', "'nan'", '-0.0' ], [ 'double precision', 'float8', "'-infinity'", 1.5 ],
    [ 'interval', 'fixed16', "'1 day'", "'-1 s'" ], [ 'uuid', 'fixed16', 'gen_random_uuid()', 'gen_random_uuid()' ],
    [ 'point', 'fixed16', "'(1,2)'", "'(3,4)'" ], [ 'name', 'fixed64', "'n'", "repeat('x', 63)" ],
    [ 'macaddr', 'fixed6', "'08:00:2b:01:02:03'", "'00:00:00:00:00:00'" ], [ 'timetz', 'fixed12', "'12:00+1'", "'1:00'" ],
    [ 'text', 'packed', "''", "repeat('x', 5000)" ], [ 'varchar(200)', 'packed', "repeat('y', 126)", "repeat('z', 127)" ],
    [ 'char(3)', 'packed', "'a'", "'abc'" ], [ 'bytea', 'packed', "''", "decode(repeat('00', 300), 'hex')" ],
    [ 'numeric', 'packed', '1.50', '-1e100' ], [ 'jsonb', 'packed', "'{}'", q{'{"a": [1, 2, 3]}'} ],
    [ 'json', 'packed', "'{}'", "'[]'" ], [ 'integer[]', 'packed', "'{}'", "'{1,NULL,3}'" ],
    [ 'text[]', 'packed', "'{a}'", "array_fill('x'::text, '{100}')" ], [ 'int4range', 'packed', "'empty'", "'[1,2)'" ],
    [ 'inet', 'packed', "'::1'", "'10.0.0.0/8'" ], [ 'bit varying', 'packed', "''", "'101'" ], [ 'xid8', 'int8', "'1'", "'2'" ],
    [ 'tsvector', 'packed', "''", "'a:1 b'" ], [ 'pair', 'packed', "ROW(1, 'x')", "ROW(NULL, NULL)" ], [ 'note', 'packed', "'x'", "''" ],
    [ 'tsquery', 'plain', "'a'", "'a & b'" ], [ 'int2vector', 'plain', "'1 2'", "'3'" ], [ 'oidvector', 'plain', "'1'", "'2 3'" ]);
my @own = (
    [ 'celsius', 'float8', 1.5, -1 ], [ 'cold', 'float8', -1.5, -1 ], [ 'half', 'float4', 1.5, 2 ],
    [ 'stiff', 'plain', "'x'", "'" . 'x' x 1000 . "'" ], [ 'search', 'plain', "'a'", "'b | c'" ], [ 'stiff[]', 'packed', "'{a,b}'", "'{}'" ]);

# make(TABLE, TYPES): a table with a column of each type, c0 .., and rows with
# all values, with NULLs at changing places, and with nothing but NULLs.
sub make
{
    my ($table, @cases) = @_;
    my $columns = join(', ', map { "c$_ $cases[$_][0]" } 0 .. $#cases);
    my $row = sub {
        my ($value) = @_;
        return join(', ', map { $value->($_) } 0 .. $#cases);
    };
    my @rows = map { my $v = $_; $row->(sub { $cases[ $_[0] ][$v] }) } 2, 3;
    push @rows, map { my $n = $_; $row->(sub { $_[0] % 5 == $n ? 'NULL' : $cases[ $_[0] ][ 2 + $_[0] % 2 ] }) } 0 .. 4;
    push @rows, $row->(sub { 'NULL' });
    $sql->("CREATE FOREIGN TABLE $table (k text COLLATE \"C\", ts bigint, $columns) SERVER s "
          . "OPTIONS (key_columns 'k', time_column 'ts', store '$table');"
          . "CREATE TABLE ${table}_heap (k text, ts bigint, $columns);"
          . join('', map { my $i = $_; map { "INSERT INTO $_ VALUES ('k', $i, $rows[$i]);" } "${table}_heap" } 0 .. $#rows)
          . "INSERT INTO $table SELECT * FROM ${table}_heap");
    return scalar @rows;
}

sub same
{
    my ($table, $name) = @_;
    is( $sql->("SELECT string_agg(t::text, '|' ORDER BY ts) FROM $table t"),
        $sql->("SELECT string_agg(t::text, '|' ORDER BY ts) FROM ${table}_heap t"),
        $name);
    return;
}

my $rows = make('builtin', @types);
is(shape('builtin'), '2: ' . join(' ', map { $_->[1] } @types), 'types of the server, version 2');
same('builtin', 'types of the server: as in a heap table');
split_is('builtin', $rows, 'types of the server');
same('builtin', 'types of the server: after a flush');

$rows = make('own', @own, @types);
is(shape('own'), '3: ' . join(' ', map { $_->[1] } @own, @types), 'other types, version 3');
same('own', 'other types: as in a heap table');
split_is('own', $rows, 'other types');
same('own', 'other types: after a flush');
$node->restart;
is(shape('own'), '3: ' . join(' ', map { $_->[1] } @own, @types), 'the same after a restart');

# --------------------------------------------------- columns come and go

$sql->(<<'EOC');
CREATE FOREIGN TABLE t (k text COLLATE "C", ts bigint, a int, b text) SERVER s
  OPTIONS (key_columns 'k', time_column 'ts', store 't');
INSERT INTO t VALUES ('k', 1, 1, 'b');
ALTER FOREIGN TABLE t ADD c celsius DEFAULT 1.5, ADD d stiff DEFAULT 'dd', ADD e float4;
INSERT INTO t VALUES ('k', 2, 2, 'c', -1, 'e', 3);
ALTER FOREIGN TABLE t DROP b, DROP d;
INSERT INTO t VALUES ('k', 3, 3, 0, 4);
BEGIN; ALTER FOREIGN TABLE t ADD lost text; INSERT INTO t VALUES ('k', 4, 4); ROLLBACK;
CREATE FOREIGN TABLE u (k text COLLATE "C", ts bigint, e float4, f bool) SERVER s
  OPTIONS (key_columns 'k', time_column 'ts', store 't');
INSERT INTO u VALUES ('k', 5, 5.5, true);
UPDATE t SET a = a + 1 WHERE ts < 3;
DELETE FROM t WHERE ts = 2;
EOC
like(shape('t'), qr/^3: int4 packed float8 plain float4 (packed )?int1$/, 'columns that were dropped are columns');
is($sql->('SELECT string_agg(t::text, \' \' ORDER BY ts) FROM t'), '(k,1,2,1.5,) (k,3,3,0,4) (k,5,,,5.5)', 'rows of all ages');
split_is('t', 3, 'rows of all ages');
is($sql->('SELECT string_agg(t::text, \' \' ORDER BY ts) FROM t'), '(k,1,2,1.5,) (k,3,3,0,4) (k,5,,,5.5)', 'and then');

# ------------------------------------------------------------- any bytes

foreach my $store ('own', 't')
{
    is($sql->("SELECT count(*) FROM (SELECT description('s', '$store') AS d) x, "
              . "LATERAL generate_series(0, length(d) - 1) n WHERE shape(substr(d, 1, n)) IS NOT NULL"),
        0, "$store: cut at any byte it tells no shape");
    is($sql->(<<"EOC"), 0, "$store: any changed byte: whatever is a description tells a shape");
SELECT count(*) FILTER (WHERE describe(c) IS NOT NULL AND shape(c) IS NULL)
FROM (SELECT description('s', '$store') AS d, setseed($seed / 1000001.0)) x, LATERAL generate_series(0, length(d) - 1) n,
  generate_series(1, 5), LATERAL set_byte(d, n, (random() * 255)::int) c
EOC
}
is($sql->(<<"EOC"), 't', 'so does no noise, and nothing crashes');
SELECT count(shape(b)) >= 0 FROM (SELECT '\\x03'::bytea || string_agg(set_byte('\\x00', 0, (random() ^ 3 * 255)::int), '') AS b
  FROM (SELECT setseed($seed / 1000001.0)) s, generate_series(1, 20000) i GROUP BY i / 40) x
EOC

$node->stop;
done_testing();
