/*-------------------------------------------------------------------------
 * choose.h
 *	  Which store is merged next, and that nobody else does.
 *
 * A claim is a number in the store's definition: whoever put it there may
 * remove SSTables of the store from the current version, nobody else.  It is
 * looked up by store id each time, because flow_discard frees definitions
 * under a claim; the number tells it from a later claim of the same id.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_CHOOSE_H
#define FLOW_CHOOSE_H

#include "pick.h"
#include "version.h"

/* What to merge.  Owned by whoever got it, until a job takes it over. */
typedef struct FlowChoice
{
	uint32_t store_id;
	uint64_t claim;
	FlowVersion *version; /* pinned */
	FlowSst **inputs;	  /* private memory; of version, by id */
	uint32_t ninputs;
	FlowPick pick;
} FlowChoice;

/* Claim a store: BUSY when somebody has it, NOTFOUND when there is none. */
extern FlowStatus flowi_claim(FlowDb *db, uint32_t store_id,
							  uint64_t *claimp) FLOW_MUST_CHECK;
extern bool flowi_claim_holds(FlowDb *db, uint32_t store_id, uint64_t claim);
/* Give it back; retry_at: no merge but one by hand before, nor before what
 * an earlier claim said; 0: nothing to say. */
extern void flowi_claim_release(FlowDb *db, uint32_t store_id, uint64_t claim,
								int64_t retry_at);

/* The ids of all stores, in private memory of the env. */
extern FlowStatus flowi_choose_stores(FlowDb *db, uint32_t **idsp,
									  uint32_t *np) FLOW_MUST_CHECK;

/*
 * flowi_choose
 *		The most useful merge that policies ask for, claimed.  END: none.
 * flowi_choose_manual
 *		What flow_compact merges of a store, claimed.  END: nothing; BUSY,
 *		NOTFOUND as flowi_claim.
 * flowi_choice_free: release claim (retry_at as above), version and list.
 */
extern FlowStatus flowi_choose(FlowDb *db, FlowChoice *choice) FLOW_MUST_CHECK;
extern FlowStatus flowi_choose_manual(FlowDb *db, uint32_t store_id,
									  FlowChoice *choice) FLOW_MUST_CHECK;
extern void flowi_choice_free(FlowDb *db, FlowChoice *choice, int64_t retry_at);

/* Would flowi_choose find anything, or flow_gc drop anything? */
extern FlowStatus flowi_choose_any(FlowDb *db, bool *anyp) FLOW_MUST_CHECK;

#endif /* FLOW_CHOOSE_H */
