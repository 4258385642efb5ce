/*-------------------------------------------------------------------------
 * env_posix_log.c
 *	  The log of the POSIX environment: the file log (wal.h) of the database
 *	  that flow_open has open, and for others one that only counts; monitors;
 *	  the lock of a directory.
 *
 * The counting log gives a record a position and forgets it, so what was not
 * flushed does not survive the process.
 *-------------------------------------------------------------------------
 */
#include "env_posix_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "active.h"
#include "batch.h"

/* ---------------------------------------------------------- the open log */

/* The file log, if it is sh's (NULL: whosever); then posix_wal_end follows. */
static FlowWal *
wal_begin(PosixHost *host, const FlowDbShared *sh)
{
	FlowWal *wal;

	atomic_fetch_add(&host->wal_users, 1);
	wal = atomic_load(&host->wal);
	if (wal && (sh == NULL || sh == host->wal_sh))
		return wal;
	atomic_fetch_sub(&host->wal_users, 1);
	return NULL;
}

static void
wal_end(PosixHost *host)
{
	atomic_fetch_sub(&host->wal_users, 1);
}

/* From admit on the log is in use, until leave if nothing was appended, else
 * until commit: it is closed after that, and each writer learns what has
 * become of its record. */
static FlowStatus
log_admit(FlowEnv *env, FlowDb *db, size_t len, FlowSync sync)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, db->sh);
	FlowWalRoom *room = NULL;
	FlowStatus st;

	db->log_room = NULL;
	if (wal == NULL)
		return FLOW_OK;
	st = flowi_wal_admit(wal, len, sync, &room);
	db->log_room = room;
	if (st != FLOW_OK)
		wal_end(host);
	else
		db->log = wal;
	return st;
}

static void
log_leave(FlowEnv *env, FlowDb *db)
{
	if (db->log_room == NULL)
		return;
	flowi_wal_leave(db->log, db->log_room);
	db->log_room = NULL;
	db->log = NULL;
	wal_end(posix_host(env));
}

static void
count_append(PosixHost *host, size_t len, uint64_t *startp, uint64_t *endp)
{
	*startp = host->log_pos;
	/* at least one position for each step (S1) */
	*endp = *startp + FLOW_MAX_STEPS + len;
	host->log_pos = *endp;
}

static void
log_append(FlowEnv *env, FlowDb *db, const void *rec, size_t len,
		   uint64_t *startp, uint64_t *endp)
{
	PosixHost *host = posix_host(env);

	posix_must(pthread_mutex_lock(&host->log_mutex), "pthread_mutex_lock");
	if (db && db->log_room)
	{
		flowi_wal_append(db->log, db->log_room, rec, len, startp, endp);
		db->log_room = NULL;
	}
	else
		count_append(host, len, startp, endp);
	if (host->log)
		host->log(host->log_arg, rec, len, *startp, *endp);
	posix_must(pthread_mutex_unlock(&host->log_mutex), "pthread_mutex_unlock");
}

static uint64_t
log_bound(FlowEnv *env)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, NULL);
	uint64_t pos;

	if (wal)
	{
		pos = flowi_wal_bound(wal);
		wal_end(host);
		return pos;
	}
	posix_must(pthread_mutex_lock(&host->log_mutex), "pthread_mutex_lock");
	pos = host->log_pos;
	posix_must(pthread_mutex_unlock(&host->log_mutex), "pthread_mutex_unlock");
	return pos;
}

/* Readers may see what the log has, as far as it is linked: a group takes
 * records up that their writers are still linking. */
static void
reveal(FlowDbShared *sh, uint64_t visible)
{
	uint64_t applied = atomic_load(&sh->applied_end);

	flowi_active_reveal(sh, FLOW_MIN(visible, applied));
}

FlowStatus
posix_log_sync(FlowEnv *env)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, NULL);
	uint64_t visible;
	FlowStatus st;

	if (wal == NULL)
		return FLOW_OK;
	st = flowi_wal_sync(wal, &visible);
	reveal(host->wal_sh, visible);
	wal_end(host);
	return st;
}

