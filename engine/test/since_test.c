/*-------------------------------------------------------------------------
 * since_test.c
 *	  Has anybody written a record since it was read?  The check of a push:
 *	  writers that count and others, wherever their writes are by then.
 *-------------------------------------------------------------------------
 */
#include "../since.h"
#include "dbtest.h"

#define OWN 10 /* the transaction that pushes */
#define NXIDS 32

static TestDb t;
static uint32_t store;
static uint32_t other_store;
static FlowTxnState fate[NXIDS];
static int asked; /* questions who counts */

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid < NXIDS);
	if (fate[xid] != FLOW_TXN_UNKNOWN)
		*statep = fate[xid];
	return FLOW_OK;
}

static bool
counts(void *arg, uint64_t xid, FlowTxnState state)
{
	CHECK(arg == &fate);
	asked++;
	if (state == FLOW_TXN_ABORTED)
		return false;
	if (state != FLOW_TXN_UNKNOWN)
		return true;
	return xid != OWN && fate[xid] != FLOW_TXN_ABORTED;
}

static void
open_all(void)
{
	test_open(&t, (size_t) 64 << 20, (size_t) 16 << 20);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	memset(fate, 0, sizeof(fate));
	asked = 0;
	store = test_store(&t, "s");
	other_store = test_store(&t, "o");
}

static FlowTxBuf *
make_buf(void)
{
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	flow_txbuf_set_counts(buf, counts, &fate);
	return buf;
}

static void
add(FlowTxBuf *buf, const char *key, const char *value, uint32_t cid)
{
	CHECK_OK(flow_txbuf_add(buf, value ? FLOW_PUT : FLOW_DELETE, store, key,
							strlen(key), 1, FLOW_NEVER, value,
							value ? strlen(value) : 0, OWN, cid));
}

static void
add_checked(FlowTxBuf *buf, const char *key, uint64_t seen)
{
	add(buf, key, "mine", 0);
	CHECK_OK(flow_txbuf_check(buf, seen, false));
}

/* Push a write of a@1 that answers a read at seen. */
static FlowStatus
push_checked(uint64_t seen)
{
	FlowTxBuf *buf = make_buf();
	uint64_t before = flow_log_seen(t.db);
	FlowStatus st;

	add_checked(buf, "a", seen);
	st = flow_txbuf_push(buf, t.db);
	CHECK(flow_txbuf_count(buf) == 1);
	CHECK((flow_log_seen(t.db) > before) == (st == FLOW_OK));
	CHECK((flow_txbuf_bytes(buf) > 0) == (st != FLOW_OK));
	flow_txbuf_free(buf);
	return st;
}

static void
write_xid(uint32_t s, const char *key, int64_t ts, const char *value,
		  int64_t expire_at, uint64_t xid)
{
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_add(buf, value ? FLOW_PUT : FLOW_DELETE, s, key,
							strlen(key), ts, expire_at, value,
							value ? strlen(value) : 0, xid, 0));
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
}

static void
put(const char *key, uint64_t xid)
{
	write_xid(store, key, 1, "theirs", FLOW_NEVER, xid);
}

static void
tomb(const char *lo, const char *hi, int64_t ts_lo, int64_t ts_hi, uint64_t xid)
{
	FlowRect rect = {(const uint8_t *) lo,
					 (const uint8_t *) hi,
					 (uint32_t) strlen(lo),
					 hi ? (uint32_t) strlen(hi) : 0,
					 ts_lo,
					 ts_hi};
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, xid, 0));
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
}

/* Where what was written is when the push looks for it. */
typedef enum Place
{
	IN_ACTIVE,
	IN_FROZEN,
	IN_SST,
	IN_MERGED,
	NPLACES
} Place;

static void
merge(void)
{
	bool ran;

	CHECK_OK(flow_compact(t.db, store, &ran));
	CHECK(ran);
}

static void
move_to(Place place)
{
	if (place == IN_FROZEN)
		CHECK_OK(flow_freeze(t.db, UINT64_MAX));
	if (place >= IN_SST)
		CHECK_OK(flow_flush(t.db, NULL));
	if (place == IN_MERGED)
	{
		/* another file to merge with; it has nothing to do with the row */
		put("zz", 0);
		CHECK_OK(flow_flush(t.db, NULL));
		merge();
	}
}

/* ------------------------------------------------------------ who counts */

