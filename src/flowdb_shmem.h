/*-------------------------------------------------------------------------
 * flowdb_shmem.h
 *	  What the server core (shared memory, registry, log, transactions,
 *	  workers) shares among its own files; the SQL surface needs flowdb.h
 *	  only.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_SHMEM_H
#define FLOWDB_SHMEM_H

#include "flowdb.h"

#include "access/xlogreader.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "storage/latch.h"
#include "storage/spin.h"

/* Microseconds from 1970-01-01, the engine's epoch, to PostgreSQL's. */
#define FLOWDB_EPOCH_DIFF_US \
	(((int64) POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

#define FLOWDB_MAX_DATABASES 128
#define FLOWDB_MAX_WORKERS 16
#define FLOWDB_DIRECTORY "flowdb" /* below $PGDATA */

typedef enum FlowdbDbState
{
	FLOWDB_DB_FREE = 0, /* slot not used */
	FLOWDB_DB_RESERVED, /* for a database that is about to be logged */
	FLOWDB_DB_CLOSED,	/* known, not loaded yet */
	FLOWDB_DB_OPEN,		/* loaded; shared is set */
	FLOWDB_DB_BROKEN,	/* damaged; reason is set.  When shared is set, what
						 * is in its memory is still flushed */
	FLOWDB_DB_DROPPING	/* its files are being removed */
} FlowdbDbState;

/* What the registry file keeps of a database. */
typedef struct FlowdbEntry
{
	Oid dboid;
	Oid serverid;
	uint64 identity;   /* random, also in the directory's IDENTITY file */
	uint64 create_xid; /* full xid of CREATE SERVER until it is known to have
						* committed, then 0 */
	uint64 drop_xid;   /* full xid of DROP SERVER while undecided, or 0 */
	char path[NAMEDATALEN]; /* data_dir, or empty: see datadir.h */
} FlowdbEntry;

/* One database (a FOREIGN SERVER).  Protected by registry_lock. */
typedef struct FlowdbSlot
{
	FlowdbEntry entry;
	FlowdbDbState state;
	uint32 generation;	  /* rises when the slot gets another database */
	FlowDbShared *shared; /* set once loaded; see flowdb_slot_loaded */
	char reason[256];	  /* why it is BROKEN, or cannot be loaded now */
	bool newer;			  /* BROKEN, as a newer version of ours wrote it */
	bool may_heal; /* BROKEN, but only because its files cannot be reached */
	int sqlstate;  /* of the error for who would use it while it is BROKEN */
} FlowdbSlot;

/*
 * How far the time of day is believed by what removes expired rows
 * (expiry.c).  Offsets are from ticks.
 */
typedef struct FlowdbTrust
{
	bool known;		 /* offset is set */
	int64 offset;	 /* believed */
	int64 jumped;	 /* one farther ahead, since jumped_at; see there */
	int64 jumped_at; /* a tick; 0: there is none */
} FlowdbTrust;

#define FLOWDB_TRANCHE_ROW_LOCK 5 /* of FlowdbShared.tranche */

struct FlowdbShared
{
	LWLock registry_lock; /* slots and registry file; I/O under it is fine */
	LWLock gate;	/* shared: around a log append; exclusive: arm, disarm */
	int tranche[6]; /* by FlowLockRank, then the row locks'; constant */

	/* protected by gate */
	bool armed; /* the holder makes checkpoints wait for our memtables */

	/* protected by registry_lock */
	bool registry_loaded;
	bool registry_behind; /* the file could not be written; see settle.c */
	XLogRecPtr forgotten_before; /* what the log says before this about a
								  * database that is not listed is void */
	FlowdbSlot slots[FLOWDB_MAX_DATABASES];

	/* protected by mutex */
	slock_t mutex;
	Latch *launcher_latch; /* NULL: not running */
	Latch *worker_latch[FLOWDB_MAX_WORKERS];
	struct FlowdbWarned
	{
		int64 flush_at; /* 0: nothing to be taken back */
		int64 work_at;
		int64 load_at;
	} warned[FLOWDB_MAX_DATABASES]; /* ticks: when warnings were given last */

	pg_atomic_uint32 pressure; /* a writer waits for write buffers */

	ConditionVariable armed_cv;	  /* armed became true */
	ConditionVariable flushed_cv; /* write buffers may be free */
	FlowRegion *region;			  /* constant */

	pg_atomic_uint32 backups; /* sessions that may run a base backup */

	/* tick of the last try to have a launcher started that is missing */
	pg_atomic_uint64 launcher_asked;

	FlowdbTrust trust; /* protected by mutex */

	/* by number of process: start of a transaction that scans, in the engine's
	 * epoch, or 0; written by that process alone */
	int nreaders;
	pg_atomic_uint64 reader_start[FLEXIBLE_ARRAY_MEMBER];
};

/* ---------------------------------------------------------- in settings.c */

extern void flowdb_settings_init(void); /* from _PG_init */
/* The region's size, and what of it is for write buffers and block cache. */
extern Size flowdb_region_bytes(void);
extern void flowdb_region_shares(Size *write_bytes, Size *cache_bytes);
/* Fill in what settings say; the rest of *options is left alone. */
extern void flowdb_settings_options(FlowOptions *options);
extern void flowdb_settings_policy(FlowMergePolicy *policy);

/* ------------------------------------------------------------- in clock.c */

/* Microseconds: ticks never go back, are the same in all processes, and begin
 * anywhere; the time of day counts from 1970.  flowdb_clocks() reads both at
 * one moment.  flowdb_statement_now() is in keytype.h. */
extern void flowdb_clocks(int64 *nowp, int64 *ticksp);
extern int64 flowdb_ticks_us(void);
extern int64 flowdb_now_us(void);
/* Is it ms milliseconds or more since that tick? */
extern bool flowdb_ticks_passed(int64 since, int64 ms);

/* ------------------------------------------------------------- in shmem.c */

extern struct FlowdbShared *flowdb_shared; /* NULL without preload */

extern void flowdb_shmem_init(void); /* from _PG_init */

/* -------------------------------------------------------- in pgenv_file.c */

/* Give env its functions on files and directories. */
extern void flowdb_env_set_files(FlowEnv *env);

/* ----------------------------------------------------------- in nothrow.c */

/* State around a PG_TRY in a callback of the engine, which must not throw. */
typedef struct FlowdbNoThrow
{
	MemoryContext context;
	uint32 holdoff;
	int nlocks; /* LWLocks held before */
} FlowdbNoThrow;

/*
 * flowdb_nothrow_begin, _unlock, _caught, _end
 *		Around PG_TRY in a callback.  Interrupts are held off, because even
 *		a LOG message serves them, and a FATAL one would leave the engine in
 *		the middle of things.  _caught turns the error into a status; an
 *		ERROR resets the hold-off count, so _end puts back what it was.
 *
 *		_unlock, part of _caught, releases what the error has left locked:
 *		pg_xact, for one, leaves that to the abort of the transaction, which
 *		does not come here; who asks again would wait for himself.
 */
extern void flowdb_nothrow_begin(FlowdbNoThrow *guard);
extern void flowdb_nothrow_unlock(const FlowdbNoThrow *guard);
extern FlowStatus flowdb_nothrow_caught(FlowdbNoThrow *guard, FlowStatus st,
										const char *what);
extern void flowdb_nothrow_end(FlowdbNoThrow *guard);

/* -------------------------------------------------------- in debugpoint.c */

typedef enum FlowdbPointAction
{
	FLOWDB_POINT_NONE,
	FLOWDB_POINT_WAIT,
	FLOWDB_POINT_ERROR,
	FLOWDB_POINT_KILL,
	FLOWDB_POINT_SKIP
} FlowdbPointAction;

#ifdef FLOWDB_DEBUG_POINTS
extern FlowdbPointAction flowdb_debug_point_hit(const char *name);
#endif

/* ----------------------------------------------------------- in report.c */

/* For ereport: what to do about it, or NULL; errcode(). */
extern const char *flowdb_error_hint(FlowStatus st, int err_no);
extern int flowdb_error_code(FlowStatus st, int err_no);

/* ---------------------------------------------------------- in trouble.c */

/*
 * flowdb_in_peace
 *		Call fn; what it throws is reported, once a minute (warned_at: the tick
 *		of the last time, 0: none), and not thrown: a full disk must not end
 *		the launcher or a worker.  false: it threw.  Of a process that holds no
 *		LWLock.
 */
extern bool flowdb_in_peace(void (*fn)(void *arg), void *arg, int64 *warned_at);

/* ERROR when what the database has in memory cannot be written to disk: it
 * takes no more.  Want of memory is not meant, for which writers wait. */
extern void flowdb_refuse_failing(Oid serverid, FlowDb *db);
/* ERROR when nobody's write buffers come free because they cannot be. */
extern void flowdb_refuse_full(void);
/* WARNING that a flush, or other work, of a slot's database has failed, with
 * the engine's last error; once a minute. */
extern void flowdb_warn_flush(int slot, FlowStatus st);
extern void flowdb_warn_work(int slot, FlowStatus st);
/* LOG that flushes go well again, if there was such a warning. */
extern void flowdb_flush_again(int slot);
/* May one more warning of this kind be given?  At most one a minute. */
extern bool flowdb_warn_now(int64 *warned_at);

/* ---------------------------------------------------------- in registry.c */

/*
 * Slot number of a database, -1 when it is not known.  Reads the registry
 * file at first use after a start; works in recovery too.
 */
extern int flowdb_registry_find(Oid dboid, Oid serverid);
extern bool flowdb_registry_has_database(Oid dboid);
/* Those that nobody has loaded yet, or could: fills slots[], how many. */
extern int flowdb_registry_closed(int slots[FLOWDB_MAX_DATABASES]);
/* Does a record at pos speak of a time before some database was dropped? */
extern bool flowdb_registry_forgot(XLogRecPtr pos);

/* A slot for a database before it is logged, and its data_dir, which no other
 * may have; give it back after an error. */
extern void flowdb_registry_reserve(const FlowdbEntry *entry);
extern void flowdb_registry_release(const FlowdbEntry *entry);
/* Change entries and make the file durable.  Throw. */
extern void flowdb_registry_create(const FlowdbEntry *entry);
extern void flowdb_registry_mark_drop(Oid dboid, Oid serverid, uint64 drop_xid);
/* A database that redo met and nobody knows: listed as BROKEN. */
extern int flowdb_registry_add_broken(Oid dboid, Oid serverid,
									  const char *reason);
extern void flowdb_registry_path(const FlowdbEntry *entry, char *path);
/* The data_dir of a database that is listed, into dir[NAMEDATALEN]. */
extern bool flowdb_registry_data_dir(Oid dboid, Oid serverid, char *dir);

/* For settle.c: take registry_lock exclusively; write the file under it. */
extern void flowdb_registry_lock(void);
extern void flowdb_registry_write(void);

/* ------------------------------------------------------------ in settle.c */

/* Act on CREATE and DROP whose transactions have ended. */
extern void flowdb_registry_settle(void);
/* Redo of a CREATE: who has its server or data_dir is gone by now, whatever
 * is known of it; so is what was applied to it before it was made. */
extern void flowdb_registry_evict(const FlowdbEntry *entry);

/* --------------------------------------------------------------- in ddl.c */

extern void flowdb_ddl_init(void); /* hooks, from _PG_init */
/* Is the wrapper one whose handler is ours, whatever its name? */
extern bool flowdb_is_our_wrapper(Oid fdwid);
/* An empty database for a server that has none; the caller holds a lock on
 * the server that keeps others from dropping it or doing the same. */
extern void flowdb_ddl_make_database(Oid serverid);

/* --------------------------------------------------------- in dropstore.c */

extern void flowdb_dropstore_init(void); /* from flowdb_ddl_init */
/* A relation is being dropped; the options of a foreign table have changed,
 * and the change is not visible yet.  Any relation, any foreign table. */
extern void flowdb_table_dropped(Oid relid);
extern void flowdb_table_altered(Oid relid);

/* ---------------------------------------------------------- in database.c */

/*
 * flowdb_slot_handle
 *		This process's handle on a slot's database, loading it when it is
 *		not loaded.  NULL when there is nothing in memory: free, dropped, or
 *		found broken at load; loading that fails for want of memory or files
 *		throws.  A database that broke later keeps its handle, for flushing.
 */
extern FlowDb *flowdb_slot_handle(int slot);
/* Load it when it is not loaded; false: it cannot be, which is reported and
 * not thrown.  Of a process that holds no LWLock. */
extern bool flowdb_slot_try_load(int slot);
extern bool flowdb_slot_is_broken(int slot);
/* Broken, because a newer version of flowdb_fdw wrote what there is: nothing
 * is wrong with it, and nothing of it may be given up. */
extern bool flowdb_slot_is_newer(int slot);
/* Broken only until its files can be reached again? */
extern bool flowdb_slot_may_heal(int slot);
extern bool flowdb_slot_is_loaded(int slot);
/* Give up this process's handle on a slot; only when it has no scan open. */
extern void flowdb_slot_forget(int slot);
/* The same, when its database is gone: a handle keeps 16 kB of shared memory
 * from others.  True: it was. */
extern bool flowdb_slot_tidy(int slot);
/* The database that a slot has in memory, or NULL; without a handle it is
 * there only while the caller holds registry_lock, which it does. */
extern FlowDbShared *flowdb_slot_loaded(const FlowdbSlot *slot);
/*
 * A merge that a session has begun keeps others away from its store, so it
 * must not outlive the transaction: note it, and give it up at the end.
 */
extern void flowdb_handle_merging(FlowDb *db);
extern void flowdb_maintenance_ended(void);
/* Identity of the database behind a handle of this process. */
extern void flowdb_handle_owner(FlowDb *db, Oid *dboid, Oid *serverid);
/* Mark the database of this process's handle on a slot broken, with the
 * engine's last error as reason. */
extern void flowdb_slot_break(int slot);
/* Those with something in memory: fills slots[], returns how many. */
extern int flowdb_loaded_slots(int slots[FLOWDB_MAX_DATABASES]);

/* ----------------------------------------------------------- in walrmgr.c */

extern void flowdb_walrmgr_init(void); /* from _PG_init */
extern FlowStatus flowdb_log_admit(FlowEnv *env, FlowDb *db, size_t len,
								   FlowSync sync);
extern void flowdb_log_leave(FlowEnv *env, FlowDb *db);
extern void flowdb_log_append(FlowEnv *env, FlowDb *db, const void *rec,
							  size_t len, uint64_t *startp, uint64_t *endp);
extern uint64_t flowdb_log_bound(FlowEnv *env);
extern FlowStatus flowdb_log_sync(FlowEnv *env);
/* Log CREATE or DROP of a database; returns the end of the record. */
extern XLogRecPtr flowdb_log_create(const FlowdbEntry *entry);
extern XLogRecPtr flowdb_log_drop(Oid dboid, Oid serverid, uint64 drop_xid);

/* ---------------------------------------------------------------- in redo.c */

extern void flowdb_redo(XLogReaderState *record);
extern void flowdb_redo_cleanup(void);
extern void flowdb_redo_init(void); /* wraps the core redo functions */

/* -------------------------------------------------------------- in xact.c */

extern void flowdb_xact_init(void); /* callbacks and hooks, from _PG_init */

/* -------------------------------------------------------- in visibility.c */

/* FlowCountsFn: neither this transaction's own writes count nor aborted ones.
 * FlowVisibleFn of flowdb_row_newest; arg is its FlowdbNewestLook. */
extern bool flowdb_counts(void *arg, uint64_t xid, FlowTxnState state);
extern bool flowdb_visible_now(void *arg, FlowTxn *txn);

/* What flowdb_visible_now is to know, and tells. */
typedef struct FlowdbNewestLook
{
	Snapshot snapshot; /* NULL: none is wanted */

	/* of the newest version that is committed, or this transaction's */
	uint64 seq_first, seq_last;
	bool accepted;
	bool own;
	bool seen; /* the snapshot sees it */

	/* the newest one of another transaction in progress; xid 0: none */
	uint64 pending_seq;
	uint64 pending_xid;
} FlowdbNewestLook;

extern FlowStatus flowdb_txn_outcome(FlowEnv *env, uint64_t xid,
									 FlowTxnState *statep);
/* In redo: what has not committed by now and is older than oldest never will.
 * next: an xid that was yet to be given out when oldest was looked up. */
extern void flowdb_aborted_before(TransactionId oldest, FullTransactionId next);
/* An error that a callback kept back while the engine was unwinding. */
extern bool flowdb_error_is_kept(void);
extern void flowdb_rethrow_kept(void);
extern void flowdb_forget_kept(void);

/* ------------------------------------------------------------ in expiry.c */

extern int flowdb_reader_places(void); /* how many processes there can be */
/* At the end of a transaction; flowdb_announce_reader is in flowdb.h. */
extern void flowdb_forget_reader(void);
extern int64_t flowdb_expire_horizon(FlowEnv *env); /* FlowEnv's */

/* ------------------------------------------------------------ in backup.c */

extern void flowdb_backup_function(Oid function);
extern void flowdb_backup_transaction_ended(void);
extern bool flowdb_keep_files(FlowEnv *env, int64_t since); /* FlowEnv's */

/* ---------------------------------------------------------- in launcher.c */

extern void flowdb_launcher_register(void); /* from _PG_init */
extern void flowdb_wake_launcher(void);
/*
 * Have a launcher started if none runs: PostgreSQL had no room for it when the
 * server started, and may have some now.  Does nothing more often than once
 * a second.  False: there is no room.
 */
extern bool flowdb_launcher_ask(void);

/* ------------------------------------------------------------ in worker.c */

typedef enum FlowdbWork
{
	FLOWDB_WORK_NONE, /* nothing was to do */
	FLOWDB_WORK_BUSY, /* not now, but soon */
	FLOWDB_WORK_DONE  /* something was, and there may be more */
} FlowdbWork;

/*
 * One round of what a worker has to do now.  resolve: it also notes fates and
 * loads databases; merge: it also merges.  Throws.
 */
extern FlowdbWork flowdb_work(bool resolve, bool merge);
/* Give up handles of databases that are gone. */
extern void flowdb_work_tidy(void);
/* Give up the merges of this process. */
extern void flowdb_work_stop_merges(void);

/* ----------------------------------------------------------- in workers.c */

extern void flowdb_workers_register(void); /* from _PG_init */
extern void flowdb_wake_workers(void);
/* Of the launcher, again and again: do what workers that are missing would do,
 * and have them started when there is room. */
extern void flowdb_workers_stand_in(void);

#endif /* FLOWDB_SHMEM_H */