FlowStatus
posix_log_prepare(FlowEnv *env)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, NULL);
	FlowStatus st;

	if (wal == NULL)
		return FLOW_OK;
	st = flowi_wal_prepare(wal);
	wal_end(host);
	return st;
}

static FlowStatus
log_commit(FlowEnv *env, FlowDb *db, uint64_t end)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = db->log ? db->log : wal_begin(host, db->sh);
	uint64_t visible = end;
	FlowStatus st = FLOW_OK;

	db->log = NULL;
	/* without: it only counts, or it was closed, after a flush of all */
	if (wal)
	{
		st = flowi_wal_commit(wal, end, &visible);
		wal_end(host);
	}
	reveal(db->sh, visible);
	return st;
}

static void
log_flushed(FlowEnv *env, FlowDb *db, uint64_t pos)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, db->sh);

	if (wal == NULL)
		return;
	flowi_wal_release(wal, pos);
	wal_end(host);
}

static uint64_t
log_bytes(FlowEnv *env)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = wal_begin(host, NULL);
	uint64_t bytes = 0;

	if (wal)
	{
		bytes = flowi_wal_bytes(wal);
		wal_end(host);
	}
	return bytes;
}

/* --------------------------------------------------------- open and close */

static FlowStatus
log_open(FlowEnv *env, FlowDb *db, FlowLogFn fn)
{
	PosixHost *host = posix_host(env);
	FlowDbShared *sh = db->sh;
	const FlowWalOptions opts = {
		.segment_bytes = host->segment_bytes ? host->segment_bytes
											 : sh->options.wal_segment_bytes,
		.sync_mode = sh->options.sync_mode,
		.sync_interval_ms = sh->options.sync_interval_ms,
	};
	FlowWalReport report;
	FlowWal *wal;

	if (atomic_load(&host->wal) != NULL)
		return flowi_fail(FLOW_BUSY,
						  "another database is open in this environment");
	FLOW_TRY(flowi_wal_open(env, db->dir, &opts, atomic_load(&sh->flushed_pos),
							fn, db, &report, &wal));
	host->wal_sh = sh;
	atomic_store(&host->wal, wal);
	flowi_wal_release(wal, atomic_load(&sh->flushed_pos));
	return FLOW_OK;
}

static FlowStatus
log_close(FlowEnv *env, FlowDb *db)
{
	PosixHost *host = posix_host(env);
	FlowWal *wal = atomic_load(&host->wal);

	if (wal == NULL || host->wal_sh != db->sh)
		return FLOW_OK;
	atomic_store(&host->wal, NULL);
	while (atomic_load(&host->wal_users) > 0)
		env->pause(env);
	return flowi_wal_close(wal);
}

/* --------------------------------------------------------- directory lock */

typedef struct DirLock
{
	int fd;
} DirLock;

/* Who has it, as the file says; 0: not known. */
static long
lock_owner(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strtol(text, NULL, 10);
}

static FlowStatus
lock_file(int fd, const char *dir)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long) getpid());

	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno == EWOULDBLOCK)
			return flowi_fail(FLOW_BUSY,
							  "database \"%s\" is in use by process %ld", dir,
							  lock_owner(fd));
		return flowi_fail_errno(errno, "could not lock \"%s/LOCK\"", dir);
	}
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t) n, 0) != n)
		return flowi_fail_errno(errno, "could not write \"%s/LOCK\"", dir);
	return FLOW_OK;
}

/* The lock goes with an open file of its own, so that another handle of this
 * process has no better chance than another process. */
static FlowStatus
dir_lock(FlowEnv *env, const char *dir, void **lockp)
{
	char path[FLOW_PATH_BYTES];
	DirLock *lock = env->alloc(env, sizeof(*lock));
	FlowStatus st;

	*lockp = NULL;
	if (lock == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	snprintf(path, sizeof(path), "%s/LOCK", dir);
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock->fd < 0)
		st = flowi_fail_errno(errno, "could not open file \"%s\"", path);
	else
		st = lock_file(lock->fd, dir);
	if (st == FLOW_OK)
	{
		*lockp = lock;
		return FLOW_OK;
	}
	if (lock->fd >= 0)
		close(lock->fd);
	env->free(env, lock);
	return st;
}

