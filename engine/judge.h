/*-------------------------------------------------------------------------
 * judge.h
 *	  At what times open scans judge expiry.
 *
 * A host that has transactions keeps count of this itself (env.h,
 * expire_horizon).  For one that has none the database does: rows that an open
 * scan may still show are not purged.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_JUDGE_H
#define FLOW_JUDGE_H

#include "db.h"

#define FLOW_JUDGE_NONE (-1) /* not entered */
#define FLOW_JUDGE_MORE (-2) /* there was no place: nothing is purged */

/*
 * flowi_judge_begin
 *		Enter a scan that wants to judge at now; returns the time it is to judge
 *		at, which is later when rows were purged up to then.  *placep: for end.
 * flowi_judge_end: FLOW_JUDGE_NONE is fine, and what *placep is afterwards.
 * flowi_judge_least: of all that are entered; INT64_MAX when none is.
 */
extern int64_t flowi_judge_begin(FlowEnv *env, FlowDbShared *sh, int64_t now,
								 int32_t *placep);
extern void flowi_judge_end(FlowDbShared *sh, int32_t *placep);
extern int64_t flowi_judge_least(const FlowDbShared *sh);

/*
 * flowi_judge_at
 *		At what time who wants to judge at now has to: later, when rows were
 *		purged up to then.  A purge_horizon that is yet to come is from before
 *		the clock was set back; left alone it would hide for as long what is
 *		written from now on, so it is taken back to the clock.
 */
extern int64_t flowi_judge_at(FlowEnv *env, FlowDbShared *sh, int64_t now);

#endif /* FLOW_JUDGE_H */
