/* flowdb_fdw--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION flowdb_fdw" to load this file. \quit

CREATE FUNCTION flowdb_fdw_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT;

CREATE FUNCTION flowdb_fdw_validator(text[], oid)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER flowdb_fdw
  HANDLER flowdb_fdw_handler
  VALIDATOR flowdb_fdw_validator;

CREATE FUNCTION flowdb_create_database(server name)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_create_database(name) IS
  'make an empty database for a FlowDB server whose definition was copied';

CREATE FUNCTION flowdb_flush(server name)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_flush(name) IS
  'write what a FlowDB server holds in memory to its SSTables';

CREATE FUNCTION flowdb_compact(server name, store text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_compact(name, text) IS
  'merge SSTables of one store of a FlowDB server, or of each; did it?';

CREATE FUNCTION flowdb_gc(server name)
RETURNS bigint
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_gc(name) IS
  'drop SSTables of a FlowDB server all of whose rows have expired';

CREATE FUNCTION flowdb_maintenance(
  server name,
  budget interval,
  OUT elapsed interval,
  OUT merges integer,
  OUT rows_merged bigint,
  OUT bytes_read bigint,
  OUT bytes_written bigint,
  OUT purged bigint,
  OUT pending boolean)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_maintenance(name, interval) IS
  'merge SSTables of a FlowDB server as its policy says, for about so long';

CREATE FUNCTION flowdb_delete_range(
  rel regclass,
  key_start text,
  key_end text,
  time_start text DEFAULT NULL,
  time_end text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_delete_range(regclass, text, text, text, text) IS
  'delete the rows of a FlowDB table from start to before end';

CREATE FUNCTION flowdb_drop_store(server name, store text)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_drop_store(name, text) IS
  'drop a store of a FlowDB server that no table shows';

CREATE FUNCTION flowdb_server_stats(
  OUT server name,
  OUT records_written bigint,
  OUT bytes_written bigint,
  OUT records_read bigint,
  OUT records_expired bigint,
  OUT memtable_records bigint,
  OUT memtable_bytes bigint,
  OUT frozen_memtables integer,
  OUT stores integer,
  OUT sstables integer,
  OUT sstable_bytes bigint,
  OUT sstable_raw_bytes bigint,
  OUT sstable_records bigint,
  OUT range_tombstones bigint,
  OUT obsolete_files bigint,
  OUT flushes bigint,
  OUT flush_failures bigint,
  OUT merges bigint,
  OUT merge_failures bigint,
  OUT sstables_merged bigint,
  OUT sstables_made bigint,
  OUT merge_rows bigint,
  OUT merge_bytes_read bigint,
  OUT merge_bytes_written bigint,
  OUT merge_time_ms double precision,
  OUT gc_runs bigint,
  OUT purged bigint,
  OUT flushed_lsn pg_lsn,
  OUT unresolved_transactions bigint,
  OUT cache_bytes bigint,
  OUT cache_capacity bigint,
  OUT cache_hits bigint,
  OUT cache_misses bigint,
  OUT write_buffer_bytes bigint,
  OUT write_buffer_capacity bigint,
  OUT metadata_bytes bigint,
  OUT metadata_capacity bigint,
  OUT write_p50_us integer,
  OUT write_p99_us integer,
  OUT query_p50_us integer,
  OUT query_p99_us integer,
  OUT flush_p50_us integer,
  OUT flush_p99_us integer,
  OUT loaded_at timestamptz,
  OUT last_flush_at timestamptz,
  OUT last_merge_at timestamptz,
  OUT last_gc_at timestamptz,
  OUT state text,
  OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

CREATE VIEW flowdb_stats AS SELECT * FROM flowdb_server_stats();

COMMENT ON VIEW flowdb_stats IS
  'counters of the FlowDB servers of this database';

GRANT SELECT ON flowdb_stats TO PUBLIC;

CREATE FUNCTION flowdb_store_stats(
  OUT server name,
  OUT store_id bigint,
  OUT store text,
  OUT tables regclass[],
  OUT records bigint,
  OUT raw_bytes bigint,
  OUT file_bytes bigint,
  OUT sstables integer,
  OUT ts_min bigint,
  OUT ts_max bigint,
  OUT orphan boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

CREATE VIEW flowdb_stores AS SELECT * FROM flowdb_store_stats();

COMMENT ON VIEW flowdb_stores IS
  'stores of the FlowDB servers of this database, and the tables that show them';

GRANT SELECT ON flowdb_stores TO PUBLIC;

CREATE FUNCTION flowdb_sstable_stats(
  OUT server name,
  OUT store text,
  OUT id bigint,
  OUT level integer,
  OUT records bigint,
  OUT tombstones bigint,
  OUT range_tombstones bigint,
  OUT file_bytes bigint,
  OUT raw_bytes bigint,
  OUT key_min bytea,
  OUT key_max bytea,
  OUT ts_min bigint,
  OUT ts_max bigint,
  OUT expire_max bigint,
  OUT unsettled integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

CREATE VIEW flowdb_sstables AS SELECT * FROM flowdb_sstable_stats();

COMMENT ON VIEW flowdb_sstables IS
  'SSTables of the FlowDB servers of this database';

GRANT SELECT ON flowdb_sstables TO PUBLIC;

CREATE FUNCTION flowdb_metrics()
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_metrics() IS
  'counters of the FlowDB servers of this database in Prometheus'' format';

CREATE FUNCTION flowdb_time_bucket(stride interval, ts timestamptz)
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'flowdb_time_bucket_timestamptz'
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION flowdb_time_bucket(stride interval, ts timestamp)
RETURNS timestamp
AS 'MODULE_PATHNAME', 'flowdb_time_bucket_timestamp'
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION flowdb_time_bucket(stride interval, ts date)
RETURNS date
AS 'MODULE_PATHNAME', 'flowdb_time_bucket_date'
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION flowdb_time_bucket(stride interval, ts bigint)
RETURNS bigint
AS 'MODULE_PATHNAME', 'flowdb_time_bucket_bigint'
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION flowdb_time_bucket(interval, timestamptz) IS
  'start of the bucket of that width with the time in it, in UTC; one begins at 2000-01-03';
COMMENT ON FUNCTION flowdb_time_bucket(interval, timestamp) IS
  'start of the bucket of that width with the time in it; one begins at 2000-01-03';
COMMENT ON FUNCTION flowdb_time_bucket(interval, date) IS
  'start of the bucket of so many days with the date in it; one begins at 2000-01-03';
COMMENT ON FUNCTION flowdb_time_bucket(interval, bigint) IS
  'the same for microseconds since 1970';
