/*-------------------------------------------------------------------------
 * fdw.c
 *	  The handler: fills FdwRoutine, nothing else.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "parallel.h"

PG_FUNCTION_INFO_V1(flowdb_fdw_handler);

Datum
flowdb_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = flowdbGetForeignRelSize;
	routine->GetForeignPaths = flowdbGetForeignPaths;
	routine->GetForeignPlan = flowdbGetForeignPlan;
	routine->GetForeignUpperPaths = flowdbGetForeignUpperPaths;
	routine->IsForeignScanParallelSafe = flowdbIsForeignScanParallelSafe;

	routine->BeginForeignScan = flowdbBeginForeignScan;
	routine->IterateForeignScan = flowdbIterateForeignScan;
	routine->ReScanForeignScan = flowdbReScanForeignScan;
	routine->EndForeignScan = flowdbEndForeignScan;

	routine->EstimateDSMForeignScan = flowdbEstimateDSMForeignScan;
	routine->InitializeDSMForeignScan = flowdbInitializeDSMForeignScan;
	routine->ReInitializeDSMForeignScan = flowdbReInitializeDSMForeignScan;
	routine->InitializeWorkerForeignScan = flowdbInitializeWorkerForeignScan;
	routine->ShutdownForeignScan = flowdbShutdownForeignScan;

	routine->IsForeignRelUpdatable = flowdbIsForeignRelUpdatable;
	routine->AddForeignUpdateTargets = flowdbAddForeignUpdateTargets;
	routine->PlanForeignModify = flowdbPlanForeignModify;
	routine->BeginForeignModify = flowdbBeginForeignModify;
	routine->ExecForeignInsert = flowdbExecForeignInsert;
	routine->ExecForeignUpdate = flowdbExecForeignUpdate;
	routine->ExecForeignDelete = flowdbExecForeignDelete;
	routine->EndForeignModify = flowdbEndForeignModify;
	routine->BeginForeignInsert = flowdbBeginForeignInsert;
	routine->EndForeignInsert = flowdbEndForeignInsert;
	routine->ExecForeignTruncate = flowdbExecForeignTruncate;

	routine->ExplainForeignScan = flowdbExplainForeignScan;
	routine->ExplainForeignModify = flowdbExplainForeignModify;

	routine->AnalyzeForeignTable = flowdbAnalyzeForeignTable;
	routine->ImportForeignSchema = flowdbImportForeignSchema;

	PG_RETURN_POINTER(routine);
}
