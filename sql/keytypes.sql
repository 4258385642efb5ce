-- Key columns of every type: what is stored comes back, in the order and with
-- the comparisons of a heap table that has the same rows (texts under "C").
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
CREATE SERVER kt FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SCHEMA kt;
SET search_path = kt, public;

-- Values that a type may get wrong.
CREATE TABLE samples (type text, value text, n int, late bool DEFAULT false);
INSERT INTO samples
SELECT type, u.* FROM (VALUES
  ('text', ARRAY['', 'a', 'A', 'aa', 'a b', 'ab', 'b', 'zz', E'\x01', E'\x7f', 'é', 'z', '日本', '😀', E'\uFFFF', repeat('x', 300)]),
  ('varchar(5)', ARRAY['', 'a', 'abcde', 'é', 'éé']),
  ('bytea', ARRAY['\x', '\x00', '\x0000', '\x0001', '\x00ff', '\x01', '\x6100', '\x61', '\x6161', '\x7f', '\x80', '\xff', '\xff00', '\xffff']),
  ('smallint', ARRAY['-32768', '-32767', '-257', '-256', '-1', '0', '1', '255', '256', '32766', '32767']),
  ('integer', ARRAY['-2147483648', '-2147483647', '-32769', '-32768', '-1', '0', '1', '255', '256', '32767', '32768', '2147483647']),
  ('bigint', ARRAY['-9223372036854775808', '-9223372036854775807', '-2147483649', '-2147483648', '-32769', '-1', '0', '1', '256', '32768', '2147483647', '2147483648', '9223372036854775806', '9223372036854775807']),
  ('boolean', ARRAY['false', 'true']),
  ('uuid', ARRAY['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001', '00ff0000-0000-0000-0000-000000000000', '7fffffff-ffff-ffff-ffff-ffffffffffff', '80000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-fffffffffffe', 'ffffffff-ffff-ffff-ffff-ffffffffffff']),
  ('date', ARRAY['-infinity', '4714-11-24 BC', '0001-12-31 BC', '0001-01-01', '1969-12-31', '1970-01-01', '1999-12-31', '2000-01-01', '2000-01-02', '2024-02-29', '294276-12-31', '294277-01-01', '5874897-12-31', 'infinity']),
  ('timestamp', ARRAY['-infinity', '4714-11-24 BC', '0001-12-31 23:59:59.999999 BC', '1969-12-31 23:59:59.999999', '1970-01-01', '1999-12-31 23:59:59.999999', '2000-01-01', '2000-01-01 00:00:00.000001', '2000-01-01 12:00', '2000-01-02', '2024-02-29 12:34:56', '294247-01-10 04:00:54.775806', '294247-01-10 04:00:54.775808', '294276-12-31 23:59:59.999999', 'infinity']),
  ('timestamptz', ARRAY['-infinity', '4714-11-24 00:00+00 BC', '0001-12-31 23:59:59.999999+00 BC', '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00+00', '2000-01-01 00:00+00', '2000-01-01 00:00:00.000001+00', '2000-01-01 05:00+00', '2000-01-02 00:00+00', '2024-02-29 12:34:56+00', '294247-01-10 04:00:54.775806+00', '294247-01-10 04:00:54.775808+00', '294276-12-31 23:59:59.999999+00', 'infinity'])
  ) AS s (type, values), unnest(values) WITH ORDINALITY u;
-- Times are kept in 64 bits from 1970 on.
UPDATE samples SET late = true WHERE value ~ '294247.*808|294276|294277|5874897';

-- A foreign table f and a heap table h with key columns k1.. of these types
-- (and a time column if ts is given), and all combinations of their samples;
-- of several columns the ends and every nth only.
CREATE PROCEDURE make(types text[], ts text DEFAULT NULL, nth int DEFAULT 1) LANGUAGE plpgsql AS $$
DECLARE
  all_types text[] := CASE WHEN ts IS NULL THEN types ELSE types || ts END;
  names text[] := (SELECT array_agg('k' || i ORDER BY i) FROM generate_series(1, cardinality(all_types)) i);
  columns text := (SELECT string_agg(format('%s %s %s', n, t, CASE WHEN t ~ 'text|char' THEN 'COLLATE "C"' END), ', ')
    FROM unnest(names, all_types) u (n, t));
  crossed text := (SELECT string_agg(format('(SELECT value::%s AS %s FROM samples WHERE type = %L %s %s) AS s%s',
      t, n, t, CASE WHEN i > cardinality(types) THEN 'AND NOT late' END, CASE WHEN nth > 1 THEN format('AND (n %% %s = 1 OR n = (SELECT max(n) FROM samples WHERE type = %L))', nth, t) END, n), ', ')
    FROM unnest(names, all_types) WITH ORDINALITY u (n, t, i));
