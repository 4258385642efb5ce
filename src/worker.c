/*-------------------------------------------------------------------------
 * worker.c
 *	  Workers flush memtables, note transactions' fates, merge SSTables.
 *
 * flowdb.max_workers of them, whatever the number of databases.  Flushing
 * must not wait behind a merge: worker 0 never merges when there is another
 * one, and those that do go on by small steps and look for something frozen
 * in between.  They are woken when a memtable is frozen or SSTables came in.
 *
 * A worker may be ended at any moment: an unfinished flush leaves the
 * memtable where it was, an unfinished merge is gone without a trace.
 *
 * On a hot standby the startup process flushes and notes fates, in the order
 * of the log; workers there only merge, because files would pile up else, and
 * take out stores that were dropped.
 * What a merge leaves out must be settled for the standby's own snapshots,
 * the log is "flushed" by moving the minimum recovery point (S5), and redo
 * waits for a moment when a worker is at the manifest (redo.c).
 *
 * Keeps: S3, S4, S5, S13.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
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
#define BUSY_INTERVAL_MS 20		  /* another process is at the same */
#define WARNING_INTERVAL_MS 60000 /* about what keeps failing */
#define RETRY_MAX_MS 60000		  /* a merge that failed is tried again */

/* Length of a step of a merge, alone and beside a worker that flushes. */
#define BUDGET_ALONE_US 20000
#define BUDGET_US 50000

/* Merges of different databases that one worker has under way: each holds
 * files and memory. */
#define MAX_MERGES 4

PGDLLEXPORT void flowdb_worker_main(Datum arg);

/* What this worker knows about the database of a slot. */
typedef struct Job
{
	FlowDbShared *shared;  /* whom all this is about */
	bool pending;		   /* this process has a merge under way */
	int retry_ms;		   /* pause after the last failure, 0: none */
	TimestampTz retry_at;  /* merge not before this */
	TimestampTz flush_at;  /* flush not before this */
	TimestampTz gc_at;	   /* when expired SSTables were last looked for */
	TimestampTz freeze_at; /* when memory was last written for its age */
	TimestampTz merge_at;  /* when a merge was last looked for */
	int policy;			   /* handed to the engine, -1: none */
} Job;

typedef enum WorkResult
{
	WORK_NONE, /* nothing was to do */
	WORK_BUSY, /* not now, but soon */
	WORK_DONE  /* something was, and there may be more */
} WorkResult;

static Job jobs[FLOWDB_MAX_DATABASES];
static bool merges; /* this worker does */

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

/* The job of a slot whose database is db; a new one for a new database. */
static Job *
job_of(int slot, FlowDb *db)
{
	Job *job = &jobs[slot];

	if (job->shared != flow_shared(db))
		*job = (Job){.shared = flow_shared(db),
					 .gc_at = GetCurrentTimestamp(),
					 .policy = -1};
	return job;
}

/* ----------------------------------------------------------------- flushing */

/* Write the oldest frozen memtable of one database. */
static WorkResult
flush_database(Job *job, FlowDb *db)
{
	TimestampTz now = GetCurrentTimestamp();
	FlowStatus st;

	if (now < job->flush_at)
		return WORK_NONE;
	st = flow_flush_step(db);
	CHECK_FOR_INTERRUPTS();
	if (st == FLOW_OK)
		return WORK_DONE;
	if (st == FLOW_BUSY) /* a manifest is being written, or it is flushed */
		return WORK_BUSY;
	if (st == FLOW_END || st == FLOW_INTERRUPTED)
		return WORK_NONE;
	/* it alone has to wait: the others' disks may be fine */
	warn_about(st);
	job->flush_at = TimestampTzPlusMilliseconds(now, WORK_INTERVAL_MS);
	return WORK_NONE;
}

/* The server's flush_interval_ms: what is in memory does not get older. */
static void
freeze_old(Job *job, FlowDb *db)
{
	TimestampTz now = GetCurrentTimestamp();
	int64_t interval_ms;

	if (!flow_setting(db, FLOW_SETTING_FLUSH_INTERVAL_MS, &interval_ms) ||
		now - job->freeze_at < interval_ms * 1000)
		return;
	job->freeze_at = now;
	if (flow_oldest_unflushed(job->shared) != PG_UINT64_MAX)
		flowdb_report(flow_freeze(db, PG_UINT64_MAX));
}

