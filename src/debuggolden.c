/*-------------------------------------------------------------------------
 * debuggolden.c
 *	  Rows of a store as bytes, and any bytes as a record of ours in the WAL.
 *
 * Compiled only for tests, which make the SQL functions themselves:
 *
 *	  CREATE FUNCTION rows(server text, store text) RETURNS text
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_rows'
 *	  CREATE FUNCTION log_record(type int, body bytea) RETURNS pg_lsn
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_log'
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flowdb.h"

#ifdef FLOWDB_DEBUG_POINTS

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "utils/pg_lsn.h"

#include "debugsql.h"
#include "flowdb_wal.h"

PG_FUNCTION_INFO_V1(flowdb_debug_rows);
PG_FUNCTION_INFO_V1(flowdb_debug_log);

static void
append_hex(StringInfo buf, const void *bytes, Size len)
{
	enlargeStringInfo(buf, (int) len * 2);
	buf->len += (int) hex_encode(bytes, len, buf->data + buf->len);
	buf->data[buf->len] = '\0';
}

static void
append_rows(StringInfo buf, FlowScan *scan)
{
	FlowRecord row;
	FlowStatus st;

	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
	{
		append_hex(buf, row.key, row.key_bytes);
		appendStringInfo(buf, " " INT64_FORMAT " " INT64_FORMAT " ", row.ts,
						 row.expire_at);
		append_hex(buf, row.value, row.value_bytes);
		appendStringInfoChar(buf, '\n');
	}
	flowdb_report(st);
}

/* A line each: key, time, expiry, value. */
Datum
flowdb_debug_rows(PG_FUNCTION_ARGS)
{
	FlowDb *db = flowdb_debug_database(fcinfo);
	FlowScanSpec spec;
	FlowScan *scan = flowdb_debug_scan(fcinfo, db, &spec);
	StringInfoData buf;

	initStringInfo(&buf);
	PG_TRY();
	{
		append_rows(&buf, scan);
	}
	PG_FINALLY();
	{
		flow_scan_close(scan);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* Logged, durable, and not applied: only redo shall meet it. */
Datum
flowdb_debug_log(PG_FUNCTION_ARGS)
{
	int32 type = PG_GETARG_INT32(0);
	bytea *body = PG_GETARG_BYTEA_PP(1);
	XLogRecPtr end;

	XLogBeginInsert();
	XLogRegisterData(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	end = XLogInsert(FLOWDB_RMGR_ID, (uint8) (type & ~XLR_INFO_MASK));
	XLogFlush(end);
	PG_RETURN_LSN(end);
}

#endif /* FLOWDB_DEBUG_POINTS */
