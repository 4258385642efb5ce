/*-------------------------------------------------------------------------
 * compact_dir.h
 *	  The directory of a merge's output: whose sequences are in it.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COMPACT_DIR_H
#define FLOW_COMPACT_DIR_H

#include "coding.h"
#include "version.h"

/* A piece of an output's directory, and the entry of the input it is of. */
typedef struct FlowMergeTxn
{
	uint64_t seq_first;
	uint64_t seq_last;
	uint32_t input;
	uint32_t entry; /* of the pinned SSTable's directory */
} FlowMergeTxn;

/* An input, as the directory sees it. */
typedef struct FlowMergeDirInput
{
	FlowSst *sst;	 /* pinned by the owner */
	uint8_t *used;	 /* entries with rows in the output; NULL: no directory */
	uint64_t lo, hi; /* all entries lie in between */
} FlowMergeDirInput;

/* Of the output that is being written; embed it; private. */
typedef struct FlowMergeDir
{
	FlowEnv *env;
	FlowMergeDirInput *inputs;
	uint32_t n;
	FlowBuf points; /* of struct Point, compact_dir.c */
} FlowMergeDir;

extern FlowStatus flowi_mergedir_init(FlowMergeDir *dir, FlowEnv *env,
									  FlowSst *const *inputs,
									  uint32_t n) FLOW_MUST_CHECK;
extern void flowi_mergedir_free(FlowMergeDir *dir); /* zeroed is fine */

/* A version or range tombstone of inputs[input] goes into the output; txn: its
 * entry there, NULL when it is settled. */
extern FlowStatus flowi_mergedir_note(FlowMergeDir *dir, uint32_t input,
									  const FlowTxn *txn,
									  uint64_t seq) FLOW_MUST_CHECK;

/*
 * flowi_mergedir_take
 *		The directory of what was noted, sorted, not overlapping, in private
 *		memory; afterwards nothing is noted.
 * flowi_mergedir_now
 *		The same as the current inputs have it, without what is settled by
 *		now.  current[i]: inputs[i] as the current version lists it.
 */
extern FlowStatus flowi_mergedir_take(FlowMergeDir *dir, FlowMergeTxn **txnsp,
									  uint32_t *np) FLOW_MUST_CHECK;
extern FlowStatus flowi_mergedir_now(const FlowMergeDir *dir,
									 const FlowMergeTxn *txns, uint32_t n,
									 FlowSst *const *current,
									 FlowTxnInfo **infosp,
									 uint32_t *ninfosp) FLOW_MUST_CHECK;

#endif /* FLOW_COMPACT_DIR_H */
