/*-------------------------------------------------------------------------
 * load.c
 *	  Load a database: from manifest and directory to the shared state.
 *
 * The manifest is read twice: first for which files each of its edits lists
 * (history.c), then, when it is known which of them are there, to build the
 * state to go on from.  Nothing is removed before that state is known to be
 * complete.  Then the directory is made what the state says.  A file that it
 * does not list is
 *	 - trash: the manifest says that it was removed.  It goes;
 *	 - undone: an edit lists it that does not count (history.c).  It goes, redo
 *	   brings its records, or its inputs have them;
 *	 - what a crash left of a merge.  It goes, its inputs are listed;
 *	 - what a crash left of a flush.  It goes, but it is evidence: a flush
 *	   renames files before it writes the manifest edit, so an orphan's
 *	   records are in the log behind the flushed position; if they all stand
 *	   before the position from which redo will run, a checkpoint has passed
 *	   that was allowed to only because an edit listed the file, and the edit
 *	   is gone.
 * In the end the directory is synced, whether or not anything was unlinked
 * by this load: once the manifest has forgotten a file (rewrite), it must not
 * come back and look like evidence.
 *
 * When not all edits count, the manifest is rewritten at once, for the next
 * load may come without a redo.  If that fails, a crash comes to the same
 * choice again: the files of the chosen state are there, and no others have
 * come; and nothing is appended before it succeeds (manifest_failed).
 *
 * Keeps: I4, S6, S7, S12.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>

#include "cache.h"
#include "configure.h"
#include "drop.h"
#include "history.h"
#include "reserve.h"
#include "sst_format.h"
#include "store.h"
#include "trash.h"

/* A load in progress; private. */
typedef struct Load
{
	FlowEnv *env;
	const char *dir;
	const FlowOptions *opts;
	FlowDbShared *sh;
	FlowHistory history;
} Load;

/* -------------------------------------------------------------- directory */

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
 * an SSTable proves nothing: a crash may have left it so.  Nor does one that
 * a merge has made: had an edit listed it, its inputs were listed no more,
 * and the manifest would list files that are gone.  One that cannot be read
 * at this moment may be a proof, and stays.
 */
static FlowStatus
check_orphan(const Load *load, const char *path, uint64_t id)
{
	FlowSstReader *reader;
	uint32_t store_id;
	uint64_t seq_max;
	bool merged;
	FlowStatus st = read_store_id(load->env, path, &store_id);

	if (st == FLOW_OK)
		st = flowi_sst_open(load->env, path, 0, id, store_id, &reader);
	if (st == FLOW_CORRUPT || st == FLOW_NOTFOUND)
		return FLOW_OK;
	FLOW_TRY(st);
	merged = flowi_sst_info(reader)->origin == FLOW_SST_MERGED;
	seq_max = flowi_sst_info(reader)->seq_max;
	flowi_sst_close(reader);
	if (merged)
		return FLOW_OK;
	FLOW_CHECK_DATA(seq_max >= load->opts->log_start,
					"SSTable \"%s\" holds records up to log position %" PRIu64
					", before redo starts at %" PRIu64
					", but the manifest does not list it",
					path, seq_max, load->opts->log_start);
	return FLOW_OK;
}

/* Is it there, with the size it should have? */
static FlowStatus
look_at(const Load *load, const char *path, FlowKnownSst *k)
{
	FlowEnv *env = load->env;
	FlowFile *file;
	uint64_t size = 0;
	FlowStatus st = env->file_open(env, path, FLOW_O_READ, &file);

	if (st == FLOW_NOTFOUND)
		return FLOW_OK;
	FLOW_TRY(st);
	st = env->file_size(file, &size);
	env->file_close(file);
	FLOW_TRY(st);
	k->found = size == k->file_bytes;
	k->found_bytes = size;
	return FLOW_OK;
}

static FlowStatus
path_of(const Load *load, const char *name, char path[FLOW_PATH_BYTES])
{
	int n = snprintf(path, FLOW_PATH_BYTES, "%s/SST/%s", load->dir, name);

	if (n < 0 || (size_t) n >= FLOW_PATH_BYTES)
		return flowi_fail(FLOW_CORRUPT, "file name \"%s\" is too long", name);
	return FLOW_OK;
}

static FlowStatus
find_file(void *arg, const char *name)
{
	Load *load = arg;
	char path[FLOW_PATH_BYTES];
	FlowKnownSst *k;
	uint64_t id;

	if (!parse_name(name, &id))
		return FLOW_OK;
	k = flowi_history_find(&load->history, id);
	if (k == NULL || k->added == FLOW_NO_EDIT)
		return FLOW_OK;
	FLOW_TRY(path_of(load, name, path));
	return look_at(load, path, k);
}

