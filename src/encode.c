/*-------------------------------------------------------------------------
 * encode.c
 *	  Rows to records: key bytes, time, expiry, and the row of values.
 *
 * The hot path of every load: buffers are reused, and a varlena is copied
 * once, from where the executor has it.  Bytes: doc/FORMAT.md "Rows".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/rel.h"

#include "fdw.h"

#include "../engine/coding.h"

void
flowdb_encoder_init(FlowdbEncoder *enc, Relation rel, const FlowdbTable *table)
{
	memset(enc, 0, sizeof(*enc));
	enc->rel = rel;
	enc->table = table;
	initStringInfo(&enc->key);
	initStringInfo(&enc->value);
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

		if (slot->tts_isnull[a])
			null_error(enc, table->keys[i].attnum, "key");
		flowdb_key_append(&enc->key, table->keys[i].type, slot->tts_values[a],
						  table->nkeys > 1);
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
	if (table->expire_attnum != 0 &&
		!slot->tts_isnull[table->expire_attnum - 1])
		enc->expire_at = flowdb_encode_time(
			slot->tts_values[table->expire_attnum - 1], table->expire_type);
	else
		enc->expire_at = flowdb_row_expiry(table, enc->ts);
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
		p = value_room(enc, len + 1 + FLOW_VARINT32_MAX);
		*p++ = 0;
		p = flowi_put_varint(p, (uint32) len);
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
		p = value_room(enc, len + FLOW_VARINT32_MAX);
		p = flowi_put_varint(p, (uint32) len);
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

void
flowdb_encode_missing(Relation rel, const FlowdbValueColumn *col, Datum value,
					  StringInfo buf)
{
	FlowdbEncoder enc = {.rel = rel};

	initStringInfo(&enc.value);
	encode_value(&enc, col, value);
	appendBinaryStringInfo(buf, enc.value.data, enc.value.len);
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

	p = value_room(enc, 1 + FLOW_VARINT32_MAX + (Size) (n + 7) / 8);
	*p++ = FLOWDB_ROW_VERSION;
	p = flowi_put_varint(p, (uint32) n << 1 | (nulls ? 1 : 0));
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
