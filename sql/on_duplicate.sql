-- INSERT and COPY where a row stands already: on_duplicate, ON CONFLICT.
CREATE SCHEMA test_on_duplicate;
GRANT USAGE ON SCHEMA test_on_duplicate TO PUBLIC;
SET search_path = test_on_duplicate, public;
SET timezone = 'UTC';
CREATE SERVER dup FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE rep (host text COLLATE "C", ts timestamptz, v int CHECK (v < 100), expire bigint)
  SERVER dup OPTIONS (key_columns 'host', time_column 'ts', expire_column 'expire', store 'd', on_duplicate 'replace');
CREATE FOREIGN TABLE ign (host text COLLATE "C", ts timestamptz, v int, expire bigint)
  SERVER dup OPTIONS (key_columns 'host', time_column 'ts', expire_column 'expire', store 'd', on_duplicate 'ignore');
CREATE FOREIGN TABLE err (host text COLLATE "C", ts timestamptz, v int, expire bigint)
  SERVER dup OPTIONS (key_columns 'host', time_column 'ts', expire_column 'expire', store 'd', on_duplicate 'error');
INSERT INTO err VALUES ('a', '2024-01-01', 1), ('b', '2024-01-01', 1);

-- Committed rows.
INSERT INTO err VALUES ('c', '2024-01-01', 1), ('a', '2024-01-01', 2);
\echo :SQLSTATE
INSERT INTO ign VALUES ('c', '2024-01-01', 1), ('a', '2024-01-01', 2) RETURNING host, v;
INSERT INTO rep VALUES ('b', '2024-01-01', 2), ('d', '2024-01-01', 1) RETURNING host, v;
SELECT host, v FROM rep ORDER BY host;
SELECT flowdb_flush('dup');
INSERT INTO err VALUES ('d', '2024-01-01', 2);
INSERT INTO ign VALUES ('d', '2024-01-01', 2);
INSERT INTO err VALUES ('d', '2024-01-02', 2), ('e', '2024-01-01', 2);

-- ON CONFLICT DO NOTHING is 'ignore' whatever the table says.
INSERT INTO err VALUES ('a', '2024-01-01', 3), ('f', '2024-01-01', 3) ON CONFLICT DO NOTHING RETURNING host;
INSERT INTO rep VALUES ('a', '2024-01-01', 3), ('g', '2024-01-01', 3) ON CONFLICT DO NOTHING;
INSERT INTO rep VALUES ('a', '2024-01-01', 3) ON CONFLICT (host, ts) DO NOTHING;
\echo :SQLSTATE
INSERT INTO rep VALUES ('a', '2024-01-01', 3) ON CONFLICT (host, ts) DO UPDATE SET v = 3;
\echo :SQLSTATE
INSERT INTO rep VALUES ('a', '2024-01-01', 1000) ON CONFLICT DO NOTHING;
\echo :SQLSTATE

-- Rows of this command, of this transaction, of a savepoint.
INSERT INTO err VALUES ('x', '2024-01-01', 1), ('x', '2024-01-01', 2);
\echo :SQLSTATE
INSERT INTO ign VALUES ('x', '2024-01-01', 1), ('x', '2024-01-01', 2), ('x', '2024-01-02', 3);
SELECT ts, v FROM rep WHERE host = 'x' ORDER BY ts;
BEGIN;
DELETE FROM rep WHERE host = 'x';
INSERT INTO err VALUES ('x', '2024-01-01', 4);
SAVEPOINT s;
INSERT INTO err VALUES ('x', '2024-01-02', 5);
ROLLBACK TO s;
INSERT INTO err VALUES ('x', '2024-01-02', 6);
SAVEPOINT s;
INSERT INTO err VALUES ('x', '2024-01-02', 7);
ROLLBACK TO s;
UPDATE rep SET ts = ts + interval '1 year' WHERE host = 'x';
INSERT INTO ign VALUES ('x', '2024-01-01', 8), ('x', '2025-01-01', 9);
COMMIT;
SELECT ts, v FROM rep WHERE host = 'x' ORDER BY ts;
BEGIN;
INSERT INTO rep VALUES ('y', '2024-01-01', 1);
TRUNCATE rep;
INSERT INTO err VALUES ('y', '2024-01-01', 2), ('a', '2024-01-01', 2);
SELECT host, v FROM rep ORDER BY host;
ROLLBACK;

-- Expired rows are not in the way.
INSERT INTO rep VALUES ('z', '2024-01-01', 1, 1);
INSERT INTO err VALUES ('z', '2024-01-01', 2);
INSERT INTO rep VALUES ('z', '2024-01-02', 1, 1);
INSERT INTO ign VALUES ('z', '2024-01-02', 2);
SELECT ts, v FROM rep WHERE host = 'z' ORDER BY ts;

