/*-------------------------------------------------------------------------
 * env_posix.c
 *	  FlowEnv on POSIX: malloc, pthread locks, threads sharing one malloc'ed
 *	  region; for tests, tools and embedders.
 *
 * Its files are in env_posix_file.c, its log is in env_posix_log.c, its
 * background thread in env_posix_thread.c.  Every call that can fail in real
 * life can be made to fail by env_posix.h.  Debug builds check that locks are
 * taken in rising rank.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "env_posix_impl.h"
#include "region.h"

#define SMALL_PAGE ((size_t) 4 << 10) /* or larger */
#define LARGE_PAGE ((size_t) 2 << 20)
#define LARGE_REGION ((size_t) 64 << 20) /* from which on it gets them */

/* What a FlowLock holds here. */
typedef struct PosixLock
{
	pthread_rwlock_t rwlock;
	uint32_t rank;
} PosixLock;

_Static_assert(sizeof(PosixLock) <= sizeof(FlowLock), "FlowLock is too small");

/* --------------------------------------------------------------- faults */

void
flow_env_posix_fail(FlowEnv *env, FlowPosixOp op, uint64_t nth, uint64_t times,
					int err_no)
{
	PosixFault *fault = &posix_host(env)->faults[op];
	uint64_t from = atomic_load(&fault->calls) + nth;
	uint64_t until = times > UINT64_MAX - from ? UINT64_MAX : from + times;

	atomic_store(&fault->until, 0);
	atomic_store(&fault->err_no, err_no);
	atomic_store(&fault->from, from);
	atomic_store(&fault->until, until);
}

uint64_t
flow_env_posix_calls(FlowEnv *env, FlowPosixOp op)
{
	return atomic_load(&posix_host(env)->faults[op].calls);
}

int
posix_fault(FlowEnv *env, FlowPosixOp op)
{
	PosixFault *fault = &posix_host(env)->faults[op];
	uint64_t call = atomic_fetch_add(&fault->calls, 1) + 1;

	if (call < atomic_load(&fault->until) && call >= atomic_load(&fault->from))
	{
		int err_no = atomic_load(&fault->err_no);

		return err_no != 0 ? err_no : EIO;
	}
	return 0;
}

/* --------------------------------------------------------------- memory */

static void *
posix_alloc(FlowEnv *env, size_t size)
{
	if (posix_fault(env, FLOW_POSIX_ALLOC) != 0)
		return NULL;
	return malloc(size ? size : 1);
}

static void *
posix_realloc(FlowEnv *env, void *p, size_t size)
{
	if (posix_fault(env, FLOW_POSIX_ALLOC) != 0)
		return NULL;
	return realloc(p, size ? size : 1);
}

static void
posix_free(FlowEnv *env, void *p)
{
	(void) env;
	free(p);
}

/* ---------------------------------------------------------------- locks */

#ifdef FLOW_DEBUG
/* The thread's held locks, rising in rank. */
#define MAX_HELD 8
static _Thread_local const PosixLock *held[MAX_HELD];
static _Thread_local int nheld;

static void
note_acquire(const PosixLock *lock)
{
	FLOW_ASSERT(nheld < MAX_HELD);
	FLOW_ASSERT(nheld == 0 || held[nheld - 1]->rank < lock->rank);
	held[nheld++] = lock;
}

static void
note_release(const PosixLock *lock)
{
	int i = nheld - 1;

	while (i >= 0 && held[i] != lock)
		i--;
	FLOW_ASSERT(i >= 0);
	nheld--;
	memmove(&held[i], &held[i + 1], (size_t) (nheld - i) * sizeof(held[0]));
}

static void
note_no_lock(void)
{
	FLOW_ASSERT(nheld == 0);
}
#else
#define note_acquire(lock) ((void) 0)
#define note_release(lock) ((void) 0)
#define note_no_lock() ((void) 0)
#endif

void
posix_must(int err_no, const char *what)
{
	if (err_no == 0)
		return;
	fprintf(stderr, "flowdb: %s failed: error %d\n", what, err_no);
	abort();
}

