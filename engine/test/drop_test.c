/*-------------------------------------------------------------------------
 * drop_test.c
 *	  The end of stores: in memory, in files, by transactions, at crashes.
 *-------------------------------------------------------------------------
 */
#include "../active.h"
#include "../store.h"
#include "../version.h"
#include "dbtest.h"

#define REGION_BYTES ((size_t) 16 << 20)
#define MEMTABLE_BYTES ((size_t) 1 << 20)

static FlowTxnState fate[100]; /* by xid */
static bool forgotten;		   /* the host knows of no fate any more */
static uint32_t asked;

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < 100);
	asked++;
	if (forgotten)
		return FLOW_CORRUPT;
	if (fate[xid] != FLOW_TXN_UNKNOWN)
		*statep = fate[xid];
	return FLOW_OK;
}

static const char *stop_at; /* fails there */
static uint32_t stops;

static FlowStatus
stop(FlowEnv *env, const char *name)
{
	(void) env;
	if (stop_at == NULL || strcmp(name, stop_at) != 0)
		return FLOW_OK;
	stops++;
	return flowi_fail(FLOW_IOERR, "stopped at %s", name);
}

static void
open_db_of(TestDb *t, size_t region_bytes)
{
	memset(fate, 0, sizeof(fate));
	forgotten = false;
	test_open(t, region_bytes, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t->env, outcome, NULL);
}

static void
open_db(TestDb *t)
{
	open_db_of(t, REGION_BYTES);
}

static uint32_t
find(TestDb *t, const char *name)
{
	uint32_t id;
	FlowStatus st = flow_store_find(t->db, name, &id, NULL, NULL);

	if (st == FLOW_NOTFOUND)
		return 0;
	CHECK_OK(st);
	return id;
}

static FlowStatus
note_name(void *arg, uint32_t store_id, const char *name)
{
	(void) store_id;
	strcat(arg, name);
	return FLOW_OK;
}

static const char *
names(TestDb *t)
{
	static char text[256];

	text[0] = '\0';
	CHECK_OK(flow_each_store(t->db, note_name, text));
	return text;
}

/* Stores a and b with a row each in an SSTable and one in memory. */
static void
two_stores(TestDb *t, uint32_t *a, uint32_t *b)
{
	*a = test_store(t, "a");
	*b = test_store(t, "b");
	test_put(t, *a, "k", 1, "a1");
	test_put(t, *b, "k", 1, "b1");
	CHECK_OK(flow_flush(t->db, NULL));
	test_put(t, *a, "k", 2, "a2");
	test_put(t, *b, "k", 2, "b2");
}

static void
check_a_gone(TestDb *t, uint32_t a, uint32_t b)
{
	FlowScan *scan;

	CHECK(find(t, "a") == 0);
	CHECK_TEXT(names(t), "b");
	CHECK_STATUS(flow_scan_open(t->db, &(FlowScanSpec){.store_id = a}, &scan),
				 FLOW_INVALID);
	CHECK_TEXT(test_all(t, b), "k@1=b1 k@2=b2 ");
}

static void
check_a_there(TestDb *t, uint32_t a, uint32_t b)
{
	CHECK(find(t, "a") == a);
	CHECK_TEXT(names(t), "ab");
	CHECK_TEXT(test_all(t, a), "k@1=a1 k@2=a2 ");
	CHECK_TEXT(test_all(t, b), "k@1=b1 k@2=b2 ");
}

/* A snapshot of the state as it is. */
static void
rewrite_manifest(TestDb *t)
{
	CHECK_OK(flowi_version_begin(t->db));
	t->sh->manifest_failed = true;
	CHECK_OK(flowi_version_repair(t->db));
	flowi_version_end(t->db);
}

/* ------------------------------------------------------- without transaction */

