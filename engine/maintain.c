/*-------------------------------------------------------------------------
 * maintain.c
 *	  Maintenance in steps of bounded time, merges by hand, policies.
 *
 * Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>

#include "compact.h"
#include "store.h"

/* A store whose merge failed is left alone for so long: what is wrong with
 * its files will still be wrong in a moment. */
#define RETRY_US (INT64_C(60) * 1000000)

#define STEP_US 50000	 /* of a merge by hand */
#define WANTS_US 1000000 /* an answer of flow_wants_maintenance is good for */

static FlowStatus
check_open(const FlowDb *db)
{
	if (atomic_load(&db->sh->closed))
		return flowi_fail(FLOW_INVALID, "database is closed");
	return FLOW_OK;
}

/* ------------------------------------------------------------ one merge */

static void
count_merge(FlowDb *db, const FlowMergeSums *sums)
{
	FlowDbShared *sh = db->sh;

	/* one that leaves nothing makes no SSTable, and is not counted as one */
	if (sums->outputs > 0)
		atomic_fetch_add(&sh->merges, 1);
	atomic_fetch_add(&sh->sstables_merged, sums->inputs);
	atomic_fetch_add(&sh->sstables_made, sums->outputs);
	atomic_fetch_add(&sh->merge_rows, sums->rows);
	atomic_fetch_add(&sh->merge_bytes_read, sums->bytes_read);
	atomic_fetch_add(&sh->merge_bytes_written, sums->bytes_written);
	atomic_fetch_add(&sh->merge_time_us, (uint64_t) sums->time_us);
	atomic_fetch_add(&sh->records_expired, sums->expired);
	atomic_store(&sh->last_merge_at, db->env->now_us(db->env));
}

/* The handle's merge is at its end, st says which. */
static void
end_merge(FlowDb *db, FlowStatus st)
{
	const FlowMergeSums *sums = flowi_compact_sums(db->merge);
	bool failed = st != FLOW_END && st != FLOW_INTERRUPTED;
	bool published = sums->published;

	if (published)
		count_merge(db, sums);
	if (failed)
		atomic_fetch_add(&db->sh->merge_failures, 1);
	flowi_compact_free(db->merge,
					   failed ? db->env->ticks_us(db->env) + RETRY_US : 0);
	db->merge = NULL;
	db->wants.until = 0;
	if (published)
		flowi_trash_sweep(db);
}

/* Work on the handle's merge; END: it came to its end, and is gone. */
static FlowStatus
step_merge(FlowDb *db, int64_t deadline, FlowMaintenance *report)
{
	const FlowMergeSums *sums = flowi_compact_sums(db->merge);
	FlowMergeSums before = *sums;
	FlowStatus st = flowi_compact_step(db->merge, deadline);

	report->rows_merged += sums->rows - before.rows;
	report->bytes_read += sums->bytes_read - before.bytes_read;
	report->bytes_written += sums->bytes_written - before.bytes_written;
	report->merges += sums->published;
	if (st == FLOW_OK ||
		(st == FLOW_INTERRUPTED && flowi_compact_resumable(db->merge)))
		return st;
	end_merge(db, st);
	return st;
}

/* --------------------------------------------------------------- by steps */

/* END: no policy asks for a merge. */
static FlowStatus
begin_merge(FlowDb *db)
{
	FlowChoice choice;

	FLOW_TRY(flowi_choose(db, &choice));
	db->wants.until = 0;
	return flowi_compact_begin(db, &choice, &db->merge);
}

/*
 * Before each merge, not only when nothing is left to be merged: its store is
 * claimed from here to its end, and where rows come all the time the next one
 * follows at once.
 */
static FlowStatus
drop_expired(FlowDb *db, FlowMaintenance *report)
{
	uint64_t purged;
	FlowStatus st = flowi_gc(db, false, &purged);

	report->purged += purged;
	return st;
}

/* Merge until the time is over; END: nothing is left to be merged. */
static FlowStatus
merge_for(FlowDb *db, int64_t deadline, FlowMaintenance *report, bool *workedp)
{
	FlowStatus st = FLOW_OK;

	do
	{
		if (db->merge == NULL)
		{
			FLOW_TRY(drop_expired(db, report));
			FLOW_TRY(begin_merge(db));
		}
		*workedp = true;
		st = step_merge(db, deadline, report);
		if (st == FLOW_END)
			st = FLOW_OK;
	} while (st == FLOW_OK && db->env->ticks_us(db->env) < deadline);
	return st;
}

/* There was nothing to do, and will be nothing for a while. */
static FlowStatus
rest(FlowDb *db)
{
	flowi_trash_sweep(db);
	db->wants =
		(FlowWants){.version_number = atomic_load(&db->sh->version_number),
					.policy_number = atomic_load(&db->sh->policy_number),
					.until = db->env->ticks_us(db->env) + WANTS_US};
	return FLOW_END;
}

