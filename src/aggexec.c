/*-------------------------------------------------------------------------
 * aggexec.c
 *	  Running a grouping in the engine.
 *
 * A vector is cut into slices of one group: rows of one key stand together,
 * by rising time, so a slice ends with the key or the bucket.  Each aggregate
 * then takes the slice's part of its column in one loop.  Groups that can get
 * no more rows are returned before more is read: when the leading key columns
 * that are grouped by change, or with the group where rows come in the order
 * of groups.
 *
 * Memory for groups is bounded, as that of a hash table of the executor's.
 * When it is used up, groups of a partial aggregate are returned and may come
 * again.  Others have to be complete: the rows are read in several passes then,
 * each for the groups in a range of hashes.  The planner does not choose us
 * when it foresees that.  Only an ordered window is as large as it is.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "agg.h"

/* Where the values of a call come from. */
typedef enum AggSource
{
	AGG_ROWS,	 /* rows are counted */
	AGG_COLUMN,	 /* a column of the vectors */
	AGG_NOTHING, /* a column that the store does not have: NULL */
	AGG_TIME,
	AGG_KEY
} AggSource;

typedef struct AggCall
{
	const FlowdbAggFunction *function;
	AggSource source;
	uint32 column; /* AGG_COLUMN: of the vectors; AGG_KEY: of the key */
	AttrNumber attnum;
	bool least;		  /* AGG_TIME, AGG_KEY: minimum, else maximum */
	int64 key_number; /* AGG_KEY: of the present key */
} AggCall;

/* When groups are returned, but for the end. */
typedef enum AggFlush
{
	AGG_AT_END,
	AGG_AT_PREFIX, /* when a column of the prefix changes */
	AGG_AT_GROUP   /* when the group does */
} AggFlush;

/* State of one node; in ForeignScanState.fdw_state. */
typedef struct Grouping
{
	FlowdbScanState scan; /* first */

	/* constant after begin */
	int nitems;
	FlowdbAggItem *items;
	int ncalls;
	AggCall *calls;
	FlowAggOp *ops;
	int prefix;
	bool partial;	 /* calls return states, and groups may come twice */
	bool grouped;	 /* else there is one group, also without rows */
	bool needs_keys; /* slices are of one key */
	bool takes_keys; /* what a key consists of matters */
	Bitmapset *keys; /* numbers of columns that are grouped by */
	AggFlush flush;	 /* of the first pass; then at the end */

	FlowdbBucket bucket;
	FlowdbAggOrder order; /* by which all of the below is done a window */
	FlowdbAggGroups groups;
	FlowdbAggGroup *ready; /* to be returned next */
	bool mapped;		   /* calls know their columns */
	bool ended;			   /* no more rows */
	uint64 passes;		   /* begun beyond the first ones, all loops */
	double last_bytes;	   /* that the groups of the last window took */
	pg_tz *zone;		   /* the session's, when the scan began */

	/* the key of the rows at hand */
	bool has_key;
	uint8 *key;
	Size key_len;
	Size key_room;
	Size prefix_len;
	uint32 run_end; /* row of the vector where another key begins */
	bool run_done;	/* its groups were returned in an earlier pass */
	uint8 *passed;	/* keys before it were; NULL: none */
	Size passed_len;
	FlowdbAggGroup probe;
	StringInfoData part;
} Grouping;

/* ------------------------------------------------------------------- begin */

static void
init_items(Grouping *state, const ForeignScan *plan)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *items = list_nth(more, FLOWDB_AGG_ITEMS);
	int n = list_length(items) / 3;

	state->nitems = n;
	state->items = palloc(sizeof(FlowdbAggItem) * (Size) (n + 1));
	state->calls = palloc0(sizeof(AggCall) * (Size) (n + 1));
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
init_source(Grouping *state, AggCall *call)
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
init_grouping(Grouping *state, ForeignScanState *node, const ForeignScan *plan)
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
	Grouping *state = palloc0(sizeof(Grouping));
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

/* Which columns of the vectors the calls are about. */
static void
map_columns(Grouping *state)
{
	const FlowdbDecoder *dec = state->scan.decoder;

	state->mapped = true;
	for (int i = 0; i < state->ncalls; i++)
	{
		AggCall *call = &state->calls[i];

		for (int w = 0; w < dec->nwanted; w++)
			if (call->source == AGG_NOTHING &&
				dec->layout->columns[dec->wanted[w]].attnum == call->attnum)
			{
				call->source = AGG_COLUMN;
				call->column = (uint32) w;
			}
	}
}

/* -------------------------------------------------------------------- keys */

