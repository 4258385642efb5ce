/*-------------------------------------------------------------------------
 * compact_test.c
 *	  Merges, collections and maintenance steps: no reader sees a difference,
 *	  nothing is lost or left behind whatever fails, steps keep their time.
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "lyingdisk.h"

#include "../choose.h"
#include "../db.h"
#include "../version.h"

#define REGION_BYTES (32u << 20)
#define MEMTABLE_BYTES (4u << 20)

/* ----------------------------------------------------- a host's transactions */

#define MAX_XID 64
static FlowTxnState fate[MAX_XID];
static int64_t horizon;

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < MAX_XID);
	*statep = fate[xid];
	return FLOW_OK;
}

static int64_t
host_horizon(FlowEnv *env)
{
	(void) env;
	return horizon;
}

/* A snapshot: bit x for transaction x. */
static bool
sees(void *arg, FlowTxn *txn)
{
	if (fate[txn->xid] == FLOW_TXN_ABORTED)
		return false;
	return fate[txn->xid] == FLOW_TXN_SETTLED ||
		   (*(uint64_t *) arg >> txn->xid & 1);
}

/* Only where a test plays crashes does it matter. */
static FlowStatus (*real_sync)(FlowFile *);

static FlowStatus
no_sync(FlowFile *file)
{
	(void) file;
	return FLOW_OK;
}

static void
set_up(TestDb *t)
{
	if (t->env->file_sync != no_sync)
		real_sync = t->env->file_sync;
	t->env->file_sync = no_sync;
	flow_env_posix_set_outcome(t->env, outcome, NULL);
	t->env->expire_horizon = host_horizon;
}

static void
open_db(TestDb *t, uint32_t *store)
{
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	set_up(t);
	memset(fate, 0, sizeof(fate));
	horizon = 0;
	*store = test_store(t, "s");
	CHECK_OK(flow_flush(t->db, NULL));
}

static FlowStats
stats_of(TestDb *t)
{
	FlowStats stats;

	flow_stats(t->db, &stats);
	return stats;
}

static bool
compact(TestDb *t, uint32_t store)
{
	bool ran;

	CHECK_OK(flow_compact(t->db, store, &ran));
	return ran;
}

static void
flush(TestDb *t)
{
	CHECK_OK(flow_flush(t->db, NULL));
}

/* Maintenance until nothing is left. */
static void
maintain(TestDb *t, int64_t budget)
{
	FlowStatus st;

	while ((st = flow_maintenance_step(t->db, budget, NULL)) == FLOW_OK)
		;
	CHECK_STATUS(st, FLOW_END);
}

/* As little as there is. */
static void
step(FlowDb *db)
{
	FlowStatus st = flow_maintenance_step(db, 0, NULL);

	CHECK(st == FLOW_OK || st == FLOW_END);
}

/* Files in SST that the version does not list. */
static int
count_orphans(const TestDb *t)
{
	char path[FLOW_PATH_BYTES];
	DIR *dir;
	int files = 0;

	flowi_version_sst_dir(t->dir, path);
	dir = opendir(path);
	CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		files++;
	closedir(dir);
	return files - 2 - (int) t->sh->version->nssts;
}

static void
delete_range(TestDb *t, uint32_t store, const char *lo, const char *hi,
			 int64_t ts_lo, int64_t ts_hi, uint64_t xid)
{
	FlowRect rect = {.key_lo = (const uint8_t *) lo,
					 .key_lo_bytes = (uint32_t) strlen(lo),
					 .key_hi = (const uint8_t *) hi,
					 .key_hi_bytes = hi ? (uint32_t) strlen(hi) : 0,
					 .ts_lo = ts_lo,
					 .ts_hi = ts_hi};
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, xid, 0));
	CHECK_OK(flow_txbuf_push(buf, t->db));
	flow_txbuf_free(buf);
}

/* ----------------------------------------------------------------- basics */

static void
test_basics(void)
{
	TestDb t;
	uint32_t s, empty;
	char key[32];
	uint64_t id;

	open_db(&t, &s);
	empty = test_store(&t, "empty");
	CHECK(!compact(&t, empty) && !compact(&t, 0));
	for (int i = 0; i < 10; i++)
	{
		for (int k = 0; k < 5; k++)
		{
			snprintf(key, sizeof(key), "compact_%d-%d", i, k);
			test_put(&t, s, key, i * 100 + k, "v");
		}
		flush(&t);
		CHECK(i > 0 || !compact(&t, s)); /* one is below the threshold */
	}
	id = stats_of(&t).generation;
	CHECK(t.sh->version->nssts == 10);
	CHECK(compact(&t, s));
	CHECK(t.sh->version->nssts == 1 && t.sh->version->sst[0]->info.id >= id);
	CHECK(t.sh->version->sst[0]->info.records == 50);
	CHECK(t.sh->version->sst[0]->info.origin == FLOW_SST_MERGED);
	CHECK(stats_of(&t).merges == 1 && stats_of(&t).sstables_merged == 10);
	CHECK(stats_of(&t).sstables_made == 1 && stats_of(&t).merge_rows == 50);
	CHECK(count_orphans(&t) == 0);
	CHECK(!compact(&t, s));
	t.sh->options.merge_threshold = 1;
	CHECK(compact(&t, s) && t.sh->version->nssts == 1);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "compact_7-3", 703),
			   "v");
	test_reopen(&t);
	CHECK(t.sh->version->nssts == 1);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "compact_7-3", 703),
			   "v");
	CHECK_STATUS(flow_compact(t.db, 99, &(bool){0}), FLOW_INVALID);
	test_close(&t);
	check_passed("merges by hand");
}

