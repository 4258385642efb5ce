/*-------------------------------------------------------------------------
 * active.h
 *	  The active memtable: who makes it, what it stands for, how it ends.
 *
 * The write lock is held by every caller, unless said otherwise.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ACTIVE_H
#define FLOW_ACTIVE_H

#include "db.h"

/* Enter and leave the write path: asks the host's log for admission of a
 * record of at most len bytes (BUSY: not now), takes the write lock.  INVALID:
 * the database is closed.  leave tells the host what happened. */
extern FlowStatus flowi_active_enter(FlowDb *db, size_t len,
									 FlowSync sync) FLOW_MUST_CHECK;
extern void flowi_active_leave(FlowDb *db, bool frozen);

/* After leave, no lock held: the record that ends at end is as durable as it
 * was to be, and visible. */
extern FlowStatus flowi_active_commit(FlowDb *db, uint64_t end) FLOW_MUST_CHECK;

/* There is an active memtable afterwards; BUSY: no room for one. */
extern FlowStatus flowi_active_ensure(FlowDb *db) FLOW_MUST_CHECK;

/*
 * flowi_active_expect
 *		Something is about to be logged at or behind bound: from now on the
 *		active memtable holds back flow_oldest_unflushed.  To be called
 *		before the append.
 */
extern void flowi_active_expect(FlowDb *db, uint64_t bound);

/* Everything logged before end is applied. */
extern void flowi_active_applied(FlowDb *db, uint64_t end);

/* Readers may see all that was logged before end; no lock needed. */
extern void flowi_active_reveal(FlowDbShared *sh, uint64_t end);

/* Move the active memtable to the frozen ones; false: it was empty, and its
 * chunk went back to the region. */
extern bool flowi_active_freeze(FlowDb *db);

#endif /* FLOW_ACTIVE_H */
