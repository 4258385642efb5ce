/*-------------------------------------------------------------------------
 * aggregate_float.c
 *	  Aggregates of one column over slices: floats.
 *
 * PostgreSQL reports an overflow when finite values have an infinite sum, and
 * for an average also when the sum of squared deviations, which it works out
 * along with it, becomes infinite (Youngs and Cramer, "Some results relevant
 * to choice of sum and sum-of-product algorithms", Technometrics 13, 1971).
 * No sum of values below HUGE_VALUE gets there.  From the first slice with a
 * greater one on, or with an infinity or a NaN, values are added one after
 * the other, as PostgreSQL does, with its checks; what squares came before is
 * nothing beside what overflows.
 *
 * NaN is greater than all else and equals itself.  Of values that are equal
 * but not the same, which are zeros only, the last one is a minimum or a
 * maximum.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <math.h>

#include "aggregate_impl.h"
#include "floatbits.h"

/* 2^60 values below it have a sum and squared deviations far from overflow. */
#define HUGE_VALUE 1e100

static inline double
value8(const FlowAggSlice *s, uint32_t i)
{
	return flowi_double(s->num[i]);
}

static inline float
value4(const FlowAggSlice *s, uint32_t i)
{
	return flowi_float(s->num[i]);
}

/* The same, -0 for a NULL: what is added to a sum without a trace. */
static inline double
addend8(const FlowAggSlice *s, uint32_t i)
{
	return flowi_double(
		(int64_t) ((uint64_t) s->num[i] | flowi_agg_null_mask(s, i) << 63));
}

static inline float
addend4(const FlowAggSlice *s, uint32_t i)
{
	return flowi_float((uint32_t) s->num[i] | (uint32_t) s->null[i] << 31);
}

/* ---------------------------------------------------------------- doubles */

/* Two numbers of a slice, as they are and as doubles: vectors of this size are
 * what every processor has. */
typedef uint64_t Bits2 __attribute__((vector_size(16)));
typedef double Double2 __attribute__((vector_size(16)));

static inline Bits2
load2(const int64_t *num)
{
	Bits2 v;

	memcpy(&v, num, sizeof(v));
	return v;
}

#define MAGNITUDE UINT64_C(0x7fffffffffffffff)

/*
 * What is added to the bits of a magnitude to set the highest one when it is
 * HUGE_VALUE or more, infinite, or a NaN: their order is that of the numbers.
 */
static inline uint64_t
to_huge(void)
{
	return (UINT64_C(1) << 63) - (uint64_t) flowi_double_bits(HUGE_VALUE);
}

/* The sum of a slice without NULLs, eight numbers at a time. */
static double
sum_values(const FlowAggSlice *s, bool *hugep)
{
	const uint64_t c = to_huge();
	const Bits2 mask = {MAGNITUDE, MAGNITUDE};
	const Bits2 more = {c, c};
	Double2 s0 = {-0.0, -0.0}, s1 = s0, s2 = s0, s3 = s0;
	Bits2 huge = {0, 0};
	uint64_t rest_huge = 0;
	double rest = -0.0;
	uint32_t i = 0;

	for (; i + 8 <= s->n; i += 8)
	{
		const int64_t *num = s->num + i;
		Bits2 a = load2(num), b = load2(num + 2);
		Bits2 d = load2(num + 4), e = load2(num + 6);

		s0 += (Double2) a;
		s1 += (Double2) b;
		s2 += (Double2) d;
		s3 += (Double2) e;
		huge |= ((a & mask) + more) | ((b & mask) + more) |
				((d & mask) + more) | ((e & mask) + more);
	}
	for (; i < s->n; i++)
	{
		rest += value8(s, i);
		rest_huge |= ((uint64_t) s->num[i] & MAGNITUDE) + c;
	}
	*hugep = (huge[0] | huge[1] | rest_huge) >> 63 != 0;
	s0 = (s0 + s1) + (s2 + s3);
	return (s0[0] + s0[1]) + rest;
}

