/*-------------------------------------------------------------------------
 * thread_test.c
 *	  Writers, readers, flushers and a checkpoint holder at the same time,
 *	  each with a handle of its own.  Most telling under SANITIZE=thread.
 *
 * A writer writes its rows in batches, each batch one generation of all of
 * them.  A reader that gets all rows by one call must find every writer's
 * rows in one generation, and never an older one than before.
 *
 *	 thread_test [seed [seconds]]
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <time.h>

#include "dbtest.h"

#define NWRITERS 2
#define NREADERS 2
#define NROWS 50
#define DEFAULT_SECONDS 5

static TestDb t;
static uint32_t store;
static _Atomic bool stop;
static _Atomic uint64_t generation[NWRITERS]; /* returned from the write */
static _Atomic uint64_t scans, gets, flushes, proofs;

static FlowDb *
attach(void)
{
	FlowDb *db;

	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &db));
	return db;
}

static void *
writer(void *arg)
{
	uint32_t w = *(uint32_t *) arg;
	FlowDb *db = attach();
	char keys[NROWS][16];
	char value[128];
	FlowRecord r[NROWS];

	for (uint64_t g = 1; !stop; g++)
	{
		memset(value, 'v', sizeof(value));
		memcpy(value, &g, sizeof(g));
		for (int i = 0; i < NROWS; i++)
		{
			snprintf(keys[i], sizeof(keys[i]), "%c%03d", 'a' + (int) w, i);
			r[i] = test_record(keys[i], 0, NULL);
			r[i].value = value;
			r[i].value_bytes = sizeof(value);
		}
		CHECK_OK(flow_write_batch(db, store, r, NROWS));
		atomic_store(&generation[w], g);
	}
	flow_detach(db);
	return NULL;
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

int
main(int argc, char **argv)
{
	static uint32_t no[NWRITERS];
	pthread_t thread[16];
	int n = 0;
	uint64_t last[NWRITERS] = {0};
	int seconds = argc > 2 ? atoi(argv[2]) : DEFAULT_SECONDS;

	check_seed(argc, argv);
	test_open(&t, 16u << 20, 1u << 20);
	flow_env_posix_set_log(t.env, NULL, NULL);
	store = test_store(&t, "s");
	for (uint32_t w = 0; w < NWRITERS; w++)
	{
		no[w] = w;
		CHECK(pthread_create(&thread[n++], NULL, writer, &no[w]) == 0);
	}
	for (int i = 0; i < NREADERS; i++)
		CHECK(pthread_create(&thread[n++], NULL, reader, NULL) == 0);
	CHECK(pthread_create(&thread[n++], NULL, flusher, NULL) == 0);
	CHECK(pthread_create(&thread[n++], NULL, flusher, NULL) == 0);
	CHECK(pthread_create(&thread[n++], NULL, holder, NULL) == 0);
	sleep((unsigned) seconds);
	atomic_store(&stop, true);
	while (n > 0)
		CHECK(pthread_join(thread[--n], NULL) == 0);

	read_all(t.db, last, false);
	for (int w = 0; w < NWRITERS; w++)
		CHECK(last[w] == generation[w]);
	CHECK_OK(flow_flush(t.db));
	test_forget_log(&t);
	test_unload(&t);
	test_load(&t);
	read_all(t.db, last, false);
	for (int w = 0; w < NWRITERS; w++)
		CHECK(last[w] == generation[w]);
	test_close(&t);
	printf("# %" PRIu64 " and %" PRIu64 " batches, %" PRIu64 " scans, %" PRIu64
		   " gets, %" PRIu64 " flushes, %" PRIu64 " proofs\n",
		   generation[0], generation[1], scans, gets, flushes, proofs);
	check_passed("threads");
	return 0;
}
