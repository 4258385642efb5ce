/*-------------------------------------------------------------------------
 * convert.c
 *	  Rows to records and back: key bytes, time, and the row of values.
 *
 * The hot path of every scan and load.  A row is decoded in place where that
 * is possible: short varlena and unaligned types point into the scan's
 * vector, by-value types become Datums, and only the rest is copied, into a
 * context that is reset by the next row.  Bytes: doc/FORMAT.md.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "fdw.h"

#define ROW_VERSION 1
#define EPOCH_DIFF_US \
	(((int64) POSTGRES_EPOCH_JDATE - (int64) UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Inside a key of several columns. */
#define KEY_ESCAPED 0xff /* after 0x00: a zero byte of the value */
#define KEY_END 0x01	 /* after 0x00: end of the value */

/* -------------------------------------------------------------------- time */

bool
flowdb_time_encode(TimestampTz t, int64 *usp)
{
	if (TIMESTAMP_IS_NOBEGIN(t))
		*usp = PG_INT64_MIN;
	else if (TIMESTAMP_IS_NOEND(t))
		*usp = PG_INT64_MAX;
	else if (pg_add_s64_overflow(t, EPOCH_DIFF_US, usp) || *usp == PG_INT64_MAX)
		return false;
	return true;
}

bool
flowdb_time_decode(int64 us, TimestampTz *tp)
{
	if (us == PG_INT64_MIN)
		TIMESTAMP_NOBEGIN(*tp);
	else if (us == PG_INT64_MAX)
		TIMESTAMP_NOEND(*tp);
	else if (pg_sub_s64_overflow(us, EPOCH_DIFF_US, tp) ||
			 !IS_VALID_TIMESTAMP(*tp))
		return false;
	return true;
}

/* The time at which expiry is judged. */
int64
flowdb_statement_now(void)
{
	return GetCurrentStatementStartTimestamp() + EPOCH_DIFF_US;
}

int64
flowdb_encode_time(Datum value, FlowdbTimeType type)
{
	int64 us;

	if (type == FLOWDB_TIME_BIGINT)
		return DatumGetInt64(value);
	if (!flowdb_time_encode(DatumGetTimestampTz(value), &us))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range for FlowDB"),
						errdetail("Times are kept as microseconds since 1970 "
								  "in 64 bits.")));
	return us;
}

static Datum
decode_time(int64 us, FlowdbTimeType type)
{
	TimestampTz t;

	if (type == FLOWDB_TIME_BIGINT)
		return Int64GetDatum(us);
	if (!flowdb_time_decode(us, &t))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range"),
						errdetail("The stored time is " INT64_FORMAT
								  " microseconds since 1970.",
								  us)));
	return TimestampTzGetDatum(t);
}

/* ---------------------------------------------------------------- encoding */

void
flowdb_encoder_init(FlowdbEncoder *enc, Relation rel, const FlowdbTable *table)
{
	memset(enc, 0, sizeof(*enc));
	enc->rel = rel;
	enc->table = table;
	initStringInfo(&enc->key);
	initStringInfo(&enc->value);
}

/*
 * flowdb_encode_key_part
 *		Append one key column's value, or the beginning of one (end false).
 *
 * A single key column is its bytes.  Among several, zero bytes are escaped
 * and the end is marked, so that the whole compares bytewise as the columns
 * do one after the other.
 */
void
flowdb_encode_key_part(const FlowdbTable *table, StringInfo buf,
					   const void *data, Size len, bool end)
{
	const char *p = data;

	if (len > MaxAllocSize / 4)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("key is too long")));
	if (table->nkeys == 1)
	{
		appendBinaryStringInfo(buf, p, (int) len);
		return;
	}
	for (Size i = 0; i < len; i++)
	{
		appendStringInfoCharMacro(buf, p[i]);
		if (p[i] == '\0')
			appendStringInfoCharMacro(buf, (char) KEY_ESCAPED);
	}
	if (end)
	{
		appendStringInfoCharMacro(buf, '\0');
		appendStringInfoCharMacro(buf, KEY_END);
	}
}

static void
null_error(const FlowdbEncoder *enc, AttrNumber attnum, const char *role)
{
	Form_pg_attribute att =
		TupleDescAttr(RelationGetDescr(enc->rel), attnum - 1);

	ereport(ERROR,
			(errcode(ERRCODE_NOT_NULL_VIOLATION),
			 errmsg("null value in column \"%s\" of foreign table \"%s\"",
					NameStr(att->attname), RelationGetRelationName(enc->rel)),
			 errdetail("The column has the role \"%s\".", role),
			 errtablecol(enc->rel, attnum)));
}