/* The sum of a slice; *hugep: there is a huge value, an infinity or a NaN. */
static double
quick_sum(const FlowAggSlice *s, bool *hugep)
{
	uint64_t huge = 0;
	double sum = -0.0;

	if (s->null == NULL)
		return sum_values(s, hugep);
	for (uint32_t i = 0; i < s->n; i++)
	{
		sum += addend8(s, i);
		huge |= ((uint64_t) s->num[i] & MAGNITUDE) + to_huge();
	}
	*hugep = huge >> 63 != 0;
	return sum;
}

/* Add the slice at once if nothing in it, or before it, is huge. */
static bool
add_quickly(FlowAgg *agg, const FlowAggSlice *s)
{
	double sum;

	if (agg->u.f8.has_huge)
		return false;
	sum = quick_sum(s, &agg->u.f8.has_huge);
	if (agg->u.f8.has_huge)
		return false;
	agg->u.f8.value += sum;
	return true;
}

bool
flowi_agg_sum_float8(FlowAgg *agg, const FlowAggSlice *s)
{
	double sum = agg->u.f8.value;

	if (add_quickly(agg, s))
		return true;
	for (uint32_t i = 0; i < s->n; i++)
	{
		double x = value8(s, i);
		double next = sum + x;

		if (s->null && s->null[i])
			continue;
		if (isinf(next) && !isinf(sum) && !isinf(x))
			return false;
		sum = next;
	}
	agg->u.f8.value = sum;
	return true;
}

/* One more value x of an average; n: how many there are with it. */
static inline bool
add_deviation(FlowAgg *agg, double x, double n)
{
	double sum = agg->u.f8.value + x;
	double sxx = agg->u.f8.sxx;
	double d;

	if (n > 1)
	{
		d = x * n - sum;
		sxx += d * d / (n * (n - 1));
		if (isinf(sum) || isinf(sxx))
		{
			if (!isinf(agg->u.f8.value) && !isinf(x))
				return false;
			sxx = NAN;
		}
	}
	else if (isnan(x) || isinf(x))
		sxx = NAN;
	agg->u.f8.value = sum;
	agg->u.f8.sxx = sxx;
	return true;
}

bool
flowi_agg_avg_float8(FlowAgg *agg, const FlowAggSlice *s)
{
	uint64_t n = agg->n;

	if (add_quickly(agg, s))
		return true;
	for (uint32_t i = 0; i < s->n; i++)
	{
		if (s->null && s->null[i])
			continue;
		if (!add_deviation(agg, value8(s, i), (double) ++n))
			return false;
	}
	return true;
}

/* The sign of the last zero of a slice that has one. */
static double
last_zero8(const FlowAggSlice *s)
{
	for (uint32_t i = s->n; i-- > 0;)
		if (value8(s, i) == 0 && !(s->null && s->null[i]))
			return value8(s, i);
	return 0;
}

static double
least8(const FlowAggSlice *s)
{
	double m0 = INFINITY, m1 = INFINITY;
	uint32_t i = 0;

	for (; !s->null && i + 2 <= s->n; i += 2)
	{
		m0 = value8(s, i) < m0 ? value8(s, i) : m0;
		m1 = value8(s, i + 1) < m1 ? value8(s, i + 1) : m1;
	}
	for (; i < s->n; i++)
	{
		double x = value8(s, i);

		if (s->null && s->null[i])
			x = INFINITY;
		m0 = x < m0 ? x : m0;
	}
	m0 = m0 < m1 ? m0 : m1;
	if (m0 == 0)
		return last_zero8(s);
	if (m0 < INFINITY)
		return m0;
	/* infinities, NaNs, or both */
	for (i = 0; i < s->n; i++)
		if (isinf(value8(s, i)))
			return m0;
	return NAN;
}

