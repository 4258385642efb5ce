/*-------------------------------------------------------------------------
 * layout.c
 *	  A store's columns, and which of a relation's columns they are.
 *
 * The engine keeps a description of each store's value columns, which only
 * this file reads and writes.  Columns are numbered in the order in which
 * they came and never go, so that rows of any age can be read; relation and
 * store columns are matched by name.  Bytes: doc/FORMAT.md "Schema".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fdw.h"
#include "schema.h"

#define SCHEMA_VERSION 1

/* A column as the store's description has it. */
typedef struct StoreColumn
{
	char *name;
	Oid type;
	int16 len;
	bool byval;
	char align;
} StoreColumn;

typedef struct StoreSchema
{
	int nkeys;
	List *columns; /* StoreColumn * */
} StoreSchema;

/* -------------------------------------------------------------- the bytes */

static void
append_varint(StringInfo buf, uint32 v)
{
	uint8 bytes[FLOWDB_VARINT_MAX];

	appendBinaryStringInfo(buf, (char *) bytes,
						   (int) (flowdb_put_varint(bytes, v) - bytes));
}

static void
encode_schema(const StoreSchema *schema, StringInfo buf)
{
	ListCell *lc;

	appendStringInfoCharMacro(buf, SCHEMA_VERSION);
	append_varint(buf, (uint32) schema->nkeys);
	append_varint(buf, (uint32) list_length(schema->columns));
	foreach (lc, schema->columns)
	{
		const StoreColumn *col = lfirst(lc);
		uint32 len = (uint32) strlen(col->name);

		append_varint(buf, len);
		appendBinaryStringInfo(buf, col->name, (int) len);
		append_varint(buf, col->type);
		append_varint(buf, (uint32) (col->len + 2)); /* -2, -1 or a length */
		appendStringInfoCharMacro(buf, col->byval ? 1 : 0);
		appendStringInfoCharMacro(buf, col->align);
	}
}

static StoreColumn *
decode_column(const uint8 **pp, const uint8 *end)
{
	StoreColumn *col = palloc(sizeof(StoreColumn));
	uint32 len;
	uint32 type;
	uint32 typlen;

	if (!flowdb_get_varint(pp, end, &len) || len > (Size) (end - *pp))
		return NULL;
	col->name = pnstrdup((const char *) *pp, len);
	*pp += len;
	if (!flowdb_get_varint(pp, end, &type) ||
		!flowdb_get_varint(pp, end, &typlen) || typlen > PG_INT16_MAX ||
		end - *pp < 2)
		return NULL;
	col->type = type;
	col->len = (int16) ((int) typlen - 2);
	col->byval = *(*pp)++ != 0;
	col->align = (char) *(*pp)++;
	return col;
}

/* false: damaged, or of a version we do not know. */
static bool
decode_schema(const uint8 *p, Size len, StoreSchema *schema)
{
	const uint8 *end = p + len;
	uint32 nkeys;
	uint32 ncolumns;

	schema->columns = NIL;
	if (len < 1 || *p++ != SCHEMA_VERSION ||
		!flowdb_get_varint(&p, end, &nkeys) || nkeys > MaxAttrNumber ||
		!flowdb_get_varint(&p, end, &ncolumns))
		return false;
	schema->nkeys = (int) nkeys;
	for (uint32 i = 0; i < ncolumns; i++)
	{
		StoreColumn *col = decode_column(&p, end);

		if (!col)
			return false;
		schema->columns = lappend(schema->columns, col);
	}
	return p == end;
}

/* ------------------------------------------------------------ find, match */

