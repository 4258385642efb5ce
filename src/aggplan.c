/*-------------------------------------------------------------------------
 * aggplan.c
 *	  Path and plan of a grouping in the engine.
 *
 * The plan is a ForeignScan without a relation of its own: what it returns is
 * groups (fdw_scan_tlist), what it reads is described in fdw_private as in a
 * scan's plan.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "utils/selfuncs.h"

#include "agg.h"
#include "parallel.h"

#define CALL_FACTOR 0.1 /* of cpu_operator_cost: a value in a loop over many */
#define KEY_PAGES 0.5	/* of seq_page_cost: the least that a window reads */
#define SLICE_FACTOR 0.02 /* of cpu_tuple_cost: find a row's group */
#define SPAN_FACTOR 0.01  /* of all that reading costs: what the index tells */

/* ------------------------------------------------------------------- costs */

/* How many groups there are, by what the planner and the store know. */
typedef struct GroupCounts
{
	double rows;	/* that are read */
	double buckets; /* of time */
	double keys;	/* groups of a bucket, about */
	double groups;	/* all of them */
	double at_once; /* so many are in memory at a time */
} GroupCounts;

/*
 * How many buckets the times of the relation are in.  Those of the store tell
 * more than the planner can know, which expects so many groups; but not when
 * some are infinite.
 */
static double
count_buckets(PlannerInfo *root, const FlowdbAggPlan *plan, double rows,
			  double expected)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	double width;

	if (plan->bucket == FLOWDB_BUCKET_NONE)
		return 1;
	width = flowdb_bucket_width(plan->bucket, plan->bucket_args);
	if (width <= 0 || !fr->has_ts || fr->ts_min == PG_INT64_MIN ||
		fr->ts_max == PG_INT64_MAX)
		return expected;
	return Min(rows, flowdb_cost_span(root, fr, &fr->quals) / width + 1);
}

/* Of groups no more are counted than the planner expects of its own paths, so
 * that costs can be compared; memory is another matter. */
static void
count_groups(PlannerInfo *root, const FlowdbAggPlan *plan, double rows,
			 GroupCounts *counts)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	double expected;
	double nbuckets;
	double nkeys = 1;

	counts->rows = rows;
	counts->buckets = counts->keys = 1;
	counts->groups = counts->at_once = 1;
	if (plan->groups == NIL)
		return;
	expected = estimate_num_groups(root, plan->groups, rows, NULL, NULL);
	nbuckets = count_buckets(root, plan, rows, expected);
	if (plan->keys != NIL)
		nkeys = Min(fr->keys,
					estimate_num_groups(root, plan->keys, rows, NULL, NULL));
	counts->buckets = nbuckets;
	counts->keys = nkeys;
	counts->groups = clamp_row_est(Min(nkeys * nbuckets, expected));
	if (plan->by_prefix_only && plan->bucket == FLOWDB_BUCKET_NONE)
		return;
	if (plan->prefix < fr->table->nkeys)
		counts->at_once = Min(nkeys * nbuckets, rows);
	else if (!flowdb_bucket_rises(plan->bucket, fr->table->time_type))
		counts->at_once = nbuckets;
}

/* False: the groups would not fit into the memory that a hash table may have. */
static bool
groups_fit(const FlowdbAggPlan *plan, double groups)
{
	const FlowdbRel *fr = plan->input->fdw_private;

	return flowdb_groups_bytes(groups, list_length(plan->items),
							   Max(16, fr->bytes / fr->records / 4)) <=
		   (double) get_hash_memory_limit();
}

/* Does the index of an SSTable tell all that is asked for? */
static bool
is_told_by_index(const FlowdbAggPlan *plan)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	ListCell *lc;

	if (plan->groups != NIL || fr->quals.filters != NIL || fr->sstables == 0)
		return false;
	foreach (lc, plan->items)
	{
		const FlowdbAggItem *item = lfirst(lc);
		bool told = item->attnum == 0 || item->attnum == fr->table->time_attnum;

		for (int i = 0; i < fr->table->nkeys; i++)
			told |= item->attnum == fr->table->keys[i].attnum &&
					flowdb_agg_functions[item->number].result ==
						FLOWDB_RESULT_COUNT;
		if (!told)
			return false;
	}
	return true;
}

