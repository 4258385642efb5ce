/*-------------------------------------------------------------------------
 * aggbucket.c
 *	  Buckets of time: from which time to which does one go?
 *
 * Rows of a key come by rising time, so the function that makes buckets need
 * not be called for each of them: once the edges of a bucket are known a row
 * costs a comparison.  Edges are arithmetic where that is certain to give the
 * function's own value.  Elsewhere (months, whatever a clock change may cut)
 * the function is asked, and asked again at the end of the bucket as it
 * should be: all between two times with one value have that value, because it
 * never falls with time as long as the zone's offset stays the same.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "parser/scansup.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

#include "agg.h"
#include "timebucket.h"

#define FAR_TIME (PG_INT64_MAX / 2) /* from any epoch */

#define HOURS(n) ((n) *USECS_PER_HOUR)
#define DAYS(n) ((n) *USECS_PER_DAY)

/* ------------------------------------------------------------------- units */

/* Units of date_trunc: of equal width, from 2000-01-01 00:00 on ... */
static const struct
{
	int unit;
	int64 us;
} fixed_units[] = {
	{DTK_MICROSEC, 1},			 {DTK_MILLISEC, 1000},
	{DTK_SECOND, USECS_PER_SEC}, {DTK_MINUTE, USECS_PER_MINUTE},
	{DTK_HOUR, USECS_PER_HOUR},	 {DTK_DAY, USECS_PER_DAY},
};

/* ... and the others, by how long they can be; a day where clocks change. */
static const struct
{
	int unit;
	int64 lengths[6];
} long_units[] = {
	{DTK_DAY, {HOURS(25), HOURS(24), HOURS(23), 0}},
	{DTK_WEEK, {HOURS(169), HOURS(168), HOURS(167), 0}},
	{DTK_MONTH, {DAYS(31), DAYS(30), DAYS(29), DAYS(28), 0}},
	{DTK_QUARTER, {DAYS(92), DAYS(91), DAYS(90), 0}},
	{DTK_YEAR, {DAYS(366), DAYS(365), 0}},
	{DTK_DECADE, {DAYS(3653), DAYS(3652), DAYS(3651), 0}},
	{DTK_CENTURY, {DAYS(36525), DAYS(36524), 0}},
	{DTK_MILLENNIUM, {DAYS(365243), DAYS(365242), 0}},
};

static const int64 no_lengths[] = {0};

/* The DTK number of a unit's name; -1: it is none. */
static int
unit_number(Datum name)
{
	text *t = DatumGetTextPP(name);
	char *low = downcase_truncate_identifier(VARDATA_ANY(t),
											 VARSIZE_ANY_EXHDR(t), false);
	int unit;

	return DecodeUnits(0, low, &unit) == UNITS ? unit : -1;
}

/* Does the function depend on the session's time zone? */
static bool
is_zoned(FlowdbBucketKind kind, FlowdbTimeType type)
{
	return kind == FLOWDB_BUCKET_TRUNC && type == FLOWDB_TIME_TIMESTAMPTZ;
}

bool
flowdb_bucket_rises(FlowdbBucketKind kind, FlowdbTimeType type)
{
	return !is_zoned(kind, type);
}

double
flowdb_bucket_width(FlowdbBucketKind kind, List *args)
{
	Const *c = args == NIL ? NULL : linitial(args);
	Interval *stride;
	int unit;

	if (kind == FLOWDB_BUCKET_RAW || !c || !IsA(c, Const) || c->constisnull)
		return 0;
	if (kind != FLOWDB_BUCKET_TRUNC)
	{
		stride = DatumGetIntervalP(c->constvalue);
		return (double) stride->time +
			   (double) USECS_PER_DAY *
				   ((double) stride->day +
					(double) DAYS_PER_MONTH * (double) stride->month);
	}
	unit = unit_number(c->constvalue);
	for (int i = 0; i < (int) lengthof(fixed_units); i++)
		if (fixed_units[i].unit == unit)
			return (double) fixed_units[i].us;
	for (int i = 0; i < (int) lengthof(long_units); i++)
		if (long_units[i].unit == unit)
			return (double) long_units[i].lengths[0];
	return 0;
}

