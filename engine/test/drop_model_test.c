/*-------------------------------------------------------------------------
 * drop_model_test.c
 *	  Stores that come and go at random, with transactions that commit or
 *	  abort, settings, flushes, failures and crashes between, against a model.
 *
 * After each step the database finds what the model has.  A crash replays all
 * of the log, so every record comes again over what the manifest knows by then.
 *-------------------------------------------------------------------------
 */
#include "../store.h"
#include "../version.h"
#include "dbtest.h"

#define NAMES 4
#define MAX_IDS 4000
#define MAX_XIDS 4000
#define STEPS 400

/* A store that was made under a name; 0: none. */
typedef struct Guest
{
	uint32_t id;
	uint32_t rows; /* ts 1 .. rows */
	uint64_t by;   /* undecided: who drops it, 0: nobody */
	uint64_t with; /* undecided: who has begun it */
	int policy;
} Guest;

static TestDb t;
static CheckRandom rnd;
static Guest guests[NAMES];
static FlowTxnState fate[MAX_XIDS];
static uint64_t next_xid;
static uint32_t last_id;
static int64_t bits; /* setting; 0: not given */

static const char *const names[NAMES] = {"a", "b", "c", "d"};

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < next_xid);
	if (fate[xid] != FLOW_TXN_UNKNOWN)
		*statep = fate[xid];
	return FLOW_OK;
}

static uint32_t stop_in; /* so many points from now; 0: never */

static FlowStatus
stop(FlowEnv *env, const char *name)
{
	(void) env;
	if (stop_in == 0 || --stop_in > 0)
		return FLOW_OK;
	return flowi_fail(FLOW_IOERR, "stopped at %s", name);
}

/* ------------------------------------------------------------------- checks */

static FlowStatus
count_name(void *arg, uint32_t store_id, const char *name)
{
	uint32_t *n = arg;

	for (int i = 0; i < NAMES; i++)
	{
		if (strcmp(names[i], name) == 0)
			CHECK(guests[i].id == store_id);
	}
	++*n;
	return FLOW_OK;
}

