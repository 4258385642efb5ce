/*-------------------------------------------------------------------------
 * scan_columns_test.c
 *	  Scans that give columns against the same scans that give values.
 *
 * Rows of any shape, older and newer ones, some of them large, written in
 * stretches into SSTables, the memtable and a private buffer, with tombstones,
 * rows that expire, and rows of a transaction that never ends.
 *
 *	 scan_columns_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "scantest.h"
#include "shapes.h"

#define NKEYS 4
#define NTS 80

/* A row as a scan of values has given it. */
typedef struct Row
{
	uint8_t key[4];
	uint32_t key_bytes;
	int64_t ts;
	int64_t expire_at;
	uint8_t *value;
	uint32_t bytes;
} Row;

static Row rows[NKEYS * NTS];
static uint32_t nrows;
static ColumnsShape shape;

/* ---------------------------------------------------------------- writing */

/* All stores have the round's shape. */
static FlowStatus
store_shape(FlowEnv *env, const void *blob, size_t bytes, FlowShape *s)
{
	(void) blob;
	(void) bytes;
	return test_copy_shape(env, &shape.shape, shape.shape.ncolumns, s);
}

/* A stretch of a key's times by transaction xid (0: none) into buf; its rows
 * have the columns that there were at some time. */
static void
add_stretch(CheckRandom *r, FlowTxBuf *buf, uint32_t store, uint64_t xid)
{
	static uint8_t value[COLUMNS_ROW_MAX];
	uint8_t key[4] = {(uint8_t) check_below(r, NKEYS), 1, 2, 3};
	uint32_t first = (uint32_t) check_below(r, NTS);
	uint32_t n = 1 + (uint32_t) check_below(r, NTS - first);
	uint32_t ncolumns =
		check_below(r, 3) ? shape.shape.ncolumns
						  : (uint32_t) check_below(r, shape.shape.ncolumns + 1);
	uint32_t null = (uint32_t) check_below(r, 4);
	bool deletes = check_below(r, 6) == 0;
	bool expires = check_below(r, 4) == 0;
	bool ages = check_below(r, 4) == 0; /* all at one age, as by a TTL */

	for (uint32_t i = first; i < first + n; i++)
	{
		size_t bytes =
			columns_random_row(r, &shape.shape, ncolumns, null, value);
		int64_t expire_at = FLOW_NEVER;

		if (expires && check_below(r, 2) == 0)
			expire_at = 1000 + (int64_t) check_below(r, 4);
		if (ages)
			expire_at = i + 1000 - NTS / 2;
		CHECK_OK(flow_txbuf_add(buf, deletes ? FLOW_DELETE : FLOW_PUT, store,
								key, key[0], i, expire_at, value, bytes, xid,
								0));
	}
}

/* ---------------------------------------------------------------- reading */

static void
keep_row(const FlowVector *vec, uint32_t i)
{
	Row *row = &rows[nrows++];

	CHECK(nrows <= NKEYS * NTS && vec->key_bytes[i] <= sizeof(row->key));
	memcpy(row->key, vec->key[i], vec->key_bytes[i]);
	row->key_bytes = vec->key_bytes[i];
	row->ts = vec->ts[i];
	row->expire_at = vec->expire_at[i];
	row->bytes = vec->value_bytes[i];
	row->value = malloc(row->bytes + 1);
	memcpy(row->value, vec->value[i], row->bytes);
}

static void
forget_rows(void)
{
	while (nrows > 0)
		free(rows[--nrows].value);
}

/* Number i of the vector is that row. */
static void
check_row(const FlowScanSpec *spec, const FlowVector *vec, uint32_t i,
		  const Row *row)
{
	CHECK(spec->no_keys ||
		  (vec->key_bytes[i] == row->key_bytes &&
		   memcmp(vec->key[i], row->key, row->key_bytes) == 0));
	CHECK(spec->no_times || vec->ts[i] == row->ts);
	CHECK(spec->no_expiry || vec->expire_at[i] == row->expire_at);
	CHECK(vec->value[i] == NULL && vec->value_bytes[i] == 0);
	CHECK(vec->columns != NULL);
	for (uint32_t w = 0; w < spec->ncolumns; w++)
		columns_check(spec->shape, row->value, row->bytes, spec->columns[w],
					  &vec->columns[w], i);
}

