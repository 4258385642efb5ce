/*-------------------------------------------------------------------------
 * keep.c
 *	  What a flush or a merge has to write: the rules K1 to K5 of keep.h.
 *
 * A reader sees every settled version and some of the open ones, which ones
 * is not known.  So only a settled version or range tombstone can make an
 * older version worthless, and only a settled one can be worthless itself
 * because it says "nothing here": when nothing below could come to light.
 * An open tombstone or expired row always stays: to some it is nothing, and
 * they see what is older.
 *
 * Keeps: I6, I7.
 *-------------------------------------------------------------------------
 */
#include "keep.h"

#include "judge.h"

void
flowi_keep_init(FlowKeeper *k, FlowEnv *env, FlowSst *const *below,
				uint32_t nbelow, int64_t horizon)
{
	*k = (FlowKeeper){
		.env = env, .below = below, .nbelow = nbelow, .horizon = horizon};
	flowi_tombs_init(&k->tombs, env);
}

void
flowi_keep_free(FlowKeeper *k)
{
	flowi_tombs_free(&k->tombs);
	k->env->free(k->env, k->key);
	k->key = NULL;
	k->key_cap = 0;
	k->has_last = false;
}

/* ---------------------------------------------------------------- below */

/*
 * May info's file have an older version of rec's identity that rec has to
 * hide?  What is older than an expired row and has expired too needs nobody to
 * hide it; what was deleted does, or a clock that is set back would show it.
 *
 * A clock that is set back behind a horizon that was believed (it was ahead
 * for an hour, see judge.h) can show an older version of a row that is gone,
 * if that one expires later and is still there: what was removed is missing
 * then anyway, and this is part of it.  To rule it out a row would have to
 * stay as a tombstone unless expire_max <= rec->expire_at, and expire_max is
 * of a whole file: with one age for all rows that is nearly every row over
 * nearly every file whose times meet it, expired as it may be.
 */
static bool
may_hold(const FlowKeeper *k, const FlowSstInfo *info, const FlowRec *rec)
{
	return info->records > 0 && info->seq_min < rec->seq &&
		   (rec->op == FLOW_DELETE || info->expire_max > k->horizon) &&
		   info->ts_min <= rec->ts && rec->ts <= info->ts_max &&
		   flowi_key_cmp(info->key_min, info->key_min_bytes, rec->key,
						 rec->key_bytes) <= 0 &&
		   flowi_key_cmp(rec->key, rec->key_bytes, info->key_max,
						 info->key_max_bytes) <= 0;
}

/* The file that answered last is asked first: neighbours lie in one file. */
static bool
hides_below(FlowKeeper *k, const FlowRec *rec)
{
	if (k->hint < k->nbelow && may_hold(k, &k->below[k->hint]->info, rec))
		return true;
	for (uint32_t i = 0; i < k->nbelow; i++)
	{
		if (may_hold(k, &k->below[i]->info, rec))
		{
			k->hint = i;
			return true;
		}
	}
	return false;
}

