-- Aggregates in the engine: what runs there, and that results are those of a
-- heap twin, from memory, from SSTables and from both.
SET timezone = 'UTC';
SET extra_float_digits = 0; -- sums of floats may differ in the last bits
CREATE SERVER agg FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", n int, ts timestamptz,
  i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, d date, t time, w timestamp, z timestamptz, x text, b bool)
  SERVER agg OPTIONS (key_columns 'k,n', time_column 'ts', store 'agg');
CREATE TABLE h (LIKE f);
INSERT INTO h SELECT 'k' || i % 7, i % 3 - 1,
  '2024-03-30'::timestamptz + (i / 4) * interval '7 min 3.25 sec',
  CASE WHEN i % 5 <> 0 THEN i % 200 - 100 END, CASE WHEN i % 11 <> 0 THEN i * 100000 END,
  CASE WHEN i % 13 <> 0 THEN 9223372036854775807 - i END,
  CASE WHEN i % 6 <> 0 THEN (i % 40 - 20) / 4.0 END, CASE WHEN i % 7 <> 0 THEN (i % 50 - 25) / 8.0 END,
  '2024-01-01'::date + i % 300, CASE WHEN i % 9 <> 0 THEN '00:00'::time + i * interval '1 sec' END,
  '2024-01-01'::timestamp + i * interval '1 day', '2024-01-01'::timestamptz - i * interval '1 day',
  CASE WHEN i % 3 <> 0 THEN repeat('x', i % 100) END, CASE WHEN i % 8 <> 0 THEN i % 2 = 0 END
  FROM generate_series(0, 4199) i;
INSERT INTO f SELECT * FROM h;

-- Does the engine do it, and do both say the same?  %s is the table.
CREATE FUNCTION try(query text, OUT pushed bool, OUT rows bigint, OUT differ bigint)
LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  pushed := false;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || format(query, 'f') LOOP
    pushed := pushed OR line ~ 'FlowDB (Aggregate|Group Key)';
  END LOOP;
  SELECT c.rows, c.differ INTO rows, differ FROM compare_twins(query) c;
END $$;

CREATE TABLE calls (calls text);
INSERT INTO calls VALUES ('count(*)'), ('count(*), count(1), count(k), count(ts), count(x), count(b), count(t)'),
  ('sum(i2), sum(i4), sum(i8)'), ('avg(i2), avg(i4), avg(i8)'), ('sum(f4), sum(f8), avg(f4), avg(f8)'),
  ('min(i2), min(i4), min(i8), max(i2), max(i4), max(i8)'), ('min(f4), max(f4), min(f8), max(f8)'),
  ('min(d), max(d), min(t), max(t), min(w), max(w), min(z), max(z)'), ('min(ts), max(ts), min(n), max(n)'),
  ('sum(i4) + 1, round(avg(i4), 2), count(*) * 2.5, max(f8) - min(f8)');
CREATE TABLE groups (groups text);
INSERT INTO groups VALUES (''), ('k'), ('n'), ('k, n'), ('n, k'), ('ts'), ('k, ts'),
  ('date_trunc(''minute'', ts)'), ('date_trunc(''hour'', ts)'), ('date_trunc(''day'', ts)'),
  ('date_trunc(''month'', ts)'), ('k, date_trunc(''hour'', ts)'), ('date_trunc(''day'', ts), n, k'),
  ('n, date_trunc(''week'', ts)'), ('date_bin(''17 min'', ts, ''2001-01-01'')'),
  ('k, n, date_bin(''3 hours'', ts, ''2024-03-31'')'), ('k, date_bin(''1 day 2 hours'', ts, ''2030-01-01'')'),
  ('flowdb_time_bucket(''90 min'', ts)'), ('k, n, flowdb_time_bucket(''1 week'', ts)'),
  ('n, flowdb_time_bucket(''1 sec'', ts)');
CREATE TABLE wheres (wheres text);
INSERT INTO wheres VALUES ('true'), ('k = ''k3'''), ('k IN (''k1'', ''k4'') AND n = 1'), ('k = ''k3'' AND n = 0'),
  ('ts >= ''2024-03-31'' AND ts < ''2024-04-01 10:00'''), ('k > ''k2'' AND ts < ''2024-04-02'''), ('k = ''nobody'''),
  ('i4 > 100000000'), ('f8 < 0 AND i2 IS NOT NULL'), ('n = -1 AND k = ''k1'' AND ts > ''2024-04-01''');