static void
test_at_once(void)
{
	TestDb t;
	FlowRecord r = test_record("k", 3, "a3");
	uint32_t a, b, again;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK(test_count_files(&t, "SST") == 2);
	CHECK_OK(flow_store_drop(t.db, a, 0));
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 1);
	CHECK(t.sh->stores->next == NULL && t.sh->drops == NULL);
	CHECK_STATUS(flow_store_drop(t.db, a, 0), FLOW_NOTFOUND);
	CHECK_STATUS(flow_write_batch(t.db, a, &r, 1, NULL), FLOW_INVALID);

	/* all of the log comes again, over what the manifest knows */
	test_crash(&t);
	check_a_gone(&t, a, b);
	test_crash(&t);
	check_a_gone(&t, a, b);

	/* the name, not the id, is free */
	again = test_store(&t, "a");
	CHECK(again > b);
	test_put(&t, again, "k", 9, "new");
	test_crash(&t);
	CHECK(find(&t, "a") == again);
	CHECK_TEXT(test_all(&t, again), "k@9=new ");

	/* rows in memory of the old one are not written */
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 3);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, again), "k@9=new ");
	CHECK_TEXT(test_all(&t, b), "k@1=b1 k@2=b2 ");
	CHECK(test_count_files(&t, "SST") == 3);

	/* the last id was dropped: it does not come back either */
	CHECK_OK(flow_store_drop(t.db, again, 0));
	rewrite_manifest(&t);
	test_reopen(&t);
	CHECK(test_store(&t, "c") == again + 1);
	test_close(&t);
	check_passed("without a transaction");
}

/* Defined, written and dropped before any flush. */
static void
test_in_memory(void)
{
	TestDb t;
	uint32_t a;

	open_db(&t);
	for (int i = 0; i < 3; i++)
	{
		a = test_store(&t, "a");
		test_put(&t, a, "k", 1, "v");
		CHECK_OK(flow_store_drop(t.db, a, 0));
	}
	test_crash(&t);
	CHECK(find(&t, "a") == 0);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 0);
	test_reopen(&t);
	CHECK_TEXT(names(&t), "");
	CHECK(test_store(&t, "a") == a + 1);
	test_close(&t);

	/* the edit of the later one has the definition of the earlier one */
	open_db(&t);
	a = test_store(&t, "a");
	test_put(&t, a, "k", 1, "v");
	CHECK_OK(flow_store_drop(t.db, test_store(&t, "b"), 0));
	test_crash(&t);
	CHECK(find(&t, "a") == a);
	CHECK_TEXT(test_all(&t, a), "k@1=v ");
	test_close(&t);
	check_passed("in memory");
}

/* ---------------------------------------------------------- by transactions */

static void
check_committed(bool flushed, bool unless)
{
	TestDb t;
	uint32_t a, b;
	const FlowTxnState good = unless ? FLOW_TXN_ABORTED : FLOW_TXN_COMMITTED;

	open_db(&t);
	two_stores(&t, &a, &b);
	if (unless)
		CHECK_OK(flow_store_drop_unless(t.db, a, 7));
	else
		CHECK_OK(flow_store_drop(t.db, a, 7));
	check_a_there(&t, a, b);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	if (flushed)
		test_reopen(&t); /* only the manifest knows */
	else
		test_crash(&t);
	check_a_there(&t, a, b);
	fate[7] = good;
	CHECK(find(&t, "a") == 0);
	CHECK_OK(flow_resolve_step(t.db));
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == (flushed ? 2 : 1));
	forgotten = true;
	test_crash(&t);
	test_reopen(&t);
	check_a_gone(&t, a, b);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(test_count_files(&t, "SST") == 2);
	test_close(&t);
}

static void
check_aborted(bool flushed, bool unless)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	if (unless)
		CHECK_OK(flow_store_drop_unless(t.db, a, 7));
	else
		CHECK_OK(flow_store_drop(t.db, a, 7));
	if (flushed)
		test_reopen(&t);
	fate[7] = unless ? FLOW_TXN_SETTLED : FLOW_TXN_ABORTED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(t.sh->drops == NULL);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	check_a_there(&t, a, b);
	test_reopen(&t);

	/* nobody asks again: the host may have forgotten */
	forgotten = true;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	check_a_there(&t, a, b);
	forgotten = false;

	/* another one after that */
	CHECK_OK(flow_store_drop(t.db, a, 8));
	fate[8] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	check_a_gone(&t, a, b);
	test_close(&t);
}

/* Several for one store: each has its say. */
static void
test_two_drops(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop_unless(t.db, a, 7));
	CHECK_OK(flow_store_drop(t.db, a, 8));
	CHECK_OK(flow_store_drop(t.db, a, 8));
	fate[8] = FLOW_TXN_ABORTED;
	CHECK_OK(flow_resolve_step(t.db));
	check_a_there(&t, a, b);
	CHECK(atomic_load(&t.sh->ndrops) == 1);
	CHECK_OK(flow_store_drop(t.db, a, 9));
	test_reopen(&t);
	CHECK(atomic_load(&t.sh->ndrops) == 2);
	check_a_there(&t, a, b);
	fate[9] = FLOW_TXN_COMMITTED;
	CHECK_OK(flow_resolve_step(t.db));
	check_a_gone(&t, a, b);
	CHECK(t.sh->drops == NULL);
	test_close(&t);
	check_passed("several drops of one store");
}

