/*-------------------------------------------------------------------------
 * keytype.h
 *	  Types of key and time columns: encoding, decoding, comparison.
 *
 * A key column's type is one of those below or a domain over it.  Each has a
 * memcomparable encoding: unsigned byte order is the type's own order (for
 * text: that of COLLATE "C").  Integers, bool, date and timestamps: big-endian
 * of their own width with the sign bit flipped; uuid: its 16 bytes; text and
 * bytea: their bytes, escaped and ended when the key has several columns.
 * doc/FORMAT.md "Keys".
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_KEYTYPE_H
#define FLOWDB_KEYTYPE_H

#include "flowdb.h"

#include "lib/stringinfo.h"

/* Numbers are part of a store's description on disk: never change them. */
typedef enum FlowdbKeyType
{
	FLOWDB_KEY_TEXT = 1, /* text, varchar */
	FLOWDB_KEY_BYTEA = 2,
	FLOWDB_KEY_INT2 = 3,
	FLOWDB_KEY_INT4 = 4,
	FLOWDB_KEY_INT8 = 5,
	FLOWDB_KEY_BOOL = 6,
	FLOWDB_KEY_UUID = 7,
	FLOWDB_KEY_DATE = 8,
	FLOWDB_KEY_TIMESTAMP = 9,
	FLOWDB_KEY_TIMESTAMPTZ = 10
} FlowdbKeyType;

typedef enum FlowdbTimeType
{
	FLOWDB_TIME_BIGINT = 1,		 /* as given */
	FLOWDB_TIME_TIMESTAMPTZ = 2, /* microseconds since 1970 UTC */
	FLOWDB_TIME_TIMESTAMP = 3,	 /* the same, as if it were UTC */
	FLOWDB_TIME_DATE = 4		 /* its midnight, as if it were UTC */
} FlowdbTimeType;

/* ------------------------------------------------------------- properties */

/* false: no such role for this (base) type. */
extern bool flowdb_key_type(Oid basetype, FlowdbKeyType *typep);
extern bool flowdb_time_type(Oid basetype, FlowdbTimeType *typep);
/* What may be given, for hints. */
extern const char *flowdb_key_types_allowed(void);
extern const char *flowdb_time_types_allowed(void);
/* btree operator family in which the column is ordered, and its input type
 * (text for varchar). */
extern Oid flowdb_key_family(FlowdbKeyType type);
extern Oid flowdb_key_operand(FlowdbKeyType type);
extern Oid flowdb_time_family(FlowdbTimeType type);
extern Oid flowdb_time_operand(FlowdbTimeType type);
/* Bytes of an encoded value; 0: varies (text, bytea). */
extern int flowdb_key_width(FlowdbKeyType type);

/* --------------------------------------------------------------- encoding */

/*
 * flowdb_key_append
 *		Append the column's value to the encoded key.  several: the key has
 *		more than one column.  Throws when a text or bytea is too long.
 *		Values of fixed width may be nothing but 0xff bytes: there are no
 *		bytes behind all keys that begin with such a prefix.
 * flowdb_key_append_bytes
 *		The same for the bytes of a text or bytea; end false: the beginning of
 *		a value, for prefixes.
 * flowdb_key_take
 *		Decode one column from *pp and step over it; false: the bytes are no
 *		such key (lengths, escapes, booleans and dates are checked).  Without
 *		several a column is all of the bytes.  Text and bytea give bytes,
 *		*lenp of them, in out, which has room for as many as are left of the
 *		key; that a text is valid text is left to the caller.  The others give
 *		*valuep, by reference ones in out, which then has room for
 *		flowdb_key_width bytes and is MAXALIGNed.
 */
extern void flowdb_key_append(StringInfo buf, FlowdbKeyType type, Datum value,
							  bool several);
extern void flowdb_key_append_bytes(StringInfo buf, const void *data, Size len,
									bool several, bool end);
extern bool flowdb_key_take(FlowdbKeyType type, const uint8 **pp,
							const uint8 *end, bool several, uint8 *out,
							Size *lenp, Datum *valuep);

/*
 * flowdb_encode_time / flowdb_decode_time
 *		A time column's value and what the engine keeps: infinities are
 *		INT64_MIN and INT64_MAX, a date is its midnight.  22008 when one
 *		cannot be told by the other: beyond 64 bits, beyond PostgreSQL's
 *		calendar, or a time of day through a date column, which would show
 *		two rows as one.
 * flowdb_decode_expiry
 *		The same of an expiry: a time of day becomes the next date, so that a
 *		row that is written back lives no shorter.
 */
extern int64 flowdb_encode_time(Datum value, FlowdbTimeType type);
extern Datum flowdb_decode_time(int64 ts, FlowdbTimeType type);
extern Datum flowdb_decode_expiry(int64 ts, FlowdbTimeType type);

/*
 * flowdb_time_encode / flowdb_time_decode
 *		timestamptz, or timestamp as if it were UTC, to microseconds since
 *		1970 and back; false: there is no such number, or no such timestamp.
 * flowdb_date_encode
 *		The same for a date's midnight.
 */
extern bool flowdb_time_encode(int64 t, int64 *usp);
extern bool flowdb_time_decode(int64 us, int64 *tp);
extern bool flowdb_date_encode(int32 d, int64 *usp);
/* The time at which expiry is judged. */
extern int64 flowdb_statement_now(void);

/* ------------------------------------------------------------- comparison */

/*
 * "column OP value", whose value may be of another type than the column,
 * brought into the column's own domain.  Ops are FlowdbQualOp LT LE EQ GE GT.
 */
typedef enum FlowdbCompared
{
	FLOWDB_COMPARED_NONE,  /* no row */
	FLOWDB_COMPARED_ALL,   /* every row */
	FLOWDB_COMPARED_BOUND, /* those with "column *opp own[0]" */
	FLOWDB_COMPARED_RANGE  /* own[0] <= column <= own[1], for an EQ that is
							* not exact */
} FlowdbCompared;

/*
 * flowdb_key_comparable / flowdb_time_comparable
 *		Can values of this (base) type bound the column?  value_type is the
 *		operator's input type: text for a varchar, and so on.
 *
 *		*exactp false: only with a recheck, since the result may hold more
 *		rows than the comparison.  That is so for a timestamp or date column
 *		beside a timestamptz value: the column is taken as local time, whose
 *		order is not that of UTC where clocks are changed.  Such an EQ gives a
 *		RANGE, so it does not fix the column.  All others are exact, also
 *		those that depend on TimeZone, where the operator is only stable.
 * flowdb_key_compare / flowdb_time_compare
 *		The conversion itself, at run time (in the session's TimeZone).  *opp:
 *		in and out.  own: one Datum, two for a RANGE, of flowdb_key_operand's
 *		type; *value* itself when it has that type.  Times: what the engine
 *		keeps, so LT INT64_MIN and GT INT64_MAX are possible.
 */
extern bool flowdb_key_comparable(FlowdbKeyType type, Oid value_type,
								  bool *exactp);
extern bool flowdb_time_comparable(FlowdbTimeType type, Oid value_type,
								   bool *exactp);
extern FlowdbCompared flowdb_key_compare(FlowdbKeyType type, int *opp,
										 Datum value, Oid value_type,
										 Datum own[2]);
extern FlowdbCompared flowdb_time_compare(FlowdbTimeType type, int *opp,
										  Datum value, Oid value_type,
										  int64 own[2]);

/* For pg_qsort of int64. */
extern int flowdb_int64_qsort(const void *pa, const void *pb);

#endif /* FLOWDB_KEYTYPE_H */
