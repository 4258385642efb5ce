/*-------------------------------------------------------------------------
 * worker.c
 *	  What workers do: flush memtables, note transactions' fates, merge
 *	  SSTables.
 *
 * flowdb.max_workers of them (workers.c), whatever the number of databases.
 * Flushing must not wait behind a merge: worker 0 never merges when there is
 * another one, and those that do go on by small steps and look for something
 * frozen in between.  Without any worker the launcher does all of it.
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
#include "flowdb_shmem.h"

#define WORK_INTERVAL_MS 1000 /* what is looked at now and then */
#define RETRY_MAX_MS 60000	  /* a merge that failed is tried again */

/* Length of a step of a merge, alone and beside a worker that flushes. */
#define BUDGET_ALONE_US 20000
#define BUDGET_US 50000

/* Merges of different databases that one worker has under way: each holds
 * files and memory. */
#define MAX_MERGES 4

/* What this worker knows about the database of a slot. */
typedef struct Job
{
	FlowDbShared *shared; /* whom all this is about */
	bool pending;		  /* this process has a merge under way */
	int retry_ms;		  /* pause after the last failure, 0: none */
	int policy;			  /* handed to the engine, -1: none */

	/* ticks */
	int64 retry_at;	 /* merge not before this */
	int64 flush_at;	 /* flush not before this */
	int64 gc_at;	 /* when expired SSTables were last looked for */
	int64 freeze_at; /* when memory was last written for its age */
	int64 merge_at;	 /* when a merge was last looked for */
} Job;

static Job jobs[FLOWDB_MAX_DATABASES];

/* The job of a slot whose database is db; a new one for a new database. */
static Job *
job_of(int slot, FlowDb *db)
{
	Job *job = &jobs[slot];

	if (job->shared != flow_shared(db))
		*job = (Job){.shared = flow_shared(db),
					 .gc_at = flowdb_ticks_us(),
					 .policy = -1};
	return job;
}

/* ----------------------------------------------------------------- flushing */

/* The disk is full: what nobody can see any more goes first, at once. */
static void
free_space(int slot, FlowDb *db)
{
	uint64_t purged;
	FlowStatus st = flow_gc(db, &purged);

	CHECK_FOR_INTERRUPTS();
	if (st != FLOW_OK && st != FLOW_END && st != FLOW_BUSY &&
		st != FLOW_INTERRUPTED)
		flowdb_warn_work(slot, st);
}

/* Write the oldest frozen memtable of one database. */
static FlowdbWork
flush_database(int slot, Job *job, FlowDb *db)
{
	int64 now = flowdb_ticks_us();
	FlowStatus st;

	if (now < job->flush_at)
		return FLOWDB_WORK_NONE;
	st = flow_flush_step(db);
	CHECK_FOR_INTERRUPTS();
	if (st == FLOW_OK)
		return FLOWDB_WORK_DONE;
	if (st == FLOW_BUSY) /* a manifest is being written, or it is flushed */
		return FLOWDB_WORK_BUSY;
	if (st == FLOW_END || st == FLOW_INTERRUPTED)
		return FLOWDB_WORK_NONE;
	/* it alone has to wait: the others' disks may be fine */
	flowdb_warn_flush(slot, st);
	if (st == FLOW_FULL)
		free_space(slot, db);
	job->flush_at = now + WORK_INTERVAL_MS * INT64CONST(1000);
	return FLOWDB_WORK_NONE;
}

/* The server's flush_interval_ms: what is in memory does not get older. */
static void
freeze_old(Job *job, FlowDb *db)
{
	int64 now = flowdb_ticks_us();
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
		flowdb_warn_work(slot, st);
}

/*
 * S4 again: pg_xact does not wait for a database that nobody has opened since
 * the server started, and its files may have fates that nobody has asked for
 * yet.  Loaded, it also has its expired files removed.  One whose files could
 * not be reached is tried again, too.
 */
static void
load_closed(void *arg)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_registry_closed(slots);

	for (int i = 0; i < nslots; i++)
		(void) flowdb_slot_try_load(slots[i]);
}

/* One round over all databases. */
static FlowdbWork
flush(bool resolve)
{
	int slots[FLOWDB_MAX_DATABASES];
	int nslots = flowdb_loaded_slots(slots);
	bool pressure = pg_atomic_exchange_u32(&flowdb_shared->pressure, 0) != 0;
	FlowdbWork result = FLOWDB_WORK_NONE;

	for (int i = 0; i < nslots; i++)
	{
		FlowDb *db = flowdb_slot_handle(slots[i]);

		if (db == NULL)
			continue;
		/* a writer waits, maybe for buffers that an idle database holds */
		if (pressure)
			flowdb_report(flow_freeze(db, PG_UINT64_MAX));
		freeze_old(job_of(slots[i], db), db);
		result =
			Max(result, flush_database(slots[i], job_of(slots[i], db), db));
		if (resolve)
			resolve_database(slots[i], db);
		if (resolve && flow_flush_failing(flow_shared(db)) == 0)
			flowdb_flush_again(slots[i]);
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
			flowdb_warn_work(slots[i], st);
	}
}

