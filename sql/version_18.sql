-- What PostgreSQL 18 has and those before it have not: it works on FlowDB's
-- tables, or is refused in clear words.  Before 18 the test ends early.
SET timezone = 'UTC';
\set VERBOSITY terse
CREATE SERVER ver FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, w int DEFAULT 7) SERVER ver
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO t VALUES ('a', 1, 10), ('a', 2, 20), ('b', 1, 30);

-- LIKE in CREATE FOREIGN TABLE.
CREATE FOREIGN TABLE twin (LIKE t INCLUDING ALL) SERVER ver OPTIONS (key_columns 'k', time_column 'ts');
\echo :SQLSTATE

SELECT current_setting('server_version_num')::int < 180000 AS older \gset
\if :older
DROP SERVER ver CASCADE;
\quit
\endif
INSERT INTO twin (k, ts, v) SELECT k, ts, v FROM t WHERE k = 'a';
SELECT * FROM twin;
INSERT INTO twin (k) VALUES ('a');
DROP FOREIGN TABLE twin;

-- RETURNING tells the row before and after.
INSERT INTO t VALUES ('r', 1, 1) RETURNING old.v, new.v;
INSERT INTO t VALUES ('r', 1, 2) RETURNING old.v, new.v;
UPDATE t SET v = v + 1 WHERE k = 'r' RETURNING old.v, new.v, v;
UPDATE t SET ts = 2 WHERE k = 'r' RETURNING old.ts, new.ts, old, new;
UPDATE t SET v = x.v FROM (VALUES ('r', 50)) x (k, v) WHERE t.k = x.k RETURNING old.v, new.v, x.v;
DELETE FROM t WHERE k = 'r' RETURNING old.*, new.*, old.tableoid::regclass;

-- NOT NULL is a constraint with a name, checked by who writes.
ALTER FOREIGN TABLE t ADD CONSTRAINT v_there NOT NULL v;
INSERT INTO t VALUES ('n', 1, NULL);
\echo :SQLSTATE
ALTER FOREIGN TABLE t DROP CONSTRAINT v_there;
INSERT INTO t VALUES ('n', 1, NULL);
ALTER FOREIGN TABLE t ADD CONSTRAINT v_there NOT NULL v NOT VALID;
UPDATE t SET w = 1 WHERE k = 'n';
\echo :SQLSTATE
ALTER FOREIGN TABLE t VALIDATE CONSTRAINT v_there;
ALTER FOREIGN TABLE t DROP CONSTRAINT v_there;
DELETE FROM t WHERE k = 'n';
ALTER FOREIGN TABLE t ADD CONSTRAINT small CHECK (v < 5) NOT ENFORCED;
INSERT INTO t VALUES ('c', 1, 5);
ALTER FOREIGN TABLE t DROP CONSTRAINT small;

