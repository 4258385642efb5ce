/*-------------------------------------------------------------------------
 * bitpack.h
 *	  Numbers of 0 to 64 bits, packed one behind the other.
 *
 * Number i of a pack of width w takes the bits i * w to i * w + w - 1, where
 * bit b is bit b & 7 of byte b >> 3: the layout of Parquet and of the
 * "horizontal" codecs of Lemire and Boytsov, Decoding billions of integers
 * per second through vectorization (2015), which one number can be taken out
 * of.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BITPACK_H
#define FLOW_BITPACK_H

#include "coding.h"

#define FLOW_FRAME 128u		  /* numbers that are packed at one width */
#define FLOW_BITPACK_SLACK 8u /* bytes behind a pack that a packer writes */

/* As flowi_get64 and flowi_put64, which compilers find too long to inline
 * where there are many. */
static inline uint64_t
flowi_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void
flowi_store64(uint8_t *p, uint64_t v)
{
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static inline unsigned
flowi_bits(uint64_t v)
{
	return v == 0 ? 0 : 64 - (unsigned) __builtin_clzll(v);
}

/* Bytes of n numbers. */
static inline size_t
flowi_bitpack_bytes(uint32_t n, unsigned width)
{
	return ((size_t) n * width + 7) / 8;
}

/*
 * flowi_bitpack
 *		Pack n numbers, none of which has more than width bits.  At out there
 *		is room for flowi_bitpack_bytes and FLOW_BITPACK_SLACK.
 * flowi_bitunpack
 *		The first n numbers, at most FLOW_FRAME, of a pack that lies whole
 *		before end; nothing from end on is read.  v has room for n rounded up
 *		to 8, what is behind n is anything.
 * flowi_bitunpack_sums
 *		The same, summed up: of each number base + i * step and all numbers up to
 *		it, itself included.
 */
extern void flowi_bitpack(const uint64_t *v, uint32_t n, unsigned width,
						  uint8_t *out);
extern void flowi_bitunpack(const uint8_t *p, const uint8_t *end, uint32_t n,
							unsigned width, uint64_t *v);
extern void flowi_bitunpack_sums(const uint8_t *p, const uint8_t *end,
								 uint32_t n, unsigned width, uint64_t base,
								 uint64_t step, uint64_t *v);

/* n numbers of v, summed up in their place. */
static inline void
flowi_sum_up(uint64_t *v, uint32_t n, uint64_t base, uint64_t step)
{
	uint64_t sum = base - step;

	for (uint32_t i = 0; i < n; i++)
	{
		sum += v[i] + step;
		v[i] = sum;
	}
}

/* Number i alone. */
static inline uint64_t
flowi_bitpack_get(const uint8_t *p, const uint8_t *end, uint32_t i,
				  unsigned width)
{
	size_t bit = (size_t) i * width;
	unsigned shift = bit & 7;
	uint64_t v = 0;

	if (width == 0)
		return 0;
	p += bit >> 3;
	if (end - p >= 9)
	{
		v = flowi_load64(p) >> shift;
		if (shift + width > 64)
			v |= (uint64_t) p[8] << (64 - shift);
	}
	else
	{
		for (unsigned at = 0; at < shift + width; at += 8, p++)
			v |= at < shift ? (uint64_t) *p >> shift
							: (uint64_t) *p << (at - shift);
	}
	return v & (~UINT64_C(0) >> (64 - width));
}

#endif /* FLOW_BITPACK_H */
