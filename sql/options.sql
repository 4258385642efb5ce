-- Options of servers and tables: each one, each rule, and that they count at once.
SET timezone = 'UTC';
CREATE SCHEMA opted;
SET search_path = opted, public;

-- The rules, by name and value: what is refused, and with what hint.
CREATE PROCEDURE refused(kind text, name text, VARIADIC vals text[]) LANGUAGE plpgsql AS $$
DECLARE val text; hint text;
BEGIN
  FOREACH val IN ARRAY vals LOOP
    BEGIN
      EXECUTE format(CASE kind WHEN 'server'
        THEN 'CREATE SERVER bad FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (%I %L)'
        ELSE 'CREATE FOREIGN TABLE bad (key text, ts bigint) SERVER o OPTIONS (%I %L)' END, name, val);
      RAISE NOTICE 'taken: % %', name, val;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
      RAISE NOTICE '% % | %', SQLSTATE, SQLERRM, hint;
    END;
  END LOOP;
END $$;
CREATE SERVER o FOREIGN DATA WRAPPER flowdb_fdw;
CALL refused('server', 'memtable_size_mb', '0', '-1', '1.5', '', 'x', '1TBx', 'NaN', '2TB');
CALL refused('server', 'max_frozen_memtables', '0', '65', '1MB');
CALL refused('server', 'block_size', '0', '1023', '17MB', '16 kbytes');
CALL refused('server', 'bloom_bits_per_key', '0', '65');
CALL refused('server', 'zstd_level', '0', '23', '-5');
CALL refused('server', 'default_ttl_secs', '0', '-1', '9223372036855', '1e30', 'Infinity');
CALL refused('server', 'compaction_threshold', '0');
CALL refused('server', 'flush_interval_ms', '0');
CALL refused('server', 'compaction_interval_ms', '0');
CALL refused('server', 'gc_interval_secs', '0');
CALL refused('server', 'merge_policy', 'STCS', 'tiered', '');
CALL refused('server', 'flush_compression', 'gzip');
CALL refused('server', 'compaction_compression', 'on');
CALL refused('server', 'auto_background', 'maybe');
CALL refused('server', 'create_if_missing', 'false', 'x');
CALL refused('server', 'wal_sync_mode', 'always');
CALL refused('server', 'wal_segment_size_mb', '64');
CALL refused('server', 'time_bucket_secs', '3600');
CALL refused('server', 'index_memory_budget_mb', '256');
CALL refused('server', 'block_cache_capacity_mb', '128');
CALL refused('server', 'storage_backend', 'MultiFile');
CALL refused('server', 'compression', 'lz4');
CALL refused('server', 'memtable_size', '64');
CALL refused('server', 'gc_interval', '64');
CALL refused('server', 'ttl', '1 day');
CALL refused('table', 'ttl', '0', '-1 day', '1 month -30 days', '', 'x', '300000 years', 'Never');
CALL refused('table', 'default_ttl_secs', '0', '-1', 'x');
CALL refused('table', 'on_duplicate', 'Replace', 'update', '');
CALL refused('table', 'merge_policy', 'x');
CALL refused('table', 'block_size', '8192');
CALL refused('table', 'tll', '1 day');
CALL refused('table', 'on_duplicat', 'ignore');
CREATE FOREIGN TABLE bad (key text, ts bigint) SERVER o OPTIONS (ttl '1 day', default_ttl_secs '5');
\echo :SQLSTATE
CREATE FOREIGN TABLE one (key text, ts bigint) SERVER o OPTIONS (ttl '1 day');
ALTER FOREIGN TABLE one OPTIONS (ADD default_ttl_secs '5');
ALTER FOREIGN TABLE one OPTIONS (DROP ttl, ADD default_ttl_secs '5');
DROP FOREIGN TABLE one;
DROP PROCEDURE refused;

-- With units or without; everything together.
CREATE SERVER all_of_them FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (create_if_missing 'true',
  default_ttl_secs '36500 d', memtable_size_mb '2', max_frozen_memtables '3', block_size '4kB',
  bloom_bits_per_key '12', flush_compression 'none', compaction_compression 'lz4', zstd_level '3',
  merge_policy 'twcs', compaction_threshold '4', auto_background 'off', flush_interval_ms '1h',
  compaction_interval_ms '10s', gc_interval_secs '1h');