/* Newest wins, deletes stay deletes, and nothing is left of nothing. */
static void
test_effects(void)
{
	TestDb t;
	uint32_t s;
	char value[20000];

	open_db(&t, &s);
	test_put(&t, s, "k", 1, "v1");
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 9; i++) /* lz4 makes little of it */
	{
		for (size_t k = 0; k < sizeof(value) - 1; k++)
			value[k] = (char) ('!' + (k * 7919 + k * k * (size_t) i) % 90);
		test_put(&t, s, "big", i, value);
	}
	flush(&t);
	test_delete(&t, s, "k", 1);
	flush(&t);
	test_put(&t, s, "l", 1, "x");
	flush(&t);
	/* the two newest only: the tombstone is still needed */
	CHECK(compact(&t, s) && t.sh->version->nssts == 2);
	CHECK(t.sh->version->sst[1]->info.tombstones == 1);
	CHECK(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1) == NULL);
	CHECK(compact(&t, s) && t.sh->version->nssts == 1);
	CHECK(t.sh->version->sst[0]->info.tombstones == 0);
	CHECK(t.sh->version->sst[0]->info.records == 10);
	CHECK(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1) == NULL);

	/* v1, v2, v3 */
	for (int i = 1; i <= 3; i++)
	{
		test_put(&t, s, "k", 1, i == 1 ? "v1" : i == 2 ? "v2" : "v3");
		flush(&t);
	}
	CHECK(compact(&t, s));
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1), "v3");
	test_reopen(&t);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1), "v3");

	/* all of it deleted */
	delete_range(&t, s, "", NULL, INT64_MIN, INT64_MAX, 0);
	flush(&t);
	CHECK(stats_of(&t).range_tombstones == 1);
	while (compact(&t, s))
		;
	t.sh->options.merge_threshold = 1;
	while (t.sh->version->nssts > 0)
		CHECK(compact(&t, s));
	CHECK(count_orphans(&t) == 0);
	CHECK_TEXT(test_all(&t, s), "");
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(t.sh->version->nssts == 0);
	test_close(&t);
	check_passed("what a merge leaves");
}

/* All inputs go, no output: true, one edit, and not counted as a merge. */
static void
test_zero_survivors(void)
{
	TestDb t;
	uint32_t s;
	uint64_t edit;

	open_db(&t, &s);
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	test_delete(&t, s, "a", 1);
	test_put_expiring(&t, s, "b", 1, "x", 20);
	flush(&t);
	horizon = 100;
	edit = t.sh->manifest.edit_number;
	CHECK(compact(&t, s));
	CHECK(t.sh->version->nssts == 0 && stats_of(&t).merges == 0);
	CHECK(t.sh->manifest.edit_number >= edit + 1);
	CHECK(stats_of(&t).records_expired == 1);
	CHECK(count_orphans(&t) == 0);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "");
	test_close(&t);
	check_passed("nothing survives");
}

/* ------------------------------------------------------------------ model */

#define MAX_WRITES 3000
#define NKEYS 6
#define NTIMES 5

/* One write, in the order of the log. */
typedef struct Write
{
	FlowOp op;
	int key, key_hi; /* of a range: [key, key_hi) */
	int64_t ts, ts_hi;
	int64_t expire_at;
	uint64_t xid;
	int value;
} Write;

typedef struct Model
{
	TestDb t;
	uint32_t s;
	CheckRandom *r;
	Write write[MAX_WRITES];
	int n;
	uint64_t open_xids; /* may still write */
} Model;

static bool
visible(uint64_t snapshot, uint64_t xid)
{
	return xid == 0 || fate[xid] == FLOW_TXN_SETTLED ||
		   (fate[xid] != FLOW_TXN_ABORTED && (snapshot >> xid & 1));
}

/* The live write of (key, ts), or NULL. */
static const Write *
model_get(const Model *m, uint64_t snapshot, int64_t now, int key, int64_t ts)
{
	for (int i = m->n; i-- > 0;)
	{
		const Write *w = &m->write[i];

		if (!visible(snapshot, w->xid))
			continue;
		if (w->op == FLOW_DELETE_RANGE)
		{
			if (w->key <= key && key < w->key_hi && w->ts <= ts &&
				ts <= w->ts_hi)
				return NULL;
		}
		else if (w->key == key && w->ts == ts)
			return w->op == FLOW_DELETE || w->expire_at <= now ? NULL : w;
	}
	return NULL;
}

static void
model_rows(const Model *m, uint64_t snapshot, int64_t now, char *text)
{
	*text = '\0';
	for (int key = 0; key < NKEYS; key++)
		for (int64_t ts = 0; ts < NTIMES; ts++)
		{
			const Write *w = model_get(m, snapshot, now, key, ts);

			if (w)
				text += sprintf(text, "k%d@%" PRId64 "=%d ", key, ts, w->value);
		}
}

static void
model_check(Model *m)
{
	uint64_t snapshot = check_random(m->r);
	int64_t now = horizon + (int64_t) check_below(m->r, 3);
	FlowScanSpec spec = {.store_id = m->s,
						 .now = now,
						 .visible = sees,
						 .visible_arg = &snapshot};
	char want[4096], key[8];
	int k = (int) check_below(m->r, NKEYS);
	int64_t ts = (int64_t) check_below(m->r, NTIMES);
	const Write *w = model_get(m, snapshot, now, k, ts);
	const char *got;

	model_rows(m, snapshot, now, want);
	CHECK_TEXT(test_rows(&m->t, &spec), want);
	snprintf(key, sizeof(key), "k%d", k);
	got = test_get(&m->t, &spec, key, ts);
	CHECK((got == NULL) == (w == NULL) && (!w || atoi(got) == w->value));
}

static uint64_t
model_xid(Model *m)
{
	uint64_t xid;

	if (check_below(m->r, 3) == 0)
		return 0;
	do
		xid = 1 + check_below(m->r, MAX_XID - 1);
	while (fate[xid] != FLOW_TXN_UNKNOWN);
	return xid;
}

static void
model_write(Model *m)
{
	Write *w = &m->write[m->n++];
	char key[8], hi[8], value[16];
	FlowTxBuf *buf;

	CHECK(m->n < MAX_WRITES);
	*w = (Write){.op = FLOW_PUT,
				 .key = (int) check_below(m->r, NKEYS),
				 .ts = (int64_t) check_below(m->r, NTIMES),
				 .expire_at = FLOW_NEVER,
				 .xid = model_xid(m),
				 .value = m->n};
	w->ts_hi = w->ts + (int64_t) check_below(m->r, 3);
	w->key_hi = w->key + (int) check_below(m->r, 3);
	snprintf(key, sizeof(key), "k%d", w->key);
	snprintf(hi, sizeof(hi), "k%d", w->key_hi);
	snprintf(value, sizeof(value), "%d", w->value);
	switch (check_below(m->r, 12))
	{
		case 0:
			w->op = FLOW_DELETE_RANGE;
			delete_range(&m->t, m->s, key, hi, w->ts, w->ts_hi, w->xid);
			return;
		case 1:
		case 2:
			w->op = FLOW_DELETE;
			break;
		case 3:
		case 4:
			w->expire_at = horizon + (int64_t) check_below(m->r, 30) - 5;
			break;
		default:
			break;
	}
	CHECK_OK(flow_txbuf_create(m->t.env, &buf));
	CHECK_OK(flow_txbuf_add(buf, w->op, m->s, key, strlen(key), w->ts,
							w->expire_at, w->op == FLOW_PUT ? value : NULL,
							w->op == FLOW_PUT ? strlen(value) : 0, w->xid, 0));
	CHECK_OK(flow_txbuf_push(buf, m->t.db));
	flow_txbuf_free(buf);
}