/* A file that the manifest knows but does not list could not be unlinked: the
 * next sweep tries again. */
static FlowStatus
keep_as_trash(Load *load, uint64_t id)
{
	FlowTrash *t = flowi_trash_alloc(load->env, 1);

	if (t == NULL)
		return FLOW_NOMEM;
	t->id = id;
	t->unused = true;
	flowi_trash_add(load->sh, t); /* nobody else is there yet: no lock */
	return FLOW_OK;
}

static FlowStatus
tidy_file(void *arg, const char *name)
{
	Load *load = arg;
	const FlowKnownSst *k = NULL;
	char path[FLOW_PATH_BYTES];
	uint64_t id;
	FlowStatus st;

	FLOW_TRY(path_of(load, name, path));
	if (parse_name(name, &id))
	{
		k = flowi_history_find(&load->history, id);
		if (k && flowi_history_lists(&load->history, k))
			return FLOW_OK;
		if (k == NULL)
			FLOW_TRY(check_orphan(load, path, id));
	}
	st = load->env->unlink(load->env, path);
	if (st == FLOW_OK || st == FLOW_NOTFOUND)
		return FLOW_OK;
	return k ? keep_as_trash(load, id) : st;
}

/* --------------------------------------------------------------- manifest */

static FlowStatus
load_add_sst(void *arg, const FlowSstInfo *info)
{
	Load *load = arg;
	FlowKnownSst *k = flowi_history_find(&load->history, info->id);

	if (!flowi_history_lists(&load->history, k))
		return FLOW_OK;
	return flowi_version_sst_create(load->env, info, FLOW_ROOM_ALL, &k->sst);
}

/* Fates, definitions and ends of stores are true whether or not the edit counts. */
static FlowStatus
load_txns(void *arg, uint64_t sst_id, const FlowTxnInfo *txns, uint32_t ntxns)
{
	Load *load = arg;
	const FlowKnownSst *k = flowi_history_find(&load->history, sst_id);

	if (!flowi_history_lists(&load->history, k))
		return FLOW_OK;
	return flowi_version_reload(load->env, k->sst, txns, ntxns);
}

static FlowStatus
load_store(void *arg, const FlowStoreInfo *store)
{
	Load *load = arg;

	return flowi_stores_apply(load->env, load->sh, store, 0);
}

static FlowStatus
load_drop(void *arg, const FlowDropInfo *drop)
{
	Load *load = arg;

	return flowi_drops_enter(load->env, load->sh, drop, 0);
}

static FlowStatus
load_kept(void *arg, const FlowDropInfo *drop)
{
	Load *load = arg;

	flowi_drops_forget(load->env, load->sh, drop);
	return FLOW_OK;
}

static FlowStatus
load_store_gone(void *arg, uint64_t store_id)
{
	Load *load = arg;

	flowi_drops_load_gone(load->env, load->sh, (uint32_t) store_id);
	return FLOW_OK;
}

static FlowStatus
load_next_store(void *arg, uint64_t store_id)
{
	Load *load = arg;

	flowi_stores_next(load->sh, (uint32_t) store_id);
	return FLOW_OK;
}

/* ------------------------------------------------------------------- all */

/* The first version, of what the chosen state lists. */
static FlowStatus
load_version(Load *load)
{
	FlowEnv *env = load->env;
	FlowDbShared *sh = load->sh;
	FlowHistory *h = &load->history;
	FlowSst **ssts = env->alloc(env, FLOW_MAX(h->nknown, 1) * sizeof(*ssts));
	uint32_t n = 0;
	FlowStatus st;

	if (ssts == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < h->nknown; i++)
	{
		if (h->known[i].sst)
			ssts[n++] = h->known[i].sst;
	}
	st = flowi_version_create(env, ssts, n, &sh->version);
	env->free(env, ssts);
	if (st != FLOW_OK)
		return st;
	for (uint32_t i = 0; i < h->nknown; i++)
		h->known[i].sst = NULL; /* the version's now */
	atomic_store(&sh->version_number, sh->version->number);
	return FLOW_OK;
}

/*
 * An older state may list SSTables of a store that later edits have taken out.
 * The store is gone all the same, and so are its files (tidy_file).
 */
