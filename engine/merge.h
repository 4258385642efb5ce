/*-------------------------------------------------------------------------
 * merge.h
 *	  k-way merge of version iterators.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MERGE_H
#define FLOW_MERGE_H

#include "iter.h"

typedef struct FlowMergeSource FlowMergeSource;

/*
 * What is merged; embed it as the first member.  cur is the source's current
 * version.  A source that is not open yet stands for its rows by a floor: an
 * identity at or before its first one, with the highest sequence.  Only when
 * the floor comes to the top is the source opened.
 */
struct FlowMergeSource
{
	FlowIter *it;		/* NULL: not open */
	const FlowRec *cur; /* &it->cur, or the floor */
	uint32_t rank;		/* least first among equal identities, then newest */
	/* set it and go to the first row: OK, END (nothing there), or an error */
	FlowStatus (*open)(FlowMergeSource *src);
	void (*ended)(FlowMergeSource *src); /* no row is left; may be NULL */
};

typedef struct FlowMerge
{
	FlowEnv *env;
	bool reverse;
	FlowMergeSource **heap; /* [0] is next */
	uint32_t n;
	uint32_t cap;
	uint32_t second; /* where the runner-up is; 0: not known */
} FlowMerge;

extern void flowi_merge_init(FlowMerge *m, FlowEnv *env);
extern void flowi_merge_free(FlowMerge *m);

/* Forget all sources; take n of them at most; add one (cur is set). */
extern void flowi_merge_reset(FlowMerge *m, bool reverse);
extern FlowStatus flowi_merge_reserve(FlowMerge *m, uint32_t n) FLOW_MUST_CHECK;
extern void flowi_merge_add(FlowMerge *m, FlowMergeSource *src);

/* The source of the next version, opened; FLOW_END when none is left.  After
 * an error the merge can only be reset. */
extern FlowStatus flowi_merge_top(FlowMerge *m, FlowMergeSource **srcp);
/* The source that is next when the top ends; NULL: there is none.  It may
 * stand for its rows by a floor. */
extern const FlowMergeSource *flowi_merge_second(FlowMerge *m);
/* Step over the top's version. */
extern FlowStatus flowi_merge_next(FlowMerge *m);

/* Let the top's source go to to, as if nothing were on the way; to NULL: to
 * its end.  As flowi_merge_next else. */
extern FlowStatus flowi_merge_skip(FlowMerge *m, const FlowSeek *to);

/* Let every open source that stands before to go there.  to's key must not
 * be any source's memory. */
extern FlowStatus flowi_merge_seek(FlowMerge *m, const FlowSeek *to);

#endif /* FLOW_MERGE_H */
