/*-------------------------------------------------------------------------
 * range_test.c
 *	  Range tombstones through the whole database: transactions, scans and
 *	  lookups against a plain list of what was written.
 *
 *	 range_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "../active.h"
#include "../txbuf.h"
#include "dbtest.h"

#include <time.h>

#define NKEYS 14
#define NTS 10
#define NTXNS 4
#define MAX_OPS 4000
#define MAX_XIDS 20000
#define ROUNDS_DB 40 /* rounds in one database, a store each */
#define NOW 100

static TestDb t;
static CheckRandom rnd;
static uint32_t store;

static uint64_t
below(uint64_t n)
{
	return check_below(&rnd, n);
}

/* ------------------------------------------------------------- the model */

typedef struct Op
{
	FlowOp op;
	uint32_t key, key_hi; /* numbers; key_hi NKEYS: open */
	int64_t ts, ts_hi;
	int64_t expire_at;
	uint64_t number;
	uint64_t xid;
	uint32_t cid;
} Op;

typedef struct Txn
{
	FlowTxBuf *buf; /* NULL: none */
	uint64_t xid;
	uint32_t cid;
	uint64_t snapshot;
	Op *ops; /* MAX_OPS; all since the beginning */
	size_t n;
	size_t pushed;
} Txn;

/* What was pushed, in the order of the log. */
static Op logged[MAX_OPS];
static size_t nlogged;
static Txn txns[NTXNS];
static uint64_t nxids;
static uint64_t commit_no[MAX_XIDS]; /* 0: running; UINT64_MAX: aborted */
static uint64_t commits;
static uint64_t numbers;
static uint64_t scan_snapshot = UINT64_MAX; /* of a scan under way */

typedef struct Reader
{
	uint64_t snapshot;
	const Txn *own;
	uint32_t own_cid;
} Reader;

/* Names in bytewise order; the first is empty, some begin others. */
static uint32_t
make_key(uint32_t no, char *key)
{
	static const char *const tail[] = {"", "x", "xy"};

	if (no == 0)
		return 0;
	return (uint32_t) sprintf(key, "k%c%s", 'a' + (int) no / 3, tail[no % 3]);
}

static bool
sees(const Reader *r, uint64_t xid, uint32_t cid)
{
	if (xid == 0)
		return true;
	if (r->own && r->own->xid == xid)
		return cid < r->own_cid;
	return commit_no[xid] > 0 && commit_no[xid] <= r->snapshot;
}

static FlowTxnState
state_of(uint64_t xid)
{
	uint64_t horizon = FLOW_MIN(commits, scan_snapshot);

	for (int i = 0; i < NTXNS; i++)
		if (txns[i].buf)
			horizon = FLOW_MIN(horizon, txns[i].snapshot);
	if (xid == 0)
		return FLOW_TXN_SETTLED;
	if (commit_no[xid] == 0)
		return FLOW_TXN_UNKNOWN;
	if (commit_no[xid] == UINT64_MAX)
		return FLOW_TXN_ABORTED;
	return commit_no[xid] <= horizon ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
}

static FlowStatus
outcome(FlowEnv *env, uint64_t xid, FlowTxnState *statep)
{
	(void) env;
	*statep = state_of(xid);
	return FLOW_OK;
}

static bool
visible(void *arg, FlowTxn *txn)
{
	if (below(4) == 0 && state_of(txn->xid) != FLOW_TXN_UNKNOWN)
		atomic_store(&txn->state, state_of(txn->xid));
	return sees(arg, txn->xid, txn->cid);
}

static bool
touches(const Op *o, uint32_t key, int64_t ts)
{
	if (o->op != FLOW_DELETE_RANGE)
		return o->key == key && o->ts == ts;
	return o->key <= key && (key < o->key_hi || o->key_hi == NKEYS) &&
		   o->ts <= ts && ts <= o->ts_hi;
}

/* The last thing that the reader sees done to the record: a put, or NULL. */
static const Op *
model_row(const Reader *r, uint32_t key, int64_t ts)
{
	const Op *last = NULL;

	for (size_t i = r->own ? r->own->n : 0;
		 i-- > (r->own ? r->own->pushed : 0);)
	{
		last = &r->own->ops[i];
		if (last->cid < r->own_cid && touches(last, key, ts))
			goto found;
	}
	for (size_t i = nlogged; i-- > 0;)
	{
		last = &logged[i];
		if (sees(r, last->xid, last->cid) && touches(last, key, ts))
			goto found;
	}
	return NULL;
found:
	return last->op == FLOW_PUT && last->expire_at > NOW ? last : NULL;
}

