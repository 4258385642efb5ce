/*-------------------------------------------------------------------------
 * block_peek.c
 *	  Find one version in the bytes of a block, without decoding the block.
 *
 * Decoding a block of version 1 goes over all its rows; a lookup wants one.
 * Where each column begins follows from the header, so what is read is the
 * header, the runs' columns up to the key's, the time steps of its run, and
 * the lengths of the values before the one that is wanted.
 *
 * It is for bytes that a decoder has accepted once (I19).  They are believed no
 * more for that: nothing outside of them is touched whatever they say, and
 * what is not plainly right is UNSURE, so that the decoder says what is wrong.
 *
 * Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

typedef struct Column
{
	const uint8_t *p;
	uint64_t base;
	unsigned width;
} Column;

typedef struct Block
{
	uint32_t nrows;
	uint32_t nruns;
	unsigned flags;
	Column col[NCOLUMNS];
	const uint8_t *tombs;  /* NULL: none is one */
	const uint8_t *mortal; /* NULL: all are, or none */
	const uint8_t *keys;
	const uint8_t *end;
} Block;

/* A run, and where its key and its first row are. */
typedef struct Run
{
	uint32_t no;
	uint32_t first;
	uint32_t nrows;
	uint32_t key; /* offset in the keys */
	uint32_t key_bytes;
	uint32_t keys_bytes; /* of all runs */
} Run;

/* Number i of a column. */
static inline uint64_t
number(const Column *c, size_t i)
{
	switch (c->width)
	{
		case 0:
			return c->base;
		case 1:
			return c->base + c->p[i];
		case 2:
			return c->base + c->p[2 * i] + ((uint64_t) c->p[2 * i + 1] << 8);
		case 4:
			return c->base + flowi_get32(c->p + 4 * i);
		default:
			return c->base + flowi_get64(c->p + 8 * i);
	}
}

/* The sum of n bytes: eight at a time in four sums of 16 bits, which hold 128
 * times two bytes. */
static uint64_t
sum_bytes(const uint8_t *p, size_t n)
{
	const uint64_t mask = UINT64_C(0x00ff00ff00ff00ff);
	uint64_t sum = 0;

	while (n >= 8)
	{
		size_t steps = FLOW_MIN(n / 8, 128);
		uint64_t part = 0;

		for (size_t i = 0; i < steps; i++, p += 8)
		{
			uint64_t x;

			memcpy(&x, p, sizeof(x));
			part += (x & mask) + (x >> 8 & mask);
		}
		sum += (part & 0xffff) + (part >> 16 & 0xffff) + (part >> 32 & 0xffff) +
			   (part >> 48);
		n -= 8 * steps;
	}
	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

/* The sum of numbers from .. from + n - 1, modulo 2^64. */
static uint64_t
sum_numbers(const Column *c, size_t from, size_t n)
{
	uint64_t sum = n * c->base;

	if (c->width == 1)
		return sum + sum_bytes(c->p + from, n);
	for (size_t i = from; c->width > 0 && i < from + n; i++)
		sum += number(c, i) - c->base;
	return sum;
}

/* How many of the first n bits are set. */
static uint32_t
count_bits(const uint8_t *bitmap, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n / 8; i++)
		count += (uint32_t) __builtin_popcount(bitmap[i]);
	if (n % 8 != 0)
		count +=
			(uint32_t) __builtin_popcount(bitmap[n / 8] & ((1u << n % 8) - 1));
	return count;
}

/* Set column no, of n numbers, which begins at offset *atp. */
static bool
set_column(Block *b, const uint8_t *raw, int no, uint32_t n, size_t *atp)
{
	Column *c = &b->col[no];

	c->width = raw[OFF_WIDTHS + no];
	c->base = flowi_get64(raw + OFF_BASES + 8 * no);
	c->p = raw + *atp;
	*atp += (size_t) c->width * n;
	return c->width <= 8 && (c->width & (c->width - 1)) == 0 &&
		   *atp <= (size_t) (b->end - raw);
}

/* Set a bitmap of the rows. */
static bool
set_bitmap(const Block *b, const uint8_t *raw, const uint8_t **bitmapp,
		   size_t *atp)
{
	*bitmapp = raw + *atp;
	*atp += ((size_t) b->nrows + 7) / 8;
	return *atp <= (size_t) (b->end - raw);
}

