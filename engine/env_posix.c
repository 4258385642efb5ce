/*-------------------------------------------------------------------------
 * env_posix.c
 *	  FlowEnv on POSIX: files, malloc, pthread locks, threads sharing one
 *	  malloc'ed region; for tests, tools and embedders.
 *
 * Its log is in env_posix_log.c, its background thread in
 * env_posix_thread.c.  Every call that can fail in real life can be made to
 * fail by env_posix.h.  Debug builds check that locks are taken in rising
 * rank.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "env_posix_impl.h"
#include "region.h"

struct FlowFile
{
	FlowEnv *env;
	int fd;
	char path[];
};

/* What a FlowLock holds here. */
typedef struct PosixLock
{
	pthread_rwlock_t rwlock;
	uint32_t rank;
} PosixLock;

_Static_assert(sizeof(PosixLock) <= sizeof(FlowLock), "FlowLock is too small");

/* --------------------------------------------------------------- faults */

void
flow_env_posix_fail(FlowEnv *env, FlowPosixOp op, uint64_t nth, uint64_t times,
					int err_no)
{
	PosixFault *fault = &posix_host(env)->faults[op];
	uint64_t from = atomic_load(&fault->calls) + nth;
	uint64_t until = times > UINT64_MAX - from ? UINT64_MAX : from + times;

	atomic_store(&fault->until, 0);
	atomic_store(&fault->err_no, err_no);
	atomic_store(&fault->from, from);
	atomic_store(&fault->until, until);
}

uint64_t
flow_env_posix_calls(FlowEnv *env, FlowPosixOp op)
{
	return atomic_load(&posix_host(env)->faults[op].calls);
}

/* Count a call; the errno it has to fail with, or 0. */
static int
fault_of(FlowEnv *env, FlowPosixOp op)
{
	PosixFault *fault = &posix_host(env)->faults[op];
	uint64_t call = atomic_fetch_add(&fault->calls, 1) + 1;

	if (call < atomic_load(&fault->until) && call >= atomic_load(&fault->from))
	{
		int err_no = atomic_load(&fault->err_no);

		return err_no != 0 ? err_no : EIO;
	}
	return 0;
}

/* --------------------------------------------------------------- memory */

static void *
posix_alloc(FlowEnv *env, size_t size)
{
	if (fault_of(env, FLOW_POSIX_ALLOC) != 0)
		return NULL;
	return malloc(size ? size : 1);
}

static void *
posix_realloc(FlowEnv *env, void *p, size_t size)
{
	if (fault_of(env, FLOW_POSIX_ALLOC) != 0)
		return NULL;
	return realloc(p, size ? size : 1);
}

static void
posix_free(FlowEnv *env, void *p)
{
	(void) env;
	free(p);
}

/* ---------------------------------------------------------------- files */

static FlowStatus
posix_file_open(FlowEnv *env, const char *path, int how, FlowFile **filep)
{
	static const int flags[] = {
		[FLOW_O_READ] = O_RDONLY,
		[FLOW_O_WRITE] = O_RDWR,
		[FLOW_O_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
	};
	size_t path_bytes = strlen(path) + 1;
	int err_no = fault_of(env, FLOW_POSIX_OPEN);
	FlowFile *file;

	*filep = NULL;
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not open file \"%s\"", path);
	file = env->alloc(env, sizeof(FlowFile) + path_bytes);
	if (file == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory opening \"%s\"", path);
	file->env = env;
	memcpy(file->path, path, path_bytes);
	file->fd = open(path, flags[how] | O_CLOEXEC, 0600);
	if (file->fd < 0)
	{
		err_no = errno;
		env->free(env, file);
		if (err_no == ENOENT && how != FLOW_O_CREATE)
			return FLOW_NOTFOUND;
		return flowi_fail_errno(err_no, "could not open file \"%s\"", path);
	}
	*filep = file;
	return FLOW_OK;
}

