-- Predicates on value columns: what the engine applies, and that the rows are
-- those of a heap twin, whatever the type, operator and value.
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO, YMD';
CREATE SERVER val FOREIGN DATA WRAPPER flowdb_fdw;
CREATE TYPE val_mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE val_mood ADD VALUE 'angry' BEFORE 'sad';
CREATE DOMAIN val_small AS int CHECK (value < 1000000);
CREATE TYPE val_pair AS (a int, b int);
CREATE FOREIGN TABLE f (k int, ts bigint, gone int, i2 int2, i4 int4, i8 int8, r float4, d float8, b bool, dt date,
  t timestamp, tz timestamptz, tm time, c "char", o oid, e val_mood, m money, l pg_lsn, dom val_small, tx text, n numeric, p val_pair)
  SERVER val OPTIONS (key_columns 'k', time_column 'ts');
ALTER FOREIGN TABLE f DROP COLUMN gone;
CREATE TABLE h (k int, ts bigint, i2 int2, i4 int4, i8 int8, r float4, d float8, b bool, dt date,
  t timestamp, tz timestamptz, tm time, c "char", o oid, e val_mood, m money, l pg_lsn, dom val_small, tx text, n numeric, p val_pair);

-- The values that columns have and are compared with; NULL, for the element
-- that is not there.
CREATE TABLE vals (col text, typ text, vals text[]);
INSERT INTO vals VALUES
  ('i2', 'int2', '{-32768,-1,0,1,2,32767}'),
  ('i2', 'int4', '{-32769,-32768,0,1,32767,32768}'),
  ('i2', 'int8', '{-3000000000,0,2,3000000000}'),
  ('i4', 'int4', '{-2147483648,-1,0,1,7,2147483647}'),
  ('i4', 'int2', '{-1,7,32767}'),
  ('i4', 'int8', '{-2147483649,-2147483648,0,7,2147483647,2147483648}'),
  ('i8', 'int8', '{-9223372036854775808,-4294967296,-1,0,1,4294967296,9223372036854775807}'),
  ('i8', 'int4', '{-1,0,2147483647}'),
  ('i8', 'int2', '{-1,0,1}'),
  ('r', 'float4', '{-Infinity,-3.4028235e38,-0.1,-0,0,1e-45,0.1,3,Infinity,NaN}'),
  ('r', 'float8', '{-Infinity,-1e300,-0.1,-0,0,1e-60,0.1,0.10000000149011612,3,1e300,Infinity,NaN}'),
  ('d', 'float8', '{-Infinity,-1.7e308,-0.1,-0,0,5e-324,0.1,0.30000000000000004,3,1.7e308,Infinity,NaN}'),
  ('d', 'float4', '{-Infinity,-0,0.1,3,Infinity,NaN}'),
  ('b', 'bool', '{t,f}'),
  ('dt', 'date', '{-infinity,4713-01-01 BC,1999-12-31,2000-01-01,2024-03-31,5874897-12-31,infinity}'),
  ('dt', 'timestamp', '{-infinity,2000-01-01,2000-01-01 00:00:00.000001,1999-12-31 23:59:59,294276-12-31,infinity}'),
  ('dt', 'timestamptz', '{-infinity,2000-01-01,2024-03-31 03:00,infinity}'),
  ('t', 'timestamp', '{-infinity,4713-01-01 00:00:00 BC,2000-01-01,2024-03-31 02:30,294276-12-31 23:59:59.999999,infinity}'),
  ('t', 'date', '{-infinity,2000-01-01,2024-03-31,5874897-12-31,infinity}'),
  ('t', 'timestamptz', '{2000-01-01,2024-03-31 03:30}'),
  ('tz', 'timestamptz', '{-infinity,4713-01-01 00:00:00 BC,2000-01-01,2024-03-31 03:30,294276-12-31 23:59:59.999999,infinity}'),
  ('tz', 'timestamp', '{-infinity,2000-01-01,2024-03-31 02:30,infinity}'),
  ('tz', 'date', '{-infinity,2000-01-01,2024-03-31,5874897-12-31,infinity}'),
  ('tm', 'time', '{00:00,12:00:00.000001,23:59:59.999999,24:00}'),
  ('c', '"char"', '{a,b,\"\\200\",\"\\377\",\"\"}'),
  ('o', 'oid', '{0,1,2147483647,2147483648,4294967295}'),
  ('e', 'val_mood', '{angry,sad,ok,happy}'),
  ('m', 'money', '{-92233720368547758.08,0,0.01,5}'),
  ('l', 'pg_lsn', '{0/0,0/1,7FFFFFFF/FFFFFFFF,80000000/0,FFFFFFFF/FFFFFFFF}'),
  ('dom', 'int4', '{-1,0,1,999999}'),
  ('dom', 'int8', '{-1,5000000000}');