/* Said aloud: a child that was forked meanwhile has the file open too. */
static void
dir_unlock(FlowEnv *env, void *arg)
{
	DirLock *lock = arg;

	if (lock == NULL)
		return;
	(void) flock(lock->fd, LOCK_UN);
	close(lock->fd);
	env->free(env, lock);
}

/* --------------------------------------------------------------- monitors */

struct FlowMonitor
{
	pthread_mutex_t mutex;
	pthread_cond_t cond;
};

static FlowMonitor *
monitor_create(FlowEnv *env)
{
	FlowMonitor *mon = env->alloc(env, sizeof(*mon));

	if (mon == NULL)
		return NULL;
	posix_must(pthread_mutex_init(&mon->mutex, NULL), "pthread_mutex_init");
	posix_must(pthread_cond_init(&mon->cond, NULL), "pthread_cond_init");
	return mon;
}

static void
monitor_free(FlowEnv *env, FlowMonitor *mon)
{
	if (mon == NULL)
		return;
	pthread_cond_destroy(&mon->cond);
	pthread_mutex_destroy(&mon->mutex);
	env->free(env, mon);
}

static void
monitor_enter(FlowMonitor *mon)
{
	posix_must(pthread_mutex_lock(&mon->mutex), "pthread_mutex_lock");
}

static void
monitor_leave(FlowMonitor *mon)
{
	posix_must(pthread_mutex_unlock(&mon->mutex), "pthread_mutex_unlock");
}

static void
monitor_wait(FlowMonitor *mon)
{
	posix_must(pthread_cond_wait(&mon->cond, &mon->mutex), "pthread_cond_wait");
}

static void
monitor_wake(FlowMonitor *mon)
{
	posix_must(pthread_cond_broadcast(&mon->cond), "pthread_cond_broadcast");
}

/* ------------------------------------------------------------------ hooks */

void
flow_env_posix_set_log(FlowEnv *env, FlowPosixLogFn fn, void *arg)
{
	PosixHost *host = posix_host(env);

	host->log = fn;
	host->log_arg = arg;
}

void
flow_env_posix_set_log_pos(FlowEnv *env, uint64_t pos)
{
	PosixHost *host = posix_host(env);

	posix_must(pthread_mutex_lock(&host->log_mutex), "pthread_mutex_lock");
	host->log_pos = FLOW_MAX(host->log_pos, pos);
	posix_must(pthread_mutex_unlock(&host->log_mutex), "pthread_mutex_unlock");
}

void
flow_env_posix_set_segment_bytes(FlowEnv *env, uint64_t bytes)
{
	posix_host(env)->segment_bytes = bytes;
}

void
posix_log_init(FlowEnv *env)
{
	PosixHost *host = posix_host(env);

	host->log_pos = 1;
	posix_must(pthread_mutex_init(&host->log_mutex, NULL),
			   "pthread_mutex_init");
	env->log_resume = flow_env_posix_set_log_pos;
	env->log_admit = log_admit;
	env->log_leave = log_leave;
	env->log_append = log_append;
	env->log_bound = log_bound;
	env->log_sync = posix_log_sync;
	env->log_commit = log_commit;
	env->log_flushed = log_flushed;
	env->log_bytes = log_bytes;
	env->log_open = log_open;
	env->log_close = log_close;
	env->dir_lock = dir_lock;
	env->dir_unlock = dir_unlock;
	env->monitor_create = monitor_create;
	env->monitor_free = monitor_free;
	env->monitor_enter = monitor_enter;
	env->monitor_leave = monitor_leave;
	env->monitor_wait = monitor_wait;
	env->monitor_wake = monitor_wake;
}

void
posix_log_free(PosixHost *host)
{
	pthread_mutex_destroy(&host->log_mutex);
}
