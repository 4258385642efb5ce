/*-------------------------------------------------------------------------
 * pushrow.c
 *	  Comparisons of rows.
 *
 * One of columns that follow each other in the order of the engine is a bound
 * in that order; of any other the first column is bounded, and the executor
 * checks again.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pushdown.h"

/* The column behind target in the engine's order. */
static int
next_target(const FlowdbTable *table, int target)
{
	if (target + 1 < table->nkeys)
		return target + 1;
	return table->time_attnum != 0 ? FLOWDB_TARGET_TIME : FLOWDB_NO_TARGET;
}

/* Column number i of the row: its comparison, turned round if need be. */
static FlowdbQualOp
row_column(FlowdbMatch *m, RowCompareExpr *row, int i, FlowdbSides *sides,
		   Oid *typep)
{
	FlowdbQualOp op;
	bool exact;

	if (!flowdb_match_sides(m, list_nth(row->largs, i), list_nth(row->rargs, i),
							list_nth_oid(row->opnos, i), sides))
		return 0;
	op = m->kind->compares(m, sides, list_nth_oid(row->inputcollids, i), typep,
						   &exact);
	return exact && op != FLOWDB_OP_EQ ? op : 0;
}

bool
flowdb_match_row(FlowdbMatch *m, RowCompareExpr *row, FlowdbQual *qual)
{
	int n = list_length(row->largs);
	FlowdbQualOp first = 0;
	int expected = 0;
	int i;

	for (i = 0; i < n; i++)
	{
		FlowdbSides s;
		Oid type;
		FlowdbQualOp op = row_column(m, row, i, &s, &type);

		if (op == 0 || (i > 0 && (op != first || s.target != expected)))
			break;
		if (i == 0)
		{
			first = op;
			flowdb_match_set(qual, s.target, FLOWDB_OP_ROW + op, s.value, type);
		}
		else
		{
			qual->values = lappend(qual->values, s.value);
			qual->types = lappend_oid(qual->types, type);
			qual->arrays = lappend_int(qual->arrays, 0);
		}
		expected = s.target == FLOWDB_TARGET_TIME
					   ? FLOWDB_NO_TARGET - 1
					   : next_target(m->table, s.target);
	}
	if (i == 0)
		return false;
	/* a beginning of the row bounds less sharply */
	qual->exact = i == n;
	if (i < n && first == FLOWDB_OP_LT)
		qual->op = FLOWDB_OP_ROW_LE;
	else if (i < n && first == FLOWDB_OP_GT)
		qual->op = FLOWDB_OP_ROW_GE;
	return true;
}
