-- The end of tables, stores and databases.
ALTER SYSTEM SET flowdb.obsolete_file_retention = 0;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
SET client_min_messages = notice;
CREATE SCHEMA dropping;
SET search_path = dropping, public;
CREATE SERVER ending FOREIGN DATA WRAPPER flowdb_fdw;

-- Files on disk of a server, after workers have done what they have to do.
CREATE FUNCTION files(server name DEFAULT 'ending') RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM pg_database d, pg_foreign_server s,
    pg_ls_dir(format('flowdb/%s-%s/SST', d.oid, s.oid)) f
  WHERE datname = current_database() AND srvname = server $$;
CREATE FUNCTION files_become(n bigint, server name DEFAULT 'ending') RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 300 LOOP
    IF files(server) = n THEN RETURN 'yes'; END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
  RETURN format('no, there are %s', files(server));
END $$;
-- Stores of a server; those that are named after a table's oid have no name.
CREATE FUNCTION stores(OUT store text, OUT tables text, OUT orphan boolean,
  OUT sstables int) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT CASE WHEN store !~ '^\d+$' THEN store END, tables::text, orphan, sstables
  FROM flowdb_stores WHERE server = 'ending' ORDER BY store, 2 $$;
-- A table with rows in an SSTable and rows in memory.
CREATE PROCEDURE make(name text, store text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE %I (key text, ts bigint, v int) SERVER ending %s',
    name, 'OPTIONS (store ' || quote_literal(store) || ')');
  EXECUTE format('INSERT INTO %I SELECT ''k'', g, g FROM generate_series(1, 5) g', name);
END $$;

-- A table that does not name its store owns it: it goes with the commit.
CALL make('t1');
CALL make('t2');
SELECT flowdb_flush('ending');
INSERT INTO t1 VALUES ('k', 6, 6);
SELECT * FROM stores();
SELECT files();
DROP FOREIGN TABLE t1;
SELECT * FROM stores();
SELECT files_become(1);
SELECT flowdb_flush('ending');
SELECT files_become(1);
SELECT count(*) FROM t2;

-- ROLLBACK brings all of it back.
BEGIN;
DROP FOREIGN TABLE t2;
SELECT * FROM stores();
ROLLBACK;
SELECT * FROM stores();
SELECT count(*) FROM t2;

-- So does ROLLBACK TO; what stays dropped is dropped.
CALL make('t3');
CALL make('t4');
BEGIN;
DROP FOREIGN TABLE t2;
SAVEPOINT a;
DROP FOREIGN TABLE t3;
SAVEPOINT b;
DROP FOREIGN TABLE t4;
RELEASE b;
ROLLBACK TO a;
COMMIT;
SELECT * FROM stores();
SELECT count(*) FROM t3;
BEGIN;
SAVEPOINT a;
DROP FOREIGN TABLE t3;
RELEASE a;
COMMIT;
DO $$ BEGIN
  BEGIN
    DROP FOREIGN TABLE dropping.t4;
    RAISE EXCEPTION 'no';
  EXCEPTION WHEN raise_exception THEN
    NULL;
  END;
END $$;
SELECT * FROM stores();
SELECT flowdb_flush('ending');
SELECT files_become(1);

-- Rows written by the transaction that drops the table are no obstacle.
BEGIN;
INSERT INTO t4 VALUES ('z', 1, 1);
DROP FOREIGN TABLE t4;
COMMIT;
SELECT * FROM stores();
SELECT files_become(0);

-- Made and dropped, or made and rolled back: nothing stays.
BEGIN;
CALL make('t5');
DROP FOREIGN TABLE t5;
COMMIT;
BEGIN;
CALL make('t6');
SELECT count(*) FROM t6;
ROLLBACK;
BEGIN;
SAVEPOINT a;
CALL make('t7');
SELECT orphan, count(*) FROM stores() GROUP BY 1;
ROLLBACK TO a;
COMMIT;
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
CALL make('t7');
ROLLBACK TO b;
ROLLBACK TO a;
COMMIT;
BEGIN;
CREATE FOREIGN TABLE t8 (key text, ts bigint, v int) SERVER ending;
SAVEPOINT a;
INSERT INTO t8 VALUES ('k', 1, 1);
ROLLBACK TO a;
INSERT INTO t8 VALUES ('k', 2, 2);
COMMIT;
SELECT * FROM stores();
SELECT * FROM t8;
DROP FOREIGN TABLE t8;
SELECT flowdb_flush('ending');
SELECT files_become(0);
SELECT count(*) FROM stores();

-- Many at once, by schema, by partition, by owner.
CREATE SCHEMA many;
SET search_path = many, dropping, public;
CREATE TABLE part (key text, ts bigint, v int) PARTITION BY LIST (key);
DO $$ BEGIN
  FOR i IN 1 .. 20 LOOP
    EXECUTE format('CREATE FOREIGN TABLE part%s PARTITION OF part FOR VALUES IN (%L) '
      'SERVER ending OPTIONS (key_columns ''key'', time_column ''ts'')', i, i);
  END LOOP;
