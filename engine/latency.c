/*-------------------------------------------------------------------------
 * latency.c
 *	  Histograms of durations.
 *
 * Bucket i below 8 is i microseconds.  Behind them each power of two 2^k,
 * k >= 3, has the eight buckets (k - 2) * 8 .. + 7.  Adding is three relaxed
 * additions: a reader may see a call in one of the counts and not yet in
 * another, which shifts a percentile by one call.
 *-------------------------------------------------------------------------
 */
#include "latency.h"

#define PARTS 8u /* of a power of two */
#define PARTS_SHIFT 3u

static uint32_t
bucket_of(uint64_t us)
{
	uint32_t k;
	uint64_t i;

	if (us < PARTS)
		return (uint32_t) us;
	k = 63 - (uint32_t) __builtin_clzll(us);
	i = (k - PARTS_SHIFT + 1) * PARTS + (us >> (k - PARTS_SHIFT)) - PARTS;
	return (uint32_t) FLOW_MIN(i, FLOW_LATENCY_BUCKETS - 1);
}

/* The longest duration in bucket i. */
static uint64_t
bucket_end(uint32_t i)
{
	uint32_t k;

	if (i < PARTS)
		return i;
	if (i == FLOW_LATENCY_BUCKETS - 1)
		return UINT64_MAX;
	k = i / PARTS + PARTS_SHIFT - 1;
	return ((uint64_t) (PARTS + i % PARTS + 1) << (k - PARTS_SHIFT)) - 1;
}

void
flowi_latency_add(FlowHistogram *h, int64_t us)
{
	uint64_t d = us < 0 ? 0 : (uint64_t) us;
	uint64_t max = atomic_load_explicit(&h->max_us, memory_order_relaxed);

	atomic_fetch_add_explicit(&h->bucket[bucket_of(d)], 1,
							  memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, d, memory_order_relaxed);
	while (d > max &&
		   !atomic_compare_exchange_weak_explicit(
			   &h->max_us, &max, d, memory_order_relaxed, memory_order_relaxed))
		;
}

/* The duration that percent of all do not exceed. */
static uint32_t
percentile(const uint64_t *bucket, uint64_t count, uint64_t max,
		   unsigned percent)
{
	/* how many are at or below it, rounded up, without overflow */
	uint64_t want = count / 100 * percent + (count % 100 * percent + 99) / 100;
	uint64_t sum = 0;
	uint32_t i = 0;

	if (count == 0)
		return 0;
	for (;; i++)
	{
		sum += bucket[i];
		if (sum >= want)
			break;
	}
	return (uint32_t) FLOW_MIN(FLOW_MIN(bucket_end(i), max), UINT32_MAX);
}

void
flowi_latency_read(const FlowHistogram *h, FlowLatency *out)
{
	uint64_t bucket[FLOW_LATENCY_BUCKETS];
	uint64_t max;

	*out = (FlowLatency){0};
	for (uint32_t i = 0; i < FLOW_LATENCY_BUCKETS; i++)
	{
		bucket[i] = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		out->count += bucket[i];
	}
	max = atomic_load_explicit(&h->max_us, memory_order_relaxed);
	out->sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
	out->max_us = (uint32_t) FLOW_MIN(max, UINT32_MAX);
	out->p50_us = percentile(bucket, out->count, max, 50);
	out->p90_us = percentile(bucket, out->count, max, 90);
	out->p99_us = percentile(bucket, out->count, max, 99);
}