static void
test_writers(Place place)
{
	uint64_t seen;

	open_all();
	put("a", 1);
	move_to(place);
	seen = flow_log_seen(t.db);
	put("b", 2);
	write_xid(store, "a", 2, "v", FLOW_NEVER, 2);
	write_xid(other_store, "a", 1, "v", FLOW_NEVER, 2);
	move_to(place);
	CHECK_OK(push_checked(seen));

	/* our own one from just now, an aborted one, one before seen */
	put("a", 3);
	seen = flow_log_seen(t.db);
	put("a", OWN);
	fate[4] = FLOW_TXN_ABORTED;
	put("a", 4);
	move_to(place);
	CHECK_OK(push_checked(seen));

	/* one that counts, with others above it */
	seen = flow_log_seen(t.db);
	put("a", 5);
	put("a", 4);
	put("a", OWN);
	move_to(place);
	CHECK_STATUS(push_checked(seen), FLOW_CONFLICT);
	CHECK_OK(push_checked(flow_log_seen(t.db)));

	/* a deletion */
	seen = flow_log_seen(t.db);
	write_xid(store, "a", 1, NULL, FLOW_NEVER, 6);
	move_to(place);
	CHECK_STATUS(push_checked(seen), FLOW_CONFLICT);
	test_close(&t);
}

static void
test_tombs(Place place)
{
	uint64_t seen;

	open_all();
	tomb("a", "b", 0, 9, 1);
	seen = flow_log_seen(t.db);
	put("a", OWN);
	fate[2] = FLOW_TXN_ABORTED;
	tomb("a", "b", 0, 9, 2);
	tomb("a", "b", 2, 9, 3);
	tomb("b", NULL, 0, 9, 3);
	tomb("a", "a", 0, 9, 3);
	tomb("", "a", 0, 9, 3);
	tomb("a", "b", 0, 9, OWN);
	move_to(place);
	CHECK_OK(push_checked(seen));
	seen = flow_log_seen(t.db);
	tomb("", NULL, 1, 1, 3); /* at that very place */
	put("a", OWN);
	move_to(place);
	CHECK_STATUS(push_checked(seen), FLOW_CONFLICT);
	test_close(&t);
}

/* Nobody says who counts: all do. */
static void
test_all_count(Place place)
{
	FlowTxBuf *buf;
	uint64_t seen;

	open_all();
	seen = flow_log_seen(t.db);
	put("a", OWN);
	move_to(place);
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	add_checked(buf, "a", seen);
	CHECK_STATUS(flow_txbuf_push(buf, t.db), FLOW_CONFLICT);
	flow_txbuf_free(buf);
	test_close(&t);
}

/* ------------------------------------------- what a merge leaves nothing of */

static void
flush_settled(void)
{
	CHECK_OK(flow_learn_fates(t.db));
	CHECK_OK(flow_flush(t.db, NULL));
}

/*
 * A row is read, and something settled comes over it that a flush or a merge
 * leaves out together with the row.
 */
static void
test_gone(int how)
{
	uint64_t seen;

	open_all();
	test_purge_time = 100;
	for (int i = 1; i < 5; i++)
		fate[i] = FLOW_TXN_SETTLED;
	put("a", 1);
	put("k", 1);
	if (how != 3)
		flush_settled();
	seen = flow_log_seen(t.db);
	/* what is gone of others is no matter as long as the row is there */
	write_xid(store, "y", 1, "x", 50, 2);
	flush_settled();
	CHECK(atomic_load(&t.sh->gone_seq) >= seen);
	{
		FlowTxBuf *buf = make_buf();

		add_checked(buf, "k", seen);
		CHECK_OK(flow_txbuf_push(buf, t.db));
		flow_txbuf_free(buf);
	}
	seen = flow_log_seen(t.db);
	if (how == 0)
		write_xid(store, "a", 1, NULL, FLOW_NEVER, 3);
	else if (how == 1)
		write_xid(store, "a", 1, "x", 50, 3);
	else
		tomb("a", "b", 0, 9, 3);
	flush_settled();
	while (t.sh->version->nssts > 1)
		merge();
	CHECK(test_get(&t, &(FlowScanSpec){.store_id = store, .now = INT64_MIN},
				   "a", 1) == NULL);
	CHECK_STATUS(push_checked(seen), FLOW_CONFLICT);
	CHECK_OK(push_checked(flow_log_seen(t.db)));
	test_purge_time = INT64_MIN;
	test_close(&t);
}

