/*-------------------------------------------------------------------------
 * embed_test.c
 *	  The writes of embedders, patches, and the query family.
 *-------------------------------------------------------------------------
 */
#include <errno.h>

#include "dbtest.h"

#include "../db.h"

#define REGION (16u << 20)
#define SECOND INT64_C(1000000)

static FlowRect
rect_of(const char *lo, const char *hi, int64_t ts_lo, int64_t ts_hi)
{
	return (FlowRect){(const uint8_t *) lo,
					  (const uint8_t *) hi,
					  (uint32_t) strlen(lo),
					  hi ? (uint32_t) strlen(hi) : 0,
					  ts_lo,
					  ts_hi};
}

static void
delete_range(TestDb *t, uint32_t s, const char *lo, const char *hi)
{
	FlowRect rect = rect_of(lo, hi, INT64_MIN, INT64_MAX);

	CHECK_OK(flow_delete_range(t->db, s, &rect, NULL));
}

/* ------------------------------------------------------------------ batches */

#define MANY 400u

/* Keys that are the beginning of others, that end in zeros, that differ only
 * far behind; NULL is the empty one. */
static size_t
odd_key(CheckRandom *r, const char *front, char *key)
{
	static const char bytes[] = {0, 1, 'a', (char) 0xff};
	size_t n = strlen(front);

	memcpy(key, front, n);
	for (uint32_t more = check_below(r, 12); more > 0; more--)
		key[n++] = bytes[check_below(r, sizeof(bytes))];
	return n;
}

