/*-------------------------------------------------------------------------
 * ref_extra_test.c
 *	  The cases that the reference breaks, X01 to X20 and X22; see refcase.h.
 *	  X15, X18, X23, X24, X33: ref_damage_test.c.  X21: thread_test.c.
 *
 * X01: W01.  X02: W02.  X03: W03.  X04: W04.  X05: W05.  X06: W06, W08, W34.
 * X07: W07.  X08: W08, W35.  X09: W09.  X10: W10.  X11: W11.  X12: W12.
 * X13: W13, W14.  X14: W15.  X16: W21.  X17: W22.  X19: W27.  X20: W28.
 * X22: W36.
 *-------------------------------------------------------------------------
 */
#include <errno.h>

#include "refcase.h"

/* of three SSTables only the two newest are merged: the large one stays */
static void
x06_partial_merge(void)
{
	RefDb r;
	char key[16], text[64];
	bool ran;

	ref_open(&r);
	ref_put(&r, "k", 1, "old");
	for (int i = 0; i < 3000; i++)
	{
		/* what does not compress */
		snprintf(key, sizeof(key), "x%08x", (unsigned) i * 2654435761u);
		ref_put(&r, key, (int64_t) i * i * i * 7919, key);
	}
	CHECK_OK(flow_flush(r.db, NULL));
	for (int i = 0; i < 2; i++)
	{
		FlowRecord rec = ref_record(i ? "other" : "k", 1, "");

		if (i == 0)
			CHECK_OK(flow_delete_batch(r.db, r.store, &rec, 1, NULL));
		else
			CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
		CHECK_OK(flow_flush(r.db, NULL));
	}
	CHECK(ref_sstables(&r) == 3);
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran && ref_sstables(&r) == 2);
	CHECK(!ref_get(&r, "k", 1, text));
	CHECK(ref_count(&r) == 3001);
	ref_reopen(&r);
	CHECK(!ref_get(&r, "k", 1, text));
	CHECK(ref_count(&r) == 3001);
	ref_close(&r);
}

/* the same with a range tombstone */
static void
x06_partial_merge_of_range(void)
{
	RefDb r;
	char key[16];
	FlowRect rect = {.key_lo = (const uint8_t *) "x",
					 .key_lo_bytes = 1,
					 .key_hi = (const uint8_t *) "y",
					 .key_hi_bytes = 1,
					 .ts_lo = INT64_MIN,
					 .ts_hi = INT64_MAX};
	bool ran;

	ref_open(&r);
	for (int i = 0; i < 3000; i++)
	{
		snprintf(key, sizeof(key), "x%08x", (unsigned) i * 2654435761u);
		ref_put(&r, key, (int64_t) i * i * i * 7919, key);
	}
	CHECK_OK(flow_flush(r.db, NULL));
	CHECK_OK(flow_delete_range(r.db, r.store, &rect, NULL));
	CHECK_OK(flow_flush(r.db, NULL));
	ref_put(&r, "other", 1, "");
	CHECK_OK(flow_flush(r.db, NULL));
	CHECK(ref_sstables(&r) == 3 && ref_count(&r) == 1);
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran && ref_sstables(&r) == 2 && ref_count(&r) == 1);
	ref_reopen(&r);
	CHECK(ref_count(&r) == 1);
	ref_close(&r);
}

/* a key of one ts a block */
static void
x09_many_blocks(void)
{
	RefDb r;
	static char value[900];
	FlowRecord rec = ref_record("k", 0, "");
	FlowScanSpec spec;
	FlowScan *scan;
	const FlowVector *vec;

	ref_open(&r);
	rec.value = value;
	rec.value_bytes = sizeof(value);
	for (int i = 0; i < 10; i++)
	{
		rec.ts = i * 10;
		memset(value, 'a' + i, sizeof(value));
		CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
	}
	CHECK_OK(flow_flush(r.db, NULL));
	spec = ref_spec(&r);
	for (int i = 0; i < 10; i++)
	{
		CHECK_OK(flow_get(r.db, &spec, "k", 1, i * 10, &scan, &vec));
		CHECK(vec->value[0][0] == 'a' + i);
		flow_scan_close(scan);
	}
	CHECK_OK(flow_get_latest(r.db, &spec, "k", 1, &scan, &vec));
	CHECK(vec->ts[0] == 90);
	flow_scan_close(scan);
	ref_close(&r);
}

