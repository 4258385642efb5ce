/*-------------------------------------------------------------------------
 * sst_point.c
 *	  One version of an SSTable, for lookups: no iterator, nothing decoded.
 *
 * What a lookup costs is how often it waits for memory.  An index leaf in the
 * block cache is some 100 bytes a block, keys apart from entries, behind a
 * lock; so a reader that is asked twice about a segment keeps of its leaf what
 * a search needs, 32 bytes a block: of each block's last key the eight bytes
 * behind what all keys of the segment begin with, and its time.  What is left
 * of longer keys is kept once a key, for those that eight bytes do not tell
 * apart: mostly the searched one itself, when its rows fill blocks.  With that
 * comes where the block cache had the block when it was asked last: that may
 * be wrong by now, so it is only what the processor fetches while the cache
 * is asked.
 *
 * The block itself is searched where it lies (block_peek.c).  A block that is
 * not in the cache, or of columns, is left to the iterator.
 *-------------------------------------------------------------------------
 */
#include "sst_reader.h"

/* Of the indexes of all segments of all readers that share that: some 130,000
 * blocks.  Of one segment, whose keys may be long. */
#define INDEX_BYTES ((size_t) 4 << 20)
#define SEGMENT_INDEX_BYTES ((size_t) 256 << 10)

/* Of a block: entry, header, columns of some 100 rows. */
#define FETCH_LINES 12u

/* What is known of a block; all of it in one cache line. */
typedef struct PointBlock
{
	uint64_t key;		 /* of its last key what comes behind skip */
	int64_t ts;			 /* of its last row */
	const uint8_t *seen; /* where it was in the cache, or NULL */
	uint32_t off;		 /* of its frame, from the segment's beginning */
	uint16_t key_bytes;	 /* of its last key, all of it */
	uint16_t rest;		 /* number of its last key's rest, if it has one */
} PointBlock;

_Static_assert(FLOW_MAX_KEY <= UINT16_MAX, "key_bytes is 16 bits wide");
_Static_assert(sizeof(PointBlock) == 32, "two blocks to a cache line");
_Static_assert(SEGMENT_INDEX_BYTES / sizeof(PointBlock) <= UINT16_MAX,
			   "rest is 16 bits wide");

/* In one piece of memory, in this order. */
struct FlowSegmentIndex
{
	PointBlock *block; /* aligned to its size */
	uint32_t *rest_at; /* where in rests each begins */
	uint8_t *rests;	   /* of long last keys what is behind key */
	size_t bytes;	   /* of all that */
	uint32_t skip;	   /* bytes that all keys begin with */
};

/* What the rests of a segment's last keys take. */
typedef struct Rests
{
	uint32_t n;
	size_t bytes;
} Rests;

/* The eight bytes of a key behind skip, as a number that compares as they do;
 * those that are missing are 0. */
static uint64_t
key_part(const uint8_t *key, uint32_t key_bytes, uint32_t skip)
{
	uint64_t x = 0;

	if (key_bytes >= skip + 8)
		return flowi_load_big64(key + skip);
	for (uint32_t i = skip; i < key_bytes; i++)
		x |= (uint64_t) key[i] << (56 - 8 * (i - skip));
	return x;
}

static uint32_t
common_prefix(const FlowSpan *s)
{
	uint32_t most = FLOW_MIN(s->first_bytes, s->last_bytes);
	uint32_t n = 0;

	while (n < most && s->first_key[n] == s->last_key[n])
		n++;
	return n;
}

/* ---------------------------------------------------------------- the index */

/* The rest of block i's last key, behind its first from bytes, if there is one
 * and the block before does not end with the same key; else NULL. */
static const uint8_t *
new_rest(const FlowLeafEntry *e, const FlowLeafEntry *before, uint32_t from)
{
	const FlowSpan *last = &e->span;

	if (last->last_bytes <= from ||
		(before && flowi_key_cmp(before->span.last_key, before->span.last_bytes,
								 last->last_key, last->last_bytes) == 0))
		return NULL;
	return last->last_key + from;
}

/* False: the leaf is damaged. */
static bool
measure_rests(const FlowSegment *seg, const FlowPiece *leaf, uint32_t skip,
			  Rests *rests)
{
	FlowLeafEntry e[2];

	*rests = (Rests){0};
	for (uint32_t i = 0; i < seg->nblocks; i++)
	{
		FlowLeafEntry *now = &e[i % 2];

		if (!flowi_leaf_entry(seg, leaf, i, now) || now->span.last_bytes < skip)
			return false;
		if (new_rest(now, i ? &e[1 - i % 2] : NULL, skip + 8))
		{
			rests->n++;
			rests->bytes += now->span.last_bytes - skip - 8;
		}
	}
	return true;
}

static size_t
index_bytes(uint32_t nblocks, const Rests *rests)
{
	return sizeof(struct FlowSegmentIndex) + sizeof(PointBlock) - 1 +
		   nblocks * sizeof(PointBlock) + rests->n * sizeof(uint32_t) +
		   rests->bytes;
}

