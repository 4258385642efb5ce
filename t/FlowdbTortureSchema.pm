# FlowdbTortureSchema: tables and their heap twins for t/033, and the functions
# that tell where two twins differ.
#
# Twins are listed in the heap table "twins", which is written in the
# transaction that makes or drops them: after a crash it tells which are to be
# there. NAME's twin is h_NAME. All of them have columns k, ts, v and fill.
package FlowdbTortureSchema;

use strict;
use warnings;

use Exporter 'import';
use FlowdbTwins;

our @EXPORT = qw(schema_sql twin_tables server_names create_twin pick);

# name, server, what INSERT does with a duplicate, whether rows expire
my @tables = (
    { name => 'up', server => 'flow', dup => 'replace' },
    { name => 'one', server => 'flow', dup => 'error' },
    { name => 'ign', server => 'flow', dup => 'ignore' },
    { name => 'ttl', server => 'flow', dup => 'replace', until => 1 },
    { name => 'two', server => 'flow2', dup => 'replace' },
    { name => 'ttl2', server => 'flow2', dup => 'replace', until => 1 },
    { name => 'three', server => 'flow3', dup => 'replace' });

sub twin_tables
{
    return @tables;
}

sub server_names
{
    return ('flow', 'flow2', 'flow3');
}

# One of them, at random.
sub pick
{
    return $_[ int(rand(@_)) ];
}

# create_twin(TABLE): SQL for both, and for the list.
sub create_twin
{
    my ($t) = @_;
    my $until = $t->{until} ? ", until timestamptz OPTIONS (role 'expire_at')" : '';
    my $heap_until = $t->{until} ? ', until timestamptz' : '';
    my $named = $t->{store} ? ", store '$t->{store}'" : '';

    return <<"EOC";
CREATE FOREIGN TABLE $t->{name} (k text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL, v bigint, fill text$until)
    SERVER $t->{server} OPTIONS (on_duplicate '$t->{dup}'$named);
CREATE TABLE h_$t->{name} (k text COLLATE "C", ts bigint, v bigint, fill text$heap_until,
    PRIMARY KEY (k, ts));
INSERT INTO twins VALUES ('$t->{name}');
EOC
}

# STABLE functions look with the snapshot of the statement that calls them.
# differ(t): where t and h_t differ. Rows that expire soon may be there or not;
# expired ones may not.
my $differ = <<'EOC';
CREATE FUNCTION columns_of(t text) RETURNS text STABLE LANGUAGE sql AS $$
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute
  WHERE attrelid = t::regclass AND attnum > 0 AND NOT attisdropped
$$;
CREATE FUNCTION live(t text) RETURNS text STABLE LANGUAGE sql AS $$
  SELECT CASE WHEN columns_of(t) ~ '\muntil\M'
    THEN ' WHERE until > statement_timestamp() + interval ''10 s''' ELSE '' END
$$;
CREATE FUNCTION digest(t text) RETURNS text STABLE LANGUAGE plpgsql AS $$
DECLARE
  d text;
BEGIN
  EXECUTE format('SELECT (count(*), sum(hash_record_extended(ROW(%s), 0)::numeric)) FROM %I%s',
    columns_of(t), t, live(t)) INTO d;
  RETURN d;
END $$;
CREATE FUNCTION differ(t text) RETURNS SETOF text STABLE LANGUAGE plpgsql AS $$
DECLARE
  h text := 'h_' || t;
  c text := columns_of(t);
  alone text := 'SELECT left(%L || x::text, 120) FROM
    (SELECT %s FROM %I%s EXCEPT ALL SELECT %2$s FROM %I%4$s) x LIMIT 10';
BEGIN
  IF c IS DISTINCT FROM columns_of(h) THEN
    RETURN NEXT format('%s has columns %s, the heap %s', t, c, columns_of(h));
    RETURN;
  END IF;
  IF digest(t) IS DISTINCT FROM digest(h) THEN
    RETURN NEXT format('%s is %s, the heap %s', t, digest(t), digest(h));
    RETURN QUERY EXECUTE format(alone, 'only in ' || t || ': ', c, t, live(t), h);
    RETURN QUERY EXECUTE format(alone, 'only in ' || h || ': ', c, h, live(t), t);
  END IF;
  IF live(t) <> '' THEN
    RETURN QUERY EXECUTE format(alone, 'never in ' || h || ': ', c, t, '', h);
    RETURN QUERY EXECUTE format('SELECT left(%L || x::text, 120) FROM %I x
      WHERE until <= statement_timestamp() LIMIT 10', 'expired in ' || t || ': ', t);
  END IF;
END $$;
EOC

# walk(t): where ways to read t do not agree: forward, backward, count(*),
# single rows that are there, and such that are not.
my $walk = <<'EOC';
CREATE FUNCTION walk(t text) RETURNS SETOF text STABLE LANGUAGE plpgsql AS $$
DECLARE
  hashes text := 'SELECT row_number() OVER () n, hash_record_extended(x, 0)::numeric h
    FROM (SELECT k, ts, v FROM %1$I ORDER BY k %2$s, ts %2$s) x';
  rows bigint;
  forward text;
  backward text;
  missed bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %I', t) INTO rows;
  EXECUTE format('SELECT (count(*), sum(n * h)) FROM (' || hashes || ') y', t, 'ASC') INTO forward;
  EXECUTE format('SELECT (count(*), sum((%3$s + 1 - n) * h)) FROM (' || hashes || ') y', t, 'DESC', rows)
    INTO backward;
  IF forward <> backward OR forward NOT LIKE '(' || rows || ',%' THEN
    RETURN NEXT format('%s: count(*) %s, forward %s, backward %s', t, rows, forward, backward);
  END IF;
  EXECUTE format('SELECT count(*) FROM
      (SELECT k, ts, v FROM %I%s ORDER BY hashtext(k || ts) LIMIT 100) h
      LEFT JOIN LATERAL (SELECT v FROM %I f WHERE f.k = h.k AND f.ts = h.ts LIMIT 1) p ON true
      WHERE p.v IS DISTINCT FROM h.v', 'h_' || t, live(t), t) INTO missed;
  IF missed > 0 THEN
    RETURN NEXT format('%s: %s of 100 single rows are not found', t, missed);
  END IF;
  EXECUTE format('SELECT count(*) FROM generate_series(-20, 20) g
      JOIN LATERAL (SELECT FROM %I f WHERE f.k = ''hot'' AND f.ts = g AND NOT EXISTS
        (SELECT FROM %I h WHERE h.k = ''hot'' AND h.ts = g)) p ON true', t, 'h_' || t) INTO missed;
  IF missed > 0 THEN
    RETURN NEXT format('%s: %s single rows that are not there are found', t, missed);
  END IF;
END $$;
EOC

# schema_sql: everything but the extension, in one script.
sub schema_sql
{
    my $sql = <<'EOC';
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SERVER flow2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (merge_policy 'lcs', memtable_size_mb '1');
CREATE SERVER flow3 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (merge_policy 'twcs', data_dir 'third');
CREATE TABLE twins (name text PRIMARY KEY);
CREATE TABLE xlog (client int, i int, PRIMARY KEY (client, i));
CREATE FOREIGN TABLE acks (client int OPTIONS (role 'key') NOT NULL,
    i bigint OPTIONS (role 'time') NOT NULL) SERVER flow2;
EOC
    return join('', $sql, twin_function(), $differ, $walk, map { create_twin($_) } @tables);
}

1;
