/*-------------------------------------------------------------------------
 * column_test.c
 *	  Chunks of columns: round trip, encodings, sizes, hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "../env_posix.h"
#include "columndata.h"

static FlowEnv *env;
static FlowCodec codec;
static FlowColumnWriter writer;
static FlowColumnReader reader;
static FlowBuf chunk;

/* The chunk of a column, in memory of its own size, so that a sanitizer sees
 * what reads beyond. */
static uint8_t *
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

static bool
order_less(const FlowColumn *col, int64_t a, int64_t b)
{
	double x, y;

	if (col->kind == FLOW_COLUMN_INT)
		return a < b;
	memcpy(&x, &a, sizeof(x));
	memcpy(&y, &b, sizeof(y));
	return x < y || (y != y && x == x);
}

static void
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
			x = columns_double(columns_value(&c->col, x));
		CHECK(!order_less(&c->col, x, reader.stats.min));
		CHECK(!order_less(&c->col, reader.stats.max, x));
		is_min |= !order_less(&c->col, reader.stats.min, x);
		is_max |= !order_less(&c->col, x, reader.stats.max);
	}
	CHECK(!reader.stats.has_bounds || (is_min && is_max));
}

static void
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

static void
round_trip(const Column *c, CheckRandom *r)
{
	size_t bytes;
	uint8_t *p = write_column(c, &bytes);

	check_reads(c, p, bytes, r);
	free(p);
}

static const FlowColumn kinds[] = {
	{.kind = FLOW_COLUMN_INT, .bytes = 1},
	{.kind = FLOW_COLUMN_INT, .bytes = 2},
	{.kind = FLOW_COLUMN_INT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT, .bytes = 8},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 4},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 8},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 1},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 16},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 333},
	{.kind = FLOW_COLUMN_PACKED},
	{.kind = FLOW_COLUMN_PLAIN},
	{.kind = FLOW_COLUMN_STRING},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t
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

static void
test_round_trips(CheckRandom *r)
{
	Column c;

	for (int shape = 0; shape < SHAPE_NSHAPES; shape++)
		for (int nulls = 0; nulls < NULLS_NNULLS; nulls++)
			for (size_t kind = 0; kind < NKINDS; kind++)
				for (int again = 0; again < 3; again++)
				{
					writer.how = (FlowCompression) check_below(r, 3);
					column_make(&c, &kinds[kind], (Shape) shape, (Nulls) nulls,
								some_rows(r), r);
					round_trip(&c, r);
					column_free(&c);
				}
	check_passed("round trips");
}

/* ------------------------------------------------------------------ sizes */

static double
bytes_a_value(const FlowColumn *col, Shape shape, uint32_t n, CheckRandom *r)
{
	size_t sum = 0;
	Column c;

	for (int i = 0; i < 8; i++)
	{
		size_t bytes;

		column_make(&c, col, shape, NULLS_NONE, n, r);
		free(write_column(&c, &bytes));
		sum += bytes;
		column_free(&c);
	}
	return (double) sum / 8 / n;
}

static const FlowColumn int4 = {.kind = FLOW_COLUMN_INT, .bytes = 4};
static const FlowColumn int8 = {.kind = FLOW_COLUMN_INT, .bytes = 8};
static const FlowColumn float4 = {.kind = FLOW_COLUMN_FLOAT, .bytes = 4};
static const FlowColumn float8 = {.kind = FLOW_COLUMN_FLOAT, .bytes = 8};
static const FlowColumn text = {.kind = FLOW_COLUMN_PACKED};
static const FlowColumn uuid = {.kind = FLOW_COLUMN_FIXED, .bytes = 16};

