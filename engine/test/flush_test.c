/*-------------------------------------------------------------------------
 * flush_test.c
 *	  Flushes and resolves: what they keep, what they drop, and that nothing
 *	  is lost whatever call fails and wherever the process dies.
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>

#include "lyingdisk.h"

#include "../db.h"
#include "../version.h"

#define REGION_BYTES (16u << 20)
#define MEMTABLE_BYTES (4u << 20)

/* ----------------------------------------------------- a host's transactions */

#define MAX_XID 64
static FlowTxnState fate[MAX_XID];
static uint32_t asked[MAX_XID];
static uint64_t synced; /* calls of log_sync */
static FlowStatus sync_status;

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < MAX_XID);
	asked[xid]++;
	*statep = fate[xid];
	return FLOW_OK;
}

static FlowStatus
outcome_forgotten(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	(void) xid;
	(void) statep;
	return FLOW_CORRUPT;
}

static FlowStatus
count_sync(FlowEnv *env)
{
	(void) env;
	synced++;
	return sync_status;
}

/* Odd xids are seen. */
static bool
odd_visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	return txn->xid % 2 == 1;
}

static void
open_db(TestDb *t, uint32_t *store)
{
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t->env, outcome, NULL);
	t->env->log_sync = count_sync;
	sync_status = FLOW_OK;
	memset(fate, 0, sizeof(fate));
	memset(asked, 0, sizeof(asked));
	*store = test_store(t, "s");
	CHECK_OK(flow_flush(t->db, NULL));
}

static uint64_t
records_in_ssts(TestDb *t)
{
	FlowStats stats;

	flow_stats(t->db, &stats);
	return stats.sstable_records;
}

static uint64_t
meta_used(TestDb *t)
{
	uint64_t total, used, meta_total, meta;

	flow_region_usage(t->env, t->env->region, &total, &used, &meta_total,
					  &meta);
	return meta;
}

static const FlowSst *
newest_sst(const TestDb *t)
{
	const FlowVersion *v = t->sh->version;

	CHECK(v->nssts > 0);
	return v->sst[v->nssts - 1];
}

/* --------------------------------------------------------------- contents */

static void
test_dropped_versions(void)
{
	TestDb t;
	uint32_t s;
	FlowScanSpec spec = {.now = INT64_MIN, .visible = odd_visible};

	open_db(&t, &s);
	t.env->expire_horizon = NULL; /* it is now */
	spec.store_id = s;
	fate[1] = FLOW_TXN_SETTLED;
	fate[2] = FLOW_TXN_ABORTED;
	fate[3] = FLOW_TXN_COMMITTED;

	test_put(&t, s, "e", 1, "base");
	test_put(&t, s, "f", 1, "base");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(records_in_ssts(&t) == 2);

	/* a settled version hides all that is older for good */
	test_put(&t, s, "a", 1, "old");
	test_put_xid(&t, s, "a", 1, "older", 3);
	test_put_xid(&t, s, "a", 1, "settled", 1);
	/* a committed one does not */
	test_put(&t, s, "b", 1, "base");
	test_put_xid(&t, s, "b", 1, "committed", 3);
	/* an aborted one is nothing, and hides nothing */
	test_put(&t, s, "c", 1, "base");
	test_put_xid(&t, s, "c", 1, "aborted", 2);
	test_put_xid(&t, s, "d", 1, "aborted", 2);
	/* tombstones stay where something older may exist, and expired rows
	 * become such; elsewhere both go */
	test_delete(&t, s, "e", 1);
	test_put_expiring(&t, s, "f", 1, "x", 5);
	test_delete(&t, s, "g", 1);
	test_put_expiring(&t, s, "h", 1, "x", 5);
	test_put_expiring(&t, s, "i", 1, "x", INT64_MAX - 1);
	CHECK_OK(flow_flush(t.db, NULL));

	CHECK(records_in_ssts(&t) == 2 + 1 + 2 + 1 + 1 + 1 + 1);
	CHECK(newest_sst(&t)->info.tombstones == 2);
	CHECK_TEXT(test_rows(&t, &spec),
			   "a@1=settled b@1=committed c@1=base i@1=x ");
	/* of unsettled transactions the file knows xid 3 only */
	CHECK(newest_sst(&t)->ntxns == 1 && newest_sst(&t)->txns[0].xid == 3);
	spec.visible = NULL;
	CHECK_TEXT(test_rows(&t, &spec), "a@1=settled b@1=base c@1=base i@1=x ");
	test_close(&t);
	check_passed("what a flush drops");
}

