/*-------------------------------------------------------------------------
 * column_float.c
 *	  Write columns of doubles and floats: decimals, or their bits.
 *
 * Most doubles in databases were decimals once: an integer over a power of
 * ten (Afroozeh, Kuffo and Boncz, ALP: Adaptive lossless floating-point
 * compression, SIGMOD 2023).  One exponent serves a chunk, taken from a sample;
 * what it does not give back bit by bit is a patch.  The integer is divided by
 * the power, not multiplied by its inverse: a quotient of two numbers that are
 * exact is the double that is nearest to the decimal, so that exponents need no
 * second one to mend errors, as ALP's do.
 *
 * Others are their bits, as integers, without the zero bits that all have at
 * the end.  Neighbours that are near have bits that are near, so frames of
 * differences take what their exponents and first digits have in common.  XOR
 * with the value before (Pelkonen et al., Gorilla, VLDB 2015) has no encoding
 * of its own: differences have the same zeros in front, and keep them where a
 * carry would spoil them.  In frames of 128 XOR took 4 to 9 % more for walks, 1 %
 * more for a value with noise, as much for random ones.
 *-------------------------------------------------------------------------
 */
#include "column_float.h"

#define SAMPLE 32u
#define PART 64u	/* values that are looked at together */
#define HOPELESS 8u /* so many, all of them no decimals, end the sample */

/* Integers up to here keep all digits that count: 15 of a double, 7 of a
 * float.  What has more is better kept as bits. */
#define DOUBLE_LIMIT 2251799813685248.0 /* 2^51 */
#define FLOAT_LIMIT 16777216.0			/* 2^24 */

/* Is the number a decimal with that power, and if so of which integer? */
static inline bool
to_decimal(int64_t num, double power, uint32_t bytes, int64_t *mp)
{
	double d = flowi_column_double(num, bytes) * power;
	double limit = bytes == 4 ? FLOAT_LIMIT : DOUBLE_LIMIT;

	if (!(d > -limit && d < limit)) /* NaN is not */
		return false;
	*mp = (int64_t) ((d + ROUND) - ROUND);
	return from_decimal(*mp, power, bytes) == num;
}

/* The smallest exponent of a number, or DECIMAL_MAX + 1. */
static unsigned
exponent_of(int64_t num, uint32_t bytes)
{
	int64_t m;

	for (unsigned e = 0; e <= DECIMAL_MAX; e++)
		if (to_decimal(num, power10[e], bytes, &m))
			return e;
	return DECIMAL_MAX + 1;
}

/*
 * choose_exponent
 *		The smallest exponent that suits nearly all of a sample, or
 *		DECIMAL_MAX + 1.
 */
static unsigned
choose_exponent(const FlowColumnVector *v, uint32_t n, uint32_t bytes)
{
	uint32_t need[DECIMAL_MAX + 2] = {0};
	uint32_t step = FLOW_MAX(n / SAMPLE, 1u);
	uint32_t seen = 0;
	uint32_t beyond = 0;
	unsigned e = DECIMAL_MAX + 1;

	for (uint32_t i = 0; i < n; i += step)
	{
		if (flowi_column_is_null(v, i))
			continue;
		need[exponent_of(v->num[i], bytes)]++;
		if (++seen == HOPELESS && need[DECIMAL_MAX + 1] == seen)
			return DECIMAL_MAX + 1;
	}
	if (seen == 0)
		return 0; /* nothing known: try */
	while (e > 0 && beyond + need[e] <= seen / 8)
		beyond += need[e--];
	return e;
}

/* ----------------------------------------------------------------- bounds */

static FlowStatus
put_bits(double d, FlowBuf *out)
{
	return flowi_buf_u64(out, (uint64_t) bound_bits(d));
}

