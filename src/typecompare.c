/*-------------------------------------------------------------------------
 * typecompare.c
 *	  Comparing a key or time column with a value of another type: the same
 *	  comparison within the column's own type.
 *
 * The values of a type stand in a row, and the other value either is one of
 * them or falls between two neighbours: that is its Place, and all operators
 * follow from it.  A timestamp that is too late for the column, for example,
 * lies between its last finite value and infinity, and noon between two
 * dates.  What PostgreSQL's own operators say is the measure; they convert
 * the same way.
 *
 * A column of local time beside an instant is different: the column's values
 * would have to be converted, one by one, and where clocks are changed that
 * does not keep their order.  The bounds are then as wide as the zone's
 * offsets around that instant differ.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "fdw.h"
#include "keytype.h"

/* Of a value among those of the column's type. */
typedef struct Place
{
	int64 at;
	bool between; /* it lies between at and what follows it */
} Place;

/* A time zone may be so far from UTC (as a POSIX rule, less by one second). */
#define MAX_OFFSET_SECS (7 * SECS_PER_DAY)

/* More changes than that within a month are not a time zone. */
#define MAX_CHANGES 64

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_datetime(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static bool
is_zoned_beside_local(Oid column, Oid value_type)
{
	return value_type == TIMESTAMPTZOID && column != TIMESTAMPTZOID;
}

static bool
comparable(Oid column, Oid value_type, bool *exactp)
{
	*exactp = !is_zoned_beside_local(column, value_type);
	return column == value_type ||
		   (is_integer(column) && is_integer(value_type)) ||
		   (is_datetime(column) && is_datetime(value_type));
}

bool
flowdb_key_comparable(FlowdbKeyType type, Oid value_type, bool *exactp)
{
	bool result = comparable(flowdb_key_operand(type), value_type, exactp);

	*exactp |= !is_datetime(flowdb_key_operand(type));
	return result;
}

bool
flowdb_time_comparable(FlowdbTimeType type, Oid value_type, bool *exactp)
{
	bool result = comparable(flowdb_time_operand(type), value_type, exactp);

	*exactp |= type == FLOWDB_TIME_BIGINT;
	return result;
}

/* ----------------------------------------------------------------- places */

static int64
floor_day(Timestamp t)
{
	return t / USECS_PER_DAY - (t % USECS_PER_DAY < 0 ? 1 : 0);
}

/* The integers of a column of width bytes; false: beyond them, at the side
 * that *abovep tells. */
static bool
place_integer(int width, int64 value, bool *abovep)
{
	int64 max = width == 2	 ? PG_INT16_MAX
				: width == 4 ? PG_INT32_MAX
							 : PG_INT64_MAX;

	*abovep = value > max;
	return value <= max && value >= -max - 1;
}

static int64
integer_value(Datum value, Oid type)
{
	if (type == INT2OID)
		return DatumGetInt16(value);
	if (type == INT4OID)
		return DatumGetInt32(value);
	return DatumGetInt64(value);
}

/* A finite value that a timestamp has no room for. */
static Place
place_beyond(int overflow)
{
	return (Place){overflow > 0 ? END_TIMESTAMP - 1 : DT_NOBEGIN, true};
}

/* Where value stands in a column of timestamps, with or without a zone. */
static Place
place_timestamp(bool zoned, Datum value, Oid type)
{
	Timestamp t;
	int overflow = 0;

	if (type == DATEOID && zoned)
		t = date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
	else if (type == DATEOID)
		t = date2timestamp_opt_overflow(DatumGetDateADT(value), &overflow);
	else if (type == TIMESTAMPOID && zoned)
		t = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value),
											   &overflow);
	else
		t = DatumGetTimestamp(value);
	return overflow != 0 ? place_beyond(overflow) : (Place){t, false};
}

/* Where a timestamp stands in a column of dates. */
static Place
place_in_dates(Timestamp t)
{
	if (TIMESTAMP_IS_NOBEGIN(t))
		return (Place){DATEVAL_NOBEGIN, false};
	if (TIMESTAMP_IS_NOEND(t))
		return (Place){DATEVAL_NOEND, false};
	return (Place){floor_day(t), t % USECS_PER_DAY != 0};
}

