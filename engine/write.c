/*-------------------------------------------------------------------------
 * write.c
 *	  The commit path: from a finished log record to linked records; redo.
 *
 * A batch is staged first (all memory it needs, private to the writer), then
 * logged, then linked with its position as sequence.  Staging is the last
 * thing that can fail, so that the log never holds a batch that memory does
 * not.  A batch becomes visible to readers as a whole, by applied_end.
 *
 * Keeps: S1, S2, S6 (active.c), S7.  Locks: L1, and L2 within.
 *-------------------------------------------------------------------------
 */
#include "write.h"

#include <inttypes.h>
#include <stdlib.h>

#include "active.h"
#include "store.h"

/* Room that a batch of flow_write_batch may take in the log: the largest
 * record that can be, and some. */
#define MAX_BATCH_BYTES (FLOW_MAX_VALUE + FLOW_MAX_KEY + 4096u)
#define OP_OVERHEAD 40u /* at most: varints of one encoded operation */

/* How long an embedder's writer waits for write buffers, in env->pause. */
#define MAX_PAUSES 5000

/* ------------------------------------------------------------ one record */

/*
 * Stage; when there is no room, close the memtable so that a flush helps.
 * When nobody has a write buffer then, no flush ever will.
 */
static FlowStatus
stage(FlowDb *db, const FlowBatchHeader *hdr, const uint8_t *payload,
	  bool *frozenp)
{
	FlowStatus st = flowi_active_ensure(db);

	if (st == FLOW_OK)
		st = flowi_memtable_stage(db->env, db->sh->active, hdr, payload);
	if (st == FLOW_BUSY)
	{
		*frozenp = flowi_active_freeze(db);
		if (flowi_region_chunks_used(db->env) == 0)
			return flowi_fail(FLOW_NOMEM,
							  "batch of %u rows does not fit into the write "
							  "buffers",
							  hdr->nops);
	}
	return st;
}

/* Is it time to flush the active memtable? */
static bool
is_full(const FlowDbShared *sh)
{
	return atomic_load(&sh->active->bytes) >= sh->options.memtable_bytes ||
		   atomic_load(&sh->active->txns) >= sh->memtable_txns;
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
	if (is_full(sh))
		*frozenp = flowi_active_freeze(db);
}

FlowStatus
flowi_write_record(FlowDb *db, const void *rec, size_t rec_bytes,
				   const FlowBatchHeader *hdr, const uint8_t *payload)
{
	FlowEnv *env = db->env;
	bool frozen = false;
	FlowStatus st;

	FLOW_TRY(flowi_active_enter(db));
	st = stage(db, hdr, payload, &frozen);
	if (st == FLOW_OK)
	{
		uint64_t start, end;

		flowi_active_expect(db, env->log_bound(env));
		env->log_append(env, db, rec, rec_bytes, &start, &end);
		finish(db, hdr, start, end, &frozen);
	}
	flowi_active_leave(db, frozen);
	return st;
}

FlowStatus
flow_freeze(FlowDb *db, uint64_t pos)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	bool frozen = false;

	env->lock_acquire(env, &sh->write_lock, FLOW_LOCK_EXCLUSIVE);
	if (pos == UINT64_MAX ||
		(sh->active && atomic_load(&sh->active->first_pos) < pos))
		frozen = flowi_active_freeze(db);
	env->lock_release(env, &sh->write_lock);
	if (frozen)
		env->notify(env, sh, FLOW_EVENT_FROZEN);
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
	else
		st = redo_batch(db, rec, rec_bytes, start, end, &frozen);
	env->lock_release(env, &db->sh->write_lock);
	if (frozen)
		env->notify(env, db->sh, FLOW_EVENT_FROZEN);
	return st;
}

/* -------------------------------------------------------- embedders' batch */

