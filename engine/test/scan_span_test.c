/*-------------------------------------------------------------------------
 * scan_span_test.c
 *	  What is counted by an SSTable's index (scan_span.c) is what a scan of all
 *	  rows finds: one case for each condition, then stores made at random.
 *
 *	 scan_span_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "scantest.h"

#define NTS 4000 /* times 0 .. of a key; of two keys more than a segment */
#define EVEN(n) (2 * (int64_t) (n))

static TestDb t;
static uint32_t store;
static uint32_t other_store; /* for a flush between two calls */

/* What is to be known of a scan's rows. */
typedef struct Sum
{
	uint64_t rows;
	int64_t ts_min, ts_max;
	uint64_t blocks_read, spanned;
} Sum;

static void
add_times(Sum *sum, uint64_t rows, int64_t ts_min, int64_t ts_max)
{
	if (sum->rows == 0 || ts_min < sum->ts_min)
		sum->ts_min = ts_min;
	if (sum->rows == 0 || ts_max > sum->ts_max)
		sum->ts_max = ts_max;
	sum->rows += rows;
}

/* The rows of a scan, want a call; flushes: a new version comes between. */
static Sum
sum_scan(const FlowScanSpec *spec, uint32_t want, bool flushes)
{
	Sum sum = {0};
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t.db, spec, &scan));
	while ((st = flow_scan_next(scan, want, &vec)) == FLOW_OK)
	{
		CHECK(vec->nrows + vec->span_rows > 0);
		CHECK(spec->spans || vec->span_rows == 0);
		for (uint32_t i = 0; i < vec->nrows; i++)
			add_times(&sum, 1, vec->ts[i], vec->ts[i]);
		if (vec->span_rows > 0)
			add_times(&sum, vec->span_rows, vec->span_ts_min, vec->span_ts_max);
		if (!flushes)
			continue;
		test_put(&t, other_store, "k", 0, "v");
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(flow_scan_stats(scan)->rows == sum.rows);
	CHECK(flow_scan_stats(scan)->rows_sst + flow_scan_stats(scan)->rows_own +
			  flow_scan_stats(scan)->rows_memtable ==
		  sum.rows);
	sum.blocks_read = flow_scan_stats(scan)->blocks_read;
	sum.spanned = flow_scan_stats(scan)->blocks_spanned;
	flow_scan_close(scan);
	return sum;
}

/* With spans as without. */
static Sum
compare(FlowScanSpec spec, uint32_t want, bool flushes)
{
	Sum plain, spans;

	spec.store_id = store;
	spec.keys_only = true;
	spec.visible = visible;
	plain = sum_scan(&spec, want, false);
	spec.spans = true;
	spans = sum_scan(&spec, want, flushes);
	CHECK(plain.spanned == 0);
	CHECK(plain.rows == spans.rows && plain.ts_min == spans.ts_min &&
		  plain.ts_max == spans.ts_max);
	return spans;
}

static const FlowScanSpec all = {.now = INT64_MIN};

/* ------------------------------------------------------------- making rows */

/* Every step-th of n times from first on, of transaction xid. */
static void
add(FlowTxBuf *buf, FlowOp op, const char *key, int64_t first, uint32_t n,
	uint32_t step, int64_t expire_at, uint64_t xid)
{
	for (uint32_t i = 0; i < n; i++)
		CHECK_OK(flow_txbuf_add(buf, op, store, key, strlen(key),
								first + i * step, expire_at, "a value", 7, xid,
								0));
}

static void
put(FlowOp op, const char *key, int64_t first, uint32_t n, uint32_t step,
	int64_t expire_at, uint64_t xid)
{
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	add(buf, op, key, first, n, step, expire_at, xid);
	test_push(&t, buf);
	flow_txbuf_free(buf);
}

static void
flush(void)
{
	CHECK_OK(flow_flush(t.db, NULL));
}

static void
begin(void)
{
	test_open(&t, (size_t) 32 << 20, (uint64_t) 4 << 20);
	store = test_store(&t, "s");
	other_store = test_store(&t, "other");
}

/* Two keys with even times in one SSTable, all its blocks known as a whole. */
static Sum
begin_rows(void)
{
	Sum sum;

	begin();
	put(FLOW_PUT, "a", 0, NTS, 2, FLOW_NEVER, 0);
	put(FLOW_PUT, "c", 0, NTS, 2, FLOW_NEVER, 0);
	flush();
	sum = compare(all, 0, false);
	CHECK(sum.rows == EVEN(NTS) && sum.blocks_read == 0 && sum.spanned > 128);
	CHECK(sum.ts_min == 0 && sum.ts_max == EVEN(NTS - 1));
	return sum;
}