/* --------------------------------------------------------------- writing */

static void
random_op(Op *o, uint64_t xid, uint32_t cid)
{
	*o = (Op){.op = below(5) == 0 ? FLOW_DELETE : FLOW_PUT,
			  .key = (uint32_t) below(NKEYS),
			  .ts = (int64_t) below(NTS),
			  .expire_at = below(5) ? FLOW_NEVER : NOW - 3 + (int64_t) below(6),
			  .number = ++numbers,
			  .xid = xid,
			  .cid = cid};
	if (below(4) > 0)
		return;
	o->op = FLOW_DELETE_RANGE;
	o->key_hi = below(3) ? o->key + (uint32_t) below(4) : o->key + NKEYS;
	o->key_hi = FLOW_MIN(o->key_hi, NKEYS);
	if (o->key_hi == NKEYS - 1 && below(2))
		o->key_hi = (uint32_t) below(NKEYS); /* may be empty */
	o->ts = below(2) ? INT64_MIN : (int64_t) below(NTS);
	o->ts_hi = below(2) ? INT64_MAX : (int64_t) below(NTS);
}

static void
add_op(FlowTxBuf *buf, const Op *o)
{
	char key[8], key_hi[8], value[24];
	uint32_t key_bytes = make_key(o->key, key);

	if (o->op == FLOW_DELETE_RANGE)
	{
		FlowRect rect = {.key_lo = (uint8_t *) key,
						 .key_lo_bytes = key_bytes,
						 .ts_lo = o->ts,
						 .ts_hi = o->ts_hi};

		if (o->key_hi < NKEYS)
		{
			rect.key_hi = (uint8_t *) key_hi;
			rect.key_hi_bytes = make_key(o->key_hi, key_hi);
		}
		CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, o->xid, o->cid));
		return;
	}
	CHECK_OK(flow_txbuf_add(
		buf, o->op, store, key, key_bytes, o->ts, o->expire_at, value,
		(size_t) sprintf(value, "%" PRIu64, o->number), o->xid, o->cid));
}

static void
begin_txn(Txn *x)
{
	CHECK_OK(flow_txbuf_create(t.env, &x->buf));
	x->xid = ++nxids;
	x->cid = 0;
	x->snapshot = commits;
	x->n = x->pushed = 0;
}

static void
push(Txn *x)
{
	test_push(&t, x->buf);
	for (; x->pushed < x->n; x->pushed++)
		logged[nlogged++] = x->ops[x->pushed];
}

static void
end_txn(Txn *x, bool commit)
{
	if (commit)
		push(x);
	commit_no[x->xid] = commit ? ++commits : UINT64_MAX;
	flow_txbuf_free(x->buf);
	x->buf = NULL;
}

/* Something happens in a transaction; busy: one that a scan reads. */
static void
txn_step(Txn *x, bool busy)
{
	if (x->buf == NULL)
		begin_txn(x);
	switch (below(12))
	{
		case 0:
			push(x);
			break;
		case 1:
			if (!busy)
				end_txn(x, below(3) > 0);
			break;
		case 2:
			if (!busy && x->n > x->pushed)
			{
				x->n = x->pushed + below(x->n - x->pushed + 1);
				flow_txbuf_truncate(x->buf, x->n);
			}
			break;
		case 3:
		case 4:
			x->cid++;
			break;
		default:
			for (uint64_t n = 1 + below(4); n-- > 0;)
			{
				random_op(&x->ops[x->n], x->xid, x->cid);
				add_op(x->buf, &x->ops[x->n++]);
			}
	}
}

/* --------------------------------------------------------------- reading */

static Reader
random_reader(void)
{
	Reader r = {.snapshot = commits};
	Txn *x = &txns[below(NTXNS)];

	if (x->buf && below(2))
	{
		r.snapshot = x->snapshot;
		r.own = x;
		r.own_cid = ++x->cid;
		if (below(3) == 0)
			r.own_cid = (uint32_t) below(r.own_cid + 1);
	}
	return r;
}

static FlowScanSpec
spec_of(Reader *r)
{
	return (FlowScanSpec){.store_id = store,
						  .now = NOW,
						  .visible = visible,
						  .visible_arg = r,
						  .own = r->own ? r->own->buf : NULL,
						  .own_cid = r->own_cid,
						  .no_fill_cache = below(4) == 0,
						  .no_verify = below(4) == 0};
}

