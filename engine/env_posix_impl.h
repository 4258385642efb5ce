/*-------------------------------------------------------------------------
 * env_posix_impl.h
 *	  What the files of the POSIX environment share; private to them.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ENV_POSIX_IMPL_H
#define FLOW_ENV_POSIX_IMPL_H

#include "common.h"

#include <pthread.h>

#include "env_posix.h"
#include "wal.h"

/* The calls from, .., until - 1 of an operation fail. */
typedef struct PosixFault
{
	_Atomic uint64_t calls;
	_Atomic uint64_t from;
	_Atomic uint64_t until;
	_Atomic int err_no;
} PosixFault;

typedef struct PosixThread PosixThread; /* env_posix_thread.c */

typedef struct PosixHost
{
	FlowEnv env;
	void *region_base;

	/* constant once threads run */
	FlowPosixOutcomeFn outcome;
	void *outcome_arg;
	FlowPosixPointFn point;
	void *point_arg;
	FlowPosixLogFn log;
	void *log_arg;
	uint64_t segment_bytes; /* 0: as the options say */

	pthread_mutex_t log_mutex;
	uint64_t log_pos; /* protected by log_mutex */

	/* The file log of the database that is open.  Who uses it counts itself
	 * in wal_users first, so that a close can wait for it. */
	_Atomic(FlowWal *) wal;
	_Atomic uint32_t wal_users;
	FlowDbShared *wal_sh; /* set before wal */

	/* its thread; set and cleared by the opener, under thread_mutex */
	pthread_mutex_t thread_mutex;
	PosixThread *thread;
	uint64_t thread_failures; /* of all threads there were */
	FlowError thread_error;	  /* the last */

	PosixFault faults[FLOW_POSIX_NOPS]; /* atomic */
} PosixHost;

static inline PosixHost *
posix_host(FlowEnv *env)
{
	return env->host;
}

/* A lock that cannot be taken leaves nothing to go on with. */
extern void posix_must(int err_no, const char *what);

/* Count a call; the errno it has to fail with, or 0. */
extern int posix_fault(FlowEnv *env, FlowPosixOp op);

/* --- env_posix_file.c --- */
extern void posix_file_init(FlowEnv *env);

/* --- env_posix_log.c --- */
extern void posix_log_init(FlowEnv *env);
extern void posix_log_free(PosixHost *host);
/* Sync the log, or make the next segment; nothing when none is open. */
extern FlowStatus posix_log_sync(FlowEnv *env);
extern FlowStatus posix_log_prepare(FlowEnv *env);

/* --- env_posix_thread.c --- */
extern void posix_thread_init(FlowEnv *env);
extern void posix_thread_free(PosixHost *host);
/* Is the caller a background thread that has to end? */
extern bool posix_thread_stopping(void);
extern void posix_thread_notify(FlowEnv *env, FlowDbShared *sh,
								FlowEvent event);

#endif /* FLOW_ENV_POSIX_IMPL_H */
