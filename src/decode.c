/*-------------------------------------------------------------------------
 * decode.c
 *	  Records to rows.
 *
 * The hot path of every scan.  A row is decoded in place where that is
 * possible: short varlena and unaligned types point into the scan's vector,
 * by-value types become Datums, and only the rest is copied, into a context
 * that is reset by the next row.  A key is decoded once for all rows of its
 * series.  No byte is trusted: doc/FORMAT.md "Rows".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fdw.h"

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
	dec->key_rooms = palloc0(sizeof(char *) * table->nkeys);
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
		take_key_column(dec, i, &p, key + len);
	if (p != key + len)
		corrupt_row(dec, "its key is longer than its columns");
	memcpy(dec->key_bytes, key, len);
	dec->key_len = len;
	dec->key_valid = true;
}

/* ------------------------------------------------------------------ values */

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

	if (unlikely(p<end && * p> FLOWDB_ROW_VERSION))
		newer_row(dec);
	if (p >= end || *p++ != FLOWDB_ROW_VERSION)
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

/* The value of a column that the row is older than; false: NULL. */
static bool
load_missing(FlowdbDecoder *dec, const FlowdbValueColumn *col, Datum *valuep)
{
	const uint8 *p = (const uint8 *) dec->layout + col->missing;

	if (col->missing == 0)
		return false;
	*valuep = col->len < 0
				  ? load_varying(dec, col, &p, p + col->missing_len, true)
				  : load_fixed(dec, col, p);
	return true;
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

		if (c >= ncolumns)
		{
			isnull[a] = !load_missing(dec, col, &values[a]);
			continue;
		}
		isnull[a] = is_null(nulls, c);
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
			flowdb_decode_time(vec->ts[row], table->time_type);
		isnull[table->time_attnum - 1] = false;
	}
	if (dec->want_expire)
	{
		values[table->expire_attnum - 1] =
			flowdb_decode_expiry(vec->expire_at[row], table->expire_type);
		isnull[table->expire_attnum - 1] = false;
	}
	if (dec->nwanted > 0)
		decode_values(dec, vec->value[row], vec->value_bytes[row], values,
					  isnull);
}
