/*-------------------------------------------------------------------------
 * row.h
 *	  A value that is a row of columns: take it apart, put it together.
 *
 * Bytes: doc/FORMAT.md "Value: a row of value columns".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ROW_H
#define FLOW_ROW_H

#include "coding.h"

#define FLOW_ROW_VERSION 1

/* A shape of a store in memory of env->alloc; columns NULL: it has none. */
extern FlowStatus flowi_store_shape(FlowDb *db, uint32_t store_id,
									FlowShape *shape) FLOW_MUST_CHECK;
extern void flowi_shape_free(FlowEnv *env, FlowShape *shape);

/* One value of a row; p points into the row. */
typedef struct FlowRowValue
{
	const uint8_t *p; /* NULL: it is NULL */
	uint32_t bytes;	  /* with its header */
} FlowRowValue;

/*
 * flowi_row_split
 *		All columns that the row has into values (shape->ncolumns of them);
 *		*ncolumnsp: how many it has.  False: it is not such a row, or not
 *		written in the one way that flowi_row_join writes it.
 * flowi_row_join
 *		The row that has these n values, appended to out.
 */
extern bool flowi_row_split(const FlowShape *shape, const uint8_t *row,
							size_t bytes, FlowRowValue *values,
							uint32_t *ncolumnsp);
extern FlowStatus flowi_row_join(const FlowShape *shape,
								 const FlowRowValue *values, uint32_t n,
								 FlowBuf *out) FLOW_MUST_CHECK;

/*
 * flowi_row_pick
 *		The wanted columns of a row into number at of the vectors, pointers
 *		into the row.  What it lacks is its column's missing value.  CORRUPT: it
 *		is not a row of the shape.
 */
extern FlowStatus flowi_row_pick(const FlowShape *shape,
								 const uint32_t *columns, uint32_t ncolumns,
								 const uint8_t *row, size_t bytes,
								 FlowColumnVector *vectors,
								 uint32_t at) FLOW_MUST_CHECK;

/* The number that the bytes of an INT or FLOAT column are, as vectors have it. */
static inline int64_t
flowi_row_number(const FlowColumn *col, const uint8_t *p)
{
	switch (col->bytes)
	{
		case 1:
			return (int8_t) p[0];
		case 2:
			return (int16_t) ((uint32_t) p[0] | (uint32_t) p[1] << 8);
		case 4:
			return (int32_t) flowi_get32(p);
		default:
			return (int64_t) flowi_get64(p);
	}
}

#endif /* FLOW_ROW_H */
