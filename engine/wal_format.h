/*-------------------------------------------------------------------------
 * wal_format.h
 *	  The file log's bytes, and what its files share; private to wal*.c.
 *
 * Bytes: doc/FORMAT.md "File log".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_WAL_FORMAT_H
#define FLOW_WAL_FORMAT_H

#include "db.h"
#include "wal.h"

/* Header of a segment.  Magic and version never change their place. */
#define SEG_MAGIC UINT64_C(0x314c415757304c46)
#define SEG_HEAD_BYTES 64u
#define SEG_HEAD_MAGIC 0
#define SEG_HEAD_VERSION 8
#define SEG_HEAD_ZERO 12
#define SEG_HEAD_START 16
#define SEG_HEAD_SIZE 24
#define SEG_HEAD_LOG 32
#define SEG_HEAD_ZERO2 40
#define SEG_HEAD_CHECKSUM 56

/* Header of a frame. */
#define FRAME_CHECKSUM 0
#define FRAME_POS 8
#define FRAME_SYNCED 16
#define FRAME_LEN 24
#define FRAME_KIND 28
#define FRAME_ZERO 29

#define FRAME_RECORD 1
#define FRAME_PAD 2 /* skips len bytes, which it does not cover */

/* Lengths have 32 bits, and so has a pad over all of a segment. */
#define SEG_MAX_BYTES (UINT64_C(1) << 31)
#define SEG_ALIGN 4096u
#define MAX_SPARES 2
#define WAL_CHUNK_BYTES ((size_t) 1 << 20) /* of reading, copying, zeroing */

static inline uint64_t
wal_frame_bytes(uint64_t len)
{
	return (FLOW_WAL_FRAME_BYTES + len + 7) & ~UINT64_C(7);
}

/*
 * A record on its way to the log: made by admit, owned by its writer until
 * append puts it into the queue, freed when it is written.
 */
struct FlowWalRoom
{
	struct FlowWalRoom *next;
	struct WalSegment *seg; /* where it stands */
	uint64_t pos;
	size_t bytes;  /* of the frame, padding included */
	uint64_t cost; /* what it takes of FlowWal.reserved */
	bool sync;	   /* its writer waits until it is durable */
	bool embedded; /* a segment's own; not to be freed */
	uint8_t *frame;
};

/* A segment that is in use. */
typedef struct WalSegment
{
	struct WalSegment *next; /* newer */
	uint64_t start;
	uint64_t size;
	uint64_t used_end;	/* behind its last record */
	FlowFile *file;		/* NULL: nothing more is written */
	bool dirty;			/* something may be written that is not synced */
	FlowWalRoom closer; /* the pad behind the last record */
	uint8_t closer_frame[FLOW_WAL_FRAME_BYTES];
} WalSegment;

/* A file of the log's directory, as it was found. */
typedef struct WalFound
{
	uint64_t start; /* by its name */
	uint64_t size;	/* by its header; else as long as it seems to be */
	uint64_t avail; /* bytes in the file, at most size */
	uint64_t used_end;
	uint64_t log_id;
	bool head_ok;
	bool newer;	  /* of a version that this build does not know */
	bool touched; /* there is something to cut from it */
} WalFound;

typedef struct WalList
{
	FlowEnv *env;
	char dir[FLOW_PATH_BYTES];
	WalFound *segs; /* by start */
	uint32_t nsegs;
	uint32_t cap;
	uint64_t spares[MAX_SPARES];
	uint32_t nspares;
	uint64_t spare_bytes; /* size that a spare must have; 0: look at none */
} WalList;

/* --- wal_segment.c --- */

/* "<dir>/<start>.<suffix>", dir being that of the log. */
extern void wal_path(const char *dir, uint64_t start, const char *suffix,
					 char path[FLOW_PATH_BYTES]);
extern void wal_dir(const char *db_dir, char path[FLOW_PATH_BYTES]);

/* What there is, by start, headers looked at.  NOTFOUND: no directory. */
extern FlowStatus wal_list(FlowEnv *env, const char *db_dir,
						   uint64_t spare_bytes, WalList *list) FLOW_MUST_CHECK;
extern void wal_list_free(WalList *list);
/* So many of the first segments hold nothing behind from; damage in them does
 * not matter. */
