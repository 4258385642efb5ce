/*-------------------------------------------------------------------------
 * nothrow.c
 *	  From what PostgreSQL throws to a status of the engine.
 *
 * No callback of the engine's environment throws: what is raised in one is
 * caught, and becomes a status with the message in the engine's error record.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"

#include "flowdb.h"
#include "flowdb_shmem.h"

#include "../engine/common.h"

/* The LWLocks that this process has taken after the first skip ones. */
typedef struct NewLocks
{
	int skip;
	int n;
	LWLock *lock[8]; /* the longest chain below us has two */
} NewLocks;

static void
count_lock(LWLock *lock, LWLockMode mode, void *np)
{
	(*(int *) np)++;
}

static void
collect_new_lock(LWLock *lock, LWLockMode mode, void *arg)
{
	NewLocks *locks = arg;

	if (locks->skip > 0)
		locks->skip--;
	else if (locks->n < (int) lengthof(locks->lock))
		locks->lock[locks->n++] = lock;
}

void
flowdb_nothrow_begin(FlowdbNoThrow *guard)
{
	guard->context = CurrentMemoryContext;
	guard->holdoff = InterruptHoldoffCount;
	guard->nlocks = 0;
	ForEachLWLockHeldByMe(count_lock, &guard->nlocks);
	HOLD_INTERRUPTS();
}

void
flowdb_nothrow_unlock(const FlowdbNoThrow *guard)
{
	NewLocks locks = {.skip = guard->nlocks};

	ForEachLWLockHeldByMe(collect_new_lock, &locks);
	while (locks.n > 0)
	{
		HOLD_INTERRUPTS(); /* the error has forgotten the lock's own */
		LWLockRelease(locks.lock[--locks.n]);
	}
}

FlowStatus
flowdb_nothrow_caught(FlowdbNoThrow *guard, FlowStatus st, const char *what)
{
	ErrorData *edata;

	flowdb_nothrow_unlock(guard);
	MemoryContextSwitchTo(guard->context);
	edata = CopyErrorData();
	FlushErrorState();
	if (edata->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		st = FLOW_NOMEM;
	st = flowi_fail(st, "%s: %s", what,
					edata->message ? edata->message : "unknown error");
	FreeErrorData(edata);
	return st;
}

void
flowdb_nothrow_end(FlowdbNoThrow *guard)
{
	InterruptHoldoffCount = guard->holdoff;
}
