/*-------------------------------------------------------------------------
 * memtable_test.c
 *	  The memtable against a sorted array, both directions, with and without
 *	  a writer at work; what staging leaves behind.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
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

		*m = (Tomb){.store = 1 + (uint32_t) check_below(r, NSTORES + 1),
					.lo = (uint32_t) check_below(r, 30),
					.hi = (uint32_t) check_below(r, 30),
					.ts_lo = (int64_t) check_below(r, 8) - 4,
					.ts_hi = (int64_t) check_below(r, 8) - 4,
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
			model[model_n++] =
				(Version){.store = 1 + (uint32_t) check_below(r, NSTORES),
						  .key = (uint32_t) check_below(r, 30),
						  .ts = (int64_t) check_below(r, 8) - 4,
						  .seq = start + step,
						  .xid = xid,
						  .cid = cid,
						  .op = check_below(r, 4) ? FLOW_PUT : FLOW_DELETE,
						  .expire_at = (int64_t) check_random(r),
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
		uint32_t no = (uint32_t) check_below(r, 31);
		int64_t ts = (int64_t) check_below(r, 9) - 4;
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
				Version target = {.store = store,
								  .key = (uint32_t) check_below(r, 32),
								  .ts = (int64_t) check_below(r, 10) - 5};
				FlowSeek to = {.key = key,
							   .ts = target.ts,
							   .after = check_below(r, 2),
							   .unbounded = round == 0};
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
				for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
				{
					CHECK(i < n);
					check_rec(&it->cur, order[i++]);
				}
				CHECK(st == FLOW_END && i == n);
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
	check_memtable(env, mt, r);
	for (int batch = 0; batch < 100; batch++)
	{
		const void *rec;
		size_t rec_bytes;
		FlowBatchHeader hdr;
		const uint8_t *payload;
		size_t before = model_n;
		size_t tombs_before = tombs_n;
		uint64_t bytes = atomic_load(&mt->bytes);

		make_batch(r, bw, pos);
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		CHECK_OK(flowi_memtable_stage(env, mt, &hdr, payload));
		if (check_below(r, 5) == 0)
		{
			flowi_memtable_unstage(env, mt);
			model_n = before;
			tombs_n = tombs_before;
			CHECK(atomic_load(&mt->bytes) == bytes);
			continue;
		}
		flowi_memtable_link(mt, pos, pos + 100, NULL);
		CHECK(atomic_load(&mt->last_end) == pos + 100);
		CHECK(atomic_load(&mt->bytes) > bytes);
		pos += 100;
		steps += hdr.nsteps;
		if (batch % 10 == 0)
			check_memtable(env, mt, r);
	}
	check_memtable(env, mt, r);
	CHECK_OK(flowi_memtable_each_txn(mt, count_txn, &seen));
	CHECK(seen == steps);
	/* the last one has range tombstones only */
	for (uint32_t from = 1; from <= NSTORES + 1; from++)
	{
		CHECK_OK(flowi_memtable_next_store(mt, from, &store));
		CHECK(store == from);
	}
	CHECK_STATUS(flowi_memtable_next_store(mt, NSTORES + 2, &store),
				 FLOW_NOTFOUND);
	flowi_memtable_ref(mt);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) > 0);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);
	flowi_batch_writer_free(bw);
	check_passed("memtable against the model");
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
		flowi_memtable_link(mt, pos, pos + 24, NULL);
		pos += 24;
	}
	CHECK(st == FLOW_BUSY && pos > 24);
	CHECK(write_used(env) == used && mt->staged == NULL);
	CHECK(atomic_load(&mt->records) == (pos - 1) / 24 * 20);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);

	mt = flowi_memtable_create(env);
	used = write_used(env);
	hdr.nops++;
	CHECK_STATUS(flowi_memtable_stage(env, mt, &hdr, payload), FLOW_CORRUPT);
	CHECK(write_used(env) == used && mt->staged == NULL);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);
	flowi_batch_writer_free(bw);
	free(value);
	check_passed("memtable refusals");
}

/* ------------------------------------ writers that found their place before */

#define AIMERS 8
#define AIMED 4000

