/*-------------------------------------------------------------------------
 * redo.c
 *	  Replay: crash recovery, point-in-time recovery, standbys.
 *
 * All of it runs in the startup process, which flushes by itself.  On a hot
 * standby workers merge SSTables meanwhile (worker.c): when one of them is at
 * a manifest, redo waits for the moment that takes.  A damaged
 * database is marked broken and its records are set aside; lack of space or
 * memory is FATAL, and recovery goes on at the next start (S7).
 *
 * Keeps: S1 (a subtransaction's xid is never given out again), S4, S5, S6
 * (restartpoints, end of recovery), S7.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/clog.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "postmaster/startup.h"
#include "storage/fd.h"

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
			flowdb_report_at(FATAL, st);
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
			flowdb_report_at(FATAL, st);
	}
}

/*
 * Keep a record that cannot be applied: the checkpoint that follows would
 * let the WAL go.  One file a database; frames of {start, length, crc}.
 */
static void
set_aside(const FlowdbWalHead *head, XLogReaderState *record)
{
	struct
	{
		uint64 start;
		uint32 len;
		pg_crc32c crc;
	} frame;
	char path[MAXPGPATH];
	int fd;

	frame.start = record->ReadRecPtr;
	frame.len = XLogRecGetDataLen(record);
	INIT_CRC32C(frame.crc);
	COMP_CRC32C(frame.crc, XLogRecGetData(record), frame.len);
	FIN_CRC32C(frame.crc);

	snprintf(path, sizeof(path), FLOWDB_DIRECTORY "/aside-%u-%u", head->dboid,
			 head->serverid);
	fd = BasicOpenFile(path, O_WRONLY | O_CREAT | O_APPEND | PG_BINARY);
	if (fd < 0 || write(fd, &frame, sizeof(frame)) != sizeof(frame) ||
		write(fd, XLogRecGetData(record), frame.len) != (ssize_t) frame.len ||
		pg_fsync(fd) != 0)
		ereport(FATAL, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", path)));
	close(fd);
	fsync_fname(FLOWDB_DIRECTORY, true);
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
	db = flowdb_slot_handle(slot);
	if (db == NULL || flowdb_slot_is_broken(slot))
	{
		set_aside(head, record);
		return;
	}
	st = apply(db, record);
	if (st == FLOW_OK)
		return;
	if (st != FLOW_CORRUPT && st != FLOW_MISMATCH)
		flowdb_report_at(FATAL, st);
	flowdb_slot_break(slot);
	set_aside(head, record);
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
	uint64 drop_xid;
	FlowdbEntry entry;

	if (XLogRecGetDataLen(record) < sizeof(head))
		elog(PANIC, "flowdb: WAL record is too short");
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);

	switch (XLogRecGetInfo(record) & ~XLR_INFO_MASK)
	{
		case XLOG_FLOWDB_RECORD:
			reserve_xid(record);
			redo_record(&head, record);
			break;
		case XLOG_FLOWDB_CREATE:
			if (XLogRecGetDataLen(record) < sizeof(head) + sizeof(entry))
				elog(PANIC, "flowdb: CREATE record is too short");
			memcpy(&entry, data, sizeof(entry));
			if (flowdb_registry_find(entry.dboid, entry.serverid) >= 0 ||
				!flowdb_registry_forgot(record->ReadRecPtr))
				flowdb_registry_create(&entry);
			break;
		case XLOG_FLOWDB_DROP:
			memcpy(&drop_xid, data, sizeof(drop_xid));
			flowdb_registry_mark_drop(head.dboid, head.serverid, drop_xid);
			break;
		default:
			elog(PANIC, "flowdb: unknown WAL record type %u",
				 XLogRecGetInfo(record));
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
	load_closed();
	flush_before(PG_UINT64_MAX);
	resolve_all();
}

/*
 * S6, restartpoints: no delay flag acts on them, so a checkpoint record is
 * only replayed once the memtables are flushed up to its redo pointer.
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
		flowdb_aborted_before(truncate.oldestXact);
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
