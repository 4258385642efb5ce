-- UPDATE: values, keys and times, beside a heap twin.
CREATE SCHEMA test_update;
GRANT USAGE ON SCHEMA test_update TO PUBLIC;
SET search_path = test_update, public;
SET timezone = 'UTC';
CREATE SERVER upd FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, note text)
  SERVER upd OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, note text);
CREATE VIEW difference AS (SELECT 'f', * FROM (TABLE f EXCEPT ALL TABLE h) a)
  UNION ALL (SELECT 'h', * FROM (TABLE h EXCEPT ALL TABLE f) b);
INSERT INTO h SELECT k, i, i, NULL FROM unnest(ARRAY['a', 'b', 'c']) k, generate_series(1, 50) i;
INSERT INTO f TABLE h;

-- Values; counts; rows that do not match; NULLs; long values.
UPDATE f SET v = v + 1 WHERE k = 'a' AND ts <= 10;
UPDATE h SET v = v + 1 WHERE k = 'a' AND ts <= 10;
UPDATE f SET note = 'n' || v, v = NULL WHERE v % 7 = 0;
UPDATE h SET note = 'n' || v, v = NULL WHERE v % 7 = 0;
UPDATE f SET v = 1 WHERE k = 'nobody';
UPDATE f SET v = 1 WHERE false;
UPDATE f SET (v, note) = (ts * 2, repeat('long ', 1000)) WHERE ts = 20;
UPDATE h SET (v, note) = (ts * 2, repeat('long ', 1000)) WHERE ts = 20;
UPDATE f SET v = DEFAULT WHERE ts = 21;
UPDATE h SET v = DEFAULT WHERE ts = 21;
SELECT * FROM difference;
SELECT flowdb_flush('upd');
UPDATE f SET v = -v;
UPDATE h SET v = -v;
SELECT * FROM difference;
SELECT k, ts, v, left(note, 10) FROM f WHERE ts IN (7, 20, 21) ORDER BY k, ts;

-- Key and time: a row moves exactly once.
UPDATE f SET ts = ts + 1;
UPDATE h SET ts = ts + 1;
SELECT count(*), min(ts), max(ts) FROM f;
SELECT * FROM difference;
UPDATE f SET ts = ts - 1;
UPDATE h SET ts = ts - 1;
SELECT * FROM difference;
UPDATE f SET ts = 51 - ts;
UPDATE h SET ts = 51 - ts;
SELECT * FROM difference;
UPDATE f SET ts = ts + CASE WHEN ts % 2 = 1 THEN 1 ELSE -1 END, v = ts;
UPDATE h SET ts = ts + CASE WHEN ts % 2 = 1 THEN 1 ELSE -1 END, v = ts;
SELECT * FROM difference;
UPDATE f SET k = chr(ascii(k) + 1) WHERE ts > 10;
UPDATE h SET k = chr(ascii(k) + 1) WHERE ts > 10;
SELECT k, count(*) FROM f GROUP BY k ORDER BY k;
SELECT * FROM difference;
BEGIN;
UPDATE f SET ts = ts + 1;
UPDATE f SET ts = ts + 1;
SAVEPOINT s;
UPDATE f SET ts = ts + 100;
SELECT count(*), min(ts), max(ts) FROM f;
ROLLBACK TO s;
UPDATE f SET ts = ts - 1;
UPDATE f SET ts = ts - 1;
COMMIT;
SELECT * FROM difference;
-- a chain that begins in the middle: what does not move is replaced
UPDATE f SET ts = ts + 1 WHERE k = 'a' AND ts = 9;
DELETE FROM h WHERE k = 'a' AND ts = 10;
UPDATE h SET ts = ts + 1 WHERE k = 'a' AND ts = 9;
SELECT * FROM difference;
-- two rows to one place: one stays
UPDATE f SET k = 'one', ts = 1 WHERE k = 'a' AND ts < 3;
SELECT k, ts FROM f WHERE k = 'one';
DELETE FROM f WHERE k = 'one';
DELETE FROM h WHERE k = 'a' AND ts < 3;
SELECT * FROM difference;
SELECT flowdb_flush('upd');
SELECT * FROM difference;

