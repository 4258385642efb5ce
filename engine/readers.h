/*-------------------------------------------------------------------------
 * readers.h
 *	  A handle's open SSTables, by id, least recently used closed first.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_READERS_H
#define FLOW_READERS_H

#include "version.h"

typedef struct FlowReaderCache FlowReaderCache;

/* A range tombstone of an SSTable by key_lo; reach: of it and those before it
 * the one that ends last. */
typedef struct FlowTombOrder
{
	const FlowTomb *tomb;
	const FlowTomb *reach;
} FlowTombOrder;

/* One open SSTable; in use (pinned) between acquire and release. */
typedef struct FlowReader
{
	FlowSstReader *sst;

	/* what a point lookup reads with, kept from one to the next; made by
	 * flowi_readers_get_iter, at most one user at a time */
	FlowIter *get_iter;
	FlowSst *get_sst;			/* whose directory get_iter asks */
	FlowSstIterStats get_stats; /* what get_iter counts; its user's to zero */

	/* its range tombstones, when there are many and a lookup wanted them */
	FlowTombSet tombs;
	FlowTombOrder
		*tomb_order; /* all of them, when a scan wanted them; or NULL */

	/* the cache's */
	uint64_t id;
	uint32_t pins;
	struct FlowReader *chain;		  /* hash bucket */
	struct FlowReader *newer, *older; /* LRU list, when not pinned */
} FlowReader;

/* dir is borrowed and must outlive the cache; space: of the block cache. */
extern FlowStatus
flowi_readers_create(FlowEnv *env, const char *dir, uint64_t space,
					 uint32_t capacity,
					 FlowReaderCache **cachep) FLOW_MUST_CHECK;
/* Nothing may be pinned; NULL is fine. */
extern void flowi_readers_free(FlowReaderCache *cache);

/* The reader of sst, opened when need be, and pinned. */
extern FlowStatus flowi_readers_acquire(FlowReaderCache *cache,
										const FlowSst *sst,
										FlowReader **readerp) FLOW_MUST_CHECK;
/* Its get_iter pins nothing afterwards; a scan's own iterators are the scan's
 * to pause or free before. */
extern void flowi_readers_release(FlowReaderCache *cache, FlowReader *reader);

/* reader->get_iter, made when need be and set to ask sst's directory. */
extern FlowStatus flowi_readers_get_iter(FlowReader *reader,
										 FlowSst *sst) FLOW_MUST_CHECK;

/* Close what is not pinned and not in v any more. */
extern void flowi_readers_retain(FlowReaderCache *cache, const FlowVersion *v);

#endif /* FLOW_READERS_H */
