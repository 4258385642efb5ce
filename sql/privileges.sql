-- Who may do and learn what.  Roles: owner of a server and its tables, one
-- that may use the server, a reader, a writer, a monitor, and nobody.
SET timezone = 'UTC';
CREATE ROLE flowdb_priv_owner;
CREATE ROLE flowdb_priv_user;
CREATE ROLE flowdb_priv_reader;
CREATE ROLE flowdb_priv_writer;
CREATE ROLE flowdb_priv_monitor;
CREATE ROLE flowdb_priv_nobody;
GRANT pg_monitor TO flowdb_priv_monitor;
GRANT CREATE ON SCHEMA public TO flowdb_priv_owner, flowdb_priv_user;

-- Lines of a plan that match a pattern.
CREATE FUNCTION plan_lines(query text, pattern text) RETURNS SETOF text LANGUAGE plpgsql
  AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE query LOOP
    IF line ~ pattern THEN RETURN NEXT plan_words(line); END IF;
  END LOOP;
END $$;

-- A server needs USAGE on the wrapper.
SET ROLE flowdb_priv_owner;
CREATE SERVER priv FOREIGN DATA WRAPPER flowdb_fdw;
\echo :SQLSTATE
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER flowdb_fdw TO flowdb_priv_owner;
SET ROLE flowdb_priv_owner;
CREATE SERVER priv FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE pt (key text COLLATE "C", ts bigint, v int, secret text) SERVER priv
  OPTIONS (store 'shared');
CREATE FOREIGN TABLE own (key text COLLATE "C", ts bigint, v int) SERVER priv;
INSERT INTO pt VALUES ('k1', 1, 1, 'one'), ('k2', 2, 2, 'two');
INSERT INTO own VALUES ('hidden', 77, 7);
SELECT flowdb_flush('priv');
GRANT USAGE ON FOREIGN SERVER priv TO flowdb_priv_user;
GRANT SELECT ON own TO flowdb_priv_reader;
GRANT SELECT (key, ts) ON pt TO flowdb_priv_reader;
GRANT INSERT (key, ts, v) ON pt TO flowdb_priv_writer;

-- Without rights nothing works, and every statement says so.
SET ROLE flowdb_priv_nobody;
\set VERBOSITY sqlstate
SELECT * FROM pt;
SELECT count(*) FROM pt;
SELECT key FROM pt WHERE key = 'k1' FOR UPDATE;
INSERT INTO pt VALUES ('x', 1, 1, 'x');
INSERT INTO pt SELECT 'x', 1, 1, 'x' WHERE false;
INSERT INTO pt DEFAULT VALUES;
INSERT INTO pt VALUES ('x', 1, 1, 'x') ON CONFLICT DO NOTHING;
UPDATE pt SET v = 1;
UPDATE pt SET v = 1 WHERE false;
DELETE FROM pt;
DELETE FROM pt USING own;
TRUNCATE pt;
TRUNCATE own, pt;
\copy pt FROM /dev/null
COPY (SELECT * FROM pt) TO stdout;
COPY pt TO stdout;
TABLE pt;
EXPLAIN SELECT * FROM pt;
EXPLAIN ANALYZE SELECT * FROM pt;
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM pt;
PREPARE p AS SELECT * FROM pt;
EXECUTE p;
DEALLOCATE p;
DO $$ BEGIN PERFORM * FROM pt; END $$;
WITH w AS (INSERT INTO pt VALUES ('x', 1, 1, 'x') RETURNING *) SELECT * FROM w;
BEGIN;
LOCK TABLE pt;
ROLLBACK;
ALTER FOREIGN TABLE pt ADD COLUMN w int;
ALTER FOREIGN TABLE pt OPTIONS (SET store 'other');
DROP FOREIGN TABLE pt;
COMMENT ON FOREIGN TABLE pt IS 'mine';
CREATE TRIGGER t BEFORE INSERT ON pt FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE like_pt (LIKE pt);
CREATE FOREIGN TABLE mine (key text, v int) SERVER priv;
IMPORT FOREIGN SCHEMA s FROM SERVER priv INTO public;
ALTER SERVER priv VERSION '2';
ALTER SERVER priv OPTIONS (ADD store 'x');
ALTER SERVER priv OWNER TO flowdb_priv_nobody;
DROP SERVER priv CASCADE;
CREATE USER MAPPING FOR flowdb_priv_nobody SERVER priv;
CREATE SERVER priv2 FOREIGN DATA WRAPPER flowdb_fdw;
SELECT flowdb_flush('priv');
SELECT flowdb_compact('priv');
SELECT flowdb_compact('priv', 'shared');
SELECT flowdb_compact('priv', 'no such store');
SELECT flowdb_gc('priv');
SELECT flowdb_maintenance('priv', '1 second');
SELECT flowdb_drop_store('priv', 'shared');
SELECT flowdb_drop_store('priv', 'no such store');
SELECT flowdb_delete_range('pt', NULL, NULL);
SELECT flowdb_delete_range('own', 'a', 'b');
SELECT flowdb_metrics();
ALTER FOREIGN TABLE pt OWNER TO flowdb_priv_nobody;
CREATE TEMP VIEW pv AS SELECT * FROM pt;
\set VERBOSITY default
-- ANALYZE passes over it, with a warning.
SET client_min_messages = error;
ANALYZE pt;
RESET client_min_messages;
-- A view on what one may not read: made, but of no use.
SELECT * FROM pv;
\echo :SQLSTATE