/* As decimals of that exponent if they are, else as bits. */
static FlowStatus
put_bounds(double min, double max, unsigned exponent, uint32_t bytes,
		   FlowBuf *out)
{
	uint8_t tag = (uint8_t) exponent;
	int64_t lo, hi;

	if (exponent > DECIMAL_MAX ||
		!to_decimal(from_double(min, bytes), power10[exponent], bytes, &lo) ||
		!to_decimal(from_double(max, bytes), power10[exponent], bytes, &hi))
	{
		tag = BOUNDS_BITS;
		FLOW_TRY(flowi_buf_append(out, &tag, 1));
		FLOW_TRY(put_bits(min, out));
		return put_bits(max, out);
	}
	FLOW_TRY(flowi_buf_append(out, &tag, 1));
	FLOW_TRY(flowi_buf_varint(out, flowi_zigzag(lo)));
	return flowi_buf_varint(out, (uint64_t) (hi - lo));
}

FlowStatus
flowi_float_put_one(int64_t num, uint32_t bytes, FlowBuf *out)
{
	uint8_t tag = (uint8_t) exponent_of(num, bytes);
	int64_t m;

	if (tag > DECIMAL_MAX || !to_decimal(num, power10[tag], bytes, &m))
	{
		tag = BOUNDS_BITS;
		FLOW_TRY(flowi_buf_append(out, &tag, 1));
		return flowi_buf_u64(out, (uint64_t) num);
	}
	FLOW_TRY(flowi_buf_append(out, &tag, 1));
	return flowi_buf_varint(out, flowi_zigzag(m));
}

/* ---------------------------------------------------------------- writing */

/* Smallest and greatest of those that are not NULL. */
static void
find_bounds(const FlowColumnVector *v, uint32_t n, uint32_t bytes, double *minp,
			double *maxp)
{
	uint32_t i = 0;
	double min, max;

	while (flowi_column_is_null(v, i))
		i++;
	min = max = flowi_column_double(v->num[i], bytes);
	for (i++; i < n; i++)
	{
		double d = flowi_column_double(v->num[i], bytes);

		if (flowi_column_is_null(v, i))
			continue;
		if (less(d, min))
			min = d;
		if (less(max, d))
			max = d;
	}
	*minp = min;
	*maxp = max;
}

/* Values as bits, without the zeros at the end. */
static FlowStatus
write_bits(FlowColumnWriter *w, const FlowColumn *col,
		   const FlowColumnVector *v, uint32_t n, FlowBuf *out)
{
	FlowBuf *copy = &w->scratch[0];
	uint64_t mask = col->bytes == 4 ? UINT32_MAX : UINT64_MAX;
	uint64_t all = 0;
	FlowNumLook look;
	uint8_t shift;
	int64_t *x;

	copy->len = 0;
	FLOW_TRY(flowi_buf_append(copy, v->num, (size_t) n * sizeof(*x)));
	x = (int64_t *) copy->data;
	for (uint32_t i = 0; i < n; i++)
		if (!flowi_column_is_null(v, i))
			all |= (uint64_t) x[i] & mask;
	shift = all == 0 ? 0 : (uint8_t) __builtin_ctzll(all);
	for (uint32_t i = 0; i < n; i++)
		x[i] = (int64_t) (((uint64_t) x[i] & mask) >> shift);
	if (v->any_null)
		flowi_num_fill(x, v->null, n);
	look = flowi_num_look(x, n);
	FLOW_TRY(flowi_buf_append(out, &shift, 1));
	return flowi_num_write(&w->num, x, n, &look, out);
}

/*
 * all_decimals
 *		to_decimal of PART doubles: are they all?  Without a branch, for
 *		compilers to make vectors of.
 */
static bool
all_decimals(const int64_t *num, double power, int64_t *m)
{
	uint64_t bad = 0;

	for (uint32_t i = 0; i < PART; i++)
	{
		double d = flowi_double(num[i]) * power + ROUND;
		uint64_t x = (uint64_t) flowi_double_bits(d) - (uint64_t) ROUND_BITS;

		m[i] = (int64_t) x;
		bad |= (x + (UINT64_C(1) << 51)) >> 52; /* what is no integer */
		bad |= (uint64_t) (flowi_double_bits((d - ROUND) / power) ^ num[i]);
	}
	return bad == 0;
}

