/*-------------------------------------------------------------------------
 * debugpoint.c
 *	  Named points where tests stop, fail, kill or break the server.
 *
 * A point is set by a file $PGDATA/flowdb_debug/NAME, because a file can be
 * made and removed by any test, reaches every process, the startup process
 * included, and outlives a SIGKILL.  Compiled only for tests.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flowdb.h"

#ifdef FLOWDB_DEBUG_POINTS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/startup.h"
#include "storage/pmsignal.h"

#include "flowdb_shmem.h"

/* Action of a point now; NONE when its file is not there. */
static FlowdbPointAction
action_of(const char *path)
{
	char word[16] = "";
	FILE *f = fopen(path, "r");
	int n;

	if (f == NULL)
		return FLOWDB_POINT_NONE;
	n = fscanf(f, "%15s", word);
	fclose(f);
	if (n != 1)
		return FLOWDB_POINT_NONE;
	if (strcmp(word, "wait") == 0)
		return FLOWDB_POINT_WAIT;
	if (strcmp(word, "error") == 0)
		return FLOWDB_POINT_ERROR;
	if (strcmp(word, "kill") == 0)
		return FLOWDB_POINT_KILL;
	if (strcmp(word, "skip") == 0)
		return FLOWDB_POINT_SKIP;
	return FLOWDB_POINT_NONE;
}

/*
 * flowdb_debug_point_hit
 *		Wait or die as told; ERROR and SKIP are left to the caller.  A wait
 *		ends with the file, with the server, or when this process is asked
 *		to stop.  While a process waits, a file NAME.reached tells the test.
 */
FlowdbPointAction
flowdb_debug_point_hit(const char *name)
{
	char path[MAXPGPATH];
	char reached[MAXPGPATH];
	FlowdbPointAction action;
	bool waited = false;

	snprintf(path, sizeof(path), "%s/flowdb_debug/%s", DataDir, name);
	snprintf(reached, sizeof(reached), "%s.reached", path);
	while ((action = action_of(path)) == FLOWDB_POINT_WAIT)
	{
		if (!waited)
		{
			FILE *f = fopen(reached, "w");

			if (f != NULL)
				fclose(f);
			waited = true;
		}
		pg_usleep(10000L);
		if (!PostmasterIsAlive())
			_exit(1);
		if (QueryCancelPending || ProcDiePending)
			break;
	}
	if (waited)
		(void) unlink(reached);
	if (action == FLOWDB_POINT_KILL)
	{
		/* once: recovery may come by here sooner than the test sees it */
		(void) unlink(path);
		kill(getpid(), SIGKILL);
	}
	return action;
}

bool
flowdb_debug_point(const char *name)
{
	switch (flowdb_debug_point_hit(name))
	{
		case FLOWDB_POINT_ERROR:
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("debug point \"%s\"", name)));
			break;
		case FLOWDB_POINT_SKIP:
			return true;
		default:
			break;
	}
	return false;
}

/*
 * Does the file flowdb_debug/io want op to fail on path?  Its lines are "op
 * errno part-of-path"; errno is set then.
 */
bool
flowdb_debug_io(const char *op, const char *path)
{
	char name[MAXPGPATH];
	char wanted[16];
	char part[256];
	int err_no;
	bool fails = false;
	FILE *f;

	snprintf(name, sizeof(name), "%s/flowdb_debug/io", DataDir);
	if (access(name, F_OK) != 0 || (f = fopen(name, "r")) == NULL)
		return false;
	while (!fails && fscanf(f, "%15s %d %255s", wanted, &err_no, part) == 3)
		fails = strcmp(wanted, op) == 0 && strstr(path, part) != NULL;
	fclose(f);
	if (fails)
		errno = err_no;
	return fails;
}

#endif /* FLOWDB_DEBUG_POINTS */
