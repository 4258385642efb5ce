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
	FLOW_EXISTS = 12,	   /* what was to be made is there already */
	FLOW_CONFLICT = 13	   /* a newer version of the row has appeared */
} FlowStatus;

/* What went wrong last in this thread: one record, overwritten by the next. */
typedef struct FlowError
{
	FlowStatus status;
	int err_no;		   /* errno of the failed call, or 0 */
	const char *row;   /* CORRUPT or MISMATCH of a row of columns: what is wrong
						* with its bytes; constant text, else NULL */
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
#define FLOW_MAX_TTL_SECS (INT64_MAX / 1000000) /* longest time to live */

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
typedef struct FlowVector FlowVector;

/* When a write of the file log is durable (env_posix only). */
typedef enum FlowSyncMode
{
	FLOW_SYNC_ALWAYS,	/* before the write call returns */
	FLOW_SYNC_INTERVAL, /* within sync_interval_ms; the last ones may be lost
						 * with the machine, not with the process */
	FLOW_SYNC_HOST		/* the host's log decides (PostgreSQL) */
} FlowSyncMode;

/* Numbers are stored on disk. */
typedef enum FlowCompression
{
	FLOW_COMPRESS_NONE = 0,
	FLOW_COMPRESS_LZ4 = 1,
	FLOW_COMPRESS_ZSTD = 2
} FlowCompression;

/* Which SSTables are merged.  Numbers are stored on disk. */
typedef enum FlowPolicyKind
{
	FLOW_POLICY_STCS = 0, /* size-tiered: files of about one size */
	FLOW_POLICY_LCS = 1,  /* leveled: each level one sorted run, ten times the
						   * last */
	FLOW_POLICY_TWCS = 2  /* time windows: files of one window, by size */
} FlowPolicyKind;

/*
 * A merge policy.  What flow_policy_check refuses: min_threshold < 2,
 * max_threshold < min_threshold, bucket_low <= 0, bucket_high <= bucket_low,
 * window_us < 1, target_bytes < 1 MiB.
 */
typedef struct FlowMergePolicy
{
	FlowPolicyKind kind;
	uint32_t min_threshold; /* so many files of one bucket make a merge */
	uint32_t max_threshold; /* and at most so many go into one */
	double bucket_low;		/* a bucket: from low to high times its average */
	double bucket_high;
	uint64_t small_bytes;  /* files below share one bucket */
	int64_t window_us;	   /* TWCS: width of a window of ts_max */
	uint64_t target_bytes; /* LCS: an output file ends at about this size */
} FlowMergePolicy;

#define FLOW_POLICY_DEFAULT                                                \
	{                                                                      \
		.kind = FLOW_POLICY_STCS, .min_threshold = 4, .max_threshold = 32, \
		.bucket_low = 0.5, .bucket_high = 1.5, .small_bytes = 4u << 20,    \
		.window_us = INT64_C(86400) * 1000000, .target_bytes = 64u << 20   \
	}

/* INVALID and a message when a rule is broken. */
extern FlowStatus flow_policy_check(const FlowMergePolicy *p) FLOW_MUST_CHECK;

/*
 * How a database works.  flow_options_check holds the rules, which are those
 * of FlowDB's Config; sizes are in bytes here.  flow_open applies it; who calls
 * flow_load does so itself.
 */
typedef struct FlowOptions
{
	/* --- opening --- */
	bool create; /* flow_create first: the directory must not hold one */
	bool create_missing; /* flow_open: make it when there is none */
	bool will_redo;		 /* flow_redo will be given all from log_start on */
	uint64_t log_start;	 /* log position from which redo will run */

	/* --- memory and files --- */
	uint64_t memtable_bytes;   /* freeze the memtable at this size; >= 1 MiB */
	uint32_t max_frozen;	   /* so many frozen memtables hold writers; >= 1 */
	uint64_t hard_limit_bytes; /* unflushed data that refuses writes when a
								  * flush does not help; 0: all buffers */
	uint64_t reserve_bytes;	   /* of disk, kept for what gives space back;
							 * 0: none.  See also FlowEnv.disk_space */
	uint32_t block_bytes; /* raw bytes of an SSTable block; 1 KiB to 16 MiB */
	uint32_t bloom_bits_per_key; /* 1 .. 64 */
	FlowCompression flush_compression;
	FlowCompression merge_compression;
	int32_t zstd_level; /* 1 .. 22 */

	/* --- expiry and merging --- */
	int64_t default_ttl_secs; /* of records without an expiry; 0: none */
	uint32_t merge_threshold; /* so many SSTables of a store permit a merge by
							   * flow_compact; >= 1 */
	FlowMergePolicy policy;	  /* of stores without one of their own */

	/* --- the file log, and the thread of flow_open (env_posix) --- */
	uint64_t wal_segment_bytes;		 /* >= 1 MiB */
	FlowCompression log_compression; /* of its records, NONE or LZ4.  The
									  * writer waits for it; that pays where
									  * it would wait longer for the disk */
	FlowSyncMode sync_mode;
	uint32_t sync_interval_ms;		 /* >= 1 */
	bool auto_background;			 /* flow_open starts a maintenance thread */
	uint32_t flush_interval_ms;		 /* >= 1 */
	uint32_t compaction_interval_ms; /* >= 1 */
	uint32_t gc_interval_secs;		 /* >= 1 */
} FlowOptions;

#define FLOW_OPTIONS_DEFAULT                                                   \
	{                                                                          \
		.memtable_bytes = 64u << 20, .max_frozen = 2,                          \
		.block_bytes = 16u << 10, .bloom_bits_per_key = 10,                    \
		.flush_compression = FLOW_COMPRESS_LZ4,                                \
		.merge_compression = FLOW_COMPRESS_ZSTD, .zstd_level = 1,              \
		.merge_threshold = 2, .policy = FLOW_POLICY_DEFAULT,                   \
		.wal_segment_bytes = 64u << 20, .log_compression = FLOW_COMPRESS_NONE, \
		.sync_mode = FLOW_SYNC_ALWAYS, .sync_interval_ms = 100,                \
		.auto_background = false, .flush_interval_ms = 1000,                   \
		.compaction_interval_ms = 60000, .gc_interval_secs = 3600              \
	}

extern FlowStatus flow_options_check(const FlowOptions *o) FLOW_MUST_CHECK;

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
 *		Removes files that it does not list.  Called once a database and
 *		server start, by one caller at a time.  An orphan SSTable made by a
 *		flush whose records all lie before opts->log_start proves a lost
 *		manifest edit: FLOW_CORRUPT.  A listed SSTable that is missing is
 *		FLOW_CORRUPT too, unless redo will come: a base backup may have copied
 *		the manifest later than the directory.  Then the newest state in the
 *		manifest is taken whose files are there, if redo brings what has come
 *		after it (history.c).
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

/* The same, for good: *shared goes too, with the last handle on it.  The host
 * attaches no more, and does not unload. */
extern void flow_abandon(FlowEnv *env, FlowDbShared *shared);

/* A handle of this process (thread) on a loaded database.  Scans still open
 * when it is detached pin nothing any more and give INVALID; what they gave
 * last stays, and their owners close them later as usual. */
extern FlowStatus flow_attach(FlowEnv *env, FlowDbShared *shared,
							  const char *dir, FlowDb **dbp) FLOW_MUST_CHECK;
extern void flow_detach(FlowDb *db);

/* The shared state behind a handle. */
extern FlowDbShared *flow_shared(FlowDb *db);

/*
 * flow_open / flow_close / flow_free
 *		For embedders (env_posix).  Open: options' rules, the directory's lock
 *		(BUSY: another process or handle has it), create when asked, load,
 *		attach, replay of the file log, the background thread when asked.
 *		NOTFOUND: no database there, and neither create nor create_missing.
 *		Close: ends the thread, flushes, gives the lock back; idempotent: a
 *		second call does nothing and says OK.  Afterwards writes are refused
 *		(INVALID, "database is closed"), reads go on.  When the flush fails its
 *		status is returned and the database stays open.
 *		Free: ends the handle itself, closing it first; what a flush could not
 *		write stays in the log.  NULL is fine.
 *		An environment has one database open at a time.  A handle is one
 *		thread's: others work on the same database through handles that
 *		flow_attach(env, flow_shared(db), dir) gives them, and detach these
 *		before flow_free.  CORRUPT from flow_open may mean that the log is
 *		damaged: the message says where, and tools/flowdb_salvage repairs it.
 */
extern FlowStatus flow_open(FlowEnv *env, const char *dir,
							const FlowOptions *opts,
							FlowDb **dbp) FLOW_MUST_CHECK;
extern FlowStatus flow_close(FlowDb *db);
extern void flow_free(FlowDb *db);

/* --------------------------------------------------------------- settings */

/*
 * What of FlowOptions may change while the database is open.  Numbers are
 * stored on disk and in the log: never change them.
 */
typedef enum FlowSetting
{
	FLOW_SETTING_MEMTABLE_BYTES = 1, /* at most a quarter of all buffers */
	FLOW_SETTING_MAX_FROZEN = 2,
	FLOW_SETTING_BLOCK_BYTES = 3, /* of SSTables to come, as the next four */
	FLOW_SETTING_BLOOM_BITS = 4,
	FLOW_SETTING_FLUSH_COMPRESSION = 5,
	FLOW_SETTING_MERGE_COMPRESSION = 6,
	FLOW_SETTING_ZSTD_LEVEL = 7,
	FLOW_SETTING_DEFAULT_TTL_SECS = 8, /* of records to come */
	FLOW_SETTING_MERGE_THRESHOLD = 9,
	FLOW_SETTING_POLICY = 10, /* a FlowPolicyKind, its other numbers as usual */
	/* the engine only keeps those below; the host's workers obey them */
	FLOW_SETTING_AUTO_BACKGROUND = 11,
	FLOW_SETTING_FLUSH_INTERVAL_MS = 12,
	FLOW_SETTING_COMPACTION_INTERVAL_MS = 13,
	FLOW_SETTING_GC_INTERVAL_SECS = 14,
	FLOW_SETTING_END
} FlowSetting;

typedef struct FlowSettings
{
	uint32_t given; /* bit 1 << setting */
	int64_t value[FLOW_SETTING_END];
} FlowSettings;

/*
 * flow_configure
 *		Put these settings over the options that the database was loaded with;
 *		what is not given is as loaded again.  For all processes at once, and
 *		durable like a store's definition: they are logged, redone, and kept in
 *		the manifest.  INVALID and a message: a rule of flow_options_check is
 *		broken.  BUSY: write buffers full, nothing was logged.  Without a
 *		change nothing is logged.
 * flow_configure_store
 *		The same for a store's own merge policy; policy is a FlowPolicyKind,
 *		-1: none.  INVALID: no such store.
 * flow_settings, flow_setting, flow_store_policy
 *		What was configured; false: not given.
 */
extern FlowStatus flow_configure(FlowDb *db,
								 const FlowSettings *settings) FLOW_MUST_CHECK;
extern FlowStatus flow_configure_store(FlowDb *db, uint32_t store_id,
									   int policy) FLOW_MUST_CHECK;
extern void flow_settings(FlowDb *db, FlowSettings *settings);
extern bool flow_setting(FlowDb *db, FlowSetting which, int64_t *valuep);
extern bool flow_store_policy(FlowDb *db, uint32_t store_id, int *policyp);

/* ----------------------------------------------------------------- stores */

/*
 * Stores are found by name, written by id.  blob is the host's description
 * of the value columns; the engine keeps it, never reads it.
 * flow_store_define logs the definition (new name, or new blob of an old one)
 * and returns its id.  FLOW_BUSY: write buffers full, nothing was logged.
 * INVALID: a name that begins with byte 1, which are the engine's own.
 * flow_store_find: blob is malloc-like memory of the env, freed by the caller
 * with env->free; NULL blobp: not wanted.  NOTFOUND when there is none.
 * flow_store_version changes whenever any definition of the database does, and
 * is another one for every load of any database.
 */
extern FlowStatus flow_store_define(FlowDb *db, const char *name,
									const void *blob, size_t blob_bytes,
									uint32_t *store_idp) FLOW_MUST_CHECK;
extern FlowStatus flow_store_find(FlowDb *db, const char *name,
								  uint32_t *store_idp, void **blobp,
								  size_t *blob_bytesp) FLOW_MUST_CHECK;
extern uint64_t flow_store_version(FlowDb *db);
/* Is a store that once was there not known to be dropped? */
extern bool flow_store_exists(FlowDb *db, uint32_t store_id);

/*
 * flow_store_drop
 *		Log that transaction xid (0: none) drops the store.  Once xid has
 *		committed the definition, the rows and the files go; its name is free
 *		as soon as that is known here, and a store defined under it later has
 *		another id.  When xid has aborted nothing happened.  Whoever writes to
 *		the store meanwhile is kept away by the host.  BUSY as above;
 *		NOTFOUND: there is none.
 */
extern FlowStatus flow_store_drop(FlowDb *db, uint32_t store_id,
								  uint64_t xid) FLOW_MUST_CHECK;

/*
 * flow_store_drop_unless
 *		The other way round, for a store that transaction xid has just begun:
 *		it is dropped once xid has aborted.
 * flow_drop_committed
 *		Transaction xid, which may have dropped stores, has committed: their
 *		names are free at once.  In memory only; the rest is done by whoever
 *		comes to it.
 * flow_drop_step
 *		Ask for the fate of transactions that drop stores, and take out of the
 *		manifest the stores that are dropped, whose files go then.  A part of
 *		flow_resolve_step, flow_flush_step and flow_maintenance_step.  END:
 *		nothing was new; BUSY: another process writes the manifest.
 */
extern FlowStatus flow_store_drop_unless(FlowDb *db, uint32_t store_id,
										 uint64_t xid) FLOW_MUST_CHECK;
extern void flow_drop_committed(FlowDb *db, uint64_t xid);
extern FlowStatus flow_drop_step(FlowDb *db) FLOW_MUST_CHECK;

/* ---------------------------------------------------------------- columns */

/*
 * Values may be rows of columns, in the bytes of doc/FORMAT.md "Value: a row
 * of value columns".  A host that writes such rows tells their shape
 * (FlowEnv.store_shape); SSTables then keep each column on its own, and scans
 * give the columns that are asked for.  Numbers are stored on disk.
 */
typedef enum FlowColumnKind
{
	FLOW_COLUMN_INT = 1,	/* signed, little-endian, 1, 2, 4 or 8 bytes */
	FLOW_COLUMN_FLOAT = 2,	/* IEEE 754, little-endian, 4 or 8 bytes */
	FLOW_COLUMN_FIXED = 3,	/* bytes of one length */
	FLOW_COLUMN_PACKED = 4, /* bytes of varying length, a short header if it
							 * fits */
	FLOW_COLUMN_PLAIN = 5,	/* the same, never a short header */
	FLOW_COLUMN_STRING = 6	/* the same, without a header but its length */
} FlowColumnKind;

typedef struct FlowColumn
{
	FlowColumnKind kind;
	uint32_t bytes; /* INT, FLOAT; FIXED: 1 .. 32767; of the others 0 */
	/* readers only: the value, as in a row, of rows that are older than the
	 * column; NULL: they have NULL */
	const uint8_t *missing;
	uint32_t missing_bytes;
} FlowColumn;

/* The columns of a store's rows, in their order. */
typedef struct FlowShape
{
	uint32_t ncolumns;
	const FlowColumn *columns;
} FlowShape;

#define FLOW_MAX_COLUMNS 32767u

/*
 * One column of a vector of rows.  Of INT and FLOAT num is set: the number, or
 * the bits of the float (of one of 4 bytes sign-extended from 32 bits), so
 * that it is what a by-value Datum is.  Of the other kinds ptr and bytes: the
 * value as it stands in a row, its header included.  Of a NULL num is 0, ptr
 * NULL.
 */
typedef struct FlowColumnVector
{
	int64_t *num;
	const uint8_t **ptr;
	uint32_t *bytes;
	uint8_t *null; /* one a row: 1 if it is NULL */
	bool any_null; /* false: null is all 0 */
} FlowColumnVector;

/*
 * A condition on a value column: rows for which it is not true are left out,
 * as SQL's WHERE does.  Only of INT and FLOAT columns, but for the last two.
 * INT compares as signed numbers.  FLOAT as PostgreSQL's float8: NaN equals
 * itself and is greater than all else, -0 equals 0; the values are the bits of
 * doubles, whatever the column's width.
 */
typedef enum FlowFilterOp
{
	FLOW_FILTER_LT = 1, /* as btree strategies are numbered */
	FLOW_FILTER_LE = 2,
	FLOW_FILTER_EQ = 3,
	FLOW_FILTER_GE = 4,
	FLOW_FILTER_GT = 5,
	FLOW_FILTER_NE = 6,
	FLOW_FILTER_IN = 7, /* equals one of the values */
	FLOW_FILTER_NULL = 8,
	FLOW_FILTER_NOT_NULL = 9
} FlowFilterOp;

typedef struct FlowFilter
{
	uint32_t column; /* which of the spec's columns */
	FlowFilterOp op;
	uint32_t nvalues;	   /* IN: rising, any number; NULL, NOT_NULL: 0 */
	const int64_t *values; /* borrowed until the scan is closed */
} FlowFilter;

/* ---------------------------------------------------------------- writing */

typedef enum FlowOp
{
	FLOW_PUT = 0,
	FLOW_DELETE = 1,	  /* a tombstone of one (key, ts) */
	FLOW_DELETE_RANGE = 2 /* a range tombstone */
} FlowOp;

/*
 * What a range tombstone covers: keys from key_lo on and before key_hi, times
 * from ts_lo to ts_hi, both included.  key_hi NULL: no upper end.  An empty
 * rectangle (key_lo >= key_hi, ts_lo > ts_hi) is fine and covers nothing.
 * It hides what has a lower sequence than its own, whoever wrote it.
 */
typedef struct FlowRect
{
	const uint8_t *key_lo;
	const uint8_t *key_hi;
	uint32_t key_lo_bytes;
	uint32_t key_hi_bytes;
	int64_t ts_lo;
	int64_t ts_hi;
} FlowRect;

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

/*
 * flow_txbuf_check
 *		The entry added last answers a read of its row at the log position
 *		seen: when it is pushed, nobody else may have written that row, or a
 *		range tombstone over it, at or behind seen, unless counts says that
 *		the writer does not count (aborted, or this very transaction).  The
 *		push gives CONFLICT then, and nothing of its batch is logged.  absent:
 *		the read has found no row, so one that came and went since is no matter.
 * flow_log_seen
 *		A log position to note before a row is read: what the read does not
 *		look at stands at or behind it.
 */
typedef bool (*FlowCountsFn)(void *arg, uint64_t xid, FlowTxnState state);
extern FlowStatus flow_txbuf_check(FlowTxBuf *buf, uint64_t seen,
								   bool absent) FLOW_MUST_CHECK;
extern void flow_txbuf_set_counts(FlowTxBuf *buf, FlowCountsFn counts,
								  void *arg);
extern uint64_t flow_log_seen(FlowDb *db);

/* Append a range tombstone; the keys are copied.  INVALID as above. */
extern FlowStatus flow_txbuf_delete_range(FlowTxBuf *buf, uint32_t store_id,
										  const FlowRect *rect, uint64_t xid,
										  uint32_t cid) FLOW_MUST_CHECK;

extern size_t flow_txbuf_bytes(const FlowTxBuf *buf); /* memory in use */
/* Has it anything that was not pushed? */
extern bool flow_txbuf_pending(const FlowTxBuf *buf);

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

/* The transaction of a logged batch or drop; 0 for any other record, or none. */
extern uint64_t flow_record_xid(const void *rec, size_t rec_bytes);

/* One-line description of a logged record into buf, for pg_waldump and logs. */
extern void flow_record_desc(const void *rec, size_t rec_bytes, char *buf,
							 size_t buf_bytes);

/*
 * For embedders: atomic batches outside any transaction.  Arrays of length
 * n, in any order; n = 0 is fine.  Of several records of one (key, ts) the
 * last counts.  Deletes look at key and ts only, and of what is not there do
 * nothing.  INVALID: no such store, a key or value that is too long, or a
 * batch of more than about 16 MB, which no log record holds.
 * Writers wait while the write buffers are full, flushing themselves; a batch
 * is visible, as a whole, once it is as durable as sync asks, and not before.
 * PANIC: an earlier failure of the log made the database read-only.
 */
typedef struct FlowRecord
{
	const void *key;
	size_t key_bytes;
	int64_t ts;
	int64_t expire_at;
	const void *value;
	size_t value_bytes;
} FlowRecord;

typedef enum FlowSync
{
	FLOW_SYNC_DEFAULT, /* as options.sync_mode says */
	FLOW_SYNC_YES,
	FLOW_SYNC_NO /* survives the process, maybe not the machine */
} FlowSync;

/*
 * ttl_secs counts from each record's ts, saturating; 0 with has_ttl: dead at
 * ts.  What an expiry is made of, in this order: the call's ttl_secs; the
 * record's own expire_at when it is not FLOW_NEVER; options.default_ttl_secs.
 * INVALID: ttl_secs outside 0 .. FLOW_MAX_TTL_SECS.
 */
typedef struct FlowWriteOptions
{
	FlowSync sync;
	bool has_ttl;
	int64_t ttl_secs;
} FlowWriteOptions; /* zeroed: all defaults; NULL is the same */

extern FlowStatus
flow_write_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				 size_t n, const FlowWriteOptions *opts) FLOW_MUST_CHECK;
extern FlowStatus
flow_delete_batch(FlowDb *db, uint32_t store_id, const FlowRecord *records,
				  size_t n, const FlowWriteOptions *opts) FLOW_MUST_CHECK;
