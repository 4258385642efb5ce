/*-------------------------------------------------------------------------
 * open_test.c
 *	  A database with its own log: open, close, crash, recover.
 *
 * A crash of the process is a copy of the directory, a crash of the machine
 * a copy of what the lying disk has; the copy is opened in an environment of
 * its own, while the original goes on.
 *-------------------------------------------------------------------------
 */
#include "lyingdisk.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../db.h"
#include "../region.h"
#include "../version.h"

#define REGION_BYTES ((size_t) 8 << 20)
#define COPY "tmp_open_copy"
#define BATCH_ROWS 3

static CheckRandom random_state;

static FlowEnv *
new_env(void)
{
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	flow_env_posix_set_segment_bytes(env, 16384);
	return env;
}

/* A database of its own directory, with a store "s" of id 1. */
static void
start(TestDb *t, const char *dir)
{
	uint32_t id;

	memset(t, 0, sizeof(*t));
	t->env = new_env();
	t->opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t->opts.memtable_bytes = 1 << 20;
	t->opts.create_missing = true;
	strcpy(t->dir, dir);
	file_shell("rm -rf ./%s", dir);
	CHECK_OK(flow_open(t->env, t->dir, &t->opts, &t->db));
	CHECK_OK(flow_store_define(t->db, "s", "blob", 4, &id));
	CHECK(id == 1);
	t->sh = flow_shared(t->db);
}

static void
check_region_empty(FlowEnv *env)
{
	uint64_t total, used, meta_total, meta_used;

	flow_region_usage(env, env->region, &total, &used, &meta_total, &meta_used);
	CHECK(used == 0 && meta_used == 0);
}

static void
stop(TestDb *t)
{
	flow_free(t->db);
	check_region_empty(t->env);
	flow_env_posix_free(t->env);
	file_shell("rm -rf ./%s", t->dir);
}

/* The process dies: c is what the next one finds. */
static void
open_copy(TestDb *c, const TestDb *t)
{
	*c = (TestDb){.env = new_env(), .opts = t->opts};
	c->opts.create_missing = false;
	strcpy(c->dir, COPY);
	CHECK_OK(flow_open(c->env, c->dir, &c->opts, &c->db));
	c->sh = flow_shared(c->db);
}

static void
crash(TestDb *c, const TestDb *t)
{
	file_shell("rm -rf ./%s && cp -a ./%s ./%s", COPY, t->dir, COPY);
	open_copy(c, t);
}

/* ---------------------------------------------------------------- batches */

/* Batch i: three rows of its own, and one that each batch replaces. */
static FlowStatus
put_batch(FlowDb *db, uint32_t i, FlowSync sync)
{
	FlowRecord r[BATCH_ROWS + 1];
	FlowWriteOptions wo = {.sync = sync};
	char key[16], value[600];
	size_t len = 10 + i * 37 % 500;

	snprintf(key, sizeof(key), "b%06u", i);
	memset(value, '.', sizeof(value));
	memcpy(value, key, 7);
	for (int j = 0; j < BATCH_ROWS; j++)
		r[j] = (FlowRecord){key, 7, j, FLOW_NEVER, value, len};
	r[BATCH_ROWS] = (FlowRecord){"last", 4, 1, FLOW_NEVER, value, 7};
	return flow_write_batch(db, 1, r, BATCH_ROWS + 1, &wo);
}

