/*-------------------------------------------------------------------------
 * refdb.h
 *	  A database for the reference cases: opened as an embedder does, with
 *	  the file log, by a clock that stands still; and the runner of cases.
 *
 * Each case runs in a process of its own, so that one that fails, or dies,
 * leaves the others alone.  "prog ID" runs one case in this process.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_REFDB_H
#define FLOW_TEST_REFDB_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../env_posix.h"
#include "check.h"

#define REF_NOW INT64_C(1700000000000000)
#define REF_REGION (12u << 20)

typedef struct RefDb
{
	FlowEnv *env;
	FlowDb *db;
	uint32_t store;
	FlowOptions opts;
	char dir[64];
	int crashes;
} RefDb;

static int64_t ref_clock = REF_NOW;

static inline int64_t
ref_now(FlowEnv *env)
{
	(void) env;
	return ref_clock;
}

/* Processes die here, the machine does not, so nothing need reach the disk:
 * these take the place of the C library's. */
int
fsync(int fd)
{
	(void) fd;
	return 0;
}

int
fdatasync(int fd)
{
	(void) fd;
	return 0;
}

static inline FlowEnv *
ref_env(void)
{
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(REF_REGION, &env));
	env->now_us = ref_now;
	return env;
}

/* The reference's own test configuration. */
static inline FlowOptions
ref_options(void)
{
	FlowOptions o = FLOW_OPTIONS_DEFAULT;

	o.memtable_bytes = 1u << 20;
	o.block_bytes = 1024;
	o.wal_segment_bytes = 1u << 20;
	o.merge_threshold = 2;
	return o;
}

/* Open what is in r->dir; the status of flow_open. */
static inline FlowStatus
ref_try_open(RefDb *r)
{
	FlowStatus st;

	r->env = ref_env();
	r->db = NULL;
	st = flow_open(r->env, r->dir, &r->opts, &r->db);
	if (st == FLOW_OK)
		CHECK_OK(flow_store_define(r->db, "t", NULL, 0, &r->store));
	else
	{
		flow_env_posix_free(r->env);
		r->env = NULL;
	}
	return st;
}

static inline void
ref_open(RefDb *r)
{
	r->opts = ref_options();
	r->crashes = 0;
	strcpy(r->dir, "tmp_ref.XXXXXX");
	CHECK(mkdtemp(r->dir) != NULL);
	r->opts.create = true;
	CHECK_OK(ref_try_open(r));
	r->opts.create = false;
}

/* ------------------------------------------------------------ directories */

static inline int
ref_unlink(const char *path, const struct stat *sb, int flag, struct FTW *at)
{
	(void) sb;
	(void) flag;
	(void) at;
	return remove(path);
}

/* It may not be there. */
static inline void
ref_remove(const char *dir)
{
	CHECK(nftw(dir, ref_unlink, 16, FTW_DEPTH | FTW_PHYS) == 0 ||
		  access(dir, F_OK) != 0);
}

static inline void
ref_copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct stat sb;

	CHECK(in >= 0 && out >= 0 && fstat(in, &sb) == 0);
	for (off_t at = 0; at < sb.st_size;)
		CHECK(sendfile(out, in, &at, (size_t) (sb.st_size - at)) > 0);
	CHECK(close(in) == 0 && close(out) == 0);
}

/* A directory with all that is in it. */
static inline void
ref_copy(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	struct dirent *entry;

	CHECK(dir != NULL && mkdir(to, 0700) == 0);
	while ((entry = readdir(dir)) != NULL)
	{
		char a[512], b[512];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(a, sizeof(a), "%.200s/%s", from, entry->d_name);
		snprintf(b, sizeof(b), "%.200s/%s", to, entry->d_name);
		if (entry->d_type == DT_DIR)
			ref_copy(a, b);
		else
			ref_copy_file(a, b);
	}
	closedir(dir);
}

/* Close without looking at how that goes. */
static inline void
ref_drop(RefDb *r)
{
	flow_free(r->db);
	flow_env_posix_free(r->env);
	r->db = NULL;
	r->env = NULL;
}

