/*-------------------------------------------------------------------------
 * fuzz_text.c
 *	  Texts and packed blocks: read any bytes, write any texts.
 *
 * Of the input the first byte says which; the next three are the number of
 * bytes that shall come out, or, of texts to be written, a seed of where they
 * end.  What can be read is written again, and must be the same when it is
 * read again.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../block.h"
#include "../texts.h"

#include "../test/rows.h"
#include "../test/textdata.h"

#define HEAD 4u
#define MAX_RAW (1u << 17)
#define MAX_TEXTS 4096u

/* Texts, written and read: the same. */
static void
write_texts(FlowEnv *env, FlowCodec *codec, const uint8_t *raw, size_t bytes,
			uint64_t seed, FlowCompression how)
{
	CheckRandom r = {seed};
	uint32_t ends[MAX_TEXTS];
	uint32_t n = 0;
	uint32_t at = 0;
	FlowTextWriter w;
	FlowTextReader reader;
	FlowBuf out;
	FlowStatus st;
	bool did;
	uint8_t *again = malloc(bytes + 1);

	while (at < bytes && n < MAX_TEXTS)
	{
		at += (uint32_t) check_below(&r, 40);
		ends[n++] = at = FLOW_MIN(at, (uint32_t) bytes);
	}
	flowi_text_writer_init(&w, env, codec);
	flowi_text_reader_init(&reader, env, codec);
	flowi_buf_init(&out, env);
	w.how = how;
	w.level = 1;
	st = flowi_text_write(&w, raw, ends, n, &out, &did);
	FUZZ_CHECK(st == FLOW_OK || (st == FLOW_NOMEM && fuzz_no_memory()));
	if (st == FLOW_OK && did)
	{
		st = flowi_text_read(&reader, out.data, out.data + out.len, again, at);
		FUZZ_CHECK(st == FLOW_OK || (st == FLOW_NOMEM && fuzz_no_memory()));
		FUZZ_CHECK(st != FLOW_OK || at == 0 || memcmp(again, raw, at) == 0);
	}
	flowi_buf_free(&out);
	flowi_text_reader_free(&reader);
	flowi_text_writer_free(&w);
	free(again);
}

static void
read_texts(FlowEnv *env, FlowCodec *codec, const uint8_t *p, size_t bytes,
		   size_t raw_bytes)
{
	uint8_t *raw = malloc(raw_bytes + 1);
	FlowTextReader reader;

	flowi_text_reader_init(&reader, env, codec);
	for (int i = 0; i < 2; i++) /* again, into its memory */
	{
		FlowStatus st = flowi_text_read(&reader, p, p + bytes, raw, raw_bytes);

		fuzz_check_status(st);
		if (st != FLOW_OK)
			continue;
		write_texts(env, codec, raw, raw_bytes, raw_bytes,
					(FlowCompression) (bytes % 3));
		fuzz_decoded += (uint64_t) i;
	}
	flowi_text_reader_free(&reader);
	free(raw);
}

/* A packed block; what comes out may be no good block, but of exactly that
 * many bytes, and decoding it tells. */
