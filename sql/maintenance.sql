-- Maintenance by hand: flush, compact, garbage, deleted ranges, what views tell.
-- Workers would compact by themselves.
ALTER SYSTEM SET flowdb.auto_compaction = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.3);
SHOW flowdb.auto_compaction;
CREATE SERVER mt FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE m (key text COLLATE "C", ts bigint, v text) SERVER mt
  OPTIONS (store 'm');
CREATE PROCEDURE put(k text, t bigint, val text) LANGUAGE sql AS $$
  INSERT INTO m VALUES (k, t, val) $$;
CREATE VIEW files AS SELECT store, level, range_tombstones > 0 AS ranges, count(*)
  FROM flowdb_sstables WHERE server = 'mt' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- Many files become one; none is lost (TE10).
DO $$ BEGIN
  FOR b IN 0 .. 9 LOOP
    INSERT INTO m SELECT format('compact_%s-%s', b, i), b * 100 + i, 'x' FROM generate_series(0, 4) i;
    COMMIT;
    PERFORM flowdb_flush('mt');
  END LOOP;
END $$;
SELECT flowdb_flush('mt');
SELECT sum(count) > 1 AS several FROM files;
SELECT flowdb_compact('mt');
SELECT count(*), count(DISTINCT key), min(ts), max(ts) FROM m WHERE key ^@ 'compact_';
SELECT flowdb_compact('mt', 'm') IS NOT NULL AS one_store;
SELECT sum(count) AS files FROM files;
SELECT flowdb_compact('mt', 'm') AS again;
SELECT count(*) FROM m;
SELECT flowdb_compact('mt', 'nosuch');
\echo :SQLSTATE
-- A table's name does as well: its own store is named by its oid.
CREATE FOREIGN TABLE "Own" (key text COLLATE "C", ts bigint) SERVER mt;
-- Nothing was written to it yet.
SELECT flowdb_compact('mt', '"Own"');
INSERT INTO "Own" VALUES ('a', 1);
SELECT flowdb_flush('mt');
INSERT INTO "Own" VALUES ('a', 2);
SELECT flowdb_flush('mt');
SELECT flowdb_compact('mt', '"Own"') AS once, flowdb_compact('mt', current_schema || '."Own"') AS again;
SELECT flowdb_compact('mt', 'Own');
\echo :SQLSTATE
SELECT flowdb_compact('mt', 'pg_class');
\echo :SQLSTATE
DROP FOREIGN TABLE "Own";
SELECT flowdb_compact(NULL) IS NULL AS null_server, flowdb_gc(NULL) IS NULL AS null_gc;

-- A step of what the policy wants; what is not finished ends with us.
DO $$ BEGIN
  FOR b IN 1 .. 6 LOOP
    INSERT INTO m SELECT format('step_%s-%s', b, i), i, 'x' FROM generate_series(1, 5) i;
    COMMIT;
    PERFORM flowdb_flush('mt');
  END LOOP;
END $$;
SELECT elapsed > '0' AS elapsed, merges, rows_merged >= 25 AS rows, bytes_read > 0 AS read,
  bytes_written > 0 AS written, purged, pending FROM flowdb_maintenance('mt', '1 minute');
SELECT count(*) FROM m WHERE key ^@ 'step_';
SELECT flowdb_maintenance('mt', '0');
\echo :SQLSTATE
SELECT flowdb_maintenance('mt', '-1 s');
\echo :SQLSTATE