extern FlowStatus
flow_delete_range(FlowDb *db, uint32_t store_id, const FlowRect *rect,
				  const FlowWriteOptions *opts) FLOW_MUST_CHECK;

/*
 * flow_patch_record
 *		Change one live row in place: value NULL keeps its value (an empty one
 *		is a pointer and no bytes), a ttl in opts sets its expiry, without one
 *		it keeps its own, whatever the default.  The row is one of no
 *		transaction or settled, live by the clock.  Atomic against every other
 *		write outside transactions: it is done again when the row changed
 *		meanwhile.  NOTFOUND: no live row.  *vecp: the row as it is now stored,
 *		memory of *scanp, which the caller closes.
 */
extern FlowStatus
flow_patch_record(FlowDb *db, uint32_t store_id, const void *key,
				  size_t key_bytes, int64_t ts, const void *value,
				  size_t value_bytes, const FlowWriteOptions *opts,
				  FlowScan **scanp, const FlowVector **vecp) FLOW_MUST_CHECK;

/* The expiry that the rule above gives.  ttl_secs matters with has_ttl only;
 * both ttls are taken for 0 .. FLOW_MAX_TTL_SECS. */
extern int64_t flow_expiry(int64_t ts, int64_t expire_at, bool has_ttl,
						   int64_t ttl_secs, int64_t default_ttl_secs);

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
 * What a lookup has come to: the version that decides, alive or not, or the
 * range tombstone that hides it.
 */