static Place
place_datetime(Oid column, Datum value, Oid type)
{
	if (column != DATEOID)
		return place_timestamp(column == TIMESTAMPTZOID, value, type);
	if (type == DATEOID)
		return (Place){DatumGetDateADT(value), false};
	return place_in_dates(DatumGetTimestamp(value));
}

/* The operator for a value at that place; false: none is equal to it. */
static bool
place_operator(const Place *place, int *opp)
{
	if (!place->between)
		return true;
	switch (*opp)
	{
		case FLOWDB_OP_LT:
			*opp = FLOWDB_OP_LE;
			return true;
		case FLOWDB_OP_GE:
			*opp = FLOWDB_OP_GT;
			return true;
		default:
			return *opp != FLOWDB_OP_EQ;
	}
}

/* ------------------------------------------- local time beside an instant */

/*
 * The least and greatest offset from UTC, in seconds, that the session's
 * time zone has where a local time may be equal to t.
 *
 * A local time differs from UTC by less than MAX_OFFSET_SECS, and which side
 * of a change it is on is looked for from a day before it on.
 */
static void
offsets_around(TimestampTz t, int64 *minp, int64 *maxp)
{
	pg_time_t secs = timestamptz_to_time_t(t);
	pg_time_t at = secs - 2 * MAX_OFFSET_SECS - SECS_PER_DAY;
	pg_time_t until = secs + 2 * MAX_OFFSET_SECS + SECS_PER_DAY;

	*minp = PG_INT64_MAX;
	*maxp = PG_INT64_MIN;
	for (int i = 0; i < MAX_CHANGES; i++)
	{
		pg_time_t boundary;
		long before;
		long after;
		int isdst;
		int rc = pg_next_dst_boundary(&at, &before, &isdst, &boundary, &after,
									  &isdst, session_timezone);

		if (rc < 0)
			break;
		*minp = Min(*minp, before);
		*maxp = Max(*maxp, before);
		if (rc == 0 || boundary > until)
			return;
		at = boundary;
	}
	*minp = -MAX_OFFSET_SECS;
	*maxp = MAX_OFFSET_SECS;
}

static Timestamp
clamp_timestamp(Timestamp t)
{
	return t < MIN_TIMESTAMP	? MIN_TIMESTAMP
		   : t >= END_TIMESTAMP ? END_TIMESTAMP - 1
								: t;
}

/*
 * Local times (timestamps) that may compare with t as *opp says: lo and hi
 * both inclusive, of which the operator leaves one or both.
 */
static void
local_range(TimestampTz t, Timestamp *lop, Timestamp *hip)
{
	int64 min;
	int64 max;

	if (TIMESTAMP_NOT_FINITE(t))
	{
		*lop = *hip = t;
		return;
	}
	offsets_around(t, &min, &max);
	*lop = clamp_timestamp(t + min * USECS_PER_SEC);
	*hip = clamp_timestamp(t + max * USECS_PER_SEC);
}

/* A column of local times or dates beside an instant. */
static FlowdbCompared
compare_local(Oid column, int *opp, TimestampTz t, int64 own[2])
{
	Place lo;
	Place hi;

	local_range(t, &own[0], &own[1]);
	if (column == DATEOID)
	{
		lo = place_in_dates(own[0]);
		hi = place_in_dates(own[1]);
		own[0] = lo.at + (lo.between ? 1 : 0); /* midnight at or after lo */
		own[1] = hi.at;
	}
	switch (*opp)
	{
		case FLOWDB_OP_EQ:
			return own[0] <= own[1] ? FLOWDB_COMPARED_RANGE
									: FLOWDB_COMPARED_NONE;
		case FLOWDB_OP_LT:
		case FLOWDB_OP_LE:
			own[0] = own[1];
			*opp = FLOWDB_OP_LE;
			break;
		default:
			*opp = FLOWDB_OP_GE;
	}
	return FLOWDB_COMPARED_BOUND;
}

