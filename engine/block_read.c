/*-------------------------------------------------------------------------
 * block_read.c
 *	  Read one block of versions, and search in it; format 1 (rows).
 *
 * Every length and the order of the rows are checked, whatever the frame's
 * checksum says.  Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

#include <inttypes.h>

void
flowi_block_init(FlowBlock *b, FlowEnv *env, FlowCodec *codec)
{
	memset(b, 0, sizeof(*b));
	b->env = env;
	b->codec = codec;
	flowi_column_reader_init(&b->chunk, env, codec);
}

void
flowi_block_free(FlowBlock *b)
{
	b->env->free(b->env, b->mem);
	b->mem = NULL;
	b->mem_bytes = 0;
	flowi_column_reader_free(&b->chunk);
	flowi_block_free_values(b);
}

static inline uint32_t
get16(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}

/* Read column col of n numbers into out; false when it is cut. */
static bool
get_column(FlowBlockSource *s, int col, uint32_t n, uint64_t *out)
{
	const uint8_t *p = s->p;
	unsigned width = s->head[OFF_WIDTHS + col];
	uint64_t base = flowi_get64(s->head + OFF_BASES + 8 * col);

	if (width > 8 || (width & (width - 1)) != 0 ||
		(uint64_t) width * n > (uint64_t) (s->end - p))
		return false;
	s->p += (size_t) width * n;
	if (width == 0)
		for (uint32_t i = 0; i < n; i++)
			out[i] = base;
	else if (width == 1)
		for (uint32_t i = 0; i < n; i++)
			out[i] = base + p[i];
	else if (width == 2)
		for (uint32_t i = 0; i < n; i++)
			out[i] = base + get16(p + 2 * (size_t) i);
	else if (width == 4)
		for (uint32_t i = 0; i < n; i++)
			out[i] = base + flowi_get32(p + 4 * (size_t) i);
	else
		for (uint32_t i = 0; i < n; i++)
			out[i] = base + flowi_get64(p + 8 * (size_t) i);
	return true;
}

const uint8_t *
flowi_block_bitmap(FlowBlockSource *s)
{
	size_t n = ((size_t) s->nrows + 7) / 8;
	const uint8_t *p = s->p;

	if ((size_t) (s->end - p) < n ||
		((s->nrows & 7) && p[n - 1] >> (s->nrows & 7)))
		return NULL;
	s->p += n;
	return p;
}

/*
 * The same column of lengths, of at most max each, as n + 1 offsets.  Lengths
 * of a byte or none, as those of most blocks, are added up where they stand:
 * no sum of 2^20 of them can overflow.
 */
static bool
get_lengths(FlowBlockSource *s, int col, uint32_t n, uint64_t max,
			uint64_t *scratch, uint32_t *off)
{
	const uint8_t *p = s->p;
	unsigned width = s->head[OFF_WIDTHS + col];
	uint64_t base = flowi_get64(s->head + OFF_BASES + 8 * col);
	uint64_t sum = 0;

	if (width > 1 || n > FLOW_BLOCK_FREE_ROWS || base > FLOW_MAX_VALUE ||
		base + UINT8_MAX > max)
		return get_column(s, col, n, scratch) &&
			   flowi_block_sum_lengths(scratch, n, max, off);
	if ((uint64_t) width * n > (uint64_t) (s->end - p))
		return false;
	s->p += (size_t) width * n;
	for (uint32_t i = 0; i < n; i++)
	{
		off[i] = (uint32_t) sum;
		sum += base + (width == 1 ? p[i] : 0);
	}
	off[n] = (uint32_t) sum;
	return sum <= FLOW_BLOCK_MAX_BYTES;
}

/* Turn n lengths into n + 1 offsets; false when one is above max or the sum
 * does not fit a block. */
bool
flowi_block_sum_lengths(const uint64_t *len, uint32_t n, uint64_t max,
						uint32_t *off)
{
	uint64_t sum = 0;
	bool bad = false;

	for (uint32_t i = 0; i < n; i++)
	{
		off[i] = (uint32_t) sum;
		bad |= len[i] > max || sum > FLOW_BLOCK_MAX_BYTES;
		sum += len[i];
	}
	off[n] = (uint32_t) sum;
	return !bad && sum <= FLOW_BLOCK_MAX_BYTES;
}