/* Where is what in the block?  False: it is no block of that version. */
static bool
lay_out(Block *b, const uint8_t *raw, size_t raw_bytes)
{
	size_t at = HEADER_BYTES;
	uint32_t n, r, nmortal;

	if (raw_bytes < HEADER_BYTES || raw[OFF_VERSION] != FLOW_BLOCK_ROWS)
		return false;
	b->end = raw + raw_bytes;
	b->flags = raw[OFF_FLAGS];
	b->nrows = n = flowi_get32(raw + OFF_NROWS);
	b->nruns = r = flowi_get32(raw + OFF_NRUNS);
	b->tombs = b->mortal = NULL;
	if (b->flags > FLAGS_ALL || r == 0 || r > n ||
		n > FLOW_BLOCK_FREE_ROWS + (uint64_t) raw_bytes ||
		!set_column(b, raw, COL_RUN_ROWS, r, &at) ||
		!set_column(b, raw, COL_KEY_LEN, r, &at) ||
		!set_column(b, raw, COL_FIRST_TS, r, &at) ||
		!set_column(b, raw, COL_TS_DELTA, n - r, &at) ||
		!set_column(b, raw, COL_SEQ, n, &at) ||
		!set_column(b, raw, COL_VALUE_LEN, n, &at))
		return false;
	if ((b->flags & FLAG_TOMBS) && !set_bitmap(b, raw, &b->tombs, &at))
		return false;
	if ((b->flags & FLAG_IMMORTAL) && !set_bitmap(b, raw, &b->mortal, &at))
		return false;
	nmortal = b->flags & FLAG_MORTAL ? n : 0;
	if (b->mortal)
		nmortal = count_bits(b->mortal, n);
	if (nmortal > 0 && !set_column(b, raw, COL_LIFE, nmortal, &at))
		return false;
	b->keys = raw + at;
	return true;
}

