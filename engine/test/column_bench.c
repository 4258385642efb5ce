/*-------------------------------------------------------------------------
 * column_bench.c
 *	  What chunks of columns cost: bytes a value, and nanoseconds.
 *
 *	 column_bench [rows of a chunk [part of a name]]
 *
 * For each shape of values: bytes a value; encoding, decoding all, and one
 * value out of a chunk with the chunk opened for it.  Medians of fifteen rounds.
 */
#include "../env_posix.h"
#include "bench.h"
#include "columndata.h"

#define ROUNDS 15
#define CHUNKS 16 /* so that branches are not learnt by heart */

static FlowEnv *env;
static FlowCodec codec;
static FlowColumnWriter writer;
static FlowColumnReader reader;

static void
measure(const char *name, const FlowColumn *col, Shape shape, Nulls nulls,
		uint32_t n)
{
	static Column c[CHUNKS];
	static FlowBuf chunk[CHUNKS];
	CheckRandom r = {1};
	FlowColumnVector v;
	double encode[ROUNDS], decode[ROUNDS], point[ROUNDS];
	size_t bytes = 0;
	double total = (double) n * CHUNKS;

	vector_alloc(&v, n);
	for (int i = 0; i < CHUNKS; i++)
	{
		column_make(&c[i], col, shape, nulls, n, &r);
		flowi_buf_init(&chunk[i], env);
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		double t0 = bench_cpu_ns();
		double t1, t2;

		for (int i = 0; i < CHUNKS; i++)
		{
			chunk[i].len = 0;
			CHECK_OK(flowi_column_write(&writer, col, &c[i].v, n, &chunk[i]));
		}
		t1 = bench_cpu_ns();
		for (int i = 0; i < CHUNKS; i++)
		{
			CHECK_OK(flowi_column_open(&reader, col, n, chunk[i].data,
									   chunk[i].len));
			for (uint32_t at = 0; at < n; at += 1024)
				CHECK_OK(flowi_column_read(&reader, at, FLOW_MIN(1024, n - at),
										   &v, at));
		}
		t2 = bench_cpu_ns();
		for (int i = 0; i < CHUNKS * 16; i++)
		{
			FlowBuf *b = &chunk[i % CHUNKS];
			uint32_t row = (uint32_t) check_below(&r, n);

			CHECK_OK(flowi_column_open(&reader, col, n, b->data, b->len));
			CHECK_OK(flowi_column_read(&reader, row, 1, &v, 0));
		}
		point[round] = (bench_cpu_ns() - t2) / (CHUNKS * 16);
		decode[round] = (t2 - t1) / total;
		encode[round] = (t1 - t0) / total;
	}
	for (int i = 0; i < CHUNKS; i++)
	{
		bytes += chunk[i].len;
		flowi_buf_free(&chunk[i]);
		column_free(&c[i]);
	}
	vector_free(&v);
	printf("%-32s %8.3f B %8.2f ns %8.2f ns %8.0f ns   %d/%d\n", name,
		   (double) bytes / total, bench_median(encode, ROUNDS),
		   bench_median(decode, ROUNDS), bench_median(point, ROUNDS),
		   reader.encoding,
		   col->kind <= FLOW_COLUMN_FLOAT ? reader.num.form : -1);
}

int
main(int argc, char **argv)
{
	static const FlowColumn i8 = {.kind = FLOW_COLUMN_INT, .bytes = 8};
	static const FlowColumn i4 = {.kind = FLOW_COLUMN_INT, .bytes = 4};
	static const FlowColumn f8 = {.kind = FLOW_COLUMN_FLOAT, .bytes = 8};
	static const FlowColumn f4 = {.kind = FLOW_COLUMN_FLOAT, .bytes = 4};
	static const FlowColumn text = {.kind = FLOW_COLUMN_PACKED};
	static const FlowColumn uuid = {.kind = FLOW_COLUMN_FIXED, .bytes = 16};
	static const struct
	{
		const char *name;
		const FlowColumn *col;
		Shape shape;
		Nulls nulls;
	} what[] = {
		{"int8 one value", &i8, SHAPE_SAME, NULLS_NONE},
		{"int8 linear", &i8, SHAPE_LINEAR, NULLS_NONE},
		{"int8 linear with gaps", &i8, SHAPE_GAPS, NULLS_NONE},
		{"int8 linear with jitter", &i8, SHAPE_JITTER, NULLS_NONE},
		{"int4 walk", &i4, SHAPE_WALK, NULLS_NONE},
		{"int8 walk", &i8, SHAPE_WALK, NULLS_NONE},
		{"int8 walk, some NULL", &i8, SHAPE_WALK, NULLS_FEW},
		{"int8 runs", &i8, SHAPE_STEPS, NULLS_NONE},
		{"int8 0 .. 9", &i8, SHAPE_SMALL, NULLS_NONE},
		{"int8 outliers", &i8, SHAPE_OUTLIERS, NULLS_NONE},
		{"int8 random bits", &i8, SHAPE_RANDOM, NULLS_NONE},
		{"float8 walk of integers", &f8, SHAPE_WALK, NULLS_NONE},
		{"float8 walk, some NULL", &f8, SHAPE_WALK, NULLS_FEW},
		{"float8 walk, two decimals", &f8, SHAPE_WALK2, NULLS_NONE},
		{"float8 decimals, some misfits", &f8, SHAPE_DECIMAL, NULLS_NONE},
		{"float8 runs", &f8, SHAPE_STEPS, NULLS_NONE},
		{"float8 real walk", &f8, SHAPE_REAL, NULLS_NONE},
		{"float8 random bits", &f8, SHAPE_RANDOM, NULLS_NONE},
		{"float4 walk of integers", &f4, SHAPE_WALK, NULLS_NONE},
		{"float4 walk, two decimals", &f4, SHAPE_WALK2, NULLS_NONE},
		{"float4 real walk", &f4, SHAPE_REAL, NULLS_NONE},
		{"text, ten values", &text, SHAPE_SMALL, NULLS_NONE},
		{"text, of one length", &text, SHAPE_LINEAR, NULLS_NONE},
		{"text, random", &text, SHAPE_RANDOM, NULLS_NONE},
		{"16 bytes, random", &uuid, SHAPE_RANDOM, NULLS_NONE},
		{"16 bytes, ten values", &uuid, SHAPE_SMALL, NULLS_NONE},
	};
	uint32_t n = argc > 1 ? (uint32_t) atoi(argv[1]) : 4096;

	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	flowi_codec_init(&codec, env);
	flowi_column_writer_init(&writer, env, &codec, FLOW_COMPRESS_LZ4, 1);
	flowi_column_reader_init(&reader, env, &codec);
	printf("chunks of %" PRIu32 " values\n%-32s %10s %11s %11s %11s\n", n, "",
		   "a value", "encode", "decode", "one");
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++)
		if (argc < 3 || strstr(what[i].name, argv[2]) != NULL)
			measure(what[i].name, what[i].col, what[i].shape, what[i].nulls, n);
	flowi_column_reader_free(&reader);
	flowi_column_writer_free(&writer);
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
	return 0;
}
