/*-------------------------------------------------------------------------
 * lyingdisk.h
 *	  A disk that keeps as little as it may: when the machine dies, bytes
 *	  that were not fsynced are gone, and so are creations, renames and
 *	  removals in a directory that was not.
 *
 * A database that is open already is closed first: what it has open is not
 * watched.  The other extreme, a disk that keeps all, is what a plain
 * test_crash plays.  One at a time, one thread.
 *
 *	 <dir>.disk/keep-INO	a link to each file, so that no inode is reused
 *	 <dir>.disk/data-INO	its bytes as of the last fsync
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_LYINGDISK_H
#define FLOW_TEST_LYINGDISK_H

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "dbtest.h"

#define DISK_PATH 512
#define DISK_OPEN 256

/* A name that a crash does not take away. */
typedef struct DiskName
{
	char path[DISK_PATH];
	ino_t ino;
} DiskName;

typedef struct LyingDisk
{
	FlowEnv real; /* its functions */
	char shadow[DISK_PATH / 2];
	DiskName *names;
	size_t nnames;
	size_t cap;
	struct
	{
		FlowFile *file;
		ino_t ino;
	} open[DISK_OPEN];
} LyingDisk;

static LyingDisk disk;

static inline void
disk_shadow_path(const char *what, ino_t ino, char path[DISK_PATH])
{
	snprintf(path, DISK_PATH, "%s/%s-%ju", disk.shadow, what, (uintmax_t) ino);
}

/* Copy from's bytes into to; no file: none. */
static inline void
disk_copy(const char *from, const char *to)
{
	static char buf[1 << 16];
	FILE *in = fopen(from, "rb");
	FILE *out = fopen(to, "wb");
	size_t n;

	CHECK(out != NULL);
	while (in && (n = fread(buf, 1, sizeof(buf), in)) > 0)
		CHECK(fwrite(buf, 1, n, out) == n);
	if (in)
		fclose(in);
	CHECK(fclose(out) == 0);
}

/* Its inode, from now on never used again. */
static inline ino_t
disk_keep(const char *path)
{
	char keep[DISK_PATH];
	struct stat sb;

	CHECK(stat(path, &sb) == 0);
	disk_shadow_path("keep", sb.st_ino, keep);
	CHECK(link(path, keep) == 0 || errno == EEXIST);
	return sb.st_ino;
}

static inline void
disk_save_data(ino_t ino)
{
	char keep[DISK_PATH], data[DISK_PATH];

	disk_shadow_path("keep", ino, keep);
	disk_shadow_path("data", ino, data);
	disk_copy(keep, data);
}

/* Forget the names in dir. */
static inline void
disk_forget_names(const char *dir)
{
	size_t len = strlen(dir);
	size_t kept = 0;

	for (size_t i = 0; i < disk.nnames; i++)
	{
		const char *path = disk.names[i].path;

		if (strncmp(path, dir, len) != 0 || path[len] != '/' ||
			strchr(path + len + 1, '/') != NULL)
			disk.names[kept++] = disk.names[i];
	}
	disk.nnames = kept;
}

static inline void
disk_add_name(const char *dir, const char *name)
{
	DiskName *n;

	if (disk.nnames == disk.cap)
	{
		disk.cap = disk.cap ? 2 * disk.cap : 64;
		disk.names = realloc(disk.names, disk.cap * sizeof(*disk.names));
		CHECK(disk.names != NULL);
	}
	n = &disk.names[disk.nnames++];
	CHECK(snprintf(n->path, sizeof(n->path), "%s/%s", dir, name) <
		  (int) sizeof(n->path));
	n->ino = disk_keep(n->path);
}

/* The names that dir has now are durable; if data, their bytes too. */
static inline void
disk_save_names(const char *path, bool data)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	CHECK(dir != NULL);
	disk_forget_names(path);
	while ((entry = readdir(dir)) != NULL)
	{
		if (entry->d_type != DT_REG)
			continue;
		disk_add_name(path, entry->d_name);
		if (data)
			disk_save_data(disk.names[disk.nnames - 1].ino);
	}
	closedir(dir);
}

/* ------------------------------------------------------------ environment */

static inline FlowStatus
disk_file_open(FlowEnv *env, const char *path, int how, FlowFile **filep)
{
	FlowStatus st = disk.real.file_open(env, path, how, filep);
	int i = 0;

	if (st != FLOW_OK || how == FLOW_O_READ)
		return st;
	while (disk.open[i].file != NULL)
		CHECK(++i < DISK_OPEN);
	disk.open[i].file = *filep;
	disk.open[i].ino = disk_keep(path);
	return FLOW_OK;
}

