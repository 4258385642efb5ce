/*-------------------------------------------------------------------------
 * thread_test.c
 *	  Writers, readers, flushers, mergers and a checkpoint holder at the same
 *	  time, each with a handle of its own (X21: W23, W29, W32, W33).  Most
 *	  telling under SANITIZE=thread.
 *
 * A writer writes its rows in batches, each batch one generation of all of
 * them.  A reader that gets all rows by one call must find every writer's
 * rows in one generation, and never an older one than before.  A sweeper
 * deletes each of its generations by a range delete before it writes the
 * next: of those a reader sees all rows or none.  The rows of the second
 * store expire while flushes and gc drop them.
 *
 * Two rounds: a log that only counts, and the file log.
 *
 *	 thread_test [seed [seconds]]
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <time.h>

#include "dbtest.h"

#define NWRITERS 2
#define NROWS 50
#define DEFAULT_SECONDS 5

static TestDb t;
static uint32_t store, mortal;
static _Atomic bool stop;
static _Atomic uint64_t generation[NWRITERS]; /* returned from the write */
static _Atomic uint64_t swept; /* generations up to here are deleted */
static _Atomic uint64_t scans, gets, flushes, proofs, merges, sweeps, purged;

static FlowDb *
attach(void)
{
	FlowDb *db;

	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &db));
	return db;
}

/* One generation of all rows whose keys begin with first. */
static void
write_generation(FlowDb *db, char first, uint64_t g)
{
	char keys[NROWS][16];
	char value[128];
	FlowRecord r[NROWS];

	memset(value, 'v', sizeof(value));
	memcpy(value, &g, sizeof(g));
	for (int i = 0; i < NROWS; i++)
	{
		snprintf(keys[i], sizeof(keys[i]), "%c%03d", first, i);
		r[i] = test_record(keys[i], 0, NULL);
		r[i].value = value;
		r[i].value_bytes = sizeof(value);
	}
	CHECK_OK(flow_write_batch(db, store, r, NROWS, NULL));
}

static void *
writer(void *arg)
{
	uint32_t w = *(uint32_t *) arg;
	FlowDb *db = attach();

	for (uint64_t g = 1; !stop; g++)
	{
		write_generation(db, (char) ('a' + w), g);
		atomic_store(&generation[w], g);
	}
	flow_detach(db);
	return NULL;
}

static void *
sweeper(void *arg)
{
	FlowDb *db = attach();
	const FlowRect rect = {.key_lo = (const uint8_t *) "s",
						   .key_hi = (const uint8_t *) "t",
						   .key_lo_bytes = 1,
						   .key_hi_bytes = 1,
						   .ts_lo = -1,
						   .ts_hi = 1};

	(void) arg;
	for (uint64_t g = 1; !stop; g++)
	{
		write_generation(db, 's', g);
		CHECK_OK(flow_delete_range(db, store, &rect, NULL));
		atomic_store(&swept, g);
		atomic_fetch_add(&sweeps, 1);
	}
	flow_detach(db);
	return NULL;
}

/* Rows that live some milliseconds. */
static void *
mortal_writer(void *arg)
{
	FlowDb *db = attach();
	FlowRecord r;
	char key[16];

	(void) arg;
	for (int64_t i = 0; !stop; i++)
	{
		snprintf(key, sizeof(key), "m%03d", (int) (i % 500));
		r = test_record(key, i, "mortal");
		r.expire_at = t.env->now_us(t.env) + 5000;
		CHECK_OK(flow_write_batch(db, mortal, &r, 1, NULL));
		if (i % 20 == 0)
			t.env->pause(t.env);
	}
	flow_detach(db);
	return NULL;
}

