/*-------------------------------------------------------------------------
 * column_float.h
 *	  What writing and reading columns of doubles share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COLUMN_FLOAT_H
#define FLOW_COLUMN_FLOAT_H

#include "column_impl.h"

#define DECIMAL_MAX 18u	 /* exponent; a format */
#define BOUNDS_BITS 0x40 /* in its place: bits, eight bytes each */

/* Added to a double up to 2^51 and taken off again it leaves an integer. */
#define ROUND 6755399441055744.0 /* 2^52 + 2^51 */
#define ROUND_BITS INT64_C(0x4338000000000000)

static const double power10[DECIMAL_MAX + 1] = {
	1e0,  1e1,	1e2,  1e3,	1e4,  1e5,	1e6,  1e7,	1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

/* The number of a column of so many bytes that a double came from. */
static inline int64_t
from_double(double d, uint32_t bytes)
{
	return bytes == 4 ? flowi_float_bits((float) d) : flowi_double_bits(d);
}

/* The integer of a decimal over a power of ten, back as a number. */
static inline int64_t
from_decimal(int64_t m, double power, uint32_t bytes)
{
	return from_double((double) m / power, bytes);
}

/* NaN equals itself and is greater than all else. */
static inline bool
less(double a, double b)
{
	return a < b || (b != b && a == a);
}

static inline int64_t
bound_bits(double d)
{
	return d == d ? flowi_double_bits(d) : FLOW_NAN_BITS;
}

#endif /* FLOW_COLUMN_FLOAT_H */