/* ------------------------------------------------------------------- begin */

void
flowdb_bucket_init(FlowdbBucket *b, FlowdbBucketKind kind, FlowdbTimeType type,
				   Oid function, List *args, PlanState *parent)
{
	ListCell *lc;

	memset(b, 0, sizeof(*b));
	if (OidIsValid(function))
		flowdb_agg_check_execute(function);
	b->kind = kind;
	b->type = type;
	foreach (lc, args)
		b->args[b->nargs++] = ExecInitExpr(lfirst(lc), parent);
	if (kind == FLOWDB_BUCKET_TRUNC || kind == FLOWDB_BUCKET_BIN)
		fmgr_info(function, &b->function);
	b->args_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB bucket arguments", ALLOCSET_SMALL_SIZES);
	b->call_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB bucket calls", ALLOCSET_SMALL_SIZES);
	flowdb_bucket_restart(b);
}

void
flowdb_bucket_restart(FlowdbBucket *b)
{
	b->resolved = false;
	b->span_first = b->first = PG_INT64_MAX;
	b->span_last = b->last = PG_INT64_MIN;
	b->whole = false;
}

static void
resolve_trunc(FlowdbBucket *b)
{
	int unit = unit_number(b->values[0]);

	b->rule = FLOWDB_RULE_CALL;
	b->lengths = no_lengths;
	b->zoned = is_zoned(b->kind, b->type);
	for (int i = 0; i < (int) lengthof(fixed_units); i++)
		if (fixed_units[i].unit == unit && !(b->zoned && unit == DTK_DAY))
		{
			b->stride = fixed_units[i].us;
			b->rule = b->zoned && b->stride > USECS_PER_SEC ? FLOWDB_RULE_LOCAL
															: FLOWDB_RULE_FIXED;
			return;
		}
	for (int i = 0; i < (int) lengthof(long_units); i++)
		if (long_units[i].unit == unit)
			b->lengths = long_units[i].lengths;
}

/* What date_bin itself would complain about is left to it. */
static void
resolve_bin(FlowdbBucket *b)
{
	const Interval *stride = DatumGetIntervalP(b->values[0]);
	Timestamp origin = DatumGetTimestamp(b->values[1]);
	int64 us;

	b->rule = FLOWDB_RULE_CALL;
	b->lengths = no_lengths;
	if (TIMESTAMP_NOT_FINITE(origin) || stride->month != 0 ||
		pg_mul_s64_overflow(stride->day, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, stride->time, &us) || us <= 0)
		return;
	b->rule = FLOWDB_RULE_FIXED;
	b->stride = us;
	b->origin = origin;
}

static void
resolve_stride(FlowdbBucket *b)
{
	b->rule = FLOWDB_RULE_FIXED;
	b->stride = flowdb_stride_us(DatumGetIntervalP(b->values[0]));
	b->origin = FLOWDB_BUCKET_ORIGIN;
	if (b->type == FLOWDB_TIME_BIGINT)
		b->origin += FLOWDB_EPOCH_DIFF_US;
	if (b->type == FLOWDB_TIME_DATE && b->stride % USECS_PER_DAY != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("stride must be whole days for a date")));
}

/* At the first row, not before: without rows PostgreSQL calls nothing. */
static void
resolve(FlowdbBucket *b, ExprContext *econtext)
{
	MemoryContext old;
	bool null = false;

	MemoryContextReset(b->args_cxt);
	old = MemoryContextSwitchTo(b->args_cxt);
	for (int i = 0; i < b->nargs && !null; i++)
		b->values[i] = ExecEvalExpr(b->args[i], econtext, &null);
	if (null)
		b->rule = FLOWDB_RULE_NULL;
	else if (b->kind == FLOWDB_BUCKET_RAW)
		b->rule = FLOWDB_RULE_RAW;
	else if (b->kind == FLOWDB_BUCKET_TRUNC)
		resolve_trunc(b);
	else if (b->kind == FLOWDB_BUCKET_BIN)
		resolve_bin(b);
	else
		resolve_stride(b);
	MemoryContextSwitchTo(old);
	b->null = null;
	b->limit = FAR_TIME;
	b->resolved = true;
}

