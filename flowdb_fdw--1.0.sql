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

CREATE FUNCTION flowdb_flush(server name)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION flowdb_flush(name) IS
  'write what a FlowDB server holds in memory to its SSTables';

CREATE FUNCTION flowdb_server_stats(
  OUT server name,
  OUT records_written bigint,
  OUT bytes_written bigint,
  OUT memtable_records bigint,
  OUT memtable_bytes bigint,
  OUT frozen_memtables integer,
  OUT sstables integer,
  OUT sstable_bytes bigint,
  OUT sstable_records bigint,
  OUT flushes bigint,
  OUT flush_failures bigint,
  OUT flushed_lsn pg_lsn,
  OUT unresolved_transactions bigint,
  OUT stores integer,
  OUT state text,
  OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

CREATE VIEW flowdb_stats AS SELECT * FROM flowdb_server_stats();

COMMENT ON VIEW flowdb_stats IS
  'counters of the FlowDB servers of this database';

GRANT SELECT ON flowdb_stats TO PUBLIC;
