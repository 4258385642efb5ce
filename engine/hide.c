/*-------------------------------------------------------------------------
 * hide.c
 *	  Range tombstones of the sources, and what they hide from a reader.
 *
 * A scan collects those that it sees and that meet its bounds into a set, by
 * copy: so the set needs no pins, and stays right from call to call until
 * the version, the memtables' tombstones or the private buffer change; a
 * memtable leaves by a new version, so their number tells.  One
 * that was met and not seen, but may be seen later, makes the next call ask
 * again.
 *
 * An SSTable may have many, and most scans are of few keys: then those that
 * may meet the bounds are found by key, in an order kept beside its reader.
 *
 * A lookup knows its record already when it asks, and needs to know only
 * whether anything newer covers it.  It walks the lists; an SSTable with many
 * keeps them arranged beside its reader.
 *
 * Keeps: S3, S8.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

#include <stdlib.h>

#include "txbuf.h"

#define MANY_TOMBS 64 /* of an SSTable: worth arranging */

/* --------------------------------------------------------------- scans */

typedef struct Collect
{
	FlowScan *s;
	FlowSourceKind kind;
	bool undecided; /* one was not seen that may be seen later */
} Collect;

/* Does the rectangle have anything in common with the scan's bounds? */
static bool
meets(const FlowScan *s, const FlowRect *r)
{
	const FlowKeyBound *lo = &s->spec.key_lo;
	const FlowKeyBound *hi = &s->spec.key_hi;
	int c;

	if (r->ts_lo > s->ts_hi || r->ts_hi < s->ts_lo)
		return false;
	if (lo->kind != FLOW_OPEN && r->key_hi != NULL &&
		flowi_key_cmp(r->key_hi, r->key_hi_bytes, lo->key,
					  (uint32_t) lo->key_bytes) <= 0)
		return false;
	if (hi->kind == FLOW_OPEN)
		return true;
	c = flowi_key_cmp(r->key_lo, r->key_lo_bytes, hi->key,
					  (uint32_t) hi->key_bytes);
	return c < 0 || (c == 0 && hi->kind == FLOW_INCLUSIVE);
}

/* May the reader see the tombstone? */
static bool
is_visible(FlowScan *s, FlowSourceKind kind, const FlowTomb *tomb)
{
	return flowi_scan_visible(s, kind,
							  &(FlowRec){.seq = tomb->seq, .txn = tomb->txn});
}

static FlowStatus
add_visible(void *arg, const FlowTomb *tomb)
{
	Collect *c = arg;

	if (!meets(c->s, &tomb->rect))
		return FLOW_OK;
	if (is_visible(c->s, c->kind, tomb))
		return flowi_tombs_add(&c->s->tombs, tomb);
	if (tomb->txn == NULL ||
		atomic_load_explicit(&tomb->txn->state, memory_order_relaxed) !=
			FLOW_TXN_ABORTED)
		c->undecided = true;
	return FLOW_OK;
}

/* A tombstone of a file, with its directory entry. */
static FlowTomb
with_txn(const FlowTomb *tomb, FlowSst *sst)
{
	FlowTomb full = *tomb;

	if (atomic_load_explicit(&sst->unsettled, memory_order_acquire) > 0)
		full.txn = flowi_version_find_txn(sst, tomb->seq);
	return full;
}

static int
order_cmp(const void *a, const void *b)
{
	const FlowRect *x = &((const FlowTombOrder *) a)->tomb->rect;
	const FlowRect *y = &((const FlowTombOrder *) b)->tomb->rect;

	return flowi_key_cmp(x->key_lo, x->key_lo_bytes, y->key_lo,
						 y->key_lo_bytes);
}

/* Does a rectangle's last key lie behind b's? */
static bool
ends_behind(const FlowRect *a, const FlowRect *b)
{
	return b->key_hi != NULL &&
		   (a->key_hi == NULL || flowi_key_cmp(a->key_hi, a->key_hi_bytes,
											   b->key_hi, b->key_hi_bytes) > 0);
}