static bool
have_room(const FlowSstReader *r, size_t size)
{
	return *r->index_bytes <= INDEX_BYTES &&
		   size <= INDEX_BYTES - *r->index_bytes;
}

/* NULL: there is no room or no memory for it. */
static struct FlowSegmentIndex *
alloc_index(FlowSstReader *r, const FlowSegment *seg, const Rests *rests)
{
	size_t size = index_bytes(seg->nblocks, rests);
	struct FlowSegmentIndex *x;
	uintptr_t at;

	if (!have_room(r, size))
		return NULL;
	x = r->env->alloc(r->env, size);
	if (x == NULL)
		return NULL;
	*r->index_bytes += size;
	at = (uintptr_t) (x + 1) + sizeof(PointBlock) - 1;
	x->block = (PointBlock *) (at - at % sizeof(PointBlock));
	x->rest_at = (uint32_t *) (x->block + seg->nblocks);
	x->rests = (uint8_t *) (x->rest_at + rests->n);
	x->bytes = size;
	return x;
}

/* Fill it from the segment's leaf, which was measured. */
static void
fill_index(const FlowSegment *seg, const FlowPiece *leaf, uint32_t skip,
		   struct FlowSegmentIndex *x)
{
	FlowLeafEntry e[2];
	uint32_t n = 0;
	uint32_t at = 0;

	x->skip = skip;
	for (uint32_t i = 0; i < seg->nblocks; i++)
	{
		FlowLeafEntry *now = &e[i % 2];
		const uint8_t *rest;

		(void) flowi_leaf_entry(seg, leaf, i, now);
		rest = new_rest(now, i ? &e[1 - i % 2] : NULL, skip + 8);
		if (rest)
		{
			uint32_t bytes = now->span.last_bytes - skip - 8;

			memcpy(x->rests + at, rest, bytes);
			x->rest_at[n++] = at;
			at += bytes;
		}
		x->block[i] = (PointBlock){
			.key = key_part(now->span.last_key, now->span.last_bytes, skip),
			.ts = now->span.last_ts,
			.off = (uint32_t) (now->off - seg->off),
			.key_bytes = (uint16_t) now->span.last_bytes,
			.rest = (uint16_t) (n ? n - 1 : 0)};
	}
}

static void
free_index(FlowSstReader *r, FlowSegment *seg)
{
	if (seg->index != NULL)
		*r->index_bytes -= seg->index->bytes;
	r->env->free(r->env, seg->index);
	seg->index = NULL;
}

/*
 * Make the segment's index.  Without room or memory for it there is none this
 * time, and there never is one that would be too large.  A leaf that cannot be
 * read, or is damaged, is the lookup's error.
 */
static FlowStatus
make_index(FlowSstReader *r, uint32_t s)
{
	FlowSegment *seg = &r->segs[s];
	uint32_t skip = common_prefix(&seg->span);
	FlowPiece leaf = {0};
	Rests rests = {0};
	size_t need = index_bytes(seg->nblocks, &rests); /* or more */
	FlowStatus st;

	if (!have_room(r, FLOW_MAX(need, seg->index_need)))
		return FLOW_OK;
	st = flowi_leaf_load(r, s, true, &leaf);
	if (st == FLOW_OK)
	{
		seg->decode = !measure_rests(seg, &leaf, skip, &rests);
		seg->index_need = index_bytes(seg->nblocks, &rests);
		seg->decode |= seg->index_need > SEGMENT_INDEX_BYTES;
	}
	if (st == FLOW_OK && !seg->decode)
		seg->index = alloc_index(r, seg, &rests);
	if (seg->index)
		fill_index(seg, &leaf, skip, seg->index);
	flowi_piece_free(r, &leaf);
	return st;
}

void
flowi_sst_free_points(FlowSstReader *r)
{
	for (uint32_t s = 0; r->segs && s < r->nsegs; s++)
		free_index(r, &r->segs[s]);
}

/* Has the segment an index?  Once asked is not worth one, nor is a segment
 * whose blocks are in no cache. */
static FlowStatus
have_index(FlowSstReader *r, uint32_t s, bool *havep)
{
	FlowSegment *seg = &r->segs[s];
	bool before = seg->asked;

	seg->asked = true;
	if (seg->index == NULL && before && !seg->decode &&
		flowi_region_cache(r->env) != NULL)
		FLOW_TRY(make_index(r, s));
	*havep = seg->index != NULL;
	return FLOW_OK;
}

/* ------------------------------------------------------------- the search */