static FlowStatus
posix_file_read(FlowFile *file, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;
	int err_no = fault_of(file->env, FLOW_POSIX_READ);

	while (err_no == 0 && len > 0)
	{
		ssize_t n = pread(file->fd, p, len, (off_t) off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err_no = errno;
		else if (n == 0)
			return flowi_fail(FLOW_CORRUPT,
							  "file \"%s\" ends at offset %llu, %zu bytes "
							  "too early",
							  file->path, (unsigned long long) off, len);
		else
		{
			p += n;
			off += (uint64_t) n;
			len -= (size_t) n;
		}
	}
	if (err_no != 0)
		return flowi_fail_errno(err_no,
								"could not read file \"%s\" at offset %llu",
								file->path, (unsigned long long) off);
	return FLOW_OK;
}

static FlowStatus
posix_file_write(FlowFile *file, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;
	int err_no = fault_of(file->env, FLOW_POSIX_WRITE);

	while (err_no == 0 && len > 0)
	{
		ssize_t n = pwrite(file->fd, p, len, (off_t) off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err_no = errno;
		else if (n == 0)
			err_no = ENOSPC; /* POSIX lets it say so without an errno */
		else
		{
			p += n;
			off += (uint64_t) n;
			len -= (size_t) n;
		}
	}
	if (err_no != 0)
		return flowi_fail_errno(err_no,
								"could not write file \"%s\" at offset %llu",
								file->path, (unsigned long long) off);
	return FLOW_OK;
}

static FlowStatus
posix_file_sync(FlowFile *file)
{
	int err_no = fault_of(file->env, FLOW_POSIX_SYNC);

	if (err_no == 0 && fsync(file->fd) != 0)
		err_no = errno;
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not fsync file \"%s\"",
								file->path);
	return FLOW_OK;
}

static FlowStatus
posix_file_datasync(FlowFile *file)
{
	int err_no = fault_of(file->env, FLOW_POSIX_SYNC);

	if (err_no == 0 && fdatasync(file->fd) != 0)
		err_no = errno;
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not fsync file \"%s\"",
								file->path);
	return FLOW_OK;
}

static FlowStatus
posix_file_truncate(FlowFile *file, uint64_t len)
{
	int err_no = fault_of(file->env, FLOW_POSIX_TRUNCATE);

	if (err_no == 0 && ftruncate(file->fd, (off_t) len) != 0)
		err_no = errno;
	if (err_no != 0)
		return flowi_fail_errno(err_no,
								"could not truncate file \"%s\" to %llu bytes",
								file->path, (unsigned long long) len);
	return FLOW_OK;
}

static FlowStatus
posix_file_size(FlowFile *file, uint64_t *sizep)
{
	struct stat sb;

	*sizep = 0;
	if (fstat(file->fd, &sb) != 0)
		return flowi_fail_errno(errno, "could not stat file \"%s\"",
								file->path);
	*sizep = (uint64_t) sb.st_size;
	return FLOW_OK;
}

static void
posix_file_close(FlowFile *file)
{
	if (file == NULL)
		return;
	close(file->fd); /* what must last was fsynced: nothing to report */
	file->env->free(file->env, file);
}

static FlowStatus
posix_rename(FlowEnv *env, const char *from, const char *to)
{
	int err_no = fault_of(env, FLOW_POSIX_RENAME);

	if (err_no == 0 && rename(from, to) != 0)
		err_no = errno;
	if (err_no != 0)
		return flowi_fail_errno(
			err_no, "could not rename file \"%s\" to \"%s\"", from, to);
	return FLOW_OK;
}

static FlowStatus
posix_unlink(FlowEnv *env, const char *path)
{
	int err_no = fault_of(env, FLOW_POSIX_UNLINK);

	if (err_no == 0 && unlink(path) != 0)
		err_no = errno;
	if (err_no == ENOENT)
		return FLOW_NOTFOUND;
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not remove file \"%s\"", path);
	return FLOW_OK;
}

