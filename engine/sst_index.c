/*-------------------------------------------------------------------------
 * sst_index.c
 *	  The two levels of an SSTable's index, and its filters.
 *
 * Entries of a leaf are read where they stand, so that a leaf in the cache
 * costs a search nothing but the entries it touches.  Whoever reads a leaf
 * from the file checks all of it before others may find it; after that only
 * what keeps a reader within the leaf's bytes is checked.
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_reader.h"

#include "bloom.h"

/* A filter that is not in the cache is kept up to this size. */
#define KEEP_FILTER_BYTES (128u * 1024u)

/* A reader has copies of filters of up to this size, so many bytes of them:
 * those of a few hundred long series.  In the block cache each would cost a
 * lookup as much as the block that it is about. */
#define SMALL_FILTER_BYTES 1024u
#define SMALL_FILTERS_BYTES (64u * 1024u)

bool
flowi_index_key(const uint8_t *keys, size_t keys_bytes, uint32_t off,
				uint32_t key_bytes, const uint8_t **keyp)
{
	*keyp = keys + FLOW_MIN(off, keys_bytes);
	return off <= keys_bytes && key_bytes <= keys_bytes - off;
}

bool
flowi_span_ordered(const FlowSpan *s, const FlowSpan *before)
{
	return flowi_identity_cmp(s->first_key, s->first_bytes, s->first_ts,
							  s->last_key, s->last_bytes, s->last_ts) <= 0 &&
		   (before == NULL ||
			flowi_identity_cmp(before->last_key, before->last_bytes,
							   before->last_ts, s->first_key, s->first_bytes,
							   s->first_ts) < 0);
}

/* --- leaves --- */

bool
flowi_leaf_entry(const FlowSegment *s, const FlowPiece *leaf, uint32_t n,
				 FlowLeafEntry *e)
{
	const uint8_t *p = leaf->data + (size_t) n * LEAF_BYTES;
	size_t entries = (size_t) s->nblocks * LEAF_BYTES;
	const uint8_t *keys = leaf->data + entries;
	size_t keys_bytes = leaf->bytes - entries;
	uint32_t off = flowi_get32(p + LEAF_OFF);
	uint32_t end = n + 1 < s->nblocks ? flowi_get32(p + LEAF_BYTES + LEAF_OFF)
									  : s->block_bytes;
	FlowSpan *span = &e->span;

	e->off = s->off + off;
	e->frame_bytes = end - off;
	e->raw_bytes = flowi_get32(p + LEAF_RAW);
	e->nrows = flowi_get32(p + LEAF_ROWS);
	span->plain = s->marked && (e->nrows & LEAF_PLAIN) != 0;
	if (s->marked)
		e->nrows &= ~LEAF_PLAIN;
	span->first_bytes = flowi_get16(p + LEAF_FIRST_BYTES);
	span->last_bytes = flowi_get16(p + LEAF_LAST_BYTES);
	span->first_ts = (int64_t) flowi_get64(p + LEAF_FIRST_TS);
	span->last_ts = (int64_t) flowi_get64(p + LEAF_LAST_TS);
	span->ts_min = (int64_t) flowi_get64(p + LEAF_BOUNDS + BOUNDS_TS_MIN);
	span->ts_max = (int64_t) flowi_get64(p + LEAF_BOUNDS + BOUNDS_TS_MAX);
	span->expire_min =
		(int64_t) flowi_get64(p + LEAF_BOUNDS + BOUNDS_EXPIRE_MIN);
	return off < end && end <= s->block_bytes && end - off > FRAME_BYTES &&
		   flowi_index_key(keys, keys_bytes, flowi_get32(p + LEAF_FIRST_KEY),
						   span->first_bytes, &span->first_key) &&
		   flowi_index_key(keys, keys_bytes, flowi_get32(p + LEAF_LAST_KEY),
						   span->last_bytes, &span->last_key);
}

/* Is it, all of it, the leaf of that segment? */
static bool
check_leaf(const FlowSegment *s, const FlowPiece *leaf)
{
	const FlowSpan *seg = &s->span;
	int64_t ts_min = INT64_MAX;
	int64_t ts_max = INT64_MIN;
	int64_t expire_min = INT64_MAX;
	bool plain = s->marked;
	uint64_t rows = 0;
	FlowLeafEntry e = {0};
	FlowLeafEntry before = {0};

	for (uint32_t i = 0; i < s->nblocks; i++)
	{
		if (!flowi_leaf_entry(s, leaf, i, &e) ||
			!flowi_span_ordered(&e.span, i ? &before.span : NULL))
			return false;
		if (i == 0 &&
			(e.off != s->off ||
			 flowi_identity_cmp(e.span.first_key, e.span.first_bytes,
								e.span.first_ts, seg->first_key,
								seg->first_bytes, seg->first_ts) != 0))
			return false;
		rows += e.nrows;
		ts_min = FLOW_MIN(ts_min, e.span.ts_min);
		ts_max = FLOW_MAX(ts_max, e.span.ts_max);
		expire_min = FLOW_MIN(expire_min, e.span.expire_min);
		plain &= e.span.plain;
		before = e;
	}
	return rows == s->rows && ts_min == seg->ts_min && ts_max == seg->ts_max &&
		   expire_min == seg->expire_min && plain == seg->plain &&
		   flowi_identity_cmp(e.span.last_key, e.span.last_bytes,
							  e.span.last_ts, seg->last_key, seg->last_bytes,
							  seg->last_ts) == 0;
}

