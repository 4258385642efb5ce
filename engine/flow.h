/*-------------------------------------------------------------------------
 * flow.h
 *	  FlowDB: an embedded LSM-tree storage engine for time series.
 *
 * The one public header.  A database is a directory; it holds stores; a
 * store holds records (key, ts, value, expire_at) in the order key bytewise,
 * then ts.  Identity is (key, ts): a later write replaces an earlier one.
 *
 * The engine starts no thread, never throws and reaches files, memory, locks,
 * clock and log only through FlowEnv (env.h).  Its live state lies in one
 * shared region, so that threads (env_posix.c) or processes (PostgreSQL's)
 * work on one database at the same time through handles of their own.
 *
 * Units: times are microseconds since 1970-01-01 UTC, sizes are bytes.
 * Every call returns a FlowStatus unless said otherwise; what went wrong is
 * told by flow_last_error() of the calling thread.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FLOW_MUST_CHECK __attribute__((warn_unused_result))
#define FLOW_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define FLOW_MUST_CHECK
#define FLOW_PRINTF(a, b)
#endif

/* ---------------------------------------------------------------- status */

typedef enum FlowStatus
{
	FLOW_OK = 0,
	FLOW_NOTFOUND = 1, /* no such record, store or file */
	FLOW_END = 2,	   /* end of a scan */
	FLOW_INVALID = 3,  /* the caller's argument breaks a rule */
	FLOW_CORRUPT = 4,  /* bytes on disk or in the log are not what we wrote */
	FLOW_IOERR = 5,	   /* the operating system refused; see err_no */
	FLOW_NOMEM = 6,	   /* no memory, private or in the region */
	FLOW_FULL = 7,	   /* no space on the disk */
	FLOW_BUSY = 8,	   /* not now: write buffers full, or work in progress */
	FLOW_MISMATCH = 9, /* a format or version this build cannot read */
	FLOW_INTERRUPTED = 10, /* the host asked to stop */
	FLOW_PANIC = 11,	   /* an earlier failure made the database read-only */
	FLOW_EXISTS = 12	   /* what was to be made is there already */
} FlowStatus;

/* What went wrong last in this thread: one record, overwritten by the next. */
typedef struct FlowError
{
	FlowStatus status;
	int err_no;		   /* errno of the failed call, or 0 */
	char message[512]; /* "could not read file ...: ..." */
} FlowError;

extern const FlowError *flow_last_error(void);
extern const char *flow_status_name(FlowStatus st);

/* ---------------------------------------------------------------- limits */

#define FLOW_MAX_KEY 65535u					 /* bytes of a key */
#define FLOW_MAX_VALUE (16u * 1024u * 1024u) /* bytes of a value */
#define FLOW_MAX_STORE_NAME 255u			 /* bytes of a store's name */
#define FLOW_MAX_BLOB (1024u * 1024u)		 /* bytes of a store's schema */
#define FLOW_NEVER INT64_MAX /* expire_at of an immortal record */

/* ----------------------------------------------------------- transactions */

/*
 * Fate of a transaction as far as it is known.  Numbers are stored on disk.
 * SETTLED: committed, and older than every snapshot there is or will be.
 */
typedef enum FlowTxnState
{
	FLOW_TXN_UNKNOWN = 0,
	FLOW_TXN_COMMITTED = 1,
	FLOW_TXN_ABORTED = 2,
	FLOW_TXN_SETTLED = 3
} FlowTxnState;

/*
 * One entry of a batch directory: which transaction wrote the records whose
 * sequence lies in [seq_first, seq_last].  Lives in the shared region; all
 * fields but state are constant.  xid 0: no transaction, visible to all.
 */
typedef struct FlowTxn
{
	uint64_t seq_first;
	uint64_t seq_last;
	uint64_t xid;			/* the host's full transaction id */
	uint32_t cid;			/* the host's command id */
	_Atomic uint32_t state; /* FlowTxnState; hint, only ever leaves UNKNOWN */
} FlowTxn;

/* Is txn visible to the reader behind arg?  May set txn->state.  No locks. */
typedef bool (*FlowVisibleFn)(void *arg, FlowTxn *txn);

