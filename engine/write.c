/*-------------------------------------------------------------------------
 * write.c
 *	  The commit path: from a finished log record to linked records; redo.
 *
 * A batch is staged first (all memory it needs, private to the writer), then
 * logged, then linked with its position as sequence.  Staging is the last
 * thing that can fail, so that the log never holds a batch that memory does
 * not.  A batch becomes visible to readers as a whole, by visible_end, when
 * the log has it as its writer asked.
 *
 * A full memtable is frozen while fewer than max_frozen are; else it stays
 * active, and writers are told BUSY until a flush has made room.
 *
 * Keeps: S1, S2, S6 (active.c), S7.  Locks: L1, and L2 within.
 *-------------------------------------------------------------------------
 */
#include "write.h"

#include <inttypes.h>
#include <stdlib.h>

#include "active.h"
#include "drop.h"
#include "record.h"
#include "store.h"

/* ------------------------------------------------------------ one record */

/* Is it time to flush the active memtable? */
static bool
is_full(const FlowDbShared *sh)
{
	return atomic_load(&sh->active->bytes) >=
			   (uint64_t) flowi_live(sh, FLOW_SETTING_MEMTABLE_BYTES) ||
		   atomic_load(&sh->active->txns) >= sh->memtable_txns;
}

/* May another memtable be frozen? */
static bool
may_freeze(const FlowDbShared *sh)
{
	int64_t max = flowi_live(sh, FLOW_SETTING_MAX_FROZEN);

	return atomic_load(&sh->nfrozen) < FLOW_MAX(max, 1);
}

/* Is there more unflushed data than is allowed? */
static bool
is_over_limit(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	uint64_t bytes = 0;

	if (sh->options.hard_limit_bytes == 0)
		return false;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	if (sh->active)
		bytes = atomic_load(&sh->active->bytes);
	for (const FlowMemtable *mt = sh->frozen; mt; mt = mt->next_older)
		bytes += atomic_load(&mt->bytes);
	db->env->lock_release(db->env, &sh->state_lock);
	return bytes >= sh->options.hard_limit_bytes;
}

/* Range tombstones are small, and may be what makes the room on disk that a
 * flush lacks (I37): they have as much again in a full memtable. */
static bool
may_exceed(const FlowDbShared *sh, const FlowBatchHeader *hdr)
{
	return hdr->ntombs == hdr->nops &&
		   atomic_load(&sh->active->txns) < sh->memtable_txns &&
		   atomic_load(&sh->active->bytes) / 2 <
			   (uint64_t) flowi_live(sh, FLOW_SETTING_MEMTABLE_BYTES);
}

/* An active memtable that takes a batch; BUSY: a flush has to come first.
 * What a limit refuses can always be flushed (I17). */
static FlowStatus
make_active(FlowDb *db, const FlowBatchHeader *hdr, bool *frozenp)
{
	FlowDbShared *sh = db->sh;

	if (sh->active && is_full(sh) && (may_freeze(sh) || !may_exceed(sh, hdr)))
	{
		if (!may_freeze(sh))
			return flowi_fail(FLOW_BUSY,
							  "write buffers are full: %u memtables "
							  "wait for a flush",
							  atomic_load(&sh->nfrozen));
		*frozenp = flowi_active_freeze(db);
	}
	if (is_over_limit(db))
	{
		if (sh->active)
			*frozenp |= flowi_active_freeze(db);
		if (atomic_load(&sh->nfrozen) > 0)
			return flowi_fail(FLOW_BUSY, "unflushed data is over its limit");
	}
	return flowi_active_ensure(db);
}

/*
 * Stage; when there is no room, close the memtable so that a flush helps.
 * When nobody has a write buffer then, no flush ever will.
 */
static FlowStatus
stage(FlowDb *db, const FlowBatchHeader *hdr, const uint8_t *payload,
	  bool *frozenp)
{
	FlowStatus st = make_active(db, hdr, frozenp);

	if (st == FLOW_OK)
	{
		st = flowi_memtable_stage(db->env, db->sh->active, hdr, payload);
		if (st == FLOW_BUSY)
			*frozenp |= flowi_active_freeze(db);
	}
	if (st == FLOW_BUSY && flowi_region_chunks_used(db->env) == 0)
		return flowi_fail(FLOW_NOMEM,
						  "batch of %u rows does not fit into the write "
						  "buffers",
						  hdr->nops);
	return st;
}

/* The staged batch stands at [start, end) in the log. */
static void
finish(FlowDb *db, const FlowBatchHeader *hdr, uint64_t start, uint64_t end,
	   bool *frozenp)
{
	FlowDbShared *sh = db->sh;

	FLOW_ASSERT(start >= atomic_load(&sh->flushed_pos));
	FLOW_ASSERT(start >= atomic_load(&sh->applied_end));
	flowi_memtable_link(sh->active, start, end);
	flowi_active_applied(db, end);
	atomic_fetch_add_explicit(&sh->records_written, hdr->nops,
							  memory_order_relaxed);
	atomic_fetch_add_explicit(&sh->bytes_written, hdr->payload_bytes,
							  memory_order_relaxed);
	if (is_full(sh) && may_freeze(sh))
		*frozenp |= flowi_active_freeze(db);
}