/* From the first timestamp of each run and the deltas behind to all of them;
 * false when they or the sequences are not in order. */
bool
flowi_block_sum_ts(const FlowBlockSource *s, const uint32_t *run_row,
				   const uint64_t *first, const uint64_t *delta, int64_t *ts,
				   bool *twicep)
{
	bool bad = false;
	bool twice = false;

	for (uint32_t r = 0; r < s->nruns; r++)
	{
		uint64_t t = first[r]; /* sign bit flipped: unsigned order */

		ts[run_row[r]] = (int64_t) (t ^ SIGN_BIT);
		for (uint32_t i = run_row[r] + 1; i < run_row[r + 1]; i++)
		{
			uint64_t d = *delta++;

			t += d;
			bad |= t < d;
			twice |= d == 0;
			ts[i] = (int64_t) (t ^ SIGN_BIT);
		}
	}
	*twicep = twice;
	return !bad;
}

bool
flowi_block_falling(const FlowBlockSource *s, const uint32_t *run_row,
					const int64_t *ts, const uint64_t *seq)
{
	bool bad = false;

	for (uint32_t r = 0; r < s->nruns; r++)
		for (uint32_t i = run_row[r] + 1; i < run_row[r + 1]; i++)
			bad |= (ts[i] == ts[i - 1]) & (seq[i] >= seq[i - 1]);
	return !bad;
}

FlowStatus
flowi_block_make_arrays(FlowBlock *b, const FlowBlockSource *s,
						FlowBlockArrays *a)
{
	size_t n = s->nrows;
	size_t size =
		n * (8 * 4 + 2 + 1) + (n + 1) * 4 + ((size_t) s->nruns + 1) * 16;

	if (size > b->mem_bytes)
	{
		b->env->free(b->env, b->mem);
		b->mem_bytes = 0;
		b->mem = b->env->alloc(b->env, size);
		if (b->mem == NULL)
			return flowi_fail(FLOW_NOMEM,
							  "out of memory: %zu bytes for a block", size);
		b->mem_bytes = size;
	}
	a->ts = b->mem;
	a->seq = (uint64_t *) (a->ts + n);
	a->expire_at = (int64_t *) (a->seq + n);
	a->scratch = (uint64_t *) (a->expire_at + n);
	a->run_ts = (int64_t *) (a->scratch + n);
	a->value_off = (uint32_t *) (a->run_ts + s->nruns);
	a->run_row = a->value_off + n + 1;
	a->key_off = a->run_row + s->nruns + 1;
	a->width = (uint16_t *) (a->key_off + s->nruns + 1);
	a->null = (uint8_t *) (a->width + n);
	return FLOW_OK;
}

/* The decode_* functions return what is wrong, or NULL. */
static const char *
decode_header(FlowBlockSource *s)
{
	const uint8_t *h = s->head;

	if (s->end - h < HEADER_BYTES)
		return "header is cut";
	s->p = h + HEADER_BYTES;
	s->flags = h[OFF_FLAGS];
	s->nrows = flowi_get32(h + OFF_NROWS);
	s->nruns = flowi_get32(h + OFF_NRUNS);
	if (s->flags > FLAGS_ALL ||
		(s->flags & (FLAG_MORTAL | FLAG_IMMORTAL)) == FLAG_IMMORTAL ||
		h[OFF_ZERO] != 0 || h[OFF_ZERO + 1] != 0 || h[OFF_ZERO + 2] != 0)
		return "unknown flags";
	if (s->nruns == 0 || s->nruns > s->nrows ||
		s->nrows > FLOW_BLOCK_FREE_ROWS + (uint64_t) (s->end - h))
		return "impossible row count";
	return NULL;
}

static const char *
decode_runs(FlowBlockSource *s, FlowBlockArrays *a)
{
	if (!get_column(s, COL_RUN_ROWS, s->nruns, a->scratch) ||
		!flowi_block_sum_lengths(a->scratch, s->nruns, s->nrows, a->run_row) ||
		a->run_row[s->nruns] != s->nrows)
		return "wrong runs";
	for (uint32_t i = 0; i < s->nruns; i++)
		if (a->scratch[i] == 0)
			return "empty run";
	if (!get_lengths(s, COL_KEY_LEN, s->nruns, FLOW_MAX_KEY, a->scratch,
					 a->key_off))
		return "wrong key lengths";
	return NULL;
}

