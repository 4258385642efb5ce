/*-------------------------------------------------------------------------
 * get.c
 *	  Point lookups, and bounds for a prefix.
 *
 * A lookup needs no merge.  Sequences rise from the SSTables over the frozen
 * memtables to the active one, so the first memtable that has a visible
 * version has the newest; only among SSTables it is looked for by sequence.
 * Range tombstones are asked about when a row was found.
 *
 * An SSTable is searched in the bytes of the cached block first; what that
 * does not tell, its iterator does.
 *-------------------------------------------------------------------------
 */
#include "lookup.h"

#include "txbuf.h"

void
flow_prefix_bounds(const void *prefix, size_t prefix_bytes, FlowKeyBound *lo,
				   FlowKeyBound *hi, void *scratch)
{
	const uint8_t *p = prefix;
	uint8_t *succ = scratch;
	size_t n = prefix_bytes;

	*lo = (FlowKeyBound){FLOW_INCLUSIVE, prefix, prefix_bytes};
	*hi = (FlowKeyBound){FLOW_OPEN, NULL, 0};
	while (n > 0 && p[n - 1] == 0xff)
		n--;
	if (n == 0)
		return;
	memcpy(succ, p, n);
	succ[n - 1]++;
	*hi = (FlowKeyBound){FLOW_EXCLUSIVE, succ, n};
}

#define POLL_VERSIONS 256 /* between two interrupt polls */

static bool
at_target(const Lookup *l, const FlowRec *rec)
{
	return rec->ts == l->to.ts &&
		   flowi_key_cmp(rec->key, rec->key_bytes, l->to.key,
						 l->to.key_bytes) == 0;
}

/* Go to the newest visible version of the target in it; *rec is NULL when
 * there is none. */
static FlowStatus
newest_visible(Lookup *l, FlowIter *it, FlowSourceKind kind,
			   const FlowRec **recp)
{
	FlowStatus st = it->seek(it, &l->to);

	*recp = NULL;
	while (st == FLOW_OK && at_target(l, &it->cur))
	{
		if (flowi_scan_visible(l->s, kind, &it->cur))
		{
			*recp = &it->cur;
			return FLOW_OK;
		}
		l->s->stats.versions_hidden++;
		if (++l->passed % POLL_VERSIONS == 0)
			FLOW_TRY(l->s->env->poll(l->s->env));
		st = it->next(it);
	}
	return st == FLOW_END ? FLOW_OK : st;
}

/* Look into a source of memory; it is l's to free. */
static FlowStatus
look_into(Lookup *l, FlowIter *it, FlowSourceKind kind)
{
	const FlowRec *rec;
	FlowStatus st = newest_visible(l, it, kind, &rec);

	if (st != FLOW_OK || rec == NULL)
	{
		it->free(it);
		return st;
	}
	l->found = true;
	l->kind = kind;
	l->rec = *rec;
	l->it = it;
	return FLOW_OK;
}

/* Look into the private buffer, if there is one. */
static FlowStatus
look_into_own(Lookup *l)
{
	const FlowScanSpec *spec = &l->s->spec;
	FlowStatus st = FLOW_NOTFOUND;

	if (spec->own)
		st = flowi_txbuf_find(spec->own, spec->store_id, spec->own_cid, &l->to,
							  &l->rec);
	if (st == FLOW_NOTFOUND)
		return FLOW_OK;
	l->found = st == FLOW_OK;
	l->kind = FLOW_SOURCE_OWN;
	return st;
}

static FlowStatus
look_into_memory(Lookup *l)
{
	FlowScan *s = l->s;
	const FlowScanSpec *spec = &s->spec;
	FlowIter *it;

	FLOW_TRY(look_into_own(l));
	for (uint32_t i = 0; i < s->pins.nmemtables && !l->found; i++)
	{
		FlowStatus st = flowi_memtable_key_iter(
			s->db->env, s->pins.memtables[i], spec->store_id, l->to.key,
			l->to.key_bytes, &it);

		if (st == FLOW_NOTFOUND)
			continue;
		FLOW_TRY(st);
		FLOW_TRY(look_into(l, it, FLOW_SOURCE_MEMTABLE));
	}
	return FLOW_OK;
}

