/*-------------------------------------------------------------------------
 * sample.c
 *	  Where the rows of a scan's bounds lie, roughly.
 *
 * An SSTable's index says it: a segment has some thousands of rows and names
 * its first one, and so does each block in the segment's leaf, which is read
 * where segments are too few.  Memtables: sample_memtable.c.  No block of rows
 * is read.
 *-------------------------------------------------------------------------
 */
#include "sample.h"

#include <stdlib.h>

#include "pins.h"
#include "sst_reader.h"

#define MOST_FILES 256u	   /* more are not looked into, if they are small */
#define SEGMENTS_ENOUGH 4u /* so many a sample: no leaf is read */

/* ---------------------------------------------------------------- collect */

FlowStatus
flowi_samples_add(FlowSamples *s, const uint8_t *key, uint32_t key_bytes,
				  int64_t ts, double rows)
{
	uint32_t kept = s->one_key ? 0 : FLOW_MIN(key_bytes, FLOW_SAMPLE_KEY);
	FlowSample *sample;

	FLOW_TRY(flowi_buf_reserve(&s->list, sizeof(*sample)));
	sample = (FlowSample *) (s->list.data + s->list.len);
	*sample =
		(FlowSample){.key = (const uint8_t *) (uintptr_t) s->keys.len,
					 .key_bytes = kept,
					 .whole = s->one_key || (key != NULL && kept == key_bytes),
					 .ts = ts,
					 .rows = rows};
	if (!sample->whole)
		sample->ts = INT64_MIN;
	FLOW_TRY(flowi_buf_append(&s->keys, key, kept));
	s->list.len += sizeof(*sample);
	s->n++;
	s->rows += rows;
	return FLOW_OK;
}

static int
cmp_samples(const void *pa, const void *pb)
{
	const FlowSample *a = pa;
	const FlowSample *b = pb;
	int c = flowi_key_cmp(a->key, a->key_bytes, b->key, b->key_bytes);

	if (c == 0)
		c = (int) a->whole - (int) b->whole;
	return c ? c : (a->ts > b->ts) - (a->ts < b->ts);
}

/* All samples are there: their keys move no more. */
static void
settle(FlowSamples *s)
{
	s->sample = (FlowSample *) s->list.data;
	for (uint32_t i = 0; i < s->n; i++)
		s->sample[i].key = s->keys.data + (uintptr_t) s->sample[i].key;
	if (s->n > 1)
		qsort(s->sample, s->n, sizeof(FlowSample), cmp_samples);
}

/* --------------------------------------------------------------- SSTables */

static bool
span_meets(const FlowSamples *s, const FlowSpan *span)
{
	return flowi_samples_times_meet(s, span->ts_min, span->ts_max) &&
		   !flowi_spec_before(s->spec, span->last_key, span->last_bytes) &&
		   !flowi_spec_behind(s->spec, span->first_key, span->first_bytes);
}

/* Rows of the span that are likely to be within the bounds. */
static double
rows_within(const FlowSamples *s, const FlowSpan *span, uint64_t rows)
{
	double all = (double) span->ts_max - (double) span->ts_min + 1;
	int64_t lo = FLOW_MAX(span->ts_min, s->ts_lo);
	int64_t hi = FLOW_MIN(span->ts_max, s->ts_hi);
	double n = (double) rows * (((double) hi - (double) lo + 1) / all);

	if (flowi_spec_before(s->spec, span->first_key, span->first_bytes))
		n /= 2;
	if (flowi_spec_behind(s->spec, span->last_key, span->last_bytes))
		n /= 2;
	return n;
}

static FlowStatus
add_span(FlowSamples *s, const FlowSpan *span, uint64_t rows)
{
	double n = rows_within(s, span, rows);

	/* it begins before the bounds: so do its rows within them */
	if (flowi_spec_before(s->spec, span->first_key, span->first_bytes))
		return flowi_samples_add(s, NULL, 0, INT64_MIN, n);
	return flowi_samples_add(s, span->first_key, span->first_bytes,
							 span->first_ts, n);
}

/* The blocks of a segment, step of them a sample. */
static FlowStatus
add_leaf(FlowSamples *s, FlowSstReader *r, uint32_t seg, uint64_t step)
{
	FlowPiece leaf = {0};
	FlowStatus st = flowi_leaf_load(r, seg, !s->spec->no_fill_cache, &leaf);
	FlowSpan span = {0};
	uint64_t rows = 0;
	uint64_t taken = 0;

	for (uint32_t i = 0; i < r->segs[seg].nblocks && st == FLOW_OK; i++)
	{
		FlowLeafEntry e;

		if (!flowi_leaf_entry(&r->segs[seg], &leaf, i, &e))
			st = flowi_reader_damaged(r, r->segs[seg].off, "wrong index leaf");
		else if (span_meets(s, &e.span))
		{
			if (taken == 0)
				span = e.span;
			span.ts_min = FLOW_MIN(span.ts_min, e.span.ts_min);
			span.ts_max = FLOW_MAX(span.ts_max, e.span.ts_max);
			span.last_key = e.span.last_key;
			span.last_bytes = e.span.last_bytes;
			rows += e.nrows;
			taken++;
		}
		if (st == FLOW_OK &&
			(taken >= step || (taken > 0 && i + 1 == r->segs[seg].nblocks)))
		{
			st = add_span(s, &span, rows);
			taken = rows = 0;
		}
	}
	flowi_piece_free(r, &leaf);
	return st;
}