static void
check_guest(int i)
{
	const Guest *g = &guests[i];
	uint32_t id;
	FlowStatus st = flow_store_find(t.db, names[i], &id, NULL, NULL);
	FlowScan *scan;
	const FlowVector *vec;
	uint32_t rows = 0;
	int policy;

	CHECK_STATUS(st, g->id ? FLOW_OK : FLOW_NOTFOUND);
	if (g->id == 0)
		return;
	CHECK(id == g->id && flow_store_exists(t.db, id));
	CHECK_OK(flow_scan_open(
		t.db, &(FlowScanSpec){.store_id = id, .now = INT64_MIN}, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t k = 0; k < vec->nrows; k++)
			CHECK(vec->ts[k] == ++rows);
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	CHECK(rows == g->rows);
	CHECK(flow_store_policy(t.db, id, &policy) == (g->policy >= 0));
	CHECK(policy == g->policy);
}

static void
check_all(void)
{
	uint32_t n = 0;
	uint32_t want = 0;
	int64_t value;

	for (int i = 0; i < NAMES; i++)
	{
		check_guest(i);
		want += guests[i].id != 0;
	}
	CHECK_OK(flow_each_store(t.db, count_name, &n));
	CHECK(n == want);
	CHECK(flow_setting(t.db, FLOW_SETTING_BLOOM_BITS, &value) == (bits != 0));
	CHECK(value == bits);
	CHECK(flowi_live(t.sh, FLOW_SETTING_BLOOM_BITS) ==
		  (bits ? bits : t.opts.bloom_bits_per_key));
}

/* -------------------------------------------------------------------- steps */

static void
make_guest(Guest *g, const char *name)
{
	g->id = test_store(&t, name);
	CHECK(g->id > last_id);
	last_id = g->id;
	g->rows = 0;
	g->by = g->with = 0;
	g->policy = -1;
	if (check_below(&rnd, 2) == 0)
	{
		g->with = next_xid++;
		CHECK_OK(flow_store_drop_unless(t.db, g->id, g->with));
	}
}

static void
decide(Guest *g)
{
	uint64_t xid = g->by ? g->by : g->with;
	bool aborts = check_below(&rnd, 2) == 0;

	if (xid == 0)
		return;
	fate[xid] = aborts ? FLOW_TXN_ABORTED : FLOW_TXN_COMMITTED;
	if (!aborts && check_below(&rnd, 2) == 0)
		flow_drop_committed(t.db, xid);
	if (aborts == (xid != g->by))
		g->id = 0;
	if (xid == g->by)
		g->by = 0;
	else
		g->with = 0;
}

static void
change_guest(int i)
{
	Guest *g = &guests[i];
	int policy = (int) check_below(&rnd, 4) - 1;

	if (g->id == 0)
	{
		make_guest(g, names[i]);
		return;
	}
	switch (check_below(&rnd, 8))
	{
		case 0:
			if (g->by != 0)
				break;
			g->by = next_xid++;
			CHECK_OK(flow_store_drop(t.db, g->id, g->by));
			break;
		case 1:
			CHECK_OK(flow_store_drop(t.db, g->id, 0));
			g->id = 0;
			break;
		case 2:
		case 3:
			decide(g);
			break;
		case 4:
			CHECK_OK(flow_configure_store(t.db, g->id, policy));
			g->policy = policy;
			break;
		default:
			test_put(&t, g->id, "k", ++g->rows, "v");
			break;
	}
}

static void
configure(void)
{
	FlowSettings s = {0};

	bits = (int64_t) check_below(&rnd, 5) * 3;
	if (bits != 0)
		s.given = 1u << FLOW_SETTING_BLOOM_BITS;
	s.value[FLOW_SETTING_BLOOM_BITS] = bits;
	CHECK_OK(flow_configure(t.db, &s));
}

static void
rewrite_manifest(void)
{
	FlowStatus st;

	CHECK_OK(flowi_version_begin(t.db));
	t.sh->manifest_failed = true;
	st = flowi_version_repair(t.db);
	(void) st;
	flowi_version_end(t.db);
}

static bool
fate_is_known(void)
{
	for (int i = 0; i < NAMES; i++)
	{
		if (guests[i].id && (guests[i].by || guests[i].with))
			return false;
	}
	return true;
}

/* Work that may fail, and changes nothing that anybody sees. */
static void
work(void)
{
	FlowStatus st = FLOW_OK;

	stop_in = (uint32_t) check_below(&rnd, 12);
	switch (check_below(&rnd, 5))
	{
		case 0:
			st = flow_flush(t.db, NULL);
			break;
		case 1:
			st = flow_resolve_step(t.db);
			break;
		case 2:
			st = flow_drop_step(t.db);
			break;
		case 3:
			st = flow_maintenance_step(t.db, 1000000, NULL);
			break;
		default:
			rewrite_manifest();
			break;
	}
	CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_IOERR);
	stop_in = 0;
}

static void
reopen(void)
{
	t.opts.will_redo = check_below(&rnd, 2) == 0;
	if (check_below(&rnd, 3) > 0)
		test_crash(&t);
	else
		test_reopen(&t);
}

static void
step(void)
{
	switch (check_below(&rnd, 12))
	{
		case 0:
		case 1:
		case 2:
			work();
			break;
		case 3:
			reopen();
			break;
		case 4:
			configure();
			break;
		default:
			/* that a drop without a transaction cannot be settled at once
			 * is nothing to its caller */
			stop_in = (uint32_t) check_below(&rnd, 4);
			change_guest((int) check_below(&rnd, NAMES));
			stop_in = 0;
			break;
	}
	check_all();
}

static void
run(void)
{
	memset(guests, 0, sizeof(guests));
	memset(fate, 0, sizeof(fate));
	next_xid = 1;
	last_id = 0;
	bits = 0;
	test_open(&t, (size_t) 16 << 20, 1u << 20);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	t.env->point = stop;
	for (int i = 0; i < STEPS; i++)
		step();
	/* in the end nothing is left to settle */
	while (!fate_is_known())
	{
		for (int i = 0; i < NAMES; i++)
		{
			if (guests[i].id)
				decide(&guests[i]);
		}
	}
	test_reopen(&t);
	while (flow_resolve_step(t.db) == FLOW_OK)
		;
	check_all();
	CHECK(t.sh->drops == NULL && atomic_load(&t.sh->ndrops) == 0);
	CHECK(t.sh->nmarked == 0);
	test_close(&t);
}

int
main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 40;

	rnd = check_seed(argc, argv);
	for (int i = 0; i < rounds; i++)
		run();
	check_passed("stores that come and go");
	return 0;
}
