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

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "aside.h"
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

/*
 * Look at one entry; true when it changed.  A database that has to go becomes
 * DROPPING, which changes nothing in the file: on a full disk its files may
 * have to go before anything can be written.  registry_lock is held
 * exclusively.
 */
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
			return false;
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
		{
			entry->drop_xid = 0;
			return true;
		}
		slot->state = FLOWDB_DB_DROPPING;
	}
	return changed;
}

/* Free what a database has in memory, and its files; false: some are left. */
static bool
remove_database(FlowdbSlot *slot)
{
	FlowDbShared *shared = slot->shared;
	char path[MAXPGPATH];

	slot->shared = NULL;
	if (shared != NULL)
		flow_abandon(flowdb_env(), shared);
	if (flowdb_datadir_remove(&slot->entry))
	{
		flowdb_aside_remove(&slot->entry); /* what recovery may have kept */
		return true;
	}
	flowdb_registry_path(&slot->entry, path);
	if (flowdb_warn_now(
			&flowdb_shared->warned[slot - flowdb_shared->slots].work_at))
		ereport(WARNING,
				(errmsg("some files of directory \"%s\" could not be removed",
						path),
				 errdetail("It is that of a FlowDB server that was dropped."),
				 errhint("Let the operating system user that runs the server "
						 "write there; this is tried again.")));
	return false;
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

/*
 * The file may stay behind: what has ended stands in pg_xact as well, and the
 * entry is settled again at the next start (C10).  So a full disk neither
 * stops anybody here, nor does it keep files from being removed.
 */
static void
write_if_possible(void)
{
	static int64 warned_at;
	MemoryContext context = CurrentMemoryContext;
	FlowdbNoThrow guard;

	if (RecoveryInProgress()) /* FATAL there: pg_xact may be cut next */
	{
		flowdb_registry_write();
		return;
	}
	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		flowdb_registry_write();
		flowdb_shared->registry_behind = false;
	}
	PG_CATCH();
	{
		flowdb_nothrow_unlock(&guard);
		MemoryContextSwitchTo(context);
		flowdb_shared->registry_behind = true;
		if (flowdb_warn_now(&warned_at))
			EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
}

static void
drop_slot(FlowdbSlot *slot)
{
	XLogRecPtr pos = present_position();

	bool removed;

	flowdb_debug_point("drop-files");
	removed = remove_database(slot);
	flowdb_registry_lock();
	slot->generation++;
	if (!removed)
	{
		/* the next one to settle tries again */
		slot->state = FLOWDB_DB_BROKEN;
		slot->may_heal = false;
		strlcpy(slot->reason, "it was dropped, and its files cannot be removed",
				sizeof(slot->reason));
		LWLockRelease(&flowdb_shared->registry_lock);
		return;
	}
	slot->state = FLOWDB_DB_FREE;
	flowdb_shared->forgotten_before = Max(flowdb_shared->forgotten_before, pos);
	write_if_possible();
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
	bool changed;

	flowdb_registry_lock();
	changed = flowdb_shared->registry_behind;
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
		write_if_possible();
	LWLockRelease(&flowdb_shared->registry_lock);

	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (dropping[i])
			drop_slot(&flowdb_shared->slots[i]);
	}
}

/*
 * Does a database have to go before entry is made?  One of the same server is
 * an earlier or later one (flowdb_create_database() after a rollback), or it is
 * entry itself, and has had records of an earlier one applied, which name
 * nothing but the server.  What belongs to entry follows in the log.  What
 * cannot be reached, or only a newer version can read, stays as it is.
 */
static bool
is_in_the_way(const FlowdbSlot *slot, const FlowdbEntry *entry)
{
	bool same = slot->entry.identity == entry->identity;

	if (slot->state != FLOWDB_DB_CLOSED && slot->state != FLOWDB_DB_OPEN &&
		slot->state != FLOWDB_DB_BROKEN)
		return false;
	if (slot->entry.dboid == entry->dboid &&
		slot->entry.serverid == entry->serverid)
		return !same || (slot->state != FLOWDB_DB_CLOSED && !slot->newer &&
						 !slot->may_heal);
	return !same && entry->path[0] != '\0' &&
		   pg_strcasecmp(slot->entry.path, entry->path) == 0;
}

/*
 * The primary lets nobody have a directory before it has removed what was
 * there.  Recovery may not know yet: whether a transaction was aborted that
 * a crash ended is nowhere in the log.
 */
void
flowdb_registry_evict(const FlowdbEntry *entry)
{
	bool dropping[FLOWDB_MAX_DATABASES] = {false};

	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (is_in_the_way(slot, entry))
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