-- X01, X04: a row written after the range was deleted is there.
SELECT flowdb_delete_range('m', NULL, NULL);
SELECT count(*) FROM m;
CALL put('a', 1, 'old'); CALL put('b', 1, 'old'); CALL put('c', 1, 'old');
SELECT flowdb_delete_range('m', 'a', 'c');
SELECT * FROM m ORDER BY key;
CALL put('b', 1, 'new');
SELECT * FROM m ORDER BY key;
SELECT * FROM m WHERE key ^@ 'b';
SELECT * FROM m WHERE key = 'b' AND ts = 1;
SELECT flowdb_delete_range('m', 'b', 'd');
SELECT * FROM m WHERE key = 'b' AND ts = 0;
SELECT * FROM m WHERE key = 'b' ORDER BY ts DESC LIMIT 1;
CALL put('b', 0, 'v');
SELECT * FROM m WHERE key = 'b' AND ts = 0;
-- X02, X03: also over flush and compaction, by whatever condition.
CALL put('m', 5, 'old');
SELECT flowdb_flush('mt');
SELECT flowdb_delete_range('m', 'a', 'z');
SELECT count(*) FROM m WHERE key ^@ 'm';
SELECT count(*) FROM m WHERE key >= 'm' AND key < 'n';
SELECT count(*) FROM m WHERE ts = 5;
SELECT count(*) FROM m WHERE key ^@ 'm' AND ts = 5;
SELECT flowdb_flush('mt');
SELECT count(*) FROM m WHERE key ^@ 'm';
SELECT count(*) FROM m;
SELECT flowdb_compact('mt') IS NOT NULL AS done;
SELECT count(*) FROM m;
SELECT flowdb_flush('mt');
-- TE12: only the range.
CALL put('a', 100, 'x'); CALL put('b', 200, 'x'); CALL put('c', 300, 'x'); CALL put('d', 400, 'x');
SELECT flowdb_delete_range('m', 'b', 'd');
SELECT key, ts FROM m ORDER BY 1;
-- TE39, and ranges that are empty.
SELECT flowdb_delete_range('m', 'z', 'a');
SELECT flowdb_delete_range('m', 'a', 'a');
SELECT flowdb_delete_range('m', '', 'a');
SELECT key, ts FROM m ORDER BY 1;
SELECT flowdb_delete_range('m', '', 'z');
SELECT key, ts FROM m ORDER BY 1;

-- X06, X08: the newest version counts, whatever is compacted.
CALL put('k', 1, 'v1');
SELECT flowdb_flush('mt');
CALL put('k', 1, 'v2');
SELECT flowdb_flush('mt');
CALL put('k', 1, 'v3');
SELECT flowdb_flush('mt');
SELECT * FROM m WHERE key = 'k' AND ts = 1;
SELECT * FROM m;
SELECT flowdb_compact('mt') IS NOT NULL AS done;
SELECT * FROM m;
SELECT flowdb_delete_range('m', 'k', 'l', '1', '2');
SELECT flowdb_flush('mt');
SELECT count(*) FROM m;
SELECT count(*) FROM m WHERE key = 'k' AND ts = 1;
SELECT flowdb_compact('mt') IS NOT NULL AS done;
SELECT count(*) FROM m;
SELECT flowdb_compact('mt') IS NOT NULL AS done;
SELECT count(*) FROM m;

-- Times: from start on, before end; open ends.
INSERT INTO m SELECT k, i, 'x' FROM unnest(ARRAY['p', 'q']) k, generate_series(1, 6) i;
SELECT flowdb_delete_range('m', 'p', 'q', '2', '4');
SELECT key, array_agg(ts ORDER BY ts) FROM m GROUP BY key ORDER BY key;
SELECT flowdb_delete_range('m', NULL, NULL, '6');
SELECT flowdb_delete_range('m', 'q', NULL, time_end => '3');
SELECT key, array_agg(ts ORDER BY ts) FROM m GROUP BY key ORDER BY key;
SELECT flowdb_delete_range('m', NULL, NULL, '-9223372036854775808', '-9223372036854775808');
SELECT flowdb_delete_range('m', NULL, NULL, 'yesterday');
\echo :SQLSTATE
SELECT flowdb_delete_range(NULL, NULL, NULL) IS NULL AS nothing;
CREATE FOREIGN TABLE tz (host text COLLATE "C", disk bytea, ts timestamptz, v int) SERVER mt
  OPTIONS (key_columns 'host,disk', time_column 'ts');
INSERT INTO tz SELECT h, '\x00'::bytea || d, '2026-01-01 00:00+00'::timestamptz + t * interval '1 h', t
  FROM unnest(ARRAY['a', 'ab', 'b']) h, unnest(ARRAY['\x01', '\xff']::bytea[]) d, generate_series(0, 2) t;
-- With several key columns the range is one of the first.
SELECT flowdb_delete_range('tz', 'a', 'ab', '2026-01-01 01:00+00', 'infinity');
SELECT host, v, count(*) FROM tz GROUP BY 1, 2 ORDER BY 1, 2;
SELECT flowdb_delete_range('tz', 'ab', 'b');
SELECT host, v, count(*) FROM tz GROUP BY 1, 2 ORDER BY 1, 2;
CREATE FOREIGN TABLE notime (k text COLLATE "C", v int) SERVER mt OPTIONS (key_columns 'k');
INSERT INTO notime VALUES ('a', 1), ('b', 2);
SELECT flowdb_delete_range('notime', 'a', 'b', '1');
\echo :SQLSTATE
SELECT flowdb_delete_range('notime', 'a', 'b');
SELECT * FROM notime;