-- Joins: a row that comes twice is updated once, by either.
CREATE TABLE j (k text, n int);
INSERT INTO j VALUES ('b', 5), ('b', 6), ('c', 7), ('zz', 8);
UPDATE f SET v = 1000 FROM j WHERE j.k = f.k;
UPDATE h SET v = 1000 FROM j WHERE j.k = h.k;
SELECT * FROM difference;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
UPDATE f SET v = v + 1 FROM j WHERE j.k = f.k;
UPDATE h SET v = v + 1 FROM j WHERE j.k = h.k;
UPDATE f SET ts = ts + 1 FROM j WHERE j.k = f.k;
UPDATE h SET ts = ts + 1 FROM j WHERE j.k = h.k;
SET enable_nestloop = off;
SET enable_hashjoin = on;
UPDATE f SET v = v + 1 FROM j WHERE j.k = f.k;
UPDATE h SET v = v + 1 FROM j WHERE j.k = h.k;
UPDATE f SET ts = ts + 1 FROM j WHERE j.k = f.k;
UPDATE h SET ts = ts + 1 FROM j WHERE j.k = h.k;
SET enable_hashjoin = off;
SET enable_mergejoin = on;
UPDATE f SET v = v + 1 FROM j WHERE j.k = f.k;
UPDATE h SET v = v + 1 FROM j WHERE j.k = h.k;
UPDATE f SET ts = ts - 2 FROM j WHERE j.k = f.k;
UPDATE h SET ts = ts - 2 FROM j WHERE j.k = h.k;
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT * FROM difference;
-- itself; subqueries; FROM VALUES; a view
UPDATE f a SET v = b.v - 1 FROM f b WHERE b.k = a.k AND b.ts = a.ts + 1 AND a.k = 'b';
UPDATE h a SET v = b.v - 1 FROM h b WHERE b.k = a.k AND b.ts = a.ts + 1 AND a.k = 'b';
UPDATE f SET v = (SELECT count(*) FROM f g WHERE g.k = f.k) WHERE ts IN (SELECT max(ts) FROM f);
UPDATE h SET v = (SELECT count(*) FROM h g WHERE g.k = h.k) WHERE ts IN (SELECT max(ts) FROM h);
UPDATE f SET v = x.v FROM (VALUES ('b', 20, 7), ('c', 20, 8)) x (k, ts, v) WHERE x.k = f.k AND x.ts = f.ts;
UPDATE h SET v = x.v FROM (VALUES ('b', 20, 7), ('c', 20, 8)) x (k, ts, v) WHERE x.k = h.k AND x.ts = h.ts;
SELECT * FROM difference;
CREATE VIEW few AS SELECT k, ts, v FROM f WHERE ts < 20 WITH CHECK OPTION;
UPDATE few SET v = 99 WHERE k = 'b';
UPDATE h SET v = 99 WHERE k = 'b' AND ts < 20;
UPDATE few SET ts = 20 WHERE k = 'b';
\echo :SQLSTATE
SELECT is_updatable FROM information_schema.views WHERE table_name = 'few';
SELECT * FROM difference;

-- A command changes a row once, whatever it is made of.
WITH w AS (UPDATE f SET v = 5 WHERE k = 'c' RETURNING ts)
  UPDATE f SET v = 6 FROM w WHERE w.ts = f.ts AND f.k = 'c';
SELECT DISTINCT v FROM f WHERE k = 'c';
UPDATE h SET v = 5 WHERE k = 'c';
WITH d AS (DELETE FROM f WHERE k = 'c' RETURNING *)
  INSERT INTO f SELECT k, ts + 1000, v, note FROM d;
UPDATE h SET ts = ts + 1000 WHERE k = 'c';
WITH d AS (DELETE FROM f WHERE k = 'c' RETURNING *)
  INSERT INTO f SELECT * FROM d;