/* The batches are 0 .. n - 1, each whole; n.  reserve: rows at most. */
static uint32_t
count_batches(FlowDb *db)
{
	FlowScan *scan;
	const FlowVector *vec;
	uint32_t rows = 0;
	char last[8] = "";
	char want[8] = "";
	FlowStatus st;

	CHECK_OK(flow_scan_open(
		db, &(FlowScanSpec){.store_id = 1, .now = INT64_MIN}, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			if (vec->key_bytes[i] == 4)
			{
				memcpy(last, vec->value[i], 7);
				continue;
			}
			snprintf(want, sizeof(want), "b%06u", rows / BATCH_ROWS % 1000000);
			CHECK(memcmp(vec->key[i], want, 7) == 0);
			CHECK(vec->ts[i] == rows % BATCH_ROWS);
			CHECK(memcmp(vec->value[i], want, 7) == 0);
			CHECK(vec->value_bytes[i] == 10 + rows / BATCH_ROWS * 37 % 500);
			rows++;
		}
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	CHECK(rows % BATCH_ROWS == 0);
	CHECK(strcmp(last, want) == 0);
	return rows / BATCH_ROWS;
}

/* --------------------------------------------------------- open and close */

static void
test_rules(void)
{
	FlowEnv *env = new_env();
	FlowEnv *other = new_env();
	FlowOptions o = FLOW_OPTIONS_DEFAULT;
	FlowDb *db, *db2;
	char pid[32];
	int status;
	pid_t child;

	file_shell("rm -rf tmp_rules");
	CHECK_STATUS(flow_open(env, "tmp_rules", &o, &db), FLOW_NOTFOUND);
	CHECK(strstr(flow_last_error()->message, "does not exist"));
	CHECK(access("tmp_rules", F_OK) != 0);
	CHECK_STATUS(flow_open(env, "", &o, &db), FLOW_INVALID);
	o.sync_mode = FLOW_SYNC_HOST;
	CHECK_STATUS(flow_open(env, "tmp_rules", &o, &db), FLOW_INVALID);
	o.sync_mode = FLOW_SYNC_ALWAYS;
	o.create_missing = true;
	CHECK_OK(flow_open(env, "tmp_rules", &o, &db));

	/* C05: nobody else, whoever it is */
	snprintf(pid, sizeof(pid), "process %ld", (long) getpid());
	CHECK_STATUS(flow_open(env, "tmp_rules", &o, &db2), FLOW_BUSY);
	CHECK_STATUS(flow_open(other, "tmp_rules", &o, &db2), FLOW_BUSY);
	CHECK(db2 == NULL && strstr(flow_last_error()->message, pid));
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(flow_open(other, "tmp_rules", &o, &db2) == FLOW_BUSY ? 0 : 1);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	/* an environment has one database open */
	CHECK_STATUS(flow_open(env, "tmp_rules2", &o, &db2), FLOW_BUSY);
	file_shell("rm -rf tmp_rules2");

	CHECK_OK(flow_close(db));
	CHECK_OK(flow_open(other, "tmp_rules", &o, &db2));
	CHECK_OK(flow_close(db2));
	flow_free(db2);
	flow_free(db);
	o.create = true;
	CHECK_STATUS(flow_open(env, "tmp_rules", &o, &db), FLOW_EXISTS);
	o.create = o.create_missing = false;
	CHECK_OK(flow_open(env, "tmp_rules", &o, &db));
	flow_free(db);
	flow_free(NULL);

	/* remains of a database are not taken for an empty directory */
	file_shell("mkdir -p tmp_rules/SST && rm tmp_rules/INDEX/CURRENT && "
			   "touch tmp_rules/SST/0000000000000001.sst");
	o.create_missing = true;
	CHECK_STATUS(flow_open(env, "tmp_rules", &o, &db), FLOW_CORRUPT);
	CHECK(access("tmp_rules/SST/0000000000000001.sst", F_OK) == 0);
	check_region_empty(env);
	flow_env_posix_free(env);
	flow_env_posix_free(other);
	file_shell("rm -rf tmp_rules");
	check_passed("open and its lock");
}

/* X16, C06, C07, Q08. */
static void
test_closed(void)
{
	TestDb t;
	FlowDb *reader;
	FlowStats stats;
	uint32_t id;

	start(&t, "tmp_close");
	for (uint32_t i = 0; i < 20; i++)
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &reader));

	/* a flush that fails leaves it open */
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	CHECK_STATUS(flow_close(t.db), FLOW_IOERR);
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, 0, 0);
	CHECK_OK(put_batch(t.db, 20, FLOW_SYNC_DEFAULT));
	CHECK_OK(flow_close(t.db));
	CHECK_OK(flow_close(t.db));
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	CHECK_STATUS(put_batch(t.db, 21, FLOW_SYNC_DEFAULT), FLOW_INVALID);
	CHECK(strcmp(flow_last_error()->message, "database is closed") == 0);
	CHECK_STATUS(put_batch(reader, 21, FLOW_SYNC_NO), FLOW_INVALID);
	CHECK_STATUS(flow_store_define(t.db, "new", NULL, 0, &id), FLOW_INVALID);
	CHECK(count_batches(t.db) == 21 && count_batches(reader) == 21);
	flow_stats(t.db, &stats);
	flow_detach(reader);
	flow_free(t.db);
	check_region_empty(t.env);

	/* nothing of the log was needed */
	file_shell("rm -rf tmp_close/WAL");
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	CHECK(count_batches(t.db) == 21);
	CHECK_OK(put_batch(t.db, 21, FLOW_SYNC_DEFAULT));
	CHECK(count_batches(t.db) == 22);
	stop(&t);
	check_passed("close");
}

/* The merge of another handle outlives the close, as far as to its end: what
 * it tidies up then must not be what the next opener has made meanwhile. */
