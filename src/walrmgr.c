/*-------------------------------------------------------------------------
 * walrmgr.c
 *	  PostgreSQL's WAL as the engine's log: the resource manager and the
 *	  append side.  What redo does is in redo.c.
 *
 * A record is a fixed head that names the database, and behind it for
 * RECORD what the engine logs (engine/batch.h), for CREATE a registry entry,
 * for DROP the dropping transaction.  Bytes: doc/FORMAT.md "WAL records".
 * Keeps: S1, S5, S6.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"

#include "flowdb_wal.h"

#include "../engine/common.h"

/*
 * S1 gives step i of the record at L the sequence L + i; the record header
 * alone must be at least as long as a record has steps.
 */
StaticAssertDecl(SizeOfXLogRecord >= 24, "a batch has up to 24 steps");

/*
 * flowdb_log_admit
 *		Enter the gate.  FLOW_BUSY while no holder is armed: a batch that is
 *		logged then could be lost behind a checkpoint (S6).
 */
FlowStatus
flowdb_log_admit(FlowEnv *env, FlowDb *db, size_t len, FlowSync sync)
{
	if (RecoveryInProgress())
		return flowi_fail(FLOW_INVALID, "the server is in recovery");
	LWLockAcquire(&flowdb_shared->gate, LW_SHARED);
	if (flowdb_shared->armed || flowdb_debug_point("admit-unarmed"))
		return FLOW_OK;
	LWLockRelease(&flowdb_shared->gate);
	return FLOW_BUSY;
}

void
flowdb_log_leave(FlowEnv *env, FlowDb *db)
{
	LWLockRelease(&flowdb_shared->gate);
}

static XLogRecPtr
insert_record(uint8 info, Oid dboid, Oid serverid, const void *body, Size len)
{
	FlowdbWalHead head = {.dboid = dboid, .serverid = serverid};

	XLogBeginInsert();
	XLogRegisterData((char *) &head, sizeof(head));
	XLogRegisterData((char *) unconstify(void *, body), (uint32) len);
	return XLogInsert(FLOWDB_RMGR_ID, info);
}

void
flowdb_log_append(FlowEnv *env, FlowDb *db, const void *rec, size_t len,
				  uint64_t *startp, uint64_t *endp)
{
	Oid dboid;
	Oid serverid;

	flowdb_handle_owner(db, &dboid, &serverid);

	/* once logged the batch must get into the memtable: nothing may fail */
	START_CRIT_SECTION();
	*endp = insert_record(XLOG_FLOWDB_RECORD, dboid, serverid, rec, len);
	*startp = ProcLastRecPtr;
	END_CRIT_SECTION();
}

uint64_t
flowdb_log_bound(FlowEnv *env)
{
	if (RecoveryInProgress())
		return GetCurrentReplayRecPtr(NULL);
	return GetXLogInsertRecPtr();
}

/*
 * End of what has been inserted.  GetXLogInsertRecPtr() tells where the next
 * record would begin, which on a fresh page is behind a header that nobody
 * has written: XLogFlush refuses such a position.
 */
static XLogRecPtr
insert_end(void)
{
	XLogRecPtr pos = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(pos, wal_segment_size) == SizeOfXLogLongPHD)
		return pos - SizeOfXLogLongPHD;
	if (pos % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return pos - SizeOfXLogShortPHD;
	return pos;
}

/*
 * flowdb_log_sync
 *		S5: everything logged so far is durable, so that nothing that is
 *		published afterwards can outlive the log it came from.  In recovery
 *		XLogFlush moves the minimum recovery point instead.
 */
FlowStatus
flowdb_log_sync(FlowEnv *env)
{
	FlowdbNoThrow guard;
	FlowStatus volatile st = FLOW_OK;

	if (flowdb_debug_point("log-sync-skip"))
		return FLOW_OK;
	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		if (RecoveryInProgress())
			XLogFlush(GetCurrentReplayRecPtr(NULL));
		else
			XLogFlush(insert_end());
	}
	PG_CATCH();
	{
		st = flowdb_nothrow_caught(&guard, FLOW_IOERR, "write-ahead log");
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	return st;
}

XLogRecPtr
flowdb_log_create(const FlowdbEntry *entry)
{
	return insert_record(XLOG_FLOWDB_CREATE, entry->dboid, entry->serverid,
						 entry, sizeof(*entry));
}

XLogRecPtr
flowdb_log_drop(Oid dboid, Oid serverid, uint64 drop_xid)
{
	return insert_record(XLOG_FLOWDB_DROP, dboid, serverid, &drop_xid,
						 sizeof(drop_xid));
}

/* ---------------------------------------------------- resource manager */

static void
walrmgr_desc(StringInfo buf, XLogReaderState *record)
{
	FlowdbWalHead head;
	Size len = XLogRecGetDataLen(record);
	FlowdbEntry entry;
	char text[128];

	if (len < sizeof(head))
		return;
	memcpy(&head, XLogRecGetData(record), sizeof(head));
	appendStringInfo(buf, "database %u server %u", head.dboid, head.serverid);
	if ((XLogRecGetInfo(record) & ~XLR_INFO_MASK) == XLOG_FLOWDB_CREATE &&
		len >= sizeof(head) + sizeof(entry))
	{
		memcpy(&entry, XLogRecGetData(record) + sizeof(head), sizeof(entry));
		if (entry.path[0])
			appendStringInfo(buf, " data_dir %.*s", NAMEDATALEN, entry.path);
	}
	if ((XLogRecGetInfo(record) & ~XLR_INFO_MASK) != XLOG_FLOWDB_RECORD)
		return;
	flow_record_desc(XLogRecGetData(record) + sizeof(head), len - sizeof(head),
					 text, sizeof(text));
	appendStringInfo(buf, " %s", text);
}

static const char *
walrmgr_identify(uint8 info)
{
	switch (info & ~XLR_INFO_MASK)
	{
		case XLOG_FLOWDB_RECORD:
			return "RECORD";
		case XLOG_FLOWDB_CREATE:
			return "CREATE";
		case XLOG_FLOWDB_DROP:
			return "DROP";
	}
	return NULL;
}

static const RmgrData flowdb_rmgr = {.rm_name = "flowdb",
									 .rm_redo = flowdb_redo,
									 .rm_desc = walrmgr_desc,
									 .rm_identify = walrmgr_identify,
									 .rm_cleanup = flowdb_redo_cleanup};

void
flowdb_walrmgr_init(void)
{
	RegisterCustomRmgr(FLOWDB_RMGR_ID, unconstify(RmgrData *, &flowdb_rmgr));
}