CREATE FUNCTION try_all(OUT queries bigint, OUT pushed bigint, OUT rows bigint, OUT differ bigint) LANGUAGE sql AS $$
  SELECT count(*), count(*) FILTER (WHERE t.pushed), sum(t.rows), sum(t.differ)
  FROM calls, groups, wheres, LATERAL try(CASE WHEN groups = '' THEN 'SELECT ' || calls || ' FROM %s WHERE ' || wheres
    ELSE 'SELECT ' || groups || ', ' || calls || ' FROM %s WHERE ' || wheres || ' GROUP BY ' || groups END) t
$$;
SELECT * FROM try_all();
SELECT flowdb_flush('agg');
SELECT * FROM try_all();

-- Special floats: NaN is greatest and of zeros the last one counts, infinities
-- are no overflow, finite values that become infinite are.
CREATE FOREIGN TABLE ff (g int, n int, s float4, d float8) SERVER agg OPTIONS (key_columns 'g,n');
INSERT INTO ff VALUES (1, 1, 'NaN', 'NaN'), (1, 2, 1, 1), (1, 3, 'Infinity', 'Infinity'), (2, 1, 'Infinity', 'Infinity'), (2, 2, '-Infinity', '-Infinity'),
  (3, 1, 0, 0), (3, 2, '-0', '-0'), (4, 1, '-0', '-0'), (4, 2, NULL, NULL), (4, 3, 0, 0), (5, 1, NULL, NULL), (6, 1, '-0', '-0'), (6, 2, '-0', '-0'),
  (7, 1, '-Infinity', '-Infinity'), (7, 2, 3e38, 1e308), (7, 3, 3e38, 1e308), (8, 1, 'NaN', 'NaN'), (8, 2, NULL, NULL), (9, 1, 3e38, 1e308),
  (9, 2, 3e38, 1e308), (10, 1, 1, 1e200), (10, 2, 1, -1e200), (11, 1, 16777216, 9007199254740992), (11, 2, 1, 1), (11, 3, 1, 1);
SELECT g, min(s), max(s), sum(s), avg(s), min(d), max(d), sum(d) FROM ff WHERE g IN (1,2,3,4,5,6,7,8,10,11) GROUP BY g ORDER BY g;
SELECT g, avg(d) FROM ff WHERE g < 9 GROUP BY g ORDER BY g;
CREATE TABLE hf AS SELECT * FROM ff ORDER BY g, n;
SELECT * FROM try('SELECT g, min(s), max(s), sum(s), avg(s), min(d), max(d), sum(d) FROM %sf WHERE g IN (1,2,3,4,5,6,7,8,10,11) GROUP BY g');
SELECT * FROM try('SELECT g, min(s), max(s), sum(s), avg(s), min(d), max(d), avg(d) FROM %sf WHERE g < 9 GROUP BY g');
SELECT sum(s) FROM ff WHERE g = 9;
SELECT sum(d) FROM ff WHERE g = 9;
SELECT avg(d) FROM ff WHERE g = 9;
SELECT avg(d) FROM ff WHERE g = 10;
SELECT avg(s), sum(d) FROM ff WHERE g = 10;

-- Sums of integers have room.
CREATE FOREIGN TABLE fi (g int, n int, a int2, b int4, c int8) SERVER agg OPTIONS (key_columns 'g,n');
INSERT INTO fi SELECT i % 2, i, CASE i % 2 WHEN 0 THEN 32767 ELSE -32768 END, CASE i % 2 WHEN 0 THEN 2147483647 ELSE -2147483648 END,
  CASE i % 2 WHEN 0 THEN 9223372036854775807 ELSE -9223372036854775808 END FROM generate_series(1, 3000) i;
SELECT g, sum(a), sum(b), sum(c), avg(a), avg(b), avg(c) FROM fi GROUP BY g ORDER BY g;
SELECT sum(a), sum(b), sum(c), avg(a), avg(b), avg(c), avg(c) - sum(c) / 7 FROM fi;
SELECT c / 2 AS half, a, b FROM (SELECT sum(c) AS c, sum(a) AS a, avg(b) AS b FROM fi WHERE n = 1) s;

-- Nothing: one row without groups, none with.
SELECT count(*), count(i4), sum(i4), sum(i8), avg(f8), min(d), max(ts) FROM f WHERE k = 'none';
SELECT k, count(*) FROM f WHERE k = 'none' GROUP BY k;
SELECT count(*) FROM f WHERE k = 'none' HAVING count(*) > 0;
CREATE FOREIGN TABLE fe (k text COLLATE "C", v int) SERVER agg OPTIONS (key_columns 'k');
SELECT count(*), sum(v) FROM fe;
SELECT k, sum(v) FROM fe GROUP BY k;