static void
test_merge_at_close(void)
{
	TestDb t, next;
	FlowDb *merger;
	FlowMaintenance report;

	start(&t, "tmp_merge");
	for (uint32_t i = 0; i < 200; i++)
	{
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_NO));
		if (i % 50 == 49)
			CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &merger));
	do
		CHECK_OK(flow_maintenance_step(merger, 0, &report));
	while (report.rows_merged == 0);
	CHECK(report.pending);
	CHECK_OK(flow_close(t.db));
	next = (TestDb){.env = new_env(), .opts = t.opts};
	CHECK_OK(flow_open(next.env, t.dir, &next.opts, &next.db));
	for (uint32_t i = 200; i < 300; i++)
		CHECK_OK(put_batch(next.db, i, FLOW_SYNC_NO));
	CHECK_OK(flow_close(next.db));
	flow_detach(merger);
	flow_free(next.db);
	file_shell("rm -rf %s/WAL", t.dir); /* it is not needed */
	CHECK_OK(flow_open(next.env, t.dir, &next.opts, &next.db));
	CHECK(count_batches(next.db) == 300);
	flow_free(next.db);
	check_region_empty(next.env);
	flow_env_posix_free(next.env);
	stop(&t);
	check_passed("a merge when the database is closed");
}

/* Each call of open fails in turn; the next open finds all. */
static void
test_failing_open(void)
{
	static const FlowPosixOp ops[] = {
		FLOW_POSIX_OPEN,   FLOW_POSIX_READ,	  FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
		FLOW_POSIX_RENAME, FLOW_POSIX_UNLINK, FLOW_POSIX_ALLOC};
	TestDb t;

	start(&t, "tmp_failing");
	for (uint32_t i = 0; i < 40; i++)
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
	for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++)
	{
		FlowStatus st = FLOW_IOERR;

		for (uint64_t nth = 1; st != FLOW_OK; nth++)
		{
			TestDb c = {.env = new_env(), .opts = t.opts, .dir = COPY};

			file_shell("rm -rf ./%s && cp -a ./%s ./%s", COPY, t.dir, COPY);
			flow_env_posix_fail(c.env, ops[o], nth, 1, EIO);
			st = flow_open(c.env, c.dir, &c.opts, &c.db);
			flow_env_posix_fail(c.env, ops[o], 1, 0, 0);
			if (st != FLOW_OK)
			{
				check_region_empty(c.env);
				CHECK_OK(flow_open(c.env, c.dir, &c.opts, &c.db));
			}
			CHECK(count_batches(c.db) == 40);
			CHECK_OK(put_batch(c.db, 40, FLOW_SYNC_DEFAULT));
			CHECK(count_batches(c.db) == 41);
			stop(&c);
			if (st != FLOW_OK && nth > 500)
				CHECK(!"it never succeeds");
		}
	}
	stop(&t);
	check_passed("an open that fails");
}

/* --------------------------------------------------------------- recovery */

/* C02, X17, TW04: everything acknowledged comes back as it was. */
static void
test_recovery(void)
{
	TestDb t, c, d;
	FlowRecord r = test_record("gone", 1, "x");
	FlowScanSpec spec = {.store_id = 1, .now = INT64_MIN};
	uint32_t id;
	void *blob;
	size_t blob_bytes;

	start(&t, "tmp_recovery");
	test_put(&t, 1, "k", 1, "v1");
	CHECK_OK(flow_write_batch(t.db, 1, &r, 1, NULL));
	test_delete(&t, 1, "gone", 1);
	test_put_expiring(&t, 1, "e", 5, "v", 1000);
	crash(&c, &t);
	CHECK_TEXT(test_all(&c, 1), "e@5=v k@1=v1 ");
	CHECK(test_get(&c, &(FlowScanSpec){.store_id = 1, .now = 1000}, "e", 5) ==
		  NULL);
	CHECK_OK(flow_store_find(c.db, "s", &id, &blob, &blob_bytes));
	CHECK(id == 1 && blob_bytes == 4 && memcmp(blob, "blob", 4) == 0);
	c.env->free(c.env, blob);
	test_put(&c, 1, "k", 1, "v2");
	file_shell("mv ./%s ./%s.1", COPY, COPY);
	strcpy(c.dir, COPY ".1");
	crash(&d, &c);
	CHECK_TEXT(test_get(&d, &spec, "k", 1), "v2");
	/* and when some of it was flushed */
	CHECK_OK(flow_flush(d.db, NULL));
	test_put(&d, 1, "k", 1, "v3");
	file_shell("mv ./%s ./%s.2", COPY, COPY);
	strcpy(d.dir, COPY ".2");
	stop(&c);
	crash(&c, &d);
	CHECK_TEXT(test_get(&c, &spec, "k", 1), "v3");
	CHECK_OK(flow_store_define(c.db, "s2", NULL, 0, &id));
	CHECK(id == 2);
	stop(&c);
	stop(&d);
	stop(&t);
	check_passed("recovery");
}

