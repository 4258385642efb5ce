/*-------------------------------------------------------------------------
 * wal_segment.c
 *	  Segment files of the log: names, headers, making, recycling, listing.
 *
 *	 <start>.wal	a segment; under this name only with a durable header
 *	 <start>.tmp	being made
 *	 <start>.spare	was released; start is that of its former life
 *
 * A segment is filled with zeroes when it is made and keeps its size when it
 * is recycled, so that the syncs of commits change no metadata.  A spare's old
 * frames stay: their positions are not those of the new segment, whose start
 * is higher than all there were.  A rename to .spare is made durable before
 * the header is overwritten, else a crash could leave the new header under
 * the old name.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "coding.h"
#include "wal_format.h"

void
wal_dir(const char *db_dir, char path[FLOW_PATH_BYTES])
{
	snprintf(path, FLOW_PATH_BYTES, "%s/WAL", db_dir);
}

void
wal_path(const char *dir, uint64_t start, const char *suffix,
		 char path[FLOW_PATH_BYTES])
{
	snprintf(path, FLOW_PATH_BYTES, "%s/%016" PRIx64 ".%s", dir, start, suffix);
}

/* ---------------------------------------------------------------- headers */

void
wal_head_encode(uint8_t head[SEG_HEAD_BYTES], uint64_t start, uint64_t size,
				uint64_t log_id)
{
	memset(head, 0, SEG_HEAD_BYTES);
	flowi_put64(head + SEG_HEAD_MAGIC, SEG_MAGIC);
	flowi_put32(head + SEG_HEAD_VERSION, FLOW_WAL_VERSION);
	flowi_put64(head + SEG_HEAD_START, start);
	flowi_put64(head + SEG_HEAD_SIZE, size);
	flowi_put64(head + SEG_HEAD_LOG, log_id);
	flowi_put64(head + SEG_HEAD_CHECKSUM, XXH3_64bits(head, SEG_HEAD_CHECKSUM));
}

static void
head_decode(const uint8_t *head, WalFound *seg)
{
	uint32_t version = flowi_get32(head + SEG_HEAD_VERSION);
	uint64_t size = flowi_get64(head + SEG_HEAD_SIZE);

	if (flowi_get64(head + SEG_HEAD_MAGIC) != SEG_MAGIC)
		return;
	seg->newer = version > FLOW_WAL_VERSION;
	if (version != FLOW_WAL_VERSION ||
		flowi_get64(head + SEG_HEAD_CHECKSUM) !=
			XXH3_64bits(head, SEG_HEAD_CHECKSUM) ||
		flowi_get64(head + SEG_HEAD_START) != seg->start ||
		flowi_get32(head + SEG_HEAD_ZERO) != 0 ||
		flowi_get64(head + SEG_HEAD_ZERO2) != 0 ||
		flowi_get64(head + SEG_HEAD_ZERO2 + 8) != 0 || size < SEG_HEAD_BYTES ||
		size > SEG_MAX_BYTES || size % 8 != 0 || size > UINT64_MAX - seg->start)
		return;
	seg->head_ok = true;
	seg->size = size;
	seg->log_id = flowi_get64(head + SEG_HEAD_LOG);
}

/* ---------------------------------------------------------------- listing */

