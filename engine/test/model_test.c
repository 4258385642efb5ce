/*-------------------------------------------------------------------------
 * model_test.c
 *	  Random operations against a model: a grid of identities, each with its
 *	  versions in log order.
 *
 * Store 0 is written by transactions and by batches of no transaction,
 * store 1 by transactions only: what a snapshot sees of it never changes,
 * and a long scan of it runs while everything else happens.
 *
 *	 model_test [seed [seconds]]
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <time.h>

#include "lyingdisk.h"

#define NSTORES 2
#define NKEYS 40
#define NTS 24
#define NOPEN 4 /* transactions at a time */
#define NSNAPS 3
#define NOW 1000
#define DEFAULT_SECONDS 10

typedef struct Version
{
	uint64_t xid;
	uint64_t number; /* names the value */
	int64_t expire_at;
	uint32_t cid;
	FlowOp op;
} Version;

typedef struct Versions
{
	Version *v; /* oldest first */
	uint32_t n;
	uint32_t cap;
} Versions;

typedef enum Fate
{
	RUNNING,
	COMMITTED,
	ABORTED
} Fate;

typedef struct Txn
{
	Fate fate;
	uint64_t commit_no;
} Txn;

/* An entry of a private buffer, as the model keeps it. */
typedef struct Entry
{
	uint32_t store, key, ts;
	Version version;
} Entry;

typedef struct Open
{
	FlowTxBuf *buf; /* NULL: none open */
	uint64_t xid;
	uint32_t cid;
	uint64_t snapshot;
	Entry *entries;
	size_t n;
	size_t cap;
	size_t pushed; /* entries that were pushed: the first ones */
} Open;

/* What a reader sees: commits up to commit_no, and own's earlier commands. */
typedef struct Reader
{
	uint64_t commit_no;
	const Open *own;
	uint32_t own_cid;
} Reader;

typedef struct LongScan
{
	FlowScan *scan; /* NULL: none */
	Reader reader;
	FlowScanSpec spec;
	uint32_t *expect; /* cells */
	uint64_t *numbers;
	size_t n;
	size_t at;
} LongScan;

static TestDb t;
static CheckRandom rnd;
static uint32_t store_id[NSTORES];
static uint8_t keys[NKEYS][400];
static uint32_t key_bytes[NKEYS];
static int64_t times[NTS];
static Versions grid[NSTORES][NKEYS][NTS];

static Txn *txns; /* by xid */
static uint64_t ntxns;
static uint64_t commits;
static uint64_t numbers;
static Open open_txns[NOPEN];
static uint64_t snaps[NSNAPS]; /* UINT64_MAX: none */
static LongScan long_scan;
static uint64_t poll_calls;
static uint32_t poll_every; /* interrupt each n-th poll; 0: never */

static struct
{
	uint64_t writes, scans, rows, gets, flushes, failed, reopens, crashes;
	uint64_t resolves, long_scans, interrupts;
} done;

/* ------------------------------------------------------------- the model */

static uint64_t
below(uint64_t n)
{
	return check_below(&rnd, n);
}

static uint64_t
horizon(void)
{
	uint64_t h = commits;

	for (int i = 0; i < NSNAPS; i++)
		h = snaps[i] < h ? snaps[i] : h;
	for (int i = 0; i < NOPEN; i++)
		if (open_txns[i].buf && open_txns[i].snapshot < h)
			h = open_txns[i].snapshot;
	if (long_scan.scan && long_scan.reader.commit_no < h)
		h = long_scan.reader.commit_no;
	return h;
}

static FlowTxnState
state_of(uint64_t xid)
{
	const Txn *txn = &txns[xid];

	if (txn->fate == ABORTED)
		return FLOW_TXN_ABORTED;
	if (txn->fate == RUNNING)
		return FLOW_TXN_UNKNOWN;
	return txn->commit_no <= horizon() ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
}

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < ntxns);
	*statep = state_of(xid);
	return FLOW_OK;
}

static bool
sees(const Reader *r, uint64_t xid, uint32_t cid)
{
	if (xid == 0)
		return true;
	if (r->own && r->own->xid == xid)
		return cid < r->own_cid;
	return txns[xid].fate == COMMITTED && txns[xid].commit_no <= r->commit_no;
}

/* FlowVisibleFn; leaves hints now and then, as a host does. */
static bool
visible(void *arg, FlowTxn *txn)
{
	if (below(4) == 0)
	{
		FlowTxnState state = state_of(txn->xid);

		if (state != FLOW_TXN_UNKNOWN)
			atomic_store(&txn->state, state);
	}
	return sees(arg, txn->xid, txn->cid);
}

