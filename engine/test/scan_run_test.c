/*-------------------------------------------------------------------------
 * scan_run_test.c
 *	  Runs of rows in SSTables (scan_run.c) with everything that may stand
 *	  between two of their rows, against a model of all rows.
 *
 * A few keys and times, written in stretches: into several SSTables, the
 * memtable and a private buffer, with tombstones, rows that expire, and rows
 * of a transaction that never ends and of one that is the reader's.
 *
 *	 scan_run_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "scantest.h"

#define NKEYS 3
#define NTS 60
#define CELLS (NKEYS * NTS)

typedef struct Cell
{
	bool live;
	int64_t expire_at;
	uint32_t value; /* its number; also how long it is */
} Cell;

static Cell cells[CELLS];
static uint32_t last_value;
static uint32_t other_store; /* for a flush between two calls */

/* The first and the last time are the ends of all times. */
static int64_t
time_of(uint32_t i)
{
	if (i == 0)
		return INT64_MIN;
	return i == NTS - 1 ? INT64_MAX : (int64_t) i;
}

static uint32_t
value_bytes(uint32_t value)
{
	return value % 7 == 0 ? 0 : 4 + value % 40;
}

static void
fill_value(uint32_t value, uint8_t *buf)
{
	memset(buf, (int) value, 44);
	memcpy(buf, &value, sizeof(value));
}

/* A stretch of a key's times, by transaction xid (0: none), into buf. */
static void
add_stretch(CheckRandom *r, FlowTxBuf *buf, uint32_t store, uint64_t xid,
			bool one)
{
	uint8_t key = (uint8_t) check_below(r, NKEYS);
	uint32_t first = check_below(r, 4) ? (uint32_t) check_below(r, NTS) : 0;
	uint32_t n = one ? 1 : 1 + (uint32_t) check_below(r, NTS - first);
	uint32_t step = 1 + (uint32_t) check_below(r, 3);
	bool expires = check_below(r, 4) == 0;
	bool deletes = check_below(r, 6) == 0;

	for (uint32_t i = first; i < first + n; i += step)
	{
		Cell cell = {!deletes && check_below(r, 20) > 0, FLOW_NEVER,
					 ++last_value};
		uint8_t value[44];

		if (expires && check_below(r, 2) == 0)
			cell.expire_at = 1000 + (int64_t) check_below(r, 4);
		fill_value(cell.value, value);
		CHECK_OK(flow_txbuf_add(buf, cell.live ? FLOW_PUT : FLOW_DELETE, store,
								&key, 1, time_of(i), cell.expire_at, value,
								value_bytes(cell.value), xid, 0));
		if (xid != OTHERS)
			cells[key * NTS + i] = cell;
	}
}

static void
check_row(const FlowScanSpec *spec, const FlowVector *vec, uint32_t i,
		  uint32_t at)
{
	const Cell *cell = &cells[at];
	uint8_t value[44];

	fill_value(cell->value, value);
	CHECK(vec->key_bytes[i] == 1 && vec->key[i][0] == at / NTS);
	CHECK(vec->ts[i] == time_of(at % NTS));
	CHECK(vec->expire_at[i] == cell->expire_at);
	CHECK(vec->value_bytes[i] ==
		  (spec->keys_only ? 0 : value_bytes(cell->value)));
	CHECK((vec->value[i] == NULL) == spec->keys_only);
	CHECK(spec->keys_only ||
		  memcmp(vec->value[i], value, vec->value_bytes[i]) == 0);
}

static bool
is_wanted(const FlowScanSpec *spec, uint32_t at)
{
	int64_t ts = time_of(at % NTS);

	if (!cells[at].live ||
		(spec->now != INT64_MIN && cells[at].expire_at <= spec->now))
		return false;
	if (spec->key_lo.kind != FLOW_OPEN &&
		*(const uint8_t *) spec->key_lo.key != at / NTS)
		return false;
	if (spec->ts_lo.kind == FLOW_EXCLUSIVE
			? ts <= spec->ts_lo.ts
			: spec->ts_lo.kind != FLOW_OPEN && ts < spec->ts_lo.ts)
		return false;
	return !(spec->ts_hi.kind == FLOW_EXCLUSIVE
				 ? ts >= spec->ts_hi.ts
				 : spec->ts_hi.kind != FLOW_OPEN && ts > spec->ts_hi.ts);
}

/* All the rows of a scan, and no more than were asked for at once. */
static void
check_scan(TestDb *t, const FlowScanSpec *spec, uint32_t want)
{
	const FlowVector *vec;
	uint64_t left = spec->limit ? spec->limit : UINT64_MAX;
	uint64_t rows = 0;
	uint32_t i = 0, at;
	FlowScan *scan;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, want, &vec)) == FLOW_OK)
	{
		CHECK(vec->nrows > 0 && (want == 0 || vec->nrows <= want));
		for (uint32_t n = 0; n < vec->nrows; i++)
		{
			CHECK(i < CELLS);
			at = spec->reverse ? CELLS - 1 - i : i;
			if (is_wanted(spec, at))
				check_row(spec, vec, n++, at);
		}
		CHECK(vec->nrows <= left);
		left -= vec->nrows;
		rows += vec->nrows;
		if (want % 8 != 1)
			continue;
		test_put(t, other_store, "k", 0, "v"); /* another version to go on in */
		CHECK_OK(flow_flush(t->db, NULL));
	}
	CHECK_STATUS(st, FLOW_END);
	for (; left > 0 && i < CELLS; i++)
		CHECK(!is_wanted(spec, spec->reverse ? CELLS - 1 - i : i));
	CHECK(flow_scan_stats(scan)->rows == rows);
	CHECK(flow_scan_stats(scan)->rows_sst + flow_scan_stats(scan)->rows_own +
			  flow_scan_stats(scan)->rows_memtable ==
		  rows);
	flow_scan_close(scan);
}

