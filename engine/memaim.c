/*-------------------------------------------------------------------------
 * memaim.c
 *	  Where a row goes in a memtable, found before its writer has the write
 *	  lock.
 *
 * The search is most of what a transaction of one row costs the engine, and
 * all of that is waiting for memory: some 20 nodes, two cache lines each.  So
 * it is not done under the lock, and mostly not done at all: rows of time
 * series come behind the last one of their key, and a handle remembers where
 * it linked that.  From there the new place is a few nodes away.
 *
 * What is remembered are nodes of one memtable, which are there as long as it
 * is; whoever uses them holds a reference on it.  Another memtable is known
 * by its first_pos, should it stand at the same address.
 *
 * Keeps: S1, I35.
 *-------------------------------------------------------------------------
 */
#include "bloom.h"
#include "memtable_impl.h"

#define TRAIL_PLACES 2048u /* keys remembered at most */
#define NEAR_STEPS 16	   /* on a level; what is farther is not near */

/* Where the last row of a key was linked: the splice behind it. */
typedef struct TrailPlace
{
	FlowMemNode *prev[FLOW_TRAIL_LEVELS]; /* [0]: that row; NULL: none */
} TrailPlace;

struct FlowMemTrail
{
	/* whose nodes they are */
	const FlowMemtable *mt;
	uint64_t first_pos;
	TrailPlace at[TRAIL_PLACES];
};

void
flowi_memtrail_free(FlowEnv *env, FlowMemTrail *trail)
{
	env->free(env, trail);
}

/* The trail's place for the key; NULL: no memory, or nothing to remember. */
static TrailPlace *
trail_place(FlowEnv *env, FlowMemTrail **trailp, FlowMemtable *mt,
			const Place *place)
{
	uint64_t first_pos = atomic_load(&mt->first_pos);
	FlowMemTrail *trail = *trailp;
	uint64_t hash;

	if (first_pos == UINT64_MAX)
		return NULL;
	if (trail == NULL)
	{
		trail = env->alloc(env, sizeof(*trail));
		if (trail == NULL)
			return NULL;
		trail->mt = NULL;
		*trailp = trail;
	}
	if (trail->mt != mt || trail->first_pos != first_pos)
	{
		memset(trail->at, 0, sizeof(trail->at));
		trail->mt = mt;
		trail->first_pos = first_pos;
	}
	hash = flowi_bloom_hash(place->key, place->key_bytes) + place->store_id;
	return &trail->at[hash % TRAIL_PLACES];
}

/* Is node of place's key, and before it? */
static bool
leads_to(const FlowMemNode *node, const Place *place)
{
	return node->store_id == place->store_id &&
		   node->key_bytes == place->key_bytes &&
		   memcmp(node_key(node), place->key, place->key_bytes) == 0 &&
		   node_before(node, place);
}

/*
 * Put the lowest levels of the splice right for place, each from a node that
 * is before it.  False: on one that took more than so many steps.
 */
static bool
catch_up(FlowMemtable *mt, Splice *splice, uint32_t levels, uint32_t steps,
		 const Place *place)
{
	for (uint32_t level = 0; level < levels; level++)
	{
		FlowMemNode *next;

		for (uint32_t i = 0;
			 (next = next_of(mt, splice->prev[level], level)) != NULL &&
			 node_before(next, place);
			 i++)
		{
			if (i == steps)
				return false;
			splice->prev[level] = next;
		}
	}
	return true;
}

/* Set the splice's lowest levels from a place that may be near; false: it is
 * not. */
static bool
find_near(FlowMemtable *mt, Splice *splice, const TrailPlace *from,
		  const Place *place)
{
	if (from == NULL || from->prev[0] == NULL ||
		!leads_to(from->prev[0], place))
		return false;
	memcpy(splice->prev, from->prev, sizeof(from->prev));
	return catch_up(mt, splice, FLOW_TRAIL_LEVELS, NEAR_STEPS, place);
}

void
flowi_memtable_aim(FlowEnv *env, FlowMemtable *mt, const FlowBatchHeader *hdr,
				   const uint8_t *payload, FlowMemTrail **trailp,
				   FlowMemAim *aim)
{
	FlowBatchCursor c;
	TrailPlace *near;
	Place place;

	aim->mt = NULL;
	if (hdr->nops != 1 || hdr->ntombs != 0)
		return;
	flowi_batch_cursor_init(&c, hdr, payload);
	if (flowi_batch_cursor_next(&c) != FLOW_OK)
		return; /* staging tells what is wrong */
	place = (Place){.store_id = c.store_id,
					.key = c.key,
					.key_bytes = c.key_bytes,
					.ts = c.ts,
					.seq = UINT64_MAX}; /* newer than all there are */
	near = trail_place(env, trailp, mt, &place);
	aim->trail = near ? near->prev : NULL;
	aim->levels = FLOW_TRAIL_LEVELS;
	if (!find_near(mt, &aim->splice, near, &place))
	{
		(void) memtable_find(mt, &aim->splice, &place);
		aim->levels = FLOW_SKIP_HEIGHT;
	}
	aim->mt = mt;
}

void
memtable_link_aimed(FlowMemtable *mt, FlowMemAim *aim, FlowMemNode *node)
{
	Place place = place_of(node, node->txn->seq_first);

	if (node->height > aim->levels)
		(void) memtable_find(mt, &aim->splice, &place);
	else /* past what was linked meanwhile */
		(void) catch_up(mt, &aim->splice, node->height, UINT32_MAX, &place);
	memtable_link_node(mt, &aim->splice, node);
	if (aim->trail)
		memcpy(aim->trail, aim->splice.prev,
			   FLOW_TRAIL_LEVELS * sizeof(*aim->trail));
}
