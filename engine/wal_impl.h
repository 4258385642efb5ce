/*-------------------------------------------------------------------------
 * wal_impl.h
 *	  The log that is open; private to wal.c, wal_commit.c, wal_open.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_WAL_IMPL_H
#define FLOW_WAL_IMPL_H

#include "wal_format.h"

#define OUT_CAP WAL_CHUNK_BYTES

struct FlowWal
{
	/* constant after open */
	FlowEnv *env;
	FlowMonitor *mon;
	FlowWalOptions opts;
	uint64_t log_id;
	char dir[FLOW_PATH_BYTES];

	/* protected by mon */
	WalSegment *first; /* oldest; up to cur */
	WalSegment *cur;   /* appended to; NULL: none yet */
	WalSegment *next;  /* made, empty; or NULL */
	uint64_t pos;	   /* of the next frame, if it fits into cur */
	uint64_t reserved; /* frames admitted and not appended */
	bool preparing;	   /* somebody makes next */
	bool alone;		   /* a record too large for next waits for the others */
	FlowWalRoom *head; /* appended, not written */
	FlowWalRoom *tail;
	uint64_t appended; /* behind the last record */
	uint64_t done;	   /* all before it is as durable as it was to be */
	uint64_t synced;   /* all before it is durable */
	bool leading;
	bool sync_wanted; /* by flowi_wal_sync */
	int64_t synced_at;
	uint64_t spares[MAX_SPARES];
	uint32_t nspares;
	FlowError failed; /* the first failure; OK: none */

	/* the leader's */
	uint8_t *out;
	size_t out_bytes;
	uint64_t out_off;
	WalSegment *out_seg;
};

/* --- wal.c --- */

/* The log has failed: what it answers from then on. */
extern FlowStatus wal_panic(const FlowWal *wal);

/* --- wal_commit.c --- */
extern void wal_free_group(FlowWal *wal, FlowWalRoom *room);

/* --- wal_open.c --- */

/* A segment in memory; NULL: no memory.  free closes its file. */
extern WalSegment *wal_segment_new(FlowEnv *env, uint64_t start, uint64_t size);
extern void wal_segment_free(FlowEnv *env, WalSegment *seg);

#endif /* FLOW_WAL_IMPL_H */
