/*-------------------------------------------------------------------------
 * bitpack.c
 *	  Numbers of 0 to 64 bits, packed one behind the other.
 *
 * Eight numbers of width w are w bytes.  The loops take eight at a time with
 * w a constant, so that every shift is one too; the loads are of 64 bits and
 * not aligned, and what they would read behind the end is copied to a place
 * with room behind it.  On processors that have AVX2 most packs are unpacked
 * by bitpack_avx2.c.
 *-------------------------------------------------------------------------
 */
#include "bitpack_impl.h"

#define INLINE static inline __attribute__((always_inline))

/* Number j of eight; width is a constant. */
INLINE uint64_t
take(const uint8_t *p, unsigned j, unsigned width)
{
	unsigned bit = j * width;
	unsigned shift = bit & 7;
	uint64_t v = flowi_load64(p + (bit >> 3)) >> shift;

	if (shift + width > 64)
		v |= (uint64_t) p[(bit >> 3) + 8] << (64 - shift);
	return v & (~UINT64_C(0) >> (64 - width));
}

INLINE void
unpack_width(const uint8_t *p, uint32_t n, unsigned width, uint64_t *v)
{
	for (uint32_t i = 0; i < n; i += 8, p += width)
	{
		v[i] = take(p, 0, width);
		v[i + 1] = take(p, 1, width);
		v[i + 2] = take(p, 2, width);
		v[i + 3] = take(p, 3, width);
		v[i + 4] = take(p, 4, width);
		v[i + 5] = take(p, 5, width);
		v[i + 6] = take(p, 6, width);
		v[i + 7] = take(p, 7, width);
	}
}

/* Eight numbers of at most 8 bits are one word. */
INLINE void
unpack_narrow(const uint8_t *p, uint32_t n, unsigned width, uint64_t *v)
{
	const uint64_t mask = (UINT64_C(1) << width) - 1;

	for (uint32_t i = 0; i < n; i += 8, p += width)
	{
		uint64_t x = flowi_load64(p);

		v[i] = x & mask;
		v[i + 1] = x >> width & mask;
		v[i + 2] = x >> 2 * width & mask;
		v[i + 3] = x >> 3 * width & mask;
		v[i + 4] = x >> 4 * width & mask;
		v[i + 5] = x >> 5 * width & mask;
		v[i + 6] = x >> 6 * width & mask;
		v[i + 7] = x >> 7 * width & mask;
	}
}

#define NARROW(w)                  \
	case w:                        \
		unpack_narrow(p, n, w, v); \
		break
#define WIDE(w)                   \
	case w:                       \
		unpack_width(p, n, w, v); \
		break
#define WIDE4(w) \
	WIDE(w);     \
	WIDE(w + 1); \
	WIDE(w + 2); \
	WIDE(w + 3)

/* Reads up to 9 bytes behind the pack. */
static void
unpack(const uint8_t *p, uint32_t n, unsigned width, uint64_t *v)
{
	switch (width)
	{
		case 0:
			memset(v, 0, ((size_t) n + 7) / 8 * 64);
			break;
			NARROW(1);
			NARROW(2);
			NARROW(3);
			NARROW(4);
			NARROW(5);
			NARROW(6);
			NARROW(7);
			NARROW(8);
			WIDE4(9);
			WIDE4(13);
			WIDE4(17);
			WIDE4(21);
			WIDE4(25);
			WIDE4(29);
			WIDE4(33);
			WIDE4(37);
			WIDE4(41);
			WIDE4(45);
			WIDE4(49);
			WIDE4(53);
			WIDE4(57);
			WIDE4(61);
	}
}

void
flowi_bitunpack_plain(const uint8_t *p, const uint8_t *end, uint32_t n,
					  unsigned width, uint64_t *v)
{
	/* whole groups of eight are read, and a word of each number */
	size_t read = ((size_t) n + 7) / 8 * width + 9;

	FLOW_ASSERT(n <= FLOW_FRAME && width <= 64);
	FLOW_ASSERT((size_t) (end - p) >= flowi_bitpack_bytes(n, width));
	if ((size_t) (end - p) < read)
	{
		uint8_t copy[FLOW_FRAME * 8 + 16];
		size_t bytes = flowi_bitpack_bytes(n, width);

		memcpy(copy, p, bytes);
		memset(copy + bytes, 0, read - bytes);
		unpack(copy, n, width, v);
	}
	else
		unpack(p, n, width, v);
}

void
flowi_bitunpack_sums_plain(const uint8_t *p, const uint8_t *end, uint32_t n,
						   unsigned width, uint64_t base, uint64_t step,
						   uint64_t *v)
{
	flowi_bitunpack_plain(p, end, n, width, v);
	flowi_sum_up(v, n, base, step);
}

void
flowi_bitunpack(const uint8_t *p, const uint8_t *end, uint32_t n,
				unsigned width, uint64_t *v)
{
#if FLOW_AVX2
	if (flowi_bitpack_avx2(p, end, n, width))
	{
		flowi_bitunpack_avx2(p, n, width, v);
		return;
	}
#endif
	flowi_bitunpack_plain(p, end, n, width, v);
}

void
flowi_bitunpack_sums(const uint8_t *p, const uint8_t *end, uint32_t n,
					 unsigned width, uint64_t base, uint64_t step, uint64_t *v)
{
#if FLOW_AVX2
	if (flowi_bitpack_avx2(p, end, n, width))
	{
		flowi_bitunpack_sums_avx2(p, n, width, base, step, v);
		return;
	}
#endif
	flowi_bitunpack_sums_plain(p, end, n, width, base, step, v);
}

void
flowi_bitpack(const uint64_t *v, uint32_t n, unsigned width, uint8_t *out)
{
	uint64_t word = 0;
	unsigned fill = 0;

	for (uint32_t i = 0; i < n && width > 0; i++)
	{
		FLOW_ASSERT(flowi_bits(v[i]) <= width);
		word |= v[i] << fill;
		fill += width;
		if (fill < 64)
			continue;
		flowi_store64(out, word);
		out += 8;
		fill -= 64;
		word = fill == 0 ? 0 : v[i] >> (width - fill);
	}
	flowi_store64(out, word);
}
