/*-------------------------------------------------------------------------
 * version.c
 *	  SSTables and sets of them in the shared region; manifest edits.
 *
 * A version is immutable: a reader that holds a reference may read its
 * SSTables as long as it likes.  Whoever changes the set sets busy first,
 * derives a new version, writes the manifest edit, and only then installs
 * the version under the state lock.  So there is one writer of the manifest
 * and of sh->version at a time, and it may do I/O without any lock.
 *
 * A failed edit: its frame may or may not reach the disk.  Until the next
 * rewrite of the manifest has succeeded, a crash may therefore bring the
 * edit back, and the files that it lists must stay as they are.  Hence
 * flowi_version_repair runs before anything else is written, and rewrites
 * the state without that edit.
 *
 * A directory is contiguous and as large as it was when the file was
 * written, and readers hold pointers into it.  So entries that are settled
 * are given back by exchanging the whole FlowSst (flowi_version_shrink), for
 * which a part of the metadata is kept free: full metadata must be able to
 * become less full.
 *
 * Keeps: a file that the manifest on disk may list exists.  Locks: L2.
 *-------------------------------------------------------------------------
 */
#include "version.h"

#include <inttypes.h>
#include <stdio.h>

/* A manifest is rewritten beyond this size, and this many times its last
 * snapshot. */
#define REWRITE_BYTES (1u << 20)
#define REWRITE_FACTOR 4

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

static void *
alloc_from(FlowEnv *env, FlowRoom room, size_t size)
{
	return room == FLOW_ROOM_ALL ? flowi_region_alloc_reserve(env, size)
								 : flowi_region_alloc(env, size);
}

/* Arrays for n entries; false when there is no room for both. */
static bool
alloc_directory(FlowEnv *env, FlowRoom room, uint32_t n, FlowSst *sst)
{
	if (n == 0)
		return true;
	sst->txns = alloc_from(env, room, n * sizeof(FlowTxn));
	sst->saved = alloc_from(env, room, n);
	return sst->txns != NULL && sst->saved != NULL;
}

FlowStatus
flowi_version_sst_create(FlowEnv *env, const FlowSstInfo *info, FlowRoom room,
						 FlowSst **sstp)
{
	FlowSst *sst = NULL;
	size_t size = sizeof(FlowSst) + info->key_min_bytes + info->key_max_bytes;
	uint8_t *keys;

	*sstp = NULL;
	sst = alloc_from(env, room, size);
	if (sst == NULL)
		goto nomem;
	sst->info = *info;
	sst->info.txns = NULL;
	sst->info.ntxns = 0;
	keys = (uint8_t *) (sst + 1);
	if (info->key_min_bytes)
		memcpy(keys, info->key_min, info->key_min_bytes);
	sst->info.key_min = keys;
	keys += info->key_min_bytes;
	if (info->key_max_bytes)
		memcpy(keys, info->key_max, info->key_max_bytes);
	sst->info.key_max = keys;

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

/* ------------------------------------------------------------- versions */

static int
sst_cmp(const FlowSst *a, const FlowSst *b)
{
	if (a->info.store_id != b->info.store_id)
		return a->info.store_id < b->info.store_id ? -1 : 1;
	return (a->info.id > b->info.id) - (a->info.id < b->info.id);
}

/* Put sst into its place among the n sorted ones. */
static void
insert_sorted(FlowVersion *v, FlowSst *sst)
{
	uint32_t at = v->nssts++;

	for (; at > 0 && sst_cmp(v->sst[at - 1], sst) > 0; at--)
		v->sst[at] = v->sst[at - 1];
	v->sst[at] = sst;
	atomic_fetch_add(&sst->refs, 1);
}

static bool
is_in(FlowSst *const *list, uint32_t n, const FlowSst *sst)
{
	for (uint32_t i = 0; i < n; i++)
	{
		if (list[i] == sst)
			return true;
	}
	return false;
}

/* An empty version with one reference and room for n SSTables. */
static FlowStatus
version_alloc(FlowEnv *env, FlowRoom room, uint32_t n, FlowVersion **vp)
{
	size_t size = sizeof(FlowVersion) + n * sizeof(FlowSst *);

	*vp = alloc_from(env, room, size);
	if (*vp == NULL)
		return flowi_fail(FLOW_NOMEM,
						  "out of shared memory for a list of %u SSTables", n);
	atomic_init(&(*vp)->refs, 1);
	(*vp)->number = 1;
	return FLOW_OK;
}

FlowStatus
flowi_version_create(FlowEnv *env, FlowSst *const *ssts, uint32_t n,
					 FlowVersion **vp)
{
	FLOW_TRY(version_alloc(env, FLOW_ROOM_ALL, n, vp));
	for (uint32_t i = 0; i < n; i++)
		insert_sorted(*vp, ssts[i]);
	return FLOW_OK;
}

FlowStatus
flowi_version_derive(FlowEnv *env, const FlowVersion *base, FlowSst *const *add,
					 uint32_t nadd, FlowSst *const *drop, uint32_t ndrop,
					 FlowVersion **vp)
{
	FlowVersion *v;

	*vp = NULL;
	FLOW_TRY(version_alloc(env, FLOW_ROOM_USUAL, base->nssts + nadd, &v));
	v->number = base->number + 1;
	for (uint32_t i = 0; i < base->nssts; i++)
	{
		if (!is_in(drop, ndrop, base->sst[i]))
			insert_sorted(v, base->sst[i]);
	}
	for (uint32_t i = 0; i < nadd; i++)
		insert_sorted(v, add[i]);
	*vp = v;
	return FLOW_OK;
}

FlowVersion *
flowi_version_install(FlowDbShared *sh, FlowVersion *v)
{
	FlowVersion *before = sh->version;

	sh->version = v;
	atomic_store(&sh->version_number, v->number);
	return before;
}

FlowVersion *
flowi_version_pin(FlowDbShared *sh)
{
	atomic_fetch_add(&sh->version->refs, 1);
	return sh->version;
}

/*
 * The last version that listed sst is gone.  A file that cannot be unlinked
 * is no reason to fail: the next load finds it.
 */
static void
sst_unref(FlowEnv *env, const char *dir, FlowSst *sst)
{
	while (sst != NULL && atomic_fetch_sub(&sst->refs, 1) == 1)
	{
		FlowSst *successor = sst->successor;

		if (dir != NULL && atomic_load(&sst->obsolete))
		{
			char path[FLOW_PATH_BYTES];

			flowi_version_path(dir, sst->info.id, path);
			(void) env->unlink(env, path);
		}
		flowi_version_sst_free(env, sst);
		sst = successor;
	}
}

void
flowi_version_unref(FlowEnv *env, const char *dir, FlowVersion *v)
{
	if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < v->nssts; i++)
		sst_unref(env, dir, v->sst[i]);
	flowi_region_free(env, v);
}