/* Entries of one transaction around settled rows are not one entry. */
static void
test_directory(void)
{
	TestDb t;
	uint32_t s, other;
	FlowScanSpec spec = {.now = INT64_MIN};

	open_db(&t, &s);
	spec.store_id = s;
	other = test_store(&t, "other");
	test_put_xid(&t, s, "a", 1, "x", 4);
	test_put(&t, s, "b", 1, "settled");
	test_put_xid(&t, s, "c", 1, "x", 4);
	test_put(&t, other, "k", 1, "elsewhere");
	test_put_xid(&t, s, "d", 1, "x", 4);
	test_put_xid(&t, other, "l", 1, "x", 5);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(t.sh->version->nssts == 2);
	CHECK_TEXT(test_rows(&t, &spec), "b@1=settled ");
	/* a | c and d: no row of this file is between them */
	CHECK(t.sh->version->sst[0]->info.store_id == s);
	CHECK(t.sh->version->sst[0]->ntxns == 2);
	CHECK(t.sh->version->sst[1]->ntxns == 1);
	test_reopen(&t);
	CHECK_TEXT(test_rows(&t, &spec), "b@1=settled ");
	test_close(&t);
	check_passed("directories");
}

static void
test_all_aborted(void)
{
	TestDb t;
	uint32_t s;
	FlowStats before, stats;

	open_db(&t, &s);
	flow_stats(t.db, &before);
	fate[2] = FLOW_TXN_ABORTED;
	test_put_xid(&t, s, "a", 1, "x", 2);
	CHECK_OK(flow_flush(t.db, NULL));
	flow_stats(t.db, &stats);
	CHECK(stats.sstables == 0 && stats.flushed_pos > before.flushed_pos);
	CHECK(stats.oldest_unflushed == UINT64_MAX);
	test_crash(&t); /* nothing to redo */
	flow_stats(t.db, &stats);
	CHECK(stats.memtable_records == 0);
	test_close(&t);
	check_passed("a memtable of aborted rows");
}

/* --------------------------------------------------------------- resolve */

static void
test_resolve(void)
{
	TestDb t;
	uint32_t s;
	uint64_t before;
	FlowStats stats;
	FlowScanSpec spec = {.now = INT64_MIN};

	open_db(&t, &s);
	spec.store_id = s;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	for (int xid = 1; xid <= 4; xid++)
	{
		char key[2] = {(char) ('a' + xid), '\0'};

		test_put_xid(&t, s, key, 1, "x", (uint64_t) xid);
	}
	CHECK_OK(flow_flush(t.db, NULL));
	flow_stats(t.db, &stats);
	CHECK(stats.unresolved_txns == 4);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);

	fate[1] = FLOW_TXN_SETTLED;
	fate[2] = FLOW_TXN_ABORTED;
	fate[3] = FLOW_TXN_COMMITTED;
	before = synced;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(synced > before); /* S5 */
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	flow_stats(t.db, &stats);
	CHECK(stats.unresolved_txns == 1);
	CHECK_TEXT(test_rows(&t, &spec), "b@1=x ");

	/* the fates last, and what is final is not asked again */
	test_crash(&t);
	memset(asked, 0, sizeof(asked));
	fate[3] = FLOW_TXN_SETTLED;
	CHECK_TEXT(test_rows(&t, &spec), "b@1=x ");
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(asked[1] == 0 && asked[2] == 0 && asked[3] == 1 && asked[4] == 1);
	CHECK_TEXT(test_rows(&t, &spec), "b@1=x d@1=x ");
	fate[4] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK_TEXT(test_rows(&t, &spec), "b@1=x d@1=x e@1=x ");
	test_close(&t);
	check_passed("resolve");
}

/* What a reader noted in the region has to reach the manifest too. */
static void
test_resolve_hints(void)
{
	TestDb t;
	uint32_t s;

	open_db(&t, &s);
	test_put_xid(&t, s, "a", 1, "x", 1);
	test_put_xid(&t, s, "b", 1, "x", 2);
	CHECK_OK(flow_flush(t.db, NULL));
	atomic_store(&newest_sst(&t)->txns[0].state, FLOW_TXN_SETTLED);
	atomic_store(&newest_sst(&t)->txns[1].state, FLOW_TXN_ABORTED);
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(asked[1] == 1 && asked[2] == 1); /* by the flush */
	test_crash(&t);
	CHECK(newest_sst(&t)->ntxns == 1);
	CHECK(newest_sst(&t)->txns[0].state == FLOW_TXN_ABORTED);
	CHECK_TEXT(test_all(&t, s), "a@1=x ");
	test_close(&t);
	check_passed("hints are saved");
}

