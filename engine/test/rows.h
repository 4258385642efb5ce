/*-------------------------------------------------------------------------
 * rows.h
 *	  Random versions in a sorted array: the model that block_test and
 *	  sst_test hold the code against.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_ROWS_H
#define FLOW_TEST_ROWS_H

#include <string.h>

#include "../coding.h"
#include "../iter.h"
#include "check.h"

typedef struct Rows
{
	FlowRec *rec; /* sorted by (key, ts, seq descending) */
	uint32_t n;
	uint32_t *order[2]; /* row numbers as an iterator gives them: [reverse] */
} Rows;

/* What to make up. */
typedef struct RowsSpec
{
	uint32_t n;			/* about as many */
	uint32_t nkeys;		/* different keys, about */
	uint32_t key_max;	/* bytes */
	uint32_t value_max; /* bytes */
	bool extreme;		/* timestamps, sequences and expiry of any size */
	uint32_t tomb_percent;
	uint32_t mortal_percent;
	/* values are rows of that shape, as FORMAT.md has them; NULL: any bytes */
	const FlowShape *shape;
	uint32_t narrow_percent; /* of them, that lack columns at the end */
	uint32_t odd_percent; /* of all values, that are any bytes all the same */
} RowsSpec;

static inline int
rows_cmp_recs(const void *pa, const void *pb)
{
	const FlowRec *a = pa;
	const FlowRec *b = pb;
	int c = flowi_identity_cmp(a->key, a->key_bytes, a->ts, b->key,
							   b->key_bytes, b->ts);

	return c ? c : (a->seq < b->seq) - (a->seq > b->seq);
}

static inline bool
rows_same_identity(const FlowRec *a, const FlowRec *b)
{
	return flowi_identity_cmp(a->key, a->key_bytes, a->ts, b->key, b->key_bytes,
							  b->ts) == 0;
}

static inline void *
rows_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	CHECK(p != NULL);
	return p;
}

/* Bytes, with the lowest, the highest and runs of one letter among them. */
static inline uint8_t *
rows_bytes(CheckRandom *r, uint32_t n)
{
	uint8_t *p = rows_alloc(n);
	uint64_t kind = check_below(r, 4);

	for (uint32_t i = 0; i < n; i++)
		p[i] = kind == 0   ? 0x00
			   : kind == 1 ? 0xff
			   : kind == 2 ? (uint8_t) check_random(r)
						   : (uint8_t) ('a' + i % 3);
	return p;
}

/* ------------------------------------------------------- rows of columns */

#define ROWS_MAX_COLUMNS 24u

/* Some columns; col has room for ROWS_MAX_COLUMNS. */
static inline void
rows_make_shape(FlowShape *shape, FlowColumn *col, CheckRandom *r)
{
	static const uint32_t widths[] = {8, 4, 2, 1};

	shape->ncolumns =
		(uint32_t) check_below(r, check_below(r, 4) ? 6 : ROWS_MAX_COLUMNS + 1);
	shape->columns = col;
	for (uint32_t i = 0; i < shape->ncolumns; i++)
	{
		col[i] = (FlowColumn){.kind = (FlowColumnKind) (1 + check_below(r, 6))};
		if (col[i].kind == FLOW_COLUMN_INT)
			col[i].bytes = widths[check_below(r, 4)];
		else if (col[i].kind == FLOW_COLUMN_FLOAT)
			col[i].bytes = widths[check_below(r, 2)];
		else if (col[i].kind == FLOW_COLUMN_FIXED)
			col[i].bytes = 1 + (uint32_t) check_below(r, 20);
	}
}

/* A number or bytes of one length, of the kind that the column tends to. */
static inline uint8_t *
rows_put_fixed(CheckRandom *r, const FlowColumn *col, uint32_t which,
			   uint8_t *p)
{
	uint64_t v = check_below(r, 100);
	double d = (double) v;
	float f = (float) v;

	if (which % 3 == 1)
		v = check_random(r) >> check_below(r, 64);
	if (which % 3 == 2 || check_below(r, 20) == 0)
		v = 7;
	else if (col->kind == FLOW_COLUMN_FLOAT && which % 3 == 0)
	{
		d = check_below(r, 2) ? d / 100 : d;
		if (col->bytes == 8)
			memcpy(&v, &d, 8);
		else
			memcpy(&v, &f, 4);
	}
	for (uint32_t i = 0; i < col->bytes; i++)
		*p++ = (uint8_t) (i < 8 ? v >> 8 * i : 9);
	return p;
}

