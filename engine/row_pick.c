/*-------------------------------------------------------------------------
 * row_pick.c
 *	  Rows of columns as values: pick some columns of many rows.
 *
 * Readers are not so strict as what splits a row (row.c): they take what every
 * version of the decoder has taken.
 *
 * No byte of a row is trusted: each length is checked before it is used.
 *-------------------------------------------------------------------------
 */
#include "row_head.h"

#define PREFETCH 12u /* rows ahead of the one that is looked at */

/* ---------------------------------------------------------------- picker */

FlowStatus
flowi_row_picker_set(FlowRowPicker *k, const FlowShape *shape,
					 const uint32_t *columns, uint32_t ncolumns,
					 FlowRowPick *picks)
{
	uint32_t offset = 0;
	uint32_t c = 0; /* stands at offset, unless one before it varies */

	if (shape == NULL || shape->ncolumns > FLOW_MAX_COLUMNS ||
		ncolumns > shape->ncolumns)
		return flowi_fail(FLOW_INVALID, "a scan's columns are too many");
	*k = (FlowRowPicker){.shape = shape, .ncolumns = ncolumns, .picks = picks};
	for (uint32_t w = 0; w < ncolumns; w++)
	{
		const FlowColumn *col = &shape->columns[columns[w]];
		FlowRowPick *pick = &picks[w];

		if (columns[w] >= shape->ncolumns ||
			(w > 0 && columns[w] <= columns[w - 1]))
			return flowi_fail(FLOW_INVALID, "a scan's columns are in disorder");
		for (; c < columns[w] && shape->columns[c].bytes > 0; c++)
			offset += shape->columns[c].bytes;
		if (!flowi_column_ok(col) || (col->missing && col->bytes > 0 &&
									  col->missing_bytes != col->bytes))
			return flowi_fail(FLOW_INVALID, "column %u has no kind there is",
							  columns[w]);
		*pick = (FlowRowPick){col, columns[w], offset, 0};
		k->nbytes += !flowi_column_is_number(col);
		if (col->missing && flowi_column_is_number(col))
			pick->missing = flowi_row_number(col, col->missing);
		if (c == columns[w] && col->bytes > 0)
			k->nfixed = w + 1;
	}
	k->walk = c;
	k->walk_offset = offset;
	return FLOW_OK;
}

/* ------------------------------------------------------------------ pick */

static FlowStatus
bad_row(const uint8_t *row, size_t bytes, const char *what)
{
	if (bytes > 0 && row[0] > FLOW_ROW_VERSION)
		return flowi_fail_row(FLOW_MISMATCH, "it has a newer version");
	return flowi_fail_row(FLOW_CORRUPT, what);
}

static inline void
put_null(const FlowColumn *col, FlowColumnVector *v, uint32_t at)
{
	if (flowi_column_is_number(col))
		v->num[at] = 0;
	else
	{
		v->ptr[at] = NULL;
		v->bytes[at] = 0;
	}
	v->null[at] = 1;
	v->any_null = true;
}

static inline void
put_value(const FlowColumn *col, FlowColumnVector *v, uint32_t at,
		  const uint8_t *p, uint32_t bytes)
{
	if (flowi_column_is_number(col))
		v->num[at] = flowi_row_number(col, p);
	else
	{
		v->ptr[at] = p;
		v->bytes[at] = bytes;
	}
	v->null[at] = 0;
}

/* What a column that the row does not have reads as. */
static inline void
put_missing(const FlowRowPick *pick, FlowColumnVector *v, uint32_t at)
{
	const FlowColumn *col = pick->col;

	if (col->missing == NULL)
		put_null(col, v, at);
	else
		put_value(col, v, at, col->missing, col->missing_bytes);
}

/* Step over a value at *pp; NULL, or what is wrong. */
static inline const char *
pass(const FlowColumn *col, const uint8_t **pp, const uint8_t *end)
{
	const uint8_t *p = *pp;
	uint32_t len = col->bytes;

	if (len > 0)
	{
		if (len > (size_t) (end - p))
			return "it is too short";
	}
	else if (p == end)
		return "a value is missing";
	else if (col->kind != FLOW_COLUMN_STRING && (*p & 1))
	{
		len = *p >> 1; /* with its header byte */
		if (len == 0 || len > (size_t) (end - p))
			return "a value has a wrong length";
	}
	else
	{
		if (col->kind != FLOW_COLUMN_STRING && *p++ != 0)
			return "a value has a wrong header";
		if (!flowi_get_short_varint(&p, end, &len) || len > (size_t) (end - p))
			return "a value has a wrong length";
	}
	*pp = p + len;
	return NULL;
}

