/*-------------------------------------------------------------------------
 * schema.c
 *	  The roles of relations' columns by relation.
 *
 * They are checked right after CREATE and ALTER, as far as they can be then,
 * and in full at first use; the result is cached until the relation's
 * definition changes.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "flowdb_shmem.h"
#include "rights.h"
#include "schema.h"

static HTAB *cache = NULL;
static uint64 invalidations = 0; /* counts the callbacks */

/* The rights of an owner change without any word to a cache of ours. */
static void
check_rights(Relation rel, const FlowdbTable *table)
{
	if (!table->owned)
		flowdb_rights_check_store(RelationGetRelid(rel), table->serverid,
								  table->store);
}

void
flowdb_refuse_serializable(void)
{
	if (IsolationIsSerializable())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("FlowDB tables cannot be used at isolation level "
						"SERIALIZABLE"),
				 errhint("Use REPEATABLE READ.")));
}

/* ------------------------------------------------------------------- cache */

static void
forget(FlowdbCached *entry)
{
	if (entry->table)
		pfree(entry->table);
	if (entry->layout)
		pfree(entry->layout);
	entry->table = NULL;
	entry->layout = NULL;
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS status;
	FlowdbCached *entry;

	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		forget(entry);
		hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	}
}

static void
relcache_callback(Datum arg, Oid relid)
{
	FlowdbCached *entry;

	invalidations++;
	if (relid != InvalidOid)
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry)
		{
			forget(entry);
			hash_search(cache, &relid, HASH_REMOVE, NULL);
		}
	}
	else
		forget_all();
}

/* A table has its TTL from its server. */
static void
server_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
	forget_all();
}

static void
make_cache(void)
{
	HASHCTL ctl = {.keysize = sizeof(Oid),
				   .entrysize = sizeof(FlowdbCached),
				   .hcxt = CacheMemoryContext};

	cache = hash_create("flowdb tables", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_callback, (Datum) 0);
}

uint64
flowdb_cache_moment(void)
{
	return invalidations;
}

FlowdbCached *
flowdb_cache_find(Oid relid)
{
	if (!cache)
		return NULL;
	return hash_search(cache, &relid, HASH_FIND, NULL);
}

static Size
table_size(const FlowdbTable *table)
{
	return offsetof(FlowdbTable, keys) + sizeof(FlowdbKeyColumn) * table->nkeys;
}

FlowdbTable *
flowdb_table_get(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	FlowdbCached *entry;
	FlowdbTable *table;
	FlowdbTable *kept;
	uint64 moment;
	Size size;
	bool found;

	if (!cache)
		make_cache();
	entry = flowdb_cache_find(relid);
	if (entry)
	{
		size = table_size(entry->table);
		table = memcpy(palloc(size), entry->table, size);
		check_rights(rel, table);
		return table;
	}

	moment = invalidations;
	table = flowdb_roles_resolve(rel, ERROR);
	if (moment != invalidations)
		return table; /* good for the caller, who holds a lock */

	size = table_size(table);
	kept = MemoryContextAlloc(CacheMemoryContext, size);
	memcpy(kept, table, size);
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	entry->table = kept;
	entry->layout = NULL;
	return table;
}

/* ------------------------------------------------------------------- looks */

FlowdbTable *
flowdb_table_try(Relation rel)
{
	return flowdb_roles_resolve(rel, DEBUG5);
}

bool
flowdb_is_ours(Oid serverid)
{
	return flowdb_is_our_wrapper(GetForeignServer(serverid)->fdwid);
}

bool
flowdb_owns_relation(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE &&
		   flowdb_is_ours(GetForeignServerIdByRelId(relid));
}

/* The contract is at the declaration. */
void
flowdb_check_table(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);

	(void) flowdb_roles_resolve(rel, NOTICE);
	table_close(rel, NoLock);
}