/* A writer between aim and link. */
typedef struct Aimer
{
	FlowBatchWriter *bw;
	FlowBatchHeader hdr;
	const uint8_t *payload;
	FlowMemTrail *trail;
	FlowMemAim aim;
	bool ready;
} Aimer;

static void
take_aim(FlowEnv *env, FlowMemtable *mt, Aimer *a, int64_t now, CheckRandom *r)
{
	uint8_t key = (uint8_t) check_below(r, 40);
	int64_t ts = now - (int64_t) check_below(r, 50);
	const void *rec;
	size_t rec_bytes;

	flowi_batch_begin(a->bw, 7);
	CHECK_OK(flowi_batch_step(a->bw, 0));
	CHECK_OK(flowi_batch_add(a->bw, FLOW_PUT, 1 + check_below(r, 2), &key, 1,
							 ts, FLOW_NEVER, &key, 1));
	CHECK_OK(flowi_batch_finish(a->bw, &rec, &rec_bytes, &a->hdr, &a->payload));
	memset(&a->aim, 0xff, sizeof(a->aim)); /* what is not set is not used */
	flowi_memtable_aim(env, mt, &a->hdr, a->payload, &a->trail, &a->aim);
	CHECK(a->aim.mt == mt);
	a->ready = true;
}

/* Each row of the store is where the order wants it, and is found there. */
static uint64_t
check_aimed(FlowEnv *env, FlowMemtable *mt, uint32_t store)
{
	FlowIter *all;
	FlowIter *one;
	FlowRec last = {0};
	uint64_t n = 0;
	FlowStatus st;

	CHECK_OK(flowi_memtable_iter(env, mt, store, false, &all));
	CHECK_OK(flowi_memtable_iter(env, mt, store, false, &one));
	for (st = all->seek(all, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
		 st = all->next(all))
	{
		const FlowRec *cur = &all->cur;
		int c = n == 0 ? -1
					   : flowi_identity_cmp(last.key, last.key_bytes, last.ts,
											cur->key, cur->key_bytes, cur->ts);

		CHECK(c < 0 || (c == 0 && last.seq > cur->seq));
		if (c < 0)
		{
			CHECK_OK(one->seek(one, &(FlowSeek){.key = cur->key,
												.key_bytes = cur->key_bytes,
												.ts = cur->ts}));
			CHECK(one->cur.seq == cur->seq && one->cur.key == cur->key);
		}
		last = *cur;
		n++;
	}
	CHECK(st == FLOW_END);
	one->free(one);
	all->free(all);
	return n;
}

/* Rows are linked in any order, others in between, some with a new place to
 * look from; an aim at another memtable is none. */
static void
test_aims(FlowEnv *env, CheckRandom *r)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowMemtable *other = flowi_memtable_create(env);
	Aimer aimers[AIMERS] = {0};
	uint64_t linked = 0;

	atomic_store(&mt->first_pos, 100);
	atomic_store(&other->first_pos, 200);
	for (int i = 0; i < AIMERS; i++)
		CHECK_OK(flowi_batch_writer_create(env, &aimers[i].bw));
	while (linked < AIMED)
	{
		Aimer *a = &aimers[check_below(r, AIMERS)];

		if (!a->ready || check_below(r, 4) == 0)
		{
			take_aim(env, mt, a, (int64_t) linked / 20, r);
			continue;
		}
		if (check_below(r, 20) == 0)
			flowi_memtable_aim(env, other, &a->hdr, a->payload, &a->trail,
							   &a->aim);
		CHECK_OK(flowi_memtable_stage(env, mt, &a->hdr, a->payload));
		linked++;
		flowi_memtable_link(mt, 100 * linked, 100 * linked + 50, &a->aim);
		a->ready = false;
	}
	CHECK(check_aimed(env, mt, 1) + check_aimed(env, mt, 2) == AIMED);
	for (int i = 0; i < AIMERS; i++)
	{
		flowi_batch_writer_free(aimers[i].bw);
		flowi_memtrail_free(env, aimers[i].trail);
	}
	flowi_memtable_unref(env, other);
	flowi_memtable_unref(env, mt);
	CHECK(write_used(env) == 0);
	check_passed("memtable: places found before others linked");
}

