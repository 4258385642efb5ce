/*-------------------------------------------------------------------------
 * bounds.c
 *	  From the values of the pushed clauses to sorted values by column.
 *
 * Every value is brought into its column's own type and, for a key, encoded;
 * from then on everything is bytes.  A column that is to equal something has
 * points: of several clauses those are left that all of them agree on.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "ranges.h"

/* What is being put together. */
typedef struct Eval
{
	FlowdbScanState *state;
	ExprContext *econtext;
	FlowdbRanges *r;
	bool empty; /* no row can match */
} Eval;

int
flowdb_part_cmp(const FlowdbPart *a, const FlowdbPart *b)
{
	int c = memcmp(a->data, b->data, Min(a->len, b->len));

	if (c != 0)
		return c;
	return a->len < b->len ? -1 : a->len > b->len;
}

bool
flowdb_cond_holds(const FlowdbCond *cond, const FlowdbPart *part)
{
	if (cond->op == FLOWDB_OP_PREFIX)
		return part->len >= cond->part.len &&
			   memcmp(part->data, cond->part.data, cond->part.len) == 0;
	switch (cond->op)
	{
		case FLOWDB_OP_LT:
			return flowdb_part_cmp(part, &cond->part) < 0;
		case FLOWDB_OP_LE:
			return flowdb_part_cmp(part, &cond->part) <= 0;
		case FLOWDB_OP_GE:
			return flowdb_part_cmp(part, &cond->part) >= 0;
		default:
			return flowdb_part_cmp(part, &cond->part) > 0;
	}
}

/* --------------------------------------------------------------- encoding */

/* The bytes of buf in a chunk of their size: there may be a million of them. */
static FlowdbPart
part_of(StringInfo buf)
{
	FlowdbPart part = {palloc((Size) buf->len + 1), (uint32) buf->len};

	memcpy(part.data, buf->data, (Size) buf->len);
	pfree(buf->data);
	return part;
}

/*
 * Bytes of a text or bytea.  No key is longer than FLOW_MAX_KEY, so a value
 * that is compares with every key as its beginning does.
 */
static FlowdbPart
encode_bytes(const FlowdbTable *table, const void *data, Size len, bool end)
{
	StringInfoData buf;

	initStringInfo(&buf);
	flowdb_key_append_bytes(&buf, data, Min(len, (Size) FLOW_MAX_KEY + 1),
							table->nkeys > 1, end);
	return part_of(&buf);
}

static FlowdbPart
encode_varlena(const FlowdbTable *table, Datum value, bool end)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);

	return encode_bytes(table, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), end);
}

FlowdbPart
flowdb_part_encode(const FlowdbTable *table, int column, Datum value)
{
	FlowdbKeyType type = table->keys[column].type;
	StringInfoData buf;

	if (flowdb_key_width(type) == 0)
		return encode_varlena(table, value, true);
	initStringInfo(&buf);
	flowdb_key_append(&buf, type, value, table->nkeys > 1);
	return part_of(&buf);
}

/* ------------------------------------------------------------ key columns */

static void
add_cond(FlowdbKeyValues *k, FlowdbQualOp op, FlowdbPart part)
{
	int room = k->nconds + 1;

	k->conds = k->conds ? repalloc(k->conds, sizeof(FlowdbCond) * room)
						: palloc(sizeof(FlowdbCond) * room);
	k->conds[k->nconds++] = (FlowdbCond){op, part};
}

static int
part_qsort(const void *a, const void *b)
{
	return flowdb_part_cmp(a, b);
}

/* Sort points and drop duplicates. */
static int
sort_points(FlowdbPart *points, int n)
{
	int kept = 0;

	if (n > 1)
		pg_qsort(points, n, sizeof(FlowdbPart), part_qsort);
	for (int i = 0; i < n; i++)
		if (kept == 0 || flowdb_part_cmp(&points[kept - 1], &points[i]) != 0)
			points[kept++] = points[i];
	return kept;
}

