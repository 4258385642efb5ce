/*-------------------------------------------------------------------------
 * sst_write.c
 *	  Write an immutable SSTable in one pass.
 *
 * Frames are gathered in a buffer and go to the file in big pieces; the
 * index grows in memory beside it.  Nothing of the file counts before
 * flowi_sst_finish has synced it, so a failure needs no clean-up here: the
 * caller throws the file away.
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_format.h"

#include <lz4.h>

#define WRITE_BYTES (256u * 1024u)

/* What both a block and the whole file know of their rows. */
typedef struct Bounds
{
	int64_t ts_min, ts_max;
	int64_t expire_min, expire_max;
	uint64_t seq_min, seq_max;
} Bounds;

static const Bounds empty_bounds = {
	.ts_min = INT64_MAX,
	.ts_max = INT64_MIN,
	.expire_min = INT64_MAX,
	.expire_max = INT64_MIN,
	.seq_min = UINT64_MAX,
	.seq_max = 0,
};

/* Private to one process; made by flowi_sst_create. */
struct FlowSstWriter
{
	FlowEnv *env;
	FlowFile *file;
	char *path;
	uint64_t id;
	uint32_t store_id;
	uint32_t block_bytes;

	FlowBlockBuilder block;
	Bounds bounds; /* of the block */
	int64_t first_ts;

	FlowBuf key;	   /* key of the last version added */
	FlowBuf key_min;   /* of the first one */
	FlowBuf index_key; /* last key put into the index */
	int64_t last_ts;
	uint64_t last_seq;

	FlowBuf out;	  /* frames on their way to the file */
	uint64_t written; /* file bytes before out */
	FlowBuf index;
	uint32_t nblocks;
	FlowSstInfo info; /* sums so far; its bounds are those of done blocks */
};

static FlowStatus
set_buf(FlowBuf *b, const void *p, size_t n)
{
	b->len = 0;
	return flowi_buf_append(b, p, n);
}

FlowStatus
flowi_sst_create(FlowEnv *env, const char *path, uint64_t id, uint32_t store_id,
				 uint32_t block_bytes, FlowSstWriter **wp)
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
	w->id = id;
	w->store_id = store_id;
	w->block_bytes = FLOW_MIN(block_bytes, FLOW_BLOCK_MAX_TARGET);
	flowi_block_builder_init(&w->block, env);
	flowi_buf_init(&w->key, env);
	flowi_buf_init(&w->key_min, env);
	flowi_buf_init(&w->index_key, env);
	flowi_buf_init(&w->out, env);
	flowi_buf_init(&w->index, env);
	w->bounds = empty_bounds;
	w->info = (FlowSstInfo){
		.id = id,
		.store_id = store_id,
		.ts_min = empty_bounds.ts_min,
		.ts_max = empty_bounds.ts_max,
		.expire_min = empty_bounds.expire_min,
		.expire_max = empty_bounds.expire_max,
		.seq_min = empty_bounds.seq_min,
		.seq_max = empty_bounds.seq_max,
	};
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
	flowi_buf_free(&w->key);
	flowi_buf_free(&w->key_min);
	flowi_buf_free(&w->index_key);
	flowi_buf_free(&w->out);
	flowi_buf_free(&w->index);
	w->env->free(w->env, w);
}

/* --- frames --- */

static FlowStatus
write_out(FlowSstWriter *w)
{
	FLOW_TRY(w->env->file_write(w->file, w->out.data, w->out.len, w->written));
	w->written += w->out.len;
	w->out.len = 0;
	return FLOW_OK;
}

/* Append raw as one frame, compressed where that saves a sixteenth. */
static FlowStatus
put_frame(FlowSstWriter *w, uint8_t kind, const uint8_t *raw, size_t raw_bytes,
		  size_t *frame_bytesp)
{
	uint64_t off = w->written + w->out.len;
	size_t most = raw_bytes - raw_bytes / 16;
	uint8_t codec = CODEC_LZ4;
	size_t stored;
	uint8_t *frame;

	if (raw_bytes > FLOW_BLOCK_MAX_BYTES)
		return flowi_fail(FLOW_INVALID, "index of file \"%s\" is too large",
						  w->path);
	FLOW_TRY(flowi_buf_reserve(&w->out, FRAME_BYTES + raw_bytes));
	frame = w->out.data + w->out.len;
	stored = (size_t) LZ4_compress_default((const char *) raw,
										   (char *) frame + FRAME_BYTES,
										   (int) raw_bytes, (int) most);
	if (stored == 0) /* would not fit into most bytes */
	{
		codec = CODEC_NONE;
		stored = raw_bytes;
		memcpy(frame + FRAME_BYTES, raw, raw_bytes);
	}
	flowi_put32(frame + FRAME_RAW, (uint32_t) raw_bytes);
	flowi_put32(frame + FRAME_STORED, (uint32_t) stored);
	frame[FRAME_KIND] = kind;
	frame[FRAME_CODEC] = codec;
	frame[FRAME_ZERO] = frame[FRAME_ZERO + 1] = 0;
	flowi_put64(frame + FRAME_CHECKSUM,
				flowi_frame_checksum(frame, stored, w->id, off));
	*frame_bytesp = FRAME_BYTES + stored;
	w->out.len += *frame_bytesp;
	return w->out.len >= WRITE_BYTES ? write_out(w) : FLOW_OK;
}