-- Rows that take their values from the lists, every seventh of each is NULL.
CREATE FUNCTION pick(column_name text, i int) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN (i * 5 + length(col) + ascii(col)) % 7 > 0
    THEN vals[1 + (i * 31 + i / 13 + ascii(col)) % cardinality(vals)] END FROM vals WHERE col = column_name LIMIT 1
$$;
CREATE FUNCTION make_rows(first int, last int) RETURNS SETOF h LANGUAGE sql AS $$
  SELECT i % 10, i, pick('i2', i)::int2, pick('i4', i)::int4, pick('i8', i)::int8, pick('r', i)::float4,
    pick('d', i)::float8, pick('b', i)::bool, pick('dt', i)::date, pick('t', i)::timestamp, pick('tz', i)::timestamptz,
    pick('tm', i)::time, pick('c', i)::"char", pick('o', i)::oid, pick('e', i)::val_mood, pick('m', i)::money,
    pick('l', i)::pg_lsn, pick('dom', i)::val_small, CASE WHEN i % 3 > 0 THEN repeat('x', i % 200) END, i / 10.0,
    CASE i % 4 WHEN 0 THEN (1, NULL)::val_pair WHEN 1 THEN (NULL, NULL)::val_pair WHEN 2 THEN (1, 2)::val_pair END
  FROM generate_series(first, last) i
$$;
INSERT INTO h SELECT * FROM make_rows(1, 1500);
-- In SSTables, half of it written again and so in two; in memory; and, below,
-- in a transaction.  Some is deleted, some was written with other values.
INSERT INTO f SELECT k, ts, i2, i4, i8, r, d, b FROM make_rows(1, 800);
INSERT INTO f SELECT * FROM make_rows(5000, 5100);
SELECT flowdb_flush('val');
INSERT INTO f SELECT * FROM make_rows(1, 1000);
DELETE FROM f WHERE ts >= 5000;
SELECT flowdb_flush('val');
INSERT INTO f SELECT * FROM make_rows(900, 1300);

