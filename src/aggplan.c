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

#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "utils/selfuncs.h"

#include "agg.h"

#define CALL_FACTOR 0.1 /* of cpu_operator_cost: a value in a loop over many */
#define SLICE_FACTOR 0.02 /* of cpu_tuple_cost: find a row's group */

/* ------------------------------------------------------------------- costs */

/* How many groups there are, by what the planner and the store know. */
typedef struct GroupCounts
{
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

	counts->groups = counts->at_once = 1;
	if (plan->groups == NIL)
		return;
	expected = estimate_num_groups(root, plan->groups, rows, NULL, NULL);
	nbuckets = count_buckets(root, plan, rows, expected);
	if (plan->keys != NIL)
		nkeys = Min(fr->keys,
					estimate_num_groups(root, plan->keys, rows, NULL, NULL));
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
estimate(PlannerInfo *root, const FlowdbAggPlan *plan, FlowdbCost *cost)
{
	const FlowdbRel *fr = plan->input->fdw_private;
	int ncalls = list_length(plan->items);
	GroupCounts counts;
	double rows;
	QualCost having;

	flowdb_cost_vectors(root, plan->input, fr, &fr->quals, cost);
	rows = cost->rows;
	count_groups(root, plan, rows, &counts);
	if (flowdb_groups_bytes(counts.at_once, ncalls,
							Max(16, fr->bytes / fr->records / 4)) >
		(double) get_hash_memory_limit())
		return false;
	cost->total += rows * (cpu_operator_cost * CALL_FACTOR * ncalls +
						   cpu_tuple_cost * SLICE_FACTOR);
	/* what is held comes out at the end of the rows */
	if (counts.at_once > 1 || plan->groups == NIL)
		cost->startup = cost->total;
	cost->rows = counts.groups;
	cost->total += counts.groups * cpu_tuple_cost;
	if (plan->having != NIL)
	{
		cost_qual_eval(&having, plan->having, root);
		cost->startup += having.startup;
		cost->total += having.startup + counts.groups * having.per_tuple;
		cost->rows = clamp_row_est(
			counts.groups *
			clauselist_selectivity(root, plan->having, 0, JOIN_INNER, NULL));
	}
	return true;
}

/* -------------------------------------------------------------------- path */

void
flowdbGetForeignUpperPaths(PlannerInfo *root, UpperRelationKind stage,
						   RelOptInfo *input_rel, RelOptInfo *output_rel,
						   void *extra)
{
	FlowdbAggPlan *plan;
	FlowdbCost cost;

	if (!flowdb_enable_aggregate_pushdown || stage != UPPERREL_GROUP_AGG ||
		output_rel->fdw_private)
		return;
	plan = flowdb_agg_match(root, input_rel, output_rel,
							((GroupPathExtraData *) extra)->havingQual);
	if (!plan || !estimate(root, plan, &cost))
		return;
	output_rel->fdw_private = plan;
	cost.startup += output_rel->reltarget->cost.startup;
	cost.total += output_rel->reltarget->cost.startup +
				  output_rel->reltarget->cost.per_tuple * cost.rows;
	add_path(output_rel, (Path *) flowdb_create_foreign_upper_path(
							 root, output_rel, output_rel->reltarget, cost.rows,
							 cost.startup, cost.total, NIL, NULL, NIL));
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
plan_private(const FlowdbAggPlan *plan, const FlowdbQuals *quals)
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
	return list_make4(
		items,
		list_make4_int((int) plan->bucket, plan->prefix, plan->by_prefix_only,
					   (int) plan->input->relid),
		list_make1_oid(plan->bucket_function), flowdb_plan_clauses(quals));
}

ForeignScan *
flowdb_agg_plan(PlannerInfo *root, RelOptInfo *rel, List *tlist,
				Plan *outer_plan)
{
	const FlowdbAggPlan *plan = rel->fdw_private;
	const FlowdbRel *fr = plan->input->fdw_private;
	List *exprs;
	List *private = flowdb_plan_scan(root, plan->input, &fr->quals,
									 wanted_columns(plan), 0, &exprs);

	private = lappend(private, plan_private(plan, &fr->quals));
	return make_foreignscan(tlist, plan->having, 0,
							list_concat_copy(exprs, plan->bucket_args), private,
							plan->tlist, NIL, outer_plan);
}
