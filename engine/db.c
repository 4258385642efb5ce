/*-------------------------------------------------------------------------
 * db.c
 *	  Create, load, attach, open; and their opposites.
 *
 * Loading replays the manifest into the region and makes the SST directory
 * what the manifest says: listed files must be there in full, others are
 * what a crash left behind and go.  An orphan is also evidence.  A flush
 * renames files before it writes the manifest edit, so an orphan's records
 * are in the log behind the flushed position; if they all stand before the
 * position from which redo will run, a checkpoint has passed that was
 * allowed to only because an edit listed the file, and the edit is gone.
 *
 * Keeps: S6, S7.
 *-------------------------------------------------------------------------
 */
#include "db.h"

#include <inttypes.h>
#include <stdio.h>

#include "readers.h"
#include "scan.h"
#include "sst_format.h"
#include "store.h"
#include "version.h"

#define OPEN_SSTS 128 /* SSTables a handle keeps open */

/* --------------------------------------------------------------- create */

static FlowStatus
check_dir(const char *dir)
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

	FLOW_TRY(check_dir(dir));
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

/* ----------------------------------------------------- load: the manifest */

typedef struct Loaded
{
	FlowSst *sst;			 /* NULL: removed again */
	bool found;				 /* in the directory */
	uint64_t flushed_before; /* flushed_pos before the edit that added it */
} Loaded;

/* A load in progress; private. */
typedef struct Load
{
	FlowEnv *env;
	const char *dir;
	const FlowOptions *opts;
	FlowDbShared *sh;
	Loaded *ssts;
	uint32_t nssts;
	uint32_t cap;
} Load;

