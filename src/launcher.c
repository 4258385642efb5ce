/*-------------------------------------------------------------------------
 * launcher.c
 *	  The checkpoint holder.
 *
 * No checkpoint may become durable while a batch logged before its redo
 * pointer is only in a memtable (S6).  The launcher holds DELAY_CHKPT_COMPLETE
 * in a virtual transaction that it never ends while the server runs.  The
 * checkpointer, having written everything else, collects the virtual xids
 * of such processes and waits until each has changed.  The launcher changes
 * its own only when all that was logged before the current redo pointer is
 * in durable SSTables, and makes the workers write what is missing.  It
 * flushes itself at the very end, and where workers are missing (workers.c).
 *
 * It takes no heavyweight lock and waits for no transaction, barrier or
 * checkpoint: the waiting checkpointer would serve none.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "flowdb_shmem.h"

#define HOLD_INTERVAL_MS 100
#define SETTLE_INTERVAL_MS 1000
#define ASK_INTERVAL_MS 1000
#define FINAL_FLUSH_TRIES 50

PGDLLEXPORT void flowdb_launcher_main(Datum arg);

/* Let writers in, or keep them out.  Nobody is inside a log append then. */
static void
set_armed(bool armed)
{
	LWLockAcquire(&flowdb_shared->gate, LW_EXCLUSIVE);
	flowdb_shared->armed = armed;
	LWLockRelease(&flowdb_shared->gate);
	if (armed)
		ConditionVariableBroadcast(&flowdb_shared->armed_cv);
}

static bool
anything_unflushed(XLogRecPtr before)
{
	bool any = false;

	/* the lock keeps it there: no handle does */
	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	for (int i = 0; i < FLOWDB_MAX_DATABASES && !any; i++)
	{
		FlowDbShared *shared = flowdb_slot_loaded(&flowdb_shared->slots[i]);

		any = shared != NULL && flow_oldest_unflushed(shared) < before;
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return any;
}

/* Have everything from before redo frozen, for the workers to write. */
static void
freeze_before(XLogRecPtr redo)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);

		if (db != NULL)
			flowdb_report(flow_freeze(db, redo));
	}
	flowdb_wake_workers();
}

/*
 * One look at the redo pointer.  That all before it is flushed stays true
 * once it is, so it is found out before ProcArrayLock is taken; under the
 * lock, which the checkpointer takes to collect, only the pointer is
 * compared again.
 */
static void
hold_step(void)
{
	static XLogRecPtr moved_at; /* for tests of the once that hangs */
	XLogRecPtr redo = GetRedoRecPtr();

	if (anything_unflushed(redo) && !flowdb_debug_point("holder-skip-check"))
	{
		freeze_before(redo);
		return;
	}
	if (moved_at == redo && flowdb_debug_point("holder-only-once"))
		return;
	moved_at = redo;
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	if (GetRedoRecPtr() == redo)
		FLOWDB_PROC_LXID(MyProc) = GetNextLocalTransactionId();
	LWLockRelease(ProcArrayLock);
}

/*
 * The final flush.  Writers are out, workers may be gone: this process
 * writes everything, whatever it takes; interrupts are off in an exit
 * callback.
 */
static void
flush_everything(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);
		FlowStatus st = FLOW_OK;

		if (db == NULL)
			continue;
		for (int try = 0; try < FINAL_FLUSH_TRIES; try++)
		{
			st = flow_flush(db, NULL);
			if (st == FLOW_OK)
				break;
			if (try == 0)
				flowdb_report_at(WARNING, st);
			pg_usleep(100000L);
		}
	}
}

/* Out of the way of writers, and the last flush. */
static void
launcher_exit(int code, Datum arg)
{
	LWLockReleaseAll();
	set_armed(false);
	flowdb_debug_point("final-flush");
	if (anything_unflushed(PG_UINT64_MAX) &&
		!flowdb_debug_point("shutdown-skip-flush"))
		flush_everything();
}

/*
 * Leaving with batches in memory while a checkpoint could pass would lose
 * them: then it is better to crash and to replay.  This is a callback of its
 * own, registered first, because an error inside launcher_exit makes it end
 * without coming back.  The place is given up after that only: a writer that
 * misses the launcher has another one started, which lets writers in.
 */
