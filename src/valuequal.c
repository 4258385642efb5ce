/*-------------------------------------------------------------------------
 * valuequal.c
 *	  Which clauses the engine applies to value columns.
 *
 * A clause is taken when the engine's comparison (FlowFilter) is the
 * operator's own, so that it need not be checked again: column and value are
 * of types whose datums are numbers, and the operator is of their btree
 * family, or the negator of its equality.  Where the order of a type is not
 * that of its numbers (oid, "char", enums) only equality is taken.  The other
 * side is anything that is one value during a scan, as for bounds
 * (pushdown.c).  NULL tests are taken for every type.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "pushdown.h"

/* btree operator families without a name in pg_opfamily_d.h */
#define FLOAT_BTREE_FAM 1970
#define TIME_BTREE_FAM 1996
#define MONEY_BTREE_FAM 2099
#define CHAR_BTREE_FAM 429
#define ENUM_BTREE_FAM 3522
#define LSN_BTREE_FAM 3253

/* How columns of a (base) type compare. */
typedef struct ValueType
{
	Oid type;
	Oid family;
	bool ordered; /* its order is that of the number */
} ValueType;

static const ValueType value_types[] = {
	{INT2OID, INTEGER_BTREE_FAM_OID, true},
	{INT4OID, INTEGER_BTREE_FAM_OID, true},
	{INT8OID, INTEGER_BTREE_FAM_OID, true},
	{FLOAT4OID, FLOAT_BTREE_FAM, true},
	{FLOAT8OID, FLOAT_BTREE_FAM, true},
	{BOOLOID, BOOL_BTREE_FAM_OID, true},
	{DATEOID, FLOWDB_DATETIME_FAM_OID, true},
	{TIMESTAMPOID, FLOWDB_DATETIME_FAM_OID, true},
	{TIMESTAMPTZOID, FLOWDB_DATETIME_FAM_OID, true},
	{TIMEOID, TIME_BTREE_FAM, true},
	{MONEYOID, MONEY_BTREE_FAM, true},
	{OIDOID, OID_BTREE_FAM_OID, false},
	{CHAROID, CHAR_BTREE_FAM, false},
	{LSNOID, LSN_BTREE_FAM, false},
};

/* The relation's column that node is, and its base type; 0: none that is a
 * value column. */
static AttrNumber
match_column(const FlowdbMatch *m, Node *node, Oid *typep)
{
	Var *var = (Var *) flowdb_strip_relabel(node);

	if (!var || !IsA(var, Var) || var->varno != (int) m->rel->relid ||
		var->varlevelsup != 0 || var->varattno <= 0 ||
		flowdb_is_role_column(m->table, var->varattno))
		return 0;
	*typep = getBaseType(var->vartype);
	return var->varattno;
}

/* -------------------------------------------------------------- operators */

/* How a column of that base type compares as opno's left operand; false: not
 * as a number. */
static bool
column_type(Oid base, Oid left, ValueType *vt)
{
	if (left == ANYENUMOID && get_typtype(base) == TYPTYPE_ENUM)
	{
		*vt = (ValueType){base, ENUM_BTREE_FAM, false};
		return true;
	}
	/* a column that was relabelled is compared as something else */
	if (base != left || !get_typbyval(base))
		return false;
	for (int i = 0; i < (int) lengthof(value_types); i++)
		if (value_types[i].type == base)
		{
			*vt = value_types[i];
			return true;
		}
	return false;
}

/* Are numbers of a value of that type what the column's are compared with? */
static bool
value_fits(const ValueType *vt, Oid left, Oid right)
{
	FlowdbKeyType key;
	bool exact;

	if (left == right || vt->family == INTEGER_BTREE_FAM_OID)
		return left == right || right == INT2OID || right == INT4OID ||
			   right == INT8OID;
	if (vt->family == FLOAT_BTREE_FAM)
		return right == FLOAT4OID || right == FLOAT8OID;
	return vt->family == FLOWDB_DATETIME_FAM_OID &&
		   flowdb_key_type(vt->type, &key) &&
		   flowdb_key_comparable(key, right, &exact) && exact;
}

