/*-------------------------------------------------------------------------
 * decode.c
 *	  Records to rows.
 *
 * The hot path of every scan.  The engine gives the wanted columns as vectors.
 * By-value types are Datums there already; short varlena and unaligned types
 * are used where they stand, and only the rest is copied, into a context that
 * is reset by the next row.  A key is decoded once for all rows of its
 * series.  No byte is trusted: doc/FORMAT.md "Rows".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fdw.h"
#include "flowdb_shmem.h"

#include "../engine/coding.h"
#include "../engine/row.h"

/* A wanted value column. */
struct FlowdbDecodeColumn
{
	const FlowdbValueColumn *col;
	int attr; /* attnum - 1 */
	bool number;
	bool byte; /* a number of one byte */
};

/* For rows that come as they are stored: vectors of one row. */
struct FlowdbRawRow
{
	FlowRowPicker picker;
	FlowColumnVector *vectors;
};

#define WANTED(attnum) \
	bms_is_member((attnum) -FirstLowInvalidHeapAttributeNumber, wanted)

/* The value columns that are wanted. */
static void
init_columns(FlowdbDecoder *dec, Bitmapset *wanted)
{
	const FlowdbLayout *layout = dec->layout;

	flowdb_layout_shape(layout, &dec->shape);
	dec->columns =
		palloc(sizeof(FlowdbDecodeColumn) * (Size) (layout->ncolumns + 1));
	dec->wanted = palloc(sizeof(uint32) * (Size) (layout->ncolumns + 1));
	for (int i = 0; i < layout->ncolumns; i++)
	{
		const FlowdbValueColumn *col = &layout->columns[i];

		if (col->attnum == 0 || !WANTED(col->attnum))
			continue;
		dec->columns[dec->nwanted] = (FlowdbDecodeColumn){
			col, col->attnum - 1,
			flowi_column_is_number(&dec->shape.columns[i]), col->len == 1};
		dec->wanted[dec->nwanted++] = (uint32) i;
	}
}

FlowdbDecoder *
flowdb_decoder_create(Relation rel, const FlowdbTable *table,
					  const FlowdbLayout *layout, Bitmapset *wanted)
{
	FlowdbDecoder *dec = palloc0(sizeof(FlowdbDecoder));

	dec->relname = pstrdup(RelationGetRelationName(rel));
	dec->table = table;
	dec->layout = layout;
	dec->want_keys = palloc0(sizeof(bool) * table->nkeys);
	dec->key_datums = palloc0(sizeof(Datum) * table->nkeys);
	dec->key_rooms = palloc0(sizeof(char *) * table->nkeys);
	dec->key_ends = palloc0(sizeof(uint32) * table->nkeys);
	for (int i = 0; i < table->nkeys; i++)
		if (WANTED(table->keys[i].attnum))
			dec->want_key = dec->want_keys[i] = true;
	dec->want_time = table->time_attnum != 0 && WANTED(table->time_attnum);
	dec->want_expire =
		table->expire_attnum != 0 && WANTED(table->expire_attnum);
	init_columns(dec, wanted);
	dec->row_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB row values", ALLOCSET_SMALL_SIZES);
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
			 errhint("Get the rows from a standby, or from a backup of the "
					 "whole cluster that is recovered elsewhere.")));
}

static void
newer_row(const FlowdbDecoder *dec)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("FlowDB store \"%s\" has rows that a newer version of "
					"flowdb_fdw wrote",
					dec->table->store),
			 errhint("Use the version that wrote them, or a later one.")));
}

/* -------------------------------------------------------------------- keys */

/*
 * Bytes of a text key may have come through a bytea column of another table
 * on the same store, so they are verified.
 */
static void
verify_text(const FlowdbDecoder *dec, const char *data, Size len)
{
	if (!pg_verify_mbstr(GetDatabaseEncoding(), data, (int) len, true))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a key in FlowDB store \"%s\" is not valid text",
						dec->table->store),
				 errhint("Read it through a foreign table whose key column is "
						 "of type bytea.")));
}