/* May sst hold a version of the target that is newer than what was found? */
static bool
worth_opening(const Lookup *l, const FlowSstInfo *info)
{
	return !(l->found && info->seq_max <= l->rec.seq) &&
		   flowi_lookup_has_key(l, info);
}

/* Give back what an SSTable is read with.  The reader's own iterator stays,
 * but holds on to nothing. */
static void
release_sst(Lookup *l, FlowSstRead *read)
{
	if (read->reader == NULL)
		return;
	flowi_sst_point_end(read->reader->sst, &read->point);
	if (read->it != NULL && read->it == read->reader->get_iter)
		flowi_sst_iter_pause(read->it);
	else if (read->it != NULL)
		read->it->free(read->it);
	flowi_readers_release(l->s->db->readers, read->reader);
	read->reader = NULL;
	read->it = NULL;
}

/* Look for the target without an iterator.  A version that the reader may not
 * see is not the end of it: there may be an older one. */
static FlowStatus
peek_sst(Lookup *l, FlowSst *sst, FlowSstRead *read, bool check,
		 FlowPeek *foundp)
{
	FlowSstPoint *point = &read->point;

	FLOW_TRY(
		flowi_sst_point(read->reader->sst, &l->to, l->last, point, foundp));
	if (*foundp == FLOW_PEEK_ROW)
	{
		if (check)
			point->rec.txn = flowi_version_find_txn(sst, point->rec.seq);
		if (!flowi_scan_visible(l->s, FLOW_SOURCE_SST, &point->rec))
		{
			flowi_sst_point_end(read->reader->sst, point);
			*foundp = FLOW_PEEK_UNSURE;
		}
	}
	if (*foundp != FLOW_PEEK_UNSURE)
	{
		l->s->sst_stats.blocks_read += point->blocks;
		l->s->sst_stats.cache_hits += point->blocks;
	}
	return FLOW_OK;
}

/*
 * Iterate to the target: by the reader's own iterator, or by a new one when
 * the spec asks for more than a usual read.
 */
static FlowStatus
iterate_sst(Lookup *l, FlowSst *sst, FlowSstRead *read,
			const FlowSstIterOptions *o, const FlowRec **recp)
{
	FlowScan *s = l->s;

	if (o->no_fill_cache || o->no_verify)
		FLOW_TRY(flowi_sst_iter(read->reader->sst, o, &read->it));
	else
	{
		FLOW_TRY(flowi_readers_get_iter(read->reader, sst));
		read->it = read->reader->get_iter;
		read->reader->get_stats = (FlowSstIterStats){0};
	}
	FLOW_TRY(newest_visible(l, read->it, FLOW_SOURCE_SST, recp));
	if (read->it == read->reader->get_iter)
	{
		const FlowSstIterStats *n = &read->reader->get_stats;

		s->sst_stats.blocks_read += n->blocks_read;
		s->sst_stats.cache_hits += n->cache_hits;
	}
	return FLOW_OK;
}