-- A deleted range is part of its transaction.
SELECT flowdb_delete_range('m', NULL, NULL);
CALL put('a', 1, 'one'); CALL put('b', 1, 'one');
BEGIN;
SELECT flowdb_delete_range('m', 'a', 'b');
SELECT key, v FROM m ORDER BY key;
ROLLBACK;
SELECT key, v FROM m ORDER BY key;
BEGIN;
CALL put('a', 2, 'mine');
SAVEPOINT s;
SELECT flowdb_delete_range('m', 'a', 'b');
CALL put('a', 3, 'later');
SELECT key, ts, v FROM m ORDER BY key, ts;
ROLLBACK TO s;
SELECT key, ts, v FROM m ORDER BY key, ts;
SELECT flowdb_delete_range('m', 'b', 'c');
SAVEPOINT t;
SELECT flowdb_delete_range('m', 'a', 'b', '2', '3');
RELEASE t;
SELECT key, ts, v FROM m ORDER BY key, ts;
COMMIT;
SELECT key, ts, v FROM m ORDER BY key, ts;
-- A cursor does not see what its transaction deletes later.
BEGIN;
DECLARE c CURSOR FOR SELECT key, ts, v FROM m ORDER BY key, ts;
SELECT flowdb_delete_range('m', NULL, NULL);
CALL put('z', 1, 'new');
FETCH ALL FROM c;
SELECT key, ts, v FROM m ORDER BY key, ts;
ROLLBACK;
-- Handed over before the end, and taken back.
BEGIN;
SET LOCAL flowdb.transaction_buffer = '64kB';
SELECT flowdb_delete_range('m', NULL, NULL);
INSERT INTO m SELECT 'big', i, repeat('x', 100) FROM generate_series(1, 2000) i;
SELECT count(*) FROM m;
ROLLBACK;
SELECT flowdb_flush('mt');
SELECT key, ts, v FROM m ORDER BY key, ts;
BEGIN READ ONLY;
SELECT flowdb_delete_range('m', 'a', 'b');
\echo :SQLSTATE
ROLLBACK;

-- Rows with an end. Expired, they are not seen, and their space comes back.
CREATE FOREIGN TABLE e (key text COLLATE "C", ts bigint, v int, expire_at timestamptz) SERVER mt
  OPTIONS (store 'e');
INSERT INTO e VALUES ('k', 1, 1, NULL), ('live', 1, 1, now() + interval '1 day');
SELECT flowdb_flush('mt');
-- X07: an expired version hides what it replaced.
INSERT INTO e VALUES ('k', 1, 2, clock_timestamp() + interval '1 s'), ('gone', 1, 2, now() - interval '1 s');
SELECT key, v FROM e ORDER BY key;
SELECT pg_sleep(1.1);
SELECT key, v FROM e ORDER BY key;
SELECT flowdb_flush('mt');
SELECT key, v FROM e ORDER BY key;
SELECT flowdb_compact('mt', 'e') IS NOT NULL AS done;
SELECT key, v FROM e ORDER BY key;
CREATE FOREIGN TABLE e2 (key text COLLATE "C", ts bigint, v int, expire_at timestamptz) SERVER mt
  OPTIONS (store 'e2');
INSERT INTO e2 SELECT 'x' || i, i, i, clock_timestamp() + interval '1 s' FROM generate_series(1, 100) i;
SELECT flowdb_flush('mt');
SELECT flowdb_gc('mt');
SELECT count(*) FROM e2;
SELECT pg_sleep(1.2);
SELECT flowdb_gc('mt');
SELECT count(*) FROM e2;
SELECT count(*) AS files_of_e2 FROM flowdb_sstables WHERE store = 'e2';
SELECT key, v FROM e ORDER BY key;

-- What the views tell.
SELECT flowdb_flush('mt');
SELECT server, store, tables, records > 0 AS records, raw_bytes > 0 AS bytes,
    file_bytes > 0 AS file_bytes, sstables > 0 AS files, ts_min <= ts_max AS times
  FROM flowdb_stores WHERE store IN ('m', 'e') ORDER BY store;