FlowStatus
flowi_leaf_load(FlowSstReader *r, uint32_t s, bool fill, FlowPiece *leaf)
{
	FlowSegment *seg = &r->segs[s];
	FlowFrameSpec spec = {.kind = KIND_LEAF,
						  .off =
							  seg->off + seg->block_bytes + seg->filter_bytes,
						  .frame_bytes = seg->leaf_bytes};
	size_t entries = (size_t) seg->nblocks * LEAF_BYTES;
	bool cached = flowi_piece_cached(r, leaf, spec.off);

	spec.most = entries + 2 * (uint64_t) seg->nblocks * FLOW_MAX_KEY;
	if (!cached)
		FLOW_TRY(flowi_piece_read(r, leaf, &spec, fill));
	if (leaf->bytes < entries ||
		(!cached && !seg->leaf_checked && !check_leaf(seg, leaf)))
	{
		flowi_piece_drop(r, leaf);
		return flowi_reader_damaged(r, spec.off, "wrong index leaf");
	}
	seg->leaf_checked |= !cached;
	flowi_piece_publish(r, leaf);
	return FLOW_OK;
}

/* --- filters --- */

/* The first segment whose last key is >= key; nsegs when there is none. */
static uint32_t
segment_of_key(const FlowSstReader *r, const uint8_t *key, uint32_t key_bytes)
{
	uint32_t lo = 0;
	uint32_t hi = r->nsegs;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;
		const FlowSpan *s = &r->segs[mid].span;

		if (flowi_key_cmp(s->last_key, s->last_bytes, key, key_bytes) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Make r->filter that of segment s. */
static FlowStatus
load_filter(FlowSstReader *r, uint32_t s, bool fill)
{
	const FlowSegment *seg = &r->segs[s];
	FlowFrameSpec spec = {.kind = KIND_FILTER,
						  .off = seg->off + seg->block_bytes,
						  .frame_bytes = seg->filter_bytes};

	if (r->filter_seg == s)
		return FLOW_OK;
	r->filter_seg = FLOW_NO_SEGMENT;
	if (flowi_piece_cached(r, &r->filter, spec.off))
		return FLOW_OK;
	/* filters are not compressed */
	spec.most = spec.frame_bytes;
	FLOW_TRY(flowi_piece_read(r, &r->filter, &spec, fill));
	if (!r->filter.in_cache)
		r->filter_seg = s;
	return FLOW_OK;
}

/* Give back what should not be kept. */
static void
leave_filter(FlowSstReader *r)
{
	if (r->filter_seg != FLOW_NO_SEGMENT &&
		r->filter.mem_bytes <= KEEP_FILTER_BYTES)
		return;
	r->filter_seg = FLOW_NO_SEGMENT;
	if (r->filter.mem_bytes > KEEP_FILTER_BYTES)
		flowi_piece_free(r, &r->filter);
	else
		flowi_piece_drop(r, &r->filter);
}

/* The filter that was asked is that of the segment: keep a copy if it is
 * small.  Without memory for it there is none. */
static void
keep_small(FlowSstReader *r, FlowSegment *seg)
{
	FlowBuf *b = &r->small_filters;

	if (r->filter.bytes > SMALL_FILTER_BYTES ||
		b->len + r->filter.bytes > SMALL_FILTERS_BYTES)
		return;
	if (flowi_buf_append(b, r->filter.data, r->filter.bytes) == FLOW_OK)
		seg->small = (uint32_t) (b->len - r->filter.bytes) + 1;
}

static FlowStatus
ask_filter(FlowSstReader *r, uint32_t s, uint64_t hash, bool fill, bool *mayp)
{
	FlowSegment *seg = &r->segs[s];
	FlowStatus st;

	if (seg->small > 0)
		return flowi_bloom_check(r->small_filters.data + seg->small - 1,
								 seg->filter_bytes - FRAME_BYTES, hash, mayp);
	st = load_filter(r, s, fill);
	if (st == FLOW_OK)
		st = flowi_bloom_check(r->filter.data, r->filter.bytes, hash, mayp);
	if (st == FLOW_OK)
	{
		if (r->filter.bytes == seg->filter_bytes - FRAME_BYTES)
			keep_small(r, seg);
		flowi_piece_publish(r, &r->filter);
	}
	else
	{
		flowi_piece_drop(r, &r->filter);
		r->filter_seg = FLOW_NO_SEGMENT;
		if (st == FLOW_CORRUPT)
			st = flowi_reader_damaged(r, seg->off + seg->block_bytes,
									  "wrong filter");
	}
	leave_filter(r);
	return st;
}

FlowStatus
flowi_sst_may_contain(FlowSstReader *r, const uint8_t *key, uint32_t key_bytes,
					  const FlowSstIterOptions *o, bool *mayp)
{
	uint32_t s = segment_of_key(r, key, key_bytes);
	const FlowSpan *span;
	int c;

	*mayp = false;
	r->asked_seg = s;
	if (s == r->nsegs)
		return FLOW_OK;
	span = &r->segs[s].span;
	c = flowi_key_cmp(span->first_key, span->first_bytes, key, key_bytes);
	if (c > 0)
		return FLOW_OK;
	*mayp = true;
	if (c == 0 || r->segs[s].filter_bytes == 0 ||
		flowi_key_cmp(span->last_key, span->last_bytes, key, key_bytes) == 0)
		return FLOW_OK;
	return ask_filter(r, s, flowi_bloom_hash(key, key_bytes), !o->no_fill_cache,
					  mayp);
}
