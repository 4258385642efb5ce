/*-------------------------------------------------------------------------
 * region_test.c
 *	  The shared region: chunks and metadata against a model, no overlap of
 *	  them and the block cache, zeroed memory, nothing lost; the arena's marks.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "../arena.h"
#include "../cache.h"
#include "../env_posix.h"

#define REGION_BYTES (14u << 20) /* 24 chunks */
#define MAX_OBJECTS 512

typedef struct Object
{
	uint8_t *p;
	size_t size; /* bytes, or chunks */
	uint8_t fill;
} Object;

static void
usage(FlowEnv *env, uint64_t *write_used, uint64_t *meta_used)
{
	uint64_t write_total, meta_total;

	flow_region_usage(env, env->region, &write_total, write_used, &meta_total,
					  meta_used);
	CHECK(*write_used <= write_total && *meta_used <= meta_total);
	CHECK(write_total + meta_total <= REGION_BYTES);
}

static void
check_filled(const Object *o)
{
	for (size_t i = 0; i < o->size; i++)
		CHECK(o->p[i] == o->fill);
}

static size_t
random_size(CheckRandom *r)
{
	switch (check_below(r, 8))
	{
		case 0:
			return 1 + check_below(r, 200000);
		case 1:
			return 4000 + check_below(r, 200);
		default:
			return 1 + check_below(r, 600);
	}
}

static void
test_meta(FlowEnv *env, CheckRandom *r)
{
	static Object objects[MAX_OBJECTS];
	uint64_t write_used, meta_used;
	unsigned full = 0;

	for (int round = 0; round < 100000; round++)
	{
		Object *o = &objects[check_below(r, MAX_OBJECTS)];

		if (o->p != NULL)
		{
			check_filled(o);
			flowi_region_free(env, o->p);
			o->p = NULL;
			continue;
		}
		o->size = random_size(r);
		o->fill = (uint8_t) check_random(r);
		o->p = flowi_region_alloc(env, o->size);
		if (o->p == NULL)
		{
			full++;
			continue;
		}
		CHECK((uintptr_t) o->p % 8 == 0);
		for (size_t i = 0; i < o->size; i++)
			CHECK(o->p[i] == 0);
		memset(o->p, o->fill, o->size);
	}
	for (int i = 0; i < MAX_OBJECTS; i++)
		if (objects[i].p != NULL)
		{
			check_filled(&objects[i]);
			flowi_region_free(env, objects[i].p);
		}
	usage(env, &write_used, &meta_used);
	CHECK(write_used == 0 && meta_used == 0);
	CHECK(full > 0);
	flowi_region_free(env, NULL);
	/* all in one piece again */
	flowi_region_free(env, flowi_region_alloc(env, 1u << 20));
	CHECK(flowi_region_alloc(env, REGION_BYTES) == NULL);
	CHECK(flowi_region_alloc(env, SIZE_MAX) == NULL);
	check_passed("region metadata");
}

/* A run that was freed is found again, in the lowest place. */
static void
test_page_runs(FlowEnv *env)
{
	static void *runs[512];
	size_t n = 0;
	void *first;

	while ((runs[n] = flowi_region_alloc(env, 3 * 8192)) != NULL)
		n++;
	CHECK(n > 10);
	first = runs[0];
	flowi_region_free(env, first);
	runs[0] = flowi_region_alloc(env, 3 * 8192);
	CHECK(runs[0] == first);

	/* the reserve: for those who ask for it, when all else is taken */
	CHECK(flowi_region_alloc(env, 3 * 8192) == NULL);
	runs[n] = flowi_region_alloc_reserve(env, 3 * 8192);
	CHECK(runs[n] != NULL);
	n++;
	while (n > 0)
		flowi_region_free(env, runs[--n]);
	check_passed("region page runs");
}

