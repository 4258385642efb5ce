/*-------------------------------------------------------------------------
 * block_value.c
 *	  Values of a block of columns: some columns, or whole rows.
 *
 * A chunk is opened when its column is wanted first.  Whole rows are put
 * together from a window of rows whose columns are all decoded; it is one row
 * wide for a lookup, and grows while one row after the other is wanted.
 *
 * Bytes: doc/FORMAT.md "Block, version 2 (columns)".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"

#include <inttypes.h>

#define WINDOW_ROWS 1024u
#define WINDOW_CELLS (32u << 10) /* at most, of more than one row */
#define WINDOW_GROWTH 8u

/* A column's chunk, and what the window has of it. */
typedef struct ValueColumn
{
	FlowColumnReader reader;
	FlowColumnVector v;
	bool open; /* the reader is at this block's chunk */
} ValueColumn;

struct FlowBlockValues
{
	/* cap of each; columns are made when they are wanted first */
	uint32_t cap;
	ValueColumn **column;
	FlowColumn *kind;	   /* as the directory has them */
	FlowRowValue *row;	   /* a row taken apart */
	uint8_t (*number)[8];  /* bytes of its numbers */
	bool kinds_known;	   /* kind is that of this block */
	uint32_t first, nrows; /* the window; nrows 0: there is none */
	uint32_t ahead;		   /* how wide the next one shall be */
	FlowBuf mem;		   /* of the window */
};

void
flowi_block_reset_values(FlowBlock *b)
{
	FlowBlockValues *values = b->value;

	if (values == NULL)
		return;
	for (uint32_t c = 0; c < values->cap; c++)
		if (values->column[c])
			values->column[c]->open = false;
	values->kinds_known = false;
	values->nrows = 0;
	values->ahead = 1;
}

void
flowi_block_free_values(FlowBlock *b)
{
	FlowBlockValues *values = b->value;

	if (values == NULL)
		return;
	for (uint32_t c = 0; c < values->cap; c++)
		if (values->column[c])
		{
			flowi_column_reader_free(&values->column[c]->reader);
			b->env->free(b->env, values->column[c]);
		}
	flowi_buf_free(&values->mem);
	b->env->free(b->env, values->column);
	b->env->free(b->env, values);
	b->value = NULL;
}

static size_t
reader_memory(const FlowColumnReader *r)
{
	return r->raw.cap + r->table.cap + r->runs.cap;
}

size_t
flowi_block_memory(const FlowBlock *b)
{
	const FlowBlockValues *values = b->value;
	size_t sum = b->mem_bytes + reader_memory(&b->chunk);

	if (values == NULL)
		return sum;
	sum += values->mem.cap;
	for (uint32_t c = 0; c < values->cap; c++)
		if (values->column[c])
			sum +=
				sizeof(ValueColumn) + reader_memory(&values->column[c]->reader);
	return sum;
}

static FlowStatus
damaged(const FlowBlock *b, uint32_t c)
{
	return flowi_fail(FLOW_CORRUPT,
					  "block at offset %" PRIu64
					  " of file \"%s\" is damaged: wrong values in column %u",
					  b->off, b->path, c);
}

