/*-------------------------------------------------------------------------
 * db_test.c
 *	  A database from outside: create, load, stores, batches, lookups, crash
 *	  and redo; cases of the reference that others got wrong (X..).
 *-------------------------------------------------------------------------
 */
#include <errno.h>

#include "dbtest.h"

#include "../db.h"
#include "../version.h"

#define REGION_BYTES (16u << 20)
#define MEMTABLE_BYTES (4u << 20)

static FlowKeyBound
incl(const char *key)
{
	return (FlowKeyBound){FLOW_INCLUSIVE, key, strlen(key)};
}

static FlowKeyBound
excl(const char *key)
{
	return (FlowKeyBound){FLOW_EXCLUSIVE, key, strlen(key)};
}

static void
test_create(void)
{
	TestDb t;
	FlowDb *db;
	FlowDbShared *sh;
	FlowOptions opts = FLOW_OPTIONS_DEFAULT;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	CHECK_STATUS(flow_create(t.env, t.dir), FLOW_EXISTS);
	CHECK_STATUS(flow_load(t.env, "no/such/dir", &opts, &sh), FLOW_NOTFOUND);
	CHECK_STATUS(flow_open(t.env, "", &opts, &db), FLOW_INVALID);
	opts.create = true;
	CHECK_STATUS(flow_open(t.env, t.dir, &opts, &db), FLOW_EXISTS);
	opts.block_bytes = 0;
	CHECK_STATUS(flow_load(t.env, t.dir, &opts, &sh), FLOW_INVALID);
	test_close(&t);
	check_passed("create");
}

/*
 * A flow_create that failed is repeated: whatever the first one made, the
 * second makes it durable before it says OK or EXISTS.
 */
static FlowStatus (*real_sync_dir)(FlowEnv *env, const char *path);
static uint64_t dir_syncs, failing_sync;
static char synced[16][128];

static FlowStatus
note_sync_dir(FlowEnv *env, const char *path)
{
	if (++dir_syncs == failing_sync)
		return FLOW_IOERR;
	CHECK(dir_syncs < 16);
	snprintf(synced[dir_syncs], sizeof(synced[0]), "%s", path);
	return real_sync_dir(env, path);
}

static bool
was_synced(const char *path)
{
	for (uint64_t i = 1; i <= dir_syncs; i++)
		if (strcmp(synced[i], path) == 0)
			return true;
	return false;
}

static void
test_create_again(void)
{
	FlowEnv *env;
	FlowStatus st = FLOW_IOERR;
	int failed = 0;

	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	real_sync_dir = env->sync_dir;
	env->sync_dir = note_sync_dir;
	for (uint64_t at = 1; st == FLOW_IOERR; at++, failed++)
	{
		CHECK(system("rm -rf ./tmp_create && mkdir tmp_create") == 0);
		dir_syncs = 0;
		failing_sync = at;
		st = flow_create(env, "tmp_create/db");
		CHECK(st == FLOW_OK || st == FLOW_IOERR);
		failing_sync = 0;
		dir_syncs = 0;
		memset(synced, 0, sizeof(synced));
		if (st == FLOW_IOERR)
		{
			st = flow_create(env, "tmp_create/db");
			CHECK(st == FLOW_OK || st == FLOW_EXISTS);
			CHECK(was_synced("tmp_create") && was_synced("tmp_create/db"));
			CHECK(was_synced("tmp_create/db/INDEX"));
			st = FLOW_IOERR;
		}
	}
	CHECK(failed == 6); /* five directory syncs, and none */
	flow_env_posix_free(env);
	CHECK(system("rm -rf ./tmp_create") == 0);
	check_passed("create again after a failure");
}