/* ------------------------------------------------------- one case for each */

static void
test_bounds(void)
{
	Sum whole = begin_rows();
	FlowScanSpec spec = all;
	Sum sum;

	flow_spec_time_range(&spec, 1001, EVEN(NTS - 1) - 1001);
	sum = compare(spec, 0, false);
	CHECK(sum.rows == EVEN(NTS - 1002) && sum.spanned > whole.spanned / 2 &&
		  sum.blocks_read <= 5);
	flow_spec_time_range(&spec, 0, EVEN(NTS - 1) - 1);
	CHECK(compare(spec, 0, false).rows == EVEN(NTS - 1));
	flow_spec_time_range(&spec, 1, EVEN(NTS));
	CHECK(compare(spec, 0, false).rows == EVEN(NTS - 1));

	spec = all;
	spec.key_hi = (FlowKeyBound){FLOW_INCLUSIVE, "a", 1};
	sum = compare(spec, 0, false);
	CHECK(sum.rows == NTS && sum.blocks_read <= 1 && sum.spanned > 60);
	spec.key_hi.kind = FLOW_EXCLUSIVE;
	CHECK(compare(spec, 0, false).rows == 0);
	spec.key_lo = (FlowKeyBound){FLOW_EXCLUSIVE, "a", 1};
	spec.key_hi = (FlowKeyBound){FLOW_INCLUSIVE, "c", 1};
	sum = compare(spec, 0, false);
	CHECK(sum.rows == NTS && sum.blocks_read <= 1 && sum.spanned > 60);
	test_close(&t);
}

/* Where the rest of the spec wants rows, there are rows. */
static void
test_refused(void)
{
	FlowScanSpec spec = all;
	const FlowVector *vec;
	FlowScan *scan;

	begin_rows();
	spec.limit = 3;
	CHECK(compare(spec, 0, false).rows == 3);
	spec = all;
	spec.reverse = true;
	CHECK(compare(spec, 0, false).spanned == 0);
	spec = all;
	spec.store_id = store;
	spec.spans = true; /* and values */
	CHECK(sum_scan(&spec, 0, false).spanned == 0);
	CHECK_OK(flow_get_latest(t.db, &spec, "a", 1, &scan, &vec));
	CHECK(vec->nrows == 1 && vec->span_rows == 0);
	flow_scan_close(scan);
	test_close(&t);
}

static void
test_expiry(void)
{
	FlowScanSpec spec = all;
	Sum whole, sum;

	begin();
	put(FLOW_PUT, "a", 0, NTS, 1, 5000, 0);
	put(FLOW_PUT, "a", NTS, NTS, 1, 6000, 0);
	flush();
	whole = compare(all, 0, false);
	CHECK(whole.rows == 2 * NTS && whole.blocks_read == 0);
	spec.now = 4999;
	CHECK(compare(spec, 0, false).spanned == whole.spanned);
	spec.now = 5000;
	sum = compare(spec, 0, false);
	CHECK(sum.rows == NTS && sum.spanned > 0 && sum.spanned < whole.spanned);
	spec.now = 6000;
	sum = compare(spec, 0, false);
	CHECK(sum.rows == 0 && sum.spanned == 0);
	test_close(&t);
}

/* In the SSTable itself: a tombstone that hides nothing, but another file might
 * have such a row; two versions of an identity. */
static void
test_not_plain(void)
{
	FlowStatus st;
	Sum sum;

	begin();
	put(FLOW_PUT, "a", 0, 1, 1, FLOW_NEVER, 0);
	put(FLOW_PUT, "z", 4 * NTS, 1, 1, FLOW_NEVER, 0);
	flush();
	put(FLOW_PUT, "m", 0, 2 * NTS, 1, FLOW_NEVER, 0);
	put(FLOW_DELETE, "m", 3 * NTS, 1, 1, FLOW_NEVER, 0);
	flush();
	sum = compare(all, 0, false);
	CHECK(sum.rows == 2 * NTS + 2 && sum.spanned > 128 && sum.blocks_read == 2);
	test_close(&t);

	begin();
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	put(FLOW_PUT, "a", 0, 2 * NTS, 1, FLOW_NEVER, 0);
	put(FLOW_PUT, "a", 10, 1, 1, FLOW_NEVER, MINE);
	flush();
	CHECK(compare(all, 0, false).spanned == 0);
	settled = true;
	st = flow_resolve_step(t.db);
	CHECK(st == FLOW_OK || st == FLOW_END);
	sum = compare(all, 0, false);
	CHECK(sum.rows == 2 * NTS && sum.spanned > 128 && sum.blocks_read == 1);
	settled = false;
	test_close(&t);
}

