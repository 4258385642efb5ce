/*-------------------------------------------------------------------------
 * fuzz_bloom.c
 *	  Bloom filters: any bytes as a filter, and any keys in one.
 *
 * Of the input the first eight bytes are the hash to look for, the rest is
 * the filter; the whole is cut into keys too, from which one is built.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../bloom.h"

#define MAX_KEYS 500u

static void
check_bytes(const uint8_t *data, size_t size)
{
	uint64_t hash;
	bool may;
	FlowStatus st;

	if (size < sizeof(hash))
		return;
	memcpy(&hash, data, sizeof(hash));
	for (unsigned i = 0; i < 64; i++)
	{
		st = flowi_bloom_check(data + sizeof(hash), size - sizeof(hash), hash,
							   &may);
		FUZZ_CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
		fuzz_decoded += i == 0 && st == FLOW_OK;
		hash = (hash << 1 | hash >> 63) * UINT64_C(0x9e3779b97f4a7c15);
	}
}

/* Whoever was put in is found. */
static void
check_keys(const uint8_t *data, size_t size)
{
	uint64_t hashes[MAX_KEYS];
	uint32_t n = 0;
	uint32_t bits = 1 + (size ? data[0] % FLOW_BLOOM_MAX_BITS : 0);
	size_t bytes;
	uint8_t *filter;
	bool may;

	for (size_t at = 0; at < size && n < MAX_KEYS; at += 1 + data[at] % 16)
		hashes[n++] =
			flowi_bloom_hash(data + at, FLOW_MIN(data[at], size - at));
	bytes = flowi_bloom_bytes(n, bits);
	filter = malloc(bytes);
	FUZZ_CHECK(filter != NULL && bytes < (1u << 20));
	flowi_bloom_build(hashes, n, bits, filter);
	for (uint32_t i = 0; i < n; i++)
		FUZZ_CHECK(flowi_bloom_check(filter, bytes, hashes[i], &may) ==
					   FLOW_OK &&
				   may);
	free(filter);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_bytes(data, size);
	check_keys(data, size);
	return 0;
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	uint64_t hashes[100] = {check_random(r)};
	uint32_t n = (uint32_t) check_below(r, 100);
	uint32_t bits = 1 + (uint32_t) check_below(r, 20);

	for (uint32_t i = 0; i < n; i++)
		hashes[i] = check_random(r);
	fuzz_bytes_resize(out, sizeof(hashes[0]) + flowi_bloom_bytes(n, bits));
	memcpy(out->data, hashes, sizeof(hashes[0]));
	flowi_bloom_build(hashes, n, bits, out->data + sizeof(hashes[0]));
}
