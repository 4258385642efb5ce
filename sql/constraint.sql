-- NOT NULL, CHECK, generated columns, domains, view checks.
CREATE SCHEMA test_constraint;
GRANT USAGE ON SCHEMA test_constraint TO PUBLIC;
SET search_path = test_constraint, public;
CREATE SERVER con FOREIGN DATA WRAPPER flowdb_fdw;
CREATE DOMAIN con_small AS int CHECK (value < 50);
CREATE FOREIGN TABLE f (
    k text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL CHECK (ts >= 0),
    v int NOT NULL,
    w int,
    s con_small,
    sum int GENERATED ALWAYS AS (v + w) STORED,
    CONSTRAINT order_ok CHECK (w IS NULL OR v <= w),
    CONSTRAINT sum_ok CHECK (sum <> 100)
) SERVER con;
INSERT INTO f (k, ts, v, w) VALUES ('a', 1, 1, 10), ('a', 2, 2, 20), ('b', 1, 3, NULL);
UPDATE f SET v = NULL WHERE k = 'a';
\echo :SQLSTATE
UPDATE f SET k = NULL WHERE k = 'a';
\echo :SQLSTATE
UPDATE f SET ts = NULL WHERE k = 'a';
UPDATE f SET ts = -ts WHERE k = 'a';
\echo :SQLSTATE
UPDATE f SET v = 15 WHERE k = 'a';
UPDATE f SET w = 99, v = 1 WHERE k = 'b';
\echo :SQLSTATE
UPDATE f SET s = 50 WHERE k = 'a';
\echo :SQLSTATE
UPDATE f SET sum = 1;
\echo :SQLSTATE
SELECT * FROM f ORDER BY k, ts;
-- a statement is all or nothing
UPDATE f SET w = w - 9 * ts WHERE k = 'a';
UPDATE f SET w = w - 12 WHERE k = 'a';
SELECT * FROM f ORDER BY k, ts;
-- generated columns follow
UPDATE f SET w = 30 WHERE k = 'b';
UPDATE f SET v = 4, w = DEFAULT, sum = DEFAULT WHERE k = 'b' RETURNING *;
UPDATE f SET k = 'c', w = 5 WHERE k = 'b' RETURNING *;
DELETE FROM f WHERE sum = 9 RETURNING sum;

-- INSERT, COPY and ON CONFLICT look before they ask for duplicates.
INSERT INTO f (k, ts, v) VALUES ('a', 1, NULL) ON CONFLICT DO NOTHING;
\echo :SQLSTATE
INSERT INTO f (k, ts, v) VALUES ('a', -1, 1) ON CONFLICT DO NOTHING;
\echo :SQLSTATE
COPY f (k, ts, v, w) FROM stdin;
x	1	2	1
\.
\echo :SQLSTATE

-- Views.
CREATE VIEW lv AS SELECT * FROM f WHERE v < 10 WITH LOCAL CHECK OPTION;
CREATE VIEW cv AS SELECT * FROM lv WHERE ts < 100 WITH CASCADED CHECK OPTION;
UPDATE cv SET v = 10 WHERE k = 'a' AND ts = 1;
\echo :SQLSTATE
UPDATE cv SET ts = 100 WHERE k = 'a' AND ts = 1;
\echo :SQLSTATE
UPDATE lv SET ts = 100 WHERE k = 'a' AND ts = 1;
SELECT k, ts, v FROM f ORDER BY k, ts;
CREATE VIEW bv WITH (security_barrier) AS SELECT * FROM f WHERE ts < 50;
CREATE FUNCTION leak(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS
  $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$;
UPDATE bv SET w = 11 WHERE leak(v);
DELETE FROM bv WHERE leak(v);

-- A constraint that comes later; errors tell only what may be seen.
ALTER FOREIGN TABLE f ADD CONSTRAINT later CHECK (w < 1000);
UPDATE f SET w = 1000;
\echo :SQLSTATE
ALTER FOREIGN TABLE f DROP CONSTRAINT later;
CREATE ROLE flowdb_regress_con;
GRANT SELECT (k, v), UPDATE (v) ON f TO flowdb_regress_con;
SET ROLE flowdb_regress_con;
UPDATE f SET v = 5000 WHERE k = 'a';
UPDATE f SET v = NULL WHERE k = 'a';
RESET ROLE;
DROP OWNED BY flowdb_regress_con;
DROP ROLE flowdb_regress_con;
SET client_min_messages = warning;
DROP SERVER con CASCADE;
DROP SCHEMA test_constraint CASCADE;
