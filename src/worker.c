/*-------------------------------------------------------------------------
 * worker.c
 *	  Workers flush memtables and note transactions' fates.
 *
 * flowdb.max_workers of them, whatever the number of databases.  Each looks
 * at every database; the engine lets one flusher at a time into each.  They
 * are woken when a memtable is frozen.  A worker may be ended at any moment:
 * an unfinished flush leaves the memtable where it was.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "flowdb_shmem.h"

#define WORK_INTERVAL_MS 1000	  /* look without being woken */
#define WARNING_INTERVAL_MS 60000 /* about a flush that keeps failing */

PGDLLEXPORT void flowdb_worker_main(Datum arg);

static void
worker_exit(int code, Datum arg)
{
	SpinLockAcquire(&flowdb_shared->mutex);
	flowdb_shared->worker_latch[DatumGetInt32(arg)] = NULL;
	SpinLockRelease(&flowdb_shared->mutex);
}

/* One WARNING a minute is enough while a disk is full. */
static void
warn_about(FlowStatus st)
{
	static TimestampTz warned_at;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(warned_at, now, WARNING_INTERVAL_MS))
		return;
	warned_at = now;
	flowdb_report_at(WARNING, st);
}

typedef enum WorkResult
{
	WORK_NONE, /* nothing was to do */
	WORK_DONE, /* something was, and there may be more */
	WORK_FAILED
} WorkResult;

/* Write the oldest frozen memtable of one database. */
static WorkResult
flush_database(FlowDb *db)
{
	FlowStatus st = flow_flush_step(db);

	CHECK_FOR_INTERRUPTS();
	if (st == FLOW_OK)
		return WORK_DONE;
	if (st == FLOW_END || st == FLOW_BUSY || st == FLOW_INTERRUPTED)
		return WORK_NONE;
	warn_about(st);
	return WORK_FAILED;
}

/* S4: fates into memtables and manifest while pg_xact knows them. */
static void
resolve_database(int slot, FlowDb *db)
{
	FlowStatus st = flow_learn_fates(db);

	if (st == FLOW_OK)
		st = flow_resolve_step(db);
	if (st == FLOW_CORRUPT && !flowdb_slot_is_broken(slot))
	{
		flowdb_report_at(WARNING, st);
		flowdb_slot_break(slot);
	}
	else if (st != FLOW_OK && st != FLOW_END && st != FLOW_BUSY &&
			 st != FLOW_INTERRUPTED)
		warn_about(st);
}

/* One round over all databases. */
static WorkResult
work(bool resolve)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);
	bool pressure = pg_atomic_exchange_u32(&flowdb_shared->pressure, 0) != 0;
	WorkResult result = WORK_NONE;

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);

		if (db == NULL)
			continue;
		/* a writer waits, maybe for buffers that an idle database holds */
		if (pressure)
			flowdb_report(flow_freeze(db, PG_UINT64_MAX));
		result = Max(result, flush_database(db));
		if (resolve)
			resolve_database(slots[i], db);
	}
	return result;
}

static void
worker_start(int number)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(worker_exit, Int32GetDatum(number));

	SpinLockAcquire(&flowdb_shared->mutex);
	flowdb_shared->worker_latch[number] = MyLatch;
	SpinLockRelease(&flowdb_shared->mutex);
}

void
flowdb_worker_main(Datum arg)
{
	int number = DatumGetInt32(arg);
	TimestampTz resolved_at = 0;
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "FlowDB worker", ALLOCSET_DEFAULT_SIZES);

	worker_start(number);
	MemoryContextSwitchTo(context);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool resolve = number == 0 && TimestampDifferenceExceeds(
										  resolved_at, now, WORK_INTERVAL_MS);
		WorkResult result;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (resolve)
		{
			flowdb_debug_point("worker-resolve");
			resolved_at = now;
		}
		result = work(resolve);
		MemoryContextReset(context);
		if (result == WORK_DONE)
			continue;

		/* after a failure the latch must not make this a busy loop */
		(void) WaitLatch(MyLatch,
						 (result == WORK_NONE ? WL_LATCH_SET : 0) | WL_TIMEOUT |
							 WL_EXIT_ON_PM_DEATH,
						 WORK_INTERVAL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
flowdb_wake_workers(void)
{
	SpinLockAcquire(&flowdb_shared->mutex);
	for (int i = 0; i < FLOWDB_MAX_WORKERS; i++)
	{
		if (flowdb_shared->worker_latch[i] != NULL)
			SetLatch(flowdb_shared->worker_latch[i]);
	}
	SpinLockRelease(&flowdb_shared->mutex);
}

void
flowdb_workers_register(void)
{
	for (int i = 0; i < flowdb_max_workers; i++)
	{
		BackgroundWorker worker = {
			.bgw_flags =
				BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
			.bgw_start_time = BgWorkerStart_RecoveryFinished,
			.bgw_restart_time = 1,
			.bgw_main_arg = Int32GetDatum(i)};

		strlcpy(worker.bgw_library_name, FLOWDB_EXTENSION, BGW_MAXLEN);
		strlcpy(worker.bgw_function_name, "flowdb_worker_main", BGW_MAXLEN);
		snprintf(worker.bgw_name, BGW_MAXLEN, "flowdb worker %d", i);
		strlcpy(worker.bgw_type, "flowdb worker", BGW_MAXLEN);
		RegisterBackgroundWorker(&worker);
	}
}
