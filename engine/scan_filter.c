/*-------------------------------------------------------------------------
 * scan_filter.c
 *	  Filters in a scan: of the rows in its vectors, and of rows that stand in
 *	  a block of columns before they get there.
 *
 * Only rows that the reader sees are asked (I38), so all of it comes after the
 * merge.  Rows of a run need no merge: those of a block of columns are asked
 * where they stand.  First the block's least and greatest values, which may
 * say that none of its rows passes; then the filters' columns, and of the
 * others what the passing rows need ("late materialization": Abadi, Myers,
 * DeWitt, Madden, ICDE 2007).
 *
 * Keeps: I38.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

#include "block.h"

#define SLICE_GROWTH 4 /* of a slice's rows, as long as few pass */
#define NEAR_ROWS 16   /* passing rows so near are read in one go */

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

/* ---------------------------------------------------------------- blocks */

/* Does what the block says of its values rule out that a row of it passes? */
static FlowStatus
ask_block(FlowScan *s, FlowBlock *block, bool *nonep)
{
	const FlowScanSpec *spec = &s->spec;

	*nonep = false;
	for (uint32_t i = 0; i < s->filters.n && !*nonep; i++)
	{
		const FlowFilterStep *step = &s->filters.step[i];
		uint32_t c = spec->columns[step->column];
		FlowColumnStats stats;
		bool known;

		FLOW_TRY(flowi_block_stats(block, &spec->shape->columns[c], c, &stats,
								   &known));
		*nonep = known && flowi_filter_chance(step, &stats, block->nrows) ==
							  FLOW_CHANCE_NONE;
	}
	return FLOW_OK;
}

FlowStatus
flowi_scan_ask(FlowScan *s, FlowIter *it, bool *nonep)
{
	FlowBlock *block;
	uint32_t row;

	*nonep = false;
	if (s->filters.n == 0 || !flowi_sst_iter_columns(it, &block, &row))
		return FLOW_OK;
	FLOW_TRY(ask_block(s, block, nonep));
	if (*nonep)
	{
		s->stats.rows_sst++;
		s->stats.rows_filtered++;
		s->stats.rows_skipped++;
	}
	return FLOW_OK;
}

/* ---------------------------------------------------------------- slices */

/* Rows of a block of columns that are looked at together: they stand in the
 * vectors from at on while they are. */
typedef struct Slice
{
	FlowBlock *block;
	uint32_t first; /* row of the block */
	uint32_t n;
	uint32_t at;
	uint32_t nsel;
	uint16_t sel[FLOW_VECTOR_ROWS]; /* numbers of the vectors that pass */
} Slice;

/* Read column w of n rows, from number at of the vectors on. */
static FlowStatus
read_column(FlowScan *s, const Slice *slice, uint32_t w, uint32_t at,
			uint32_t n)
{
	return flowi_block_pick(slice->block, s->spec.shape, &s->spec.columns[w], 1,
							slice->first + (at - slice->at), n,
							&s->columns.vectors[w], at);
}

/* Is column w one that the first n filters ask? */
static bool
is_asked(const FlowScan *s, uint32_t n, uint32_t w)
{
	for (uint32_t i = 0; i < n; i++)
		if (s->filters.step[i].column == w)
			return true;
	return false;
}

/* Which rows of the slice pass; their filters' columns are read. */
static FlowStatus
select_rows(FlowScan *s, Slice *slice)
{
	uint8_t keep[FLOW_VECTOR_ROWS];

	slice->nsel = 0;
	memset(keep, 1, slice->n);
	for (uint32_t i = 0; i < s->filters.n; i++)
	{
		uint32_t w = s->filters.step[i].column;

		if (!is_asked(s, i, w))
			FLOW_TRY(read_column(s, slice, w, slice->at, slice->n));
		flowi_filters_one(&s->filters, i, s->columns.vectors, slice->at,
						  slice->n, keep);
		if (memchr(keep, 1, slice->n) == NULL)
			return FLOW_OK;
	}
	slice->nsel = flowi_filters_numbers(keep, slice->at, slice->n, slice->sel);
	return FLOW_OK;
}