typedef struct FlowGetInfo
{
	uint64_t seen; /* log position: what stands at or behind it in the log was
					* not looked at; all before it was */
	bool found;	   /* there is one, and so the following is set */
	bool own;	   /* it is in the private buffer */
	uint64_t seq;
	uint64_t xid; /* who wrote it; 0: no transaction, or a settled one */
	uint32_t cid; /* of an own one, or with xid */
} FlowGetInfo;

/*
 * What a scan reads.  A zeroed struct with a store id reads everything,
 * forwards, that is committed by xid 0.  Reversed bounds give no row.
 */
typedef struct FlowScanSpec
{
	uint32_t store_id;
	FlowKeyBound key_lo, key_hi;
	FlowTimeBound ts_lo, ts_hi;
	bool reverse;	/* key, then ts, both descending */
	bool keys_only; /* values are not wanted: value pointers are NULL */
	/*
	 * With keys_only: rows only have to be counted, and their times to be
	 * bounded, so those of whole blocks may be given as span_rows.  Forwards,
	 * without a limit, filters or columns; else nothing comes of it.  For
	 * flow_scan_next only.
	 */
	bool spans;
	/* What nobody looks at: those members of a vector mean nothing then.  For
	 * flow_scan_next only. */
	bool no_keys, no_times, no_expiry;
	/*
	 * With columns, rows come as vectors of these value columns, and value
	 * pointers are NULL; keys_only is not looked at.  A value that is not a row
	 * of that shape is CORRUPT, one of a newer version than this build knows is
	 * MISMATCH.  All of it is borrowed until the scan is closed.  The shape is
	 * the reader's own: of 8 bytes it may call FLOAT what the writer called INT
	 * and the other way round, which are the same bits; likewise of 4 bytes.
	 */
	const FlowShape *shape;
	const uint32_t *columns;   /* numbers in the shape, each above the last */
	uint32_t ncolumns;		   /* 0: values as they are */
	const FlowFilter *filters; /* a row has to pass all of them */
	uint32_t nfilters;		   /* 0 without columns */
	uint64_t limit;			   /* rows, 0 = no limit */
	int64_t now;		   /* expiry is judged at this time; INT64_MIN: never */
	FlowVisibleFn visible; /* NULL: only xid 0 and SETTLED are visible */
	void *visible_arg;
	FlowTxBuf *own;		/* the reader's private buffer, or NULL */
	uint32_t own_cid;	/* entries of own with cid < own_cid are seen */
	bool no_fill_cache; /* blocks read for this scan stay out of the cache */
	bool no_verify;		/* checksums of blocks are not looked at */
	FlowGetInfo *info;	/* out, of flow_get, whatever it returns; or NULL */
	struct FlowScanStats *missed; /* flow_get that finds nothing adds its
								   * counters here; may be NULL */
} FlowScanSpec;

