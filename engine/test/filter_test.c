/*-------------------------------------------------------------------------
 * filter_test.c
 *	  Filters of vectors against one comparison at a time, in every operator
 *	  and kind; what is said of chunks against their values.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include "../env_posix.h"
#include "../filter.h"
#include "filters.h"

#define NCOLUMNS 6

static const FlowColumn shape_columns[NCOLUMNS] = {
	{.kind = FLOW_COLUMN_INT, .bytes = 8},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 8},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT, .bytes = 2},
	{.kind = FLOW_COLUMN_PACKED},
	{.kind = FLOW_COLUMN_INT, .bytes = 1},
};
static const FlowShape shape = {NCOLUMNS, shape_columns};

/* A vector with all its memory, and what its rows are known by. */
typedef struct Vector
{
	FlowVector vec;
	FlowColumnVector columns[NCOLUMNS];
	int64_t num[NCOLUMNS][FLOW_VECTOR_ROWS];
	const uint8_t *ptr[FLOW_VECTOR_ROWS];
	uint32_t bytes[FLOW_VECTOR_ROWS];
	uint8_t null[NCOLUMNS][FLOW_VECTOR_ROWS];
} Vector;

static FlowEnv *env;
static const uint8_t ground[FLOW_VECTOR_ROWS];

/* --------------------------------------------------------------- vectors */

static void
make_vector(Vector *v, CheckRandom *r, uint32_t n, uint32_t null_percent)
{
	memset(v, 0, sizeof(*v));
	v->vec.nrows = n;
	v->vec.columns = v->columns;
	for (uint32_t c = 0; c < NCOLUMNS; c++)
	{
		const FlowColumn *col = &shape_columns[c];
		FlowColumnVector *cv = &v->columns[c];

		cv->null = v->null[c];
		if (col->kind == FLOW_COLUMN_PACKED)
		{
			cv->ptr = v->ptr;
			cv->bytes = v->bytes;
		}
		else
			cv->num = v->num[c];
		for (uint32_t i = 0; i < n; i++)
		{
			cv->null[i] = check_below(r, 100) < null_percent;
			cv->any_null |= cv->null[i];
			if (cv->null[i])
				continue;
			if (cv->num)
				cv->num[i] = filters_random_number(r, col);
			else
			{
				cv->ptr[i] = ground + i;
				cv->bytes[i] = 1;
			}
		}
	}
	for (uint32_t i = 0; i < n; i++)
	{
		v->vec.key[i] = ground + i;
		v->vec.key_bytes[i] = i;
		v->vec.ts[i] = i;
		v->vec.expire_at[i] = (int64_t) i + 10000;
	}
}

/* --------------------------------------------------------------- filters */

static bool
passes(const FlowFilter *f, const Vector *v, uint32_t i)
{
	return filters_passes(f, &shape_columns[f->column], &v->columns[f->column],
						  i);
}

static const uint32_t numbers[NCOLUMNS] = {0, 1, 2, 3, 4, 5};

static FlowScanSpec
spec_of(const FlowFilter *filters, uint32_t n)
{
	return (FlowScanSpec){.shape = &shape,
						  .columns = numbers,
						  .ncolumns = NCOLUMNS,
						  .filters = filters,
						  .nfilters = n};
}

/* Row i of v is the one that was number was. */
static void
check_moved(const Vector *v, const Vector *before, uint32_t i, uint32_t was)
{
	CHECK(v->vec.key[i] == before->vec.key[was]);
	CHECK(v->vec.key_bytes[i] == before->vec.key_bytes[was]);
	CHECK(v->vec.ts[i] == before->vec.ts[was]);
	CHECK(v->vec.expire_at[i] == before->vec.expire_at[was]);
	for (uint32_t c = 0; c < NCOLUMNS; c++)
	{
		CHECK(v->null[c][i] == before->null[c][was]);
		CHECK(v->num[c][i] == before->num[c][was]);
	}
	CHECK(v->ptr[i] == before->ptr[was]);
	CHECK(v->bytes[i] == before->bytes[was]);
}

static void
vectors(CheckRandom *r, FlowFilters *f, Vector *v, Vector *before)
{
	FlowFilter filters[3];
	int64_t values[3][FILTERS_MAX_VALUES];
	uint16_t sel[FLOW_VECTOR_ROWS];
	uint32_t nfilters = (uint32_t) check_below(r, 4);
	uint32_t n = (uint32_t) check_below(r, 8) == 0
					 ? FLOW_VECTOR_ROWS
					 : (uint32_t) check_below(r, 100);
	uint32_t first = (uint32_t) check_below(r, n + 1);
	FlowScanSpec spec = spec_of(filters, nfilters);
	uint32_t nsel, at = 0;

	make_vector(v, r, n, check_below(r, 2) ? 20 : 0);
	memcpy(before, v, sizeof(*v));
	for (uint32_t i = 0; i < nfilters; i++)
		filters_random(&filters[i], r, &shape, numbers, NCOLUMNS, values[i]);
	CHECK_OK(flowi_filters_set(f, &spec));
	nsel = flowi_filters_select(f, v->columns, first, n - first, sel);
	for (uint32_t i = first; i < n; i++)
	{
		bool all = true;

		for (uint32_t k = 0; k < nfilters; k++)
			all = all && passes(&filters[k], v, i);
		CHECK((at < nsel && sel[at] == i) == all);
		at += all;
	}
	CHECK(at == nsel);
	flowi_filters_compact(&v->vec, v->columns, NCOLUMNS, first, sel, nsel);
	CHECK(v->vec.nrows == first + nsel);
	for (uint32_t i = 0; i < v->vec.nrows; i++)
		check_moved(v, before, i, i < first ? i : sel[i - first]);
}

