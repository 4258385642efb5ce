/*-------------------------------------------------------------------------
 * cache_test.c
 *	  The block cache: each rule of its contract, random use against a model,
 *	  threads.  What a piece holds is made of its name, so that every pinned
 *	  piece can be checked at any time.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "../cache.h"
#include "../env_posix.h"

#define SMALL (256u << 10) /* one shard */

static FlowRegion *own_region;
static void *memory;

/* Let env have a region with such a cache. */
static void
use_cache(FlowEnv *env, size_t cache_bytes)
{
	size_t size = cache_bytes + (256u << 10);

	own_region = env->region;
	memory = calloc(1, size);
	CHECK(memory != NULL);
	CHECK_OK(flow_region_init(env, memory, size, 0, cache_bytes, &env->region));
	CHECK(flowi_cache_check(env));
}

static void
drop_cache(FlowEnv *env)
{
	FlowCacheStats stats;

	CHECK(flowi_cache_check(env));
	flowi_cache_stats(env, &stats);
	CHECK(stats.pinned == 0);
	free(memory);
	env->region = own_region;
}

static uint8_t
byte_of(uint64_t space, uint64_t file, uint64_t off, size_t i)
{
	uint64_t h = space * 31 + file * 1000003 + off * 7919 + i / 8;

	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint8_t) (h >> (8 * (i % 7)));
}

static void
fill(const FlowCacheRef *ref, uint64_t space, uint64_t file, uint64_t off)
{
	CHECK((uintptr_t) ref->data % 16 == 0);
	for (size_t i = 0; i < ref->bytes; i++)
		ref->data[i] = byte_of(space, file, off, i);
}

static bool
good(const FlowCacheRef *ref, uint64_t space, uint64_t file, uint64_t off)
{
	for (size_t i = 0; i < ref->bytes; i++)
		if (ref->data[i] != byte_of(space, file, off, i))
			return false;
	return true;
}

/* Put a piece in and keep it pinned; false: there was no room. */
static bool
put_pinned(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off,
		   size_t bytes, FlowCacheRef *ref)
{
	if (!flowi_cache_reserve(env, space, file, off, bytes, ref))
	{
		CHECK(ref->data == NULL && ref->entry == NULL);
		return false;
	}
	CHECK(ref->bytes == bytes);
	fill(ref, space, file, off);
	flowi_cache_publish(env, ref);
	return true;
}

static bool
put(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off, size_t bytes)
{
	FlowCacheRef ref;

	if (!put_pinned(env, space, file, off, bytes, &ref))
		return false;
	flowi_cache_unpin(env, &ref);
	return true;
}

/* Is it there, with the right bytes? */
static bool
has(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off)
{
	FlowCacheRef ref;
	bool found = flowi_cache_get(env, space, file, off, &ref);

	if (found)
	{
		CHECK(good(&ref, space, file, off));
		flowi_cache_unpin(env, &ref);
	}
	CHECK(ref.data == NULL);
	return found;
}

/* ---------------------------------------------------------------- rules */

static void
test_none(FlowEnv *env)
{
	FlowCacheRef ref = {0};
	FlowCacheStats stats;

	use_cache(env, 0);
	CHECK(flowi_region_cache(env) == NULL);
	CHECK(!flowi_cache_get(env, 1, 1, 0, &ref));
	CHECK(!flowi_cache_reserve(env, 1, 1, 0, 10, &ref));
	CHECK(!flowi_cache_again(env, 1, 1, 0, &ref));
	flowi_cache_publish(env, &ref);
	flowi_cache_unpin(env, &ref);
	flowi_cache_forget(env, 1, 1);
	flowi_cache_stats(env, &stats);
	CHECK(stats.capacity == 0 && stats.misses == 0);
	CHECK(flowi_cache_new_space(env) == 1 && flowi_cache_new_space(env) == 2);
	drop_cache(env);
	check_passed("no cache");
}

