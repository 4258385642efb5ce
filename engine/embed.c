/*-------------------------------------------------------------------------
 * embed.c
 *	  The writes of embedders: atomic batches outside any transaction.
 *
 * Nobody else flushes for an embedder who starts no thread, so a writer who is
 * told that the write buffers are full, or that too many memtables wait for a
 * flush, flushes itself (make_room).  It waits for a flush that somebody else
 * has under way, but not for ever.
 *-------------------------------------------------------------------------
 */
#include "embed.h"

#include <stdlib.h>

#include "tomb.h"

/* Room that a batch of flow_write_batch may take in the log: the largest
 * record that can be, and some. */
#define MAX_BATCH_BYTES (FLOW_MAX_VALUE + FLOW_MAX_KEY + 4096u)
#define OP_OVERHEAD 40u /* at most: varints of one encoded operation */

/* How long an embedder's writer waits for write buffers, in env->pause. */
#define MAX_PAUSES 5000

/* ------------------------------------------------------------------- rules */

int64_t
flow_expiry(int64_t ts, int64_t expire_at, bool has_ttl, int64_t ttl_secs,
			int64_t default_ttl_secs)
{
	int64_t secs = has_ttl ? ttl_secs : default_ttl_secs;
	int64_t span;

	if (!has_ttl && (expire_at != FLOW_NEVER || secs <= 0))
		return expire_at;
	if (secs > FLOW_MAX_TTL_SECS)
		return FLOW_NEVER;
	span = FLOW_MAX(secs, 0) * 1000000;
	return ts > INT64_MAX - span ? FLOW_NEVER : ts + span;
}

FlowStatus
flowi_embed_check(FlowDb *db, uint32_t store_id, const FlowWriteOptions *opts)
{
	if (opts && opts->has_ttl &&
		(opts->ttl_secs < 0 || opts->ttl_secs > FLOW_MAX_TTL_SECS))
		return flowi_fail(FLOW_INVALID, "ttl_secs must be between 0 and %lld",
						  (long long) FLOW_MAX_TTL_SECS);
	if (opts &&
		((int) opts->sync < FLOW_SYNC_DEFAULT || opts->sync > FLOW_SYNC_NO))
		return flowi_fail(FLOW_INVALID, "sync %d is unknown", (int) opts->sync);
	return flowi_stores_check(db->env, db->sh, store_id);
}

FlowStatus
flowi_embed_check_lengths(size_t key_bytes, size_t value_bytes)
{
	if (key_bytes > FLOW_MAX_KEY)
		return flowi_fail(FLOW_INVALID,
						  "key of %zu bytes is longer than %u bytes", key_bytes,
						  FLOW_MAX_KEY);
	if (value_bytes > FLOW_MAX_VALUE)
		return flowi_fail(FLOW_INVALID,
						  "value of %zu bytes is longer than %u bytes",
						  value_bytes, FLOW_MAX_VALUE);
	return FLOW_OK;
}

/* -------------------------------------------------------------------- room */

/* Somebody else is at it: let a moment pass; BUSY when it was the last. */
static FlowStatus
wait_a_moment(FlowDb *db, uint32_t *pausesp)
{
	FlowEnv *env = db->env;

	if (*pausesp == 0)
		return flowi_fail(FLOW_BUSY, "write buffers stay full");
	(*pausesp)--;
	FLOW_TRY(env->poll(env));
	env->pause(env);
	return FLOW_OK;
}

/*
 * Free some write buffers.  Somebody else may be flushing, or a reader may
 * still hold what was flushed: then wait, up to *pausesp times a moment,
 * until a memtable was freed since releases was read.
 */
static FlowStatus
make_room(FlowDb *db, uint64_t releases, uint32_t *pausesp)
{
	for (;;)
	{
		FlowStatus st = flow_flush_step(db);

		if (st != FLOW_BUSY && st != FLOW_END)
			return st;
		if (flowi_region_releases(db->env) != releases)
			return FLOW_OK;
		FLOW_TRY(wait_a_moment(db, pausesp));
	}
}