/* S4: fates into memtables and manifest while pg_xact knows them. */
static void
resolve_database(int slot, FlowDb *db)
{
	FlowStatus st = flow_learn_fates(db);

	if (st == FLOW_OK)
		st = flow_resolve_step(db);
	if (st == FLOW_CORRUPT)
	{
		if (flowdb_slot_is_broken(slot))
			return; /* which was said when it broke */
		flowdb_report_at(WARNING, st);
		flowdb_slot_break(slot);
	}
	else if (st != FLOW_OK && st != FLOW_END && st != FLOW_BUSY &&
			 st != FLOW_INTERRUPTED)
		warn_about(st);
}

/*
 * S4 again: pg_xact does not wait for a database that nobody has opened since
 * the server started, and its files may have fates that nobody has asked for
 * yet.  Loaded, it also has its expired files removed.
 */
static void
load_closed(void)
{
	static TimestampTz load_at[FLOWDB_MAX_DATABASES]; /* after a failure */
	TimestampTz now = GetCurrentTimestamp();
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_registry_closed(slots);

	for (int i = 0; i < nslots; i++)
	{
		if (now >= load_at[slots[i]] && !flowdb_slot_try_load(slots[i]))
			load_at[slots[i]] =
				TimestampTzPlusMilliseconds(now, WARNING_INTERVAL_MS);
	}
}

/* One round over all databases. */
static WorkResult
flush(bool resolve)
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
		freeze_old(job_of(slots[i], db), db);
		result = Max(result, flush_database(job_of(slots[i], db), db));
		if (resolve)
			resolve_database(slots[i], db);
	}
	return result;
}

/* On a standby: stores whose drop was replayed need not wait for the next
 * restartpoint. */
static void
drop_stores(void)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);
		FlowStatus st;

		if (db == NULL || flowdb_slot_is_broken(slots[i]))
			continue;
		st = flow_drop_step(db);
		CHECK_FOR_INTERRUPTS();
		if (st != FLOW_OK && st != FLOW_END && st != FLOW_BUSY &&
			st != FLOW_INTERRUPTED)
			warn_about(st);
	}
}

/* ------------------------------------------------------------------ merging */

/* A failure is followed by longer and longer pauses.  Damage does not heal:
 * the merge's inputs stay, and so do reads that do not need the bad block. */
static WorkResult
merge_failed(Job *job, int slot, FlowStatus st)
{
	/* the files of a dropped one go while they are merged */
	if (flowdb_slot_is_loaded(slot))
		warn_about(st);
	job->pending = false;
	job->retry_ms =
		st == FLOW_CORRUPT || st == FLOW_MISMATCH
			? RETRY_MAX_MS
			: Min(Max(job->retry_ms * 2, WORK_INTERVAL_MS), RETRY_MAX_MS);
	job->retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), job->retry_ms);
	return WORK_NONE;
}

static WorkResult
merge_step(Job *job, int slot, FlowDb *db)
{
	FlowMaintenance report = {0};
	FlowStatus st;

	flowdb_debug_point("worker-merge");
	st = flow_maintenance_step(
		db, flowdb_max_workers > 1 ? BUDGET_US : BUDGET_ALONE_US, &report);
	CHECK_FOR_INTERRUPTS();
	switch (st)
	{
		case FLOW_OK:
			job->pending = report.pending;
			job->retry_ms = 0;
			return WORK_DONE;
		case FLOW_END:
			job->pending = false;
			return WORK_NONE;
		case FLOW_BUSY:
		case FLOW_INTERRUPTED:
			job->pending = report.pending;
			return WORK_BUSY;
		default:
			return merge_failed(job, slot, st);
	}
}

/* Drop expired SSTables when it is time; merges do so too, but only where
 * something else is to be done. */
static void
collect_garbage(Job *job, FlowDb *db)
{
	TimestampTz now = GetCurrentTimestamp();
	int64_t secs;
	uint64_t purged;
	FlowStatus st;

	if (!flow_setting(db, FLOW_SETTING_GC_INTERVAL_SECS, &secs))
		secs = flowdb_gc_interval_secs;
	if (secs == 0 || now - job->gc_at < secs * USECS_PER_SEC)
		return;
	st = flow_gc(db, &purged);
	CHECK_FOR_INTERRUPTS();
	if (st == FLOW_BUSY || st == FLOW_INTERRUPTED)
		return; /* the next round does it */
	job->gc_at = now;
	if (st != FLOW_OK && st != FLOW_END)
		warn_about(st);
}

