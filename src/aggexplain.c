/*-------------------------------------------------------------------------
 * aggexplain.c
 *	  What EXPLAIN says about aggregates in the engine.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "agg.h"
#include "compat.h"

/* The members of the plan's list that are calls, or those that are groups. */
static List *
deparse_items(const ForeignScan *plan, bool calls, List *context, bool prefix)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *items = list_nth(more, FLOWDB_AGG_ITEMS);
	List *texts = NIL;
	ListCell *lc;

	foreach (lc, plan->fdw_scan_tlist)
	{
		int kind = list_nth_int(items, 3 * foreach_current_index(lc));
		Node *expr = (Node *) ((TargetEntry *) lfirst(lc))->expr;

		if ((kind == FLOWDB_AGG_CALL) == calls)
			texts = lappend(texts,
							deparse_expression(expr, context, prefix, false));
	}
	return texts;
}

/* The order of groups: the bucket, and the direction as ORDER BY has it. */
static void
explain_order(const ForeignScan *plan, List *context, bool prefix,
			  ExplainState *es)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *items = list_nth(more, FLOWDB_AGG_ITEMS);
	int direction = linitial_int(list_nth(more, FLOWDB_AGG_ORDER));
	ListCell *lc;

	if (direction == FLOWDB_AGG_ANYHOW)
		return;
	foreach (lc, plan->fdw_scan_tlist)
		if (list_nth_int(items, 3 * foreach_current_index(lc)) ==
			FLOWDB_AGG_BUCKET)
			ExplainPropertyText(
				"FlowDB Order",
				psprintf("%s%s",
						 deparse_expression(
							 (Node *) ((TargetEntry *) lfirst(lc))->expr,
							 context, prefix, false),
						 direction == FLOWDB_AGG_FALLING ? " DESC" : ""),
				es);
}

/* The pushed clauses, which are the planner's: setrefs.c has not seen them. */
static List *
pushed_clauses(const ForeignScan *plan)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *clauses = copyObject(list_nth(more, FLOWDB_AGG_CLAUSES));
	int was = lfourth_int(list_nth(more, FLOWDB_AGG_HOW));

	OffsetVarNodes((Node *) clauses, (int) flowdb_agg_relation(plan) - was, 0);
	return clauses;
}

void
flowdb_agg_explain(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	FlowdbScanState *state = node->fdw_state;
	List *context =
		set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	bool prefix = FLOWDB_EXPLAINS_TABLES(es) || es->verbose;
	List *groups = deparse_items(plan, false, context, prefix);
	List *calls = deparse_items(plan, true, context, prefix);

	ExplainPropertyText("FlowDB Table", RelationGetRelationName(state->rel),
						es);
	if (calls != NIL)
		ExplainPropertyList("FlowDB Aggregate", calls, es);
	if (groups != NIL)
		ExplainPropertyList("FlowDB Group Key", groups, es);
	explain_order(plan, context, prefix, es);
	flowdb_explain_store(state->table, es);
	flowdb_explain_clauses(plan, pushed_clauses(plan), context, es);
	if (!es->analyze || !state->db)
		return;
	if (flowdb_agg_windows(node) > 0)
		ExplainPropertyInteger("FlowDB Windows", NULL,
							   (int64) flowdb_agg_windows(node), es);
	if (flowdb_agg_passes(node) > 0)
		ExplainPropertyInteger("FlowDB Passes", NULL,
							   (int64) flowdb_agg_passes(node) + 1, es);
	flowdb_explain_stats(node, state, es);
}
