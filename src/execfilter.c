/*-------------------------------------------------------------------------
 * execfilter.c
 *	  From the values of a scan's filters to what the engine applies.
 *
 * Every value becomes the number that a vector of its column has
 * (engine/flow.h, FlowFilter).  A date or timestamp beside a column of
 * another such type is brought into the column's own, as for bounds
 * (typecompare.c); integers and floats of all widths compare as they are.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fdw.h"

/* What is known of one filter's column. */
typedef struct FilterColumn
{
	Oid type; /* its base type */
	bool is_float;
	bool is_datetime; /* with values of other such types */
	FlowdbKeyType key;
} FilterColumn;

/* Values of IN, as they are collected. */
typedef struct Numbers
{
	int64 *number;
	Size n;
	Size room;
} Numbers;

/* -------------------------------------------------------------- numbers */

static int64
double_bits(double d)
{
	int64 bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* A value as a vector of its type has it; of floats the bits of a double. */
static int64
number_of(Oid type, Datum value)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
			return (int8) DatumGetChar(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(value);
		case OIDOID:
		case ANYENUMOID:
			return (int32) DatumGetObjectId(value);
		case FLOAT4OID:
			return double_bits((double) DatumGetFloat4(value));
		case FLOAT8OID:
			return double_bits(DatumGetFloat8(value));
		default:
			return DatumGetInt64(value);
	}
}

/* "column *opp value" in the column's own numbers.  NONE and ALL: of the rows
 * that are not NULL. */
static FlowdbCompared
compare_value(const FilterColumn *col, int *opp, Datum value, Oid value_type,
			  int64 *numberp)
{
	bool ne = *opp == FLOWDB_OP_NE;
	FlowdbCompared result;
	Datum own[2];
	int op = ne ? FLOWDB_OP_EQ : *opp;

	if (!col->is_datetime || value_type == col->type)
	{
		*numberp = number_of(value_type, value);
		return FLOWDB_COMPARED_BOUND;
	}
	result = flowdb_key_compare(col->key, &op, value, value_type, own);
	if (result == FLOWDB_COMPARED_RANGE)
		elog(ERROR, "a FlowDB filter is not exact");
	if (ne && result == FLOWDB_COMPARED_NONE)
		return FLOWDB_COMPARED_ALL;
	if (!ne)
		*opp = op;
	*numberp = number_of(col->type, own[0]);
	return result;
}

/* --------------------------------------------------------------- several */

/* The order of FlowFilter: NaN last. */
static int
float_qsort(const void *pa, const void *pb)
{
	double a;
	double b;

	memcpy(&a, pa, sizeof(a));
	memcpy(&b, pb, sizeof(b));
	return float8_cmp_internal(a, b);
}

static void
add_number(Numbers *n, const FilterColumn *col, Datum value, Oid value_type)
{
	int op = FLOWDB_OP_EQ;

	if (compare_value(col, &op, value, value_type, &n->number[n->n]) ==
		FLOWDB_COMPARED_BOUND)
		n->n++;
}

