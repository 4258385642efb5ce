/*-------------------------------------------------------------------------
 * block_build.c
 *	  Build one block of versions, format 1 (rows).
 *
 * Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

/* By how much columns may be larger than rows, which are compressed: not more
 * than what is read at once anyway. */
#define COLUMNS_SPARE 4096u

void
flowi_block_builder_init(FlowBlockBuilder *b, FlowEnv *env)
{
	memset(b, 0, sizeof(*b));
	flowi_buf_init(&b->rows, env);
	flowi_buf_init(&b->runs, env);
	flowi_buf_init(&b->keys, env);
	flowi_buf_init(&b->values, env);
	flowi_buf_init(&b->scratch, env);
	flowi_buf_init(&b->raw, env);
	flowi_buf_init(&b->split, env);
	flowi_buf_init(&b->cells, env);
	flowi_buf_init(&b->vector, env);
}

void
flowi_block_builder_shape(FlowBlockBuilder *b, const FlowShape *shape,
						  FlowCodec *codec, FlowCompression how, int level)
{
	FLOW_ASSERT(b->shape == NULL && b->nrows == 0);
	b->shape = shape;
	b->conforms = true;
	flowi_column_writer_init(&b->writer, b->raw.env, codec, how, level);
}

void
flowi_block_builder_free(FlowBlockBuilder *b)
{
	flowi_buf_free(&b->rows);
	flowi_buf_free(&b->runs);
	flowi_buf_free(&b->keys);
	flowi_buf_free(&b->values);
	flowi_buf_free(&b->scratch);
	flowi_buf_free(&b->raw);
	flowi_buf_free(&b->split);
	flowi_buf_free(&b->cells);
	flowi_buf_free(&b->vector);
	if (b->shape)
		flowi_column_writer_free(&b->writer);
}

void
flowi_block_reset(FlowBlockBuilder *b)
{
	b->nrows = b->nruns = 0;
	b->bytes = 0;
	b->max_bytes = 0;
	b->rows.len = b->runs.len = b->keys.len = b->values.len = 0;
	b->cells.len = 0;
	b->conforms = b->shape != NULL;
}

FlowStatus
flowi_block_add(FlowBlockBuilder *b, const FlowRec *rec, bool new_key)
{
	FlowBlockRow row = {.ts = rec->ts,
						.expire_at = rec->expire_at,
						.seq = rec->seq,
						.value_bytes = rec->value_bytes,
						.op = rec->op};

	FLOW_ASSERT(new_key || b->nruns > 0);
	if (b->nrows == 0)
	{
		b->first_key_bytes = rec->key_bytes;
		b->max_bytes = HEADER_BYTES + 2; /* 2: round up the bitmaps */
	}
	b->max_bytes += 4 * 8 + 1 + (uint64_t) rec->value_bytes;
	if (new_key)
		b->max_bytes += 3 * 8 + rec->key_bytes;
	if (b->max_bytes > FLOW_BLOCK_MAX_BYTES)
		return flowi_fail(FLOW_INVALID,
						  "versions of one record exceed %u bytes",
						  FLOW_BLOCK_MAX_BYTES);

	if (new_key)
	{
		FlowBlockRun run = {b->nrows, rec->key_bytes};

		FLOW_TRY(flowi_buf_append(&b->runs, &run, sizeof(run)));
		FLOW_TRY(flowi_buf_append(&b->keys, rec->key, rec->key_bytes));
		b->nruns++;
		b->bytes += rec->key_bytes;
	}
	FLOW_TRY(flowi_buf_append(&b->values, rec->value, rec->value_bytes));
	if (b->conforms)
		FLOW_TRY(flowi_block_split(b, &row, b->values.len - rec->value_bytes));
	FLOW_TRY(flowi_buf_append(&b->rows, &row, sizeof(row)));
	b->nrows++;
	b->bytes += FLOW_BLOCK_ROW_BYTES + (uint64_t) rec->value_bytes;
	return FLOW_OK;
}

static unsigned
width_for(uint64_t range)
{
	if (range == 0)
		return 0;
	if (range <= UINT8_MAX)
		return 1;
	if (range <= UINT16_MAX)
		return 2;
	return range <= UINT32_MAX ? 4 : 8;
}

/* Write the n numbers of b->scratch as column col; room is reserved. */
static void
put_column(FlowBlockBuilder *b, int col, uint32_t n)
{
	const uint64_t *v = (const uint64_t *) b->scratch.data;
	uint8_t *p = b->raw.data + b->raw.len;
	uint64_t lo = n ? v[0] : 0;
	uint64_t hi = lo;
	unsigned width;

	for (uint32_t i = 1; i < n; i++)
	{
		lo = FLOW_MIN(lo, v[i]);
		hi = FLOW_MAX(hi, v[i]);
	}
	width = width_for(hi - lo);
	b->raw.data[OFF_WIDTHS + col] = (uint8_t) width;
	flowi_put64(b->raw.data + OFF_BASES + 8 * col, lo);
	b->raw.len += (size_t) width * n;
	if (width == 1)
		for (uint32_t i = 0; i < n; i++)
			p[i] = (uint8_t) (v[i] - lo);
	else if (width == 2)
		for (uint32_t i = 0; i < n; i++)
		{
			p[2 * (size_t) i] = (uint8_t) (v[i] - lo);
			p[2 * (size_t) i + 1] = (uint8_t) ((v[i] - lo) >> 8);
		}
	else if (width == 4)
		for (uint32_t i = 0; i < n; i++)
			flowi_put32(p + 4 * (size_t) i, (uint32_t) (v[i] - lo));
	else if (width == 8)
		for (uint32_t i = 0; i < n; i++)
			flowi_put64(p + 8 * (size_t) i, v[i] - lo);
}