/* The times of all rows of runs whose rows follow each other by one step;
 * false when they are not in order. */
static bool
spread_ts(const FlowBlockSource *s, const uint32_t *run_row,
		  const uint64_t *first, uint64_t step, int64_t *ts)
{
	bool bad = false;

	for (uint32_t r = 0; r < s->nruns; r++)
	{
		uint32_t n = run_row[r + 1] - run_row[r];
		int64_t *to = ts + run_row[r];
		uint64_t last;

		bad |= __builtin_mul_overflow(step, (uint64_t) n - 1, &last) ||
			   __builtin_add_overflow(last, first[r], &last);
		for (uint32_t i = 0; i < n; i++)
			to[i] = (int64_t) ((first[r] + i * step) ^ SIGN_BIT);
	}
	return !bad;
}

static const char *
decode_rows(FlowBlockSource *s, FlowBlockArrays *a)
{
	uint32_t ndeltas = s->nrows - s->nruns;
	uint64_t step = flowi_get64(s->head + OFF_BASES + 8 * COL_TS_DELTA);
	bool even = s->head[OFF_WIDTHS + COL_TS_DELTA] == 0 && step != 0;
	bool twice = false;

	/* first timestamps and deltas together fill the scratch array */
	if (!get_column(s, COL_FIRST_TS, s->nruns, a->scratch) ||
		(!even &&
		 !get_column(s, COL_TS_DELTA, ndeltas, a->scratch + s->nruns)) ||
		!get_column(s, COL_SEQ, s->nrows, a->seq))
		return "columns are cut";
	if (!(even ? spread_ts(s, a->run_row, a->scratch, step, a->ts)
			   : flowi_block_sum_ts(s, a->run_row, a->scratch,
									a->scratch + s->nruns, a->ts, &twice)) ||
		(twice && !flowi_block_falling(s, a->run_row, a->ts, a->seq)))
		return "versions out of order";
	if (!get_lengths(s, COL_VALUE_LEN, s->nrows, FLOW_MAX_VALUE, a->scratch,
					 a->value_off))
		return "wrong value lengths";
	return NULL;
}

void
flowi_block_put_expire(const FlowBlockSource *s, const uint8_t *mortal,
					   const FlowBlockArrays *a)
{
	for (uint32_t i = 0, k = 0; i < s->nrows; i++)
	{
		if (mortal && !flowi_block_bit(mortal, i))
			a->expire_at[i] = FLOW_NEVER;
		else
			a->expire_at[i] = (int64_t) ((uint64_t) a->ts[i] + a->scratch[k++]);
	}
}

uint32_t
flowi_block_count_bits(const uint8_t *bitmap, uint32_t nrows)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < nrows; i++)
		n += flowi_block_bit(bitmap, i);
	return n;
}

/* Expiry times: a number for each mortal row, spread over all rows. */
static const char *
decode_expire(FlowBlockSource *s, const FlowBlockArrays *a)
{
	const uint8_t *mortal = NULL;
	uint32_t n = s->nrows;

	if (s->flags & FLAG_IMMORTAL)
	{
		mortal = flowi_block_bitmap(s);
		if (mortal == NULL)
			return "wrong bitmap";
		n = flowi_block_count_bits(mortal, s->nrows);
	}
	if (!get_column(s, COL_LIFE, n, a->scratch))
		return "expiry times are cut";
	flowi_block_put_expire(s, mortal, a);
	return NULL;
}

static const char *
decode_options(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a)
{
	b->tombs = NULL;
	b->expire_at = NULL;
	if (s->flags & FLAG_TOMBS)
	{
		b->tombs = flowi_block_bitmap(s);
		if (b->tombs == NULL)
			return "wrong bitmap";
		for (uint32_t i = 0; i < s->nrows; i++)
			if (flowi_block_bit(b->tombs, i) &&
				a->value_off[i] != a->value_off[i + 1])
				return "tombstone with a value";
	}
	if (s->flags & FLAG_MORTAL)
	{
		b->expire_at = a->expire_at;
		return decode_expire(s, a);
	}
	return NULL;
}