/* Look into the SSTable whose reader is pinned; *recp as in newest_visible. */
static FlowStatus
read_sst(Lookup *l, FlowSst *sst, FlowSstRead *read, const FlowRec **recp)
{
	FlowScan *s = l->s;
	FlowSstReader *file = read->reader->sst;
	bool check = atomic_load(&sst->unsettled) > 0;
	FlowSstIterOptions o = {.no_fill_cache = s->spec.no_fill_cache,
							.no_verify = s->spec.no_verify,
							.ts_lo = INT64_MIN,
							.ts_hi = INT64_MAX,
							.find_txn = check ? flowi_version_find_txn : NULL,
							.find_arg = sst,
							.stats = &s->sst_stats};
	FlowPeek found = FLOW_PEEK_UNSURE;
	bool may;

	*recp = NULL;
	FLOW_TRY(flowi_sst_may_contain(file, l->to.key, l->to.key_bytes, &o, &may));
	s->stats.ssts_bloom += !may;
	if (!may)
		return FLOW_OK;
	s->stats.ssts_read++;
	if (!o.no_fill_cache && !o.no_verify)
		FLOW_TRY(peek_sst(l, sst, read, check, &found));
	if (found == FLOW_PEEK_ROW)
		*recp = &read->point.rec;
	l->unsure = found == FLOW_PEEK_UNSURE && l->last;
	if (found != FLOW_PEEK_UNSURE || l->last)
		return FLOW_OK;
	return iterate_sst(l, sst, read, &o, recp);
}

/* Does rec decide, and not what was found before? */
static bool
decides(const Lookup *l, const FlowRec *rec)
{
	if (!l->found || rec->ts != l->rec.ts)
		return !l->found || rec->ts > l->rec.ts;
	return rec->seq > l->rec.seq;
}

FlowStatus
flowi_lookup_sst(Lookup *l, FlowSst *sst)
{
	FlowSstRead read = {.reader = NULL};
	const FlowRec *rec;
	FlowStatus st;

	FLOW_TRY(flowi_readers_acquire(l->s->db->readers, sst, &read.reader));
	st = read_sst(l, sst, &read, &rec);
	if (st == FLOW_OK && rec && decides(l, rec))
	{
		FlowSstRead former = l->read;

		l->found = true;
		l->kind = FLOW_SOURCE_SST;
		l->rec = *rec;
		l->read = read; /* keeps the record's memory */
		read = former;
	}
	release_sst(l, &read);
	return st;
}

static FlowStatus
look_up(Lookup *l)
{
	const FlowVersion *v;
	uint32_t first, n;

	FLOW_TRY(flowi_pins_take(l->s->db, &l->s->pins));
	if (l->s->spec.info)
		l->s->spec.info->seen = l->s->pins.visible_end;
	FLOW_TRY(look_into_memory(l));
	if (l->found)
		return FLOW_OK;
	/* from the newest file on */
	v = l->s->pins.version;
	n = flowi_version_store(v, l->s->spec.store_id, &first);
	for (uint32_t i = first + n; i-- > first;)
	{
		const FlowSstInfo *info = &v->sst[i]->info;
		bool in_time = info->ts_min <= l->to.ts && l->to.ts <= info->ts_max;

		if (in_time && worth_opening(l, info))
			FLOW_TRY(flowi_lookup_sst(l, v->sst[i]));
		else
		{
			l->s->stats.ssts_skipped++;
			l->s->stats.ssts_skipped_time += !in_time;
		}
	}
	return FLOW_OK;
}

/* Tell what has decided: rec, of which sequence and txn matter. */
static void
tell(const FlowScan *s, const FlowRec *rec)
{
	FlowGetInfo *info = s->spec.info;

	if (info == NULL)
		return;
	info->found = true;
	info->seq = rec->seq;
	info->own = rec->seq >= FLOW_OWN_SEQ;
	if (info->own)
		info->cid = flowi_txbuf_cid(s->spec.own, rec->seq);
	else if (rec->txn &&
			 atomic_load_explicit(&rec->txn->state, memory_order_relaxed) !=
				 FLOW_TXN_SETTLED)
	{
		info->xid = rec->txn->xid;
		info->cid = rec->txn->cid;
	}
}

FlowStatus
flowi_lookup_emit(Lookup *l)
{
	FlowIter *it = l->kind == FLOW_SOURCE_SST ? l->read.it : NULL;

	return flowi_scan_emit(l->s, l->kind, it ? &it->cur : &l->rec, it);
}

