-- SELECT FOR UPDATE/SHARE in one session; what others see is in specs/.
CREATE SCHEMA test_locking;
GRANT USAGE ON SCHEMA test_locking TO PUBLIC;
SET search_path = test_locking, public;
CREATE SERVER loc FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", ts bigint, v int) SERVER loc
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k text COLLATE "C", n int);
INSERT INTO f SELECT k, i, i FROM unnest(ARRAY['a', 'b']) k, generate_series(1, 5) i;
INSERT INTO h VALUES ('a', 1), ('b', 2);

SELECT * FROM f WHERE k = 'a' ORDER BY ts FOR UPDATE;
SELECT v FROM f WHERE k = 'a' AND v > 3 FOR NO KEY UPDATE;
SELECT * FROM f WHERE v = 2 ORDER BY k FOR SHARE;
SELECT * FROM f WHERE v = 2 ORDER BY k FOR KEY SHARE NOWAIT;
SELECT k, ts FROM f WHERE k = 'b' ORDER BY ts DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
SELECT count(*) FROM (SELECT FROM f FOR UPDATE) s;
SELECT * FROM f JOIN h USING (k) WHERE ts = 1 ORDER BY k FOR UPDATE;
SELECT * FROM f JOIN h USING (k) WHERE ts = 1 ORDER BY k FOR UPDATE OF h;
SELECT * FROM f JOIN h USING (k) WHERE ts = 1 ORDER BY k FOR SHARE OF f;
SELECT a.ts, b.ts FROM f a LEFT JOIN f b ON b.k = a.k AND b.ts = a.ts + 4 WHERE a.k = 'a' ORDER BY 1 FOR UPDATE OF a;
SELECT k FROM h WHERE EXISTS (SELECT FROM f WHERE f.k = h.k FOR UPDATE) ORDER BY k;
WITH w AS (SELECT * FROM f WHERE ts = 5 FOR UPDATE) SELECT * FROM w ORDER BY k;
CREATE VIEW fv AS SELECT * FROM f WHERE v < 3;
SELECT * FROM fv ORDER BY k, ts FOR UPDATE;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE k = 'a' AND v > 1 FOR UPDATE;
CREATE FUNCTION loc_explain(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN SELECT explain(query, ', ANALYZE, TIMING OFF, SUMMARY OFF') LOOP
    IF line ~ 'actual|Removed' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
SELECT loc_explain('SELECT v FROM f WHERE k = ''a'' AND v > 1 FOR UPDATE');
SELECT count(*) FROM f GROUP BY k FOR UPDATE;
\echo :SQLSTATE

-- Conditions that bound the scan from an outer row, and those of subqueries.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT h.k, f.ts FROM h, f WHERE f.k = h.k AND f.ts = h.n ORDER BY 1 FOR UPDATE;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT k, ts FROM f WHERE v = (SELECT max(v) FROM f g WHERE g.k = f.k) ORDER BY k FOR UPDATE;
CREATE SEQUENCE loc_seq;
SELECT ts FROM f WHERE k = 'a' AND nextval('loc_seq') % 2 = 0 FOR UPDATE;

-- What this transaction has written.
BEGIN;
UPDATE f SET v = v + 10 WHERE k = 'a' AND ts < 3;
DELETE FROM f WHERE k = 'a' AND ts = 5;
INSERT INTO f VALUES ('a', 6, 6), ('a', 3, 33);
SELECT * FROM f WHERE k = 'a' ORDER BY ts FOR UPDATE;
SAVEPOINT s;
UPDATE f SET v = 0 WHERE k = 'a';
SELECT * FROM f WHERE k = 'a' AND v = 0 ORDER BY ts FOR SHARE;
ROLLBACK TO s;
SELECT * FROM f WHERE k = 'a' AND v > 10 ORDER BY ts FOR SHARE;
ROLLBACK;

-- A cursor goes on past what was changed since: it leaves that out, as a heap's does.
BEGIN;
DECLARE cur CURSOR FOR SELECT ts, v FROM f WHERE k = 'a' FOR UPDATE;
FETCH 2 FROM cur;
UPDATE f SET v = 100 WHERE k = 'a' AND ts >= 4;
FETCH ALL FROM cur;
COMMIT;
BEGIN;
DECLARE cur SCROLL CURSOR FOR SELECT ts FROM f FOR UPDATE;
ROLLBACK;
BEGIN;
DECLARE cur CURSOR WITH HOLD FOR SELECT ts FROM f FOR UPDATE;
\echo :SQLSTATE
ROLLBACK;
DO $$
DECLARE r record; n int := 0;
BEGIN
  FOR r IN SELECT * FROM f WHERE k = 'b' ORDER BY ts FOR UPDATE LOOP
    UPDATE f SET v = r.v * 2 WHERE k = r.k AND ts = r.ts;
    n := n + 1;
  END LOOP;
  RAISE NOTICE '% rows, sum %', n, (SELECT sum(v) FROM f WHERE k = 'b');
END $$;

-- Generic plans; what is refused.
PREPARE p (text) AS SELECT ts FROM f WHERE k = $1 ORDER BY ts LIMIT 2 FOR UPDATE;
SET plan_cache_mode = force_generic_plan;
EXECUTE p ('a');
EXECUTE p (NULL);
RESET plan_cache_mode;
SELECT * FROM f FOR UPDATE OF nobody;
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT * FROM f FOR UPDATE;
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM f WHERE k = 'a';
UPDATE f SET v = 1 WHERE k = 'a' AND ts = 1;
SELECT v FROM f WHERE k = 'a' AND ts = 1 FOR UPDATE;
COMMIT;
BEGIN;
SELECT v FROM f WHERE k = 'a' AND ts = 1 FOR UPDATE;
PREPARE TRANSACTION 'flowdb';
\echo :SQLSTATE

-- Many rows: the store is locked instead.
INSERT INTO f SELECT 'many', i, i FROM generate_series(1, 20000) i;
BEGIN;
SELECT count(*) FROM (SELECT FROM f WHERE k = 'many' FOR UPDATE) s;
SAVEPOINT s;
UPDATE f SET v = v + 1 WHERE k = 'many';
ROLLBACK TO s;
UPDATE f SET v = v + 1 WHERE k = 'many';
COMMIT;
SELECT sum(v) FROM f WHERE k = 'many';
SET client_min_messages = warning;
DROP SERVER loc CASCADE;
DROP SCHEMA test_locking CASCADE;
