/*-------------------------------------------------------------------------
 * sst_open.c
 *	  Open an SSTable: footer, properties, top index, range tombstones.
 *
 * They stand together at the end of the file: two reads bring all of them.
 * Every byte is checked before it is believed: frames by checksum, then each
 * number by what it must agree with.  Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_reader.h"

#include <inttypes.h>

/* --- footer: where all else is --- */

static FlowStatus
decode_footer(FlowSstReader *r, const uint8_t *f, uint64_t off)
{
	uint32_t version = flowi_get32(f + FOOT_VERSION);

	if (flowi_get64(f + FOOT_MAGIC) != SST_MAGIC)
		return flowi_reader_damaged(r, off, "no SSTable ends here");
	if (version > SST_VERSION)
		return flowi_fail(FLOW_MISMATCH,
						  "file \"%s\" has format version %u at offset "
						  "%" PRIu64 ", newer than %u",
						  r->path, version, off + FOOT_VERSION, SST_VERSION);
	if (flowi_get64(f + FOOT_CHECKSUM) != XXH3_64bits(f, FOOT_CHECKSUM) ||
		version < SST_VERSION_LEAST || flowi_get32(f + FOOT_ZERO) != 0)
		return flowi_reader_damaged(r, off, "wrong footer");
	if (flowi_get64(f + FOOT_ID) != r->info.id ||
		flowi_get32(f + FOOT_STORE) != r->info.store_id)
		return flowi_reader_damaged(r, off, "it is another SSTable");
	r->version = version;
	r->tombs_off = flowi_get64(f + FOOT_TOMBS);
	r->top_off = flowi_get64(f + FOOT_TOP);
	r->properties_off = flowi_get64(f + FOOT_PROPERTIES);
	r->nsegs = flowi_get32(f + FOOT_SEGMENTS);
	if (r->tombs_off > r->top_off || r->top_off > r->properties_off ||
		r->properties_off > off)
		return flowi_reader_damaged(r, off, "wrong footer");
	return FLOW_OK;
}

/* Read the footer, and the frames before it into r->frame. */
static FlowStatus
read_tail(FlowSstReader *r)
{
	uint8_t f[FOOT_BYTES];
	uint64_t size, off;

	FLOW_TRY(r->env->file_size(r->file, &size));
	r->info.file_bytes = size;
	if (size < FOOT_BYTES)
		return flowi_reader_damaged(r, size, "too short");
	off = size - FOOT_BYTES;
	FLOW_TRY(r->env->file_read(r->file, f, sizeof(f), off));
	FLOW_TRY(decode_footer(r, f, off));
	r->frame.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->frame, (size_t) (off - r->tombs_off) + 1));
	FLOW_TRY(r->env->file_read(r->file, r->frame.data,
							   (size_t) (off - r->tombs_off), r->tombs_off));
	r->frame.len = (size_t) (off - r->tombs_off);
	return FLOW_OK;
}

/* Unpack the frame at [off, end) of the tail. */
static FlowStatus
unpack_tail(FlowSstReader *r, uint8_t kind, uint64_t off, uint64_t end,
			uint64_t most, FlowPiece *p)
{
	return flowi_piece_unpack(
		r, p,
		&(FlowFrameSpec){.kind = kind,
						 .off = off,
						 .frame_bytes = (size_t) (end - off),
						 .most = most},
		r->frame.data + (off - r->tombs_off), false, false);
}

/* --- properties --- */

static void
get_info(FlowSstReader *r, const uint8_t *p)
{
	FlowSstInfo *info = &r->info;
	FlowBounds b;

	info->level = flowi_get32(p + PROP_LEVEL);
	info->origin = flowi_get32(p + PROP_ORIGIN);
	info->records = flowi_get64(p + PROP_RECORDS);
	info->tombstones = flowi_get64(p + PROP_TOMBSTONES);
	info->keys = flowi_get64(p + PROP_KEYS);
	info->ntombs = flowi_get64(p + PROP_NTOMBS);
	info->raw_bytes = flowi_get64(p + PROP_RAW_BYTES);
	flowi_bounds_get(p + PROP_BOUNDS, &b);
	info->ts_min = b.ts_min;
	info->ts_max = b.ts_max;
	info->expire_min = b.expire_min;
	info->expire_max = b.expire_max;
	info->seq_min = b.seq_min;
	info->seq_max = b.seq_max;
	info->key_min_bytes = flowi_get32(p + PROP_KEY_MIN_BYTES);
	info->key_max_bytes = flowi_get32(p + PROP_KEY_MAX_BYTES);
	info->key_min = p + PROP_BYTES;
	info->key_max = info->key_min + info->key_min_bytes;
	info->cover =
		(FlowRect){.key_lo = info->key_max + info->key_max_bytes,
				   .key_lo_bytes = flowi_get32(p + PROP_COVER_LO_BYTES),
				   .ts_lo = (int64_t) flowi_get64(p + PROP_COVER_TS_LO),
				   .ts_hi = (int64_t) flowi_get64(p + PROP_COVER_TS_HI)};
	if (flowi_get32(p + PROP_COVER_HI_BYTES) != OPEN_KEY)
	{
		info->cover.key_hi = info->cover.key_lo + info->cover.key_lo_bytes;
		info->cover.key_hi_bytes = flowi_get32(p + PROP_COVER_HI_BYTES);
	}
}