static void
test_embedded(void)
{
	FlowEnv *env;
	FlowDb *db;
	FlowOptions opts = FLOW_OPTIONS_DEFAULT;
	FlowRecord r = test_record("k", 1, "v");
	uint32_t store;

	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	CHECK(system("rm -rf ./tmp_embedded") == 0);
	opts.create = true;
	CHECK_OK(flow_open(env, "tmp_embedded", &opts, &db));
	CHECK_OK(flow_store_define(db, "s", "blob", 4, &store));
	CHECK_OK(flow_write_batch(db, store, &r, 1, NULL));
	CHECK_OK(close_free(db));

	opts.create = false;
	CHECK_OK(flow_open(env, "tmp_embedded", &opts, &db));
	CHECK_OK(flow_store_find(db, "s", &store, NULL, NULL));
	CHECK_TEXT(test_all(&(TestDb){.db = db}, store), "k@1=v ");
	CHECK_OK(close_free(db));
	CHECK_OK(close_free(NULL));
	flow_env_posix_free(env);

	/* a new process: its log begins again, and must not reuse sequences */
	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	CHECK_OK(flow_open(env, "tmp_embedded", &opts, &db));
	r = test_record("k", 1, "new");
	CHECK_OK(flow_write_batch(db, store, &r, 1, NULL));
	CHECK_TEXT(test_all(&(TestDb){.db = db}, store), "k@1=new ");
	CHECK_OK(close_free(db));
	flow_env_posix_free(env);
	CHECK(system("rm -rf ./tmp_embedded") == 0);
	check_passed("open and close");
}

static void
check_blob(TestDb *t, const char *name, uint32_t id, const char *blob)
{
	uint32_t got_id;
	void *got;
	size_t got_bytes;

	CHECK_OK(flow_store_find(t->db, name, &got_id, &got, &got_bytes));
	CHECK(got_id == id);
	CHECK(got_bytes == strlen(blob) && memcmp(got, blob, got_bytes) == 0);
	t->env->free(t->env, got);
}

static void
test_stores(void)
{
	TestDb t;
	uint32_t a, b, again;
	uint64_t version;
	char long_name[300];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	memset(long_name, 'x', sizeof(long_name));
	long_name[256] = '\0';
	CHECK_STATUS(flow_store_define(t.db, "", NULL, 0, &a), FLOW_INVALID);
	CHECK_STATUS(flow_store_define(t.db, long_name, NULL, 0, &a), FLOW_INVALID);
	CHECK_STATUS(flow_store_define(t.db, "a", "x", FLOW_MAX_BLOB + 1, &a),
				 FLOW_INVALID);
	CHECK_STATUS(flow_store_find(t.db, "a", &a, NULL, NULL), FLOW_NOTFOUND);

	version = flow_store_version(t.db);
	CHECK_OK(flow_store_define(t.db, "a", "one", 3, &a));
	CHECK(flow_store_version(t.db) != version);
	version = flow_store_version(t.db);
	CHECK_OK(flow_store_define(t.db, "a", "one", 3, &again));
	CHECK(again == a && flow_store_version(t.db) == version);
	CHECK_OK(flow_store_define(t.db, "b", "", 0, &b));
	CHECK(b != a);
	check_blob(&t, "a", a, "one");
	CHECK(flow_oldest_unflushed(t.sh) != UINT64_MAX);

	/* by redo; by the manifest; a newer blob by redo over the manifest's */
	test_crash(&t);
	check_blob(&t, "a", a, "one");
	test_reopen(&t);
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	check_blob(&t, "a", a, "one");
	check_blob(&t, "b", b, "");
	CHECK_OK(flow_store_define(t.db, "a", "two", 3, &again));
	CHECK(again == a);
	test_crash(&t);
	check_blob(&t, "a", a, "two");
	test_reopen(&t);
	check_blob(&t, "a", a, "two");
	CHECK_OK(flow_store_define(t.db, "c", NULL, 0, &again));
	CHECK(again > b);
	test_close(&t);
	check_passed("stores");
}

/*
 * A store defined twice, the second time behind the frozen memtable: the
 * flush of that one must leave a definition in the manifest.
 */
