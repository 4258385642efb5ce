/*-------------------------------------------------------------------------
 * collation.c
 *	  Is a collation the order of bytes?
 *
 * Read from the catalogs, because PostgreSQL's own answer has changed its
 * name and its header needs ICU's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "fdw.h"

/* The libc locale that a catalog row names: "C" or "POSIX"? */
static bool
names_c(int cache, HeapTuple tuple, AttrNumber attnum)
{
	bool isnull;
	Datum value = SysCacheGetAttr(cache, tuple, attnum, &isnull);
	char *name;

	if (isnull)
		return false;
	name = TextDatumGetCString(value);
	return strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0;
}

static bool
database_is_c(void)
{
	HeapTuple tuple =
		SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for database %u", MyDatabaseId);
	result = ((Form_pg_database) GETSTRUCT(tuple))->datlocprovider ==
				 COLLPROVIDER_LIBC &&
			 names_c(DATABASEOID, tuple, Anum_pg_database_datcollate);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * flowdb_collation_is_c
 *		True for "C" and "POSIX" under any name, and for the default
 *		collation of a database that has one of them.
 */
bool
flowdb_collation_is_c(Oid collation)
{
	HeapTuple tuple;
	bool result;

	if (collation == C_COLLATION_OID)
		return true;
	if (collation == DEFAULT_COLLATION_OID)
		return database_is_c();
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_collation) GETSTRUCT(tuple))->collprovider ==
				 COLLPROVIDER_LIBC &&
			 names_c(COLLOID, tuple, Anum_pg_collation_collcollate);
	ReleaseSysCache(tuple);
	return result;
}
