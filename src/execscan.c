/*-------------------------------------------------------------------------
 * execscan.c
 *	  Running a scan: begin, iterate, rescan, end.
 *
 * Rows come from the engine by vectors and leave as virtual tuples; columns
 * that nobody asked for are NULL.  A scan is opened at its first row and
 * closed at its last, so that what it pins is pinned no longer than needed;
 * after an error a callback of the memory context closes it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "agg.h"
#include "parallel.h"

/* Rows of the first vector; LIMIT 10 should not pay for a thousand. */
#define FIRST_ROWS 16
#define GROWTH 4

void
flowdb_scan_add_stats(FlowScanStats *sum, const FlowScanStats *s)
{
	sum->rows += s->rows;
	sum->rows_memtable += s->rows_memtable;
	sum->rows_sst += s->rows_sst;
	sum->rows_own += s->rows_own;
	sum->versions_hidden += s->versions_hidden;
	sum->ssts_read += s->ssts_read;
	sum->ssts_skipped += s->ssts_skipped;
	sum->ssts_skipped_time += s->ssts_skipped_time;
	sum->ssts_bloom += s->ssts_bloom;
	sum->blocks_read += s->blocks_read;
	sum->blocks_skipped += s->blocks_skipped;
	sum->cache_hits += s->cache_hits;
	sum->rows_filtered += s->rows_filtered;
	sum->rows_skipped += s->rows_skipped;
	sum->blocks_spanned += s->blocks_spanned;
}

void
flowdb_scan_close(FlowdbScanState *state)
{
	FlowScan *scan = state->scan;

	if (!scan)
		return;
	flowdb_scan_add_stats(&state->stats, flow_scan_stats(scan));
	state->scan = NULL;
	state->vec = NULL;
	flow_scan_close(scan);
}

static void
scan_callback(void *arg)
{
	flowdb_scan_close(arg);
	flowdb_share_forget(arg);
}

/* What all scans of this node have read so far. */
void
flowdb_scan_stats(FlowdbScanState *state, FlowScanStats *stats)
{
	*stats = state->stats;
	if (state->scan)
		flowdb_scan_add_stats(stats, flow_scan_stats(state->scan));
}

/* ------------------------------------------------------------------- begin */

static Bitmapset *
wanted_columns(List *attnums, bool all, int natts)
{
	Bitmapset *wanted = NULL;
	ListCell *lc;

	foreach (lc, attnums)
		wanted = bms_add_member(wanted, lfirst_int(lc) -
											FirstLowInvalidHeapAttributeNumber);
	if (all)
		wanted = bms_add_range(wanted, 1 - FirstLowInvalidHeapAttributeNumber,
							   natts - FirstLowInvalidHeapAttributeNumber);
	return wanted;
}

/* A pushed qual of the plan, with the next of its expressions. */
static void
init_qual(FlowdbScanQual *qual, ForeignScanState *node, List *shape, int q,
		  int *at)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	List *types = list_nth(plan->fdw_private, FLOWDB_SCAN_TYPES);
	List *arrays = list_nth(plan->fdw_private, FLOWDB_SCAN_ARRAYS);
	int n = list_nth_int(shape, 3 * q + 2);

	qual->target = list_nth_int(shape, 3 * q);
	qual->op = (FlowdbQualOp) list_nth_int(shape, 3 * q + 1);
	qual->nvalues = n;
	qual->values = palloc(sizeof(ExprState *) * (n + 1));
	qual->types = palloc(sizeof(Oid) * (n + 1));
	qual->arrays = palloc(sizeof(bool) * (n + 1));
	for (int i = 0; i < n; i++, (*at)++)
	{
		qual->values[i] =
			ExecInitExpr(list_nth(plan->fdw_exprs, *at), &node->ss.ps);
		qual->types[i] = list_nth_oid(types, *at);
		qual->arrays[i] = list_nth_int(arrays, *at) != 0;
	}
}

/* All quals of a member of fdw_private; *at: the first's first expression. */
static FlowdbScanQual *
init_quals(ForeignScanState *node, FlowdbScanPrivate member, int *at, int *np)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	List *shape = list_nth(plan->fdw_private, member);
	FlowdbScanQual *quals;

	*np = list_length(shape) / 3;
	quals = palloc(sizeof(FlowdbScanQual) * (*np + 1));
	for (int q = 0; q < *np; q++)
		init_qual(&quals[q], node, shape, q, at);
	return quals;
}

