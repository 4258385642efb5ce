/*-------------------------------------------------------------------------
 * aggregate.h
 *	  Aggregates of one column over slices of vectors.
 *
 * What comes out is PostgreSQL's own result, down to the sign of a zero and
 * to where a float overflows; but the last bits of sums of doubles depend on
 * the order of additions, and four go on at the same time here.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_AGGREGATE_H
#define FLOW_AGGREGATE_H

#include "flow.h"

/* INT ops are for columns of that kind, the others for FLOAT ones of that
 * many bytes; COUNT is for any. */
typedef enum FlowAggOp
{
	FLOW_AGG_COUNT = 1,	  /* of what is not NULL */
	FLOW_AGG_SUM_INT = 2, /* and of averages */
	FLOW_AGG_MIN_INT = 3,
	FLOW_AGG_MAX_INT = 4,
	FLOW_AGG_SUM_FLOAT4 = 5,
	FLOW_AGG_AVG_FLOAT4 = 6,
	FLOW_AGG_MIN_FLOAT4 = 7,
	FLOW_AGG_MAX_FLOAT4 = 8,
	FLOW_AGG_SUM_FLOAT8 = 9,
	FLOW_AGG_AVG_FLOAT8 = 10,
	FLOW_AGG_MIN_FLOAT8 = 11,
	FLOW_AGG_MAX_FLOAT8 = 12
} FlowAggOp;

/* What one aggregate has come to.  Without a value (n == 0) it is NULL, but
 * for COUNT, which is n. */
typedef struct FlowAgg
{
	uint64_t n; /* values that are not NULL */
	union
	{
		struct /* SUM_INT: hi * 2^64 + lo */
		{
			uint64_t lo;
			int64_t hi;
		} sum;
		int64_t num; /* MIN_INT, MAX_INT */
		float f4;	 /* SUM_FLOAT4 */
		struct		 /* of all other FLOAT ops */
		{
			double value;  /* AVG: the sum */
			double sxx;	   /* AVG: of squares of deviations */
			bool has_huge; /* sums from here on: value by value */
		} f8;
	} u;
} FlowAgg;

extern void flow_agg_begin(FlowAggOp op, FlowAgg *agg);

/*
 * flow_agg_add
 *		Values first .. first + n - 1 of v.  False: a sum of finite floats has
 *		become infinite, or the sum of squares has that PostgreSQL works out
 *		for an average; agg is of no use then.
 */
extern bool flow_agg_add(FlowAggOp op, FlowAgg *agg, const FlowColumnVector *v,
						 uint32_t first, uint32_t n) FLOW_MUST_CHECK;

#endif /* FLOW_AGGREGATE_H */
