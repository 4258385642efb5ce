/*-------------------------------------------------------------------------
 * sst_write.c
 *	  Write an immutable SSTable in one pass: blocks and segments.
 *
 * Frames are gathered in a buffer and go to the file in big pieces.  When
 * enough blocks have come together their filter and their index leaf follow
 * them, and one entry of the top index is what is remembered of the segment:
 * so memory grows by a segment's entry, not by blocks or rows.
 *
 * Nothing of the file counts before flowi_sst_finish has synced it, so a
 * failure needs no clean-up here: the caller throws the file away.
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_writer.h"

#define WRITE_BYTES (256u * 1024u)

/*
 * A block of columns is larger than one of rows, since each column is encoded
 * on its own, but what is decoded for one row grows with it.
 */
#define COLUMNS_TIMES 16u
#define COLUMNS_MAX_BYTES (1u << 20) /* or block_bytes, if that is more */
#define COLUMNS_ROWS 4096u
#define COLUMNS_RUNS 512u /* a lookup looks at all keys once */

/* A packed block of such a part of the raw one is not compared with what a
 * codec would make of it; so many blocks in vain, doubled each, at most. */
#define PACKED_SHARE 6u
#define PACK_VAIN_MAX 6u

/* So much is synced at a time, and not all at the end: the last sync, in
 * which nobody can interrupt, then takes no longer than any other. */
#define SYNC_BYTES (16u << 20)

static FlowStatus
set_buf(FlowBuf *b, const void *p, size_t n)
{
	b->len = 0;
	return flowi_buf_append(b, p, n);
}

static void
reset_segment(FlowSstWriter *w)
{
	w->seg_off = flowi_writer_end(w);
	w->seg_rows = 0;
	w->seg_bounds = FLOW_BOUNDS_EMPTY;
	w->seg_plain = true;
	w->leaf.entries.len = w->leaf.keys.len = 0;
	w->leaf.last = w->leaf.n = 0;
	w->hashes.len = 0;
}

static void
init_buffers(FlowSstWriter *w)
{
	FlowBuf *bufs[] = {&w->leaf.entries, &w->leaf.keys, &w->hashes,
					   &w->filter,		 &w->key,		&w->key_min,
					   &w->tombs,		 &w->tomb_keys, &w->out,
					   &w->top.entries,	 &w->top.keys};

	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		flowi_buf_init(bufs[i], w->env);
	flowi_block_builder_init(&w->block, w->env);
	flowi_codec_init(&w->codec, w->env);
}

