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

#include "fdw.h"

/* Rows of the first vector; LIMIT 1 should not pay for a thousand. */
#define FIRST_ROWS 16
#define GROWTH 4

static void
add_stats(FlowScanStats *sum, const FlowScanStats *s)
{
	sum->rows += s->rows;
	sum->rows_memtable += s->rows_memtable;
	sum->rows_sst += s->rows_sst;
	sum->rows_own += s->rows_own;
	sum->versions_hidden += s->versions_hidden;
	sum->ssts_read += s->ssts_read;
	sum->ssts_skipped += s->ssts_skipped;
	sum->ssts_bloom += s->ssts_bloom;
	sum->blocks_read += s->blocks_read;
	sum->blocks_skipped += s->blocks_skipped;
	sum->cache_hits += s->cache_hits;
}

static void
close_scan(FlowdbScanState *state)
{
	FlowScan *scan = state->scan;

	if (!scan)
		return;
	add_stats(&state->stats, flow_scan_stats(scan));
	state->scan = NULL;
	state->vec = NULL;
	flow_scan_close(scan);
}

static void
scan_callback(void *arg)
{
	close_scan(arg);
}

/* What all scans of this node have read so far. */
void
flowdb_scan_stats(FlowdbScanState *state, FlowScanStats *stats)
{
	*stats = state->stats;
	if (state->scan)
		add_stats(stats, flow_scan_stats(state->scan));
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

static void
init_quals(FlowdbScanState *state, ForeignScanState *node, ForeignScan *plan)
{
	List *targets = list_nth(plan->fdw_private, FLOWDB_SCAN_TARGETS);
	List *ops = list_nth(plan->fdw_private, FLOWDB_SCAN_OPS);
	List *types = list_nth(plan->fdw_private, FLOWDB_SCAN_TYPES);
	int n = list_length(plan->fdw_exprs);

	state->nquals = n;
	state->targets = palloc(sizeof(int) * (n + 1));
	state->ops = palloc(sizeof(FlowdbQualOp) * (n + 1));
	state->types = palloc(sizeof(Oid) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		state->targets[i] = list_nth_int(targets, i);
		state->ops[i] = (FlowdbQualOp) list_nth_int(ops, i);
		state->types[i] = list_nth_oid(types, i);
	}
	state->exprs = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
}

void
flowdbBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	Relation rel = node->ss.ss_currentRelation;
	int flags = linitial_int(list_nth(plan->fdw_private, FLOWDB_SCAN_FLAGS));
	FlowdbScanState *state = palloc0(sizeof(FlowdbScanState));
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	node->fdw_state = state;
	state->table = flowdb_table_get(rel);
	state->reverse = (flags & FLOWDB_SCAN_REVERSE) != 0;
	state->wanted = wanted_columns(
		list_nth(plan->fdw_private, FLOWDB_SCAN_WANTED),
		(flags & FLOWDB_SCAN_ALL_COLUMNS) != 0, RelationGetDescr(rel)->natts);
	init_quals(state, node, plan);
	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	flowdb_refuse_serializable();
	state->db = flowdb_database(state->table->serverid);
	state->bounds_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB bounds", ALLOCSET_SMALL_SIZES);
	state->callback.func = scan_callback;
	state->callback.arg = state;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &state->callback);
}

/* ----------------------------------------------------------------- iterate */

/* The layout of the store's rows; false: the store has not begun. */
static bool
init_decoder(FlowdbScanState *state, ForeignScanState *node)
{
	Relation rel = node->ss.ss_currentRelation;
	MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);
	FlowdbLayout *layout = flowdb_layout_read(rel, state->table, state->db);

	if (layout->exists)
		state->decoder =
			flowdb_decoder_create(rel, state->table, layout, state->wanted);
	else
		pfree(layout);
	MemoryContextSwitchTo(old);
	return state->decoder != NULL;
}

/*
 * Open the scan with the bounds of this moment.  The private buffer is taken
 * once: it belongs to the transaction, and what is written after the
 * snapshot was taken is not visible to it anyway.
 */
static void
start_scan(FlowdbScanState *state, ForeignScanState *node)
{
	EState *estate = node->ss.ps.state;
	Snapshot snapshot = estate->es_snapshot;
	FlowScanSpec spec = {0};

	state->started = true;
	state->finished = true;
	state->want = FIRST_ROWS;
	state->next = 0;
	if (!state->decoder && !init_decoder(state, node))
		return;
	if (!flowdb_bounds_eval(state, node->ss.ps.ps_ExprContext, &spec))
		return;
	spec.store_id = state->decoder->layout->store_id;
	spec.reverse = state->reverse;
	spec.keys_only = state->decoder->nwanted == 0;
	spec.now = flowdb_statement_now();
	spec.visible = flowdb_visible;
	spec.visible_arg = snapshot;
	spec.own = flowdb_xact_buffer(state->table->serverid);
	spec.own_cid = snapshot->curcid;
	flowdb_announce_reader();
	flowdb_try(flow_scan_open(state->db, &spec, &state->scan));
	state->finished = false;
}

/* The next vector; false at the end. */
static bool
fill(FlowdbScanState *state)
{
	FlowStatus st;

	CHECK_FOR_INTERRUPTS();
	state->vec = NULL;
	while ((st = flow_scan_next(state->scan, state->want, &state->vec)) ==
		   FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	flowdb_report(st);
	if (st != FLOW_OK)
	{
		state->finished = true;
		close_scan(state);
		return false;
	}
	state->next = 0;
	state->want = Min(state->want * GROWTH, FLOW_VECTOR_ROWS);
	return true;
}

TupleTableSlot *
flowdbIterateForeignScan(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (!state->started)
		start_scan(state, node);
	while (!state->vec || state->next >= state->vec->nrows)
		if (state->finished || !fill(state))
			return slot;
	flowdb_decode(state->decoder, state->vec, state->next++, slot->tts_values,
				  slot->tts_isnull);
	return ExecStoreVirtualTuple(slot);
}

/* Parameters may have changed: begin anew with their present values. */
void
flowdbReScanForeignScan(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;

	close_scan(state);
	state->started = false;
	state->finished = false;
}

void
flowdbEndForeignScan(ForeignScanState *node)
{
	if (node->fdw_state)
		close_scan(node->fdw_state);
}
