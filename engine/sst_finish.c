/*-------------------------------------------------------------------------
 * sst_finish.c
 *	  Write what stands behind the segments of an SSTable: range tombstones,
 *	  top index, properties, footer.
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_writer.h"

/* --- range tombstones --- */

FlowStatus
flowi_sst_add_tomb(FlowSstWriter *w, const FlowTomb *tomb)
{
	const FlowRect *r = &tomb->rect;
	FlowWriterTomb t = {.seq = tomb->seq,
						.ts_lo = r->ts_lo,
						.ts_hi = r->ts_hi,
						.lo_bytes = r->key_lo_bytes,
						.hi_bytes = r->key_hi ? r->key_hi_bytes : OPEN_KEY};

	if (r->key_lo_bytes > FLOW_MAX_KEY ||
		(r->key_hi && r->key_hi_bytes > FLOW_MAX_KEY))
		return flowi_fail(FLOW_INVALID,
						  "malformed range tombstone for file \"%s\"", w->path);
	/* so that pointers to empty keys are none either */
	FLOW_TRY(flowi_buf_reserve(&w->tomb_keys, 1));
	t.lo_off = w->tomb_keys.len;
	FLOW_TRY(flowi_buf_append(&w->tomb_keys, r->key_lo, r->key_lo_bytes));
	t.hi_off = w->tomb_keys.len;
	if (r->key_hi)
		FLOW_TRY(flowi_buf_append(&w->tomb_keys, r->key_hi, r->key_hi_bytes));
	FLOW_TRY(flowi_buf_append(&w->tombs, &t, sizeof(t)));
	w->info.ntombs++;
	return FLOW_OK;
}

static FlowRect
rect_of(const FlowSstWriter *w, const FlowWriterTomb *t)
{
	const uint8_t *keys = w->tomb_keys.data;
	bool open = t->hi_bytes == OPEN_KEY;

	return (FlowRect){.key_lo = keys + t->lo_off,
					  .key_lo_bytes = t->lo_bytes,
					  .key_hi = open ? NULL : keys + t->hi_off,
					  .key_hi_bytes = open ? 0 : t->hi_bytes,
					  .ts_lo = t->ts_lo,
					  .ts_hi = t->ts_hi};
}

/* Newest first; the rest only makes the order certain. */
static int
tomb_cmp(const FlowSstWriter *w, const FlowWriterTomb *a,
		 const FlowWriterTomb *b)
{
	FlowRect ra = rect_of(w, a);
	FlowRect rb = rect_of(w, b);

	if (a->seq != b->seq)
		return a->seq > b->seq ? -1 : 1;
	return flowi_identity_cmp(ra.key_lo, ra.key_lo_bytes, ra.ts_lo, rb.key_lo,
							  rb.key_lo_bytes, rb.ts_lo);
}

static void
sift_down(const FlowSstWriter *w, FlowWriterTomb *t, size_t i, size_t n)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child)
	{
		FlowWriterTomb swap = t[i];

		if (child + 1 < n && tomb_cmp(w, &t[child], &t[child + 1]) < 0)
			child++;
		if (tomb_cmp(w, &t[i], &t[child]) >= 0)
			return;
		t[i] = t[child];
		t[child] = swap;
	}
}

/* Heap sort: in place, and no worse on any input. */
static void
sort_tombs(FlowSstWriter *w)
{
	FlowWriterTomb *t = (FlowWriterTomb *) w->tombs.data;
	size_t n = w->tombs.len / sizeof(*t);

	for (size_t i = n / 2; i-- > 0;)
		sift_down(w, t, i, n);
	while (n > 1)
	{
		FlowWriterTomb last = t[--n];

		t[n] = t[0];
		t[0] = last;
		sift_down(w, t, 0, n);
	}
}

