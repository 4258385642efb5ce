/*-------------------------------------------------------------------------
 * cache.h
 *	  The block cache: raw (decompressed, checked) pieces of SSTables in the
 *	  shared region, for all databases and processes together.
 *
 * A piece is at most a quarter of a shard, which has 2 MiB or more (of a
 * smaller cache: all of it); what does not fit is read as if there were no
 * cache.  A process ends holding pins only together with the whole region.
 *
 * A piece is named by (space, file, offset): space is a number that each
 * loaded database has of its own, and that is never given again while the
 * region lives.  Pieces are immutable.  Shards by hash, each with its lock
 * (FLOW_RANK_CACHE, a leaf, held for no I/O) and its part of the memory, in
 * which a hand goes round: it passes over what is pinned or was asked for
 * since it came by last, and takes the rest (CLOCK: Corbato, "A Paging
 * Experiment with the Multics System", 1968, here over pieces of any size).
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_CACHE_H
#define FLOW_CACHE_H

#include "common.h"

/* A pinned piece; zeroed: none.  Private to its owner. */
typedef struct FlowCacheRef
{
	uint8_t *data; /* bytes of them; 16-byte aligned; NULL: none */
	size_t bytes;
	void *entry;
	uint64_t stamp; /* tells this content of the entry from any other */
} FlowCacheRef;

/* A new space, never 0; works without a cache too. */
extern uint64_t flowi_cache_new_space(FlowEnv *env);

/* Pin a piece.  False: it is not there (*ref is zeroed).  A miss counts. */
extern bool flowi_cache_get(FlowEnv *env, uint64_t space, uint64_t file,
							uint64_t off, FlowCacheRef *ref);

/* The same, but a miss does not count: the caller will ask again. */
extern bool flowi_cache_try(FlowEnv *env, uint64_t space, uint64_t file,
							uint64_t off, FlowCacheRef *ref);

/*
 * flowi_cache_prefetch
 *		Have the processor fetch the entry and the first bytes of a piece that
 *		was once at data, while the caller does what comes before get.  It may
 *		be gone: nothing is read.
 */
#define FLOW_CACHE_LINE 64u /* an entry has one, before its data */

static inline void
flowi_cache_prefetch(const uint8_t *data, uint32_t lines)
{
	const uint8_t *p = data - FLOW_CACHE_LINE;

	for (uint32_t i = 0; i <= lines; i++, p += FLOW_CACHE_LINE)
		__builtin_prefetch(p);
}

/*
 * flowi_cache_reserve
 *		Room for a piece of bytes, pinned, not found by anybody yet, for the
 *		caller to fill.  False: too large for the cache, or too much of it is
 *		pinned; or there is no cache.
 * flowi_cache_publish
 *		The piece is filled and can be found.  When another process was
 *		faster, ref stays valid and is gone with its pin.
 */
extern bool flowi_cache_reserve(FlowEnv *env, uint64_t space, uint64_t file,
								uint64_t off, size_t bytes, FlowCacheRef *ref);
extern void flowi_cache_publish(FlowEnv *env, FlowCacheRef *ref);

/* Give the pin back; ref->data is NULL afterwards, entry and stamp stay for
 * again.  Of a reserved one that was not published: the room is free. */
extern void flowi_cache_unpin(FlowEnv *env, FlowCacheRef *ref);

/* Pin again what ref was before unpin, at the same place; false: it is gone
 * (*ref is zeroed).  Counts as a hit, but never as a miss. */
extern bool flowi_cache_again(FlowEnv *env, uint64_t space, uint64_t file,
							  uint64_t off, FlowCacheRef *ref);

/* Take the pieces of a file out of the cache; pinned ones go with their pin.
 * Walks all of it: for a file that is removed.  Only saves room: a name never
 * gets another content. */
extern void flowi_cache_forget(FlowEnv *env, uint64_t space, uint64_t file);

typedef struct FlowCacheStats
{
	uint64_t capacity; /* bytes, without tables */
	uint64_t bytes;	   /* of pieces that can be found */
	uint64_t pieces;   /* that can be found */
	uint64_t pinned;   /* pieces, private ones too */
	uint64_t hits, misses;
} FlowCacheStats;

extern void flowi_cache_stats(FlowEnv *env, FlowCacheStats *stats);

/* For tests: is the whole structure in order? */
extern bool flowi_cache_check(FlowEnv *env);

/* Lay it out in zeroed memory, tables included; called by flow_region_init.
 * INVALID: too little for any cache. */
typedef struct FlowCache FlowCache;
extern FlowStatus flowi_cache_init(FlowEnv *env, void *base, size_t bytes,
								   FlowCache **cachep) FLOW_MUST_CHECK;
/* The region's; NULL: there is none. */
extern FlowCache *flowi_region_cache(const FlowEnv *env);

#endif /* FLOW_CACHE_H */
