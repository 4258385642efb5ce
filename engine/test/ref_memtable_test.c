/*-------------------------------------------------------------------------
 * ref_memtable_test.c
 *	  The reference's memtable cases, TM..; see refcase.h.
 *-------------------------------------------------------------------------
 */
#include "refcase.h"

/* A memtable that was written leaves the queue; readers see no difference. */
static void
tm05_drain(void)
{
	RefDb r;
	FlowStats stats;

	ref_open(&r);
	for (int i = 0; i < 3; i++)
	{
		ref_put(&r, "k", i, "v");
		CHECK_OK(flow_freeze(r.db, UINT64_MAX));
	}
	for (uint32_t left = 3; left > 0; left--)
	{
		flow_stats(r.db, &stats);
		CHECK(stats.frozen_memtables <= left);
		CHECK(ref_count(&r) == 3);
		if (stats.frozen_memtables > 0)
			CHECK_OK(flow_flush_step(r.db));
	}
	CHECK_STATUS(flow_flush_step(r.db), FLOW_END);
	flow_stats(r.db, &stats);
	CHECK(stats.frozen_memtables == 0 && stats.memtable_records == 0);
	CHECK(!flow_has_frozen(flow_shared(r.db)));
	CHECK(ref_count(&r) == 3);
	ref_close(&r);
}

/* Counters, and the thresholds that they are held against. */
static void
tm07_counters(void)
{
	RefDb r;
	FlowStats stats;
	static char value[4096];
	FlowRecord rec;
	uint64_t last = 0;

	ref_open(&r);
	r.opts.max_frozen = 3;
	ref_reopen(&r);
	for (int i = 0; i < 10; i++)
	{
		ref_put(&r, "k", i, "value");
		flow_stats(r.db, &stats);
		CHECK(stats.memtable_records == (uint64_t) i + 1);
		CHECK(stats.memtable_bytes >= last && stats.memtable_bytes > 0);
		last = stats.memtable_bytes;
	}
	CHECK(!flow_has_frozen(flow_shared(r.db)));
	for (int i = 0; i < 2000; i++)
	{
		rec = ref_record("big", i, "");
		rec.value = value;
		rec.value_bytes = sizeof(value);
		CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
		flow_stats(r.db, &stats);
		CHECK(stats.frozen_memtables <= 3);
	}
	CHECK(stats.flushes > 0);
	CHECK(ref_count(&r) == 2010);
	ref_close(&r);
}

static void
tm12_many_keys(void)
{
	RefDb r;
	char key[16], text[64];

	ref_open(&r);
	for (int i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "k%d", i * 7919 % 5000);
		ref_put(&r, key, i * 7919 % 5000, key);
	}
	for (int i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "k%d", i);
		CHECK(ref_get(&r, key, i, text) && strcmp(text, key) == 0);
		CHECK(!ref_get(&r, key, i + 1, text));
	}
	CHECK(ref_count(&r) == 5000);
	ref_close(&r);
}

/* Versions in SSTable, frozen and active memtable: the active one counts. */
static void
tm14_active_first(void)
{
	RefDb r;
	char text[64];
	FlowScanSpec spec;
	FlowScan *scan;
	const FlowVector *vec;

	ref_open(&r);
	ref_put(&r, "k", 5, "flushed");
	CHECK_OK(flow_flush(r.db, NULL));
	ref_put(&r, "k", 5, "frozen");
	CHECK_OK(flow_freeze(r.db, UINT64_MAX));
	CHECK(ref_get(&r, "k", 5, text) && strcmp(text, "frozen") == 0);
	ref_put(&r, "k", 5, "active");
	spec = ref_spec(&r);
	CHECK_OK(flow_get_latest(r.db, &spec, "k", 1, &scan, &vec));
	CHECK(vec->value_bytes[0] == 6 && memcmp(vec->value[0], "active", 6) == 0);
	flow_scan_close(scan);
	CHECK(ref_get(&r, "k", 5, text) && strcmp(text, "active") == 0);
	CHECK(ref_count(&r) == 1);
	CHECK_OK(flow_flush_step(r.db));
	CHECK(ref_get(&r, "k", 5, text) && strcmp(text, "active") == 0);
	ref_close(&r);
}

/* The same rows whichever tables they lie in. */
static void
tm16_many_tables(void)
{
	RefDb r;
	FlowScanSpec spec;
	FlowScan *scan;
	FlowRecord row;
	int n = 0;

	ref_open(&r);
	for (int table = 0; table < 4; table++)
	{
		char value[8];

		snprintf(value, sizeof(value), "%d", table);
		ref_put(&r, "a", 1, value);
		ref_put(&r, "b", table, value);
		ref_put(&r, "c", 10 - table, value);
		if (table < 3)
			CHECK_OK(flow_freeze(r.db, UINT64_MAX));
	}
	spec = ref_spec(&r);
	flow_spec_key_range(&spec, "a", 1, "c", 1);
	flow_spec_time_range(&spec, 1, 8);
	CHECK_OK(flow_scan_open(r.db, &spec, &scan));
	for (; flow_scan_row(scan, &row) == FLOW_OK; n++)
	{
		static const char want[][8] = {"a1=3", "b1=1", "b2=2",
									   "b3=3", "c7=3", "c8=2"};
		char text[8];

		snprintf(text, sizeof(text), "%c%d=%c", *(const char *) row.key,
				 (int) row.ts, *(const char *) row.value);
		CHECK(n < 6 && strcmp(text, want[n]) == 0);
	}
	CHECK(n == 6);
	flow_scan_close(scan);
	CHECK(ref_count(&r) == 9);
	ref_close(&r);
}

static const RefCase cases[] = {
	{"TM01", NULL, "W foo@1=v bar@2; P fo -> foo@1=v"},
	{"TM03", NULL,
	 "W k@1!1700000000000000 k@2!1700000000000001; ALL -> k@2;"
	 "NOW 1700000000000001; ALL ->"},
	{"TM05", tm05_drain, NULL},
	{"TM07", tm07_counters, NULL},
	{"TM08", NULL, "W b@2 a@9 b@-1 aa@0 @5; ALL -> @5 a@9 aa@0 b@-1 b@2"},
	{"TM10", NULL,
	 "W k@1=v; DEL k@1; GET k@1 ->; W k@2; LATEST k -> k@2; DEL nothing@1;"
	 "ALL -> k@2"},
	{"TM12", tm12_many_keys, NULL},
	{"TM14", tm14_active_first, NULL},
	{"TM16", tm16_many_tables, NULL},
	{"D05", NULL, "W k@1=a k@1=b; GET k@1 -> k@1=b; ALL -> k@1=b"},
};

REF_MAIN(cases)
