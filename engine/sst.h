/*-------------------------------------------------------------------------
 * sst.h
 *	  SSTables: write one in order, open one, iterate.
 *
 * A file of one store's versions sorted by (key, ts, sequence descending),
 * cut into blocks.  All versions of one (key, ts) stand in one block.  Every
 * byte is covered by a checksum.  Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SST_H
#define FLOW_SST_H

#include "cache.h"
#include "codec.h"
#include "tomb.h"

/* A directory entry as files keep it. */
typedef struct FlowTxnInfo
{
	uint64_t seq_first;
	uint64_t seq_last;
	uint64_t xid;
	uint32_t cid;
	uint32_t state; /* FlowTxnState */
} FlowTxnInfo;

/* How a file came to be; stored in it. */
typedef enum FlowSstOrigin
{
	FLOW_SST_FLUSHED = 0,
	FLOW_SST_MERGED = 1
} FlowSstOrigin;

/*
 * What is known of an SSTable without reading it; kept in the manifest and,
 * but for the directory, in the file's own properties.  Pointers are the
 * producer's (writer, reader, manifest cursor).
 *
 * The bounds of keys and times are those of the records, those of expiry of the
 * records that are no tombstones, both INT64_MIN when all are; without
 * records the keys are empty and ts_min > ts_max.  cover is the rectangle
 * around all range tombstones; without any it means nothing.  The sequence
 * range is that of both.
 */
typedef struct FlowSstInfo
{
	uint64_t id;
	uint32_t store_id;
	uint32_t level;
	uint32_t origin; /* FlowSstOrigin */
	uint64_t file_bytes;
	uint64_t records; /* versions, point tombstones included */
	uint64_t tombstones;
	uint64_t keys;		/* distinct ones among the records */
	uint64_t ntombs;	/* range tombstones */
	uint64_t raw_bytes; /* keys and values before encoding */
	int64_t ts_min, ts_max;
	int64_t expire_min, expire_max;
	uint64_t seq_min, seq_max;
	const uint8_t *key_min, *key_max;
	uint32_t key_min_bytes, key_max_bytes;
	FlowRect cover;
	uint32_t ntxns; /* directory, sorted by seq_first, not overlapping */
	const FlowTxnInfo *txns;
} FlowSstInfo;

/* --- writer --- */
typedef struct FlowSstWriter FlowSstWriter;

/* How a file is written; constant during it. */
typedef struct FlowSstSpec
{
	uint64_t id;
	uint32_t store_id;
	uint32_t level;
	FlowSstOrigin origin;
	uint32_t block_bytes;
	uint32_t bloom_bits_per_key; /* 0: no filters */
	FlowCompression compression;
	int zstd_level;
	uint32_t segment_blocks; /* blocks a segment; 0: the usual number */
	/* of the values, borrowed until the writer is freed; NULL: blocks of rows
	 * (block.h) */
	const FlowShape *shape;
} FlowSstSpec;

/* Start a new file (an existing one of that name is emptied).  What the
 * writer keeps in memory does not grow with the file, but for some bytes a
 * segment (sst_format.h). */
extern FlowStatus flowi_sst_create(FlowEnv *env, const char *path,
								   const FlowSstSpec *spec,
								   FlowSstWriter **wp) FLOW_MUST_CHECK;
/* Add the next version; rec->txn is not looked at.  INTERRUPTED: it was not
 * added, call again; the same holds for flowi_sst_finish. */
extern FlowStatus flowi_sst_add(FlowSstWriter *w,
								const FlowRec *rec) FLOW_MUST_CHECK;
/* Add a range tombstone, in any order, at any time; tomb->txn is not looked
 * at.  They stay in memory until the file is finished. */
extern FlowStatus flowi_sst_add_tomb(FlowSstWriter *w,
									 const FlowTomb *tomb) FLOW_MUST_CHECK;
/* Bytes that the file would have, without the block that still gathers and
 * what comes behind the last one. */
