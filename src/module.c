/*-------------------------------------------------------------------------
 * module.c
 *	  Load-time entry: settings, hooks, workers.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "fdw.h"
#include "flowdb_shmem.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/*
 * Without preload there is no shared memory: the library still loads, so
 * that its functions can say what is missing.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	flowdb_settings_init();
	flowdb_alter_init();
	flowdb_options_init();
	flowdb_relstats_init();
	flowdb_shmem_init();
	flowdb_walrmgr_init();
	flowdb_redo_init();
	flowdb_ddl_init();
	flowdb_xact_init();
	flowdb_launcher_register();
	flowdb_workers_register();
}
