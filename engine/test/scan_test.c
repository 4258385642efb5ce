/*-------------------------------------------------------------------------
 * scan_test.c
 *	  Scans: what they pin, what they read, how they go on.
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <stdatomic.h>

#include "dbtest.h"

#define REGION_BYTES (16u << 20)
#define MEMTABLE_BYTES (4u << 20)

static void
open_db(TestDb *t, uint32_t *store)
{
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	*store = test_store(t, "s");
}

static void
put_number(TestDb *t, uint32_t s, int key, int ts, int value)
{
	char k[16], v[16];

	snprintf(k, sizeof(k), "k%04d", key);
	snprintf(v, sizeof(v), "%d", value);
	test_put(t, s, k, ts, v);
}

/* Nothing of a memtable stays pinned between two calls (S8). */
static void
test_pins(void)
{
	TestDb t;
	uint32_t s;
	FlowScan *scan;
	const FlowVector *vec;
	uint64_t total, used, meta_total, meta_used;

	open_db(&t, &s);
	for (int i = 0; i < 100; i++)
		put_number(&t, s, i, 0, i);
	CHECK_OK(flow_scan_open(
		t.db, &(FlowScanSpec){.store_id = s, .now = INT64_MIN}, &scan));
	for (int i = 0; i < 100; i++)
	{
		char want[16];

		CHECK_OK(flow_scan_next(scan, 1, &vec));
		snprintf(want, sizeof(want), "k%04d", i);
		CHECK(vec->nrows == 1 && memcmp(vec->key[0], want, 5) == 0);
		/* rows behind the position are seen, those before it are not */
		if (i % 10 == 5)
		{
			put_number(&t, s, i, -1, 0);
			CHECK_OK(flow_flush(t.db, NULL));
			flow_region_usage(t.env, t.env->region, &total, &used, &meta_total,
							  &meta_used);
			CHECK(used == 0);
		}
	}
	CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_END);
	CHECK(flow_scan_stats(scan)->rows == 100);
	CHECK(flow_scan_stats(scan)->rows_memtable == 6);
	CHECK(flow_scan_stats(scan)->rows_sst == 94);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("a flush between every ten rows");
}

/* Scans outlive their handle: they pin nothing, and are closed later. */
static void
test_detach(void)
{
	TestDb t;
	uint32_t s;
	FlowScan *scan[3];
	const FlowVector *vec[3];
	FlowScanSpec spec = {.now = INT64_MIN};

	open_db(&t, &s);
	spec.store_id = s;
	for (int i = 0; i < 100; i++)
	{
		put_number(&t, s, i, 0, i);
		if (i == 50)
			CHECK_OK(flow_flush(t.db, NULL));
	}
	for (int i = 0; i < 2; i++)
	{
		CHECK_OK(flow_scan_open(t.db, &spec, &scan[i]));
		CHECK_OK(flow_scan_next(scan[i], 5, &vec[i]));
	}
	CHECK_OK(flow_get(t.db, &spec, "k0007", 5, 0, &scan[2], &vec[2]));
	test_unload(&t); /* all pins are gone */
	for (int i = 0; i < 3; i++)
	{
		const FlowVector *none;

		CHECK(vec[i]->nrows == (i < 2 ? 5 : 1));
		CHECK(memcmp(vec[i]->key[0], i < 2 ? "k0000" : "k0007", 5) == 0);
		CHECK_STATUS(flow_scan_next(scan[i], 5, &none), FLOW_INVALID);
		CHECK(none == NULL);
		CHECK(flow_scan_stats(scan[i])->rows == vec[i]->nrows);
		flow_scan_close(scan[i]);
	}
	test_load(&t);
	test_close(&t);
	check_passed("scans of a detached handle");
}

/* ------------------------------------------------------------- interrupts */

static uint64_t polls;
static uint64_t interrupt_every;

static FlowStatus
poll_interrupts(FlowEnv *env)
{
	(void) env;
	return ++polls % interrupt_every == 0 ? FLOW_INTERRUPTED : FLOW_OK;
}

static FlowStatus (*real_read)(FlowFile *file, void *buf, size_t len,
							   uint64_t off);

