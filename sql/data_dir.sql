-- The server option data_dir: the folder of $PGDATA/flowdb for a server.
CREATE FUNCTION there(dir text) RETURNS text[] LANGUAGE sql AS
  $$ SELECT array_agg(f ORDER BY f) FROM pg_ls_dir('flowdb/' || dir, true, false) f $$;
-- Files of a dropped server go soon after.
CREATE FUNCTION gone(dir text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 300 LOOP
    IF (pg_stat_file('flowdb/' || dir, true)).isdir IS NULL THEN RETURN true; END IF;
    PERFORM pg_sleep(0.1);
  END LOOP;
  RETURN false;
END $$;

CREATE SERVER dd FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_metrics');
SELECT there('regress_metrics');
CREATE FOREIGN TABLE dt (key text COLLATE "C", ts bigint, v int) SERVER dd;
INSERT INTO dt SELECT 'k' || i, i, i FROM generate_series(1, 100) i;
SELECT flowdb_flush('dd');
SELECT count(*) FROM pg_ls_dir('flowdb/regress_metrics/SST');
SELECT count(*), sum(v) FROM dt;

-- A name, and nothing that leads elsewhere or means something else.
\set VERBOSITY terse
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['', '.', '..', '../x', 'a/b', '/tmp/x', 'a/', '.hidden', 'a b', 'a\b', 'a''b',
    E'a\nb', 'a$b', 'größe', '~', '-x', 'registry', 'Registry', 'registry.old', 'aside-1-2', 'later-1-2', '5-16384', '1-1',
    'pg_wal', 'pg_replslot', 'PG_Notify', 'pgsql_tmp', 'pgsql_tmp.x', 'postmaster.pid', 'postgresql.conf',
    'backup_label', 'backup_manifest', 'tablespace_map', 'current_logfiles', repeat('x', 64), repeat('x', 5000)]
  LOOP
    BEGIN
      EXECUTE format('CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir %L)', name);
      RAISE NOTICE 'accepted: %', name;
      RAISE EXCEPTION 'undo';
    EXCEPTION WHEN OTHERS THEN
      RAISE NOTICE '% %', SQLSTATE, left(SQLERRM, 100);
    END;
  END LOOP;
END $$;
\set VERBOSITY default
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir '/tmp/x');
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir '../x');
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'pg_wal');
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dri 'x');
CREATE SERVER dd63 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress.a-b_63xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx');
SELECT there('regress.a-b_63xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx');
DROP SERVER dd63;

-- One server, one directory; in names too that only differ in case.
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_metrics');
\echo :SQLSTATE
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'Regress_Metrics');
BEGIN;
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_two');
SAVEPOINT s;
CREATE SERVER dd3 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_two');
ROLLBACK TO s;
DROP SERVER dd2;
CREATE SERVER dd3 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_two');
\echo :SQLSTATE
ROLLBACK;

-- Rolled back: gone, and free again at once.
BEGIN;
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_undone');
ROLLBACK;
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_undone');
CREATE FOREIGN TABLE dt2 (key text COLLATE "C", ts bigint, v int) SERVER dd2;
INSERT INTO dt2 VALUES ('a', 1, 1);
SELECT * FROM dt2;
DROP SERVER dd2 CASCADE;
CREATE SERVER dd2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_undone');
CREATE FOREIGN TABLE dt2 (key text COLLATE "C", ts bigint, v int) SERVER dd2;
SELECT * FROM dt2;
BEGIN;
DROP SERVER dd2 CASCADE;
ROLLBACK;
INSERT INTO dt2 VALUES ('b', 1, 1);
SELECT * FROM dt2;
DROP SERVER dd2 CASCADE;
SELECT gone('regress_undone');

-- It is chosen once.
ALTER SERVER dd OPTIONS (SET data_dir 'regress_other');
\echo :SQLSTATE
ALTER SERVER dd OPTIONS (DROP data_dir);
\echo :SQLSTATE
ALTER SERVER dd OPTIONS (SET data_dir 'regress_metrics');
ALTER SERVER dd RENAME TO dd_renamed;
ALTER SERVER dd_renamed VERSION '1';
ALTER SERVER dd_renamed RENAME TO dd;
CREATE SERVER dd_default FOREIGN DATA WRAPPER flowdb_fdw;
ALTER SERVER dd_default OPTIONS (ADD data_dir 'regress_late');
\echo :SQLSTATE
ALTER SERVER dd_default OPTIONS (ADD data_dir 'a/b');
\echo :SQLSTATE
DROP SERVER dd_default;
SELECT srvname, srvoptions FROM pg_foreign_server WHERE srvname = 'dd';
SELECT count(*), sum(v) FROM dt;

-- It is no option of a table or of the wrapper.
\set VERBOSITY terse
CREATE FOREIGN TABLE dtbad (key text) SERVER dd OPTIONS (data_dir 'x');
\echo :SQLSTATE
ALTER FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (ADD data_dir 'x');
\echo :SQLSTATE

-- A superuser may take the validator away, and the rules stay.
ALTER FOREIGN DATA WRAPPER flowdb_fdw NO VALIDATOR;
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir '../../tmp/x');
\echo :SQLSTATE
CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir '/tmp/x');
DO $$
BEGIN
  EXECUTE format('CREATE SERVER ddbad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir %L)', repeat('x', 100));
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
ALTER SERVER dd OPTIONS (SET data_dir '../../tmp/x');
ALTER FOREIGN DATA WRAPPER flowdb_fdw VALIDATOR flowdb_fdw_validator;

-- Something is there already.
CREATE TABLE lines (line text);
INSERT INTO lines VALUES ('mine');
SELECT setting || '/flowdb/regress_file' AS file FROM pg_settings WHERE name = 'data_directory' \gset
COPY lines TO :'file';
CREATE SERVER dd4 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'regress_file');
\echo :SQLSTATE
\set VERBOSITY default
SELECT pg_read_file('flowdb/regress_file');
DROP TABLE lines;

DROP SERVER dd CASCADE;
SELECT gone('regress_metrics');
SELECT count(*) FROM pg_ls_dir('flowdb') f WHERE f ~ '^regress_(?!file)';
DROP FUNCTION there, gone;
