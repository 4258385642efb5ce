/*-------------------------------------------------------------------------
 * sst_read.c
 *	  Open, index, read an SSTable.
 *
 * The index is decoded once, into private memory; its keys stay where the
 * index frame was unpacked.  An iterator holds one decoded block, which it
 * remembers across seeks, and a window of file bytes: when blocks are read
 * one after the other the window grows, so that a scan takes one system call
 * for many blocks and a point read no byte too much.
 *
 * Every byte is checked before it is believed: frames by checksum, then each
 * number by what it must agree with.  Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#include "sst_format.h"

#include <inttypes.h>
#include <lz4.h>

#define AHEAD_BYTES (128u * 1024u) /* widest window, unless a block is wider */
#define NO_BLOCK UINT32_MAX

typedef struct Entry
{
	uint64_t off;
	uint32_t frame_bytes;
	uint32_t raw_bytes;
	uint32_t nrows;
	uint32_t first_key_bytes;
	uint32_t last_key_bytes;
	const uint8_t *first_key;
	const uint8_t *last_key;
	int64_t first_ts;
	int64_t last_ts;
	int64_t ts_min;
	int64_t ts_max;
} Entry;

/* An open file; all constant after open. */
struct FlowSstReader
{
	FlowEnv *env;
	FlowFile *file;
	char *path;
	uint64_t index_off;		 /* end of the blocks */
	uint64_t properties_off; /* end of the index */
	uint32_t nblocks;
	Entry *entries;
	FlowBuf index;		/* raw index; entries point into it */
	FlowBuf properties; /* raw properties; info points into it */
	FlowSstInfo info;
};

static FlowStatus
damaged(const FlowSstReader *r, uint64_t off, const char *what)
{
	return flowi_fail(FLOW_CORRUPT,
					  "file \"%s\" is damaged at offset %" PRIu64 ": %s",
					  r->path, off, what);
}

/* --- frames --- */

/*
 * Check the frame of frame_bytes that was read from off, and give its raw
 * bytes: in place, or unpacked into buf.
 */
static FlowStatus
open_frame(const FlowSstReader *r, uint8_t kind, const uint8_t *frame,
		   size_t frame_bytes, uint64_t off, FlowBuf *buf, const uint8_t **rawp,
		   size_t *raw_bytesp)
{
	size_t stored = frame_bytes - FRAME_BYTES;
	size_t raw;

	if (frame_bytes < FRAME_BYTES ||
		flowi_get64(frame + FRAME_CHECKSUM) !=
			flowi_frame_checksum(frame, stored, r->info.id, off))
		return damaged(r, off, "wrong checksum");
	raw = flowi_get32(frame + FRAME_RAW);
	if (flowi_get32(frame + FRAME_STORED) != stored ||
		frame[FRAME_KIND] != kind || frame[FRAME_ZERO] != 0 ||
		frame[FRAME_ZERO + 1] != 0 || raw > FLOW_BLOCK_MAX_BYTES)
		return damaged(r, off, "malformed frame");
	*raw_bytesp = raw;
	switch (frame[FRAME_CODEC])
	{
		case CODEC_NONE:
			if (raw != stored)
				return damaged(r, off, "malformed frame");
			*rawp = frame + FRAME_BYTES;
			return FLOW_OK;
		case CODEC_LZ4:
			if (raw / LZ4_MAX_RATIO > stored)
				return damaged(r, off, "malformed frame");
			buf->len = 0;
			FLOW_TRY(flowi_buf_reserve(buf, raw + 1));
			if (LZ4_decompress_safe((const char *) frame + FRAME_BYTES,
									(char *) buf->data, (int) stored,
									(int) raw) != (int) raw)
				return damaged(r, off, "cannot be decompressed");
			buf->len = raw;
			*rawp = buf->data;
			return FLOW_OK;
		default:
			return damaged(r, off, "unknown compression");
	}
}

