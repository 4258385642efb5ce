/*-------------------------------------------------------------------------
 * bitpack_test.c
 *	  Packed numbers of every width: whole, in part, one alone.
 *-------------------------------------------------------------------------
 */
#include "../bitpack_impl.h"
#include "check.h"

static uint64_t values[FLOW_FRAME], got[FLOW_FRAME];

static void
fill(CheckRandom *r, unsigned width)
{
	uint64_t most = width == 0 ? 0 : ~UINT64_C(0) >> (64 - width);

	for (uint32_t i = 0; i < FLOW_FRAME; i++)
	{
		uint64_t v = check_random(r) & most;

		values[i] = check_below(r, 8) == 0 ? most : v;
	}
}

/* Bit by bit, as the format says. */
static uint64_t
slow_get(const uint8_t *p, uint32_t i, unsigned width)
{
	uint64_t v = 0;

	for (unsigned bit = 0; bit < width; bit++)
	{
		size_t at = (size_t) i * width + bit;

		v |= (uint64_t) (p[at >> 3] >> (at & 7) & 1) << bit;
	}
	return v;
}

/* Summed up, by what the processor has and without that. */
static void
check_sums(const uint8_t *p, const uint8_t *end, uint32_t n, unsigned width,
		   uint64_t base, uint64_t step)
{
	uint64_t want[FLOW_FRAME];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		sum += values[i];
		want[i] = base + i * step + sum;
	}
	memset(got, 0xdd, sizeof(got));
	flowi_bitunpack_sums(p, end, n, width, base, step, got);
	CHECK(memcmp(got, want, n * sizeof(*got)) == 0);
	memset(got, 0xdd, sizeof(got));
	flowi_bitunpack_sums_plain(p, end, n, width, base, step, got);
	CHECK(memcmp(got, want, n * sizeof(*got)) == 0);
}

/* n numbers, in memory that ends with them; more is some bytes behind that. */
static void
check_pack(CheckRandom *r, uint32_t n, unsigned width, size_t more)
{
	size_t bytes = flowi_bitpack_bytes(n, width);
	uint8_t room[FLOW_FRAME * 8 + FLOW_BITPACK_SLACK];
	uint8_t *p = malloc(bytes + more + 1);
	uint8_t *end = p + bytes + more;

	CHECK(p != NULL);
	flowi_bitpack(values, n, width, room);
	memcpy(p, room, bytes);
	memset(p + bytes, 0xee, more);
	for (uint32_t part = 0; part <= n; part += 1 + part / 3)
	{
		memset(got, 0xdd, sizeof(got));
		flowi_bitunpack(p, end, part, width, got);
		CHECK(memcmp(got, values, part * sizeof(*got)) == 0);
		memset(got, 0xdd, sizeof(got));
		flowi_bitunpack_plain(p, end, part, width, got);
		CHECK(memcmp(got, values, part * sizeof(*got)) == 0);
		check_sums(p, end, part, width, check_random(r), check_random(r));
	}
	for (uint32_t i = 0; i < n; i++)
	{
		CHECK(flowi_bitpack_get(p, end, i, width) == values[i]);
		CHECK(slow_get(p, i, width) == values[i]);
	}
	free(p);
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK(flowi_bits(0) == 0 && flowi_bits(1) == 1 && flowi_bits(255) == 8 &&
		  flowi_bits(UINT64_MAX) == 64);
	for (unsigned width = 0; width <= 64; width++)
		for (int again = 0; again < 12; again++)
		{
			uint32_t n = again == 0
							 ? FLOW_FRAME
							 : 1 + (uint32_t) check_below(&r, FLOW_FRAME);

			fill(&r, width);
			check_pack(&r, n, width, again % 3 == 0 ? 0 : check_below(&r, 100));
		}
	CHECK(flowi_bitpack_bytes(FLOW_FRAME, 13) == 16 * 13);
	check_passed("every width");
	return 0;
}
