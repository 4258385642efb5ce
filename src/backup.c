/*-------------------------------------------------------------------------
 * backup.c
 *	  Is a base backup running that may still copy a file we do not need?
 *
 * A backup copies the manifest at one moment and the SSTables at others; what
 * the copied manifest lists must not be removed in between.  Three things are
 * looked at:
 *	 - a walsender that sends a base backup (pg_basebackup);
 *	 - a session between pg_backup_start() and pg_backup_stop(): core keeps
 *	   that to the session, so sessions that touch these functions are
 *	   counted here, until core says at the end of a transaction that none is
 *	   running any more, or until they end;
 *	 - the age: flowdb.obsolete_file_retention covers what neither can show,
 *	   above all the moment between a backup's first look at a directory and
 *	   our notice of it, and scripts that go on copying for a little while
 *	   after their session has ended.
 *
 * Keeps: S12.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/ipc.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "flowdb_shmem.h"

static bool counted; /* this session is in flowdb_shared->backups */

static void
uncount(int code, Datum arg)
{
	if (counted)
		pg_atomic_fetch_sub_u32(&flowdb_shared->backups, 1);
	counted = false;
}

/*
 * Called when a function is made ready to be executed, which is before it is
 * executed and may be all that happens to it (EXPLAIN).
 */
void
flowdb_backup_function(Oid function)
{
	static bool exit_hook = false;

	if (likely(function != F_PG_BACKUP_START) || counted ||
		flowdb_shared == NULL)
		return;
	if (!exit_hook)
		on_shmem_exit(uncount, 0);
	exit_hook = true;
	counted = true;
	pg_atomic_fetch_add_u32(&flowdb_shared->backups, 1);
}

void
flowdb_backup_transaction_ended(void)
{
	if (unlikely(counted) && get_backup_status() == SESSION_BACKUP_NONE)
		uncount(0, 0);
}

static bool
walsender_sends_backup(void)
{
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd *walsnd = &WalSndCtl->walsnds[i];
		bool sends;

		SpinLockAcquire(&walsnd->mutex);
		sends = walsnd->pid != 0 && walsnd->state == WALSNDSTATE_BACKUP;
		SpinLockRelease(&walsnd->mutex);
		if (sends)
			return true;
	}
	return false;
}

bool
flowdb_keep_files(FlowEnv *env, int64_t since)
{
	int64 age = flowdb_ticks_us() - since;

	return age < (int64) flowdb_retention_secs * USECS_PER_SEC ||
		   pg_atomic_read_u32(&flowdb_shared->backups) > 0 ||
		   walsender_sends_backup();
}
