/*-------------------------------------------------------------------------
 * sqlfunc.c
 *	  Functions callable from SQL that do something: flush, compact, collect
 *	  garbage, delete a range, drop a store, make a database.  What only tells
 *	  is in statfunc.c.
 *
 * Everybody may execute them; rights are checked inside: maintenance is the
 * server's owner's, deleting needs the privilege DELETE on the table.  None
 * of them does anything in recovery, where all changes come from the log.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "fdw.h"
#include "flowdb_shmem.h"

PG_FUNCTION_INFO_V1(flowdb_create_database);
PG_FUNCTION_INFO_V1(flowdb_flush);
PG_FUNCTION_INFO_V1(flowdb_compact);
PG_FUNCTION_INFO_V1(flowdb_gc);
PG_FUNCTION_INFO_V1(flowdb_maintenance);
PG_FUNCTION_INFO_V1(flowdb_delete_range);
PG_FUNCTION_INFO_V1(flowdb_drop_store);

/* Columns of flowdb_maintenance(), see flowdb_fdw--1.0.sql */
#define MAINTENANCE_COLUMNS 7

/* -------------------------------------------------------------- maintenance */

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

/* A server that the caller owns. */
static Oid
own_server(const char *name, const char *function)
{
	ForeignServer *server = our_server(name);

	if (!has_privs_of_role(GetUserId(), server->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of foreign server \"%s\"",
							   server->servername)));
	PreventCommandDuringRecovery(function);
	return server->serverid;
}

static FlowDb *
own_database(const char *name, const char *function)
{
	return flowdb_database(own_server(name, function));
}

/*
 * flowdb_create_database(server name)
 *		An empty database for a server whose definition was copied without
 *		one: by CREATE DATABASE ... TEMPLATE, or by pg_upgrade.
 *
 * The lock is DROP SERVER's.  It is let in after a drop that came first: the
 * server is looked up once more.
 */
Datum
flowdb_create_database(PG_FUNCTION_ARGS)
{
	const char *name = NameStr(*PG_GETARG_NAME(0));
	Oid serverid = own_server(name, "flowdb_create_database()");

	PreventCommandIfReadOnly("flowdb_create_database()");
	PreventCommandIfParallelMode("flowdb_create_database()");
	flowdb_require_preload();
	LockDatabaseObject(ForeignServerRelationId, serverid, 0,
					   AccessExclusiveLock);
	if (own_server(name, "flowdb_create_database()") != serverid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("server \"%s\" was replaced by another one", name)));
	flowdb_ddl_make_database(serverid);
	PG_RETURN_VOID();
}

/*
 * flowdb_flush(server name)
 *		Write everything committed so far to SSTables.
 */
Datum
flowdb_flush(PG_FUNCTION_ARGS)
{
	FlowDb *db = own_database(NameStr(*PG_GETARG_NAME(0)), "flowdb_flush()");

	flowdb_try(flow_flush(db, NULL));
	PG_RETURN_VOID();
}

static uint32
store_by_name(FlowDb *db, const char *name)
{
	uint32_t id;
	FlowStatus st = flow_store_find(db, name, &id, NULL, NULL);

	flowdb_report(st);
	if (st == FLOW_NOTFOUND)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("FlowDB store \"%s\" does not exist", name),
						errhint("The view flowdb_stores lists them.")));
	return id;
}

/* The name of the store that a foreign table of the server shows, or NULL:
 * name is not one's. */
static char *
store_of_table(Oid serverid, const char *name)
{
	ForeignTable *table;
	List *names;
	Oid relid;

	if (!SplitIdentifierString(pstrdup(name), '.', &names) ||
		list_length(names) < 1 || list_length(names) > 2)
		return NULL;
	for (ListCell *lc = list_head(names); lc; lc = lnext(names, lc))
		lfirst(lc) = makeString(lfirst(lc));
	relid = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return NULL;
	table = GetForeignTable(relid);
	if (table->serverid != serverid)
		return NULL;
	return flowdb_catalog_store(relid, table->options);
}

/* A store by its name, or by that of a table that shows it; false: nothing
 * was ever written to the table, so it has no store yet. */
static bool
store_or_table(FlowDb *db, Oid serverid, const char *name, uint32 *idp)
{
	char *store;
	FlowStatus st;

	if (flow_store_find(db, name, idp, NULL, NULL) == FLOW_OK)
		return true;
	store = store_of_table(serverid, name);
	if (!store)
	{
		*idp = store_by_name(db, name);
		return true;
	}
	st = flow_store_find(db, store, idp, NULL, NULL);
	flowdb_report(st);
	return st == FLOW_OK;
}

