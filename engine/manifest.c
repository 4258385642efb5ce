/*-------------------------------------------------------------------------
 * manifest.c
 *	  Edit log and CURRENT.
 *
 * A manifest is a short header and frames, each one edit; the first is a
 * snapshot.  A frame is durable before its append returns, so at open only
 * the last one can be torn: whatever is bad and has a good frame behind it
 * was damaged later.  Frame checksums are seeded with the manifest's number,
 * so that bytes a reused disk block held before never look like an edit.
 *
 * Names of unfinished files begin with pgsql_tmp: base backups skip them.
 * Bytes: doc/FORMAT.md "Manifest", "CURRENT".
 *-------------------------------------------------------------------------
 */
#include "edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#define MANIFEST_VERSION 3
#define MANIFEST_MAGIC UINT64_C(0x3153464e4d574c46) /* "FLWMNFS1" */
#define CURRENT_MAGIC UINT64_C(0x31525255434c4c46)	/* "FLLCURR1" */

/* Head: begin of a manifest, and all of CURRENT. */
#define HEAD_MAGIC 0
#define HEAD_VERSION 8
#define HEAD_ZERO 12
#define HEAD_NUMBER 16
#define HEAD_CHECKSUM 24
#define HEAD_BYTES 32

#define CURRENT_NAME "CURRENT"
#define MANIFEST_PREFIX "MANIFEST-"
#define TMP_PREFIX "pgsql_tmp."

/* ------------------------------------------------------------ small helps */

/* dir/INDEX[/[pgsql_tmp.]name], name with number unless it is 0; NULL when
 * there is no memory. */
static char *
index_path(FlowEnv *env, const char *dir, bool tmp, const char *name,
		   uint64_t number)
{
	size_t size = strlen(dir) + strlen(name) + 64;
	char *path = env->alloc(env, size);
	char digits[24] = "";

	if (path == NULL)
	{
		(void) flowi_fail(FLOW_NOMEM, "out of memory");
		return NULL;
	}
	if (number > 0)
		snprintf(digits, sizeof(digits), "%08" PRIu64, number);
	snprintf(path, size, "%s/INDEX%s%s%s%s", dir, *name ? "/" : "",
			 tmp ? TMP_PREFIX : "", name, digits);
	return path;
}

static void
put_head(uint8_t *h, uint64_t magic, uint64_t number)
{
	flowi_put64(h + HEAD_MAGIC, magic);
	flowi_put32(h + HEAD_VERSION, MANIFEST_VERSION);
	flowi_put32(h + HEAD_ZERO, 0);
	flowi_put64(h + HEAD_NUMBER, number);
	flowi_put64(h + HEAD_CHECKSUM, XXH3_64bits(h, HEAD_CHECKSUM));
}

/* Check a head of path that is n bytes long and give its number. */
static FlowStatus
get_head(const uint8_t *h, size_t n, uint64_t magic, const char *path,
		 uint64_t *numberp)
{
	FLOW_CHECK_DATA(n >= HEAD_BYTES && flowi_get64(h + HEAD_MAGIC) == magic,
					"file \"%s\" is damaged at offset 0: wrong header", path);
	if (flowi_get32(h + HEAD_VERSION) > MANIFEST_VERSION)
		return flowi_fail(FLOW_MISMATCH,
						  "file \"%s\" has format version %u at offset %d, "
						  "newer than %d",
						  path, flowi_get32(h + HEAD_VERSION), HEAD_VERSION,
						  MANIFEST_VERSION);
	*numberp = flowi_get64(h + HEAD_NUMBER);
	FLOW_CHECK_DATA(flowi_get64(h + HEAD_CHECKSUM) ==
							XXH3_64bits(h, HEAD_CHECKSUM) &&
						flowi_get32(h + HEAD_VERSION) == MANIFEST_VERSION &&
						flowi_get32(h + HEAD_ZERO) == 0 && *numberp > 0,
					"file \"%s\" is damaged at offset 0: wrong header", path);
	return FLOW_OK;
}

static uint64_t
frame_checksum(const uint8_t *frame, size_t length, uint64_t number)
{
	return XXH3_64bits_withSeed(frame + EDIT_NUMBER,
								EDIT_BYTES - EDIT_NUMBER + length, number);
}