static double
greatest8(const FlowAggSlice *s)
{
	double m0 = -INFINITY, m1 = -INFINITY;
	bool has_nan = false;
	uint32_t i = 0;

	for (; !s->null && i + 2 <= s->n; i += 2)
	{
		m0 = value8(s, i) > m0 ? value8(s, i) : m0;
		m1 = value8(s, i + 1) > m1 ? value8(s, i + 1) : m1;
		has_nan |= isunordered(value8(s, i), value8(s, i + 1));
	}
	for (; i < s->n; i++)
	{
		double x = value8(s, i);

		if (s->null && s->null[i])
			x = -INFINITY;
		m0 = x > m0 ? x : m0;
		has_nan |= isnan(x);
	}
	if (has_nan)
		return NAN;
	m0 = m0 > m1 ? m0 : m1;
	return m0 == 0 ? last_zero8(s) : m0;
}

/* The later of two equal values goes first, as in float8smaller. */
static void
take_least(FlowAgg *agg, double x)
{
	double *m = &agg->u.f8.value;

	if (agg->n == 0 || isnan(*m) || x <= *m)
		*m = x;
}

static void
take_greatest(FlowAgg *agg, double x)
{
	double *m = &agg->u.f8.value;

	if (agg->n == 0 || isnan(x) || x >= *m)
		*m = x;
}

void
flowi_agg_min_float8(FlowAgg *agg, const FlowAggSlice *s)
{
	take_least(agg, least8(s));
}

void
flowi_agg_max_float8(FlowAgg *agg, const FlowAggSlice *s)
{
	take_greatest(agg, greatest8(s));
}

/* ----------------------------------------------------------------- floats */

/* Rounded to a float at each addition, in the order of the rows. */
bool
flowi_agg_sum_float4(FlowAgg *agg, const FlowAggSlice *s)
{
	float sum = agg->u.f4;

	if (s->null)
		for (uint32_t i = 0; i < s->n; i++)
			sum += addend4(s, i);
	else
		for (uint32_t i = 0; i < s->n; i++)
			sum += value4(s, i);
	if (isinf(sum) || isnan(sum))
	{
		/* which came first, an infinity among the values or an overflow? */
		sum = agg->u.f4;
		for (uint32_t i = 0; i < s->n; i++)
		{
			float x = s->null ? addend4(s, i) : value4(s, i);
			float next = sum + x;

			if (isinf(next) && !isinf(sum) && !isinf(x))
				return false;
			sum = next;
		}
	}
	agg->u.f4 = sum;
	return true;
}

/* In doubles, which no sum of floats overflows, nor of their squares. */
void
flowi_agg_avg_float4(FlowAgg *agg, const FlowAggSlice *s)
{
	double s0 = 0, s1 = 0;
	uint32_t i = 0;

	for (; i + 2 <= s->n; i += 2)
	{
		s0 += (double) value4(s, i);
		s1 += (double) value4(s, i + 1);
	}
	if (i < s->n)
		s0 += (double) value4(s, i);
	agg->u.f8.value += s0 + s1;
}

/* A float's order is that of the double it is equal to. */
void
flowi_agg_min_float4(FlowAgg *agg, const FlowAggSlice *s)
{
	bool any = false;
	float m = 0;

	for (uint32_t i = 0; i < s->n; i++)
	{
		float x = value4(s, i);

		if (s->null && s->null[i])
			continue;
		if (!any || isnan(m) || x <= m)
			m = x;
		any = true;
	}
	take_least(agg, (double) m);
}

void
flowi_agg_max_float4(FlowAgg *agg, const FlowAggSlice *s)
{
	bool any = false;
	float m = 0;

	for (uint32_t i = 0; i < s->n; i++)
	{
		float x = value4(s, i);

		if (s->null && s->null[i])
			continue;
		if (!any || isnan(x) || x >= m)
			m = x;
		any = true;
	}
	take_greatest(agg, (double) m);
}
