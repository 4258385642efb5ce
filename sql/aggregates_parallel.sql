-- Aggregates that the engine works out in parallel workers, each of its share
-- of the table: results are those of a heap twin.
SET timezone = 'Europe/Berlin';
SET extra_float_digits = 0; -- sums of floats may differ in the last bits
SET client_min_messages = warning;
CREATE SERVER aggp FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", n int, ts timestamptz,
  i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, d date, t time, w timestamp, z timestamptz, x text)
  SERVER aggp OPTIONS (key_columns 'k,n', time_column 'ts', store 'aggp');
CREATE TABLE h (LIKE f);
INSERT INTO h SELECT 'k' || i % 9, i % 3 - 1,
  '2024-03-29'::timestamptz + (i / 4) * interval '97.25 sec',
  CASE WHEN i % 5 <> 0 THEN i % 200 - 100 END, CASE WHEN i % 11 <> 0 THEN i * 100000 END,
  CASE WHEN i % 13 <> 0 THEN (CASE WHEN i % 2 = 0 THEN 9223372036854775807 - i ELSE i - 9223372036854775807 / 3 END) END,
  CASE WHEN i % 6 <> 0 THEN (i % 40 - 20) / 4.0 END, CASE WHEN i % 7 <> 0 THEN (i % 50 - 25) / 8.0 END,
  '2024-01-01'::date + i % 300, CASE WHEN i % 9 <> 0 THEN '00:00'::time + i * interval '1 sec' END,
  '2024-01-01'::timestamp + i * interval '1 day', '2024-01-01'::timestamptz - i * interval '1 day',
  CASE WHEN i % 3 <> 0 THEN repeat('x', i % 100) END
  FROM generate_series(0, 20999) i;
INSERT INTO f SELECT * FROM h;
ANALYZE h;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET seq_page_cost = 0;
-- Do workers do it, and do both say the same?  %s is the table.
CREATE FUNCTION tryp(query text, OUT partial bool, OUT rows bigint, OUT differ bigint)
LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  partial := false;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || format(query, 'f') LOOP
    partial := partial OR line ~ 'FlowDB Aggregate: PARTIAL';
  END LOOP;
  SELECT c.rows, c.differ INTO rows, differ FROM compare_twins(query) c;
END $$;
CREATE TABLE calls (calls text);
INSERT INTO calls VALUES ('count(*), count(1), count(k), count(ts), count(x), sum(i2), sum(i4), sum(i8)'),
  ('avg(i2), avg(i4), avg(i8), sum(f4), sum(f8), avg(f4), avg(f8)'),
  ('min(i2), min(i4), min(i8), max(i2), max(i4), max(i8), min(f4), max(f4), min(f8), max(f8), min(d), max(d), min(t), max(t), '
    'min(w), max(w), min(z), max(z), min(ts), max(ts), min(n), max(n)'),
  ('sum(i4) + 1, round(avg(i4), 2), count(*) * 2.5, max(f8) - min(f8), avg(i8) / 7');
CREATE TABLE groups (groups text);
INSERT INTO groups VALUES (''), ('k'), ('n'), ('n, k'), ('date_trunc(''hour'', ts)'), ('k, date_trunc(''day'', ts)'),
  ('n, date_trunc(''month'', ts)'), ('date_bin(''7 hours'', ts, ''2001-01-01'')'), ('k, n, flowdb_time_bucket(''1 week'', ts)');
CREATE TABLE wheres (wheres text);
INSERT INTO wheres VALUES ('true'), ('k IN (''k1'', ''k4'') AND n = 1'),
  ('ts >= ''2024-03-31'' AND ts < ''2024-04-02 10:00'' AND f8 < 0 AND i2 IS NOT NULL'), ('k = ''nobody''');
