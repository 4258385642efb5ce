/*-------------------------------------------------------------------------
 * pick.c
 *	  Which SSTables to merge: size-tiered, leveled, time windows.
 *
 * Size-tiered as in Apache Cassandra: files of about one size form a bucket,
 * a bucket of min_threshold files is merged into one, which then belongs to
 * a bucket of larger files.  Each row is written once a tier.  Time windows
 * are the same within the newest window, and make one file of each older
 * one.  Leveled (pick_leveled.c) as in LevelDB: from level 1 on a level is one
 * sorted run, ten times as large as the level before, and what is too much in
 * one goes into the next.  A file that is half garbage or more is rewritten by
 * itself, which gives back more than it writes, unless files wait that are many
 * more than the policy allows: rows that expire faster than files of their size
 * come together would take several times the room of those that live.
 *
 * No function here can cause endless work: every merge has two inputs or
 * more of its level or window, or moves a file one level down, or rewrites
 * one file whose garbage the rewriting takes away.
 *-------------------------------------------------------------------------
 */
#include "pick.h"

#include <stdlib.h>

#define GARBAGE_ALONE 0.5 /* a file of so much is rewritten by itself */

/* A policy's score is 1 when it has as many files, or bytes, as it takes. */
#define SCORE_GARBAGE 2 /* of a file that is nothing but */
#define SCORE_TIDY 0.2	/* an old window that has a late file or two */
#define LATE_FACTOR 16	/* which are at least such a part of it */

/* ----------------------------------------------------------------- order */

int
flowi_pick_by_id(const void *pa, const void *pb)
{
	const FlowPickFile *a = pa;
	const FlowPickFile *b = pb;

	return (a->info->id > b->info->id) - (a->info->id < b->info->id);
}

static int
by_size(const void *pa, const void *pb)
{
	const FlowPickFile *a = pa;
	const FlowPickFile *b = pb;

	if (a->info->file_bytes != b->info->file_bytes)
		return a->info->file_bytes < b->info->file_bytes ? -1 : 1;
	return flowi_pick_by_id(pa, pb);
}

void
flowi_pick_sort(FlowPickFile *files, uint32_t n,
				int (*cmp)(const void *, const void *))
{
	if (n > 1)
		qsort(files, n, sizeof(*files), cmp);
}

/* ----------------------------------------------------------- size-tiered */

/* Does a file of size belong to a bucket of that average? */
static bool
fits_bucket(const FlowMergePolicy *p, double average, double size)
{
	if (size < (double) p->small_bytes && average < (double) p->small_bytes)
		return true;
	return size >= average * p->bucket_low && size <= average * p->bucket_high;
}

/* How many of the n files, sorted by size, are one bucket with the first. */
static uint32_t
bucket_end(const FlowMergePolicy *p, const FlowPickFile *files, uint32_t n)
{
	double sum = (double) files[0].info->file_bytes;
	uint32_t i = 1;

	for (; i < n; i++)
	{
		double size = (double) files[i].info->file_bytes;

		if (!fits_bucket(p, sum / i, size))
			break;
		sum += size;
	}
	return i;
}

/* Pick the oldest of files, at most so many. */
static void
pick_oldest(FlowPickFile *files, uint32_t n, uint32_t most, FlowPick *pick)
{
	flowi_pick_sort(files, n, flowi_pick_by_id);
	pick->npicked = FLOW_MIN(n, most);
	for (uint32_t i = 0; i < pick->npicked; i++)
		files[i].picked = true;
}

/* The bucket of the smallest files that has enough of them. */
static void
pick_tiered(const FlowMergePolicy *p, FlowPickFile *files, uint32_t n,
			FlowPick *pick)
{
	uint32_t end;

	flowi_pick_sort(files, n, by_size);
	for (uint32_t from = 0; from < n && pick->npicked == 0; from += end)
	{
		end = bucket_end(p, files + from, n - from);
		if (end < p->min_threshold || end < 2)
			continue;
		pick_oldest(files + from, end, p->max_threshold, pick);
		pick->score = (double) end / p->min_threshold;
	}
}

