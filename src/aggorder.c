/*-------------------------------------------------------------------------
 * aggorder.c
 *	  Groups in the order of their buckets: window of time by window.
 *
 * Who wants the newest five minutes of a year should not read the year.  The
 * times are cut into windows, from the newest on or from the oldest; each is
 * read as a scan of its own, and its groups are sorted and returned before the
 * next one is looked into.  Each window has several times as many buckets as
 * the one before, so that there are few of them, and few in a long stretch
 * without rows.
 *
 * Nothing depends on what the store's counters say of its times: the first
 * window is open at its outer end, the last one at its other, and counters
 * only tell where to count buckets from.  What must be exact is an edge: all
 * times before it are in earlier buckets than all from it on.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/timestamp.h"

#include "agg.h"
#include "ranges.h"
#include "timebucket.h"

#define FAR_TIME (PG_INT64_MAX / 2)
#define LONGEST \
	((double) USECS_PER_DAY * 366 * 1000) /* bucket; of a window
													   * no edge is sought */
#define ZONE_SLACK \
	(2 * USECS_PER_DAY) /* more than clocks are ever changed by */
#define MOST_CHANGES 64 /* of the zone, that an edge is worth */
#define MOST_TRIES 8	/* to find an edge */

/* ---------------------------------------------------------------- planning */

/* A constant that is not NULL, else NULL. */
static const Const *
known(const List *args, int i)
{
	const Const *c = i < list_length(args) ? list_nth(args, i) : NULL;

	return c && IsA(c, Const) && !c->constisnull ? c : NULL;
}

static bool
stride_cuts(const Const *c, FlowdbTimeType type)
{
	const Interval *stride = DatumGetIntervalP(c->constvalue);
	int64 us;

	return stride->month == 0 &&
		   !pg_mul_s64_overflow(stride->day, USECS_PER_DAY, &us) &&
		   !pg_add_s64_overflow(us, stride->time, &us) && us > 0 &&
		   (type != FLOWDB_TIME_DATE || us % USECS_PER_DAY == 0);
}

bool
flowdb_order_cuts(FlowdbBucketKind kind, FlowdbTimeType type, List *args)
{
	const Const *first = known(args, 0);
	const Const *origin = known(args, 1);
	double width;

	if (kind == FLOWDB_BUCKET_NONE || kind == FLOWDB_BUCKET_RAW)
		return kind == FLOWDB_BUCKET_RAW;
	if (!first)
		return false;
	width = flowdb_bucket_width(kind, args);
	if (width <= 0 || width > LONGEST)
		return false;
	if (kind == FLOWDB_BUCKET_BIN &&
		(!origin || DatumGetTimestamp(origin->constvalue) > FAR_TIME ||
		 DatumGetTimestamp(origin->constvalue) < -FAR_TIME))
		return false;
	return kind == FLOWDB_BUCKET_TRUNC || stride_cuts(first, type);
}

/* ------------------------------------------------------------------- edges */

/* Between the column's own times and the engine's. */
static int64
epoch_shift(const FlowdbBucket *b)
{
	return b->type == FLOWDB_TIME_BIGINT ? 0 : FLOWDB_EPOCH_DIFF_US;
}

static int64
value_at(FlowdbBucket *b, ExprContext *econtext, int64 ts)
{
	if (ts < b->first || ts > b->last)
		flowdb_bucket_find(b, econtext, ts);
	return b->value;
}

/* Can a bucket be asked for there, without an error that no row has caused? */
static bool
is_near(const FlowdbAggOrder *o, const FlowdbBucket *b, double ts)
{
	double room = 4 * o->width + 4 * (double) ZONE_SLACK;
	double least = -(double) FAR_TIME;

	if (b->type != FLOWDB_TIME_BIGINT)
		least = (double) MIN_TIMESTAMP + (double) FLOWDB_EPOCH_DIFF_US;
	return ts - room > least && ts + room < (double) FAR_TIME;
}

/*
 * Where clocks are set back a time may have an earlier bucket than one before
 * it.  Between such changes buckets rise, so it is enough to look at these,
 * near the edge: farther away no bucket reaches.
 */