/*
 * The query family: bounds into *spec, which is else left alone, so that a key
 * and a time range go together.  Ranges have both ends included; reversed ones
 * give no row.  A prefix is every key that begins with it; the empty one is
 * every key.  Keys are borrowed until flow_scan_open returns.
 */
extern void flow_spec_key_range(FlowScanSpec *spec, const void *lo,
								size_t lo_bytes, const void *hi,
								size_t hi_bytes);
extern void flow_spec_time_range(FlowScanSpec *spec, int64_t lo, int64_t hi);
/* scratch as in flow_prefix_bounds */
extern void flow_spec_prefix(FlowScanSpec *spec, const void *prefix,
							 size_t prefix_bytes, void *scratch);

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
struct FlowVector
{
	uint32_t nrows;
	/* with spans: how many rows there are besides, which stand before, between
	 * or behind those of the vector, nrows being 0 at times; and if there are
	 * any, their least and their greatest ts */
	uint64_t span_rows;
	int64_t span_ts_min, span_ts_max;
	const uint8_t *key[FLOW_VECTOR_ROWS];
	uint32_t key_bytes[FLOW_VECTOR_ROWS];
	int64_t ts[FLOW_VECTOR_ROWS];
	int64_t expire_at[FLOW_VECTOR_ROWS];
	const uint8_t *value[FLOW_VECTOR_ROWS];
	uint32_t value_bytes[FLOW_VECTOR_ROWS];
	const FlowColumnVector *columns; /* one a column of the spec, in its order;
									  * NULL: the spec has none */
};