/* X18, X19: the log cut anywhere; what comes later is not glued to it. */
static void
test_torn(void)
{
	TestDb t, c;
	FlowRecord long_key = {.key_bytes = 70000, .ts = 1, .value_bytes = 0};
	struct stat sb;
	char *key = calloc(1, 70000);

	start(&t, "tmp_torn");
	long_key.key = key;
	for (uint32_t i = 0; i < 8; i++)
	{
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
		CHECK_STATUS(flow_write_batch(t.db, 1, &long_key, 1, NULL),
					 FLOW_INVALID);
	}
	free(key);
	CHECK(stat("tmp_torn/WAL/0000000000000000.wal", &sb) == 0);
	for (int round = 0; round < 40; round++)
	{
		off_t at = 64 + (off_t) check_below(&random_state, 4000);
		uint32_t n;
		FlowStatus st;

		file_shell("rm -rf ./%s && cp -a ./%s ./%s", COPY, t.dir, COPY);
		CHECK(truncate(COPY "/WAL/0000000000000000.wal", at) == 0);
		c = (TestDb){.env = new_env(), .opts = t.opts, .dir = COPY};
		st = flow_open(c.env, c.dir, &c.opts, &c.db);
		CHECK_OK(st);
		if (flow_store_find(c.db, "s", &n, NULL, NULL) == FLOW_NOTFOUND)
			CHECK_OK(flow_store_define(c.db, "s", NULL, 0, &n));
		n = count_batches(c.db);
		CHECK(n <= 8);
		CHECK_OK(put_batch(c.db, n, FLOW_SYNC_DEFAULT));
		file_shell("rm -rf ./%s.1 && mv ./%s ./%s.1", COPY, COPY, COPY);
		strcpy(c.dir, COPY ".1");
		{
			TestDb d;

			crash(&d, &c);
			CHECK(count_batches(d.db) == n + 1);
			stop(&d);
		}
		stop(&c);
	}
	stop(&t);
	check_passed("torn logs");
}

/* D08: a machine that forgets what was not synced. */
static void
test_power(FlowSyncMode mode)
{
	TestDb t;
	uint32_t acked = 0, synced = 0;

	start(&t, "tmp_power");
	CHECK_OK(flow_close(t.db));
	flow_free(t.db);
	t.opts.sync_mode = mode;
	t.opts.sync_interval_ms = 60000;
	disk_begin(&t);
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	for (int round = 0; round < 12; round++)
	{
		uint32_t n = 1 + (uint32_t) check_below(&random_state, 15);
		TestDb c;

		for (uint32_t i = 0; i < n; i++, acked++)
		{
			uint64_t dice = check_below(&random_state, 6);
			FlowSync sync = dice == 0	? FLOW_SYNC_NO
							: dice == 1 ? FLOW_SYNC_YES
										: FLOW_SYNC_DEFAULT;

			CHECK_OK(put_batch(t.db, acked, sync));
			if (sync == FLOW_SYNC_YES ||
				(sync == FLOW_SYNC_DEFAULT && mode == FLOW_SYNC_ALWAYS))
				synced = acked + 1;
		}
		if (round % 4 == 3)
		{
			CHECK_OK(flow_flush(t.db, NULL));
			synced = acked;
		}
		CHECK(count_batches(t.db) == acked);
		disk_copy_durable(&t, COPY);
		open_copy(&c, &t);
		n = count_batches(c.db);
		CHECK(n >= synced && n <= acked);
		CHECK_OK(put_batch(c.db, n, FLOW_SYNC_YES));
		CHECK(count_batches(c.db) == n + 1);
		stop(&c);
	}
	flow_free(t.db);
	disk_end(&t);
	flow_env_posix_free(t.env);
	file_shell("rm -rf ./%s", t.dir);
	check_passed(mode == FLOW_SYNC_ALWAYS ? "power, always"
										  : "power, by interval");
}

/* ---------------------------------------------------------------- failures */

/* W30, D12: a failed sync: error, not seen, read-only, all or nothing. */
static void
test_failed_sync(FlowPosixOp op)
{
	TestDb t, c;
	uint32_t n;
	FlowFlushReport report;

	start(&t, "tmp_failed");
	for (uint32_t i = 0; i < 5; i++)
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
	flow_env_posix_fail(t.env, op, 1, 1, EIO);
	CHECK_STATUS(put_batch(t.db, 5, FLOW_SYNC_DEFAULT), FLOW_IOERR);
	CHECK(count_batches(t.db) == 5);
	CHECK_STATUS(put_batch(t.db, 5, FLOW_SYNC_NO), FLOW_PANIC);
	CHECK(strstr(flow_last_error()->message, "could not"));
	CHECK(count_batches(t.db) == 5);
	CHECK_STATUS(flow_flush(t.db, &report), FLOW_PANIC);
	CHECK_STATUS(flow_close(t.db), FLOW_PANIC);
	CHECK(count_batches(t.db) == 5);
	crash(&c, &t);
	n = count_batches(c.db);
	CHECK(n == 5 || n == 6);
	CHECK_OK(put_batch(c.db, n, FLOW_SYNC_DEFAULT));
	stop(&c);
	stop(&t);
	check_passed("a failed write of the log");
}

