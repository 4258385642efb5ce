/*-------------------------------------------------------------------------
 * aggexec.c
 *	  Running a grouping in the engine.
 *
 * Groups that can get no more rows are returned before more is read: when the
 * leading key columns that are grouped by change, or with the group where rows
 * come in the order of groups.
 *
 * Memory for groups is bounded, as that of a hash table of the executor's.
 * When it is used up, groups of a partial aggregate are returned and may come
 * again.  Others have to be complete: the rows are read in several passes then,
 * each for the groups in a range of hashes.  The planner does not choose us
 * when it foresees that.  Only an ordered window is as large as it is.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "agggrouping.h"

/* ------------------------------------------------------------------- begin */

static void
init_items(FlowdbGrouping *state, const ForeignScan *plan)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *items = list_nth(more, FLOWDB_AGG_ITEMS);
	int n = list_length(items) / 3;

	state->nitems = n;
	state->items = palloc(sizeof(FlowdbAggItem) * (Size) (n + 1));
	state->calls = palloc0(sizeof(FlowdbAggCall) * (Size) (n + 1));
	state->ops = palloc0(sizeof(FlowAggOp) * (Size) (n + 1));
	for (int i = 0; i < n; i++)
	{
		FlowdbAggItem *item = &state->items[i];

		item->kind = (FlowdbAggItemKind) list_nth_int(items, 3 * i);
		item->number = list_nth_int(items, 3 * i + 1);
		item->attnum = (AttrNumber) list_nth_int(items, 3 * i + 2);
		if (item->kind == FLOWDB_AGG_KEY)
			state->keys = bms_add_member(state->keys, item->number);
		if (item->kind != FLOWDB_AGG_CALL)
			continue;
		state->calls[state->ncalls].function =
			&flowdb_agg_functions[item->number];
		flowdb_agg_check_execute(flowdb_agg_functions[item->number].oid);
		state->calls[state->ncalls].attnum = item->attnum;
		state->ops[state->ncalls] = flowdb_agg_functions[item->number].op;
		item->number = state->ncalls++;
	}
}

/* Where a call's values come from, but for columns, which need the store. */
static void
init_source(FlowdbGrouping *state, FlowdbAggCall *call)
{
	const FlowdbTable *table = state->scan.table;
	bool count = call->function->result == FLOWDB_RESULT_COUNT;

	call->least = call->function->op == FLOW_AGG_MIN_INT;
	call->source = AGG_NOTHING;
	if (call->attnum == 0)
		call->source = AGG_ROWS;
	else if (call->attnum == table->time_attnum)
		call->source = count ? AGG_ROWS : AGG_TIME;
	for (int i = 0; i < table->nkeys; i++)
		if (call->attnum == table->keys[i].attnum)
		{
			call->source = count ? AGG_ROWS : AGG_KEY;
			call->column = (uint32) i;
		}
	state->scan.spans &= call->source == AGG_ROWS || call->source == AGG_TIME;
	state->needs_keys |= call->source == AGG_TIME || call->source == AGG_KEY;
	state->takes_keys |= call->source == AGG_KEY;
	state->scan.reads_times |= call->source == AGG_TIME;
}

static void
init_grouping(FlowdbGrouping *state, ForeignScanState *node,
			  const ForeignScan *plan)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *how = list_nth(more, FLOWDB_AGG_HOW);
	const FlowdbTable *table = state->scan.table;
	FlowdbBucketKind kind = (FlowdbBucketKind) linitial_int(how);
	bool by_prefix_only = lthird_int(how) != 0;
	List *args = list_copy_tail(
		plan->fdw_exprs,
		list_length(list_nth(plan->fdw_private, FLOWDB_SCAN_TYPES)));

	state->prefix = lsecond_int(how);
	state->partial = list_nth_int(how, 4) != 0;
	state->grouped = state->keys || kind != FLOWDB_BUCKET_NONE;
	state->needs_keys |= state->grouped;
	state->takes_keys |= state->keys != NULL;
	state->scan.reads_keys = state->needs_keys;
	state->scan.reads_times |= kind != FLOWDB_BUCKET_NONE;
	state->flush =
		state->keys && state->prefix > 0 ? AGG_AT_PREFIX : AGG_AT_END;
	if (state->grouped && ((by_prefix_only && kind == FLOWDB_BUCKET_NONE) ||
						   (state->prefix == table->nkeys &&
							flowdb_bucket_rises(kind, table->time_type))))
		state->flush = AGG_AT_GROUP;
	flowdb_order_init(&state->order, plan, kind, args);
	Assert(!state->partial || state->order.direction == FLOWDB_AGG_ANYHOW);
	if (state->order.direction != FLOWDB_AGG_ANYHOW)
		state->flush = AGG_AT_END;
	flowdb_bucket_init(&state->bucket, kind, table->time_type,
					   linitial_oid(list_nth(more, FLOWDB_AGG_BUCKET_FUNCTION)),
					   args, &node->ss.ps);
	flowdb_groups_init(&state->groups, state->ncalls, state->ops);
	initStringInfo(&state->part);
}