static void
leave_out_gone(Load *load)
{
	FlowHistory *h = &load->history;

	for (uint32_t i = 0; i < h->nknown; i++)
	{
		FlowKnownSst *k = &h->known[i];

		if (k->sst == NULL ||
			!flowi_stores_gone(load->sh, k->sst->info.store_id))
			continue;
		flowi_version_sst_free(load->env, k->sst);
		k->sst = NULL;
		k->added = FLOW_NO_EDIT;
		load->sh->manifest_failed = true;
	}
}

static FlowStatus
load_state(Load *load)
{
	const FlowManifestVisitor visitor = {
		.arg = load,
		.add_sst = load_add_sst,
		.txns = load_txns,
		.store = load_store,
		.drop = load_drop,
		.kept = load_kept,
		.store_gone = load_store_gone,
		.next_store = load_next_store,
	};
	const FlowHistory *h = &load->history;
	FlowDbShared *sh = load->sh;

	FLOW_TRY(
		flowi_manifest_replay(load->env, load->dir, &visitor, &sh->manifest));
	sh->next_sst_id = h->next_id;
	sh->manifest_failed = !flowi_history_is_whole(h);
	flowi_drops_loaded(sh);
	leave_out_gone(load);
	atomic_store(&sh->flushed_pos, h->flushed_pos);
	return load_version(load);
}

static FlowStatus
load_all(Load *load)
{
	FlowEnv *env = load->env;
	char path[FLOW_PATH_BYTES];

	FLOW_TRY(flowi_history_read(&load->history));
	flowi_version_sst_dir(load->dir, path);
	FLOW_TRY(env->list_dir(env, path, find_file, load));
	FLOW_TRY(flowi_history_choose(&load->history, load->opts));
	FLOW_TRY(load_state(load));
	FLOW_TRY(env->list_dir(env, path, tidy_file, load));
	FLOW_TRY(env->sync_dir(env, path));
	if (load->sh->manifest_failed)
	{
		FlowStatus st = flowi_version_write_loaded(env, load->dir, load->sh);

		(void) st; /* flowi_version_repair tries again */
	}
	flowi_reserve_keep(env, load->dir, load->sh);
	return FLOW_OK;
}

static void
load_free(Load *load)
{
	FlowHistory *h = &load->history;

	for (uint32_t i = 0; i < h->nknown; i++)
		flowi_version_sst_free(load->env, h->known[i].sst);
	flowi_history_free(h);
}

FlowStatus
flow_load(FlowEnv *env, const char *dir, const FlowOptions *opts,
		  FlowDbShared **sharedp)
{
	Load load = {.env = env,
				 .dir = dir,
				 .opts = opts,
				 .history = {.env = env, .dir = dir, .next_id = 1}};
	FlowDbShared *sh;
	FlowStatus st;

	*sharedp = NULL;
	FLOW_TRY(flowi_db_check_dir(dir));
	/* flow_options_check is flow_open's and the host's: tests load with less */
	if (opts->memtable_bytes == 0 || opts->block_bytes == 0)
		return flowi_fail(FLOW_INVALID,
						  "memtable_bytes and block_bytes must not be 0");
	sh = flowi_region_alloc(env, sizeof(*sh));
	if (sh == NULL)
		return flowi_fail(FLOW_NOMEM, "out of shared memory for a database");
	atomic_init(&sh->refs, 1);
	env->lock_init(env, &sh->write_lock, FLOW_RANK_WRITE);
	env->lock_init(env, &sh->state_lock, FLOW_RANK_STATE);
	sh->options = *opts;
	sh->memtable_txns = flowi_version_memtable_txns(env);
	sh->next_store_id = 1;
	flowi_configure_init(env, sh);
	sh->cache_space = flowi_cache_new_space(env);
	/* what somebody knows of another load, or database, is no match */
	atomic_init(&sh->store_version, sh->cache_space << 32);
	sh->loaded_at = env->now_us(env);
	atomic_store(&sh->oldest_unflushed, UINT64_MAX);
	atomic_store(&sh->purge_horizon, INT64_MIN);
	for (int i = 0; i < FLOW_JUDGES; i++)
		atomic_store(&sh->judge[i], FLOW_NEVER);
	load.sh = sh;
	st = load_all(&load);
	load_free(&load);
	if (st != FLOW_OK)
	{
		flow_unload(env, sh);
		return st;
	}
	atomic_store(&sh->applied_end, atomic_load(&sh->flushed_pos));
	atomic_store(&sh->visible_end, atomic_load(&sh->flushed_pos));
	if (env->log_resume)
		env->log_resume(env, atomic_load(&sh->flushed_pos));
	*sharedp = sh;
	return FLOW_OK;
}
