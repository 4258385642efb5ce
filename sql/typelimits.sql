-- Key, time and expiry columns: what is refused, what lies at the limits of
-- a type, domains, and ranges that are deleted.
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE SERVER tl FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SCHEMA tl;
SET search_path = tl, public;

-- Types that have no order by bytes, or none that everybody agrees on.
CREATE FOREIGN TABLE bad (k float8 OPTIONS (role 'key')) SERVER tl;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k numeric OPTIONS (role 'key')) SERVER tl;
CREATE FOREIGN TABLE bad (k char(3) OPTIONS (role 'key')) SERVER tl;
CREATE FOREIGN TABLE bad (k int[] OPTIONS (role 'key')) SERVER tl;
CREATE FOREIGN TABLE bad (k time OPTIONS (role 'key')) SERVER tl;
CREATE FOREIGN TABLE bad (k int OPTIONS (role 'key'), t int OPTIONS (role 'time')) SERVER tl;
\echo :SQLSTATE
CREATE FOREIGN TABLE bad (k int OPTIONS (role 'key'), e interval OPTIONS (role 'expire_at')) SERVER tl;

-- A key and a time are never NULL, whatever their type.
CREATE FOREIGN TABLE every (t text, vc varchar(4), b bytea, i2 int2, i4 int4, i8 int8, o bool,
  u uuid, d date, ts timestamp(0), tz timestamptz(3), at date, v int) SERVER tl
  OPTIONS (key_columns 't,vc,b,i2,i4,i8,o,u,d,ts,tz', time_column 'at');
INSERT INTO every VALUES ('é', 'abcd', '\x00ff00', -1, -1, -1, true, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  '-infinity', '2024-01-01 00:00:00.7', '2024-01-01 00:00:00.1237', 'infinity', 1);
INSERT INTO every VALUES ('', '', '', 0, 0, 0, false, '00000000-0000-0000-0000-000000000000',
  '4714-11-24 BC', 'infinity', '-infinity', '4714-11-24 BC', 2);
SELECT * FROM every;
SELECT flowdb_flush('tl');
SELECT * FROM every;
SELECT u, o, v FROM every WHERE v = 1;
INSERT INTO every SELECT t, vc || 'e', b, i2, i4, i8, o, u, d, ts, tz, at, v FROM every;
\echo :SQLSTATE
DO $$
DECLARE
  name text;
  names text;
BEGIN
  FOREACH name IN ARRAY '{t,vc,b,i2,i4,i8,o,u,d,ts,tz,at}'::text[] LOOP
    SELECT string_agg(CASE attname WHEN name THEN 'NULL' ELSE attname END, ',' ORDER BY attnum) INTO names
      FROM pg_attribute WHERE attrelid = 'every'::regclass AND attnum > 0;
    BEGIN
      EXECUTE format('INSERT INTO every SELECT %s FROM every', names);
    EXCEPTION WHEN OTHERS THEN
      RAISE NOTICE '% %', SQLSTATE, SQLERRM;
    END;
  END LOOP;
END $$;

-- What is one key: identity is the value's, not its text's.
CREATE FOREIGN TABLE one (k timestamptz, v int) SERVER tl OPTIONS (key_columns 'k');
INSERT INTO one VALUES ('2024-07-01 00:00+00', 1), ('2024-07-01 02:00+02', 2), ('infinity', 3), ('infinity', 4);
SELECT * FROM one;
CREATE FOREIGN TABLE long (a text, b int, v int) SERVER tl OPTIONS (key_columns 'a,b');
INSERT INTO long VALUES (repeat('x', 65529), 1, 1);
SELECT length(a), b, v FROM long;
INSERT INTO long VALUES (repeat('x', 65530), 1, 1);
\echo :SQLSTATE

-- Domains are their base types; their checks are their own.
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN smaller AS positive CHECK (VALUE < 10);
CREATE DOMAIN label AS varchar(3) NOT NULL;
CREATE DOMAIN instant AS timestamptz(0);
CREATE FOREIGN TABLE dom (a smaller, b label, at instant, until instant, v int) SERVER tl
  OPTIONS (key_columns 'a,b', time_column 'at', expire_column 'until');
INSERT INTO dom VALUES (9, 'abc', '2024-01-01 00:00:00.9', '2999-01-01', 1), (1, 'x', '-infinity', NULL, 2);
INSERT INTO dom VALUES (10, 'abc', '2024-01-01', NULL, 1);
SELECT * FROM dom ORDER BY a, b;
SELECT v FROM dom WHERE a = 9 AND b = 'abc' AND at = '2024-01-01 00:00:01';
SELECT v FROM dom WHERE a < 9::bigint;
SELECT v FROM dom WHERE a = 9 AND b >= 'ab' COLLATE "C" AND at > '2024-01-01'::date;

