/*-------------------------------------------------------------------------
 * wal_read.c
 *	  Read the log: frames, replay, the end, torn or damaged.
 *
 * The log ends at P, the first place where no good frame stands.  Whether it
 * was torn there or damaged is told by what follows.  Each frame says up to
 * where the log was durable when it was appended: a good frame behind P that
 * says more than P proves that P was once durable, so bytes have been lost
 * since (CORRUPT).  If none does, all that is behind P was never acknowledged
 * as durable, whatever parts of it the disk has kept, in whatever order: it is
 * cut, so that nothing of it can be taken for a record when the log has grown
 * over P.
 *
 * A segment ends with a pad up to its end, unless there is no room for one.
 * Without that, a lost end of one segment followed by a segment that was
 * kept would be skipped unseen.
 *
 * Cutting goes from the end backwards, each step durable, so that a crash in
 * between leaves a shorter torn tail and never a hole.  What replay gave but
 * may be in the page cache only is written again before it is synced: after
 * an fsync that failed, a second one that succeeds proves nothing.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "coding.h"
#include "wal_format.h"

/* ----------------------------------------------------------------- reader */

FlowStatus
wal_reader_open(WalReader *r, const WalList *list, const WalFound *seg)
{
	char path[FLOW_PATH_BYTES];
	FlowStatus st;

	*r = (WalReader){.env = list->env,
					 .start = seg->start,
					 .size = seg->size,
					 .avail = seg->avail,
					 .log_id = seg->log_id};
	wal_path(list->dir, seg->start, "wal", path);
	st = list->env->file_open(list->env, path, FLOW_O_READ, &r->file);
	if (st == FLOW_NOTFOUND)
		return flowi_fail(FLOW_IOERR, "log segment \"%s\" is gone", path);
	return st;
}

void
wal_reader_close(WalReader *r)
{
	r->env->free(r->env, r->buf);
	r->env->file_close(r->file);
	r->buf = NULL;
	r->file = NULL;
}

/* The n bytes at off of the segment, all of which lie inside. */
static FlowStatus
load(WalReader *r, uint64_t off, size_t n, const uint8_t **bytesp)
{
	size_t want = FLOW_MAX(n, WAL_CHUNK_BYTES);
	size_t have;

	if (off < r->off || off + n > r->off + r->len)
	{
		if (want > r->cap)
		{
			uint8_t *buf = r->env->realloc(r->env, r->buf, want);

			if (buf == NULL)
				return flowi_fail(FLOW_NOMEM, "out of memory");
			r->buf = buf;
			r->cap = want;
		}
		r->off = off;
		r->len = 0;
		want = (size_t) FLOW_MIN(want, r->size - off);
		have = off < r->avail ? (size_t) FLOW_MIN(want, r->avail - off) : 0;
		if (have > 0)
			FLOW_TRY(r->env->file_read(r->file, r->buf, have, off));
		memset(r->buf + have, 0, want - have);
		r->len = want;
	}
	*bytesp = r->buf + (off - r->off);
	return FLOW_OK;
}

static uint64_t
frame_checksum(const uint8_t *frame, uint32_t len, uint8_t kind,
			   uint64_t log_id)
{
	size_t covered = FLOW_WAL_FRAME_BYTES - FRAME_POS;

	if (kind == FRAME_RECORD)
		covered += len;
	return XXH3_64bits_withSeed(frame + FRAME_POS, covered, log_id);
}

void
wal_frame_seal(uint8_t *frame, uint64_t pos, uint64_t synced, uint32_t len,
			   uint8_t kind, uint64_t log_id)
{
	flowi_put64(frame + FRAME_POS, pos);
	flowi_put64(frame + FRAME_SYNCED, synced);
	flowi_put32(frame + FRAME_LEN, len);
	frame[FRAME_KIND] = kind;
	memset(frame + FRAME_ZERO, 0, FLOW_WAL_FRAME_BYTES - FRAME_ZERO);
	flowi_put64(frame + FRAME_CHECKSUM,
				frame_checksum(frame, len, kind, log_id));
}

