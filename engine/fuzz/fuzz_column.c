/*-------------------------------------------------------------------------
 * fuzz_column.c
 *	  One column of a block: open it, read it whole, in parts and by ones.
 *
 * Of the input the first byte is the kind, the next three are the number of
 * values; the rest is the chunk.  What can be read is written again, and must
 * be the same when it is read again.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../test/columndata.h"

#define HEAD 4u
#define MAX_ROWS 5000u /* more are opened only */

/* A number is what its bytes can tell; a value has the length it tells. */
static void
check_values(const FlowColumn *col, const FlowColumnVector *v, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		FUZZ_CHECK(v->null[i] <= 1 && (!v->null[i] || v->any_null));
		if (col->kind <= FLOW_COLUMN_FLOAT)
		{
			int64_t high =
				col->bytes == 8 ? 0 : v->num[i] >> (col->bytes * 8 - 1);

			FUZZ_CHECK(high == 0 || high == -1);
			FUZZ_CHECK(!v->null[i] || v->num[i] == 0);
			continue;
		}
		FUZZ_CHECK((v->ptr[i] == NULL) == (v->null[i] == 1));
		FUZZ_CHECK(v->null[i] || v->bytes[i] > 0);
		FUZZ_CHECK(v->null[i] || col->kind != FLOW_COLUMN_FIXED ||
				   v->bytes[i] == col->bytes);
		if (!v->null[i])
			sum = fuzz_sum(sum, v->ptr[i], v->bytes[i]);
	}
	fuzz_decoded += sum == 1; /* it is used */
}

/* Written and read again, values are the same. */
static void
write_again(FlowEnv *env, const FlowColumn *col, const FlowColumnVector *v,
			uint32_t n, FlowCompression how)
{
	Column c = {.col = *col, .v = *v, .n = n};
	FlowColumnVector again;
	FlowCodec codec;
	FlowColumnWriter w;
	FlowColumnReader r;
	FlowBuf out;
	FlowStatus st;

	c.heap = col->kind > FLOW_COLUMN_FLOAT ? (uint8_t *) &c : NULL;
	vector_alloc(&again, n);
	flowi_codec_init(&codec, env);
	flowi_column_writer_init(&w, env, &codec, how, 1);
	flowi_column_reader_init(&r, env, &codec);
	flowi_buf_init(&out, env);
	st = flowi_column_write(&w, col, v, n, &out);
	if (st == FLOW_OK)
		st = flowi_column_open(&r, col, n, out.data, out.len);
	if (st == FLOW_OK)
		st = flowi_column_read(&r, 0, n, &again, 0);
	FUZZ_CHECK(st == FLOW_OK || (st == FLOW_NOMEM && fuzz_no_memory()));
	if (st == FLOW_OK)
		column_check(&c, 0, n, &again, 0);
	flowi_buf_free(&out);
	flowi_column_reader_free(&r);
	flowi_column_writer_free(&w);
	flowi_codec_free(&codec);
	vector_free(&again);
}

/* Some parts; v has room for n. */
static void
read_parts(FlowColumnReader *r, const FlowColumn *col, uint32_t n,
		   FlowColumnVector *v)
{
	CheckRandom random = {n};

	for (int i = 0; i < 16; i++)
	{
		uint32_t first = (uint32_t) check_below(&random, n);
		uint32_t count =
			i % 2 ? 1 : 1 + (uint32_t) check_below(&random, n - first);
		FlowStatus st = flowi_column_read(r, first, count, v, 0);

		fuzz_check_status(st);
		if (st == FLOW_OK)
			check_values(col, v, count);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	const FlowColumn *col = &kinds[size > 0 ? data[0] % NKINDS : 0];
	uint32_t n = size < HEAD ? 0 : flowi_get32(data) >> 8;
	FlowColumnVector v;
	FlowCodec codec;
	FlowColumnReader r;

	flowi_codec_init(&codec, env);
	flowi_column_reader_init(&r, env, &codec);
	for (int i = 0; i < 2 && size >= HEAD; i++) /* again, into its memory */
	{
		FlowStatus st = flowi_column_open(&r, col, n, data + HEAD, size - HEAD);

		fuzz_check_status(st);
		if (st != FLOW_OK || n > MAX_ROWS)
			continue;
		vector_alloc(&v, n);
		if (i == 1)
			read_parts(&r, col, n, &v);
		st = flowi_column_read(&r, 0, n, &v, 0);
		fuzz_check_status(st);
		if (st == FLOW_OK)
		{
			check_values(col, &v, n);
			write_again(env, col, &v, n, (FlowCompression) (size % 3));
			fuzz_decoded += (uint64_t) i;
		}
		vector_free(&v);
	}
	flowi_column_reader_free(&r);
	flowi_codec_free(&codec);
	fuzz_end();
	return 0;
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);
	uint32_t kind = (uint32_t) check_below(r, NKINDS);
	uint32_t n = 1 + (uint32_t) check_below(r, check_below(r, 2) ? 40 : 900);
	FlowColumnWriter w;
	FlowCodec codec;
	FlowBuf chunk;
	Column c;

	column_make(&c, &kinds[kind], (Shape) check_below(r, SHAPE_NSHAPES),
				(Nulls) check_below(r, NULLS_NNULLS), n, r);
	flowi_codec_init(&codec, env);
	flowi_column_writer_init(&w, env, &codec,
							 (FlowCompression) check_below(r, 3), 1);
	flowi_buf_init(&chunk, env);
	FUZZ_CHECK(flowi_column_write(&w, &c.col, &c.v, n, &chunk) == FLOW_OK);
	fuzz_bytes_resize(out, HEAD + chunk.len);
	flowi_put32(out->data, n << 8 | kind);
	memcpy(out->data + HEAD, chunk.data, chunk.len);
	flowi_buf_free(&chunk);
	flowi_column_writer_free(&w);
	flowi_codec_free(&codec);
	column_free(&c);
	fuzz_end();
}
