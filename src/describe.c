/*-------------------------------------------------------------------------
 * describe.c
 *	  The description of a store, to and from bytes.
 *
 * Bytes from the engine have passed a checksum, but may come from another
 * build or a damaged memory: each length is checked before it is used.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "describe.h"

#include "../engine/coding.h"

/* A name in pg_type, pg_collation or pg_attribute is shorter. */
#define NAME_MAX_BYTES (NAMEDATALEN - 1)

/* ---------------------------------------------------------------- encoding */

static void
put_number(StringInfo buf, uint32 v)
{
	uint8 bytes[FLOW_VARINT32_MAX];

	appendBinaryStringInfo(buf, (char *) bytes,
						   (int) (flowi_put_varint(bytes, v) - bytes));
}

static void
put_bytes(StringInfo buf, const void *p, uint32 len)
{
	put_number(buf, len);
	appendBinaryStringInfo(buf, p, (int) len);
}

static void
put_string(StringInfo buf, const char *s)
{
	put_bytes(buf, s, (uint32) strlen(s));
}

static void
put_xid(StringInfo buf, uint64 xid)
{
	put_number(buf, (uint32) xid);
	put_number(buf, (uint32) (xid >> 32));
}

static void
put_type(StringInfo buf, const FlowdbTypeRef *ref)
{
	put_number(buf, ref->oid);
	put_number(buf, (uint32) ref->typmod);
	put_number(buf, (uint32) (ref->len + 2)); /* -2, -1 or a length */
	appendStringInfoCharMacro(buf, ref->byval ? 1 : 0);
	appendStringInfoCharMacro(buf, ref->align);
	put_string(buf, ref->schema);
	put_string(buf, ref->name);
	put_string(buf, ref->coll_schema);
	put_string(buf, ref->coll_name);
}

static void
put_role(StringInfo buf, const FlowdbRoleColumn *col)
{
	put_number(buf, (uint32) col->type);
	if (col->type == 0)
		return;
	put_string(buf, col->name);
	put_type(buf, &col->ref);
}

static uint8
column_flags(const FlowdbStoreColumn *col)
{
	return (col->dropped ? FLOWDB_COLUMN_DROPPED : 0) |
		   (col->dead ? FLOWDB_COLUMN_DEAD : 0) |
		   (col->has_missing ? FLOWDB_COLUMN_MISSING : 0) |
		   (col->ref.plain ? FLOWDB_COLUMN_PLAIN : 0) |
		   (col->ref.real ? FLOWDB_COLUMN_REAL : 0);
}

static void
put_column(StringInfo buf, const FlowdbStoreColumn *col)
{
	ListCell *lc;

	appendStringInfoCharMacro(buf, (char) column_flags(col));
	put_string(buf, col->name);
	put_type(buf, &col->ref);
	put_number(buf, (uint32) col->attnum);
	put_xid(buf, col->add_xid);
	put_number(buf, (uint32) list_length(col->renames));
	foreach (lc, col->renames)
	{
		const FlowdbRename *rename = lfirst(lc);

		put_xid(buf, rename->xid);
		put_string(buf, rename->old_name);
	}
	if (col->has_missing)
		put_bytes(buf, col->missing, col->missing_len);
}

void
flowdb_describe_encode(const FlowdbDescription *desc, StringInfo buf)
{
	uint8 version = FLOWDB_DESCRIPTION_FIRST;
	ListCell *lc;

	foreach (lc, desc->columns)
		if (column_flags(lfirst(lc)) >= FLOWDB_COLUMN_PLAIN)
			version = FLOWDB_DESCRIPTION_LAST;
	appendStringInfoCharMacro(buf, (char) version);
	put_xid(buf, desc->begin_xid);
	put_string(buf, desc->table);
	put_number(buf, (uint32) desc->nkeys);
	for (int i = 0; i < desc->nkeys; i++)
		put_role(buf, &desc->keys[i]);
	put_role(buf, &desc->time);
	put_role(buf, &desc->expire);
	put_number(buf, (uint32) list_length(desc->columns));
	foreach (lc, desc->columns)
		put_column(buf, lfirst(lc));
}

/* ---------------------------------------------------------------- decoding */

typedef struct Reader
{
	const uint8 *p;
	const uint8 *end;
	uint8 version;
} Reader;

static bool
get_number(Reader *r, uint32 *vp)
{
	return flowi_get_short_varint(&r->p, r->end, vp);
}

