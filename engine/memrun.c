/*-------------------------------------------------------------------------
 * memrun.c
 *	  The run of a series: rows of rising time, only ever appended to.
 *
 * As the head block of Prometheus and the buffers of Gorilla (Pelkonen et
 * al., VLDB 2015) hold open chunks by series; but uncompressed, so that a
 * reader needs no lock: rows do not move, and are complete before the count
 * that includes them is stored.  The chunks grow from two rows to 256: a
 * series of one row takes none, and what is unused is little beside what is
 * used.
 *
 * Keeps: I35.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

#define MAX_ROWS (1u << 31) /* of a run: 32 bits count them */

/* -------------------------------------------------------------- the writer */

FlowMemChunk *
flowi_memrun_tail(const FlowMemSeries *s)
{
	uint32_t count = atomic_load_explicit(&s->count, memory_order_relaxed);
	uint32_t last;
	FlowMemChunk *chunk;

	if (s->staged <= 1)
		return NULL;
	chunk = atomic_load_explicit(&s->tail, memory_order_relaxed);
	last = flowi_memchunk_base(s->staged - 1);
	if (count > 1 && flowi_memchunk_base(count - 1) == last)
		return chunk; /* mostly: without a look at it */
	while (chunk->base < last)
		chunk = chunk->next;
	return chunk;
}

/* Room behind the last chunk, if there is one.  Nobody follows what is set
 * here before a row of it is published. */
static FlowMemChunk *
add_chunk(FlowEnv *env, FlowMemtable *mt, FlowMemSeries *s, FlowMemChunk *last)
{
	uint32_t no = last ? last->no + 1 : 0;
	FlowMemChunk *chunk;

	if (s->staged > MAX_ROWS)
		return NULL;
	chunk = flowi_arena_alloc(env, &mt->arena,
							  sizeof(*chunk) +
								  flowi_memchunk_rows(no) * sizeof(FlowMemRow));
	if (chunk == NULL)
		return NULL;
	chunk->prev = last;
	chunk->jump = last;
	chunk->next = NULL;
	chunk->base = s->staged;
	chunk->no = no;
	if (last == NULL)
	{
		atomic_store_explicit(&s->tail, chunk, memory_order_relaxed);
		return chunk;
	}
	/* two jumps of one length become one over both */
	if (last->jump != NULL && last->jump->jump != NULL &&
		last->no - last->jump->no == last->jump->no - last->jump->jump->no)
		chunk->jump = last->jump->jump;
	last->next = chunk;
	return chunk;
}

bool
flowi_memrun_append(FlowEnv *env, FlowMemtable *mt, FlowMemSeries *s,
					FlowMemChunk **tailp, const FlowMemRow *row)
{
	FlowMemChunk *chunk = *tailp;

	if (chunk == NULL || s->staged == flowi_memchunk_base(s->staged))
	{
		chunk = add_chunk(env, mt, s, chunk);
		if (chunk == NULL)
			return false;
		*tailp = chunk;
	}
	chunk->rows[s->staged - flowi_memchunk_base(s->staged)] = *row;
	s->staged++;
	return true;
}

void
flowi_memrun_publish(FlowMemSeries *s)
{
	if (s->staged > 1)
		atomic_store_explicit(&s->tail, flowi_memrun_tail(s),
							  memory_order_release);
	atomic_store_explicit(&s->count, s->staged, memory_order_release);
}

/* ------------------------------------------------------------- the readers */

/* The last chunk of the first count rows. */
static FlowMemChunk *
last_chunk(const FlowMemSeries *s, uint32_t count)
{
	FlowMemChunk *chunk;

	if (count <= 1)
		return NULL;
	chunk = atomic_load_explicit(&s->tail, memory_order_acquire);
	while (chunk->base >= count)
		chunk = chunk->prev;
	return chunk;
}

FlowMemChunk *
flowi_memrun_chunk(const FlowMemSeries *s, uint32_t count, uint32_t at)
{
	FlowMemChunk *chunk = last_chunk(s, count);

	if (at == 0)
		return NULL;
	while (chunk->base > at)
		chunk = chunk->jump != NULL && chunk->jump->base > at ? chunk->jump
															  : chunk->prev;
	return chunk;
}

static inline bool
row_before(const FlowMemRow *row, int64_t ts, bool at)
{
	return row->ts < ts || (at && row->ts == ts);
}

uint32_t
flowi_memrun_last(const FlowMemSeries *s, uint32_t count, int64_t ts, bool at,
				  FlowMemChunk **chunkp)
{
	FlowMemChunk *chunk = last_chunk(s, count);
	uint32_t lo, hi;

	while (chunk != NULL && !row_before(&chunk->rows[0], ts, at))
		chunk =
			chunk->jump != NULL && !row_before(&chunk->jump->rows[0], ts, at)
				? chunk->jump
				: chunk->prev;
	*chunkp = chunk;
	if (chunk == NULL)
		return row_before(&s->first, ts, at) ? 0 : FLOW_NO_ROW;
	lo = 0; /* is before; hi is not */
	hi = flowi_memchunk_end(chunk);
	hi = FLOW_MIN(hi, count) - chunk->base;
	while (hi - lo > 1)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (row_before(&chunk->rows[mid], ts, at))
			lo = mid;
		else
			hi = mid;
	}
	return chunk->base + lo;
}
