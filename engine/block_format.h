/*-------------------------------------------------------------------------
 * block_format.h
 *	  What the builders and readers of the block formats share.
 *
 * Version 1, rows.  All that is fixed-width of a version stands apart from the values, in
 * columns of unsigned numbers: each a base in the header, and the offsets
 * from it in 0, 1, 2, 4 or 8 bytes a number.  Evenly spaced timestamps,
 * equal value lengths and equal sequences thus take no byte, the length of
 * every column is known before it is read, and a decoder runs plain loops
 * with no branch a row.
 *
 * Version 2, columns.  The same columns, but each a chunk (column.h), and so
 * is every column of the values, which are rows of a shape (row.h).  A reader
 * has the identities in arrays as of version 1; of the values it decodes what
 * is asked for.
 *
 * Bytes: doc/FORMAT.md "Block, version 1 (rows)", "Block, version 2
 * (columns)".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BLOCK_FORMAT_H
#define FLOW_BLOCK_FORMAT_H

#include "block.h"

/* --- version 1 --- */

/* Header; behind it the columns but the last, the bitmaps, the last column,
 * which needs them, keys, values. */
#define OFF_VERSION 0
#define OFF_FLAGS 1
#define OFF_WIDTHS 2
#define OFF_ZERO 9
#define OFF_NROWS 12
#define OFF_NRUNS 16
#define OFF_BASES 20
#define HEADER_BYTES 76

enum
{
	COL_RUN_ROWS,  /* rows of the run; one a run */
	COL_KEY_LEN,   /* one a run */
	COL_FIRST_TS,  /* of the run, sign bit flipped; one a run */
	COL_TS_DELTA,  /* to the row before; one a row that is not a run's first */
	COL_SEQ,	   /* one a row */
	COL_VALUE_LEN, /* one a row */
	COL_LIFE,	   /* expire_at - ts, modulo 2^64; one a mortal row */
	NCOLUMNS
};

_Static_assert(OFF_WIDTHS + NCOLUMNS == OFF_ZERO, "widths end at OFF_ZERO");
_Static_assert(OFF_BASES + 8 * NCOLUMNS == HEADER_BYTES, "bases end header");

#define FLAG_TOMBS 1	/* a bitmap of the tombstones follows the columns */
#define FLAG_MORTAL 2	/* some rows expire */
#define FLAG_IMMORTAL 4 /* with MORTAL: some do not; a bitmap of who does */
#define FLAGS_ALL 7

/* --- version 2; version, flags and the numbers of columns as above, without
 * COL_VALUE_LEN, in whose place COL_WIDTH is --- */
#define COL_WIDTH COL_VALUE_LEN /* value columns of the row; with FLAG_WIDTHS */

#define OFF2_NCOLUMNS 2 /* u16 */
#define OFF2_NROWS 4
#define OFF2_NRUNS 8
#define OFF2_KEY_BYTES 12
#define OFF2_LENGTHS 16 /* of the chunk of each column; 0: it has no number */
#define HEADER2_BYTES (OFF2_LENGTHS + 4 * NCOLUMNS)

/* behind it an entry a value column, then the bitmaps, keys, the chunks of the
 * columns above, those of the value columns */
#define DIR_KIND 0
#define DIR_ZERO 1
#define DIR_BYTES 2 /* u16, as FlowColumn.bytes */
#define DIR_OFFSET \
	4 /* of the chunk, in the block; it ends where the next one
					  * begins */
#define DIR_ENTRY 8

#define FLAG_WIDTHS 8 /* rows do not all have all value columns */
#define FLAGS2_ALL 15

#define SIGN_BIT ((uint64_t) 1 << 63)

/* --- builders --- */

typedef struct FlowBlockRow
{
	int64_t ts;
	int64_t expire_at;
	uint64_t seq;
	uint32_t value_bytes;
	uint16_t width; /* value columns, as long as the block conforms */
	uint8_t op;
} FlowBlockRow;

typedef struct FlowBlockRun
{
	uint32_t first_row;
	uint32_t key_bytes;
} FlowBlockRun;

