/*-------------------------------------------------------------------------
 * ref_fuzz_test.c
 *	  The reference's fuzz cases, TZ..: random rows of the seeds 0 to 199
 *	  (TZ07, TZ09: 0 to 99) against a model, with flush, compaction, gc,
 *	  reopening and crash at random.
 *
 *	 ref_fuzz_test [TZ01 ..]
 *-------------------------------------------------------------------------
 */
#include "refcase.h"

#define FUZZ_ROWS 400

typedef struct FuzzRow
{
	char key[17];
	int64_t ts;
	char value[33];
	bool live;
} FuzzRow;

static RefDb db;
static uint64_t lcg;
static FuzzRow model[FUZZ_ROWS];
static size_t nmodel;

/* the reference's kind of generator */
static uint32_t
next(uint32_t n)
{
	lcg = lcg * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (lcg >> 33) % n;
}

static void
random_text(char *to, uint32_t least, uint32_t most)
{
	uint32_t n = least + next(most - least + 1);

	for (uint32_t i = 0; i < n; i++)
		to[i] = (char) ('a' + next(26));
	to[n] = '\0';
}

static FuzzRow *
model_row(const char *key, int64_t ts)
{
	for (size_t i = 0; i < nmodel; i++)
		if (model[i].ts == ts && strcmp(model[i].key, key) == 0)
			return &model[i];
	CHECK(nmodel < FUZZ_ROWS);
	model[nmodel] = (FuzzRow){.ts = ts};
	strcpy(model[nmodel].key, key);
	return &model[nmodel++];
}

static void
write_rows(uint32_t n)
{
	FuzzRow row[20];
	FlowRecord rec[20];

	for (uint32_t i = 0; i < n; i++)
	{
		FuzzRow *m;

		random_text(row[i].key, 1, 16);
		row[i].ts = next(1000000);
		if (nmodel > 0 && next(3) == 0)
		{
			/* one that there is already */
			strcpy(row[i].key, model[next((uint32_t) nmodel)].key);
			if (next(2))
				row[i].ts = model[next((uint32_t) nmodel)].ts;
		}
		random_text(row[i].value, 0, 32);
		rec[i] = ref_record(row[i].key, row[i].ts, row[i].value);
		m = model_row(row[i].key, row[i].ts);
		strcpy(m->value, row[i].value);
		m->live = true;
	}
	CHECK_OK(flow_write_batch(db.db, db.store, rec, n, NULL));
}

static void
delete_row(void)
{
	FuzzRow *m = &model[next((uint32_t) nmodel)];
	FlowRecord rec = ref_record(m->key, m->ts, "");

	CHECK_OK(flow_delete_batch(db.db, db.store, &rec, 1, NULL));
	m->live = false;
}

static void
delete_some(void)
{
	char lo[17], hi[17];
	FlowRect rect = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};

	random_text(lo, 0, 2);
	random_text(hi, 0, 2);
	if (next(2))
	{
		rect.ts_lo = next(1000000);
		rect.ts_hi = rect.ts_lo + next(500000);
	}
	rect.key_lo = (const uint8_t *) lo;
	rect.key_lo_bytes = (uint32_t) strlen(lo);
	rect.key_hi = next(8) ? (const uint8_t *) hi : NULL;
	rect.key_hi_bytes = (uint32_t) strlen(hi);
	CHECK_OK(flow_delete_range(db.db, db.store, &rect, NULL));
	for (size_t i = 0; i < nmodel; i++)
		if (strcmp(model[i].key, lo) >= 0 &&
			(rect.key_hi == NULL || strcmp(model[i].key, hi) < 0) &&
			model[i].ts >= rect.ts_lo && model[i].ts <= rect.ts_hi)
			model[i].live = false;
}

/* Each row of the model, and no other. */
static void
check_rows(void)
{
	uint64_t live = 0;
	char text[64];

	for (size_t i = 0; i < nmodel; i++)
	{
		const FuzzRow *m = &model[i];

		live += m->live;
		CHECK(ref_get(&db, m->key, m->ts, text) == m->live);
		CHECK(!m->live || strcmp(text, m->value) == 0);
	}
	CHECK(ref_count(&db) == live);
}

