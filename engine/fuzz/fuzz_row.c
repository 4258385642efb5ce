/*-------------------------------------------------------------------------
 * fuzz_row.c
 *	  Rows of columns: any bytes as rows of any shape, against a simple reader.
 *
 * Of the input the first byte tells how many columns there are, the next
 * bytes their kinds and which are wanted, two more where the first row ends;
 * the rest is two rows.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../test/shapes.h"

#define FUZZ_COLUMNS 16u

static const FlowColumn kinds[] = {
	{.kind = FLOW_COLUMN_INT, .bytes = 8},
	{.kind = FLOW_COLUMN_PACKED},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 8},
	{.kind = FLOW_COLUMN_INT, .bytes = 1},
	{.kind = FLOW_COLUMN_FIXED, .bytes = 3},
	{.kind = FLOW_COLUMN_STRING},
	{.kind = FLOW_COLUMN_PLAIN},
	{.kind = FLOW_COLUMN_INT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT, .bytes = 2},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT,
	 .bytes = 4,
	 .missing = (const uint8_t *) "\x80\x81\x82\x83",
	 .missing_bytes = 4},
	{.kind = FLOW_COLUMN_PACKED,
	 .missing = (const uint8_t *) "\x05x",
	 .missing_bytes = 2},
	{.kind = FLOW_COLUMN_FIXED,
	 .bytes = 1,
	 .missing = (const uint8_t *) "y",
	 .missing_bytes = 1}};

#define NKINDS (sizeof(kinds) / sizeof(*kinds))

typedef struct FuzzShape
{
	FlowShape shape;
	FlowColumn columns[FUZZ_COLUMNS];
	uint32_t wanted[FUZZ_COLUMNS];
	uint32_t nwanted;
} FuzzShape;

/* The bytes before the rows; how many, 0: too few. */
static size_t
read_shape(const uint8_t *data, size_t size, FuzzShape *s)
{
	uint32_t n = size ? 1 + data[0] % FUZZ_COLUMNS : 0;

	if (n == 0 || size < 1 + n + 2)
		return 0;
	s->nwanted = 0;
	for (uint32_t c = 0; c < n; c++)
	{
		s->columns[c] = kinds[(data[1 + c] & 127) % NKINDS];
		if (data[1 + c] >= 128)
			s->wanted[s->nwanted++] = c;
	}
	s->shape = (FlowShape){n, s->columns};
	return 1 + n;
}

/* What splits is what a writer writes, and is made again from its parts. */
static FlowStatus
check_split(FlowEnv *env, const FuzzShape *s, const uint8_t *row, size_t bytes)
{
	FlowRowValue values[FUZZ_COLUMNS];
	FlowStatus st = FLOW_OK;
	FlowBuf buf;
	uint32_t n;

	if (!flowi_row_split(&s->shape, row, bytes, values, &n))
	{
		FUZZ_CHECK(!columns_is_canonical(&s->shape, row, bytes));
		return FLOW_OK;
	}
	FUZZ_CHECK(columns_is_canonical(&s->shape, row, bytes));
	fuzz_decoded++;
	flowi_buf_init(&buf, env);
	FLOW_GOTO(flowi_row_join(&s->shape, values, n, &buf));
	FUZZ_CHECK(buf.len == bytes && memcmp(buf.data, row, bytes) == 0);
out:
	flowi_buf_free(&buf);
	return st;
}

static bool
is_row(const FuzzShape *s, const uint8_t *row, size_t bytes)
{
	ColumnsValue v;
	const uint8_t *p;
	size_t len;
	ColumnsRow r;

	if (!columns_get_head(row, bytes, &r))
		return false;
	for (uint32_t w = 0; w < s->nwanted; w++)
		if (!columns_get(&s->shape, row, bytes, s->wanted[w], &v, &p, &len))
			return false;
	return true;
}

/* Two rows back to back: alone and together they give the same. */
static void
check_pick(const FuzzShape *s, const uint8_t *base, const uint32_t *off)
{
	FlowRowPick picks[FUZZ_COLUMNS];
	FlowRowPicker k;
	ColumnsVectors vs;
	bool both = true;

	FUZZ_CHECK(flowi_row_picker_set(&k, &s->shape, s->wanted, s->nwanted,
									picks) == FLOW_OK);
	columns_vectors_init(&vs, &s->shape, s->wanted, s->nwanted, 2);
	for (uint32_t i = 0; i < 2; i++)
	{
		const uint8_t *row = base + off[i];
		size_t bytes = off[i + 1] - off[i];
		bool ok = is_row(s, row, bytes);

		FUZZ_CHECK(ok == (flowi_row_pick(&k, row, bytes, vs.v, i) == FLOW_OK));
		for (uint32_t w = 0; ok && w < s->nwanted; w++)
			columns_check(&s->shape, row, bytes, s->wanted[w], &vs.v[w], i);
		both &= ok;
	}
	columns_vectors_free(&vs);
	columns_vectors_init(&vs, &s->shape, s->wanted, s->nwanted, 2);
	FUZZ_CHECK(both ==
			   (flowi_row_pick_run(&k, base, off, 2, vs.v, 0) == FLOW_OK));
	for (uint32_t i = 0; both && i < 2; i++)
		for (uint32_t w = 0; w < s->nwanted; w++)
			columns_check(&s->shape, base + off[i], off[i + 1] - off[i],
						  s->wanted[w], &vs.v[w], i);
	columns_vectors_free(&vs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	FuzzShape s;
	size_t head = read_shape(data, size, &s);

	if (head > 0 && size < 16384)
	{
		const uint8_t *base = data + head + 2;
		uint32_t bytes = (uint32_t) (size - head - 2);
		uint32_t first = ((uint32_t) data[head] | data[head + 1] << 8);
		uint32_t off[3] = {0, FLOW_MIN(first, bytes), bytes};

		for (int i = 0; i < 2; i++)
			fuzz_check_status(
				check_split(env, &s, base + off[i], off[i + 1] - off[i]));
		check_pick(&s, base, off);
	}
	fuzz_end();
	return 0;
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	static uint8_t row[2][COLUMNS_ROW_MAX];
	uint32_t n = 1 + (uint32_t) check_below(r, FUZZ_COLUMNS);
	uint32_t null = (uint32_t) check_below(r, 5);
	size_t bytes[2];
	FuzzShape s;

	fuzz_bytes_resize(out, 1 + n + 2);
	out->data[0] = (uint8_t) (n - 1);
	for (uint32_t c = 0; c < n; c++)
		out->data[1 + c] = (uint8_t) check_random(r);
	FUZZ_CHECK(read_shape(out->data, 1 + n + 2, &s) == 1 + n);
	for (int i = 0; i < 2; i++)
		bytes[i] = columns_random_row(
			r, &s.shape, check_below(r, 3) ? n : (uint32_t) check_below(r, n),
			null, row[i]);
	out->data[1 + n] = (uint8_t) bytes[0];
	out->data[2 + n] = (uint8_t) (bytes[0] >> 8);
	fuzz_bytes_resize(out, 1 + n + 2 + bytes[0] + bytes[1]);
	memcpy(out->data + 1 + n + 2, row[0], bytes[0]);
	memcpy(out->data + 1 + n + 2 + bytes[0], row[1], bytes[1]);
}
