/*-------------------------------------------------------------------------
 * report.c
 *	  Engine statuses become PostgreSQL errors here and nowhere else.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "flowdb_shmem.h"

static int
sqlstate_of(FlowStatus st, const FlowError *err)
{
	switch (st)
	{
		case FLOW_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case FLOW_IOERR:
		case FLOW_PANIC:
			/* errcode_for_file_access() reads errno, see its caller */
			return 0;
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
hint_of(FlowStatus st)
{
	switch (st)
	{
		case FLOW_CORRUPT:
			return "Restore the database's directory from a backup; the "
				   "server's other data is not affected.";
		case FLOW_FULL:
			return "Free some space; nothing that was committed is lost.";
		case FLOW_NOMEM:
			return "Increase flowdb.shared_memory if this happens again.";
		case FLOW_PANIC:
			return "Restart the server once the cause is removed.";
		case FLOW_MISMATCH:
			return "Use the version of flowdb_fdw that wrote these files, or a "
				   "later one.";
		default:
			return NULL;
	}
}

void
flowdb_report_at(int elevel, FlowStatus st)
{
	const FlowError *err = flow_last_error();
	int sqlstate = sqlstate_of(st, err);
	const char *hint = hint_of(st);

	errno = err->err_no;
	ereport(elevel,
			(sqlstate != 0 ? errcode(sqlstate) : errcode_for_file_access(),
			 err->status == st && err->message[0]
				 ? errmsg("FlowDB: %s", err->message)
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