/* X20: a flush that fails keeps its rows, and later ones lose none. */
static void
test_failed_flush(void)
{
	TestDb t, c;

	start(&t, "tmp_failed_flush");
	CHECK_OK(put_batch(t.db, 0, FLOW_SYNC_DEFAULT));
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, 1, EIO);
	CHECK_STATUS(flow_flush(t.db, NULL), FLOW_IOERR);
	CHECK_OK(put_batch(t.db, 1, FLOW_SYNC_DEFAULT));
	crash(&c, &t);
	CHECK(count_batches(c.db) == 2);
	stop(&c);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(count_batches(t.db) == 2);
	crash(&c, &t);
	CHECK(count_batches(c.db) == 2);
	stop(&c);
	stop(&t);
	check_passed("a failed flush");
}

/* -------------------------------------------------------------- visibility */

typedef struct Hold
{
	_Atomic bool armed, inside, go;
} Hold;

static FlowStatus
hold_written(void *arg, const char *name)
{
	Hold *h = arg;

	if (strcmp(name, "wal-written") != 0 || !atomic_exchange(&h->armed, false))
		return FLOW_OK;
	atomic_store(&h->inside, true);
	while (!atomic_load(&h->go))
		usleep(100);
	return FLOW_OK;
}

typedef struct OneWrite
{
	TestDb *t;
	uint32_t i;
	FlowSync sync;
	_Atomic bool done;
	pthread_t thread;
} OneWrite;

static void *
write_one(void *arg)
{
	OneWrite *w = arg;
	FlowDb *db;

	CHECK_OK(flow_attach(w->t->env, w->t->sh, w->t->dir, &db));
	CHECK_OK(put_batch(db, w->i, w->sync));
	atomic_store(&w->done, true);
	flow_detach(db);
	return NULL;
}

/* D07, W30: seen when it is durable, a later one not before an earlier one. */
static void
test_visibility(void)
{
	TestDb t;
	Hold hold = {false};
	OneWrite a = {&t, 1, FLOW_SYNC_YES, false, 0};
	OneWrite b = {&t, 2, FLOW_SYNC_NO, false, 0};

	start(&t, "tmp_visible");
	CHECK_OK(put_batch(t.db, 0, FLOW_SYNC_DEFAULT));
	flow_env_posix_set_point(t.env, hold_written, &hold);
	atomic_store(&hold.armed, true);
	CHECK(pthread_create(&a.thread, NULL, write_one, &a) == 0);
	while (!atomic_load(&hold.inside))
		usleep(100);
	CHECK(count_batches(t.db) == 1);
	CHECK(pthread_create(&b.thread, NULL, write_one, &b) == 0);
	usleep(20000);
	CHECK(!atomic_load(&a.done) && !atomic_load(&b.done));
	CHECK(count_batches(t.db) == 1);
	atomic_store(&hold.go, true);
	CHECK(pthread_join(a.thread, NULL) == 0);
	CHECK(pthread_join(b.thread, NULL) == 0);
	CHECK(count_batches(t.db) == 3);
	stop(&t);
	check_passed("visible when durable");
}

#define WRITERS 8
#define PER_WRITER 60

static void *
write_many(void *arg)
{
	OneWrite *w = arg;
	FlowDb *db;
	FlowScanSpec spec = {.store_id = 1, .now = INT64_MIN};

	CHECK_OK(flow_attach(w->t->env, w->t->sh, w->t->dir, &db));
	for (int i = 0; i < PER_WRITER; i++)
	{
		char key[16];
		FlowRecord r;
		FlowWriteOptions wo = {.sync = i % 2 ? FLOW_SYNC_NO : FLOW_SYNC_YES};

		snprintf(key, sizeof(key), "w%u", w->i);
		r = test_record(key, i, key);
		CHECK_OK(flow_write_batch(db, 1, &r, 1, &wo));
		CHECK_TEXT(test_get(&(TestDb){.db = db}, &spec, key, i), key);
		if (i % 20 == 19)
			CHECK_OK(flow_flush(db, NULL));
	}
	flow_detach(db);
	return NULL;
}

/* D06, D07: what was written is read by its writer at once. */
static void
test_threads(void)
{
	TestDb t, c;
	OneWrite w[WRITERS];

	start(&t, "tmp_threads");
	for (uint32_t i = 0; i < WRITERS; i++)
	{
		w[i] = (OneWrite){.t = &t, .i = i};
		CHECK(pthread_create(&w[i].thread, NULL, write_many, &w[i]) == 0);
	}
	for (uint32_t i = 0; i < WRITERS; i++)
		CHECK(pthread_join(w[i].thread, NULL) == 0);
	crash(&c, &t);
	for (uint32_t i = 0; i < WRITERS; i++)
	{
		char key[16];

		snprintf(key, sizeof(key), "w%u", i);
		for (int j = 0; j < PER_WRITER; j++)
			CHECK_TEXT(
				test_get(&c, &(FlowScanSpec){.store_id = 1, .now = INT64_MIN},
						 key, j),
				key);
	}
	stop(&c);
	stop(&t);
	check_passed("threads");
}

