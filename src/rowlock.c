/*-------------------------------------------------------------------------
 * rowlock.c
 *	  Row locks (S9): what a transaction holds, and waiting.
 *
 * A lock is an entry in a shared table (rowtable.c), and is held to the end of
 * the (sub)transaction that has taken it.  It is given back then before the
 * lock that every transaction holds on its own xid, and that one is what
 * others wait for; so who has waited finds the row free, or taken anew.
 *
 * Those who wait for a row exclude each other by a lock on it meanwhile, as
 * with a heap row: only the first of them waits for the holder, and the others
 * neither wake all at once nor overtake each other.
 *
 * Of a table's rows one transaction locks only so many; then it takes the
 * store's lock in a mode that keeps all others from locking rows at all.  The
 * modes of that lock, and what takes them:
 *
 *	 RowShareLock		who locks rows in share mode
 *	 RowExclusiveLock	who writes, or locks rows exclusively
 *	 ShareLock			in the place of many share locks
 *	 ExclusiveLock		in the place of many exclusive ones
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <xxhash.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "flowdb_shmem.h"
#include "levelmark.h"
#include "rowtable.h"

/* An entry that this transaction has put its xid into. */
typedef struct HeldRow
{
	FlowdbRowKey key;
	uint64 xid;
	struct LockedStore *store;
	FlowdbRowLock mode;
} HeldRow;

/* A store in which this transaction has locked rows.  Levels are nesting
 * levels that hold a lock on the store, 0: none does. */
typedef struct LockedStore
{
	struct LockedStore *next;
	Oid serverid;
	uint32 store_id;
	int nrows;			 /* entries */
	int intent_level[2]; /* RowShareLock, RowExclusiveLock; by FlowdbRowLock */
	int whole_level[2];	 /* ShareLock, ExclusiveLock */
	bool crowded;		 /* an optional lock on the whole was not to be had */
} LockedStore;

/* Of this transaction; memory of TopTransactionContext. */
static HeldRow *held;
static int nheld;
static int max_held;
static FlowdbLevelMarks held_levels;
static LockedStore *locked_stores;

/* ------------------------------------------------------ this transaction's */

static LockedStore *
find_store(const FlowdbRowId *row)
{
	LockedStore *s = locked_stores;

	while (s != NULL &&
		   (s->serverid != row->serverid || s->store_id != row->store_id))
		s = s->next;
	if (s == NULL)
	{
		s = MemoryContextAllocZero(TopTransactionContext, sizeof(*s));
		s->serverid = row->serverid;
		s->store_id = row->store_id;
		s->next = locked_stores;
		locked_stores = s;
	}
	return s;
}

/* Room for another held row, so that nothing fails once it is taken. */
static void
reserve_held(void)
{
	int max = Max(64, max_held * 2);

	flowdb_levels_begin(&held_levels, nheld);
	if (nheld < max_held)
		return;
	held = held == NULL
			   ? MemoryContextAlloc(TopTransactionContext, max * sizeof(*held))
			   : repalloc_huge(held, max * sizeof(*held));
	max_held = max;
}

static void
release_from(int n)
{
	while (nheld > n)
	{
		const HeldRow *h = &held[--nheld];

		flowdb_row_leave(&h->key, h->mode, h->xid);
		h->store->nrows--;
	}
}

void
flowdb_row_locks_release(void)
{
	release_from(0);
	held = NULL; /* the memory goes with TopTransactionContext */
	max_held = 0;
	held_levels = (FlowdbLevelMarks){0};
	locked_stores = NULL;
}

void
flowdb_row_locks_subabort(int nest_level)
{
	Size n;

	if (flowdb_levels_abort(&held_levels, nest_level, &n))
		release_from((int) n);
	for (LockedStore *s = locked_stores; s != NULL; s = s->next)
		for (int mode = 0; mode < 2; mode++)
		{
			if (s->intent_level[mode] >= nest_level)
				s->intent_level[mode] = 0;
			if (s->whole_level[mode] >= nest_level)
				s->whole_level[mode] = 0;
		}
}

void
flowdb_row_locks_subcommit(int nest_level)
{
	flowdb_levels_commit(&held_levels, nest_level);
	for (LockedStore *s = locked_stores; s != NULL; s = s->next)
		for (int mode = 0; mode < 2; mode++)
		{
			if (s->intent_level[mode] >= nest_level)
				s->intent_level[mode] = nest_level - 1;
			if (s->whole_level[mode] >= nest_level)
				s->whole_level[mode] = nest_level - 1;
		}
}

bool
flowdb_row_locks_held(void)
{
	for (const LockedStore *s = locked_stores; s != NULL; s = s->next)
		if (s->nrows > 0 || s->whole_level[FLOWDB_ROW_SHARE] > 0 ||
			s->whole_level[FLOWDB_ROW_EXCLUSIVE] > 0)
			return true;
	return false;
}

/* --------------------------------------------------------------- waiting */

static void
waiting_for_row(void *arg)
{
	const FlowdbRowWait *wait = arg;

	errcontext("while locking row in relation \"%s\"", wait->relname);
}

bool
flowdb_row_wait(uint64 xid, const FlowdbRowWait *wait)
{
	ErrorContextCallback context = {.callback = waiting_for_row,
									.arg = unconstify(FlowdbRowWait *, wait)};

	if (wait->policy == LockWaitSkip)
		return false;
	if (wait->policy == LockWaitError)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on row in relation \"%s\"",
						wait->relname)));
	context.previous = error_context_stack;
	error_context_stack = &context;
	XactLockTableWait((TransactionId) xid, NULL, NULL, XLTW_None);
	error_context_stack = context.previous;
	return true;
}

