/*-------------------------------------------------------------------------
 * sst_format.h
 *	  Numbers of the SSTable format that writer and reader share.
 *
 * Bytes: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SST_FORMAT_H
#define FLOW_SST_FORMAT_H

#include <xxhash.h>

#include "block.h"
#include "sst.h"

#define SST_VERSION 1
#define SST_MAGIC UINT64_C(0x3142545353574f4c) /* "LOWSSTB1" */

/* --- frame: what every block, the index and the properties stand in --- */
#define FRAME_CHECKSUM 0 /* over all behind it */
#define FRAME_RAW 8		 /* bytes before compression */
#define FRAME_STORED 12	 /* bytes behind the header */
#define FRAME_KIND 16
#define FRAME_CODEC 17
#define FRAME_ZERO 18
#define FRAME_BYTES 20

#define KIND_BLOCK 1
#define KIND_INDEX 2
#define KIND_PROPERTIES 3

#define CODEC_NONE 0
#define CODEC_LZ4 1

/* lz4 does not go beyond this ratio; bounds what a frame may claim */
#define LZ4_MAX_RATIO 255

/* --- index entry: fixed part, then first key, then last key --- */
#define ENTRY_STORED 0 /* frame bytes, header included */
#define ENTRY_RAW 4
#define ENTRY_ROWS 8
#define ENTRY_FIRST_TS 12 /* of the first and the last row */
#define ENTRY_LAST_TS 20
#define ENTRY_TS_MIN 28
#define ENTRY_TS_MAX 36
#define ENTRY_EXPIRE_MIN 44
#define ENTRY_EXPIRE_MAX 52
#define ENTRY_SEQ_MIN 60
#define ENTRY_SEQ_MAX 68
#define ENTRY_BYTES 76
/* a key is varint(0): as the key before it in the index; or varint(bytes +
 * 1), bytes */

/* --- properties: fixed part, then smallest key, then largest key --- */
#define PROP_ID 0
#define PROP_STORE 8
#define PROP_BLOCKS 12
#define PROP_RECORDS 16
#define PROP_TOMBSTONES 24
#define PROP_RAW_BYTES 32
#define PROP_TS_MIN 40
#define PROP_TS_MAX 48
#define PROP_EXPIRE_MIN 56
#define PROP_EXPIRE_MAX 64
#define PROP_SEQ_MIN 72
#define PROP_SEQ_MAX 80
#define PROP_KEY_MIN_BYTES 88
#define PROP_KEY_MAX_BYTES 92
#define PROP_BYTES 96

/* --- footer; version, magic and checksum keep their place from the end of
 * the file in every version --- */
#define FOOT_ID 0
#define FOOT_INDEX 8	   /* offset of the index frame */
#define FOOT_PROPERTIES 16 /* offset of the properties frame, just behind */
#define FOOT_STORE 24
#define FOOT_BLOCKS 28
#define FOOT_VERSION 32
#define FOOT_ZERO 36
#define FOOT_MAGIC 40
#define FOOT_CHECKSUM 48 /* over all before it */
#define FOOT_BYTES 56

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