/*
 * Do the rows have the same bytes as their key?  Rows of one key do as a rule;
 * other keys may begin at the same place: behind an empty one stands the next.
 */
static inline bool
shares_key(const FlowVector *vec, uint32 a, uint32 b)
{
	return vec->key[a] == vec->key[b] && vec->key_bytes[a] == vec->key_bytes[b];
}

/* Where the run of rows ends that share the row's key. */
static uint32
find_run_end(const FlowVector *vec, uint32 row)
{
	uint32 lo = row; /* has it */
	uint32 hi = vec->nrows;
	uint32 step = 1;

	if (shares_key(vec, row, hi - 1))
		return hi;
	while (lo + step < hi && shares_key(vec, row, lo + step))
	{
		lo += step;
		step *= 2;
	}
	hi = Min(hi, lo + step);
	while (lo + 1 < hi)
	{
		uint32 mid = lo + (hi - lo) / 2;

		if (shares_key(vec, row, mid))
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

/* The bytes of the key that are grouped by, and their hash. */
static void
set_part(Grouping *state, const uint32 *ends)
{
	int i = -1;

	if (bms_num_members(state->keys) == state->scan.table->nkeys)
	{
		state->probe.part = state->key;
		state->probe.part_len = (uint32) state->key_len;
	}
	else
	{
		resetStringInfo(&state->part);
		while ((i = bms_next_member(state->keys, i)) >= 0)
		{
			uint32 from = i > 0 ? ends[i - 1] : 0;

			appendBinaryStringInfo(&state->part,
								   (const char *) state->key + from,
								   (int) (ends[i] - from));
		}
		state->probe.part = (const uint8 *) state->part.data;
		state->probe.part_len = (uint32) state->part.len;
	}
	state->probe.part_hash =
		hash_bytes(state->probe.part, (int) state->probe.part_len);
}

/* Take the key apart. */
static void
take_key(Grouping *state)
{
	const uint32 *ends;
	const Datum *values = flowdb_decode_key(state->scan.decoder, state->key,
											state->key_len, &ends);

	for (int i = 0; i < state->ncalls; i++)
		if (state->calls[i].source == AGG_KEY)
			state->calls[i].key_number = (int64) values[state->calls[i].column];
	state->prefix_len = state->prefix > 0 ? ends[state->prefix - 1] : 0;
	state->probe.key = state->key;
	state->probe.key_len = (uint32) state->key_len;
	set_part(state, ends);
}

/* Go to a new key. */
static void
set_key(Grouping *state, const uint8 *key, Size len)
{
	if (len > state->key_room || !state->key)
	{
		state->key_room = Max(2 * len, 64);
		state->key = state->key
						 ? repalloc(state->key, state->key_room)
						 : MemoryContextAlloc(GetMemoryChunkContext(state),
											  state->key_room);
	}
	if (len > 0)
		memcpy(state->key, key, len);
	state->key_len = len;
	state->has_key = true;
	if (state->takes_keys)
		take_key(state);
}

/*
 * Look at the key of the row, with which a run begins.  False: groups are to
 * be returned first.
 */
static bool
begin_run(Grouping *state, const FlowVector *vec, uint32 row)
{
	const uint8 *key = vec->key[row];
	Size len = vec->key_bytes[row];

	if (!state->has_key || state->key_len != len ||
		memcmp(state->key, key, len) != 0)
	{
		if (state->flush == AGG_AT_PREFIX && state->groups.n > 0 &&
			(len < state->prefix_len ||
			 memcmp(state->key, key, state->prefix_len) != 0))
			return false;
		set_key(state, key, len);
	}
	state->run_end = find_run_end(vec, row);
	state->run_done = state->passed && memcmp(key, state->passed,
											  Min(len, state->passed_len)) < 0;
	return true;
}

/* ------------------------------------------------------------------ slices */

/* The first row behind those with times up to last; row is one of them. */
static uint32
find_time_end(const FlowVector *vec, uint32 row, uint32 end, int64 last)
{
	uint32 lo = row;
	uint32 hi = end;
	uint32 step = 1;

	if (vec->ts[end - 1] <= last)
		return end;
	while (lo + step < hi && vec->ts[lo + step] <= last)
	{
		lo += step;
		step *= 2;
	}
	hi = Min(hi, lo + step);
	while (lo + 1 < hi)
	{
		uint32 mid = lo + (hi - lo) / 2;

		if (vec->ts[mid] <= last)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

static void
take_number(FlowAgg *agg, bool least, int64 number, uint64 n)
{
	if (agg->n == 0 || (least ? number < agg->u.num : number > agg->u.num))
		agg->u.num = number;
	agg->n += n;
}

static void
add_slice(Grouping *state, FlowdbAggGroup *group, const FlowVector *vec,
		  uint32 row, uint32 end)
{
	uint32 n = end - row;

	for (int i = 0; i < state->ncalls; i++)
	{
		const AggCall *call = &state->calls[i];
		FlowAgg *agg = &group->aggs[i];

		switch (call->source)
		{
			case AGG_ROWS:
				agg->n += n;
				break;
			case AGG_COLUMN:
				if (!flow_agg_add(state->ops[i], agg,
								  &vec->columns[call->column], row, n))
					float_overflow_error();
				break;
			case AGG_TIME:
				take_number(agg, call->least,
							vec->ts[call->least ? row : end - 1], n);
				break;
			case AGG_KEY:
				take_number(agg, call->least, call->key_number, n);
				break;
			case AGG_NOTHING:
				break;
		}
	}
}

/* The rows of the scan's spans. */
static void
add_spans(Grouping *state)
{
	const FlowdbScanState *scan = &state->scan;
	FlowdbAggGroup *group;

	if (scan->span_rows == 0)
		return;
	group = flowdb_groups_find(&state->groups, &state->probe);
	for (int i = 0; i < state->ncalls; i++)
	{
		const AggCall *call = &state->calls[i];

		if (call->source == AGG_TIME)
			take_number(&group->aggs[i], call->least,
						call->least ? scan->span_min : scan->span_max,
						scan->span_rows);
		else
			group->aggs[i].n += scan->span_rows;
	}
}

/*
 * The group of the row, and where its slice ends; NULL: it is not of this pass.
 * False: groups are to be returned first.
 */
static bool
find_slice(Grouping *state, ForeignScanState *node, const FlowVector *vec,
		   uint32 row, uint32 *endp, FlowdbAggGroup **groupp)
{
	FlowdbBucket *bucket = &state->bucket;
	FlowdbAggGroup *probe = &state->probe;

	*endp = vec->nrows;
	*groupp = NULL;
	if (state->needs_keys)
	{
		if (row >= state->run_end && !begin_run(state, vec, row))
			return false;
		*endp = state->run_end;
		if (state->run_done)
			return true;
	}
	if (bucket->kind != FLOWDB_BUCKET_NONE)
	{
		if (vec->ts[row] < bucket->first || vec->ts[row] > bucket->last)
			flowdb_bucket_find(bucket, node->ss.ps.ps_ExprContext,
							   vec->ts[row]);
		*endp = find_time_end(vec, row, *endp, bucket->last);
		probe->bucket = bucket->value;
		probe->bucket_null = bucket->null;
	}
	if (state->flush == AGG_AT_GROUP && state->groups.n > 0 &&
		!flowdb_groups_same(&state->groups, probe))
		return false;
	if (flowdb_groups_in_pass(&state->groups, probe))
		*groupp = flowdb_groups_find(&state->groups, probe);
	return true;
}

/* Read the rows again, for other groups or for less of them. */
static void
begin_pass(Grouping *state)
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
make_room(Grouping *state)
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
fill_groups(Grouping *state, ForeignScanState *node)
{
	while (flowdb_scan_vector(&state->scan, node))
	{
		const FlowVector *vec = state->scan.vec;
		FlowdbAggGroup *group;
		uint32 end;

		if (!state->mapped)
			map_columns(state);
		if (state->scan.next == 0)
			state->run_end = 0;
		if (!find_slice(state, node, vec, state->scan.next, &end, &group))
			return;
		if (group)
			add_slice(state, group, vec, state->scan.next, end);
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
	add_spans(state);
	if (!state->grouped && state->groups.n == 0)
		(void) flowdb_groups_find(&state->groups, &state->probe);
}

/* The groups of the next window that has any, in order. */
static void
fill_window(Grouping *state, ForeignScanState *node)
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
fill(Grouping *state, ForeignScanState *node)
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
fill_zoned(Grouping *state, ForeignScanState *node)
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
call_result(const Grouping *state, const AggCall *call, const FlowAgg *agg,
			bool *nullp)
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
show_group(Grouping *state, const FlowdbAggGroup *group, TupleTableSlot *slot)
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
	Grouping *state = node->fdw_state;
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
	Grouping *state = node->fdw_state;

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
	return ((const Grouping *) node->fdw_state)->passes;
}

uint64
flowdb_agg_windows(const ForeignScanState *node)
{
	return ((const Grouping *) node->fdw_state)->order.windows;
}