/* Fill the edit's frame header. */
static void
seal_frame(FlowEdit *edit, uint64_t number, uint64_t edit_number)
{
	uint8_t *f = edit->buf.data;
	size_t length = edit->buf.len - EDIT_BYTES;

	flowi_put64(f + EDIT_NUMBER, edit_number);
	flowi_put32(f + EDIT_LENGTH, (uint32_t) length);
	flowi_put64(f + EDIT_CHECKSUM, frame_checksum(f, length, number));
}

/* ---------------------------------------------------------------- writing */

/*
 * Make the file to with the bytes of two pieces, by way of the file tmp:
 * write, fsync, rename, fsync of the directory.
 */
static FlowStatus
publish(FlowEnv *env, const char *index_dir, const char *tmp, const char *to,
		const uint8_t *head, const FlowBuf *body)
{
	FlowFile *file = NULL;
	FlowStatus st;

	FLOW_GOTO(env->file_open(env, tmp, FLOW_O_CREATE, &file));
	FLOW_GOTO(env->file_write(file, head, HEAD_BYTES, 0));
	if (body)
		FLOW_GOTO(env->file_write(file, body->data, body->len, HEAD_BYTES));
	FLOW_GOTO(env->file_sync(file));
	env->file_close(file);
	file = NULL;
	FLOW_GOTO(env->rename(env, tmp, to));
	FLOW_GOTO(env->sync_dir(env, index_dir));
out:
	env->file_close(file);
	return st;
}

/* publish with the paths of name and number. */
static FlowStatus
publish_named(FlowEnv *env, const char *dir, const char *name, uint64_t number,
			  const uint8_t *head, const FlowBuf *body)
{
	char *index_dir = index_path(env, dir, false, "", 0);
	char *tmp = index_path(env, dir, true, name, number);
	char *to = index_path(env, dir, false, name, number);
	FlowStatus st = FLOW_NOMEM;

	if (index_dir && tmp && to)
		st = publish(env, index_dir, tmp, to, head, body);
	env->free(env, index_dir);
	env->free(env, tmp);
	env->free(env, to);
	return st;
}

/* Remove the manifest before the last one; when that fails it waits for the
 * next replay.  The last one stays, for a base backup that has copied CURRENT
 * already: what it lists exists, and redo brings what it lacks.  While a
 * backup runs none is removed: CURRENT may have changed more than once. */
static void
remove_old(FlowEnv *env, const char *dir, uint64_t number)
{
	char *path;

	if (number <= 1 ||
		(env->keep_files && env->keep_files(env, env->ticks_us(env))))
		return;
	path = index_path(env, dir, false, MANIFEST_PREFIX, number - 1);
	if (path)
		(void) env->unlink(env, path);
	env->free(env, path);
}

/*
 * After a failure CURRENT may name either manifest, so only another rewrite
 * may follow, never an append to the old one; it takes the same number
 * again, and replaces the new manifest by rename, whole for whole.
 */
FlowStatus
flowi_manifest_rewrite(FlowEnv *env, const char *dir, FlowEdit *snapshot,
					   FlowManifestPos *pos)
{
	uint64_t old = pos->number;
	uint64_t number = old + 1;
	uint8_t head[HEAD_BYTES];

	seal_frame(snapshot, number, pos->edit_number + 1);
	put_head(head, MANIFEST_MAGIC, number);
	FLOW_TRY(
		publish_named(env, dir, MANIFEST_PREFIX, number, head, &snapshot->buf));
	FLOW_TRY(FLOW_POINT(env, "manifest-before-current"));
	put_head(head, CURRENT_MAGIC, number);
	FLOW_TRY(publish_named(env, dir, CURRENT_NAME, 0, head, NULL));
	pos->number = number;
	pos->offset = HEAD_BYTES + snapshot->buf.len;
	pos->edit_number++;
	remove_old(env, dir, old);
	return FLOW_OK;
}

static FlowStatus
append_frame(FlowEnv *env, const char *path, const FlowBuf *frame, uint64_t off)
{
	FlowFile *file = NULL;
	uint64_t size;
	FlowStatus st = env->file_open(env, path, FLOW_O_WRITE, &file);

	if (st == FLOW_NOTFOUND)
		return flowi_fail(FLOW_CORRUPT, "manifest \"%s\" is missing", path);
	if (st != FLOW_OK)
		return st;
	FLOW_GOTO(env->file_size(file, &size));
	if (size != off)
		FLOW_GOTO(flowi_fail(FLOW_CORRUPT,
							 "manifest \"%s\" ends at offset %" PRIu64
							 ", not at %" PRIu64,
							 path, size, off));
	FLOW_GOTO(FLOW_POINT(env, "manifest-before-append"));
	FLOW_GOTO(env->file_write(file, frame->data, frame->len, off));
	FLOW_GOTO(FLOW_POINT(env, "manifest-before-sync"));
	FLOW_GOTO(env->file_sync(file));
out:
	env->file_close(file);
	return st;
}

