/*-------------------------------------------------------------------------
 * fuzz_block.c
 *	  One decoded block of an SSTable: every row, every search.
 *
 * A block has no checksum of its own (its frame has).
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../block_format.h"
#include "../test/rows.h"

#define MAX_SEARCHES 200u

#define MAX_LOOKED_AT 4096u /* rows, of a block of a million: enough */

/* Of columns: the row's value, whole, and each of its columns. */
static uint64_t
check_value(FlowBlock *b, uint32_t row, FlowBuf *value)
{
	static FlowColumn known[FLOW_MAX_COLUMNS];
	uint64_t sum = 0;
	FlowStatus st;

	value->len = 0;
	st = flowi_block_value(b, row, value);
	fuzz_check_status(st);
	if (st == FLOW_OK)
		sum = fuzz_sum(sum, value->data, value->len);
	FUZZ_CHECK(st != FLOW_OK || value->len <= FLOW_MAX_VALUE);
	for (uint32_t c = 0; c < b->ncolumns; c++)
	{
		const uint8_t *e = b->raw + HEADER2_BYTES + (size_t) DIR_ENTRY * c;
		FlowShape shape = {.ncolumns = c + 1, .columns = known};
		int64_t num[1];
		const uint8_t *ptr[1];
		uint32_t bytes[1];
		uint8_t null[1];
		FlowColumnVector v = {num, ptr, bytes, null, false};

		known[c].kind = (FlowColumnKind) e[DIR_KIND];
		known[c].bytes = e[DIR_BYTES] | (uint32_t) e[DIR_BYTES + 1] << 8;
		st = flowi_block_pick(b, &shape, &c, 1, row, 1, &v, 0);
		fuzz_check_status(st);
		if (st == FLOW_OK && !flowi_column_is_number(&known[c]) && !null[0])
			sum = fuzz_sum(sum, ptr[0], bytes[0]);
	}
	return sum;
}

/* Rows in strict order, keys and values inside. */
static uint64_t
check_rows(FlowBlock *b, const uint8_t *data, size_t size, FlowBuf *value)
{
	FlowRec last = {0};
	uint64_t sum = 0;

	FUZZ_CHECK(b->nrows > 0 && b->nruns > 0 && b->nruns <= b->nrows);
	FUZZ_CHECK(b->run_row[0] == 0 && b->run_row[b->nruns] == b->nrows);
	for (uint32_t run = 0; run < b->nruns; run++)
	{
		FUZZ_CHECK(b->run_row[run] < b->run_row[run + 1]);
		for (uint32_t row = b->run_row[run]; row < b->run_row[run + 1]; row++)
		{
			FlowRec rec = {0};

			flowi_block_rec(b, run, row, &rec);
			if (flowi_block_seq(b, row, &rec.seq) != FLOW_OK)
				return sum;
			FUZZ_CHECK(fuzz_inside(rec.key, rec.key_bytes, data, size));
			FUZZ_CHECK(fuzz_inside(rec.value, rec.value_bytes, data, size));
			FUZZ_CHECK(rec.key_bytes <= FLOW_MAX_KEY &&
					   rec.value_bytes <= FLOW_MAX_VALUE);
			FUZZ_CHECK(rec.op == FLOW_PUT ||
					   (rec.op == FLOW_DELETE && rec.value_bytes == 0));
			FUZZ_CHECK(row == 0 || rows_cmp_recs(&last, &rec) < 0);
			last = rec;
			if (row >= MAX_LOOKED_AT)
				continue;
			sum = fuzz_sum(fuzz_sum(sum, rec.key, rec.key_bytes), rec.value,
						   rec.value_bytes);
			if (b->value_off == NULL && rec.op == FLOW_PUT)
				sum += check_value(b, row, value);
		}
	}
	return sum;
}

/* From a row's identity a search comes to its first version, and with after
 * behind its last one. */
static void
check_search(const FlowBlock *b, uint32_t run, uint32_t row)
{
	uint32_t key_bytes;
	const uint8_t *key = flowi_block_key(b, run, &key_bytes);
	int64_t ts = flowi_block_ts(b, run, row);
	uint32_t first = row;
	uint32_t end = row;
	uint32_t found_run;

	while (first > b->run_row[run] && flowi_block_ts(b, run, first - 1) == ts)
		first--;
	while (end < b->run_row[run + 1] && flowi_block_ts(b, run, end) == ts)
		end++;
	FUZZ_CHECK(flowi_block_find(b, key, key_bytes, ts, false, &found_run) ==
			   first);
	FUZZ_CHECK(found_run == run);
	FUZZ_CHECK(flowi_block_find(b, key, key_bytes, ts, true, &found_run) ==
			   end);
	FUZZ_CHECK(found_run == (end == b->run_row[run + 1] ? run + 1 : run));
}

