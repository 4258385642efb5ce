/*-------------------------------------------------------------------------
 * model_test.c
 *	  Random operations against a model (model.h).
 *
 * Store 0 is written by transactions and by batches of no transaction,
 * store 1 by transactions only: what a snapshot sees of it never changes,
 * and a long scan of it runs while everything else happens.
 *
 * Rounds take turns: the host's log with a disk that loses what it may, as
 * the server works, and the file log, as an embedder works.
 *
 *	 model_test [seed [seconds]]
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <time.h>

#include "model.h"

#define DEFAULT_SECONDS 10

static bool file_log; /* of this round */

static struct
{
	uint64_t writes, scans, rows, gets, flushes, failed, reopens, crashes;
	uint64_t resolves, long_scans, interrupts;
	uint64_t ranges, patches, merges, purged;
} done;

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
						 .now = r->now,
						 .visible = visible,
						 .visible_arg = r,
						 .reverse = below(2),
						 .keys_only = below(8) == 0};
	static const uint32_t wanted[][NCOLUMNS] = {{0, 1, 2, 3, 4}, {0}, {1, 4},
												{2, 3},			 {3}, {4}};
	static const uint32_t nwanted[] = {NCOLUMNS, 1, 2, 2, 1, 1};
	uint32_t key;
	static uint8_t scratch[400];

	if (columns && below(2))
	{
		uint64_t which = below(6);

		spec.shape = &model_shape;
		spec.columns = wanted[which];
		spec.ncolumns = nwanted[which];
	}
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
	Reader r = {.now = model_now, .commit_no = commits};
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
			check_row(vec, i, cells[at], nos[at], 0, &spec);
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
		check_row(vec, 0, key * NTS + ts, v->number, v->expire_at, &spec);
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

		l->reader = (Reader){.now = model_now, .commit_no = commits};
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
		check_row(vec, i, l->expect[l->at], l->numbers[l->at], 0, &l->spec);
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
		v.expire_at = model_now - 1 + (int64_t) below(12);
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
		CHECK_OK(flow_write_batch(t.db, store_id[0], records, n, NULL));
	else
		CHECK_OK(flow_delete_batch(t.db, store_id[0], records, n, NULL));
	done.writes += n;
}

/* Some cells, at times none or all; rect: what names them. */
static Cells
random_cells(FlowRect *rect)
{
	uint32_t lo = (uint32_t) below(NKEYS);
	uint32_t span = (uint32_t) (below(4) ? 1 + below(4) : below(NKEYS));
	uint32_t hi = lo + span < NKEYS ? lo + span : NKEYS;
	uint32_t ts = (uint32_t) below(NTS);
	Cells c = {lo, hi, ts, ts + (uint32_t) below(NTS - ts)};

	if (below(4) == 0)
	{
		c.ts_lo = 0;
		c.ts_hi = NTS - 1;
	}
	*rect = (FlowRect){.key_lo = keys[lo],
					   .key_lo_bytes = key_bytes[lo],
					   .ts_lo = times[c.ts_lo],
					   .ts_hi = times[c.ts_hi]};
	if (hi < NKEYS)
	{
		rect->key_hi = keys[hi];
		rect->key_hi_bytes = key_bytes[hi];
	}
	return c;
}

static void
op_delete_range(void)
{
	Version v = {.number = ++numbers, .op = FLOW_DELETE_RANGE};
	FlowRect rect;
	Cells c = random_cells(&rect);

	CHECK_OK(flow_delete_range(t.db, store_id[0], &rect, NULL));
	add_versions(0, &c, v);
	done.ranges++;
}

