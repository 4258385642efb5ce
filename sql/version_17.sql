-- What PostgreSQL 17 has and those before it have not: it works on FlowDB's
-- tables, or is refused in clear words.  Before 17 the test ends early.
SET timezone = 'UTC';
\set VERBOSITY terse
CREATE SERVER ver FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, w int DEFAULT 7) SERVER ver
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO t VALUES ('a', 1, 10), ('a', 2, 20), ('b', 1, 30);
SELECT current_setting('server_version_num')::int < 170000 AS older \gset
\if :older
DROP SERVER ver CASCADE;
\quit
\endif

-- COPY that passes over lines that it cannot read.
COPY t FROM stdin WITH (ON_ERROR ignore);
bad	x	1	1
good	1	1	1
\.
SELECT * FROM t WHERE k IN ('bad', 'good');
COPY t FROM stdin WITH (FORMAT csv, FORCE_NULL *);
csv,1,"",5
\.
SELECT * FROM t WHERE k = 'csv';
-- A generated column's expression changes, for the rows written from now on.
ALTER FOREIGN TABLE t ADD COLUMN g int GENERATED ALWAYS AS (v * 2) STORED;
UPDATE t SET v = v WHERE k = 'a';
ALTER FOREIGN TABLE t ALTER g SET EXPRESSION AS (v * 3);
SELECT k, ts, v, g FROM t WHERE k = 'a';
UPDATE t SET v = v + 1 WHERE k = 'a' AND ts = 1;
SELECT k, ts, v, g FROM t WHERE k = 'a';
ALTER FOREIGN TABLE t DROP g;
-- MERGE ... RETURNING, and still not into a foreign table; out of one it is.
MERGE INTO t USING (VALUES ('a', 1)) s (k, ts) ON t.k = s.k AND t.ts = s.ts
  WHEN MATCHED THEN UPDATE SET v = 0 RETURNING merge_action(), t.*;
\echo :SQLSTATE
CREATE TABLE h (k text, ts bigint, v int);
WITH m AS (MERGE INTO h USING t ON h.k = t.k AND h.ts = t.ts
  WHEN NOT MATCHED AND t.k = 'a' THEN INSERT VALUES (t.k, t.ts, t.v) RETURNING merge_action(), h.*)
  SELECT * FROM m ORDER BY k, ts;
MERGE INTO h USING t ON h.k = t.k AND h.ts = t.ts WHEN NOT MATCHED BY SOURCE THEN DELETE
  WHEN MATCHED THEN UPDATE SET v = t.v + 1;
SELECT * FROM h ORDER BY k, ts;
DROP TABLE h;
-- Identity of a partitioned table, whose partitions share it.
CREATE TABLE p (k text COLLATE "C", id bigint GENERATED ALWAYS AS IDENTITY, v int) PARTITION BY LIST (k);
CREATE FOREIGN TABLE p_a PARTITION OF p FOR VALUES IN ('a') SERVER ver OPTIONS (key_columns 'k', time_column 'id');
INSERT INTO p (k, v) VALUES ('a', 1), ('a', 2);
INSERT INTO p_a (k, v) VALUES ('a', 3);
SELECT * FROM p ORDER BY id;
DROP TABLE p;
-- Who may maintain a table may ANALYZE it.
CREATE ROLE flowdb_regress_ver;
GRANT MAINTAIN ON t TO flowdb_regress_ver;
SET ROLE flowdb_regress_ver;
ANALYZE t;
SELECT count(*) FROM t;
RESET ROLE;
REVOKE ALL ON t FROM flowdb_regress_ver;
DROP ROLE flowdb_regress_ver;
-- EXPLAIN of memory and of what is sent; a transaction's timeout.
SELECT explain($$SELECT k FROM t WHERE k = 'nobody'$$, ', SUMMARY OFF, TIMING OFF, ANALYZE, SERIALIZE none');
SET transaction_timeout = '1h';
SELECT count(*) FROM t WHERE k = 'a';
RESET transaction_timeout;
DROP SERVER ver CASCADE;
