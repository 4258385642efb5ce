/*-------------------------------------------------------------------------
 * wal_open.c
 *	  Open and close the log; release segments, and recycle them.
 *-------------------------------------------------------------------------
 */
#include <xxhash.h>

#include "wal_impl.h"

WalSegment *
wal_segment_new(FlowEnv *env, uint64_t start, uint64_t size)
{
	WalSegment *seg = env->alloc(env, sizeof(*seg));

	if (seg == NULL)
		return NULL;
	*seg = (WalSegment){.start = start, .size = size};
	seg->used_end = start + SEG_HEAD_BYTES;
	seg->closer.embedded = true;
	seg->closer.bytes = FLOW_WAL_FRAME_BYTES;
	return seg;
}

void
wal_segment_free(FlowEnv *env, WalSegment *seg)
{
	if (seg == NULL)
		return;
	env->file_close(seg->file);
	env->free(env, seg);
}

/* ---------------------------------------------------------------- release */

/* Make it a spare, or remove it.  That it comes back after a crash does no
 * harm: replay has no use for it. */
static void
retire(FlowWal *wal, uint64_t start, bool spare)
{
	FlowEnv *env = wal->env;
	char path[FLOW_PATH_BYTES];
	char to[FLOW_PATH_BYTES];

	wal_path(wal->dir, start, "wal", path);
	wal_path(wal->dir, start, "spare", to);
	if (!spare || env->rename(env, path, to) != FLOW_OK)
	{
		(void) env->unlink(env, path);
		return;
	}
	env->monitor_enter(wal->mon);
	if (wal->nspares < MAX_SPARES)
	{
		wal->spares[wal->nspares++] = start;
		spare = false;
	}
	env->monitor_leave(wal->mon);
	if (spare) /* others were faster */
		(void) env->unlink(env, to);
}

void
flowi_wal_release(FlowWal *wal, uint64_t pos)
{
	FlowEnv *env = wal->env;

	for (;;)
	{
		WalSegment *seg;
		bool spare;

		env->monitor_enter(wal->mon);
		seg = wal->first;
		/* in the queue may be no record of it, but the pad at its end */
		if (seg &&
			(seg == wal->cur || seg->dirty || seg->used_end > pos ||
			 seg->used_end > wal->done || (wal->head && wal->head->seg == seg)))
			seg = NULL;
		if (seg)
			wal->first = seg->next;
		spare = seg && seg->size == wal->opts.segment_bytes &&
				wal->nspares < MAX_SPARES;
		env->monitor_leave(wal->mon);
		if (seg == NULL)
			return;
		retire(wal, seg->start, spare);
		wal_segment_free(env, seg);
	}
}

uint64_t
flowi_wal_bytes(FlowWal *wal)
{
	uint64_t bytes = 0;

	wal->env->monitor_enter(wal->mon);
	for (const WalSegment *seg = wal->first; seg; seg = seg->next)
		bytes += seg->size;
	if (wal->next)
		bytes += wal->next->size;
	wal->env->monitor_leave(wal->mon);
	return bytes;
}

/* ---------------------------------------------------------- open and close */

/* What is asked for, within what the format can. */
static uint64_t
segment_bytes_of(const FlowWalOptions *opts)
{
	uint64_t bytes = FLOW_MIN(opts->segment_bytes, SEG_MAX_BYTES / 2);

	return FLOW_MAX(bytes & ~(uint64_t) (SEG_ALIGN - 1), SEG_ALIGN);
}