/* Make reader->tomb_order, of its n > 0 tombstones. */
static FlowStatus
make_order(FlowEnv *env, FlowReader *reader, const FlowTomb *tomb, uint32_t n)
{
	FlowTombOrder *o = env->alloc(env, n * sizeof(*o));

	if (o == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < n; i++)
		o[i].tomb = &tomb[i];
	qsort(o, n, sizeof(*o), order_cmp);
	o[0].reach = o[0].tomb;
	for (uint32_t i = 1; i < n; i++)
		o[i].reach = ends_behind(&o[i].tomb->rect, &o[i - 1].reach->rect)
						 ? o[i].tomb
						 : o[i - 1].reach;
	reader->tomb_order = o;
	return FLOW_OK;
}

/* How many of the n begin at or before the upper bound of the keys. */
static uint32_t
count_begun(const FlowScan *s, const FlowTombOrder *o, uint32_t n)
{
	const FlowKeyBound *hi = &s->spec.key_hi;
	uint32_t lo = 0;

	if (hi->kind == FLOW_OPEN)
		return n;
	while (lo < n)
	{
		uint32_t mid = lo + (n - lo) / 2;
		const FlowRect *r = &o[mid].tomb->rect;

		if (flowi_key_cmp(r->key_lo, r->key_lo_bytes, hi->key,
						  (uint32_t) hi->key_bytes) <= 0)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

/* Does the rectangle end at or before the lower bound of the keys? */
static bool
ends_before(const FlowScan *s, const FlowRect *r)
{
	const FlowKeyBound *lo = &s->spec.key_lo;

	return lo->kind != FLOW_OPEN && r->key_hi != NULL &&
		   flowi_key_cmp(r->key_hi, r->key_hi_bytes, lo->key,
						 (uint32_t) lo->key_bytes) <= 0;
}

/* Those of an SSTable with many, from the last that may meet the bounds on
 * back to where none reaches them. */
static FlowStatus
collect_many(Collect *c, FlowSst *sst, FlowReader *reader, const FlowTomb *tomb,
			 uint32_t n)
{
	if (reader->tomb_order == NULL)
		FLOW_TRY(make_order(c->s->env, reader, tomb, n));
	for (uint32_t i = count_begun(c->s, reader->tomb_order, n); i-- > 0;)
	{
		FlowTombOrder *o = &reader->tomb_order[i];
		FlowTomb full;

		if (ends_before(c->s, &o->reach->rect))
			break;
		if (!meets(c->s, &o->tomb->rect))
			continue;
		full = with_txn(o->tomb, sst);
		FLOW_TRY(add_visible(c, &full));
	}
	return FLOW_OK;
}

static FlowStatus
collect_sst(Collect *c, FlowSst *sst)
{
	FlowReaderCache *readers = c->s->db->readers;
	FlowReader *reader;
	const FlowTomb *tomb;
	uint32_t n;
	FlowStatus st = FLOW_OK;

	if (sst->info.ntombs == 0 || !meets(c->s, &sst->info.cover))
		return FLOW_OK;
	FLOW_TRY(flowi_readers_acquire(readers, sst, &reader));
	tomb = flowi_sst_tombs(reader->sst, &n);
	if (n > MANY_TOMBS)
		st = collect_many(c, sst, reader, tomb, n);
	else
		for (uint32_t i = 0; i < n && st == FLOW_OK; i++)
		{
			FlowTomb full = with_txn(&tomb[i], sst);

			st = add_visible(c, &full);
		}
	flowi_readers_release(readers, reader);
	return st;
}

static FlowStatus
collect_ssts(Collect *c)
{
	const FlowVersion *v = c->s->pins.version;
	uint32_t first;
	uint32_t n;

	if (v->ntombs == 0)
		return FLOW_OK;
	n = flowi_version_store(v, c->s->spec.store_id, &first);
	for (uint32_t i = first; i < first + n; i++)
		FLOW_TRY(collect_sst(c, v->sst[i]));
	return FLOW_OK;
}

/* How many tombstones are linked: those counted are found by a walk that
 * begins later. */
static uint64_t
count_linked(const FlowPins *pins)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < pins->nmemtables; i++)
		n += atomic_load_explicit(&pins->memtables[i]->ntombs,
								  memory_order_acquire);
	return n;
}

