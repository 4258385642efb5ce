/*-------------------------------------------------------------------------
 * open.c
 *	  Open and close for embedders.
 *
 * Open takes the directory's lock before it looks at anything it may change.
 * Close flushes first and gives up nothing before that has succeeded, so a
 * close that fails leaves an open database.
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "db.h"
#include "version.h"
#include "wal.h"

/* What flow_open made; private. */
struct FlowOpen
{
	void *lock;	 /* of the directory; NULL: given back */
	bool thread; /* there is one */
};

/* ------------------------------------------------------- what there is */

static FlowStatus
check_call(FlowEnv *env, const char *dir, const FlowOptions *opts)
{
	size_t n = strlen(dir);

	if (n == 0 || n > FLOW_MAX_DIR)
		return flowi_fail(FLOW_INVALID,
						  "database directory must have 1 to %u bytes, not %zu",
						  FLOW_MAX_DIR, n);
	if (env->dir_lock == NULL || env->log_open == NULL)
		return flowi_fail(FLOW_INVALID,
						  "this environment opens its databases by itself");
	if (opts->sync_mode == FLOW_SYNC_HOST)
		return flowi_fail(FLOW_INVALID,
						  "sync_mode FLOW_SYNC_HOST needs a host with a log");
	return flow_options_check(opts);
}

/* Is there a database in dir? */
static FlowStatus
look_for(FlowEnv *env, const char *dir, bool *foundp)
{
	char path[FLOW_PATH_BYTES];
	FlowFile *file;
	FlowStatus st;

	snprintf(path, sizeof(path), "%s/INDEX/CURRENT", dir);
	st = env->file_open(env, path, FLOW_O_READ, &file);
	*foundp = st == FLOW_OK;
	if (st == FLOW_OK)
		env->file_close(file);
	return st == FLOW_NOTFOUND ? FLOW_OK : st;
}

static FlowStatus
find_sst(void *arg, const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot && strcmp(dot, ".sst") == 0)
		*(bool *) arg = true;
	return FLOW_OK;
}

/*
 * No database is made where the remains of one are: the load would take its
 * SSTables for orphans, and the log is another's.
 */
static FlowStatus
check_remains(FlowEnv *env, const char *dir)
{
	char path[FLOW_PATH_BYTES];
	uint64_t start;
	bool sst = false;

	flowi_version_sst_dir(dir, path);
	/* a directory that is not there has none */
	if (env->list_dir(env, path, find_sst, &sst) != FLOW_OK)
		sst = false;
	if (sst || flowi_wal_start(env, dir, &start) == FLOW_OK)
		return flowi_fail(FLOW_CORRUPT,
						  "\"%s\" has files of a database, but no "
						  "INDEX/CURRENT",
						  dir);
	return FLOW_OK;
}

/* Make sure that there is a database, as far as opts ask for it; locked. */
static FlowStatus
ensure_database(FlowEnv *env, const char *dir, const FlowOptions *opts)
{
	bool found;

	FLOW_TRY(look_for(env, dir, &found));
	if (found && !opts->create)
		return FLOW_OK;
	if (!found)
		FLOW_TRY(check_remains(env, dir));
	return flow_create(env, dir); /* EXISTS if it was found */
}

/* The directory, locked.  What is not to be made is not touched. */
static FlowStatus
lock_directory(FlowEnv *env, const char *dir, const FlowOptions *opts,
			   void **lockp)
{
	FlowStatus st;
	bool found;

	FLOW_TRY(look_for(env, dir, &found));
	if (!found && !opts->create && !opts->create_missing)
		return flowi_fail(FLOW_NOTFOUND,
						  "data directory does not exist: \"%s\" holds no "
						  "database",
						  dir);
	if (!found)
	{
		st = env->mkdir(env, dir);
		if (st != FLOW_EXISTS)
			FLOW_TRY(st);
	}
	return env->dir_lock(env, dir, lockp);
}

/* ------------------------------------------------------------------- open */

/* The log reaches back to its oldest segment: what the load may take a lost
 * or a missing SSTable for. */
