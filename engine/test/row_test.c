/*-------------------------------------------------------------------------
 * row_test.c
 *	  Rows of columns (row.c, row_pick.c) against a simple reader and writer.
 *
 *	 row_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "../env_posix.h"
#include "shapes.h"

#define REGION_BYTES (4u << 20)

static FlowEnv *env;

/* ------------------------------------------------------------ split, join */

/* Split agrees, and what it gives makes the same row. */
static bool
check_split(const FlowShape *shape, const uint8_t *row, size_t bytes)
{
	FlowRowValue values[COLUMNS_MAX];
	uint32_t n = UINT32_MAX;
	bool ok = flowi_row_split(shape, row, bytes, values, &n);
	FlowBuf buf;

	CHECK(ok == columns_is_canonical(shape, row, bytes));
	if (!ok)
		return false;
	flowi_buf_init(&buf, env);
	CHECK_OK(flowi_buf_append(&buf, "x", 1));
	CHECK_OK(flowi_row_join(shape, values, n, &buf));
	CHECK(buf.len == bytes + 1 && memcmp(buf.data + 1, row, bytes) == 0);
	for (uint32_t c = 0; c < n; c++)
	{
		ColumnsValue v;
		const uint8_t *p;
		size_t len;

		CHECK(columns_get(shape, row, bytes, c, &v, &p, &len));
		CHECK((values[c].p == NULL) == v.null && values[c].bytes == len);
		CHECK(v.null || values[c].p == p);
	}
	flowi_buf_free(&buf);
	return true;
}

/* ------------------------------------------------------------------- pick */

/* n rows [off[i], off[i + 1]) of base: what each of them gives alone, and all
 * of them at once. */
static void
check_pick(const ColumnsShape *s, const uint32_t *columns, uint32_t ncolumns,
		   const uint8_t *base, const uint32_t *off, uint32_t n)
{
	const FlowShape *shape = &s->shape;
	FlowRowPick picks[COLUMNS_MAX];
	FlowRowPicker k;
	ColumnsVectors vs;
	FlowStatus bad = FLOW_OK, st;

	CHECK_OK(flowi_row_picker_set(&k, shape, columns, ncolumns, picks));
	columns_vectors_init(&vs, shape, columns, ncolumns, n + 1);
	for (uint32_t i = 0; i < n; i++)
	{
		const uint8_t *row = base + off[i];
		size_t bytes = off[i + 1] - off[i];
		ColumnsValue v;
		const uint8_t *p;
		size_t len;
		bool ok = true;

		for (uint32_t w = 0; w < ncolumns; w++)
			ok &= columns_get(shape, row, bytes, columns[w], &v, &p, &len);
		st = flowi_row_pick(&k, row, bytes, vs.v, i + 1);
		CHECK(ok == (st == FLOW_OK));
		for (uint32_t w = 0; ok && w < ncolumns; w++)
			columns_check(shape, row, bytes, columns[w], &vs.v[w], i + 1);
		if (ok)
			continue;
		CHECK(st == (bytes > 0 && row[0] > 1 ? FLOW_MISMATCH : FLOW_CORRUPT));
		CHECK(flow_last_error()->status == st && flow_last_error()->row);
		bad = bad == FLOW_OK ? st : bad;
	}
	columns_vectors_free(&vs);

	columns_vectors_init(&vs, shape, columns, ncolumns, n + 1);
	CHECK_STATUS(flowi_row_pick_run(&k, base, off, n, vs.v, 1), bad);
	for (uint32_t i = 0; bad == FLOW_OK && i < n; i++)
		for (uint32_t w = 0; w < ncolumns; w++)
			columns_check(shape, base + off[i], off[i + 1] - off[i], columns[w],
						  &vs.v[w], i + 1);
	for (uint32_t w = 0; w < ncolumns; w++)
		CHECK(vs.v[w].null[0] == 0xee);
	columns_vectors_free(&vs);
}

/* ---------------------------------------------------------------- by hand */

