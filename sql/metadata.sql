-- Counts, and the least and greatest time, from the indexes of SSTables; always as a heap table has them.
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';
CREATE SERVER meta FOREIGN DATA WRAPPER flowdb_fdw;
ALTER SYSTEM SET flowdb.auto_compaction = off;
ALTER SYSTEM SET checkpoint_timeout = '1d';
SELECT pg_reload_conf();
CREATE FOREIGN TABLE f (k int NOT NULL, ts timestamptz NOT NULL, v float8) SERVER meta OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k int, ts timestamptz, v float8, PRIMARY KEY (k, ts));
INSERT INTO h SELECT k, '2024-01-01'::timestamptz + i * interval '1 min', i FROM generate_series(1, 4) k, generate_series(1, 20000) i;
INSERT INTO f SELECT * FROM h;
SELECT flowdb_flush('meta') IS NOT NULL;
-- The counts of both, and whether blocks were counted from metadata, and whether blocks were read.
CREATE FUNCTION twins(cond text, OUT same bool, OUT answer text, OUT metadata bool, OUT reads bool) LANGUAGE plpgsql AS $$
DECLARE
  heap text;
  plan json;
  query text := 'SELECT count(*), count(k), count(ts), min(ts), max(ts) FROM %s ' || cond;
BEGIN
  EXECUTE format('SELECT q::text FROM (' || query || ') q', 'f') INTO answer;
  EXECUTE format('SELECT q::text FROM (' || query || ') q', 'h') INTO heap;
  EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) ' || query, 'f') INTO plan;
  same := answer IS NOT DISTINCT FROM heap;
  metadata := (plan #>> '{0,Plan,Blocks from Metadata}')::int > 0;
  reads := (plan #>> '{0,Plan,Blocks Read}')::int > 0;
END $$;
-- Merges all, once nobody might ask what has become of the transactions that wrote it.
CREATE FUNCTION merged() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 600 LOOP
    PERFORM flowdb_flush('meta');
    WHILE flowdb_compact('meta') LOOP
    END LOOP;
    IF (SELECT sum(unresolved_transactions) = 0 FROM flowdb_stats WHERE server = 'meta') AND (SELECT b.metadata FROM twins('') b) THEN
      RETURN true;
    END IF;
    PERFORM pg_sleep(0.1);
  END LOOP;
  RETURN false;
END $$;
SET max_parallel_workers_per_gather = 0;
SELECT merged();
SELECT * FROM twins('');
SELECT * FROM twins('WHERE k = 2');
SELECT * FROM twins('WHERE k > 1 AND k <= 3');
SELECT * FROM twins('WHERE k IN (1, 3, 7)');
SELECT * FROM twins('WHERE ts >= ''2024-01-02 00:01'' AND ts < ''2024-01-09''');
SELECT * FROM twins('WHERE k = 9');
SELECT * FROM twins('WHERE v >= 0');
-- rows of this transaction, deleted ones, versions in memory
BEGIN;
INSERT INTO f VALUES (2, '2024-01-01 12:00:30', 1), (5, '2030-01-01', 1);
INSERT INTO h VALUES (2, '2024-01-01 12:00:30', 1), (5, '2030-01-01', 1);
DELETE FROM f WHERE k = 1 AND ts = '2024-01-01 00:01';
DELETE FROM h WHERE k = 1 AND ts = '2024-01-01 00:01';
SELECT * FROM twins('');
SAVEPOINT s;
DELETE FROM f WHERE k = 3;
DELETE FROM h WHERE k = 3;
SELECT same, answer FROM twins('');
ROLLBACK TO s;
SELECT * FROM twins('');
COMMIT;
SELECT * FROM twins('');
UPDATE f SET v = 7 WHERE k = 4 AND ts < '2024-01-03';
UPDATE h SET v = 7 WHERE k = 4 AND ts < '2024-01-03';
SELECT * FROM twins('');
SELECT flowdb_flush('meta') IS NOT NULL;
SELECT * FROM twins('');
DELETE FROM f WHERE k = 3;
DELETE FROM h WHERE k = 3;
SELECT flowdb_flush('meta') IS NOT NULL;
SELECT same, answer FROM twins('');
SELECT merged();
-- a merge may have kept what somebody might still have seen, so blocks may be read
SELECT same, answer, metadata FROM twins('');
-- again with other parameters
PREPARE by_key(int) AS SELECT count(*), max(ts) FROM f WHERE k = $1;
EXECUTE by_key(1);
EXECUTE by_key(9);
EXECUTE by_key(2);
SELECT x, (SELECT count(*) FROM f WHERE f.k = x) FROM generate_series(0, 5) x;
-- participants of a parallel scan
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT count(*), min(ts), max(ts) FROM f;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET max_parallel_workers_per_gather;
-- a newer layout, and a column that the rows do not have
ALTER FOREIGN TABLE f ADD COLUMN w int;
SELECT count(*), count(w), count(v) FROM f;
DROP SERVER meta CASCADE;
DROP TABLE h;
DROP FUNCTION twins, merged;
ALTER SYSTEM RESET flowdb.auto_compaction;
ALTER SYSTEM RESET checkpoint_timeout;
SELECT pg_reload_conf();