static void
test_store_redefined(void)
{
	TestDb t;
	uint32_t a, again;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	CHECK_OK(flow_store_define(t.db, "a", "one", 3, &a));
	CHECK_OK(flow_freeze(t.db, UINT64_MAX));
	CHECK_OK(flow_store_define(t.db, "a", "two", 3, &again));
	CHECK_OK(flow_flush_step(t.db));
	test_crash(&t); /* redo: only the second one is left to apply */
	check_blob(&t, "a", a, "two");
	test_forget_log(&t);
	test_unload(&t);
	test_load(&t);
	check_blob(&t, "a", a, "two");
	test_close(&t);
	check_passed("store defined twice around a flush");
}

static void
test_batches(void)
{
	TestDb t;
	FlowRecord r[4];
	static char big[FLOW_MAX_KEY + 2];
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowStats stats;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = spec.store_id = test_store(&t, "s");

	CHECK_OK(flow_write_batch(t.db, s, NULL, 0, NULL));
	CHECK_STATUS(flow_write_batch(t.db, s + 1, r, 0, NULL), FLOW_OK);
	r[0] = test_record("k", 1, "x");
	CHECK_STATUS(flow_write_batch(t.db, s + 1, r, 1, NULL), FLOW_INVALID);

	/* any order; the last of equals wins; empty key and value */
	r[0] = test_record("b", 1, "old");
	r[1] = test_record("a", 2, "a2");
	r[2] = test_record("b", 1, "new");
	r[3] = test_record("", -5, "");
	CHECK_OK(flow_write_batch(t.db, s, r, 4, NULL));
	CHECK_TEXT(test_all(&t, s), "@-5= a@2=a2 b@1=new ");
	CHECK_OK(flow_delete_batch(t.db, s, &r[1], 2, NULL));
	CHECK_TEXT(test_all(&t, s), "@-5= ");

	memset(big, 'k', sizeof(big) - 1);
	r[0] = test_record(big, 1, "x");
	CHECK_STATUS(flow_write_batch(t.db, s, r, 1, NULL), FLOW_INVALID);
	r[0].key_bytes = FLOW_MAX_KEY;
	CHECK_OK(flow_write_batch(t.db, s, r, 1, NULL));
	big[FLOW_MAX_KEY] = '\0';
	CHECK_TEXT(test_get(&t, &spec, big, 1), "x");
	r[0] = test_record("k", 1, "x");
	r[0].value_bytes = FLOW_MAX_VALUE + 1;
	CHECK_STATUS(flow_write_batch(t.db, s, r, 1, NULL), FLOW_INVALID);

	flow_stats(t.db, &stats);
	CHECK(stats.stores == 1 && stats.records_written == 6);
	CHECK(stats.memtable_records == 6 && stats.sstables == 0);
	test_close(&t);
	check_passed("batches");
}

/* Values beyond any memtable, and write buffers that are always full. */
static void
test_full_buffers(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowRecord r;
	FlowStats stats;
	size_t bytes = 1u << 20;
	char *value = malloc(FLOW_MAX_VALUE);
	char key[16];

	CHECK(value != NULL);
	test_open(&t, REGION_BYTES, 1u << 20);
	s = spec.store_id = test_store(&t, "s");
	for (int i = 0; i < 64; i++)
	{
		snprintf(key, sizeof(key), "k%02d", i);
		memset(value, 'a' + i % 26, bytes);
		r = test_record(key, i, NULL);
		r.value = value;
		r.value_bytes = bytes;
		CHECK_OK(flow_write_batch(t.db, s, &r, 1, NULL));
	}
	flow_stats(t.db, &stats);
	CHECK(stats.flushes > 0 && stats.sstables > 0);
	spec.key_lo = incl("k63");
	CHECK(
		strlen(test_rows_by(
			&t,
			&(FlowScanSpec){.store_id = s, .now = INT64_MIN, .keys_only = true},
			3)) == 10 * 7 + 54 * 8);
	test_reopen(&t);
	for (int i = 0; i < 64; i++)
	{
		FlowScan *scan;
		const FlowVector *vec;

		snprintf(key, sizeof(key), "k%02d", i);
		CHECK_OK(flow_get(t.db, &spec, key, 3, i, &scan, &vec));
		CHECK(vec->value_bytes[0] == bytes);
		CHECK(vec->value[0][0] == 'a' + i % 26);
		CHECK(vec->value[0][bytes - 1] == 'a' + i % 26);
		flow_scan_close(scan);
	}
	free(value);
	test_close(&t);
	check_passed("full write buffers");
}