static void
x16_closed(void)
{
	RefDb r;
	FlowRecord rec = ref_record("k", 2, "v");
	FlowRect rect = {
		.key_lo = (const uint8_t *) "", .ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	FlowScan *scan;
	const FlowVector *vec;
	char text[64];
	uint32_t id;

	ref_open(&r);
	ref_put(&r, "k", 1, "v");
	CHECK_OK(flow_close(r.db));
	CHECK_OK(flow_close(r.db));
	CHECK(ref_get(&r, "k", 1, text) && ref_count(&r) == 1);
	CHECK_STATUS(flow_write_batch(r.db, r.store, &rec, 1, NULL), FLOW_INVALID);
	CHECK_STATUS(flow_delete_batch(r.db, r.store, &rec, 1, NULL), FLOW_INVALID);
	CHECK_STATUS(flow_delete_range(r.db, r.store, &rect, NULL), FLOW_INVALID);
	CHECK_STATUS(
		flow_patch_record(r.db, r.store, "k", 1, 1, "x", 1, NULL, &scan, &vec),
		FLOW_INVALID);
	CHECK_STATUS(flow_store_define(r.db, "new", NULL, 0, &id), FLOW_INVALID);
	CHECK(strstr(flow_last_error()->message, "database is closed") != NULL);
	CHECK(ref_get(&r, "k", 1, text) && ref_count(&r) == 1);
	ref_drop(&r);
	CHECK_OK(ref_try_open(&r));
	CHECK(ref_count(&r) == 1);
	ref_close(&r);
}

static void
x19_long_key(void)
{
	RefDb r;
	static char key[70001];
	FlowRecord rec;
	char text[64];

	ref_open(&r);
	memset(key, 'k', sizeof(key) - 1);
	ref_put(&r, "before", 1, "v");
	rec = ref_record(key, 1, "v");
	CHECK_STATUS(flow_write_batch(r.db, r.store, &rec, 1, NULL), FLOW_INVALID);
	CHECK_STATUS(flow_delete_batch(r.db, r.store, &rec, 1, NULL), FLOW_INVALID);
	rec.key_bytes = FLOW_MAX_KEY;
	CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
	ref_put(&r, "behind", 1, "v");
	ref_crash(&r);
	CHECK(ref_get(&r, "before", 1, text) && ref_get(&r, "behind", 1, text));
	CHECK(ref_count(&r) == 3);
	ref_reopen(&r);
	CHECK(ref_count(&r) == 3);
	ref_close(&r);
}

/* every write of a flush fails in turn; nothing is lost, whatever follows */
static void
x20_failed_flush(void)
{
	for (uint64_t nth = 1; nth < 12; nth++)
	{
		RefDb r;
		FlowStatus st;

		ref_open(&r);
		ref_put(&r, "a", 1, "v");
		CHECK_OK(flow_freeze(r.db, UINT64_MAX));
		flow_env_posix_fail(r.env, FLOW_POSIX_WRITE, nth, 1, EIO);
		st = flow_flush_step(r.db);
		flow_env_posix_fail(r.env, FLOW_POSIX_WRITE, 1, 0, 0);
		CHECK(st == FLOW_OK || st == FLOW_IOERR);
		CHECK(ref_count(&r) == 1);
		ref_put(&r, "b", 1, "v");
		CHECK_OK(flow_flush(r.db, NULL));
		ref_put(&r, "c", 1, "v");
		if (nth % 2)
			CHECK_OK(flow_flush(r.db, NULL));
		CHECK(ref_count(&r) == 3);
		ref_crash(&r);
		CHECK(ref_count(&r) == 3);
		ref_close(&r);
		if (st == FLOW_OK)
		{
			CHECK(nth > 2);
			return;
		}
	}
	CHECK(!"a flush never succeeds");
}

/* two files of the same 2000 rows, many blocks each */
static void
x22_overlapping(void)
{
	RefDb r;
	char key[16], text[64];
	bool ran;

	ref_open(&r);
	for (int file = 0; file < 2; file++)
	{
		for (int i = 0; i < 2000; i++)
		{
			snprintf(key, sizeof(key), "k%05d", i);
			if (file == 0 || i % 3 == 0)
				ref_put(&r, key, i, file ? "new" : "old");
		}
		CHECK_OK(flow_flush(r.db, NULL));
	}
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran && ref_sstables(&r) == 1);
	for (int i = 0; i < 2000; i++)
	{
		snprintf(key, sizeof(key), "k%05d", i);
		CHECK(ref_get(&r, key, i, text));
		CHECK(strcmp(text, i % 3 == 0 ? "new" : "old") == 0);
	}
	CHECK(ref_count(&r) == 2000);
	ref_close(&r);
}

