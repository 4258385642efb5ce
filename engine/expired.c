/*-------------------------------------------------------------------------
 * expired.c
 *	  SSTables that can be dropped as they are, since all their rows have
 *	  expired.
 *
 * Nothing must come to light: an expired row may lie over an older one that
 * has not expired, and a tombstone over one that shall never be seen again,
 * not even when the clock is set back.  So a file with tombstones goes only
 * together with all that lies below it.
 *
 * Keeps: I7.
 *-------------------------------------------------------------------------
 */
#include "expired.h"

/* Does b hold records that are older than records of a at the same place? */
static bool
lies_below(const FlowSstInfo *a, const FlowSstInfo *b)
{
	return b->records > 0 && b->seq_min < a->seq_max &&
		   a->ts_min <= b->ts_max && b->ts_min <= a->ts_max &&
		   flowi_key_cmp(a->key_min, a->key_min_bytes, b->key_max,
						 b->key_max_bytes) <= 0 &&
		   flowi_key_cmp(b->key_min, b->key_min_bytes, a->key_max,
						 a->key_max_bytes) <= 0;
}

bool
flowi_expired_hides(FlowSst *const *ssts, uint32_t n, uint32_t i)
{
	for (uint32_t k = 0; k < n; k++)
	{
		if (k != i && lies_below(&ssts[i]->info, &ssts[k]->info))
			return true;
	}
	return false;
}

/* May ssts[i] hide records of another one's that live at the horizon? */
static bool
over_living(FlowSst *const *ssts, uint32_t n, uint32_t i, int64_t horizon)
{
	for (uint32_t k = 0; k < n; k++)
	{
		if (k != i && ssts[k]->info.expire_max > horizon &&
			lies_below(&ssts[i]->info, &ssts[k]->info))
			return true;
	}
	return false;
}

double
flowi_expired_free(FlowSst *const *ssts, uint32_t n, uint32_t i,
				   int64_t horizon)
{
	const FlowSstInfo *info = &ssts[i]->info;
	double first = (double) info->ts_min;
	double times = (double) info->ts_max - first;
	double share = 1;

	for (uint32_t k = 0; k < n && share > 0; k++)
	{
		const FlowSstInfo *below = &ssts[k]->info;

		if (k == i || below->expire_max <= horizon || !lies_below(info, below))
			continue;
		if (below->ts_min <= info->ts_min || times <= 0)
			return 0;
		share = FLOW_MIN(share, ((double) below->ts_min - first) / times);
	}
	return share;
}

/* Is anything below ssts[i] that stays? */
static bool
over_rest(FlowSst *const *ssts, uint32_t n, uint32_t i, const uint8_t *drop)
{
	for (uint32_t k = 0; k < n; k++)
	{
		if (!drop[k] && lies_below(&ssts[i]->info, &ssts[k]->info))
			return true;
	}
	return false;
}

uint32_t
flowi_expired_mark(FlowSst *const *ssts, uint32_t n, int64_t horizon,
				   uint8_t *drop)
{
	uint32_t marked = 0;
	bool changed;

	for (uint32_t i = 0; i < n; i++)
	{
		const FlowSstInfo *info = &ssts[i]->info;

		drop[i] = info->records > 0 && info->expire_max <= horizon &&
				  info->ntombs == 0 && atomic_load(&ssts[i]->unsettled) == 0 &&
				  !over_living(ssts, n, i, horizon);
		marked += drop[i];
	}
	/* each round takes one off at least */
	do
	{
		changed = false;
		for (uint32_t i = 0; i < n && marked > 0; i++)
			if (drop[i] && ssts[i]->info.tombstones > 0 &&
				over_rest(ssts, n, i, drop))
			{
				drop[i] = 0;
				marked--;
				changed = true;
			}
	} while (changed);
	return marked;
}
