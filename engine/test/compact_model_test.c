/*-------------------------------------------------------------------------
 * compact_model_test.c
 *	  Random writes, fates and merges beside a model: no reader sees a difference.
 *-------------------------------------------------------------------------
 */
#include "mergetest.h"

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
	atomic_store(&m.t.sh->live[FLOW_SETTING_MERGE_THRESHOLD], 1);
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

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_model(&r, FLOW_POLICY_STCS);
	test_model(&r, FLOW_POLICY_LCS);
	test_model(&r, FLOW_POLICY_TWCS);
	return 0;
}
