-- Scans that parallel workers share: the same rows as alone, and as of a heap
-- table that is the twin.
SET client_min_messages = warning;
CREATE SERVER par FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE pf (host text COLLATE "C", ts bigint, v int, w float8) SERVER par
  OPTIONS (key_columns 'host', time_column 'ts');
CREATE TABLE ph (host text COLLATE "C", ts bigint, v int, w float8, PRIMARY KEY (host, ts));
-- Three files and some rows in memory.
CREATE FUNCTION par_load(lo int, hi int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO pf SELECT 'h' || i % 20, i, i % 1000, i / 8.0 FROM generate_series(lo, hi) i;
  INSERT INTO ph SELECT 'h' || i % 20, i, i % 1000, i / 8.0 FROM generate_series(lo, hi) i;
$$;
SELECT par_load(1, 20000);
SELECT flowdb_flush('par');
SELECT par_load(20001, 40000);
INSERT INTO pf SELECT 'one', i, i, i FROM generate_series(1, 10000) i;
INSERT INTO ph SELECT 'one', i, i, i FROM generate_series(1, 10000) i;
SELECT flowdb_flush('par');
SELECT par_load(40001, 50000);
SELECT flowdb_flush('par');
SELECT par_load(50001, 60000);
DELETE FROM pf WHERE ts % 777 = 0;
DELETE FROM ph WHERE ts % 777 = 0;
ANALYZE ph;

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 3;
SET flowdb.enable_aggregate_pushdown = off;

-- The query's rows with workers, without, and of the twins.  shared: do workers
-- share a scan?
CREATE FUNCTION par_run(name text, query text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'DROP TABLE IF EXISTS ' || name;
  EXECUTE 'CREATE TEMP TABLE ' || name || ' AS ' || query;
END $$;
CREATE FUNCTION par_twins(query text, OUT shared boolean, OUT nrows bigint, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  shared := false;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    shared := shared OR line LIKE '%Parallel Foreign Scan%';
  END LOOP;
  PERFORM par_run('par_with', query);
  SET LOCAL max_parallel_workers_per_gather = 0;
  PERFORM par_run('par_alone', query);
  PERFORM par_run('par_twin', regexp_replace(query, '\mpf', 'ph', 'g'));
  SELECT count(*) FROM par_with INTO nrows;
  SELECT NOT EXISTS ((TABLE par_with EXCEPT ALL TABLE par_twin) UNION ALL (TABLE par_twin EXCEPT ALL TABLE par_with)
    UNION ALL (TABLE par_with EXCEPT ALL TABLE par_alone) UNION ALL (TABLE par_alone EXCEPT ALL TABLE par_with)) INTO same;
  SET LOCAL max_parallel_workers_per_gather = 3;
END $$;

EXPLAIN (COSTS OFF) SELECT count(*), sum(v) FROM pf;
SELECT * FROM par_twins('SELECT * FROM pf');
SELECT * FROM par_twins('SELECT count(*), sum(v) FROM pf');
-- Parts of one key are cut by its times.
SELECT * FROM par_twins($$SELECT count(*), sum(v), min(ts), max(ts) FROM pf WHERE host = 'one'$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host = 'one' AND ts BETWEEN 1000 AND 8000$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host >= 'h10' AND host < 'h19' AND v % 7 = 1$$);
SELECT * FROM par_twins('SELECT * FROM pf WHERE ts > 30000 AND v > 900');
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host LIKE 'h1%' AND v IN (1, 5, 900)$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host = 'nobody'$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host IS NULL$$);
-- Several ranges, each with its parts; and more of them than are divided.
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host IN ('h3', 'one', 'h7', 'none')$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host IN ('h3', 'one', 'h7') AND ts > 5000$$);
SELECT * FROM par_twins('SELECT * FROM pf WHERE host = ANY (ARRAY(SELECT ''h'' || i FROM generate_series(1, 100) i)) AND ts > 5000');
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host IN ('h3', 'one') AND ts = ANY (ARRAY(SELECT i * 5 FROM generate_series(1, 3000) i))$$);
SELECT * FROM par_twins($$SELECT * FROM pf WHERE (host, ts) > ('h7', 30000) AND v % 2 = 0$$);
-- Parameters: of the statement, of a subquery that is run once, and a function
-- that is asked once a statement.
PREPARE par_prepared (text, bigint) AS SELECT count(*), sum(v) FROM pf WHERE host > $1 AND ts < $2;
EXECUTE par_prepared ('h5', 40000);
SET plan_cache_mode = force_generic_plan;
EXECUTE par_prepared ('h5', 40000);
EXECUTE par_prepared ('h6', 20000);
RESET plan_cache_mode;
SELECT count(*), sum(v) FROM ph WHERE host > 'h6' AND ts < 20000;
SELECT * FROM par_twins('SELECT * FROM pf WHERE ts < (SELECT max(ts) / 2 FROM pf WHERE host = ''one'')');
SELECT * FROM par_twins('SELECT * FROM pf WHERE ts < extract(epoch FROM now() - transaction_timestamp()) + 50');

