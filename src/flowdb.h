/*-------------------------------------------------------------------------
 * flowdb.h
 *	  What every file of the PostgreSQL layer may use, in sections by file.
 *
 * Beside it: fdw.h for the SQL surface (options, schema, planning, scans,
 * writes), with modify.h, schema.h, describe.h, ranges.h, pushdown.h,
 * keytype.h, statrow.h and rights.h for parts of it; flowdb_shmem.h for the
 * processes and what they share, with datadir.h, rowlock.h and rowtable.h.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_H
#define FLOWDB_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "nodes/pathnodes.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lockdefs.h"
#include "storage/lwlock.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "../engine/env.h"
#include "../engine/flow.h"
#include "compat.h"

#define FLOWDB_EXTENSION "flowdb_fdw"

/*
 * Id of the WAL resource manager, from the range for extensions (128 to
 * 255; see "Custom WAL Resource Managers" in PostgreSQL's documentation).
 * WAL written with one id cannot be read with another: never change it.
 */
#define FLOWDB_RMGR_ID 184

/* ---------------------------------------------------------- in settings.c */

extern int flowdb_shared_memory_mb;		 /* flowdb.shared_memory */
extern int flowdb_block_cache_mb;		 /* flowdb.block_cache; -1: a share */
extern int flowdb_transaction_buffer_kb; /* flowdb.transaction_buffer */
extern int flowdb_max_workers;			 /* flowdb.max_workers */
extern int flowdb_row_locks;			 /* flowdb.row_locks */
extern int flowdb_gc_interval_secs;		 /* flowdb.gc_interval; 0: never */
extern int flowdb_retention_secs;		 /* flowdb.obsolete_file_retention */
extern bool flowdb_auto_compaction;		 /* flowdb.auto_compaction */
extern int flowdb_merge_policy; /* flowdb.merge_policy; a FlowPolicyKind */
extern bool flowdb_enable_aggregate_pushdown;

/* ------------------------------------------------------------ in report.c */

/*
 * flowdb_report
 *		Raise the error that belongs to st and the thread's error record,
 *		with SQLSTATE and hint; runs CHECK_FOR_INTERRUPTS for INTERRUPTED.
 *		Returns only for FLOW_OK, NOTFOUND and END.
 * flowdb_try
 *		Run an engine call again and again while it answers INTERRUPTED and
 *		CHECK_FOR_INTERRUPTS returns; report anything else.
 */
extern void flowdb_report(FlowStatus st);
extern void flowdb_report_at(int elevel, FlowStatus st);
#define flowdb_try(expr)                               \
	do                                                 \
	{                                                  \
		FlowStatus try_st_;                            \
		while ((try_st_ = (expr)) == FLOW_INTERRUPTED) \
			CHECK_FOR_INTERRUPTS();                    \
		flowdb_report(try_st_);                        \
	} while (0)

/* -------------------------------------------------------- in debugpoint.c */

/*
 * A named point where tests stop, fail or break the server on purpose; only
 * in builds with FLOWDB_DEBUG_POINTS.  A point is set by a file
 * $PGDATA/flowdb_debug/NAME whose content is the action: "wait" (until the
 * file is gone), "error", "kill" (SIGKILL to itself, once), "skip" (the caller
 * leaves out what the point guards; true is returned).
 */
#ifdef FLOWDB_DEBUG_POINTS
extern bool flowdb_debug_point(const char *name);
#else
static inline bool
flowdb_debug_point(const char *name)
{
	return false;
}
#endif

/* A failing disk, for tests: true, and errno, when the file operation op is to
 * fail on path (t/FlowdbTest.pm, debug_io). */
#ifdef FLOWDB_DEBUG_POINTS
extern bool flowdb_debug_io(const char *op, const char *path);
#else
static inline bool
flowdb_debug_io(const char *op, const char *path)
{
	return false;
}
#endif

/* ------------------------------------------------------------- in pgenv.c */

/* The FlowEnv of this process; made at first use. */
extern FlowEnv *flowdb_env(void);