static bool
get_byte(Reader *r, uint8 *vp)
{
	if (r->p == r->end)
		return false;
	*vp = *r->p++;
	return true;
}

static bool
get_bytes(Reader *r, uint8 **bytesp, uint32 *lenp)
{
	if (!get_number(r, lenp) || *lenp > (Size) (r->end - r->p))
		return false;
	*bytesp = palloc(*lenp + 1);
	memcpy(*bytesp, r->p, *lenp);
	(*bytesp)[*lenp] = '\0';
	r->p += *lenp;
	return true;
}

/* A name of the server's, which is text of its encoding. */
static bool
get_name(Reader *r, char **namep)
{
	uint32 len;
	uint8 *bytes;

	if (!get_bytes(r, &bytes, &len) || len > NAME_MAX_BYTES ||
		!pg_verify_mbstr(GetDatabaseEncoding(), (char *) bytes, (int) len,
						 true))
		return false;
	*namep = (char *) bytes;
	return true;
}

static bool
get_xid(Reader *r, uint64 *xidp)
{
	uint32 low;
	uint32 high;

	if (!get_number(r, &low) || !get_number(r, &high))
		return false;
	*xidp = (uint64) high << 32 | low;
	return true;
}

/* What pg_type allows, so that nothing is read in a shape that no type has. */
static bool
type_ok(const FlowdbTypeRef *ref)
{
	if (ref->align != TYPALIGN_CHAR && ref->align != TYPALIGN_SHORT &&
		ref->align != TYPALIGN_INT && ref->align != TYPALIGN_DOUBLE)
		return false;
	if (ref->byval)
		return ref->len == 1 || ref->len == 2 || ref->len == 4 || ref->len == 8;
	return ref->len > 0 || ref->len == -1 || ref->len == -2;
}

static bool
get_type(Reader *r, FlowdbTypeRef *ref)
{
	uint32 oid;
	uint32 typmod;
	uint32 len;
	uint8 byval;
	uint8 align;

	if (!get_number(r, &oid) || !get_number(r, &typmod) ||
		!get_number(r, &len) || len > PG_INT16_MAX || !get_byte(r, &byval) ||
		byval > 1 || !get_byte(r, &align) || !get_name(r, &ref->schema) ||
		!get_name(r, &ref->name) || !get_name(r, &ref->coll_schema) ||
		!get_name(r, &ref->coll_name))
		return false;
	ref->oid = oid;
	ref->typmod = (int32) typmod;
	ref->len = (int16) ((int) len - 2);
	ref->byval = byval != 0;
	ref->align = (char) align;
	return type_ok(ref);
}

static bool
get_role(Reader *r, FlowdbRoleColumn *col, bool needed, int last_type)
{
	uint32 type;

	if (!get_number(r, &type) || type > (uint32) last_type)
		return false;
	col->type = (int) type;
	if (type == 0)
		return !needed;
	return get_name(r, &col->name) && get_type(r, &col->ref);
}

static bool
get_renames(Reader *r, FlowdbStoreColumn *col)
{
	uint32 n;

	if (!get_number(r, &n))
		return false;
	for (uint32 i = 0; i < n; i++)
	{
		FlowdbRename *rename = palloc0(sizeof(*rename));

		if (!get_xid(r, &rename->xid) || !get_name(r, &rename->old_name))
			return false;
		col->renames = lappend(col->renames, rename);
	}
	return true;
}

/* Is the missing value one of that type?  It is decoded without a row's
 * checks around it. */
static bool
missing_ok(const FlowdbStoreColumn *col)
{
	const uint8 *p = col->missing;
	const uint8 *end = p + col->missing_len;
	uint32 len;

	if (col->ref.len > 0)
		return end - p == col->ref.len;
	if (p == end)
		return false;
	if (col->ref.len == -1 && (*p & 1))
		return *p >> 1 == end - p;
	if (col->ref.len == -1 && *p++ != 0)
		return false;
	return flowi_get_short_varint(&p, end, &len) && len == (Size) (end - p);
}

