/*-------------------------------------------------------------------------
 * memtable_impl.h
 *	  A memtable's inside: what memtable.c and memaim.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MEMTABLE_IMPL_H
#define FLOW_MEMTABLE_IMPL_H

#include "common.h"

#include "memtable.h"

struct FlowMemNode
{
	int64_t ts;
	uint32_t store_id;
	uint16_t key_bytes;
	uint8_t op;
	uint8_t height;
	FlowTxn *txn; /* directory entry: sequence, transaction */
	int64_t expire_at;
	uint64_t value_bytes;
	/* level 0 chains the staged nodes of a batch until they are linked */
	_Atomic(FlowMemNode *) next[];
};

_Static_assert(FLOW_MAX_KEY <= UINT16_MAX, "key_bytes is 16 bits wide");

static inline const uint8_t *
node_key(const FlowMemNode *node)
{
	return (const uint8_t *) &node->next[node->height];
}

static inline const uint8_t *
node_value(const FlowMemNode *node)
{
	return node_key(node) + node->key_bytes;
}

/*
 * A place between nodes.  edge -1 and 1: before the first and behind the
 * last node of the store; 0: before the newest version of (key, ts) that has
 * a sequence <= seq.  Sequences are > 0: 0 is behind all versions.
 */
typedef struct Place
{
	uint32_t store_id;
	int edge;
	const uint8_t *key;
	uint32_t key_bytes;
	int64_t ts;
	uint64_t seq;
} Place;

/* Where node stands, or where its identity begins. */
static inline Place
place_of(const FlowMemNode *node, uint64_t seq)
{
	return (Place){.store_id = node->store_id,
				   .edge = 0,
				   .key = node_key(node),
				   .key_bytes = node->key_bytes,
				   .ts = node->ts,
				   .seq = seq};
}

static inline bool
node_before(const FlowMemNode *node, const Place *place)
{
	int c;

	if (node->store_id != place->store_id)
		return node->store_id < place->store_id;
	if (place->edge != 0)
		return place->edge > 0;
	c = flowi_key_cmp(node_key(node), node->key_bytes, place->key,
					  place->key_bytes);
	if (c != 0)
		return c < 0;
	if (node->ts != place->ts)
		return node->ts < place->ts;
	return node->txn->seq_first > place->seq;
}

/*
 * For each level the last node before a place, NULL for the list's head.
 * Any nodes before the place make a valid start; the nearer the cheaper.
 * Zeroed, it is at the head.
 */
typedef FlowMemSplice Splice;

/* What follows prev (NULL: the head) on a level. */
static inline FlowMemNode *
next_of(FlowMemtable *mt, FlowMemNode *prev, uint32_t level)
{
	return atomic_load_explicit(prev ? &prev->next[level] : &mt->head[level],
								memory_order_acquire);
}

/* Set the splice for place, from the head; returns the node behind place. */
extern FlowMemNode *memtable_find(FlowMemtable *mt, Splice *splice,
								  const Place *place);
/* Link node right behind the splice and move the splice onto it. */
extern void memtable_link_node(FlowMemtable *mt, Splice *splice,
							   FlowMemNode *node);
/* Link the only node of a batch where aim says. */
extern void memtable_link_aimed(FlowMemtable *mt, FlowMemAim *aim,
								FlowMemNode *node);

#endif /* FLOW_MEMTABLE_IMPL_H */