static void
read_block(FlowEnv *env, FlowCodec *codec, const uint8_t *p, size_t bytes,
		   size_t raw_bytes)
{
	uint8_t *raw = malloc(raw_bytes + 1);
	const uint8_t *packed;
	size_t packed_bytes;
	FlowBlock block;
	FlowStatus st = FLOW_CORRUPT;

	flowi_block_init(&block, env, codec);
	if (flowi_codec_plausible(FLOW_CODEC_BLOCK, p, bytes, raw_bytes))
		st = flowi_codec_decompress(codec, FLOW_CODEC_BLOCK, p, bytes, raw,
									raw_bytes);
	fuzz_check_status(st);
	if (st == FLOW_OK)
	{
		fuzz_check_status(
			flowi_block_decode(&block, raw, raw_bytes, "block", 0));
		fuzz_check_status(flowi_codec_pack_block(codec, FLOW_COMPRESS_LZ4, 1,
												 raw, raw_bytes, &packed,
												 &packed_bytes));
		fuzz_decoded++;
	}
	flowi_block_free(&block);
	free(raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	FlowCodec codec;
	size_t raw_bytes;

	flowi_codec_init(&codec, env);
	if (size >= HEAD)
	{
		raw_bytes = (flowi_get32(data) >> 8) % MAX_RAW;
		if (data[0] % 3 == 0)
			read_texts(env, &codec, data + HEAD, size - HEAD, raw_bytes);
		else if (data[0] % 3 == 1)
			read_block(env, &codec, data + HEAD, size - HEAD, raw_bytes);
		else
			write_texts(env, &codec, data + HEAD, size - HEAD, raw_bytes,
						(FlowCompression) (data[1] % 3));
	}
	flowi_codec_free(&codec);
	fuzz_end();
	return 0;
}

static void
seed_texts(FlowEnv *env, FlowCodec *codec, CheckRandom *r, FuzzBytes *out)
{
	FlowTextWriter w;
	FlowBuf chunk;
	Texts t;
	bool did;

	flowi_text_writer_init(&w, env, codec);
	flowi_buf_init(&chunk, env);
	w.how = (FlowCompression) check_below(r, 3);
	w.level = 1;
	texts_make(&t, (TextKind) check_below(r, TEXT_NKINDS),
			   1 + (uint32_t) check_below(r, 100),
			   (uint32_t) check_below(r, 3) * 10, r);
	FUZZ_CHECK(flowi_text_write(&w, t.raw, t.ends, t.n, &chunk, &did) ==
			   FLOW_OK);
	fuzz_bytes_resize(out, HEAD + chunk.len);
	flowi_put32(out->data, (uint32_t) t.bytes << 8);
	if (chunk.len > 0)
		memcpy(out->data + HEAD, chunk.data, chunk.len);
	flowi_buf_free(&chunk);
	flowi_text_writer_free(&w);
	texts_free(&t);
}

static void
seed_block(FlowEnv *env, FlowCodec *codec, CheckRandom *r, FuzzBytes *out)
{
	RowsSpec spec = {.n = 8 + (uint32_t) check_below(r, 60),
					 .nkeys = 1 + (uint32_t) check_below(r, 8),
					 .key_max = 1 + (uint32_t) check_below(r, 10),
					 .value_max = (uint32_t) check_below(r, 6),
					 .tomb_percent = 30 * (uint32_t) check_below(r, 2),
					 .mortal_percent = 50 * (uint32_t) check_below(r, 3)};
	FlowBlockBuilder b;
	const uint8_t *raw, *packed;
	size_t raw_bytes, bytes;
	Rows rows;

	rows_make(&rows, r, &spec);
	flowi_block_builder_init(&b, env);
	for (uint32_t i = 0; i < rows.n; i++)
		FUZZ_CHECK(flowi_block_add(
					   &b, &rows.rec[i],
					   i == 0 || flowi_key_cmp(
									 rows.rec[i - 1].key,
									 rows.rec[i - 1].key_bytes, rows.rec[i].key,
									 rows.rec[i].key_bytes)) == FLOW_OK);
	FUZZ_CHECK(flowi_block_finish(&b, &raw, &raw_bytes) == FLOW_OK);
	FUZZ_CHECK(flowi_codec_pack_block(codec, FLOW_COMPRESS_ZSTD, 1, raw,
									  raw_bytes, &packed, &bytes) == FLOW_OK);
	fuzz_bytes_resize(out, HEAD + bytes);
	flowi_put32(out->data, (uint32_t) raw_bytes << 8 | 1);
	if (bytes > 0)
		memcpy(out->data + HEAD, packed, bytes);
	flowi_block_builder_free(&b);
	rows_free(&rows);
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);
	FlowCodec codec;

	flowi_codec_init(&codec, env);
	if (check_below(r, 2))
		seed_texts(env, &codec, r, out);
	else
		seed_block(env, &codec, r, out);
	flowi_codec_free(&codec);
	fuzz_end();
}
