/*-------------------------------------------------------------------------
 * merge.c
 *	  k-way merge of version iterators: a binary heap of sources.
 *
 * The common case of time series is that one source gives many rows in a
 * row.  So the runner-up is remembered while the top stays the top: a step
 * costs one comparison with it, and none when only one source is left.
 *-------------------------------------------------------------------------
 */
#include "merge.h"

void
flowi_merge_init(FlowMerge *m, FlowEnv *env)
{
	*m = (FlowMerge){.env = env};
}

void
flowi_merge_free(FlowMerge *m)
{
	m->env->free(m->env, m->heap);
	m->heap = NULL;
	m->n = m->cap = 0;
}

/* Does a's current version come before b's? */
static bool
before(const FlowMerge *m, const FlowMergeSource *a, const FlowMergeSource *b)
{
	const FlowRec *x = a->cur;
	const FlowRec *y = b->cur;
	int c = flowi_identity_cmp(x->key, x->key_bytes, x->ts, y->key,
							   y->key_bytes, y->ts);

	if (c != 0)
		return (c < 0) != m->reverse;
	if (a->rank != b->rank)
		return a->rank < b->rank;
	return x->seq > y->seq;
}

#ifdef FLOW_DEBUG
/* Is the floor at or before the row that a source opened with? */
static bool
not_behind(const FlowMerge *m, const FlowRec *floor, const FlowRec *row)
{
	int c = flowi_identity_cmp(floor->key, floor->key_bytes, floor->ts,
							   row->key, row->key_bytes, row->ts);

	return c == 0 || (c < 0) != m->reverse;
}
#endif

/* The lesser child of at; n when it has none. */
static uint32_t
lesser_child(const FlowMerge *m, uint32_t at)
{
	uint32_t child = 2 * at + 1;

	if (child >= m->n)
		return m->n;
	if (child + 1 < m->n && before(m, m->heap[child + 1], m->heap[child]))
		child++;
	return child;
}

static void
sift_down(FlowMerge *m, uint32_t at)
{
	FlowMergeSource *src = m->heap[at];
	uint32_t child;

	while ((child = lesser_child(m, at)) < m->n &&
		   before(m, m->heap[child], src))
	{
		m->heap[at] = m->heap[child];
		at = child;
	}
	m->heap[at] = src;
}

/* The top has moved, forward: put it where it belongs. */
static void
top_moved(FlowMerge *m)
{
	if (m->n < 2)
		return;
	if (m->second == 0)
		m->second = lesser_child(m, 0);
	if (!before(m, m->heap[m->second], m->heap[0]))
		return;
	sift_down(m, 0);
	m->second = 0;
}

static void
remove_top(FlowMerge *m)
{
	FlowMergeSource *src = m->heap[0];

	m->heap[0] = m->heap[--m->n];
	m->second = 0;
	if (m->n > 1)
		sift_down(m, 0);
	if (src->ended)
		src->ended(src);
}

void
flowi_merge_reset(FlowMerge *m, bool reverse)
{
	m->reverse = reverse;
	m->n = 0;
	m->second = 0;
}

FlowStatus
flowi_merge_reserve(FlowMerge *m, uint32_t n)
{
	FlowMergeSource **heap;

	if (n <= m->cap)
		return FLOW_OK;
	heap = m->env->realloc(m->env, m->heap, n * sizeof(*heap));
	if (heap == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	m->heap = heap;
	m->cap = n;
	return FLOW_OK;
}

void
flowi_merge_add(FlowMerge *m, FlowMergeSource *src)
{
	uint32_t at = m->n++;

	FLOW_ASSERT(m->n <= m->cap);
	while (at > 0 && before(m, src, m->heap[(at - 1) / 2]))
	{
		m->heap[at] = m->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	m->heap[at] = src;
	m->second = 0;
}

FlowStatus
flowi_merge_top(FlowMerge *m, FlowMergeSource **srcp)
{
	while (m->n > 0)
	{
		FlowMergeSource *src = m->heap[0];
		FlowStatus st;

		if (src->it != NULL)
		{
			*srcp = src;
			return FLOW_OK;
		}
		st = src->open(src);
		if (st == FLOW_END)
			remove_top(m);
		else if (st != FLOW_OK)
			return st;
		else
		{
			FLOW_ASSERT(not_behind(m, src->cur, &src->it->cur));
			src->cur = &src->it->cur;
			top_moved(m);
		}
	}
	return FLOW_END;
}

const FlowMergeSource *
flowi_merge_second(FlowMerge *m)
{
	if (m->n < 2)
		return NULL;
	if (m->second == 0)
		m->second = lesser_child(m, 0);
	return m->heap[m->second];
}

/* The top's source was moved, with that result. */
static FlowStatus
after_move(FlowMerge *m, FlowStatus st)
{
	if (st == FLOW_OK)
		top_moved(m);
	else if (st == FLOW_END)
	{
		remove_top(m);
		st = FLOW_OK;
	}
	return st;
}

FlowStatus
flowi_merge_next(FlowMerge *m)
{
	FlowIter *it = m->heap[0]->it;

	return after_move(m, it->next(it));
}

FlowStatus
flowi_merge_skip(FlowMerge *m, const FlowSeek *to)
{
	FlowIter *it = m->heap[0]->it;

	return after_move(m, to ? it->seek(it, to) : FLOW_END);
}

/* Does the source stand before to? */
static bool
is_before(const FlowMerge *m, const FlowRec *cur, const FlowSeek *to)
{
	int c = flowi_identity_cmp(cur->key, cur->key_bytes, cur->ts, to->key,
							   to->key_bytes, to->ts);

	if (c == 0)
		return to->after;
	return (c < 0) != m->reverse;
}

/*
 * Sources before the target are at the top of the heap one after the other.
 * One that is not open is opened at its turn, by its owner at the target.
 */
FlowStatus
flowi_merge_seek(FlowMerge *m, const FlowSeek *to)
{
	FlowMergeSource *src;
	FlowStatus st;

	while ((st = flowi_merge_top(m, &src)) == FLOW_OK &&
		   is_before(m, src->cur, to))
	{
		st = src->it->seek(src->it, to);
		if (st == FLOW_OK)
			top_moved(m);
		else if (st == FLOW_END)
			remove_top(m);
		else
			return st;
	}
	return st == FLOW_END ? FLOW_OK : st;
}