/* --------------------------------------------------------------- database */

typedef struct FlowEnv FlowEnv;
typedef struct FlowRegion FlowRegion;
typedef struct FlowDb FlowDb;
typedef struct FlowDbShared FlowDbShared;
typedef struct FlowScan FlowScan;
typedef struct FlowTxBuf FlowTxBuf;

typedef struct FlowOptions
{
	uint64_t memtable_bytes; /* freeze the memtable at this size */
	uint32_t block_bytes;	 /* raw bytes of an SSTable block */
	bool create;			 /* make the directory (must not exist) */
	bool will_redo;			 /* flow_redo will be given all from log_start on */
	uint64_t log_start;		 /* log position from which redo will run */
} FlowOptions;

#define FLOW_OPTIONS_DEFAULT                                   \
	{                                                          \
		.memtable_bytes = 64u << 20, .block_bytes = 16u << 10, \
		.create = false, .will_redo = false, .log_start = 0    \
	}

/*
 * flow_create
 *		Make an empty database in dir: dir/SST, dir/INDEX, an empty manifest
 *		and CURRENT, all durable.  FLOW_EXISTS when dir/INDEX/CURRENT exists;
 *		dir itself may exist already.
 */
extern FlowStatus flow_create(FlowEnv *env, const char *dir) FLOW_MUST_CHECK;

/*
 * flow_load
 *		Read the manifest of dir and build the shared state in env's region.
 *		Removes orphan files.  Called once a database and server start, by
 *		one caller at a time.  An orphan SSTable whose records all lie before
 *		opts->log_start proves a lost manifest edit: FLOW_CORRUPT.  A listed
 *		SSTable that is missing is FLOW_CORRUPT too, unless redo will bring
 *		all its records: a base backup may have copied the manifest later
 *		than the directory; then flushed_pos is set back before them.
 * sharedp: out; stays valid until flow_unload.
 */
extern FlowStatus flow_load(FlowEnv *env, const char *dir,
							const FlowOptions *opts,
							FlowDbShared **sharedp) FLOW_MUST_CHECK;

/* Free the shared state; no handle may be attached.  Unflushed data is lost. */
extern void flow_unload(FlowEnv *env, FlowDbShared *shared);

/* Make the database an empty one in memory, after its files were dropped:
 * all but *shared itself goes back to the region, what readers still hold as
 * soon as they are done. */
extern void flow_discard(FlowEnv *env, FlowDbShared *shared);

/* A handle of this process (thread) on a loaded database.  Scans still open
 * when it is detached pin nothing any more and give INVALID; what they gave
 * last stays, and their owners close them later as usual. */
extern FlowStatus flow_attach(FlowEnv *env, FlowDbShared *shared,
							  const char *dir, FlowDb **dbp) FLOW_MUST_CHECK;
extern void flow_detach(FlowDb *db);

/* The shared state behind a handle. */
extern FlowDbShared *flow_shared(FlowDb *db);

/*
 * flow_open / flow_close
 *		For embedders: create (when asked) + load + attach; flush + detach +
 *		unload.  flow_close is idempotent in effect: the handle is gone even
 *		when the flush fails, whose status is returned.
 */
extern FlowStatus flow_open(FlowEnv *env, const char *dir,
							const FlowOptions *opts,
							FlowDb **dbp) FLOW_MUST_CHECK;
extern FlowStatus flow_close(FlowDb *db);

/* ----------------------------------------------------------------- stores */

/*
 * Stores are found by name, written by id.  blob is the host's description
 * of the value columns; the engine keeps it, never reads it.
 * flow_store_define logs the definition (new name, or new blob of an old one)
 * and returns its id.  FLOW_BUSY: write buffers full, nothing was logged.
 * flow_store_get: blob is malloc-like memory of the env, freed by the caller
 * with env->free; NULL blobp: not wanted.  NOTFOUND when there is none.
 * flow_store_version changes whenever any definition of the database does.
 */
extern FlowStatus flow_store_define(FlowDb *db, const char *name,
									const void *blob, size_t blob_bytes,
									uint32_t *store_idp) FLOW_MUST_CHECK;
