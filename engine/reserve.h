/*-------------------------------------------------------------------------
 * reserve.h
 *	  Some disk space that is kept for what gives space back.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_RESERVE_H
#define FLOW_RESERVE_H

#include "db.h"

/*
 * A file INDEX/RESERVE of options.reserve_bytes or, if that is more, room for
 * a new manifest; none with reserve_bytes 0.  busy is set, or nobody else is
 * there yet.
 *
 * flowi_reserve_keep
 *		Make it, or a larger one, if it is not there; on a full disk it is made
 *		later.  No error comes of that, and no error record.
 * flowi_reserve_spend
 *		Remove it: the next try has its space.  false: there is none.
 */
extern void flowi_reserve_keep(FlowEnv *env, const char *dir, FlowDbShared *sh);
extern bool flowi_reserve_spend(FlowEnv *env, const char *dir,
								FlowDbShared *sh);

#endif /* FLOW_RESERVE_H */