/* Widen cover to r. */
static void
join_rect(FlowRect *cover, const FlowRect *r)
{
	if (flowi_key_cmp(r->key_lo, r->key_lo_bytes, cover->key_lo,
					  cover->key_lo_bytes) < 0)
	{
		cover->key_lo = r->key_lo;
		cover->key_lo_bytes = r->key_lo_bytes;
	}
	if (cover->key_hi &&
		(r->key_hi == NULL ||
		 flowi_key_cmp(r->key_hi, r->key_hi_bytes, cover->key_hi,
					   cover->key_hi_bytes) > 0))
	{
		cover->key_hi = r->key_hi;
		cover->key_hi_bytes = r->key_hi_bytes;
	}
	cover->ts_lo = FLOW_MIN(cover->ts_lo, r->ts_lo);
	cover->ts_hi = FLOW_MAX(cover->ts_hi, r->ts_hi);
}

static FlowStatus
put_tombs(FlowSstWriter *w)
{
	FlowSstInfo *info = &w->info;
	FlowBuf *raw = &w->filter; /* no longer used for filters */
	const FlowWriterTomb *t = (const FlowWriterTomb *) w->tombs.data;
	size_t frame_bytes;

	if (info->ntombs == 0)
		return FLOW_OK;
	sort_tombs(w);
	info->cover = rect_of(w, t);
	raw->len = 0;
	for (uint64_t i = 0; i < info->ntombs; i++, t++)
	{
		FlowRect r = rect_of(w, t);
		uint8_t e[TOMB_BYTES];

		join_rect(&info->cover, &r);
		info->seq_min = FLOW_MIN(info->seq_min, t->seq);
		info->seq_max = FLOW_MAX(info->seq_max, t->seq);
		flowi_put64(e + TOMB_SEQ, t->seq);
		flowi_put64(e + TOMB_TS_LO, (uint64_t) t->ts_lo);
		flowi_put64(e + TOMB_TS_HI, (uint64_t) t->ts_hi);
		flowi_put32(e + TOMB_LO_BYTES, t->lo_bytes);
		flowi_put32(e + TOMB_HI_BYTES, t->hi_bytes);
		FLOW_TRY(flowi_buf_append(raw, e, sizeof(e)));
		FLOW_TRY(flowi_buf_append(raw, r.key_lo, r.key_lo_bytes));
		FLOW_TRY(flowi_buf_append(raw, r.key_hi, r.key_hi_bytes));
	}
	return flowi_writer_frame(w, KIND_TOMBS, FLOW_COMPRESS_LZ4, raw,
							  &frame_bytes);
}

/* --- top index, properties, footer --- */

static FlowStatus
put_top(FlowSstWriter *w)
{
	FlowIndexTable *top = &w->top;
	size_t frame_bytes;

	if (top->n == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_append(&top->entries, top->keys.data, top->keys.len));
	return flowi_writer_frame(w, KIND_TOP, FLOW_COMPRESS_LZ4, &top->entries,
							  &frame_bytes);
}

static FlowStatus
put_properties(FlowSstWriter *w)
{
	const FlowSstInfo *info = &w->info;
	const FlowRect *cover = &info->cover;
	FlowBounds bounds = w->bounds;
	FlowBuf *b = &w->filter; /* no longer used for filters */
	uint8_t p[PROP_BYTES];
	size_t frame_bytes;

	bounds.seq_min = info->seq_min; /* tombstones included */
	bounds.seq_max = info->seq_max;
	flowi_put64(p + PROP_ID, info->id);
	flowi_put32(p + PROP_STORE, info->store_id);
	flowi_put32(p + PROP_LEVEL, info->level);
	flowi_put32(p + PROP_ORIGIN, info->origin);
	flowi_put32(p + PROP_SEGMENTS, w->top.n);
	flowi_put64(p + PROP_BLOCKS, w->nblocks);
	flowi_put64(p + PROP_RECORDS, info->records);
	flowi_put64(p + PROP_TOMBSTONES, info->tombstones);
	flowi_put64(p + PROP_KEYS, info->keys);
	flowi_put64(p + PROP_NTOMBS, info->ntombs);
	flowi_put64(p + PROP_RAW_BYTES, info->raw_bytes);
	flowi_bounds_put(p + PROP_BOUNDS, &bounds);
	flowi_put32(p + PROP_KEY_MIN_BYTES, info->key_min_bytes);
	flowi_put32(p + PROP_KEY_MAX_BYTES, info->key_max_bytes);
	flowi_put64(p + PROP_COVER_TS_LO, (uint64_t) cover->ts_lo);
	flowi_put64(p + PROP_COVER_TS_HI, (uint64_t) cover->ts_hi);
	flowi_put32(p + PROP_COVER_LO_BYTES, cover->key_lo_bytes);
	flowi_put32(p + PROP_COVER_HI_BYTES,
				info->ntombs > 0 && cover->key_hi == NULL
					? OPEN_KEY
					: cover->key_hi_bytes);
	b->len = 0;
	FLOW_TRY(flowi_buf_append(b, p, sizeof(p)));
	FLOW_TRY(flowi_buf_append(b, info->key_min, info->key_min_bytes));
	FLOW_TRY(flowi_buf_append(b, info->key_max, info->key_max_bytes));
	FLOW_TRY(flowi_buf_append(b, cover->key_lo, cover->key_lo_bytes));
	FLOW_TRY(flowi_buf_append(b, cover->key_hi, cover->key_hi_bytes));
	return flowi_writer_frame(w, KIND_PROPERTIES, FLOW_COMPRESS_LZ4, b,
							  &frame_bytes);
}