-- The views show the names of servers, which anybody can read anyway.
SELECT server, store FROM flowdb_stores;
SELECT server, store FROM flowdb_sstables;
SELECT server, records_written, sstables, flushed_lsn, state, reason FROM flowdb_stats
  WHERE server = 'priv';
SELECT count(*) FROM flowdb_store_stats() UNION ALL SELECT count(*) FROM flowdb_sstable_stats();
RESET ROLE;

-- USAGE: counters, and the stores that have a name; no times, no keys.
SET ROLE flowdb_priv_user;
SELECT records_written, state, reason FROM flowdb_stats WHERE server = 'priv';
SELECT store, tables, records, ts_min, ts_max FROM flowdb_stores;
SELECT store, records, key_min, key_max, ts_min, ts_max, expire_max FROM flowdb_sstables;
SELECT flowdb_flush('priv');
\echo :SQLSTATE
SELECT flowdb_drop_store('priv', 'shared');
\echo :SQLSTATE
-- It is the right to show named stores, and not those of others' tables.
CREATE FOREIGN TABLE user_pt (key text COLLATE "C", ts bigint, v int) SERVER priv
  OPTIONS (store 'shared');
SELECT * FROM user_pt ORDER BY key;
DROP FOREIGN TABLE user_pt;
RESET ROLE;
CREATE SCHEMA flowdb_priv_imported AUTHORIZATION flowdb_priv_user;
SET ROLE flowdb_priv_user;
IMPORT FOREIGN SCHEMA any_name FROM SERVER priv INTO flowdb_priv_imported;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'flowdb_priv_imported'::regnamespace;
DROP FOREIGN TABLE flowdb_priv_imported.shared;
DO $$
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE steal (key text, ts bigint, v int) SERVER priv OPTIONS (store %L)',
                 'own'::regclass::oid);
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE '%', replace(SQLERRM, 'own'::regclass::oid::text, 'OID');
END $$;
-- nor those of tables to come
CREATE FOREIGN TABLE steal (key text, ts bigint, v int) SERVER priv OPTIONS (store '4000000000');
\echo :SQLSTATE
CREATE FOREIGN TABLE steal (key text, ts bigint, v int) SERVER priv OPTIONS (store '04000000000');
DROP FOREIGN TABLE steal;
CREATE FOREIGN TABLE steal (key text, ts bigint, v int) SERVER priv OPTIONS (store 'x');
ALTER FOREIGN TABLE steal OPTIONS (SET store '4000000000');
\echo :SQLSTATE
SELECT * FROM steal;
DROP FOREIGN TABLE steal;
RESET ROLE;
-- The owner of the server may.
SET ROLE flowdb_priv_owner;
DO $$
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE twin (key text COLLATE "C", ts bigint, v int) SERVER priv OPTIONS (store %L)',
                 'own'::regclass::oid);