/* The SSTables that are looked into, open. */
typedef struct Files
{
	FlowReader *reader[MOST_FILES];
	uint32_t n;
	uint64_t segs; /* segments and blocks within the bounds */
	uint64_t blocks;
} Files;

static void
count_segments(const FlowSamples *s, const FlowSstReader *r, Files *f)
{
	for (uint32_t i = 0; i < r->nsegs; i++)
		if (span_meets(s, &r->segs[i].span))
		{
			f->segs++;
			f->blocks += r->segs[i].nblocks;
		}
}

static bool
file_meets(const FlowSamples *s, const FlowSstInfo *info)
{
	return info->records > 0 &&
		   flowi_samples_times_meet(s, info->ts_min, info->ts_max) &&
		   !flowi_spec_before(s->spec, info->key_max, info->key_max_bytes) &&
		   !flowi_spec_behind(s->spec, info->key_min, info->key_min_bytes);
}

/* Open what may have rows.  Of very many files small ones are left out: that
 * makes parts a little less equal. */
static FlowStatus
open_files(FlowSamples *s, const FlowVersion *v, Files *f)
{
	uint32_t first;
	uint32_t n = flowi_version_store(v, s->spec->store_id, &first);
	uint32_t meet = 0;
	uint64_t records = 0;

	for (uint32_t i = first; i < first + n; i++)
		if (file_meets(s, &v->sst[i]->info))
		{
			meet++;
			records += v->sst[i]->info.records;
		}
	for (uint32_t i = first; i < first + n && f->n < MOST_FILES; i++)
	{
		const FlowSstInfo *info = &v->sst[i]->info;

		if (!file_meets(s, info) ||
			(meet > MOST_FILES && info->records < records / MOST_FILES))
			continue;
		FLOW_TRY(s->db->env->poll(s->db->env));
		FLOW_TRY(
			flowi_readers_acquire(s->db->readers, v->sst[i], &f->reader[f->n]));
		count_segments(s, f->reader[f->n++]->sst, f);
	}
	return FLOW_OK;
}

static FlowStatus
sample_file(FlowSamples *s, FlowSstReader *r, const Files *f)
{
	bool leaves = f->segs < (uint64_t) s->want * SEGMENTS_ENOUGH;
	uint64_t step = f->blocks / (s->want + 1) + 1;

	for (uint32_t i = 0; i < r->nsegs; i++)
	{
		const FlowSegment *seg = &r->segs[i];

		if (!span_meets(s, &seg->span))
			continue;
		if (!leaves)
			FLOW_TRY(add_span(s, &seg->span, seg->rows));
		else
		{
			FLOW_TRY(s->db->env->poll(s->db->env));
			FLOW_TRY(add_leaf(s, r, i, step));
		}
	}
	return FLOW_OK;
}

static FlowStatus
sample_files(FlowSamples *s, const FlowVersion *v)
{
	FlowEnv *env = s->db->env;
	Files *f = env->alloc(env, sizeof(*f));
	FlowStatus st;

	if (f == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(f, 0, sizeof(*f));
	st = open_files(s, v, f);
	for (uint32_t i = 0; i < f->n && st == FLOW_OK; i++)
		st = sample_file(s, f->reader[i]->sst, f);
	for (uint32_t i = 0; i < f->n; i++)
		flowi_readers_release(s->db->readers, f->reader[i]);
	env->free(env, f);
	return st;
}

/* -------------------------------------------------------------------- all */

/* The times of the spec, both included. */
static void
set_times(FlowSamples *s)
{
	const FlowTimeBound *lo = &s->spec->ts_lo;
	const FlowTimeBound *hi = &s->spec->ts_hi;

	s->ts_lo = lo->kind == FLOW_OPEN ? INT64_MIN : lo->ts;
	s->ts_hi = hi->kind == FLOW_OPEN ? INT64_MAX : hi->ts;
	s->ts_lo += lo->kind == FLOW_EXCLUSIVE && lo->ts < INT64_MAX;
	s->ts_hi -= hi->kind == FLOW_EXCLUSIVE && hi->ts > INT64_MIN;
}

FlowStatus
flowi_samples_take(FlowSamples *s, FlowDb *db, const FlowScanSpec *spec,
				   uint32_t want)
{
	const FlowKeyBound *lo = &spec->key_lo;
	const FlowKeyBound *hi = &spec->key_hi;
	FlowPins pins = {0};
	FlowStatus st;

	*s = (FlowSamples){.db = db, .spec = spec, .want = want};
	flowi_buf_init(&s->keys, db->env);
	flowi_buf_init(&s->list, db->env);
	set_times(s);
	s->one_key = lo->kind == FLOW_INCLUSIVE && hi->kind == FLOW_INCLUSIVE &&
				 flowi_key_cmp(lo->key, (uint32_t) lo->key_bytes, hi->key,
							   (uint32_t) hi->key_bytes) == 0;
	FLOW_TRY(flowi_pins_take(db, &pins));
	st = sample_files(s, pins.version);
	for (uint32_t i = 0; i < pins.nmemtables && st == FLOW_OK; i++)
		st = flowi_samples_memtable(s, pins.memtables[i]);
	flowi_pins_drop(db, &pins);
	flowi_pins_free(db, &pins);
	s->rows = 0;
	if (st != FLOW_OK)
		return st;
	settle(s);
	for (uint32_t i = 0; i < s->n; i++)
		s->rows += s->sample[i].rows;
	return FLOW_OK;
}

void
flowi_samples_free(FlowSamples *s)
{
	flowi_buf_free(&s->keys);
	flowi_buf_free(&s->list);
	s->sample = NULL;
	s->n = 0;
}
