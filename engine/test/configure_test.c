/*-------------------------------------------------------------------------
 * configure_test.c
 *	  Settings that change while a database is open: rules, effect, crash and
 *	  reopening, policies of stores, hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "../configure.h"
#include "../coding.h"
#include "../store.h"
#include "dbtest.h"

#define REGION_BYTES (32u << 20)
#define MEMTABLE_BYTES (1u << 20)

#define GIVE(s, which, v)                      \
	((s)->given |= 1u << FLOW_SETTING_##which, \
	 (s)->value[FLOW_SETTING_##which] = (v))

static int64_t
live(const TestDb *t, FlowSetting which)
{
	return flowi_live(t->sh, which);
}

static void
refused(TestDb *t, const FlowSettings *s, const char *message)
{
	size_t nlog = t->nlog;

	CHECK_STATUS(flow_configure(t->db, s), FLOW_INVALID);
	CHECK(strcmp(flow_last_error()->message, message) == 0);
	CHECK(t->nlog == nlog);
}

static void
test_rules(void)
{
	TestDb t;
	FlowSettings s = {0};

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	GIVE(&s, BLOCK_BYTES, 512);
	refused(&t, &s, "block_bytes must be between 1 kB and 16 MB");
	GIVE(&s, BLOCK_BYTES, (INT64_C(1) << 32) + 4096); /* not cut to 4096 */
	refused(&t, &s, "setting 3 is out of range: 4294971392");
	s = (FlowSettings){0};
	GIVE(&s, MEMTABLE_BYTES, -1);
	refused(&t, &s, "memtable_bytes must be at least 1 MB");
	s = (FlowSettings){0};
	GIVE(&s, DEFAULT_TTL_SECS, -1);
	refused(&t, &s, "default_ttl_secs must not be negative");
	s = (FlowSettings){0};
	GIVE(&s, POLICY, 3);
	refused(&t, &s, "merge policy 3 is unknown");
	CHECK(live(&t, FLOW_SETTING_BLOCK_BYTES) == 1024);
	test_close(&t);
	check_passed("rules");
}

static void
check_given(TestDb *t)
{
	int64_t v;

	CHECK(live(t, FLOW_SETTING_BLOCK_BYTES) == 4096);
	CHECK(live(t, FLOW_SETTING_MEMTABLE_BYTES) == 2u << 20);
	CHECK(live(t, FLOW_SETTING_BLOOM_BITS) == 10);
	CHECK(flow_setting(t->db, FLOW_SETTING_BLOCK_BYTES, &v) && v == 4096);
	CHECK(flow_setting(t->db, FLOW_SETTING_GC_INTERVAL_SECS, &v) && v == 5);
	CHECK(!flow_setting(t->db, FLOW_SETTING_BLOOM_BITS, &v));
	CHECK(t->sh->policy.kind == FLOW_POLICY_TWCS);
}

/* They count at once, after a crash, and from the manifest; dropped, what
 * was loaded with counts again. */
static void
test_effect(void)
{
	TestDb t;
	FlowSettings s = {0};
	size_t nlog;
	FlowStats stats;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	GIVE(&s, BLOCK_BYTES, 4096);
	GIVE(&s, MEMTABLE_BYTES, 2u << 20);
	GIVE(&s, GC_INTERVAL_SECS, 5);
	GIVE(&s, POLICY, FLOW_POLICY_TWCS);
	CHECK_OK(flow_configure(t.db, &s));
	check_given(&t);
	nlog = t.nlog;
	CHECK_OK(flow_configure(t.db, &s)); /* no change: nothing logged */
	CHECK(t.nlog == nlog);
	test_crash(&t);
	check_given(&t);
	test_reopen(&t);
	CHECK(t.nlog == 0);
	check_given(&t);
	CHECK_OK(flow_configure(t.db, &(FlowSettings){0}));
	CHECK(live(&t, FLOW_SETTING_BLOCK_BYTES) == 1024);
	CHECK(live(&t, FLOW_SETTING_MEMTABLE_BYTES) == MEMTABLE_BYTES);
	CHECK(t.sh->policy.kind == FLOW_POLICY_STCS);
	test_reopen(&t);
	CHECK(live(&t, FLOW_SETTING_BLOCK_BYTES) == 1024);
	flow_stats(t.db, &stats);
	CHECK(stats.stores == 0); /* settings are no store */
	test_close(&t);
	check_passed("effect");
}

