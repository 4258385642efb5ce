/*-------------------------------------------------------------------------
 * rowtable.c
 *	  The table of row locks in shared memory (S9).
 *
 * An entry stands for a row, by a hash of its identity, and names its holders
 * by full xid, those of subtransactions being their own.  It has room for some
 * holders in share mode; for more there are further entries, its parts, in the
 * same partition:
 *
 *	 part 0: exclusive, 4 in share mode, how many more parts
 *	 part 1: 4 more in share mode, ...
 *
 * All of the table's memory is taken at server start, so it never needs any
 * later; when it is full, who needs an entry locks the whole store instead.
 *
 * Locks: a partition's LWLock guards its entries; nothing is taken under it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "flowdb_shmem.h"
#include "rowtable.h"

#define NPARTITIONS 64 /* a power of two */
#define NSHARED 4	   /* holders in share mode of an entry */

/* Entries for each process that there can be, and bounds. */
#define ENTRIES_PER_BACKEND 256
#define MIN_ENTRIES (32 * 1024)
#define MAX_ENTRIES (128 * 1024)

/* Holders are full xids, 0 for none.  One may hold a row in both modes: a
 * subtransaction has made its parent's share lock an exclusive one. */
typedef struct RowEntry
{
	FlowdbRowKey key;
	uint64 exclusive; /* of part 0 */
	uint64 shared[NSHARED];
	uint64 nparts; /* of part 0: how many more there are */
} RowEntry;

static HTAB *row_table;
static LWLockPadded *partition_locks;

/* --------------------------------------------------------- shared memory */

static int
max_entries(void)
{
	int n = MaxBackends * ENTRIES_PER_BACKEND;

	return Min(Max(n, MIN_ENTRIES), MAX_ENTRIES);
}

/* The same for all parts of a row, so that one lock guards them. */
static uint32
row_hash(const void *key, Size keysize)
{
	const FlowdbRowKey *k = key;

	return (uint32) k->hash ^ (uint32) (k->hash >> 32) ^
		   k->store_id * 0x9e3779b1 ^ k->serverid ^ k->dboid * 0x85ebca6b;
}

Size
flowdb_row_locks_size(void)
{
	return add_size(hash_estimate_size(max_entries(), sizeof(RowEntry)),
					NPARTITIONS * sizeof(LWLockPadded));
}

void
flowdb_row_locks_init(void)
{
	HASHCTL ctl = {.keysize = sizeof(FlowdbRowKey),
				   .entrysize = sizeof(RowEntry),
				   .hash = row_hash,
				   .num_partitions = NPARTITIONS};
	int tranche = flowdb_shared->tranche[FLOWDB_TRANCHE_ROW_LOCK];
	bool found;

	row_table = ShmemInitHash(
		"FlowDB row locks", max_entries(), max_entries(), &ctl,
		HASH_ELEM | HASH_FUNCTION | HASH_PARTITION | HASH_FIXED_SIZE);
	partition_locks =
		ShmemInitStruct("FlowDB row lock partitions",
						NPARTITIONS * sizeof(LWLockPadded), &found);
	if (found)
		return;
	for (int i = 0; i < NPARTITIONS; i++)
		LWLockInitialize(&partition_locks[i].lock, tranche);
}

static LWLock *
partition_of(uint32 hash)
{
	return &partition_locks[hash % NPARTITIONS].lock;
}

/* Part number n of key's row; HASH_ENTER_NULL makes it, or NULL: no room. */
static RowEntry *
find_part(const FlowdbRowKey *key, uint32 hash, uint32 n, HASHACTION action)
{
	FlowdbRowKey part = *key;
	RowEntry *e;
	bool found;

	part.part = n;
	e = hash_search_with_hash_value(row_table, &part, hash, action, &found);
	if (e != NULL && !found)
		memset((char *) e + sizeof(FlowdbRowKey), 0,
			   sizeof(RowEntry) - sizeof(FlowdbRowKey));
	return e;
}

/* ---------------------------------------------------------------- taking */

static bool
is_ours(uint64 xid)
{
	return TransactionIdIsCurrentTransactionId((TransactionId) xid);
}

/* Look at the share mode holders of one part. */
static FlowdbRowTake
look_at_shared(const RowEntry *e, FlowdbRowLock mode, uint64 *otherp)
{
	FlowdbRowTake result = FLOWDB_ROW_TAKEN;

	for (int i = 0; i < NSHARED; i++)
	{
		uint64 xid = e->shared[i];

		if (xid == 0)
			continue;
		if (is_ours(xid))
		{
			if (mode == FLOWDB_ROW_SHARE)
				result = FLOWDB_ROW_HAD;
		}
		else if (mode == FLOWDB_ROW_EXCLUSIVE)
		{
			*otherp = xid;
			return FLOWDB_ROW_BUSY;
		}
	}
	return result;
}