/* A transaction ends, or gets older than every snapshot. */
static void
model_fate(Model *m)
{
	uint64_t xid = 1 + check_below(m->r, MAX_XID - 1);

	switch (fate[xid])
	{
		case FLOW_TXN_UNKNOWN:
			if (xid % 2) /* half of them stay open */
				fate[xid] = check_below(m->r, 4) ? FLOW_TXN_COMMITTED
												 : FLOW_TXN_ABORTED;
			break;
		case FLOW_TXN_COMMITTED:
			fate[xid] = FLOW_TXN_SETTLED;
			break;
		default:
			break;
	}
}

static void
model_step_status(FlowStatus st)
{
	CHECK(st == FLOW_OK || st == FLOW_END);
}

/* What must not change any answer. */
static void
model_maintain(Model *m)
{
	uint64_t purged;

	switch (check_below(m->r, 10))
	{
		case 0:
		case 1:
		case 2:
			flush(&m->t);
			break;
		case 3:
		case 4:
		case 5:
			model_step_status(flow_maintenance_step(
				m->t.db, (int64_t) check_below(m->r, 3) * 1000, NULL));
			break;
		case 6:
			(void) compact(&m->t, m->s);
			break;
		case 7:
			model_step_status(flow_resolve_step(m->t.db));
			break;
		case 8:
			CHECK_OK(flow_gc(m->t.db, &purged));
			break;
		default:
			if (check_below(m->r, 4) == 0)
				flow_maintenance_cancel(m->t.db);
			horizon += (int64_t) check_below(m->r, 4);
			break;
	}
}

static void
rows_of_scan(FlowScan *scan, char *text, size_t want_rows)
{
	const FlowVector *vec;

	text += strlen(text);
	while (want_rows-- > 0 && flow_scan_next(scan, 1, &vec) == FLOW_OK)
		text +=
			sprintf(text, "%.*s@%" PRId64 "=%.*s ", (int) vec->key_bytes[0],
					(const char *) vec->key[0], vec->ts[0],
					(int) vec->value_bytes[0], (const char *) vec->value[0]);
}

/* A scan that stays open over merges. */
static void
model_scan(Model *m)
{
	uint64_t snapshot = check_random(m->r);
	int64_t now = horizon + 40; /* whatever the horizon will be */
	FlowScanSpec spec = {.store_id = m->s,
						 .now = now,
						 .visible = sees,
						 .visible_arg = &snapshot};
	char want[4096], got[4096] = "";
	FlowScan *scan;

	/* what is in the snapshot stays in it: committed it may be only if seen */
	for (uint64_t xid = 1; xid < MAX_XID; xid++)
		if (fate[xid] == FLOW_TXN_COMMITTED)
			snapshot |= UINT64_C(1) << xid;
	model_rows(m, snapshot, now, want);
	CHECK_OK(flow_scan_open(m->t.db, &spec, &scan));
	for (int i = 0; i < 12; i++)
	{
		rows_of_scan(scan, got, 1 + check_below(m->r, 3));
		model_maintain(m);
	}
	rows_of_scan(scan, got, SIZE_MAX);
	flow_scan_close(scan);
	CHECK_TEXT(got, want);
}

static void
test_model(CheckRandom *r, FlowPolicyKind kind)
{
	static Model m;
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	FlowStats stats;

	m.r = r;
	m.n = 0;
	open_db(&m.t, &m.s);
	policy.kind = kind;
	policy.min_threshold = 2;
	policy.max_threshold = 4;
	policy.window_us = 2;
	policy.target_bytes = 1 << 20;
	CHECK_OK(flow_set_merge_policy(m.t.db, m.s, &policy));
	horizon = 100;
	for (int i = 0; i < 1000; i++)
	{
		uint64_t what = check_below(r, 20);

		if (what < 9 && m.n < MAX_WRITES - 1)
			model_write(&m);
		else if (what < 11)
			model_fate(&m);
		else if (what < 18)
			model_maintain(&m);
		else if (what == 18)
			model_scan(&m);
		else if (check_below(r, 8) == 0)
		{
			test_reopen(&m.t);
			CHECK_OK(flow_set_merge_policy(m.t.db, m.s, &policy));
		}
		model_check(&m);
	}
	stats = stats_of(&m.t);
	printf("# %d writes, %" PRIu64 " merges of %" PRIu64 " files\n", m.n,
		   stats.merges, stats.sstables_merged);
	/* everything settled, nothing open: only what is alive is left */
	for (int i = 1; i < MAX_XID; i++)
		if (fate[i] != FLOW_TXN_ABORTED)
			fate[i] = FLOW_TXN_SETTLED;
	flush(&m.t);
	flow_maintenance_cancel(m.t.db);
	model_step_status(flow_resolve_step(m.t.db));
	m.t.sh->options.merge_threshold = 1;
	while (m.t.sh->version->nssts > 1)
		CHECK(compact(&m.t, m.s));
	if (m.t.sh->version->nssts > 0)
		CHECK(compact(&m.t, m.s));
	model_check(&m);
	stats = stats_of(&m.t);
	{
		uint64_t alive = 0;

		for (int key = 0; key < NKEYS; key++)
			for (int64_t ts = 0; ts < NTIMES; ts++)
				alive += model_get(&m, 0, horizon, key, ts) != NULL;
		CHECK(stats.sstable_records == alive && stats.range_tombstones == 0);
	}
	CHECK(count_orphans(&m.t) == 0);
	test_close(&m.t);
	check_passed("no query sees a merge");
}