extern uint64_t flowi_sst_written(const FlowSstWriter *w);
/* Write index, filters, properties and footer, fsync.  *info points into the
 * writer; ntxns is 0.  INVALID when nothing was added. */
extern FlowStatus flowi_sst_finish(FlowSstWriter *w,
								   FlowSstInfo *info) FLOW_MUST_CHECK;
extern void flowi_sst_writer_free(FlowSstWriter *w); /* closes; NULL is fine */

/* --- reader: private to the process --- */
typedef struct FlowSstReader FlowSstReader;

/*
 * flowi_sst_open
 *		Open and check footer, properties, top index and range tombstones;
 *		these stay in private memory, some bytes a segment.  Blocks, index
 *		leaves and filters are read when they are needed, through the block
 *		cache.  The file's id and store must be those given.  NOTFOUND becomes
 *		CORRUPT: a listed file is missing.
 * space: names the database in the block cache (db.h, cache_space).
 */
extern FlowStatus flowi_sst_open(FlowEnv *env, const char *path, uint64_t space,
								 uint64_t id, uint32_t store_id,
								 FlowSstReader **rp) FLOW_MUST_CHECK;
extern void flowi_sst_close(FlowSstReader *r); /* NULL is fine */
/* What many readers of one owner share.  Zeroed but for the codec; outlives
 * them. */
typedef struct FlowSstShared
{
	FlowCodec codec;	/* to decompress with */
	size_t index_bytes; /* that they keep for lookups; bounded */
} FlowSstShared;

/* From now on that, and nothing of its own; right after open. */
extern void flowi_sst_share(FlowSstReader *r, FlowSstShared *shared);
extern const FlowSstInfo *flowi_sst_info(const FlowSstReader *r);

/* The range tombstones, sorted by sequence, newest first; memory of the
 * reader; txn is NULL. */
extern const FlowTomb *flowi_sst_tombs(const FlowSstReader *r, uint32_t *np);

typedef struct FlowSstIterStats
{
	uint64_t blocks_read;
	uint64_t blocks_skipped;
	uint64_t cache_hits; /* of blocks_read */
} FlowSstIterStats;

/* How an iterator reads. */
typedef struct FlowSstIterOptions
{
	bool reverse;
	bool no_fill_cache;
	bool no_verify; /* checksums of blocks are not compared; such blocks do not
					 * go into the cache either */
	bool marks;		/* stand on marks, see flowi_sst_iter_mark; forward, without
				 * find_txn */
	int64_t ts_lo, ts_hi; /* blocks without a ts in between are skipped; rows
						   * outside inside a read block are still returned.
						   * INT64_MIN, INT64_MAX: none is skipped */
	/* maps a sequence to its directory entry (NULL result: settled); NULL:
	 * cur.txn is NULL */
	FlowTxn *(*find_txn)(void *arg, uint64_t seq);
	void *find_arg;
	FlowSstIterStats *stats; /* added to; may be NULL */
} FlowSstIterOptions;

/*
 * flowi_sst_may_contain
 *		False: no record of the file has that key.  Reads at most an index
 *		leaf and a filter.
 */
extern FlowStatus flowi_sst_may_contain(FlowSstReader *r, const uint8_t *key,
										uint32_t key_bytes,
										const FlowSstIterOptions *o,
										bool *mayp) FLOW_MUST_CHECK;

/*
 * flowi_sst_point
 *		The newest version of identity (to->key, to->ts), or with last of the
 *		last identity of to->key, right after flowi_sst_may_contain said yes to
 *		the key; by what the block cache has: nothing is read from the file but
 *		an index leaf, once.  ROW: point->rec is it, with txn NULL, until
 *		flowi_sst_point_end.
 */
typedef struct FlowSstPoint
{
	FlowRec rec;
	uint32_t blocks;  /* that were looked at */
	FlowCacheRef ref; /* data NULL: nothing is pinned */
} FlowSstPoint;

extern FlowStatus flowi_sst_point(FlowSstReader *r, const FlowSeek *to,
								  bool last, FlowSstPoint *point,
								  FlowPeek *foundp) FLOW_MUST_CHECK;
