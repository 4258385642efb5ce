/*-------------------------------------------------------------------------
 * row.h
 *	  A value that is a row of columns: take it apart, put it together, pick
 *	  some columns of many.
 *
 * Bytes: doc/FORMAT.md "Value: a row of value columns".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_ROW_H
#define FLOW_ROW_H

#include "coding.h"

#define FLOW_ROW_VERSION 1

/*
 * flowi_store_shape
 *		The shape of a store's rows as its definition is now, in memory of
 *		env->alloc; columns NULL and ncolumns 0: it has none that is known.
 *		NOMEM.  Takes the state lock (L2).
 */
extern FlowStatus flowi_store_shape(FlowDb *db, uint32_t store_id,
									FlowShape *shape) FLOW_MUST_CHECK;
extern void flowi_shape_free(FlowEnv *env, FlowShape *shape);

/* Has the column a length that fits its kind? */
extern bool flowi_column_ok(const FlowColumn *col);

/* Are its values numbers of a vector, not bytes? */
static inline bool
flowi_column_is_number(const FlowColumn *col)
{
	return col->kind == FLOW_COLUMN_INT || col->kind == FLOW_COLUMN_FLOAT;
}

/* One value of a row; p points into the row. */
typedef struct FlowRowValue
{
	const uint8_t *p; /* NULL: it is NULL */
	uint32_t bytes;	  /* with its header */
} FlowRowValue;

/*
 * flowi_row_split
 *		All columns that the row has into values (room for shape->ncolumns);
 *		*ncolumnsp: how many it has.  False: it is not such a row, or not
 *		written in the one way that flowi_row_join writes it, or has more
 *		columns than the shape.
 * flowi_row_join
 *		The row that has these n values, appended to out.  What split has given
 *		makes the very bytes that it was given.
 */
extern bool flowi_row_split(const FlowShape *shape, const uint8_t *row,
							size_t bytes, FlowRowValue *values,
							uint32_t *ncolumnsp);
extern FlowStatus flowi_row_join(const FlowShape *shape,
								 const FlowRowValue *values, uint32_t n,
								 FlowBuf *out) FLOW_MUST_CHECK;

/* What a picker knows of one wanted column. */
typedef struct FlowRowPick
{
	const FlowColumn *col;
	uint32_t column; /* its number */
	uint32_t offset; /* from the first value, in rows without NULLs; only of
					  * the picker's first nfixed columns */
	int64_t missing; /* the number of a column that is not in the row */
} FlowRowPick;

/*
 * Picks the same columns of many rows; embed it.  The columns before the first
 * one of varying length stand at fixed offsets in rows without NULLs: the
 * wanted ones among them, the first nfixed, are read directly, and the walk
 * for the others begins at the column walk.
 */
typedef struct FlowRowPicker
{
	const FlowShape *shape; /* borrowed */
	uint32_t ncolumns;		/* wanted */
	uint32_t nbytes;		/* of these, how many are not numbers */
	uint32_t nfixed;
	uint32_t walk;		  /* number of a column */
	uint32_t walk_offset; /* from the first value */
	FlowRowPick *picks;	  /* borrowed */
} FlowRowPicker;

/*
 * flowi_row_picker_set
 *		Make *k a picker of these columns; picks has room for as many.
 *		INVALID: the shape or the numbers break the rules of flow.h.
 */
extern FlowStatus flowi_row_picker_set(FlowRowPicker *k, const FlowShape *shape,
									   const uint32_t *columns,
									   uint32_t ncolumns,
									   FlowRowPick *picks) FLOW_MUST_CHECK;

/*
 * flowi_row_pick
 *		The wanted columns of a row into number at of the vectors; null is set
 *		in any case.  Pointers are into the row, or the shape's missing value
 *		where the row is older than the column.  CORRUPT: it is not a row of
 *		the shape; MISMATCH: of a newer version.  Both with FlowError.row.
 * flowi_row_pick_run
 *		The same of n rows, into number at and those behind it; row i is
 *		[off[i], off[i + 1]) of base.
 */
extern FlowStatus flowi_row_pick(const FlowRowPicker *k, const uint8_t *row,
								 size_t bytes, FlowColumnVector *vectors,
								 uint32_t at) FLOW_MUST_CHECK;
extern FlowStatus flowi_row_pick_run(const FlowRowPicker *k,
									 const uint8_t *base, const uint32_t *off,
									 uint32_t n, FlowColumnVector *vectors,
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