/* --------------------------------------------------------------- by steps */

static void
put_many(TestDb *t, uint32_t s, int from, int n, int64_t ts, size_t bytes)
{
	static char value[8192];
	static uint64_t salt;
	FlowRecord *records = calloc((size_t) n, sizeof(*records));
	char(*keys)[16] = calloc((size_t) n, sizeof(*keys));

	CHECK(records != NULL && keys != NULL && bytes <= sizeof(value) / 2);
	for (size_t i = 0; i < sizeof(value); i++)
	{
		salt = salt * UINT64_C(6364136223846793005) + 1442695040888963407u;
		value[i] = (char) (salt >> 56);
	}
	for (int i = 0; i < n; i++)
	{
		snprintf(keys[i], sizeof(keys[i]), "key%08d", from + i);
		records[i] = (FlowRecord){keys[i],	  strlen(keys[i]),		   ts,
								  FLOW_NEVER, value + (i * 37) % 4096, bytes};
	}
	CHECK_OK(flow_write_batch(t->db, s, records, (size_t) n, NULL));
	free(records);
	free(keys);
}

static uint64_t
count_rows(TestDb *t, uint32_t s)
{
	FlowScanSpec spec = {.store_id = s, .now = INT64_MIN, .keys_only = true};
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;
	uint64_t n = 0;

	CHECK_OK(flow_scan_open(t->db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
		n += vec->nrows;
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	return n;
}

/* Four files of so many rows. */
static void
four_files(TestDb *t, uint32_t s, int rows, size_t bytes)
{
	for (int i = 0; i < 4; i++)
	{
		for (int k = 0; k < rows; k += 1000)
			put_many(t, s, i * 7 + k * 2, rows - k < 1000 ? rows - k : 1000, i,
					 bytes);
		flush(t);
	}
}

/* Budget 0 still gets on; between the steps nothing is different. */
static void
test_steps(void)
{
	TestDb t;
	uint32_t s;
	FlowMaintenance report;
	uint64_t rows, seen = 0, steps = 0;
	FlowStatus st;

	open_db(&t, &s);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK_STATUS(flow_maintenance_step(t.db, 1000, &report), FLOW_END);
	four_files(&t, s, 1000, 100);
	CHECK(flow_wants_maintenance(t.db));
	rows = count_rows(&t, s);
	while ((st = flow_maintenance_step(t.db, 0, &report)) == FLOW_OK)
	{
		seen += report.rows_merged;
		steps++;
		if (report.pending)
			CHECK(!flow_wants_maintenance(t.db)); /* it is at work */
		if (steps % 16 == 0)
			CHECK(count_rows(&t, s) == rows);
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(seen == 4000 && steps >= 4000 / 16);
	CHECK(count_rows(&t, s) == rows && t.sh->version->nssts == 1);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK(count_orphans(&t) == 0);

	/* a merge that is given up, at any point, leaves nothing */
	for (int n = 1; n < 300; n += 23)
	{
		four_files(&t, s, 300, 50);
		rows = count_rows(&t, s);
		for (int i = 0; i < n; i++)
			step(t.db);
		flow_maintenance_cancel(t.db);
		CHECK(count_orphans(&t) == 0);
		CHECK(count_rows(&t, s) == rows);
	}
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	test_reopen(&t); /* detach ends it too */
	CHECK(count_orphans(&t) == 0);
	test_close(&t);
	check_passed("step by step");
}

static int
cmp_i64(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

/* Time in which this thread was at work: what else the machine does is no
 * matter of ours. */
static int64_t
thread_now(FlowEnv *env)
{
	struct timespec ts;

	(void) env;
	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The median of a merge's steps; 0: it has too few. */
static int64_t
median_step(TestDb *t, uint32_t s, int64_t budget)
{
	int64_t took[1000];
	size_t n = 0;
	FlowStatus st;
	FlowMaintenance report;

	four_files(t, s, 20000, 100);
	while ((st = flow_maintenance_step(t->db, budget, &report)) == FLOW_OK)
	{
		if (report.pending && report.rows_merged > 0 && n < 1000)
			took[n++] = report.time_us;
	}
	CHECK_STATUS(st, FLOW_END);
	if (n < 3)
		return 0;
	qsort(took, n, sizeof(took[0]), cmp_i64);
	printf("# budget %" PRId64 " us: %zu steps, median %" PRId64 "\n", budget,
		   n, took[n / 2]);
	return took[n / 2];
}

static void
test_budgets(void)
{
	static const int64_t budgets[] = {5000, 10000, 20000};
	TestDb t;
	uint32_t s;

	test_open(&t, 64u << 20, 8u << 20);
	set_up(&t);
	t.env->now_us = thread_now;
	s = test_store(&t, "s");
	for (size_t b = 0; b < sizeof(budgets) / sizeof(budgets[0]); b++)
	{
		int tries = 0;

		/* caches may be somebody else's */
		while (median_step(&t, s, budgets[b]) > budgets[b] + budgets[b] / 10)
			CHECK(++tries < 10);
	}
	test_close(&t);
	check_passed("budgets");
}

/* Interrupted at every poll, a merge still gets there. */
static uint64_t polls;

static FlowStatus
nervous_poll(FlowEnv *env)
{
	(void) env;
	return ++polls % 3 ? FLOW_OK : FLOW_INTERRUPTED;
}

static void
test_interrupts(void)
{
	TestDb t;
	uint32_t s;
	uint64_t rows, interrupted = 0;
	FlowStatus (*calm)(FlowEnv *);
	FlowStatus st;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 2000, 100);
	rows = count_rows(&t, s);
	calm = t.env->poll;
	t.env->poll = nervous_poll;
	while ((st = flow_maintenance_step(t.db, 1000, NULL)) != FLOW_END)
	{
		CHECK(st == FLOW_OK || st == FLOW_INTERRUPTED);
		interrupted += st == FLOW_INTERRUPTED;
		CHECK(interrupted < 100000);
	}
	t.env->poll = calm;
	CHECK(interrupted > 10 && t.sh->version->nssts == 1);
	CHECK(count_rows(&t, s) == rows &&
		  rows == t.sh->version->sst[0]->info.records);
	CHECK(stats_of(&t).merges == 1 && stats_of(&t).merge_failures == 0);

	/* by hand it ends there */
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	t.env->poll = nervous_poll;
	st = flow_compact(t.db, s, &ran);
	t.env->poll = calm;
	CHECK(st == FLOW_INTERRUPTED && !ran && t.db->merge == NULL);
	CHECK(count_orphans(&t) == 0 && count_rows(&t, s) == rows + 1);
	CHECK(compact(&t, s));
	test_close(&t);
	check_passed("interrupts");
}

/* ---------------------------------------------------------- others at work */

static void
test_two_handles(void)
{
	TestDb t;
	uint32_t s, other;
	FlowDb *second;
	FlowMaintenance report;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	other = test_store(&t, "other");
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, &report));
	CHECK(report.pending);
	CHECK_STATUS(flow_maintenance_step(second, 1000, &report), FLOW_END);
	CHECK(!flow_wants_maintenance(second));
	four_files(&t, other, 300, 50);
	CHECK_OK(flow_maintenance_step(second, 0, &report));
	CHECK(report.pending && second->merge != NULL);
	/* a collection passes over both, and comes back */
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_OK(flow_compact(second, other, &ran)); /* its own first */
	CHECK(!ran && second->merge == NULL);
	maintain(&t, 10000);
	CHECK(t.sh->version->nssts == 2 && count_orphans(&t) == 0);

	/* what another one flushes meanwhile stays; busy is waited for */
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	test_put(&t, s, "zz", 1, "new");
	CHECK_OK(flow_flush(second, NULL));
	CHECK_OK(flowi_version_begin(second));
	for (int i = 0; i < 2000; i++)
		CHECK_OK(flow_maintenance_step(t.db, 0, &report));
	CHECK(report.pending);
	flowi_version_end(second);
	maintain(&t, 1000);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "zz", 1), "new");
	CHECK(count_rows(&t, s) == 4 * 300 + 1);
	flow_detach(second);
	test_close(&t);
	check_passed("two handles");
}