/* No column says that it has NULLs without need, nor that it has none. */
static void
check_nulls(const FlowScanSpec *spec, const FlowVector *vec)
{
	for (uint32_t w = 0; w < spec->ncolumns; w++)
	{
		uint8_t any = 0;

		for (uint32_t i = 0; i < vec->nrows; i++)
			any |= vec->columns[w].null[i];
		CHECK(any <= 1 && (vec->columns[w].any_null || any == 0));
	}
}

static void
check_scan(TestDb *t, CheckRandom *r, const FlowScanSpec *spec)
{
	FlowScanSpec values = *spec;
	uint32_t at = 0;
	uint32_t want = 0;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	values.ncolumns = 0;
	values.keys_only = false;
	values.no_keys = values.no_times = values.no_expiry = false;
	CHECK_OK(flow_scan_open(t->db, &values, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		CHECK(vec->columns == NULL);
		for (uint32_t i = 0; i < vec->nrows; i++)
			keep_row(vec, i);
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	for (;; at += vec->nrows)
	{
		if (check_below(r, 2) == 0)
			want = (uint32_t) check_below(r, 70);
		st = flow_scan_next(scan, want, &vec);
		if (st != FLOW_OK)
			break;
		CHECK(vec->nrows > 0 && (want == 0 || vec->nrows <= want) &&
			  vec->nrows <= nrows - at);
		check_nulls(spec, vec);
		for (uint32_t i = 0; i < vec->nrows; i++)
			check_row(spec, vec, i, &rows[at + i]);
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(at == nrows);
	flow_scan_close(scan);
	forget_rows();
}

/* One row by flow_get, and the last one of a key. */
static void
check_points(TestDb *t, CheckRandom *r, const FlowScanSpec *spec)
{
	for (int i = 0; i < 8; i++)
	{
		FlowScanSpec values = *spec;
		uint8_t key[4] = {(uint8_t) check_below(r, NKEYS), 1, 2, 3};
		int64_t ts = (int64_t) check_below(r, NTS);
		bool latest = check_below(r, 3) == 0;
		FlowScan *a, *b;
		const FlowVector *va, *vb;
		FlowStatus st;

		values.ncolumns = 0;
		values.keys_only = false;
		if (latest)
		{
			st = flow_get_latest(t->db, &values, key, key[0], &a, &va);
			CHECK_STATUS(flow_get_latest(t->db, spec, key, key[0], &b, &vb),
						 st);
		}
		else
		{
			st = flow_get(t->db, &values, key, key[0], ts, &a, &va);
			CHECK_STATUS(flow_get(t->db, spec, key, key[0], ts, &b, &vb), st);
		}
		if (st == FLOW_NOTFOUND)
			continue;
		CHECK_OK(st);
		CHECK(va->columns == NULL && va->nrows == 1 && vb->nrows == 1);
		keep_row(va, 0);
		check_row(spec, vb, 0, &rows[0]);
		forget_rows();
		flow_scan_close(a);
		flow_scan_close(b);
	}
}

static void
check_reads(TestDb *t, CheckRandom *r, uint32_t store, FlowTxBuf *own)
{
	for (int i = 0; i < 6; i++)
	{
		uint32_t columns[COLUMNS_MAX];
		uint8_t key[4] = {(uint8_t) check_below(r, NKEYS), 1, 2, 3};
		FlowKeyBound one = {FLOW_INCLUSIVE, key, key[0]};
		FlowScanSpec spec = {.store_id = store,
							 .now = INT64_MIN,
							 .visible = visible,
							 .own = own,
							 .own_cid = 1,
							 .reverse = check_below(r, 4) == 0,
							 .keys_only = check_below(r, 4) == 0,
							 .no_keys = check_below(r, 4) == 0,
							 .no_times = check_below(r, 4) == 0,
							 .no_expiry = check_below(r, 4) == 0,
							 .shape = &shape.shape,
							 .columns = columns};

		spec.ncolumns = columns_random_some(r, shape.shape.ncolumns, columns);
		scantest_random_rows(r, &spec, one, NTS);
		check_scan(t, r, &spec);
		spec.no_keys = spec.no_times = spec.no_expiry = false;
		check_points(t, r, &spec);
	}
}

static void
test_round(CheckRandom *r)
{
	TestDb t;
	FlowTxBuf *buf, *own;
	uint32_t store;
	uint32_t writes = 2 + (uint32_t) check_below(r, 8);

	columns_random_shape(r, 1 + (uint32_t) check_below(r, 12),
						 check_below(r, 3) == 0, &shape);
	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	if (check_below(r, 2))
	{
		t.opts.block_bytes = 16 << 10;
		test_reopen(&t);
	}
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	if (check_below(r, 3))
		t.env->store_shape = store_shape; /* blocks of columns */
	CHECK_OK(flow_store_define(t.db, "s", "blob", 4, &store));
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_create(t.env, &own));
	for (uint32_t i = 0; i < writes; i++)
	{
		static const uint64_t xids[] = {0, 0, 0, MINE, OTHERS};

		add_stretch(r, buf, store, xids[check_below(r, 5)]);
		test_push(&t, buf);
		if (check_below(r, 2) == 0)
			CHECK_OK(flow_flush(t.db, NULL));
		check_reads(&t, r, store, NULL);
	}
	add_stretch(r, own, store, MINE);
	check_reads(&t, r, store, own);
	flow_txbuf_free(own);
	flow_txbuf_free(buf);
	test_close(&t);
}

/* ------------------------------------------------------- rows that are none */

static void
put_row(TestDb *t, uint32_t store, const char *key, int64_t ts,
		const void *value, size_t bytes)
{
	FlowRecord rec = {key, strlen(key), ts, FLOW_NEVER, value, bytes};

	CHECK_OK(flow_write_batch(t->db, store, &rec, 1, NULL));
}

/* A scan that comes to a bad row fails, says why, and stays so; one that does
 * not come to it, or does not look so far into it, is none the worse. */
static void
check_bad(TestDb *t, FlowScanSpec *spec, FlowStatus want, const char *what)
{
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;
	uint32_t first[] = {0}, both[] = {0, 1};

	spec->columns = both;
	spec->ncolumns = 2;
	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	CHECK_STATUS(flow_scan_next(scan, 0, &vec), want);
	CHECK(vec == NULL && strcmp(flow_last_error()->row, what) == 0);
	CHECK(strstr(flow_last_error()->message, what) != NULL);
	CHECK_STATUS(flow_scan_next(scan, 0, &vec), want);
	flow_scan_close(scan);
	CHECK_STATUS(flow_get(t->db, spec, "k", 1, 3, &scan, &vec), want);
	CHECK(scan == NULL && strcmp(flow_last_error()->row, what) == 0);

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	CHECK_OK(flow_scan_next(scan, 2, &vec));
	CHECK(vec->nrows == 2 && vec->columns[0].num[1] == 0x1111);
	flow_scan_close(scan);

	spec->columns = first;
	spec->ncolumns = 1;
	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	st = flow_scan_next(scan, 0, &vec);
	CHECK(st == want || (st == FLOW_OK && vec->nrows == 6 &&
						 strcmp(what, "a value has a wrong length") == 0));
	flow_scan_close(scan);
}

static void
test_bad_rows(void)
{
	static const FlowColumn columns[] = {{.kind = FLOW_COLUMN_INT, .bytes = 2},
										 {.kind = FLOW_COLUMN_PACKED}};
	static const FlowShape two = {2, columns};
	static const struct
	{
		const char *row;
		size_t bytes;
		FlowStatus st;
		const char *what;
	} cases[] = {
		{"", 0, FLOW_CORRUPT, "its version is unknown"},
		{"\x02\x04\x11\x11\x03", 5, FLOW_MISMATCH, "it has a newer version"},
		{"\x01\x04\x11", 3, FLOW_CORRUPT, "it is too short"},
		{"\x01\x04\x11\x11\x05", 5, FLOW_CORRUPT, "a value has a wrong length"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		TestDb t;
		FlowScanSpec spec = {.now = INT64_MIN, .shape = &two};

		test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
		spec.store_id = test_store(&t, "s");
		for (int ts = 0; ts < 6; ts++)
			if (ts == 3)
				put_row(&t, spec.store_id, "k", ts, cases[i].row,
						cases[i].bytes);
			else
				put_row(&t, spec.store_id, "k", ts, "\x01\x04\x11\x11\x03", 5);
		check_bad(&t, &spec, cases[i].st, cases[i].what);
		CHECK_OK(flow_flush(t.db, NULL));
		check_bad(&t, &spec, cases[i].st, cases[i].what);
		spec.reverse = true;
		check_bad(&t, &spec, cases[i].st, cases[i].what);
		test_close(&t);
	}
	check_passed("rows that are none");
}

/* Columns that are not the shape's. */
static void
test_rules(void)
{
	static const FlowColumn columns[] = {{.kind = FLOW_COLUMN_INT, .bytes = 2},
										 {.kind = FLOW_COLUMN_PACKED}};
	static const FlowShape two = {2, columns};
	static const uint32_t wrong[][2] = {{0, 2}, {1, 0}, {1, 1}};
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN, .ncolumns = 2};
	const FlowVector *vec;
	FlowScan *scan;

	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	spec.store_id = test_store(&t, "s");
	for (int i = 0; i < 4; i++)
	{
		spec.shape = i < 3 ? &two : NULL;
		spec.columns = wrong[i % 3];
		CHECK_STATUS(flow_scan_open(t.db, &spec, &scan), FLOW_INVALID);
		CHECK(scan == NULL);
		CHECK_STATUS(flow_get(t.db, &spec, "k", 1, 0, &scan, &vec),
					 FLOW_INVALID);
		CHECK(scan == NULL);
	}
	test_close(&t);
	check_passed("rules");
}

/* ------------------------------------------------------------------ bytes */

/*
 * A call ends by the bytes of what is wanted: small columns of large rows come
 * many at a time, and many columns or large ones few.
 */
static void
test_bytes(void)
{
	enum
	{
		ROWS = 2000,
		BYTES = 8000,
		MANY = 1600,
		MOST = 2 << 20
	};
	static FlowColumn columns[1 + MANY];
	static uint32_t all[1 + MANY];
	static uint8_t row[3 + MANY * 8 + BYTES + 4];
	FlowShape wide = {1 + MANY, columns};
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN, .shape = &wide, .columns = all};
	const uint32_t ncolumns[] = {1, 1 + MANY, MANY};

	for (uint32_t c = 0; c < MANY; c++)
		columns[c] = (FlowColumn){.kind = FLOW_COLUMN_INT, .bytes = 8};
	columns[MANY] = (FlowColumn){.kind = FLOW_COLUMN_PACKED};
	row[0] = 1;
	CHECK(columns_put_varint(row + 1, 2 * (1 + MANY)) == 2);
	row[3 + MANY * 8] = 0;
	CHECK(columns_put_varint(row + 3 + MANY * 8 + 1, BYTES) == 2);
	test_open(&t, (size_t) 256 << 20, (uint64_t) 64 << 20);
	t.opts.block_bytes = 1 << 20;
	test_reopen(&t);
	spec.store_id = test_store(&t, "s");
	for (int i = 0; i < ROWS; i++)
		put_row(&t, spec.store_id, "k", i, row, sizeof(row) - 1);
	for (int flushed = 0; flushed < 2; flushed++)
	{
		for (int i = 0; i < 3; i++)
		{
			size_t bytes[] = {9, MANY * 9 + 13 + BYTES + 3, MANY * 9};
			const FlowVector *vec;
			FlowScan *scan;
			FlowStatus st;
			int64_t ts = 0;

			spec.ncolumns = ncolumns[i];
			for (uint32_t c = 0; c <= MANY; c++)
				all[c] = c;
			CHECK_OK(flow_scan_open(t.db, &spec, &scan));
			while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
			{
				CHECK(vec->nrows <= MOST / bytes[i] + 1);
				CHECK(ts + vec->nrows == ROWS ||
					  vec->nrows == FLOW_VECTOR_ROWS ||
					  vec->nrows * (bytes[i] + 1) + 100 >= MOST);
				for (uint32_t n = 0; n < vec->nrows; n++)
					CHECK(vec->ts[n] == ts++);
			}
			CHECK(st == FLOW_END && ts == ROWS);
			flow_scan_close(scan);
		}
		CHECK_OK(flow_flush(t.db, NULL));
	}
	test_close(&t);
	check_passed("calls end by bytes");
}

/* ---------------------------------------------------------- out of memory */

/* Vectors that grow, and values to copy: a failed allocation ends the scan,
 * and nothing is lost. */
static void
test_nomem(CheckRandom *r)
{
	static uint32_t columns[] = {0, 1, 2};
	TestDb t;
	FlowTxBuf *buf;
	FlowScanSpec spec = {.now = INT64_MIN, .columns = columns, .ncolumns = 3};
	uint64_t failed = 0;
	bool done = false;

	columns_random_shape(r, 3, false, &shape);
	spec.shape = &shape.shape;
	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	spec.store_id = test_store(&t, "s");
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	for (int i = 0; i < 12; i++)
	{
		add_stretch(r, buf, spec.store_id, 0);
		test_push(&t, buf);
		if (i == 6)
			CHECK_OK(flow_flush(t.db, NULL));
	}
	flow_txbuf_free(buf);
	for (uint64_t nth = 1; !done; nth++)
	{
		const FlowVector *vec;
		FlowScan *scan = NULL;
		FlowDb *db = NULL;
		uint32_t want = 4;
		FlowStatus st;

		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = flow_attach(t.env, t.sh, t.dir, &db);
		if (st == FLOW_OK)
			st = flow_scan_open(db, &spec, &scan);
		for (; st == FLOW_OK; want *= 4)
			st = flow_scan_next(scan, want, &vec);
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, 1, 0, 0);
		done = st == FLOW_END;
		CHECK(done || st == FLOW_NOMEM);
		if (scan && !done)
			CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_NOMEM);
		flow_scan_close(scan);
		if (db && !done)
			check_scan(&(TestDb){.env = t.env, .db = db}, r, &spec);
		flow_detach(db);
		failed += !done;
	}
	printf("# %" PRIu64 " failed allocations\n", failed);
	CHECK(failed > 10);
	test_close(&t);
	check_passed("out of memory");
}