static void
read_mortals(FlowDb *db)
{
	FlowScanSpec spec = {.store_id = mortal, .now = t.env->now_us(t.env)};
	FlowScan *scan;
	FlowRecord row;
	FlowStatus st;

	CHECK_OK(flow_scan_open(db, &spec, &scan));
	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
	{
		CHECK(row.expire_at > spec.now);
		CHECK(row.value_bytes == 6 && memcmp(row.value, "mortal", 6) == 0);
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
}

static uint64_t
generation_of(const FlowVector *vec, uint32_t row)
{
	uint64_t g;

	CHECK(vec->value_bytes[row] == 128);
	memcpy(&g, vec->value[row], sizeof(g));
	return g;
}

static void
read_all(FlowDb *db, uint64_t *last, bool reverse)
{
	FlowScanSpec spec = {
		.store_id = store, .now = INT64_MIN, .reverse = reverse};
	uint64_t before[NWRITERS], seen[NWRITERS] = {0};
	uint64_t swept_before = atomic_load(&swept), swept_seen = 0;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	for (int w = 0; w < NWRITERS; w++)
		before[w] = atomic_load(&generation[w]);
	CHECK_OK(flow_scan_open(db, &spec, &scan));
	st = flow_scan_next(scan, 0, &vec);
	for (uint32_t i = 0; st == FLOW_OK && i < vec->nrows; i++)
	{
		int w = vec->key[i][0] - 'a';
		uint64_t g = generation_of(vec, i);

		if (vec->key[i][0] == 's')
		{
			CHECK(swept_seen == 0 || swept_seen == g);
			CHECK(g > swept_before); /* a returned delete is seen */
			swept_seen = g;
			continue;
		}
		CHECK(seen[w] == 0 || seen[w] == g); /* a batch is seen whole */
		seen[w] = g;
	}
	CHECK(st == FLOW_OK || st == FLOW_END);
	CHECK(st == FLOW_END || vec->nrows % NROWS == 0);
	for (int w = 0; w < NWRITERS; w++)
	{
		CHECK(seen[w] >= before[w]); /* a returned write is seen */
		CHECK(seen[w] >= last[w]);
		last[w] = seen[w];
	}
	flow_scan_close(scan);
	atomic_fetch_add(&scans, 1);
}

static void
read_one(FlowDb *db, uint64_t *last, bool latest)
{
	FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	if (latest)
		st = flow_get_latest(db, &spec, "a007", 4, &scan, &vec);
	else
		st = flow_get(db, &spec, "a007", 4, 0, &scan, &vec);
	if (st == FLOW_NOTFOUND)
	{
		CHECK(last[0] == 0);
		return;
	}
	CHECK_OK(st);
	CHECK(generation_of(vec, 0) >= last[0]);
	flow_scan_close(scan);
	atomic_fetch_add(&gets, 1);
}

static void *
reader(void *arg)
{
	FlowDb *db = attach();
	uint64_t last[NWRITERS] = {0};

	(void) arg;
	for (int i = 0; !stop; i++)
	{
		read_all(db, last, i % 2);
		read_one(db, last, i % 3 == 0);
		read_mortals(db);
	}
	flow_detach(db);
	return NULL;
}

static void *
flusher(void *arg)
{
	FlowDb *db = attach();
	FlowStatus st;

	(void) arg;
	while (!stop)
	{
		st = flow_flush_step(db);
		CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_BUSY);
		flushes += st == FLOW_OK;
		st = flow_resolve_step(db);
		CHECK(st == FLOW_END || st == FLOW_BUSY);
		t.env->pause(t.env);
	}
	flow_detach(db);
	return NULL;
}

/* By hand and in steps, of one store and of all; handles that go while a
 * merge is under way. */
static void *
merger(void *arg)
{
	FlowDb *db = attach();

	(void) arg;
	for (int i = 0; !stop; i++)
	{
		FlowMaintenance report;
		uint64_t n = 0;
		bool ran = false;
		FlowStatus st;

		if (i % 4 == 0)
			st = flow_compact(db, i % 8 ? store : 0, &ran);
		else if (i % 16 == 1)
			st = flow_gc(db, &n);
		else
		{
			st = flow_maintenance_step(db, 200, &report);
			if (st == FLOW_OK)
			{
				n = report.purged;
				ran = report.merges > 0;
			}
		}
		CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_BUSY);
		atomic_fetch_add(&merges, ran);
		atomic_fetch_add(&purged, n);
		if (i % 50 == 49)
		{
			flow_detach(db);
			db = attach();
		}
		if (!ran)
			t.env->pause(t.env);
	}
	flow_detach(db);
	return NULL;
}

