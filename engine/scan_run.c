/*-------------------------------------------------------------------------
 * scan_run.c
 *	  Rows of a scan that follow each other in one SSTable, all at once.
 *
 * Most of what is scanned stands so: a key's rows, one after the other, with
 * nothing of the other sources in between.  Once the merge has given the
 * first of them, how far they go is a matter of two comparisons a row, and
 * their values, which lie back to back, are copied in one piece, or their
 * columns picked one after the other.  Whatever is
 * not plain (tombstones, expired rows, several versions, transactions that are
 * not settled, going backwards) ends the run and is left to scan.c.
 *
 * Keeps: S3, I6.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

/* Up to which time, inclusive, no other source has a row of the top's key;
 * false: not even the next one. */
static bool
free_until(FlowScan *s, const FlowRec *top, int64_t *tsp)
{
	const FlowMergeSource *second = flowi_merge_second(&s->merge);
	int c;

	*tsp = s->ts_hi;
	if (second == NULL)
		return true;
	c = flowi_key_cmp(top->key, top->key_bytes, second->cur->key,
					  second->cur->key_bytes);
	if (c != 0)
		return c < 0;
	if (second->cur->ts == INT64_MIN)
		return false;
	*tsp = FLOW_MIN(*tsp, second->cur->ts - 1);
	return true;
}

/* How many rows of the run are the scan's next ones, at most want. */
static uint32_t
count_rows(const FlowScan *s, const FlowSstRun *run, int64_t until,
		   uint32_t want)
{
	uint32_t n = FLOW_MIN(run->n, want);
	int64_t last = s->pos_ts;
	uint32_t i;

	for (i = 0; i < n; i++)
	{
		/* an older version of the one before, or behind what is free */
		if (run->ts[i] <= last || run->ts[i] > until)
			break;
		last = run->ts[i];
	}
	n = i;
	if (run->expire_at != NULL && s->spec.now != INT64_MIN)
		for (i = 0; i < n && run->expire_at[i] > s->spec.now; i++)
			;
	n = i;
	if (!s->spec.keys_only)
		for (i = 0;
			 i < n && s->fill_bytes + run->value_off[i] - run->value_off[0] <
						  FLOW_FILL_BYTES;
			 i++)
			;
	return i;
}

/* Put n rows into the vector, with their values from there on. */
static void
put_rows(FlowScan *s, const FlowRec *top, const FlowSstRun *run, uint32_t n,
		 const uint8_t *values)
{
	FlowVector *vec = &s->vec;
	uint32_t at = vec->nrows;

	memcpy(&vec->ts[at], run->ts, n * sizeof(*run->ts));
	for (uint32_t i = 0; i < n; i++)
	{
		vec->key[at + i] = s->row_key;
		vec->key_bytes[at + i] = top->key_bytes;
		vec->expire_at[at + i] =
			run->expire_at ? run->expire_at[i] : FLOW_NEVER;
	}
	if (values == NULL)
	{
		memset(&vec->value[at], 0, n * sizeof(*vec->value));
		memset(&vec->value_bytes[at], 0, n * sizeof(*vec->value_bytes));
	}
	else
		for (uint32_t i = 0; i < n; i++)
		{
			vec->value[at + i] = values + run->value_off[i] - run->value_off[0];
			vec->value_bytes[at + i] =
				run->value_off[i + 1] - run->value_off[i];
		}
	vec->nrows = at + n;
}

FlowStatus
flowi_scan_take_run(FlowScan *s, FlowSource *top, uint32_t want)
{
	const FlowRec *rec = top->base.cur;
	FlowSstRun run;
	int64_t until;
	uint32_t n;
	uint8_t *values = NULL;
	bool filtered;

	if (s->vec.nrows >= want || s->fill_bytes >= FLOW_FILL_BYTES ||
		!flowi_sst_iter_run(top->base.it, &run) || !free_until(s, rec, &until))
		return FLOW_OK;
	/* whole values of columns are made one by one */
	if (run.block && !s->spec.keys_only)
		return FLOW_OK;
	filtered = run.block && s->filters.n > 0;
	n = count_rows(s, &run, until, filtered ? run.n : want - s->vec.nrows);
	if (n == 0)
		return FLOW_OK;
	if (filtered)
		FLOW_TRY(flowi_scan_filter_run(s, rec, &run, want, &n));
	else if (s->spec.ncolumns > 0)
		FLOW_TRY(flowi_scan_pick_run(s, &run, &n));
	else if (!s->spec.keys_only)
	{
		size_t bytes = run.value_off[n] - run.value_off[0];

		FLOW_TRY(flowi_scan_room(s, bytes, &values));
		if (bytes > 0)
			memcpy(values, run.values, bytes);
	}
	if (!filtered)
	{
		put_rows(s, rec, &run, n, values);
		s->stats.rows += n;
	}
	s->pos_ts = run.ts[n - 1];
	s->unpolled += n;
	s->stats.rows_sst += n;
	flowi_sst_iter_skip(top->base.it, n);
	return FLOW_OK;
}
