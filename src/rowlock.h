/*-------------------------------------------------------------------------
 * rowlock.h
 *	  Row locks, and the newest version of a row (S9).
 *
 * UPDATE, DELETE, SELECT FOR UPDATE/SHARE and the inserts that look for a
 * duplicate lock the row's identity first, and read its newest version then:
 * whatever its last writer left.  What they write is checked once more when it
 * is pushed: no newer version may have come from a plain INSERT, which takes
 * no lock.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_ROWLOCK_H
#define FLOWDB_ROWLOCK_H

#include "flowdb.h"

#include "nodes/lockoptions.h"

/*
 * A row lock is an entry of a hash table in shared memory: who holds it, by
 * (sub)transaction.  Who wants what another one holds waits for that one's
 * end, as with a heap row.  Nothing of it is ever written to disk.
 */

/* The identity of a row, which need not exist. */
typedef struct FlowdbRowId
{
	Oid serverid;
	FlowDb *db;
	uint32 store_id;
	const uint8 *key; /* as encoded */
	uint32 key_bytes;
	int64 ts;
} FlowdbRowId;

typedef enum FlowdbRowLock
{
	FLOWDB_ROW_SHARE,	 /* FOR SHARE, FOR KEY SHARE */
	FLOWDB_ROW_EXCLUSIVE /* everything else */
} FlowdbRowLock;

/* The name of a row in messages and waits; palloc'd by its owner. */
typedef struct FlowdbRowWait
{
	LockWaitPolicy policy; /* LockWaitBlock, LockWaitSkip, LockWaitError */
	const char *relname;
	bool optional; /* see flowdb_row_lock */
} FlowdbRowWait;

/*
 * flowdb_row_lock
 *		Lock the row to the end of the (sub)transaction.  The caller holds the
 *		store's lock (flowdb_lock_store, RowExclusiveLock; RowShareLock when
 *		it only locks).  Waits for other holders by XactLockTableWait, so that
 *		deadlocks are found and a subtransaction's abort releases.  false: with
 *		LockWaitSkip, somebody else has it.  LockWaitError: ERROR 55P03.
 *		Above flowdb.row_locks rows of one store, or when there is no room in
 *		the table, the whole store is locked instead; where that would have to
 *		wait and the lock is optional, none is taken.  Locking what the
 *		transaction holds already, in this mode or a stronger one, is cheap.
 */
extern bool flowdb_row_lock(const FlowdbRowId *row, FlowdbRowLock mode,
							const FlowdbRowWait *wait);

typedef enum FlowdbRowState
{
	FLOWDB_ROW_NONE,   /* no live row */
	FLOWDB_ROW_SAME,   /* the newest version is the one the snapshot sees */
	FLOWDB_ROW_CHANGED /* it is another one; *vecp has it */
} FlowdbRowState;

/* The newest version of a row, and what is needed to check that it still is
 * when the answer to it is written. */
typedef struct FlowdbRowNewest
{
	FlowdbRowState state;
	bool own;		/* written by this transaction */
	CommandId cid;	/* of an own one: the command that wrote it */
	bool skipped;	/* LockWaitSkip: somebody is writing it right now */
	bool newer;		/* something committed, or deleted, after the snapshot */
	uint64 seen;	/* log position: everything before it was looked at */
	FlowScan *scan; /* holds vec's memory; the caller closes it */
	const FlowVector *vec; /* one row, when state is not NONE */
} FlowdbRowNewest;

/*
 * flowdb_row_newest
 *		Read the newest version of the row, which the caller has locked: of
 *		this transaction, the current command included, or committed.  When
 *		another transaction in progress has pushed a newer one it is waited
 *		for, as wait says.  snapshot: the statement's, to tell SAME from
 *		CHANGED; NULL: not wanted, all is CHANGED.  A row that is expired at
 *		`now` is none.  Never throws 40001: that is for the caller to do when
 *		`newer` is set and IsolationUsesXactSnapshot().
 */
extern void flowdb_row_newest(const FlowdbRowId *row, Snapshot snapshot,
							  int64 now, const FlowdbRowWait *wait,
							  FlowdbRowNewest *newest);

/* Wait for the end of the transaction that is in the way of a row, unless the
 * policy says not to: false, or ERROR 55P03. */
extern bool flowdb_row_wait(uint64 xid, const FlowdbRowWait *wait);

/* At the end of transactions and subtransactions (xact.c). */
extern void flowdb_row_locks_release(void);
extern void flowdb_row_locks_subabort(int nest_level);
extern void flowdb_row_locks_subcommit(int nest_level);
extern bool flowdb_row_locks_held(void);

/* Shared memory, from shmem.c. */
extern Size flowdb_row_locks_size(void);
extern void flowdb_row_locks_init(void);

#endif /* FLOWDB_ROWLOCK_H */