static void
test_forgotten(void)
{
	TestDb t;
	uint32_t s;
	FlowStats stats;

	open_db(&t, &s);
	test_put_xid(&t, s, "a", 1, "x", 1);
	flow_env_posix_set_outcome(t.env, outcome_forgotten, NULL);
	/* its rows are kept all the same, for somebody who may know */
	CHECK_OK(flow_learn_fates(t.db));
	CHECK_OK(flow_flush(t.db, NULL));
	flow_stats(t.db, &stats);
	CHECK(stats.flush_failures == 0 && stats.sstables == 1);
	CHECK(newest_sst(&t)->ntxns == 1);
	CHECK(newest_sst(&t)->txns[0].state == FLOW_TXN_UNKNOWN);
	flow_env_posix_set_outcome(t.env, outcome_forgotten, NULL);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_CORRUPT);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	test_close(&t);
	check_passed("a transaction the host has forgotten");
}

/* What is learned of a memtable's transactions in time serves its flush,
 * when nobody can tell any more. */
static void
test_learned_in_time(void)
{
	TestDb t;
	uint32_t s;

	open_db(&t, &s);
	fate[1] = FLOW_TXN_ABORTED;
	fate[2] = FLOW_TXN_SETTLED;
	test_put_xid(&t, s, "a", 1, "x", 1);
	test_put_xid(&t, s, "b", 1, "x", 2);
	CHECK_OK(flow_learn_fates(t.db));
	CHECK_TEXT(test_all(&t, s), "b@1=x ");
	flow_env_posix_set_outcome(t.env, outcome_forgotten, NULL);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(newest_sst(&t)->ntxns == 0);
	CHECK_TEXT(test_all(&t, s), "b@1=x ");
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	test_close(&t);
	check_passed("fates learned in time");
}

/* No file and no edit before the log is durable. */
static void
test_log_first(void)
{
	TestDb t;
	uint32_t s;
	uint64_t writes;

	open_db(&t, &s);
	test_put(&t, s, "a", 1, "x");
	sync_status = FLOW_IOERR;
	writes = flow_env_posix_calls(t.env, FLOW_POSIX_WRITE);
	CHECK_STATUS(flow_flush(t.db, NULL), FLOW_IOERR);
	CHECK(flow_env_posix_calls(t.env, FLOW_POSIX_WRITE) == writes);
	sync_status = FLOW_OK;
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_TEXT(test_all(&t, s), "a@1=x ");
	test_close(&t);
	check_passed("the log first");
}

/* ----------------------------------------------------------------- faults */

/* Files in SST that the version does not list. */
static int
count_orphans(const TestDb *t)
{
	return (int) test_count_files(t, "SST") - (int) t->sh->version->nssts;
}

#define ALL_ROWS "a@1=3 b@1=x c@1=x "

/* Two stores, two memtables; the older has been flushed. */
static void
prepare(TestDb *t, uint32_t *s, uint32_t *other)
{
	open_db(t, s);
	fate[1] = FLOW_TXN_COMMITTED;
	test_put(t, *s, "a", 1, "1");
	test_put(t, *s, "b", 1, "x");
	CHECK_OK(flow_flush(t->db, NULL));
	CHECK_OK(flow_store_define(t->db, "other", "blob", 4, other));
	test_put(t, *s, "a", 1, "2");
	test_put_xid(t, *s, "d", 1, "unseen", 1);
	test_put(t, *other, "o", 1, "x");
	test_put(t, *s, "a", 1, "3");
	test_put(t, *s, "c", 1, "x");
}

static void
check_rows(TestDb *t, uint32_t s, uint32_t other)
{
	FlowScanSpec spec = {
		.store_id = s, .now = INT64_MIN, .visible = odd_visible};
	uint32_t id;

	CHECK_TEXT(test_all(t, s), ALL_ROWS);
	CHECK_TEXT(test_all(t, other), "o@1=x ");
	CHECK_TEXT(test_rows(t, &spec), ALL_ROWS "d@1=unseen ");
	CHECK_OK(flow_store_find(t->db, "other", &id, NULL, NULL));
	CHECK(id == other);
}

