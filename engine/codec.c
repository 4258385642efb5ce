/*-------------------------------------------------------------------------
 * codec.c
 *	  Compress and decompress frames: none, lz4, zstd.
 *
 * zstd takes its memory by the environment, like everything else; its
 * contexts are large, so one serves all frames of a writer or reader.
 *-------------------------------------------------------------------------
 */
#include "codec.h"

#include <lz4.h>
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_customMem */
#include <zstd.h>
#include <zstd_errors.h>

/* lz4 does not go beyond this ratio. */
#define LZ4_MAX_RATIO 255

/* Nor zstd beyond this one: a block of at most 128 KiB takes 4 bytes. */
#define ZSTD_MAX_RATIO (128u * 1024u / 4u)

/* Columns could, and are not taken then. */
#define BLOCK_MAX_RATIO ZSTD_MAX_RATIO

void
flowi_codec_init(FlowCodec *c, FlowEnv *env)
{
	*c = (FlowCodec){.env = env};
}

void
flowi_codec_free(FlowCodec *c)
{
	ZSTD_freeCCtx(c->compressor); /* NULL is fine */
	ZSTD_freeDCtx(c->decompressor);
	flowi_codec_free_packers(c);
	flowi_codec_init(c, c->env);
}

static void *
zstd_alloc(void *arg, size_t size)
{
	FlowEnv *env = arg;

	return env->alloc(env, size);
}

static void
zstd_free(void *arg, void *p)
{
	FlowEnv *env = arg;

	env->free(env, p);
}

static FlowStatus
no_memory(void)
{
	return flowi_fail(FLOW_NOMEM, "out of memory for zstd");
}

/* 0: does not fit into most bytes. */
static FlowStatus
compress_zstd(FlowCodec *c, int level, const uint8_t *raw, size_t raw_bytes,
			  uint8_t *out, size_t most, size_t *out_bytesp)
{
	size_t n;

	*out_bytesp = 0;
	if (c->compressor == NULL)
		c->compressor = ZSTD_createCCtx_advanced(
			(ZSTD_customMem){zstd_alloc, zstd_free, c->env});
	if (c->compressor == NULL)
		return no_memory();
	n = ZSTD_compressCCtx(c->compressor, out, most, raw, raw_bytes, level);
	if (!ZSTD_isError(n))
		*out_bytesp = n;
	else if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return no_memory();
	return FLOW_OK;
}

FlowStatus
flowi_codec_compress(FlowCodec *c, FlowCompression how, int level,
					 const uint8_t *raw, size_t raw_bytes, uint8_t *out,
					 size_t most, uint8_t *codecp, size_t *out_bytesp)
{
	size_t n = 0;

	*codecp = FLOW_CODEC_NONE;
	*out_bytesp = 0;
	if (how == FLOW_COMPRESS_LZ4)
		n = (size_t) LZ4_compress_default((const char *) raw, (char *) out,
										  (int) raw_bytes, (int) most);
	else if (how == FLOW_COMPRESS_ZSTD)
		FLOW_TRY(compress_zstd(c, level, raw, raw_bytes, out, most, &n));
	if (n == 0)
		return FLOW_OK;
	*codecp = how == FLOW_COMPRESS_LZ4 ? FLOW_CODEC_LZ4 : FLOW_CODEC_ZSTD;
	*out_bytesp = n;
	return FLOW_OK;
}

bool
flowi_codec_plausible(uint8_t codec, const uint8_t *stored, size_t stored_bytes,
					  size_t raw_bytes)
{
	switch (codec)
	{
		case FLOW_CODEC_NONE:
			return raw_bytes == stored_bytes;
		case FLOW_CODEC_LZ4:
			return raw_bytes / LZ4_MAX_RATIO <= stored_bytes;
		case FLOW_CODEC_ZSTD:
			return raw_bytes / ZSTD_MAX_RATIO <= stored_bytes &&
				   ZSTD_getFrameContentSize(stored, stored_bytes) == raw_bytes;
		case FLOW_CODEC_BLOCK:
			return raw_bytes / BLOCK_MAX_RATIO <= stored_bytes &&
				   flowi_codec_block_plausible(stored, stored_bytes, raw_bytes);
		default:
			return false;
	}
}

FlowStatus
flowi_codec_decompress(FlowCodec *c, uint8_t codec, const uint8_t *stored,
					   size_t stored_bytes, uint8_t *out, size_t raw_bytes)
{
	size_t n;

	if (codec == FLOW_CODEC_NONE)
	{
		if (raw_bytes != stored_bytes)
			return FLOW_CORRUPT;
		memcpy(out, stored, raw_bytes);
		return FLOW_OK;
	}
	if (codec == FLOW_CODEC_LZ4)
		return LZ4_decompress_safe((const char *) stored, (char *) out,
								   (int) stored_bytes,
								   (int) raw_bytes) == (int) raw_bytes
				   ? FLOW_OK
				   : FLOW_CORRUPT;
	if (codec == FLOW_CODEC_BLOCK)
		return flowi_codec_unpack_block(c, stored, stored_bytes, out,
										raw_bytes);
	if (codec != FLOW_CODEC_ZSTD)
		return FLOW_CORRUPT;
	if (c->decompressor == NULL)
		c->decompressor = ZSTD_createDCtx_advanced(
			(ZSTD_customMem){zstd_alloc, zstd_free, c->env});
	if (c->decompressor == NULL)
		return no_memory();
	n = ZSTD_decompressDCtx(c->decompressor, out, raw_bytes, stored,
							stored_bytes);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return no_memory();
	return n == raw_bytes ? FLOW_OK : FLOW_CORRUPT;
}
