/*-------------------------------------------------------------------------
 * stress_read.c
 *	  The readers of flowdb_stress: whatever comes back must be allowed.
 *-------------------------------------------------------------------------
 */
#include "stress.h"

void
look_before(Before *b, uint32_t first, uint32_t n)
{
	b->first = first;
	b->n = n;
	for (uint32_t i = 0; i < n; i++)
		b->acked[i] = atomic_load(&model->slot[first + i].acked);
}

static void
check_slot(const Before *b, uint32_t slot, uint32_t version, const char *what)
{
	uint64_t issued = atomic_load(&model->slot[slot].issued);

	if (!stress_allows(b->acked[slot - b->first], issued, version))
		wrong(what, slot, version);
}

/* A row that a scan gave: it proves itself, and comes in order. */
uint32_t
check_row(const FlowVector *vec, uint32_t i, uint32_t *versionp)
{
	uint32_t slot;

	if (!stress_slot_of(model, vec->key[i], vec->key_bytes[i], vec->ts[i],
						&slot))
	{
		fprintf(stderr, "flowdb_stress: WRONG: a row of no slot: %.*s\n",
				(int) vec->key_bytes[i], (const char *) vec->key[i]);
		abort();
	}
	*versionp =
		stress_version_of(model, slot, vec->value[i], vec->value_bytes[i]);
	if (*versionp == 0)
		wrong("value", slot, 0);
	return slot;
}

/* Does the scan's time range hold the slot? */
static bool
in_times(const FlowScanSpec *spec, uint32_t slot)
{
	int64_t ts = stress_ts(model, slot);

	return spec->ts_lo.kind == FLOW_OPEN ||
		   (ts >= spec->ts_lo.ts && ts <= spec->ts_hi.ts);
}

/* Slots between two rows, which the scan says are not there. */
static void
check_gap(const Before *b, const FlowScanSpec *spec, uint32_t from, uint32_t to)
{
	for (uint32_t slot = from; slot < to; slot++)
	{
		if (in_times(spec, slot))
			check_slot(b, slot, 0, "missing row");
	}
}

/* Scan keys [first slot, first + n): each slot is found or may be missing. */
void
scan_range(FlowDb *db, Random *r, Before *b, FlowScanSpec spec)
{
	char lo[STRESS_KEY_BYTES], hi[STRESS_KEY_BYTES];
	uint32_t end = b->first + b->n;
	uint32_t at = spec.reverse ? end : b->first;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	flow_spec_key_range(&spec, lo, stress_key(model, b->first, lo), hi,
						stress_key(model, end - 1, hi));
	must(flow_scan_open(db, &spec, &scan), "scan");
	while ((st = flow_scan_next(scan, 1 + below(r, 1024), &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			uint32_t version;
			uint32_t slot = check_row(vec, i, &version);

			if (slot < b->first || slot >= end || !in_times(&spec, slot) ||
				(spec.reverse ? slot >= at : slot < at))
				wrong("row out of bounds or order", slot, version);
			check_slot(b, slot, version, "scan");
			if (spec.reverse)
				check_gap(b, &spec, slot + 1, at);
			else
				check_gap(b, &spec, at, slot);
			at = spec.reverse ? slot : slot + 1;
		}
		atomic_fetch_add(&model->checked, vec->nrows);
	}
	if (st != FLOW_END)
		must(st, "scan");
	if (spec.reverse)
		check_gap(b, &spec, b->first, at);
	else
		check_gap(b, &spec, at, end);
	flow_scan_close(scan);
}

static void
random_scan(FlowDb *db, Random *r, Before *b)
{
	uint32_t all_keys = model->nwriters * model->nkeys;
	uint32_t key = below(r, all_keys);
	uint32_t nkeys = 1 + below(r, below(r, 10) == 0 ? 50 : 3);
	FlowScanSpec spec = plain_spec();

	if (nkeys > all_keys - key)
		nkeys = all_keys - key;
	look_before(b, key * model->ntimes, nkeys * model->ntimes);
	spec.now = env->now_us(env);
	spec.reverse = below(r, 2) == 0;
	spec.no_fill_cache = below(r, 4) == 0;
	if (below(r, 2) == 0)
	{
		uint32_t time = below(r, model->ntimes);

		flow_spec_time_range(&spec, stress_ts(model, time),
							 stress_ts(model, time) +
								 (int64_t) below(r, 50) * 1000000);
	}
	scan_range(db, r, b, spec);
}

static void
random_get(FlowDb *db, Random *r, Before *b)
{
	uint32_t slot = below(r, stress_slots(model));
	char key[STRESS_KEY_BYTES];
	FlowScanSpec spec;
	const FlowVector *vec;
	FlowScan *scan;
	uint32_t version = 0;
	FlowStatus st;

	look_before(b, slot, 1);
	spec = plain_spec();
	st = flow_get(db, &spec, key, stress_key(model, slot, key),
				  stress_ts(model, slot), &scan, &vec);
	if (st == FLOW_OK)
	{
		if (check_row(vec, 0, &version) != slot)
			wrong("get gave another row", slot, version);
		flow_scan_close(scan);
	}
	else if (st != FLOW_NOTFOUND)
		must(st, "get");
	check_slot(b, slot, version, "get");
	atomic_fetch_add(&model->checked, 1);
}

static void
random_latest(FlowDb *db, Random *r, Before *b)
{
	uint32_t first = below(r, model->nwriters * model->nkeys) * model->ntimes;
	uint32_t at = first;
	uint32_t version;
	char key[STRESS_KEY_BYTES];
	FlowScanSpec spec = plain_spec();
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	look_before(b, first, model->ntimes);
	spec = plain_spec();
	st = flow_get_latest(db, &spec, key, stress_key(model, first, key), &scan,
						 &vec);
	if (st == FLOW_OK)
	{
		at = check_row(vec, 0, &version);
		if (at < first || at >= first + model->ntimes)
			wrong("latest of another key", at, version);
		check_slot(b, at, version, "latest");
		at++;
		flow_scan_close(scan);
	}
	else if (st != FLOW_NOTFOUND)
		must(st, "latest");
	check_gap(b, &spec, at, first + model->ntimes);
}

void *
reader_main(void *arg)
{
	Random r = {opt.seed * 7777 + (uintptr_t) arg};
	FlowDb *db = new_handle();
	Before b = {.acked = calloc((size_t) 51 * model->ntimes, 8)};

	while (!atomic_load(&stop))
	{
		uint32_t what = below(&r, 10);

		if (what < 6)
			random_get(db, &r, &b);
		else if (what < 8)
			random_latest(db, &r, &b);
		else
			random_scan(db, &r, &b);
	}
	free(b.acked);
	flow_detach(db);
	return NULL;
}