/*
 * flowdb_compact(server name, store text)
 *		One merge of a store, or of each store for NULL; did one run?  store
 *		may be the name of a table too.
 */
Datum
flowdb_compact(PG_FUNCTION_ARGS)
{
	const char *server;
	FlowDb *db;
	uint32 store_id = 0;
	bool ran = false;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	server = NameStr(*PG_GETARG_NAME(0));
	db = own_database(server, "flowdb_compact()");
	if (!PG_ARGISNULL(1) &&
		!store_or_table(db, our_server(server)->serverid,
						text_to_cstring(PG_GETARG_TEXT_PP(1)), &store_id))
		PG_RETURN_BOOL(false);
	flowdb_handle_merging(db);
	flowdb_try(flow_compact(db, store_id, &ran));
	PG_RETURN_BOOL(ran);
}

/*
 * flowdb_gc(server name)
 *		Drop SSTables all of whose rows have expired; returns their rows.
 */
Datum
flowdb_gc(PG_FUNCTION_ARGS)
{
	FlowDb *db = own_database(NameStr(*PG_GETARG_NAME(0)), "flowdb_gc()");
	uint64_t purged = 0;

	flowdb_try(flow_gc(db, &purged));
	PG_RETURN_INT64((int64) purged);
}

static int64
interval_us(const Interval *span)
{
	int64 days = (int64) span->month * DAYS_PER_MONTH + span->day;
	int64 us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, span->time, &us))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("interval out of range")));
	if (us <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("budget must be greater than zero")));
	return us;
}

static Datum
maintenance_row(FunctionCallInfo fcinfo, const FlowMaintenance *report)
{
	Interval *elapsed = palloc0(sizeof(Interval));
	Datum values[MAINTENANCE_COLUMNS];
	bool nulls[MAINTENANCE_COLUMNS] = {false};
	TupleDesc desc;
	int i = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	elapsed->time = report->time_us;
	values[i++] = IntervalPGetDatum(elapsed);
	values[i++] = Int32GetDatum((int32) report->merges);
	values[i++] = Int64GetDatum((int64) report->rows_merged);
	values[i++] = Int64GetDatum((int64) report->bytes_read);
	values[i++] = Int64GetDatum((int64) report->bytes_written);
	values[i++] = Int64GetDatum((int64) report->purged);
	values[i++] = BoolGetDatum(report->pending);
	Assert(i == MAINTENANCE_COLUMNS);
	return HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * flowdb_maintenance(server name, budget interval)
 *		Merge for about so long.  What is not finished goes on with the next
 *		call of the same transaction, and is given up at its end.
 */
Datum
flowdb_maintenance(PG_FUNCTION_ARGS)
{
	FlowDb *db =
		own_database(NameStr(*PG_GETARG_NAME(0)), "flowdb_maintenance()");
	int64 budget = interval_us(PG_GETARG_INTERVAL_P(1));
	FlowMaintenance report = {0};

	flowdb_handle_merging(db);
	flowdb_try(flow_maintenance_step(db, budget, &report));
	PG_RETURN_DATUM(maintenance_row(fcinfo, &report));
}

/* --------------------------------------------------------------- drop a store */

/*
 * flowdb_drop_store(server name, store text)
 *		Drop a store that no table shows, at the commit of the transaction.
 *
 * The store's lock keeps writers away to the end of the transaction, and waits
 * for those there are.  Tables are looked for before, so that nobody waits for
 * nothing, and again behind the lock.
 */
Datum
flowdb_drop_store(PG_FUNCTION_ARGS)
{
	const char *server = NameStr(*PG_GETARG_NAME(0));
	char *store = text_to_cstring(PG_GETARG_TEXT_PP(1));
	FlowDb *db = own_database(server, "flowdb_drop_store()");
	Oid serverid = our_server(server)->serverid;

	PreventCommandIfReadOnly("flowdb_drop_store()");
	PreventCommandIfParallelMode("flowdb_drop_store()");
	flowdb_refuse_serializable();
	(void) store_by_name(db, store);
	flowdb_refuse_shown(serverid, store);
	flowdb_lock_store(serverid, store_by_name(db, store), AccessExclusiveLock);
	flowdb_refuse_shown(serverid, store);
	flowdb_store_ends(serverid, store);
	PG_RETURN_VOID();
}

/* ---------------------------------------------------------- delete a range */

/* A value of a column from text, as COPY would read it. */
static Datum
column_input(Relation rel, AttrNumber attnum, text *value)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid input;
	Oid ioparam;

	getTypeInputInfo(att->atttypid, &input, &ioparam);
	return OidInputFunctionCall(input, text_to_cstring(value), ioparam,
								att->atttypmod);
}

