/*-------------------------------------------------------------------------
 * plan.c
 *	  Size, paths and plan of a scan.
 *
 * The engine returns rows by (key, ts), forwards or backwards.  Paths with
 * that order are offered where the query can use it, and parameterized ones
 * where a join clause bounds key or time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_opfamily.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"

#include "agg.h"
#include "parallel.h"
#include "rights.h"

void
flowdbGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
						Oid foreigntableid)
{
	FlowdbRel *fr = palloc0(sizeof(FlowdbRel));
	Relation rel = table_open(foreigntableid, NoLock);
	FlowdbCost cost;

	flowdb_rights_check_query(root->parse);
	fr->table = flowdb_table_get(rel);
	flowdb_cost_init(fr, baserel);
	flowdb_cost_width(root, baserel, fr, RelationGetDescr(rel));
	table_close(rel, NoLock);
	flowdb_quals_split(root, baserel, fr->table, baserel->baserestrictinfo,
					   &fr->quals);
	flowdb_cost_estimate(root, baserel, fr, &fr->quals, &cost);
	baserel->rows = cost.rows;
	baserel->fdw_private = fr;
}

/* ---------------------------------------------------------------- ordering */

/* Column number i of (key columns..., time). */
static void
sort_column(const FlowdbTable *table, int i, AttrNumber *attnump, Oid *familyp,
			bool *textp)
{
	bool key = i < table->nkeys;

	*attnump = key ? table->keys[i].attnum : table->time_attnum;
	*familyp = key ? flowdb_key_family(table->keys[i].type)
				   : flowdb_time_family(table->time_type);
	*textp = key && table->keys[i].type == FLOWDB_KEY_TEXT;
}

static int
sort_columns(const FlowdbTable *table)
{
	return table->nkeys + (table->time_attnum != 0 ? 1 : 0);
}

/* Does sorting by the class sort by column number i, in the engine's order? */
static bool
class_is_column(EquivalenceClass *ec, RelOptInfo *rel, const FlowdbTable *table,
				int i)
{
	AttrNumber attnum;
	Oid family;
	bool text;
	EquivalenceMember *em;

	sort_column(table, i, &attnum, &family, &text);
	if (ec->ec_has_volatile || !list_member_oid(ec->ec_opfamilies, family) ||
		(text && !flowdb_collation_is_c(ec->ec_collation)))
		return false;
	flowdb_foreach_member (em, ec, rel->relids)
	{
		Var *var = (Var *) flowdb_strip_relabel((Node *) em->em_expr);

		if (IsA(var, Var) && var->varno == (int) rel->relid &&
			var->varattno == attnum && var->varlevelsup == 0)
			return true;
	}
	return false;
}

static bool
pathkey_matches(const PathKey *pathkey, RelOptInfo *rel,
				const FlowdbTable *table, int i)
{
	AttrNumber attnum;
	Oid family;
	bool text;

	sort_column(table, i, &attnum, &family, &text);
	return pathkey->pk_opfamily == family &&
		   class_is_column(pathkey->pk_eclass, rel, table, i);
}

/*
 * join_pathkeys
 *		What of the engine's order a merge join above the scan can use.
 */
static List *
join_pathkeys(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
			  const FlowdbQuals *quals)
{
	List *pathkeys = NIL;

	if (!rel->has_eclass_joins && rel->joininfo == NIL)
		return NIL;
	for (int i = 0; i < sort_columns(table); i++)
	{
		EquivalenceClass *found = NULL;
		AttrNumber attnum;
		Oid family;
		bool text;
		ListCell *lc;

		foreach (lc, root->eq_classes)
			if (class_is_column(lfirst(lc), rel, table, i))
				found = lfirst(lc);
		if (!found && i >= quals->nfixed)
			break;
		if (!found || EC_MUST_BE_REDUNDANT(found))
			continue;
		sort_column(table, i, &attnum, &family, &text);
		/* canonical lists name a class once: two columns may be equal */
		pathkeys = list_append_unique_ptr(
			pathkeys, make_canonical_pathkey(root, found, family,
											 FLOWDB_SORT_ASCENDING, false));
	}
	return truncate_useless_pathkeys(root, rel, pathkeys);
}

/*
 * useful_pathkeys
 *		The longest beginning of the query's order that a scan has, in one
 *		direction or the other.
 *
 * Key columns that are fixed do not disturb the order of what follows.
 * Where NULLs go does not matter: there are none.
 */
static List *
useful_pathkeys(PlannerInfo *root, RelOptInfo *rel, const FlowdbTable *table,
				const FlowdbQuals *quals, bool *reversep)
{
	int ncolumns = sort_columns(table);
	int column = 0;
	List *pathkeys = NIL;
	ListCell *lc;

	*reversep = false;
	foreach (lc, root->query_pathkeys)
	{
		PathKey *pathkey = lfirst(lc);
		bool descending = FLOWDB_PATHKEY_DESCENDS(pathkey);

		while (column < quals->nfixed &&
			   !pathkey_matches(pathkey, rel, table, column))
			column++;
		if (column >= ncolumns || !pathkey_matches(pathkey, rel, table, column))
			break;
		if (pathkeys == NIL)
			*reversep = descending;
		else if (descending != *reversep)
			break;
		pathkeys = lappend(pathkeys, pathkey);
		column++;
	}
	return pathkeys;
}