static void
encode_key(FlowdbEncoder *enc, TupleTableSlot *slot)
{
	const FlowdbTable *table = enc->table;

	resetStringInfo(&enc->key);
	for (int i = 0; i < table->nkeys; i++)
	{
		int a = table->keys[i].attnum - 1;
		struct varlena *v;

		if (slot->tts_isnull[a])
			null_error(enc, table->keys[i].attnum, "key");
		v = PG_DETOAST_DATUM_PACKED(slot->tts_values[a]);
		flowdb_encode_key_part(table, &enc->key, VARDATA_ANY(v),
							   VARSIZE_ANY_EXHDR(v), true);
	}
	if (enc->key.len > (int) FLOW_MAX_KEY)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("key of foreign table \"%s\" is too long",
							   RelationGetRelationName(enc->rel)),
						errdetail("It takes %d bytes; the maximum is %u.",
								  enc->key.len, FLOW_MAX_KEY)));
}

static void
encode_times(FlowdbEncoder *enc, TupleTableSlot *slot)
{
	const FlowdbTable *table = enc->table;

	enc->ts = 0;
	if (table->time_attnum != 0)
	{
		if (slot->tts_isnull[table->time_attnum - 1])
			null_error(enc, table->time_attnum, "time");
		enc->ts = flowdb_encode_time(slot->tts_values[table->time_attnum - 1],
									 table->time_type);
	}
	enc->expire_at = FLOW_NEVER;
	if (table->expire_attnum != 0 &&
		!slot->tts_isnull[table->expire_attnum - 1])
		enc->expire_at = flowdb_encode_time(
			slot->tts_values[table->expire_attnum - 1], table->expire_type);
}

/* Room for len more bytes of value; the limit is checked before copying. */
static uint8 *
value_room(FlowdbEncoder *enc, Size len)
{
	StringInfo buf = &enc->value;

	if (len > FLOW_MAX_VALUE - (Size) buf->len)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("row of foreign table \"%s\" is too long",
							   RelationGetRelationName(enc->rel)),
						errdetail("The values of a row may take %u bytes.",
								  FLOW_MAX_VALUE)));
	if (buf->len + (int) len >= buf->maxlen)
		enlargeStringInfo(buf, (int) len);
	return (uint8 *) buf->data + buf->len;
}

static void
encode_varlena(FlowdbEncoder *enc, const FlowdbValueColumn *col, Datum value)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);
	Size len = VARSIZE_ANY_EXHDR(v);
	uint8 *p;

	if (col->packed && len + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
	{
		p = value_room(enc, len + 1);
		*p++ = (uint8) ((len + 1) << 1 | 1);
	}
	else
	{
		p = value_room(enc, len + 1 + FLOWDB_VARINT_MAX);
		*p++ = 0;
		p = flowdb_put_varint(p, (uint32) len);
	}
	memcpy(p, VARDATA_ANY(v), len);
	enc->value.len = (int) (p + len - (uint8 *) enc->value.data);
}

static void
encode_value(FlowdbEncoder *enc, const FlowdbValueColumn *col, Datum value)
{
	Size len;
	uint8 *p;

	if (col->len == -1)
	{
		encode_varlena(enc, col, value);
		return;
	}
	if (col->len == -2)
	{
		len = strlen(DatumGetCString(value));
		p = value_room(enc, len + FLOWDB_VARINT_MAX);
		p = flowdb_put_varint(p, (uint32) len);
		memcpy(p, DatumGetCString(value), len);
		enc->value.len = (int) (p + len - (uint8 *) enc->value.data);
		return;
	}
	len = (Size) col->len;
	p = value_room(enc, len);
	if (col->byval)
	{
		union
		{
			char c;
			int16 i2;
			int32 i4;
			Datum d;
		} u;

		switch (col->len)
		{
			case 1:
				u.c = DatumGetChar(value);
				break;
			case 2:
				u.i2 = DatumGetInt16(value);
				break;
			case 4:
				u.i4 = DatumGetInt32(value);
				break;
			default:
				u.d = value;
		}
		memcpy(p, &u, len);
	}
	else
		memcpy(p, DatumGetPointer(value), len);
	enc->value.len += (int) len;
}