FlowStatus
flowi_hide_collect(FlowScan *s)
{
	const FlowScanSpec *spec = &s->spec;
	FlowPins *pins = &s->pins;
	Collect c = {.s = s};
	uint64_t linked = count_linked(pins);
	uint64_t own = spec->own ? flowi_txbuf_tombs_generation(spec->own) : 0;

	if (s->tombs_known && s->tombs_version == pins->version &&
		s->tombs_linked == linked && s->tombs_own == own)
		return FLOW_OK;
	s->tombs_known = false;
	flowi_tombs_reset(&s->tombs);
	c.kind = FLOW_SOURCE_OWN;
	if (spec->own)
		FLOW_TRY(flowi_txbuf_each_tomb(spec->own, spec->store_id, spec->own_cid,
									   add_visible, &c));
	c.kind = FLOW_SOURCE_MEMTABLE;
	for (uint32_t i = 0; i < pins->nmemtables && linked > 0; i++)
		FLOW_TRY(flowi_memtable_each_tomb(pins->memtables[i], spec->store_id,
										  add_visible, &c));
	c.kind = FLOW_SOURCE_SST;
	FLOW_TRY(collect_ssts(&c));
	s->tombs_known = !c.undecided;
	s->tombs_version = pins->version;
	s->tombs_linked = linked;
	s->tombs_own = own;
	return FLOW_OK;
}

FlowStatus
flowi_hide_check(FlowScan *s, const FlowRec *rec, bool *hiddenp)
{
	uint64_t seq;

	FLOW_TRY(
		flowi_tombs_newest(&s->tombs, rec->key, rec->key_bytes, rec->ts, &seq));
	*hiddenp = rec->seq < seq;
	return FLOW_OK;
}

/*
 * The sequence that covers the place asked for last is higher than all of the
 * file.  What is hidden there hides nothing itself but what is older still,
 * so the other sources need not be looked at.
 */
bool
flowi_hide_skip(const FlowScan *s, const FlowSource *src, FlowSeek *to,
				bool *endp)
{
	FlowRect place;

	if (src->kind != FLOW_SOURCE_SST || src->sst->info.seq_max >= s->tombs.seq)
		return false;
	place = flowi_tombs_extent(&s->tombs);
	if (place.ts_lo > s->ts_lo || place.ts_hi < s->ts_hi)
		return false;
	*endp = !s->spec.reverse && place.key_hi == NULL;
	*to = (FlowSeek){
		.key = place.key_hi, .key_bytes = place.key_hi_bytes, .ts = INT64_MIN};
	if (s->spec.reverse)
	{
		/* the last identity before the place's first one */
		to->key = place.key_lo;
		to->key_bytes = place.key_lo_bytes;
		to->after = true;
	}
	return true;
}

/* -------------------------------------------------------------- lookups */

typedef struct Point
{
	FlowScan *s;
	FlowSourceKind kind;
	const FlowRec *rec;
	FlowRec *by;
	bool hidden;
} Point;

static bool
covers(const FlowRect *r, const FlowRec *rec)
{
	return r->ts_lo <= rec->ts && rec->ts <= r->ts_hi &&
		   flowi_rect_has_key(r, rec->key, rec->key_bytes);
}

