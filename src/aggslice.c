/*-------------------------------------------------------------------------
 * aggslice.c
 *	  Vectors cut into slices of one group.
 *
 * Rows of one key stand together, by rising time, so a slice ends with the key
 * or the bucket.  Each aggregate then takes the slice's part of its column in
 * one loop.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "agggrouping.h"

/* Which columns of the vectors the calls are about. */
void
flowdb_slice_map(FlowdbGrouping *state)
{
	const FlowdbDecoder *dec = state->scan.decoder;

	state->mapped = true;
	for (int i = 0; i < state->ncalls; i++)
	{
		FlowdbAggCall *call = &state->calls[i];

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
set_part(FlowdbGrouping *state, const uint32 *ends)
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
take_key(FlowdbGrouping *state)
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
set_key(FlowdbGrouping *state, const uint8 *key, Size len)
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

/* Is the key of the present prefix?  Bytes alone do not tell: where the only
 * column of a key is a text, one key may begin with another. */
static bool
has_prefix(const FlowdbGrouping *state, const uint8 *key, Size len)
{
	if (state->prefix == state->scan.table->nkeys && len != state->key_len)
		return false;
	return len >= state->prefix_len &&
		   memcmp(state->key, key, state->prefix_len) == 0;
}

/* Does the key come before those that the present passes are about? */
static bool
is_passed(const FlowdbGrouping *state, const uint8 *key, Size len)
{
	int c;

	if (!state->passed)
		return false;
	c = memcmp(key, state->passed, Min(len, state->passed_len));
	return c < 0 || (c == 0 && len < state->passed_len);
}

/*
 * Look at the key of the row, with which a run begins.  False: groups are to
 * be returned first.
 */
static bool
begin_run(FlowdbGrouping *state, const FlowVector *vec, uint32 row)
{
	const uint8 *key = vec->key[row];
	Size len = vec->key_bytes[row];

	if (!state->has_key || state->key_len != len ||
		memcmp(state->key, key, len) != 0)
	{
		if (state->flush == AGG_AT_PREFIX && state->groups.n > 0 &&
			!has_prefix(state, key, len))
			return false;
		set_key(state, key, len);
	}
	state->run_end = find_run_end(vec, row);
	state->run_done = is_passed(state, key, len);
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

void
flowdb_slice_add(FlowdbGrouping *state, FlowdbAggGroup *group,
				 const FlowVector *vec, uint32 row, uint32 end)
{
	uint32 n = end - row;

	for (int i = 0; i < state->ncalls; i++)
	{
		const FlowdbAggCall *call = &state->calls[i];
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
void
flowdb_slice_spans(FlowdbGrouping *state)
{
	const FlowdbScanState *scan = &state->scan;
	FlowdbAggGroup *group;

	if (scan->span_rows == 0)
		return;
	group = flowdb_groups_find(&state->groups, &state->probe);
	for (int i = 0; i < state->ncalls; i++)
	{
		const FlowdbAggCall *call = &state->calls[i];

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
bool
flowdb_slice_find(FlowdbGrouping *state, ForeignScanState *node,
				  const FlowVector *vec, uint32 row, uint32 *endp,
				  FlowdbAggGroup **groupp)
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