static bool
get_column(Reader *r, FlowdbStoreColumn *col)
{
	uint8 last = r->version > 2 ? FLOWDB_COLUMN_REAL : FLOWDB_COLUMN_MISSING;
	uint8 flags;
	uint32 attnum;

	if (!get_byte(r, &flags) || flags >= 2 * last || !get_name(r, &col->name) ||
		!get_type(r, &col->ref) || !get_number(r, &attnum) ||
		attnum > MaxAttrNumber || !get_xid(r, &col->add_xid) ||
		!get_renames(r, col))
		return false;
	col->attnum = (AttrNumber) attnum;
	col->dropped = (flags & FLOWDB_COLUMN_DROPPED) != 0;
	col->dead = (flags & FLOWDB_COLUMN_DEAD) != 0;
	col->has_missing = (flags & FLOWDB_COLUMN_MISSING) != 0;
	col->ref.plain = (flags & FLOWDB_COLUMN_PLAIN) != 0;
	col->ref.real = (flags & FLOWDB_COLUMN_REAL) != 0;
	return !col->has_missing ||
		   (get_bytes(r, &col->missing, &col->missing_len) && missing_ok(col));
}

bool
flowdb_describe_is_newer(const uint8 *bytes, Size len)
{
	return len > 0 && bytes[0] > FLOWDB_DESCRIPTION_LAST;
}

bool
flowdb_describe_decode(const uint8 *bytes, Size len, FlowdbDescription *desc)
{
	Reader r = {.p = bytes, .end = bytes + len};
	uint32 n;

	memset(desc, 0, sizeof(*desc));
	if (!get_byte(&r, &r.version) || r.version < FLOWDB_DESCRIPTION_FIRST ||
		r.version > FLOWDB_DESCRIPTION_LAST || !get_xid(&r, &desc->begin_xid) ||
		!get_name(&r, &desc->table) || !get_number(&r, &n) || n == 0 ||
		n > MaxAttrNumber)
		return false;
	desc->nkeys = (int) n;
	desc->keys = palloc0(sizeof(FlowdbRoleColumn) * n);
	for (uint32 i = 0; i < n; i++)
		if (!get_role(&r, &desc->keys[i], true, FLOWDB_KEY_TIMESTAMPTZ))
			return false;
	if (!get_role(&r, &desc->time, false, FLOWDB_TIME_DATE) ||
		!get_role(&r, &desc->expire, false, FLOWDB_TIME_DATE) ||
		!get_number(&r, &n) || n > PG_INT16_MAX)
		return false;
	for (uint32 i = 0; i < n; i++)
	{
		FlowdbStoreColumn *col = palloc0(sizeof(*col));

		if (!get_column(&r, col))
			return false;
		desc->columns = lappend(desc->columns, col);
	}
	return r.p == r.end;
}

/* ------------------------------------------------------------------- types */

bool
flowdb_is_real(Oid type)
{
	type = getBaseType(type);
	return type == FLOAT4OID || type == FLOAT8OID;
}

void
flowdb_describe_type(Form_pg_attribute att, FlowdbTypeRef *ref)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(att->atttypid));
	Form_pg_type type;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", att->atttypid);
	type = (Form_pg_type) GETSTRUCT(tuple);
	ref->oid = att->atttypid;
	ref->typmod = att->atttypmod;
	ref->len = att->attlen;
	ref->byval = att->attbyval;
	ref->align = att->attalign;
	ref->plain = att->attlen == -1 && type->typstorage == TYPSTORAGE_PLAIN &&
				 flowdb_type_kind(ref->oid, ref->len, false, false, false) !=
					 FLOW_COLUMN_PLAIN;
	ref->real = type->typtype == TYPTYPE_DOMAIN && flowdb_is_real(ref->oid);
	ref->schema = get_namespace_name(type->typnamespace);
	ref->name = pstrdup(NameStr(type->typname));
	ref->coll_schema = "";
	ref->coll_name = "";
	if (OidIsValid(att->attcollation) &&
		att->attcollation != type->typcollation)
	{
		HeapTuple coll =
			SearchSysCache1(COLLOID, ObjectIdGetDatum(att->attcollation));
		Form_pg_collation form;

		if (!HeapTupleIsValid(coll))
			elog(ERROR, "cache lookup failed for collation %u",
				 att->attcollation);
		form = (Form_pg_collation) GETSTRUCT(coll);
		ref->coll_schema = get_namespace_name(form->collnamespace);
		ref->coll_name = pstrdup(NameStr(form->collname));
		ReleaseSysCache(coll);
	}
	ReleaseSysCache(tuple);
	if (ref->schema == NULL)
		ref->schema = ""; /* being dropped */
	if (ref->coll_schema == NULL)
		ref->coll_schema = "";
}
