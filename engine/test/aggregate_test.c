/*-------------------------------------------------------------------------
 * aggregate_test.c
 *	  Aggregates over slices beside a model that takes value by value, as
 *	  PostgreSQL's own functions do.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <math.h>
#include <string.h>

#include "../aggregate.h"
#include "../floatbits.h"

#define MAX_ROWS 4096

/* ------------------------------------------------------------------ model */

/* What PostgreSQL would have come to. */
typedef struct Model
{
	uint64_t n;
	bool overflow;
	__int128 sum;
	int64_t num;
	double d; /* sum, minimum, maximum */
	double sxx;
	double greatest; /* magnitude */
	float f;
} Model;

/* float8_lt: NaN is greater than all else. */
static bool
less(double a, double b)
{
	if (isnan(a))
		return false;
	return isnan(b) || a < b;
}

static void
model_sum(Model *m, double x)
{
	double sum = m->d + x;

	if (m->n == 1)
		sum = x;
	else if (isinf(sum) && !isinf(m->d) && !isinf(x))
		m->overflow = true;
	m->d = sum;
}

/* float8_accum */
static void
model_avg(Model *m, double x)
{
	double n = (double) m->n;
	double old = m->d;
	double tmp;

	m->d += x;
	if (m->n == 1)
	{
		if (isnan(x) || isinf(x))
			m->sxx = NAN;
		return;
	}
	tmp = x * n - m->d;
	m->sxx += tmp * tmp / (n * (n - 1));
	if (isinf(m->d) || isinf(m->sxx))
	{
		if (!isinf(old) && !isinf(x))
			m->overflow = true;
		m->sxx = NAN;
	}
}

static void
model_add(FlowAggOp op, Model *m, int64_t num)
{
	double d = op < FLOW_AGG_SUM_FLOAT8 ? (double) flowi_float(num)
										: flowi_double(num);
	float f;

	m->n++;
	m->greatest = fabs(d) > m->greatest ? fabs(d) : m->greatest;
	switch (op)
	{
		case FLOW_AGG_COUNT:
			break;
		case FLOW_AGG_SUM_INT:
			m->sum += num;
			break;
		case FLOW_AGG_MIN_INT:
			m->num = m->n == 1 || num < m->num ? num : m->num;
			break;
		case FLOW_AGG_MAX_INT:
			m->num = m->n == 1 || num > m->num ? num : m->num;
			break;
		case FLOW_AGG_SUM_FLOAT4:
			f = m->n == 1 ? flowi_float(num) : m->f + flowi_float(num);
			if (m->n > 1 && isinf(f) && !isinf(m->f) &&
				!isinf(flowi_float(num)))
				m->overflow = true;
			m->f = f;
			break;
		case FLOW_AGG_AVG_FLOAT4:
		case FLOW_AGG_AVG_FLOAT8:
			model_avg(m, d);
			break;
		case FLOW_AGG_SUM_FLOAT8:
			model_sum(m, d);
			break;
		case FLOW_AGG_MIN_FLOAT4:
		case FLOW_AGG_MIN_FLOAT8:
			m->d = m->n == 1 || !less(m->d, d) ? d : m->d;
			break;
		case FLOW_AGG_MAX_FLOAT4:
		case FLOW_AGG_MAX_FLOAT8:
			m->d = m->n == 1 || !less(d, m->d) ? d : m->d;
			break;
	}
}

/* ---------------------------------------------------------------- compare */

static void
check_double(double got, double want)
{
	if (isnan(want))
		CHECK(isnan(got));
	else
		CHECK(flowi_double_bits(got) == flowi_double_bits(want));
}

