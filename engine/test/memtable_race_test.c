/*-------------------------------------------------------------------------
 * memtable_race_test.c
 *	  A memtable that one thread writes and others read: in both directions,
 *	  from anywhere, single rows.  What a reader may see is I35.
 *
 * Batch i appends RUN rows to each series that is there, at times 10 apart,
 * and then writes late ones: between those of the run, or further versions of
 * them.  Before these it has a range tombstone.  A value tells who wrote it.  Some batches are staged and given up
 * first, with other series and chunks; nobody may see a row of those.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "../env_posix.h"
#include "../memtable.h"

#define STORE 7
#define ROUNDS 400
#define FIRST_SERIES 12
#define NEW_EACH 8 /* rounds until there is one more series */
#define MAX_SERIES (FIRST_SERIES + ROUNDS / NEW_EACH)
#define RUN 4
#define LATE 3 /* of a batch and series, at most */
#define STEP 10
#define NREADERS 3

typedef struct Value
{
	int64_t ts;
	uint64_t seq;
	uint32_t series;
	uint32_t kind; /* of Kind */
} Value;

enum Kind
{
	OF_RUN = 1,
	IS_LATE,
	GIVEN_UP
};

typedef struct Race
{
	FlowEnv *env;
	FlowMemtable *mt;
	_Atomic bool done;
	_Atomic uint64_t walks;
	/* [i]: rows of the batches before i; written before batch i is linked */
	uint64_t rows_before[ROUNDS + 1];
} Race;

static uint64_t
seq_of(uint64_t round)
{
	return 1 + round * 100;
}

static uint32_t
series_at(uint64_t round)
{
	return FIRST_SERIES + (uint32_t) (round / NEW_EACH);
}

/* The round that series no is first written in. */
static uint64_t
birth(uint32_t no)
{
	return no < FIRST_SERIES ? 0
							 : (uint64_t) (no - FIRST_SERIES + 1) * NEW_EACH;
}

/* Those that come later are anywhere in the order. */
static uint32_t
put_key(uint32_t no, uint8_t key[8])
{
	uint64_t x = (no + 1) * UINT64_C(0x9e3779b97f4a7c15);

	memcpy(key, &x, 8);
	return 8;
}

static int64_t
run_ts(uint64_t round, uint32_t i)
{
	return (int64_t) (round * RUN + i) * STEP;
}

/* The batch's range tombstone; key has room for 8 bytes. */
static FlowRect
rect_of(uint64_t round, uint8_t *key)
{
	return (FlowRect){.key_lo = key,
					  .key_lo_bytes = put_key((uint32_t) round, key),
					  .ts_lo = (int64_t) round,
					  .ts_hi = (int64_t) round + 7};
}

/* --------------------------------------------------------------- the writer */

typedef struct Item
{
	uint8_t key[8];
	Value value;
} Item;

static int
cmp_items(const void *a, const void *b)
{
	const Item *x = a, *y = b;
	int c = memcmp(x->key, y->key, 8);

	return c ? c : (x->value.ts > y->value.ts) - (x->value.ts < y->value.ts);
}

static void
add_items(FlowBatchWriter *bw, Item *items, uint32_t n, uint64_t *rowsp)
{
	qsort(items, n, sizeof(*items), cmp_items);
	for (uint32_t i = 0; i < n; i++)
	{
		const Value *v = &items[i].value;

		if (i > 0 && cmp_items(&items[i - 1], &items[i]) == 0)
			continue;
		CHECK_OK(flowi_batch_add(bw, FLOW_PUT, STORE, items[i].key, 8, v->ts,
								 v->ts % 3 ? FLOW_NEVER : v->ts,
								 (const uint8_t *) v, sizeof(*v)));
		++*rowsp;
	}
}

