/*-------------------------------------------------------------------------
 * memtable_test.c
 *	  The memtable against a sorted array, both directions; what staging
 *	  leaves behind.  With a writer at work: memtable_race_test.c.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <string.h>

#include "../env_posix.h"
#include "../memtable.h"
#include "../region.h"

#define MAX_VERSIONS 20000
#define NSTORES 3

typedef struct Version
{
	uint32_t store;
	uint32_t key; /* 4 bytes, big endian; 0 is the empty key */
	int64_t ts;
	uint64_t seq;
	uint64_t xid;
	uint32_t cid;
	FlowOp op;
	int64_t expire_at;
	uint32_t value; /* repeated value % 50 times */
} Version;

static Version model[MAX_VERSIONS];
static size_t model_n;

/* What rows come: keys 0 .. nkeys - 1, times around 0; or rising, most of
 * them, so that runs get long. */
typedef struct Shape
{
	const char *name;
	uint32_t nkeys;
	uint32_t nstores;
	bool rising;
} Shape;

static const Shape shapes[] = {{"at any time", 30, NSTORES, false},
							   {"mostly in order", 4, 2, true},
							   {"many series", 3000, NSTORES, false},
							   {"one series", 1, 1, true}};
static const Shape *shape;
static int64_t clock_ts; /* of rising times */

/* Of a row to come, or to look for. */
static int64_t
some_ts(CheckRandom *r)
{
	if (!shape->rising)
		return (int64_t) check_below(r, 10) - 5;
	return clock_ts + 10 - (int64_t) check_below(r, clock_ts + 20);
}

static int64_t
next_ts(CheckRandom *r)
{
	if (!shape->rising)
		return (int64_t) check_below(r, 8) - 4;
	if (check_below(r, 8) == 0) /* late, or a version of what is there */
		return clock_ts - (int64_t) check_below(r, check_below(r, 4) ? 9 : 900);
	return clock_ts += (int64_t) check_below(r, 3);
}

/* A range tombstone: keys [lo, hi), hi 0: open. */
typedef struct Tomb
{
	uint32_t store;
	uint32_t lo, hi;
	int64_t ts_lo, ts_hi;
	uint64_t seq;
	uint64_t xid;
	uint32_t cid;
} Tomb;

static Tomb tombs[MAX_VERSIONS]; /* oldest first */
static size_t tombs_n;

static uint32_t
put_key(uint32_t no, uint8_t *key)
{
	for (int i = 0; i < 4; i++)
		key[i] = (uint8_t) (no >> (24 - 8 * i));
	return no == 0 ? 0 : 4;
}

static int
identity_cmp(const Version *a, const Version *b)
{
	if (a->store != b->store)
		return a->store < b->store ? -1 : 1;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->ts > b->ts) - (a->ts < b->ts);
}

static int
version_cmp(const void *a, const void *b)
{
	const Version *x = a;
	const Version *y = b;
	int c = identity_cmp(x, y);

	return c ? c : (x->seq < y->seq) - (x->seq > y->seq);
}

static uint64_t
write_used(FlowEnv *env)
{
	uint64_t total, used, meta_total, meta_used;

	flow_region_usage(env, env->region, &total, &used, &meta_total, &meta_used);
	return used;
}

static void
add_tombs(CheckRandom *r, FlowBatchWriter *bw, uint64_t xid, uint32_t cid,
		  uint64_t seq)
{
	for (uint64_t n = check_below(r, 4); n-- > 0;)
	{
		Tomb *m = &tombs[tombs_n++];
		uint8_t lo[4], hi[4];
		FlowRect rect = {lo, NULL, 0, 0, 0, 0};

		*m = (Tomb){.store = 1 + (uint32_t) check_below(r, shape->nstores + 1),
					.lo = (uint32_t) check_below(r, shape->nkeys),
					.hi = (uint32_t) check_below(r, shape->nkeys),
					.ts_lo = some_ts(r),
					.ts_hi = some_ts(r),
					.seq = seq,
					.xid = xid,
					.cid = cid};
		rect.key_lo_bytes = put_key(m->lo, lo);
		if (m->hi > 0)
		{
			rect.key_hi = hi;
			rect.key_hi_bytes = put_key(m->hi, hi);
		}
		rect.ts_lo = m->ts_lo;
		rect.ts_hi = m->ts_hi;
		CHECK_OK(flowi_batch_add_tomb(bw, m->store, &rect));
	}
}

