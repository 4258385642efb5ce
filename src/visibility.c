/*-------------------------------------------------------------------------
 * visibility.c
 *	  Which batches a snapshot sees, and what became of a transaction.
 *
 * A batch is visible if and only if a heap row with its xid and command id
 * would be (S3).  Fates are asked as the heap asks them: in progress first,
 * then pg_xact (S4).
 *
 * The functions here are called by the engine and must not throw; an error
 * that pg_xact raises is kept and raised again once the engine has unwound.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "flowdb_shmem.h"

#include "../engine/common.h"

static ErrorData *kept_error;

/* In redo: older transactions that have not committed were aborted. */
static uint64 aborted_before;

/* How old the horizon may be before it is asked for again. */
#define HORIZON_MAX_AGE_MS 100

static void
keep_error(const FlowdbNoThrow *guard)
{
	flowdb_nothrow_unlock(guard);
	MemoryContextSwitchTo(TopMemoryContext);
	if (kept_error == NULL)
		kept_error = CopyErrorData();
	MemoryContextSwitchTo(guard->context);
	FlushErrorState();
}

bool
flowdb_error_is_kept(void)
{
	return kept_error != NULL;
}

void
flowdb_rethrow_kept(void)
{
	ErrorData *edata = kept_error;

	if (likely(edata == NULL))
		return;
	kept_error = NULL;
	ReThrowError(edata);
}

void
flowdb_forget_kept(void)
{
	if (kept_error != NULL)
		FreeErrorData(kept_error);
	kept_error = NULL;
}

/* TransactionIdDidCommit that does not throw: false and a kept error. */
static bool
did_commit(TransactionId xid)
{
	FlowdbNoThrow guard;
	volatile bool result = false;

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		result = TransactionIdDidCommit(xid);
	}
	PG_CATCH();
	{
		keep_error(&guard);
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	return result;
}

/* XidInMVCCSnapshot that does not throw: it reads pg_subtrans when the
 * snapshot does not hold all subtransactions. */
static bool
in_snapshot(TransactionId xid, Snapshot snapshot)
{
	FlowdbNoThrow guard;
	volatile bool result = true;

	if (likely(!snapshot->suboverflowed))
		return XidInMVCCSnapshot(xid, snapshot);
	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		result = XidInMVCCSnapshot(xid, snapshot);
	}
	PG_CATCH();
	{
		keep_error(&guard);
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	return result;
}

/* A hint for the next reader; never durable by itself (S5), and never in the
 * place of a fate that was learned meanwhile. */
static void
leave_hint(FlowTxn *txn)
{
	uint32 unknown = FLOW_TXN_UNKNOWN;

	(void) atomic_compare_exchange_strong(&txn->state, &unknown,
										  FLOW_TXN_COMMITTED);
}

bool
flowdb_visible(void *arg, FlowTxn *txn)
{
	Snapshot snapshot = arg;
	TransactionId xid = (TransactionId) txn->xid;
	uint32 state = atomic_load_explicit(&txn->state, memory_order_relaxed);

	if (state == FLOW_TXN_ABORTED)
		return false;
	if (state == FLOW_TXN_SETTLED)
		return true;
	if (state == FLOW_TXN_UNKNOWN && TransactionIdIsCurrentTransactionId(xid))
		return txn->cid < snapshot->curcid;
	if (in_snapshot(xid, snapshot))
		return false;
	if (state == FLOW_TXN_COMMITTED)
		return true;
	if (!did_commit(xid))
		return false;
	leave_hint(txn);
	return true;
}

/* TransactionIdIsInProgress that does not throw: true and a kept error. */
static bool
in_progress(TransactionId xid)
{
	FlowdbNoThrow guard;
	volatile bool result = true;

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		result = TransactionIdIsInProgress(xid);
	}
	PG_CATCH();
	{
		keep_error(&guard);
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	return result;
}

/* What became of another transaction, as far as its writes to a row matter. */
static FlowTxnState
fate_now(TransactionId xid, FlowTxnState known)
{
	if (known != FLOW_TXN_UNKNOWN)
		return known;
	if (in_progress(xid))
		return FLOW_TXN_UNKNOWN;
	return did_commit(xid) ? FLOW_TXN_COMMITTED : FLOW_TXN_ABORTED;
}

bool
flowdb_counts(void *arg, uint64_t xid, FlowTxnState state)
{
	TransactionId xid32 = (TransactionId) xid;

	if (state == FLOW_TXN_UNKNOWN && TransactionIdIsCurrentTransactionId(xid32))
		return false;
	return fate_now(xid32, state) != FLOW_TXN_ABORTED;
}

