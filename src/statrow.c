/*-------------------------------------------------------------------------
 * statrow.c
 *	  Rows of the functions that tell about servers, and the walk over the
 *	  servers of the current database.
 *
 * The walk takes no lock on a server: monitoring must not wait for who drops
 * one.  What is gone by the time it is looked at is passed over.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_foreign_server.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "fdw.h"
#include "statrow.h"

/* --------------------------------------------------------------------- rows */

void
flowdb_stat_begin(FlowdbStatRow *row, ReturnSetInfo *rsinfo)
{
	row->rsinfo = rsinfo;
	row->n = 0;
	memset(row->nulls, true, sizeof(row->nulls));
}

void
flowdb_stat_put(FlowdbStatRow *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

void
flowdb_stat_null(FlowdbStatRow *row)
{
	row->nulls[row->n++] = true;
}

void
flowdb_stat_count(FlowdbStatRow *row, uint64 value)
{
	flowdb_stat_put(row, Int64GetDatum((int64) value));
}

void
flowdb_stat_int(FlowdbStatRow *row, uint64 value)
{
	flowdb_stat_put(row, Int32GetDatum((int32) value));
}

void
flowdb_stat_name(FlowdbStatRow *row, const char *name)
{
	flowdb_stat_put(row, DirectFunctionCall1(namein, CStringGetDatum(name)));
}

void
flowdb_stat_text(FlowdbStatRow *row, const char *text)
{
	flowdb_stat_put(row, CStringGetTextDatum(text));
}

void
flowdb_stat_moment(FlowdbStatRow *row, int64 us)
{
	TimestampTz t;

	if (us == 0 || !flowdb_time_decode(us, &t))
		flowdb_stat_null(row);
	else
		flowdb_stat_put(row, TimestampTzGetDatum(t));
}

void
flowdb_stat_end(FlowdbStatRow *row)
{
	Assert(row->n == row->rsinfo->setDesc->natts);
	tuplestore_putvalues(row->rsinfo->setResult, row->rsinfo->setDesc,
						 row->values, row->nulls);
}

/* ------------------------------------------------------------------ servers */

/* Oids of the foreign servers of this database. */
static List *
all_servers(void)
{
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *all = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		all =
			lappend_oid(all, ((Form_pg_foreign_server) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return all;
}

/* What the registry knows about it, and its database if that is in use. */
static void
look_up(FlowdbStatServer *server)
{
	int slot = flowdb_registry_find(MyDatabaseId, server->serverid);
	const FlowdbSlot *s;

	if (slot < 0)
		return;
	s = &flowdb_shared->slots[slot];
	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	if (s->entry.dboid == MyDatabaseId && s->entry.serverid == server->serverid)
	{
		server->state = s->state;
		strlcpy(server->reason, s->reason, sizeof(server->reason));
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	if (server->state == FLOWDB_DB_OPEN)
		server->db = flowdb_slot_handle(slot);
}

List *
flowdb_stat_servers(void)
{
	List *servers = NIL;
	ListCell *lc;

	flowdb_require_preload();
	foreach (lc, all_servers())
	{
		Oid serverid = lfirst_oid(lc);
		ForeignServer *found =
			GetForeignServerExtended(serverid, FSV_MISSING_OK);
		FlowdbStatServer *server;

		if (found == NULL || !flowdb_is_ours(serverid))
			continue;
		server = palloc0(sizeof(FlowdbStatServer));
		server->serverid = serverid;
		server->name = found->servername;
		server->sight = flowdb_rights_server(serverid);
		look_up(server);
		servers = lappend(servers, server);
	}
	return servers;
}

Datum
flowdb_stat_rows(FunctionCallInfo fcinfo,
				 void (*put)(ReturnSetInfo *rsinfo,
							 const FlowdbStatServer *server))
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, flowdb_stat_servers())
		put(rsinfo, lfirst(lc));
	return (Datum) 0;
}
