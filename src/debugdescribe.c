/*-------------------------------------------------------------------------
 * debugdescribe.c
 *	  Descriptions of stores as bytes, and any bytes as a description.
 *
 * Compiled only for tests, which make the SQL functions themselves:
 *
 *	  CREATE FUNCTION description(server text, store text) RETURNS bytea
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_description'
 *	  CREATE FUNCTION describe(description bytea) RETURNS bytea
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_describe'
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flowdb.h"

#ifdef FLOWDB_DEBUG_POINTS

#include "debugsql.h"
#include "describe.h"

PG_FUNCTION_INFO_V1(flowdb_debug_description);
PG_FUNCTION_INFO_V1(flowdb_debug_describe);

static Datum
make_bytea(const void *p, Size len)
{
	bytea *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), p, len);
	return PointerGetDatum(result);
}

/* As it stands in the engine. */
Datum
flowdb_debug_description(PG_FUNCTION_ARGS)
{
	char *store = text_to_cstring(PG_GETARG_TEXT_PP(1));
	FlowDb *db = flowdb_debug_database(fcinfo);
	uint32_t store_id;
	void *blob = NULL;
	size_t bytes;
	Datum result;

	flowdb_try(flow_store_find(db, store, &store_id, &blob, &bytes));
	if (blob == NULL)
		PG_RETURN_NULL();
	result = make_bytea(blob, bytes);
	flowdb_env()->free(flowdb_env(), blob);
	PG_RETURN_DATUM(result);
}

/* Decoded and encoded again; NULL: malformed.  The bytes are copied to where
 * a checker of memory sees each read beyond them. */
Datum
flowdb_debug_describe(PG_FUNCTION_ARGS)
{
	bytea *arg = PG_GETARG_BYTEA_PP(0);
	Size len = VARSIZE_ANY_EXHDR(arg);
	uint8 *bytes = malloc(Max(len, 1));
	FlowdbDescription desc;
	StringInfoData buf;
	bool ok;

	if (bytes == NULL)
		elog(ERROR, "out of memory");
	memcpy(bytes, VARDATA_ANY(arg), len);
	ok = flowdb_describe_decode(bytes, len, &desc);
	free(bytes);
	if (!ok)
		PG_RETURN_NULL();
	(void) flowdb_describe_resolve(&desc);
	initStringInfo(&buf);
	flowdb_describe_encode(&desc, &buf);
	PG_RETURN_DATUM(make_bytea(buf.data, (Size) buf.len));
}

#endif /* FLOWDB_DEBUG_POINTS */