extern FlowStatus flow_store_find(FlowDb *db, const char *name,
								  uint32_t *store_idp, void **blobp,
								  size_t *blob_bytesp) FLOW_MUST_CHECK;
extern uint64_t flow_store_version(FlowDb *db);

/* ---------------------------------------------------------------- writing */

typedef enum FlowOp
{
	FLOW_PUT = 0,
	FLOW_DELETE = 1
} FlowOp;

/*
 * FlowTxBuf: the private write buffer of one transaction (process-private,
 * never shared).  Entries are kept in the order of arrival with the xid and
 * command id they were written under.
 */
extern FlowStatus flow_txbuf_create(FlowEnv *env,
									FlowTxBuf **bufp) FLOW_MUST_CHECK;
extern void flow_txbuf_free(FlowTxBuf *buf); /* NULL is fine */

/* Append; key and value are copied.  INVALID: key or value too long, or a
 * store id that no store can have. */
extern FlowStatus flow_txbuf_add(FlowTxBuf *buf, FlowOp op, uint32_t store_id,
								 const void *key, size_t key_bytes, int64_t ts,
								 int64_t expire_at, const void *value,
								 size_t value_bytes, uint64_t xid,
								 uint32_t cid) FLOW_MUST_CHECK;

extern size_t flow_txbuf_bytes(const FlowTxBuf *buf); /* memory in use */

/*
 * flow_txbuf_count / flow_txbuf_truncate
 *		count: entries added since the buffer was made, less those truncated;
 *		pushed ones still count, so it is a mark for a later truncate.
 *		truncate: forget every entry from number mark on.  What was pushed
 *		already stays pushed: a mark below it just empties the buffer.
 */
extern size_t flow_txbuf_count(const FlowTxBuf *buf);
extern void flow_txbuf_truncate(FlowTxBuf *buf, size_t mark);

/*
 * flow_txbuf_push
 *		Hand the buffer to the database: encode it into batches (one xid
 *		each, at most ~4 MB of payload or one record), log and apply each.
 *		Entries that are in are removed from the front of the buffer, so a
 *		call that returned FLOW_BUSY (write buffers full) is repeated after
 *		a flush and goes on where it stopped.  NOMEM: a batch is larger than
 *		all write buffers.  On any other error the rest stays in the buffer.
 */
extern FlowStatus flow_txbuf_push(FlowTxBuf *buf, FlowDb *db) FLOW_MUST_CHECK;

/*
 * flow_redo
 *		Apply one logged record that stands at [start, end) in the log; a
 *		record that the SSTables contain already is skipped.  FLOW_BUSY:
 *		flush and call again.  CORRUPT: not a record of ours.
 */
extern FlowStatus flow_redo(FlowDb *db, const void *rec, size_t rec_bytes,
							uint64_t start, uint64_t end) FLOW_MUST_CHECK;

/* The transaction of a logged batch; 0 for any other record, or none. */
extern uint64_t flow_record_xid(const void *rec, size_t rec_bytes);

/* One-line description of a logged record into buf, for pg_waldump and logs. */
extern void flow_record_desc(const void *rec, size_t rec_bytes, char *buf,
							 size_t buf_bytes);

/* For embedders: one atomic batch outside any transaction, flushing when
 * the write buffers are full.  Arrays of length n; n = 0 is fine. */
typedef struct FlowRecord
{
	const void *key;
	size_t key_bytes;
	int64_t ts;
	int64_t expire_at;
	const void *value;
	size_t value_bytes;
} FlowRecord;

extern FlowStatus flow_write_batch(FlowDb *db, uint32_t store_id,
								   const FlowRecord *records,
								   size_t n) FLOW_MUST_CHECK;
extern FlowStatus flow_delete_batch(FlowDb *db, uint32_t store_id,
									const FlowRecord *records,
									size_t n) FLOW_MUST_CHECK;

/* ---------------------------------------------------------------- reading */

typedef enum FlowBoundKind
{
	FLOW_OPEN = 0,
	FLOW_INCLUSIVE = 1,
	FLOW_EXCLUSIVE = 2
} FlowBoundKind;