/* ------------------------------------------------------------------- batch */

FlowStatus
flowi_embed_begin(FlowDb *db)
{
	if (db->batch == NULL)
	{
		FLOW_TRY(flowi_batch_writer_create(db->env, &db->batch));
		flowi_batch_compress(db->batch, db->sh->options.log_compression !=
											FLOW_COMPRESS_NONE);
	}
	flowi_batch_begin(db->batch, 0);
	return flowi_batch_step(db->batch, 0);
}

FlowStatus
flowi_embed_finish(FlowDb *db, const FlowWriteOptions *opts,
				   FlowWriteCheckFn check, void *arg)
{
	FlowSync sync = opts ? opts->sync : FLOW_SYNC_DEFAULT;
	uint32_t pauses = MAX_PAUSES;
	FlowBatchHeader hdr;
	const void *rec;
	size_t rec_bytes;
	const uint8_t *payload;

	FLOW_TRY(flowi_batch_finish(db->batch, &rec, &rec_bytes, &hdr, &payload));
	for (;;)
	{
		uint64_t releases = flowi_region_releases(db->env);
		FlowStatus st = flowi_write_record_if(db, rec, rec_bytes, &hdr, payload,
											  sync, check, arg);

		if (st != FLOW_BUSY)
			return st;
		FLOW_TRY(make_room(db, releases, &pauses));
	}
}

/* ----------------------------------------------------------------- records */

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

/* A record being sorted. */
typedef struct Place
{
	uint64_t front; /* what tells most keys apart, without a look at them */
	const FlowRecord *record;
} Place;

/* Bytes that the keys of all have in common in front. */
static size_t
common_front(const FlowRecord *records, size_t n)
{
	const uint8_t *first = records[0].key;
	size_t common = records[0].key_bytes;

	for (size_t i = 1; i < n; i++)
	{
		const uint8_t *key = records[i].key;
		size_t most = FLOW_MIN(common, records[i].key_bytes);

		for (common = 0; common < most && key[common] == first[common];)
			common++;
	}
	return common;
}

/* The next eight bytes of a key as a number that orders like them; a shorter
 * key as if it ended in zeros. */
static uint64_t
front_of(const FlowRecord *r, size_t from)
{
	const uint8_t *key = r->key;
	uint64_t front = 0;

	for (size_t i = from; i < from + 8; i++)
		front = front << 8 | (i < r->key_bytes ? key[i] : 0);
	return front;
}

/* Merge the sorted a[0 .. mid) and a[mid .. n) into out; of equal ones the
 * left one comes first. */
static void
merge_places(const Place *a, size_t mid, size_t n, Place *out)
{
	const Place *left = a, *right = a + mid;

	while (left < a + mid && right < a + n)
	{
		bool later = right->front < left->front;

		if (right->front == left->front)
			later = record_cmp(right->record, left->record) < 0;
		*out++ = later ? *right : *left;
		right += later;
		left += !later;
	}
	memcpy(out, left, (size_t) (a + mid - left) * sizeof(*out));
	out += a + mid - left;
	memcpy(out, right, (size_t) (a + n - right) * sizeof(*out));
}