/* ... and by prefix, as the reference asks */
static void
check_prefixes(void)
{
	for (size_t i = 0; i < nmodel; i++)
	{
		FlowScanSpec spec = ref_spec(&db);
		const FuzzRow *m = &model[i];
		char scratch[16];
		FlowScan *scan;
		FlowRecord row;
		FlowStatus st;
		int found = 0;

		flow_spec_prefix(&spec, m->key, strlen(m->key), scratch);
		CHECK_OK(flow_scan_open(db.db, &spec, &scan));
		while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
		{
			if (row.key_bytes != strlen(m->key) || row.ts != m->ts)
				continue;
			CHECK(memcmp(row.key, m->key, row.key_bytes) == 0);
			CHECK(row.value_bytes == strlen(m->value));
			CHECK(memcmp(row.value, m->value, row.value_bytes) == 0);
			found++;
		}
		CHECK_STATUS(st, FLOW_END);
		CHECK(found == m->live);
		flow_scan_close(scan);
	}
}

static void
change_places(void)
{
	bool ran;
	uint64_t purged;

	switch (next(6))
	{
		case 0:
			ref_reopen(&db);
			break;
		case 1:
			ref_crash(&db);
			break;
		case 2:
			CHECK_OK(flow_compact(db.db, 0, &ran));
			break;
		case 3:
			CHECK_OK(flow_gc(db.db, &purged));
			break;
		default:
			CHECK_OK(flow_flush(db.db, NULL));
	}
}

static void
begin(uint64_t seed)
{
	lcg = seed;
	nmodel = 0;
	ref_open(&db);
}

static void
tz01_log(void)
{
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		begin(seed);
		write_rows(1 + next(10));
		if (seed % 2)
			ref_crash(&db);
		else
			ref_reopen(&db);
		check_prefixes();
		ref_close(&db);
	}
}

static void
tz03_memtable(void)
{
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		begin(seed);
		write_rows(1 + next(20));
		check_prefixes();
		ref_close(&db);
	}
}

/* any bounds at all */
static void
tz06_any_query(void)
{
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		begin(seed);
		for (int i = 0; i < 3; i++)
		{
			write_rows(10);
			CHECK_OK(flow_flush(db.db, NULL));
		}
		for (int i = 0; i < 20; i++)
		{
			FlowScanSpec spec = ref_spec(&db);
			char lo[17], hi[17];
			FlowScan *scan;
			FlowRecord row;
			FlowStatus st;

			random_text(lo, 0, 16);
			random_text(hi, 0, 16);
			flow_spec_key_range(&spec, lo, strlen(lo), hi, strlen(hi));
			spec.key_lo.kind = (FlowBoundKind) next(3);
			spec.key_hi.kind = (FlowBoundKind) next(3);
			flow_spec_time_range(&spec, next(1000000), next(1000000));
			spec.ts_lo.kind = (FlowBoundKind) next(3);
			spec.reverse = next(2);
			CHECK_OK(flow_scan_open(db.db, &spec, &scan));
			while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
				CHECK(spec.ts_hi.kind == FLOW_OPEN || row.ts <= spec.ts_hi.ts);
			CHECK_STATUS(st, FLOW_END);
			flow_scan_close(scan);
		}
		check_rows();
		ref_close(&db);
	}
}

static void
tz09_flush_and_compact(void)
{
	for (uint64_t seed = 0; seed < 100; seed++)
	{
		bool ran;

		begin(seed);
		for (int i = 0; i < 4; i++)
		{
			write_rows(1 + next(10));
			CHECK_OK(flow_flush(db.db, NULL));
		}
		CHECK_OK(flow_compact(db.db, 0, &ran));
		CHECK(ran);
		check_rows();
		ref_close(&db);
	}
}

/* everything at random */
static void
tz_all(void)
{
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		begin(seed);
		write_rows(1 + next(10));
		for (int i = 0; i < 15; i++)
		{
			uint32_t dice = next(10);

			if (dice < 5)
				write_rows(1 + next(10));
			else if (dice < 7)
				delete_row();
			else if (dice < 8)
				delete_some();
			else
				change_places();
		}
		check_rows();
		change_places();
		check_rows();
		ref_close(&db);
	}
}

static const RefCase cases[] = {
	{"TZ01", tz01_log, NULL},
	{"TZ03", tz03_memtable, NULL},
	{"TZ06 TZ07", tz06_any_query, NULL},
	{"TZ09", tz09_flush_and_compact, NULL},
	{"TZ", tz_all, NULL},
};

REF_MAIN(cases)