static void
check_row(const FlowVector *vec, uint32_t i, const Op *want)
{
	char key[8], value[24];
	uint32_t key_bytes = make_key(want->key, key);
	int value_bytes = sprintf(value, "%" PRIu64, want->number);

	CHECK(vec->key_bytes[i] == key_bytes && vec->ts[i] == want->ts);
	CHECK(key_bytes == 0 || memcmp(vec->key[i], key, key_bytes) == 0);
	CHECK(vec->value_bytes[i] == (uint32_t) value_bytes);
	CHECK(memcmp(vec->value[i], value, (size_t) value_bytes) == 0);
}

/* Not so often that the write buffers are full, and are flushed. */
static void
freeze(void)
{
	CHECK_OK(flow_freeze(t.db, UINT64_MAX));
}

/* What goes on between two calls of a scan by r. */
static void
meanwhile(const Reader *r)
{
	Txn *x = &txns[below(NTXNS)];

	switch (below(8))
	{
		case 0:
			if (below(4) == 0)
				CHECK_OK(flow_flush(t.db, NULL));
			break;
		case 1:
			freeze();
			break;
		case 2:
			CHECK_OK(flow_learn_fates(t.db));
			break;
		default:
			if (x == r->own && x->cid < r->own_cid)
				x->cid = r->own_cid;
			txn_step(x, x == r->own);
	}
}

/* Is something that is by so much above a bound within it? */
static bool
above(FlowBoundKind kind, int64_t by)
{
	return kind == FLOW_OPEN || by > 0 || (by == 0 && kind == FLOW_INCLUSIVE);
}

static void
check_scan(void)
{
	Reader r = random_reader();
	FlowScanSpec spec = spec_of(&r);
	char lo[8], hi[8];
	uint32_t k0 = (uint32_t) below(NKEYS);
	uint32_t k1 = (uint32_t) below(NKEYS);
	int64_t t0 = (int64_t) below(NTS);
	int64_t t1 = (int64_t) below(NTS);
	static Op want[NKEYS * NTS];
	size_t n = 0, at = 0;
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;
	bool changes = below(2);

	spec.key_lo =
		(FlowKeyBound){(FlowBoundKind) below(3), lo, make_key(k0, lo)};
	spec.key_hi =
		(FlowKeyBound){(FlowBoundKind) below(3), hi, make_key(k1, hi)};
	spec.ts_lo = (FlowTimeBound){(FlowBoundKind) below(3), t0};
	spec.ts_hi = (FlowTimeBound){(FlowBoundKind) below(3), t1};
	spec.reverse = below(2);
	for (uint32_t c = 0; c < NKEYS * NTS; c++)
	{
		uint32_t i = spec.reverse ? NKEYS * NTS - 1 - c : c;
		const Op *o = model_row(&r, i / NTS, i % NTS);

		if (o && above(spec.key_lo.kind, (int64_t) (i / NTS) - k0) &&
			above(spec.key_hi.kind, k1 - (int64_t) (i / NTS)) &&
			above(spec.ts_lo.kind, i % NTS - t0) &&
			above(spec.ts_hi.kind, t1 - i % NTS))
			want[n++] = *o;
	}
	scan_snapshot = r.snapshot;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, (uint32_t) below(6), &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			CHECK(at < n);
			check_row(vec, i, &want[at++]);
		}
		if (changes)
			meanwhile(&r);
	}
	CHECK(st == FLOW_END && at == n);
	flow_scan_close(scan);
	scan_snapshot = UINT64_MAX;
}

static void
check_lookups(void)
{
	Reader r = random_reader();
	FlowScanSpec spec = spec_of(&r);
	FlowScan *scan;
	const FlowVector *vec;
	char key[8];

	for (uint32_t k = 0; k < NKEYS; k++)
	{
		uint32_t key_bytes = make_key(k, key);
		const Op *latest = NULL;

		for (int64_t ts = 0; ts < NTS; ts++)
		{
			const Op *o = model_row(&r, k, ts);

			latest = o ? o : latest;
			CHECK_STATUS(flow_get(t.db, &spec, key, key_bytes, ts, &scan, &vec),
						 o ? FLOW_OK : FLOW_NOTFOUND);
			if (o)
				check_row(vec, 0, o);
			flow_scan_close(scan);
		}
		CHECK_STATUS(flow_get_latest(t.db, &spec, key, key_bytes, &scan, &vec),
					 latest ? FLOW_OK : FLOW_NOTFOUND);
		if (latest)
			check_row(vec, 0, latest);
		flow_scan_close(scan);
	}
}

/* ------------------------------------------------------------ the rounds */