/* Of all the rows, but nothing of groups. */
static void
estimate_rows(PlannerInfo *root, const FlowdbAggPlan *plan, FlowdbCost *cost)
{
	const FlowdbRel *fr = plan->input->fdw_private;

	flowdb_cost_vectors(root, plan->input, fr, &fr->quals, cost);
	cost->total += cost->rows *
				   (cpu_operator_cost * CALL_FACTOR * list_length(plan->items) +
					cpu_tuple_cost * SLICE_FACTOR);
	if (!is_told_by_index(plan))
		return;
	cost->total = cost->startup + (cost->total - cost->startup) * SPAN_FACTOR;
	cost->disk *= SPAN_FACTOR;
	cost->bytes *= SPAN_FACTOR;
}

/* What comes of the rows, where there is no order; counts of it too. */
static void
estimate_groups(PlannerInfo *root, const FlowdbAggPlan *plan, FlowdbCost *cost,
				GroupCounts *counts)
{
	QualCost having;

	count_groups(root, plan, cost->rows, counts);
	/* what is held comes out at the end of the rows */
	if (counts->at_once > 1 || plan->groups == NIL)
		cost->startup = cost->total;
	cost->rows = counts->groups;
	cost->total += counts->groups * cpu_tuple_cost;
	if (plan->having != NIL)
	{
		cost_qual_eval(&having, plan->having, root);
		cost->startup += having.startup;
		cost->total += having.startup + counts->groups * having.per_tuple;
		cost->rows = clamp_row_est(
			counts->groups *
			clauselist_selectivity(root, plan->having, 0, JOIN_INNER, NULL));
	}
}

/* ------------------------------------------------------------------- order */

/*
 * What of the query's order groups can come in: that of their bucket, first of
 * all.  Where NULLs go does not matter: no bucket is one.
 */
static List *
bucket_pathkeys(PlannerInfo *root, RelOptInfo *rel, const FlowdbAggPlan *plan,
				FlowdbAggDirection *directionp)
{
	const FlowdbTable *table = ((FlowdbRel *) plan->input->fdw_private)->table;
	Expr *bucket = NULL;
	PathKey *pathkey;
	EquivalenceMember *em;
	ListCell *lc;

	*directionp = FLOWDB_AGG_ANYHOW;
	if (root->sort_pathkeys == NIL ||
		!flowdb_order_cuts(plan->bucket, table->time_type, plan->bucket_args))
		return NIL;
	foreach (lc, plan->items)
		if (((const FlowdbAggItem *) lfirst(lc))->kind == FLOWDB_AGG_BUCKET)
			bucket = ((TargetEntry *) list_nth(plan->tlist,
											   foreach_current_index(lc)))
						 ->expr;
	pathkey = linitial(root->sort_pathkeys);
	if (pathkey->pk_opfamily != flowdb_time_family(table->time_type) ||
		pathkey->pk_eclass->ec_has_volatile)
		return NIL;
	flowdb_foreach_member (em, pathkey->pk_eclass, rel->relids)
		if (equal(em->em_expr, bucket))
		{
			*directionp = FLOWDB_PATHKEY_DESCENDS(pathkey) ? FLOWDB_AGG_FALLING
														   : FLOWDB_AGG_RISING;
			return list_make1(pathkey);
		}
	return NIL;
}

/* A constant of LIMIT or OFFSET; missing, if it is not known. */
static double
limit_value(Node *node, double missing)
{
	Const *c = (Const *) node;

	return c && IsA(c, Const) && !c->constisnull
			   ? (double) DatumGetInt64(c->constvalue)
			   : missing;
}

/* Buckets of the first window: as many as the query will ask for. */
static double
first_buckets(PlannerInfo *root, const FlowdbAggPlan *plan,
			  const GroupCounts *counts)
{
	double rows = limit_value(root->parse->limitCount, 1) +
				  limit_value(root->parse->limitOffset, 0);
	double n = ceil(rows / counts->keys);

	n = Max(Min(n, 1e6), 1);
	while (n > 1 && !groups_fit(plan, n * counts->keys))
		n = floor(n / 2);
	return n;
}

/* The plain path's cost, changed into that of windows: each reads at least a
 * block of each key, which also the first pays before there is a group. */