CREATE FOREIGN TABLE t (key text, ts timestamptz, v text) SERVER all_of_them;
INSERT INTO t VALUES ('a', '2020-01-01', 'x');
SELECT * FROM t;
DROP FOREIGN TABLE t;
DROP SERVER all_of_them;

-- What an option does is seen in the next file: smaller blocks make it larger.
CREATE FOREIGN TABLE b (key text COLLATE "C", ts bigint, v text) SERVER o OPTIONS (store 'b');
ALTER SERVER o OPTIONS (ADD auto_background 'off', ADD flush_compression 'none');
CREATE FUNCTION next_file(k text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO b SELECT k, i, lpad(i::text, 100, 'x') FROM generate_series(1, 1000) i;
  RETURN NULL;
END $$;
CREATE FUNCTION newest() RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN file_bytes < 50000 THEN 'compressed' WHEN file_bytes < 101800 THEN 'blocks of 16 kB'
    WHEN file_bytes < 102500 THEN 'blocks of 2 kB' ELSE 'blocks of 1 kB' END
  FROM flowdb_sstables WHERE server = 'o' ORDER BY id DESC LIMIT 1 $$;
SELECT next_file('k');
SELECT flowdb_flush('o');
SELECT newest();
ALTER SERVER o OPTIONS (ADD block_size '1024');
SELECT next_file('k');
SELECT flowdb_flush('o');
SELECT newest();
-- Rolled back, it does not count; what the next one sees is not what was said.
BEGIN;
ALTER SERVER o OPTIONS (SET block_size '64kB');
SELECT next_file('l');
ROLLBACK;
SELECT next_file('m');
SELECT flowdb_flush('o');
SELECT newest();
ALTER SERVER o OPTIONS (DROP block_size);
SELECT next_file('n');
SELECT flowdb_flush('o');
SELECT newest();
-- In a transaction that also writes.
BEGIN;
ALTER SERVER o OPTIONS (ADD block_size '2048');
SELECT next_file('o');
COMMIT;
SELECT flowdb_flush('o');
SELECT newest();
ALTER SERVER o OPTIONS (DROP flush_compression);
SELECT next_file('p');
SELECT flowdb_flush('o');
SELECT newest();

-- Merge policies, of the server and of a store: what the next merge takes.
SELECT count(*) > 3 AS files FROM flowdb_sstables WHERE server = 'o';
ALTER FOREIGN TABLE b OPTIONS (ADD merge_policy 'lcs');
SELECT merges > 0 AS merged FROM flowdb_maintenance('o', '1 minute');
SELECT min(level), max(level) > 0 AS levels FROM flowdb_sstables WHERE server = 'o';
ALTER FOREIGN TABLE b OPTIONS (SET merge_policy 'stcs');
ALTER FOREIGN TABLE b OPTIONS (DROP merge_policy);
BEGIN;
ALTER FOREIGN TABLE b OPTIONS (ADD merge_policy 'lcs');
PREPARE TRANSACTION 'options';
\echo :SQLSTATE

-- Rows are what they were.
SELECT key, count(*), min(ts), max(ts) FROM b GROUP BY key ORDER BY key;

-- on_duplicate is the table's.
CREATE FOREIGN TABLE dup (key text, ts bigint, v int) SERVER o OPTIONS (on_duplicate 'replace');
INSERT INTO dup VALUES ('a', 1, 1), ('a', 1, 2);
SELECT * FROM dup;

-- A wrapper without a validator: what is used of the options is checked.
CREATE FOREIGN DATA WRAPPER unchecked HANDLER flowdb_fdw_handler;
CREATE SERVER unchecked FOREIGN DATA WRAPPER unchecked;
CREATE FOREIGN TABLE u1 (key text, ts bigint) SERVER unchecked OPTIONS (time_column '');
\echo :SQLSTATE
CREATE FOREIGN TABLE u2 (key text, ts bigint) SERVER unchecked OPTIONS (key_columns ' , ');
\echo :SQLSTATE
CREATE FOREIGN TABLE u3 (key text, ts bigint) SERVER unchecked OPTIONS (key_columns 'key,key');
\echo :SQLSTATE
DROP FOREIGN DATA WRAPPER unchecked CASCADE;

SET client_min_messages = warning;
DROP SCHEMA opted CASCADE;
DROP SERVER o CASCADE;