/* It may fail: its files are gone. */
static void
step_anyhow(FlowDb *db)
{
	FlowStatus st = flow_maintenance_step(db, 0, NULL);

	CHECK(st != FLOW_NOMEM && st != FLOW_PANIC);
}

/* The database is dropped under a merge. */
static void
test_discard(void)
{
	TestDb t;
	uint32_t s, again;
	FlowDb *second;
	char command[200];

	for (int steps = 1; steps < 120; steps += 7)
	{
		open_db(&t, &s);
		CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
		four_files(&t, s, 300, 50);
		for (int i = 0; i < steps; i++)
			step_anyhow(second);
		snprintf(command, sizeof(command), "rm -rf ./%s/SST/*", t.dir);
		if (steps % 2)
			CHECK(system(command) == 0);
		flow_discard(t.env, t.sh);
		again = test_store(&t, "again");
		CHECK(again == s || again > 0);
		for (int i = 0; i < 3000 && second->merge; i++)
			step_anyhow(second);
		CHECK(second->merge == NULL);
		CHECK(t.sh->version->nssts == 0);
		CHECK(t.sh->stores->claim == 0);
		flow_detach(second);
		test_close(&t);
	}
	check_passed("a database dropped under a merge");
}

/* -------------------------------------------------------------- collection */

static void
test_gc(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	FlowScanSpec spec = {.now = 150};

	open_db(&t, &s);
	spec.store_id = s;
	horizon = 5;
	test_put_expiring(&t, s, "a", 1, "x", 100);
	test_put_expiring(&t, s, "b", 1, "x", 110);
	flush(&t);
	test_put_expiring(&t, s, "c", 1, "x", 100);
	test_put(&t, s, "d", 1, "immortal");
	flush(&t);
	test_put_expiring(&t, s, "e", 1, "x", 100);
	test_delete(&t, s, "c", 1);
	flush(&t);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	horizon = 109;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	horizon = 110;
	CHECK(flow_wants_maintenance(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2 && t.sh->version->nssts == 2);
	CHECK(stats_of(&t).purged == 2 && stats_of(&t).records_expired == 2);
	CHECK(count_orphans(&t) == 0);
	test_reopen(&t);
	CHECK_TEXT(test_rows(&t, &spec), "d@1=immortal ");

	/* what hides an older row is no matter of a collection (X07) */
	horizon = 5;
	test_put_expiring(&t, s, "d", 1, "past", 100);
	flush(&t);
	CHECK_TEXT(test_rows(&t, &spec), "");
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_TEXT(test_rows(&t, &spec), "");
	while (compact(&t, s))
		CHECK_TEXT(test_rows(&t, &spec), "");
	CHECK(t.sh->version->nssts <= 1);

	/* two versions that have both expired go together */
	horizon = 5;
	test_put_expiring(&t, s, "p", 1, "x", 100);
	flush(&t);
	test_put_expiring(&t, s, "p", 1, "y", 90);
	flush(&t);
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2);

	/* not settled: not yet */
	horizon = 5;
	{
		FlowTxBuf *buf;

		CHECK_OK(flow_txbuf_create(t.env, &buf));
		CHECK_OK(
			flow_txbuf_add(buf, FLOW_PUT, s, "q", 1, 1, 100, "x", 1, 3, 0));
		CHECK_OK(flow_txbuf_push(buf, t.db));
		flow_txbuf_free(buf);
	}
	flush(&t);
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	fate[3] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	maintain(&t, 1000); /* which collects too */
	CHECK(stats_of(&t).purged == 3);
	test_close(&t);
	check_passed("collection");
}

/* Rows that expired are not even flushed. */
static void
test_flush_expired(void)
{
	TestDb t;
	uint32_t s;
	FlowFlushReport report;

	open_db(&t, &s);
	horizon = 1000;
	test_put_expiring(&t, s, "a", 1, "x", 1000);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 0 && report.first_id == 0 && report.records == 0);
	CHECK(t.sh->version->nssts == 0);
	test_put_expiring(&t, s, "a", 1, "x", 1001);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 1 && report.records == 1);
	CHECK(report.first_id == t.sh->version->sst[0]->info.id);
	CHECK(report.file_bytes == t.sh->version->sst[0]->info.file_bytes);
	/* over an older version it stays, as a tombstone */
	test_put_expiring(&t, s, "a", 1, "y", 900);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 1);
	CHECK(t.sh->version->sst[1]->info.tombstones == 1);
	CHECK(t.sh->version->sst[1]->info.expire_max == FLOW_NEVER);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(stats_of(&t).records_expired == 2);
	CHECK(stats_of(&t).last_flush_at > 0);
	test_close(&t);
	check_passed("flushes of expired rows");
}