BEGIN
  DROP FOREIGN TABLE IF EXISTS f;
  DROP TABLE IF EXISTS h;
  EXECUTE format('CREATE FOREIGN TABLE f (%s, v int) SERVER kt OPTIONS (key_columns %L%s)', columns,
    array_to_string(names[:cardinality(types)], ','),
    CASE WHEN ts IS NOT NULL THEN format(', time_column %L', names[cardinality(names)]) END);
  EXECUTE format('CREATE TABLE h (%s, v int)', columns);
  EXECUTE format('INSERT INTO h SELECT *, row_number() OVER (ORDER BY random()) FROM %s', crossed);
  INSERT INTO f SELECT * FROM h ORDER BY v;
END $$;

-- The same rows, in the same order?  The engine's own order is that of the
-- columns.  What differs is told.
CREATE FUNCTION same_order() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  names text := (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'h'::regclass AND attnum > 0 AND attname <> 'v');
  result text;
BEGIN
  EXECUTE format($q$
    SELECT string_agg(x::text || '<>' || y::text, ' ') FILTER (WHERE x IS DISTINCT FROM y)
    FROM (SELECT row_number() OVER () n, row(f.*)::text x FROM f) a
    FULL JOIN (SELECT row_number() OVER () n, y FROM (SELECT row(h.*)::text y FROM h ORDER BY %s) o) b USING (n)
    $q$, names) INTO result;
  IF result IS NULL THEN
    EXECUTE format($q$
      SELECT string_agg(x::text || '<>' || y::text, ' ') FILTER (WHERE x IS DISTINCT FROM y)
      FROM (SELECT row_number() OVER () n, x FROM (SELECT row(f.*)::text x FROM f ORDER BY %1$s DESC) o) a
      FULL JOIN (SELECT row_number() OVER () n, y FROM (SELECT row(h.*)::text y FROM h ORDER BY %1$s DESC) o) b USING (n)
      $q$, regexp_replace(names, ',', ' DESC,', 'g')) INTO result;
  END IF;
  RETURN coalesce(result, 'same');
END $$;

