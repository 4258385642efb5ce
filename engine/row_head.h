/*-------------------------------------------------------------------------
 * row_head.h
 *	  The header of a row, for row.c and row_pick.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ROW_HEAD_H
#define FLOW_ROW_HEAD_H

#include "row.h"

/* A row behind its header. */
typedef struct FlowRowHead
{
	uint32_t ncolumns;
	const uint8_t *nulls; /* bitmap, or NULL */
	const uint8_t *first; /* the first value */
	const uint8_t *end;
} FlowRowHead;

/* NULL, or what is wrong. */
static inline const char *
flowi_row_head(const uint8_t *row, size_t bytes, FlowRowHead *r)
{
	const uint8_t *p = row;
	const uint8_t *end = row + bytes;
	uint32_t head;

	if (p == end || *p++ != FLOW_ROW_VERSION)
		return "its version is unknown";
	if (!flowi_get_short_varint(&p, end, &head) || head >> 1 > FLOW_MAX_COLUMNS)
		return "its number of columns is wrong";
	r->ncolumns = head >> 1;
	r->nulls = NULL;
	r->end = end;
	if (head & 1)
	{
		r->nulls = p;
		if ((r->ncolumns + 7) / 8 > (size_t) (end - p))
			return "it ends in its header";
		p += (r->ncolumns + 7) / 8;
	}
	r->first = p;
	return NULL;
}

static inline bool
flowi_row_is_null(const uint8_t *nulls, uint32_t column)
{
	return nulls && (nulls[column >> 3] >> (column & 7) & 1);
}

#endif /* FLOW_ROW_HEAD_H */
