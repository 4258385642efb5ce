/*-------------------------------------------------------------------------
 * keytype.c
 *	  Types of key columns: which there are, their bytes and back.
 *
 * The engine knows one order, that of unsigned bytes.  So a number is stored
 * big-endian with its sign bit flipped, and a text or bytea among several
 * columns has an end that is lower than anything that may follow within it.
 * Bytes: doc/FORMAT.md "Key".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "fdw.h"
#include "keytype.h"

/* Inside a key of several columns. */
#define KEY_ESCAPED 0xff /* after 0x00: a zero byte of the value */
#define KEY_END 0x01	 /* after 0x00: end of the value */

/* btree operators on uuid: no name of its own */
#define UUID_BTREE_FAM_OID 2968

/* ------------------------------------------------------------- properties */

typedef struct KeyTypeInfo
{
	Oid operand; /* what its operators take */
	Oid family;
	int width; /* encoded; 0: varies */
} KeyTypeInfo;

static const KeyTypeInfo infos[] = {
	[FLOWDB_KEY_TEXT] = {TEXTOID, TEXT_BTREE_FAM_OID, 0},
	[FLOWDB_KEY_BYTEA] = {BYTEAOID, BYTEA_BTREE_FAM_OID, 0},
	[FLOWDB_KEY_INT2] = {INT2OID, INTEGER_BTREE_FAM_OID, 2},
	[FLOWDB_KEY_INT4] = {INT4OID, INTEGER_BTREE_FAM_OID, 4},
	[FLOWDB_KEY_INT8] = {INT8OID, INTEGER_BTREE_FAM_OID, 8},
	[FLOWDB_KEY_BOOL] = {BOOLOID, BOOL_BTREE_FAM_OID, 1},
	[FLOWDB_KEY_UUID] = {UUIDOID, UUID_BTREE_FAM_OID, UUID_LEN},
	[FLOWDB_KEY_DATE] = {DATEOID, FLOWDB_DATETIME_FAM_OID, 4},
	[FLOWDB_KEY_TIMESTAMP] = {TIMESTAMPOID, FLOWDB_DATETIME_FAM_OID, 8},
	[FLOWDB_KEY_TIMESTAMPTZ] = {TIMESTAMPTZOID, FLOWDB_DATETIME_FAM_OID, 8},
};

bool
flowdb_key_type(Oid basetype, FlowdbKeyType *typep)
{
	if (basetype == VARCHAROID)
		basetype = TEXTOID;
	for (int i = FLOWDB_KEY_TEXT; i < (int) lengthof(infos); i++)
		if (infos[i].operand == basetype)
		{
			*typep = (FlowdbKeyType) i;
			return true;
		}
	return false;
}

const char *
flowdb_key_types_allowed(void)
{
	return "text, character varying, bytea, smallint, integer, bigint, "
		   "boolean, uuid, date, timestamp, timestamp with time zone";
}

Oid
flowdb_key_family(FlowdbKeyType type)
{
	return infos[type].family;
}

Oid
flowdb_key_operand(FlowdbKeyType type)
{
	return infos[type].operand;
}

int
flowdb_key_width(FlowdbKeyType type)
{
	return infos[type].width;
}

/* --------------------------------------------------------------- encoding */

void
flowdb_key_append_bytes(StringInfo buf, const void *data, Size len,
						bool several, bool end)
{
	const char *p = data;
	const char *stop = p + len;

	if (len > MaxAllocSize / 4)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("key is too long")));
	if (!several)
	{
		appendBinaryStringInfo(buf, p, (int) len);
		return;
	}
	while (p < stop)
	{
		const char *zero = memchr(p, '\0', (Size) (stop - p));
		const char *upto = zero ? zero + 1 : stop;

		appendBinaryStringInfo(buf, p, (int) (upto - p));
		if (zero)
			appendStringInfoCharMacro(buf, (char) KEY_ESCAPED);
		p = upto;
	}
	if (end)
	{
		appendStringInfoCharMacro(buf, '\0');
		appendStringInfoCharMacro(buf, KEY_END);
	}
}

static void
append_int16(StringInfo buf, int16 v)
{
	uint16 n = pg_hton16((uint16) v ^ 0x8000);

	appendBinaryStringInfo(buf, (const char *) &n, sizeof(n));
}

static void
append_int32(StringInfo buf, int32 v)
{
	uint32 n = pg_hton32((uint32) v ^ ((uint32) 1 << 31));

	appendBinaryStringInfo(buf, (const char *) &n, sizeof(n));
}

static void
append_int64(StringInfo buf, int64 v)
{
	uint64 n = pg_hton64((uint64) v ^ ((uint64) 1 << 63));

	appendBinaryStringInfo(buf, (const char *) &n, sizeof(n));
}