-- Virtual generated columns: worked out when read, never written.
ALTER FOREIGN TABLE t ADD COLUMN d int GENERATED ALWAYS AS (v * 2) VIRTUAL;
SELECT k, ts, v, d FROM t WHERE d >= 40 ORDER BY k, ts;
INSERT INTO t (k, ts, v) VALUES ('g', 1, 4) RETURNING d;
INSERT INTO t VALUES ('g', 2, 4, 5, 6);
\echo :SQLSTATE
UPDATE t SET v = 5 WHERE k = 'g' RETURNING old.d, new.d;
UPDATE t SET d = 5 WHERE k = 'g';
\echo :SQLSTATE
COPY t (k, ts, v) FROM stdin;
g	3	7
\.
SELECT k, ts, d FROM t WHERE k = 'g';
SELECT flowdb_flush('ver');
ALTER FOREIGN TABLE t ALTER d SET EXPRESSION AS (v * 100);
SELECT k, ts, d FROM t WHERE k = 'g' AND d > 500;
UPDATE t SET v = v + 1 WHERE k = 'g' AND ts = 3 RETURNING old, new, d;
SELECT t, row_to_json(t) FROM t WHERE k = 'g' ORDER BY ts LIMIT 1;
ALTER FOREIGN TABLE t ALTER d TYPE bigint;
ALTER FOREIGN TABLE t RENAME d TO e;
SELECT e FROM t WHERE k = 'g' AND ts = 3;
ALTER FOREIGN TABLE t RENAME e TO d;
SELECT d, count(*) FROM t WHERE k IN ('a', 'g') GROUP BY d ORDER BY d;
ANALYZE t;
EXPLAIN (COSTS OFF) SELECT d FROM t WHERE k = 'g' AND d = 500;
DELETE FROM t WHERE d = 500 RETURNING k, ts, d;
ALTER FOREIGN TABLE t ADD CONSTRAINT d_check CHECK (d < 100000);
INSERT INTO t (k, ts, v) VALUES ('g', 9, 1000);
\echo :SQLSTATE
ALTER FOREIGN TABLE t DROP CONSTRAINT d_check;
-- A key or a time is stored, so it is no virtual column.
CREATE FOREIGN TABLE bad (a text, k text GENERATED ALWAYS AS (lower(a)) VIRTUAL, v int) SERVER ver OPTIONS (key_columns 'k');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad2 (k text, a bigint, ts bigint GENERATED ALWAYS AS (a + 1) VIRTUAL) SERVER ver
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE bad3 (k text, a bigint, e bigint GENERATED ALWAYS AS (a + 1) VIRTUAL) SERVER ver
  OPTIONS (key_columns 'k', expire_column 'e');
CREATE FOREIGN TABLE bad4 (key text GENERATED ALWAYS AS (lower(a)) VIRTUAL, a text) SERVER ver;
CREATE FOREIGN TABLE good (a text, k text COLLATE "C" GENERATED ALWAYS AS (lower(a)) STORED, v int) SERVER ver OPTIONS (key_columns 'k');
INSERT INTO good VALUES ('A', DEFAULT, 1), ('a', DEFAULT, 2);
SELECT * FROM good;
DROP FOREIGN TABLE IF EXISTS good, bad4;
-- The store has no such column, so other tables of it have none.
CREATE FOREIGN TABLE shared (k text COLLATE "C", v int, d int GENERATED ALWAYS AS (v + 1) VIRTUAL, w int) SERVER ver
  OPTIONS (key_columns 'k', store 'shared');
INSERT INTO shared VALUES ('a', 1, DEFAULT, 2);
CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA x FROM SERVER ver INTO imported;
SELECT * FROM imported.shared;
DROP SCHEMA imported CASCADE;
-- A partition takes such columns over, in a place of its own.
CREATE TABLE p (d int GENERATED ALWAYS AS (v * 2) VIRTUAL, k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int) PARTITION BY LIST (k);
CREATE FOREIGN TABLE p_a PARTITION OF p FOR VALUES IN ('a') SERVER ver OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE p_b (v int, k text COLLATE "C" NOT NULL, ts bigint NOT NULL, d int GENERATED ALWAYS AS (v * 3) VIRTUAL)
  SERVER ver OPTIONS (key_columns 'k', time_column 'ts');
ALTER TABLE p ATTACH PARTITION p_b FOR VALUES IN ('b');
INSERT INTO p (k, ts, v) VALUES ('a', 1, 1), ('b', 1, 1);
UPDATE p SET v = v + 1 RETURNING tableoid::regclass, old.*, new.*;
SELECT tableoid::regclass, * FROM p WHERE d = 4 ORDER BY k;
SELECT tableoid::regclass, * FROM p ORDER BY k;
DROP TABLE p;
-- Uuids in the order of time are keys like any others.
CREATE FOREIGN TABLE u (id uuid, v int) SERVER ver OPTIONS (key_columns 'id');
INSERT INTO u SELECT uuidv7(), i FROM generate_series(1, 100) i;
SELECT count(*), bool_and(a < b) FROM (SELECT v AS a, lead(v) OVER (ORDER BY id) AS b FROM u) x;
DROP SERVER ver CASCADE;
