/*-------------------------------------------------------------------------
 * compact_thread_test.c
 *	  Flush, merges, collection and writers at once.
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <time.h>

#include "mergetest.h"

/* ----------------------------------------------------------------- threads */

#define THREADS 4

static atomic_bool stop;
static TestDb shared_db;
static uint32_t shared_store;

static void *
merge_thread(void *arg)
{
	FlowDb *db;
	int n = (int) (intptr_t) arg;

	CHECK_OK(flow_attach(shared_db.env, shared_db.sh, shared_db.dir, &db));
	while (!atomic_load(&stop))
	{
		uint64_t purged;
		bool ran;
		FlowStatus st = FLOW_OK;

		if (n == 0)
			st = flow_flush(db, NULL);
		else if (n == 1)
			st = flow_compact(db, shared_store, &ran);
		else if (n == 2)
			st = flow_gc(db, &purged);
		else
			st = flow_maintenance_step(db, 500, NULL);
		CHECK(st == FLOW_OK || st == FLOW_END);
		(void) flow_wants_maintenance(db);
	}
	flow_detach(db);
	return NULL;
}

static void
test_threads(void)
{
	TestDb *t = &shared_db;
	pthread_t thread[THREADS];
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	char key[16], value[16], want[64];
	int n = 0;

	test_open(t, 64u << 20, 1u << 20);
	flow_env_posix_set_log(t->env, NULL, NULL);
	shared_store = test_store(t, "s");
	policy.min_threshold = 2;
	CHECK_OK(flow_set_merge_policy(t->db, 0, &policy));
	atomic_store(&stop, false);
	for (intptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, merge_thread, (void *) i) == 0);
	for (; n < 3000 || stats_of(t).merges < 5; n++)
	{
		int i = n;

		snprintf(key, sizeof(key), "k%d", i % 50);
		snprintf(value, sizeof(value), "%d", i);
		if (i % 7 == 0)
			test_delete(t, shared_store, key, 1);
		else
			test_put(t, shared_store, key, 1, value);
		if (i % 7)
			CHECK_TEXT(
				test_get(t, &(FlowScanSpec){.store_id = shared_store}, key, 1),
				value);
		else
			CHECK(test_get(t, &(FlowScanSpec){.store_id = shared_store}, key,
						   1) == NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	for (int i = n - 50; i < n; i++)
	{
		snprintf(key, sizeof(key), "k%d", i % 50);
		snprintf(want, sizeof(want), "%d", i);
		if (i % 7)
			CHECK_TEXT(
				test_get(t, &(FlowScanSpec){.store_id = shared_store}, key, 1),
				want);
	}
	printf("# %" PRIu64 " flushes, %" PRIu64 " merges\n", stats_of(t).flushes,
		   stats_of(t).merges);
	flow_maintenance_cancel(t->db);
	flowi_trash_sweep(t->db);
	CHECK(count_orphans(t) == 0);
	test_close(t);
	check_passed("flush, merges, collection and writers at once");
}

int
main(void)
{
	test_threads();
	return 0;
}
