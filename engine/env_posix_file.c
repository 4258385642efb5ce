/*-------------------------------------------------------------------------
 * env_posix_file.c
 *	  Files and directories of the POSIX environment.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env_posix_impl.h"

struct FlowFile
{
	FlowEnv *env;
	int fd;
	char path[];
};

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
	int err_no = posix_fault(env, FLOW_POSIX_OPEN);
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
	int err_no = posix_fault(file->env, FLOW_POSIX_READ);

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
	int err_no = posix_fault(file->env, FLOW_POSIX_WRITE);

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
sync_by(FlowFile *file, int (*sync)(int fd))
{
	int err_no = posix_fault(file->env, FLOW_POSIX_SYNC);

	if (err_no == 0 && sync(file->fd) != 0)
		err_no = errno;
	if (err_no != 0)
		return flowi_fail_errno(err_no, "could not fsync file \"%s\"",
								file->path);
	return FLOW_OK;
}

static FlowStatus
posix_file_sync(FlowFile *file)
{
	return sync_by(file, fsync);
}

static FlowStatus
posix_file_datasync(FlowFile *file)
{
	return sync_by(file, fdatasync);
}

static FlowStatus
posix_file_truncate(FlowFile *file, uint64_t len)
{
	int err_no = posix_fault(file->env, FLOW_POSIX_TRUNCATE);

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

/* ---------------------------------------------------------- directories */

static FlowStatus
posix_rename(FlowEnv *env, const char *from, const char *to)
{
	int err_no = posix_fault(env, FLOW_POSIX_RENAME);

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
	int err_no = posix_fault(env, FLOW_POSIX_UNLINK);

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
	int err_no = posix_fault(env, FLOW_POSIX_SYNC);
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

void
posix_file_init(FlowEnv *env)
{
	env->file_open = posix_file_open;
	env->file_read = posix_file_read;
	env->file_write = posix_file_write;
	env->file_sync = posix_file_sync;
	env->file_datasync = posix_file_datasync;
	env->file_truncate = posix_file_truncate;
	env->file_size = posix_file_size;
	env->file_close = posix_file_close;
	env->rename = posix_rename;
	env->unlink = posix_unlink;
	env->mkdir = posix_mkdir;
	env->sync_dir = posix_sync_dir;
	env->list_dir = posix_list_dir;
}