/* What can be decoded is found undecoded too, or left to the decoder. */
static void
check_peek(FlowBlock *b, uint32_t run, uint32_t row)
{
	FlowSeek to = {.ts = flowi_block_ts(b, run, row)};
	FlowRec want = {0};
	FlowRec got;
	uint32_t found_run;

	to.key = flowi_block_key(b, run, &to.key_bytes);
	row = flowi_block_find(b, to.key, to.key_bytes, to.ts, false, &found_run);
	flowi_block_rec(b, run, row, &want);
	want.seq = b->seq[row];
	for (int last = 0; last < 2; last++)
	{
		FlowPeek found =
			flowi_block_peek(b->raw, b->raw_bytes, &to, last, &got);

		FUZZ_CHECK(found != FLOW_PEEK_NONE);
		FUZZ_CHECK(found == FLOW_PEEK_UNSURE ||
				   (last ? got.ts >= want.ts
						 : rows_cmp_recs(&got, &want) == 0 &&
							   got.value == want.value &&
							   got.value_bytes == want.value_bytes &&
							   got.expire_at == want.expire_at &&
							   got.op == want.op));
	}
}

/* Bytes that cannot be decoded: any answer, from inside of them. */
static void
peek_anyhow(const uint8_t *data, size_t size)
{
	for (uint32_t i = 0; i < 8; i++)
	{
		FlowSeek to = {.key = data, .ts = (int64_t) i * 1000};
		FlowRec rec;

		to.key_bytes = (uint32_t) FLOW_MIN(size, (size_t) i);
		if (size > HEADER_BYTES + i)
			to.key = data + size - i; /* perhaps the last key */
		if (flowi_block_peek(data, size, &to, i % 2, &rec) != FLOW_PEEK_ROW)
			continue;
		FUZZ_CHECK(fuzz_inside(rec.key, rec.key_bytes, data, size));
		FUZZ_CHECK(fuzz_inside(rec.value, rec.value_bytes, data, size));
	}
}

static void
check_searches(FlowBlock *b)
{
	uint32_t step = b->nrows / MAX_SEARCHES + 1;
	uint32_t run = 0;
	uint32_t found_run;

	for (uint32_t row = 0; row < b->nrows; row += step)
	{
		while (row >= b->run_row[run + 1])
			run++;
		check_search(b, run, row);
		if (b->value_off)
			check_peek(b, run, row);
	}
	FUZZ_CHECK(flowi_block_find(b, NULL, 0, INT64_MIN, false, &found_run) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	FlowCodec codec;
	FlowBlock b;
	FlowBuf value;

	flowi_codec_init(&codec, env);
	flowi_buf_init(&value, env);
	flowi_block_init(&b, env, &codec);
	peek_anyhow(data, size);
	for (int i = 0; i < 2; i++) /* again, into the memory of the first */
	{
		FlowStatus st = flowi_block_decode(&b, data, size, "block", 0);

		fuzz_check_status(st);
		if (st != FLOW_OK)
			continue;
		fuzz_decoded += (uint64_t) i;
		(void) check_rows(&b, data, size, &value);
		check_searches(&b);
	}
	flowi_block_free(&b);
	flowi_buf_free(&value);
	flowi_codec_free(&codec);
	fuzz_end();
	return 0;
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);
	RowsSpec spec = {.n = 1 + (uint32_t) check_below(r, 120),
					 .nkeys = 1 + (uint32_t) check_below(r, 20),
					 .key_max = 12,
					 .value_max = (uint32_t) check_below(r, 40),
					 .extreme = check_below(r, 2),
					 .tomb_percent = (uint32_t) check_below(r, 2) * 30,
					 .mortal_percent = (uint32_t) check_below(r, 3) * 50};
	FlowColumn columns[ROWS_MAX_COLUMNS];
	FlowShape shape;
	FlowCodec codec;
	FlowBlockBuilder b;
	const uint8_t *raw;
	size_t bytes;
	Rows rows;

	flowi_codec_init(&codec, env);
	flowi_block_builder_init(&b, env);
	rows_make_shape(&shape, columns, r);
	if (check_below(r, 3))
	{
		spec.shape = &shape;
		spec.narrow_percent = 50 * (uint32_t) check_below(r, 2);
		flowi_block_builder_shape(&b, &shape, &codec,
								  (FlowCompression) check_below(r, 3), 1);
	}
	rows_make(&rows, r, &spec);
	for (uint32_t i = 0; i < rows.n; i++)
	{
		bool new_key =
			i == 0 ||
			flowi_key_cmp(rows.rec[i - 1].key, rows.rec[i - 1].key_bytes,
						  rows.rec[i].key, rows.rec[i].key_bytes) != 0;

		FUZZ_CHECK(flowi_block_add(&b, &rows.rec[i], new_key) == FLOW_OK);
	}
	FUZZ_CHECK(flowi_block_finish(&b, &raw, &bytes) == FLOW_OK);
	fuzz_bytes_set(out, raw, bytes);
	flowi_block_builder_free(&b);
	flowi_codec_free(&codec);
	rows_free(&rows);
	fuzz_end();
}
