/*-------------------------------------------------------------------------
 * latency.h
 *	  Histograms of durations, in the shared region, written without a lock.
 *
 * Buckets as in HdrHistogram (G. Tene): powers of two of microseconds, each
 * cut into eight equal parts, so a percentile is right to an eighth.  From
 * 2^34 us (almost five hours) on all is one.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_LATENCY_H
#define FLOW_LATENCY_H

#include "common.h"

#define FLOW_LATENCY_BUCKETS 256

typedef struct FlowHistogram
{
	_Atomic uint64_t sum_us;
	_Atomic uint64_t max_us;
	_Atomic uint64_t bucket[FLOW_LATENCY_BUCKETS];
} FlowHistogram;

/* us < 0 (the clock was set back) counts as 0. */
extern void flowi_latency_add(FlowHistogram *h, int64_t us);
/* Percentiles are upper ends of buckets, at most the maximum. */
extern void flowi_latency_read(const FlowHistogram *h, FlowLatency *out);

#endif /* FLOW_LATENCY_H */
