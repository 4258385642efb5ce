/*-------------------------------------------------------------------------
 * rights.h
 *	  What the current role may learn of a server, its stores and its tables.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_RIGHTS_H
#define FLOWDB_RIGHTS_H

#include "postgres.h"

#include "nodes/parsenodes.h"

/* Each includes those before it. */
typedef enum FlowdbSight
{
	FLOWDB_SEE_NAME,	/* what pg_foreign_server tells anybody */
	FLOWDB_SEE_USE,		/* USAGE: counters; stores that have a name */
	FLOWDB_SEE_MONITOR, /* pg_monitor: all stores, files; no data */
	FLOWDB_SEE_ALL		/* the server's owner, superusers */
} FlowdbSight;

/*
 * flowdb_rights_server
 *		What the current role may learn of a foreign server; SEE_NAME also
 *		for one that is gone.
 * flowdb_rights_read
 *		May it read one of these tables (oids) as a whole?
 * flowdb_rights_owned_name
 *		Is the name of a store one that a table gives its own: its oid?
 * flowdb_rights_may_show, _check_store
 *		May relation relid show that store?  One with such a name is for tables
 *		whose owner has the rights of the server's owner, or of that table's.
 *		The latter: ERROR 42501 if it may not.
 * flowdb_rights_check_query
 *		The executor's check of table privileges, before the planner looks
 *		into a store: what it finds there, damage say, is not for everybody.
 */
extern FlowdbSight flowdb_rights_server(Oid serverid);
extern bool flowdb_rights_read(List *relids);
extern bool flowdb_rights_owned_name(const char *store, Oid *relidp);
extern bool flowdb_rights_may_show(Oid relid, Oid serverid, const char *store);
extern void flowdb_rights_check_store(Oid relid, Oid serverid,
									  const char *store);
extern void flowdb_rights_check_query(const Query *query);

#endif /* FLOWDB_RIGHTS_H */