static void
test_x05(void)
{
	TestDb t;
	uint32_t s;
	const char *want = "zz@1=c ~~@1=d \x7f@1=b \xc3\xa9@1=a ";

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "\xc3\xa9", 1, "a");
	test_put(&t, s, "\x7f", 1, "b");
	test_put(&t, s, "zz", 1, "c");
	test_put(&t, s, "~~", 1, "d");
	CHECK_TEXT(test_all(&t, s), want);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), want);
	test_close(&t);
	check_passed("X05 keys beyond 0x7e");
}

static void
test_x07(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = 1000};
	uint32_t s;

	for (int flush = 0; flush < 4; flush++)
	{
		test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
		s = spec.store_id = test_store(&t, "s");
		test_put(&t, s, "k", 1, "v1");
		if (flush & 1)
			CHECK_OK(flow_flush(t.db, NULL));
		test_put_expiring(&t, s, "k", 1, "v2", 1000);
		if (flush & 2)
			CHECK_OK(flow_flush(t.db, NULL));
		CHECK_TEXT(test_rows(&t, &spec), "");
		CHECK(test_get(&t, &spec, "k", 1) == NULL);
		CHECK(test_latest(&t, &spec, "k") == NULL);
		spec.now = 999; /* not yet */
		CHECK_TEXT(test_rows(&t, &spec), "k@1=v2 ");
		spec.now = 1000;
		test_close(&t);
	}
	check_passed("X07 an expired version hides the older one");
}

static void
test_x08(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN};
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = spec.store_id = test_store(&t, "s");
	test_put(&t, s, "k", 1, "v1");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "k", 1, "v2");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "k", 1, "v3");
	CHECK_OK(flow_flush(t.db, NULL));
	for (int i = 0; i < 2; i++)
	{
		CHECK_TEXT(test_get(&t, &spec, "k", 1), "v3");
		CHECK_TEXT(test_all(&t, s), "k@1=v3 ");
		spec.reverse = true;
		CHECK_TEXT(test_rows(&t, &spec), "k@1=v3 ");
		test_reopen(&t);
	}
	test_close(&t);
	check_passed("X08 newest of three SSTables wins");
}

static void
test_x09(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN};
	char value[8];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	t.opts.block_bytes = 1; /* a block for each identity */
	test_reopen(&t);
	spec.store_id = test_store(&t, "s");
	for (int ts = 1; ts <= 10; ts++)
	{
		snprintf(value, sizeof(value), "v%d", ts);
		test_put(&t, spec.store_id, "k", ts, value);
	}
	for (int flushed = 0; flushed < 2; flushed++)
	{
		for (int ts = 1; ts <= 10; ts++)
		{
			snprintf(value, sizeof(value), "v%d", ts);
			CHECK_TEXT(test_get(&t, &spec, "k", ts), value);
		}
		CHECK(test_get(&t, &spec, "k", 0) == NULL);
		CHECK(test_get(&t, &spec, "k", 11) == NULL);
		CHECK(test_get(&t, &spec, "j", 5) == NULL);
		CHECK_TEXT(test_latest(&t, &spec, "k"), "10=v10");
		CHECK_OK(flow_flush(t.db, NULL));
	}
	test_close(&t);
	check_passed("X09 a key over many blocks");
}

static void
test_x10(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN};
	uint32_t s;

	for (int flush = 0; flush < 8; flush++)
	{
		test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
		s = spec.store_id = test_store(&t, "s");
		test_put(&t, s, "k", 1, "v1");
		test_put(&t, s, "k", 2, "v2");
		if (flush & 1)
			CHECK_OK(flow_flush(t.db, NULL));
		test_put(&t, s, "k", 3, "v3");
		if (flush & 2)
			CHECK_OK(flow_flush(t.db, NULL));
		test_delete(&t, s, "k", 3);
		if (flush & 4)
			CHECK_OK(flow_flush(t.db, NULL));
		CHECK_TEXT(test_latest(&t, &spec, "k"), "2=v2");
		CHECK(test_get(&t, &spec, "k", 3) == NULL);
		test_delete(&t, s, "k", 2);
		test_delete(&t, s, "k", 7);
		CHECK_TEXT(test_latest(&t, &spec, "k"), "1=v1");
		test_put(&t, s, "k", 3, "again");
		CHECK_TEXT(test_latest(&t, &spec, "k"), "3=again");
		CHECK_TEXT(test_all(&t, s), "k@1=v1 k@3=again ");
		test_close(&t);
	}
	check_passed("X10 latest after deletes");
}

