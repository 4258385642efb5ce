/*-------------------------------------------------------------------------
 * wal_repair.c
 *	  Look over a log that replay refuses, and make it one that it accepts.
 *
 * Nothing is thrown away: what a repair overwrites or drops is copied first.
 * Each step is durable before the next, and each repair may be done again
 * after a crash.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>

#include "wal_format.h"

/* A place that is neither record nor pad. */
typedef struct Stretch
{
	uint64_t from;
	uint64_t to;
	uint32_t seg; /* it lies in or, if that is missing, before */
	bool certain; /* damage whatever follows: a header, a segment */
	bool touched; /* something of this log stands in it */
} Stretch;

typedef struct Scan
{
	WalList list;
	FlowLogFn fn;
	void *arg;
	FlowWalReport *report;
	uint64_t from;
	Stretch *bad;
	uint32_t nbad;
	uint32_t cap;
	uint64_t synced; /* the highest that a frame says */
	uint64_t last;	 /* where the last good frame ended */
} Scan;

static FlowStatus
add_bad(Scan *sc, const Stretch *s)
{
	FlowEnv *env = sc->list.env;

	if (sc->nbad == sc->cap)
	{
		uint32_t cap = sc->cap ? sc->cap * 2 : 16;
		Stretch *bad = env->realloc(env, sc->bad, cap * sizeof(*bad));

		if (bad == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		sc->bad = bad;
		sc->cap = cap;
	}
	sc->bad[sc->nbad++] = *s;
	return FLOW_OK;
}

/* ------------------------------------------------------------------- scan */

/* The next good frame from pos on; *touchedp: there were remains of some. */
static FlowStatus
next_good(WalReader *r, uint64_t pos, uint64_t *goodp, bool *touchedp)
{
	for (;; pos += 8)
	{
		WalFrame f;

		FlowStatus st = wal_find_frame(r, pos, &pos);

		if (st != FLOW_OK)
			return st;
		*touchedp = true;
		st = wal_read_frame(r, pos, &f);
		if (st == FLOW_OK)
			*goodp = pos;
		if (st != FLOW_NOTFOUND)
			return st;
	}
}

static FlowStatus
take_frame(Scan *sc, const WalFrame *f)
{
	sc->synced = FLOW_MAX(sc->synced, f->synced);
	sc->last = f->end;
	if (f->kind != FRAME_RECORD)
		return FLOW_OK;
	sc->report->records++;
	return sc->fn ? sc->fn(sc->arg, f->payload, f->len, f->pos, f->end)
				  : FLOW_OK;
}

static FlowStatus
scan_segment(Scan *sc, uint32_t i, WalReader *r)
{
	const WalFound *seg = &sc->list.segs[i];
	uint64_t pos = wal_first_pos(seg, sc->from);
	uint64_t end = seg->start + seg->size;

	while (pos + FLOW_WAL_FRAME_BYTES <= end)
	{
		Stretch s = {.from = pos, .to = end, .seg = i};
		WalFrame f;
		FlowStatus st = wal_read_frame(r, pos, &f);

		if (st == FLOW_OK)
		{
			if (i == 0 && sc->last == 0 && wal_misses_some(seg, &f, sc->from))
				FLOW_TRY(add_bad(sc, &(Stretch){.from = sc->from,
												.to = seg->start,
												.seg = i,
												.certain = true}));
			FLOW_TRY(take_frame(sc, &f));
			pos = f.end;
			continue;
		}
		if (st == FLOW_NOTFOUND)
			st = next_good(r, pos, &s.to, &s.touched);
		if (st != FLOW_OK && st != FLOW_NOTFOUND)
			return st;
		FLOW_TRY(add_bad(sc, &s));
		pos = s.to;
	}
	return FLOW_OK;
}

/* What a header that cannot be read would have said. */
static void
guess_heads(WalList *list)
{
	uint64_t log_id = 0;

	for (uint32_t i = 0; i < list->nsegs; i++)
		log_id = list->segs[i].head_ok ? list->segs[i].log_id : log_id;
	for (uint32_t i = 0; i < list->nsegs; i++)
	{
		WalFound *s = &list->segs[i];

		/* a size that reaches into the next segment is a wrong one */
		if (i + 1 < list->nsegs && s->size > s[1].start - s->start)
			s->head_ok = false;
		if (s->head_ok)
			continue;
		s->log_id = log_id;
		if (i + 1 < list->nsegs)
			s->size = s[1].start - s->start;
		s->size = FLOW_MIN(FLOW_MAX(s->size, SEG_HEAD_BYTES) & ~UINT64_C(7),
						   SEG_MAX_BYTES);
		s->avail = FLOW_MIN(s->avail, s->size);
	}
}

static FlowStatus
scan_all(Scan *sc)
{
	WalList *list = &sc->list;

	guess_heads(list);
	for (uint32_t i = 0; i < list->nsegs; i++)
	{
		const WalFound *s = &list->segs[i];
		const WalFound *before = i > 0 ? s - 1 : NULL;
		WalReader r;
		FlowStatus st;

		if (s->newer)
			return flowi_fail(FLOW_MISMATCH,
							  "log in \"%s\" has a newer version than %d",
							  list->dir, FLOW_WAL_VERSION);
		sc->report->segments++;
		sc->report->bytes += s->size;
		if (before && before->start + before->size < s->start)
			FLOW_TRY(
				add_bad(sc, &(Stretch){.from = before->start + before->size,
									   .to = s->start,
									   .seg = i,
									   .certain = true}));
		if (!s->head_ok)
			FLOW_TRY(add_bad(sc, &(Stretch){.from = s->start,
											.to = s->start + SEG_HEAD_BYTES,
											.seg = i,
											.certain = true}));
		FLOW_TRY(wal_reader_open(&r, list, s));
		st = scan_segment(sc, i, &r);
		wal_reader_close(&r);
		FLOW_TRY(st);
	}
	return FLOW_OK;
}

/* Tell damage from what was never durable: wal_read.c. */
static FlowStatus
judge(Scan *sc, FlowWalBadFn bad)
{
	FlowWalReport *report = sc->report;

	report->end = sc->last;
	for (uint32_t i = 0; i < sc->nbad; i++)
	{
		const Stretch *s = &sc->bad[i];
		const WalFound *seg = &sc->list.segs[s->seg];
		char path[FLOW_PATH_BYTES];

		if (!s->certain && s->from >= sc->synced)
		{
			report->end = FLOW_MIN(report->end, s->from);
			if (s->touched || s->from < sc->last)
				report->cut_bytes += s->to - s->from;
			continue;
		}
		if (report->bad_pos == 0)
			report->bad_pos = FLOW_MAX(s->from, 1);
		report->bad_bytes += s->to - s->from;
		wal_path(sc->list.dir, s->from < seg->start ? s->from : seg->start,
				 "wal", path);
		if (bad)
			FLOW_TRY(bad(sc->arg, path, s->from, s->to,
						 s->from < seg->start ? 0 : s->from - seg->start));
	}
	return FLOW_OK;
}

FlowStatus
flowi_wal_scan(FlowEnv *env, const char *dir, uint64_t from, FlowLogFn fn,
			   FlowWalBadFn bad, void *arg, FlowWalReport *report)
{
	Scan sc = {.fn = fn, .arg = arg, .report = report, .from = from};
	WalList all;
	uint32_t nold;
	FlowStatus st;

	*report = (FlowWalReport){0};
	FLOW_TRY(wal_list(env, dir, 0, &all));
	nold = wal_list_old(&all, from);
	sc.list = all;
	sc.list.segs += nold;
	sc.list.nsegs -= nold;
	st = scan_all(&sc);
	if (st == FLOW_OK)
		st = judge(&sc, bad);
	env->free(env, sc.bad);
	wal_list_free(&all);
	return st;
}

/* ---------------------------------------------------------------- keeping */

/* A durable copy of a segment in keep_dir; one that is there is older, of the
 * same repair, and stays. */
static FlowStatus
keep(WalList *list, const WalFound *seg, const char *keep_dir)
{
	FlowEnv *env = list->env;
	char path[FLOW_PATH_BYTES];
	FlowFile *in = NULL;
	FlowFile *out = NULL;
	uint64_t size;
	FlowStatus st = env->mkdir(env, keep_dir);

	if (st != FLOW_EXISTS)
		FLOW_TRY(st);
	FLOW_TRY(env->sync_dir(env, list->dir));
	wal_path(keep_dir, seg->start, "wal", path);
	st = env->file_open(env, path, FLOW_O_READ, &out);
	env->file_close(out);
	if (st != FLOW_NOTFOUND)
		return st;
	wal_path(list->dir, seg->start, "wal", path);
	FLOW_GOTO(env->file_open(env, path, FLOW_O_READ, &in));
	wal_path(keep_dir, seg->start, "wal", path);
	FLOW_GOTO(env->file_open(env, path, FLOW_O_CREATE, &out));
	FLOW_GOTO(env->file_size(in, &size));
	FLOW_GOTO(wal_copy(env, in, out, 0, size));
	FLOW_GOTO(env->file_sync(out));
	FLOW_GOTO(env->sync_dir(env, keep_dir));
out:
	env->file_close(in);
	env->file_close(out);
	return st;
}

/* -------------------------------------------------------------- cut, skip */

static FlowStatus
open_segment(const WalList *list, const WalFound *seg, FlowFile **filep)
{
	char path[FLOW_PATH_BYTES];

	wal_path(list->dir, seg->start, "wal", path);
	return list->env->file_open(list->env, path, FLOW_O_WRITE, filep);
}

/* Remove the last segment of the list, a copy being kept. */
static FlowStatus
drop_last(WalList *list, const char *keep_dir)
{
	FlowEnv *env = list->env;
	char path[FLOW_PATH_BYTES];
	const WalFound *seg = &list->segs[list->nsegs - 1];

	FLOW_TRY(keep(list, seg, keep_dir));
	wal_path(list->dir, seg->start, "wal", path);
	FLOW_TRY(env->unlink(env, path));
	FLOW_TRY(env->sync_dir(env, list->dir));
	list->nsegs--;
	return FLOW_OK;
}

static FlowStatus
cut(WalList *list, uint64_t pos, const char *keep_dir)
{
	FlowEnv *env = list->env;
	const WalFound *seg;
	FlowFile *file;
	FlowStatus st;

	while (list->nsegs > 0 && list->segs[list->nsegs - 1].start >= pos)
		FLOW_TRY(drop_last(list, keep_dir));
	if (list->nsegs == 0)
		return FLOW_OK;
	seg = &list->segs[list->nsegs - 1];
	if (!seg->head_ok) /* what it holds is behind pos */
		return pos < seg->start + SEG_HEAD_BYTES ? drop_last(list, keep_dir)
												 : FLOW_OK;
	if (pos >= seg->start + seg->size)
		return FLOW_OK;
	FLOW_TRY(keep(list, seg, keep_dir));
	FLOW_TRY(open_segment(list, seg, &file));
	st = wal_zero(env, file,
				  FLOW_MAX(pos - seg->start, (uint64_t) SEG_HEAD_BYTES),
				  seg->size);
	if (st == FLOW_OK)
		st = env->file_sync(file);
	env->file_close(file);
	return st;
}

FlowStatus
flowi_wal_cut(FlowEnv *env, const char *dir, uint64_t pos, const char *keep_dir)
{
	WalList list;
	FlowStatus st;

	FLOW_TRY(wal_list(env, dir, 0, &list));
	guess_heads(&list);
	st = cut(&list, pos, keep_dir);
	wal_list_free(&list);
	return st;
}

/* Write a pad over [from, to) of a segment. */
static FlowStatus
write_pad(FlowEnv *env, FlowFile *file, const WalFound *seg, uint64_t from,
		  uint64_t to)
{
	uint8_t frame[FLOW_WAL_FRAME_BYTES];

	if (to - from < FLOW_WAL_FRAME_BYTES)
		return FLOW_OK; /* the end of a segment that nothing fits into */
	wal_frame_seal(frame, from, 0,
				   (uint32_t) (to - from - FLOW_WAL_FRAME_BYTES), FRAME_PAD,
				   seg->log_id);
	return env->file_write(file, frame, sizeof(frame), from - seg->start);
}

/* Damage inside a segment: its header, or a stretch of frames. */
static FlowStatus
skip_inside(WalList *list, const WalFound *seg, uint64_t from, uint64_t to,
			const char *keep_dir)
{
	FlowEnv *env = list->env;
	uint8_t head[SEG_HEAD_BYTES];
	FlowFile *file;
	FlowStatus st;

	FLOW_TRY(keep(list, seg, keep_dir));
	FLOW_TRY(open_segment(list, seg, &file));
	if (from == seg->start)
	{
		wal_head_encode(head, seg->start, seg->size, seg->log_id);
		st = env->file_write(file, head, SEG_HEAD_BYTES, 0);
	}
	else
		st = write_pad(env, file, seg, from, to);
	if (st == FLOW_OK)
		st = env->file_sync(file);
	env->file_close(file);
	return st;
}

/* A segment that is missing: one that holds nothing takes its place. */
static FlowStatus
skip_missing(WalList *list, uint64_t from, uint64_t to)
{
	FlowEnv *env = list->env;
	WalFound seg = {.start = from, .log_id = list->segs[0].log_id};
	FlowFile *file;
	FlowStatus st;

	seg.size = to - from;
	if (seg.size > SEG_MAX_BYTES || seg.size < SEG_HEAD_BYTES)
		return flowi_fail(FLOW_CORRUPT,
						  "%" PRIu64 " bytes of log are missing in \"%s\"",
						  seg.size, list->dir);
	FLOW_TRY(wal_segment_create(env, list->dir, from, seg.size, seg.log_id,
								NULL, &file));
	st = write_pad(env, file, &seg, from + SEG_HEAD_BYTES, to);
	if (st == FLOW_OK)
		st = env->file_sync(file);
	env->file_close(file);
	return st;
}

FlowStatus
flowi_wal_skip(FlowEnv *env, const char *dir, uint64_t from, uint64_t to,
			   const char *keep_dir)
{
	WalList list;
	const WalFound *seg = NULL;
	FlowStatus st = FLOW_OK;

	FLOW_TRY(wal_list(env, dir, 0, &list));
	guess_heads(&list);
	for (uint32_t i = 0; i < list.nsegs; i++)
	{
		const WalFound *s = &list.segs[i];

		if (from >= s->start && from < s->start + s->size)
			seg = s;
	}
	if (seg)
		st = skip_inside(&list, seg, from, to, keep_dir);
	else if (list.nsegs > 0)
		st = skip_missing(&list, from, to);
	wal_list_free(&list);
	return st;
}