-- COPY, INSERT ... SELECT, functions, exceptions.
COPY ign (host, ts, v) FROM stdin;
a	2024-01-01	50
p	2024-01-01	51
p	2024-01-01	52
\.
COPY err (host, ts, v) FROM stdin;
q	2024-01-01	51
p	2024-01-01	52
\.
COPY rep (host, ts, v) FROM stdin;
p	2024-01-01	53
\.
SELECT host, v FROM rep WHERE host IN ('a', 'p', 'q') ORDER BY host;
INSERT INTO ign SELECT 's', '2024-01-01'::timestamptz + (i % 100) * interval '1 s', i FROM generate_series(1, 1000) i;
SELECT count(*), min(v), max(v) FROM ign WHERE host = 's';
INSERT INTO ign SELECT * FROM ign;
INSERT INTO err SELECT host, ts + interval '1 day', v FROM err WHERE host = 's';
SELECT count(*) FROM rep WHERE host = 's';
DO $$
BEGIN
  INSERT INTO err VALUES ('a', '2024-01-01', 0);
EXCEPTION WHEN unique_violation THEN
  RAISE NOTICE '%', SQLERRM;
END $$;

-- Moves by UPDATE.
UPDATE err SET host = 'b' WHERE host = 'a';
\echo :SQLSTATE
UPDATE ign SET host = 'b' WHERE host = 'a';
\echo :SQLSTATE
UPDATE err SET ts = ts + interval '1 s' WHERE host = 's';
\echo :SQLSTATE
UPDATE err SET v = v + 1, host = host WHERE host = 'a';
UPDATE err SET host = 'a2' WHERE host = 'a';
UPDATE rep SET host = 'b' WHERE host = 'a2';
SELECT host, v FROM rep WHERE host < 'c' ORDER BY host;

-- The detail tells only what may be seen.
CREATE ROLE flowdb_regress_dup;
GRANT INSERT ON err, ign TO flowdb_regress_dup;
SET ROLE flowdb_regress_dup;
INSERT INTO err VALUES ('b', '2024-01-01', 1);
INSERT INTO ign VALUES ('b', '2024-01-01', 1), ('new', '2024-01-01', 1);
RESET ROLE;
GRANT SELECT (host) ON err TO flowdb_regress_dup;
SET ROLE flowdb_regress_dup;
INSERT INTO err VALUES ('b', '2024-01-01', 1);
RESET ROLE;
GRANT SELECT (host, ts) ON err TO flowdb_regress_dup;
SET ROLE flowdb_regress_dup;
INSERT INTO err VALUES ('b', '2024-01-01', 1);
RESET ROLE;
DROP OWNED BY flowdb_regress_dup;
DROP ROLE flowdb_regress_dup;

-- Without a time column, with several key columns; the option changes.
CREATE FOREIGN TABLE k (a int, b uuid, v int) SERVER dup OPTIONS (key_columns 'a, b', on_duplicate 'error');
INSERT INTO k VALUES (1, '00000000-0000-0000-0000-000000000001', 1);
INSERT INTO k VALUES (1, '00000000-0000-0000-0000-000000000001', 2);
ALTER FOREIGN TABLE k OPTIONS (SET on_duplicate 'ignore');
INSERT INTO k VALUES (1, '00000000-0000-0000-0000-000000000001', 3);
ALTER FOREIGN TABLE k OPTIONS (DROP on_duplicate);
INSERT INTO k VALUES (1, '00000000-0000-0000-0000-000000000001', 4);
SELECT * FROM k;

-- Partitions, each with its own way; EXPLAIN.
CREATE TABLE dup_p (host text COLLATE "C", ts bigint, v int) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE dup_p1 PARTITION OF dup_p FOR VALUES FROM (0) TO (10) SERVER dup
  OPTIONS (key_columns 'host', time_column 'ts', on_duplicate 'ignore');
CREATE FOREIGN TABLE dup_p2 PARTITION OF dup_p FOR VALUES FROM (10) TO (20) SERVER dup
  OPTIONS (key_columns 'host', time_column 'ts', on_duplicate 'error');
INSERT INTO dup_p VALUES ('a', 1, 1), ('a', 11, 1);
INSERT INTO dup_p VALUES ('a', 1, 2), ('a', 12, 2);
INSERT INTO dup_p VALUES ('a', 1, 2), ('a', 12, 2);
INSERT INTO dup_p VALUES ('a', 1, 2), ('a', 12, 2), ('a', 13, 3) ON CONFLICT DO NOTHING;
SELECT * FROM dup_p ORDER BY ts;
EXPLAIN (COSTS OFF) INSERT INTO dup_p2 VALUES ('a', 1, 1) ON CONFLICT DO NOTHING;
SET client_min_messages = warning;
DROP SERVER dup CASCADE;
DROP SCHEMA test_on_duplicate CASCADE;