FlowStatus
wal_read_frame(WalReader *r, uint64_t pos, WalFrame *f)
{
	uint64_t off = pos - r->start;
	const uint8_t *p;

	if (off + FLOW_WAL_FRAME_BYTES > r->size)
		return FLOW_NOTFOUND;
	FLOW_TRY(load(r, off, FLOW_WAL_FRAME_BYTES, &p));
	f->pos = flowi_get64(p + FRAME_POS);
	f->synced = flowi_get64(p + FRAME_SYNCED);
	f->len = flowi_get32(p + FRAME_LEN);
	f->kind = p[FRAME_KIND];
	f->end = pos + wal_frame_bytes(f->len);
	if (f->pos != pos || f->synced > pos ||
		off + wal_frame_bytes(f->len) > r->size ||
		(f->kind != FRAME_RECORD && f->kind != FRAME_PAD) ||
		p[FRAME_ZERO] != 0 || p[FRAME_ZERO + 1] != 0 || p[FRAME_ZERO + 2] != 0)
		return FLOW_NOTFOUND;
	if (f->kind == FRAME_RECORD)
		FLOW_TRY(load(r, off, FLOW_WAL_FRAME_BYTES + (size_t) f->len, &p));
	if (flowi_get64(p + FRAME_CHECKSUM) !=
		frame_checksum(p, f->len, f->kind, r->log_id))
		return FLOW_NOTFOUND;
	f->payload = p + FLOW_WAL_FRAME_BYTES;
	return FLOW_OK;
}

FlowStatus
wal_find_frame(WalReader *r, uint64_t pos, uint64_t *foundp)
{
	uint64_t off = pos - r->start;

	while (off + FLOW_WAL_FRAME_BYTES <= r->size)
	{
		const uint8_t *p;
		uint64_t in_buf;

		FLOW_TRY(load(r, off, FLOW_WAL_FRAME_BYTES, &p));
		in_buf = r->off + r->len - off;
		for (; in_buf >= FLOW_WAL_FRAME_BYTES; in_buf -= 8, p += 8, off += 8)
		{
			if (flowi_get64(p + FRAME_POS) == r->start + off)
			{
				*foundp = r->start + off;
				return FLOW_OK;
			}
		}
	}
	return FLOW_NOTFOUND;
}

/* ----------------------------------------------------------------- replay */

typedef struct Replay
{
	WalList *list;
	uint64_t from;
	FlowLogFn fn;
	void *arg;
	FlowWalReport *report;
	WalTail *tail;
} Replay;

static FlowStatus
damaged(const Replay *rp, uint32_t i, uint64_t pos, const char *how)
{
	const WalFound *seg = &rp->list->segs[i];
	char path[FLOW_PATH_BYTES];

	rp->report->bad_pos = FLOW_MAX(pos, 1);
	wal_path(rp->list->dir, seg->start, "wal", path);
	return flowi_fail(FLOW_CORRUPT,
					  "log segment \"%s\" is damaged at offset %" PRIu64
					  ": %s; flowdb_salvage can tell more and repair it",
					  path, pos > seg->start ? pos - seg->start : 0, how);
}

/* Headers, and that no segment is missing between two. */
static FlowStatus
check_segments(const Replay *rp)
{
	const WalList *list = rp->list;

	for (uint32_t i = 0; i < list->nsegs; i++)
	{
		const WalFound *s = &list->segs[i];

		if (s->newer)
			return flowi_fail(FLOW_MISMATCH,
							  "log in \"%s\" has a newer version than %d",
							  list->dir, FLOW_WAL_VERSION);
		if (!s->head_ok)
			return damaged(rp, i, s->start, "its header is not valid");
		if (i > 0 && s->log_id != s[-1].log_id)
			return damaged(rp, i, s->start, "it belongs to another log");
		if (i > 0 && s->start != s[-1].start + s[-1].size)
			return damaged(rp, i, s->start, "the segment before it is missing");
	}
	return FLOW_OK;
}

/* Give the records of a segment; *donep: the log goes on in the next one. */
static FlowStatus
replay_segment(Replay *rp, uint32_t i, WalReader *r, bool *donep)
{
	WalFound *seg = &rp->list->segs[i];
	WalTail *tail = rp->tail;
	uint64_t pos = wal_first_pos(seg, rp->from);

	seg->used_end = pos;
	tail->seg = i;
	tail->end = pos;
	*donep = false;
	while (pos + FLOW_WAL_FRAME_BYTES <= seg->start + seg->size)
	{
		WalFrame f;
		FlowStatus st = wal_read_frame(r, pos, &f);

		if (st == FLOW_NOTFOUND)
			return FLOW_OK;
		FLOW_TRY(st);
		/* what was durable between from and the first segment is missing */
		if (i == 0 && wal_misses_some(seg, &f, rp->from))
			return damaged(rp, i, seg->start,
						   "the segment before it is missing");
		tail->synced = FLOW_MAX(tail->synced, f.synced);
		if (f.kind == FRAME_RECORD)
		{
			seg->used_end = f.end;
			if (f.end > rp->from)
			{
				rp->report->records++;
				FLOW_TRY(rp->fn(rp->arg, f.payload, f.len, pos, f.end));
			}
		}
		tail->end = pos = f.end;
	}
	*donep = true;
	return FLOW_OK;
}

