/*-------------------------------------------------------------------------
 * filter.c
 *	  Conditions on value columns: which rows of a vector they let through,
 *	  and whether a chunk of a column can hold any.
 *
 * A filter is a loop over one column that ANDs a byte a row, with the
 * operator outside, so that there is no branch a row and compilers make
 * vector instructions of it; the bytes become row numbers at the end (the
 * selection vectors of Boncz, Zukowski, Nes: "MonetDB/X100: Hyper-Pipelining
 * Query Execution", CIDR 2005).
 *
 * Floats: NaN is greater than all else and equals itself, which C does not
 * say.  With a value that is no number x > v is therefore written !(x <= v),
 * which is true of NaN; a NaN as value is an operator of its own.
 *
 * Chunks are judged by least and greatest value ("small materialized
 * aggregates", Moerkotte, VLDB 1998).
 *-------------------------------------------------------------------------
 */
#include "filter.h"

#include "floatbits.h"

#define FEW_VALUES 8 /* of IN, for a loop each */

_Static_assert(FLOW_VECTOR_ROWS <= UINT16_MAX + 1,
			   "rows are numbered by 16 bits");

static inline bool
is_nan(double d)
{
	return d != d;
}

/* ------------------------------------------------------------------- set */

void
flowi_filters_init(FlowFilters *f, FlowEnv *env)
{
	*f = (FlowFilters){.env = env};
}

void
flowi_filters_free(FlowFilters *f)
{
	f->env->free(f->env, f->step);
	f->step = NULL;
	f->n = f->cap = 0;
}