/* Sort n places; returns them, in a or in scratch, which has as much room. */
static const Place *
sort_places(Place *a, size_t n, Place *scratch)
{
	for (size_t width = 1; width < n; width *= 2)
	{
		Place *sorted = scratch;

		for (size_t at = 0; at < n; at += 2 * width)
		{
			size_t end = FLOW_MIN(2 * width, n - at);

			merge_places(a + at, FLOW_MIN(width, end), end, sorted + at);
		}
		scratch = a;
		a = sorted;
	}
	return a;
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
		size_t value_bytes = op == FLOW_PUT ? r->value_bytes : 0;

		FLOW_TRY(flowi_embed_check_lengths(r->key_bytes, value_bytes));
		bytes += OP_OVERHEAD + r->key_bytes + value_bytes;
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

/* What a batch is made of. */
typedef struct BatchSpec
{
	FlowOp op;
	uint32_t store_id;
	const FlowWriteOptions *opts;
} BatchSpec;

static FlowStatus
add_record(FlowDb *db, const BatchSpec *b, const FlowRecord *r)
{
	bool has_ttl = b->opts && b->opts->has_ttl;
	int64_t expire_at;

	if (b->op == FLOW_DELETE)
		return flowi_batch_add(db->batch, b->op, b->store_id, r->key,
							   (uint32_t) r->key_bytes, r->ts, FLOW_NEVER, NULL,
							   0);
	expire_at = flow_expiry(r->ts, r->expire_at, has_ttl,
							has_ttl ? b->opts->ttl_secs : 0,
							flowi_live(db->sh, FLOW_SETTING_DEFAULT_TTL_SECS));
	return flowi_batch_add(db->batch, b->op, b->store_id, r->key,
						   (uint32_t) r->key_bytes, r->ts, expire_at, r->value,
						   (uint32_t) r->value_bytes);
}

/* The records sorted, and the last one of each identity only: nobody ever
 * sees between two operations of one batch. */
static FlowStatus
add_unsorted(FlowDb *db, const BatchSpec *b, const FlowRecord *records,
			 size_t n)
{
	FlowEnv *env = db->env;
	Place *places = env->alloc(env, 2 * n * sizeof(*places));
	size_t common = common_front(records, n);
	const Place *order;
	FlowStatus st = FLOW_OK;

	if (places == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		places[i] = (Place){front_of(&records[i], common), &records[i]};
	order = sort_places(places, n, places + n);
	for (size_t i = 0; i < n && st == FLOW_OK; i++)
	{
		if (i + 1 == n || order[i].front != order[i + 1].front ||
			record_cmp(order[i].record, order[i + 1].record) != 0)
			st = add_record(db, b, order[i].record);
	}
	env->free(env, places);
	return st;
}

static FlowStatus
write_batch(FlowDb *db, const BatchSpec *b, const FlowRecord *records, size_t n)
{
	bool sorted;

	if (n == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_embed_check(db, b->store_id, b->opts));
	FLOW_TRY(check_records(records, n, b->op, &sorted));
	FLOW_TRY(flowi_embed_begin(db));
	if (sorted)
	{
		for (size_t i = 0; i < n; i++)
			FLOW_TRY(add_record(db, b, &records[i]));
	}
	else
		FLOW_TRY(add_unsorted(db, b, records, n));
	return flowi_embed_finish(db, b->opts, NULL, NULL);
}

FlowStatus
flow_write_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				 size_t n, const FlowWriteOptions *opts)
{
	return write_batch(db, &(BatchSpec){FLOW_PUT, store_id, opts}, records, n);
}

FlowStatus
flow_delete_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				  size_t n, const FlowWriteOptions *opts)
{
	return write_batch(db, &(BatchSpec){FLOW_DELETE, store_id, opts}, records,
					   n);
}

FlowStatus
flow_delete_range(FlowDb *db, uint32_t store_id, const FlowRect *rect,
				  const FlowWriteOptions *opts)
{
	FLOW_TRY(flowi_embed_check(db, store_id, opts));
	FLOW_TRY(flowi_embed_check_lengths(rect->key_lo_bytes, 0));
	FLOW_TRY(
		flowi_embed_check_lengths(rect->key_hi ? rect->key_hi_bytes : 0, 0));
	if (flowi_rect_empty(rect))
		return FLOW_OK;
	FLOW_TRY(flowi_embed_begin(db));
	FLOW_TRY(flowi_batch_add_tomb(db->batch, store_id, rect));
	return flowi_embed_finish(db, opts, NULL, NULL);
}