/* Read the frame at [off, end), unpacked, into buf. */
static FlowStatus
read_frame(FlowSstReader *r, uint8_t kind, uint64_t off, uint64_t end,
		   FlowBuf *buf)
{
	FlowBuf frame;
	const uint8_t *raw;
	size_t n = (size_t) (end - off);
	FlowStatus st;

	flowi_buf_init(&frame, r->env);
	FLOW_GOTO(flowi_buf_reserve(&frame, n));
	FLOW_GOTO(r->env->file_read(r->file, frame.data, n, off));
	FLOW_GOTO(open_frame(r, kind, frame.data, n, off, buf, &raw, &n));
	if (raw != buf->data)
		FLOW_GOTO(flowi_buf_append(buf, raw, n));
out:
	flowi_buf_free(&frame);
	return st;
}

/* --- open --- */

/* Footer: where all else is. */
static FlowStatus
read_footer(FlowSstReader *r)
{
	uint8_t f[FOOT_BYTES];
	uint64_t size, off;
	uint32_t version;

	FLOW_TRY(r->env->file_size(r->file, &size));
	r->info.file_bytes = size;
	if (size < FOOT_BYTES)
		return damaged(r, size, "too short");
	off = size - FOOT_BYTES;
	FLOW_TRY(r->env->file_read(r->file, f, sizeof(f), off));
	if (flowi_get64(f + FOOT_MAGIC) != SST_MAGIC)
		return damaged(r, off, "no SSTable ends here");
	version = flowi_get32(f + FOOT_VERSION);
	if (version > SST_VERSION)
		return flowi_fail(FLOW_MISMATCH,
						  "file \"%s\" has format version %u at offset "
						  "%" PRIu64 ", newer than %u",
						  r->path, version, off + FOOT_VERSION, SST_VERSION);
	if (flowi_get64(f + FOOT_CHECKSUM) != XXH3_64bits(f, FOOT_CHECKSUM) ||
		version != SST_VERSION || flowi_get32(f + FOOT_ZERO) != 0)
		return damaged(r, off, "wrong footer");
	if (flowi_get64(f + FOOT_ID) != r->info.id ||
		flowi_get32(f + FOOT_STORE) != r->info.store_id)
		return damaged(r, off, "it is another SSTable");
	r->index_off = flowi_get64(f + FOOT_INDEX);
	r->properties_off = flowi_get64(f + FOOT_PROPERTIES);
	r->nblocks = flowi_get32(f + FOOT_BLOCKS);
	if (r->index_off > r->properties_off || r->properties_off > off)
		return damaged(r, off, "wrong footer");
	FLOW_TRY(
		read_frame(r, KIND_PROPERTIES, r->properties_off, off, &r->properties));
	return read_frame(r, KIND_INDEX, r->index_off, r->properties_off,
					  &r->index);
}

static FlowStatus
decode_properties(FlowSstReader *r)
{
	FlowSstInfo *info = &r->info;
	const uint8_t *p = r->properties.data;

	if (r->properties.len < PROP_BYTES)
		return damaged(r, r->properties_off, "wrong properties");
	info->records = flowi_get64(p + PROP_RECORDS);
	info->tombstones = flowi_get64(p + PROP_TOMBSTONES);
	info->raw_bytes = flowi_get64(p + PROP_RAW_BYTES);
	info->ts_min = (int64_t) flowi_get64(p + PROP_TS_MIN);
	info->ts_max = (int64_t) flowi_get64(p + PROP_TS_MAX);
	info->expire_min = (int64_t) flowi_get64(p + PROP_EXPIRE_MIN);
	info->expire_max = (int64_t) flowi_get64(p + PROP_EXPIRE_MAX);
	info->seq_min = flowi_get64(p + PROP_SEQ_MIN);
	info->seq_max = flowi_get64(p + PROP_SEQ_MAX);
	info->key_min_bytes = flowi_get32(p + PROP_KEY_MIN_BYTES);
	info->key_max_bytes = flowi_get32(p + PROP_KEY_MAX_BYTES);
	info->key_min = p + PROP_BYTES;
	info->key_max = info->key_min + info->key_min_bytes;
	if (flowi_get64(p + PROP_ID) != info->id ||
		flowi_get32(p + PROP_STORE) != info->store_id ||
		flowi_get32(p + PROP_BLOCKS) != r->nblocks ||
		info->tombstones > info->records || info->ts_min > info->ts_max ||
		info->expire_min > info->expire_max || info->seq_min > info->seq_max ||
		info->key_min_bytes > FLOW_MAX_KEY ||
		info->key_max_bytes > FLOW_MAX_KEY ||
		r->properties.len !=
			PROP_BYTES + (size_t) info->key_min_bytes + info->key_max_bytes)
		return damaged(r, r->properties_off, "wrong properties");
	return FLOW_OK;
}