static FlowStatus
read_interrupts(FlowFile *file, void *buf, size_t len, uint64_t off)
{
	if (++polls % interrupt_every == 0)
		return FLOW_INTERRUPTED;
	return real_read(file, buf, len, off);
}

static bool
nobody_visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	(void) txn;
	return false;
}

/* Rows of a scan that is interrupted again and again. */
static uint64_t
count_rows(TestDb *t, const FlowScanSpec *spec, uint64_t *interruptsp)
{
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;
	uint64_t rows = 0;
	int64_t last = -1;

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, 7, &vec)) != FLOW_END)
	{
		if (st == FLOW_INTERRUPTED)
		{
			(*interruptsp)++;
			CHECK(*interruptsp < 100000);
			continue;
		}
		CHECK_OK(st);
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			char text[16] = {0};
			int64_t key;

			memcpy(text, vec->key[i], vec->key_bytes[i]);
			key = strtoll(text + 1, NULL, 10);
			CHECK(key > last);
			last = key;
			rows++;
		}
	}
	flow_scan_close(scan);
	return rows;
}

static void
test_interrupts(void)
{
	TestDb t;
	uint32_t s, hidden;
	uint64_t interrupts = 0;
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowTxBuf *buf;

	open_db(&t, &s);
	hidden = test_store(&t, "hidden");
	for (int half = 0; half < 2; half++)
	{
		CHECK_OK(flow_txbuf_create(t.env, &buf));
		for (int i = half; i < 4000; i += 2)
		{
			char key[16];
			int n = snprintf(key, sizeof(key), "k%04d", i);

			/* and invisible versions above the visible ones */
			CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, key, (size_t) n, 0,
									FLOW_NEVER, "v", 1, 0, 0));
			CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, hidden, key, (size_t) n, 0,
									FLOW_NEVER, "v", 1, 9, 0));
		}
		CHECK_OK(flow_txbuf_push(buf, t.db));
		for (int i = half; i < 4000; i += 8)
		{
			char key[16];
			int n = snprintf(key, sizeof(key), "k%04d", i);

			for (uint32_t cid = 0; cid < 3; cid++)
				CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, key, (size_t) n, 0,
										FLOW_NEVER, "w", 1, 9, cid));
		}
		CHECK_OK(flow_txbuf_push(buf, t.db));
		flow_txbuf_free(buf);
		CHECK_OK(flow_flush(t.db, NULL));
	}
	/* and in a file of their own: the merge reads between two versions */
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	for (int i = 0; i < 4000; i++)
	{
		char key[16];
		int n = snprintf(key, sizeof(key), "k%04d", i);

		CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, key, (size_t) n, 0,
								FLOW_NEVER, "x", 1, 11, 0));
	}
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
	CHECK_OK(flow_flush(t.db, NULL));
	spec.visible = nobody_visible;
	spec.store_id = hidden;
	t.env->poll = poll_interrupts;
	interrupt_every = 1;
	CHECK(count_rows(&t, &spec, &interrupts) == 0);
	CHECK(interrupts >= 4000 / 256 - 1 && interrupts <= 4000 / 256 + 1);
	spec.store_id = s;
	interrupts = 0;
	CHECK(count_rows(&t, &spec, &interrupts) == 4000);
	t.env->poll = poll_interrupts;
	interrupt_every = UINT64_MAX;

	real_read = t.env->file_read;
	t.env->file_read = read_interrupts;
	/* a source takes several reads to open, so not each second one */
	for (interrupt_every = 11; interrupt_every < 40; interrupt_every++)
	{
		FlowStatus st;
		const FlowVector *vec;
		FlowScan *scan;

		interrupts = 0;
		spec.reverse = false;
		CHECK(count_rows(&t, &spec, &interrupts) == 4000);
		st = flow_get(t.db, &spec, "k0007", 5, 0, &scan, &vec);
		CHECK(st == FLOW_OK || st == FLOW_INTERRUPTED);
		flow_scan_close(scan);
	}
	t.env->file_read = real_read;
	test_close(&t);
	check_passed("interrupts");
}

