/*-------------------------------------------------------------------------
 * database.c
 *	  From a foreign server to the engine's handle on its database.
 *
 * A database is loaded into the shared region by the first process that
 * needs it, under registry_lock; every process then attaches a handle of its
 * own, which lives until it exits.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "flowdb_identity.h"
#include "rights.h"

/* This process's handles, by slot. */
typedef struct Handle
{
	FlowDb *db;
	uint32 generation; /* of the slot when it was attached */
	Oid dboid;
	Oid serverid;
	bool merging; /* a merge of this transaction is under way */
} Handle;

static Handle handles[FLOWDB_MAX_DATABASES];
static bool any_merging;

static void
detach_all(int code, Datum arg)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (handles[i].db != NULL)
			flow_detach(handles[i].db);
		handles[i].db = NULL;
	}
}

static void
break_slot(FlowdbSlot *slot, const char *reason)
{
	slot->state = FLOWDB_DB_BROKEN;
	strlcpy(slot->reason, reason, sizeof(slot->reason));
	ereport(LOG, (errmsg("FlowDB database of server %u in database %u is "
						 "broken: %s",
						 slot->entry.serverid, slot->entry.dboid, reason)));
}

/*
 * A position beyond the end of the WAL means that pg_resetwal or a foreign
 * copy took the log away: new records would seem older than stored ones.
 */
static bool
is_ahead_of_wal(FlowDbShared *shared, const char *path)
{
	FlowDb *db;
	FlowStats stats;

	if (RecoveryInProgress())
		return false;
	flowdb_report(flow_attach(flowdb_env(), shared, path, &db));
	flow_stats(db, &stats);
	flow_detach(db);
	return stats.flushed_pos > GetXLogInsertRecPtr();
}

/* Load a CLOSED slot.  registry_lock is held exclusively. */
static void
load_slot(FlowdbSlot *slot)
{
	FlowOptions options = FLOW_OPTIONS_DEFAULT;
	FlowDbShared *shared;
	char path[MAXPGPATH];
	char reason[256];
	FlowStatus st;

	flowdb_registry_path(&slot->entry, path);
	if (!flowdb_identity_matches(path, &slot->entry, reason, sizeof(reason)))
	{
		break_slot(slot, reason);
		return;
	}
	flowdb_settings_options(&options);
	options.log_start = GetRedoRecPtr();

	/*
	 * In recovery, a database that nobody has loaded has no record in what was
	 * replayed, else the startup process had met it: redo brings whatever the
	 * log has from log_start on.  A restored copy may list files that the
	 * backup could not see, made of others that it has (S12).
	 */
	options.will_redo = RecoveryInProgress();
	st = flow_load(flowdb_env(), path, &options, &shared);
	if (st == FLOW_CORRUPT || st == FLOW_MISMATCH || st == FLOW_NOTFOUND)
	{
		break_slot(slot, flow_last_error()->message);
		return;
	}
	flowdb_report(st);
	if (is_ahead_of_wal(shared, path))
	{
		flow_unload(flowdb_env(), shared);
		break_slot(slot, "its files are newer than the server's write-ahead "
						 "log, which was reset or belongs elsewhere");
		return;
	}
	slot->shared = shared;
	slot->state = FLOWDB_DB_OPEN;
}

/* Does the slot have a database in memory?  registry_lock is held. */
static bool
is_loaded(const FlowdbSlot *slot)
{
	return slot->shared != NULL &&
		   (slot->state == FLOWDB_DB_OPEN || slot->state == FLOWDB_DB_BROKEN);
}

static void
attach(const FlowdbSlot *slot, Handle *handle)
{
	static bool exit_hook = false;
	char path[MAXPGPATH];

	/*
	 * Not before_shmem_exit: the transaction is aborted by such a callback,
	 * and its scans are closed then, which needs the handle.
	 */
	if (!exit_hook)
		on_shmem_exit(detach_all, 0);
	exit_hook = true;
	flowdb_registry_path(&slot->entry, path);
	flowdb_report(flow_attach(flowdb_env(), slot->shared, path, &handle->db));
	handle->generation = slot->generation;
	handle->dboid = slot->entry.dboid;
	handle->serverid = slot->entry.serverid;
	handle->merging = false;
}

/*
 * A handle of a database that is gone is given up when its slot is used
 * again.  No scan and no buffer of this process can need it then: their
 * transaction holds locks that keep the server from being dropped.
 */
