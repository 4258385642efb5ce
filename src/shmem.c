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

#include "flowdb_shmem.h"

struct FlowdbShared *flowdb_shared;

static shmem_request_hook_type prev_shmem_request_hook;
static shmem_startup_hook_type prev_shmem_startup_hook;

/* By FlowLockRank; rank 0 is the server core's own locks. */
static const char *const tranche_names[] = {"FlowdbCore", "FlowdbWrite",
											"FlowdbState", "FlowdbRegion"};
#define NTRANCHES ((int) lengthof(tranche_names))

/* One part in eight of the region is for metadata, the rest for rows. */
#define WRITE_SHARE(bytes) ((bytes) / 8 * 7)

static Size
region_bytes(void)
{
	return (Size) flowdb_shared_memory_mb * 1024 * 1024;
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(struct FlowdbShared)));
	RequestAddinShmemSpace(region_bytes());
}

static void
init_shared(void *region)
{
	struct FlowdbShared *sh = flowdb_shared;

	memset(sh, 0, sizeof(*sh));
	for (int i = 0; i < NTRANCHES; i++)
		sh->tranche[i] = LWLockNewTrancheId();
	LWLockInitialize(&sh->registry_lock, sh->tranche[FLOW_RANK_NONE]);
	LWLockInitialize(&sh->gate, sh->tranche[FLOW_RANK_NONE]);
	SpinLockInit(&sh->mutex);
	pg_atomic_init_u32(&sh->pressure, 0);
	ConditionVariableInit(&sh->armed_cv);
	ConditionVariableInit(&sh->flushed_cv);

	/* flow_region_init wants zeroed memory; a new segment is zero */
	if (flow_region_init(flowdb_env(), region, region_bytes(),
						 WRITE_SHARE(region_bytes()), &sh->region) != FLOW_OK)
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

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	region = ShmemInitStruct("FlowDB region", region_bytes(), &found);
	flowdb_shared =
		ShmemInitStruct("FlowDB", sizeof(struct FlowdbShared), &found);
	if (!found)
		init_shared(region);
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
