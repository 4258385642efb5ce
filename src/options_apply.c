/*-------------------------------------------------------------------------
 * options_apply.c
 *	  From the options of servers and tables to the engine's settings.
 *
 * Options are catalog rows; workers, redo and standbys read no catalogs
 * (S11).  So the engine has a copy, logged like a store's definition.  It is
 * made at the commit of the statement, under a lock that is kept to the end
 * of the transaction, so that nobody compares the copy with a catalog which
 * is not committed yet.  Where both still differ (the server died in between,
 * or the commit failed), the next writer brings them together.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "fdw.h"
#include "flowdb_shmem.h"

/* What was compared; lives until the process ends. */
typedef struct Compared
{
	Oid serverid; /* hash key */
	bool valid;
	uint64 version; /* flow_store_version then: a new copy changes it */
} Compared;

static HTAB *compared = NULL;

/* Of this transaction, in TopTransactionContext. */
static List *noted_servers = NIL;
static List *noted_tables = NIL;

/* ------------------------------------------------------------------ compare */

static void
server_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS status;
	Compared *entry;

	hash_seq_init(&status, compared);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->valid = false;
}

static Compared *
find_compared(Oid serverid)
{
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Compared)};
	Compared *entry;
	bool found;

	if (!compared)
	{
		compared =
			hash_create("flowdb servers", 16, &ctl, HASH_ELEM | HASH_BLOBS);
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_callback,
									  (Datum) 0);
	}
	entry = hash_search(compared, &serverid, HASH_ENTER, &found);
	if (!found)
		entry->valid = false;
	return entry;
}

/* Do catalog and engine agree?  *settings: what the catalog says. */
static bool
agree(Oid serverid, FlowDb *db, FlowSettings *settings)
{
	FlowSettings kept;

	flowdb_option_server(GetForeignServer(serverid)->options, settings);
	flow_settings(db, &kept);
	return memcmp(settings, &kept, sizeof(kept)) == 0;
}

void
flowdb_options_heal(Oid serverid, FlowDb *db)
{
	Compared *entry = find_compared(serverid);
	uint64 version = flow_store_version(db);
	FlowSettings settings;

	if (entry->valid && entry->version == version)
		return;
	if (flowdb_catalog_uncommitted(FOREIGNSERVEROID, serverid))
		return; /* its commit does it */
	entry->valid = true;
	entry->version = version;
	if (agree(serverid, db, &settings))
		return;
	LockDatabaseObject(ForeignServerRelationId, serverid, FLOWDB_LOCK_DEFINE,
					   ExclusiveLock);
	AcceptInvalidationMessages();
	if (!agree(serverid, db, &settings))
		flowdb_configure(db, &settings);
	UnlockDatabaseObject(ForeignServerRelationId, serverid, FLOWDB_LOCK_DEFINE,
						 ExclusiveLock);
}

void
flowdb_options_store(const FlowdbTable *table, FlowDb *db, uint32 store_id)
{
	int policy;

	(void) flow_store_policy(db, store_id, &policy);
	if (policy != table->merge_policy)
		flowdb_configure_store(db, store_id, table->merge_policy);
}

/* ------------------------------------------------------------ at the commit */

void
flowdb_options_note_server(Oid serverid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	noted_servers = list_append_unique_oid(noted_servers, serverid);
	MemoryContextSwitchTo(old);
}

void
flowdb_options_note_table(Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	noted_tables = list_append_unique_oid(noted_tables, relid);
	MemoryContextSwitchTo(old);
}

/* NULL: it is gone, or cannot be written to; what is left is healed later. */
static FlowDb *
usable_database(Oid serverid)
{
	int slot;

	if (!SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(serverid)) ||
		!flowdb_is_ours(serverid))
		return NULL;
	slot = flowdb_registry_find(MyDatabaseId, serverid);
	if (slot < 0 || flowdb_slot_handle(slot) == NULL ||
		flowdb_slot_is_broken(slot))
		return NULL;
	return flowdb_database(serverid);
}

static void
apply_server(Oid serverid)
{
	FlowDb *db = usable_database(serverid);
	FlowSettings settings;

	if (db == NULL)
		return;
	/* to the end of the transaction: see above */
	LockDatabaseObject(ForeignServerRelationId, serverid, FLOWDB_LOCK_DEFINE,
					   ExclusiveLock);
	if (!agree(serverid, db, &settings))
		flowdb_configure(db, &settings);
}

static void
apply_table(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);
	FlowdbTable *table;
	FlowDb *db;
	uint32 store_id;

	if (!rel)
		return;
	if (flowdb_owns_relation(relid))
	{
		table = flowdb_table_try(rel);
		db = table ? usable_database(table->serverid) : NULL;
		if (db &&
			flow_store_find(db, table->store, &store_id, NULL, NULL) == FLOW_OK)
			flowdb_options_store(table, db, store_id);
	}
	relation_close(rel, NoLock);
}

static void
xact_callback(XactEvent event, void *arg)
{
	ListCell *lc;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			foreach (lc, noted_servers)
				apply_server(lfirst_oid(lc));
			foreach (lc, noted_tables)
				apply_table(lfirst_oid(lc));
			if (noted_servers != NIL)
				flowdb_debug_point("options-told");
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (noted_servers != NIL || noted_tables != NIL)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed "
								"options of FlowDB servers or tables")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			noted_servers = noted_tables = NIL;
			break;
		default:
			break;
	}
}

/* Registered before those of xact.c, so called after them: what they find
 * wrong at PRE_COMMIT ends the transaction before the engine is told. */
void
flowdb_options_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
}
