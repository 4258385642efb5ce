/*-------------------------------------------------------------------------
 * bench.h
 *	  Clocks and medians of what measures the engine.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_BENCH_H
#define FLOW_TEST_BENCH_H

#include <stdlib.h>
#include <time.h>

static inline double
bench_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

/* Of this process: others may be at work. */
static inline double
bench_cpu_ns(void)
{
	return bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* With all waits for the disk. */
static inline double
bench_wall_ns(void)
{
	return bench_clock_ns(CLOCK_MONOTONIC);
}

static inline int
bench_compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Of n figures, n odd; they are sorted. */
static inline double
bench_median(double *of, size_t n)
{
	qsort(of, n, sizeof(*of), bench_compare);
	return of[n / 2];
}

#endif /* FLOW_TEST_BENCH_H */
