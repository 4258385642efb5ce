/*-------------------------------------------------------------------------
 * timebucket.c
 *	  flowdb_time_bucket(stride, time) for the types of time columns.
 *
 * What date_bin is with a fixed origin.  All times count from the same one,
 * so that buckets of a week begin on Mondays and strides that divide a day
 * at midnight; timestamptz is cut in UTC, whatever the session's time zone.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/date.h"

#include "timebucket.h"

PG_FUNCTION_INFO_V1(flowdb_time_bucket_timestamp);
PG_FUNCTION_INFO_V1(flowdb_time_bucket_timestamptz);
PG_FUNCTION_INFO_V1(flowdb_time_bucket_date);
PG_FUNCTION_INFO_V1(flowdb_time_bucket_bigint);

int64
flowdb_stride_us(const Interval *stride)
{
	int64 us;

	if (stride->month != 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("times cannot be put into buckets of months or "
							   "years")));
	if (pg_mul_s64_overflow(stride->day, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, stride->time, &us))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("interval out of range")));
	if (us <= 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("stride must be greater than zero")));
	return us;
}

/* t modulo stride, from 0 on */
static int64
remainder_of(int64 t, int64 stride)
{
	int64 rest = t % stride;

	return rest < 0 ? rest + stride : rest;
}

bool
flowdb_bucket_floor(int64 t, int64 stride, int64 origin, int64 *startp)
{
	int64 past = remainder_of(t, stride) - remainder_of(origin, stride);

	if (past < 0)
		past += stride;
	return !pg_sub_s64_overflow(t, past, startp);
}

static Timestamp
bucket_timestamp(const Interval *stride, Timestamp t)
{
	int64 us = flowdb_stride_us(stride);
	Timestamp start;

	if (TIMESTAMP_NOT_FINITE(t))
		return t;
	if (!flowdb_bucket_floor(t, us, FLOWDB_BUCKET_ORIGIN, &start) ||
		!IS_VALID_TIMESTAMP(start))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range")));
	return start;
}

Datum
flowdb_time_bucket_timestamp(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMP(
		bucket_timestamp(PG_GETARG_INTERVAL_P(0), PG_GETARG_TIMESTAMP(1)));
}

Datum
flowdb_time_bucket_timestamptz(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(
		bucket_timestamp(PG_GETARG_INTERVAL_P(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/* In days, since a year of a date can be beyond those of a timestamp. */
Datum
flowdb_time_bucket_date(PG_FUNCTION_ARGS)
{
	int64 us = flowdb_stride_us(PG_GETARG_INTERVAL_P(0));
	DateADT d = PG_GETARG_DATEADT(1);
	int64 start;

	if (us % USECS_PER_DAY != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("stride must be whole days for a date")));
	if (DATE_NOT_FINITE(d))
		PG_RETURN_DATEADT(d);
	if (!flowdb_bucket_floor(d, us / USECS_PER_DAY,
							 FLOWDB_BUCKET_ORIGIN / USECS_PER_DAY, &start) ||
		start < PG_INT32_MIN || !IS_VALID_DATE((DateADT) start))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("date out of range")));
	PG_RETURN_DATEADT((DateADT) start);
}

/* Microseconds since 1970, as the engine counts. */
Datum
flowdb_time_bucket_bigint(PG_FUNCTION_ARGS)
{
	int64 us = flowdb_stride_us(PG_GETARG_INTERVAL_P(0));
	int64 start;

	if (!flowdb_bucket_floor(PG_GETARG_INT64(1), us,
							 FLOWDB_BUCKET_ORIGIN + FLOWDB_EPOCH_DIFF_US,
							 &start))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("bigint out of range")));
	PG_RETURN_INT64(start);
}
