/*-------------------------------------------------------------------------
 * filter_scan_test.c
 *	  Scans and lookups with filters against the same without, of whose rows
 *	  those are taken that pass.
 *
 * Rows in SSTables, memtables and a private buffer, several versions of most,
 * with tombstones of rows and of ranges, rows that expire, and rows of a
 * transaction that never ends: what a filter says of a version that the reader
 * does not see must not matter.
 *
 *	 filter_scan_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "filters.h"
#include "scantest.h"
#include "shapes.h"

#define NKEYS 4
#define NTS 300
#define NCOLUMNS 6
#define NFILTERS 3

static const uint8_t missing_int[] = {3, 0, 0, 0};
static const uint8_t missing_nan[] = {0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
static const FlowColumn columns[NCOLUMNS] = {
	{.kind = FLOW_COLUMN_INT, .bytes = 8},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 8},
	{.kind = FLOW_COLUMN_PACKED},
	{.kind = FLOW_COLUMN_FLOAT, .bytes = 4},
	{.kind = FLOW_COLUMN_INT,
	 .bytes = 4,
	 .missing = missing_int,
	 .missing_bytes = sizeof(missing_int)},
	{.kind = FLOW_COLUMN_FLOAT,
	 .bytes = 8,
	 .missing = missing_nan,
	 .missing_bytes = sizeof(missing_nan)},
};
static const FlowShape shape = {NCOLUMNS, columns};
static const uint32_t all[NCOLUMNS] = {0, 1, 2, 3, 4, 5};

/* A row that has to come. */
typedef struct Row
{
	uint8_t key;
	int64_t ts;
	int64_t num[NCOLUMNS];
	uint32_t bytes[NCOLUMNS];
	uint8_t null[NCOLUMNS];
} Row;

static Row rows[NKEYS * NTS];
static uint32_t nrows;
static CheckRandom *interrupts; /* NULL: none */
static uint64_t ninterrupts;
static uint64_t nskipped; /* rows that blocks ruled out */

static FlowStatus
poll(FlowEnv *env)
{
	(void) env;
	if (interrupts == NULL || check_below(interrupts, 3) > 0)
		return FLOW_OK;
	ninterrupts++;
	return FLOW_INTERRUPTED;
}

static FlowStatus
store_shape(FlowEnv *env, const void *blob, size_t bytes, FlowShape *s)
{
	(void) blob;
	(void) bytes;
	return test_copy_shape(env, &shape, NCOLUMNS, s);
}

/* ---------------------------------------------------------------- writing */

static void
put_number(const FlowColumn *col, int64_t num, uint8_t *room)
{
	for (uint32_t i = 0; i < col->bytes; i++)
		room[i] = (uint8_t) ((uint64_t) num >> 8 * i);
}

/* A row; around: its numbers are near that one, as those of a series are, so
 * that blocks differ in what they hold. */
static size_t
make_row(CheckRandom *r, uint32_t ncolumns, uint32_t null, int64_t around,
		 uint8_t *row)
{
	static uint8_t room[NCOLUMNS][8];
	ColumnsValue values[NCOLUMNS];

	for (uint32_t c = 0; c < ncolumns; c++)
	{
		const FlowColumn *col = &columns[c];
		int64_t num = filters_random_number(r, col);

		if (around != 0 && col->kind == FLOW_COLUMN_INT)
			num = around + (int64_t) check_below(r, 3);
		else if (around != 0 && col->bytes == 8)
			num =
				flowi_double_bits((double) around + (double) check_below(r, 3));
		values[c] = (ColumnsValue){.bytes = col->bytes, .p = room[c]};
		if (null > 0 && check_below(r, null) == 0)
			values[c] = (ColumnsValue){.null = true};
		else if (col->kind == FLOW_COLUMN_PACKED)
			values[c].bytes = (uint32_t) check_below(r, 9);
		else
			put_number(col, num, room[c]);
	}
	return columns_put_row(&shape, values, ncolumns, row);
}

