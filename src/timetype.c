/*-------------------------------------------------------------------------
 * timetype.c
 *	  Types of time and expiry columns: which there are, and how their values
 *	  become the engine's 64-bit times and back.
 *
 * The engine's times are microseconds since 1970, PostgreSQL's since 2000:
 * the last 30 years of PostgreSQL's calendar do not fit.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "fdw.h"
#include "keytype.h"

#define EPOCH_DIFF_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define EPOCH_DIFF_US ((int64) EPOCH_DIFF_DAYS * USECS_PER_DAY)

/* ------------------------------------------------------------- properties */

bool
flowdb_time_type(Oid basetype, FlowdbTimeType *typep)
{
	switch (basetype)
	{
		case INT8OID:
			*typep = FLOWDB_TIME_BIGINT;
			return true;
		case TIMESTAMPTZOID:
			*typep = FLOWDB_TIME_TIMESTAMPTZ;
			return true;
		case TIMESTAMPOID:
			*typep = FLOWDB_TIME_TIMESTAMP;
			return true;
		case DATEOID:
			*typep = FLOWDB_TIME_DATE;
			return true;
		default:
			return false;
	}
}

const char *
flowdb_time_types_allowed(void)
{
	return "timestamp with time zone, timestamp, date, bigint";
}

Oid
flowdb_time_family(FlowdbTimeType type)
{
	return type == FLOWDB_TIME_BIGINT ? INTEGER_BTREE_FAM_OID
									  : FLOWDB_DATETIME_FAM_OID;
}

Oid
flowdb_time_operand(FlowdbTimeType type)
{
	switch (type)
	{
		case FLOWDB_TIME_TIMESTAMPTZ:
			return TIMESTAMPTZOID;
		case FLOWDB_TIME_TIMESTAMP:
			return TIMESTAMPOID;
		case FLOWDB_TIME_DATE:
			return DATEOID;
		case FLOWDB_TIME_BIGINT:
			break;
	}
	return INT8OID;
}

/* ------------------------------------------------------------- timestamps */

bool
flowdb_time_encode(int64 t, int64 *usp)
{
	if (TIMESTAMP_IS_NOBEGIN(t))
		*usp = PG_INT64_MIN;
	else if (TIMESTAMP_IS_NOEND(t))
		*usp = PG_INT64_MAX;
	else if (pg_add_s64_overflow(t, EPOCH_DIFF_US, usp) || *usp == PG_INT64_MAX)
		return false;
	return true;
}

bool
flowdb_time_decode(int64 us, int64 *tp)
{
	if (us == PG_INT64_MIN)
		TIMESTAMP_NOBEGIN(*tp);
	else if (us == PG_INT64_MAX)
		TIMESTAMP_NOEND(*tp);
	else if (pg_sub_s64_overflow(us, EPOCH_DIFF_US, tp) ||
			 !IS_VALID_TIMESTAMP(*tp))
		return false;
	return true;
}

/* ------------------------------------------------------------------ dates */

bool
flowdb_date_encode(int32 d, int64 *usp)
{
	if (DATE_IS_NOBEGIN(d))
		*usp = PG_INT64_MIN;
	else if (DATE_IS_NOEND(d))
		*usp = PG_INT64_MAX;
	else
		return !pg_mul_s64_overflow((int64) d + EPOCH_DIFF_DAYS, USECS_PER_DAY,
									usp);
	return true;
}

/* The date that begins at us or, with up, else the next one. */
static bool
date_decode(int64 us, bool up, DateADT *dp)
{
	int64 day = us / USECS_PER_DAY;
	int64 rest = us % USECS_PER_DAY;

	if (us == PG_INT64_MIN)
		DATE_NOBEGIN(*dp);
	else if (us == PG_INT64_MAX)
		DATE_NOEND(*dp);
	else
	{
		if (rest != 0 && !up)
			return false;
		if (rest > 0)
			day++;
		day -= EPOCH_DIFF_DAYS;
		*dp = (DateADT) day; /* int64 microseconds are some 10^8 days */
		return IS_VALID_DATE(*dp);
	}
	return true;
}

/* ---------------------------------------------------------------- columns */

int64
flowdb_encode_time(Datum value, FlowdbTimeType type)
{
	int64 us;
	bool date = type == FLOWDB_TIME_DATE;

	if (type == FLOWDB_TIME_BIGINT)
		return DatumGetInt64(value);
	if (date ? !flowdb_date_encode(DatumGetDateADT(value), &us)
			 : !flowdb_time_encode(DatumGetTimestampTz(value), &us))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						date ? errmsg("date out of range for FlowDB")
							 : errmsg("timestamp out of range for FlowDB"),
						errdetail("Times are kept as microseconds since 1970 "
								  "in 64 bits.")));
	return us;
}

static Datum
decode(int64 us, FlowdbTimeType type, bool up)
{
	TimestampTz t;
	DateADT d;

	if (type == FLOWDB_TIME_BIGINT)
		return Int64GetDatum(us);
	if (type == FLOWDB_TIME_DATE && date_decode(us, up, &d))
		return DateADTGetDatum(d);
	if (type != FLOWDB_TIME_DATE && flowdb_time_decode(us, &t))
		return TimestampTzGetDatum(t);
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 type == FLOWDB_TIME_DATE ? errmsg("stored time is not a date")
									  : errmsg("timestamp out of range"),
			 errdetail("The stored time is " INT64_FORMAT
					   " microseconds since 1970.",
					   us),
			 type == FLOWDB_TIME_DATE
				 ? errhint("Read it through a foreign table whose time column "
						   "is of type timestamp or bigint.")
				 : errhint("Read it through a foreign table whose time column "
						   "is of type bigint.")));
}

Datum
flowdb_decode_time(int64 us, FlowdbTimeType type)
{
	return decode(us, type, false);
}

Datum
flowdb_decode_expiry(int64 us, FlowdbTimeType type)
{
	return decode(us, type, true);
}
