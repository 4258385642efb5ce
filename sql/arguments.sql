-- Functions take what they are given, and say what is wrong with it.
CREATE SERVER arg FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE at (key text COLLATE "C", ts bigint, v int) SERVER arg;
INSERT INTO at VALUES ('k1', 1, 1), ('k2', 2, 2);
CREATE VIEW at_view AS SELECT * FROM at;
\set VERBOSITY terse
SELECT flowdb_flush(NULL), flowdb_compact(NULL), flowdb_compact(NULL, NULL), flowdb_gc(NULL),
  flowdb_maintenance(NULL, NULL), flowdb_maintenance('arg', NULL), flowdb_delete_range(NULL, NULL, NULL);
SELECT flowdb_flush('');
SELECT flowdb_flush('no such server');
SELECT flowdb_flush(repeat('x', 1000));
CREATE FOREIGN DATA WRAPPER flowdb_arg_dummy;
CREATE SERVER flowdb_arg_other FOREIGN DATA WRAPPER flowdb_arg_dummy;
CREATE FOREIGN TABLE other_ft (key text) SERVER flowdb_arg_other;
SELECT flowdb_flush('flowdb_arg_other');
\echo :SQLSTATE
SELECT flowdb_delete_range('other_ft', 'a', 'b');
\echo :SQLSTATE
DROP FOREIGN DATA WRAPPER flowdb_arg_dummy CASCADE;
SELECT flowdb_compact('arg', '');
\echo :SQLSTATE
SELECT flowdb_compact('arg', 'no such store');
SELECT flowdb_drop_store(NULL, NULL), flowdb_drop_store('arg', NULL);
SELECT flowdb_drop_store('arg', '');
\echo :SQLSTATE
SELECT flowdb_drop_store('no such server', 'x');
SELECT flowdb_drop_store('flowdb_arg_gone', 'x');
SELECT flowdb_maintenance('arg', '0');
\echo :SQLSTATE
SELECT flowdb_maintenance('arg', '-1 us');
SELECT flowdb_maintenance('arg', '178000000 years');
\echo :SQLSTATE
SELECT flowdb_delete_range(0, 'a', 'b');
\echo :SQLSTATE
SELECT flowdb_delete_range(4294967295, 'a', 'b');
SELECT flowdb_delete_range('pg_class', 'a', 'b');
\set VERBOSITY sqlstate
SELECT flowdb_delete_range('pg_class_oid_index', 'a', 'b');
\set VERBOSITY default
\echo :SQLSTATE
SELECT flowdb_delete_range('at_view', 'a', 'b');
\echo :SQLSTATE
CREATE TABLE arg_parent (key text, ts bigint, v int) PARTITION BY LIST (key);
SELECT flowdb_delete_range('arg_parent', 'a', 'b');
\echo :SQLSTATE
DROP TABLE arg_parent;
CREATE SEQUENCE arg_seq;
SELECT flowdb_delete_range('arg_seq', 'a', 'b');
\echo :SQLSTATE
DROP SEQUENCE arg_seq;
SELECT flowdb_delete_range('at', 'a', 'b', 'not a number');
\echo :SQLSTATE
SELECT flowdb_delete_range('at', 'a', 'b', '1', '99999999999999999999');
\echo :SQLSTATE
SELECT flowdb_delete_range('at', '', '', '', '');
\echo :SQLSTATE
SELECT flowdb_delete_range('at', repeat('x', 1000000), NULL);
\echo :SQLSTATE
SELECT flowdb_delete_range('at', v.a, v.b) FROM (SELECT repeat('y', 20000), repeat('z', 20000)) v(a, b);
SELECT flowdb_delete_range('at', 'x', 'a'), flowdb_delete_range('at', 'a', 'z', '5', '5'),
  flowdb_delete_range('at', 'a', 'z', '5', '-9223372036854775808');
SELECT count(*) FROM at;
CREATE TABLE arg_toast (s text, e text);
ALTER TABLE arg_toast ALTER s SET STORAGE EXTERNAL, ALTER e SET STORAGE EXTERNAL;
INSERT INTO arg_toast VALUES (repeat('y', 10000), repeat('z', 10000));
SELECT flowdb_delete_range('at', s, e) FROM arg_toast;
DROP TABLE arg_toast;
SELECT flowdb_fdw_validator(NULL, NULL);
SELECT flowdb_fdw_validator('{}', 0);
SELECT flowdb_fdw_validator('{store=x}', 0);
\echo :SQLSTATE
SELECT flowdb_fdw_validator('{store}', 'pg_foreign_table'::regclass);
\echo :SQLSTATE
SELECT flowdb_fdw_validator('{NULL}', 'pg_foreign_table'::regclass);
\echo :SQLSTATE
SELECT flowdb_fdw_validator('{{store=x},{key_columns=a}}', 'pg_foreign_table'::regclass);
SELECT flowdb_fdw_handler() IS NOT NULL;
SELECT flowdb_fdw_handler();
\echo :SQLSTATE
\set VERBOSITY default

-- In a READ ONLY transaction: files may change, rows may not.
BEGIN READ ONLY;
SELECT flowdb_flush('arg'), flowdb_gc('arg');
SAVEPOINT s;
SELECT flowdb_delete_range('at', NULL, NULL);
\echo :SQLSTATE
ROLLBACK TO s;
INSERT INTO at VALUES ('ro', 1, 1);
\echo :SQLSTATE
ROLLBACK TO s;
SELECT flowdb_drop_store('arg', 'at');
\echo :SQLSTATE
ROLLBACK TO s;
TRUNCATE at;
\echo :SQLSTATE
ROLLBACK;
SELECT count(*) FROM at;

DROP SERVER arg CASCADE;