static int
record_cmp(const FlowRecord *a, const FlowRecord *b)
{
	int c;
	size_t n = FLOW_MIN(a->key_bytes, b->key_bytes);

	c = n ? memcmp(a->key, b->key, n) : 0;
	if (c == 0)
		c = (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
	return c ? c : (a->ts > b->ts) - (a->ts < b->ts);
}

/* qsort's: records of one identity in the order of the caller's array */
static int
record_ptr_cmp(const void *pa, const void *pb)
{
	const FlowRecord *a = *(const FlowRecord *const *) pa;
	const FlowRecord *b = *(const FlowRecord *const *) pb;
	int c = record_cmp(a, b);

	return c ? c : (a > b) - (a < b);
}

/* Check every record; tell whether they are in order, each identity once. */
static FlowStatus
check_records(const FlowRecord *records, size_t n, FlowOp op, bool *sortedp)
{
	uint64_t bytes = 0;

	*sortedp = true;
	for (size_t i = 0; i < n; i++)
	{
		const FlowRecord *r = &records[i];

		if (r->key_bytes > FLOW_MAX_KEY)
			return flowi_fail(FLOW_INVALID,
							  "key of %zu bytes is longer than %u bytes",
							  r->key_bytes, FLOW_MAX_KEY);
		if (op == FLOW_PUT && r->value_bytes > FLOW_MAX_VALUE)
			return flowi_fail(FLOW_INVALID,
							  "value of %zu bytes is longer than %u bytes",
							  r->value_bytes, FLOW_MAX_VALUE);
		bytes +=
			OP_OVERHEAD + r->key_bytes + (op == FLOW_PUT ? r->value_bytes : 0);
		if (bytes > MAX_BATCH_BYTES)
			return flowi_fail(FLOW_INVALID,
							  "batch of %zu records is larger than %u bytes "
							  "and cannot be written atomically",
							  n, MAX_BATCH_BYTES);
		if (i > 0 && *sortedp && record_cmp(r - 1, r) >= 0)
			*sortedp = false;
	}
	return FLOW_OK;
}

static FlowStatus
add_record(FlowDb *db, FlowOp op, uint32_t store_id, const FlowRecord *r)
{
	if (op == FLOW_DELETE)
		return flowi_batch_add(db->batch, op, store_id, r->key,
							   (uint32_t) r->key_bytes, r->ts, FLOW_NEVER, NULL,
							   0);
	return flowi_batch_add(db->batch, op, store_id, r->key,
						   (uint32_t) r->key_bytes, r->ts, r->expire_at,
						   r->value, (uint32_t) r->value_bytes);
}

/* The records sorted, and the last one of each identity only: nobody ever
 * sees between two operations of one batch. */
static FlowStatus
add_unsorted(FlowDb *db, FlowOp op, uint32_t store_id,
			 const FlowRecord *records, size_t n)
{
	FlowEnv *env = db->env;
	const FlowRecord **order = env->alloc(env, n * sizeof(*order));
	FlowStatus st = FLOW_OK;

	if (order == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		order[i] = &records[i];
	qsort(order, n, sizeof(*order), record_ptr_cmp);
	for (size_t i = 0; i < n && st == FLOW_OK; i++)
	{
		if (i + 1 == n || record_cmp(order[i], order[i + 1]) != 0)
			st = add_record(db, op, store_id, order[i]);
	}
	env->free(env, order);
	return st;
}

/*
 * Free some write buffers.  Somebody else may be flushing, or a reader may
 * still hold what was flushed: then wait, up to *pausesp times a moment,
 * until a memtable was freed since releases was read.
 */
static FlowStatus
make_room(FlowDb *db, uint64_t releases, uint32_t *pausesp)
{
	FlowEnv *env = db->env;

	for (;;)
	{
		FlowStatus st = flow_flush_step(db);

		if (st != FLOW_BUSY && st != FLOW_END)
			return st;
		if (flowi_region_releases(env) != releases)
			return FLOW_OK;
		if ((*pausesp)-- == 0)
			return flowi_fail(FLOW_BUSY, "write buffers stay full");
		FLOW_TRY(env->poll(env));
		env->pause(env);
	}
}

/* Log and apply the finished batch, making room as often as needed. */
static FlowStatus
write_finished(FlowDb *db, const void *rec, size_t rec_bytes,
			   const FlowBatchHeader *hdr, const uint8_t *payload)
{
	uint32_t pauses = MAX_PAUSES;

	for (;;)
	{
		uint64_t releases = flowi_region_releases(db->env);
		FlowStatus st = flowi_write_record(db, rec, rec_bytes, hdr, payload);

		if (st != FLOW_BUSY)
			return st;
		FLOW_TRY(make_room(db, releases, &pauses));
	}
}

static FlowStatus
write_batch(FlowDb *db, FlowOp op, uint32_t store_id, const FlowRecord *records,
			size_t n)
{
	FlowBatchHeader hdr;
	const void *rec;
	size_t rec_bytes;
	const uint8_t *payload;
	bool sorted;

	if (n == 0)
		return FLOW_OK;
	FLOW_TRY(check_records(records, n, op, &sorted));
	FLOW_TRY(flowi_stores_check(db->env, db->sh, store_id));
	if (db->batch == NULL)
		FLOW_TRY(flowi_batch_writer_create(db->env, &db->batch));
	flowi_batch_begin(db->batch, 0);
	FLOW_TRY(flowi_batch_step(db->batch, 0));
	if (sorted)
	{
		for (size_t i = 0; i < n; i++)
			FLOW_TRY(add_record(db, op, store_id, &records[i]));
	}
	else
		FLOW_TRY(add_unsorted(db, op, store_id, records, n));
	FLOW_TRY(flowi_batch_finish(db->batch, &rec, &rec_bytes, &hdr, &payload));
	return write_finished(db, rec, rec_bytes, &hdr, payload);
}

FlowStatus
flow_write_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				 size_t n)
{
	return write_batch(db, FLOW_PUT, store_id, records, n);
}

FlowStatus
flow_delete_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				  size_t n)
{
	return write_batch(db, FLOW_DELETE, store_id, records, n);
}