/* Sorted points of another clause: keep what is in both. */
static void
meet_points(FlowdbKeyValues *k, FlowdbPart *points, int n)
{
	int kept = 0;
	int j = 0;

	if (!k->has_points)
	{
		k->has_points = true;
		k->points = points;
		k->npoints = n;
		return;
	}
	for (int i = 0; i < k->npoints; i++)
	{
		while (j < n && flowdb_part_cmp(&points[j], &k->points[i]) < 0)
			j++;
		if (j < n && flowdb_part_cmp(&points[j], &k->points[i]) == 0)
			k->points[kept++] = k->points[i];
	}
	k->npoints = kept;
}

/* Drop points that the other clauses exclude, and what no key can be. */
static void
filter_points(FlowdbKeyValues *k)
{
	int kept = 0;

	for (int i = 0; i < k->npoints; i++)
	{
		bool holds = k->points[i].len <= FLOW_MAX_KEY;

		for (int c = 0; c < k->nconds && holds; c++)
			holds = flowdb_cond_holds(&k->conds[c], &k->points[i]);
		if (holds)
			k->points[kept++] = k->points[i];
	}
	k->npoints = kept;
}

/* One comparison with a key column. */
static void
bound_key(Eval *e, int column, FlowdbQualOp op, Datum value, Oid value_type)
{
	const FlowdbTable *table = e->r->table;
	FlowdbKeyType type = table->keys[column].type;
	FlowdbKeyValues *k = &e->r->keys[column];
	int own_op = (int) op;
	Datum own[2];
	FlowdbPart *point;

	switch (flowdb_key_compare(type, &own_op, value, value_type, own))
	{
		case FLOWDB_COMPARED_NONE:
			e->empty = true;
			break;
		case FLOWDB_COMPARED_ALL:
			break;
		case FLOWDB_COMPARED_RANGE:
			add_cond(k, FLOWDB_OP_GE,
					 flowdb_part_encode(table, column, own[0]));
			add_cond(k, FLOWDB_OP_LE,
					 flowdb_part_encode(table, column, own[1]));
			break;
		case FLOWDB_COMPARED_BOUND:
			if (own_op != FLOWDB_OP_EQ)
			{
				add_cond(k, (FlowdbQualOp) own_op,
						 flowdb_part_encode(table, column, own[0]));
				break;
			}
			point = palloc(sizeof(FlowdbPart));
			*point = flowdb_part_encode(table, column, own[0]);
			meet_points(k, point, 1);
			break;
	}
}

/* The beginning of a pattern. */
static void
bound_like(Eval *e, int column, Datum pattern)
{
	const FlowdbTable *table = e->r->table;
	struct varlena *v = PG_DETOAST_DATUM_PACKED(pattern);
	StringInfoData prefix;
	bool wildcard;
	bool rest;

	initStringInfo(&prefix);
	if (flowdb_like_prefix(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), &prefix,
						   &wildcard, &rest))
		add_cond(&e->r->keys[column], FLOWDB_OP_PREFIX,
				 encode_bytes(table, prefix.data, (Size) prefix.len, false));
}

/* ------------------------------------------------------------------- time */

static void
bound_ts(FlowdbTimeValues *t, FlowdbQualOp op, int64 ts, bool *emptyp)
{
	switch (op)
	{
		case FLOWDB_OP_LT:
			if (ts == PG_INT64_MIN)
				*emptyp = true;
			else
				t->hi = Min(t->hi, ts - 1);
			break;
		case FLOWDB_OP_LE:
			t->hi = Min(t->hi, ts);
			break;
		case FLOWDB_OP_GE:
			t->lo = Max(t->lo, ts);
			break;
		case FLOWDB_OP_GT:
			if (ts == PG_INT64_MAX)
				*emptyp = true;
			else
				t->lo = Max(t->lo, ts + 1);
			break;
		default:
			t->lo = Max(t->lo, ts);
			t->hi = Min(t->hi, ts);
			break;
	}
}