/* A stretch of a key's times by transaction xid (0: none). */
static void
add_stretch(CheckRandom *r, FlowTxBuf *buf, uint32_t store, uint64_t xid)
{
	uint8_t row[256];
	uint8_t key = (uint8_t) check_below(r, NKEYS);
	uint32_t first = (uint32_t) check_below(r, NTS);
	uint32_t n = 1 + (uint32_t) check_below(r, NTS - first);
	uint32_t ncolumns =
		check_below(r, 3) ? NCOLUMNS : (uint32_t) check_below(r, NCOLUMNS + 1);
	uint32_t null = (uint32_t) check_below(r, 4);
	int64_t around = check_below(r, 2) ? (int64_t) check_below(r, 12) - 6 : 0;
	bool deletes = check_below(r, 8) == 0;
	bool expires = check_below(r, 4) == 0;

	for (uint32_t i = first; i < first + n; i++)
	{
		size_t bytes = make_row(r, ncolumns, null, around, row);
		int64_t expire_at = FLOW_NEVER;

		if (expires && check_below(r, 2) == 0)
			expire_at = 1000 + (int64_t) check_below(r, 4);
		CHECK_OK(flow_txbuf_add(buf, deletes ? FLOW_DELETE : FLOW_PUT, store,
								&key, 1, i, expire_at, row, bytes, xid, 0));
	}
}

static void
add_rect(CheckRandom *r, FlowTxBuf *buf, uint32_t store, uint64_t xid)
{
	uint8_t lo = (uint8_t) check_below(r, NKEYS);
	uint8_t hi = (uint8_t) (lo + 1);
	int64_t ts = (int64_t) check_below(r, NTS);
	FlowRect rect = {.key_lo = &lo,
					 .key_lo_bytes = 1,
					 .key_hi = &hi,
					 .key_hi_bytes = 1,
					 .ts_lo = ts,
					 .ts_hi = ts + (int64_t) check_below(r, 40)};

	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, xid, 0));
}

/* ---------------------------------------------------------------- reading */

static bool
passes_all(const FlowScanSpec *spec, const FlowVector *vec, uint32_t i)
{
	for (uint32_t f = 0; f < spec->nfilters; f++)
	{
		/* vec has all columns, the filter speaks of the spec's */
		uint32_t column = spec->columns[spec->filters[f].column];

		if (!filters_passes(&spec->filters[f], &columns[column],
							&vec->columns[column], i))
			return false;
	}
	return true;
}

static void
keep_row(const FlowVector *vec, uint32_t i)
{
	Row *row = &rows[nrows++];

	CHECK(nrows <= NKEYS * NTS && vec->key_bytes[i] == 1);
	*row = (Row){.key = vec->key[i][0], .ts = vec->ts[i]};
	for (uint32_t c = 0; c < NCOLUMNS; c++)
	{
		row->null[c] = vec->columns[c].null[i];
		if (vec->columns[c].num)
			row->num[c] = vec->columns[c].num[i];
		else
			row->bytes[c] = vec->columns[c].bytes[i];
	}
}

/* What has to come, into rows; how many there are without filters. */
static uint64_t
expect(TestDb *t, const FlowScanSpec *spec)
{
	FlowScanSpec plain = *spec;
	const FlowVector *vec;
	uint64_t n = 0;
	FlowScan *scan;
	FlowStatus st;

	plain.nfilters = 0;
	plain.limit = 0;
	plain.columns = all;
	plain.ncolumns = NCOLUMNS;
	nrows = 0;
	CHECK_OK(flow_scan_open(t->db, &plain, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) != FLOW_END)
	{
		if (st == FLOW_INTERRUPTED)
			continue;
		CHECK_OK(st);
		n += vec->nrows;
		for (uint32_t i = 0; i < vec->nrows; i++)
			if (passes_all(spec, vec, i))
				keep_row(vec, i);
	}
	flow_scan_close(scan);
	return n;
}

static void
check_row(const FlowScanSpec *spec, const FlowVector *vec, uint32_t i,
		  const Row *row)
{
	CHECK(vec->key_bytes[i] == 1 && vec->key[i][0] == row->key);
	CHECK(vec->ts[i] == row->ts);
	for (uint32_t w = 0; w < spec->ncolumns; w++)
	{
		const FlowColumnVector *v = &vec->columns[w];
		uint32_t c = spec->columns[w];

		CHECK(v->null[i] == row->null[c]);
		CHECK(v->any_null || !v->null[i]);
		if (v->num)
			CHECK(v->num[i] == row->num[c]);
		else
			CHECK(v->bytes[i] == row->bytes[c] &&
				  (v->ptr[i] == NULL) == (row->null[c] == 1));
	}
}

