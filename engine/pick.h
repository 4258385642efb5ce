/*-------------------------------------------------------------------------
 * pick.h
 *	  Which SSTables to merge: pure functions of a list.
 *
 * Deterministic: the same list gives the same answer, whatever its order; it
 * may come back in another one.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_PICK_H
#define FLOW_PICK_H

#include "sst.h"

/* One SSTable of the store; info is borrowed. */
typedef struct FlowPickFile
{
	const FlowSstInfo *info;
	double garbage; /* share of it that a merge is known to leave out */
	bool picked;	/* out */
} FlowPickFile;

typedef struct FlowPick
{
	uint32_t npicked;	   /* 0: nothing to do */
	uint32_t level;		   /* of the output */
	uint64_t target_bytes; /* an output file ends at about this; 0: one file */
	double score; /* the higher the more useful; to choose among stores */
} FlowPick;

/* What the policy would merge next. */
extern void flowi_pick(const FlowMergePolicy *policy, int64_t now_us,
					   FlowPickFile *files, uint32_t n, FlowPick *pick);

/* What flow_compact merges: nothing below threshold files; else all of at
 * most four times the smallest one's bytes, or the two smallest, or the only
 * one (G04). */
extern void flowi_pick_manual(uint32_t threshold, FlowPickFile *files,
							  uint32_t n, FlowPick *pick);

/*
 * pick.c and pick_leveled.c, of each other:
 *
 * flowi_pick_leveled
 *		What FLOW_POLICY_LCS would merge next.
 * flowi_pick_sort
 *		Bring files into an order; flowi_pick_by_id: the oldest first.
 */
extern void flowi_pick_leveled(const FlowMergePolicy *p, FlowPickFile *files,
							   uint32_t n, FlowPick *pick);
extern void flowi_pick_sort(FlowPickFile *files, uint32_t n,
							int (*cmp)(const void *, const void *));
extern int flowi_pick_by_id(const void *pa, const void *pb);

#endif /* FLOW_PICK_H */
