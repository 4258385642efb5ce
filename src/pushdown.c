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
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "pushdown.h"

/* Operators without a name in pg_operator_d.h */
#define OID_STARTS_WITH_OP 3877 /* text ^@ text */

/* varchar, domains and COLLATE put a RelabelType around what is compared. */
Node *
flowdb_strip_relabel(Node *node)
{
	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

int
flowdb_match_target(const FlowdbMatch *m, Node *node)
{
	const FlowdbTable *table = m->table;
	Var *var = (Var *) flowdb_strip_relabel(node);

	if (!var || !IsA(var, Var) || var->varno != (int) m->rel->relid ||
		var->varlevelsup != 0)
		return FLOWDB_NO_TARGET;
	if (var->varattno != 0 && var->varattno == table->time_attnum)
		return FLOWDB_TARGET_TIME;
	for (int i = 0; i < table->nkeys; i++)
		if (var->varattno == table->keys[i].attnum)
			return i;
	return FLOWDB_NO_TARGET;
}

bool
flowdb_match_constant(const FlowdbMatch *m, Node *node)
{
	return !bms_is_member((int) m->rel->relid, pull_varnos(m->root, node)) &&
		   !contain_volatile_functions(node) && !contain_subplans(node);
}

void
flowdb_match_set(FlowdbQual *qual, int target, FlowdbQualOp op, Node *value,
				 Oid type)
{
	qual->target = target;
	qual->op = op;
	qual->values = list_make1(value);
	qual->types = list_make1_oid(type);
	qual->arrays = list_make1_int(0);
	qual->exact = true;
}

/* -------------------------------------------------------------- operators */

/*
 * Is a text key compared bytewise by op under this collation?  One that could
 * not be determined is an error that the executor raises, if ever it gets to
 * a row.
 */
static bool
collation_fits(FlowdbMatch *m, FlowdbQualOp op, Oid collation)
{
	if (!OidIsValid(collation))
		return false;
	if (op == FLOWDB_OP_EQ ? get_collation_isdeterministic(collation)
						   : flowdb_collation_is_c(collation))
		return true;
	m->collation = true;
	return false;
}

static FlowdbQualOp
key_compares(FlowdbMatch *m, const FlowdbSides *sides, Oid collation,
			 Oid *typep, bool *exactp)
{
	const FlowdbTable *table = m->table;
	bool time = sides->target == FLOWDB_TARGET_TIME;
	FlowdbKeyType type = time ? 0 : table->keys[sides->target].type;
	Oid family =
		time ? flowdb_time_family(table->time_type) : flowdb_key_family(type);
	Oid operand =
		time ? flowdb_time_operand(table->time_type) : flowdb_key_operand(type);
	FlowdbQualOp op =
		(FlowdbQualOp) get_op_opfamily_strategy(sides->opno, family);
	Oid left;

	*typep = InvalidOid;
	*exactp = false;
	if (op == 0)
		return 0;
	op_input_types(sides->opno, &left, typep);
	if (left != operand)
		return 0;
	*exactp = true;
	if (time ? !flowdb_time_comparable(table->time_type, *typep, exactp)
			 : !flowdb_key_comparable(type, *typep, exactp))
		return 0;
	if (!time && type == FLOWDB_KEY_TEXT &&
		(*typep != TEXTOID || !collation_fits(m, op, collation)))
		return 0;
	return op;
}

static bool
key_is_flag(const FlowdbMatch *m, int target, Node *node)
{
	return target >= 0 && m->table->keys[target].type == FLOWDB_KEY_BOOL;
}

static const FlowdbMatchKind keys_and_time = {
	.never_null = true,
	.column = flowdb_match_target,
	.compares = key_compares,
	.is_flag = key_is_flag,
};

/* ---------------------------------------------------------------- clauses */

/* What only keys have is looked at first. */
static bool
match_clause(FlowdbMatch *m, Node *clause, FlowdbQual *qual)
{
	if (IsA(clause, RowCompareExpr))
		return flowdb_match_row(m, (RowCompareExpr *) clause, qual);
	if (IsA(clause, FuncExpr))
	{
		FuncExpr *func = (FuncExpr *) clause;

		return func->funcid == F_STARTS_WITH &&
			   flowdb_match_starts_with(m, linitial(func->args),
										lsecond(func->args), func->inputcollid,
										qual);
	}
	if (IsA(clause, OpExpr))
	{
		OpExpr *op = (OpExpr *) clause;

		if (op->opno == OID_TEXT_LIKE_OP || op->opno == OID_BYTEA_LIKE_OP)
			return flowdb_match_like(m, op, qual);
		if (op->opno == OID_STARTS_WITH_OP)
			return flowdb_match_starts_with(m, linitial(op->args),
											lsecond(op->args), op->inputcollid,
											qual);
	}
	return flowdb_match_clause(m, clause, qual);
}

bool
flowdb_qual_match(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				  RestrictInfo *rinfo, FlowdbQual *qual, bool *collationp)
{
	FlowdbMatch m = {
		.kind = &keys_and_time, .root = root, .rel = rel, .table = table};
	bool matched;

	memset(qual, 0, sizeof(*qual));
	qual->rinfo = rinfo;
	if (rinfo->pseudoconstant)
		return false;
	matched = match_clause(&m, (Node *) rinfo->clause, qual);
	*collationp |= m.collation;
	return matched;
}

/* ------------------------------------------------------------------- split */

/* Is the target fixed, to one value or (any) to some, by one of quals? */
static bool
has_equality(List *quals, int target, bool any)
{
	ListCell *lc;

	foreach (lc, quals)
	{
		const FlowdbQual *qual = lfirst(lc);

		if (qual->target == target && qual->exact &&
			(qual->op == FLOWDB_OP_EQ || (any && qual->op == FLOWDB_OP_ANY)))
			return true;
	}
	return false;
}

/*
 * Does the engine use the qual, beside those that were taken before?  A
 * column can be bounded when all before it have points; of what bounds such
 * a column everything is pushed, the tightest wins at run time.  May change
 * a qual to what of it can be used.
 */
static bool
usable(const FlowdbTable *table, const FlowdbQuals *quals, FlowdbQual *qual,
	   bool *has_rowp)
{
	bool time = qual->target == FLOWDB_TARGET_TIME;

	if (!time && qual->target > quals->npoints && qual->op != FLOWDB_OP_FALSE)
		return false;
	/* times of a range of keys are one range themselves */
	if (time && qual->op == FLOWDB_OP_ANY && quals->npoints < table->nkeys)
		qual->exact = false;
	if (qual->op < FLOWDB_OP_ROW)
		return true;
	/* one row is followed column by column; of others, and of one that
	 * begins with the time, the first column counts */
	if (!*has_rowp && !time)
	{
		*has_rowp = true;
		return true;
	}
	qual->exact = qual->exact && list_length(qual->values) == 1;
	if (!qual->exact && qual->op == FLOWDB_OP_ROW_LT)
		qual->op = FLOWDB_OP_ROW_LE;
	else if (!qual->exact && qual->op == FLOWDB_OP_ROW_GT)
		qual->op = FLOWDB_OP_ROW_GE;
	qual->op -= FLOWDB_OP_ROW;
	qual->values = list_make1(linitial(qual->values));
	qual->types = list_make1_oid(linitial_oid(qual->types));
	qual->arrays = list_make1_int(0);
	return true;
}

static List *
match_all(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
		  List *rinfos, bool *collationp)
{
	List *matched = NIL;
	ListCell *lc;

	foreach (lc, rinfos)
	{
		FlowdbQual *qual = palloc(sizeof(FlowdbQual));

		/* what is pushed goes before all that is not: as for an index */
		if (restriction_is_securely_promotable(lfirst(lc), rel) &&
			flowdb_qual_match(root, rel, table, lfirst(lc), qual, collationp))
			matched = lappend(matched, qual);
	}
	return matched;
}

/* A clause that is no exact bound: a filter, or left to the executor.  What
 * bounds a key or the time is none. */
static void
split_value(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
			RestrictInfo *rinfo, FlowdbQuals *quals)
{
	FlowdbQual *qual = palloc(sizeof(FlowdbQual));

	quals->rest = lappend(quals->rest, rinfo);
	if (restriction_is_securely_promotable(rinfo, rel) &&
		flowdb_value_match(root, rel, table, rinfo, qual))
		quals->filters = lappend(quals->filters, qual);
	else
		quals->local = lappend(quals->local, rinfo);
}

void
flowdb_quals_split(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				   List *rinfos, FlowdbQuals *quals)
{
	List *matched;
	ListCell *next;
	ListCell *lc;
	bool has_row = false;

	memset(quals, 0, sizeof(*quals));
	matched = match_all(root, rel, table, rinfos, &quals->collation_blocked);
	while (quals->nfixed < table->nkeys &&
		   has_equality(matched, quals->nfixed, false))
		quals->nfixed++;
	while (quals->npoints < table->nkeys &&
		   has_equality(matched, quals->npoints, true))
		quals->npoints++;
	quals->time_fixed = has_equality(matched, FLOWDB_TARGET_TIME, false);

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
			if (!applied && usable(table, quals, qual, &has_row))
			{
				quals->pushed = lappend(quals->pushed, qual);
				applied = qual->exact;
			}
		}
		if (!applied)
			split_value(root, rel, table, rinfo, quals);
	}
}