void
flowdb_scan_init(FlowdbScanState *state, ForeignScanState *node, Relation rel,
				 int eflags)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	int flags = linitial_int(list_nth(plan->fdw_private, FLOWDB_SCAN_FLAGS));
	int at = 0;

	state->rel = rel;
	state->table = flowdb_table_get(rel);
	state->reverse = (flags & FLOWDB_SCAN_REVERSE) != 0;
	state->one_row = (flags & FLOWDB_SCAN_ONE_ROW) != 0;
	state->wanted = wanted_columns(
		list_nth(plan->fdw_private, FLOWDB_SCAN_WANTED),
		(flags & FLOWDB_SCAN_ALL_COLUMNS) != 0, RelationGetDescr(rel)->natts);
	state->quals = init_quals(node, FLOWDB_SCAN_QUALS, &at, &state->nquals);
	state->filters =
		init_quals(node, FLOWDB_SCAN_FILTERS, &at, &state->nfilters);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	flowdb_refuse_serializable();
	state->db = flowdb_database(state->table->serverid);
	/* before a worker does it, so that it judges expiry at the same time */
	if (node->ss.ps.state->es_plannedstmt->parallelModeNeeded)
		flowdb_announce_reader();
	state->bounds_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB bounds", ALLOCSET_SMALL_SIZES);
	state->callback.func = scan_callback;
	state->callback.arg = state;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &state->callback);
}

void
flowdbBeginForeignScan(ForeignScanState *node, int eflags)
{
	FlowdbScanState *state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (flowdb_agg_is(node))
	{
		flowdb_agg_begin(node, eflags);
		return;
	}
	state = palloc0(sizeof(FlowdbScanState));
	node->fdw_state = state;
	flowdb_scan_init(state, node, node->ss.ss_currentRelation, eflags);
	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		flowdb_lock_begin(node, state);
}

/* ----------------------------------------------------------------- iterate */

/* The layout of the store's rows; false: the store has not begun. */
static bool
init_decoder(FlowdbScanState *state, ForeignScanState *node)
{
	MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);
	FlowdbLayout *layout =
		flowdb_layout_read(state->rel, state->table, state->db);

	if (layout->exists)
		state->decoder = flowdb_decoder_create(state->rel, state->table, layout,
											   state->wanted);
	else
		pfree(layout);
	MemoryContextSwitchTo(old);
	return state->decoder != NULL;
}

/* The ranges to read; false: there are none.  Those of the last time serve
 * until a parameter changes. */
static bool
eval_ranges(FlowdbScanState *state, ExprContext *econtext)
{
	MemoryContext old;

	if (state->ranges)
		flowdb_ranges_rewind(state->ranges);
	else
	{
		MemoryContextReset(state->bounds_cxt);
		old = MemoryContextSwitchTo(state->bounds_cxt);
		state->ranges = flowdb_ranges_eval(state, econtext);
		if (state->ranges && !flowdb_filters_eval(state, econtext))
			state->ranges = NULL;
		MemoryContextSwitchTo(old);
	}
	return state->ranges != NULL;
}

/*
 * The ranges of this moment, and all of the spec but their bounds.  The private
 * buffer is taken once: it belongs to the transaction, and what is written
 * after the snapshot was taken is not visible to it anyway.
 */
bool
flowdb_scan_prepare(FlowdbScanState *state, ForeignScanState *node)
{
	Snapshot snapshot = node->ss.ps.state->es_snapshot;
	FlowScanSpec *spec = &state->spec;

	if (!state->decoder && !init_decoder(state, node))
		return false;
	if (!eval_ranges(state, node->ss.ps.ps_ExprContext))
		return false;
	memset(spec, 0, sizeof(*spec));
	spec->store_id = state->decoder->layout->store_id;
	spec->reverse = state->reverse;
	flowdb_decoder_want(state->decoder, spec);
	spec->no_keys &= !state->reads_keys;
	spec->no_times &= !state->reads_times;
	spec->spans = state->spans;
	spec->now = flowdb_judge_now(state->db);
	spec->visible = flowdb_visible;
	spec->visible_arg = snapshot;
	spec->own = flowdb_xact_buffer(state->table->serverid);
	spec->own_cid = snapshot->curcid;
	spec->missed = &state->stats;
	spec->filters = state->applied;
	spec->nfilters = (uint32_t) state->napplied;
	flowdb_announce_reader();
	return true;
}

bool
flowdb_scan_start(FlowdbScanState *state, ForeignScanState *node)
{
	state->started = true;
	state->windowed = false;
	state->want = state->all_rows  ? FLOW_VECTOR_ROWS
				  : state->one_row ? 1
								   : FIRST_ROWS;
	state->next = 0;
	state->span_rows = 0;
	state->finished = !flowdb_scan_prepare(state, node);
	if (state->sharer && !state->finished)
		flowdb_share_start(state);
	return !state->finished;
}

void
flowdb_scan_again(FlowdbScanState *state)
{
	Assert(state->started && !state->sharer);
	flowdb_scan_close(state);
	flowdb_ranges_rewind(state->ranges);
	state->vec = NULL;
	state->next = 0;
	state->finished = false;
}

void
flowdb_scan_window(FlowdbScanState *state, int64 lo, int64 hi)
{
	flowdb_scan_again(state);
	state->windowed = true;
	state->window_lo = lo;
	state->window_hi = hi;
}

