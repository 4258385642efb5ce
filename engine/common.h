/*-------------------------------------------------------------------------
 * common.h
 *	  First include of every engine .c: status macros, assertions, helpers.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COMMON_H
#define FLOW_COMMON_H

#include <stdatomic.h>
#include <string.h>

#include "env.h"
#include "flow.h"

/* Return at once on anything but FLOW_OK. */
#define FLOW_TRY(x)           \
	do                        \
	{                         \
		FlowStatus st_ = (x); \
		if (st_ != FLOW_OK)   \
			return st_;       \
	} while (0)

/* Set st and jump to out: on anything but FLOW_OK. */
#define FLOW_GOTO(x)       \
	do                     \
	{                      \
		st = (x);          \
		if (st != FLOW_OK) \
			goto out;      \
	} while (0)

/* Merge the status of a clean-up step: the first error wins, PANIC beats
 * all, NOTFOUND and END yield. */
#define FLOW_KEEP(x) (st = flowi_status_merge(st, (x)))

extern FlowStatus flowi_status_merge(FlowStatus first, FlowStatus second);

/*
 * flowi_fail
 *		The one place an error is born: fill the thread's error record and
 *		return st.  flowi_fail_errno adds errno and its text and turns IOERR
 *		into FULL for ENOSPC and EDQUOT.
 */
extern FlowStatus flowi_fail(FlowStatus st, const char *fmt, ...)
	FLOW_PRINTF(2, 3);
extern FlowStatus flowi_fail_errno(int err_no, const char *fmt, ...)
	FLOW_PRINTF(2, 3);

/* The same for the bytes of a row; what: constant text, "it is too short". */
extern FlowStatus flowi_fail_row(FlowStatus st, const char *what);

/* Put back the record of before something whose failure nobody is told of. */
extern void flowi_error_restore(const FlowError *error);

/* Our own bugs: checked in debug builds. */
#ifdef FLOW_DEBUG
extern _Noreturn void flowi_assert_failed(const char *expr, const char *file,
										  int line);
#define FLOW_ASSERT(x) \
	((x) ? (void) 0 : flowi_assert_failed(#x, __FILE__, __LINE__))
#else
#define FLOW_ASSERT(x) ((void) 0)
#endif

/* Bytes from disk, log or shared memory: checked in every build. */
#define FLOW_CHECK_DATA(x, ...)                           \
	do                                                    \
	{                                                     \
		if (!(x))                                         \
			return flowi_fail(FLOW_CORRUPT, __VA_ARGS__); \
	} while (0)

/* A named place where tests may stop, fail or kill the process; compiled
 * out of release builds. */
#ifdef FLOW_DEBUG
#define FLOW_POINT(env, name) \
	((env)->point ? (env)->point((env), (name)) : FLOW_OK)
#else
#define FLOW_POINT(env, name) (FLOW_OK)
#endif

/* What the allocators of the region have not given out is not touched: watched
 * when the engine is alone under AddressSanitizer.  In a server each process
 * would mark for itself what all of them share. */
#ifdef FLOW_POISON
#include <sanitizer/asan_interface.h>
#define FLOW_FORBID(p, size) ASAN_POISON_MEMORY_REGION(p, size)
#define FLOW_PERMIT(p, size) ASAN_UNPOISON_MEMORY_REGION(p, size)
#else
#define FLOW_FORBID(p, size) ((void) 0)
#define FLOW_PERMIT(p, size) ((void) 0)
#endif

/* p is read soon */
#define FLOW_PREFETCH(p) __builtin_prefetch(p)

/* An argument may be evaluated twice: none that may differ the second time. */
#define FLOW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FLOW_MAX(a, b) ((a) > (b) ? (a) : (b))
#define FLOW_ALIGN8(x) (((x) + 7u) & ~(size_t) 7u)

#endif /* FLOW_COMMON_H */
