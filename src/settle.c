/*-------------------------------------------------------------------------
 * settle.c
 *	  What becomes of CREATE SERVER and DROP SERVER when their transactions
 *	  have ended.
 *
 * Done by the launcher, by redo at checkpoint records and before pg_xact is
 * truncated, and by whoever needs a slot.  Files are removed with no lock
 * held: that takes time, and every FlowDB statement looks at the registry.
 *
 * Keeps: S5, S10, I11.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "datadir.h"

/*
 * Fate of a transaction, fit to be acted on: the log is flushed after the
 * fact was seen (S5), so that no crash can take a commit back.  What cannot
 * be told leaves the entry as it is.
 */
static FlowTxnState
fate_of(uint64 xid)
{
	FlowTxnState state = FLOW_TXN_UNKNOWN;
	FlowStatus st = flowdb_txn_outcome(flowdb_env(), xid, &state);

	if (st == FLOW_OK && state != FLOW_TXN_UNKNOWN)
		st = flowdb_log_sync(flowdb_env());
	if (st == FLOW_OK)
		return state;
	flowdb_report_at(LOG, st);
	return FLOW_TXN_UNKNOWN;
}

/* Look at one entry; true when it changed.  A database that has to go
 * becomes DROPPING.  registry_lock is held exclusively. */
static bool
settle_slot(FlowdbSlot *slot)
{
	FlowdbEntry *entry = &slot->entry;
	FlowTxnState state;
	bool changed = false;

	if (entry->create_xid != 0)
	{
		state = fate_of(entry->create_xid);
		if (state == FLOW_TXN_UNKNOWN)
			return false;
		if (state == FLOW_TXN_ABORTED)
		{
			slot->state = FLOWDB_DB_DROPPING;
			return true;
		}
		entry->create_xid = 0;
		changed = true;
	}
	if (entry->drop_xid != 0)
	{
		state = fate_of(entry->drop_xid);
		if (state == FLOW_TXN_UNKNOWN)
			return changed;
		if (state == FLOW_TXN_ABORTED)
			entry->drop_xid = 0;
		else
			slot->state = FLOWDB_DB_DROPPING;
		changed = true;
	}
	return changed;
}

/* Free what a database has in memory and on disk. */
static void
remove_database(FlowdbSlot *slot)
{
	char path[MAXPGPATH];

	if (slot->shared != NULL)
		flow_discard(flowdb_env(), slot->shared);
	flowdb_registry_path(&slot->entry, path);
	if (!flowdb_datadir_remove(&slot->entry))
		ereport(WARNING, (errcode_for_file_access(),
						  errmsg("some files of directory \"%s\" could not "
								 "be removed",
								 path)));
	/* and what recovery may have set aside */
	snprintf(path, sizeof(path), FLOWDB_DIRECTORY "/aside-%u-%u",
			 slot->entry.dboid, slot->entry.serverid);
	(void) unlink(path);
}

/*
 * The log position up to which anything may be said about it.  In redo the
 * record at hand does not count: it may be the CREATE that needs the slot,
 * and has to be replayed again if we crash before it is listed.
 */
static XLogRecPtr
present_position(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL)
								: GetXLogInsertRecPtr();
}

static void
drop_slot(FlowdbSlot *slot)
{
	XLogRecPtr pos = present_position();

	flowdb_debug_point("drop-files");
	remove_database(slot);
	flowdb_registry_lock();
	slot->state = FLOWDB_DB_FREE;
	slot->generation++;
	flowdb_shared->forgotten_before = Max(flowdb_shared->forgotten_before, pos);
	flowdb_registry_write();
	LWLockRelease(&flowdb_shared->registry_lock);
}

static bool
is_undecided(const FlowdbSlot *slot)
{
	return (slot->state == FLOWDB_DB_CLOSED || slot->state == FLOWDB_DB_OPEN ||
			slot->state == FLOWDB_DB_BROKEN) &&
		   (slot->entry.create_xid != 0 || slot->entry.drop_xid != 0);
}

void
flowdb_registry_settle(void)
{
	bool dropping[FLOWDB_MAX_DATABASES] = {false};
	bool changed = false;

	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (!is_undecided(slot))
			continue;
		changed |= settle_slot(slot);
		/* whoever makes it DROPPING removes it, and nobody else */
		dropping[i] = slot->state == FLOWDB_DB_DROPPING;
	}
	if (changed)
		flowdb_registry_write();
	LWLockRelease(&flowdb_shared->registry_lock);

	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (dropping[i])
			drop_slot(&flowdb_shared->slots[i]);
	}
}

/*
 * The primary lets nobody have a data_dir before it has removed what was
 * there.  Recovery may not know yet: whether a transaction was aborted that
 * a crash ended is nowhere in the log.
 */
void
flowdb_registry_evict(const FlowdbEntry *entry)
{
	bool dropping[FLOWDB_MAX_DATABASES] = {false};

	if (entry->path[0] == '\0')
		return;
	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if ((slot->state == FLOWDB_DB_CLOSED || slot->state == FLOWDB_DB_OPEN ||
			 slot->state == FLOWDB_DB_BROKEN) &&
			slot->entry.identity != entry->identity &&
			pg_strcasecmp(slot->entry.path, entry->path) == 0)
		{
			slot->state = FLOWDB_DB_DROPPING;
			dropping[i] = true;
		}
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (dropping[i])
			drop_slot(&flowdb_shared->slots[i]);
	}
}
