/*-------------------------------------------------------------------------
 * env_posix.h
 *	  Hooks of the POSIX environment for tests and embedders.
 *
 * Set hooks before other threads use the environment; arming and reading
 * faults is safe at any time.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ENV_POSIX_H
#define FLOW_ENV_POSIX_H

#include "env.h"

/* Calls that are counted and can be made to fail. */
typedef enum FlowPosixOp
{
	FLOW_POSIX_OPEN,
	FLOW_POSIX_READ,
	FLOW_POSIX_WRITE,
	FLOW_POSIX_SYNC, /* files and directories */
	FLOW_POSIX_TRUNCATE,
	FLOW_POSIX_RENAME,
	FLOW_POSIX_UNLINK,
	FLOW_POSIX_ALLOC, /* alloc and realloc; err_no is not looked at */
	FLOW_POSIX_NOPS
} FlowPosixOp;

/*
 * flow_env_posix_fail
 *		Let the calls nth, nth + 1, .. (times of them; UINT64_MAX: all) of op
 *		fail with err_no, counted from now, the next call being number 1.  A
 *		failed call has no effect.  times 0 disarms op.
 */
extern void flow_env_posix_fail(FlowEnv *env, FlowPosixOp op, uint64_t nth,
								uint64_t times, int err_no);
/* Calls of op since the environment was made, failed ones included. */
extern uint64_t flow_env_posix_calls(FlowEnv *env, FlowPosixOp op);

/* Who answers txn_outcome; NULL: COMMITTED.  xid 0 is never asked for. */
typedef FlowStatus (*FlowPosixOutcomeFn)(void *arg, uint64_t xid,
										 FlowTxnState *statep);
extern void flow_env_posix_set_outcome(FlowEnv *env, FlowPosixOutcomeFn fn,
									   void *arg);

/* Who is told of named points (debug builds); NULL: nobody. */
typedef FlowStatus (*FlowPosixPointFn)(void *arg, const char *name);
extern void flow_env_posix_set_point(FlowEnv *env, FlowPosixPointFn fn,
									 void *arg);

/* Who is given each log record, in log order, before log_append returns:
 * what a test replays by flow_redo.  NULL: nobody. */
typedef void (*FlowPosixLogFn)(void *arg, const void *rec, size_t len,
							   uint64_t start, uint64_t end);
extern void flow_env_posix_set_log(FlowEnv *env, FlowPosixLogFn fn, void *arg);
/* Start the counting log at pos >= 1, as after a restart; never goes backwards. */
extern void flow_env_posix_set_log_pos(FlowEnv *env, uint64_t pos);

/* Segments of the file log get this size, and not that of the options, from
 * the next flow_open on; 0: that of the options. */
extern void flow_env_posix_set_segment_bytes(FlowEnv *env, uint64_t bytes);

/* How many tasks of background threads have failed, and the last error; lastp
 * may be NULL. */
extern uint64_t flow_env_posix_thread_failures(FlowEnv *env, FlowError *lastp);

#endif /* FLOW_ENV_POSIX_H */