/* A key of the index: as the one before it, or its own bytes. */
static bool
get_index_key(const uint8_t **pp, const uint8_t *end, const uint8_t **keyp,
			  uint32_t *key_bytesp)
{
	uint32_t n;

	if (!flowi_get_varint32(pp, end, &n))
		return false;
	if (n == 0)
		return *keyp != NULL;
	n--;
	if (n > FLOW_MAX_KEY || n > (size_t) (end - *pp))
		return false;
	*keyp = *pp;
	*key_bytesp = n;
	*pp += n;
	return true;
}

/* Decode one entry at *pp behind last (NULL: the first); false when it is
 * not what can stand there. */
static bool
get_entry(const uint8_t **pp, const uint8_t *end, const Entry *last, Entry *e)
{
	const uint8_t *p = *pp;
	const uint8_t *key = last ? last->last_key : NULL;
	uint32_t key_bytes = last ? last->last_key_bytes : 0;

	if (end - p < ENTRY_BYTES)
		return false;
	e->off = last ? last->off + last->frame_bytes : 0;
	e->frame_bytes = flowi_get32(p + ENTRY_STORED);
	e->raw_bytes = flowi_get32(p + ENTRY_RAW);
	e->nrows = flowi_get32(p + ENTRY_ROWS);
	e->first_ts = (int64_t) flowi_get64(p + ENTRY_FIRST_TS);
	e->last_ts = (int64_t) flowi_get64(p + ENTRY_LAST_TS);
	e->ts_min = (int64_t) flowi_get64(p + ENTRY_TS_MIN);
	e->ts_max = (int64_t) flowi_get64(p + ENTRY_TS_MAX);
	*pp = p + ENTRY_BYTES;
	if (!get_index_key(pp, end, &key, &key_bytes))
		return false;
	e->first_key = key;
	e->first_key_bytes = key_bytes;
	if (!get_index_key(pp, end, &key, &key_bytes))
		return false;
	e->last_key = key;
	e->last_key_bytes = key_bytes;
	return e->frame_bytes > FRAME_BYTES &&
		   flowi_identity_cmp(e->first_key, e->first_key_bytes, e->first_ts,
							  e->last_key, e->last_key_bytes,
							  e->last_ts) <= 0 &&
		   (last == NULL ||
			flowi_identity_cmp(last->last_key, last->last_key_bytes,
							   last->last_ts, e->first_key, e->first_key_bytes,
							   e->first_ts) < 0);
}

static FlowStatus
decode_index(FlowSstReader *r)
{
	const uint8_t *p = r->index.data;
	const uint8_t *end = p + r->index.len;
	const Entry *last = NULL;
	uint64_t records = 0;

	if (r->nblocks == 0 || r->nblocks > r->index.len / ENTRY_BYTES)
		return damaged(r, r->index_off, "wrong index");
	r->entries = r->env->alloc(r->env, r->nblocks * sizeof(Entry));
	if (r->entries == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: index of file \"%s\"",
						  r->path);
	for (uint32_t i = 0; i < r->nblocks; i++)
	{
		Entry *e = &r->entries[i];

		if (!get_entry(&p, end, last, e))
			return damaged(r, r->index_off, "wrong index entry");
		records += e->nrows;
		last = e;
	}
	if (p != end || last->off + last->frame_bytes != r->index_off ||
		records != r->info.records ||
		flowi_key_cmp(r->entries[0].first_key, r->entries[0].first_key_bytes,
					  r->info.key_min, r->info.key_min_bytes) != 0 ||
		flowi_key_cmp(last->last_key, last->last_key_bytes, r->info.key_max,
					  r->info.key_max_bytes) != 0)
		return damaged(r, r->index_off, "index and properties disagree");
	return FLOW_OK;
}