static int
record_order(const FlowRecord *a, const FlowRecord *b)
{
	size_t n = FLOW_MIN(a->key_bytes, b->key_bytes);
	int c = n ? memcmp(a->key, b->key, n) : 0;

	if (c == 0)
		c = (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
	return c ? c : (a->ts > b->ts) - (a->ts < b->ts);
}

/* Is there a later one of the same key and time? */
static bool
is_replaced(const FlowRecord *r, uint32_t n, uint32_t i)
{
	for (uint32_t j = i + 1; j < n; j++)
		if (record_order(&r[i], &r[j]) == 0)
			return true;
	return false;
}

/* The store has exactly the last records of each key and time, in order. */
static void
check_last_records(TestDb *t, uint32_t s, const FlowRecord *r, uint32_t n)
{
	FlowScanSpec spec = {.store_id = s};
	const FlowRecord *before = NULL;
	FlowScan *scan;
	const FlowVector *vec;
	uint32_t want = 0, got = 0;

	for (uint32_t i = 0; i < n; i++)
		want += !is_replaced(r, n, i);
	CHECK_OK(flow_scan_open(t->db, &spec, &scan));
	while (flow_scan_next(scan, 0, &vec) == FLOW_OK)
		for (uint32_t i = 0; i < vec->nrows; i++, got++)
		{
			const FlowRecord *at = &r[atoi((const char *) vec->value[i])];

			CHECK(vec->key_bytes[i] == at->key_bytes && vec->ts[i] == at->ts);
			CHECK(at->key_bytes == 0 ||
				  memcmp(vec->key[i], at->key, at->key_bytes) == 0);
			CHECK(!is_replaced(r, n, (uint32_t) (at - r)));
			CHECK(before == NULL || record_order(before, at) < 0);
			before = at;
		}
	flow_scan_close(scan);
	CHECK(got == want);
}

static void
test_batch_order(CheckRandom *random)
{
	static const char *const fronts[] = {"", "dev-0000", "a long beginning "};
	static char keys[MANY][40], values[MANY][8];
	static FlowRecord r[MANY];
	TestDb t;

	test_open(&t, REGION, 1u << 20);
	for (int round = 0; round < 60; round++)
	{
		uint32_t n = 2 + check_below(random, MANY - 2);
		char name[16];
		uint32_t s;

		for (uint32_t i = 0; i < n; i++)
		{
			snprintf(values[i], sizeof(values[i]), "%u", i);
			r[i] = test_record(keys[i], check_below(random, 3), values[i]);
			r[i].key_bytes = odd_key(random, fronts[round % 3], keys[i]);
			r[i].value_bytes = strlen(values[i]) + 1;
			if (r[i].key_bytes == 0)
				r[i].key = NULL;
		}
		snprintf(name, sizeof(name), "s%d", round);
		s = test_store(&t, name);
		CHECK_OK(flow_write_batch(t.db, s, r, n, NULL));
		check_last_records(&t, s, r, n);
	}
	test_close(&t);
	check_passed("records of a batch in any order");
}

/* Bytes that a batch of records that are much alike takes in the log. */
static uint64_t
logged_bytes(FlowCompression log_compression)
{
	FlowRecord r[64];
	char keys[64][8], values[64][40];
	uint64_t bytes;
	uint32_t s;
	TestDb t;

	test_open(&t, REGION, 1u << 20);
	t.opts.log_compression = log_compression;
	s = test_store(&t, "s");
	test_reopen(&t);
	for (uint32_t i = 0; i < 64; i++)
	{
		snprintf(keys[i], sizeof(keys[i]), "k%02u", i);
		snprintf(values[i], sizeof(values[i]), "%u of values that are alike",
				 i);
		r[i] = test_record(keys[i], 1, values[i]);
	}
	CHECK_OK(flow_write_batch(t.db, s, r, 64, NULL));
	bytes = t.log[t.nlog - 1].len;
	test_crash(&t);
	check_last_records(&t, s, r, 64);
	test_close(&t);
	return bytes;
}

static void
test_log_compression(void)
{
	uint64_t raw = logged_bytes(FLOW_COMPRESS_NONE);

	CHECK(raw > 64 * strlen("0 of values that are alike"));
	CHECK(logged_bytes(FLOW_COMPRESS_LZ4) < raw / 2);
	check_passed("the log is compressed as the options say");
}

/* ------------------------------------------------------------------ expiry */

static void
test_expiry_rule(void)
{
	const int64_t never = FLOW_NEVER;
	const int64_t most = FLOW_MAX_TTL_SECS;

	/* the call's, the record's own, the default; nothing */
	CHECK(flow_expiry(5, 7, true, 2, 9) == 5 + 2 * SECOND);
	CHECK(flow_expiry(5, 7, false, 2, 9) == 7);
	CHECK(flow_expiry(5, never, false, 2, 9) == 5 + 9 * SECOND);
	CHECK(flow_expiry(5, never, false, 2, 0) == never);
	CHECK(flow_expiry(5, never, true, 2, 9) == 5 + 2 * SECOND);
	/* 0: dead at ts; before 1970 */
	CHECK(flow_expiry(5, never, true, 0, 9) == 5);
	CHECK(flow_expiry(-5 * SECOND, never, true, 2, 0) == -3 * SECOND);
	CHECK(flow_expiry(INT64_MIN, never, true, 0, 0) == INT64_MIN);
	/* saturating */
	CHECK(flow_expiry(0, never, true, most, 0) == most * SECOND);
	CHECK(flow_expiry(INT64_MAX, never, true, 1, 0) == never);
	CHECK(flow_expiry(INT64_MAX - SECOND, never, true, 1, 0) == INT64_MAX);
	CHECK(flow_expiry(INT64_MAX - most * SECOND + 1, never, true, most, 0) ==
		  never);
	CHECK(flow_expiry(1, never, false, 0, most) == 1 + most * SECOND ||
		  most * SECOND == INT64_MAX);
	check_passed("Z4, Z5 what an expiry is made of");
}

static int64_t
expiry_of(TestDb *t, uint32_t s, const char *key, int64_t ts)
{
	FlowScanSpec spec = {.store_id = s, .now = INT64_MIN};
	FlowScan *scan;
	const FlowVector *vec;
	int64_t expire_at;

	CHECK_OK(flow_get(t->db, &spec, key, strlen(key), ts, &scan, &vec));
	expire_at = vec->expire_at[0];
	flow_scan_close(scan);
	return expire_at;
}

static void
test_ttl(void)
{
	TestDb t;
	FlowRecord r[2] = {test_record("a", 1, "x"), test_record("b", 2, "y")};
	FlowWriteOptions opts = {.has_ttl = true, .ttl_secs = 10};
	uint32_t s;

	test_open(&t, REGION, 1u << 20);
	s = test_store(&t, "s");
	r[1].expire_at = 77;
	CHECK_OK(flow_write_batch(t.db, s, r, 2, &opts));
	CHECK(expiry_of(&t, s, "a", 1) == 1 + 10 * SECOND);
	CHECK(expiry_of(&t, s, "b", 2) == 2 + 10 * SECOND);

	/* the default is for records without an expiry of their own (W19) */
	t.opts.default_ttl_secs = 5;
	test_reopen(&t);
	CHECK_OK(flow_write_batch(t.db, s, r, 2, NULL));
	CHECK(expiry_of(&t, s, "a", 1) == 1 + 5 * SECOND);
	CHECK(expiry_of(&t, s, "b", 2) == 77);

	/* D04: what the reference lets wrap */
	opts.ttl_secs = -1;
	CHECK_STATUS(flow_write_batch(t.db, s, r, 2, &opts), FLOW_INVALID);
	opts.ttl_secs = FLOW_MAX_TTL_SECS + 1;
	CHECK_STATUS(flow_write_batch(t.db, s, r, 2, &opts), FLOW_INVALID);
	CHECK_TEXT(flow_last_error()->message,
			   "ttl_secs must be between 0 and 9223372036854");
	opts = (FlowWriteOptions){.sync = (FlowSync) 7};
	CHECK_STATUS(flow_write_batch(t.db, s, r, 2, &opts), FLOW_INVALID);
	CHECK_STATUS(flow_delete_batch(t.db, s, r, 2, &opts), FLOW_INVALID);
	for (int sync = FLOW_SYNC_DEFAULT; sync <= FLOW_SYNC_NO; sync++)
	{
		opts.sync = (FlowSync) sync;
		CHECK_OK(flow_write_batch(t.db, s, r, 2, &opts));
	}
	test_close(&t);
	check_passed("times to live");
}

/* ------------------------------------------------------------ range deletes */

static void
test_delete_range(void)
{
	TestDb t;
	uint32_t s;
	FlowRect rect;
	FlowStats before, after;
	static char big[FLOW_MAX_KEY + 2];

	test_open(&t, REGION, 1u << 20);
	s = test_store(&t, "s");
	test_put(&t, s, "a", 1, "1");
	test_put(&t, s, "b", 1, "2");
	test_put(&t, s, "b", 5, "3");
	test_put(&t, s, "c", 1, "4");

	/* what covers nothing is fine, and not even written (F02) */
	flow_stats(t.db, &before);
	delete_range(&t, s, "c", "a");
	delete_range(&t, s, "a", "a");
	rect = rect_of("", NULL, 2, 1);
	CHECK_OK(flow_delete_range(t.db, s, &rect, NULL));
	flow_stats(t.db, &after);
	CHECK(before.records_written == after.records_written);

	rect = rect_of("b", "c", 2, INT64_MAX);
	CHECK_OK(flow_delete_range(t.db, s, &rect, NULL));
	CHECK_TEXT(test_all(&t, s), "a@1=1 b@1=2 c@1=4 ");
	delete_range(&t, s, "a", "c");
	CHECK_TEXT(test_all(&t, s), "c@1=4 ");
	test_put(&t, s, "b", 1, "new");
	CHECK_TEXT(test_all(&t, s), "b@1=new c@1=4 ");
	delete_range(&t, s, "", NULL);
	CHECK_TEXT(test_all(&t, s), "");
	test_crash(&t);
	CHECK_TEXT(test_all(&t, s), "");
	test_put(&t, s, "z", 1, "z");
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "z@1=z ");

	memset(big, 'k', sizeof(big) - 1);
	rect = rect_of(big, NULL, 1, 1);
	CHECK_STATUS(flow_delete_range(t.db, s, &rect, NULL), FLOW_INVALID);
	rect = rect_of("a", big, 1, 1);
	CHECK_STATUS(flow_delete_range(t.db, s, &rect, NULL), FLOW_INVALID);
	rect = rect_of("a", "b", 1, 1);
	CHECK_STATUS(flow_delete_range(t.db, s + 1, &rect, NULL), FLOW_INVALID);
	test_close(&t);
	check_passed("range deletes");
}

