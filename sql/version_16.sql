-- What PostgreSQL 16 has and those before it have not: it works on FlowDB's
-- tables, or is refused in clear words.  Before 16 the test ends early.
SET timezone = 'UTC';
\set VERBOSITY terse
CREATE SERVER ver FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, w int DEFAULT 7) SERVER ver
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO t VALUES ('a', 1, 10), ('a', 2, 20), ('b', 1, 30);

-- Triggers on TRUNCATE.
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% % %: % rows', TG_WHEN, TG_LEVEL, TG_OP, (SELECT count(*) FROM t);
  RETURN NULL;
END $$;
CREATE TRIGGER t1 BEFORE TRUNCATE ON t EXECUTE FUNCTION tg();
\echo :SQLSTATE
SELECT current_setting('server_version_num')::int < 160000 AS older \gset
\if :older
DROP SERVER ver CASCADE;
DROP FUNCTION tg;
\quit
\endif
CREATE TRIGGER t2 AFTER TRUNCATE ON t EXECUTE FUNCTION tg();
BEGIN;
TRUNCATE t;
ROLLBACK;
SELECT count(*) FROM t;
TRUNCATE t;
DROP TRIGGER t1 ON t;
DROP TRIGGER t2 ON t;

-- COPY with a DEFAULT; rows go to the table in batches.
COPY t FROM stdin WITH (DEFAULT '\D');
copy	1	1	\D
copy	2	2	3
\.
SELECT * FROM t WHERE k = 'copy';
-- Parameters of queries that only want to see the plan.
EXPLAIN (GENERIC_PLAN, COSTS OFF) SELECT * FROM t WHERE k = $1 AND ts > $2;
-- any_value, as one of the aggregates of a group.
SELECT k, any_value(k) FROM t GROUP BY k;
DROP SERVER ver CASCADE;
DROP FUNCTION tg;
