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

#include "fdw.h"

void
flowdbGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
						Oid foreigntableid)
{
	FlowdbRel *fr = palloc0(sizeof(FlowdbRel));
	Relation rel = table_open(foreigntableid, NoLock);
	FlowdbCost cost;

	fr->table = flowdb_table_get(rel);
	table_close(rel, NoLock);
	flowdb_cost_init(fr, baserel);
	flowdb_quals_split(root, baserel, fr->table, baserel->baserestrictinfo,
					   &fr->quals);
	flowdb_cost_estimate(root, baserel, fr, &fr->quals, &cost);
	baserel->rows = cost.rows;
	baserel->fdw_private = fr;
}

/* The buffer of a transaction is private to its process, and so are scans. */
bool
flowdbIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel,
								RangeTblEntry *rte)
{
	return false;
}

/* ---------------------------------------------------------------- ordering */

/* Does the pathkey sort by this column, in the engine's order? */
static bool
pathkey_is_column(const PathKey *pathkey, RelOptInfo *rel, AttrNumber attnum,
				  Oid family, bool text)
{
	EquivalenceClass *ec = pathkey->pk_eclass;
	ListCell *lc;

	if (pathkey->pk_opfamily != family || ec->ec_has_volatile ||
		(text && !flowdb_collation_is_c(ec->ec_collation)))
		return false;
	foreach (lc, ec->ec_members)
	{
		EquivalenceMember *em = lfirst(lc);
		Var *var = (Var *) flowdb_strip_relabel((Node *) em->em_expr);

		if (IsA(var, Var) && var->varno == (int) rel->relid &&
			var->varattno == attnum && var->varlevelsup == 0)
			return true;
	}
	return false;
}

/* Same for column number i of (key columns..., time). */
static bool
pathkey_matches(const PathKey *pathkey, RelOptInfo *rel,
				const FlowdbTable *table, int i)
{
	if (i < table->nkeys)
		return pathkey_is_column(pathkey, rel, table->keys[i].attnum,
								 table->keys[i].type == FLOWDB_KEY_TEXT
									 ? TEXT_BTREE_FAM_OID
									 : BYTEA_BTREE_FAM_OID,
								 table->keys[i].type == FLOWDB_KEY_TEXT);
	return pathkey_is_column(pathkey, rel, table->time_attnum,
							 table->time_type == FLOWDB_TIME_BIGINT
								 ? INTEGER_BTREE_FAM_OID
								 : FLOWDB_DATETIME_FAM_OID,
							 false);
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
	int ncolumns = table->nkeys + (table->time_attnum != 0 ? 1 : 0);
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

static void
add_one_path(PlannerInfo *root, RelOptInfo *rel, const FlowdbCost *cost,
			 List *pathkeys, bool reverse, Relids outer)
{
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

	if (bms_is_empty(outer))
		pathkeys = useful_pathkeys(root, rel, fr->table, quals, &reverse);
	if (pathkeys == NIL || reverse)
		add_one_path(root, rel, cost, NIL, false, outer);
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

ForeignScan *
flowdbGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid,
					 ForeignPath *best_path, List *tlist, List *scan_clauses,
					 Plan *outer_plan)
{
	FlowdbRel *fr = baserel->fdw_private;
	FlowdbQuals quals;
	List *exprs = NIL;
	List *recheck = NIL;
	List *targets = NIL;
	List *ops = NIL;
	List *types = NIL;
	List *wanted;
	int flags = 0;
	bool all;
	ListCell *lc;

	flowdb_quals_split(root, baserel, fr->table, scan_clauses, &quals);
	foreach (lc, quals.pushed)
	{
		FlowdbQual *qual = lfirst(lc);

		exprs = lappend(exprs, qual->value);
		recheck = lappend(recheck, qual->rinfo->clause);
		targets = lappend_int(targets, qual->target);
		ops = lappend_int(ops, (int) qual->op);
		types = lappend_oid(types, qual->value_type);
	}
	wanted = wanted_columns(baserel, &quals, &all);
	if (is_reverse(best_path))
		flags |= FLOWDB_SCAN_REVERSE;
	if (quals.collation_blocked)
		flags |= FLOWDB_SCAN_COLLATION;
	if (all)
		flags |= FLOWDB_SCAN_ALL_COLUMNS;
	return make_foreignscan(
		tlist, extract_actual_clauses(quals.local, false), baserel->relid,
		exprs, list_make5(wanted, targets, ops, types, list_make1_int(flags)),
		NIL, recheck, outer_plan);
}