/* -------------------------------------------------------------------- room */

/* D10; and a batch that no log record can hold */
static void
test_backpressure(void)
{
	TestDb t;
	uint32_t s;
	FlowStats stats;
	static char value[4096];
	char key[16];
	FlowScanSpec spec = {.now = INT64_MIN, .keys_only = true};
	FlowScan *scan;
	FlowRecord row;
	int n = 0;

	test_open(&t, 6u << 20, 1u << 20);
	flow_env_posix_set_log(t.env, NULL, NULL);
	s = spec.store_id = test_store(&t, "s");
	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "k%05d", i);
		row = test_record(key, i, "");
		row.value = value;
		row.value_bytes = sizeof(value);
		CHECK_OK(flow_write_batch(t.db, s, &row, 1, NULL));
		flow_stats(t.db, &stats);
		CHECK(stats.frozen_memtables <= t.opts.max_frozen);
	}
	CHECK(stats.flushes > 5);
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	for (; flow_scan_row(scan, &row) == FLOW_OK; n++)
		CHECK(row.ts == n);
	CHECK(n == 5000);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("D10 a writer that fills the memory flushes it");
}

/* A flush that fails: writes go on in memory up to the limits, and are then
 * refused by what the flush says; nothing that was accepted is lost. */
static void
test_failing_flush(uint64_t hard_limit)
{
	TestDb t;
	uint32_t s;
	static char value[4096];
	char key[16];
	FlowRecord r;
	FlowStatus st = FLOW_OK;
	FlowStats stats;
	int n = 0;

	test_open(&t, REGION, 1u << 20);
	t.opts.hard_limit_bytes = hard_limit;
	test_reopen(&t);
	s = test_store(&t, "s");
	memset(value, 'v', sizeof(value));
	flow_env_posix_fail(t.env, FLOW_POSIX_WRITE, 1, UINT64_MAX, ENOSPC);
	for (; st == FLOW_OK; n++)
	{
		snprintf(key, sizeof(key), "k%05d", n);
		r = test_record(key, n, "");
		r.value = value;
		r.value_bytes = sizeof(value);
		st = flow_write_batch(t.db, s, &r, 1, NULL);
	}
	CHECK(st == FLOW_FULL);
	flow_stats(t.db, &stats);
	CHECK(stats.frozen_memtables > 0 && stats.sstables == 0);
	flow_env_posix_fail(t.env, FLOW_POSIX_WRITE, 1, 0, 0);
	CHECK_OK(flow_write_batch(t.db, s, &r, 1, NULL));
	test_reopen(&t);
	CHECK(n > 100);
	for (int i = 0; i < n; i++)
	{
		snprintf(key, sizeof(key), "k%05d", i);
		CHECK(test_get(&t, &(FlowScanSpec){.store_id = s, .now = INT64_MIN},
					   key, i) != NULL);
	}
	test_close(&t);
	check_passed("a flush that fails refuses writes when memory ends only");
}

