/*-------------------------------------------------------------------------
 * lookup.h
 *	  A lookup of one row: what get.c and latest.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_LOOKUP_H
#define FLOW_LOOKUP_H

#include "scan.h"

/* What an SSTable is read with: a pinned reader, and either what was found in
 * a cached block, or an iterator. */
typedef struct FlowSstRead
{
	FlowReader *reader; /* NULL: nothing */
	FlowIter *it;		/* the reader's get_iter, or one to free; or NULL */
	FlowSstPoint point;
} FlowSstRead;

/* What is looked for, and what was found; the newest visible version. */
typedef struct Lookup
{
	FlowScan *s;
	FlowSeek to;
	bool last;		 /* of the key, not the one of to.ts */
	bool unsure;	 /* last: it takes a scan to tell */
	uint32_t passed; /* versions that were not visible */
	bool found;
	FlowSourceKind kind;
	FlowIter *it; /* of memory; to free, or NULL */
	FlowRec rec;  /* if found; borrowed from it, or from what read reads with */
	FlowSstRead read;
} Lookup;

/*
 * flowi_lookup_begin: of the key, with a scan of its own; key is borrowed.
 * flowi_lookup_end: pin nothing; l->s stays, for its owner to close.
 * flowi_lookup_sst
 *		Look into sst; what decides is found afterwards: the highest time,
 *		and of that the highest sequence.
 * flowi_lookup_emit: what was found becomes the scan's row.
 */
extern FlowStatus flowi_lookup_begin(FlowDb *db, const FlowScanSpec *spec,
									 const void *key, size_t key_bytes,
									 Lookup *l) FLOW_MUST_CHECK;
extern void flowi_lookup_end(Lookup *l);
extern FlowStatus flowi_lookup_sst(Lookup *l, FlowSst *sst) FLOW_MUST_CHECK;
extern FlowStatus flowi_lookup_emit(Lookup *l) FLOW_MUST_CHECK;

/* Is the key within the SSTable's? */
static inline bool
flowi_lookup_has_key(const Lookup *l, const FlowSstInfo *info)
{
	return flowi_key_cmp(info->key_min, info->key_min_bytes, l->to.key,
						 l->to.key_bytes) <= 0 &&
		   flowi_key_cmp(info->key_max, info->key_max_bytes, l->to.key,
						 l->to.key_bytes) >= 0;
}

#endif /* FLOW_LOOKUP_H */
