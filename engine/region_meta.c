/*-------------------------------------------------------------------------
 * region_meta.c
 *	  Small and middling objects inside the shared region.
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
 * Locks: the region lock (FLOW_RANK_REGION), a leaf.
 *-------------------------------------------------------------------------
 */
#include "region_impl.h"

#define PROMISE_BYTES 1024u /* to a store, for an SSTable and its lists */

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
