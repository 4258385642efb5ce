-- Values that are known only when a scan starts, or change between rescans.
SET timezone = 'UTC';
CREATE SERVER par FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts timestamptz, v int) SERVER par
  OPTIONS (key_columns 'host', time_column 'ts');
INSERT INTO f SELECT 'host_' || i % 10, '2024-01-01'::timestamptz + i * interval '1 min', i
  FROM generate_series(0, 999) i;
SELECT flowdb_flush('par');

-- Prepared statements, generic and custom.
PREPARE by_host(text, timestamptz) AS SELECT count(*), sum(v) FROM f WHERE host = $1 AND ts < $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE by_host('host_1', '2024-01-01 01:00');
EXECUTE by_host('host_1', '2024-01-01 01:00');
EXECUTE by_host('host_2', 'infinity');
EXECUTE by_host(NULL, '2024-01-02');
EXECUTE by_host('host_2', NULL);
PREPARE by_prefix(text) AS SELECT count(*) FROM f WHERE host ^@ $1;
EXECUTE by_prefix('host_');
EXECUTE by_prefix('host_3');
PREPARE by_like(text) AS SELECT count(*) FROM f WHERE host LIKE $1;
EXPLAIN (COSTS OFF) EXECUTE by_like('host%');
EXECUTE by_like('%_3');
PREPARE put(text, timestamptz, int) AS INSERT INTO f VALUES ($1, $2, $3);
EXECUTE put('put', '2024-01-01', 1);
EXECUTE put('put', '2024-01-02', 2);
EXECUTE by_host('put', 'infinity');
SET plan_cache_mode = force_custom_plan;
EXPLAIN (COSTS OFF) EXECUTE by_host('host_1', '2024-01-01 01:00');
EXECUTE by_host('host_1', '2024-01-01 01:00');
RESET plan_cache_mode;

-- A cached plan sees changed options and columns.
PREPARE everything AS SELECT * FROM f WHERE host = 'put' ORDER BY ts;
EXECUTE everything;
SET client_min_messages = warning; -- the store that stays is named after an oid
ALTER FOREIGN TABLE f OPTIONS (ADD store 'elsewhere');
RESET client_min_messages;
EXECUTE everything;
ALTER FOREIGN TABLE f OPTIONS (DROP store);
EXECUTE everything;

-- Stable functions are evaluated when the scan starts.
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE ts > now() - interval '1 hour';
INSERT INTO f VALUES ('now', now(), 1), ('now', now() - interval '2 hours', 2);
SELECT v FROM f WHERE ts > now() - interval '1 hour' AND host = 'now';
SELECT v FROM f WHERE ts <= now() - interval '1 hour' AND host = 'now';

-- Nested loops: the inner scan starts anew with each outer row.
CREATE TABLE o (host text COLLATE "C", since timestamptz, until timestamptz);
INSERT INTO o VALUES ('host_1', '2024-01-01 00:00', '2024-01-01 01:00'),
  ('host_2', '2024-01-01 01:00', '2024-01-01 01:30'), ('nobody', '-infinity', 'infinity'),
  (NULL, '-infinity', 'infinity'), ('host_3', NULL, 'infinity'), ('host_1', '2024-01-01 16:30', 'infinity');
ANALYZE o;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT explain($$SELECT o.host, count(*), sum(v) FROM o JOIN f ON f.host = o.host
  AND f.ts >= o.since AND f.ts < o.until GROUP BY o.host ORDER BY 1$$);
SELECT o.host, count(*), sum(v) FROM o JOIN f ON f.host = o.host
  AND f.ts >= o.since AND f.ts < o.until GROUP BY o.host ORDER BY 1;
SELECT o.host, o.since, count(v) FROM o LEFT JOIN f ON f.host = o.host AND f.ts >= o.since
  GROUP BY 1, 2 ORDER BY 1, 2;
-- by time only
SELECT o.since, count(v) FROM o JOIN f ON f.ts >= o.since AND f.ts < o.until
  WHERE o.host = 'host_2' GROUP BY 1;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- The latest row of each host, laterally and as subqueries.
EXPLAIN (COSTS OFF) SELECT o.host, l.* FROM o, LATERAL
  (SELECT ts, v FROM f WHERE f.host = o.host ORDER BY ts DESC LIMIT 1) l;
SELECT o.host, l.* FROM o, LATERAL
  (SELECT ts, v FROM f WHERE f.host = o.host ORDER BY ts DESC LIMIT 1) l ORDER BY 1, 2;
SELECT host, (SELECT max(v) FROM f WHERE f.host = o.host AND ts < o.until) FROM o ORDER BY 1, 2;
SELECT host FROM o WHERE EXISTS (SELECT FROM f WHERE f.host = o.host AND f.ts = o.since + interval '1 min') ORDER BY 1;
SELECT host, (SELECT v FROM f WHERE f.host = o.host AND ts >= o.since ORDER BY ts LIMIT 1) FROM o ORDER BY 1, 2;
-- rows are locked as copies of the whole, and checked again by the pushed clauses
SELECT o.host, f.v FROM o JOIN f ON f.host = o.host AND f.ts < o.until AND f.ts >= o.since
  WHERE f.v > 20 ORDER BY 1, 2 LIMIT 3 FOR UPDATE;
-- an uncorrelated subquery is a bound too
SELECT explain($$SELECT v FROM f WHERE host = (SELECT min(host) FROM o)$$);
SELECT count(v), sum(v) FROM f WHERE host = (SELECT min(host) FROM o);

-- Cursors, forwards and back, with and without scrolling.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT host, v FROM f WHERE host = 'host_4' ORDER BY ts;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ABSOLUTE 50 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
MOVE FORWARD ALL IN c;
DECLARE d NO SCROLL CURSOR FOR SELECT v FROM f WHERE host = 'host_4' ORDER BY ts;
FETCH 1 FROM d;
INSERT INTO f VALUES ('host_4', '2024-01-01 00:00:30', -1), ('host_4', '2024-01-01 00:14', -14);
FETCH 2 FROM d;
SELECT v FROM f WHERE host = 'host_4' ORDER BY ts LIMIT 3;
FETCH 1 FROM d;
COMMIT;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT v FROM f WHERE host = 'put' ORDER BY ts;
FETCH 1 FROM held;
COMMIT;
FETCH 1 FROM held;
CLOSE held;

-- Loops and functions in PL/pgSQL.
CREATE FUNCTION sum_of(h text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE r record; total bigint := 0;
BEGIN
  FOR r IN SELECT v FROM f WHERE host = h LOOP
    total := total + r.v;
    EXIT WHEN r.v > 900;
  END LOOP;
  RETURN total;
END $$;
SELECT h, sum_of(h) FROM unnest(ARRAY['host_1', 'host_2', 'nobody', 'host_1', 'host_5', 'host_6', 'host_7', NULL]) h;
DROP FUNCTION sum_of;
DROP TABLE o;
DROP SERVER par CASCADE;
