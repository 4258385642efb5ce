/*-------------------------------------------------------------------------
 * wal.h
 *	  The file log: FlowDB's own write-ahead log for embedders.
 *
 * Segments of one size, preallocated and zero-filled, recycled once what they
 * hold is flushed: dir/WAL/<start position, 16 hex digits>.wal.  A position is
 * a byte in the endless stream of all segments.  Each record stands in a frame
 * with checksum, its own position (so that what an earlier life of the segment
 * left is never taken for a record), and the position up to which the log was
 * known to be durable when it was written.  The last tells a torn tail from
 * damage: a bad frame at P is a torn tail, and is cut, unless a good frame
 * behind it says that P was durable.
 * Bytes: doc/FORMAT.md "File log".  Keeps: S1 (a frame's header has more bytes
 * than a batch has steps), I1.
 *
 * Appending copies into a queue under the database's write lock and cannot
 * fail; commit is by groups: the first committer writes and syncs for all that
 * are waiting.  After a failed write or sync nothing is accepted any more
 * (PANIC) until the database is opened again.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_WAL_H
#define FLOW_WAL_H

#include "common.h"

#define FLOW_WAL_VERSION 1
#define FLOW_WAL_FRAME_BYTES 32

typedef struct FlowWal FlowWal;

typedef struct FlowWalOptions
{
	uint64_t segment_bytes;
	FlowSyncMode sync_mode;
	uint32_t sync_interval_ms;
} FlowWalOptions;

/* What replay found at the end. */
typedef struct FlowWalReport
{
	uint64_t records;
	uint64_t end;		/* position behind the last good record */
	uint64_t cut_bytes; /* of a torn tail */
	uint64_t bad_pos;	/* first damage; 0: none */
	uint32_t segments;	/* scan only, and what follows */
	uint64_t bytes;		/* of all segments */
	uint64_t bad_bytes; /* damaged */
} FlowWalReport;

/* [from, to) is damaged; file: the segment it lies in. */
typedef FlowStatus (*FlowWalBadFn)(void *arg, const char *file, uint64_t from,
								   uint64_t to, uint64_t file_offset);

/*
 * flowi_wal_open
 *		Open the log in dir/WAL (made when it is not there), call fn for every
 *		record that ends behind from, in order, cut a torn tail.  CORRUPT:
 *		damage before the end; nothing was changed; flowdb_salvage is for that.
 *		MISMATCH: a newer version.
 */
extern FlowStatus flowi_wal_open(FlowEnv *env, const char *dir,
								 const FlowWalOptions *opts, uint64_t from,
								 FlowLogFn fn, void *arg, FlowWalReport *report,
								 FlowWal **walp) FLOW_MUST_CHECK;
/* Write and sync what is buffered, and close; NULL is fine. */
extern FlowStatus flowi_wal_close(FlowWal *wal);

/* A record that has been let in; see admit. */
typedef struct FlowWalRoom FlowWalRoom;

/*
 * flowi_wal_admit / flowi_wal_leave
 *		Memory and room in a segment for a record of at most len bytes, and
 *		what its writer asks for; before the write lock is taken.  May wait
 *		for others, and makes the next segment when need be.  The room is given
 *		to append, or back by leave.  PANIC: the log has failed; FULL, IOERR,
 *		NOMEM: not now, nothing has happened.
 */
extern FlowStatus flowi_wal_admit(FlowWal *wal, size_t len, FlowSync sync,
								  FlowWalRoom **roomp) FLOW_MUST_CHECK;
extern void flowi_wal_leave(FlowWal *wal, FlowWalRoom *room);
/* Copy a record into the log's queue; cannot fail, and takes the room.  Write
 * lock held. */
extern void flowi_wal_append(FlowWal *wal, FlowWalRoom *room, const void *rec,
							 size_t len, uint64_t *startp, uint64_t *endp);
/* At or before where the next record will stand. */
extern uint64_t flowi_wal_bound(FlowWal *wal);
/*
 * flowi_wal_commit
 *		Returns when all before end, the end of a record, is written, and synced
 *		if its writer or one before it asked for that.  *visiblep: all
 *		before it is as durable as its writers asked; what stands there may not
 *		be linked yet.  Any failure is that of the group, and of all to come.
 */
extern FlowStatus flowi_wal_commit(FlowWal *wal, uint64_t end,
								   uint64_t *visiblep) FLOW_MUST_CHECK;
/* All that was appended is durable.  PANIC: the log has failed, now or
 * before. */
extern FlowStatus flowi_wal_sync(FlowWal *wal,
								 uint64_t *visiblep) FLOW_MUST_CHECK;
/* Make the next segment when it will be needed soon: for a thread that has
 * the time, so that no writer has to. */
extern FlowStatus flowi_wal_prepare(FlowWal *wal) FLOW_MUST_CHECK;
/* Segments whose last record ends at or before pos may be recycled. */
extern void flowi_wal_release(FlowWal *wal, uint64_t pos);
extern uint64_t flowi_wal_bytes(FlowWal *wal);

/* Where the oldest segment of the log in dir starts, which need not be open.
 * NOTFOUND: there is none; IOERR: or not even a directory. */
extern FlowStatus flowi_wal_start(FlowEnv *env, const char *dir,
								  uint64_t *startp) FLOW_MUST_CHECK;

/*
 * flowi_wal_scan
 *		For the tools: all good records of the log in dir from the flushed
 *		position on, damaged places passed over; fn gets them as above.  Then
 *		bad is called for each stretch of damage, in order; a torn tail is none.
 *		Changes nothing.
 *		report: bad_pos is the first damage; segments and bytes are counted.
 */
extern FlowStatus flowi_wal_scan(FlowEnv *env, const char *dir, uint64_t from,
								 FlowLogFn fn, FlowWalBadFn bad, void *arg,
								 FlowWalReport *report) FLOW_MUST_CHECK;

/*
 * flowi_wal_cut / flowi_wal_skip
 *		Repair: make the log end at pos, the beginning of a damage; or put a
 *		pad over the damage [from, to).  What is overwritten or dropped is kept
 *		first: copies in keep_dir, which is made.  The log must not be open.
 */
extern FlowStatus flowi_wal_cut(FlowEnv *env, const char *dir, uint64_t pos,
								const char *keep_dir) FLOW_MUST_CHECK;
extern FlowStatus flowi_wal_skip(FlowEnv *env, const char *dir, uint64_t from,
								 uint64_t to,
								 const char *keep_dir) FLOW_MUST_CHECK;

#endif /* FLOW_WAL_H */