static void
test_sizes(CheckRandom *r)
{
	static const struct
	{
		const FlowColumn *col;
		Shape shape;
		double most; /* at 1,024 values and more */
	} want[] = {
		{&int4, SHAPE_SAME, 0.005},	  {&float8, SHAPE_SAME, 0.005},
		{&text, SHAPE_SAME, 0.02},	  {&int8, SHAPE_LINEAR, 0.03},
		{&int4, SHAPE_WALK, 0.45},	  {&int8, SHAPE_WALK, 0.45},
		{&float4, SHAPE_WALK, 0.45},  {&float8, SHAPE_WALK, 0.45},
		{&int8, SHAPE_WALK2, 1.4},	  {&float4, SHAPE_WALK2, 1.4},
		{&float8, SHAPE_WALK2, 1.4},  {&int8, SHAPE_JITTER, 1.4},
		{&int8, SHAPE_GAPS, 0.3},	  {&int8, SHAPE_STEPS, 0.16},
		{&float8, SHAPE_STEPS, 0.17}, {&int8, SHAPE_SMALL, 0.55},
		{&float8, SHAPE_SMALL, 0.56}, {&int8, SHAPE_OUTLIERS, 1.0},
		{&int8, SHAPE_RANDOM, 8.2},	  {&float8, SHAPE_REAL, 6.75},
		{&float8, SHAPE_RANDOM, 8.2}, {&float4, SHAPE_REAL, 3.0},
		{&text, SHAPE_SMALL, 0.7},	  {&uuid, SHAPE_RANDOM, 16.02},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		for (uint32_t n = 1024; n <= 8192; n *= 2)
		{
			double bytes = bytes_a_value(want[i].col, want[i].shape, n, r);

			if (bytes > want[i].most)
				fprintf(stderr, "shape %d of kind %d: %.3f bytes a value\n",
						want[i].shape, want[i].col->kind, bytes);
			CHECK(bytes <= want[i].most);
		}
	check_passed("sizes");
}

/* -------------------------------------------------------------- encodings */

/* A column of numbers. */
static void
number_column(Column *c, const FlowColumn *col, const int64_t *num, uint32_t n)
{
	*c = (Column){.col = *col, .n = n};
	vector_alloc(&c->v, n);
	memcpy(c->v.num, num, n * sizeof(*num));
}

/* Write, read, and see how it was written; bytes of the chunk. */
static size_t
check_encoding(Column *c, uint8_t encoding, int form, CheckRandom *r)
{
	size_t bytes;
	uint8_t *p = write_column(c, &bytes);

	check_reads(c, p, bytes, r);
	CHECK(reader.encoding == encoding);
	if (form >= 0)
		CHECK(reader.num.form == form);
	free(p);
	return bytes;
}

static size_t
check_numbers(const FlowColumn *col, const int64_t *num, uint32_t n,
			  uint8_t encoding, int form, CheckRandom *r)
{
	Column c;
	size_t bytes;

	number_column(&c, col, num, n);
	bytes = check_encoding(&c, encoding, form, r);
	column_free(&c);
	return bytes;
}

#define N 2000u

static void
test_integer_encodings(CheckRandom *r)
{
	static const int64_t far[] = {200, 404, -90000, INT64_MAX, 17};
	int64_t x[N];

	for (uint32_t i = 0; i < N; i++)
		x[i] = INT64_MIN;
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_ONE, -1, r) <= 12);
	for (uint32_t i = 0; i < N; i++) /* wraps around */
		x[i] = (int64_t) (i * UINT64_C(0x7000000000000001));
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_LINEAR, r) <=
		  48);
	for (uint32_t i = 0; i < N; i++)
		x[i] = i / 50 % 7 * 1000;
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_RUNS, r) <=
		  130);
	for (uint32_t i = 0; i < N; i++)
		x[i] = far[check_below(r, 5)];
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_DICTIONARY,
						r) <= N * 3 / 8 + 150);
	/* multiples of a second, of no regular step */
	for (uint32_t i = 0; i < N; i++)
		x[i] = (i == 0 ? INT64_C(1700000000123456) : x[i - 1]) +
			   (int64_t) check_below(r, 8) * 1000000;
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_FRAMES, r) <=
		  N * 3 / 8 + 150);
	CHECK(reader.num.scale == 1000000);
	/* one series behind the other: patches */
	for (uint32_t i = 0; i < N; i++)
		x[i] = (int64_t) (i % 150) * 10000000 + (int64_t) (i / 150);
	CHECK(check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_FRAMES, r) <=
		  300);
	CHECK(reader.num.npatches > 0);
	check_passed("encodings of integers");
}

