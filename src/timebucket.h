/*-------------------------------------------------------------------------
 * timebucket.h
 *	  Buckets of equal width on the axis of time.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_TIMEBUCKET_H
#define FLOWDB_TIMEBUCKET_H

#include "flowdb.h"

#include "utils/timestamp.h"

/* Buckets begin at 2000-01-03 00:00 UTC, a Monday, and at whole strides from
 * there.  In microseconds since 2000. */
#define FLOWDB_BUCKET_ORIGIN (2 * USECS_PER_DAY)

/* From PostgreSQL's epoch to the engine's. */
#define FLOWDB_EPOCH_DIFF_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * flowdb_stride_us
 *		Microseconds of a stride, a day being 24 hours; throws as date_bin does
 *		for one with months, one that is not positive, and one too long.
 * flowdb_bucket_floor
 *		The start of the bucket with t in it, of those that begin at whole
 *		strides from origin; false: there is no such number.
 */
extern int64 flowdb_stride_us(const Interval *stride);
extern bool flowdb_bucket_floor(int64 t, int64 stride, int64 origin,
								int64 *startp);

#endif /* FLOWDB_TIMEBUCKET_H */
