/*-------------------------------------------------------------------------
 * block_colread.c
 *	  Read one block of versions, format 2 (columns): all but the values.
 *
 * Bytes: doc/FORMAT.md "Block, version 2 (columns)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

#include <inttypes.h>

#define SEQS_ALONE 8u /* read one by one, before all of a block are */

static inline uint32_t
get16(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}

/* Is that a kind and its width?  What comes from a chunk of a kind that the
 * build does not know could not be read. */
static bool
is_column(unsigned kind, uint32_t bytes)
{
	switch (kind)
	{
		case FLOW_COLUMN_INT:
			return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
		case FLOW_COLUMN_FLOAT:
			return bytes == 4 || bytes == 8;
		case FLOW_COLUMN_FIXED:
			return bytes >= 1 && bytes <= INT16_MAX;
		case FLOW_COLUMN_PACKED:
		case FLOW_COLUMN_PLAIN:
		case FLOW_COLUMN_STRING:
			return bytes == 0;
		default:
			return false;
	}
}

static const char *
decode_header(FlowBlock *b, FlowBlockSource *s)
{
	const uint8_t *h = s->head;

	if (s->end - h < HEADER2_BYTES)
		return "header is cut";
	s->flags = h[OFF_FLAGS];
	s->nrows = flowi_get32(h + OFF2_NROWS);
	s->nruns = flowi_get32(h + OFF2_NRUNS);
	b->ncolumns = get16(h + OFF2_NCOLUMNS);
	if (s->flags > FLAGS2_ALL ||
		(s->flags & (FLAG_MORTAL | FLAG_IMMORTAL)) == FLAG_IMMORTAL)
		return "unknown flags";
	if (s->nruns == 0 || s->nruns > s->nrows ||
		s->nrows > FLOW_BLOCK_FREE_ROWS || b->ncolumns > FLOW_MAX_COLUMNS)
		return "impossible row count";
	if (DIR_ENTRY * (size_t) b->ncolumns >
		(size_t) (s->end - h) - HEADER2_BYTES)
		return "directory is cut";
	s->p = h + HEADER2_BYTES + DIR_ENTRY * (size_t) b->ncolumns;
	return NULL;
}

/* The chunks of value columns fill the block from s->p on. */
static const char *
check_directory(const FlowBlock *b, const FlowBlockSource *s)
{
	const uint8_t *e = s->head + HEADER2_BYTES;
	size_t size = (size_t) (s->end - s->head);
	size_t at = (size_t) (s->p - s->head);
	size_t last = at;

	if (b->ncolumns == 0)
		return at == size ? NULL : "bytes behind the end";
	for (uint32_t c = 0; c < b->ncolumns; c++, e += DIR_ENTRY)
	{
		uint32_t off = flowi_get32(e + DIR_OFFSET);

		if (!is_column(e[DIR_KIND], get16(e + DIR_BYTES)) || e[DIR_ZERO] != 0)
			return "unknown kind of column";
		if (off < last || off > size || (c == 0 && off != at))
			return "wrong directory";
		last = off;
	}
	return NULL;
}

/* The numbers of columns that are no value's are of this kind. */
static const FlowColumn number = {.kind = FLOW_COLUMN_INT, .bytes = 8};

/* Step over the chunk of column col, of n numbers, and open it. */
static FlowStatus
open_numbers(FlowBlock *b, FlowBlockSource *s, int col, uint32_t n)
{
	uint32_t bytes = flowi_get32(s->head + OFF2_LENGTHS + 4 * col);
	const uint8_t *chunk = s->p;

	if (n == 0)
		return bytes == 0 ? FLOW_OK : FLOW_CORRUPT;
	if (bytes > (size_t) (s->end - s->p))
		return FLOW_CORRUPT;
	s->p += bytes;
	FLOW_TRY(flowi_column_open(&b->chunk, &number, n, chunk, bytes));
	return b->chunk.stats.nulls > 0 ? FLOW_CORRUPT : FLOW_OK;
}

/* The first n numbers of the open chunk. */
static FlowStatus
read_numbers(FlowBlock *b, uint32_t n, const FlowBlockArrays *a, uint64_t *out)
{
	FlowColumnVector v = {.num = (int64_t *) out, .null = a->null};

	return n > 0 ? flowi_column_read(&b->chunk, 0, n, &v, 0) : FLOW_OK;
}

static FlowStatus
get_numbers(FlowBlock *b, FlowBlockSource *s, int col, uint32_t n,
			const FlowBlockArrays *a, uint64_t *out)
{
	FLOW_TRY(open_numbers(b, s, col, n));
	return read_numbers(b, n, a, out);
}

