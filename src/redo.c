/*-------------------------------------------------------------------------
 * redo.c
 *	  Replay: crash recovery, point-in-time recovery, standbys.
 *
 * All of it runs in the startup process, which flushes by itself.  On a hot
 * standby workers merge SSTables meanwhile (worker.c): when one of them is at
 * a manifest, redo waits for the moment that takes.  A damaged
 * database is marked broken and its records are set aside, or kept until its
 * files can be reached again (aside.c); lack of space or memory is FATAL, and
 * recovery goes on at the next start (S7).
 *
 * Keeps: S1 (a subtransaction's xid is never given out again), S4, S5, S6
 * (restartpoints, end of recovery), S7.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/clog.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "postmaster/startup.h"

#include "aside.h"
#include "flowdb_identity.h"
#include "flowdb_wal.h"

/* How often a batch is tried again while readers of a standby leave. */
#define REDO_ROOM_TRIES 5000

static void (*prev_xlog_redo)(XLogReaderState *record);
static void (*prev_clog_redo)(XLogReaderState *record);

/* A worker writes the manifest; it holds nothing that we could be asked for,
 * and waits for nothing that we would have to do. */
static void
wait_for_worker(void)
{
	HandleStartupProcInterrupts();
	pg_usleep(1000L);
}

/* Lack of space or memory, or a disk that fails: the log has everything. */
pg_noreturn static void
cannot_recover(int slot, FlowStatus st)
{
	const FlowError *err = flow_last_error();
	bool ours = err->status == st && err->message[0] != '\0';
	const char *hint = flowdb_error_hint(st, ours ? err->err_no : 0);
	char path[MAXPGPATH];

	flowdb_registry_path(&flowdb_shared->slots[slot].entry, path);
	ereport(FATAL,
			(flowdb_error_code(st, ours ? err->err_no : 0),
			 errmsg("FlowDB could not recover \"%s\": %s", path,
					ours ? err->message : flow_status_name(st)),
			 errdetail("Recovery stops here; nothing is lost."),
			 errhint("%s%sThen start the server again, and recovery goes on.",
					 hint ? hint : "", hint ? "  " : "")));
}

/*
 * Write what the memtables hold from before pos to SSTables, in every
 * database.
 */
static void
flush_before(XLogRecPtr pos)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);
		FlowStatus st;

		if (db == NULL)
			continue;
		st = flow_freeze(db, pos);
		while (st == FLOW_OK || st == FLOW_BUSY)
		{
			if (st == FLOW_BUSY)
				wait_for_worker();
			else
				HandleStartupProcInterrupts();
			st = flow_flush_step(db);
		}
		/* the next start finds out at load what may be damaged */
		if (st != FLOW_END)
			cannot_recover(slots[i], st);
	}
}

/*
 * S4: transactions' fates into the manifests while pg_xact knows them, and
 * into the memtables, whose rows are flushed later.
 */
static void
resolve_all(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);
		FlowStatus st = FLOW_END;

		if (db != NULL)
			st = flow_learn_fates(db);
		if (st == FLOW_OK)
			while ((st = flow_resolve_all(db)) == FLOW_BUSY)
				wait_for_worker();
		if (st == FLOW_CORRUPT || st == FLOW_MISMATCH)
			flowdb_slot_break(slots[i]);
		else if (st != FLOW_OK && st != FLOW_END)
			cannot_recover(slots[i], st);
	}
}

/*
 * A newer version of ours wrote the record, or the database that it is for.
 * Nothing is wrong with either, so nothing is set aside: recovery goes on
 * when that version is back.
 */
static void
refuse_newer(const char *reason)
{
	ereport(FATAL, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("recovery needs a newer version of flowdb_fdw"),
					errdetail_internal("%s", reason),
					errhint("Start the server with the version that wrote the "
							"write-ahead log, or a later one.")));
}