END $$;
INSERT INTO part SELECT (1 + g % 20)::text, g, g FROM generate_series(1, 100) g;
SELECT flowdb_flush('ending');
SELECT files();
DROP FOREIGN TABLE part1;
ALTER TABLE part DETACH PARTITION part2;
DROP FOREIGN TABLE part2;
SELECT count(*) FROM stores();
SELECT files_become(18);
SET search_path = dropping, public;
BEGIN;
DROP SCHEMA many CASCADE;
ROLLBACK;
SELECT count(*), sum(ts) FROM many.part;
SET client_min_messages = warning;
DROP SCHEMA many CASCADE;
SET client_min_messages = notice;
SELECT count(*) FROM stores();
SELECT files_become(0);

CREATE ROLE flowdb_regress_dropper;
GRANT USAGE ON FOREIGN SERVER ending TO flowdb_regress_dropper;
GRANT ALL ON SCHEMA dropping TO flowdb_regress_dropper;
SET ROLE flowdb_regress_dropper;
CALL make('t9');
CALL make('t10', 'a named one');
RESET ROLE;
DROP OWNED BY flowdb_regress_dropper;
SELECT * FROM stores();

-- A store with a name stays, and is an orphan.
CALL make('t11', 'shared');
CREATE FOREIGN TABLE t12 (key text, ts bigint, v int) SERVER ending OPTIONS (store 'shared');
SELECT * FROM stores();
DROP FOREIGN TABLE t11;
SELECT count(*) FROM t12;
DROP FOREIGN TABLE t12;
SELECT * FROM stores();
CREATE FOREIGN TABLE t13 (key text, ts bigint, v int) SERVER ending OPTIONS (store 'shared');
SELECT count(*) FROM t13;
CREATE FOREIGN TABLE t14 (key text, ts bigint, v int) SERVER ending OPTIONS (store 'never begun');
DROP FOREIGN TABLE t14;

-- flowdb_drop_store: not while a table shows it, not for everybody.
SELECT flowdb_drop_store('ending', 'shared');
\echo :SQLSTATE
SELECT flowdb_drop_store('ending', 'nope');
\echo :SQLSTATE
SELECT flowdb_drop_store('nope', 'shared');
\echo :SQLSTATE
SELECT flowdb_drop_store('ending', NULL) IS NULL;
GRANT USAGE ON FOREIGN SERVER ending TO flowdb_regress_dropper;
SET ROLE flowdb_regress_dropper;
SELECT flowdb_drop_store('ending', 'a named one');
\echo :SQLSTATE
SELECT flowdb_drop_store('ending', 'nope');
\echo :SQLSTATE
RESET ROLE;
BEGIN READ ONLY;
SELECT flowdb_drop_store('ending', 'a named one');
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT flowdb_drop_store('ending', 'a named one');
\echo :SQLSTATE
ROLLBACK;

-- It is transactional.
BEGIN;
SELECT flowdb_drop_store('ending', 'a named one');
SELECT flowdb_drop_store('ending', 'a named one');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT flowdb_drop_store('ending', 'a named one');
ROLLBACK TO a;
COMMIT;
SELECT * FROM stores();
BEGIN;
DROP FOREIGN TABLE t13;
SELECT flowdb_drop_store('ending', 'shared');
ROLLBACK;
SELECT count(*) FROM t13;
SELECT flowdb_drop_store('ending', 'a named one');
SELECT * FROM stores();

-- Its name is free at once, for an empty store.
SELECT flowdb_flush('ending');
BEGIN;
DROP FOREIGN TABLE t13;
SELECT flowdb_drop_store('ending', 'shared');
COMMIT;
CREATE FOREIGN TABLE t13 (key text, ts bigint, v int) SERVER ending OPTIONS (store 'shared');
SELECT count(*) FROM t13;
INSERT INTO t13 VALUES ('new', 1, 1);
SELECT * FROM t13;
SELECT * FROM stores();
SELECT flowdb_flush('ending');
SELECT * FROM t13;
SELECT files_become(1);

-- A table that comes to show it in the same transaction stops the commit.
DROP FOREIGN TABLE t13;
BEGIN;
SELECT flowdb_drop_store('ending', 'shared');
CREATE FOREIGN TABLE t13 (key text, ts bigint, v int) SERVER ending OPTIONS (store 'shared');
COMMIT;
\echo :SQLSTATE
SELECT * FROM stores();
SELECT flowdb_drop_store('ending', 'shared');
SELECT files_become(0);

-- An owned store that is shown by another table's option stays with it.
CALL make('t15');
DO $$ BEGIN
  EXECUTE format('CREATE FOREIGN TABLE t16 (key text, ts bigint, v int) '
    'SERVER ending OPTIONS (store %L)', 't15'::regclass::oid);