/* The same by garbage collection: all of a file is over. */
static void
test_gone_file(void)
{
	uint64_t seen;
	uint64_t purged;

	open_all();
	test_purge_time = 100;
	fate[1] = FLOW_TXN_SETTLED;
	seen = flow_log_seen(t.db);
	write_xid(store, "a", 1, "x", 150, 1);
	flush_settled();
	CHECK(atomic_load(&t.sh->gone_seq) < seen);
	test_purge_time = 200;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 1 && t.sh->version->nssts == 0);
	CHECK_STATUS(push_checked(seen), FLOW_CONFLICT);
	test_purge_time = INT64_MIN;
	test_close(&t);
}

static FlowStatus
push_key(const char *key, uint64_t seen, bool absent)
{
	FlowTxBuf *buf = make_buf();
	FlowStatus st;

	add(buf, key, "mine", 0);
	CHECK_OK(flow_txbuf_check(buf, seen, absent));
	st = flow_txbuf_push(buf, t.db);
	flow_txbuf_free(buf);
	return st;
}

/* Something of another row is gone: that is no matter to rows that were absent
 * before, nor to those that the transaction itself has made. */
static void
test_gone_elsewhere(void)
{
	uint64_t seen;

	open_all();
	test_purge_time = 100;
	fate[1] = FLOW_TXN_SETTLED;
	fate[2] = FLOW_TXN_ABORTED;
	put("own", OWN);
	put("aborted", 2);
	tomb("l", "m", 0, 9, 1); /* no trace of a row */
	seen = flow_log_seen(t.db);
	write_xid(other_store, "y", 1, "x", 50, 1);
	flush_settled();
	CHECK(atomic_load(&t.sh->gone_seq) >= seen);
	put("aborted", 2);
	CHECK_OK(push_key("own", seen, false));
	CHECK_OK(push_key("new", seen, true));
	CHECK_STATUS(push_key("lost", seen, false), FLOW_CONFLICT);
	CHECK_STATUS(push_key("aborted", seen, false), FLOW_CONFLICT);
	test_purge_time = INT64_MIN;
	test_close(&t);
}

/* ----------------------------------------------- between look and write lock */

static FlowDb *second; /* a handle of another thread */
static int admitted;   /* writes of the handle under test */
static void (*meanwhile)(int n);

static FlowStatus
admit(FlowEnv *env, FlowDb *db, size_t len, FlowSync sync)
{
	FlowDb *first = t.db;

	(void) env, (void) len, (void) sync;
	if (db == second)
		return FLOW_OK;
	t.db = second;
	meanwhile(++admitted);
	t.db = first;
	return FLOW_OK;
}

static FlowStatus
push_while(uint64_t seen, void (*fn)(int n))
{
	FlowTxBuf *buf = make_buf();
	FlowStatus st;

	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	admitted = 0;
	meanwhile = fn;
	add_checked(buf, "a", seen);
	t.env->log_admit = admit;
	st = flow_txbuf_push(buf, t.db);
	t.env->log_admit = NULL;
	flow_detach(second);
	flow_txbuf_free(buf);
	return st;
}

static void
write_other(int n)
{
	(void) n;
	put("b", 1);
}

static void
write_same(int n)
{
	if (n == 1)
		put("a", 2);
}

static void
write_aborted(int n)
{
	if (n < 4)
		put("a", 3);
}

static void
cover(int n)
{
	if (n == 1)
		tomb("", NULL, 0, 9, 2);
}

static void
flush_other(int n)
{
	if (n > 1)
		return;
	put("b", 1);
	CHECK_OK(flow_flush(t.db, NULL));
}

static void
freeze_same(int n)
{
	if (n > 1)
		return;
	put("a", 2);
	CHECK_OK(flow_freeze(t.db, UINT64_MAX));
}

static void
flush_same(int n)
{
	if (n > 1)
		return;
	put("a", 2);
	CHECK_OK(flow_flush(t.db, NULL));
}

static void
test_meanwhile(void)
{
	open_all();
	put("a", 1);
	CHECK_OK(push_while(flow_log_seen(t.db), write_other));
	CHECK(admitted == 1);
	CHECK_STATUS(push_while(flow_log_seen(t.db), write_same), FLOW_CONFLICT);
	CHECK(admitted == 1);
	CHECK_STATUS(push_while(flow_log_seen(t.db), cover), FLOW_CONFLICT);
	/* who counts is asked without the lock, so it is looked at anew */
	fate[3] = FLOW_TXN_ABORTED;
	CHECK_OK(push_while(flow_log_seen(t.db), write_aborted));
	CHECK(admitted == 4);
	CHECK_OK(push_while(flow_log_seen(t.db), flush_other));
	CHECK(admitted == 2);
	CHECK_STATUS(push_while(flow_log_seen(t.db), flush_same), FLOW_CONFLICT);
	CHECK(admitted == 1);
	CHECK_STATUS(push_while(flow_log_seen(t.db), freeze_same), FLOW_CONFLICT);
	CHECK(admitted == 1);
	test_close(&t);
	check_passed("written while the push was on its way");
}