/* --- index --- */

static FlowStatus
put_index_key(FlowSstWriter *w, const uint8_t *key, size_t key_bytes,
			  bool first)
{
	if (!first && flowi_key_cmp(w->index_key.data, (uint32_t) w->index_key.len,
								key, (uint32_t) key_bytes) == 0)
		return flowi_buf_varint(&w->index, 0);
	FLOW_TRY(flowi_buf_varint(&w->index, key_bytes + 1));
	FLOW_TRY(flowi_buf_append(&w->index, key, key_bytes));
	return set_buf(&w->index_key, key, key_bytes);
}

static FlowStatus
put_index_entry(FlowSstWriter *w, size_t frame_bytes, size_t raw_bytes)
{
	const Bounds *b = &w->bounds;
	uint8_t e[ENTRY_BYTES];

	flowi_put32(e + ENTRY_STORED, (uint32_t) frame_bytes);
	flowi_put32(e + ENTRY_RAW, (uint32_t) raw_bytes);
	flowi_put32(e + ENTRY_ROWS, w->block.nrows);
	flowi_put64(e + ENTRY_FIRST_TS, (uint64_t) w->first_ts);
	flowi_put64(e + ENTRY_LAST_TS, (uint64_t) w->last_ts);
	flowi_put64(e + ENTRY_TS_MIN, (uint64_t) b->ts_min);
	flowi_put64(e + ENTRY_TS_MAX, (uint64_t) b->ts_max);
	flowi_put64(e + ENTRY_EXPIRE_MIN, (uint64_t) b->expire_min);
	flowi_put64(e + ENTRY_EXPIRE_MAX, (uint64_t) b->expire_max);
	flowi_put64(e + ENTRY_SEQ_MIN, b->seq_min);
	flowi_put64(e + ENTRY_SEQ_MAX, b->seq_max);
	FLOW_TRY(flowi_buf_append(&w->index, e, sizeof(e)));
	FLOW_TRY(put_index_key(w, w->block.keys.data, w->block.first_key_bytes,
						   w->nblocks == 0));
	return put_index_key(w, w->key.data, w->key.len, false);
}

