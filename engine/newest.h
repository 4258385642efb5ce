/*-------------------------------------------------------------------------
 * newest.h
 *	  The newest write to one record that is still in memory.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_NEWEST_H
#define FLOW_NEWEST_H

#include "db.h"

/*
 * flowi_newest_seq
 *		*seqp: the highest sequence of a version of (key, ts), or of a range
 *		tombstone over it, in the memtables, linked before the call, whatever
 *		its visibility; 0 when there is none.  Takes the state lock for a
 *		moment, so the write lock may be held, and then nothing can come in
 *		meanwhile.  NOMEM.
 *
 * What was flushed is not found.  So "nobody has written (key, ts) since I
 * read it" is this: read P = sh->visible_end, then the row, later, under the
 * write lock, flowi_newest_seq, and after it sh->flushed_pos; nobody has if
 * the sequence is < P and flushed_pos <= P.
 */
extern FlowStatus flowi_newest_seq(FlowDb *db, uint32_t store_id,
								   const void *key, size_t key_bytes,
								   int64_t ts, uint64_t *seqp) FLOW_MUST_CHECK;

#endif /* FLOW_NEWEST_H */
