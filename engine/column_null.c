/*-------------------------------------------------------------------------
 * column_null.c
 *	  Which values of a chunk are NULL: a bitmap, or the ends of runs.
 *
 * Columns that are added to a store, and those of sparse rows, have NULLs in
 * long runs: their ends take less than a bit a row then.  A reader makes a
 * bitmap of them.
 *-------------------------------------------------------------------------
 */
#include "column_impl.h"

#define RUNS_MIN_ROWS 64u /* in less a bitmap takes next to nothing */

/* How many are NULL, and how many runs there are, the first of those that are
 * not NULL, even if it is empty. */
static uint32_t
count_nulls(const FlowColumnVector *v, uint32_t n, uint32_t *runsp)
{
	uint32_t nulls = 0;
	uint32_t runs = 1;
	uint8_t last = 0;

	for (uint32_t i = 0; i < n && v->any_null; i++)
	{
		nulls += v->null[i];
		runs += v->null[i] ^ last;
		last = v->null[i];
	}
	*runsp = runs;
	return nulls;
}

static FlowStatus
put_bitmap(const FlowColumnVector *v, uint32_t n, FlowBuf *out)
{
	size_t bytes = ((size_t) n + 7) / 8;
	uint8_t *p;

	FLOW_TRY(flowi_buf_reserve(out, bytes));
	p = out->data + out->len;
	memset(p, 0, bytes);
	for (uint32_t i = 0; i < n; i++)
		p[i >> 3] |= (uint8_t) ((v->null[i] & 1) << (i & 7));
	out->len += bytes;
	return FLOW_OK;
}

static FlowStatus
put_runs(FlowColumnWriter *w, const FlowColumnVector *v, uint32_t n,
		 uint32_t runs, FlowBuf *out)
{
	FlowBuf *ends = &w->scratch[0];
	FlowBuf *part = &w->scratch[1];
	FlowNumLook look;
	uint32_t run = 0;
	uint8_t last = 0;
	int64_t *end;

	ends->len = part->len = 0;
	FLOW_TRY(flowi_buf_reserve(ends, runs * sizeof(*end)));
	end = (int64_t *) ends->data;
	for (uint32_t i = 0; i < n; i++)
	{
		if (v->null[i] == last)
			continue;
		end[run++] = i;
		last = v->null[i];
	}
	end[run++] = n;
	FLOW_ASSERT(run == runs);
	look = flowi_num_look(end, runs);
	FLOW_TRY(flowi_num_write(&w->num, end, runs, &look, part));
	FLOW_TRY(flowi_buf_varint(out, runs));
	FLOW_TRY(flowi_buf_varint(out, part->len));
	return flowi_buf_append(out, part->data, part->len);
}

FlowStatus
flowi_null_write(FlowColumnWriter *w, const FlowColumnVector *v, uint32_t n,
				 uint8_t *flagsp, FlowBuf *out)
{
	uint32_t runs;
	uint32_t nulls = count_nulls(v, n, &runs);
	size_t cost = 10 + (size_t) runs * (flowi_bits(n / runs) + 3) / 8;

	*flagsp = nulls == n ? FLOW_CHUNK_ALL_NULL : 0;
	if (nulls == 0 || nulls == n)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_varint(out, nulls));
	if (n < RUNS_MIN_ROWS || cost >= n / 8)
	{
		*flagsp = FLOW_CHUNK_BITMAP;
		return put_bitmap(v, n, out);
	}
	*flagsp = FLOW_CHUNK_NULL_RUNS;
	return put_runs(w, v, n, runs, out);
}

bool
flowi_null_open(FlowColumnReader *r, uint8_t flags, const uint8_t **pp,
				const uint8_t *end)
{
	size_t bitmap = ((size_t) r->n + 7) / 8;
	uint32_t bytes;

	flags &= FLOW_CHUNK_BITMAP | FLOW_CHUNK_NULL_RUNS;
	if (flags == 0)
		return true;
	if (!flowi_get_varint32(pp, end, &r->stats.nulls) || r->stats.nulls == 0 ||
		r->stats.nulls >= r->n)
		return false;
	if (flags == FLOW_CHUNK_BITMAP)
	{
		if ((size_t) (end - *pp) < bitmap)
			return false;
		r->nulls = *pp;
		*pp += bitmap;
		return true;
	}
	if (flags != FLOW_CHUNK_NULL_RUNS ||
		!flowi_get_varint32(pp, end, &r->null_runs) || r->null_runs == 0 ||
		r->null_runs > r->n + 1 || !flowi_get_varint32(pp, end, &bytes) ||
		bytes > (size_t) (end - *pp))
		return false;
	r->asked = false;
	r->null_ends = *pp;
	*pp += bytes;
	r->null_end = *pp;
	return true;
}