static void
posix_lock_init(FlowEnv *env, FlowLock *lock, FlowLockRank rank)
{
	PosixLock *l = (PosixLock *) lock;
	pthread_rwlockattr_t attr;

	(void) env;
	posix_must(pthread_rwlockattr_init(&attr), "pthread_rwlockattr_init");
#ifdef __GLIBC__
	/* glibc's default lets a stream of readers starve a writer */
	posix_must(pthread_rwlockattr_setkind_np(
				   &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
			   "pthread_rwlockattr_setkind_np");
#endif
	posix_must(pthread_rwlock_init(&l->rwlock, &attr), "pthread_rwlock_init");
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

static void
posix_lock_acquire(FlowEnv *env, FlowLock *lock, FlowLockMode mode)
{
	PosixLock *l = (PosixLock *) lock;

	(void) env;
	note_acquire(l);
	if (mode == FLOW_LOCK_EXCLUSIVE)
		posix_must(pthread_rwlock_wrlock(&l->rwlock), "pthread_rwlock_wrlock");
	else
		posix_must(pthread_rwlock_rdlock(&l->rwlock), "pthread_rwlock_rdlock");
}

static void
posix_lock_release(FlowEnv *env, FlowLock *lock)
{
	PosixLock *l = (PosixLock *) lock;

	(void) env;
	note_release(l);
	posix_must(pthread_rwlock_unlock(&l->rwlock), "pthread_rwlock_unlock");
}

/* ---------------------------------------------------- clock and events */

static int64_t
read_clock(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
posix_now_us(FlowEnv *env)
{
	(void) env;
	return read_clock(CLOCK_REALTIME);
}

static int64_t
posix_ticks_us(FlowEnv *env)
{
	(void) env;
	return read_clock(CLOCK_MONOTONIC);
}

static FlowStatus
posix_poll(FlowEnv *env)
{
	(void) env;
	note_no_lock();
	return posix_thread_stopping() ? FLOW_INTERRUPTED : FLOW_OK;
}

static void
posix_notify(FlowEnv *env, FlowDbShared *db, FlowEvent event)
{
	posix_thread_notify(env, db, event);
}

static void
posix_pause(FlowEnv *env)
{
	struct timespec ts = {.tv_sec = 0, .tv_nsec = 1000000};

	(void) env;
	note_no_lock();
	nanosleep(&ts, NULL);
}

static FlowStatus
posix_point(FlowEnv *env, const char *name)
{
	PosixHost *host = posix_host(env);

	return host->point ? host->point(host->point_arg, name) : FLOW_OK;
}

/* ---------------------------------------------------------------- hooks */

static FlowStatus
posix_txn_outcome(FlowEnv *env, uint64_t xid, FlowTxnState *statep)
{
	PosixHost *host = posix_host(env);

	if (xid != 0 && host->outcome)
		return host->outcome(host->outcome_arg, xid, statep);
	*statep = xid == 0 ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
	return FLOW_OK;
}

void
flow_env_posix_set_outcome(FlowEnv *env, FlowPosixOutcomeFn fn, void *arg)
{
	PosixHost *host = posix_host(env);

	host->outcome = fn;
	host->outcome_arg = arg;
}

void
flow_env_posix_set_point(FlowEnv *env, FlowPosixPointFn fn, void *arg)
{
	PosixHost *host = posix_host(env);

	host->point = fn;
	host->point_arg = arg;
	env->point = fn ? posix_point : NULL;
}

/* --------------------------------------------------------- create, free */

static const FlowEnv posix_env = {
	.alloc = posix_alloc,
	.realloc = posix_realloc,
	.free = posix_free,
	.lock_init = posix_lock_init,
	.lock_acquire = posix_lock_acquire,
	.lock_release = posix_lock_release,
	.now_us = posix_now_us,
	.ticks_us = posix_ticks_us,
	.poll = posix_poll,
	.notify = posix_notify,
	.pause = posix_pause,
	.txn_outcome = posix_txn_outcome,
};

#ifdef MADV_HUGEPAGE
/* Has any of it been written? */
static bool
is_touched(uint8_t *base, size_t bytes)
{
	unsigned char in[LARGE_PAGE / SMALL_PAGE];

	if (sysconf(_SC_PAGESIZE) < (long) SMALL_PAGE ||
		mincore(base, bytes, in) != 0)
		return true;
	for (size_t i = 0; i < bytes / (size_t) sysconf(_SC_PAGESIZE); i++)
		if (in[i] & 1)
			return true;
	return false;
}
#endif

/*
 * Lookups go all over a large region, and with small pages wait for the page
 * tables as often as for the data.  A wish: without it all is as right.
 *
 * A large page is there as a whole once a byte of it is written.  So none is
 * where the region was written as it was made: there each part of the block
 * cache begins, and a database that holds little has little more than those
 * beginnings.
 */
static void
ask_for_large_pages(uint8_t *base, size_t bytes)
{
#ifdef MADV_HUGEPAGE
	size_t at = -(uintptr_t) base % LARGE_PAGE;

	if (bytes < LARGE_REGION)
		return;
	for (; bytes - at >= LARGE_PAGE; at += LARGE_PAGE)
		if (!is_touched(base + at, LARGE_PAGE))
			(void) madvise(base + at, LARGE_PAGE, MADV_HUGEPAGE);
#else
	(void) base;
	(void) bytes;
#endif
}

FlowStatus
flow_env_posix_create(size_t region_bytes, FlowEnv **envp)
{
	PosixHost *host = calloc(1, sizeof(PosixHost));
	FlowStatus st;

	*envp = NULL;
	if (host == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	host->env = posix_env;
	host->env.host = host;
	posix_file_init(&host->env);
	posix_log_init(&host->env);
	posix_thread_init(&host->env);
	host->region_base = calloc(1, region_bytes);
	if (host->region_base == NULL)
		st = flowi_fail(FLOW_NOMEM, "out of memory: region of %zu bytes",
						region_bytes);
	else
		st = flow_region_init(&host->env, host->region_base, region_bytes,
							  region_bytes / 16 * 7, region_bytes / 16 * 7,
							  &host->env.region);
	if (st != FLOW_OK)
	{
		flow_env_posix_free(&host->env);
		return st;
	}
	ask_for_large_pages(host->region_base, region_bytes);
	*envp = &host->env;
	return FLOW_OK;
}

void
flow_env_posix_free(FlowEnv *env)
{
	PosixHost *host;

	if (env == NULL)
		return;
	host = posix_host(env);
	posix_log_free(host);
	posix_thread_free(host);
	free(host->region_base);
	free(host);
}