static void
test_too_large(void)
{
	TestDb t;
	uint32_t s;
	char *value = calloc(1, FLOW_MAX_VALUE);
	FlowRecord r[2];

	CHECK(value != NULL);
	test_open(&t, REGION, 1u << 20);
	s = test_store(&t, "s");
	for (int i = 0; i < 2; i++)
	{
		r[i] = test_record(i ? "b" : "a", 1, "");
		r[i].value = value;
		r[i].value_bytes = FLOW_MAX_VALUE;
	}
	CHECK_STATUS(flow_write_batch(t.db, s, r, 2, NULL), FLOW_INVALID);
	CHECK(strstr(flow_last_error()->message, "cannot be written atomically"));
	CHECK_TEXT(test_all(&t, s), "");
	/* deletes carry no values */
	CHECK_OK(flow_delete_batch(t.db, s, r, 2, NULL));
	test_close(&t);
	free(value);
	check_passed("a batch beyond any log record");
}

/* ------------------------------------------------------------------ patches */

static FlowStatus
patch(TestDb *t, uint32_t s, const char *key, int64_t ts, const char *value,
	  int64_t ttl, const char *want, int64_t want_expiry)
{
	FlowWriteOptions opts = {.has_ttl = ttl >= 0, .ttl_secs = ttl};
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st = flow_patch_record(t->db, s, key, strlen(key), ts, value,
									  value ? strlen(value) : 0,
									  ttl >= 0 ? &opts : NULL, &scan, &vec);

	flow_env_posix_fail(t->env, FLOW_POSIX_ALLOC, 1, 0, 0);
	if (st != FLOW_OK)
	{
		CHECK(scan == NULL && vec == NULL);
		return st;
	}
	CHECK(vec->nrows == 1 && vec->ts[0] == ts);
	CHECK(vec->key_bytes[0] == strlen(key));
	CHECK(memcmp(vec->key[0], key, strlen(key)) == 0);
	CHECK(vec->value_bytes[0] == strlen(want));
	CHECK(memcmp(vec->value[0], want, strlen(want)) == 0);
	CHECK(vec->expire_at[0] == want_expiry);
	flow_scan_close(scan);
	CHECK(expiry_of(t, s, key, ts) == want_expiry);
	return FLOW_OK;
}