FlowStatus
flowi_manifest_append(FlowEnv *env, const char *dir, FlowEdit *edit,
					  FlowManifestPos *pos)
{
	char *path = index_path(env, dir, false, MANIFEST_PREFIX, pos->number);
	FlowStatus st;

	if (path == NULL)
		return FLOW_NOMEM;
	seal_frame(edit, pos->number, pos->edit_number + 1);
	st = append_frame(env, path, &edit->buf, pos->offset);
	env->free(env, path);
	if (st == FLOW_OK)
	{
		pos->offset += edit->buf.len;
		pos->edit_number++;
	}
	return st;
}

/* ---------------------------------------------------------------- reading */

/* A manifest in memory that is being replayed. */
typedef struct Replay
{
	FlowEditSource src; /* its off: of the frame at hand */
	const uint8_t *data;
	uint64_t size;
	FlowManifestPos pos;
} Replay;

static FlowStatus
damaged(const Replay *rp, const char *what)
{
	return flowi_fail(FLOW_CORRUPT,
					  "manifest \"%s\" is damaged at offset %" PRIu64 ": %s",
					  rp->src.path, rp->src.off, what);
}

/* Does a frame with an edit number in [lo, hi] stand at off? */
static bool
frame_at(const Replay *rp, uint64_t off, uint64_t lo, uint64_t hi)
{
	const uint8_t *frame = rp->data + off;
	uint64_t left = rp->size - off;
	uint64_t edit;

	if (left < EDIT_BYTES)
		return false;
	edit = flowi_get64(frame + EDIT_NUMBER);
	return edit >= lo && edit <= hi &&
		   flowi_get32(frame + EDIT_LENGTH) <= left - EDIT_BYTES &&
		   flowi_get64(frame + EDIT_CHECKSUM) ==
			   frame_checksum(frame, flowi_get32(frame + EDIT_LENGTH),
							  rp->pos.number);
}

/*
 * The frame at rp->src.off is bad.  A torn tail has nothing good behind it; a
 * later edit proves that this one was whole once.
 */
static FlowStatus
check_tail(const Replay *rp)
{
	uint64_t lo = rp->pos.edit_number + 1;

	for (uint64_t off = rp->src.off + 1; off < rp->size; off++)
		if (frame_at(rp, off, lo, lo + rp->size / EDIT_BYTES))
			return damaged(rp, "bad frame before a good one");
	return FLOW_OK;
}

/* Replay all frames; rp->src.off ends behind the last good one. */
static FlowStatus
replay_frames(Replay *rp)
{
	bool first = true;

	for (rp->src.off = HEAD_BYTES;; first = false)
	{
		const uint8_t *frame = rp->data + rp->src.off;
		const uint8_t *end;

		if (!frame_at(rp, rp->src.off, 0, UINT64_MAX))
			break;
		if (!first &&
			flowi_get64(frame + EDIT_NUMBER) != rp->pos.edit_number + 1)
			return damaged(rp, "edit out of order");
		end = frame + EDIT_BYTES + flowi_get32(frame + EDIT_LENGTH);
		FLOW_TRY(flowi_edit_replay(&rp->src, frame + EDIT_BYTES, end));
		rp->pos.edit_number = flowi_get64(frame + EDIT_NUMBER);
		rp->src.off = (uint64_t) (end - rp->data);
	}
	if (first)
		return damaged(rp, "bad snapshot");
	return check_tail(rp);
}

/* Read a whole file; *datap is the caller's to free.  NOTFOUND as it is. */
static FlowStatus
read_file(FlowEnv *env, const char *path, uint8_t **datap, uint64_t *sizep)
{
	FlowFile *file = NULL;
	FlowStatus st;

	*datap = NULL;
	FLOW_GOTO(env->file_open(env, path, FLOW_O_READ, &file));
	FLOW_GOTO(env->file_size(file, sizep));
	*datap = *sizep < SIZE_MAX ? env->alloc(env, (size_t) *sizep + 1) : NULL;
	if (*datap == NULL)
		FLOW_GOTO(flowi_fail(FLOW_NOMEM, "out of memory: file \"%s\"", path));
	if (*sizep > 0)
		FLOW_GOTO(env->file_read(file, *datap, (size_t) *sizep, 0));
out:
	env->file_close(file);
	return st;
}