static inline FlowStatus
disk_file_sync(FlowFile *file)
{
	FlowStatus st = disk.real.file_sync(file);
	int i = 0;

	/* not there: it was opened before disk_begin, which is too early */
	while (disk.open[i].file != file)
		CHECK(++i < DISK_OPEN);
	if (st == FLOW_OK)
		disk_save_data(disk.open[i].ino);
	return st;
}

static inline FlowStatus
disk_file_datasync(FlowFile *file)
{
	return disk_file_sync(file);
}

static inline void
disk_file_close(FlowFile *file)
{
	for (int i = 0; file && i < DISK_OPEN; i++)
		if (disk.open[i].file == file)
			disk.open[i].file = NULL;
	disk.real.file_close(file);
}

static inline FlowStatus
disk_sync_dir(FlowEnv *env, const char *path)
{
	FlowStatus st = disk.real.sync_dir(env, path);

	if (st == FLOW_OK)
		disk_save_names(path, false);
	return st;
}

/* ------------------------------------------------------------------- use */

static inline void
disk_each_dir(const TestDb *t, void (*fn)(const char *path))
{
	char path[DISK_PATH];

	snprintf(path, sizeof(path), "%s/SST", t->dir);
	fn(path);
	snprintf(path, sizeof(path), "%s/INDEX", t->dir);
	fn(path);
	snprintf(path, sizeof(path), "%s/WAL", t->dir);
	if (access(path, F_OK) == 0)
		fn(path);
}

static inline void
disk_save_all(const char *path)
{
	disk_save_names(path, true);
}

static inline void
disk_remove_all(const char *path)
{
	char command[DISK_PATH + 32];

	snprintf(command, sizeof(command), "rm -f ./%s/*", path);
	CHECK(system(command) == 0);
}

static inline void
disk_empty_shadow(void)
{
	char command[DISK_PATH + 32];

	snprintf(command, sizeof(command), "rm -rf ./%s", disk.shadow);
	CHECK(system(command) == 0);
}

/* From now on t's disk lies; what is there is durable. */
static inline void
disk_begin(TestDb *t)
{
	memset(&disk, 0, sizeof(disk));
	snprintf(disk.shadow, sizeof(disk.shadow), "%s.disk", t->dir);
	CHECK(mkdir(disk.shadow, 0700) == 0);
	disk.real = *t->env;
	t->env->file_open = disk_file_open;
	t->env->file_sync = disk_file_sync;
	t->env->file_datasync = disk_file_datasync;
	t->env->file_close = disk_file_close;
	t->env->sync_dir = disk_sync_dir;
	disk_each_dir(t, disk_save_all);
}

static inline void
disk_end(TestDb *t)
{
	t->env->file_open = disk.real.file_open;
	t->env->file_sync = disk.real.file_sync;
	t->env->file_datasync = disk.real.file_datasync;
	t->env->file_close = disk.real.file_close;
	t->env->sync_dir = disk.real.sync_dir;
	disk_empty_shadow();
	free(disk.names);
	memset(&disk, 0, sizeof(disk));
}

/* The machine dies: only what is durable is there.  No file may be open. */
static inline void
disk_lose(TestDb *t)
{
	disk_each_dir(t, disk_remove_all);
	for (size_t i = 0; i < disk.nnames; i++)
	{
		char data[DISK_PATH];

		disk_shadow_path("data", disk.names[i].ino, data);
		disk_copy(data, disk.names[i].path);
	}
	disk.nnames = 0;
	disk_empty_shadow();
	CHECK(mkdir(disk.shadow, 0700) == 0);
	disk_each_dir(t, disk_save_all);
}

/* What would be left if the machine died now, as directory to. */
static inline void
disk_copy_durable(const TestDb *t, const char *to)
{
	char command[2 * DISK_PATH];
	size_t len = strlen(t->dir);

	snprintf(command, sizeof(command),
			 "rm -rf ./%s && mkdir -p %s/SST %s/INDEX %s/WAL", to, to, to, to);
	CHECK(system(command) == 0);
	for (size_t i = 0; i < disk.nnames; i++)
	{
		char data[DISK_PATH], path[DISK_PATH];

		CHECK(strncmp(disk.names[i].path, t->dir, len) == 0);
		CHECK(snprintf(path, sizeof(path), "%s%s", to,
					   disk.names[i].path + len) < (int) sizeof(path));
		disk_shadow_path("data", disk.names[i].ino, data);
		disk_copy(data, path);
	}
}

/* test_crash, with the disk. */
static inline void
disk_crash(TestDb *t)
{
	test_unload(t);
	disk_lose(t);
	test_load(t);
}

#endif /* FLOW_TEST_LYINGDISK_H */