/* The first segment that does not end before to; nsegs when all do. */
static uint32_t
find_segment(const FlowSstReader *r, const FlowSeek *to)
{
	uint32_t lo = r->asked_seg == FLOW_NO_SEGMENT ? 0 : r->asked_seg;
	uint32_t hi = r->nsegs;

	/* nearly always the one of the key */
	if (lo < hi && !flowi_span_ends_before(&r->segs[lo].span, to, false))
		return lo;
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (flowi_span_ends_before(&r->segs[mid].span, to, false))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A block's last key, whose part behind skip is that of to's key, with that. */
static int
compare_rest(const struct FlowSegmentIndex *x, const PointBlock *b,
			 const FlowSeek *to)
{
	uint32_t from = x->skip + 8;

	/* of one that ends within those eight bytes the others are 0 */
	if (b->key_bytes <= from || to->key_bytes <= from)
		return (b->key_bytes > to->key_bytes) - (b->key_bytes < to->key_bytes);
	return flowi_key_cmp(x->rests + x->rest_at[b->rest], b->key_bytes - from,
						 to->key + from, to->key_bytes - from);
}

/* The first block of the segment that does not end before to, which the
 * segment does not either; false: its index is not right. */
static bool
find_block(const FlowSegment *seg, const FlowSeek *to, uint32_t *np)
{
	const struct FlowSegmentIndex *x = seg->index;
	uint64_t part = key_part(to->key, to->key_bytes, x->skip);
	uint32_t lo = 0;
	uint32_t hi = seg->nblocks;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;
		const PointBlock *b = &x->block[mid];
		bool before = b->key < part;

		if (b->key == part)
		{
			int c = compare_rest(x, b, to);

			before = c < 0 || (c == 0 && b->ts < to->ts);
		}
		if (before)
			lo = mid + 1;
		else
			hi = mid;
	}
	*np = lo;
	return lo < seg->nblocks;
}

/* Look into block n of the segment, if the cache has it. */
static FlowPeek
peek_block(FlowSstReader *r, FlowSegment *seg, uint32_t n, const FlowSeek *to,
		   bool last, FlowSstPoint *point)
{
	PointBlock *b = &seg->index->block[n];
	FlowPeek found;

	if (b->seen)
		flowi_cache_prefetch(b->seen, FETCH_LINES);
	if (!flowi_cache_try(r->env, r->space, r->info.id, seg->off + b->off,
						 &point->ref))
		return FLOW_PEEK_UNSURE;
	b->seen = point->ref.data;
	point->blocks++;
	found = flowi_block_peek(point->ref.data, point->ref.bytes, to, last,
							 &point->rec);
	if (found != FLOW_PEEK_ROW)
		flowi_cache_unpin(r->env, &point->ref);
	/* it is of columns, as its neighbours are */
	if (found == FLOW_PEEK_UNSURE)
	{
		free_index(r, seg);
		seg->decode = true;
	}
	return found;
}

/* A key's last row is in the block before where the key ends, if it is the
 * last row there. */
static FlowStatus
peek_before(FlowSstReader *r, uint32_t s, uint32_t n, const FlowSeek *to,
			FlowSstPoint *point, FlowPeek *foundp)
{
	const FlowSpan *span;
	bool have = true;

	*foundp = FLOW_PEEK_NONE;
	if (n == 0)
	{
		if (s-- == 0)
			return FLOW_OK;
		span = &r->segs[s].span;
		if (flowi_key_cmp(span->last_key, span->last_bytes, to->key,
						  to->key_bytes) != 0)
			return FLOW_OK;
		n = r->segs[s].nblocks;
		FLOW_TRY(have_index(r, s, &have));
	}
	*foundp = FLOW_PEEK_UNSURE;
	if (have)
		*foundp = peek_block(r, &r->segs[s], n - 1, to, true, point);
	return FLOW_OK;
}

static FlowStatus
find_point(FlowSstReader *r, const FlowSeek *to, bool last, FlowSstPoint *point,
		   FlowPeek *foundp)
{
	FlowSeek at = *to;
	FlowSegment *seg;
	uint32_t s, n = 0;
	bool have;

	*foundp = FLOW_PEEK_UNSURE;
	if (r->asked_seg < r->nsegs && r->segs[r->asked_seg].decode)
		return FLOW_OK;
	*foundp = FLOW_PEEK_NONE;
	if (last)
		at.ts = INT64_MAX;
	s = find_segment(r, &at);
	if (s < r->nsegs && !flowi_span_starts_behind(&r->segs[s].span, &at))
	{
		seg = &r->segs[s];
		*foundp = FLOW_PEEK_UNSURE;
		FLOW_TRY(have_index(r, s, &have));
		if (!have || !find_block(seg, &at, &n))
			return FLOW_OK;
		*foundp = peek_block(r, seg, n, &at, last, point);
	}
	if (last && *foundp == FLOW_PEEK_NONE)
		FLOW_TRY(peek_before(r, s, n, &at, point, foundp));
	return FLOW_OK;
}

FlowStatus
flowi_sst_point(FlowSstReader *r, const FlowSeek *to, bool last,
				FlowSstPoint *point, FlowPeek *foundp)
{
	point->blocks = 0;
	point->ref = (FlowCacheRef){0};
	FLOW_TRY(find_point(r, to, last, point, foundp));
	/* no seek follows that it would be for */
	if (*foundp != FLOW_PEEK_UNSURE)
		r->asked_seg = FLOW_NO_SEGMENT;
	return FLOW_OK;
}

void
flowi_sst_point_end(const FlowSstReader *r, FlowSstPoint *point)
{
	flowi_cache_unpin(r->env, &point->ref);
}
