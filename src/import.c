/*-------------------------------------------------------------------------
 * import.c
 *	  IMPORT FOREIGN SCHEMA: foreign tables for the stores of a server.
 *
 * FlowDB has no schemas, so any name of a remote schema will do.  What was
 * described when a store was written comes back: names, types, collations
 * and roles.  A store that is called after a table's oid is left out while
 * that table is there; if it is not, the new table has its name.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "rights.h"
#include "schema.h"

/* A store of the database. */
typedef struct Store
{
	struct Store *next;
	char name[FLEXIBLE_ARRAY_MEMBER];
} Store;

/* ------------------------------------------------------------------ stores */

/* Called by the engine: must not throw. */
static FlowStatus
keep_store(void *arg, uint32_t store_id, const char *name)
{
	Store **lastp = arg;
	Size len = strlen(name) + 1;
	Store *store =
		palloc_extended(offsetof(Store, name) + len, MCXT_ALLOC_NO_OOM);

	if (!store)
		return FLOW_NOMEM;
	memcpy(store->name, name, len);
	store->next = *lastp;
	*lastp = store;
	return FLOW_OK;
}

/* Names of all stores, in the order of their ids. */
static List *
list_stores(FlowDb *db)
{
	Store *stores = NULL;
	List *names = NIL;
	FlowStatus st;

	while ((st = flow_each_store(db, keep_store, &stores)) == FLOW_INTERRUPTED)
	{
		CHECK_FOR_INTERRUPTS();
		stores = NULL;
	}
	if (st == FLOW_NOMEM)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	flowdb_report(st);
	for (const Store *s = stores; s; s = s->next)
		names = lcons(pstrdup(s->name), names);
	return names;
}

/* Is the store one that a living table owns? */
static bool
is_owned(Oid serverid, const char *store)
{
	Oid relid;

	return flowdb_rights_owned_name(store, &relid) &&
		   SearchSysCacheExists1(FOREIGNTABLEREL, ObjectIdGetDatum(relid)) &&
		   GetForeignServerIdByRelId(relid) == serverid &&
		   flowdb_catalog_named_store(GetForeignTable(relid)->options) == NULL;
}

/* -------------------------------------------------------------- definitions */

/* Without a value column the table is of use, without a key it is not. */
static void
warn_missing(const char *store, const char *column, FlowdbRole role,
			 const char *what, const char *name)
{
	ereport(WARNING,
			(role == FLOWDB_ROLE_VALUE
				 ? errmsg("column \"%s\" of FlowDB store \"%s\" is not "
						  "imported",
						  column, store)
				 : errmsg("FlowDB store \"%s\" is not imported", store),
			 errdetail("The %s of column \"%s\", %s, does not exist.", what,
					   column, name)));
}

/* false: the type is gone, or is another one. */
static bool
type_exists(const FlowdbTypeRef *ref)
{
	int16 len;
	bool byval;
	char align;

	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(ref->oid)))
		return false;
	get_typlenbyvalalign(ref->oid, &len, &byval, &align);
	return len == ref->len && byval == ref->byval && align == ref->align;
}

/* "name" type OPTIONS (role '...') COLLATE "..." NOT NULL; false after a
 * WARNING. */
static bool
append_column(StringInfo buf, const char *store, const char *name,
			  const FlowdbTypeRef *ref, FlowdbRole role)
{
	const char *collation =
		ref->coll_name[0] == '\0'
			? NULL
			: quote_qualified_identifier(ref->coll_schema, ref->coll_name);

	if (!type_exists(ref))
	{
		warn_missing(store, name, role, "type",
					 quote_qualified_identifier(ref->schema, ref->name));
		return false;
	}
	if (collation &&
		!OidIsValid(get_collation_oid(list_make2(makeString(ref->coll_schema),
												 makeString(ref->coll_name)),
									  true)))
	{
		warn_missing(store, name, role, "collation", collation);
		return false;
	}
	appendStringInfo(buf, "%s\n  %s %s",
					 buf->data[buf->len - 1] == '(' ? "" : ",",
					 quote_identifier(name),
					 format_type_extended(ref->oid, ref->typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN |
											  FORMAT_TYPE_FORCE_QUALIFY));
	if (role != FLOWDB_ROLE_VALUE)
		appendStringInfo(buf, " OPTIONS (role %s)",
						 quote_literal_cstr(flowdb_option_role_name(role)));
	if (collation)
		appendStringInfo(buf, " COLLATE %s", collation);
	if (role == FLOWDB_ROLE_KEY || role == FLOWDB_ROLE_TIME)
		appendStringInfoString(buf, " NOT NULL");
	return true;
}