/* ------------------------------------------------------ which entries of it */

static void
test_truncated(void)
{
	FlowTxBuf *buf;
	uint64_t seen;
	size_t mark;

	open_all();
	buf = make_buf();
	CHECK_STATUS(flow_txbuf_check(buf, 1, false), FLOW_INVALID);
	seen = flow_log_seen(t.db);
	put("a", 1);
	put("c", 1);
	add_checked(buf, "b", seen);
	mark = flow_txbuf_count(buf);
	add_checked(buf, "a", seen);
	add_checked(buf, "c", seen);
	CHECK_STATUS(flow_txbuf_push(buf, t.db), FLOW_CONFLICT);
	flow_txbuf_truncate(buf, mark);
	/* the one before is not the last one any more for a check */
	CHECK_STATUS(flow_txbuf_check(buf, seen, false), FLOW_INVALID);
	add(buf, "a", "v", 0);
	CHECK_OK(flow_txbuf_push(buf, t.db));
	CHECK(flow_txbuf_bytes(buf) == 0);
	CHECK_STATUS(flow_txbuf_check(buf, seen, false), FLOW_INVALID);
	flow_txbuf_truncate(buf, 0);
	add_checked(buf, "d", seen);
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
	test_close(&t);
	check_passed("checked entries, truncated");
}

/* The last of several writes of a command is what is logged; what the first
 * answers is looked at all the same.  And a batch of two steps. */
static void
test_several(void)
{
	uint64_t seen;

	open_all();
	seen = flow_log_seen(t.db);
	put("a", 1);
	for (int i = 0; i < 4; i++)
	{
		FlowTxBuf *buf = make_buf();

		add(buf, "x", "v", 0);
		if (i == 0)
			add(buf, "a", "v", 0);
		else
			add_checked(buf, "a", i == 3 ? flow_log_seen(t.db) : seen);
		add(buf, "a", "w", i == 2);
		add(buf, "y", "v", 1);
		CHECK_STATUS(flow_txbuf_push(buf, t.db),
					 i % 3 == 0 ? FLOW_OK : FLOW_CONFLICT);
		flow_txbuf_free(buf);
	}
	test_close(&t);
	check_passed("several writes of a record");
}

static int busy_at;

static FlowStatus
admit_some(FlowEnv *env, FlowDb *db, size_t len, FlowSync sync)
{
	(void) env, (void) db, (void) len, (void) sync;
	return ++admitted == busy_at ? FLOW_BUSY : FLOW_OK;
}

/* Batches before the one that is refused are in. */
static void
test_batches(void)
{
	char *big = calloc(1, 1 << 20);
	FlowTxBuf *buf;
	uint64_t seen;

	open_all();
	buf = make_buf();
	seen = flow_log_seen(t.db);
	put("k09", 1);
	for (int i = 0; i < 12; i++)
	{
		char key[8];

		sprintf(key, "k%02d", i);
		CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, key, strlen(key), 1,
								FLOW_NEVER, big, 1 << 20, OWN, 0));
		if (i != 2)
			CHECK_OK(flow_txbuf_check(buf, seen, false));
	}
	t.env->log_admit = admit_some;
	admitted = 0;
	busy_at = 2;
	CHECK_STATUS(flow_txbuf_push(buf, t.db), FLOW_BUSY);
	CHECK(admitted == 2);
	CHECK_STATUS(flow_txbuf_push(buf, t.db), FLOW_CONFLICT);
	t.env->log_admit = NULL;
	fate[OWN] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_learn_fates(t.db));
	{
		FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};

		CHECK(test_get(&t, &spec, "k00", 1) != NULL);
		CHECK(test_get(&t, &spec, "k03", 1) != NULL);
		CHECK(test_get(&t, &spec, "k11", 1) == NULL);
	}
	CHECK(flow_txbuf_bytes(buf) > 3u << 20);
	/* the rest, but for the row in question */
	flow_txbuf_truncate(buf, 9);
	CHECK_OK(flow_txbuf_push(buf, t.db));
	CHECK(flow_txbuf_bytes(buf) == 0);
	flow_txbuf_free(buf);
	free(big);
	test_close(&t);
	check_passed("several batches");
}

