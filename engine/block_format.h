/*-------------------------------------------------------------------------
 * block_format.h
 *	  Numbers of the block format that builder and reader share.
 *
 * All that is fixed-width of a version stands apart from the values, in
 * columns of unsigned numbers: each a base in the header, and the offsets
 * from it in 0, 1, 2, 4 or 8 bytes a number.  Evenly spaced timestamps,
 * equal value lengths and equal sequences thus take no byte, the length of
 * every column is known before it is read, and a decoder runs plain loops
 * with no branch a row.
 *
 * Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BLOCK_FORMAT_H
#define FLOW_BLOCK_FORMAT_H

#include "block.h"

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

#define SIGN_BIT ((uint64_t) 1 << 63)

#endif /* FLOW_BLOCK_FORMAT_H */
