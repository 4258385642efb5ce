/*-------------------------------------------------------------------------
 * bitpack_avx2.c
 *	  Unpack narrow numbers four at a time, where the processor has AVX2.
 *
 * Four numbers of at most 15 bits are in one word wherever it begins, so each
 * lane of a vector takes the same word and shifts it by its own number of bits
 * (Lemire and Boytsov, Decoding billions of integers per second through
 * vectorization, 2015).  Sums of neighbours are added up within a vector in two
 * steps, and what the vectors before come to is added last, so that it alone is
 * what one vector waits for from the other (Zhang, Wang and Ross, Parallel
 * prefix sum with SIMD, ADMS 2020).
 *-------------------------------------------------------------------------
 */
#include "bitpack_impl.h"

#if FLOW_AVX2

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

/* How to take the two halves of eight numbers apart. */
typedef struct Halves
{
	unsigned width;
	size_t second; /* byte where the second half's word begins */
	__m256i shift[2];
	__m256i mask;
} Halves;

INLINE Halves
halves(unsigned width)
{
	long long w = width;
	long long bit = (w & 1) * 4;

	return (Halves){
		width,
		width >> 1,
		{_mm256_setr_epi64x(0, w, 2 * w, 3 * w),
		 _mm256_setr_epi64x(bit, bit + w, bit + 2 * w, bit + 3 * w)},
		_mm256_set1_epi64x((1ll << width) - 1)};
}

INLINE __m256i
take(const Halves *h, const uint8_t *p, unsigned half)
{
	uint64_t word = flowi_load64(p + (half ? h->second : 0));
	__m256i all = _mm256_set1_epi64x((long long) word);

	return _mm256_and_si256(_mm256_srlv_epi64(all, h->shift[half]), h->mask);
}

INLINE void
store(uint64_t *v, __m256i x)
{
	_mm256_storeu_si256((__m256i *) v, x);
}

AVX2 void
flowi_bitunpack_avx2(const uint8_t *p, uint32_t n, unsigned width, uint64_t *v)
{
	const Halves h = halves(width);

	for (uint32_t i = 0; i < n; i += 8, p += width)
	{
		store(v + i, take(&h, p, 0));
		store(v + i + 4, take(&h, p, 1));
	}
}

/* Each lane and those before it. */
INLINE __m256i
sums_of(__m256i x)
{
	__m256i pairs = _mm256_add_epi64(x, _mm256_slli_si256(x, 8));
	__m256i low = _mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(1, 1, 0, 0));

	return _mm256_add_epi64(
		pairs, _mm256_blend_epi32(_mm256_setzero_si256(), low, 0xf0));
}

INLINE __m256i
last_of(__m256i x)
{
	return _mm256_permute4x64_epi64(x, _MM_SHUFFLE(3, 3, 3, 3));
}

AVX2 void
flowi_bitunpack_sums_avx2(const uint8_t *p, uint32_t n, unsigned width,
						  uint64_t base, uint64_t step, uint64_t *v)
{
	const Halves h = halves(width);
	const __m256i steps = _mm256_set1_epi64x((long long) step);
	/* each number brings a step with it, the first one too */
	__m256i before = _mm256_set1_epi64x((long long) (base - step));

	for (uint32_t i = 0; i < n; i += 8, p += width)
	{
		__m256i a = sums_of(_mm256_add_epi64(take(&h, p, 0), steps));
		__m256i b = sums_of(_mm256_add_epi64(take(&h, p, 1), steps));
		__m256i middle = _mm256_add_epi64(before, last_of(a));

		store(v + i, _mm256_add_epi64(a, before));
		store(v + i + 4, _mm256_add_epi64(b, middle));
		before =
			_mm256_add_epi64(before, _mm256_add_epi64(last_of(a), last_of(b)));
	}
}

#endif /* FLOW_AVX2 */