-- What EXPLAIN says; what the query makes of the groups.
EXPLAIN (COSTS OFF) SELECT k, date_trunc('day', ts) AS day, count(*) + 1, sum(i4) FROM f WHERE k > 'k2' AND i2 > 3
  GROUP BY k, day HAVING avg(f8) > 0 ORDER BY sum(i4) DESC LIMIT 3;
EXPLAIN (COSTS OFF, VERBOSE) SELECT upper(k), max(f8) FROM f WHERE ts < '2024-04-01' GROUP BY k;
SELECT explain($$SELECT n, count(*) FROM f WHERE k = 'k1' GROUP BY n$$, ', ANALYZE, TIMING OFF, SUMMARY OFF');
EXPLAIN (COSTS OFF) SELECT * FROM h JOIN (SELECT k, max(i4) AS i4 FROM f WHERE n = 1 GROUP BY k) m USING (k, i4);

CREATE TABLE queries (id serial, query text);
INSERT INTO queries (query) VALUES
  ('SELECT k, sum(i4) FROM %s GROUP BY k HAVING sum(i4) > 0 AND k <> ''k3'' ORDER BY 2 DESC'),
  ('SELECT k, n FROM %s GROUP BY k, n'),
  ('SELECT upper(k) || n, sum(i4) * 2 + count(*) FROM %s GROUP BY k, n'),
  ('SELECT date_trunc(''day'', ts) + ''1 hour'', max(f8) FROM %s GROUP BY date_trunc(''day'', ts)'),
  ('SELECT count(*) FROM %s GROUP BY k, date_trunc(''day'', ts)'),
  ('SELECT CASE WHEN count(*) > 100 THEN k END, count(*) %% 3 FROM %s GROUP BY k'),
  ('SELECT k, rank() OVER (ORDER BY sum(i4)), sum(sum(i4)) OVER () FROM %s GROUP BY k'),
  ('SELECT DISTINCT sum(i4) > 0 FROM %s GROUP BY k'),
  ('SELECT s, (SELECT count(*) FROM %1$s x WHERE x.k = s) FROM unnest(ARRAY[''k1'', ''k2'', ''z'']) s'),
  ('WITH a AS MATERIALIZED (SELECT k, max(i4) AS m FROM %1$s GROUP BY k) SELECT k, ts, i4 FROM %1$s JOIN a USING (k) WHERE i4 = m'),
  ('SELECT a.k, a.c, b.c FROM (SELECT k, count(*) AS c FROM %1$s WHERE n = 0 GROUP BY k) a LEFT JOIN (SELECT k, count(x) AS c FROM %1$s WHERE n = 1 AND k > ''k3'' GROUP BY k) b USING (k)'),
  ('SELECT k, count(*) FROM %1$s GROUP BY k UNION ALL SELECT ''all'', count(*) FROM %1$s'),
  ('SELECT k FROM (VALUES (''k1''), (''k2'')) v(k) WHERE EXISTS (SELECT FROM %1$s f WHERE f.k = v.k HAVING count(*) > 100)'),
  ('SELECT v.k, l.* FROM (VALUES (''k1'', 1), (''k2'', 0)) v(k, n), LATERAL (SELECT count(*), avg(i4) FROM %1$s f WHERE f.k = v.k AND f.n >= v.n) l'),
  ('SELECT 1 FROM %s HAVING true'),
  ('SELECT k, 7, ''x'' FROM %s GROUP BY k, 2, 3'),
  ('SELECT count(*) FROM %s WHERE false'),
  ('SELECT count(*) FROM %s WHERE k = ANY (ARRAY[''k1'', ''k5'', ''zz''])'),
  ('SELECT n, max(ts) - min(ts) FROM %s GROUP BY n'),
  ('SELECT k, n, count(*) FROM %s WHERE k = ''k2'' GROUP BY k, n'),
  ('SELECT max(i4) FROM %s WHERE (k, n) > (''k3'', 0)');
SELECT id, t.* FROM queries, try(query) t ORDER BY id;

