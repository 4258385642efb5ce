/*-------------------------------------------------------------------------
 * sst_format.h
 *	  Numbers of the SSTable format that writer and reader share.
 *
 *	 | segment 0 | segment 1 | ... | range tombstones | top index |
 *	 | properties | footer |
 *
 *	 a segment: | block | block | ... | filter | index leaf |
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SST_FORMAT_H
#define FLOW_SST_FORMAT_H

#include <xxhash.h>

#include "block.h"
#include "codec.h"
#include "sst.h"

#define SST_VERSION 4		 /* has packed blocks */
#define SST_VERSION_LEAST 2	 /* without blocks of columns */
#define SST_VERSION_MARKED 3 /* tells which blocks are plain */
#define SST_MAGIC UINT64_C(0x3142545353574f4c) /* "LOWSSTB1" */

/* --- where a segment ends: with the block that reaches one of these --- */
#define SEGMENT_BLOCKS 128u /* unless the spec says otherwise */
#define SEGMENT_KEYS 65536u /* distinct ones */
#define SEGMENT_BYTES \
	(64u << 20) /* of block frames; so offsets in a segment
									  * stay far below 2^32 */

/* --- frame: what everything but the footer stands in --- */
#define FRAME_CHECKSUM 0 /* over all behind it */
#define FRAME_RAW 8		 /* bytes before compression */
#define FRAME_STORED 12	 /* bytes behind the header */
#define FRAME_KIND 16
#define FRAME_CODEC 17
#define FRAME_ZERO 18
#define FRAME_BYTES 20

#define KIND_BLOCK 1
#define KIND_LEAF 2
#define KIND_PROPERTIES 3
#define KIND_FILTER 4
#define KIND_TOP 5
#define KIND_TOMBS 6

/* --- entry of an index leaf, one a block; behind the entries their keys,
 * back to back, one for each that is not the key before it --- */
#define LEAF_OFF 0		  /* of the frame, from the beginning of the segment */
#define LEAF_RAW 4		  /* raw bytes of the block */
#define LEAF_ROWS 8		  /* and LEAF_PLAIN */
#define LEAF_FIRST_KEY 12 /* where in the keys */
#define LEAF_LAST_KEY 16
#define LEAF_FIRST_BYTES 20 /* u16 */
#define LEAF_LAST_BYTES 22	/* u16 */
#define LEAF_FIRST_TS 24	/* of the first and the last row */
#define LEAF_LAST_TS 32
#define LEAF_BOUNDS 40
#define LEAF_BYTES 88

/* of rows, since version 3: none is a tombstone, no two are of one identity */
#define LEAF_PLAIN (UINT32_C(1) << 31)

/* --- entry of the top index, one a segment; keys as in a leaf --- */
#define TOP_OFF 0			/* where the segment begins */
#define TOP_BLOCK_BYTES 8	/* of its block frames together */
#define TOP_FILTER_BYTES 12 /* of the filter frame; 0: there is none */
#define TOP_LEAF_BYTES 16	/* of the index leaf's frame */
#define TOP_BLOCKS 20
#define TOP_ROWS 24
#define TOP_FIRST_KEY 32
#define TOP_LAST_KEY 36
#define TOP_FIRST_BYTES 40 /* u16 */
#define TOP_LAST_BYTES 42  /* u16 */
#define TOP_FLAGS 44	   /* before version 3: zero */
#define TOP_FIRST_TS 48
#define TOP_LAST_TS 56
#define TOP_BOUNDS 64
#define TOP_BYTES 112

#define TOP_PLAIN 1 /* all its blocks are LEAF_PLAIN */

/* --- bounds, in entries and properties --- */
#define BOUNDS_TS_MIN 0
#define BOUNDS_TS_MAX 8
#define BOUNDS_EXPIRE_MIN 16
#define BOUNDS_EXPIRE_MAX 24
#define BOUNDS_SEQ_MIN 32
#define BOUNDS_SEQ_MAX 40
#define BOUNDS_BYTES 48

/* --- range tombstone; keys follow: key_lo, key_hi --- */
#define TOMB_SEQ 0
#define TOMB_TS_LO 8
#define TOMB_TS_HI 16
#define TOMB_LO_BYTES 24
#define TOMB_HI_BYTES 28 /* OPEN_KEY: no upper end */
#define TOMB_BYTES 32

#define OPEN_KEY UINT32_MAX

