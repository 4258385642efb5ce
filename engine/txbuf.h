/*-------------------------------------------------------------------------
 * txbuf.h
 *	  The engine's inside view of a transaction's private buffer: what the
 *	  merge needs.  The public calls are in flow.h.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TXBUF_H
#define FLOW_TXBUF_H

#include "iter.h"

/*
 * Iterator over the buffer's entries of one store with cid < own_cid, every
 * one of them visible (txn NULL, seq = place in the buffer, newest first;
 * among equal identities only the newest is given).  Valid until the buffer
 * changes; flowi_txbuf_generation tells.
 */
extern FlowStatus flowi_txbuf_iter(FlowTxBuf *buf, uint32_t store_id,
								   uint32_t own_cid, bool reverse,
								   FlowIter **itp) FLOW_MUST_CHECK;
extern uint64_t flowi_txbuf_generation(const FlowTxBuf *buf);

#endif /* FLOW_TXBUF_H */