/* A live row of store 0 gets another value or expiry. */
static void
op_patch(void)
{
	uint32_t key = (uint32_t) below(NKEYS);
	uint32_t ts = (uint32_t) below(NTS);
	Reader r = {.now = model_now, .commit_no = commits};
	const Version *old = model_get(&r, 0, key, ts);
	Version v;
	uint8_t value[64];
	size_t n;
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;

	/* what a patch sees is settled, or of no transaction */
	if (old && old->xid != 0)
		return;
	for (uint32_t i = 0; i < grid[0][key][ts].n; i++)
		if (grid[0][key][ts].v[i].xid != 0)
			return;
	v = (Version){.number = ++numbers,
				  .expire_at = old ? old->expire_at : 0,
				  .op = FLOW_PUT};
	n = value_of(v.number, value);
	st = flow_patch_record(t.db, store_id[0], keys[key], key_bytes[key],
						   times[ts], value, n, NULL, &scan, &vec);
	CHECK(st == (old ? FLOW_OK : FLOW_NOTFOUND));
	if (old == NULL)
		return;
	check_row(vec, 0, key * NTS + ts, v.number, v.expire_at,
			  &(FlowScanSpec){0});
	flow_scan_close(scan);
	add_version(0, key, ts, v);
	done.patches++;
}

