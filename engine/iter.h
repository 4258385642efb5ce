/*-------------------------------------------------------------------------
 * iter.h
 *	  One version of one record, and the iterator that every source offers
 *	  (memtable, SSTable, private buffer) and the merge consumes.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ITER_H
#define FLOW_ITER_H

#include "common.h"

/*
 * A version of a record.  Pointers are borrowed from the source and valid
 * until its iterator moves.  Its value may have to be made first, see FlowIter;
 * value is NULL then, and value_bytes 0.  txn: the directory entry it was written under,
 * NULL when it is settled (visible to all).
 */
typedef struct FlowRec
{
	const uint8_t *key;
	const uint8_t *value; /* NULL for a tombstone, or not made yet */
	uint32_t key_bytes;
	uint32_t value_bytes;
	int64_t ts;
	int64_t expire_at;
	uint64_t seq;
	FlowTxn *txn;
	uint8_t op; /* FlowOp */
} FlowRec;

/*
 * Where to go.  An identity is a (key, ts).  Forward: the first identity >=
 * (key, ts), or > when after is set.  Reverse: the last identity <= (key,
 * ts), or < when after is set.  unbounded: the very first in the direction.
 */
typedef struct FlowSeek
{
	const uint8_t *key;
	uint32_t key_bytes;
	int64_t ts;
	bool after;
	bool unbounded;
} FlowSeek;

/* What a search for one version has come to, without an iterator. */
typedef enum FlowPeek
{
	FLOW_PEEK_ROW,	 /* found */
	FLOW_PEEK_NONE,	 /* there is none */
	FLOW_PEEK_UNSURE /* an iterator has to be asked */
} FlowPeek;

/*
 * Iterator over the versions of one store.  Identities come in the
 * iterator's direction, but the versions of one identity always newest
 * (highest seq) first, in both directions.
 *
 * seek, next: FLOW_OK with cur set, FLOW_END past the last, or an error.
 * After FLOW_END or an error only seek and free are allowed.
 * value: make cur's value, which is valid until the iterator moves; NULL: it
 * is there always.  Called by flowi_iter_value.
 * Embed it as the first member of the source's own iterator.
 */
typedef struct FlowIter FlowIter;
struct FlowIter
{
	FlowStatus (*seek)(FlowIter *it, const FlowSeek *to);
	FlowStatus (*next)(FlowIter *it);
	FlowStatus (*value)(FlowIter *it);
	void (*free)(FlowIter *it);
	FlowRec cur;
};

/* Before cur's value is looked at. */
FLOW_MUST_CHECK
static inline FlowStatus
flowi_iter_value(FlowIter *it)
{
	return it->value == NULL || it->cur.value != NULL ? FLOW_OK : it->value(it);
}

/* Eight bytes as a number that compares as they do. */
static inline uint64_t
flowi_load_big64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? v : __builtin_bswap64(v);
}

/* memcmp order, shorter first on a tie */
static inline int
flowi_key_cmp(const uint8_t *a, uint32_t a_bytes, const uint8_t *b,
			  uint32_t b_bytes)
{
	uint32_t n = a_bytes < b_bytes ? a_bytes : b_bytes;
	int c;

	if (n >= 8 && n <= 16) /* most keys: two words, that overlap */
	{
		uint64_t x = flowi_load_big64(a);
		uint64_t y = flowi_load_big64(b);

		if (x == y)
		{
			x = flowi_load_big64(a + n - 8);
			y = flowi_load_big64(b + n - 8);
		}
		c = (x > y) - (x < y);
	}
	else
		c = n ? memcmp(a, b, n) : 0;
	return c ? c : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* (key, ts) order */
static inline int
flowi_identity_cmp(const uint8_t *a, uint32_t a_bytes, int64_t a_ts,
				   const uint8_t *b, uint32_t b_bytes, int64_t b_ts)
{
	int c = flowi_key_cmp(a, a_bytes, b, b_bytes);

	return c ? c : (a_ts > b_ts) - (a_ts < b_ts);
}

#endif /* FLOW_ITER_H */
