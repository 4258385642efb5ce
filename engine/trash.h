/*-------------------------------------------------------------------------
 * trash.h
 *	  Files that are not listed any more, until they are gone.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TRASH_H
#define FLOW_TRASH_H

#include "version.h"

/* Entries for n files, chained, from the reserve; NULL: no room for all. */
extern FlowTrash *flowi_trash_alloc(FlowEnv *env, uint32_t n);
extern void flowi_trash_free(FlowEnv *env, FlowTrash *list); /* NULL is fine */

/* Put a chain into the database's trash; state lock held exclusive. */
extern void flowi_trash_add(FlowDbShared *sh, FlowTrash *list);

/* Nobody uses the file any more.  Takes the state lock. */
extern void flowi_trash_unused(FlowEnv *env, FlowDbShared *sh, uint64_t id);

/* flowi_trash_sweep without a handle. */
extern void flowi_trash_sweep_in(FlowEnv *env, FlowDbShared *sh,
								 const char *dir);

/*
 * flowi_trash_tell
 *		Add to edit what it has to say of the trash: in a snapshot the files
 *		that may still be there, else those that are gone.  Fields that there
 *		is no memory for are left out of an edit; a snapshot fails.  The
 *		caller set busy.
 * flowi_trash_told
 *		The edit is durable: forget the files that it knows are gone.
 * flowi_trash_ngone
 *		How many the manifest does not know yet to be gone.
 */
extern FlowStatus flowi_trash_tell(FlowDb *db, FlowEdit *edit,
								   bool snapshot) FLOW_MUST_CHECK;
extern void flowi_trash_told(FlowDb *db);
extern uint32_t flowi_trash_ngone(FlowDb *db);

#endif /* FLOW_TRASH_H */
