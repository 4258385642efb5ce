/*-------------------------------------------------------------------------
 * parallel.h
 *	  Scans whose work several processes share.
 *
 * The seam for nodes of other kinds, whose source of vectors is a
 * FlowdbScanState: their callbacks of the same names call these.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_PARALLEL_H
#define FLOWDB_PARALLEL_H

#include "fdw.h"

#include "access/parallel.h"

/* ------------------------------------------------------ in planparallel.c */

/*
 * flowdb_parallel_workers
 *		How many workers a partial path that applies quals should have; 0:
 *		there should be none.
 * flowdb_parallel_cost
 *		Rows and cost of one participant of so many workers, from those of the
 *		whole.
 * flowdb_add_partial_path
 *		Offer a scan that workers share, if that may be worth it.
 */
extern int flowdb_parallel_workers(RelOptInfo *rel, const FlowdbCost *cost);
extern FlowdbCost flowdb_parallel_cost(const FlowdbCost *cost, int workers);
extern void flowdb_add_partial_path(PlannerInfo *root, RelOptInfo *rel,
									const FlowdbCost *cost, List *pathkeys,
									bool reverse);

/* ---------------------------------------------------------- in parallel.c */

/*
 * flowdb_share_size
 *		Bytes of it for so many workers.
 * flowdb_share_begin
 *		The leader divides the work anew, with the present values of parameters,
 *		and takes part in it.  again: of rescans, no worker is at work.
 * flowdb_share_join
 *		A worker takes part.
 * flowdb_share_leave
 *		A participant is done, and the memory may go.
 * flowdb_share_count
 *		When the segment that it is in goes, which is when all workers are done,
 *		their counters become the leader's own.
 * flowdb_share_forget
 *		Unless the leader goes first.
 */
extern Size flowdb_share_size(int nworkers);
extern void flowdb_share_begin(FlowdbScanState *state, ForeignScanState *node,
							   FlowdbShare *share, int nworkers, bool again);
extern void flowdb_share_join(FlowdbScanState *state, FlowdbShare *share);
extern void flowdb_share_leave(FlowdbScanState *state);
extern void flowdb_share_count(FlowdbScanState *state, FlowdbShare *share,
							   dsm_segment *segment);
extern void flowdb_share_forget(FlowdbScanState *state);

/*
 * flowdb_share_start
 *		The participant's scan begins.
 * flowdb_share_next
 *		The next range for it to read, into the scan's spec; false: there is
 *		none left.  *pointp as of flowdb_ranges_next.
 */
extern void flowdb_share_start(FlowdbScanState *state);
extern bool flowdb_share_next(FlowdbScanState *state, bool *pointp);

extern Size flowdbEstimateDSMForeignScan(ForeignScanState *node,
										 ParallelContext *pcxt);
extern void flowdbInitializeDSMForeignScan(ForeignScanState *node,
										   ParallelContext *pcxt,
										   void *coordinate);
extern void flowdbReInitializeDSMForeignScan(ForeignScanState *node,
											 ParallelContext *pcxt,
											 void *coordinate);
extern void flowdbInitializeWorkerForeignScan(ForeignScanState *node,
											  shm_toc *toc, void *coordinate);
extern void flowdbShutdownForeignScan(ForeignScanState *node);

#endif /* FLOWDB_PARALLEL_H */
