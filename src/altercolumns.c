/*-------------------------------------------------------------------------
 * altercolumns.c
 *	  What has become of a foreign table's columns by ALTER or RENAME.
 *
 * A type may not change once the store has begun, the default of a new column
 * is noted for older rows, and a store that is shared by name is told a new
 * name.  All of it is undone with the transaction (describe.h).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "alter.h"
#include "catalog.h"
#include "schema.h"

/* A table of ours before the statement. */
struct FlowdbAltered
{
	Oid relid;
	TupleDesc desc;
	char store[FLOW_MAX_STORE_NAME + 1]; /* "": it made no sense yet */
	int merge_policy;
	FlowdbTable *table; /* its roles, NULL: it had none yet */
	bool renaming;		/* the statement is RENAME */
	List *expressions;	/* names of columns that get a new expression */
};

/* --------------------------------------------------------------- defaults */

/*
 * The value that rows older than the column have: that of its default, as it
 * is now.  false: NULL.
 */
static bool
evaluate_default(Relation rel, AttrNumber attnum, Datum *valuep)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Node *expr;
	EState *estate;
	ExprState *state;
	Datum value;
	bool isnull;

	if (att->attgenerated || att->attidentity)
		expr = NULL;
	else
	{
		expr = build_column_default(rel, attnum);
		if (expr == NULL)
			return false;
	}
	if (expr == NULL || contain_volatile_functions(expr))
	{
		ereport(NOTICE,
				(errmsg("column \"%s\" of foreign table \"%s\" is null in the "
						"rows that are there",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("Its value is not the same for all rows."),
				 errhint("Set it with UPDATE.")));
		return false;
	}
	estate = CreateExecutorState();
	state = ExecInitExpr(expression_planner((Expr *) expr), NULL);
	value = ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate),
									  &isnull);
	if (!isnull)
	{
		if (att->attlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		else
			value = datumCopy(value, att->attbyval, att->attlen);
		*valuep = value;
	}
	FreeExecutorState(estate);
	return !isnull;
}

/* ----------------------------------------------------------------- renames */

/* Other tables that show the column by its old name. */
static void
warn_others(Relation rel, const FlowdbTable *table, const char *column)
{
	StringInfoData names;
	ListCell *lc;

	initStringInfo(&names);
	foreach (lc, flowdb_catalog_tables(table->serverid))
	{
		const FlowdbShown *shown = lfirst(lc);

		if (shown->named && shown->relid != RelationGetRelid(rel) &&
			strcmp(shown->store, table->store) == 0 &&
			get_attnum(shown->relid, column) != InvalidAttrNumber)
			appendStringInfo(&names, "%s%s", names.len ? ", " : "",
							 quote_identifier(get_rel_name(shown->relid)));
	}
	if (names.len > 0)
		ereport(NOTICE,
				(errmsg("column \"%s\" of FlowDB store \"%s\" is renamed for "
						"other tables too",
						column, table->store),
				 errdetail("Column \"%s\" is null from now on in: %s.", column,
						   names.data),
				 errhint("Rename the column of these tables as well.")));
}

/* -------------------------------------------------------- before and after */

static List *
new_expressions(const AlterTableStmt *alter)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, alter->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (FLOWDB_SETS_EXPRESSION(cmd))
			names = lappend(names, cmd->name);
	}
	return names;
}

FlowdbAltered *
flowdb_alter_begin(Oid relid, const AlterTableStmt *alter)
{
	Relation rel = table_open(relid, NoLock);
	FlowdbAltered *before = palloc0(sizeof(FlowdbAltered));
	FlowdbTableOptions opts;

	before->relid = relid;
	before->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	flowdb_option_table(GetForeignTable(relid)->options, &opts);
	before->merge_policy = opts.merge_policy;
	before->renaming = alter == NULL;
	before->expressions = alter ? new_expressions(alter) : NIL;
	before->table = flowdb_table_try(rel);
	strlcpy(before->store,
			opts.store ? opts.store : flowdb_catalog_own_store(relid),
			sizeof(before->store));
	table_close(rel, NoLock);
	return before;
}

/* A modifier that lets through whatever the old one did. */
static bool
modifier_widens(Oid type, int32 from, int32 to)
{
	if (to == -1 || to == from)
		return true;
	if (from == -1)
		return false;
	if (type == VARCHAROID || type == VARBITOID)
		return to >= from;
	if (type == NUMERICOID) /* the scale is in the lower half */
		return to >= from && (to & 0xffff) == (from & 0xffff);
	return false;
}

static void
refuse_new_type(Relation rel, Form_pg_attribute att)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change the type of column \"%s\" of foreign table "
					"\"%s\"",
					NameStr(att->attname), RelationGetRelationName(rel)),
			 errdetail("Its store has begun, and rows are not rewritten."),
			 errhint("Add a column of the new type, set it with UPDATE, and "
					 "drop this one; for a key or time column, copy the rows "
					 "into a new table.")));
}

/* What identifies rows must stay; a dropped expiry only hides itself. */
static void
check_dropped(Relation rel, const FlowdbAltered *before, Form_pg_attribute was)
{
	if (!before->table || was->attnum == before->table->expire_attnum ||
		!flowdb_is_role_column(before->table, was->attnum))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot drop column \"%s\" of foreign table \"%s\"",
					NameStr(was->attname), RelationGetRelationName(rel)),
			 errdetail("Its store has begun, and the column is part of what "
					   "identifies a row."),
			 errhint("Copy the rows into a new table.")));
}

