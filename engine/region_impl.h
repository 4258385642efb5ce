/*-------------------------------------------------------------------------
 * region_impl.h
 *	  What stands at the beginning of the shared region; private to region.c
 *	  and region_meta.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_REGION_IMPL_H
#define FLOW_REGION_IMPL_H

#include "cache.h"
#include "region.h"

#define META_PAGE_BYTES 8192u
#define META_MIN_SHIFT 5u /* smallest slot: 32 bytes */
#define META_CLASSES 8u	  /* 32, 64, .. 4096 bytes */
#define META_MAX_SLOTS (META_PAGE_BYTES >> META_MIN_SHIFT)
#define NO_PAGE UINT32_MAX

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

#endif /* FLOW_REGION_IMPL_H */