static bool
append_role(StringInfo buf, const char *store, const FlowdbRoleColumn *col,
			FlowdbRole role)
{
	return col->type == 0 ||
		   append_column(buf, store, col->name, &col->ref, role);
}

/* A value column of one table may be called as a key column of another that
 * shares the store. */
static bool
is_role_name(const FlowdbDescription *desc, const char *name)
{
	for (int i = 0; i < desc->nkeys; i++)
		if (strcmp(desc->keys[i].name, name) == 0)
			return true;
	return (desc->time.type != 0 && strcmp(desc->time.name, name) == 0) ||
		   (desc->expire.type != 0 && strcmp(desc->expire.name, name) == 0);
}

static void
append_values(StringInfo buf, const char *store, const FlowdbDescription *desc)
{
	ListCell *lc;

	foreach (lc, desc->columns)
	{
		const FlowdbStoreColumn *col = lfirst(lc);

		if (col->dead || col->dropped || col->pending)
			continue;
		if (is_role_name(desc, col->shown))
			ereport(WARNING,
					(errmsg("column \"%s\" of FlowDB store \"%s\" is not "
							"imported",
							col->shown, store),
					 errdetail("A column of the key, time or expiry has that "
							   "name too.")));
		else
			(void) append_column(buf, store, col->shown, &col->ref,
								 FLOWDB_ROLE_VALUE);
	}
}

static char *
make_command(const char *store, const char *table, const char *server,
			 const FlowdbDescription *desc)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE FOREIGN TABLE %s (",
					 quote_identifier(table));
	for (int i = 0; i < desc->nkeys; i++)
		if (!append_role(&buf, store, &desc->keys[i], FLOWDB_ROLE_KEY))
			return NULL;
	if (!append_role(&buf, store, &desc->time, FLOWDB_ROLE_TIME))
		return NULL;
	append_values(&buf, store, desc);
	if (!append_role(&buf, store, &desc->expire, FLOWDB_ROLE_EXPIRE))
		return NULL;
	appendStringInfo(&buf, "\n) SERVER %s OPTIONS (store %s);",
					 quote_identifier(server), quote_literal_cstr(store));
	return buf.data;
}

/* ---------------------------------------------------------------- statement */

static void
refuse_options(List *options)
{
	if (options != NIL)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
						errmsg("invalid option \"%s\"",
							   linitial_node(DefElem, options)->defname),
						errhint("IMPORT FOREIGN SCHEMA has no options here.")));
}

/* A store's name is that of its table, but for one that a table owned. */
static const char *
table_name(const char *store, const FlowdbDescription *desc)
{
	bool digits = strspn(store, "0123456789") == strlen(store);

	return digits ? desc->table : store;
}

List *
flowdbImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverid)
{
	FlowDb *db = flowdb_database(serverid);
	bool owner = flowdb_rights_server(serverid) == FLOWDB_SEE_ALL;
	List *commands = NIL;
	List *stores;
	ListCell *lc;

	refuse_options(stmt->options);
	stores = list_stores(db);
	foreach (lc, stores)
	{
		const char *store = lfirst(lc);
		FlowdbDescription desc;
		const char *table;
		uint32 store_id;
		Oid relid;
		char *command;

		/* what a table has left is for the server's owner */
		if (!owner && flowdb_rights_owned_name(store, &relid))
			continue;
		if (is_owned(serverid, store) ||
			!flowdb_layout_describe(db, store, &store_id, &desc) ||
			desc.pending)
			continue;
		table = table_name(store, &desc);
		if (!IsImportableForeignTable(table, stmt))
			continue;
		if (strlen(table) >= NAMEDATALEN)
		{
			ereport(WARNING,
					(errmsg("FlowDB store \"%s\" is not imported", store),
					 errdetail("Its name is too long for a table."),
					 errhint("Create a foreign table with OPTIONS (store "
							 "'...').")));
			continue;
		}
		command = make_command(store, table, stmt->server_name, &desc);
		if (command)
			commands = lappend(commands, command);
	}
	return commands;
}
