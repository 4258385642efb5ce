/*-------------------------------------------------------------------------
 * txbuf_impl.h
 *	  The layout of a transaction's private buffer, for txbuf*.c only.
 *
 * Entries stand in the order of arrival in a list of chunks; an entry never
 * moves while it lives:
 *
 *	 front -> | dropped | entry | entry | -> | entry | .. | <- tail
 *	                     ^ start                    ^ used
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TXBUF_IMPL_H
#define FLOW_TXBUF_IMPL_H

#include "coding.h"
#include "txbuf.h"

typedef struct TxEntry
{
	uint64_t no; /* place in the order of arrival */
	uint64_t xid;
	int64_t ts;
	int64_t expire_at;
	uint32_t cid;
	uint32_t store_id;
	uint32_t value_bytes;
	uint16_t key_bytes;
	uint8_t op; /* FlowOp */
	bool open;	/* of a range tombstone: there is no key_hi */
	/* key, value; padded to 8.  A range tombstone has key_lo and key_hi there,
	 * ts_lo in ts and ts_hi in expire_at */
	uint8_t data[];
} TxEntry;

typedef struct TxChunk
{
	struct TxChunk *next;
	struct TxChunk *prev;
	size_t cap;	  /* bytes of data */
	size_t start; /* first live entry */
	size_t used;  /* end of the last one; start < used */
	uint8_t data[];
} TxChunk;

/* Before an entry, or behind the last one of a chunk; chunk NULL: nowhere. */
typedef struct TxPos
{
	TxChunk *chunk;
	size_t off;
} TxPos;

/* An entry that answers a read. */
typedef struct TxCheck
{
	const TxEntry *e;
	uint64_t seen;
	bool absent; /* there was no row */
} TxCheck;

struct FlowTxBuf
{
	FlowEnv *env;
	TxChunk *front;
	TxChunk *tail;
	TxChunk *spare;		/* kept for reuse, or NULL */
	size_t chunk_bytes; /* size of the next chunk */
	size_t bytes;		/* of live entries */
	uint64_t front_no;	/* number of the first live entry */
	uint64_t next_no;	/* number the next one gets */
	uint64_t generation;

	FlowBuf tombs; /* of const TxEntry *: range tombstones, by arrival */
	uint64_t tombs_generation; /* changes when the live ones do */
	size_t tombs_gone; /* so many of them in front are not live any more */

	/* what flow_txbuf_check was told, by arrival */
	FlowBuf checks;		 /* of TxCheck */
	size_t checks_gone;	 /* so many of them in front are not live any more */
	const TxEntry *last; /* the entry added last, NULL: it is gone */
	FlowCountsFn counts;
	void *counts_arg;

	/* nodes and slots: of entries front_no .. nodes_upto - 1, but for range
	 * tombstones; see txbuf_find.c */
	FlowBuf nodes;
	FlowBuf slots;
	uint32_t slots_used;
	uint64_t nodes_upto;
	TxPos nodes_pos; /* of entry nodes_upto; chunk NULL: the front */

	/* index: entries front_no .. index_upto - 1, but for range tombstones,
	 * sorted */
	FlowBuf index; /* of const TxEntry * */
	FlowBuf scratch;
	uint64_t index_upto;
	TxPos index_pos; /* of entry index_upto; chunk NULL: the front */
};

static inline size_t
txentry_bytes(const TxEntry *e)
{
	return FLOW_ALIGN8(sizeof(TxEntry) + e->key_bytes + e->value_bytes);
}

static inline const uint8_t *
txentry_value(const TxEntry *e)
{
	return e->op == FLOW_DELETE ? NULL : e->data + e->key_bytes;
}

static inline FlowRect
txentry_rect(const TxEntry *e)
{
	return (FlowRect){.key_lo = e->data,
					  .key_hi = e->open ? NULL : e->data + e->key_bytes,
					  .key_lo_bytes = e->key_bytes,
					  .key_hi_bytes = e->value_bytes,
					  .ts_lo = e->ts,
					  .ts_hi = e->expire_at};
}

static inline FlowRec
txentry_rec(const TxEntry *e)
{
	return (FlowRec){.key = e->data,
					 .value = txentry_value(e),
					 .key_bytes = e->key_bytes,
					 .value_bytes = e->value_bytes,
					 .ts = e->ts,
					 .expire_at = e->expire_at,
					 .seq = FLOW_OWN_SEQ + e->no,
					 .op = e->op};
}

/* Store, key, ts; not the order of arrival. */
static inline int
txentry_cmp(const TxEntry *a, const TxEntry *b)
{
	if (a->store_id != b->store_id)
		return a->store_id < b->store_id ? -1 : 1;
	return flowi_identity_cmp(a->data, a->key_bytes, a->ts, b->data,
							  b->key_bytes, b->ts);
}

static inline TxPos
txbuf_front(const FlowTxBuf *buf)
{
	return (TxPos){buf->front, buf->front ? buf->front->start : 0};
}

/* The entry at *pos, stepping into the next chunk; NULL behind the last. */
static inline const TxEntry *
txbuf_at(TxPos *pos)
{
	if (pos->chunk != NULL && pos->off == pos->chunk->used)
	{
		if (pos->chunk->next == NULL)
			return NULL;
		pos->chunk = pos->chunk->next;
		pos->off = pos->chunk->start;
	}
	return pos->chunk ? (const TxEntry *) (pos->chunk->data + pos->off) : NULL;
}

/* The lists' members. */
static inline const TxEntry **
txbuf_index(const FlowTxBuf *buf)
{
	return (const TxEntry **) (void *) buf->index.data;
}

static inline size_t
txbuf_index_count(const FlowTxBuf *buf)
{
	return buf->index.len / sizeof(const TxEntry *);
}

static inline const TxEntry **
txbuf_tombs(const FlowTxBuf *buf)
{
	return (const TxEntry **) (void *) buf->tombs.data;
}

static inline size_t
txbuf_tomb_count(const FlowTxBuf *buf)
{
	return buf->tombs.len / sizeof(const TxEntry *);
}

static inline TxCheck *
txbuf_checks(const FlowTxBuf *buf)
{
	return (TxCheck *) (void *) buf->checks.data;
}

static inline size_t
txbuf_check_count(const FlowTxBuf *buf)
{
	return buf->checks.len / sizeof(TxCheck);
}

/* Forget all entries before pos, whose number is no. */
extern void flowi_txbuf_drop_front(FlowTxBuf *buf, TxPos pos, uint64_t no);

/* txbuf_find.c: entries from number mark on go, all go. */
extern void flowi_txbuf_cut_nodes(FlowTxBuf *buf, uint64_t mark);
extern void flowi_txbuf_clear_nodes(FlowTxBuf *buf);

/* txbuf_sort.c: stable, cheap on what is sorted in parts; NOMEM. */
extern FlowStatus flowi_txbuf_sort(const TxEntry **a, size_t n,
								   FlowBuf *scratch) FLOW_MUST_CHECK;
/* Where e belongs in the sorted a[0 .. n): behind its equals. */
extern size_t flowi_txbuf_behind(const TxEntry **a, size_t n, const TxEntry *e);

#endif /* FLOW_TXBUF_IMPL_H */
