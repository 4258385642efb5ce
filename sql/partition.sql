-- Partitions and children beside heap siblings, with other column orders.
CREATE SCHEMA test_partition;
GRANT USAGE ON SCHEMA test_partition TO PUBLIC;
SET search_path = test_partition, public;
CREATE SERVER par FOREIGN DATA WRAPPER flowdb_fdw;
CREATE TABLE p (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, note text) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10) SERVER par
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE p2 (note text, v int, gone int, ts bigint NOT NULL, k text COLLATE "C" NOT NULL)
  SERVER par OPTIONS (key_columns 'k', time_column 'ts');
ALTER FOREIGN TABLE p2 DROP COLUMN gone;
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
CREATE TABLE p3 (v int, note text, k text COLLATE "C" NOT NULL, ts bigint NOT NULL);
ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30);
CREATE FOREIGN TABLE p4 PARTITION OF p FOR VALUES FROM (30) TO (40) SERVER par
  OPTIONS (key_columns 'note, k');
CREATE TABLE twin (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, note text);
CREATE VIEW difference AS (SELECT 'p', * FROM (TABLE p EXCEPT ALL TABLE twin) a)
  UNION ALL (SELECT 'twin', * FROM (TABLE twin EXCEPT ALL TABLE p) b);
INSERT INTO twin SELECT k, i, i, 'n' || i FROM unnest(ARRAY['a', 'b']) k, generate_series(0, 39) i;
INSERT INTO p TABLE twin;
SELECT tableoid::regclass, count(*), sum(v) FROM p GROUP BY 1 ORDER BY 1;
SELECT * FROM difference;

UPDATE p SET v = v + 1 WHERE k = 'a';
UPDATE twin SET v = v + 1 WHERE k = 'a';
UPDATE p SET note = 'x' || note, v = NULL WHERE ts % 7 = 0;
UPDATE twin SET note = 'x' || note, v = NULL WHERE ts % 7 = 0;
DELETE FROM p WHERE ts % 5 = 1;
DELETE FROM twin WHERE ts % 5 = 1;
SELECT * FROM difference;
UPDATE p SET v = t.v + 100 FROM twin t WHERE t.k = p.k AND t.ts = p.ts AND p.ts < 25;
UPDATE twin SET v = v + 100 WHERE ts < 25;
DELETE FROM p USING twin t WHERE t.k = p.k AND t.ts = p.ts AND t.ts % 5 = 2 RETURNING p.tableoid::regclass, p.k, p.ts, p.v, p.note;
DELETE FROM twin WHERE ts % 5 = 2;
SELECT * FROM difference;
UPDATE p SET v = 0 WHERE ts = 23 RETURNING tableoid::regclass, *;
UPDATE twin SET v = 0 WHERE ts = 23;
UPDATE p SET v = 1 WHERE ts > 1000;
UPDATE p SET v = 1 WHERE false RETURNING *;
DELETE FROM p WHERE ts = 13 RETURNING p;
DELETE FROM twin WHERE ts = 13;
PREPARE u (bigint) AS UPDATE p SET v = v + 1 WHERE ts = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE u (3);
EXECUTE u (15);
EXECUTE u (28);
EXECUTE u (1000);
RESET plan_cache_mode;
UPDATE twin SET v = v + 1 WHERE ts IN (3, 15, 28);
EXPLAIN (COSTS OFF) UPDATE p SET v = 1 WHERE k = 'a' AND ts = 15;
EXPLAIN (COSTS OFF) DELETE FROM p WHERE k = 'a' AND ts >= 15 AND ts < 25 RETURNING note;
SELECT k, ts FROM p WHERE ts IN (5, 25) ORDER BY k, ts FOR UPDATE;
SELECT * FROM difference;

-- Moves: inside a partition; out of a heap one into a FlowDB one; the rest is refused.
UPDATE p SET ts = ts + 1 WHERE ts IN (3, 15, 33);
DELETE FROM twin WHERE ts = 4; -- replaced
UPDATE twin SET ts = ts + 1 WHERE ts IN (3, 15, 33);
SELECT * FROM difference;
UPDATE p SET ts = ts - 10 WHERE ts = 20;
DELETE FROM twin WHERE ts = 10;
UPDATE twin SET ts = ts - 10 WHERE ts = 20;
UPDATE p3 SET ts = 9 WHERE ts = 23;
\echo :SQLSTATE
UPDATE p SET ts = 9 WHERE ts = 23 AND k = 'a' RETURNING tableoid::regclass, *;
DELETE FROM twin WHERE ts = 9 AND k = 'a';
UPDATE twin SET ts = 9 WHERE ts = 23 AND k = 'a';
SELECT * FROM difference;
UPDATE p SET ts = ts + 10 WHERE ts = 10;
\echo :SQLSTATE
UPDATE p1 SET ts = 10 WHERE ts = 9;
\echo :SQLSTATE
UPDATE p SET ts = 39 - ts WHERE ts IN (9, 30);
\echo :SQLSTATE
-- to a partition that is a target itself
UPDATE p SET ts = CASE WHEN ts = 24 THEN 14 ELSE ts END, v = v + 1 WHERE ts IN (10, 14, 24);
UPDATE twin SET ts = CASE WHEN ts = 24 THEN 14 ELSE ts END, v = v + 1 WHERE ts IN (10, 24);
DELETE FROM twin WHERE ts = 14 AND note <> 'n24';
SELECT * FROM difference;