/* "PACKED" of hex digits. */
static size_t
from_hex(const char *hex, uint8_t *bytes)
{
	size_t n = 0;

	for (; hex[2 * n]; n++)
	{
		unsigned v;

		CHECK(sscanf(hex + 2 * n, "%2x", &v) == 1);
		bytes[n] = (uint8_t) v;
	}
	return n;
}

/* What is a row for a reader of all columns, and what is one that a column
 * store may take apart. */
static void
test_forms(void)
{
	static const FlowColumn packed[] = {{.kind = FLOW_COLUMN_PACKED}};
	static const FlowColumn plain[] = {{.kind = FLOW_COLUMN_PLAIN}};
	static const FlowColumn string[] = {{.kind = FLOW_COLUMN_STRING}};
	static const FlowColumn two[] = {{.kind = FLOW_COLUMN_INT, .bytes = 2},
									 {.kind = FLOW_COLUMN_FIXED, .bytes = 3}};
	static const FlowShape shapes[] = {
		{1, packed}, {1, plain}, {1, string}, {2, two}};
	static const struct
	{
		int shape;
		const char *hex;
		const char *what; /* "rs": reader, split; or what a reader is told */
	} cases[] = {
		{0, "", "its version is unknown"},
		{0, "00", "its version is unknown"},
		{0, "0000", "its version is unknown"},
		{0, "02", "it has a newer version"},
		{0, "ff00", "it has a newer version"},
		{0, "01", "its number of columns is wrong"},
		{0, "0180", "its number of columns is wrong"},
		{0, "018080808010", "its number of columns is wrong"},
		{0, "01ffffffff0f", "its number of columns is wrong"},
		{0, "01808004", "its number of columns is wrong"}, /* 32768 */
		{0, "0103", "it ends in its header"},
		{0, "01fdff0300", "it ends in its header"}, /* 32766, with NULLs */
		/* no column, and what a reader does not look at */
		{0, "0100", "rs"},
		{0, "010001", "r"},
		{0, "0101", "r"},
		{0, "018000", "r"},
		{0, "018080808000", "r"},
		{0, "01808080808000", "its number of columns is wrong"},
		/* a value, or NULL */
		{0, "0102", "a value is missing"},
		{0, "010203", "rs"},
		{0, "01820003", "r"},
		{0, "01020561", "rs"},
		{0, "0102056161", "r"},
		{0, "0102", "a value is missing"},
		{0, "010205", "a value has a wrong length"},
		{0, "010201", "a value has a wrong length"},
		{0, "0102ff", "a value has a wrong length"},
		{0, "010202", "a value has a wrong header"},
		{0, "0102fe", "a value has a wrong header"},
		{0, "010301", "rs"},
		{0, "010300", "a value is missing"},
		{0, "01030003", "r"}, /* without a NULL */
		{0, "010303", "r"},	  /* spare bit */
		{0, "010381", "r"},
		{0, "01030103", "r"}, /* a NULL, and something behind */
		{0, "0104", "a value is missing"},
		{0, "01040303", "r"}, /* more columns than there are */
		/* the long form where the short one fits */
		{0, "010200", "a value has a wrong length"},
		{0, "01020000", "r"},
		{0, "0102000161", "r"},
		{0, "010200018061", "r"},
		{0, "0102008100", "a value has a wrong length"},
		{0, "010200810061", "r"},
		{0, "0102008080808010", "a value has a wrong length"},
		{0, "010200808080808000", "a value has a wrong length"},
		{0, "01020080808000", "r"},
		{0, "010200ffffffff0f", "a value has a wrong length"},
		/* never the short form, but readers take it */
		{1, "01020000", "rs"},
		{1, "0102000161", "rs"},
		{1, "0102008000", "r"},
		{1, "010203", "r"},
		{1, "01020561", "r"},
		{1, "010201", "a value has a wrong length"},
		{1, "010204", "a value has a wrong header"},
		{2, "0102", "a value is missing"},
		{2, "010200", "rs"},
		{2, "01020161", "rs"},
		{2, "0102028061", "rs"},
		{2, "010202", "a value has a wrong length"},
		{2, "0102810061", "r"},
		{2, "0102ffffffffff", "a value has a wrong length"},
		/* fixed ones */
		{3, "01040102030405", "rs"},
		{3, "010401020304", "it is too short"},
		{3, "0104010203", "it is too short"},
		{3, "010401", "it is too short"},
		{3, "0104", "it is too short"},
		{3, "0104010203040506", "r"},
		{3, "01020102", "rs"},
		{3, "010201", "it is too short"},
		{3, "0105020102", "rs"},
		{3, "010501030405", "rs"},
		{3, "0105010304", "it is too short"},
		{3, "010503", "rs"},
		{3, "01050203", "it is too short"},
		{3, "010507", "r"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		const FlowShape *shape = &shapes[cases[i].shape];
		static const uint32_t columns[] = {0, 1};
		bool is_row = cases[i].what[0] == 'r';
		bool splits = is_row && cases[i].what[1] == 's';
		size_t n = strlen(cases[i].hex) / 2;
		uint8_t *row = malloc(n ? n : 1);
		ColumnsVectors vs;
		FlowRowPick picks[2];
		FlowRowPicker k;
		FlowStatus st;

		from_hex(cases[i].hex, row);
		CHECK(check_split(shape, row, n) == splits);
		columns_vectors_init(&vs, shape, columns, shape->ncolumns, 1);
		CHECK_OK(
			flowi_row_picker_set(&k, shape, columns, shape->ncolumns, picks));
		st = flowi_row_pick(&k, row, n, vs.v, 0);
		if ((st == FLOW_OK) != is_row)
			printf("# case %zu: %s\n", i, cases[i].hex);
		CHECK((st == FLOW_OK) == is_row);
		CHECK(is_row || strcmp(flow_last_error()->row, cases[i].what) == 0);
		columns_vectors_free(&vs);
		free(row);
	}
	check_passed("rows by hand");
}

/* Long values: where the header of a PACKED one grows. */
static void
test_lengths(void)
{
	static const uint32_t lengths[] = {
		0, 1, 125, 126, 127, 128, 16383, 16384, 2097151, 2097152, 1 << 23};

	for (uint32_t kind = FLOW_COLUMN_PACKED; kind <= FLOW_COLUMN_STRING; kind++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		{
			FlowColumn col = {.kind = (FlowColumnKind) kind};
			FlowShape shape = {1, &col};
			uint8_t *payload = calloc(1, lengths[i] + 1);
			uint8_t *row = malloc(lengths[i] + 16);
			ColumnsValue v = {.bytes = lengths[i], .p = payload};
			size_t n = columns_put_row(&shape, &v, 1, row);
			FlowRowValue value;
			FlowBuf buf;
			uint32_t ncolumns;

			flowi_buf_init(&buf, env);
			CHECK(flowi_row_split(&shape, row, n, &value, &ncolumns));
			CHECK(ncolumns == 1 && value.p == row + 2 && value.bytes == n - 2);
			CHECK_OK(flowi_row_join(&shape, &value, 1, &buf));
			CHECK(buf.len == n && memcmp(buf.data, row, n) == 0);
			CHECK(!flowi_row_split(&shape, row, n - 1, &value, &ncolumns));
			flowi_buf_free(&buf);
			free(row);
			free(payload);
		}
	check_passed("lengths of values");
}

/* As many columns as there can be. */
static void
test_many_columns(void)
{
	FlowColumn *columns = calloc(FLOW_MAX_COLUMNS, sizeof(*columns));
	FlowRowValue *values = calloc(FLOW_MAX_COLUMNS, sizeof(*values));
	FlowShape shape = {FLOW_MAX_COLUMNS, columns};
	uint8_t byte = 7;
	FlowBuf buf;
	uint32_t n, last = FLOW_MAX_COLUMNS - 1;
	int64_t num;
	uint8_t null;
	FlowColumnVector v = {.num = &num, .null = &null};
	FlowRowPick pick;
	FlowRowPicker k;

	for (uint32_t c = 0; c < FLOW_MAX_COLUMNS; c++)
		columns[c] = (FlowColumn){.kind = FLOW_COLUMN_INT, .bytes = 1};
	for (int nulls = 0; nulls < 2; nulls++)
	{
		for (uint32_t c = 0; c < FLOW_MAX_COLUMNS; c++)
			values[c] = (FlowRowValue){nulls && c % 3 ? NULL : &byte, 1};
		flowi_buf_init(&buf, env);
		CHECK_OK(flowi_row_join(&shape, values, FLOW_MAX_COLUMNS, &buf));
		CHECK(flowi_row_split(&shape, buf.data, buf.len, values, &n));
		CHECK(n == FLOW_MAX_COLUMNS);
		CHECK_OK(flowi_row_picker_set(&k, &shape, &last, 1, &pick));
		CHECK_OK(flowi_row_pick(&k, buf.data, buf.len, &v, 0));
		CHECK(null == (nulls && last % 3) && num == (null ? 0 : 7));
		shape.ncolumns--;
		CHECK(!flowi_row_split(&shape, buf.data, buf.len, values, &n));
		shape.ncolumns++;
		flowi_buf_free(&buf);
	}
	free(columns);
	free(values);
	check_passed("as many columns as there can be");
}

/* Rules of a picker. */
static void
test_rules(void)
{
	FlowColumn columns[] = {{.kind = FLOW_COLUMN_INT, .bytes = 8},
							{.kind = FLOW_COLUMN_PACKED},
							{.kind = FLOW_COLUMN_FLOAT, .bytes = 4}};
	FlowShape shape = {3, columns};
	FlowRowPick picks[3];
	FlowRowPicker k;

	CHECK_OK(flowi_row_picker_set(&k, &shape, (uint32_t[]){0, 1, 2}, 3, picks));
	CHECK_STATUS(flowi_row_picker_set(&k, NULL, (uint32_t[]){0}, 1, picks),
				 FLOW_INVALID);
	CHECK_STATUS(flowi_row_picker_set(&k, &shape, (uint32_t[]){3}, 1, picks),
				 FLOW_INVALID);
	CHECK_STATUS(flowi_row_picker_set(&k, &shape, (uint32_t[]){1, 1}, 2, picks),
				 FLOW_INVALID);
	CHECK_STATUS(flowi_row_picker_set(&k, &shape, (uint32_t[]){2, 1}, 2, picks),
				 FLOW_INVALID);
	CHECK_STATUS(
		flowi_row_picker_set(&k, &shape, (uint32_t[]){0, 1, 2, 3}, 4, picks),
		FLOW_INVALID);
	columns[2].bytes = 2;
	CHECK_STATUS(flowi_row_picker_set(&k, &shape, (uint32_t[]){2}, 1, picks),
				 FLOW_INVALID);
	columns[2].bytes = 4;
	columns[2].missing = (const uint8_t *) "abc";
	columns[2].missing_bytes = 3;
	CHECK_STATUS(flowi_row_picker_set(&k, &shape, (uint32_t[]){2}, 1, picks),
				 FLOW_INVALID);
	for (uint32_t kind = 0; kind < 8; kind++)
		for (uint32_t bytes = 0; bytes < 40000; bytes += bytes < 20 ? 1 : 997)
		{
			FlowColumn col = {.kind = (FlowColumnKind) kind, .bytes = bytes};
			bool ok = kind == 1
						  ? bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8
					  : kind == 2 ? bytes == 4 || bytes == 8
					  : kind == 3 ? bytes > 0 && bytes <= 32767
								  : kind > 3 && kind < 7 && bytes == 0;

			CHECK(flowi_column_ok(&col) == ok);
		}
	check_passed("rules");
}

/* ----------------------------------------------------------------- random */

/* Change bytes of a row, or how many there are; its new length. */
static size_t
mutate(CheckRandom *r, uint8_t *row, size_t bytes)
{
	static const uint8_t likely[] = {0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0x81, 0xff};

	for (uint64_t i = check_below(r, 3); i > 0 && bytes > 0; i--)
	{
		size_t at =
			check_below(r, check_below(r, 2) ? bytes : FLOW_MIN(bytes, 8));

		row[at] = check_below(r, 2) ? likely[check_below(r, sizeof(likely))]
									: (uint8_t) check_random(r);
	}
	if (check_below(r, 3) == 0)
		bytes -= check_below(r, FLOW_MIN(bytes, 12) + 1);
	else if (check_below(r, 6) == 0)
		row[bytes++] = (uint8_t) check_below(r, 4);
	return bytes;
}

#define ROWS 24

/*
 * Rows of one shape, in most rounds alike for a while, as they are or with
 * some of them changed; each in memory of its own length to split, all back to
 * back to pick.
 */
static void
test_round(CheckRandom *r)
{
	static uint8_t base[ROWS * COLUMNS_ROW_MAX];
	uint32_t off[ROWS + 1] = {0};
	uint32_t columns[COLUMNS_MAX];
	uint32_t ncolumns =
		1 + (uint32_t) check_below(r, check_below(r, 4) ? 10 : COLUMNS_MAX);
	bool damage = check_below(r, 2) == 0;
	uint32_t null = 0, n = ncolumns;
	ColumnsShape s;

	columns_random_shape(r, ncolumns, check_below(r, 3) == 0, &s);
	for (uint32_t i = 0; i < ROWS; i++)
	{
		size_t bytes;
		uint8_t *copy;

		if (check_below(r, 6) == 0)
		{
			null = (uint32_t) check_below(r, 5);
			n = (uint32_t) check_below(r, ncolumns + 1);
		}
		bytes = columns_random_row(r, &s.shape, n, null, base + off[i]);
		CHECK(columns_is_canonical(&s.shape, base + off[i], bytes));
		if (damage && check_below(r, ROWS / 2) == 0)
			bytes = mutate(r, base + off[i], bytes);
		copy = malloc(bytes ? bytes : 1);
		memcpy(copy, base + off[i], bytes);
		(void) check_split(&s.shape, copy, bytes);
		free(copy);
		off[i + 1] = off[i] + (uint32_t) bytes;
	}
	for (int i = 0; i < 4; i++)
	{
		uint32_t some = columns_random_some(r, ncolumns, columns);
		uint32_t first = (uint32_t) check_below(r, ROWS);
		uint8_t *copy = malloc(off[ROWS] ? off[ROWS] : 1);

		memcpy(copy, base, off[ROWS]);
		check_pick(&s, columns, some, copy, off + first, ROWS - first);
		free(copy);
	}
}

/* Many changes of one row. */
static void
test_mutations(CheckRandom *r)
{
	static uint8_t row[COLUMNS_ROW_MAX + 1];
	uint32_t ncolumns = 1 + (uint32_t) check_below(r, 12);
	uint32_t columns[COLUMNS_MAX];
	ColumnsShape s;
	size_t bytes;
	uint8_t *good;

	columns_random_shape(r, ncolumns, false, &s);
	bytes = columns_random_row(r, &s.shape, ncolumns,
							   (uint32_t) check_below(r, 4), row);
	good = malloc(bytes);
	memcpy(good, row, bytes);
	for (int i = 0; i < 50; i++)
	{
		uint32_t some = columns_random_some(r, ncolumns, columns);
		size_t n;
		uint8_t *copy;

		memcpy(row, good, bytes);
		n = mutate(r, row, bytes);
		copy = malloc(n ? n : 1);
		memcpy(copy, row, n);
		(void) check_split(&s.shape, copy, n);
		check_pick(&s, columns, some, copy, (uint32_t[]){0, (uint32_t) n}, 1);
		free(copy);
	}
	free(good);
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 4000;

	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	test_forms();
	test_lengths();
	test_many_columns();
	test_rules();
	for (int i = 0; i < rounds; i++)
		test_round(&r);
	check_passed("rows of any shape");
	for (int i = 0; i < rounds; i++)
		test_mutations(&r);
	check_passed("changed rows");
	flow_env_posix_free(env);
	return 0;
}
