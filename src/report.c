/*-------------------------------------------------------------------------
 * report.c
 *	  Engine statuses become PostgreSQL errors here and nowhere else.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "flowdb_shmem.h"

static int
sqlstate_of(FlowStatus st)
{
	switch (st)
	{
		case FLOW_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case FLOW_IOERR:
		case FLOW_PANIC:
			return 0; /* errno tells more */
		case FLOW_FULL:
			return ERRCODE_DISK_FULL;
		case FLOW_NOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		case FLOW_BUSY:
			return ERRCODE_LOCK_NOT_AVAILABLE;
		case FLOW_MISMATCH:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case FLOW_CONFLICT:
			return ERRCODE_T_R_SERIALIZATION_FAILURE;
		case FLOW_EXISTS:
			return ERRCODE_DUPLICATE_FILE;
		case FLOW_INVALID:
			return ERRCODE_FDW_ERROR;
		default:
			return ERRCODE_INTERNAL_ERROR;
	}
}

static const char *
hint_of_errno(int err_no)
{
	switch (err_no)
	{
		case EACCES:
		case EPERM:
			return "Let the operating system user that runs the server read "
				   "and write the files; nothing that was committed is lost.";
		case EROFS:
			return "The file system is read-only: the operating system's log "
				   "may tell why.  Make it writable again; nothing that was "
				   "committed is lost.";
		case EMFILE:
		case ENFILE:
			return "Raise the limit of open files of the server or of the "
				   "machine, or lower max_files_per_process.";
		default:
			return "Look for failures of the disk in the operating system's "
				   "log.";
	}
}

/* Whose memory it is the engine's message tells: "out of shared memory for
 * ...", or "out of memory" for this process's own. */
static const char *
hint_of_memory(void)
{
	const FlowError *err = flow_last_error();

	if (err->status == FLOW_NOMEM &&
		strncmp(err->message, "out of memory", 13) == 0)
		return "The operating system has no memory for this process.";
	return "Transactions and cursors that stay open for long hold such memory "
		   "(see flowdb_stats.metadata_bytes); end them, or increase "
		   "flowdb.shared_memory and restart the server.";
}

const char *
flowdb_error_hint(FlowStatus st, int err_no)
{
	switch (st)
	{
		case FLOW_CORRUPT:
			return "Get the rows from a standby, or from a backup of the whole "
				   "cluster that is recovered elsewhere; the server's other "
				   "data is not affected.";
		case FLOW_FULL:
			return "Free some space; nothing that was committed is lost.";
		case FLOW_IOERR:
			return hint_of_errno(err_no);
		case FLOW_NOMEM:
			return hint_of_memory();
		case FLOW_PANIC:
			return "Restart the server once the cause is removed.";
		case FLOW_MISMATCH:
			return "Use the version of flowdb_fdw that wrote these files, or a "
				   "later one.";
		default:
			return NULL;
	}
}

/* As errcode_for_file_access() has it, which reads errno as it was when the
 * ereport began.  What the server itself said of a file has none. */
static int
sqlstate_of_errno(int err_no)
{
	switch (err_no)
	{
		case EPERM:
		case EACCES:
		case EROFS:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case ENOENT:
			return ERRCODE_UNDEFINED_FILE;
		case EEXIST:
			return ERRCODE_DUPLICATE_FILE;
		case ENOTDIR:
		case EISDIR:
		case ENOTEMPTY:
			return ERRCODE_WRONG_OBJECT_TYPE;
		case ENFILE:
		case EMFILE:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case ENOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		default:
			return ERRCODE_IO_ERROR;
	}
}

int
flowdb_error_code(FlowStatus st, int err_no)
{
	int sqlstate = sqlstate_of(st);

	return errcode(sqlstate != 0 ? sqlstate : sqlstate_of_errno(err_no));
}

void
flowdb_report_at(int elevel, FlowStatus st)
{
	const FlowError *err = flow_last_error();
	bool ours = err->status == st && err->message[0] != '\0';
	const char *hint = flowdb_error_hint(st, ours ? err->err_no : 0);

	ereport(elevel, (flowdb_error_code(st, ours ? err->err_no : 0),
					 ours ? errmsg("FlowDB: %s", err->message)
						  : errmsg("FlowDB: %s", flow_status_name(st)),
					 hint ? errhint("%s", hint) : 0));
}

void
flowdb_report(FlowStatus st)
{
	flowdb_rethrow_kept();
	switch (st)
	{
		case FLOW_OK:
		case FLOW_NOTFOUND:
		case FLOW_END:
			return;
		case FLOW_INTERRUPTED:
			CHECK_FOR_INTERRUPTS();
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
							errmsg("canceling statement due to user request")));
			break;
		case FLOW_CONFLICT:
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("could not serialize access due to "
								   "concurrent update")));
			break;
		default:
			flowdb_report_at(ERROR, st);
	}
}