static void
open_all(void)
{
	test_open(&t, (size_t) 16 << 20, 4 << 20);
	t.env->txn_outcome = outcome;
	store = test_store(&t, "s");
	nlogged = 0;
	nxids = commits = 0;
	memset(commit_no, 0, sizeof(commit_no));
}

static void
random_step(void)
{
	txn_step(&txns[below(NTXNS)], false);
	if (below(10) == 0)
		check_scan();
	if (below(60) == 0)
		check_lookups();
	if (below(40) == 0)
		freeze();
	if (below(100) == 0)
		CHECK_OK(flow_flush(t.db, NULL));
	if (below(80) == 0)
		CHECK_OK(flow_learn_fates(t.db));
	if (below(1000) == 0)
		test_crash(&t);
}

static void
test_model(uint64_t rounds)
{
	for (int i = 0; i < NTXNS; i++)
		CHECK((txns[i].ops = malloc(MAX_OPS * sizeof(Op))) != NULL);
	for (uint64_t round = 0; round < rounds; round++)
	{
		char name[32];

		if (round % ROUNDS_DB == 0)
			open_all();
		sprintf(name, "s%" PRIu64, round);
		store = test_store(&t, name);
		nlogged = 0;
		while (nlogged < 500 && nxids < MAX_XIDS - NTXNS)
			random_step();
		for (int i = 0; i < NTXNS; i++)
			if (txns[i].buf)
				end_txn(&txns[i], false);
		if (round % ROUNDS_DB == ROUNDS_DB - 1 || round + 1 == rounds)
			test_close(&t);
	}
	for (int i = 0; i < NTXNS; i++)
		free(txns[i].ops);
	check_passed("scans and lookups against the model");
}

/* ---------------------------------------------------------- single rules */

/* Delete [lo, hi) at all times; hi NULL: to the end. */
static void
delete_range(uint32_t s, const char *lo, const char *hi, int64_t ts_lo,
			 int64_t ts_hi)
{
	FlowTxBuf *buf;
	FlowRect rect = {.key_lo = (const uint8_t *) lo,
					 .key_hi = (const uint8_t *) hi,
					 .key_lo_bytes = (uint32_t) strlen(lo),
					 .key_hi_bytes = hi ? (uint32_t) strlen(hi) : 0,
					 .ts_lo = ts_lo,
					 .ts_hi = ts_hi};

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	CHECK_OK(flow_txbuf_delete_range(buf, s, &rect, 0, 0));
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
}

static void
delete_all_times(uint32_t s, const char *lo, const char *hi)
{
	delete_range(s, lo, hi, INT64_MIN, INT64_MAX);
}

/* X01 to X04, X06, X07 of the behaviour list, before and after a flush. */
static void
test_rules(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	uint32_t s;

	open_all();
	for (int flush = 0; flush <= 2; flush++)
	{
		spec = (FlowScanSpec){.now = INT64_MIN};
		s = spec.store_id =
			test_store(&t, (const char *[]){"a", "b", "c"}[flush]);
		/* what is written later is visible */
		test_put(&t, s, "a", 1, "old");
		test_put(&t, s, "b", 1, "old");
		if (flush == 2)
			CHECK_OK(flow_flush(t.db, NULL));
		delete_all_times(s, "a", "c");
		test_put(&t, s, "b", 1, "new");
		if (flush)
			CHECK_OK(flow_flush(t.db, NULL));
		CHECK_TEXT(test_all(&t, s), "b@1=new ");
		CHECK_TEXT(test_get(&t, &spec, "b", 1), "new");
		CHECK(test_get(&t, &spec, "a", 1) == NULL);
		CHECK(test_latest(&t, &spec, "a") == NULL);
		/* a query that neither its first key nor time 0 is in */
		test_put(&t, s, "m", 5, "v");
		if (flush)
			CHECK_OK(flow_flush(t.db, NULL));
		delete_all_times(s, "d", "z");
		if (flush)
			CHECK_OK(flow_flush(t.db, NULL));
		spec.key_lo = (FlowKeyBound){FLOW_INCLUSIVE, "m", 1};
		CHECK_TEXT(test_rows(&t, &spec), "");
		spec.ts_lo = spec.ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, 5};
		CHECK_TEXT(test_rows(&t, &spec), "");
		spec.key_hi = spec.key_lo;
		CHECK_TEXT(test_rows(&t, &spec), "");
		CHECK(test_get(&t, &spec, "m", 5) == NULL);
		/* no phantom at its own first key, and no shadow over a later row */
		CHECK(test_get(&t, &spec, "d", 0) == NULL);
		CHECK(test_latest(&t, &spec, "d") == NULL);
		test_put(&t, s, "d", 0, "v");
		CHECK_TEXT(test_get(&t, &spec, "d", 0), "v");
		/* empty ranges, the empty key, an open end, a range of times */
		delete_all_times(s, "e", "a");
		delete_all_times(s, "b", "b");
		delete_range(s, "", NULL, 2, 1);
		CHECK_TEXT(test_all(&t, s), "b@1=new d@0=v ");
		delete_range(s, "", NULL, 0, 0);
		CHECK_TEXT(test_all(&t, s), "b@1=new ");
		delete_all_times(s, "", NULL);
		CHECK_TEXT(test_all(&t, s), "");
		/* what a range hides stays hidden when a newer version is no row */
		test_put(&t, s, "e", 1, "v1");
		delete_all_times(s, "e", "f");
		test_delete(&t, s, "e", 1);
		CHECK_TEXT(test_all(&t, s), "");
	}
	test_close(&t);
	check_passed("rules of range tombstones");
}

