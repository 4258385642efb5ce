/*-------------------------------------------------------------------------
 * cover.h
 *	  Whole SSTables that a range tombstone in memory hides from everybody.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COVER_H
#define FLOW_COVER_H

#include "pins.h"
#include "tomb.h"

/* Of the newest range tombstones of one store those that are settled; more of
 * them are not looked at.  Private. */
#define FLOW_COVER_TOMBS 256

typedef struct FlowCover
{
	FlowDb *db;
	FlowPins pins;
	uint32_t looked;
	uint32_t n;
	FlowTomb *tombs; /* borrowed from the memtables */
} FlowCover;

/*
 * flowi_cover_begin
 *		Pin the memtables; *c is to be given to flowi_cover_end, whatever the
 *		result.  NOMEM.
 * flowi_cover_store
 *		Turn to another store.
 * flowi_cover_hides
 *		Is all that the SSTable has hidden, for every snapshot there is or
 *		will be, by one tombstone?  Then it may be dropped as soon as the log
 *		is synced: the tombstone lies behind it in the log, and what it hides
 *		of other SSTables the tombstone hides as well (K2, K5).
 */
extern FlowStatus flowi_cover_begin(FlowCover *c, FlowDb *db) FLOW_MUST_CHECK;
extern void flowi_cover_end(FlowCover *c);
extern FlowStatus flowi_cover_store(FlowCover *c,
									uint32_t store_id) FLOW_MUST_CHECK;
extern bool flowi_cover_hides(const FlowCover *c, const FlowSst *sst);

#endif /* FLOW_COVER_H */