/* The columns that were there are what they were, but for their names. */
static void
compare_columns(Relation rel, const FlowdbAltered *before)
{
	TupleDesc now = RelationGetDescr(rel);

	for (int i = 0; i < before->desc->natts && i < now->natts; i++)
	{
		Form_pg_attribute was = TupleDescAttr(before->desc, i);
		Form_pg_attribute att = TupleDescAttr(now, i);

		if (was->attisdropped || FLOWDB_IS_VIRTUAL(att))
			continue;
		if (att->attisdropped)
			check_dropped(rel, before, was);
		else if (was->atttypid != att->atttypid ||
				 !modifier_widens(att->atttypid, was->atttypmod,
								  att->atttypmod))
			refuse_new_type(rel, att);
	}
}

static List *
renamed_columns(Relation rel, const FlowdbAltered *before)
{
	TupleDesc now = RelationGetDescr(rel);
	List *renamed = NIL;

	for (int i = 0; i < before->desc->natts && i < now->natts; i++)
	{
		Form_pg_attribute was = TupleDescAttr(before->desc, i);
		Form_pg_attribute att = TupleDescAttr(now, i);
		FlowdbRenamed *r;

		if (was->attisdropped || FLOWDB_IS_VALUELESS(att) ||
			strcmp(NameStr(was->attname), NameStr(att->attname)) == 0)
			continue;
		r = palloc(sizeof(*r));
		r->from = NameStr(was->attname);
		r->to = NameStr(att->attname);
		renamed = lappend(renamed, r);
	}
	return renamed;
}

/* Core rewrites tables whose rows it has. */
static void
tell_new_expressions(Relation rel, const FlowdbAltered *before)
{
	ListCell *lc;

	foreach (lc, before->expressions)
	{
		AttrNumber attnum = get_attnum(before->relid, lfirst(lc));

		if (attnum <= 0 || FLOWDB_IS_VALUELESS(TupleDescAttr(
							   RelationGetDescr(rel), attnum - 1)))
			continue;
		ereport(NOTICE,
				(errmsg("column \"%s\" of foreign table \"%s\" keeps its "
						"values in the rows that are there",
						(char *) lfirst(lc), RelationGetRelationName(rel)),
				 errhint("An UPDATE of these rows works them out anew.")));
	}
}

static List *
added_columns(Relation rel, const FlowdbTable *table,
			  const FlowdbAltered *before)
{
	TupleDesc now = RelationGetDescr(rel);
	List *added = NIL;

	for (int i = before->desc->natts; i < now->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(now, i);
		FlowdbAdded *a;

		if (FLOWDB_IS_VALUELESS(att) ||
			flowdb_is_role_column(table, att->attnum))
			continue;
		a = palloc0(sizeof(*a));
		a->attnum = att->attnum;
		a->has_missing = evaluate_default(rel, att->attnum, &a->missing);
		added = lappend(added, a);
	}
	return added;
}

static bool
same_columns(TupleDesc a, TupleDesc b)
{
	if (a->natts != b->natts)
		return false;
	for (int i = 0; i < a->natts; i++)
	{
		Form_pg_attribute x = TupleDescAttr(a, i);
		Form_pg_attribute y = TupleDescAttr(b, i);

		if (x->atttypid != y->atttypid || x->atttypmod != y->atttypmod ||
			x->attisdropped != y->attisdropped ||
			strcmp(NameStr(x->attname), NameStr(y->attname)) != 0)
			return false;
	}
	return true;
}

/* Columns of a table have changed whose store may have begun. */
static void
columns_changed(Relation rel, const FlowdbTable *table,
				const FlowdbAltered *before)
{
	FlowDb *db = flowdb_database(table->serverid);
	FlowdbDescription desc;
	uint32 store_id;
	List *renamed;
	List *added;
	ListCell *lc;

	if (!flowdb_layout_describe(db, table->store, &store_id, &desc))
		return;
	renamed = table->owned ? NIL : renamed_columns(rel, before);
	added = added_columns(rel, table, before);
	if (renamed == NIL && added == NIL)
		return;
	flowdb_layout_alter(rel, table, db, added, renamed);
	foreach (lc, renamed)
		warn_others(rel, table, ((FlowdbRenamed *) lfirst(lc))->from);
}

/* First, because roles may make no sense without what was dropped. */
static void
check_columns(const FlowdbAltered *before)
{
	Relation rel = table_open(before->relid, NoLock);
	FlowdbDescription desc;
	uint32 store_id;

	if (before->table && !same_columns(before->desc, RelationGetDescr(rel)) &&
		flowdb_layout_describe(flowdb_database(before->table->serverid),
							   before->store, &store_id, &desc))
		compare_columns(rel, before);
	table_close(rel, NoLock);
}

void
flowdb_alter_end(const FlowdbAltered *before)
{
	Relation rel;
	FlowdbTable *table;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(before->relid)))
		return;
	if (before->renaming && before->table)
		flowdb_alter_keep_roles(before->relid, before->table);
	check_columns(before);
	flowdb_check_table(before->relid);
	rel = table_open(before->relid, NoLock);
	table = flowdb_table_try(rel);
	if (table && table->merge_policy != before->merge_policy)
		flowdb_options_note_table(before->relid);
	if (table)
		tell_new_expressions(rel, before);
	/* one that shows another store now was never matched with this one */
	if (table && strcmp(table->store, before->store) == 0 &&
		!same_columns(before->desc, RelationGetDescr(rel)))
		columns_changed(rel, table, before);
	table_close(rel, NoLock);
}
