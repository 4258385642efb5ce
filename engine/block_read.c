/*-------------------------------------------------------------------------
 * block_read.c
 *	  Read one block of versions, format 1 (rows), and search in it.
 *
 * Every length and the order of the rows are checked, whatever the frame's
 * checksum says.  Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

#include <inttypes.h>

/* What a decoder walks along: the block's bytes and its header. */
typedef struct Source
{
	const uint8_t *head;
	const uint8_t *p;
	const uint8_t *end;
	unsigned flags;
	uint32_t nrows;
	uint32_t nruns;
} Source;

void
flowi_block_init(FlowBlock *b, FlowEnv *env)
{
	memset(b, 0, sizeof(*b));
	b->env = env;
}

void
flowi_block_free(FlowBlock *b)
{
	b->env->free(b->env, b->mem);
	b->mem = NULL;
	b->mem_bytes = 0;
}

static inline bool
bit(const uint8_t *bitmap, uint32_t i)
{
	return bitmap[i >> 3] >> (i & 7) & 1;
}

static inline uint32_t
get16(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}

/* Read column col of n numbers into out; false when it is cut. */
static bool
get_column(Source *s, int col, uint32_t n, uint64_t *out)
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

static const uint8_t *
get_bitmap(Source *s)
{
	size_t n = ((size_t) s->nrows + 7) / 8;
	const uint8_t *p = s->p;

	if ((size_t) (s->end - p) < n ||
		((s->nrows & 7) && p[n - 1] >> (s->nrows & 7)))
		return NULL;
	s->p += n;
	return p;
}

/* Turn n lengths into n + 1 offsets; false when one is above max or the sum
 * does not fit a block. */
static bool
sum_lengths(const uint64_t *len, uint32_t n, uint64_t max, uint32_t *off)
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
static bool
sum_ts(const Source *s, const uint32_t *run_row, const uint64_t *first,
	   const uint64_t *delta, const uint64_t *seq, int64_t *ts)
{
	bool bad = false;

	for (uint32_t r = 0; r < s->nruns; r++)
	{
		uint64_t t = first[r]; /* sign bit flipped: unsigned order */

		ts[run_row[r]] = (int64_t) (t ^ SIGN_BIT);
		for (uint32_t i = run_row[r] + 1; i < run_row[r + 1]; i++)
		{
			uint64_t d = *delta++;

			t += d;
			bad |= t < d;
			bad |= (d == 0) & (seq[i] >= seq[i - 1]);
			ts[i] = (int64_t) (t ^ SIGN_BIT);
		}
	}
	return !bad;
}

/* The arrays in b->mem, in the order they lie there. */
typedef struct Arrays
{
	int64_t *ts;
	uint64_t *seq;
	int64_t *expire_at;
	uint64_t *scratch; /* nrows */
	uint32_t *value_off;
	uint32_t *run_row;
	uint32_t *key_off;
} Arrays;

static FlowStatus
make_arrays(FlowBlock *b, const Source *s, Arrays *a)
{
	size_t n = s->nrows;
	size_t size = n * 8 * 4 + (n + 1) * 4 + ((size_t) s->nruns + 1) * 8;

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
	a->value_off = (uint32_t *) (a->scratch + n);
	a->run_row = a->value_off + n + 1;
	a->key_off = a->run_row + s->nruns + 1;
	return FLOW_OK;
}

