/*-------------------------------------------------------------------------
 * text_bench.c
 *	  What texts cost as columns, beside lz4 and zstd: bytes, nanoseconds.
 *
 *	 text_bench [texts of a block [kind [texts | lz4 | zstd]]]
 *
 * Of each kind of texts (textdata.h): bytes a text as it is, and as texts,
 * lz4 and zstd make it; nanoseconds to write and to read it.  Medians of
 * fifteen rounds.
 */
#include "../env_posix.h"
#include "../texts.h"
#include "bench.h"
#include "textdata.h"

#define ROUNDS 15
#define BLOCKS 32 /* so that branches are not learnt by heart */

static const char *const hows[] = {"texts", "lz4", "zstd"};

static FlowEnv *env;
static FlowCodec codec;

/* One block, there and back; how 0: as texts. */
static void
write_block(FlowTextWriter *w, const Texts *t, int how, FlowBuf *out)
{
	bool did;
	uint8_t used;

	out->len = 0;
	if (how == 0)
	{
		CHECK_OK(flowi_text_write(w, t->raw, t->ends, t->n, out, &did));
		return;
	}
	CHECK_OK(flowi_buf_reserve(out, t->bytes));
	CHECK_OK(flowi_codec_compress(&codec, (FlowCompression) how, 1, t->raw,
								  t->bytes, out->data, t->bytes, &used,
								  &out->len));
}

static void
read_block(FlowTextReader *r, const Texts *t, int how, const FlowBuf *in,
		   uint8_t *raw)
{
	if (in->len == 0)
		return;
	if (how == 0)
		CHECK_OK(
			flowi_text_read(r, in->data, in->data + in->len, raw, t->bytes));
	else
		CHECK_OK(flowi_codec_decompress(
			&codec, how == FLOW_COMPRESS_LZ4 ? FLOW_CODEC_LZ4 : FLOW_CODEC_ZSTD,
			in->data, in->len, raw, t->bytes));
}

static void
measure(const char *name, TextKind kind, uint32_t n, int how)
{
	const int codecs[] = {0, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD};
	CheckRandom r = {1};
	Texts t[BLOCKS];
	FlowBuf out[BLOCKS];
	FlowTextWriter w;
	FlowTextReader reader;
	double write[ROUNDS], read[ROUNDS];
	double total = (double) n * BLOCKS;
	size_t bytes = 0, raw_bytes = 0;
	uint8_t *raw;

	flowi_text_writer_init(&w, env, &codec);
	w.how = FLOW_COMPRESS_LZ4;
	flowi_text_reader_init(&reader, env, &codec);
	for (int b = 0; b < BLOCKS; b++)
	{
		texts_make(&t[b], kind, n, 0, &r);
		flowi_buf_init(&out[b], env);
		raw_bytes += t[b].bytes;
	}
	raw = malloc(raw_bytes + 1);
	for (int round = 0; round < ROUNDS; round++)
	{
		double began = bench_cpu_ns(), done;

		for (int b = 0; b < BLOCKS; b++)
			write_block(&w, &t[b], codecs[how], &out[b]);
		done = bench_cpu_ns();
		write[round] = (done - began) / total;
		for (int b = 0; b < BLOCKS; b++)
			read_block(&reader, &t[b], codecs[how], &out[b], raw);
		read[round] = (bench_cpu_ns() - done) / total;
	}
	for (int b = 0; b < BLOCKS; b++)
	{
		bytes += out[b].len;
		flowi_buf_free(&out[b]);
		texts_free(&t[b]);
	}
	printf(
		"%-10s %-6s %7.1f -> %6.2f bytes, %7.1f ns to write, %6.1f to read\n",
		name, hows[how], (double) raw_bytes / total, (double) bytes / total,
		bench_median(write, ROUNDS), bench_median(read, ROUNDS));
	free(raw);
	flowi_text_writer_free(&w);
	flowi_text_reader_free(&reader);
}

int
main(int argc, char **argv)
{
	static const char *const names[TEXT_NKINDS] = {
		"json", "varied", "log", "keys", "edge", "numbers", "same", "random"};
	uint32_t n = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : 115;

	CHECK_OK(flow_env_posix_create((size_t) 64 << 20, &env));
	flowi_codec_init(&codec, env);
	for (int k = 0; k < TEXT_NKINDS; k++)
		for (int how = 0; how < 3; how++)
			if ((argc < 3 || strcmp(argv[2], names[k]) == 0) &&
				(argc < 4 || strcmp(argv[3], hows[how]) == 0))
				measure(names[k], (TextKind) k, n, how);
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
	return 0;
}
