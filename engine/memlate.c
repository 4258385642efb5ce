/*-------------------------------------------------------------------------
 * memlate.c
 *	  Late rows of a series: those that do not come behind its run's last
 *	  time, further versions of what is there among them; in a skiplist.
 *
 * Staged rows are a ring through next[0], in the order of the batch.
 *
 * Keeps: S1, I35.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

typedef struct LatePlace
{
	int64_t ts;
	uint64_t seq;
} LatePlace;

/* Sequences are > 0: 0 is behind all versions. */
static inline bool
late_before(const FlowSkipLink *node, const void *place)
{
	const FlowMemRow *row = &flowi_memlate_of(node)->row;
	const LatePlace *at = place;

	if (row->ts != at->ts)
		return row->ts < at->ts;
	return row->txn->seq_first > at->seq;
}

/* -------------------------------------------------------------- the writer */

/* The series' list; NULL: no room for one. */
static FlowMemLates *
lates_of(FlowEnv *env, FlowMemtable *mt, FlowMemSeries *s)
{
	FlowMemLates *lates = s->late;

	if (lates != NULL)
		return lates;
	lates = flowi_arena_alloc(env, &mt->arena, sizeof(*lates));
	if (lates == NULL)
		return NULL;
	for (uint32_t i = 0; i < FLOW_LATE_HEIGHT; i++)
		atomic_init(&lates->head[i], NULL);
	lates->staged = NULL;
	s->late = lates; /* nobody follows it before one is published */
	return lates;
}

bool
flowi_memlate_stage(FlowEnv *env, FlowMemtable *mt, FlowMemSeries *s,
					const FlowMemRow *row)
{
	uint32_t height = flowi_skip_height(&mt->random, FLOW_LATE_HEIGHT);
	FlowMemLates *lates = lates_of(env, mt, s);
	FlowMemLate *late;

	if (lates == NULL)
		return false;
	late = flowi_arena_alloc(env, &mt->arena,
							 sizeof(*late) + height * sizeof(FlowSkipLink));
	if (late == NULL)
		return false;
	late->row = *row;
	late->height = height;
	for (uint32_t i = 0; i < height; i++)
		atomic_init(&late->next[i], NULL);
	if (lates->staged == NULL)
		atomic_init(&late->next[0], late->next);
	else
	{
		atomic_init(&late->next[0], atomic_load(&lates->staged->next[0]));
		atomic_init(&lates->staged->next[0], late->next);
	}
	lates->staged = late;
	return true;
}

void
flowi_memlate_unstage(FlowMemSeries *s)
{
	if (s->late == NULL)
		return;
	s->late->staged = NULL;
	if (atomic_load_explicit(&s->nlate, memory_order_relaxed) == 0)
		s->late = NULL; /* it was staged too */
}

void
flowi_memlate_link(FlowMemSeries *s)
{
	FlowMemLates *lates = s->late;
	const FlowTxn *step = NULL;
	FlowSkipLink *node;
	FlowSkipLink *last;
	FlowSplice splice;
	uint32_t n = atomic_load_explicit(&s->nlate, memory_order_relaxed);

	if (lates == NULL || lates->staged == NULL)
		return;
	last = lates->staged->next;
	node = flowi_skip_next(last, 0);
	for (;;)
	{
		FlowSkipLink *following = flowi_skip_next(node, 0);
		const FlowMemLate *late = flowi_memlate_of(node);
		LatePlace place = {late->row.ts, late->row.txn->seq_first};

		/* times rise inside a step; another step begins anywhere */
		if (late->row.txn != step)
			(void) flowi_skip_find(lates->head, FLOW_LATE_HEIGHT, &splice,
								   late_before, &place);
		else
			flowi_skip_advance(FLOW_LATE_HEIGHT, &splice, late_before, &place);
		step = late->row.txn;
		flowi_skip_link(&splice, node, late->height);
		n++;
		if (node == last)
			break;
		node = following;
	}
	lates->staged = NULL;
	atomic_store_explicit(&s->nlate, n, memory_order_release);
}

/* ------------------------------------------------------------- the readers */

static inline FlowMemLate *
late_or_null(const FlowSkipLink *node)
{
	return node ? flowi_memlate_of(node) : NULL;
}

FlowMemLate *
flowi_memlate_seek(FlowMemSeries *s, FlowSplice *splice, int64_t ts,
				   uint64_t seq)
{
	LatePlace place = {ts, seq};

	splice->prev[0] = NULL;
	if (atomic_load_explicit(&s->nlate, memory_order_acquire) == 0)
		return NULL;
	return late_or_null(flowi_skip_find(s->late->head, FLOW_LATE_HEIGHT, splice,
										late_before, &place));
}

FlowMemLate *
flowi_memlate_back(FlowMemSeries *s, FlowSplice *splice)
{
	FlowSkipLink *last = splice->prev[0];
	LatePlace place = {.seq = UINT64_MAX};

	if (last == NULL || last == s->late->head)
		return NULL;
	place.ts = flowi_memlate_of(last)->row.ts;
	return late_or_null(flowi_skip_retreat(s->late->head, FLOW_LATE_HEIGHT,
										   splice, late_before, &place));
}
