/*-------------------------------------------------------------------------
 * pushdown.c
 *	  Which clauses bound the keys and times that the engine reads.
 *
 * A clause is pushed when the engine applies it exactly, or when it implies
 * a bound and is checked again by the executor (LIKE).  Its other side may
 * be anything that is one value during a scan: constants, parameters, stable
 * functions, columns of an outer relation.
 *
 * The engine compares keys bytewise.  That is equality under every
 * deterministic collation, and order only under "C".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "fdw.h"

/* Operators without a name in pg_operator_d.h */
#define OID_STARTS_WITH_OP 3877 /* text ^@ text */

#define NO_TARGET (-2)

/* varchar, domains and COLLATE put a RelabelType around what is compared. */
Node *
flowdb_strip_relabel(Node *node)
{
	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Number of the key column that node is, FLOWDB_TARGET_TIME or NO_TARGET. */
static int
column_target(RelOptInfo *rel, const FlowdbTable *table, Node *node)
{
	Var *var = (Var *) flowdb_strip_relabel(node);

	if (!var || !IsA(var, Var) || var->varno != (int) rel->relid ||
		var->varlevelsup != 0)
		return NO_TARGET;
	if (var->varattno != 0 && var->varattno == table->time_attnum)
		return FLOWDB_TARGET_TIME;
	for (int i = 0; i < table->nkeys; i++)
		if (var->varattno == table->keys[i].attnum)
			return i;
	return NO_TARGET;
}

/* Is node one value for the whole of a scan of rel? */
static bool
is_scan_constant(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	return !bms_is_member((int) rel->relid, pull_varnos(root, node)) &&
		   !contain_volatile_functions(node) && !contain_subplans(node);
}

/* -------------------------------------------------------------- operators */

/*
 * A comparison of a key column.  0: not one that can be pushed; *collationp
 * is set when only the collation bars it.
 */
static FlowdbQualOp
key_operator(FlowdbKeyType type, Oid opno, Oid collation, bool *collationp)
{
	Oid family =
		type == FLOWDB_KEY_TEXT ? TEXT_BTREE_FAM_OID : BYTEA_BTREE_FAM_OID;
	Oid operand = type == FLOWDB_KEY_TEXT ? TEXTOID : BYTEAOID;
	Oid left;
	Oid right;
	int strategy;

	op_input_types(opno, &left, &right);
	if (left != operand || right != operand)
		return 0;
	if (type == FLOWDB_KEY_TEXT && opno == OID_STARTS_WITH_OP)
		strategy = FLOWDB_OP_PREFIX;
	else
		strategy = get_op_opfamily_strategy(opno, family);
	if (strategy == 0 || type == FLOWDB_KEY_BYTEA)
		return (FlowdbQualOp) strategy;
	if (strategy == FLOWDB_OP_EQ || strategy == FLOWDB_OP_PREFIX
			? get_collation_isdeterministic(collation)
			: flowdb_collation_is_c(collation))
		return (FlowdbQualOp) strategy;
	*collationp = true;
	return 0;
}

static FlowdbQualOp
time_operator(FlowdbTimeType type, Oid opno, Oid *value_typep)
{
	Oid family = type == FLOWDB_TIME_BIGINT ? INTEGER_BTREE_FAM_OID
											: FLOWDB_DATETIME_FAM_OID;
	Oid left;

	op_input_types(opno, &left, value_typep);
	if (type == FLOWDB_TIME_BIGINT
			? left != INT8OID
			: left != TIMESTAMPTZOID || *value_typep != TIMESTAMPTZOID)
		return 0;
	return (FlowdbQualOp) get_op_opfamily_strategy(opno, family);
}

/* ------------------------------------------------------------------- LIKE */

/*
 * The fixed beginning of a LIKE pattern as a text Const, and what to make of
 * it: EQ for a pattern without wildcards, PREFIX, or 0 for none.
 */
static FlowdbQualOp
like_prefix(const Const *pattern, Const **prefixp, bool *exactp)
{
	text *t = DatumGetTextPP(pattern->constvalue);
	const char *p = VARDATA_ANY(t);
	const char *end = p + VARSIZE_ANY_EXHDR(t);
	StringInfoData prefix;
	bool wildcard = false;

	initStringInfo(&prefix);
	for (; p < end; p++)
	{
		wildcard = *p == '%' || *p == '_';
		if (wildcard)
			break;
		if (*p == '\\' && ++p == end)
			return 0; /* let LIKE raise its error */
		appendStringInfoCharMacro(&prefix, *p);
	}
	if (prefix.len == 0 && wildcard)
		return 0;
	*exactp = !wildcard || (*p == '%' && p + 1 == end);
	*prefixp = makeConst(
		TEXTOID, -1, pattern->constcollid, -1,
		PointerGetDatum(cstring_to_text_with_len(prefix.data, prefix.len)),
		false, false);
	return wildcard ? FLOWDB_OP_PREFIX : FLOWDB_OP_EQ;
}

static bool
match_like(RelOptInfo *rel, const FlowdbTable *table, OpExpr *op,
		   FlowdbQual *qual, bool *collationp)
{
	Node *right = lsecond(op->args);
	Const *prefix = NULL;

	qual->target = column_target(rel, table, linitial(op->args));
	if (qual->target < 0 || table->keys[qual->target].type != FLOWDB_KEY_TEXT ||
		!IsA(right, Const) || ((Const *) right)->constisnull)
		return false;
	if (!get_collation_isdeterministic(op->inputcollid))
	{
		*collationp = true;
		return false;
	}
	qual->op = like_prefix((Const *) right, &prefix, &qual->exact);
	qual->value = (Expr *) prefix;
	return qual->op != 0;
}

/* ---------------------------------------------------------------- clauses */

/* column OP value, or value OP column */
static bool
match_comparison(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				 OpExpr *op, FlowdbQual *qual, bool *collationp)
{
	Node *left = linitial(op->args);
	Node *right = lsecond(op->args);
	Oid opno = op->opno;

	qual->target = column_target(rel, table, left);
	if (qual->target == NO_TARGET)
	{
		Node *swap = left;

		left = right;
		right = swap;
		opno = get_commutator(opno);
		qual->target = column_target(rel, table, left);
		if (qual->target == NO_TARGET || !OidIsValid(opno))
			return false;
	}
	if (!is_scan_constant(root, rel, right))
		return false;
	if (qual->target == FLOWDB_TARGET_TIME)
		qual->op = time_operator(table->time_type, opno, &qual->value_type);
	else
		qual->op = key_operator(table->keys[qual->target].type, opno,
								op->inputcollid, collationp);
	qual->value = (Expr *) right;
	qual->exact = true;
	return qual->op != 0;
}

/* starts_with(column, value) */
static bool
match_function(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
			   FuncExpr *func, FlowdbQual *qual, bool *collationp)
{
	if (func->funcid != F_STARTS_WITH)
		return false;
	qual->target = column_target(rel, table, linitial(func->args));
	if (qual->target < 0 || table->keys[qual->target].type != FLOWDB_KEY_TEXT ||
		!is_scan_constant(root, rel, lsecond(func->args)))
		return false;
	if (!get_collation_isdeterministic(func->inputcollid))
	{
		*collationp = true;
		return false;
	}
	qual->op = FLOWDB_OP_PREFIX;
	qual->value = lsecond(func->args);
	qual->exact = true;
	return true;
}

/*
 * flowdb_qual_match
 *		Does the clause bound a key column or the time of rel?
 *
 * qual: out, filled on true.  *collationp is set (never cleared) when only
 * its collation keeps a clause from being pushed.
 */
bool
flowdb_qual_match(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				  RestrictInfo *rinfo, FlowdbQual *qual, bool *collationp)
{
	Node *clause = (Node *) rinfo->clause;

	memset(qual, 0, sizeof(*qual));
	qual->rinfo = rinfo;
	if (rinfo->pseudoconstant)
		return false;
	if (IsA(clause, NullTest))
	{
		NullTest *test = (NullTest *) clause;

		/* key and time are never NULL, whatever the table says */
		qual->op = FLOWDB_OP_TRUE;
		qual->exact = true;
		qual->target = column_target(rel, table, (Node *) test->arg);
		return test->nulltesttype == IS_NOT_NULL && !test->argisrow &&
			   qual->target != NO_TARGET;
	}
	if (IsA(clause, FuncExpr))
		return match_function(root, rel, table, (FuncExpr *) clause, qual,
							  collationp);
	if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr *op = (OpExpr *) clause;

		if (op->opno == OID_TEXT_LIKE_OP)
			return match_like(rel, table, op, qual, collationp);
		return match_comparison(root, rel, table, op, qual, collationp);
	}
	return false;
}

