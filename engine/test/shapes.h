/*-------------------------------------------------------------------------
 * shapes.h
 *	  Rows of columns made up, written and read the simple way: what the
 *	  tests hold row.c, and scans of columns, against.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_SHAPES_H
#define FLOW_TEST_SHAPES_H

#include <string.h>

#include "../row.h"
#include "check.h"

#define COLUMNS_MAX 40
#define COLUMNS_ROW_MAX 16384 /* bytes of a row that is made up */

/* A value without its header. */
typedef struct ColumnsValue
{
	bool null;
	uint32_t bytes;
	const uint8_t *p;
} ColumnsValue;

static inline size_t
columns_put_varint(uint8_t *p, uint32_t v)
{
	size_t n = 0;

	for (; v > 127; v /= 128)
		p[n++] = (uint8_t) (v % 128 + 128);
	p[n++] = (uint8_t) v;
	return n;
}

static inline size_t
columns_put_value(const FlowColumn *col, const ColumnsValue *v, uint8_t *p)
{
	size_t n = 0;

	if (col->kind == FLOW_COLUMN_PACKED && v->bytes <= 126)
		p[n++] = (uint8_t) (2 * (v->bytes + 1) + 1);
	else if (col->kind == FLOW_COLUMN_PACKED || col->kind == FLOW_COLUMN_PLAIN)
	{
		p[n++] = 0;
		n += columns_put_varint(p + n, v->bytes);
	}
	else if (col->kind == FLOW_COLUMN_STRING)
		n += columns_put_varint(p + n, v->bytes);
	if (v->bytes > 0)
		memcpy(p + n, v->p, v->bytes);
	return n + v->bytes;
}

/* The row of n values, as doc/FORMAT.md has it; its length. */
static inline size_t
columns_put_row(const FlowShape *shape, const ColumnsValue *values, uint32_t n,
				uint8_t *row)
{
	bool nulls = false;
	size_t at = 0;

	for (uint32_t c = 0; c < n; c++)
		nulls |= values[c].null;
	row[at++] = 1;
	at += columns_put_varint(row + at, 2 * n + nulls);
	for (uint32_t c = 0; nulls && c < n; c++)
	{
		if (c % 8 == 0)
			row[at++] = 0;
		row[at - 1] |= (uint8_t) (values[c].null << c % 8);
	}
	for (uint32_t c = 0; c < n; c++)
		if (!values[c].null)
			at += columns_put_value(&shape->columns[c], &values[c], row + at);
	return at;
}

/* 0: it is cut or too long. */
static inline size_t
columns_get_varint(const uint8_t *p, size_t bytes, uint32_t *vp)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes && i < 5; i++)
	{
		v |= (uint64_t) (p[i] & 127) << 7 * i;
		if (p[i] < 128)
		{
			*vp = (uint32_t) v;
			return v <= UINT32_MAX ? i + 1 : 0;
		}
	}
	return 0;
}

/* The value at p, as readers take it; its whole length, 0: it is none. */
static inline size_t
columns_get_value(const FlowColumn *col, const uint8_t *p, size_t bytes,
				  ColumnsValue *v)
{
	bool headed =
		col->kind == FLOW_COLUMN_PACKED || col->kind == FLOW_COLUMN_PLAIN;
	size_t header;

	*v = (ColumnsValue){.null = false, .bytes = col->bytes};
	if (bytes == 0)
		return 0;
	if (!headed && col->kind != FLOW_COLUMN_STRING)
		header = 0;
	else if (headed && p[0] % 2 == 1)
	{
		if (p[0] == 1)
			return 0;
		v->bytes = p[0] / 2 - 1;
		header = 1;
	}
	else if (headed && p[0] != 0)
		return 0;
	else
	{
		header = columns_get_varint(p + headed, bytes - headed, &v->bytes);
		if (header == 0)
			return 0;
		header += headed;
	}
	if (v->bytes > bytes - header)
		return 0;
	v->p = p + header;
	return header + v->bytes;
}

/* A row behind its header. */
typedef struct ColumnsRow
{
	uint32_t n;
	const uint8_t *nulls;
	const uint8_t *first;
	size_t bytes;
} ColumnsRow;

