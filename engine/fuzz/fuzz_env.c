/*-------------------------------------------------------------------------
 * fuzz_env.c
 *	  The environment of fuzz targets: files in memory, memory counted.
 *
 * All but files and memory is env_posix.c's.  Directories are not kept: a
 * path is a name.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <malloc.h>
#include <xxhash.h>

#include "../env_posix.h"

#define REGION_BYTES (8u << 20)
#define MAX_FILES 64
#define MAX_ALLOC ((size_t) 1 << 30) /* more is refused */

typedef struct MemFile
{
	char path[256]; /* "": the place is free */
	FuzzBytes bytes;
} MemFile;

struct FlowFile
{
	FlowEnv *env;
	MemFile *mem;
};

uint64_t fuzz_decoded;

static FlowEnv *env;
static MemFile files[MAX_FILES];
static size_t live;		 /* pieces of memory in use */
static uint64_t allocs;	 /* in this run */
static uint64_t fail_at; /* the allocation that fails; 0: none */
static bool no_memory;

/* ---------------------------------------------------------------- bytes */

void
fuzz_bytes_resize(FuzzBytes *b, size_t bytes)
{
	if (bytes > b->cap)
	{
		b->cap = bytes + bytes / 2 + 64;
		b->data = realloc(b->data, b->cap);
		FUZZ_CHECK(b->data != NULL);
	}
	if (bytes > b->bytes)
		memset(b->data + b->bytes, 0, bytes - b->bytes);
	b->bytes = bytes;
}

void
fuzz_bytes_set(FuzzBytes *b, const void *data, size_t bytes)
{
	fuzz_bytes_resize(b, bytes);
	if (bytes > 0)
		memcpy(b->data, data, bytes);
}

/* --------------------------------------------------------------- memory */

static bool
refuse(size_t size)
{
	if (++allocs == fail_at || size > MAX_ALLOC)
		no_memory = true;
	return allocs == fail_at || size > MAX_ALLOC;
}

static void *
fuzz_alloc(FlowEnv *e, size_t size)
{
	void *p = refuse(size) ? NULL : malloc(size ? size : 1);

	(void) e;
	live += p != NULL;
	return p;
}

static void *
fuzz_realloc(FlowEnv *e, void *p, size_t size)
{
	void *q = refuse(size) ? NULL : realloc(p, size ? size : 1);

	(void) e;
	live += p == NULL && q != NULL;
	return q;
}

static void
fuzz_free(FlowEnv *e, void *p)
{
	(void) e;
	live -= p != NULL;
	free(p);
}

/* ---------------------------------------------------------------- files */