static void
check_scan(TestDb *t, CheckRandom *r, const FlowScanSpec *spec)
{
	uint64_t n = expect(t, spec);
	uint32_t at = 0;
	const FlowVector *vec;
	const FlowScanStats *stats;
	FlowScan *scan;
	FlowStatus st;

	if (spec->limit > 0 && spec->limit < nrows)
		nrows = (uint32_t) spec->limit;
	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, (uint32_t) check_below(r, 60), &vec)) !=
		   FLOW_END)
	{
		if (st == FLOW_INTERRUPTED)
			continue;
		CHECK_OK(st);
		CHECK(vec->nrows > 0 && vec->nrows <= nrows - at);
		for (uint32_t i = 0; i < vec->nrows; i++)
			check_row(spec, vec, i, &rows[at + i]);
		at += vec->nrows;
	}
	CHECK(at == nrows);
	CHECK_STATUS(flow_scan_next(scan, 0, &vec), FLOW_END);
	stats = flow_scan_stats(scan);
	CHECK(stats->rows == nrows);
	CHECK(stats->rows_memtable + stats->rows_sst + stats->rows_own >=
		  stats->rows);
	CHECK(stats->rows + stats->rows_filtered <= n);
	if (spec->limit == 0)
		CHECK(stats->rows + stats->rows_filtered == n);
	CHECK(stats->rows_skipped <= stats->rows_filtered);
	nskipped += stats->rows_skipped;
	flow_scan_close(scan);
}

static void
check_points(TestDb *t, CheckRandom *r, const FlowScanSpec *spec)
{
	for (int i = 0; i < 4; i++)
	{
		FlowScanSpec one = *spec;
		uint8_t key = (uint8_t) check_below(r, NKEYS);
		int64_t ts = (int64_t) check_below(r, NTS);
		bool latest = check_below(r, 3) == 0;
		FlowScanStats missed = {0};
		FlowScan *scan;
		const FlowVector *vec;
		FlowStatus st;
		uint64_t n;

		one.missed = &missed;
		one.reverse = latest;
		one.key_lo = one.key_hi = (FlowKeyBound){FLOW_INCLUSIVE, &key, 1};
		one.ts_lo = one.ts_hi =
			(FlowTimeBound){latest ? FLOW_OPEN : FLOW_INCLUSIVE, ts};
		n = expect(t, &one);
		do
			st = latest ? flow_get_latest(t->db, &one, &key, 1, &scan, &vec)
						: flow_get(t->db, &one, &key, 1, ts, &scan, &vec);
		while (st == FLOW_INTERRUPTED);
		CHECK_STATUS(st, nrows > 0 ? FLOW_OK : FLOW_NOTFOUND);
		CHECK(latest || missed.rows_filtered == n - nrows);
		if (nrows == 0)
			continue;
		CHECK(vec->nrows == 1);
		check_row(spec, vec, 0, &rows[0]);
		flow_scan_close(scan);
	}
}

static void
check_reads(TestDb *t, CheckRandom *r, uint32_t store, FlowTxBuf *own)
{
	for (int i = 0; i < 6; i++)
	{
		uint32_t some[COLUMNS_MAX];
		FlowFilter filters[NFILTERS];
		int64_t values[NFILTERS][FILTERS_MAX_VALUES];
		uint8_t key = (uint8_t) check_below(r, NKEYS);
		FlowKeyBound one = {FLOW_INCLUSIVE, &key, 1};
		FlowScanSpec spec = {.store_id = store,
							 .now = INT64_MIN,
							 .visible = visible,
							 .own = own,
							 .own_cid = 1,
							 .reverse = check_below(r, 4) == 0,
							 .shape = &shape,
							 .columns = some,
							 .filters = filters};

		spec.ncolumns = columns_random_some(r, NCOLUMNS, some);
		spec.nfilters = 1 + (uint32_t) check_below(r, NFILTERS);
		for (uint32_t f = 0; f < spec.nfilters; f++)
			filters_random(&filters[f], r, &shape, some, spec.ncolumns,
						   values[f]);
		scantest_random_rows(r, &spec, one, NTS);
		check_scan(t, r, &spec);
		check_points(t, r, &spec);
	}
}

