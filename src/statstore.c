/*-------------------------------------------------------------------------
 * statstore.c
 *	  Functions callable from SQL that tell about stores and SSTables.
 *
 * Who may see a store: the server's owner and pg_monitor all of them; who has
 * USAGE on the server those that have a name; and everybody those that a
 * table shows which he may read.  Keys are data: only the server's owner and
 * readers of a table see them, times pg_monitor as well.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "fdw.h"
#include "statrow.h"

PG_FUNCTION_INFO_V1(flowdb_store_stats);
PG_FUNCTION_INFO_V1(flowdb_sstable_stats);

/* Columns of the functions, see flowdb_fdw--1.0.sql */
#define STORE_COLUMNS 11
#define SSTABLE_COLUMNS 15

/* ------------------------------------------------------------ what there is */

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

/* The tables that show a store: oids. */
static List *
tables_showing(List *tables, const char *store)
{
	List *relids = NIL;
	ListCell *lc;

	foreach (lc, tables)
	{
		const FlowdbShown *table = lfirst(lc);

		if (strcmp(table->store, store) == 0)
			relids = lappend_oid(relids, table->relid);
	}
	return relids;
}

static Datum
regclass_array(List *relids)
{
	Datum *oids = palloc(sizeof(Datum) * (list_length(relids) + 1));
	ListCell *lc;
	int n = 0;

	foreach (lc, relids)
		oids[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(
		construct_array(oids, n, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* -------------------------------------------------------------- who may see */

typedef struct StoreSight
{
	bool row;
	bool times;
	bool keys;
} StoreSight;

/* Of the tables, those that are let through to the store. */
static List *
entitled(const FlowdbStatServer *server, const char *name, List *relids)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, relids)
		if (flowdb_rights_may_show(lfirst_oid(lc), server->serverid, name))
			result = lappend_oid(result, lfirst_oid(lc));
	return result;
}

/* relids: the tables that show the store; name NULL: it is unknown. */
static StoreSight
sight_of_store(const FlowdbStatServer *server, const char *name, List *relids)
{
	bool owner = server->sight == FLOWDB_SEE_ALL;
	bool reader = !owner && flowdb_rights_read(entitled(server, name, relids));
	Oid table;
	StoreSight sight;

	sight.keys = owner || reader;
	sight.times = sight.keys || server->sight >= FLOWDB_SEE_MONITOR;
	sight.row =
		sight.times || (server->sight >= FLOWDB_SEE_USE && name != NULL &&
						!flowdb_rights_owned_name(name, &table));
	return sight;
}

/* ------------------------------------------------------------------- stores */

static void
put_store(ReturnSetInfo *rsinfo, const FlowdbStatServer *server,
		  const StoreItem *item, List *relids)
{
	StoreSight sight = sight_of_store(server, item->name, relids);
	FlowdbStatRow row;
	FlowStoreStats s;

	if (!sight.row)
		return;
	flow_store_stats(server->db, item->id, &s);
	flowdb_stat_begin(&row, rsinfo);
	flowdb_stat_name(&row, server->name);
	flowdb_stat_count(&row, item->id);
	flowdb_stat_text(&row, item->name);
	flowdb_stat_put(&row, regclass_array(relids));
	flowdb_stat_count(&row, s.records);
	flowdb_stat_count(&row, s.bytes);
	flowdb_stat_count(&row, s.file_bytes);
	flowdb_stat_int(&row, s.sstables);
	flowdb_stat_put(&row, Int64GetDatum(s.ts_min));
	flowdb_stat_put(&row, Int64GetDatum(s.ts_max));
	row.nulls[8] = row.nulls[9] = !s.has_ts || !sight.times;
	flowdb_stat_put(&row, BoolGetDatum(relids == NIL));
	Assert(row.n == STORE_COLUMNS);
	flowdb_stat_end(&row);
}

static void
put_stores(ReturnSetInfo *rsinfo, const FlowdbStatServer *server)
{
	List *tables = flowdb_catalog_tables(server->serverid);
	Items items = {NULL, NULL};

	if (server->db == NULL)
		return;
	flowdb_try(flow_each_store(server->db, keep_store, &items));
	for (StoreItem *item = items.stores; item != NULL; item = item->next)
		put_store(rsinfo, server, item, tables_showing(tables, item->name));
}

/*
 * flowdb_store_stats()
 *		A row for each store that the caller may see.
 */
Datum
flowdb_store_stats(PG_FUNCTION_ARGS)
{
	return flowdb_stat_rows(fcinfo, put_stores);
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

static void
put_sst(ReturnSetInfo *rsinfo, const FlowdbStatServer *server,
		const char *store, const FlowSstStats *s, const StoreSight *sight)
{
	FlowdbStatRow row;

	flowdb_stat_begin(&row, rsinfo);
	flowdb_stat_name(&row, server->name);
	if (store)
		flowdb_stat_text(&row, store);
	else
		flowdb_stat_null(&row);
	flowdb_stat_count(&row, s->id);
	flowdb_stat_int(&row, s->level);
	flowdb_stat_count(&row, s->records);
	flowdb_stat_count(&row, s->tombstones);
	flowdb_stat_count(&row, s->range_tombstones);
	flowdb_stat_count(&row, s->file_bytes);
	flowdb_stat_count(&row, s->raw_bytes);
	flowdb_stat_put(&row, bytea_of(s->key_min, s->key_min_bytes));
	flowdb_stat_put(&row, bytea_of(s->key_max, s->key_max_bytes));
	row.nulls[9] = row.nulls[10] = !sight->keys;
	flowdb_stat_put(&row, Int64GetDatum(s->ts_min));
	flowdb_stat_put(&row, Int64GetDatum(s->ts_max));
	/* without records there is none */
	row.nulls[11] = row.nulls[12] = s->ts_min > s->ts_max || !sight->times;
	flowdb_stat_put(&row, Int64GetDatum(s->expire_max));
	row.nulls[13] = !sight->times;
	flowdb_stat_int(&row, s->unsettled);
	Assert(row.n == SSTABLE_COLUMNS);
	flowdb_stat_end(&row);
}

static void
put_ssts(ReturnSetInfo *rsinfo, const FlowdbStatServer *server)
{
	List *tables = flowdb_catalog_tables(server->serverid);
	Items items = {NULL, NULL};

	if (server->db == NULL)
		return;
	flowdb_try(flow_each_store(server->db, keep_store, &items));
	flowdb_try(flow_each_sst(server->db, keep_sst, &items));
	for (SstItem *item = items.ssts; item != NULL; item = item->next)
	{
		const char *store = store_name(&items, item->sst.store_id);
		StoreSight sight = sight_of_store(
			server, store, store ? tables_showing(tables, store) : NIL);

		if (sight.row)
			put_sst(rsinfo, server, store, &item->sst, &sight);
	}
}

/*
 * flowdb_sstable_stats()
 *		A row for each SSTable of the stores that the caller may see.
 */
Datum
flowdb_sstable_stats(PG_FUNCTION_ARGS)
{
	return flowdb_stat_rows(fcinfo, put_ssts);
}
