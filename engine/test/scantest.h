/*-------------------------------------------------------------------------
 * scantest.h
 *	  What tests of scans share: two transactions, one of them the reader's,
 *	  and which rows a scan is of.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_SCANTEST_H
#define FLOW_TEST_SCANTEST_H

#include "dbtest.h"

#define MINE 5	 /* the reader's transaction */
#define OTHERS 6 /* one in progress */

static bool settled; /* so is the reader's transaction */

/* FlowVisibleFn */
static inline bool
visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	return txn->xid == MINE;
}

/* FlowEnv's outcome of a transaction. */
static inline FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	if (settled && xid == MINE)
		*statep = FLOW_TXN_SETTLED;
	return FLOW_OK;
}

/* Of all rows, of the one key or from one of nts times on; now and then at a
 * time when some have expired, and not more than some. */
static inline void
scantest_random_rows(CheckRandom *r, FlowScanSpec *spec, FlowKeyBound one,
					 uint32_t nts)
{
	if (check_below(r, 3) > 0)
		spec->now = 999 + (int64_t) check_below(r, 6);
	if (check_below(r, 3) == 0)
		spec->key_lo = spec->key_hi = one;
	if (check_below(r, 2) == 0)
		spec->ts_lo =
			(FlowTimeBound){FLOW_INCLUSIVE, (int64_t) check_below(r, nts)};
	if (check_below(r, 4) == 0)
		spec->limit = 1 + check_below(r, 100);
}

#endif /* FLOW_TEST_SCANTEST_H */