END $$;
SELECT * FROM twin;
RESET ROLE;
-- (the statement that would hand it to another owner is refused)
\set VERBOSITY sqlstate
ALTER FOREIGN TABLE twin OWNER TO flowdb_priv_user;
\set VERBOSITY default
DROP FOREIGN TABLE twin;

-- A reader sees the stores of his tables, with times and keys.
SET ROLE flowdb_priv_reader;
SELECT records_written, state FROM flowdb_stats WHERE server = 'priv';
SELECT store = 'own'::regclass::oid::text AS own, tables, records, ts_min, ts_max FROM flowdb_stores;
SELECT store = 'own'::regclass::oid::text AS own, records, key_min, ts_min FROM flowdb_sstables;
SELECT * FROM own;
-- Columns.
SELECT key, ts FROM pt WHERE key >= 'k1' ORDER BY key;
SELECT count(*) FROM pt;
SELECT v FROM pt;
\echo :SQLSTATE
SELECT key FROM pt WHERE secret = 'one';
\echo :SQLSTATE
SELECT pt FROM pt;
\echo :SQLSTATE
SELECT key FROM pt ORDER BY v;
\echo :SQLSTATE
-- Of what he may read he may know how it was read.
SELECT * FROM plan_lines($$EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
  SELECT key FROM pt WHERE key = 'k1'$$, 'Foreign Scan');
SELECT * FROM plan_lines('EXPLAIN (ANALYZE, VERBOSE) SELECT key FROM pt', 'two|secret|[.]sst|flowdb/|k[12]');
EXPLAIN ANALYZE SELECT key FROM pt WHERE v = 1;
\echo :SQLSTATE
INSERT INTO own VALUES ('r', 1, 1);
\echo :SQLSTATE
SELECT flowdb_delete_range('own', NULL, NULL);
\echo :SQLSTATE
RESET ROLE;

SET ROLE flowdb_priv_writer;
INSERT INTO pt (key, ts, v) VALUES ('k3', 3, 3);
COPY pt (key, ts, v) FROM stdin;
k4	4	4
\.
INSERT INTO pt (key, ts, secret) VALUES ('k3', 3, 'x');
\echo :SQLSTATE
\copy pt FROM /dev/null
\echo :SQLSTATE
INSERT INTO pt (key, ts, v) VALUES ('k5', 5, 5) RETURNING v;
\echo :SQLSTATE
SELECT key FROM pt;
\echo :SQLSTATE
SELECT server, store FROM flowdb_stores;
RESET ROLE;

-- A duplicate is named to those who may read keys.
SET ROLE flowdb_priv_owner;
ALTER FOREIGN TABLE pt OPTIONS (ADD on_duplicate 'error');
INSERT INTO pt (key, ts) VALUES ('k1', 1);
SET ROLE flowdb_priv_writer;
INSERT INTO pt (key, ts) VALUES ('k1', 1);
INSERT INTO pt (key, ts, v) VALUES ('k1', 1, 1) ON CONFLICT DO NOTHING;
RESET ROLE;
ALTER FOREIGN TABLE pt OPTIONS (DROP on_duplicate);
-- UPDATE needs UPDATE, and SELECT where it reads; DELETE and TRUNCATE are apart.
GRANT UPDATE (v) ON pt TO flowdb_priv_writer;
SET ROLE flowdb_priv_writer;
UPDATE pt SET secret = 'x';
\echo :SQLSTATE
UPDATE pt SET v = 5 WHERE key = 'k4';
\echo :SQLSTATE
UPDATE pt SET v = v + 1;
\echo :SQLSTATE
UPDATE pt SET v = 8;
UPDATE pt SET v = 9 RETURNING v;
\echo :SQLSTATE
DELETE FROM pt;
\echo :SQLSTATE
TRUNCATE pt;
\echo :SQLSTATE
RESET ROLE;
SELECT count(*), min(v), max(v) FROM pt;
GRANT SELECT (key, ts), DELETE ON pt TO flowdb_priv_writer;
SET ROLE flowdb_priv_writer;
UPDATE pt SET v = 4 WHERE key = 'k4';
SELECT key FROM pt WHERE key = 'k4' FOR UPDATE;
SELECT key FROM own FOR UPDATE;
\echo :SQLSTATE
DELETE FROM pt WHERE v = 4;
\echo :SQLSTATE
DELETE FROM pt WHERE key = 'k4' RETURNING key, ts;
TRUNCATE pt;
\echo :SQLSTATE
RESET ROLE;
GRANT TRUNCATE ON own TO flowdb_priv_reader;
SET ROLE flowdb_priv_reader;
SELECT key FROM own FOR SHARE;
\echo :SQLSTATE
BEGIN;
TRUNCATE own;
SELECT * FROM own;
ROLLBACK;
DELETE FROM own;
\echo :SQLSTATE
SELECT * FROM own;
RESET ROLE;

