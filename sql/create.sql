-- The extension, servers, foreign tables, their options and roles.
SET timezone = 'UTC';
CREATE EXTENSION flowdb_fdw;
SELECT extversion FROM pg_extension WHERE extname = 'flowdb_fdw';

-- Plans in the words of PostgreSQL 15, for the tests after this one: later
-- versions name parameters, round rows and turn clauses around otherwise.
CREATE FUNCTION plan_words(line text, OUT words text) LANGUAGE plpgsql AS $$
DECLARE
  change text[];
BEGIN
  words := line;
  FOREACH change SLICE 1 IN ARRAY ARRAY[
    ['InitPlan (\d+) \(returns \$\d+\)', 'InitPlan \1'],
    ['\(InitPlan 1\)\.col1', '$0'],
    ['\((\$\d+|\(\$\d+\)::\w+) = (\w+\.\w+)\)', '(\2 = \1)'],
    ['(actual rows=\d+)\.00', '\1'],
    ['\s*<Disabled>false</Disabled>|\s*"?Disabled"?: false,?', '']]
  LOOP
    words := regexp_replace(words, change[1], change[2], 'g');
  END LOOP;
END $$;
CREATE FUNCTION explain(query text, options text DEFAULT '') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (COSTS OFF, BUFFERS OFF%s) %s', options, query) LOOP
    RETURN NEXT plan_words(line);
  END LOOP;
END $$;
-- A plan in one text, without relations and stores.
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
  plan text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    CONTINUE WHEN line ~ '(Foreign Scan on|Aggregate|FlowDB Store)';
    plan := plan || CASE plan WHEN '' THEN '' ELSE E'\n' END || trim(plan_words(line));
    -- What stands below, if anything, depends on the version.
    EXIT WHEN line ~ 'One-Time Filter: false';
  END LOOP;
  RETURN plan;
END $$;
-- How many rows the second query has, and how many of both are not the other's.
CREATE FUNCTION compare_queries(ours text, theirs text, OUT rows bigint, OUT differ bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('WITH ours AS (%s), theirs AS (%s) SELECT (SELECT count(*) FROM theirs), (SELECT count(*) '
    'FROM ((TABLE theirs EXCEPT ALL TABLE ours) UNION ALL (TABLE ours EXCEPT ALL TABLE theirs)) x)', ours, theirs) INTO rows, differ;
END $$;
-- The same of one query, of which %s is the table, of f and of h.
CREATE FUNCTION compare_twins(query text, OUT rows bigint, OUT differ bigint) LANGUAGE sql AS $$
  SELECT * FROM compare_queries(format('SELECT q::text FROM (' || query || ') q', 'f'), format('SELECT q::text FROM (' || query || ') q', 'h'));
$$;

-- Server options; options.sql has them all.
CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (nonsense '1');
\echo :SQLSTATE
CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (wal_sync_mode 'off');
CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (wal_segment_size_mb '16');
CREATE FOREIGN DATA WRAPPER bad HANDLER flowdb_fdw_handler
  VALIDATOR flowdb_fdw_validator OPTIONS (store 'x');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE USER MAPPING FOR CURRENT_USER SERVER flow OPTIONS (password 'x');

-- Table and column options.
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (stor 'x');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (keycolumns 'key');
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (colour 'red');
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (store '');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (key_columns 'a,,b');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (key_columns 'key, KEY');
CREATE FOREIGN TABLE bad (key text, v int) SERVER flow OPTIONS (time_column 'a,b');
CREATE FOREIGN TABLE bad (key text OPTIONS (role 'kee'), v int) SERVER flow;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (key text OPTIONS (rol 'key'), v int) SERVER flow;
\echo :SQLSTATE
DO $$
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE bad (key text) SERVER flow OPTIONS (store %L)',
                 repeat('s', 256));
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;

-- Roles that make no sense are refused with the table.
CREATE FOREIGN TABLE bad (key float8 OPTIONS (role 'key'), v int) SERVER flow;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k text OPTIONS (role 'key'),
  t time OPTIONS (role 'time')) SERVER flow;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k text OPTIONS (role 'key'),
  e interval OPTIONS (role 'expire_at')) SERVER flow;
CREATE FOREIGN TABLE bad (k text OPTIONS (role 'key'),
  t1 bigint OPTIONS (role 'time'), t2 bigint OPTIONS (role 'time')) SERVER flow;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k text, v int) SERVER flow OPTIONS (key_columns 'k,nope');
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k text, t bigint) SERVER flow OPTIONS (key_columns 'k', time_column 'nope');
CREATE FOREIGN TABLE bad (k text OPTIONS (role 'key'), l text) SERVER flow OPTIONS (key_columns 'l');
CREATE FOREIGN TABLE bad (k text, v int) SERVER flow OPTIONS (key_columns 'k', time_column 'k');
SELECT count(*) FROM pg_foreign_table;

-- Roles that are missing may still come: said once, an error at first use.
CREATE FOREIGN TABLE later (host text COLLATE "C", at bigint, v float8) SERVER flow;
SELECT * FROM later;
\echo :SQLSTATE
INSERT INTO later VALUES ('a', 1, 1);
ALTER FOREIGN TABLE later ALTER at OPTIONS (ADD role 'time');
ALTER FOREIGN TABLE later ALTER host OPTIONS (ADD role 'key');
INSERT INTO later VALUES ('a', 1, 1), ('a', 1, 2), ('a', 2, 3);
SELECT * FROM later ORDER BY host, at;
ALTER FOREIGN TABLE later ALTER v OPTIONS (ADD role 'key');
\echo :SQLSTATE