/* Order inside one transaction: a put before the range is hidden, one after
 * it is not; in the buffer, and as steps of one batch. */
static void
test_order(void)
{
	FlowScanSpec spec = {.now = INT64_MIN, .own_cid = 1};
	FlowRect all = {
		.key_lo = (const uint8_t *) "", .ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	FlowTxBuf *buf;

	open_all();
	spec.store_id = store;
	test_put(&t, store, "a", 0, "shared");
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	spec.own = buf;
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, "b", 1, 0, FLOW_NEVER, "x", 1,
							0, 0));
	CHECK_OK(flow_txbuf_delete_range(buf, store, &all, 0, 0));
	CHECK_TEXT(test_rows(&t, &spec), "");
	for (int i = 0; i < 30; i++)
	{
		CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, "b", 1, i, FLOW_NEVER,
								"y", 1, 0, 0));
		if (i < 28)
			CHECK_OK(flow_txbuf_delete_range(buf, store, &all, 0, 0));
	}
	CHECK_TEXT(test_rows(&t, &spec), "b@28=y b@29=y ");
	CHECK_OK(flow_txbuf_push(buf, t.db));
	CHECK_TEXT(test_rows(&t, &spec), "b@28=y b@29=y ");
	flow_txbuf_free(buf);
	CHECK_TEXT(test_all(&t, store), "b@28=y b@29=y ");
	/* 30 steps took two batches and the one before */
	CHECK(t.nlog >= 4);
	test_crash(&t);
	CHECK_TEXT(test_all(&t, store), "b@28=y b@29=y ");
	test_close(&t);
	check_passed("order inside a transaction");
}

static FlowStatus
commit_later(FlowEnv *env, FlowDb *db, uint64_t end)
{
	(void) env;
	(void) db;
	(void) end;
	return FLOW_OK;
}

/* A tombstone that is not revealed yet is not seen; the next call of a scan
 * under way sees it. */
static void
test_reveal(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowScan *scan;
	const FlowVector *vec;

	open_all();
	spec.store_id = store;
	test_put(&t, store, "a", 0, "1");
	test_put(&t, store, "b", 0, "2");
	test_put(&t, store, "c", 0, "3");
	t.env->log_commit = commit_later;
	delete_all_times(store, "", NULL);
	CHECK_TEXT(test_all(&t, store), "a@0=1 b@0=2 c@0=3 ");
	CHECK_TEXT(test_get(&t, &spec, "a", 0), "1");
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	CHECK_OK(flow_scan_next(scan, 1, &vec));
	t.env->log_commit = NULL;
	flowi_active_reveal(t.sh, atomic_load(&t.sh->applied_end));
	CHECK_STATUS(flow_scan_next(scan, 1, &vec), FLOW_END);
	flow_scan_close(scan);
	CHECK_TEXT(test_all(&t, store), "");
	CHECK(test_get(&t, &spec, "a", 0) == NULL);
	test_close(&t);
	check_passed("tombstones that are not revealed yet");
}

