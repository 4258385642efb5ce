/*-------------------------------------------------------------------------
 * memtable.c
 *	  The newest records of a database: a skiplist in the shared region.
 *
 * Nodes are in the order store id, key, ts, sequence descending; they are
 * never changed nor removed once linked, so a reader needs no lock:
 *
 *	 - the writer completes a node, sequence included, and then links it
 *	   level by level from the bottom by release stores;
 *	 - a reader follows links by acquire loads, so it sees a node it can
 *	   reach complete, with the links of all levels it can descend to.
 *
 * A node has no sequence of its own: all nodes of a step have the one of
 * their directory entry (S1), so setting at most FLOW_MAX_STEPS entries
 * gives a whole batch its sequences.
 *
 *	 FlowMemNode | next[0] .. next[height - 1] | key | value |
 *
 * Inserting and stepping backwards use a splice: for each level the last
 * node before a position.  The next key of a sorted batch is mostly near
 * the last one, and the search climbs only as far as it must.
 *
 * Keeps: S1, S3.  Writers hold the database's write lock.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "memtable_impl.h"

#define RANDOM_SEED 0x9e3779b9u

/* The directory entries of one batch. */
struct FlowTxnBlock
{
	FlowTxnBlock *older;
	uint64_t ntxns;
	FlowTxn txns[];
};

static bool
same_identity(const FlowMemNode *a, const FlowMemNode *b)
{
	return a->ts == b->ts && a->key_bytes == b->key_bytes &&
		   a->store_id == b->store_id &&
		   memcmp(node_key(a), node_key(b), a->key_bytes) == 0;
}

/* ------------------------------------------------------------ searching */

/*
 * Set levels level - 1 .. 0 of the splice for place; those from level up are
 * right already.  level > 0: returns the node that was seen behind place on
 * level 0.  That one, not prev[0]'s next, is where a reader goes on: a node
 * before place may be linked between the two at any moment.
 */
static FlowMemNode *
descend(FlowMemtable *mt, Splice *splice, uint32_t level, const Place *place)
{
	FlowMemNode *moved_to = NULL;
	FlowMemNode *beyond = NULL; /* known not to be before place */

	while (level-- > 0)
	{
		FlowMemNode *prev = moved_to ? moved_to : splice->prev[level];
		FlowMemNode *next = next_of(mt, prev, level);

		while (next != NULL && next != beyond && node_before(next, place))
		{
			prev = next;
			moved_to = next;
			next = next_of(mt, next, level);
		}
		beyond = next;
		splice->prev[level] = prev;
	}
	return beyond;
}

FlowMemNode *
memtable_find(FlowMemtable *mt, Splice *splice, const Place *place)
{
	memset(splice, 0, sizeof(*splice));
	return descend(mt, splice,
				   atomic_load_explicit(&mt->height, memory_order_relaxed),
				   place);
}

/*
 * Move the splice forward to place, which is not before where it stands:
 * climb until a level needs no step, set those below.
 */
static void
advance(FlowMemtable *mt, Splice *splice, const Place *place)
{
	uint32_t height = atomic_load_explicit(&mt->height, memory_order_relaxed);
	uint32_t level = 0;

	while (level < height)
	{
		FlowMemNode *next = next_of(mt, splice->prev[level], level);

		if (next == NULL || !node_before(next, place))
			break;
		/* higher up next is as near or farther: one more level to set */
		level++;
	}
	if (level > 0)
		descend(mt, splice, level, place);
}

/*
 * Move the splice back to place, which is before prev[0]: climb over the
 * levels whose node is not before it, set those from the first good one
 * down.  Returns the node behind place.
 */
static FlowMemNode *
retreat(FlowMemtable *mt, Splice *splice, const Place *place)
{
	uint32_t level = 0;

	while (level < FLOW_SKIP_HEIGHT && splice->prev[level] != NULL &&
		   !node_before(splice->prev[level], place))
		level++;
	/* what a level starts from must be before place */
	for (uint32_t i = 0; i < level; i++)
		splice->prev[i] = level < FLOW_SKIP_HEIGHT ? splice->prev[level] : NULL;
	return descend(mt, splice, level, place);
}

/* ------------------------------------------------------------- lifetime */

