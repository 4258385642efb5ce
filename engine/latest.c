/*-------------------------------------------------------------------------
 * latest.c
 *	  The newest row of a key.
 *
 * Each source is asked for the last identity of the key, and of that for the
 * newest version; the highest time of all, and of that the highest sequence,
 * is the row, if the reader sees it and it lives.  That is nearly always so,
 * and needs neither a merge nor an iterator.  Whenever it is not (a version
 * that is not visible, a tombstone, an expired row, one that a range tombstone
 * hides, a filter, the private buffer, a block that is not in the cache) the
 * row is somewhere behind, and a scan goes there: backwards, for one row.  So
 * what a row is to a reader is decided here only if there is nothing to decide.
 *
 * Keeps: S3, S8.
 *-------------------------------------------------------------------------
 */
#include "lookup.h"

/* A version that is the key's last one in its memtable; these come newest
 * first, so of one time the first decides. */
static void
consider(Lookup *l, const FlowRec *rec)
{
	if (!flowi_scan_visible(l->s, FLOW_SOURCE_MEMTABLE, rec))
		l->unsure = true;
	else if (!l->found || rec->ts > l->rec.ts)
	{
		l->found = true;
		l->kind = FLOW_SOURCE_MEMTABLE;
		l->rec = *rec;
	}
}

static void
look_into_memory(Lookup *l)
{
	const FlowScan *s = l->s;
	FlowRec rec;

	for (uint32_t i = 0; i < s->pins.nmemtables && !l->unsure; i++)
		if (flowi_memtable_last(s->pins.memtables[i], s->spec.store_id,
								l->to.key, l->to.key_bytes, &rec))
			consider(l, &rec);
}

/* May the SSTable have a version that decides? */
static bool
worth_opening(const Lookup *l, const FlowSstInfo *info)
{
	if (l->found && (info->ts_max < l->rec.ts || (info->ts_max == l->rec.ts &&
												  info->seq_max <= l->rec.seq)))
		return false;
	return flowi_lookup_has_key(l, info);
}

/* Of those that may have the key, among n from number first on, the one that
 * goes on longest: who begins with it needs to open few others.  first + n:
 * there is none. */
static uint32_t
find_youngest(const Lookup *l, const FlowVersion *v, uint32_t first, uint32_t n)
{
	uint32_t end = first + n;
	uint32_t best = end;

	for (uint32_t i = end; i-- > first;)
		if ((best == end ||
			 v->sst[i]->info.ts_max > v->sst[best]->info.ts_max) &&
			flowi_lookup_has_key(l, &v->sst[i]->info))
			best = i;
	return best;
}

static FlowStatus
look_into_sst(Lookup *l, FlowSst *sst)
{
	if (worth_opening(l, &sst->info))
		return flowi_lookup_sst(l, sst);
	l->s->stats.ssts_skipped++;
	return FLOW_OK;
}

static FlowStatus
look_into_ssts(Lookup *l)
{
	const FlowVersion *v = l->s->pins.version;
	uint32_t first, youngest;
	uint32_t n = flowi_version_store(v, l->s->spec.store_id, &first);

	youngest = find_youngest(l, v, first, n);
	if (youngest < first + n)
		FLOW_TRY(look_into_sst(l, v->sst[youngest]));
	for (uint32_t i = first + n; i-- > first && !l->unsure;)
		if (i != youngest)
			FLOW_TRY(look_into_sst(l, v->sst[i]));
	return FLOW_OK;
}

/* NOTFOUND: the key has no row; else it is emitted, or l is unsure. */
static FlowStatus
look_up(Lookup *l)
{
	FlowScan *s = l->s;
	uint32_t want = 1;
	bool hidden;
	FlowRec by;

	FLOW_TRY(flowi_scan_columns_room(s, &want));
	FLOW_TRY(flowi_pins_take(s->db, &s->pins));
	look_into_memory(l);
	if (!l->unsure)
		FLOW_TRY(look_into_ssts(l));
	if (l->unsure)
		return FLOW_OK;
	if (!l->found)
		return FLOW_NOTFOUND;
	l->unsure = flowi_scan_dead(s, &l->rec);
	if (!l->unsure)
	{
		FLOW_TRY(flowi_hide_point(s, &l->rec, &hidden, &by));
		l->unsure = hidden;
	}
	return l->unsure ? FLOW_OK : flowi_lookup_emit(l);
}

/* The row by a scan, within the call that has begun. */
static FlowStatus
scan_back(FlowDb *db, const FlowScanSpec *spec, const void *key,
		  size_t key_bytes, int64_t began, FlowScan **scanp,
		  const FlowVector **vecp)
{
	FlowScanSpec latest = *spec;
	FlowScan *s;
	FlowStatus st;

	latest.key_lo = (FlowKeyBound){FLOW_INCLUSIVE, key, key_bytes};
	latest.key_hi = latest.key_lo;
	latest.ts_lo.kind = latest.ts_hi.kind = FLOW_OPEN;
	latest.reverse = true;
	latest.limit = 1;
	FLOW_TRY(flowi_scan_create(db, &latest, &s));
	st = flowi_scan_next_begun(s, 1, began, vecp);
	if (st != FLOW_OK)
	{
		flow_scan_close(s);
		return st == FLOW_END ? FLOW_NOTFOUND : st;
	}
	*scanp = s;
	return FLOW_OK;
}

FlowStatus
flow_get_latest(FlowDb *db, const FlowScanSpec *spec, const void *key,
				size_t key_bytes, FlowScan **scanp, const FlowVector **vecp)
{
	int64_t began = flowi_scan_begin_call(db);
	Lookup l;
	FlowStatus st;

	*scanp = NULL;
	*vecp = NULL;
	if (key_bytes > FLOW_MAX_KEY || spec->own || spec->nfilters > 0 ||
		spec->no_fill_cache || spec->no_verify)
		return scan_back(db, spec, key, key_bytes, began, scanp, vecp);
	FLOW_TRY(flowi_lookup_begin(db, spec, key, key_bytes, &l));
	l.last = true;
	st = look_up(&l);
	flowi_lookup_end(&l);
	if (st == FLOW_OK && !l.unsure)
	{
		flowi_scan_end_call(db, began, 1);
		*scanp = l.s;
		*vecp = &l.s->vec;
		return FLOW_OK;
	}
	if (!l.unsure)
		flowi_scan_end_call(db, began, 0);
	flow_scan_close(l.s);
	if (st != FLOW_OK)
		return st;
	return scan_back(db, spec, key, key_bytes, began, scanp, vecp);
}
