/*-------------------------------------------------------------------------
 * pick_leveled.c
 *	  Which SSTables to merge by levels (pick.c).
 *-------------------------------------------------------------------------
 */
#include "pick.h"

#define LEVELS 7 /* the last one has no limit */
#define LEVEL_FACTOR 10

/* A range of keys, both ends included. */
typedef struct Span
{
	const FlowSstInfo *lo; /* whose key_min; NULL: empty */
	const FlowSstInfo *hi; /* whose key_max */
} Span;

static void
widen(Span *span, const FlowSstInfo *info)
{
	if (info->records == 0)
		return;
	if (span->lo == NULL ||
		flowi_key_cmp(info->key_min, info->key_min_bytes, span->lo->key_min,
					  span->lo->key_min_bytes) < 0)
		span->lo = info;
	if (span->hi == NULL ||
		flowi_key_cmp(info->key_max, info->key_max_bytes, span->hi->key_max,
					  span->hi->key_max_bytes) > 0)
		span->hi = info;
}

static bool
overlaps(const Span *span, const FlowSstInfo *info)
{
	return span->lo != NULL && info->records > 0 &&
		   flowi_key_cmp(span->lo->key_min, span->lo->key_min_bytes,
						 info->key_max, info->key_max_bytes) <= 0 &&
		   flowi_key_cmp(info->key_min, info->key_min_bytes, span->hi->key_max,
						 span->hi->key_max_bytes) <= 0;
}

/* The same, but for a key at the border of both: the rows of a key may begin
 * in one file of a level and go on in the next. */
static bool
overlaps_within(const Span *span, const FlowSstInfo *info)
{
	return span->lo != NULL && info->records > 0 &&
		   flowi_key_cmp(span->lo->key_min, span->lo->key_min_bytes,
						 info->key_max, info->key_max_bytes) < 0 &&
		   flowi_key_cmp(info->key_min, info->key_min_bytes, span->hi->key_max,
						 span->hi->key_max_bytes) < 0;
}

static void
take(FlowPickFile *f, Span *span, FlowPick *pick)
{
	f->picked = true;
	pick->npicked++;
	widen(span, f->info);
}

/* Take the files of level that overlap; the span grows with each, so until
 * there is nothing new. */
static void
take_overlapping(FlowPickFile *files, uint32_t n, uint32_t level, Span *span,
				 FlowPick *pick)
{
	bool grown = true;

	while (grown)
	{
		grown = false;
		for (uint32_t i = 0; i < n; i++)
		{
			FlowPickFile *f = &files[i];

			if (f->picked || FLOW_MIN(f->info->level, LEVELS) != level ||
				!overlaps_within(span, f->info))
				continue;
			take(f, span, pick);
			grown = true;
		}
	}
}

/* What overlaps in the level below comes along, but does not widen the span
 * there: its neighbours do not overlap with the output. */
static void
take_next_level(FlowPickFile *files, uint32_t n, uint32_t level, Span span,
				FlowPick *pick)
{
	Span all = span;

	for (uint32_t i = 0; i < n; i++)
	{
		if (!files[i].picked && files[i].info->level == level &&
			overlaps(&span, files[i].info))
			take(&files[i], &all, pick);
	}
}

/* How full the levels are; the fullest, 0 when level 0 has enough files. */
static double
fullest_level(const FlowMergePolicy *p, const FlowPickFile *files, uint32_t n,
			  uint32_t *levelp)
{
	double bytes[LEVELS] = {0};
	double limit = (double) p->target_bytes;
	double best;
	uint32_t flushed = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t level = files[i].info->level;

		flushed += level == 0;
		if (level > 0 && level < LEVELS)
			bytes[level] += (double) files[i].info->file_bytes;
	}
	*levelp = 0;
	best = (double) flushed / p->min_threshold;
	for (uint32_t level = 1; level < LEVELS; level++)
	{
		limit *= LEVEL_FACTOR;
		if (bytes[level] / limit <= FLOW_MAX(best, 1))
			continue;
		best = bytes[level] / limit;
		*levelp = level;
	}
	return best;
}

/* Bytes of the next level that a merge of f has to write again, for each of
 * its own. */
static double
cost_of(const FlowPickFile *f, const FlowPickFile *files, uint32_t n)
{
	Span span = {NULL, NULL};
	double bytes = 0;

	widen(&span, f->info);
	for (uint32_t i = 0; i < n; i++)
	{
		if (files[i].info->level == f->info->level + 1 &&
			overlaps(&span, files[i].info))
			bytes += (double) files[i].info->file_bytes;
	}
	return bytes / (double) FLOW_MAX(f->info->file_bytes, 1);
}

/* The cheapest file of a level, the oldest of several. */
static FlowPickFile *
cheapest_file(FlowPickFile *files, uint32_t n, uint32_t level)
{
	FlowPickFile *best = NULL;
	double least = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		double cost;

		if (files[i].info->level != level)
			continue;
		cost = cost_of(&files[i], files, n);
		if (best == NULL || cost < least)
		{
			best = &files[i];
			least = cost;
		}
	}
	return best;
}

/*
 * Of level 0 the oldest files, of another one the file that costs least.  (Not
 * the oldest: level 1 is made new by each merge of level 0, so the oldest
 * is always that of the lowest keys.  What is left there is sparse then, and
 * one file meets half of the next level.)
 */
void
flowi_pick_leveled(const FlowMergePolicy *p, FlowPickFile *files, uint32_t n,
				   FlowPick *pick)
{
	Span span = {NULL, NULL};
	uint32_t level;
	double score = fullest_level(p, files, n, &level);

	if (score < 1)
		return;
	flowi_pick_sort(files, n, flowi_pick_by_id);
	if (level > 0)
	{
		take(cheapest_file(files, n, level), &span, pick);
		take_overlapping(files, n, level, &span, pick);
	}
	for (uint32_t i = 0;
		 level == 0 && i < n && pick->npicked < p->max_threshold; i++)
	{
		if (files[i].info->level == 0)
			take(&files[i], &span, pick);
	}
	take_next_level(files, n, level + 1, span, pick);
	pick->level = level + 1;
	pick->score = score;
	pick->target_bytes = p->target_bytes;
}