static uint64_t
make_batch(CheckRandom *r, FlowBatchWriter *bw, uint64_t round, bool give_up)
{
	static Item items[(MAX_SERIES + 9) * RUN];
	uint32_t nseries = series_at(round) + (give_up ? 9 : 0);
	uint64_t rows = 0;
	uint32_t n = 0;
	uint8_t key[8];
	FlowRect rect = rect_of(round, key);

	flowi_batch_begin(bw, round % 2 ? round : 0);
	CHECK_OK(flowi_batch_step(bw, give_up ? UINT32_MAX : (uint32_t) round));
	CHECK_OK(flowi_batch_add_tomb(bw, STORE, &rect));
	for (uint32_t s = 0; s < nseries; s++)
		for (uint32_t i = 0; i < RUN; i++, n++)
		{
			put_key(s + (s >= series_at(round) ? 100000 : 0), items[n].key);
			items[n].value = (Value){run_ts(round, i), seq_of(round), s,
									 give_up ? GIVEN_UP : OF_RUN};
		}
	add_items(bw, items, n, &rows);
	CHECK_OK(flowi_batch_step(bw, (uint32_t) round));
	n = 0;
	for (uint32_t s = 0; s < nseries; s++)
		for (uint64_t i = check_below(r, LATE + 1); i > 0; i--, n++)
		{
			int64_t last = run_ts(round, RUN - 1);
			int64_t back =
				(int64_t) check_below(r, check_below(r, 4) ? 6 : 500);
			int64_t ts = last - back * (check_below(r, 2) ? STEP : 7);
			int64_t first = run_ts(birth(s), 0);

			put_key(s + (s >= series_at(round) ? 100000 : 0), items[n].key);
			if (s >= series_at(round))
				first = run_ts(round, 0);
			items[n].value = (Value){FLOW_MAX(ts, first), seq_of(round) + 1, s,
									 give_up ? GIVEN_UP : IS_LATE};
		}
	add_items(bw, items, n, &rows);
	return rows;
}

static void
stage(Race *race, FlowBatchWriter *bw)
{
	const void *rec;
	size_t rec_bytes;
	FlowBatchHeader hdr;
	const uint8_t *payload;

	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	CHECK_OK(flowi_memtable_stage(race->env, race->mt, &hdr, payload));
}

static void *
write_main(void *arg)
{
	Race *race = arg;
	CheckRandom r = {11};
	FlowBatchWriter *bw;

	CHECK_OK(flowi_batch_writer_create(race->env, &bw));
	for (uint64_t i = 0; i < ROUNDS; i++)
	{
		uint64_t rows;

		if (check_below(&r, 3) == 0)
		{
			(void) make_batch(&r, bw, i, true);
			stage(race, bw);
			flowi_memtable_unstage(race->env, race->mt);
		}
		rows = make_batch(&r, bw, i, false);
		stage(race, bw);
		race->rows_before[i + 1] = race->rows_before[i] + rows;
		flowi_memtable_link(race->mt, seq_of(i), seq_of(i) + 50);
	}
	atomic_store(&race->done, true);
	flowi_batch_writer_free(bw);
	return NULL;
}

/* -------------------------------------------------------------- the readers */

/* How many batches are linked, as last_end says. */
static uint64_t
linked(Race *race)
{
	uint64_t end =
		atomic_load_explicit(&race->mt->last_end, memory_order_acquire);

	return (end + 50) / 100;
}

static Value
check_value(const FlowRec *rec)
{
	uint8_t key[8];
	Value v;

	CHECK(rec->value_bytes == sizeof(v) && rec->op == FLOW_PUT);
	memcpy(&v, rec->value, sizeof(v));
	CHECK(v.kind == OF_RUN || v.kind == IS_LATE);
	CHECK(rec->key_bytes == put_key(v.series, key));
	CHECK(memcmp(rec->key, key, 8) == 0);
	CHECK(v.ts == rec->ts && v.seq == rec->seq);
	CHECK(rec->expire_at == (v.ts % 3 ? FLOW_NEVER : v.ts));
	CHECK(rec->txn->seq_first == rec->seq);
	return v;
}

/* What a walk has seen of the series it is in. */
typedef struct Seen
{
	FlowRec last;
	Value last_value;
	int64_t run_low, run_high; /* of the run's times; low > high: none */
	int64_t late_high;
} Seen;

