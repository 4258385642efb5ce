/*-------------------------------------------------------------------------
 * txbuf_test.c
 *	  A transaction's private buffer against a plain array: random adds,
 *	  truncates, pushes that meet BUSY, iteration both ways.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <string.h>

#include "../env_posix.h"
#include "../txbuf.h"
#include "../write.h"

#define MAX_MODEL 20000
#define NSTORES 3
#define NKEYS 12
#define NTIMES 6

typedef struct ModelEntry
{
	uint64_t xid;
	uint32_t cid;
	FlowOp op;
	uint32_t store;
	uint32_t key;
	int64_t ts;
	int64_t expire_at;
	uint32_t value_bytes;
	uint64_t tag;	 /* first bytes of the value; unique */
	uint32_t key_hi; /* of a range tombstone; NKEYS: open */
	int64_t ts_hi;
} ModelEntry;

static ModelEntry model[MAX_MODEL];
static size_t model_front; /* entries before were pushed */
static size_t model_n;
static uint8_t *value_room; /* FLOW_MAX_VALUE bytes */

/* Keys of different lengths, one of them empty. */
static uint32_t
make_key(uint32_t no, uint8_t *key)
{
	memset(key, 'k', 16);
	if (no == 0)
		return 0;
	key[1 + no % 3] = (uint8_t) (no * 7);
	return 1 + no;
}

/* ------------------------------------------ the database behind a push */

typedef struct Cell
{
	bool set;
	FlowOp op;
	uint64_t xid;
	uint32_t cid;
	uint64_t tag;
	int64_t expire_at;
	uint32_t value_bytes;
} Cell;

typedef struct Pushed
{
	CheckRandom *random;
	unsigned busy_percent;
	size_t records;
	size_t biggest;
	size_t ops;
	Cell cells[NSTORES][NKEYS][NTIMES];
	/* steps in the order of their sequences; consecutive equals once */
	size_t nruns;
	uint64_t run_xid[MAX_MODEL];
	uint32_t run_cid[MAX_MODEL];
} Pushed;

static Pushed pushed;

static uint32_t
key_number(const uint8_t *key, uint32_t key_bytes)
{
	uint8_t want[16];

	for (uint32_t no = 0; no < NKEYS; no++)
		if (make_key(no, want) == key_bytes &&
			memcmp(want, key, key_bytes) == 0)
			return no;
	CHECK(!"unknown key");
	return 0;
}

/* What a range tombstone leaves in the cells that it covers. */
static void
cover(Cell cells[NKEYS][NTIMES], const FlowRect *rect, uint64_t xid,
	  uint32_t cid)
{
	for (uint32_t no = 0; no < NKEYS; no++)
	{
		uint8_t key[16];
		uint32_t key_bytes = make_key(no, key);

		for (int64_t ts = 0; ts < NTIMES; ts++)
			if (rect->ts_lo <= ts && ts <= rect->ts_hi &&
				flowi_rect_has_key(rect, key, key_bytes))
				cells[no][ts] = (Cell){.set = true,
									   .op = FLOW_DELETE_RANGE,
									   .xid = xid,
									   .cid = cid};
	}
}

static FlowRect
model_rect(const ModelEntry *m, uint8_t lo[16], uint8_t hi[16])
{
	FlowRect rect = {lo, NULL, make_key(m->key, lo), 0, m->ts, m->ts_hi};

	if (m->key_hi < NKEYS)
	{
		rect.key_hi = hi;
		rect.key_hi_bytes = make_key(m->key_hi, hi);
	}
	return rect;
}

static void
apply(const FlowBatchHeader *hdr, const FlowBatchCursor *c)
{
	Cell *cell;

	if (c->op == FLOW_DELETE_RANGE)
	{
		cover(pushed.cells[c->store_id - 1],
			  &(FlowRect){c->key, c->value, c->key_bytes, c->value_bytes, c->ts,
						  c->expire_at},
			  hdr->xid, c->cid);
		return;
	}
	cell =
		&pushed.cells[c->store_id - 1][key_number(c->key, c->key_bytes)][c->ts];

	cell->set = true;
	cell->op = c->op;
	cell->xid = hdr->xid;
	cell->cid = c->cid;
	cell->expire_at = c->expire_at;
	cell->value_bytes = c->value_bytes;
	cell->tag = 0;
	memcpy(&cell->tag, c->value ? c->value : (const uint8_t *) "",
		   FLOW_MIN(c->value_bytes, sizeof(cell->tag)));
}

