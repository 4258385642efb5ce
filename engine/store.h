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

/* INVALID when there is no store of that id. */
extern FlowStatus flowi_stores_check(FlowEnv *env, FlowDbShared *sh,
									 uint32_t store_id) FLOW_MUST_CHECK;

/* Add the definitions that the manifest lacks to edit; see store.c. */
extern FlowStatus flowi_stores_add_new(FlowDb *db,
									   FlowEdit *edit) FLOW_MUST_CHECK;

/* Free the list; nobody uses it any more. */
extern void flowi_stores_free(FlowEnv *env, FlowDbShared *sh);

#endif /* FLOW_STORE_H */
