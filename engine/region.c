/*-------------------------------------------------------------------------
 * region.c
 *	  Allocators inside the shared region.
 *
 *	  base                                                       base + size
 *	  | FlowRegion | chunk bitmap | page table | meta pages |..| cache | chunks |
 *
 * Chunks are 256 KiB each (aligned to that where it costs little); a bit of
 * the bitmap is set while its chunk is in use.
 *
 * Meta memory is pages of 8 KiB, each with an entry in the page table.  An
 * object of at most half a page comes from a page cut into slots of one
 * power-of-two size; a larger one is a run of whole pages.  All bookkeeping
 * stands in the tables, nothing in the memory given out: a wild write into
 * freed memory cannot break the allocator, and a wrong pointer or a second
 * free is seen exactly.  A page whose last slot is freed goes back to the
 * pool, so no size class keeps memory from another.  The last pages are a
 * reserve: when all others are in use, giving memory back still needs some.
 *
 * The block cache has a part of its own and looks after it itself (cache.c).
 *
 * Locks: the region lock (FLOW_RANK_REGION), a leaf.
 *-------------------------------------------------------------------------
 */
#include "region.h"

#include "cache.h"

#define META_PAGE_BYTES 8192u
#define META_MIN_SHIFT 5u /* smallest slot: 32 bytes */
#define META_CLASSES 8u	  /* 32, 64, .. 4096 bytes */
#define META_MAX_SLOTS (META_PAGE_BYTES >> META_MIN_SHIFT)
#define META_MIN_PAGES 4u
#define META_RESERVE 16u /* one page in so many is kept for the reserve */
#define NO_PAGE UINT32_MAX
#define PROMISE_BYTES 1024u /* to a store, for an SSTable and its lists */
#define CACHE_LINE 64u

typedef enum PageKind
{
	PAGE_FREE = 0,
	PAGE_SLOTS, /* cut into slots of one class */
	PAGE_RUN,	/* first page of a large object */
	PAGE_TAIL	/* a later one */
} PageKind;

/* One meta page; protected by the region lock. */
typedef struct MetaPage
{
	uint8_t kind; /* PageKind */
	uint8_t cls;
	uint16_t used;		/* slots given out */
	uint32_t run_pages; /* length of the run, first page only */
	uint32_t next;		/* pages of a class with a free slot, NO_PAGE ends */
	uint32_t prev;
	uint64_t slots[META_MAX_SLOTS / 64]; /* bit set: given out */
} MetaPage;

struct FlowRegion
{
	/* constant after init */
	uint8_t *chunk_base;
	uint64_t *chunk_bits;
	uint8_t *meta_base;
	MetaPage *pages;
	uint32_t nchunks;
	uint32_t npages;
	uint32_t nusual;  /* pages before the reserve */
	FlowCache *cache; /* or NULL */

	_Atomic uint64_t releases;	  /* of memtables */
	_Atomic uint64_t cache_space; /* last one given */
	FlowLock lock;

	/* protected by lock */
	uint32_t chunks_used;
	uint32_t chunk_hint;			/* no free chunk below */
	uint32_t page_hint;				/* no free page below */
	uint64_t meta_used;				/* bytes, rounded to slots and pages */
	uint64_t promised;				/* to stores, of what is not used */
	uint32_t partial[META_CLASSES]; /* first page with a free slot */
};

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
	region->nusual = (uint32_t) (l.npages - l.npages / META_RESERVE);
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

/* ----------------------------------------------------------- meta pages */

static uint32_t
class_bytes(uint32_t cls)
{
	return 1u << (META_MIN_SHIFT + cls);
}

/* The smallest class that holds size, META_CLASSES when none does. */
static uint32_t
class_of(size_t size)
{
	uint32_t cls = 0;

	while (cls < META_CLASSES && class_bytes(cls) < size)
		cls++;
	return cls;
}

