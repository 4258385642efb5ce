/*-------------------------------------------------------------------------
 * block_test.c
 *	  Blocks of rows: round trip, search, hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "../block.h"
#include "../env_posix.h"
#include "rows.h"

static FlowEnv *env;

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
	CHECK(*raw_bytesp <= b->max_bytes);
}

static void
check_rows(const FlowBlock *b, const Rows *rows)
{
	uint32_t run = 0;

	CHECK(b->nrows == rows->n);
	for (uint32_t i = 0; i < b->nrows; i++)
	{
		FlowRec rec = {0};

		if (i == b->run_row[run + 1])
			run++;
		flowi_block_rec(b, run, i, &rec);
		rows_check_rec(&rec, &rows->rec[i]);
	}
	CHECK(run == b->nruns - 1);
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

/* Decode bytes that may be anything from a buffer of just that size, and
 * touch all that the block then claims to have. */
static uint64_t
decode_hostile(FlowBlock *b, const uint8_t *raw, size_t n)
{
	uint8_t *copy = rows_alloc(n);
	uint64_t sum = 0;
	FlowStatus st;

	memcpy(copy, raw, n);
	st = flowi_block_decode(b, copy, n, "block", 0);
	CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	for (uint32_t run = 0; st == FLOW_OK && run < b->nruns; run++)
		for (uint32_t i = b->run_row[run]; i < b->run_row[run + 1]; i++)
		{
			FlowRec rec;

			flowi_block_rec(b, run, i, &rec);
			for (uint32_t k = 0; k < rec.key_bytes; k++)
				sum += rec.key[k];
			for (uint32_t k = 0; k < rec.value_bytes; k++)
				sum += rec.value[k];
			sum += (uint64_t) rec.ts + rec.seq;
		}
	free(copy);
	return sum;
}

static void
check_hostile(FlowBlock *b, const uint8_t *raw, size_t n, CheckRandom *r)
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
	}
	/* a cut block, or one with a byte too many, is never right */
	for (size_t len = 0; len < n; len++)
		CHECK_STATUS(flowi_block_decode(b, raw, len, "block", 0), FLOW_CORRUPT);
	memcpy(copy, raw, n);
	copy[0] = FLOW_BLOCK_VERSION + 1;
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

	flowi_block_builder_init(&builder, env);
	flowi_block_init(&block, env);
	for (int round = 0; round < 200; round++)
	{
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(r, 200),
						 .nkeys = 1 + (uint32_t) check_below(r, 20),
						 .key_max = 1 + (uint32_t) check_below(r, 300),
						 .value_max = (uint32_t) check_below(r, 200),
						 .extreme = check_below(r, 2),
						 .tomb_percent = 50 * (uint32_t) check_below(r, 3),
						 .mortal_percent = 50 * (uint32_t) check_below(r, 3)};
		Rows rows;
		const uint8_t *raw;
		size_t raw_bytes;

		rows_make(&rows, r, &spec);
		build(&builder, &rows, &raw, &raw_bytes);
		CHECK_OK(flowi_block_decode(&block, raw, raw_bytes, "block", 0));
		check_rows(&block, &rows);
		check_find(&block, &rows, r);
		check_hostile(&block, raw, raw_bytes, r);
		rows_free(&rows);
	}
	flowi_block_free(&block);
	flowi_block_builder_free(&builder);
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
	uint8_t raw[76] = {FLOW_BLOCK_VERSION};
	FlowBlock block;

	flowi_block_init(&block, env);
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
	test_random(&r);
	test_compact();
	test_claims();
	flow_env_posix_free(env);
	return 0;
}