/* ---------------------------------------------------- close under others */

static void *
close_it(void *arg)
{
	CHECK_OK(flow_close(((TestDb *) arg)->db));
	return NULL;
}

/* A writer that was let in before a close finds its log still there. */
static void
test_close_admitted(void)
{
	TestDb t;
	FlowDb *other;
	pthread_t thread;

	start(&t, "tmp_close_admitted");
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &other));
	CHECK_OK(t.env->log_admit(t.env, other, 100, FLOW_SYNC_DEFAULT));
	CHECK(pthread_create(&thread, NULL, close_it, &t) == 0);
	while (!atomic_load(&t.sh->closed))
		usleep(100);
	usleep(20000);
	t.env->log_leave(t.env, other);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_STATUS(put_batch(other, 0, FLOW_SYNC_DEFAULT), FLOW_INVALID);
	flow_detach(other);
	stop(&t);
	check_passed("close under a writer");
}

/* Batches, an SSTable for each. */
static void
put_sstables(FlowDb *db, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
	{
		CHECK_OK(put_batch(db, i, FLOW_SYNC_DEFAULT));
		CHECK_OK(flow_flush(db, NULL));
	}
}

/* The directory is another's after a close: a merge of this life, given up
 * later, must not remove what stands there under the ids of its outputs. */
static void
test_close_merging(void)
{
	TestDb t, next;
	FlowDb *other;
	FlowMaintenance report;
	char path[FLOW_PATH_BYTES];

	start(&t, "tmp_close_merging");
	put_sstables(t.db, 0, 8);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &other));
	flowi_version_path(t.dir, 9, path);
	while (access(path, F_OK) != 0) /* until an output is there */
	{
		CHECK_OK(flow_maintenance_step(other, 0, &report));
		CHECK(report.pending);
	}
	CHECK_OK(flow_close(t.db));
	next = (TestDb){.env = new_env(), .opts = t.opts};
	CHECK_OK(flow_open(next.env, t.dir, &next.opts, &next.db));
	put_sstables(next.db, 8, 3);
	flow_detach(other);
	CHECK(access(path, F_OK) == 0);
	CHECK_OK(flow_close(next.db));
	flow_free(next.db);
	CHECK_OK(flow_open(next.env, t.dir, &next.opts, &next.db));
	CHECK(count_batches(next.db) == 11);
	flow_free(next.db);
	flow_env_posix_free(next.env);
	stop(&t);
	check_passed("close under a merge");
}

static FlowStatus
hold_merge(void *arg, const char *name)
{
	Hold *h = arg;

	if (strcmp(name, "merge-begin") != 0)
		return FLOW_OK;
	atomic_store(&h->inside, true);
	while (!atomic_load(&h->go))
		usleep(100);
	return FLOW_OK;
}

static void *
compact_it(void *arg)
{
	TestDb *t = arg;
	FlowDb *db;
	bool ran;

	CHECK_OK(flow_attach(t->env, t->sh, t->dir, &db));
	CHECK_STATUS(flow_compact(db, 1, &ran), FLOW_INVALID);
	CHECK(!ran);
	flow_detach(db);
	return NULL;
}

/* A merge by hand ends, too, when the database is closed meanwhile. */
static void
test_close_compacting(void)
{
	TestDb t;
	Hold hold = {false};
	pthread_t thread;

	start(&t, "tmp_close_compacting");
	put_sstables(t.db, 0, 8);
	flow_env_posix_set_point(t.env, hold_merge, &hold);
	CHECK(pthread_create(&thread, NULL, compact_it, &t) == 0);
	while (!atomic_load(&hold.inside))
		usleep(100);
	CHECK_OK(flow_close(t.db));
	atomic_store(&hold.go, true);
	CHECK(pthread_join(thread, NULL) == 0);
	stop(&t);
	check_passed("close under a compaction");
}

/* ----------------------------------------------------------- backpressure */

