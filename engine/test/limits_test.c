/*-------------------------------------------------------------------------
 * limits_test.c
 *	  What runs out: write buffers, metadata, private memory.  Each has to
 *	  end in a clear status, and to be over once the cause is.
 *-------------------------------------------------------------------------
 */
#include <malloc.h>
#include <time.h>

#include "dbtest.h"

#include "../region.h"
#include "../version.h"

#define REGION_BYTES (((12u << 20) + 6) / 7 * 16) /* 12 MiB write buffers */
#define MEMTABLE_BYTES (4u << 20)

static uint64_t
meta_used(TestDb *t, uint64_t *totalp)
{
	uint64_t total, used, meta;

	flow_region_usage(t->env, t->env->region, &total, &used, totalp, &meta);
	return meta;
}

static void *hog[100000];
static size_t nhog;

static void
take_metadata(TestDb *t)
{
	for (size_t size = 1u << 20; size >= 32; size /= 2)
		while ((hog[nhog] = flowi_region_alloc(t->env, size)) != NULL)
			nhog++;
}

static void
give_metadata(TestDb *t)
{
	while (nhog > 0)
		flowi_region_free(t->env, hog[--nhog]);
}

/* ------------------------------------------------------------ transactions */

static FlowTxnState fate_of_all;
static uint64_t horizon; /* those before it are settled */

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	*statep = xid < horizon ? FLOW_TXN_SETTLED : fate_of_all;
	return FLOW_OK;
}

static bool
all_visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	(void) txn;
	return true;
}

static FlowStatus
put_one(TestDb *t, uint32_t store, uint64_t xid)
{
	FlowTxBuf *buf;
	char key[16];
	FlowStatus st;

	snprintf(key, sizeof(key), "k%03d", (int) (xid % 100));
	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, key, 4, (int64_t) xid,
							FLOW_NEVER, "v", 1, xid, 0));
	st = flow_txbuf_push(buf, t->db);
	flow_txbuf_free(buf);
	return st;
}

/* One-row transactions until a flush fails, and then until no write is
 * accepted; how many were. */
static uint64_t
fill_with_txns(TestDb *t, uint32_t store)
{
	uint64_t n = 0;
	FlowStatus flushed = FLOW_OK;

	for (;;)
	{
		FlowStatus st = put_one(t, store, n + 1);

		if (st == FLOW_BUSY && flushed == FLOW_NOMEM)
			return n;
		if (st == FLOW_BUSY)
			flushed = flow_flush_step(t->db);
		else
		{
			CHECK_OK(st);
			n++;
			if (flow_has_frozen(t->sh) && flushed == FLOW_OK)
				flushed = flow_flush_step(t->db);
		}
		CHECK(flushed == FLOW_OK || flushed == FLOW_NOMEM);
		if (n % 1024 == 0)
			test_forget_log(t);
	}
}

static uint64_t
count(TestDb *t, const FlowScanSpec *spec)
{
	FlowScan *scan;
	const FlowVector *vec;
	uint64_t n = 0;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
		n += vec->nrows;
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	return n;
}

/*
 * An old snapshot keeps millions of tiny transactions from being settled:
 * their directories fill the metadata.  Once it is gone all of it returns,
 * whether a flush asks or the regular resolve.
 */
