/*-------------------------------------------------------------------------
 * memtable.c
 *	  The newest records of a database: its life, and how a batch goes in.
 *
 * Staged rows stand already where they will be, behind what is published, and
 * linking a series of many new rows is one store.  Series that a batch makes
 * are in an order of their own until then, so that a later step of the batch
 * finds them.
 *
 * Keeps: S1, S3, I35.  Writers hold the database's write lock.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

#define RANDOM_SEED 0x9e3779b9u

/* The directory entries of one batch. */
struct FlowTxnBlock
{
	FlowTxnBlock *older;
	uint64_t ntxns;
	FlowTxn txns[];
};

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
	atomic_init(&mt->refs, 1);
	if (!flowi_memdir_init(env, mt))
	{
		arena = mt->arena;
		flowi_arena_free(env, &arena);
		return NULL;
	}
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

/* --------------------------------------------------------------- staging */

/* Where the staging of a batch is. */
typedef struct Stage
{
	FlowEnv *env;
	FlowMemtable *mt;
	const FlowBatchCursor *c;
	FlowTxn *txn; /* of the operation; NULL at first */

	/* the series of the last row; or NULL */
	FlowMemSeries *series;
	FlowMemChunk *tail; /* of its run */
	int64_t last_ts;	/* of its run */
	bool known;			/* it is linked; else one of this batch */
	bool touched;		/* it has staged rows */

	FlowMemAhead ahead;
	FlowTxn *new_step; /* in which new_series was moved last; or NULL */
	FlowSplice new_series;
} Stage;

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

/* How much FlowMemRow.data of the operation takes; 0: it is NULL. */
static size_t
data_bytes(const FlowBatchCursor *c)
{
	size_t expiry = c->expire_at == FLOW_NEVER ? 0 : 8;

	if (c->op == FLOW_DELETE)
		return expiry ? 4 + expiry : 0;
	return 4 + expiry + c->value_bytes;
}

static void
put_data(uint8_t *p, const FlowBatchCursor *c)
{
	bool expires = c->expire_at != FLOW_NEVER;
	uint32_t value_bytes = c->op == FLOW_DELETE ? 0 : c->value_bytes;
	uint32_t head =
		value_bytes << 2 | (uint32_t) expires << 1 | (c->op == FLOW_DELETE);

	memcpy(p, &head, 4);
	p += 4;
	if (expires)
	{
		memcpy(p, &c->expire_at, 8);
		p += 8;
	}
	if (value_bytes > 0)
		memcpy(p, c->value, value_bytes);
}

/* A new series with its first row, in one piece. */
static bool
stage_series(Stage *g, uint32_t hash)
{
	const FlowBatchCursor *c = g->c;
	uint32_t height = flowi_skip_height(&g->mt->random, FLOW_SKIP_HEIGHT);
	size_t bytes = data_bytes(c);
	FlowMemSeries *s = flowi_arena_alloc(
		g->env, &g->mt->arena,
		sizeof(*s) + height * sizeof(FlowSkipLink) + c->key_bytes + bytes);
	uint8_t *key;

	if (s == NULL)
		return false;
	atomic_init(&s->chain, NULL);
	s->hash = hash;
	s->store_id = c->store_id;
	atomic_init(&s->count, 0);
	s->staged = 1;
	atomic_init(&s->nlate, 0);
	s->key_bytes = (uint16_t) c->key_bytes;
	s->height = (uint8_t) height;
	atomic_init(&s->tail, NULL);
	s->late = NULL;
	s->next_staged = NULL;
	for (uint32_t i = 0; i < height; i++)
		atomic_init(&s->next[i], NULL);
	key = (uint8_t *) &s->next[height];
	if (c->key_bytes > 0)
		memcpy(key, c->key, c->key_bytes);
	s->first = (FlowMemRow){c->ts, g->txn, NULL};
	if (bytes > 0)
	{
		s->first.data = key + c->key_bytes;
		put_data(key + c->key_bytes, c);
	}
	g->series = s;
	g->tail = NULL;
	g->last_ts = c->ts;
	g->known = false;
	return flowi_memdir_stage(g->env, g->mt, &g->new_series, s);
}

/* Set the series of the operation's key; NULL: there is none yet. */
static void
find_series(Stage *g, uint32_t hash)
{
	const FlowBatchCursor *c = g->c;
	FlowMemSeries *s =
		flowi_memdir_find(g->mt, hash, c->store_id, c->key, c->key_bytes);

	g->known = s != NULL;
	if (s == NULL)
	{
		FlowMemPlace place = {
			.store_id = c->store_id, .key = c->key, .key_bytes = c->key_bytes};

		/* keys rise inside a step; another step begins anywhere */
		s = flowi_memdir_staged(g->mt, &g->new_series, g->new_step != g->txn,
								&place);
		g->new_step = g->txn;
	}
	g->series = s;
	if (s == NULL)
		return;
	g->touched = s->staged > flowi_memrun_count(s) ||
				 (s->late != NULL && s->late->staged != NULL);
	g->tail = flowi_memrun_tail(s);
	g->last_ts = flowi_memrun_row(s, g->tail, s->staged - 1)->ts;
}

