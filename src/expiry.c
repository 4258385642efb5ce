/*-------------------------------------------------------------------------
 * expiry.c
 *	  Which expired rows a running transaction may still see.
 *
 * Expiry is judged at statement_timestamp(), which is not before the
 * transaction's start, except in a procedure that has committed.  So each process that is about to scan announces the
 * start of its transaction in shared memory, once a transaction, and a flush
 * or a merge purges only what had expired before all that are announced.
 *
 * A process that announces itself a moment after the others were looked at
 * is covered by the engine: it publishes its horizon, looks again, and scans
 * never judge at an earlier time than a published horizon (engine/keep.h).
 * Both sides write first and read afterwards, with a full barrier between.
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

static bool announced; /* this transaction */

int
flowdb_reader_places(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

void
flowdb_announce_reader(void)
{
	int64 start;

	if (likely(announced))
		return;
	Assert(FLOWDB_MY_PROC_NUMBER < flowdb_shared->nreaders);
	start = Min(GetCurrentTransactionStartTimestamp(),
				GetCurrentStatementStartTimestamp()) +
			FLOWDB_EPOCH_DIFF_US;
	pg_atomic_write_u64(&flowdb_shared->reader_start[FLOWDB_MY_PROC_NUMBER],
						(uint64) start);
	announced = true;
	pg_memory_barrier();
}

void
flowdb_forget_reader(void)
{
	if (!announced)
		return;
	announced = false;
	pg_atomic_write_u64(&flowdb_shared->reader_start[FLOWDB_MY_PROC_NUMBER], 0);
}

int64_t
flowdb_expire_horizon(FlowEnv *env)
{
	int64 horizon = GetCurrentTimestamp() + FLOWDB_EPOCH_DIFF_US;

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