/* ----------------------------------------------------------------- faults */

#define FAULT_ROWS "a@1=2 b@1=x c@1=x "

/* Three files; d of an open transaction, e aborted, f expired. */
static void
prepare(TestDb *t, uint32_t *s)
{
	open_db(t, s);
	t->env->file_sync = real_sync;
	horizon = 50;
	fate[2] = FLOW_TXN_ABORTED;
	test_put(t, *s, "a", 1, "1");
	test_put(t, *s, "b", 1, "x");
	test_put_expiring(t, *s, "f", 1, "x", 60);
	flush(t);
	test_put(t, *s, "a", 1, "2");
	test_put_xid(t, *s, "d", 1, "open", 1);
	flush(t);
	fate[2] = FLOW_TXN_UNKNOWN;
	test_put_xid(t, *s, "e", 1, "x", 2);
	test_put(t, *s, "c", 1, "x");
	test_put(t, *s, "c", 2, "x");
	delete_range(t, *s, "c", "d", 2, 9, 0);
	flush(t);
	fate[2] = FLOW_TXN_ABORTED;
	horizon = 70;
}

static void
check_fault_rows(TestDb *t, uint32_t s)
{
	uint64_t snapshot = UINT64_MAX;
	FlowScanSpec spec = {
		.store_id = s, .now = 70, .visible = sees, .visible_arg = &snapshot};

	snapshot &= ~UINT64_C(4);
	CHECK_TEXT(test_rows(t, &spec), FAULT_ROWS "d@1=open ");
	snapshot = 0;
	CHECK_TEXT(test_rows(t, &spec), FAULT_ROWS);
}

typedef enum Then
{
	GO_ON,
	DIE,
	DIE_HARD,
	NTHENS
} Then;

/* By hand, or all of a merge by steps: its status. */
static FlowStatus
merge_once(TestDb *t, uint32_t s, bool by_hand)
{
	FlowStatus st;
	bool ran;

	if (by_hand)
		return flow_compact(t->db, s, &ran);
	while ((st = flow_maintenance_step(t->db, 1000, NULL)) == FLOW_OK)
		;
	return st == FLOW_END ? FLOW_OK : st;
}

/* Let the nth call of op, and times - 1 more, fail under a merge. */
static bool
fault(FlowPosixOp op, uint64_t nth, uint64_t times, Then then)
{
	TestDb t;
	uint32_t s;
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	FlowStatus st;
	uint64_t calls;

	prepare(&t, &s);
	policy.min_threshold = 2;
	CHECK_OK(flow_set_merge_policy(t.db, s, &policy));
	disk_begin(&t);
	calls = flow_env_posix_calls(t.env, op);
	flow_env_posix_fail(t.env, op, nth, times, EIO);
	st = merge_once(&t, s, nth % 2);
	calls = flow_env_posix_calls(t.env, op) - calls;
	flow_env_posix_fail(t.env, op, 1, 0, 0);
	CHECK(st == FLOW_OK || st == FLOW_IOERR || st == FLOW_NOMEM ||
		  st == FLOW_PANIC);
	CHECK(t.db->merge == NULL);
	if (then == GO_ON)
	{
		check_fault_rows(&t, s);
		CHECK(flow_compact(t.db, s, &(bool){0}) == FLOW_OK);
	}
	else
	{
		/* everything that was written was flushed */
		test_forget_log(&t);
		test_unload(&t);
		if (then == DIE_HARD)
			disk_lose(&t);
		test_load(&t);
	}
	check_fault_rows(&t, s);
	flow_maintenance_cancel(t.db);
	test_reopen(&t);
	CHECK(count_orphans(&t) == 0);
	check_fault_rows(&t, s);
	CHECK_OK(flow_compact(t.db, s, &(bool){0}));
	check_fault_rows(&t, s);
	disk_end(&t);
	test_close(&t);
	return nth <= calls;
}

static void
test_faults(void)
{
	static const FlowPosixOp ops[] = {
		FLOW_POSIX_OPEN,   FLOW_POSIX_READ,	  FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
		FLOW_POSIX_RENAME, FLOW_POSIX_UNLINK, FLOW_POSIX_ALLOC,
	};
	int n = 0;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		for (Then then = GO_ON; then < NTHENS; then++)
		{
			/* only what is on the disk can be lost with the machine */
			if (then == DIE_HARD && ops[i] != FLOW_POSIX_WRITE &&
				ops[i] != FLOW_POSIX_SYNC && ops[i] != FLOW_POSIX_RENAME)
				continue;
			/* odd ones by hand, even ones by steps: two that are beyond */
			for (uint64_t nth = 1;
				 fault(ops[i], nth, 1, then) || fault(ops[i], ++nth, 1, then);
				 nth++)
				n++;
			for (uint64_t nth = 1; fault(ops[i], nth, UINT64_MAX, then) ||
								   fault(ops[i], ++nth, UINT64_MAX, then);
				 nth++)
				n++;
		}
	}
	printf("# %d failed merges\n", n);
	CHECK(n > 100);
	check_passed("every failing call of a merge");
}

/* Bytes of an input are not what they were. */
static void
test_unreadable(void)
{
	TestDb t;
	uint32_t s;
	char path[FLOW_PATH_BYTES];
	uint8_t byte;
	int fd;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 300, 50);
	test_reopen(&t); /* nothing is cached */
	flowi_version_path(t.dir, t.sh->version->sst[2]->info.id, path);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &byte, 1, 3000) == 1);
	byte ^= 0x55;
	CHECK(pwrite(fd, &byte, 1, 3000) == 1);
	close(fd);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_CORRUPT);
	CHECK(!ran && t.sh->version->nssts == 4 && count_orphans(&t) == 0);
	CHECK(stats_of(&t).merge_failures == 1);
	/* no hot loop: the store is left alone for a while */
	CHECK(!flow_wants_maintenance(t.db));
	CHECK_STATUS(flow_maintenance_step(t.db, 1000, NULL), FLOW_END);
	/* but by hand it is tried */
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_CORRUPT);
	CHECK(stats_of(&t).merge_failures == 2 && count_orphans(&t) == 0);
	/* the other stores go on */
	s = test_store(&t, "healthy");
	four_files(&t, s, 300, 50);
	maintain(&t, 1000);
	CHECK(t.sh->version->nssts == 5);
	test_close(&t);
	check_passed("an input that cannot be read");
}