static void
check_bounds(TestDb *t, uint32_t s)
{
	FlowScanSpec spec = {.store_id = s, .now = INT64_MIN};
	uint8_t scratch[4];

	/* X13 */
	spec.key_lo = incl("z");
	spec.key_hi = incl("a");
	CHECK_TEXT(test_rows(t, &spec), "");
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	spec.ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, 9};
	spec.ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, 1};
	CHECK_TEXT(test_rows(t, &spec), "");
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	flow_prefix_bounds("\xff", 1, &spec.key_lo, &spec.key_hi, scratch);
	CHECK_TEXT(test_rows(t, &spec), "\xff@1=f \xff\xff@1=g ");
	flow_prefix_bounds("", 0, &spec.key_lo, &spec.key_hi, scratch);
	CHECK_TEXT(test_rows(t, &spec), test_all(t, s));
	flow_prefix_bounds("a\xff", 2, &spec.key_lo, &spec.key_hi, scratch);
	CHECK_TEXT(test_rows(t, &spec), "a\xff@1=b ");
	flow_prefix_bounds("a", 1, &spec.key_lo, &spec.key_hi, scratch);
	CHECK_TEXT(test_rows(t, &spec), "a@1=a a@9=a9 a\xff@1=b ");

	/* X14 */
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	spec.key_lo = incl("b");
	CHECK_TEXT(test_rows(t, &spec),
			   "b@1=c b@6=c6 c@1=d d@1=e \xff@1=f \xff\xff@1=g ");
	spec.key_lo = excl("b");
	CHECK_TEXT(test_rows(t, &spec), "c@1=d d@1=e \xff@1=f \xff\xff@1=g ");
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	spec.key_hi = excl("c");
	CHECK_TEXT(test_rows(t, &spec), "a@1=a a@9=a9 a\xff@1=b b@1=c b@6=c6 ");
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	spec.ts_lo = (FlowTimeBound){FLOW_EXCLUSIVE, 6};
	CHECK_TEXT(test_rows(t, &spec), "a@9=a9 ");
	spec.ts_lo.kind = FLOW_INCLUSIVE;
	CHECK_TEXT(test_rows(t, &spec), "a@9=a9 b@6=c6 ");
	spec.ts_lo = (FlowTimeBound){FLOW_EXCLUSIVE, INT64_MAX};
	CHECK_TEXT(test_rows(t, &spec), "");
	spec = (FlowScanSpec){.store_id = s, .now = INT64_MIN};
	spec.ts_hi = (FlowTimeBound){FLOW_EXCLUSIVE, INT64_MIN};
	CHECK_TEXT(test_rows(t, &spec), "");
}

static void
test_x13_x14(void)
{
	TestDb t;
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "a", 1, "a");
	test_put(&t, s, "a", 9, "a9");
	test_put(&t, s, "a\xff", 1, "b");
	test_put(&t, s, "b", 1, "c");
	test_put(&t, s, "b", 6, "c6");
	test_put(&t, s, "c", 1, "d");
	test_put(&t, s, "d", 1, "e");
	test_put(&t, s, "\xff", 1, "f");
	test_put(&t, s, "\xff\xff", 1, "g");
	check_bounds(&t, s);
	test_reopen(&t);
	check_bounds(&t, s);
	test_close(&t);
	check_passed("X13, X14 bounds");
}