/* Versions that nobody can see any more. */
static void
prune(Versions *vs)
{
	uint32_t kept = 0;
	uint32_t first = 0;

	for (uint32_t i = vs->n; i-- > 0;)
	{
		uint64_t xid = vs->v[i].xid;

		if (xid == 0 || state_of(xid) == FLOW_TXN_SETTLED)
		{
			first = i;
			break;
		}
	}
	for (uint32_t i = first; i < vs->n; i++)
	{
		uint64_t xid = vs->v[i].xid;

		if (xid == 0 || txns[xid].fate != ABORTED)
			vs->v[kept++] = vs->v[i];
	}
	vs->n = kept;
}

static void
add_version(uint32_t store, uint32_t key, uint32_t ts, Version version)
{
	Versions *vs = &grid[store][key][ts];

	if (vs->n == vs->cap)
		prune(vs);
	if (vs->n == vs->cap)
	{
		vs->cap = vs->cap ? vs->cap * 2 : 4;
		vs->v = realloc(vs->v, vs->cap * sizeof(*vs->v));
		CHECK(vs->v != NULL);
	}
	vs->v[vs->n++] = version;
}

/* The live version that the reader sees, or NULL. */
static const Version *
model_get(const Reader *r, uint32_t store, uint32_t key, uint32_t ts)
{
	const Versions *vs = &grid[store][key][ts];
	const Version *found = NULL;

	for (uint32_t i = vs->n; i-- > 0 && !found;)
		if (sees(r, vs->v[i].xid, vs->v[i].cid))
			found = &vs->v[i];
	for (size_t i = r->own ? r->own->n : 0; r->own && i-- > r->own->pushed;)
	{
		const Entry *e = &r->own->entries[i];

		if (e->store == store && e->key == key && e->ts == ts &&
			e->version.cid < r->own_cid)
		{
			found = &e->version;
			break;
		}
	}
	if (!found || found->op == FLOW_DELETE || found->expire_at <= NOW)
		return NULL;
	return found;
}

/* ---------------------------------------------------------------- values */

static size_t
value_of(uint64_t number, uint8_t *value)
{
	size_t n = number % 61;

	for (size_t i = 0; i < n; i++)
		value[i] = (uint8_t) (number * 31 + (number >> 8) + i);
	return n;
}

static void
check_row(const FlowVector *vec, uint32_t i, uint32_t cell, uint64_t number,
		  int64_t expire_at, bool keys_only)
{
	uint8_t value[64];
	size_t n = value_of(number, value);
	uint32_t key = cell / NTS;

	CHECK(vec->key_bytes[i] == key_bytes[key]);
	CHECK(memcmp(vec->key[i], keys[key], key_bytes[key]) == 0);
	CHECK(vec->ts[i] == times[cell % NTS]);
	CHECK(expire_at == 0 || vec->expire_at[i] == expire_at);
	if (keys_only)
	{
		CHECK(vec->value[i] == NULL);
		return;
	}
	CHECK(vec->value_bytes[i] == n);
	CHECK(n == 0 || memcmp(vec->value[i], value, n) == 0);
}

