/*-------------------------------------------------------------------------
 * shape.c
 *	  The shape of a store's rows, as the engine knows columns: of a layout,
 *	  for readers, and of a description, for who writes SSTables.
 *
 * The second runs in workers and in recovery, called by the engine: it reads
 * the bytes only, and what they do not tell of a type it takes for the usual.
 * That is no matter: a row which is of another shape is kept as it is, and
 * readers have their own.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "describe.h"

#include "../engine/coding.h"

FlowColumnKind
flowdb_type_kind(Oid oid, int16 len, bool byval, bool plain, bool real)
{
	if (byval)
		return real || oid == FLOAT4OID || oid == FLOAT8OID ? FLOW_COLUMN_FLOAT
															: FLOW_COLUMN_INT;
	if (len > 0)
		return FLOW_COLUMN_FIXED;
	if (len == -2)
		return FLOW_COLUMN_STRING;
	switch (oid)
	{
		case INT2VECTOROID:
		case OIDVECTOROID:
		case TSQUERYOID:
		case GTSVECTOROID:
			return FLOW_COLUMN_PLAIN;
		default:
			return plain ? FLOW_COLUMN_PLAIN : FLOW_COLUMN_PACKED;
	}
}

/* ------------------------------------------------------------ of a layout */

void
flowdb_layout_shape(const FlowdbLayout *layout, FlowShape *shape)
{
	FlowColumn *columns =
		palloc0(sizeof(FlowColumn) * (Size) (layout->ncolumns + 1));

	for (int i = 0; i < layout->ncolumns; i++)
	{
		const FlowdbValueColumn *col = &layout->columns[i];

		columns[i].kind = flowdb_type_kind(InvalidOid, col->len, col->byval,
										   !col->packed, col->real);
		columns[i].bytes = (uint32) Max(col->len, 0);
		if (col->missing != 0)
		{
			columns[i].missing = (const uint8 *) layout + col->missing;
			columns[i].missing_bytes = col->missing_len;
		}
	}
	shape->ncolumns = (uint32) layout->ncolumns;
	shape->columns = columns;
}

/* ------------------------------------------------------- of a description */

typedef struct Reader
{
	const uint8 *p;
	const uint8 *end;
} Reader;

static bool
skip(Reader *r, uint32 n)
{
	if (n > (Size) (r->end - r->p))
		return false;
	r->p += n;
	return true;
}

static bool
get_number(Reader *r, uint32 *vp)
{
	return flowi_get_short_varint(&r->p, r->end, vp);
}

static bool
skip_numbers(Reader *r, int n)
{
	uint32 v;

	while (n > 0 && get_number(r, &v))
		n--;
	return n == 0;
}

static bool
skip_string(Reader *r)
{
	uint32 len;

	return get_number(r, &len) && skip(r, len);
}

/* A type, of which oid, length and by value are wanted. */
static bool
get_type(Reader *r, uint32 *oidp, int16 *lenp, bool *byvalp)
{
	uint32 len;

	if (!get_number(r, oidp) || !skip_numbers(r, 1) || !get_number(r, &len) ||
		len > PG_INT16_MAX || r->p == r->end)
		return false;
	*lenp = (int16) ((int) len - 2);
	*byvalp = *r->p++ != 0;
	return skip(r, 1) && skip_string(r) && skip_string(r) && skip_string(r) &&
		   skip_string(r);
}

static bool
skip_role(Reader *r)
{
	uint32 role;
	uint32 oid;
	int16 len;
	bool byval;

	if (!get_number(r, &role))
		return false;
	return role == 0 || (skip_string(r) && get_type(r, &oid, &len, &byval));
}

static bool
get_column(Reader *r, FlowColumn *column)
{
	uint32 oid;
	uint32 nrenames;
	uint8 flags;
	int16 len;
	bool byval;

	if (r->p == r->end)
		return false;
	flags = *r->p++;
	if (!skip_string(r) || !get_type(r, &oid, &len, &byval) ||
		!skip_numbers(r, 3) || !get_number(r, &nrenames))
		return false;
	for (uint32 i = 0; i < nrenames; i++)
		if (!skip_numbers(r, 2) || !skip_string(r))
			return false;
	memset(column, 0, sizeof(*column));
	column->kind =
		flowdb_type_kind(oid, len, byval, (flags & FLOWDB_COLUMN_PLAIN) != 0,
						 (flags & FLOWDB_COLUMN_REAL) != 0);
	column->bytes = (uint32) Max(len, 0);
	return !(flags & FLOWDB_COLUMN_MISSING) || skip_string(r);
}

/* The description up to its columns; *np: how many there are. */
static bool
skip_head(Reader *r, uint32 *np)
{
	uint32 nkeys;

	if (r->p == r->end || *r->p < FLOWDB_DESCRIPTION_FIRST ||
		*r->p > FLOWDB_DESCRIPTION_LAST)
		return false;
	r->p++;
	if (!skip_numbers(r, 2) || !skip_string(r) || !get_number(r, &nkeys) ||
		nkeys > MaxAttrNumber)
		return false;
	for (uint32 i = 0; i < nkeys + 2; i++)
		if (!skip_role(r))
			return false;
	return get_number(r, np) && *np > 0 && *np <= FLOW_MAX_COLUMNS;
}

FlowStatus
flowdb_store_shape(FlowEnv *env, const void *blob, size_t blob_bytes,
				   FlowShape *shape)
{
	Reader r = {.p = blob, .end = (const uint8 *) blob + blob_bytes};
	FlowColumn *columns;
	uint32 n;

	if (!skip_head(&r, &n))
		return FLOW_NOTFOUND;
	columns = env->alloc(env, sizeof(FlowColumn) * n);
	if (columns == NULL)
		return FLOW_NOMEM;
	for (uint32 i = 0; i < n; i++)
		if (!get_column(&r, &columns[i]))
		{
			env->free(env, columns);
			return FLOW_NOTFOUND;
		}
	shape->ncolumns = n;
	shape->columns = columns;
	return FLOW_OK;
}