static void
test_x17(void)
{
	TestDb t;
	FlowScanSpec spec = {.now = INT64_MIN};
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = spec.store_id = test_store(&t, "s");
	test_put(&t, s, "k", 1, "v1");
	test_crash(&t);
	test_put(&t, s, "k", 1, "v2");
	test_crash(&t);
	CHECK_TEXT(test_get(&t, &spec, "k", 1), "v2");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "k", 1, "v3");
	test_crash(&t); /* v1 and v2 are skipped, v3 is not */
	CHECK_TEXT(test_get(&t, &spec, "k", 1), "v3");
	test_crash(&t);
	CHECK_TEXT(test_all(&t, s), "k@1=v3 ");
	test_close(&t);
	check_passed("X17 sequences go on after a crash");
}

/* Positions that a checkpoint asks for. */
static void
test_positions(void)
{
	TestDb t;
	uint64_t before;
	FlowStats stats;
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	before = t.env->log_bound(t.env);
	test_put(&t, s, "a", 1, "x");
	CHECK(flow_oldest_unflushed(t.sh) <= before);
	CHECK(!flow_has_frozen(t.sh));
	CHECK_OK(flow_freeze(t.db, before)); /* nothing is older */
	CHECK(!flow_has_frozen(t.sh));
	CHECK_OK(flow_freeze(t.db, before + 1));
	CHECK(flow_has_frozen(t.sh));
	before = t.env->log_bound(t.env);
	test_put(&t, s, "b", 1, "x");
	CHECK(flow_oldest_unflushed(t.sh) < before);
	CHECK_OK(flow_flush_step(t.db));
	CHECK(flow_oldest_unflushed(t.sh) == before);
	CHECK_STATUS(flow_flush_step(t.db), FLOW_END);
	flow_stats(t.db, &stats);
	CHECK(stats.flushed_pos == before && stats.sstables == 1);
	CHECK(stats.memtable_records == 1 && stats.sstable_records == 1);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	test_close(&t);
	check_passed("positions");
}

/* ------------------------------------------------------- files at the load */

