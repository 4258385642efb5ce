/*-------------------------------------------------------------------------
 * dbtest.h
 *	  A database under test: made in the current directory, with a log that
 *	  is kept in memory so that a crash can be played.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_DBTEST_H
#define FLOW_TEST_DBTEST_H

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "../env_posix.h"
#include "check.h"
#include "testfile.h"

/* A logged record, as log_append was given it. */
typedef struct TestRecord
{
	void *rec;
	size_t len;
	uint64_t start;
	uint64_t end;
} TestRecord;

typedef struct TestDb
{
	FlowEnv *env;
	char dir[64];
	FlowOptions opts;
	FlowDbShared *sh;
	FlowDb *db;
	TestRecord *log;
	size_t nlog;
	size_t log_cap;
} TestDb;

/* Up to when expired rows may be purged: never, unless a test says so, which
 * read at times of their own. */
static int64_t test_purge_time = INT64_MIN;

static inline int64_t
test_expire_horizon(FlowEnv *env)
{
	(void) env;
	return test_purge_time;
}

static inline void
test_log(void *arg, const void *rec, size_t len, uint64_t start, uint64_t end)
{
	TestDb *t = arg;
	TestRecord *r;

	/* S6: it is held back before it is logged */
	CHECK(t->sh == NULL || flow_oldest_unflushed(t->sh) <= start);
	if (t->nlog == t->log_cap)
	{
		t->log_cap = t->log_cap ? t->log_cap * 2 : 1024;
		t->log = realloc(t->log, t->log_cap * sizeof(*t->log));
		CHECK(t->log != NULL);
	}
	r = &t->log[t->nlog++];
	*r = (TestRecord){malloc(len), len, start, end};
	CHECK(r->rec != NULL);
	memcpy(r->rec, rec, len);
}

static inline void
test_forget_log(TestDb *t)
{
	for (size_t i = 0; i < t->nlog; i++)
		free(t->log[i].rec);
	t->nlog = 0;
}

/* Load and attach; redo what the log has. */
static inline void
test_load(TestDb *t)
{
	CHECK_OK(flow_load(t->env, t->dir, &t->opts, &t->sh));
	CHECK_OK(flow_attach(t->env, t->sh, t->dir, &t->db));
	for (size_t i = 0; i < t->nlog; i++)
	{
		const TestRecord *r = &t->log[i];
		FlowStatus st;

		while ((st = flow_redo(t->db, r->rec, r->len, r->start, r->end)) ==
			   FLOW_BUSY)
			CHECK_OK(flow_flush(t->db, NULL));
		CHECK_OK(st);
	}
}

/* Everything in memory is gone; the region must be as empty as before. */
static inline void
test_unload(TestDb *t)
{
	uint64_t total, used, meta_total, meta_used;

	flow_detach(t->db);
	flow_unload(t->env, t->sh);
	t->db = NULL;
	t->sh = NULL;
	flow_region_usage(t->env, t->env->region, &total, &used, &meta_total,
					  &meta_used);
	CHECK(used == 0);
	CHECK(meta_used == 0);
}

/* The process dies, the log survives. */
static inline void
test_crash(TestDb *t)
{
	test_unload(t);
	test_load(t);
}

/* Flush, close, open again with an empty log. */
static inline void
test_reopen(TestDb *t)
{
	CHECK_OK(flow_flush(t->db, NULL));
	test_forget_log(t);
	test_unload(t);
	test_load(t);
}

static inline void
test_open(TestDb *t, size_t region_bytes, uint64_t memtable_bytes)
{
	memset(t, 0, sizeof(*t));
	t->opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t->opts.memtable_bytes = memtable_bytes;
	t->opts.block_bytes = 1024;
	CHECK_OK(flow_env_posix_create(region_bytes, &t->env));
	flow_env_posix_set_log(t->env, test_log, t);
	t->env->expire_horizon = test_expire_horizon;
	strcpy(t->dir, "tmp_db.XXXXXX");
	CHECK(mkdtemp(t->dir) != NULL);
	CHECK_OK(flow_create(t->env, t->dir));
	test_load(t);
}

static inline void
test_close(TestDb *t)
{
	test_unload(t);
	test_forget_log(t);
	free(t->log);
	flow_env_posix_free(t->env);
	file_shell("rm -rf ./%s", t->dir);
}

/* Load and unload; the log does not begin before log_start. */
static inline FlowStatus
test_try_load(TestDb *t, uint64_t log_start, bool will_redo)
{
	FlowOptions opts = t->opts;
	FlowDbShared *sh;
	FlowStatus st;

	opts.log_start = log_start;
	opts.will_redo = will_redo;
	st = flow_load(t->env, t->dir, &opts, &sh);
	if (st == FLOW_OK)
		flow_unload(t->env, sh);
	return st;
}

/* Run a shell command with the database's directory for each %s. */
static inline void
test_shell(const TestDb *t, const char *format)
{
	char command[1024];

	CHECK(snprintf(command, sizeof(command), format, t->dir, t->dir, t->dir,
				   t->dir) < (int) sizeof(command));
	file_shell("%s", command);
}

/* Files in a directory of the database. */
static inline uint32_t
test_count_files(const TestDb *t, const char *sub)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", t->dir, sub);
	return file_count(path);
}

/* ------------------------------------------------------- short spellings */

static inline uint32_t
test_store(TestDb *t, const char *name)
{
	uint32_t id;

	CHECK_OK(flow_store_define(t->db, name, NULL, 0, &id));
	return id;
}

