/*-------------------------------------------------------------------------
 * column_impl.h
 *	  What the files of column.h share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COLUMN_IMPL_H
#define FLOW_COLUMN_IMPL_H

#include "column.h"
#include "floatbits.h"
#include "row.h"

/* Flags of a chunk's first byte. */
#define FLOW_CHUNK_BITMAP 0x10	  /* of NULLs */
#define FLOW_CHUNK_NULL_RUNS 0x20 /* ends of runs of them */

#define FLOW_CHUNK_ALL_NULL 0xff /* never stored */

#define FLOW_NAN_BITS INT64_C(0x7ff8000000000000)

/* The double that a number of a FLOAT column of so many bytes is. */
static inline double
flowi_column_double(int64_t num, uint32_t bytes)
{
	return bytes == 4 ? (double) flowi_float(num) : flowi_double(num);
}

static inline bool
flowi_column_is_null(const FlowColumnVector *v, uint32_t i)
{
	return v->any_null && v->null[i];
}

/*
 * flowi_null_write
 *		What tells the NULLs, behind out, and the flag that tells of it;
 *		ALL_NULL: nothing more is needed.
 * flowi_null_open, flowi_null_read
 *		The same from *pp on, which is moved behind it; as flowi_column_read.
 */
extern FlowStatus flowi_null_write(FlowColumnWriter *w,
								   const FlowColumnVector *v, uint32_t n,
								   uint8_t *flagsp,
								   FlowBuf *out) FLOW_MUST_CHECK;
extern bool flowi_null_open(FlowColumnReader *r, uint8_t flags,
							const uint8_t **pp, const uint8_t *end);
extern FlowStatus flowi_null_read(FlowColumnReader *r, uint32_t first,
								  uint32_t count, FlowColumnVector *v,
								  uint32_t at) FLOW_MUST_CHECK;

/*
 * flowi_float_write, flowi_bytes_write
 *		What stands behind the NULLs of a chunk that is not ONE, behind out,
 *		and its encoding.
 * flowi_float_put_one
 *		The one value of a FLOAT column, behind out.
 */
extern FlowStatus flowi_float_write(FlowColumnWriter *w, const FlowColumn *col,
									const FlowColumnVector *v, uint32_t n,
									uint8_t *encodingp,
									FlowBuf *out) FLOW_MUST_CHECK;
extern FlowStatus flowi_float_put_one(int64_t num, uint32_t bytes,
									  FlowBuf *out) FLOW_MUST_CHECK;
extern FlowStatus flowi_bytes_write(FlowColumnWriter *w, const FlowColumn *col,
									const FlowColumnVector *v, uint32_t n,
									uint8_t *encodingp,
									FlowBuf *out) FLOW_MUST_CHECK;

/*
 * flowi_float_open, flowi_bytes_open
 *		The same, from p to end, of an encoding that the header of the chunk
 *		tells, ONE included: sets r->stats but for the NULLs.
 * flowi_float_convert
 *		What has been read of r->num, numbers first .. first + count - 1,
 *		becomes numbers of the column.
 * flowi_bytes_read
 *		As flowi_column_read; v->null is set.
 */
extern FlowStatus flowi_float_open(FlowColumnReader *r, const uint8_t *p,
								   const uint8_t *end) FLOW_MUST_CHECK;
extern void flowi_float_convert(const FlowColumnReader *r, uint32_t first,
								uint32_t count, int64_t *num);
extern FlowStatus flowi_bytes_open(FlowColumnReader *r, const uint8_t *p,
								   const uint8_t *end) FLOW_MUST_CHECK;
extern FlowStatus flowi_bytes_read(FlowColumnReader *r, uint32_t first,
								   uint32_t count, FlowColumnVector *v,
								   uint32_t at) FLOW_MUST_CHECK;

/*
 * flowi_heap_write
 *		Bytes of values, behind out; uses scratch 1 and 2.
 * flowi_heap_open
 *		The same from *pp on, which is moved behind it.
 * flowi_heap_need
 *		Have bytes from .. to - 1 of it, which has r->raw_bytes, in r->heap.
 */
extern FlowStatus flowi_heap_write(FlowColumnWriter *w, const FlowBuf *heap,
								   FlowBuf *out) FLOW_MUST_CHECK;
extern bool flowi_heap_open(FlowColumnReader *r, const uint8_t **pp,
							const uint8_t *end);
extern FlowStatus flowi_heap_need(FlowColumnReader *r, size_t from,
								  size_t to) FLOW_MUST_CHECK;

#endif /* FLOW_COLUMN_IMPL_H */
