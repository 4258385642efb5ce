/*-------------------------------------------------------------------------
 * pushdown.h
 *	  What the files that match clauses share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_PUSHDOWN_H
#define FLOWDB_PUSHDOWN_H

#include "fdw.h"

#include "nodes/primnodes.h"

#define FLOWDB_NO_TARGET (-2)

typedef struct FlowdbMatch FlowdbMatch;

/* Two sides of an operator, the column's at its left. */
typedef struct FlowdbSides
{
	Node *column;
	int target; /* what the column is */
	Oid opno;	/* as "column opno value" */
	Node *value;
} FlowdbSides;

/*
 * The columns that clauses are about: key columns and the time, whose clauses
 * are bounds (pushdown.c), or value columns, whose clauses are filters
 * (valuequal.c).
 */
typedef struct FlowdbMatchKind
{
	bool never_null; /* whatever the table says */

	/* The column that node is, or FLOWDB_NO_TARGET. */
	int (*column)(const FlowdbMatch *m, Node *node);

	/* What the comparison says of the column, or 0: nothing that the engine
	 * knows.  *typep: of the value; *exactp: the engine tells the same rows. */
	FlowdbQualOp (*compares)(FlowdbMatch *m, const FlowdbSides *sides,
							 Oid collation, Oid *typep, bool *exactp);

	/* Is the column, which node is, a clause by itself: a boolean? */
	bool (*is_flag)(const FlowdbMatch *m, int target, Node *node);
} FlowdbMatchKind;

/* For which relation, and for what columns of it, a clause is looked at. */
struct FlowdbMatch
{
	const FlowdbMatchKind *kind;
	PlannerInfo *root;
	RelOptInfo *rel;
	const FlowdbTable *table;
	bool collation; /* only its collation kept something from being pushed */
};

/*
 * flowdb_match_target
 *		The key column that node is, FLOWDB_TARGET_TIME or FLOWDB_NO_TARGET.
 * flowdb_match_constant
 *		Is node one value for the whole of a scan?
 * flowdb_match_set
 *		Fill qual with one value, which is free of the relation's Vars.
 */
extern int flowdb_match_target(const FlowdbMatch *m, Node *node);
extern bool flowdb_match_constant(const FlowdbMatch *m, Node *node);
extern void flowdb_match_set(FlowdbQual *qual, int target, FlowdbQualOp op,
							 Node *value, Oid type);

/*
 * in pushclause.c
 *
 * flowdb_match_sides
 *		Is one of left and right a column of the kind, and the other one value
 *		for the whole of a scan?  sides: out, filled on true.
 * flowdb_match_clause
 *		Does the clause say of a column of the kind what the engine knows?
 *		Comparisons, = ANY and IN, OR of those, NULL tests, booleans.  qual:
 *		filled on true; all 0 before.
 */
extern bool flowdb_match_sides(FlowdbMatch *m, Node *left, Node *right,
							   Oid opno, FlowdbSides *sides);
extern bool flowdb_match_clause(FlowdbMatch *m, Node *clause, FlowdbQual *qual);

/* in pushlike.c: LIKE, ^@, starts_with() */
extern bool flowdb_match_like(FlowdbMatch *m, OpExpr *op, FlowdbQual *qual);
extern bool flowdb_match_starts_with(FlowdbMatch *m, Node *column, Node *value,
									 Oid collation, FlowdbQual *qual);

/* in pushrow.c: comparisons of rows */
extern bool flowdb_match_row(FlowdbMatch *m, RowCompareExpr *row,
							 FlowdbQual *qual);

#endif /* FLOWDB_PUSHDOWN_H */