static void
aim_at(FlowEnv *env, FlowMemtable *mt, Aimer *a, uint8_t key, int64_t ts)
{
	const void *rec;
	size_t rec_bytes;

	flowi_batch_begin(a->bw, 7);
	CHECK_OK(flowi_batch_step(a->bw, 0));
	CHECK_OK(
		flowi_batch_add(a->bw, FLOW_PUT, 1, &key, 1, ts, FLOW_NEVER, &key, 1));
	CHECK_OK(flowi_batch_finish(a->bw, &rec, &rec_bytes, &a->hdr, &a->payload));
	memset(&a->aim, 0xff, sizeof(a->aim));
	flowi_memtable_aim(env, mt, &a->hdr, a->payload, &a->trail, &a->aim);
	CHECK(a->aim.mt == mt);
}

static void
link_at(FlowEnv *env, FlowMemtable *mt, Aimer *a, uint8_t key, int64_t ts,
		uint64_t seq)
{
	aim_at(env, mt, a, key, ts);
	CHECK_OK(flowi_memtable_stage(env, mt, &a->hdr, a->payload));
	flowi_memtable_link(mt, seq, seq + 50, &a->aim);
}

/* Was the place found from the key's last row? */
static bool
is_near(FlowEnv *env, FlowMemtable *mt, Aimer *a, uint8_t key, int64_t ts)
{
	aim_at(env, mt, a, key, ts);
	CHECK(a->aim.levels == FLOW_TRAIL_LEVELS ||
		  a->aim.levels == FLOW_SKIP_HEIGHT);
	return a->aim.levels == FLOW_TRAIL_LEVELS;
}

/* What a handle remembers leads to rows behind it that are not far, in the
 * memtable that it was remembered of. */
static void
test_trail(FlowEnv *env)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowMemtable *other = flowi_memtable_create(env);
	Aimer mine = {0};
	Aimer others = {0};

	CHECK_OK(flowi_batch_writer_create(env, &mine.bw));
	CHECK_OK(flowi_batch_writer_create(env, &others.bw));
	atomic_store(&mt->first_pos, 100);
	atomic_store(&other->first_pos, 100);
	link_at(env, mt, &others, 1, 0, 100);
	for (uint64_t i = 1; i <= FLOW_TRAIL_LEVELS; i++)
		link_at(env, mt, &mine, 5, (int64_t) i, 100 + 100 * i);
	CHECK(!is_near(env, mt, &mine, 5, 1) && !is_near(env, mt, &mine, 5, 3));
	CHECK(!is_near(env, mt, &mine, 6, 4));
	CHECK(is_near(env, mt, &mine, 5, 4));

	/* others of another key stand behind it, and more than a few before it */
	for (uint64_t i = 0; i < 100; i++)
		link_at(env, mt, &others, 5, 10 + (int64_t) i, 1000 + 100 * i);
	CHECK(!is_near(env, mt, &mine, 5, 1000));
	CHECK(is_near(env, mt, &others, 5, 1000));
	CHECK(is_near(env, mt, &others, 5, INT64_MAX));

	/* another memtable, even of the same position; or at the same address */
	CHECK(!is_near(env, other, &others, 5, 1000));
	CHECK(check_aimed(env, mt, 1) == 101 + FLOW_TRAIL_LEVELS);
	flowi_memtable_unref(env, other);
	flowi_memtable_unref(env, mt);
	for (uint64_t i = 0; i < 4; i++)
	{
		mt = flowi_memtable_create(env);
		if (i == 2)
			atomic_store(&mt->first_pos, 12345);
		link_at(env, mt, &mine, 5, (int64_t) i, 20000 + 100 * i);
		CHECK(check_aimed(env, mt, 1) == 1);
		flowi_memtable_unref(env, mt);
	}
	flowi_batch_writer_free(mine.bw);
	flowi_batch_writer_free(others.bw);
	flowi_memtrail_free(env, mine.trail);
	flowi_memtrail_free(env, others.trail);
	CHECK(write_used(env) == 0);
	check_passed("memtable: what is remembered of a key's last row");
}

