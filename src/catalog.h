/*-------------------------------------------------------------------------
 * catalog.h
 *	  What PostgreSQL's catalogs say about our servers and tables.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_CATALOG_H
#define FLOWDB_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/htup.h"
#include "nodes/pg_list.h"

/* A foreign table and the store that it shows. */
typedef struct FlowdbShown
{
	Oid relid;
	char *store;
	bool named; /* by its option; else the store is the table's own */
} FlowdbShown;

/*
 * Of a table's options nothing but "store" is looked at, so that nothing
 * throws for what is wrong with the others.  Results are palloc'd.
 *
 * flowdb_catalog_named_store
 *		The store that options (List of DefElem) name; NULL: none.
 * flowdb_catalog_own_store
 *		The store of a table whose options name none.
 * flowdb_catalog_store
 *		The one or the other.
 * flowdb_catalog_tables
 *		The foreign tables of a server, FlowdbShown, by oid.
 * flowdb_catalog_written
 *		A copy of the row with that oid as the command at hand has left it,
 *		NULL: there is none.  index and key: of its oid; options: the column
 *		with its options, which are *optionsp, a List of DefElem, then.
 * flowdb_catalog_uncommitted
 *		Is the row (cacheid: a syscache by oid) of this transaction?
 */
extern char *flowdb_catalog_named_store(List *options);
extern char *flowdb_catalog_own_store(Oid relid);
extern char *flowdb_catalog_store(Oid relid, List *options);
extern List *flowdb_catalog_tables(Oid serverid);
extern HeapTuple flowdb_catalog_written(Oid index, AttrNumber key, Oid oid,
										AttrNumber options, List **optionsp);
extern bool flowdb_catalog_uncommitted(int cacheid, Oid oid);

#endif /* FLOWDB_CATALOG_H */
