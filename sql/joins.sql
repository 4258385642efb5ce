-- Joins: values of other relations bound a scan, and its order serves merges.
SET timezone = 'UTC';
CREATE SERVER jn FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts timestamptz, v int) SERVER jn
  OPTIONS (key_columns 'host', time_column 'ts');
CREATE FOREIGN TABLE g (host text COLLATE "C", ts timestamptz, w int) SERVER jn
  OPTIONS (key_columns 'host', time_column 'ts');
CREATE TABLE h (host text COLLATE "C", ts timestamptz, v int);
INSERT INTO h SELECT 'host_' || i % 10, '2024-01-01'::timestamptz + i * interval '1 min', i
  FROM generate_series(0, 4999) i;
INSERT INTO f SELECT * FROM h;
INSERT INTO g SELECT host, ts, -v FROM h WHERE v % 5 = 0;
SELECT flowdb_flush('jn');
INSERT INTO g SELECT host, ts, -v FROM h WHERE v % 7 = 0;
CREATE TABLE o (id int, host text COLLATE "C", hosts text[], ts timestamptz, times timestamptz[]);
INSERT INTO o SELECT i, 'host_' || i, ARRAY['host_' || i, 'host_' || i + 1, NULL, 'nobody'], '2024-01-01'::timestamptz + i * interval '1 min',
  ARRAY['2024-01-01'::timestamptz + i * interval '1 min', '2024-01-01'::timestamptz + (i + 10) * interval '1 min']
  FROM generate_series(1, 6) i;
INSERT INTO o VALUES (7, NULL, NULL, NULL, NULL), (8, 'nobody', '{}', 'infinity', '{}'), (9, 'host_3', '{NULL}', NULL, '{NULL}');
ANALYZE h, o;

-- Point reads beside a few rows of a heap.
SELECT explain($$SELECT o.id, f.v FROM o JOIN f USING (host, ts)$$);
SELECT o.id, f.v FROM o JOIN f USING (host, ts) ORDER BY 1, 2;
EXPLAIN (COSTS OFF) SELECT o.id, f.v FROM o LEFT JOIN f ON f.host = o.host AND f.ts = o.ts;
SELECT o.id, f.v FROM o LEFT JOIN f ON f.host = o.host AND f.ts = o.ts ORDER BY 1, 2;
-- Ranges and arrays of a row.
SELECT explain($$SELECT o.id, count(f.v) FROM o JOIN f ON f.host = o.host AND f.ts > o.ts AND f.ts < o.ts + interval '1 hour' GROUP BY 1$$);
SELECT o.id, count(f.v) FROM o JOIN f ON f.host = o.host AND f.ts > o.ts AND f.ts < o.ts + interval '1 hour' GROUP BY 1 ORDER BY 1;
EXPLAIN (COSTS OFF) SELECT o.id, f.v FROM o JOIN f ON f.host = ANY (o.hosts) AND f.ts = ANY (o.times);
SELECT o.id, f.v FROM o JOIN f ON f.host = ANY (o.hosts) AND f.ts = ANY (o.times) ORDER BY 1, 2;
SELECT explain($$SELECT o.id, f.v FROM o JOIN f ON (f.host = o.host OR f.host = 'host_0') AND f.ts = o.ts$$);
SELECT o.id, f.v FROM o JOIN f ON (f.host = o.host OR f.host = 'host_0') AND f.ts = o.ts ORDER BY 1, 2;
SELECT o.id, count(*) FROM o JOIN f ON f.host LIKE o.host || '%' GROUP BY 1 ORDER BY 1;
SELECT o.id, count(*) FROM o JOIN f ON (f.host, f.ts) > (o.host, o.ts) GROUP BY 1 ORDER BY 1;