/* The integers into scratch 0, what is no decimal as a hole in scratch 1, its
 * number in scratch 2. */
static FlowStatus
find_decimals(FlowColumnWriter *w, const FlowColumn *col,
			  const FlowColumnVector *v, uint32_t n, double power)
{
	FlowBuf *x = &w->scratch[0];
	FlowBuf *holes = &w->scratch[1];
	FlowBuf *misfits = &w->scratch[2];
	bool any = v->any_null;
	int64_t *m;

	x->len = holes->len = misfits->len = 0;
	FLOW_TRY(flowi_buf_reserve(x, (size_t) n * sizeof(*m)));
	FLOW_TRY(flowi_buf_reserve(holes, n));
	if (v->any_null)
		memcpy(holes->data, v->null, n);
	else
		memset(holes->data, 0, n);
	m = (int64_t *) x->data;
	for (uint32_t i = 0; i < n; i++)
	{
		if (i % PART == 0 && n - i >= PART && col->bytes == 8 &&
			all_decimals(v->num + i, power, m + i))
		{
			i += PART - 1;
			continue;
		}
		if (to_decimal(v->num[i], power, col->bytes, &m[i]) || holes->data[i])
			continue;
		any = true;
		holes->data[i] = 1;
		FLOW_TRY(flowi_buf_u32(misfits, i));
	}
	if (any)
		flowi_num_fill(m, holes->data, n);
	return FLOW_OK;
}

/* What find_decimals has found, behind the bounds. */
static FlowStatus
put_decimals(FlowColumnWriter *w, const FlowColumn *col,
			 const FlowColumnVector *v, uint32_t n, unsigned exponent,
			 const FlowNumLook *look, FlowBuf *out)
{
	const FlowBuf *misfits = &w->scratch[2];
	uint8_t e = (uint8_t) exponent;

	FLOW_TRY(flowi_buf_append(out, &e, 1));
	FLOW_TRY(flowi_buf_varint(out, misfits->len / 4));
	FLOW_TRY(flowi_buf_append(out, misfits->data, misfits->len));
	for (size_t i = 0; i < misfits->len; i += 4)
	{
		int64_t num = v->num[flowi_get32(misfits->data + i)];

		FLOW_TRY(col->bytes == 4 ? flowi_buf_u32(out, (uint32_t) num)
								 : flowi_buf_u64(out, (uint64_t) num));
	}
	return flowi_num_write(&w->num, (const int64_t *) w->scratch[0].data, n,
						   look, out);
}

FlowStatus
flowi_float_write(FlowColumnWriter *w, const FlowColumn *col,
				  const FlowColumnVector *v, uint32_t n, uint8_t *encodingp,
				  FlowBuf *out)
{
	unsigned exponent = choose_exponent(v, n, col->bytes);
	FlowNumLook look;
	double min, max;

	*encodingp = FLOW_CHUNK_DECIMALS;
	if (exponent <= DECIMAL_MAX)
	{
		FLOW_TRY(find_decimals(w, col, v, n, power10[exponent]));
		look = flowi_num_look((const int64_t *) w->scratch[0].data, n);
		if (w->scratch[2].len == 0)
		{
			min = (double) look.lo / power10[exponent];
			max = (double) look.hi / power10[exponent];
			if (col->bytes == 4)
			{
				min = (double) (float) min;
				max = (double) (float) max;
			}
		}
		else
			find_bounds(v, n, col->bytes, &min, &max);
		if (w->scratch[2].len / 4 <= n / 4)
		{
			FLOW_TRY(put_bounds(min, max, exponent, col->bytes, out));
			return put_decimals(w, col, v, n, exponent, &look, out);
		}
	}
	else
		find_bounds(v, n, col->bytes, &min, &max);
	*encodingp = FLOW_CHUNK_BITS;
	FLOW_TRY(put_bounds(min, max, DECIMAL_MAX + 1, col->bytes, out));
	return write_bits(w, col, v, n, out);
}
