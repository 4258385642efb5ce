/*-------------------------------------------------------------------------
 * compact.h
 *	  One merge of some SSTables of a store, in steps.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COMPACT_H
#define FLOW_COMPACT_H

#include "choose.h"

typedef struct FlowMergeJob FlowMergeJob;

/* What a job has done so far. */
typedef struct FlowMergeSums
{
	uint64_t rows; /* read */
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t expired; /* rows left out */
	int64_t time_us;  /* in its steps */
	uint32_t inputs, outputs;
	bool published;
} FlowMergeSums;

/* Begin the merge that was chosen: *choice is the job's then, also when it
 * fails (NOMEM). */
extern FlowStatus flowi_compact_begin(FlowDb *db, FlowChoice *choice,
									  FlowMergeJob **jobp) FLOW_MUST_CHECK;

/*
 * flowi_compact_step
 *		Work until about deadline (of env->ticks_us), at least a little.
 *		OK: there is more to do; END: the outputs stand in the place of the
 *		inputs, or the store is gone; INTERRUPTED: call again, if it is
 *		resumable.  Any other error is final.  Blocks on I/O, holds no lock
 *		meanwhile.
 */
extern FlowStatus flowi_compact_step(FlowMergeJob *job,
									 int64_t deadline) FLOW_MUST_CHECK;
extern bool flowi_compact_resumable(const FlowMergeJob *job);
extern const FlowMergeSums *flowi_compact_sums(const FlowMergeJob *job);

/* End it: what it has not published goes.  retry_at: see choose.h.  NULL is
 * fine. */
extern void flowi_compact_free(FlowMergeJob *job, int64_t retry_at);

/* gc.c: drop what has expired in all stores that are free; wait a moment for
 * the others if patient.  *purgedp: records. */
extern FlowStatus flowi_gc(FlowDb *db, bool patient,
						   uint64_t *purgedp) FLOW_MUST_CHECK;

#endif /* FLOW_COMPACT_H */