-- Without any role, names give them: FlowDB's record as it is.
CREATE FOREIGN TABLE record (key text, ts bigint, value bytea, expire_at bigint) SERVER flow;
INSERT INTO record (key, ts, value) VALUES ('k', -1, '\x00ff'), ('k', 5, NULL), ('', 0, '');
INSERT INTO record VALUES ('k', 5, '\x01', 9223372036854775806), ('k', 7, '\x02', NULL);
SELECT * FROM record ORDER BY key, ts;
INSERT INTO record VALUES ('old', 1, '\x', 1), ('old', 2, '\x', 0), ('new', 1, '\x', NULL);
SELECT key FROM record WHERE key IN ('old', 'new');
CREATE FOREIGN TABLE named (key text, ts time, v int) SERVER flow;
SELECT * FROM named;
\echo :SQLSTATE
ALTER FOREIGN TABLE named ALTER key OPTIONS (ADD role 'key');
INSERT INTO named VALUES ('a', '12:34:56', 1);
SELECT * FROM named;

-- Expiry by timestamptz; infinity is never.
CREATE FOREIGN TABLE session (id bytea, until timestamptz, who text) SERVER flow
  OPTIONS (key_columns 'id', expire_column 'until');
INSERT INTO session VALUES ('\x01', 'infinity', 'a'), ('\x02', NULL, 'b'),
  ('\x03', '2999-12-31 23:59:59.999999+00', 'c');
INSERT INTO session VALUES ('\x04', '-infinity', 'd');
SELECT * FROM session ORDER BY id;

-- Roles by table options, folded and quoted like identifiers in SQL.
CREATE FOREIGN TABLE quoted ("Host" text, region varchar(10), "T" timestamptz, v int)
  SERVER flow OPTIONS (key_columns 'Region, "Host"', time_column '"T"', store 'a store');
INSERT INTO quoted VALUES ('h', 'eu', '2024-01-01', 1), ('g', 'us', '2024-01-02', 2);
SELECT * FROM quoted ORDER BY v;

-- A store is shown by any number of tables; it holds columns by name.
CREATE FOREIGN TABLE quoted2 (h text, r text, w float8, v int) SERVER flow
  OPTIONS (key_columns 'r,h', store 'a store');
SELECT * FROM quoted2 ORDER BY v;
INSERT INTO quoted2 VALUES ('i', 'us', 1.5, 3);
SELECT * FROM quoted2 ORDER BY v;
SELECT * FROM quoted WHERE v IN (1, 3) ORDER BY v;
CREATE FOREIGN TABLE quoted3 (r text, h text, v bigint) SERVER flow
  OPTIONS (key_columns 'r,h', store 'a store');
SELECT * FROM quoted3;
\echo :SQLSTATE
INSERT INTO quoted3 VALUES ('a', 'b', 1);
CREATE FOREIGN TABLE quoted4 (r text, v int) SERVER flow
  OPTIONS (key_columns 'r', store 'a store');
SELECT * FROM quoted4;
\echo :SQLSTATE

-- A bytea key may hold what is no text.
CREATE FOREIGN TABLE raw (k bytea, v int) SERVER flow OPTIONS (key_columns 'k', store 'raw');
CREATE FOREIGN TABLE raw_text (k text, v int) SERVER flow OPTIONS (key_columns 'k', store 'raw');
INSERT INTO raw VALUES ('\x61', 1), ('\xff00', 2);
SELECT * FROM raw ORDER BY k;
SELECT * FROM raw_text WHERE k = 'a';
SELECT * FROM raw_text;
\echo :SQLSTATE
SELECT v FROM raw_text ORDER BY v;

-- Each table without the option has a store of its own.
CREATE FOREIGN TABLE own1 (key text, v int) SERVER flow;
CREATE FOREIGN TABLE own2 (key text, v int) SERVER flow;
INSERT INTO own1 VALUES ('a', 1);
SELECT * FROM own2;
ALTER FOREIGN TABLE own1 RENAME TO own3;
SELECT * FROM own3;

-- ADD COLUMN reads as NULL in older rows, and in any session.
ALTER FOREIGN TABLE own3 ADD COLUMN w text;
INSERT INTO own3 VALUES ('b', 2, 'new');
\c -
SET timezone = 'UTC';
SELECT * FROM own3 ORDER BY key;

-- All kinds of writes.
UPDATE own3 SET v = v + 1 WHERE key = 'a';
DELETE FROM own3 WHERE v = 2 AND key = 'a';
INSERT INTO own3 VALUES ('a', 1) ON CONFLICT DO NOTHING;
SELECT is_insertable_into FROM information_schema.tables WHERE table_name = 'own3';
SELECT pg_relation_is_updatable('own3', false);

-- SERIALIZABLE needs predicate locks.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM own3;
\echo :SQLSTATE
ROLLBACK;

-- Rights and counters.
CREATE ROLE flowdb_regress_user;
SET ROLE flowdb_regress_user;
SELECT flowdb_flush('flow');
\echo :SQLSTATE
SELECT server, state, records_written FROM flowdb_stats;
SELECT * FROM own3;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER flow TO flowdb_regress_user;
SET ROLE flowdb_regress_user;
SELECT server, state, records_written > 0 AS written, memtable_records > 0 AS in_memory,
  stores, unresolved_transactions >= 0 AS unresolved, reason FROM flowdb_stats;
RESET ROLE;
DROP OWNED BY flowdb_regress_user;
DROP ROLE flowdb_regress_user;
SELECT flowdb_flush('flow');
SELECT memtable_records, sstables > 0 AS sstables, sstable_records > 0 AS records,
  flushes > 0 AS flushes, flush_failures, flushed_lsn > '0/0' AS flushed FROM flowdb_stats;
SELECT * FROM own3 ORDER BY key;
SELECT flowdb_flush('nope');
\echo :SQLSTATE