/* ------------------------------------- while somebody waits for the log */

static FlowDb *rival;
static uint32_t rivals;

/* While one waits for the log another's drop is logged behind it, and does not
 * become durable. */
static FlowStatus
commit_first(FlowEnv *env, FlowDb *db, uint64_t end)
{
	(void) env;
	if (db == rival)
		return flowi_fail(FLOW_IOERR, "not durable");
	CHECK_STATUS(flow_store_drop(rival, rivals, 0), FLOW_IOERR);
	flowi_active_reveal(db->sh, end);
	return FLOW_OK;
}

static void
test_two_at_once(void)
{
	TestDb t;
	uint32_t a;

	open_db(&t);
	two_stores(&t, &a, &rivals);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &rival));
	t.env->log_commit = commit_first;
	CHECK_OK(flow_store_drop(t.db, a, 0));
	t.env->log_commit = NULL;
	CHECK(find(&t, "a") == 0 && find(&t, "b") == rivals);
	flow_detach(rival);
	test_close(&t);
	check_passed("a drop that is not durable beside one that is");
}

/* What was told without asking is learned before the host may forget. */
static void
test_learned(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	fate[7] = FLOW_TXN_COMMITTED;
	CHECK_OK(flow_learn_fates(t.db));
	forgotten = true;
	check_a_gone(&t, a, b);
	CHECK_OK(flow_drop_step(t.db));
	CHECK(test_count_files(&t, "SST") == 1 && t.sh->drops == NULL);
	test_close(&t);
	check_passed("learned");
}

static FlowStatus sync_status;

static FlowStatus
sync_log(FlowEnv *env)
{
	(void) env;
	return sync_status;
}

/* S5: a commit that is known, and not durable, is not published. */
static void
test_log_first(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	flow_drop_committed(t.db, 7);
	t.env->log_sync = sync_log;
	sync_status = FLOW_IOERR;
	CHECK_STATUS(flow_drop_step(t.db), FLOW_IOERR);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_IOERR);
	CHECK(test_count_files(&t, "SST") == 2);
	sync_status = FLOW_OK;
	test_crash(&t); /* which loses the commit */
	check_a_there(&t, a, b);
	test_close(&t);

	/* a store that has only memory, too */
	open_db(&t);
	a = test_store(&t, "a");
	CHECK_OK(flow_store_drop(t.db, a, 7));
	flow_drop_committed(t.db, 7);
	t.env->log_sync = sync_log;
	sync_status = FLOW_IOERR;
	CHECK_STATUS(flow_drop_step(t.db), FLOW_IOERR);
	sync_status = FLOW_OK;
	test_crash(&t);
	CHECK(find(&t, "a") == a);
	test_close(&t);
	check_passed("the log goes first");
}

/* A drop is unflushed data like any other record. */
static void
test_positions(void)
{
	TestDb t;
	uint32_t a, b;
	uint64_t end;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	end = t.log[t.nlog - 1].end;
	CHECK(flow_oldest_unflushed(t.sh) <= t.log[t.nlog - 1].start);
	test_crash(&t);
	CHECK(flow_oldest_unflushed(t.sh) <= t.log[t.nlog - 1].start);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(atomic_load(&t.sh->flushed_pos) == end);
	CHECK(flow_oldest_unflushed(t.sh) == UINT64_MAX);
	test_close(&t);
	check_passed("positions");
}

/* The host says that it has committed before anybody asks. */
static void
test_told(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	flow_drop_committed(t.db, 6);
	check_a_there(&t, a, b);
	flow_drop_committed(t.db, 7);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	/* before a flush writes anything of it */
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 2); /* both of b */
	check_a_gone(&t, a, b);
	CHECK(test_store(&t, "a") != a);
	test_close(&t);

	/* a flush asks by itself */
	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	fate[7] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 2);
	check_a_gone(&t, a, b);
	test_close(&t);
	check_passed("told of the commit");
}