typedef struct FlowKeyBound
{
	FlowBoundKind kind;
	const void *key; /* borrowed until flow_scan_open returns */
	size_t key_bytes;
} FlowKeyBound;

typedef struct FlowTimeBound
{
	FlowBoundKind kind;
	int64_t ts;
} FlowTimeBound;

/*
 * What a scan reads.  A zeroed struct with a store id reads everything,
 * forwards, that is committed by xid 0.  Reversed bounds give no row.
 */
typedef struct FlowScanSpec
{
	uint32_t store_id;
	FlowKeyBound key_lo, key_hi;
	FlowTimeBound ts_lo, ts_hi;
	bool reverse;		   /* key, then ts, both descending */
	bool keys_only;		   /* values are not wanted: value pointers are NULL */
	uint64_t limit;		   /* rows, 0 = no limit */
	int64_t now;		   /* expiry is judged at this time; INT64_MIN: never */
	FlowVisibleFn visible; /* NULL: only xid 0 and SETTLED are visible */
	void *visible_arg;
	FlowTxBuf *own;	  /* the reader's private buffer, or NULL */
	uint32_t own_cid; /* entries of own with cid < own_cid are seen */
} FlowScanSpec;

/* A key range for a prefix: lo = [prefix, hi = succ(prefix)); an empty or
 * all-0xff prefix has no upper bound.  scratch: prefix_bytes bytes that
 * live as long as *hi. */
extern void flow_prefix_bounds(const void *prefix, size_t prefix_bytes,
							   FlowKeyBound *lo, FlowKeyBound *hi,
							   void *scratch);

#define FLOW_VECTOR_ROWS 1024

/*
 * A vector of rows, nrows <= FLOW_VECTOR_ROWS, ascending or descending by
 * (key, ts), each (key, ts) once.  Memory is the scan's and valid until the
 * next call on it.
 */
typedef struct FlowVector
{
	uint32_t nrows;
	const uint8_t *key[FLOW_VECTOR_ROWS];
	uint32_t key_bytes[FLOW_VECTOR_ROWS];
	int64_t ts[FLOW_VECTOR_ROWS];
	int64_t expire_at[FLOW_VECTOR_ROWS];
	const uint8_t *value[FLOW_VECTOR_ROWS];
	uint32_t value_bytes[FLOW_VECTOR_ROWS];
} FlowVector;

typedef struct FlowScanStats
{
	uint64_t rows;			  /* returned */
	uint64_t rows_memtable;	  /* of these, from memtables */
	uint64_t rows_sst;		  /* from SSTables */
	uint64_t rows_own;		  /* from the private buffer */
	uint64_t versions_hidden; /* invisible, superseded, deleted or expired */
	uint64_t ssts_read;		  /* SSTables opened */
	uint64_t ssts_skipped;	  /* SSTables pruned by key or time */
	uint64_t blocks_read;
	uint64_t blocks_skipped; /* pruned by time inside a read SSTable */
} FlowScanStats;

/*
 * flow_scan_open / next / close
 *		next fills *vec (owned by the scan) with the next rows; FLOW_END when
 *		none is left (and ever after).  At most want rows are returned
 *		(0: FLOW_VECTOR_ROWS), and none behind the one that brings the rows
 *		to 2 MB.  INTERRUPTED: nothing is lost, call again.
 *		Between calls a scan pins SSTables of one version, never a memtable;
 *		a newer version is taken up at the next call, which is right because
 *		no version that a snapshot may need is ever dropped.
 */
extern FlowStatus flow_scan_open(FlowDb *db, const FlowScanSpec *spec,
								 FlowScan **scanp) FLOW_MUST_CHECK;
extern FlowStatus flow_scan_next(FlowScan *scan, uint32_t want,
								 const FlowVector **vecp) FLOW_MUST_CHECK;
extern const FlowScanStats *flow_scan_stats(const FlowScan *scan);
extern void flow_scan_close(FlowScan *scan); /* NULL is fine */

/*
 * flow_get / flow_get_latest
 *		The live row (key, ts), or the live row of key with the highest ts,
 *		among what spec's visible, own and now let see (bounds, direction and
 *		limit of spec are ignored).  *scanp holds the memory of *vecp (one
 *		row): close it.  NOTFOUND: *scanp is NULL.
 */
