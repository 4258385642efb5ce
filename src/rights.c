/*-------------------------------------------------------------------------
 * rights.c
 *	  What the current role may learn of a server, its stores and its tables.
 *
 * USAGE on a server is the right to all its stores that were given a name: a
 * foreign table can be made for any of them.  A store that belongs to one
 * table is guarded by that table's privileges alone, so no other table may
 * show it unless its owner has the rights of the first one's.
 *
 * Nothing here throws for what was dropped in the meantime: the views of the
 * extension take no locks on what they list.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

#include "compat.h"
#include "rights.h"

/* NULL, which this function answers about what is gone, is false. */
static bool
has_privilege(PGFunction function, Oid objectid, const char *privilege)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum result;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(objectid);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(privilege);
	fcinfo->args[1].isnull = false;
	result = function(fcinfo);
	return !fcinfo->isnull && DatumGetBool(result);
}

FlowdbSight
flowdb_rights_server(Oid serverid)
{
	ForeignServer *server = GetForeignServerExtended(serverid, FSV_MISSING_OK);

	if (server == NULL)
		return FLOWDB_SEE_NAME;
	if (has_privs_of_role(GetUserId(), server->owner))
		return FLOWDB_SEE_ALL;
	if (has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		return FLOWDB_SEE_MONITOR;
	if (has_privilege(has_server_privilege_id, serverid, "USAGE"))
		return FLOWDB_SEE_USE;
	return FLOWDB_SEE_NAME;
}

bool
flowdb_rights_read(List *relids)
{
	ListCell *lc;

	foreach (lc, relids)
		if (has_privilege(has_table_privilege_id, lfirst_oid(lc), "SELECT"))
			return true;
	return false;
}

/* Server of a foreign table, InvalidOid when there is no such table. */
static Oid
server_of_table(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	Oid serverid;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	serverid = ((Form_pg_foreign_table) GETSTRUCT(tuple))->ftserver;
	ReleaseSysCache(tuple);
	return serverid;
}

static Oid
owner_of_table(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

bool
flowdb_rights_owned_name(const char *store, Oid *relidp)
{
	unsigned long value;
	char *end;

	*relidp = InvalidOid;
	if (store[0] < '1' || store[0] > '9')
		return false;
	errno = 0;
	value = strtoul(store, &end, 10);
	if (*end != '\0' || errno != 0 || value > PG_UINT32_MAX)
		return false;
	*relidp = (Oid) value;
	return true;
}

bool
flowdb_rights_may_show(Oid relid, Oid serverid, const char *store)
{
	ForeignServer *server;
	Oid owner;
	Oid table;

	if (!flowdb_rights_owned_name(store, &table) || table == relid)
		return true;
	owner = owner_of_table(relid);
	server = GetForeignServerExtended(serverid, FSV_MISSING_OK);
	if (!OidIsValid(owner) || server == NULL)
		return false;
	/* also one that is no table yet: its oid may be the next one's */
	return has_privs_of_role(owner, server->owner) ||
		   (server_of_table(table) == serverid &&
			has_privs_of_role(owner, owner_of_table(table)));
}

void
flowdb_rights_check_store(Oid relid, Oid serverid, const char *store)
{
	if (flowdb_rights_may_show(relid, serverid, store))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for FlowDB store \"%s\"", store),
			 errdetail("Stores with the number of a table belong to that "
					   "table."),
			 errhint("To share a store among tables, give it a name that is "
					 "no number.")));
}

void
flowdb_rights_check_query(const Query *query)
{
	FLOWDB_CHECK_PERMISSIONS(query);
}
