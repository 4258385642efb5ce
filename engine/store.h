/*-------------------------------------------------------------------------
 * store.h
 *	  Store definitions in the shared region.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_STORE_H
#define FLOW_STORE_H

#include "db.h"

/*
 * flowi_stores_apply
 *		Enter the definition, or replace the blob of the store of that id.
 *		def_end: end of its log record; 0: it stands in the manifest.
 *		NOMEM: no room in the region; CORRUPT: it contradicts another one.
 *		Takes the state lock.
 */
extern FlowStatus flowi_stores_apply(FlowEnv *env, FlowDbShared *sh,
									 const FlowStoreInfo *info,
									 uint64_t def_end) FLOW_MUST_CHECK;

/*
 * flowi_stores_define
 *		Log a definition and enter it, if it is new; info->id is set.  *endp:
 *		out, end of the record, 0 when nothing was logged.  The caller has
 *		entered the write path (active.h) with room for FLOW_STORE_RECORD_MORE
 *		bytes beside name and blob, and commits *endp once it has left.
 */
extern FlowStatus flowi_stores_define(FlowDb *db, FlowStoreInfo *info,
									  uint64_t *endp) FLOW_MUST_CHECK;

/* Bytes of a STORE record beside name and blob, at most. */
#define FLOW_STORE_RECORD_MORE 32u

/* INVALID when there is no store of that id, or it is known to be dropped. */
extern FlowStatus flowi_stores_check(FlowEnv *env, FlowDbShared *sh,
									 uint32_t store_id) FLOW_MUST_CHECK;

/* INVALID when the store was dropped: what memtables still have of it nobody
 * shall read.  Costs little for the store of the last call. */
extern FlowStatus flowi_stores_check_read(FlowDb *db,
										  uint32_t store_id) FLOW_MUST_CHECK;

/*
 * flowi_stores_add_new
 *		Add to edit what the manifest lacks of definitions, open drops and the
 *		id of the next store; see store.c.  The log is synced between this call
 *		and the write (S5).
 * flowi_stores_add_all
 *		The same for a snapshot: all there is.
 */
extern FlowStatus flowi_stores_add_new(FlowDb *db,
									   FlowEdit *edit) FLOW_MUST_CHECK;
extern FlowStatus flowi_stores_add_all(FlowDb *db,
									   FlowEdit *edit) FLOW_MUST_CHECK;

/* No store of a lower id comes from now on; of a load. */
extern void flowi_stores_next(FlowDbShared *sh, uint32_t id);

/*
 * The end of stores; the state lock is held.
 *
 * flowi_stores_gone: was there a store of that id, which is there no more?
 * flowi_stores_mark: it is known to be dropped; nothing if it is not there.
 *		Lock held exclusive.  flowi_stores_marked: is it?
 * flowi_stores_list_marked: their ids in rising order, at most cap; how many.
 * flowi_stores_among: is id one of n in rising order?
 * flowi_stores_take: take those out of the list, chained, for the caller to
 *		free by flowi_stores_free_list, which needs no lock.  Lock held
 *		exclusive.
 */
extern bool flowi_stores_gone(const FlowDbShared *sh, uint32_t id);
extern void flowi_stores_mark(FlowDbShared *sh, uint32_t id);
extern bool flowi_stores_marked(const FlowDbShared *sh, uint32_t id);
extern uint32_t flowi_stores_list_marked(const FlowDbShared *sh, uint32_t *ids,
										 uint32_t cap);
extern bool flowi_stores_among(const uint32_t *ids, uint32_t n, uint32_t id);
extern FlowStore *flowi_stores_take(FlowDbShared *sh, const uint32_t *ids,
									uint32_t n);
extern void flowi_stores_free_list(FlowEnv *env, FlowStore *list);

/* Free the list; nobody uses it any more. */
extern void flowi_stores_free(FlowEnv *env, FlowDbShared *sh);

#endif /* FLOW_STORE_H */