/* The lock that says which row locks there may be in the store.  Somebody may
 * have locked all of it; false: we must not wait for that. */
static bool
lock_intent(LockedStore *store, FlowdbRowLock mode, const FlowdbRowWait *wait)
{
	LOCKMODE lockmode =
		mode == FLOWDB_ROW_EXCLUSIVE ? RowExclusiveLock : RowShareLock;

	if (store->intent_level[mode] > 0)
		return true;
	if (wait->policy == LockWaitBlock)
		flowdb_lock_store(store->serverid, store->store_id, lockmode);
	else if (!flowdb_lock_store_if(store->serverid, store->store_id, lockmode))
		return flowdb_row_wait(0, wait);
	store->intent_level[mode] = GetCurrentTransactionNestLevel();
	return true;
}

/* Lock all rows of the store; false: it would have to wait and must not. */
static bool
lock_whole(LockedStore *store, FlowdbRowLock mode, const FlowdbRowWait *wait)
{
	LOCKMODE lockmode =
		mode == FLOWDB_ROW_EXCLUSIVE ? ExclusiveLock : ShareLock;

	if (wait->policy == LockWaitBlock && !wait->optional)
		flowdb_lock_store(store->serverid, store->store_id, lockmode);
	else if (!flowdb_lock_store_if(store->serverid, store->store_id, lockmode))
		return false;
	store->whole_level[mode] = GetCurrentTransactionNestLevel();
	return true;
}

/*
 * The lock on the whole for one that may go without.  Two loads that each
 * waited for the other to end would be a deadlock; what they write is checked
 * at its push in any case.  Once refused it is not asked for again.
 */
static void
lock_whole_if(LockedStore *store, FlowdbRowLock mode, const FlowdbRowWait *wait)
{
	if (!store->crowded)
		store->crowded = !lock_whole(store, mode, wait);
}

static FlowdbRowKey
key_of(const FlowdbRowId *row)
{
	return (FlowdbRowKey){.dboid = MyDatabaseId,
						  .serverid = row->serverid,
						  .store_id = row->store_id,
						  .hash = XXH3_64bits_withSeed(row->key, row->key_bytes,
													   (uint64) row->ts)};
}

/*
 * The queue of those who wait for a row.  No heap has a server's oid for its
 * own but by accident, which costs a wait and no more.
 */
static LOCKTAG
queue_of(const FlowdbRowKey *key)
{
	LOCKTAG tag;

	SET_LOCKTAG_TUPLE(tag, key->dboid, key->serverid, (uint32) key->hash,
					  (uint16) (key->hash >> 32));
	return tag;
}

/*
 * The row is another one's.  In the queue already: wait for its end; else get
 * into the queue, and the row has to be looked at again.  false: we must not
 * wait.
 */
static bool
wait_in_queue(const FlowdbRowKey *key, uint64 other, bool *queuedp,
			  const FlowdbRowWait *wait)
{
	/* one that is ending right now may not have come to give it back */
	if (!TransactionIdIsInProgress((TransactionId) other))
	{
		flowdb_row_evict(key, other);
		return true;
	}
	if (wait->policy == LockWaitBlock && !*queuedp)
	{
		LOCKTAG tag = queue_of(key);

		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		*queuedp = true;
		return true;
	}
	return flowdb_row_wait(other, wait);
}

/* The row's own lock; false: another one has it, and we must not wait. */
static bool
lock_entry(LockedStore *store, const FlowdbRowKey *key, FlowdbRowLock mode,
		   const FlowdbRowWait *wait)
{
	uint64 xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	uint64 other = 0;
	bool queued = false;
	bool result = true;
	FlowdbRowTake take = FLOWDB_ROW_BUSY;

	reserve_held();
	while (result)
	{
		take = flowdb_row_take(key, mode, xid, &other);
		if (take != FLOWDB_ROW_BUSY)
			break;
		result = wait_in_queue(key, other, &queued, wait);
	}
	if (take == FLOWDB_ROW_TAKEN)
	{
		held[nheld++] = (HeldRow){*key, xid, store, mode};
		store->nrows++;
	}
	if (take == FLOWDB_ROW_NO_ROOM && wait->optional)
		lock_whole_if(store, mode, wait);
	else if (take == FLOWDB_ROW_NO_ROOM)
		result = lock_whole(store, mode, wait) || flowdb_row_wait(0, wait);
	if (queued)
	{
		LOCKTAG tag = queue_of(key);

		(void) LockRelease(&tag, ExclusiveLock, false);
	}
	return result;
}

bool
flowdb_row_lock(const FlowdbRowId *row, FlowdbRowLock mode,
				const FlowdbRowWait *wait)
{
	LockedStore *store = find_store(row);
	FlowdbRowKey key;

	if (store->whole_level[FLOWDB_ROW_EXCLUSIVE] > 0 ||
		store->whole_level[mode] > 0)
		return true;
	if (!lock_intent(store, mode, wait))
		return false;
	if (store->nrows >= flowdb_row_locks && wait->optional)
	{
		lock_whole_if(store, mode, wait);
		return true;
	}
	if (store->nrows >= flowdb_row_locks && lock_whole(store, mode, wait))
		return true;
	key = key_of(row);
	return lock_entry(store, &key, mode, wait);
}
