/*-------------------------------------------------------------------------
 * aggmatch.c
 *	  Which groupings and aggregates can the engine do?
 *
 * Only those of which the engine's answer is PostgreSQL's.  The relation's
 * conditions must all be the engine's to apply, groups be key columns and at
 * most one bucket of time, and each aggregate a plain call on a column.  What
 * the query computes from these is left to the node's projection, HAVING to
 * its filter.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "agg.h"
#include "pushdown.h"

/* What is being put together. */
typedef struct AggMatch
{
	FlowdbMatch match; /* of the input relation */
	FlowdbAggPlan *plan;
	Bitmapset *grouped; /* numbers of key columns */
} AggMatch;

/* ------------------------------------------------------------------- input */

/*
 * Is the engine's reading of the relation exactly the rows that the query
 * aggregates?  A plan tells its relation by the set of them, so there must be
 * no other one.
 */
static bool
input_fits(PlannerInfo *root, RelOptInfo *rel)
{
	const FlowdbRel *fr = rel->fdw_private;

	return IS_SIMPLE_REL(rel) && fr && fr->quals.local == NIL &&
		   (rel->reloptkind == RELOPT_OTHER_MEMBER_REL ||
			bms_membership(root->all_baserels) == BMS_SINGLETON) &&
		   bms_is_empty(rel->lateral_relids) &&
		   flowdb_plan_lock(root, rel) == NIL;
}

/* ------------------------------------------------------------------- items */

static TargetEntry *
add_item(AggMatch *m, Expr *expr, Index sortgroupref, FlowdbAggItemKind kind,
		 int number, AttrNumber attnum)
{
	FlowdbAggPlan *plan = m->plan;
	FlowdbAggItem *item = palloc(sizeof(FlowdbAggItem));
	TargetEntry *entry = makeTargetEntry(
		copyObject(expr), (AttrNumber) (list_length(plan->tlist) + 1), NULL,
		false);

	*item = (FlowdbAggItem){kind, number, attnum};
	entry->ressortgroupref = sortgroupref;
	plan->items = lappend(plan->items, item);
	plan->tlist = lappend(plan->tlist, entry);
	return entry;
}

static bool
is_item(const AggMatch *m, Node *node)
{
	ListCell *lc;

	foreach (lc, m->plan->tlist)
		if (equal(((TargetEntry *) lfirst(lc))->expr, node))
			return true;
	return false;
}

/* ------------------------------------------------------------------ groups */