/* Is there proof in segment i that the log was durable behind its end? */
static FlowStatus
look_behind(Replay *rp, uint32_t i, WalReader *r)
{
	WalFound *seg = &rp->list->segs[i];
	uint64_t end = rp->tail->end;
	uint64_t pos = FLOW_MAX(end, seg->start + SEG_HEAD_BYTES);
	FlowStatus st;

	if (seg->avail < seg->size)
		seg->touched = true;
	for (;; pos += 8)
	{
		WalFrame f;

		st = wal_find_frame(r, pos, &pos);
		if (st == FLOW_NOTFOUND)
			return FLOW_OK;
		FLOW_TRY(st);
		seg->touched = true;
		st = wal_read_frame(r, pos, &f);
		if (st == FLOW_OK && f.synced > end)
			return damaged(rp, rp->tail->seg, end,
						   "what stood there had been made durable");
		if (st == FLOW_OK)
			rp->report->cut_bytes = f.end - end;
		else if (st == FLOW_NOTFOUND)
			rp->report->cut_bytes = FLOW_MAX(rp->report->cut_bytes,
											 pos + FLOW_WAL_FRAME_BYTES - end);
		else
			return st;
	}
}

/* Call fn for segments from i on, until *donep or all are through. */
static FlowStatus
each_segment(Replay *rp, uint32_t i, bool behind)
{
	bool more = true;

	for (; more && i < rp->list->nsegs; i++)
	{
		WalReader r;
		FlowStatus st;

		FLOW_TRY(wal_reader_open(&r, rp->list, &rp->list->segs[i]));
		if (behind)
			st = look_behind(rp, i, &r);
		else
			st = replay_segment(rp, i, &r, &more);
		wal_reader_close(&r);
		FLOW_TRY(st);
	}
	return FLOW_OK;
}

FlowStatus
wal_replay(WalList *list, uint64_t from, FlowLogFn fn, void *arg,
		   FlowWalReport *report, WalTail *tail)
{
	Replay rp = {list, from, fn, arg, report, tail};

	*report = (FlowWalReport){0};
	*tail = (WalTail){.end = from, .synced = from};
	FLOW_TRY(check_segments(&rp));
	FLOW_TRY(each_segment(&rp, 0, false));
	report->end = tail->end;
	if (list->nsegs == 0)
		return FLOW_OK;

	return each_segment(&rp, tail->seg, true);
}

/* ---------------------------------------------------------------- cutting */

/* Settle one segment: its part of [synced, end) is durable, and nothing is
 * behind end when it has been touched. */
static FlowStatus
settle(const WalList *list, const WalFound *seg, const WalTail *tail)
{
	FlowEnv *env = list->env;
	uint64_t lo = FLOW_MAX(tail->synced, seg->start) - seg->start;
	uint64_t hi = FLOW_MIN(tail->end, seg->start + seg->size) - seg->start;
	char path[FLOW_PATH_BYTES];
	FlowFile *file;
	FlowStatus st;

	if (lo >= hi && !seg->touched)
		return FLOW_OK;
	wal_path(list->dir, seg->start, "wal", path);
	FLOW_TRY(env->file_open(env, path, FLOW_O_WRITE, &file));
	st = FLOW_OK;
	/* a pad may end behind the file */
	hi = FLOW_MIN(hi, seg->avail);
	if (lo < hi)
		FLOW_GOTO(wal_copy(env, file, file, lo, hi));
	if (seg->touched)
		FLOW_GOTO(wal_zero(env, file, tail->end - seg->start, seg->size));
	FLOW_GOTO(env->file_sync(file));
out:
	env->file_close(file);
	return st;
}

FlowStatus
wal_cut_tail(WalList *list, const WalTail *tail)
{
	FlowEnv *env = list->env;
	char path[FLOW_PATH_BYTES];
	bool drop = false;

	if (list->nsegs == 0)
		return FLOW_OK;
	for (uint32_t i = tail->seg + 1; i < list->nsegs; i++)
		drop |= list->segs[i].touched || i > tail->seg + 1;
	while (drop && list->nsegs > tail->seg + 1)
	{
		wal_path(list->dir, list->segs[list->nsegs - 1].start, "wal", path);
		FLOW_TRY(env->unlink(env, path));
		FLOW_TRY(env->sync_dir(env, list->dir));
		list->nsegs--;
	}
	for (uint32_t i = 0; i <= tail->seg; i++)
		FLOW_TRY(settle(list, &list->segs[i], tail));
	return FLOW_OK;
}
