/*-------------------------------------------------------------------------
 * txbuf.h
 *	  The engine's inside view of a transaction's private buffer: what the
 *	  merge needs.  The public calls are in flow.h.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TXBUF_H
#define FLOW_TXBUF_H

#include "tomb.h"

/* Own entries are newer than all that is shared: their sequences begin here. */
#define FLOW_OWN_SEQ (UINT64_C(1) << 63)

/*
 * Iterator over the buffer's entries of one store with cid < own_cid, every
 * one of them visible (txn NULL, seq = FLOW_OWN_SEQ + place in the buffer;
 * among equal identities only the newest is given), without range tombstones.
 * Of an identity that has none of them another one is given, with a txn that
 * was aborted: a reader with bounds would else be led past all that its own
 * command has written.  Valid until the buffer changes; flowi_txbuf_generation
 * tells.
 */
extern FlowStatus flowi_txbuf_iter(FlowTxBuf *buf, uint32_t store_id,
								   uint32_t own_cid, bool reverse,
								   FlowIter **itp) FLOW_MUST_CHECK;
/* The newest entry of a record with cid < own_cid, as the iterator gives it;
 * NOTFOUND: none. */
extern FlowStatus flowi_txbuf_find(FlowTxBuf *buf, uint32_t store_id,
								   uint32_t own_cid, const FlowSeek *to,
								   FlowRec *rec) FLOW_MUST_CHECK;
/* An iterator over that entry only; NOTFOUND: none. */
extern FlowStatus flowi_txbuf_point_iter(FlowTxBuf *buf, uint32_t store_id,
										 uint32_t own_cid, bool reverse,
										 const FlowSeek *at,
										 FlowIter **itp) FLOW_MUST_CHECK;
/* Call fn for each range tombstone of the store with cid < own_cid, newest
 * first, with its sequence as above. */
extern FlowStatus
flowi_txbuf_each_tomb(FlowTxBuf *buf, uint32_t store_id, uint32_t own_cid,
					  FlowStatus (*fn)(void *arg, const FlowTomb *tomb),
					  void *arg);
/* The command id of a live entry that one of these two has given, by its
 * sequence. */
extern uint32_t flowi_txbuf_cid(const FlowTxBuf *buf, uint64_t seq);
/* Changes with the buffer, and with its range tombstones. */
extern uint64_t flowi_txbuf_generation(const FlowTxBuf *buf);
extern uint64_t flowi_txbuf_tombs_generation(const FlowTxBuf *buf);

#endif /* FLOW_TXBUF_H */