/* What follows a failed call. */
typedef enum Then
{
	GO_ON,
	DIE,	  /* the process; the disk has it all */
	DIE_HARD, /* the machine; the disk has what was fsynced */
	NTHENS
} Then;

/* All must be in the files, without the log. */
static void
check_files(TestDb *t, uint32_t s, uint32_t other, Then then)
{
	test_forget_log(t);
	test_unload(t);
	if (then == DIE_HARD)
		disk_lose(t);
	test_load(t);
	check_rows(t, s, other);
	CHECK(count_orphans(t) == 0);
}

/*
 * Let the nth call of op and times - 1 more fail.  Then either go on and try
 * again, or die and recover.  False: the flush got through, n was too high.
 */
static bool
fault(FlowPosixOp op, uint64_t nth, uint64_t times, Then then)
{
	TestDb t;
	uint32_t s, other;
	FlowStatus st;

	prepare(&t, &s, &other);
	disk_begin(&t);
	flow_env_posix_fail(t.env, op, nth, times, ENOSPC);
	st = flow_flush(t.db, NULL);
	flow_env_posix_fail(t.env, op, 1, 0, 0);
	if (st != FLOW_OK)
	{
		CHECK(st == FLOW_FULL || st == FLOW_NOMEM);
		CHECK(flow_oldest_unflushed(t.sh) != UINT64_MAX);
		if (then == GO_ON)
			check_rows(&t, s, other);
		else if (then == DIE)
			test_crash(&t);
		else
			disk_crash(&t);
		check_rows(&t, s, other);
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	CHECK(op == FLOW_POSIX_UNLINK || count_orphans(&t) == 0);
	check_rows(&t, s, other);
	check_files(&t, s, other, then);
	disk_end(&t);
	test_close(&t);
	return st != FLOW_OK;
}

static void
test_faults(void)
{
	static const FlowPosixOp ops[] = {
		FLOW_POSIX_OPEN,   FLOW_POSIX_WRITE,  FLOW_POSIX_SYNC,
		FLOW_POSIX_RENAME, FLOW_POSIX_UNLINK, FLOW_POSIX_ALLOC,
	};
	int n = 0;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		for (Then then = GO_ON; then < NTHENS; then++)
		{
			for (uint64_t nth = 1; fault(ops[i], nth, 1, then); nth++)
				n++;
			for (uint64_t nth = 1; fault(ops[i], nth, UINT64_MAX, then); nth++)
				n++;
		}
	}
	printf("# %d failed flushes\n", n);
	CHECK(n > 100);
	check_passed("every failing call of a flush");
}

/* The repair of the manifest fails as well, at each of its calls. */
static void
test_faults_of_repair(void)
{
	static const FlowPosixOp ops[] = {FLOW_POSIX_OPEN, FLOW_POSIX_WRITE,
									  FLOW_POSIX_SYNC, FLOW_POSIX_RENAME};
	int n = 0;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		bool failed = true;

		for (uint64_t nth = 1; failed; nth++)
		{
			for (Then then = GO_ON; then < NTHENS; then++)
			{
				TestDb t;
				uint32_t s, other;
				uint64_t sync = 0;

				/* find the sync of the edit: the last one */
				do
				{
					if (sync > 0)
					{
						disk_end(&t);
						test_close(&t);
					}
					prepare(&t, &s, &other);
					disk_begin(&t);
					flow_env_posix_fail(t.env, FLOW_POSIX_SYNC, ++sync, 1, EIO);
					CHECK_STATUS(flow_flush(t.db, NULL), FLOW_IOERR);
				} while (!t.sh->manifest_failed);
				flow_env_posix_fail(t.env, ops[i], nth, 1, EIO);
				failed = flow_flush(t.db, NULL) != FLOW_OK;
				flow_env_posix_fail(t.env, ops[i], 1, 0, 0);
				n += failed;
				if (then == DIE)
					test_crash(&t);
				else if (then == DIE_HARD)
					disk_crash(&t);
				check_rows(&t, s, other);
				CHECK_OK(flow_flush(t.db, NULL));
				check_files(&t, s, other, then);
				disk_end(&t);
				test_close(&t);
			}
		}
	}
	printf("# %d failed repairs\n", n);
	CHECK(n > 10);
	check_passed("every failing call of a repair");
}

/*
 * The edit fails, its files stay; then the transaction is aborted, so that
 * the next try does not write them again: they have to go.
 */
