/*-------------------------------------------------------------------------
 * codec.h
 *	  Compress and decompress frames: none, lz4, zstd.
 *
 * The numbers are a format: doc/FORMAT.md "SSTable".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_CODEC_H
#define FLOW_CODEC_H

#include "coding.h"

#define FLOW_CODEC_NONE 0
#define FLOW_CODEC_LZ4 1   /* lz4 block format */
#define FLOW_CODEC_ZSTD 2  /* one zstd frame that tells its content size */
#define FLOW_CODEC_BLOCK 3 /* a block of rows by columns: block_pack.c */

/* A larger block is not packed: a few bytes can claim to be any number of
 * rows, and reading takes memory for each number of them at once. */
#define FLOW_PACKED_MAX_BYTES (4u << 20)

/*
 * The contexts of one writer or reader; embed it.  They are made when they
 * are needed first, of private memory.
 */
typedef struct FlowCodec
{
	FlowEnv *env;
	struct ZSTD_CCtx_s *compressor;
	struct ZSTD_DCtx_s *decompressor;
	struct FlowPacker *packer; /* block_pack.c */
	struct FlowUnpacker *unpacker;
} FlowCodec;

extern void flowi_codec_init(FlowCodec *c, FlowEnv *env);
extern void flowi_codec_free(FlowCodec *c);

/*
 * flowi_codec_compress
 *		Compress raw into out, which has most bytes.  *codecp: what it was
 *		compressed with, FLOW_CODEC_NONE when most bytes are not enough (out
 *		is not filled then).  raw_bytes is at most 2^30.
 */
extern FlowStatus flowi_codec_compress(FlowCodec *c, FlowCompression how,
									   int level, const uint8_t *raw,
									   size_t raw_bytes, uint8_t *out,
									   size_t most, uint8_t *codecp,
									   size_t *out_bytesp) FLOW_MUST_CHECK;

/*
 * flowi_codec_pack_block
 *		A block of version 1 as FLOW_CODEC_BLOCK into *outp, which is c's until
 *		its next use; *bytesp 0: it has nothing to gain from that.  how: of
 *		what has to be compressed inside.
 * flowi_codec_unpack_block
 *		As flowi_codec_decompress, which calls it.
 * flowi_codec_block_plausible
 *		Can the block whose packed bytes begin with that header be so large?
 * flowi_codec_free_packers
 *		What the two keep.
 */
extern FlowStatus flowi_codec_pack_block(FlowCodec *c, FlowCompression how,
										 int level, const uint8_t *raw,
										 size_t raw_bytes, const uint8_t **outp,
										 size_t *bytesp) FLOW_MUST_CHECK;
extern FlowStatus flowi_codec_unpack_block(FlowCodec *c, const uint8_t *stored,
										   size_t stored_bytes, uint8_t *out,
										   size_t raw_bytes) FLOW_MUST_CHECK;
extern bool flowi_codec_block_plausible(const uint8_t *stored,
										size_t stored_bytes, size_t raw_bytes);
extern void flowi_codec_free_packers(FlowCodec *c);

/*
 * flowi_codec_plausible
 *		Can stored bytes be raw_bytes of them?  To be asked before memory is
 *		taken for them: no codec goes beyond a certain ratio, zstd says the
 *		size itself, and a packed block how many rows of what length it has.
 * flowi_codec_decompress
 *		Into out, exactly raw_bytes of them; CORRUPT (without an error
 *		record) when that is not what comes out.  Never writes beyond.
 */
extern bool flowi_codec_plausible(uint8_t codec, const uint8_t *stored,
								  size_t stored_bytes, size_t raw_bytes);
extern FlowStatus flowi_codec_decompress(FlowCodec *c, uint8_t codec,
										 const uint8_t *stored,
										 size_t stored_bytes, uint8_t *out,
										 size_t raw_bytes) FLOW_MUST_CHECK;

#endif /* FLOW_CODEC_H */
