/*-------------------------------------------------------------------------
 * bounds.c
 *	  From the values of the pushed clauses to the bounds of a scan.
 *
 * Works on encoded keys: each clause on a key column becomes a range of
 * them, behind the encoded values of the columns that are fixed before it,
 * and the ranges are intersected.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "fdw.h"

typedef struct Bounds
{
	const FlowdbTable *table;
	FlowKeyBound lo;
	FlowKeyBound hi;
	int64 ts_lo; /* both inclusive */
	int64 ts_hi;
	bool empty;
} Bounds;

/* ------------------------------------------------------------------- keys */

static int
compare_bytes(const void *a, Size a_len, const void *b, Size b_len)
{
	int c = memcmp(a, b, Min(a_len, b_len));

	if (c != 0)
		return c;
	return a_len < b_len ? -1 : a_len > b_len;
}

/* No key is longer than FLOW_MAX_KEY: a longer bound can be cut. */
static void
tighten_lo(Bounds *b, const void *key, Size len, bool inclusive)
{
	FlowKeyBound *lo = &b->lo;
	int c;

	if (len > FLOW_MAX_KEY)
	{
		len = FLOW_MAX_KEY;
		inclusive = false;
	}
	c = lo->kind == FLOW_OPEN ? 1
							  : compare_bytes(key, len, lo->key, lo->key_bytes);
	if (c > 0 || (c == 0 && !inclusive))
	{
		lo->kind = inclusive ? FLOW_INCLUSIVE : FLOW_EXCLUSIVE;
		lo->key = key;
		lo->key_bytes = len;
	}
}

static void
tighten_hi(Bounds *b, const void *key, Size len, bool inclusive)
{
	FlowKeyBound *hi = &b->hi;
	int c;

	if (len > FLOW_MAX_KEY)
	{
		len = FLOW_MAX_KEY;
		inclusive = true;
	}
	c = hi->kind == FLOW_OPEN ? -1
							  : compare_bytes(key, len, hi->key, hi->key_bytes);
	if (c < 0 || (c == 0 && !inclusive))
	{
		hi->kind = inclusive ? FLOW_INCLUSIVE : FLOW_EXCLUSIVE;
		hi->key = key;
		hi->key_bytes = len;
	}
}

/* Every key that begins with these bytes: [p, succ(p)). */
static void
tighten_prefix(Bounds *b, const void *p, Size len)
{
	FlowKeyBound lo;
	FlowKeyBound hi;

	flow_prefix_bounds(p, len, &lo, &hi, palloc(Max(len, 1)));
	if (lo.kind != FLOW_OPEN)
		tighten_lo(b, lo.key, lo.key_bytes, lo.kind == FLOW_INCLUSIVE);
	if (hi.kind != FLOW_OPEN)
		tighten_hi(b, hi.key, hi.key_bytes, hi.kind == FLOW_INCLUSIVE);
}

/* Every key behind all that begin with these bytes, or before all of them. */
static void
tighten_beyond(Bounds *b, const void *p, Size len, bool above)
{
	FlowKeyBound lo;
	FlowKeyBound hi;

	flow_prefix_bounds(p, len, &lo, &hi, palloc(Max(len, 1)));
	if (!above)
		tighten_hi(b, hi.key, hi.key_bytes, false);
	else
		tighten_lo(b, hi.key, hi.key_bytes, true);
}

/*
 * One clause on a single key column: the bytes are the key.
 */
static void
bound_single(Bounds *b, FlowdbQualOp op, const void *key, Size len)
{
	switch (op)
	{
		case FLOWDB_OP_EQ:
			if (len > FLOW_MAX_KEY)
				b->empty = true;
			tighten_lo(b, key, len, true);
			tighten_hi(b, key, len, true);
			break;
		case FLOWDB_OP_LT:
		case FLOWDB_OP_LE:
			tighten_hi(b, key, len, op == FLOWDB_OP_LE);
			break;
		case FLOWDB_OP_GT:
		case FLOWDB_OP_GE:
			tighten_lo(b, key, len, op == FLOWDB_OP_GE);
			break;
		case FLOWDB_OP_PREFIX:
			if (len > FLOW_MAX_KEY)
				b->empty = true;
			else
				tighten_prefix(b, key, len);
			break;
		case FLOWDB_OP_TRUE:
			break;
	}
}

/*
 * One clause on a column of several: key is what the fixed columns before it
 * and its value encode to.  The encoding of a whole value ends in 0x00 0x01,
 * so what comes behind it always exists.
 */
static void
bound_part(Bounds *b, FlowdbQualOp op, const void *key, Size len)
{
	switch (op)
	{
		case FLOWDB_OP_EQ:
		case FLOWDB_OP_PREFIX:
			if (len > FLOW_MAX_KEY)
				b->empty = true;
			else
				tighten_prefix(b, key, len);
			break;
		case FLOWDB_OP_LT:
			tighten_hi(b, key, len, false);
			break;
		case FLOWDB_OP_LE:
			tighten_beyond(b, key, len, false);
			break;
		case FLOWDB_OP_GT:
			tighten_beyond(b, key, len, true);
			break;
		case FLOWDB_OP_GE:
			tighten_lo(b, key, len, true);
			break;
		case FLOWDB_OP_TRUE:
			break;
	}
}