/* A random batch: range tombstones, then sorted identities, each once a
 * step. */
static void
make_batch(CheckRandom *r, FlowBatchWriter *bw, uint64_t start)
{
	uint64_t xid = check_below(r, 5);
	uint32_t nsteps = 1 + (uint32_t) check_below(r, 4);

	flowi_batch_begin(bw, xid);
	for (uint32_t step = 0; step < nsteps; step++)
	{
		size_t first = model_n;
		size_t n = 1 + check_below(r, 40);
		size_t kept = first;
		uint32_t cid = (uint32_t) check_below(r, 100);

		for (size_t i = 0; i < n; i++)
			model[model_n++] = (Version){
				.store = 1 + (uint32_t) check_below(r, shape->nstores),
				.key = (uint32_t) check_below(r, shape->nkeys),
				.ts = next_ts(r),
				.seq = start + step,
				.xid = xid,
				.cid = cid,
				.op = check_below(r, 4) ? FLOW_PUT : FLOW_DELETE,
				.expire_at =
					check_below(r, 2) ? FLOW_NEVER : (int64_t) check_random(r),
				.value = (uint32_t) check_random(r)};
		qsort(&model[first], n, sizeof(Version), version_cmp);
		CHECK_OK(flowi_batch_step(bw, cid));
		add_tombs(r, bw, xid, cid, start + step);
		for (size_t i = first; i < model_n; i++)
		{
			uint8_t key[4];
			uint8_t value[50];
			const Version *v = &model[i];

			if (i > first && identity_cmp(&model[kept - 1], v) == 0)
				continue;
			memset(value, (int) v->value, sizeof(value));
			CHECK_OK(flowi_batch_add(bw, v->op, v->store, key,
									 put_key(v->key, key), v->ts, v->expire_at,
									 value, v->value % 50));
			model[kept++] = *v;
		}
		model_n = kept;
	}
}

static void
check_rec(const FlowRec *rec, const Version *v)
{
	uint8_t key[4];

	CHECK(rec->key_bytes == put_key(v->key, key));
	CHECK(memcmp(rec->key, key, rec->key_bytes) == 0);
	CHECK(rec->ts == v->ts && rec->seq == v->seq && rec->op == v->op);
	CHECK(rec->expire_at == v->expire_at);
	CHECK(rec->txn->xid == v->xid && rec->txn->cid == v->cid);
	CHECK(rec->txn->seq_first == v->seq && rec->txn->seq_last == v->seq);
	CHECK(rec->txn->state ==
		  (v->xid == 0 ? FLOW_TXN_SETTLED : FLOW_TXN_UNKNOWN));
	if (v->op == FLOW_DELETE)
	{
		CHECK(rec->value == NULL && rec->value_bytes == 0);
		return;
	}
	CHECK(rec->value != NULL && rec->value_bytes == v->value % 50);
	for (uint32_t i = 0; i < rec->value_bytes; i++)
		CHECK(rec->value[i] == (uint8_t) v->value);
}

/* The model in the order of an iterator: identities in its direction,
 * versions newest first. */
static size_t
expected_order(const Version *sorted, uint32_t store, bool reverse,
			   const Version **out)
{
	size_t n = 0;

	for (size_t i = 0; i < model_n;)
	{
		size_t j = i + 1;

		while (j < model_n && identity_cmp(&sorted[i], &sorted[j]) == 0)
			j++;
		if (sorted[i].store == store)
		{
			if (reverse)
				memmove(out + (j - i), out, n * sizeof(*out));
			for (size_t k = i; k < j; k++)
				out[reverse ? k - i : n + k - i] = &sorted[k];
			n += j - i;
		}
		i = j;
	}
	return n;
}

/* The next one of the model, going back from *arg, is tomb. */
static FlowStatus
check_tomb(void *arg, const FlowTomb *tomb)
{
	Tomb **at = arg;
	const Tomb *m;
	uint8_t key[4];

	do
		m = --*at;
	while (m->store != tombs[tombs_n].store);
	CHECK(m >= tombs && tomb->seq == m->seq);
	CHECK(tomb->txn->xid == m->xid && tomb->txn->cid == m->cid);
	CHECK(tomb->rect.ts_lo == m->ts_lo && tomb->rect.ts_hi == m->ts_hi);
	CHECK(tomb->rect.key_lo_bytes == put_key(m->lo, key));
	CHECK(memcmp(tomb->rect.key_lo, key, tomb->rect.key_lo_bytes) == 0);
	CHECK((tomb->rect.key_hi == NULL) == (m->hi == 0));
	if (m->hi == 0)
		return FLOW_OK;
	CHECK(tomb->rect.key_hi_bytes == put_key(m->hi, key));
	CHECK(memcmp(tomb->rect.key_hi, key, tomb->rect.key_hi_bytes) == 0);
	return FLOW_OK;
}