/* Apply one engine record, making room as often as needed. */
static FlowStatus
apply(FlowDb *db, XLogReaderState *record)
{
	const char *rec = XLogRecGetData(record) + sizeof(FlowdbWalHead);
	Size len = XLogRecGetDataLen(record) - sizeof(FlowdbWalHead);
	FlowStatus st;

	for (int i = 0; i < REDO_ROOM_TRIES; i++)
	{
		st = flow_redo(db, rec, len, record->ReadRecPtr, record->EndRecPtr);
		if (st != FLOW_BUSY)
			return st;
		flush_before(PG_UINT64_MAX);
		/* a reader of a standby may hold a flushed memtable for a moment */
		if (i > 0)
			pg_usleep(1000L);
		HandleStartupProcInterrupts();
	}
	ereport(FATAL,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("FlowDB's write buffers are too small to replay a record"),
			 errhint("Increase flowdb.shared_memory.")));
	return FLOW_BUSY;
}

/* To load it applies what was kept for it, and nobody else can make room. */
static FlowDb *
handle_of(int slot)
{
	char path[64];

	flowdb_aside_path(&flowdb_shared->slots[slot].entry, true, path);
	if (!flowdb_slot_is_loaded(slot) && !flowdb_slot_is_broken(slot) &&
		access(path, F_OK) == 0)
		flush_before(PG_UINT64_MAX);
	return flowdb_slot_handle(slot);
}

static void
redo_record(const FlowdbWalHead *head, XLogReaderState *record)
{
	int slot = flowdb_registry_find(head->dboid, head->serverid);
	FlowDb *db;
	FlowStatus st;

	if (slot < 0 && flowdb_registry_forgot(record->ReadRecPtr))
		return;
	if (slot < 0)
		slot = flowdb_registry_add_broken(
			head->dboid, head->serverid,
			"the write-ahead log has records of a database that has no "
			"directory here");
	db = handle_of(slot);
	if (db == NULL || flowdb_slot_is_broken(slot))
	{
		if (flowdb_slot_is_newer(slot))
			refuse_newer(flowdb_shared->slots[slot].reason);
		flowdb_aside_append(slot, flowdb_slot_may_heal(slot), record);
		return;
	}
	st = apply(db, record);
	if (st == FLOW_OK)
		return;
	if (st == FLOW_MISMATCH)
		refuse_newer(flow_last_error()->message);
	if (st != FLOW_CORRUPT)
		cannot_recover(slot, st);
	flowdb_slot_break(slot);
	flowdb_aside_append(slot, false, record);
}

/*
 * A batch carries the full xid of a subtransaction that no other record may
 * name: it must not be given out again after recovery, or this batch would
 * become part of a stranger's transaction.
 */
static void
reserve_xid(XLogReaderState *record)
{
	uint64 xid =
		flow_record_xid(XLogRecGetData(record) + sizeof(FlowdbWalHead),
						XLogRecGetDataLen(record) - sizeof(FlowdbWalHead));

	if (TransactionIdIsNormal((TransactionId) xid) &&
		!flowdb_debug_point("reserve-xid-skip"))
		AdvanceNextFullTransactionIdPastXid((TransactionId) xid);
}

void
flowdb_redo(XLogReaderState *record)
{
	FlowdbWalHead head;
	char *data = XLogRecGetData(record);
	Size len = XLogRecGetDataLen(record);
	uint64 drop_xid;
	FlowdbEntry entry;

	if (len < sizeof(head))
		elog(PANIC, "flowdb: WAL record is too short");
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	len -= sizeof(head);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_FLOWDB_RECORD:
			reserve_xid(record);
			redo_record(&head, record);
			break;
		case XLOG_FLOWDB_CREATE:
			if (len != sizeof(entry))
				elog(PANIC, "flowdb: CREATE record of %zu bytes", len);
			memcpy(&entry, data, sizeof(entry));
			if (flowdb_registry_find(entry.dboid, entry.serverid) >= 0 ||
				!flowdb_registry_forgot(record->ReadRecPtr))
				flowdb_registry_create(&entry);
			break;
		case XLOG_FLOWDB_DROP:
			if (len != sizeof(drop_xid))
				elog(PANIC, "flowdb: DROP record of %zu bytes", len);
			memcpy(&drop_xid, data, sizeof(drop_xid));
			flowdb_registry_mark_drop(head.dboid, head.serverid, drop_xid);
			break;
		default:
			refuse_newer(psprintf("The write-ahead log has a record of type "
								  "%u, which this version does not know.",
								  XLogRecGetInfo(record) & ~XLR_INFO_MASK));
	}
}

