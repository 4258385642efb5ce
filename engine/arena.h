/*-------------------------------------------------------------------------
 * arena.h
 *	  Bump allocation for one memtable, in chunks of the shared region.
 *
 * One allocator at a time (the database's write lock); readers only follow
 * pointers.  Everything goes back to the region at once.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ARENA_H
#define FLOW_ARENA_H

#include "region.h"

typedef struct FlowArenaChunk FlowArenaChunk;

typedef struct FlowArena
{
	FlowArenaChunk *head; /* newest chunk run; older ones linked behind */
	uint8_t *ptr;		  /* next free byte of head */
	uint8_t *end;
	uint64_t bytes; /* chunk bytes taken from the region */
} FlowArena;

/* A position to go back to: what was allocated since is given up. */
typedef struct FlowArenaMark
{
	FlowArenaChunk *head;
	uint8_t *ptr;
	uint8_t *end;
} FlowArenaMark;

extern void flowi_arena_init(FlowArena *arena);
/* 8-byte aligned, not zeroed; NULL when the region has no chunk left. */
extern void *flowi_arena_alloc(FlowEnv *env, FlowArena *arena, size_t size);
extern FlowArenaMark flowi_arena_mark(const FlowArena *arena);
extern void flowi_arena_rewind(FlowEnv *env, FlowArena *arena,
							   FlowArenaMark mark);
extern void flowi_arena_free(FlowEnv *env, FlowArena *arena);

#endif /* FLOW_ARENA_H */
