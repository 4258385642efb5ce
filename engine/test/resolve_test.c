/*-------------------------------------------------------------------------
 * resolve_test.c
 *	  How often the host is asked for fates.
 *-------------------------------------------------------------------------
 */
#include <time.h>

#include "../version.h"
#include "dbtest.h"

#define REGION_BYTES ((size_t) 256 << 20)
#define MEMTABLE_BYTES ((size_t) 64 << 20)

#define MANY 60000 /* transactions; one step asks in vain for a third of them */
#define VAIN 20000

static uint64_t asked;			/* questions since the last look */
static uint8_t times[MANY + 1]; /* how often for each xid */
static uint8_t fate[MANY + 1];

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid <= MANY);
	asked++;
	if (times[xid] < 255)
		times[xid]++;
	if (fate[xid] != FLOW_TXN_UNKNOWN)
		*statep = (FlowTxnState) fate[xid];
	return FLOW_OK;
}

static uint64_t
questions(void)
{
	uint64_t n = asked;

	asked = 0;
	return n;
}

/* A row of each transaction from first on. */
static void
put_many(TestDb *t, uint32_t store, uint64_t first, uint64_t n)
{
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	for (uint64_t xid = first; xid < first + n; xid++)
	{
		CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, store, "k", 1, (int64_t) xid,
								FLOW_NEVER, "v", 1, xid, 0));
		CHECK_OK(flow_txbuf_push(buf, t->db));
	}
	flow_txbuf_free(buf);
	test_forget_log(t);
}

static void
open_many(TestDb *t, uint32_t *store)
{
	memset(times, 0, sizeof(times));
	memset(fate, FLOW_TXN_UNKNOWN, sizeof(fate));
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t->env, outcome, NULL);
	*store = test_store(t, "s");
}

/* Entries of one transaction, next to each other and in several files. */
static void
test_once(void)
{
	TestDb t;
	FlowTxBuf *buf;
	uint32_t s;

	open_many(&t, &s);
	CHECK_OK(flow_txbuf_create(t.env, &buf));
	for (int file = 0; file < 5; file++)
	{
		for (uint32_t cid = 0; cid < 200; cid++)
		{
			uint64_t xid = 1 + cid % 4;

			CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, "k", 1, cid, FLOW_NEVER,
									"v", 1, xid, cid));
			CHECK_OK(flow_txbuf_push(buf, t.db));
		}
		CHECK_OK(flow_flush(t.db, NULL));
	}
	flow_txbuf_free(buf);
	CHECK(t.sh->version->nssts == 5 && t.sh->version->sst[4]->ntxns == 200);
	questions();
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(questions() == 4);

	/* aborted ones are never asked for again, committed ones are */
	fate[1] = FLOW_TXN_ABORTED;
	fate[2] = FLOW_TXN_COMMITTED;
	fate[3] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(questions() == 4);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(questions() == 2);
	test_close(&t);
	check_passed("once for each transaction");
}

static uint64_t
least_times(void)
{
	uint8_t least = 255;

	for (uint64_t xid = 1; xid <= MANY; xid++)
		least = times[xid] < least ? times[xid] : least;
	return least;
}

/* MANY transactions in four files. */
static void
open_quarters(TestDb *t)
{
	uint32_t s;

	open_many(t, &s);
	for (uint64_t i = 0; i < 4; i++)
	{
		put_many(t, s, 1 + i * (MANY / 4), MANY / 4);
		CHECK_OK(flow_flush(t->db, NULL));
	}
}

/* Only so many in vain in a step, but all in turn. */
static void
test_turns(void)
{
	TestDb t;

	open_quarters(&t);
	CHECK(t.sh->version->nssts == 4);
	memset(times, 0, sizeof(times));
	questions();
	for (uint64_t round = 1; round <= 3; round++)
	{
		for (int i = 0; i < MANY / VAIN; i++)
		{
			CHECK(least_times() == round - 1);
			CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
			CHECK(questions() == VAIN);
		}
		CHECK(least_times() == round);
	}

	/* the host is about to forget */
	CHECK_STATUS(flow_resolve_all(t.db), FLOW_END);
	CHECK(questions() == MANY && least_times() == 4);

	/* what is new is not limited, wherever the turn is */
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	memset(fate, FLOW_TXN_SETTLED, sizeof(fate));
	questions();
	CHECK_OK(flow_resolve_step(t.db));
	CHECK(questions() == MANY);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(questions() == 0);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(atomic_load(&t.sh->version->sst[i]->unsettled) == 0);
	test_close(&t);
	check_passed("turns");
}

/* A turn goes on at the right place when files before it have gone. */
static void
test_turns_and_exchange(void)
{
	TestDb t;

	open_quarters(&t);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(t.sh->resolve_at.sst_id == t.sh->version->sst[2]->info.id);
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_OK(flowi_version_replace(t.db, NULL, 0, &t.sh->version->sst[2], 1));
	flowi_version_end(t.db);
	memset(times, 0, sizeof(times));
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	for (uint64_t xid = 1 + MANY / 4 * 3; xid <= MANY; xid++)
		CHECK(times[xid] == 1);
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_OK(flowi_version_replace(t.db, NULL, 0, t.sh->version->sst, 3));
	flowi_version_end(t.db);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	test_close(&t);
	check_passed("turns go on over exchanges");
}

static int64_t
step_us(TestDb *t)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK_STATUS(flow_resolve_step(t->db), FLOW_END);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
}

static void
test_time(void)
{
	TestDb t;
	uint32_t s;

	open_many(&t, &s);
	put_many(&t, s, 1, MANY);
	CHECK_OK(flow_flush(t.db, NULL));
	printf("# a step over %d open entries takes %" PRId64 " us\n", MANY,
		   step_us(&t));
	test_close(&t);
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_once();
	test_turns();
	test_turns_and_exchange();
	test_time();
	return 0;
}
