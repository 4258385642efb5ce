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

/* For which relation a clause is looked at. */
typedef struct FlowdbMatch
{
	PlannerInfo *root;
	RelOptInfo *rel;
	const FlowdbTable *table;
	bool collation; /* only its collation kept something from being pushed */
} FlowdbMatch;

/*
 * flowdb_match_target
 *		The key column that node is, FLOWDB_TARGET_TIME or FLOWDB_NO_TARGET.
 * flowdb_match_constant
 *		Is node one value for the whole of a scan?
 * flowdb_match_operator
 *		"target opno value": as what it bounds the column, or 0.  *typep: of
 *		the value; *exactp: the engine tells the same rows.
 * flowdb_match_set
 *		Fill qual with one value, which is free of the relation's Vars.
 */
extern int flowdb_match_target(const FlowdbMatch *m, Node *node);
extern bool flowdb_match_constant(const FlowdbMatch *m, Node *node);
extern FlowdbQualOp flowdb_match_operator(FlowdbMatch *m, int target, Oid opno,
										  Oid collation, Oid *typep,
										  bool *exactp);
extern void flowdb_match_set(FlowdbQual *qual, int target, FlowdbQualOp op,
							 Node *value, Oid type);

/* Each fills qual on true: a clause of its kind that bounds a column. */
extern bool flowdb_match_comparison(FlowdbMatch *m, OpExpr *op,
									FlowdbQual *qual);

/* in pushlike.c: LIKE, ^@, starts_with() */
extern bool flowdb_match_like(FlowdbMatch *m, OpExpr *op, FlowdbQual *qual);
extern bool flowdb_match_starts_with(FlowdbMatch *m, Node *column, Node *value,
									 Oid collation, FlowdbQual *qual);

/* in pusharray.c: = ANY and IN, OR, rows */
extern bool flowdb_match_array(FlowdbMatch *m, ScalarArrayOpExpr *op,
							   FlowdbQual *qual);
extern bool flowdb_match_or(FlowdbMatch *m, BoolExpr *expr, FlowdbQual *qual);
extern bool flowdb_match_row(FlowdbMatch *m, RowCompareExpr *row,
							 FlowdbQual *qual);

#endif /* FLOWDB_PUSHDOWN_H */
