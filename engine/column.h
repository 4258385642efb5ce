/*-------------------------------------------------------------------------
 * column.h
 *	  One column of a block as a chunk of bytes: encode, read, read a part.
 *
 * A chunk tells its encoding; the encoder takes the smallest of those that
 * suit the values (doc/FORMAT.md "Column chunk").  NULLs are a bitmap beside
 * it, so that row i of the block is number i of the chunk, and a part of a
 * chunk is read without what stands before it.  A reader checks every length
 * before it uses it: any bytes give an error at worst.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COLUMN_H
#define FLOW_COLUMN_H

#include "codec.h"
#include "coding.h"

/* What a writer keeps from chunk to chunk; embed it. */
typedef struct FlowColumnWriter
{
	FlowCodec *codec;	 /* borrowed */
	FlowCompression how; /* of what no encoding has made small */
	int level;
	FlowBuf scratch[4];
} FlowColumnWriter;

extern void flowi_column_writer_init(FlowColumnWriter *w, FlowEnv *env,
									 FlowCodec *codec, FlowCompression how,
									 int level);
extern void flowi_column_writer_free(FlowColumnWriter *w);

/*
 * flowi_column_write
 *		The n values of v, a column of that kind, as a chunk behind out.  n is
 *		1 .. 2^20.
 */
extern FlowStatus flowi_column_write(FlowColumnWriter *w, const FlowColumn *col,
									 const FlowColumnVector *v, uint32_t n,
									 FlowBuf *out) FLOW_MUST_CHECK;

/* What a chunk says of its values without being decoded. */
typedef struct FlowColumnStats
{
	uint32_t nulls;
	bool has_bounds;  /* INT and FLOAT with a value that is not NULL */
	int64_t min, max; /* INT: numbers.  FLOAT: bits of doubles, in the order of
					   * FlowFilter */
} FlowColumnStats;

/* A chunk that is open; embed it.  It keeps its memory for the next one. */
typedef struct FlowColumnReader
{
	FlowEnv *env;
	FlowCodec *codec; /* borrowed */
	FlowColumn col;
	uint32_t n;
	const uint8_t *chunk; /* borrowed until the next open */
	size_t bytes;
	FlowColumnStats stats;
	uint8_t encoding;
	FlowBuf raw;	 /* what a codec has made of it */
	FlowBuf scratch; /* decoded as a whole, where parts cannot be */
	struct
	{
		const uint8_t *nulls; /* bitmap, or NULL */
		const uint8_t *p, *end;
		uint64_t u[8]; /* as the encoding needs it */
	} at;
} FlowColumnReader;

extern void flowi_column_reader_init(FlowColumnReader *r, FlowEnv *env,
									 FlowCodec *codec);
extern void flowi_column_reader_free(FlowColumnReader *r);

/*
 * flowi_column_open
 *		Look at a chunk of n values of that kind; decodes nothing yet.
 * flowi_column_read
 *		Values first .. first + count - 1 into v, from number at on.  Pointers
 *		are the reader's or the chunk's, until the next open.  v->any_null is
 *		only ever set.
 * Both: CORRUPT, without an error record, when the bytes are no such chunk.
 */
extern FlowStatus flowi_column_open(FlowColumnReader *r, const FlowColumn *col,
									uint32_t n, const uint8_t *chunk,
									size_t bytes) FLOW_MUST_CHECK;
extern FlowStatus flowi_column_read(FlowColumnReader *r, uint32_t first,
									uint32_t count, FlowColumnVector *v,
									uint32_t at) FLOW_MUST_CHECK;

#endif /* FLOW_COLUMN_H */