/* ------------------------------------------------------------- in shmem.c */

/* ERROR with the line for postgresql.conf when not preloaded. */
extern void flowdb_require_preload(void);

/* ----------------------------------------------------------- in database.c */

/*
 * flowdb_database
 *		This process's handle on the database of a foreign server of ours in
 *		the current database; loads it at first use.  Throws when there is
 *		none, or it is broken.  The handle lives until process exit.
 */
extern FlowDb *flowdb_database(Oid serverid);

/* --------------------------------------------------------------- in xact.c */

/* One write of a row. */
typedef struct FlowdbWrite
{
	FlowOp op;
	uint32 store_id;
	const void *key;
	Size key_bytes;
	int64 ts;
	int64 expire_at;
	const void *value;
	Size value_bytes;
	CommandId cid; /* the command's (GetCurrentCommandId(true)) */
	bool checked;  /* it answers a read at log position seen: 40001 when it is
					* pushed and somebody has written the row since (S9) */
	uint64 seen;
	bool absent; /* and the read has found no row */
} FlowdbWrite;

/*
 * flowdb_xact_write
 *		Buffer one write of the current (sub)transaction, assigning its xid;
 *		hands the buffer over when it passes flowdb.transaction_buffer.  May
 *		wait for a flush.  Throws.
 * flowdb_xact_delete_range
 *		The same for a range tombstone.
 * flowdb_xact_buffer
 *		The transaction's private buffer for scans, NULL when there is none.
 * flowdb_visible
 *		FlowVisibleFn; arg is a registered MVCC Snapshot.
 */
extern void flowdb_xact_write(Oid serverid, FlowDb *db, const FlowdbWrite *w);
extern void flowdb_xact_delete_range(Oid serverid, FlowDb *db, uint32 store_id,
									 const FlowRect *rect, CommandId cid);
extern FlowTxBuf *flowdb_xact_buffer(Oid serverid);
extern bool flowdb_visible(void *arg, FlowTxn *txn);

/*
 * flowdb_lock_store
 *		S9: lock a store of a server of this database to the end of the
 *		(sub)transaction.  Writers of rows take RowExclusiveLock, who only
 *		locks rows RowShareLock.  Who deletes a range takes ExclusiveLock: a
 *		range tombstone hides whatever is older in the log, so no writer may be
 *		between its log record and its commit then, and nobody may have rows
 *		locked.
 */
extern void flowdb_lock_store(Oid serverid, uint32 store_id, LOCKMODE mode);
/* The same without a wait: false when somebody is in the way. */
extern bool flowdb_lock_store_if(Oid serverid, uint32 store_id, LOCKMODE mode);

/* Heavyweight locks on objects in a server have an objsubid: 0 is the server
 * itself and core's, the last one is for defining stores, and those between
 * are for stores. */
#define FLOWDB_LOCK_DEFINE 0xffff

/*
 * flowdb_store_define
 *		flow_store_define, waiting for room where needed; assigns the
 *		transaction's xid first, so that it obeys the rules of a write.
 */
extern uint32 flowdb_store_define(FlowDb *db, const char *name,
								  const void *blob, Size blob_bytes);
/* flow_configure and flow_configure_store in the same way. */
extern void flowdb_configure(FlowDb *db, const FlowSettings *settings);
extern void flowdb_configure_store(FlowDb *db, uint32 store_id, int policy);

/* flow_store_drop and flow_store_drop_unless, waiting for room. */
extern void flowdb_store_drop(FlowDb *db, uint32 store_id, uint64 xid,
							  bool unless);

/* ------------------------------------------------------------ in expiry.c */

/* S13: before the first scan of a transaction; cheap when repeated. */
extern void flowdb_announce_reader(void);
/* At what time this statement judges expiry in db: flowdb_statement_now(), or
 * later when rows were removed by then; never less than it was before. */
extern int64 flowdb_judge_now(FlowDb *db);

#endif /* FLOWDB_H */
