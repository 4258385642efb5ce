/*-------------------------------------------------------------------------
 * arena.c
 *	  Bump allocation for one memtable, in chunks of the shared region.
 *
 * A chunk run begins with a FlowArenaChunk; runs are longer than one chunk
 * only for an object that needs it.  What is left of the previous run when
 * a new one is taken stays unused.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "arena.h"

struct FlowArenaChunk
{
	FlowArenaChunk *older;
	uint32_t nchunks;
	uint32_t unused;
};

_Static_assert(sizeof(FlowArenaChunk) % 8 == 0, "objects are 8-byte aligned");

void
flowi_arena_init(FlowArena *arena)
{
	memset(arena, 0, sizeof(*arena));
}

/* Take a run that has room for size bytes and make it the head. */
static bool
add_run(FlowEnv *env, FlowArena *arena, size_t size)
{
	size_t need = size + sizeof(FlowArenaChunk);
	uint64_t nchunks =
		((uint64_t) need + FLOW_CHUNK_BYTES - 1) / FLOW_CHUNK_BYTES;
	FlowArenaChunk *run;

	if (need < size || nchunks > UINT32_MAX)
		return false;
	run = flowi_region_chunks_alloc(env, (uint32_t) nchunks);
	if (run == NULL)
		return false;
	run->older = arena->head;
	run->nchunks = (uint32_t) nchunks;
	run->unused = 0;
	arena->head = run;
	arena->ptr = (uint8_t *) (run + 1);
	arena->end = (uint8_t *) run + nchunks * FLOW_CHUNK_BYTES;
	arena->bytes += nchunks * FLOW_CHUNK_BYTES;
	FLOW_FORBID(arena->ptr, (size_t) (arena->end - arena->ptr));
	return true;
}

void *
flowi_arena_alloc(FlowEnv *env, FlowArena *arena, size_t size)
{
	size_t taken;
	void *p;

	FLOW_ASSERT(size > 0);
	if (size > SIZE_MAX / 2)
		return NULL;
	taken = FLOW_ALIGN8(size);
	if (taken > (size_t) (arena->end - arena->ptr) &&
		!add_run(env, arena, taken))
		return NULL;
	p = arena->ptr;
	arena->ptr += taken;
	FLOW_PERMIT(p, size);
	return p;
}

FlowArenaMark
flowi_arena_mark(const FlowArena *arena)
{
	return (FlowArenaMark){arena->head, arena->ptr, arena->end};
}

void
flowi_arena_rewind(FlowEnv *env, FlowArena *arena, FlowArenaMark mark)
{
	while (arena->head != mark.head)
	{
		FlowArenaChunk *run = arena->head;

		FLOW_ASSERT(run != NULL);
		arena->head = run->older;
		arena->bytes -= (uint64_t) run->nchunks * FLOW_CHUNK_BYTES;
		flowi_region_chunks_free(env, run, run->nchunks);
	}
	arena->ptr = mark.ptr;
	arena->end = mark.end;
	FLOW_FORBID(arena->ptr, (size_t) (arena->end - arena->ptr));
}

void
flowi_arena_free(FlowEnv *env, FlowArena *arena)
{
	flowi_arena_rewind(env, arena, (FlowArenaMark){NULL, NULL, NULL});
}
