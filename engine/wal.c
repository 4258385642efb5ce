/*-------------------------------------------------------------------------
 * wal.c
 *	  The file log at work: letting records in, appending them.
 *
 * A record takes three steps.  admit, before the database's write lock: its
 * memory, and room in a segment, made when there is none; all that can fail.
 * append, under the write lock: its position, a copy, the end of the queue.
 * commit, after the lock (wal_commit.c): it is on disk.
 *
 * Room: what is admitted but not yet appended (reserved) fits into what is
 * left of the current segment, or else into the next one, which is there.  So
 * append never meets a full log, at most it goes on to the next segment.
 *
 * Bytes: doc/FORMAT.md "File log".  Locks: the monitor, never held during
 * I/O; it is taken under L1 and takes nothing.
 *-------------------------------------------------------------------------
 */
#include "coding.h"
#include "wal_impl.h"

FlowStatus
wal_panic(const FlowWal *wal)
{
	return flowi_fail(FLOW_PANIC, "the log has failed: %s",
					  wal->failed.message);
}

/* --------------------------------------------------------------- segments */

static uint64_t
left_in(const WalSegment *seg, uint64_t pos)
{
	return seg ? seg->start + seg->size - pos : 0;
}

/* Where the segment behind cur begins; mon held. */
static uint64_t
next_start(const FlowWal *wal)
{
	if (wal->cur)
		return wal->cur->start + wal->cur->size;
	return (wal->pos + SEG_ALIGN - 1) & ~(uint64_t) (SEG_ALIGN - 1);
}

static uint64_t
size_for(const FlowWal *wal, uint64_t need)
{
	uint64_t size = SEG_HEAD_BYTES + need;

	size = (size + SEG_ALIGN - 1) & ~(uint64_t) (SEG_ALIGN - 1);
	return FLOW_MAX(size, wal->opts.segment_bytes);
}

/*
 * Make the next segment, with room for need bytes.  mon held, given up
 * meanwhile; preparing keeps others away, and cur is not left while there is
 * no next.
 */
static FlowStatus
prepare_next(FlowWal *wal, uint64_t need)
{
	FlowEnv *env = wal->env;
	uint64_t start = next_start(wal);
	uint64_t size = size_for(wal, need);
	bool recycle = size == wal->opts.segment_bytes && wal->nspares > 0;
	uint64_t spare = recycle ? wal->spares[--wal->nspares] : 0;
	WalSegment *seg;
	FlowStatus st;

	wal->preparing = true;
	env->monitor_leave(wal->mon);
	seg = wal_segment_new(env, start, size);
	if (seg == NULL)
		st = flowi_fail(FLOW_NOMEM, "out of memory");
	else
		st = wal_segment_create(env, wal->dir, start, size, wal->log_id,
								recycle ? &spare : NULL, &seg->file);
	if (st != FLOW_OK)
	{
		wal_segment_free(env, seg);
		seg = NULL;
	}
	env->monitor_enter(wal->mon);
	wal_segment_free(env, wal->next); /* too small: its file was replaced */
	wal->next = seg;
	wal->preparing = false;
	env->monitor_wake(wal->mon);
	return st;
}

FlowStatus
flowi_wal_prepare(FlowWal *wal)
{
	FlowStatus st = FLOW_OK;

	wal->env->monitor_enter(wal->mon);
	if (wal->failed.status == FLOW_OK && !wal->preparing && wal->cur &&
		wal->next == NULL && left_in(wal->cur, wal->pos) < wal->cur->size / 2)
		st = prepare_next(wal, wal->reserved);
	wal->env->monitor_leave(wal->mon);
	return st;
}

/* ------------------------------------------------------------------ admit */

/* Take need bytes of room, by waiting or making some; mon held. */
static FlowStatus
reserve(FlowWal *wal, uint64_t need)
{
	FlowEnv *env = wal->env;
	bool alone = false;
	FlowStatus st = FLOW_OK;

	for (;;)
	{
		uint64_t total = wal->reserved + need;

		if (wal->failed.status != FLOW_OK)
			st = wal_panic(wal);
		else if (wal->preparing || (wal->alone && !alone))
		{
			env->monitor_wait(wal->mon);
			continue;
		}
		else if (total <= left_in(wal->cur, wal->pos) ||
				 (wal->next && total <= wal->next->size - SEG_HEAD_BYTES))
			wal->reserved = total;
		else if (wal->reserved == 0 ||
				 (wal->next == NULL && total <= SEG_MAX_BYTES / 2))
		{
			st = prepare_next(wal, total);
			if (st == FLOW_OK)
				continue;
		}
		else
		{
			/* next must not be changed while others count on it */
			wal->alone = alone = true;
			env->monitor_wait(wal->mon);
			continue;
		}
		break;
	}
	if (alone)
	{
		wal->alone = false;
		env->monitor_wake(wal->mon);
	}
	return st;
}