/* Write the block that has gathered. */
static FlowStatus
end_block(FlowSstWriter *w)
{
	FlowSstInfo *info = &w->info;
	const uint8_t *raw;
	size_t raw_bytes, frame_bytes;

	FLOW_TRY(flowi_block_finish(&w->block, &raw, &raw_bytes));
	FLOW_TRY(put_frame(w, KIND_BLOCK, raw, raw_bytes, &frame_bytes));
	FLOW_TRY(put_index_entry(w, frame_bytes, raw_bytes));
	w->nblocks++;
	info->ts_min = FLOW_MIN(info->ts_min, w->bounds.ts_min);
	info->ts_max = FLOW_MAX(info->ts_max, w->bounds.ts_max);
	info->expire_min = FLOW_MIN(info->expire_min, w->bounds.expire_min);
	info->expire_max = FLOW_MAX(info->expire_max, w->bounds.expire_max);
	info->seq_min = FLOW_MIN(info->seq_min, w->bounds.seq_min);
	info->seq_max = FLOW_MAX(info->seq_max, w->bounds.seq_max);
	w->bounds = empty_bounds;
	flowi_block_reset(&w->block);
	return w->env->poll(w->env);
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

static void
widen_bounds(Bounds *b, const FlowRec *rec)
{
	b->ts_min = FLOW_MIN(b->ts_min, rec->ts);
	b->ts_max = FLOW_MAX(b->ts_max, rec->ts);
	b->expire_min = FLOW_MIN(b->expire_min, rec->expire_at);
	b->expire_max = FLOW_MAX(b->expire_max, rec->expire_at);
	b->seq_min = FLOW_MIN(b->seq_min, rec->seq);
	b->seq_max = FLOW_MAX(b->seq_max, rec->seq);
}

FlowStatus
flowi_sst_add(FlowSstWriter *w, const FlowRec *rec)
{
	bool new_key, new_identity;

	FLOW_TRY(check_order(w, rec, &new_key, &new_identity));
	if (new_identity && w->block.nrows > 0 &&
		w->block.bytes + (new_key ? rec->key_bytes : 0) + rec->value_bytes +
				FLOW_BLOCK_ROW_BYTES >
			w->block_bytes)
		FLOW_TRY(end_block(w));
	if (w->block.nrows == 0)
		w->first_ts = rec->ts;
	FLOW_TRY(flowi_block_add(&w->block, rec, new_key || w->block.nrows == 0));
	if (w->info.records == 0)
		FLOW_TRY(set_buf(&w->key_min, rec->key, rec->key_bytes));
	if (new_key)
		FLOW_TRY(set_buf(&w->key, rec->key, rec->key_bytes));
	widen_bounds(&w->bounds, rec);
	w->last_ts = rec->ts;
	w->last_seq = rec->seq;
	w->info.records++;
	w->info.tombstones += rec->op == FLOW_DELETE;
	w->info.raw_bytes += (uint64_t) rec->key_bytes + rec->value_bytes;
	return FLOW_OK;
}

/* --- finishing --- */

static FlowStatus
put_properties(FlowSstWriter *w, size_t *frame_bytesp)
{
	const FlowSstInfo *info = &w->info;
	FlowBuf *b = &w->block.scratch; /* no longer used for blocks */
	uint8_t p[PROP_BYTES];

	flowi_put64(p + PROP_ID, w->id);
	flowi_put32(p + PROP_STORE, w->store_id);
	flowi_put32(p + PROP_BLOCKS, w->nblocks);
	flowi_put64(p + PROP_RECORDS, info->records);
	flowi_put64(p + PROP_TOMBSTONES, info->tombstones);
	flowi_put64(p + PROP_RAW_BYTES, info->raw_bytes);
	flowi_put64(p + PROP_TS_MIN, (uint64_t) info->ts_min);
	flowi_put64(p + PROP_TS_MAX, (uint64_t) info->ts_max);
	flowi_put64(p + PROP_EXPIRE_MIN, (uint64_t) info->expire_min);
	flowi_put64(p + PROP_EXPIRE_MAX, (uint64_t) info->expire_max);
	flowi_put64(p + PROP_SEQ_MIN, info->seq_min);
	flowi_put64(p + PROP_SEQ_MAX, info->seq_max);
	flowi_put32(p + PROP_KEY_MIN_BYTES, info->key_min_bytes);
	flowi_put32(p + PROP_KEY_MAX_BYTES, info->key_max_bytes);
	FLOW_TRY(set_buf(b, p, sizeof(p)));
	FLOW_TRY(flowi_buf_append(b, info->key_min, info->key_min_bytes));
	FLOW_TRY(flowi_buf_append(b, info->key_max, info->key_max_bytes));
	return put_frame(w, KIND_PROPERTIES, b->data, b->len, frame_bytesp);
}

static FlowStatus
put_footer(FlowSstWriter *w, uint64_t index_off, uint64_t properties_off)
{
	uint8_t f[FOOT_BYTES];

	flowi_put64(f + FOOT_ID, w->id);
	flowi_put64(f + FOOT_INDEX, index_off);
	flowi_put64(f + FOOT_PROPERTIES, properties_off);
	flowi_put32(f + FOOT_STORE, w->store_id);
	flowi_put32(f + FOOT_BLOCKS, w->nblocks);
	flowi_put32(f + FOOT_VERSION, SST_VERSION);
	flowi_put32(f + FOOT_ZERO, 0);
	flowi_put64(f + FOOT_MAGIC, SST_MAGIC);
	flowi_put64(f + FOOT_CHECKSUM, XXH3_64bits(f, FOOT_CHECKSUM));
	return flowi_buf_append(&w->out, f, sizeof(f));
}

FlowStatus
flowi_sst_finish(FlowSstWriter *w, FlowSstInfo *info)
{
	uint64_t index_off;
	size_t index_bytes, properties_bytes;

	if (w->info.records == 0)
		return flowi_fail(FLOW_INVALID, "no record for file \"%s\"", w->path);
	FLOW_TRY(end_block(w));
	w->info.key_min = w->key_min.data;
	w->info.key_min_bytes = (uint32_t) w->key_min.len;
	w->info.key_max = w->key.data;
	w->info.key_max_bytes = (uint32_t) w->key.len;

	index_off = w->written + w->out.len;
	FLOW_TRY(
		put_frame(w, KIND_INDEX, w->index.data, w->index.len, &index_bytes));
	FLOW_TRY(put_properties(w, &properties_bytes));
	FLOW_TRY(put_footer(w, index_off, index_off + index_bytes));
	FLOW_TRY(write_out(w));
	FLOW_TRY(FLOW_POINT(w->env, "sst-before-sync"));
	FLOW_TRY(w->env->file_sync(w->file));
	w->info.file_bytes = w->written;
	*info = w->info;
	return FLOW_OK;
}