static void
test_float_encodings(CheckRandom *r)
{
	double special[] = {-0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e300};
	int64_t x[N];

	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_double((double) check_below(r, 100000) / 1000);
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 3 && reader.npatches == 0);
	for (uint32_t i = 0; i < 6; i++)
		x[i * 300 + 7] = columns_double(special[i]);
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 3 && reader.npatches == 6);
	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_float((float) check_below(r, 1000) / 10);
	(void) check_numbers(&float4, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 1 && reader.npatches == 0);
	/* floats in a column of doubles: 29 zeros at the end */
	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_double(
			(double) ((float) check_below(r, 1u << 24) / 16777216.0f + 1));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_BITS, FLOW_NUM_FRAMES, r);
	CHECK(reader.shift >= 29);
	/* the largest that is a decimal, and one that is none */
	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_double((double) ((INT64_C(1) << 51) - 1 - i));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_LINEAR,
						 r);
	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_double((double) ((INT64_C(1) << 52) + i));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_BITS, FLOW_NUM_LINEAR, r);
	for (uint32_t i = 0; i < N; i++)
		x[i] = columns_double(NAN);
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_ONE, -1, r);
	CHECK(reader.stats.min == INT64_C(0x7ff8000000000000) &&
		  reader.stats.max == INT64_C(0x7ff8000000000000));
	check_passed("encodings of doubles");
}

static void
test_byte_encodings(CheckRandom *r)
{
	Column c;

	column_make(&c, &text, SHAPE_SMALL, NULLS_HALF, N, r);
	(void) check_encoding(&c, FLOW_CHUNK_DICTIONARY, -1, r);
	column_free(&c);
	column_make(&c, &uuid, SHAPE_SMALL, NULLS_NONE, N, r);
	(void) check_encoding(&c, FLOW_CHUNK_DICTIONARY, -1, r);
	column_free(&c);
	column_make(&c, &uuid, SHAPE_RANDOM, NULLS_FEW, N, r);
	(void) check_encoding(&c, FLOW_CHUNK_PLAIN, -1, r);
	column_free(&c);
	writer.how = FLOW_COMPRESS_ZSTD;
	column_make(&c, &text, SHAPE_LINEAR, NULLS_NONE, N, r);
	CHECK(check_encoding(&c, FLOW_CHUNK_PLAIN, FLOW_NUM_LINEAR, r) < 9 * N);
	column_free(&c);
	column_make(&c, &text, SHAPE_SAME, NULLS_HALF, N, r);
	(void) check_encoding(&c, FLOW_CHUNK_ONE, -1, r);
	column_free(&c);
	check_passed("encodings of bytes");
}

/* Values that are longer than what is compressed at a time. */
static void
test_long_values(CheckRandom *r)
{
	const uint32_t n = 60;
	const uint32_t most = 40000;
	Column c = {.col = text, .n = n, .heap = malloc((size_t) n * most)};
	uint8_t *p = c.heap;

	CHECK(p != NULL);
	vector_alloc(&c.v, n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t bytes = 127 + (uint32_t) check_below(r, most - 200);
		uint8_t *at = p;

		*at++ = 0;
		at = flowi_put_varint(at, bytes);
		for (uint32_t j = 0; j < bytes; j++)
			*at++ = (uint8_t) ('a' + (check_below(r, 8) ? 0 : i % 16));
		c.v.ptr[i] = p;
		c.v.bytes[i] = (uint32_t) (at - p);
		p = at;
	}
	for (int how = FLOW_COMPRESS_NONE; how <= FLOW_COMPRESS_ZSTD; how++)
	{
		size_t bytes;

		writer.how = (FlowCompression) how;
		bytes = check_encoding(&c, FLOW_CHUNK_PLAIN, -1, r);
		CHECK((bytes < (size_t) (p - c.heap) / 2) ==
			  (how != FLOW_COMPRESS_NONE));
	}
	column_free(&c);
	check_passed("long values");
}

/* NULLs cost their bits, or less where they come in runs. */
static void
test_nulls(CheckRandom *r)
{
	Column c;
	size_t bytes;

	for (uint32_t first = 0; first < 2; first++)
	{
		column_make(&c, &float8, SHAPE_WALK, NULLS_NONE, 4096, r);
		c.v.any_null = true;
		for (uint32_t i = first * 700; i < first * 700 + 3000; i++)
			c.v.null[i] = 1;
		bytes = check_encoding(&c, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES, r);
		CHECK(reader.null_runs > 0 && bytes < 4096 * 4 / 10);
		column_free(&c);
	}
	column_make(&c, &int8, SHAPE_LINEAR, NULLS_HALF, 4096, r);
	bytes = check_encoding(&c, FLOW_CHUNK_NUMBERS, -1, r);
	CHECK(bytes < 4096 / 8 + 800); /* what is between fits into the line */
	CHECK(reader.null_runs == 0);
	column_free(&c);
	column_make(&c, &text, SHAPE_RANDOM, NULLS_ALL, 4096, r);
	CHECK(check_encoding(&c, FLOW_CHUNK_NULLS, -1, r) == 1);
	column_free(&c);
	check_passed("NULLs");
}

