-- Groups in the order of their buckets, window of time by window, beside a
-- heap twin.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET jit = off;
CREATE SERVER aggo FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE fo (k int, ts timestamptz, v int, f float8) SERVER aggo OPTIONS (key_columns 'k', time_column 'ts', store 'o');
CREATE TABLE ho (LIKE fo);

-- What EXPLAIN says; a limit makes the order worth it, no limit does not.
INSERT INTO fo SELECT i % 20, '2024-01-01'::timestamptz + i / 20 * interval '10 s', i, i FROM generate_series(0, 99999) i;
SELECT flowdb_flush('aggo');
EXPLAIN (COSTS OFF) SELECT date_bin('1 min', ts, '2000-01-01') AS m, max(v) FROM fo WHERE ts < '2024-01-01 12:00' GROUP BY m ORDER BY m DESC LIMIT 5;
EXPLAIN (COSTS OFF) SELECT date_bin('1 min', ts, '2000-01-01') AS m, max(v) FROM fo GROUP BY m ORDER BY m LIMIT 5;
EXPLAIN (COSTS OFF) SELECT date_trunc('hour', ts) AS m, k, max(v) FROM fo GROUP BY m, k ORDER BY m DESC, k LIMIT 5;
EXPLAIN (COSTS OFF) SELECT date_trunc('hour', ts) AS m, max(v) FROM fo GROUP BY m ORDER BY m;
CREATE FUNCTION windows(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN SELECT explain(query, ', ANALYZE, TIMING OFF, SUMMARY OFF') LOOP
    IF line ~ '(rows=|Windows|FlowDB Rows)' THEN
      RETURN NEXT line;
    END IF;
  END LOOP;
END $$;
SELECT windows('SELECT date_bin(''1 min'', ts, ''2000-01-01'') AS m, max(v) FROM fo GROUP BY m ORDER BY m DESC LIMIT 5 OFFSET 3');
SELECT windows('SELECT date_bin(''1 min'', ts, ''2000-01-01'') AS m, max(v) FROM fo GROUP BY m ORDER BY m LIMIT 5 OFFSET 3');
-- HAVING leaves the first windows without a group
SELECT windows('SELECT date_bin(''1 min'', ts, ''2000-01-01'') AS m, max(v) FROM fo GROUP BY m HAVING max(v) < 99000 ORDER BY m DESC LIMIT 1');
-- a long stretch of nothing
INSERT INTO fo VALUES (3, '2025-01-01', 1, 1), (3, '2023-01-01', 1, 1);
SELECT w FROM windows('SELECT date_bin(''1 min'', ts, ''2000-01-01'') AS m, max(v) FROM fo GROUP BY m ORDER BY m DESC LIMIT 2') w WHERE w ~ 'Windows';
SELECT w FROM windows('SELECT date_bin(''1 min'', ts, ''2000-01-01'') AS m, max(v) FROM fo GROUP BY m ORDER BY m LIMIT 4') w WHERE w ~ 'Windows';
-- not by what is no constant, or would be an error
PREPARE p(interval) AS SELECT date_bin($1, ts, '2000-01-01') AS m, max(v) FROM fo GROUP BY m ORDER BY m DESC LIMIT 5;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p('1 min');
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) SELECT date_bin('1 month', ts, '2000-01-01') AS m, max(v) FROM fo WHERE k = -1 GROUP BY m ORDER BY m DESC LIMIT 5;
SELECT date_bin('1 month', ts, '2000-01-01') AS m, max(v) FROM fo WHERE k = -1 GROUP BY m ORDER BY m DESC LIMIT 5;
SELECT flowdb_time_bucket('0 min', ts) AS m, max(v) FROM fo WHERE k = -1 GROUP BY m ORDER BY m DESC LIMIT 5;
SELECT date_trunc('nonsense', ts) AS m, max(v) FROM fo WHERE k = -1 GROUP BY m ORDER BY m DESC LIMIT 5;
TRUNCATE fo;

