/*-------------------------------------------------------------------------
 * alterroles.c
 *	  ALTER and the roles of columns: a role stays with its column.
 *
 * Table options and names give roles by the columns' names, which a RENAME
 * changes behind their back.  So after a RENAME that would move a role the
 * options are written anew.  And a composite type that rows hold may not
 * change the types of its members, which core checks for tables of its own
 * only: the rows would be read as something that they are not.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "alter.h"

/* ----------------------------------------------------------------- options */

static const char *
quoted_name(Relation rel, AttrNumber attnum)
{
	return quote_identifier(
		NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
}

/* Add the option to what shall be set, whether it is there or not. */
static List *
set_option(List *changes, List *options, const char *name, char *value)
{
	DefElemAction action = DEFELEM_ADD;
	ListCell *lc;

	foreach (lc, options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) == 0)
			action = DEFELEM_SET;
	return lappend(changes,
				   makeDefElemExtended(NULL, pstrdup(name),
									   (Node *) makeString(value), action, -1));
}

/* The options that give the columns of table, by number, their roles. */
static List *
role_options(Relation rel, const FlowdbTable *table, List *options)
{
	List *changes = NIL;
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&keys, "%s%s", i ? "," : "",
						 quoted_name(rel, table->keys[i].attnum));
	changes = set_option(changes, options, "key_columns", keys.data);
	if (table->time_attnum != 0)
		changes = set_option(changes, options, "time_column",
							 pstrdup(quoted_name(rel, table->time_attnum)));
	if (table->expire_attnum != 0)
		changes = set_option(changes, options, "expire_column",
							 pstrdup(quoted_name(rel, table->expire_attnum)));
	return changes;
}

/* As ALTER FOREIGN TABLE ... OPTIONS does, which has asked for the right to
 * do so: it was ALTER of this table or of its parent. */
static void
write_options(Relation rel, List *changes)
{
	Oid relid = RelationGetRelid(rel);
	Relation catalog = table_open(ForeignTableRelationId, RowExclusiveLock);
	HeapTuple tuple =
		SearchSysCacheCopy1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	Datum values[Natts_pg_foreign_table] = {0};
	bool nulls[Natts_pg_foreign_table] = {0};
	bool replace[Natts_pg_foreign_table] = {0};
	const int at = Anum_pg_foreign_table_ftoptions - 1;
	ForeignServer *server;
	Datum old;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for foreign table %u", relid);
	old = SysCacheGetAttr(FOREIGNTABLEREL, tuple,
						  Anum_pg_foreign_table_ftoptions, &isnull);
	server =
		GetForeignServer(((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver);
	values[at] = transformGenericOptions(
		ForeignTableRelationId, isnull ? PointerGetDatum(NULL) : old, changes,
		GetForeignDataWrapper(server->fdwid)->fdwvalidator);
	replace[at] = true;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls,
							  replace);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(relid);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* Would the roles be given to other columns now? */
static bool
roles_moved(const FlowdbTable *before, const FlowdbTable *now)
{
	if (now == NULL || now->nkeys != before->nkeys ||
		now->time_attnum != before->time_attnum ||
		now->expire_attnum != before->expire_attnum)
		return true;
	for (int i = 0; i < now->nkeys; i++)
		if (now->keys[i].attnum != before->keys[i].attnum)
			return true;
	return false;
}

/* Do the options name a column that is not there? */
static bool
names_missing(Relation rel, const FlowdbTableOptions *opts)
{
	Oid relid = RelationGetRelid(rel);
	ListCell *lc;

	foreach (lc, opts->key_columns)
		if (get_attnum(relid, lfirst(lc)) == InvalidAttrNumber)
			return true;
	return (opts->time_column &&
			get_attnum(relid, opts->time_column) == InvalidAttrNumber) ||
		   (opts->expire_column &&
			get_attnum(relid, opts->expire_column) == InvalidAttrNumber);
}

void
flowdb_alter_keep_roles(Oid relid, const FlowdbTable *before)
{
	Relation rel = table_open(relid, NoLock);
	List *options = GetForeignTable(relid)->options;
	FlowdbTableOptions opts;

	flowdb_option_table(options, &opts);
	if (names_missing(rel, &opts) || roles_moved(before, flowdb_table_try(rel)))
		write_options(rel, role_options(rel, before, options));
	table_close(rel, NoLock);
}

/* -------------------------------------------------------- composite types */

/* A column of a foreign table of ours whose values contain ones of the type;
 * false: there is none. */
static bool
find_use(Oid type, Oid *relidp, AttrNumber *attnump)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	check_stack_depth();
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(type));
	scan =
		systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend dep = (Form_pg_depend) GETSTRUCT(tuple);

		/* an array, a domain or a range of it */
		if (dep->classid == TypeRelationId)
			found = find_use(dep->objid, relidp, attnump);
		else if (dep->classid == RelationRelationId && dep->objsubid > 0)
		{
			char kind = get_rel_relkind(dep->objid);

			if (kind == RELKIND_FOREIGN_TABLE &&
				flowdb_owns_relation(dep->objid))
			{
				*relidp = dep->objid;
				*attnump = (AttrNumber) dep->objsubid;
				found = true;
			}
			else if (OidIsValid(get_rel_type_id(dep->objid)))
				found = find_use(get_rel_type_id(dep->objid), relidp, attnump);
		}
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

void
flowdb_alter_check_composite(Oid relid)
{
	Oid type = get_rel_type_id(relid);
	Oid user;
	AttrNumber attnum;

	if (!OidIsValid(type) || !find_use(type, &user, &attnum))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot alter type \"%s\" because column \"%s.%s\" uses it",
					get_rel_name(relid), get_rel_name(user),
					get_attname(user, attnum, false)),
			 errdetail("Rows of foreign tables are not rewritten.")));
}