FlowStatus
flowi_sst_open(FlowEnv *env, const char *path, uint64_t id, uint32_t store_id,
			   FlowSstReader **rp)
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
	r->info.id = id;
	r->info.store_id = store_id;
	flowi_buf_init(&r->index, env);
	flowi_buf_init(&r->properties, env);
	st = env->file_open(env, path, FLOW_O_READ, &r->file);
	if (st == FLOW_NOTFOUND)
		st = flowi_fail(FLOW_CORRUPT, "SSTable \"%s\" is missing", path);
	if (st != FLOW_OK)
		goto out;
	FLOW_GOTO(read_footer(r));
	FLOW_GOTO(decode_properties(r));
	FLOW_GOTO(decode_index(r));
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
	r->env->free(r->env, r->entries);
	flowi_buf_free(&r->index);
	flowi_buf_free(&r->properties);
	r->env->free(r->env, r);
}

const FlowSstInfo *
flowi_sst_info(const FlowSstReader *r)
{
	return &r->info;
}

/* --------------------------------------------------------------- iterator */

typedef struct SstIter
{
	FlowIter it; /* first */
	FlowSstReader *r;
	bool reverse;
	int64_t ts_lo;
	int64_t ts_hi;
	FlowTxn *(*find_txn)(void *arg, uint64_t seq);
	void *find_arg;
	FlowTxn *last_txn; /* what find_txn gave last, or NULL */
	FlowSstIterStats *stats;

	/* the decoded block */
	FlowBlock block;
	uint32_t block_no; /* NO_BLOCK: none */
	FlowBuf raw;	   /* unpacked bytes, unless they lie in the window */

	/* file bytes [window_off, window_off + window.len) */
	FlowBuf window;
	uint64_t window_off;
	size_t ahead; /* how wide the next one shall be */

	/* the current row; reverse: [group, group_end) are the versions of its
	 * identity */
	uint32_t row;
	uint32_t run;
	uint32_t group;
	uint32_t group_end;
} SstIter;

/*
 * Read a window that holds block n, and the blocks that will follow when the
 * iterator goes on as it did.
 */
static FlowStatus
read_window(SstIter *it, uint32_t n, bool going_on)
{
	FlowSstReader *r = it->r;
	const Entry *e = r->entries;
	uint32_t lo = n;
	uint32_t hi = n;
	size_t len = e[n].frame_bytes;

	it->ahead =
		going_on ? FLOW_MIN(2 * FLOW_MAX(it->ahead, len), AHEAD_BYTES) : 0;
	while (!it->reverse && hi + 1 < r->nblocks &&
		   len + e[hi + 1].frame_bytes <= it->ahead)
		len += e[++hi].frame_bytes;
	while (it->reverse && lo > 0 && len + e[lo - 1].frame_bytes <= it->ahead)
		len += e[--lo].frame_bytes;

	it->window.len = 0;
	FLOW_TRY(flowi_buf_reserve(&it->window, len));
	FLOW_TRY(r->env->file_read(r->file, it->window.data, len, e[lo].off));
	it->window_off = e[lo].off;
	it->window.len = len;
	return FLOW_OK;
}

/* Does the decoded block n hold what the index says? */
static bool
matches_index(const FlowBlock *b, const Entry *e)
{
	uint32_t first_bytes, last_bytes;
	const uint8_t *first = flowi_block_key(b, 0, &first_bytes);
	const uint8_t *last = flowi_block_key(b, b->nruns - 1, &last_bytes);

	return b->nrows == e->nrows &&
		   flowi_identity_cmp(first, first_bytes, b->ts[0], e->first_key,
							  e->first_key_bytes, e->first_ts) == 0 &&
		   flowi_identity_cmp(last, last_bytes, b->ts[b->nrows - 1],
							  e->last_key, e->last_key_bytes, e->last_ts) == 0;
}

