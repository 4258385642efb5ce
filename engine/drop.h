/*-------------------------------------------------------------------------
 * drop.h
 *	  Drops of stores, from their log record to the edit that takes the store
 *	  out of the manifest.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_DROP_H
#define FLOW_DROP_H

#include "db.h"

/*
 * flowi_drops_enter
 *		Note a drop that the log (end: of its record) or the manifest (end 0)
 *		has.  One of a store that is gone already is left out.  NOMEM: no room
 *		in the region; CORRUPT: the store never was defined.  Takes the state
 *		lock.
 * flowi_drops_forget
 *		The manifest says that nothing has come of a drop.
 */
extern FlowStatus flowi_drops_enter(FlowEnv *env, FlowDbShared *sh,
									const FlowDropInfo *info,
									uint64_t end) FLOW_MUST_CHECK;
extern void flowi_drops_forget(FlowEnv *env, FlowDbShared *sh,
							   const FlowDropInfo *info);

/*
 * Of a load: the manifest says that a store is gone; and it was read to its
 * end, so what needs no transaction can be decided.  Nobody else is there.
 */
extern void flowi_drops_load_gone(FlowEnv *env, FlowDbShared *sh, uint32_t id);
extern void flowi_drops_loaded(FlowDbShared *sh);

/* Is there a drop of store id that may still take effect, or has?  State lock
 * held. */
extern bool flowi_drops_pending(const FlowDbShared *sh, uint32_t id);

/*
 * flowi_drops_learn
 *		Ask the host for the fate of the transactions of undecided drops: those
 *		of one store, or of all (0).  In memory only, so that a store that is
 *		known to be dropped is found no more.  CORRUPT: the host has forgotten
 *		one; with lenient it stays undecided.  The caller holds no lock.
 * flowi_drops_settle
 *		Make durable what is known: one edit takes the stores that are dropped
 *		out of the manifest with all their SSTables, and forgets the drops
 *		that nothing has come of.  Syncs the log first (S5).  END: nothing was
 *		known.  The caller set busy.
 */
extern FlowStatus flowi_drops_learn(FlowDb *db, uint32_t store_id,
									bool lenient) FLOW_MUST_CHECK;
extern FlowStatus flowi_drops_settle(FlowDb *db) FLOW_MUST_CHECK;

/* Add to edit the drops that are not decided: all, or those whose record ends
 * behind flushed_pos.  State lock held. */
extern FlowStatus flowi_drops_tell(const FlowDbShared *sh, FlowEdit *edit,
								   bool all) FLOW_MUST_CHECK;

/* Free the list; nobody uses it any more. */
extern void flowi_drops_free(FlowEnv *env, FlowDbShared *sh);

#endif /* FLOW_DROP_H */