/* A scan takes up what came since its last call, from everywhere. */
static void
test_between_calls(void)
{
	FlowScanSpec spec = {.now = INT64_MIN, .own_cid = 1};
	FlowRect all = {.key_lo = (const uint8_t *) "c",
					.key_lo_bytes = 1,
					.ts_lo = INT64_MIN,
					.ts_hi = INT64_MAX};
	FlowScan *scan;
	const FlowVector *vec;

	open_all();
	spec.store_id = store;
	CHECK_OK(flow_txbuf_create(t.env, &spec.own));
	for (int how = 0; how < 3; how++)
	{
		test_put(&t, store, "a", 0, "1");
		test_put(&t, store, "b", 0, "2");
		test_put(&t, store, "c", 0, "3");
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		CHECK_OK(flow_scan_next(scan, 1, &vec));
		if (how == 0)
			delete_all_times(store, "c", NULL);
		else
			CHECK_OK(flow_txbuf_delete_range(spec.own, store, &all, 0, 0));
		CHECK_OK(flow_scan_next(scan, 1, &vec));
		CHECK(vec->nrows == 1 && *vec->key[0] == 'b');
		if (how == 2)
			flow_txbuf_truncate(spec.own, flow_txbuf_count(spec.own) - 1);
		CHECK_STATUS(flow_scan_next(scan, 1, &vec),
					 how == 2 ? FLOW_OK : FLOW_END);
		flow_scan_close(scan);
		flow_txbuf_truncate(spec.own, 0);
	}
	flow_txbuf_free(spec.own);
	test_close(&t);
	check_passed("tombstones that come and go between two calls");
}

/* A scan has gone far ahead in a file, all of which its own tombstone hides,
 * when the tombstone is taken back. */
static void
test_taken_back(void)
{
	FlowRect most = {.key_lo = (const uint8_t *) "k00",
					 .key_hi = (const uint8_t *) "k90",
					 .key_lo_bytes = 3,
					 .key_hi_bytes = 3,
					 .ts_lo = INT64_MIN,
					 .ts_hi = INT64_MAX};
	const FlowVector *vec;
	FlowScan *scan;

	open_all();
	for (int i = 0; i < 100; i++)
	{
		char key[8];

		sprintf(key, "k%02d", i);
		test_put(&t, store, key, 0, "x");
	}
	CHECK_OK(flow_flush(t.db, NULL));
	for (int reverse = 0; reverse < 2; reverse++)
	{
		FlowScanSpec spec = {.store_id = store,
							 .now = INT64_MIN,
							 .own_cid = 1,
							 .reverse = reverse,
							 .key_hi = {FLOW_EXCLUSIVE, "k90", 3}};

		CHECK_OK(flow_txbuf_create(t.env, &spec.own));
		CHECK_OK(flow_txbuf_delete_range(spec.own, store, &most, 0, 0));
		CHECK_OK(flow_txbuf_add(spec.own, FLOW_PUT, store, "k50", 3, 0,
								FLOW_NEVER, "y", 1, 0, 0));
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		CHECK_OK(flow_scan_next(scan, 1, &vec));
		CHECK(memcmp(vec->key[0], "k50", 3) == 0);
		flow_txbuf_truncate(spec.own, 0);
		CHECK_OK(flow_scan_next(scan, 1, &vec));
		CHECK(memcmp(vec->key[0], reverse ? "k49" : "k51", 3) == 0);
		flow_scan_close(scan);
		flow_txbuf_free(spec.own);
	}
	test_close(&t);
	check_passed("a tombstone that is taken back");
}

/* A file with rows older and newer than the tombstone, all of one transaction
 * that is not settled: nothing of it may be skipped. */
static void
skip_mixed_file(void)
{
	Reader r = {.snapshot = 1};
	FlowScanSpec spec = {.store_id = test_store(&t, "mixed"),
						 .now = INT64_MIN,
						 .visible = visible,
						 .visible_arg = &r};
	FlowRect rect = {.key_lo = (const uint8_t *) "l",
					 .key_lo_bytes = 1,
					 .ts_lo = INT64_MIN,
					 .ts_hi = INT64_MAX};
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	for (int i = 0; i < 200; i++)
	{
		char key[16];

		CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, spec.store_id, key,
								(size_t) sprintf(key, "l%05d", i), 0,
								FLOW_NEVER, "v", 1, 1, 0));
	}
	CHECK_OK(flow_txbuf_delete_range(buf, spec.store_id, &rect, 1, 1));
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, spec.store_id, "l00150", 6, 0,
							FLOW_NEVER, "w", 1, 1, 2));
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
	commit_no[1] = commits = 1;
	scan_snapshot = 0;
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_TEXT(test_rows(&t, &spec), "l00150@0=w ");
	spec.reverse = true;
	CHECK_TEXT(test_rows(&t, &spec), "l00150@0=w ");
	scan_snapshot = UINT64_MAX;
}