/*
 * The decode_* functions: *wrongp is what is wrong, or NULL; their status is
 * CORRUPT, without a record, when a chunk is.
 */
static FlowStatus
decode_runs(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a,
			const char **wrongp)
{
	uint32_t key_bytes = flowi_get32(s->head + OFF2_KEY_BYTES);
	const uint8_t *keys = s->p;

	*wrongp = "keys are cut";
	if (key_bytes > (size_t) (s->end - s->p))
		return FLOW_OK;
	s->p += key_bytes;
	*wrongp = "wrong runs";
	FLOW_TRY(get_numbers(b, s, COL_RUN_ROWS, s->nruns, a, a->scratch));
	if (!flowi_block_sum_lengths(a->scratch, s->nruns, s->nrows, a->run_row) ||
		a->run_row[s->nruns] != s->nrows)
		return FLOW_OK;
	for (uint32_t i = 0; i < s->nruns; i++)
		if (a->scratch[i] == 0)
			return FLOW_OK;
	*wrongp = "wrong key lengths";
	FLOW_TRY(get_numbers(b, s, COL_KEY_LEN, s->nruns, a, a->scratch));
	if (!flowi_block_sum_lengths(a->scratch, s->nruns, FLOW_MAX_KEY,
								 a->key_off) ||
		a->key_off[s->nruns] != key_bytes)
		return FLOW_OK;
	*wrongp = flowi_block_put_keys(b, keys, s, a);
	return FLOW_OK;
}

/* Are all times of the runs, step apart, in order? */
static bool
is_regular(const FlowBlock *b, const FlowBlockSource *s, uint64_t step)
{
	for (uint32_t r = 0; r < s->nruns; r++)
	{
		uint64_t steps = b->run_row[r + 1] - b->run_row[r] - 1;
		uint64_t room = UINT64_MAX - ((uint64_t) b->run_ts[r] ^ SIGN_BIT);

		if (steps > 0 && (step == 0 || room / step < steps))
			return false;
	}
	return true;
}

/* Times; *twicep: some come twice. */
static FlowStatus
decode_ts(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a,
		  bool *twicep, const char **wrongp)
{
	uint32_t ndeltas = s->nrows - s->nruns;
	uint64_t *delta = a->scratch + s->nruns;

	*wrongp = "wrong timestamps";
	*twicep = false;
	FLOW_TRY(
		get_numbers(b, s, COL_FIRST_TS, s->nruns, a, (uint64_t *) a->run_ts));
	FLOW_TRY(open_numbers(b, s, COL_TS_DELTA, ndeltas));
	b->ts = NULL;
	b->run_ts = a->run_ts;
	b->step = 0;
	if (ndeltas == 0 || b->chunk.encoding == FLOW_CHUNK_ONE)
	{
		FLOW_TRY(read_numbers(b, ndeltas > 0, a, &b->step));
		if (is_regular(b, s, b->step))
		{
			*wrongp = NULL;
			return FLOW_OK;
		}
	}
	FLOW_TRY(read_numbers(b, ndeltas, a, delta));
	for (uint32_t r = 0; r < s->nruns; r++)
		a->scratch[r] = (uint64_t) a->run_ts[r] ^ SIGN_BIT;
	b->ts = a->ts;
	*wrongp = "versions out of order";
	if (flowi_block_sum_ts(s, a->run_row, a->scratch, delta, a->ts, twicep))
		*wrongp = NULL;
	return FLOW_OK;
}

/* Sequences: the chunk is the last one that b->chunk is at. */
static FlowStatus
decode_seqs(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a,
			bool twice, const char **wrongp)
{
	*wrongp = "wrong sequences";
	b->seq = NULL;
	b->seq_room = a->seq;
	b->null_room = a->null;
	b->seqs_asked = 0;
	FLOW_TRY(open_numbers(b, s, COL_SEQ, s->nrows));
	if (twice)
	{
		FLOW_TRY(read_numbers(b, s->nrows, a, a->seq));
		b->seq = a->seq;
		*wrongp = "versions out of order";
		if (!flowi_block_falling(s, a->run_row, a->ts, a->seq))
			return FLOW_OK;
	}
	*wrongp = NULL;
	return FLOW_OK;
}

static FlowStatus
decode_widths(FlowBlock *b, FlowBlockSource *s, const FlowBlockArrays *a,
			  const char **wrongp)
{
	*wrongp = "wrong numbers of columns";
	b->width = NULL;
	if (s->flags & FLAG_WIDTHS)
		b->width = a->width;
	FLOW_TRY(
		get_numbers(b, s, COL_WIDTH, b->width ? s->nrows : 0, a, a->scratch));
	for (uint32_t i = 0; b->width && i < s->nrows; i++)
	{
		if (a->scratch[i] > b->ncolumns)
			return FLOW_OK;
		a->width[i] = (uint16_t) a->scratch[i];
	}
	*wrongp = NULL;
	return FLOW_OK;
}

