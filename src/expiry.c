/*-------------------------------------------------------------------------
 * expiry.c
 *	  Which expired rows a running transaction may still see.
 *
 * Expiry is judged at statement_timestamp(), which is not before the
 * transaction's start, except in a procedure that has committed.  So each
 * process that is about to scan announces the start of its transaction in
 * shared memory, once a transaction, and a flush or a merge purges only what
 * had expired before all that are announced.
 *
 * A process that announces itself a moment after the others were looked at
 * is covered by the engine: it publishes its horizon, looks again, and scans
 * never judge at an earlier time than a published horizon (engine/keep.h).
 * Both sides write first and read afterwards, with a full barrier between.
 *
 * The clock may jump.  Reads follow it, whatever it says: a row that is seen as
 * expired by a clock that is ahead is seen again when that is set right.  What
 * is removed does not come back, so removal believes a jump forward only once
 * it has lasted for an hour, and goes by ticks until then.  A clock that is set
 * back is believed at once.
 *
 * Keeps: S13.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "flowdb_shmem.h"
#include "keytype.h"

#define JUMP_US (60 * USECS_PER_SEC) /* less is a clock's way to go right */
#define BELIEVE_US (INT64CONST(3600) * USECS_PER_SEC) /* a jump that lasts */

static bool announced;	   /* this transaction */
static int64 announced_at; /* the time that it has announced */

int
flowdb_reader_places(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

void
flowdb_announce_reader(void)
{
	int64 statement = flowdb_statement_now();
	int64 start;

	/* again, when the clock was set back since */
	if (likely(announced && statement >= announced_at))
		return;
	Assert(FLOWDB_MY_PROC_NUMBER < flowdb_shared->nreaders);
	start = GetCurrentTransactionStartTimestamp() + FLOWDB_EPOCH_DIFF_US;
	announced_at = Min(start, statement);
	pg_atomic_write_u64(&flowdb_shared->reader_start[FLOWDB_MY_PROC_NUMBER],
						(uint64) announced_at);
	announced = true;
	pg_memory_barrier();
}

/* A row that a statement has found expired stays so to its end, even if the
 * clock is set back meanwhile. */
int64
flowdb_judge_now(FlowDb *db)
{
	static TimestampTz statement;
	static int64 latest;

	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		latest = flowdb_statement_now();
	}
	latest = flow_judge_at(db, latest);
	return latest;
}

void
flowdb_forget_reader(void)
{
	if (!announced)
		return;
	announced = false;
	pg_atomic_write_u64(&flowdb_shared->reader_start[FLOWDB_MY_PROC_NUMBER], 0);
}

/* What the clock says, as far as it is believed; *aheadp: it has just been
 * found so far ahead of that, else 0. */
static int64
believed_now(int64 *aheadp)
{
	FlowdbTrust *trust = &flowdb_shared->trust;
	int64 now;
	int64 ticks;
	int64 offset;

	flowdb_clocks(&now, &ticks);
	offset = now - ticks;
	*aheadp = 0;
	SpinLockAcquire(&flowdb_shared->mutex);
	if (!trust->known || offset - trust->offset <= JUMP_US ||
		(trust->jumped_at != 0 && ticks - trust->jumped_at >= BELIEVE_US &&
		 offset - trust->jumped <= JUMP_US))
	{
		trust->known = true;
		trust->offset = offset;
		trust->jumped_at = 0;
	}
	else if (trust->jumped_at == 0 || offset - trust->jumped > JUMP_US)
	{
		trust->jumped = offset;
		trust->jumped_at = ticks;
		*aheadp = offset - trust->offset;
	}
	now = ticks + trust->offset;
	SpinLockRelease(&flowdb_shared->mutex);
	return now;
}

/* Even a LOG message may throw, and serves interrupts: not here (I14). */
static void
tell_jump(int64 ahead)
{
	FlowdbNoThrow guard;

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		ereport(LOG,
				(errmsg("the system time has jumped forward by " INT64_FORMAT
						" seconds",
						ahead / USECS_PER_SEC),
				 errdetail("FlowDB removes no row that is expired by the new "
						   "time only, unless that lasts for an hour.")));
	}
	PG_CATCH();
	{
		(void) flowdb_nothrow_caught(&guard, FLOW_NOMEM, "log message");
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
}

int64_t
flowdb_expire_horizon(FlowEnv *env)
{
	int64 ahead;
	int64 horizon = believed_now(&ahead);

	if (ahead != 0)
		tell_jump(ahead);

	pg_memory_barrier();
	for (int i = 0; i < flowdb_shared->nreaders; i++)
	{
		int64 start =
			(int64) pg_atomic_read_u64(&flowdb_shared->reader_start[i]);

		if (start != 0)
			horizon = Min(horizon, start);
	}
	return horizon;
}
