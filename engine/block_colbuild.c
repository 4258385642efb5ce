/*-------------------------------------------------------------------------
 * block_colbuild.c
 *	  Build one block of versions, format 2 (columns).
 *
 * Each value is taken apart when it comes, so that one that is no row of the
 * shape is known at once: such a block becomes one of rows, and ends where
 * those end.
 *
 * Bytes: doc/FORMAT.md "Block, version 2 (columns)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

/* A value of a row: where it is in b->values. */
typedef struct Cell
{
	uint32_t off; /* NO_VALUE: NULL */
	uint32_t bytes;
} Cell;

#define NO_VALUE UINT32_MAX

FlowStatus
flowi_block_split(FlowBlockBuilder *b, FlowBlockRow *row, size_t off)
{
	const FlowShape *shape = b->shape;
	const uint8_t *value = b->values.data + off;
	FlowRowValue *values;
	uint32_t n;
	Cell *cell;

	row->width = 0;
	if (row->op == FLOW_DELETE)
		return FLOW_OK;
	b->split.len = 0;
	FLOW_TRY(
		flowi_buf_reserve(&b->split, shape->ncolumns * sizeof(*values) + 1));
	values = (FlowRowValue *) b->split.data;
	b->conforms = flowi_row_split(shape, value, row->value_bytes, values, &n);
	if (!b->conforms)
		return FLOW_OK;
	row->width = (uint16_t) n;
	FLOW_TRY(flowi_buf_reserve(&b->cells, n * sizeof(*cell)));
	cell = (Cell *) (b->cells.data + b->cells.len);
	b->cells.len += n * sizeof(*cell);
	for (uint32_t c = 0; c < n; c++)
	{
		cell[c].bytes = values[c].bytes;
		cell[c].off = values[c].p == NULL
						  ? NO_VALUE
						  : (uint32_t) (off + (size_t) (values[c].p - value));
	}
	return FLOW_OK;
}

/* --- columns of numbers --- */

/* Write the n numbers of v as column col, and its length. */
static FlowStatus
put_numbers(FlowBlockBuilder *b, int col, const FlowColumnVector *v, uint32_t n)
{
	static const FlowColumn number = {.kind = FLOW_COLUMN_INT, .bytes = 8};
	size_t before = b->raw.len;

	if (n == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_column_write(&b->writer, &number, v, n, &b->raw));
	flowi_put32(b->raw.data + OFF2_LENGTHS + 4 * col,
				(uint32_t) (b->raw.len - before));
	return FLOW_OK;
}

static FlowStatus
put_run_columns(FlowBlockBuilder *b, const FlowColumnVector *v)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	const FlowBlockRun *runs = (const FlowBlockRun *) b->runs.data;
	uint32_t n = b->nruns;

	for (uint32_t i = 0; i < n; i++)
		v->num[i] = (int64_t) (i + 1 < n ? runs[i + 1].first_row : b->nrows) -
					runs[i].first_row;
	FLOW_TRY(put_numbers(b, COL_RUN_ROWS, v, n));
	for (uint32_t i = 0; i < n; i++)
		v->num[i] = runs[i].key_bytes;
	FLOW_TRY(put_numbers(b, COL_KEY_LEN, v, n));
	for (uint32_t i = 0; i < n; i++)
		v->num[i] = rows[runs[i].first_row].ts;
	return put_numbers(b, COL_FIRST_TS, v, n);
}

static FlowStatus
put_deltas(FlowBlockBuilder *b, const FlowColumnVector *v)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	const FlowBlockRun *runs = (const FlowBlockRun *) b->runs.data;
	uint32_t n = 0;

	for (uint32_t i = 0, run = 0; i < b->nrows; i++)
	{
		if (run < b->nruns && runs[run].first_row == i)
			run++;
		else
			v->num[n++] =
				(int64_t) ((uint64_t) rows[i].ts - (uint64_t) rows[i - 1].ts);
	}
	return put_numbers(b, COL_TS_DELTA, v, n);
}

static FlowStatus
put_seqs(FlowBlockBuilder *b, const FlowColumnVector *v)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;

	for (uint32_t i = 0; i < b->nrows; i++)
		v->num[i] = (int64_t) rows[i].seq;
	return put_numbers(b, COL_SEQ, v, b->nrows);
}

/* How many value columns the block has; *mixedp: not all rows have them. */
static uint32_t
count_columns(const FlowBlockBuilder *b, bool *mixedp)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	uint32_t least = UINT32_MAX;
	uint32_t most = 0;

	for (uint32_t i = 0; i < b->nrows; i++)
	{
		if (rows[i].op == FLOW_DELETE)
			continue;
		least = FLOW_MIN(least, rows[i].width);
		most = FLOW_MAX(most, rows[i].width);
	}
	*mixedp = least < most;
	return most;
}

/* What only some rows have. */
static FlowStatus
put_options(FlowBlockBuilder *b, const FlowColumnVector *v, uint32_t ncolumns)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	unsigned flags = b->raw.data[OFF_FLAGS];
	uint32_t n = 0;

	if (flags & FLAG_WIDTHS)
	{
		for (uint32_t i = 0; i < b->nrows; i++)
			v->num[i] = rows[i].op == FLOW_DELETE ? ncolumns : rows[i].width;
		FLOW_TRY(put_numbers(b, COL_WIDTH, v, b->nrows));
	}
	for (uint32_t i = 0; i < b->nrows; i++)
		if (flowi_block_is_mortal(&rows[i]))
			v->num[n++] = (int64_t) ((uint64_t) rows[i].expire_at -
									 (uint64_t) rows[i].ts);
	return put_numbers(b, COL_LIFE, v, n);
}