/* May we have the row whose part 0 is e, or have we? */
static FlowdbRowTake
look_at(RowEntry *e, uint32 hash, FlowdbRowLock mode, uint64 *otherp)
{
	FlowdbRowTake result;

	if (e->exclusive != 0)
	{
		*otherp = e->exclusive;
		return is_ours(e->exclusive) ? FLOWDB_ROW_HAD : FLOWDB_ROW_BUSY;
	}
	result = look_at_shared(e, mode, otherp);
	for (uint32 n = 1; n <= e->nparts && result == FLOWDB_ROW_TAKEN; n++)
	{
		const RowEntry *part = find_part(&e->key, hash, n, HASH_FIND);

		if (part != NULL)
			result = look_at_shared(part, mode, otherp);
	}
	return result;
}

static bool
enter_shared(RowEntry *e, uint64 xid)
{
	for (int i = 0; i < NSHARED; i++)
		if (e->shared[i] == 0)
		{
			e->shared[i] = xid;
			return true;
		}
	return false;
}

/* Put xid into the row that look_at has allowed. */
static FlowdbRowTake
enter(RowEntry *e, uint32 hash, FlowdbRowLock mode, uint64 xid)
{
	RowEntry *part = e;

	if (mode == FLOWDB_ROW_EXCLUSIVE)
	{
		e->exclusive = xid;
		return FLOWDB_ROW_TAKEN;
	}
	for (uint32 n = 1; part != NULL && !enter_shared(part, xid); n++)
	{
		part = find_part(&e->key, hash, n, HASH_ENTER_NULL);
		if (part != NULL && n > e->nparts)
			e->nparts = n;
	}
	return part != NULL ? FLOWDB_ROW_TAKEN : FLOWDB_ROW_NO_ROOM;
}

FlowdbRowTake
flowdb_row_take(const FlowdbRowKey *key, FlowdbRowLock mode, uint64 xid,
				uint64 *otherp)
{
	uint32 hash = row_hash(key, sizeof(*key));
	LWLock *lock = partition_of(hash);
	FlowdbRowTake result = FLOWDB_ROW_NO_ROOM;
	RowEntry *e;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	e = find_part(key, hash, 0, HASH_ENTER_NULL);
	if (e != NULL)
		result = look_at(e, hash, mode, otherp);
	if (result == FLOWDB_ROW_TAKEN)
		result = enter(e, hash, mode, xid);
	LWLockRelease(lock);
	return result;
}

/* --------------------------------------------------------------- leaving */

static void
remove_part(const FlowdbRowKey *key, uint32 hash, uint32 n)
{
	(void) find_part(key, hash, n, HASH_REMOVE);
}

static bool
is_empty(const RowEntry *e)
{
	bool empty = e->exclusive == 0;

	for (int i = 0; i < NSHARED; i++)
		empty &= e->shared[i] == 0;
	return empty;
}

/* Remove the parts behind the last that is in use, and the row itself. */
static void
shrink(RowEntry *e, uint32 hash)
{
	FlowdbRowKey key = e->key;

	for (; e->nparts > 0; e->nparts--)
	{
		const RowEntry *part =
			find_part(&key, hash, (uint32) e->nparts, HASH_FIND);

		if (part != NULL && !is_empty(part))
			return;
		remove_part(&key, hash, (uint32) e->nparts);
	}
	if (is_empty(e))
		remove_part(&key, hash, 0);
}

/* Take xid out of what it holds in these modes. */
static void
take_out(const FlowdbRowKey *key, bool exclusive, bool shared, uint64 xid)
{
	uint32 hash = row_hash(key, sizeof(*key));
	LWLock *lock = partition_of(hash);
	RowEntry *e;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	e = find_part(key, hash, 0, HASH_FIND);
	if (e != NULL)
	{
		if (exclusive && e->exclusive == xid)
			e->exclusive = 0;
		for (uint32 n = 0; shared && n <= e->nparts; n++)
		{
			RowEntry *part = n == 0 ? e : find_part(key, hash, n, HASH_FIND);

			for (int i = 0; part != NULL && i < NSHARED; i++)
				if (part->shared[i] == xid)
					part->shared[i] = 0;
		}
		shrink(e, hash);
	}
	LWLockRelease(lock);
}

void
flowdb_row_leave(const FlowdbRowKey *key, FlowdbRowLock mode, uint64 xid)
{
	take_out(key, mode == FLOWDB_ROW_EXCLUSIVE, mode == FLOWDB_ROW_SHARE, xid);
}

void
flowdb_row_evict(const FlowdbRowKey *key, uint64 xid)
{
	take_out(key, true, true, xid);
}