/* One row with many versions that nobody may see. */
static void
test_hot_row(void)
{
	TestDb t;
	uint32_t s;
	uint64_t interrupts = 0;
	FlowScanSpec spec = {.now = INT64_MIN, .visible = nobody_visible};
	const FlowVector *vec;
	FlowScan *scan;

	open_db(&t, &s);
	spec.store_id = s;
	put_number(&t, s, 1, 0, 1);
	for (int i = 0; i < 10000; i++)
		test_put_xid(&t, s, "k0001", 0, "hidden", 7);
	put_number(&t, s, 2, 0, 2);
	t.env->poll = poll_interrupts;
	interrupt_every = 1; /* each poll, and yet it gets on */
	polls = 0;
	CHECK(count_rows(&t, &spec, &interrupts) == 2);
	CHECK(interrupts >= 5);
	interrupt_every = UINT64_MAX;
	polls = 0;
	CHECK_OK(flow_get(t.db, &spec, "k0001", 5, 0, &scan, &vec));
	CHECK(polls >= 10000 / 256);
	flow_scan_close(scan);
	interrupt_every = 1;
	CHECK_STATUS(flow_get(t.db, &spec, "k0001", 5, 0, &scan, &vec),
				 FLOW_INTERRUPTED);
	interrupt_every = UINT64_MAX;
	test_close(&t);
	check_passed("polls between the versions of a row");
}

/* ----------------------------------------------------------- what is read */

static void
test_lazy(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowScanStats missed = {0};
	const FlowVector *vec;
	FlowScan *scan;

	open_db(&t, &s);
	spec.store_id = s;
	/* ten files of a time each, keys 0 .. 9; ten of keys of their own */
	for (int ts = 0; ts < 10; ts++)
	{
		for (int key = 0; key < 10; key++)
			put_number(&t, s, key, ts, ts);
		CHECK_OK(flow_flush(t.db, NULL));
	}
	for (int key = 10; key < 20; key++)
	{
		put_number(&t, s, key, 5, key);
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK_OK(flow_get_latest(t.db, &spec, "k0003", 5, &scan, &vec));
	CHECK(vec->ts[0] == 9);
	CHECK(flow_scan_stats(scan)->ssts_read == 1);
	CHECK(flow_scan_stats(scan)->ssts_skipped == 10);
	flow_scan_close(scan);

	CHECK_OK(flow_get(t.db, &spec, "k0003", 5, 4, &scan, &vec));
	CHECK(flow_scan_stats(scan)->ssts_read == 1);
	CHECK(flow_scan_stats(scan)->blocks_read == 1);
	flow_scan_close(scan);

	spec.key_lo = (FlowKeyBound){FLOW_EXCLUSIVE, "k0009", 5};
	spec.limit = 1;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 1 && flow_scan_stats(scan)->ssts_read == 1);
	CHECK_STATUS(flow_scan_next(scan, 0, &vec), FLOW_END);
	flow_scan_close(scan);

	spec.key_lo.kind = FLOW_OPEN;
	spec.limit = 0;
	spec.ts_lo = spec.ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, 7};
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 10 && flow_scan_stats(scan)->ssts_read == 1);
	CHECK(flow_scan_stats(scan)->ssts_skipped == 19);
	CHECK(flow_scan_stats(scan)->ssts_skipped_time == 19);
	flow_scan_close(scan);

	spec.key_hi = (FlowKeyBound){FLOW_INCLUSIVE, "k0010", 5};
	spec.ts_lo.ts = spec.ts_hi.ts = 5;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 11 && flow_scan_stats(scan)->ssts_read == 2);
	CHECK(flow_scan_stats(scan)->ssts_skipped == 18);
	CHECK(flow_scan_stats(scan)->ssts_skipped_time == 9);
	flow_scan_close(scan);

	/* a lookup that finds nothing tells what it read, too */
	spec.missed = &missed;
	CHECK_STATUS(flow_get(t.db, &spec, "k0003", 5, 50, &scan, &vec),
				 FLOW_NOTFOUND);
	CHECK(missed.ssts_skipped == 20 && missed.ssts_skipped_time == 20);
	CHECK_STATUS(flow_get(t.db, &spec, "k0015", 5, 4, &scan, &vec),
				 FLOW_NOTFOUND);
	CHECK(missed.ssts_skipped == 40 && missed.ssts_skipped_time == 39);
	CHECK_OK(flow_get(t.db, &spec, "k0003", 5, 4, &scan, &vec));
	CHECK(missed.ssts_skipped == 40 && missed.ssts_read == 0);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("files are opened when they are needed");
}