-- pg_monitor: every store and file, metrics; no keys.
SET ROLE flowdb_priv_monitor;
SELECT records_written > 0 AS written, state FROM flowdb_stats WHERE server = 'priv';
SELECT store ~ '^\d+$' AS own, tables, records > 0 AS records, ts_max FROM flowdb_stores
  WHERE server = 'priv' ORDER BY 1;
SELECT count(*) > 0 AS files, count(key_min) AS keys, count(ts_min) > 0 AS times FROM flowdb_sstables
  WHERE server = 'priv';
SELECT flowdb_metrics() LIKE '%priv%' AS metrics;
SELECT * FROM own;
\echo :SQLSTATE
SELECT flowdb_gc('priv');
\echo :SQLSTATE
RESET ROLE;

-- The owner of the server sees all, and may hand it on.
SET ROLE flowdb_priv_owner;
SELECT count(*) > 0 AS files, count(key_min) > 0 AS keys FROM flowdb_sstables WHERE server = 'priv';
SELECT flowdb_compact('priv') IS NOT NULL AS compact, flowdb_gc('priv') AS gc;
SELECT merges >= 0 AS merges FROM flowdb_maintenance('priv', '10 ms');
SELECT flowdb_metrics();
\echo :SQLSTATE
RESET ROLE;
ALTER SERVER priv OWNER TO flowdb_priv_monitor;
\echo :SQLSTATE
GRANT flowdb_priv_owner TO flowdb_priv_monitor;
SET ROLE flowdb_priv_monitor;
SELECT flowdb_flush('priv');
RESET ROLE;
REVOKE flowdb_priv_owner FROM flowdb_priv_monitor;

-- Views and functions work with their owners' rights.
SET ROLE flowdb_priv_owner;
CREATE VIEW pt_public AS SELECT key, ts FROM pt WHERE secret <> 'two';
CREATE FUNCTION pt_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER
  BEGIN ATOMIC SELECT count(*) FROM pt; END;
CREATE FUNCTION pt_invoker() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM pt';
CREATE FUNCTION pt_clear() RETURNS void LANGUAGE sql SECURITY DEFINER
  AS $$ SELECT flowdb_delete_range('pt', 'k3', 'k9') $$;
GRANT SELECT ON pt_public TO flowdb_priv_nobody;
SET ROLE flowdb_priv_nobody;
SELECT * FROM pt_public;
SELECT pt_count();
\set SHOW_CONTEXT never
SELECT pt_invoker();
\set SHOW_CONTEXT errors
\echo :SQLSTATE
SELECT pt_clear();
RESET ROLE;
SELECT key FROM pt ORDER BY key;
CREATE VIEW pt_as_caller WITH (security_invoker) AS SELECT key FROM pt;
GRANT SELECT ON pt_as_caller TO flowdb_priv_nobody;
SET ROLE flowdb_priv_nobody;
SELECT * FROM pt_as_caller;
\echo :SQLSTATE
RESET ROLE;

-- A security barrier: nothing that could tell goes ahead of it.
SET ROLE flowdb_priv_owner;
CREATE VIEW pt_barrier WITH (security_barrier) AS SELECT key, ts, v FROM pt WHERE secret <> 'two';
GRANT SELECT ON pt_barrier TO flowdb_priv_nobody;
RESET ROLE;
CREATE FUNCTION pt_tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
  AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SET ROLE flowdb_priv_nobody;