static void
test_directories(bool by_flush)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN, .visible = all_visible};
	FlowScan *scan;
	const FlowVector *vec;
	FlowStats stats;
	uint64_t n, total, full;

	horizon = 0;
	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	spec.store_id = test_store(&t, "s");
	fate_of_all = FLOW_TXN_COMMITTED;
	n = fill_with_txns(&t, spec.store_id);
	CHECK(strstr(flow_last_error()->message, "write buffers are full"));
	CHECK(flow_flush_failing(t.sh) > 0 && flow_has_frozen(t.sh));
	CHECK_STATUS(flow_flush_step(t.db), FLOW_NOMEM);
	CHECK(strstr(flow_last_error()->message, "not settled") != NULL);
	CHECK(count(&t, &spec) == n);
	full = meta_used(&t, &total);
	CHECK(full > total / 4 * 3);
	CHECK(t.sh->version->nssts >= 6); /* memtables were frozen early */

	/* an open scan pins what it reads, for as long as it is open */
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	flow_stats(t.db, &stats);
	horizon = stats.sstable_records + 1;
	if (by_flush)
	{
		CHECK_STATUS(flow_flush_step(t.db), FLOW_NOMEM);
		CHECK_STATUS(flow_flush_step(t.db), FLOW_NOMEM);
		flow_scan_close(scan);
		/* not all: write buffers may hold more directories than metadata */
		CHECK_OK(flow_flush_step(t.db));
		CHECK(meta_used(&t, &total) > total / 8);
		horizon = UINT64_MAX;
		CHECK_OK(flow_resolve_step(t.db));
		CHECK_OK(flow_flush(t.db, NULL));
	}
	else
	{
		take_metadata(&t); /* the reserve is what is left to begin with */
		CHECK_OK(flow_resolve_step(t.db));
		give_metadata(&t);
		CHECK(meta_used(&t, &total) > full / 2);
		flow_scan_close(scan);
		CHECK(meta_used(&t, &total) < total / 8);
		horizon = UINT64_MAX;
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK(flow_flush_failing(t.sh) == 0);
	CHECK(meta_used(&t, &total) < total / 8);
	CHECK(count(&t, &spec) == n);
	spec.visible = NULL;
	CHECK(count(&t, &spec) == n);
	printf("# %" PRIu64 " transactions fill %" PRIu64 " KB\n", n, full >> 10);
	test_forget_log(&t);
	test_unload(&t);
	test_load(&t);
	CHECK(count(&t, &spec) == n);
	test_close(&t);
	check_passed(by_flush ? "directories, given back by a flush"
						  : "directories, given back by a resolve");
}

/* What was full before a restart can be loaded. */
static void
test_full_load(void)
{
	TestDb t;
	uint32_t s;
	uint64_t total, used;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	s = test_store(&t, "s");
	horizon = 0;
	fate_of_all = FLOW_TXN_UNKNOWN;
	(void) fill_with_txns(&t, s);
	fate_of_all = FLOW_TXN_COMMITTED; /* directories of the same size */
	CHECK_OK(flow_resolve_step(t.db));
	used = meta_used(&t, &total);
	test_forget_log(&t);
	test_unload(&t);
	test_load(&t);
	CHECK(meta_used(&t, &total) > used / 8 * 7);
	fate_of_all = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(meta_used(&t, &total) < total / 8);
	test_close(&t);
	check_passed("load with full metadata");
}

/* Entries are given back in part, too. */
static void
test_shrink(void)
{
	TestDb t;
	uint32_t s;
	FlowSst *sst;
	FlowVersion *pin;
	char path[FLOW_PATH_BYTES];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	s = test_store(&t, "s");
	horizon = 0;
	fate_of_all = FLOW_TXN_COMMITTED;
	for (uint64_t xid = 1; xid <= 100; xid++)
		CHECK_OK(put_one(&t, s, xid));
	CHECK_OK(flow_flush(t.db, NULL));
	sst = t.sh->version->sst[0];
	CHECK(sst->ntxns == 100);
	for (int i = 0; i < 40; i++)
		atomic_store(&sst->txns[i].state, FLOW_TXN_SETTLED);
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(t.sh->version->sst[0] == sst); /* not worth it */
	pin = flowi_version_pin(t.sh);
	for (int i = 40; i < 60; i++)
		atomic_store(&sst->txns[i].state, FLOW_TXN_SETTLED);
	CHECK_OK(flow_resolve_step(t.db));
	sst = t.sh->version->sst[0];
	CHECK(sst->ntxns == 40 && sst->txns[0].xid == 61);
	CHECK(atomic_load(&sst->refs) == 2 && atomic_load(&sst->unsettled) == 40);
	CHECK(count(&t, &(FlowScanSpec){.store_id = s, .now = INT64_MIN}) == 60);

	/* who reads the file by its older entry keeps it */
	flowi_version_path(t.dir, sst->info.id, path);
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_OK(flowi_version_replace(t.db, NULL, 0, &sst, 1));
	flowi_version_end(t.db);
	CHECK(access(path, F_OK) == 0);
	flowi_version_unref(t.env, t.dir, pin);
	CHECK(access(path, F_OK) != 0);
	test_close(&t);
	check_passed("half a directory");
}

/* --------------------------------------------------------- full metadata */

static void
test_full_metadata(void)
{
	TestDb t;
	FlowDbShared *sh;
	uint32_t s, id;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "a", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	take_metadata(&t);

	/* writers need none; a flush says what is missing */
	test_put(&t, s, "b", 1, "v");
	CHECK_STATUS(flow_flush(t.db, NULL), FLOW_NOMEM);
	CHECK(strstr(flow_last_error()->message, "out of shared memory") != NULL);
	CHECK(flow_flush_failing(t.sh) == 1);
	CHECK_STATUS(flow_store_define(t.db, "new", NULL, 0, &id), FLOW_NOMEM);
	CHECK_STATUS(flow_load(t.env, t.dir, &t.opts, &sh), FLOW_NOMEM);
	CHECK(sh == NULL);
	test_put(&t, s, "c", 1, "v");
	CHECK_TEXT(test_all(&t, s), "a@1=v b@1=v c@1=v ");
	give_metadata(&t);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(flow_flush_failing(t.sh) == 0);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "a@1=v b@1=v c@1=v ");
	test_close(&t);
	check_passed("full metadata");
}

