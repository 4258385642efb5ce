/*-------------------------------------------------------------------------
 * cost.c
 *	  Estimates for the planner, from the engine's counters.
 *
 * Nobody needs to run ANALYZE on these tables.  What is always known is the
 * number of records and of keys, the span of time and the bytes of a record;
 * the rest is a model: rows are spread evenly over keys and over time, and
 * each key column has its share of the keys.  Where ANALYZE has left
 * statistics on the key they tell more about it, but not about the time: of
 * time series the newest rows matter, and those came after it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

#include "fdw.h"

#define GUESS_RECORDS 1000.0 /* of an empty store, which will not stay so */
#define GUESS_WIDTH 64.0	 /* bytes of a record */

#define ONE_SIDED 0.3333 /* of the rows, by a bound that is not known */
#define TWO_SIDED 0.05

/* What reading costs beside a sequential scan of a heap */
#define ROW_FACTOR 0.5	   /* of cpu_tuple_cost: rows come by vectors */
#define BYTES_FACTOR 0.5   /* of the raw bytes: blocks are compressed */
#define OPEN_COST 0.02	   /* of a source: find the place */
#define RANGE_COST 0.2	   /* a range, however few its rows */
#define KEY_COST 0.1	   /* a key of a range in which times are sought */
#define RANGE_BYTES 8192.0 /* of SSTables, that it reads at least */
#define VECTOR_FACTOR 0.02 /* the same, of rows that stay in vectors */
#define LOOK_FACTOR 0.1	   /* of cpu_tuple_cost: a row that filters take away */
#define FILTER_FACTOR 0.1  /* of cpu_operator_cost: in a loop over a vector */

/* ---------------------------------------------------------------- counters */

void
flowdb_cost_init(FlowdbRel *fr, RelOptInfo *baserel)
{
	const FlowdbTable *table = fr->table;
	FlowDb *db = flowdb_database(table->serverid);
	FlowStoreStats stats;
	uint32 store_id = flowdb_store_id(db, table->store);

	memset(&stats, 0, sizeof(stats));
	if (store_id != 0)
		flow_store_stats(db, store_id, &stats);

	fr->known = stats.records > 0;
	fr->records = fr->known ? (double) stats.records : GUESS_RECORDS;
	fr->bytes = fr->known ? (double) stats.bytes : GUESS_RECORDS * GUESS_WIDTH;
	fr->keys = fr->known && stats.keys > 0 ? (double) stats.keys
			   : table->time_attnum != 0   ? ceil(sqrt(fr->records))
										   : fr->records;
	fr->keys = Min(fr->keys, fr->records);
	fr->sstables = stats.sstables;
	fr->has_ts = fr->known && stats.has_ts;
	fr->ts_min = stats.ts_min;
	fr->ts_max = stats.ts_max;
	fr->analyzed = true;
	for (int i = 0; i < table->nkeys && fr->analyzed; i++)
		fr->analyzed =
			flowdb_has_statistics(table->relid, table->keys[i].attnum);
	baserel->tuples = fr->records;
	baserel->pages = (BlockNumber) Min(fr->bytes / BLCKSZ + 1, 1e9);
}

/* ------------------------------------------------------------------- width */

/*
 * flowdb_cost_width
 *		Bytes of the wanted columns of varying length, where no statistics
 *		tell: each has an equal share of what a record has beside the others.
 */
void
flowdb_cost_width(PlannerInfo *root, RelOptInfo *baserel, const FlowdbRel *fr,
				  TupleDesc desc)
{
	double rest = fr->bytes / fr->records;
	int nvarying = 0;
	ListCell *lc;

	if (!fr->known)
		return;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (FLOWDB_IS_VALUELESS(att))
			continue;
		if (att->attlen > 0)
			rest -= att->attlen;
		else if (flowdb_has_statistics(fr->table->relid, att->attnum))
			rest -= get_attavgwidth(fr->table->relid, att->attnum);
		else
			nvarying++;
	}
	if (nvarying == 0)
		return;
	foreach (lc, baserel->reltarget->exprs)
	{
		Var *var = lfirst(lc);
		int32 *width;

		if (!IsA(var, Var) || var->varattno < 1 ||
			var->varno != (int) baserel->relid ||
			TupleDescAttr(desc, var->varattno - 1)->attlen > 0 ||
			flowdb_has_statistics(fr->table->relid, var->varattno))
			continue;
		width = &baserel->attr_widths[var->varattno - baserel->min_attr];
		baserel->reltarget->width -= *width;
		*width = (int32) Max(1.0, Min(rest / nvarying, 1e6)) + VARHDRSZ_SHORT;
		baserel->reltarget->width += *width;
	}
}

/* -------------------------------------------------------------------- time */

