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

static int
value_column(const FlowdbMatch *m, Node *node)
{
	Var *var = (Var *) flowdb_strip_relabel(node);

	if (!var || !IsA(var, Var) || var->varno != (int) m->rel->relid ||
		var->varlevelsup != 0 || var->varattno <= 0 ||
		flowdb_is_role_column(m->table, var->varattno))
		return FLOWDB_NO_TARGET;
	return var->varattno;
}

/* Of what a value_column() is. */
static Oid
base_type(Node *node)
{
	return getBaseType(((Var *) flowdb_strip_relabel(node))->vartype);
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

static FlowdbQualOp
value_compares(FlowdbMatch *m, const FlowdbSides *sides, Oid collation,
			   Oid *typep, bool *exactp)
{
	ValueType vt;
	FlowdbQualOp op;
	Oid negator;
	Oid left;

	*exactp = true;
	op_input_types(sides->opno, &left, typep);
	if (!column_type(base_type(sides->column), left, &vt) ||
		!value_fits(&vt, left, *typep))
		return 0;
	op = (FlowdbQualOp) get_op_opfamily_strategy(sides->opno, vt.family);
	if (op == 0)
	{
		negator = get_negator(sides->opno);
		if (OidIsValid(negator) &&
			get_op_opfamily_strategy(negator, vt.family) ==
				BTEqualStrategyNumber)
			op = FLOWDB_OP_NE;
	}
	if (!vt.ordered && op != FLOWDB_OP_EQ && op != FLOWDB_OP_NE)
		return 0;
	return op;
}

static bool
value_is_flag(const FlowdbMatch *m, int target, Node *node)
{
	return base_type(node) == BOOLOID;
}

static const FlowdbMatchKind value_columns = {
	.never_null = false,
	.column = value_column,
	.compares = value_compares,
	.is_flag = value_is_flag,
};

/*
 * flowdb_value_match
 *		Does the engine apply the clause to a value column of rel, exactly?
 *		qual: out, filled on true; its target is the column's attnum.
 */
bool
flowdb_value_match(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				   RestrictInfo *rinfo, FlowdbQual *qual)
{
	FlowdbMatch m = {
		.kind = &value_columns, .root = root, .rel = rel, .table = table};

	memset(qual, 0, sizeof(*qual));
	qual->rinfo = rinfo;
	return !rinfo->pseudoconstant &&
		   flowdb_match_clause(&m, (Node *) rinfo->clause, qual);
}
