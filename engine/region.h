/*-------------------------------------------------------------------------
 * region.h
 *	  Allocators inside the shared region.
 *
 * Chunks: runs of FLOW_CHUNK_BYTES for write buffers (arena.h), found first
 * fit in a bitmap.  Meta: small objects (databases, versions, SSTable
 * metadata) in power-of-two classes.  Both guarded by the region lock
 * (FLOW_RANK_REGION), a leaf: nothing else is taken under it.
 * Pointers are valid in every process (one address for all).
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_REGION_H
#define FLOW_REGION_H

#include "common.h"

#define FLOW_CHUNK_BYTES (256u * 1024u)

/* NULL when there is no run of nchunks free chunks / no metadata room.
 * Meta memory is 8-byte aligned and zeroed; chunks are not zeroed. */
extern void *flowi_region_chunks_alloc(FlowEnv *env, uint32_t nchunks);
extern void flowi_region_chunks_free(FlowEnv *env, void *base,
									 uint32_t nchunks);
extern void *flowi_region_alloc(FlowEnv *env, size_t size);
/* The same, and when need be from the part that is kept free for what gives
 * memory back, and for a load, which may need all that was in use before. */
extern void *flowi_region_alloc_reserve(FlowEnv *env, size_t size);
extern void flowi_region_free(FlowEnv *env, void *p); /* NULL is fine */

/*
 * flowi_region_promise
 *		There are n stores more, or less.  Each needs room for an SSTable when
 *		its memtable is flushed.
 * flowi_region_has_room
 *		Is there room for a new store's definition, and still for an SSTable of
 *		each store then?
 */
extern void flowi_region_promise(FlowEnv *env, int n);
extern bool flowi_region_has_room(FlowEnv *env, size_t size);

/* What there is in all; constant, no lock. */
extern uint64_t flowi_region_chunk_total(const FlowEnv *env); /* bytes */
extern uint64_t flowi_region_meta_total(const FlowEnv *env);  /* bytes */
/* Chunks in use. */
extern uint32_t flowi_region_chunks_used(FlowEnv *env);
/* How often a memtable with records was freed: while this stands still, what
 * did not fit does not fit now.  note_release counts. */
extern uint64_t flowi_region_releases(const FlowEnv *env);
extern void flowi_region_note_release(FlowEnv *env);

#endif /* FLOW_REGION_H */