SELECT * FROM difference;
CREATE FUNCTION touch(key text, t bigint) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN UPDATE f SET v = 0 WHERE k = key AND ts = t; RETURN 1; END $$;
UPDATE f SET v = touch(k, ts) WHERE k = 'b' AND ts = 10;
\echo :SQLSTATE
UPDATE f SET v = 1 WHERE k = 'b' AND ts IN (10, 11) AND touch(k, 11) = 1;
\echo :SQLSTATE
UPDATE f SET v = touch('b', ts + 1) WHERE k = 'b' AND ts = 10;
SELECT ts, v FROM f WHERE k = 'b' AND ts IN (10, 11) ORDER BY ts;
UPDATE h SET v = 11 - ts WHERE k = 'b' AND ts IN (10, 11);
SELECT * FROM difference;

-- Volatile conditions are evaluated once a row.
CREATE SEQUENCE seq;
UPDATE f SET v = 0 WHERE k = 'b' AND nextval('seq') > 0;
SELECT currval('seq') = (SELECT count(*) FROM f WHERE k = 'b') AS once;
UPDATE h SET v = 0 WHERE k = 'b';

-- Plans that are kept; parameters; EXPLAIN does nothing.
SET plan_cache_mode = force_generic_plan;
PREPARE p (text, bigint, int) AS UPDATE f SET v = $3 WHERE k = $1 AND ts >= $2;
EXECUTE p ('b', 40, 1);
EXECUTE p ('b', 45, 2);
EXECUTE p (NULL, 45, 3);
UPDATE h SET v = CASE WHEN ts >= 45 THEN 2 ELSE 1 END WHERE k = 'b' AND ts >= 40;
RESET plan_cache_mode;
SELECT * FROM difference;
EXPLAIN (COSTS OFF) UPDATE f SET v = 3 WHERE k = 'b' AND note IS NULL;
EXPLAIN (COSTS OFF) EXECUTE p ('b', 45, 4);
SELECT * FROM difference;

-- A transaction buffer that is handed over in between.
SET flowdb.transaction_buffer = '64kB';
BEGIN;
INSERT INTO f SELECT 'big', i, 0, repeat('x', 50) FROM generate_series(1, 5000) i;
UPDATE f SET v = v + 1 WHERE k = 'big';
UPDATE f SET ts = ts + 1 WHERE k = 'big';
UPDATE f SET v = v + 1 WHERE k = 'big';
COMMIT;
UPDATE f SET ts = ts + 1, v = v + 1 WHERE k = 'big';
SELECT count(*), sum(v), min(ts), max(ts) FROM f WHERE k = 'big';
DELETE FROM f WHERE k = 'big';
RESET flowdb.transaction_buffer;
SELECT * FROM difference;

-- What core refuses.
BEGIN;
DECLARE cur CURSOR FOR SELECT * FROM f;
FETCH cur;
UPDATE f SET v = 1 WHERE CURRENT OF cur;
\echo :SQLSTATE
ROLLBACK;
MERGE INTO f USING h ON h.k = f.k WHEN MATCHED THEN UPDATE SET v = 1;
\echo :SQLSTATE
BEGIN READ ONLY;
UPDATE f SET v = 1;
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE f SET v = 1;
\echo :SQLSTATE
ROLLBACK;

-- Without a time column; several key columns.
CREATE FOREIGN TABLE one (k text, v int) SERVER upd OPTIONS (key_columns 'k');
INSERT INTO one VALUES ('a', 1), ('b', 2);
UPDATE one SET k = k || k, v = v + 1 RETURNING *;
CREATE FOREIGN TABLE many (a text COLLATE "C", b text COLLATE "C", t timestamptz, v int) SERVER upd
  OPTIONS (key_columns 'a, b', time_column 't');
INSERT INTO many VALUES ('a', 'b', '2024-01-01', 1), ('', 'b', '2024-01-01', 2);
UPDATE many SET b = a, a = b, t = t + interval '1 day', v = v + 1;
SELECT * FROM many ORDER BY a, b;

-- Whole rows of the target above a join, where the old row is, too.
CREATE FOREIGN TABLE whole (key text, ts bigint, gone int, v int, t text) SERVER upd
  OPTIONS (key_columns 'key', time_column 'ts');
