/*-------------------------------------------------------------------------
 * cost.c
 *	  Estimates for the planner, from the engine's counters.
 *
 * Nobody runs ANALYZE on these tables, so that there are no statistics on
 * keys.  What is known is the number of records and the span of time; the
 * rest is a model: as many series as rows in one, spread evenly over time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"

#include "fdw.h"

#define GUESS_RECORDS 1000.0 /* of an empty store, which will not stay so */
#define GUESS_WIDTH 64.0	 /* bytes of a record */

#define ONE_SIDED 0.3333 /* of the rows, by a bound that is not known */
#define TWO_SIDED 0.05

/* What reading costs beside a sequential scan of a heap */
#define ROW_FACTOR 0.5	 /* of cpu_tuple_cost: rows come by vectors */
#define BYTES_FACTOR 0.5 /* of the raw bytes: blocks are compressed */
#define OPEN_COST 0.02	 /* a source: find the place, read one block */

void
flowdb_cost_init(FlowdbRel *fr, RelOptInfo *baserel)
{
	FlowDb *db = flowdb_database(fr->table->serverid);
	FlowStoreStats stats;
	uint32 store_id;
	FlowStatus st;

	memset(&stats, 0, sizeof(stats));
	while ((st = flow_store_find(db, fr->table->store, &store_id, NULL,
								 NULL)) == FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	flowdb_report(st);
	if (st == FLOW_OK)
		flow_store_stats(db, store_id, &stats);

	fr->records = stats.records > 0 ? (double) stats.records : GUESS_RECORDS;
	fr->bytes =
		stats.records > 0 ? (double) stats.bytes : GUESS_RECORDS * GUESS_WIDTH;
	fr->sstables = stats.sstables;
	fr->has_ts = stats.records > 0 && stats.has_ts;
	fr->ts_min = stats.ts_min;
	fr->ts_max = stats.ts_max;
	baserel->tuples = fr->records;
	baserel->pages = (BlockNumber) Min(fr->bytes / BLCKSZ + 1, 1e9);
}

/* The time that a qual compares with, when it can be told now. */
static bool
known_time(PlannerInfo *root, const FlowdbQual *qual, double *usp)
{
	Const *c = (Const *) estimate_expression_value(
		root, copyObject((Node *) qual->value));
	int64 us;

	if (!IsA(c, Const) || c->constisnull)
		return false;
	switch (qual->value_type)
	{
		case INT2OID:
			us = DatumGetInt16(c->constvalue);
			break;
		case INT4OID:
			us = DatumGetInt32(c->constvalue);
			break;
		case INT8OID:
			us = DatumGetInt64(c->constvalue);
			break;
		case TIMESTAMPTZOID:
			if (!flowdb_time_encode(DatumGetTimestampTz(c->constvalue), &us))
				us = PG_INT64_MAX;
			break;
		default:
			return false;
	}
	*usp = (double) us;
	return true;
}

static double
clamp_fraction(double f, double records)
{
	return Min(1.0, Max(f, 1.0 / Max(records, 1.0)));
}

/* Fraction of a series' rows, of which there are rows, within the times. */
static double
time_fraction(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals,
			  double rows)
{
	double lo = (double) fr->ts_min;
	double hi = (double) fr->ts_max;
	double unknown = 1.0;
	ListCell *lc;

	if (quals->time_fixed)
		return clamp_fraction(0, rows);
	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);
		double us;

		if (qual->target != FLOWDB_TARGET_TIME)
			continue;
		if (!fr->has_ts || !known_time(root, qual, &us))
			unknown = unknown == 1.0 ? ONE_SIDED : TWO_SIDED;
		else if (qual->op == FLOWDB_OP_GT || qual->op == FLOWDB_OP_GE)
			lo = Max(lo, us);
		else
			hi = Min(hi, us);
	}
	if (fr->has_ts && fr->ts_max > fr->ts_min)
		unknown *=
			Max(0.0, hi - lo) / ((double) fr->ts_max - (double) fr->ts_min);
	return clamp_fraction(unknown, rows);
}

/* Fraction of the series within the key's bounds. */
static double
key_fraction(const FlowdbRel *fr, const FlowdbQuals *quals, double series)
{
	int nkeys = fr->table->nkeys;
	double f = pow(series, -(double) quals->nfixed / nkeys);
	int ranges = 0;
	ListCell *lc;

	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);

		if (qual->target == quals->nfixed)
			ranges += qual->op == FLOWDB_OP_PREFIX ? 2 : 1;
	}
	if (ranges > 0)
		f *= ranges > 1 ? TWO_SIDED : ONE_SIDED;
	return clamp_fraction(f, series);
}

/*
 * flowdb_cost_estimate
 *		Rows and cost of a path that applies quals.
 */
void
flowdb_cost_estimate(PlannerInfo *root, RelOptInfo *baserel,
					 const FlowdbRel *fr, const FlowdbQuals *quals,
					 FlowdbCost *cost)
{
	double series =
		fr->table->time_attnum != 0 ? ceil(sqrt(fr->records)) : fr->records;
	double per_series = fr->records / series;
	double fraction = key_fraction(fr, quals, series);
	double read;
	QualCost local;

	if (fr->table->time_attnum != 0)
		fraction *= time_fraction(root, fr, quals, per_series);
	read = clamp_row_est(fr->records * fraction);
	cost->rows = clamp_row_est(
		read * clauselist_selectivity(root, quals->local, (int) baserel->relid,
									  JOIN_INNER, NULL));

	cost_qual_eval(&local, quals->local, root);
	cost->startup = local.startup + OPEN_COST * (2 + fr->sstables);
	cost->total = cost->startup +
				  read * (cpu_tuple_cost * ROW_FACTOR + local.per_tuple) +
				  seq_page_cost * BYTES_FACTOR * fr->bytes * fraction / BLCKSZ;
}