/* A memtable larger than a quarter of the buffers would stop writers. */
static void
test_memtable_limit(void)
{
	TestDb t;
	FlowSettings s = {0};
	uint64_t total, unused;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	flow_region_usage(t.env, t.env->region, &total, &unused, &unused, &unused);
	GIVE(&s, MEMTABLE_BYTES, INT64_C(1) << 40);
	CHECK_OK(flow_configure(t.db, &s));
	CHECK((uint64_t) live(&t, FLOW_SETTING_MEMTABLE_BYTES) == total / 4);
	test_close(&t);
	check_passed("memtable limit");
}

static FlowStatus
count_store(void *arg, uint32_t store_id, const char *name)
{
	(void) store_id;
	CHECK(name[0] != '\001');
	++*(int *) arg;
	return FLOW_OK;
}

static void
test_policies(void)
{
	TestDb t;
	FlowSettings s = {0};
	uint32_t a, b, c;
	uint64_t number;
	int kind;
	int n = 0;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	a = test_store(&t, "a");
	b = test_store(&t, "b");
	CHECK_STATUS(flow_configure_store(t.db, 77, FLOW_POLICY_LCS), FLOW_INVALID);
	CHECK_STATUS(flow_configure_store(t.db, a, 3), FLOW_INVALID);
	number = atomic_load(&t.sh->policy_number);
	CHECK_OK(flow_configure_store(t.db, a, FLOW_POLICY_LCS));
	CHECK(atomic_load(&t.sh->policy_number) > number); /* merges look anew */
	CHECK_OK(flow_configure_store(t.db, b, FLOW_POLICY_TWCS));
	CHECK(flow_store_policy(t.db, a, &kind) && kind == FLOW_POLICY_LCS);
	/* neither other settings nor a new store change it */
	GIVE(&s, BLOOM_BITS, 20);
	CHECK_OK(flow_configure(t.db, &s));
	c = test_store(&t, "c");
	CHECK(!flow_store_policy(t.db, c, &kind) && kind == -1);
	CHECK_OK(flow_configure_store(t.db, b, -1));
	test_crash(&t);
	CHECK(flow_store_policy(t.db, a, &kind) && kind == FLOW_POLICY_LCS);
	CHECK(!flow_store_policy(t.db, b, &kind));
	test_reopen(&t);
	CHECK(flow_store_policy(t.db, a, &kind) && kind == FLOW_POLICY_LCS);
	CHECK(!flow_store_policy(t.db, b, &kind));
	CHECK(live(&t, FLOW_SETTING_BLOOM_BITS) == 20);
	CHECK_OK(flow_each_store(t.db, count_store, &n));
	CHECK(n == 3);
	test_close(&t);
	check_passed("policies");
}

/* The name is the engine's own. */
static void
test_reserved(void)
{
	TestDb t;
	uint32_t id;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	CHECK_OK(flow_configure_store(t.db, test_store(&t, "a"), 1));
	CHECK_STATUS(flow_store_define(t.db, FLOW_SETTINGS_STORE, "", 0, &id),
				 FLOW_INVALID);
	CHECK_STATUS(flow_store_find(t.db, FLOW_SETTINGS_STORE, &id, NULL, NULL),
				 FLOW_NOTFOUND);
	test_close(&t);
	check_passed("reserved name");
}

/* Whatever the bytes: an error, or settings; never a read beyond them. */
static void
test_hostile(void)
{
	static const uint8_t good[] = {1, 2, 3, 0x80, 0x40, 4, 40, 1, 7, 2};
	FlowStoreInfo info = {.id = 1,
						  .name = FLOW_SETTINGS_STORE,
						  .name_bytes = sizeof(FLOW_SETTINGS_STORE) - 1};

	info.blob = good;
	info.blob_bytes = sizeof(good);
	CHECK_OK(flowi_configure_check(&info));
	for (size_t n = 0; n < sizeof(good); n++)
	{
		uint8_t *copy = malloc(n ? n : 1); /* exactly: for the sanitizer */

		memcpy(copy, good, n);
		info.blob = copy;
		info.blob_bytes = n;
		CHECK_STATUS(flowi_configure_check(&info), FLOW_CORRUPT);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(good); i++)
		for (int v = 0; v < 256; v++)
		{
			uint8_t *copy = malloc(sizeof(good));
			FlowStatus st;

			memcpy(copy, good, sizeof(good));
			copy[i] = (uint8_t) v;
			info.blob = copy;
			info.blob_bytes = sizeof(good);
			st = flowi_configure_check(&info);
			CHECK(st == FLOW_OK || st == FLOW_CORRUPT ||
				  (st == FLOW_MISMATCH && i == 0));
			free(copy);
		}
	check_passed("hostile bytes");
}

int
main(void)
{
	test_rules();
	test_effect();
	test_memtable_limit();
	test_policies();
	test_reserved();
	test_hostile();
	return 0;
}
