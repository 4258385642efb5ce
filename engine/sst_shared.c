/*-------------------------------------------------------------------------
 * sst_shared.c
 *	  What is known of one SSTable, in the shared region: bounds, directory.
 *
 * Everything that FlowSstInfo points to is copied behind the struct, so that
 * no pointer into a writer or a reader stays.  A directory is contiguous and
 * as large as it was when the file was written; readers hold pointers into
 * it, so it is never changed in place but for the states of its entries.
 *-------------------------------------------------------------------------
 */
#include "version.h"

#include <inttypes.h>
#include <stdio.h>

/* A memtable's directory takes at most one part in so many of the metadata. */
#define DIRECTORY_SHARE 8

void
flowi_version_sst_dir(const char *dir, char path[FLOW_PATH_BYTES])
{
	snprintf(path, FLOW_PATH_BYTES, "%s/SST", dir);
}

void
flowi_version_path(const char *dir, uint64_t id, char path[FLOW_PATH_BYTES])
{
	snprintf(path, FLOW_PATH_BYTES, "%s/SST/%016" PRIx64 ".sst", dir, id);
}

void
flowi_version_tmp_path(const char *dir, uint64_t id, char path[FLOW_PATH_BYTES])
{
	snprintf(path, FLOW_PATH_BYTES, "%s/SST/pgsql_tmp.%" PRIu64 ".sst", dir,
			 id);
}

/* ------------------------------------------------------------- SSTables */

/* A directory into sst, which has room for it. */
static void
fill_directory(FlowSst *sst, const FlowTxnInfo *txns, uint32_t ntxns)
{
	uint32_t unsettled = 0;

	sst->ntxns = ntxns;
	for (uint32_t i = 0; i < ntxns; i++)
	{
		const FlowTxnInfo *from = &txns[i];
		FlowTxn *to = &sst->txns[i];

		to->seq_first = from->seq_first;
		to->seq_last = from->seq_last;
		to->xid = from->xid;
		to->cid = from->cid;
		atomic_init(&to->state, from->state);
		sst->saved[i] = (uint8_t) from->state;
		unsettled += from->state != FLOW_TXN_SETTLED;
	}
	atomic_init(&sst->unsettled, unsettled);
}

uint64_t
flowi_version_memtable_txns(const FlowEnv *env)
{
	uint64_t n =
		flowi_region_meta_total(env) / DIRECTORY_SHARE / (sizeof(FlowTxn) + 1);

	return FLOW_MAX(n, 1);
}

/* Arrays for n entries; false when there is no room for both. */
static bool
alloc_directory(FlowEnv *env, FlowRoom room, uint32_t n, FlowSst *sst)
{
	if (n == 0)
		return true;
	sst->txns = flowi_version_alloc(env, room, n * sizeof(FlowTxn));
	sst->saved = flowi_version_alloc(env, room, n);
	return sst->txns != NULL && sst->saved != NULL;
}

/* Bytes of all keys that info points to. */
static size_t
key_bytes(const FlowSstInfo *info)
{
	size_t n = (size_t) info->key_min_bytes + info->key_max_bytes;

	if (info->ntombs > 0)
	{
		n += info->cover.key_lo_bytes;
		n += info->cover.key_hi ? info->cover.key_hi_bytes : 0;
	}
	return n;
}

static const uint8_t *
copy_key(uint8_t **atp, const uint8_t *key, uint32_t n)
{
	uint8_t *to = *atp;

	if (n > 0)
		memcpy(to, key, n);
	*atp += n;
	return to;
}

/* info into sst, which has room for the keys behind it. */
static void
copy_info(FlowSst *sst, const FlowSstInfo *info)
{
	uint8_t *at = (uint8_t *) (sst + 1);
	FlowRect *cover = &sst->info.cover;

	sst->info = *info;
	sst->info.txns = NULL;
	sst->info.ntxns = 0;
	sst->info.key_min = copy_key(&at, info->key_min, info->key_min_bytes);
	sst->info.key_max = copy_key(&at, info->key_max, info->key_max_bytes);
	if (info->ntombs == 0)
	{
		*cover = (FlowRect){0}; /* means nothing, but may point anywhere */
		return;
	}
	cover->key_lo = copy_key(&at, cover->key_lo, cover->key_lo_bytes);
	if (cover->key_hi)
		cover->key_hi = copy_key(&at, cover->key_hi, cover->key_hi_bytes);
	else
		cover->key_hi_bytes = 0;
}

