/*-------------------------------------------------------------------------
 * compact_test.c
 *	  Merges by hand and by policy: what they leave out, and into what files.
 *-------------------------------------------------------------------------
 */
#include "mergetest.h"

/* ----------------------------------------------------------------- basics */

static void
test_basics(void)
{
	TestDb t;
	uint32_t s, empty;
	char key[32];
	uint64_t id;

	open_db(&t, &s);
	empty = test_store(&t, "empty");
	CHECK(!compact(&t, empty) && !compact(&t, 0));
	for (int i = 0; i < 10; i++)
	{
		for (int k = 0; k < 5; k++)
		{
			snprintf(key, sizeof(key), "compact_%d-%d", i, k);
			test_put(&t, s, key, i * 100 + k, "v");
		}
		flush(&t);
		CHECK(i > 0 || !compact(&t, s)); /* one is below the threshold */
	}
	id = stats_of(&t).generation;
	CHECK(t.sh->version->nssts == 10);
	CHECK(compact(&t, s));
	CHECK(t.sh->version->nssts == 1 && t.sh->version->sst[0]->info.id >= id);
	CHECK(t.sh->version->sst[0]->info.records == 50);
	CHECK(t.sh->version->sst[0]->info.origin == FLOW_SST_MERGED);
	CHECK(stats_of(&t).merges == 1 && stats_of(&t).sstables_merged == 10);
	CHECK(stats_of(&t).sstables_made == 1 && stats_of(&t).merge_rows == 50);
	CHECK(count_orphans(&t) == 0);
	CHECK(!compact(&t, s));
	atomic_store(&t.sh->live[FLOW_SETTING_MERGE_THRESHOLD], 1);
	CHECK(compact(&t, s) && t.sh->version->nssts == 1);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "compact_7-3", 703),
			   "v");
	test_reopen(&t);
	CHECK(t.sh->version->nssts == 1);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "compact_7-3", 703),
			   "v");
	CHECK_STATUS(flow_compact(t.db, 99, &(bool){0}), FLOW_INVALID);
	test_close(&t);
	check_passed("merges by hand");
}

/* Newest wins, deletes stay deletes, and nothing is left of nothing. */
static void
test_effects(void)
{
	TestDb t;
	uint32_t s;
	char value[20000];

	open_db(&t, &s);
	test_put(&t, s, "k", 1, "v1");
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 9; i++) /* lz4 makes little of it */
	{
		for (size_t k = 0; k < sizeof(value) - 1; k++)
			value[k] = (char) ('!' + (k * 7919 + k * k * (size_t) i) % 90);
		test_put(&t, s, "big", i, value);
	}
	flush(&t);
	test_delete(&t, s, "k", 1);
	flush(&t);
	test_put(&t, s, "l", 1, "x");
	flush(&t);
	/* the two newest only: the tombstone is still needed */
	CHECK(compact(&t, s) && t.sh->version->nssts == 2);
	CHECK(t.sh->version->sst[1]->info.tombstones == 1);
	CHECK(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1) == NULL);
	CHECK(compact(&t, s) && t.sh->version->nssts == 1);
	CHECK(t.sh->version->sst[0]->info.tombstones == 0);
	CHECK(t.sh->version->sst[0]->info.records == 10);
	CHECK(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1) == NULL);

	/* v1, v2, v3 */
	for (int i = 1; i <= 3; i++)
	{
		test_put(&t, s, "k", 1, i == 1 ? "v1" : i == 2 ? "v2" : "v3");
		flush(&t);
	}
	CHECK(compact(&t, s));
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1), "v3");
	test_reopen(&t);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "k", 1), "v3");

	/* all of it deleted */
	delete_range(&t, s, "", NULL, INT64_MIN, INT64_MAX, 0);
	flush(&t);
	CHECK(stats_of(&t).range_tombstones == 1);
	while (compact(&t, s))
		;
	atomic_store(&t.sh->live[FLOW_SETTING_MERGE_THRESHOLD], 1);
	while (t.sh->version->nssts > 0)
		CHECK(compact(&t, s));
	CHECK(count_orphans(&t) == 0);
	CHECK_TEXT(test_all(&t, s), "");
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(t.sh->version->nssts == 0);
	test_close(&t);
	check_passed("what a merge leaves");
}

/* All inputs go, no output: true, one edit, and not counted as a merge. */
static void
test_zero_survivors(void)
{
	TestDb t;
	uint32_t s;
	uint64_t edit;

	open_db(&t, &s);
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	test_delete(&t, s, "a", 1);
	test_put_expiring(&t, s, "b", 1, "x", 20);
	flush(&t);
	horizon = 100;
	edit = t.sh->manifest.edit_number;
	CHECK(compact(&t, s));
	CHECK(t.sh->version->nssts == 0 && stats_of(&t).merges == 0);
	CHECK(t.sh->manifest.edit_number >= edit + 1);
	CHECK(stats_of(&t).records_expired == 1);
	CHECK(count_orphans(&t) == 0);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "");
	test_close(&t);
	check_passed("nothing survives");
}

/* ------------------------------------------------------------------ splits */

static void
test_leveled(void)
{
	TestDb t;
	uint32_t s;
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	const FlowVersion *v;

	test_open(&t, 64u << 20, 8u << 20);
	set_up(&t);
	s = test_store(&t, "s");
	policy.kind = FLOW_POLICY_LCS;
	policy.target_bytes = 1u << 20;
	CHECK_OK(flow_set_merge_policy(t.db, s, &policy));
	for (int round = 0; round < 3; round++)
	{
		delete_range(&t, s, "key00000100", "key00000200", 0, 100, 0);
		four_files(&t, s, 2000, 1000);
		maintain(&t, 5000);
	}
	v = t.sh->version;
	CHECK(v->nssts >= 4);
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSstInfo *a = &v->sst[i]->info;

		CHECK(a->level == 1 && a->file_bytes < 2u << 20);
		for (uint32_t k = 0; k < i; k++)
		{
			const FlowSstInfo *b = &v->sst[k]->info;

			/* a key may go on in the next file, no more */
			CHECK(flowi_key_cmp(a->key_max, a->key_max_bytes, b->key_min,
								b->key_min_bytes) <= 0 ||
				  flowi_key_cmp(b->key_max, b->key_max_bytes, a->key_min,
								a->key_min_bytes) <= 0);
		}
	}
	CHECK(count_orphans(&t) == 0);
	CHECK(count_rows(&t, s) == 4 * 2000);
	test_reopen(&t);
	CHECK(count_rows(&t, s) == 4 * 2000);
	CHECK(t.sh->version->sst[0]->info.level == 1);
	test_close(&t);
	check_passed("outputs of a target size");
}

/* A collection does not have a merge tried again that has just failed. */
static void
test_retry(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_db(&t, &s);
	for (int i = 0; i < 4; i++)
	{
		test_put_expiring(&t, s, "gone", i, "v", 1000);
		flush(&t);
		test_put(&t, s, "k", 10 + i, "v");
		flush(&t);
	}
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	CHECK_STATUS(flow_maintenance_step(t.db, 1000000, NULL), FLOW_IOERR);
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, 0, 0);
	horizon = 2000;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 4);
	CHECK_STATUS(flow_maintenance_step(t.db, 1000000, NULL), FLOW_END);
	CHECK(stats_of(&t).sstables == 4);
	test_close(&t);
	check_passed("a failed merge waits");
}

int
main(void)
{
	test_basics();
	test_effects();
	test_zero_survivors();
	test_leveled();
	test_retry();
	return 0;
}