/* What redo has not met since the start.  One that cannot be loaded now is
 * tried again when somebody needs it. */
static void
load_closed(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_registry_closed(slots);

	for (int i = 0; i < nslots; i++)
		(void) flowdb_slot_try_load(slots[i]);
}

/* What is kept for those that could not be loaded is complete now. */
static void
end_kept(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_registry_closed(slots);

	for (int i = 0; i < nslots; i++)
		flowdb_aside_end(slots[i]);
	flowdb_aside_sync();
}

/*
 * S6, end of recovery: before its checkpoint, still in the startup process.
 * It is also the last moment to find out what a restored copy has to do
 * without (S12, load_slot).
 */
void
flowdb_redo_cleanup(void)
{
	if (flowdb_debug_point("cleanup-skip-flush"))
		return;
	flush_before(PG_UINT64_MAX); /* room for what was kept */
	load_closed();
	flush_before(PG_UINT64_MAX);
	end_kept();
	resolve_all();
}

/*
 * S6, restartpoints: no delay flag acts on them, so a checkpoint record is
 * only replayed once the memtables are flushed up to its redo pointer.
 *
 * S4: an online checkpoint tells the oldest transaction that was running when
 * it began. The commits of older ones stand before it in the log, so those
 * that have not committed by now were aborted, be it by a crash that kept the
 * primary from saying so.
 */
static void
xlog_redo_wrapper(XLogReaderState *record)
{
	uint8 info = XLogRecGetInfo(record) & ~XLR_INFO_MASK;

	if ((info == XLOG_CHECKPOINT_ONLINE || info == XLOG_CHECKPOINT_SHUTDOWN) &&
		!flowdb_debug_point("restartpoint-skip-flush"))
	{
		CheckPoint checkpoint;

		memcpy(&checkpoint, XLogRecGetData(record), sizeof(checkpoint));
		flush_before(checkpoint.redo);
		flowdb_aside_sync();
		flowdb_aborted_before(checkpoint.oldestActiveXid, checkpoint.nextXid);
		resolve_all();
		flowdb_registry_settle();
	}
	prev_xlog_redo(record);
}

/*
 * S4: fates are noted before pg_xact forgets them.  The primary truncates it
 * only past transactions that are over, so what has not committed here by
 * now was aborted, even if a crash of the primary kept it from saying so.
 */
static void
clog_redo_wrapper(XLogReaderState *record)
{
	uint8 info = XLogRecGetInfo(record) & ~XLR_INFO_MASK;

	if (info == CLOG_TRUNCATE && !flowdb_debug_point("clog-truncate-skip"))
	{
		xl_clog_truncate truncate;

		memcpy(&truncate, XLogRecGetData(record), sizeof(truncate));
		flowdb_aborted_before(truncate.oldestXact, ReadNextFullTransactionId());
		load_closed();
		resolve_all();
		flowdb_registry_settle();
	}
	prev_clog_redo(record);
}

/* RmgrTable is PostgreSQL's own table and not constant: S6 needs a look at
 * records of two built-in resource managers. */
void
flowdb_redo_init(void)
{
	prev_xlog_redo = RmgrTable[RM_XLOG_ID].rm_redo;
	RmgrTable[RM_XLOG_ID].rm_redo = xlog_redo_wrapper;
	prev_clog_redo = RmgrTable[RM_CLOG_ID].rm_redo;
	RmgrTable[RM_CLOG_ID].rm_redo = clog_redo_wrapper;
}
