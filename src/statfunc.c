/*-------------------------------------------------------------------------
 * statfunc.c
 *	  Functions callable from SQL that tell what there is: servers, stores,
 *	  SSTables, metrics.
 *
 * Who is neither a member of pg_monitor nor may use a server learns nothing
 * about it but its name, which pg_foreign_server tells anybody.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "fdw.h"
#include "flowdb_shmem.h"

PG_FUNCTION_INFO_V1(flowdb_server_stats);
PG_FUNCTION_INFO_V1(flowdb_store_stats);
PG_FUNCTION_INFO_V1(flowdb_sstable_stats);
PG_FUNCTION_INFO_V1(flowdb_metrics);

/* Columns of the functions, see flowdb_fdw--1.0.sql */
#define SERVER_COLUMNS 45
#define STORE_COLUMNS 9
#define SSTABLE_COLUMNS 15

/* A row being put together. */
typedef struct Row
{
	Datum values[SERVER_COLUMNS];
	bool nulls[SERVER_COLUMNS];
	int n;
} Row;

static void
put(Row *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

static void
put_null(Row *row)
{
	row->nulls[row->n++] = true;
}

static void
put_count(Row *row, uint64 value)
{
	put(row, Int64GetDatum((int64) value));
}

static void
put_name(Row *row, const char *name)
{
	put(row, DirectFunctionCall1(namein, CStringGetDatum(name)));
}

/* A time of the engine, 0 for never. */
static void
put_moment(Row *row, int64 us)
{
	TimestampTz t;

	if (us == 0 || !flowdb_time_decode(us, &t))
		put_null(row);
	else
		put(row, TimestampTzGetDatum(t));
}

static void
put_row(ReturnSetInfo *rsinfo, Row *row)
{
	Assert(row->n == rsinfo->setDesc->natts);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row->values,
						 row->nulls);
}

/* ------------------------------------------------------------------ servers */

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
may_use(Oid serverid)
{
	return DatumGetBool(DirectFunctionCall2(has_server_privilege_id,
											ObjectIdGetDatum(serverid),
											CStringGetTextDatum("USAGE")));
}

static bool
may_see(Oid serverid)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) || may_use(serverid);
}

/* Oids of the FlowDB servers of this database. */
static List *
our_servers(void)
{
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *all = NIL;
	List *ours = NIL;
	HeapTuple tuple;
	ListCell *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		all =
			lappend_oid(all, ((Form_pg_foreign_server) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	foreach (lc, all)
		if (flowdb_is_ours(lfirst_oid(lc)))
			ours = lappend_oid(ours, lfirst_oid(lc));
	return ours;
}

/* Its database when the caller may see it and it can be used, or NULL. */
static FlowDb *
visible_database(Oid serverid)
{
	char reason[256];

	if (!may_see(serverid) ||
		registry_state(serverid, reason, sizeof(reason)) != FLOWDB_DB_OPEN)
		return NULL;
	return flowdb_database(serverid);
}

static void
put_write_stats(Row *row, const FlowStats *s)
{
	put_count(row, s->records_written);
	put_count(row, s->bytes_written);
	put_count(row, s->records_read);
	put_count(row, s->records_expired);
	put_count(row, s->memtable_records);
	put_count(row, s->memtable_bytes);
	put(row, Int32GetDatum((int32) s->frozen_memtables));
	put(row, Int32GetDatum((int32) s->stores));
	put(row, Int32GetDatum((int32) s->sstables));
	put_count(row, s->sstable_bytes);
	put_count(row, s->sstable_raw_bytes);
	put_count(row, s->sstable_records);
	put_count(row, s->range_tombstones);
	put_count(row, s->obsolete_files);
}

static void
put_work_stats(Row *row, const FlowStats *s)
{
	put_count(row, s->flushes);
	put_count(row, s->flush_failures);
	put_count(row, s->merges);
	put_count(row, s->merge_failures);
	put_count(row, s->sstables_merged);
	put_count(row, s->sstables_made);
	put_count(row, s->merge_rows);
	put_count(row, s->merge_bytes_read);
	put_count(row, s->merge_bytes_written);
	put(row, Float8GetDatum((double) s->merge_time_us / 1000.0));
	put_count(row, s->gc_runs);
	put_count(row, s->purged);
	put(row, LSNGetDatum((XLogRecPtr) s->flushed_pos));
	put_count(row, s->unresolved_txns);
	put_count(row, s->cache_bytes);
	put_count(row, s->cache_capacity);
	put_count(row, s->cache_hits);
	put_count(row, s->cache_misses);
}

static void
put_times(Row *row, const FlowStats *s)
{
	for (int i = 0; i < FLOW_LATENCY_KINDS; i++)
	{
		if (s->latency[i].count == 0)
		{
			put_null(row);
			put_null(row);
			continue;
		}
		put(row, Int32GetDatum((int32) s->latency[i].p50_us));
		put(row, Int32GetDatum((int32) s->latency[i].p99_us));
	}
	put_moment(row, s->loaded_at);
	put_moment(row, s->last_flush_at);
	put_moment(row, s->last_merge_at);
	put_moment(row, s->last_gc_at);
}

static void
put_server(ReturnSetInfo *rsinfo, Oid serverid)
{
	Row row = {.n = 0};
	char reason[256] = "";
	bool see = may_see(serverid);
	FlowdbDbState state = FLOWDB_DB_FREE;
	FlowStats s;

	memset(row.nulls, true, sizeof(row.nulls));
	put_name(&row, GetForeignServer(serverid)->servername);
	if (see)
		state = registry_state(serverid, reason, sizeof(reason));
	if (state == FLOWDB_DB_OPEN)
	{
		flow_stats(flowdb_database(serverid), &s);
		put_write_stats(&row, &s);
		put_work_stats(&row, &s);
		put_times(&row, &s);
	}
	row.n = SERVER_COLUMNS - 2;
	if (see)
		put(&row, CStringGetTextDatum(state_name(state)));
	if (see && reason[0])
		put(&row, CStringGetTextDatum(reason));
	row.n = SERVER_COLUMNS;
	put_row(rsinfo, &row);
}

/*
 * flowdb_server_stats()
 *		A row for each FlowDB server of the current database.
 */
Datum
flowdb_server_stats(PG_FUNCTION_ARGS)
{
	ListCell *lc;

	flowdb_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, our_servers())
		put_server((ReturnSetInfo *) fcinfo->resultinfo, lfirst_oid(lc));
	return (Datum) 0;
}

/*
 * flowdb_metrics()
 *		The same in Prometheus' text format.
 */
Datum
flowdb_metrics(PG_FUNCTION_ARGS)
{
	const char **names;
	FlowStats *stats;
	List *servers;
	ListCell *lc;
	size_t n = 0;
	char *metrics;
	text *result;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for function flowdb_metrics"),
						errdetail("Only roles with privileges of the role "
								  "\"pg_monitor\" may see FlowDB's metrics.")));
	flowdb_require_preload();
	servers = our_servers();
	names = palloc(sizeof(*names) * (list_length(servers) + 1));
	stats = palloc(sizeof(*stats) * (list_length(servers) + 1));
	foreach (lc, servers)
	{
		FlowDb *db = visible_database(lfirst_oid(lc));

		if (db == NULL)
			continue;
		names[n] = GetForeignServer(lfirst_oid(lc))->servername;
		flow_stats(db, &stats[n++]);
	}
	flowdb_report(flow_metrics_text(flowdb_env(), names, stats, n, &metrics));
	result = cstring_to_text(metrics);
	flowdb_env()->free(flowdb_env(), metrics);
	PG_RETURN_TEXT_P(result);
}