/* The most rows, and values of any length. */
static void
test_limits(CheckRandom *r)
{
	Column c;

	column_make(&c, &float8, SHAPE_WALK2, NULLS_FEW, FLOW_COLUMN_MAX_ROWS, r);
	(void) check_encoding(&c, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES, r);
	column_free(&c);
	column_make(&c, &text, SHAPE_EXTREMES, NULLS_FEW, 30000, r);
	(void) check_encoding(&c, FLOW_CHUNK_PLAIN, FLOW_NUM_FRAMES, r);
	column_free(&c);
	check_passed("many rows");
}

/* ----------------------------------------------------------------- damage */

static void
damage(uint8_t *p, size_t bytes, CheckRandom *r)
{
	size_t near = FLOW_MIN(bytes, 40);
	size_t at =
		check_below(r, 2) ? check_below(r, near) : check_below(r, bytes);

	switch (check_below(r, 4))
	{
		case 0:
			p[at] ^= (uint8_t) (1u << check_below(r, 8));
			break;
		case 1:
			p[at] = 0xff;
			break;
		case 2:
			p[at]++;
			break;
		default:
			p[at] = (uint8_t) check_random(r);
	}
}

/* Whatever the bytes are: OK or CORRUPT; and pointers can be read. */
static bool
read_damaged(const Column *c, const uint8_t *p, size_t bytes, uint32_t n,
			 FlowColumnVector *v, CheckRandom *r)
{
	FlowStatus st = flowi_column_open(&reader, &c->col, n, p, bytes);
	uint8_t sum = 0;

	CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
	for (int i = 0; i < 3 && st == FLOW_OK; i++)
	{
		uint32_t first = i == 0 ? 0 : (uint32_t) check_below(r, n);
		uint32_t count = i == 0	  ? n
						 : i == 1 ? 1
								  : 1 + (uint32_t) check_below(r, n - first);

		st = flowi_column_read(&reader, first, count, v, 0);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
		for (uint32_t j = 0; j < count && st == FLOW_OK && c->heap; j++)
			for (uint32_t k = 0; k < v->bytes[j]; k++)
				sum ^= v->ptr[j][k];
	}
	return st == FLOW_OK && sum != 1;
}

static void
test_damage(CheckRandom *r)
{
	uint32_t read = 0;
	uint32_t refused = 0;
	FlowColumnVector v;
	Column c;

	vector_alloc(&v, 5000);
	for (int i = 0; i < 3000; i++)
	{
		size_t bytes;
		uint32_t n = some_rows(r);
		uint8_t *p;

		writer.how = (FlowCompression) check_below(r, 3);
		column_make(&c, &kinds[check_below(r, NKINDS)],
					(Shape) check_below(r, SHAPE_NSHAPES),
					(Nulls) check_below(r, NULLS_NNULLS), n, r);
		p = write_column(&c, &bytes);
		for (int j = 0; j < 12; j++)
		{
			size_t cut = check_below(r, 8) == 0 ? check_below(r, bytes) : 0;
			uint32_t rows = check_below(r, 16) == 0 ? some_rows(r) : n;
			uint8_t *copy = malloc(FLOW_MAX(bytes - cut, (size_t) 1));

			CHECK(copy != NULL);
			memcpy(copy, p, bytes - cut);
			for (uint64_t k = check_below(r, 4); k > 0; k--)
				damage(copy, bytes - cut, r);
			if (read_damaged(&c, copy, bytes - cut, rows, &v, r))
				read++;
			else
				refused++;
			free(copy);
		}
		free(p);
		column_free(&c);
	}
	vector_free(&v);
	CHECK(read > 1000 && refused > 1000);
	check_passed("damaged chunks");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	flowi_codec_init(&codec, env);
	flowi_column_writer_init(&writer, env, &codec, FLOW_COMPRESS_LZ4, 1);
	flowi_column_reader_init(&reader, env, &codec);
	flowi_buf_init(&chunk, env);
	test_round_trips(&r);
	test_sizes(&r);
	test_integer_encodings(&r);
	test_float_encodings(&r);
	test_byte_encodings(&r);
	test_long_values(&r);
	test_nulls(&r);
	test_limits(&r);
	test_damage(&r);
	flowi_buf_free(&chunk);
	flowi_column_reader_free(&reader);
	flowi_column_writer_free(&writer);
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
	return 0;
}