extern uint32_t wal_list_old(const WalList *list, uint64_t from);
/* Remove what an unfinished creation, and spares beyond the number, left. */
extern FlowStatus wal_list_tidy(WalList *list) FLOW_MUST_CHECK;

extern void wal_head_encode(uint8_t head[SEG_HEAD_BYTES], uint64_t start,
							uint64_t size, uint64_t log_id);

/* Make an empty segment, durable under its name, open for writing; out of the
 * spare with that start when spare is not NULL. */
extern FlowStatus wal_segment_create(FlowEnv *env, const char *dir,
									 uint64_t start, uint64_t size,
									 uint64_t log_id, const uint64_t *spare,
									 FlowFile **filep) FLOW_MUST_CHECK;
/* Write zeroes over [from, to) of the file; not synced. */
extern FlowStatus wal_zero(FlowEnv *env, FlowFile *file, uint64_t from,
						   uint64_t to) FLOW_MUST_CHECK;
/* Write [from, to) of a file to the same place of another one, or of itself,
 * as it is; not synced. */
extern FlowStatus wal_copy(FlowEnv *env, FlowFile *in, FlowFile *out,
						   uint64_t from, uint64_t to) FLOW_MUST_CHECK;

/* --- wal_read.c --- */

typedef struct WalFrame
{
	uint64_t pos;
	uint64_t end;
	uint64_t synced;
	uint32_t len;
	uint8_t kind;
	const uint8_t *payload; /* until the next call on the reader */
} WalFrame;

/* Reads a segment; what the file lacks reads as zeroes. */
typedef struct WalReader
{
	FlowEnv *env;
	FlowFile *file;
	uint64_t start;
	uint64_t size;
	uint64_t avail;
	uint64_t log_id;
	uint8_t *buf;
	size_t cap;
	uint64_t off; /* what buf holds */
	size_t len;
} WalReader;

extern FlowStatus wal_reader_open(WalReader *r, const WalList *list,
								  const WalFound *seg) FLOW_MUST_CHECK;
extern void wal_reader_close(WalReader *r);
/* The frame at pos; NOTFOUND: there is no good one. */
extern FlowStatus wal_read_frame(WalReader *r, uint64_t pos,
								 WalFrame *f) FLOW_MUST_CHECK;
/* Where reading seg begins: from is the end of a record, or 0. */
static inline uint64_t
wal_first_pos(const WalFound *seg, uint64_t from)
{
	uint64_t pos = seg->start + SEG_HEAD_BYTES;

	if (from > pos && from < seg->start + seg->size && from % 8 == 0)
		pos = from;
	return pos;
}

/* Does f, the first frame of seg, the first segment, know of something durable
 * behind from that is not there? */
static inline bool
wal_misses_some(const WalFound *seg, const WalFrame *f, uint64_t from)
{
	return f->synced > from && f->synced < seg->start;
}

/* The first place at or behind pos whose header names itself, good or not;
 * NOTFOUND. */
extern FlowStatus wal_find_frame(WalReader *r, uint64_t pos,
								 uint64_t *foundp) FLOW_MUST_CHECK;
extern void wal_frame_seal(uint8_t *frame, uint64_t pos, uint64_t synced,
						   uint32_t len, uint8_t kind, uint64_t log_id);

/* Where the log ends, as replay found it. */
typedef struct WalTail
{
	uint32_t seg;	 /* index of the segment it ends in */
	uint64_t end;	 /* behind the last good frame */
	uint64_t synced; /* known to be durable: the highest synced position */
} WalTail;

/*
 * wal_replay
 *		Call fn for each record of list that ends behind from, find the end,
 *		tell a torn tail from damage (CORRUPT), and note in list what is to be
 *		cut.  Changes no file.  Segments before from have been taken out of
 *		the list.
 */
extern FlowStatus wal_replay(WalList *list, uint64_t from, FlowLogFn fn,
							 void *arg, FlowWalReport *report,
							 WalTail *tail) FLOW_MUST_CHECK;
/* Cut what wal_replay found to be torn, and make durable what it gave. */
extern FlowStatus wal_cut_tail(WalList *list,
							   const WalTail *tail) FLOW_MUST_CHECK;

#endif /* FLOW_WAL_FORMAT_H */
