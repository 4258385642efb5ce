/*-------------------------------------------------------------------------
 * region.c
 *	  The shared region: its parts, and chunks.
 *
 *	  base                                                       base + size
 *	  | FlowRegion | chunk bitmap | page table | meta pages |..| cache | chunks |
 *
 * Chunks are 256 KiB each (aligned to that where it costs little); a bit of
 * the bitmap is set while its chunk is in use.
 *
 * Meta pages: region_meta.c.
 *
 * The block cache has a part of its own and looks after it itself (cache.c).
 *
 * Locks: the region lock (FLOW_RANK_REGION), a leaf.
 *-------------------------------------------------------------------------
 */
#include "region_impl.h"

#define META_MIN_PAGES 4u

/* One page in so many is kept for the reserve; of few pages more of them, room
 * for an SSTable's entry with keys of any length and what lies between, unless
 * they are fewer than 100. */
#define META_RESERVE 16u
#define META_RESERVE_SMALL 4u
#define META_RESERVE_BYTES (4u * FLOW_MAX_KEY)

#define CACHE_LINE 64u

/* ----------------------------------------------------------------- init */

static uintptr_t
align_up(uintptr_t x, uintptr_t to)
{
	return (x + to - 1) / to * to;
}

/*
 * Where the chunks start: at the end of the region, down to a multiple of
 * the chunk size (huge pages, easy to read in a debugger) unless that would
 * take more than an eighth of the metadata's room.
 */
static uintptr_t
place_chunks(uintptr_t base, uintptr_t end, size_t chunk_bytes)
{
	uintptr_t low = end - chunk_bytes;
	uintptr_t aligned = low / FLOW_CHUNK_BYTES * FLOW_CHUNK_BYTES;

	if (aligned > base && low - aligned <= (low - base) / 8)
		return aligned;
	return low / CACHE_LINE * CACHE_LINE;
}

/* Where all parts lie. */
typedef struct Layout
{
	uintptr_t bits, pages, meta, cache, chunks;
	uint64_t nchunks, npages;
} Layout;

/* Lay out; false: there is no good room for metadata. */
static bool
lay_out(uintptr_t start, size_t size, size_t write_bytes, size_t cache_bytes,
		Layout *l)
{
	uintptr_t low;

	l->nchunks = write_bytes / FLOW_CHUNK_BYTES;
	if (start % 8 != 0 || write_bytes > size ||
		cache_bytes > size - write_bytes || l->nchunks > INT32_MAX)
		return false;
	low = start + cache_bytes; /* what place_chunks may go down to */
	l->chunks = place_chunks(low, start + size, l->nchunks * FLOW_CHUNK_BYTES);
	if (l->chunks < low)
		return false;
	l->cache = (l->chunks - cache_bytes) / CACHE_LINE * CACHE_LINE;
	l->bits = align_up(start + sizeof(FlowRegion), CACHE_LINE);
	l->pages = align_up(l->bits + (l->nchunks + 63) / 64 * 8, CACHE_LINE);
	l->npages = 0;
	if (l->cache > l->pages + CACHE_LINE)
		l->npages = (l->cache - l->pages - CACHE_LINE) /
					(META_PAGE_BYTES + sizeof(MetaPage));
	if (l->npages < META_MIN_PAGES || l->npages >= NO_PAGE)
		return false;
	l->meta = align_up(l->pages + l->npages * sizeof(MetaPage), CACHE_LINE);
	FLOW_ASSERT(l->meta + l->npages * META_PAGE_BYTES <= l->cache);
	return true;
}

/* Pages for what gives memory back (I16). */
static uint64_t
reserve_pages(uint64_t npages)
{
	uint64_t least = META_RESERVE_BYTES / META_PAGE_BYTES + 1;

	return FLOW_MAX(npages / META_RESERVE,
					FLOW_MIN(npages / META_RESERVE_SMALL, least));
}

FlowStatus
flow_region_init(FlowEnv *env, void *base, size_t size, size_t write_bytes,
				 size_t cache_bytes, FlowRegion **regionp)
{
	uintptr_t start = (uintptr_t) base;
	FlowRegion *region = base;
	uint8_t *p = base;
	Layout l;

	*regionp = NULL;
	if (!lay_out(start, size, write_bytes, cache_bytes, &l))
		return flowi_fail(FLOW_INVALID,
						  "region of %zu bytes with %zu bytes of write buffers "
						  "and %zu bytes of block cache leaves no good room "
						  "for metadata",
						  size, write_bytes, cache_bytes);
	if (cache_bytes > 0)
		FLOW_TRY(flowi_cache_init(env, p + (l.cache - start), cache_bytes,
								  &region->cache));
	region->chunk_base = p + (l.chunks - start);
	region->chunk_bits = (uint64_t *) (p + (l.bits - start));
	region->meta_base = p + (l.meta - start);
	region->pages = (MetaPage *) (p + (l.pages - start));
	region->nchunks = (uint32_t) l.nchunks;
	region->npages = (uint32_t) l.npages;
	region->nusual = (uint32_t) (l.npages - reserve_pages(l.npages));
	for (unsigned cls = 0; cls < META_CLASSES; cls++)
		region->partial[cls] = NO_PAGE;
	env->lock_init(env, &region->lock, FLOW_RANK_REGION);
	FLOW_FORBID(region->meta_base, l.npages * META_PAGE_BYTES);
	FLOW_FORBID(region->chunk_base, l.nchunks * FLOW_CHUNK_BYTES);
	*regionp = region;
	return FLOW_OK;
}