static inline void
ref_shut(RefDb *r)
{
	CHECK_OK(flow_close(r->db));
	ref_drop(r);
}

static inline void
ref_reopen(RefDb *r)
{
	ref_shut(r);
	CHECK_OK(ref_try_open(r));
}

/* The process dies: go on with a copy of what is in the files now. */
static inline void
ref_crash(RefDb *r)
{
	char copy[64 + 16];

	snprintf(copy, sizeof(copy), "%.14s.%d", r->dir, ++r->crashes);
	ref_copy(r->dir, copy);
	ref_drop(r);
	ref_remove(r->dir);
	snprintf(r->dir, sizeof(r->dir), "%.60s", copy);
	CHECK_OK(ref_try_open(r));
}

static inline void
ref_close(RefDb *r)
{
	ref_drop(r);
	ref_remove(r->dir);
}

/* ------------------------------------------------------- short spellings */

static inline FlowRecord
ref_record(const char *key, int64_t ts, const char *value)
{
	return (FlowRecord){key, strlen(key), ts, FLOW_NEVER, value, strlen(value)};
}

static inline void
ref_put(RefDb *r, const char *key, int64_t ts, const char *value)
{
	FlowRecord rec = ref_record(key, ts, value);

	CHECK_OK(flow_write_batch(r->db, r->store, &rec, 1, NULL));
}

static inline FlowScanSpec
ref_spec(RefDb *r)
{
	return (FlowScanSpec){.store_id = r->store, .now = ref_clock};
}

/* The value of a row into text; false: there is no row. */
static inline bool
ref_get(RefDb *r, const char *key, int64_t ts, char text[64])
{
	FlowScanSpec spec = ref_spec(r);
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st = flow_get(r->db, &spec, key, strlen(key), ts, &scan, &vec);

	if (st == FLOW_NOTFOUND)
		return false;
	CHECK_OK(st);
	CHECK(vec->nrows == 1 && vec->ts[0] == ts);
	snprintf(text, 64, "%.*s", (int) vec->value_bytes[0],
			 (const char *) vec->value[0]);
	flow_scan_close(scan);
	return true;
}

/* All rows; they rise strictly. */
static inline uint64_t
ref_count(RefDb *r)
{
	FlowScanSpec spec = ref_spec(r);
	FlowScan *scan;
	FlowRecord row;
	FlowStatus st;
	uint8_t key[FLOW_MAX_KEY];
	size_t key_bytes = 0;
	int64_t ts = 0;
	uint64_t n = 0;

	CHECK_OK(flow_scan_open(r->db, &spec, &scan));
	for (; (st = flow_scan_row(scan, &row)) == FLOW_OK; n++)
	{
		size_t least = row.key_bytes < key_bytes ? row.key_bytes : key_bytes;
		int c = memcmp(row.key, key, least);

		CHECK(n == 0 || c > 0 || (c == 0 && row.key_bytes > key_bytes) ||
			  (c == 0 && row.key_bytes == key_bytes && row.ts > ts));
		memcpy(key, row.key, row.key_bytes);
		key_bytes = row.key_bytes;
		ts = row.ts;
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK_STATUS(flow_scan_row(scan, &row), FLOW_END);
	flow_scan_close(scan);
	return n;
}

static inline uint32_t
ref_sstables(RefDb *r)
{
	FlowStats stats;

	flow_stats(r->db, &stats);
	return stats.sstables;
}

/* ------------------------------------------------------------------ runner */

typedef struct RefCase
{
	const char *id;		/* "TE12", or several: "TE22 TE65" */
	void (*fn)(void);	/* either this */
	const char *script; /* or a script, see refcase.h */
} RefCase;

/* Run fn(arg) in a process of its own; did it go well? */
static inline bool
ref_apart(void (*fn)(const void *arg), const void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
	{
		alarm(120);
		fn(arg);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void
ref_run_fn(const void *arg)
{
	((const RefCase *) arg)->fn();
}

#endif /* FLOW_TEST_REFDB_H */
