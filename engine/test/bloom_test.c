/*-------------------------------------------------------------------------
 * bloom_test.c
 *	  Filters: no key is denied, few others are admitted, damage is told.
 *-------------------------------------------------------------------------
 */
#include "../bloom.h"

#include <string.h>

#include "check.h"

#define NKEYS 100000

static uint64_t hashes[NKEYS];

/* Key i of a set; sets have no key in common. */
static uint64_t
hash_of(uint32_t set, uint32_t i)
{
	char key[32];
	int n = snprintf(key, sizeof(key), "set%u/host_%06u", set, i);

	return flowi_bloom_hash((const uint8_t *) key, (size_t) n);
}

/* A filter over n of the keys of set 0; freed by the caller. */
static uint8_t *
build(uint32_t n, uint32_t bits, size_t *bytesp)
{
	uint8_t *filter;

	*bytesp = flowi_bloom_bytes(n, bits);
	filter = malloc(*bytesp);
	CHECK(filter != NULL);
	for (uint32_t i = 0; i < n; i++)
		hashes[i] = hash_of(0, i);
	flowi_bloom_build(hashes, n, bits, filter);
	return filter;
}

/* How many of n keys of a set may be in it. */
static uint32_t
admitted(const uint8_t *filter, size_t bytes, uint32_t set, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		bool may;

		CHECK_OK(flowi_bloom_check(filter, bytes, hash_of(set, i), &may));
		count += may;
	}
	return count;
}

static void
test_answers(void)
{
	size_t bytes;
	uint8_t *filter = build(NKEYS, 10, &bytes);
	uint32_t wrong;

	CHECK(bytes <= NKEYS * 10 / 8 + 100);
	CHECK(admitted(filter, bytes, 0, NKEYS) == NKEYS);
	wrong = admitted(filter, bytes, 1, NKEYS);
	printf("# false answers at 10 bits a key: %.2f %%\n",
		   100.0 * wrong / NKEYS);
	CHECK(wrong < NKEYS / 50);
	free(filter);
	check_passed("100,000 keys, none denied, less than 2 % false answers");
}

static void
test_sizes(void)
{
	static const uint32_t ns[] = {0, 1, 2, 50, 51, 52, 1000};
	uint32_t last = UINT32_MAX;

	for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
		for (uint32_t bits = 1; bits <= FLOW_BLOOM_MAX_BITS; bits++)
		{
			size_t bytes;
			uint8_t *filter = build(ns[i], bits, &bytes);

			CHECK(admitted(filter, bytes, 0, ns[i]) == ns[i]);
			free(filter);
		}
	/* more bits, fewer false answers */
	for (uint32_t bits = 2; bits <= 16; bits *= 2)
	{
		size_t bytes;
		uint8_t *filter = build(20000, bits, &bytes);
		uint32_t wrong = admitted(filter, bytes, 1, 20000);

		CHECK(wrong < last);
		last = wrong;
		free(filter);
	}
	CHECK(last < 20000 / 400);
	check_passed("any number of keys and bits");
}

/* The bytes are the filter: a copy answers alike, order and repetition of the
 * keys do not matter. */
static void
test_bytes(void)
{
	size_t bytes, again_bytes;
	uint8_t *filter = build(1000, 10, &bytes);
	uint8_t *again = build(1000, 10, &again_bytes);
	bool may;

	CHECK(bytes == again_bytes && memcmp(filter, again, bytes) == 0);
	for (uint32_t i = 0; i < 500; i++)
	{
		uint64_t swap = hashes[i];

		hashes[i] = hashes[999 - i];
		hashes[999 - i] = swap;
	}
	flowi_bloom_build(hashes, 1000, 10, again);
	CHECK(memcmp(filter, again, bytes) == 0);
	for (uint32_t i = 0; i < 10000; i++)
	{
		bool same;

		CHECK_OK(flowi_bloom_check(filter, bytes, hash_of(1, i), &may));
		CHECK_OK(flowi_bloom_check(again, bytes, hash_of(1, i), &same));
		CHECK(may == same);
	}
	/* golden: the hash and the first line's bits are a format */
	CHECK(flowi_bloom_hash((const uint8_t *) "host_001", 8) ==
		  UINT64_C(0x28ff30851bb2d1fb));
	hashes[0] = UINT64_C(0x0123456789abcdef);
	flowi_bloom_build(hashes, 1, 10, again);
	CHECK(flowi_bloom_bytes(1, 10) == 8 + 64);
	CHECK(memcmp(again, "\1\6\0\0\1\0\0\0", 8) == 0);
	for (uint32_t k = 0, h = 0x89abcdef; k < 6; k++, h *= 0x9e3779b9u)
	{
		uint32_t bit = h >> 23;

		CHECK(again[8 + bit / 8] >> bit % 8 & 1);
	}
	free(filter);
	free(again);
	check_passed("bytes");
}

static void
test_damage(CheckRandom *rnd)
{
	size_t bytes;
	uint8_t *filter = build(1000, 10, &bytes);
	bool may;

	filter[0] = 2;
	CHECK(admitted(filter, bytes, 1, 1000) == 1000);
	filter[0] = 0;
	CHECK(admitted(filter, bytes, 1, 1000) == 1000);
	filter[0] = FLOW_BLOOM_VERSION;
	for (size_t n = 0; n < bytes; n++)
		CHECK_STATUS(flowi_bloom_check(filter, n, hashes[0], &may),
					 FLOW_CORRUPT);
	for (size_t at = 1; at < 8; at++)
		for (int i = 0; i < 256; i++)
		{
			uint8_t good = filter[at];
			FlowStatus st;

			filter[at] = (uint8_t) i;
			st = flowi_bloom_check(filter, bytes, check_random(rnd), &may);
			/* another number of probes is as good as any */
			CHECK(st == FLOW_CORRUPT || (st == FLOW_OK && at == 1) ||
				  (st == FLOW_OK && filter[at] == good));
			filter[at] = good;
		}
	free(filter);
	check_passed("unknown versions say yes, damage is told");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	test_answers();
	test_sizes();
	test_bytes();
	test_damage(&rnd);
	return 0;
}