static void
encode_values(FlowdbEncoder *enc, TupleTableSlot *slot)
{
	const FlowdbLayout *layout = enc->layout;
	const bool *isnull = slot->tts_isnull;
	int n = layout->ncolumns;
	bool nulls = false;
	uint8 *p;

	resetStringInfo(&enc->value);
	for (int i = 0; i < n && !nulls; i++)
		nulls = layout->columns[i].attnum == 0 ||
				isnull[layout->columns[i].attnum - 1];

	p = value_room(enc, 1 + FLOWDB_VARINT_MAX + (Size) (n + 7) / 8);
	*p++ = ROW_VERSION;
	p = flowdb_put_varint(p, (uint32) n << 1 | (nulls ? 1 : 0));
	if (nulls)
	{
		memset(p, 0, (Size) (n + 7) / 8);
		for (int i = 0; i < n; i++)
			if (layout->columns[i].attnum == 0 ||
				isnull[layout->columns[i].attnum - 1])
				p[i / 8] |= (uint8) (1 << (i % 8));
		p += (n + 7) / 8;
	}
	enc->value.len = (int) (p - (uint8 *) enc->value.data);

	for (int i = 0; i < n; i++)
	{
		const FlowdbValueColumn *col = &layout->columns[i];

		if (col->attnum != 0 && !isnull[col->attnum - 1])
			encode_value(enc, col, slot->tts_values[col->attnum - 1]);
	}
}

/*
 * flowdb_encode
 *		The slot's row into enc->key, ts, expire_at and value.
 *
 * Throws 23502 for a NULL key or time, 22008 for a time out of range, 54000
 * for a key or row that is too long.
 */
void
flowdb_encode(FlowdbEncoder *enc, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	encode_key(enc, slot);
	encode_times(enc, slot);
	encode_values(enc, slot);
}

/* ---------------------------------------------------------------- decoding */

FlowdbDecoder *
flowdb_decoder_create(Relation rel, const FlowdbTable *table,
					  const FlowdbLayout *layout, Bitmapset *wanted)
{
	FlowdbDecoder *dec = palloc0(sizeof(FlowdbDecoder));

#define WANTED(attnum) \
	bms_is_member((attnum) -FirstLowInvalidHeapAttributeNumber, wanted)

	dec->relname = pstrdup(RelationGetRelationName(rel));
	dec->table = table;
	dec->layout = layout;
	dec->want_keys = palloc0(sizeof(bool) * table->nkeys);
	dec->key_datums = palloc0(sizeof(Datum) * table->nkeys);
	for (int i = 0; i < table->nkeys; i++)
		if (WANTED(table->keys[i].attnum))
			dec->want_key = dec->want_keys[i] = true;
	dec->want_time = table->time_attnum != 0 && WANTED(table->time_attnum);
	dec->want_expire =
		table->expire_attnum != 0 && WANTED(table->expire_attnum);
	dec->wanted = palloc(sizeof(int) * (layout->ncolumns + 1));
	for (int i = 0; i < layout->ncolumns; i++)
		if (layout->columns[i].attnum != 0 && WANTED(layout->columns[i].attnum))
			dec->wanted[dec->nwanted++] = i;
	dec->row_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB row values", ALLOCSET_SMALL_SIZES);
#undef WANTED
	return dec;
}

static void
corrupt_row(const FlowdbDecoder *dec, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("damaged row in FlowDB store \"%s\"", dec->table->store),
			 errdetail("Read through foreign table \"%s\": %s.", dec->relname,
					   what),
			 errhint("Restore the database's directory from a backup.")));
}

/*
 * Bytes of a text key may have come through a bytea column of another table
 * on the same store, so they are verified.
 */
static Datum
make_key(FlowdbDecoder *dec, int number, const uint8 *data, Size len)
{
	struct varlena *v;

	if (dec->table->keys[number].type == FLOWDB_KEY_TEXT &&
		!pg_verify_mbstr(GetDatabaseEncoding(), (const char *) data, (int) len,
						 true))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a key in FlowDB store \"%s\" is not valid text",
						dec->table->store),
				 errhint("Read it through a foreign table whose key column is "
						 "of type bytea.")));
	v = (struct varlena *) DatumGetPointer(dec->key_datums[number]);
	SET_VARSIZE(v, len + VARHDRSZ);
	memcpy(VARDATA(v), data, len);
	return PointerGetDatum(v);
}

/* Take one column off an encoded key of several; unescapes into out. */
static const uint8 *
split_key(FlowdbDecoder *dec, const uint8 *p, const uint8 *end, uint8 *out,
		  Size *lenp)
{
	Size len = 0;

	for (;;)
	{
		if (p >= end)
			corrupt_row(dec, "the key ends inside a column");
		if (*p != 0)
		{
			out[len++] = *p++;
			continue;
		}
		if (end - p < 2 || (p[1] != KEY_ESCAPED && p[1] != KEY_END))
			corrupt_row(dec, "the key has a wrong escape");
		p += 2;
		if (p[-1] == KEY_END)
			break;
		out[len++] = 0;
	}
	*lenp = len;
	return p;
}

