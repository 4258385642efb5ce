/*-------------------------------------------------------------------------
 * block_test.c
 *	  Blocks of rows and of columns: round trip, search, hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "../block.h"
#include "../env_posix.h"
#include "rows.h"

static FlowEnv *env;
static FlowCodec codec;

static void
build(FlowBlockBuilder *b, const Rows *rows, const uint8_t **rawp,
	  size_t *raw_bytesp)
{
	flowi_block_reset(b);
	for (uint32_t i = 0; i < rows->n; i++)
	{
		const FlowRec *rec = &rows->rec[i];
		bool new_key = i == 0 || flowi_key_cmp(rec[-1].key, rec[-1].key_bytes,
											   rec->key, rec->key_bytes) != 0;

		CHECK_OK(flowi_block_add(b, rec, new_key));
	}
	CHECK_OK(flowi_block_finish(b, rawp, raw_bytesp));
	CHECK(b->as_columns || *raw_bytesp <= b->max_bytes);
	CHECK((*rawp)[0] == (b->as_columns ? FLOW_BLOCK_COLUMNS : FLOW_BLOCK_ROWS));
}

/* What the block has for a row, its value made if need be into value. */
static FlowStatus
get_rec(FlowBlock *b, uint32_t run, uint32_t row, FlowBuf *value, FlowRec *rec)
{
	memset(rec, 0, sizeof(*rec));
	flowi_block_rec(b, run, row, rec);
	FLOW_TRY(flowi_block_seq(b, row, &rec->seq));
	if (b->value_off != NULL || rec->op == FLOW_DELETE)
		return FLOW_OK;
	value->len = 0;
	FLOW_TRY(flowi_block_value(b, row, value));
	rec->value = value->data;
	rec->value_bytes = (uint32_t) value->len;
	return FLOW_OK;
}

static uint32_t
run_of(const FlowBlock *b, uint32_t row)
{
	uint32_t run = 0;

	while (b->run_row[run + 1] <= row)
		run++;
	return run;
}

/* All rows, forwards, backwards, and some here and there. */
static void
check_rows(FlowBlock *b, const Rows *rows, CheckRandom *r)
{
	FlowBuf value;
	FlowRec rec;

	flowi_buf_init(&value, env);
	CHECK(b->nrows == rows->n && run_of(b, b->nrows - 1) == b->nruns - 1);
	for (uint32_t i = 0; i < 3 * b->nrows; i++)
	{
		uint32_t row = i < b->nrows		  ? i
					   : i < 2 * b->nrows ? 2 * b->nrows - 1 - i
										  : (uint32_t) check_below(r, b->nrows);

		CHECK_OK(get_rec(b, run_of(b, row), row, &value, &rec));
		rows_check_rec(&rec, &rows->rec[row]);
	}
	flowi_buf_free(&value);
}

/* One column as a vector of memory of its own. */
typedef struct Vector
{
	FlowColumnVector v;
	int64_t *num;
	const uint8_t **ptr;
	uint32_t *bytes;
	uint8_t *null;
} Vector;

static void
make_vector(Vector *m, uint32_t n)
{
	m->v.num = m->num = rows_alloc(n * 8);
	m->v.ptr = m->ptr = rows_alloc(n * sizeof(*m->ptr));
	m->v.bytes = m->bytes = rows_alloc(n * 4);
	m->v.null = m->null = rows_alloc(n);
	m->v.any_null = false;
	memset(m->null, 0, n);
}

static void
free_vector(Vector *m)
{
	free(m->num);
	free(m->ptr);
	free(m->bytes);
	free(m->null);
}

static void
check_same(const FlowColumn *col, const FlowColumnVector *got, uint32_t i,
		   const FlowColumnVector *want)
{
	CHECK(got->null[i] == want->null[0] && got->null[i] <= got->any_null);
	if (got->null[i])
		return;
	if (flowi_column_is_number(col))
		CHECK(got->num[i] == want->num[0]);
	else
		CHECK(got->bytes[i] == want->bytes[0] &&
			  memcmp(got->ptr[i], want->ptr[0], want->bytes[0]) == 0);
}

/* Parts of columns are what the rows have in them.  The reader knows more
 * columns than the block may have. */