/* Read the row at the spec's one key and time: its vector is all there is. */
static void
get_point(FlowdbScanState *state)
{
	const FlowScanSpec *spec = &state->spec;
	FlowStatus st;

	while ((st = flow_get(state->db, spec, spec->key_lo.key,
						  spec->key_lo.key_bytes, spec->ts_lo.ts, &state->scan,
						  &state->vec)) == FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	flowdb_decoder_report(state->decoder, st);
	state->single = true;
}

/* Cut the spec's range to the window; false: nothing is left of it. */
static bool
clip_range(FlowdbScanState *state)
{
	FlowTimeBound *lo = &state->spec.ts_lo;
	FlowTimeBound *hi = &state->spec.ts_hi;

	Assert(lo->kind != FLOW_EXCLUSIVE && hi->kind != FLOW_EXCLUSIVE);
	if (state->window_lo != PG_INT64_MIN &&
		(lo->kind == FLOW_OPEN || lo->ts < state->window_lo))
		*lo = (FlowTimeBound){FLOW_INCLUSIVE, state->window_lo};
	if (state->window_hi != PG_INT64_MAX &&
		(hi->kind == FLOW_OPEN || hi->ts > state->window_hi))
		*hi = (FlowTimeBound){FLOW_INCLUSIVE, state->window_hi};
	return lo->kind == FLOW_OPEN || hi->kind == FLOW_OPEN || lo->ts <= hi->ts;
}

/* The next range with its bounds in the spec; false: there is none. */
static bool
next_range(FlowdbScanState *state, bool *pointp)
{
	do
	{
		if (!(state->sharer
				  ? flowdb_share_next(state, pointp)
				  : flowdb_ranges_next(state->ranges, &state->spec, pointp)))
			return false;
	} while (state->windowed && !clip_range(state));
	return true;
}

/* Open the next range; false: there is none.  A point is read at once. */
static bool
open_range(FlowdbScanState *state)
{
	bool point;

	if (!next_range(state, &point))
		return false;
	state->nranges++;
	state->single = false;
	if (point)
		get_point(state);
	else
		flowdb_try(flow_scan_open(state->db, &state->spec, &state->scan));
	return true;
}

/* Add the spans of the vector. */
static void
take_spans(FlowdbScanState *state)
{
	const FlowVector *vec = state->vec;

	if (vec->span_rows == 0)
		return;
	if (state->span_rows == 0)
	{
		state->span_min = vec->span_ts_min;
		state->span_max = vec->span_ts_max;
	}
	state->span_rows += vec->span_rows;
	state->span_min = Min(state->span_min, vec->span_ts_min);
	state->span_max = Max(state->span_max, vec->span_ts_max);
}

/* The next vector of the range that is open; false at its end. */
static bool
next_vector(FlowdbScanState *state)
{
	FlowStatus st;

	state->vec = NULL;
	if (!state->scan || state->single)
		return false;
	while ((st = flow_scan_next(state->scan, state->want, &state->vec)) ==
		   FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	flowdb_decoder_report(state->decoder, st);
	if (st != FLOW_OK)
		return false;
	take_spans(state);
	state->want = Min(state->want * GROWTH, FLOW_VECTOR_ROWS);
	return true;
}

/* The next vector of all ranges; false at the end. */
static bool
fill(FlowdbScanState *state)
{
	do
	{
		CHECK_FOR_INTERRUPTS();
		state->next = 0;
		if (next_vector(state))
			return true;
		flowdb_scan_close(state);
		if (!open_range(state))
		{
			state->finished = true;
			return false;
		}
	} while (!state->vec);
	return true;
}

/* Rows from state->next on, at least one; false: there is none left. */
bool
flowdb_scan_vector(FlowdbScanState *state, ForeignScanState *node)
{
	if (!state->started)
		(void) flowdb_scan_start(state, node);
	while (!state->vec || state->next >= state->vec->nrows)
		if (state->finished || !fill(state))
			return false;
	return true;
}

/* The next row into the node's slot; false: there is none. */
bool
flowdb_scan_next(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if ((!state->vec || state->next >= state->vec->nrows) &&
		!flowdb_scan_vector(state, node))
		return false;
	flowdb_decode(state->decoder, state->vec, state->next++, slot->tts_values,
				  slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	return true;
}

TupleTableSlot *
flowdbIterateForeignScan(ForeignScanState *node)
{
	if (flowdb_agg_is(node))
		return flowdb_agg_iterate(node);
	if (((FlowdbScanState *) node->fdw_state)->lock)
		return flowdb_lock_next(node);
	(void) flowdb_scan_next(node);
	return node->ss.ss_ScanTupleSlot;
}

/* Begin anew, with the present values of parameters that have changed. */
void
flowdb_scan_restart(FlowdbScanState *state, ForeignScanState *node)
{
	flowdb_scan_close(state);
	if (node->ss.ps.chgParam != NULL)
		state->ranges = NULL;
	state->started = false;
	state->finished = false;
}

void
flowdbReScanForeignScan(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;

	if (flowdb_agg_is(node))
	{
		flowdb_agg_rescan(node);
		return;
	}
	flowdb_lock_end(state);
	flowdb_scan_restart(state, node);
}

void
flowdbEndForeignScan(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;

	if (!state)
		return;
	flowdb_lock_end(state);
	flowdb_scan_close(state);
}