ALTER FOREIGN TABLE whole DROP COLUMN gone;
INSERT INTO whole SELECT 'w', i, i, 't' || i FROM generate_series(1, 8) i;
UPDATE whole x SET t = (x.*)::text FROM whole y
  WHERE x.ts = y.ts AND (x.* IS NULL OR y.v < 3) RETURNING x, y;
UPDATE whole x SET v = 10 * x.v FROM whole y WHERE x.* = y.* AND y.v = 3 RETURNING x, x.* = y.*;
DELETE FROM whole x USING whole y WHERE x.ts = y.ts AND (x.* IS NULL OR y.v = 4) RETURNING x, y;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN RAISE NOTICE 'gone: %', OLD; RETURN NULL; END$$;
CREATE TRIGGER tell AFTER DELETE ON whole FOR EACH ROW EXECUTE FUNCTION tell();
DELETE FROM whole x USING whole y WHERE x.ts = y.ts AND x.* >= y.* AND x.ts + y.v = 10;
DELETE FROM whole x WHERE EXISTS (SELECT FROM whole y WHERE y.* = x.* AND y.ts > 7);
SELECT * FROM whole ORDER BY ts;

-- A table that does not show the time of a row cannot change it.
CREATE FOREIGN TABLE moment (a text COLLATE "C", b text COLLATE "C", t timestamp, v int) SERVER upd
  OPTIONS (key_columns 'a, b', time_column 't', store 'times');
CREATE FOREIGN TABLE timeless (a text COLLATE "C", b text COLLATE "C", v int) SERVER upd
  OPTIONS (key_columns 'a, b', store 'times');
INSERT INTO moment VALUES ('m', '', '2024-01-01 12:00', 1), ('z', '', '1970-01-01', 2);
UPDATE timeless SET v = v + 10 WHERE a = 'z';
UPDATE timeless SET v = 0;
\echo :SQLSTATE
DELETE FROM timeless WHERE v = 1;
\echo :SQLSTATE
SELECT * FROM timeless ORDER BY a FOR UPDATE;
UPDATE moment SET v = v + 1;
SELECT v FROM timeless ORDER BY a;

-- What an old row has as its expiry stays, unless the table says otherwise.
CREATE FOREIGN TABLE ex (key text, ts bigint, v int, expire_at bigint) SERVER upd OPTIONS (store 'expiring');
CREATE FOREIGN TABLE plain (key text, ts bigint, v int) SERVER upd
  OPTIONS (key_columns 'key', time_column 'ts', store 'expiring');
INSERT INTO ex VALUES ('a', 1, 1, 9000000000000000000), ('b', 1, 1, NULL), ('c', 1, 1, 8000000000000000000);
UPDATE plain SET v = 2;
UPDATE plain SET ts = 2, key = key || 'x' WHERE key = 'a';
UPDATE ex SET expire_at = 7000000000000000000 WHERE key = 'c';
UPDATE ex SET v = 3 WHERE key = 'c';
UPDATE plain SET v = x.column1 FROM (VALUES (4), (5)) x WHERE key = 'c';
SELECT key, ts, v > 3 AS v, expire_at FROM ex ORDER BY key;
CREATE FOREIGN TABLE lives (key text, ts bigint, v int) SERVER upd
  OPTIONS (key_columns 'key', time_column 'ts', store 'expiring', ttl '1 day');
UPDATE lives SET ts = 9100000000000000000 + ts, v = 7 WHERE key = 'b';
UPDATE lives SET v = 1 WHERE key = 'c';
SELECT key, ts, v, expire_at FROM ex ORDER BY key;
UPDATE ex SET expire_at = NULL WHERE key = 'b';
SELECT expire_at FROM ex WHERE key = 'b';
UPDATE ex SET expire_at = 1 WHERE key = 'b';
SELECT key FROM ex ORDER BY key;
SET client_min_messages = warning;
DROP SERVER upd CASCADE;
DROP SCHEMA test_update CASCADE;
