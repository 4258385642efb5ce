/*-------------------------------------------------------------------------
 * versionlog.c
 *	  Manifest edits: who may write them, snapshots, exchange of SSTables.
 *
 * Whoever has set busy is the only writer of the manifest and of
 * sh->version, and so may do I/O without any lock.
 *
 * A failed edit: its frame may or may not reach the disk.  Until the next
 * rewrite of the manifest has succeeded, a crash may therefore bring the
 * edit back, and the files that it lists must stay as they are.  Hence
 * flowi_version_repair runs before anything else is written, and rewrites
 * the state without that edit.
 *
 * A rewrite loses the manifest's history, which a copy of the directory may
 * need to find a state whose files it has all got (history.c).  So while a
 * backup may run only a failed edit makes one.
 *
 * Keeps: a file that the manifest on disk may list exists.  Locks: L2.
 *-------------------------------------------------------------------------
 */
#include "reserve.h"
#include "store.h"
#include "trash.h"

/* A manifest is rewritten beyond this size, and this many times its last
 * snapshot. */
#define REWRITE_BYTES (1u << 20)
#define REWRITE_FACTOR 4

static FlowStatus
tell_retired(void)
{
	return flowi_fail(FLOW_INVALID, "database is closed");
}

FlowStatus
flowi_version_begin(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st = FLOW_BUSY;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	if (sh->retired)
		st = tell_retired();
	else if (!sh->busy)
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

FlowStatus
flowi_version_begin_files(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st = FLOW_OK;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	if (sh->retired)
		st = tell_retired();
	else
		sh->merging++;
	db->env->lock_release(db->env, &sh->state_lock);
	return st;
}

void
flowi_version_end_files(FlowDb *db)
{
	FlowDbShared *sh = db->sh;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	sh->merging--;
	db->env->lock_release(db->env, &sh->state_lock);
}

void
flowi_version_retire(FlowDb *db)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	bool wait = true;

	while (wait)
	{
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		sh->retired = true;
		wait = sh->busy || sh->merging > 0;
		env->lock_release(env, &sh->state_lock);
		if (wait)
			env->pause(env);
	}
}

/* "SSTable added" for each, with its directory as it is saved. */
static FlowStatus
add_ssts(FlowDb *db, FlowEdit *edit, FlowSst *const *ssts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		const FlowSst *sst = ssts[i];
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

/*
 * Write the state as it is to a new manifest: also definitions that are logged
 * behind flushed_pos, as the older blob of a redefined store is gone from
 * memory.  The log need not be synced when all of it was in a manifest before.
 */
static FlowStatus
rewrite(FlowDb *db, bool sync_log)
{
	FlowDbShared *sh = db->sh;
	FlowEdit *edit = NULL;
	FlowStatus st = FLOW_OK;

	FLOW_GOTO(flowi_edit_create(db->env, &edit));
	FLOW_GOTO(flowi_stores_add_all(db, edit));
	FLOW_GOTO(add_ssts(db, edit, sh->version->sst, sh->version->nssts));
	FLOW_GOTO(flowi_trash_tell(db, edit, true));
	FLOW_GOTO(flowi_edit_flushed(edit, atomic_load(&sh->flushed_pos)));
	FLOW_GOTO(flowi_edit_next_id(edit, sh->next_sst_id));
	if (sync_log)
		FLOW_GOTO(db->env->log_sync(db->env));
	FLOW_GOTO(FLOW_POINT(db->env, "manifest-rewrite"));
	st = flowi_manifest_rewrite(db->env, db->dir, edit, &sh->manifest);
	if (st == FLOW_FULL && flowi_reserve_spend(db->env, db->dir, sh))
		st = flowi_manifest_rewrite(db->env, db->dir, edit, &sh->manifest);
	sh->manifest_failed = st != FLOW_OK;
	if (st == FLOW_OK)
	{
		sh->snapshot_bytes = sh->manifest.offset;
		flowi_trash_told(db);
	}
out:
	flowi_edit_free(edit);
	return st;
}

static bool
has_grown(const FlowDbShared *sh)
{
	uint64_t size = sh->manifest.offset;

	return size > REWRITE_BYTES && size > REWRITE_FACTOR * sh->snapshot_bytes;
}

FlowStatus
flowi_version_repair(FlowDb *db)
{
	FlowEnv *env = db->env;

	if (db->sh->manifest_failed)
		return rewrite(db, true);
	if (has_grown(db->sh) &&
		!(env->keep_files && env->keep_files(env, env->ticks_us(env))))
		return rewrite(db, true);
	return FLOW_OK;
}

FlowStatus
flowi_version_write_loaded(FlowEnv *env, const char *dir, FlowDbShared *sh)
{
	FlowDb db = {.env = env, .sh = sh, .dir = (char *) dir};

	return rewrite(&db, false);
}

FlowStatus
flowi_version_log_edit(FlowDb *db, FlowEdit *edit)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st;

	FLOW_ASSERT(sh->busy && !sh->manifest_failed);
	FLOW_TRY(flowi_trash_tell(db, edit, false));
	FLOW_TRY(FLOW_POINT(db->env, "manifest-append"));
	st = flowi_manifest_append(db->env, db->dir, edit, &sh->manifest);
	if (st == FLOW_OK)
		flowi_trash_told(db);
	else
		sh->manifest_failed = true;
	return st;
}

