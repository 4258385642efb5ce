/*-------------------------------------------------------------------------
 * columndata.h
 *	  Columns of many kinds of values for tests, seeds and measurements.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_COLUMNDATA_H
#define FLOW_TEST_COLUMNDATA_H

#include <math.h>

#include "../column.h"
#include "../floatbits.h"
#include "check.h"

typedef enum Shape
{
	SHAPE_SAME,		/* one value */
	SHAPE_LINEAR,	/* i * step */
	SHAPE_WALK,		/* normal steps, within 0 .. 100, as an integer */
	SHAPE_WALK2,	/* the same with two decimals; of INT in hundredths */
	SHAPE_JITTER,	/* i * step, and something */
	SHAPE_GAPS,		/* the same step but for now and then */
	SHAPE_STEPS,	/* holds for a while */
	SHAPE_SMALL,	/* 0 .. 9 */
	SHAPE_OUTLIERS, /* small, now and then large */
	SHAPE_WIDTH,	/* random, of some number of bits */
	SHAPE_EXTREMES, /* least, greatest, 0, .. */
	SHAPE_RANDOM,	/* any bits */
	SHAPE_REAL,		/* FLOAT: a walk with all digits */
	SHAPE_DECIMAL,	/* FLOAT: some number of decimals; some misfits */
	SHAPE_NSHAPES
} Shape;

typedef enum Nulls
{
	NULLS_NONE,
	NULLS_ALL,
	NULLS_FEW,
	NULLS_HALF,
	NULLS_MOST,
	NULLS_RUNS,
	NULLS_NNULLS
} Nulls;

static const FlowColumn kinds[] = {
	{.kind = FLOW_COLUMN_INT, .bytes = 1},
	{.kind = FLOW_COLUMN_INT, .bytes = 2},
	{.kind = FLOW_COLUMN_INT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT, .bytes = 8},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 4},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 8},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 1},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 16},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 333},
	{.kind = FLOW_COLUMN_PACKED},
	{.kind = FLOW_COLUMN_PLAIN},
	{.kind = FLOW_COLUMN_STRING},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A column of values; memory of malloc. */
typedef struct Column
{
	FlowColumn col;
	FlowColumnVector v;
	uint32_t n;
	uint8_t *heap;
} Column;

static inline void
vector_alloc(FlowColumnVector *v, uint32_t n)
{
	v->num = calloc(n, sizeof(*v->num));
	v->ptr = calloc(n, sizeof(*v->ptr));
	v->bytes = calloc(n, sizeof(*v->bytes));
	v->null = calloc(n, 1);
	v->any_null = false;
	CHECK(v->num && v->ptr && v->bytes && v->null);
}

static inline void
vector_free(FlowColumnVector *v)
{
	free(v->num);
	free(v->ptr);
	free(v->bytes);
	free(v->null);
}

static inline void
column_free(Column *c)
{
	vector_free(&c->v);
	free(c->heap);
}

/* About normal, of variance 1. */
static inline double
columns_normal(CheckRandom *r)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += (double) (check_random(r) >> 11) / 9007199254740992.0;
	return sum - 6;
}

/* What a number of the column is as a double; only FLOAT. */
static inline double
columns_value(const FlowColumn *col, int64_t num)
{
	return col->bytes == 4 ? (double) flowi_float(num) : flowi_double(num);
}

/* An integer as an INT or FLOAT column has it. */
static inline int64_t
columns_number(const FlowColumn *col, int64_t x, double scale)
{
	if (col->kind == FLOW_COLUMN_FLOAT)
		return col->bytes == 4 ? flowi_float_bits((float) ((double) x / scale))
							   : flowi_double_bits((double) x / scale);
	switch (col->bytes)
	{
		case 1:
			return (int8_t) x;
		case 2:
			return (int16_t) x;
		case 4:
			return (int32_t) x;
		default:
			return x;
	}
}