static void
test_doubtful_files(void)
{
	TestDb t;
	uint32_t s;

	for (uint64_t sync = 1;; sync++)
	{
		bool doubtful;

		open_db(&t, &s);
		disk_begin(&t);
		test_put_xid(&t, s, "a", 1, "x", 2);
		flow_env_posix_fail(t.env, FLOW_POSIX_SYNC, sync, 1, EIO);
		CHECK_STATUS(flow_flush(t.db, NULL), FLOW_IOERR);
		doubtful = t.sh->manifest_failed;
		CHECK(count_orphans(&t) == doubtful);
		fate[2] = FLOW_TXN_ABORTED;
		CHECK_OK(flow_flush(t.db, NULL));
		CHECK(t.sh->version->nssts == 0 && count_orphans(&t) == 0);
		/* and must not come back, when a checkpoint has passed */
		test_forget_log(&t);
		t.opts.log_start = t.env->log_bound(t.env);
		disk_crash(&t);
		disk_end(&t);
		test_close(&t);
		if (doubtful)
			break;
	}
	check_passed("files of a doubtful edit");
}

/* ----------------------------------------------------------------- points */

static const char *stop_at;

static FlowStatus
stop(void *arg, const char *name)
{
	(void) arg;
	return stop_at && strcmp(stop_at, name) == 0 ? FLOW_INTERRUPTED : FLOW_OK;
}

static void
test_points(void)
{
	static const char *const points[] = {"flush-begin", "flush-written",
										 "flush-renamed", "manifest-append"};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
	{
		TestDb t;
		uint32_t s, other;

		prepare(&t, &s, &other);
		flow_env_posix_set_point(t.env, stop, NULL);
		stop_at = points[i];
		CHECK_STATUS(flow_flush(t.db, NULL), FLOW_INTERRUPTED);
		CHECK(flow_flush_failing(t.sh) == 0);
		CHECK(count_orphans(&t) == 0);
		stop_at = NULL;
		test_crash(&t);
		check_rows(&t, s, other);
		test_close(&t);
	}
	check_passed("interrupted flushes");
}

/* Only one at a time. */
static FlowDb *second;
static FlowStatus second_status;

static FlowStatus
flush_within(void *arg, const char *name)
{
	(void) arg;
	if (strcmp(name, "flush-begin") == 0)
		second_status = flow_flush_step(second);
	return FLOW_OK;
}

static void
test_busy(void)
{
	TestDb t;
	uint32_t s, other;

	prepare(&t, &s, &other);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	flow_env_posix_set_point(t.env, flush_within, NULL);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(second_status == FLOW_BUSY);
	CHECK_STATUS(flow_flush_step(second), FLOW_END);
	flow_detach(second);
	test_close(&t);
	check_passed("one flush at a time");
}

/* A manifest that grows is rewritten. */
static void
test_manifest_growth(void)
{
	TestDb t;
	uint32_t s, id;
	uint64_t number;
	char *blob = calloc(1, 200000);

	CHECK(blob != NULL);
	open_db(&t, &s);
	disk_begin(&t);
	number = t.sh->manifest.number;
	for (int i = 0; i < 20; i++)
	{
		blob[0] = (char) i;
		CHECK_OK(flow_store_define(t.db, "big", blob, 200000, &id));
		test_put(&t, s, "a", i, "x");
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK(t.sh->manifest.number > number);
	CHECK(t.sh->manifest.offset < 2000000);
	test_forget_log(&t);
	disk_crash(&t);
	CHECK(t.sh->version->nssts == 20);
	disk_end(&t);
	test_close(&t);
	free(blob);
	check_passed("the manifest is rewritten when it has grown");
}

/* --------------------------------------------------------------- versions */

/* What a merge does: drop SSTables; their files go with the last pin. */
static void
test_obsolete(void)
{
	TestDb t;
	uint32_t s;
	FlowVersion *pin;
	FlowSst *gone;
	uint64_t number;
	char path[FLOW_PATH_BYTES];

	open_db(&t, &s);
	test_put(&t, s, "a", 1, "x");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "b", 1, "x");
	CHECK_OK(flow_flush(t.db, NULL));
	gone = t.sh->version->sst[0];
	flowi_version_path(t.dir, gone->info.id, path);

	pin = flowi_version_pin(t.sh);
	number = pin->number;
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_OK(flowi_version_replace(t.db, NULL, 0, &gone, 1));
	flowi_version_end(t.db);
	CHECK(t.sh->version->nssts == 1 && t.sh->version->number == number + 1);
	CHECK_TEXT(test_all(&t, s), "b@1=x ");
	CHECK(access(path, F_OK) == 0);
	flowi_version_unref(t.env, t.dir, pin);
	CHECK(access(path, F_OK) != 0);
	test_close(&t);
	check_passed("obsolete files go with the last pin");
}