static inline uint8_t *
rows_put_varying(CheckRandom *r, const FlowColumn *col, uint32_t which,
				 uint8_t *p)
{
	uint32_t n = (uint32_t) check_below(r, check_below(r, 30) ? 20 : 300);
	bool few = which % 2;

	if (few)
		n = (uint32_t) check_below(r, 3);
	if (col->kind == FLOW_COLUMN_PACKED && n <= 126)
		*p++ = (uint8_t) ((n + 1) * 2 + 1);
	else
	{
		if (col->kind != FLOW_COLUMN_STRING)
			*p++ = 0;
		p = flowi_put_varint(p, n);
	}
	for (uint32_t i = 0; i < n; i++)
		*p++ = (uint8_t) ('a' + (few ? n : check_below(r, 20)));
	return p;
}

/* A row of the first columns of the shape, malloc'ed. */
static inline uint8_t *
rows_row(CheckRandom *r, const FlowShape *shape, uint32_t ncolumns,
		 uint32_t *bytesp)
{
	static uint8_t bytes[ROWS_MAX_COLUMNS * 320 + 16];
	bool null[ROWS_MAX_COLUMNS];
	bool any = false;
	uint8_t *p = bytes;
	uint8_t *row;

	for (uint32_t i = 0; i < ncolumns; i++)
	{
		null[i] = check_below(r, 10) == 0 || i % 7 == 5;
		any |= null[i];
	}
	*p++ = 1;
	p = flowi_put_varint(p, ncolumns * 2 + any);
	if (any)
	{
		memset(p, 0, (ncolumns + 7) / 8);
		for (uint32_t i = 0; i < ncolumns; i++)
			p[i / 8] |= (uint8_t) (null[i] << i % 8);
		p += (ncolumns + 7) / 8;
	}
	for (uint32_t i = 0; i < ncolumns; i++)
		if (!null[i])
			p = shape->columns[i].kind <= FLOW_COLUMN_FIXED
					? rows_put_fixed(r, &shape->columns[i], i, p)
					: rows_put_varying(r, &shape->columns[i], i, p);
	*bytesp = (uint32_t) (p - bytes);
	row = rows_alloc(*bytesp);
	memcpy(row, bytes, *bytesp);
	return row;
}

static inline uint8_t *
rows_value(CheckRandom *r, const RowsSpec *spec, uint32_t *bytesp)
{
	uint32_t n;

	if (spec->shape == NULL || check_below(r, 100) < spec->odd_percent)
	{
		*bytesp = (uint32_t) check_below(r, spec->value_max + 1);
		return rows_bytes(r, *bytesp);
	}
	n = spec->shape->ncolumns;
	if (check_below(r, 100) < spec->narrow_percent)
		n = (uint32_t) check_below(r, n + 1);
	return rows_row(r, spec->shape, n, bytesp);
}

static inline int64_t
rows_ts(CheckRandom *r, const RowsSpec *spec)
{
	if (spec->extreme)
		switch (check_below(r, 6))
		{
			case 0:
				return INT64_MIN;
			case 1:
				return INT64_MAX;
			case 2:
				return (int64_t) check_random(r);
			case 3:
				return -(int64_t) check_below(r, 3);
			default:
				break;
		}
	return (int64_t) (1000 * check_below(r, spec->n / spec->nkeys + 2));
}

static inline void
rows_make_one(CheckRandom *r, const RowsSpec *spec, FlowRec *rec)
{
	memset(rec, 0, sizeof(*rec));
	rec->ts = rows_ts(r, spec);
	rec->seq = spec->extreme && check_below(r, 4) == 0
				   ? check_random(r)
				   : 1 + check_below(r, (uint64_t) spec->n * 16);
	rec->expire_at = FLOW_NEVER;
	if (check_below(r, 100) < spec->mortal_percent)
		rec->expire_at =
			spec->extreme ? (int64_t) check_random(r) : rec->ts + 86400;
	if (check_below(r, 100) < spec->tomb_percent)
		rec->op = FLOW_DELETE;
	else
	{
		rec->value = rows_value(r, spec, &rec->value_bytes);
	}
}

static inline void
rows_set_order(Rows *rows)
{
	uint32_t at = rows->n;

	for (int i = 0; i < 2; i++)
		rows->order[i] = rows_alloc(rows->n * sizeof(uint32_t));
	for (uint32_t i = 0; i < rows->n; i++)
		rows->order[0][i] = i;
	for (uint32_t i = 0, end; i < rows->n; i = end)
	{
		for (end = i + 1; end < rows->n &&
						  rows_same_identity(&rows->rec[i], &rows->rec[end]);
			 end++)
			;
		at -= end - i;
		for (uint32_t k = i; k < end; k++)
			rows->order[1][at + k - i] = k;
	}
}

