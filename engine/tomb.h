/*-------------------------------------------------------------------------
 * tomb.h
 *	  Range tombstones: one of them, and a set that tells what they hide.
 *
 * A range tombstone is a rectangle of keys and times with a sequence: it
 * hides every record in it whose sequence is lower, from the readers that may
 * see the tombstone itself.  Files and memtables keep them beside the records;
 * whoever reads collects those that matter into a set.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TOMB_H
#define FLOW_TOMB_H

#include "coding.h"
#include "iter.h"

/* Pointers are borrowed from the source.  txn as in FlowRec. */
typedef struct FlowTomb
{
	FlowRect rect;
	uint64_t seq;
	FlowTxn *txn;
} FlowTomb;

/* Does the rectangle cover nothing at all? */
static inline bool
flowi_rect_empty(const FlowRect *r)
{
	return r->ts_lo > r->ts_hi ||
		   (r->key_hi && flowi_key_cmp(r->key_lo, r->key_lo_bytes, r->key_hi,
									   r->key_hi_bytes) >= 0);
}

static inline bool
flowi_rect_has_key(const FlowRect *r, const uint8_t *key, uint32_t key_bytes)
{
	return flowi_key_cmp(r->key_lo, r->key_lo_bytes, key, key_bytes) <= 0 &&
		   (r->key_hi == NULL ||
			flowi_key_cmp(key, key_bytes, r->key_hi, r->key_hi_bytes) < 0);
}

/* Do the keys [a, b], both included, and the times have anything in common
 * with the rectangle? */
static inline bool
flowi_rect_meets(const FlowRect *r, const uint8_t *a, uint32_t a_bytes,
				 const uint8_t *b, uint32_t b_bytes, int64_t ts_lo,
				 int64_t ts_hi)
{
	return r->ts_lo <= ts_hi && ts_lo <= r->ts_hi &&
		   flowi_key_cmp(r->key_lo, r->key_lo_bytes, b, b_bytes) <= 0 &&
		   (r->key_hi == NULL ||
			flowi_key_cmp(a, a_bytes, r->key_hi, r->key_hi_bytes) < 0);
}

/*
 * A set of range tombstones, all of which the owner takes for visible; embed
 * it; private memory, reusable.  Fill it by add, then ask by newest; what is
 * added after a question costs the next question a new arrangement of all.
 */
typedef struct FlowTombSet
{
	FlowEnv *env;
	uint32_t n; /* tombstones in it */
	bool arranged;
	FlowBuf keys;	 /* bytes of their keys */
	FlowBuf entries; /* of TombEntry; newest first when arranged */

	/* when arranged; see tomb.c */
	FlowBuf bounds; /* of TombBound: their keys, rising, each once */
	FlowBuf first;	/* of uint32_t: where each node's steps begin */
	FlowBuf steps;	/* of TombStep */
	uint32_t nbounds;

	/* the question asked last: its place between the bounds, the nodes that
	 * matter there, the answer and the times that it holds for */
	bool has_place;
	uint32_t place;
	uint32_t npath;
	uint32_t path[33];
	int64_t ts_lo, ts_hi;
	uint64_t seq;
} FlowTombSet;

extern void flowi_tombs_init(FlowTombSet *set, FlowEnv *env);
extern void flowi_tombs_free(FlowTombSet *set);	 /* empty it, it stays usable */
extern void flowi_tombs_reset(FlowTombSet *set); /* empty it, keep the memory */
/* Add; the keys are copied.  Empty rectangles are left out. */
extern FlowStatus flowi_tombs_add(FlowTombSet *set,
								  const FlowTomb *tomb) FLOW_MUST_CHECK;
/*
 * flowi_tombs_newest
 *		*seqp: the highest sequence of a tombstone that covers (key, ts), 0
 *		when none does: a record there is hidden when its own is lower.
 *		Any order of questions is right; ones about the key before, or a key
 *		near it, cost least.  NOMEM.
 */
extern FlowStatus flowi_tombs_newest(FlowTombSet *set, const uint8_t *key,
									 uint32_t key_bytes, int64_t ts,
									 uint64_t *seqp) FLOW_MUST_CHECK;

/* A rectangle that has the place asked for last, and the same answer all over;
 * not always the largest one.  Its keys are the set's memory. */
extern FlowRect flowi_tombs_extent(const FlowTombSet *set);

static inline bool
flowi_tombs_empty(const FlowTombSet *set)
{
	return set->n == 0;
}

#endif /* FLOW_TOMB_H */