static void
test_basics(FlowEnv *env)
{
	FlowCacheRef ref, other;
	FlowCacheStats stats;

	use_cache(env, SMALL);
	CHECK(!flowi_cache_get(env, 1, 2, 3, &ref));
	CHECK(ref.data == NULL);
	CHECK(flowi_cache_reserve(env, 1, 2, 3, 1000, &ref));
	fill(&ref, 1, 2, 3);
	CHECK(!flowi_cache_get(env, 1, 2, 3, &other)); /* not filled yet */
	flowi_cache_publish(env, &ref);
	CHECK(flowi_cache_get(env, 1, 2, 3, &other));
	CHECK(other.data == ref.data && other.bytes == 1000);
	CHECK(!flowi_cache_get(env, 1, 2, 4, &(FlowCacheRef){0}));
	CHECK(!flowi_cache_get(env, 1, 3, 3, &(FlowCacheRef){0}));
	CHECK(!flowi_cache_get(env, 2, 2, 3, &(FlowCacheRef){0}));
	flowi_cache_stats(env, &stats);
	CHECK(stats.hits == 1 && stats.misses == 5);
	CHECK(stats.pieces == 1 && stats.bytes == 1000 && stats.pinned == 1);
	flowi_cache_unpin(env, &ref);
	flowi_cache_unpin(env, &ref); /* nothing to give back */
	flowi_cache_unpin(env, &other);
	flowi_cache_stats(env, &stats);
	CHECK(stats.pinned == 0 && stats.pieces == 1);
	CHECK(flowi_cache_again(env, 1, 2, 3, &ref));
	CHECK(ref.bytes == 1000 && good(&ref, 1, 2, 3));
	flowi_cache_unpin(env, &ref);
	flowi_cache_stats(env, &stats);
	CHECK(stats.hits == 2 && stats.misses == 5);
	CHECK(put(env, 1, 2, 4, 0) && has(env, 1, 2, 4)); /* of no bytes */
	drop_cache(env);
	check_passed("cache basics");
}

/* Two put in the same piece: the first is found, the second stays good. */
static void
test_race(FlowEnv *env)
{
	FlowCacheRef a, b, c;
	FlowCacheStats stats;

	use_cache(env, SMALL);
	CHECK(flowi_cache_reserve(env, 1, 1, 1, 500, &a));
	CHECK(put_pinned(env, 1, 1, 1, 500, &b));
	fill(&a, 1, 1, 1);
	flowi_cache_publish(env, &a);
	CHECK(a.data != b.data && good(&a, 1, 1, 1) && good(&b, 1, 1, 1));
	CHECK(flowi_cache_get(env, 1, 1, 1, &c) && c.data == b.data);
	flowi_cache_unpin(env, &c);
	flowi_cache_stats(env, &stats);
	CHECK(stats.pieces == 1 && stats.bytes == 500 && stats.pinned == 2);
	flowi_cache_unpin(env, &a);
	CHECK(!flowi_cache_again(env, 1, 1, 1, &a)); /* it went with its pin */
	CHECK(a.entry == NULL);
	flowi_cache_unpin(env, &b);
	CHECK(flowi_cache_again(env, 1, 1, 1, &b));
	flowi_cache_unpin(env, &b);

	/* what is given up unfilled is nobody's */
	for (int i = 0; i < 5000; i++)
	{
		CHECK(flowi_cache_reserve(env, 7, 7, 7, 3000, &c));
		flowi_cache_unpin(env, &c);
		CHECK(!flowi_cache_again(env, 7, 7, 7, &c));
	}
	CHECK(!has(env, 7, 7, 7));
	drop_cache(env);
	check_passed("two publish one piece");
}

static void
test_sizes(FlowEnv *env)
{
	FlowCacheStats stats;
	FlowCacheRef ref;
	size_t quarter;

	use_cache(env, SMALL);
	flowi_cache_stats(env, &stats);
	CHECK(stats.capacity <= SMALL && stats.capacity > SMALL - SMALL / 20);
	quarter = stats.capacity / 4 / 64 * 64;
	CHECK(!flowi_cache_reserve(env, 1, 1, 1, quarter, &ref)); /* and header */
	CHECK(!flowi_cache_reserve(env, 1, 1, 1, SIZE_MAX, &ref));
	CHECK(!flowi_cache_reserve(env, 1, 1, 1, UINT32_MAX, &ref));
	for (uint64_t i = 0; i < 50; i++)
		CHECK(put(env, 1, 1, i, quarter - 64) && has(env, 1, 1, i));
	drop_cache(env);

	use_cache(env, 8u << 20); /* several shards */
	for (uint64_t i = 0; i < 2000; i++)
		CHECK(put(env, 1, i % 7, i, 10000 + i) && has(env, 1, i % 7, i));
	flowi_cache_stats(env, &stats);
	CHECK(stats.bytes > stats.capacity / 10 * 9);
	drop_cache(env);
	check_passed("sizes of pieces");
}