bool
flowdb_visible_now(void *arg, FlowTxn *txn)
{
	FlowdbNewestLook *look = arg;
	TransactionId xid = (TransactionId) txn->xid;
	FlowTxnState state =
		(FlowTxnState) atomic_load_explicit(&txn->state, memory_order_relaxed);
	bool own =
		state == FLOW_TXN_UNKNOWN && TransactionIdIsCurrentTransactionId(xid);
	bool seen = false;

	if (own)
		seen = look->snapshot && txn->cid < look->snapshot->curcid;
	else
	{
		state = fate_now(xid, state);
		if (state == FLOW_TXN_UNKNOWN && txn->seq_first >= look->pending_seq)
		{
			look->pending_seq = txn->seq_first;
			look->pending_xid = txn->xid;
		}
		if (state == FLOW_TXN_UNKNOWN || state == FLOW_TXN_ABORTED)
			return false;
		leave_hint(txn);
		seen = look->snapshot && !in_snapshot(xid, look->snapshot);
	}
	if (!look->accepted || txn->seq_first > look->seq_first)
	{
		look->accepted = true;
		look->seq_first = txn->seq_first;
		look->seq_last = txn->seq_last;
		look->own = own;
		look->seen = seen;
	}
	return true;
}

/* Full form of an xid that was looked up before next was. */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	TransactionId next_xid = XidFromFullTransactionId(next);

	return U64FromFullTransactionId(next) - (uint32) (next_xid - xid);
}

/*
 * Every snapshot there is, and every one to come, is younger than this.  It
 * only moves forward, so an old answer is a safe one.
 */
static uint64
settled_horizon(void)
{
	static uint64 horizon;
	static int64 asked_at;
	int64 now = flowdb_ticks_us();

	if (asked_at == 0 ||
		now - asked_at >= HORIZON_MAX_AGE_MS * INT64CONST(1000))
	{
		TransactionId oldest = GetOldestNonRemovableTransactionId(NULL);

		/* in this order: when nobody runs, the horizon is the next xid */
		horizon = widen(oldest, ReadNextFullTransactionId());
		asked_at = now;
	}
	return horizon;
}

void
flowdb_aborted_before(TransactionId oldest, FullTransactionId next)
{
	uint64 before;

	if (!TransactionIdIsNormal(oldest))
		return;
	before = widen(oldest, next);
	aborted_before = Max(aborted_before, before);
}

static FlowTxnState
ask_fate(uint64 xid)
{
	TransactionId xid32 = (TransactionId) xid;
	uint64 horizon;

	if (RecoveryInProgress())
	{
		if (!TransactionIdDidCommit(xid32))
			return TransactionIdDidAbort(xid32) || xid < aborted_before
					   ? FLOW_TXN_ABORTED
					   : FLOW_TXN_UNKNOWN;
		/*
		 * Without hot standby there is no snapshot, and those after recovery
		 * are younger than every replayed commit.  Only the startup process
		 * knows that: in the others the variable never changes, and where
		 * they exist, snapshots do.
		 */
		return (AmStartupProcess() && standbyState == STANDBY_DISABLED) ||
					   xid < settled_horizon()
				   ? FLOW_TXN_SETTLED
				   : FLOW_TXN_COMMITTED;
	}
	/* what is older than the horizon is over, and may be older than what
	 * pg_subtrans has for TransactionIdIsInProgress */
	horizon = settled_horizon();
	if (xid >= horizon && TransactionIdIsInProgress(xid32))
		return FLOW_TXN_UNKNOWN;
	if (!TransactionIdDidCommit(xid32))
		return FLOW_TXN_ABORTED;
	return xid < horizon ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
}

/*
 * flowdb_txn_outcome
 *		FlowEnv.txn_outcome.  When pg_xact does not reach back to xid any
 *		more, one that is known to have committed is settled: pg_xact is not
 *		truncated past a snapshot.  Else CORRUPT: nobody can tell, and
 *		"aborted" would be a guess.  XactTruncationLock keeps pg_xact as it
 *		is in between.
 */
FlowStatus
flowdb_txn_outcome(FlowEnv *env, uint64_t xid, FlowTxnState *statep)
{
	FlowdbNoThrow guard;
	FlowStatus volatile st = FLOW_OK;
	FullTransactionId next;
	TransactionId oldest;

	LWLockAcquire(XactTruncationLock, LW_SHARED);
	flowdb_nothrow_begin(&guard);
	oldest = ShmemVariableCache->oldestClogXid;
	next = ReadNextFullTransactionId();
	if (xid >= U64FromFullTransactionId(next))
		*statep = FLOW_TXN_UNKNOWN;
	else if (TransactionIdIsNormal(oldest) && xid < widen(oldest, next))
	{
		if (*statep == FLOW_TXN_COMMITTED)
			*statep = FLOW_TXN_SETTLED;
		else
			st = flowi_fail(FLOW_CORRUPT,
							"transaction %llu is older than pg_xact reaches",
							(unsigned long long) xid);
	}
	else
	{
		PG_TRY();
		{
			*statep = ask_fate(xid);
		}
		PG_CATCH();
		{
			st =
				flowdb_nothrow_caught(&guard, FLOW_IOERR, "transaction status");
		}
		PG_END_TRY();
	}
	flowdb_nothrow_end(&guard);
	LWLockRelease(XactTruncationLock);
	return st;
}