/* ---------------------------------------------------------------- chunks */

static void
stats_of(const Vector *v, uint32_t c, uint32_t n, FlowColumnStats *s)
{
	const FlowColumn *col = &shape_columns[c];

	*s = (FlowColumnStats){0};
	for (uint32_t i = 0; i < n; i++)
	{
		int64_t x = filters_widened(col, v->num[c][i]);

		if (v->null[c][i])
		{
			s->nulls++;
			continue;
		}
		if (col->kind == FLOW_COLUMN_PACKED)
			continue;
		if (!s->has_bounds || filters_compare(col, x, s->min) < 0)
			s->min = x;
		if (!s->has_bounds || filters_compare(col, x, s->max) > 0)
			s->max = x;
		s->has_bounds = true;
	}
}

/* What is said is true; and of one value, or of a range, all that is known. */
static void
chunks(CheckRandom *r, FlowFilters *f, Vector *v, uint32_t *told)
{
	FlowFilter filter;
	int64_t values[FILTERS_MAX_VALUES];
	uint32_t n = 1 + (uint32_t) check_below(r, check_below(r, 2) ? 3 : 30);
	FlowScanSpec spec = spec_of(&filter, 1);
	FlowColumnStats stats;
	FlowFilterChance chance;
	uint32_t passed = 0;

	make_vector(v, r, n, check_below(r, 2) ? (uint32_t) check_below(r, 90) : 0);
	filters_random(&filter, r, &shape, numbers, NCOLUMNS, values);
	CHECK_OK(flowi_filters_set(f, &spec));
	stats_of(v, filter.column, n, &stats);
	for (uint32_t i = 0; i < n; i++)
		passed += passes(&filter, v, i);
	chance = flowi_filter_chance(&f->step[0], &stats, n);
	told[chance]++;
	CHECK(chance != FLOW_CHANCE_NONE || passed == 0);
	CHECK(chance != FLOW_CHANCE_ALL || passed == n);
	if (filter.op == FLOW_FILTER_NULL || filter.op == FLOW_FILTER_NOT_NULL ||
		n == 1 || filter.op == FLOW_FILTER_LT || filter.op == FLOW_FILTER_GE)
		CHECK((chance == FLOW_CHANCE_SOME) == (passed > 0 && passed < n));
	stats.has_bounds = false;
	chance = flowi_filter_chance(&f->step[0], &stats, n);
	CHECK(chance != FLOW_CHANCE_NONE || passed == 0);
	CHECK(chance != FLOW_CHANCE_ALL || passed == n);
}

/* --------------------------------------------------------------- refused */

static void
refused(FlowFilters *f)
{
	int64_t falling[] = {2, 1};
	int64_t nan_first[] = {flowi_double_bits(NAN), flowi_double_bits(1)};
	int64_t zeros[] = {flowi_double_bits(0.0), flowi_double_bits(-0.0),
					   flowi_double_bits(NAN), flowi_double_bits(-NAN)};
	FlowFilter bad[] = {
		{.column = NCOLUMNS, .op = FLOW_FILTER_NULL},
		{.column = 0, .op = (FlowFilterOp) 0, 1, falling},
		{.column = 0, .op = (FlowFilterOp) 10, 1, falling},
		{.column = 0, .op = FLOW_FILTER_EQ, 0, falling},
		{.column = 0, .op = FLOW_FILTER_EQ, 2, falling},
		{.column = 0, .op = FLOW_FILTER_IN, 2, falling},
		{.column = 1, .op = FLOW_FILTER_IN, 2, nan_first},
		{.column = 4, .op = FLOW_FILTER_EQ, 1, falling},
		{.column = 4, .op = FLOW_FILTER_IN, 0, falling},
	};
	FlowFilter good = {.column = 1, .op = FLOW_FILTER_IN, 4, zeros};
	FlowScanSpec spec;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		spec = spec_of(&bad[i], 1);
		CHECK_STATUS(flowi_filters_set(f, &spec), FLOW_INVALID);
		CHECK(f->n == 0);
	}
	spec = spec_of(&good, 1);
	CHECK_OK(flowi_filters_set(f, &spec));
	CHECK(f->step[0].nan && f->step[0].nvalues == 2);
	spec = spec_of(NULL, 0);
	CHECK_OK(flowi_filters_set(f, &spec));
	check_passed("refused");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	Vector *v = malloc(sizeof(*v));
	Vector *before = malloc(sizeof(*before));
	uint32_t told[3] = {0};
	FlowFilters f;

	CHECK(v != NULL && before != NULL);
	CHECK_OK(flow_env_posix_create((size_t) 16 << 20, &env));
	flowi_filters_init(&f, env);
	refused(&f);
	for (int i = 0; i < 20000; i++)
		vectors(&r, &f, v, before);
	check_passed("vectors");
	for (int i = 0; i < 50000; i++)
		chunks(&r, &f, v, told);
	CHECK(told[0] > 1000 && told[1] > 1000 && told[2] > 1000);
	check_passed("chunks");
	flowi_filters_free(&f);
	flow_env_posix_free(env);
	free(v);
	free(before);
	return 0;
}
