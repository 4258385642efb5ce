/*-------------------------------------------------------------------------
 * gc.c
 *	  Drop SSTables all of whose rows have expired, or are hidden by a range
 *	  tombstone in memory (cover.h).
 *
 * No file is read or written but the manifest, so this works on a full
 * disk.  A file that hides something is left to a merge (expired.h).
 *
 * Keeps: S5, S13.  Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include "compact.h"
#include "cover.h"
#include "expired.h"
#include "keep.h"

#define CLAIM_TRIES 20 /* of flow_gc, while somebody merges the store */

/* A collection of one store; private. */
typedef struct Gc
{
	FlowDb *db;
	FlowEnv *env;
	int64_t horizon;
	bool patient;
	FlowCover cover;
	FlowBuf marks;	  /* a byte an SSTable of the store */
	uint64_t expired; /* of the purged ones */
	uint64_t purged;
} Gc;

/* Mark the droppable ones of a store; busy is set, or v is pinned.  How many
 * there are. */
static FlowStatus
mark_droppable(Gc *gc, const FlowVersion *v, uint32_t store_id, uint32_t *np)
{
	uint32_t first;
	uint32_t n = flowi_version_store(v, store_id, &first);

	gc->marks.len = 0;
	FLOW_TRY(flowi_buf_reserve(&gc->marks, n));
	*np = flowi_expired_mark(v->sst + first, n, gc->horizon, gc->marks.data);
	for (uint32_t i = 0; i < n; i++)
	{
		if (gc->marks.data[i] ||
			!flowi_cover_hides(&gc->cover, v->sst[first + i]))
			continue;
		gc->marks.data[i] = 1;
		(*np)++;
	}
	return FLOW_OK;
}

/*
 * Drop what can be dropped of a store that we have claimed; busy is set.  All
 * in one edit: of two files that hide each other's rows none is ever there
 * without the other.
 */
static FlowStatus
drop_files(Gc *gc, uint32_t store_id)
{
	const FlowVersion *v = gc->db->sh->version;
	FlowSst **drop =
		gc->env->alloc(gc->env, FLOW_MAX(v->nssts, 1) * sizeof(FlowSst *));
	uint64_t records = 0;
	uint64_t expired = 0;
	uint32_t first, nfound;
	uint32_t n = flowi_version_store(v, store_id, &first);
	uint32_t ndrop = 0;
	FlowStatus st = FLOW_OK;

	if (drop == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	FLOW_GOTO(mark_droppable(gc, v, store_id, &nfound));
	for (uint32_t i = 0; i < n; i++)
	{
		FlowSst *sst = v->sst[first + i];

		if (!gc->marks.data[i])
			continue;
		drop[ndrop++] = sst;
		records += sst->info.records;
		/* a tombstone that hides it stays where it is */
		if (flowi_cover_hides(&gc->cover, sst))
			continue;
		expired += sst->info.records - sst->info.tombstones;
		flowi_keep_gone(gc->db->sh, sst->info.seq_max);
	}
	if (ndrop > 0)
	{
		FLOW_GOTO(flowi_version_repair(gc->db));
		FLOW_GOTO(flowi_version_replace(gc->db, NULL, 0, drop, ndrop));
		gc->purged += records;
		gc->expired += expired;
	}
out:
	gc->env->free(gc->env, drop);
	return st;
}

/* Set busy, waiting for others. */
static FlowStatus
begin_busy(Gc *gc)
{
	FlowStatus st;

	while ((st = flowi_version_begin(gc->db)) == FLOW_BUSY)
	{
		FLOW_TRY(gc->env->poll(gc->env));
		gc->env->pause(gc->env);
	}
	return st;
}

/*
 * A store that stays claimed is skipped: whoever merges it leaves out the
 * expired rows himself, or the next collection finds them.
 */
static FlowStatus
claim(const Gc *gc, uint32_t store_id, uint64_t *claimp)
{
	FlowStatus st = flowi_claim(gc->db, store_id, claimp);

	for (int i = 0; gc->patient && st == FLOW_BUSY && i < CLAIM_TRIES; i++)
	{
		FLOW_TRY(gc->env->poll(gc->env));
		gc->env->pause(gc->env);
		st = flowi_claim(gc->db, store_id, claimp);
	}
	return st;
}

static FlowStatus
collect_store(Gc *gc, uint32_t store_id)
{
	uint64_t number;
	FlowStatus st = claim(gc, store_id, &number);

	if (st == FLOW_BUSY || st == FLOW_NOTFOUND)
		return FLOW_OK;
	FLOW_TRY(st);
	st = begin_busy(gc);
	if (st == FLOW_OK)
	{
		if (flowi_claim_holds(gc->db, store_id, number))
			st = drop_files(gc, store_id);
		flowi_version_end(gc->db);
	}
	flowi_claim_release(gc->db, store_id, number, 0);
	return st;
}

/* All stores of the version. */
static FlowStatus
collect_all(Gc *gc, const FlowVersion *v)
{
	uint32_t first;

	for (uint32_t i = 0; i < v->nssts;
		 i += flowi_version_store(v, v->sst[i]->info.store_id, &first))
	{
		uint32_t store_id = v->sst[i]->info.store_id;
		uint32_t n;

		FLOW_TRY(gc->env->poll(gc->env));
		FLOW_TRY(flowi_cover_store(&gc->cover, store_id));
		FLOW_TRY(mark_droppable(gc, v, store_id, &n));
		if (n > 0)
			FLOW_TRY(collect_store(gc, store_id));
	}
	return FLOW_OK;
}

FlowStatus
flowi_gc(FlowDb *db, bool patient, uint64_t *purgedp)
{
	FlowDbShared *sh = db->sh;
	Gc gc = {.db = db, .env = db->env, .patient = patient};
	FlowVersion *v;
	FlowStatus st;

	flowi_buf_init(&gc.marks, db->env);
	gc.horizon = flowi_keep_horizon(gc.env, sh);
	gc.env->lock_acquire(gc.env, &sh->state_lock, FLOW_LOCK_SHARED);
	v = flowi_version_pin(sh);
	gc.env->lock_release(gc.env, &sh->state_lock);
	st = flowi_cover_begin(&gc.cover, db);
	if (st == FLOW_OK)
		st = collect_all(&gc, v);
	flowi_cover_end(&gc.cover);
	flowi_buf_free(&gc.marks);
	flowi_version_unref(gc.env, db->dir, v);
	if (gc.purged > 0 || patient)
	{
		atomic_fetch_add(&sh->gc_runs, 1);
		atomic_fetch_add(&sh->purged, gc.purged);
		atomic_fetch_add(&sh->records_expired, gc.expired);
		atomic_store(&sh->last_gc_at, gc.env->now_us(gc.env));
	}
	if (gc.purged > 0)
		flowi_trash_sweep(db);
	*purgedp = gc.purged;
	return st;
}

FlowStatus
flow_gc(FlowDb *db, uint64_t *purgedp)
{
	*purgedp = 0;
	if (atomic_load(&db->sh->closed))
		return flowi_fail(FLOW_INVALID, "database is closed");
	return flowi_gc(db, true, purgedp);
}