/* Look up; NOTFOUND when there is no live row; else it is emitted. */
static FlowStatus
look_up_row(Lookup *l)
{
	FlowRec by;
	bool hidden;
	bool dead;
	uint32_t want = 1;

	FLOW_TRY(flowi_scan_columns_room(l->s, &want));
	FLOW_TRY(look_up(l));
	dead = !l->found || flowi_scan_dead(l->s, &l->rec);
	if (!l->found || (dead && l->s->spec.info == NULL))
		return FLOW_NOTFOUND;
	FLOW_TRY(flowi_hide_point(l->s, &l->rec, &hidden, &by));
	tell(l->s, hidden ? &by : &l->rec);
	if (hidden || dead)
	{
		l->s->stats.versions_hidden += hidden;
		return FLOW_NOTFOUND;
	}
	FLOW_TRY(flowi_lookup_emit(l));
	flowi_scan_filter(l->s, 0);
	return l->s->vec.nrows > 0 ? FLOW_OK : FLOW_NOTFOUND;
}

static void
add_missed(FlowScanStats *sum, const FlowScanStats *s)
{
	sum->rows_filtered += s->rows_filtered;
	sum->rows_memtable += s->rows_memtable;
	sum->rows_sst += s->rows_sst;
	sum->rows_own += s->rows_own;
	sum->versions_hidden += s->versions_hidden;
	sum->ssts_read += s->ssts_read;
	sum->ssts_skipped += s->ssts_skipped;
	sum->ssts_skipped_time += s->ssts_skipped_time;
	sum->ssts_bloom += s->ssts_bloom;
	sum->blocks_read += s->blocks_read;
	sum->cache_hits += s->cache_hits;
}

FlowStatus
flowi_lookup_begin(FlowDb *db, const FlowScanSpec *spec, const void *key,
				   size_t key_bytes, Lookup *l)
{
	FlowScanSpec any = *spec;

	any.key_lo.kind = any.key_hi.kind = FLOW_OPEN;
	any.ts_lo.kind = any.ts_hi.kind = FLOW_OPEN;
	memset(l, 0, offsetof(Lookup, rec));
	l->read.reader = NULL;
	l->read.it = NULL;
	l->read.point.ref.data = NULL;
	l->to.key = key;
	l->to.key_bytes = (uint32_t) key_bytes;
	return flowi_scan_create(db, &any, &l->s);
}

void
flowi_lookup_end(Lookup *l)
{
	FlowScan *s = l->s;

	if (l->it)
		l->it->free(l->it);
	release_sst(l, &l->read);
	flowi_source_drop(s);
	s->stats.blocks_read = s->sst_stats.blocks_read;
	s->stats.cache_hits = s->sst_stats.cache_hits;
	s->ended = true;
}

FlowStatus
flow_get(FlowDb *db, const FlowScanSpec *spec, const void *key,
		 size_t key_bytes, int64_t ts, FlowScan **scanp,
		 const FlowVector **vecp)
{
	int64_t began = flowi_scan_begin_call(db);
	Lookup l;
	FlowStatus st;

	*scanp = NULL;
	*vecp = NULL;
	if (spec->info)
		*spec->info = (FlowGetInfo){.seen = flow_log_seen(db)};
	if (key_bytes > FLOW_MAX_KEY)
		return FLOW_NOTFOUND;
	FLOW_TRY(flowi_lookup_begin(db, spec, key, key_bytes, &l));
	l.to.ts = ts;
	st = look_up_row(&l);
	flowi_lookup_end(&l);
	flowi_scan_end_call(db, began, l.s->vec.nrows);
	if (st != FLOW_OK)
	{
		if (spec->missed)
			add_missed(spec->missed, &l.s->stats);
		flow_scan_close(l.s);
		return st;
	}
	*scanp = l.s;
	*vecp = &l.s->vec;
	return FLOW_OK;
}