static const RefCase cases[] = {
	{"X01", NULL,
	 "W a@1 b@1 c@1; DR a c; ALL -> c@1; W b@1=new; ALL -> b@1=new c@1;"
	 "P b -> b@1=new; GET b@1 -> b@1=new; LATEST b -> b@1=new;"
	 "F; DR a b; ALL -> b@1=new c@1"},
	{"X02", NULL,
	 "W b@1; DR a c; GET b@1 ->; LATEST b ->; ALL ->; W b@0; F; DR a c; F;"
	 "GET b@0 ->; LATEST b ->"},
	{"X03", NULL,
	 "W m@5; F; DR a z; P m ->; K m n ->; T 5 5 ->; PT m 5 5 ->; ALL ->;"
	 "KT a z 0 9 ->; S - - [5 - ->; W m@6; ALL -> m@6"},
	{"X04", NULL,
	 "DR b d; GET b@0 ->; LATEST b ->; ALL ->; W b@0=v; GET b@0 -> b@0=v;"
	 "LATEST b -> b@0=v; ALL -> b@0=v"},
	{"X05", NULL,
	 "W %C3%A9@1 %7F@1 zz@1 ~~@1; ALL -> zz@1 ~~@1 %7F@1 %C3%A9@1;"
	 "P \"\" -> #4; T 1 1 -> #4"},
	{"X06", NULL,
	 "W k@1; F; DEL k@1; F; ALL ->; P k ->; K k k ->; GET k@1 ->; LATEST k ->;"
	 "W k@1=again; ALL -> k@1=again"},
	{"X06", x06_partial_merge, NULL},
	{"X06", x06_partial_merge_of_range, NULL},
	{"X07", NULL,
	 "W k@1=v1; F; W k@1!1=v2; GET k@1 ->; ALL ->; LATEST k ->; F; ALL ->;"
	 "W k@2; F; ALL -> k@2"},
	{"X08", NULL,
	 "W k@1=v1; F; W k@1=v2; F; W k@1=v3; F; GET k@1 -> k@1=v3;"
	 "ALL -> k@1=v3; R; GET k@1 -> k@1=v3; ALL -> k@1=v3"},
	{"X08", NULL,
	 "W k@1=v1; F; W k@1=v2; F; W k@1=v3; F; C; GET k@1 -> k@1=v3;"
	 "ALL -> k@1=v3; R; ALL -> k@1=v3"},
	{"X09", NULL,
	 "W k@0 k@1 k@2 k@3 k@4 k@5 k@6 k@7 k@8 k@9; F; GET k@0 -> k@0;"
	 "GET k@5 -> k@5; GET k@9 -> k@9; LATEST k -> k@9; P k -> #10"},
	{"X09", x09_many_blocks, NULL},
	{"X10", NULL,
	 "W k@1 k@2; F; W k@3; F; DEL k@3; LATEST k -> k@2; F; LATEST k -> k@2;"
	 "DEL k@2; F; LATEST k -> k@1; DR k l; LATEST k ->; W k@0; "
	 "LATEST k -> k@0"},
	{"X11", NULL,
	 "W k@3600000000 k@10800000000; F; T 10000000000 11000000000 -> "
	 "k@10800000000; T 7200000000 10799999999 ->"},
	{"X12", NULL,
	 "W a@1 m@1=1 x@1 y@1 z@1; F; W m@1=2 n@1; F; P x -> x@1;"
	 "K x y -> x@1 y@1; P m -> m@1=2"},
	{"X13", NULL,
	 "W a@1 %FF@5 %FFz@6; K z a ->; T 9 1 ->; P %FF -> %FF@5 %FFz@6;"
	 "P %FF%FF ->; KT z a 9 1 ->; PT a 9 1 ->; S (a (a - - ->;"
	 "S [a (a - - ->; S - - (5 (6 ->"},
	{"X13", NULL,
	 "W %EF%BF%BE@1 %F0%9F%98%80@1; F; P \"\" -> %EF%BF%BE@1 %F0%9F%98%80@1;"
	 "P %F0 -> %F0%9F%98%80@1"},
	{"X14", NULL,
	 "W a@1 b@5 b@6 bb@6 c@7; S (b - - - -> bb@6 c@7; S - (c - - -> a@1 b@5 "
	 "b@6 bb@6; S - - (5 - -> b@6 bb@6 c@7; S [b (bb - [5 -> b@5;"
	 "S - [b [5 (6 -> b@5; S (a [c (1 [7 -> b@5 b@6 bb@6 c@7"},
	{"X16", x16_closed, NULL},
	{"X17", NULL,
	 "W k@1=v1; X; W k@1=v2; X; GET k@1 -> k@1=v2; W k@1=v3; R; W k@1=v4;"
	 "X; ALL -> k@1=v4; DEL k@1; X; ALL ->; W k@1=v5; X; ALL -> k@1=v5"},
	{"X17", NULL, "W k@1=v1; F; X; DR a z; X; W k@1=v2; X; ALL -> k@1=v2"},
	{"X19", x19_long_key, NULL},
	{"X20", x20_failed_flush, NULL},
	{"X22", x22_overlapping, NULL},
	/* Z3: dead from expire_at on, in every place the same (W18) */
	{"Z3", NULL,
	 "W k@1!1700000000000005; NOW 1700000000000004; ALL -> k@1;"
	 "GET k@1 -> k@1; NOW 1700000000000005; ALL ->; GET k@1 ->; LATEST k ->"},
	/* F03: a tombstone outlives flush and reopening; time range of a range */
	{"F02 F03", NULL,
	 "W a@1 a@5 b@5 c@9; F; DR a c 2 7; R; ALL -> a@1 c@9; F; R;"
	 "ALL -> a@1 c@9; DR c *; ALL -> a@1; DR b a; DR a a; ALL -> a@1"},
};

REF_MAIN(cases)
