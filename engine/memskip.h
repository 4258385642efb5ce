/*-------------------------------------------------------------------------
 * memskip.h
 *	  A skiplist in a memtable: one writer, readers without a lock.
 *
 * After Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees"
 * (CACM 33, 1990); published as LevelDB does it (db/skiplist.h): a node is
 * complete before a release store links it, level by level from the bottom,
 * and it is never changed nor unlinked then; a reader follows links by
 * acquire loads.  So who sees a node on a level can descend from it.
 *
 * A node is named by its array of links, and so is a list, by its head.  The
 * functions are made for each order of nodes anew: `before` is inlined.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MEMSKIP_H
#define FLOW_MEMSKIP_H

#include "common.h"

#define FLOW_SKIP_HEIGHT 16

typedef _Atomic(void *) FlowSkipLink;

/* Is node before the place?  Never asked of a head, which is before all. */
typedef bool FlowSkipBefore(const FlowSkipLink *node, const void *place);

/*
 * For each level the last node before a place, or the head.  Any nodes before
 * the place make a valid start; the nearer the cheaper.
 */
typedef struct FlowSplice
{
	FlowSkipLink *prev[FLOW_SKIP_HEIGHT];
} FlowSplice;

#define FLOW_SKIP_INLINE static inline __attribute__((always_inline))

FLOW_SKIP_INLINE FlowSkipLink *
flowi_skip_next(FlowSkipLink *at, uint32_t level)
{
	return atomic_load_explicit(&at[level], memory_order_acquire);
}

/* One more level with probability 1/4 each: on average 1.33 links a node. */
static inline uint32_t
flowi_skip_height(uint32_t *state, uint32_t max)
{
	uint32_t x = *state;
	uint32_t height;

	x ^= x << 13; /* xorshift32 */
	x ^= x >> 17;
	x ^= x << 5;
	*state = x;
	height = 1 + (uint32_t) __builtin_ctz(x | 1u << 31) / 2;
	return FLOW_MIN(height, max);
}

/*
 * Set levels level - 1 .. 0 of the splice for place; those from level up are
 * right already.  level > 0: returns the node that was seen behind place on
 * level 0.  That one, not prev[0]'s next, is where a reader goes on: a node
 * before place may be linked between the two at any moment.
 */
FLOW_SKIP_INLINE FlowSkipLink *
flowi_skip_descend(FlowSplice *splice, uint32_t level, FlowSkipBefore *before,
				   const void *place)
{
	FlowSkipLink *moved_to = NULL;
	FlowSkipLink *beyond = NULL; /* known not to be before place */

	while (level-- > 0)
	{
		FlowSkipLink *prev = moved_to ? moved_to : splice->prev[level];
		FlowSkipLink *next = flowi_skip_next(prev, level);

		while (next != NULL && next != beyond && before(next, place))
		{
			prev = next;
			moved_to = next;
			next = flowi_skip_next(next, level);
		}
		beyond = next;
		splice->prev[level] = prev;
	}
	return beyond;
}

/* Set the splice for place, from the head of so many levels; returns the node
 * behind place. */
FLOW_SKIP_INLINE FlowSkipLink *
flowi_skip_find(FlowSkipLink *head, uint32_t levels, FlowSplice *splice,
				FlowSkipBefore *before, const void *place)
{
	for (uint32_t i = 0; i < levels; i++)
		splice->prev[i] = head;
	return flowi_skip_descend(splice, levels, before, place);
}

/*
 * Move the splice forward to place, which is not before where it stands:
 * climb until a level needs no step, set those below.
 */
FLOW_SKIP_INLINE void
flowi_skip_advance(uint32_t levels, FlowSplice *splice, FlowSkipBefore *before,
				   const void *place)
{
	uint32_t level = 0;

	while (level < levels)
	{
		FlowSkipLink *next = flowi_skip_next(splice->prev[level], level);

		if (next == NULL || !before(next, place))
			break;
		/* higher up next is as near or farther: one more level to set */
		level++;
	}
	if (level > 0)
		(void) flowi_skip_descend(splice, level, before, place);
}

/*
 * Move the splice back to place, which is before prev[0]: climb over the
 * levels whose node is not before it, set those from the first good one
 * down.  Returns the node behind place.
 */
FLOW_SKIP_INLINE FlowSkipLink *
flowi_skip_retreat(FlowSkipLink *head, uint32_t levels, FlowSplice *splice,
				   FlowSkipBefore *before, const void *place)
{
	uint32_t level = 0;

	while (level < levels && splice->prev[level] != head &&
		   !before(splice->prev[level], place))
		level++;
	/* what a level starts from must be before place */
	for (uint32_t i = 0; i < level; i++)
		splice->prev[i] = level < levels ? splice->prev[level] : head;
	return flowi_skip_descend(splice, level, before, place);
}

/* Link a node of that height right behind the splice, and move the splice onto
 * it. */
static inline void
flowi_skip_link(FlowSplice *splice, FlowSkipLink *node, uint32_t height)
{
	for (uint32_t level = 0; level < height; level++)
	{
		FlowSkipLink *link = &splice->prev[level][level];

		atomic_store_explicit(&node[level],
							  atomic_load_explicit(link, memory_order_relaxed),
							  memory_order_relaxed);
		atomic_store_explicit(link, node, memory_order_release);
		splice->prev[level] = node;
	}
}

#endif /* FLOW_MEMSKIP_H */