/* A process dies at each named point. */
static const char *die_at;

static FlowStatus
die_point(void *arg, const char *name)
{
	(void) arg;
	return strcmp(name, die_at) == 0 ? FLOW_PANIC : FLOW_OK;
}

static void
test_points(void)
{
	static const char *const points[] = {"merge-begin", "merge-written",
										 "merge-renamed", "manifest-append",
										 "sst-before-sync"};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
	{
		TestDb t;
		uint32_t s;
		bool ran;

		prepare(&t, &s);
		die_at = points[i];
		flow_env_posix_set_point(t.env, die_point, NULL);
		CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_PANIC);
		flow_env_posix_set_point(t.env, NULL, NULL);
		check_fault_rows(&t, s);
		CHECK(t.sh->version->nssts == 3 && count_orphans(&t) == 0);
		CHECK(compact(&t, s));
		check_fault_rows(&t, s);
		test_close(&t);
	}
	check_passed("named points");
}

/* ----------------------------------------------------------------- memory */

static size_t heap_now, heap_most;
static void *(*real_realloc)(FlowEnv *, void *, size_t);
static void *(*real_alloc)(FlowEnv *, size_t);
static void (*real_free)(FlowEnv *, void *);

#define HEADER 16

static void *
counted_realloc(FlowEnv *env, void *p, size_t size)
{
	char *old = p ? (char *) p - HEADER : NULL;
	size_t before = old ? *(size_t *) (void *) old : 0;
	char *fresh = real_realloc(env, old, size + HEADER);

	if (fresh == NULL)
		return NULL;
	*(size_t *) (void *) fresh = size;
	heap_now += size - before;
	heap_most = FLOW_MAX(heap_most, heap_now);
	return fresh + HEADER;
}

static void *
counted_alloc(FlowEnv *env, size_t size)
{
	return counted_realloc(env, NULL, size);
}

static void
counted_free(FlowEnv *env, void *p)
{
	if (p == NULL)
		return;
	heap_now -= *(size_t *) (void *) ((char *) p - HEADER);
	real_free(env, (char *) p - HEADER);
}

static size_t
heap_of_merge(int rows)
{
	TestDb t;
	uint32_t s;
	FlowDb *db;
	bool ran;

	test_open(&t, 128u << 20, 16u << 20);
	set_up(&t);
	t.sh->options.block_bytes = 16 << 10;
	s = test_store(&t, "s");
	four_files(&t, s, rows, 1000);
	real_realloc = t.env->realloc;
	real_alloc = t.env->alloc;
	real_free = t.env->free;
	t.env->realloc = counted_realloc;
	t.env->alloc = counted_alloc;
	t.env->free = counted_free;
	heap_now = heap_most = 0;
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &db));
	CHECK_OK(flow_compact(db, s, &ran));
	CHECK(ran && t.sh->version->nssts == 1);
	printf("# merge of %" PRIu64 " MB: %zu KB of memory\n",
		   stats_of(&t).merge_bytes_read >> 20, heap_most >> 10);
	flow_detach(db);
	CHECK(heap_now == 0);
	t.env->realloc = real_realloc;
	t.env->alloc = real_alloc;
	t.env->free = real_free;
	test_close(&t);
	return heap_most;
}

static void
test_memory(void)
{
	size_t small = heap_of_merge(2500);
	size_t large = heap_of_merge(12500);

	CHECK(large < 16u << 20 && large < small + (2u << 20));
	check_passed("bounded memory");
}

/* ------------------------------------------------------------------ splits */

static void
test_leveled(void)
{
	TestDb t;
	uint32_t s;
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	const FlowVersion *v;

	test_open(&t, 64u << 20, 8u << 20);
	set_up(&t);
	s = test_store(&t, "s");
	policy.kind = FLOW_POLICY_LCS;
	policy.target_bytes = 1u << 20;
	CHECK_OK(flow_set_merge_policy(t.db, s, &policy));
	for (int round = 0; round < 3; round++)
	{
		delete_range(&t, s, "key00000100", "key00000200", 0, 100, 0);
		four_files(&t, s, 2000, 1000);
		maintain(&t, 5000);
	}
	v = t.sh->version;
	CHECK(v->nssts >= 4);
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSstInfo *a = &v->sst[i]->info;

		CHECK(a->level == 1 && a->file_bytes < 2u << 20);
		for (uint32_t k = 0; k < i; k++)
		{
			const FlowSstInfo *b = &v->sst[k]->info;

			/* a key may go on in the next file, no more */
			CHECK(flowi_key_cmp(a->key_max, a->key_max_bytes, b->key_min,
								b->key_min_bytes) <= 0 ||
				  flowi_key_cmp(b->key_max, b->key_max_bytes, a->key_min,
								a->key_min_bytes) <= 0);
		}
	}
	CHECK(count_orphans(&t) == 0);
	CHECK(count_rows(&t, s) == 4 * 2000);
	test_reopen(&t);
	CHECK(count_rows(&t, s) == 4 * 2000);
	CHECK(t.sh->version->sst[0]->info.level == 1);
	test_close(&t);
	check_passed("outputs of a target size");
}

/* ----------------------------------------------------------------- threads */

#define THREADS 4

static atomic_bool stop;
static TestDb shared_db;
static uint32_t shared_store;

static void *
merge_thread(void *arg)
{
	FlowDb *db;
	int n = (int) (intptr_t) arg;

	CHECK_OK(flow_attach(shared_db.env, shared_db.sh, shared_db.dir, &db));
	while (!atomic_load(&stop))
	{
		uint64_t purged;
		bool ran;
		FlowStatus st = FLOW_OK;

		if (n == 0)
			st = flow_flush(db, NULL);
		else if (n == 1)
			st = flow_compact(db, shared_store, &ran);
		else if (n == 2)
			st = flow_gc(db, &purged);
		else
			st = flow_maintenance_step(db, 500, NULL);
		CHECK(st == FLOW_OK || st == FLOW_END);
		(void) flow_wants_maintenance(db);
	}
	flow_detach(db);
	return NULL;
}