-- All of both: no nested loop.
EXPLAIN (COSTS OFF) SELECT count(*) FROM f JOIN h USING (host, ts);
SELECT count(*), sum(f.v), sum(h.v) FROM f JOIN h USING (host, ts);
-- A merge join takes the engine's order, without a sort of ours.
SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM f JOIN g USING (host, ts);
SELECT count(*), sum(f.v + g.w) FROM f JOIN g USING (host, ts);
EXPLAIN (COSTS OFF) SELECT count(*) FROM f JOIN g USING (host, ts) WHERE host = 'host_3';
SELECT count(*), sum(f.v + g.w) FROM f JOIN g USING (host, ts) WHERE host = 'host_3';
EXPLAIN (COSTS OFF) SELECT * FROM f JOIN g USING (host, ts) WHERE host IN ('host_3', 'host_5') ORDER BY host, ts;
SELECT count(*), sum(v + w) FROM (SELECT * FROM f JOIN g USING (host, ts) WHERE host IN ('host_3', 'host_5') ORDER BY host, ts) x;
SELECT count(*) FROM f JOIN h USING (host, ts) WHERE f.v <> h.v;
SELECT count(*), count(g.w) FROM f FULL JOIN g USING (host, ts);
RESET enable_hashjoin;
RESET enable_nestloop;

-- A table with itself.
SELECT count(*) FROM f a JOIN f b USING (host, ts) WHERE a.v = b.v;
SELECT a.v, b.v FROM f a JOIN f b ON b.host = a.host AND b.ts = a.ts + interval '10 min'
  WHERE a.host = 'host_4' AND a.ts < '2024-01-01 00:30' ORDER BY 1;
-- Two tables and a heap.
SELECT o.id, f.v, g.w FROM o JOIN f ON f.host = o.host AND f.ts >= o.ts AND f.ts < o.ts + interval '2 hours'
  JOIN g ON g.host = f.host AND g.ts = f.ts WHERE o.id < 4 ORDER BY 1, 2;

-- Semi and anti joins, correlated and lateral subqueries.
SELECT id FROM o WHERE EXISTS (SELECT FROM f WHERE f.host = o.host AND f.ts = o.ts) ORDER BY 1;
SELECT id FROM o WHERE NOT EXISTS (SELECT FROM f WHERE f.host = o.host AND f.ts = o.ts) ORDER BY 1;
SELECT count(*) FROM f WHERE host IN (SELECT host FROM o WHERE id IN (3, 9));
SELECT count(*) FROM f WHERE NOT EXISTS (SELECT FROM g WHERE g.host = f.host AND g.ts = f.ts);
SELECT count(*) FROM f WHERE (host, ts) IN (SELECT host, ts FROM g) AND host = 'host_5';
SELECT count(*) FROM f WHERE host NOT IN (SELECT host FROM o WHERE host IS NOT NULL);
-- IS NULL above an outer join is no bound below it
EXPLAIN (COSTS OFF) SELECT o.id FROM o LEFT JOIN f ON f.host = o.host AND f.ts = o.ts WHERE f.host IS NULL;
SELECT o.id FROM o LEFT JOIN f ON f.host = o.host AND f.ts = o.ts WHERE f.host IS NULL ORDER BY 1;
SELECT o.id, f.v FROM o LEFT JOIN f ON f.host = o.host AND f.ts = o.ts WHERE f.host IS NULL OR f.v > 4 ORDER BY 1;
EXPLAIN (COSTS OFF) SELECT id, (SELECT v FROM f WHERE f.host = o.host AND f.ts >= o.ts ORDER BY ts LIMIT 1) FROM o;
SELECT id, (SELECT v FROM f WHERE f.host = o.host AND f.ts >= o.ts ORDER BY ts LIMIT 1) FROM o ORDER BY 1;
SELECT o.id, l.v FROM o, LATERAL (SELECT v FROM f WHERE f.host = ANY (o.hosts) ORDER BY host DESC, ts DESC LIMIT 2) l ORDER BY 1, 2;
SELECT o.id, l.n FROM o LEFT JOIN LATERAL (SELECT count(*) AS n FROM f WHERE f.host = o.host AND f.ts = ANY (o.times)) l ON true ORDER BY 1;
-- The latest row of each host.
SELECT d.host, l.v FROM (SELECT DISTINCT host FROM o WHERE host IS NOT NULL) d,
  LATERAL (SELECT v FROM f WHERE f.host = d.host ORDER BY ts DESC LIMIT 1) l ORDER BY 1;