/* ------------------------------------------------------------------- paths */

/* The same for workers to share, where no other relation takes part. */
static void
add_one_path(PlannerInfo *root, RelOptInfo *rel, const FlowdbCost *cost,
			 List *pathkeys, bool reverse, Relids outer)
{
	if (rel->consider_parallel && bms_is_empty(outer))
		flowdb_add_partial_path(root, rel, cost, pathkeys, reverse);
	add_path(rel, (Path *) flowdb_create_foreignscan_path(
					  root, rel, NULL, cost->rows, cost->startup, cost->total,
					  pathkeys, outer, NULL,
					  list_make1(makeInteger(reverse ? 1 : 0))));
}

/*
 * Paths that apply quals, with and without order.  The order of a
 * parameterized path is of no interest to the planner.
 */
static void
add_paths_for(PlannerInfo *root, RelOptInfo *rel, const FlowdbQuals *quals,
			  const FlowdbCost *cost, Relids outer)
{
	FlowdbRel *fr = rel->fdw_private;
	bool reverse = false;
	List *pathkeys = NIL;
	List *joined = NIL;

	if (bms_is_empty(outer))
	{
		pathkeys = useful_pathkeys(root, rel, fr->table, quals, &reverse);
		joined = join_pathkeys(root, rel, fr->table, quals);
	}
	if (pathkeys == NIL || reverse || !pathkeys_contained_in(joined, pathkeys))
		add_one_path(root, rel, cost, joined, false, outer);
	if (pathkeys != NIL)
		add_one_path(root, rel, cost, pathkeys, reverse, outer);
}

/* Note outer relations whose values the clause would bound the scan by. */
static void
collect_outer(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *rinfo,
			  List **outersp)
{
	FlowdbRel *fr = rel->fdw_private;
	FlowdbQual qual;
	bool ignored = false;
	Relids outer;
	ListCell *lc;

	if (!join_clause_is_movable_to(rinfo, rel) ||
		!flowdb_qual_match(root, rel, fr->table, rinfo, &qual, &ignored) ||
		qual.op == FLOWDB_OP_TRUE)
		return;
	outer = bms_union(rinfo->clause_relids, rel->lateral_relids);
	outer = bms_del_member(outer, (int) rel->relid);
	if (bms_is_empty(outer))
		return;
	foreach (lc, *outersp)
		if (bms_equal(lfirst(lc), outer))
			return;
	*outersp = lappend(*outersp, outer);
}

/* For generate_implied_equalities_for_column: is it the column at arg? */
static bool
member_is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
				 EquivalenceMember *em, void *arg)
{
	Var *var = (Var *) flowdb_strip_relabel((Node *) em->em_expr);

	return IsA(var, Var) && var->varno == (int) rel->relid &&
		   var->varattno == *(AttrNumber *) arg;
}

static void
collect_equalities(PlannerInfo *root, RelOptInfo *rel, AttrNumber attnum,
				   List **outersp)
{
	List *clauses = generate_implied_equalities_for_column(
		root, rel, member_is_column, &attnum, rel->lateral_referencers);
	ListCell *lc;

	foreach (lc, clauses)
		collect_outer(root, rel, lfirst(lc), outersp);
}

/*
 * A path with the values of outer relations, if they bound the scan any
 * further than the relation's own clauses do.
 */
static void
add_parameterized_path(PlannerInfo *root, RelOptInfo *rel, Relids outer)
{
	FlowdbRel *fr = rel->fdw_private;
	ParamPathInfo *ppi = get_baserel_parampathinfo(root, rel, outer);
	FlowdbQuals quals;
	FlowdbCost cost;

	flowdb_quals_split(
		root, rel, fr->table,
		list_concat_copy(rel->baserestrictinfo, ppi->ppi_clauses), &quals);
	if (list_length(quals.pushed) <= list_length(fr->quals.pushed))
		return;
	flowdb_cost_estimate(root, rel, fr, &quals, &cost);
	ppi->ppi_rows = cost.rows;
	add_paths_for(root, rel, &quals, &cost, outer);
}

static void
add_parameterized_paths(PlannerInfo *root, RelOptInfo *rel)
{
	FlowdbRel *fr = rel->fdw_private;
	List *outers = NIL;
	Relids all = NULL;
	ListCell *lc;

	foreach (lc, rel->joininfo)
		collect_outer(root, rel, lfirst(lc), &outers);
	if (rel->has_eclass_joins)
	{
		for (int i = 0; i < fr->table->nkeys; i++)
			collect_equalities(root, rel, fr->table->keys[i].attnum, &outers);
		if (fr->table->time_attnum != 0)
			collect_equalities(root, rel, fr->table->time_attnum, &outers);
	}
	foreach (lc, outers)
	{
		add_parameterized_path(root, rel, lfirst(lc));
		all = bms_add_members(all, lfirst(lc));
	}
	/* key from one relation, time from another */
	if (list_length(outers) > 1)
	{
		foreach (lc, outers)
			if (bms_equal(lfirst(lc), all))
				return;
		add_parameterized_path(root, rel, all);
	}
}