/*
 * Many SSTables with long keys fill the metadata until no flush finds room:
 * merging them is what gives it back, so a merge has to find some.
 */
static void
test_merge_full_metadata(void)
{
	TestDb t;
	static char key[FLOW_MAX_KEY];
	uint32_t s;
	uint64_t total;
	FlowStatus st;
	int n = 0;

	test_open(&t, 16u << 20, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	memset(key, 'k', sizeof(key));
	do
	{
		FlowRecord r = {key, sizeof(key), n++, FLOW_NEVER, "v", 1};

		CHECK_OK(flow_write_batch(t.db, s, &r, 1, NULL));
		st = flow_flush(t.db, NULL);
	} while (st == FLOW_OK);
	CHECK_STATUS(st, FLOW_NOMEM);
	CHECK(n > 8);
	while ((st = flow_maintenance_step(t.db, 1000000, NULL)) == FLOW_OK)
		;
	CHECK_STATUS(st, FLOW_END);
	CHECK(meta_used(&t, &total) < total / 2);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(count(&t, &(FlowScanSpec){.store_id = s}) == (uint64_t) n);
	test_close(&t);
	check_passed("a merge when metadata is full");
}

/* ------------------------------------------------------------ write buffers */

static void
put_big(TestDb *t, uint32_t s, int i, size_t bytes, FlowStatus want)
{
	static char value[FLOW_MAX_VALUE];
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, "k", 1, i, FLOW_NEVER, value,
							bytes, 0, 0));
	CHECK_STATUS(flow_txbuf_push(buf, t->db), want);
	flow_txbuf_free(buf);
}

static void
test_too_big(void)
{
	TestDb t;
	uint32_t s;
	size_t n = 400000;
	FlowRecord *r = calloc(n, sizeof(*r));
	clock_t begun = clock();
	time_t at = time(NULL);

	CHECK(r != NULL);
	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "a", 1, "x");
	/* more than there is; and all there is, but for what a memtable needs */
	put_big(&t, s, 1, 13u << 20, FLOW_NOMEM);
	CHECK_OK(flow_flush(t.db, NULL));
	put_big(&t, s, 1, (12u << 20) - 4096, FLOW_NOMEM);
	CHECK(strstr(flow_last_error()->message, "does not fit") != NULL);
	put_big(&t, s, 1, 11u << 20, FLOW_OK);
	for (size_t i = 0; i < n; i++)
		r[i] = (FlowRecord){"k", 1, (int64_t) i, FLOW_NEVER, "", 0};
	CHECK_STATUS(flow_write_batch(t.db, s, r, n, NULL), FLOW_NOMEM);
	CHECK_OK(flow_write_batch(t.db, s, r, 100000, NULL));
	CHECK((clock() - begun) / CLOCKS_PER_SEC < 10 && time(NULL) - at < 20);
	free(r);
	test_close(&t);
	check_passed("batches larger than the write buffers");
}

/* Staging goes on when a buffer was freed, not before. */
static uint64_t pauses;
static FlowDb *other;

static void
pause_and_flush(FlowEnv *env)
{
	(void) env;
	if (++pauses == 20)
		CHECK_OK(flow_flush(other, NULL));
}