extern void flowi_sst_point_end(const FlowSstReader *r, FlowSstPoint *point);

/*
 * flowi_sst_iter
 *		Iterator over the file; the reader outlives it.  It pins the cached
 *		block it stands in, so it is paused when the caller leaves the engine:
 * flowi_sst_iter_pause: pin nothing.  cur's key and value are not valid until
 *		resume, its other fields are.
 * flowi_sst_iter_resume: as before the pause, reading the block again when
 *		the cache has dropped it.  Of one that is not paused, or stands
 *		nowhere: OK.  A seek needs no resume.
 */
extern FlowStatus flowi_sst_iter(FlowSstReader *r, const FlowSstIterOptions *o,
								 FlowIter **itp) FLOW_MUST_CHECK;
extern void flowi_sst_iter_pause(FlowIter *it);
extern FlowStatus flowi_sst_iter_resume(FlowIter *it) FLOW_MUST_CHECK;
/*
 * The current row and those behind it that have its key and stand in its block,
 * none of them a tombstone and all settled, in ascending order.  Memory is the
 * iterator's, until it moves.
 */
typedef struct FlowSstRun
{
	const int64_t *ts; /* NULL: the first is ts_first, the next step later */
	int64_t ts_first;
	uint64_t step;			  /* > 0 */
	const int64_t *expire_at; /* NULL: all at ts + age, or FLOW_NEVER all */
	bool same_age;
	uint64_t age;
	const uint8_t *values; /* back to back */
	/* n + 1: where each begins, less the first one's */
	const uint32_t *value_off;
	uint32_t n;
	/* or, if the values are not there because they are columns (block.h), in
	 * which block, and from which row of it on; else NULL */
	struct FlowBlock *block;
	uint32_t first;
} FlowSstRun;

/* Of row i of a run. */
static inline int64_t
flowi_run_ts(const FlowSstRun *run, uint32_t i)
{
	return run->ts ? run->ts[i]
				   : (int64_t) ((uint64_t) run->ts_first + i * run->step);
}

static inline int64_t
flowi_run_expiry(const FlowSstRun *run, uint32_t i)
{
	if (run->same_age)
		return (int64_t) ((uint64_t) flowi_run_ts(run, i) + run->age);
	return run->expire_at ? run->expire_at[i] : FLOW_NEVER;
}

/* The block that has the current row's value as columns, and which row of it
 * that is; false: the value is in cur. */
extern bool flowi_sst_iter_columns(FlowIter *it, struct FlowBlock **blockp,
								   uint32_t *rowp);

/* False: nothing of that kind is known.  skip goes on by n of these rows,
 * so that the one there counts as the current one; its cur is not set before the
 * next step. */
extern bool flowi_sst_iter_run(FlowIter *it, FlowSstRun *run);
extern void flowi_sst_iter_skip(FlowIter *it, uint32_t n);
/*
 * With marks an iterator that comes to the beginning of a block, or of a
 * segment of them, reads nothing of it yet: cur is a mark then, no version,
 * of the identity that comes first there, with the highest sequence.  next goes
 * to the first version, or to a mark of less; after pass, behind all that the
 * mark stands for.
 */
typedef struct FlowSstMark
{
	uint64_t rows; /* versions */
	uint32_t blocks;
	bool plain;			/* all of them rows, each of an identity of its own */
	int64_t expire_min; /* of the rows */
	int64_t ts_min, ts_max;
	const uint8_t *last_key; /* the last identity; valid as cur is */
	uint32_t last_bytes;
	int64_t last_ts;
} FlowSstMark;

/* Where the iterator stands; NULL: on a version. */
extern const FlowSstMark *flowi_sst_iter_mark(const FlowIter *it);
/* The next call is next, which goes behind what the mark stands for. */
extern void flowi_sst_iter_pass(FlowIter *it);

/* Bytes of the buffers that such an iterator keeps from seek to seek. */
extern size_t flowi_sst_iter_memory(const FlowIter *it);

#endif /* FLOW_SST_H */