static void
add_entry(Open *o)
{
	uint32_t key = (uint32_t) below(NKEYS);
	uint32_t ts = (uint32_t) below(NTS);
	Entry e = {.store = (uint32_t) below(NSTORES),
			   .cells = {key, key + 1, ts, ts},
			   .version = random_version(o->xid, o->cid)};
	uint8_t value[64];
	size_t n = value_of(e.version.number, value);

	if (below(40) == 0)
	{
		FlowRect rect;

		e.cells = random_cells(&rect);
		e.version.op = FLOW_DELETE_RANGE;
		CHECK_OK(flow_txbuf_delete_range(o->buf, store_id[e.store], &rect,
										 o->xid, o->cid));
		done.ranges++;
	}
	else
		CHECK_OK(flow_txbuf_add(o->buf, e.version.op, store_id[e.store],
								keys[key], key_bytes[key], times[ts],
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
	test_push(&t, o->buf);
	for (; o->pushed < o->n; o->pushed++)
	{
		const Entry *e = &o->entries[o->pushed];

		add_versions(e->store, &e->cells, e->version);
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

/* How a merge may end when a call failed. */
static bool
may_end_so(FlowStatus st)
{
	return st == FLOW_OK || st == FLOW_END || st == FLOW_IOERR ||
		   st == FLOW_NOMEM || st == FLOW_FULL;
}

static void
op_merge(void)
{
	FlowMaintenance report;
	FlowStatus st;
	uint64_t purged = 0;
	bool ran = false;

	if (below(4) == 0)
		flow_env_posix_fail(t.env, (FlowPosixOp) below(FLOW_POSIX_NOPS),
							1 + below(60), 1 + below(2), EIO);
	switch (below(8))
	{
		case 0:
			st = flow_compact(t.db, below(2) ? 0 : store_id[below(NSTORES)],
							  &ran);
			break;
		case 1:
			st = flow_gc(t.db, &purged);
			break;
		case 2:
			flow_maintenance_cancel(t.db);
			st = FLOW_OK;
			break;
		default:
			st = flow_maintenance_step(t.db, (int64_t) below(500), &report);
			ran = st == FLOW_OK && report.merges > 0;
			purged = st == FLOW_OK ? report.purged : 0;
	}
	CHECK(may_end_so(st));
	disarm();
	done.merges += ran;
	done.purged += purged;
	done.failed += st != FLOW_OK && st != FLOW_END;
}

static void
op_policy(void)
{
	FlowMergePolicy p = FLOW_POLICY_DEFAULT;

	p.kind = (FlowPolicyKind) below(3);
	p.min_threshold = (uint32_t) (2 + below(3));
	p.max_threshold = p.min_threshold + (uint32_t) below(4);
	p.window_us = (int64_t) (1 + below(20));
	p.target_bytes = 1u << 20;
	CHECK_OK(flow_set_merge_policy(
		t.db, below(2) ? 0 : store_id[below(NSTORES)], &p));
}

static void
end_long_scan(void)
{
	flow_scan_close(long_scan.scan);
	long_scan.scan = NULL;
}

/* With the file log: end the handle, as a process that dies does when it can
 * write nothing any more, and open again. */
static void
open_again(bool crash)
{
	if (!crash)
		CHECK_OK(flow_close(t.db));
	else
		for (int op = 0; op < FLOW_POSIX_ALLOC; op++)
			flow_env_posix_fail(t.env, (FlowPosixOp) op, 1, UINT64_MAX, EIO);
	flow_free(t.db);
	disarm();
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	t.sh = flow_shared(t.db);
}

static void
op_restart(void)
{
	bool crash = below(2);

	if (file_log)
		open_again(crash);
	else
	{
		if (!crash)
		{
			CHECK_OK(flow_flush(t.db, NULL));
			test_forget_log(&t);
		}
		if (below(2))
			disk_crash(&t);
		else
			test_crash(&t);
	}
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
	if (t.env && file_log)
	{
		CHECK_OK(close_free(t.db));
		flow_env_posix_free(t.env);
		file_shell("rm -rf ./%s", t.dir);
	}
	else if (t.env)
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
begin_file_log(void)
{
	memset(&t, 0, sizeof(t));
	t.opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t.opts.memtable_bytes = 1u << 20;
	t.opts.block_bytes = (uint32_t) (1024 + below(4096));
	t.opts.wal_segment_bytes = 1u << 20;
	t.opts.create = true;
	CHECK_OK(flow_env_posix_create((size_t) (8 + below(8)) << 20, &t.env));
	t.env->now_us = model_clock;
	strcpy(t.dir, "tmp_db.XXXXXX");
	CHECK(mkdtemp(t.dir) != NULL);
	CHECK_OK(flow_open(t.env, t.dir, &t.opts, &t.db));
	t.opts.create = false;
	t.sh = flow_shared(t.db);
}

static void
begin(void)
{
	model_now = FIRST_NOW;
	if (file_log)
		begin_file_log();
	else
	{
		test_open(&t, (size_t) (4 + below(8)) << 20, (64 + below(512)) << 10);
		t.opts.block_bytes = (uint32_t) (64 + below(4096));
		t.env->now_us = model_clock;
		test_reopen(&t);
		disk_begin(&t);
	}
	t.env->now_us = model_clock;
	t.env->expire_horizon = model_horizon;
	t.env->poll = poll_env;
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	t.env->store_shape = model_store_shape;
	CHECK_OK(flow_store_define(t.db, "mixed", "rows", 4, &store_id[0]));
	CHECK_OK(flow_store_define(t.db, "transactional", "rows", 4, &store_id[1]));
}

static void
step(void)
{
	uint64_t dice = below(1000);

	if (below(50) == 0)
		model_now += (int64_t) below(4);
	if (dice < 280)
		op_batch();
	else if (dice < 290)
		op_delete_range();
	else if (dice < 300)
		op_patch();
	else if (dice < 750)
		op_txn();
	else if (dice < 800)
		op_scan();
	else if (dice < 920)
		op_get();
	else if (dice < 960)
		op_long_scan();
	else if (dice < 970)
		op_snapshot();
	else if (dice < 979)
		op_merge();
	else if (dice < 980)
		op_policy();
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
		file_log = rounds % 2;
		columns = rounds / 2 % 2 == 0;
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
		   " crashes, %" PRIu64 " range deletes, %" PRIu64 " patches, %" PRIu64
		   " merges, %" PRIu64 " purged\n",
		   rounds, done.writes, done.scans, done.rows, done.interrupts,
		   done.gets, done.long_scans, done.flushes, done.failed, done.resolves,
		   done.reopens, done.crashes, done.ranges, done.patches, done.merges,
		   done.purged);
	check_passed("model");
	return 0;
}