extern FlowStatus flow_get(FlowDb *db, const FlowScanSpec *spec,
						   const void *key, size_t key_bytes, int64_t ts,
						   FlowScan **scanp,
						   const FlowVector **vecp) FLOW_MUST_CHECK;
extern FlowStatus flow_get_latest(FlowDb *db, const FlowScanSpec *spec,
								  const void *key, size_t key_bytes,
								  FlowScan **scanp,
								  const FlowVector **vecp) FLOW_MUST_CHECK;

/* ------------------------------------------------------------ maintenance */

/*
 * flow_freeze
 *		Close the active memtable to writers when it holds anything logged
 *		before pos (UINT64_MAX: anything at all), so that flow_flush_step
 *		can write it.  Takes the write lock.
 */
extern FlowStatus flow_freeze(FlowDb *db, uint64_t pos) FLOW_MUST_CHECK;

/*
 * flow_flush_step
 *		Write the oldest frozen memtable to SSTables, one a store, and
 *		publish them.  FLOW_END: nothing is frozen.  FLOW_BUSY: another
 *		process is at it.  On failure the memtable stays and nothing is
 *		published; call again.  Blocks on I/O, holds no lock meanwhile.
 */
extern FlowStatus flow_flush_step(FlowDb *db) FLOW_MUST_CHECK;

/* Freeze and flush everything there is now, waiting for other flushers. */
extern FlowStatus flow_flush(FlowDb *db) FLOW_MUST_CHECK;

/*
 * flow_resolve_step
 *		Ask the host for the fate of transactions that the directories of
 *		SSTables still call UNKNOWN or COMMITTED, and make what is new
 *		durable in the manifest.  FLOW_END: nothing was new.
 */
extern FlowStatus flow_resolve_step(FlowDb *db) FLOW_MUST_CHECK;

/*
 * flow_learn_fates
 *		The same question for the transactions of the memtables, as hints for
 *		readers and for the flush to come, which may be long after the host
 *		has forgotten them.  One that is forgotten already stays UNKNOWN.
 */
extern FlowStatus flow_learn_fates(FlowDb *db) FLOW_MUST_CHECK;

/*
 * flow_oldest_unflushed
 *		A log position at or before the first record that is only in memory;
 *		UINT64_MAX when everything applied is in durable SSTables.  A record
 *		that was logged before the log position P was read is accounted for:
 *		result >= P proves that all before P is durable.
 */
extern uint64_t flow_oldest_unflushed(FlowDbShared *shared);

/* Without a handle: does anything frozen wait for a flush; and how many flush
 * steps have failed since the last one that went well? */
extern bool flow_has_frozen(FlowDbShared *shared);
extern uint32_t flow_flush_failing(FlowDbShared *shared);

typedef struct FlowStats
{
	uint64_t records_written; /* puts and tombstones applied since load */
	uint64_t bytes_written;	  /* their keys and values */
	uint64_t flushes;
	uint64_t flush_failures;
	uint64_t memtable_records; /* active and frozen */
	uint64_t memtable_bytes;
	uint32_t frozen_memtables;
	uint32_t sstables;
	uint64_t sstable_bytes;
	uint64_t sstable_records;
	uint64_t flushed_pos; /* log position up to which SSTables are complete */
	uint64_t oldest_unflushed;
	uint64_t unresolved_txns; /* directory entries of unknown fate */
	uint32_t stores;
} FlowStats;

extern void flow_stats(FlowDb *db, FlowStats *stats);

/* Records and bounds of one store, from metadata only: estimates for a planner. */
typedef struct FlowStoreStats
{
	uint64_t records; /* versions, hidden ones included */
	uint64_t bytes;	  /* raw keys and values */
	uint32_t sstables;
	bool has_ts; /* ts_min and ts_max are set */
	int64_t ts_min;
	int64_t ts_max;
} FlowStoreStats;

extern void flow_store_stats(FlowDb *db, uint32_t store_id,
							 FlowStoreStats *stats);

#endif /* FLOW_H */