static FlowStatus
put_footer(FlowSstWriter *w, uint64_t tombs_off, uint64_t top_off,
		   uint64_t properties_off)
{
	uint8_t f[FOOT_BYTES];

	flowi_put64(f + FOOT_ID, w->spec.id);
	flowi_put64(f + FOOT_TOMBS, tombs_off);
	flowi_put64(f + FOOT_TOP, top_off);
	flowi_put64(f + FOOT_PROPERTIES, properties_off);
	flowi_put32(f + FOOT_STORE, w->spec.store_id);
	flowi_put32(f + FOOT_SEGMENTS, w->top.n);
	flowi_put32(f + FOOT_VERSION, SST_VERSION);
	flowi_put32(f + FOOT_ZERO, 0);
	flowi_put64(f + FOOT_MAGIC, SST_MAGIC);
	flowi_put64(f + FOOT_CHECKSUM, XXH3_64bits(f, FOOT_CHECKSUM));
	return flowi_buf_append(&w->out, f, sizeof(f));
}

/* What the records say of themselves; tombstones come on top. */
static void
set_info(FlowSstWriter *w)
{
	static const uint8_t no_key[1];
	FlowSstInfo *info = &w->info;
	bool any = info->records > 0;

	if (any && info->tombstones == info->records)
		w->bounds.expire_min = w->bounds.expire_max = INT64_MIN;
	info->ts_min = w->bounds.ts_min;
	info->ts_max = w->bounds.ts_max;
	info->expire_min = w->bounds.expire_min;
	info->expire_max = w->bounds.expire_max;
	info->seq_min = w->bounds.seq_min;
	info->seq_max = w->bounds.seq_max;
	info->key_min = any && w->key_min.data ? w->key_min.data : no_key;
	info->key_min_bytes = (uint32_t) w->key_min.len;
	info->key_max = any && w->key.data ? w->key.data : no_key;
	info->key_max_bytes = (uint32_t) w->key.len;
}

FlowStatus
flowi_sst_finish(FlowSstWriter *w, FlowSstInfo *info)
{
	uint64_t tombs_off, top_off, properties_off;

	if (w->info.records == 0 && w->info.ntombs == 0)
		return flowi_fail(FLOW_INVALID, "nothing for file \"%s\"", w->path);
	FLOW_TRY(flowi_writer_end_segment(w));
	set_info(w);
	tombs_off = flowi_writer_end(w);
	FLOW_TRY(put_tombs(w));
	top_off = flowi_writer_end(w);
	FLOW_TRY(put_top(w));
	properties_off = flowi_writer_end(w);
	FLOW_TRY(put_properties(w));
	FLOW_TRY(put_footer(w, tombs_off, top_off, properties_off));
	FLOW_TRY(flowi_writer_flush(w));
	FLOW_TRY(FLOW_POINT(w->env, "sst-before-sync"));
	FLOW_TRY(w->env->file_sync(w->file));
	w->info.file_bytes = w->written;
	*info = w->info;
	return FLOW_OK;
}