/* An aim at what is not one row is none. */
static void
test_no_aim(FlowEnv *env)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowRect rect = {(const uint8_t *) "", NULL, 0, 0, 0, 9};
	FlowMemTrail *trail = NULL;
	FlowBatchWriter *bw;
	const void *rec;
	size_t rec_bytes;
	FlowBatchHeader hdr;
	const uint8_t *payload;
	FlowMemAim aim;

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	for (int rows = 0; rows < 3; rows++)
	{
		flowi_batch_begin(bw, 7);
		CHECK_OK(flowi_batch_step(bw, 0));
		if (rows == 0)
			CHECK_OK(flowi_batch_add_tomb(bw, 1, &rect));
		for (uint8_t key = 0; key < rows; key++)
			CHECK_OK(flowi_batch_add(bw, FLOW_PUT, 1, &key, 1, 0, FLOW_NEVER,
									 &key, 1));
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		flowi_memtable_aim(env, mt, &hdr, payload, &trail, &aim);
		CHECK((aim.mt != NULL) == (rows == 1));
	}
	flowi_batch_writer_free(bw);
	flowi_memtrail_free(env, trail);
	flowi_memtable_unref(env, mt);
	check_passed("memtable: no place for what is not one row");
}

/* ------------------------------------------------------ one writer, three readers */

#define HOSTS 50
#define ROUNDS 400

typedef struct Race
{
	FlowEnv *env;
	FlowMemtable *mt;
	_Atomic bool done;
	_Atomic uint64_t rounds_read;
} Race;

/*
 * Round i writes every host once at ts i / 2, in every third round in two
 * steps of half the hosts, value = host.  So each (host, ts) has at most two
 * versions.
 */
static void *
write_race(void *arg)
{
	Race *race = arg;
	FlowBatchWriter *bw;

	CHECK_OK(flowi_batch_writer_create(race->env, &bw));
	for (uint64_t i = 0; i < ROUNDS; i++)
	{
		const void *rec;
		size_t rec_bytes;
		FlowBatchHeader hdr;
		const uint8_t *payload;

		flowi_batch_begin(bw, 1 + i % 2);
		for (uint32_t k = 0; k < HOSTS; k++)
		{
			/* descending halves: the second step goes back */
			uint32_t host = i % 3 ? k : (k + HOSTS / 2) % HOSTS;
			uint8_t key[4];

			if (k == 0 || (i % 3 == 0 && k == HOSTS / 2))
			{
				FlowRect rect = {key, NULL,		   put_key((uint32_t) i, key),
								 0,	  (int64_t) i, (int64_t) i + 7};

				CHECK_OK(flowi_batch_step(bw, (uint32_t) i));
				CHECK_OK(flowi_batch_add_tomb(bw, 7, &rect));
			}
			CHECK_OK(flowi_batch_add(bw, FLOW_PUT, 7, key,
									 put_key(host + 1, key), (int64_t) i / 2,
									 FLOW_NEVER, key, 4));
		}
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		CHECK_OK(flowi_memtable_stage(race->env, race->mt, &hdr, payload));
		flowi_memtable_link(race->mt, 1 + i * 100, 1 + i * 100 + 50, NULL);
	}
	atomic_store(&race->done, true);
	flowi_batch_writer_free(bw);
	return NULL;
}

/* One whole walk: order, completeness of what was linked before it began. */
static void
walk_race(Race *race, FlowIter *it, bool reverse)
{
	uint64_t last_end =
		atomic_load_explicit(&race->mt->last_end, memory_order_acquire);
	uint64_t before = 0;
	FlowSeek all = {.unbounded = true};
	FlowRec last = {0};
	FlowStatus st;

	for (st = it->seek(it, &all); st == FLOW_OK; st = it->next(it))
	{
		const FlowRec *rec = &it->cur;
		int c = last.key == NULL
					? 1
					: flowi_identity_cmp(rec->key, rec->key_bytes, rec->ts,
										 last.key, last.key_bytes, last.ts);

		if (last.key != NULL && reverse)
			c = -c;
		CHECK(c > 0 || (c == 0 && rec->seq < last.seq));
		CHECK(rec->value_bytes == 4 && memcmp(rec->value, rec->key, 4) == 0);
		CHECK(rec->txn->seq_first == rec->seq && rec->txn->xid >= 1);
		CHECK((uint64_t) rec->ts == (rec->seq - 1) / 100 / 2);
		CHECK(rec->txn->cid == (rec->seq - 1) / 100);
		if (rec->seq < last_end)
			before++;
		last = *rec;
	}
	CHECK(st == FLOW_END);
	/* rounds linked before the walk began: each has all its hosts */
	CHECK(before == (last_end == 0 ? 0 : (last_end / 100 + 1) * HOSTS));
}

