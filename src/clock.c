/*-------------------------------------------------------------------------
 * clock.c
 *	  The time of day, and ticks.
 *
 * The time of day may be set forward or back at any moment, by hours or years.
 * It is for what is compared with an expiry or shown to somebody.  How long
 * something takes or has to wait is measured in ticks, which never go back;
 * with the time of day a server whose clock was set back by an hour would
 * settle, flush and collect nothing for an hour.
 *
 * Tests shift both by the file $PGDATA/flowdb_debug/clock: seconds to add to
 * the time of day, and seconds to add to the ticks.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "miscadmin.h"

#include "flowdb_shmem.h"
#include "keytype.h"

#ifdef FLOWDB_DEBUG_POINTS

static void
shifts(int64 *nowp, int64 *ticksp)
{
	char path[MAXPGPATH];
	long long now = 0;
	long long ticks = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/flowdb_debug/clock", DataDir);
	f = fopen(path, "r");
	if (f != NULL)
	{
		if (fscanf(f, "%lld %lld", &now, &ticks) != 2)
			now = ticks = 0;
		fclose(f);
	}
	*nowp = now * USECS_PER_SEC;
	*ticksp = ticks * USECS_PER_SEC;
}

#else

static inline void
shifts(int64 *nowp, int64 *ticksp)
{
	*nowp = *ticksp = 0;
}

#endif

void
flowdb_clocks(int64 *nowp, int64 *ticksp)
{
	struct timespec ts;

	shifts(nowp, ticksp);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	*ticksp += (int64) ts.tv_sec * USECS_PER_SEC + ts.tv_nsec / 1000;
	*nowp += GetCurrentTimestamp() + FLOWDB_EPOCH_DIFF_US;
}

int64
flowdb_ticks_us(void)
{
	int64 now;
	int64 ticks;

	flowdb_clocks(&now, &ticks);
	return ticks;
}

bool
flowdb_ticks_passed(int64 since, int64 ms)
{
	return flowdb_ticks_us() - since >= ms * 1000;
}

int64
flowdb_now_us(void)
{
	int64 now;
	int64 ticks;

	flowdb_clocks(&now, &ticks);
	return now;
}

/* One shift for all of a statement: its time is taken once. */
int64
flowdb_statement_now(void)
{
	static TimestampTz statement;
	static int64 shift;
	TimestampTz start = GetCurrentStatementStartTimestamp();
	int64 ticks;

	if (start != statement)
		shifts(&shift, &ticks);
	statement = start;
	return start + FLOWDB_EPOCH_DIFF_US + shift;
}
