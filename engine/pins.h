/*-------------------------------------------------------------------------
 * pins.h
 *	  One consistent set of sources: a version and all memtables.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_PINS_H
#define FLOW_PINS_H

#include "version.h"

/* Zero it before the first use; private to its owner. */
typedef struct FlowPins
{
	FlowVersion *version;	  /* NULL: not pinned */
	FlowMemtable **memtables; /* newest first */
	uint32_t nmemtables;
	uint32_t cap;
	uint64_t visible_end; /* records from here on are not to be seen yet */
} FlowPins;

/*
 * flowi_pins_take
 *		Pin memtables and the version, both as of one moment.  A version that
 *		is pinned already is exchanged if there is a newer one.
 * NOMEM: nothing has changed.  Takes the state lock.
 */
extern FlowStatus flowi_pins_take(FlowDb *db, FlowPins *pins) FLOW_MUST_CHECK;

/* Pin the memtables only, newest first; the version is left as it is.  May be
 * called under the write lock. */
extern FlowStatus flowi_pins_take_memtables(FlowDb *db,
											FlowPins *pins) FLOW_MUST_CHECK;

/* Release the memtables; all. */
extern void flowi_pins_drop_memtables(FlowDb *db, FlowPins *pins);
extern void flowi_pins_drop(FlowDb *db, FlowPins *pins);
/* Free the list itself; nothing is pinned any more. */
extern void flowi_pins_free(FlowDb *db, FlowPins *pins);

#endif /* FLOW_PINS_H */