static inline bool
columns_get_head(const uint8_t *row, size_t bytes, ColumnsRow *r)
{
	uint32_t head;
	size_t at, n;

	if (bytes == 0 || row[0] != 1)
		return false;
	at = 1;
	n = columns_get_varint(row + at, bytes - at, &head);
	at += n;
	if (n == 0 || head / 2 > 32767)
		return false;
	r->n = head / 2;
	r->nulls = head % 2 ? row + at : NULL;
	if (r->nulls != NULL)
	{
		if ((r->n + 7) / 8 > bytes - at)
			return false;
		at += (r->n + 7) / 8;
	}
	r->first = row + at;
	r->bytes = bytes - at;
	return true;
}

/*
 * Value of column want of a row into *v, *pp where it stands with its header,
 * *lenp how long; what the row lacks is the column's missing value.  False: it
 * is no row as far as that column.
 */
static inline bool
columns_get(const FlowShape *shape, const uint8_t *row, size_t bytes,
			uint32_t want, ColumnsValue *v, const uint8_t **pp, size_t *lenp)
{
	const FlowColumn *col = &shape->columns[want];
	ColumnsRow r;
	size_t at = 0;

	if (!columns_get_head(row, bytes, &r))
		return false;
	*pp = NULL;
	*lenp = 0;
	*v = (ColumnsValue){.null = true};
	if (want >= r.n && col->missing != NULL)
	{
		*pp = col->missing;
		*lenp = columns_get_value(col, col->missing, col->missing_bytes, v);
		CHECK(*lenp == col->missing_bytes);
	}
	for (uint32_t c = 0; want < r.n && c <= want; c++)
	{
		size_t len;

		*v = (ColumnsValue){.null = true};
		*lenp = 0;
		if (r.nulls && (r.nulls[c / 8] >> c % 8) % 2 == 1)
			continue;
		len = columns_get_value(&shape->columns[c], r.first + at, r.bytes - at,
								v);
		if (len == 0)
			return false;
		*pp = r.first + at;
		*lenp = len;
		at += len;
	}
	return true;
}

/* Is the row what a writer writes?  Read it, and write it again. */
static inline bool
columns_is_canonical(const FlowShape *shape, const uint8_t *row, size_t bytes)
{
	static uint8_t again[COLUMNS_ROW_MAX + 256];
	ColumnsValue values[COLUMNS_MAX];
	const uint8_t *p;
	ColumnsRow r;
	size_t len;

	if (!columns_get_head(row, bytes, &r) || r.n > shape->ncolumns)
		return false;
	for (uint32_t c = 0; c < r.n; c++)
		if (!columns_get(shape, row, bytes, c, &values[c], &p, &len))
			return false;
	return columns_put_row(shape, values, r.n, again) == bytes &&
		   memcmp(row, again, bytes) == 0;
}

/* Does number at of v have what the row has in the column? */
static inline void
columns_check(const FlowShape *shape, const uint8_t *row, size_t bytes,
			  uint32_t column, const FlowColumnVector *v, uint32_t at)
{
	const FlowColumn *col = &shape->columns[column];
	bool number = flowi_column_is_number(col);
	ColumnsValue value;
	const uint8_t *p;
	size_t len;

	CHECK(columns_get(shape, row, bytes, column, &value, &p, &len));
	CHECK(v->null[at] == value.null);
	CHECK(v->any_null || !value.null);
	CHECK((v->num != NULL) == number && (v->ptr != NULL) == !number &&
		  (v->bytes != NULL) == !number);
	if (!number)
	{
		CHECK(v->bytes[at] == len && (v->ptr[at] == NULL) == value.null);
		CHECK(len == 0 || memcmp(v->ptr[at], p, len) == 0);
	}
	else if (value.null)
		CHECK(v->num[at] == 0);
	else
	{
		uint64_t bits = value.p[value.bytes - 1] >= 128 ? UINT64_MAX : 0;

		for (uint32_t i = value.bytes; i-- > 0;)
			bits = bits << 8 | value.p[i];
		CHECK(v->num[at] == (int64_t) bits);
	}
}

/* ------------------------------------------------------------- made up */

typedef struct ColumnsShape
{
	FlowShape shape;
	FlowColumn columns[COLUMNS_MAX];
	uint8_t missing[COLUMNS_MAX][256];
} ColumnsShape;