Index
flowdb_agg_relation(const ForeignScan *plan)
{
	return (Index) bms_singleton_member(FLOWDB_SCAN_RELIDS(plan));
}

void
flowdb_agg_begin(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	FlowdbGrouping *state = palloc0(sizeof(FlowdbGrouping));
	Relation rel = FLOWDB_RANGE_TABLE_RELATION(node->ss.ps.state,
											   flowdb_agg_relation(plan));

	node->fdw_state = state;
	flowdb_scan_init(&state->scan, node, rel, eflags);
	state->scan.all_rows = true;
	state->scan.spans = true;
	flowdb_agg_check_clauses(list_nth(
		list_nth(plan->fdw_private, FLOWDB_SCAN_MORE), FLOWDB_AGG_CLAUSES));
	init_items(state, plan);
	for (int i = 0; i < state->ncalls; i++)
		init_source(state, &state->calls[i]);
	init_grouping(state, node, plan);
	state->scan.spans &= !state->grouped;
}

/* Read the rows again, for other groups or for less of them. */
static void
begin_pass(FlowdbGrouping *state)
{
	flowdb_scan_again(&state->scan);
	state->has_key = false;
	state->run_end = 0;
	state->passes++;
}

/*
 * Groups have used up their memory.  False: they are to be returned.  Under
 * AGG_AT_PREFIX those of the present prefix are there; what comes behind it is
 * in the same passes.
 */
static bool
make_room(FlowdbGrouping *state)
{
	if (state->groups.n < 2 || state->flush == AGG_AT_GROUP)
		return true;
	if (state->partial)
		return false;
	if (state->order.direction != FLOWDB_AGG_ANYHOW ||
		!flowdb_groups_split(&state->groups))
		return true;
	if (state->flush == AGG_AT_PREFIX)
	{
		state->flush = AGG_AT_END;
		state->passed_len = state->prefix_len;
		state->passed = MemoryContextAlloc(GetMemoryChunkContext(state),
										   state->prefix_len + 1);
		memcpy(state->passed, state->key, state->prefix_len);
	}
	begin_pass(state);
	return true;
}

/* Read until there are groups to return, or no more rows. */
static void
fill_groups(FlowdbGrouping *state, ForeignScanState *node)
{
	while (flowdb_scan_vector(&state->scan, node))
	{
		const FlowVector *vec = state->scan.vec;
		FlowdbAggGroup *group;
		uint32 end;

		if (!state->mapped)
			flowdb_slice_map(state);
		if (state->scan.next == 0)
			state->run_end = 0;
		if (!flowdb_slice_find(state, node, vec, state->scan.next, &end,
							   &group))
			return;
		if (group)
			flowdb_slice_add(state, group, vec, state->scan.next, end);
		state->scan.next = end;
		if (state->groups.bytes > state->groups.most_bytes && !make_room(state))
			return;
	}
	if (flowdb_groups_next_pass(&state->groups))
	{
		begin_pass(state);
		return;
	}
	state->ended = true;
	flowdb_slice_spans(state);
	if (!state->grouped && state->groups.n == 0)
		(void) flowdb_groups_find(&state->groups, &state->probe);
}