static void
check_same(FlowAggOp op, const FlowAgg *agg, const Model *m)
{
	CHECK(agg->n == m->n);
	if (m->n == 0)
		return;
	switch (op)
	{
		case FLOW_AGG_COUNT:
			break;
		case FLOW_AGG_SUM_INT:
			CHECK(agg->u.sum.lo == (uint64_t) m->sum);
			CHECK(agg->u.sum.hi == (int64_t) (m->sum >> 64));
			break;
		case FLOW_AGG_MIN_INT:
		case FLOW_AGG_MAX_INT:
			CHECK(agg->u.num == m->num);
			break;
		case FLOW_AGG_SUM_FLOAT4:
			check_double((double) agg->u.f4, (double) m->f);
			break;
		case FLOW_AGG_AVG_FLOAT4:
			/* two sums go on at the same time */
			if (isfinite(m->d))
				CHECK(fabs(agg->u.f8.value - m->d) <=
					  1e-15 * (double) m->n * m->greatest);
			else
				check_double(agg->u.f8.value, m->d);
			break;
		default:
			check_double(agg->u.f8.value, m->d);
			break;
	}
}

/* A column of n rows, cut into slices at random, beside the model. */
static void
run(FlowAggOp op, const int64_t *num, const uint8_t *null, bool any_null,
	uint32_t n, CheckRandom *rnd)
{
	FlowColumnVector v = {
		.num = (int64_t *) num, .null = (uint8_t *) null, .any_null = any_null};
	Model m = {0};
	FlowAgg agg;
	bool fine = true;

	for (uint32_t i = 0; i < n && !m.overflow; i++)
		if (!null[i])
			model_add(op, &m, num[i]);
	flow_agg_begin(op, &agg);
	for (uint32_t at = 0; at < n && fine;)
	{
		uint32_t max = check_random(rnd) % 3 == 0 ? 8 : FLOW_VECTOR_ROWS;
		uint32_t rows = 1 + (uint32_t) (check_random(rnd) % max);

		rows = rows > n - at ? n - at : rows;
		fine = flow_agg_add(op, &agg, &v, at, rows);
		at += rows;
	}
	CHECK(fine == !m.overflow);
	if (fine)
		check_same(op, &agg, &m);
}

/* ----------------------------------------------------------------- values */

/* Sums of these are exact in any order, so every bit must agree. */
static double
small_double(CheckRandom *rnd)
{
	uint64_t r = check_random(rnd);

	switch (r % 8)
	{
		case 0:
			return 0.0;
		case 1:
			return -0.0;
		default:
			return (double) (int64_t) (r >> 8 & 0xfffff) - 0x80000;
	}
}

static double
special_double(CheckRandom *rnd, bool single)
{
	static const double doubles[] = {INFINITY, -INFINITY, NAN,	 1.7e308,
									 -1.7e308, 1e154,	  1e200, -1e153};
	static const double floats[] = {INFINITY, -INFINITY, NAN,  3.4e38,
									-3.4e38,  1e30,		 2e38, -1e37};
	uint64_t r = check_random(rnd) % 8;

	return single ? floats[r] : doubles[r];
}

static int64_t
make_int(CheckRandom *rnd, uint32_t kind)
{
	uint64_t r = check_random(rnd);

	switch (kind)
	{
		case 0:
			return (int16_t) r;
		case 1:
			return (int32_t) r;
		case 2:
			return r & 1 ? INT64_MAX - (int64_t) (r >> 60)
						 : INT64_MIN + (int64_t) (r >> 60);
		case 3:
			return INT64_MIN;
		default:
			return (int64_t) r;
	}
}

/* ------------------------------------------------------------------ tests */

static int64_t num[MAX_ROWS];
static uint8_t null[MAX_ROWS];

/* In one run in two there are NULLs, few or many; true if so. */
static bool
make_nulls(CheckRandom *rnd, uint32_t n)
{
	uint32_t share = (uint32_t) (check_random(rnd) % 6);
	bool any = false;

	for (uint32_t i = 0; i < n; i++)
	{
		null[i] = share > 2 && check_random(rnd) % 5 < share - 1;
		any |= null[i] != 0;
		if (null[i])
			num[i] = 0;
	}
	return any || check_random(rnd) % 4 == 0;
}