static void
test_threads(void)
{
	TestDb *t = &shared_db;
	pthread_t thread[THREADS];
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	char key[16], value[16], want[64];
	int n = 0;

	test_open(t, 64u << 20, 1u << 20);
	flow_env_posix_set_log(t->env, NULL, NULL);
	shared_store = test_store(t, "s");
	policy.min_threshold = 2;
	CHECK_OK(flow_set_merge_policy(t->db, 0, &policy));
	atomic_store(&stop, false);
	for (intptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, merge_thread, (void *) i) == 0);
	for (; n < 3000 || stats_of(t).merges < 5; n++)
	{
		int i = n;

		snprintf(key, sizeof(key), "k%d", i % 50);
		snprintf(value, sizeof(value), "%d", i);
		if (i % 7 == 0)
			test_delete(t, shared_store, key, 1);
		else
			test_put(t, shared_store, key, 1, value);
		if (i % 7)
			CHECK_TEXT(
				test_get(t, &(FlowScanSpec){.store_id = shared_store}, key, 1),
				value);
		else
			CHECK(test_get(t, &(FlowScanSpec){.store_id = shared_store}, key,
						   1) == NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	for (int i = n - 50; i < n; i++)
	{
		snprintf(key, sizeof(key), "k%d", i % 50);
		snprintf(want, sizeof(want), "%d", i);
		if (i % 7)
			CHECK_TEXT(
				test_get(t, &(FlowScanSpec){.store_id = shared_store}, key, 1),
				want);
	}
	printf("# %" PRIu64 " flushes, %" PRIu64 " merges\n", stats_of(t).flushes,
		   stats_of(t).merges);
	flow_maintenance_cancel(t->db);
	flowi_trash_sweep(t->db);
	CHECK(count_orphans(t) == 0);
	test_close(t);
	check_passed("flush, merges, collection and writers at once");
}

/*
 * A file with many expired rows over one that has expired as a whole: the
 * rewriting of the first would leave tombstones, which would ask for the next
 * one.  The collection comes first; then nothing is left to do.
 */
static void
test_garbage_over_garbage(void)
{
	TestDb t;
	uint32_t s;
	int steps = 0;
	FlowStatus st = FLOW_OK;

	open_db(&t, &s);
	for (int64_t ts = 0; ts < 100; ts++)
		test_put_expiring(&t, s, "k", ts, "below", 1000);
	flush(&t);
	for (int64_t ts = 50; ts < 150; ts++)
		test_put_expiring(&t, s, "k", ts, "above", ts < 110 ? 1000 : 2000);
	flush(&t);
	horizon = 1900;
	for (; st == FLOW_OK && steps < 100; steps++)
		st = flow_maintenance_step(t.db, 100000, NULL);
	CHECK_STATUS(st, FLOW_END);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK(stats_of(&t).sstables == 1 && stats_of(&t).sstable_records == 40);
	test_close(&t);
	check_passed("garbage over garbage comes to an end");
}

static void
test_closed(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	atomic_store(&t.sh->closed, true);
	CHECK_STATUS(flow_maintenance_step(t.db, 0, NULL), FLOW_INVALID);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_INVALID);
	CHECK_STATUS(flow_gc(t.db, &purged), FLOW_INVALID);
	atomic_store(&t.sh->closed, false);
	CHECK_STATUS(
		flow_set_merge_policy(t.db, 99, &(FlowMergePolicy) FLOW_POLICY_DEFAULT),
		FLOW_INVALID);
	test_close(&t);
	check_passed("closed");
}

/* A collection does not have a merge tried again that has just failed. */
static void
test_retry(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_db(&t, &s);
	for (int i = 0; i < 4; i++)
	{
		test_put_expiring(&t, s, "gone", i, "v", 1000);
		flush(&t);
		test_put(&t, s, "k", 10 + i, "v");
		flush(&t);
	}
	horizon = 2000;
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	CHECK_STATUS(flow_maintenance_step(t.db, 1000000, NULL), FLOW_IOERR);
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, 0, 0);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 4);
	CHECK_STATUS(flow_maintenance_step(t.db, 1000000, NULL), FLOW_END);
	CHECK(stats_of(&t).sstables == 4);
	test_close(&t);
	check_passed("a failed merge waits");
}

static FlowDbShared *closing;

static void
set_closed(FlowDbShared *sh, bool closed)
{
	atomic_store(&sh->closed, closed);
	sh->retired = closed;
}

static void
close_on_pause(FlowEnv *env)
{
	(void) env;
	set_closed(closing, true);
}

/* Whoever closes the database retires it: what was under way in other threads
 * comes to an end, and does not wait for what never comes. */
static void
test_closing(void)
{
	TestDb t;
	FlowDb *other;
	FlowMaintenance report;
	uint32_t s;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 100, 10);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &other));
	do
		CHECK_OK(flow_maintenance_step(other, 0, &report));
	while (report.rows_merged == 0);
	CHECK_OK(flowi_version_begin(t.db));
	t.env->pause = close_on_pause;
	closing = t.sh;
	alarm(30);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_INVALID); /* the claim */
	set_closed(t.sh, false);
	CHECK_STATUS(flow_compact(other, s, &ran), FLOW_INVALID);
	set_closed(t.sh, false);
	test_put_expiring(&t, test_store(&t, "g"), "k", 1, "v", 1000);
	flowi_version_end(t.db);
	flush(&t);
	horizon = 2000;
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_STATUS(flow_gc(other, &purged), FLOW_INVALID);
	alarm(0);
	flowi_version_end(t.db);
	flow_detach(other);
	test_close(&t);
	check_passed("closed while at work");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_basics();
	test_effects();
	test_zero_survivors();
	test_model(&r, FLOW_POLICY_STCS);
	test_model(&r, FLOW_POLICY_LCS);
	test_model(&r, FLOW_POLICY_TWCS);
	test_steps();
	test_budgets();
	test_interrupts();
	test_two_handles();
	test_discard();
	test_gc();
	test_flush_expired();
	test_leveled();
	test_unreadable();
	test_points();
	test_faults();
	test_memory();
	test_threads();
	test_garbage_over_garbage();
	test_retry();
	test_closed();
	test_closing();
	return 0;
}