/*
 * The wanted columns from number w on, of which column c or one behind it is
 * the first; c stands at p.  NULL, or what is wrong.
 */
static const char *
walk(const FlowRowPicker *k, const FlowRowHead *r, uint32_t w, uint32_t c,
	 const uint8_t *p, FlowColumnVector *vectors, uint32_t at)
{
	const FlowColumn *columns = k->shape->columns;
	const char *what = NULL;

	for (; w < k->ncolumns && k->picks[w].column < r->ncolumns; w++)
	{
		const FlowRowPick *pick = &k->picks[w];
		const uint8_t *start;

		for (; c < pick->column && what == NULL; c++)
			if (!flowi_row_is_null(r->nulls, c))
				what = pass(&columns[c], &p, r->end);
		if (what != NULL)
			return what;
		c++;
		if (flowi_row_is_null(r->nulls, pick->column))
		{
			put_null(pick->col, &vectors[w], at);
			continue;
		}
		start = p;
		what = pass(pick->col, &p, r->end);
		if (what != NULL)
			return what;
		put_value(pick->col, &vectors[w], at, start, (uint32_t) (p - start));
	}
	for (; w < k->ncolumns; w++)
		put_missing(&k->picks[w], &vectors[w], at);
	return NULL;
}

FlowStatus
flowi_row_pick(const FlowRowPicker *k, const uint8_t *row, size_t bytes,
			   FlowColumnVector *vectors, uint32_t at)
{
	FlowRowHead r;
	const char *what = flowi_row_head(row, bytes, &r);
	uint32_t w = 0;

	if (what != NULL)
		return bad_row(row, bytes, what);
	if (r.nulls != NULL)
		what = walk(k, &r, 0, 0, r.first, vectors, at);
	else
	{
		size_t room = (size_t) (r.end - r.first);

		for (; w < k->nfixed && k->picks[w].column < r.ncolumns; w++)
		{
			const FlowRowPick *pick = &k->picks[w];
			const FlowColumn *col = pick->col;

			if (pick->offset + col->bytes > room)
				return bad_row(row, bytes, "it is too short");
			put_value(col, &vectors[w], at, r.first + pick->offset, col->bytes);
		}
		if (w == k->ncolumns)
			return FLOW_OK;
		if (k->picks[w].column >= r.ncolumns)
			what = walk(k, &r, w, 0, NULL, vectors, at);
		else if (k->walk_offset > room)
			what = "it is too short";
		else
			what =
				walk(k, &r, w, k->walk, r.first + k->walk_offset, vectors, at);
	}
	return what ? bad_row(row, bytes, what) : FLOW_OK;
}

/* ---------------------------------------------------- pick of many rows */

/* Rows of which the first n have the same header of so many bytes, no NULLs,
 * and all fixed columns that are wanted. */
typedef struct Alike
{
	const uint8_t *base; /* row i is [off[i], off[i + 1]) of it */
	const uint32_t *off;
	uint32_t n;
	uint32_t header;
	uint32_t ncolumns;
} Alike;

/* How many of the rows from the first on are alike; 0: look at it alone. */
static uint32_t
count_alike(const FlowRowPicker *k, Alike *a, uint32_t most)
{
	const uint8_t *first = a->base + a->off[0];
	size_t bytes = a->off[1] - a->off[0];
	uint32_t need, n;
	FlowRowHead r;

	if (flowi_row_head(first, bytes, &r) != NULL || r.nulls != NULL)
		return 0;
	a->header = (uint32_t) (r.first - first);
	a->ncolumns = r.ncolumns;
	need = a->header;
	if (r.ncolumns > k->walk)
		need += k->walk_offset;
	for (uint32_t w = k->nfixed; w-- > 0;)
		if (k->picks[w].column < r.ncolumns)
		{
			const FlowRowPick *pick = &k->picks[w];

			need = FLOW_MAX(need, a->header + pick->offset + pick->col->bytes);
			break;
		}
	if (bytes < need)
		return 0;
	for (n = 1; n < most; n++)
	{
		const uint8_t *row = a->base + a->off[n];

		FLOW_PREFETCH(a->base + a->off[FLOW_MIN(n + PREFETCH, most)]);
		/* a header has two bytes at least */
		if (a->off[n + 1] - a->off[n] < need || row[0] != first[0] ||
			row[1] != first[1] ||
			(a->header > 2 && memcmp(row + 2, first + 2, a->header - 2) != 0))
			break;
	}
	return n;
}