static int
key_cmp(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
	size_t n = a_bytes < b_bytes ? a_bytes : b_bytes;
	int c = n ? memcmp(a, b, n) : 0;

	return c ? c : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static void
make_keys(void)
{
	static const uint8_t alphabet[] = {0x00, 'a', 'b', 0x7f, 0xff};
	uint32_t n = 0;

	while (n < NKEYS)
	{
		uint8_t key[400];
		uint32_t bytes = (uint32_t) (below(30) ? below(6) : 390);
		uint32_t at = n;
		bool known = false;

		for (uint32_t i = 0; i < bytes; i++)
			key[i] = alphabet[below(sizeof(alphabet))];
		for (uint32_t i = 0; i < n; i++)
			known |= key_cmp(keys[i], key_bytes[i], key, bytes) == 0;
		if (known)
			continue;
		for (;
			 at > 0 && key_cmp(keys[at - 1], key_bytes[at - 1], key, bytes) > 0;
			 at--)
		{
			memcpy(keys[at], keys[at - 1], sizeof(keys[at]));
			key_bytes[at] = key_bytes[at - 1];
		}
		memcpy(keys[at], key, sizeof(key));
		key_bytes[at] = bytes;
		n++;
	}
	times[0] = INT64_MIN;
	for (int i = 1; i < NTS - 1; i++)
		times[i] = (i - NTS / 2) * 3;
	times[NTS - 1] = INT64_MAX;
}

/* ----------------------------------------------------------------- scans */

static FlowKeyBound
random_key_bound(uint32_t *key)
{
	*key = (uint32_t) below(NKEYS);
	return (FlowKeyBound){(FlowBoundKind) below(3), keys[*key],
						  key_bytes[*key]};
}

static FlowTimeBound
random_time_bound(void)
{
	int64_t ts = times[below(NTS)];

	if (below(3) == 0 && ts != INT64_MIN && ts != INT64_MAX)
		ts++; /* between two of the grid */
	return (FlowTimeBound){(FlowBoundKind) below(3), ts};
}

static FlowScanSpec
random_spec(uint32_t store, Reader *r)
{
	FlowScanSpec spec = {.store_id = store_id[store],
						 .now = NOW,
						 .visible = visible,
						 .visible_arg = r,
						 .reverse = below(2),
						 .keys_only = below(8) == 0};
	uint32_t key;
	static uint8_t scratch[400];

	switch (below(4))
	{
		case 0:
			break;
		case 1:
			spec.key_lo = random_key_bound(&key);
			spec.key_hi = random_key_bound(&key);
			break;
		case 2: /* one key */
			key = (uint32_t) below(NKEYS);
			spec.key_lo =
				(FlowKeyBound){FLOW_INCLUSIVE, keys[key], key_bytes[key]};
			spec.key_hi = spec.key_lo;
			break;
		default:
			key = (uint32_t) below(NKEYS);
			flow_prefix_bounds(keys[key], below(key_bytes[key] + 1),
							   &spec.key_lo, &spec.key_hi, scratch);
	}
	if (below(2))
	{
		spec.ts_lo = random_time_bound();
		spec.ts_hi = random_time_bound();
	}
	if (below(4) == 0)
		spec.limit = 1 + below(50);
	if (r->own)
	{
		spec.own = r->own->buf;
		spec.own_cid = r->own_cid;
	}
	return spec;
}

static bool
in_bounds(const FlowScanSpec *spec, uint32_t key, int64_t ts)
{
	const FlowKeyBound *lo = &spec->key_lo;
	const FlowKeyBound *hi = &spec->key_hi;
	int c;

	if (lo->kind != FLOW_OPEN)
	{
		c = key_cmp(keys[key], key_bytes[key], lo->key, lo->key_bytes);
		if (c < 0 || (c == 0 && lo->kind == FLOW_EXCLUSIVE))
			return false;
	}
	if (hi->kind != FLOW_OPEN)
	{
		c = key_cmp(keys[key], key_bytes[key], hi->key, hi->key_bytes);
		if (c > 0 || (c == 0 && hi->kind == FLOW_EXCLUSIVE))
			return false;
	}
	if (spec->ts_lo.kind != FLOW_OPEN &&
		(ts < spec->ts_lo.ts ||
		 (ts == spec->ts_lo.ts && spec->ts_lo.kind == FLOW_EXCLUSIVE)))
		return false;
	return spec->ts_hi.kind == FLOW_OPEN || ts < spec->ts_hi.ts ||
		   (ts == spec->ts_hi.ts && spec->ts_hi.kind == FLOW_INCLUSIVE);
}

/* The cells and value numbers that spec has to give, in order. */
static size_t
model_scan(const FlowScanSpec *spec, const Reader *r, uint32_t store,
		   uint32_t *cells, uint64_t *nos)
{
	size_t n = 0;

	for (uint32_t i = 0; i < NKEYS * NTS; i++)
	{
		uint32_t cell = spec->reverse ? NKEYS * NTS - 1 - i : i;
		const Version *v;

		if (spec->limit > 0 && n == spec->limit)
			break;
		if (!in_bounds(spec, cell / NTS, times[cell % NTS]))
			continue;
		v = model_get(r, store, cell / NTS, cell % NTS);
		if (v == NULL)
			continue;
		cells[n] = cell;
		nos[n++] = v->number;
	}
	return n;
}

static Reader
random_reader(void)
{
	Reader r = {.commit_no = commits};
	int i = (int) below(NSNAPS);
	const Open *o = &open_txns[below(NOPEN)];

	if (snaps[i] != UINT64_MAX && below(2))
		r.commit_no = snaps[i];
	else if (o->buf && below(2))
	{
		r.own = o;
		r.own_cid = (uint32_t) below(o->cid + 2);
		r.commit_no = o->snapshot;
	}
	return r;
}

static void
op_scan(void)
{
	static uint32_t cells[NKEYS * NTS];
	static uint64_t nos[NKEYS * NTS];
	uint32_t store = (uint32_t) below(NSTORES);
	Reader r = random_reader();
	FlowScanSpec spec = random_spec(store, &r);
	size_t n = model_scan(&spec, &r, store, cells, nos);
	size_t at = 0;
	uint32_t want = below(2) ? 0 : (uint32_t) (1 + below(20));
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	poll_every = below(4) ? 0 : (uint32_t) (1 + below(3));
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	for (;;)
	{
		st = flow_scan_next(scan, want, &vec);
		if (st == FLOW_INTERRUPTED)
		{
			done.interrupts++;
			continue;
		}
		if (st != FLOW_OK)
			break;
		for (uint32_t i = 0; i < vec->nrows; i++, at++)
		{
			CHECK(at < n);
			check_row(vec, i, cells[at], nos[at], 0, spec.keys_only);
		}
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(at == n);
	CHECK(flow_scan_stats(scan)->rows == n);
	flow_scan_close(scan);
	poll_every = 0;
	done.scans++;
	done.rows += n;
}

static void
op_get(void)
{
	uint32_t store = (uint32_t) below(NSTORES);
	uint32_t key = (uint32_t) below(NKEYS);
	uint32_t ts = (uint32_t) below(NTS);
	Reader r = random_reader();
	FlowScanSpec spec = random_spec(store, &r); /* bounds are ignored */
	bool latest = below(2);
	const Version *v = NULL;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	if (latest)
	{
		for (ts = NTS; ts-- > 0 && !v;)
			v = model_get(&r, store, key, ts);
		ts++;
		st = flow_get_latest(t.db, &spec, keys[key], key_bytes[key], &scan,
							 &vec);
	}
	else
	{
		v = model_get(&r, store, key, ts);
		st = flow_get(t.db, &spec, keys[key], key_bytes[key], times[ts], &scan,
					  &vec);
	}
	CHECK(st == (v ? FLOW_OK : FLOW_NOTFOUND));
	if (v)
	{
		CHECK(vec->nrows == 1);
		check_row(vec, 0, key * NTS + ts, v->number, v->expire_at,
				  spec.keys_only);
		flow_scan_close(scan);
	}
	done.gets++;
}

/* A scan that goes on while everything else happens. */
static void
op_long_scan(void)
{
	LongScan *l = &long_scan;
	const FlowVector *vec;
	FlowStatus st;

	if (l->scan == NULL)
	{
		static uint32_t cells[NKEYS * NTS];
		static uint64_t nos[NKEYS * NTS];

		l->reader = (Reader){.commit_no = commits};
		l->spec = random_spec(1, &l->reader);
		l->n = model_scan(&l->spec, &l->reader, 1, cells, nos);
		l->expect = cells;
		l->numbers = nos;
		l->at = 0;
		CHECK_OK(flow_scan_open(t.db, &l->spec, &l->scan));
		return;
	}
	st = flow_scan_next(l->scan, (uint32_t) (1 + below(30)), &vec);
	if (st == FLOW_END)
	{
		CHECK(l->at == l->n);
		flow_scan_close(l->scan);
		l->scan = NULL;
		done.long_scans++;
		return;
	}
	CHECK_OK(st);
	for (uint32_t i = 0; i < vec->nrows; i++, l->at++)
	{
		CHECK(l->at < l->n);
		check_row(vec, i, l->expect[l->at], l->numbers[l->at], 0,
				  l->spec.keys_only);
	}
}

/* ---------------------------------------------------------------- writes */

static Version
random_version(uint64_t xid, uint32_t cid)
{
	Version v = {.xid = xid,
				 .cid = cid,
				 .number = ++numbers,
				 .expire_at = FLOW_NEVER,
				 .op = below(5) ? FLOW_PUT : FLOW_DELETE};

	if (v.op == FLOW_PUT && below(8) == 0)
		v.expire_at = (int64_t) (NOW - 1 + below(3));
	return v;
}

static void
op_batch(void)
{
	FlowRecord records[32];
	uint8_t values[32][64];
	size_t n = below(32);
	FlowOp op = below(5) ? FLOW_PUT : FLOW_DELETE;

	for (size_t i = 0; i < n; i++)
	{
		uint32_t key = (uint32_t) below(NKEYS);
		uint32_t ts = (uint32_t) below(NTS);
		Version v = random_version(0, 0);

		v.op = op;
		records[i] = (FlowRecord){keys[key], key_bytes[key],
								  times[ts], v.expire_at,
								  values[i], value_of(v.number, values[i])};
		add_version(0, key, ts, v);
	}
	if (op == FLOW_PUT)
		CHECK_OK(flow_write_batch(t.db, store_id[0], records, n));
	else
		CHECK_OK(flow_delete_batch(t.db, store_id[0], records, n));
	done.writes += n;
}

static void
add_entry(Open *o)
{
	Entry e = {.store = (uint32_t) below(NSTORES),
			   .key = (uint32_t) below(NKEYS),
			   .ts = (uint32_t) below(NTS),
			   .version = random_version(o->xid, o->cid)};
	uint8_t value[64];
	size_t n = value_of(e.version.number, value);

	CHECK_OK(flow_txbuf_add(o->buf, e.version.op, store_id[e.store],
							keys[e.key], key_bytes[e.key], times[e.ts],
							e.version.expire_at, value, n, o->xid, o->cid));
	if (o->n == o->cap)
	{
		o->cap = o->cap ? o->cap * 2 : 64;
		o->entries = realloc(o->entries, o->cap * sizeof(Entry));
		CHECK(o->entries != NULL);
	}
	o->entries[o->n++] = e;
	done.writes++;
}

static void
push(Open *o)
{
	FlowStatus st;

	while ((st = flow_txbuf_push(o->buf, t.db)) == FLOW_BUSY)
		CHECK_OK(flow_flush(t.db));
	CHECK_OK(st);
	for (; o->pushed < o->n; o->pushed++)
	{
		const Entry *e = &o->entries[o->pushed];

		add_version(e->store, e->key, e->ts, e->version);
	}
}

static void
end_txn(Open *o, bool commit)
{
	if (commit)
	{
		push(o);
		txns[o->xid] = (Txn){COMMITTED, ++commits};
	}
	else
		txns[o->xid].fate = ABORTED;
	flow_txbuf_free(o->buf);
	o->buf = NULL;
	o->n = o->pushed = 0;
}

static void
op_txn(void)
{
	Open *o = &open_txns[below(NOPEN)];

	if (o->buf == NULL)
	{
		CHECK_OK(flow_txbuf_create(t.env, &o->buf));
		if ((ntxns & (ntxns - 1)) == 0)
		{
			txns = realloc(txns, 2 * ntxns * sizeof(*txns));
			CHECK(txns != NULL);
		}
		txns[ntxns] = (Txn){RUNNING, 0};
		o->xid = ntxns++;
		o->cid = 0;
		o->snapshot = commits;
		return;
	}
	switch (below(16))
	{
		case 0:
			push(o);
			break;
		case 1:
		case 2:
			end_txn(o, true);
			break;
		case 3:
			end_txn(o, false);
			break;
		case 4: /* ROLLBACK TO */
			if (o->n > o->pushed)
			{
				size_t mark = o->pushed + below(o->n - o->pushed);

				flow_txbuf_truncate(o->buf, mark);
				CHECK(flow_txbuf_count(o->buf) == mark);
				o->n = mark;
			}
			break;
		default:
			for (uint64_t i = below(20); i > 0; i--)
				add_entry(o);
			o->cid++;
	}
}

static void
op_snapshot(void)
{
	int i = (int) below(NSNAPS);

	snaps[i] = snaps[i] == UINT64_MAX ? commits : UINT64_MAX;
}

/* ----------------------------------------------------------- maintenance */

static void
disarm(void)
{
	for (int op = 0; op < FLOW_POSIX_NOPS; op++)
		flow_env_posix_fail(t.env, (FlowPosixOp) op, 1, 0, 0);
}

static void
forget_flushed(void)
{
	FlowStats stats;
	size_t kept = 0;

	flow_stats(t.db, &stats);
	for (size_t i = 0; i < t.nlog; i++)
	{
		if (t.log[i].end <= stats.flushed_pos)
			free(t.log[i].rec);
		else
			t.log[kept++] = t.log[i];
	}
	t.nlog = kept;
}

static void
op_flush(void)
{
	FlowStatus st;

	if (below(3) == 0)
		flow_env_posix_fail(t.env, (FlowPosixOp) below(FLOW_POSIX_NOPS),
							1 + below(30), 1 + below(2), EIO);
	CHECK_OK(flow_freeze(t.db, UINT64_MAX));
	if (below(4) == 0)
		st = flow_resolve_step(t.db);
	else
		st = flow_flush_step(t.db);
	CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_IOERR ||
		  st == FLOW_NOMEM);
	disarm();
	done.flushes += st == FLOW_OK;
	done.failed += st == FLOW_IOERR || st == FLOW_NOMEM;
	forget_flushed();
}

static void
op_resolve(void)
{
	FlowStatus st = flow_resolve_step(t.db);

	CHECK(st == FLOW_OK || st == FLOW_END);
	CHECK(flow_resolve_step(t.db) == FLOW_END);
	done.resolves += st == FLOW_OK;
}

static void
end_long_scan(void)
{
	flow_scan_close(long_scan.scan);
	long_scan.scan = NULL;
}

static void
op_restart(void)
{
	bool crash = below(2);

	if (!crash)
	{
		CHECK_OK(flow_flush(t.db));
		test_forget_log(&t);
	}
	if (below(2))
		disk_crash(&t);
	else
		test_crash(&t);
	end_long_scan(); /* later than the handle it was opened by */
	done.crashes += crash;
	done.reopens += !crash;
}

/* Enough SSTables: begin with an empty database. */
static void
start_over(void)
{
	for (int i = 0; i < NOPEN; i++)
		if (open_txns[i].buf)
			end_txn(&open_txns[i], false);
	for (int i = 0; i < NSTORES * NKEYS * NTS; i++)
		((Versions *) grid)[i].n = 0;
	for (int i = 0; i < NSNAPS; i++)
		snaps[i] = UINT64_MAX;
	end_long_scan();
	if (t.env)
	{
		disk_end(&t);
		test_close(&t);
	}
}

static FlowStatus
poll_env(FlowEnv *env)
{
	(void) env;
	poll_calls++;
	if (poll_every > 0 && poll_calls % poll_every == 0)
		return FLOW_INTERRUPTED;
	return FLOW_OK;
}

static void
begin(void)
{
	test_open(&t, (size_t) (4 + below(8)) << 20, (64 + below(512)) << 10);
	t.opts.block_bytes = (uint32_t) (64 + below(4096));
	test_reopen(&t);
	disk_begin(&t);
	t.env->poll = poll_env;
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	store_id[0] = test_store(&t, "mixed");
	store_id[1] = test_store(&t, "transactional");
}

static void
step(void)
{
	uint64_t dice = below(1000);

	if (dice < 300)
		op_batch();
	else if (dice < 750)
		op_txn();
	else if (dice < 800)
		op_scan();
	else if (dice < 920)
		op_get();
	else if (dice < 960)
		op_long_scan();
	else if (dice < 980)
		op_snapshot();
	else if (dice < 990)
		op_flush();
	else if (dice < 996)
		op_resolve();
	else if (dice < 998)
		op_restart();
}

int
main(int argc, char **argv)
{
	time_t end;
	uint64_t rounds = 0;

	rnd = check_seed(argc, argv);
	end = time(NULL) + (argc > 2 ? atoi(argv[2]) : DEFAULT_SECONDS);
	ntxns = 1; /* xid 0 is nobody */
	txns = calloc(1, sizeof(*txns));
	CHECK(txns != NULL);
	do
	{
		make_keys();
		start_over();
		begin();
		for (int i = 0; i < 20000 && (i % 64 || time(NULL) < end); i++)
			step();
		start_over();
		memset(&t, 0, sizeof(t));
		rounds++;
	} while (time(NULL) < end);
	for (int i = 0; i < NSTORES * NKEYS * NTS; i++)
		free(((Versions *) grid)[i].v);
	for (int i = 0; i < NOPEN; i++)
		free(open_txns[i].entries);
	free(txns);
	printf("# %" PRIu64 " rounds: %" PRIu64 " writes, %" PRIu64
		   " scans (%" PRIu64 " rows, %" PRIu64 " interrupts), %" PRIu64
		   " gets, %" PRIu64 " long scans, %" PRIu64 " flushes (%" PRIu64
		   " failed), %" PRIu64 " resolves, %" PRIu64 " reopens, %" PRIu64
		   " crashes\n",
		   rounds, done.writes, done.scans, done.rows, done.interrupts,
		   done.gets, done.long_scans, done.flushes, done.failed, done.resolves,
		   done.reopens, done.crashes);
	check_passed("model");
	return 0;
}
