/*-------------------------------------------------------------------------
 * ranges.h
 *	  The pushed clauses with their values, by column; what bounds.c makes
 *	  and ranges.c walks through.
 *
 * Columns are the key columns in order and then the time.  Values of key
 * columns are encoded, so that they compare bytewise as the columns do.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_RANGES_H
#define FLOWDB_RANGES_H

#include "fdw.h"

/* An encoded value of a key column. */
typedef struct FlowdbPart
{
	uint8 *data;
	uint32 len;
} FlowdbPart;

/* column OP part: LT LE GE GT PREFIX */
typedef struct FlowdbCond
{
	FlowdbQualOp op;
	FlowdbPart part;
} FlowdbCond;

typedef struct FlowdbKeyValues
{
	bool has_points; /* equal to one of them, else anything */
	int npoints;
	FlowdbPart *points; /* sorted, each once, all of them meet conds */
	int nconds;
	FlowdbCond *conds;
} FlowdbKeyValues;

typedef struct FlowdbTimeValues
{
	bool has_points;
	int npoints;
	int64 *points; /* likewise */
	int64 lo;	   /* both inclusive */
	int64 hi;
} FlowdbTimeValues;

/*
 * The row comparison: columns first to last equal its values in all but the
 * last place, where op holds; or the row is beyond them earlier.
 */
typedef struct FlowdbRowValues
{
	bool exists;
	bool above; /* GT or GE, else LT or LE */
	int first;
	int last;
	FlowdbQualOp op;   /* in the last column */
	FlowdbPart *parts; /* by column, [first .. last], key columns only */
	int64 ts;		   /* of the time, when that is the last column */
} FlowdbRowValues;

/* Where the walk stands at one column. */
typedef struct FlowdbLevel
{
	int at;		 /* alternatives done */
	int n;		 /* alternatives there are */
	bool tight;	 /* the row comparison is not decided by columns before */
	uint32 used; /* bytes of the key in columns before */
} FlowdbLevel;

struct FlowdbRanges
{
	const FlowdbTable *table;
	bool reverse;
	FlowdbKeyValues *keys; /* by key column */
	FlowdbTimeValues time;
	FlowdbRowValues row;

	/* the walk */
	int depth;			 /* column it stands at; -1: done */
	FlowdbLevel *levels; /* by column, the time too */
	StringInfoData key;	 /* values of the columns before depth */
	StringInfoData lo;	 /* memory of the bounds handed out */
	StringInfoData hi;
};

/*
 * flowdb_part_encode
 *		A value of a key column's own type as it stands in keys.
 * flowdb_part_cmp
 *		The order of two values of a column.
 * flowdb_cond_holds
 *		Does a value meet the condition?
 * flowdb_row_eval
 *		Evaluate a row comparison into r->row; false: it holds for no row.
 */
extern FlowdbPart flowdb_part_encode(const FlowdbTable *table, int column,
									 Datum value);
extern int flowdb_part_cmp(const FlowdbPart *a, const FlowdbPart *b);
extern bool flowdb_cond_holds(const FlowdbCond *cond, const FlowdbPart *part);
extern bool flowdb_row_eval(FlowdbRanges *r, const FlowdbScanQual *q,
							ExprContext *econtext);

#endif /* FLOWDB_RANGES_H */