FlowStatus
flowi_sst_create(FlowEnv *env, const char *path, const FlowSstSpec *spec,
				 FlowSstWriter **wp)
{
	FlowSstWriter *w;
	size_t path_bytes = strlen(path) + 1;
	FlowStatus st;

	*wp = NULL;
	w = env->alloc(env, sizeof(*w) + path_bytes);
	if (w == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(w, 0, sizeof(*w));
	w->env = env;
	w->path = memcpy(w + 1, path, path_bytes);
	w->spec = *spec;
	w->spec.block_bytes = FLOW_MIN(spec->block_bytes, FLOW_BLOCK_MAX_TARGET);
	if (w->spec.segment_blocks == 0)
		w->spec.segment_blocks = SEGMENT_BLOCKS;
	init_buffers(w);
	if (spec->shape)
		flowi_block_builder_shape(&w->block, spec->shape, &w->codec,
								  spec->compression, spec->zstd_level);
	w->columns_bytes = (uint64_t) w->spec.block_bytes * COLUMNS_TIMES;
	w->columns_bytes = FLOW_MIN(w->columns_bytes, COLUMNS_MAX_BYTES);
	w->columns_bytes = FLOW_MAX(w->columns_bytes, w->spec.block_bytes);
	w->block_bounds = w->bounds = FLOW_BOUNDS_EMPTY;
	w->block_plain = true;
	reset_segment(w);
	w->info = (FlowSstInfo){.id = spec->id,
							.store_id = spec->store_id,
							.level = spec->level,
							.origin = spec->origin};
	FLOW_GOTO(flowi_buf_reserve(&w->out, WRITE_BYTES));
	FLOW_GOTO(env->file_open(env, path, FLOW_O_CREATE, &w->file));
	*wp = w;
	return FLOW_OK;
out:
	flowi_sst_writer_free(w);
	return st;
}

void
flowi_sst_writer_free(FlowSstWriter *w)
{
	if (w == NULL)
		return;
	w->env->file_close(w->file);
	flowi_block_builder_free(&w->block);
	flowi_codec_free(&w->codec);
	flowi_buf_free(&w->leaf.entries);
	flowi_buf_free(&w->leaf.keys);
	flowi_buf_free(&w->hashes);
	flowi_buf_free(&w->filter);
	flowi_buf_free(&w->key);
	flowi_buf_free(&w->key_min);
	flowi_buf_free(&w->tombs);
	flowi_buf_free(&w->tomb_keys);
	flowi_buf_free(&w->out);
	flowi_buf_free(&w->top.entries);
	flowi_buf_free(&w->top.keys);
	w->env->free(w->env, w);
}

uint64_t
flowi_sst_written(const FlowSstWriter *w)
{
	return flowi_writer_end(w);
}

/* --- frames --- */

FlowStatus
flowi_writer_flush(FlowSstWriter *w)
{
	FLOW_TRY(w->env->file_write(w->file, w->out.data, w->out.len, w->written));
	w->written += w->out.len;
	w->out.len = 0;
	if (w->written - w->synced < SYNC_BYTES)
		return FLOW_OK;
	w->synced = w->written;
	return w->env->file_sync(w->file);
}

/* The frame whose stored bytes stand behind its header at the end of w->out;
 * there it is counted and, in big pieces, written. */
static FlowStatus
end_frame(FlowSstWriter *w, uint8_t kind, uint8_t codec, size_t raw_bytes,
		  size_t stored, size_t *frame_bytesp)
{
	uint64_t off = flowi_writer_end(w);
	uint8_t *frame = w->out.data + w->out.len;

	flowi_put32(frame + FRAME_RAW, (uint32_t) raw_bytes);
	flowi_put32(frame + FRAME_STORED, (uint32_t) stored);
	frame[FRAME_KIND] = kind;
	frame[FRAME_CODEC] = codec;
	frame[FRAME_ZERO] = frame[FRAME_ZERO + 1] = 0;
	flowi_put64(frame + FRAME_CHECKSUM,
				flowi_frame_checksum(frame, stored, w->spec.id, off));
	*frame_bytesp = FRAME_BYTES + stored;
	w->out.len += *frame_bytesp;
	return w->out.len >= WRITE_BYTES ? flowi_writer_flush(w) : FLOW_OK;
}

FlowStatus
flowi_writer_frame(FlowSstWriter *w, uint8_t kind, FlowCompression how,
				   const FlowBuf *raw, size_t *frame_bytesp)
{
	size_t n = raw->len;
	size_t stored;
	uint8_t codec;
	uint8_t *bytes;

	if (n > FLOW_BLOCK_MAX_BYTES)
		return flowi_fail(FLOW_INVALID, "index of file \"%s\" is too large",
						  w->path);
	FLOW_TRY(flowi_buf_reserve(&w->out, FRAME_BYTES + n));
	bytes = w->out.data + w->out.len + FRAME_BYTES;
	FLOW_TRY(flowi_codec_compress(&w->codec, how, w->spec.zstd_level, raw->data,
								  n, bytes, n - n / 16, &codec, &stored));
	if (codec == FLOW_CODEC_NONE)
	{
		stored = n;
		memcpy(bytes, raw->data, n);
	}
	return end_frame(w, kind, codec, n, stored, frame_bytesp);
}

/*
 * pack_block
 *		The block of rows that is finished, by columns; *bytesp 0: it does not
 *		become much smaller by that.
 *
 * That takes as long as zstd, three times as long as lz4: files of zstd have
 * it.  Values that have nothing in common are not looked at each time: after
 * each that was in vain twice as many blocks pass as after the one before.
 */
static FlowStatus
pack_block(FlowSstWriter *w, const uint8_t **packedp, size_t *bytesp)
{
	const FlowBuf *raw = &w->block.raw;

	*bytesp = 0;
	if (w->spec.compression != FLOW_COMPRESS_ZSTD ||
		raw->len > FLOW_PACKED_MAX_BYTES)
		return FLOW_OK;
	if (w->pack_pause > 0)
	{
		w->pack_pause--;
		return FLOW_OK;
	}
	FLOW_TRY(flowi_codec_pack_block(&w->codec, w->spec.compression,
									w->spec.zstd_level, raw->data, raw->len,
									packedp, bytesp));
	if (*bytesp > 0 && *bytesp <= raw->len / 2)
	{
		w->pack_vain = 0;
		return FLOW_OK;
	}
	*bytesp = 0;
	w->pack_pause = (1u << w->pack_vain) - 1;
	w->pack_vain = FLOW_MIN(w->pack_vain + 1, PACK_VAIN_MAX);
	return FLOW_OK;
}

/* The frame of a block of rows: packed or compressed, as is smaller. */
static FlowStatus
put_rows(FlowSstWriter *w, size_t *frame_bytesp)
{
	const FlowBuf *raw = &w->block.raw;
	const uint8_t *packed = NULL;
	size_t packed_bytes, stored;
	uint8_t codec = FLOW_CODEC_NONE;
	uint8_t *bytes;

	FLOW_TRY(pack_block(w, &packed, &packed_bytes));
	if (packed_bytes == 0)
		return flowi_writer_frame(w, KIND_BLOCK, w->spec.compression, raw,
								  frame_bytesp);
	FLOW_TRY(flowi_buf_reserve(&w->out, FRAME_BYTES + packed_bytes));
	bytes = w->out.data + w->out.len + FRAME_BYTES;
	if (packed_bytes > raw->len / PACKED_SHARE)
		FLOW_TRY(flowi_codec_compress(&w->codec, w->spec.compression,
									  w->spec.zstd_level, raw->data, raw->len,
									  bytes, packed_bytes - packed_bytes / 16,
									  &codec, &stored));
	if (codec != FLOW_CODEC_NONE)
		return end_frame(w, KIND_BLOCK, codec, raw->len, stored, frame_bytesp);
	memcpy(bytes, packed, packed_bytes);
	return end_frame(w, KIND_BLOCK, FLOW_CODEC_BLOCK, raw->len, packed_bytes,
					 frame_bytesp);
}

/* --- index --- */

/* Where key stands among the keys of t; appended unless it is the last. */
static FlowStatus
put_index_key(FlowIndexTable *t, const uint8_t *key, size_t key_bytes,
			  uint32_t *offp)
{
	size_t last_bytes = t->keys.len - t->last;

	if (last_bytes != key_bytes ||
		(key_bytes > 0 && memcmp(t->keys.data + t->last, key, key_bytes) != 0))
	{
		if (t->keys.len + key_bytes > FLOW_BLOCK_MAX_BYTES)
			return flowi_fail(FLOW_INVALID, "too many keys for an index");
		t->last = (uint32_t) t->keys.len;
		FLOW_TRY(flowi_buf_append(&t->keys, key, key_bytes));
	}
	*offp = t->last;
	return FLOW_OK;
}

/* Enter the block that ended into the leaf. */
static FlowStatus
put_leaf_entry(FlowSstWriter *w, uint64_t off, size_t raw_bytes)
{
	const uint8_t *first = w->block.keys.data;
	uint32_t first_bytes = w->block.first_key_bytes;
	uint32_t first_off, last_off;
	uint8_t e[LEAF_BYTES];

	FLOW_TRY(put_index_key(&w->leaf, first, first_bytes, &first_off));
	FLOW_TRY(put_index_key(&w->leaf, w->key.data, w->key.len, &last_off));
	flowi_put32(e + LEAF_OFF, (uint32_t) (off - w->seg_off));
	flowi_put32(e + LEAF_RAW, (uint32_t) raw_bytes);
	flowi_put32(e + LEAF_ROWS,
				w->block.nrows | (w->block_plain ? LEAF_PLAIN : 0));
	flowi_put32(e + LEAF_FIRST_KEY, first_off);
	flowi_put32(e + LEAF_LAST_KEY, last_off);
	flowi_put16(e + LEAF_FIRST_BYTES, first_bytes);
	flowi_put16(e + LEAF_LAST_BYTES, (uint32_t) w->key.len);
	flowi_put64(e + LEAF_FIRST_TS, (uint64_t) w->block_first_ts);
	flowi_put64(e + LEAF_LAST_TS, (uint64_t) w->last_ts);
	flowi_bounds_put(e + LEAF_BOUNDS, &w->block_bounds);
	w->leaf.n++;
	return flowi_buf_append(&w->leaf.entries, e, sizeof(e));
}

static FlowStatus
put_filter(FlowSstWriter *w, size_t *frame_bytesp)
{
	uint64_t n = w->hashes.len / sizeof(uint64_t);
	uint32_t bits = w->spec.bloom_bits_per_key;
	size_t bytes = flowi_bloom_bytes(n, bits);

	*frame_bytesp = 0;
	if (bits == 0)
		return FLOW_OK;
	w->filter.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->filter, bytes));
	flowi_bloom_build((const uint64_t *) w->hashes.data, n, bits,
					  w->filter.data);
	w->filter.len = bytes;
	return flowi_writer_frame(w, KIND_FILTER, FLOW_COMPRESS_NONE, &w->filter,
							  frame_bytesp);
}