CREATE FOREIGN TABLE m2 (key text COLLATE "C", ts bigint, v text) SERVER mt OPTIONS (store 'm');
SELECT store, tables FROM flowdb_stores WHERE store = 'm';
DROP FOREIGN TABLE m, m2 CASCADE;
SELECT store, tables FROM flowdb_stores WHERE store = 'm';
CREATE FOREIGN TABLE m (key text COLLATE "C", ts bigint, v text) SERVER mt OPTIONS (store 'm');
SELECT key, ts, v FROM m ORDER BY key, ts;
CREATE FOREIGN TABLE s (key text COLLATE "C", ts bigint, v int) SERVER mt OPTIONS (store 's');
INSERT INTO s SELECT 'k' || i % 3, i, i FROM generate_series(1, 100) i;
SELECT flowdb_flush('mt');
SELECT server, store, level, records, tombstones, range_tombstones, file_bytes > 0 AS bytes, raw_bytes > 0 AS raw,
  key_min, key_max, ts_min, ts_max, expire_max FROM flowdb_sstables WHERE store = 's';
SELECT merges > 0 AS merges, merge_failures, sstables_merged > 0 AS merged, merge_rows > 0 AS rows, gc_runs > 0 AS gc,
  purged >= 100 AS purged, records_read > 0 AS read, cache_capacity > 0 AS cache, last_merge_at <= now() AS merged_at,
  last_gc_at <= now() AS gc_at, loaded_at < now() AS loaded FROM flowdb_stats WHERE server = 'mt';

-- Metrics: every line is a comment or a sample.
CREATE TEMP TABLE metrics AS SELECT regexp_split_to_table(flowdb_metrics(), '\n') AS line;
SELECT count(*) > 20 AS lines FROM metrics;
SELECT line FROM metrics WHERE line <> '' AND line !~ '^# (HELP|TYPE) flowdb_\w+ .+$'
  AND line !~ '^flowdb_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? (NaN|-?[0-9.e+-]+)$';
SELECT bool_or(line ~ 'database="mt"') AS mt FROM metrics;

-- Rights.
CREATE ROLE flowdb_regress_m;
GRANT SELECT ON m TO flowdb_regress_m;
SET ROLE flowdb_regress_m;
SELECT flowdb_compact('mt');
\echo :SQLSTATE
SELECT flowdb_gc('mt');
\echo :SQLSTATE
SELECT flowdb_maintenance('mt', '1 s');
\echo :SQLSTATE
SELECT flowdb_metrics();
\echo :SQLSTATE
SELECT flowdb_delete_range('m', 'a', 'b');
\echo :SQLSTATE
SELECT count(*) FROM flowdb_stores;
SELECT DISTINCT store FROM flowdb_sstables;
SELECT merges, state FROM flowdb_stats WHERE server = 'mt';
RESET ROLE;
GRANT DELETE ON m TO flowdb_regress_m;
GRANT pg_monitor TO flowdb_regress_m;
SET ROLE flowdb_regress_m;
SELECT flowdb_delete_range('m', 'a', 'b');
SELECT count(*) > 0 AS stores FROM flowdb_stores WHERE server = 'mt';
SELECT count(*) > 0 AS files, count(key_min) > 0 AS keys FROM flowdb_sstables WHERE server = 'mt';
SELECT length(flowdb_metrics()) > 0 AS metrics;
SELECT flowdb_compact('mt');
\echo :SQLSTATE
RESET ROLE;
SELECT key, ts, v FROM m ORDER BY key, ts;
CREATE TABLE heap (key text);
SELECT flowdb_delete_range('heap', 'a', 'b');
\echo :SQLSTATE
SELECT flowdb_delete_range('nosuch', 'a', 'b');
\echo :SQLSTATE
CREATE VIEW seen AS SELECT * FROM m;
SELECT flowdb_delete_range('seen', 'a', 'b');
\echo :SQLSTATE
CREATE TABLE parent (key text, ts bigint, v text) PARTITION BY RANGE (ts);
SELECT flowdb_delete_range('parent', 'a', 'b');
\echo :SQLSTATE
DROP TABLE parent;
DROP VIEW seen;
SELECT flowdb_delete_range('m', 'z', 'a');
SELECT flowdb_delete_range('m', NULL, '');
BEGIN READ ONLY;
SELECT flowdb_delete_range('m', 'a', 'b');
\echo :SQLSTATE
ROLLBACK;
INSERT INTO m VALUES ('', 1, 'empty'), ('z', 1, 'z');
SELECT flowdb_delete_range('m', '', '');
SELECT key, ts, v FROM m ORDER BY key, ts;

DROP OWNED BY flowdb_regress_m;
DROP ROLE flowdb_regress_m;
DROP TABLE heap, metrics;
DROP VIEW files;
DROP PROCEDURE put;
DROP SERVER mt CASCADE;
ALTER SYSTEM RESET flowdb.auto_compaction;
SELECT pg_reload_conf();