static FlowStatus
stop_walk(void *arg, const FlowTomb *tomb)
{
	(void) tomb;
	++*(int *) arg;
	return FLOW_END;
}

static void
check_tombs(FlowMemtable *mt)
{
	CHECK(atomic_load(&mt->ntombs) == tombs_n);
	for (uint32_t store = 0; store < NSTORES + 3; store++)
	{
		Tomb *at = &tombs[tombs_n];
		int calls = 0;

		tombs[tombs_n].store = store;
		CHECK_OK(flowi_memtable_each_tomb(mt, store, check_tomb, &at));
		while (at > tombs)
			CHECK((--at)->store != store);
		if (flowi_memtable_each_tomb(mt, store, stop_walk, &calls) != FLOW_OK)
			CHECK(calls == 1);
	}
}

/* The highest sequence over a record, whoever may see it. */
static void
check_newest(FlowMemtable *mt, CheckRandom *r)
{
	for (int i = 0; i < 200; i++)
	{
		uint32_t store = (uint32_t) check_below(r, NSTORES + 3);
		uint32_t no = (uint32_t) check_below(r, shape->nkeys + 1);
		int64_t ts = some_ts(r);
		uint64_t seq = 0;
		uint8_t key[4];

		for (size_t k = 0; k < model_n; k++)
			if (model[k].store == store && model[k].key == no &&
				model[k].ts == ts)
				seq = FLOW_MAX(seq, model[k].seq);
		for (size_t k = 0; k < tombs_n; k++)
			if (tombs[k].store == store && tombs[k].lo <= no &&
				(no < tombs[k].hi || tombs[k].hi == 0) &&
				tombs[k].ts_lo <= ts && ts <= tombs[k].ts_hi)
				seq = FLOW_MAX(seq, tombs[k].seq);
		FlowSince q = {.store_id = store,
					   .key = key,
					   .key_bytes = put_key(no, key),
					   .ts = ts};

		q.from = seq;
		CHECK(flowi_memtable_since(mt, &q) == (seq > 0));
		q.from = seq + 1;
		CHECK(!flowi_memtable_since(mt, &q));
	}
}

static void
check_memtable(FlowEnv *env, FlowMemtable *mt, CheckRandom *r)
{
	static Version sorted[MAX_VERSIONS];
	static const Version *order[MAX_VERSIONS];

	memcpy(sorted, model, model_n * sizeof(Version));
	qsort(sorted, model_n, sizeof(Version), version_cmp);
	CHECK(atomic_load(&mt->records) == model_n);
	check_tombs(mt);
	check_newest(mt, r);
	for (uint32_t store = 0; store < NSTORES + 2; store++)
		for (int reverse = 0; reverse < 2; reverse++)
		{
			size_t n = expected_order(sorted, store, reverse, order);
			FlowIter *it;

			CHECK_OK(flowi_memtable_iter(env, mt, store, reverse, &it));
			for (int round = 0; round < 20; round++)
			{
				uint8_t key[4];
				Version target = {
					.store = store,
					.key = (uint32_t) check_below(r, shape->nkeys + 2),
					.ts = some_ts(r)};
				FlowSeek to = {.key = key,
							   .ts = target.ts,
							   .after = check_below(r, 2),
							   .unbounded = round == 0};
				size_t steps = round < 2 ? SIZE_MAX : 60;
				size_t i = 0;
				FlowStatus st;

				to.key_bytes = put_key(target.key, key);
				for (; i < n && !to.unbounded; i++)
				{
					int c = identity_cmp(order[i], &target);

					c = reverse ? -c : c;
					if (c > 0 || (c == 0 && !to.after))
						break;
				}
				for (st = it->seek(it, &to); st == FLOW_OK && steps-- > 0;
					 st = it->next(it))
				{
					CHECK(i < n);
					check_rec(&it->cur, order[i++]);
				}
				CHECK(st == FLOW_OK || (st == FLOW_END && i == n));
			}
			it->free(it);
		}
}

