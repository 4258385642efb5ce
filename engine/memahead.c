/*-------------------------------------------------------------------------
 * memahead.c
 *	  Fetches early what staging a batch is going to touch.
 *
 * A row of another series than the one before costs a bucket, a series and
 * the end of its run, each a cache miss that has to wait for the one before
 * it.  So the rows to come are followed some steps ahead, each by one of
 * these a step: the misses of several rows overlap (as in Chen, Ailamaki,
 * Gibbons and Mowry, "Improving Hash Join Performance through Prefetching",
 * ICDE 2004).
 *
 * Nothing depends on it: what it finds out but for hashes is thrown away.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

/* So many rows before its turn a row's bucket is fetched, its series, the end
 * of its run. */
#define BUCKET_AHEAD (FLOW_AHEAD_ROWS - 1)
#define SERIES_AHEAD 4u
#define RUN_AHEAD 2u

#define MIN_ROWS 16u	 /* of a batch, to begin with it */
#define MIN_SERIES 2000u /* fewer are in the cache anyway */

/* Decode the next row, and fetch its bucket. */
static void
decode(FlowMemAhead *a)
{
	FlowBatchCursor *c = &a->c;

	do
	{
		a->on = flowi_batch_cursor_next(c) == FLOW_OK;
	} while (a->on && c->op == FLOW_DELETE_RANGE);
	if (!a->on)
		return;
	a->hash[a->decoded % FLOW_AHEAD_ROWS] =
		flowi_memdir_hash(a->mt, c->store_id, c->key, c->key_bytes);
	__builtin_prefetch(
		flowi_memdir_bucket(a->mt, a->hash[a->decoded % FLOW_AHEAD_ROWS]));
	a->decoded++;
}

static void
fetch_series(const FlowMemAhead *a, uint32_t row)
{
	const FlowMemSeries *s = atomic_load_explicit(
		flowi_memdir_bucket(a->mt, a->hash[row % FLOW_AHEAD_ROWS]),
		memory_order_relaxed);

	if (s == NULL)
		return;
	__builtin_prefetch(s);
	__builtin_prefetch((const uint8_t *) s + 64);
}

/* Of the first series with the hash, which is hardly ever another one. */
static void
fetch_run(const FlowMemAhead *a, uint32_t row)
{
	uint32_t hash = a->hash[row % FLOW_AHEAD_ROWS];
	FlowMemSeries *s = atomic_load_explicit(flowi_memdir_bucket(a->mt, hash),
											memory_order_relaxed);

	while (s != NULL && s->hash < hash)
		s = atomic_load_explicit(&s->chain, memory_order_relaxed);
	if (s == NULL || s->hash != hash)
		return;
	__builtin_prefetch((const uint8_t *) s + 64);
	__builtin_prefetch(flowi_memseries_key(s)); /* behind links of any number */
	if (s->staged > 1)
		__builtin_prefetch(
			flowi_memrun_row(s, flowi_memrun_tail(s), s->staged - 1));
}

void
flowi_memahead_init(FlowMemAhead *a, FlowMemtable *mt,
					const FlowBatchHeader *hdr, const uint8_t *payload)
{
	a->mt = mt;
	a->decoded = 0;
	a->on = hdr->nops >= MIN_ROWS && mt->dir.nseries >= MIN_SERIES;
	if (!a->on)
		return;
	flowi_batch_cursor_init(&a->c, hdr, payload);
	while (a->on && a->decoded < BUCKET_AHEAD)
		decode(a);
}

bool
flowi_memahead_next(FlowMemAhead *a, uint32_t row, uint32_t *hashp)
{
	if (a->on)
		decode(a);
	if (row >= a->decoded)
		return false;
	if (row + SERIES_AHEAD < a->decoded)
		fetch_series(a, row + SERIES_AHEAD);
	if (row + RUN_AHEAD < a->decoded)
		fetch_run(a, row + RUN_AHEAD);
	*hashp = a->hash[row % FLOW_AHEAD_ROWS];
	return true;
}
