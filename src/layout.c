/*-------------------------------------------------------------------------
 * layout.c
 *	  The layout of a relation's rows in its store: found, made, kept.
 *
 * Descriptions are read from the engine, matched (match.c), and what comes of
 * it is cached by relation until the relation or any definition of the
 * database changes.  What depends on a transaction under way is not cached.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "schema.h"

/* ------------------------------------------------------------ find, define */

static void
unreadable(const char *store)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_CORRUPTED),
		 errmsg("the description of FlowDB store \"%s\" cannot be read", store),
		 errhint("Get the rows from a standby, or from a backup of the whole "
				 "cluster that is recovered elsewhere.")));
}

uint32
flowdb_store_id(FlowDb *db, const char *store)
{
	uint32_t id = 0;

	flowdb_try(flow_store_find(db, store, &id, NULL, NULL));
	return id;
}

/* A store's description as it stands, palloc'd; NULL: there is none. */
static uint8 *
read_blob(FlowDb *db, const char *store, uint32 *store_idp, Size *bytesp)
{
	FlowEnv *env = flowdb_env();
	FlowStatus st;
	void *blob;
	size_t blob_bytes;
	uint8 *copy;

	while ((st = flow_store_find(db, store, store_idp, &blob, &blob_bytes)) ==
		   FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	if (st == FLOW_NOTFOUND)
		return NULL;
	flowdb_report(st);

	copy = palloc_extended(Max(blob_bytes, 1), MCXT_ALLOC_NO_OOM);
	if (copy && blob_bytes > 0)
		memcpy(copy, blob, blob_bytes);
	env->free(env, blob);
	if (!copy)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Failed on request of size %zu.",
								  (Size) blob_bytes)));
	*bytesp = blob_bytes;
	return copy;
}

bool
flowdb_layout_describe(FlowDb *db, const char *store, uint32 *store_idp,
					   FlowdbDescription *desc)
{
	Size bytes;
	uint8 *blob = read_blob(db, store, store_idp, &bytes);

	if (blob == NULL)
		return false;
	if (flowdb_describe_is_newer(blob, bytes))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("FlowDB store \"%s\" was written by a newer version of "
						"flowdb_fdw",
						store),
				 errhint("Use the version that wrote it, or a later one.")));
	if (!flowdb_describe_decode(blob, bytes, desc))
		unreadable(store);
	pfree(blob);
	return flowdb_describe_resolve(desc);
}

static uint32
define(FlowDb *db, const char *store, const FlowdbDescription *desc)
{
	StringInfoData blob;
	uint32 id;

	initStringInfo(&blob);
	flowdb_describe_encode(desc, &blob);
	if (blob.len > (int) FLOW_MAX_BLOB ||
		list_length(desc->columns) > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("FlowDB store \"%s\" has too many columns", store),
				 errhint("Columns that were dropped count too: copy "
						 "the rows into a new table.")));
	id = flowdb_store_define(db, store, blob.data, (Size) blob.len);
	pfree(blob.data);
	return id;
}

/*
 * Two backends that add columns at the same time must not give out one
 * number twice: reading the old definition and writing the new one is under
 * a lock, which the end of the transaction releases if anything fails.
 */
static void
lock_definitions(const FlowdbTable *table)
{
	LockDatabaseObject(ForeignServerRelationId, table->serverid,
					   FLOWDB_LOCK_DEFINE, ExclusiveLock);
}

static void
unlock_definitions(const FlowdbTable *table)
{
	UnlockDatabaseObject(ForeignServerRelationId, table->serverid,
						 FLOWDB_LOCK_DEFINE, ExclusiveLock);
}

/* ------------------------------------------------------------- the cache */

static FlowdbLayout *
copy_layout(const FlowdbLayout *layout, MemoryContext cxt)
{
	return memcpy(MemoryContextAlloc(cxt, layout->bytes), layout,
				  layout->bytes);
}

static FlowdbLayout *
cached_layout(const FlowdbTable *table, uint64 version, bool need_complete)
{
	FlowdbCached *entry = flowdb_cache_find(table->relid);

	if (!entry || !entry->layout || entry->layout_version != version ||
		(need_complete && !entry->layout_complete))
		return NULL;
	return copy_layout(entry->layout, CurrentMemoryContext);
}

static void
keep_layout(const FlowdbTable *table, const FlowdbLayout *layout, bool complete,
			uint64 version, uint64 moment)
{
	FlowdbCached *entry = flowdb_cache_find(table->relid);
	FlowdbLayout *kept;

	if (!entry || moment != flowdb_cache_moment())
		return;
	kept = copy_layout(layout, CacheMemoryContext);
	if (entry->layout)
		pfree(entry->layout);
	entry->layout = kept;
	entry->layout_version = version;
	entry->layout_complete = complete;
}