/* F04, F05 */
static void
test_patch(void)
{
	TestDb t;
	uint32_t s;
	const int64_t far = INT64_C(9000000000) * SECOND;
	const int64_t secs = INT64_C(8000000000);

	test_open(&t, REGION, 1u << 20);
	t.opts.default_ttl_secs = 3;
	test_reopen(&t);
	s = test_store(&t, "s");
	CHECK_STATUS(patch(&t, s, "k", 1, "x", -1, NULL, 0), FLOW_NOTFOUND);
	test_put_expiring(&t, s, "k", 1, "old", far);
	for (int round = 0; round < 2; round++)
	{
		const char *was = round ? "" : "old";

		CHECK_OK(patch(&t, s, "k", 1, NULL, -1, was, far));
		CHECK_OK(patch(&t, s, "k", 1, "new", -1, "new", far));
		CHECK_OK(patch(&t, s, "k", 1, NULL, secs, "new", 1 + secs * SECOND));
		CHECK_OK(patch(&t, s, "k", 1, "longer than before", 9000000000 - 1,
					   "longer than before", 1 + far - SECOND));
		CHECK_OK(patch(&t, s, "k", 1, "", -1, "", 1 + far - SECOND));
		CHECK_STATUS(patch(&t, s, "k", 2, "x", -1, NULL, 0), FLOW_NOTFOUND);
		test_put_expiring(&t, s, "k", 1, "", far);
		test_reopen(&t); /* the second round starts from an SSTable */
	}
	/* what is dead cannot be patched: expired, deleted, range-deleted */
	CHECK_OK(patch(&t, s, "k", 1, NULL, 0, "", 1));
	CHECK_STATUS(patch(&t, s, "k", 1, "x", -1, NULL, 0), FLOW_NOTFOUND);
	test_put_expiring(&t, s, "k", 1, "v", far);
	test_delete(&t, s, "k", 1);
	CHECK_STATUS(patch(&t, s, "k", 1, "x", -1, NULL, 0), FLOW_NOTFOUND);
	/* rules */
	CHECK_STATUS(patch(&t, s, "k", 1, "x", INT64_MAX, NULL, 0), FLOW_INVALID);
	CHECK_STATUS(patch(&t, s + 1, "k", 1, "x", -1, NULL, 0), FLOW_INVALID);
	test_close(&t);
	check_passed("F04, F05 patches");
}

static void
test_patch_after_range(void)
{
	TestDb t;
	uint32_t s;
	const int64_t far = INT64_C(9000000000) * SECOND;

	test_open(&t, REGION, 1u << 20);
	s = test_store(&t, "s");
	test_put_expiring(&t, s, "k", 1, "v", far);
	delete_range(&t, s, "k", "l");
	CHECK_STATUS(patch(&t, s, "k", 1, "x", -1, NULL, 0), FLOW_NOTFOUND);
	test_close(&t);
	check_passed("a patch of a range-deleted row");
}

/*
 * W19: a write that comes between the reading and the writing of a patch: when
 * it is about to take the write lock, which it does once it has read.
 */
static TestDb *slip_db;
static uint32_t slip_store;
static void (*slip)(void);
static void (*real_acquire)(FlowEnv *env, FlowLock *lock, FlowLockMode mode);