static void
test_ints(CheckRandom *rnd)
{
	for (int round = 0; round < 3000; round++)
	{
		uint32_t n =
			(uint32_t) (check_random(rnd) % (round % 10 == 0 ? MAX_ROWS : 40));
		uint32_t kind = (uint32_t) (check_random(rnd) % 5);
		bool any;

		for (uint32_t i = 0; i < n; i++)
			num[i] = make_int(rnd, kind);
		any = make_nulls(rnd, n);
		for (FlowAggOp op = FLOW_AGG_COUNT; op <= FLOW_AGG_MAX_INT; op++)
			run(op, num, null, any, n, rnd);
	}
	check_passed("counts and integers");
}

/* one in so many is special; 0: none */
static void
float_round(CheckRandom *rnd, bool single, uint32_t one_in, uint32_t n)
{
	bool any;

	for (uint32_t i = 0; i < n; i++)
	{
		double d = one_in > 0 && check_random(rnd) % one_in == 0
					   ? special_double(rnd, single)
					   : small_double(rnd);

		/* exact sums of floats, too */
		if (single && fabs(d) < 0x80000)
			d = d == 0 ? d : (double) ((int) d % 64);
		num[i] = single ? flowi_float_bits((float) d) : flowi_double_bits(d);
	}
	any = make_nulls(rnd, n);
	for (FlowAggOp op = single ? FLOW_AGG_SUM_FLOAT4 : FLOW_AGG_SUM_FLOAT8;
		 op <= (single ? FLOW_AGG_MAX_FLOAT4 : FLOW_AGG_MAX_FLOAT8); op++)
		run(op, num, null, any, n, rnd);
}

static void
test_floats(CheckRandom *rnd, bool single)
{
	static const uint32_t one_in[] = {0, 2, 20, 500};

	for (int round = 0; round < 4000; round++)
		float_round(
			rnd, single, one_in[round % 4],
			(uint32_t) (check_random(rnd) % (round % 10 == 0 ? MAX_ROWS : 30)));
	check_passed(single ? "floats" : "doubles");
}

/* Cases that decide between an error, an infinity and a NaN. */
static void
test_edges(void)
{
	static const struct
	{
		double x[4];
		bool sum_fails;
		bool avg_fails;
	} cases[] = {
		{{1.7e308, 1.7e308, 0, 0}, true, true},
		{{1.7e308, -1.7e308, 0, 0}, false, true},
		{{1e200, 0, 0, 0}, false, true},
		{{1e153, -1e153, 0, 0}, false, false},
		{{INFINITY, 1.7e308, 1.7e308, 0}, false, false},
		{{1.7e308, INFINITY, 1.7e308, 0}, false, false},
		{{1.7e308, 1.7e308, INFINITY, 0}, true, true},
		{{NAN, 1.7e308, 1.7e308, 1.7e308}, false, false},
		{{INFINITY, -INFINITY, 1, 2}, false, false},
	};
	uint8_t none[4] = {0};
	FlowColumnVector v = {.num = num, .null = none};
	FlowAgg agg;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		for (int i = 0; i < 4; i++)
			num[i] = flowi_double_bits(cases[c].x[i]);
		flow_agg_begin(FLOW_AGG_SUM_FLOAT8, &agg);
		CHECK(flow_agg_add(FLOW_AGG_SUM_FLOAT8, &agg, &v, 0, 4) ==
			  !cases[c].sum_fails);
		flow_agg_begin(FLOW_AGG_AVG_FLOAT8, &agg);
		CHECK(flow_agg_add(FLOW_AGG_AVG_FLOAT8, &agg, &v, 0, 4) ==
			  !cases[c].avg_fails);
	}
	check_passed("overflow");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	test_edges();
	test_ints(&rnd);
	test_floats(&rnd, false);
	test_floats(&rnd, true);
	return 0;
}
