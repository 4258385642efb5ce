/*-------------------------------------------------------------------------
 * expired.h
 *	  SSTables that can be dropped as they are, since all their rows have
 *	  expired.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_EXPIRED_H
#define FLOW_EXPIRED_H

#include "version.h"

/*
 * flowi_expired_mark
 *		drop[i] = 1 for those of the n SSTables of one store that may be
 *		dropped, in one edit; 0 for the others.  How many.
 * flowi_expired_hides
 *		May ssts[i] hide records of another one's?
 * flowi_expired_free
 *		From its first time on, for about which share of its times does ssts[i]
 *		hide nothing that has not expired at the horizon?  An estimate.
 */
extern uint32_t flowi_expired_mark(FlowSst *const *ssts, uint32_t n,
								   int64_t horizon, uint8_t *drop);
extern bool flowi_expired_hides(FlowSst *const *ssts, uint32_t n, uint32_t i);
extern double flowi_expired_free(FlowSst *const *ssts, uint32_t n, uint32_t i,
								 int64_t horizon);

#endif /* FLOW_EXPIRED_H */
