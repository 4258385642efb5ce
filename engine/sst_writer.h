/*-------------------------------------------------------------------------
 * sst_writer.h
 *	  What the files of the SSTable writer share: sst_write.c gathers blocks
 *	  and segments, sst_finish.c writes what stands behind them.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SST_WRITER_H
#define FLOW_SST_WRITER_H

#include "bloom.h"
#include "sst_format.h"

/* Entries of an index leaf or of the top index, and their keys. */
typedef struct FlowIndexTable
{
	FlowBuf entries;
	FlowBuf keys;
	uint32_t last; /* where in keys the last one begins */
	uint32_t n;
} FlowIndexTable;

/* Private to one process; made by flowi_sst_create. */
struct FlowSstWriter
{
	FlowEnv *env;
	FlowFile *file;
	char *path;
	FlowSstSpec spec; /* with the defaults filled in */
	FlowCodec codec;
	uint32_t pack_pause; /* blocks that are not tried to be packed */
	uint32_t pack_vain;	 /* tries in a row that have brought nothing */

	/* the block that gathers */
	FlowBlockBuilder block;
	uint64_t columns_bytes; /* where one of columns ends */
	FlowBounds block_bounds;
	bool block_plain; /* LEAF_PLAIN holds so far */
	int64_t block_first_ts;

	/* the segment that gathers */
	uint64_t seg_off; /* where it begins */
	uint64_t seg_rows;
	int64_t seg_first_ts;
	FlowBounds seg_bounds;
	bool seg_plain;
	FlowIndexTable leaf; /* its blocks so far */
	FlowBuf hashes;		 /* uint64_t, one a distinct key */
	FlowBuf filter;

	/* the last version added, and the very first key */
	FlowBuf key;
	FlowBuf key_min;
	int64_t last_ts;
	uint64_t last_seq;

	/* range tombstones, in the order they came, sorted at the end */
	FlowBuf tombs;	   /* FlowWriterTomb */
	FlowBuf tomb_keys; /* their keys */

	/* the file */
	FlowBuf out;	  /* frames on their way to it */
	uint64_t written; /* bytes of it before out */
	uint64_t synced;
	FlowIndexTable top; /* segments so far */
	uint64_t nblocks;
	FlowBounds bounds; /* of all records in blocks that are done */
	FlowSstInfo info;  /* counts so far */
};

typedef struct FlowWriterTomb
{
	uint64_t seq;
	int64_t ts_lo, ts_hi;
	size_t lo_off, hi_off; /* of tomb_keys */
	uint32_t lo_bytes;
	uint32_t hi_bytes; /* OPEN_KEY: no upper end */
} FlowWriterTomb;

/* Where the next frame begins. */
static inline uint64_t
flowi_writer_end(const FlowSstWriter *w)
{
	return w->written + w->out.len;
}

/* Append raw as one frame, compressed where how says so and it saves a
 * sixteenth. */
extern FlowStatus flowi_writer_frame(FlowSstWriter *w, uint8_t kind,
									 FlowCompression how, const FlowBuf *raw,
									 size_t *frame_bytesp) FLOW_MUST_CHECK;
/* Give the frames that have gathered to the file. */
extern FlowStatus flowi_writer_flush(FlowSstWriter *w) FLOW_MUST_CHECK;

/* End the segment that gathers, if any, its last block included. */
extern FlowStatus flowi_writer_end_segment(FlowSstWriter *w) FLOW_MUST_CHECK;

#endif /* FLOW_SST_WRITER_H */
