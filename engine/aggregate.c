/*-------------------------------------------------------------------------
 * aggregate.c
 *	  Aggregates of one column over slices: counts and integers.
 *
 * A slice is at most a vector, and often a handful of rows, so what is done
 * once a slice is kept small.  Loops do one thing and test nothing a row:
 * num of a NULL is 0, which a sum does not feel, and from which a mask makes
 * the value that a minimum or a maximum does not.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "aggregate_impl.h"

void
flow_agg_begin(FlowAggOp op, FlowAgg *agg)
{
	memset(agg, 0, sizeof(*agg));
	/* what -0 is added to stays as it is */
	if (op == FLOW_AGG_SUM_FLOAT8)
		agg->u.f8.value = -0.0;
	else if (op == FLOW_AGG_SUM_FLOAT4)
		agg->u.f4 = -0.0f;
}

/* How many of n bytes, each 0 or 1, are 1; eight at a time. */
static uint32_t
count_ones(const uint8_t *p, uint32_t n)
{
	uint32_t ones = 0;
	uint32_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		uint64_t eight;

		memcpy(&eight, p + i, 8);
		ones += (uint32_t) ((eight * UINT64_C(0x0101010101010101)) >> 56);
	}
	for (; i < n; i++)
		ones += p[i];
	return ones;
}

/* ---------------------------------------------------------------- integers */

/*
 * The halves of the numbers are added up apart: of one slice neither sum can
 * overflow.
 */
static void
sum_int(FlowAgg *agg, const FlowAggSlice *s)
{
	uint64_t low = 0;
	int64_t high = 0;
	uint64_t add_lo, add_hi;

	for (uint32_t i = 0; i < s->n; i++)
	{
		low += (uint32_t) s->num[i];
		high += s->num[i] >> 32;
	}
	/* high * 2^32 + low, in 128 bits */
	add_lo = (uint64_t) high << 32;
	add_hi = (uint64_t) (high >> 32);
	add_lo += low;
	add_hi += add_lo < low;
	agg->u.sum.lo += add_lo;
	add_hi += agg->u.sum.lo < add_lo;
	agg->u.sum.hi = (int64_t) ((uint64_t) agg->u.sum.hi + add_hi);
}

static int64_t
least_int(const FlowAggSlice *s)
{
	int64_t m0 = INT64_MAX, m1 = INT64_MAX;
	uint32_t i = 0;

	if (s->null)
	{
		for (; i < s->n; i++)
		{
			int64_t x = s->num[i] | (int64_t) (flowi_agg_null_mask(s, i) &
											   (uint64_t) INT64_MAX);

			m0 = x < m0 ? x : m0;
		}
		return m0;
	}
	for (; i + 2 <= s->n; i += 2)
	{
		m0 = s->num[i] < m0 ? s->num[i] : m0;
		m1 = s->num[i + 1] < m1 ? s->num[i + 1] : m1;
	}
	if (i < s->n)
		m0 = s->num[i] < m0 ? s->num[i] : m0;
	return m0 < m1 ? m0 : m1;
}

static int64_t
greatest_int(const FlowAggSlice *s)
{
	int64_t m0 = INT64_MIN, m1 = INT64_MIN;
	uint32_t i = 0;

	if (s->null)
	{
		for (; i < s->n; i++)
		{
			int64_t x = s->num[i] | (int64_t) (flowi_agg_null_mask(s, i) << 63);

			m0 = x > m0 ? x : m0;
		}
		return m0;
	}
	for (; i + 2 <= s->n; i += 2)
	{
		m0 = s->num[i] > m0 ? s->num[i] : m0;
		m1 = s->num[i + 1] > m1 ? s->num[i + 1] : m1;
	}
	if (i < s->n)
		m0 = s->num[i] > m0 ? s->num[i] : m0;
	return m0 > m1 ? m0 : m1;
}

static void
min_int(FlowAgg *agg, const FlowAggSlice *s)
{
	int64_t m = least_int(s);

	if (agg->n == 0 || m < agg->u.num)
		agg->u.num = m;
}

static void
max_int(FlowAgg *agg, const FlowAggSlice *s)
{
	int64_t m = greatest_int(s);

	if (agg->n == 0 || m > agg->u.num)
		agg->u.num = m;
}

/* -------------------------------------------------------------------- all */

static bool
add_slice(FlowAggOp op, FlowAgg *agg, const FlowAggSlice *s)
{
	switch (op)
	{
		case FLOW_AGG_COUNT:
			return true;
		case FLOW_AGG_SUM_INT:
			sum_int(agg, s);
			return true;
		case FLOW_AGG_MIN_INT:
			min_int(agg, s);
			return true;
		case FLOW_AGG_MAX_INT:
			max_int(agg, s);
			return true;
		case FLOW_AGG_SUM_FLOAT4:
			return flowi_agg_sum_float4(agg, s);
		case FLOW_AGG_AVG_FLOAT4:
			flowi_agg_avg_float4(agg, s);
			return true;
		case FLOW_AGG_MIN_FLOAT4:
			flowi_agg_min_float4(agg, s);
			return true;
		case FLOW_AGG_MAX_FLOAT4:
			flowi_agg_max_float4(agg, s);
			return true;
		case FLOW_AGG_SUM_FLOAT8:
			return flowi_agg_sum_float8(agg, s);
		case FLOW_AGG_AVG_FLOAT8:
			return flowi_agg_avg_float8(agg, s);
		case FLOW_AGG_MIN_FLOAT8:
			flowi_agg_min_float8(agg, s);
			return true;
		case FLOW_AGG_MAX_FLOAT8:
			flowi_agg_max_float8(agg, s);
			return true;
	}
	return true;
}

bool
flow_agg_add(FlowAggOp op, FlowAgg *agg, const FlowColumnVector *v,
			 uint32_t first, uint32_t n)
{
	FlowAggSlice s = {.n = n, .count = n};
	bool fine;

	if (v->any_null)
	{
		s.null = v->null + first;
		s.count -= count_ones(s.null, n);
		if (s.count == 0)
			return true;
		if (s.count == n)
			s.null = NULL;
	}
	if (op != FLOW_AGG_COUNT)
		s.num = v->num + first;
	fine = add_slice(op, agg, &s);
	agg->n += s.count;
	return fine;
}
