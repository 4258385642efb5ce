/*-------------------------------------------------------------------------
 * since.h
 *	  Has anybody written a record since it was read?
 *
 * Who reads a record and writes what follows from it asks twice.  Before the
 * write lock is taken everything is looked at, memory and files, and the host
 * is asked who counts; under the lock only what has come to memory since then
 * (flowi_since_changed), and that nothing did is mostly told by one number.
 * When something did, all is done again.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SINCE_H
#define FLOW_SINCE_H

#include "pins.h"

/*
 * flowi_since_written
 *		*writtenp: the sources that are pinned hold a version of q's record, or
 *		a range tombstone over it, at or behind q->from, of a transaction that
 *		counts; or such a one may be gone already (see since.c).  What was
 *		logged before the pins were taken is not missed.  May do I/O; no lock
 *		is held.
 * flowi_since_changed
 *		The same for whatever has come at or behind q->from, of memory only;
 *		also true when something of it was flushed.  Never asks q->counts.  The
 *		write lock is held; takes the state lock.
 */
extern FlowStatus flowi_since_written(FlowDb *db, const FlowPins *pins,
									  const FlowSince *q,
									  bool *writtenp) FLOW_MUST_CHECK;
extern bool flowi_since_changed(FlowDb *db, const FlowSince *q);

#endif /* FLOW_SINCE_H */