/* Many rows under one tombstone are not walked one by one. */
static void
test_skip(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowScan *scan;
	const FlowVector *vec;
	char key[16];
	uint64_t expect = 0;

	open_all();
	spec.store_id = store;
	for (int file = 0; file < 3; file++)
	{
		for (int i = 0; i < 3000; i++)
		{
			sprintf(key, "k%05d", i * 3 + file);
			test_put(&t, store, key, i % 7, "v");
			expect += strcmp(key, "k00010") < 0 ||
					  (strcmp(key, "k08990") >= 0 && i % 7 != 6);
		}
		CHECK_OK(flow_flush(t.db, NULL));
	}
	delete_all_times(store, "k00010", "k08990");
	delete_range(store, "k08990", NULL, 6, 6);
	for (int reverse = 0; reverse < 2; reverse++)
	{
		uint64_t rows = 0;
		FlowStatus st;

		spec.reverse = reverse;
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		while ((st = flow_scan_next(scan, 1, &vec)) == FLOW_OK)
			rows += vec->nrows;
		CHECK(st == FLOW_END && rows == expect);
		CHECK(flow_scan_stats(scan)->versions_hidden < 200);
		flow_scan_close(scan);
	}
	/* a file with rows older and newer than the tombstone */
	skip_mixed_file();
	/* an open end: each file ends early */
	delete_all_times(store, "k00005", NULL);
	spec.reverse = false;
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	CHECK_OK(flow_scan_next(scan, 0, &vec));
	CHECK(vec->nrows == 5);
	CHECK(flow_scan_stats(scan)->versions_hidden < 200);
	flow_scan_close(scan);
	test_close(&t);
	check_passed("skipping what one tombstone hides");
}

#define MANY_TOMBS 20000
#define MANY_ROWS 100000

static void
put_many(void)
{
	static char keys[1000][12];
	FlowRecord r[1000];

	for (int i = 0; i < MANY_ROWS; i++)
	{
		sprintf(keys[i % 1000], "k%07d", i);
		r[i % 1000] = test_record(keys[i % 1000], 0, "v");
		if (i % 1000 == 999)
			CHECK_OK(flow_write_batch(t.db, store, r, 1000, NULL));
	}
}

/* Thousands of tombstones beside many rows: each fifth row is deleted, by one
 * of its own, before and behind a flush of the rows. */
