/*-------------------------------------------------------------------------
 * drop_thread_test.c
 *	  Stores that come and go, settings, checked pushes, flushes and merges at
 *	  once.
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>

#include "../store.h"
#include "../trash.h"
#include "dbtest.h"

#define OWNERS 2
#define ROUNDS 150

static TestDb t;
static atomic_bool stop;
static uint32_t stable;
static _Atomic int64_t counted; /* increments of the one row of stable */

static FlowDb *
attach(void)
{
	FlowDb *db;

	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &db));
	return db;
}

/* Makes a store, fills it, reads it, drops it, over and over. */
static void *
own_store(void *arg)
{
	FlowDb *db = attach();
	char name[16];

	snprintf(name, sizeof(name), "guest%d", (int) (intptr_t) arg);
	for (int i = 0; i < ROUNDS; i++)
	{
		FlowRecord r = test_record("k", i, "v");
		FlowScan *scan;
		const FlowVector *vec;
		uint32_t id, found;

		CHECK_OK(flow_store_define(db, name, NULL, 0, &id));
		CHECK_OK(flow_write_batch(db, id, &r, 1, NULL));
		CHECK_OK(flow_configure_store(db, id, i % 3));
		CHECK_OK(flow_get(db, &(FlowScanSpec){.store_id = id, .now = INT64_MIN},
						  "k", 1, i, &scan, &vec));
		flow_scan_close(scan);
		CHECK_OK(flow_store_drop(db, id, 0));
		CHECK_STATUS(flow_store_find(db, name, &found, NULL, NULL),
					 FLOW_NOTFOUND);
		CHECK(!flow_store_exists(db, id));
	}
	flow_detach(db);
	return NULL;
}

static int64_t
read_count(FlowDb *db, uint64_t *seenp)
{
	FlowGetInfo info;
	FlowScanSpec spec = {.store_id = stable, .now = INT64_MIN, .info = &info};
	FlowScan *scan;
	const FlowVector *vec;
	int64_t n;

	CHECK_OK(flow_get(db, &spec, "n", 1, 1, &scan, &vec));
	memcpy(&n, vec->value[0], sizeof(n));
	flow_scan_close(scan);
	*seenp = info.seen;
	return n;
}

/* Increments: what was refused is done again, so none is lost. */
static void *
increment(void *arg)
{
	FlowDb *db = attach();

	(void) arg;
	for (int i = 0; i < ROUNDS; i++)
	{
		FlowStatus st;

		do
		{
			uint64_t seen;
			int64_t n = read_count(db, &seen) + 1;
			FlowTxBuf *buf;

			CHECK_OK(flow_txbuf_create(t.env, &buf));
			CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, stable, "n", 1, 1,
									FLOW_NEVER, &n, sizeof(n), 0, 0));
			CHECK_OK(flow_txbuf_check(buf, seen, false));
			st = flow_txbuf_push(buf, db);
			flow_txbuf_free(buf);
		} while (st == FLOW_CONFLICT || st == FLOW_BUSY);
		CHECK_OK(st);
		atomic_fetch_add(&counted, 1);
	}
	flow_detach(db);
	return NULL;
}

static FlowStatus
see_store(void *arg, uint32_t store_id, const char *name)
{
	(void) arg, (void) store_id;
	CHECK(name[0] != '\0');
	return FLOW_OK;
}

static void *
work(void *arg)
{
	FlowDb *db = attach();
	int n = (int) (intptr_t) arg;

	for (int i = 1; !atomic_load(&stop); i++)
	{
		FlowSettings s = {.given = 1u << FLOW_SETTING_BLOOM_BITS};
		FlowStatus st;

		if (n == 0)
			st = flow_flush(db, NULL);
		else if (n == 1)
			st = flow_maintenance_step(db, 500, NULL);
		else
		{
			s.value[FLOW_SETTING_BLOOM_BITS] = 1 + i % 60;
			CHECK_OK(flow_configure(db, &s));
			CHECK_OK(flow_each_store(db, see_store, NULL));
			st = flow_resolve_step(db);
		}
		CHECK(st == FLOW_OK || st == FLOW_END || st == FLOW_BUSY);
	}
	flow_detach(db);
	return NULL;
}

int
main(void)
{
	pthread_t owner[2 * OWNERS];
	pthread_t worker[3];
	int64_t zero = 0;
	uint64_t seen;
	FlowRecord r = {"n", 1, 1, FLOW_NEVER, &zero, sizeof(zero)};

	test_open(&t, (size_t) 64 << 20, 1u << 20);
	flow_env_posix_set_log(t.env, NULL, NULL);
	stable = test_store(&t, "stable");
	CHECK_OK(flow_write_batch(t.db, stable, &r, 1, NULL));
	for (intptr_t i = 0; i < OWNERS; i++)
	{
		CHECK(pthread_create(&owner[i], NULL, own_store, (void *) i) == 0);
		CHECK(pthread_create(&owner[OWNERS + i], NULL, increment, NULL) == 0);
	}
	for (intptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&worker[i], NULL, work, (void *) i) == 0);
	for (int i = 0; i < 2 * OWNERS; i++)
		CHECK(pthread_join(owner[i], NULL) == 0);
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(worker[i], NULL) == 0);
	CHECK(read_count(t.db, &seen) == atomic_load(&counted));
	CHECK(atomic_load(&counted) == OWNERS * ROUNDS);
	test_reopen(&t);
	while (flow_resolve_step(t.db) == FLOW_OK)
		;
	CHECK(read_count(t.db, &seen) == OWNERS * ROUNDS);
	CHECK(t.sh->drops == NULL && t.sh->nstores == 2);
	test_close(&t);
	check_passed("stores that come and go while others work");
	return 0;
}
