/*-------------------------------------------------------------------------
 * scan_run.c
 *	  Rows of a scan that follow each other in one SSTable, all at once.
 *
 * Most of what is scanned stands so: a key's rows, one after the other, with
 * nothing of the other sources in between.  Once the merge stands on the first
 * of them, how far they go is a matter of two comparisons a row, and
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

/* How many of the first n rows of the run, at least one, are no older versions
 * and not behind until; the first one is the position. */
static uint32_t
count_until(const FlowSstRun *run, int64_t until, uint32_t n)
{
	uint32_t i;

	if (run->ts == NULL)
	{
		uint64_t room = (uint64_t) until - (uint64_t) run->ts_first;

		if (run->ts_first > until)
			return 0;
		return (n - 1) * run->step <= room ? n
										   : (uint32_t) (room / run->step) + 1;
	}
	for (i = 0; i < n; i++)
		if (run->ts[i] > until || (i > 0 && run->ts[i] <= run->ts[i - 1]))
			break;
	return i;
}

/* How many of the first n rows of the run live at now. */
static uint32_t
count_living(const FlowSstRun *run, int64_t now, uint32_t n)
{
	uint32_t i = 0;

	if (now == INT64_MIN || n == 0)
		return n;
	/* modulo 2^64 the sums turn over once at most */
	if (run->same_age && flowi_run_expiry(run, 0) > now &&
		flowi_run_expiry(run, n - 1) >= flowi_run_expiry(run, 0))
		return n;
	if (run->same_age || run->expire_at != NULL)
		while (i < n && flowi_run_expiry(run, i) > now)
			i++;
	else
		i = n;
	return i;
}

/* How many rows of the run are the scan's next ones, at most want. */
static uint32_t
count_rows(const FlowScan *s, const FlowSstRun *run, int64_t until,
		   uint32_t want)
{
	uint32_t n = count_until(run, until, FLOW_MIN(run->n, want));
	uint32_t i;

	n = i = count_living(run, s->spec.now, n);
	if (!s->spec.keys_only)
		for (i = 0;
			 i < n && s->fill_bytes + run->value_off[i] - run->value_off[0] <
						  FLOW_FILL_BYTES;
			 i++)
			;
	return i;
}

/* Eight at a time is what compilers make vectors of. */
static void
put_keys(FlowScan *s, uint32_t key_bytes, uint32_t n)
{
	const uint8_t **key = &s->vec.key[s->vec.nrows];
	uint32_t *bytes = &s->vec.key_bytes[s->vec.nrows];
	const uint8_t *k = s->row_key;
	uint32_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		for (uint32_t j = 0; j < 8; j++)
			key[i + j] = k;
		for (uint32_t j = 0; j < 8; j++)
			bytes[i + j] = key_bytes;
	}
	for (; i < n; i++)
	{
		key[i] = k;
		bytes[i] = key_bytes;
	}
}

static void
put_times(FlowScan *s, const FlowSstRun *run, uint32_t n)
{
	int64_t *ts = &s->vec.ts[s->vec.nrows];
	uint64_t t = (uint64_t) run->ts_first;
	uint64_t step = run->step;
	uint32_t i = 0;

	if (run->ts)
	{
		memcpy(ts, run->ts, n * sizeof(*ts));
		return;
	}
	for (; i + 8 <= n; i += 8, t += 8 * step)
		for (uint32_t j = 0; j < 8; j++)
			ts[i + j] = (int64_t) (t + j * step);
	for (; i < n; i++, t += step)
		ts[i] = (int64_t) t;
}

static void
put_expiry(FlowScan *s, const FlowSstRun *run, uint32_t n)
{
	int64_t *expire_at = &s->vec.expire_at[s->vec.nrows];

	if (run->expire_at)
		memcpy(expire_at, run->expire_at, n * sizeof(*expire_at));
	else
		for (uint32_t i = 0; i < n; i++)
			expire_at[i] = flowi_run_expiry(run, i);
}

/* No values: most are NULL from the last call already. */
static void
put_null_values(FlowScan *s, uint32_t n)
{
	FlowVector *vec = &s->vec;
	uint32_t at = vec->nrows;

	if (at + n <= s->nulls)
		return;
	memset(&vec->value[at], 0, n * sizeof(*vec->value));
	memset(&vec->value_bytes[at], 0, n * sizeof(*vec->value_bytes));
	if (at <= s->nulls)
		s->nulls = at + n;
}

/* Put n rows into the vector, with their values from there on. */
static void
put_rows(FlowScan *s, const FlowRec *top, const FlowSstRun *run, uint32_t n,
		 const uint8_t *values)
{
	FlowVector *vec = &s->vec;
	uint32_t at = vec->nrows;

	if (!s->spec.no_times)
		put_times(s, run, n);
	if (!s->spec.no_keys)
		put_keys(s, top->key_bytes, n);
	if (!s->spec.no_expiry)
		put_expiry(s, run, n);
	if (values == NULL)
		put_null_values(s, n);
	else
	{
		s->nulls = FLOW_MIN(s->nulls, at);
		for (uint32_t i = 0; i < n; i++)
		{
			vec->value[at + i] = values + run->value_off[i] - run->value_off[0];
			vec->value_bytes[at + i] =
				run->value_off[i + 1] - run->value_off[i];
		}
	}
	vec->nrows = at + n;
}

/* Copy the key of the rows, unless it is there or nobody wants it. */
static FlowStatus
make_row_key(FlowScan *s, const FlowRec *rec)
{
	uint8_t *p;

	if (s->row_key != NULL || s->spec.no_keys)
		return FLOW_OK;
	FLOW_TRY(flowi_scan_room(s, rec->key_bytes, &p));
	memcpy(p, rec->key, rec->key_bytes);
	s->row_key = p;
	return FLOW_OK;
}

FlowStatus
flowi_scan_take_run(FlowScan *s, FlowSource *top, uint32_t want, bool *takenp)
{
	const FlowRec *rec = top->base.cur;
	FlowSstRun run;
	int64_t until;
	uint32_t n;
	uint8_t *values = NULL;
	bool filtered;

	if (!flowi_sst_iter_run(top->base.it, &run) || !free_until(s, rec, &until))
		return FLOW_OK;
	/* whole values of columns are made one by one */
	if (run.block && !s->spec.keys_only)
		return FLOW_OK;
	filtered = run.block && s->filters.n > 0;
	n = count_rows(s, &run, until, filtered ? run.n : want - s->vec.nrows);
	if (n == 0)
		return FLOW_OK;
	*takenp = true;
	FLOW_TRY(make_row_key(s, rec));
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
	s->pos_ts = flowi_run_ts(&run, n - 1);
	s->unpolled += n;
	s->stats.rows_sst += n;
	flowi_sst_iter_skip(top->base.it, n - 1);
	return FLOW_OK;
}