void
flowdbGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
					  Oid foreigntableid)
{
	FlowdbRel *fr = baserel->fdw_private;
	FlowdbCost cost;

	flowdb_cost_estimate(root, baserel, fr, &fr->quals, &cost);
	add_paths_for(root, baserel, &fr->quals, &cost, baserel->lateral_relids);
	add_parameterized_paths(root, baserel);
}

/* -------------------------------------------------------------------- plan */

/* Columns that the query or the executor's quals look at. */
static List *
wanted_columns(RelOptInfo *rel, const FlowdbQuals *quals, bool *allp)
{
	Bitmapset *attnums = NULL;
	List *wanted = NIL;
	ListCell *lc;
	int i = -1;

	*allp = false;
	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &attnums);
	foreach (lc, quals->local)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause,
					   rel->relid, &attnums);
	while ((i = bms_next_member(attnums, i)) >= 0)
	{
		int attnum = i + FirstLowInvalidHeapAttributeNumber;

		if (attnum == 0)
			*allp = true;
		else if (attnum > 0)
			wanted = lappend_int(wanted, attnum);
	}
	return wanted;
}

static bool
is_reverse(const ForeignPath *path)
{
	return intVal(linitial(path->fdw_private)) != 0;
}

/* What a plan keeps of quals: lists that grow with each. */
typedef struct PlanQuals
{
	List *exprs;
	List *types;
	List *arrays;
} PlanQuals;

/* Add quals; the int list that says what they are. */
static List *
plan_quals(PlanQuals *plan, List *quals)
{
	List *shape = NIL;
	ListCell *lc;

	foreach (lc, quals)
	{
		const FlowdbQual *qual = lfirst(lc);

		plan->exprs = list_concat(plan->exprs, qual->values);
		plan->types = list_concat(plan->types, qual->types);
		plan->arrays = list_concat(plan->arrays, qual->arrays);
		shape = lappend_int(shape, qual->target);
		shape = lappend_int(shape, (int) qual->op);
		shape = lappend_int(shape, list_length(qual->values));
	}
	return shape;
}

List *
flowdb_plan_scan(PlannerInfo *root, RelOptInfo *baserel,
				 const FlowdbQuals *quals, List *wanted, int flags,
				 List **exprsp)
{
	PlanQuals plan = {NIL};
	List *bounds = plan_quals(&plan, quals->pushed);
	List *filters = plan_quals(&plan, quals->filters);
	List *private;
	ListCell *lc;

	*exprsp = plan.exprs;
	foreach (lc, quals->filters)
		wanted = list_append_unique_int(
			wanted, ((const FlowdbQual *) lfirst(lc))->target);
	if (quals->collation_blocked)
		flags |= FLOWDB_SCAN_COLLATION;
	private = list_make5(wanted, bounds, plan.types, plan.arrays,
						 list_make1_int(flags));
	private = lappend(private, flowdb_plan_lock(root, baserel));
	return lappend(private, filters);
}

/* The clauses of all that the engine applies, in the plan's order. */
List *
flowdb_plan_clauses(const FlowdbQuals *quals)
{
	List *clauses = NIL;
	ListCell *lc;

	foreach (lc, quals->pushed)
		clauses =
			lappend(clauses, ((const FlowdbQual *) lfirst(lc))->rinfo->clause);
	foreach (lc, quals->filters)
		clauses =
			lappend(clauses, ((const FlowdbQual *) lfirst(lc))->rinfo->clause);
	return clauses;
}

/* Is there a LIMIT 1 right above the scan, but for what may stand between? */
static bool
wants_one(const PlannerInfo *root, const FlowdbQuals *quals)
{
	return root->limit_tuples == 1 && quals->local == NIL &&
		   bms_membership(root->all_baserels) == BMS_SINGLETON;
}

ForeignScan *
flowdbGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid,
					 ForeignPath *best_path, List *tlist, List *scan_clauses,
					 Plan *outer_plan)
{
	FlowdbRel *fr = baserel->fdw_private;
	FlowdbQuals quals;
	List *exprs;
	List *wanted;
	List *private;
	bool all;

	if (IS_UPPER_REL(baserel))
		return flowdb_agg_plan(root, baserel, best_path->fdw_private, tlist,
							   outer_plan);
	flowdb_quals_split(root, baserel, fr->table, scan_clauses, &quals);
	wanted = wanted_columns(baserel, &quals, &all);
	private = flowdb_plan_scan(
		root, baserel, &quals, wanted,
		(is_reverse(best_path) ? FLOWDB_SCAN_REVERSE : 0) |
			(all ? FLOWDB_SCAN_ALL_COLUMNS : 0) |
			(wants_one(root, &quals) ? FLOWDB_SCAN_ONE_ROW : 0),
		&exprs);
	return make_foreignscan(tlist, extract_actual_clauses(quals.local, false),
							baserel->relid, exprs, private, NIL,
							flowdb_plan_clauses(&quals), outer_plan);
}
