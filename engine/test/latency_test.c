/*-------------------------------------------------------------------------
 * latency_test.c
 *	  Histograms of durations: percentiles against a sorted array, edges,
 *	  threads.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "../latency.h"

static FlowHistogram h;

static void
reset(void)
{
	memset(&h, 0, sizeof(h));
}

static int
cmp_u64(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *) pa;
	uint64_t b = *(const uint64_t *) pb;

	return (a > b) - (a < b);
}

/* Right to an eighth, and never below the truth. */
static void
check_percentile(const uint64_t *sorted, uint32_t n, unsigned percent,
				 uint32_t got)
{
	uint64_t want = sorted[((uint64_t) n * percent + 99) / 100 - 1];

	CHECK(got >= want && got <= want + want / 8);
}

static void
test_edges(void)
{
	FlowLatency l;

	reset();
	flowi_latency_read(&h, &l);
	CHECK(l.count == 0 && l.p50_us == 0 && l.p99_us == 0 && l.max_us == 0);
	flowi_latency_add(&h, -5); /* the clock was set back */
	flowi_latency_read(&h, &l);
	CHECK(l.count == 1 && l.sum_us == 0 && l.p99_us == 0 && l.max_us == 0);
	flowi_latency_add(&h, INT64_MAX);
	flowi_latency_read(&h, &l);
	CHECK(l.count == 2 && l.max_us == UINT32_MAX && l.p99_us == UINT32_MAX);
	CHECK(l.p50_us == 0 && l.sum_us == INT64_MAX);

	/* a single value is its own percentile, whatever its bucket */
	for (int64_t us = 0; us < 100000; us += us / 50 + 1)
	{
		reset();
		flowi_latency_add(&h, us);
		flowi_latency_read(&h, &l);
		CHECK(l.count == 1 && l.p50_us == us && l.max_us == us);
	}
	check_passed("latency edges");
}

static void
test_random(CheckRandom *r)
{
	static uint64_t all[20000];
	FlowLatency l;

	for (int round = 0; round < 30; round++)
	{
		uint32_t n = 1 + (uint32_t) check_below(r, 20000);
		uint64_t sum = 0;

		reset();
		for (uint32_t i = 0; i < n; i++)
		{
			all[i] = check_random(r) >> (32 + check_below(r, 32));
			sum += all[i];
			flowi_latency_add(&h, (int64_t) all[i]);
		}
		qsort(all, n, sizeof(all[0]), cmp_u64);
		flowi_latency_read(&h, &l);
		CHECK(l.count == n && l.sum_us == sum && l.max_us == all[n - 1]);
		check_percentile(all, n, 50, l.p50_us);
		check_percentile(all, n, 90, l.p90_us);
		check_percentile(all, n, 99, l.p99_us);
	}
	check_passed("latency percentiles");
}

static void *
add_many(void *arg)
{
	for (int i = 0; i < 50000; i++)
		flowi_latency_add(&h, *(int64_t *) arg + i % 100);
	return NULL;
}

static void
test_threads(void)
{
	pthread_t thread[3];
	int64_t base[3] = {0, 1000, 100000};
	FlowLatency l;

	reset();
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&thread[i], NULL, add_many, &base[i]) == 0);
	flowi_latency_read(&h, &l);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	flowi_latency_read(&h, &l);
	CHECK(l.count == 150000 && l.max_us == 100099);
	CHECK(l.p50_us >= 1000 && l.p50_us < 1152 && l.p90_us >= 100000);
	check_passed("latency threads");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_edges();
	test_random(&r);
	test_threads();
	return 0;
}