static bool
changes_allow(const FlowdbAggOrder *o, FlowdbBucket *b, ExprContext *econtext,
			  int64 edge, int64 value)
{
	int64 end = edge + (int64) o->width + 2 * ZONE_SLACK;
	pg_time_t at = (pg_time_t) ((edge - 2 * ZONE_SLACK) / USECS_PER_SEC);

	for (int i = 0; i < MOST_CHANGES; i++)
	{
		pg_time_t boundary;
		long offset;
		long next_offset;
		int dst;
		int next_dst;
		int found =
			pg_next_dst_boundary(&at, &offset, &dst, &boundary, &next_offset,
								 &next_dst, session_timezone);

		if (found < 0)
			return false;
		if (found == 0 || boundary > end / USECS_PER_SEC)
			return true;
		at = boundary;
		if (boundary * USECS_PER_SEC <= edge
				? value_at(b, econtext, boundary * USECS_PER_SEC - 1) >= value
				: value_at(b, econtext, boundary * USECS_PER_SEC) < value)
			return false;
	}
	return false;
}

/*
 * The first time of the bucket that ts is in; false: it is not certain to be
 * an edge.
 */
static bool
find_edge(const FlowdbAggOrder *o, FlowdbBucket *b, ExprContext *econtext,
		  double ts, int64 *edgep)
{
	int64 edge;

	*edgep = 0;
	if (!is_near(o, b, ts))
		return false;
	edge = (int64) ts;
	if (b->kind != FLOWDB_BUCKET_RAW)
		edge = value_at(b, econtext, edge) + epoch_shift(b);
	/* releases differ in which bucket a time right at an edge is in, when it
	 * is before date_bin's origin */
	for (int i = 0; i < 2; i++, edge++)
	{
		int64 value;

		*edgep = edge;
		if (b->kind == FLOWDB_BUCKET_RAW)
			return true;
		value = value_at(b, econtext, edge);
		if (value_at(b, econtext, edge - 1) < value)
			return flowdb_bucket_rises(b->kind, b->type) ||
				   changes_allow(o, b, econtext, edge, value);
	}
	return false;
}

/* ----------------------------------------------------------------- windows */

void
flowdb_order_init(FlowdbAggOrder *o, const ForeignScan *plan,
				  FlowdbBucketKind kind, List *args)
{
	List *more = list_nth(plan->fdw_private, FLOWDB_SCAN_MORE);
	List *order = list_nth(more, FLOWDB_AGG_ORDER);

	o->direction = (FlowdbAggDirection) linitial_int(order);
	o->first_buckets = lsecond_int(order);
	if (o->direction != FLOWDB_AGG_ANYHOW && kind != FLOWDB_BUCKET_RAW)
		o->width = flowdb_bucket_width(kind, args);
	flowdb_order_restart(o);
}

void
flowdb_order_restart(FlowdbAggOrder *o)
{
	o->begun = false;
	o->done = false;
}

/* Where there are rows, as far as it is known; and how wide steps are. */
static void
begin(FlowdbAggOrder *o, const FlowdbScanState *scan)
{
	const FlowdbTimeValues *time = &scan->ranges->time;
	bool falling = o->direction == FLOWDB_AGG_FALLING;
	FlowStoreStats stats;
	int64 newest;
	int64 oldest;

	flow_store_stats(scan->db, scan->spec.store_id, &stats);
	newest = stats.has_ts ? stats.ts_max : PG_INT64_MAX;
	oldest = stats.has_ts ? stats.ts_min : PG_INT64_MIN;
	if (newest == PG_INT64_MAX) /* rows may be at infinity: as good a guess */
		newest = scan->spec.now;
	newest = Min(newest, time->hi);
	oldest = Max(oldest, time->lo);
	o->begun = true;
	o->at = falling ? PG_INT64_MAX : PG_INT64_MIN;
	o->near = falling ? newest : oldest;
	o->far = falling ? oldest : newest;
	o->buckets = o->first_buckets;
	o->step = o->width;
	if (o->step == 0) /* as if each key had its rows at the same times */
		o->step = Max(1, ((double) newest - (double) oldest) *
							 (double) Max(stats.keys, 1) /
							 (double) Max(stats.records, 1));
}