/*
 * The clauses on key columns.  Columns are taken in order; the first one
 * that no equality fixes is the last that can be bounded.
 */
static void
bound_keys(Bounds *b, const FlowdbScanState *state, const Datum *values)
{
	const FlowdbTable *table = b->table;
	StringInfoData fixed;
	bool more = true;

	initStringInfo(&fixed);
	for (int k = 0; k < table->nkeys && more; k++)
	{
		int fixed_len = -1;
		StringInfoData next_fixed;

		initStringInfo(&next_fixed);
		for (int q = 0; q < state->nquals; q++)
		{
			StringInfoData key;
			struct varlena *v;

			if (state->targets[q] != k)
				continue;
			v = PG_DETOAST_DATUM_PACKED(values[q]);
			initStringInfo(&key);
			appendBinaryStringInfo(&key, fixed.data, fixed.len);
			flowdb_encode_key_part(table, &key, VARDATA_ANY(v),
								   VARSIZE_ANY_EXHDR(v),
								   state->ops[q] != FLOWDB_OP_PREFIX);
			if (table->nkeys == 1)
				bound_single(b, state->ops[q], key.data, (Size) key.len);
			else
				bound_part(b, state->ops[q], key.data, (Size) key.len);
			if (state->ops[q] == FLOWDB_OP_EQ)
			{
				next_fixed = key;
				fixed_len = key.len;
			}
		}
		more = fixed_len >= 0;
		fixed = next_fixed;
	}
}

/* ------------------------------------------------------------------- time */

/*
 * A timestamptz beyond 64-bit microseconds since 1970 lies between the last
 * finite time and infinity: *beyondp.
 */
static int64
time_value(Datum value, Oid type, bool *beyondp)
{
	int64 us;

	*beyondp = false;
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case TIMESTAMPTZOID:
			*beyondp = !flowdb_time_encode(DatumGetTimestampTz(value), &us);
			return *beyondp ? PG_INT64_MAX : us;
		default:
			elog(ERROR, "unexpected type %u of a time bound", type);
	}
}

static void
bound_time(Bounds *b, FlowdbQualOp op, int64 us, bool beyond)
{
	if (beyond && op == FLOWDB_OP_EQ)
		b->empty = true;
	else if (beyond && op == FLOWDB_OP_GT)
		op = FLOWDB_OP_GE;
	else if (beyond && op == FLOWDB_OP_LE)
		op = FLOWDB_OP_LT;

	if (op == FLOWDB_OP_GT)
	{
		if (us == PG_INT64_MAX)
			b->empty = true;
		else
			b->ts_lo = Max(b->ts_lo, us + 1);
	}
	if (op == FLOWDB_OP_LT)
	{
		if (us == PG_INT64_MIN)
			b->empty = true;
		else
			b->ts_hi = Min(b->ts_hi, us - 1);
	}
	if (op == FLOWDB_OP_GE || op == FLOWDB_OP_EQ)
		b->ts_lo = Max(b->ts_lo, us);
	if (op == FLOWDB_OP_LE || op == FLOWDB_OP_EQ)
		b->ts_hi = Min(b->ts_hi, us);
}

static void
bound_times(Bounds *b, const FlowdbScanState *state, const Datum *values)
{
	for (int q = 0; q < state->nquals; q++)
	{
		bool beyond;
		int64 us;

		if (state->targets[q] != FLOWDB_TARGET_TIME)
			continue;
		us = time_value(values[q], state->types[q], &beyond);
		bound_time(b, state->ops[q], us, beyond);
	}
}

/* -------------------------------------------------------------- evaluation */

static bool
eval_values(FlowdbScanState *state, ExprContext *econtext, Datum *values)
{
	ListCell *lc;
	int q = 0;

	foreach (lc, state->exprs)
	{
		bool isnull;

		values[q++] = ExecEvalExpr((ExprState *) lfirst(lc), econtext, &isnull);
		if (isnull)
			return false; /* no comparison with NULL is true */
	}
	return true;
}

/* The contract is at the declaration; memory is state->bounds_cxt. */
bool
flowdb_bounds_eval(FlowdbScanState *state, ExprContext *econtext,
				   FlowScanSpec *spec)
{
	Bounds b = {
		.table = state->table, .ts_lo = PG_INT64_MIN, .ts_hi = PG_INT64_MAX};
	MemoryContext old;
	Datum *values;

	MemoryContextReset(state->bounds_cxt);
	old = MemoryContextSwitchTo(state->bounds_cxt);
	values = palloc(sizeof(Datum) * (state->nquals + 1));
	if (!eval_values(state, econtext, values))
		b.empty = true;
	else
	{
		bound_keys(&b, state, values);
		bound_times(&b, state, values);
	}
	MemoryContextSwitchTo(old);

	spec->key_lo = b.lo;
	spec->key_hi = b.hi;
	if (b.ts_lo != PG_INT64_MIN)
		spec->ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, b.ts_lo};
	if (b.ts_hi != PG_INT64_MAX)
		spec->ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, b.ts_hi};
	return !b.empty && b.ts_lo <= b.ts_hi;
}