/* First run of n free pages among the first npages, or NO_PAGE. */
static uint32_t
find_pages(FlowRegion *region, uint64_t n, uint32_t npages)
{
	uint32_t run = 0;
	uint32_t i = region->page_hint;

	while (i < npages && run < n)
	{
		const MetaPage *page = &region->pages[i];

		if (page->kind == PAGE_FREE)
		{
			run++;
			i++;
			continue;
		}
		/* the hint moves on over what is used from there */
		if (run == 0 && i == region->page_hint)
			region->page_hint += page->kind == PAGE_RUN ? page->run_pages : 1;
		run = 0;
		i += page->kind == PAGE_RUN ? page->run_pages : 1;
	}
	return run == n ? i - run : NO_PAGE;
}

static void
list_push(FlowRegion *region, uint32_t page_no)
{
	MetaPage *page = &region->pages[page_no];

	page->prev = NO_PAGE;
	page->next = region->partial[page->cls];
	if (page->next != NO_PAGE)
		region->pages[page->next].prev = page_no;
	region->partial[page->cls] = page_no;
}

static void
list_remove(FlowRegion *region, uint32_t page_no)
{
	MetaPage *page = &region->pages[page_no];

	if (page->prev != NO_PAGE)
		region->pages[page->prev].next = page->next;
	else
		region->partial[page->cls] = page->next;
	if (page->next != NO_PAGE)
		region->pages[page->next].prev = page->prev;
}

static void *
page_address(const FlowRegion *region, uint32_t page_no)
{
	return region->meta_base + (size_t) page_no * META_PAGE_BYTES;
}

/* A slot of a class, new pages from the first npages; NULL: no room. */
static void *
slot_alloc(FlowRegion *region, uint32_t cls, uint32_t npages)
{
	uint32_t nslots = META_PAGE_BYTES / class_bytes(cls);
	uint32_t page_no = region->partial[cls];
	MetaPage *page;
	uint32_t word = 0;
	uint32_t slot;

	if (page_no == NO_PAGE)
	{
		page_no = find_pages(region, 1, npages);
		if (page_no == NO_PAGE)
			return NULL;
		page = &region->pages[page_no];
		memset(page, 0, sizeof(*page));
		page->kind = PAGE_SLOTS;
		page->cls = (uint8_t) cls;
		list_push(region, page_no);
	}
	page = &region->pages[page_no];
	while (page->slots[word] == UINT64_MAX)
		word++;
	slot = word * 64 + (uint32_t) __builtin_ctzll(~page->slots[word]);
	FLOW_ASSERT(slot < nslots);
	page->slots[word] |= UINT64_C(1) << (slot % 64);
	if (++page->used == nslots)
		list_remove(region, page_no);
	region->meta_used += class_bytes(cls);
	return (uint8_t *) page_address(region, page_no) +
		   (size_t) slot * class_bytes(cls);
}

/* A run of whole pages of the first npages; NULL when there is none. */
static void *
run_alloc(FlowRegion *region, size_t size, uint32_t npages)
{
	uint64_t n = ((uint64_t) size + META_PAGE_BYTES - 1) / META_PAGE_BYTES;
	uint32_t first = n > npages ? NO_PAGE : find_pages(region, n, npages);

	if (first == NO_PAGE)
		return NULL;
	region->pages[first].kind = PAGE_RUN;
	region->pages[first].run_pages = (uint32_t) n;
	for (uint32_t i = 1; i < n; i++)
		region->pages[first + i].kind = PAGE_TAIL;
	region->meta_used += n * META_PAGE_BYTES;
	return page_address(region, first);
}