static FlowStatus
posix_mkdir(FlowEnv *env, const char *path)
{
	(void) env;
	if (mkdir(path, 0700) == 0)
		return FLOW_OK;
	if (errno == EEXIST)
		return FLOW_EXISTS;
	return flowi_fail_errno(errno, "could not create directory \"%s\"", path);
}

static FlowStatus
posix_sync_dir(FlowEnv *env, const char *path)
{
	int err_no = fault_of(env, FLOW_POSIX_SYNC);
	int fd;

	if (err_no == 0)
	{
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd) != 0)
			err_no = errno;
		if (fd >= 0)
			close(fd);
	}
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not fsync directory \"%s\"",
								path);
	return FLOW_OK;
}

static FlowStatus
posix_list_dir(FlowEnv *env, const char *path,
			   FlowStatus (*fn)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(path);
	FlowStatus st = FLOW_OK;

	(void) env;
	if (dir == NULL)
		return flowi_fail_errno(errno, "could not open directory \"%s\"", path);
	while (st == FLOW_OK)
	{
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
		{
			if (errno != 0)
				st = flowi_fail_errno(errno, "could not read directory \"%s\"",
									  path);
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			st = fn(arg, entry->d_name);
	}
	closedir(dir);
	return st;
}

/* ---------------------------------------------------------------- locks */

#ifdef FLOW_DEBUG
/* The thread's held locks, rising in rank. */
#define MAX_HELD 8
static _Thread_local const PosixLock *held[MAX_HELD];
static _Thread_local int nheld;

static void
note_acquire(const PosixLock *lock)
{
	FLOW_ASSERT(nheld < MAX_HELD);
	FLOW_ASSERT(nheld == 0 || held[nheld - 1]->rank < lock->rank);
	held[nheld++] = lock;
}

static void
note_release(const PosixLock *lock)
{
	int i = nheld - 1;

	while (i >= 0 && held[i] != lock)
		i--;
	FLOW_ASSERT(i >= 0);
	nheld--;
	memmove(&held[i], &held[i + 1], (size_t) (nheld - i) * sizeof(held[0]));
}

static void
note_no_lock(void)
{
	FLOW_ASSERT(nheld == 0);
}
#else
#define note_acquire(lock) ((void) 0)
#define note_release(lock) ((void) 0)
#define note_no_lock() ((void) 0)
#endif

void
posix_must(int err_no, const char *what)
{
	if (err_no == 0)
		return;
	fprintf(stderr, "flowdb: %s failed: error %d\n", what, err_no);
	abort();
}

static void
posix_lock_init(FlowEnv *env, FlowLock *lock, FlowLockRank rank)
{
	PosixLock *l = (PosixLock *) lock;
	pthread_rwlockattr_t attr;

	(void) env;
	posix_must(pthread_rwlockattr_init(&attr), "pthread_rwlockattr_init");
#ifdef __GLIBC__
	/* glibc's default lets a stream of readers starve a writer */
	posix_must(pthread_rwlockattr_setkind_np(
				   &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
			   "pthread_rwlockattr_setkind_np");
#endif
	posix_must(pthread_rwlock_init(&l->rwlock, &attr), "pthread_rwlock_init");
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

static void
posix_lock_acquire(FlowEnv *env, FlowLock *lock, FlowLockMode mode)
{
	PosixLock *l = (PosixLock *) lock;

	(void) env;
	note_acquire(l);
	if (mode == FLOW_LOCK_EXCLUSIVE)
		posix_must(pthread_rwlock_wrlock(&l->rwlock), "pthread_rwlock_wrlock");
	else
		posix_must(pthread_rwlock_rdlock(&l->rwlock), "pthread_rwlock_rdlock");
}

static void
posix_lock_release(FlowEnv *env, FlowLock *lock)
{
	PosixLock *l = (PosixLock *) lock;

	(void) env;
	note_release(l);
	posix_must(pthread_rwlock_unlock(&l->rwlock), "pthread_rwlock_unlock");
}

/* ---------------------------------------------------- clock and events */

static int64_t
read_clock(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
posix_now_us(FlowEnv *env)
{
	(void) env;
	return read_clock(CLOCK_REALTIME);
}

static int64_t
posix_ticks_us(FlowEnv *env)
{
	(void) env;
	return read_clock(CLOCK_MONOTONIC);
}

static FlowStatus
posix_poll(FlowEnv *env)
{
	(void) env;
	note_no_lock();
	return posix_thread_stopping() ? FLOW_INTERRUPTED : FLOW_OK;
}

static void
posix_notify(FlowEnv *env, FlowDbShared *db, FlowEvent event)
{
	posix_thread_notify(env, db, event);
}

static void
posix_pause(FlowEnv *env)
{
	struct timespec ts = {.tv_sec = 0, .tv_nsec = 1000000};

	(void) env;
	note_no_lock();
	nanosleep(&ts, NULL);
}

static FlowStatus
posix_point(FlowEnv *env, const char *name)
{
	PosixHost *host = posix_host(env);

	return host->point ? host->point(host->point_arg, name) : FLOW_OK;
}

/* ---------------------------------------------------------------- hooks */

static FlowStatus
posix_txn_outcome(FlowEnv *env, uint64_t xid, FlowTxnState *statep)
{
	PosixHost *host = posix_host(env);

	if (xid != 0 && host->outcome)
		return host->outcome(host->outcome_arg, xid, statep);
	*statep = xid == 0 ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
	return FLOW_OK;
}

void
flow_env_posix_set_outcome(FlowEnv *env, FlowPosixOutcomeFn fn, void *arg)
{
	PosixHost *host = posix_host(env);

	host->outcome = fn;
	host->outcome_arg = arg;
}

void
flow_env_posix_set_point(FlowEnv *env, FlowPosixPointFn fn, void *arg)
{
	PosixHost *host = posix_host(env);

	host->point = fn;
	host->point_arg = arg;
	env->point = fn ? posix_point : NULL;
}

/* --------------------------------------------------------- create, free */

static const FlowEnv posix_env = {
	.file_open = posix_file_open,
	.file_read = posix_file_read,
	.file_write = posix_file_write,
	.file_sync = posix_file_sync,
	.file_datasync = posix_file_datasync,
	.file_truncate = posix_file_truncate,
	.file_size = posix_file_size,
	.file_close = posix_file_close,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.mkdir = posix_mkdir,
	.sync_dir = posix_sync_dir,
	.list_dir = posix_list_dir,
	.alloc = posix_alloc,
	.realloc = posix_realloc,
	.free = posix_free,
	.lock_init = posix_lock_init,
	.lock_acquire = posix_lock_acquire,
	.lock_release = posix_lock_release,
	.now_us = posix_now_us,
	.ticks_us = posix_ticks_us,
	.poll = posix_poll,
	.notify = posix_notify,
	.pause = posix_pause,
	.txn_outcome = posix_txn_outcome,
};

FlowStatus
flow_env_posix_create(size_t region_bytes, FlowEnv **envp)
{
	PosixHost *host = calloc(1, sizeof(PosixHost));
	FlowStatus st;

	*envp = NULL;
	if (host == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	host->env = posix_env;
	host->env.host = host;
	posix_log_init(&host->env);
	posix_thread_init(&host->env);
	host->region_base = calloc(1, region_bytes);
	if (host->region_base == NULL)
		st = flowi_fail(FLOW_NOMEM, "out of memory: region of %zu bytes",
						region_bytes);
	else
		st = flow_region_init(&host->env, host->region_base, region_bytes,
							  region_bytes / 16 * 7, region_bytes / 16 * 7,
							  &host->env.region);
	if (st != FLOW_OK)
	{
		flow_env_posix_free(&host->env);
		return st;
	}
	*envp = &host->env;
	return FLOW_OK;
}

void
flow_env_posix_free(FlowEnv *env)
{
	PosixHost *host;

	if (env == NULL)
		return;
	host = posix_host(env);
	posix_log_free(host);
	posix_thread_free(host);
	free(host->region_base);
	free(host);
}