CREATE FUNCTION tryp_all(OUT groups text, OUT queries bigint, OUT partial bool, OUT rows bigint, OUT differ bigint) RETURNS SETOF record
LANGUAGE sql AS $$
  SELECT groups, count(*), bool_or(t.partial), sum(t.rows), sum(t.differ)
  FROM calls, groups, wheres, LATERAL tryp(CASE WHEN groups = '' THEN 'SELECT ' || calls || ' FROM %s WHERE ' || wheres
    ELSE 'SELECT ' || groups || ', ' || calls || ' FROM %s WHERE ' || wheres || ' GROUP BY ' || groups END) t
  GROUP BY groups ORDER BY groups
$$;
SELECT * FROM tryp_all();
SELECT flowdb_flush('aggp');
SELECT * FROM tryp_all();
-- What EXPLAIN says.
EXPLAIN (COSTS OFF) SELECT count(*), avg(f8), sum(i8) FROM f WHERE k > 'k2' AND i2 > 3;
EXPLAIN (COSTS OFF, VERBOSE) SELECT count(*) + 1, max(ts) FROM f WHERE i4 > 5;
SET enable_sort = off; -- releases differ in what they prefer
EXPLAIN (COSTS OFF) SELECT n, count(*) FROM f GROUP BY n HAVING avg(f8) > -1;
RESET enable_sort;
CREATE FUNCTION counters(query text, OUT workers boolean, OUT rows_read bigint, OUT metadata boolean) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
  scan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  scan := jsonb_path_query_first(plan, '$.** ? (@."Node Type" == "Foreign Scan")');
  workers := (jsonb_path_query_first(plan, '$.** ? (@."Node Type" starts with "Gather")') ->> 'Workers Launched')::int > 0;
  rows_read := (scan ->> 'Rows from SSTables')::bigint + (scan ->> 'Rows from Memory')::bigint;
  metadata := (scan ->> 'Blocks from Metadata')::int > 0;
END $$;
SELECT * FROM counters('SELECT avg(f8), count(*) FROM f');
-- Counts from metadata: each span once over all workers.
SELECT * FROM counters('SELECT count(*), min(ts), max(ts) FROM f');
SELECT * FROM counters('SELECT count(*) FROM f WHERE ts > ''2024-03-31 12:00''');
SELECT t.* FROM (VALUES ('SELECT count(*), min(ts), max(ts) FROM %s'), ('SELECT count(k), max(ts) FROM %s WHERE ts > ''2024-03-31 12:00'''),
  ('SELECT count(*) FROM %s WHERE k IN (''k1'', ''k7'', ''k8'')'), ('SELECT min(ts), count(*) FROM %s WHERE k = ''nobody''')) q(query), tryp(query) t;