typedef struct FlowScanStats
{
	uint64_t rows;				/* returned */
	uint64_t rows_filtered;		/* seen, and left out by a filter */
	uint64_t rows_skipped;		/* of these, by their block's statistics */
	uint64_t rows_memtable;		/* of both, from memtables */
	uint64_t rows_sst;			/* from SSTables */
	uint64_t rows_own;			/* from the private buffer */
	uint64_t versions_hidden;	/* invisible, superseded, deleted or expired */
	uint64_t ssts_read;			/* SSTables opened */
	uint64_t ssts_skipped;		/* SSTables pruned by key or time */
	uint64_t ssts_skipped_time; /* of these, by time */
	uint64_t ssts_bloom;		/* pruned by the bloom filter */
	uint64_t blocks_read;		/* from disk or cache */
	uint64_t blocks_skipped;	/* pruned by time inside a read SSTable */
	uint64_t cache_hits;		/* of blocks_read */
	uint64_t blocks_spanned;	/* not read: their rows are span_rows */
} FlowScanStats;

/*
 * flow_scan_open / next / close
 *		next fills *vec (owned by the scan) with the next rows; FLOW_END when
 *		none is left (and ever after).  At most want rows are returned
 *		(0: FLOW_VECTOR_ROWS), and none behind the one that brings the rows
 *		to 2 MB.  With filters want is how many rows are looked at first; of
 *		more that it takes to find one, FLOW_VECTOR_ROWS may be returned.
 *		INTERRUPTED: nothing is lost, call again.
 *		Between calls a scan pins SSTables of one version, never a memtable;
 *		a newer version is taken up at the next call, which is right because
 *		no version that a snapshot may need is ever dropped.
 */
