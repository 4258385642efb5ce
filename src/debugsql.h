/*-------------------------------------------------------------------------
 * debugsql.h
 *	  What SQL functions of tests share, whose first two arguments name a
 *	  server and a store of it.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_DEBUGSQL_H
#define FLOWDB_DEBUGSQL_H

#include "flowdb.h"

#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

static inline FlowDb *
flowdb_debug_database(FunctionCallInfo fcinfo)
{
	char *server = text_to_cstring(PG_GETARG_TEXT_PP(0));

	return flowdb_database(GetForeignServerByName(server, false)->serverid);
}

/* All rows of the store that are visible now; the scan is the caller's to
 * close, and spec has to live as long. */
static inline FlowScan *
flowdb_debug_scan(FunctionCallInfo fcinfo, FlowDb *db, FlowScanSpec *spec)
{
	char *store = text_to_cstring(PG_GETARG_TEXT_PP(1));
	FlowScan *scan;

	*spec = (FlowScanSpec){.now = PG_INT64_MIN,
						   .visible = flowdb_visible,
						   .visible_arg = GetActiveSnapshot()};
	flowdb_try(flow_store_find(db, store, &spec->store_id, NULL, NULL));
	flowdb_announce_reader();
	flowdb_try(flow_scan_open(db, spec, &scan));
	return scan;
}

#endif /* FLOWDB_DEBUGSQL_H */