-- Generic plans; parameters that are NULL, or arrays.
SET plan_cache_mode = force_generic_plan;
PREPARE points(text[], timestamptz[]) AS SELECT v FROM f WHERE host = ANY ($1) AND ts = ANY ($2) ORDER BY v;
EXPLAIN (COSTS OFF) EXECUTE points(NULL, NULL);
EXECUTE points('{host_1,host_2,host_2,NULL}', '{2024-01-01 00:01,2024-01-01 00:12}');
EXECUTE points('{}', '{2024-01-01 00:01}');
EXECUTE points('{host_1}', NULL);
EXECUTE points('{{host_1},{host_2}}', '{2024-01-01 00:01,2024-01-01 00:02}');
PREPARE page(text, timestamptz) AS SELECT host, ts, v FROM f WHERE (host, ts) > ($1, $2) ORDER BY host, ts LIMIT 2;
EXPLAIN (COSTS OFF) EXECUTE page('', '-infinity');
EXECUTE page('', '-infinity');
EXECUTE page('host_0', '2024-01-01 00:10');
EXECUTE page('host_0', '2024-01-04 11:10');
EXECUTE page('host_9', 'infinity');
EXECUTE page('host_0', NULL);
EXECUTE page(NULL, '2024-01-01');
PREPARE either(text, text) AS SELECT count(*) FROM f WHERE host = $1 OR host = $2;
EXECUTE either('host_1', 'host_2');
EXECUTE either('host_1', NULL);
EXECUTE either('host_1', 'host_1');
PREPARE begins(text) AS SELECT count(*) FROM f WHERE host LIKE $1;
EXECUTE begins('host\_1%');
EXECUTE begins('host__');
EXECUTE begins('%9');
EXECUTE begins(NULL);
EXECUTE begins('host\');
RESET plan_cache_mode;
DEALLOCATE ALL;

-- Cursors over several ranges, back and forth.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT host, v FROM f WHERE host IN ('host_9', 'host_1') AND ts < '2024-01-01 00:30' ORDER BY host, ts;
FETCH 4 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
FETCH BACKWARD 3 FROM c;
FETCH FIRST FROM c;
FETCH ABSOLUTE 5 FROM c;
FETCH BACKWARD ALL FROM c;
DECLARE d CURSOR FOR SELECT v FROM f WHERE host IN ('host_9', 'host_1') AND ts IN ('2024-01-01 00:01', '2024-01-01 00:09', '2024-01-01 00:11');
FETCH 1 FROM d;
INSERT INTO f VALUES ('host_9', '2024-01-01 00:09', -9);
FETCH ALL FROM d;
COMMIT;
BEGIN;
DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT v FROM f WHERE host IN ('host_9', 'host_1') AND ts < '2024-01-01 00:20' ORDER BY host DESC, ts DESC;
COMMIT;
FETCH ALL FROM held;
FETCH BACKWARD 2 FROM held;
CLOSE held;

-- Many rescans, with changed and unchanged parameters.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET enable_memoize = off;
SELECT count(*), sum(f.v) FROM h JOIN f ON f.host = h.host AND f.ts = h.ts;
SELECT count(*), sum(f.v) FROM generate_series(1, 500) i LEFT JOIN f
  ON f.host IN ('host_2', 'host_3') AND f.ts IN ('2024-01-01 00:02', '2024-01-01 00:03');
SELECT count(*), sum(f.v) FROM generate_series(0, 2999) i JOIN f
  ON f.host = ANY (ARRAY['host_' || i % 10, 'host_' || (i + 1) % 10]) AND f.ts = '2024-01-01'::timestamptz + i * interval '1 min';
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
RESET enable_memoize;

-- Rows that are changed or locked come from ranges and points as well.
UPDATE f SET v = v + 100000 WHERE host IN ('host_1', 'host_2') AND ts IN ('2024-01-01 00:01', '2024-01-01 00:02', '2024-01-01 00:11');
UPDATE f SET v = f.v + 200000 FROM o WHERE f.host = o.host AND f.ts = o.ts AND o.id IN (3, 4);
DELETE FROM f WHERE (host, ts) > ('host_9', '2024-01-04 11:00');
DELETE FROM f USING o WHERE f.host = ANY (o.hosts) AND f.ts = ANY (o.times) AND o.id = 6;
SELECT v FROM f WHERE v >= 100000 ORDER BY 1;
SELECT count(*), max(ts) FROM f WHERE host = 'host_9';
BEGIN;
SELECT v FROM f WHERE host IN ('host_2', 'host_5') AND ts IN ('2024-01-01 00:12', '2024-01-01 00:05') ORDER BY v FOR UPDATE;
COMMIT;
DROP TABLE h, o;
DROP SERVER jn CASCADE;