static void
test_chunks(FlowEnv *env, CheckRandom *r)
{
	static Object objects[40];
	uint64_t write_used, meta_used;
	uint64_t want = 0;
	unsigned full = 0;

	for (int round = 0; round < 20000; round++)
	{
		Object *o = &objects[check_below(r, 40)];
		uint32_t n = 1 + (uint32_t) check_below(r, 3);

		if (o->p != NULL)
		{
			for (size_t i = 0; i < o->size * FLOW_CHUNK_BYTES; i += 4096)
				CHECK(o->p[i] == o->fill);
			flowi_region_chunks_free(env, o->p, (uint32_t) o->size);
			want -= o->size;
			o->p = NULL;
			continue;
		}
		o->p = flowi_region_chunks_alloc(env, n);
		if (o->p == NULL)
		{
			full++;
			continue;
		}
		o->size = n;
		o->fill = (uint8_t) check_random(r);
		want += n;
		for (size_t i = 0; i < o->size * FLOW_CHUNK_BYTES; i += 4096)
			o->p[i] = o->fill;
		usage(env, &write_used, &meta_used);
		CHECK(write_used == want * FLOW_CHUNK_BYTES);
	}
	for (int i = 0; i < 40; i++)
		if (objects[i].p != NULL)
			flowi_region_chunks_free(env, objects[i].p,
									 (uint32_t) objects[i].size);
	CHECK(full > 0);
	/* first fit finds the whole again, and no more than that */
	usage(env, &write_used, &meta_used);
	CHECK(write_used == 0);
	CHECK(flowi_region_chunks_alloc(env, 25) == NULL);
	flowi_region_chunks_free(env, flowi_region_chunks_alloc(env, 24), 24);
	check_passed("region chunks");
}

static void
test_arena(FlowEnv *env, CheckRandom *r)
{
	FlowArena arena;
	uint64_t write_used, meta_used;

	flowi_arena_init(&arena);
	for (int round = 0; round < 200; round++)
	{
		FlowArenaMark mark = flowi_arena_mark(&arena);
		uint64_t bytes = arena.bytes;
		uint8_t *last = NULL;

		for (int i = 0; i < 50; i++)
		{
			size_t size = 1 + check_below(r, check_below(r, 10) ? 900 : 300000);
			uint8_t *p = flowi_arena_alloc(env, &arena, size);

			if (p == NULL)
				break;
			CHECK((uintptr_t) p % 8 == 0);
			CHECK(p != last);
			memset(p, 0x5a, size);
			last = p;
		}
		usage(env, &write_used, &meta_used);
		CHECK(write_used == arena.bytes);
		if (check_below(r, 4) != 0)
		{
			flowi_arena_rewind(env, &arena, mark);
			CHECK(arena.bytes == bytes && arena.ptr == mark.ptr);
		}
		else if (check_below(r, 3) == 0)
			flowi_arena_free(env, &arena);
	}
	flowi_arena_free(env, &arena);
	usage(env, &write_used, &meta_used);
	CHECK(write_used == 0 && meta_used == 0);
	check_passed("arena");
}

/* Use the cache to its last byte; false: it is not the region's alone. */
static bool
fill_cache(FlowEnv *env, const uint8_t *base, size_t size, size_t cache_bytes)
{
	FlowCacheStats stats;
	FlowCacheRef ref;

	for (uint64_t off = 0; off < 1000; off++)
	{
		if (!flowi_cache_reserve(env, 1, 1, off, 3000, &ref))
			continue;
		CHECK(ref.data >= base && ref.data + ref.bytes <= base + size);
		memset(ref.data, 0xff, ref.bytes);
		flowi_cache_publish(env, &ref);
		flowi_cache_unpin(env, &ref);
	}
	flowi_cache_stats(env, &stats);
	CHECK(stats.capacity <= cache_bytes);
	CHECK((stats.pieces > 0) == (cache_bytes > 0));
	CHECK(stats.capacity >= cache_bytes - cache_bytes / 20);
	return flowi_cache_check(env);
}

