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

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "../engine/common.h"
#include "aside.h"
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

/* st: CORRUPT; MISMATCH for what a newer version wrote; NOTFOUND for files
 * that cannot be reached, which may be over some time. */
static void
break_slot(FlowdbSlot *slot, FlowStatus st, const char *reason)
{
	/* one that may heal is tried again and again: say it once */
	bool known = slot->state == FLOWDB_DB_BROKEN &&
				 strncmp(slot->reason, reason, sizeof(slot->reason) - 1) == 0;

	slot->state = FLOWDB_DB_BROKEN;
	slot->newer = st == FLOW_MISMATCH;
	slot->may_heal = st == FLOW_NOTFOUND;
	slot->sqlstate =
		slot->newer ? ERRCODE_FEATURE_NOT_SUPPORTED : ERRCODE_DATA_CORRUPTED;
	strlcpy(slot->reason, reason, sizeof(slot->reason));
	if (!known)
		ereport(LOG, (errmsg("FlowDB database of server %u in database %u is "
							 "broken: %s",
							 slot->entry.serverid, slot->entry.dboid, reason)));
}

/*
 * A position beyond the end of the WAL means that pg_resetwal or a foreign
 * copy took the log away: new records would seem older than stored ones.
 */
static bool
is_ahead_of_wal(FlowDb *db)
{
	FlowStats stats;

	if (RecoveryInProgress())
		return false;
	flow_stats(db, &stats);
	return stats.flushed_pos > GetXLogInsertRecPtr();
}

/* What a load has put into memory is fit for use, with what was kept for it;
 * false: it is not, and was taken out again. */
static bool
finish_load(FlowdbSlot *slot, FlowDbShared *shared, const char *path)
{
	FlowDb *volatile db = NULL;
	FlowStatus st;

	PG_TRY();
	{
		FlowDb *attached;

		flowdb_report(flow_attach(flowdb_env(), shared, path, &attached));
		db = attached;
		st = is_ahead_of_wal(attached)
				 ? flowi_fail(FLOW_CORRUPT,
							  "its files are newer than the server's "
							  "write-ahead log, which was reset or belongs "
							  "elsewhere")
				 : flowdb_aside_apply(&slot->entry, attached);
		if (st != FLOW_CORRUPT && st != FLOW_MISMATCH)
			flowdb_report(st);
		flow_detach(attached);
	}
	PG_CATCH();
	{
		if (db != NULL)
			flow_detach(db);
		flow_unload(flowdb_env(), shared);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (st == FLOW_OK)
		return true;
	break_slot(slot, st, flow_last_error()->message);
	flow_unload(flowdb_env(), shared);
	return false;
}

/* Load a slot that has nothing in memory; throws when its files cannot be
 * read now, or memory does not suffice. */
static void
load_files(FlowdbSlot *slot)
{
	FlowOptions options = FLOW_OPTIONS_DEFAULT;
	FlowDbShared *shared;
	XLogRecPtr kept;
	char path[MAXPGPATH];
	char reason[256];
	FlowStatus st;

	flowdb_registry_path(&slot->entry, path);
	st = flowdb_identity_matches(path, &slot->entry, reason, sizeof(reason));
	if (st != FLOW_OK)
	{
		break_slot(slot, st, reason);
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
	if (flowdb_aside_start(&slot->entry, &kept))
	{
		options.log_start = Min(options.log_start, kept);
		options.will_redo = true;
	}
	st = flow_load(flowdb_env(), path, &options, &shared);
	if (st == FLOW_CORRUPT || st == FLOW_MISMATCH || st == FLOW_NOTFOUND)
	{
		break_slot(slot, st, flow_last_error()->message);
		return;
	}
	flowdb_report(st);
	if (!finish_load(slot, shared, path))
		return;
	slot->shared = shared;
	slot->state = FLOWDB_DB_OPEN;
	slot->may_heal = false;
	slot->reason[0] = '\0';
}

/* Is it a matter of space or memory?  Then recovery stops (S7). */
static bool
wants_room(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) ==
		   ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES);
}

/*
 * Load a slot that has nothing in memory.  registry_lock is held exclusively.
 * One whose files cannot be reached is broken until they can; in recovery it
 * must not keep the server from starting: its records are kept for later
 * (aside.c).
 */
static void
load_slot(FlowdbSlot *slot)
{
	ErrorData *volatile edata = NULL;
	FlowdbNoThrow guard;

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		load_files(slot);
	}
	PG_CATCH();
	{
		flowdb_nothrow_unlock(&guard);
		MemoryContextSwitchTo(guard.context);
		edata = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	if (edata == NULL)
		return;
	if (wants_room(edata->sqlerrcode))
	{
		strlcpy(slot->reason, edata->message, sizeof(slot->reason));
		ReThrowError(edata);
	}
	break_slot(slot, FLOW_NOTFOUND, edata->message);
	slot->sqlstate = edata->sqlerrcode;
	FreeErrorData(edata);
}