/* The part under the write lock; *endp: 0 when nothing was logged. */
static FlowStatus
log_and_apply(FlowDb *db, const void *rec, size_t rec_bytes,
			  const FlowBatchHeader *hdr, const uint8_t *payload, FlowSync sync,
			  FlowWriteCheckFn check, void *arg, uint64_t *endp)
{
	FlowEnv *env = db->env;
	bool frozen = false;
	FlowStatus st;

	*endp = 0;
	FLOW_TRY(flowi_active_enter(db, rec_bytes, sync));
	st = check ? check(db, arg) : FLOW_OK;
	if (st == FLOW_OK)
		st = stage(db, hdr, payload, &frozen);
	if (st == FLOW_OK)
	{
		uint64_t start;

		/* to ask for the bound takes a lock of the log */
		if (atomic_load(&db->sh->active->first_pos) == UINT64_MAX)
			flowi_active_expect(db, env->log_bound(env));
		env->log_append(env, db, rec, rec_bytes, &start, endp);
		finish(db, hdr, start, *endp, &frozen);
	}
	flowi_active_leave(db, frozen);
	return st;
}

FlowStatus
flowi_write_record_if(FlowDb *db, const void *rec, size_t rec_bytes,
					  const FlowBatchHeader *hdr, const uint8_t *payload,
					  FlowSync sync, FlowWriteCheckFn check, void *arg)
{
	FlowEnv *env = db->env;
	int64_t begin = env->ticks_us(env);
	uint64_t end;

	FLOW_TRY(log_and_apply(db, rec, rec_bytes, hdr, payload, sync, check, arg,
						   &end));
	FLOW_TRY(flowi_active_commit(db, end));
	flowi_latency_add(&db->sh->latency[FLOW_LATENCY_WRITE],
					  env->ticks_us(env) - begin);
	return FLOW_OK;
}

/* ------------------------------------------------------------------ redo */

static FlowStatus
redo_batch(FlowDb *db, const void *rec, size_t rec_bytes, uint64_t start,
		   uint64_t end, bool *frozenp)
{
	FlowBatchHeader hdr;
	const uint8_t *payload;
	void *owned = NULL;
	FlowStatus st;

	st = flowi_batch_open(db->env, rec, rec_bytes, &hdr, &payload, &owned);
	if (st == FLOW_OK)
		st = stage(db, &hdr, payload, frozenp);
	if (st == FLOW_OK)
	{
		flowi_active_expect(db, start);
		finish(db, &hdr, start, end, frozenp);
	}
	db->env->free(db->env, owned);
	return st;
}

static FlowStatus
redo_store(FlowDb *db, const void *rec, size_t rec_bytes, uint64_t start,
		   uint64_t end)
{
	FlowStoreInfo info;

	FLOW_TRY(flowi_store_decode(rec, rec_bytes, &info.id, &info.name,
								&info.name_bytes, &info.blob,
								&info.blob_bytes));
	FLOW_TRY(flowi_active_ensure(db));
	FLOW_TRY(flowi_stores_apply(db->env, db->sh, &info, end));
	flowi_active_expect(db, start);
	flowi_active_applied(db, end);
	return FLOW_OK;
}

/* As a definition: a position of the log that a flush has to pass. */
static FlowStatus
redo_drop(FlowDb *db, const void *rec, size_t rec_bytes, uint64_t start,
		  uint64_t end)
{
	FlowDropInfo info;

	FLOW_TRY(flowi_drop_decode(rec, rec_bytes, &info));
	FLOW_TRY(flowi_active_ensure(db));
	FLOW_TRY(flowi_drops_enter(db->env, db->sh, &info, end));
	flowi_active_expect(db, start);
	flowi_active_applied(db, end);
	return FLOW_OK;
}

FlowStatus
flow_redo(FlowDb *db, const void *rec, size_t rec_bytes, uint64_t start,
		  uint64_t end)
{
	FlowEnv *env = db->env;
	FlowRecordKind kind;
	bool frozen = false;
	FlowStatus st;

	FLOW_TRY(flowi_record_kind(rec, rec_bytes, &kind));
	if (start < atomic_load(&db->sh->flushed_pos))
		return FLOW_OK;
	/* no log_admit: nothing is logged */
	env->lock_acquire(env, &db->sh->write_lock, FLOW_LOCK_EXCLUSIVE);
	if (kind == FLOW_RECORD_STORE)
		st = redo_store(db, rec, rec_bytes, start, end);
	else if (kind == FLOW_RECORD_DROP)
		st = redo_drop(db, rec, rec_bytes, start, end);
	else
		st = redo_batch(db, rec, rec_bytes, start, end, &frozen);
	if (st == FLOW_OK) /* it is in the log already */
		flowi_active_reveal(db->sh, end);
	env->lock_release(env, &db->sh->write_lock);
	if (frozen)
		env->notify(env, db->sh, FLOW_EVENT_FROZEN);
	return st;
}