static void
order_cost(const FlowdbAggPlan *plan, const GroupCounts *counts, double first,
		   FlowdbCost *cost)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	double keys = Max(1, fr->keys * Min(1, counts->rows / fr->records));
	Cost each =
		Min(cost->total, keys * (fr->sstables > 0 ? KEY_PAGES * seq_page_cost
												  : cpu_tuple_cost));
	double windows = 1;

	if (counts->buckets > first)
		windows +=
			ceil(log(counts->buckets / first) / log(FLOWDB_WINDOW_GROWTH));
	cost->startup =
		Min(cost->total, each + cost->total * Min(1, first / counts->buckets));
	cost->total += windows * each + 2 * cpu_operator_cost * counts->groups *
										log(counts->groups + 1);
}

/* -------------------------------------------------------------------- path */

static Path *
agg_path(PlannerInfo *root, RelOptInfo *rel, const FlowdbCost *cost,
		 List *pathkeys, FlowdbAggDirection direction, double first)
{
	QualCost target = rel->reltarget->cost;

	return (Path *) flowdb_create_foreign_upper_path(
		root, rel, rel->reltarget, cost->rows, cost->startup + target.startup,
		cost->total + target.startup + target.per_tuple * cost->rows, pathkeys,
		NULL, list_make2_int((int) direction, (int) first));
}

static void
add_final_paths(PlannerInfo *root, RelOptInfo *rel, const FlowdbAggPlan *plan)
{
	FlowdbCost cost;
	GroupCounts counts;
	FlowdbAggDirection direction;
	List *pathkeys;
	double first;

	estimate_rows(root, plan, &cost);
	estimate_groups(root, plan, &cost, &counts);
	if (groups_fit(plan, counts.at_once))
		add_path(rel, agg_path(root, rel, &cost, NIL, FLOWDB_AGG_ANYHOW, 0));
	pathkeys = bucket_pathkeys(root, rel, plan, &direction);
	if (pathkeys == NIL || !groups_fit(plan, counts.keys))
		return;
	first = first_buckets(root, plan, &counts);
	order_cost(plan, &counts, first, &cost);
	add_path(rel, agg_path(root, rel, &cost, pathkeys, direction, first));
}

/* ------------------------------------------------------------------ partial */

/* Groups that do not fit are returned when memory is full, and come again with
 * the next key. */
static void
estimate_partial(PlannerInfo *root, const FlowdbAggPlan *plan, FlowdbCost *cost)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	double rows = cost->rows;
	double most;
	GroupCounts counts;

	estimate_groups(root, plan, cost, &counts);
	if (groups_fit(plan, counts.at_once))
		return;
	most = Max(cost->rows, Min(rows, fr->keys * counts.buckets));
	cost->total += (most - cost->rows) * cpu_tuple_cost;
	cost->rows = most;
}

/* A part of the rows in each worker. */
static void
add_worker_path(PlannerInfo *root, RelOptInfo *rel, const FlowdbAggPlan *plan,
				const FlowdbCost *all)
{
	int workers = flowdb_parallel_workers(plan->input, all);
	FlowdbCost cost;
	Path *path;

	if (workers == 0)
		return;
	cost = flowdb_parallel_cost(all, workers);
	estimate_partial(root, plan, &cost);
	path = agg_path(root, rel, &cost, NIL, FLOWDB_AGG_ANYHOW, 0);
	path->parallel_aware = true;
	path->parallel_workers = workers;
	add_partial_path(rel, path);
}

/* What PostgreSQL combines: of workers, and of partitions. */
static void
add_partial_paths(PlannerInfo *root, RelOptInfo *rel, const FlowdbAggPlan *plan,
				  const GroupPathExtraData *extra)
{
	FlowdbCost all;
	FlowdbCost cost;

	estimate_rows(root, plan, &all);
	if (extra->patype == PARTITIONWISE_AGGREGATE_PARTIAL)
	{
		cost = all;
		estimate_partial(root, plan, &cost);
		add_path(rel, agg_path(root, rel, &cost, NIL, FLOWDB_AGG_ANYHOW, 0));
	}
	if (rel->consider_parallel && plan->input->consider_parallel)
		add_worker_path(root, rel, plan, &all);
}

/*
 * The planner makes the same of it, but by its own guess at the number of
 * groups: it knows nothing of the width of buckets, and takes time itself for
 * what is grouped by, so that combining seems to cost more than it saves.
 */
