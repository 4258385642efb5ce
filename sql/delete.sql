-- DELETE, beside a heap twin.
CREATE SCHEMA test_delete;
GRANT USAGE ON SCHEMA test_delete TO PUBLIC;
SET search_path = test_delete, public;
SET timezone = 'UTC';
CREATE SERVER del FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, expire bigint)
  SERVER del OPTIONS (key_columns 'k', time_column 'ts', expire_column 'expire');
CREATE TABLE h (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int);
CREATE VIEW difference AS
  (SELECT 'f', * FROM (SELECT k, ts, v FROM f EXCEPT ALL TABLE h) a)
  UNION ALL (SELECT 'h', * FROM (TABLE h EXCEPT ALL SELECT k, ts, v FROM f) b);
INSERT INTO h SELECT k, i, i FROM unnest(ARRAY['a', 'b', 'c', 'd']) k, generate_series(1, 100) i;
INSERT INTO f TABLE h;

DELETE FROM f WHERE k = 'a' AND ts BETWEEN 10 AND 19;
DELETE FROM h WHERE k = 'a' AND ts BETWEEN 10 AND 19;
DELETE FROM f WHERE v % 10 = 3;
DELETE FROM h WHERE v % 10 = 3;
DELETE FROM f WHERE k = 'nobody';
DELETE FROM f WHERE false;
SELECT * FROM difference;
SELECT flowdb_flush('del');
SELECT * FROM difference;
DELETE FROM f WHERE ts > 90;
DELETE FROM h WHERE ts > 90;
SELECT * FROM difference;

-- What is deleted is deleted once, and may be written again.
BEGIN;
DELETE FROM f WHERE k = 'b' AND ts <= 10;
DELETE FROM f WHERE k = 'b' AND ts <= 10;
SELECT count(*) FROM f WHERE k = 'b' AND ts <= 10;
INSERT INTO f VALUES ('b', 5, 55), ('b', 6, 66);
SELECT k, ts, v FROM f WHERE k = 'b' AND ts <= 10 ORDER BY ts;
DELETE FROM f WHERE k = 'b' AND ts = 6;
SAVEPOINT s;
DELETE FROM f WHERE k = 'b';
SELECT count(*) FROM f WHERE k = 'b';
ROLLBACK TO s;
COMMIT;
DELETE FROM h WHERE k = 'b' AND ts <= 10;
INSERT INTO h VALUES ('b', 5, 55);
SELECT * FROM difference;
BEGIN;
DELETE FROM f;
SELECT count(*) FROM f;
ROLLBACK;
SELECT * FROM difference;

-- USING, subqueries, itself; a row that comes twice counts once.
CREATE TABLE j (k text, n int);
INSERT INTO j VALUES ('c', 5), ('c', 5), ('c', 6), ('zz', 8);
DELETE FROM f USING j WHERE j.k = f.k AND f.ts < 20;
DELETE FROM h USING j WHERE j.k = h.k AND h.ts < 20;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
DELETE FROM f USING j WHERE j.k = f.k AND f.ts < 40;
DELETE FROM h USING j WHERE j.k = h.k AND h.ts < 40;
RESET enable_hashjoin;
RESET enable_mergejoin;
DELETE FROM f WHERE (k, ts) IN (SELECT k, max(ts) FROM f GROUP BY k);
DELETE FROM h WHERE (k, ts) IN (SELECT k, max(ts) FROM h GROUP BY k);
DELETE FROM f a USING f b WHERE a.k = b.k AND b.ts = a.ts + 1 AND a.k = 'd' AND a.ts > 80;
DELETE FROM h a USING h b WHERE a.k = b.k AND b.ts = a.ts + 1 AND a.k = 'd' AND a.ts > 80;
DELETE FROM f WHERE EXISTS (SELECT FROM j WHERE j.n = f.ts);
DELETE FROM h WHERE EXISTS (SELECT FROM j WHERE j.n = h.ts);
SELECT * FROM difference;
CREATE VIEW later_half AS SELECT k, ts FROM f WHERE ts > 50;
DELETE FROM later_half WHERE k = 'c';
DELETE FROM h WHERE k = 'c' AND ts > 50;
SELECT * FROM difference;
WITH a AS (DELETE FROM f WHERE k = 'a' AND ts < 5 RETURNING ts),
     b AS (DELETE FROM f WHERE k = 'a' AND ts < 8 RETURNING ts)
  SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b) AS gone;
DELETE FROM h WHERE k = 'a' AND ts < 8;
SELECT * FROM difference;
DELETE FROM f WHERE k = 'd' AND random() >= 0;
DELETE FROM h WHERE k = 'd';
SELECT * FROM difference;

-- A function that deletes, called by what deletes.
CREATE FUNCTION gone(key text, t bigint) RETURNS bool LANGUAGE plpgsql AS
  $$ BEGIN DELETE FROM f WHERE k = key AND ts = t; RETURN true; END $$;
DELETE FROM f WHERE k = 'a' AND ts IN (20, 21) AND gone(k, 21);
\echo :SQLSTATE
DELETE FROM f WHERE k = 'a' AND ts = 20 AND gone(k, ts);
\echo :SQLSTATE
SELECT * FROM difference;

-- Expired rows are not there.
INSERT INTO f VALUES ('x', 1, 1, 1), ('x', 2, 2, 9000000000000000000);
DELETE FROM f WHERE k = 'x';

-- EXPLAIN and prepared plans.
EXPLAIN (COSTS OFF) DELETE FROM f WHERE k = 'a' AND v IS NOT NULL;
PREPARE d (text, bigint) AS DELETE FROM f WHERE k = $1 AND ts = $2;
SET plan_cache_mode = force_generic_plan;
EXECUTE d ('a', 60);
EXECUTE d ('a', 60);
DELETE FROM h WHERE k = 'a' AND ts = 60;
SELECT * FROM difference;
EXECUTE d ('a', 61);
RESET plan_cache_mode;
DELETE FROM h WHERE k = 'a' AND ts = 61;
SELECT flowdb_flush('del');
SELECT * FROM difference;

-- Rights.
CREATE ROLE flowdb_regress_del;
GRANT SELECT, INSERT ON f TO flowdb_regress_del;
SET ROLE flowdb_regress_del;
DELETE FROM f;
\echo :SQLSTATE
UPDATE f SET v = 1;
\echo :SQLSTATE
SELECT k FROM f WHERE k = 'a' FOR UPDATE;
\echo :SQLSTATE
TRUNCATE f;
\echo :SQLSTATE
RESET ROLE;
REVOKE SELECT ON f FROM flowdb_regress_del;
GRANT DELETE ON f TO flowdb_regress_del;
SET ROLE flowdb_regress_del;
DELETE FROM f WHERE k = 'a';
\echo :SQLSTATE
DELETE FROM f RETURNING ts;
\echo :SQLSTATE
DELETE FROM f;
RESET ROLE;
SELECT count(*) FROM f;
DROP OWNED BY flowdb_regress_del;
DROP ROLE flowdb_regress_del;
SET client_min_messages = warning;
DROP SERVER del CASCADE;
DROP SCHEMA test_delete CASCADE;