static void
check_pick(FlowBlock *b, const Rows *rows, const FlowShape *shape,
		   CheckRandom *r)
{
	FlowRowPick pick;
	FlowRowPicker picker;
	Vector got, want;

	make_vector(&got, b->nrows + 3);
	make_vector(&want, 1);
	for (uint32_t k = 0; k < 3 * shape->ncolumns; k++)
	{
		uint32_t c = k % shape->ncolumns;
		uint32_t first = (uint32_t) check_below(r, b->nrows);
		uint32_t count = 1 + (uint32_t) check_below(r, b->nrows - first);
		uint32_t at = (uint32_t) check_below(r, 3);

		CHECK_OK(flowi_row_picker_set(&picker, shape, &c, 1, &pick));
		got.v.any_null = false;
		CHECK_OK(flowi_block_pick(b, shape, &c, 1, first, count, &got.v, at));
		for (uint32_t i = 0; i < count; i++)
		{
			const FlowRec *rec = &rows->rec[first + i];

			if (rec->op == FLOW_DELETE)
				continue;
			want.v.any_null = false;
			CHECK_OK(flowi_row_pick(&picker, rec->value, rec->value_bytes,
									&want.v, 0));
			check_same(&shape->columns[c], &got.v, at + i, &want.v);
		}
	}
	free_vector(&got);
	free_vector(&want);
}

static void
check_find(const FlowBlock *b, const Rows *rows, CheckRandom *r)
{
	for (int i = 0; i < 200; i++)
	{
		FlowSeek to;
		uint32_t row, run;

		rows_random_seek(rows, r, &to);
		to.unbounded = false;
		row = flowi_block_find(b, to.key, to.key_bytes, to.ts, to.after, &run);
		CHECK(row == rows_find(rows, false, &to));
		CHECK(row == b->nrows
				  ? run == b->nruns
				  : b->run_row[run] <= row && row < b->run_row[run + 1]);
	}
}

static void
check_peek(const uint8_t *raw, size_t raw_bytes, const Rows *rows,
		   CheckRandom *r)
{
	for (int i = 0; i < 200; i++)
	{
		FlowSeek to;
		FlowRec rec;
		bool last = check_below(r, 2);
		uint32_t row;
		FlowPeek found;

		rows_random_seek(rows, r, &to);
		row = rows_find_one(rows, &to, last);
		found = flowi_block_peek(raw, raw_bytes, &to, last, &rec);
		if (raw[0] != FLOW_BLOCK_ROWS)
			CHECK(found == FLOW_PEEK_UNSURE);
		else if (row == rows->n)
			CHECK(found == FLOW_PEEK_NONE);
		else
		{
			CHECK(found == FLOW_PEEK_ROW && rec.txn == NULL);
			rows_check_rec(&rec, &rows->rec[row]);
		}
	}
}

/* Of bytes that may be anything nothing else is touched. */
static uint64_t
peek_hostile(const uint8_t *raw, size_t n, const Rows *rows, CheckRandom *r)
{
	uint8_t *copy = rows_alloc(n);
	uint64_t sum = 0;

	memcpy(copy, raw, n);
	for (int i = 0; i < 4; i++)
	{
		FlowSeek to;
		FlowRec rec;

		rows_random_seek(rows, r, &to);
		if (flowi_block_peek(copy, n, &to, i % 2, &rec) != FLOW_PEEK_ROW)
			continue;
		CHECK((rec.op == FLOW_DELETE) == (rec.value == NULL));
		for (uint32_t k = 0; k < rec.key_bytes; k++)
			sum += rec.key[k];
		for (uint32_t k = 0; k < rec.value_bytes; k++)
			sum += rec.value[k];
	}
	free(copy);
	return sum;
}

/* Decode bytes that may be anything from a buffer of just that size, and
 * touch all that the block then claims to have. */
static uint64_t
decode_hostile(FlowBlock *b, const uint8_t *raw, size_t n)
{
	uint8_t *copy = rows_alloc(n);
	uint64_t sum = 0;
	FlowBuf value;
	FlowStatus st;

	flowi_buf_init(&value, env);
	memcpy(copy, raw, n);
	st = flowi_block_decode(b, copy, n, "block", 0);
	CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	for (uint32_t run = 0; st == FLOW_OK && run < b->nruns; run++)
		for (uint32_t i = b->run_row[run]; i < b->run_row[run + 1]; i++)
		{
			FlowRec rec;

			st = get_rec(b, run, i, &value, &rec);
			CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
			if (st == FLOW_CORRUPT)
				break;
			for (uint32_t k = 0; k < rec.key_bytes; k++)
				sum += rec.key[k];
			for (uint32_t k = 0; k < rec.value_bytes; k++)
				sum += rec.value[k];
			sum += (uint64_t) rec.ts + rec.seq;
		}
	free(copy);
	flowi_buf_free(&value);
	return sum;
}