-- The rows for which a clause holds, or the error.
CREATE FUNCTION rows_of(rel regclass, clause text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result int[];
BEGIN
  EXECUTE format('SELECT array_agg(v ORDER BY v) FROM %s WHERE %s', rel, clause) INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;

-- Do all comparisons of a column with all samples of a type select the same
-- rows?  Counts the comparisons; what differs is told.
CREATE FUNCTION same_rows(col text, value_type text, before text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  clause text;
  fv text;
  hv text;
  n int := 0;
  wrong text := '';
BEGIN
  FOR clause IN
    SELECT format(c, col, value, value_type, other) FROM (
      SELECT value, coalesce(lead(value) OVER (), first_value(value) OVER ()) AS other FROM samples WHERE type = value_type) s,
      unnest(ARRAY['%1$s < %2$L::%3$s', '%1$s <= %2$L::%3$s', '%1$s = %2$L::%3$s', '%1$s >= %2$L::%3$s', '%1$s > %2$L::%3$s',
        '%2$L::%3$s > %1$s', '%1$s <> %2$L::%3$s', '%1$s IN (%2$L::%3$s, %4$L::%3$s)', '%1$s = ANY (ARRAY[NULL, %4$L, %2$L]::%3$s[])', '%1$s NOT IN (%2$L::%3$s, %4$L::%3$s)',
        '(%1$s = %2$L::%3$s OR %1$s = %4$L::%3$s)', '(%1$s < %2$L::%3$s OR %1$s >= %4$L::%3$s)', '%1$s > ANY (ARRAY[%2$L, %4$L]::%3$s[])',
        '%1$s BETWEEN %2$L::%3$s AND (SELECT %1$s FROM h ORDER BY %1$s DESC OFFSET 1 LIMIT 1)']) c
  LOOP
    fv := rows_of('f', before || ' ' || clause);
    hv := rows_of('h', before || ' ' || clause);
    n := n + 1;
    IF fv IS DISTINCT FROM hv THEN
      wrong := wrong || format(E'\n%s: %s, not %s', clause, fv, hv);
    END IF;
  END LOOP;
  RETURN n || ' comparisons' || coalesce(nullif(wrong, ''), ', same');
END $$;

-- One column of each type, in memory and in an SSTable.
CREATE FUNCTION try_type(type text) RETURNS TABLE (kind text, rows bigint, ordered text, compared text, flushed text) LANGUAGE plpgsql AS $$
BEGIN
  CALL make(ARRAY[type]);
  SELECT type, count(*), same_order(), same_rows('k1', type) FROM f INTO kind, rows, ordered, compared;
  PERFORM flowdb_flush('kt');
  SELECT same_order() || ', ' || same_rows('k1', type) INTO flushed;
  RETURN NEXT;
END $$;
\set types '(SELECT type, min(ctid) AS n FROM samples GROUP BY type)'
SELECT t.* FROM :types x, try_type(type) t ORDER BY x.n;

-- Columns of other types behind and before.
CREATE FUNCTION try_types(VARIADIC types text[]) RETURNS TABLE (kinds text, rows bigint, ordered text, first text, next text, flushed text) LANGUAGE plpgsql AS $$
DECLARE
  value text;
BEGIN
  CALL make(types, nth => 2);
  SELECT count(*), min(k1::text COLLATE "C") FROM h INTO rows, value;
  kinds := array_to_string(types, ', ');
  ordered := same_order();
  first := same_rows('k1', types[1]);
  next := same_rows('k2', types[2], format('k1 = %L::%s AND', value, types[1]));
  PERFORM flowdb_flush('kt');
  flushed := same_order() || ', ' || same_rows('k2', types[2], format('k1 = %L::%s AND', value, types[1]));
  RETURN NEXT;
END $$;
SELECT t.* FROM (SELECT row_number() OVER (ORDER BY n) AS i, type FROM :types t) a
  JOIN (SELECT row_number() OVER (ORDER BY n) AS i, type FROM :types t) b ON b.i IN ((a.i + 2) % 11 + 1, a.i % 11 + 1),
  try_types(a.type, b.type) t ORDER BY a.i, b.i;
SELECT t.* FROM (VALUES ('text', 'integer', 'text'), ('bytea', 'bytea', 'bytea'), ('boolean', 'text', 'uuid'),
  ('date', 'bytea', 'timestamptz'), ('bigint', 'smallint', 'timestamp')) c (a, b, c), try_types(a, b, c) t;

-- Values of other types.
CREATE FUNCTION try_cross(type text, value_type text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CALL make(ARRAY[type]);
  RETURN same_rows('k1', value_type);
END $$;
\set integers '(VALUES (1, \'smallint\'), (2, \'integer\'), (3, \'bigint\'))'
\set datetimes '(VALUES (1, \'date\'), (2, \'timestamp\'), (3, \'timestamptz\'))'
SELECT a.type, b.type AS beside, try_cross(a.type, b.type)
  FROM :integers a (i, type), :integers b (i, type) WHERE a.i <> b.i ORDER BY a.i, b.i;
SELECT a.type, b.type AS beside, try_cross(a.type, b.type)
  FROM :datetimes a (i, type), :datetimes b (i, type) WHERE a.i <> b.i ORDER BY a.i, b.i;


-- Time columns; what is too late for them lies before infinity.
CREATE FUNCTION try_time(type text, value_type text) RETURNS TABLE (kind text, beside text, ordered text, compared text, of_a_key text) LANGUAGE plpgsql AS $$
BEGIN
  CALL make(ARRAY['boolean'], type);
  SELECT type, value_type, same_order(), same_rows('k2', value_type), same_rows('k2', value_type, 'k1 AND')
    INTO kind, beside, ordered, compared, of_a_key;
  RETURN NEXT;
END $$;
SELECT t.* FROM :integers i (i, type), try_time('bigint', type) t ORDER BY i;
SELECT t.* FROM :datetimes a (i, type), :datetimes b (i, type), try_time(a.type, b.type) t ORDER BY a.i, b.i;

-- Where clocks are changed local times are not in the order of UTC: a spring
-- and an autumn of New York, the day that Samoa left out, a zone that is
-- nearly a week from UTC and changes by days.
INSERT INTO samples (type, value)
SELECT 'timestamp', t::text FROM generate_series('2024-03-10 01:00'::timestamp, '2024-03-10 04:00', '15 min') t UNION ALL
SELECT 'timestamptz', t::text FROM generate_series('2024-03-10 05:30+00'::timestamptz, '2024-03-10 08:30+00', '15 min') t UNION ALL
SELECT 'timestamp', t::text FROM generate_series('2024-11-03 00:00'::timestamp, '2024-11-03 03:00', '15 min') t UNION ALL
SELECT 'timestamptz', t::text FROM generate_series('2024-11-03 04:00+00'::timestamptz, '2024-11-03 08:00+00', '15 min') t UNION ALL
SELECT 'date', t::date::text FROM generate_series('2011-12-28'::date, '2012-01-01', '1 day') t UNION ALL
SELECT 'timestamp', t::text FROM generate_series('2011-12-29'::timestamp, '2012-01-01', '6 hours') t UNION ALL
SELECT 'timestamptz', t::text FROM generate_series('2011-12-29 10:00+00'::timestamptz, '2011-12-31 10:00+00', '6 hours') t UNION ALL
SELECT 'date', t::date::text FROM generate_series('2024-03-01'::date, '2024-03-20', '1 day') t UNION ALL
SELECT 'timestamptz', t::text FROM generate_series('2024-03-04 00:00+00'::timestamptz, '2024-03-16 00:00+00', '13 hours') t;
CREATE FUNCTION try_zone(zone text) RETURNS TABLE (timezone text, type text, beside text, compared text, as_time text) LANGUAGE plpgsql AS $$
BEGIN
  timezone := zone;
  FOR type, beside IN SELECT a, b FROM unnest(ARRAY['date', 'timestamp', 'timestamptz']) a, unnest(ARRAY['date', 'timestamp', 'timestamptz']) b
    WHERE a <> b AND 'timestamptz' IN (a, b)
  LOOP
    PERFORM set_config('timezone', zone, false);
    compared := try_cross(type, beside);
    as_time := (try_time(type, beside)).compared;
    SET timezone = 'UTC';
    RETURN NEXT;
  END LOOP;
END $$;
SELECT * FROM try_zone('America/New_York');
SELECT * FROM try_zone('Pacific/Apia');
SELECT * FROM try_zone('AAA+150BBB+10,M3.2.0/2,M11.1.0/2');
SELECT * FROM try_zone('Asia/Kathmandu');

-- The zone counts when a plan is executed, and each time a join's inner side
-- begins again.
SET timezone = 'America/New_York';
CALL make(ARRAY['timestamp']);
SET plan_cache_mode = force_generic_plan;
PREPARE fq(timestamptz, timestamptz) AS SELECT array_agg(v ORDER BY v) FROM f WHERE k1 BETWEEN $1 AND $2;
PREPARE hq(timestamptz, timestamptz) AS SELECT array_agg(v ORDER BY v) FROM h WHERE k1 BETWEEN $1 AND $2;
CREATE TABLE answers (zone text, f int[], h int[]);
SELECT unnest(ARRAY[format('SET timezone = %L', z),
    'CREATE TEMP TABLE a AS EXECUTE fq(''2024-03-10 06:30+00'', ''2024-11-03 05:30+00'')',
    'CREATE TEMP TABLE b AS EXECUTE hq(''2024-03-10 06:30+00'', ''2024-11-03 05:30+00'')',
    format('INSERT INTO answers SELECT %L, a.*, b.* FROM a, b', z), 'DROP TABLE a, b'])
  FROM unnest(ARRAY['UTC', 'America/New_York', 'Pacific/Apia', 'Asia/Kathmandu']) z \gexec
SELECT zone, cardinality(f) AS rows, f = h AS same FROM answers;
RESET plan_cache_mode;
SET timezone = 'America/New_York';
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*), (SELECT count(*) FROM samples s JOIN h ON h.k1 = s.value::timestamptz WHERE s.type = 'timestamptz') AS of_a_heap
  FROM samples s JOIN f ON f.k1 = s.value::timestamptz WHERE s.type = 'timestamptz';
SELECT count(*), (SELECT count(*) FROM samples s JOIN h ON h.k1 > s.value::timestamptz WHERE s.type = 'timestamptz') AS of_a_heap
  FROM samples s JOIN f ON f.k1 > s.value::timestamptz WHERE s.type = 'timestamptz';