static void
test_orphans(void)
{
	TestDb t;
	FlowStats stats;
	uint32_t s;
	uint64_t start;
	char path[FLOW_PATH_BYTES];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	CHECK_OK(flow_flush(t.db, NULL));
	test_shell(&t, "cp -r %s/INDEX %s.before");
	start = t.env->log_bound(t.env);
	test_put(&t, s, "k", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	flow_stats(t.db, &stats);
	CHECK(stats.sstables == 1);
	flowi_version_path(t.dir, t.sh->version->sst[0]->info.id, path);

	/* the edit is lost, the file is not: a checkpoint has passed it */
	test_unload(&t);
	test_shell(&t, "touch %s/SST/pgsql_tmp.7.sst %s/SST/junk");
	test_shell(&t, "mv %s/INDEX %s.after && cp -r %s.before %s/INDEX");
	CHECK_STATUS(test_try_load(&t, start + 1, false), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	/* redo would bring it: just an orphan */
	CHECK_OK(test_try_load(&t, start, false));
	CHECK(access(path, F_OK) != 0);
	test_shell(&t, "test -z \"$(ls %s/SST)\"");
	/* one that cannot be read is just an orphan too */
	test_shell(&t, "echo x > %s/SST/00000000000000aa.sst");
	CHECK_OK(test_try_load(&t, UINT64_MAX, false));

	test_load(&t); /* the log has the record */
	CHECK_TEXT(test_all(&t, s), "k@1=v ");
	test_shell(&t, "rm -rf %s.before %s.after");
	test_close(&t);
	check_passed("orphans");
}

/* What proves a lost edit must not be removed because of an error. */
static void
test_orphan_errors(void)
{
	static const int errors[] = {EIO, EMFILE, ENOMEM};
	TestDb t;
	uint32_t s;
	uint64_t start;
	char path[FLOW_PATH_BYTES], command[3 * FLOW_PATH_BYTES];
	int failed = 0;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	CHECK_OK(flow_flush(t.db, NULL));
	test_shell(&t, "cp -r %s/INDEX %s.before");
	start = t.env->log_bound(t.env);
	test_put(&t, s, "k", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	flowi_version_path(t.dir, t.sh->version->sst[0]->info.id, path);
	test_unload(&t);
	test_shell(&t, "mv %s/INDEX %s.after && cp -r %s.before %s/INDEX");
	for (int op = FLOW_POSIX_OPEN; op <= FLOW_POSIX_READ; op++)
	{
		for (uint64_t nth = 1; nth <= 12; nth++)
		{
			FlowStatus st;

			flow_env_posix_fail(t.env, (FlowPosixOp) op, nth, 1,
								errors[nth % 3]);
			st = test_try_load(&t, start + 1, false);
			flow_env_posix_fail(t.env, (FlowPosixOp) op, 1, 0, 0);
			CHECK(st == FLOW_CORRUPT || st == FLOW_IOERR);
			CHECK(access(path, F_OK) == 0);
			failed += st == FLOW_IOERR;
		}
	}
	CHECK(failed >= 8);
	/* nor because a newer version has written it */
	snprintf(command, sizeof(command),
			 "printf '\\377' | dd of=%s bs=1 conv=notrunc status=none "
			 "seek=$(( $(stat -c %%s %s) - 24 ))",
			 path, path);
	CHECK(system(command) == 0);
	CHECK_STATUS(test_try_load(&t, start + 1, false), FLOW_MISMATCH);
	CHECK(access(path, F_OK) == 0 && unlink(path) == 0);
	test_shell(&t, "rm -rf %s.before %s.after");
	test_load(&t);
	test_close(&t);
	check_passed("orphans that cannot be read now");
}

static void
test_damaged(void)
{
	TestDb t;
	uint32_t s;
	char path[FLOW_PATH_BYTES], command[2 * FLOW_PATH_BYTES];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "k", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	flowi_version_path(t.dir, t.sh->version->sst[0]->info.id, path);
	test_unload(&t);

	snprintf(command, sizeof(command), "echo >> %s", path);
	CHECK(system(command) == 0);
	CHECK_STATUS(test_try_load(&t, 0, false), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	CHECK(unlink(path) == 0);
	CHECK_STATUS(test_try_load(&t, 0, false), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);

	test_shell(&t, "rm -rf %s");
	CHECK_OK(flow_create(t.env, t.dir));
	test_forget_log(&t);
	test_load(&t);
	test_close(&t);
	check_passed("missing and cut files");
}

/* A base backup may list the directory of SSTables, and copy the manifest
 * later, when a new one stands in it: its records are redone. */
static void
test_manifest_ahead(void)
{
	TestDb t;
	FlowStats stats;
	uint32_t s;
	uint64_t start;
	char path[FLOW_PATH_BYTES];

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	test_put(&t, s, "a", 1, "old");
	CHECK_OK(flow_flush(t.db, NULL));
	test_forget_log(&t);
	start = t.env->log_bound(t.env);
	test_put(&t, s, "a", 1, "new");
	test_put(&t, s, "b", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	flowi_version_path(t.dir, t.sh->version->sst[1]->info.id, path);
	test_unload(&t);
	CHECK(unlink(path) == 0);

	CHECK_STATUS(test_try_load(&t, start, false),
				 FLOW_CORRUPT); /* nobody will redo */
	t.opts.will_redo = true;
	CHECK_STATUS(test_try_load(&t, start + 1, false),
				 FLOW_CORRUPT); /* not all of it */
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	t.opts.log_start = start;
	test_load(&t);
	CHECK_TEXT(test_all(&t, s), "a@1=new b@1=v ");
	flow_stats(t.db, &stats);
	CHECK(stats.sstables == 1 && stats.flushed_pos <= start);
	test_crash(&t); /* once more, before anything was written */
	CHECK_TEXT(test_all(&t, s), "a@1=new b@1=v ");
	CHECK_OK(flow_flush(t.db, NULL));
	t.opts.will_redo = false;
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "a@1=new b@1=v ");
	test_close(&t);
	check_passed("manifest ahead of the directory");
}

static void
test_store_stats(void)
{
	TestDb t;
	FlowStoreStats stats;
	FlowRecord r[500];
	char key[500][8];
	uint32_t s, other;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	s = test_store(&t, "s");
	other = test_store(&t, "other");
	flow_store_stats(t.db, s, &stats);
	CHECK(stats.records == 0 && !stats.has_ts);
	for (int i = 0; i < 500; i++)
	{
		snprintf(key[i], sizeof(key[i]), "k%03d", i);
		r[i] = test_record(key[i], i, "value");
	}
	CHECK_OK(flow_write_batch(t.db, other, r, 500, NULL));
	CHECK_OK(flow_write_batch(t.db, s, r, 10, NULL));
	flow_store_stats(t.db, s, &stats);
	CHECK(stats.records == 10 && stats.bytes == 90 && stats.sstables == 0);
	CHECK(stats.file_bytes == 0);
	CHECK(stats.has_ts && stats.ts_min == 0 && stats.ts_max == 9);
	flow_store_stats(t.db, other, &stats);
	CHECK(stats.records >= 500);
	CHECK_OK(flow_flush(t.db, NULL));
	flow_store_stats(t.db, other, &stats);
	CHECK(stats.records == 500 && stats.bytes == 4500 && stats.sstables == 1);
	CHECK(stats.file_bytes > 0);
	CHECK(stats.ts_min == 0 && stats.ts_max == 499);
	test_close(&t);
	check_passed("store statistics");
}

static uint64_t
count_keys(TestDb *t, uint32_t s)
{
	FlowStoreStats stats;

	flow_store_stats(t->db, s, &stats);
	return stats.keys;
}

/* Write n records of nkeys keys, at times from ts on. */
static void
put_series(TestDb *t, uint32_t s, int n, int nkeys, int64_t ts)
{
	for (int i = 0; i < n; i++)
	{
		char key[16];
		FlowRecord r;

		snprintf(key, sizeof(key), "k%05d", i % nkeys);
		r = test_record(key, ts + i, "value");
		CHECK_OK(flow_write_batch(t->db, s, &r, 1, NULL));
	}
}

static void
test_key_count(void)
{
	TestDb t;
	uint32_t few, many;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	few = test_store(&t, "few");
	CHECK(count_keys(&t, few) == 0);
	put_series(&t, few, 100, 100, 0);
	CHECK(count_keys(&t, few) == 100); /* counted one by one */
	put_series(&t, few, 4000, 20, 1000);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(count_keys(&t, few) == 100);
	/* keys that come again count once; in memory a few are skipped through */
	put_series(&t, few, 4000, 20, 10000);
	CHECK(count_keys(&t, few) >= 100 && count_keys(&t, few) <= 105);
	CHECK_OK(flow_flush(t.db, NULL));
	put_series(&t, few, 10, 10, 20000);
	CHECK(count_keys(&t, few) >= 100 && count_keys(&t, few) <= 105);
	test_close(&t);

	/* too many to be looked at one by one, with many records each, or few */
	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	many = test_store(&t, "many");
	put_series(&t, many, 30000, 100, 0);
	CHECK(count_keys(&t, many) >= 50 && count_keys(&t, many) <= 200);
	test_close(&t);
	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	many = test_store(&t, "many");
	put_series(&t, many, 3000, 1000, 0);
	CHECK(count_keys(&t, many) >= 900 && count_keys(&t, many) <= 1100);
	test_close(&t);

	/* keys of their own in every file add up */
	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	many = test_store(&t, "many");
	for (int file = 0; file < 3; file++)
	{
		put_series(&t, many, 1000, 1000, file);
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK(count_keys(&t, many) == 3000);
	test_close(&t);
	check_passed("numbers of keys");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_create();
	test_create_again();
	test_embedded();
	test_stores();
	test_store_redefined();
	test_batches();
	test_full_buffers();
	test_x05();
	test_x07();
	test_x08();
	test_x09();
	test_x10();
	test_x13_x14();
	test_x17();
	test_positions();
	test_orphans();
	test_orphan_errors();
	test_damaged();
	test_manifest_ahead();
	test_store_stats();
	test_key_count();
	return 0;
}
