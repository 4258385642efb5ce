/*-------------------------------------------------------------------------
 * agggrouping.h
 *	  What running a grouping consists of; only for aggexec.c, which says how
 *	  groups come and go, and aggslice.c, which cuts vectors into slices.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_AGGGROUPING_H
#define FLOWDB_AGGGROUPING_H

#include "agg.h"

#include "pgtime.h"

/* Where the values of a call come from. */
typedef enum FlowdbAggSource
{
	AGG_ROWS,	 /* rows are counted */
	AGG_COLUMN,	 /* a column of the vectors */
	AGG_NOTHING, /* a column that the store does not have: NULL */
	AGG_TIME,
	AGG_KEY
} FlowdbAggSource;

typedef struct FlowdbAggCall
{
	const FlowdbAggFunction *function;
	FlowdbAggSource source;
	uint32 column; /* AGG_COLUMN: of the vectors; AGG_KEY: of the key */
	AttrNumber attnum;
	bool least;		  /* AGG_TIME, AGG_KEY: minimum, else maximum */
	int64 key_number; /* AGG_KEY: of the present key */
} FlowdbAggCall;

/* When groups are returned, but for the end. */
typedef enum FlowdbAggFlush
{
	AGG_AT_END,
	AGG_AT_PREFIX, /* when a column of the prefix changes */
	AGG_AT_GROUP   /* when the group does */
} FlowdbAggFlush;

/* State of one node; in ForeignScanState.fdw_state. */
typedef struct FlowdbGrouping
{
	FlowdbScanState scan; /* first */

	/* constant after begin */
	int nitems;
	FlowdbAggItem *items;
	int ncalls;
	FlowdbAggCall *calls;
	FlowAggOp *ops;
	int prefix;
	bool partial;		  /* calls return states, and groups may come twice */
	bool grouped;		  /* else there is one group, also without rows */
	bool needs_keys;	  /* slices are of one key */
	bool takes_keys;	  /* what a key consists of matters */
	Bitmapset *keys;	  /* numbers of columns that are grouped by */
	FlowdbAggFlush flush; /* of the first pass; then at the end */

	FlowdbBucket bucket;
	FlowdbAggOrder order; /* by which all of the below is done a window */
	FlowdbAggGroups groups;
	FlowdbAggGroup *ready; /* to be returned next */
	bool mapped;		   /* calls know their columns */
	bool ended;			   /* no more rows */
	uint64 passes;		   /* begun beyond the first ones, all loops */
	double last_bytes;	   /* that the groups of the last window took */
	pg_tz *zone;		   /* the session's, when the scan began */

	/* the key of the rows at hand */
	bool has_key;
	uint8 *key;
	Size key_len;
	Size key_room;
	Size prefix_len;
	uint32 run_end; /* row of the vector where another key begins */
	bool run_done;	/* its groups were returned in an earlier pass */
	uint8 *passed;	/* keys before it were; NULL: none */
	Size passed_len;
	FlowdbAggGroup probe;
	StringInfoData part;
} FlowdbGrouping;

/* ---------------------------------------------------------- in aggslice.c */

/*
 * flowdb_slice_map
 *		Which columns of the vectors the calls are about; once.
 * flowdb_slice_find
 *		The group of the row, and where its slice ends; NULL: it is not of this
 *		pass.  False: groups are to be returned first.
 * flowdb_slice_add
 *		Rows row .. end - 1 of the vector, to their group.
 * flowdb_slice_spans
 *		The rows of the scan's spans, to the only group.
 */
extern void flowdb_slice_map(FlowdbGrouping *state);
extern bool flowdb_slice_find(FlowdbGrouping *state, ForeignScanState *node,
							  const FlowVector *vec, uint32 row, uint32 *endp,
							  FlowdbAggGroup **groupp);
extern void flowdb_slice_add(FlowdbGrouping *state, FlowdbAggGroup *group,
							 const FlowVector *vec, uint32 row, uint32 end);
extern void flowdb_slice_spans(FlowdbGrouping *state);

#endif /* FLOWDB_AGGGROUPING_H */