static MemFile *
find_file(const char *path)
{
	for (int i = 0; i < MAX_FILES; i++)
		if (files[i].path[0] != '\0' && strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

static MemFile *
make_file(const char *path)
{
	MemFile *f = find_file(path);

	for (int i = 0; f == NULL; i++)
	{
		FUZZ_CHECK(i < MAX_FILES);
		if (files[i].path[0] == '\0')
			f = &files[i];
	}
	FUZZ_CHECK(path[0] != '\0' && strlen(path) < sizeof(f->path));
	memmove(f->path, path, strlen(path) + 1);
	fuzz_bytes_resize(&f->bytes, 0);
	return f;
}

static void
drop_file(MemFile *f)
{
	free(f->bytes.data);
	*f = (MemFile){{0}, {NULL, 0, 0}};
}

void
fuzz_put_file(const char *path, const void *data, size_t bytes)
{
	fuzz_bytes_set(&make_file(path)->bytes, data, bytes);
}

const uint8_t *
fuzz_get_file(const char *path, size_t *bytesp)
{
	MemFile *f = find_file(path);

	FUZZ_CHECK(f != NULL);
	*bytesp = f->bytes.bytes;
	return f->bytes.data;
}

static FlowStatus
fuzz_open(FlowEnv *e, const char *path, int how, FlowFile **filep)
{
	MemFile *f = find_file(path);

	*filep = NULL;
	if (f == NULL && how != FLOW_O_CREATE)
		return FLOW_NOTFOUND;
	*filep = e->alloc(e, sizeof(**filep));
	if (*filep == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	if (how == FLOW_O_CREATE)
		f = make_file(path);
	**filep = (FlowFile){e, f};
	return FLOW_OK;
}

static FlowStatus
fuzz_read(FlowFile *file, void *buf, size_t len, uint64_t off)
{
	const FuzzBytes *b = &file->mem->bytes;

	if (off > b->bytes || len > b->bytes - off)
		return flowi_fail(FLOW_CORRUPT, "file \"%s\" is too short",
						  file->mem->path);
	if (len > 0)
		memcpy(buf, b->data + off, len);
	return FLOW_OK;
}

static FlowStatus
fuzz_write(FlowFile *file, const void *buf, size_t len, uint64_t off)
{
	FuzzBytes *b = &file->mem->bytes;

	FUZZ_CHECK(off < MAX_ALLOC && len < MAX_ALLOC);
	if (off + len > b->bytes)
		fuzz_bytes_resize(b, (size_t) off + len);
	if (len > 0)
		memcpy(b->data + off, buf, len);
	return FLOW_OK;
}

static FlowStatus
fuzz_sync(FlowFile *file)
{
	(void) file;
	return FLOW_OK;
}

static FlowStatus
fuzz_truncate(FlowFile *file, uint64_t len)
{
	FUZZ_CHECK(len < MAX_ALLOC);
	fuzz_bytes_resize(&file->mem->bytes, (size_t) len);
	return FLOW_OK;
}

static FlowStatus
fuzz_size(FlowFile *file, uint64_t *sizep)
{
	*sizep = file->mem->bytes.bytes;
	return FLOW_OK;
}

static void
fuzz_close(FlowFile *file)
{
	if (file)
		file->env->free(file->env, file);
}

static FlowStatus
fuzz_rename(FlowEnv *e, const char *from, const char *to)
{
	MemFile *f = find_file(from);
	MemFile *old = find_file(to);

	(void) e;
	FUZZ_CHECK(f != NULL && strlen(to) < sizeof(f->path));
	if (old != NULL && old != f)
		drop_file(old);
	memmove(f->path, to, strlen(to) + 1);
	return FLOW_OK;
}

static FlowStatus
fuzz_unlink(FlowEnv *e, const char *path)
{
	MemFile *f = find_file(path);

	(void) e;
	if (f == NULL)
		return FLOW_NOTFOUND;
	drop_file(f);
	return FLOW_OK;
}

static FlowStatus
fuzz_dir_op(FlowEnv *e, const char *path)
{
	(void) e;
	(void) path;
	return FLOW_OK;
}

/* Every path that begins with dir and a slash; fn may remove files. */
static FlowStatus
fuzz_list(FlowEnv *e, const char *dir,
		  FlowStatus (*fn)(void *arg, const char *name), void *arg)
{
	size_t n = strlen(dir);

	(void) e;
	for (int i = 0; i < MAX_FILES; i++)
	{
		char name[sizeof(files[i].path)];

		memcpy(name, files[i].path, sizeof(name));
		if (strncmp(name, dir, n) == 0 && name[n] == '/' &&
			strchr(name + n + 1, '/') == NULL)
			FLOW_TRY(fn(arg, name + n + 1));
	}
	return FLOW_OK;
}

/* --------------------------------------------------------------- a run */

static void
make_env(void)
{
	FUZZ_CHECK(flow_env_posix_create(REGION_BYTES, &env) == FLOW_OK);
	env->file_open = fuzz_open;
	env->file_read = fuzz_read;
	env->file_write = fuzz_write;
	env->file_sync = fuzz_sync;
	env->file_truncate = fuzz_truncate;
	env->file_size = fuzz_size;
	env->file_close = fuzz_close;
	env->rename = fuzz_rename;
	env->unlink = fuzz_unlink;
	env->mkdir = fuzz_dir_op;
	env->sync_dir = fuzz_dir_op;
	env->list_dir = fuzz_list;
	env->alloc = fuzz_alloc;
	env->realloc = fuzz_realloc;
	env->free = fuzz_free;
}

FlowEnv *
fuzz_begin(const uint8_t *data, size_t size)
{
	uint64_t hash = data ? XXH3_64bits(data, size) : 0;

	if (env == NULL)
		make_env();
	allocs = 0;
	fail_at = hash % 8 == 1 ? 1 + (hash >> 32) % 48 : 0;
	no_memory = false;
	return env;
}

void
fuzz_end(void)
{
	FUZZ_CHECK(live == 0);
	for (int i = 0; i < MAX_FILES; i++)
		if (files[i].path[0] != '\0')
			drop_file(&files[i]);
}

bool
fuzz_no_memory(void)
{
	return no_memory;
}

void
fuzz_check_status(FlowStatus st)
{
	FUZZ_CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_CORRUPT ||
			   st == FLOW_MISMATCH || (st == FLOW_NOMEM && no_memory));
}