FlowMemtable *
flowi_memtable_create(FlowEnv *env)
{
	FlowMemtable *mt;
	FlowArena arena;

	flowi_arena_init(&arena);
	mt = flowi_arena_alloc(env, &arena, sizeof(*mt));
	if (mt == NULL)
		return NULL;
	memset(mt, 0, sizeof(*mt));
	mt->arena = arena;
	mt->random = RANDOM_SEED;
	atomic_init(&mt->first_pos, UINT64_MAX);
	atomic_init(&mt->last_end, 0);
	atomic_init(&mt->tombs, NULL);
	atomic_init(&mt->ntombs, 0);
	atomic_init(&mt->records, 0);
	atomic_init(&mt->bytes, 0);
	atomic_init(&mt->txns, 0);
	atomic_init(&mt->height, 1);
	atomic_init(&mt->refs, 1);
	for (int i = 0; i < FLOW_SKIP_HEIGHT; i++)
		atomic_init(&mt->head[i], NULL);
	return mt;
}

void
flowi_memtable_ref(FlowMemtable *mt)
{
	atomic_fetch_add_explicit(&mt->refs, 1, memory_order_relaxed);
}

void
flowi_memtable_unref(FlowEnv *env, FlowMemtable *mt)
{
	uint32_t before =
		atomic_fetch_sub_explicit(&mt->refs, 1, memory_order_acq_rel);
	FlowArena arena;
	bool empty;

	FLOW_ASSERT(before > 0);
	if (before > 1)
		return;
	empty = atomic_load(&mt->first_pos) == UINT64_MAX;
	arena = mt->arena; /* which holds *mt */
	flowi_arena_free(env, &arena);
	if (!empty)
		flowi_region_note_release(env);
}

/* -------------------------------------------------------------- writing */

/* One more level with probability 1/4 each: on average 1.33 links a node. */
static uint32_t
random_height(FlowMemtable *mt)
{
	uint32_t x = mt->random;
	uint32_t height;

	x ^= x << 13; /* xorshift32 */
	x ^= x >> 17;
	x ^= x << 5;
	mt->random = x;
	height = 1 + (uint32_t) __builtin_ctz(x | 1u << 31) / 2;
	return FLOW_MIN(height, FLOW_SKIP_HEIGHT);
}

static FlowTxnBlock *
stage_txns(FlowEnv *env, FlowMemtable *mt, const FlowBatchHeader *hdr)
{
	FlowTxnBlock *block = flowi_arena_alloc(
		env, &mt->arena, sizeof(FlowTxnBlock) + hdr->nsteps * sizeof(FlowTxn));
	uint32_t state = hdr->xid == 0 ? FLOW_TXN_SETTLED : FLOW_TXN_UNKNOWN;

	if (block == NULL)
		return NULL;
	block->older = NULL;
	block->ntxns = hdr->nsteps;
	for (uint32_t i = 0; i < hdr->nsteps; i++)
	{
		FlowTxn *txn = &block->txns[i];

		txn->seq_first = 0;
		txn->seq_last = 0;
		txn->xid = hdr->xid;
		txn->cid = 0;
		atomic_init(&txn->state, state);
	}
	return block;
}

/* A complete node of the cursor's operation, chained to nothing. */
static FlowMemNode *
stage_node(FlowEnv *env, FlowMemtable *mt, const FlowBatchCursor *c,
		   FlowTxn *txn)
{
	uint32_t height = random_height(mt);
	size_t links = height * sizeof(_Atomic(FlowMemNode *));
	FlowMemNode *node = flowi_arena_alloc(
		env, &mt->arena,
		sizeof(FlowMemNode) + links + c->key_bytes + (size_t) c->value_bytes);
	uint8_t *p;

	if (node == NULL)
		return NULL;
	node->ts = c->ts;
	node->store_id = c->store_id;
	node->key_bytes = (uint16_t) c->key_bytes;
	node->op = (uint8_t) c->op;
	node->height = (uint8_t) height;
	node->txn = txn;
	node->expire_at = c->expire_at;
	node->value_bytes = c->value_bytes;
	for (uint32_t i = 0; i < height; i++)
		atomic_init(&node->next[i], NULL);
	p = (uint8_t *) &node->next[height];
	if (c->key_bytes > 0)
		memcpy(p, c->key, c->key_bytes);
	if (c->value_bytes > 0)
		memcpy(p + c->key_bytes, c->value, c->value_bytes);
	return node;
}