/* The first key column's value as the beginning of a key. */
static StringInfo
key_bound(Relation rel, const FlowdbTable *table, text *value)
{
	StringInfo key = makeStringInfo();
	Datum datum = column_input(rel, table->keys[0].attnum, value);

	flowdb_key_append(key, table->keys[0].type, datum, table->nkeys > 1);
	if (key->len > (int) FLOW_MAX_KEY)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("key of foreign table \"%s\" is too long",
							   RelationGetRelationName(rel))));
	return key;
}

/* Cuts the rectangle to times >= value, or < value; false: to none. */
static bool
time_bound(Relation rel, const FlowdbTable *table, int op, text *value,
		   FlowRect *rect)
{
	int64 own[2];

	if (table->time_attnum == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("foreign table \"%s\" has no time column",
							   RelationGetRelationName(rel))));
	(void) flowdb_time_compare(table->time_type, &op,
							   column_input(rel, table->time_attnum, value),
							   flowdb_time_operand(table->time_type), own);
	if (op == FLOWDB_OP_GE || op == FLOWDB_OP_GT)
		return !pg_add_s64_overflow(own[0], op == FLOWDB_OP_GT, &rect->ts_lo);
	return !pg_sub_s64_overflow(own[0], op == FLOWDB_OP_LT, &rect->ts_hi);
}

/*
 * [key_start, key_end) and [time_start, time_end) as a rectangle; false: it
 * is empty.  All arguments are behind the first of the call.
 */
static bool
range_of_arguments(FunctionCallInfo fcinfo, Relation rel,
				   const FlowdbTable *table, FlowRect *rect)
{
	StringInfo key;

	*rect = (FlowRect){.key_lo = (const uint8_t *) "",
					   .ts_lo = PG_INT64_MIN,
					   .ts_hi = PG_INT64_MAX};
	if (!PG_ARGISNULL(1))
	{
		key = key_bound(rel, table, PG_GETARG_TEXT_PP(1));
		rect->key_lo = (const uint8_t *) key->data;
		rect->key_lo_bytes = (uint32_t) key->len;
	}
	if (!PG_ARGISNULL(2))
	{
		key = key_bound(rel, table, PG_GETARG_TEXT_PP(2));
		rect->key_hi = (const uint8_t *) key->data;
		rect->key_hi_bytes = (uint32_t) key->len;
	}
	if (!PG_ARGISNULL(3) &&
		!time_bound(rel, table, FLOWDB_OP_GE, PG_GETARG_TEXT_PP(3), rect))
		return false;
	if (!PG_ARGISNULL(4) &&
		!time_bound(rel, table, FLOWDB_OP_LT, PG_GETARG_TEXT_PP(4), rect))
		return false;
	return rect->ts_lo <= rect->ts_hi;
}

static Relation
open_for_delete(Oid relid)
{
	/* before the lock, which would let anybody keep others out */
	AclResult acl = pg_class_aclcheck(relid, GetUserId(), ACL_DELETE);
	Relation rel;

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
	rel = table_open(relid, RowExclusiveLock);
	if (!flowdb_owns_relation(relid))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a FlowDB foreign table",
							   RelationGetRelationName(rel))));
	return rel;
}

/*
 * flowdb_delete_range(rel regclass, key_start text, key_end text,
 *					   time_start text, time_end text)
 *		Delete all rows of a range by one range tombstone.
 *
 * The store's lock comes first: what other transactions wrote is committed or
 * gone then, so the tombstone hides nothing that may still come into being.
 */
Datum
flowdb_delete_range(PG_FUNCTION_ARGS)
{
	Relation rel;
	FlowdbTable *table;
	FlowdbLayout *layout;
	FlowRect rect;
	FlowDb *db;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PreventCommandIfReadOnly("flowdb_delete_range()");
	PreventCommandIfParallelMode("flowdb_delete_range()");
	PreventCommandDuringRecovery("flowdb_delete_range()");
	flowdb_refuse_serializable();
	rel = open_for_delete(PG_GETARG_OID(0));
	table = flowdb_table_get(rel);
	db = flowdb_database(table->serverid);
	layout = flowdb_layout_read(rel, table, db);
	if (range_of_arguments(fcinfo, rel, table, &rect) && layout->exists)
	{
		flowdb_lock_store(table->serverid, layout->store_id, ExclusiveLock);
		flowdb_xact_delete_range(table->serverid, db, layout->store_id, &rect,
								 GetCurrentCommandId(true));
	}
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
