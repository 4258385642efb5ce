/*-------------------------------------------------------------------------
 * planparallel.c
 *	  Planning of scans that workers share.
 *
 * As for heaps: the number of workers follows from the size of what is read,
 * by min_parallel_table_scan_size and its powers of three; what a processor
 * does is divided among them, what is read from disk is not.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"

#include "parallel.h"

/*
 * What workers need is theirs: a snapshot and the xids of the leader come
 * with the parallel context, handles on databases are each process's own, and
 * what the transaction has written is in the shared memtable before they start
 * (S2).  Core plans nothing parallel that locks rows or writes.
 */
bool
flowdbIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel,
								RangeTblEntry *rte)
{
	return true;
}

int
flowdb_parallel_workers(RelOptInfo *rel, const FlowdbCost *cost)
{
	return compute_parallel_worker(rel, cost->bytes / BLCKSZ, -1,
								   max_parallel_workers_per_gather);
}

/* Into how many parts so many workers and the leader divide the work; the
 * leader has the less time for it the more workers it serves. */
static double
divisor(int workers)
{
	double leader = 1.0 - 0.3 * workers;

	return parallel_leader_participation && leader > 0 ? workers + leader
													   : workers;
}

FlowdbCost
flowdb_parallel_cost(const FlowdbCost *cost, int workers)
{
	FlowdbCost part = *cost;

	part.rows = clamp_row_est(cost->rows / divisor(workers));
	part.total = cost->startup + cost->disk +
				 (cost->total - cost->startup - cost->disk) / divisor(workers);
	return part;
}

void
flowdb_add_partial_path(PlannerInfo *root, RelOptInfo *rel,
						const FlowdbCost *cost, List *pathkeys, bool reverse)
{
	int workers = flowdb_parallel_workers(rel, cost);
	FlowdbCost part;
	Path *path;

	if (workers == 0)
		return;
	part = flowdb_parallel_cost(cost, workers);
	path = (Path *) flowdb_create_foreignscan_path(
		root, rel, NULL, part.rows, part.startup, part.total, pathkeys, NULL,
		NULL, list_make1(makeInteger(reverse ? 1 : 0)));
	path->parallel_aware = true;
	path->parallel_workers = workers;
	add_partial_path(rel, path);
}
