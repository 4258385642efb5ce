-- TRUNCATE.
CREATE SCHEMA test_truncate;
GRANT USAGE ON SCHEMA test_truncate TO PUBLIC;
SET search_path = test_truncate, public;
CREATE SERVER tru FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SERVER tru2 FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SEQUENCE tru_seq;
CREATE FOREIGN TABLE a (k text, ts bigint, v int DEFAULT nextval('tru_seq'))
  SERVER tru OPTIONS (key_columns 'k', time_column 'ts');
ALTER SEQUENCE tru_seq OWNED BY a.v;
CREATE FOREIGN TABLE b (k bytea, ts bigint, v int) SERVER tru OPTIONS (key_columns 'k', time_column 'ts', store 'bs');
CREATE FOREIGN TABLE b2 (k bytea, ts bigint, v int) SERVER tru OPTIONS (key_columns 'k', time_column 'ts', store 'bs');
CREATE FOREIGN TABLE c (k text, v int) SERVER tru2 OPTIONS (key_columns 'k');
CREATE FOREIGN TABLE never (k text, v int) SERVER tru2 OPTIONS (key_columns 'k');
CREATE TABLE heap (k text);
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
  INSERT INTO a SELECT 'k' || i, i FROM generate_series(1, 10) i;
  INSERT INTO b VALUES ('\x', -9223372036854775808, 1), ('\xffffffff', 9223372036854775807, 2), ('\x00', 0, 3);
  INSERT INTO c VALUES ('c', 1);
  INSERT INTO heap VALUES ('h');
$$;
CREATE FUNCTION counts() RETURNS text LANGUAGE sql AS $$
  SELECT format('a %s, b %s, b2 %s, c %s, heap %s', (SELECT count(*) FROM a), (SELECT count(*) FROM b),
    (SELECT count(*) FROM b2), (SELECT count(*) FROM c), (SELECT count(*) FROM heap));
$$;
SELECT fill();
SELECT counts();
TRUNCATE never;
TRUNCATE a;
SELECT counts();
-- every key and time there is; two tables on one store; several at once
TRUNCATE b, b2;
SELECT counts();
SELECT fill();
SELECT flowdb_flush('tru');
TRUNCATE a, b2, c, heap;
SELECT counts();
SELECT flowdb_flush('tru');
SELECT counts();

-- Transactional, with the transaction's own rows.
SELECT fill();
BEGIN;
INSERT INTO a VALUES ('own', 1);
TRUNCATE a, b;
SELECT counts();
INSERT INTO a VALUES ('after', 1);
SELECT counts();
SAVEPOINT s;
TRUNCATE a;
SELECT counts();
ROLLBACK TO s;
SELECT counts();
ROLLBACK;
SELECT counts();
BEGIN;
UPDATE a SET v = -1;
DELETE FROM a WHERE ts = 5;
TRUNCATE a;
INSERT INTO a VALUES ('after', 1);
UPDATE a SET v = -2;
COMMIT;
SELECT * FROM a;
SELECT flowdb_flush('tru');
SELECT * FROM a;

-- Sequences.
TRUNCATE a CONTINUE IDENTITY;
INSERT INTO a VALUES ('x', 1);
SELECT v > 1 AS goes_on FROM a;
TRUNCATE a RESTART IDENTITY CASCADE;
INSERT INTO a VALUES ('x', 1);
SELECT v FROM a;

-- Partitions and children.
CREATE TABLE parted (k text, ts bigint, v int) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (10) SERVER tru
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE FOREIGN TABLE p3 PARTITION OF parted FOR VALUES FROM (20) TO (30) SERVER tru2
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO parted SELECT 'k', i, i FROM generate_series(0, 29) i;
TRUNCATE p3;
SELECT tableoid::regclass, count(*) FROM parted GROUP BY 1 ORDER BY 1;
TRUNCATE parted;
SELECT count(*) FROM parted;

-- What is refused.
BEGIN;
DECLARE cur CURSOR FOR SELECT * FROM a;
FETCH cur;
TRUNCATE a;
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
TRUNCATE a;
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
TRUNCATE a;
\echo :SQLSTATE
ROLLBACK;
SELECT counts();
CREATE ROLE flowdb_regress_tru;
GRANT SELECT, INSERT, UPDATE, DELETE ON a TO flowdb_regress_tru;
SET ROLE flowdb_regress_tru;
TRUNCATE a;
\echo :SQLSTATE
RESET ROLE;
GRANT TRUNCATE ON a TO flowdb_regress_tru;
SET ROLE flowdb_regress_tru;
TRUNCATE a;
RESET ROLE;
SELECT counts();
DROP OWNED BY flowdb_regress_tru;
DROP ROLE flowdb_regress_tru;
SET client_min_messages = warning;
DROP SERVER tru, tru2 CASCADE;
DROP SCHEMA test_truncate CASCADE;