/* Tombstones come newest first: FLOW_END when no other matters. */
static FlowStatus
look_at(void *arg, const FlowTomb *tomb)
{
	Point *p = arg;

	if (tomb->seq <= p->rec->seq)
		return FLOW_END;
	if (!covers(&tomb->rect, p->rec) || !is_visible(p->s, p->kind, tomb))
		return FLOW_OK;
	p->hidden = true;
	p->by->seq = tomb->seq;
	p->by->txn = tomb->txn;
	return FLOW_END;
}

/* Many tombstones, all of them settled: ask the arranged set. */
static FlowStatus
ask_arranged(Point *p, FlowReader *reader, const FlowTomb *tomb, uint32_t n)
{
	uint64_t seq;

	if (reader->tombs.n == 0)
	{
		FlowStatus st = FLOW_OK;

		for (uint32_t i = 0; i < n && st == FLOW_OK; i++)
			st = flowi_tombs_add(&reader->tombs, &tomb[i]);
		if (st != FLOW_OK)
		{
			flowi_tombs_free(&reader->tombs);
			return st;
		}
	}
	FLOW_TRY(flowi_tombs_newest(&reader->tombs, p->rec->key, p->rec->key_bytes,
								p->rec->ts, &seq));
	p->hidden = p->rec->seq < seq;
	p->by->seq = seq;
	p->by->txn = NULL;
	return FLOW_OK;
}

static FlowStatus
look_at_sst(Point *p, FlowSst *sst)
{
	FlowReaderCache *readers = p->s->db->readers;
	FlowReader *reader;
	const FlowTomb *tomb;
	uint32_t n;
	FlowStatus st = FLOW_OK;

	if (sst->info.ntombs == 0 || sst->info.seq_max <= p->rec->seq ||
		!covers(&sst->info.cover, p->rec))
		return FLOW_OK;
	FLOW_TRY(flowi_readers_acquire(readers, sst, &reader));
	tomb = flowi_sst_tombs(reader->sst, &n);
	if (n > MANY_TOMBS &&
		atomic_load_explicit(&sst->unsettled, memory_order_acquire) == 0)
		st = ask_arranged(p, reader, tomb, n);
	else
		for (uint32_t i = 0; i < n && st == FLOW_OK; i++)
		{
			FlowTomb full = with_txn(&tomb[i], sst);

			st = look_at(p, &full);
		}
	flowi_readers_release(readers, reader);
	return st == FLOW_END ? FLOW_OK : st;
}

static FlowStatus
look_at_ssts(Point *p)
{
	const FlowVersion *v = p->s->pins.version;
	uint32_t first;
	uint32_t n;

	if (v->ntombs == 0)
		return FLOW_OK;
	n = flowi_version_store(v, p->s->spec.store_id, &first);
	for (uint32_t i = first + n; i-- > first && !p->hidden;)
		FLOW_TRY(look_at_sst(p, v->sst[i]));
	return FLOW_OK;
}

FlowStatus
flowi_hide_point(FlowScan *s, const FlowRec *rec, bool *hiddenp, FlowRec *by)
{
	const FlowScanSpec *spec = &s->spec;
	Point p = {.s = s, .rec = rec, .by = by, .kind = FLOW_SOURCE_OWN};
	FlowStatus st = FLOW_OK;

	*hiddenp = false;
	if (spec->own)
		st = flowi_txbuf_each_tomb(spec->own, spec->store_id, spec->own_cid,
								   look_at, &p);
	p.kind = FLOW_SOURCE_MEMTABLE;
	for (uint32_t i = 0; i < s->pins.nmemtables && !p.hidden; i++)
		st = flowi_memtable_each_tomb(s->pins.memtables[i], spec->store_id,
									  look_at, &p);
	p.kind = FLOW_SOURCE_SST;
	if (!p.hidden)
		st = look_at_ssts(&p);
	if (st != FLOW_OK && st != FLOW_END)
		return st;
	*hiddenp = p.hidden;
	return FLOW_OK;
}
