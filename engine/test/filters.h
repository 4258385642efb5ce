/*-------------------------------------------------------------------------
 * filters.h
 *	  Filters made up, and what a row passes by one comparison at a time: what
 *	  the tests hold filter.c, and scans with filters, against.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_FILTERS_H
#define FLOW_TEST_FILTERS_H

#include <float.h>
#include <math.h>

#include "../floatbits.h"
#include "../row.h"
#include "check.h"

#define FILTERS_MAX_VALUES 40

/* Some of few, so that they meet; NaNs of all kinds among them. */
static inline double
filters_random_double(CheckRandom *r, bool narrow)
{
	switch (check_below(r, 16))
	{
		case 0:
			return NAN;
		case 1:
			return -NAN;
		case 2:
			return flowi_double(INT64_C(0x7ff0000000000001));
		case 3:
			return 0.0;
		case 4:
			return -0.0;
		case 5:
			return INFINITY;
		case 6:
			return -INFINITY;
		case 7:
			return narrow ? FLT_MAX : DBL_MAX;
		case 8:
			return narrow ? -FLT_TRUE_MIN : -DBL_TRUE_MIN;
		case 9:
			return narrow ? 0.1f : 0.1;
		default:
			return (double) check_below(r, 9) - 4;
	}
}

static inline int64_t
filters_random_int(CheckRandom *r, uint32_t bytes)
{
	int64_t max = bytes == 8 ? INT64_MAX : (INT64_C(1) << (8 * bytes - 1)) - 1;

	switch (check_below(r, 12))
	{
		case 0:
			return max;
		case 1:
			return -max - 1;
		case 2:
			return bytes == 8 ? (int64_t) check_random(r) : 0;
		default:
			return (int64_t) check_below(r, 9) - 4;
	}
}

/* As a vector has it. */
static inline int64_t
filters_random_number(CheckRandom *r, const FlowColumn *col)
{
	if (col->kind == FLOW_COLUMN_INT)
		return filters_random_int(r, col->bytes);
	if (col->bytes == 8)
		return flowi_double_bits(filters_random_double(r, false));
	return flowi_float_bits((float) filters_random_double(r, true));
}

/* As a filter has it: doubles, and integers that the column may be too
 * narrow for. */
static inline int64_t
filters_random_value(CheckRandom *r, const FlowColumn *col)
{
	if (col->kind == FLOW_COLUMN_INT)
		return filters_random_int(r, check_below(r, 3) == 0 ? 8 : col->bytes);
	return flowi_double_bits(filters_random_double(r, check_below(r, 2) == 0));
}

static inline int64_t
filters_widened(const FlowColumn *col, int64_t num)
{
	if (col->kind == FLOW_COLUMN_INT || col->bytes == 8)
		return num;
	return flowi_double_bits((double) flowi_float(num));
}

/* PostgreSQL's float8_cmp_internal, and plain integers. */
static inline int
filters_compare(const FlowColumn *col, int64_t a, int64_t b)
{
	double x = flowi_double(a), y = flowi_double(b);

	if (col->kind == FLOW_COLUMN_INT)
		return a < b ? -1 : a > b;
	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x < y ? -1 : x > y;
}

/* Does number i of the column's vector pass? */
static inline bool
filters_passes(const FlowFilter *f, const FlowColumn *col,
			   const FlowColumnVector *v, uint32_t i)
{
	int64_t x;
	int c;

	if (f->op == FLOW_FILTER_NULL)
		return v->null[i];
	if (f->op == FLOW_FILTER_NOT_NULL || v->null[i])
		return !v->null[i];
	x = filters_widened(col, v->num[i]);
	if (f->op == FLOW_FILTER_IN)
	{
		for (uint32_t k = 0; k < f->nvalues; k++)
			if (filters_compare(col, x, f->values[k]) == 0)
				return true;
		return false;
	}
	c = filters_compare(col, x, f->values[0]);
	switch (f->op)
	{
		case FLOW_FILTER_LT:
			return c < 0;
		case FLOW_FILTER_LE:
			return c <= 0;
		case FLOW_FILTER_EQ:
			return c == 0;
		case FLOW_FILTER_GE:
			return c >= 0;
		case FLOW_FILTER_GT:
			return c > 0;
		default:
			return c != 0;
	}
}

/* One on a column of those that the shape and the numbers tell; values has room
 * for FILTERS_MAX_VALUES. */
static inline void
filters_random(FlowFilter *f, CheckRandom *r, const FlowShape *shape,
			   const uint32_t *columns, uint32_t ncolumns, int64_t *values)
{
	const FlowColumn *col;

	f->column = (uint32_t) check_below(r, ncolumns);
	col = &shape->columns[columns[f->column]];
	f->op = (FlowFilterOp) (FLOW_FILTER_LT + check_below(r, 9));
	if (!flowi_column_is_number(col) && f->op < FLOW_FILTER_NULL)
		f->op = FLOW_FILTER_NULL;
	f->values = values;
	f->nvalues = f->op < FLOW_FILTER_IN ? 1 : 0;
	if (f->op == FLOW_FILTER_IN)
		f->nvalues = (uint32_t) check_below(
			r, check_below(r, 2) == 0 ? 5 : FILTERS_MAX_VALUES + 1);
	for (uint32_t i = 0; i < f->nvalues; i++)
	{
		int64_t v = filters_random_value(r, col);
		uint32_t at = i;

		for (; at > 0 && filters_compare(col, values[at - 1], v) > 0; at--)
			values[at] = values[at - 1];
		values[at] = v;
	}
}

#endif /* FLOW_TEST_FILTERS_H */
