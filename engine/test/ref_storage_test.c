/*-------------------------------------------------------------------------
 * ref_storage_test.c
 *	  The reference's cases of SSTables, index, manifest, bloom filter, cache
 *	  and compaction: TS.., TI.., TC.., TF.., TB.., TK..; see refcase.h.
 *
 * TF04 replaces a bloom filter in the manifest: filters are part of their
 * file here, and files never change.
 *-------------------------------------------------------------------------
 */
#include "refcase.h"

/* n rows KEY000000.. of one batch, of about value_bytes each, flushed. */
static void
put_rows(RefDb *r, const char *prefix, int n, size_t value_bytes)
{
	static char key[2000][24];
	static char value[1024];
	static FlowRecord rec[2000];

	CHECK(n <= 2000 && value_bytes <= sizeof(value));
	memset(value, 'v', sizeof(value));
	for (int i = 0; i < n; i++)
	{
		snprintf(key[i], sizeof(key[i]), "%.10s%06d", prefix, i);
		rec[i] = ref_record(key[i], i, "");
		rec[i].value = value;
		rec[i].value_bytes = value_bytes;
	}
	CHECK_OK(flow_write_batch(r->db, r->store, rec, (size_t) n, NULL));
	CHECK_OK(flow_flush(r->db, NULL));
}

/* Read what lies in the bounds; *stats: how. */
static uint64_t
read_bounds(RefDb *r, const FlowScanSpec *spec, FlowScanStats *stats)
{
	FlowScan *scan;
	FlowRecord row;
	FlowStatus st;
	uint64_t n = 0;

	CHECK_OK(flow_scan_open(r->db, spec, &scan));
	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
		n++;
	CHECK_STATUS(st, FLOW_END);
	*stats = *flow_scan_stats(scan);
	flow_scan_close(scan);
	return n;
}

/* TS01, TS02, TI01, TI02: several blocks, all of which come, or those asked
 * for */
static void
ts01_blocks(void)
{
	RefDb r;
	FlowScanSpec spec;
	FlowScanStats stats;
	uint64_t all;

	ref_open(&r);
	r.opts.block_bytes = 1024;
	ref_reopen(&r);
	put_rows(&r, "k", 100, 100);
	spec = ref_spec(&r);
	CHECK(read_bounds(&r, &spec, &stats) == 100);
	all = stats.blocks_read;
	CHECK(all >= 8 && all <= 14);
	flow_spec_key_range(&spec, "k000050", 7, "k000051", 7);
	CHECK(read_bounds(&r, &spec, &stats) == 2);
	CHECK(stats.blocks_read <= 2);
	CHECK(ref_count(&r) == 100);
	ref_close(&r);
}

static uint64_t file_bytes, raw_bytes;

static FlowStatus
note_bytes(void *arg, const FlowSstStats *sst)
{
	(void) arg;
	file_bytes += sst->file_bytes;
	raw_bytes += sst->raw_bytes;
	return FLOW_OK;
}

/* TS04, TS07: each compression gives back what went in; two of them make
 * repetitive data smaller */
static void
ts04_compression(void)
{
	static const FlowCompression kinds[] = {
		FLOW_COMPRESS_NONE, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD};

	for (int i = 0; i < 9; i++)
	{
		RefDb r;
		bool ran;

		ref_open(&r);
		r.opts.flush_compression = kinds[i / 3];
		r.opts.merge_compression = kinds[i % 3];
		ref_reopen(&r);
		put_rows(&r, "a", 200, 500);
		file_bytes = raw_bytes = 0;
		CHECK_OK(flow_each_sst(r.db, note_bytes, NULL));
		CHECK(raw_bytes > 200 * 500);
		CHECK(i / 3 == 0 ? file_bytes > 200 * 500 : file_bytes < raw_bytes / 2);
		put_rows(&r, "b", 200, 500);
		CHECK_OK(flow_compact(r.db, r.store, &ran));
		CHECK(ran && ref_sstables(&r) == 1);
		file_bytes = raw_bytes = 0;
		CHECK_OK(flow_each_sst(r.db, note_bytes, NULL));
		CHECK(i % 3 == 0 ? file_bytes > 400 * 500 : file_bytes < raw_bytes / 2);
		CHECK(ref_count(&r) == 400);
		ref_reopen(&r);
		CHECK(ref_count(&r) == 400);
		ref_close(&r);
	}
}