/* The next window is as large as memory for its groups allows. */
static void
grow(FlowdbAggOrder *o, double group_bytes)
{
	double most = (double) get_hash_memory_limit();

	if (group_bytes > most)
		o->buckets = Max(1, o->buckets / FLOWDB_WINDOW_GROWTH);
	else if (group_bytes * FLOWDB_WINDOW_GROWTH <= most)
		o->buckets *= FLOWDB_WINDOW_GROWTH;
}

/* A stretch without rows, and what the SSTables say where it ends. */
typedef struct Stretch
{
	uint32 store_id;
	bool falling;
	int64 at;
	bool ends;
	int64 end;
} Stretch;

static FlowStatus
look_at_sst(void *arg, const FlowSstStats *sst)
{
	Stretch *s = arg;
	int64 end = s->falling ? Min(sst->ts_max, s->at) : Max(sst->ts_min, s->at);

	if (sst->store_id != s->store_id || sst->records == 0 ||
		(s->falling ? sst->ts_min > s->at : sst->ts_max < s->at))
		return FLOW_OK;
	if (!s->ends || (s->falling ? end > s->end : end < s->end))
		s->end = end;
	s->ends = true;
	return FLOW_OK;
}

/*
 * A window was empty: begin to count again where an SSTable does.  Should
 * memory have rows before that, the next window has them too.
 */
static bool
skip_stretch(FlowdbAggOrder *o, const FlowdbScanState *scan)
{
	Stretch s = {scan->spec.store_id, o->direction == FLOWDB_AGG_FALLING, o->at,
				 false, 0};
	FlowStatus st;

	while ((st = flow_each_sst(scan->db, look_at_sst, &s)) == FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	flowdb_report(st);
	if (!s.ends || s.end == o->at)
		return false;
	o->near = s.end;
	o->buckets = o->first_buckets;
	return true;
}

/* The next window that ends at o->at; all that is left when there is no edge
 * on this side of o->far. */
static void
next_falling(FlowdbAggOrder *o, FlowdbBucket *b, ExprContext *econtext,
			 int64 *lop, int64 *hip)
{
	double wide = o->buckets;

	*hip = o->at;
	for (int i = 0; i < MOST_TRIES; i++, wide *= 2)
	{
		double ts = (double) o->near - (wide - 1) * o->step;

		if (ts <= (double) o->far)
			break;
		if (find_edge(o, b, econtext, ts, lop) && *lop <= *hip && *lop > o->far)
		{
			o->at = o->near = *lop - 1;
			return;
		}
	}
	*lop = PG_INT64_MIN;
	o->done = true;
}

static void
next_rising(FlowdbAggOrder *o, FlowdbBucket *b, ExprContext *econtext,
			int64 *lop, int64 *hip)
{
	double wide = o->buckets;
	int64 edge;

	*lop = o->at;
	for (int i = 0; i < MOST_TRIES; i++, wide *= 2)
	{
		double ts = (double) o->near + wide * o->step;

		if (ts > (double) o->far)
			break;
		if (find_edge(o, b, econtext, ts, &edge) && edge > *lop &&
			edge <= o->far)
		{
			o->at = o->near = edge;
			*hip = edge - 1;
			return;
		}
	}
	*hip = PG_INT64_MAX;
	o->done = true;
}

bool
flowdb_order_next(FlowdbAggOrder *o, FlowdbBucket *b, FlowdbScanState *scan,
				  ForeignScanState *node, double group_bytes)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	int64 lo;
	int64 hi;

	if (o->done)
		return false;
	if (!o->begun)
	{
		if (!flowdb_scan_start(scan, node))
		{
			o->done = true;
			return false;
		}
		begin(o, scan);
	}
	else if (group_bytes > 0 || !skip_stretch(o, scan))
		grow(o, group_bytes);
	if (o->direction == FLOWDB_AGG_FALLING)
		next_falling(o, b, econtext, &lo, &hi);
	else
		next_rising(o, b, econtext, &lo, &hi);
	o->windows++;
	flowdb_scan_window(scan, lo, hi);
	return true;
}