/* "column opno value" as a filter, or 0.  *typep: of the value. */
static FlowdbQualOp
match_operator(Oid base, Oid opno, Oid *typep)
{
	ValueType vt;
	FlowdbQualOp op;
	Oid negator;
	Oid left;

	op_input_types(opno, &left, typep);
	if (!column_type(base, left, &vt) || !value_fits(&vt, left, *typep))
		return 0;
	op = (FlowdbQualOp) get_op_opfamily_strategy(opno, vt.family);
	if (op == 0)
	{
		negator = get_negator(opno);
		if (OidIsValid(negator) &&
			get_op_opfamily_strategy(negator, vt.family) ==
				BTEqualStrategyNumber)
			op = FLOWDB_OP_NE;
	}
	if (!vt.ordered && op != FLOWDB_OP_EQ && op != FLOWDB_OP_NE)
		return 0;
	return op;
}

/* column OP value, or value OP column */
static bool
match_comparison(FlowdbMatch *m, OpExpr *expr, FlowdbQual *qual)
{
	Oid opno = expr->opno;
	FlowdbQualOp op;
	AttrNumber attnum;
	Node *value;
	Oid base;
	Oid type;

	if (list_length(expr->args) != 2)
		return false;
	value = lsecond(expr->args);
	attnum = match_column(m, linitial(expr->args), &base);
	if (attnum == 0)
	{
		value = linitial(expr->args);
		attnum = match_column(m, lsecond(expr->args), &base);
		opno = get_commutator(opno);
	}
	if (attnum == 0 || !OidIsValid(opno) || !flowdb_match_constant(m, value))
		return false;
	op = match_operator(base, opno, &type);
	flowdb_match_set(qual, attnum, op, value, type);
	return op != 0;
}

/* column = ANY (array) */
static bool
match_array(FlowdbMatch *m, ScalarArrayOpExpr *expr, FlowdbQual *qual)
{
	Node *array = lsecond(expr->args);
	AttrNumber attnum;
	Oid base;
	Oid type;

	attnum = match_column(m, linitial(expr->args), &base);
	if (!expr->useOr || attnum == 0 || !flowdb_match_constant(m, array) ||
		match_operator(base, expr->opno, &type) != FLOWDB_OP_EQ)
		return false;
	flowdb_match_set(qual, attnum, FLOWDB_OP_ANY, array, type);
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
		   qual->op == FLOWDB_OP_EQ;
}

static bool
match_or(FlowdbMatch *m, BoolExpr *expr, FlowdbQual *qual)
{
	ListCell *lc;

	foreach (lc, expr->args)
	{
		FlowdbQual arm = {0};

		if (!match_arm(m, lfirst(lc), &arm) ||
			(qual->op != 0 && arm.target != qual->target))
			return false;
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
	Oid base;

	qual->target = match_column(m, column, &base);
	qual->op = null ? FLOWDB_OP_NULL : FLOWDB_OP_NOT_NULL;
	qual->exact = true;
	return qual->target != 0;
}

/* A boolean column is its own clause. */
static bool
match_flag(FlowdbMatch *m, Node *column, bool value, FlowdbQual *qual)
{
	Oid base;
	AttrNumber attnum = match_column(m, column, &base);

	if (attnum == 0 || base != BOOLOID)
		return false;
	flowdb_match_set(qual, attnum, FLOWDB_OP_EQ, makeBoolConst(value, false),
					 BOOLOID);
	return true;
}

/* IS NOT TRUE and IS NOT FALSE hold for NULL too: no filter does. */
static bool
match_boolean_test(FlowdbMatch *m, BooleanTest *test, FlowdbQual *qual)
{
	switch (test->booltesttype)
	{
		case IS_TRUE:
		case IS_FALSE:
			return match_flag(m, (Node *) test->arg,
							  test->booltesttype == IS_TRUE, qual);
		case IS_UNKNOWN:
		case IS_NOT_UNKNOWN:
			return match_null(m, (Node *) test->arg,
							  test->booltesttype == IS_UNKNOWN, qual);
		default:
			return false;
	}
}

/* ---------------------------------------------------------------- clauses */

static bool
match_clause(FlowdbMatch *m, Node *clause, FlowdbQual *qual)
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

/*
 * flowdb_value_match
 *		Does the engine apply the clause to a value column of rel, exactly?
 *		qual: out, filled on true; its target is the column's attnum.
 */
bool
flowdb_value_match(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				   RestrictInfo *rinfo, FlowdbQual *qual)
{
	FlowdbMatch m = {.root = root, .rel = rel, .table = table};

	memset(qual, 0, sizeof(*qual));
	qual->rinfo = rinfo;
	return !rinfo->pseudoconstant &&
		   match_clause(&m, (Node *) rinfo->clause, qual);
}
