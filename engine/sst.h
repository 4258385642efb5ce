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

#include "iter.h"

/* A directory entry as files keep it. */
typedef struct FlowTxnInfo
{
	uint64_t seq_first;
	uint64_t seq_last;
	uint64_t xid;
	uint32_t cid;
	uint32_t state; /* FlowTxnState */
} FlowTxnInfo;

/*
 * What is known of an SSTable without reading it; kept in the manifest and,
 * but for the directory, in the file's own properties.  Pointers are the
 * producer's (writer, reader, manifest cursor).
 */
typedef struct FlowSstInfo
{
	uint64_t id;
	uint32_t store_id;
	uint32_t level;
	uint64_t file_bytes;
	uint64_t records; /* versions, tombstones included */
	uint64_t tombstones;
	uint64_t raw_bytes; /* keys and values before encoding */
	int64_t ts_min, ts_max;
	int64_t expire_min, expire_max;
	uint64_t seq_min, seq_max;
	const uint8_t *key_min, *key_max;
	uint32_t key_min_bytes, key_max_bytes;
	uint32_t ntxns; /* directory, sorted by seq_first, not overlapping */
	const FlowTxnInfo *txns;
} FlowSstInfo;

/* --- writer --- */
typedef struct FlowSstWriter FlowSstWriter;

/* Start a new file (an existing one of that name is emptied). */
extern FlowStatus flowi_sst_create(FlowEnv *env, const char *path, uint64_t id,
								   uint32_t store_id, uint32_t block_bytes,
								   FlowSstWriter **wp) FLOW_MUST_CHECK;
/* Add the next version; rec->txn is not looked at. */
extern FlowStatus flowi_sst_add(FlowSstWriter *w,
								const FlowRec *rec) FLOW_MUST_CHECK;
/* Write index, properties and footer, fsync.  *info points into the writer;
 * ntxns is 0.  INVALID when nothing was added. */
extern FlowStatus flowi_sst_finish(FlowSstWriter *w,
								   FlowSstInfo *info) FLOW_MUST_CHECK;
extern void flowi_sst_writer_free(FlowSstWriter *w); /* closes; NULL is fine */

/* --- reader: private to the process --- */
typedef struct FlowSstReader FlowSstReader;

/* Open and check footer, properties and index.  The file's id and store
 * must be those given.  NOTFOUND becomes CORRUPT: a listed file is missing. */
extern FlowStatus flowi_sst_open(FlowEnv *env, const char *path, uint64_t id,
								 uint32_t store_id,
								 FlowSstReader **rp) FLOW_MUST_CHECK;
extern void flowi_sst_close(FlowSstReader *r); /* NULL is fine */
extern const FlowSstInfo *flowi_sst_info(const FlowSstReader *r);

/* Seq range of a file, for the orphan check: properties only. */

typedef struct FlowSstIterStats
{
	uint64_t blocks_read;
	uint64_t blocks_skipped;
} FlowSstIterStats;

/*
 * Iterator over the file; the reader outlives it.  Blocks that hold no ts
 * in [ts_lo, ts_hi] are skipped (INT64_MIN, INT64_MAX: none); rows outside
 * inside a read block are still returned.  find_txn maps a sequence to its
 * directory entry (NULL result: settled); NULL find_txn: cur.txn is NULL.
 * stats: added to; may be NULL.
 */
extern FlowStatus flowi_sst_iter(FlowSstReader *r, bool reverse, int64_t ts_lo,
								 int64_t ts_hi,
								 FlowTxn *(*find_txn)(void *arg, uint64_t seq),
								 void *find_arg, FlowSstIterStats *stats,
								 FlowIter **itp) FLOW_MUST_CHECK;
/* Bytes of the buffers that such an iterator keeps from seek to seek. */
extern size_t flowi_sst_iter_memory(const FlowIter *it);

#endif /* FLOW_SST_H */