static FlowStatus
reserve(FlowFilters *f, uint32_t n)
{
	FlowFilterStep *step;

	f->n = 0;
	if (n <= f->cap)
		return FLOW_OK;
	step = f->env->realloc(f->env, f->step, n * sizeof(*step));
	if (step == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: %u filters", n);
	f->step = step;
	f->cap = n;
	return FLOW_OK;
}

/* The place of a float in the order of FlowFilter: a number, larger for what
 * is greater, one for what is equal. */
static int64_t
float_place(int64_t bits)
{
	double d = flowi_double(bits);

	if (is_nan(d))
		return INT64_MAX;
	if (d == 0)
		return 0;
	return bits < 0 ? bits ^ INT64_MAX : bits;
}

static int64_t
place(const FlowFilterStep *step, int64_t value)
{
	return step->load == FLOW_LOAD_INT ? value : float_place(value);
}

static bool
rising(const FlowFilterStep *step)
{
	for (uint32_t i = 1; i < step->nvalues; i++)
		if (place(step, step->values[i - 1]) > place(step, step->values[i]))
			return false;
	return true;
}

/* NaNs stand last: take them off. */
static void
split_nan(FlowFilterStep *step)
{
	if (step->load == FLOW_LOAD_INT)
		return;
	while (step->nvalues > 0 &&
		   is_nan(flowi_double(step->values[step->nvalues - 1])))
	{
		step->nan = true;
		step->nvalues--;
	}
}

static FlowStatus
set_step(FlowFilterStep *step, const FlowFilter *filter,
		 const FlowScanSpec *spec)
{
	const FlowColumn *col;
	bool null =
		filter->op == FLOW_FILTER_NULL || filter->op == FLOW_FILTER_NOT_NULL;

	if (filter->column >= spec->ncolumns)
		return flowi_fail(FLOW_INVALID, "filter on column %u of %u",
						  filter->column, spec->ncolumns);
	col = &spec->shape->columns[spec->columns[filter->column]];
	*step = (FlowFilterStep){.column = filter->column,
							 .op = filter->op,
							 .nvalues = filter->nvalues,
							 .values = filter->values};
	if (filter->op < FLOW_FILTER_LT || filter->op > FLOW_FILTER_NOT_NULL)
		return flowi_fail(FLOW_INVALID, "unknown operator %d of a filter",
						  (int) filter->op);
	if (null)
	{
		step->nvalues = 0;
		return FLOW_OK;
	}
	if (col->kind != FLOW_COLUMN_INT && col->kind != FLOW_COLUMN_FLOAT)
		return flowi_fail(FLOW_INVALID, "filter on a column of kind %d",
						  (int) col->kind);
	step->load = col->kind == FLOW_COLUMN_INT ? FLOW_LOAD_INT
				 : col->bytes == 4			  ? FLOW_LOAD_FLOAT4
											  : FLOW_LOAD_FLOAT8;
	if (filter->op == FLOW_FILTER_IN ? !rising(step) : step->nvalues != 1)
		return flowi_fail(FLOW_INVALID, "wrong values of a filter");
	split_nan(step);
	return FLOW_OK;
}

FlowStatus
flowi_filters_set(FlowFilters *f, const FlowScanSpec *spec)
{
	FLOW_TRY(reserve(f, spec->nfilters));
	for (uint32_t i = 0; i < spec->nfilters; i++)
		FLOW_TRY(set_step(&f->step[i], &spec->filters[i], spec));
	f->n = spec->nfilters;
	return FLOW_OK;
}

/* --------------------------------------------------------------- kernels */

#define KEEP(cond)                       \
	do                                   \
	{                                    \
		for (uint32_t i = 0; i < n; i++) \
			keep[i] &= (uint8_t) (cond); \
	} while (0)

static void
keep_int(FlowFilterOp op, const int64_t *x, uint32_t n, int64_t v,
		 uint8_t *keep)
{
	switch (op)
	{
		case FLOW_FILTER_LT:
			KEEP(x[i] < v);
			break;
		case FLOW_FILTER_LE:
			KEEP(x[i] <= v);
			break;
		case FLOW_FILTER_EQ:
			KEEP(x[i] == v);
			break;
		case FLOW_FILTER_GE:
			KEEP(x[i] >= v);
			break;
		case FLOW_FILTER_GT:
			KEEP(x[i] > v);
			break;
		default:
			KEEP(x[i] != v);
			break;
	}
}

/* v is no NaN, what is compared with it may be. */
static void
keep_float(FlowFilterOp op, const int64_t *x, uint32_t n, double v,
		   uint8_t *keep)
{
	switch (op)
	{
		case FLOW_FILTER_LT:
			KEEP(flowi_double(x[i]) < v);
			break;
		case FLOW_FILTER_LE:
			KEEP(flowi_double(x[i]) <= v);
			break;
		case FLOW_FILTER_EQ:
			KEEP(flowi_double(x[i]) == v);
			break;
		case FLOW_FILTER_GE:
			KEEP(!(flowi_double(x[i]) < v));
			break;
		case FLOW_FILTER_GT:
			KEEP(!(flowi_double(x[i]) <= v));
			break;
		default:
			KEEP(!(flowi_double(x[i]) == v));
			break;
	}
}

/* The same beside NaN. */
static void
keep_beside_nan(FlowFilterOp op, const int64_t *x, uint32_t n, uint8_t *keep)
{
	switch (op)
	{
		case FLOW_FILTER_LT:
		case FLOW_FILTER_NE:
			KEEP(!is_nan(flowi_double(x[i])));
			break;
		case FLOW_FILTER_EQ:
		case FLOW_FILTER_GE:
			KEEP(is_nan(flowi_double(x[i])));
			break;
		case FLOW_FILTER_GT:
			memset(keep, 0, n);
			break;
		default: /* LE: all */
			break;
	}
}

/* Is x one of the n > 0 values? */
static inline bool
found_int(const int64_t *values, uint32_t n, int64_t x)
{
	const int64_t *at = values;

	for (; n > 1; n -= n / 2)
		at += at[n / 2 - 1] < x ? n / 2 : 0;
	return *at == x;
}

static inline bool
found_float(const int64_t *values, uint32_t n, double x)
{
	const int64_t *at = values;

	for (; n > 1; n -= n / 2)
		at += flowi_double(at[n / 2 - 1]) < x ? n / 2 : 0;
	return flowi_double(*at) == x;
}

static void
keep_in(const FlowFilterStep *step, const int64_t *x, uint32_t n, uint8_t *keep)
{
	const int64_t *values = step->values;
	uint32_t nvalues = step->nvalues;
	bool is_int = step->load == FLOW_LOAD_INT;
	uint8_t any[FLOW_VECTOR_ROWS];

	memset(any, 0, n);
	if (nvalues <= FEW_VALUES && is_int)
		for (uint32_t v = 0; v < nvalues; v++)
			for (uint32_t i = 0; i < n; i++)
				any[i] |= x[i] == values[v];
	else if (nvalues <= FEW_VALUES)
		for (uint32_t v = 0; v < nvalues; v++)
			for (uint32_t i = 0; i < n; i++)
				any[i] |= flowi_double(x[i]) == flowi_double(values[v]);
	else if (is_int)
		for (uint32_t i = 0; i < n; i++)
			any[i] = keep[i] && found_int(values, nvalues, x[i]);
	else
		for (uint32_t i = 0; i < n; i++)
			any[i] =
				keep[i] && found_float(values, nvalues, flowi_double(x[i]));
	if (step->nan)
		for (uint32_t i = 0; i < n; i++)
			any[i] |= is_nan(flowi_double(x[i]));
	KEEP(any[i]);
}

/* ------------------------------------------------------------------- run */

/* The floats of 4 bytes as bits of doubles. */
static const int64_t *
widen(const int64_t *x, uint32_t n, int64_t *room)
{
	for (uint32_t i = 0; i < n; i++)
	{
		double d = flowi_float(x[i]);

		memcpy(&room[i], &d, sizeof(d));
	}
	return room;
}

static void
keep_compared(const FlowFilterStep *step, const int64_t *x, uint32_t n,
			  uint8_t *keep)
{
	int64_t wide[FLOW_VECTOR_ROWS];

	if (step->load == FLOW_LOAD_FLOAT4)
		x = widen(x, n, wide);
	if (step->op == FLOW_FILTER_IN)
		keep_in(step, x, n, keep);
	else if (step->load == FLOW_LOAD_INT)
		keep_int(step->op, x, n, step->values[0], keep);
	else if (step->nan)
		keep_beside_nan(step->op, x, n, keep);
	else
		keep_float(step->op, x, n, flowi_double(step->values[0]), keep);
}

void
flowi_filters_one(const FlowFilters *f, uint32_t number,
				  const FlowColumnVector *columns, uint32_t first, uint32_t n,
				  uint8_t *keep)
{
	const FlowFilterStep *step = &f->step[number];
	const FlowColumnVector *v = &columns[step->column];
	const uint8_t *null = v->null + first;

	FLOW_ASSERT(n <= FLOW_VECTOR_ROWS);
	if (step->op == FLOW_FILTER_NULL)
	{
		if (v->any_null)
			KEEP(null[i]);
		else
			memset(keep, 0, n);
		return;
	}
	if (v->any_null)
		KEEP(null[i] ^ 1);
	if (step->op != FLOW_FILTER_NOT_NULL)
		keep_compared(step, v->num + first, n, keep);
}

uint32_t
flowi_filters_numbers(const uint8_t *keep, uint32_t first, uint32_t n,
					  uint16_t *sel)
{
	uint32_t nsel = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		sel[nsel] = (uint16_t) (first + i);
		nsel += keep[i];
	}
	return nsel;
}