/* A transaction that the host has forgotten breaks the database; it is
 * neither dropped nor kept by a guess, and flushes go on. */
static void
test_forgotten(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	forgotten = true;
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_learn_fates(t.db));
	check_a_there(&t, a, b);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_CORRUPT);
	CHECK_STATUS(flow_resolve_all(t.db), FLOW_CORRUPT);
	test_close(&t);
	check_passed("forgotten");
}

/* Without a transaction it needs no step of anybody to take effect. */
static void
test_not_settled(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	two_stores(&t, &a, &b);
	t.env->point = stop;
	stop_at = "drop-settle";
	CHECK_OK(flow_store_drop(t.db, a, 0));
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	test_crash(&t); /* redo decides */
	check_a_gone(&t, a, b);
	rewrite_manifest(&t);
	test_forget_log(&t);
	test_crash(&t); /* the manifest does */
	CHECK(find(&t, "a") == 0);
	CHECK_TEXT(names(&t), "b");
	stop_at = NULL;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(test_count_files(&t, "SST") == 1);
	test_close(&t);
	check_passed("not settled yet");
}

/* ------------------------------------------------------------------- redo */

/*
 * A store of the same name was made behind the drop: redo meets both while
 * the transaction's commit has not been replayed, or is told of too late.
 */
static void
test_same_name(bool flushed)
{
	TestDb t;
	uint32_t a, b, again;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_store_drop(t.db, a, 7));
	flow_drop_committed(t.db, 7);
	again = test_store(&t, "a");
	test_put(&t, again, "k", 5, "new");
	if (flushed)
	{
		/* only the state before the drop is in the manifest, with both
		 * definitions: as if no step had come between */
		rewrite_manifest(&t);
	}
	test_crash(&t);
	CHECK(find(&t, "a") == again);
	CHECK_TEXT(test_all(&t, again), "k@5=new ");
	CHECK_TEXT(names(&t), "ba");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 3);
	forgotten = true;
	test_reopen(&t);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK_TEXT(test_all(&t, again), "k@5=new ");
	CHECK_TEXT(test_all(&t, b), "k@1=b1 k@2=b2 ");
	test_close(&t);
}

/* The manifest is ahead of the log: redo passes over what is gone. */
static void
test_ahead(void)
{
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	a = test_store(&t, "a");
	test_put(&t, a, "k", 1, "a1");
	CHECK_OK(flow_store_define(t.db, "a", "blob", 4, &a));
	CHECK_OK(flow_store_drop(t.db, a, 7));
	fate[7] = FLOW_TXN_COMMITTED;
	b = test_store(&t, "b");
	test_put(&t, b, "k", 1, "b1");
	CHECK_OK(flow_drop_step(t.db));
	fate[7] = FLOW_TXN_UNKNOWN; /* its commit is not replayed yet */
	test_crash(&t);
	CHECK_TEXT(names(&t), "b");
	CHECK(t.sh->drops == NULL);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 1);
	CHECK_TEXT(test_all(&t, b), "k@1=b1 ");
	test_close(&t);
	check_passed("manifest ahead of the log");
}

static void
test_undefined(void)
{
	uint8_t rec[] = {FLOW_RECORD_DROP, 1, 0, 9, 0};
	uint8_t again[] = {FLOW_RECORD_STORE, 1, 0, 2, 1, 'a', 0, 0};
	TestDb t;

	open_db(&t);
	(void) test_store(&t, "a");
	/* its name is taken by a store that nobody drops */
	CHECK_STATUS(
		flow_redo(t.db, again, sizeof(again), 1u << 20, (1u << 20) + 64),
		FLOW_CORRUPT);
	again[5] = 'b';
	CHECK_OK(flow_redo(t.db, again, sizeof(again), 1u << 20, (1u << 20) + 64));
	CHECK_STATUS(flow_redo(t.db, rec, sizeof(rec), 2u << 20, (2u << 20) + 64),
				 FLOW_CORRUPT);
	CHECK_STATUS(flow_store_drop(t.db, 9, 0), FLOW_NOTFOUND);
	CHECK_STATUS(flow_store_drop_unless(t.db, 1, 0), FLOW_INVALID);
	test_close(&t);
	check_passed("what is not defined");
}

/* --------------------------------------------------------- readers, merges */