void
flowdb_key_append(StringInfo buf, FlowdbKeyType type, Datum value, bool several)
{
	struct varlena *v;

	switch (type)
	{
		case FLOWDB_KEY_TEXT:
		case FLOWDB_KEY_BYTEA:
			v = PG_DETOAST_DATUM_PACKED(value);
			flowdb_key_append_bytes(buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v),
									several, true);
			break;
		case FLOWDB_KEY_INT2:
			append_int16(buf, DatumGetInt16(value));
			break;
		case FLOWDB_KEY_INT4:
			append_int32(buf, DatumGetInt32(value));
			break;
		case FLOWDB_KEY_DATE:
			append_int32(buf, DatumGetDateADT(value));
			break;
		case FLOWDB_KEY_INT8:
		case FLOWDB_KEY_TIMESTAMP:
		case FLOWDB_KEY_TIMESTAMPTZ:
			append_int64(buf, DatumGetInt64(value));
			break;
		case FLOWDB_KEY_BOOL:
			appendStringInfoCharMacro(buf, DatumGetBool(value) ? 1 : 0);
			break;
		case FLOWDB_KEY_UUID:
			appendBinaryStringInfo(
				buf, (const char *) DatumGetUUIDP(value)->data, UUID_LEN);
			break;
	}
}

/* --------------------------------------------------------------- decoding */

/* The bytes of a text or bytea, unescaped into out. */
static bool
take_bytes(const uint8 **pp, const uint8 *end, bool several, uint8 *out,
		   Size *lenp)
{
	const uint8 *p = *pp;
	Size len = 0;

	if (!several)
	{
		*lenp = (Size) (end - p);
		memcpy(out, p, *lenp);
		*pp = end;
		return true;
	}
	for (;;)
	{
		const uint8 *zero = memchr(p, 0, (Size) (end - p));

		if (!zero || end - zero < 2)
			return false;
		memcpy(out + len, p, (Size) (zero - p));
		len += (Size) (zero - p);
		p = zero + 2;
		if (zero[1] == KEY_END)
			break;
		if (zero[1] != KEY_ESCAPED)
			return false;
		out[len++] = 0;
	}
	*pp = p;
	*lenp = len;
	return true;
}

/* An 8-byte value, which needs out where Datums are smaller. */
static Datum
int64_datum(int64 v, uint8 *out)
{
	if (FLOAT8PASSBYVAL)
		return Int64GetDatum(v);
	memcpy(out, &v, sizeof(v));
	return PointerGetDatum(out);
}

/* Is it in PostgreSQL's calendar?  What is not could not be shown. */
static bool
valid_date(DateADT d)
{
	return DATE_NOT_FINITE(d) || IS_VALID_DATE(d);
}

static bool
valid_timestamp(Timestamp t)
{
	return TIMESTAMP_NOT_FINITE(t) || IS_VALID_TIMESTAMP(t);
}

static int16
load_int16(const uint8 *p)
{
	uint16 n;

	memcpy(&n, p, sizeof(n));
	return (int16) (pg_ntoh16(n) ^ 0x8000);
}

static int32
load_int32(const uint8 *p)
{
	uint32 n;

	memcpy(&n, p, sizeof(n));
	return (int32) (pg_ntoh32(n) ^ ((uint32) 1 << 31));
}

static int64
load_int64(const uint8 *p)
{
	uint64 n;

	memcpy(&n, p, sizeof(n));
	return (int64) (pg_ntoh64(n) ^ ((uint64) 1 << 63));
}

bool
flowdb_key_take(FlowdbKeyType type, const uint8 **pp, const uint8 *end,
				bool several, uint8 *out, Size *lenp, Datum *valuep)
{
	int width = infos[type].width;
	const uint8 *p = *pp;

	if (width == 0)
		return take_bytes(pp, end, several, out, lenp);
	if (end - p < width || (!several && end - p != width))
		return false;
	*pp = p + width;
	switch (type)
	{
		case FLOWDB_KEY_INT2:
			*valuep = Int16GetDatum(load_int16(p));
			break;
		case FLOWDB_KEY_INT4:
			*valuep = Int32GetDatum(load_int32(p));
			break;
		case FLOWDB_KEY_DATE:
			*valuep = DateADTGetDatum(load_int32(p));
			return valid_date(load_int32(p));
		case FLOWDB_KEY_INT8:
			*valuep = int64_datum(load_int64(p), out);
			break;
		case FLOWDB_KEY_TIMESTAMP:
		case FLOWDB_KEY_TIMESTAMPTZ:
			*valuep = int64_datum(load_int64(p), out);
			return valid_timestamp(load_int64(p));
		case FLOWDB_KEY_BOOL:
			*valuep = BoolGetDatum(*p != 0);
			return *p <= 1;
		case FLOWDB_KEY_UUID:
			memcpy(out, p, UUID_LEN);
			*valuep = PointerGetDatum(out);
			break;
		default:
			return false;
	}
	return true;
}
