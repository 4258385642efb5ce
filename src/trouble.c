/*-------------------------------------------------------------------------
 * trouble.c
 *	  When what is in memory cannot be written to disk: who is told what.
 *
 * A flush that fails is tried again each second, and checkpoints wait for it
 * (S6), so nothing is lost.  Meanwhile the database takes no new rows (S7):
 * its memory stays bounded, and the write buffers are left to the others.
 * Deletes are let in while there is room, because they may be what frees
 * some space.
 *
 * The server's log gets a WARNING a minute for each database, and a line
 * when it is over.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "flowdb_shmem.h"
#include "rights.h"

#define WARNING_INTERVAL_MS 60000

/* One failure may be a moment's; the second comes a second later. */
#define FAILURES_TO_REFUSE 2

/* File names are for those who may see them. */
static int
detail_of(Oid serverid, const FlowError *error)
{
	if (flowdb_rights_server(serverid) < FLOWDB_SEE_MONITOR)
		return errdetail("The server's log tells why.");
	return errdetail("The last attempt failed: %s.",
					 error->message[0] ? error->message
									   : flow_status_name(error->status));
}

void
flowdb_refuse_failing(Oid serverid, FlowDb *db)
{
	FlowError error;
	const char *hint;

	if (likely(flow_flush_failing(flow_shared(db)) < FAILURES_TO_REFUSE))
		return;
	if (flow_flush_error(db, &error) < FAILURES_TO_REFUSE ||
		error.status == FLOW_NOMEM)
		return;
	hint = flowdb_error_hint(error.status, error.err_no);
	ereport(ERROR,
			(flowdb_error_code(error.status, error.err_no),
			 errmsg("server \"%s\" takes no new rows because what it has in "
					"memory cannot be written to disk",
					GetForeignServer(serverid)->servername),
			 detail_of(serverid, &error),
			 hint ? errhint("%s  Writing goes on by itself once a flush goes "
							"well.",
							hint)
				  : 0));
}

/* They are shared: it may be another database that holds them all. */
void
flowdb_refuse_full(void)
{
	char path[MAXPGPATH];
	uint32 failing = 0;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		const FlowdbSlot *slot = &flowdb_shared->slots[i];
		FlowDbShared *shared = flowdb_slot_loaded(slot);
		uint32 n = shared != NULL ? flow_flush_failing(shared) : 0;

		if (n <= failing)
			continue;
		failing = n;
		flowdb_registry_path(&slot->entry, path);
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	if (failing == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DISK_FULL),
			 errmsg("FlowDB refuses writes because its write buffers cannot "
					"be flushed"),
			 errdetail("%u attempts to write those of \"%s\" have failed; the "
					   "server log has the reason.",
					   failing, path),
			 errhint("Writes are accepted again once a flush goes well.")));
}

/* ----------------------------------------------------------------- the log */

bool
flowdb_warn_now(int64 *warned_at)
{
	int64 now = flowdb_ticks_us();
	bool due;

	SpinLockAcquire(&flowdb_shared->mutex);
	due = *warned_at == 0 ||
		  now - *warned_at >= WARNING_INTERVAL_MS * INT64CONST(1000);
	if (due)
		*warned_at = now;
	SpinLockRelease(&flowdb_shared->mutex);
	return due;
}

/* What a warning about a database tells. */
typedef struct Trouble
{
	char path[MAXPGPATH];
	const char *reason; /* the engine's last error, or the status alone */
	const char *hint;	/* or NULL */
	int err_no;			/* or 0 */
} Trouble;

static void
describe(const FlowdbEntry *entry, FlowStatus st, Trouble *trouble)
{
	const FlowError *err = flow_last_error();
	bool ours = err->status == st && err->message[0] != '\0';

	flowdb_registry_path(entry, trouble->path);
	trouble->err_no = ours ? err->err_no : 0;
	trouble->reason = ours ? err->message : flow_status_name(st);
	trouble->hint = flowdb_error_hint(st, trouble->err_no);
}

void
flowdb_warn_flush(int i, FlowStatus st)
{
	const FlowdbEntry *entry = &flowdb_shared->slots[i].entry;
	Trouble t;

	if (!flowdb_warn_now(&flowdb_shared->warned[i].flush_at))
		return;
	describe(entry, st, &t);
	ereport(WARNING,
			(flowdb_error_code(st, t.err_no),
			 errmsg("FlowDB could not write what \"%s\" has in memory to disk: "
					"%s",
					t.path, t.reason),
			 errdetail("It is the data of server %u in database %u.  That "
					   "server takes no new rows, and this is tried again "
					   "every second; checkpoints wait for it, so pg_wal "
					   "grows.",
					   entry->serverid, entry->dboid),
			 t.hint ? errhint("%s", t.hint) : 0));
}

void
flowdb_warn_work(int i, FlowStatus st)
{
	const FlowdbEntry *entry = &flowdb_shared->slots[i].entry;
	Trouble t;

	if (!flowdb_warn_now(&flowdb_shared->warned[i].work_at))
		return;
	describe(entry, st, &t);
	ereport(WARNING,
			(flowdb_error_code(st, t.err_no),
			 errmsg("FlowDB could not maintain \"%s\": %s", t.path, t.reason),
			 errdetail("It is the data of server %u in database %u.  This is "
					   "tried again later; reading and writing go on.",
					   entry->serverid, entry->dboid),
			 t.hint ? errhint("%s", t.hint) : 0));
}

void
flowdb_flush_again(int i)
{
	bool warned;
	char path[MAXPGPATH];

	if (likely(flowdb_shared->warned[i].flush_at == 0))
		return;
	SpinLockAcquire(&flowdb_shared->mutex);
	warned = flowdb_shared->warned[i].flush_at != 0;
	flowdb_shared->warned[i].flush_at = 0;
	SpinLockRelease(&flowdb_shared->mutex);
	if (!warned)
		return;
	flowdb_registry_path(&flowdb_shared->slots[i].entry, path);
	ereport(LOG, (errmsg("FlowDB writes what \"%s\" has in memory to disk "
						 "again",
						 path)));
}

bool
flowdb_in_peace(void (*fn)(void *arg), void *arg, int64 *warned_at)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool result = true;

	PG_TRY();
	{
		fn(arg);
	}
	PG_CATCH();
	{
		LWLockReleaseAll();
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		if (flowdb_warn_now(warned_at))
			EmitErrorReport();
		FlushErrorState();
		RESUME_INTERRUPTS();
		result = false;
	}
	PG_END_TRY();
	return result;
}