/* Make n the decoded block. */
static FlowStatus
load_block(SstIter *it, uint32_t n)
{
	FlowSstReader *r = it->r;
	const Entry *e = &r->entries[n];
	uint32_t before = it->block_no;
	const uint8_t *raw;
	size_t raw_bytes;

	if (n == before)
		return FLOW_OK;
	it->block_no = NO_BLOCK;
	if (e->off < it->window_off ||
		e->off + e->frame_bytes > it->window_off + it->window.len)
		FLOW_TRY(
			read_window(it, n,
						before != NO_BLOCK &&
							(it->reverse ? n + 1 == before : n == before + 1)));
	FLOW_TRY(open_frame(r, KIND_BLOCK,
						it->window.data + (e->off - it->window_off),
						e->frame_bytes, e->off, &it->raw, &raw, &raw_bytes));
	if (raw_bytes != e->raw_bytes)
		return damaged(r, e->off, "block and index disagree");
	FLOW_TRY(flowi_block_decode(&it->block, raw, raw_bytes, r->path, e->off));
	if (!matches_index(&it->block, e))
		return damaged(r, e->off, "block and index disagree");
	it->block_no = n;
	if (it->stats)
		it->stats->blocks_read++;
	return FLOW_OK;
}

/* Set cur from row and run. */
static FlowStatus
set_current(SstIter *it)
{
	FlowRec *cur = &it->it.cur;

	flowi_block_rec(&it->block, it->run, it->row, cur);
	if (it->find_txn)
	{
		if (it->last_txn == NULL || cur->seq < it->last_txn->seq_first ||
			cur->seq > it->last_txn->seq_last)
			it->last_txn = it->find_txn(it->find_arg, cur->seq);
		cur->txn = it->last_txn;
	}
	return FLOW_OK;
}

/* Reverse: the identity that ends before row end of run becomes the current
 * one, its newest version first. */
static FlowStatus
set_group(SstIter *it, uint32_t end)
{
	const FlowBlock *b = &it->block;
	uint32_t first = b->run_row[it->run];

	it->group_end = end;
	it->group = end - 1;
	while (it->group > first && b->ts[it->group - 1] == b->ts[end - 1])
		it->group--;
	it->row = it->group;
	return set_current(it);
}

/* Go to the first row, in the iterator's direction, of the nearest block
 * from n on that is within the time bounds. */
static FlowStatus
enter_block(SstIter *it, uint32_t n)
{
	const FlowSstReader *r = it->r;

	/* backwards, n wraps round below 0 */
	while (n < r->nblocks && (r->entries[n].ts_max < it->ts_lo ||
							  r->entries[n].ts_min > it->ts_hi))
	{
		if (it->stats)
			it->stats->blocks_skipped++;
		n += it->reverse ? UINT32_MAX : 1;
	}
	if (n >= r->nblocks)
		return FLOW_END;
	FLOW_TRY(load_block(it, n));
	if (it->reverse)
	{
		it->run = it->block.nruns - 1;
		return set_group(it, it->block.nrows);
	}
	it->run = 0;
	it->row = 0;
	return set_current(it);
}

static FlowStatus
next_forward(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	if (++it->row == it->block.nrows)
		return enter_block(it, it->block_no + 1);
	if (it->row == it->block.run_row[it->run + 1])
		it->run++;
	return set_current(it);
}

static FlowStatus
next_reverse(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	if (++it->row < it->group_end)
		return set_current(it);
	if (it->group == 0)
		return enter_block(it, it->block_no - 1);
	if (it->group == it->block.run_row[it->run])
		it->run--;
	return set_group(it, it->group);
}

/* Is the last identity of block n before (key, ts), or at it when strict? */
static bool
ends_before(const FlowSstReader *r, uint32_t n, const FlowSeek *to, bool strict)
{
	const Entry *e = &r->entries[n];
	int c = flowi_identity_cmp(e->last_key, e->last_key_bytes, e->last_ts,
							   to->key, to->key_bytes, to->ts);

	return c < 0 || (strict && c == 0);
}

/* Backwards: is the first identity of block n too far already? */
static bool
starts_behind(const FlowSstReader *r, uint32_t n, const FlowSeek *to)
{
	const Entry *e = &r->entries[n];
	int c = flowi_identity_cmp(e->first_key, e->first_key_bytes, e->first_ts,
							   to->key, to->key_bytes, to->ts);

	return c > 0 || (to->after && c == 0);
}