/* "%016x.<suffix>"; the suffix, or NULL for any other name. */
static const char *
parse_name(const char *name, uint64_t *startp)
{
	uint64_t start = 0;

	for (int i = 0; i < 16; i++)
	{
		char c = name[i];

		if (c >= '0' && c <= '9')
			start = start << 4 | (uint64_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			start = start << 4 | (uint64_t) (c - 'a' + 10);
		else
			return NULL;
	}
	*startp = start;
	return name[16] == '.' ? name + 17 : NULL;
}

static FlowStatus
look_at(const WalList *list, WalFound *seg)
{
	FlowEnv *env = list->env;
	char path[FLOW_PATH_BYTES];
	uint8_t head[SEG_HEAD_BYTES];
	FlowFile *file;
	FlowStatus st;

	wal_path(list->dir, seg->start, "wal", path);
	FLOW_TRY(env->file_open(env, path, FLOW_O_READ, &file));
	st = env->file_size(file, &seg->avail);
	seg->size = seg->avail;
	if (st == FLOW_OK && seg->avail >= SEG_HEAD_BYTES)
	{
		st = env->file_read(file, head, SEG_HEAD_BYTES, 0);
		if (st == FLOW_OK)
			head_decode(head, seg);
	}
	env->file_close(file);
	seg->avail = FLOW_MIN(seg->avail, seg->size);
	return st;
}

static FlowStatus
list_name(void *arg, const char *name)
{
	WalList *list = arg;
	uint64_t start;
	const char *suffix = parse_name(name, &start);

	if (suffix == NULL || strcmp(suffix, "wal") != 0)
		return FLOW_OK;
	if (list->nsegs == list->cap)
	{
		uint32_t cap = list->cap ? list->cap * 2 : 16;
		WalFound *segs =
			list->env->realloc(list->env, list->segs, cap * sizeof(*segs));

		if (segs == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		list->segs = segs;
		list->cap = cap;
	}
	list->segs[list->nsegs] = (WalFound){.start = start};
	return look_at(list, &list->segs[list->nsegs++]);
}

static int
found_cmp(const void *pa, const void *pb)
{
	const WalFound *a = pa;
	const WalFound *b = pb;

	return (a->start > b->start) - (a->start < b->start);
}

FlowStatus
wal_list(FlowEnv *env, const char *db_dir, uint64_t spare_bytes, WalList *list)
{
	FlowStatus st;

	*list = (WalList){.env = env, .spare_bytes = spare_bytes};
	wal_dir(db_dir, list->dir);
	st = env->list_dir(env, list->dir, list_name, list);
	if (st == FLOW_OK && list->nsegs > 1)
		qsort(list->segs, list->nsegs, sizeof(*list->segs), found_cmp);
	if (st != FLOW_OK)
		wal_list_free(list);
	return st;
}

void
wal_list_free(WalList *list)
{
	list->env->free(list->env, list->segs);
	list->segs = NULL;
	list->nsegs = list->cap = 0;
}

uint32_t
wal_list_old(const WalList *list, uint64_t from)
{
	uint32_t n = 0;

	while (n < list->nsegs)
	{
		const WalFound *s = &list->segs[n];
		bool old = n + 1 < list->nsegs && s[1].start <= from;

		if (!old && !(s->head_ok && s->start + s->size <= from))
			break;
		n++;
	}
	return n;
}

/* Keep a spare that is of use. */
static bool
keep_spare(WalList *list, const char *path, uint64_t start)
{
	FlowEnv *env = list->env;
	uint64_t size = 0;
	FlowFile *file;

	if (list->nspares == MAX_SPARES ||
		env->file_open(env, path, FLOW_O_READ, &file) != FLOW_OK)
		return false;
	if (env->file_size(file, &size) != FLOW_OK)
		size = 0;
	env->file_close(file);
	if (size == 0 || size != list->spare_bytes)
		return false;
	list->spares[list->nspares++] = start;
	return true;
}

static FlowStatus
tidy_name(void *arg, const char *name)
{
	WalList *list = arg;
	FlowEnv *env = list->env;
	char path[FLOW_PATH_BYTES];
	uint64_t start;
	const char *suffix = parse_name(name, &start);
	FlowStatus st;

	if (suffix == NULL ||
		(strcmp(suffix, "tmp") != 0 && strcmp(suffix, "spare") != 0))
		return FLOW_OK;
	wal_path(list->dir, start, suffix, path);
	if (strcmp(suffix, "spare") == 0 && keep_spare(list, path, start))
		return FLOW_OK;
	st = env->unlink(env, path);
	return st == FLOW_NOTFOUND ? FLOW_OK : st;
}

FlowStatus
wal_list_tidy(WalList *list)
{
	return list->env->list_dir(list->env, list->dir, tidy_name, list);
}

/* ----------------------------------------------------------------- making */

FlowStatus
wal_zero(FlowEnv *env, FlowFile *file, uint64_t from, uint64_t to)
{
	size_t cap = (size_t) FLOW_MIN(to - from, WAL_CHUNK_BYTES);
	uint8_t *zeroes;
	FlowStatus st = FLOW_OK;

	if (from >= to)
		return FLOW_OK;
	zeroes = env->alloc(env, cap);
	if (zeroes == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(zeroes, 0, cap);
	while (st == FLOW_OK && from < to)
	{
		size_t n = (size_t) FLOW_MIN(to - from, cap);

		st = env->file_write(file, zeroes, n, from);
		from += n;
	}
	env->free(env, zeroes);
	return st;
}

/* Open what will become the segment, its size as it is to be. */
static FlowStatus
open_blank(FlowEnv *env, const char *dir, const char *path, uint64_t size,
		   bool recycled, FlowFile **filep)
{
	FlowStatus st;

	if (recycled)
	{
		FLOW_TRY(env->sync_dir(env, dir)); /* the rename to .spare */
		return env->file_open(env, path, FLOW_O_WRITE, filep);
	}
	FLOW_TRY(env->file_open(env, path, FLOW_O_CREATE, filep));
	st = wal_zero(env, *filep, 0, size);
	if (st != FLOW_OK)
	{
		env->file_close(*filep);
		*filep = NULL;
		(void) env->unlink(env, path); /* it may have filled the disk */
	}
	return st;
}

FlowStatus
wal_segment_create(FlowEnv *env, const char *dir, uint64_t start, uint64_t size,
				   uint64_t log_id, const uint64_t *spare, FlowFile **filep)
{
	char from[FLOW_PATH_BYTES];
	char path[FLOW_PATH_BYTES];
	uint8_t head[SEG_HEAD_BYTES];
	FlowStatus st;

	*filep = NULL;
	if (spare)
		wal_path(dir, *spare, "spare", from);
	else
		wal_path(dir, start, "tmp", from);
	wal_path(dir, start, "wal", path);
	FLOW_GOTO(open_blank(env, dir, from, size, spare != NULL, filep));
	wal_head_encode(head, start, size, log_id);
	FLOW_GOTO(FLOW_POINT(env, "wal-segment-blank"));
	FLOW_GOTO(env->file_write(*filep, head, SEG_HEAD_BYTES, 0));
	FLOW_GOTO(env->file_sync(*filep));
	FLOW_GOTO(FLOW_POINT(env, "wal-segment-written"));
	FLOW_GOTO(env->rename(env, from, path));
	FLOW_GOTO(FLOW_POINT(env, "wal-segment-renamed"));
	FLOW_GOTO(env->sync_dir(env, dir));
out:
	if (st == FLOW_NOTFOUND)
		st = flowi_fail(FLOW_IOERR, "spare log segment \"%s\" is gone", from);
	if (st != FLOW_OK)
	{
		env->file_close(*filep);
		*filep = NULL;
	}
	return st;
}

FlowStatus
wal_copy(FlowEnv *env, FlowFile *in, FlowFile *out, uint64_t from, uint64_t to)
{
	uint8_t *buf = env->alloc(env, WAL_CHUNK_BYTES);
	FlowStatus st = FLOW_OK;

	if (buf == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	while (st == FLOW_OK && from < to)
	{
		size_t n = (size_t) FLOW_MIN(to - from, WAL_CHUNK_BYTES);

		st = env->file_read(in, buf, n, from);
		if (st == FLOW_OK)
			st = env->file_write(out, buf, n, from);
		from += n;
	}
	env->free(env, buf);
	return st;
}
