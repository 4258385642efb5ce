/*-------------------------------------------------------------------------
 * rownewest.c
 *	  The newest version of a row that this transaction has locked (S9).
 *
 * A lookup with eyes of its own: what has committed by now is seen, whatever
 * the snapshot, and what this transaction has written, its current command
 * included.  The row lock keeps others from updating the row, but not from
 * inserting it anew, which takes no lock: such a one may have written it and
 * not ended yet.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "flowdb_shmem.h"
#include "rowlock.h"

/* The snapshot sees the version that was found. */
static bool
is_seen(const FlowdbNewestLook *look, const FlowGetInfo *info,
		Snapshot snapshot)
{
	if (snapshot == NULL)
		return false;
	if (info->own)
		return info->cid < snapshot->curcid;
	if (look->accepted && look->seq_first <= info->seq &&
		info->seq <= look->seq_last)
		return look->seen;
	return true; /* settled */
}

static void
close_newest(FlowdbRowNewest *newest)
{
	flow_scan_close(newest->scan);
	newest->scan = NULL;
	newest->vec = NULL;
}

/* One lookup; true: *look has a newer version of somebody in progress. */
static bool
look_up(const FlowdbRowId *row, FlowScanSpec *spec, FlowdbNewestLook *look,
		FlowdbRowNewest *newest)
{
	for (;;)
	{
		Snapshot snapshot = look->snapshot;
		FlowStatus st;

		*look = (FlowdbNewestLook){.snapshot = snapshot};
		st = flow_get(row->db, spec, row->key, row->key_bytes, row->ts,
					  &newest->scan, &newest->vec);
		if (st == FLOW_INTERRUPTED)
		{
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		if (flowdb_error_is_kept())
			close_newest(newest); /* nobody else will */
		flowdb_report(st);
		break;
	}
	return look->pending_xid != 0 &&
		   !(spec->info->found && spec->info->seq > look->pending_seq);
}

void
flowdb_row_newest(const FlowdbRowId *row, Snapshot snapshot, int64 now,
				  const FlowdbRowWait *wait, FlowdbRowNewest *newest)
{
	FlowdbNewestLook look = {.snapshot = snapshot};
	FlowGetInfo info;
	FlowScanSpec spec = {.store_id = row->store_id,
						 .now = now,
						 .visible = flowdb_visible_now,
						 .visible_arg = &look,
						 .own = flowdb_xact_buffer(row->serverid),
						 .own_cid = PG_UINT32_MAX,
						 .info = &info};
	bool seen;

	*newest = (FlowdbRowNewest){.state = FLOWDB_ROW_NONE};
	flowdb_announce_reader();
	while (look_up(row, &spec, &look, newest))
	{
		close_newest(newest);
		if (!flowdb_row_wait(look.pending_xid, wait))
		{
			newest->skipped = true;
			return;
		}
	}
	newest->seen = info.seen;
	if (!info.found)
		return;
	seen = is_seen(&look, &info, snapshot);
	newest->own =
		info.own || (look.accepted && look.own && look.seq_first <= info.seq &&
					 info.seq <= look.seq_last);
	newest->cid = newest->own ? info.cid : InvalidCommandId;
	newest->newer = !newest->own && !seen;
	if (newest->scan != NULL)
		newest->state = seen ? FLOWDB_ROW_SAME : FLOWDB_ROW_CHANGED;
}
