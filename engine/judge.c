/*-------------------------------------------------------------------------
 * judge.c
 *	  At what times open scans judge expiry.
 *
 * A scan enters its time and then reads purge_horizon; who purges writes
 * purge_horizon and then looks at the times (keep.c).  One of the two sees
 * the other.
 *
 * Keeps: S13.
 *-------------------------------------------------------------------------
 */
#include "judge.h"

int64_t
flowi_judge_at(FlowEnv *env, FlowDbShared *sh, int64_t now)
{
	int64_t purged = atomic_load(&sh->purge_horizon);
	int64_t clock;

	if (purged <= now)
		return now;
	clock = env->now_us(env);
	while (purged > clock)
	{
		if (atomic_compare_exchange_weak(&sh->purge_horizon, &purged, clock))
			purged = clock;
	}
	return FLOW_MAX(now, purged);
}

int64_t
flowi_judge_begin(FlowEnv *env, FlowDbShared *sh, int64_t now, int32_t *placep)
{
	*placep = FLOW_JUDGE_MORE;
	for (int32_t i = 0; i < FLOW_JUDGES && *placep == FLOW_JUDGE_MORE; i++)
	{
		int64_t none = FLOW_NEVER;

		if (atomic_load_explicit(&sh->judge[i], memory_order_relaxed) == none &&
			atomic_compare_exchange_strong(&sh->judge[i], &none, now))
			*placep = i;
	}
	if (*placep == FLOW_JUDGE_MORE)
		atomic_fetch_add(&sh->judges_more, 1);
	return flowi_judge_at(env, sh, now);
}

void
flowi_judge_end(FlowDbShared *sh, int32_t *placep)
{
	if (*placep >= 0)
		atomic_store(&sh->judge[*placep], FLOW_NEVER);
	else if (*placep == FLOW_JUDGE_MORE)
		atomic_fetch_sub(&sh->judges_more, 1);
	*placep = FLOW_JUDGE_NONE;
}

int64_t
flowi_judge_least(const FlowDbShared *sh)
{
	int64_t least = FLOW_NEVER;

	if (atomic_load(&sh->judges_more) > 0)
		return INT64_MIN;
	for (int32_t i = 0; i < FLOW_JUDGES; i++)
	{
		int64_t now = atomic_load(&sh->judge[i]);

		least = FLOW_MIN(least, now);
	}
	return least;
}
