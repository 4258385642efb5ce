/*-------------------------------------------------------------------------
 * db.c
 *	  Create, attach; discard and unload (load.c has the load).
 *-------------------------------------------------------------------------
 */
#include "db.h"

#include <stdio.h>

#include "readers.h"
#include "scan.h"
#include "store.h"
#include "trash.h"

#define OPEN_SSTS 128 /* SSTables a handle keeps open */

/* --------------------------------------------------------------- create */

FlowStatus
flowi_db_check_dir(const char *dir)
{
	size_t n = strlen(dir);

	if (n == 0 || n > FLOW_MAX_DIR)
		return flowi_fail(FLOW_INVALID,
						  "database directory must have 1 to %u bytes, not %zu",
						  FLOW_MAX_DIR, n);
	return FLOW_OK;
}

/* mkdir unless it is there; the entry is made durable, also one that a call
 * made which failed before it was. */
static FlowStatus
make_dir(FlowEnv *env, const char *path)
{
	char parent[FLOW_PATH_BYTES];
	char *slash;
	FlowStatus st = env->mkdir(env, path);

	if (st != FLOW_EXISTS)
		FLOW_TRY(st);
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash == NULL)
		return env->sync_dir(env, ".");
	slash[slash == parent] = '\0'; /* "/name" is in "/" */
	return env->sync_dir(env, parent);
}

static FlowStatus
write_first_manifest(FlowEnv *env, const char *dir)
{
	FlowManifestPos pos = {0, 0, 0};
	FlowEdit *edit = NULL;
	FlowStatus st = FLOW_OK;

	FLOW_GOTO(flowi_edit_create(env, &edit));
	FLOW_GOTO(flowi_edit_flushed(edit, 0));
	FLOW_GOTO(flowi_edit_next_id(edit, 1));
	FLOW_GOTO(flowi_manifest_rewrite(env, dir, edit, &pos));
out:
	flowi_edit_free(edit);
	return st;
}

FlowStatus
flow_create(FlowEnv *env, const char *dir)
{
	char path[FLOW_PATH_BYTES];
	char index_dir[FLOW_PATH_BYTES];
	FlowFile *file;
	FlowStatus st;

	FLOW_TRY(flowi_db_check_dir(dir));
	FLOW_TRY(make_dir(env, dir));
	flowi_version_sst_dir(dir, path);
	FLOW_TRY(make_dir(env, path));
	snprintf(index_dir, sizeof(index_dir), "%s/INDEX", dir);
	FLOW_TRY(make_dir(env, index_dir));
	snprintf(path, sizeof(path), "%s/INDEX/CURRENT", dir);
	st = env->file_open(env, path, FLOW_O_READ, &file);
	if (st == FLOW_NOTFOUND)
		return write_first_manifest(env, dir);
	if (st != FLOW_OK)
		return st;
	env->file_close(file);
	FLOW_TRY(env->sync_dir(env, index_dir));
	return flowi_fail(FLOW_EXISTS, "there is a database in \"%s\" already",
					  dir);
}

/* Give up the lists' references. */
static void
free_memtables(FlowEnv *env, FlowMemtable *active, FlowMemtable *frozen)
{
	if (active)
		flowi_memtable_unref(env, active);
	while (frozen != NULL)
	{
		FlowMemtable *mt = frozen;

		frozen = mt->next_older;
		flowi_memtable_unref(env, mt);
	}
}

/* What a discarded database gives up. */
typedef struct Discarded
{
	FlowMemtable *active;
	FlowMemtable *frozen;
	FlowVersion *version;
	FlowTrash *trash;
} Discarded;

/* Leave an empty database; both locks held, nobody is busy.  empty may be
 * NULL: then the version stays. */
static Discarded
discard_locked(FlowEnv *env, FlowDbShared *sh, FlowVersion *empty)
{
	Discarded d = {
		.active = sh->active, .frozen = sh->frozen, .trash = sh->trash};

	sh->active = NULL;
	sh->frozen = NULL;
	sh->trash = NULL;
	atomic_store(&sh->nfrozen, 0);
	atomic_store(&sh->oldest_unflushed, UINT64_MAX);
	if (empty)
	{
		empty->number = sh->version->number + 1;
		d.version = flowi_version_install(sh, empty);
	}
	flowi_stores_free(env, sh);
	atomic_fetch_add(&sh->store_version, 1);
	return d;
}

/*
 * A flusher that is at work keeps its memtable listed until it is done or
 * fails, so it is waited for: its files are gone, it fails soon.
 */
void
flow_discard(FlowEnv *env, FlowDbShared *sh)
{
	Discarded d = {NULL, NULL, NULL, NULL};
	FlowVersion *empty = NULL;
	bool busy = true;

	if (flowi_version_create(env, NULL, 0, &empty) != FLOW_OK)
		empty = NULL; /* no room: the version stays as it is */
	while (busy)
	{
		env->lock_acquire(env, &sh->write_lock, FLOW_LOCK_EXCLUSIVE);
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		busy = sh->busy;
		if (!busy)
			d = discard_locked(env, sh, empty);
		env->lock_release(env, &sh->state_lock);
		env->lock_release(env, &sh->write_lock);
		if (busy)
			env->pause(env);
	}
	free_memtables(env, d.active, d.frozen);
	flowi_version_unref(env, NULL, d.version);
	flowi_trash_free(env, d.trash);
}

void
flow_unload(FlowEnv *env, FlowDbShared *sh)
{
	if (sh == NULL)
		return;
	free_memtables(env, sh->active, sh->frozen);
	flowi_version_unref(env, NULL, sh->version);
	flowi_trash_free(env, sh->trash);
	flowi_stores_free(env, sh);
	flowi_region_free(env, sh);
}

static void
release(FlowEnv *env, FlowDbShared *sh)
{
	if (atomic_fetch_sub(&sh->refs, 1) == 1)
		flow_unload(env, sh);
}

void
flow_abandon(FlowEnv *env, FlowDbShared *sh)
{
	flow_discard(env, sh);
	release(env, sh);
}

/* --------------------------------------------------------------- handles */

FlowStatus
flow_attach(FlowEnv *env, FlowDbShared *shared, const char *dir, FlowDb **dbp)
{
	FlowDb *db;
	size_t dir_bytes = strlen(dir) + 1;
	FlowStatus st;

	*dbp = NULL;
	FLOW_TRY(flowi_db_check_dir(dir));
	db = env->alloc(env, sizeof(*db) + dir_bytes);
	if (db == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(db, 0, sizeof(*db));
	db->env = env;
	db->sh = shared;
	db->dir = memcpy(db + 1, dir, dir_bytes);
	st = flowi_readers_create(env, db->dir, shared->cache_space, OPEN_SSTS,
							  &db->readers);
	if (st != FLOW_OK)
	{
		env->free(env, db);
		return st;
	}
	atomic_fetch_add(&shared->refs, 1);
	*dbp = db;
	return FLOW_OK;
}

void
flow_detach(FlowDb *db)
{
	FlowEnv *env;
	FlowDbShared *sh;

	if (db == NULL)
		return;
	env = db->env;
	sh = db->sh;
	flow_maintenance_cancel(db);
	flowi_scan_orphan_all(db);
	flowi_scan_free_spare(db);
	flowi_readers_free(db->readers);
	flowi_batch_writer_free(db->batch);
	env->free(env, db);
	release(env, sh);
}

FlowDbShared *
flow_shared(FlowDb *db)
{
	return db->sh;
}
