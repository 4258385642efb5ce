/*-------------------------------------------------------------------------
 * match.c
 *	  Which of a relation's columns are which of its store's.
 *
 * A table that owns its store is matched by attribute number: a column that
 * was renamed is still the same, one that was dropped and added again is
 * not.  Tables that share a named store have numbers of their own, so they
 * are matched by name.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "schema.h"

/* ------------------------------------------------------- what may not differ */

static const char *const key_names[] = {
	[FLOWDB_KEY_TEXT] = "text",
	[FLOWDB_KEY_BYTEA] = "bytea",
	[FLOWDB_KEY_INT2] = "smallint",
	[FLOWDB_KEY_INT4] = "integer",
	[FLOWDB_KEY_INT8] = "bigint",
	[FLOWDB_KEY_BOOL] = "boolean",
	[FLOWDB_KEY_UUID] = "uuid",
	[FLOWDB_KEY_DATE] = "date",
	[FLOWDB_KEY_TIMESTAMP] = "timestamp",
	[FLOWDB_KEY_TIMESTAMPTZ] = "timestamp with time zone",
};

static bool
is_bytes(int type)
{
	return type == FLOWDB_KEY_TEXT || type == FLOWDB_KEY_BYTEA;
}

static void
different_keys(const FlowdbTable *table, const FlowdbDescription *desc)
{
	StringInfoData ours;
	StringInfoData theirs;

	initStringInfo(&ours);
	initStringInfo(&theirs);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&ours, "%s%s", i ? ", " : "",
						 key_names[table->keys[i].type]);
	for (int i = 0; i < desc->nkeys; i++)
		appendStringInfo(&theirs, "%s%s", i ? ", " : "",
						 key_names[desc->keys[i].type]);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 table->owned
				 ? errmsg("foreign table \"%s\" and its store have different "
						  "keys",
						  get_rel_name(table->relid))
				 : errmsg("foreign table \"%s\" and its store \"%s\" have "
						  "different keys",
						  get_rel_name(table->relid), table->store),
			 errdetail("Key columns: (%s) in the table, (%s) in the store.",
					   ours.data, theirs.data),
			 errhint("Give the table the same key columns, or another "
					 "store.")));
}

/* Times are the same number whatever their type is, and one that cannot be
 * shown is an error of its row. */
static void
match_roles(const FlowdbTable *table, const FlowdbDescription *desc)
{
	bool same = table->nkeys == desc->nkeys;

	for (int i = 0; same && i < table->nkeys; i++)
		same = (int) table->keys[i].type == desc->keys[i].type ||
			   (is_bytes(table->keys[i].type) && is_bytes(desc->keys[i].type));
	if (!same)
		different_keys(table, desc);
}

/* The type as the store has it, which may be gone. */
static const char *
show_type(const FlowdbTypeRef *ref)
{
	if (SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(ref->oid)))
		return format_type_be(ref->oid);
	return quote_qualified_identifier(ref->schema, ref->name);
}

static void
check_same_type(Relation rel, const FlowdbTable *table, Form_pg_attribute att,
				const FlowdbStoreColumn *col)
{
	if (att->atttypid == col->ref.oid && att->attlen == col->ref.len &&
		att->attbyval == col->ref.byval && att->attalign == col->ref.align)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of foreign table \"%s\" has another type in "
					"its store",
					NameStr(att->attname), RelationGetRelationName(rel)),
			 errdetail("The table has %s, the store \"%s\" has %s.",
					   format_type_be(att->atttypid), table->store,
					   show_type(&col->ref)),
			 errhint("Add a column of another name, or use another store.")));
}

/* ------------------------------------------------------------------ finding */

/* Number of the column that is called so, or -1. */
int
flowdb_match_name(const FlowdbDescription *desc, const char *name)
{
	for (int i = 0; i < list_length(desc->columns); i++)
	{
		const FlowdbStoreColumn *col = list_nth(desc->columns, i);

		if (!col->dead && !col->dropped && strcmp(col->shown, name) == 0)
			return i;
	}
	return -1;
}

/* Number of the column that the owner has under attnum, or -1. */
static int
find_attnum(const FlowdbDescription *desc, AttrNumber attnum)
{
	for (int i = 0; i < list_length(desc->columns); i++)
	{
		const FlowdbStoreColumn *col = list_nth(desc->columns, i);

		if (!col->dead && col->attnum == attnum)
			return i;
	}
	return -1;
}

static int
find_column(const FlowdbTable *table, const FlowdbDescription *desc,
			Form_pg_attribute att)
{
	int number;

	if (!table->owned)
		return flowdb_match_name(desc, NameStr(att->attname));
	number = find_attnum(desc, att->attnum);
	if (number >= 0)
		return number;
	/* one that came through another table on the store */
	number = flowdb_match_name(desc, NameStr(att->attname));
	if (number >= 0 &&
		((FlowdbStoreColumn *) list_nth(desc->columns, number))->attnum != 0)
		return -1;
	return number;
}

/* ----------------------------------------------------------------- matching */

static void
fill_column(FlowdbValueColumn *vc, const FlowdbStoreColumn *col)
{
	memset(vc, 0, sizeof(*vc));
	vc->len = col->ref.len;
	vc->byval = col->ref.byval;
	vc->copy =
		!col->ref.byval && col->ref.len > 0 && col->ref.align != TYPALIGN_CHAR;
}

