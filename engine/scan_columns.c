/*-------------------------------------------------------------------------
 * scan_columns.c
 *	  Columns of a scan: room for their vectors, rows into them and, by the
 *	  filters, out of them again.
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

/* Bytes of a vector's arrays a row. */
static size_t
width(const FlowColumn *col)
{
	return (flowi_column_is_number(col)
				? sizeof(int64_t)
				: sizeof(const uint8_t *) + sizeof(uint32_t)) +
		   1;
}

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

	c->row_bytes = 0;
	c->varying = false;
	c->cap = 0;
	s->vec.columns = NULL;
	if (spec->ncolumns == 0)
		return FLOW_OK;
	s->spec.keys_only = true; /* no value is copied as it is */
	FLOW_TRY(grow_picks(s, spec->ncolumns));
	FLOW_TRY(flowi_row_picker_set(&c->picker, spec->shape, spec->columns,
								  spec->ncolumns, c->picks));
	for (uint32_t w = 0; w < spec->ncolumns; w++)
	{
		const FlowColumn *col = c->picker.picks[w].col;

		c->row_bytes += width(col);
		c->varying |= !flowi_column_is_number(col);
	}
	return FLOW_OK;
}

/* Part the memory into arrays of cap rows: what needs alignment first. */
static void
lay_out(FlowScanColumns *c, uint32_t cap)
{
	uint32_t n = c->picker.ncolumns;
	uint8_t *p = c->mem;

	c->vectors = c->mem;
	p += FLOW_ALIGN8(n * sizeof(*c->vectors));
	for (uint32_t w = 0; w < n; w++)
	{
		FlowColumnVector *v = &c->vectors[w];

		*v = (FlowColumnVector){0};
		if (flowi_column_is_number(c->picker.picks[w].col))
			v->num = (int64_t *) p;
		else
			v->ptr = (const uint8_t **) p;
		p += cap * sizeof(int64_t);
	}
	for (uint32_t w = 0; w < n; w++)
		if (c->vectors[w].ptr != NULL)
		{
			c->vectors[w].bytes = (uint32_t *) p;
			p += cap * sizeof(uint32_t);
		}
	for (uint32_t w = 0; w < n; w++)
	{
		c->vectors[w].null = p;
		memset(p, 0, cap);
		p += cap;
	}
	c->cap = cap;
}

FlowStatus
flowi_scan_columns_room(FlowScan *s, uint32_t *wantp)
{
	FlowScanColumns *c = &s->columns;
	FlowEnv *env = s->env;
	uint32_t most;
	size_t bytes;

	if (s->spec.ncolumns == 0)
		return FLOW_OK;
	most = (uint32_t) (FLOW_FILL_BYTES / c->row_bytes) + 1;
	*wantp = FLOW_MIN(*wantp, most);
	if (*wantp > c->cap)
	{
		bytes = FLOW_ALIGN8(c->picker.ncolumns * sizeof(*c->vectors)) +
				*wantp * c->row_bytes;
		if (bytes > c->mem_bytes)
		{
			env->free(env, c->mem);
			c->mem_bytes = 0;
			c->cap = 0;
			s->vec.columns = NULL;
			c->mem = env->alloc(env, bytes);
			if (c->mem == NULL)
				return flowi_fail(FLOW_NOMEM, "out of memory");
			c->mem_bytes = bytes;
		}
		lay_out(c, *wantp);
		s->vec.columns = c->vectors;
	}
	for (uint32_t w = 0; w < c->picker.ncolumns; w++)
	{
		if (c->vectors[w].any_null)
			memset(c->vectors[w].null, 0, c->cap);
		c->vectors[w].any_null = false;
	}
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

/* How many of n rows that were picked the call still takes: up to the one that
 * brings its bytes to the limit. */
static uint32_t
count_rows(const FlowScan *s, uint32_t first, uint32_t n)
{
	const FlowScanColumns *c = &s->columns;
	size_t left = FLOW_FILL_BYTES - s->fill_bytes;
	size_t bytes = 0;
	uint32_t i;

	if (!c->varying)
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
		FLOW_TRY(flowi_row_pick_run(&c->picker,
									run->values - run->value_off[0],
									run->value_off, *np, c->vectors, at));
	*np = count_rows(s, at, *np);
	FLOW_TRY(copy_values(s, at, *np));
	s->fill_bytes += *np * c->row_bytes;
	return FLOW_OK;
}

void
flowi_scan_filter(FlowScan *s, uint32_t first)
{
	uint16_t sel[FLOW_VECTOR_ROWS];
	uint32_t n = s->vec.nrows - first;
	uint32_t nsel;

	if (s->filters.n == 0 || n == 0)
		return;
	nsel = flowi_filters_select(&s->filters, s->columns.vectors, first, n, sel);
	s->stats.rows -= n - nsel;
	s->stats.rows_filtered += n - nsel;
	if (s->spec.limit > 0 && s->stats.rows > s->spec.limit)
	{
		nsel -= (uint32_t) (s->stats.rows - s->spec.limit);
		s->stats.rows = s->spec.limit;
	}
	flowi_filters_compact(&s->vec, s->columns.vectors, s->spec.ncolumns, first,
						  sel, nsel);
}