static void
test_two_databases(void)
{
	TestDb t, u;
	FlowRecord r = test_record("k", 1, NULL);
	uint32_t s, s2;

	test_open(&t, REGION_BYTES, UINT64_MAX); /* never full by itself */
	s = test_store(&t, "s");
	u = t;
	u.log = NULL;
	u.nlog = u.log_cap = 0;
	strcpy(u.dir, "tmp_db.XXXXXX");
	CHECK(mkdtemp(u.dir) != NULL);
	flow_env_posix_set_log(t.env, NULL, NULL);
	CHECK_OK(flow_create(u.env, u.dir));
	test_load(&u);
	s2 = test_store(&u, "s");

	/* each has a part; who finds no room gives up its own to a flush */
	for (int i = 0; i < 5; i++)
		put_big(&t, s, i, 1u << 20, FLOW_OK);
	for (int i = 0; i < 4; i++)
		put_big(&u, s2, i, 1u << 20, FLOW_OK);
	put_big(&u, s2, 9, 4u << 20, FLOW_BUSY);
	CHECK(flow_has_frozen(u.sh) && !flow_has_frozen(t.sh));
	put_big(&t, s, 9, 4u << 20, FLOW_BUSY);
	CHECK(flow_has_frozen(t.sh));
	CHECK_OK(flow_flush_step(u.db));
	put_big(&t, s, 9, 4u << 20, FLOW_OK);

	/* all of it is the other's: wait until that one is flushed */
	put_big(&u, s2, 9, 8u << 20, FLOW_BUSY);
	CHECK(u.sh->active == NULL);
	other = t.db;
	t.env->pause = pause_and_flush;
	r.value_bytes = 8u << 20;
	r.value = calloc(1, r.value_bytes);
	CHECK(r.value != NULL);
	pauses = 0;
	CHECK_OK(flow_write_batch(u.db, s2, &r, 1, NULL));
	CHECK(pauses == 20);
	free((void *) r.value);

	CHECK_OK(flow_flush(u.db, NULL));
	test_forget_log(&u);
	flow_detach(u.db);
	flow_unload(u.env, u.sh);
	CHECK_OK(flow_flush(t.db, NULL));
	test_forget_log(&t);
	CHECK(rename(u.dir, "tmp_other") == 0);
	CHECK(system("rm -rf tmp_other") == 0);
	test_close(&t);
	check_passed("two databases in one region");
}

/* ----------------------------------------------------------- private memory */

static size_t taken, peak;

static void *
counting_alloc(FlowEnv *env, size_t size)
{
	void *p = malloc(size ? size : 1);

	(void) env;
	if (p)
		taken += malloc_usable_size(p);
	peak = taken > peak ? taken : peak;
	return p;
}

static void
counting_free(FlowEnv *env, void *p)
{
	(void) env;
	if (p)
		taken -= malloc_usable_size(p);
	free(p);
}

static void *
counting_realloc(FlowEnv *env, void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	void *q = realloc(p, size ? size : 1);

	(void) env;
	if (q)
		taken += malloc_usable_size(q) - before;
	peak = taken > peak ? taken : peak;
	return q;
}

/* 40 rows of 1 MB, ten in each file. */
static uint32_t
make_big_rows(TestDb *t)
{
	size_t bytes = 1u << 20;
	char *value = malloc(bytes);
	uint32_t s;
	char key[16];

	CHECK(value != NULL);
	test_open(t, 64u << 20, 8u << 20);
	t->env->alloc = counting_alloc;
	t->env->realloc = counting_realloc;
	t->env->free = counting_free;
	s = test_store(t, "s");
	for (int i = 0; i < 40; i++)
	{
		FlowRecord r;

		for (size_t j = 0; j < bytes; j++)
			value[j] = (char) ((j * 2654435761u >> 13) + (size_t) i);
		snprintf(key, sizeof(key), "k%04d", i);
		r = test_record(key, i, NULL);
		r.value = value;
		r.value_bytes = bytes;
		CHECK_OK(flow_write_batch(t->db, s, &r, 1, NULL));
		if (i % 10 == 9)
			CHECK_OK(flow_flush(t->db, NULL));
		test_forget_log(t);
	}
	free(value);
	return s;
}

static void
test_private_memory(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowScan *scan;
	const FlowVector *vec;
	uint32_t rows = 0;
	size_t before;
	FlowStatus st;

	spec.store_id = make_big_rows(&t);
	before = taken;
	peak = 0;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		CHECK(vec->nrows >= 1 && vec->nrows <= 2);
		rows += vec->nrows;
	}
	CHECK(st == FLOW_END && rows == 40);
	flow_scan_close(scan);
	CHECK(peak - before < 16u << 20);

	before = taken;
	for (int i = 0; i < 40; i++)
	{
		char key[16];

		snprintf(key, sizeof(key), "k%04d", i);
		CHECK_OK(flow_get(t.db, &spec, key, 5, i, &scan, &vec));
		CHECK(vec->value_bytes[0] == 1u << 20);
		flow_scan_close(scan);
	}
	CHECK(taken < before + (1u << 20));
	test_close(&t);
	check_passed("private memory of fills and lookups");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_directories(false);
	test_directories(true);
	test_full_load();
	test_shrink();
	test_full_metadata();
	test_merge_full_metadata();
	test_too_big();
	test_two_databases();
	test_private_memory();
	return 0;
}