static FlowStatus
read_current(FlowEnv *env, const char *dir, uint64_t *numberp)
{
	char *path = index_path(env, dir, false, CURRENT_NAME, 0);
	uint8_t *data = NULL;
	uint64_t size;
	FlowStatus st = FLOW_NOMEM;

	if (path == NULL)
		goto out;
	st = read_file(env, path, &data, &size);
	if (st == FLOW_NOTFOUND)
		st = flowi_fail(FLOW_NOTFOUND, "file \"%s\" is missing", path);
	if (st != FLOW_OK)
		goto out;
	FLOW_GOTO(get_head(data, (size_t) size, CURRENT_MAGIC, path, numberp));
	if (size != HEAD_BYTES)
		st = flowi_fail(FLOW_CORRUPT,
						"file \"%s\" is damaged at offset %d: too long", path,
						HEAD_BYTES);
out:
	env->free(env, data);
	env->free(env, path);
	return st;
}

static FlowStatus
cut_tail(const Replay *rp)
{
	FlowFile *file = NULL;
	FlowStatus st;

	FLOW_GOTO(
		rp->src.env->file_open(rp->src.env, rp->src.path, FLOW_O_WRITE, &file));
	FLOW_GOTO(rp->src.env->file_truncate(file, rp->src.off));
	FLOW_GOTO(rp->src.env->file_sync(file));
out:
	rp->src.env->file_close(file);
	return st;
}

static FlowStatus
replay_file(Replay *rp)
{
	uint8_t *data;
	uint64_t number;
	FlowStatus st = read_file(rp->src.env, rp->src.path, &data, &rp->size);

	if (st == FLOW_NOTFOUND)
		st = flowi_fail(FLOW_CORRUPT, "manifest \"%s\" is missing",
						rp->src.path);
	if (st != FLOW_OK)
		goto out;
	rp->data = data;
	FLOW_GOTO(get_head(data, (size_t) rp->size, MANIFEST_MAGIC, rp->src.path,
					   &number));
	if (number != rp->pos.number)
		FLOW_GOTO(damaged(rp, "it is another manifest"));
	FLOW_GOTO(replay_frames(rp));
	if (rp->src.off < rp->size)
		FLOW_GOTO(cut_tail(rp));
	rp->pos.offset = rp->src.off;
out:
	rp->src.env->free(rp->src.env, data);
	return st;
}

/* --- tidying up --- */

typedef struct Tidy
{
	FlowEnv *env;
	const char *dir;
	const char *keep; /* name of the current manifest */
} Tidy;

static FlowStatus
tidy_name(void *arg, const char *name)
{
	Tidy *t = arg;
	bool tmp = strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) == 0;
	bool manifest =
		strncmp(name, MANIFEST_PREFIX, strlen(MANIFEST_PREFIX)) == 0;
	char *path;

	if (!tmp && (!manifest || strcmp(name, t->keep) == 0))
		return FLOW_OK;
	path = index_path(t->env, t->dir, false, name, 0);
	if (path)
		(void) t->env->unlink(t->env, path);
	t->env->free(t->env, path);
	return FLOW_OK;
}

/* Remove what an interrupted rewrite left; what cannot go stays. */
static void
tidy(FlowEnv *env, const char *dir, uint64_t number)
{
	char keep[64];
	Tidy t = {env, dir, keep};
	char *index_dir = index_path(env, dir, false, "", 0);

	snprintf(keep, sizeof(keep), "%s%08" PRIu64, MANIFEST_PREFIX, number);
	if (index_dir)
		(void) env->list_dir(env, index_dir, tidy_name, &t);
	env->free(env, index_dir);
}

FlowStatus
flowi_manifest_replay(FlowEnv *env, const char *dir,
					  const FlowManifestVisitor *visitor, FlowManifestPos *pos)
{
	Replay rp = {.src = {.env = env, .visitor = visitor}};
	char *path;
	FlowStatus st;

	FLOW_TRY(read_current(env, dir, &rp.pos.number));
	path = index_path(env, dir, false, MANIFEST_PREFIX, rp.pos.number);
	if (path == NULL)
		return FLOW_NOMEM;
	rp.src.path = path;
	st = replay_file(&rp);
	env->free(env, path);
	if (st == FLOW_OK)
	{
		tidy(env, dir, rp.pos.number);
		*pos = rp.pos;
	}
	return st;
}