uint32_t
flowi_version_store(const FlowVersion *v, uint32_t store_id, uint32_t *firstp)
{
	uint32_t lo = 0;
	uint32_t hi = v->nssts;
	uint32_t n = 0;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->sst[mid]->info.store_id < store_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < v->nssts && v->sst[lo + n]->info.store_id == store_id)
		n++;
	*firstp = lo;
	return n;
}

/* --------------------------------------------------------------- shrink */

static bool
is_slack(const FlowSst *sst)
{
	return sst->ntxns > 0 && atomic_load(&sst->unsettled) <= sst->ntxns / 2;
}

/* A copy of sst whose directory has the unsettled entries only. */
static FlowStatus
copy_lean(FlowEnv *env, const FlowSst *sst, FlowSst **leanp)
{
	FlowSstInfo info = sst->info;
	FlowTxnInfo *txns;
	FlowStatus st;

	*leanp = NULL;
	FLOW_TRY(flowi_version_directory(env, sst, sst->saved, &txns, &info.ntxns));
	info.txns = txns;
	st = flowi_version_sst_create(env, &info, FLOW_ROOM_ALL, leanp);
	env->free(env, txns);
	return st;
}

/* v, which nobody else sees yet, lists lean in the place of sst. */
static void
succeed(FlowVersion *v, uint32_t i, FlowSst *lean)
{
	FlowSst *sst = v->sst[i];

	atomic_store(&lean->refs, 2); /* v's, and sst's */
	sst->successor = lean;
	v->sst[i] = lean;
	atomic_fetch_sub(&sst->refs, 1); /* the version before has one more */
}

