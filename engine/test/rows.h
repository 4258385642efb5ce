/*-------------------------------------------------------------------------
 * rows.h
 *	  Random versions in a sorted array: the model that block_test and
 *	  sst_test hold the code against.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_ROWS_H
#define FLOW_TEST_ROWS_H

#include <string.h>

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
		rec->value_bytes = (uint32_t) check_below(r, spec->value_max + 1);
		rec->value = rows_bytes(r, rec->value_bytes);
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

#endif /* FLOW_TEST_ROWS_H */