static bool
meets_below(const FlowKeeper *k, const FlowTomb *tomb)
{
	for (uint32_t i = 0; i < k->nbelow; i++)
	{
		const FlowSstInfo *info = &k->below[i]->info;

		if (info->records > 0 && info->seq_min < tomb->seq &&
			flowi_rect_meets(&tomb->rect, info->key_min, info->key_min_bytes,
							 info->key_max, info->key_max_bytes, info->ts_min,
							 info->ts_max))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- rules */

FlowStatus
flowi_keep_tomb(FlowKeeper *k, const FlowTomb *tomb, FlowFate fate, bool *keepp)
{
	*keepp = false;
	if (fate == FLOW_FATE_ABORTED || flowi_rect_empty(&tomb->rect))
		return FLOW_OK;
	if (fate == FLOW_FATE_SETTLED)
		FLOW_TRY(flowi_tombs_add(&k->tombs, tomb));
	*keepp = fate == FLOW_FATE_OPEN || meets_below(k, tomb);
	if (!*keepp && k->sh)
		flowi_keep_gone(k->sh, tomb->seq);
	return FLOW_OK;
}

/* rec is the first version of another identity. */
static FlowStatus
enter_identity(FlowKeeper *k, const FlowRec *rec)
{
	k->has_last = false;
	if (k->key == NULL || rec->key_bytes > k->key_cap)
	{
		uint32_t cap = FLOW_MAX(2 * k->key_cap, FLOW_MAX(rec->key_bytes, 64));
		uint8_t *key = k->env->realloc(k->env, k->key, cap);

		if (key == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		k->key = key;
		k->key_cap = cap;
	}
	if (rec->key_bytes > 0)
		memcpy(k->key, rec->key, rec->key_bytes);
	k->key_bytes = rec->key_bytes;
	k->ts = rec->ts;
	k->hidden = false;
	k->has_last = true;
	return FLOW_OK;
}

bool
flowi_keep_same(const FlowKeeper *k, const FlowRec *rec)
{
	return k->has_last && k->ts == rec->ts && k->key_bytes == rec->key_bytes &&
		   (rec->key_bytes == 0 ||
			memcmp(k->key, rec->key, rec->key_bytes) == 0);
}

/* K3, of a version that nothing newer hides. */
static FlowKeepVerdict
judge_settled(FlowKeeper *k, const FlowRec *rec)
{
	bool expired = rec->op == FLOW_PUT && rec->expire_at <= k->horizon;

	if (rec->op != FLOW_DELETE && !expired)
		return FLOW_KEEP_WRITE;
	k->expired += expired;
	if (!hides_below(k, rec))
	{
		if (k->sh)
			flowi_keep_gone(k->sh, rec->seq);
		return FLOW_KEEP_DROP;
	}
	return expired ? FLOW_KEEP_TOMBSTONE : FLOW_KEEP_WRITE;
}

/* K1, K2 and K4: does rec go without a look at what it says itself? */
static FlowStatus
is_worthless(FlowKeeper *k, const FlowRec *rec, FlowFate fate, bool twice,
			 bool *worthlessp)
{
	uint64_t newest = 0;

	*worthlessp = true;
	if (fate == FLOW_FATE_ABORTED || k->hidden)
		return FLOW_OK;
	if (twice)
	{
		/* the copy that was written may not know yet that it is settled */
		k->hidden = fate == FLOW_FATE_SETTLED;
		return FLOW_OK;
	}
	if (!flowi_tombs_empty(&k->tombs))
		FLOW_TRY(flowi_tombs_newest(&k->tombs, rec->key, rec->key_bytes,
									rec->ts, &newest));
	k->hidden = newest > rec->seq;
	*worthlessp = k->hidden;
	return FLOW_OK;
}

FlowStatus
flowi_keep_rec(FlowKeeper *k, const FlowRec *rec, FlowFate fate,
			   FlowKeepVerdict *verdictp)
{
	bool twice = flowi_keep_same(k, rec);
	bool worthless;

	*verdictp = FLOW_KEEP_DROP;
	if (!twice)
		FLOW_TRY(enter_identity(k, rec));
	else
		twice = rec->seq == k->seq;
	k->seq = rec->seq;
	FLOW_TRY(is_worthless(k, rec, fate, twice, &worthless));
	if (!worthless)
	{
		*verdictp = FLOW_KEEP_WRITE;
		if (fate == FLOW_FATE_SETTLED)
		{
			k->hidden = true;
			*verdictp = judge_settled(k, rec);
		}
	}
	k->dropped += *verdictp == FLOW_KEEP_DROP;
	return FLOW_OK;
}

/* -------------------------------------------------------------- horizon */

static int64_t
host_horizon(FlowEnv *env, const FlowDbShared *sh)
{
	int64_t now, least;

	if (env->expire_horizon)
		return env->expire_horizon(env);
	now = env->now_us(env);
	least = flowi_judge_least(sh);
	return FLOW_MIN(now, least);
}

/*
 * A reader tells its host its time, then reads purge_horizon; we write
 * purge_horizon, then ask the host.  Whoever is second sees the first: either
 * the reader judges at our time or later, or the host's second answer takes
 * the reader into account.
 */
int64_t
flowi_keep_horizon(FlowEnv *env, FlowDbShared *sh)
{
	int64_t horizon = host_horizon(env, sh);
	int64_t known = atomic_load(&sh->purge_horizon);
	int64_t again;

	while (known < horizon &&
		   !atomic_compare_exchange_weak(&sh->purge_horizon, &known, horizon))
		;
	again = host_horizon(env, sh);
	return FLOW_MIN(horizon, again);
}