/* D10: 5000 rows of 4 KiB through memtables of 1 MiB. */
static void
test_backpressure(void)
{
	TestDb t;
	char value[4096];
	FlowStats stats;
	uint64_t rows = 0;
	FlowScan *scan;
	const FlowVector *vec;
	FlowRecord r = {"k", 1, 0, FLOW_NEVER, value, sizeof(value)};
	FlowWriteOptions wo = {.sync = FLOW_SYNC_NO};

	start(&t, "tmp_pressure");
	for (uint32_t limit = 0; limit < 2; limit++)
	{
		flow_free(t.db);
		t.opts.max_frozen = 1;
		t.opts.hard_limit_bytes = limit ? 600000 : 0;
		CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
		for (int i = 0; i < 2500; i++)
		{
			for (size_t j = 0; j < sizeof(value); j++)
				value[j] = (char) check_random(&random_state);
			r.ts = (int64_t) limit * 2500 + i;
			CHECK_OK(flow_write_batch(t.db, 1, &r, 1, &wo));
			flow_stats(t.db, &stats);
			CHECK(stats.frozen_memtables <= 1);
			CHECK(!limit || stats.memtable_bytes < 700000);
		}
		CHECK(stats.sstables >= (limit ? 15 : 7));
	}
	CHECK_OK(flow_scan_open(
		t.db, &(FlowScanSpec){.store_id = 1, .now = INT64_MIN}, &scan));
	while (flow_scan_next(scan, 0, &vec) == FLOW_OK)
		rows += vec->nrows;
	flow_scan_close(scan);
	CHECK(rows == 5000);
	/* what was flushed is not kept in the log */
	CHECK(t.env->log_bytes(t.env) < 4 << 20);
	stop(&t);
	check_passed("backpressure");
}

/* An open that finds no write buffers for what the log has says so. */
static void
test_no_buffers(void)
{
	TestDb t, c = {.dir = COPY};
	void *chunk[64];
	uint32_t n = 0;

	start(&t, "tmp_no_buffers");
	CHECK_OK(put_batch(t.db, 0, FLOW_SYNC_DEFAULT));
	file_shell("rm -rf ./%s && cp -a ./%s ./%s", COPY, t.dir, COPY);
	c.env = new_env();
	c.opts = t.opts;
	while ((chunk[n] = flowi_region_chunks_alloc(c.env, 1)) != NULL)
		CHECK(++n < 64);
	CHECK(n > 0);
	CHECK_STATUS(flow_open(c.env, c.dir, &c.opts, &c.db), FLOW_BUSY);
	while (n > 0)
		flowi_region_chunks_free(c.env, chunk[--n], 1);
	CHECK_OK(flow_open(c.env, c.dir, &c.opts, &c.db));
	CHECK(count_batches(c.db) == 1);
	stop(&c);
	stop(&t);
	check_passed("an open without write buffers");
}

/* ------------------------------------------------------- background thread */

static void
test_background(void)
{
	TestDb t, c;
	FlowStats stats;
	FlowError error;
	uint64_t failures;

	start(&t, "tmp_background");
	CHECK_OK(flow_close(t.db));
	flow_free(t.db);
	t.opts.auto_background = true;
	t.opts.flush_interval_ms = 20;
	t.opts.compaction_interval_ms = 20;
	t.opts.sync_mode = FLOW_SYNC_INTERVAL;
	t.opts.sync_interval_ms = 10;
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	for (uint32_t i = 0; i < 50; i++)
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
	do
	{
		usleep(2000);
		flow_stats(t.db, &stats);
	} while (stats.memtable_records > 0 || stats.flushes == 0);
	CHECK(count_batches(t.db) == 50);

	/* C08: an error does not end it */
	failures = flow_env_posix_thread_failures(t.env, NULL);
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, 3, EIO);
	CHECK_OK(put_batch(t.db, 50, FLOW_SYNC_DEFAULT));
	do
	{
		usleep(2000);
		flow_stats(t.db, &stats);
	} while (stats.memtable_records > 0);
	CHECK(flow_env_posix_thread_failures(t.env, &error) >= failures + 3);
	CHECK(error.status == FLOW_IOERR || failures > 0);

	CHECK_OK(put_batch(t.db, 51, FLOW_SYNC_DEFAULT));
	crash(&c, &t); /* at whatever it is */
	CHECK(count_batches(c.db) == 52);
	stop(&c);
	CHECK_OK(flow_close(t.db));
	CHECK(count_batches(t.db) == 52);
	stop(&t);
	check_passed("background thread");
}

/* ------------------------------------------------------------------- kill */

/* Write batches from first on; tell each that is acknowledged. */
static void
child_main(const char *dir, uint32_t first, int fd, uint64_t seed)
{
	CheckRandom r = {seed};
	TestDb t = {.env = new_env(), .opts = (FlowOptions) FLOW_OPTIONS_DEFAULT};

	t.opts.memtable_bytes = 1 << 20;
	t.opts.auto_background = true;
	t.opts.flush_interval_ms = 5;
	CHECK_OK(flow_open(t.env, dir, &t.opts, &t.db));
	for (uint32_t i = first;; i++)
	{
		CHECK_OK(put_batch(t.db, i,
						   check_below(&r, 4) ? FLOW_SYNC_NO : FLOW_SYNC_YES));
		CHECK(write(fd, &i, sizeof(i)) == sizeof(i));
	}
}