static inline void
columns_random_value(CheckRandom *r, const FlowColumn *col, uint8_t *room,
					 uint32_t most, ColumnsValue *v)
{
	static const uint32_t edges[] = {0, 1, 125, 126, 127, 128, 129, 200};

	v->null = false;
	v->p = room;
	v->bytes = col->bytes;
	if (col->bytes == 0)
		v->bytes = check_below(r, 4) == 0 ? edges[check_below(r, 8)]
										  : (uint32_t) check_below(r, 20);
	v->bytes = FLOW_MIN(v->bytes, most);
	for (uint32_t i = 0; i < v->bytes; i++)
		room[i] = (uint8_t) (check_below(r, 3) ? check_random(r) : 0);
}

/* n columns of any kinds, some with a missing value; fixed: of one length. */
static inline void
columns_random_shape(CheckRandom *r, uint32_t n, bool fixed, ColumnsShape *s)
{
	static const uint32_t widths[] = {8, 4, 2, 1};

	CHECK(n <= COLUMNS_MAX);
	for (uint32_t c = 0; c < n; c++)
	{
		FlowColumn *col = &s->columns[c];
		uint8_t room[256];
		ColumnsValue v;

		*col = (FlowColumn){
			.kind = (FlowColumnKind) (1 + check_below(r, fixed ? 3 : 6))};
		if (col->kind == FLOW_COLUMN_INT)
			col->bytes = widths[check_below(r, 4)];
		else if (col->kind == FLOW_COLUMN_FLOAT)
			col->bytes = widths[check_below(r, 2)];
		else if (col->kind == FLOW_COLUMN_FIXED)
			col->bytes = 1 + (uint32_t) check_below(r, 20);
		CHECK(flowi_column_ok(col));
		if (check_below(r, 3) > 0)
			continue;
		columns_random_value(r, col, room, 200, &v);
		col->missing = s->missing[c];
		col->missing_bytes =
			(uint32_t) columns_put_value(col, &v, s->missing[c]);
	}
	s->shape = (FlowShape){n, s->columns};
}

/* A row of n columns of a shape, every null-th value NULL (0: none). */
static inline size_t
columns_random_row(CheckRandom *r, const FlowShape *shape, uint32_t n,
				   uint32_t null, uint8_t *row)
{
	static uint8_t room[COLUMNS_MAX][256];
	ColumnsValue values[COLUMNS_MAX];

	for (uint32_t c = 0; c < n; c++)
		if (null > 0 && check_below(r, null) == 0)
			values[c] = (ColumnsValue){.null = true};
		else
			columns_random_value(r, &shape->columns[c], room[c], 256,
								 &values[c]);
	return columns_put_row(shape, values, n, row);
}

/* Some columns of n, rising, at least one; how many. */
static inline uint32_t
columns_random_some(CheckRandom *r, uint32_t n, uint32_t *columns)
{
	uint32_t some = 0;
	uint32_t one_in = 1 + (uint32_t) check_below(r, 4);

	for (uint32_t c = 0; c < n; c++)
		if (check_below(r, one_in) == 0)
			columns[some++] = c;
	if (some == 0)
		columns[some++] = (uint32_t) check_below(r, n);
	return some;
}

/* Vectors of cap rows, with memory that a checker watches. */
typedef struct ColumnsVectors
{
	uint32_t n;
	FlowColumnVector v[COLUMNS_MAX];
} ColumnsVectors;

static inline void
columns_vectors_init(ColumnsVectors *vs, const FlowShape *shape,
					 const uint32_t *columns, uint32_t n, uint32_t cap)
{
	vs->n = n;
	for (uint32_t w = 0; w < n; w++)
	{
		FlowColumnVector *v = &vs->v[w];

		*v = (FlowColumnVector){.null = malloc(cap)};
		if (flowi_column_is_number(&shape->columns[columns[w]]))
			v->num = malloc(cap * sizeof(*v->num));
		else
		{
			v->ptr = malloc(cap * sizeof(*v->ptr));
			v->bytes = malloc(cap * sizeof(*v->bytes));
		}
		memset(v->null, 0xee, cap);
	}
}

static inline void
columns_vectors_free(ColumnsVectors *vs)
{
	for (uint32_t w = 0; w < vs->n; w++)
	{
		free(vs->v[w].num);
		free((void *) vs->v[w].ptr);
		free(vs->v[w].bytes);
		free(vs->v[w].null);
	}
}

#endif /* FLOW_TEST_SHAPES_H */