static inline FlowRecord
test_record(const char *key, int64_t ts, const char *value)
{
	return (FlowRecord){key,		strlen(key), ts,
						FLOW_NEVER, value,		 value ? strlen(value) : 0};
}

static inline void
test_put(TestDb *t, uint32_t store, const char *key, int64_t ts,
		 const char *value)
{
	FlowRecord r = test_record(key, ts, value);

	CHECK_OK(flow_write_batch(t->db, store, &r, 1, NULL));
}

static inline void
test_put_expiring(TestDb *t, uint32_t store, const char *key, int64_t ts,
				  const char *value, int64_t expire_at)
{
	FlowRecord r = test_record(key, ts, value);

	r.expire_at = expire_at;
	CHECK_OK(flow_write_batch(t->db, store, &r, 1, NULL));
}

static inline void
test_delete(TestDb *t, uint32_t store, const char *key, int64_t ts)
{
	FlowRecord r = test_record(key, ts, NULL);

	CHECK_OK(flow_delete_batch(t->db, store, &r, 1, NULL));
}

/* A batch of one put of a transaction. */
static inline void
test_put_xid(TestDb *t, uint32_t store, const char *key, int64_t ts,
			 const char *value, uint64_t xid)
{
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, key, strlen(key), ts,
							FLOW_NEVER, value, strlen(value), xid, 0));
	CHECK_OK(flow_txbuf_push(buf, t->db));
	flow_txbuf_free(buf);
}

/* Push all of buf; what is full is flushed. */
static inline void
test_push(TestDb *t, FlowTxBuf *buf)
{
	FlowStatus st;

	while ((st = flow_txbuf_push(buf, t->db)) == FLOW_BUSY)
		CHECK_OK(flow_flush(t->db, NULL));
	CHECK_OK(st);
}

/* What a host's store_shape gives: the first ncolumns of shape. */
static inline FlowStatus
test_copy_shape(FlowEnv *env, const FlowShape *shape, uint32_t ncolumns,
				FlowShape *copyp)
{
	size_t bytes = ncolumns * sizeof(FlowColumn);
	FlowColumn *columns = env->alloc(env, bytes);

	if (columns == NULL)
		return FLOW_NOMEM;
	memcpy(columns, shape->columns, bytes);
	*copyp = (FlowShape){ncolumns, columns};
	return FLOW_OK;
}

/* "key@ts=value " of each row of a scan, want rows a call. */
static inline char *
test_rows_by(TestDb *t, const FlowScanSpec *spec, uint32_t want)
{
	static _Thread_local char text[65536];
	size_t len = 0;
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;

	text[0] = '\0';
	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, want, &vec)) == FLOW_OK)
	{
		CHECK(vec->nrows > 0 && (want == 0 || vec->nrows <= want));
		for (uint32_t i = 0; i < vec->nrows; i++)
			len += (size_t) snprintf(
				text + len, sizeof(text) - len, "%.*s@%" PRId64 "=%.*s ",
				(int) vec->key_bytes[i], (const char *) vec->key[i], vec->ts[i],
				(int) vec->value_bytes[i],
				vec->value[i] ? (const char *) vec->value[i] : "");
		CHECK(len < sizeof(text) - 1);
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK_STATUS(flow_scan_next(scan, want, &vec), FLOW_END);
	flow_scan_close(scan);
	return text;
}

static inline char *
test_rows(TestDb *t, const FlowScanSpec *spec)
{
	return test_rows_by(t, spec, 0);
}

static inline char *
test_all(TestDb *t, uint32_t store)
{
	return test_rows(t, &(FlowScanSpec){.store_id = store, .now = INT64_MIN});
}

/* The value of (key, ts), or NULL. */
static inline const char *
test_get(TestDb *t, const FlowScanSpec *spec, const char *key, int64_t ts)
{
	static _Thread_local char text[256];
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st = flow_get(t->db, spec, key, strlen(key), ts, &scan, &vec);

	if (st == FLOW_NOTFOUND)
		return NULL;
	CHECK_OK(st);
	CHECK(vec->nrows == 1 && vec->ts[0] == ts);
	snprintf(text, sizeof(text), "%.*s", (int) vec->value_bytes[0],
			 (const char *) vec->value[0]);
	flow_scan_close(scan);
	return text;
}

/* "ts=value" of the latest row of key, or NULL. */
static inline const char *
test_latest(TestDb *t, const FlowScanSpec *spec, const char *key)
{
	static _Thread_local char text[256];
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st = flow_get_latest(t->db, spec, key, strlen(key), &scan, &vec);

	if (st == FLOW_NOTFOUND)
		return NULL;
	CHECK_OK(st);
	CHECK(vec->nrows == 1);
	snprintf(text, sizeof(text), "%" PRId64 "=%.*s", vec->ts[0],
			 (int) vec->value_bytes[0], (const char *) vec->value[0]);
	flow_scan_close(scan);
	return text;
}

#define CHECK_TEXT(got, want)                                            \
	do                                                                   \
	{                                                                    \
		const char *got_ = (got);                                        \
		if (got_ == NULL || strcmp(got_, (want)) != 0)                   \
		{                                                                \
			fflush(stdout);                                              \
			fprintf(stderr, "%s:%d: got \"%s\", not \"%s\"\n", __FILE__, \
					__LINE__, got_ ? got_ : "(null)", (want));           \
			exit(1);                                                     \
		}                                                                \
	} while (0)

#endif /* FLOW_TEST_DBTEST_H */
