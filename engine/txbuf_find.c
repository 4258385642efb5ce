/*-------------------------------------------------------------------------
 * txbuf_find.c
 *	  Find one record in a transaction's private buffer.
 *
 * An UPDATE of many rows looks each one up here and then adds it, so an order
 * that had to be mended each time would cost the square of them.  Instead, from
 * the first lookup on, every entry has a node in the order of arrival, and a
 * hash table knows the newest node of each identity; from there older ones are
 * chained.  Entries that are truncated are the newest ones, so their nodes are
 * taken away from the end, each one the head of its chain then.
 *
 *	 slots:  | 0 | 4 | 0 | 3 |       number of a node + 1, 0: empty
 *	               |       +--> node 2 (c)
 *	               +--> node 3 (a) --> node 0 (a)
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <xxhash.h>

#include "txbuf_impl.h"

#define MIN_SLOTS 64u

typedef struct TxNode
{
	const TxEntry *e;
	uint32_t hash;
	uint32_t older; /* number + 1 of the identity's node before; 0: none */
} TxNode;

static TxNode *
nodes_of(const FlowTxBuf *buf)
{
	return (TxNode *) (void *) buf->nodes.data;
}

static uint32_t
node_count(const FlowTxBuf *buf)
{
	return (uint32_t) (buf->nodes.len / sizeof(TxNode));
}

static uint32_t *
slots_of(const FlowTxBuf *buf)
{
	return (uint32_t *) (void *) buf->slots.data;
}

/* A power of two, or 0. */
static uint32_t
slot_count(const FlowTxBuf *buf)
{
	return (uint32_t) (buf->slots.len / sizeof(uint32_t));
}

static uint32_t
hash_of(uint32_t store_id, const uint8_t *key, uint32_t key_bytes, int64_t ts)
{
	uint64_t seed =
		(uint64_t) ts ^ ((uint64_t) store_id * UINT64_C(0x9e3779b97f4a7c15));

	return (uint32_t) XXH3_64bits_withSeed(key, key_bytes, seed);
}

/* ----------------------------------------------------------------- slots */

/* The slot that number stands in, or that is empty. */
static uint32_t
slot_with(const FlowTxBuf *buf, uint32_t hash, uint32_t number)
{
	const uint32_t *slots = slots_of(buf);
	uint32_t mask = slot_count(buf) - 1;
	uint32_t i = hash & mask;

	while (slots[i] != 0 && slots[i] != number)
		i = (i + 1) & mask;
	return i;
}

/* The slot of an identity, or the empty one where it belongs. */
static uint32_t
slot_for(const FlowTxBuf *buf, uint32_t hash, const TxEntry *e)
{
	const uint32_t *slots = slots_of(buf);
	const TxNode *nodes = nodes_of(buf);
	uint32_t mask = slot_count(buf) - 1;
	uint32_t i = hash & mask;

	while (slots[i] != 0 && (nodes[slots[i] - 1].hash != hash ||
							 txentry_cmp(nodes[slots[i] - 1].e, e) != 0))
		i = (i + 1) & mask;
	return i;
}

/* Empty a slot, and move what stands behind it to where it is found. */
static void
clear_slot(FlowTxBuf *buf, uint32_t i)
{
	uint32_t *slots = slots_of(buf);
	const TxNode *nodes = nodes_of(buf);
	uint32_t mask = slot_count(buf) - 1;

	for (uint32_t j = (i + 1) & mask; slots[j] != 0; j = (j + 1) & mask)
	{
		uint32_t home = nodes[slots[j] - 1].hash & mask;

		/* may it stand at i, which is not before its home? */
		if (((j - home) & mask) >= ((j - i) & mask))
		{
			slots[i] = slots[j];
			i = j;
		}
	}
	slots[i] = 0;
	buf->slots_used--;
}

/* Twice as many slots when half of them are used. */
static FlowStatus
grow_slots(FlowTxBuf *buf)
{
	uint32_t old = slot_count(buf);
	uint32_t n = FLOW_MAX(2 * old, MIN_SLOTS);
	FlowBuf fresh;
	FlowBuf former = buf->slots;

	if (2 * (buf->slots_used + 1) <= old)
		return FLOW_OK;
	flowi_buf_init(&fresh, buf->env);
	FLOW_TRY(flowi_buf_reserve(&fresh, n * sizeof(uint32_t)));
	memset(fresh.data, 0, n * sizeof(uint32_t));
	fresh.len = n * sizeof(uint32_t);
	buf->slots = fresh;
	for (uint32_t i = 0; i < old; i++)
	{
		uint32_t number = ((const uint32_t *) (void *) former.data)[i];

		if (number != 0)
			slots_of(
				buf)[slot_with(buf, nodes_of(buf)[number - 1].hash, number)] =
				number;
	}
	flowi_buf_free(&former);
	return FLOW_OK;
}

/* ----------------------------------------------------------------- nodes */

static FlowStatus
add_node(FlowTxBuf *buf, const TxEntry *e)
{
	TxNode node = {.e = e,
				   .hash = hash_of(e->store_id, e->data, e->key_bytes, e->ts)};
	uint32_t *slot;

	FLOW_TRY(flowi_buf_reserve(&buf->nodes, sizeof(node)));
	FLOW_TRY(grow_slots(buf));
	slot = &slots_of(buf)[slot_for(buf, node.hash, e)];
	node.older = *slot;
	buf->slots_used += *slot == 0;
	FLOW_TRY(flowi_buf_append(&buf->nodes, &node, sizeof(node)));
	*slot = node_count(buf);
	return FLOW_OK;
}

