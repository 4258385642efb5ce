/*-------------------------------------------------------------------------
 * workers.c
 *	  The worker processes, and what is done without them.
 *
 * They are registered when the server starts.  PostgreSQL leaves out what
 * max_worker_processes has no room for, and says so in a message of level LOG
 * only.  Nothing of FlowDB may hang or break by that: the launcher stands in
 * for workers that are not there, as slowly as one process does, says so, and
 * has them started once there is room.  It is registered before them, and when
 * it is missing itself nothing is written at all (xact.c), until a writer that
 * waits gets it started.
 *
 * So it may happen that two of a kind come up: the second one leaves.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "flowdb_shmem.h"

#define WORK_INTERVAL_MS 1000	 /* look without being woken */
#define BUSY_INTERVAL_MS 20		 /* another process is at the same */
#define MISSING_MS 2000			 /* PostgreSQL restarts one after a second */
#define ASK_INTERVAL_MS 5000	 /* between two tries to start one */
#define TELL_INTERVAL_MS 3600000 /* between two WARNINGs that one is missing */

PGDLLEXPORT void flowdb_worker_main(Datum arg);

/* ------------------------------------------------------------------ processes */

static void
worker_exit(int code, Datum arg)
{
	SpinLockAcquire(&flowdb_shared->mutex);
	flowdb_shared->worker_latch[DatumGetInt32(arg)] = NULL;
	SpinLockRelease(&flowdb_shared->mutex);
}

static void
worker_start(int number)
{
	bool first;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	SpinLockAcquire(&flowdb_shared->mutex);
	first = flowdb_shared->worker_latch[number] == NULL;
	if (first)
		flowdb_shared->worker_latch[number] = MyLatch;
	SpinLockRelease(&flowdb_shared->mutex);
	if (!first)
		proc_exit(0); /* and never again */
	before_shmem_exit(worker_exit, Int32GetDatum(number));
}