/* ------------------------------------------------------------------ shapes */

/* A host whose blobs are a kind and a length a column; "x": out of memory,
 * "n": no shape. */
static FlowStatus
host_shape(FlowEnv *e, const void *blob, size_t bytes, FlowShape *s)
{
	const uint8_t *p = blob;
	FlowColumn *columns;

	CHECK(bytes > 0);
	if (bytes == 1)
		return p[0] == 'x' ? FLOW_NOMEM : FLOW_NOTFOUND;
	columns = e->alloc(e, bytes / 2 * sizeof(*columns));
	CHECK(columns != NULL);
	for (size_t i = 0; i < bytes / 2; i++)
		columns[i] = (FlowColumn){.kind = (FlowColumnKind) p[2 * i],
								  .bytes = p[2 * i + 1]};
	*s = (FlowShape){(uint32_t) (bytes / 2), columns};
	return FLOW_OK;
}

static void
test_shapes(void)
{
	static const struct
	{
		const char *blob;
		size_t bytes;
		FlowStatus st;
		uint32_t n;
	} cases[] = {{"", 0, FLOW_OK, 0},		   {"n", 1, FLOW_OK, 0},
				 {"x", 1, FLOW_NOMEM, 0},	   {"\1\10", 2, FLOW_OK, 1},
				 {"\1\10\4\0", 4, FLOW_OK, 2}, {"\1\10\4\1", 4, FLOW_OK, 0},
				 {"\2\2", 2, FLOW_OK, 0},	   {"\7\0", 2, FLOW_OK, 0}};
	TestDb t;
	FlowShape s;
	uint32_t id;

	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		t.env->store_shape = NULL;
		CHECK_OK(
			flow_store_define(t.db, "s", cases[i].blob, cases[i].bytes, &id));
		CHECK_OK(flowi_store_shape(t.db, id, &s));
		CHECK(s.ncolumns == 0 && s.columns == NULL);
		t.env->store_shape = host_shape;
		CHECK_STATUS(flowi_store_shape(t.db, id, &s), cases[i].st);
		CHECK(s.ncolumns == cases[i].n && !s.columns == !s.ncolumns);
		for (uint32_t c = 0; c < s.ncolumns; c++)
			CHECK(s.columns[c].kind == (FlowColumnKind) cases[i].blob[2 * c]);
		flowi_shape_free(t.env, &s);
		CHECK_OK(flowi_store_shape(t.db, id + 1, &s));
		CHECK(s.ncolumns == 0 && s.columns == NULL);
		t.env->store_shape = NULL;
	}
	test_close(&t);
	check_passed("shapes of stores");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 300;

	test_bad_rows();
	test_rules();
	test_bytes();
	test_nomem(&r);
	test_shapes();
	for (int i = 0; i < rounds; i++)
		test_round(&r);
	check_passed("columns against values");
	return 0;
}
