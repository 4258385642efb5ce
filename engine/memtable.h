/*-------------------------------------------------------------------------
 * memtable.h
 *	  The newest records of a database, all stores together, in the shared
 *	  region: a directory of series, a series being the rows of one (store,
 *	  key), and of each series a run of rows in the order of time (memdir.c,
 *	  memrun.c).  What comes late, and further versions of what is there, is
 *	  in a small skiplist of the series beside it (memlate.c).
 *
 * One writer at a time (the write lock), any number of lock-free readers.  A
 * batch goes in by two steps, so that nothing can fail once it is in the log:
 *	 1. stage: all memory is allocated, rows and directory entries filled,
 *	    private to the writer; may fail, then unstage gives the memory back;
 *	 2. link: with the log position known, set sequences and publish.
 *
 * What is published is complete, and is never changed nor moved.  By release
 * stores, in this order: of a series that was there the count of the run's
 * rows, then its late rows; then new series with all their rows, in the order
 * of series before the hash.  Readers load by acquire.  So a reader sees of a
 * run a prefix, whatever is appended meanwhile; and all that was linked
 * before a last_end or visible_end that it has acquired.  The rules in
 * detail: I35.
 *
 * A row has no sequence of its own: all of a step have the one of their
 * directory entry (S1), so setting at most FLOW_MAX_STEPS entries gives a
 * whole batch its sequences.
 *
 * Range tombstones are a list beside the series, newest first, written and
 * read by the same rules (memtomb.c).
 *
 * Lifetime: refcount.  The database holds one reference while the memtable
 * is listed, readers hold one inside a fill call, a flusher one while it
 * writes.  The last release frees it.  The struct itself stands in its
 * arena's first chunk, so that full metadata does not stop the writers.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MEMTABLE_H
#define FLOW_MEMTABLE_H

#include "arena.h"
#include "batch.h"
#include "iter.h"
#include "memskip.h"
#include "tomb.h"

typedef struct FlowMemtable FlowMemtable;
typedef struct FlowMemSeries FlowMemSeries;
typedef struct FlowTxnBlock FlowTxnBlock;
typedef struct FlowMemTomb FlowMemTomb;

#define FLOW_MEM_SEGMENT_BUCKETS 1024u
#define FLOW_MEM_SEGMENTS 1024u

/* The series of a memtable; memdir.c. */
typedef struct FlowMemDir
{
	/* protected by the write lock */
	uint64_t seed; /* of the hash; constant */
	uint32_t nseries;
	uint32_t nsegments;
	uint32_t linked_segments; /* of these: before the staged batch */
	uint32_t nstaged;
	FlowSkipLink staged[FLOW_SKIP_HEIGHT]; /* new series, in their order */

	/* written under the write lock, read by anyone: atomic */
	_Atomic uint32_t nbuckets;
	FlowSkipLink order[FLOW_SKIP_HEIGHT]; /* by store id, key */

	/* those of nbuckets are constant */
	_Atomic(FlowMemSeries *) *segment[FLOW_MEM_SEGMENTS];
} FlowMemDir;

struct FlowMemtable
{
	/* protected by the write lock */
	FlowArena arena;
	uint32_t random;		   /* state of the height generator */
	uint32_t staged_rows;	   /* step 1's: how many, */
	FlowMemSeries *staged;	   /* in these series, and in new ones, */
	FlowMemTomb *staged_tombs; /* range tombstones, newest first, */
	FlowTxnBlock *staged_txns; /* and directory entries */
	FlowArenaMark staged_mark; /* where unstage goes back to */

	/* written under the write lock, read by anyone: atomic */
	_Atomic(FlowTxnBlock *) txn_head; /* directory, newest block first */
	_Atomic uint64_t first_pos; /* log bound of the first record; UINT64_MAX */
	_Atomic uint64_t last_end;	/* end of the last record's log position */
	_Atomic(FlowMemTomb *) tombs; /* range tombstones, newest first */
	_Atomic uint64_t ntombs;	  /* linked ones */
	_Atomic uint64_t records;	  /* linked rows */
	_Atomic uint64_t bytes;		  /* arena bytes */
	_Atomic uint64_t txns;		  /* directory entries whose fate matters */
	_Atomic uint32_t refs;

	/* protected by the database's state lock */
	FlowMemtable *next_older; /* list of frozen memtables, newest first */
	uint64_t first_sst_id;	  /* ids its flush uses, 0 before the first try */

	FlowMemDir dir;
};

/* An empty memtable with one reference; NULL when there is no room. */
extern FlowMemtable *flowi_memtable_create(FlowEnv *env);
extern void flowi_memtable_ref(FlowMemtable *mt);
extern void flowi_memtable_unref(FlowEnv *env, FlowMemtable *mt);