FlowCache *
flowi_region_cache(const FlowEnv *env)
{
	return env->region ? env->region->cache : NULL;
}

uint64_t
flowi_cache_new_space(FlowEnv *env)
{
	return atomic_fetch_add(&env->region->cache_space, 1) + 1;
}

void
flow_region_usage(FlowEnv *env, FlowRegion *region, uint64_t *write_totalp,
				  uint64_t *write_usedp, uint64_t *meta_totalp,
				  uint64_t *meta_usedp)
{
	env->lock_acquire(env, &region->lock, FLOW_LOCK_SHARED);
	*write_totalp = (uint64_t) region->nchunks * FLOW_CHUNK_BYTES;
	*write_usedp = (uint64_t) region->chunks_used * FLOW_CHUNK_BYTES;
	*meta_totalp = (uint64_t) region->npages * META_PAGE_BYTES;
	*meta_usedp = region->meta_used;
	env->lock_release(env, &region->lock);
}

uint64_t
flowi_region_chunk_total(const FlowEnv *env)
{
	return (uint64_t) env->region->nchunks * FLOW_CHUNK_BYTES;
}

uint64_t
flowi_region_meta_total(const FlowEnv *env)
{
	return (uint64_t) env->region->npages * META_PAGE_BYTES;
}

uint32_t
flowi_region_chunks_used(FlowEnv *env)
{
	FlowRegion *region = env->region;
	uint32_t used;

	env->lock_acquire(env, &region->lock, FLOW_LOCK_SHARED);
	used = region->chunks_used;
	env->lock_release(env, &region->lock);
	return used;
}

uint64_t
flowi_region_releases(const FlowEnv *env)
{
	return atomic_load(&env->region->releases);
}

void
flowi_region_note_release(FlowEnv *env)
{
	atomic_fetch_add(&env->region->releases, 1);
}

/* --------------------------------------------------------------- chunks */

static bool
chunk_used(const FlowRegion *region, uint32_t i)
{
	return (region->chunk_bits[i / 64] >> (i % 64)) & 1;
}

/* First run of n free chunks, or nchunks. */
static uint32_t
find_chunks(const FlowRegion *region, uint32_t n)
{
	uint32_t i = region->chunk_hint;
	uint32_t run = 0;

	while (i < region->nchunks && run < n)
	{
		if (i % 64 == 0 && region->chunk_bits[i / 64] == UINT64_MAX)
		{
			run = 0;
			i += 64;
			continue;
		}
		run = chunk_used(region, i) ? 0 : run + 1;
		i++;
	}
	return run == n ? i - n : region->nchunks;
}

void *
flowi_region_chunks_alloc(FlowEnv *env, uint32_t nchunks)
{
	FlowRegion *region = env->region;
	uint32_t first = region->nchunks;
	uint8_t *p;

	FLOW_ASSERT(nchunks > 0);
	env->lock_acquire(env, &region->lock, FLOW_LOCK_EXCLUSIVE);
	if (nchunks <= region->nchunks - region->chunks_used)
		first = find_chunks(region, nchunks);
	if (first < region->nchunks)
	{
		for (uint32_t i = first; i < first + nchunks; i++)
			region->chunk_bits[i / 64] |= UINT64_C(1) << (i % 64);
		region->chunks_used += nchunks;
		if (first == region->chunk_hint)
			region->chunk_hint += nchunks;
	}
	env->lock_release(env, &region->lock);
	if (first >= region->nchunks)
		return NULL;
	p = region->chunk_base + (size_t) first * FLOW_CHUNK_BYTES;
	FLOW_PERMIT(p, (size_t) nchunks * FLOW_CHUNK_BYTES);
	return p;
}

/* Are these chunks of ours, and all in use? */
static bool
chunks_valid(const FlowRegion *region, const void *base, uint32_t nchunks)
{
	uintptr_t off = (uintptr_t) base - (uintptr_t) region->chunk_base;
	uintptr_t first = off / FLOW_CHUNK_BYTES;

	if (off % FLOW_CHUNK_BYTES != 0 || first >= region->nchunks ||
		nchunks > region->nchunks - first)
		return false;
	for (uint32_t i = 0; i < nchunks; i++)
		if (!chunk_used(region, (uint32_t) first + i))
			return false;
	return true;
}

void
flowi_region_chunks_free(FlowEnv *env, void *base, uint32_t nchunks)
{
	FlowRegion *region = env->region;
	bool valid;

	env->lock_acquire(env, &region->lock, FLOW_LOCK_EXCLUSIVE);
	valid = chunks_valid(region, base, nchunks);
	if (valid)
	{
		size_t off = (size_t) ((uint8_t *) base - region->chunk_base);
		uint32_t first = (uint32_t) (off / FLOW_CHUNK_BYTES);

		for (uint32_t i = first; i < first + nchunks; i++)
			region->chunk_bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
		FLOW_FORBID(base, (size_t) nchunks * FLOW_CHUNK_BYTES);
		region->chunks_used -= nchunks;
		region->chunk_hint = FLOW_MIN(region->chunk_hint, first);
	}
	env->lock_release(env, &region->lock);
	/* a release build leaks rather than spoil what is not its own */
	FLOW_ASSERT(valid);
	(void) valid;
}