static void
set_redo(FlowEnv *env, const char *dir, FlowOptions *o)
{
	o->will_redo = flowi_wal_start(env, dir, &o->log_start) == FLOW_OK;
}

static FlowStatus
replay_record(void *arg, const void *rec, size_t len, uint64_t start,
			  uint64_t end)
{
	FlowDb *db = arg;
	FlowStatus st = flow_redo(db, rec, len, start, end);

	if (st != FLOW_BUSY)
		return st;
	/* still BUSY when nothing of it is left: others hold the buffers */
	FLOW_TRY(flow_flush(db, NULL));
	return flow_redo(db, rec, len, start, end);
}

/* Load, attach, replay, and the thread. */
static FlowStatus
bring_up(FlowEnv *env, const char *dir, const FlowOptions *opts, FlowOpen *open,
		 FlowDb **dbp)
{
	FlowOptions o = *opts;
	FlowDbShared *sh;
	FlowStatus st;

	set_redo(env, dir, &o);
	FLOW_TRY(flow_load(env, dir, &o, &sh));
	st = flow_attach(env, sh, dir, dbp);
	if (st != FLOW_OK)
	{
		flow_unload(env, sh);
		return st;
	}
	FLOW_GOTO(env->log_open(env, *dbp, replay_record));
	if (o.auto_background)
	{
		FLOW_GOTO(env->thread_start(env, *dbp));
		open->thread = true;
	}
out:
	if (st != FLOW_OK)
	{
		FLOW_KEEP(env->log_close(env, *dbp));
		flow_detach(*dbp);
		flow_unload(env, sh);
		*dbp = NULL;
	}
	return st;
}

FlowStatus
flow_open(FlowEnv *env, const char *dir, const FlowOptions *opts, FlowDb **dbp)
{
	FlowOpen *open;
	FlowStatus st;

	*dbp = NULL;
	FLOW_TRY(check_call(env, dir, opts));
	open = env->alloc(env, sizeof(*open));
	if (open == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	*open = (FlowOpen){NULL, false};
	FLOW_GOTO(lock_directory(env, dir, opts, &open->lock));
	FLOW_GOTO(ensure_database(env, dir, opts));
	FLOW_GOTO(bring_up(env, dir, opts, open, dbp));
	(*dbp)->open = open;
	return FLOW_OK;
out:
	env->dir_unlock(env, open->lock);
	env->free(env, open);
	return st;
}

/* ------------------------------------------------------------------ close */

/* Thread, files, log and lock end, in this order: the directory may soon be
 * another's. */
static FlowStatus
take_down(FlowDb *db)
{
	FlowEnv *env = db->env;
	FlowOpen *open = db->open;
	FlowStatus st;

	if (open->thread)
		env->thread_stop(env, db);
	open->thread = false;
	flowi_version_retire(db);
	st = env->log_close(env, db);
	env->dir_unlock(env, open->lock);
	open->lock = NULL;
	return st;
}

FlowStatus
flow_close(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st;

	if (db->open == NULL || atomic_exchange(&sh->closed, true))
		return FLOW_OK;
	flow_maintenance_cancel(db);
	st = flow_flush(db, NULL);
	if (st == FLOW_OK)
		st = db->env->log_sync(db->env);
	if (st != FLOW_OK)
	{
		atomic_store(&sh->closed, false);
		return st;
	}
	return take_down(db);
}

void
flow_free(FlowDb *db)
{
	FlowEnv *env;
	FlowDbShared *sh;
	FlowOpen *open;
	FlowStatus st;

	if (db == NULL)
		return;
	env = db->env;
	sh = db->sh;
	open = db->open;
	if (open == NULL)
	{
		flow_detach(db);
		return;
	}
	/* what could not be flushed is in the log; there is nobody to tell */
	st = flow_close(db);
	if (st != FLOW_OK)
	{
		atomic_store(&sh->closed, true);
		FLOW_KEEP(take_down(db));
	}
	(void) st;
	env->free(env, open);
	flow_detach(db);
	flow_unload(env, sh);
}