static void
reserve(Numbers *n, Size more)
{
	n->room = n->n + more;
	if (n->number)
		n->number = repalloc_huge(n->number, Max(n->room, 1) * sizeof(int64));
	else
		n->number =
			palloc_extended(Max(n->room, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
}

static void
add_array(Numbers *n, const FilterColumn *col, Datum value, Oid value_type)
{
	Datum *elements;
	bool *nulls;
	int nelements = flowdb_array_elements(value, &elements, &nulls);

	reserve(n, (Size) nelements);
	for (int i = 0; i < nelements; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			add_number(n, col, elements[i], value_type);
	}
	pfree(elements);
	pfree(nulls);
}

/* Equal to one of the values; false: there are none. */
static bool
eval_any(const FlowdbScanQual *q, const FilterColumn *col,
		 ExprContext *econtext, FlowFilter *filter)
{
	int (*compare)(const void *, const void *) =
		col->is_float ? float_qsort : flowdb_int64_qsort;
	Numbers n = {0};
	Size kept = 0;

	for (int i = 0; i < q->nvalues; i++)
	{
		bool isnull;
		Datum value = ExecEvalExpr(q->values[i], econtext, &isnull);

		if (isnull)
			continue;
		if (q->arrays[i])
			add_array(&n, col, value, q->types[i]);
		else
		{
			reserve(&n, 1);
			add_number(&n, col, value, q->types[i]);
		}
	}
	if (n.n > 1)
		pg_qsort(n.number, n.n, sizeof(int64), compare);
	for (Size i = 0; i < n.n; i++)
		if (kept == 0 || compare(&n.number[kept - 1], &n.number[i]) != 0)
			n.number[kept++] = n.number[i];
	filter->op = kept == 1 ? FLOW_FILTER_EQ : FLOW_FILTER_IN;
	filter->nvalues = (uint32) kept;
	filter->values = n.number;
	return kept > 0;
}

/* ------------------------------------------------------------ evaluation */

/* One value; false: no row passes. */
static bool
eval_one(const FlowdbScanQual *q, const FilterColumn *col,
		 ExprContext *econtext, FlowFilter *filter)
{
	int op = (int) q->op;
	int64 *number = palloc(sizeof(int64));
	bool isnull;
	Datum value = ExecEvalExpr(q->values[0], econtext, &isnull);

	if (isnull)
		return false; /* no comparison with NULL is true */
	switch (compare_value(col, &op, value, q->types[0], number))
	{
		case FLOWDB_COMPARED_NONE:
			return false;
		case FLOWDB_COMPARED_ALL:
			filter->op = FLOW_FILTER_NOT_NULL;
			return true;
		default:
			filter->op =
				op == FLOWDB_OP_NE ? FLOW_FILTER_NE : (FlowFilterOp) op;
			filter->nvalues = 1;
			filter->values = number;
			return true;
	}
}

static bool
eval_filter(const FlowdbScanQual *q, const FilterColumn *col,
			ExprContext *econtext, FlowFilter *filter)
{
	switch (q->op)
	{
		case FLOWDB_OP_NULL:
		case FLOWDB_OP_NOT_NULL:
			filter->op = q->op == FLOWDB_OP_NULL ? FLOW_FILTER_NULL
												 : FLOW_FILTER_NOT_NULL;
			return true;
		case FLOWDB_OP_ANY:
			return eval_any(q, col, econtext, filter);
		default:
			return eval_one(q, col, econtext, filter);
	}
}

static void
describe_column(Relation rel, AttrNumber attnum, FilterColumn *col)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	col->type = getBaseType(att->atttypid);
	col->is_float = col->type == FLOAT4OID || col->type == FLOAT8OID;
	col->is_datetime = col->type == DATEOID || col->type == TIMESTAMPOID ||
					   col->type == TIMESTAMPTZOID;
	if (col->is_datetime)
		(void) flowdb_key_type(col->type, &col->key);
}

/* Which of the scan's columns is it?  -1: its rows do not have it. */
static int
find_column(const FlowdbDecoder *dec, AttrNumber attnum)
{
	for (int w = 0; w < dec->nwanted; w++)
		if (dec->layout->columns[dec->wanted[w]].attnum == attnum)
			return w;
	return -1;
}

/*
 * flowdb_filters_eval
 *		Evaluate the scan's filters into state->applied, in the current memory
 *		context; false: no row can pass.
 */
bool
flowdb_filters_eval(FlowdbScanState *state, ExprContext *econtext)
{
	state->napplied = 0;
	state->applied = palloc(sizeof(FlowFilter) * (state->nfilters + 1));
	for (int i = 0; i < state->nfilters; i++)
	{
		const FlowdbScanQual *q = &state->filters[i];
		int column = find_column(state->decoder, (AttrNumber) q->target);
		FlowFilter *filter = &state->applied[state->napplied];
		FilterColumn col;

		if (column < 0)
		{
			/* all rows are older than it: it is NULL */
			if (q->op != FLOWDB_OP_NULL)
				return false;
			continue;
		}
		describe_column(state->rel, (AttrNumber) q->target, &col);
		*filter = (FlowFilter){.column = (uint32) column};
		if (!eval_filter(q, &col, econtext, filter))
			return false;
		state->napplied++;
	}
	return true;
}