/* --- value columns --- */

/* Value column c of all rows into v; which: the first cell of each row. */
static void
gather(const FlowBlockBuilder *b, uint32_t c, const uint32_t *which,
	   FlowColumnVector *v)
{
	const FlowColumn *col = &b->shape->columns[c];
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	const Cell *cells = (const Cell *) b->cells.data;
	bool number = col->kind <= FLOW_COLUMN_FLOAT;

	v->any_null = false;
	for (uint32_t i = 0; i < b->nrows; i++)
	{
		const Cell *cell = &cells[which[i] + c];
		bool null = c >= rows[i].width || cell->off == NO_VALUE;

		v->null[i] = null;
		v->any_null |= null;
		if (number)
			v->num[i] =
				null ? 0 : flowi_row_number(col, b->values.data + cell->off);
		else
		{
			v->ptr[i] = null ? NULL : b->values.data + cell->off;
			v->bytes[i] = null ? 0 : cell->bytes;
		}
	}
}

static FlowStatus
put_value_columns(FlowBlockBuilder *b, FlowColumnVector *v, uint32_t ncolumns)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	uint32_t *which = (uint32_t *) b->scratch.data;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < b->nrows; i++)
	{
		which[i] = sum;
		sum += rows[i].width;
	}
	for (uint32_t c = 0; c < ncolumns; c++)
	{
		const FlowColumn *col = &b->shape->columns[c];
		uint8_t *entry = b->raw.data + HEADER2_BYTES + (size_t) DIR_ENTRY * c;

		entry[DIR_KIND] = (uint8_t) col->kind;
		entry[DIR_ZERO] = 0;
		entry[DIR_BYTES] = (uint8_t) col->bytes;
		entry[DIR_BYTES + 1] = (uint8_t) (col->bytes >> 8);
		flowi_put32(entry + DIR_OFFSET, (uint32_t) b->raw.len);
		gather(b, c, which, v);
		FLOW_TRY(flowi_column_write(&b->writer, col, v, b->nrows, &b->raw));
		if (b->raw.len > FLOW_BLOCK_MAX_BYTES)
			return flowi_fail(FLOW_INVALID,
							  "versions of one record exceed %u bytes",
							  FLOW_BLOCK_MAX_BYTES);
	}
	return FLOW_OK;
}

/* --- the whole --- */

/* Header, directory, bitmaps and keys; lengths and entries come later. */
static FlowStatus
put_head(FlowBlockBuilder *b, uint32_t ncolumns, bool mixed)
{
	const FlowBlockRow *rows = (const FlowBlockRow *) b->rows.data;
	size_t head = HEADER2_BYTES + (size_t) DIR_ENTRY * ncolumns;
	uint32_t ntombs = 0;
	uint32_t nmortal = 0;
	unsigned flags = mixed ? FLAG_WIDTHS : 0;

	for (uint32_t i = 0; i < b->nrows; i++)
	{
		ntombs += flowi_block_is_tomb(&rows[i]);
		nmortal += flowi_block_is_mortal(&rows[i]);
	}
	flags |= ntombs > 0 ? FLAG_TOMBS : 0;
	flags |= nmortal > 0 ? FLAG_MORTAL : 0;
	flags |= nmortal > 0 && nmortal < b->nrows ? FLAG_IMMORTAL : 0;

	b->raw.len = 0;
	FLOW_TRY(flowi_buf_reserve(&b->raw, head + b->nrows / 4 + 2));
	memset(b->raw.data, 0, head);
	b->raw.len = head;
	b->raw.data[OFF_VERSION] = FLOW_BLOCK_COLUMNS;
	b->raw.data[OFF_FLAGS] = (uint8_t) flags;
	b->raw.data[OFF2_NCOLUMNS] = (uint8_t) ncolumns;
	b->raw.data[OFF2_NCOLUMNS + 1] = (uint8_t) (ncolumns >> 8);
	flowi_put32(b->raw.data + OFF2_NROWS, b->nrows);
	flowi_put32(b->raw.data + OFF2_NRUNS, b->nruns);
	flowi_put32(b->raw.data + OFF2_KEY_BYTES, (uint32_t) b->keys.len);
	if (flags & FLAG_TOMBS)
		flowi_block_put_bitmap(b, flowi_block_is_tomb);
	if (flags & FLAG_IMMORTAL)
		flowi_block_put_bitmap(b, flowi_block_is_mortal);
	return flowi_buf_append(&b->raw, b->keys.data, b->keys.len);
}

FlowStatus
flowi_block_finish_columns(FlowBlockBuilder *b)
{
	size_t n = b->nrows;
	FlowColumnVector v = {.any_null = false};
	bool mixed;
	uint32_t ncolumns = count_columns(b, &mixed);

	b->vector.len = 0;
	FLOW_TRY(flowi_buf_reserve(&b->vector, n * (8 + 8 + 4 + 1)));
	FLOW_TRY(flowi_buf_reserve(&b->scratch, 4 * n));
	v.num = (int64_t *) b->vector.data;
	v.ptr = (const uint8_t **) (v.num + n);
	v.bytes = (uint32_t *) (v.ptr + n);
	v.null = (uint8_t *) (v.bytes + n);
	memset(v.null, 0, n);

	FLOW_TRY(put_head(b, ncolumns, mixed));
	FLOW_TRY(put_run_columns(b, &v));
	FLOW_TRY(put_deltas(b, &v));
	FLOW_TRY(put_options(b, &v, ncolumns));
	FLOW_TRY(put_seqs(b, &v));
	return put_value_columns(b, &v, ncolumns);
}