/* ------------------------------------------------------------------- stores */

/* What the engine's walks hand out, kept: they may not be left by an error. */
typedef struct StoreItem
{
	struct StoreItem *next;
	uint32 id;
	char name[FLOW_MAX_STORE_NAME + 1];
} StoreItem;

typedef struct SstItem
{
	struct SstItem *next;
	FlowSstStats sst; /* keys behind the struct */
} SstItem;

typedef struct Items
{
	StoreItem *stores;
	SstItem *ssts;
} Items;

static void *
item_alloc(Size size)
{
	return palloc_extended(size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
}

static FlowStatus
keep_store(void *arg, uint32_t store_id, const char *name)
{
	Items *items = arg;
	StoreItem *item = item_alloc(sizeof(StoreItem));

	if (item == NULL)
		return FLOW_NOMEM;
	item->id = store_id;
	strlcpy(item->name, name, sizeof(item->name));
	item->next = items->stores;
	items->stores = item;
	return FLOW_OK;
}

static FlowStatus
keep_sst(void *arg, const FlowSstStats *sst)
{
	Items *items = arg;
	SstItem *item =
		item_alloc(sizeof(SstItem) + sst->key_min_bytes + sst->key_max_bytes);
	uint8_t *keys = (uint8_t *) (item + 1);

	if (item == NULL)
		return FLOW_NOMEM;
	item->sst = *sst;
	if (sst->key_min_bytes > 0)
		memcpy(keys, sst->key_min, sst->key_min_bytes);
	if (sst->key_max_bytes > 0)
		memcpy(keys + sst->key_min_bytes, sst->key_max, sst->key_max_bytes);
	item->sst.key_min = keys;
	item->sst.key_max = keys + sst->key_min_bytes;
	item->next = items->ssts;
	items->ssts = item;
	return FLOW_OK;
}

/* A foreign table and the store it shows. */
typedef struct TableStore
{
	Oid relid;
	char *store;
} TableStore;

/* The foreign tables of a server, TableStore. */
static List *
tables_of(Oid serverid)
{
	Relation rel = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *relids = NIL;
	List *tables = NIL;
	HeapTuple tuple;
	ListCell *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);

		if (form->ftserver == serverid)
			relids = lappend_oid(relids, form->ftrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	list_sort(relids, list_oid_cmp);
	foreach (lc, relids)
	{
		TableStore *table = palloc(sizeof(TableStore));
		FlowdbTableOptions opts;

		flowdb_option_table(GetForeignTable(lfirst_oid(lc))->options, &opts);
		table->relid = lfirst_oid(lc);
		table->store = opts.store ? opts.store : psprintf("%u", lfirst_oid(lc));
		tables = lappend(tables, table);
	}
	return tables;
}

/* The tables that show a store, as regclass[]; empty for an orphan. */
static Datum
tables_showing(List *tables, const char *store)
{
	Datum *oids = palloc(sizeof(Datum) * (list_length(tables) + 1));
	ListCell *lc;
	int n = 0;

	foreach (lc, tables)
	{
		TableStore *table = lfirst(lc);

		if (strcmp(table->store, store) == 0)
			oids[n++] = ObjectIdGetDatum(table->relid);
	}
	return PointerGetDatum(
		construct_array(oids, n, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
}

static void
put_store(ReturnSetInfo *rsinfo, const char *server, FlowDb *db,
		  const StoreItem *item, List *tables)
{
	Row row = {.n = 0};
	FlowStoreStats s;

	flow_store_stats(db, item->id, &s);
	put_name(&row, server);
	put_count(&row, item->id);
	put(&row, CStringGetTextDatum(item->name));
	put(&row, tables_showing(tables, item->name));
	put_count(&row, s.records);
	put_count(&row, s.bytes);
	put(&row, Int32GetDatum((int32) s.sstables));
	if (s.has_ts)
	{
		put(&row, Int64GetDatum(s.ts_min));
		put(&row, Int64GetDatum(s.ts_max));
	}
	else
	{
		put_null(&row);
		put_null(&row);
	}
	Assert(row.n == STORE_COLUMNS);
	put_row(rsinfo, &row);
}

/*
 * flowdb_store_stats()
 *		A row for each store of the servers that the caller may see.
 */
Datum
flowdb_store_stats(PG_FUNCTION_ARGS)
{
	ListCell *lc;

	flowdb_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, our_servers())
	{
		FlowDb *db = visible_database(lfirst_oid(lc));
		Items items = {NULL, NULL};
		List *tables;

		if (db == NULL)
			continue;
		tables = tables_of(lfirst_oid(lc));
		flowdb_try(flow_each_store(db, keep_store, &items));
		for (StoreItem *item = items.stores; item != NULL; item = item->next)
			put_store((ReturnSetInfo *) fcinfo->resultinfo,
					  GetForeignServer(lfirst_oid(lc))->servername, db, item,
					  tables);
	}
	return (Datum) 0;
}

/* ----------------------------------------------------------------- SSTables */

static Datum
bytea_of(const uint8_t *data, uint32 len)
{
	bytea *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), data, len);
	return PointerGetDatum(result);
}

