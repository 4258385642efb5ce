/*-------------------------------------------------------------------------
 * env.h
 *	  What the engine asks of its host: the FlowEnv table.
 *
 * Two of them exist: env_posix.c (threads; tests, tools, embedders) and the
 * PostgreSQL one in src/pgenv.c (processes).  No function here may throw or
 * longjmp.  File functions set the error record (status.h) themselves.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ENV_H
#define FLOW_ENV_H

#include "flow.h"

typedef struct FlowFile FlowFile; /* an open file, private to its opener */
typedef struct FlowMonitor FlowMonitor; /* a mutex and a condition */

/*
 * A lock in the shared region: many shared holders or one exclusive.  Not
 * recursive.  Opaque room for a pthread_rwlock_t or an LWLock.
 */
typedef struct FlowLock
{
	uint64_t opaque[10];
} FlowLock;

typedef enum FlowLockMode
{
	FLOW_LOCK_SHARED,
	FLOW_LOCK_EXCLUSIVE
} FlowLockMode;

/* Ranks of locks, taken in rising order only (doc/INVARIANTS.md, L1 to L4). */
typedef enum FlowLockRank
{
	FLOW_RANK_WRITE = 1,  /* a database's writers; the log append is under it */
	FLOW_RANK_STATE = 2,  /* a database's memtable list, version, stores */
	FLOW_RANK_REGION = 3, /* the region's free lists */
	FLOW_RANK_CACHE = 4,  /* a shard of the block cache */
	FLOW_RANK_NONE = 0
} FlowLockRank;

/* What a host may want to act on; see FlowEnv.notify. */
typedef enum FlowEvent
{
	FLOW_EVENT_FROZEN,	  /* a memtable waits for a flush */
	FLOW_EVENT_FLUSHED,	  /* write buffers may have become free */
	FLOW_EVENT_UNFLUSHED, /* first record after everything was flushed */
	FLOW_EVENT_MERGE	  /* SSTables came in: a merge may be due */
} FlowEvent;

#define FLOW_O_READ 0	/* existing file, read only */
#define FLOW_O_WRITE 1	/* existing file, read and write */
#define FLOW_O_CREATE 2 /* make it, or empty it; read and write */

/* One record of a log at [start, end). */
typedef FlowStatus (*FlowLogFn)(void *arg, const void *rec, size_t len,
								uint64_t start, uint64_t end);

struct FlowEnv
{
	void *host;			/* the host's own */
	FlowRegion *region; /* shared region, or NULL before flow_region_init */

	/* --- files; paths as the host gave the database's directory ---
	 * open: NOTFOUND when a file to be opened is not there (no error
	 * record needed).  read_at: exactly len bytes or an error; a short file
	 * is FLOW_CORRUPT with path and offset.  sync: durable data and size.
	 */
	FlowStatus (*file_open)(FlowEnv *env, const char *path, int how,
							FlowFile **filep);
	FlowStatus (*file_read)(FlowFile *file, void *buf, size_t len,
							uint64_t off);
	FlowStatus (*file_write)(FlowFile *file, const void *buf, size_t len,
							 uint64_t off);
	FlowStatus (*file_sync)(FlowFile *file);
	/* the same, of a file whose size has not changed; NULL: file_sync */
	FlowStatus (*file_datasync)(FlowFile *file);
	FlowStatus (*file_truncate)(FlowFile *file, uint64_t len);
	FlowStatus (*file_size)(FlowFile *file, uint64_t *sizep);
	void (*file_close)(FlowFile *file); /* NULL is fine */
	FlowStatus (*rename)(FlowEnv *env, const char *from, const char *to);
	FlowStatus (*unlink)(FlowEnv *env, const char *path); /* absent: NOTFOUND */
	FlowStatus (*mkdir)(FlowEnv *env, const char *path);  /* there: EXISTS */
	FlowStatus (*sync_dir)(FlowEnv *env, const char *path);
	/* call fn for each name except . and ..; fn's non-OK status ends it */
	FlowStatus (*list_dir)(FlowEnv *env, const char *path,
						   FlowStatus (*fn)(void *arg, const char *name),
						   void *arg);