/* Every layout either is refused or works to its last byte. */
static void
test_layouts(FlowEnv *env, CheckRandom *r)
{
	FlowRegion *kept = env->region;
	unsigned good = 0;

	for (int round = 0; round < 300; round++)
	{
		size_t size = check_below(r, 3u << 20) & ~(size_t) 7;
		size_t write_bytes = check_below(r, size + 1);
		size_t cache_bytes =
			check_below(r, 2) ? check_below(r, size - write_bytes + 1) : 0;
		uint8_t *base = calloc(1, size + 1);
		FlowStatus st;

		CHECK(base != NULL);
		st = flow_region_init(env, base, size, write_bytes, cache_bytes,
							  &env->region);
		if (st == FLOW_OK)
		{
			uint32_t nchunks = (uint32_t) (write_bytes / FLOW_CHUNK_BYTES);
			uint8_t *p;

			good++;
			CHECK((flowi_region_cache(env) != NULL) == (cache_bytes > 0));
			CHECK(fill_cache(env, base, size, cache_bytes));
			for (uint32_t i = 0; i < nchunks; i++)
			{
				p = flowi_region_chunks_alloc(env, 1);
				CHECK(p >= base && p + FLOW_CHUNK_BYTES <= base + size);
				memset(p, 0xff, FLOW_CHUNK_BYTES);
			}
			CHECK(flowi_region_chunks_alloc(env, 1) == NULL);
			while ((p = flowi_region_alloc(env, 4096)) != NULL)
			{
				CHECK(p >= base && p + 4096 <= base + size);
				memset(p, 0xff, 4096);
			}
			CHECK(fill_cache(env, base, size, cache_bytes));
		}
		else
			CHECK(st == FLOW_INVALID && env->region == NULL);
		free(base);
	}
	CHECK(good > 100);
	env->region = kept;
	check_passed("region layouts");
}

/* Numbers of loaded databases are never the same, cache or not. */
static void
test_spaces(FlowEnv *env)
{
	uint64_t last = 0;

	for (int i = 0; i < 100; i++)
	{
		uint64_t space = flowi_cache_new_space(env);

		CHECK(space > last);
		last = space;
	}
	check_passed("cache spaces");
}

static void *
churn(void *arg)
{
	FlowEnv *env = arg;
	CheckRandom r = {(uintptr_t) &r};

	for (int i = 0; i < 20000; i++)
	{
		size_t size = random_size(&r);
		uint8_t *p = flowi_region_alloc(env, size);

		if (p == NULL)
			continue;
		CHECK(p[0] == 0 && p[size - 1] == 0);
		memset(p, 0xee, size);
		flowi_region_free(env, p);
	}
	return NULL;
}

static void
test_threads(FlowEnv *env)
{
	pthread_t threads[3];
	uint64_t write_used, meta_used;

	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, churn, env) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	usage(env, &write_used, &meta_used);
	CHECK(write_used == 0 && meta_used == 0);
	check_passed("region threads");
}

/* AddressSanitizer knows what is given out. */
static void
test_forbidden(FlowEnv *env)
{
#ifdef FLOW_POISON
	FlowArena arena;
	uint8_t *slot = flowi_region_alloc(env, 37);
	uint8_t *run = flowi_region_alloc(env, 20000);
	uint8_t *chunk = flowi_region_chunks_alloc(env, 1);
	uint8_t *object;

	CHECK(slot != NULL && run != NULL && chunk != NULL);
	CHECK(__asan_region_is_poisoned(slot, 37) == NULL);
	CHECK(__asan_address_is_poisoned(slot + 37));
	CHECK(__asan_region_is_poisoned(run, 20000) == NULL);
	CHECK(__asan_address_is_poisoned(run + 20000));
	CHECK(__asan_region_is_poisoned(chunk, FLOW_CHUNK_BYTES) == NULL);
	flowi_region_free(env, slot);
	flowi_region_free(env, run);
	flowi_region_chunks_free(env, chunk, 1);
	CHECK(__asan_address_is_poisoned(slot));
	CHECK(__asan_address_is_poisoned(run + 19999));
	CHECK(__asan_address_is_poisoned(chunk + FLOW_CHUNK_BYTES - 1));

	flowi_arena_init(&arena);
	object = flowi_arena_alloc(env, &arena, 13);
	CHECK(object != NULL);
	CHECK(__asan_region_is_poisoned(object, 13) == NULL);
	CHECK(__asan_address_is_poisoned(object + 13));
	flowi_arena_free(env, &arena);
	CHECK(__asan_address_is_poisoned(object));
#else
	(void) env;
#endif
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	test_meta(env, &r);
	test_page_runs(env);
	test_chunks(env, &r);
	test_arena(env, &r);
	test_forbidden(env);
	test_layouts(env, &r);
	test_spaces(env);
	test_threads(env);
	flow_env_posix_free(env);
	CHECK_STATUS(flow_env_posix_create(1000, &env), FLOW_INVALID);
	CHECK(env == NULL);
	return 0;
}