static void
test_readers(void)
{
	TestDb t;
	uint32_t a, b;
	FlowScan *scan;
	const FlowVector *vec;

	open_db(&t);
	two_stores(&t, &a, &b);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 4);
	CHECK_OK(flow_scan_open(
		t.db, &(FlowScanSpec){.store_id = a, .now = INT64_MIN}, &scan));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK_OK(flow_store_drop(t.db, a, 0));
	CHECK(test_count_files(&t, "SST") == 4); /* it may read them */
	flow_scan_close(scan);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(test_count_files(&t, "SST") == 2);
	check_a_gone(&t, a, b);
	test_close(&t);
	check_passed("readers");
}

static void
test_merges(void)
{
	TestDb t;
	uint32_t a, b;
	bool ran;
	FlowDb *other;

	open_db(&t);
	t.sh->policy.min_threshold = 2;
	two_stores(&t, &a, &b);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &other));
	while (other->merge == NULL)
		CHECK_OK(flow_maintenance_step(other, 0, NULL));
	CHECK_OK(flow_store_drop(t.db, a, 0));
	CHECK_OK(flow_store_drop(t.db, b, 0));
	CHECK(flow_maintenance_step(other, 1000000, NULL) != FLOW_CORRUPT);
	CHECK(other->merge == NULL);
	CHECK(atomic_load(&t.sh->merges) == 0);
	flow_detach(other);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(test_count_files(&t, "SST") == 0);
	CHECK_STATUS(flow_compact(t.db, a, &ran), FLOW_INVALID);
	CHECK_OK(flow_compact(t.db, 0, &ran));
	CHECK(!ran);
	test_reopen(&t);
	CHECK(test_count_files(&t, "SST") == 0);
	test_close(&t);
	check_passed("merges");
}

/* A merge that has a long way to go ends at its next step. */
static void
test_long_merge(void)
{
	TestDb t;
	uint32_t s;
	char key[16];

	open_db(&t);
	t.sh->policy.min_threshold = 2;
	s = test_store(&t, "s");
	for (int i = 0; i < 1000; i++)
	{
		snprintf(key, sizeof(key), "k%03d", i % 500);
		test_put(&t, s, key, i, "x");
		if (i % 500 == 499)
			CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	CHECK(t.db->merge != NULL);
	CHECK_OK(flow_store_drop(t.db, s, 0));
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	CHECK(t.db->merge == NULL && test_count_files(&t, "SST") == 0);
	test_close(&t);
	check_passed("a merge of a store that goes");
}

/* -------------------------------------------------------- backups, crashes */

static bool
keep_all(FlowEnv *env, int64_t since)
{
	(void) env;
	(void) since;
	return true;
}

/* A copy that lacks a file which came after the store's: the state to load is
 * one from before the drop, which is true all the same. */
static void
test_backup(void)
{
	char path[FLOW_PATH_BYTES];
	TestDb t;
	uint32_t a, b;

	open_db(&t);
	t.env->keep_files = keep_all;
	two_stores(&t, &a, &b);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_store_drop(t.db, a, 0));
	CHECK(test_count_files(&t, "SST") == 4);
	flowi_version_path(t.dir, t.sh->version->sst[1]->info.id, path);
	CHECK(unlink(path) == 0);
	t.opts.will_redo = true;
	t.env->keep_files = NULL;
	test_crash(&t);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 1);
	CHECK_OK(flow_flush(t.db, NULL));
	t.opts.will_redo = false;
	test_reopen(&t);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	test_close(&t);
	check_passed("an older state");
}

static void
crash_at(const char *point, bool flush, bool unless)
{
	TestDb t;
	uint32_t a, b;
	FlowStatus st;

	open_db(&t);
	two_stores(&t, &a, &b);
	t.env->point = stop;
	if (unless)
		CHECK_OK(flow_store_drop_unless(t.db, a, 7));
	else
		CHECK_OK(flow_store_drop(t.db, a, 7));
	fate[7] = unless ? FLOW_TXN_ABORTED : FLOW_TXN_COMMITTED;
	stop_at = point;
	st = flush ? flow_flush(t.db, NULL) : flow_resolve_step(t.db);
	(void) st;
	stop_at = NULL;
	test_crash(&t);
	check_a_gone(&t, a, b); /* the fate is known */
	CHECK(flow_resolve_step(t.db) != FLOW_CORRUPT);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	forgotten = true;
	test_reopen(&t);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	CHECK(t.sh->drops == NULL && t.sh->stores->next == NULL);
	test_close(&t);
}