static void
bound_time(Eval *e, FlowdbQualOp op, Datum value, Oid value_type)
{
	FlowdbTimeValues *t = &e->r->time;
	int own_op = (int) op;
	int64 own[2];

	switch (flowdb_time_compare(e->r->table->time_type, &own_op, value,
								value_type, own))
	{
		case FLOWDB_COMPARED_NONE:
			e->empty = true;
			break;
		case FLOWDB_COMPARED_ALL:
			break;
		case FLOWDB_COMPARED_RANGE:
			bound_ts(t, FLOWDB_OP_GE, own[0], &e->empty);
			bound_ts(t, FLOWDB_OP_LE, own[1], &e->empty);
			break;
		case FLOWDB_COMPARED_BOUND:
			bound_ts(t, (FlowdbQualOp) own_op, own[0], &e->empty);
			break;
	}
}

/* The same for times; n of another clause, not sorted yet. */
static void
meet_times(FlowdbTimeValues *t, int64 *points, int n)
{
	int kept = 0;
	int j = 0;

	if (n > 1)
		pg_qsort(points, n, sizeof(int64), flowdb_int64_qsort);
	if (!t->has_points)
	{
		for (int i = 0; i < n; i++)
			if (kept == 0 || points[kept - 1] != points[i])
				points[kept++] = points[i];
		t->has_points = true;
		t->points = points;
		t->npoints = kept;
		return;
	}
	for (int i = 0; i < t->npoints; i++)
	{
		while (j < n && points[j] < t->points[i])
			j++;
		if (j < n && points[j] == t->points[i])
			t->points[kept++] = t->points[i];
	}
	t->npoints = kept;
}

/* Let points and bounds of the time narrow each other. */
static void
filter_times(FlowdbTimeValues *t)
{
	int kept = 0;

	if (!t->has_points)
		return;
	for (int i = 0; i < t->npoints; i++)
		if (t->points[i] >= t->lo && t->points[i] <= t->hi)
			t->points[kept++] = t->points[i];
	t->npoints = kept;
	if (kept > 0)
	{
		t->lo = t->points[0];
		t->hi = t->points[kept - 1];
	}
}

/* -------------------------------------------------------------------- ANY */

/* Values of all arms that can equal the column, in its own type. */
typedef struct Points
{
	FlowdbPart *parts; /* of a key column */
	int64 *times;	   /* of the time */
	int n;
	int room;
} Points;

static void
add_point(Eval *e, int target, Points *p, Datum value, Oid value_type)
{
	const FlowdbTable *table = e->r->table;
	bool time = target == FLOWDB_TARGET_TIME;
	int op = FLOWDB_OP_EQ;
	FlowdbCompared result;
	int64 ts[2];
	Datum own[2];

	if (time)
		result =
			flowdb_time_compare(table->time_type, &op, value, value_type, ts);
	else
		result = flowdb_key_compare(table->keys[target].type, &op, value,
									value_type, own);
	if (result == FLOWDB_COMPARED_NONE)
		return;
	if (result != FLOWDB_COMPARED_BOUND || op != FLOWDB_OP_EQ)
		elog(ERROR, "a FlowDB bound on several values is not exact");
	if (time)
		p->times[p->n++] = ts[0];
	else
		p->parts[p->n++] = flowdb_part_encode(table, target, own[0]);
}

static void
reserve_points(Points *p, int target, int more)
{
	Size room = (Size) p->n + (Size) more;

	p->room = (int) room;
	if (target == FLOWDB_TARGET_TIME)
		p->times = p->times ? repalloc_huge(p->times, room * sizeof(int64))
							: palloc(Max(room, 1) * sizeof(int64));
	else
		p->parts = p->parts ? repalloc_huge(p->parts, room * sizeof(FlowdbPart))
							: palloc_extended(Max(room, 1) * sizeof(FlowdbPart),
											  MCXT_ALLOC_HUGE);
}

int
flowdb_array_elements(Datum value, Datum **elementsp, bool **nullsp)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int16 len;
	bool byval;
	char align;
	int n;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, elementsp,
					  nullsp, &n);
	return n;
}

