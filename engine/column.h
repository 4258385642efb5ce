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
#include "column_num.h"

#define FLOW_COLUMN_MAX_ROWS (1u << 20)

/* Encodings; a format. */
#define FLOW_CHUNK_NULLS 0		/* nothing but NULLs */
#define FLOW_CHUNK_ONE 1		/* one value for all that are not NULL */
#define FLOW_CHUNK_NUMBERS 2	/* INT */
#define FLOW_CHUNK_DECIMALS 3	/* FLOAT: numbers over a power of ten */
#define FLOW_CHUNK_BITS 4		/* FLOAT: its bits as numbers */
#define FLOW_CHUNK_DICTIONARY 5 /* others: different values, and which */
#define FLOW_CHUNK_PLAIN 6		/* others: back to back */

/* What a writer keeps from chunk to chunk; embed it. */
typedef struct FlowColumnWriter
{
	FlowCodec *codec;	 /* borrowed */
	FlowCompression how; /* of what no encoding has made small */
	int level;
	FlowNumWriter num;
	FlowBuf scratch[4];
} FlowColumnWriter;

extern void flowi_column_writer_init(FlowColumnWriter *w, FlowEnv *env,
									 FlowCodec *codec, FlowCompression how,
									 int level);
extern void flowi_column_writer_free(FlowColumnWriter *w);

/*
 * flowi_column_write
 *		The n values of v, a column of that kind, as a chunk behind out.  n is
 *		1 .. 2^20.  Numbers and pointers of NULLs are not looked at; v->null
 *		may be NULL when v->any_null is false.
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
					   * FlowFilter; NaN is 0x7ff8000000000000 */
} FlowColumnStats;

/* A chunk that is open; embed it.  It keeps its memory for the next one. */
typedef struct FlowColumnReader
{
	FlowEnv *env;
	FlowCodec *codec; /* borrowed */
	FlowColumn col;
	uint32_t n;
	FlowColumnStats stats;
	uint8_t encoding;

	/* NULLs, unless all are or none is */
	bool asked;							 /* for one, without a bitmap */
	const uint8_t *nulls;				 /* bitmap; NULL: not made yet */
	uint32_t null_runs;					 /* or 0 */
	const uint8_t *null_ends, *null_end; /* sequence of their ends */

	FlowNumReader num; /* NUMBERS, DECIMALS, BITS; DICTIONARY: entries;
						* PLAIN: ends, unless all have one length */
	int64_t one;	   /* ONE of numbers */
	uint64_t window[FLOW_FRAME]; /* num's */

	/* FLOAT */
	unsigned exponent;		  /* DECIMALS */
	unsigned shift;			  /* BITS */
	uint32_t npatches;		  /* DECIMALS */
	const uint8_t *positions; /* of the patches, 4 bytes each */
	const uint8_t *patches;

	/* the other kinds */
	const uint8_t *heap; /* values, or pieces of them; of ONE the value */
	size_t heap_bytes;	 /* as stored */
	size_t raw_bytes;
	uint8_t heap_codec;
	bool split;						/* pieces are known; heap is raw */
	bool ready;						/* DICTIONARY: the table is made */
	uint32_t nentries;				/* DICTIONARY */
	const uint8_t *ends, *ends_end; /* of entries, or of values */
	FlowBuf pieces;					/* struct of column_heap.c */
	FlowBuf raw;					/* the pieces that were needed */
	FlowBuf table;					/* DICTIONARY: ends of the entries */
	FlowBuf runs;					/* of num */
	FlowBuf bitmap;					/* nulls, made of runs */
} FlowColumnReader;

extern void flowi_column_reader_init(FlowColumnReader *r, FlowEnv *env,
									 FlowCodec *codec);
extern void flowi_column_reader_free(FlowColumnReader *r);

/*
 * flowi_column_open
 *		Look at a chunk of n values of that kind; decodes nothing yet.
 * flowi_column_read
 *		Values first .. first + count - 1 into v, from number at on; count >= 1.
 *		Pointers are the reader's or the chunk's, until the next open.  v->null
 *		is set of each; v->any_null is only ever set.
 * Both: CORRUPT, without an error record, when the bytes are no such chunk;
 * after that of flowi_column_read what it had to set is anything.
 */
extern FlowStatus flowi_column_open(FlowColumnReader *r, const FlowColumn *col,
									uint32_t n, const uint8_t *chunk,
									size_t bytes) FLOW_MUST_CHECK;
extern FlowStatus flowi_column_read(FlowColumnReader *r, uint32_t first,
									uint32_t count, FlowColumnVector *v,
									uint32_t at) FLOW_MUST_CHECK;

#endif /* FLOW_COLUMN_H */