/* --------------------------------------------------------- time windows */

static int64_t
window_of(const FlowMergePolicy *p, int64_t ts)
{
	int64_t w = ts / p->window_us;

	return w - (ts % p->window_us < 0);
}

/*
 * The window of a file.  One that has only range tombstones belongs to the
 * newest: what they hide is newer than nobody knows what.
 */
static int64_t
file_window(const FlowMergePolicy *p, const FlowPickFile *f, int64_t newest)
{
	if (f->info->records == 0)
		return newest;
	return FLOW_MIN(window_of(p, f->info->ts_max), newest);
}

/*
 * The first window that is still written to.  Rows of the future, and times
 * that are no times of day at all, must not make it one that nothing reaches:
 * then each flush would be merged with all of its window.
 */
static int64_t
newest_window(const FlowMergePolicy *p, int64_t now_us,
			  const FlowPickFile *files, uint32_t n)
{
	int64_t newest = INT64_MIN;

	for (uint32_t i = 0; i < n; i++)
	{
		if (files[i].info->records > 0)
			newest = FLOW_MAX(newest, window_of(p, files[i].info->ts_max));
	}
	return FLOW_MIN(newest, window_of(p, now_us));
}

/*
 * How many of the n files of an older window, sorted by size, to make one of:
 * as far as each is at most factor times what stands before it.
 */
static uint32_t
chain_end(const FlowMergePolicy *p, double factor, const FlowPickFile *files,
		  uint32_t n)
{
	double sum = (double) files[0].info->file_bytes;
	uint32_t end = 1;

	for (uint32_t i = 1; i < n; i++)
	{
		double size = (double) files[i].info->file_bytes;

		if (size <= factor * sum || files[i].info->file_bytes < p->small_bytes)
			end = i + 1;
		sum += size;
	}
	return end;
}

/*
 * All files of an older window become one, the smallest first when they are
 * too many.  But a late file that is small beside the window's own has to
 * wait for more of its kind, else a row too late in each flush would have the
 * window written again and again.
 */
static void
pick_old_window(const FlowMergePolicy *p, FlowPickFile *files, uint32_t n,
				FlowPick *pick)
{
	uint32_t end;

	flowi_pick_sort(files, n, by_size);
	end = chain_end(p, 2, files, n);
	pick->score = (double) end / 2;
	if (end < 2)
	{
		end = chain_end(p, LATE_FACTOR, files, n);
		pick->score = SCORE_TIDY;
	}
	if (end < 2)
	{
		pick->score = 0;
		return;
	}
	pick->npicked = FLOW_MIN(end, p->max_threshold);
	for (uint32_t i = 0; i < pick->npicked; i++)
		files[i].picked = true;
}

/* Move the files of window w to the front; how many. */
static uint32_t
gather_window(const FlowMergePolicy *p, int64_t w, int64_t newest,
			  FlowPickFile *files, uint32_t n)
{
	uint32_t got = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		FlowPickFile f = files[i];

		if (file_window(p, &f, newest) != w)
			continue;
		files[i] = files[got];
		files[got++] = f;
	}
	return got;
}

/* The highest window below before; false: none. */
static bool
next_window(const FlowMergePolicy *p, int64_t before, int64_t newest,
			const FlowPickFile *files, uint32_t n, int64_t *wp)
{
	bool found = false;

	for (uint32_t i = 0; i < n; i++)
	{
		int64_t w = file_window(p, &files[i], newest);

		if (w >= before || (found && w <= *wp))
			continue;
		*wp = w;
		found = true;
	}
	return found;
}

/*
 * The newest window by size; else the newest older one that deserves it,
 * else the newest that can be tidied.  Windows are gathered one after the
 * other at the front of what is left of the list.
 */