uint32_t
flowi_filters_select(const FlowFilters *f, const FlowColumnVector *columns,
					 uint32_t first, uint32_t n, uint16_t *sel)
{
	uint8_t keep[FLOW_VECTOR_ROWS];

	memset(keep, 1, n);
	for (uint32_t i = 0; i < f->n; i++)
	{
		flowi_filters_one(f, i, columns, first, n, keep);
		if (memchr(keep, 1, n) == NULL)
			return 0;
	}
	return flowi_filters_numbers(keep, first, n, sel);
}

/* --------------------------------------------------------------- compact */

#define MOVE(array)                               \
	do                                            \
	{                                             \
		for (uint32_t i = at; i < n; i++)         \
			(array)[first + i] = (array)[sel[i]]; \
	} while (0)

/* How many of sel stand where they are to be already. */
static uint32_t
in_place(uint32_t first, const uint16_t *sel, uint32_t n)
{
	uint32_t at = 0;

	while (at < n && sel[at] == first + at)
		at++;
	return at;
}

void
flowi_filters_compact_columns(FlowColumnVector *columns, uint32_t ncolumns,
							  uint32_t first, const uint16_t *sel, uint32_t n)
{
	uint32_t at = in_place(first, sel, n);

	if (at == n)
		return;
	for (uint32_t c = 0; c < ncolumns; c++)
	{
		FlowColumnVector *v = &columns[c];

		if (v->num)
			MOVE(v->num);
		if (v->ptr)
			MOVE(v->ptr);
		if (v->bytes)
			MOVE(v->bytes);
		if (v->any_null)
			MOVE(v->null);
	}
}