static FlowStatus
wal_create(FlowEnv *env, const FlowWalOptions *opts, const WalList *list,
		   FlowWal **walp)
{
	FlowWal *wal = env->alloc(env, sizeof(*wal));

	if (wal == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(wal, 0, sizeof(*wal));
	wal->env = env;
	wal->opts = *opts;
	wal->opts.segment_bytes = list->spare_bytes;
	memcpy(wal->dir, list->dir, sizeof(wal->dir));
	memcpy(wal->spares, list->spares, sizeof(wal->spares));
	wal->nspares = list->nspares;
	wal->out = env->alloc(env, OUT_CAP);
	wal->mon = env->monitor_create(env);
	if (wal->out == NULL || wal->mon == NULL)
	{
		env->free(env, wal->out);
		env->monitor_free(env, wal->mon);
		env->free(env, wal);
		return flowi_fail(FLOW_NOMEM, "out of memory");
	}
	*walp = wal;
	return FLOW_OK;
}

/* A number that no other log has. */
static uint64_t
new_log_id(FlowEnv *env, const FlowWal *wal)
{
	static _Atomic uint64_t count;
	uint64_t seed[3] = {(uint64_t) env->now_us(env), (uint64_t) (uintptr_t) wal,
						atomic_fetch_add(&count, 1)};

	return XXH3_64bits(seed, sizeof(seed));
}

static FlowStatus
open_segment_file(const FlowWal *wal, WalSegment *seg)
{
	char path[FLOW_PATH_BYTES];
	FlowStatus st;

	wal_path(wal->dir, seg->start, "wal", path);
	st = wal->env->file_open(wal->env, path, FLOW_O_WRITE, &seg->file);
	if (st == FLOW_NOTFOUND)
		return flowi_fail(FLOW_IOERR, "log segment \"%s\" is gone", path);
	return st;
}

/* The segments of the list, up to tail in use, one behind it as next. */
static FlowStatus
adopt(FlowWal *wal, const WalList *list, const WalTail *tail)
{
	WalSegment **link = &wal->first;

	wal->pos = wal->appended = wal->done = wal->synced = tail->end;
	wal->synced_at = wal->env->ticks_us(wal->env);
	wal->log_id =
		list->nsegs ? list->segs[0].log_id : new_log_id(wal->env, wal);
	for (uint32_t i = 0; i < list->nsegs; i++)
	{
		const WalFound *found = &list->segs[i];
		WalSegment *seg = wal_segment_new(wal->env, found->start, found->size);

		if (seg == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		seg->used_end = found->used_end;
		if (i > tail->seg)
			wal->next = seg;
		else
		{
			*link = seg;
			link = &seg->next;
			wal->cur = seg;
		}
		if (i >= tail->seg)
			FLOW_TRY(open_segment_file(wal, seg));
	}
	return FLOW_OK;
}

static FlowStatus
make_log_dir(FlowEnv *env, const char *db_dir)
{
	char path[FLOW_PATH_BYTES];
	FlowStatus st;

	wal_dir(db_dir, path);
	st = env->mkdir(env, path);
	if (st != FLOW_EXISTS)
		FLOW_TRY(st);
	return env->sync_dir(env, db_dir);
}

FlowStatus
flowi_wal_open(FlowEnv *env, const char *dir, const FlowWalOptions *opts,
			   uint64_t from, FlowLogFn fn, void *arg, FlowWalReport *report,
			   FlowWal **walp)
{
	WalList list;
	WalList live;
	WalTail tail;
	FlowWal *wal = NULL;
	uint32_t nold;
	FlowStatus st;

	*walp = NULL;
	*report = (FlowWalReport){0};
	FLOW_TRY(make_log_dir(env, dir));
	FLOW_TRY(wal_list(env, dir, segment_bytes_of(opts), &list));
	nold = wal_list_old(&list, from);
	live = list;
	live.segs += nold;
	live.nsegs -= nold;
	FLOW_GOTO(wal_replay(&live, from, fn, arg, report, &tail));
	FLOW_GOTO(wal_list_tidy(&live));
	FLOW_GOTO(wal_cut_tail(&live, &tail));
	FLOW_GOTO(wal_create(env, opts, &live, &wal));
	FLOW_GOTO(adopt(wal, &live, &tail));
	for (uint32_t i = 0; i < nold; i++)
		retire(wal, list.segs[i].start,
			   wal->nspares < MAX_SPARES && list.segs[i].head_ok &&
				   list.segs[i].avail == list.spare_bytes);
out:
	wal_list_free(&list);
	if (st == FLOW_OK)
		*walp = wal;
	else if (wal)
		st = flowi_status_merge(st, flowi_wal_close(wal));
	return st;
}

FlowStatus
flowi_wal_close(FlowWal *wal)
{
	FlowEnv *env;
	WalSegment *seg;
	uint64_t visible;
	FlowStatus st;

	if (wal == NULL)
		return FLOW_OK;
	env = wal->env;
	st = flowi_wal_sync(wal, &visible);
	wal_free_group(wal, wal->head); /* of a log that has failed */
	while ((seg = wal->first) != NULL)
	{
		wal->first = seg->next;
		wal_segment_free(env, seg);
	}
	wal_segment_free(env, wal->next);
	env->monitor_free(env, wal->mon);
	env->free(env, wal->out);
	env->free(env, wal);
	return st;
}

FlowStatus
flowi_wal_start(FlowEnv *env, const char *dir, uint64_t *startp)
{
	WalList list;
	FlowStatus st = wal_list(env, dir, 0, &list);

	*startp = 0;
	if (st != FLOW_OK)
		return st;
	if (list.nsegs == 0)
		st = FLOW_NOTFOUND;
	else
		*startp = list.segs[0].start;
	wal_list_free(&list);
	return st;
}