static FlowStatus
count_txn(void *arg, FlowTxn *txn)
{
	CHECK(txn->seq_first > 0 && txn->seq_first == txn->seq_last);
	++*(uint64_t *) arg;
	return FLOW_OK;
}

static void
test_model(FlowEnv *env, CheckRandom *r)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowBatchWriter *bw;
	uint64_t pos = 1;
	uint64_t steps = 0;
	uint64_t seen = 0;
	uint32_t store;

	CHECK(mt != NULL && atomic_load(&mt->first_pos) == UINT64_MAX);
	CHECK_STATUS(flowi_memtable_next_store(mt, 0, &store), FLOW_NOTFOUND);
	CHECK_OK(flowi_batch_writer_create(env, &bw));
	model_n = tombs_n = 0;
	clock_ts = 0;
	check_memtable(env, mt, r);
	for (int batch = 0; batch < 100; batch++)
	{
		const void *rec;
		size_t rec_bytes;
		FlowBatchHeader hdr, bad;
		const uint8_t *payload;
		size_t before = model_n;
		size_t tombs_before = tombs_n;
		uint64_t bytes = atomic_load(&mt->bytes);

		make_batch(r, bw, pos);
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		bad = hdr;
		bad.nops++;
		CHECK_STATUS(flowi_memtable_stage(env, mt, &bad, payload),
					 FLOW_CORRUPT);
		CHECK_OK(flowi_memtable_stage(env, mt, &hdr, payload));
		if (check_below(r, 5) == 0)
		{
			flowi_memtable_unstage(env, mt);
			model_n = before;
			tombs_n = tombs_before;
			CHECK(atomic_load(&mt->bytes) == bytes);
			continue;
		}
		flowi_memtable_link(mt, pos, pos + 100);
		CHECK(atomic_load(&mt->last_end) == pos + 100);
		CHECK(atomic_load(&mt->bytes) > bytes);
		CHECK(mt->staged == NULL && mt->staged_txns == NULL);
		pos += 100;
		steps += hdr.nsteps;
		if (batch % 10 == 0)
			check_memtable(env, mt, r);
	}
	check_memtable(env, mt, r);
	CHECK_OK(flowi_memtable_each_txn(mt, count_txn, &seen));
	CHECK(seen == steps);
	/* the last one has range tombstones only */
	for (uint32_t from = 1; from <= shape->nstores + 1; from++)
	{
		CHECK_OK(flowi_memtable_next_store(mt, from, &store));
		CHECK(store == from);
	}
	CHECK_STATUS(flowi_memtable_next_store(mt, shape->nstores + 2, &store),
				 FLOW_NOTFOUND);
	flowi_memtable_ref(mt);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) > 0);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);
	flowi_batch_writer_free(bw);
	printf("ok memtable against the model: %s\n", shape->name);
}

/* No room, or a bad batch: nothing is left behind. */
static void
test_refusals(FlowEnv *env)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowBatchWriter *bw;
	uint8_t *value = calloc(1, 100000);
	const void *rec;
	size_t rec_bytes;
	FlowBatchHeader hdr;
	const uint8_t *payload;
	uint64_t pos = 1;
	FlowStatus st;
	uint64_t used;

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	for (uint8_t i = 0; i < 20; i++)
		CHECK_OK(flowi_batch_add(bw, FLOW_PUT, 1, &i, 1, 0, 0, value, 100000));
	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	for (;;)
	{
		used = write_used(env);
		st = flowi_memtable_stage(env, mt, &hdr, payload);
		if (st != FLOW_OK)
			break;
		flowi_memtable_link(mt, pos, pos + 24);
		pos += 24;
	}
	CHECK(st == FLOW_BUSY && pos > 24);
	CHECK(write_used(env) == used && mt->staged_txns == NULL);
	CHECK(atomic_load(&mt->records) == (pos - 1) / 24 * 20);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);

	mt = flowi_memtable_create(env);
	used = write_used(env);
	hdr.nops++;
	CHECK_STATUS(flowi_memtable_stage(env, mt, &hdr, payload), FLOW_CORRUPT);
	CHECK(write_used(env) == used && mt->staged_txns == NULL);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);
	flowi_batch_writer_free(bw);
	free(value);
	check_passed("memtable refusals");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(16u << 20, &env));
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		shape = &shapes[i];
		test_model(env, &r);
	}
	test_refusals(env);
	flow_env_posix_free(env);
	return 0;
}