/* Read the other columns of the rows that pass, each where it stands. */
static FlowStatus
read_others(FlowScan *s, const Slice *slice)
{
	const uint16_t *sel = slice->sel;

	for (uint32_t w = 0; w < s->spec.ncolumns; w++)
	{
		uint32_t i = 0;

		if (is_asked(s, s->filters.n, w))
			continue;
		while (i < slice->nsel)
		{
			uint32_t from = sel[i];
			uint32_t last = from;

			while (++i < slice->nsel && sel[i] - last <= NEAR_ROWS)
				last = sel[i];
			FLOW_TRY(read_column(s, slice, w, from, last + 1 - from));
		}
	}
	return FLOW_OK;
}

/* The rows that pass move together and get the rest of what a vector has; the
 * slice's first row is that number of the run. */
static FlowStatus
put_rows(FlowScan *s, const FlowRec *top, const FlowSstRun *run, uint32_t first,
		 Slice *slice)
{
	FlowVector *vec = &s->vec;

	for (uint32_t k = 0; k < slice->nsel; k++)
	{
		uint32_t i = first + slice->sel[k] - slice->at;
		uint32_t to = slice->at + k;

		vec->key[to] = s->row_key;
		vec->key_bytes[to] = top->key_bytes;
		vec->ts[to] = flowi_run_ts(run, i);
		vec->expire_at[to] = flowi_run_expiry(run, i);
		vec->value[to] = NULL;
		vec->value_bytes[to] = 0;
	}
	flowi_filters_compact_columns(s->columns.vectors, s->spec.ncolumns,
								  slice->at, slice->sel, slice->nsel);
	FLOW_TRY(flowi_scan_own_columns(s, slice->at, slice->nsel));
	vec->nrows = slice->at + slice->nsel;
	return FLOW_OK;
}

/* Look at n rows of run from number done on; *np: how many were, fewer when
 * the call has enough bytes with them. */
static FlowStatus
take_slice(FlowScan *s, const FlowRec *top, const FlowSstRun *run,
		   uint32_t done, uint32_t *np)
{
	Slice slice = {.block = run->block,
				   .first = run->first + done,
				   .n = *np,
				   .at = s->vec.nrows};
	uint32_t fit;

	FLOW_TRY(select_rows(s, &slice));
	FLOW_TRY(read_others(s, &slice));
	fit = flowi_scan_fit_columns(s, slice.sel, slice.nsel);
	if (fit < slice.nsel)
	{
		slice.nsel = fit;
		*np = slice.sel[fit - 1] + 1 - slice.at;
	}
	s->stats.rows += slice.nsel;
	s->stats.rows_filtered += *np - slice.nsel;
	return put_rows(s, top, run, done, &slice);
}

FlowStatus
flowi_scan_filter_run(FlowScan *s, const FlowRec *top, const FlowSstRun *run,
					  uint32_t want, uint32_t *np)
{
	uint32_t slice = want - s->vec.nrows;
	uint32_t done = 0;
	bool none;

	FLOW_TRY(ask_block(s, run->block, &none));
	if (none)
	{
		s->stats.rows_filtered += *np;
		s->stats.rows_skipped += *np;
		return FLOW_OK;
	}
	do
	{
		uint32_t room = s->columns.cap - s->vec.nrows;
		uint32_t n = FLOW_MIN(FLOW_MIN(slice, room), *np - done);

		FLOW_TRY(take_slice(s, top, run, done, &n));
		done += n;
		slice = FLOW_MIN(slice * SLICE_GROWTH, s->columns.cap);
	} while (done < *np && s->vec.nrows < want &&
			 s->fill_bytes < FLOW_FILL_BYTES);
	*np = done;
	return FLOW_OK;
}