static const char *
store_name(const Items *items, uint32 id)
{
	const StoreItem *item = items->stores;

	while (item != NULL && item->id != id)
		item = item->next;
	return item ? item->name : NULL;
}

/* Keys are data, which pg_monitor alone does not let one see. */
static void
put_sst(ReturnSetInfo *rsinfo, const char *server, const Items *items,
		const FlowSstStats *s, bool with_keys)
{
	const char *store = store_name(items, s->store_id);
	Row row = {.n = 0};

	put_name(&row, server);
	if (store)
		put(&row, CStringGetTextDatum(store));
	else
		put_null(&row);
	put_count(&row, s->id);
	put(&row, Int32GetDatum((int32) s->level));
	put_count(&row, s->records);
	put_count(&row, s->tombstones);
	put_count(&row, s->range_tombstones);
	put_count(&row, s->file_bytes);
	put_count(&row, s->raw_bytes);
	put(&row, bytea_of(s->key_min, s->key_min_bytes));
	put(&row, bytea_of(s->key_max, s->key_max_bytes));
	put(&row, Int64GetDatum(s->ts_min));
	put(&row, Int64GetDatum(s->ts_max));
	put(&row, Int64GetDatum(s->expire_max));
	put(&row, Int32GetDatum((int32) s->unsettled));
	row.nulls[9] = row.nulls[10] = !with_keys;
	if (s->ts_min > s->ts_max) /* without records */
		row.nulls[11] = row.nulls[12] = true;
	Assert(row.n == SSTABLE_COLUMNS);
	put_row(rsinfo, &row);
}

/*
 * flowdb_sstable_stats()
 *		A row for each SSTable of the servers that the caller may see.
 */
Datum
flowdb_sstable_stats(PG_FUNCTION_ARGS)
{
	ListCell *lc;

	flowdb_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	foreach (lc, our_servers())
	{
		FlowDb *db = visible_database(lfirst_oid(lc));
		Items items = {NULL, NULL};

		if (db == NULL)
			continue;
		flowdb_try(flow_each_store(db, keep_store, &items));
		flowdb_try(flow_each_sst(db, keep_sst, &items));
		for (SstItem *item = items.ssts; item != NULL; item = item->next)
			put_sst((ReturnSetInfo *) fcinfo->resultinfo,
					GetForeignServer(lfirst_oid(lc))->servername, &items,
					&item->sst, may_use(lfirst_oid(lc)));
	}
	return (Datum) 0;
}