FlowStatus
flowi_write_record_if(FlowDb *db, const void *rec, size_t rec_bytes,
					  const FlowBatchHeader *hdr, const uint8_t *payload,
					  FlowSync sync, FlowWriteCheckFn check, void *arg)
{
	FlowBatchCursor c;
	FlowStatus st;
	FlowBatchHeader decoded;
	const uint8_t *decoded_payload;
	void *owned;
	FlowEnv *env = (FlowEnv *) db;

	CHECK(sync == FLOW_SYNC_DEFAULT && check == NULL && arg != NULL);
	if (check_below(pushed.random, 100) < pushed.busy_percent)
		return FLOW_BUSY;
	st = flowi_batch_open(env, rec, rec_bytes, &decoded, &decoded_payload,
						  &owned);
	if (st == FLOW_NOMEM)
		return st;
	CHECK_OK(st);
	CHECK(decoded.xid == hdr->xid && decoded.nsteps == hdr->nsteps);
	CHECK(decoded.nops == hdr->nops);
	CHECK(decoded.payload_bytes == hdr->payload_bytes);
	CHECK(memcmp(payload, decoded_payload, hdr->payload_bytes) == 0);
	CHECK(hdr->nsteps >= 1 && hdr->nsteps <= FLOW_MAX_STEPS);
	CHECK(hdr->nops == 1 ||
		  hdr->payload_bytes < FLOW_BATCH_TARGET_BYTES / 2 * 5);
	flowi_batch_cursor_init(&c, hdr, decoded_payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
	{
		apply(hdr, &c);
		pushed.ops++;
		if (pushed.nruns == 0 || pushed.run_xid[pushed.nruns - 1] != hdr->xid ||
			pushed.run_cid[pushed.nruns - 1] != c.cid)
		{
			pushed.run_xid[pushed.nruns] = hdr->xid;
			pushed.run_cid[pushed.nruns] = c.cid;
			pushed.nruns++;
		}
	}
	CHECK(st == FLOW_END);
	env->free(env, owned);
	pushed.records++;
	pushed.biggest = FLOW_MAX(pushed.biggest, hdr->payload_bytes);
	return FLOW_OK;
}

/* What the database must hold once the model's entries from .. to are in. */
static void
check_pushed(size_t from, size_t to)
{
	static Cell want[NSTORES][NKEYS][NTIMES];
	size_t nruns = 0;

	memset(want, 0, sizeof(want));
	for (size_t i = from; i < to; i++)
	{
		const ModelEntry *m = &model[i];

		if (m->op == FLOW_DELETE_RANGE)
		{
			uint8_t lo[16], hi[16];
			FlowRect rect = model_rect(m, lo, hi);

			cover(want[m->store], &rect, m->xid, m->cid);
		}
		else
			want[m->store][m->key][m->ts] =
				(Cell){.set = true,
					   .op = m->op,
					   .xid = m->xid,
					   .cid = m->cid,
					   .tag = m->tag,
					   .expire_at = m->expire_at,
					   .value_bytes = m->value_bytes};
		if (i == from || model[i - 1].xid != m->xid ||
			model[i - 1].cid != m->cid)
		{
			CHECK(nruns < pushed.nruns);
			CHECK(pushed.run_xid[nruns] == m->xid);
			CHECK(pushed.run_cid[nruns] == m->cid);
			nruns++;
		}
	}
	CHECK(nruns == pushed.nruns);
	for (int s = 0; s < NSTORES; s++)
		for (int k = 0; k < NKEYS; k++)
			for (int t = 0; t < NTIMES; t++)
			{
				const Cell *a = &want[s][k][t];
				const Cell *b = &pushed.cells[s][k][t];

				CHECK(a->set == b->set && a->op == b->op && a->xid == b->xid);
				CHECK(a->cid == b->cid && a->tag == b->tag);
				CHECK(a->expire_at == b->expire_at);
				CHECK(a->value_bytes == b->value_bytes);
			}
}

/* ------------------------------------------------------------ iteration */

/* The model's row of an identity that own_cid sees, or NULL. */
static const ModelEntry *
model_row(uint32_t store, uint32_t key, int64_t ts, uint32_t own_cid)
{
	for (size_t i = model_n; i-- > model_front;)
		if (model[i].store == store && model[i].key == key &&
			model[i].ts == ts && model[i].cid < own_cid &&
			model[i].op != FLOW_DELETE_RANGE)
			return &model[i];
	return NULL;
}

typedef struct Rank
{
	uint32_t key;
	int64_t ts;
} Rank;

/* All identities in order, seen or not. */
static Rank ranks[NKEYS * NTIMES];

static int
rank_cmp(const void *a, const void *b)
{
	const Rank *x = a;
	const Rank *y = b;
	uint8_t kx[16], ky[16];
	uint32_t nx = make_key(x->key, kx);
	uint32_t ny = make_key(y->key, ky);

	return flowi_identity_cmp(kx, nx, x->ts, ky, ny, y->ts);
}

static void
check_rec(const FlowRec *rec, const ModelEntry *m)
{
	uint8_t key[16];

	CHECK(rec->key_bytes == make_key(m->key, key));
	CHECK(memcmp(rec->key, key, rec->key_bytes) == 0);
	CHECK(rec->ts == m->ts && rec->op == m->op && rec->txn == NULL);
	CHECK(rec->expire_at == m->expire_at);
	CHECK(rec->value_bytes == m->value_bytes);
	CHECK((rec->value == NULL) == (m->op == FLOW_DELETE));
	CHECK(m->value_bytes < 8 || memcmp(rec->value, &m->tag, 8) == 0);
	CHECK(rec->seq == FLOW_OWN_SEQ + (uint64_t) (m - model));
}

typedef struct TombWalk
{
	size_t at; /* entries from here on have been given or passed */
	uint32_t store;
	uint32_t own_cid;
} TombWalk;

/* Step back to the range tombstone before; false: there is none. */
static bool
tomb_before(TombWalk *walk)
{
	while (walk->at-- > model_front)
	{
		const ModelEntry *m = &model[walk->at];

		if (m->op == FLOW_DELETE_RANGE && m->store == walk->store &&
			m->cid < walk->own_cid)
			return true;
	}
	return false;
}

static FlowStatus
see_tomb(void *arg, const FlowTomb *tomb)
{
	TombWalk *walk = arg;
	uint8_t lo[16], hi[16];
	FlowRect want;

	CHECK(tomb_before(walk));
	want = model_rect(&model[walk->at], lo, hi);
	CHECK(tomb->seq == FLOW_OWN_SEQ + walk->at && tomb->txn == NULL);
	CHECK(tomb->rect.ts_lo == want.ts_lo && tomb->rect.ts_hi == want.ts_hi);
	CHECK(flowi_key_cmp(tomb->rect.key_lo, tomb->rect.key_lo_bytes, want.key_lo,
						want.key_lo_bytes) == 0);
	CHECK((tomb->rect.key_hi == NULL) == (want.key_hi == NULL));
	if (want.key_hi)
		CHECK(flowi_key_cmp(tomb->rect.key_hi, tomb->rect.key_hi_bytes,
							want.key_hi, want.key_hi_bytes) == 0);
	return FLOW_OK;
}

static void
check_tombs(FlowTxBuf *buf, CheckRandom *r)
{
	TombWalk walk = {model_n, (uint32_t) check_below(r, NSTORES),
					 (uint32_t) check_below(r, 40)};

	CHECK_OK(flowi_txbuf_each_tomb(buf, walk.store + 1, walk.own_cid, see_tomb,
								   &walk));
	CHECK(!tomb_before(&walk));
}

static void
check_iter(FlowTxBuf *buf, CheckRandom *r)
{
	uint32_t store = (uint32_t) check_below(r, NSTORES);
	uint32_t own_cid = (uint32_t) check_below(r, 40);
	bool reverse = check_below(r, 2);
	uint8_t key[16];
	int n = NKEYS * NTIMES;
	int at = (int) check_below(r, (uint64_t) n);
	FlowSeek to = {.after = check_below(r, 2),
				   .unbounded = check_below(r, 3) == 0};
	FlowIter *it;
	FlowStatus st;

	to.key_bytes = make_key(ranks[at].key, key);
	to.key = key;
	to.ts = ranks[at].ts;
	CHECK_OK(flowi_txbuf_iter(buf, store + 1, own_cid, reverse, &it));
	if (to.unbounded)
		at = reverse ? n - 1 : 0;
	else if (to.after)
		at += reverse ? -1 : 1;
	st = it->seek(it, &to);
	for (; at >= 0 && at < n; at += reverse ? -1 : 1)
	{
		const ModelEntry *m =
			model_row(store, ranks[at].key, ranks[at].ts, own_cid);

		if (m == NULL &&
			model_row(store, ranks[at].key, ranks[at].ts, UINT32_MAX) == NULL)
			continue;
		CHECK(st == FLOW_OK);
		if (m != NULL)
			check_rec(&it->cur, m);
		else
			CHECK(it->cur.txn->state == FLOW_TXN_ABORTED &&
				  it->cur.ts == ranks[at].ts);
		st = it->next(it);
	}
	CHECK(st == FLOW_END);
	it->free(it);
}

/* Every identity of a store, one by one. */
static void
check_find(FlowTxBuf *buf, CheckRandom *r)
{
	uint32_t store = (uint32_t) check_below(r, NSTORES);
	uint32_t own_cid =
		check_below(r, 2) ? UINT32_MAX : (uint32_t) check_below(r, 40);

	for (int i = 0; i < NKEYS * NTIMES; i++)
	{
		const ModelEntry *m =
			model_row(store, ranks[i].key, ranks[i].ts, own_cid);
		uint8_t key[16];
		FlowSeek to = {.key = key, .ts = ranks[i].ts};
		FlowRec rec;
		FlowStatus st;

		to.key_bytes = make_key(ranks[i].key, key);
		st = flowi_txbuf_find(buf, store + 1, own_cid, &to, &rec);
		CHECK(st == (m ? FLOW_OK : FLOW_NOTFOUND));
		if (m == NULL)
			continue;
		check_rec(&rec, m);
		CHECK(flowi_txbuf_cid(buf, rec.seq) == m->cid);
	}
}

/* ------------------------------------------------------------ operations */

static void
add_tomb(FlowTxBuf *buf, CheckRandom *r, uint64_t xid, uint32_t cid)
{
	ModelEntry *m = &model[model_n];
	uint64_t generation = flowi_txbuf_tombs_generation(buf);
	uint8_t lo[16], hi[16];
	FlowRect rect;

	memset(m, 0, sizeof(*m));
	m->xid = xid;
	m->cid = cid;
	m->op = FLOW_DELETE_RANGE;
	m->store = (uint32_t) check_below(r, NSTORES);
	m->key = (uint32_t) check_below(r, NKEYS);
	m->key_hi = (uint32_t) check_below(r, NKEYS + 3);
	m->ts = (int64_t) check_below(r, NTIMES) - 1;
	m->ts_hi = (int64_t) check_below(r, NTIMES + 2) - 1;
	rect = model_rect(m, lo, hi);
	CHECK_OK(flow_txbuf_delete_range(buf, m->store + 1, &rect, xid, cid));
	CHECK(generation != flowi_txbuf_tombs_generation(buf));
	model_n++;
}

static void
add_some(FlowTxBuf *buf, CheckRandom *r, uint64_t xid, uint32_t cid,
		 uint32_t max_value)
{
	size_t n = 1 + check_below(r, check_below(r, 3) ? 5 : 60);
	bool sorted = check_below(r, 2);

	for (size_t i = 0; i < n && model_n < MAX_MODEL; i++)
	{
		ModelEntry *m = &model[model_n];
		uint8_t key[16];
		Rank rank = ranks[sorted ? i * (NKEYS * NTIMES - 1) / n
								 : check_below(r, NKEYS * NTIMES)];

		if (check_below(r, 8) == 0)
		{
			add_tomb(buf, r, xid, cid);
			continue;
		}
		memset(m, 0, sizeof(*m));
		m->xid = xid;
		m->cid = cid;
		m->op = check_below(r, 5) ? FLOW_PUT : FLOW_DELETE;
		m->store = (uint32_t) check_below(r, NSTORES);
		m->key = rank.key;
		m->ts = rank.ts;
		m->expire_at = check_below(r, 2) ? FLOW_NEVER : (int64_t) model_n;
		if (m->op == FLOW_PUT)
		{
			m->value_bytes = 8 + (uint32_t) check_below(r, max_value);
			m->tag = check_random(r);
			memcpy(value_room, &m->tag, 8);
		}
		CHECK_OK(flow_txbuf_add(buf, m->op, m->store + 1, key,
								make_key(m->key, key), m->ts, m->expire_at,
								value_room, m->value_bytes, xid, cid));
		model_n++;
	}
	CHECK(flow_txbuf_count(buf) == model_n);
}

static void
truncate_some(FlowTxBuf *buf, CheckRandom *r)
{
	size_t mark = model_n - check_below(r, FLOW_MIN(model_n, 80) + 1);

	flow_txbuf_truncate(buf, mark);
	model_n = FLOW_MAX(mark, model_front);
	CHECK(flow_txbuf_count(buf) == model_n);
}

/* One push; after BUSY the model's front moves as far as the ops tell. */
static void
push_some(FlowTxBuf *buf, FlowEnv *env, CheckRandom *r, unsigned busy_percent)
{
	FlowStatus st;

	pushed.busy_percent = busy_percent;
	do
	{
		/* between tries the buffer must still read as a whole; what is in
		 * it is not known here, so only walk it */
		st = flow_txbuf_push(buf, (FlowDb *) env);
		CHECK(st == FLOW_OK || st == FLOW_BUSY);
		if (st == FLOW_BUSY)
		{
			FlowIter *it;
			FlowSeek all = {.unbounded = true};

			CHECK_OK(flowi_txbuf_iter(buf, (uint32_t) check_below(r, NSTORES),
									  UINT32_MAX, check_below(r, 2), &it));
			for (st = it->seek(it, &all); st == FLOW_OK; st = it->next(it))
				CHECK(it->cur.seq >= FLOW_OWN_SEQ + model_front &&
					  it->cur.seq < FLOW_OWN_SEQ + model_n);
			it->free(it);
			st = FLOW_BUSY;
		}
	} while (st == FLOW_BUSY);
	CHECK(flow_txbuf_bytes(buf) == 0);
	CHECK(flow_txbuf_count(buf) == model_n);
	model_front = model_n;
}

static void
run_random(FlowEnv *env, CheckRandom *r, uint32_t max_value, int rounds)
{
	FlowTxBuf *buf;
	uint64_t xid = 100;
	uint32_t cid = 0;
	size_t last_front = 0;

	model_front = model_n = 0;
	CHECK_OK(flow_txbuf_create(env, &buf));
	for (int i = 0; i < rounds && model_n < MAX_MODEL; i++)
	{
		uint64_t generation = flowi_txbuf_generation(buf);

		switch (check_below(r, 16))
		{
			case 0:
				truncate_some(buf, r);
				break;
			case 1:
				xid += check_below(r, 3) - 1;
				break;
			case 2:
				if (check_below(r, 5) == 0)
				{
					memset(&pushed, 0, sizeof(pushed));
					pushed.random = r;
					push_some(buf, env, r, (unsigned) check_below(r, 60));
					check_pushed(last_front, model_n);
				}
				break;
			case 3:
				check_find(buf, r);
				CHECK(generation == flowi_txbuf_generation(buf));
				break;
			case 4:
			case 5:
				check_find(buf, r);
				check_iter(buf, r);
				check_tombs(buf, r);
				CHECK(generation == flowi_txbuf_generation(buf));
				break;
			default:
				cid = check_below(r, 8) ? cid + (uint32_t) check_below(r, 2)
										: (uint32_t) check_below(r, 40);
				add_some(buf, r, xid, cid, max_value);
				CHECK(generation != flowi_txbuf_generation(buf));
		}
		last_front = model_front;
	}
	flow_txbuf_free(buf);
}

/* Values so large that batches are cut by size; one as large as may be. */
static void
test_big(FlowEnv *env, CheckRandom *r)
{
	FlowTxBuf *buf;

	model_front = model_n = 0;
	memset(&pushed, 0, sizeof(pushed));
	pushed.random = r;
	CHECK_OK(flow_txbuf_create(env, &buf));
	while (model_n < 600)
		add_some(buf, r, 5, 1, 200000);
	model[model_n] = model[model_n - 1];
	model[model_n].op = FLOW_PUT;
	model[model_n].value_bytes = FLOW_MAX_VALUE;
	memcpy(&model[model_n].tag, value_room, 8);
	{
		uint8_t key[16];
		ModelEntry *m = &model[model_n++];

		CHECK_OK(flow_txbuf_add(buf, m->op, m->store + 1, key,
								make_key(m->key, key), m->ts, m->expire_at,
								value_room, m->value_bytes, m->xid, m->cid));
	}
	add_some(buf, r, 5, 1, 100);
	push_some(buf, env, r, 50);
	check_pushed(0, model_n);
	CHECK(pushed.records > 10 && pushed.biggest > FLOW_MAX_VALUE);
	flow_txbuf_free(buf);
	check_passed("txbuf big values");
}

static void
test_errors(FlowEnv *env)
{
	FlowTxBuf *buf;
	FlowStatus st = FLOW_NOMEM;
	uint64_t nth;

	CHECK_OK(flow_txbuf_create(env, &buf));
	CHECK_STATUS(flow_txbuf_add(buf, FLOW_PUT, 0, NULL, 0, 0, 0, NULL, 0, 1, 0),
				 FLOW_INVALID);
	CHECK_STATUS(
		flow_txbuf_add(buf, FLOW_PUT, UINT32_MAX, NULL, 0, 0, 0, NULL, 0, 1, 0),
		FLOW_INVALID);
	CHECK_STATUS(flow_txbuf_add(buf, FLOW_PUT, 1, value_room, FLOW_MAX_KEY + 1,
								0, 0, NULL, 0, 1, 1),
				 FLOW_INVALID);
	CHECK_STATUS(flow_txbuf_add(buf, FLOW_PUT, 1, value_room, 1, 0, 0,
								value_room, (size_t) FLOW_MAX_VALUE + 1, 1, 1),
				 FLOW_INVALID);
	CHECK(flow_txbuf_count(buf) == 0 && flow_txbuf_bytes(buf) == 0);
	CHECK_OK(flow_txbuf_push(buf, NULL));
	flow_txbuf_free(buf);
	flow_txbuf_free(NULL);

	/* out of memory at every place: nothing lost, nothing leaked */
	for (nth = 1; st != FLOW_OK; nth++)
	{
		CheckRandom r = {nth};
		FlowIter *it = NULL;

		memset(&pushed, 0, sizeof(pushed));
		pushed.random = &r;
		flow_env_posix_fail(env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = flow_txbuf_create(env, &buf);
		for (uint8_t i = 0; st == FLOW_OK && i < 250; i++)
			st = flow_txbuf_add(buf, FLOW_PUT, 1 + i % 2, NULL, 0,
								(i * 101 % 251) % NTIMES, FLOW_NEVER,
								value_room, 100, 1, 1);
		for (int64_t ts = 0; st == FLOW_OK && ts < NTIMES; ts++)
		{
			FlowRec rec;

			st = flowi_txbuf_find(buf, 1, 2, &(FlowSeek){.ts = ts}, &rec);
		}
		if (st == FLOW_OK)
			st = flowi_txbuf_iter(buf, 0, 2, false, &it);
		if (it != NULL)
			it->free(it);
		if (st == FLOW_OK)
			st = flow_txbuf_push(buf, (FlowDb *) env);
		CHECK(st == FLOW_OK || st == FLOW_NOMEM);
		if (buf != NULL && st == FLOW_NOMEM)
			CHECK_OK(flow_txbuf_push(buf, (FlowDb *) env));
		flow_txbuf_free(buf);
	}
	CHECK(nth > 8);
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 0, 0);
	check_passed("txbuf errors");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;
	int n = 0;

	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	value_room = calloc(1, FLOW_MAX_VALUE);
	CHECK(value_room != NULL);
	for (uint32_t k = 0; k < NKEYS; k++)
		for (int64_t t = 0; t < NTIMES; t++)
			ranks[n++] = (Rank){k, t};
	qsort(ranks, (size_t) n, sizeof(Rank), rank_cmp);
	for (int i = 0; i < 30; i++)
		run_random(env, &r, i % 3 == 0 ? 3000 : 20, 2000);
	check_passed("txbuf against the model");
	test_big(env, &r);
	test_errors(env);
	free(value_room);
	flow_env_posix_free(env);
	return 0;
}