static inline int64_t
columns_extreme(const FlowColumn *col, CheckRandom *r)
{
	static const uint64_t floats[] = {
		0, /* 0, -0, infinities, NaNs, denormals, the greatest */
		UINT64_C(0x8000000000000000),
		UINT64_C(0x7ff0000000000000),
		UINT64_C(0xfff0000000000000),
		UINT64_C(0x7ff8000000000000),
		UINT64_C(0xfff8000000000001),
		UINT64_C(0x7ff4dead0000beef),
		1,
		UINT64_C(0x800fffffffffffff),
		UINT64_C(0x7fefffffffffffff)};
	static const uint32_t floats4[] = {
		0,			0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
		0xffc00001, 0x7fa0beef, 1,			0x807fffff, 0x7f7fffff};
	static const int64_t ints[] = {0,  INT64_MIN, INT64_MAX,	INT64_MIN + 1,
								   -1, 1,		  INT32_MIN,	INT32_MAX,
								   7,  INT16_MIN, INT64_MAX - 1};

	if (col->kind == FLOW_COLUMN_FLOAT && col->bytes == 8)
		return (int64_t) floats[check_below(r, 10)];
	if (col->kind == FLOW_COLUMN_FLOAT)
		return (int32_t) floats4[check_below(r, 10)];
	return columns_number(col, ints[check_below(r, 11)], 1);
}

/* What the shapes of a column remember from value to value. */
typedef struct ColumnsState
{
	double walk;
	int64_t at, step, hold;
	unsigned width, decimals;
} ColumnsState;

static inline int64_t
columns_int(Shape shape, ColumnsState *s, CheckRandom *r)
{
	s->walk += columns_normal(r);
	s->walk = s->walk < 0 ? 0 : s->walk > 100 ? 100 : s->walk;
	s->at = (int64_t) ((uint64_t) s->at + (uint64_t) s->step);
	switch (shape)
	{
		case SHAPE_LINEAR:
			return s->at;
		case SHAPE_WALK:
			return (int64_t) s->walk;
		case SHAPE_WALK2:
			return (int64_t) (s->walk * 100);
		case SHAPE_JITTER:
			return (int64_t) ((uint64_t) s->at + check_below(r, 1000));
		case SHAPE_GAPS:
			if (check_below(r, 100) == 0)
				s->at = (int64_t) ((uint64_t) s->at +
								   check_below(r, 100) * (uint64_t) s->step);
			return s->at;
		case SHAPE_STEPS:
			if (check_below(r, 20) == 0)
				s->hold = (int64_t) check_below(r, 1000);
			return s->hold;
		case SHAPE_SMALL:
			return (int64_t) check_below(r, 10);
		case SHAPE_OUTLIERS:
			return check_below(r, 100) == 0
					   ? (int64_t) check_random(r) >> check_below(r, 40)
					   : (int64_t) check_below(r, 50);
		case SHAPE_WIDTH:
			return s->width == 0
					   ? 0
					   : (int64_t) (check_random(r) >> (64 - s->width));
		case SHAPE_RANDOM:
			return (int64_t) check_random(r);
		default:
			return 42;
	}
}

static inline int64_t
columns_num(const FlowColumn *col, Shape shape, ColumnsState *s, CheckRandom *r)
{
	int64_t x = columns_int(shape, s, r);
	static const double powers[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6};

	if (shape == SHAPE_EXTREMES)
		return columns_extreme(col, r);
	if (col->kind == FLOW_COLUMN_FLOAT && shape == SHAPE_RANDOM)
		return col->bytes == 4 ? (int32_t) x : x;
	if (col->kind == FLOW_COLUMN_FLOAT && shape == SHAPE_REAL)
	{
		double d = s->walk + columns_normal(r) / 7;

		return col->bytes == 4 ? flowi_float_bits((float) d)
							   : flowi_double_bits(d);
	}
	if (shape == SHAPE_DECIMAL && check_below(r, 50) == 0)
		return columns_extreme(col, r);
	if (shape == SHAPE_DECIMAL)
		return columns_number(col, (int64_t) (s->walk * 10000),
							  powers[s->decimals]);
	return columns_number(col, x, shape == SHAPE_WALK2 ? 100 : 1);
}