/* Buffers for a key of len bytes: each column's Datum and the bytes. */
static void
grow_key(FlowdbDecoder *dec, Size len)
{
	MemoryContext cxt = GetMemoryChunkContext(dec);
	Size cap = Max(len, 128);

	for (int i = 0; i < dec->table->nkeys; i++)
	{
		if (dec->key_datums[i])
			pfree(DatumGetPointer(dec->key_datums[i]));
		dec->key_datums[i] =
			PointerGetDatum(MemoryContextAlloc(cxt, cap + VARHDRSZ));
	}
	if (dec->key_bytes)
		pfree(dec->key_bytes);
	dec->key_bytes = MemoryContextAlloc(cxt, cap);
	dec->key_cap = cap;
}

/* A series has many rows: the key's Datums are made once for all of them. */
static void
decode_key(FlowdbDecoder *dec, const uint8 *key, Size len)
{
	const FlowdbTable *table = dec->table;

	if (dec->key_valid && dec->key_len == len &&
		memcmp(dec->key_bytes, key, len) == 0)
		return;
	dec->key_valid = false;
	if (len > dec->key_cap || !dec->key_bytes)
		grow_key(dec, len);
	if (table->nkeys == 1)
		make_key(dec, 0, key, len);
	else
	{
		const uint8 *p = key;

		for (int i = 0; i < table->nkeys; i++)
		{
			Size part;

			p = split_key(dec, p, key + len, dec->key_bytes, &part);
			make_key(dec, i, dec->key_bytes, part);
		}
		if (p != key + len)
			corrupt_row(dec, "the key is longer than its columns");
	}
	memcpy(dec->key_bytes, key, len);
	dec->key_len = len;
	dec->key_valid = true;
}

static inline Datum
load_byval(int16 len, const uint8 *p)
{
	int16 i2;
	int32 i4;
	Datum d;

	switch (len)
	{
		case 1:
			return CharGetDatum((char) *p);
		case 2:
			memcpy(&i2, p, sizeof(i2));
			return Int16GetDatum(i2);
		case 4:
			memcpy(&i4, p, sizeof(i4));
			return Int32GetDatum(i4);
		default:
			memcpy(&d, p, sizeof(d));
			return d;
	}
}

static void *
copy_value(FlowdbDecoder *dec, Size header, const uint8 *p, Size len, Size tail)
{
	char *copy = MemoryContextAlloc(dec->row_cxt, header + len + tail);

	dec->row_dirty = true;
	memcpy(copy + header, p, len);
	return copy;
}

/*
 * The value of a column of varying length at *pp; steps over it.  With make
 * false it is only stepped over.
 */
static Datum
load_varying(FlowdbDecoder *dec, const FlowdbValueColumn *col, const uint8 **pp,
			 const uint8 *end, bool make)
{
	const uint8 *start = *pp;
	const uint8 *p = start;
	uint32 len;
	char *copy;

	if (p >= end)
		corrupt_row(dec, "a value is missing");
	if (col->len == -1 && (*p & 1))
	{
		len = *p >> 1; /* with its header byte */
		if (len < 1 || len > (Size) (end - p))
			corrupt_row(dec, "a value has a wrong length");
		*pp = p + len;
		if (!make || col->packed)
			return PointerGetDatum(start);
		p++;
		len--;
	}
	else
	{
		if (col->len == -1 && *p++ != 0)
			corrupt_row(dec, "a value has a wrong header");
		if (!flowdb_get_varint(&p, end, &len) || len > (Size) (end - p))
			corrupt_row(dec, "a value has a wrong length");
		*pp = p + len;
	}
	if (!make)
		return (Datum) 0;
	if (col->len == -2)
	{
		copy = copy_value(dec, 0, p, len, 1);
		copy[len] = '\0';
		return CStringGetDatum(copy);
	}
	copy = copy_value(dec, VARHDRSZ, p, len, 0);
	SET_VARSIZE(copy, len + VARHDRSZ);
	return PointerGetDatum(copy);
}

static inline Datum
load_fixed(FlowdbDecoder *dec, const FlowdbValueColumn *col, const uint8 *p)
{
	if (col->byval)
		return load_byval(col->len, p);
	if (col->copy)
		return PointerGetDatum(copy_value(dec, 0, p, (Size) col->len, 0));
	return PointerGetDatum(p);
}

