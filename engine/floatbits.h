/*-------------------------------------------------------------------------
 * floatbits.h
 *	  Floats and the bits that vectors of columns have of them: those of 4
 *	  bytes sign-extended from 32 bits.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_FLOATBITS_H
#define FLOW_FLOATBITS_H

#include <stdint.h>
#include <string.h>

static inline double
flowi_double(int64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static inline int64_t
flowi_double_bits(double d)
{
	int64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static inline float
flowi_float(int64_t bits)
{
	int32_t low = (int32_t) bits;
	float f;

	memcpy(&f, &low, sizeof(f));
	return f;
}

static inline int64_t
flowi_float_bits(float f)
{
	int32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

#endif /* FLOW_FLOATBITS_H */