/* Take key column number off the key at *pp, into key_datums. */
static void
take_key_column(FlowdbDecoder *dec, int number, const uint8 **pp,
				const uint8 *end)
{
	FlowdbKeyType type = dec->table->keys[number].type;
	bool several = dec->table->nkeys > 1;
	char *room = dec->key_rooms[number];
	Size len;

	if (flowdb_key_width(type) > 0)
	{
		if (!flowdb_key_take(type, pp, end, several, (uint8 *) room, &len,
							 &dec->key_datums[number]))
			corrupt_row(dec, "its key is none of these columns'");
		return;
	}
	if (!flowdb_key_take(type, pp, end, several, (uint8 *) VARDATA(room), &len,
						 NULL))
		corrupt_row(dec, "its key is none of these columns'");
	if (type == FLOWDB_KEY_TEXT)
		verify_text(dec, VARDATA(room), len);
	SET_VARSIZE(room, len + VARHDRSZ);
	dec->key_datums[number] = PointerGetDatum(room);
}

/* Buffers for a key of len bytes: each column's value and the bytes. */
static void
grow_key(FlowdbDecoder *dec, Size len)
{
	MemoryContext cxt = GetMemoryChunkContext(dec);
	Size cap = Max(len, 128);

	for (int i = 0; i < dec->table->nkeys; i++)
	{
		if (dec->key_rooms[i])
			pfree(dec->key_rooms[i]);
		dec->key_rooms[i] = MemoryContextAlloc(cxt, cap + VARHDRSZ);
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
	const uint8 *p = key;

	if (dec->key_valid && dec->key_len == len &&
		memcmp(dec->key_bytes, key, len) == 0)
		return;
	dec->key_valid = false;
	if (len > dec->key_cap || !dec->key_bytes)
		grow_key(dec, len);
	for (int i = 0; i < dec->table->nkeys; i++)
	{
		take_key_column(dec, i, &p, key + len);
		dec->key_ends[i] = (uint32) (p - key);
	}
	if (p != key + len)
		corrupt_row(dec, "its key is longer than its columns");
	memcpy(dec->key_bytes, key, len);
	dec->key_len = len;
	dec->key_valid = true;
}

const Datum *
flowdb_decode_key(FlowdbDecoder *dec, const uint8 *key, Size len,
				  const uint32 **endsp)
{
	decode_key(dec, key, len);
	*endsp = dec->key_ends;
	return dec->key_datums;
}

/* ------------------------------------------------------------------ values */

static void *
copy_value(FlowdbDecoder *dec, Size header, const uint8 *p, Size len, Size tail)
{
	char *copy = MemoryContextAlloc(dec->row_cxt, header + len + tail);

	dec->row_dirty = true;
	memcpy(copy + header, p, len);
	return copy;
}

/* A value of varying length, as it stands in a row. */
static Datum
load_varying(FlowdbDecoder *dec, const FlowdbValueColumn *col, const uint8 *p,
			 uint32 bytes)
{
	const uint8 *end = p + bytes;
	uint32 len;
	char *copy;

	if (col->len == -1 && (*p & 1))
	{
		if ((uint32) (*p >> 1) != bytes) /* with its header byte */
			corrupt_row(dec, "a value has a wrong length");
		if (col->packed)
			return PointerGetDatum(p);
		p++;
	}
	else
	{
		if (col->len == -1 && *p++ != 0)
			corrupt_row(dec, "a value has a wrong header");
		if (!flowi_get_short_varint(&p, end, &len) || len != (Size) (end - p))
			corrupt_row(dec, "a value has a wrong length");
	}
	len = (uint32) (end - p);
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
load_bytes(FlowdbDecoder *dec, const FlowdbValueColumn *col, const uint8 *p,
		   uint32 bytes)
{
	if (col->len < 0)
		return load_varying(dec, col, p, bytes);
	if (col->copy)
		return PointerGetDatum(copy_value(dec, 0, p, (Size) col->len, 0));
	return PointerGetDatum(p);
}

/*
 * The wanted value columns of row number row of the vectors.  A vector's
 * number is the Datum, but for one byte, of which C does not say whether it
 * has a sign.
 */
static void
decode_values(FlowdbDecoder *dec, const FlowColumnVector *vectors, uint32 row,
			  Datum *values, bool *isnull)
{
	/* what is stored below could be any of these, as compilers see it */
	const FlowdbDecodeColumn *c = dec->columns;
	const FlowdbDecodeColumn *end = c + dec->nwanted;
	const FlowColumnVector *v = vectors;

	for (; c < end; c++, v++)
	{
		/* without any NULL their bytes stay out of the processor's cache */
		bool null = v->any_null && v->null[row] != 0;
		int a = c->attr;

		if (c->number)
			values[a] = c->byte ? CharGetDatum((char) v->num[row])
								: (Datum) v->num[row];
		else if (!null)
			values[a] = load_bytes(dec, c->col, v->ptr[row], v->bytes[row]);
		isnull[a] = null;
	}
}

/* Vectors of one row for rows that come as they are stored. */
static FlowdbRawRow *
make_raw(FlowdbDecoder *dec)
{
	Size n = (Size) dec->nwanted;
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(dec));
	FlowdbRawRow *raw = palloc0(sizeof(FlowdbRawRow));

	raw->vectors = palloc0(sizeof(FlowColumnVector) * n);
	flowdb_try(flowi_row_picker_set(&raw->picker, &dec->shape, dec->wanted,
									(uint32) n,
									palloc(sizeof(FlowRowPick) * n)));
	for (Size w = 0; w < n; w++)
	{
		FlowColumnVector *v = &raw->vectors[w];

		v->num = palloc(sizeof(int64));
		v->ptr = palloc(sizeof(uint8 *));
		v->bytes = palloc(sizeof(uint32));
		v->null = palloc(sizeof(uint8));
	}
	MemoryContextSwitchTo(old);
	return raw;
}

static const FlowColumnVector *
raw_columns(FlowdbDecoder *dec, const uint8 *value, uint32 bytes)
{
	if (!dec->raw)
		dec->raw = make_raw(dec);
	flowdb_decoder_report(dec, flowi_row_pick(&dec->raw->picker, value, bytes,
											  dec->raw->vectors, 0));
	return dec->raw->vectors;
}

/* What a scan has to give for this decoder. */
void
flowdb_decoder_want(const FlowdbDecoder *dec, FlowScanSpec *spec)
{
	spec->keys_only = dec->nwanted == 0;
	spec->no_keys = !dec->want_key;
	spec->no_times = !dec->want_time;
	spec->no_expiry = !dec->want_expire;
	spec->shape = &dec->shape;
	spec->columns = dec->wanted;
	spec->ncolumns = (uint32) dec->nwanted;
}

/* flowdb_report of a scan for this decoder; of a row that cannot be read it
 * tells where it stands. */
void
flowdb_decoder_report(const FlowdbDecoder *dec, FlowStatus st)
{
	const FlowError *err = flow_last_error();

	if ((st == FLOW_CORRUPT || st == FLOW_MISMATCH) && err->status == st &&
		err->row && !flowdb_error_is_kept())
	{
		if (st == FLOW_MISMATCH)
			newer_row(dec);
		corrupt_row(dec, err->row);
	}
	flowdb_report(st);
}

/*
 * flowdb_decode
 *		Row number row of vec into values and isnull, wanted columns only.
 *		vec has the wanted columns, or values as they are stored.
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
			flowdb_decode_time(vec->ts[row], table->time_type);
		isnull[table->time_attnum - 1] = false;
	}
	if (dec->want_expire)
	{
		values[table->expire_attnum - 1] =
			flowdb_decode_expiry(vec->expire_at[row], table->expire_type);
		isnull[table->expire_attnum - 1] = false;
	}
	if (dec->nwanted == 0)
		return;
	if (vec->columns)
		decode_values(dec, vec->columns, row, values, isnull);
	else
		decode_values(dec,
					  raw_columns(dec, vec->value[row], vec->value_bytes[row]),
					  0, values, isnull);
}
