/*-------------------------------------------------------------------------
 * tomb_test.c
 *	  The set of range tombstones against a plain list, and what it costs
 *	  however many there are and however they overlap.
 *-------------------------------------------------------------------------
 */
#include "bench.h"
#include "check.h"

#include <string.h>

#include "../env_posix.h"
#include "../tomb.h"

#define MAX_TOMBS 200
#define NKEYS 40

typedef struct Model
{
	FlowTomb tomb[MAX_TOMBS];
	uint8_t keys[MAX_TOMBS][2][4];
	uint32_t n;
} Model;

/* Keys of different lengths in some order; number 0 is the empty one. */
static uint32_t
make_key(uint32_t no, uint8_t *key)
{
	key[0] = (uint8_t) (no / 4 * 9);
	key[1] = 0;
	key[2] = (uint8_t) no;
	return no == 0 ? 0 : 1 + no % 3;
}

static int64_t
random_time(CheckRandom *r)
{
	switch (check_below(r, 6))
	{
		case 0:
			return INT64_MIN;
		case 1:
			return INT64_MAX;
		default:
			return (int64_t) check_below(r, 12) - 6;
	}
}

static void
add_random(Model *m, FlowTombSet *set, CheckRandom *r)
{
	FlowTomb *t = &m->tomb[m->n];
	uint8_t(*key)[4] = m->keys[m->n];

	m->n++;
	*t = (FlowTomb){.seq = 1 + check_below(r, 300)};
	t->rect.key_lo = key[0];
	t->rect.key_lo_bytes = make_key((uint32_t) check_below(r, NKEYS), key[0]);
	if (check_below(r, 5) > 0)
	{
		t->rect.key_hi = key[1];
		t->rect.key_hi_bytes =
			make_key((uint32_t) check_below(r, NKEYS), key[1]);
	}
	t->rect.ts_lo = check_below(r, 2) ? INT64_MIN : random_time(r);
	t->rect.ts_hi = check_below(r, 2) ? INT64_MAX : random_time(r);
	CHECK_OK(flowi_tombs_add(set, t));
}

static uint64_t
model_newest(const Model *m, const uint8_t *key, uint32_t key_bytes, int64_t ts)
{
	uint64_t newest = 0;

	for (uint32_t i = 0; i < m->n; i++)
	{
		const FlowTomb *t = &m->tomb[i];

		if (t->rect.ts_lo <= ts && ts <= t->rect.ts_hi && t->seq > newest &&
			flowi_rect_has_key(&t->rect, key, key_bytes))
			newest = t->seq;
	}
	return newest;
}

static void
check_one(const Model *m, FlowTombSet *set, uint32_t no, int64_t ts)
{
	uint8_t key[4];
	uint32_t key_bytes = make_key(no, key);
	uint64_t want = model_newest(m, key, key_bytes, ts);
	uint64_t seq;
	FlowRect all;

	CHECK_OK(flowi_tombs_newest(set, key, key_bytes, ts, &seq));
	CHECK(seq == want);
	if (flowi_tombs_empty(set))
		return;
	/* the answer holds for all that extent names */
	all = flowi_tombs_extent(set);
	CHECK(all.ts_lo <= ts && ts <= all.ts_hi);
	CHECK(flowi_rect_has_key(&all, key, key_bytes));
	for (uint32_t i = 0; i < NKEYS; i++)
	{
		int64_t other = i % 2 ? all.ts_lo : all.ts_hi;

		key_bytes = make_key(i, key);
		if (flowi_rect_has_key(&all, key, key_bytes))
			CHECK(model_newest(m, key, key_bytes, other) == want);
	}
}

static void
test_random(FlowEnv *env, CheckRandom *r)
{
	static Model m;
	FlowTombSet set;

	flowi_tombs_init(&set, env);
	for (int round = 0; round < 400; round++)
	{
		uint32_t n = (uint32_t) check_below(
			r, check_below(r, 3) ? 12 : MAX_TOMBS - NKEYS);

		m.n = 0;
		flowi_tombs_reset(&set);
		while (m.n < n)
			add_random(&m, &set, r);
		CHECK(set.n <= n);
		for (uint32_t i = 0; i < NKEYS; i++)
			for (int64_t ts = -7; ts < 7; ts++)
				check_one(&m, &set, round % 2 ? i : NKEYS - 1 - i, ts);
		for (uint32_t i = 0; i < 300; i++)
			check_one(&m, &set, (uint32_t) check_below(r, NKEYS),
					  random_time(r));
		/* more of them after a question */
		while (m.n < n + NKEYS / 2)
		{
			add_random(&m, &set, r);
			check_one(&m, &set, (uint32_t) check_below(r, NKEYS),
					  random_time(r));
		}
		if (round % 50 == 0)
			flowi_tombs_free(&set);
	}
	flowi_tombs_free(&set);
	check_passed("newest and extent, against a list");
}

/* An answer or NOMEM, whatever allocation fails. */
static uint64_t allocs_left;
static void *(*real_realloc)(FlowEnv *env, void *p, size_t size);

