/*-------------------------------------------------------------------------
 * shmem.c
 *	  The shared memory of the extension: one struct for the server core and
 *	  one region for the engine, both asked for at preload.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "flowdb_identity.h"
#include "rowlock.h"

struct FlowdbShared *flowdb_shared;

static shmem_request_hook_type prev_shmem_request_hook;
static shmem_startup_hook_type prev_shmem_startup_hook;

/* By FlowLockRank; rank 0 is the server core's own locks. */
static const char *const tranche_names[] = {"FlowdbCore",  "FlowdbWrite",
											"FlowdbState", "FlowdbRegion",
											"FlowdbCache", "FlowdbRowLock"};
#define NTRANCHES ((int) lengthof(tranche_names))

static Size
shared_bytes(void)
{
	return MAXALIGN(offsetof(struct FlowdbShared, reader_start) +
					(Size) flowdb_reader_places() * sizeof(pg_atomic_uint64));
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_bytes());
	RequestAddinShmemSpace(flowdb_region_bytes());
	RequestAddinShmemSpace(flowdb_row_locks_size());
}

static void
init_shared(void *region)
{
	struct FlowdbShared *sh = flowdb_shared;
	Size write_bytes;
	Size cache_bytes;

	memset(sh, 0, shared_bytes());
	for (int i = 0; i < NTRANCHES; i++)
		sh->tranche[i] = LWLockNewTrancheId();
	LWLockInitialize(&sh->registry_lock, sh->tranche[FLOW_RANK_NONE]);
	LWLockInitialize(&sh->gate, sh->tranche[FLOW_RANK_NONE]);
	SpinLockInit(&sh->mutex);
	pg_atomic_init_u32(&sh->pressure, 0);
	pg_atomic_init_u32(&sh->backups, 0);
	pg_atomic_init_u64(&sh->launcher_asked, 0);
	sh->nreaders = flowdb_reader_places();
	for (int i = 0; i < sh->nreaders; i++)
		pg_atomic_init_u64(&sh->reader_start[i], 0);
	ConditionVariableInit(&sh->armed_cv);
	ConditionVariableInit(&sh->flushed_cv);

	/* flow_region_init wants zeroed memory; a new segment is zero */
	flowdb_region_shares(&write_bytes, &cache_bytes);
	if (flow_region_init(flowdb_env(), region, flowdb_region_bytes(),
						 write_bytes, cache_bytes, &sh->region) != FLOW_OK)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("flowdb.shared_memory is too small"),
						errdetail_internal("%s", flow_last_error()->message)));
	flowdb_env()->region = sh->region;
}

static void
shmem_startup(void)
{
	bool found;
	void *region;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	flowdb_regfile_check(); /* in the postmaster: the server does not start */

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	region = ShmemInitStruct("FlowDB region", flowdb_region_bytes(), &found);
	flowdb_shared = ShmemInitStruct("FlowDB", shared_bytes(), &found);
	if (!found)
		init_shared(region);
	flowdb_row_locks_init();
	for (int i = 0; i < NTRANCHES; i++)
		LWLockRegisterTranche(flowdb_shared->tranche[i], tranche_names[i]);
	LWLockRelease(AddinShmemInitLock);
}

void
flowdb_shmem_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

void
flowdb_require_preload(void)
{
	if (flowdb_shared != NULL)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("flowdb_fdw is not loaded at server start"),
					errhint("Put shared_preload_libraries = 'flowdb_fdw' into "
							"postgresql.conf and restart the server.")));
}