static void
check_hostile(FlowBlock *b, const uint8_t *raw, size_t n, const Rows *rows,
			  CheckRandom *r)
{
	uint8_t *copy = rows_alloc(n);

	for (int i = 0; i < 300; i++)
	{
		uint64_t changes = 1 + check_below(r, 4);

		memcpy(copy, raw, n);
		while (changes-- > 0)
		{
			/* mostly the header */
			size_t most = check_below(r, 3) ? FLOW_MIN(n, (size_t) 100) : n;

			copy[check_below(r, most)] = check_below(r, 2)
											 ? (uint8_t) check_random(r)
											 : (uint8_t) check_below(r, 9);
		}
		decode_hostile(b, copy, n);
		decode_hostile(b, raw, check_below(r, n));
		peek_hostile(copy, n, rows, r);
		peek_hostile(raw, check_below(r, n), rows, r);
	}
	/* a cut block of rows is never right; of columns the chunks of values are
	 * looked at when they are wanted */
	for (size_t len = 0; len < n; len++)
		if (raw[0] == FLOW_BLOCK_ROWS || len < 40)
			CHECK_STATUS(flowi_block_decode(b, raw, len, "block", 0),
						 FLOW_CORRUPT);
		else if (len % 7 == 0)
			decode_hostile(b, raw, len);
	memcpy(copy, raw, n);
	copy[0] = FLOW_BLOCK_COLUMNS + 1;
	CHECK_STATUS(flowi_block_decode(b, copy, n, "block", 0), FLOW_MISMATCH);
	copy[0] = 0;
	CHECK_STATUS(flowi_block_decode(b, copy, n, "block", 0), FLOW_CORRUPT);
	free(copy);
}

static void
test_random(CheckRandom *r)
{
	FlowBlockBuilder builder;
	FlowBlock block;
	uint32_t as_columns = 0;

	flowi_block_init(&block, env, &codec);
	for (int round = 0; round < 400; round++)
	{
		FlowColumn col[ROWS_MAX_COLUMNS];
		FlowShape shape;
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(r, 200),
						 .nkeys = 1 + (uint32_t) check_below(r, 20),
						 .key_max = 1 + (uint32_t) check_below(r, 300),
						 .value_max = (uint32_t) check_below(r, 200),
						 .extreme = check_below(r, 2),
						 .tomb_percent = 50 * (uint32_t) check_below(r, 3),
						 .mortal_percent = 50 * (uint32_t) check_below(r, 3),
						 .narrow_percent = 30 * (uint32_t) check_below(r, 3)};
		Rows rows;
		const uint8_t *raw;
		size_t raw_bytes;

		flowi_block_builder_init(&builder, env);
		rows_make_shape(&shape, col, r);
		if (round % 2)
		{
			flowi_block_builder_shape(&builder, &shape, &codec,
									  (FlowCompression) (round / 2 % 3), 1);
			spec.shape = &shape;
			spec.odd_percent = check_below(r, 8) ? 0 : 1;
		}
		rows_make(&rows, r, &spec);
		build(&builder, &rows, &raw, &raw_bytes);
		CHECK_OK(flowi_block_decode(&block, raw, raw_bytes, "block", 0));
		check_rows(&block, &rows, r);
		check_find(&block, &rows, r);
		check_peek(raw, raw_bytes, &rows, r);
		if (builder.as_columns)
			check_pick(&block, &rows, &shape, r);
		as_columns += builder.as_columns;
		check_hostile(&block, raw, raw_bytes, &rows, r);
		rows_free(&rows);
		flowi_block_builder_free(&builder);
	}
	flowi_block_free(&block);
	CHECK(as_columns > 100);
	check_passed("random blocks: rows, search, hostile bytes");
}

/* Evenly spaced rows of equal length cost their values and nothing else. */
static void
test_compact(void)
{
	FlowBlockBuilder builder;
	const uint8_t *raw;
	size_t raw_bytes;

	flowi_block_builder_init(&builder, env);
	for (uint32_t i = 0; i < 100; i++)
	{
		FlowRec rec = {.key = (const uint8_t *) "host-1",
					   .key_bytes = 6,
					   .value = (const uint8_t *) "12345678",
					   .value_bytes = 8,
					   .ts = 1000000 + 10 * (int64_t) i,
					   .expire_at = 2000000 + 10 * (int64_t) i,
					   .seq = 77};

		CHECK_OK(flowi_block_add(&builder, &rec, i == 0));
	}
	CHECK_OK(flowi_block_finish(&builder, &raw, &raw_bytes));
	CHECK(raw_bytes == 76 + 6 + 100 * 8);
	flowi_block_builder_free(&builder);
	check_passed("regular rows take no byte beside their values");
}

/* A header that claims billions of rows must not make us allocate them. */
static void
test_claims(void)
{
	uint8_t raw[76] = {FLOW_BLOCK_ROWS};
	FlowBlock block;

	flowi_block_init(&block, env, &codec);
	flowi_put32(raw + 12, UINT32_MAX);
	flowi_put32(raw + 16, 1);
	CHECK_STATUS(flowi_block_decode(&block, raw, sizeof(raw), "block", 0),
				 FLOW_CORRUPT);
	CHECK(block.mem_bytes == 0);
	flowi_block_free(&block);
	check_passed("claimed rows are bounded");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	flowi_codec_init(&codec, env);
	test_random(&r);
	test_compact();
	test_claims();
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
	return 0;
}