FlowStatus
flowi_version_sst_create(FlowEnv *env, const FlowSstInfo *info, FlowRoom room,
						 FlowSst **sstp)
{
	FlowSst *sst;

	*sstp = NULL;
	sst = flowi_version_alloc(env, room, sizeof(FlowSst) + key_bytes(info));
	if (sst == NULL)
		goto nomem;
	copy_info(sst, info);
	if (!alloc_directory(env, room, info->ntxns, sst))
		goto nomem;
	fill_directory(sst, info->txns, info->ntxns);
	*sstp = sst;
	return FLOW_OK;

nomem:
	flowi_version_sst_free(env, sst);
	return flowi_fail(FLOW_NOMEM,
					  "out of shared memory for SSTable %" PRIu64
					  " and %u transactions that are not settled",
					  info->id, info->ntxns);
}

void
flowi_version_sst_free(FlowEnv *env, FlowSst *sst)
{
	if (sst == NULL)
		return;
	flowi_region_free(env, sst->txns);
	flowi_region_free(env, sst->saved);
	flowi_region_free(env, sst);
}

static void
swap_directory(FlowSst *sst, FlowTxn **txnsp, uint8_t **savedp)
{
	FlowTxn *txns = sst->txns;
	uint8_t *saved = sst->saved;

	sst->txns = *txnsp;
	sst->saved = *savedp;
	*txnsp = txns;
	*savedp = saved;
}

FlowStatus
flowi_version_reload(FlowEnv *env, FlowSst *sst, const FlowTxnInfo *txns,
					 uint32_t ntxns)
{
	bool fits = ntxns <= sst->ntxns; /* where the old one is */
	FlowTxn *old_txns = sst->txns;
	uint8_t *old_saved = sst->saved;

	if (ntxns != sst->ntxns)
	{
		sst->txns = NULL;
		sst->saved = NULL;
		if (alloc_directory(env, FLOW_ROOM_ALL, ntxns, sst))
			fits = true;
		else
			swap_directory(sst, &old_txns, &old_saved);
		flowi_region_free(env, old_txns);
		flowi_region_free(env, old_saved);
	}
	if (!fits)
		return flowi_fail(FLOW_NOMEM,
						  "out of shared memory for %u transactions that are "
						  "not settled",
						  ntxns);
	fill_directory(sst, txns, ntxns);
	return FLOW_OK;
}

uint32_t
flowi_version_count_txns(const FlowSst *sst, FlowTxnState state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < sst->ntxns; i++)
		n += atomic_load_explicit(&sst->txns[i].state, memory_order_relaxed) ==
			 state;
	return n;
}

FlowStatus
flowi_version_directory(FlowEnv *env, const FlowSst *sst, const uint8_t *state,
						FlowTxnInfo **txnsp, uint32_t *ntxnsp)
{
	FlowTxnInfo *txns;
	uint32_t n = 0;

	*txnsp = NULL;
	*ntxnsp = 0;
	txns = env->alloc(env, FLOW_MAX(sst->ntxns, 1) * sizeof(*txns));
	if (txns == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < sst->ntxns; i++)
	{
		const FlowTxn *from = &sst->txns[i];

		if (state[i] == FLOW_TXN_SETTLED)
			continue;
		txns[n++] = (FlowTxnInfo){.seq_first = from->seq_first,
								  .seq_last = from->seq_last,
								  .xid = from->xid,
								  .cid = from->cid,
								  .state = state[i]};
	}
	*txnsp = txns;
	*ntxnsp = n;
	return FLOW_OK;
}

void
flowi_version_learn(FlowTxn *txn, uint32_t state)
{
	uint32_t known = atomic_load(&txn->state);

	while ((known == FLOW_TXN_UNKNOWN || known == FLOW_TXN_COMMITTED) &&
		   known != state && state != FLOW_TXN_UNKNOWN)
	{
		if (atomic_compare_exchange_weak(&txn->state, &known, state))
			break;
	}
}

FlowTxn *
flowi_version_find_txn(void *arg, uint64_t seq)
{
	const FlowSst *sst = arg;
	uint32_t lo = 0;
	uint32_t hi = sst->ntxns;

	/* the last entry that begins at or before seq is at lo - 1 */
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (sst->txns[mid].seq_first <= seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || sst->txns[lo - 1].seq_last < seq)
		return NULL;
	return &sst->txns[lo - 1];
}
