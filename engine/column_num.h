/*-------------------------------------------------------------------------
 * column_num.h
 *	  A sequence of 64-bit numbers as bytes: what columns are made of.
 *
 * Bytes: doc/FORMAT.md "Numbers".  Integers, doubles that are decimals, ends
 * of values and numbers of a dictionary all come down to such a sequence.
 * Arithmetic is modulo 2^64, so that differences never overflow.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_COLUMN_NUM_H
#define FLOW_COLUMN_NUM_H

#include "bitpack_impl.h"

/* Forms; a format. */
#define FLOW_NUM_CONSTANT 0
#define FLOW_NUM_LINEAR 1
#define FLOW_NUM_FRAMES 2
#define FLOW_NUM_RUNS 3
#define FLOW_NUM_DICTIONARY 4
#define FLOW_NUM_SCALED 0x10 /* flag: a scale and an offset follow */

#define FLOW_NUM_SUMS 0x80 /* of the width of a frame: sums of what is packed */

/* What a writer keeps; embed it. */
typedef struct FlowNumWriter
{
	FlowBuf frames;	 /* struct of column_frame.c, one a frame */
	FlowBuf packed;	 /* frames, packed */
	FlowBuf patches; /* struct of column_frame.c */
	FlowBuf runs;	 /* ends and values of runs; places in a dictionary */
	FlowBuf part;	 /* the first of two sequences */
	FlowBuf scaled;	 /* numbers over a divisor */
} FlowNumWriter;

extern void flowi_num_writer_init(FlowNumWriter *w, FlowEnv *env);
extern void flowi_num_writer_free(FlowNumWriter *w);

/* What one pass over all numbers tells. */
typedef struct FlowNumLook
{
	uint32_t runs;
	bool linear; /* and two numbers or more */
	int64_t lo, hi;
} FlowNumLook;

/*
 * flowi_num_fill
 *		Give the numbers that are holes (hole: one byte each) such values that
 *		they cost least: between those of their neighbours.
 * flowi_num_look, flowi_num_write
 *		The n numbers, 1 .. 2^20 of them, behind out.
 */
extern void flowi_num_fill(int64_t *x, const uint8_t *hole, uint32_t n);
extern FlowNumLook flowi_num_look(const int64_t *x, uint32_t n);
extern FlowStatus flowi_num_write(FlowNumWriter *w, const int64_t *x,
								  uint32_t n, const FlowNumLook *look,
								  FlowBuf *out) FLOW_MUST_CHECK;

/*
 * flowi_num_look_plain, flowi_num_look_avx2
 *		flowi_num_look for any processor, and for one with AVX2.
 * flowi_num_lanes_avx2
 *		The smallest and the greatest numbers of FLOW_NUM_LANES groups, of as
 *		many numbers or more: each eighth from the first on, from the second on,
 *		and so on.
 */
#define FLOW_NUM_LANES 8u

extern FlowNumLook flowi_num_look_plain(const int64_t *x, uint32_t n);
#if FLOW_AVX2
extern FlowNumLook flowi_num_look_avx2(const int64_t *x, uint32_t n);
extern void flowi_num_lanes_avx2(const int64_t *x, uint32_t n, int64_t *lows,
								 int64_t *highs);
#endif

/* FRAMES without the form; in column_frame.c. */
extern FlowStatus flowi_num_write_frames(FlowNumWriter *w, const int64_t *x,
										 uint32_t n,
										 FlowBuf *out) FLOW_MUST_CHECK;

/* A sequence that is open; embed it. */
typedef struct FlowNumReader
{
	uint32_t n;
	uint8_t form;	/* of the sequence */
	uint8_t simple; /* CONSTANT, LINEAR or FRAMES: its, or that of the places in
					 * a dictionary */
	uint64_t scale, offset; /* scale 1: there is none */
	const uint8_t *end;

	/* the simple form; base, step: of the whole, or added to each frame's */
	uint64_t base, step;
	const uint8_t *widths, *bases, *steps, *packed;
	const uint8_t *positions, *patches; /* npatches of each */
	uint32_t nframes, npatches;
	uint8_t base_bytes, step_bytes, position_bytes, patch_bytes;
	uint32_t at_frame; /* where the last read was: a frame, */
	size_t at_offset;  /* and where in packed it begins */
	uint32_t at_patch; /* the patch behind what was read last */
	/* borrowed, FLOW_FRAME numbers, or NULL: a frame that only a part of was
	 * wanted, since the next part may be next; and which, or UINT32_MAX */
	uint64_t *window;
	uint32_t window_frame;
	uint32_t asked_frame; /* that one number was read of, or UINT32_MAX */

	/* RUNS: sequences of ends, then values.  DICTIONARY: of values, then of
	 * places, which is the simple form */
	uint32_t nvalues;
	const uint8_t *first, *second;
	FlowBuf *scratch; /* borrowed: values, then ends */
	bool expanded;	  /* scratch has them */
	bool asked;		  /* RUNS: for one, without scratch */
	uint32_t at_run;
} FlowNumReader;

/*
 * flowi_num_open
 *		A sequence of n numbers that takes [p, end).  scratch is used for this
 *		sequence alone until the last read of it.  Has no window; who wants
 *		one sets it afterwards.
 * flowi_num_read
 *		count >= 1 numbers from number first on.
 * Both: CORRUPT, without an error record, when that is no such sequence.
 */
extern FlowStatus flowi_num_open(FlowNumReader *r, FlowBuf *scratch,
								 const uint8_t *p, const uint8_t *end,
								 uint32_t n) FLOW_MUST_CHECK;
extern FlowStatus flowi_num_read(FlowNumReader *r, uint32_t first,
								 uint32_t count, int64_t *out) FLOW_MUST_CHECK;

/* A little-endian number of 0 to 8 bytes. */
static inline uint64_t
flowi_num_get_bytes(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t) p[i] << (8 * i);
	return v;
}

#endif /* FLOW_COLUMN_NUM_H */