/* Has it to be loaded, for the first time or again?  registry_lock is held. */
static bool
wants_load(const FlowdbSlot *slot)
{
	return slot->state == FLOWDB_DB_CLOSED ||
		   (slot->state == FLOWDB_DB_BROKEN && slot->may_heal &&
			!RecoveryInProgress());
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
	if (wants_load(slot))
	{
		LWLockRelease(&flowdb_shared->registry_lock);
		LWLockAcquire(&flowdb_shared->registry_lock, LW_EXCLUSIVE);
		if (wants_load(slot))
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

static void
get_handle(void *slot)
{
	(void) flowdb_slot_handle(*(int *) slot);
}

bool
flowdb_slot_try_load(int i)
{
	return flowdb_in_peace(get_handle, &i, &flowdb_shared->warned[i].load_at);
}

/* Of a worker, which has no scan: gives up at once, and its merge with it. */
void
flowdb_slot_forget(int i)
{
	flow_detach(handles[i].db);
	handles[i].db = NULL;
}

bool
flowdb_slot_tidy(int i)
{
	const FlowdbSlot *slot = &flowdb_shared->slots[i];
	bool gone;

	if (handles[i].db == NULL)
		return false;
	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	gone = !is_loaded(slot) || slot->generation != handles[i].generation;
	LWLockRelease(&flowdb_shared->registry_lock);
	if (gone)
		flowdb_slot_forget(i);
	return gone;
}

FlowDbShared *
flowdb_slot_loaded(const FlowdbSlot *slot)
{
	return is_loaded(slot) ? slot->shared : NULL;
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
flowdb_slot_may_heal(int i)
{
	bool result;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	result = flowdb_shared->slots[i].state == FLOWDB_DB_BROKEN &&
			 flowdb_shared->slots[i].may_heal;
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

bool
flowdb_slot_is_newer(int i)
{
	const FlowdbSlot *slot = &flowdb_shared->slots[i];
	bool result;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	result = slot->state == FLOWDB_DB_BROKEN && slot->newer;
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
		break_slot(slot, flow_last_error()->status, flow_last_error()->message);
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

static void
refuse_broken(Oid serverid, int slot)
{
	const char *name = GetForeignServer(serverid)->servername;
	bool newer = flowdb_slot_is_newer(slot);
	bool may_heal = flowdb_slot_may_heal(slot);

	ereport(ERROR,
			(errcode(flowdb_shared->slots[slot].sqlstate),
			 newer ? errmsg("FlowDB database of server \"%s\" was written by a "
							"newer version of flowdb_fdw",
							name)
				   : errmsg("FlowDB database of server \"%s\" is broken", name),
			 flowdb_rights_server(serverid) >= FLOWDB_SEE_MONITOR
				 ? errdetail_internal("%s", flowdb_shared->slots[slot].reason)
				 : errdetail("The server's log tells why."),
			 newer ? errhint("Use the version that wrote it, or a later one.")
			 : may_heal && RecoveryInProgress()
				 ? errhint("Mount its file system, or let the operating system "
						   "user that runs the server read it; then restart "
						   "the standby.")
			 : may_heal
				 ? errhint("Mount its file system, or let the operating system "
						   "user that runs the server read it; the database "
						   "is then used again by itself.")
				 : errhint("Get the rows from a standby, or from a backup of "
						   "the whole cluster that is recovered elsewhere; "
						   "then drop the foreign server and create it "
						   "again.")));
}

/*
 * A server's definition may be older than its database
 * (flowdb_create_database): one whose transaction has not ended is there for
 * that transaction only, and one that was rolled back, whose files are still
 * to be removed, for nobody.
 */
static bool
is_there(int slot)
{
	FlowTxnState state = FLOW_TXN_UNKNOWN;
	uint64 xid;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	xid = flowdb_shared->slots[slot].entry.create_xid;
	LWLockRelease(&flowdb_shared->registry_lock);
	if (likely(xid == 0) ||
		TransactionIdIsCurrentTransactionId((TransactionId) xid))
		return true;
	flowdb_report(flowdb_txn_outcome(flowdb_env(), xid, &state));
	return state == FLOW_TXN_COMMITTED || state == FLOW_TXN_SETTLED;
}

FlowDb *
flowdb_database(Oid serverid)
{
	FlowDb *db;
	int slot;

	flowdb_require_preload();
	slot = flowdb_registry_find(MyDatabaseId, serverid);
	if (slot < 0 || !is_there(slot))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" has no FlowDB database",
						GetForeignServer(serverid)->servername),
				 errdetail("A database is made by CREATE SERVER; a copy of a "
						   "server's definition, as CREATE DATABASE ... "
						   "TEMPLATE makes it, does not share it."),
				 errhint("Make an empty one by flowdb_create_database(); after "
						 "pg_upgrade, restore the rows from a dump.")));
	db = flowdb_slot_handle(slot);
	if (db == NULL || flowdb_slot_is_broken(slot))
		refuse_broken(serverid, slot);
	return db;
}