/* false: the store has not begun. */
static bool
find_store(FlowDb *db, const FlowdbTable *table, uint32 *store_idp,
		   StoreSchema *schema)
{
	FlowEnv *env = flowdb_env();
	FlowStatus st;
	void *blob;
	size_t blob_bytes;
	uint8 *copy;

	while ((st = flow_store_find(db, table->store, store_idp, &blob,
								 &blob_bytes)) == FLOW_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	if (st == FLOW_NOTFOUND)
		return false;
	flowdb_report(st);

	copy = palloc_extended(Max(blob_bytes, 1), MCXT_ALLOC_NO_OOM);
	if (copy && blob_bytes > 0)
		memcpy(copy, blob, blob_bytes);
	env->free(env, blob);
	if (!copy)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("Failed on request of size %zu.",
								  (Size) blob_bytes)));
	if (!decode_schema(copy, blob_bytes, schema))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the description of FlowDB store \"%s\" cannot be read",
						table->store),
				 errhint("It may have been written by a later version of "
						 "flowdb_fdw.")));
	pfree(copy);
	if (schema->nkeys != table->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("foreign table \"%s\" and its store \"%s\" have "
						"different keys",
						get_rel_name(table->relid), table->store),
				 errdetail("Key columns: %d in the table, %d in the store.",
						   table->nkeys, schema->nkeys),
				 errhint("Give the table the same key columns, or another "
						 "store.")));
	return true;
}

static void
check_same_type(Relation rel, const FlowdbTable *table, Form_pg_attribute att,
				const StoreColumn *col)
{
	if (att->atttypid == col->type && att->attlen == col->len &&
		att->attbyval == col->byval && att->attalign == col->align)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of foreign table \"%s\" has another type in "
					"its store",
					NameStr(att->attname), RelationGetRelationName(rel)),
			 errdetail("The table has %s, the store \"%s\" has %s.",
					   format_type_be(att->atttypid), table->store,
					   format_type_be(col->type)),
			 errhint("Add a column of another name, or use another store.")));
}

static int
find_by_name(const StoreSchema *schema, const char *name)
{
	for (int i = 0; i < list_length(schema->columns); i++)
		if (strcmp(((StoreColumn *) list_nth(schema->columns, i))->name,
				   name) == 0)
			return i;
	return -1;
}

static void
fill_column(FlowdbValueColumn *vc, const StoreColumn *col, int32 *offsetp)
{
	vc->attnum = 0;
	vc->len = col->len;
	vc->byval = col->byval;
	vc->copy = !col->byval && col->len > 0 && col->align != TYPALIGN_CHAR;
	vc->packed = false;
	vc->offset = *offsetp;
	if (*offsetp >= 0)
		*offsetp = col->len > 0 ? *offsetp + col->len : -1;
}

/*
 * Match columns by name.  *completep: all value columns of rel are in the
 * store; if not and add is set, they are appended to schema first.
 */
static FlowdbLayout *
make_layout(Relation rel, const FlowdbTable *table, StoreSchema *schema,
			bool add, bool *completep)
{
	TupleDesc desc = RelationGetDescr(rel);
	FlowdbLayout *layout =
		palloc0(offsetof(FlowdbLayout, columns) +
				sizeof(FlowdbValueColumn) *
					(list_length(schema->columns) + desc->natts));
	int32 offset = 0;

	*completep = true;
	for (int i = 0; i < list_length(schema->columns); i++)
		fill_column(&layout->columns[i], list_nth(schema->columns, i), &offset);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int number;

		if (att->attisdropped || flowdb_is_role_column(table, att->attnum))
			continue;
		number = find_by_name(schema, NameStr(att->attname));
		if (number < 0)
		{
			StoreColumn *col;

			*completep = false;
			if (!add)
				continue;
			col = palloc(sizeof(StoreColumn));
			col->name = pstrdup(NameStr(att->attname));
			col->type = att->atttypid;
			col->len = att->attlen;
			col->byval = att->attbyval;
			col->align = att->attalign;
			number = list_length(schema->columns);
			schema->columns = lappend(schema->columns, col);
			fill_column(&layout->columns[number], col, &offset);
		}
		check_same_type(rel, table, att, list_nth(schema->columns, number));
		layout->columns[number].attnum = att->attnum;
		layout->columns[number].packed =
			att->attlen == -1 &&
			get_typstorage(att->atttypid) != TYPSTORAGE_PLAIN;
	}
	layout->ncolumns = list_length(schema->columns);
	return layout;
}

