/*-------------------------------------------------------------------------
 * aggregate_impl.h
 *	  What aggregate.c and aggregate_float.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_AGGREGATE_IMPL_H
#define FLOW_AGGREGATE_IMPL_H

#include "aggregate.h"

/*
 * A slice of a column: null is NULL where no row can have one, else a byte a
 * row, and then num of a NULL is 0.  count: values that are not NULL.
 */
typedef struct FlowAggSlice
{
	const int64_t *num;
	const uint8_t *null;
	uint32_t n;
	uint32_t count;
} FlowAggSlice;

/* All set bits where the row is NULL, else none. */
static inline uint64_t
flowi_agg_null_mask(const FlowAggSlice *s, uint32_t i)
{
	return -(uint64_t) s->null[i];
}

/* The FLOAT ops; s->count > 0.  False as flow_agg_add. */
extern bool flowi_agg_sum_float8(FlowAgg *agg, const FlowAggSlice *s);
extern bool flowi_agg_avg_float8(FlowAgg *agg, const FlowAggSlice *s);
extern bool flowi_agg_sum_float4(FlowAgg *agg, const FlowAggSlice *s);
extern void flowi_agg_avg_float4(FlowAgg *agg, const FlowAggSlice *s);
extern void flowi_agg_min_float8(FlowAgg *agg, const FlowAggSlice *s);
extern void flowi_agg_max_float8(FlowAgg *agg, const FlowAggSlice *s);
extern void flowi_agg_min_float4(FlowAgg *agg, const FlowAggSlice *s);
extern void flowi_agg_max_float4(FlowAgg *agg, const FlowAggSlice *s);

#endif /* FLOW_AGGREGATE_IMPL_H */