static void
test_skip(bool flush)
{
	TestDb t;
	uint32_t s;
	static FlowRecord r[1000];
	FlowScanSpec spec = {.now = INT64_MIN};
	const FlowScanStats *stats;
	const FlowVector *vec;
	FlowScan *scan;

	open_db(&t, &s);
	spec.store_id = s;
	for (int key = 0; key < 40; key++)
	{
		char name[16];

		snprintf(name, sizeof(name), "k%04d", key);
		for (int i = 0; i < 1000; i++)
			r[i] = test_record(name, i, "some value");
		CHECK_OK(flow_write_batch(t.db, s, r, 1000, NULL));
	}
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	spec.ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, 500};
	spec.ts_hi = (FlowTimeBound){FLOW_EXCLUSIVE, 503};
	for (int reverse = 0; reverse < 2; reverse++)
	{
		spec.reverse = reverse;
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		CHECK_OK(flow_scan_next(scan, 0, &vec));
		CHECK(vec->nrows == 120);
		for (int i = 0; i < 120; i++)
		{
			int at = reverse ? 119 - i : i;
			char name[16];

			snprintf(name, sizeof(name), "k%04d", at / 3);
			CHECK(memcmp(vec->key[i], name, 5) == 0);
			CHECK(vec->ts[i] == 500 + at % 3);
		}
		CHECK_STATUS(flow_scan_next(scan, 0, &vec), FLOW_END);
		stats = flow_scan_stats(scan);
		/* one block a key, or two where the range is cut, not all */
		CHECK(!flush ||
			  (stats->blocks_read <= 80 && stats->blocks_skipped > 300));
		flow_scan_close(scan);
	}
	test_close(&t);
	check_passed(flush ? "time ranges in files" : "time ranges in memory");
}

static void
test_columns(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = 10};
	const FlowVector *vec;
	FlowScan *scan;

	open_db(&t, &s);
	spec.store_id = s;
	test_put_expiring(&t, s, "a", 1, "x", 10);
	test_put_expiring(&t, s, "b", 1, "y", 11);
	test_put(&t, s, "c", 1, "");
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 2 && vec->expire_at[0] == 11);
	CHECK(vec->expire_at[1] == FLOW_NEVER && vec->value[1] != NULL);
	CHECK(vec->value_bytes[1] == 0);
	CHECK(flow_scan_stats(scan)->versions_hidden == 1);
	flow_scan_close(scan);
	spec.keys_only = true;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 2 && vec->value[0] == NULL && vec->value[1] == NULL);
	flow_scan_close(scan);
	spec.store_id = 99;
	CHECK_TEXT(test_rows(&t, &spec), "");
	test_close(&t);
	check_passed("columns and expiry");
}

/* --------------------------------------------------------- private buffer */

static void
add(FlowTxBuf *buf, uint32_t s, FlowOp op, const char *key, const char *value,
	uint32_t cid)
{
	CHECK_OK(flow_txbuf_add(buf, op, s, key, strlen(key), 1, FLOW_NEVER, value,
							strlen(value), 5, cid));
}

/* Transaction 5 itself: its commands below own_cid. */
static bool
own_visible(void *arg, FlowTxn *txn)
{
	return txn->xid == 5 && txn->cid < *(uint32_t *) arg;
}

