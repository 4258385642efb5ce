-- What the planner expects of FlowDB tables, without ANALYZE and with it.
SET timezone = 'UTC';
CREATE SERVER est FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts timestamptz, v int, s text) SERVER est
  OPTIONS (key_columns 'host', time_column 'ts');
-- an empty table will not stay so
CREATE FUNCTION expected(query text, OUT rows float, OUT cost float, OUT width int) LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  rows := plan #>> '{0,Plan,Plan Rows}';
  cost := plan #>> '{0,Plan,Total Cost}';
  width := plan #>> '{0,Plan,Plan Width}';
END $$;
SELECT rows FROM expected('SELECT * FROM f');

INSERT INTO f SELECT 'host_' || lpad((i % 50)::text, 2, '0'), '2024-01-01'::timestamptz + i * interval '1 s', i, repeat('s', 200)
  FROM generate_series(0, 99999) i;
-- Expected and true numbers of rows, at most so many times apart.
CREATE FUNCTION off_by(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  e float;
  n float;
  f float;
BEGIN
  e := (expected(query)).rows;
  EXECUTE 'SELECT count(*) FROM (' || query || ') x' INTO n;
  f := greatest(e / greatest(n, 1), greatest(n, 1) / e);
  RETURN CASE WHEN f <= 2 THEN '2' WHEN f <= 6 THEN '6' WHEN f <= 12 THEN '12' ELSE 'more' END;
END $$;
CREATE TABLE o (host text COLLATE "C", ts timestamptz);
INSERT INTO o SELECT 'host_0' || i, '2024-01-01'::timestamptz + i * interval '1 s' FROM generate_series(0, 9) i;
ANALYZE o;
CREATE TABLE queries (id serial, query text);
INSERT INTO queries (query) VALUES
  ($$SELECT * FROM f$$),
  ($$SELECT * FROM f WHERE host = 'host_01'$$),
  ($$SELECT * FROM f WHERE host = lower('host_01')$$),
  ($$SELECT * FROM f WHERE host IN ('host_01', 'host_02', 'host_03')$$),
  ($$SELECT * FROM f WHERE host = 'host_01' OR host = 'host_02'$$),
  ($$SELECT * FROM f WHERE host = 'host_01' AND ts = '2024-01-01 00:00:01'$$),
  ($$SELECT * FROM f WHERE host IN ('host_01', 'host_02') AND ts IN ('2024-01-01 00:00:01', '2024-01-01 00:00:02')$$),
  ($$SELECT * FROM f WHERE ts >= '2024-01-01 01:00' AND ts < '2024-01-01 02:00'$$),
  ($$SELECT * FROM f WHERE host = 'host_01' AND ts >= '2024-01-01 01:00' AND ts < '2024-01-01 02:00'$$),
  ($$SELECT * FROM f WHERE host = 'host_01' AND ts >= date '2024-01-02'$$),
  ($$SELECT * FROM f WHERE ts > '2025-01-01'$$),
  ($$SELECT * FROM f WHERE ts < '2023-01-01'$$),
  ($$SELECT * FROM f WHERE host IS NULL$$),
  ($$SELECT * FROM f WHERE host IS NOT NULL$$),
  ($$SELECT * FROM f WHERE host > 'host_20'$$),
  ($$SELECT * FROM f WHERE host LIKE 'host\_0%'$$),
  ($$SELECT host FROM f GROUP BY host$$),
  ($$SELECT * FROM f JOIN o USING (host, ts)$$),
  ($$SELECT * FROM f a JOIN f b USING (host, ts)$$),
  ($$SELECT * FROM f JOIN o USING (host)$$);
-- from memory, from an SSTable, and by statistics
SELECT query, off_by(query) FROM queries ORDER BY id;
SELECT flowdb_flush('est');
SELECT query, off_by(query) FROM queries ORDER BY id;
-- The width of texts is the records', shared by the texts.
SELECT width BETWEEN 150 AND 300 FROM expected('SELECT * FROM f');
SELECT width BETWEEN 5 AND 20 FROM expected('SELECT ts, v FROM f');

-- No small scan is worth a JIT compilation.
SHOW jit_above_cost;
SELECT cost < 10000 FROM expected('SELECT * FROM f');
SELECT cost < 10000 FROM expected('SELECT host, count(*), avg(v) FROM f GROUP BY host');
SELECT cost < 5 FROM expected($$SELECT * FROM f WHERE host = 'host_01' AND ts = '2024-01-01 00:00:01'$$);
SELECT cost < 5 FROM expected($$SELECT * FROM f WHERE host = 'host_01' ORDER BY ts DESC LIMIT 1$$);
-- Few rows of a heap are looked up, many are joined.
SELECT explain($$SELECT * FROM o JOIN f USING (host, ts)$$);
SET enable_incremental_sort = off;
SET max_parallel_workers_per_gather = 0;
SELECT explain($$SELECT count(*) FROM f a JOIN f b ON a.host = b.host AND a.v = b.v$$);
RESET enable_incremental_sort;
RESET max_parallel_workers_per_gather;
EXPLAIN (COSTS OFF) SELECT o.host, l.v FROM o, LATERAL (SELECT v FROM f WHERE f.host = o.host ORDER BY ts DESC LIMIT 1) l;
-- A bound of the time alone leads into every key: for a few times, not for many.
CREATE TABLE times AS SELECT '2024-01-01'::timestamptz + i * interval '100 s' AS ts FROM generate_series(0, 999) i;
ANALYZE times;
-- (which side of = comes first is the server's choice)
SELECT replace(explain, '($0 = f.ts)', '(f.ts = $0)') AS explain
FROM explain($$SELECT f.v FROM times JOIN f USING (ts) WHERE times.ts < '2024-01-01 00:05'$$);
EXPLAIN (COSTS OFF) SELECT f.v FROM times JOIN f USING (ts);
-- The least and the greatest time are the ends of a scan.
SELECT explain($$SELECT max(ts), min(ts) FROM f WHERE host = 'host_07'$$);
EXPLAIN (COSTS OFF) SELECT host FROM f ORDER BY host LIMIT 1;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host IN ('host_01', 'host_02') ORDER BY host, ts, v LIMIT 3;

ANALYZE f;
SELECT attname, n_distinct, null_frac, avg_width FROM pg_stats WHERE tablename = 'f' AND attname <> 'v' ORDER BY 1;
SELECT reltuples, relpages > 0 FROM pg_class WHERE relname = 'f';
SELECT query, off_by(query) FROM queries ORDER BY id;
VACUUM ANALYZE f;
VACUUM f;

-- ANALYZE: of NULLs, of rows of this transaction, of nothing, of a partition.
CREATE FOREIGN TABLE n (k int, v int, t text) SERVER est OPTIONS (key_columns 'k');
ANALYZE n;
SELECT count(*) FROM pg_stats WHERE tablename = 'n';
INSERT INTO n SELECT i, CASE WHEN i % 4 = 0 THEN i % 8 END, 'x' FROM generate_series(1, 1000) i;
BEGIN;
INSERT INTO n SELECT i, NULL, 'y' FROM generate_series(1001, 2000) i;
ANALYZE n (k, v, t);
SELECT attname, n_distinct, null_frac, most_common_vals FROM pg_stats WHERE tablename = 'n' ORDER BY 1;
ROLLBACK;
SELECT count(*) FROM pg_stats WHERE tablename = 'n';
SET default_statistics_target = 1;
ANALYZE n;
SELECT reltuples FROM pg_class WHERE relname = 'n';
RESET default_statistics_target;
CREATE TABLE p (k int, ts bigint, v int) PARTITION BY RANGE (ts);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200) SERVER est OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO p SELECT i % 7, i, i FROM generate_series(0, 199) i;
ANALYZE p;
SELECT tablename, attname, n_distinct FROM pg_stats WHERE tablename ~ '^p[12]?$' AND attname = 'k' ORDER BY 1;
BEGIN ISOLATION LEVEL SERIALIZABLE;
ANALYZE p2;
ROLLBACK;
DROP TABLE p, o, times, queries;
DROP FUNCTION off_by, expected;
DROP SERVER est CASCADE;