void
flowi_filters_compact(FlowVector *vec, FlowColumnVector *columns,
					  uint32_t ncolumns, uint32_t first, const uint16_t *sel,
					  uint32_t n)
{
	uint32_t at = in_place(first, sel, n);

	vec->nrows = first + n;
	if (at == n)
		return;
	MOVE(vec->key);
	MOVE(vec->key_bytes);
	MOVE(vec->ts);
	MOVE(vec->expire_at);
	flowi_filters_compact_columns(columns, ncolumns, first, sel, n);
}

/* ---------------------------------------------------------------- chance */

static FlowFilterChance
chance_of(bool none, bool all)
{
	return none ? FLOW_CHANCE_NONE : all ? FLOW_CHANCE_ALL : FLOW_CHANCE_SOME;
}

/* Values in [min, max] beside those of IN, which are places by place(). */
static FlowFilterChance
chance_in(const FlowFilterStep *step, int64_t min, int64_t max)
{
	uint32_t lo = 0;
	uint32_t hi = step->nvalues;
	bool nan = step->nan && max == INT64_MAX && step->load != FLOW_LOAD_INT;
	int64_t at;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (place(step, step->values[mid]) < min)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == step->nvalues)
		return chance_of(!nan, nan && min == max);
	at = place(step, step->values[lo]);
	return chance_of(at > max && !nan, min == max && at == min);
}

static FlowFilterChance
chance_compared(const FlowFilterStep *step, int64_t min, int64_t max)
{
	int64_t v;

	if (step->op == FLOW_FILTER_IN)
		return chance_in(step, min, max);
	v = step->nan ? INT64_MAX : place(step, step->values[0]);
	switch (step->op)
	{
		case FLOW_FILTER_LT:
			return chance_of(min >= v, max < v);
		case FLOW_FILTER_LE:
			return chance_of(min > v, max <= v);
		case FLOW_FILTER_EQ:
			return chance_of(v < min || v > max, min == v && max == v);
		case FLOW_FILTER_GE:
			return chance_of(max < v, min >= v);
		case FLOW_FILTER_GT:
			return chance_of(max <= v, min > v);
		default:
			return chance_of(min == v && max == v, v < min || v > max);
	}
}

FlowFilterChance
flowi_filter_chance(const FlowFilterStep *step, const FlowColumnStats *stats,
					uint32_t n)
{
	FlowFilterChance chance;

	if (step->op == FLOW_FILTER_NULL)
		return chance_of(stats->nulls == 0, stats->nulls >= n);
	if (stats->nulls >= n)
		return FLOW_CHANCE_NONE;
	if (step->op == FLOW_FILTER_NOT_NULL)
		return chance_of(false, stats->nulls == 0);
	if (!stats->has_bounds)
		return FLOW_CHANCE_SOME;
	chance =
		chance_compared(step, place(step, stats->min), place(step, stats->max));
	if (chance == FLOW_CHANCE_ALL && stats->nulls > 0)
		return FLOW_CHANCE_SOME;
	return chance;
}