/* Are the bounds such as so many records, or none, have? */
static bool
sane_bounds(const FlowSstInfo *info)
{
	if (info->seq_min > info->seq_max || info->tombstones > info->records ||
		info->keys > info->records || info->records + info->ntombs == 0)
		return false;
	if (info->records == 0)
		return info->ts_min == INT64_MAX && info->ts_max == INT64_MIN &&
			   info->expire_min == INT64_MAX && info->expire_max == INT64_MIN &&
			   info->key_min_bytes == 0 && info->key_max_bytes == 0;
	return info->ts_min <= info->ts_max &&
		   info->expire_min <= info->expire_max && info->keys > 0;
}

static FlowStatus
decode_properties(FlowSstReader *r, uint64_t end)
{
	FlowSstInfo *info = &r->info;
	const uint8_t *p;

	FLOW_TRY(unpack_tail(r, KIND_PROPERTIES, r->properties_off, end,
						 PROP_BYTES + 4 * (uint64_t) FLOW_MAX_KEY,
						 &r->properties));
	p = r->properties.data;
	if (r->properties.bytes < PROP_BYTES)
		return flowi_reader_damaged(r, r->properties_off, "wrong properties");
	get_info(r, p);
	r->nblocks = flowi_get64(p + PROP_BLOCKS);
	if (flowi_get64(p + PROP_ID) != info->id ||
		flowi_get32(p + PROP_STORE) != info->store_id ||
		flowi_get32(p + PROP_SEGMENTS) != r->nsegs || !sane_bounds(info) ||
		info->key_min_bytes > FLOW_MAX_KEY ||
		info->key_max_bytes > FLOW_MAX_KEY ||
		info->cover.key_lo_bytes > FLOW_MAX_KEY ||
		info->cover.key_hi_bytes > FLOW_MAX_KEY ||
		r->properties.bytes !=
			PROP_BYTES + (size_t) info->key_min_bytes + info->key_max_bytes +
				info->cover.key_lo_bytes + info->cover.key_hi_bytes)
		return flowi_reader_damaged(r, r->properties_off, "wrong properties");
	return FLOW_OK;
}

/* --- top index --- */

static bool
get_segment(const FlowSstReader *r, uint32_t i, FlowSegment *s)
{
	const uint8_t *p = r->top.data + (size_t) i * TOP_BYTES;
	const uint8_t *keys = r->top.data + (size_t) r->nsegs * TOP_BYTES;
	size_t keys_bytes = r->top.bytes - (size_t) r->nsegs * TOP_BYTES;
	FlowSpan *span = &s->span;

	uint32_t flags = flowi_get32(p + TOP_FLAGS);

	s->marked = r->version >= SST_VERSION_MARKED;
	s->off = flowi_get64(p + TOP_OFF);
	s->block_bytes = flowi_get32(p + TOP_BLOCK_BYTES);
	s->filter_bytes = flowi_get32(p + TOP_FILTER_BYTES);
	s->leaf_bytes = flowi_get32(p + TOP_LEAF_BYTES);
	s->nblocks = flowi_get32(p + TOP_BLOCKS);
	s->rows = flowi_get64(p + TOP_ROWS);
	span->first_bytes = flowi_get16(p + TOP_FIRST_BYTES);
	span->last_bytes = flowi_get16(p + TOP_LAST_BYTES);
	span->first_ts = (int64_t) flowi_get64(p + TOP_FIRST_TS);
	span->last_ts = (int64_t) flowi_get64(p + TOP_LAST_TS);
	span->ts_min = (int64_t) flowi_get64(p + TOP_BOUNDS + BOUNDS_TS_MIN);
	span->ts_max = (int64_t) flowi_get64(p + TOP_BOUNDS + BOUNDS_TS_MAX);
	span->expire_min =
		(int64_t) flowi_get64(p + TOP_BOUNDS + BOUNDS_EXPIRE_MIN);
	span->plain = flags == TOP_PLAIN;
	return s->nblocks > 0 && s->nblocks <= s->block_bytes / FRAME_BYTES &&
		   flags <= (s->marked ? TOP_PLAIN : 0) &&
		   flowi_index_key(keys, keys_bytes, flowi_get32(p + TOP_FIRST_KEY),
						   span->first_bytes, &span->first_key) &&
		   flowi_index_key(keys, keys_bytes, flowi_get32(p + TOP_LAST_KEY),
						   span->last_bytes, &span->last_key);
}

