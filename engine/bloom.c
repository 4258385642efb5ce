/*-------------------------------------------------------------------------
 * bloom.c
 *	  Bloom filters over keys: blocked ones, a cache line a key.
 *
 * The upper half of a key's hash picks the line, the lower half the bits in
 * it: multiplied by an odd constant for each probe, its top nine bits are the
 * next bit's number.  That the keys do not spread evenly over the lines costs
 * some accuracy (about 1.2 % instead of 0.9 % at 10 bits a key), and saves all
 * cache misses but one.
 *
 * Bytes: doc/FORMAT.md "Filter".
 *-------------------------------------------------------------------------
 */
#include "bloom.h"

#include <xxhash.h>

#include "coding.h"

#define OFF_VERSION 0
#define OFF_PROBES 1
#define OFF_ZERO 2
#define OFF_LINES 4
#define HEADER_BYTES 8

#define LINE_BYTES 64u
#define LINE_BITS (8 * LINE_BYTES)
#define LINE_SHIFT (32 - 9) /* leaves a bit's number in a line */
#define MAX_PROBES 16u
#define PROBE_FACTOR UINT32_C(0x9e3779b9)

_Static_assert(LINE_BITS == 1u << (32 - LINE_SHIFT), "nine bits name a bit");

uint64_t
flowi_bloom_hash(const uint8_t *key, size_t key_bytes)
{
	return XXH3_64bits(key, key_bytes);
}

static uint32_t
line_count(uint64_t nkeys, uint32_t bits_per_key)
{
	uint64_t bits = nkeys * FLOW_MIN(bits_per_key, FLOW_BLOOM_MAX_BITS);
	uint64_t n = (bits + LINE_BITS - 1) / LINE_BITS;

	return (uint32_t) FLOW_MIN(FLOW_MAX(n, 1), UINT32_MAX / LINE_BYTES);
}

/* What makes false answers rarest with lines of 512 bits: less than ln 2
 * times the bits a key. */
static uint32_t
probe_count(uint32_t bits_per_key)
{
	uint32_t n = (bits_per_key * 6 + 5) / 10;

	return FLOW_MIN(FLOW_MAX(n, 1), MAX_PROBES);
}

static size_t
line_of(uint64_t hash, uint32_t nlines)
{
	return (size_t) ((hash >> 32) * nlines >> 32) * LINE_BYTES;
}

size_t
flowi_bloom_bytes(uint64_t nkeys, uint32_t bits_per_key)
{
	return HEADER_BYTES + (size_t) line_count(nkeys, bits_per_key) * LINE_BYTES;
}

void
flowi_bloom_build(const uint64_t *hashes, uint64_t n, uint32_t bits_per_key,
				  uint8_t *out)
{
	uint32_t nlines = line_count(n, bits_per_key);
	uint32_t probes = probe_count(bits_per_key);

	memset(out, 0, HEADER_BYTES + (size_t) nlines * LINE_BYTES);
	out[OFF_VERSION] = FLOW_BLOOM_VERSION;
	out[OFF_PROBES] = (uint8_t) probes;
	flowi_put32(out + OFF_LINES, nlines);
	for (uint64_t i = 0; i < n; i++)
	{
		uint8_t *line = out + HEADER_BYTES + line_of(hashes[i], nlines);
		uint32_t h = (uint32_t) hashes[i];

		for (uint32_t k = 0; k < probes; k++, h *= PROBE_FACTOR)
		{
			uint32_t bit = h >> LINE_SHIFT;

			line[bit >> 3] |= (uint8_t) (1u << (bit & 7));
		}
	}
}

FlowStatus
flowi_bloom_check(const uint8_t *filter, size_t bytes, uint64_t hash,
				  bool *mayp)
{
	const uint8_t *line;
	uint32_t nlines, probes;
	uint32_t h = (uint32_t) hash;

	*mayp = true;
	if (bytes > 0 && filter[OFF_VERSION] != FLOW_BLOOM_VERSION)
		return FLOW_OK;
	FLOW_CHECK_DATA(bytes >= HEADER_BYTES, "filter of %zu bytes", bytes);
	nlines = flowi_get32(filter + OFF_LINES);
	probes = filter[OFF_PROBES];
	FLOW_CHECK_DATA(nlines > 0 && probes > 0 && probes <= MAX_PROBES &&
						filter[OFF_ZERO] == 0 && filter[OFF_ZERO + 1] == 0 &&
						(uint64_t) nlines * LINE_BYTES ==
							(uint64_t) bytes - HEADER_BYTES,
					"malformed filter of %zu bytes", bytes);
	line = filter + HEADER_BYTES + line_of(hash, nlines);
	for (uint32_t k = 0; k < probes && *mayp; k++, h *= PROBE_FACTOR)
	{
		uint32_t bit = h >> LINE_SHIFT;

		*mayp = line[bit >> 3] >> (bit & 7) & 1;
	}
	return FLOW_OK;
}