/* -------------------------------------------------------------------- edges */

/* The function's value. */
static int64
call(FlowdbBucket *b, int64 t)
{
	MemoryContext old = MemoryContextSwitchTo(b->call_cxt);
	Datum value;

	if (b->nargs == 2)
		value =
			FunctionCall3Coll(&b->function, DEFAULT_COLLATION_OID, b->values[0],
							  TimestampGetDatum(t), b->values[1]);
	else
		value = FunctionCall2Coll(&b->function, DEFAULT_COLLATION_OID,
								  b->values[0], TimestampGetDatum(t));
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->call_cxt);
	return DatumGetTimestamp(value);
}

/* A bucket from first to last, in the column's own time. */
static void
set_bucket(FlowdbBucket *b, int64 value, int64 first, int64 last)
{
	int64 shift = b->type == FLOWDB_TIME_BIGINT ? 0 : FLOWDB_EPOCH_DIFF_US;

	b->whole = false;
	b->value = value;
	b->first = first + shift; /* a timestamp is far from the least number */
	/* the greatest is infinity */
	if (pg_add_s64_overflow(last, shift, &b->last) ||
		(shift != 0 && b->last == PG_INT64_MAX))
		b->last = shift != 0 ? PG_INT64_MAX - 1 : PG_INT64_MAX;
}

/* The end of a bucket that begins there. */
static int64
end_of(int64 start, int64 length)
{
	int64 last;

	return pg_add_s64_overflow(start, length - 1, &last) ? PG_INT64_MAX : last;
}

/* Times around t at which the zone's offset is what it is at t. */
static bool
find_span(FlowdbBucket *b, int64 t)
{
	pg_time_t at;
	pg_time_t boundary;
	long offset;
	long next_offset;
	int dst;
	int next_dst;
	int found;
	int64 end;

	if (t >= b->span_first && t <= b->span_last)
		return true;
	b->span_first = PG_INT64_MAX;
	if (!flowdb_bucket_floor(t, USECS_PER_SEC, 0, &end))
		return false;
	at = (pg_time_t) ((end + FLOWDB_EPOCH_DIFF_US) / USECS_PER_SEC);
	found = pg_next_dst_boundary(&at, &offset, &dst, &boundary, &next_offset,
								 &next_dst, session_timezone);
	if (found < 0)
		return false;
	b->span_first = t;
	b->span_last = PG_INT64_MAX;
	if (found > 0 &&
		!pg_mul_s64_overflow((int64) boundary, USECS_PER_SEC, &end))
		b->span_last = end - FLOWDB_EPOCH_DIFF_US - 1;
	b->limit = Min(b->span_last, FAR_TIME) + FLOWDB_EPOCH_DIFF_US;
	b->offset_us = (int64) offset * USECS_PER_SEC;
	return true;
}

/* By the function; see the head of the file. */
static void
find_by_call(FlowdbBucket *b, int64 t, const int64 *lengths)
{
	int64 value = call(b, t);
	int64 limit = PG_INT64_MAX;

	if (b->zoned)
		limit = find_span(b, t) ? b->span_last : t;
	for (; *lengths != 0; lengths++)
	{
		int64 last = Min(end_of(value, *lengths), limit);

		if (last < t || !IS_VALID_TIMESTAMP(last) || call(b, last) != value)
			continue;
		set_bucket(b, value, t, last);
		return;
	}
	set_bucket(b, value, t, t);
}

static void
find_fixed(FlowdbBucket *b, int64 t)
{
	int64 unused;
	int64 start;

	/* where releases differ in what they make of it, or it would overflow */
	if (b->kind == FLOWDB_BUCKET_BIN &&
		(t < b->origin || pg_sub_s64_overflow(t, b->origin, &unused)))
	{
		int64 lengths[] = {b->stride, 0};

		find_by_call(b, t, lengths);
		return;
	}
	if (!flowdb_bucket_floor(t, b->stride, b->origin, &start))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("bigint out of range")));
	if (b->type != FLOWDB_TIME_BIGINT && !IS_VALID_TIMESTAMP(start))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						b->type == FLOWDB_TIME_DATE
							? errmsg("date out of range")
							: errmsg("timestamp out of range")));
	set_bucket(b, start, start, end_of(start, b->stride));
	b->whole = b->last > -FAR_TIME && b->last < FAR_TIME;
}

