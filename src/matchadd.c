/*-------------------------------------------------------------------------
 * matchadd.c
 *	  What a relation adds to its store's description: the store itself,
 *	  columns, and what a table tells of a store that it owns.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "schema.h"

/* ----------------------------------------------------------------- columns */

/*
 * The current xid when the tuple is of this transaction, so that what rests
 * on it may still be rolled back; else 0.  Parallel mode assigns no xid to a
 * subtransaction; it writes nothing either, so the top one's will do.
 */
static uint64
uncommitted(HeapTuple tuple)
{
	TransactionId xmin;

	if (!HeapTupleIsValid(tuple))
		return 0;
	xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	ReleaseSysCache(tuple);
	if (!TransactionIdIsCurrentTransactionId(xmin))
		return 0;
	return U64FromFullTransactionId(IsInParallelMode()
										? GetTopFullTransactionId()
										: GetCurrentFullTransactionId());
}

static uint64
column_xid(Oid relid, AttrNumber attnum)
{
	return uncommitted(SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
									   Int16GetDatum(attnum)));
}

/* A column of a rolled back transaction that the new one may take over: all
 * rows have NULL there, or are nobody's. */
static FlowdbStoreColumn *
reuse_dead(FlowdbDescription *desc, const FlowdbTypeRef *ref, int *numberp)
{
	for (int i = 0; i < list_length(desc->columns); i++)
	{
		FlowdbStoreColumn *col = list_nth(desc->columns, i);

		if (col->dead && col->ref.oid == ref->oid && col->ref.len == ref->len &&
			col->ref.byval == ref->byval && col->ref.align == ref->align)
		{
			*numberp = i;
			return col;
		}
	}
	return NULL;
}

/* Another transaction's RENAME may be about to give a column that name: there
 * would be two, of which only the first is ever found. */
static void
refuse_coming_name(const FlowdbTable *table, const FlowdbDescription *desc,
				   const char *name)
{
	ListCell *lc;

	foreach (lc, desc->columns)
	{
		const FlowdbStoreColumn *col = lfirst(lc);

		if (col->dead || col->dropped || !col->renaming ||
			strcmp(col->name, name) != 0)
			continue;
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("column \"%s\" of FlowDB store \"%s\" is being "
							   "renamed to \"%s\" by another transaction",
							   col->shown, table->store, name),
						errhint("Try again when that has ended.")));
	}
}

int
flowdb_match_add(Relation rel, const FlowdbTable *table,
				 FlowdbDescription *desc, Form_pg_attribute att, bool fresh)
{
	FlowdbStoreColumn *col = NULL;
	FlowdbTypeRef ref;
	int number;

	if (!table->owned)
		refuse_coming_name(table, desc, NameStr(att->attname));
	flowdb_describe_type(att, &ref);
	if (!fresh)
		col = reuse_dead(desc, &ref, &number);
	if (!col)
	{
		col = palloc0(sizeof(FlowdbStoreColumn));
		number = list_length(desc->columns);
		desc->columns = lappend(desc->columns, col);
	}
	col->name = pstrdup(NameStr(att->attname));
	col->shown = col->name;
	col->ref = ref;
	col->attnum = table->owned ? att->attnum : 0;
	col->add_xid = column_xid(RelationGetRelid(rel), att->attnum);
	col->dead = col->dropped = col->pending = col->renaming = false;
	col->renames = NIL;
	return number;
}

/* ------------------------------------------------------------------- roles */

static void
describe_role(Relation rel, AttrNumber attnum, int type, FlowdbRoleColumn *col)
{
	Form_pg_attribute att;

	if (attnum == 0)
		return;
	att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	col->name = pstrdup(NameStr(att->attname));
	col->type = type;
	flowdb_describe_type(att, &col->ref);
}

/* Fill in all that is not a value column. */
static void
describe_roles(Relation rel, const FlowdbTable *table, FlowdbDescription *desc)
{
	desc->table = pstrdup(RelationGetRelationName(rel));
	desc->nkeys = table->nkeys;
	desc->keys = palloc0(sizeof(FlowdbRoleColumn) * table->nkeys);
	for (int i = 0; i < table->nkeys; i++)
		describe_role(rel, table->keys[i].attnum, table->keys[i].type,
					  &desc->keys[i]);
	describe_role(rel, table->time_attnum, table->time_type, &desc->time);
	describe_role(rel, table->expire_attnum, table->expire_type, &desc->expire);
}

void
flowdb_match_begin(Relation rel, const FlowdbTable *table,
				   FlowdbDescription *desc)
{
	Oid relid = RelationGetRelid(rel);
	uint64 xid;

	memset(desc, 0, sizeof(*desc));
	describe_roles(rel, table, desc);
	xid = uncommitted(SearchSysCache1(RELOID, ObjectIdGetDatum(relid)));
	if (xid == 0)
		xid = uncommitted(
			SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid)));
	for (int i = 0; xid == 0 && i < table->nkeys; i++)
		xid = column_xid(relid, table->keys[i].attnum);
	if (xid == 0 && table->time_attnum != 0)
		xid = column_xid(relid, table->time_attnum);
	if (xid == 0 && table->expire_attnum != 0)
		xid = column_xid(relid, table->expire_attnum);
	desc->begin_xid = xid;
}

/* ------------------------------------------------------------------- owners */

/* What a table that owns the store tells about itself; true: a change. */
static bool
update_role(Relation rel, AttrNumber attnum, int type, FlowdbRoleColumn *col)
{
	FlowdbRoleColumn now = {0};

	describe_role(rel, attnum, type, &now);
	if (now.type == col->type &&
		(now.type == 0 ||
		 (strcmp(now.name, col->name) == 0 && now.ref.oid == col->ref.oid &&
		  now.ref.typmod == col->ref.typmod &&
		  strcmp(now.ref.coll_name, col->ref.coll_name) == 0)))
		return false;
	*col = now;
	return true;
}

static bool
update_roles(Relation rel, const FlowdbTable *table, FlowdbDescription *desc)
{
	bool changed = false;

	for (int i = 0; i < table->nkeys; i++)
		changed |= update_role(rel, table->keys[i].attnum, table->keys[i].type,
							   &desc->keys[i]);
	changed |=
		update_role(rel, table->time_attnum, table->time_type, &desc->time);
	changed |= update_role(rel, table->expire_attnum, table->expire_type,
						   &desc->expire);
	return changed;
}

bool
flowdb_match_update(Relation rel, const FlowdbTable *table,
					FlowdbDescription *desc)
{
	TupleDesc tupdesc = RelationGetDescr(rel);
	bool changed = update_roles(rel, table, desc);
	ListCell *lc;

	foreach (lc, desc->columns)
	{
		FlowdbStoreColumn *col = lfirst(lc);
		Form_pg_attribute att;
		bool dropped;

		if (col->dead || col->attnum == 0)
			continue;
		att = col->attnum <= tupdesc->natts
				  ? TupleDescAttr(tupdesc, col->attnum - 1)
				  : NULL;
		dropped = att == NULL || att->attisdropped ||
				  flowdb_is_role_column(table, col->attnum);
		changed |= col->dropped != dropped;
		col->dropped = dropped;
		if (dropped || (strcmp(col->name, NameStr(att->attname)) == 0 &&
						col->ref.typmod == att->atttypmod))
			continue;
		col->name = pstrdup(NameStr(att->attname));
		col->shown = col->name;
		col->renames = NIL;
		col->ref.typmod = att->atttypmod;
		changed = true;
	}
	return changed;
}