static void
slipping_acquire(FlowEnv *env, FlowLock *lock, FlowLockMode mode)
{
	void (*fn)(void) = slip;

	if (fn && lock == &slip_db->sh->write_lock)
	{
		slip = NULL;
		fn();
	}
	real_acquire(env, lock, mode);
}

static FlowDb *
slip_handle(FlowDb **mine)
{
	FlowDb *other;

	CHECK_OK(flow_attach(slip_db->env, slip_db->sh, slip_db->dir, &other));
	*mine = slip_db->db;
	slip_db->db = other;
	return other;
}

static void
slip_back(FlowDb *mine)
{
	flow_detach(slip_db->db);
	slip_db->db = mine;
}

static void
slip_put(void)
{
	FlowDb *mine;

	slip_handle(&mine);
	test_put(slip_db, slip_store, "k", 1, "slipped in");
	slip_back(mine);
}

static void
slip_put_and_flush(void)
{
	FlowDb *mine;

	slip_handle(&mine);
	test_put(slip_db, slip_store, "k", 1, "slipped in");
	CHECK_OK(flow_flush(slip_db->db, NULL));
	slip_back(mine);
}

static void
slip_delete(void)
{
	FlowDb *mine;

	slip_handle(&mine);
	test_delete(slip_db, slip_store, "k", 1);
	slip_back(mine);
}

static void
slip_delete_range(void)
{
	FlowDb *mine;

	slip_handle(&mine);
	delete_range(slip_db, slip_store, "a", NULL);
	slip_back(mine);
}

static void
slip_elsewhere(void)
{
	FlowDb *mine;

	slip_handle(&mine);
	test_put(slip_db, slip_store, "k", 2, "other row");
	slip_back(mine);
}

static void
try_slip(void (*fn)(void), FlowStatus want, const char *value)
{
	TestDb t;
	const int64_t far = INT64_C(9000000000) * SECOND;

	test_open(&t, REGION, 1u << 20);
	slip_db = &t;
	slip_store = test_store(&t, "s");
	test_put_expiring(&t, slip_store, "k", 1, "v", far);
	test_reopen(&t);
	real_acquire = t.env->lock_acquire;
	t.env->lock_acquire = slipping_acquire;
	slip = fn;
	/* a time to live only: the value is the one that slipped in */
	CHECK_STATUS(patch(&t, slip_store, "k", 1, NULL, 8000000000, value,
					   1 + INT64_C(8000000000) * SECOND),
				 want);
	CHECK(slip == NULL);
	t.env->lock_acquire = real_acquire;
	test_close(&t);
}

static void
test_patch_is_atomic(void)
{
	try_slip(slip_put, FLOW_OK, "slipped in");
	try_slip(slip_put_and_flush, FLOW_OK, "slipped in");
	try_slip(slip_delete, FLOW_NOTFOUND, NULL);
	try_slip(slip_elsewhere, FLOW_OK, "v");
	check_passed("W19 a patch and a write between");
	try_slip(slip_delete_range, FLOW_NOTFOUND, NULL);
	check_passed("W19 a patch and a range delete between");
}

/*
 * One thread writes rising numbers, others give the row new expiries: a patch
 * that puts an older number back would be seen at once.
 */
static TestDb many;
static uint32_t many_store;
static _Atomic bool many_stop;
static _Atomic uint64_t many_patches;

static void *
patch_again(void *arg)
{
	FlowDb *db;
	FlowWriteOptions opts = {.has_ttl = true};

	CHECK_OK(flow_attach(many.env, many.sh, many.dir, &db));
	for (int64_t i = 0; !many_stop; i++)
	{
		FlowScan *scan;
		const FlowVector *vec;

		opts.ttl_secs = 9000000000 + i;
		CHECK_OK(flow_patch_record(db, many_store, "row", 3, 0, NULL, 0, &opts,
								   &scan, &vec));
		CHECK(vec->expire_at[0] == (9000000000 + i) * SECOND);
		flow_scan_close(scan);
		many_patches++;
		if (i % 100 == 99)
			CHECK_OK(flow_flush(db, NULL));
	}
	flow_detach(db);
	return arg;
}

