/*-------------------------------------------------------------------------
 * debugdecode.c
 *	  Any bytes through the decoder, for tests that make up records.
 *
 * Compiled only for tests, which make the SQL function themselves:
 *
 *	  CREATE FUNCTION decode(rel regclass, key bytea, ts bigint,
 *		  expire_at bigint, value bytea) RETURNS record STRICT
 *		  LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_decode'
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flowdb.h"

#ifdef FLOWDB_DEBUG_POINTS

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "fdw.h"

PG_FUNCTION_INFO_V1(flowdb_debug_decode);

/* What is decoded must be what these bytes, and no others, stand for. */
static void
check_key(const FlowdbTable *table, const Datum *values, const bytea *key)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < table->nkeys; i++)
		flowdb_key_append(&buf, table->keys[i].type,
						  values[table->keys[i].attnum - 1], table->nkeys > 1);
	if (buf.len != (int) VARSIZE_ANY_EXHDR(key) ||
		memcmp(buf.data, VARDATA_ANY(key), (Size) buf.len) != 0)
		elog(ERROR, "the key's columns encode to other bytes");
}

/*
 * decode(rel regclass, key bytea, ts bigint, expire_at bigint, value bytea)
 *		The row of rel, whose store must exist, that this record is.
 */
Datum
flowdb_debug_decode(PG_FUNCTION_ARGS)
{
	Relation rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	bytea *key = PG_GETARG_BYTEA_PP(1);
	bytea *value = PG_GETARG_BYTEA_PP(4);
	FlowdbTable *table = flowdb_table_get(rel);
	FlowdbLayout *layout =
		flowdb_layout_read(rel, table, flowdb_database(table->serverid));
	TupleDesc desc = CreateTupleDescCopy(RelationGetDescr(rel));
	Datum *values = palloc0(sizeof(Datum) * (Size) desc->natts);
	bool *isnull = palloc(sizeof(bool) * (Size) desc->natts);
	FlowVector *vec = palloc0(sizeof(FlowVector));
	Bitmapset *wanted = NULL;

	memset(isnull, true, sizeof(bool) * (Size) desc->natts);
	for (int i = 1; i <= desc->natts; i++)
		wanted = bms_add_member(wanted, i - FirstLowInvalidHeapAttributeNumber);
	vec->nrows = 1;
	vec->key[0] = (const uint8_t *) VARDATA_ANY(key);
	vec->key_bytes[0] = (uint32_t) VARSIZE_ANY_EXHDR(key);
	vec->ts[0] = PG_GETARG_INT64(2);
	vec->expire_at[0] = PG_GETARG_INT64(3);
	vec->value[0] = (const uint8_t *) VARDATA_ANY(value);
	vec->value_bytes[0] = (uint32_t) VARSIZE_ANY_EXHDR(value);
	flowdb_decode(flowdb_decoder_create(rel, table, layout, wanted), vec, 0,
				  values, isnull);
	check_key(table, values, key);
	table_close(rel, NoLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}

#endif /* FLOWDB_DEBUG_POINTS */
