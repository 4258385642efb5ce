/*-------------------------------------------------------------------------
 * module.c
 *	  Load-time entry: settings, hooks, workers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "fdw.h"
#include "flowdb_shmem.h"

PG_MODULE_MAGIC;

int flowdb_shared_memory_mb = 256;
int flowdb_transaction_buffer_kb = 8192;
int flowdb_max_workers = 2;

PGDLLEXPORT void _PG_init(void);

static void
define_settings(void)
{
	DefineCustomIntVariable(
		"flowdb.shared_memory",
		"Shared memory for FlowDB's write buffers and metadata.", NULL,
		&flowdb_shared_memory_mb, 256, 64, 1024 * 1024, PGC_POSTMASTER,
		GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("flowdb.max_workers",
							"Processes that flush FlowDB's write buffers.",
							NULL, &flowdb_max_workers, 2, 1, FLOWDB_MAX_WORKERS,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.transaction_buffer",
		"A transaction hands its writes over when they take more memory.", NULL,
		&flowdb_transaction_buffer_kb, 8192, 64, 1024 * 1024, PGC_USERSET,
		GUC_UNIT_KB, NULL, NULL, NULL);
	MarkGUCPrefixReserved("flowdb");
}

/*
 * Without preload there is no shared memory: the library still loads, so
 * that its functions can say what is missing.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_settings();
	flowdb_schema_init();
	flowdb_shmem_init();
	flowdb_walrmgr_init();
	flowdb_redo_init();
	flowdb_ddl_init();
	flowdb_xact_init();
	flowdb_launcher_register();
	flowdb_workers_register();
}
