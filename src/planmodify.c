/*-------------------------------------------------------------------------
 * planmodify.c
 *	  Planning of writes: which columns name a row, and which scans lock.
 *
 * The targets of UPDATE and DELETE and the rows of SELECT FOR UPDATE/SHARE
 * are locked by their scan, early: core hands a foreign table no identity
 * later, and runs no second look at the row (EvalPlanQual) for it.  Below a
 * sort or a join that means: every row that matches the relation's own
 * conditions is locked.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/prep.h"
#include "utils/rel.h"

#include "modify.h"

int
flowdbIsForeignRelUpdatable(Relation rel)
{
	return (1 << CMD_INSERT) | (1 << CMD_UPDATE) | (1 << CMD_DELETE);
}

/*
 * Core itself finds no index for a conflict target, so only DO NOTHING
 * arrives here, unless by way of a partitioned table.
 */
List *
flowdbPlanForeignModify(PlannerInfo *root, ModifyTable *plan,
						Index resultRelation, int subplan_index)
{
	flowdb_refuse_do_update(plan);
	return NIL;
}

/* ---------------------------------------------------------------- row names */

/*
 * One name with two shapes fails when an inheritance tree has both, so the
 * name tells all that a Var is made of.
 */
char *
flowdb_junk_name(Form_pg_attribute att)
{
	return psprintf("flowdb_%d_%u_%d_%u", att->attnum, att->atttypid,
					att->atttypmod, att->attcollation);
}

static void
add_column(PlannerInfo *root, Index rtindex, Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	add_row_identity_var(root,
						 makeVar(rtindex, attnum, att->atttypid, att->atttypmod,
								 att->attcollation, 0),
						 rtindex, flowdb_junk_name(att));
}

static bool
has_delete_triggers(Relation rel)
{
	return rel->trigdesc && (rel->trigdesc->trig_delete_before_row ||
							 rel->trigdesc->trig_delete_after_row);
}

/*
 * A whole-row Var of the target as a row of its columns.  The old row that
 * core fetches is a whole-row Var, too, but of type record; above a join the
 * two are told apart by column number only (setrefs.c), so that an expression
 * there would meet the other one: 42804.
 */
typedef struct WholeRow
{
	Index rtindex;
	Relation rel;
} WholeRow;

static Node *
row_of_columns(const WholeRow *row, const Var *var)
{
	TupleDesc desc = RelationGetDescr(row->rel);
	RowExpr *expr = makeNode(RowExpr);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		expr->args = lappend(
			expr->args,
			att->attisdropped
				? (Expr *) makeNullConst(INT4OID, -1, InvalidOid)
				: (Expr *) makeVar(row->rtindex, att->attnum, att->atttypid,
								   att->atttypmod, att->attcollation, 0));
	}
	expr->row_typeid = var->vartype;
	expr->row_format = COERCE_IMPLICIT_CAST;
	expr->location = var->location;
	return (Node *) expr;
}

static Node *
expand_whole_row(Node *node, void *context)
{
	const WholeRow *row = context;
	const Var *var = (const Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && var->varno == (int) row->rtindex &&
		var->varattno == InvalidAttrNumber && var->varlevelsup == 0)
		return row_of_columns(row, var);
	return expression_tree_mutator(node, expand_whole_row, context);
}

/*
 * In all that is evaluated below the ModifyTable.  The rows of a child of an
 * inheritance tree have another varno (ROWID_VAR) there.
 */
static void
expand_whole_rows(PlannerInfo *root, Index rtindex, Relation rel)
{
	Query *parse = root->parse;
	WholeRow row = {rtindex, rel};

	if ((int) rtindex != parse->resultRelation)
		return;
	parse->jointree =
		(FromExpr *) expand_whole_row((Node *) parse->jointree, &row);
	root->processed_tlist =
		(List *) expand_whole_row((Node *) root->processed_tlist, &row);
}

/*
 * A row is named by its key and time.  UPDATE and triggers have core fetch the
 * whole old row besides; DELETE ... RETURNING needs it as well.
 */
void
flowdbAddForeignUpdateTargets(PlannerInfo *root, Index rtindex,
							  RangeTblEntry *target_rte,
							  Relation target_relation)
{
	FlowdbTable *table = flowdb_table_get(target_relation);

	expand_whole_rows(root, rtindex, target_relation);
	for (int i = 0; i < table->nkeys; i++)
		add_column(root, rtindex, target_relation, table->keys[i].attnum);
	if (table->time_attnum != 0)
		add_column(root, rtindex, target_relation, table->time_attnum);
	if (root->parse->commandType == CMD_DELETE &&
		root->parse->returningList != NIL &&
		!has_delete_triggers(target_relation))
		add_row_identity_var(
			root,
			makeVar(rtindex, InvalidAttrNumber, RECORDOID, -1, InvalidOid, 0),
			rtindex, "wholerow");
}

/* ------------------------------------------------------------------- locks */

/*
 * flowdb_plan_lock
 *		How the relation's scan locks rows: NIL, or three ints, a
 *		FlowdbRowLock, a LockWaitPolicy, and the command whose target the
 *		relation is (CMD_SELECT: none).
 */
List *
flowdb_plan_lock(PlannerInfo *root, RelOptInfo *baserel)
{
	CmdType command = root->parse->commandType;
	PlanRowMark *mark;

	if ((command == CMD_UPDATE || command == CMD_DELETE) &&
		bms_is_member((int) baserel->relid, root->all_result_relids))
		return list_make3_int(FLOWDB_ROW_EXCLUSIVE, LockWaitBlock, command);
	mark = get_plan_rowmark(root->rowMarks, baserel->relid);
	if (!mark || mark->strength == LCS_NONE)
		return NIL;
	return list_make3_int(mark->strength >= LCS_FORNOKEYUPDATE
							  ? FLOWDB_ROW_EXCLUSIVE
							  : FLOWDB_ROW_SHARE,
						  mark->waitPolicy, CMD_SELECT);
}