typedef struct TombWalk
{
	uint64_t n;
	uint64_t last_seq;
} TombWalk;

static FlowStatus
see_tomb(void *arg, const FlowTomb *tomb)
{
	TombWalk *walk = arg;
	uint64_t i = (tomb->seq - 1) / 100;
	uint8_t key[4];

	CHECK(tomb->seq < walk->last_seq && tomb->txn->cid == i);
	CHECK(tomb->rect.key_hi == NULL);
	CHECK(tomb->rect.key_lo_bytes == put_key((uint32_t) i, key));
	CHECK(memcmp(tomb->rect.key_lo, key, tomb->rect.key_lo_bytes) == 0);
	CHECK(tomb->rect.ts_lo == (int64_t) i &&
		  tomb->rect.ts_hi == (int64_t) i + 7);
	walk->last_seq = tomb->seq;
	walk->n++;
	return FLOW_OK;
}

/* Those that were counted are there, whole, the newest first. */
static void
tombs_race(Race *race)
{
	uint64_t linked =
		atomic_load_explicit(&race->mt->ntombs, memory_order_acquire);
	TombWalk walk = {0, UINT64_MAX};

	CHECK_OK(flowi_memtable_each_tomb(race->mt, 7, see_tomb, &walk));
	CHECK(walk.n >= linked);
}

/* From random places on, a few steps. */
static void
seek_race(FlowIter *it, bool reverse, CheckRandom *r)
{
	for (int i = 0; i < 20; i++)
	{
		uint8_t key[4];
		FlowSeek to = {.key = key, .ts = (int64_t) check_below(r, ROUNDS / 2)};
		FlowStatus st;
		int steps = 0;

		to.key_bytes = put_key(1 + (uint32_t) check_below(r, HOSTS), key);
		to.after = check_below(r, 2);
		for (st = it->seek(it, &to); st == FLOW_OK && steps < 5;
			 st = it->next(it), steps++)
		{
			int c = flowi_identity_cmp(it->cur.key, it->cur.key_bytes,
									   it->cur.ts, key, to.key_bytes, to.ts);

			CHECK(reverse ? c <= -(int) to.after : c >= (int) to.after);
		}
	}
}

static void *
read_race(void *arg)
{
	Race *race = arg;
	CheckRandom r = {(uintptr_t) &r};
	bool done;

	do
	{
		bool reverse = check_below(&r, 2);
		FlowIter *it;

		done = atomic_load(&race->done);
		CHECK_OK(flowi_memtable_iter(race->env, race->mt, 7, reverse, &it));
		walk_race(race, it, reverse);
		tombs_race(race);
		seek_race(it, reverse, &r);
		it->free(it);
		atomic_fetch_add(&race->rounds_read, 1);
	} while (!done);
	return NULL;
}

static void
test_race(FlowEnv *env)
{
	Race race = {.env = env, .mt = flowi_memtable_create(env)};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, i ? read_race : write_race,
							 &race) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(atomic_load(&race.rounds_read) >= 3);
	CHECK(atomic_load(&race.mt->records) == HOSTS * ROUNDS);
	CHECK(atomic_load(&race.mt->ntombs) == ROUNDS + (ROUNDS + 2) / 3);
	flowi_memtable_unref(env, race.mt);
	CHECK(write_used(env) == 0);
	check_passed("memtable with readers at work");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(16u << 20, &env));
	test_model(env, &r);
	test_refusals(env);
	test_aims(env, &r);
	test_trail(env);
	test_no_aim(env);
	for (int i = 0; i < 5; i++)
		test_race(env);
	flow_env_posix_free(env);
	return 0;
}