/* Set the bits from .. to - 1. */
static void
set_bits(uint8_t *bitmap, uint32_t from, uint32_t to)
{
	for (; from < to && (from & 7) != 0; from++)
		bitmap[from >> 3] |= (uint8_t) (1u << (from & 7));
	if (from < to)
		memset(bitmap + (from >> 3), 0xff, (to - from) >> 3);
	for (from += (to - from) & ~7u; from < to; from++)
		bitmap[from >> 3] |= (uint8_t) (1u << (from & 7));
}

static FlowStatus
walk_ends(const FlowColumnReader *r, FlowBuf *scratch, uint8_t *bitmap,
		  uint32_t row, uint8_t *nullp)
{
	uint32_t last = 0;
	FlowNumReader num;

	FLOW_TRY(
		flowi_num_open(&num, scratch, r->null_ends, r->null_end, r->null_runs));
	for (uint32_t at = 0; at < r->null_runs; at += FLOW_FRAME)
	{
		uint32_t count = FLOW_MIN(r->null_runs - at, FLOW_FRAME);
		int64_t ends[FLOW_FRAME];

		FLOW_TRY(flowi_num_read(&num, at, count, ends));
		for (uint32_t i = 0; i < count; i++)
		{
			if (ends[i] < (int64_t) last || ends[i] > (int64_t) r->n)
				return FLOW_CORRUPT;
			if (bitmap == NULL && ends[i] > (int64_t) row)
			{
				*nullp = (uint8_t) ((at + i) & 1);
				return FLOW_OK;
			}
			if (bitmap != NULL && ((at + i) & 1))
				set_bits(bitmap, last, (uint32_t) ends[i]);
			last = (uint32_t) ends[i];
		}
	}
	return bitmap != NULL && last == r->n ? FLOW_OK : FLOW_CORRUPT;
}

/*
 * walk_runs
 *		All runs into the bitmap, which is zero; or without one only to the
 *		run of a row: *nullp tells what it is.
 */
static FlowStatus
walk_runs(FlowColumnReader *r, uint8_t *bitmap, uint32_t row, uint8_t *nullp)
{
	FlowStatus st;
	FlowBuf scratch; /* of no use to what a writer makes, so none is kept */

	flowi_buf_init(&scratch, r->table.env);
	st = walk_ends(r, &scratch, bitmap, row, nullp);
	flowi_buf_free(&scratch);
	return st;
}

/* The runs as a bitmap: at the first read of more than one. */
static FlowStatus
expand_runs(FlowColumnReader *r)
{
	size_t bytes = ((size_t) r->n + 7) / 8;

	r->bitmap.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->bitmap, bytes));
	memset(r->bitmap.data, 0, bytes);
	FLOW_TRY(walk_runs(r, r->bitmap.data, 0, NULL));
	r->nulls = r->bitmap.data;
	return FLOW_OK;
}

/* Eight bits as eight bytes: each is left where it is in a byte of its own,
 * and carries into the highest bit there. */
static inline uint64_t
spread(uint8_t bits)
{
	uint64_t each = bits * UINT64_C(0x0101010101010101);

	each &= UINT64_C(0x8040201008040201);
	return (each + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 &
		   UINT64_C(0x0101010101010101);
}

/* Bits first .. first + count - 1; true if one is set. */
static bool
get_bits(const uint8_t *bitmap, uint32_t first, uint32_t count, uint8_t *null)
{
	uint8_t any = 0;
	uint32_t i = 0;

	for (; i < count; i++)
	{
		uint32_t row = first + i;

		if ((row & 7) == 0 && count - i >= 8)
		{
			flowi_store64(null + i, spread(bitmap[row >> 3]));
			any |= bitmap[row >> 3];
			i += 7;
			continue;
		}
		null[i] = bitmap[row >> 3] >> (row & 7) & 1;
		any |= null[i];
	}
	return any != 0;
}

FlowStatus
flowi_null_read(FlowColumnReader *r, uint32_t first, uint32_t count,
				FlowColumnVector *v, uint32_t at)
{
	uint8_t *null = v->null + at;

	if (r->stats.nulls == 0 || r->stats.nulls == r->n)
	{
		memset(null, r->stats.nulls > 0, count);
		v->any_null |= r->stats.nulls > 0;
		return FLOW_OK;
	}
	if (r->nulls == NULL && count == 1 && !r->asked)
	{
		FLOW_TRY(walk_runs(r, NULL, first, null));
		r->asked = true; /* another one is worth a bitmap */
		v->any_null |= *null;
		return FLOW_OK;
	}
	if (r->nulls == NULL)
		FLOW_TRY(expand_runs(r));
	v->any_null |= get_bits(r->nulls, first, count, null);
	return FLOW_OK;
}