-- The rows that a predicate leaves, by their times.
CREATE FUNCTION rows_of(tab text, pred text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('SELECT count(*) || '':'' || coalesce(md5(string_agg(ts::text, '','' ORDER BY ts)), '''') FROM %s WHERE %s',
    tab, pred) INTO result;
  RETURN result;
END $$;
-- The same with $1 as a parameter of a generic plan.
CREATE FUNCTION generic_rows_of(tab text, pred text, typ text, val text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('PREPARE generic(%s) AS SELECT count(*) || '':'' || '
    'coalesce(md5(string_agg(ts::text, '','' ORDER BY ts)), '''') FROM %s WHERE %s', typ, tab, pred);
  EXECUTE format('EXECUTE generic(%L)', val) INTO result;
  DEALLOCATE generic;
  RETURN result;
END $$;

-- All columns, values and operators; constants and parameters.  What is not
-- pushed, and how many are.
CREATE FUNCTION check_all(OUT checked int, OUT with_rows int, OUT not_pushed text) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  expected text;
  pred text;
  kept text[] := '{}';
BEGIN
  checked := 0;
  with_rows := 0;
  FOR c IN SELECT col, typ, op, v, commuted FROM vals, unnest(vals || NULL::text) v, (VALUES (false), (true)) x (commuted),
    unnest('{<,<=,=,>=,>,<>}'::text[]) op ORDER BY 1, 2, 3, 4, 5 LOOP
    pred := CASE WHEN c.commuted THEN format('%L::%s %s %s', c.v, c.typ, c.op, c.col)
      ELSE format('%s %s %L::%s', c.col, c.op, c.v, c.typ) END;
    expected := rows_of('h', pred);
    IF rows_of('f', pred) <> expected THEN
      RAISE WARNING 'differs: %', pred;
    END IF;
    IF generic_rows_of('f', format('%s %s $1', c.col, c.op), c.typ, c.v) <> rows_of('h', format('%s %s %L::%s', c.col, c.op, c.v, c.typ)) THEN
      RAISE WARNING 'differs with a parameter: %', pred;
    END IF;
    IF c.v IS NOT NULL AND plan_of('SELECT FROM f WHERE ' || pred) ~ '^Filter' THEN
      kept := kept || format('%s %s %s', c.col, c.op, c.typ);
    END IF;
    checked := checked + 1;
    with_rows := with_rows + (expected NOT LIKE '0:%')::int;
  END LOOP;
  SELECT string_agg(DISTINCT x, E'\n' ORDER BY x) INTO not_pushed FROM unnest(kept) x;
END $$;
SET plan_cache_mode = force_generic_plan;
\pset format unaligned
BEGIN;
INSERT INTO f SELECT * FROM make_rows(1250, 1500);
SELECT * FROM check_all();
COMMIT;

-- Sets of values, from a few to many.
CREATE FUNCTION check_sets(OUT checked int, OUT not_pushed text) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  arr text;
  n int;
  kept text[] := '{}';
BEGIN
  checked := 0;
  FOR c IN SELECT * FROM vals ORDER BY 1, 2 LOOP
    FOREACH n IN ARRAY '{0,1,2,3,20}'::int[] LOOP
      SELECT coalesce(array_agg(v), '{}')::text INTO arr
        FROM (SELECT c.vals[1 + i * 3 % cardinality(c.vals)] v FROM generate_series(1, n) i
          UNION ALL SELECT NULL WHERE n > 2) x;
      FOREACH arr IN ARRAY ARRAY[format('%s = ANY (%L::%s[])', c.col, arr, c.typ), format('NOT (%s = ANY (%L::%s[]))', c.col, arr, c.typ)] LOOP
        IF rows_of('f', arr) <> rows_of('h', arr) THEN
          RAISE WARNING 'differs: %', arr;
        END IF;
        IF n > 0 AND arr NOT LIKE 'NOT%' AND plan_of('SELECT FROM f WHERE ' || arr) ~ '^Filter' THEN
          kept := kept || format('%s %s', c.col, c.typ);
        END IF;
        checked := checked + 1;
      END LOOP;
    END LOOP;
  END LOOP;
  SELECT string_agg(DISTINCT x, E'\n' ORDER BY x) INTO not_pushed FROM unnest(kept) x;
END $$;
SELECT * FROM check_sets();
-- More values than are looked through one by one.
SELECT rows_of('f', 'i8 IN (SELECT 1) OR i4 = 7') = rows_of('h', 'i8 IN (SELECT 1) OR i4 = 7') AS same;
SELECT format('%s = ANY (ARRAY(SELECT x::%s FROM generate_series(-500, 500) x))', c, t) AS pred FROM
  (VALUES ('i2', 'int2'), ('i4', 'int8'), ('i8', 'int8'), ('r', 'float4'), ('d', 'float8')) x (c, t)
  WHERE rows_of('f', format('%s = ANY (ARRAY(SELECT x::%s FROM generate_series(-500, 500) x))', c, t)) <>
    rows_of('h', format('%s = ANY (ARRAY(SELECT x::%s FROM generate_series(-500, 500) x))', c, t));

-- Other clauses.
CREATE TABLE preds (id serial, pred text);
INSERT INTO preds (pred) VALUES
  ($$i4 IS NULL$$), ($$i4 IS NOT NULL$$), ($$tx IS NULL$$), ($$tx IS NOT NULL$$), ($$n IS NULL$$), ($$dom IS NOT NULL$$),
  ($$p IS NULL$$), ($$p IS NOT NULL$$), ($$f IS NOT NULL$$),
  ($$b$$), ($$NOT b$$), ($$b IS TRUE$$), ($$b IS FALSE$$), ($$b IS NOT TRUE$$), ($$b IS NOT FALSE$$), ($$b IS UNKNOWN$$),
  ($$b IS NOT UNKNOWN$$), ($$b = true$$), ($$b <> true$$), ($$b = (i4 > 0)$$),
  ($$i4 BETWEEN 0 AND 7$$), ($$i4 NOT BETWEEN 0 AND 7$$), ($$7 >= i4 AND i4 > -1$$), ($$NOT (i4 > 1)$$),
  ($$d > 0 AND d < 'NaN' AND r IS NOT NULL$$), ($$d > 90$$), ($$r > 90$$), ($$d = 3 OR d = 0.1$$), ($$3 = d OR d IN (0.1, 'NaN') OR d = NULL$$),
  ($$i4 = 1 OR i8 = 1$$), ($$i4 = 1 OR i4 > 6$$), ($$i4 = 1 OR i4 IS NULL$$), ($$i4 IN (1, 7) AND k = 3$$), ($$k = 3 AND ts > 700 AND d > 0$$),
  ($$i4 IS DISTINCT FROM 1$$), ($$i4 IS NOT DISTINCT FROM 1$$), ($$i4 NOT IN (1, 7)$$), ($$i4 > ANY ('{1,7}')$$), ($$i4 > ALL ('{1,7}')$$),
  ($$i4 = 1.0$$), ($$i4 % 5 = 2$$), ($$i4 = i2$$), ($$sign(i4) = 1$$), ($$i4::oid = 1$$), ($$o::int8 = 1$$), ($$c::text = 'a'$$), ($$dom > 0$$),
  ($$(i4, i8) = (1, 1)$$), ($$(i4, i8) > (0, 0)$$), ($$tx = 'x'$$), ($$tx LIKE 'x%'$$), ($$n > 50$$),
  ($$tz > now() - interval '60 years'$$), ($$t > localtimestamp - interval '60 years'$$), ($$dt = current_date$$),
  ($$i4 = (random() * 0)::int$$), ($$i4 = (SELECT 7)$$), ($$i4 = ANY (ARRAY(SELECT 1))$$),
  ($$i4 > 0 AND pg_typeof(k)::text = 'integer'$$), ($$tx IS NULL AND i4 > 0 AND b$$), ($$NULL$$), ($$i4 > NULL$$), ($$i4 = ANY (NULL)$$),
  ($$tableoid <> 0 AND i4 = 1$$);
SELECT pred, regexp_replace(plan_of('SELECT FROM f WHERE ' || pred), CASE WHEN pred ~ ' OR ' THEN ': .*' ELSE 'InitPlan.*' END, '') AS plan, split_part(rows_of('f', pred), ':', 1) AS rows,
  rows_of('f', pred) = rows_of(CASE WHEN pred ~ '^f ' THEN 'h f' ELSE 'h' END, pred) AS same FROM preds ORDER BY id;

-- The same from files alone, backwards, with a LIMIT.
SELECT flowdb_flush('val');
SELECT pred FROM preds WHERE rows_of('f', pred) <> rows_of(CASE WHEN pred ~ '^f ' THEN 'h f' ELSE 'h' END, pred);
SELECT * FROM check_all();
CREATE FUNCTION in_order(pred text, tail text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
  ours text;
  theirs text;
BEGIN
  EXECUTE format('SELECT string_agg(ts::text, '','') FROM (SELECT ts FROM f WHERE %s %s) x', pred, tail) INTO ours;
  EXECUTE format('SELECT string_agg(ts::text, '','') FROM (SELECT ts FROM h f WHERE %s %s) x', pred, tail) INTO theirs;
  RETURN ours IS NOT DISTINCT FROM theirs;
END $$;
SELECT pred, tail FROM preds, (VALUES ('ORDER BY k DESC, ts DESC'), ('ORDER BY k, ts LIMIT 1'), ('ORDER BY k DESC, ts DESC LIMIT 40'),
  ('ORDER BY k, ts OFFSET 30 LIMIT 200')) x (tail) WHERE NOT in_order(pred, tail);


-- Written by a filter on what is there.
UPDATE f SET i4 = i4 + 1, d = 0 WHERE i4 BETWEEN 0 AND 7 AND d > 0;
UPDATE h SET i4 = i4 + 1, d = 0 WHERE i4 BETWEEN 0 AND 7 AND d > 0;
DELETE FROM f WHERE r = 'NaN' AND b;
DELETE FROM h WHERE r = 'NaN' AND b;
SELECT pred FROM preds WHERE rows_of('f', pred) <> rows_of(CASE WHEN pred ~ '^f ' THEN 'h f' ELSE 'h' END, pred);

-- Errors of a value are raised, as by a heap.
SELECT count(*) FROM f WHERE i4 = 1 / (SELECT 0);
RESET plan_cache_mode;
DROP SERVER val CASCADE;
DROP FUNCTION pick, make_rows, plan_of, rows_of, generic_rows_of, check_all, check_sets, in_order;
DROP TABLE h, vals, preds;
DROP DOMAIN val_small;
DROP TYPE val_mood, val_pair;