/* The groups of the next window that has any, in order. */
static void
fill_window(FlowdbGrouping *state, ForeignScanState *node)
{
	double bytes = state->order.begun ? state->last_bytes : 0;

	do
	{
		state->ended = !flowdb_order_next(&state->order, &state->bucket,
										  &state->scan, node, bytes);
		if (state->ended)
			return;
		fill_groups(state, node);
		state->ended = false;
		bytes = flowdb_groups_bytes(state->groups.n, state->ncalls,
									(double) state->key_len);
	} while (state->groups.n == 0);
	state->last_bytes = bytes;
	flowdb_groups_sort(&state->groups, state->order.direction);
}

static void
fill(FlowdbGrouping *state, ForeignScanState *node)
{
	if (state->order.direction != FLOWDB_AGG_ANYHOW)
		fill_window(state, node);
	else
		while (!state->ended && state->groups.n == 0)
			fill_groups(state, node);
}

/*
 * The same by the time zone that the session had at first: a cursor may be
 * fetched from after it was changed, and buckets must not.
 */
static void
fill_zoned(FlowdbGrouping *state, ForeignScanState *node)
{
	pg_tz *zone = session_timezone;

	if (!state->zone)
		state->zone = zone;
	if (state->zone == zone)
	{
		fill(state, node);
		return;
	}
	session_timezone = state->zone;
	PG_TRY();
	{
		fill(state, node);
	}
	PG_FINALLY();
	{
		session_timezone = zone;
	}
	PG_END_TRY();
}

/* ------------------------------------------------------------------ results */

static Datum
call_result(const FlowdbGrouping *state, const FlowdbAggCall *call,
			const FlowAgg *agg, bool *nullp)
{
	if (call->source != AGG_TIME)
		return state->partial ? flowdb_agg_state(call->function, agg, nullp)
							  : flowdb_agg_result(call->function, agg, nullp);
	*nullp = agg->n == 0;
	return *nullp
			   ? (Datum) 0
			   : flowdb_decode_time(agg->u.num, state->scan.table->time_type);
}

/* A group as a row of fdw_scan_tlist. */
static void
show_group(FlowdbGrouping *state, const FlowdbAggGroup *group,
		   TupleTableSlot *slot)
{
	const Datum *keys = NULL;
	const uint32 *ends;

	if (state->keys)
		keys = flowdb_decode_key(state->scan.decoder, group->key,
								 group->key_len, &ends);
	for (int i = 0; i < state->nitems; i++)
	{
		const FlowdbAggItem *item = &state->items[i];
		bool *nullp = &slot->tts_isnull[i];
		Datum *valuep = &slot->tts_values[i];

		*nullp = false;
		switch (item->kind)
		{
			case FLOWDB_AGG_KEY:
				*valuep = keys[item->number];
				break;
			case FLOWDB_AGG_BUCKET:
				*nullp = group->bucket_null;
				*valuep = flowdb_bucket_datum(&state->bucket, group->bucket);
				break;
			case FLOWDB_AGG_CALL:
				*valuep = call_result(state, &state->calls[item->number],
									  &group->aggs[item->number], nullp);
				break;
		}
	}
}

TupleTableSlot *
flowdb_agg_iterate(ForeignScanState *node)
{
	FlowdbGrouping *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (!state->ready)
	{
		flowdb_groups_forget(&state->groups);
		fill_zoned(state, node);
		state->ready = state->groups.first;
		if (!state->ready)
			return slot;
	}
	show_group(state, state->ready, slot);
	state->ready = state->ready->next;
	return ExecStoreVirtualTuple(slot);
}

/* Begin anew, with the present values of parameters that have changed. */
void
flowdb_agg_rescan(ForeignScanState *node)
{
	FlowdbGrouping *state = node->fdw_state;

	flowdb_scan_restart(&state->scan, node);
	flowdb_groups_forget(&state->groups);
	flowdb_bucket_restart(&state->bucket);
	flowdb_order_restart(&state->order);
	flowdb_groups_all(&state->groups);
	if (state->passed)
	{
		pfree(state->passed);
		state->passed = NULL;
		state->flush = AGG_AT_PREFIX;
	}
	state->ready = NULL;
	state->zone = NULL;
	state->ended = false;
	state->has_key = false;
}

uint64
flowdb_agg_passes(const ForeignScanState *node)
{
	return ((const FlowdbGrouping *) node->fdw_state)->passes;
}

uint64
flowdb_agg_windows(const ForeignScanState *node)
{
	return ((const FlowdbGrouping *) node->fdw_state)->order.windows;
}