static void
put_run_columns(FlowBlockBuilder *b)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	const FlowBlockRun *runs = (const FlowBlockRun *) b->runs.data;
	uint64_t *v = (uint64_t *) b->scratch.data;

	for (uint32_t i = 0; i < b->nruns; i++)
		v[i] = (i + 1 < b->nruns ? runs[i + 1].first_row : b->nrows) -
			   runs[i].first_row;
	put_column(b, COL_RUN_ROWS, b->nruns);

	for (uint32_t i = 0; i < b->nruns; i++)
		v[i] = runs[i].key_bytes;
	put_column(b, COL_KEY_LEN, b->nruns);

	for (uint32_t i = 0; i < b->nruns; i++)
		v[i] = (uint64_t) rows[runs[i].first_row].ts ^ SIGN_BIT;
	put_column(b, COL_FIRST_TS, b->nruns);
}

static void
put_row_columns(FlowBlockBuilder *b)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	const FlowBlockRun *runs = (const FlowBlockRun *) b->runs.data;
	uint64_t *v = (uint64_t *) b->scratch.data;
	uint32_t n = 0;

	for (uint32_t i = 0, run = 0; i < b->nrows; i++)
	{
		if (run < b->nruns && runs[run].first_row == i)
			run++;
		else
			v[n++] = (uint64_t) rows[i].ts - (uint64_t) rows[i - 1].ts;
	}
	put_column(b, COL_TS_DELTA, n);

	for (uint32_t i = 0; i < b->nrows; i++)
		v[i] = rows[i].seq;
	put_column(b, COL_SEQ, b->nrows);

	for (uint32_t i = 0; i < b->nrows; i++)
		v[i] = rows[i].value_bytes;
	put_column(b, COL_VALUE_LEN, b->nrows);
}

void
flowi_block_put_bitmap(FlowBlockBuilder *b, bool (*test)(const FlowBlockRow *))
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	uint8_t *p = b->raw.data + b->raw.len;
	size_t n = ((size_t) b->nrows + 7) / 8;

	memset(p, 0, n);
	for (uint32_t i = 0; i < b->nrows; i++)
		if (test(&rows[i]))
			p[i >> 3] |= (uint8_t) (1u << (i & 7));
	b->raw.len += n;
}

/* What only some rows have; returns the flags. */
static unsigned
put_options(FlowBlockBuilder *b)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	uint64_t *v = (uint64_t *) b->scratch.data;
	unsigned flags = 0;
	uint32_t ntombs = 0;
	uint32_t nmortal = 0;

	for (uint32_t i = 0; i < b->nrows; i++)
	{
		ntombs += flowi_block_is_tomb(&rows[i]);
		if (flowi_block_is_mortal(&rows[i]))
			v[nmortal++] = (uint64_t) rows[i].expire_at - (uint64_t) rows[i].ts;
	}
	if (ntombs > 0)
	{
		flags |= FLAG_TOMBS;
		flowi_block_put_bitmap(b, flowi_block_is_tomb);
	}
	if (nmortal > 0)
	{
		flags |= FLAG_MORTAL;
		if (nmortal < b->nrows)
		{
			flags |= FLAG_IMMORTAL;
			flowi_block_put_bitmap(b, flowi_block_is_mortal);
		}
		put_column(b, COL_LIFE, nmortal);
	}
	return flags;
}

static FlowStatus
finish_rows(FlowBlockBuilder *b)
{
	unsigned flags;

	b->raw.len = 0;
	FLOW_TRY(flowi_buf_reserve(&b->raw, (size_t) b->max_bytes));
	FLOW_TRY(flowi_buf_reserve(&b->scratch, 8 * (size_t) b->nrows));

	memset(b->raw.data, 0, HEADER_BYTES);
	b->raw.len = HEADER_BYTES;
	put_run_columns(b);
	put_row_columns(b);
	flags = put_options(b);
	b->raw.data[OFF_VERSION] = FLOW_BLOCK_ROWS;
	b->raw.data[OFF_FLAGS] = (uint8_t) flags;
	flowi_put32(b->raw.data + OFF_NROWS, b->nrows);
	flowi_put32(b->raw.data + OFF_NRUNS, b->nruns);
	FLOW_TRY(flowi_buf_append(&b->raw, b->keys.data, b->keys.len));
	FLOW_TRY(flowi_buf_append(&b->raw, b->values.data, b->values.len));
	FLOW_ASSERT(b->raw.len <= b->max_bytes);
	return FLOW_OK;
}

FlowStatus
flowi_block_finish(FlowBlockBuilder *b, const uint8_t **rawp,
				   size_t *raw_bytesp)
{
	*rawp = NULL;
	*raw_bytesp = 0;
	FLOW_ASSERT(b->nrows > 0);
	b->as_columns = b->conforms && b->nrows <= FLOW_BLOCK_FREE_ROWS;
	if (b->as_columns)
	{
		FLOW_TRY(flowi_block_finish_columns(b));
		/* a header a column is too much for a few rows of many columns */
		b->as_columns = b->raw.len <= b->max_bytes + COLUMNS_SPARE;
	}
	if (!b->as_columns)
		FLOW_TRY(finish_rows(b));
	*rawp = b->raw.data;
	*raw_bytesp = b->raw.len;
	return FLOW_OK;
}
