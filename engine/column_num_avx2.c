/*-------------------------------------------------------------------------
 * column_num_avx2.c
 *	  Look at numbers four at a time, where the processor has AVX2.
 *
 * The smallest and the greatest of many numbers, and whether neighbours are
 * equal, are a good part of what it takes to choose an encoding.  The lanes of
 * two vectors are the eight groups of column_frame.c.
 *-------------------------------------------------------------------------
 */
#include "column_num.h"

#if FLOW_AVX2

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

INLINE __m256i
load(const int64_t *x)
{
	return _mm256_loadu_si256((const __m256i *) x);
}

INLINE void
store(int64_t *to, __m256i x)
{
	_mm256_storeu_si256((__m256i *) to, x);
}

INLINE __m256i
lower(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b));
}

INLINE __m256i
higher(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b));
}

AVX2 void
flowi_num_lanes_avx2(const int64_t *x, uint32_t n, int64_t *lows,
					 int64_t *highs)
{
	__m256i low[2] = {load(x), load(x + 4)};
	__m256i high[2] = {low[0], low[1]};
	uint32_t i = FLOW_NUM_LANES;

	for (; i + FLOW_NUM_LANES <= n; i += FLOW_NUM_LANES)
	{
		__m256i a = load(x + i);
		__m256i b = load(x + i + 4);

		low[0] = lower(low[0], a);
		low[1] = lower(low[1], b);
		high[0] = higher(high[0], a);
		high[1] = higher(high[1], b);
	}
	store(lows, low[0]);
	store(lows + 4, low[1]);
	store(highs, high[0]);
	store(highs + 4, high[1]);
	for (uint32_t lane = 0; i < n; i++, lane++)
	{
		lows[lane] = FLOW_MIN(lows[lane], x[i]);
		highs[lane] = FLOW_MAX(highs[lane], x[i]);
	}
}

/* Number i, which has one before it. */
static inline void
look_at(FlowNumLook *l, const int64_t *x, uint32_t i)
{
	uint64_t diff = (uint64_t) x[i] - (uint64_t) x[i - 1];

	l->linear = l->linear && diff == (uint64_t) x[1] - (uint64_t) x[0];
	l->runs -= diff == 0;
	l->lo = FLOW_MIN(l->lo, x[i]);
	l->hi = FLOW_MAX(l->hi, x[i]);
}

AVX2 FlowNumLook
flowi_num_look_avx2(const int64_t *x, uint32_t n)
{
	FlowNumLook l = {n, n > 1, x[0], x[0]};
	uint64_t first = n > 1 ? (uint64_t) x[1] - (uint64_t) x[0] : 0;
	__m256i step = _mm256_set1_epi64x((int64_t) first);
	__m256i low = _mm256_set1_epi64x(x[0]);
	__m256i high = low;
	__m256i bend = _mm256_setzero_si256();
	__m256i same = bend; /* of each lane: how often, negative */
	int64_t lows[4], highs[4], sames[4];
	uint32_t i = 1;

	for (; i + 4 <= n; i += 4)
	{
		__m256i now = load(x + i);
		__m256i diff = _mm256_sub_epi64(now, load(x + i - 1));
		__m256i equal = _mm256_cmpeq_epi64(diff, _mm256_setzero_si256());

		bend = _mm256_or_si256(bend, _mm256_xor_si256(diff, step));
		same = _mm256_add_epi64(same, equal);
		low = lower(low, now);
		high = higher(high, now);
	}
	l.linear = l.linear && _mm256_testz_si256(bend, bend);
	store(lows, low);
	store(highs, high);
	store(sames, same);
	for (unsigned lane = 0; lane < 4; lane++)
	{
		l.lo = FLOW_MIN(l.lo, lows[lane]);
		l.hi = FLOW_MAX(l.hi, highs[lane]);
		l.runs -= (uint32_t) -sames[lane];
	}
	for (; i < n; i++)
		look_at(&l, x, i);
	return l;
}

#endif /* FLOW_AVX2 */