-- From here on the order is the node's, whatever it costs.
SET enable_sort = off;
CREATE FUNCTION same(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  of_f text;
  of_h text;
  line text;
  ordered boolean := false;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || format(query, 'fo') LOOP
    ordered := ordered OR line ~ 'FlowDB Order';
  END LOOP;
  -- of one key PostgreSQL may as well group rows that come in order
  IF NOT ordered AND query !~ ' k = 3' THEN
    RAISE WARNING 'not in order: %', query;
  END IF;
  EXECUTE 'SELECT string_agg(x::text, E''\n'') FROM (' || format(query, 'fo') || ') x' INTO of_f;
  EXECUTE 'SELECT string_agg(x::text, E''\n'') FROM (' || format(query, 'ho') || ') x' INTO of_h;
  IF of_f IS DISTINCT FROM of_h THEN
    RAISE WARNING E'% differs:\n%\ninstead of\n%', query, left(of_f, 2000), left(of_h, 2000);
  END IF;
  RETURN of_f IS NOT DISTINCT FROM of_h;
END $$;
CREATE TABLE shapes (n serial, query text);
INSERT INTO shapes (query)
  SELECT replace(replace(replace(q, '@', 'SELECT ' || b || ' AS b'), '^', 'ORDER BY b ' || split_part(d, ' LIMIT', 1)), '#', substring(d FROM 'LIMIT.*|$'))
  FROM unnest(ARRAY[
      '@, count(*), sum(v), min(ts), max(k), round(avg(f)::numeric, 6) FROM %s GROUP BY b ^ #',
      '@, k, count(*), max(v) FROM %s GROUP BY b, k ^, k #',
      '@, k, count(*), max(v) FROM %s GROUP BY k, b ^, k DESC #',
      '@, max(v) FROM %s WHERE k = 3 GROUP BY b ^ #',
      '@, max(v) FROM %s WHERE k IN (1, 3, 7) AND ts >= ''2024-01-01 00:30'' AND ts < ''2024-02-01'' GROUP BY b ^ #',
      '@, max(v) FROM %s WHERE ts <= ''2024-01-01 00:30:05'' GROUP BY b ^ #',
      '@, max(v) FROM %s WHERE k = 3 AND ts IN (''2024-01-01 00:30:03'', ''2024-01-01 00:31'', ''2023-06-01'') GROUP BY b ^ #',
      '@, max(v) FROM %s WHERE (k, ts) > (3, ''2024-01-01 00:30:05'') GROUP BY b ^ #',
      '@, max(v) FROM %s WHERE v > 100 GROUP BY b HAVING count(*) %% 2 = 0 ^ #',
      '@, max(v) FROM %s WHERE ts < ''2000-01-01'' GROUP BY b ^ #']) q,
    unnest(ARRAY['date_bin(''1 min'', ts, ''2000-01-01 00:00:17'')', 'date_bin(''7 min'', ts, ''2030-01-01'')', 'flowdb_time_bucket(''1 hour'', ts)',
      'date_trunc(''minute'', ts)', 'date_trunc(''month'', ts)', 'ts']) b,
    unnest(ARRAY['NULLS FIRST', 'DESC', 'DESC NULLS LAST LIMIT 7 OFFSET 2']) d;
CREATE FUNCTION all_same() RETURNS text LANGUAGE sql AS $$
  SELECT format('%s of %s', count(*) FILTER (WHERE same(query)), count(*)) FROM shapes
$$;

-- Nothing, one row, a few in long stretches of nothing, many.
SELECT all_same();
INSERT INTO fo VALUES (3, '2024-01-01 00:30:03', 1, 1);
INSERT INTO ho TABLE fo;
SELECT all_same();
INSERT INTO ho
  SELECT i % 9, '2024-01-01 00:30:05'::timestamptz - i * i * i * interval '1 s', i, i FROM generate_series(1, 400) i UNION ALL
  SELECT 3, '0001-01-01', 7, 7 UNION ALL SELECT 3, '9999-12-31', 8, 8;
TRUNCATE fo;
INSERT INTO fo TABLE ho;
SELECT all_same();
SELECT flowdb_flush('aggo');
INSERT INTO ho SELECT i % 9, '2024-01-01'::timestamptz + i * interval '1.3 s', i, i FROM generate_series(1, 4000) i;
INSERT INTO fo SELECT * FROM ho WHERE ts >= '2024-01-01' ON CONFLICT DO NOTHING;
DELETE FROM ho a USING ho b WHERE (a.k, a.ts) = (b.k, b.ts) AND a.ctid > b.ctid;
SELECT all_same();
SELECT flowdb_flush('aggo');

-- Rows of this transaction, deletions and changed rows; infinite times.
BEGIN;
DELETE FROM fo WHERE v % 7 = 0 OR ts > '2024-01-01 01:10';
DELETE FROM ho WHERE v % 7 = 0 OR ts > '2024-01-01 01:10';
UPDATE fo SET v = v + 5 WHERE k = 3;
UPDATE ho SET v = v + 5 WHERE k = 3;
INSERT INTO fo VALUES (3, 'infinity', 1, 1), (5, '-infinity', 2, 2), (8, '2024-03-01', 3, 3);
INSERT INTO ho VALUES (3, 'infinity', 1, 1), (5, '-infinity', 2, 2), (8, '2024-03-01', 3, 3);
SELECT all_same();
COMMIT;
SELECT flowdb_flush('aggo');
SELECT all_same();

-- Prepared statements: values that come later.
PREPARE later(timestamptz, int) AS SELECT date_bin('1 min', ts, '2000-01-01') AS m, count(*) FROM fo WHERE ts < $1 GROUP BY m ORDER BY m DESC LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE later('2024-01-01 01:00', 3);
EXECUTE later('2024-01-01 01:00', 3);
EXECUTE later('2023-12-31', 2);
EXECUTE later(NULL, 2);
RESET plan_cache_mode;

-- Rescans, with other values of parameters, which end where they like.
EXPLAIN (COSTS OFF) SELECT * FROM generate_series(1, 4) g, LATERAL
  (SELECT date_bin('1 min', ts, '2000-01-01') AS m, count(*) FROM fo WHERE k = g AND ts < '2024-01-01'::timestamptz + g * interval '20 min' GROUP BY m ORDER BY m DESC LIMIT 2) x;
SELECT * FROM generate_series(1, 4) g, LATERAL
  (SELECT date_bin('1 min', ts, '2000-01-01') AS m, count(*) FROM fo WHERE k = g AND ts < '2024-01-01'::timestamptz + g * interval '20 min' GROUP BY m ORDER BY m DESC LIMIT 2) x;
SELECT * FROM generate_series(1, 4) g, LATERAL
  (SELECT date_bin('1 min', ts, '2000-01-01') AS m, count(*) FROM ho WHERE k = g AND ts < '2024-01-01'::timestamptz + g * interval '20 min' GROUP BY m ORDER BY m DESC LIMIT 2) x;

-- A cursor, read in part, sees its own moment and its own time zone.
BEGIN;
SET LOCAL timezone = 'America/St_Johns';
DECLARE c CURSOR FOR SELECT date_trunc('day', ts) AT TIME ZONE 'UTC' AS m, count(*) FROM fo WHERE ts < '2024-01-01 12:00' GROUP BY date_trunc('day', ts) ORDER BY date_trunc('day', ts) DESC;
FETCH 2 FROM c;
SET LOCAL timezone = 'Asia/Kathmandu';
INSERT INTO fo SELECT 1, ts + interval '1 ms', 1, 1 FROM ho WHERE isfinite(ts);
DELETE FROM fo WHERE k = 2;
FETCH 2 FROM c;
SET LOCAL timezone = 'America/St_Johns';
SELECT date_trunc('day', ts) AT TIME ZONE 'UTC' AS m, count(*) FROM ho WHERE ts < '2024-01-01 12:00' GROUP BY date_trunc('day', ts) ORDER BY date_trunc('day', ts) DESC LIMIT 4;
ROLLBACK;

-- Clocks that change: St. John's at one minute past midnight, Lord Howe by
-- half an hour, Apia and Kwajalein lost a day, Amsterdam by seconds.
TRUNCATE ho;
TRUNCATE fo;
INSERT INTO ho
  SELECT i % 5, at + (i - 40) * step, i, i
  FROM unnest(ARRAY['1883-11-18 17:00', '1937-06-30 22:40', '1969-10-01 12:00', '1972-01-07 00:44', '1988-10-30 02:31', '1993-08-21 12:00', '2006-10-29 02:31',
      '2007-03-11 03:31', '2011-11-06 02:31', '2011-12-30 10:00', '2023-04-01 15:00', '2023-09-30 15:30', '2023-10-29 01:00', '2037-03-29 01:00']::timestamptz[]) at,
    unnest(ARRAY['83 min 17.000123 sec', '30.5 sec', '13 days 5:07:11']::interval[]) step, generate_series(0, 79) i;
DELETE FROM ho a USING ho b WHERE (a.k, a.ts) = (b.k, b.ts) AND a.ctid > b.ctid;
INSERT INTO fo TABLE ho;
DO $$
DECLARE
  zone text;
  unit text;
  direction text;
BEGIN
  FOREACH zone IN ARRAY ARRAY['UTC', 'America/New_York', 'America/St_Johns', 'Australia/Lord_Howe', 'Pacific/Apia', 'Pacific/Kwajalein', 'Europe/Amsterdam',
      'Africa/Monrovia', 'Asia/Kathmandu', 'FOO4:17BAR3:02,M3.2.0/2:13,M11.1.0/0:07'] LOOP
    EXECUTE format('SET timezone = %L', zone);
    FOREACH unit IN ARRAY ARRAY['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year', 'decade', 'century'] LOOP
      FOREACH direction IN ARRAY ARRAY['ASC', 'DESC'] LOOP
        IF NOT same(format('SELECT date_trunc(%L, ts) AS b, count(*), sum(v) FROM %%s GROUP BY b ORDER BY b %s', unit, direction)) THEN
          RAISE WARNING '% % %', zone, unit, direction;
        END IF;
      END LOOP;
    END LOOP;
  END LOOP;
END $$;
-- edges of windows right there
SELECT count(*), bool_and(good) FROM (
  SELECT set_config('timezone', zone, false) = zone AND
    same(format('SELECT date_trunc(%L, ts) AS b, count(*), sum(v) FROM %%s WHERE ts %s %L GROUP BY b ORDER BY b %s', unit, op, at::timestamptz + shift,
      CASE op WHEN '<' THEN 'DESC' ELSE 'ASC' END)) AS good
  FROM (VALUES ('America/St_Johns', '1988-10-30 02:31Z'), ('America/St_Johns', '2006-10-29 02:31Z'), ('America/St_Johns', '2007-03-11 03:31Z'),
      ('Australia/Lord_Howe', '2023-04-01 15:00Z'), ('Australia/Lord_Howe', '2023-09-30 15:30Z'), ('Pacific/Apia', '2011-12-30 10:00Z'),
      ('Pacific/Kwajalein', '1969-10-01 12:00Z'), ('Pacific/Kwajalein', '1993-08-21 12:00Z'), ('Africa/Monrovia', '1972-01-07 00:44Z')) z(zone, at),
    unnest(ARRAY['-1 hour', '-10 sec', '10 min', '45 min', '90 min', '1 day', '2 days']::interval[]) shift,
    unnest(ARRAY['minute', 'hour', 'day', 'week']) unit, unnest(ARRAY['<', '>=']) op) x;
SET timezone = 'UTC';

-- Other types of time, and partitions.
CREATE FOREIGN TABLE fn (k int, ts bigint, v int) SERVER aggo OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE fd (k int, ts date, v int) SERVER aggo OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE fw (k int, ts timestamp, v int) SERVER aggo OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO fn VALUES (1, -9223372036854775808, 1), (1, 0, 2), (2, 10, 3), (3, 10, 4), (1, 9223372036854775807, 5);
INSERT INTO fd VALUES (1, '-infinity', 1), (1, '4713-01-01 BC', 1), (1, '2024-02-29', 2), (2, '2024-03-01', 3), (1, 'infinity', 4);
INSERT INTO fw VALUES (1, '-infinity', 1), (1, '4713-11-25 BC', 1), (1, '2024-02-29', 2), (2, '2024-02-29 01:00', 3), (1, 'infinity', 4), (2, '20000-12-31', 5);
SELECT ts, sum(v) FROM fn GROUP BY ts ORDER BY ts DESC;
SELECT ts, sum(v) FROM fn GROUP BY ts ORDER BY ts;
SELECT flowdb_time_bucket('1 s', ts) AS b, sum(v) FROM fn WHERE ts BETWEEN -5 AND 100 GROUP BY b ORDER BY b DESC;
SELECT ts, sum(v) FROM fd GROUP BY ts ORDER BY ts DESC;
SELECT flowdb_time_bucket('7 days', ts) AS b, sum(v) FROM fd WHERE ts > '2000-01-01' GROUP BY b ORDER BY b;
SELECT date_trunc('day', ts) AS b, sum(v) FROM fw WHERE ts < '20000-12-31' GROUP BY b ORDER BY b DESC;
SELECT date_trunc('month', ts) AS b, sum(v) FROM fw GROUP BY b ORDER BY b;
SELECT date_bin('3 h', ts, '2024-02-29 00:30') AS b, sum(v) FROM fw WHERE ts > '2000-01-01' GROUP BY b ORDER BY b;

CREATE TABLE parts (k int, ts timestamptz, v int) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE p1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') SERVER aggo OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE p2 PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') SERVER aggo OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO parts SELECT i % 3, '2024-01-01'::timestamptz + i * interval '31 min', i FROM generate_series(0, 2000) i;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT ts, count(*) FROM parts GROUP BY ts ORDER BY ts DESC LIMIT 2;
SELECT ts, count(*) FROM parts GROUP BY ts ORDER BY ts DESC LIMIT 2;

-- Groups that memory is short for do not stop windows from growing at all.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT count(*), sum(n), bool_and(up) FROM (SELECT n, m < lag(m, 1, 'infinity') OVER () AS up FROM (SELECT ts AS m, count(*) AS n FROM p1 GROUP BY m ORDER BY m DESC) x) y;

SET client_min_messages = warning;
DROP SERVER aggo CASCADE;
DROP TABLE parts, ho, shapes;
DROP FUNCTION same, all_same, windows;