void
flowdb_worker_main(Datum arg)
{
	int number = DatumGetInt32(arg);
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "FlowDB worker", ALLOCSET_DEFAULT_SIZES);

	worker_start(number);
	MemoryContextSwitchTo(context);
	for (;;)
	{
		FlowdbWork result;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		result =
			flowdb_work(number == 0, number > 0 || flowdb_max_workers == 1);
		MemoryContextReset(context);
		if (result == FLOWDB_WORK_DONE)
			continue;

		(void) WaitLatch(
			MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			result == FLOWDB_WORK_BUSY ? BUSY_INTERVAL_MS : WORK_INTERVAL_MS,
			PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
flowdb_wake_workers(void)
{
	Latch *instead;

	SpinLockAcquire(&flowdb_shared->mutex);
	for (int i = 0; i < FLOWDB_MAX_WORKERS; i++)
	{
		if (flowdb_shared->worker_latch[i] != NULL)
			SetLatch(flowdb_shared->worker_latch[i]);
	}
	instead = flowdb_shared->worker_latch[0] == NULL
				  ? flowdb_shared->launcher_latch
				  : NULL;
	if (instead != NULL && instead != MyLatch)
		SetLatch(instead);
	SpinLockRelease(&flowdb_shared->mutex);
}

static void
describe_worker(BackgroundWorker *worker, int number)
{
	*worker =
		(BackgroundWorker){.bgw_flags = BGWORKER_SHMEM_ACCESS |
										BGWORKER_BACKEND_DATABASE_CONNECTION,
						   .bgw_start_time = BgWorkerStart_ConsistentState,
						   .bgw_restart_time = 1,
						   .bgw_main_arg = Int32GetDatum(number)};
	strlcpy(worker->bgw_library_name, FLOWDB_EXTENSION, BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "flowdb_worker_main", BGW_MAXLEN);
	snprintf(worker->bgw_name, BGW_MAXLEN, "flowdb worker %d", number);
	strlcpy(worker->bgw_type, "flowdb worker", BGW_MAXLEN);
}

void
flowdb_workers_register(void)
{
	for (int i = 0; i < flowdb_max_workers; i++)
	{
		BackgroundWorker worker;

		describe_worker(&worker, i);
		RegisterBackgroundWorker(&worker);
	}
}

/* -------------------------------------------------------------- without them */

/* What the launcher knows of missing workers; ticks. */
typedef struct Missing
{
	int64 since[FLOWDB_MAX_WORKERS]; /* 0: it is there */
	int64 asked_at;
	int64 told_at;
	bool merging; /* the launcher merges in their place */
} Missing;

static Missing missing;

/* Look who is there; returns how many are missing for longer than a restart
 * takes. */
static int
count_missing(int64 now)
{
	int n = 0;

	for (int i = 0; i < flowdb_max_workers; i++)
	{
		bool there;

		SpinLockAcquire(&flowdb_shared->mutex);
		there = flowdb_shared->worker_latch[i] != NULL;
		SpinLockRelease(&flowdb_shared->mutex);
		if (there)
			missing.since[i] = 0;
		else if (missing.since[i] == 0)
			missing.since[i] = now;
		n += !there && now - missing.since[i] >= MISSING_MS * INT64CONST(1000);
	}
	return n;
}

static bool
is_missing(int number, int64 now)
{
	return missing.since[number] != 0 &&
		   now - missing.since[number] >= MISSING_MS * INT64CONST(1000);
}

/* Worker 0 flushes and notes fates; it merges when it is to be the only one. */
static bool
nobody_merges(int64 now)
{
	for (int i = flowdb_max_workers > 1 ? 1 : 0; i < flowdb_max_workers; i++)
		if (!is_missing(i, now))
			return false;
	return true;
}

/* Start those that there is room for; false: not all. */
static bool
ask_for_workers(int64 now)
{
	bool all = true;

	for (int i = 0; i < flowdb_max_workers && all; i++)
	{
		BackgroundWorker worker;

		if (!is_missing(i, now))
			continue;
		describe_worker(&worker, i);
		all = RegisterDynamicBackgroundWorker(&worker, NULL);
	}
	return all;
}

static void
tell_missing(int n, int64 now)
{
	ereport(WARNING,
			(errmsg("%d of %d FlowDB workers are not running", n,
					flowdb_max_workers),
			 errdetail("All %d background worker slots of the server are in "
					   "use. %s",
					   max_worker_processes,
					   is_missing(0, now) || nobody_merges(now)
						   ? "FlowDB's launcher does their work, one step "
							 "after the other."
						   : "Fewer SSTables are compacted at a time."),
			 errhint("Increase max_worker_processes and restart the server, or "
					 "reduce flowdb.max_workers; workers also start by "
					 "themselves once slots are free.")));
}

/* Which work the launcher does instead, and what came of it. */
typedef struct Instead
{
	bool resolve, merge;
	FlowdbWork result;
} Instead;

static void
work(void *arg)
{
	Instead *instead = arg;

	instead->result = flowdb_work(instead->resolve, instead->merge);
}

/* One round, which must not end this process by an error: while the launcher
 * is away nobody can write. */
static FlowdbWork
work_instead(bool resolve, bool merge)
{
	static MemoryContext context;
	static int64 warned_at;
	MemoryContext old = CurrentMemoryContext;
	Instead instead = {resolve, merge, FLOWDB_WORK_NONE};

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "FlowDB worker",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	(void) flowdb_in_peace(work, &instead, &warned_at);
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
	return instead.result;
}

void
flowdb_workers_stand_in(void)
{
	int64 now = flowdb_ticks_us();
	int n = count_missing(now);

	if (n > 0 && flowdb_ticks_passed(missing.asked_at, ASK_INTERVAL_MS))
	{
		missing.asked_at = now;
		if (!ask_for_workers(now) &&
			(missing.told_at == 0 ||
			 flowdb_ticks_passed(missing.told_at, TELL_INTERVAL_MS)))
		{
			missing.told_at = now;
			tell_missing(n, now);
		}
	}
	if (n == 0)
		missing.told_at = 0;

	if (missing.merging && !nobody_merges(now))
		flowdb_work_stop_merges();
	missing.merging = nobody_merges(now);
	if ((is_missing(0, now) || missing.merging) &&
		work_instead(is_missing(0, now), missing.merging) == FLOWDB_WORK_DONE)
		SetLatch(MyLatch);
}