static inline bool
flowi_block_is_tomb(const FlowBlockRow *row)
{
	return row->op == FLOW_DELETE;
}

static inline bool
flowi_block_is_mortal(const FlowBlockRow *row)
{
	return row->expire_at != FLOW_NEVER;
}

/* A bitmap of the rows that test says yes to, behind b->raw, which has the
 * room. */
extern void flowi_block_put_bitmap(FlowBlockBuilder *b,
								   bool (*test)(const FlowBlockRow *));

/* block_colbuild.c: take the value of the row added last apart; it begins at
 * offset off of b->values. */
extern FlowStatus flowi_block_split(FlowBlockBuilder *b, FlowBlockRow *row,
									size_t off) FLOW_MUST_CHECK;
/* Encode as version 2 into b->raw. */
extern FlowStatus
flowi_block_finish_columns(FlowBlockBuilder *b) FLOW_MUST_CHECK;

/* --- readers --- */

/* The arrays in b->mem, in the order they lie there. */
typedef struct FlowBlockArrays
{
	int64_t *ts;
	uint64_t *seq;
	int64_t *expire_at;
	uint64_t *scratch;	 /* nrows */
	int64_t *run_ts;	 /* version 2: nruns */
	uint32_t *value_off; /* version 1 */
	uint32_t *run_row;
	uint32_t *key_off;
	uint16_t *width; /* version 2 */
	uint8_t *null;	 /* version 2: nrows */
} FlowBlockArrays;

/* What a decoder walks along: the block's bytes and its header. */
typedef struct FlowBlockSource
{
	const uint8_t *head;
	const uint8_t *p;
	const uint8_t *end;
	unsigned flags;
	uint32_t nrows;
	uint32_t nruns;
} FlowBlockSource;

/*
 * block_read.c: make_arrays takes the memory; the others return what they
 * found, NULL or false if it is wrong.
 * bitmap: step over one, of the rows.
 * sum_lengths: n lengths to n + 1 offsets.
 * sum_ts: first, their sign bits flipped, and delta to the times of all rows;
 * *twicep: some come twice.
 * falling: do the sequences of each identity fall?
 * put_expire: the expiry of the mortal rows (NULL: all) into all.
 * put_keys: the keys, key_off[nruns] bytes, and all but the values into b;
 * what is wrong, or NULL.
 */
extern FlowStatus flowi_block_make_arrays(FlowBlock *b,
										  const FlowBlockSource *s,
										  FlowBlockArrays *a) FLOW_MUST_CHECK;
extern const uint8_t *flowi_block_bitmap(FlowBlockSource *s);
extern bool flowi_block_sum_lengths(const uint64_t *len, uint32_t n,
									uint64_t max, uint32_t *off);
extern bool flowi_block_sum_ts(const FlowBlockSource *s,
							   const uint32_t *run_row, const uint64_t *first,
							   const uint64_t *delta, int64_t *ts,
							   bool *twicep);
extern bool flowi_block_falling(const FlowBlockSource *s,
								const uint32_t *run_row, const int64_t *ts,
								const uint64_t *seq);
extern void flowi_block_put_expire(const FlowBlockSource *s,
								   const uint8_t *mortal,
								   const FlowBlockArrays *a);
extern uint32_t flowi_block_count_bits(const uint8_t *bitmap, uint32_t nrows);
extern const char *flowi_block_put_keys(FlowBlock *b, const uint8_t *keys,
										const FlowBlockSource *s,
										const FlowBlockArrays *a);

static inline bool
flowi_block_bit(const uint8_t *bitmap, uint32_t i)
{
	return bitmap[i >> 3] >> (i & 7) & 1;
}

/* block_value.c: forget the values of the last block; free their memory. */
extern void flowi_block_reset_values(FlowBlock *b);
extern void flowi_block_free_values(FlowBlock *b);

/* block_colread.c: decode a block of version 2; what is wrong, or NULL. */
extern FlowStatus
flowi_block_decode_columns(FlowBlock *b, FlowBlockSource *s,
						   const char **wrongp) FLOW_MUST_CHECK;

#endif /* FLOW_BLOCK_FORMAT_H */