static void
test_patch_together(void)
{
	pthread_t thread[2];
	FlowScanSpec spec = {.now = INT64_MIN};
	char value[32];

	test_open(&many, REGION, 1u << 20);
	flow_env_posix_set_log(many.env, NULL, NULL);
	spec.store_id = many_store = test_store(&many, "s");
	test_put(&many, many_store, "row", 0, "-");
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, patch_again, NULL) == 0);
	for (int i = 0; i < 2000 || many_patches < 100; i++)
	{
		snprintf(value, sizeof(value), "%d", i);
		test_put(&many, many_store, "row", 0, value);
		CHECK_TEXT(test_get(&many, &spec, "row", 0), value);
	}
	many_stop = true;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK_TEXT(test_get(&many, &spec, "row", 0), value);
	test_close(&many);
	check_passed("patches beside writes");
}

/* Nothing is held, and nothing written, when memory ends at any point. */
static void
test_patch_out_of_memory(void)
{
	TestDb t;
	uint32_t s;
	const int64_t far = INT64_C(9000000000) * SECOND;
	FlowStatus st = FLOW_NOMEM;
	int failed = 0;

	test_open(&t, REGION, 1u << 20);
	s = test_store(&t, "s");
	test_put_expiring(&t, s, "k", 1, "v", far);
	test_reopen(&t);
	for (uint64_t nth = 1; st == FLOW_NOMEM; nth++, failed++)
	{
		FlowDb *mine = t.db;

		/* a new handle has no memory to spare */
		CHECK_OK(flow_attach(t.env, t.sh, t.dir, &t.db));
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = patch(&t, s, "k", 1, "new", -1, "new", far);
		if (st == FLOW_NOMEM)
			CHECK_TEXT(test_all(&t, s), "k@1=v ");
		flow_detach(t.db);
		t.db = mine;
	}
	CHECK_OK(st);
	CHECK(failed > 5);
	CHECK_TEXT(test_all(&t, s), "k@1=new ");
	test_close(&t);
	check_passed("a patch without memory");
}

/* ------------------------------------------------------------------ queries */

/* TR03, TR04, TR09, TR10, TR13, A12 */
static void
test_specs(void)
{
	FlowScanSpec spec = {.store_id = 7, .limit = 3};
	char scratch[8];

	flow_spec_key_range(&spec, "a", 1, "zz", 2);
	flow_spec_time_range(&spec, 100, 200);
	CHECK(spec.key_lo.kind == FLOW_INCLUSIVE && spec.key_lo.key_bytes == 1);
	CHECK(spec.key_hi.kind == FLOW_INCLUSIVE && spec.key_hi.key_bytes == 2);
	CHECK(spec.ts_lo.kind == FLOW_INCLUSIVE && spec.ts_lo.ts == 100);
	CHECK(spec.ts_hi.kind == FLOW_INCLUSIVE && spec.ts_hi.ts == 200);
	CHECK(spec.store_id == 7 && spec.limit == 3 && !spec.reverse);

	spec = (FlowScanSpec){0};
	flow_spec_prefix(&spec, "foo", 3, scratch);
	CHECK(spec.key_lo.kind == FLOW_INCLUSIVE);
	CHECK(memcmp(spec.key_lo.key, "foo", 3) == 0);
	CHECK(spec.key_hi.kind == FLOW_EXCLUSIVE && spec.key_hi.key_bytes == 3);
	CHECK(memcmp(spec.key_hi.key, "fop", 3) == 0);
	CHECK(spec.ts_lo.kind == FLOW_OPEN && spec.ts_hi.kind == FLOW_OPEN);
	flow_spec_prefix(&spec, "a\xff", 2, scratch);
	CHECK(spec.key_hi.key_bytes == 1 && *(char *) spec.key_hi.key == 'b');
	flow_spec_prefix(&spec, "\xff\xff", 2, scratch);
	CHECK(spec.key_hi.kind == FLOW_OPEN);
	flow_spec_prefix(&spec, "", 0, scratch);
	CHECK(spec.key_lo.kind == FLOW_INCLUSIVE && spec.key_lo.key_bytes == 0);
	CHECK(spec.key_hi.kind == FLOW_OPEN);
	check_passed("bounds");
}