static void
launcher_check(int code, Datum arg)
{
	if (anything_unflushed(PG_UINT64_MAX) &&
		!flowdb_debug_point("shutdown-skip-flush"))
		ereport(PANIC,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("FlowDB could not flush its write buffers"),
				 errdetail("Nothing is lost: the write-ahead log has what they "
						   "hold, and the next start recovers it."),
				 errhint("Remove the cause that was reported before, and start "
						 "the server.")));
	SpinLockAcquire(&flowdb_shared->mutex);
	flowdb_shared->launcher_latch = NULL;
	SpinLockRelease(&flowdb_shared->mutex);
}

static void
settle(void *arg)
{
	flowdb_registry_settle();
}

/* Be the only one; false: there is another. */
static bool
take_place(void)
{
	bool first;

	SpinLockAcquire(&flowdb_shared->mutex);
	first = flowdb_shared->launcher_latch == NULL;
	if (first)
		flowdb_shared->launcher_latch = MyLatch;
	SpinLockRelease(&flowdb_shared->mutex);
	return first;
}

static void
launcher_start(void)
{
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	if (!take_place())
		proc_exit(0); /* and never again */
	before_shmem_exit(launcher_check, 0);
	before_shmem_exit(launcher_exit, 0);

	flowdb_debug_point("launcher-start");
	FLOWDB_NO_TRANSACTION_TIMEOUT();
	StartTransactionCommand();
	MyProc->delayChkptFlags |= DELAY_CHKPT_COMPLETE;
	set_armed(true);
}

void
flowdb_launcher_main(Datum arg)
{
	int64 warned_at = 0;
	int64 settled_at = 0;

	launcher_start();
	while (!ShutdownRequestPending)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 HOLD_INTERVAL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		flowdb_debug_point("holder-stop");
		hold_step();
		if (settled_at == 0 ||
			flowdb_ticks_passed(settled_at, SETTLE_INTERVAL_MS))
		{
			(void) flowdb_in_peace(settle, NULL, &warned_at);
			flowdb_work_tidy();
			settled_at = flowdb_ticks_us();
		}
		flowdb_workers_stand_in();
	}

	/*
	 * Exit code 1: started again after a second unless the server shuts
	 * down, so that terminating the launcher does not stop all writing.
	 */
	proc_exit(1);
}

void
flowdb_wake_launcher(void)
{
	SpinLockAcquire(&flowdb_shared->mutex);
	if (flowdb_shared->launcher_latch != NULL)
		SetLatch(flowdb_shared->launcher_latch);
	SpinLockRelease(&flowdb_shared->mutex);
}

static void
describe_launcher(BackgroundWorker *worker)
{
	*worker =
		(BackgroundWorker){.bgw_flags = BGWORKER_SHMEM_ACCESS |
										BGWORKER_BACKEND_DATABASE_CONNECTION,
						   .bgw_start_time = BgWorkerStart_RecoveryFinished,
						   .bgw_restart_time = 1};
	strlcpy(worker->bgw_library_name, FLOWDB_EXTENSION, BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "flowdb_launcher_main", BGW_MAXLEN);
	strlcpy(worker->bgw_name, "flowdb launcher", BGW_MAXLEN);
	strlcpy(worker->bgw_type, "flowdb launcher", BGW_MAXLEN);
}

void
flowdb_launcher_register(void)
{
	BackgroundWorker worker;

	describe_launcher(&worker);
	RegisterBackgroundWorker(&worker);
}

bool
flowdb_launcher_ask(void)
{
	struct FlowdbShared *sh = flowdb_shared;
	uint64 asked = pg_atomic_read_u64(&sh->launcher_asked);
	BackgroundWorker worker;

	if (asked != 0 && !flowdb_ticks_passed((int64) asked, ASK_INTERVAL_MS))
		return true;
	if (!pg_atomic_compare_exchange_u64(&sh->launcher_asked, &asked,
										(uint64) flowdb_ticks_us()))
		return true; /* somebody else has just done so */
	describe_launcher(&worker);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}