FlowStatus
flow_maintenance_step(FlowDb *db, int64_t budget_us, FlowMaintenance *report)
{
	FlowMaintenance mine;
	int64_t start = db->env->ticks_us(db->env);
	int64_t deadline = start + FLOW_MAX(FLOW_MIN(budget_us, INT64_MAX / 4), 0);
	bool worked = false;
	FlowStatus st;

	if (report == NULL)
		report = &mine;
	*report = (FlowMaintenance){0};
	FLOW_TRY(check_open(db));
	/* what fails here is tried again at the next step */
	st = flow_drop_step(db);
	st = merge_for(db, deadline, report, &worked);
	if (st == FLOW_END)
		st = report->purged > 0 || worked ? FLOW_OK : rest(db);
	report->time_us = db->env->ticks_us(db->env) - start;
	report->pending = db->merge != NULL;
	return st;
}

void
flow_maintenance_cancel(FlowDb *db)
{
	if (db->merge != NULL)
		end_merge(db, FLOW_INTERRUPTED);
}

/* ---------------------------------------------------------------- by hand */

/* Bring the handle's merge to its end; an interrupt ends it too. */
static FlowStatus
run_merge(FlowDb *db)
{
	FlowMaintenance report = {0};
	FlowStatus st = FLOW_OK;

	while (st == FLOW_OK)
		st = step_merge(db, db->env->ticks_us(db->env) + STEP_US, &report);
	if (st == FLOW_INTERRUPTED)
		flow_maintenance_cancel(db);
	return st == FLOW_END ? FLOW_OK : st;
}

static FlowStatus
compact_store(FlowDb *db, uint32_t store_id, bool *ranp)
{
	FlowEnv *env = db->env;
	FlowChoice choice;
	FlowStatus st;

	while ((st = flowi_choose_manual(db, store_id, &choice)) == FLOW_BUSY)
	{
		FLOW_TRY(check_open(db));
		FLOW_TRY(env->poll(env));
		env->pause(env);
	}
	if (st == FLOW_END)
		return FLOW_OK;
	FLOW_TRY(st);
	FLOW_TRY(flowi_compact_begin(db, &choice, &db->merge));
	FLOW_TRY(run_merge(db));
	*ranp = true;
	return FLOW_OK;
}

static FlowStatus
compact_all(FlowDb *db, bool *ranp)
{
	uint32_t *ids;
	uint32_t n;
	FlowStatus st = flowi_choose_stores(db, &ids, &n);

	for (uint32_t i = 0; st == FLOW_OK && i < n; i++)
	{
		st = compact_store(db, ids[i], ranp);
		if (st == FLOW_NOTFOUND) /* dropped meanwhile */
			st = FLOW_OK;
	}
	db->env->free(db->env, ids);
	return st;
}

FlowStatus
flow_compact(FlowDb *db, uint32_t store_id, bool *ranp)
{
	*ranp = false;
	FLOW_TRY(check_open(db));
	/* its own claim must not be waited for */
	if (db->merge != NULL)
		FLOW_TRY(run_merge(db));
	if (store_id == 0)
		return compact_all(db, ranp);
	FLOW_TRY(flowi_stores_check(db->env, db->sh, store_id));
	return compact_store(db, store_id, ranp);
}

/* --------------------------------------------------------------- policies */

static FlowStatus
set_policy_locked(FlowDbShared *sh, uint32_t store_id,
				  const FlowMergePolicy *policy)
{
	FlowStore *s = sh->stores;

	if (store_id == 0)
		sh->policy = *policy;
	else
	{
		while (s && (s->id != store_id || s->dropped))
			s = s->next;
		if (s == NULL)
			return FLOW_NOTFOUND;
		s->policy = *policy;
		s->has_policy = true;
	}
	atomic_fetch_add(&sh->policy_number, 1);
	return FLOW_OK;
}

FlowStatus
flow_set_merge_policy(FlowDb *db, uint32_t store_id,
					  const FlowMergePolicy *policy)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st;

	FLOW_TRY(flow_policy_check(policy));
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	st = set_policy_locked(sh, store_id, policy);
	db->env->lock_release(db->env, &sh->state_lock);
	if (st == FLOW_NOTFOUND)
		return flowi_fail(FLOW_INVALID, "there is no store %" PRIu32, store_id);
	return st;
}

bool
flow_wants_maintenance(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowWants *known = &db->wants;
	FlowWants fresh = {.version_number = atomic_load(&sh->version_number),
					   .policy_number = atomic_load(&sh->policy_number),
					   .until = db->env->ticks_us(db->env)};

	if (fresh.until < known->until &&
		fresh.version_number == known->version_number &&
		fresh.policy_number == known->policy_number)
		return known->answer;
	fresh.until += WANTS_US;
	/* without memory to look, let the step find out */
	if (flowi_choose_any(db, &fresh.answer) != FLOW_OK)
		return false;
	*known = fresh;
	return fresh.answer;
}