static void
test_round(CheckRandom *r)
{
	static const uint64_t xids[] = {0, 0, 0, MINE, OTHERS};
	TestDb t;
	FlowTxBuf *buf, *own;
	uint32_t store;
	uint32_t writes = 2 + (uint32_t) check_below(r, 8);

	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	if (check_below(r, 3) > 0)
	{
		t.opts.block_bytes = check_below(r, 2) ? 16 << 10 : 1 << 10;
		test_reopen(&t);
	}
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	t.env->poll = poll;
	if (check_below(r, 2) == 0)
		t.env->store_shape = store_shape;
	CHECK_OK(flow_store_define(t.db, "s", "blob", 4, &store));
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_create(t.env, &own));
	for (uint32_t i = 0; i < writes; i++)
	{
		uint64_t xid = xids[check_below(r, 5)];

		add_stretch(r, buf, store, xid);
		if (check_below(r, 6) == 0)
			add_rect(r, buf, store, xid);
		test_push(&t, buf);
		if (check_below(r, 2) == 0)
			CHECK_OK(flow_flush(t.db, NULL));
		interrupts = check_below(r, 2) ? r : NULL;
		check_reads(&t, r, store, NULL);
		interrupts = NULL;
	}
	add_stretch(r, own, store, MINE);
	if (check_below(r, 4) == 0)
		add_rect(r, own, store, MINE);
	check_reads(&t, r, store, own);
	flow_txbuf_free(own);
	flow_txbuf_free(buf);
	test_close(&t);
}

/* ------------------------------------------------------------- many rows */

/* One row in a hundred thousand is found by few calls, however few rows each
 * of them wants, and the calls can be interrupted. */
static void
test_needle(CheckRandom *r)
{
	enum
	{
		ROWS = 100000,
		NEEDLE = 77777
	};
	TestDb t;
	const uint32_t first = 0;
	const int64_t value = NEEDLE;
	FlowFilter filter = {0, FLOW_FILTER_EQ, 1, &value};
	FlowScanSpec spec = {.now = INT64_MIN,
						 .shape = &shape,
						 .columns = &first,
						 .ncolumns = 1,
						 .filters = &filter,
						 .nfilters = 1};

	test_open(&t, (size_t) 64 << 20, (uint64_t) 16 << 20);
	t.env->poll = poll;
	spec.store_id = test_store(&t, "s");
	for (int64_t i = 0; i < ROWS; i++)
	{
		uint8_t row[10] = {1, 2};
		FlowRecord rec = {"k", 1, i, FLOW_NEVER, row, sizeof(row)};

		put_number(&columns[0], i, row + 2);
		CHECK_OK(flow_write_batch(t.db, spec.store_id, &rec, 1, NULL));
	}
	for (int flushed = 0; flushed < 2; flushed++)
	{
		const FlowVector *vec;
		FlowScan *scan;
		FlowStatus st;
		uint64_t before = ninterrupts;
		int calls = 0;

		interrupts = flushed ? r : NULL;
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		while ((st = flow_scan_next(scan, 1, &vec)) == FLOW_INTERRUPTED)
			;
		CHECK_OK(st);
		CHECK(vec->nrows == 1 && vec->ts[0] == NEEDLE);
		CHECK(vec->columns[0].num[0] == NEEDLE);
		while ((st = flow_scan_next(scan, 1, &vec)) != FLOW_END)
			calls++;
		CHECK(calls == 0 || flushed);
		CHECK(flow_scan_stats(scan)->rows_filtered == ROWS - 1);
		flow_scan_close(scan);
		CHECK(!flushed || ninterrupts > before);
		interrupts = NULL;
		CHECK_OK(flow_flush(t.db, NULL));
	}
	test_close(&t);
	check_passed("one of many");
}

/* A filter needs a column of the scan. */
static void
test_rules(void)
{
	TestDb t;
	const uint32_t first = 0;
	FlowFilter filter = {0, FLOW_FILTER_NULL, 0, NULL};
	FlowScanSpec spec = {.now = INT64_MIN,
						 .shape = &shape,
						 .columns = &first,
						 .filters = &filter,
						 .nfilters = 1};
	const FlowVector *vec;
	FlowScan *scan;

	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	spec.store_id = test_store(&t, "s");
	for (uint32_t column = 0; column < 2; column++)
	{
		filter.column = column;
		spec.ncolumns = column;
		CHECK_STATUS(flow_scan_open(t.db, &spec, &scan), FLOW_INVALID);
		CHECK(scan == NULL);
		CHECK_STATUS(flow_get(t.db, &spec, "k", 1, 0, &scan, &vec),
					 FLOW_INVALID);
	}
	filter.column = 0;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_STATUS(flow_scan_next(scan, 0, &vec), FLOW_END);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("rules");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 300;

	test_rules();
	test_needle(&r);
	for (int i = 0; i < rounds; i++)
		test_round(&r);
	CHECK(ninterrupts > 100 && nskipped > 10000);
	printf("# %" PRIu64 " rows skipped\n", nskipped);
	check_passed("scans with filters against scans without");
	return 0;
}
