/*-------------------------------------------------------------------------
 * filter.h
 *	  Conditions on value columns: which rows of a vector they let through,
 *	  and whether a chunk of a column can hold any.
 *
 * A filter is about the row that a reader sees: it is asked after versions,
 * tombstones and expiry are resolved, never before (I38).
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_FILTER_H
#define FLOW_FILTER_H

#include "column.h"
#include "common.h"

/* How a step reads its column. */
typedef enum FlowFilterLoad
{
	FLOW_LOAD_NOTHING, /* NULL, NOT_NULL: any kind */
	FLOW_LOAD_INT,
	FLOW_LOAD_FLOAT8,
	FLOW_LOAD_FLOAT4
} FlowFilterLoad;

/* One filter, looked at and ready to be run. */
typedef struct FlowFilterStep
{
	uint32_t column; /* which of the vectors */
	FlowFilterOp op;
	FlowFilterLoad load;
	uint32_t nvalues; /* without NaN */
	bool nan;		  /* NaN is a value too */
	const int64_t *values;
} FlowFilterStep;

/* The filters of a scan; embed it.  A row has to pass all of them. */
typedef struct FlowFilters
{
	FlowEnv *env;
	uint32_t n;
	uint32_t cap;
	FlowFilterStep *step;
} FlowFilters;

extern void flowi_filters_init(FlowFilters *f, FlowEnv *env);
extern void flowi_filters_free(FlowFilters *f);

/*
 * flowi_filters_set
 *		The filters of spec in place of what was there; spec->filters and their
 *		values are borrowed.  INVALID: what FlowFilter does not allow.
 */
extern FlowStatus flowi_filters_set(FlowFilters *f,
									const FlowScanSpec *spec) FLOW_MUST_CHECK;

/*
 * flowi_filters_select
 *		Which of the rows first .. first + n - 1 of the vectors pass all filters:
 *		their numbers into sel, rising; how many.  n <= FLOW_VECTOR_ROWS.
 * flowi_filters_one
 *		The same by filter i alone, in keep, a byte a row from first on: what is
 *		1 stays so where the row passes, all else is 0.
 * flowi_filters_numbers
 *		What keep says of n rows from number first on as numbers.
 */
extern uint32_t flowi_filters_select(const FlowFilters *f,
									 const FlowColumnVector *columns,
									 uint32_t first, uint32_t n, uint16_t *sel);
extern void flowi_filters_one(const FlowFilters *f, uint32_t i,
							  const FlowColumnVector *columns, uint32_t first,
							  uint32_t n, uint8_t *keep);
extern uint32_t flowi_filters_numbers(const uint8_t *keep, uint32_t first,
									  uint32_t n, uint16_t *sel);

/*
 * flowi_filters_compact
 *		The n rows of sel, whose numbers are first and more, become rows first ..
 *		first + n - 1 of vec and of its ncolumns columns; vec->nrows: behind
 *		them.  Values stay: with columns they are NULL, all of them.
 *		compact_columns: of the columns alone.
 */
extern void flowi_filters_compact(FlowVector *vec, FlowColumnVector *columns,
								  uint32_t ncolumns, uint32_t first,
								  const uint16_t *sel, uint32_t n);
extern void flowi_filters_compact_columns(FlowColumnVector *columns,
										  uint32_t ncolumns, uint32_t first,
										  const uint16_t *sel, uint32_t n);

/* How many rows of a chunk pass, by what its statistics say. */
typedef enum FlowFilterChance
{
	FLOW_CHANCE_NONE, /* none */
	FLOW_CHANCE_SOME, /* not known */
	FLOW_CHANCE_ALL	  /* all */
} FlowFilterChance;

/* Of a chunk of n values of the step's column; a part of it is no different. */
extern FlowFilterChance flowi_filter_chance(const FlowFilterStep *step,
											const FlowColumnStats *stats,
											uint32_t n);

#endif /* FLOW_FILTER_H */