const char *
flowi_block_put_keys(FlowBlock *b, const uint8_t *keys,
					 const FlowBlockSource *s, const FlowBlockArrays *a)
{
	b->keys = keys;
	b->nrows = s->nrows;
	b->nruns = s->nruns;
	b->run_row = a->run_row;
	b->key_off = a->key_off;
	for (uint32_t r = 1; r < b->nruns; r++)
	{
		uint32_t last_bytes, next_bytes;
		const uint8_t *last = flowi_block_key(b, r - 1, &last_bytes);
		const uint8_t *next = flowi_block_key(b, r, &next_bytes);

		if (flowi_key_cmp(last, last_bytes, next, next_bytes) >= 0)
			return "keys out of order";
	}
	return NULL;
}

static const char *
decode_bytes(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a)
{
	if ((uint64_t) (s->end - s->p) !=
		(uint64_t) a->key_off[s->nruns] + a->value_off[s->nrows])
		return "keys and values do not fill it";
	b->values = s->p + a->key_off[s->nruns];
	b->value_off = a->value_off;
	b->ts = a->ts;
	b->seq = a->seq;
	b->same_age = false;
	b->width = NULL;
	return flowi_block_put_keys(b, s->p, s, a);
}

/* Version 1; *wrongp: what is wrong, or NULL. */
static FlowStatus
decode_as_rows(FlowBlock *b, FlowBlockSource *s, const char **wrongp)
{
	FlowBlockArrays a = {0};

	*wrongp = decode_header(s);
	if (*wrongp != NULL)
		return FLOW_OK;
	FLOW_TRY(flowi_block_make_arrays(b, s, &a));
	*wrongp = decode_runs(s, &a);
	if (*wrongp == NULL)
		*wrongp = decode_rows(s, &a);
	if (*wrongp == NULL)
		*wrongp = decode_options(b, s, &a);
	if (*wrongp == NULL)
		*wrongp = decode_bytes(b, s, &a);
	return FLOW_OK;
}

FlowStatus
flowi_block_decode(FlowBlock *b, const uint8_t *raw, size_t raw_bytes,
				   const char *path, uint64_t off)
{
	FlowBlockSource s = {.head = raw, .end = raw + raw_bytes};
	unsigned version = raw_bytes > 0 ? raw[OFF_VERSION] : 0;
	const char *wrong = "no format version";

	if (version > FLOW_BLOCK_COLUMNS)
		return flowi_fail(FLOW_MISMATCH,
						  "block at offset %" PRIu64
						  " of file \"%s\" has format %u, newer than %u",
						  off, path, version, FLOW_BLOCK_COLUMNS);
	b->raw = raw;
	b->raw_bytes = raw_bytes;
	b->path = path;
	b->off = off;
	if (version == FLOW_BLOCK_ROWS)
		FLOW_TRY(decode_as_rows(b, &s, &wrong));
	else if (version == FLOW_BLOCK_COLUMNS)
		FLOW_TRY(flowi_block_decode_columns(b, &s, &wrong));
	FLOW_CHECK_DATA(wrong == NULL,
					"block at offset %" PRIu64 " of file \"%s\" is damaged: %s",
					off, path, wrong);
	return FLOW_OK;
}

/* ----------------------------------------------------------------- search */

/* The first run with a key >= key. */
static uint32_t
find_run(const FlowBlock *b, const uint8_t *key, uint32_t key_bytes)
{
	uint32_t lo = 0;
	uint32_t hi = b->nruns;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;
		uint32_t n;
		const uint8_t *k = flowi_block_key(b, mid, &n);

		if (flowi_key_cmp(k, n, key, key_bytes) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first row of a run that is at ts or later, or later than it. */
static uint32_t
find_row(const FlowBlock *b, uint32_t run, int64_t ts, bool after)
{
	uint32_t lo = b->run_row[run];
	uint32_t hi = b->run_row[run + 1];

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;
		int64_t at = flowi_block_ts(b, run, mid);

		if (at < ts || (after && at == ts))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
flowi_block_find(const FlowBlock *b, const uint8_t *key, uint32_t key_bytes,
				 int64_t ts, bool after, uint32_t *runp)
{
	uint32_t run = find_run(b, key, key_bytes);
	uint32_t row, n;
	const uint8_t *k;

	*runp = run;
	if (run == b->nruns)
		return b->nrows;
	k = flowi_block_key(b, run, &n);
	if (flowi_key_cmp(k, n, key, key_bytes) > 0)
		return b->run_row[run];
	row = find_row(b, run, ts, after);
	if (row == b->run_row[run + 1])
		*runp = run + 1;
	return row;
}