static uint64_t
segment_end(const FlowSegment *s)
{
	return s->off + s->block_bytes + s->filter_bytes + s->leaf_bytes;
}

/* Do the segments add up to what the properties say? */
static bool
matches_properties(const FlowSstReader *r)
{
	const FlowSstInfo *info = &r->info;
	const FlowSpan *first = &r->segs[0].span;
	const FlowSpan *last = &r->segs[r->nsegs - 1].span;
	uint64_t blocks = 0;
	uint64_t rows = 0;
	int64_t ts_min = INT64_MAX;
	int64_t ts_max = INT64_MIN;

	for (uint32_t i = 0; i < r->nsegs; i++)
	{
		const FlowSegment *s = &r->segs[i];

		blocks += s->nblocks;
		rows += s->rows;
		ts_min = FLOW_MIN(ts_min, s->span.ts_min);
		ts_max = FLOW_MAX(ts_max, s->span.ts_max);
	}
	return blocks == r->nblocks && rows == info->records &&
		   ts_min == info->ts_min && ts_max == info->ts_max &&
		   segment_end(&r->segs[r->nsegs - 1]) == r->tombs_off &&
		   flowi_key_cmp(first->first_key, first->first_bytes, info->key_min,
						 info->key_min_bytes) == 0 &&
		   flowi_key_cmp(last->last_key, last->last_bytes, info->key_max,
						 info->key_max_bytes) == 0;
}

static FlowStatus
decode_top(FlowSstReader *r)
{
	uint64_t end = 0;

	if (r->top_off == r->properties_off)
	{
		if (r->nsegs != 0 || r->nblocks != 0 || r->info.records != 0 ||
			r->tombs_off != 0)
			return flowi_reader_damaged(r, r->top_off, "no index");
		return FLOW_OK;
	}
	FLOW_TRY(unpack_tail(r, KIND_TOP, r->top_off, r->properties_off,
						 r->nsegs * (TOP_BYTES + 2 * (uint64_t) FLOW_MAX_KEY),
						 &r->top));
	if (r->nsegs == 0 || r->nsegs > r->top.bytes / TOP_BYTES)
		return flowi_reader_damaged(r, r->top_off, "wrong index");
	r->segs = r->env->alloc(r->env, r->nsegs * sizeof(*r->segs));
	if (r->segs == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: index of file \"%s\"",
						  r->path);
	memset(r->segs, 0, r->nsegs * sizeof(*r->segs));
	for (uint32_t i = 0; i < r->nsegs; i++)
	{
		FlowSegment *s = &r->segs[i];

		if (!get_segment(r, i, s) || s->off != end ||
			!flowi_span_ordered(&s->span, i ? &s[-1].span : NULL))
			return flowi_reader_damaged(r, r->top_off, "wrong index entry");
		end = segment_end(s);
	}
	if (!matches_properties(r))
		return flowi_reader_damaged(r, r->top_off,
									"index and properties disagree");
	return FLOW_OK;
}

/* --- range tombstones --- */

/* Decode one at *pp; false when it is cut. */
static bool
get_tomb(const uint8_t **pp, const uint8_t *end, FlowTomb *t)
{
	const uint8_t *p = *pp;
	uint32_t lo, hi;

	if (end - p < TOMB_BYTES)
		return false;
	lo = flowi_get32(p + TOMB_LO_BYTES);
	hi = flowi_get32(p + TOMB_HI_BYTES);
	*t = (FlowTomb){.seq = flowi_get64(p + TOMB_SEQ),
					.rect = {.key_lo = p + TOMB_BYTES,
							 .key_lo_bytes = lo,
							 .ts_lo = (int64_t) flowi_get64(p + TOMB_TS_LO),
							 .ts_hi = (int64_t) flowi_get64(p + TOMB_TS_HI)}};
	if (lo > FLOW_MAX_KEY || (hi > FLOW_MAX_KEY && hi != OPEN_KEY) ||
		(size_t) (end - p) - TOMB_BYTES < lo + (hi == OPEN_KEY ? 0 : hi))
		return false;
	p += TOMB_BYTES + lo;
	if (hi != OPEN_KEY)
	{
		t->rect.key_hi = p;
		t->rect.key_hi_bytes = hi;
		p += hi;
	}
	*pp = p;
	return true;
}