static FlowStatus
reserve_sst(Load *load)
{
	uint32_t cap = load->cap ? load->cap * 2 : 64;
	Loaded *ssts;

	if (load->nssts < load->cap)
		return FLOW_OK;
	ssts = load->env->realloc(load->env, load->ssts, cap * sizeof(*ssts));
	if (ssts == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	load->ssts = ssts;
	load->cap = cap;
	return FLOW_OK;
}

/* Edits mostly speak of what came last. */
static Loaded *
find_loaded(Load *load, uint64_t id)
{
	for (uint32_t i = load->nssts; i-- > 0;)
	{
		if (load->ssts[i].sst && load->ssts[i].sst->info.id == id)
			return &load->ssts[i];
	}
	return NULL;
}

static FlowStatus
load_add_sst(void *arg, const FlowSstInfo *info)
{
	Load *load = arg;

	FLOW_CHECK_DATA(find_loaded(load, info->id) == NULL,
					"manifest of \"%s\" lists SSTable %" PRIu64 " twice",
					load->dir, info->id);
	FLOW_TRY(reserve_sst(load));
	load->ssts[load->nssts] =
		(Loaded){.flushed_before = atomic_load(&load->sh->flushed_pos)};
	FLOW_TRY(flowi_version_sst_create(load->env, info, FLOW_ROOM_ALL,
									  &load->ssts[load->nssts].sst));
	load->nssts++;
	return FLOW_OK;
}

static FlowStatus
load_remove_sst(void *arg, uint64_t id)
{
	Load *load = arg;
	Loaded *l = find_loaded(load, id);

	FLOW_CHECK_DATA(l != NULL,
					"manifest of \"%s\" removes SSTable %" PRIu64
					", which it does not list",
					load->dir, id);
	flowi_version_sst_free(load->env, l->sst);
	l->sst = NULL;
	return FLOW_OK;
}

static FlowStatus
load_txns(void *arg, uint64_t sst_id, const FlowTxnInfo *txns, uint32_t ntxns)
{
	Load *load = arg;
	Loaded *l = find_loaded(load, sst_id);

	FLOW_CHECK_DATA(l != NULL,
					"manifest of \"%s\" has a directory of SSTable %" PRIu64
					", which it does not list",
					load->dir, sst_id);
	return flowi_version_reload(load->env, l->sst, txns, ntxns);
}

static FlowStatus
load_store(void *arg, const FlowStoreInfo *store)
{
	Load *load = arg;

	return flowi_stores_apply(load->env, load->sh, store, 0);
}

static FlowStatus
load_flushed(void *arg, uint64_t flushed_pos)
{
	Load *load = arg;

	atomic_store(&load->sh->flushed_pos, flushed_pos);
	return FLOW_OK;
}

static FlowStatus
load_next_id(void *arg, uint64_t next_sst_id)
{
	Load *load = arg;

	load->sh->next_sst_id = next_sst_id;
	return FLOW_OK;
}

/* ----------------------------------------------------- load: the directory */

/* "%016x.sst": its id; false for any other name. */
static bool
parse_name(const char *name, uint64_t *idp)
{
	uint64_t id = 0;

	for (int i = 0; i < 16; i++)
	{
		char c = name[i];

		if (c >= '0' && c <= '9')
			id = id << 4 | (uint64_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			id = id << 4 | (uint64_t) (c - 'a' + 10);
		else
			return false;
	}
	*idp = id;
	return strcmp(name + 16, ".sst") == 0;
}

/* The store that the footer of an orphan names; checked by the open. */
static FlowStatus
read_store_id(FlowEnv *env, const char *path, uint32_t *store_idp)
{
	uint8_t bytes[4];
	uint64_t size;
	FlowFile *file;
	FlowStatus st = env->file_open(env, path, FLOW_O_READ, &file);

	*store_idp = 0;
	if (st != FLOW_OK)
		return st;
	FLOW_GOTO(env->file_size(file, &size));
	if (size < FOOT_BYTES)
		FLOW_GOTO(FLOW_CORRUPT);
	FLOW_GOTO(env->file_read(file, bytes, sizeof(bytes),
							 size - FOOT_BYTES + FOOT_STORE));
	*store_idp = flowi_get32(bytes);
out:
	env->file_close(file);
	return st;
}

/*
 * Is the orphan the proof of a lost edit?  One whose bytes are not those of
 * an SSTable proves nothing: a crash may have left it so.  One that cannot
 * be read at this moment may be a proof, and stays.
 */
static FlowStatus
check_orphan(const Load *load, const char *path, uint64_t id)
{
	FlowSstReader *reader;
	uint32_t store_id;
	uint64_t seq_max;
	FlowStatus st = read_store_id(load->env, path, &store_id);

	if (st == FLOW_OK)
		st = flowi_sst_open(load->env, path, id, store_id, &reader);
	if (st == FLOW_CORRUPT || st == FLOW_NOTFOUND)
		return FLOW_OK;
	FLOW_TRY(st);
	seq_max = flowi_sst_info(reader)->seq_max;
	flowi_sst_close(reader);
	FLOW_CHECK_DATA(seq_max >= load->opts->log_start,
					"SSTable \"%s\" holds records up to log position %" PRIu64
					", before redo starts at %" PRIu64
					", but the manifest does not list it",
					path, seq_max, load->opts->log_start);
	return FLOW_OK;
}

static FlowStatus
load_file(void *arg, const char *name)
{
	Load *load = arg;
	char path[FLOW_PATH_BYTES];
	uint64_t id;
	int n = snprintf(path, sizeof(path), "%s/SST/%s", load->dir, name);
	FlowStatus st;

	if (n < 0 || (size_t) n >= sizeof(path))
		return flowi_fail(FLOW_CORRUPT, "file name \"%s\" is too long", name);
	if (parse_name(name, &id))
	{
		Loaded *l = find_loaded(load, id);

		if (l != NULL)
		{
			l->found = true;
			return FLOW_OK;
		}
		FLOW_TRY(check_orphan(load, path, id));
	}
	st = load->env->unlink(load->env, path);
	return st == FLOW_NOTFOUND ? FLOW_OK : st;
}

static FlowStatus
check_listed(const Load *load, const Loaded *l)
{
	FlowEnv *env = load->env;
	const FlowSstInfo *info = &l->sst->info;
	char path[FLOW_PATH_BYTES];
	FlowFile *file;
	uint64_t size = 0;
	FlowStatus st = FLOW_NOTFOUND;

	flowi_version_path(load->dir, info->id, path);
	if (l->found)
		st = env->file_open(env, path, FLOW_O_READ, &file);
	if (st == FLOW_NOTFOUND)
		return flowi_fail(FLOW_CORRUPT,
						  "SSTable \"%s\" is missing, but the manifest lists "
						  "it",
						  path);
	FLOW_TRY(st);
	st = env->file_size(file, &size);
	env->file_close(file);
	FLOW_TRY(st);
	FLOW_CHECK_DATA(size == info->file_bytes,
					"SSTable \"%s\" has %" PRIu64 " bytes, but the manifest "
					"says %" PRIu64,
					path, size, info->file_bytes);
	return FLOW_OK;
}

/*
 * Forget a missing file whose records redo will bring, and let redo begin
 * before them: those that other files have as well come a second time with
 * the same sequences, which does no harm.  The manifest still lists the
 * file, so it is rewritten before anything else (flowi_version_repair).
 */
static void
set_back(Load *load, Loaded *l)
{
	FlowDbShared *sh = load->sh;

	if (l->sst == NULL || l->found || !load->opts->will_redo ||
		l->sst->info.seq_min < load->opts->log_start)
		return;
	flowi_version_sst_free(load->env, l->sst);
	l->sst = NULL;
	if (l->flushed_before < atomic_load(&sh->flushed_pos))
		atomic_store(&sh->flushed_pos, l->flushed_before);
	sh->manifest_failed = true;
}

/* The first version, of what the manifest lists. */
static FlowStatus
load_version(Load *load)
{
	FlowEnv *env = load->env;
	FlowDbShared *sh = load->sh;
	FlowSst **ssts = env->alloc(env, FLOW_MAX(load->nssts, 1) * sizeof(*ssts));
	uint32_t n = 0;
	FlowStatus st = FLOW_OK;

	if (ssts == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < load->nssts; i++)
	{
		sh->next_sst_id =
			FLOW_MAX(sh->next_sst_id,
					 load->ssts[i].sst ? load->ssts[i].sst->info.id + 1 : 0);
		set_back(load, &load->ssts[i]);
		if (load->ssts[i].sst == NULL)
			continue;
		FLOW_GOTO(check_listed(load, &load->ssts[i]));
		ssts[n++] = load->ssts[i].sst;
	}
	FLOW_GOTO(flowi_version_create(env, ssts, n, &sh->version));
	load->nssts = 0; /* the version's now */
	atomic_store(&sh->version_number, sh->version->number);
out:
	env->free(env, ssts);
	return st;
}

static FlowStatus
load_all(Load *load)
{
	const FlowManifestVisitor visitor = {
		.arg = load,
		.add_sst = load_add_sst,
		.remove_sst = load_remove_sst,
		.txns = load_txns,
		.store = load_store,
		.flushed = load_flushed,
		.next_id = load_next_id,
	};
	char path[FLOW_PATH_BYTES];

	FLOW_TRY(flowi_manifest_replay(load->env, load->dir, &visitor,
								   &load->sh->manifest));
	flowi_version_sst_dir(load->dir, path);
	FLOW_TRY(load->env->list_dir(load->env, path, load_file, load));
	return load_version(load);
}

FlowStatus
flow_load(FlowEnv *env, const char *dir, const FlowOptions *opts,
		  FlowDbShared **sharedp)
{
	Load load = {.env = env, .dir = dir, .opts = opts};
	FlowDbShared *sh;
	FlowStatus st;

	*sharedp = NULL;
	FLOW_TRY(check_dir(dir));
	if (opts->memtable_bytes == 0 || opts->block_bytes == 0)
		return flowi_fail(FLOW_INVALID,
						  "memtable_bytes and block_bytes must not be 0");
	sh = flowi_region_alloc(env, sizeof(*sh));
	if (sh == NULL)
		return flowi_fail(FLOW_NOMEM, "out of shared memory");
	env->lock_init(env, &sh->write_lock, FLOW_RANK_WRITE);
	env->lock_init(env, &sh->state_lock, FLOW_RANK_STATE);
	sh->options = *opts;
	sh->memtable_txns = flowi_version_memtable_txns(env);
	sh->next_store_id = 1;
	sh->next_sst_id = 1;
	atomic_store(&sh->oldest_unflushed, UINT64_MAX);
	load.sh = sh;
	st = load_all(&load);
	for (uint32_t i = 0; i < load.nssts; i++)
		flowi_version_sst_free(env, load.ssts[i].sst);
	env->free(env, load.ssts);
	if (st != FLOW_OK)
	{
		flow_unload(env, sh);
		return st;
	}
	atomic_store(&sh->applied_end, atomic_load(&sh->flushed_pos));
	if (env->log_resume)
		env->log_resume(env, atomic_load(&sh->flushed_pos));
	*sharedp = sh;
	return FLOW_OK;
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
} Discarded;

/* Leave an empty database; both locks held, nobody is busy.  empty may be
 * NULL: then the version stays. */
static Discarded
discard_locked(FlowEnv *env, FlowDbShared *sh, FlowVersion *empty)
{
	Discarded d = {.active = sh->active, .frozen = sh->frozen};

	sh->active = NULL;
	sh->frozen = NULL;
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
	Discarded d = {NULL, NULL, NULL};
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
}

void
flow_unload(FlowEnv *env, FlowDbShared *sh)
{
	if (sh == NULL)
		return;
	free_memtables(env, sh->active, sh->frozen);
	flowi_version_unref(env, NULL, sh->version);
	flowi_stores_free(env, sh);
	flowi_region_free(env, sh);
}

/* --------------------------------------------------------------- handles */

FlowStatus
flow_attach(FlowEnv *env, FlowDbShared *shared, const char *dir, FlowDb **dbp)
{
	FlowDb *db;
	size_t dir_bytes = strlen(dir) + 1;
	FlowStatus st;

	*dbp = NULL;
	FLOW_TRY(check_dir(dir));
	db = env->alloc(env, sizeof(*db) + dir_bytes);
	if (db == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(db, 0, sizeof(*db));
	db->env = env;
	db->sh = shared;
	db->dir = memcpy(db + 1, dir, dir_bytes);
	st = flowi_readers_create(env, db->dir, OPEN_SSTS, &db->readers);
	if (st != FLOW_OK)
	{
		env->free(env, db);
		return st;
	}
	*dbp = db;
	return FLOW_OK;
}

void
flow_detach(FlowDb *db)
{
	if (db == NULL)
		return;
	flowi_scan_orphan_all(db);
	flowi_scan_free_spare(db);
	flowi_readers_free(db->readers);
	flowi_batch_writer_free(db->batch);
	db->env->free(db->env, db);
}

FlowDbShared *
flow_shared(FlowDb *db)
{
	return db->sh;
}

FlowStatus
flow_open(FlowEnv *env, const char *dir, const FlowOptions *opts, FlowDb **dbp)
{
	FlowDbShared *sh;
	FlowStatus st;

	*dbp = NULL;
	if (opts->create)
		FLOW_TRY(flow_create(env, dir));
	FLOW_TRY(flow_load(env, dir, opts, &sh));
	st = flow_attach(env, sh, dir, dbp);
	if (st != FLOW_OK)
	{
		flow_unload(env, sh);
		return st;
	}
	(*dbp)->owns_shared = true;
	return FLOW_OK;
}

FlowStatus
flow_close(FlowDb *db)
{
	FlowEnv *env;
	FlowDbShared *sh;
	bool owns_shared;
	FlowStatus st;

	if (db == NULL)
		return FLOW_OK;
	env = db->env;
	sh = db->sh;
	owns_shared = db->owns_shared;
	st = flow_flush(db);
	flow_detach(db);
	if (owns_shared)
		flow_unload(env, sh);
	return st;
}