/* What an object takes of the metadata: a power of two. */
static uint64_t
slot_bytes(size_t size)
{
	uint64_t bytes = 32;

	while (bytes < size)
		bytes *= 2;
	return bytes;
}

static void
test_discard(void)
{
	TestDb t;
	uint32_t s;
	uint64_t empty;
	FlowScan *scan;
	const FlowVector *vec;
	FlowScanSpec spec = {.now = INT64_MIN};

	open_db(&t, &s);
	test_unload(&t);
	CHECK_OK(flow_load(t.env, t.dir, &t.opts, &t.sh));
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &t.db));
	flow_discard(t.env, t.sh); /* of nothing but what every database has */
	empty = meta_used(&t);
	CHECK(empty ==
		  slot_bytes(sizeof(FlowDbShared)) + slot_bytes(sizeof(FlowVersion)));
	test_unload(&t);
	test_load(&t);

	spec.store_id = s = test_store(&t, "s");
	for (int i = 0; i < 1000; i++)
		test_put_xid(&t, s, "a", i, "x", 3);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_END);
	test_put(&t, s, "a", 1, "x");
	CHECK_OK(flow_freeze(t.db, UINT64_MAX));
	test_put(&t, s, "b", 1, "x");
	flow_discard(t.env, t.sh);
	CHECK(meta_used(&t) == empty);
	flow_scan_close(scan);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(!flow_has_frozen(t.sh));
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	CHECK_OK(flow_flush(t.db, NULL));
	test_close(&t);
	check_passed("discard");
}

static FlowDb *flusher;

static FlowStatus
flush_first(FlowEnv *env, FlowDb *db, size_t len, FlowSync sync)
{
	(void) env;
	(void) len;
	(void) sync;
	CHECK(db != flusher);
	CHECK_OK(flow_flush(flusher, NULL));
	return FLOW_OK;
}

/* A row whose place was found goes into another memtable: the one it was
 * found in is flushed before its writer has the lock, each time. */
static void
test_flush_before_lock(void)
{
	TestDb t;
	uint32_t s;

	open_db(&t, &s);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &flusher));
	test_put(&t, s, "a", 1, "x");
	test_put(&t, s, "a", 2, "x");
	t.env->log_admit = flush_first;
	test_put(&t, s, "a", 3, "x");
	test_put(&t, s, "a", 4, "x");
	t.env->log_admit = NULL;
	test_put(&t, s, "a", 5, "x");
	CHECK(t.sh->version->nssts == 2);
	CHECK_TEXT(test_all(&t, s), "a@1=x a@2=x a@3=x a@4=x a@5=x ");
	flow_detach(flusher);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "a@1=x a@2=x a@3=x a@4=x a@5=x ");
	test_close(&t);
	check_passed("flushes between a row's place and its lock");
}

/* A database that is given up goes with the last handle on it. */
static void
test_abandon(void)
{
	TestDb t;
	uint32_t s;
	FlowDb *second;
	FlowScan *scan;
	FlowScanSpec spec = {.now = INT64_MIN};

	open_db(&t, &s);
	spec.store_id = s;
	test_put(&t, s, "a", 1, "x");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, s, "b", 1, "x");
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	flow_abandon(t.env, t.sh);
	CHECK_TEXT(test_all(&t, s), "");
	flow_detach(second);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(meta_used(&t) > 0);
	flow_detach(t.db);
	flow_scan_close(scan);
	CHECK(meta_used(&t) == 0);
	test_load(&t);
	flow_detach(t.db);
	flow_abandon(t.env, t.sh);
	CHECK(meta_used(&t) == 0);
	test_load(&t);
	test_close(&t);
	check_passed("abandon");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_dropped_versions();
	test_directory();
	test_all_aborted();
	test_resolve();
	test_resolve_hints();
	test_forgotten();
	test_learned_in_time();
	test_log_first();
	test_faults();
	test_faults_of_repair();
	test_doubtful_files();
	test_points();
	test_busy();
	test_manifest_growth();
	test_obsolete();
	test_discard();
	test_flush_before_lock();
	test_abandon();
	return 0;
}