extern FlowStatus flow_scan_open(FlowDb *db, const FlowScanSpec *spec,
								 FlowScan **scanp) FLOW_MUST_CHECK;
extern FlowStatus flow_scan_next(FlowScan *scan, uint32_t want,
								 const FlowVector **vecp) FLOW_MUST_CHECK;
extern const FlowScanStats *flow_scan_stats(const FlowScan *scan);
/* At what time a scan opened with that now judges expiry: later than now, if
 * rows were purged up to then. */
extern int64_t flow_judge_at(FlowDb *db, int64_t now);
extern void flow_scan_close(FlowScan *scan); /* NULL is fine */

/*
 * flow_scan_row
 *		The same, row by row: *rowp is the next one, memory of the scan until
 *		the next call; value is NULL for keys_only, and with columns, which are
 *		not given here.  The first rows cost
 *		little: the scan fills small vectors first.  FLOW_END as above.  Not to
 *		be mixed with flow_scan_next.
 */
extern FlowStatus flow_scan_row(FlowScan *scan,
								FlowRecord *rowp) FLOW_MUST_CHECK;

/*
 * flow_get / flow_get_latest
 *		The live row (key, ts), or the live row of key with the highest ts,
 *		among what spec's visible, own and now let see (bounds, direction and
 *		limit of spec are ignored).  A row that a filter leaves out is not found
 *		by flow_get, and passed over by flow_get_latest.  *scanp holds the memory of *vecp (one
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

/*
 * Parts of a scan's bounds, for readers that share the work: each takes a part,
 * puts it in the place of the bounds in a copy of the spec, scans it, and takes
 * the next one.  Rows of different parts are different, and together they are
 * those of the spec; parts rise in the order of (key, ts).
 */