/* The series is over: a late row comes behind rows of the run that were
 * there before it. */
static void
check_series(const Seen *s)
{
	if (s->last.key == NULL)
		return;
	CHECK(s->run_low == run_ts(birth(s->last_value.series), 0));
	CHECK(s->late_high <= s->run_high);
}

static void
check_next(Seen *s, const FlowRec *rec, bool reverse)
{
	Value v = check_value(rec);
	bool same_series =
		s->last.key != NULL && memcmp(s->last.key, rec->key, 8) == 0;
	bool same = same_series && s->last.ts == rec->ts;
	int c =
		s->last.key == NULL
			? 1
			: flowi_identity_cmp(rec->key, rec->key_bytes, rec->ts, s->last.key,
								 s->last.key_bytes, s->last.ts);

	if (s->last.key != NULL && reverse)
		c = -c;
	CHECK(c > 0 || (c == 0 && rec->seq < s->last.seq));
	/* the run's version is the oldest of its time, and is there */
	if (s->last.key != NULL && !same && s->last.ts % STEP == 0)
		CHECK(s->last_value.kind == OF_RUN);
	if (!same_series)
	{
		check_series(s);
		s->run_low = INT64_MAX;
		s->run_high = s->late_high = INT64_MIN;
	}
	if (v.kind == IS_LATE)
		s->late_high = FLOW_MAX(s->late_high, v.ts);
	else if (s->run_low > s->run_high)
		s->run_low = s->run_high = v.ts;
	else if (reverse) /* no gaps */
		CHECK((s->run_low -= STEP) == v.ts);
	else
		CHECK((s->run_high += STEP) == v.ts);
	s->last = *rec;
	s->last_value = v;
}

/* One whole walk: order, a prefix of each run, all that was linked before. */
static void
walk(Race *race, FlowIter *it, bool reverse)
{
	uint64_t before = linked(race);
	uint64_t n = 0;
	FlowSeek all = {.unbounded = true};
	Seen seen = {.last.key = NULL};
	FlowStatus st;

	for (st = it->seek(it, &all); st == FLOW_OK; st = it->next(it))
	{
		check_next(&seen, &it->cur, reverse);
		if (before > 0 && it->cur.seq < seq_of(before))
			n++;
	}
	CHECK(st == FLOW_END);
	check_series(&seen);
	CHECK(n == race->rows_before[before]);
}

typedef struct TombWalk
{
	uint64_t n;
	uint64_t last_seq;
} TombWalk;

static FlowStatus
see_tomb(void *arg, const FlowTomb *tomb)
{
	TombWalk *seen = arg;
	uint64_t round = tomb->txn->cid;
	uint8_t key[8];
	FlowRect rect = rect_of(round, key);

	CHECK(tomb->seq < seen->last_seq && tomb->seq == seq_of(round));
	CHECK(tomb->rect.key_hi == NULL && tomb->rect.key_lo_bytes == 8);
	CHECK(memcmp(tomb->rect.key_lo, key, 8) == 0);
	CHECK(tomb->rect.ts_lo == rect.ts_lo && tomb->rect.ts_hi == rect.ts_hi);
	seen->last_seq = tomb->seq;
	seen->n++;
	return FLOW_OK;
}

/* Those that were counted are there, whole, the newest first. */
static void
walk_tombs(Race *race)
{
	uint64_t before =
		atomic_load_explicit(&race->mt->ntombs, memory_order_acquire);
	TombWalk seen = {0, UINT64_MAX};

	CHECK_OK(flowi_memtable_each_tomb(race->mt, STORE, see_tomb, &seen));
	CHECK(seen.n >= before);
}

static FlowStatus
count_txn(void *arg, FlowTxn *txn)
{
	CHECK(txn->seq_first > 0 && txn->cid < ROUNDS);
	++*(uint64_t *) arg;
	return FLOW_OK;
}

/* Two steps a batch. */
static void
walk_txns(Race *race)
{
	uint64_t before = linked(race);
	uint64_t n = 0;

	CHECK_OK(flowi_memtable_each_txn(race->mt, count_txn, &n));
	CHECK(n >= 2 * before && n % 2 == 0);
}