/* Enter the segment that ended into the top index. */
static FlowStatus
put_top_entry(FlowSstWriter *w, uint64_t block_bytes, size_t filter_bytes,
			  size_t leaf_bytes)
{
	uint32_t first_bytes = flowi_get16(w->leaf.entries.data + LEAF_FIRST_BYTES);
	uint32_t first_off, last_off;
	uint8_t e[TOP_BYTES];

	FLOW_TRY(
		put_index_key(&w->top, w->leaf.keys.data, first_bytes, &first_off));
	FLOW_TRY(put_index_key(&w->top, w->key.data, w->key.len, &last_off));
	flowi_put64(e + TOP_OFF, w->seg_off);
	flowi_put32(e + TOP_BLOCK_BYTES, (uint32_t) block_bytes);
	flowi_put32(e + TOP_FILTER_BYTES, (uint32_t) filter_bytes);
	flowi_put32(e + TOP_LEAF_BYTES, (uint32_t) leaf_bytes);
	flowi_put32(e + TOP_BLOCKS, w->leaf.n);
	flowi_put64(e + TOP_ROWS, w->seg_rows);
	flowi_put32(e + TOP_FIRST_KEY, first_off);
	flowi_put32(e + TOP_LAST_KEY, last_off);
	flowi_put16(e + TOP_FIRST_BYTES, first_bytes);
	flowi_put16(e + TOP_LAST_BYTES, (uint32_t) w->key.len);
	flowi_put32(e + TOP_FLAGS, w->seg_plain ? TOP_PLAIN : 0);
	flowi_put64(e + TOP_FIRST_TS, (uint64_t) w->seg_first_ts);
	flowi_put64(e + TOP_LAST_TS, (uint64_t) w->last_ts);
	flowi_bounds_put(e + TOP_BOUNDS, &w->seg_bounds);
	w->top.n++;
	return flowi_buf_append(&w->top.entries, e, sizeof(e));
}