typedef struct FlowPart
{
	FlowKeyBound key_lo, key_hi;
	FlowTimeBound ts_lo, ts_hi;
} FlowPart;

typedef struct FlowParts
{
	uint32_t n; /* at least 1 */
	FlowPart *part;
} FlowParts;

#define FLOW_MOST_PARTS 256u /* more are not wanted, whatever is asked for */
#define FLOW_SPLIT_PARTS(want) (3 * (want)) /* and so many there may be */
#define FLOW_SPLIT_KEY \
	129u /* bytes that a key of a part has at most, when it
							 * is not the spec's */

/*
 * flow_split
 *		Cut the bounds of spec, whose direction, columns and filters do not
 *		matter, into about want parts of about as many rows each.  What small
 *		parts would not be worth is left whole: one part is always right.  Looks
 *		into indexes of SSTables and into memtables only.  A part's bounds that
 *		are spec's own have its pointers; other keys live as long as *partsp.
 *		INTERRUPTED: call again.  May block on I/O.
 * flow_parts_free: NULL is fine.
 */
extern FlowStatus flow_split(FlowDb *db, const FlowScanSpec *spec,
							 uint32_t want, FlowParts **partsp) FLOW_MUST_CHECK;
extern void flow_parts_free(FlowDb *db, FlowParts *parts);

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

/* What a flush made. */
typedef struct FlowFlushReport
{
	uint32_t sstables;
	uint64_t first_id; /* least id; 0 when there are none */
	uint64_t records;
	uint64_t file_bytes;
} FlowFlushReport;

/* Freeze and flush everything there is now, waiting for other flushers.
 * report: out, what this call itself wrote; may be NULL. */
extern FlowStatus flow_flush(FlowDb *db,
							 FlowFlushReport *report) FLOW_MUST_CHECK;

/*
 * Merging.  A merge reads some SSTables of one store and writes one or a few
 * in their place.  It is private to the handle that began it and is gone with
 * it, without a trace; at most one merge a store is at work, whoever does it.
 * What a merge leaves out: rows of aborted transactions; versions hidden by a
 * newer version or a range tombstone that is settled; tombstones and expired
 * rows that are settled, when no SSTable outside the merge may hold anything
 * older that they hide.
 */
typedef struct FlowMaintenance
{
	int64_t time_us;	  /* spent in this call */
	uint32_t merges;	  /* completed */
	uint64_t rows_merged; /* read by merges */
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t purged; /* records of SSTables dropped because they expired */
	bool pending;	 /* a merge is under way: call again */
} FlowMaintenance;

/*
 * flow_maintenance_step
 *		Go on with this handle's merge, or begin the most useful one, for
 *		about budget_us, and at least a little; when nothing is to be merged,
 *		drop expired SSTables.  Ends by itself within a tenth over the budget.
 *		END: there was nothing to do.  INTERRUPTED: nothing is lost.
 *		report: out; may be NULL.
 */
extern FlowStatus
flow_maintenance_step(FlowDb *db, int64_t budget_us,
					  FlowMaintenance *report) FLOW_MUST_CHECK;
/* Give up this handle's merge; the files it has written go. */
extern void flow_maintenance_cancel(FlowDb *db);

/*
 * flow_compact
 *		One whole merge of a store (0: of each store) by hand, begun when it
 *		has options.merge_threshold SSTables: all those of at most four times
 *		the smallest one's size, or the two smallest.  *ranp: one ran.  Waits
 *		for a merge that another handle has under way.
 * flow_gc
 *		Drop the SSTables all of whose records have expired and hide nothing,
 *		or that a settled range tombstone in memory hides as a whole.
 *		*purgedp: records in them.
 */
extern FlowStatus flow_compact(FlowDb *db, uint32_t store_id,
							   bool *ranp) FLOW_MUST_CHECK;
extern FlowStatus flow_gc(FlowDb *db, uint64_t *purgedp) FLOW_MUST_CHECK;

/* Of one store, or of all that have none of their own (store_id 0); until the
 * database is unloaded, or flow_configure sets another. */
extern FlowStatus
flow_set_merge_policy(FlowDb *db, uint32_t store_id,
					  const FlowMergePolicy *policy) FLOW_MUST_CHECK;

/* Is there a merge that the policy asks for, or anything to drop?  Cheap; no
 * handle's merge counts. */
extern bool flow_wants_maintenance(FlowDb *db);

/*
 * flow_resolve_step
 *		Ask the host for the fate of transactions that the directories of
 *		SSTables still call UNKNOWN or COMMITTED, and make what is new
 *		durable in the manifest; remove files that nobody needs any more.
 *		FLOW_END: nothing was new.  Asks in vain at most some ten thousand
 *		times; the next call goes on from there.
 * flow_resolve_all
 *		The same for all of them at once: the host is about to forget fates.
 */