static void
test_kill(void)
{
	TestDb t;
	uint32_t n = 0;
	uint32_t killed = 0;

	start(&t, "tmp_kill");
	CHECK_OK(flow_close(t.db));
	flow_free(t.db);
	for (int round = 0; round < 25; round++)
	{
		int fds[2];
		uint32_t acked = n, i;
		pid_t child;

		CHECK(pipe(fds) == 0);
		CHECK(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
		fflush(stdout);
		child = fork();
		CHECK(child >= 0);
		if (child == 0)
		{
			close(fds[0]);
			child_main(t.dir, n, fds[1], check_random(&random_state));
			_exit(1);
		}
		close(fds[1]);
		CHECK(read(fds[0], &i, sizeof(i)) == sizeof(i));
		acked = i + 1;
		usleep((useconds_t) check_below(&random_state, 60000));
		CHECK(kill(child, SIGKILL) == 0);
		CHECK(waitpid(child, NULL, 0) == child);
		while (read(fds[0], &i, sizeof(i)) == sizeof(i))
			acked = i + 1;
		close(fds[0]);
		CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
		n = count_batches(t.db);
		CHECK(n == acked || n == acked + 1);
		killed += acked;
		if (round % 3 == 0)
		{
			CHECK_OK(put_batch(t.db, n++, FLOW_SYNC_YES));
			CHECK_OK(flow_close(t.db));
		}
		flow_free(t.db);
	}
	t.db = NULL;
	stop(&t);
	CHECK(killed > 100);
	check_passed("kill -9");
}

/* ---------------------------------------------------------------- salvage */

static int
run_salvage(const char *arg, const char *dir)
{
	char command[256];
	int rc;

	snprintf(command, sizeof(command),
			 "./flowdb_salvage %s %s >tmp_salvage.out 2>&1", arg, dir);
	rc = system(command);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void
check_output(const char *text)
{
	file_shell("grep -q -- '%s' tmp_salvage.out", text);
}

static void
test_salvage(void)
{
	TestDb t, c;
	FlowEnv *env;
	int fd;

	start(&t, "tmp_salvage");
	for (uint32_t i = 0; i < 40; i++)
		CHECK_OK(put_batch(t.db, i, FLOW_SYNC_DEFAULT));
	CHECK(run_salvage("", t.dir) == 2);
	check_output("in use by process");
	CHECK(run_salvage("--frob", t.dir) == 2);
	for (int cut = 0; cut < 2; cut++)
	{
		file_shell("rm -rf ./%s && cp -a ./%s ./%s", COPY, t.dir, COPY);
		CHECK(run_salvage("", COPY) == 0);
		check_output("records: 41");
		fd = open(COPY "/WAL/0000000000000000.wal", O_RDWR);
		CHECK(fd >= 0 && pwrite(fd, "damage", 6, 2000) == 6);
		close(fd);
		c = (TestDb){.env = new_env(), .opts = t.opts, .dir = COPY};
		CHECK_STATUS(flow_open(c.env, c.dir, &c.opts, &c.db), FLOW_CORRUPT);
		CHECK(strstr(flow_last_error()->message, "flowdb_salvage"));
		env = c.env;
		CHECK(run_salvage("", COPY) == 1);
		check_output("damage: 1 places");
		CHECK(run_salvage(cut ? "--cut" : "--skip", COPY) == 0);
		CHECK(access(COPY "/WAL/damaged-1/0000000000000000.wal", F_OK) == 0);
		check_output(cut ? "cutting the log" : "WARNING");
		CHECK_OK(flow_open(c.env, c.dir, &c.opts, &c.db));
		if (cut)
		{
			uint32_t n = count_batches(c.db);

			CHECK(n > 0 && n < 20);
			CHECK_OK(put_batch(c.db, n, FLOW_SYNC_DEFAULT));
			CHECK(count_batches(c.db) == n + 1);
		}
		else
			CHECK_TEXT(
				test_get(&c, &(FlowScanSpec){.store_id = 1, .now = INT64_MIN},
						 "last", 1),
				"b000039");
		stop(&c);
		(void) env;
	}
	file_shell("rm -f tmp_salvage.out");
	stop(&t);
	check_passed("salvage");
}

int
main(int argc, char **argv)
{
	random_state = check_seed(argc, argv);
	test_rules();
	test_closed();
	test_merge_at_close();
	test_failing_open();
	test_recovery();
	test_torn();
	test_power(FLOW_SYNC_ALWAYS);
	test_power(FLOW_SYNC_INTERVAL);
	test_failed_sync(FLOW_POSIX_SYNC);
	test_failed_sync(FLOW_POSIX_WRITE);
	test_failed_flush();
	test_visibility();
	test_threads();
	test_close_admitted();
	test_close_merging();
	test_close_compacting();
	test_backpressure();
	test_no_buffers();
	test_background();
	test_kill();
	test_salvage();
	return 0;
}