static void
add_array(Eval *e, int target, Points *p, Datum value, Oid value_type)
{
	Datum *elements;
	bool *nulls;
	int n = flowdb_array_elements(value, &elements, &nulls);

	reserve_points(p, target, n);
	for (int i = 0; i < n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			add_point(e, target, p, elements[i], value_type);
	}
	pfree(elements);
	pfree(nulls);
}

static void
bound_any(Eval *e, const FlowdbScanQual *q)
{
	Points p = {0};

	for (int i = 0; i < q->nvalues; i++)
	{
		bool isnull;
		Datum value = ExecEvalExpr(q->values[i], e->econtext, &isnull);

		if (isnull)
			continue;
		if (q->arrays[i])
			add_array(e, q->target, &p, value, q->types[i]);
		else
		{
			reserve_points(&p, q->target, 1);
			add_point(e, q->target, &p, value, q->types[i]);
		}
	}
	if (q->target == FLOWDB_TARGET_TIME)
		meet_times(&e->r->time, p.times, p.n);
	else
		meet_points(&e->r->keys[q->target], p.parts, sort_points(p.parts, p.n));
}

/* ------------------------------------------------------------- evaluation */

/* A clause with one value. */
static void
bound_one(Eval *e, const FlowdbScanQual *q)
{
	bool isnull;
	Datum value = ExecEvalExpr(q->values[0], e->econtext, &isnull);

	if (isnull)
		e->empty = true; /* no comparison with NULL is true */
	else if (q->target == FLOWDB_TARGET_TIME)
		bound_time(e, q->op, value, q->types[0]);
	else if (q->op == FLOWDB_OP_LIKE)
		bound_like(e, q->target, value);
	else if (q->op == FLOWDB_OP_PREFIX)
		add_cond(&e->r->keys[q->target], FLOWDB_OP_PREFIX,
				 encode_varlena(e->r->table, value, false));
	else
		bound_key(e, q->target, q->op, value, q->types[0]);
}

static void
bound_qual(Eval *e, const FlowdbScanQual *q)
{
	if (q->op == FLOWDB_OP_FALSE)
		e->empty = true;
	else if (q->op == FLOWDB_OP_ANY)
		bound_any(e, q);
	else if (q->op > FLOWDB_OP_ROW)
		e->empty = !flowdb_row_eval(e->r, q, e->econtext);
	else
		bound_one(e, q);
}

/* Is there a value left for each column? */
static bool
finish(FlowdbRanges *r)
{
	const FlowdbTable *table = r->table;
	bool ended = false;

	for (int k = 0; k < table->nkeys; k++)
	{
		if (ended && (r->keys[k].has_points || r->keys[k].nconds > 0))
			elog(ERROR, "a FlowDB bound stands behind a range");
		ended |= !r->keys[k].has_points;
		filter_points(&r->keys[k]);
		if (r->keys[k].has_points && r->keys[k].npoints == 0)
			return false;
	}
	filter_times(&r->time);
	return r->time.lo <= r->time.hi &&
		   !(r->time.has_points && r->time.npoints == 0);
}

FlowdbRanges *
flowdb_ranges_eval(FlowdbScanState *state, ExprContext *econtext)
{
	FlowdbRanges *r = palloc0(sizeof(FlowdbRanges));
	int nkeys = state->table->nkeys;
	Eval e = {.state = state, .econtext = econtext, .r = r};

	r->table = state->table;
	r->reverse = state->reverse;
	r->keys = palloc0(sizeof(FlowdbKeyValues) * nkeys);
	r->time.lo = PG_INT64_MIN;
	r->time.hi = PG_INT64_MAX;
	r->levels = palloc0(sizeof(FlowdbLevel) * (nkeys + 1));
	initStringInfo(&r->key);
	initStringInfo(&r->lo);
	initStringInfo(&r->hi);
	for (int q = 0; q < state->nquals && !e.empty; q++)
		bound_qual(&e, &state->quals[q]);
	if (e.empty || !finish(r))
		return NULL;
	flowdb_ranges_rewind(r);
	return r;
}