/* The run of the key among keys of equal lengths. */
static FlowPeek
search_run(const Block *b, const FlowSeek *to, Run *run)
{
	uint32_t bytes = (uint32_t) b->col[COL_KEY_LEN].base;
	uint32_t lo = 0;
	uint32_t hi = b->nruns;

	run->keys_bytes = b->nruns * bytes;
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;
		int c = flowi_key_cmp(b->keys + (size_t) mid * bytes, bytes, to->key,
							  to->key_bytes);

		if (c == 0)
		{
			run->no = mid;
			run->key = mid * bytes;
			run->key_bytes = bytes;
			return FLOW_PEEK_ROW;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return FLOW_PEEK_NONE;
}

/* The same among others: one by one. */
static FlowPeek
walk_runs(const Block *b, const FlowSeek *to, Run *run)
{
	const Column *len = &b->col[COL_KEY_LEN];
	size_t room = (size_t) (b->end - b->keys);
	size_t at = 0;
	bool passed = false;
	FlowPeek found = FLOW_PEEK_NONE;

	for (uint32_t r = 0; r < b->nruns; r++)
	{
		uint64_t bytes = number(len, r);
		int c;

		if (bytes > FLOW_MAX_KEY || bytes > room - at)
			return FLOW_PEEK_UNSURE;
		if (!passed)
		{
			c = flowi_key_cmp(b->keys + at, (uint32_t) bytes, to->key,
							  to->key_bytes);
			passed = c >= 0;
			if (c == 0)
			{
				run->no = r;
				run->key = (uint32_t) at;
				run->key_bytes = (uint32_t) bytes;
				found = FLOW_PEEK_ROW;
			}
		}
		at += bytes;
	}
	run->keys_bytes = (uint32_t) at;
	return found;
}

static FlowPeek
find_run(const Block *b, const FlowSeek *to, Run *run)
{
	const Column *len = &b->col[COL_KEY_LEN];
	FlowPeek found;
	uint64_t first, n;

	if (len->width > 0)
		found = walk_runs(b, to, run);
	else if (len->base > FLOW_MAX_KEY ||
			 len->base * b->nruns > (size_t) (b->end - b->keys))
		return FLOW_PEEK_UNSURE;
	else
		found = search_run(b, to, run);
	if (found != FLOW_PEEK_ROW)
		return found;
	first = sum_numbers(&b->col[COL_RUN_ROWS], 0, run->no);
	n = number(&b->col[COL_RUN_ROWS], run->no);
	if (first >= b->nrows || n == 0 || n > b->nrows - first)
		return FLOW_PEEK_UNSURE;
	run->first = (uint32_t) first;
	run->nrows = (uint32_t) n;
	/* each run before has a step less than it has rows */
	return run->first >= run->no &&
				   run->first - run->no + run->nrows - 1 <= b->nrows - b->nruns
			   ? FLOW_PEEK_ROW
			   : FLOW_PEEK_UNSURE;
}

/* The first row of the run at that time: the newest version. */
static FlowPeek
find_time(const Block *b, const Run *run, int64_t ts, uint32_t *rowp)
{
	const Column *delta = &b->col[COL_TS_DELTA];
	uint64_t want = (uint64_t) ts ^ SIGN_BIT;
	uint64_t t = number(&b->col[COL_FIRST_TS], run->no);
	size_t d = run->first - run->no;
	uint32_t i = 0;

	if (want < t)
		return FLOW_PEEK_NONE;
	if (delta->width == 0 && delta->base > 0)
	{
		uint64_t steps = (want - t) / delta->base;

		if (steps * delta->base != want - t || steps >= run->nrows)
			return FLOW_PEEK_NONE;
		*rowp = run->first + (uint32_t) steps;
		return FLOW_PEEK_ROW;
	}
	while (t < want && ++i < run->nrows)
		if (__builtin_add_overflow(t, number(delta, d++), &t))
			return FLOW_PEEK_UNSURE;
	*rowp = run->first + i;
	return t == want ? FLOW_PEEK_ROW : FLOW_PEEK_NONE;
}

/* The run's last time, and the first row there. */
static uint32_t
find_last(const Block *b, const Run *run, int64_t *tsp)
{
	const Column *delta = &b->col[COL_TS_DELTA];
	size_t d = run->first - run->no;
	uint32_t i = run->nrows - 1;

	*tsp = (int64_t) ((number(&b->col[COL_FIRST_TS], run->no) +
					   sum_numbers(delta, d, i)) ^
					  SIGN_BIT);
	while (i > 0 && number(delta, d + i - 1) == 0)
		i--;
	return run->first + i;
}

/* Set rec to a row of the run at rec->ts. */
static FlowPeek
get_row(const Block *b, const Run *run, uint32_t row, FlowRec *rec)
{
	const Column *len = &b->col[COL_VALUE_LEN];
	const uint8_t *values = b->keys + run->keys_bytes;
	uint64_t off = sum_numbers(len, 0, row);
	uint64_t bytes = number(len, row);
	bool tomb = b->tombs && flowi_block_bit(b->tombs, row);

	if (off > (size_t) (b->end - values) || bytes > FLOW_MAX_VALUE ||
		bytes > (size_t) (b->end - values) - off || (tomb && bytes > 0))
		return FLOW_PEEK_UNSURE;
	rec->key = b->keys + run->key;
	rec->key_bytes = run->key_bytes;
	rec->value = tomb ? NULL : values + off;
	rec->value_bytes = (uint32_t) bytes;
	rec->op = tomb ? FLOW_DELETE : FLOW_PUT;
	rec->seq = number(&b->col[COL_SEQ], row);
	rec->txn = NULL;
	rec->expire_at = FLOW_NEVER;
	if ((b->flags & FLAG_MORTAL) &&
		(b->mortal == NULL || flowi_block_bit(b->mortal, row)))
	{
		uint32_t i = b->mortal ? count_bits(b->mortal, row) : row;

		rec->expire_at =
			(int64_t) ((uint64_t) rec->ts + number(&b->col[COL_LIFE], i));
	}
	return FLOW_PEEK_ROW;
}

FlowPeek
flowi_block_peek(const uint8_t *raw, size_t raw_bytes, const FlowSeek *to,
				 bool last, FlowRec *rec)
{
	Block b;
	Run run;
	uint32_t row;
	FlowPeek found;

	if (!lay_out(&b, raw, raw_bytes))
		return FLOW_PEEK_UNSURE;
	found = find_run(&b, to, &run);
	if (found != FLOW_PEEK_ROW)
		return found;
	rec->ts = to->ts;
	if (last)
		row = find_last(&b, &run, &rec->ts);
	else
	{
		found = find_time(&b, &run, to->ts, &row);
		if (found != FLOW_PEEK_ROW)
			return found;
	}
	return get_row(&b, &run, row, rec);
}
