/*-------------------------------------------------------------------------
 * pgenv.c
 *	  The engine's environment inside a PostgreSQL process.
 *
 * Memory comes from one context below TopMemoryContext, and handles on it are
 * freed by their owners' callbacks.  Files: pgenv_file.c.  No callback here
 * throws (nothrow.c).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "describe.h"
#include "flowdb.h"
#include "flowdb_shmem.h"

#ifdef FLOWDB_VALGRIND
#include <valgrind/memcheck.h>
#endif

#include "../engine/common.h"

/* Every private allocation carries its size, because repalloc has no form
 * that returns NULL in PostgreSQL 15. */
typedef struct AllocHeader
{
	size_t size;
	size_t pad;
} AllocHeader;

static FlowEnv *process_env;
static MemoryContext env_context;

/* FLOWDB_MALLOC: what watches the memory of a tested server knows the bounds
 * of what malloc gives, but not those of a palloc'ed chunk. */
#ifdef FLOWDB_MALLOC
#define take_chunk(size) malloc(size)
#define give_chunk_back(p) free(p)
#else
#define take_chunk(size)                          \
	MemoryContextAllocExtended(env_context, size, \
							   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM)
#define give_chunk_back(p) pfree(p)
#endif

static void *
env_alloc(FlowEnv *env, size_t size)
{
	AllocHeader *h = take_chunk(size + sizeof(AllocHeader));

	if (h == NULL)
		return NULL;
	h->size = size;
	return h + 1;
}

static void
env_free(FlowEnv *env, void *p)
{
	if (p != NULL)
		give_chunk_back((AllocHeader *) p - 1);
}

static void *
env_realloc(FlowEnv *env, void *p, size_t size)
{
	void *q;

	if (p == NULL)
		return env_alloc(env, size);
	q = env_alloc(env, size);
	if (q == NULL)
		return NULL;
	memcpy(q, p, Min(size, ((AllocHeader *) p - 1)->size));
	env_free(env, p);
	return q;
}

/* ------------------------------------------------- locks, clock, events */

StaticAssertDecl(sizeof(LWLock) <= sizeof(FlowLock), "an LWLock must fit");

static void
env_lock_init(FlowEnv *env, FlowLock *lock, FlowLockRank rank)
{
	LWLockInitialize((LWLock *) lock, flowdb_shared->tranche[rank]);
}

#define SPIN_TRIES 16
#define SPIN_PAUSES 16 /* between two tries */

/*
 * Locks are mostly held for a microsecond or two, and to sleep costs more: look
 * again for about that long.  When there is one processor only, its holder does
 * not run meanwhile.
 */
static bool
acquire_spinning(LWLock *lock)
{
	static int tries = -1;

	if (tries < 0)
		tries = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_TRIES : 0;
	for (int i = 0; i < tries; i++)
	{
		if (LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
			return true;
		for (int j = 0; j < SPIN_PAUSES; j++)
			SPIN_DELAY();
	}
	return false;
}

/*
 * FLOWDB_VALGRIND: what this process has left undefined in shared memory, padding
 * for one, would stay so in its view whatever another one writes there.
 */
static void
trust_shared_memory(void)
{
#ifdef FLOWDB_VALGRIND
	(void) VALGRIND_MAKE_MEM_DEFINED(flowdb_shared->region,
									 flowdb_region_bytes());
#endif
}

static void
env_lock_acquire(FlowEnv *env, FlowLock *lock, FlowLockMode mode)
{
	trust_shared_memory();
	if (mode == FLOW_LOCK_SHARED)
		LWLockAcquire((LWLock *) lock, LW_SHARED);
	else if (!acquire_spinning((LWLock *) lock))
		LWLockAcquire((LWLock *) lock, LW_EXCLUSIVE);
}

static void
env_lock_release(FlowEnv *env, FlowLock *lock)
{
	LWLockRelease((LWLock *) lock);
}

static int64_t
env_now_us(FlowEnv *env)
{
	return flowdb_now_us();
}

static int64_t
env_ticks_us(FlowEnv *env)
{
	return flowdb_ticks_us();
}

/*
 * Only a wish to cancel or to end this process unwinds the engine: all else
 * that CHECK_FOR_INTERRUPTS serves can wait for the end of the call.  The
 * startup process and the final flush of the launcher are never stopped.
 */
static FlowStatus
env_poll(FlowEnv *env)
{
	if (likely(!InterruptPending))
		return FLOW_OK;
	if (!INTERRUPTS_CAN_BE_PROCESSED() ||
		!(QueryCancelPending || ProcDiePending))
		return FLOW_OK;
	return flowi_fail(FLOW_INTERRUPTED, "interrupted");
}

static void
env_notify(FlowEnv *env, FlowDbShared *db, FlowEvent event)
{
	switch (event)
	{
		case FLOW_EVENT_FROZEN:
		case FLOW_EVENT_MERGE:
			flowdb_wake_workers();
			break;
		case FLOW_EVENT_FLUSHED:
			ConditionVariableBroadcast(&flowdb_shared->flushed_cv);
			flowdb_wake_launcher();
			break;
		case FLOW_EVENT_UNFLUSHED:
			break; /* the launcher looks by itself */
	}
}

static void
env_pause(FlowEnv *env)
{
	pg_usleep(2000L);
}

static FlowStatus
env_point(FlowEnv *env, const char *name)
{
#ifdef FLOWDB_DEBUG_POINTS
	if (flowdb_debug_point_hit(name) == FLOWDB_POINT_ERROR)
		return flowi_fail_errno(EIO, "debug point \"%s\"", name);
#endif
	return FLOW_OK;
}

FlowEnv *
flowdb_env(void)
{
	FlowEnv *env;

	if (process_env != NULL)
		return process_env;

	env_context = AllocSetContextCreate(TopMemoryContext, "FlowDB engine",
										ALLOCSET_DEFAULT_SIZES);
	env = MemoryContextAllocZero(TopMemoryContext, sizeof(FlowEnv));
	env->region = flowdb_shared->region;
	flowdb_env_set_files(env);
	env->alloc = env_alloc;
	env->realloc = env_realloc;
	env->free = env_free;
	env->lock_init = env_lock_init;
	env->lock_acquire = env_lock_acquire;
	env->lock_release = env_lock_release;
	env->now_us = env_now_us;
	env->ticks_us = env_ticks_us;
	env->poll = env_poll;
	env->notify = env_notify;
	env->pause = env_pause;
	env->log_admit = flowdb_log_admit;
	env->log_leave = flowdb_log_leave;
	env->log_append = flowdb_log_append;
	env->log_bound = flowdb_log_bound;
	env->log_sync = flowdb_log_sync;
	env->txn_outcome = flowdb_txn_outcome;
	env->store_shape = flowdb_store_shape;
	env->expire_horizon = flowdb_expire_horizon;
	env->keep_files = flowdb_keep_files;
	env->point = env_point;
	process_env = env;
	return env;
}