static void
test_pins(FlowEnv *env)
{
	static FlowCacheRef pinned[1000];
	FlowCacheRef ref;
	uint64_t n = 0;

	use_cache(env, SMALL);
	CHECK(put_pinned(env, 1, 1, 0, 5000, &pinned[0]));
	ref = pinned[0];
	for (uint64_t i = 1; i < 2000; i++)
		CHECK(put(env, 1, 2, i, 1000 + i));
	CHECK(good(&pinned[0], 1, 1, 0) && has(env, 1, 1, 0));
	flowi_cache_unpin(env, &pinned[0]);

	/* all of it is pinned: no room, which is found out in little time */
	while (put_pinned(env, 1, 3, n, 2000, &pinned[n]))
		n++;
	CHECK(n > SMALL / 2200);
	for (int i = 0; i < 1000; i++)
		CHECK(!flowi_cache_reserve(env, 1, 4, 0, 2000, &ref));
	for (uint64_t i = 0; i < n; i++)
		CHECK(good(&pinned[i], 1, 3, i) && has(env, 1, 3, i));
	flowi_cache_unpin(env, &pinned[n / 2]);
	CHECK(put(env, 1, 4, 0, 2000)); /* in its place */
	CHECK(!has(env, 1, 3, n / 2));
	CHECK(!flowi_cache_again(env, 1, 3, n / 2, &pinned[n / 2]));
	CHECK(pinned[n / 2].entry == NULL && pinned[n / 2].bytes == 0);
	for (uint64_t i = 0; i < n; i++)
		flowi_cache_unpin(env, &pinned[i]);
	drop_cache(env);
	check_passed("pinned pieces stay");
}

static void
test_forget(FlowEnv *env)
{
	FlowCacheRef ref;
	FlowCacheStats stats;

	use_cache(env, 8u << 20);
	for (uint64_t i = 0; i < 300; i++)
		CHECK(put(env, 1 + i % 2, i % 3, i, 1000));
	CHECK(flowi_cache_get(env, 1, 0, 6, &ref));
	flowi_cache_forget(env, 1, 0);
	CHECK(flowi_cache_check(env));
	for (uint64_t i = 0; i < 300; i++)
		CHECK(has(env, 1 + i % 2, i % 3, i) == (i % 6 != 0));
	CHECK(good(&ref, 1, 0, 6));
	flowi_cache_stats(env, &stats);
	CHECK(stats.pieces == 250 && stats.bytes == 250000 && stats.pinned == 1);
	flowi_cache_unpin(env, &ref);
	CHECK(!flowi_cache_again(env, 1, 0, 6, &ref));
	CHECK(put(env, 1, 0, 6, 1000) && has(env, 1, 0, 6));
	drop_cache(env);
	check_passed("forget a file");
}

/* Pieces that are asked for stay while others are put in once. */
static void
test_clock(FlowEnv *env)
{
	const uint64_t nhot = 20, size = 4000;
	FlowCacheRef ref;

	use_cache(env, SMALL);
	for (uint64_t i = 0; i < nhot; i++)
		CHECK(put(env, 1, 1, i, size) && has(env, 1, 1, i));
	for (uint64_t i = 0; i < 2000; i++)
	{
		CHECK(put(env, 1, 2, i, size / 2 + i % size));
		if (i % 10 == 0)
			for (uint64_t j = 0; j < nhot; j++)
				CHECK(has(env, 1, 1, j));
	}
	CHECK(!has(env, 1, 2, 1000));

	/* a scan that pauses in its piece does not make it a wanted one */
	CHECK(put_pinned(env, 1, 3, 0, size, &ref));
	flowi_cache_unpin(env, &ref);
	for (int i = 0; i < 3; i++)
	{
		CHECK(flowi_cache_again(env, 1, 3, 0, &ref));
		flowi_cache_unpin(env, &ref);
	}
	for (uint64_t i = 0; i < SMALL / size; i++)
		CHECK(put(env, 1, 4, i, size));
	CHECK(!flowi_cache_again(env, 1, 3, 0, &ref));
	drop_cache(env);
	check_passed("what is asked for stays");
}

/* ---------------------------------------------------------------- model */

#define NAMES 3000
#define HELD 24