/* By the clock on the wall, while it is not changed. */
static void
find_local(FlowdbBucket *b, int64 t)
{
	bool known = t >= b->span_first && t <= b->span_last;
	int64 start;

	if (!find_span(b, t) ||
		!flowdb_bucket_floor(t + b->offset_us, b->stride, 0, &start))
	{
		find_by_call(b, t, no_lengths);
		return;
	}
	start -= b->offset_us;
	/* does the zone's table say what the function does? */
	if (!known && call(b, t) != start)
	{
		b->span_first = PG_INT64_MAX;
		find_by_call(b, t, no_lengths);
		return;
	}
	set_bucket(b, start, Max(start, b->span_first),
			   Min(end_of(start, b->stride), b->span_last));
	b->whole = b->last > -FAR_TIME && b->last < FAR_TIME;
}

/* An infinite time: alone in its bucket. */
static void
find_infinite(FlowdbBucket *b, int64 ts)
{
	int64 t = ts == PG_INT64_MIN ? DT_NOBEGIN : DT_NOEND;

	if (b->rule != FLOWDB_RULE_RAW && b->kind != FLOWDB_BUCKET_STRIDE)
		t = call(b, t);
	b->whole = false;
	b->value = t;
	b->first = b->last = ts;
}

/*
 * The bucket right behind the present one, without a division; false: ts is
 * not there.  Infinities, and times near them, are left to the others.
 */
static bool
find_next(FlowdbBucket *b, int64 ts)
{
	if (!b->whole || b->last > b->limit - b->stride || ts <= b->last ||
		ts > b->last + b->stride ||
		(b->kind == FLOWDB_BUCKET_BIN && b->value < b->origin))
		return false;
	b->first = b->last + 1;
	b->last += b->stride;
	b->value += b->stride;
	return true;
}

void
flowdb_bucket_find(FlowdbBucket *b, ExprContext *econtext, int64 ts)
{
	int64 t = ts;

	if (!b->resolved)
		resolve(b, econtext);
	if ((b->rule == FLOWDB_RULE_FIXED || b->rule == FLOWDB_RULE_LOCAL) &&
		find_next(b, ts))
		return;
	if (b->rule == FLOWDB_RULE_NULL)
	{
		b->first = PG_INT64_MIN;
		b->last = PG_INT64_MAX;
		b->value = 0;
		return;
	}
	if (b->type != FLOWDB_TIME_BIGINT)
	{
		/* what could not be shown is refused, as in a scan */
		Datum own = flowdb_decode_time(
			ts, b->rule == FLOWDB_RULE_RAW ? b->type : FLOWDB_TIME_TIMESTAMP);

		if (ts == PG_INT64_MIN || ts == PG_INT64_MAX)
		{
			find_infinite(b, ts);
			return;
		}
		t = b->rule == FLOWDB_RULE_RAW ? ts - FLOWDB_EPOCH_DIFF_US
									   : DatumGetTimestamp(own);
	}
	switch (b->rule)
	{
		case FLOWDB_RULE_FIXED:
			find_fixed(b, t);
			break;
		case FLOWDB_RULE_LOCAL:
			find_local(b, t);
			break;
		case FLOWDB_RULE_CALL:
			find_by_call(b, t, b->lengths);
			break;
		default:
			set_bucket(b, t, t, t);
			break;
	}
}

Datum
flowdb_bucket_datum(const FlowdbBucket *b, int64 value)
{
	switch (b->type)
	{
		case FLOWDB_TIME_BIGINT:
			return Int64GetDatum(value);
		case FLOWDB_TIME_DATE:
			if (TIMESTAMP_IS_NOBEGIN(value))
				return DateADTGetDatum(DATEVAL_NOBEGIN);
			if (TIMESTAMP_IS_NOEND(value))
				return DateADTGetDatum(DATEVAL_NOEND);
			return DateADTGetDatum((DateADT) (value / USECS_PER_DAY));
		default:
			return TimestampGetDatum(value);
	}
}