/* Nothing of the checks is lost when memory fails anywhere. */
static void
test_memory(void)
{
	FlowStatus st = FLOW_NOMEM;
	uint64_t nth;

	open_all();
	put("a", 1);
	CHECK_OK(flow_flush(t.db, NULL));
	for (nth = 1; st == FLOW_NOMEM; nth++)
	{
		uint64_t seen = flow_log_seen(t.db);
		FlowTxBuf *buf = make_buf();

		put("a", 2);
		CHECK_OK(flow_flush(t.db, NULL));
		add(buf, "b", "v", 0);
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = flow_txbuf_add(buf, FLOW_PUT, store, "a", 1, 1, FLOW_NEVER, "v", 1,
							OWN, 0);
		if (st == FLOW_OK)
			st = flow_txbuf_check(buf, seen, false);
		if (st == FLOW_OK)
			st = flow_txbuf_push(buf, t.db);
		CHECK(st == FLOW_NOMEM || st == FLOW_CONFLICT);
		CHECK(flow_txbuf_bytes(buf) > 0);
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, 1, 0, 0);
		flow_txbuf_free(buf);
	}
	CHECK(nth > 4);
	test_close(&t);
	check_passed("memory that fails");
}

/* ------------------------------------------------------- what a lookup tells */

static bool
visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	return fate[txn->xid] == FLOW_TXN_COMMITTED || txn->xid == OWN;
}

static FlowGetInfo
get_info(FlowTxBuf *own, bool found)
{
	FlowGetInfo info;
	FlowScanSpec spec = {.store_id = store,
						 .now = 60,
						 .visible = visible,
						 .own = own,
						 .own_cid = UINT32_MAX,
						 .info = &info};

	CHECK((test_get(&t, &spec, "a", 1) != NULL) == found);
	CHECK(info.seen == flow_log_seen(t.db));
	return info;
}

static void
test_info(Place place)
{
	FlowTxBuf *buf;
	FlowRect rect = {(const uint8_t *) "", NULL, 0, 0, 0, 9};
	FlowGetInfo info;
	uint64_t pos[4];

	open_all();
	buf = make_buf();
	CHECK(!get_info(buf, false).found);
	fate[1] = fate[2] = fate[3] = FLOW_TXN_COMMITTED;
	put("a", 1);
	pos[0] = t.log[t.nlog - 1].start;
	put("a", 4);
	move_to(place);
	info = get_info(buf, true);
	CHECK(info.found && !info.own && info.seq == pos[0] && info.xid == 1);
	write_xid(store, "a", 1, "v", 50, 2);
	pos[1] = t.log[t.nlog - 1].start;
	move_to(place);
	info = get_info(buf, false);
	CHECK(info.found && info.seq == pos[1] && info.xid == 2);
	write_xid(store, "a", 1, NULL, FLOW_NEVER, OWN);
	pos[2] = t.log[t.nlog - 1].start;
	info = get_info(buf, false);
	CHECK(info.found && info.seq == pos[2] && info.xid == OWN);
	tomb("", NULL, 0, 9, 3);
	pos[3] = t.log[t.nlog - 1].start;
	move_to(place);
	info = get_info(NULL, false);
	CHECK(info.found && info.seq == pos[3] && info.xid == 3 && !info.own);
	add(buf, "b", "v", 4);
	add(buf, "a", "v", 5);
	info = get_info(buf, true);
	CHECK(info.found && info.own && info.cid == 5 && info.xid == 0);
	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, OWN, 6));
	add(buf, "b", "v", 7);
	info = get_info(buf, false);
	CHECK(info.found && info.own && info.cid == 6);
	fate[1] = FLOW_TXN_SETTLED;
	fate[2] = FLOW_TXN_ABORTED;
	flow_txbuf_free(buf);
	test_close(&t);
}

int
main(void)
{
	for (Place place = IN_ACTIVE; place < NPLACES; place++)
	{
		test_writers(place);
		test_tombs(place);
		test_all_count(place);
		test_info(place);
	}
	check_passed("who counts, wherever it is");
	for (int how = 0; how < 4; how++)
		test_gone(how);
	test_gone_file();
	test_gone_elsewhere();
	check_passed("what is gone without a trace");
	test_meanwhile();
	test_truncated();
	test_several();
	test_batches();
	test_memory();
	return 0;
}