static void
test_many(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	FlowRect rect = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	FlowTxBuf *buf;
	FlowScan *scan;
	const FlowVector *vec;
	struct timespec began, ended;

	test_open(&t, (size_t) 128 << 20, 40 << 20);
	spec.store_id = store = test_store(&t, "s");
	put_many();
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	for (int i = 0; i < MANY_TOMBS; i++)
	{
		char lo[16], hi[16];

		rect.key_lo = (uint8_t *) lo;
		rect.key_hi = (uint8_t *) hi;
		rect.key_lo_bytes = (uint32_t) sprintf(lo, "k%07d", i * 5);
		rect.key_hi_bytes = (uint32_t) sprintf(hi, "k%07d", i * 5 + 1);
		CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, 0, 0));
	}
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (int how = 0; how < 4; how++)
	{
		uint64_t rows = 0;
		FlowStatus st;

		if (how == 2)
			CHECK_OK(flow_flush(t.db, NULL));
		spec.reverse = how % 2;
		CHECK_OK(flow_scan_open(t.db, &spec, &scan));
		while ((st = flow_scan_next(scan, 100, &vec)) == FLOW_OK)
			rows += vec->nrows;
		CHECK(st == FLOW_END && rows == MANY_ROWS - MANY_TOMBS);
		flow_scan_close(scan);
		for (int i = 0; i < 300; i++)
		{
			char key[16];

			sprintf(key, "k%07d", i * 331);
			CHECK((test_get(&t, &spec, key, 0) == NULL) == (i * 331 % 5 == 0));
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	printf("# 20,000 tombstones, 100,000 rows: %.2f s\n",
		   (double) (ended.tv_sec - began.tv_sec) +
			   (double) (ended.tv_nsec - began.tv_nsec) / 1e9);
	CHECK(ended.tv_sec - began.tv_sec < 20);
	test_close(&t);
	check_passed("many tombstones, many rows");
}

/* A file with many tombstones of all kinds under scans of all bounds: what they
 * give is what is left of the rows by the plain rule. */
#define BOUND_KEYS 60
#define BOUND_TOMBS 200

static FlowKeyBound
random_bound(char key[8])
{
	uint32_t n = (uint32_t) sprintf(key, "%02u", (unsigned) below(BOUND_KEYS));

	return (FlowKeyBound){(FlowBoundKind) below(3), key, n};
}

static bool
within(const char *key, const FlowKeyBound *lo, const FlowKeyBound *hi)
{
	int a = lo->kind == FLOW_OPEN ? 1 : memcmp(key, lo->key, 2);
	int b = hi->kind == FLOW_OPEN ? -1 : memcmp(key, hi->key, 2);

	return (a > 0 || (a == 0 && lo->kind == FLOW_INCLUSIVE)) &&
		   (b < 0 || (b == 0 && hi->kind == FLOW_INCLUSIVE));
}

/* Cover some rows, and write so in left. */
static void
bounded_tombs(bool left[BOUND_KEYS])
{
	/* most are narrow, so that something is left */
	for (int i = 0; i < BOUND_TOMBS; i++)
	{
		unsigned first = (unsigned) below(BOUND_KEYS);
		unsigned end = first + 1 + (unsigned) below(below(40) == 0 ? 20 : 2);
		bool open = end >= BOUND_KEYS && below(8) == 0;
		bool none = below(8) > 0; /* times that no row has */
		char lo[8], hi[8];
		FlowRect rect = {.key_lo = (uint8_t *) lo,
						 .key_hi = open ? NULL : (uint8_t *) hi,
						 .ts_lo = none ? 1 : INT64_MIN,
						 .ts_hi = none ? 9 : INT64_MAX};

		rect.key_lo_bytes = (uint32_t) sprintf(lo, "%02u", first);
		rect.key_hi_bytes = (uint32_t) sprintf(hi, "%02u", end);
		CHECK_OK(flow_delete_range(t.db, store, &rect, NULL));
		for (unsigned k = first; k < BOUND_KEYS && (open || k < end); k++)
			left[k] &= none;
	}
}

static void
test_bounds(void)
{
	for (int round = 0; round < 10; round++)
	{
		bool left[BOUND_KEYS];
		char key[8];

		open_all();
		for (int i = 0; i < BOUND_KEYS; i++)
		{
			sprintf(key, "%02d", i);
			test_put(&t, store, key, 0, "x");
			test_put(&t, store, key, 10, "y");
			left[i] = true;
		}
		CHECK_OK(flow_flush(t.db, NULL));
		bounded_tombs(left);
		CHECK_OK(flow_flush(t.db, NULL));
		CHECK(t.sh->version->ntombs > 100);
		for (int i = 0; i < 200; i++)
		{
			char lo[8], hi[8];
			FlowScanSpec spec = {.store_id = store,
								 .now = INT64_MIN,
								 .key_lo = random_bound(lo),
								 .key_hi = random_bound(hi)};
			char want[BOUND_KEYS * 16] = "";

			for (int k = 0; k < BOUND_KEYS; k++)
			{
				sprintf(key, "%02d", k);
				if (left[k] && within(key, &spec.key_lo, &spec.key_hi))
					sprintf(want + strlen(want), "%s@0=x %s@10=y ", key, key);
			}
			CHECK_TEXT(test_rows(&t, &spec), want);
		}
		test_close(&t);
	}
	check_passed("many tombstones, any bounds");
}

/* Readers judge expiry at the time up to which rows were purged. */
static void
test_horizon(void)
{
	FlowScanSpec spec = {.now = 10};
	uint64_t before;

	open_all();
	spec.store_id = store;
	test_put_expiring(&t, store, "a", 0, "v", 50);
	test_put_expiring(&t, store, "b", 0, "v", 70);
	CHECK_TEXT(test_rows(&t, &spec), "a@0=v b@0=v ");
	atomic_store(&t.sh->purge_horizon, 60);
	before = atomic_load(&t.sh->records_read);
	CHECK_TEXT(test_rows(&t, &spec), "b@0=v ");
	CHECK(test_get(&t, &spec, "a", 0) == NULL);
	CHECK_TEXT(test_get(&t, &spec, "b", 0), "v");
	spec.now = INT64_MIN;
	CHECK_TEXT(test_rows(&t, &spec), "a@0=v b@0=v ");
	CHECK_TEXT(test_get(&t, &spec, "a", 0), "v");
	CHECK(atomic_load(&t.sh->records_read) == before + 5);
	test_close(&t);
	check_passed("the horizon of expiry, and rows counted");
}

int
main(int argc, char **argv)
{
	rnd = check_seed(argc, argv);
	test_rules();
	test_order();
	test_reveal();
	test_between_calls();
	test_taken_back();
	test_skip();
	test_many();
	test_bounds();
	test_horizon();
	test_model(argc > 2 ? strtoull(argv[2], NULL, 0) : 200);
	return 0;
}