END $$;
DROP FOREIGN TABLE t15;
SELECT count(*) FROM t16;
SELECT store FROM flowdb_stores WHERE server = 'ending' \gset
SET client_min_messages = warning;
DROP FOREIGN TABLE t16;
SET client_min_messages = notice;
SELECT flowdb_drop_store('ending', :'store');
SELECT * FROM stores();

-- ON COMMIT DROP takes a table along after everything else was done.
SELECT count(*) FILTER (WHERE orphan) AS orphans FROM stores() \gset
BEGIN;
CREATE TEMPORARY TABLE passing (key text, v int) ON COMMIT DROP;
CREATE FOREIGN TABLE pg_temp.along (key text, v int) INHERITS (passing) SERVER ending;
INSERT INTO along VALUES ('a', 1);
SELECT * FROM passing;
COMMIT;
SELECT count(*) FILTER (WHERE orphan) - :orphans AS more FROM stores();

-- A table that leaves its own store by ALTER leaves an orphan behind.
CALL make('t17');
ALTER FOREIGN TABLE t17 OPTIONS (ADD store 'other');
SELECT count(*) FROM t17;
SELECT * FROM stores();
ALTER FOREIGN TABLE t17 OPTIONS (DROP store);
SELECT count(*) FROM t17;
SELECT * FROM stores();
DROP FOREIGN TABLE t17;
SELECT * FROM stores();

-- Foreign tables of others, and other relations, are none of our business.
CREATE FOREIGN DATA WRAPPER dropping_dummy;
CREATE SERVER dropping_dummy FOREIGN DATA WRAPPER dropping_dummy;
CREATE FOREIGN TABLE stranger (a int) SERVER dropping_dummy;
DROP FOREIGN TABLE stranger;
DROP FOREIGN DATA WRAPPER dropping_dummy CASCADE;

-- PREPARE TRANSACTION does not know of it.
CALL make('t18');
BEGIN;
DROP FOREIGN TABLE t18;
PREPARE TRANSACTION 'dropping';
\echo :SQLSTATE
SELECT count(*) FROM t18;

-- DROP SERVER takes all of it, without a word about single stores.
CALL make('t19', 'named');
SELECT flowdb_flush('ending');
SELECT 'flowdb/' || d.oid || '-' || s.oid AS dir FROM pg_database d, pg_foreign_server s
  WHERE datname = current_database() AND srvname = 'ending' \gset
BEGIN;
DROP FOREIGN TABLE t18;
SAVEPOINT a;
DROP SERVER ending CASCADE;
ROLLBACK TO a;
COMMIT;
SELECT * FROM stores();
DROP SERVER ending CASCADE;
CREATE FUNCTION dir_goes(dir text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 300 LOOP
    IF (pg_stat_file(dir, true)).size IS NULL THEN RETURN 'yes'; END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
  RETURN 'no';
END $$;
SELECT dir_goes(:'dir');

-- So do DROP EXTENSION and DROP DATABASE, with many stores.
SELECT current_database() AS database \gset
CREATE DATABASE flowdb_regress_drop;
\c flowdb_regress_drop
SET client_min_messages = warning;
CREATE EXTENSION flowdb_fdw;
CREATE SERVER ending FOREIGN DATA WRAPPER flowdb_fdw;
DO $$ BEGIN
  FOR i IN 1 .. 50 LOOP
    EXECUTE format('CREATE FOREIGN TABLE t%s (key text, ts bigint, v int) SERVER ending', i);
    EXECUTE format('INSERT INTO t%s VALUES (''k'', 1, 1)', i);
  END LOOP;
END $$;
SELECT flowdb_flush('ending');
SELECT d.oid || '-' || s.oid AS dir1 FROM pg_database d, pg_foreign_server s
  WHERE datname = current_database() AND srvname = 'ending' \gset
SELECT count(*) FROM pg_ls_dir('flowdb/' || :'dir1' || '/SST');
DROP EXTENSION flowdb_fdw CASCADE;
CREATE EXTENSION flowdb_fdw;
CREATE SERVER ending FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t1 (key text, ts bigint, v int) SERVER ending;
INSERT INTO t1 VALUES ('k', 1, 1);
SELECT d.oid || '-' || s.oid AS dir2 FROM pg_database d, pg_foreign_server s
  WHERE datname = current_database() AND srvname = 'ending' \gset
\c :database
SET search_path = dropping, public;
DROP DATABASE flowdb_regress_drop;
SELECT dir_goes('flowdb/' || :'dir1'), dir_goes('flowdb/' || :'dir2');

SET client_min_messages = warning;
DROP OWNED BY flowdb_regress_dropper;
DROP ROLE flowdb_regress_dropper;
DROP SCHEMA dropping CASCADE;
ALTER SYSTEM RESET flowdb.obsolete_file_retention;
SELECT pg_reload_conf();