/* Two transactions cannot say both what older rows have in a new column. */
static void
being_added(const FlowdbTable *table, const FlowdbStoreColumn *col)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("column \"%s\" of FlowDB store \"%s\" is being "
						   "added by another transaction",
						   col->shown, table->store),
					errhint("Try again when that has ended.")));
}

/* Find, or with add make, the store's column for each value column of rel;
 * numbers[] by attribute, -1: none.  *changedp: the description was. */
static void
number_columns(Relation rel, const FlowdbTable *table, FlowdbDescription *desc,
			   bool add, int *numbers, bool *changedp, bool *completep)
{
	TupleDesc tupdesc = RelationGetDescr(rel);

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		FlowdbStoreColumn *col;

		numbers[i] = -1;
		if (FLOWDB_IS_VALUELESS(att) ||
			flowdb_is_role_column(table, att->attnum))
			continue;
		numbers[i] = find_column(table, desc, att);
		if (numbers[i] < 0)
		{
			*completep = false;
			if (!add)
				continue;
			numbers[i] = flowdb_match_add(rel, table, desc, att, false);
			*changedp = true;
		}
		col = list_nth(desc->columns, numbers[i]);
		check_same_type(rel, table, att, col);
		if (col->pending && !add)
			numbers[i] = -1;
		else if (add && (col->pending || (table->owned && col->attnum == 0)))
		{
			if (col->pending && col->has_missing)
				being_added(table, col);
			/* whoever added it first, it is ours as well now */
			col->add_xid = 0;
			col->pending = false;
			col->attnum = table->owned ? att->attnum : 0;
			*changedp = true;
		}
	}
}

/* The layout that the numbers make; one chunk, missing values behind. */
static FlowdbLayout *
build_layout(Relation rel, const FlowdbDescription *desc, const int *numbers)
{
	TupleDesc tupdesc = RelationGetDescr(rel);
	int ncolumns = list_length(desc->columns);
	Size bytes =
		offsetof(FlowdbLayout, columns) + sizeof(FlowdbValueColumn) * ncolumns;
	Size end = bytes;
	FlowdbLayout *layout;
	ListCell *lc;

	foreach (lc, desc->columns)
		bytes += ((FlowdbStoreColumn *) lfirst(lc))->missing_len;
	layout = palloc0(bytes);
	layout->bytes = bytes;
	layout->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
		fill_column(&layout->columns[i], list_nth(desc->columns, i));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		const FlowdbStoreColumn *col;
		FlowdbValueColumn *vc;

		if (numbers[i] < 0)
			continue;
		col = list_nth(desc->columns, numbers[i]);
		vc = &layout->columns[numbers[i]];
		vc->attnum = att->attnum;
		vc->packed = att->attlen == -1 &&
					 get_typstorage(att->atttypid) != TYPSTORAGE_PLAIN;
		vc->real = flowdb_is_real(att->atttypid);
		if (!col->has_missing)
			continue;
		vc->missing = (uint32) end;
		vc->missing_len = col->missing_len;
		memcpy((char *) layout + end, col->missing, col->missing_len);
		end += col->missing_len;
	}
	return layout;
}

FlowdbLayout *
flowdb_match(Relation rel, const FlowdbTable *table, FlowdbDescription *desc,
			 bool add, bool *changedp, bool *completep)
{
	int *numbers = palloc(sizeof(int) * (RelationGetDescr(rel)->natts + 1));
	FlowdbLayout *layout;

	*changedp = false;
	*completep = true;
	match_roles(table, desc);
	number_columns(rel, table, desc, add, numbers, changedp, completep);
	/* last, because it takes names that were matched from each other */
	if (table->owned && flowdb_match_update(rel, table, desc))
	{
		*changedp = true;
		*completep = false;
	}
	layout = build_layout(rel, desc, numbers);
	pfree(numbers);
	return layout;
}

void
flowdb_match_added(Relation rel, const FlowdbTable *table,
				   FlowdbDescription *desc, const FlowdbAdded *added)
{
	Form_pg_attribute att =
		TupleDescAttr(RelationGetDescr(rel), added->attnum - 1);
	int number = table->owned ? find_attnum(desc, att->attnum)
							  : flowdb_match_name(desc, NameStr(att->attname));
	FlowdbStoreColumn *col;
	FlowdbValueColumn vc;
	StringInfoData buf;

	if (number >= 0 && !table->owned)
	{
		/* others on the store have it: theirs is what it reads */
		col = list_nth(desc->columns, number);
		check_same_type(rel, table, att, col);
		if (col->pending && (col->has_missing || added->has_missing))
			being_added(table, col);
		return;
	}
	if (number >= 0 &&
		((FlowdbStoreColumn *) list_nth(desc->columns, number))->add_xid == 0)
	{
		/* of a column that never was: its adder was rolled back */
		col = list_nth(desc->columns, number);
		col->dead = true;
		col->attnum = 0;
		col->has_missing = false;
		number = -1;
	}
	/* else an event trigger of this command has written rows with it */
	if (number < 0)
		number = flowdb_match_add(rel, table, desc, att, added->has_missing);
	if (!added->has_missing)
		return;
	col = list_nth(desc->columns, number);
	fill_column(&vc, col);
	vc.attnum = att->attnum;
	vc.packed =
		att->attlen == -1 && get_typstorage(att->atttypid) != TYPSTORAGE_PLAIN;
	initStringInfo(&buf);
	flowdb_encode_missing(rel, &vc, added->missing, &buf);
	col->has_missing = true;
	col->missing = (uint8 *) buf.data;
	col->missing_len = (uint32) buf.len;
}