CREATE TABLE queries (id serial, query text);
INSERT INTO queries (query) VALUES
  ('SELECT k, sum(i4) FROM %s GROUP BY k HAVING sum(i4) > 0 AND k <> ''k3'' ORDER BY 2 DESC'),
  ('SELECT k, n FROM %s GROUP BY k, n'),
  ('SELECT upper(k) || n, sum(i4) * 2 + count(*) FROM %s GROUP BY k, n'),
  ('SELECT count(*) FROM %s GROUP BY k, date_trunc(''day'', ts)'),
  ('SELECT k, rank() OVER (ORDER BY sum(i4)), sum(sum(i4)) OVER () FROM %s GROUP BY k'),
  ('SELECT k, count(*) FROM %1$s GROUP BY k UNION ALL SELECT ''all'', count(*) FROM %1$s'),
  ('WITH a AS MATERIALIZED (SELECT k, max(i4) AS m FROM %1$s GROUP BY k) SELECT k, ts, i4 FROM %1$s JOIN a USING (k) WHERE i4 = m'),
  ('SELECT v.k, l.* FROM (VALUES (''k1'', 1), (''k2'', 0)) v(k, n), LATERAL (SELECT count(*), avg(i4) FROM %1$s f WHERE f.k = v.k AND f.n >= v.n) l'),
  ('SELECT count(*), sum(i8) FROM %1$s WHERE ts < (SELECT min(ts) + ''1 day'' FROM %1$s)'),
  ('SELECT k, 7, count(*) FROM %s WHERE k = ''k2'' GROUP BY k, n, 2'),
  ('SELECT k, date_trunc(''day'', ts), max(f8) FROM %s GROUP BY 1, 2 ORDER BY 2 DESC, 1 LIMIT 3'),
  ('SELECT count(*) FROM %s HAVING count(*) > 100'), ('SELECT count(*) FROM %s HAVING count(*) < 100'), ('SELECT 1 FROM %s HAVING true'),
  -- these are left to PostgreSQL
  ('SELECT count(DISTINCT i4) FROM %s'), ('SELECT sum(i4) FILTER (WHERE n > 0) FROM %s'), ('SELECT sum(i4 + 1) FROM %s'),
  ('SELECT k, sum(i4) FROM %s GROUP BY ROLLUP (k)'), ('SELECT count(*), stddev(f8), avg(f8) FROM %s'),
  ('SELECT sum(i4), string_agg(k, '''' ORDER BY k) FROM %s WHERE n = 1');
EXPLAIN (COSTS OFF) WITH f1 AS MATERIALIZED (SELECT q::text FROM (SELECT sum(i4) FROM f) q) TABLE f1;
SELECT id, t.* FROM queries, tryp(query) t ORDER BY id;
-- Who takes part: workers alone, nobody but the leader.
SET parallel_leader_participation = off;
SELECT id, t.rows, t.differ FROM queries, tryp(query) t WHERE id < 5 ORDER BY id;
RESET parallel_leader_participation;
SET max_parallel_workers = 0;
SELECT id, t.rows, t.differ FROM queries, tryp(query) t WHERE id < 5 ORDER BY id;
RESET max_parallel_workers;
-- Groups come again when memory for them is used up.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
CREATE FUNCTION partial_rows(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  plan := jsonb_path_query_first(plan, '$.** ? (@."Node Type" == "Foreign Scan")');
  RETURN (plan ->> 'Actual Rows')::float8 * (plan ->> 'Actual Loops')::int;
END $$;
CREATE TABLE wide AS SELECT 'SELECT date_trunc(''hour'', ts), ' || string_agg(calls, ', ') || ' FROM %s GROUP BY 1' AS query FROM calls;
SELECT t.*, partial_rows(format(query, 'f')) > 3 * t.rows AS again FROM wide, tryp(query) t;
-- In one process no group may come again: so the rows do.
-- The planner cannot know how long the time is, and expects few groups.
SET max_parallel_workers_per_gather = 0;
SET plan_cache_mode = force_generic_plan;
CREATE TABLE many_h AS SELECT flowdb_time_bucket('5 min', ts) AS b, count(*), sum(i8), avg(f8) FROM h GROUP BY b;
PREPARE many (timestamptz, timestamptz) AS SELECT flowdb_time_bucket('5 min', ts) AS b, count(*), sum(i8), avg(f8) FROM f WHERE ts > $1 AND ts < $2 GROUP BY b;
EXPLAIN (COSTS OFF) EXECUTE many ('2024-01-01', '2025-01-01');
CREATE TABLE many_f AS EXECUTE many ('2024-01-01', '2025-01-01');
SELECT count(*) FROM ((TABLE many_h EXCEPT ALL TABLE many_f) UNION ALL (TABLE many_f EXCEPT ALL TABLE many_h)) x;
CREATE FUNCTION passes(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  RETURN jsonb_path_query_first(plan, '$.** ? (@."Node Type" == "Foreign Scan")') -> 'FlowDB Passes';
END $$;
SELECT passes('EXECUTE many (''2024-01-01'', ''2025-01-01'')') BETWEEN 8 AND 64 AS many, passes('EXECUTE many (''2024-03-29'', ''2024-03-29 03:00'')') AS one;
-- Groups within a column of the key that is grouped by: those that were returned
-- before do not come again.
PREPARE by_k (interval) AS SELECT k, date_bin($1, ts, '2024-01-01') AS b, count(*), max(n) FROM f WHERE ts < '2025-01-01' AND d BETWEEN '2000-01-01' AND '2100-01-01' GROUP BY k, b;
EXPLAIN (COSTS OFF) EXECUTE by_k ('5 min');
CREATE TABLE by_f AS EXECUTE by_k ('5 min');
SELECT passes('EXECUTE by_k (''5 min'')') > 1 AS several, count(*), count(DISTINCT (k, b)), sum(count) FROM by_f;
SELECT count(*) FROM (SELECT k, date_bin('5 min', ts, '2024-01-01') AS b, count(*), max(n) FROM h GROUP BY k, b EXCEPT ALL TABLE by_f) x;
-- a key of one text: some begin with others
CREATE FOREIGN TABLE ft (k text COLLATE "C", ts timestamptz) SERVER aggp OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE ht AS SELECT k, '2024-01-01'::timestamptz + i * interval '1 sec' AS ts
  FROM (VALUES ('', 10), ('host_1', 10), ('host_10', 10), ('host_11', 3000)) x(k, n), generate_series(1, n) i;
INSERT INTO ft SELECT * FROM ht;
PREPARE by_text (timestamptz, timestamptz) AS SELECT k, date_trunc('second', ts) AS b, count(*) FROM ft WHERE ts > $1 AND ts < $2 GROUP BY k, b;
CREATE TABLE by_t AS EXECUTE by_text ('2024-01-01', '2025-01-01');
SELECT passes('EXECUTE by_text (''2024-01-01'', ''2025-01-01'')') > 1 AS several, count(*), count(DISTINCT (k, b)), sum(count) FROM by_t;
-- with a limit, and begun again
SELECT a, y.n FROM generate_series(0, 2) a, LATERAL (SELECT count(DISTINCT b) AS n FROM (SELECT flowdb_time_bucket('5 min', ts) AS b, count(*)
  FROM f WHERE ts > '2024-01-01'::timestamptz + make_interval(days => a) AND ts < '2025-01-01'::timestamptz + make_interval(days => a) GROUP BY 1 LIMIT 1000) y) y;
SET max_parallel_workers_per_gather = 2;
RESET plan_cache_mode;
RESET work_mem;
RESET hash_mem_multiplier;
-- Values that come later.
PREPARE p(timestamptz, int) AS SELECT date_bin('3 days', ts, $1) AS b, count(*), sum(i8), avg(f8) FROM f WHERE i2 >= $2 GROUP BY b;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p('2024-01-01', 0);
EXECUTE p('2024-01-01', 0);
SELECT date_bin('3 days', ts, '2024-01-01') AS b, count(*), sum(i8), avg(f8) FROM h WHERE i2 >= 0 GROUP BY b ORDER BY b;
EXECUTE p('2024-01-02 12:00', 95);
SELECT date_bin('3 days', ts, '2024-01-02 12:00') AS b, count(*), sum(i8), avg(f8) FROM h WHERE i2 >= 95 GROUP BY b ORDER BY b;
EXECUTE p(NULL, 95);
EXECUTE p('2024-01-01', NULL);
EXECUTE p('infinity', 95);
RESET plan_cache_mode;
-- Begun again and again; a limit above ends it early.
SET enable_material = off;
SET enable_memoize = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT a, c, s FROM (VALUES (-1), (0), (1), (2)) x(a) LEFT JOIN (SELECT n, count(*) AS c, sum(i8) AS s FROM f GROUP BY n) y ON n = a;
RESET enable_sort;
SELECT a, c, s FROM (VALUES (-1), (0), (1), (2)) x(a) LEFT JOIN (SELECT n, count(*) AS c, sum(i8) AS s FROM f GROUP BY n) y ON n = a ORDER BY a;
SELECT n, count(*) AS c, sum(i8) AS s FROM h GROUP BY n ORDER BY n;
SELECT a, c > 0 AS some FROM generate_series(1, 5) a LEFT JOIN (SELECT k, n, count(*) AS c FROM f GROUP BY k, n LIMIT 1) y ON true ORDER BY a;
RESET enable_material;
RESET enable_memoize;
RESET enable_hashjoin;
RESET enable_mergejoin;
-- What the transaction has written and taken back.
BEGIN;
INSERT INTO f SELECT 'own', i % 2, '2024-05-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 3000) i;
INSERT INTO h SELECT 'own', i % 2, '2024-05-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 3000) i;
SAVEPOINT s;
DELETE FROM f WHERE k = 'k3' AND i4 % 2 = 0;
SELECT sum(i2) FROM f;
ROLLBACK TO s;
DELETE FROM f WHERE k = 'k4' AND i4 < 1000000000;
DELETE FROM h WHERE k = 'k4' AND i4 < 1000000000;
UPDATE f SET i4 = NULL, f8 = 77 WHERE n = 1 AND k < 'k3';
UPDATE h SET i4 = NULL, f8 = 77 WHERE n = 1 AND k < 'k3';
CREATE TABLE own (query) AS VALUES ('SELECT count(*), sum(i4), max(f8), avg(i8) FROM %s'), ('SELECT k, n, count(i4), max(f8) FROM %s GROUP BY k, n'),
  ('SELECT count(*), min(ts), max(ts) FROM %s'), ('SELECT date_trunc(''day'', ts), count(*), min(i4) FROM %s GROUP BY 1');
SELECT t.* FROM own, tryp(query) t;
COMMIT;
SELECT t.* FROM own, tryp(query) t;
SELECT flowdb_flush('aggp');
SELECT flowdb_compact('aggp');
SELECT t.* FROM own, tryp(query) t;
-- Special floats far from each other, so that different participants have them.
CREATE FOREIGN TABLE ff (k int, s float4, d float8) SERVER aggp OPTIONS (key_columns 'k');
INSERT INTO ff SELECT i, 0, 0 FROM generate_series(1, 40000) i;
CREATE TABLE hh AS SELECT * FROM ff;
SELECT flowdb_flush('aggp');
CREATE FUNCTION special(a float8, b float8, c float8) RETURNS TABLE (of text, differ bigint, partial boolean, result text) LANGUAGE plpgsql AS $$
DECLARE
  call text;
  got text;
BEGIN
  UPDATE ff SET s = CASE k WHEN 2 THEN a WHEN 20000 THEN b ELSE c END, d = CASE k WHEN 2 THEN a WHEN 20000 THEN b ELSE c END WHERE k IN (2, 20000, 39999);
  UPDATE hh SET s = CASE k WHEN 2 THEN a WHEN 20000 THEN b ELSE c END, d = CASE k WHEN 2 THEN a WHEN 20000 THEN b ELSE c END WHERE k IN (2, 20000, 39999);
  FOREACH call IN ARRAY ARRAY['sum(s)', 'avg(s)', 'min(s)', 'max(s)', 'sum(d)', 'avg(d)', 'min(d)', 'max(d)'] LOOP
    of := call;
    BEGIN
      EXECUTE 'SELECT ' || call || ' FROM ff' INTO got;
    EXCEPTION WHEN numeric_value_out_of_range THEN
      got := SQLSTATE;
    END;
    BEGIN
      SET LOCAL max_parallel_workers_per_gather = 0;
      EXECUTE 'SELECT ' || call || ' FROM hh' INTO result;
    EXCEPTION WHEN numeric_value_out_of_range THEN
      result := SQLSTATE;
    END;
    SET LOCAL max_parallel_workers_per_gather = 2;
    differ := (got IS DISTINCT FROM result)::int;
    RETURN NEXT;
  END LOOP;
END $$;
EXPLAIN (COSTS OFF) SELECT avg(d) FROM ff;
SELECT a, b, c, string_agg(of || '=' || coalesce(result, 'NULL') || CASE WHEN differ <> 0 THEN ' DIFFERS' ELSE '' END, ', ' ORDER BY of) AS same
FROM (VALUES ('Infinity'::float8, 1::float8, 1::float8), ('Infinity', 1, '-Infinity'), ('NaN', 'Infinity', 1), (1, 2, 'NaN'), ('-Infinity', -1, 1e30),
  (NULL, 'Infinity', NULL), (3e38, 3e38, 3e38)) v(a, b, c), special(a, b, c) GROUP BY a, b, c ORDER BY a, b, c;
\set VERBOSITY sqlstate
UPDATE ff SET d = 1.5e308 WHERE k IN (2, 39999);
SELECT sum(d) FROM ff;
SELECT avg(d) FROM ff;
UPDATE ff SET d = 1e200 - d WHERE k IN (2, 39999);
SELECT avg(d) FROM ff;
\set VERBOSITY default
SELECT min(k), max(k), count(*) FROM ff;
-- Nothing; a table that began here; columns that rows are older than.
CREATE FOREIGN TABLE fe (k text COLLATE "C", v int, b bigint, r real) SERVER aggp OPTIONS (key_columns 'k');
SELECT count(*), sum(v), avg(v), sum(b), avg(b), avg(r), max(v) FROM fe;
SELECT k, sum(v) FROM fe GROUP BY k;
BEGIN;
CREATE FOREIGN TABLE fn (k int, v int) SERVER aggp OPTIONS (key_columns 'k');
SELECT count(*), sum(v) FROM fn;
INSERT INTO fn SELECT i, i FROM generate_series(1, 20000) i;
SELECT count(*), sum(v) FROM fn;
ALTER FOREIGN TABLE fn ADD COLUMN w int DEFAULT 7, ADD COLUMN u int8;
SELECT count(w), sum(w), avg(w), count(u), sum(u), avg(u), max(u) FROM fn;
ROLLBACK;

-- Partitions that are aggregated in part, by workers or not.
CREATE TABLE part (k text COLLATE "C", ts timestamptz, v bigint, r float8) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2024-01-08') SERVER aggp OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE part_b PARTITION OF part FOR VALUES FROM ('2024-01-08') TO ('2024-01-15') SERVER aggp OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE part_c PARTITION OF part FOR VALUES FROM ('2024-01-15') TO ('2024-02-01');
INSERT INTO part SELECT chr(97 + i % 3), '2024-01-01'::timestamptz + i * interval '1 min', i, i / 4.0 FROM generate_series(1, 30000) i;
CREATE TABLE whole AS SELECT * FROM part;
ANALYZE part_c, whole;
SET enable_partitionwise_aggregate = on;
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT k, count(*), sum(v), avg(r) FROM part GROUP BY k;
SELECT k, count(*), sum(v), avg(r) FROM part GROUP BY k ORDER BY k;
SELECT count(*), avg(v), max(ts) FROM part;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*), avg(v) FROM part;
SELECT k, count(*), sum(v), avg(r) FROM part GROUP BY k ORDER BY k;
SELECT k, count(*), sum(v), avg(r) FROM whole GROUP BY k ORDER BY k;
SELECT count(*), avg(v), max(ts) FROM part;
SELECT count(*), avg(v), max(ts) FROM whole;
RESET enable_partitionwise_aggregate;

-- Not for a table as small as this.
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
EXPLAIN (COSTS OFF) SELECT avg(f8) FROM f;
-- Rights to functions are asked for in the leader and in workers.
SET parallel_setup_cost = 0;
CREATE ROLE flowdb_aggp_user;
GRANT SELECT ON f TO flowdb_aggp_user;
REVOKE EXECUTE ON FUNCTION sum(bigint) FROM PUBLIC;
SET ROLE flowdb_aggp_user;
SELECT sum(i8) FROM f;
SELECT sum(i4) FROM f WHERE n >= 0;
RESET ROLE;
GRANT EXECUTE ON FUNCTION sum(bigint) TO PUBLIC;
DROP TABLE part, whole, h, hh, calls, groups, wheres, queries, own;
DROP SERVER aggp CASCADE;
DROP ROLE flowdb_aggp_user;
DROP TABLE many_f, many_h, by_f, by_t, ht, wide;
DROP FUNCTION tryp, tryp_all, counters, partial_rows, special, passes;