/* ------------------------------------------------------------------ merging */

/* A failure is followed by longer and longer pauses.  Damage does not heal:
 * the merge's inputs stay, and so do reads that do not need the bad block. */
static FlowdbWork
merge_failed(Job *job, int slot, FlowStatus st)
{
	/* the files of a dropped one go while they are merged */
	if (flowdb_slot_is_loaded(slot))
		flowdb_warn_work(slot, st);
	job->pending = false;
	job->retry_ms =
		st == FLOW_CORRUPT || st == FLOW_MISMATCH
			? RETRY_MAX_MS
			: Min(Max(job->retry_ms * 2, WORK_INTERVAL_MS), RETRY_MAX_MS);
	job->retry_at = flowdb_ticks_us() + job->retry_ms * INT64CONST(1000);
	return FLOWDB_WORK_NONE;
}

static FlowdbWork
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
			return FLOWDB_WORK_DONE;
		case FLOW_END:
			job->pending = false;
			return FLOWDB_WORK_NONE;
		case FLOW_BUSY:
		case FLOW_INTERRUPTED:
			job->pending = report.pending;
			return FLOWDB_WORK_BUSY;
		default:
			return merge_failed(job, slot, st);
	}
}

/* Drop expired SSTables when it is time; merges do so too, but only where
 * something else is to be done. */
static void
collect_garbage(int slot, Job *job, FlowDb *db)
{
	int64 now = flowdb_ticks_us();
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
		flowdb_warn_work(slot, st);
}

/* flowdb.merge_policy may change while the server runs. */
static void
hand_on_policy(int slot, Job *job, FlowDb *db)
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
		flowdb_warn_work(slot, st);
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
	int64 now = flowdb_ticks_us();
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

/* A merge goes with the handle, whose database may be gone. */
static void
forget_merge(int slot)
{
	if (!jobs[slot].pending)
		return;
	flowdb_slot_forget(slot);
	jobs[slot] = (Job){.shared = NULL};
}

/*
 * One step, in the next database that has something to do: taking turns by
 * steps, none waits for another's long merge.
 */
static FlowdbWork
merge_somewhere(void)
{
	static int last;
	FlowdbWork result = FLOWDB_WORK_NONE;

	for (int i = 1; i <= FLOWDB_MAX_DATABASES && result < FLOWDB_WORK_DONE; i++)
	{
		int slot = (last + i) % FLOWDB_MAX_DATABASES;
		FlowDb *db = NULL;
		Job *job;

		if (flowdb_slot_is_loaded(slot) && !flowdb_slot_is_broken(slot))
			db = flowdb_slot_handle(slot);
		if (db == NULL)
		{
			forget_merge(slot);
			continue;
		}
		job = job_of(slot, db);
		hand_on_policy(slot, job, db);
		collect_garbage(slot, job, db);
		if (!wants_merge(job, db, count_merges()))
			continue;
		result = Max(result, merge_step(job, slot, db));
		if (result == FLOWDB_WORK_DONE)
		{
			last = slot;
			break;
		}
	}
	return result;
}

/* ---------------------------------------------------------------- all of it */

void
flowdb_work_tidy(void)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
		if (flowdb_slot_tidy(i))
			jobs[i] = (Job){.shared = NULL};
}

void
flowdb_work_stop_merges(void)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
		forget_merge(i);
}

FlowdbWork
flowdb_work(bool resolve, bool merge)
{
	static int64 warned_at = 0;
	static int64 resolved_at;
	static int64 tidied_at;
	FlowdbWork result = FLOWDB_WORK_NONE;

	if (flowdb_ticks_passed(tidied_at, WORK_INTERVAL_MS))
	{
		flowdb_work_tidy();
		tidied_at = flowdb_ticks_us();
	}
	resolve &=
		resolved_at == 0 || flowdb_ticks_passed(resolved_at, WORK_INTERVAL_MS);
	if (resolve)
		resolved_at = flowdb_ticks_us();
	if (RecoveryInProgress())
	{
		if (resolve)
			drop_stores();
	}
	else
	{
		if (resolve)
		{
			flowdb_debug_point("worker-resolve");
			(void) flowdb_in_peace(load_closed, NULL, &warned_at);
		}
		result = flush(resolve);
	}
	/* also while there is always something to flush: files would pile up */
	if (merge)
		result = Max(result, merge_somewhere());
	return result;
}
