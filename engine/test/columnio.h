/*-------------------------------------------------------------------------
 * columnio.h
 *	  Write columns and read them again: what tests of chunks share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_COLUMNIO_H
#define FLOW_TEST_COLUMNIO_H

#include "../env_posix.h"
#include "columndata.h"

static FlowEnv *env;
static FlowCodec codec;
static FlowColumnWriter writer;
static FlowColumnReader reader;
static FlowBuf chunk;

/* The chunk of a column, in memory of its own size, so that a sanitizer sees
 * what reads beyond. */
static inline uint8_t *
write_column(const Column *c, size_t *bytesp)
{
	uint8_t *p;

	chunk.len = 0;
	CHECK_OK(flowi_column_write(&writer, &c->col, &c->v, c->n, &chunk));
	p = malloc(chunk.len);
	CHECK(p != NULL);
	memcpy(p, chunk.data, chunk.len);
	*bytesp = chunk.len;
	return p;
}

static inline bool
order_less(const FlowColumn *col, int64_t a, int64_t b)
{
	double x = flowi_double(a), y = flowi_double(b);

	if (col->kind == FLOW_COLUMN_INT)
		return a < b;
	return x < y || (y != y && x == x);
}

static inline void
check_stats(const Column *c)
{
	uint32_t nulls = 0;
	bool is_min = false;
	bool is_max = false;

	for (uint32_t i = 0; i < c->n; i++)
		nulls += c->v.null[i];
	CHECK(reader.stats.nulls == nulls);
	CHECK(reader.stats.has_bounds == (c->heap == NULL && nulls < c->n));
	for (uint32_t i = 0; i < c->n && reader.stats.has_bounds; i++)
	{
		int64_t x = c->v.num[i];

		if (c->v.null[i])
			continue;
		if (c->col.kind == FLOW_COLUMN_FLOAT)
			x = flowi_double_bits(columns_value(&c->col, x));
		CHECK(!order_less(&c->col, x, reader.stats.min));
		CHECK(!order_less(&c->col, reader.stats.max, x));
		is_min |= !order_less(&c->col, reader.stats.min, x);
		is_max |= !order_less(&c->col, x, reader.stats.max);
	}
	CHECK(!reader.stats.has_bounds || (is_min && is_max));
}

static inline void
check_reads(const Column *c, const uint8_t *p, size_t bytes, CheckRandom *r)
{
	FlowColumnVector v;

	vector_alloc(&v, c->n + 8);
	CHECK_OK(flowi_column_open(&reader, &c->col, c->n, p, bytes));
	check_stats(c);
	CHECK_OK(flowi_column_read(&reader, 0, c->n, &v, 3));
	column_check(c, 0, c->n, &v, 3);
	for (int i = 0; i < 30; i++)
	{
		uint32_t first = (uint32_t) check_below(r, c->n);
		uint32_t count =
			i % 2 ? 1 : 1 + (uint32_t) check_below(r, c->n - first);

		if (i % 10 == 0)
			CHECK_OK(flowi_column_open(&reader, &c->col, c->n, p, bytes));
		v.any_null = false;
		CHECK_OK(flowi_column_read(&reader, first, count, &v, i % 3));
		column_check(c, first, count, &v, i % 3);
	}
	vector_free(&v);
}

static inline void
round_trip(const Column *c, CheckRandom *r)
{
	size_t bytes;
	uint8_t *p = write_column(c, &bytes);

	check_reads(c, p, bytes, r);
	free(p);
}

static inline uint32_t
some_rows(CheckRandom *r)
{
	switch (check_below(r, 4))
	{
		case 0:
			return 1 + (uint32_t) check_below(r, 10);
		case 1:
			return 120 + (uint32_t) check_below(r, 20);
		case 2:
			return 1 + (uint32_t) check_below(r, 700);
		default:
			return 1 + (uint32_t) check_below(r, 4000);
	}
}

static const FlowColumn int4
	__attribute__((unused)) = {.kind = FLOW_COLUMN_INT, .bytes = 4};
static const FlowColumn int8
	__attribute__((unused)) = {.kind = FLOW_COLUMN_INT, .bytes = 8};
static const FlowColumn float4
	__attribute__((unused)) = {.kind = FLOW_COLUMN_FLOAT, .bytes = 4};
static const FlowColumn float8
	__attribute__((unused)) = {.kind = FLOW_COLUMN_FLOAT, .bytes = 8};
static const FlowColumn text
	__attribute__((unused)) = {.kind = FLOW_COLUMN_PACKED};
static const FlowColumn uuid
	__attribute__((unused)) = {.kind = FLOW_COLUMN_FIXED, .bytes = 16};

static inline void
columnio_begin(void)
{
	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	flowi_codec_init(&codec, env);
	flowi_column_writer_init(&writer, env, &codec, FLOW_COMPRESS_LZ4, 1);
	flowi_column_reader_init(&reader, env, &codec);
	flowi_buf_init(&chunk, env);
}

static inline void
columnio_end(void)
{
	flowi_buf_free(&chunk);
	flowi_column_reader_free(&reader);
	flowi_column_writer_free(&writer);
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
}

#endif /* FLOW_TEST_COLUMNIO_H */