typedef struct Held
{
	FlowCacheRef ref;
	uint64_t file, off;
	bool filled;
} Held;

static size_t
size_of(uint64_t file, uint64_t off)
{
	uint64_t h = (file * 131 + off) * UINT64_C(0x9e3779b97f4a7c15) >> 20;

	return h % 8 == 0 ? h % 60000 : h % 8 == 1 ? h % 100 : 3000 + h % 2000;
}

/* One random use of the cache through h. */
static void
use(FlowEnv *env, CheckRandom *r, Held *h)
{
	if (h->ref.data != NULL)
	{
		CHECK(!h->filled || good(&h->ref, 9, h->file, h->off));
		flowi_cache_unpin(env, &h->ref);
		if (!h->filled || check_below(r, 2) == 0 ||
			!flowi_cache_again(env, 9, h->file, h->off, &h->ref))
			return;
		CHECK(h->ref.bytes == size_of(h->file, h->off));
		CHECK(good(&h->ref, 9, h->file, h->off));
		return;
	}
	if (check_below(r, 3) == 0 && h->ref.entry != NULL &&
		flowi_cache_again(env, 9, h->file, h->off, &h->ref))
	{
		CHECK(good(&h->ref, 9, h->file, h->off));
		return;
	}
	h->file = check_below(r, 8);
	h->off = check_below(r, check_below(r, 2) ? NAMES / 8 : 20);
	h->filled = true;
	if (flowi_cache_get(env, 9, h->file, h->off, &h->ref))
	{
		CHECK(h->ref.bytes == size_of(h->file, h->off));
		CHECK(good(&h->ref, 9, h->file, h->off));
	}
	else if (flowi_cache_reserve(env, 9, h->file, h->off,
								 size_of(h->file, h->off), &h->ref))
	{
		h->filled = check_below(r, 10) != 0;
		if (!h->filled)
			return;
		fill(&h->ref, 9, h->file, h->off);
		flowi_cache_publish(env, &h->ref);
	}
}

static void
test_random(FlowEnv *env, CheckRandom *r)
{
	static Held held[HELD];
	FlowCacheStats stats;

	memset(held, 0, sizeof(held));
	use_cache(env, SMALL);
	for (int i = 0; i < 60000; i++)
	{
		use(env, r, &held[check_below(r, HELD)]);
		if (check_below(r, 2000) == 0)
			flowi_cache_forget(env, 9, check_below(r, 8));
		if (i < 10000 || i % 100 == 0)
			CHECK(flowi_cache_check(env));
	}
	flowi_cache_stats(env, &stats);
	CHECK(stats.hits > 5000 && stats.misses > 5000);
	CHECK(stats.bytes <= stats.capacity);
	for (int i = 0; i < HELD; i++)
		flowi_cache_unpin(env, &held[i].ref);
	drop_cache(env);
	check_passed("random use");
}

typedef struct Worker
{
	pthread_t thread;
	FlowEnv *env;
	uint64_t seed;
	int rounds;
} Worker;

static void *
work(void *arg)
{
	Worker *w = arg;
	CheckRandom r = {w->seed};
	Held held[6];

	memset(held, 0, sizeof(held));
	for (int i = 0; i < w->rounds; i++)
	{
		use(w->env, &r, &held[check_below(&r, 6)]);
		if (check_below(&r, 1000) == 0)
			flowi_cache_forget(w->env, 9, check_below(&r, 8));
		if (check_below(&r, 1000) == 0)
			CHECK(flowi_cache_check(w->env));
	}
	for (int i = 0; i < 6; i++)
		flowi_cache_unpin(w->env, &held[i].ref);
	return NULL;
}

static void
test_threads(FlowEnv *env, CheckRandom *r, size_t cache_bytes, int rounds)
{
	Worker w[4];

	use_cache(env, cache_bytes);
	for (int i = 0; i < 4; i++)
	{
		w[i] = (Worker){.env = env, .seed = check_random(r), .rounds = rounds};
		CHECK(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(w[i].thread, NULL) == 0);
	drop_cache(env);
	check_passed("threads");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	test_none(env);
	test_basics(env);
	test_race(env);
	test_sizes(env);
	test_pins(env);
	test_forget(env);
	test_clock(env);
	test_random(env, &r);
	test_threads(env, &r, SMALL, 20000);
	test_threads(env, &r, 8u << 20, 20000);
	flow_env_posix_free(env);
	return 0;
}