static inline bool
is_null(const uint8 *nulls, int column)
{
	return nulls && (nulls[column / 8] & (1 << (column % 8)));
}

/* A row's header: number of columns, NULLs if any; returns what follows. */
static inline const uint8 *
row_header(const FlowdbDecoder *dec, const uint8 *p, const uint8 *end,
		   int *ncolumnsp, const uint8 **nullsp)
{
	uint32 head;

	if (p >= end || *p++ != ROW_VERSION)
		corrupt_row(dec, "its version is unknown");
	if (!flowdb_get_varint(&p, end, &head) || head >> 1 > PG_INT16_MAX)
		corrupt_row(dec, "its number of columns is wrong");
	*ncolumnsp = (int) (head >> 1);
	*nullsp = NULL;
	if (head & 1)
	{
		*nullsp = p;
		if ((*ncolumnsp + 7) / 8 > end - p)
			corrupt_row(dec, "it ends in its header");
		p += (*ncolumnsp + 7) / 8;
	}
	return p;
}

/* From column number from, which starts at p, to the start of number to. */
static const uint8 *
skip_columns(FlowdbDecoder *dec, const uint8 *p, const uint8 *end,
			 const uint8 *nulls, int from, int to)
{
	const FlowdbValueColumn *columns = dec->layout->columns;

	for (int c = from; c < to; c++)
	{
		if (is_null(nulls, c))
			continue;
		if (columns[c].len < 0)
			(void) load_varying(dec, &columns[c], &p, end, false);
		else if (columns[c].len > end - p)
			corrupt_row(dec, "it is too short");
		else
			p += columns[c].len;
	}
	return p;
}

/*
 * The wanted value columns of a row.  Columns at fixed offsets are loaded
 * directly; from the first other one on the row is walked.
 */
static void
decode_values(FlowdbDecoder *dec, const uint8 *row, Size bytes, Datum *values,
			  bool *isnull)
{
	const uint8 *end = row + bytes;
	const uint8 *nulls;
	int ncolumns;
	const uint8 *first = row_header(dec, row, end, &ncolumns, &nulls);
	const uint8 *p = first;
	int at = 0; /* number of the column that starts at p */

	for (int w = 0; w < dec->nwanted; w++)
	{
		int c = dec->wanted[w];
		const FlowdbValueColumn *col = &dec->layout->columns[c];
		int a = col->attnum - 1;

		isnull[a] = c >= ncolumns || is_null(nulls, c);
		if (isnull[a])
			continue;
		if (!nulls && col->offset >= 0)
		{
			if (col->offset > end - first)
				corrupt_row(dec, "it is too short");
			p = first + col->offset;
		}
		else
			p = skip_columns(dec, p, end, nulls, at, c);
		if (col->len < 0)
			values[a] = load_varying(dec, col, &p, end, true);
		else
		{
			if (col->len > end - p)
				corrupt_row(dec, "it is too short");
			values[a] = load_fixed(dec, col, p);
			p += col->len;
		}
		at = c + 1;
	}
}

/*
 * flowdb_decode
 *		Row number row of vec into values and isnull, wanted columns only.
 *
 * What is made here is valid until the next call, or until vec changes.
 */
void
flowdb_decode(FlowdbDecoder *dec, const FlowVector *vec, uint32 row,
			  Datum *values, bool *isnull)
{
	const FlowdbTable *table = dec->table;

	if (dec->row_dirty)
	{
		MemoryContextReset(dec->row_cxt);
		dec->row_dirty = false;
	}
	if (dec->want_key)
	{
		decode_key(dec, vec->key[row], vec->key_bytes[row]);
		for (int i = 0; i < table->nkeys; i++)
			if (dec->want_keys[i])
			{
				values[table->keys[i].attnum - 1] = dec->key_datums[i];
				isnull[table->keys[i].attnum - 1] = false;
			}
	}
	if (dec->want_time)
	{
		values[table->time_attnum - 1] =
			decode_time(vec->ts[row], table->time_type);
		isnull[table->time_attnum - 1] = false;
	}
	if (dec->want_expire)
	{
		values[table->expire_attnum - 1] =
			decode_time(vec->expire_at[row], table->expire_type);
		isnull[table->expire_attnum - 1] = false;
	}
	if (dec->nwanted > 0)
		decode_values(dec, vec->value[row], vec->value_bytes[row], values,
					  isnull);
}