/* 100 SSTables, and half of them gone */
static void
ts09_many_files(void)
{
	RefDb r;
	bool ran;

	ref_open(&r);
	for (int i = 0; i < 100; i++)
	{
		ref_put(&r, "k", i % 50, i < 50 ? "old" : "new");
		CHECK_OK(flow_flush(r.db, NULL));
	}
	CHECK(ref_sstables(&r) == 100);
	CHECK(ref_count(&r) == 50);
	ref_reopen(&r);
	CHECK(ref_sstables(&r) == 100 && ref_count(&r) == 50);
	do
		CHECK_OK(flow_compact(r.db, r.store, &ran));
	while (ran);
	CHECK(ref_sstables(&r) == 1 && ref_count(&r) == 50);
	ref_reopen(&r);
	CHECK(ref_sstables(&r) == 1 && ref_count(&r) == 50);
	ref_close(&r);
}

/* gone for the SSTable that was removed, present for the other */
static void
ti04_remove(void)
{
	RefDb r;
	FlowRecord rec = ref_record("gone", 1, "v");
	uint64_t purged;
	char text[64];

	ref_open(&r);
	rec.expire_at = ref_clock + 5;
	CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
	CHECK_OK(flow_flush(r.db, NULL));
	ref_put(&r, "stays", 1, "v");
	CHECK_OK(flow_flush(r.db, NULL));
	CHECK(ref_sstables(&r) == 2);
	CHECK_OK(flow_gc(r.db, &purged));
	CHECK(purged == 0 && ref_sstables(&r) == 2);
	ref_clock += 5;
	CHECK_OK(flow_gc(r.db, &purged));
	CHECK(purged == 1 && ref_sstables(&r) == 1);
	CHECK(!ref_get(&r, "gone", 1, text) && ref_get(&r, "stays", 1, text));
	CHECK(ref_count(&r) == 1);
	ref_reopen(&r);
	CHECK(ref_sstables(&r) == 1 && ref_count(&r) == 1);
	ref_close(&r);
}

/* nothing to compact: nothing there, and less than the threshold */
static void
tc01_threshold(void)
{
	RefDb r;
	bool ran = true;

	ref_open(&r);
	r.opts.merge_threshold = 3;
	ref_reopen(&r);
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(!ran);
	CHECK_OK(flow_compact(r.db, 0, &ran));
	CHECK(!ran);
	for (int i = 0; i < 3; i++)
	{
		CHECK_OK(flow_compact(r.db, r.store, &ran));
		CHECK(!ran && ref_sstables(&r) == (uint32_t) i);
		ref_put(&r, "k", i, "v");
		CHECK_OK(flow_flush(r.db, NULL));
	}
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran && ref_sstables(&r) == 1);
	ref_close(&r);
}

static void
tf01_manifest(void)
{
	RefDb r;
	FlowStats before, after;

	ref_open(&r);
	put_rows(&r, "a", 100, 10);
	put_rows(&r, "b", 100, 10);
	flow_stats(r.db, &before);
	CHECK(before.sstables == 2);
	ref_crash(&r);
	flow_stats(r.db, &after);
	CHECK(after.sstables == 2);
	CHECK(after.flushed_pos == before.flushed_pos);
	CHECK(after.generation >= before.generation);
	CHECK(ref_count(&r) == 200);
	ref_close(&r);
}