/* Are values equal by the operator when they have the same bytes as a key? */
static bool
equality_fits(Oid eqop, Oid family, Oid collation)
{
	return get_op_opfamily_strategy(eqop, family) == BTEqualStrategyNumber &&
		   (!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

/* Is the function one of the extension's flowdb_time_bucket? */
static bool
is_time_bucket(Oid function)
{
	char *name;

	if (function < FirstNormalObjectId)
		return false;
	name = get_func_name(function);
	return name && strcmp(name, "flowdb_time_bucket") == 0 &&
		   getExtensionOfObject(ProcedureRelationId, function) ==
			   get_extension_oid(FLOWDB_EXTENSION, true);
}

static FlowdbBucketKind
bucket_kind(const FuncExpr *func)
{
	switch (func->funcid)
	{
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ:
			return FLOWDB_BUCKET_TRUNC;
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
			return FLOWDB_BUCKET_BIN;
		default:
			return is_time_bucket(func->funcid) ? FLOWDB_BUCKET_STRIDE
												: FLOWDB_BUCKET_NONE;
	}
}

/*
 * function(value, time [, value]), whose values stay the same for a scan; all
 * of them are strict.
 */
static bool
match_bucket(AggMatch *m, Expr *expr)
{
	FlowdbAggPlan *plan = m->plan;
	FuncExpr *func = (FuncExpr *) expr;
	FlowdbBucketKind kind;
	ListCell *lc;

	if (!IsA(func, FuncExpr) || list_length(func->args) < 2)
		return false;
	kind = bucket_kind(func);
	if (kind == FLOWDB_BUCKET_NONE ||
		flowdb_match_target(&m->match, lsecond(func->args)) !=
			FLOWDB_TARGET_TIME)
		return false;
	foreach (lc, func->args)
	{
		if (foreach_current_index(lc) == 1)
			continue;
		if (!flowdb_match_constant(&m->match, lfirst(lc)))
			return false;
		plan->bucket_args = lappend(plan->bucket_args, lfirst(lc));
	}
	plan->bucket = kind;
	plan->bucket_function = func->funcid;
	return true;
}

/* One expression that is grouped by. */
static bool
match_group(AggMatch *m, const SortGroupClause *clause, Expr *expr)
{
	const FlowdbTable *table = m->match.table;
	int target = flowdb_match_target(&m->match, (Node *) expr);
	Oid family = flowdb_time_family(table->time_type);

	if (target >= 0)
	{
		if (!equality_fits(clause->eqop,
						   flowdb_key_family(table->keys[target].type),
						   exprCollation((Node *) expr)))
			return false;
		add_item(m, expr, clause->tleSortGroupRef, FLOWDB_AGG_KEY, target, 0);
		m->plan->keys = lappend(m->plan->keys, expr);
		m->grouped = bms_add_member(m->grouped, target);
		return true;
	}
	if (table->time_attnum == 0 || m->plan->bucket != FLOWDB_BUCKET_NONE ||
		!equality_fits(clause->eqop, family, InvalidOid))
		return false;
	if (target == FLOWDB_TARGET_TIME)
		m->plan->bucket = FLOWDB_BUCKET_RAW;
	else if (!match_bucket(m, expr))
		return false;
	add_item(m, expr, clause->tleSortGroupRef, FLOWDB_AGG_BUCKET, 0, 0);
	return true;
}

/*
 * What of the target the clause is about.  From 16 on partial targets do not
 * mark what is redundant, as of columns that are fixed.
 */
static Expr *
find_group(const PathTarget *target, const SortGroupClause *clause,
		   const GroupPathExtraData *extra)
{
	Expr *wanted;
	ListCell *lc;

	foreach (lc, target->exprs)
		if (get_pathtarget_sortgroupref(target, foreach_current_index(lc)) ==
			clause->tleSortGroupRef)
			return lfirst(lc);
	wanted =
		get_sortgroupref_tle(clause->tleSortGroupRef, extra->targetList)->expr;
	foreach (lc, target->exprs)
		if (equal(lfirst(lc), wanted))
			return lfirst(lc);
	return NULL;
}

/* All that is grouped by; each has its place in the target. */
static bool
match_groups(AggMatch *m, const PathTarget *target, List *clauses,
			 const GroupPathExtraData *extra)
{
	ListCell *lc;

	foreach (lc, clauses)
	{
		const SortGroupClause *clause = lfirst(lc);
		Expr *expr = find_group(target, clause, extra);

		if (!expr || !match_group(m, clause, expr))
			return false;
		m->plan->groups = lappend(m->plan->groups, expr);
	}
	return true;
}

/*
 * Rows come by (key, time).  Groups that differ in a key column of the prefix
 * come one after the other.
 */
static void
set_prefix(AggMatch *m, const FlowdbQuals *quals)
{
	FlowdbAggPlan *plan = m->plan;
	int nkeys = m->match.table->nkeys;

	while (plan->prefix < nkeys && (plan->prefix < quals->nfixed ||
									bms_is_member(plan->prefix, m->grouped)))
		plan->prefix++;
	plan->by_prefix_only = bms_prev_member(m->grouped, -1) < plan->prefix;
}

/* ------------------------------------------------------------------- calls */

/* A minimum or maximum of a key column: those that a Datum holds. */
static bool
key_is_number(FlowdbKeyType type)
{
	return type == FLOWDB_KEY_INT2 || type == FLOWDB_KEY_INT4 ||
		   type == FLOWDB_KEY_INT8 || type == FLOWDB_KEY_DATE ||
		   type == FLOWDB_KEY_TIMESTAMP || type == FLOWDB_KEY_TIMESTAMPTZ;
}

/* Can the engine call the function on the column? */
static bool
call_fits(const AggMatch *m, const FlowdbAggFunction *f, Var *var)
{
	const FlowdbTable *table = m->match.table;
	int target = flowdb_match_target(&m->match, (Node *) var);

	if (var->varno != (int) m->match.rel->relid || var->varlevelsup != 0 ||
		var->varattno <= 0 || var->varattno == table->expire_attnum)
		return false;
	if (f->result == FLOWDB_RESULT_COUNT)
		return true;
	if (getBaseType(var->vartype) != f->type)
		return false;
	if (target == FLOWDB_TARGET_TIME)
		return f->result == FLOWDB_RESULT_VALUE;
	if (target >= 0)
		return f->result == FLOWDB_RESULT_VALUE &&
			   key_is_number(table->keys[target].type);
	return true;
}

static bool
is_plain(const Aggref *agg, bool partial)
{
	return agg->agglevelsup == 0 &&
		   agg->aggsplit ==
			   (partial ? AGGSPLIT_INITIAL_SERIAL : AGGSPLIT_SIMPLE) &&
		   agg->aggdistinct == NIL && agg->aggorder == NIL &&
		   agg->aggfilter == NULL && agg->aggdirectargs == NIL &&
		   !agg->aggvariadic;
}

static bool
match_call(AggMatch *m, Aggref *agg)
{
	int number = flowdb_agg_function(agg->aggfnoid);
	Node *arg = NULL;
	AttrNumber attnum = 0;

	if (is_item(m, (Node *) agg))
		return true;
	if (number < 0 || !is_plain(agg, m->plan->partial))
		return false;
	if (m->plan->partial &&
		agg->aggtype != flowdb_agg_state_type(&flowdb_agg_functions[number]))
		return false;
	if (agg->args != NIL)
		arg = flowdb_strip_relabel(
			(Node *) linitial_node(TargetEntry, agg->args)->expr);
	/* count(*), and count(1), which is the same */
	if (arg && !(IsA(arg, Const) && !((Const *) arg)->constisnull &&
				 agg->aggfnoid == F_COUNT_ANY))
	{
		if (!IsA(arg, Var) ||
			!call_fits(m, &flowdb_agg_functions[number], (Var *) arg))
			return false;
		attnum = ((Var *) arg)->varattno;
	}
	add_item(m, (Expr *) agg, 0, FLOWDB_AGG_CALL, number, attnum);
	return true;
}

/* Collect the calls; true, and an end: it has something else of the rows. */
static bool
find_calls(Node *node, void *context)
{
	AggMatch *m = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
		return !match_call(m, (Aggref *) node);
	if (is_item(m, node))
		return false;
	if (IsA(node, Var) || IsA(node, PlaceHolderVar) ||
		IsA(node, GroupingFunc) || IsA(node, WindowFunc))
		return true;
	return expression_tree_walker(node, find_calls, context);
}

/* -------------------------------------------------------------------- all */

FlowdbAggPlan *
flowdb_agg_match(PlannerInfo *root, RelOptInfo *input_rel,
				 RelOptInfo *output_rel, const GroupPathExtraData *extra,
				 bool partial)
{
	const Query *parse = root->parse;
	const FlowdbRel *fr = input_rel->fdw_private;
	PathTarget *target = output_rel->reltarget;
	Node *having = partial ? NULL : extra->havingQual;
	AggMatch m = {.match = {.root = root, .rel = input_rel}};

	if (parse->groupingSets != NIL || !input_fits(root, input_rel))
		return NULL;
	m.match.table = fr->table;
	m.plan = palloc0(sizeof(FlowdbAggPlan));
	m.plan->input = input_rel;
	m.plan->having = (List *) having;
	m.plan->partial = partial;
	if (!match_groups(&m, target, parse->groupClause, extra) ||
		find_calls((Node *) target->exprs, &m) || find_calls(having, &m))
		return NULL;
	set_prefix(&m, &fr->quals);
	return m.plan;
}
