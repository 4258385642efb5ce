/*-------------------------------------------------------------------------
 * reserve.c
 *	  Some disk space that is kept for what gives space back.
 *
 * On a disk without a free byte nothing can be removed either: the manifest
 * has to say first that a file is not needed any more.  So a file of no use
 * lies there, and is removed for a manifest edit that drops SSTables, or for
 * the new manifest after a failed edit.
 *
 * Its bytes look random, so that a file system that compresses gives them
 * room as well.  It needs no sync: a crash may lose it.
 *-------------------------------------------------------------------------
 */
#include "reserve.h"

#include <stdio.h>

#define PIECE_BYTES (16u << 10)

static void
path_of(const char *dir, char path[FLOW_PATH_BYTES])
{
	/* flowi_db_check_dir has left room for longer names than this */
	(void) snprintf(path, FLOW_PATH_BYTES, "%s/INDEX/RESERVE", dir);
}

static uint64_t
wanted_bytes(const FlowDbShared *sh)
{
	uint64_t bytes = sh->options.reserve_bytes;

	while (bytes > 0 && bytes < sh->manifest.offset)
		bytes *= 2;
	return bytes;
}

static uint64_t
size_of(FlowEnv *env, const char *path)
{
	FlowFile *file;
	uint64_t size = 0;

	if (env->file_open(env, path, FLOW_O_READ, &file) != FLOW_OK)
		return 0;
	if (env->file_size(file, &size) != FLOW_OK)
		size = 0;
	env->file_close(file);
	return size;
}

static FlowStatus
fill(FlowEnv *env, FlowFile *file, uint64_t bytes)
{
	uint64_t piece[PIECE_BYTES / 8];
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

	for (uint64_t off = 0; off < bytes; off += sizeof(piece))
	{
		for (size_t i = 0; i < sizeof(piece) / sizeof(piece[0]); i++)
		{
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			piece[i] = x;
		}
		FLOW_TRY(env->file_write(
			file, piece, (size_t) FLOW_MIN(bytes - off, sizeof(piece)), off));
	}
	return FLOW_OK;
}

static FlowStatus
make(FlowEnv *env, const char *path, uint64_t bytes)
{
	FlowFile *file;
	FlowStatus st;

	FLOW_TRY(env->file_open(env, path, FLOW_O_CREATE, &file));
	st = fill(env, file, bytes);
	env->file_close(file);
	if (st != FLOW_OK)
		(void) env->unlink(env, path);
	return st;
}

void
flowi_reserve_keep(FlowEnv *env, const char *dir, FlowDbShared *sh)
{
	const FlowError error = *flow_last_error();
	uint64_t bytes = wanted_bytes(sh);
	char path[FLOW_PATH_BYTES];

	if (sh->reserve_bytes >= bytes)
		return;
	path_of(dir, path);
	if (size_of(env, path) >= bytes || make(env, path, bytes) == FLOW_OK)
		sh->reserve_bytes = bytes;
	flowi_error_restore(&error);
}

bool
flowi_reserve_spend(FlowEnv *env, const char *dir, FlowDbShared *sh)
{
	const FlowError error = *flow_last_error();
	char path[FLOW_PATH_BYTES];
	bool spent;

	if (sh->reserve_bytes == 0)
		return false;
	sh->reserve_bytes = 0;
	path_of(dir, path);
	spent = env->unlink(env, path) == FLOW_OK;
	flowi_error_restore(&error);
	return spent;
}