SELECT key FROM pt_barrier WHERE pt_tell(key);
SELECT key FROM pt_barrier WHERE key LIKE 'k2%' OR 1 / (v - 2) > 0;
SELECT key FROM pt_barrier WHERE key ~ '^k' AND key >= 'k1';
SELECT * FROM plan_lines($$EXPLAIN (COSTS OFF) SELECT key FROM pt_barrier
  WHERE key LIKE 'k%' AND key >= 'k1'$$, 'Scan|Filter');
RESET ROLE;

-- The same in UPDATE and DELETE, where the view is merged into the statement.
SET ROLE flowdb_priv_owner;
CREATE VIEW pt_hidden WITH (security_barrier) AS SELECT * FROM pt WHERE v <> 2;
GRANT SELECT, UPDATE, DELETE ON pt_hidden TO flowdb_priv_nobody;
UPDATE pt SET v = 1 WHERE key = 'k1';
UPDATE pt SET v = 2 WHERE key = 'k2';
SET ROLE flowdb_priv_nobody;
BEGIN;
UPDATE pt_hidden SET v = 3 WHERE pt_tell(key) AND key LIKE 'k%';
DELETE FROM pt_hidden WHERE pt_tell(secret);
ROLLBACK;
-- LIKE may tell of its operand, so it is no bound; = does not.
SELECT * FROM plan_lines($$EXPLAIN (COSTS OFF) DELETE FROM pt_hidden WHERE key LIKE 'k2%'$$, 'Bounds|Filter');
SELECT * FROM plan_lines($$EXPLAIN (COSTS OFF) DELETE FROM pt_hidden WHERE key = 'k2'$$, 'Filter');
RESET ROLE;
SELECT key, v FROM pt ORDER BY key;

-- Options do not get around the validator, and ownership decides.
\set VERBOSITY terse
ALTER SERVER priv OPTIONS (ADD nonsense '1');
\echo :SQLSTATE
ALTER FOREIGN TABLE pt OPTIONS (ADD nonsense '1');
ALTER FOREIGN TABLE pt OPTIONS (DROP store, ADD store '');
\echo :SQLSTATE
ALTER FOREIGN TABLE pt ALTER v OPTIONS (ADD role 'nonsense');
SET ROLE flowdb_priv_owner;
UPDATE pg_foreign_table SET ftoptions = '{store=x}';
\echo :SQLSTATE
ALTER FOREIGN DATA WRAPPER flowdb_fdw NO VALIDATOR;
\echo :SQLSTATE
RESET ROLE;

-- A table on another one's store loses it with the rights to that table, in
-- sessions that have used it too, and can be given another store then.
GRANT USAGE ON FOREIGN SERVER priv TO flowdb_priv_user;
SET ROLE flowdb_priv_user;
CREATE FOREIGN TABLE lent (key text, v int) SERVER priv;
INSERT INTO lent VALUES ('k', 1);
DO $$ BEGIN
  EXECUTE format('CREATE FOREIGN TABLE borrower (key text, v int) SERVER priv OPTIONS (store %L)',
    'lent'::regclass::oid);
END $$;
SELECT * FROM borrower;
RESET ROLE;
SELECT flowdb_flush('priv');
ALTER FOREIGN TABLE lent OWNER TO flowdb_priv_owner;
SET ROLE flowdb_priv_user;
DO $$ BEGIN PERFORM * FROM borrower; EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'denied'; END $$;
SELECT key_min FROM flowdb_sstables WHERE store = (SELECT 'lent'::regclass::oid::text);
ALTER FOREIGN TABLE borrower OPTIONS (SET store 'borrowed');
SELECT * FROM borrower;
RESET ROLE;

DROP SERVER priv CASCADE;
DROP FUNCTION plan_lines, pt_invoker, pt_clear, pt_tell;
DROP OWNED BY flowdb_priv_owner, flowdb_priv_user, flowdb_priv_reader, flowdb_priv_writer,
  flowdb_priv_monitor, flowdb_priv_nobody;
DROP ROLE flowdb_priv_owner, flowdb_priv_user, flowdb_priv_reader, flowdb_priv_writer,
  flowdb_priv_monitor, flowdb_priv_nobody;