static inline void
rows_make(Rows *rows, CheckRandom *r, const RowsSpec *spec)
{
	uint32_t n = 0;
	uint8_t **key = rows_alloc(spec->nkeys * sizeof(uint8_t *));
	uint32_t *key_bytes = rows_alloc(spec->nkeys * sizeof(uint32_t));

	for (uint32_t i = 0; i < spec->nkeys; i++)
	{
		/* the first is empty */
		key_bytes[i] = i ? (uint32_t) check_below(r, spec->key_max + 1) : 0;
		key[i] = rows_bytes(r, key_bytes[i]);
	}
	rows->rec = rows_alloc(spec->n * sizeof(FlowRec));
	for (uint32_t i = 0; i < spec->n; i++)
	{
		uint64_t k = check_below(r, spec->nkeys);

		rows_make_one(r, spec, &rows->rec[i]);
		/* every record has a key of its own, so that all can be freed */
		rows->rec[i].key_bytes = key_bytes[k];
		rows->rec[i].key = rows_alloc(key_bytes[k]);
		memcpy((uint8_t *) rows->rec[i].key, key[k], key_bytes[k]);
	}
	qsort(rows->rec, spec->n, sizeof(FlowRec), rows_cmp_recs);
	for (uint32_t i = 0; i < spec->n; i++)
	{
		if (n > 0 && rows_cmp_recs(&rows->rec[n - 1], &rows->rec[i]) == 0)
		{
			free((void *) rows->rec[i].key);
			free((void *) rows->rec[i].value);
		}
		else
			rows->rec[n++] = rows->rec[i];
	}
	rows->n = n;
	rows_set_order(rows);
	for (uint32_t i = 0; i < spec->nkeys; i++)
		free(key[i]);
	free(key);
	free(key_bytes);
}

static inline void
rows_free(Rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++)
	{
		free((void *) rows->rec[i].key);
		free((void *) rows->rec[i].value);
	}
	free(rows->rec);
	free(rows->order[0]);
	free(rows->order[1]);
}

static inline void
rows_check_rec(const FlowRec *got, const FlowRec *want)
{
	CHECK(got->key_bytes == want->key_bytes);
	CHECK(memcmp(got->key, want->key, want->key_bytes) == 0);
	CHECK(got->ts == want->ts);
	CHECK(got->seq == want->seq);
	CHECK(got->expire_at == want->expire_at);
	CHECK(got->op == want->op);
	CHECK(got->value_bytes == want->value_bytes);
	if (want->op == FLOW_DELETE)
		CHECK(got->value == NULL);
	else
		CHECK(got->value != NULL &&
			  memcmp(got->value, want->value, want->value_bytes) == 0);
}

/* Where in the order of its direction a seek has to arrive; n: the end. */
static inline uint32_t
rows_find(const Rows *rows, bool reverse, const FlowSeek *to)
{
	uint32_t i = 0;

	if (to->unbounded)
		return 0;
	for (; i < rows->n; i++)
	{
		const FlowRec *rec = &rows->rec[rows->order[reverse][i]];
		int c = flowi_identity_cmp(rec->key, rec->key_bytes, rec->ts, to->key,
								   to->key_bytes, to->ts);

		if (reverse)
			c = -c;
		if (c > 0 || (c == 0 && !to->after))
			break;
	}
	return i;
}

/* A place at, or near, a row. */
static inline void
rows_random_seek(const Rows *rows, CheckRandom *r, FlowSeek *to)
{
	const FlowRec *rec = &rows->rec[check_below(r, rows->n)];

	memset(to, 0, sizeof(*to));
	to->key = rec->key;
	to->key_bytes = rec->key_bytes;
	to->ts = rec->ts;
	to->after = check_below(r, 2);
	to->unbounded = check_below(r, 50) == 0;
	switch (check_below(r, 6))
	{
		case 0:
			to->ts = INT64_MIN;
			break;
		case 1:
			to->ts = INT64_MAX;
			break;
		case 2:
			to->ts = (int64_t) ((uint64_t) to->ts + check_below(r, 3) - 1);
			break;
		case 3:
			if (to->key_bytes > 0) /* between keys */
				to->key_bytes--;
			break;
		default:
			break;
	}
}

/* The row at which a search for one version has to arrive; n: there is none. */
static inline uint32_t
rows_find_one(const Rows *rows, const FlowSeek *to, bool last)
{
	uint32_t found = rows->n;

	for (uint32_t i = 0; i < rows->n; i++)
	{
		const FlowRec *rec = &rows->rec[i];

		if (flowi_key_cmp(rec->key, rec->key_bytes, to->key, to->key_bytes) !=
				0 ||
			(!last && rec->ts != to->ts))
			continue;
		if (found == rows->n || !rows_same_identity(&rows->rec[found], rec))
			found = i;
	}
	return found;
}

#endif /* FLOW_TEST_ROWS_H */
