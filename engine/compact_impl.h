/*-------------------------------------------------------------------------
 * compact_impl.h
 *	  A merge job: what compact.c (inputs, rows, steps) and compact_out.c
 *	  (outputs, the exchange) share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COMPACT_IMPL_H
#define FLOW_COMPACT_IMPL_H

#include "compact.h"
#include "compact_dir.h"
#include "keep.h"
#include "merge.h"
#include "readers.h"
#include "row.h"

typedef enum FlowMergePhase
{
	PHASE_IDS,	  /* reserve ids for the outputs */
	PHASE_TOMBS,  /* read the range tombstones of the inputs */
	PHASE_ROWS,	  /* merge */
	PHASE_FINISH, /* the output is full, or the last: index, fsync, rename */
	PHASE_PUBLISH,
	PHASE_DONE
} FlowMergePhase;

typedef struct FlowMergeInput
{
	FlowMergeSource base;
	FlowMergeJob *job;
	uint32_t number;
	FlowSst *sst;
	FlowReader *reader; /* while it is open */
	FlowRec floor;
} FlowMergeInput;

/* A finished file. */
typedef struct FlowMergeOutput
{
	FlowSstInfo info; /* keys in keys; no directory */
	FlowBuf keys;
	FlowMergeTxn *txns;
	uint32_t ntxns;
} FlowMergeOutput;

struct FlowMergeJob
{
	FlowDb *db;
	FlowEnv *env;
	FlowChoice choice;
	FlowMergePhase phase;
	bool final;	   /* last output: rows have come to their end */
	bool gone;	   /* the store was dropped under the merge */
	bool doubtful; /* a failed edit may list the outputs all the same */
	bool stuck;	   /* an error broke off what cannot be taken up again */

	FlowMergeInput *inputs; /* as choice.inputs */
	uint32_t tombs_done;	/* inputs whose range tombstones were read */
	FlowSst **below;
	uint32_t nbelow;
	FlowMerge merge;
	FlowKeeper keeper;
	FlowMergeDir dir;

	/* the verdict on the merge's top, when it could not be written yet */
	bool judged;
	FlowKeepVerdict verdict;

	FlowSstWriter *writer; /* NULL: no output is begun */
	FlowShape shape;	   /* of its values */
	uint64_t first_id;
	uint32_t nids, ids_used;
	FlowMergeOutput *outputs;
	uint32_t noutputs, outputs_cap;

	uint64_t written_before; /* bytes of finished outputs */
	FlowMergeSums sums;
};

/* Begin the next file; finish it: index, fsync, rename.  A finished one is not
 * listed yet. */
extern FlowStatus flowi_compact_begin_output(FlowMergeJob *job) FLOW_MUST_CHECK;
extern FlowStatus
flowi_compact_finish_output(FlowMergeJob *job) FLOW_MUST_CHECK;

/*
 * flowi_compact_publish
 *		Put the outputs in the place of the inputs.  BUSY: another process
 *		writes the manifest; END: the store is gone.
 */
extern FlowStatus flowi_compact_publish(FlowMergeJob *job) FLOW_MUST_CHECK;

/* Unlink the files that were not published; free what is known of them. */
extern void flowi_compact_unlink_outputs(FlowMergeJob *job);
extern void flowi_compact_free_outputs(FlowMergeJob *job);

/* Close an input's iterator and reader; that of compact.c. */
extern void flowi_compact_close_input(FlowMergeSource *base);

#endif /* FLOW_COMPACT_IMPL_H */
