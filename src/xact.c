/*-------------------------------------------------------------------------
 * xact.c
 *	  A transaction's own writes: buffered, handed over, or dropped.
 *
 * INSERT and COPY put records into a process-private buffer, one for each
 * database the transaction writes to.  It is pushed into WAL and memtable at
 * PRE_COMMIT, when it passes flowdb.transaction_buffer, and before a
 * parallel plan starts; the ordinary commit record then makes it true.
 * ROLLBACK TO drops the buffer's tail; what was pushed already is hidden by
 * its subtransaction's abort.
 *
 * Keeps: S2.  Visibility is in visibility.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "flowdb_shmem.h"

/* Where the buffer stood when a nesting level first wrote to it. */
typedef struct LevelMark
{
	int level; /* GetCurrentTransactionNestLevel() */
	Size mark; /* flow_txbuf_count() then */
} LevelMark;

/* One database that the current transaction writes to. */
typedef struct XactBuffer
{
	struct XactBuffer *next;
	Oid serverid;
	FlowDb *db;
	FlowTxBuf *buf;
	LevelMark *marks; /* rising levels */
	int nmarks;
	int max_marks;
} XactBuffer;

static XactBuffer *xact_buffers; /* in TopTransactionContext */
static bool write_through;		 /* past the push at PRE_COMMIT */

static ExecutorStart_hook_type prev_executor_start;

/* How long a waiting writer sleeps before it looks again by itself, and how
 * long it waits for a launcher that is not there. */
#define WAIT_ROOM_MS 100
#define WAIT_LAUNCHER_MS 15000

/* Nobody holds checkpoints, and nobody seems to come: say why. */
static void
complain_unarmed(TimestampTz since)
{
	bool launched;

	if (!IsUnderPostmaster)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("FlowDB tables cannot be written in "
							   "single-user mode")));
	SpinLockAcquire(&flowdb_shared->mutex);
	launched = flowdb_shared->launcher_latch != NULL;
	SpinLockRelease(&flowdb_shared->mutex);
	if (!launched && TimestampDifferenceExceeds(since, GetCurrentTimestamp(),
												WAIT_LAUNCHER_MS))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("FlowDB's launcher is not running"),
				 errdetail("Nothing can be written to FlowDB tables without "
						   "it."),
				 errhint("Increase max_worker_processes and restart the "
						 "server.")));
}

/*
 * Write buffers that cannot be flushed refuse writes, not hang them (S7).
 * They are shared: it may be another database that holds them all.
 */
static void
complain_failing(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);
	uint32 failing = 0;

	for (int i = 0; i < nslots; i++)
	{
		FlowDbShared *shared = flowdb_shared->slots[slots[i]].shared;

		if (shared != NULL) /* not dropped meanwhile */
			failing = Max(failing, flow_flush_failing(shared));
	}
	if (failing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("FlowDB refuses writes because its write buffers "
						"cannot be flushed"),
				 errdetail("%u attempts have failed; the server log has the "
						   "reason.",
						   failing),
				 errhint("Writes are accepted again once a flush goes "
						 "well.")));
}

/*
 * wait_for_room
 *		A write was answered FLOW_BUSY: wait a while for an armed holder, or
 *		for write buffers to be flushed.  since: when the waiting began.
 */