/* TB01, TB03: all is found that is there, and little else is looked for */
static void
tb01_bloom(void)
{
	RefDb r;
	char key[24], text[64];
	uint64_t looked = 0;

	ref_open(&r);
	put_rows(&r, "k", 1000, 5);
	for (int reopened = 0; reopened < 2; reopened++)
	{
		for (int i = 0; i < 1000; i++)
		{
			FlowScanSpec spec = ref_spec(&r);
			FlowScanStats stats;

			snprintf(key, sizeof(key), "k%06d", i);
			CHECK(ref_get(&r, key, i, text));
			/* keys that lie between */
			snprintf(key, sizeof(key), "k%06dx", i);
			flow_spec_key_range(&spec, key, 8, key, 8);
			CHECK(read_bounds(&r, &spec, &stats) == 0);
			looked += stats.blocks_read;
		}
		ref_reopen(&r);
	}
	CHECK(looked < 100); /* of 2000; ten bits a key let one in a hundred by */
	ref_close(&r);
}

/* hit, miss, what a merge replaces, and what is not to be cached */
static void
tk01_cache(void)
{
	RefDb r;
	FlowScanSpec spec;
	FlowScanStats stats;
	FlowStats before, after;
	bool ran;

	ref_open(&r);
	put_rows(&r, "a", 500, 100);
	ref_reopen(&r);
	spec = ref_spec(&r);
	spec.no_fill_cache = true;
	for (int i = 0; i < 2; i++)
	{
		CHECK(read_bounds(&r, &spec, &stats) == 500);
		CHECK(stats.blocks_read > 10 && stats.cache_hits == 0);
	}
	spec.no_fill_cache = false;
	CHECK(read_bounds(&r, &spec, &stats) == 500 && stats.cache_hits == 0);
	flow_stats(r.db, &before);
	CHECK(before.cache_bytes > 0);
	CHECK(read_bounds(&r, &spec, &stats) == 500);
	CHECK(stats.cache_hits > 0 && stats.cache_hits == stats.blocks_read);
	flow_stats(r.db, &after);
	CHECK(after.cache_hits >= before.cache_hits + stats.cache_hits);
	/* other values at the same places */
	put_rows(&r, "a", 500, 10);
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran);
	CHECK(read_bounds(&r, &spec, &stats) == 500 && stats.cache_hits == 0);
	ref_close(&r);
}

/* a flush of nothing but expired rows makes no file */
static void
g01_expired(void)
{
	RefDb r;
	FlowRecord rec[2] = {ref_record("a", 1, "v"), ref_record("b", 2, "v")};
	FlowFlushReport report;

	ref_open(&r);
	rec[0].expire_at = rec[1].expire_at = 5;
	CHECK_OK(flow_write_batch(r.db, r.store, rec, 2, NULL));
	CHECK_OK(flow_flush(r.db, &report));
	CHECK(report.sstables == 0 && report.first_id == 0);
	CHECK(ref_sstables(&r) == 0 && ref_count(&r) == 0);
	rec[1].expire_at = FLOW_NEVER;
	CHECK_OK(flow_write_batch(r.db, r.store, rec, 2, NULL));
	CHECK_OK(flow_flush(r.db, &report));
	CHECK(report.sstables == 1 && report.records == 1);
	CHECK(ref_count(&r) == 1);
	ref_close(&r);
}

static const RefCase cases[] = {
	{"TS01 TS02 TI01 TI02", ts01_blocks, NULL},
	{"TS04 TS07", ts04_compression, NULL},
	{"TS09", ts09_many_files, NULL},
	{"TI01", NULL,
	 "W call-a@1 call-b@2 call-c@3; F; W doc@1; F; P call-a -> call-a@1;"
	 "P call -> call-a@1 call-b@2 call-c@3"},
	{"TI02", NULL, "W a@1 c@1; F; W d@1 f@1; F; K b e -> c@1 d@1"},
	{"TI04", ti04_remove, NULL},
	{"TI05", NULL,
	 "NOW 100; W k@1!200; F; NOW 300; ALL ->; P k ->; GET k@1 ->"},
	{"TC01", tc01_threshold, NULL},
	{"TC02", NULL, "CX; W k@1; CX; ALL -> k@1"},
	{"TF01", tf01_manifest, NULL},
	{"TB01 TB03", tb01_bloom, NULL},
	{"TK01", tk01_cache, NULL},
	{"G01", g01_expired, NULL},
};

REF_MAIN(cases)