static inline void
columns_nulls(Column *c, Nulls nulls, CheckRandom *r)
{
	uint8_t now = 0;

	for (uint32_t i = 0; i < c->n; i++)
	{
		if (check_below(r, 30) == 0)
			now = !now;
		c->v.null[i] = nulls == NULLS_ALL	 ? 1
					   : nulls == NULLS_FEW	 ? check_below(r, 50) == 0
					   : nulls == NULLS_HALF ? check_below(r, 2)
					   : nulls == NULLS_MOST ? check_below(r, 50) != 0
					   : nulls == NULLS_RUNS ? now
											 : 0;
		c->v.any_null |= c->v.null[i];
	}
}

/* A value of bytes with its header, at p; at most 300 and 6 bytes. */
static inline uint32_t
columns_bytes(const FlowColumn *col, Shape shape, ColumnsState *s,
			  CheckRandom *r, uint8_t *p)
{
	uint64_t x = (uint64_t) columns_int(shape, s, r);
	uint32_t len = col->bytes;
	uint8_t *at = p;

	if (col->kind != FLOW_COLUMN_FIXED)
	{
		len = shape == SHAPE_LINEAR || shape == SHAPE_SAME ? 12
			  : shape == SHAPE_EXTREMES ? (uint32_t) check_below(r, 300)
										: (uint32_t) (x % 20);
		if (col->kind == FLOW_COLUMN_PACKED && len <= 126)
			*at++ = (uint8_t) ((len + 1) * 2 + 1);
		else
		{
			if (col->kind != FLOW_COLUMN_STRING)
				*at++ = 0;
			at = flowi_put_varint(at, len);
		}
	}
	for (uint32_t i = 0; i < len; i++)
		*at++ = shape == SHAPE_RANDOM || shape == SHAPE_EXTREMES
					? (uint8_t) check_random(r)
					: (uint8_t) ('a' + (x >> (i % 8 * 4) & 15));
	return (uint32_t) (at - p);
}

static inline void
column_make(Column *c, const FlowColumn *col, Shape shape, Nulls nulls,
			uint32_t n, CheckRandom *r)
{
	ColumnsState s = {.walk = (double) check_below(r, 100),
					  .at = check_below(r, 2) ? 0 : (int64_t) 1 << 50,
					  .step = (int64_t) check_below(r, 3000) - 1000,
					  .width = (unsigned) check_below(r, 65),
					  .decimals = (unsigned) check_below(r, 7)};
	size_t most = col->kind == FLOW_COLUMN_FIXED ? col->bytes : 306;
	size_t used = 0;

	c->col = *col;
	c->n = n;
	c->heap = NULL;
	vector_alloc(&c->v, n);
	columns_nulls(c, nulls, r);
	if (col->kind != FLOW_COLUMN_INT && col->kind != FLOW_COLUMN_FLOAT)
	{
		c->heap = malloc(n * most);
		CHECK(c->heap != NULL);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		if (c->heap == NULL)
			c->v.num[i] = columns_num(col, shape, &s, r);
		else if (!c->v.null[i])
		{
			c->v.ptr[i] = c->heap + used;
			c->v.bytes[i] = columns_bytes(col, shape, &s, r, c->heap + used);
			used += c->v.bytes[i];
		}
	}
}

/* Numbers from .. of what has been read are those of the column from first. */
static inline void
column_check(const Column *c, uint32_t first, uint32_t count,
			 const FlowColumnVector *v, uint32_t at)
{
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t from = first + i;
		uint32_t to = at + i;

		CHECK(v->null[to] == c->v.null[from]);
		CHECK(!v->null[to] || v->any_null);
		if (c->heap == NULL)
			CHECK(v->num[to] == (c->v.null[from] ? 0 : c->v.num[from]));
		else if (c->v.null[from])
			CHECK(v->ptr[to] == NULL && v->bytes[to] == 0);
		else
			CHECK(v->bytes[to] == c->v.bytes[from] &&
				  memcmp(v->ptr[to], c->v.ptr[from], v->bytes[to]) == 0);
	}
}

#endif /* FLOW_TEST_COLUMNDATA_H */