static void *
failing_realloc(FlowEnv *env, void *p, size_t size)
{
	if (allocs_left == 0)
		return NULL;
	allocs_left--;
	return real_realloc(env, p, size);
}

static void
test_nomem(FlowEnv *env, CheckRandom *r)
{
	static Model m;
	uint64_t fails = 0;

	real_realloc = env->realloc;
	env->realloc = failing_realloc;
	for (int round = 0; round < 30; round++)
	{
		FlowTombSet set;
		uint64_t seq;

		flowi_tombs_init(&set, env);
		allocs_left = UINT64_MAX;
		for (m.n = 0; m.n < 50;)
			add_random(&m, &set, r);
		allocs_left = (uint64_t) round;
		if (flowi_tombs_newest(&set, NULL, 0, 0, &seq) != FLOW_OK)
		{
			CHECK(flow_last_error()->status == FLOW_NOMEM);
			fails++;
		}
		allocs_left = UINT64_MAX;
		for (uint32_t i = 0; i < NKEYS; i++)
			check_one(&m, &set, i, random_time(r));
		flowi_tombs_free(&set);
	}
	CHECK(fails > 2 && fails < 30);
	env->realloc = real_realloc;
	check_passed("out of memory");
}

/* ------------------------------------------------------------------- cost */

#define MANY 20000
#define ROWS 100000

typedef enum Shape
{
	DISJOINT,	 /* one key each */
	STAIRS,		 /* each to the end of the keys, from another key on */
	STAIRS_DOWN, /* each from the begin of the keys */
	NESTED,
	SLICES,	   /* of time, all keys */
	TWO_WAYS,  /* a range of keys and a slice of time */
	LOOKALIKE, /* all the same */
	SHAPES
} Shape;

static void
key_of(uint32_t no, uint8_t key[4])
{
	for (int i = 0; i < 4; i++)
		key[i] = (uint8_t) (no >> (24 - 8 * i));
}

static FlowTomb
shaped(Shape shape, uint32_t i, uint8_t lo[4], uint8_t hi[4])
{
	FlowTomb t = {.seq = 1 + (i * UINT64_C(7919)) % MANY};
	uint32_t from = i * 5;
	uint32_t to = i * 5 + 1;

	t.rect = (FlowRect){lo, hi, 4, 4, INT64_MIN, INT64_MAX};
	if (shape == STAIRS)
		t.rect.key_hi = NULL;
	else if (shape == STAIRS_DOWN)
		from = 0;
	else if (shape == NESTED)
	{
		from = i * 2;
		to = 5 * MANY - i * 2;
	}
	else if (shape == SLICES || shape == TWO_WAYS)
	{
		t.rect.ts_lo = i * INT64_C(5);
		t.rect.ts_hi = i * INT64_C(5) + 2;
		from = shape == SLICES ? 0 : i;
		to = shape == SLICES ? 5 * MANY : from + 2 * MANY;
	}
	else if (shape == LOOKALIKE)
	{
		from = 0;
		to = 5 * MANY;
	}
	key_of(from, lo);
	key_of(to, hi);
	return t;
}

/* Rows up, down and anywhere, at rising and at random times. */
static void
test_cost(FlowEnv *env, CheckRandom *r, Shape shape)
{
	FlowTombSet set;
	uint8_t lo[4], hi[4];
	uint64_t hidden = 0;
	double began = bench_wall_ns();
	double arranged = 0;

	flowi_tombs_init(&set, env);
	for (uint32_t i = 0; i < MANY; i++)
	{
		FlowTomb t = shaped(shape, i, lo, hi);

		CHECK_OK(flowi_tombs_add(&set, &t));
	}
	for (int way = 0; way < 3; way++)
		for (uint32_t i = 0; i < ROWS; i++)
		{
			uint32_t no = way == 0 ? i : ROWS - 1 - i;
			int64_t ts = (int64_t) (way == 0 ? i : check_below(r, ROWS));
			uint64_t seq;

			if (way == 2)
				no = (uint32_t) check_below(r, ROWS);
			key_of(no, lo);
			CHECK_OK(flowi_tombs_newest(&set, lo, 4, ts, &seq));
			hidden += seq > 0;
			if (way + i == 0)
				arranged = bench_wall_ns() - began;
		}
	printf("# shape %d: arranged in %.0f ms, %.0f ns a row, %" PRIu64
		   " covered\n",
		   shape, arranged / 1e6,
		   (bench_wall_ns() - began - arranged) / (3 * ROWS), hidden);
	CHECK(hidden > 0);
	/* quadratic would be minutes */
	CHECK(bench_wall_ns() - began < 10e9);
	flowi_tombs_free(&set);
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create((size_t) 16 << 20, &env));
	test_random(env, &r);
	test_nomem(env, &r);
	for (int shape = 0; shape < SHAPES; shape++)
		test_cost(env, &r, (Shape) shape);
	check_passed("many tombstones of many shapes");
	flow_env_posix_free(env);
	return 0;
}
