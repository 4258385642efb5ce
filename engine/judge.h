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
extern int64_t flowi_judge_begin(FlowDbShared *sh, int64_t now,
								 int32_t *placep);
extern void flowi_judge_end(FlowDbShared *sh, int32_t *placep);
extern int64_t flowi_judge_least(const FlowDbShared *sh);

#endif /* FLOW_JUDGE_H */