FlowDb *
flowdb_slot_handle(int i)
{
	FlowdbSlot *slot = &flowdb_shared->slots[i];
	Handle *handle = &handles[i];
	FlowDb *db = NULL;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	if (slot->state == FLOWDB_DB_CLOSED)
	{
		LWLockRelease(&flowdb_shared->registry_lock);
		LWLockAcquire(&flowdb_shared->registry_lock, LW_EXCLUSIVE);
		if (slot->state == FLOWDB_DB_CLOSED)
			load_slot(slot);
	}
	if (is_loaded(slot))
	{
		if (handle->db != NULL && handle->generation != slot->generation)
		{
			flow_detach(handle->db);
			handle->db = NULL;
		}
		if (handle->db == NULL)
			attach(slot, handle);
		db = handle->db;
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return db;
}

bool
flowdb_slot_try_load(int i)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool result = true;

	PG_TRY();
	{
		(void) flowdb_slot_handle(i);
	}
	PG_CATCH();
	{
		LWLockReleaseAll();
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		EmitErrorReport();
		FlushErrorState();
		RESUME_INTERRUPTS();
		result = false;
	}
	PG_END_TRY();
	return result;
}

/* Of a worker, which has no scan: gives up at once, and its merge with it. */
void
flowdb_slot_forget(int i)
{
	flow_detach(handles[i].db);
	handles[i].db = NULL;
}

bool
flowdb_slot_is_loaded(int i)
{
	bool result;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	result = is_loaded(&flowdb_shared->slots[i]);
	LWLockRelease(&flowdb_shared->registry_lock);
	return result;
}

bool
flowdb_slot_is_broken(int i)
{
	bool result;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	result = flowdb_shared->slots[i].state == FLOWDB_DB_BROKEN;
	LWLockRelease(&flowdb_shared->registry_lock);
	return result;
}

void
flowdb_handle_owner(FlowDb *db, Oid *dboid, Oid *serverid)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (handles[i].db == db)
		{
			*dboid = handles[i].dboid;
			*serverid = handles[i].serverid;
			return;
		}
	}
	elog(PANIC, "FlowDB handle %p is not attached", db);
}

/* Only the database that the caller's handle is on: the slot may have
 * changed hands since, or be on its way out. */
void
flowdb_slot_break(int i)
{
	FlowdbSlot *slot = &flowdb_shared->slots[i];

	LWLockAcquire(&flowdb_shared->registry_lock, LW_EXCLUSIVE);
	if (slot->state == FLOWDB_DB_OPEN &&
		slot->generation == handles[i].generation)
		break_slot(slot, flow_last_error()->message);
	LWLockRelease(&flowdb_shared->registry_lock);
}

int
flowdb_loaded_slots(int slots[FLOWDB_MAX_DATABASES])
{
	int n = 0;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (is_loaded(&flowdb_shared->slots[i]))
			slots[n++] = i;
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return n;
}

void
flowdb_handle_merging(FlowDb *db)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
		if (handles[i].db == db)
			handles[i].merging = any_merging = true;
}

void
flowdb_maintenance_ended(void)
{
	if (likely(!any_merging))
		return;
	any_merging = false;
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (handles[i].db != NULL && handles[i].merging)
			flow_maintenance_cancel(handles[i].db);
		handles[i].merging = false;
	}
}

FlowDb *
flowdb_database(Oid serverid)
{
	FlowDb *db;
	int slot;

	flowdb_require_preload();
	slot = flowdb_registry_find(MyDatabaseId, serverid);
	if (slot < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" has no FlowDB database",
						GetForeignServer(serverid)->servername),
				 errdetail("A database is made by CREATE SERVER; a copy of a "
						   "server's definition, as CREATE DATABASE ... "
						   "TEMPLATE makes it, does not share it."),
				 errhint("Drop the server and create it again; after "
						 "pg_upgrade, restore its tables from a dump.")));
	db = flowdb_slot_handle(slot);
	if (db == NULL || flowdb_slot_is_broken(slot))
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("FlowDB database of server \"%s\" is broken",
					GetForeignServer(serverid)->servername),
			 flowdb_rights_server(serverid) >= FLOWDB_SEE_MONITOR
				 ? errdetail_internal("%s", flowdb_shared->slots[slot].reason)
				 : errdetail("The server's log tells why."),
			 errhint("Restore the server's data directory from a backup, "
					 "or drop the foreign server.")));
	return db;
}
