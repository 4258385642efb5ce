/*-------------------------------------------------------------------------
 * debugshape.c
 *	  What the engine is told of a store's rows, and whether they are such.
 *
 * Compiled only for tests, which make the SQL functions themselves:
 *
 *	  CREATE FUNCTION shape(description bytea) RETURNS text
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_shape'
 *	  CREATE FUNCTION split(server text, store text) RETURNS text
 *		  STRICT LANGUAGE C AS 'flowdb_fdw', 'flowdb_debug_split'
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flowdb.h"

#ifdef FLOWDB_DEBUG_POINTS

#include "debugsql.h"
#include "describe.h"

#include "../engine/row.h"

PG_FUNCTION_INFO_V1(flowdb_debug_shape);
PG_FUNCTION_INFO_V1(flowdb_debug_split);

/* A word a column; NULL: the bytes tell no shape. */
Datum
flowdb_debug_shape(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[FLOW_COLUMN_INT] = "int",	   [FLOW_COLUMN_FLOAT] = "float",
		[FLOW_COLUMN_FIXED] = "fixed", [FLOW_COLUMN_PACKED] = "packed",
		[FLOW_COLUMN_PLAIN] = "plain", [FLOW_COLUMN_STRING] = "string",
	};
	bytea *arg = PG_GETARG_BYTEA_PP(0);
	Size len = VARSIZE_ANY_EXHDR(arg);
	uint8 *bytes = malloc(Max(len, 1)); /* a checker sees reads beyond it */
	FlowShape shape;
	FlowStatus st;
	StringInfoData buf;

	if (bytes == NULL)
		elog(ERROR, "out of memory");
	memcpy(bytes, VARDATA_ANY(arg), len);
	st = flowdb_store_shape(flowdb_env(), bytes, len, &shape);
	free(bytes);
	if (st != FLOW_OK)
		PG_RETURN_NULL();
	initStringInfo(&buf);
	for (uint32 i = 0; i < shape.ncolumns; i++)
	{
		const FlowColumn *col = &shape.columns[i];

		appendStringInfo(&buf, "%s%s", i ? " " : "", names[col->kind]);
		if (col->bytes > 0)
			appendStringInfo(&buf, "%u", col->bytes);
	}
	flowi_shape_free(flowdb_env(), &shape);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* Count a scan's rows, and those that can be taken apart into columns. */
static void
count_rows(FlowScan *scan, const FlowShape *shape, int64 *rowsp, int64 *splitp)
{
	FlowRowValue *values = palloc(sizeof(FlowRowValue) * (shape->ncolumns + 1));
	FlowRecord row;
	uint32_t n;
	FlowStatus st;

	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
	{
		*rowsp += 1;
		*splitp +=
			flowi_row_split(shape, row.value, row.value_bytes, values, &n);
	}
	flowdb_report(st);
}

Datum
flowdb_debug_split(PG_FUNCTION_ARGS)
{
	FlowDb *db = flowdb_debug_database(fcinfo);
	FlowScanSpec spec;
	FlowScan *scan = flowdb_debug_scan(fcinfo, db, &spec);
	FlowShape shape;
	int64 rows = 0;
	int64 split = 0;

	flowdb_try(flowi_store_shape(db, spec.store_id, &shape));
	PG_TRY();
	{
		count_rows(scan, &shape, &rows, &split);
	}
	PG_FINALLY();
	{
		flow_scan_close(scan);
		flowi_shape_free(flowdb_env(), &shape);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(cstring_to_text(
		psprintf(INT64_FORMAT " of " INT64_FORMAT, split, rows)));
}

#endif /* FLOWDB_DEBUG_POINTS */