static bool
wants_sync(const FlowWal *wal, FlowSync sync)
{
	if (sync == FLOW_SYNC_DEFAULT)
		return wal->opts.sync_mode == FLOW_SYNC_ALWAYS;
	return sync == FLOW_SYNC_YES;
}

FlowStatus
flowi_wal_admit(FlowWal *wal, size_t len, FlowSync sync, FlowWalRoom **roomp)
{
	FlowEnv *env = wal->env;
	FlowWalRoom *room;
	uint64_t bytes = wal_frame_bytes(len);
	FlowStatus st;

	*roomp = NULL;
	if (bytes > SEG_MAX_BYTES / 4)
		return flowi_fail(FLOW_INVALID, "log record of %zu bytes is too long",
						  len);
	room = env->alloc(env, sizeof(*room) + (size_t) bytes);
	if (room == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	*room = (FlowWalRoom){.bytes = (size_t) bytes,
						  .cost = bytes,
						  .sync = wants_sync(wal, sync),
						  .frame = (uint8_t *) (room + 1)};
	env->monitor_enter(wal->mon);
	st = reserve(wal, bytes);
	env->monitor_leave(wal->mon);
	if (st == FLOW_OK)
		*roomp = room;
	else
		env->free(env, room);
	return st;
}

void
flowi_wal_leave(FlowWal *wal, FlowWalRoom *room)
{
	if (room == NULL)
		return;
	wal->env->monitor_enter(wal->mon);
	wal->reserved -= room->cost;
	wal->env->monitor_wake(wal->mon);
	wal->env->monitor_leave(wal->mon);
	wal->env->free(wal->env, room);
}

/* ----------------------------------------------------------------- append */

/* Put a frame at pos into the queue; mon held. */
static void
enqueue(FlowWal *wal, FlowWalRoom *room, uint8_t kind, uint32_t len)
{
	room->next = NULL;
	room->seg = wal->cur;
	room->pos = wal->pos;
	/* the checksum is the leader's to make */
	flowi_put64(room->frame + FRAME_SYNCED, wal->synced);
	flowi_put32(room->frame + FRAME_LEN, len);
	room->frame[FRAME_KIND] = kind;
	if (wal->tail)
		wal->tail->next = room;
	else
		wal->head = room;
	wal->tail = room;
	wal->pos += room->bytes;
}

/* Go on in the next segment; mon held. */
static void
switch_segment(FlowWal *wal)
{
	WalSegment *cur = wal->cur;

	FLOW_ASSERT(wal->next != NULL);
	if (cur)
	{
		uint64_t left = left_in(cur, wal->pos);

		if (left >= FLOW_WAL_FRAME_BYTES)
		{
			cur->closer.frame = cur->closer_frame;
			enqueue(wal, &cur->closer, FRAME_PAD,
					(uint32_t) (left - FLOW_WAL_FRAME_BYTES));
		}
		cur->next = wal->next;
	}
	else
		wal->first = wal->next;
	wal->cur = wal->next;
	wal->next = NULL;
	wal->pos = wal->cur->start + SEG_HEAD_BYTES;
}

void
flowi_wal_append(FlowWal *wal, FlowWalRoom *room, const void *rec, size_t len,
				 uint64_t *startp, uint64_t *endp)
{
	FLOW_ASSERT(wal_frame_bytes(len) <= room->cost);
	room->bytes = (size_t) wal_frame_bytes(len);
	memset(room->frame + room->bytes - 8, 0, 8); /* padding */
	memcpy(room->frame + FLOW_WAL_FRAME_BYTES, rec, len);
	wal->env->monitor_enter(wal->mon);
	if (room->bytes > left_in(wal->cur, wal->pos))
		switch_segment(wal);
	wal->reserved -= room->cost;
	*startp = wal->pos;
	enqueue(wal, room, FRAME_RECORD, (uint32_t) len);
	wal->appended = wal->cur->used_end = *endp = wal->pos;
	if (wal->alone)
		wal->env->monitor_wake(wal->mon);
	wal->env->monitor_leave(wal->mon);
}

uint64_t
flowi_wal_bound(FlowWal *wal)
{
	uint64_t pos;

	wal->env->monitor_enter(wal->mon);
	pos = wal->pos;
	wal->env->monitor_leave(wal->mon);
	return pos;
}