/* Have room for the columns of the block. */
static FlowStatus
make_values(FlowBlock *b)
{
	FlowEnv *env = b->env;
	FlowBlockValues *values = b->value;
	uint32_t n = FLOW_MAX(b->ncolumns, 8);
	uint8_t *p;

	if (values != NULL && values->cap >= b->ncolumns)
		return FLOW_OK;
	if (values != NULL)
		n = FLOW_MAX(n, 2 * values->cap);
	flowi_block_free_values(b);
	values = env->alloc(env, sizeof(*values));
	if (values == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(values, 0, sizeof(*values));
	p = env->alloc(env, n * (sizeof(void *) + sizeof(FlowColumn) +
							 sizeof(FlowRowValue) + 8));
	if (p == NULL)
	{
		env->free(env, values);
		return flowi_fail(FLOW_NOMEM, "out of memory: %u columns of a block",
						  n);
	}
	flowi_buf_init(&values->mem, env);
	values->cap = n;
	values->ahead = 1;
	values->column = (ValueColumn **) p;
	memset(values->column, 0, n * sizeof(void *));
	values->kind = (FlowColumn *) (values->column + n);
	values->row = (FlowRowValue *) (values->kind + n);
	values->number = (uint8_t(*)[8])(values->row + n);
	b->value = values;
	return FLOW_OK;
}

static void
get_kind(const FlowBlock *b, uint32_t c, FlowColumn *col)
{
	const uint8_t *e = b->raw + HEADER2_BYTES + (size_t) DIR_ENTRY * c;

	*col = (FlowColumn){.kind = (FlowColumnKind) e[DIR_KIND],
						.bytes = (uint32_t) e[DIR_BYTES] |
								 (uint32_t) e[DIR_BYTES + 1] << 8};
}

/* Column c of the block, open. */
static FlowStatus
open_column(FlowBlock *b, uint32_t c, ValueColumn **colp)
{
	FlowEnv *env = b->env;
	ValueColumn *col;
	const uint8_t *e = b->raw + HEADER2_BYTES + (size_t) DIR_ENTRY * c;
	size_t from = flowi_get32(e + DIR_OFFSET);
	size_t to = c + 1 < b->ncolumns ? flowi_get32(e + DIR_ENTRY + DIR_OFFSET)
									: b->raw_bytes;
	FlowColumn kind;
	FlowStatus st;

	FLOW_TRY(make_values(b));
	col = *colp = b->value->column[c];
	if (col != NULL && col->open)
		return FLOW_OK;
	if (col == NULL)
	{
		col = env->alloc(env, sizeof(*col));
		if (col == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		memset(col, 0, sizeof(*col));
		flowi_column_reader_init(&col->reader, env, b->codec);
		b->value->column[c] = *colp = col;
	}
	get_kind(b, c, &kind);
	st = flowi_column_open(&col->reader, &kind, b->nrows, b->raw + from,
						   to - from);
	col->open = st == FLOW_OK;
	return st == FLOW_CORRUPT ? damaged(b, c) : st;
}

/* ------------------------------------------------------------ whole rows */

static FlowStatus
learn_kinds(FlowBlock *b)
{
	FLOW_TRY(make_values(b));
	if (b->value->kinds_known)
		return FLOW_OK;
	for (uint32_t c = 0; c < b->ncolumns; c++)
		get_kind(b, c, &b->value->kind[c]);
	b->value->kinds_known = true;
	return FLOW_OK;
}

/* Decode all columns of rows first .. first + n - 1. */
static FlowStatus
load_window(FlowBlock *b, uint32_t first, uint32_t n)
{
	FlowBlockValues *values = b->value;
	size_t each = FLOW_ALIGN8((size_t) n * (8 + 8 + 4 + 1));
	uint8_t *p;

	values->nrows = 0;
	values->mem.len = 0;
	FLOW_TRY(flowi_buf_reserve(&values->mem, b->ncolumns * each + 1));
	p = values->mem.data;
	for (uint32_t c = 0; c < b->ncolumns; c++, p += each)
	{
		ValueColumn *col;
		FlowColumnVector *v;
		FlowStatus st;

		FLOW_TRY(open_column(b, c, &col));
		v = &col->v;
		v->num = (int64_t *) p;
		v->ptr = (const uint8_t **) (v->num + n);
		v->bytes = (uint32_t *) (v->ptr + n);
		v->null = (uint8_t *) (v->bytes + n);
		v->any_null = false;
		st = flowi_column_read(&col->reader, first, n, v, 0);
		if (st != FLOW_OK)
			return st == FLOW_CORRUPT ? damaged(b, c) : st;
	}
	values->first = first;
	values->nrows = n;
	return FLOW_OK;
}

/* Have row in the window. */
static FlowStatus
move_window(FlowBlock *b, uint32_t row)
{
	FlowBlockValues *values = b->value;
	uint32_t end = values->first + values->nrows;
	uint32_t most = WINDOW_CELLS / FLOW_MAX(b->ncolumns, 1);
	uint32_t n;
	bool forward = row == end;
	bool backward = row + 1 == values->first;

	if (values->nrows > 0 && row >= values->first && row < end)
		return FLOW_OK;
	if (values->nrows > 0 && (forward || backward))
		values->ahead *= WINDOW_GROWTH;
	else
		values->ahead = 1;
	most = FLOW_MIN(most, WINDOW_ROWS);
	values->ahead = FLOW_MIN(values->ahead, FLOW_MAX(most, 1));
	n = values->ahead;
	if (values->nrows > 0 && backward)
	{
		n = FLOW_MIN(n, row + 1);
		return load_window(b, row + 1 - n, n);
	}
	return load_window(b, row, FLOW_MIN(n, b->nrows - row));
}

FlowStatus
flowi_block_value(FlowBlock *b, uint32_t row, FlowBuf *out)
{
	uint32_t n = b->width ? b->width[row] : b->ncolumns;
	size_t before = out->len;
	FlowBlockValues *values;
	FlowShape shape;
	uint32_t at;

	FLOW_ASSERT(b->value_off == NULL);
	FLOW_TRY(learn_kinds(b));
	FLOW_TRY(move_window(b, row));
	values = b->value;
	at = row - values->first;
	for (uint32_t c = 0; c < n; c++)
	{
		const FlowColumnVector *v = &values->column[c]->v;
		const FlowColumn *kind = &values->kind[c];

		if (v->any_null && v->null[at])
			values->row[c] = (FlowRowValue){NULL, 0};
		else if (kind->kind <= FLOW_COLUMN_FLOAT)
		{
			flowi_put64(values->number[c], (uint64_t) v->num[at]);
			values->row[c] = (FlowRowValue){values->number[c], kind->bytes};
		}
		else
			values->row[c] = (FlowRowValue){v->ptr[at], v->bytes[at]};
	}
	shape = (FlowShape){.ncolumns = b->ncolumns, .columns = values->kind};
	FLOW_TRY(flowi_row_join(&shape, values->row, n, out));
	if (out->len - before > FLOW_MAX_VALUE)
		return damaged(b, 0);
	return FLOW_OK;
}

/* ---------------------------------------------------------- some columns */

/* Can a chunk of that kind be read for a column of the other? */
static bool
suits(const FlowColumn *chunk, const FlowColumn *col)
{
	bool number = col->kind <= FLOW_COLUMN_FLOAT;

	if (chunk->bytes != col->bytes)
		return false;
	/* the bits are the same; and the header of a varying value tells its
	 * form */
	return chunk->kind == col->kind ||
		   (number && chunk->kind <= FLOW_COLUMN_FLOAT) ||
		   (chunk->kind <= FLOW_COLUMN_PLAIN &&
			chunk->kind >= FLOW_COLUMN_PACKED &&
			col->kind >= FLOW_COLUMN_PACKED && col->kind <= FLOW_COLUMN_PLAIN);
}

/* Number at of v becomes what rows without the column have. */
static void
put_missing(const FlowColumn *col, FlowColumnVector *v, uint32_t at)
{
	bool number = col->kind <= FLOW_COLUMN_FLOAT;
	const uint8_t *p = col->missing;

	v->null[at] = p == NULL;
	v->any_null |= p == NULL;
	if (number)
		v->num[at] = p ? flowi_row_number(col, p) : 0;
	else
	{
		v->ptr[at] = p;
		v->bytes[at] = p ? col->missing_bytes : 0;
	}
}

static FlowStatus
pick_column(FlowBlock *b, const FlowColumn *col, uint32_t c, uint32_t first,
			uint32_t count, FlowColumnVector *v, uint32_t at)
{
	ValueColumn *chunk;
	FlowStatus st;

	if (c >= b->ncolumns)
	{
		for (uint32_t i = 0; i < count; i++)
			put_missing(col, v, at + i);
		return FLOW_OK;
	}
	FLOW_TRY(open_column(b, c, &chunk));
	if (!suits(&chunk->reader.col, col))
		return flowi_fail(FLOW_CORRUPT,
						  "block at offset %" PRIu64
						  " of file \"%s\" has another kind of column %u",
						  b->off, b->path, c);
	st = flowi_column_read(&chunk->reader, first, count, v, at);
	if (st != FLOW_OK)
		return st == FLOW_CORRUPT ? damaged(b, c) : st;
	for (uint32_t i = 0; b->width && i < count; i++)
		if (b->width[first + i] <= c)
			put_missing(col, v, at + i);
	return FLOW_OK;
}

FlowStatus
flowi_block_pick(FlowBlock *b, const FlowShape *shape, const uint32_t *columns,
				 uint32_t ncolumns, uint32_t first, uint32_t count,
				 FlowColumnVector *vectors, uint32_t at)
{
	FLOW_ASSERT(b->value_off == NULL && first + count <= b->nrows);
	for (uint32_t i = 0; i < ncolumns; i++)
		FLOW_TRY(pick_column(b, &shape->columns[columns[i]], columns[i], first,
							 count, &vectors[i], at));
	return FLOW_OK;
}

/* ------------------------------------------------------------- statistics */

/* Of a column that all rows are older than. */
static void
missing_stats(const FlowBlock *b, const FlowColumn *col, FlowColumnStats *stats)
{
	int64_t num;

	*stats = (FlowColumnStats){.nulls = col->missing ? 0 : b->nrows};
	if (col->missing == NULL || col->kind > FLOW_COLUMN_FLOAT)
		return;
	num = flowi_row_number(col, col->missing);
	if (col->kind == FLOW_COLUMN_FLOAT && col->bytes == 4)
	{
		uint32_t low = (uint32_t) num;
		float f;
		double d;

		memcpy(&f, &low, sizeof(f));
		d = f;
		memcpy(&num, &d, sizeof(num));
	}
	stats->has_bounds = true;
	stats->min = stats->max = num;
}

FlowStatus
flowi_block_stats(FlowBlock *b, const FlowColumn *col, uint32_t c,
				  FlowColumnStats *stats, bool *knownp)
{
	ValueColumn *chunk;

	FLOW_ASSERT(b->value_off == NULL);
	*knownp = true;
	if (c >= b->ncolumns)
	{
		missing_stats(b, col, stats);
		return FLOW_OK;
	}
	FLOW_TRY(open_column(b, c, &chunk));
	*stats = chunk->reader.stats;
	/* rows that are older than the column count as NULL in its chunk; and the
	 * order of its bounds is that of the kind it was written as */
	*knownp = !(b->width && col->missing) &&
			  chunk->reader.col.kind == col->kind &&
			  chunk->reader.col.bytes == col->bytes;
	return FLOW_OK;
}