/* --- properties; keys follow: smallest, largest, cover's key_lo, key_hi --- */
#define PROP_ID 0
#define PROP_STORE 8
#define PROP_LEVEL 12
#define PROP_ORIGIN 16
#define PROP_SEGMENTS 20
#define PROP_BLOCKS 24
#define PROP_RECORDS 32
#define PROP_TOMBSTONES 40
#define PROP_KEYS 48
#define PROP_NTOMBS 56
#define PROP_RAW_BYTES 64
#define PROP_BOUNDS 72
#define PROP_KEY_MIN_BYTES 120
#define PROP_KEY_MAX_BYTES 124
#define PROP_COVER_TS_LO 128
#define PROP_COVER_TS_HI 136
#define PROP_COVER_LO_BYTES 144
#define PROP_COVER_HI_BYTES 148 /* OPEN_KEY: no upper end */
#define PROP_BYTES 152

/* --- footer; version, magic and checksum keep their place from the end of
 * the file in every version --- */
#define FOOT_ID 0
#define FOOT_TOMBS 8	   /* end of the segments; tombstone frame, if any */
#define FOOT_TOP 16		   /* top index frame, if any */
#define FOOT_PROPERTIES 24 /* properties frame; ends at the footer */
#define FOOT_STORE 32
#define FOOT_SEGMENTS 36
#define FOOT_VERSION 40
#define FOOT_ZERO 44
#define FOOT_MAGIC 48
#define FOOT_CHECKSUM 56 /* over all before it */
#define FOOT_BYTES 64

/* What blocks, segments and files know of their rows. */
typedef struct FlowBounds
{
	int64_t ts_min, ts_max;
	int64_t expire_min, expire_max;
	uint64_t seq_min, seq_max;
} FlowBounds;

#define FLOW_BOUNDS_EMPTY                  \
	((FlowBounds){.ts_min = INT64_MAX,     \
				  .ts_max = INT64_MIN,     \
				  .expire_min = INT64_MAX, \
				  .expire_max = INT64_MIN, \
				  .seq_min = UINT64_MAX,   \
				  .seq_max = 0})

static inline void
flowi_bounds_put(uint8_t *p, const FlowBounds *b)
{
	flowi_put64(p + BOUNDS_TS_MIN, (uint64_t) b->ts_min);
	flowi_put64(p + BOUNDS_TS_MAX, (uint64_t) b->ts_max);
	flowi_put64(p + BOUNDS_EXPIRE_MIN, (uint64_t) b->expire_min);
	flowi_put64(p + BOUNDS_EXPIRE_MAX, (uint64_t) b->expire_max);
	flowi_put64(p + BOUNDS_SEQ_MIN, b->seq_min);
	flowi_put64(p + BOUNDS_SEQ_MAX, b->seq_max);
}

static inline void
flowi_bounds_get(const uint8_t *p, FlowBounds *b)
{
	b->ts_min = (int64_t) flowi_get64(p + BOUNDS_TS_MIN);
	b->ts_max = (int64_t) flowi_get64(p + BOUNDS_TS_MAX);
	b->expire_min = (int64_t) flowi_get64(p + BOUNDS_EXPIRE_MIN);
	b->expire_max = (int64_t) flowi_get64(p + BOUNDS_EXPIRE_MAX);
	b->seq_min = flowi_get64(p + BOUNDS_SEQ_MIN);
	b->seq_max = flowi_get64(p + BOUNDS_SEQ_MAX);
}

/* Widen b to those of part. */
static inline void
flowi_bounds_join(FlowBounds *b, const FlowBounds *part)
{
	b->ts_min = FLOW_MIN(b->ts_min, part->ts_min);
	b->ts_max = FLOW_MAX(b->ts_max, part->ts_max);
	b->expire_min = FLOW_MIN(b->expire_min, part->expire_min);
	b->expire_max = FLOW_MAX(b->expire_max, part->expire_max);
	b->seq_min = FLOW_MIN(b->seq_min, part->seq_min);
	b->seq_max = FLOW_MAX(b->seq_max, part->seq_max);
}

static inline void
flowi_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) v;
	p[1] = (uint8_t) (v >> 8);
}

static inline uint32_t
flowi_get16(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}

/*
 * Checksum of a frame: seeded by file and place, so that a good frame in a
 * wrong place is found too.
 */
static inline uint64_t
flowi_frame_checksum(const uint8_t *frame, size_t stored, uint64_t id,
					 uint64_t off)
{
	return XXH3_64bits_withSeed(frame + FRAME_RAW,
								FRAME_BYTES - FRAME_RAW + stored,
								id * UINT64_C(0x9e3779b97f4a7c15) + off);
}

#endif /* FLOW_SST_FORMAT_H */