/* Of transactions that are not settled yet. */
static void
test_unsettled(void)
{
	Sum sum;

	begin();
	put(FLOW_PUT, "a", 0, NTS, 1, FLOW_NEVER, MINE);
	put(FLOW_PUT, "b", 0, NTS, 1, FLOW_NEVER, OTHERS);
	flush();
	sum = compare(all, 0, false);
	CHECK(sum.rows == NTS && sum.spanned == 0);
	test_close(&t);
}

/* Rows of other sources: within a block, at its first and its last row, and
 * between the keys. */
static void
test_overlap(void)
{
	static const struct
	{
		FlowOp op;
		const char *key;
		int64_t ts;
		int more; /* rows than without */
	} cases[] = {
		{FLOW_PUT, "a", 1001, 1},
		{FLOW_PUT, "a", 1000, 0},
		{FLOW_DELETE, "a", 1000, -1},
		{FLOW_PUT, "a", 0, 0},
		{FLOW_DELETE, "a", 0, -1},
		{FLOW_DELETE, "c", EVEN(NTS - 1), -1},
		{FLOW_PUT, "c", EVEN(NTS - 1), 0},
		{FLOW_PUT, "c", EVEN(NTS), 1},
		{FLOW_PUT, "b", 0, 1},
		{FLOW_PUT, "", 0, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Sum whole = begin_rows();
		FlowScanSpec spec = all;
		FlowTxBuf *own;
		Sum sum;

		CHECK_OK(flow_txbuf_create(t.env, &own));
		add(own, cases[i].op, cases[i].key, cases[i].ts, 1, 1, FLOW_NEVER,
			MINE);
		spec.own = own;
		spec.own_cid = 1;
		sum = compare(spec, 0, false);
		CHECK((int64_t) sum.rows == (int64_t) whole.rows + cases[i].more);
		CHECK(sum.spanned + 1 >= whole.spanned && sum.blocks_read <= 1);
		flow_txbuf_free(own);

		put(cases[i].op, cases[i].key, cases[i].ts, 1, 1, FLOW_NEVER, 0);
		for (int file = 0; file < 2; file++)
		{
			sum = compare(all, 0, false);
			CHECK((int64_t) sum.rows == (int64_t) whole.rows + cases[i].more);
			CHECK(sum.spanned + 1 >= whole.spanned);
			flush();
		}
		test_close(&t);
	}
}

/* Rows before and behind a span have their keys. */
static void
test_keys(void)
{
	FlowScanSpec spec = all;
	const FlowVector *vec;
	uint32_t found = 0;
	FlowTxBuf *own;
	FlowScan *scan;

	begin_rows();
	CHECK_OK(flow_txbuf_create(t.env, &own));
	add(own, FLOW_PUT, "a", 1001, 1, 1, FLOW_NEVER, MINE);
	add(own, FLOW_PUT, "c", 1001, 1, 1, FLOW_NEVER, MINE);
	spec.store_id = store;
	spec.own = own;
	spec.own_cid = 1;
	spec.keys_only = spec.spans = true;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	for (uint32_t i = 0; i < vec->nrows; i++)
		if (vec->ts[i] == 1001)
			CHECK(vec->key_bytes[i] == 1 && vec->key[i][0] == "ac"[found++]);
	CHECK(found == 2 && vec->span_rows > NTS);
	flow_scan_close(scan);
	flow_txbuf_free(own);
	test_close(&t);
}

static void
test_range_tombstone(void)
{
	FlowRect rect = {
		(const uint8_t *) "a", (const uint8_t *) "b", 1, 1, 10, 20};
	Sum whole = begin_rows();

	CHECK_OK(flow_delete_range(t.db, store, &rect, NULL));
	CHECK(compare(all, 0, false).rows == whole.rows - 6);
	flush();
	CHECK(compare(all, 0, false).rows == whole.rows - 6);
	test_close(&t);
}

static uint32_t polls;

static FlowStatus
poll(FlowEnv *env)
{
	(void) env;
	polls++;
	return FLOW_INTERRUPTED;
}

/* Spans count as versions do, and nothing of them is lost or seen twice. */
static void
test_interrupts(void)
{
	FlowStatus (*usual)(FlowEnv * env);
	FlowScanSpec spec = all;
	const FlowVector *vec;
	uint64_t rows = 0;
	FlowScan *scan;
	FlowStatus st;

	begin();
	for (int k = 0; k < 40; k++)
	{
		char key[2] = {(char) ('A' + k), '\0'};

		put(FLOW_PUT, key, 0, NTS, 2, FLOW_NEVER, 0);
	}
	flush();
	usual = t.env->poll;
	t.env->poll = poll;
	spec.store_id = store;
	spec.keys_only = spec.spans = true;
	spec.ts_lo = (FlowTimeBound){FLOW_EXCLUSIVE, 0}; /* no whole segment */
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK ||
		   st == FLOW_INTERRUPTED)
		if (st == FLOW_OK)
			rows += vec->nrows + vec->span_rows;
	CHECK_STATUS(st, FLOW_END);
	CHECK(rows == (uint64_t) 40 * (NTS - 1));
	CHECK(polls > 5 && flow_scan_stats(scan)->blocks_spanned > 3000);
	flow_scan_close(scan);
	t.env->poll = usual;
	test_close(&t);
}