-- Left to PostgreSQL, with the same results.
TRUNCATE queries RESTART IDENTITY;
INSERT INTO queries (query) VALUES
  ('SELECT count(DISTINCT i4) FROM %s'), ('SELECT sum(i4 ORDER BY i8) FROM %s'), ('SELECT sum(i4) FILTER (WHERE n > 0) FROM %s'),
  ('SELECT sum(i4 + 1) FROM %s'), ('SELECT sum(i4::bigint) FROM %s'), ('SELECT k, sum(i4) FROM %s GROUP BY ROLLUP (k)'),
  ('SELECT i2, count(*) FROM %s GROUP BY i2'), ('SELECT k, count(*) FROM %s WHERE i4 + 1 > 5 GROUP BY k'),
  ('SELECT max(x), min(b::int), stddev(i4) FROM %s'), ('SELECT sum(n), avg(n) FROM %s'), ('SELECT max(k) || 1, sum(i4) FROM %s'),
  ('SELECT k || 1, count(*) FROM %s GROUP BY k || 1'), ('SELECT count(f) FROM %s f'), ('SELECT count(*) FROM %s WHERE k LIKE ''k_'''),
  ('SELECT lower(k), count(*) FROM %s GROUP BY lower(k)'), ('SELECT count(*) FROM %s a, (VALUES (1)) v(n) WHERE a.n < v.n'),
  ('SELECT count(*) FROM %s WHERE now() > ''2020-01-01''');
SELECT id, t.* FROM queries, try(query) t ORDER BY id;
SET flowdb.enable_aggregate_pushdown = off;
SELECT * FROM try('SELECT k, count(*) FROM %s GROUP BY k');
RESET flowdb.enable_aggregate_pushdown;

-- Values that come later: parameters, outer rows, a rescan with others.
PREPARE p(text, int, timestamptz) AS SELECT n, count(*), sum(i4) FROM f WHERE k = $1 AND n >= $2 AND ts > $3 GROUP BY n ORDER BY n;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p('k1', 0, '2024-03-31');
EXECUTE p('k1', 0, '2024-03-31');
EXECUTE p('k2', 1, '2024-04-02');
EXECUTE p(NULL, 1, '2024-04-02');
RESET plan_cache_mode;
SELECT v, (SELECT count(*) FROM f WHERE i4 > v) = (SELECT count(*) FROM h WHERE i4 > v) AS same FROM (VALUES (0), (NULL), (300000000)) a(v);

-- Cursors, forwards and again.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k, count(*) FROM f GROUP BY k ORDER BY k;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
DECLARE d CURSOR FOR SELECT k, n, count(*) FROM f GROUP BY k, n;
FETCH 2 FROM d;
INSERT INTO f VALUES ('k0', -1, '2030-01-01');
FETCH 1 FROM d;
CLOSE d;
SELECT k, count(*) FROM f WHERE k = 'k0' GROUP BY k;
ROLLBACK;

-- Rows of this transaction, of a savepoint, deleted, updated, expired.
BEGIN;
INSERT INTO f SELECT 'own', i % 2, '2024-05-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 100) i;
INSERT INTO h SELECT 'own', i % 2, '2024-05-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 100) i;
SAVEPOINT s;
DELETE FROM f WHERE k = 'k3' AND i4 % 2 = 0;
ROLLBACK TO s;
DELETE FROM f WHERE k = 'k4' AND i4 < 100000000;
DELETE FROM h WHERE k = 'k4' AND i4 < 100000000;
UPDATE f SET i4 = NULL, f8 = 77 WHERE n = 1 AND k < 'k3';
UPDATE h SET i4 = NULL, f8 = 77 WHERE n = 1 AND k < 'k3';
SELECT t.* FROM (VALUES ('SELECT count(*), sum(i4), max(f8) FROM %s'), ('SELECT k, n, count(i4), max(f8) FROM %s GROUP BY k, n'),
  ('SELECT date_trunc(''hour'', ts), count(*), min(i4) FROM %s GROUP BY 1')) q(query), try(query) t;
COMMIT;
SELECT flowdb_flush('agg');
SELECT flowdb_compact('agg');
SELECT t.* FROM (VALUES ('SELECT count(*), sum(i4), max(f8) FROM %s'), ('SELECT k, n, count(i4), max(f8) FROM %s GROUP BY k, n'),
  ('SELECT date_trunc(''hour'', ts), count(*), min(i4) FROM %s GROUP BY 1')) q(query), try(query) t;
CREATE FOREIGN TABLE fx (k int, e timestamptz, v int) SERVER agg OPTIONS (key_columns 'k', expire_column 'e');
INSERT INTO fx SELECT i, CASE i % 2 WHEN 0 THEN '2001-01-01'::timestamptz ELSE 'infinity' END, i FROM generate_series(1, 1000) i;
SELECT count(*), sum(v), min(k), max(k) FROM fx;
SELECT count(e), max(e) FROM fx;

-- Columns that rows are older than.
ALTER FOREIGN TABLE fx ADD COLUMN w int DEFAULT 7, ADD COLUMN u int8;
INSERT INTO fx VALUES (2, 'infinity', 2, 1, 3);
SELECT count(*), count(w), sum(w), avg(w), count(u), sum(u), max(u) FROM fx;
ALTER FOREIGN TABLE fx DROP COLUMN v;
SELECT sum(w) FROM fx;