/* A result >= P proves that all before P is in SSTables. */
static void *
holder(void *arg)
{
	FlowDb *db = attach();

	(void) arg;
	while (!stop)
	{
		uint64_t pos = t.env->log_bound(t.env);
		FlowStats stats;
		FlowStoreStats store_stats;

		if (flow_oldest_unflushed(t.sh) >= pos)
		{
			flow_stats(db, &stats);
			CHECK(stats.flushed_pos >= pos);
			proofs++;
		}
		else if (atomic_load(&scans) % 8 == 0)
			CHECK_OK(flow_freeze(db, pos));
		flow_store_stats(db, store, &store_stats);
		t.env->pause(t.env);
	}
	flow_detach(db);
	return NULL;
}

static void
start_all(pthread_t *thread, int *np)
{
	static uint32_t no[NWRITERS];
	static void *(*const others[])(void *) = {reader,  reader,	flusher,
											  flusher, sweeper, mortal_writer,
											  merger,  merger,	holder};

	for (uint32_t w = 0; w < NWRITERS; w++)
	{
		no[w] = w;
		generation[w] = 0;
		CHECK(pthread_create(&thread[(*np)++], NULL, writer, &no[w]) == 0);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		CHECK(pthread_create(&thread[(*np)++], NULL, others[i], NULL) == 0);
}

/* The last generation of each writer, and nothing of the sweeper. */
static void
check_last(void)
{
	uint64_t last[NWRITERS] = {0};
	FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};

	read_all(t.db, last, false);
	for (int w = 0; w < NWRITERS; w++)
		CHECK(last[w] == generation[w]);
	spec.key_lo = (FlowKeyBound){FLOW_INCLUSIVE, "s", 1};
	CHECK_TEXT(test_rows(&t, &spec), "");
}

static void
run(int seconds)
{
	pthread_t thread[16];
	int n = 0;

	stop = false;
	swept = 0;
	store = test_store(&t, "s");
	mortal = test_store(&t, "mortal");
	start_all(thread, &n);
	sleep((unsigned) seconds);
	atomic_store(&stop, true);
	while (n > 0)
		CHECK(pthread_join(thread[--n], NULL) == 0);
	check_last();
	CHECK_OK(flow_flush(t.db, NULL));
	check_last();
	printf("# %" PRIu64 " and %" PRIu64 " batches, %" PRIu64 " scans, %" PRIu64
		   " gets, %" PRIu64 " flushes, %" PRIu64 " proofs, %" PRIu64
		   " merges, %" PRIu64 " sweeps, %" PRIu64 " purged\n",
		   generation[0], generation[1], scans, gets, flushes, proofs, merges,
		   sweeps, purged);
}

static void
run_counted(int seconds)
{
	test_open(&t, 16u << 20, 1u << 20);
	flow_env_posix_set_log(t.env, NULL, NULL);
	run(seconds);
	test_unload(&t);
	test_load(&t);
	check_last();
	test_close(&t);
	check_passed("threads");
}

static void
run_logged(int seconds)
{
	char command[128];

	memset(&t, 0, sizeof(t));
	t.opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t.opts.memtable_bytes = 1u << 20;
	t.opts.block_bytes = 1024;
	t.opts.wal_segment_bytes = 1u << 20;
	t.opts.create = true;
	CHECK_OK(flow_env_posix_create(16u << 20, &t.env));
	strcpy(t.dir, "tmp_db.XXXXXX");
	CHECK(mkdtemp(t.dir) != NULL);
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	t.sh = flow_shared(t.db);
	run(seconds);
	CHECK_OK(close_free(t.db));
	t.opts.create = false;
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	t.sh = flow_shared(t.db);
	check_last();
	CHECK_OK(close_free(t.db));
	flow_env_posix_free(t.env);
	snprintf(command, sizeof(command), "rm -rf ./%s", t.dir);
	CHECK(system(command) == 0);
	check_passed("threads, with the file log");
}

int
main(int argc, char **argv)
{
	int seconds = argc > 2 ? atoi(argv[2]) : DEFAULT_SECONDS;

	check_seed(argc, argv);
	run_counted((seconds + 1) / 2);
	run_logged((seconds + 1) / 2);
	return 0;
}