/* ------------------------------------------------------------------ random */

static void
write_some(CheckRandom *r, FlowTxBuf *buf)
{
	static const uint64_t xids[] = {0, 0, 0, 0, 0, 0, MINE, OTHERS};
	char key[2] = {(char) ('a' + check_below(r, 4)), '\0'};
	bool one = check_below(r, 3) == 0;
	uint32_t n = one ? 1 : 1 + (uint32_t) check_below(r, 3000);

	add(buf, check_below(r, 6) ? FLOW_PUT : FLOW_DELETE, key,
		(int64_t) check_below(r, NTS), n, 1 + (uint32_t) check_below(r, 2),
		check_below(r, 4) ? FLOW_NEVER : 1000 + (int64_t) check_below(r, 4),
		xids[check_below(r, 8)]);
}

static void
compare_some(CheckRandom *r, FlowTxBuf *own, uint64_t *spanned)
{
	for (int i = 0; i < 6; i++)
	{
		char lo = (char) ('a' + check_below(r, 5));
		char hi = (char) ('a' + check_below(r, 5));
		FlowScanSpec spec = all;

		spec.own = own;
		spec.own_cid = 1;
		if (check_below(r, 3) > 0)
			spec.now = 999 + (int64_t) check_below(r, 6);
		if (check_below(r, 4) == 0)
			spec.key_lo =
				(FlowKeyBound){(FlowBoundKind) (1 + check_below(r, 2)), &lo, 1};
		if (check_below(r, 4) == 0)
			spec.key_hi =
				(FlowKeyBound){(FlowBoundKind) (1 + check_below(r, 2)), &hi, 1};
		if (check_below(r, 3) == 0)
			spec.ts_lo =
				(FlowTimeBound){(FlowBoundKind) (1 + check_below(r, 2)),
								(int64_t) check_below(r, NTS)};
		if (check_below(r, 3) == 0)
			spec.ts_hi =
				(FlowTimeBound){(FlowBoundKind) (1 + check_below(r, 2)),
								(int64_t) check_below(r, 2 * NTS)};
		*spanned +=
			compare(spec,
					check_below(r, 2) ? 0
									  : 100 + (uint32_t) check_below(r, 900),
					check_below(r, 10) == 0)
				.spanned;
	}
}

static uint64_t
test_random(CheckRandom *r)
{
	uint32_t writes = 2 + (uint32_t) check_below(r, 8);
	uint64_t spanned = 0;
	FlowTxBuf *buf, *own;
	bool ran;

	begin();
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_create(t.env, &own));
	for (uint32_t i = 0; i < writes; i++)
	{
		write_some(r, buf);
		test_push(&t, buf);
		if (check_below(r, 15) == 0)
		{
			int64_t ts = (int64_t) check_below(r, NTS);
			FlowRect rect = {(const uint8_t *) "b",
							 (const uint8_t *) "c",
							 1,
							 1,
							 ts,
							 ts + 100};

			CHECK_OK(flow_delete_range(t.db, store, &rect, NULL));
		}
		if (check_below(r, 3) > 0)
			flush();
		if (check_below(r, 8) == 0)
			CHECK_OK(flow_compact(t.db, store, &ran));
		compare_some(r, NULL, &spanned);
	}
	write_some(r, own);
	compare_some(r, own, &spanned);
	flow_txbuf_free(own);
	flow_txbuf_free(buf);
	test_close(&t);
	return spanned;
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 60;
	uint64_t spanned = 0;

	test_bounds();
	check_passed("bounds");
	test_refused();
	check_passed("who wants rows gets rows");
	test_expiry();
	check_passed("expiry");
	test_not_plain();
	check_passed("tombstones and second versions");
	test_unsettled();
	check_passed("transactions");
	test_overlap();
	check_passed("other sources");
	test_keys();
	check_passed("keys");
	test_range_tombstone();
	check_passed("range tombstones");
	test_interrupts();
	check_passed("interrupts");
	for (int i = 0; i < rounds; i++)
		spanned += test_random(&r);
	CHECK(rounds < 20 || spanned > 1000);
	check_passed("stores made at random");
	return 0;
}