/* flowdb.merge_policy may change while the server runs. */
static void
hand_on_policy(Job *job, FlowDb *db)
{
	FlowMergePolicy policy;
	FlowStatus st;
	int64_t kind;

	if (flow_setting(db, FLOW_SETTING_POLICY, &kind))
	{
		job->policy = -1; /* the server has one of its own */
		return;
	}
	if (job->policy == flowdb_merge_policy)
		return;
	flowdb_settings_policy(&policy);
	st = flow_set_merge_policy(db, 0, &policy);
	job->policy = flowdb_merge_policy;
	if (st != FLOW_OK)
		warn_about(st);
}

/* May workers merge in the database?  The server's option goes first. */
static bool
may_merge(FlowDb *db)
{
	int64_t on;

	return flow_setting(db, FLOW_SETTING_AUTO_BACKGROUND, &on)
			   ? on != 0
			   : flowdb_auto_compaction;
}

/* Has this worker something to merge in the database? */
static bool
wants_merge(Job *job, FlowDb *db, int nmerges)
{
	TimestampTz now = GetCurrentTimestamp();
	int64_t interval_ms;

	if (!may_merge(db))
	{
		if (job->pending)
			flow_maintenance_cancel(db);
		job->pending = false;
		return false;
	}
	if (now < job->retry_at)
		return false;
	if (job->pending)
		return true;
	if (flow_setting(db, FLOW_SETTING_COMPACTION_INTERVAL_MS, &interval_ms))
	{
		if (now - job->merge_at < interval_ms * 1000)
			return false;
		job->merge_at = now;
	}
	return nmerges < MAX_MERGES && flow_wants_maintenance(db);
}

static int
count_merges(void)
{
	int n = 0;

	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
		n += jobs[i].pending;
	return n;
}

/* A dropped database's merge goes with the handle. */
static void
forget_database(int slot)
{
	if (jobs[slot].pending)
		flowdb_slot_forget(slot);
	jobs[slot].pending = false;
}

/*
 * One step, in the next database that has something to do: taking turns by
 * steps, none waits for another's long merge.
 */
static WorkResult
merge_somewhere(void)
{
	static int last;
	WorkResult result = WORK_NONE;

	for (int i = 1; i <= FLOWDB_MAX_DATABASES && result < WORK_DONE; i++)
	{
		int slot = (last + i) % FLOWDB_MAX_DATABASES;
		FlowDb *db = NULL;
		Job *job;

		if (flowdb_slot_is_loaded(slot) && !flowdb_slot_is_broken(slot))
			db = flowdb_slot_handle(slot);
		if (db == NULL)
		{
			forget_database(slot);
			continue;
		}
		job = job_of(slot, db);
		hand_on_policy(job, db);
		collect_garbage(job, db);
		if (!wants_merge(job, db, count_merges()))
			continue;
		result = Max(result, merge_step(job, slot, db));
		if (result == WORK_DONE)
		{
			last = slot;
			break;
		}
	}
	return result;
}

/* --------------------------------------------------------------------- main */

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
	merges = number > 0 || flowdb_max_workers == 1;
}

/* One round of all that this worker has to do now. */
static WorkResult
work(int number)
{
	static TimestampTz resolved_at = 0;
	WorkResult result = WORK_NONE;
	TimestampTz now = GetCurrentTimestamp();
	bool resolve = number == 0 && TimestampDifferenceExceeds(resolved_at, now,
															 WORK_INTERVAL_MS);

	if (RecoveryInProgress())
	{
		if (resolve)
		{
			resolved_at = now;
			drop_stores();
		}
	}
	else
	{
		if (resolve)
		{
			flowdb_debug_point("worker-resolve");
			resolved_at = now;
			load_closed();
		}
		result = flush(resolve);
	}
	/* also while there is always something to flush: files would pile up */
	if (merges)
		result = Max(result, merge_somewhere());
	return result;
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
		WorkResult result;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		result = work(number);
		MemoryContextReset(context);
		if (result == WORK_DONE)
			continue;

		(void) WaitLatch(
			MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			result == WORK_BUSY ? BUSY_INTERVAL_MS : WORK_INTERVAL_MS,
			PG_WAIT_EXTENSION);
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
			.bgw_start_time = BgWorkerStart_ConsistentState,
			.bgw_restart_time = 1,
			.bgw_main_arg = Int32GetDatum(i)};

		strlcpy(worker.bgw_library_name, FLOWDB_EXTENSION, BGW_MAXLEN);
		strlcpy(worker.bgw_function_name, "flowdb_worker_main", BGW_MAXLEN);
		snprintf(worker.bgw_name, BGW_MAXLEN, "flowdb worker %d", i);
		strlcpy(worker.bgw_type, "flowdb worker", BGW_MAXLEN);
		RegisterBackgroundWorker(&worker);
	}
}