/* Stage the cursor's operation, no range tombstone; false: no room. */
static bool
stage_row(Stage *g)
{
	const FlowBatchCursor *c = g->c;
	FlowMemRow row = {c->ts, g->txn, NULL};
	size_t bytes = data_bytes(c);
	uint32_t hash;
	bool hashed = flowi_memahead_next(&g->ahead, g->mt->staged_rows++, &hash);

	if (g->series == NULL ||
		!flowi_memseries_is(g->series, c->store_id, c->key, c->key_bytes))
	{
		if (!hashed)
			hash = flowi_memdir_hash(g->mt, c->store_id, c->key, c->key_bytes);
		find_series(g, hash);
		if (g->series == NULL)
			return stage_series(g, hash);
	}
	if (bytes > 0)
	{
		uint8_t *data = flowi_arena_alloc(g->env, &g->mt->arena, bytes);

		if (data == NULL)
			return false;
		put_data(data, c);
		row.data = data;
	}
	if (g->known && !g->touched)
	{
		g->series->next_staged = g->mt->staged;
		g->mt->staged = g->series;
		g->touched = true;
	}
	if (row.ts <= g->last_ts)
		return flowi_memlate_stage(g->env, g->mt, g->series, &row);
	g->last_ts = row.ts;
	return flowi_memrun_append(g->env, g->mt, g->series, &g->tail, &row);
}

/* Stage all operations; the caller cleans up. */
static FlowStatus
stage_ops(FlowEnv *env, FlowMemtable *mt, const FlowBatchHeader *hdr,
		  const uint8_t *payload)
{
	FlowBatchCursor c;
	Stage g;
	FlowStatus st;

	mt->staged_txns = stage_txns(env, mt, hdr);
	if (mt->staged_txns == NULL)
		return flowi_fail(FLOW_BUSY, "write buffers are full");
	flowi_batch_cursor_init(&c, hdr, payload);
	g.env = env;
	g.mt = mt;
	g.c = &c;
	g.series = NULL;
	g.new_step = NULL;
	flowi_memahead_init(&g.ahead, mt, hdr, payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
	{
		g.txn = &mt->staged_txns->txns[c.step];
		g.txn->cid = c.cid;
		if (c.op == FLOW_DELETE_RANGE ? !flowi_memtomb_stage(env, mt, &c, g.txn)
									  : !stage_row(&g))
			return flowi_fail(FLOW_BUSY, "write buffers are full");
	}
	return st == FLOW_END ? FLOW_OK : st;
}

/*
 * There was no room: can there ever be?  Rows and values need theirs whatever
 * the keys are; what else may fit or not, trying finds out.
 */
static FlowStatus
check_size(FlowEnv *env, const FlowBatchHeader *hdr, const uint8_t *payload)
{
	uint64_t total = flowi_region_chunk_total(env);
	uint64_t least = 0;
	FlowBatchCursor c;

	flowi_batch_cursor_init(&c, hdr, payload);
	while (flowi_batch_cursor_next(&c) == FLOW_OK)
		least += c.op == FLOW_DELETE_RANGE
					 ? FLOW_MEMTOMB_BYTES
					 : sizeof(FlowMemRow) + data_bytes(&c);
	if (least > total)
		return flowi_fail(FLOW_NOMEM,
						  "batch of %u rows does not fit into %llu bytes of "
						  "write buffers",
						  hdr->nops, (unsigned long long) total);
	return flowi_fail(FLOW_BUSY, "write buffers are full");
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
	mt->staged_mark = flowi_arena_mark(&mt->arena);
	st = stage_ops(env, mt, hdr, payload);
	if (st == FLOW_OK)
		return FLOW_OK;
	flowi_memtable_unstage(env, mt);
	return st == FLOW_BUSY ? check_size(env, hdr, payload) : st;
}

static void
forget_staged(FlowMemtable *mt)
{
	mt->staged = NULL;
	mt->staged_rows = 0;
	mt->staged_tombs = NULL;
	mt->staged_txns = NULL;
}

/* Pointers of linked series to what is given back stay, but those nobody
 * follows (I35). */
void
flowi_memtable_unstage(FlowEnv *env, FlowMemtable *mt)
{
	for (FlowMemSeries *s = mt->staged; s != NULL; s = s->next_staged)
	{
		s->staged = flowi_memrun_count(s);
		flowi_memlate_unstage(s);
	}
	flowi_memdir_unstage(mt);
	forget_staged(mt);
	flowi_arena_rewind(env, &mt->arena, mt->staged_mark);
}

/* --------------------------------------------------------------- linking */

static void
link_rows(FlowMemtable *mt)
{
	for (FlowMemSeries *s = mt->staged; s != NULL; s = s->next_staged)
	{
		flowi_memrun_publish(s);
		flowi_memlate_link(s); /* which would be before the run's end else */
	}
	flowi_memdir_link(mt);
}

void
flowi_memtable_link(FlowMemtable *mt, uint64_t start, uint64_t end)
{
	FlowTxnBlock *block = mt->staged_txns;

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
	link_rows(mt);
	atomic_fetch_add_explicit(&mt->records, mt->staged_rows,
							  memory_order_relaxed);
	forget_staged(mt);
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