static void
gather_numbers(const Alike *a, const FlowRowPick *pick, int64_t *num)
{
	const uint8_t *from = a->base + a->header + pick->offset;
	const uint32_t *off = a->off;
	uint32_t n = a->n;

	switch (pick->col->bytes)
	{
		case 1:
			for (uint32_t i = 0; i < n; i++)
				num[i] = (int8_t) from[off[i]];
			break;
		case 2:
			for (uint32_t i = 0; i < n; i++)
				num[i] = (int16_t) ((uint32_t) from[off[i]] |
									(uint32_t) from[off[i] + 1] << 8);
			break;
		case 4:
			for (uint32_t i = 0; i < n; i++)
				num[i] = (int32_t) flowi_get32(from + off[i]);
			break;
		default:
			for (uint32_t i = 0; i < n; i++)
				num[i] = (int64_t) flowi_get64(from + off[i]);
	}
}

static void
gather_bytes(const Alike *a, const FlowRowPick *pick, const uint8_t **ptr,
			 uint32_t *bytes)
{
	const uint8_t *from = a->base + a->header + pick->offset;

	for (uint32_t i = 0; i < a->n; i++)
	{
		ptr[i] = from + a->off[i];
		bytes[i] = pick->col->bytes;
	}
}

static void
fill_missing(const FlowRowPick *pick, FlowColumnVector *v, uint32_t at,
			 uint32_t n)
{
	const FlowColumn *col = pick->col;

	for (uint32_t i = at; i < at + n; i++)
		if (flowi_column_is_number(col))
			v->num[i] = pick->missing;
		else
		{
			v->ptr[i] = col->missing;
			v->bytes[i] = col->missing ? col->missing_bytes : 0;
		}
	memset(v->null + at, col->missing == NULL, n);
	v->any_null |= col->missing == NULL;
}

/* The wanted columns of rows that are alike. */
static FlowStatus
pick_alike(const FlowRowPicker *k, const Alike *a, FlowColumnVector *vectors,
		   uint32_t at)
{
	uint32_t w;

	for (w = 0; w < k->nfixed && k->picks[w].column < a->ncolumns; w++)
	{
		const FlowRowPick *pick = &k->picks[w];
		FlowColumnVector *v = &vectors[w];

		if (flowi_column_is_number(pick->col))
			gather_numbers(a, pick, v->num + at);
		else
			gather_bytes(a, pick, v->ptr + at, v->bytes + at);
		memset(v->null + at, 0, a->n);
	}
	if (w < k->ncolumns && k->walk < a->ncolumns)
		for (uint32_t i = 0; i < a->n; i++)
		{
			const uint8_t *row = a->base + a->off[i];
			const uint8_t *first = row + a->header;
			FlowRowHead r = {a->ncolumns, NULL, first, a->base + a->off[i + 1]};
			const char *what = walk(k, &r, w, k->walk, first + k->walk_offset,
									vectors, at + i);

			if (what != NULL)
				return bad_row(row, (size_t) (r.end - row), what);
		}
	else
		for (; w < k->ncolumns; w++)
			fill_missing(&k->picks[w], &vectors[w], at, a->n);
	return FLOW_OK;
}

FlowStatus
flowi_row_pick_run(const FlowRowPicker *k, const uint8_t *base,
				   const uint32_t *off, uint32_t n, FlowColumnVector *vectors,
				   uint32_t at)
{
	uint32_t i = 0;

	while (i < n)
	{
		Alike a = {.base = base, .off = off + i};

		a.n = count_alike(k, &a, n - i);
		if (a.n > 0)
			FLOW_TRY(pick_alike(k, &a, vectors, at + i));
		else
		{
			FLOW_TRY(flowi_row_pick(k, base + off[i], off[i + 1] - off[i],
									vectors, at + i));
			a.n = 1;
		}
		i += a.n;
	}
	return FLOW_OK;
}
