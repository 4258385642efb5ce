/*-------------------------------------------------------------------------
 * column_test.c
 *	  Chunks of columns: round trip, encodings, sizes.
 *-------------------------------------------------------------------------
 */
#include "columnio.h"

/* With no more memory than what it writes next takes. */
static void
fresh_writer(void)
{
	flowi_column_writer_free(&writer);
	flowi_column_writer_init(&writer, env, &codec, FLOW_COMPRESS_NONE, 1);
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
					if (again == 0)
						fresh_writer();
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
		{&int8, SHAPE_RANDOM, 8.2},	  {&float8, SHAPE_REAL, 7.0},
		{&float8, SHAPE_RANDOM, 8.2}, {&float4, SHAPE_REAL, 3.2},
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

/* Of the chunk that was written last: frames with sums, and frames of lines. */
static uint32_t sums, lines;

static void
count_frames(const FlowNumReader *num)
{
	sums = lines = 0;
	for (uint32_t i = 0; i < num->nframes; i++)
	{
		uint64_t step =
			num->step + flowi_num_get_bytes(num->steps + i * num->step_bytes,
											num->step_bytes);

		if (num->widths[i] & FLOW_NUM_SUMS)
			sums++;
		else
			lines += step != 0;
	}
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
	if (form == FLOW_NUM_FRAMES)
		count_frames(&reader.num);
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

/* n numbers, most of which are alike, up to the greatest there are. */
static void
make_alike(CheckRandom *r, int64_t *x, uint32_t n)
{
	uint64_t step = check_random(r) >> check_below(r, 64);
	uint32_t odd = (uint32_t) check_below(r, 4);

	x[0] = (int64_t) check_random(r);
	for (uint32_t i = 1; i < n; i++)
	{
		x[i] = check_below(r, 3) || odd == 0
				   ? (int64_t) ((uint64_t) x[i - 1] + step)
				   : x[i - 1];
		if (odd > 1 && check_below(r, 20) == 0)
			x[i] = check_below(r, 2) ? INT64_MIN : INT64_MAX;
	}
}

/* What looks four at a time sees the same. */
static void
test_looks(CheckRandom *r)
{
	int64_t *x = malloc(300 * sizeof(*x));

	for (uint32_t round = 0; round < 3000; round++)
	{
		uint32_t n = 1 + round % 300;
		int64_t *at = x + 300 - n; /* to the end, for sanitizers */
		FlowNumLook a, b;

		make_alike(r, at, n);
		a = flowi_num_look(at, n);
		b = flowi_num_look_plain(at, n);
		CHECK(a.runs == b.runs && a.linear == b.linear && a.lo == b.lo &&
			  a.hi == b.hi);
#if FLOW_AVX2
		if (n >= FLOW_NUM_LANES && __builtin_cpu_supports("avx2"))
		{
			int64_t lows[FLOW_NUM_LANES], highs[FLOW_NUM_LANES];

			flowi_num_lanes_avx2(at, n, lows, highs);
			for (uint32_t j = 0; j < FLOW_NUM_LANES; j++)
			{
				int64_t low = at[j], high = at[j];

				for (uint32_t i = j; i < n; i += FLOW_NUM_LANES)
				{
					low = FLOW_MIN(low, at[i]);
					high = FLOW_MAX(high, at[i]);
				}
				CHECK(lows[j] == low && highs[j] == high);
			}
		}
#endif
	}
	free(x);
	check_passed("looks at numbers");
}

/* Each kind of frame is taken, mostly, for what it is for. */
static void
test_frames(CheckRandom *r)
{
	const uint32_t half = N / FLOW_FRAME / 2;
	int64_t at = 0;
	int64_t x[N];

	for (uint32_t i = 0; i < N; i++) /* a walk without bounds */
		x[i] = at += (int64_t) check_below(r, 8) - 3;
	(void) check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_FRAMES, r);
	CHECK(sums > half);
	for (uint32_t i = 0; i < N; i++) /* times that come somewhat late */
		x[i] = (int64_t) i * 10000 + (int64_t) check_below(r, 700);
	(void) check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_FRAMES, r);
	CHECK(lines > half);
	for (uint32_t i = 0; i < N; i++) /* no order */
		x[i] = (int64_t) check_below(r, 1000) - 300;
	(void) check_numbers(&int8, x, N, FLOW_CHUNK_NUMBERS, FLOW_NUM_FRAMES, r);
	CHECK(sums == 0 && lines == 0);
	check_passed("frames");
}

static void
test_float_encodings(CheckRandom *r)
{
	double special[] = {-0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e300};
	int64_t x[N];

	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_double_bits((double) check_below(r, 100000) / 1000);
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 3 && reader.npatches == 0);
	for (uint32_t i = 0; i < 6; i++)
		x[i * 300 + 7] = flowi_double_bits(special[i]);
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 3 && reader.npatches == 6);
	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_float_bits((float) check_below(r, 1000) / 10);
	(void) check_numbers(&float4, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_FRAMES,
						 r);
	CHECK(reader.exponent == 1 && reader.npatches == 0);
	/* floats in a column of doubles: 29 zeros at the end */
	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_double_bits(
			(double) ((float) check_below(r, 1u << 24) / 16777216.0f + 1));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_BITS, FLOW_NUM_FRAMES, r);
	CHECK(reader.shift >= 29);
	/* the largest that is a decimal, and one that is none */
	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_double_bits((double) ((INT64_C(1) << 51) - 1 - i));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_DECIMALS, FLOW_NUM_LINEAR,
						 r);
	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_double_bits((double) ((INT64_C(1) << 52) + i));
	(void) check_numbers(&float8, x, N, FLOW_CHUNK_BITS, FLOW_NUM_LINEAR, r);
	for (uint32_t i = 0; i < N; i++)
		x[i] = flowi_double_bits(NAN);
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

/* n values of 20 and some bytes, each of the entries as often as others. */
static void
make_entries(Column *c, uint32_t entries, uint32_t n)
{
	*c = (Column){.col = text, .n = n, .heap = malloc((size_t) n * 40)};
	CHECK(c->heap != NULL);
	vector_alloc(&c->v, n);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t entry = i % entries;
		uint32_t len = 20 + entry % 10;
		uint8_t *p = c->heap + (size_t) i * 40;

		c->v.ptr[i] = p;
		c->v.bytes[i] = len + 2;
		*p++ = 0;
		p = flowi_put_varint(p, len);
		memset(p, 'x', len);
		flowi_put32(p, entry);
	}
}

/* As many entries as there may be, or one less: memory is just enough. */
static void
test_full_dictionaries(CheckRandom *r)
{
	for (uint32_t entries = 4; entries < 300; entries++)
		for (uint32_t more = 0; more < 8; more++)
		{
			Column c;

			fresh_writer();
			make_entries(&c, entries, entries * 4 + more);
			(void) check_encoding(&c, FLOW_CHUNK_DICTIONARY, -1, r);
			column_free(&c);
		}
	check_passed("full dictionaries");
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

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	columnio_begin();
	test_round_trips(&r);
	test_sizes(&r);
	test_integer_encodings(&r);
	test_looks(&r);
	test_frames(&r);
	test_float_encodings(&r);
	test_byte_encodings(&r);
	test_full_dictionaries(&r);
	test_long_values(&r);
	test_nulls(&r);
	test_limits(&r);
	columnio_end();
	return 0;
}