/* The times of rows of a run that are evenly spaced. */
static void
put_ts(const FlowBlock *b, uint32_t run, int64_t *ts)
{
	uint64_t t = (uint64_t) b->run_ts[run];

	for (uint32_t i = b->run_row[run]; i < b->run_row[run + 1]; i++)
	{
		ts[i] = (int64_t) t;
		t += b->step;
	}
}

static FlowStatus
decode_expire(FlowBlock *b, FlowBlockSource *s, const uint8_t *mortal,
			  const FlowBlockArrays *a, const char **wrongp)
{
	uint32_t n = s->flags & FLAG_MORTAL ? s->nrows : 0;

	*wrongp = "wrong expiry times";
	if (mortal)
		n = flowi_block_count_bits(mortal, s->nrows);
	b->expire_at = NULL;
	FLOW_TRY(open_numbers(b, s, COL_LIFE, n));
	b->same_age = n > 0 && !mortal && b->chunk.encoding == FLOW_CHUNK_ONE;
	if (b->same_age)
		FLOW_TRY(read_numbers(b, 1, a, &b->age));
	else if (s->flags & FLAG_MORTAL)
	{
		FLOW_TRY(read_numbers(b, n, a, a->scratch));
		for (uint32_t r = 0; b->ts == NULL && r < s->nruns; r++)
			put_ts(b, r, a->ts);
		b->ts = a->ts;
		flowi_block_put_expire(s, mortal, a);
		b->expire_at = a->expire_at;
	}
	*wrongp = NULL;
	return FLOW_OK;
}

static FlowStatus
decode_chunks(FlowBlock *b, FlowBlockSource *s, const char **wrongp)
{
	const uint8_t *mortal = NULL;
	FlowBlockArrays a;
	bool twice;

	FLOW_TRY(flowi_block_make_arrays(b, s, &a));
	*wrongp = "wrong bitmap";
	b->tombs = NULL;
	if (s->flags & FLAG_TOMBS && (b->tombs = flowi_block_bitmap(s)) == NULL)
		return FLOW_OK;
	if (s->flags & FLAG_IMMORTAL && (mortal = flowi_block_bitmap(s)) == NULL)
		return FLOW_OK;
	FLOW_TRY(decode_runs(b, s, &a, wrongp));
	if (*wrongp == NULL)
		FLOW_TRY(decode_ts(b, s, &a, &twice, wrongp));
	if (*wrongp == NULL)
		FLOW_TRY(decode_widths(b, s, &a, wrongp));
	if (*wrongp == NULL)
		FLOW_TRY(decode_expire(b, s, mortal, &a, wrongp));
	if (*wrongp == NULL)
		FLOW_TRY(decode_seqs(b, s, &a, twice, wrongp));
	if (*wrongp == NULL)
		*wrongp = check_directory(b, s);
	return FLOW_OK;
}

FlowStatus
flowi_block_decode_columns(FlowBlock *b, FlowBlockSource *s,
						   const char **wrongp)
{
	FlowStatus st = FLOW_OK;

	b->values = NULL;
	b->value_off = NULL;
	flowi_block_reset_values(b);
	*wrongp = decode_header(b, s);
	if (*wrongp == NULL)
		st = decode_chunks(b, s, wrongp);
	/* a chunk's error has no record yet; *wrongp says what it was */
	return st == FLOW_CORRUPT ? FLOW_OK : st;
}

/* ------------------------------------------------------ what is asked for */

FlowStatus
flowi_block_read_seq(FlowBlock *b, uint32_t row, uint64_t *seqp)
{
	bool all = b->seqs_asked++ >= SEQS_ALONE;
	FlowColumnVector v = {.num = (int64_t *) (all ? b->seq_room : seqp),
						  .null = b->null_room};
	FlowStatus st =
		flowi_column_read(&b->chunk, all ? 0 : row, all ? b->nrows : 1, &v, 0);

	if (st == FLOW_CORRUPT)
		return flowi_fail(st,
						  "block at offset %" PRIu64
						  " of file \"%s\" is damaged: wrong sequences",
						  b->off, b->path);
	FLOW_TRY(st);
	if (all)
	{
		b->seq = b->seq_room;
		*seqp = b->seq[row];
	}
	return FLOW_OK;
}
