-- EXPLAIN, in FlowDB's words and in all formats.
SET timezone = 'UTC';
CREATE SERVER expl FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts bigint, v int) SERVER expl
  OPTIONS (key_columns 'host', time_column 'ts');
CREATE FOREIGN TABLE icu (host text COLLATE "en-x-icu", v int) SERVER expl OPTIONS (key_columns 'host', store 'a store');

-- Nothing is read, or opened, for EXPLAIN alone.
EXPLAIN (COSTS OFF) SELECT * FROM f;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host = 'a' AND ts > 5 AND v > 1 ORDER BY ts DESC;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host LIKE 'a_b%';
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE host > 'a' AND v > 1;
SELECT explain($$SELECT v FROM f WHERE host = 'a' AND ts > 5 AND v > 1 ORDER BY ts DESC$$, ', FORMAT json');
SELECT explain($$SELECT v FROM f WHERE host IN ('a', 'b')$$, ', FORMAT yaml');
SELECT explain($$SELECT v FROM icu WHERE host > 'a'$$, ', FORMAT xml');
EXPLAIN (COSTS OFF) SELECT * FROM f a, f b WHERE a.host = b.host AND b.host = 'x' AND a.ts = 1;

-- With ANALYZE: three files, one of other keys, two of other times; a row in
-- memory and one of this transaction; a row that hides another.
CREATE FUNCTION explained(query text, VARIADIC labels text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  plan json;
  label text;
BEGIN
  IF labels = '{}' THEN
    RETURN QUERY SELECT explain(query, ', ANALYZE, TIMING OFF, SUMMARY OFF');
    RETURN;
  END IF;
  EXECUTE 'EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT json) ' || query INTO plan;
  FOREACH label IN ARRAY labels LOOP
    RETURN NEXT label || ': ' || coalesce(plan #> '{0,Plan}' ->> label, '(none)');
  END LOOP;
END $$;
ALTER SYSTEM SET flowdb.auto_compaction = off;
ALTER SYSTEM SET checkpoint_timeout = '1d';
SELECT pg_reload_conf();
INSERT INTO f SELECT 'a' || i % 10, i, i FROM generate_series(1, 100) i;
SELECT flowdb_flush('expl');
INSERT INTO f SELECT 'a' || i % 10, i, i FROM generate_series(101, 200) i;
SELECT flowdb_flush('expl');
INSERT INTO f SELECT 'b' || i % 10, i, i FROM generate_series(1, 200) i;
SELECT flowdb_flush('expl');
INSERT INTO f VALUES ('a1', 1, -1), ('a1', 201, 201);
BEGIN;
INSERT INTO f VALUES ('a1', 202, 202);
SELECT explained($$SELECT * FROM f$$);
SELECT explained($$SELECT * FROM f WHERE host = 'a1' AND v > 0$$);
SELECT explained($$SELECT * FROM f WHERE host ^@ 'a' AND ts <= 100$$);
SELECT explained($$SELECT * FROM f WHERE host IN ('a1', 'b1') AND ts IN (1, 11, 12, 201, 202)$$);
SELECT explained($$SELECT * FROM f WHERE host = 'a1' ORDER BY ts DESC LIMIT 1$$);
SELECT explained($$SELECT * FROM f WHERE host = 'nobody'$$);
SELECT explained($$SELECT * FROM f WHERE host = 'a55' AND ts = 50$$);
SELECT explained($$SELECT * FROM f WHERE host IS NULL$$);
SELECT explained($$SELECT * FROM (VALUES ('a1'::text, 1::bigint), ('a2', 2), ('a3', 3)) i (h, t), LATERAL (SELECT v FROM f WHERE host = h AND ts = t) l$$);
COMMIT;
-- The structured formats have plain numbers under the same names.
SELECT explained($$SELECT * FROM f WHERE host = 'a1' AND ts > 100 AND v > 0$$,
  'FlowDB Bounds', 'FlowDB Key Bounds', 'FlowDB Time Bounds', 'Direction', 'Ranges', 'SSTables Read', 'SSTables Skipped by Key',
  'SSTables Skipped by Time', 'SSTables Skipped by Bloom Filter', 'Blocks Read', 'Blocks Cached', 'Blocks Skipped by Time',
  'Rows from Memory', 'Rows from SSTables', 'Rows from Transaction', 'Versions Hidden', 'Rows Removed by Filter', 'Rows Removed by FlowDB Filter');
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM icu WHERE host = 'a';
EXPLAIN (COSTS OFF, VERBOSE) INSERT INTO icu VALUES ('a', 1);
ALTER SYSTEM RESET flowdb.auto_compaction;
ALTER SYSTEM RESET checkpoint_timeout;
SELECT pg_reload_conf();
DROP FUNCTION explained;
DROP SERVER expl CASCADE;