/* The time that a qual compares with, when it can be told now. */
static bool
known_time(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQual *qual,
		   double *usp)
{
	Const *c;
	int op = qual->op == FLOWDB_OP_ANY ? FLOWDB_OP_EQ : (int) qual->op;
	int64 own[2];

	if (qual->op > FLOWDB_OP_GT)
		return false;
	c = (Const *) estimate_expression_value(
		root, copyObject((Node *) linitial(qual->values)));
	if (!IsA(c, Const) || c->constisnull ||
		flowdb_time_compare(fr->table->time_type, &op, c->constvalue,
							linitial_oid(qual->types),
							own) != FLOWDB_COMPARED_BOUND)
		return false;
	*usp = (double) own[0];
	return true;
}

static double
clamp_fraction(double f, double records)
{
	return Min(1.0, Max(f, 1.0 / Max(records, 1.0)));
}

/* How many values has an ANY? */
static double
count_values(PlannerInfo *root, const FlowdbQual *qual)
{
	double n = 0;
	ListCell *value;
	ListCell *array;

	forboth (value, qual->values, array, qual->arrays)
	{
		n += lfirst_int(array) ? FLOWDB_ARRAY_LENGTH(root, lfirst(value)) : 1;
	}
	return Max(n, 1);
}

/*
 * Fraction of rows within the times.  One time is one row of each key: the
 * most there can be.  rows: how many the keys leave.
 */
static double
time_fraction(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals,
			  double rows)
{
	double per_key = fr->records / fr->keys;
	double lo = (double) fr->ts_min;
	double hi = (double) fr->ts_max;
	double unknown = 1.0;
	ListCell *lc;

	if (quals->time_fixed)
		return clamp_fraction(0, per_key);
	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);
		double us;

		if (qual->target != FLOWDB_TARGET_TIME)
			continue;
		if (qual->op == FLOWDB_OP_ANY)
			return clamp_fraction(count_values(root, qual) / per_key, per_key);
		if (!fr->has_ts || !known_time(root, fr, qual, &us))
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

/* -------------------------------------------------------------------- keys */

/* Fewest values that the quals leave of a key column; 0: no equality. */
static double
column_points(PlannerInfo *root, const FlowdbQuals *quals, int column)
{
	double points = 0;
	ListCell *lc;

	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);
		double n;

		if (qual->target != column ||
			(qual->op != FLOWDB_OP_EQ && qual->op != FLOWDB_OP_ANY))
			continue;
		n = qual->op == FLOWDB_OP_EQ ? 1 : count_values(root, qual);
		points = points == 0 ? n : Min(points, n);
	}
	return points;
}

/* Fraction of the keys within the bounds, by the model. */
static double
model_keys(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals)
{
	double share = pow(fr->keys, -1.0 / fr->table->nkeys);
	double f = 1.0;
	int ranges = 0;
	ListCell *lc;

	for (int column = 0; column < quals->npoints; column++)
		f *= Min(1.0, share * column_points(root, quals, column));
	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);

		if (qual->target == quals->npoints || qual->op > FLOWDB_OP_ROW)
			ranges += qual->op == FLOWDB_OP_PREFIX ||
							  qual->op == FLOWDB_OP_LIKE ||
							  qual->op == FLOWDB_OP_EQ
						  ? 2
						  : 1;
	}
	if (ranges > 0)
		f *= ranges > 1 ? TWO_SIDED : ONE_SIDED;
	return f;
}

/* The same by statistics, which the clauses' own estimators read. */
static double
statistics_keys(PlannerInfo *root, RelOptInfo *baserel,
				const FlowdbQuals *quals)
{
	List *clauses = NIL;
	ListCell *lc;

	foreach (lc, quals->pushed)
	{
		const FlowdbQual *qual = lfirst(lc);

		if (qual->target != FLOWDB_TARGET_TIME)
			clauses = lappend(clauses, qual->rinfo);
	}
	return clauselist_selectivity(root, clauses, (int) baserel->relid,
								  JOIN_INNER, NULL);
}

/* -------------------------------------------------------------------- path */

static bool
matches_nothing(const FlowdbQuals *quals)
{
	ListCell *lc;

	foreach (lc, quals->pushed)
		if (((const FlowdbQual *) lfirst(lc))->op == FLOWDB_OP_FALSE)
			return true;
	return false;
}

/* How many ranges the scan looks into. */
static double
count_ranges(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals)
{
	double n = 1;

	for (int column = 0; column < quals->npoints; column++)
		n *= Max(1.0, column_points(root, quals, column));
	if (quals->npoints == fr->table->nkeys)
		n *= Max(1.0, column_points(root, quals, FLOWDB_TARGET_TIME));
	return n;
}

/* Rows of a key and time, or of a beginning of these, that are fixed: there
 * are no more of them than combinations of values. */
static double
most_rows(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals)
{
	bool fixed = quals->npoints == fr->table->nkeys &&
				 (fr->table->time_attnum == 0 ||
				  column_points(root, quals, FLOWDB_TARGET_TIME) > 0);

	return fixed ? count_ranges(root, fr, quals) : fr->records;
}