static void
pick_windows(const FlowMergePolicy *p, int64_t now_us, FlowPickFile *files,
			 uint32_t n, FlowPick *pick)
{
	int64_t newest = newest_window(p, now_us, files, n);
	int64_t w = newest;
	FlowPickFile *tidy = NULL;
	FlowPick waiting = {0};
	uint32_t got = gather_window(p, w, newest, files, n);

	if (got > 0)
		pick_tiered(p, files, got, pick);
	while (pick->npicked == 0)
	{
		files += got;
		n -= got;
		if (!next_window(p, w, newest, files, n, &w))
			break;
		got = gather_window(p, w, newest, files, n);
		pick_old_window(p, files, got, pick);
		if (pick->npicked == 0 || pick->score > SCORE_TIDY)
			continue;
		/* a better one may come: remember, and take it back */
		for (uint32_t i = 0; i < pick->npicked; i++)
			files[i].picked = false;
		if (tidy == NULL)
		{
			tidy = files;
			waiting = *pick;
		}
		*pick = (FlowPick){0};
	}
	if (pick->npicked > 0 || tidy == NULL)
		return;
	*pick = waiting;
	for (uint32_t i = 0; i < pick->npicked; i++)
		tidy[i].picked = true;
}

/* -------------------------------------------------------------------- all */

/* The one with the most garbage, if that is enough; else NULL. */
static FlowPickFile *
most_garbage(FlowPickFile *files, uint32_t n)
{
	FlowPickFile *best = NULL;

	for (uint32_t i = 0; i < n; i++)
	{
		FlowPickFile *f = &files[i];

		if (f->garbage >= GARBAGE_ALONE &&
			(best == NULL || f->garbage > best->garbage ||
			 (f->garbage == best->garbage && flowi_pick_by_id(f, best) < 0)))
			best = f;
	}
	return best;
}

static void
begin(FlowPickFile *files, uint32_t n, FlowPick *pick)
{
	*pick = (FlowPick){0};
	for (uint32_t i = 0; i < n; i++)
		files[i].picked = false;
}

/* The file with the most garbage instead, if that is as useful. */
static void
pick_alone(const FlowMergePolicy *p, FlowPickFile *files, uint32_t n,
		   FlowPick *pick)
{
	FlowPickFile *f = most_garbage(files, n);

	if (f == NULL ||
		(pick->npicked > 0 && SCORE_GARBAGE * f->garbage < pick->score))
		return;
	begin(files, n, pick);
	f->picked = true;
	pick->npicked = 1;
	pick->level = f->info->level;
	pick->score = SCORE_GARBAGE * f->garbage;
	pick->target_bytes = p->kind == FLOW_POLICY_LCS ? p->target_bytes : 0;
}

void
flowi_pick(const FlowMergePolicy *policy, int64_t now_us, FlowPickFile *files,
		   uint32_t n, FlowPick *pick)
{
	begin(files, n, pick);
	switch (policy->kind)
	{
		case FLOW_POLICY_STCS:
			pick_tiered(policy, files, n, pick);
			break;
		case FLOW_POLICY_LCS:
			flowi_pick_leveled(policy, files, n, pick);
			break;
		case FLOW_POLICY_TWCS:
			pick_windows(policy, now_us, files, n, pick);
			break;
	}
	pick_alone(policy, files, n, pick);
}

void
flowi_pick_manual(uint32_t threshold, FlowPickFile *files, uint32_t n,
				  FlowPick *pick)
{
	uint64_t most;

	begin(files, n, pick);
	if (n == 0 || n < threshold)
		return;
	flowi_pick_sort(files, n, by_size);
	most = files[0].info->file_bytes;
	most = most > UINT64_MAX / 4 ? UINT64_MAX : most * 4;
	for (uint32_t i = 0; i < n && (i < 2 || files[i].info->file_bytes <= most);
		 i++)
	{
		files[i].picked = true;
		pick->npicked++;
	}
	pick->score = 1;
}
