/*-------------------------------------------------------------------------
 * wal_commit.c
 *	  Commit by groups.
 *
 * Whoever commits and finds nobody leading becomes the leader: takes
 * the whole queue, writes it, syncs when anybody in it asked for that, and
 * wakes all.  No wake-up can be lost: a waiter tests done, failed and leading
 * and goes to sleep in one hold of the monitor, in which alone they change,
 * and every change wakes all.  So a sleeper has a leader that is at work; when
 * that one is through, each sleeper sees its record done or is free to lead,
 * and what came too late for the last group is at the head of the next.
 *
 * At the end of a group all that is written is as durable as its writers
 * asked, since the group was synced if any of them did: done is what readers
 * may see, and a record that need not be synced waits for those before
 * it that must.
 *
 * After a failed write or sync it is not known what is on disk: all who wait
 * get the error, and nothing is admitted any more.  Nothing of it was seen by
 * anybody.  Locks: the monitor, given up during I/O.
 *-------------------------------------------------------------------------
 */
#include "coding.h"
#include "wal_impl.h"

/* What a writer gets whose record was in the log's hands by then. */
static FlowStatus
tell_failure(const FlowWal *wal)
{
	return flowi_fail(wal->failed.status, "%s", wal->failed.message);
}

void
wal_free_group(FlowWal *wal, FlowWalRoom *room)
{
	while (room != NULL)
	{
		FlowWalRoom *next = room->next;

		if (!room->embedded)
			wal->env->free(wal->env, room);
		room = next;
	}
}

/* ------------------------------------------------------------- the leader */

/* A group: what its leader took, and the segments it has to sync. */
typedef struct Group
{
	FlowWalRoom *head;
	uint64_t end;
	bool sync;
} Group;

static FlowStatus
write_out(FlowWal *wal)
{
	size_t n = wal->out_bytes;

	wal->out_bytes = 0;
	if (n == 0)
		return FLOW_OK;
	return wal->env->file_write(wal->out_seg->file, wal->out, n, wal->out_off);
}

/* Write a frame, together with its neighbours where it can be. */
static FlowStatus
write_frame(FlowWal *wal, FlowWalRoom *room)
{
	uint64_t off = room->pos - room->seg->start;

	wal_frame_seal(room->frame, room->pos,
				   flowi_get64(room->frame + FRAME_SYNCED),
				   flowi_get32(room->frame + FRAME_LEN),
				   room->frame[FRAME_KIND], wal->log_id);
	if (wal->out_seg != room->seg || off != wal->out_off + wal->out_bytes ||
		wal->out_bytes + room->bytes > OUT_CAP)
		FLOW_TRY(write_out(wal));
	if (room->bytes > OUT_CAP)
		return wal->env->file_write(room->seg->file, room->frame, room->bytes,
									off);
	if (wal->out_bytes == 0)
	{
		wal->out_seg = room->seg;
		wal->out_off = off;
	}
	memcpy(wal->out + wal->out_bytes, room->frame, room->bytes);
	wal->out_bytes += room->bytes;
	return FLOW_OK;
}

static FlowStatus
file_datasync(FlowEnv *env, FlowFile *file)
{
	return env->file_datasync ? env->file_datasync(file) : env->file_sync(file);
}

/*
 * Sync the dirty segments, oldest first, up to and with last.  Only the leader
 * cleans and closes; release keeps off dirty ones, and the list beyond a dirty
 * one changes by appending only, whose links before last have been seen.
 */
static FlowStatus
sync_segments(FlowWal *wal, WalSegment *dirty, const WalSegment *last)
{
	for (WalSegment *seg = dirty; seg; seg = seg == last ? NULL : seg->next)
	{
		if (seg->dirty)
			FLOW_TRY(file_datasync(wal->env, seg->file));
	}
	return FLOW_OK;
}