-- A time column of each type, and what another shows of the same rows.
CREATE FOREIGN TABLE t_i8 (k text, ts bigint, v int) SERVER tl OPTIONS (key_columns 'k', time_column 'ts', store 'times');
CREATE FOREIGN TABLE t_tz (k text, ts timestamptz, v int) SERVER tl OPTIONS (key_columns 'k', time_column 'ts', store 'times');
CREATE FOREIGN TABLE t_ts (k text, ts timestamp, v int) SERVER tl OPTIONS (key_columns 'k', time_column 'ts', store 'times');
CREATE FOREIGN TABLE t_d (k text, ts date, v int) SERVER tl OPTIONS (key_columns 'k', time_column 'ts', store 'times');
INSERT INTO t_d VALUES ('d', '-infinity', 1), ('d', '4714-11-24 BC', 2), ('d', '1969-12-31', 3), ('d', '1970-01-01', 4),
  ('d', '294247-01-10', 5), ('d', 'infinity', 6);
SELECT * FROM t_i8 ORDER BY ts;
SELECT * FROM t_tz ORDER BY ts;
SELECT * FROM t_ts ORDER BY ts;
SELECT * FROM t_d ORDER BY ts;
INSERT INTO t_ts VALUES ('ts', '1969-12-31 23:59:59.999999', 7), ('ts', '294247-01-10 04:00:54.775806', 8), ('ts', '4714-11-24 BC', 9);
SELECT * FROM t_i8 WHERE k = 'ts' ORDER BY ts;
INSERT INTO t_i8 VALUES ('low', -9223372036854775807, 1), ('before', -210866803200000001, 1), ('high', 9223372036854775806, 1), ('noon', 43200000000, 1);
SELECT ts FROM t_tz WHERE k = 'high';

-- Times that a table cannot keep or show.
INSERT INTO t_tz VALUES ('a', '294247-01-10 04:00:54.775807+00', 1);
\echo :SQLSTATE
INSERT INTO t_ts VALUES ('a', '294276-12-31', 1);
\echo :SQLSTATE
INSERT INTO t_d VALUES ('a', '294247-01-11', 1);
\echo :SQLSTATE
INSERT INTO t_d VALUES ('a', '5874897-12-31', 1);
SELECT * FROM t_tz WHERE k = 'low';
\echo :SQLSTATE
SELECT * FROM t_ts WHERE k = 'before';
\echo :SQLSTATE
SELECT * FROM t_d WHERE k = 'before';
\echo :SQLSTATE
SELECT * FROM t_d WHERE k = 'noon';
\echo :SQLSTATE
SELECT v FROM t_d WHERE k = 'noon';

-- An expiry of each type; a date's row lives until that day begins.
CREATE FOREIGN TABLE e_i8 (k int, u bigint) SERVER tl OPTIONS (key_columns 'k', expire_column 'u', store 'expiries');
CREATE FOREIGN TABLE e_tz (k int, u timestamptz) SERVER tl OPTIONS (key_columns 'k', expire_column 'u', store 'expiries');
CREATE FOREIGN TABLE e_ts (k int, u timestamp) SERVER tl OPTIONS (key_columns 'k', expire_column 'u', store 'expiries');
CREATE FOREIGN TABLE e_d (k int, u date) SERVER tl OPTIONS (key_columns 'k', expire_column 'u', store 'expiries');
INSERT INTO e_d VALUES (1, '2999-01-01'), (2, 'infinity'), (3, NULL), (4, '-infinity'), (5, '2020-01-01');
INSERT INTO e_ts VALUES (11, '2999-01-01 12:00'), (12, 'infinity'), (13, NULL), (14, '2020-01-01');
INSERT INTO e_tz VALUES (21, '2999-01-01 12:00+02'), (22, 'infinity'), (23, NULL), (24, '2020-01-01');
INSERT INTO e_i8 VALUES (31, 32472187200000001), (32, 9223372036854775807), (33, NULL), (34, 0);
SELECT * FROM e_i8 ORDER BY k;
SELECT * FROM e_tz ORDER BY k;
SELECT * FROM e_ts ORDER BY k;
SELECT * FROM e_d ORDER BY k;
INSERT INTO e_d VALUES (6, '294247-01-11');
\echo :SQLSTATE
INSERT INTO e_i8 VALUES (35, 9223372036854775806);
SELECT * FROM e_tz WHERE k = 35;
SELECT * FROM e_d WHERE k = 35;

