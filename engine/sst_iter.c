/*-------------------------------------------------------------------------
 * sst_iter.c
 *	  Iterate over the rows of an SSTable.
 *
 * An iterator holds one index leaf and one decoded block, which it remembers
 * across seeks and pauses, and a window of file bytes: when blocks are read
 * one after the other the window grows, so that a scan takes one system call
 * for many blocks and a point read no byte too much.  What the block cache
 * has is not read; with or without a cache the rest is the same.
 *-------------------------------------------------------------------------
 */
#include "sst_reader.h"

/* Widest window, unless a block is wider: of a reader that leaves its blocks
 * to the cache, and of one that reads them once. */
#define AHEAD_BYTES (128u * 1024u)
#define AHEAD_ONCE_BYTES (256u * 1024u)

#define NO_BLOCK UINT32_MAX
#define EDGE UINT32_MAX /* of a segment: its nearest block in the direction */

typedef struct SstIter
{
	FlowIter it; /* first */
	FlowSstReader *r;
	FlowSstIterOptions o;
	FlowSstIterStats no_stats; /* where o.stats points when there are none */
	FlowTxn *last_txn;		   /* what find_txn gave last, or NULL */
	bool on_row;			   /* cur is set */
	bool bad_leaf;			   /* a search met an entry that is none */

	uint32_t seg; /* whose leaf it is, or FLOW_NO_SEGMENT */
	FlowPiece leaf;

	/* the decoded block */
	uint32_t block_seg;
	uint32_t block_no; /* in its segment; NO_BLOCK: none */
	FlowPiece raw;
	FlowBlock block;
	FlowBuf value; /* of the current row, of a block of columns */

	/* cur is the mark of a block, or of a segment; at least its leaf is at hand */
	bool on_mark;
	bool pass;
	uint32_t mark_seg;
	uint32_t mark_no; /* EDGE: of the segment */
	FlowSstMark mark;

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

static FlowStatus
bad_leaf(const SstIter *it)
{
	const FlowSegment *s = &it->r->segs[it->seg];

	return flowi_reader_damaged(
		it->r, s->off + s->block_bytes + s->filter_bytes, "wrong index leaf");
}

/* Have the leaf of segment s. */
static FlowStatus
use_leaf(SstIter *it, uint32_t s)
{
	if (it->seg == s && flowi_piece_wake(it->r, &it->leaf))
		return FLOW_OK;
	it->seg = FLOW_NO_SEGMENT;
	FLOW_TRY(flowi_leaf_load(it->r, s, !it->o.no_fill_cache, &it->leaf));
	it->seg = s;
	return FLOW_OK;
}

/* Entry n of the leaf. */
static FlowStatus
get_entry(const SstIter *it, uint32_t n, FlowLeafEntry *e)
{
	return flowi_leaf_entry(&it->r->segs[it->seg], &it->leaf, n, e)
			   ? FLOW_OK
			   : bad_leaf(it);
}

/* --- blocks --- */

static bool
in_window(const SstIter *it, const FlowLeafEntry *e)
{
	return e->off >= it->window_off &&
		   e->off + e->frame_bytes <= it->window_off + it->window.len;
}

/* Is block n of the leaf the neighbour, in the direction, of the one that
 * was decoded last? */
static bool
going_on(const SstIter *it, uint32_t n)
{
	uint32_t s = it->seg;

	if (it->block_no == NO_BLOCK)
		return false;
	if (it->o.reverse)
		return s == it->block_seg ? n + 1 == it->block_no
								  : s + 1 == it->block_seg && it->block_no == 0;
	return s == it->block_seg ? n == it->block_no + 1
							  : s == it->block_seg + 1 && n == 0;
}

/*
 * Read a window that holds block n, which is e, and the blocks that will
 * follow in its segment when the iterator goes on as it did.
 */
static FlowStatus
read_window(SstIter *it, uint32_t n, const FlowLeafEntry *e, bool more)
{
	FlowSstReader *r = it->r;
	size_t widest = it->o.no_fill_cache ? AHEAD_ONCE_BYTES : AHEAD_BYTES;
	uint64_t off = e->off;
	size_t len = e->frame_bytes;
	uint32_t step = it->o.reverse ? UINT32_MAX : 1;
	FlowLeafEntry next;

	it->ahead = more ? FLOW_MIN(2 * FLOW_MAX(it->ahead, len), widest) : 0;
	/* backwards, n wraps round below 0 */
	for (n += step; n < r->segs[it->seg].nblocks && len < it->ahead; n += step)
	{
		FLOW_TRY(get_entry(it, n, &next));
		if (len + next.frame_bytes > it->ahead)
			break;
		len += next.frame_bytes;
		if (it->o.reverse)
			off = next.off;
	}
	it->window.len = 0;
	FLOW_TRY(flowi_buf_reserve(&it->window, len));
	FLOW_TRY(r->env->file_read(r->file, it->window.data, len, off));
	it->window_off = off;
	it->window.len = len;
	return FLOW_OK;
}

/* Get the raw bytes of block n, which is e. */
static FlowStatus
load_raw(SstIter *it, uint32_t n, const FlowLeafEntry *e, bool more)
{
	FlowSstReader *r = it->r;
	bool fill = !it->o.no_fill_cache;

	it->o.stats->blocks_read++;
	if ((fill || !in_window(it, e)) && flowi_piece_cached(r, &it->raw, e->off))
		it->o.stats->cache_hits++;
	else
	{
		FlowFrameSpec spec = {.kind = KIND_BLOCK,
							  .off = e->off,
							  .frame_bytes = e->frame_bytes,
							  .most = e->raw_bytes,
							  .no_verify = it->o.no_verify};

		if (!in_window(it, e))
			FLOW_TRY(read_window(it, n, e, more));
		FLOW_TRY(flowi_piece_unpack(r, &it->raw, &spec,
									it->window.data + (e->off - it->window_off),
									fill, true));
	}
	if (it->raw.bytes != e->raw_bytes)
		return flowi_reader_damaged(r, e->off, "block and index disagree");
	return FLOW_OK;
}

/* Does the decoded block hold what the index says? */
static bool
matches_index(const FlowBlock *b, const FlowLeafEntry *e)
{
	const FlowSpan *s = &e->span;
	uint32_t first_bytes, last_bytes;
	const uint8_t *first = flowi_block_key(b, 0, &first_bytes);
	const uint8_t *last = flowi_block_key(b, b->nruns - 1, &last_bytes);

	return b->nrows == e->nrows &&
		   flowi_identity_cmp(first, first_bytes, flowi_block_ts(b, 0, 0),
							  s->first_key, s->first_bytes, s->first_ts) == 0 &&
		   flowi_identity_cmp(last, last_bytes,
							  flowi_block_ts(b, b->nruns - 1, b->nrows - 1),
							  s->last_key, s->last_bytes, s->last_ts) == 0;
}

/* Make block n of the leaf the decoded one. */
static FlowStatus
load_block(SstIter *it, uint32_t n)
{
	FlowSstReader *r = it->r;
	bool more = going_on(it, n);
	FlowLeafEntry e;

	if (it->block_seg == it->seg && it->block_no == n &&
		flowi_piece_wake(r, &it->raw))
		return FLOW_OK;
	it->block_no = NO_BLOCK;
	FLOW_TRY(get_entry(it, n, &e));
	FLOW_TRY(load_raw(it, n, &e, more));
	FLOW_TRY(flowi_block_decode(&it->block, it->raw.data, it->raw.bytes,
								r->path, e.off));
	if (!matches_index(&it->block, &e))
		return flowi_reader_damaged(r, e.off, "block and index disagree");
	flowi_piece_publish(r, &it->raw);
	it->block_seg = it->seg;
	it->block_no = n;
	return FLOW_OK;
}

/* --- rows --- */

/* Set cur from row and run. */
static FlowStatus
set_current(SstIter *it)
{
	FlowRec *cur = &it->it.cur;

	flowi_block_rec(&it->block, it->run, it->row, cur);
	it->on_row = false;
	FLOW_TRY(flowi_block_seq(&it->block, it->row, &cur->seq));
	it->on_row = true;
	if (it->o.find_txn)
	{
		if (it->last_txn == NULL || cur->seq < it->last_txn->seq_first ||
			cur->seq > it->last_txn->seq_last)
			it->last_txn = it->o.find_txn(it->o.find_arg, cur->seq);
		cur->txn = it->last_txn;
	}
	return FLOW_OK;
}

static FlowStatus
make_value(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	if (fit->cur.op == FLOW_DELETE)
		return FLOW_OK;
	it->value.len = 0;
	FLOW_TRY(flowi_block_value(&it->block, it->row, &it->value));
	fit->cur.value = it->value.data;
	fit->cur.value_bytes = (uint32_t) it->value.len;
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
	while (b->ts && it->group > first && b->ts[it->group - 1] == b->ts[end - 1])
		it->group--;
	it->row = it->group;
	return set_current(it);
}

static bool
in_bounds(const SstIter *it, const FlowSpan *s)
{
	return s->ts_max >= it->o.ts_lo && s->ts_min <= it->o.ts_hi;
}

/* From block *np of the leaf on, the nearest that is within the time bounds;
 * the number of blocks or more when there is none. */
static FlowStatus
skip_blocks(SstIter *it, uint32_t *np)
{
	uint32_t n = it->r->segs[it->seg].nblocks;
	FlowLeafEntry e;

	if (*np == EDGE)
		*np = it->o.reverse ? n - 1 : 0;
	for (; *np < n; *np += it->o.reverse ? UINT32_MAX : 1)
	{
		FLOW_TRY(get_entry(it, *np, &e));
		if (in_bounds(it, &e.span))
			break;
		it->o.stats->blocks_skipped++;
	}
	return FLOW_OK;
}

/* Stand on the mark of block n of the leaf, or of segment s if n is EDGE. */
static FlowStatus
set_mark(SstIter *it, uint32_t s, uint32_t n)
{
	const FlowSegment *seg = &it->r->segs[s];
	const FlowSpan *span = &seg->span;
	FlowLeafEntry e;

	it->on_row = it->on_mark = false;
	if (n != EDGE)
	{
		FLOW_TRY(get_entry(it, n, &e));
		span = &e.span;
	}
	it->mark = (FlowSstMark){.rows = n == EDGE ? seg->rows : e.nrows,
							 .blocks = n == EDGE ? seg->nblocks : 1,
							 .plain = span->plain,
							 .expire_min = span->expire_min,
							 .ts_min = span->ts_min,
							 .ts_max = span->ts_max,
							 .last_key = span->last_key,
							 .last_bytes = span->last_bytes,
							 .last_ts = span->last_ts};
	it->it.cur = (FlowRec){.key = span->first_key,
						   .key_bytes = span->first_bytes,
						   .ts = span->first_ts,
						   .seq = UINT64_MAX};
	it->mark_seg = s;
	it->mark_no = n;
	it->pass = false;
	it->on_mark = true;
	return FLOW_OK;
}

/* Go to the first row, in the iterator's direction, of the nearest block
 * from block n of segment s on that is within the time bounds; or to a mark
 * of it. */
static FlowStatus
enter_block(SstIter *it, uint32_t s, uint32_t n)
{
	const FlowSstReader *r = it->r;

	it->on_row = it->on_mark = false;
	/* backwards, s and n wrap round below 0 */
	for (;; s += it->o.reverse ? UINT32_MAX : 1, n = EDGE)
	{
		if (s >= r->nsegs)
			return FLOW_END;
		if (n == EDGE && !in_bounds(it, &r->segs[s].span))
		{
			it->o.stats->blocks_skipped += r->segs[s].nblocks;
			continue;
		}
		if (n == EDGE && it->o.marks)
			return set_mark(it, s, EDGE);
		FLOW_TRY(use_leaf(it, s));
		FLOW_TRY(skip_blocks(it, &n));
		if (n < r->segs[s].nblocks)
			break;
	}
	if (it->o.marks)
		return set_mark(it, s, n);
	FLOW_TRY(load_block(it, n));
	if (it->o.reverse)
	{
		it->run = it->block.nruns - 1;
		return set_group(it, it->block.nrows);
	}
	it->run = 0;
	it->row = 0;
	return set_current(it);
}

/* From a mark on to what it stands for, or behind it. */
static FlowStatus
leave_mark(SstIter *it)
{
	uint32_t s = it->mark_seg;
	uint32_t n = it->mark_no;

	it->on_mark = false;
	if (n == EDGE)
		return it->pass ? enter_block(it, s + 1, EDGE) : enter_block(it, s, 0);
	if (it->pass)
		return n + 1 == it->r->segs[s].nblocks ? enter_block(it, s + 1, EDGE)
											   : enter_block(it, s, n + 1);
	FLOW_TRY(load_block(it, n));
	it->run = 0;
	it->row = 0;
	return set_current(it);
}

static FlowStatus
next_forward(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	if (it->on_mark)
		return leave_mark(it);
	if (++it->row == it->block.nrows)
	{
		if (it->block_no + 1 == it->r->segs[it->block_seg].nblocks)
			return enter_block(it, it->block_seg + 1, EDGE);
		return enter_block(it, it->block_seg, it->block_no + 1);
	}
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
	{
		if (it->block_no == 0)
			return enter_block(it, it->block_seg - 1, EDGE);
		return enter_block(it, it->block_seg, it->block_no - 1);
	}
	if (it->group == it->block.run_row[it->run])
		it->run--;
	return set_group(it, it->group);
}

/* --- seeks --- */

/* Is the last identity of segment, or block, n before to, or at it when
 * strict? */
static bool
segment_ends_before(SstIter *it, uint32_t n, const FlowSeek *to, bool strict)
{
	return flowi_span_ends_before(&it->r->segs[n].span, to, strict);
}

static bool
block_ends_before(SstIter *it, uint32_t n, const FlowSeek *to, bool strict)
{
	FlowSpan last;

	if (flowi_leaf_last(&it->r->segs[it->seg], &it->leaf, n, &last))
		return flowi_span_ends_before(&last, to, strict);
	it->bad_leaf = true;
	return false;
}

typedef bool (*EndsBefore)(SstIter *it, uint32_t n, const FlowSeek *to,
						   bool strict);

/*
 * The first of n that does not end before to; n when all do.  The one at hint
 * and the one behind it are tried first: merges seek a little ahead.
 */
static uint32_t
search(SstIter *it, EndsBefore ends_before, uint32_t n, uint32_t hint,
	   const FlowSeek *to, bool strict)
{
	uint32_t lo = 0;
	uint32_t hi = n;

	if (hint < n)
	{
		if (ends_before(it, hint, to, strict))
		{
			lo = hint + 1;
			if (lo < hi && !ends_before(it, lo, to, strict))
				return lo;
		}
		else if (hint == 0 || ends_before(it, hint - 1, to, strict))
			return hint;
		else
			hi = hint;
	}
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (ends_before(it, mid, to, strict))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t
find_segment(SstIter *it, const FlowSeek *to, bool strict)
{
	uint32_t hint = it->r->asked_seg;

	if (hint == FLOW_NO_SEGMENT)
		hint = it->seg;
	it->r->asked_seg = FLOW_NO_SEGMENT;
	return search(it, segment_ends_before, it->r->nsegs, hint, to, strict);
}

/* The same among the blocks of segment s, which does not end before to. */
static FlowStatus
find_block(SstIter *it, uint32_t s, const FlowSeek *to, bool strict,
		   uint32_t *np)
{
	uint32_t n = it->r->segs[s].nblocks;

	FLOW_TRY(use_leaf(it, s));
	it->bad_leaf = false;
	*np = search(it, block_ends_before, n,
				 it->block_seg == s ? it->block_no : NO_BLOCK, to, strict);
	return it->bad_leaf || *np == n ? bad_leaf(it) : FLOW_OK;
}

/* Forward: is nothing of the span before to? */
static bool
begins_at(const FlowSpan *s, const FlowSeek *to)
{
	int c = flowi_identity_cmp(s->first_key, s->first_bytes, s->first_ts,
							   to->key, to->key_bytes, to->ts);

	return c > 0 || (c == 0 && !to->after);
}

static FlowStatus
seek_forward(FlowIter *fit, const FlowSeek *to)
{
	SstIter *it = (SstIter *) fit;
	const FlowSstReader *r = it->r;
	FlowLeafEntry e;
	uint32_t s, n;

	it->on_row = it->on_mark = false;
	if (to->unbounded)
		return enter_block(it, 0, EDGE);
	s = find_segment(it, to, to->after);
	if (s == r->nsegs || !in_bounds(it, &r->segs[s].span))
		return enter_block(it, s, EDGE);
	if (it->o.marks && begins_at(&r->segs[s].span, to))
		return set_mark(it, s, EDGE);
	FLOW_TRY(find_block(it, s, to, to->after, &n));
	FLOW_TRY(get_entry(it, n, &e));
	if (!in_bounds(it, &e.span))
		return enter_block(it, s, n);
	if (it->o.marks && begins_at(&e.span, to))
		return set_mark(it, s, n);
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
	const FlowSstReader *r = it->r;
	const FlowBlock *b = &it->block;
	FlowLeafEntry e;
	uint32_t s, n, end;

	it->on_row = false;
	if (to->unbounded)
		return enter_block(it, r->nsegs - 1, EDGE);
	s = find_segment(it, to, !to->after);
	if (s == r->nsegs || flowi_span_starts_behind(&r->segs[s].span, to))
		return enter_block(it, s - 1, EDGE);
	if (!in_bounds(it, &r->segs[s].span))
		return enter_block(it, s, EDGE);
	FLOW_TRY(find_block(it, s, to, !to->after, &n));
	FLOW_TRY(get_entry(it, n, &e));
	if (flowi_span_starts_behind(&e.span, to))
		return n == 0 ? bad_leaf(it) : enter_block(it, s, n - 1);
	if (!in_bounds(it, &e.span))
		return enter_block(it, s, n);
	FLOW_TRY(load_block(it, n));
	end = flowi_block_find(b, to->key, to->key_bytes, to->ts, !to->after,
						   &it->run);
	FLOW_ASSERT(end > 0);
	if (it->run == b->nruns || end == b->run_row[it->run])
		it->run--;
	return set_group(it, end);
}

/* --- the rest --- */

bool
flowi_sst_iter_columns(FlowIter *fit, FlowBlock **blockp, uint32_t *rowp)
{
	SstIter *it = (SstIter *) fit;

	*blockp = &it->block;
	*rowp = it->row;
	return it->block.value_off == NULL;
}

bool
flowi_sst_iter_run(FlowIter *fit, FlowSstRun *run)
{
	SstIter *it = (SstIter *) fit;
	FlowBlock *b = &it->block;
	uint32_t first = it->row;

	if (it->o.reverse || it->o.find_txn || b->tombs)
		return false;
	run->n = b->run_row[it->run + 1] - first;
	run->ts = b->ts ? b->ts + first : NULL;
	if (b->ts == NULL)
	{
		run->ts_first = flowi_block_ts(b, it->run, first);
		run->step = b->step;
	}
	run->expire_at = b->expire_at ? b->expire_at + first : NULL;
	run->same_age = b->same_age && b->expire_at == NULL;
	run->age = b->age;
	run->block = NULL;
	run->first = first;
	if (b->value_off == NULL)
		run->block = &it->block;
	else
	{
		run->value_off = b->value_off + first;
		run->values = b->values + b->value_off[first];
	}
	return true;
}

void
flowi_sst_iter_skip(FlowIter *fit, uint32_t n)
{
	SstIter *it = (SstIter *) fit;

	FLOW_ASSERT(it->row + n < it->block.run_row[it->run + 1]);
	it->row += n;
}

const FlowSstMark *
flowi_sst_iter_mark(const FlowIter *fit)
{
	const SstIter *it = (const SstIter *) fit;

	return it->on_mark ? &it->mark : NULL;
}

void
flowi_sst_iter_pass(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	FLOW_ASSERT(it->on_mark && !it->pass);
	it->pass = true;
}

void
flowi_sst_iter_pause(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;

	flowi_piece_pause(it->r, &it->leaf);
	flowi_piece_pause(it->r, &it->raw);
	it->last_txn = NULL; /* its directory may go meanwhile */
}

FlowStatus
flowi_sst_iter_resume(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;
	FlowTxn *txn = it->it.cur.txn;

	/* set_mark would forget it; who passes a mark goes on at once */
	FLOW_ASSERT(!it->on_mark || !it->pass);
	if (it->on_mark && it->mark_no != EDGE)
	{
		FLOW_TRY(use_leaf(it, it->mark_seg));
		return set_mark(it, it->mark_seg, it->mark_no);
	}
	if (!it->on_row || flowi_piece_wake(it->r, &it->raw))
		return FLOW_OK;
	it->on_row = false;
	FLOW_TRY(use_leaf(it, it->block_seg));
	FLOW_TRY(load_block(it, it->block_no));
	flowi_block_rec(&it->block, it->run, it->row, &it->it.cur);
	FLOW_TRY(flowi_block_seq(&it->block, it->row, &it->it.cur.seq));
	it->it.cur.txn = txn;
	it->on_row = true;
	return FLOW_OK;
}

static void
free_iter(FlowIter *fit)
{
	SstIter *it = (SstIter *) fit;
	FlowEnv *env = it->r->env;

	flowi_block_free(&it->block);
	flowi_piece_free(it->r, &it->leaf);
	flowi_piece_free(it->r, &it->raw);
	flowi_buf_free(&it->window);
	flowi_buf_free(&it->value);
	env->free(env, it);
}

size_t
flowi_sst_iter_memory(const FlowIter *fit)
{
	const SstIter *it = (const SstIter *) fit;

	return it->leaf.mem_bytes + it->raw.mem_bytes + it->window.cap +
		   it->value.cap + flowi_block_memory(&it->block);
}

FlowStatus
flowi_sst_iter(FlowSstReader *r, const FlowSstIterOptions *o, FlowIter **itp)
{
	SstIter *it;

	*itp = NULL;
	it = r->env->alloc(r->env, sizeof(*it));
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(it, 0, sizeof(*it));
	it->it.seek = o->reverse ? seek_reverse : seek_forward;
	it->it.next = o->reverse ? next_reverse : next_forward;
	it->it.value = make_value;
	it->it.free = free_iter;
	it->r = r;
	it->o = *o;
	if (it->o.stats == NULL)
		it->o.stats = &it->no_stats;
	it->seg = it->block_seg = FLOW_NO_SEGMENT;
	it->block_no = NO_BLOCK;
	flowi_block_init(&it->block, r->env, r->codec);
	flowi_buf_init(&it->window, r->env);
	flowi_buf_init(&it->value, r->env);
	*itp = &it->it;
	return FLOW_OK;
}