/* The decode_* functions return what is wrong, or NULL. */
static const char *
decode_header(Source *s)
{
	const uint8_t *h = s->head;

	if (s->end - h < HEADER_BYTES)
		return "header is cut";
	s->p = h + HEADER_BYTES;
	s->flags = h[OFF_FLAGS];
	s->nrows = flowi_get32(h + OFF_NROWS);
	s->nruns = flowi_get32(h + OFF_NRUNS);
	if (h[OFF_VERSION] != FLOW_BLOCK_VERSION)
		return "no format version";
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
decode_runs(Source *s, Arrays *a)
{
	if (!get_column(s, COL_RUN_ROWS, s->nruns, a->scratch) ||
		!sum_lengths(a->scratch, s->nruns, s->nrows, a->run_row) ||
		a->run_row[s->nruns] != s->nrows)
		return "wrong runs";
	for (uint32_t i = 0; i < s->nruns; i++)
		if (a->scratch[i] == 0)
			return "empty run";
	if (!get_column(s, COL_KEY_LEN, s->nruns, a->scratch) ||
		!sum_lengths(a->scratch, s->nruns, FLOW_MAX_KEY, a->key_off))
		return "wrong key lengths";
	return NULL;
}

static const char *
decode_rows(Source *s, Arrays *a)
{
	uint32_t ndeltas = s->nrows - s->nruns;

	/* first timestamps and deltas together fill the scratch array */
	if (!get_column(s, COL_FIRST_TS, s->nruns, a->scratch) ||
		!get_column(s, COL_TS_DELTA, ndeltas, a->scratch + s->nruns) ||
		!get_column(s, COL_SEQ, s->nrows, a->seq))
		return "columns are cut";
	if (!sum_ts(s, a->run_row, a->scratch, a->scratch + s->nruns, a->seq,
				a->ts))
		return "versions out of order";
	if (!get_column(s, COL_VALUE_LEN, s->nrows, a->scratch) ||
		!sum_lengths(a->scratch, s->nrows, FLOW_MAX_VALUE, a->value_off))
		return "wrong value lengths";
	return NULL;
}

/* Expiry times: a number for each mortal row, spread over all rows. */
static const char *
decode_expire(Source *s, Arrays *a)
{
	const uint8_t *mortal = NULL;
	uint32_t n = s->nrows;

	if (s->flags & FLAG_IMMORTAL)
	{
		mortal = get_bitmap(s);
		if (mortal == NULL)
			return "wrong bitmap";
		n = 0;
		for (uint32_t i = 0; i < s->nrows; i++)
			n += bit(mortal, i);
	}
	if (!get_column(s, COL_LIFE, n, a->scratch))
		return "expiry times are cut";
	for (uint32_t i = 0, k = 0; i < s->nrows; i++)
	{
		if (mortal && !bit(mortal, i))
			a->expire_at[i] = FLOW_NEVER;
		else
			a->expire_at[i] = (int64_t) ((uint64_t) a->ts[i] + a->scratch[k++]);
	}
	return NULL;
}

static const char *
decode_options(FlowBlock *b, Source *s, Arrays *a)
{
	b->tombs = NULL;
	b->expire_at = NULL;
	if (s->flags & FLAG_TOMBS)
	{
		b->tombs = get_bitmap(s);
		if (b->tombs == NULL)
			return "wrong bitmap";
		for (uint32_t i = 0; i < s->nrows; i++)
			if (bit(b->tombs, i) && a->value_off[i] != a->value_off[i + 1])
				return "tombstone with a value";
	}
	if (s->flags & FLAG_MORTAL)
	{
		b->expire_at = a->expire_at;
		return decode_expire(s, a);
	}
	return NULL;
}

static const char *
decode_bytes(FlowBlock *b, Source *s, const Arrays *a)
{
	uint32_t key_bytes = a->key_off[s->nruns];

	if ((uint64_t) (s->end - s->p) !=
		(uint64_t) key_bytes + a->value_off[s->nrows])
		return "keys and values do not fill it";
	b->keys = s->p;
	b->values = s->p + key_bytes;
	b->nrows = s->nrows;
	b->nruns = s->nruns;
	b->ts = a->ts;
	b->seq = a->seq;
	b->value_off = a->value_off;
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

FlowStatus
flowi_block_decode(FlowBlock *b, const uint8_t *raw, size_t raw_bytes,
				   const char *path, uint64_t off)
{
	Source s = {.head = raw, .end = raw + raw_bytes};
	Arrays a = {0};
	const char *wrong;

	if (raw_bytes > 0 && raw[OFF_VERSION] > FLOW_BLOCK_VERSION)
		return flowi_fail(FLOW_MISMATCH,
						  "block at offset %" PRIu64
						  " of file \"%s\" has format %u, newer than %u",
						  off, path, raw[OFF_VERSION], FLOW_BLOCK_VERSION);
	wrong = decode_header(&s);
	if (wrong == NULL)
	{
		FLOW_TRY(make_arrays(b, &s, &a));
		wrong = decode_runs(&s, &a);
		if (wrong == NULL)
			wrong = decode_rows(&s, &a);
		if (wrong == NULL)
			wrong = decode_options(b, &s, &a);
		if (wrong == NULL)
			wrong = decode_bytes(b, &s, &a);
	}
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

uint32_t
flowi_block_find(const FlowBlock *b, const uint8_t *key, uint32_t key_bytes,
				 int64_t ts, bool after, uint32_t *runp)
{
	uint32_t run = find_run(b, key, key_bytes);
	uint32_t lo, hi, n;
	const uint8_t *k;

	*runp = run;
	if (run == b->nruns)
		return b->nrows;
	lo = b->run_row[run];
	k = flowi_block_key(b, run, &n);
	if (flowi_key_cmp(k, n, key, key_bytes) > 0)
		return lo;
	hi = b->run_row[run + 1];
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (b->ts[mid] < ts || (after && b->ts[mid] == ts))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == b->run_row[run + 1])
		*runp = run + 1;
	return lo;
}