/* ------------------------------------------------------------ read, write */

FlowdbLayout *
flowdb_layout_read(Relation rel, const FlowdbTable *table, FlowDb *db)
{
	uint64 version = flow_store_version(db);
	uint64 moment = flowdb_cache_moment();
	FlowdbLayout *layout = cached_layout(table, version, false);
	FlowdbDescription desc;
	uint32 store_id = 0;
	bool exists;
	bool pending;
	bool changed;
	bool complete;

	if (layout)
		return layout;
	exists = flowdb_layout_describe(db, table->store, &store_id, &desc);
	pending = exists && desc.pending;
	if (pending)
		exists = false; /* nothing in it is for us yet */
	if (!exists)
		flowdb_match_begin(rel, table, &desc);
	layout = flowdb_match(rel, table, &desc, false, &changed, &complete);
	layout->exists = exists;
	layout->store_id = store_id;
	if (!desc.unsettled && !pending)
		keep_layout(table, layout, complete && exists, version, moment);
	return layout;
}

/* With the definitions locked: the layout, and the definition if it had to
 * change. */
static FlowdbLayout *
write_locked(Relation rel, const FlowdbTable *table, FlowDb *db,
			 bool *unsettledp)
{
	FlowdbDescription desc;
	FlowdbLayout *layout;
	uint32 store_id = 0;
	bool changed;
	bool complete;
	bool begin = !flowdb_layout_describe(db, table->store, &store_id, &desc);

	if (begin)
		flowdb_match_begin(rel, table, &desc);
	layout = flowdb_match(rel, table, &desc, true, &changed, &complete);
	if (desc.pending)
	{
		/* somebody else's new store, which is ours as well now */
		desc.begin_xid = 0;
		changed = true;
	}
	if (begin || changed)
		store_id = define(db, table->store, &desc);
	if (begin)
		flowdb_store_begun(rel, table, db, store_id);
	layout->exists = true;
	layout->store_id = store_id;
	*unsettledp = desc.unsettled || desc.begin_xid != 0;
	for (int i = 0; i < list_length(desc.columns); i++)
		*unsettledp |=
			((FlowdbStoreColumn *) list_nth(desc.columns, i))->add_xid != 0;
	if (begin || table->owned)
		flowdb_options_store(table, db, store_id);
	return layout;
}

FlowdbLayout *
flowdb_layout_write(Relation rel, const FlowdbTable *table, FlowDb *db)
{
	uint64 version = flow_store_version(db);
	uint64 moment = flowdb_cache_moment();
	FlowdbLayout *layout = cached_layout(table, version, true);
	bool unsettled;

	if (layout)
		return layout;
	flowdb_options_heal(table->serverid, db);
	lock_definitions(table);
	layout = write_locked(rel, table, db, &unsettled);
	version = flow_store_version(db);
	unlock_definitions(table);
	if (!unsettled)
		keep_layout(table, layout, true, version, moment);
	return layout;
}

/* ------------------------------------------------------------------- ALTER */

static bool
rename_column(const FlowdbTable *table, FlowdbDescription *desc,
			  const FlowdbRenamed *renamed)
{
	int number = flowdb_match_name(desc, renamed->from);
	FlowdbStoreColumn *col;
	FlowdbRename *rename;

	if (number < 0)
		return false; /* not written yet, or renamed through another table */
	col = list_nth(desc->columns, number);
	if (flowdb_match_name(desc, renamed->to) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("column \"%s\" of FlowDB store \"%s\" already exists",
						renamed->to, table->store),
				 errhint("The store has columns that this table does not "
						 "show.")));
	if (col->renaming || col->pending)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("column \"%s\" of FlowDB store \"%s\" is being changed "
						"by another transaction",
						renamed->from, table->store)));
	rename = palloc(sizeof(*rename));
	rename->xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	rename->old_name = col->name;
	col->renames = lappend(col->renames, rename);
	col->shown = col->name = pstrdup(renamed->to);
	return true;
}

void
flowdb_layout_alter(Relation rel, const FlowdbTable *table, FlowDb *db,
					List *added, List *renamed)
{
	FlowdbDescription desc;
	uint32 store_id;
	bool changed = false;
	ListCell *lc;

	lock_definitions(table);
	if (flowdb_layout_describe(db, table->store, &store_id, &desc) &&
		!desc.pending)
	{
		foreach (lc, renamed)
			changed |= rename_column(table, &desc, lfirst(lc));
		foreach (lc, added)
		{
			flowdb_match_added(rel, table, &desc, lfirst(lc));
			changed = true;
		}
		if (changed)
			(void) define(db, table->store, &desc);
	}
	unlock_definitions(table);
}
