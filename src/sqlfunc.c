/*-------------------------------------------------------------------------
 * sqlfunc.c
 *	  Functions callable from SQL.  Everybody may execute them; rights are
 *	  checked inside.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"

#include "fdw.h"
#include "flowdb_shmem.h"

PG_FUNCTION_INFO_V1(flowdb_flush);
PG_FUNCTION_INFO_V1(flowdb_server_stats);

/* Columns of flowdb_server_stats(), see flowdb_fdw--1.0.sql */
#define STATS_COLUMNS 16
#define STATS_STATE 14 /* place of "state"; the numbers lie between */

/* --------------------------------------------------------------- flushing */

static ForeignServer *
our_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, false);

	if (!flowdb_is_ours(server->serverid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a FlowDB database", name)));
	return server;
}

/*
 * flowdb_flush(server name)
 *		Write everything committed so far to SSTables.
 */
Datum
flowdb_flush(PG_FUNCTION_ARGS)
{
	ForeignServer *server = our_server(NameStr(*PG_GETARG_NAME(0)));
	FlowDb *db;

	if (!has_privs_of_role(GetUserId(), server->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of foreign server \"%s\"",
							   server->servername)));
	/* a standby's memtables are the startup process's to flush */
	PreventCommandDuringRecovery("flowdb_flush()");
	db = flowdb_database(server->serverid);
	flowdb_try(flow_flush(db));
	PG_RETURN_VOID();
}

/* --------------------------------------------------------------- counters */

static const char *
state_name(FlowdbDbState state)
{
	switch (state)
	{
		case FLOWDB_DB_CLOSED:
			return "closed";
		case FLOWDB_DB_OPEN:
			return "open";
		case FLOWDB_DB_BROKEN:
			return "broken";
		default:
			return "absent";
	}
}

/* Copy of what the registry knows about a server's database. */
static FlowdbDbState
registry_state(Oid serverid, char *reason, Size reason_bytes)
{
	FlowdbDbState state = FLOWDB_DB_FREE;
	int slot = flowdb_registry_find(MyDatabaseId, serverid);

	reason[0] = '\0';
	if (slot < 0)
		return state;
	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	if (flowdb_shared->slots[slot].entry.serverid == serverid)
	{
		state = flowdb_shared->slots[slot].state;
		strlcpy(reason, flowdb_shared->slots[slot].reason, reason_bytes);
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return state;
}

static bool
may_see(const ForeignServer *server)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		   DatumGetBool(DirectFunctionCall2(has_server_privilege_id,
											ObjectIdGetDatum(server->serverid),
											CStringGetTextDatum("USAGE")));
}

static void
fill_numbers(FlowDb *db, Datum *values, bool *nulls)
{
	FlowStats s;
	int i = 1;

	flow_stats(db, &s);
	values[i++] = Int64GetDatum((int64) s.records_written);
	values[i++] = Int64GetDatum((int64) s.bytes_written);
	values[i++] = Int64GetDatum((int64) s.memtable_records);
	values[i++] = Int64GetDatum((int64) s.memtable_bytes);
	values[i++] = Int32GetDatum((int32) s.frozen_memtables);
	values[i++] = Int32GetDatum((int32) s.sstables);
	values[i++] = Int64GetDatum((int64) s.sstable_bytes);
	values[i++] = Int64GetDatum((int64) s.sstable_records);
	values[i++] = Int64GetDatum((int64) s.flushes);
	values[i++] = Int64GetDatum((int64) s.flush_failures);
	values[i++] = LSNGetDatum((XLogRecPtr) s.flushed_pos);
	values[i++] = Int64GetDatum((int64) s.unresolved_txns);
	values[i++] = Int32GetDatum((int32) s.stores);
	Assert(i == STATS_STATE);
	memset(nulls, false, sizeof(bool) * STATS_STATE);
}

static void
put_server(ReturnSetInfo *rsinfo, const ForeignServer *server)
{
	Datum values[STATS_COLUMNS] = {0};
	bool nulls[STATS_COLUMNS];
	char reason[256];
	FlowdbDbState state;

	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetDatum(server->servername);
	values[0] = DirectFunctionCall1(namein, values[0]);
	nulls[0] = false;
	if (may_see(server))
	{
		state = registry_state(server->serverid, reason, sizeof(reason));
		if (state == FLOWDB_DB_OPEN)
			fill_numbers(flowdb_database(server->serverid), values, nulls);
		values[STATS_STATE] = CStringGetTextDatum(state_name(state));
		nulls[STATS_STATE] = false;
		if (reason[0])
		{
			values[STATS_STATE + 1] = CStringGetTextDatum(reason);
			nulls[STATS_STATE + 1] = false;
		}
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * flowdb_server_stats()
 *		A row for each FlowDB server of the current database.  Who may not
 *		use a server sees its name only.
 */
Datum
flowdb_server_stats(PG_FUNCTION_ARGS)
{
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	List *servers = NIL;
	ListCell *lc;

	flowdb_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	rel = table_open(ForeignServerRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid serverid = ((Form_pg_foreign_server) GETSTRUCT(tuple))->oid;

		servers = lappend_oid(servers, serverid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	foreach (lc, servers)
		if (flowdb_is_ours(lfirst_oid(lc)))
			put_server((ReturnSetInfo *) fcinfo->resultinfo,
					   GetForeignServer(lfirst_oid(lc)));
	return (Datum) 0;
}