/* Take what there is; mon held. */
static Group
take_group(FlowWal *wal, WalSegment **dirtyp, WalSegment **lastp)
{
	Group g = {.head = wal->head, .end = wal->appended};

	g.sync = wal->sync_wanted;
	if (wal->opts.sync_mode == FLOW_SYNC_INTERVAL &&
		wal->env->ticks_us(wal->env) - wal->synced_at >=
			(int64_t) wal->opts.sync_interval_ms * 1000)
		g.sync = true;
	for (FlowWalRoom *room = wal->head; room; room = room->next)
	{
		g.sync |= room->sync;
		room->seg->dirty = true;
	}
	wal->head = wal->tail = NULL;
	wal->sync_wanted = false;
	*dirtyp = wal->first;
	while (*dirtyp && !(*dirtyp)->dirty)
		*dirtyp = (*dirtyp)->next;
	*lastp = wal->cur;
	return g;
}

/* What was synced is clean, and closed when nothing more comes; mon held. */
static void
clean_segments(FlowWal *wal, WalSegment *dirty, const WalSegment *last)
{
	for (WalSegment *seg = dirty; seg; seg = seg == last ? NULL : seg->next)
	{
		seg->dirty = false;
		if (seg == last)
			break;
		wal->env->file_close(seg->file);
		seg->file = NULL;
	}
}

/* Write one group; mon held, and given up meanwhile. */
static void
lead(FlowWal *wal)
{
	FlowEnv *env = wal->env;
	WalSegment *dirty, *last;
	Group g = take_group(wal, &dirty, &last);
	FlowStatus st = FLOW_OK;

	wal->leading = true;
	env->monitor_leave(wal->mon);
	for (FlowWalRoom *room = g.head; st == FLOW_OK && room; room = room->next)
		st = write_frame(wal, room);
	if (st == FLOW_OK)
		st = write_out(wal);
	if (st == FLOW_OK)
		st = FLOW_POINT(env, "wal-written");
	if (st == FLOW_OK && g.sync)
		st = sync_segments(wal, dirty, last);
	wal_free_group(wal, g.head);
	env->monitor_enter(wal->mon);
	if (st == FLOW_OK && g.sync)
	{
		clean_segments(wal, dirty, last);
		wal->synced = g.end;
		wal->synced_at = env->ticks_us(env);
	}
	if (st == FLOW_OK)
		wal->done = g.end;
	else
	{
		wal->failed = *flow_last_error();
		wal->failed.status = st;
	}
	wal->leading = false;
	env->monitor_wake(wal->mon);
}

/* ----------------------------------------------------------------- commit */

FlowStatus
flowi_wal_commit(FlowWal *wal, uint64_t end, uint64_t *visiblep)
{
	FlowStatus st = FLOW_OK;

	wal->env->monitor_enter(wal->mon);
	while (wal->done < end && wal->failed.status == FLOW_OK)
	{
		if (wal->leading)
			wal->env->monitor_wait(wal->mon);
		else
			lead(wal);
	}
	if (wal->done < end)
		st = tell_failure(wal);
	*visiblep = wal->done;
	wal->env->monitor_leave(wal->mon);
	return st;
}

FlowStatus
flowi_wal_sync(FlowWal *wal, uint64_t *visiblep)
{
	uint64_t end;
	FlowStatus st = FLOW_OK;

	wal->env->monitor_enter(wal->mon);
	end = wal->appended;
	while (wal->synced < end && wal->failed.status == FLOW_OK)
	{
		if (wal->leading)
			wal->env->monitor_wait(wal->mon);
		else
		{
			wal->sync_wanted = true;
			lead(wal);
		}
	}
	/* also when all is synced: who asks is about to publish what the log
	 * holds, and what it holds may be in doubt */
	if (wal->failed.status != FLOW_OK)
		st = wal_panic(wal);
	*visiblep = wal->done;
	wal->env->monitor_leave(wal->mon);
	return st;
}