/* --- blocks and segments --- */

/* Write the block that has gathered. */
static FlowStatus
end_block(FlowSstWriter *w)
{
	uint64_t off = flowi_writer_end(w);
	const uint8_t *raw;
	size_t raw_bytes, frame_bytes;

	FLOW_TRY(flowi_block_finish(&w->block, &raw, &raw_bytes));
	/* columns are compressed one by one, as far as that pays */
	if (w->block.as_columns)
		FLOW_TRY(flowi_writer_frame(w, KIND_BLOCK, FLOW_COMPRESS_NONE,
									&w->block.raw, &frame_bytes));
	else
		FLOW_TRY(put_rows(w, &frame_bytes));
	if (w->leaf.n == 0)
		w->seg_first_ts = w->block_first_ts;
	FLOW_TRY(put_leaf_entry(w, off, raw_bytes));
	w->nblocks++;
	w->seg_rows += w->block.nrows;
	flowi_bounds_join(&w->seg_bounds, &w->block_bounds);
	w->block_bounds = FLOW_BOUNDS_EMPTY;
	w->seg_plain &= w->block_plain;
	w->block_plain = true;
	flowi_block_reset(&w->block);
	return w->env->poll(w->env);
}

static bool
segment_full(const FlowSstWriter *w)
{
	return w->leaf.n >= w->spec.segment_blocks ||
		   w->hashes.len / sizeof(uint64_t) >= SEGMENT_KEYS ||
		   flowi_writer_end(w) - w->seg_off >= SEGMENT_BYTES;
}

FlowStatus
flowi_writer_end_segment(FlowSstWriter *w)
{
	uint64_t block_bytes;
	size_t filter_bytes, leaf_bytes;

	if (w->block.nrows > 0)
		FLOW_TRY(end_block(w));
	if (w->leaf.n == 0)
		return FLOW_OK;
	block_bytes = flowi_writer_end(w) - w->seg_off;
	FLOW_TRY(put_filter(w, &filter_bytes));
	/* the first key is looked for at the beginning of leaf.keys: appending
	 * them to the entries leaves them there */
	FLOW_TRY(flowi_buf_append(&w->leaf.entries, w->leaf.keys.data,
							  w->leaf.keys.len));
	FLOW_TRY(flowi_writer_frame(w, KIND_LEAF, FLOW_COMPRESS_NONE,
								&w->leaf.entries, &leaf_bytes));
	FLOW_TRY(put_top_entry(w, block_bytes, filter_bytes, leaf_bytes));
	flowi_bounds_join(&w->bounds, &w->seg_bounds);
	reset_segment(w);
	return FLOW_OK;
}