-- Key columns of every type; a collation in which other bytes are equal.
CREATE FOREIGN TABLE fk (a bytea, b int2, c int8, d bool, e uuid, f date, g timestamp, h timestamptz, i varchar, v int) SERVER agg
  OPTIONS (key_columns 'a,b,c,d,e,f,g,h,i');
CREATE TABLE hk (LIKE fk);
INSERT INTO hk SELECT decode(CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN '00ff00' ELSE '0001' END, 'hex'), i % 2 - 1, i % 3 * 10000000000, i % 5 = 0,
  ('00000000-0000-0000-0000-00000000000' || i % 4)::uuid, '2024-01-01'::date - i % 2, '2024-01-01'::timestamp + i % 3 * interval '1 day', 'infinity',
  repeat('y', i % 4), i FROM generate_series(1, 300) i;
DELETE FROM hk x USING hk y WHERE (x.a, x.b, x.c, x.d, x.e, x.f, x.g, x.h, x.i) = (y.a, y.b, y.c, y.d, y.e, y.f, y.g, y.h, y.i) AND x.ctid > y.ctid;
INSERT INTO fk SELECT * FROM hk;
SELECT g, t.* FROM (VALUES ('a'), ('b'), ('c, d'), ('e'), ('f'), ('g, a'), ('h'), ('i'), ('i, e, a'), ('a, b, c, d, e, f, g, h, i')) q(g),
  try('SELECT ' || g || ', count(*), sum(v), min(b), max(c), min(f), max(g), min(h) FROM %sk GROUP BY ' || g) t;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXPLAIN (COSTS OFF) SELECT k COLLATE nocase, count(*) FROM f GROUP BY k COLLATE nocase;

-- An empty key, behind which the next one stands.
CREATE FOREIGN TABLE fm (k bytea, ts timestamptz) SERVER agg OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE hm AS SELECT sha256(i::text::bytea) AS k, '2024-01-01'::timestamptz + i % 3 * interval '1 hour' AS ts FROM generate_series(1, 5) i
  UNION ALL SELECT '', '2024-02-01'::timestamptz + i * interval '1 hour' FROM generate_series(1, 3) i
  UNION ALL SELECT '\x00', '2024-01-01'::timestamptz + i * interval '1 hour' FROM generate_series(1, 5) i;
INSERT INTO fm SELECT * FROM hm;
CREATE TABLE empties (e) AS VALUES ('SELECT ts, count(*) FROM %sm GROUP BY ts'), ('SELECT k, min(ts), max(ts) FROM %sm GROUP BY k'),
  ('SELECT date_trunc(''day'', ts), count(*), max(ts) FROM %sm WHERE k < ''\x01'' GROUP BY 1'), ('SELECT k, ts, count(*) FROM %sm GROUP BY k, ts');
SELECT e, t.* FROM empties, try(e) t;
SELECT flowdb_flush('agg');
SELECT e, t.* FROM empties, try(e) t;

-- Partitions; a view that bars what leaks.
CREATE TABLE part (k text COLLATE "C", ts timestamptz, v int) PARTITION BY LIST (k);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES IN ('a', 'b') SERVER agg OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE part_c PARTITION OF part FOR VALUES IN ('c');
INSERT INTO part SELECT chr(97 + i % 3), '2024-01-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 300) i;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT k, count(*), sum(v) FROM part WHERE v > 5 GROUP BY k HAVING count(*) > 10;
SELECT k, count(*), sum(v) FROM part WHERE v > 5 GROUP BY k HAVING count(*) > 10 ORDER BY k;
SELECT count(*), sum(v) FROM part;
RESET enable_partitionwise_aggregate;
CREATE FUNCTION leak(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
CREATE VIEW barred WITH (security_barrier) AS SELECT * FROM f WHERE k = 'k1' AND n = 0 AND ts < '2024-03-30 02:00';
EXPLAIN (COSTS OFF) SELECT count(*) FROM barred WHERE i4 > 0;
SELECT count(*) FROM barred WHERE i4 > 0 AND leak(i4);
SELECT k, sum(i4) FROM barred GROUP BY k;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM f;
ROLLBACK;
DROP VIEW barred;
DROP TABLE part;
DROP SERVER agg CASCADE;
DROP TABLE h, hf, hk, hm, empties, calls, groups, wheres, queries;
DROP FUNCTION try, try_all, leak;
DROP COLLATION nocase;
