/*-------------------------------------------------------------------------
 * pgenv_file.c
 *	  Files and directories of the engine inside a PostgreSQL process.
 *
 * Files go through fd.c's virtual file descriptors, so that a backend stays
 * within max_files_per_process.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/wait_event.h"

#include "flowdb.h"
#include "flowdb_shmem.h"

#include "../engine/common.h"

struct FlowFile
{
	File vfd;
	char *path; /* behind the struct */
};

/* ------------------------------------------------------------------- files */

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
	file = env->alloc(env, sizeof(FlowFile) + path_bytes);
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
		env->free(env, file);
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
	flowdb_env()->free(flowdb_env(), file);
}

/* ------------------------------------------------------------- directories */

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

void
flowdb_env_set_files(FlowEnv *env)
{
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
}
