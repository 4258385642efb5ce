/*-------------------------------------------------------------------------
 * pgenv.c
 *	  The engine's environment inside a PostgreSQL process.
 *
 * Files go through fd.c's virtual file descriptors, so that a backend stays
 * within max_files_per_process; memory comes from one context below
 * TopMemoryContext, and handles on it are freed by their owners' callbacks.
 * No callback here throws: what PostgreSQL raises is caught and becomes a
 * status with the message in the engine's error record.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "describe.h"
#include "flowdb.h"
#include "flowdb_shmem.h"

#include "../engine/common.h"

struct FlowFile
{
	File vfd;
	char *path; /* behind the struct */
};

/* Every private allocation carries its size, because repalloc has no form
 * that returns NULL in PostgreSQL 15. */
typedef struct AllocHeader
{
	size_t size;
	size_t pad;
} AllocHeader;

static FlowEnv *process_env;
static MemoryContext env_context;

static void *
env_alloc(FlowEnv *env, size_t size)
{
	AllocHeader *h;

	h = MemoryContextAllocExtended(env_context, size + sizeof(AllocHeader),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (h == NULL)
		return NULL;
	h->size = size;
	return h + 1;
}

static void
env_free(FlowEnv *env, void *p)
{
	if (p != NULL)
		pfree((AllocHeader *) p - 1);
}

static void *
env_realloc(FlowEnv *env, void *p, size_t size)
{
	void *q;

	if (p == NULL)
		return env_alloc(env, size);
	q = env_alloc(env, size);
	if (q == NULL)
		return NULL;
	memcpy(q, p, Min(size, ((AllocHeader *) p - 1)->size));
	env_free(env, p);
	return q;
}

/* The LWLocks that this process has taken after the first skip ones. */
typedef struct NewLocks
{
	int skip;
	int n;
	LWLock *lock[8]; /* the longest chain below us has two */
} NewLocks;

static void
count_lock(LWLock *lock, LWLockMode mode, void *np)
{
	(*(int *) np)++;
}

static void
collect_new_lock(LWLock *lock, LWLockMode mode, void *arg)
{
	NewLocks *locks = arg;

	if (locks->skip > 0)
		locks->skip--;
	else if (locks->n < (int) lengthof(locks->lock))
		locks->lock[locks->n++] = lock;
}

/*
 * flowdb_nothrow_begin, _unlock, _caught, _end
 *		Around PG_TRY in a callback.  Interrupts are held off, because even
 *		a LOG message serves them, and a FATAL one would leave the engine in
 *		the middle of things.  _caught turns the error into a status; an
 *		ERROR resets the hold-off count, so _end puts back what it was.
 *
 *		_unlock, part of _caught, releases what the error has left locked:
 *		pg_xact, for one, leaves that to the abort of the transaction, which
 *		does not come here; who asks again would wait for himself.
 */
void
flowdb_nothrow_begin(FlowdbNoThrow *guard)
{
	guard->context = CurrentMemoryContext;
	guard->holdoff = InterruptHoldoffCount;
	guard->nlocks = 0;
	ForEachLWLockHeldByMe(count_lock, &guard->nlocks);
	HOLD_INTERRUPTS();
}

void
flowdb_nothrow_unlock(const FlowdbNoThrow *guard)
{
	NewLocks locks = {.skip = guard->nlocks};

	ForEachLWLockHeldByMe(collect_new_lock, &locks);
	while (locks.n > 0)
	{
		HOLD_INTERRUPTS(); /* the error has forgotten the lock's own */
		LWLockRelease(locks.lock[--locks.n]);
	}
}

FlowStatus
flowdb_nothrow_caught(FlowdbNoThrow *guard, FlowStatus st, const char *what)
{
	ErrorData *edata;

	flowdb_nothrow_unlock(guard);
	MemoryContextSwitchTo(guard->context);
	edata = CopyErrorData();
	FlushErrorState();
	if (edata->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		st = FLOW_NOMEM;
	st = flowi_fail(st, "%s: %s", what,
					edata->message ? edata->message : "unknown error");
	FreeErrorData(edata);
	return st;
}

void
flowdb_nothrow_end(FlowdbNoThrow *guard)
{
	InterruptHoldoffCount = guard->holdoff;
}

static FlowStatus
env_file_open(FlowEnv *env, const char *path, int how, FlowFile **filep)
{
	static const int flags[] = {O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_TRUNC};
	FlowdbNoThrow guard;
	FlowStatus volatile st = FLOW_OK;
	volatile File vfd = -1;
	size_t path_bytes = strlen(path) + 1;
	FlowFile *file;

	*filep = NULL;
	file = env_alloc(env, sizeof(FlowFile) + path_bytes);
	if (file == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	file->path = memcpy(file + 1, path, path_bytes);

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		if (!flowdb_debug_io(how == FLOW_O_CREATE ? "create" : "open", path))
			vfd = PathNameOpenFile(path, flags[how] | PG_BINARY);
		/* to create one needs its directory, which is nothing to look for */
		if (vfd < 0 && errno == ENOENT && (flags[how] & O_CREAT) == 0)
			st = FLOW_NOTFOUND;
		else if (vfd < 0)
			st = flowi_fail_errno(errno, "could not open file \"%s\"", path);
	}
	PG_CATCH();
	{
		st = flowdb_nothrow_caught(&guard, FLOW_IOERR, path);
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	if (st != FLOW_OK)
	{
		env_free(env, file);
		return st;
	}
	file->vfd = vfd;
	*filep = file;
	return FLOW_OK;
}

static FlowStatus
env_file_read(FlowFile *file, void *buf, size_t len, uint64_t off)
{
	char *p = buf;

	while (len > 0)
	{
		int want = (int) Min(len, (size_t) 1 << 30);
		int n = -1;

		if (!flowdb_debug_io("read", file->path))
			n = FileRead(file->vfd, p, want, (off_t) off,
						 WAIT_EVENT_DATA_FILE_READ);
		if (n < 0)
			return flowi_fail_errno(errno,
									"could not read file \"%s\" at offset %llu",
									file->path, (unsigned long long) off);
		if (n == 0)
			return flowi_fail(
				FLOW_CORRUPT,
				"file \"%s\" ends at offset %llu, %zu bytes short", file->path,
				(unsigned long long) off, len);
		p += n;
		off += n;
		len -= n;
	}
	return FLOW_OK;
}

static FlowStatus
env_file_write(FlowFile *file, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;

	while (len > 0)
	{
		int want = (int) Min(len, (size_t) 1 << 30);
		int n = 0;

		errno = 0;
		/* a full disk takes what there is room for, and fails then */
		if (want > 1 && flowdb_debug_io("torn", file->path))
			want /= 2;
		else if (flowdb_debug_io("torn", file->path))
			want = 0;
		if (want > 0 && !flowdb_debug_io("write", file->path))
			n = FileWrite(file->vfd, unconstify(char *, p), want, (off_t) off,
						  WAIT_EVENT_DATA_FILE_WRITE);
		if (n <= 0)
			return flowi_fail_errno(
				errno ? errno : ENOSPC,
				"could not write file \"%s\" at offset %llu", file->path,
				(unsigned long long) off);
		p += n;
		off += n;
		len -= n;
	}
	return FLOW_OK;
}

static FlowStatus
env_file_sync(FlowFile *file)
{
	if (flowdb_debug_io("sync", file->path) ||
		FileSync(file->vfd, WAIT_EVENT_DATA_FILE_SYNC) < 0)
		return flowi_fail_errno(errno, "could not fsync file \"%s\"",
								file->path);
	return FLOW_OK;
}

static FlowStatus
env_file_truncate(FlowFile *file, uint64_t len)
{
	if (FileTruncate(file->vfd, (off_t) len, WAIT_EVENT_DATA_FILE_TRUNCATE) < 0)
		return flowi_fail_errno(errno, "could not truncate file \"%s\"",
								file->path);
	return FLOW_OK;
}

static FlowStatus
env_file_size(FlowFile *file, uint64_t *sizep)
{
	off_t size = FileSize(file->vfd);

	if (size < 0)
		return flowi_fail_errno(errno, "could not get the size of file \"%s\"",
								file->path);
	*sizep = (uint64_t) size;
	return FLOW_OK;
}

static void
env_file_close(FlowFile *file)
{
	if (file == NULL)
		return;
	FileClose(file->vfd);
	env_free(process_env, file);
}

static FlowStatus
env_rename(FlowEnv *env, const char *from, const char *to)
{
	if (flowdb_debug_io("rename", to) || rename(from, to) < 0)
		return flowi_fail_errno(errno, "could not rename file \"%s\" to \"%s\"",
								from, to);
	return FLOW_OK;
}

static FlowStatus
env_unlink(FlowEnv *env, const char *path)
{
	if (!flowdb_debug_io("unlink", path) && unlink(path) == 0)
		return FLOW_OK;
	if (errno == ENOENT)
		return FLOW_NOTFOUND;
	return flowi_fail_errno(errno, "could not remove file \"%s\"", path);
}

static FlowStatus
env_mkdir(FlowEnv *env, const char *path)
{
	if (!flowdb_debug_io("mkdir", path) && MakePGDirectory(path) == 0)
		return FLOW_OK;
	if (errno == EEXIST)
		return FLOW_EXISTS;
	return flowi_fail_errno(errno, "could not create directory \"%s\"", path);
}

static FlowStatus
env_sync_dir(FlowEnv *env, const char *path)
{
	int fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	FlowStatus st = FLOW_OK;

	if (fd < 0)
		return flowi_fail_errno(errno, "could not open directory \"%s\"", path);
	if (flowdb_debug_io("syncdir", path) || pg_fsync(fd) < 0)
		st = flowi_fail_errno(errno, "could not fsync directory \"%s\"", path);
	close(fd);
	return st;
}

static FlowStatus
env_disk_space(FlowEnv *env, const char *dir, uint64_t *freep, uint64_t *totalp)
{
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		return flowi_fail_errno(errno, "could not stat file system of \"%s\"",
								dir);
	*freep = (uint64_t) fs.f_bavail * fs.f_frsize;
	*totalp = (uint64_t) fs.f_blocks * fs.f_frsize;
	return FLOW_OK;
}

/* AllocateDir gives way to what holds descriptors; it may throw. */
static DIR *
open_dir(const char *path, FlowStatus *stp)
{
	FlowdbNoThrow guard;
	DIR *volatile dir = NULL;
	FlowStatus volatile st = FLOW_OK;

	flowdb_nothrow_begin(&guard);
	PG_TRY();
	{
		if (!flowdb_debug_io("list", path))
			dir = AllocateDir(path);
		if (dir == NULL)
			st = flowi_fail_errno(errno, "could not open directory \"%s\"",
								  path);
	}
	PG_CATCH();
	{
		st = flowdb_nothrow_caught(&guard, FLOW_IOERR, path);
	}
	PG_END_TRY();
	flowdb_nothrow_end(&guard);
	*stp = st;
	return dir;
}

static FlowStatus
env_list_dir(FlowEnv *env, const char *path,
			 FlowStatus (*fn)(void *arg, const char *name), void *arg)
{
	FlowStatus st;
	DIR *dir = open_dir(path, &st);
	struct dirent *de;

	if (dir == NULL)
		return st;
	while (st == FLOW_OK && (errno = 0, de = readdir(dir)) != NULL)
	{
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			st = fn(arg, de->d_name);
	}
	if (st == FLOW_OK && errno != 0)
		st = flowi_fail_errno(errno, "could not read directory \"%s\"", path);
	FreeDir(dir);
	return st;
}

/* ------------------------------------------------- locks, clock, events */

StaticAssertDecl(sizeof(LWLock) <= sizeof(FlowLock), "an LWLock must fit");

static void
env_lock_init(FlowEnv *env, FlowLock *lock, FlowLockRank rank)
{
	LWLockInitialize((LWLock *) lock, flowdb_shared->tranche[rank]);
}

#define SPIN_TRIES 16
#define SPIN_PAUSES 16 /* between two tries */

/*
 * Locks are mostly held for a microsecond or two, and to sleep costs more: look
 * again for about that long.  When there is one processor only, its holder does
 * not run meanwhile.
 */
static bool
acquire_spinning(LWLock *lock)
{
	static int tries = -1;

	if (tries < 0)
		tries = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_TRIES : 0;
	for (int i = 0; i < tries; i++)
	{
		if (LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
			return true;
		for (int j = 0; j < SPIN_PAUSES; j++)
			SPIN_DELAY();
	}
	return false;
}

static void
env_lock_acquire(FlowEnv *env, FlowLock *lock, FlowLockMode mode)
{
	if (mode == FLOW_LOCK_SHARED)
		LWLockAcquire((LWLock *) lock, LW_SHARED);
	else if (!acquire_spinning((LWLock *) lock))
		LWLockAcquire((LWLock *) lock, LW_EXCLUSIVE);
}

static void
env_lock_release(FlowEnv *env, FlowLock *lock)
{
	LWLockRelease((LWLock *) lock);
}

static int64_t
env_now_us(FlowEnv *env)
{
	return flowdb_now_us();
}

static int64_t
env_ticks_us(FlowEnv *env)
{
	return flowdb_ticks_us();
}

/*
 * Only a wish to cancel or to end this process unwinds the engine: all else
 * that CHECK_FOR_INTERRUPTS serves can wait for the end of the call.  The
 * startup process and the final flush of the launcher are never stopped.
 */
static FlowStatus
env_poll(FlowEnv *env)
{
	if (likely(!InterruptPending))
		return FLOW_OK;
	if (!INTERRUPTS_CAN_BE_PROCESSED() ||
		!(QueryCancelPending || ProcDiePending))
		return FLOW_OK;
	return flowi_fail(FLOW_INTERRUPTED, "interrupted");
}

static void
env_notify(FlowEnv *env, FlowDbShared *db, FlowEvent event)
{
	switch (event)
	{
		case FLOW_EVENT_FROZEN:
		case FLOW_EVENT_MERGE:
			flowdb_wake_workers();
			break;
		case FLOW_EVENT_FLUSHED:
			ConditionVariableBroadcast(&flowdb_shared->flushed_cv);
			flowdb_wake_launcher();
			break;
		case FLOW_EVENT_UNFLUSHED:
			break; /* the launcher looks by itself */
	}
}

static void
env_pause(FlowEnv *env)
{
	pg_usleep(2000L);
}

static FlowStatus
env_point(FlowEnv *env, const char *name)
{
#ifdef FLOWDB_DEBUG_POINTS
	if (flowdb_debug_point_hit(name) == FLOWDB_POINT_ERROR)
		return flowi_fail_errno(EIO, "debug point \"%s\"", name);
#endif
	return FLOW_OK;
}

FlowEnv *
flowdb_env(void)
{
	FlowEnv *env;

	if (process_env != NULL)
		return process_env;

	env_context = AllocSetContextCreate(TopMemoryContext, "FlowDB engine",
										ALLOCSET_DEFAULT_SIZES);
	env = MemoryContextAllocZero(TopMemoryContext, sizeof(FlowEnv));
	env->region = flowdb_shared->region;
	env->file_open = env_file_open;
	env->file_read = env_file_read;
	env->file_write = env_file_write;
	env->file_sync = env_file_sync;
	env->file_truncate = env_file_truncate;
	env->file_size = env_file_size;
	env->file_close = env_file_close;
	env->rename = env_rename;
	env->unlink = env_unlink;
	env->mkdir = env_mkdir;
	env->sync_dir = env_sync_dir;
	env->list_dir = env_list_dir;
	env->disk_space = env_disk_space;
	env->alloc = env_alloc;
	env->realloc = env_realloc;
	env->free = env_free;
	env->lock_init = env_lock_init;
	env->lock_acquire = env_lock_acquire;
	env->lock_release = env_lock_release;
	env->now_us = env_now_us;
	env->ticks_us = env_ticks_us;
	env->poll = env_poll;
	env->notify = env_notify;
	env->pause = env_pause;
	env->log_admit = flowdb_log_admit;
	env->log_leave = flowdb_log_leave;
	env->log_append = flowdb_log_append;
	env->log_bound = flowdb_log_bound;
	env->log_sync = flowdb_log_sync;
	env->txn_outcome = flowdb_txn_outcome;
	env->store_shape = flowdb_store_shape;
	env->expire_horizon = flowdb_expire_horizon;
	env->keep_files = flowdb_keep_files;
	env->point = env_point;
	process_env = env;
	return env;
}