/* E05, E07: rows one by one, and no more read than is asked for */
static void
test_rows_one_by_one(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN};
	char key[16];
	FlowScan *scan;
	FlowRecord row;
	FlowStatus st;

	test_open(&t, REGION, 1u << 20);
	s = spec.store_id = test_store(&t, "s");
	for (int i = 0; i < 3000; i++)
	{
		snprintf(key, sizeof(key), "k%05d", i);
		test_put(&t, s, key, i, key);
	}
	test_reopen(&t);
	for (int reverse = 0; reverse < 2; reverse++)
	{
		spec.reverse = reverse;
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		for (int i = 0; i < 3000; i++)
		{
			int no = reverse ? 2999 - i : i;

			CHECK_OK(flow_scan_row(scan, &row));
			snprintf(key, sizeof(key), "k%05d", no);
			CHECK(row.key_bytes == 6 && memcmp(row.key, key, 6) == 0);
			CHECK(row.ts == no && row.expire_at == FLOW_NEVER);
			CHECK(row.value_bytes == 6 && memcmp(row.value, key, 6) == 0);
			if (i == 3)
				CHECK(flow_scan_stats(scan)->rows <= 16);
		}
		CHECK_STATUS(flow_scan_row(scan, &row), FLOW_END);
		CHECK_STATUS(flow_scan_row(scan, &row), FLOW_END);
		flow_scan_close(scan);
	}
	/* the next scan has the memory of one that was left in the middle */
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	for (int i = 0; i < 5; i++)
		CHECK_OK(flow_scan_row(scan, &row));
	flow_scan_close(scan);
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_row(scan, &row));
	CHECK(row.ts == 2999);
	flow_scan_close(scan);
	spec.limit = 2;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_row(scan, &row));
	CHECK_OK(flow_scan_row(scan, &row));
	CHECK_STATUS(flow_scan_row(scan, &row), FLOW_END);
	flow_scan_close(scan);
	/* one that failed goes on failing: it must not give what it has found on
	 * the way to the error */
	test_reopen(&t); /* nothing is cached */
	spec.limit = 0;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	for (int i = 0; i < 16; i++)
		CHECK_OK(flow_scan_row(scan, &row));
	flow_env_posix_fail(t.env, FLOW_POSIX_READ, 1, UINT64_MAX, EIO);
	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
		;
	CHECK(st == FLOW_IOERR);
	flow_env_posix_fail(t.env, FLOW_POSIX_READ, 1, 0, 0);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(flow_scan_row(scan, &row), FLOW_IOERR);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("rows one by one");
}

/* E08: a scan shows what had not expired when it was opened, whatever flushes
 * and merges happen meanwhile. */
static void
test_open_scan_holds_expiry(void)
{
	TestDb t;
	FlowStats before, after;
	FlowScanSpec spec = {0};
	const FlowVector *vec;
	FlowScan *scan;
	uint32_t s;
	bool ran;

	test_open(&t, REGION, 1u << 20);
	t.env->expire_horizon = NULL;
	s = spec.store_id = test_store(&t, "s");
	spec.now = t.env->now_us(t.env);
	test_put_expiring(&t, s, "a", 1, "v", spec.now + 30000);
	test_put(&t, s, "b", 1, "v");
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	usleep(40000);
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "c", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_compact(t.db, s, &ran));
	CHECK(ran);
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK(vec->nrows == 1 && vec->key[0][0] == 'a');
	flow_scan_close(scan);
	/* and then it goes */
	flow_stats(t.db, &before);
	test_put(&t, s, "d", 1, "v");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_compact(t.db, s, &ran));
	flow_stats(t.db, &after);
	CHECK(after.records_expired == before.records_expired + 1);
	test_close(&t);
	check_passed("E08 an open scan holds back what it may show");
}

int
main(int argc, char **argv)
{
	CheckRandom random = check_seed(argc, argv);

	test_batch_order(&random);
	test_log_compression();
	test_expiry_rule();
	test_ttl();
	test_backpressure();
	test_failing_flush(0);
	test_failing_flush(2u << 20);
	test_too_large();
	test_patch();
	test_patch_together();
	test_patch_out_of_memory();
	test_specs();
	test_rows_one_by_one();
	test_patch_is_atomic();
	test_patch_after_range();
	test_delete_range();
	test_open_scan_holds_expiry();
	return 0;
}