/*
 * flowi_memtable_stage
 *		Copy a decoded, checked batch record (batch.h) into staged rows.
 *		FLOW_BUSY: no room; nothing is staged.  CORRUPT: the batch is not
 *		well-formed; nothing is staged.  NOMEM: there will never be room for
 *		it.  Write lock held.
 * flowi_memtable_unstage: give a staged batch up.
 * flowi_memtable_link: make it visible with the sequences start, start + 1,
 *		.. by step; cannot fail.
 */
extern FlowStatus flowi_memtable_stage(FlowEnv *env, FlowMemtable *mt,
									   const FlowBatchHeader *hdr,
									   const uint8_t *payload) FLOW_MUST_CHECK;
extern void flowi_memtable_unstage(FlowEnv *env, FlowMemtable *mt);
extern void flowi_memtable_link(FlowMemtable *mt, uint64_t start, uint64_t end);

/* Call fn for each directory entry of linked batches, in no particular order.
 * The caller holds a reference; a writer may be at work. */
extern FlowStatus
flowi_memtable_each_txn(FlowMemtable *mt,
						FlowStatus (*fn)(void *arg, FlowTxn *txn), void *arg);

/* Call fn for each linked range tombstone of a store, newest first; the
 * caller holds a reference, a writer may be at work. */
extern FlowStatus
flowi_memtable_each_tomb(FlowMemtable *mt, uint32_t store_id,
						 FlowStatus (*fn)(void *arg, const FlowTomb *tomb),
						 void *arg);

/* A record, and whose writes to it are asked for: those with a sequence of at
 * least from, of transactions that count (NULL: of all). */
typedef struct FlowSince
{
	uint32_t store_id;
	uint32_t key_bytes;
	const uint8_t *key;
	int64_t ts;
	uint64_t from;
	bool no_tombs; /* range tombstones are left out */
	bool absent;   /* there was no row at from */
	FlowCountsFn counts;
	void *counts_arg;
} FlowSince;

/* Does the transaction of a version count?  txn NULL: it is settled. */
static inline bool
flowi_since_counts(const FlowSince *q, FlowTxn *txn)
{
	if (q->counts == NULL)
		return true;
	if (txn == NULL)
		return q->counts(q->counts_arg, 0, FLOW_TXN_SETTLED);
	return q->counts(
		q->counts_arg, txn->xid,
		(FlowTxnState) atomic_load_explicit(&txn->state, memory_order_relaxed));
}

/* Is there such a linked version, or a range tombstone over it?  As above. */
extern bool flowi_memtable_since(FlowMemtable *mt, const FlowSince *q);

/* The smallest store id >= from that has a record or a range tombstone here;
 * NOTFOUND when none. */
extern FlowStatus flowi_memtable_next_store(FlowMemtable *mt, uint32_t from,
											uint32_t *store_idp);

/*
 * For lookups; the caller holds a reference:
 * flowi_memtable_key_iter
 *		A forward iterator for seeks to that key, and on from there; NOTFOUND,
 *		without a record: there is no row of it.
 * flowi_memtable_last: the newest version of the key's last identity, in
 *		memory of the memtable; false: there is none.
 */
extern FlowStatus flowi_memtable_key_iter(FlowEnv *env, FlowMemtable *mt,
										  uint32_t store_id, const uint8_t *key,
										  uint32_t key_bytes,
										  FlowIter **itp) FLOW_MUST_CHECK;
extern bool flowi_memtable_last(FlowMemtable *mt, uint32_t store_id,
								const uint8_t *key, uint32_t key_bytes,
								FlowRec *rec);

/* Iterator over one store; the caller holds a reference all along. */
extern FlowStatus flowi_memtable_iter(FlowEnv *env, FlowMemtable *mt,
									  uint32_t store_id, bool reverse,
									  FlowIter **itp) FLOW_MUST_CHECK;

/*
 * memtomb.c, for memtable.c
 *		stage: chain the cursor's range tombstone to the staged ones; false:
 *		no room.  link: make the staged ones visible; their entries in the
 *		directory have sequences.  next_store: the smallest store id >= from
 *		that has one; 0: none.  since: see flowi_memtable_since.
 */
#define FLOW_MEMTOMB_BYTES 48u /* that one takes at least */
extern bool flowi_memtomb_stage(FlowEnv *env, FlowMemtable *mt,
								const FlowBatchCursor *c, FlowTxn *txn);
extern void flowi_memtomb_link(FlowMemtable *mt);
extern uint32_t flowi_memtomb_next_store(FlowMemtable *mt, uint32_t from);
extern bool flowi_memtomb_since(FlowMemtable *mt, const FlowSince *q);

#endif /* FLOW_MEMTABLE_H */