/* Exchange as many as there is memory for.  True: some, but not all. */
static bool
shrink_some(FlowDb *db)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	const FlowVersion *base = sh->version;
	FlowStatus st = FLOW_OK;
	FlowVersion *v;
	uint32_t done = 0;

	if (version_alloc(env, FLOW_ROOM_ALL, base->nssts, &v) != FLOW_OK)
		return false;
	v->number = base->number + 1;
	for (uint32_t i = 0; i < base->nssts; i++)
	{
		FlowSst *lean;

		insert_sorted(v, base->sst[i]);
		if (st != FLOW_OK || !is_slack(base->sst[i]))
			continue;
		st = copy_lean(env, base->sst[i], &lean);
		if (st == FLOW_OK)
			succeed(v, i, lean);
		done += st == FLOW_OK;
	}
	if (done > 0)
	{
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		v = flowi_version_install(sh, v);
		env->lock_release(env, &sh->state_lock);
	}
	flowi_version_unref(env, db->dir, v);
	return done > 0 && st != FLOW_OK;
}

void
flowi_version_shrink(FlowDb *db)
{
	const FlowVersion *v = db->sh->version;
	uint32_t i = 0;

	while (i < v->nssts && !is_slack(v->sst[i]))
		i++;
	if (i == v->nssts)
		return;
	while (shrink_some(db))
		;
}

/* ------------------------------------------------------------- manifest */

FlowStatus
flowi_version_begin(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st = FLOW_BUSY;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	if (!sh->busy)
	{
		sh->busy = true;
		st = FLOW_OK;
	}
	db->env->lock_release(db->env, &sh->state_lock);
	return st;
}

void
flowi_version_end(FlowDb *db)
{
	FlowDbShared *sh = db->sh;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	sh->busy = false;
	db->env->lock_release(db->env, &sh->state_lock);
}

/*
 * Every definition as it is now, those logged behind flushed_pos included:
 * the older blob of a redefined store is gone from memory.  The caller syncs
 * the log between this call and the write (S5).
 */
static FlowStatus
snapshot_stores(FlowDb *db, FlowEdit *edit)
{
	FlowStatus st = FLOW_OK;

	db->env->lock_acquire(db->env, &db->sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowStore *s = db->sh->stores; st == FLOW_OK && s; s = s->next)
		st = flowi_edit_store(edit, &(FlowStoreInfo){
										.id = s->id,
										.name = s->name,
										.name_bytes = s->name_bytes,
										.blob = s->blob,
										.blob_bytes = s->blob_bytes,
									});
	db->env->lock_release(db->env, &db->sh->state_lock);
	return st;
}

static FlowStatus
snapshot_ssts(FlowDb *db, FlowEdit *edit)
{
	const FlowVersion *v = db->sh->version;

	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSst *sst = v->sst[i];
		FlowSstInfo info = sst->info;
		FlowTxnInfo *txns;
		FlowStatus st;

		FLOW_TRY(flowi_version_directory(db->env, sst, sst->saved, &txns,
										 &info.ntxns));
		info.txns = txns;
		st = flowi_edit_add_sst(edit, &info);
		db->env->free(db->env, txns);
		FLOW_TRY(st);
	}
	return FLOW_OK;
}

/* Write the state as it is to a new manifest. */
static FlowStatus
rewrite(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowEdit *edit = NULL;
	FlowStatus st = FLOW_OK;

	FLOW_GOTO(flowi_edit_create(db->env, &edit));
	FLOW_GOTO(snapshot_stores(db, edit));
	FLOW_GOTO(snapshot_ssts(db, edit));
	FLOW_GOTO(flowi_edit_flushed(edit, atomic_load(&sh->flushed_pos)));
	FLOW_GOTO(flowi_edit_next_id(edit, sh->next_sst_id));
	FLOW_GOTO(db->env->log_sync(db->env));
	FLOW_GOTO(FLOW_POINT(db->env, "manifest-rewrite"));
	st = flowi_manifest_rewrite(db->env, db->dir, edit, &sh->manifest);
	sh->manifest_failed = st != FLOW_OK;
	if (st == FLOW_OK)
		sh->snapshot_bytes = sh->manifest.offset;
out:
	flowi_edit_free(edit);
	return st;
}

FlowStatus
flowi_version_repair(FlowDb *db)
{
	const FlowDbShared *sh = db->sh;
	uint64_t size = sh->manifest.offset;

	if (sh->manifest_failed ||
		(size > REWRITE_BYTES && size > REWRITE_FACTOR * sh->snapshot_bytes))
		return rewrite(db);
	return FLOW_OK;
}

FlowStatus
flowi_version_log_edit(FlowDb *db, FlowEdit *edit)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st;

	FLOW_ASSERT(sh->busy && !sh->manifest_failed);
	FLOW_TRY(FLOW_POINT(db->env, "manifest-append"));
	st = flowi_manifest_append(db->env, db->dir, edit, &sh->manifest);
	if (st != FLOW_OK)
		sh->manifest_failed = true;
	return st;
}