/* A node for each entry that has come since; what is done stays done. */
static FlowStatus
add_nodes(FlowTxBuf *buf)
{
	TxPos pos = buf->nodes_pos.chunk ? buf->nodes_pos : txbuf_front(buf);
	const TxEntry *e;

	if (buf->nodes_upto == buf->next_no)
		return FLOW_OK;
	while ((e = txbuf_at(&pos)) != NULL)
	{
		if (e->op != FLOW_DELETE_RANGE)
			FLOW_TRY(add_node(buf, e));
		pos.off += txentry_bytes(e);
		buf->nodes_pos = pos;
		buf->nodes_upto = e->no + 1;
	}
	return FLOW_OK;
}

void
flowi_txbuf_cut_nodes(FlowTxBuf *buf, uint64_t mark)
{
	uint32_t n = node_count(buf);

	for (; n > 0 && nodes_of(buf)[n - 1].e->no >= mark; n--)
	{
		const TxNode *node = &nodes_of(buf)[n - 1];
		uint32_t i = slot_with(buf, node->hash, n);

		FLOW_ASSERT(slots_of(buf)[i] == n);
		if (node->older != 0)
			slots_of(buf)[i] = node->older;
		else
			clear_slot(buf, i);
	}
	buf->nodes.len = n * sizeof(TxNode);
}

void
flowi_txbuf_clear_nodes(FlowTxBuf *buf)
{
	if (buf->nodes.len > 0)
		memset(buf->slots.data, 0, buf->slots.len);
	buf->nodes.len = 0;
	buf->slots_used = 0;
}

/* --------------------------------------------------------------- lookups */

static bool
is_at(const TxEntry *e, uint32_t store_id, const FlowSeek *to)
{
	return e->store_id == store_id && e->ts == to->ts &&
		   flowi_key_cmp(e->data, e->key_bytes, to->key, to->key_bytes) == 0;
}

FlowStatus
flowi_txbuf_find(FlowTxBuf *buf, uint32_t store_id, uint32_t own_cid,
				 const FlowSeek *to, FlowRec *rec)
{
	uint32_t hash = hash_of(store_id, to->key, to->key_bytes, to->ts);
	uint32_t mask, i;
	const TxNode *node;

	FLOW_TRY(add_nodes(buf));
	if (buf->slots_used == 0)
		return FLOW_NOTFOUND;
	mask = slot_count(buf) - 1;
	for (i = hash & mask;; i = (i + 1) & mask)
	{
		if (slots_of(buf)[i] == 0)
			return FLOW_NOTFOUND;
		node = &nodes_of(buf)[slots_of(buf)[i] - 1];
		if (node->hash == hash && is_at(node->e, store_id, to))
			break;
	}
	while (node->e->cid >= own_cid)
	{
		if (node->older == 0)
			return FLOW_NOTFOUND;
		node = &nodes_of(buf)[node->older - 1];
	}
	*rec = txentry_rec(node->e);
	return FLOW_OK;
}

/* ---------------------------------------------- iterator over one record */

typedef struct PointIter
{
	FlowIter base;
	FlowEnv *env;
	FlowRec rec;
	bool reverse;
} PointIter;

static FlowStatus
point_next(FlowIter *base)
{
	(void) base;
	return FLOW_END;
}

static FlowStatus
point_seek(FlowIter *base, const FlowSeek *to)
{
	PointIter *it = (PointIter *) base;
	int c = 0;

	if (!to->unbounded)
		c = flowi_identity_cmp(it->rec.key, it->rec.key_bytes, it->rec.ts,
							   to->key, to->key_bytes, to->ts);
	if (it->reverse)
		c = -c;
	if (c < 0 || (c == 0 && to->after && !to->unbounded))
		return FLOW_END;
	base->cur = it->rec;
	return FLOW_OK;
}

static void
point_free(FlowIter *base)
{
	PointIter *it = (PointIter *) base;

	it->env->free(it->env, it);
}

FlowStatus
flowi_txbuf_point_iter(FlowTxBuf *buf, uint32_t store_id, uint32_t own_cid,
					   bool reverse, const FlowSeek *at, FlowIter **itp)
{
	FlowRec rec;
	PointIter *it;

	*itp = NULL;
	FLOW_TRY(flowi_txbuf_find(buf, store_id, own_cid, at, &rec));
	it = buf->env->alloc(buf->env, sizeof(*it));
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: buffer iterator");
	*it = (PointIter){
		.base = {.seek = point_seek, .next = point_next, .free = point_free},
		.env = buf->env,
		.rec = rec,
		.reverse = reverse};
	*itp = &it->base;
	return FLOW_OK;
}

/* ----------------------------------------------------------- command ids */

/* Place of the first entry of the list whose number is at least no. */
static size_t
first_tomb(const FlowTxBuf *buf, uint64_t no)
{
	size_t lo = buf->tombs_gone;
	size_t hi = txbuf_tomb_count(buf);

	while (lo < hi)
	{
		size_t mid = lo + (hi - lo) / 2;

		if (txbuf_tombs(buf)[mid]->no < no)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
flowi_txbuf_cid(const FlowTxBuf *buf, uint64_t seq)
{
	uint64_t no = seq - FLOW_OWN_SEQ;
	size_t at = first_tomb(buf, no);
	uint32_t lo = 0;
	uint32_t hi = node_count(buf);

	if (at < txbuf_tomb_count(buf) && txbuf_tombs(buf)[at]->no == no)
		return txbuf_tombs(buf)[at]->cid;
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (nodes_of(buf)[mid].e->no < no)
			lo = mid + 1;
		else
			hi = mid;
	}
	FLOW_ASSERT(lo < node_count(buf) && nodes_of(buf)[lo].e->no == no);
	return lo < node_count(buf) ? nodes_of(buf)[lo].e->cid : 0;
}