static void
test_own(void)
{
	TestDb t;
	uint32_t s;
	uint32_t cid = 2;
	FlowScanSpec spec = {.now = INT64_MIN, .visible = own_visible};
	const FlowVector *vec;
	FlowScan *scan;
	FlowTxBuf *buf;

	open_db(&t, &s);
	spec.store_id = s;
	spec.visible_arg = &cid;
	test_put(&t, s, "a", 1, "base");
	test_put(&t, s, "b", 1, "base");
	test_put(&t, s, "z", 1, "base");
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	add(buf, s, FLOW_PUT, "a", "own", 0);
	add(buf, s, FLOW_DELETE, "b", "", 1);
	add(buf, s, FLOW_PUT, "c", "own", 1);
	add(buf, s, FLOW_PUT, "c", "later", 2);
	spec.own = buf;
	spec.own_cid = 2;
	CHECK_TEXT(test_rows(&t, &spec), "a@1=own c@1=own z@1=base ");
	CHECK_TEXT(test_get(&t, &spec, "c", 1), "own");
	CHECK(test_get(&t, &spec, "b", 1) == NULL);
	CHECK_TEXT(test_latest(&t, &spec, "a"), "1=own");

	/* what the scan's own command writes is not seen, nor lost by a push */
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK(vec->value_bytes[0] == 3);
	add(buf, s, FLOW_PUT, "y", "mine", 2);
	add(buf, s, FLOW_DELETE, "z", "", 2);
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK(vec->key[0][0] == 'c' && vec->value_bytes[0] == 3);
	CHECK_OK(flow_txbuf_push(buf, t.db));
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK(vec->key[0][0] == 'z' && vec->value_bytes[0] == 4);
	CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_END);
	flow_scan_close(scan);

	CHECK_TEXT(test_rows(&t, &spec), "a@1=own c@1=own z@1=base ");
	spec.own_cid = cid = 3;
	CHECK_TEXT(test_rows(&t, &spec), "a@1=own c@1=later y@1=mine ");
	add(buf, s, FLOW_PUT, "b", "back", 3);
	spec.own_cid = cid = 4;
	CHECK_TEXT(test_get(&t, &spec, "b", 1), "back");
	/* the buffer goes before the scan */
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	flow_txbuf_free(buf);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("private buffer");
}

/* ------------------------------------------------------------ out of memory */

static void
test_nomem(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	uint64_t failed = 0;
	bool done = false;

	open_db(&t, &s);
	spec.store_id = s;
	for (int i = 0; i < 300; i++)
	{
		put_number(&t, s, i, i % 7, i);
		if (i % 100 == 50)
			CHECK_OK(flow_flush(t.db, NULL));
	}
	for (uint64_t nth = 1; !done; nth++)
	{
		const FlowVector *vec;
		FlowScan *scan = NULL;
		FlowDb *db = NULL;
		uint32_t rows = 0;
		FlowStatus st;

		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = flow_attach(t.env, t.sh, t.dir, &db);
		if (st == FLOW_OK)
			st = flow_scan_open(db, &spec, &scan);
		while (st == FLOW_OK)
		{
			st = flow_scan_next(scan, 50, &vec);
			rows += st == FLOW_OK ? vec->nrows : 0;
		}
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, 1, 0, 0);
		done = st == FLOW_END;
		CHECK(done || st == FLOW_NOMEM);
		CHECK(!done || rows == 300);
		if (scan && !done)
			CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_NOMEM);
		flow_detach(db);
		flow_scan_close(scan);
		failed += !done;
	}
	printf("# %" PRIu64 " failed allocations\n", failed);
	CHECK(failed > 20);
	test_close(&t);
	check_passed("out of memory");
}

static int
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* More SSTables than a handle keeps open. */
static void
test_many_ssts(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	uint64_t interrupts = 0;

	open_db(&t, &s);
	spec.store_id = s;
	for (int i = 0; i < 300; i++)
	{
		put_number(&t, s, i, 0, i);
		put_number(&t, s, 299, i, i); /* all overlap at the end */
		CHECK_OK(flow_flush(t.db, NULL));
	}
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < 299; i++)
		{
			char key[16], value[16];

			snprintf(key, sizeof(key), "k%04d", i);
			snprintf(value, sizeof(value), "%d", i);
			CHECK_TEXT(test_get(&t, &spec, key, 0), value);
		}
	}
	spec.ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, 0};
	CHECK(count_rows(&t, &spec, &interrupts) == 300);
	spec.ts_hi.kind = FLOW_OPEN;
	CHECK_TEXT(test_latest(&t, &spec, "k0299"), "299=299");
	/* those beyond the cap were closed as they were released */
	CHECK(open_files() <= 128 + 8);
	test_close(&t);
	check_passed("many SSTables");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_pins();
	test_detach();
	test_interrupts();
	test_hot_row();
	test_lazy();
	test_skip(false);
	test_skip(true);
	test_columns();
	test_own();
	test_nomem();
	test_many_ssts();
	return 0;
}