/* --- adding --- */

/* INVALID unless rec follows the last version; tells how it differs. */
static FlowStatus
check_order(FlowSstWriter *w, const FlowRec *rec, bool *new_keyp,
			bool *new_identityp)
{
	int c = -1;

	*new_keyp = *new_identityp = true;
	if (rec->key_bytes > FLOW_MAX_KEY || rec->value_bytes > FLOW_MAX_VALUE ||
		rec->op > FLOW_DELETE ||
		(rec->op == FLOW_DELETE) != (rec->value == NULL) ||
		(rec->op == FLOW_DELETE && rec->value_bytes != 0))
		return flowi_fail(FLOW_INVALID, "malformed record for file \"%s\"",
						  w->path);
	if (w->info.records == 0)
		return FLOW_OK;
	c = flowi_key_cmp(w->key.data, (uint32_t) w->key.len, rec->key,
					  rec->key_bytes);
	*new_keyp = c != 0;
	if (c == 0)
		c = (w->last_ts > rec->ts) - (w->last_ts < rec->ts);
	*new_identityp = c != 0;
	if (c > 0 || (c == 0 && w->last_seq <= rec->seq))
		return flowi_fail(FLOW_INVALID, "records for file \"%s\" out of order",
						  w->path);
	return FLOW_OK;
}

/* The segment has a key that it did not have. */
static FlowStatus
note_key(FlowSstWriter *w, const FlowRec *rec)
{
	uint64_t hash;

	if (w->spec.bloom_bits_per_key == 0)
		return FLOW_OK;
	hash = flowi_bloom_hash(rec->key, rec->key_bytes);
	return flowi_buf_append(&w->hashes, &hash, sizeof(hash));
}

/* A tombstone has nothing that could come to light until it expires. */
static void
widen_bounds(FlowBounds *b, const FlowRec *rec)
{
	b->ts_min = FLOW_MIN(b->ts_min, rec->ts);
	b->ts_max = FLOW_MAX(b->ts_max, rec->ts);
	if (rec->op != FLOW_DELETE)
	{
		b->expire_min = FLOW_MIN(b->expire_min, rec->expire_at);
		b->expire_max = FLOW_MAX(b->expire_max, rec->expire_at);
	}
	b->seq_min = FLOW_MIN(b->seq_min, rec->seq);
	b->seq_max = FLOW_MAX(b->seq_max, rec->seq);
}

/* Would the block pass its size with rec? */
static bool
block_full(const FlowSstWriter *w, const FlowRec *rec, bool new_key)
{
	const FlowBlockBuilder *b = &w->block;
	uint64_t bytes = b->bytes + (new_key ? rec->key_bytes : 0) +
					 rec->value_bytes + FLOW_BLOCK_ROW_BYTES;

	if (!b->conforms)
		return bytes > w->spec.block_bytes;
	return bytes > w->columns_bytes || b->nrows >= COLUMNS_ROWS ||
		   (new_key && b->nruns >= COLUMNS_RUNS);
}

FlowStatus
flowi_sst_add(FlowSstWriter *w, const FlowRec *rec)
{
	bool new_key, new_identity;

	FLOW_TRY(check_order(w, rec, &new_key, &new_identity));
	if (new_identity && w->block.nrows > 0 && block_full(w, rec, new_key))
	{
		FLOW_TRY(end_block(w));
		if (segment_full(w))
			FLOW_TRY(flowi_writer_end_segment(w));
	}
	if (w->block.nrows == 0)
		w->block_first_ts = rec->ts;
	if (new_key || (w->block.nrows == 0 && w->leaf.n == 0))
		FLOW_TRY(note_key(w, rec));
	FLOW_TRY(flowi_block_add(&w->block, rec, new_key || w->block.nrows == 0));
	if (w->info.records == 0)
		FLOW_TRY(set_buf(&w->key_min, rec->key, rec->key_bytes));
	if (new_key)
		FLOW_TRY(set_buf(&w->key, rec->key, rec->key_bytes));
	widen_bounds(&w->block_bounds, rec);
	w->block_plain &= new_identity && rec->op != FLOW_DELETE;
	w->last_ts = rec->ts;
	w->last_seq = rec->seq;
	w->info.records++;
	w->info.keys += new_key;
	w->info.tombstones += rec->op == FLOW_DELETE;
	w->info.raw_bytes += (uint64_t) rec->key_bytes + rec->value_bytes;
	return FLOW_OK;
}