static void
wait_for_room(TimestampTz since)
{
	struct FlowdbShared *sh = flowdb_shared;
	ConditionVariable *cv;
	bool armed;

	LWLockAcquire(&sh->gate, LW_SHARED);
	armed = sh->armed;
	LWLockRelease(&sh->gate);

	if (armed)
	{
		complain_failing();
		pg_atomic_write_u32(&sh->pressure, 1);
		flowdb_wake_workers();
	}
	else
		complain_unarmed(since);

	cv = armed ? &sh->flushed_cv : &sh->armed_cv;
	ConditionVariablePrepareToSleep(cv);
	(void) ConditionVariableTimedSleep(cv, WAIT_ROOM_MS, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	CHECK_FOR_INTERRUPTS();
}

static void
push(XactBuffer *xb)
{
	TimestampTz since = GetCurrentTimestamp();

	(void) flowdb_database(xb->serverid); /* not broken meanwhile? */
	for (;;)
	{
		FlowStatus st = flow_txbuf_push(xb->buf, xb->db);

		if (st == FLOW_BUSY)
			wait_for_room(since);
		else
		{
			flowdb_report(st);
			return;
		}
	}
}

static void
push_all(void)
{
	for (XactBuffer *xb = xact_buffers; xb != NULL; xb = xb->next)
		push(xb);
}

static XactBuffer *
find_buffer(Oid serverid)
{
	XactBuffer *xb = xact_buffers;

	while (xb != NULL && xb->serverid != serverid)
		xb = xb->next;
	return xb;
}

static XactBuffer *
make_buffer(Oid serverid, FlowDb *db)
{
	XactBuffer *xb =
		MemoryContextAllocZero(TopTransactionContext, sizeof(XactBuffer));

	xb->serverid = serverid;
	xb->db = db;
	xb->max_marks = 4;
	xb->marks = MemoryContextAlloc(TopTransactionContext,
								   xb->max_marks * sizeof(LevelMark));
	flowdb_report(flow_txbuf_create(flowdb_env(), &xb->buf));
	xb->next = xact_buffers;
	xact_buffers = xb;
	return xb;
}

/* Remember where this nesting level begins, unless it has begun already. */
static void
mark_level(XactBuffer *xb)
{
	int level = GetCurrentTransactionNestLevel();

	if (xb->nmarks > 0 && xb->marks[xb->nmarks - 1].level >= level)
		return;
	if (xb->nmarks == xb->max_marks)
	{
		xb->max_marks *= 2;
		xb->marks = repalloc(xb->marks, xb->max_marks * sizeof(LevelMark));
	}
	xb->marks[xb->nmarks].level = level;
	xb->marks[xb->nmarks].mark = flow_txbuf_count(xb->buf);
	xb->nmarks++;
}

/* The buffer for a write of this (sub)transaction to a database. */
static XactBuffer *
begin_write(Oid serverid, FlowDb *db)
{
	XactBuffer *xb = find_buffer(serverid);

	if (xb == NULL)
		xb = make_buffer(serverid, db);
	mark_level(xb);
	return xb;
}

/* A write is in the buffer: hand over what may not wait. */
static void
end_write(XactBuffer *xb)
{
	if (write_through || flow_txbuf_bytes(xb->buf) >
							 (Size) flowdb_transaction_buffer_kb * (Size) 1024)
		push(xb);
}

void
flowdb_xact_add(Oid serverid, FlowDb *db, FlowOp op, uint32 store_id,
				const void *key, Size key_bytes, int64 ts, int64 expire_at,
				const void *value, Size value_bytes, CommandId cid)
{
	uint64 xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	XactBuffer *xb = begin_write(serverid, db);

	flowdb_report(flow_txbuf_add(xb->buf, op, store_id, key, key_bytes, ts,
								 expire_at, value, value_bytes, xid, cid));
	end_write(xb);
}

void
flowdb_xact_delete_range(Oid serverid, FlowDb *db, uint32 store_id,
						 const FlowRect *rect, CommandId cid)
{
	uint64 xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	XactBuffer *xb = begin_write(serverid, db);

	flowdb_report(flow_txbuf_delete_range(xb->buf, store_id, rect, xid, cid));
	end_write(xb);
}

/*
 * The tag has less than 16 bits for a store: two may share a lock, which costs
 * a wait and nothing else.  A lock that is held already is found in a local table.
 */
void
flowdb_lock_store(Oid serverid, uint32 store_id, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ForeignServerRelationId, serverid,
					   1 + (store_id - 1) % (FLOWDB_LOCK_DEFINE - 1));
	(void) LockAcquire(&tag, mode, false, false);
}

FlowTxBuf *
flowdb_xact_buffer(Oid serverid)
{
	XactBuffer *xb = find_buffer(serverid);

	return xb ? xb->buf : NULL;
}

uint32
flowdb_store_define(FlowDb *db, const char *name, const void *blob,
					Size blob_bytes)
{
	TimestampTz since = GetCurrentTimestamp();
	uint32_t store_id;

	(void) GetCurrentFullTransactionId();
	for (;;)
	{
		FlowStatus st =
			flow_store_define(db, name, blob, blob_bytes, &store_id);

		if (st == FLOW_BUSY)
			wait_for_room(since);
		else
		{
			flowdb_report(st);
			return store_id;
		}
	}
}

/* ----------------------------------------------------------- callbacks */

static void
forget_buffers(void)
{
	for (XactBuffer *xb = xact_buffers; xb != NULL; xb = xb->next)
		flow_txbuf_free(xb->buf);
	xact_buffers = NULL; /* the structs go with TopTransactionContext */
	write_through = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			push_all();
			write_through = true;
			if (xact_buffers != NULL)
				flowdb_debug_point("pre-commit-pushed");
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (xact_buffers != NULL)
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("cannot PREPARE a transaction that has "
									   "written to a FlowDB table")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			flowdb_forget_kept();
			flowdb_forget_reader();
			flowdb_backup_transaction_ended();
			flowdb_maintenance_ended();
			forget_buffers();
			break;
		default:
			break;
	}
}

/* Drop what the aborting level and those inside it have buffered. */
static void
abort_level(XactBuffer *xb, int level)
{
	Size mark = 0;
	bool cut = false;

	while (xb->nmarks > 0 && xb->marks[xb->nmarks - 1].level >= level)
	{
		mark = xb->marks[--xb->nmarks].mark;
		cut = true;
	}
	if (cut)
		flow_txbuf_truncate(xb->buf, mark);
}

/* What the level has buffered now belongs to its parent. */
static void
commit_level(XactBuffer *xb, int level)
{
	LevelMark *top = xb->nmarks > 0 ? &xb->marks[xb->nmarks - 1] : NULL;

	if (top == NULL || top->level < level)
		return;
	if (xb->nmarks > 1 && top[-1].level == level - 1)
		xb->nmarks--;
	else
		top->level = level - 1;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	for (XactBuffer *xb = xact_buffers; xb != NULL; xb = xb->next)
	{
		if (event == SUBXACT_EVENT_ABORT_SUB)
			abort_level(xb, level);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			commit_level(xb, level);
	}
}

/* Parallel workers cannot see this process's buffer: give it to all. */
static void
executor_start(QueryDesc *queryDesc, int eflags)
{
	if (queryDesc->plannedstmt->parallelModeNeeded && xact_buffers != NULL &&
		(eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
		push_all();
	if (prev_executor_start)
		prev_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

void
flowdb_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