-- Nobody but the workers reads.
SET parallel_leader_participation = off;
SELECT * FROM par_twins('SELECT * FROM pf');
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host IN ('h3', 'one') AND v > 100$$);
RESET parallel_leader_participation;
-- No worker can be had.
SET max_parallel_workers = 0;
SELECT * FROM par_twins('SELECT * FROM pf WHERE v > 100');
RESET max_parallel_workers;

-- Order: each participant's rows are sorted, backwards too.
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host, ts;
EXPLAIN (COSTS OFF) SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host DESC, ts DESC;
CREATE FUNCTION par_sorted(query text, OUT nrows bigint, OUT same boolean) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM par_run('par_with', 'SELECT row_number() OVER () AS n, q.* FROM (' || query || ' OFFSET 0) q');
  PERFORM par_run('par_twin', 'SELECT row_number() OVER () AS n, q.* FROM (' || replace(query, 'pf', 'ph') || ' OFFSET 0) q');
  SELECT count(*) FROM par_with INTO nrows;
  SELECT NOT EXISTS ((TABLE par_with EXCEPT TABLE par_twin) UNION ALL (TABLE par_twin EXCEPT TABLE par_with)) INTO same;
END $$;
SELECT * FROM par_sorted('SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host, ts');
SELECT * FROM par_sorted('SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host DESC, ts DESC');
SELECT * FROM par_sorted($$SELECT ts FROM pf WHERE host = 'one' AND v % 3 = 0 ORDER BY ts DESC$$);
SELECT * FROM par_sorted($$SELECT host, ts FROM pf WHERE host IN ('h7', 'one', 'h1') AND v % 3 = 0 ORDER BY host DESC, ts DESC$$);
SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host DESC, ts DESC LIMIT 3;
RESET enable_sort;

-- What the transaction has written, and taken back, is seen by workers (S2).
BEGIN;
INSERT INTO pf SELECT 'own', i, i, i FROM generate_series(1, 3000) i;
INSERT INTO ph SELECT 'own', i, i, i FROM generate_series(1, 3000) i;
SELECT * FROM par_twins('SELECT * FROM pf');
SAVEPOINT a;
UPDATE pf SET v = -1 WHERE host = 'own' AND ts > 1000;
UPDATE ph SET v = -1 WHERE host = 'own' AND ts > 1000;
DELETE FROM pf WHERE host IN ('h1', 'own') AND ts % 2 = 0;
DELETE FROM ph WHERE host IN ('h1', 'own') AND ts % 2 = 0;
SELECT * FROM par_twins('SELECT * FROM pf');
SAVEPOINT b;
DELETE FROM pf WHERE host = 'h2';
DELETE FROM ph WHERE host = 'h2';
INSERT INTO pf VALUES ('own', 1, 111, 1), ('own', 99999, 1, 1);
DELETE FROM ph WHERE host = 'own' AND ts = 1;
INSERT INTO ph VALUES ('own', 1, 111, 1), ('own', 99999, 1, 1);
SELECT * FROM par_twins('SELECT * FROM pf');
ROLLBACK TO b;
SELECT * FROM par_twins('SELECT * FROM pf');
RELEASE a;
INSERT INTO pf VALUES ('own', 88888, 1, 1);
INSERT INTO ph VALUES ('own', 88888, 1, 1);
SELECT * FROM par_twins('SELECT * FROM pf');
ROLLBACK;
SELECT * FROM par_twins('SELECT * FROM pf');
BEGIN;
SAVEPOINT a;
INSERT INTO pf SELECT 'own', i, i, i FROM generate_series(1, 30) i;
SELECT count(*) FROM pf WHERE v >= 0;
ROLLBACK TO a;
INSERT INTO pf SELECT 'own', i, -i, i FROM generate_series(1, 20) i;
COMMIT;
SELECT count(*), sum(v) FROM pf WHERE host = 'own';
INSERT INTO ph SELECT 'own', i, -i, i FROM generate_series(1, 20) i;