/* ------------------------------------------------------------- comparison */

/* own: integers, days or microseconds, as the column's type has them. */
static FlowdbCompared
compare_datetime(Oid column, int *opp, Datum value, Oid value_type,
				 int64 own[2])
{
	Place place;

	if (is_zoned_beside_local(column, value_type))
		return compare_local(column, opp, DatumGetTimestampTz(value), own);
	place = place_datetime(column, value, value_type);
	own[0] = place.at;
	return place_operator(&place, opp) ? FLOWDB_COMPARED_BOUND
									   : FLOWDB_COMPARED_NONE;
}

static FlowdbCompared
compare_integer(int width, int op, Datum value, Oid value_type, int64 own[2])
{
	bool above;

	own[0] = integer_value(value, value_type);
	if (place_integer(width, own[0], &above))
		return FLOWDB_COMPARED_BOUND;
	if (op == FLOWDB_OP_EQ)
		return FLOWDB_COMPARED_NONE;
	return above == (op == FLOWDB_OP_LT || op == FLOWDB_OP_LE)
			   ? FLOWDB_COMPARED_ALL
			   : FLOWDB_COMPARED_NONE;
}

static void
check_comparable(Oid column, Oid value_type)
{
	bool exact;

	if (!comparable(column, value_type, &exact))
		elog(ERROR, "unexpected type %u of a bound", value_type);
}

/* A Datum of a number in the column's type. */
static Datum
own_datum(FlowdbKeyType type, int64 own)
{
	switch (flowdb_key_width(type))
	{
		case 2:
			return Int16GetDatum((int16) own);
		case 4:
			return Int32GetDatum((int32) own);
		default:
			return Int64GetDatum(own);
	}
}

FlowdbCompared
flowdb_key_compare(FlowdbKeyType type, int *opp, Datum value, Oid value_type,
				   Datum own[2])
{
	Oid column = flowdb_key_operand(type);
	FlowdbCompared result;
	int64 n[2] = {0, 0};

	check_comparable(column, value_type);
	if (column == value_type)
	{
		own[0] = value;
		return FLOWDB_COMPARED_BOUND;
	}
	if (is_integer(column))
		result =
			compare_integer(flowdb_key_width(type), *opp, value, value_type, n);
	else
		result = compare_datetime(column, opp, value, value_type, n);
	own[0] = own_datum(type, n[0]);
	own[1] = own_datum(type, n[1]);
	return result;
}

/* A time column's value as the engine has it; what is too late for that lies
 * between the last finite time and infinity. */
static Place
place_ts(Oid column, int64 own)
{
	int64 us;

	if (column == DATEOID ? flowdb_date_encode((DateADT) own, &us)
						  : flowdb_time_encode(own, &us))
		return (Place){us, false};
	return (Place){PG_INT64_MAX - 1, true};
}

FlowdbCompared
flowdb_time_compare(FlowdbTimeType type, int *opp, Datum value, Oid value_type,
					int64 own[2])
{
	Oid column = flowdb_time_operand(type);
	FlowdbCompared result;
	Place place;

	check_comparable(column, value_type);
	if (type == FLOWDB_TIME_BIGINT)
		return compare_integer(sizeof(int64), *opp, value, value_type, own);
	result = compare_datetime(column, opp, value, value_type, own);
	if (result == FLOWDB_COMPARED_NONE)
		return result;
	if (result == FLOWDB_COMPARED_RANGE)
		own[1] = place_ts(column, own[1]).at;
	place = place_ts(column, own[0]);
	own[0] = place.at;
	if (result == FLOWDB_COMPARED_RANGE)
		return place.between ? FLOWDB_COMPARED_NONE : result;
	return place_operator(&place, opp) ? result : FLOWDB_COMPARED_NONE;
}

int
flowdb_int64_qsort(const void *pa, const void *pb)
{
	int64 a = *(const int64 *) pa;
	int64 b = *(const int64 *) pb;

	return a < b ? -1 : a > b;
}