-- COPY, triggers of partitions, bounds after a trigger.
CREATE FUNCTION par_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.ts := NEW.ts + NEW.v; RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON p1 FOR EACH ROW EXECUTE FUNCTION par_move();
INSERT INTO p VALUES ('t', 1, 5, 'x');
INSERT INTO p VALUES ('t', 1, 50, 'x');
\echo :SQLSTATE
UPDATE p SET v = 2 WHERE k = 't' RETURNING ts, v;
UPDATE p SET v = 50 WHERE k = 't';
\echo :SQLSTATE
DROP TRIGGER t ON p1;
DELETE FROM p WHERE k = 't' RETURNING tableoid::regclass, ts;
COPY p FROM stdin;
c	5	1	x
c	25	2	y
c	35	3	z
\.
INSERT INTO p VALUES ('c', 5, 100, 'dup'), ('c', 6, 100, 'new') ON CONFLICT DO NOTHING;
SELECT tableoid::regclass, * FROM p WHERE k = 'c' ORDER BY ts;
DELETE FROM p WHERE k = 'c';
SELECT * FROM difference;

-- Detached it is a table like any other, without bounds.
ALTER TABLE p DETACH PARTITION p1;
UPDATE p1 SET ts = 100 WHERE k = 'a' AND ts = 0;
SELECT count(*) FROM p1 WHERE ts = 100;
UPDATE p1 SET ts = 0 WHERE ts = 100;
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10);
SELECT * FROM difference;

-- A row that comes from another partition arrives like one that moves: the row
-- at its place, if there is one, is still to be moved itself, or is replaced.
CREATE TABLE m (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE m2 PARTITION OF m FOR VALUES FROM (10) TO (100) SERVER par
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO m SELECT 'a', i, i FROM generate_series(0, 19) i;
UPDATE m SET ts = ts + 5;
SELECT tableoid::regclass, count(*), min(ts), max(ts), bool_and(ts = v + 5) FROM m GROUP BY 1 ORDER BY 1;
UPDATE m SET ts = 12 WHERE ts = 9 RETURNING *;
SELECT * FROM m WHERE ts BETWEEN 9 AND 13 ORDER BY ts;
-- It is never ignored: it has left already, and would be lost.
ALTER FOREIGN TABLE m2 OPTIONS (ADD on_duplicate 'ignore');
INSERT INTO m VALUES ('a', 12, -1) RETURNING *;
UPDATE m SET ts = 12 WHERE ts = 8;
UPDATE m SET ts = 12, k = 'b' WHERE ts = 8;
UPDATE m SET ts = 13 WHERE k = 'a' AND ts = 12;
SELECT tableoid::regclass, * FROM m WHERE ts BETWEEN 8 AND 13 ORDER BY ts, k;

-- Inheritance: a heap parent, FlowDB children, and the other way round.
CREATE TABLE par_parent (k text COLLATE "C", ts bigint, v int);
CREATE FOREIGN TABLE par_child1 (extra text) INHERITS (par_parent) SERVER par OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE par_child2 (v int, ts bigint, k text COLLATE "C") SERVER par OPTIONS (key_columns 'k');
ALTER FOREIGN TABLE par_child2 INHERIT par_parent;
CREATE TABLE par_grandchild () INHERITS (par_child2);
INSERT INTO par_parent VALUES ('p', 1, 1);
INSERT INTO par_child1 VALUES ('c1', 1, 1, 'e');
INSERT INTO par_child2 (k, ts, v) VALUES ('c2', 1, 1);
INSERT INTO par_grandchild (k, ts, v) VALUES ('g', 1, 1);
UPDATE par_parent SET v = v + 1 RETURNING tableoid::regclass, *;
UPDATE par_parent SET k = k || 'x', ts = ts + 1;
UPDATE par_child2 SET v = 10;
UPDATE ONLY par_child2 SET v = 11;
SELECT tableoid::regclass, * FROM par_parent ORDER BY 1;
SELECT k FROM par_parent WHERE v > 1 ORDER BY k FOR UPDATE;
DELETE FROM par_parent WHERE ts = 2 RETURNING tableoid::regclass, k, par_parent;
SELECT count(*) FROM par_parent;
SET client_min_messages = warning;
DROP SERVER par CASCADE;
DROP SCHEMA test_partition CASCADE;
