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
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "flowdb_shmem.h"
#include "levelmark.h"
#include "rowlock.h"

/* One database that the current transaction writes to. */
typedef struct XactBuffer
{
	struct XactBuffer *next;
	Oid serverid;
	FlowDb *db;
	FlowTxBuf *buf;
	FlowdbLevelMarks levels; /* of flow_txbuf_count() */
	bool has_rows;			 /* not only deletes */
} XactBuffer;

static XactBuffer *xact_buffers; /* in TopTransactionContext */
static bool write_through;		 /* past the push at PRE_COMMIT */

static ExecutorStart_hook_type prev_executor_start;

/* How long a waiting writer sleeps before it looks again by itself, when it
 * thinks that a launcher that is not there will not come by itself, and how
 * long it waits for it in all. */
#define WAIT_ROOM_MS 100
#define ASK_LAUNCHER_MS 2000
#define WAIT_LAUNCHER_MS 15000

/* Nobody holds checkpoints, and nobody seems to come: say why. */
static void
complain_unarmed(int64 since)
{
	bool launched;
	bool room = true;

	if (!IsUnderPostmaster)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("FlowDB tables cannot be written in "
							   "single-user mode")));
	SpinLockAcquire(&flowdb_shared->mutex);
	launched = flowdb_shared->launcher_latch != NULL;
	SpinLockRelease(&flowdb_shared->mutex);
	if (launched)
		return;
	if (flowdb_ticks_passed(since, ASK_LAUNCHER_MS))
		room = flowdb_launcher_ask();
	if (flowdb_ticks_passed(since, WAIT_LAUNCHER_MS) ||
		(!room && max_worker_processes == 0))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("FlowDB's launcher is not running"),
				 errdetail("Nothing can be written to FlowDB tables without "
						   "it, and all %d background worker slots of the "
						   "server are in use.",
						   max_worker_processes),
				 errhint("Increase max_worker_processes and restart the "
						 "server; the launcher also starts by itself once a "
						 "slot is free and somebody writes.")));
}

/*
 * wait_for_room
 *		A write was answered FLOW_BUSY: wait a while for an armed holder, or
 *		for write buffers to be flushed.  since: the tick when that began.
 */
static void
wait_for_room(int64 since)
{
	struct FlowdbShared *sh = flowdb_shared;
	ConditionVariable *cv;
	bool armed;

	LWLockAcquire(&sh->gate, LW_SHARED);
	armed = sh->armed;
	LWLockRelease(&sh->gate);

	if (armed)
	{
		flowdb_refuse_full();
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

/* Run an engine call again and again while there is no room; report anything
 * else. */
#define try_with_room(expr)                     \
	do                                          \
	{                                           \
		int64 try_since_ = flowdb_ticks_us();   \
		FlowStatus try_st_;                     \
		while ((try_st_ = (expr)) == FLOW_BUSY) \
			wait_for_room(try_since_);          \
		flowdb_report(try_st_);                 \
	} while (0)

static void
push(XactBuffer *xb)
{
	if (!flow_txbuf_pending(xb->buf))
		return; /* a subtransaction may have taken the database with it */
	/* not broken meanwhile?  Nor need it be the one of a savepoint before */
	xb->db = flowdb_database(xb->serverid);
	if (xb->has_rows)
		flowdb_refuse_failing(xb->serverid, xb->db);
	try_with_room(flow_txbuf_push(xb->buf, xb->db));
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
	flowdb_report(flow_txbuf_create(flowdb_env(), &xb->buf));
	flow_txbuf_set_counts(xb->buf, flowdb_counts, NULL);
	xb->next = xact_buffers;
	xact_buffers = xb;
	return xb;
}

/* The buffer for a write of this (sub)transaction to a database. */
static XactBuffer *
begin_write(Oid serverid, FlowDb *db)
{
	XactBuffer *xb = find_buffer(serverid);

	if (xb == NULL)
		xb = make_buffer(serverid, db);
	flowdb_levels_begin(&xb->levels, flow_txbuf_count(xb->buf));
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
flowdb_xact_write(Oid serverid, FlowDb *db, const FlowdbWrite *w)
{
	uint64 xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	XactBuffer *xb = begin_write(serverid, db);

	flowdb_report(flow_txbuf_add(xb->buf, w->op, w->store_id, w->key,
								 w->key_bytes, w->ts, w->expire_at, w->value,
								 w->value_bytes, xid, w->cid));
	xb->has_rows |= w->op != FLOW_DELETE;
	if (w->checked)
		flowdb_report(flow_txbuf_check(xb->buf, w->seen, w->absent));
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
 * Who has waited may find that the store was dropped meanwhile: what he knows
 * of it is void, and what he would write nobody would ever see.
 *
 * The lock is the (sub)transaction's, as what it is taken for is, and never a
 * portal's: a cursor that fails inside a savepoint loses what it has locked
 * outside of it.
 */
static bool
lock_store(Oid serverid, uint32 store_id, LOCKMODE mode, bool wait)
{
	ResourceOwner owner = CurrentResourceOwner;
	LOCKTAG tag;
	LockAcquireResult res;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ForeignServerRelationId, serverid,
					   1 + (store_id - 1) % (FLOWDB_LOCK_DEFINE - 1));
	/* after an error, the abort sets the current owner */
	CurrentResourceOwner = CurTransactionResourceOwner;
	res = LockAcquire(&tag, mode, false, !wait);
	CurrentResourceOwner = owner;

	if (res == LOCKACQUIRE_OK &&
		!flow_store_exists(flowdb_database(serverid), store_id))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not use a FlowDB store because it was dropped "
						"by a concurrent transaction")));
	return res != LOCKACQUIRE_NOT_AVAIL;
}

void
flowdb_lock_store(Oid serverid, uint32 store_id, LOCKMODE mode)
{
	(void) lock_store(serverid, store_id, mode, true);
}

bool
flowdb_lock_store_if(Oid serverid, uint32 store_id, LOCKMODE mode)
{
	return lock_store(serverid, store_id, mode, false);
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
	uint32_t store_id;

	(void) GetCurrentFullTransactionId();
	try_with_room(flow_store_define(db, name, blob, blob_bytes, &store_id));
	return store_id;
}

void
flowdb_store_drop(FlowDb *db, uint32 store_id, uint64 xid, bool unless)
{
	try_with_room(unless ? flow_store_drop_unless(db, store_id, xid)
						 : flow_store_drop(db, store_id, xid));
}

void
flowdb_configure(FlowDb *db, const FlowSettings *settings)
{
	(void) GetCurrentFullTransactionId();
	try_with_room(flow_configure(db, settings));
}

void
flowdb_configure_store(FlowDb *db, uint32 store_id, int policy)
{
	(void) GetCurrentFullTransactionId();
	try_with_room(flow_configure_store(db, store_id, policy));
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
			if (flowdb_row_locks_held())
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("cannot PREPARE a transaction that has "
									   "locked rows of a FlowDB table")));
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
			flowdb_row_locks_release();
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int level = GetCurrentTransactionNestLevel();
	Size mark;

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		/* drop what the level and those inside it have buffered */
		for (XactBuffer *xb = xact_buffers; xb != NULL; xb = xb->next)
			if (flowdb_levels_abort(&xb->levels, level, &mark))
				flow_txbuf_truncate(xb->buf, mark);
		flowdb_row_locks_subabort(level);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (XactBuffer *xb = xact_buffers; xb != NULL; xb = xb->next)
			flowdb_levels_commit(&xb->levels, level);
		flowdb_row_locks_subcommit(level);
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