static void
check_scans(TestDb *t, CheckRandom *r, uint32_t store, FlowTxBuf *own)
{
	for (int i = 0; i < 12; i++)
	{
		uint8_t key = (uint8_t) check_below(r, NKEYS);
		FlowKeyBound one = {FLOW_INCLUSIVE, &key, 1};
		FlowScanSpec spec = {.store_id = store,
							 .now = INT64_MIN,
							 .visible = visible,
							 .own = own,
							 .own_cid = 1,
							 .reverse = check_below(r, 4) == 0,
							 .keys_only = check_below(r, 4) == 0};

		if (check_below(r, 3) > 0)
			spec.now = 999 + (int64_t) check_below(r, 6);
		if (check_below(r, 3) == 0)
			spec.key_lo = spec.key_hi = one;
		if (check_below(r, 2) == 0)
			spec.ts_lo =
				(FlowTimeBound){(FlowBoundKind) (1 + check_below(r, 2)),
								time_of((uint32_t) check_below(r, NTS))};
		if (check_below(r, 2) == 0)
			spec.ts_hi =
				(FlowTimeBound){(FlowBoundKind) (1 + check_below(r, 2)),
								time_of((uint32_t) check_below(r, NTS))};
		if (check_below(r, 4) == 0)
			spec.limit = 1 + check_below(r, 100);
		check_scan(t, &spec,
				   check_below(r, 2) ? 0 : 1 + (uint32_t) check_below(r, 40));
	}
}

/* Delete a stretch of all keys' times by a range tombstone. */
static void
delete_times(TestDb *t, CheckRandom *r, uint32_t store)
{
	uint32_t lo = (uint32_t) check_below(r, NTS);
	uint32_t hi = lo + (uint32_t) check_below(r, NTS - lo);
	FlowRect rect = {(const uint8_t *) "", NULL,	   0, 0,
					 time_of(lo),		   time_of(hi)};

	CHECK_OK(flow_delete_range(t->db, store, &rect, NULL));
	for (uint32_t at = 0; at < CELLS; at++)
		if (at % NTS >= lo && at % NTS <= hi)
			cells[at].live = false;
}

static void
test_model(CheckRandom *r)
{
	TestDb t;
	FlowTxBuf *buf;
	FlowTxBuf *own;
	uint32_t store;
	uint32_t writes = 3 + (uint32_t) check_below(r, 12);
	FlowStatus st;

	memset(cells, 0, sizeof(cells));
	test_open(&t, (size_t) 16 << 20, (uint64_t) 1 << 20);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	store = test_store(&t, "s");
	other_store = test_store(&t, "other");
	settled = false;
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_create(t.env, &own));
	for (uint32_t i = 0; i < writes; i++)
	{
		static const uint64_t xids[] = {0, 0, 0, MINE, OTHERS};

		add_stretch(r, buf, store, xids[check_below(r, 5)],
					check_below(r, 4) == 0);
		test_push(&t, buf);
		if (check_below(r, 30) == 0)
			delete_times(&t, r, store);
		if (check_below(r, 2) == 0)
			CHECK_OK(flow_flush(t.db, NULL));
		check_scans(&t, r, store, NULL);
	}
	/* versions that were kept side by side are all settled now */
	settled = true;
	st = flow_resolve_step(t.db);
	CHECK(st == FLOW_OK || st == FLOW_END);
	check_scans(&t, r, store, NULL);
	add_stretch(r, own, store, MINE, false);
	check_scans(&t, r, store, own);
	flow_txbuf_free(own);
	flow_txbuf_free(buf);
	test_close(&t);
}

/* A call ends once its rows have so many bytes. */
static void
test_bytes(void)
{
	enum
	{
		ROWS = 1000,
		BYTES = 8000,
		MOST = 2 << 20
	};
	TestDb t;
	uint32_t store;
	char *value = calloc(1, BYTES + 1);
	FlowScanSpec spec = {.now = INT64_MIN};
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;
	int64_t ts = 0;

	CHECK(value != NULL);
	memset(value, 'v', BYTES);
	test_open(&t, (size_t) 64 << 20, (uint64_t) 16 << 20);
	t.opts.block_bytes = 64 << 10;
	test_reopen(&t);
	spec.store_id = store = test_store(&t, "s");
	for (int i = 0; i < ROWS; i++)
		test_put(&t, store, "k", i, value);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		CHECK(vec->nrows > 1 && vec->nrows <= MOST / BYTES + 1);
		for (uint32_t i = 0; i < vec->nrows; i++)
			CHECK(vec->ts[i] == ts++ && vec->value_bytes[i] == BYTES);
	}
	CHECK(st == FLOW_END && ts == ROWS);
	flow_scan_close(scan);
	free(value);
	test_close(&t);
	check_passed("calls end by bytes");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 500;

	for (int i = 0; i < rounds; i++)
		test_model(&r);
	check_passed("runs of rows against the model");
	test_bytes();
	return 0;
}