/* From random places on, near what is written now every other time; a few
 * steps. */
static void
seek(Race *race, FlowIter *it, bool reverse, CheckRandom *r)
{
	uint8_t key[8];
	FlowSeek to = {.key = key,
				   .ts = (int64_t) check_below(r, ROUNDS * RUN * STEP),
				   .after = check_below(r, 2)};
	int steps = 0;
	FlowStatus st;

	if (check_below(r, 2))
		to.ts = run_ts(linked(race), (uint32_t) check_below(r, 3 * RUN)) - 1;
	to.key_bytes = put_key((uint32_t) check_below(r, MAX_SERIES + 5), key);
	for (st = it->seek(it, &to); st == FLOW_OK && steps < 20;
		 st = it->next(it), steps++)
	{
		int c = flowi_identity_cmp(it->cur.key, it->cur.key_bytes, it->cur.ts,
								   key, to.key_bytes, to.ts);

		(void) check_value(&it->cur);
		CHECK(reverse ? c <= -(int) to.after : c >= (int) to.after);
	}
}

/* A row that is linked is found, by each way to find one. */
static void
find(Race *race, FlowIter *it, CheckRandom *r)
{
	uint64_t before = linked(race);
	uint64_t round;
	uint8_t key[8];
	FlowSeek to = {.key = key};
	FlowSince q = {.store_id = STORE, .key = key, .no_tombs = true};

	if (before == 0)
		return;
	round = check_below(r, before);
	to.key_bytes = q.key_bytes =
		put_key((uint32_t) check_below(r, series_at(round)), key);
	to.ts = q.ts = run_ts(round, (uint32_t) check_below(r, RUN));
	CHECK_OK(it->seek(it, &to));
	CHECK(it->cur.ts == to.ts && memcmp(it->cur.key, key, 8) == 0);
	q.from = seq_of(round);
	CHECK(flowi_memtable_since(race->mt, &q));
	q.ts += STEP * ROUNDS * RUN;
	CHECK(!flowi_memtable_since(race->mt, &q));
}

static void *
read_main(void *arg)
{
	Race *race = arg;
	CheckRandom r = {(uintptr_t) &r};
	bool done;

	do
	{
		bool reverse = check_below(&r, 2);
		FlowIter *it;
		uint32_t store;

		done = atomic_load(&race->done);
		CHECK_OK(flowi_memtable_iter(race->env, race->mt, STORE, reverse, &it));
		walk(race, it, reverse);
		walk_tombs(race);
		walk_txns(race);
		for (int i = 0; i < 300; i++)
		{
			seek(race, it, reverse, &r);
			find(race, it, &r);
		}
		it->free(it);
		if (flowi_memtable_next_store(race->mt, 0, &store) == FLOW_OK)
			CHECK(store == STORE);
		atomic_fetch_add(&race->walks, 1);
	} while (!done);
	return NULL;
}

int
main(int argc, char **argv)
{
	int times = argc > 2 ? atoi(argv[2]) : 3;
	FlowEnv *env;

	(void) check_seed(argc, argv);
	CHECK_OK(flow_env_posix_create(64u << 20, &env));
	while (times-- > 0)
	{
		Race *race = calloc(1, sizeof(*race));
		pthread_t threads[1 + NREADERS];

		race->env = env;
		race->mt = flowi_memtable_create(env);
		for (int i = 0; i <= NREADERS; i++)
			CHECK(pthread_create(&threads[i], NULL, i ? read_main : write_main,
								 race) == 0);
		for (int i = 0; i <= NREADERS; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		CHECK(atomic_load(&race->walks) >= NREADERS);
		CHECK(atomic_load(&race->mt->records) == race->rows_before[ROUNDS]);
		CHECK(atomic_load(&race->mt->ntombs) == ROUNDS);
		flowi_memtable_unref(env, race->mt);
		free(race);
	}
	flow_env_posix_free(env);
	check_passed("memtable: readers of what is being written");
	return 0;
}