/* ------------------------------------------------------------- the cache */

static FlowdbLayout *
copy_layout(const FlowdbLayout *layout, MemoryContext cxt)
{
	Size size = offsetof(FlowdbLayout, columns) +
				sizeof(FlowdbValueColumn) * layout->ncolumns;

	return memcpy(MemoryContextAlloc(cxt, size), layout, size);
}

static FlowdbLayout *
cached_layout(const FlowdbTable *table, uint64 version, bool need_complete)
{
	FlowdbCached *entry = flowdb_cache_find(table->relid);

	if (!entry || !entry->layout || entry->layout_version != version ||
		(need_complete && !entry->layout_complete))
		return NULL;
	return copy_layout(entry->layout, CurrentMemoryContext);
}

static void
keep_layout(const FlowdbTable *table, const FlowdbLayout *layout, bool complete,
			uint64 version, uint64 moment)
{
	FlowdbCached *entry = flowdb_cache_find(table->relid);
	FlowdbLayout *kept;

	if (!entry || moment != flowdb_cache_moment())
		return;
	kept = copy_layout(layout, CacheMemoryContext);
	if (entry->layout)
		pfree(entry->layout);
	entry->layout = kept;
	entry->layout_version = version;
	entry->layout_complete = complete;
}

FlowdbLayout *
flowdb_layout_read(Relation rel, const FlowdbTable *table, FlowDb *db)
{
	uint64 version = flow_store_version(db);
	uint64 moment = flowdb_cache_moment();
	FlowdbLayout *layout = cached_layout(table, version, false);
	StoreSchema schema = {.nkeys = table->nkeys, .columns = NIL};
	uint32 store_id = 0;
	bool exists;
	bool complete;

	if (layout)
		return layout;
	exists = find_store(db, table, &store_id, &schema);
	layout = make_layout(rel, table, &schema, false, &complete);
	layout->exists = exists;
	layout->store_id = store_id;
	keep_layout(table, layout, complete && exists, version, moment);
	return layout;
}

/*
 * Two backends that add columns at the same time must not give out one
 * number twice: reading the old definition and writing the new one is under
 * a lock, which the end of the transaction releases if anything fails.
 */
FlowdbLayout *
flowdb_layout_write(Relation rel, const FlowdbTable *table, FlowDb *db)
{
	uint64 version = flow_store_version(db);
	uint64 moment = flowdb_cache_moment();
	FlowdbLayout *layout = cached_layout(table, version, true);
	StoreSchema schema = {.nkeys = table->nkeys, .columns = NIL};
	uint32 store_id = 0;
	bool exists;
	bool complete;

	if (layout)
		return layout;
	LockDatabaseObject(ForeignServerRelationId, table->serverid,
					   FLOWDB_LOCK_DEFINE, ExclusiveLock);
	version = flow_store_version(db);
	exists = find_store(db, table, &store_id, &schema);
	layout = make_layout(rel, table, &schema, true, &complete);
	if (!exists || !complete)
	{
		StringInfoData blob;

		initStringInfo(&blob);
		encode_schema(&schema, &blob);
		if (blob.len > (int) FLOW_MAX_BLOB)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("FlowDB store \"%s\" has too many columns",
								   table->store)));
		store_id =
			flowdb_store_define(db, table->store, blob.data, (Size) blob.len);
		version = flow_store_version(db);
	}
	layout->exists = true;
	layout->store_id = store_id;
	UnlockDatabaseObject(ForeignServerRelationId, table->serverid,
						 FLOWDB_LOCK_DEFINE, ExclusiveLock);
	keep_layout(table, layout, true, version, moment);
	return layout;
}
