/*-------------------------------------------------------------------------
 * catalog.c
 *	  What PostgreSQL's catalogs say about our servers and tables.
 *
 * Which table shows which store stands in pg_foreign_table alone, and has no
 * index there: to know who shows a store, all tables of a server are read.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"

char *
flowdb_catalog_named_store(List *options)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "store") == 0)
			return defGetString(def);
	}
	return NULL;
}

char *
flowdb_catalog_own_store(Oid relid)
{
	return psprintf("%u", relid);
}

char *
flowdb_catalog_store(Oid relid, List *options)
{
	char *named = flowdb_catalog_named_store(options);

	return named ? named : flowdb_catalog_own_store(relid);
}

static List *
options_of(HeapTuple tuple, AttrNumber attnum, Relation catalog)
{
	bool isnull;
	Datum options =
		heap_getattr(tuple, attnum, RelationGetDescr(catalog), &isnull);

	return isnull ? NIL : untransformRelOptions(options);
}

static int
by_relid(const ListCell *a, const ListCell *b)
{
	return oid_cmp(&((FlowdbShown *) lfirst(a))->relid,
				   &((FlowdbShown *) lfirst(b))->relid);
}

List *
flowdb_catalog_tables(Oid serverid)
{
	Relation rel = table_open(ForeignTableRelationId, AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *tables = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_table form = (Form_pg_foreign_table) GETSTRUCT(tuple);
		FlowdbShown *shown;
		List *options;

		if (form->ftserver != serverid)
			continue;
		options = options_of(tuple, Anum_pg_foreign_table_ftoptions, rel);
		shown = palloc(sizeof(FlowdbShown));
		shown->relid = form->ftrelid;
		shown->named = flowdb_catalog_named_store(options) != NULL;
		shown->store = flowdb_catalog_store(form->ftrelid, options);
		tables = lappend(tables, shown);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(tables, by_relid);
	return tables;
}

HeapTuple
flowdb_catalog_written(Oid index, AttrNumber key, Oid oid, AttrNumber options,
					   List **optionsp)
{
	Relation rel = table_open(IndexGetRelation(index, false), AccessShareLock);
	ScanKeyData scankey;
	SysScanDesc scan;
	HeapTuple tuple;

	*optionsp = NIL;
	ScanKeyInit(&scankey, key, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &scankey);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		*optionsp = options_of(tuple, options, rel);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

bool
flowdb_catalog_uncommitted(int cacheid, Oid oid)
{
	HeapTuple tuple = SearchSysCache1(cacheid, ObjectIdGetDatum(oid));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = TransactionIdIsCurrentTransactionId(
		HeapTupleHeaderGetXmin(tuple->t_data));
	ReleaseSysCache(tuple);
	return result;
}