/* Is key column number target fixed by one of quals? */
static bool
has_equality(List *quals, int target)
{
	ListCell *lc;

	foreach (lc, quals)
	{
		const FlowdbQual *qual = lfirst(lc);

		if (qual->target == target && qual->op == FLOWDB_OP_EQ)
			return true;
	}
	return false;
}

/*
 * flowdb_quals_split
 *		Sort clauses into those the engine applies and those it does not.
 *
 * A key column can be bounded when all before it are fixed; of what bounds
 * such a column everything is pushed, the tightest wins at run time.
 */
void
flowdb_quals_split(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				   List *rinfos, FlowdbQuals *quals)
{
	List *matched = NIL;
	ListCell *next;
	ListCell *lc;

	memset(quals, 0, sizeof(*quals));
	foreach (lc, rinfos)
	{
		FlowdbQual *qual = palloc(sizeof(FlowdbQual));

		if (flowdb_qual_match(root, rel, table, lfirst(lc), qual,
							  &quals->collation_blocked))
			matched = lappend(matched, qual);
	}
	while (quals->nfixed < table->nkeys && has_equality(matched, quals->nfixed))
		quals->nfixed++;
	quals->time_fixed = has_equality(matched, FLOWDB_TARGET_TIME);

	/* what stays local keeps its order, which is by security level */
	next = list_head(matched);
	foreach (lc, rinfos)
	{
		RestrictInfo *rinfo = lfirst(lc);
		FlowdbQual *qual = next ? lfirst(next) : NULL;
		bool applied = false;

		if (qual && qual->rinfo == rinfo)
		{
			next = lnext(matched, next);
			applied = qual->op == FLOWDB_OP_TRUE;
			if (!applied && qual->target <= quals->nfixed)
			{
				quals->pushed = lappend(quals->pushed, qual);
				applied = qual->exact;
			}
		}
		if (!applied)
			quals->local = lappend(quals->local, rinfo);
	}
}
