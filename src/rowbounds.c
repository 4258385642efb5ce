/*-------------------------------------------------------------------------
 * rowbounds.c
 *	  The values of a row comparison, (k, ts) > (a, b).
 *
 * It is followed column by column while rows can equal its values.  It ends
 * at the first value that none can equal, by what that value says about the
 * rows that equal all before it: a value between two of the column's own is
 * just another bound, beyond all of them it lets all or none of these rows
 * through, and beyond NULL is nothing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"

#include "ranges.h"

/* One column's value and what it becomes in the column's own type. */
typedef struct RowColumn
{
	FlowdbCompared result;
	FlowdbQualOp op;
	Datum own;
	int64 ts;
} RowColumn;

static void
compare_column(const FlowdbTable *table, int column, FlowdbQualOp op,
			   Datum value, Oid type, RowColumn *c)
{
	int own_op = (int) op;
	Datum own[2] = {0};
	int64 ts[2] = {0};

	if (column == table->nkeys)
		c->result =
			flowdb_time_compare(table->time_type, &own_op, value, type, ts);
	else
		c->result = flowdb_key_compare(table->keys[column].type, &own_op, value,
									   type, own);
	c->op = (FlowdbQualOp) own_op;
	c->own = own[0];
	c->ts = ts[0];
	if (c->result == FLOWDB_COMPARED_RANGE)
		elog(ERROR, "a FlowDB bound on a row is not exact");
}

/* Can a row equal the value? */
static bool
can_equal(const FlowdbTable *table, int column, Datum value, Oid type)
{
	RowColumn c;

	compare_column(table, column, FLOWDB_OP_EQ, value, type, &c);
	return c.result == FLOWDB_COMPARED_BOUND;
}

bool
flowdb_row_eval(FlowdbRanges *r, const FlowdbScanQual *q, ExprContext *econtext)
{
	const FlowdbTable *table = r->table;
	FlowdbRowValues *row = &r->row;
	FlowdbQualOp op = (FlowdbQualOp) (q->op - FLOWDB_OP_ROW);
	bool above = op == FLOWDB_OP_GT || op == FLOWDB_OP_GE;
	FlowdbQualOp strict = above ? FLOWDB_OP_GT : FLOWDB_OP_LT;
	FlowdbQualOp loose = above ? FLOWDB_OP_GE : FLOWDB_OP_LE;
	bool ends = false;

	row->above = above;
	row->first = q->target;
	row->last = q->target - 1;
	row->parts = palloc0(sizeof(FlowdbPart) * (Size) (table->nkeys + 1));
	for (int i = 0; i < q->nvalues && !ends; i++)
	{
		int column = q->target + i;
		RowColumn c = {.result = FLOWDB_COMPARED_NONE};
		bool isnull;
		Datum value = ExecEvalExpr(q->values[i], econtext, &isnull);

		ends = i == q->nvalues - 1 || isnull ||
			   !can_equal(table, column, value, q->types[i]);
		if (!isnull)
			compare_column(table, column, op, value, q->types[i], &c);
		if (c.result != FLOWDB_COMPARED_BOUND)
		{
			row->op = c.result == FLOWDB_COMPARED_ALL ? loose : strict;
			break;
		}
		row->last = column;
		row->op = c.op;
		row->ts = c.ts;
		if (column < table->nkeys)
			row->parts[column] = flowdb_part_encode(table, column, c.own);
	}
	row->exists = row->last >= row->first;
	return row->exists || row->op == loose;
}