-- A cursor sees what was there when it was opened, whatever follows.
BEGIN;
DECLARE par_cursor CURSOR FOR SELECT count(*) FROM pf WHERE v >= 0;
INSERT INTO pf VALUES ('own', 77777, 1, 1);
SELECT count(*) FROM pf WHERE v >= 0;
FETCH par_cursor;
ROLLBACK;

-- Begun again and again, with other values each time.
SET enable_material = off;
SET enable_memoize = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT * FROM (VALUES (1), (2), (3)) x (a) LEFT JOIN (SELECT v % 4 AS m, count(*) AS n FROM pf GROUP BY 1) y ON m = a;
SELECT * FROM (VALUES (1), (2), (3)) x (a) LEFT JOIN (SELECT v % 4 AS m, count(*) AS n FROM pf GROUP BY 1) y ON m = a ORDER BY a;
SELECT * FROM (VALUES (1), (2), (3)) x (a) LEFT JOIN (SELECT v % 4 AS m, count(*) AS n FROM ph GROUP BY 1) y ON m = a ORDER BY a;
RESET enable_material;
RESET enable_memoize;
RESET enable_hashjoin;
RESET enable_mergejoin;
CREATE FUNCTION par_count(lo bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM pf WHERE ts > lo AND v > 10';
SELECT i, par_count(i * 10000) = (SELECT count(*) FROM ph WHERE ts > i * 10000 AND v > 10) AS same FROM generate_series(0, 6, 2) i;

-- Joins: a shared scan outside, whole ones inside, shared hash tables.
SELECT * FROM par_twins('SELECT a.host, a.ts, b.v FROM pf a JOIN pf b ON a.host = b.host AND a.ts = b.ts + 20 WHERE a.v < 50');
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT * FROM par_twins('SELECT a.host, a.ts, b.v FROM pf a JOIN pf b ON a.host = b.host AND b.ts = a.ts + 20 WHERE a.v < 50');
RESET enable_hashjoin;
SET enable_nestloop = off;
SELECT * FROM par_twins('SELECT count(*), sum(a.v + b.w) FROM pf a JOIN pf b ON a.host = b.host AND a.ts = b.ts + 20');
SELECT * FROM par_twins('SELECT a.ts FROM pf a WHERE NOT EXISTS (SELECT FROM pf b WHERE b.host = a.host AND b.ts = a.ts + 20)');
-- beside a heap table, in each worker
SELECT * FROM par_twins('SELECT count(*), sum(h.v) FROM ph h JOIN pf ON h.host = pf.host AND h.ts = pf.ts AND pf.v < 5');
RESET enable_nestloop;
RESET enable_mergejoin;
SELECT * FROM par_twins('SELECT v % 3 AS x, count(*), sum(w) FROM pf GROUP BY 1');
SELECT * FROM par_twins('SELECT DISTINCT host FROM pf WHERE v < 100');

-- Partitions, foreign ones and heaps together.
CREATE TABLE pfp (host text COLLATE "C", ts bigint, v int) PARTITION BY RANGE (ts);
CREATE TABLE php (host text COLLATE "C", ts bigint, v int);
CREATE FOREIGN TABLE pf_p1 PARTITION OF pfp FOR VALUES FROM (0) TO (20000) SERVER par OPTIONS (key_columns 'host', time_column 'ts');
CREATE FOREIGN TABLE pf_p2 PARTITION OF pfp FOR VALUES FROM (20000) TO (40000) SERVER par OPTIONS (key_columns 'host', time_column 'ts');
CREATE TABLE pf_p3 PARTITION OF pfp FOR VALUES FROM (40000) TO (100000);
INSERT INTO pfp SELECT host, ts, v FROM pf WHERE host <> 'one';
INSERT INTO php SELECT host, ts, v FROM ph WHERE host <> 'one';
ANALYZE php, pf_p3;
EXPLAIN (COSTS OFF) SELECT count(*) FROM pfp WHERE v >= 0;
SELECT * FROM par_twins('SELECT * FROM pfp');
SELECT * FROM par_twins('SELECT * FROM pfp WHERE ts BETWEEN 10000 AND 30000 AND v > 10');

-- A table with nothing in it, and one that began in this transaction.
CREATE FOREIGN TABLE pf_empty (k int, v int) SERVER par OPTIONS (key_columns 'k');
CREATE TABLE ph_empty (k int, v int);
SELECT * FROM par_twins('SELECT * FROM pf_empty');
BEGIN;
CREATE FOREIGN TABLE pf_new (k int, v int) SERVER par OPTIONS (key_columns 'k');
CREATE TABLE ph_new (k int, v int);
SELECT * FROM par_twins('SELECT * FROM pf_new');
INSERT INTO pf_new SELECT i, i FROM generate_series(1, 5000) i;
INSERT INTO ph_new SELECT i, i FROM generate_series(1, 5000) i;
SELECT * FROM par_twins('SELECT * FROM pf_new');
ALTER FOREIGN TABLE pf_new ADD COLUMN x int DEFAULT 7;
ALTER TABLE ph_new ADD COLUMN x int DEFAULT 7;
SELECT * FROM par_twins('SELECT * FROM pf_new WHERE x = 7');
ROLLBACK;

-- Rows that expire: all judge at one time.
CREATE FOREIGN TABLE pf_ttl (k int, v int, e timestamptz) SERVER par OPTIONS (key_columns 'k', expire_column 'e');
INSERT INTO pf_ttl SELECT i, i, CASE WHEN i % 2 = 0 THEN now() - interval '1 s' ELSE now() + interval '1 day' END FROM generate_series(1, 5000) i;
SELECT count(*), sum(v) FROM pf_ttl WHERE v > 0;

-- Never: what locks or writes; a transaction that is serializable.
EXPLAIN (COSTS OFF) SELECT * FROM pf WHERE v = 3 FOR UPDATE;
EXPLAIN (COSTS OFF) DELETE FROM pf WHERE v = 3;
EXPLAIN (COSTS OFF) INSERT INTO pf SELECT * FROM pf WHERE v = 3;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM pf WHERE v > 0;
ROLLBACK;
-- A function that is declared safe and writes is found out.
CREATE FUNCTION par_write(i int) RETURNS int PARALLEL SAFE LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pf VALUES ('bad', i, i, i);
  RETURN i;
END $$;
BEGIN;
INSERT INTO pf VALUES ('own', 66666, 1, 1);
\set VERBOSITY sqlstate
SELECT count(par_write(v)) FROM pf;
\set VERBOSITY default
ROLLBACK;

-- An order, a limit, and the counters of EXPLAIN.
SELECT * FROM (SELECT host, ts FROM pf WHERE v % 3 = 0 ORDER BY host, ts LIMIT 3) q;
CREATE FUNCTION par_counters(query text) RETURNS TABLE (shared boolean, several boolean, nrows bigint) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
  RETURN QUERY SELECT (scan ->> 'Parallel Aware')::boolean, (scan ->> 'Ranges')::int > 4,
      (scan ->> 'Rows from Memory')::bigint + (scan ->> 'Rows from SSTables')::bigint
    FROM jsonb_path_query(plan, '$.** ? (@."Node Type" == "Foreign Scan")') scan LIMIT 1;
END $$;
SELECT * FROM par_counters('SELECT sum(v + 1) FROM pf WHERE ts >= 0');
SELECT count(*) FROM ph;
-- Workers that are still at work when the leader ends are counted too.
SET parallel_leader_participation = off;
SELECT shared, nrows >= 100 AS counted FROM par_counters('SELECT * FROM pf WHERE v >= 0 LIMIT 100');
RESET parallel_leader_participation;
-- Aggregates in the engine, alone and whole below a Gather.
SET flowdb.enable_aggregate_pushdown = on;
SET parallel_setup_cost = 1000;
SELECT * FROM par_twins('SELECT host, count(*), sum(v), max(w) FROM pf WHERE ts > 100 GROUP BY host');
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT * FROM par_twins('SELECT host, count(*), sum(v), max(w) FROM pf WHERE ts > 100 GROUP BY host');
SET parallel_setup_cost = 0;
SELECT * FROM par_twins($$SELECT * FROM pf WHERE host = 'h1' AND ts = 41$$);
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

DROP TABLE par_with, par_twin, par_alone;
DROP TABLE ph, php, pfp, ph_empty;
DROP SERVER par CASCADE;
DROP FUNCTION par_load, par_run, par_twins, par_sorted, par_count, par_write, par_counters;