static void *
meta_alloc(FlowEnv *env, size_t size, uint32_t npages)
{
	FlowRegion *region = env->region;
	uint32_t cls = class_of(size);
	void *p = NULL;

	if (size > SIZE_MAX - META_PAGE_BYTES)
		return NULL;
	env->lock_acquire(env, &region->lock, FLOW_LOCK_EXCLUSIVE);
	if (cls < META_CLASSES)
		p = slot_alloc(region, cls, npages);
	else
		p = run_alloc(region, size, npages);
	env->lock_release(env, &region->lock);
	if (p == NULL)
		return NULL;
	/* ours already: no need to hold the lock */
	FLOW_PERMIT(p, size);
	return memset(p, 0, size);
}

void *
flowi_region_alloc(FlowEnv *env, size_t size)
{
	return meta_alloc(env, size, env->region->nusual);
}

void *
flowi_region_alloc_reserve(FlowEnv *env, size_t size)
{
	return meta_alloc(env, size, env->region->npages);
}

void
flowi_region_promise(FlowEnv *env, int n)
{
	FlowRegion *region = env->region;

	env->lock_acquire(env, &region->lock, FLOW_LOCK_EXCLUSIVE);
	region->promised += (uint64_t) (int64_t) n * PROMISE_BYTES;
	env->lock_release(env, &region->lock);
}

bool
flowi_region_has_room(FlowEnv *env, size_t size)
{
	FlowRegion *region = env->region;
	uint64_t usual = (uint64_t) region->nusual * META_PAGE_BYTES;
	uint64_t taken;

	env->lock_acquire(env, &region->lock, FLOW_LOCK_SHARED);
	taken = region->meta_used + region->promised;
	env->lock_release(env, &region->lock);
	return taken + size + PROMISE_BYTES <= usual;
}

/* Give a slot back; false when it is not one in use. */
static bool
slot_free(FlowRegion *region, uint32_t page_no, uint32_t off)
{
	MetaPage *page = &region->pages[page_no];
	uint32_t bytes = class_bytes(page->cls);
	uint32_t slot = off / bytes;
	uint64_t bit = UINT64_C(1) << (slot % 64);

	if (off % bytes != 0 || (page->slots[slot / 64] & bit) == 0)
		return false;
	page->slots[slot / 64] &= ~bit;
	FLOW_FORBID((uint8_t *) page_address(region, page_no) + off, bytes);
	region->meta_used -= bytes;
	if (page->used-- == META_PAGE_BYTES / bytes)
		list_push(region, page_no);
	if (page->used == 0)
	{
		list_remove(region, page_no);
		page->kind = PAGE_FREE;
		region->page_hint = FLOW_MIN(region->page_hint, page_no);
	}
	return true;
}

static bool
run_free(FlowRegion *region, uint32_t first, uint32_t off)
{
	uint32_t n = region->pages[first].run_pages;

	if (off != 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		region->pages[first + i].kind = PAGE_FREE;
	FLOW_FORBID(page_address(region, first), (size_t) n * META_PAGE_BYTES);
	region->meta_used -= (uint64_t) n * META_PAGE_BYTES;
	region->page_hint = FLOW_MIN(region->page_hint, first);
	return true;
}

void
flowi_region_free(FlowEnv *env, void *p)
{
	FlowRegion *region = env->region;
	uintptr_t off = (uintptr_t) p - (uintptr_t) region->meta_base;
	uint32_t page_no = (uint32_t) (off / META_PAGE_BYTES);
	uint32_t page_off = (uint32_t) (off % META_PAGE_BYTES);
	bool valid = false;

	if (p == NULL)
		return;
	env->lock_acquire(env, &region->lock, FLOW_LOCK_EXCLUSIVE);
	if (off / META_PAGE_BYTES < region->npages)
	{
		if (region->pages[page_no].kind == PAGE_SLOTS)
			valid = slot_free(region, page_no, page_off);
		else if (region->pages[page_no].kind == PAGE_RUN)
			valid = run_free(region, page_no, page_off);
	}
	env->lock_release(env, &region->lock);
	/* a release build leaks rather than spoil what is not its own */
	FLOW_ASSERT(valid);
	(void) valid;
}
