-- RETURNING of INSERT, UPDATE and DELETE.
CREATE SCHEMA test_returning;
GRANT USAGE ON SCHEMA test_returning TO PUBLIC;
SET search_path = test_returning, public;
SET timezone = 'UTC';
CREATE SERVER ret FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", ts timestamptz, v int, gone int, note text,
  twice int GENERATED ALWAYS AS (v * 2) STORED)
  SERVER ret OPTIONS (key_columns 'k', time_column 'ts');
ALTER FOREIGN TABLE f DROP COLUMN gone;
INSERT INTO f VALUES ('a', '2024-01-01', 1, 'one'), ('b', '2024-01-01', 2, 'two'), ('c', '2024-01-01', 3, 'three')
  RETURNING *;
INSERT INTO f VALUES ('a', '2024-01-02', 4, 'four') RETURNING f, tableoid::regclass, v + twice AS sum, length(note);

UPDATE f SET v = v + 10 WHERE k = 'a' RETURNING *;
UPDATE f SET note = NULL WHERE k = 'b' RETURNING k, twice;
UPDATE f SET ts = ts + interval '1 day', k = k || k WHERE k = 'c' RETURNING f, tableoid::regclass;
UPDATE f SET v = x.n FROM (VALUES ('b', 7), ('cc', 8)) x (k, n) WHERE x.k = f.k
  RETURNING f.k, f.v, x.n, (SELECT max(v) FROM f) AS before;
UPDATE f SET v = 0 WHERE k = 'nobody' RETURNING *;
UPDATE f SET v = v RETURNING NULL::int AS nothing, 1 AS one;

DELETE FROM f WHERE k = 'a' AND v = 11 RETURNING *;
DELETE FROM f WHERE k = 'a' RETURNING f, tableoid::regclass, twice, length(note);
DELETE FROM f USING (VALUES ('b', 5), ('b', 6)) x (k, n) WHERE x.k = f.k AND x.n = 5 RETURNING f.*, x.n;
DELETE FROM f WHERE k = 'nobody' RETURNING *;
DELETE FROM f RETURNING 'x';
SELECT count(*) FROM f;

-- In WITH, in functions, into variables.
WITH i AS (INSERT INTO f SELECT 'w', '2024-01-01'::timestamptz + n * interval '1 s', n FROM generate_series(1, 5) n RETURNING *),
     agg AS (SELECT count(*), sum(twice) FROM i)
  SELECT * FROM agg;
WITH u AS (UPDATE f SET v = -v WHERE v > 3 RETURNING k, v)
  SELECT k, array_agg(v ORDER BY v) FROM u GROUP BY k;
WITH d AS (DELETE FROM f WHERE v < 0 RETURNING *)
  INSERT INTO f (k, ts, v) SELECT 'moved', ts, v FROM d RETURNING k, ts, v;
SELECT k, ts, v FROM f ORDER BY k, ts;
DO $$
DECLARE r f; n int;
BEGIN
  UPDATE f SET note = 'plpgsql' WHERE k = 'w' AND v = 1 RETURNING * INTO r;
  RAISE NOTICE '%', r;
  DELETE FROM f WHERE k = 'w' AND v = 1 RETURNING twice INTO STRICT n;
  RAISE NOTICE '%', n;
END $$;
CREATE FUNCTION pop(text) RETURNS SETOF f LANGUAGE sql AS
  'DELETE FROM f WHERE k = $1 RETURNING *';
SELECT k, v FROM pop('moved') ORDER BY v;
SELECT count(*) FROM pop('moved');

-- Of a view, with columns of its own.
CREATE VIEW v AS SELECT v AS value, upper(k) AS name, k, ts FROM f;
UPDATE v SET value = 30 WHERE k = 'w' AND value = 3 RETURNING *;
DELETE FROM v WHERE value = 30 RETURNING name, value;

-- Rights: RETURNING reads.
CREATE ROLE flowdb_regress_ret;
GRANT UPDATE (v), SELECT (k, v) ON f TO flowdb_regress_ret;
SET ROLE flowdb_regress_ret;
UPDATE f SET v = 9 WHERE k = 'w' RETURNING v;
UPDATE f SET v = 9 WHERE k = 'w' RETURNING note;
\echo :SQLSTATE
RESET ROLE;
DROP OWNED BY flowdb_regress_ret;
DROP ROLE flowdb_regress_ret;
DROP FUNCTION pop;
SET client_min_messages = warning;
DROP SERVER ret CASCADE;
DROP SCHEMA test_returning CASCADE;
