/*-------------------------------------------------------------------------
 * pusharray.c
 *	  Clauses with several values: = ANY and IN, OR of those, rows.
 *
 * Whatever says that a column equals one of some values becomes one ANY with
 * a list of values and arrays.  A row comparison of columns that follow each
 * other in the order of the engine is a bound in that order; of any other
 * row the first column is bounded, and the executor checks again.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "pushdown.h"

/* ------------------------------------------------------------- = ANY, IN */

bool
flowdb_match_array(FlowdbMatch *m, ScalarArrayOpExpr *op, FlowdbQual *qual)
{
	int target = flowdb_match_target(m, linitial(op->args));
	Node *array = lsecond(op->args);
	bool exact;
	Oid type;

	if (!op->useOr || target == FLOWDB_NO_TARGET ||
		!flowdb_match_constant(m, array) ||
		flowdb_match_operator(m, target, op->opno, op->inputcollid, &type,
							  &exact) != FLOWDB_OP_EQ ||
		!exact)
		return false;
	flowdb_match_set(qual, target, FLOWDB_OP_ANY, array, type);
	linitial_int(qual->arrays) = 1;
	return true;
}

/* One arm of an OR: does it say that a column equals something? */
static bool
match_arm(FlowdbMatch *m, Node *arm, FlowdbQual *qual)
{
	if (IsA(arm, RestrictInfo))
		arm = (Node *) ((RestrictInfo *) arm)->clause;
	if (IsA(arm, ScalarArrayOpExpr))
		return flowdb_match_array(m, (ScalarArrayOpExpr *) arm, qual);
	if (is_orclause(arm))
		return flowdb_match_or(m, (BoolExpr *) arm, qual);
	return IsA(arm, OpExpr) && list_length(((OpExpr *) arm)->args) == 2 &&
		   flowdb_match_comparison(m, (OpExpr *) arm, qual) &&
		   qual->op == FLOWDB_OP_EQ && qual->exact;
}

bool
flowdb_match_or(FlowdbMatch *m, BoolExpr *expr, FlowdbQual *qual)
{
	bool collation = m->collation; /* what an arm lacks costs nothing */
	ListCell *lc;

	foreach (lc, expr->args)
	{
		FlowdbQual arm = {0};

		if (!match_arm(m, lfirst(lc), &arm) ||
			(qual->op != 0 && arm.target != qual->target))
		{
			m->collation = collation;
			return false;
		}
		qual->target = arm.target;
		qual->op = FLOWDB_OP_ANY;
		qual->exact = true;
		qual->values = list_concat(qual->values, arm.values);
		qual->types = list_concat(qual->types, arm.types);
		qual->arrays = list_concat(qual->arrays, arm.arrays);
	}
	return qual->op != 0;
}

/* ------------------------------------------------------------------- rows */

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
row_column(FlowdbMatch *m, RowCompareExpr *row, int i, int *targetp,
		   Node **valuep, Oid *typep)
{
	Node *left = list_nth(row->largs, i);
	Node *right = list_nth(row->rargs, i);
	Oid opno = list_nth_oid(row->opnos, i);
	FlowdbQualOp op;
	bool exact;

	*targetp = flowdb_match_target(m, left);
	*valuep = right;
	if (*targetp == FLOWDB_NO_TARGET)
	{
		*targetp = flowdb_match_target(m, right);
		*valuep = left;
		opno = get_commutator(opno);
	}
	if (*targetp == FLOWDB_NO_TARGET || !OidIsValid(opno) ||
		!flowdb_match_constant(m, *valuep))
		return 0;
	op = flowdb_match_operator(
		m, *targetp, opno, list_nth_oid(row->inputcollids, i), typep, &exact);
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
		int target;
		Node *value;
		Oid type;
		FlowdbQualOp op = row_column(m, row, i, &target, &value, &type);

		if (op == 0 || (i > 0 && (op != first || target != expected)))
			break;
		if (i == 0)
		{
			first = op;
			flowdb_match_set(qual, target, FLOWDB_OP_ROW + op, value, type);
		}
		else
		{
			qual->values = lappend(qual->values, value);
			qual->types = lappend_oid(qual->types, type);
			qual->arrays = lappend_int(qual->arrays, 0);
		}
		expected = target == FLOWDB_TARGET_TIME ? FLOWDB_NO_TARGET - 1
												: next_target(m->table, target);
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