extern FlowStatus flow_resolve_step(FlowDb *db) FLOW_MUST_CHECK;
extern FlowStatus flow_resolve_all(FlowDb *db) FLOW_MUST_CHECK;

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

/* The same number, and why the last of them failed; *error is of no meaning
 * when the number is 0. */
extern uint32_t flow_flush_error(FlowDb *db, FlowError *error);

/* Kinds of calls whose time is measured. */
typedef enum FlowLatencyKind
{
	FLOW_LATENCY_WRITE, /* a batch, until it is durable */
	FLOW_LATENCY_QUERY, /* a get, or one fill of a scan */
	FLOW_LATENCY_FLUSH, /* a flush step */
	FLOW_LATENCY_KINDS
} FlowLatencyKind;

typedef struct FlowLatency
{
	uint64_t count; /* measured calls; queries are sampled */
	uint64_t sum_us;
	uint32_t p50_us, p90_us, p99_us, max_us;
} FlowLatency;

/* Counters begin at load.  Times are 0 for never. */
typedef struct FlowStats
{
	uint64_t records_written; /* puts and tombstones applied */
	uint64_t bytes_written;	  /* their keys and values */
	uint64_t records_read;	  /* rows that scans and gets returned */
	uint64_t records_expired; /* left out by flushes and merges, or purged */
	uint64_t flushes;
	uint64_t flush_failures;
	uint64_t merges;
	uint64_t merge_failures;
	uint64_t gc_runs;
	uint64_t purged;		  /* records of SSTables that GC dropped */
	uint64_t sstables_merged; /* into merges */
	uint64_t sstables_made;	  /* by merges */
	uint64_t merge_rows;
	uint64_t merge_bytes_read;
	uint64_t merge_bytes_written;
	uint64_t merge_time_us;
	uint64_t memtable_records; /* active and frozen */
	uint64_t memtable_bytes;
	uint32_t frozen_memtables;
	uint32_t sstables;
	uint64_t sstable_bytes;
	uint64_t sstable_raw_bytes; /* keys and values before encoding */
	uint64_t sstable_records;
	uint64_t range_tombstones; /* in SSTables */
	uint64_t obsolete_files;   /* waiting to be unlinked */
	uint64_t generation;	   /* id that the next SSTable gets */
	uint64_t flushed_pos; /* log position up to which SSTables are complete */
	uint64_t oldest_unflushed;
	uint64_t unresolved_txns; /* directory entries of unknown fate */
	uint32_t stores;
	uint64_t log_bytes; /* of live segments of the file log; else 0 */
	uint64_t cache_bytes, cache_capacity; /* of the whole region */
	uint64_t cache_hits, cache_misses;
	uint64_t buffer_bytes,
		buffer_capacity;				/* all write buffers of the region */
	uint64_t meta_bytes, meta_capacity; /* and its metadata */
	int64_t loaded_at, last_flush_at, last_merge_at, last_gc_at;
	FlowLatency latency[FLOW_LATENCY_KINDS];
} FlowStats;

extern void flow_stats(FlowDb *db, FlowStats *stats);

/*
 * flow_metrics_text
 *		The stats of n databases of one region as Prometheus text: for each
 *		metric HELP and TYPE, then a sample a database, with the label
 *		database="name"; of the block cache one sample without a label.
 *		*textp: NUL-terminated, freed by the caller with env->free.
 */
extern FlowStatus flow_metrics_text(FlowEnv *env, const char *const *names,
									const FlowStats *stats, size_t n,
									char **textp) FLOW_MUST_CHECK;

/* Records and bounds of one store, from metadata only: estimates for a planner. */
typedef struct FlowStoreStats
{
	uint64_t records;	 /* versions, hidden ones included */
	uint64_t bytes;		 /* raw keys and values */
	uint64_t file_bytes; /* of its SSTables, on disk */
	uint64_t keys;		 /* distinct ones, roughly */
	uint32_t sstables;
	bool has_ts; /* ts_min and ts_max are set */
	int64_t ts_min;
	int64_t ts_max;
} FlowStoreStats;

extern void flow_store_stats(FlowDb *db, uint32_t store_id,
							 FlowStoreStats *stats);

/* Every store's id and name; every SSTable.  Memory of the info is valid
 * inside fn only; fn's status other than OK ends the walk and is returned. */
typedef struct FlowSstStats
{
	uint64_t id;
	uint32_t store_id;
	uint32_t level;
	uint64_t records;
	uint64_t tombstones;
	uint64_t range_tombstones;
	uint64_t file_bytes;
	uint64_t raw_bytes;
	int64_t ts_min, ts_max; /* without records: ts_min > ts_max */
	int64_t expire_max;
	const uint8_t *key_min, *key_max;
	uint32_t key_min_bytes, key_max_bytes;
	uint32_t unsettled; /* directory entries */
} FlowSstStats;

extern FlowStatus flow_each_store(FlowDb *db,
								  FlowStatus (*fn)(void *arg, uint32_t store_id,
												   const char *name),
								  void *arg) FLOW_MUST_CHECK;
extern FlowStatus
flow_each_sst(FlowDb *db, FlowStatus (*fn)(void *arg, const FlowSstStats *sst),
			  void *arg) FLOW_MUST_CHECK;

#endif /* FLOW_H */