/*
 * The first block whose last identity is >= (key, ts), or > it when strict;
 * nblocks when there is none.  The current block and the one behind it are
 * tried first: merges seek a little ahead.
 */
static uint32_t
find_block(const SstIter *it, const FlowSeek *to, bool strict)
{
	const FlowSstReader *r = it->r;
	uint32_t lo = 0;
	uint32_t hi = r->nblocks;

	if (it->block_no != NO_BLOCK)
	{
		if (ends_before(r, it->block_no, to, strict))
		{
			lo = it->block_no + 1;
			if (lo < hi && !ends_before(r, lo, to, strict))
				return lo;
		}
		else if (it->block_no == 0 ||
				 ends_before(r, it->block_no - 1, to, strict))
			return it->block_no;
		else
			hi = it->block_no;
	}
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (ends_before(r, mid, to, strict))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Is block n within the time bounds? */
static bool
in_bounds(const SstIter *it, uint32_t n)
{
	const Entry *e = &it->r->entries[n];

	return e->ts_max >= it->ts_lo && e->ts_min <= it->ts_hi;
}

static FlowStatus
seek_forward(FlowIter *fit, const FlowSeek *to)
{
	SstIter *it = (SstIter *) fit;
	uint32_t n;

	if (to->unbounded)
		return enter_block(it, 0);
	n = find_block(it, to, to->after);
	if (n == it->r->nblocks || !in_bounds(it, n))
		return enter_block(it, n);
	FLOW_TRY(load_block(it, n));
	it->row = flowi_block_find(&it->block, to->key, to->key_bytes, to->ts,
							   to->after, &it->run);
	FLOW_ASSERT(it->row < it->block.nrows);
	return set_current(it);
}

/*
 * Backwards the identity wanted is the one before the first that is > (key,
 * ts), or >= it with after: the forward search with after turned round.
 */
static FlowStatus
seek_reverse(FlowIter *fit, const FlowSeek *to)
{
	SstIter *it = (SstIter *) fit;
	const FlowBlock *b = &it->block;
	uint32_t n, end;

	if (to->unbounded)
		return enter_block(it, it->r->nblocks - 1);
	n = find_block(it, to, !to->after);
	if (n == it->r->nblocks || starts_behind(it->r, n, to))
		return enter_block(it, n - 1);
	if (!in_bounds(it, n))
		return enter_block(it, n);
	FLOW_TRY(load_block(it, n));
	end = flowi_block_find(b, to->key, to->key_bytes, to->ts, !to->after,
						   &it->run);
	FLOW_ASSERT(end > 0);
	if (it->run == b->nruns || end == b->run_row[it->run])
		it->run--;
	return set_group(it, end);
}

static void
free_iter(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;
	FlowEnv *env = it->r->env;

	flowi_block_free(&it->block);
	flowi_buf_free(&it->raw);
	flowi_buf_free(&it->window);
	env->free(env, it);
}

size_t
flowi_sst_iter_memory(const FlowIter *fit)
{
	const SstIter *it = (const SstIter *) fit;

	return it->raw.cap + it->window.cap + it->block.mem_bytes;
}

FlowStatus
flowi_sst_iter(FlowSstReader *r, bool reverse, int64_t ts_lo, int64_t ts_hi,
			   FlowTxn *(*find_txn)(void *arg, uint64_t seq), void *find_arg,
			   FlowSstIterStats *stats, FlowIter **itp)
{
	SstIter *it;

	*itp = NULL;
	it = r->env->alloc(r->env, sizeof(*it));
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(it, 0, sizeof(*it));
	it->it.seek = reverse ? seek_reverse : seek_forward;
	it->it.next = reverse ? next_reverse : next_forward;
	it->it.free = free_iter;
	it->r = r;
	it->reverse = reverse;
	it->ts_lo = ts_lo;
	it->ts_hi = ts_hi;
	it->find_txn = find_txn;
	it->find_arg = find_arg;
	it->stats = stats;
	it->block_no = NO_BLOCK;
	flowi_block_init(&it->block, r->env);
	flowi_buf_init(&it->raw, r->env);
	flowi_buf_init(&it->window, r->env);
	*itp = &it->it;
	return FLOW_OK;
}
