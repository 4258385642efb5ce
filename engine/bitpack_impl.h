/*-------------------------------------------------------------------------
 * bitpack_impl.h
 *	  What the files of bitpack.h share, and what their tests compare.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BITPACK_IMPL_H
#define FLOW_BITPACK_IMPL_H

#include "bitpack.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define FLOW_AVX2 1
#else
#define FLOW_AVX2 0
#endif

/* The functions of bitpack.h for any processor. */
extern void flowi_bitunpack_plain(const uint8_t *p, const uint8_t *end,
								  uint32_t n, unsigned width, uint64_t *v);
extern void flowi_bitunpack_sums_plain(const uint8_t *p, const uint8_t *end,
									   uint32_t n, unsigned width,
									   uint64_t base, uint64_t step,
									   uint64_t *v);

/*
 * The same where there is AVX2, of 1 to 15 bits; FLOW_AVX2_READS bytes at most
 * are read from where the last whole or begun group of eight begins.
 */
#if FLOW_AVX2
#define FLOW_AVX2_WIDTH 15u
#define FLOW_AVX2_READS 16u

extern void flowi_bitunpack_avx2(const uint8_t *p, uint32_t n, unsigned width,
								 uint64_t *v);
extern void flowi_bitunpack_sums_avx2(const uint8_t *p, uint32_t n,
									  unsigned width, uint64_t base,
									  uint64_t step, uint64_t *v);
#endif

/* May that pack be unpacked by AVX2? */
static inline bool
flowi_bitpack_avx2(const uint8_t *p, const uint8_t *end, uint32_t n,
				   unsigned width)
{
#if FLOW_AVX2
	return width - 1 < FLOW_AVX2_WIDTH && n > 0 &&
		   (size_t) (end - p) >=
			   (size_t) (n - 1) / 8 * width + FLOW_AVX2_READS &&
		   __builtin_cpu_supports("avx2");
#else
	(void) p, (void) end, (void) n, (void) width;
	return false;
#endif
}

#endif /* FLOW_BITPACK_IMPL_H */