	/* Bytes that are free for us on dir's file system, and all that it has.
	 * NULL: not known. */
	FlowStatus (*disk_space)(FlowEnv *env, const char *dir, uint64_t *freep,
							 uint64_t *totalp);

	/* --- private memory; NULL when there is none --- */
	void *(*alloc)(FlowEnv *env, size_t size);
	void *(*realloc)(FlowEnv *env, void *p, size_t size);
	void (*free)(FlowEnv *env, void *p); /* NULL is fine */

	/* --- locks in the shared region --- */
	void (*lock_init)(FlowEnv *env, FlowLock *lock, FlowLockRank rank);
	void (*lock_acquire)(FlowEnv *env, FlowLock *lock, FlowLockMode mode);
	void (*lock_release)(FlowEnv *env, FlowLock *lock);

	/* --- clocks, interrupts, events ---
	 * now_us: the time of day, which may be set forward or back at any
	 * moment: for expiry, and to be shown.  ticks_us: for durations and
	 * deadlines; never goes back, one for all processes, begins anywhere.
	 */
	int64_t (*now_us)(FlowEnv *env);
	int64_t (*ticks_us)(FlowEnv *env);
	/* FLOW_INTERRUPTED when the host wants the call to unwind.  Never called
	 * under a lock. */
	FlowStatus (*poll)(FlowEnv *env);
	void (*notify)(FlowEnv *env, FlowDbShared *db, FlowEvent event);
	/* let a moment pass, some milliseconds; used when another process
	 * flushes what this one waits for */
	void (*pause)(FlowEnv *env);

	/* --- log ---
	 * log_append: called under the database's write lock; must not fail.
	 * The record stands at [*startp, *endp) afterwards.
	 * log_admit, log_leave: around each write, before the write lock is taken
	 * and after it was released.  len: of the record at most; sync: what its
	 * writer asks for.  BUSY: nothing may be logged now, the caller waits;
	 * what else admit answers refuses the write.  Both may be NULL.
	 * log_resume: a database whose SSTables reach up to pos was loaded; a log
	 * that keeps nothing by itself goes on there.  NULL for one that does.
	 * log_bound: a position at or before that of any later log_append.
	 * log_sync: everything that was logged before the call is durable, the
	 * commit records of transactions seen as committed included (S5).
	 * log_commit: called after each write, no lock held, when the record that
	 * ends at end is in the memtable: returns when it is as durable as
	 * log_admit was told, and has then raised db's visible end
	 * (flowi_active_reveal) to end or beyond.  NULL: records are visible at once, and durable by the
	 * host's own commit.
	 * log_flushed: SSTables are complete up to pos; what lies before is not
	 * needed any more.  NULL for a log that looks after itself.
	 */
	FlowStatus (*log_admit)(FlowEnv *env, FlowDb *db, size_t len,
							FlowSync sync);
	void (*log_leave)(FlowEnv *env, FlowDb *db);
	void (*log_resume)(FlowEnv *env, uint64_t pos);
	void (*log_append)(FlowEnv *env, FlowDb *db, const void *rec, size_t len,
					   uint64_t *startp, uint64_t *endp);
	uint64_t (*log_bound)(FlowEnv *env);
	FlowStatus (*log_sync)(FlowEnv *env);
	FlowStatus (*log_commit)(FlowEnv *env, FlowDb *db, uint64_t end);
	void (*log_flushed)(FlowEnv *env, FlowDb *db, uint64_t pos);
	uint64_t (*log_bytes)(FlowEnv *env); /* of live segments; may be NULL */

	/* --- flow_open; NULL in an environment that has none of it ---
	 * dir_lock: nobody else has the directory's lock, another handle of this
	 * process included; BUSY.  dir_unlock: NULL is fine.
	 * log_open: replay db's own log, from its flushed position on, by fn with
	 * arg db, and make it the one that records of db go to.  log_close: what
	 * was appended is durable, and the log closed; nothing if there is none.
	 * thread_start, thread_stop: the background thread for db.
	 */
	FlowStatus (*dir_lock)(FlowEnv *env, const char *dir, void **lockp);
	void (*dir_unlock)(FlowEnv *env, void *lock);
	FlowStatus (*log_open)(FlowEnv *env, FlowDb *db, FlowLogFn fn);
	FlowStatus (*log_close)(FlowEnv *env, FlowDb *db);
	FlowStatus (*thread_start)(FlowEnv *env, FlowDb *db);
	void (*thread_stop)(FlowEnv *env, FlowDb *db);