-- With roles given, a column's name means nothing.
CREATE FOREIGN TABLE plain (key int, ts date, expire_at date, k uuid OPTIONS (role 'key')) SERVER tl;
INSERT INTO plain VALUES (1, NULL, '2020-01-01', 'ffffffff-ffff-ffff-ffff-ffffffffffff');
SELECT * FROM plain;

-- Ranges [start, end) of every type, in the column's own order.
CREATE FUNCTION deleted(type text, start text, stop text, rest text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE r (k %s, n smallint, v text) SERVER tl OPTIONS (key_columns %L)', type, 'k' || rest);
  EXECUTE format('INSERT INTO r SELECT v::%s, n, v FROM unnest($1) WITH ORDINALITY u (v, n)', type)
    USING CASE type
      WHEN 'text' THEN ARRAY['', 'a', 'b', 'ba', 'c']
      WHEN 'varchar(4)' THEN ARRAY['', 'a', 'b', 'ba', 'c']
      WHEN 'bytea' THEN ARRAY['\x', '\x00', '\x0001', '\x01', '\xff']
      WHEN 'boolean' THEN ARRAY['false', 'true']
      WHEN 'uuid' THEN ARRAY['00000000-0000-0000-0000-000000000000', '7fffffff-ffff-ffff-ffff-ffffffffffff', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
      WHEN 'positive' THEN ARRAY['1', '2', '32767']
      WHEN 'smallint' THEN ARRAY['-32768', '-1', '0', '1', '32767']
      WHEN 'integer' THEN ARRAY['-32768', '-1', '0', '1', '32767']
      WHEN 'bigint' THEN ARRAY['-32768', '-1', '0', '1', '32767']
      ELSE ARRAY['-infinity', '0044-03-15 BC', '2000-01-01', '2024-02-29', 'infinity'] END;
  PERFORM flowdb_delete_range('r', start, stop);
  SELECT string_agg(v, ', ' ORDER BY n) FROM r INTO result;
  DROP FOREIGN TABLE r;
  RETURN result;
END $$;
SELECT type, start, stop, deleted(type, start, stop, '') AS "left",
  deleted(type, start, stop, '') IS NOT DISTINCT FROM deleted(type, start, stop, ',n') AS same FROM (VALUES
  ('text', 'a', 'c'), ('text', 'b', NULL), ('varchar(4)', NULL, '0'), ('bytea', '\x00', '\x01'), ('bytea', '\x0000', NULL),
  ('smallint', '-32768', '0'), ('smallint', '-1', '32767'), ('integer', '-1', '1'), ('integer', NULL, '-1'), ('bigint', '1', NULL),
  ('bigint', '1', '-1'), ('boolean', 'false', 'true'), ('boolean', 'true', NULL), ('uuid', '00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  ('date', '-infinity', '2000-01-01'), ('date', '0001-01-01', NULL), ('timestamp', NULL, 'infinity'), ('timestamp', '0001-01-01', '2024-02-29 00:00:00.000001'),
  ('timestamptz', '2000-01-01 00:00+01', '2024-02-29 00:00-01'), ('positive', '1', '32767')) r (type, start, stop);
SELECT deleted('integer', '2147483648', NULL, '');
\echo :SQLSTATE
SELECT deleted('positive', '0', NULL, '');
\echo :SQLSTATE
SELECT deleted('date', 'soon', NULL, '');
\echo :SQLSTATE

-- And of times, also of those that no row can have.
CREATE FUNCTION cut(rel regclass, start text, stop text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  PERFORM flowdb_delete_range(rel, 'd', 'e', start, stop);
  SELECT string_agg(v::text, ' ' ORDER BY v) FROM t_d WHERE k = 'd' INTO result;
  RAISE EXCEPTION 'left: %', result;
EXCEPTION WHEN raise_exception THEN
  RETURN SQLERRM;
END $$;
SELECT rel, start, stop, cut(rel::regclass, start, stop) FROM (VALUES
  ('t_d', '1969-12-31', '1970-01-01'), ('t_d', '-infinity', '-infinity'), ('t_d', '-infinity', '4714-11-24 BC'), ('t_d', 'infinity', NULL),
  ('t_d', '5874897-12-31', NULL), ('t_d', NULL, '5874897-12-31'), ('t_ts', '1969-12-31 00:00:00.000001', '1970-01-01 00:00:00.000001'),
  ('t_ts', '294276-12-31', 'infinity'), ('t_tz', '1970-01-01 01:00+01', '294276-12-31'), ('t_i8', '0', '1'),
  ('t_i8', '-9223372036854775808', '9223372036854775807')) r (rel, start, stop);
