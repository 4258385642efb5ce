/*-------------------------------------------------------------------------
 * pushclause.c
 *	  Clauses that say of one column what it compares with, or whether it is
 *	  NULL, for bounds (pushdown.c) and filters (valuequal.c) alike.
 *
 * Whatever says that a column equals one of some values becomes one ANY with
 * a list of values and arrays.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "pushdown.h"

/* ------------------------------------------------------------- comparisons */

bool
flowdb_match_sides(FlowdbMatch *m, Node *left, Node *right, Oid opno,
				   FlowdbSides *sides)
{
	*sides = (FlowdbSides){left, m->kind->column(m, left), opno, right};
	if (sides->target == FLOWDB_NO_TARGET)
		*sides = (FlowdbSides){right, m->kind->column(m, right),
							   get_commutator(opno), left};
	return sides->target != FLOWDB_NO_TARGET && OidIsValid(sides->opno) &&
		   flowdb_match_constant(m, sides->value);
}

/* column OP value, or value OP column */
static bool
match_comparison(FlowdbMatch *m, OpExpr *expr, FlowdbQual *qual)
{
	FlowdbSides s;
	FlowdbQualOp op;
	bool exact;
	Oid type;

	if (list_length(expr->args) != 2 ||
		!flowdb_match_sides(m, linitial(expr->args), lsecond(expr->args),
							expr->opno, &s))
		return false;
	op = m->kind->compares(m, &s, expr->inputcollid, &type, &exact);
	flowdb_match_set(qual, s.target, op, s.value, type);
	qual->exact = exact;
	return op != 0;
}

/* ----------------------------------------------------------- = ANY, IN, OR */

/* column = ANY (array) */
static bool
match_array(FlowdbMatch *m, ScalarArrayOpExpr *expr, FlowdbQual *qual)
{
	Node *column = linitial(expr->args);
	FlowdbSides s = {column, m->kind->column(m, column), expr->opno,
					 lsecond(expr->args)};
	bool exact;
	Oid type;

	if (!expr->useOr || s.target == FLOWDB_NO_TARGET ||
		!flowdb_match_constant(m, s.value) ||
		m->kind->compares(m, &s, expr->inputcollid, &type, &exact) !=
			FLOWDB_OP_EQ ||
		!exact)
		return false;
	flowdb_match_set(qual, s.target, FLOWDB_OP_ANY, s.value, type);
	linitial_int(qual->arrays) = 1;
	return true;
}

static bool match_or(FlowdbMatch *m, BoolExpr *expr, FlowdbQual *qual);

/* One arm of an OR: does it say that a column equals something? */
static bool
match_arm(FlowdbMatch *m, Node *arm, FlowdbQual *qual)
{
	if (IsA(arm, RestrictInfo))
		arm = (Node *) ((RestrictInfo *) arm)->clause;
	if (IsA(arm, ScalarArrayOpExpr))
		return match_array(m, (ScalarArrayOpExpr *) arm, qual);
	if (is_orclause(arm))
		return match_or(m, (BoolExpr *) arm, qual);
	return IsA(arm, OpExpr) && match_comparison(m, (OpExpr *) arm, qual) &&
		   qual->op == FLOWDB_OP_EQ && qual->exact;
}

static bool
match_or(FlowdbMatch *m, BoolExpr *expr, FlowdbQual *qual)
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

/* ------------------------------------------------- NULL, true and false */

static bool
match_null(FlowdbMatch *m, Node *column, bool null, FlowdbQual *qual)
{
	qual->target = m->kind->column(m, column);
	if (m->kind->never_null)
		qual->op = null ? FLOWDB_OP_FALSE : FLOWDB_OP_TRUE;
	else
		qual->op = null ? FLOWDB_OP_NULL : FLOWDB_OP_NOT_NULL;
	qual->exact = true;
	return qual->target != FLOWDB_NO_TARGET;
}

/* A boolean column is its own clause. */
static bool
match_flag(FlowdbMatch *m, Node *column, bool value, FlowdbQual *qual)
{
	int target = m->kind->column(m, column);

	if (target == FLOWDB_NO_TARGET || !m->kind->is_flag(m, target, column))
		return false;
	flowdb_match_set(qual, target, FLOWDB_OP_EQ, makeBoolConst(value, false),
					 BOOLOID);
	return true;
}

/* IS NOT TRUE and IS NOT FALSE hold for NULL too, as no bound or filter of a
 * value does. */
static bool
match_boolean_test(FlowdbMatch *m, BooleanTest *test, FlowdbQual *qual)
{
	Node *column = (Node *) test->arg;

	switch (test->booltesttype)
	{
		case IS_TRUE:
		case IS_FALSE:
			return match_flag(m, column, test->booltesttype == IS_TRUE, qual);
		case IS_NOT_TRUE:
		case IS_NOT_FALSE:
			return m->kind->never_null &&
				   match_flag(m, column, test->booltesttype == IS_NOT_FALSE,
							  qual);
		case IS_UNKNOWN:
		case IS_NOT_UNKNOWN:
			return match_null(m, column, test->booltesttype == IS_UNKNOWN,
							  qual);
	}
	return false;
}

/* ---------------------------------------------------------------- clauses */

bool
flowdb_match_clause(FlowdbMatch *m, Node *clause, FlowdbQual *qual)
{
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return match_comparison(m, (OpExpr *) clause, qual);
		case T_ScalarArrayOpExpr:
			return match_array(m, (ScalarArrayOpExpr *) clause, qual);
		case T_NullTest:
			/* a row is NULL when all its fields are */
			return !((NullTest *) clause)->argisrow &&
				   match_null(m, (Node *) ((NullTest *) clause)->arg,
							  ((NullTest *) clause)->nulltesttype == IS_NULL,
							  qual);
		case T_BooleanTest:
			return match_boolean_test(m, (BooleanTest *) clause, qual);
		case T_BoolExpr:
			if (is_orclause(clause))
				return match_or(m, (BoolExpr *) clause, qual);
			return is_notclause(clause) &&
				   match_flag(m, (Node *) get_notclausearg(clause), false,
							  qual);
		case T_Var:
		case T_RelabelType:
			return match_flag(m, clause, true, qual);
		default:
			return false;
	}
}