	/* --- a monitor of this process, for the file log; wait gives it up
	 * meanwhile, may return without cause; wake wakes all --- */
	FlowMonitor *(*monitor_create)(FlowEnv *env);		  /* NULL: no memory */
	void (*monitor_free)(FlowEnv *env, FlowMonitor *mon); /* NULL is fine */
	void (*monitor_enter)(FlowMonitor *mon);
	void (*monitor_leave)(FlowMonitor *mon);
	void (*monitor_wait)(FlowMonitor *mon);
	void (*monitor_wake)(FlowMonitor *mon);

	/* --- transactions: fate of a full xid, asked without locks.  *statep:
	 * in, what is known already (UNKNOWN or COMMITTED); out, what is known
	 * now.  CORRUPT: the host has forgotten it. --- */
	FlowStatus (*txn_outcome)(FlowEnv *env, uint64_t xid, FlowTxnState *statep);

	/* --- rows of columns: the shape that a store's blob describes, in
	 * columns a block of env->alloc, which the caller frees.  Of the values of
	 * a row no more is taken for granted: one that is of another shape is kept
	 * as it is.  NOTFOUND, or a NULL function: the values are no such rows;
	 * NOMEM, without an error record. --- */
	FlowStatus (*store_shape)(FlowEnv *env, const void *blob, size_t blob_bytes,
							  FlowShape *shape);

	/* --- expiry and files that are of no use any more ---
	 * expire_horizon: no reader will ever judge expiry at an earlier time,
	 * once shared state of db says that records were purged up to the time
	 * returned (S13; flowi_keep_horizon).  NULL: the database counts its open
	 * scans itself (judge.h).
	 * keep_files: obsolete files and the manifest's history must stay now,
	 * because a backup may be reading them (S12).  since: when the file became
	 * obsolete, by ticks_us.  NULL: never.
	 */
	int64_t (*expire_horizon)(FlowEnv *env);
	bool (*keep_files)(FlowEnv *env, int64_t since);

	/* --- tests: a named point was reached; NULL or returns FLOW_OK to go
	 * on.  See FLOW_POINT in common.h. --- */
	FlowStatus (*point)(FlowEnv *env, const char *name);
};

/*
 * flow_env_posix_create
 *		The POSIX environment: region_bytes of malloc'ed region (7/16 write
 *		buffers, 7/16 block cache, 1/8 metadata), pthread locks, transactions
 *		that are always settled when their xid is 0.  Its log is the file log
 *		(wal.h) of the one database that flow_open has open on it; for a
 *		database that was made by flow_load it only counts, and nothing is
 *		durable before a flush.
 */
extern FlowStatus flow_env_posix_create(size_t region_bytes,
										FlowEnv **envp) FLOW_MUST_CHECK;
extern void flow_env_posix_free(FlowEnv *env);

/*
 * flow_region_init
 *		Lay out a region over size bytes at base (zeroed, MAXALIGNed): one
 *		part for write buffers in chunks, one for the block cache, the rest for
 *		metadata.
 * write_bytes: how much of it for write buffers, rounded down to chunks.
 * cache_bytes: how much for the block cache; 0: there is none.
 */
extern FlowStatus flow_region_init(FlowEnv *env, void *base, size_t size,
								   size_t write_bytes, size_t cache_bytes,
								   FlowRegion **regionp) FLOW_MUST_CHECK;
extern void flow_region_usage(FlowEnv *env, FlowRegion *region,
							  uint64_t *write_totalp, uint64_t *write_usedp,
							  uint64_t *meta_totalp, uint64_t *meta_usedp);

#endif /* FLOW_ENV_H */