/*
 * Is the batch larger than all write buffers together, however low its nodes
 * are?  What may fit or not, staging finds out.
 */
static FlowStatus
check_size(FlowEnv *env, const FlowBatchHeader *hdr)
{
	uint64_t heads = (uint64_t) hdr->nops * FLOW_OP_MAX_OVERHEAD;
	uint64_t least = (uint64_t) (hdr->nops - hdr->ntombs) *
						 (sizeof(FlowMemNode) + sizeof(void *)) +
					 (uint64_t) hdr->ntombs * FLOW_MEMTOMB_BYTES;

	if (hdr->payload_bytes > heads)
		least += hdr->payload_bytes - heads;
	if (least > flowi_region_chunk_total(env))
		return flowi_fail(FLOW_NOMEM,
						  "batch of %u rows does not fit into %llu bytes of "
						  "write buffers",
						  hdr->nops,
						  (unsigned long long) flowi_region_chunk_total(env));
	return FLOW_OK;
}

/* Stage all operations; the caller cleans up. */
static FlowStatus
stage_ops(FlowEnv *env, FlowMemtable *mt, const FlowBatchHeader *hdr,
		  const uint8_t *payload)
{
	FlowBatchCursor c;
	FlowMemNode *last = NULL;
	FlowStatus st;

	mt->staged_txns = stage_txns(env, mt, hdr);
	if (mt->staged_txns == NULL)
		return flowi_fail(FLOW_BUSY, "write buffers are full");
	flowi_batch_cursor_init(&c, hdr, payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
	{
		FlowTxn *txn = &mt->staged_txns->txns[c.step];
		FlowMemNode *node;

		txn->cid = c.cid;
		if (c.op == FLOW_DELETE_RANGE)
		{
			if (!flowi_memtomb_stage(env, mt, &c, txn))
				return flowi_fail(FLOW_BUSY, "write buffers are full");
			continue;
		}
		node = stage_node(env, mt, &c, txn);
		if (node == NULL)
			return flowi_fail(FLOW_BUSY, "write buffers are full");
		if (last == NULL)
			mt->staged = node;
		else
			atomic_store_explicit(&last->next[0], node, memory_order_relaxed);
		last = node;
	}
	return st == FLOW_END ? FLOW_OK : st;
}

FlowStatus
flowi_memtable_stage(FlowEnv *env, FlowMemtable *mt, const FlowBatchHeader *hdr,
					 const uint8_t *payload)
{
	FlowStatus st;

	FLOW_ASSERT(mt->staged == NULL && mt->staged_txns == NULL);
	FLOW_CHECK_DATA(hdr->nsteps >= 1 && hdr->nsteps <= FLOW_MAX_STEPS &&
						hdr->ntombs <= hdr->nops,
					"batch of %u steps, %u operations, %u range tombstones",
					hdr->nsteps, hdr->nops, hdr->ntombs);
	FLOW_TRY(check_size(env, hdr));
	mt->staged_mark = flowi_arena_mark(&mt->arena);
	st = stage_ops(env, mt, hdr, payload);
	if (st != FLOW_OK)
		flowi_memtable_unstage(env, mt);
	return st;
}

void
flowi_memtable_unstage(FlowEnv *env, FlowMemtable *mt)
{
	mt->staged = NULL;
	mt->staged_tombs = NULL;
	mt->staged_txns = NULL;
	flowi_arena_rewind(env, &mt->arena, mt->staged_mark);
}

void
memtable_link_node(FlowMemtable *mt, Splice *splice, FlowMemNode *node)
{
	/* from the bottom: who sees a node on a level can descend from it */
	for (uint32_t level = 0; level < node->height; level++)
	{
		FlowMemNode *prev = splice->prev[level];
		_Atomic(FlowMemNode *) *link =
			prev ? &prev->next[level] : &mt->head[level];

		atomic_store_explicit(&node->next[level],
							  atomic_load_explicit(link, memory_order_relaxed),
							  memory_order_relaxed);
		atomic_store_explicit(link, node, memory_order_release);
		splice->prev[level] = node;
	}
	if (node->height > atomic_load_explicit(&mt->height, memory_order_relaxed))
		atomic_store_explicit(&mt->height, node->height, memory_order_relaxed);
}

/* Link the chain of staged nodes; returns how many. */
static uint64_t
link_all(FlowMemtable *mt, FlowMemNode *node)
{
	FlowTxn *step = NULL;
	Splice splice;
	uint64_t linked = 0;

	while (node != NULL)
	{
		FlowMemNode *following =
			atomic_load_explicit(&node->next[0], memory_order_relaxed);
		Place place = place_of(node, node->txn->seq_first);

		/* keys rise inside a step; another step begins anywhere */
		if (node->txn != step)
			memtable_find(mt, &splice, &place);
		else
			advance(mt, &splice, &place);
		step = node->txn;
		memtable_link_node(mt, &splice, node);
		linked++;
		node = following;
	}
	return linked;
}

void
flowi_memtable_link(FlowMemtable *mt, uint64_t start, uint64_t end,
					FlowMemAim *aim)
{
	FlowTxnBlock *block = mt->staged_txns;
	uint64_t linked = 1;

	FLOW_ASSERT(start > 0 && end > start);
	for (uint64_t i = 0; i < block->ntxns; i++)
	{
		block->txns[i].seq_first = start + i;
		block->txns[i].seq_last = start + i;
	}
	if (block->txns[0].xid != 0)
		atomic_fetch_add_explicit(&mt->txns, block->ntxns,
								  memory_order_relaxed);
	block->older = atomic_load_explicit(&mt->txn_head, memory_order_relaxed);
	atomic_store_explicit(&mt->txn_head, block, memory_order_release);
	if (mt->staged_tombs != NULL)
		flowi_memtomb_link(mt);
	if (aim != NULL && aim->mt == mt)
		memtable_link_aimed(mt, aim, mt->staged);
	else
		linked = link_all(mt, mt->staged);
	mt->staged = NULL;
	mt->staged_txns = NULL;
	atomic_fetch_add_explicit(&mt->records, linked, memory_order_relaxed);
	atomic_store_explicit(&mt->bytes,
						  mt->arena.bytes -
							  (uint64_t) (mt->arena.end - mt->arena.ptr),
						  memory_order_relaxed);
	/* last: who acquires it sees every record of the batch */
	atomic_store_explicit(&mt->last_end, end, memory_order_release);
}

FlowStatus
flowi_memtable_each_txn(FlowMemtable *mt,
						FlowStatus (*fn)(void *arg, FlowTxn *txn), void *arg)
{
	FlowTxnBlock *block =
		atomic_load_explicit(&mt->txn_head, memory_order_acquire);

	for (; block; block = block->older)
		for (uint64_t i = 0; i < block->ntxns; i++)
			FLOW_TRY(fn(arg, &block->txns[i]));
	return FLOW_OK;
}

/* -------------------------------------------------------------- reading */

FlowStatus
flowi_memtable_next_store(FlowMemtable *mt, uint32_t from, uint32_t *store_idp)
{
	Place place = {.store_id = from, .edge = -1};
	FlowMemNode *node;
	Splice splice;

	node = memtable_find(mt, &splice, &place);
	*store_idp = flowi_memtomb_next_store(mt, from);
	if (node != NULL && (*store_idp == 0 || node->store_id < *store_idp))
		*store_idp = node->store_id;
	return *store_idp == 0 ? FLOW_NOTFOUND : FLOW_OK;
}

bool
flowi_memtable_since(FlowMemtable *mt, const FlowSince *q)
{
	Place place = {.store_id = q->store_id,
				   .key = q->key,
				   .key_bytes = q->key_bytes,
				   .ts = q->ts,
				   .seq = UINT64_MAX};
	Splice splice;
	FlowMemNode *node;

	if (!q->no_tombs && flowi_memtomb_since(mt, q))
		return true;
	node = memtable_find(mt, &splice, &place);
	while (node != NULL && node->txn->seq_first >= q->from &&
		   node->store_id == q->store_id && node->ts == q->ts &&
		   flowi_key_cmp(node_key(node), node->key_bytes, q->key,
						 q->key_bytes) == 0)
	{
		if (flowi_since_counts(q, node->txn))
			return true;
		node = next_of(mt, node, 0);
	}
	return false;
}

typedef struct MemIter
{
	FlowIter base;
	FlowEnv *env;
	FlowMemtable *mt;
	uint32_t store_id;
	FlowMemNode *node; /* current; NULL at the end */
	Splice splice;	   /* backwards: before the current identity */
} MemIter;

/* Make node current; FLOW_END when it is none of the store's. */
static FlowStatus
mem_show(MemIter *it, FlowMemNode *node)
{
	FlowRec *cur = &it->base.cur;

	if (node == NULL || node->store_id != it->store_id)
	{
		it->node = NULL;
		return FLOW_END;
	}
	it->node = node;
	cur->key = node_key(node);
	cur->key_bytes = node->key_bytes;
	cur->value = node->op == FLOW_DELETE ? NULL : node_value(node);
	cur->value_bytes = (uint32_t) node->value_bytes;
	cur->ts = node->ts;
	cur->expire_at = node->expire_at;
	cur->seq = node->txn->seq_first;
	cur->txn = node->txn;
	cur->op = node->op;
	return FLOW_OK;
}

static FlowStatus
mem_next_forward(FlowIter *base)
{
	MemIter *it = (MemIter *) base;
	FlowMemNode *next = next_of(it->mt, it->node, 0);

	if (next != NULL)
		__builtin_prefetch(
			atomic_load_explicit(&next->next[0], memory_order_relaxed));
	return mem_show(it, next);
}

/* The place a seek asks for, in terms of the list's own order. */
static Place
seek_place(const MemIter *it, const FlowSeek *to, bool reverse)
{
	Place place = {.store_id = it->store_id};

	if (to->unbounded)
		place.edge = reverse ? 1 : -1;
	else
	{
		place.key = to->key;
		place.key_bytes = to->key_bytes;
		place.ts = to->ts;
		/* before the identity's versions, or behind them */
		place.seq = to->after == reverse ? UINT64_MAX : 0;
	}
	return place;
}

static FlowStatus
mem_seek_forward(FlowIter *base, const FlowSeek *to)
{
	MemIter *it = (MemIter *) base;
	Place place = seek_place(it, to, false);
	Splice splice;

	return mem_show(it, memtable_find(it->mt, &splice, &place));
}

/*
 * Go to the newest version of the identity that stands right before the
 * splice, and move the splice before that identity.
 */
static FlowStatus
step_back(MemIter *it)
{
	FlowMemNode *last = it->splice.prev[0];
	Place place;

	if (last == NULL || last->store_id != it->store_id)
		return mem_show(it, NULL);
	place = place_of(last, UINT64_MAX);
	return mem_show(it, retreat(it->mt, &it->splice, &place));
}

static FlowStatus
mem_seek_reverse(FlowIter *base, const FlowSeek *to)
{
	MemIter *it = (MemIter *) base;
	Place place = seek_place(it, to, true);

	memtable_find(it->mt, &it->splice, &place);
	return step_back(it);
}

static FlowStatus
mem_next_reverse(FlowIter *base)
{
	MemIter *it = (MemIter *) base;
	FlowMemNode *next = next_of(it->mt, it->node, 0);

	/* older versions of the identity first */
	if (next != NULL && same_identity(next, it->node))
		return mem_show(it, next);
	return step_back(it);
}

static void
mem_free(FlowIter *base)
{
	MemIter *it = (MemIter *) base;

	it->env->free(it->env, it);
}

FlowStatus
flowi_memtable_iter(FlowEnv *env, FlowMemtable *mt, uint32_t store_id,
					bool reverse, FlowIter **itp)
{
	MemIter *it = env->alloc(env, sizeof(*it));

	*itp = NULL;
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: memtable iterator");
	memset(it, 0, sizeof(*it));
	it->base.seek = reverse ? mem_seek_reverse : mem_seek_forward;
	it->base.next = reverse ? mem_next_reverse : mem_next_forward;
	it->base.free = mem_free;
	it->env = env;
	it->mt = mt;
	it->store_id = store_id;
	*itp = &it->base;
	return FLOW_OK;
}
