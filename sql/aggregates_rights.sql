-- What the engine works out needs the same rights to functions as elsewhere.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY terse
CREATE SERVER aggr FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE r (k int, ts timestamptz, v bigint) SERVER aggr OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO r VALUES (1, '2024-01-01', 1), (1, '2024-01-02', 2);
CREATE ROLE flowdb_agg_user;
GRANT SELECT ON r TO flowdb_agg_user;
SET ROLE flowdb_agg_user;
SELECT sum(v), max(v) FROM r;
SELECT count(*) FROM (SELECT flowdb_time_bucket('5 min', ts), max(v) FROM r GROUP BY 1) s;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION flowdb_time_bucket(interval, timestamptz), sum(bigint) FROM PUBLIC;
SET ROLE flowdb_agg_user;
SELECT sum(v) FROM r;
SELECT count(*) FROM (SELECT flowdb_time_bucket('5 min', ts), max(v) FROM r GROUP BY 1) s;
SELECT max(v) FROM r;
RESET ROLE;
GRANT EXECUTE ON FUNCTION flowdb_time_bucket(interval, timestamptz), sum(bigint) TO PUBLIC;
-- of conditions too
REVOKE EXECUTE ON FUNCTION int84gt(bigint, int4), int4eq(int4, int4) FROM PUBLIC;
SET ROLE flowdb_agg_user;
SELECT v FROM r WHERE v > 1;
SELECT max(v) FROM r WHERE v > 1;
SELECT v FROM r WHERE k = 1 AND ts = '2024-01-01';
SELECT max(v) FROM r WHERE k = 1;
SELECT max(v) FROM r WHERE k = ANY ('{1,2}');
SELECT max(v) FROM r WHERE v < 2 AND ts < '2025-01-01';
RESET ROLE;
GRANT EXECUTE ON FUNCTION int84gt(bigint, int4), int4eq(int4, int4) TO PUBLIC;
DROP SERVER aggr CASCADE;
DROP ROLE flowdb_agg_user;
