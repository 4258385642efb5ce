/*-------------------------------------------------------------------------
 * scan_columns.c
 *	  Columns of a scan: room for their vectors, rows into them.
 *
 * The vectors are one piece of memory that stays from call to call and from
 * scan to scan; a call that asks for few rows gets short ones.  A row takes as
 * many bytes of it as its wanted columns need, and these count as a row's
 * bytes do, so that the vectors of many columns do not grow without bounds.
 * Values that are not numbers are copied behind them, as whole values are.
 *-------------------------------------------------------------------------
 */
#include "block.h"
#include "scan.h"

#define KEEP_BYTES ((size_t) 256 << 10) /* by a closed scan */

static FlowStatus
grow_picks(FlowScan *s, uint32_t n)
{
	FlowScanColumns *c = &s->columns;
	FlowRowPick *picks;

	if (n <= c->picks_cap)
		return FLOW_OK;
	picks = s->env->realloc(s->env, c->picks, n * sizeof(*picks));
	if (picks == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	c->picks = picks;
	c->picks_cap = n;
	return FLOW_OK;
}

FlowStatus
flowi_scan_columns_set(FlowScan *s)
{
	FlowScanColumns *c = &s->columns;
	const FlowScanSpec *spec = &s->spec;

	c->cap = 0;
	s->vec.columns = NULL;
	if (spec->ncolumns == 0)
		return FLOW_OK;
	s->spec.keys_only = true; /* no value is copied as it is */
	FLOW_TRY(grow_picks(s, spec->ncolumns));
	FLOW_TRY(flowi_row_picker_set(&c->picker, spec->shape, spec->columns,
								  spec->ncolumns, c->picks));
	c->row_bytes = spec->ncolumns * (sizeof(int64_t) + 1) +
				   c->picker.nbytes * sizeof(uint32_t);
	return FLOW_OK;
}

_Static_assert(sizeof(uint8_t *) <= sizeof(int64_t), "arrays of one width");

/* The vectors, so that what stands behind them is aligned. */
static inline size_t
vectors_bytes(uint32_t n)
{
	return FLOW_ALIGN8(n * sizeof(FlowColumnVector));
}

/* Part the memory into arrays of cap rows: vectors, then numbers and pointers,
 * lengths, nulls. */
static void
lay_out(FlowScanColumns *c, uint32_t cap)
{
	uint32_t n = c->picker.ncolumns;
	uint8_t *wide = (uint8_t *) c->mem + vectors_bytes(n);
	uint32_t *bytes = (uint32_t *) (wide + (size_t) n * cap * sizeof(int64_t));
	uint8_t *null = (uint8_t *) (bytes + (size_t) c->picker.nbytes * cap);

	memset(null, 0, (size_t) n * cap);
	c->vectors = c->mem;
	for (uint32_t w = 0; w < n; w++)
	{
		FlowColumnVector *v = &c->vectors[w];

		*v = (FlowColumnVector){.null = null};
		if (flowi_column_is_number(c->picker.picks[w].col))
			v->num = (int64_t *) wide;
		else
		{
			v->ptr = (const uint8_t **) wide;
			v->bytes = bytes;
			bytes += cap;
		}
		wide += cap * sizeof(int64_t);
		null += cap;
	}
	c->cap = cap;
}

/* The vectors have room already: no row has a NULL. */
static void
clear_nulls(FlowScanColumns *c)
{
	for (uint32_t w = 0; w < c->picker.ncolumns; w++)
	{
		if (c->vectors[w].any_null)
			memset(c->vectors[w].null, 0, c->cap);
		c->vectors[w].any_null = false;
	}
}

FlowStatus
flowi_scan_columns_room(FlowScan *s, uint32_t *wantp)
{
	FlowScanColumns *c = &s->columns;
	FlowEnv *env = s->env;
	size_t bytes;

	if (s->spec.ncolumns == 0)
		return FLOW_OK;
	if (*wantp > FLOW_FILL_BYTES / c->row_bytes)
		*wantp = (uint32_t) (FLOW_FILL_BYTES / c->row_bytes) + 1;
	if (*wantp <= c->cap)
	{
		clear_nulls(c);
		return FLOW_OK;
	}
	bytes = vectors_bytes(c->picker.ncolumns) + *wantp * c->row_bytes;
	if (bytes > c->mem_bytes)
	{
		s->vec.columns = NULL;
		c->cap = 0;
		c->mem_bytes = 0;
		env->free(env, c->mem);
		c->mem = env->alloc(env, bytes);
		if (c->mem == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		c->mem_bytes = bytes;
	}
	lay_out(c, *wantp);
	s->vec.columns = c->vectors;
	return FLOW_OK;
}

void
flowi_scan_columns_trim(FlowScan *s)
{
	if (s->columns.mem_bytes +
			s->columns.picks_cap * sizeof(*s->columns.picks) >
		KEEP_BYTES)
		flowi_scan_columns_free(s);
}

void
flowi_scan_columns_free(FlowScan *s)
{
	FlowScanColumns *c = &s->columns;

	s->env->free(s->env, c->picks);
	s->env->free(s->env, c->mem);
	*c = (FlowScanColumns){0};
}

/* Is the value number i in a source's memory, so that it has to be copied? */
static inline bool
is_foreign(const FlowColumnVector *v, const FlowColumn *col, uint32_t i)
{
	return v->ptr[i] != NULL && v->ptr[i] != col->missing;
}

/* Copy the values number first to first + n - 1 that are not numbers. */
static FlowStatus
copy_values(FlowScan *s, uint32_t first, uint32_t n)
{
	FlowScanColumns *c = &s->columns;

	if (c->picker.nbytes == 0)
		return FLOW_OK;
	for (uint32_t w = 0; w < c->picker.ncolumns; w++)
	{
		FlowColumnVector *v = &c->vectors[w];
		const FlowColumn *col = c->picker.picks[w].col;
		size_t bytes = 0;
		uint8_t *p;

		if (v->ptr == NULL)
			continue;
		for (uint32_t i = first; i < first + n; i++)
			bytes += is_foreign(v, col, i) ? v->bytes[i] : 0;
		if (bytes == 0)
			continue;
		FLOW_TRY(flowi_scan_room(s, bytes, &p));
		for (uint32_t i = first; i < first + n; i++)
			if (is_foreign(v, col, i))
			{
				memcpy(p, v->ptr[i], v->bytes[i]);
				v->ptr[i] = p;
				p += v->bytes[i];
			}
	}
	return FLOW_OK;
}

/* Bytes of the values of number i that are not numbers. */
static size_t
varying_bytes(const FlowScanColumns *c, uint32_t i)
{
	size_t bytes = 0;

	for (uint32_t w = 0; w < c->picker.ncolumns; w++)
		if (c->vectors[w].ptr != NULL)
			bytes += c->vectors[w].bytes[i];
	return bytes;
}

/* Bytes that the call still takes, at least one: a row is always taken. */
static inline size_t
bytes_left(const FlowScan *s)
{
	return s->fill_bytes < FLOW_FILL_BYTES ? FLOW_FILL_BYTES - s->fill_bytes
										   : 1;
}

/* How many of n rows that were picked the call still takes: up to the one that
 * brings its bytes to the limit. */
static uint32_t
count_rows(const FlowScan *s, uint32_t first, uint32_t n)
{
	const FlowScanColumns *c = &s->columns;
	size_t left = bytes_left(s);
	size_t bytes = 0;
	uint32_t i;

	if (c->picker.nbytes == 0)
		return FLOW_MIN(n, (uint32_t) ((left - 1) / c->row_bytes) + 1);
	for (i = 0; i < n && bytes < left; i++)
		bytes += c->row_bytes + varying_bytes(c, first + i);
	return i;
}

/* The wanted columns of n rows of a block of columns. */
static FlowStatus
pick_block(FlowScan *s, FlowBlock *block, uint32_t first, uint32_t n)
{
	return flowi_block_pick(block, s->spec.shape, s->spec.columns,
							s->spec.ncolumns, first, n, s->columns.vectors,
							s->vec.nrows);
}

FlowStatus
flowi_scan_pick(FlowScan *s, const FlowRec *rec, FlowIter *it)
{
	FlowScanColumns *c = &s->columns;
	uint32_t at = s->vec.nrows;
	FlowBlock *block;
	uint32_t row;

	FLOW_ASSERT(at < c->cap);
	if (it != NULL && flowi_sst_iter_columns(it, &block, &row))
		FLOW_TRY(pick_block(s, block, row, 1));
	else
		FLOW_TRY(flowi_row_pick(&c->picker, rec->value, rec->value_bytes,
								c->vectors, at));
	FLOW_TRY(copy_values(s, at, 1));
	s->fill_bytes += c->row_bytes;
	return FLOW_OK;
}

FlowStatus
flowi_scan_pick_run(FlowScan *s, const FlowSstRun *run, uint32_t *np)
{
	FlowScanColumns *c = &s->columns;
	uint32_t at = s->vec.nrows;

	FLOW_ASSERT(at + *np <= c->cap);
	if (run->block)
		FLOW_TRY(pick_block(s, run->block, run->first, *np));
	else
		FLOW_TRY(flowi_row_pick_run(&c->picker, run->values - run->value_off[0],
									run->value_off, *np, c->vectors, at));
	*np = count_rows(s, at, *np);
	FLOW_TRY(copy_values(s, at, *np));
	s->fill_bytes += *np * c->row_bytes;
	return FLOW_OK;
}

uint32_t
flowi_scan_fit_columns(const FlowScan *s, const uint16_t *sel, uint32_t n)
{
	const FlowScanColumns *c = &s->columns;
	size_t left = bytes_left(s);
	size_t bytes = 0;
	uint32_t i;

	for (i = 0; i < n && bytes < left; i++)
		bytes += c->row_bytes + varying_bytes(c, sel[i]);
	return i;
}

FlowStatus
flowi_scan_own_columns(FlowScan *s, uint32_t first, uint32_t n)
{
	FLOW_TRY(copy_values(s, first, n));
	s->fill_bytes += n * s->columns.row_bytes;
	return FLOW_OK;
}
