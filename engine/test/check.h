/*-------------------------------------------------------------------------
 * check.h
 *	  What every engine test uses: CHECK, a seeded generator, a summary line.
 *
 * A test is one program.  It prints its seed first (argv[1], or a fixed
 * one), an "ok <what>" line for each part that passed, and returns non-zero
 * at the first failure.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_CHECK_H
#define FLOW_TEST_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../flow.h"

/* Checked in every build, whatever NDEBUG says. */
#define CHECK(cond)                                                            \
	do                                                                         \
	{                                                                          \
		if (!(cond))                                                           \
		{                                                                      \
			fflush(stdout);                                                    \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                                           \
		}                                                                      \
	} while (0)

/* The call must return exactly this status. */
#define CHECK_STATUS(call, want)                                          \
	do                                                                    \
	{                                                                     \
		FlowStatus got_ = (call);                                         \
		if (got_ != (want))                                               \
		{                                                                 \
			fflush(stdout);                                               \
			fprintf(stderr, "%s:%d: %s: got status %d (%s), not %s\n",    \
					__FILE__, __LINE__, #call, (int) got_,                \
					flow_last_error() ? flow_last_error()->message : "?", \
					#want);                                               \
			exit(1);                                                      \
		}                                                                 \
	} while (0)

#define CHECK_OK(call) CHECK_STATUS(call, FLOW_OK)

static inline void
check_passed(const char *what)
{
	printf("ok %s\n", what);
	fflush(stdout);
}

/* splitmix64: the whole state is one word, so a seed reproduces a run. */
typedef struct CheckRandom
{
	uint64_t state;
} CheckRandom;

static inline uint64_t
check_random(CheckRandom *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 .. n - 1; n > 0 */
static inline uint64_t
check_below(CheckRandom *r, uint64_t n)
{
	return check_random(r) % n;
}

/* Seed from argv[1] or a fixed one; printed, to run a failure again. */
static inline CheckRandom
check_seed(int argc, char **argv)
{
	CheckRandom r = {UINT64_C(20240607)};

	if (argc > 1)
		r.state = strtoull(argv[1], NULL, 0);
	printf("# %s seed %" PRIu64 "\n", argv[0], r.state);
	fflush(stdout);
	return r;
}

/* Close and free; the status of the close. */
static inline FlowStatus
close_free(FlowDb *db)
{
	FlowStatus st = db ? flow_close(db) : FLOW_OK;

	flow_free(db);
	return st;
}

#endif /* FLOW_TEST_CHECK_H */