/* The same, but the server goes on and tries again. */
static void
fail_at(const char *point, bool flush)
{
	TestDb t;
	uint32_t a, b;
	FlowStatus st;

	open_db(&t);
	two_stores(&t, &a, &b);
	t.env->point = stop;
	CHECK_OK(flow_store_drop(t.db, a, 7));
	fate[7] = FLOW_TXN_COMMITTED;
	stop_at = point;
	st = flush ? flow_flush(t.db, NULL) : flow_resolve_step(t.db);
	(void) st;
	stop_at = NULL;
	check_a_gone(&t, a, b);
	CHECK_OK(flow_flush(t.db, NULL));
	st = flow_resolve_step(t.db);
	CHECK(st == FLOW_OK || st == FLOW_END);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	test_reopen(&t);
	check_a_gone(&t, a, b);
	CHECK(test_count_files(&t, "SST") == 2);
	test_close(&t);
}

static void
test_crashes(void)
{
	static const char *const points[] = {"drop-settle",
										 "drop-settled",
										 "manifest-append",
										 "manifest-rewrite",
										 "manifest-before-sync",
										 "manifest-before-append",
										 "trash-unlinked",
										 "flush-begin",
										 "flush-written",
										 "flush-renamed",
										 "manifest-before-current"};

	stops = 0;
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
	{
		for (int flush = 0; flush < 2; flush++)
		{
			crash_at(points[i], flush, false);
			crash_at(points[i], flush, true);
			fail_at(points[i], flush);
		}
	}
	CHECK(stops > 30);
	check_passed("a crash at every point");
}

/* Metadata is full: a drop is what helps. */
static void
test_full(void)
{
	static uint8_t blob[FLOW_MAX_BLOB / 4];
	TestDb t;
	char name[32];
	uint32_t id, last = 0;
	uint32_t n = 0;
	size_t bytes = sizeof(blob);

	open_db(&t);
	while (bytes > 0)
	{
		snprintf(name, sizeof(name), "s%u", n++);
		if (flow_store_define(t.db, name, blob, bytes, &id) == FLOW_OK)
			last = id;
		else
			bytes /= 2;
	}
	CHECK(last > 1);
	for (id = 1; id <= last; id++)
		CHECK_OK(flow_store_drop(t.db, id, 7));
	fate[7] = FLOW_TXN_COMMITTED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(t.sh->nstores == 0);
	test_close(&t);
	check_passed("full metadata");
}

/* Thousands at once. */
static void
test_many(void)
{
	TestDb t;
	char name[32];
	uint32_t ids[2000];

	/* each store is promised a kilobyte more (I32) */
	open_db_of(&t, 2 * REGION_BYTES);
	for (int i = 0; i < 2000; i++)
	{
		snprintf(name, sizeof(name), "s%d", i);
		ids[i] = test_store(&t, name);
		if (i % 50 == 0)
			test_put(&t, ids[i], "k", i, "v");
	}
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(test_count_files(&t, "SST") == 40);
	for (int i = 0; i < 2000; i += 2)
		CHECK_OK(flow_store_drop(t.db, ids[i], 7));
	asked = 0;
	fate[7] = FLOW_TXN_COMMITTED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(asked == 1);
	CHECK(test_count_files(&t, "SST") == 0);
	CHECK(t.sh->nstores == 1000 && t.sh->nmarked == 0);
	test_reopen(&t);
	CHECK(t.sh->nstores == 1000 && find(&t, "s1") == ids[1]);
	CHECK(find(&t, "s2") == 0);
	test_close(&t);
	check_passed("many at once");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_at_once();
	test_in_memory();
	for (int flushed = 0; flushed < 2; flushed++)
	{
		for (int unless = 0; unless < 2; unless++)
		{
			check_committed(flushed, unless);
			check_aborted(flushed, unless);
		}
		test_same_name(flushed);
	}
	check_passed("by transactions, flushed or not");
	test_two_drops();
	test_two_at_once();
	test_learned();
	test_log_first();
	test_positions();
	test_told();
	test_forgotten();
	test_not_settled();
	test_ahead();
	test_undefined();
	test_readers();
	test_merges();
	test_long_merge();
	test_backup();
	test_crashes();
	test_full();
	test_many();
	return 0;
}
