/*-------------------------------------------------------------------------
 * statrow.h
 *	  What the functions that tell about servers share: a row being put
 *	  together, and the walk over the servers.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_STATROW_H
#define FLOWDB_STATROW_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"

#include "flowdb_shmem.h"
#include "rights.h"

#define FLOWDB_STAT_COLUMNS 49 /* of the longest row */

/* A row being put together. */
typedef struct FlowdbStatRow
{
	ReturnSetInfo *rsinfo;
	Datum values[FLOWDB_STAT_COLUMNS];
	bool nulls[FLOWDB_STAT_COLUMNS];
	int n;
} FlowdbStatRow;

extern void flowdb_stat_begin(FlowdbStatRow *row, ReturnSetInfo *rsinfo);
extern void flowdb_stat_put(FlowdbStatRow *row, Datum value);
extern void flowdb_stat_null(FlowdbStatRow *row);
extern void flowdb_stat_count(FlowdbStatRow *row, uint64 value);
extern void flowdb_stat_int(FlowdbStatRow *row, uint64 value);
extern void flowdb_stat_name(FlowdbStatRow *row, const char *name);
extern void flowdb_stat_text(FlowdbStatRow *row, const char *text);
/* A time of the engine, 0 for never. */
extern void flowdb_stat_moment(FlowdbStatRow *row, int64 us);
extern void flowdb_stat_end(FlowdbStatRow *row);

/* A FlowDB server of the current database, seen by the current role. */
typedef struct FlowdbStatServer
{
	Oid serverid;
	const char *name;
	FlowdbSight sight; /* what of the following may be told */
	FlowdbDbState state;
	char reason[256]; /* why it is BROKEN */
	FlowDb *db;		  /* NULL: not loaded, or cannot be used */
} FlowdbStatServer;

/*
 * flowdb_stat_servers
 *		All of them, FlowdbStatServer *.  None is loaded for this.
 * flowdb_stat_rows
 *		Body of a set-returning function: calls put for each of them.
 */
extern List *flowdb_stat_servers(void);
extern Datum flowdb_stat_rows(FunctionCallInfo fcinfo,
							  void (*put)(ReturnSetInfo *rsinfo,
										  const FlowdbStatServer *server));

#endif /* FLOWDB_STATROW_H */