static void
add_finalize_path(PlannerInfo *root, RelOptInfo *rel, const FlowdbAggPlan *plan,
				  const GroupPathExtraData *extra)
{
	RelOptInfo *partial;
	FlowdbCost all;
	GroupCounts counts;
	ListCell *lc;

	if (plan->bucket == FLOWDB_BUCKET_NONE || !rel->consider_parallel ||
		plan->input->partial_pathlist == NIL || !extra->partial_costs_set ||
		(extra->flags & GROUPING_CAN_USE_HASH) == 0)
		return;
	partial = fetch_upper_rel(root, UPPERREL_PARTIAL_GROUP_AGG, rel->relids);
	estimate_rows(root, plan, &all);
	count_groups(root, plan, all.rows, &counts);
	foreach (lc, partial->partial_pathlist)
	{
		Path *path = lfirst(lc);
		double rows = path->rows * path->parallel_workers;

		if (!IsA(path, ForeignPath))
			continue;
		path = (Path *) create_gather_path(root, partial, path,
										   partial->reltarget, NULL, &rows);
		add_path(rel, (Path *) create_agg_path(
						  root, rel, path, rel->reltarget, AGG_HASHED,
						  AGGSPLIT_FINAL_DESERIAL, FLOWDB_GROUP_CLAUSE(root),
						  (List *) extra->havingQual, &extra->agg_final_costs,
						  counts.groups));
	}
}

void
flowdbGetForeignUpperPaths(PlannerInfo *root, UpperRelationKind stage,
						   RelOptInfo *input_rel, RelOptInfo *output_rel,
						   void *extra)
{
	bool partial = stage == UPPERREL_PARTIAL_GROUP_AGG;
	FlowdbAggPlan *plan;

	if (!flowdb_enable_aggregate_pushdown ||
		(stage != UPPERREL_GROUP_AGG && !partial) || output_rel->fdw_private)
		return;
	plan = flowdb_agg_match(root, input_rel, output_rel, extra, partial);
	if (!plan)
		return;
	output_rel->fdw_private = plan;
	if (partial)
	{
		add_partial_paths(root, output_rel, plan, extra);
		return;
	}
	add_final_paths(root, output_rel, plan);
	add_finalize_path(root, output_rel, plan, extra);
}

/* -------------------------------------------------------------------- plan */

/* The columns that are aggregated or shown. */
static List *
wanted_columns(const FlowdbAggPlan *plan)
{
	const FlowdbTable *table = ((FlowdbRel *) plan->input->fdw_private)->table;
	List *wanted = NIL;
	ListCell *lc;

	foreach (lc, plan->items)
	{
		const FlowdbAggItem *item = lfirst(lc);

		if (item->kind == FLOWDB_AGG_KEY)
			wanted = list_append_unique_int(wanted,
											table->keys[item->number].attnum);
		else if (item->attnum != 0 && item->attnum != table->time_attnum)
			wanted = list_append_unique_int(wanted, item->attnum);
	}
	return wanted;
}

/* What only an aggregate's plan has. */
static List *
plan_private(const FlowdbAggPlan *plan, const FlowdbQuals *quals, List *order)
{
	List *items = NIL;
	ListCell *lc;

	foreach (lc, plan->items)
	{
		const FlowdbAggItem *item = lfirst(lc);

		items = lappend_int(items, (int) item->kind);
		items = lappend_int(items, item->number);
		items = lappend_int(items, item->attnum);
	}
	return list_make5(items,
					  list_make5_int((int) plan->bucket, plan->prefix,
									 plan->by_prefix_only,
									 (int) plan->input->relid, plan->partial),
					  list_make1_oid(plan->bucket_function),
					  flowdb_plan_clauses(quals), order);
}

ForeignScan *
flowdb_agg_plan(PlannerInfo *root, RelOptInfo *rel, List *order, List *tlist,
				Plan *outer_plan)
{
	const FlowdbAggPlan *plan = rel->fdw_private;
	const FlowdbRel *fr = plan->input->fdw_private;
	List *exprs;
	List *private = flowdb_plan_scan(root, plan->input, &fr->quals,
									 wanted_columns(plan), 0, &exprs);

	private = lappend(private, plan_private(plan, &fr->quals, order));
	return make_foreignscan(tlist, plan->having, 0,
							list_concat_copy(exprs, plan->bucket_args), private,
							plan->tlist, NIL, outer_plan);
}