/* Of rows that are read, how many filters leave. */
static double
filtered_rows(PlannerInfo *root, RelOptInfo *baserel, const FlowdbQuals *quals,
			  double rows)
{
	List *clauses = NIL;
	ListCell *lc;

	if (quals->filters == NIL)
		return rows;
	foreach (lc, quals->filters)
		clauses = lappend(clauses, ((const FlowdbQual *) lfirst(lc))->rinfo);
	return rows * clauselist_selectivity(root, clauses, (int) baserel->relid,
										 JOIN_INNER, NULL);
}

/*
 * Keys of a range in which the scan seeks the first row within the times: rows
 * stand by key, so that a bound of the time alone leads into every key.  Of
 * keys with few rows all are looked at instead.  of_keys: rows of the keys
 * within the bounds, of which so many are within the times too.
 */
static double
sought_keys(const FlowdbRel *fr, const FlowdbQuals *quals, double of_keys,
			double rows)
{
	bool sought = false;
	Cost looking;
	ListCell *lc;

	if (quals->npoints == fr->table->nkeys)
		return 0; /* each key is a range of its own */
	foreach (lc, quals->pushed)
		sought |=
			((const FlowdbQual *) lfirst(lc))->target == FLOWDB_TARGET_TIME;
	if (!sought)
		return 0;
	looking = Max(0, of_keys - rows) * cpu_tuple_cost * LOOK_FACTOR;
	return Min(fr->keys * of_keys / fr->records, looking / KEY_COST);
}

/* What reading so many rows of the store costs, but for the start, when so
 * many of them pass the filters.  keys: in which times are sought. */
static void
add_read_cost(PlannerInfo *root, const FlowdbRel *fr, const FlowdbQuals *quals,
			  double rows, double keys, double passing, FlowdbCost *cost)
{
	double ranges = count_ranges(root, fr, quals);
	Cost filter =
		cpu_operator_cost * FILTER_FACTOR * list_length(quals->filters);

	cost->bytes = fr->bytes * rows / fr->records;
	if (fr->sstables > 0)
	{
		cost->bytes = Max(cost->bytes, ranges * RANGE_BYTES);
		cost->bytes = Max(cost->bytes, Min(keys * RANGE_BYTES, fr->bytes));
	}
	cost->disk = seq_page_cost * BYTES_FACTOR * cost->bytes / BLCKSZ;
	cost->total += OPEN_COST * (2 + fr->sstables) * (ranges - 1) +
				   RANGE_COST * ranges + KEY_COST * keys +
				   passing * cpu_tuple_cost * ROW_FACTOR +
				   (rows - passing) * cpu_tuple_cost * LOOK_FACTOR +
				   rows * filter + cost->disk;
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
	double fraction = fr->analyzed ? statistics_keys(root, baserel, quals)
								   : model_keys(root, fr, quals);
	double read = 1;
	double of_keys;
	double passing;
	QualCost local;

	fraction = clamp_fraction(fraction, fr->keys);
	of_keys = fr->records * fraction;
	if (fr->table->time_attnum != 0)
		fraction *= time_fraction(root, fr, quals, fr->records * fraction);
	if (!matches_nothing(quals))
		read = clamp_row_est(
			Min(fr->records * fraction, most_rows(root, fr, quals)));
	cost->rows = clamp_row_est(
		read * clauselist_selectivity(root, quals->rest, (int) baserel->relid,
									  JOIN_INNER, NULL));
	cost_qual_eval(&local, quals->local, root);
	passing = filtered_rows(root, baserel, quals, read);
	cost->startup = local.startup + OPEN_COST * (2 + fr->sstables);
	cost->total = cost->startup + passing * local.per_tuple;
	add_read_cost(root, fr, quals, read, sought_keys(fr, quals, of_keys, read),
				  passing, cost);
}

/*
 * flowdb_cost_vectors
 *		The same for who takes vectors, not rows; without quals.local.
 */
void
flowdb_cost_vectors(PlannerInfo *root, RelOptInfo *baserel, const FlowdbRel *fr,
					const FlowdbQuals *quals, FlowdbCost *cost)
{
	flowdb_cost_estimate(root, baserel, fr, quals, cost);
	cost->total -= cost->rows * cpu_tuple_cost * (ROW_FACTOR - VECTOR_FACTOR);
}

/*
 * flowdb_cost_span
 *		Microseconds from the first to the last row within the bounds.
 */
double
flowdb_cost_span(PlannerInfo *root, const FlowdbRel *fr,
				 const FlowdbQuals *quals)
{
	if (!fr->has_ts)
		return 0;
	return time_fraction(root, fr, quals, fr->records) *
		   ((double) fr->ts_max - (double) fr->ts_min);
}