static FlowStatus
decode_tombs(FlowSstReader *r)
{
	const FlowSstInfo *info = &r->info;
	const uint8_t *p, *end;

	if (r->tombs_off == r->top_off)
	{
		if (info->ntombs != 0)
			return flowi_reader_damaged(r, r->tombs_off, "no tombstones");
		return FLOW_OK;
	}
	FLOW_TRY(unpack_tail(r, KIND_TOMBS, r->tombs_off, r->top_off,
						 FLOW_BLOCK_MAX_BYTES, &r->tomb_bytes));
	p = r->tomb_bytes.data;
	end = p + r->tomb_bytes.bytes;
	if (info->ntombs == 0 || info->ntombs > r->tomb_bytes.bytes / TOMB_BYTES)
		return flowi_reader_damaged(r, r->tombs_off, "wrong tombstones");
	r->tombs = r->env->alloc(r->env, info->ntombs * sizeof(*r->tombs));
	if (r->tombs == NULL)
		return flowi_fail(FLOW_NOMEM,
						  "out of memory: tombstones of file \"%s\"", r->path);
	for (uint64_t i = 0; i < info->ntombs; i++)
	{
		FlowTomb *t = &r->tombs[i];

		if (!get_tomb(&p, end, t) || t->seq < info->seq_min ||
			t->seq > info->seq_max || (i > 0 && t->seq > t[-1].seq))
			return flowi_reader_damaged(r, r->tombs_off, "wrong tombstone");
	}
	if (p != end)
		return flowi_reader_damaged(r, r->tombs_off, "wrong tombstones");
	return FLOW_OK;
}

/* --- open and close --- */

FlowStatus
flowi_sst_open(FlowEnv *env, const char *path, uint64_t space, uint64_t id,
			   uint32_t store_id, FlowSstReader **rp)
{
	FlowSstReader *r;
	size_t path_bytes = strlen(path) + 1;
	FlowStatus st;

	*rp = NULL;
	r = env->alloc(env, sizeof(*r) + path_bytes);
	if (r == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(r, 0, sizeof(*r));
	r->env = env;
	r->path = memcpy(r + 1, path, path_bytes);
	r->space = space;
	r->info.id = id;
	r->info.store_id = store_id;
	r->filter_seg = r->asked_seg = FLOW_NO_SEGMENT;
	flowi_buf_init(&r->frame, env);
	flowi_buf_init(&r->small_filters, env);
	flowi_codec_init(&r->own_codec, env);
	r->codec = &r->own_codec;
	r->index_bytes = &r->own_index_bytes;
	st = env->file_open(env, path, FLOW_O_READ, &r->file);
	if (st == FLOW_NOTFOUND)
		st = flowi_fail(FLOW_CORRUPT, "SSTable \"%s\" is missing", path);
	if (st != FLOW_OK)
		goto out;
	FLOW_GOTO(read_tail(r));
	FLOW_GOTO(decode_properties(r, r->tombs_off + r->frame.len));
	FLOW_GOTO(decode_top(r));
	FLOW_GOTO(decode_tombs(r));
	flowi_buf_free(&r->frame);
	*rp = r;
	return FLOW_OK;
out:
	flowi_sst_close(r);
	return st;
}

void
flowi_sst_close(FlowSstReader *r)
{
	if (r == NULL)
		return;
	r->env->file_close(r->file);
	flowi_sst_free_points(r);
	r->env->free(r->env, r->segs);
	r->env->free(r->env, r->tombs);
	flowi_piece_free(r, &r->top);
	flowi_piece_free(r, &r->properties);
	flowi_piece_free(r, &r->tomb_bytes);
	flowi_piece_free(r, &r->filter);
	flowi_codec_free(&r->own_codec);
	flowi_buf_free(&r->frame);
	flowi_buf_free(&r->small_filters);
	r->env->free(r->env, r);
}

void
flowi_sst_share(FlowSstReader *r, FlowSstShared *shared)
{
	FLOW_ASSERT(r->own_index_bytes == 0);
	flowi_codec_free(&r->own_codec);
	r->codec = &shared->codec;
	r->index_bytes = &shared->index_bytes;
}

const FlowSstInfo *
flowi_sst_info(const FlowSstReader *r)
{
	return &r->info;
}

const FlowTomb *
flowi_sst_tombs(const FlowSstReader *r, uint32_t *np)
{
	*np = (uint32_t) r->info.ntombs;
	return r->tombs;
}
