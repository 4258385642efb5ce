/*-------------------------------------------------------------------------
 * row.c
 *	  Rows of columns as values: split, join.
 *
 * There is one way to write a row, so that a column store gives back the bytes
 * it was given; a row that was written in another way is for it no row, and
 * kept as it is.
 *
 * No byte of a row is trusted: each length is checked before it is used.
 *-------------------------------------------------------------------------
 */
#include "row_head.h"

#define SHORT_MAX 126u /* bytes behind a short header */

/* ---------------------------------------------------------- small pieces */

bool
flowi_column_ok(const FlowColumn *col)
{
	uint32_t n = col->bytes;

	switch (col->kind)
	{
		case FLOW_COLUMN_INT:
			return n == 1 || n == 2 || n == 4 || n == 8;
		case FLOW_COLUMN_FLOAT:
			return n == 4 || n == 8;
		case FLOW_COLUMN_FIXED:
			return n >= 1 && n <= 32767;
		case FLOW_COLUMN_PACKED:
		case FLOW_COLUMN_PLAIN:
		case FLOW_COLUMN_STRING:
			return n == 0;
	}
	return false;
}

/* A length, only as flowi_put_varint writes it. */
static bool
get_minimal(const uint8_t **pp, const uint8_t *end, uint32_t *vp)
{
	const uint8_t *start = *pp;

	return flowi_get_short_varint(pp, end, vp) &&
		   (*pp - start == 1 || (*pp)[-1] != 0);
}

/* ---------------------------------------------------------- split, join */

/* Step over a value at *pp that is written as a writer writes it. */
static bool
pass_canonical(const FlowColumn *col, const uint8_t **pp, const uint8_t *end)
{
	bool packed = col->kind == FLOW_COLUMN_PACKED;
	const uint8_t *p = *pp;
	uint32_t len = col->bytes;

	if (len == 0 && packed && p < end && (*p & 1))
	{
		len = *p >> 1; /* with its header byte */
		if (len == 0)
			return false;
	}
	else if (len == 0)
	{
		if (col->kind != FLOW_COLUMN_STRING && (p == end || *p++ != 0))
			return false;
		if (!get_minimal(&p, end, &len) || (packed && len <= SHORT_MAX))
			return false;
	}
	if (len > (size_t) (end - p))
		return false;
	*pp = p + len;
	return true;
}

/* The header, in the one way that a writer writes it. */
static bool
read_canonical(const uint8_t *row, size_t bytes, FlowRowHead *r)
{
	const uint8_t *p = row + 1;
	uint32_t head, last;
	uint8_t any = 0;

	if (flowi_row_head(row, bytes, r) != NULL ||
		!get_minimal(&p, r->end, &head))
		return false;
	if (r->nulls == NULL)
		return true;
	if (r->ncolumns == 0)
		return false;
	for (const uint8_t *b = r->nulls; b < r->first; b++)
		any |= *b;
	last = r->ncolumns & 7;
	return any != 0 && (last == 0 || r->first[-1] >> last == 0);
}

bool
flowi_row_split(const FlowShape *shape, const uint8_t *row, size_t bytes,
				FlowRowValue *values, uint32_t *ncolumnsp)
{
	const uint8_t *p;
	FlowRowHead r;

	if (!read_canonical(row, bytes, &r) || r.ncolumns > shape->ncolumns)
		return false;
	p = r.first;
	for (uint32_t c = 0; c < r.ncolumns; c++)
	{
		const uint8_t *start = p;

		if (flowi_row_is_null(r.nulls, c))
		{
			values[c] = (FlowRowValue){NULL, 0};
			continue;
		}
		if (!pass_canonical(&shape->columns[c], &p, r.end))
			return false;
		values[c] = (FlowRowValue){start, (uint32_t) (p - start)};
	}
	*ncolumnsp = r.ncolumns;
	return p == r.end;
}

FlowStatus
flowi_row_join(const FlowShape *shape, const FlowRowValue *values, uint32_t n,
			   FlowBuf *out)
{
	size_t bytes = 1 + FLOW_VARINT_MAX + (n + 7) / 8;
	bool nulls = false;
	uint8_t *p;

	FLOW_ASSERT(n <= shape->ncolumns);
	for (uint32_t c = 0; c < n; c++)
	{
		FLOW_ASSERT(values[c].p == NULL || shape->columns[c].bytes == 0 ||
					shape->columns[c].bytes == values[c].bytes);
		nulls |= values[c].p == NULL;
		bytes += values[c].p ? values[c].bytes : 0;
	}
	(void) shape;
	FLOW_TRY(flowi_buf_reserve(out, bytes));
	p = out->data + out->len;
	*p++ = FLOW_ROW_VERSION;
	p = flowi_put_varint(p, n << 1 | nulls);
	if (nulls)
	{
		memset(p, 0, (n + 7) / 8);
		for (uint32_t c = 0; c < n; c++)
			if (values[c].p == NULL)
				p[c >> 3] |= (uint8_t) (1 << (c & 7));
		p += (n + 7) / 8;
	}
	for (uint32_t c = 0; c < n; c++)
		if (values[c].p != NULL)
		{
			memcpy(p, values[c].p, values[c].bytes);
			p += values[c].bytes;
		}
	out->len = (size_t) (p - out->data);
	return FLOW_OK;
}