/* ------------------------------------------------------------- exchange */

/* An exchange under way; private. */
typedef struct Exchange
{
	FlowDb *db;
	FlowSst *const *add;
	uint32_t nadd;
	FlowSst *const *drop;
	uint32_t ndrop;
	FlowEdit *edit;		  /* what goes with it */
	FlowVersion *version; /* the one to be */
	FlowTrash *trash;	  /* an entry for each of drop */
} Exchange;

/* All that can fail, the edit last. */
static FlowStatus
log_exchange(Exchange *x)
{
	FlowDb *db = x->db;
	FlowEnv *env = db->env;
	FlowEdit *edit = x->edit;
	int64_t now = env->ticks_us(env);
	FlowTrash *t;
	FlowStatus st = FLOW_OK;

	FLOW_GOTO(flowi_version_exchange(env, db->sh->version, x->add, x->nadd,
									 x->drop, x->ndrop, &x->version));
	x->trash = t = flowi_trash_alloc(env, x->ndrop);
	if (t == NULL && x->ndrop > 0)
		FLOW_GOTO(FLOW_NOMEM);
	for (uint32_t i = 0; i < x->ndrop; i++, t = t->next)
	{
		t->id = x->drop[i]->info.id;
		t->since = now;
		FLOW_GOTO(flowi_edit_remove_sst(edit, t->id));
	}
	FLOW_GOTO(add_ssts(db, edit, x->add, x->nadd));
	FLOW_GOTO(flowi_edit_next_id(edit, db->sh->next_sst_id));
	FLOW_GOTO(env->log_sync(env));
	st = flowi_version_log_edit(db, edit);
out:
	return st;
}

/*
 * The edit is durable: nothing here can fail.  The version before holds a
 * reference on all that goes, so none of it is unused before it is released.
 * What drop has may be an older entry than the one that was listed: only that
 * one, which the older ones hold, is obsolete.
 */
static void
publish(const Exchange *x)
{
	FlowEnv *env = x->db->env;
	FlowDbShared *sh = x->db->sh;
	FlowVersion *before;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	before = flowi_version_install(sh, x->version);
	flowi_trash_add(sh, x->trash);
	env->lock_release(env, &sh->state_lock);
	for (uint32_t i = 0; i < x->ndrop; i++)
	{
		FlowSst *sst = before->sst[flowi_version_index(before, x->drop[i])];

		sst->owner = sh;
		atomic_store(&sst->obsolete, true);
	}
	flowi_version_unref(env, x->db->dir, before);
}

/* A reference of our own keeps add alive when the version-to-be is given up. */
static FlowStatus
replace(FlowDb *db, FlowSst *const *add, uint32_t nadd, FlowSst *const *drop,
		uint32_t ndrop, FlowEdit *edit)
{
	Exchange x = {db, add, nadd, drop, ndrop, edit, NULL, NULL};
	FlowStatus st;

	FLOW_ASSERT(db->sh->busy);
	for (uint32_t i = 0; i < nadd; i++)
		atomic_fetch_add(&add[i]->refs, 1);
	st = log_exchange(&x);
	if (st == FLOW_OK)
		publish(&x);
	else
	{
		flowi_version_unref(db->env, NULL, x.version);
		flowi_trash_free(db->env, x.trash);
		/* what gives space back succeeds at the next try */
		if (st == FLOW_FULL && nadd == 0)
			(void) flowi_reserve_spend(db->env, db->dir, db->sh);
	}
	for (uint32_t i = 0; i < nadd; i++)
		atomic_fetch_sub(&add[i]->refs, 1);
	return st;
}

FlowStatus
flowi_version_replace(FlowDb *db, FlowSst *const *add, uint32_t nadd,
					  FlowSst *const *drop, uint32_t ndrop)
{
	FlowEdit *edit = NULL;
	FlowStatus st = flowi_version_repair(db);

	if (st == FLOW_OK)
		st = flowi_edit_create(db->env, &edit);
	if (st == FLOW_OK)
		st = replace(db, add, nadd, drop, ndrop, edit);
	flowi_edit_free(edit);
	return st;
}

FlowStatus
flowi_version_remove(FlowDb *db, FlowSst *const *drop, uint32_t ndrop,
					 FlowEdit *edit)
{
	return replace(db, NULL, 0, drop, ndrop, edit);
}
