/*-------------------------------------------------------------------------
 * ref_engine_test.c
 *	  The reference's engine cases, TE..; see refcase.h.
 *
 * TE33 asks for bloom filters of an older version to be rebuilt: here a file
 * of another version is refused, so what is left is that filters still find
 * everything after a reopening.  TE80 refers to a gc case that is not written
 * down; it is the plain one.
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <sys/stat.h>

#include "refcase.h"

/* ------------------------------------------------------------- concurrency */

static RefDb shared;
static _Atomic bool stop;

static void *
flush_again(void *arg)
{
	FlowDb *db;

	CHECK_OK(flow_attach(shared.env, flow_shared(shared.db), shared.dir, &db));
	while (!stop)
		CHECK_OK(flow_flush(db, NULL));
	flow_detach(db);
	return arg;
}

static void
te32_flush_beside_get(void)
{
	pthread_t thread;
	char text[64];

	ref_open(&shared);
	ref_put(&shared, "a", 1, "v");
	ref_put(&shared, "b", 2, "v");
	CHECK_OK(flow_flush(shared.db, NULL));
	CHECK(pthread_create(&thread, NULL, flush_again, NULL) == 0);
	for (int i = 0; i < 300; i++)
	{
		ref_put(&shared, "b", i, "v");
		CHECK(ref_get(&shared, "a", 1, text) && strcmp(text, "v") == 0);
		CHECK(ref_get(&shared, "b", i, text));
	}
	stop = true;
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(ref_count(&shared) == 301);
	ref_close(&shared);
}

static void *
write_some(void *arg)
{
	int t = *(int *) arg;
	char key[32];
	FlowRecord rec;
	FlowDb *db;

	CHECK_OK(flow_attach(shared.env, flow_shared(shared.db), shared.dir, &db));
	for (int i = 0; i < 25; i++)
	{
		snprintf(key, sizeof(key), "t%d-key%d", t, i);
		rec = ref_record(key, i, "v");
		CHECK_OK(flow_write_batch(db, shared.store, &rec, 1, NULL));
	}
	flow_detach(db);
	return NULL;
}

static void
te82_concurrent_writes(void)
{
	static int no[4];
	pthread_t thread[4];

	ref_open(&shared);
	for (int i = 0; i < 4; i++)
	{
		no[i] = i;
		CHECK(pthread_create(&thread[i], NULL, write_some, &no[i]) == 0);
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(ref_count(&shared) == 100);
	CHECK_OK(flow_flush(shared.db, NULL));
	CHECK(ref_count(&shared) == 100);
	ref_reopen(&shared);
	CHECK(ref_count(&shared) == 100);
	ref_close(&shared);
}

/* -------------------------------------------------------------- background */

static void
open_in_background(RefDb *r, uint32_t compaction_ms)
{
	ref_open(r);
	ref_shut(r);
	r->opts.auto_background = true;
	r->opts.flush_interval_ms = 10;
	r->opts.compaction_interval_ms = compaction_ms;
	r->opts.sync_mode = FLOW_SYNC_INTERVAL;
	r->opts.sync_interval_ms = 10;
	r->env = ref_env();
	r->env->now_us = ref_now;
	CHECK_OK(flow_open(r->env, r->dir, &r->opts, &r->db));
	CHECK_OK(flow_store_define(r->db, "t", NULL, 0, &r->store));
}

/* Until the thread has flushed all; some seconds at most. */
static void
wait_for_flush(RefDb *r)
{
	FlowStats stats;

	for (int i = 0; i < 400; i++)
	{
		flow_stats(r->db, &stats);
		if (stats.memtable_records == 0)
			return;
		usleep(10000);
	}
	CHECK(!"nothing was flushed");
}

static void
te46_background(void)
{
	RefDb r;

	open_in_background(&r, 1000);
	ref_put(&r, "bg", 1, "v");
	wait_for_flush(&r);
	CHECK(ref_sstables(&r) == 1);
	ref_reopen(&r);
	CHECK(ref_count(&r) == 1);
	ref_close(&r);
}

static void
te49_no_compaction_yet(void)
{
	RefDb r;

	open_in_background(&r, 999999);
	for (int i = 0; i < 5; i++)
	{
		ref_put(&r, "k", i, "v");
		wait_for_flush(&r);
	}
	usleep(200000);
	CHECK(ref_sstables(&r) >= 4);
	CHECK(ref_count(&r) == 5);
	ref_close(&r);
}

/* -------------------------------------------------------------------- rest */

static void
te29_read_options(void)
{
	RefDb r;
	FlowScanSpec spec;
	FlowScan *scan;
	FlowRecord row;

	ref_open(&r);
	ref_put(&r, "x", 1, "v");
	for (int flushed = 0; flushed < 2; flushed++)
	{
		spec = ref_spec(&r);
		spec.no_fill_cache = spec.no_verify = true;
		CHECK_OK(flow_scan_open(r.db, &spec, &scan));
		CHECK_OK(flow_scan_row(scan, &row));
		CHECK(row.key_bytes == 1 && row.ts == 1);
		CHECK_STATUS(flow_scan_row(scan, &row), FLOW_END);
		flow_scan_close(scan);
		CHECK_OK(flow_flush(r.db, NULL));
	}
	ref_close(&r);
}

static void
te35_empty_batches(void)
{
	RefDb r;
	FlowStats before, after;
	FlowWriteOptions opts = {.has_ttl = true, .ttl_secs = 1};

	ref_open(&r);
	flow_stats(r.db, &before);
	CHECK_OK(flow_write_batch(r.db, r.store, NULL, 0, NULL));
	CHECK_OK(flow_write_batch(r.db, r.store, NULL, 0, &opts));
	CHECK_OK(flow_delete_batch(r.db, r.store, NULL, 0, NULL));
	flow_stats(r.db, &after);
	CHECK(after.records_written == before.records_written);
	CHECK(after.oldest_unflushed == before.oldest_unflushed);
	ref_close(&r);
}

static void
te42_flush_of_nothing(void)
{
	RefDb r;
	FlowFlushReport report;

	ref_open(&r);
	CHECK_OK(flow_flush(r.db, NULL));
	CHECK_OK(flow_flush(r.db, &report));
	CHECK(report.sstables == 0 && report.records == 0);
	CHECK(ref_sstables(&r) == 0);
	ref_close(&r);
}

static void
te64_metrics(void)
{
	RefDb r;
	FlowStats stats;
	const char *name = "db";
	char *text;

	ref_open(&r);
	ref_put(&r, "k", 1, "v");
	flow_stats(r.db, &stats);
	CHECK_OK(flow_metrics_text(r.env, &name, &stats, 1, &text));
	CHECK(strstr(text, "flowdb_") != NULL);
	CHECK(strstr(text, "database=\"db\"") != NULL);
	r.env->free(r.env, text);
	ref_close(&r);
}

static void
te69_options_are_checked(void)
{
	RefDb r;

	ref_open(&r);
	ref_shut(&r);
	r.opts.zstd_level = 0;
	CHECK_STATUS(ref_try_open(&r), FLOW_INVALID);
	r.opts.zstd_level = 1;
	CHECK_OK(ref_try_open(&r));
	ref_close(&r);
}

static uint64_t
index_bytes(const RefDb *r)
{
	char command[128];
	unsigned long long bytes = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "cat ./%s/INDEX/* | wc -c", r->dir);
	pipe = popen(command, "r");
	CHECK(pipe != NULL && fscanf(pipe, "%llu", &bytes) == 1);
	pclose(pipe);
	return bytes;
}

/* 600 flushes, of which each file but five goes: the manifest stays small */
static void
te74_manifest_snapshot(void)
{
	RefDb r;
	FlowRecord rec = ref_record("k", 0, "v");
	uint64_t purged;

	ref_open(&r);
	for (int i = 0; i < 600; i++)
	{
		rec.ts = i;
		rec.expire_at = REF_NOW + i + 6;
		ref_clock = REF_NOW + i;
		CHECK_OK(flow_write_batch(r.db, r.store, &rec, 1, NULL));
		CHECK_OK(flow_flush(r.db, NULL));
		CHECK_OK(flow_gc(r.db, &purged));
	}
	CHECK(ref_sstables(&r) <= 10);
	ref_reopen(&r);
	CHECK(ref_sstables(&r) <= 10);
	CHECK(index_bytes(&r) < 100000);
	CHECK(ref_count(&r) == 6);
	ref_close(&r);
}

static const RefCase cases[] = {
	{"TE01", NULL,
	 "W key1@100 key2@200 key3@300; P key1 -> key1@100; GET key2@200 -> "
	 "key2@200=\1\2\3; GET key2@201 ->"},
	{"TE03", NULL, "W a@100 b@200 c@300; T 150 300 -> b@200 c@300"},
	{"TE05", NULL,
	 "W exp@100!1; P exp ->; GET exp@100 ->; LATEST exp ->; ALL ->"},
	{"TE06", NULL, "FILL key_%04d 50 10; F; P key_ -> #50"},
	{"TE08", NULL, "W a@100 b@200; R; P a -> a@100; P b -> b@200"},
	{"TE10 TE79", NULL,
	 "FILL compact_0-%d 5 1; F; FILL compact_1-%d 5 1; F;"
	 "FILL compact_2-%d 5 1; F; FILL compact_3-%d 5 1; F;"
	 "FILL compact_4-%d 5 1; F; FILL compact_5-%d 5 1; F;"
	 "FILL compact_6-%d 5 1; F; FILL compact_7-%d 5 1; F;"
	 "FILL compact_8-%d 5 1; F; FILL compact_9-%d 5 1; F;"
	 "C; P compact_ -> #50"},
	{"TE12", NULL,
	 "W a@100 b@200 c@300 d@400; DR b d; K a d -> a@100 d@400; GET b@200 ->;"
	 "LATEST c ->; P b ->; T 100 400 -> a@100 d@400"},
	{"TE14", NULL,
	 "FILL st_0-%d 5 1; F; FILL st_1-%d 5 1; F; FILL st_2-%d 5 1; F;"
	 "FILL st_3-%d 5 1; F; FILL st_4-%d 5 1; F; FILL st_5-%d 5 1; F;"
	 "C; P st_ -> #30"},
	{"TE16", NULL,
	 "W alpha@100 alpha@200 beta@150; P alpha -> alpha@100 alpha@200"},
	{"TE18", NULL, "W a@1 b@2 c@3; ALL -> a@1 b@2 c@3"},
	{"TE19", NULL, "W a@1 b@2 c@3 d@4; K b c -> b@2 c@3"},
	{"TE21", NULL, "FILL key_%04d 50 10; P key_ -> #50; T 0 1000 -> #50"},
	{"TE22", NULL, "W s1@1 s2@2 s3@3; F; P s -> s1@1 s2@2 s3@3"},
	{"TE24", NULL, "W a@1; P nonexistent ->"},
	{"TE25", NULL,
	 "W key1@100 key1@300 key1@200 key2@500; LATEST key1 -> key1@300;"
	 "LATEST key2 -> key2@500; LATEST nonexistent ->"},
	{"TE27", NULL,
	 "W sst_latest@100 sst_latest@500 sst_latest@300; F;"
	 "LATEST sst_latest -> sst_latest@500"},
	{"TE29", te29_read_options, NULL},
	{"TE32", te32_flush_beside_get, NULL},
	{"TE33", NULL,
	 "FILL bloom_key_%04d 200 1; F; R; GET bloom_key_0000@0 -> "
	 "bloom_key_0000@0; GET bloom_key_0199@199 -> bloom_key_0199@199;"
	 "GET bloom_key_9999@0 ->; P bloom_key_ -> #200"},
	{"TE35 TE36 TE52", te35_empty_batches, NULL},
	{"TE37 TE55", NULL, "GET no_such_key@0 ->; W a@1; GET no_such_key@0 ->"},
	{"TE39", NULL, "W a@1 z@2; DR \"\" z; ALL -> z@2"},
	{"TE41", NULL, "LATEST nonexistent ->; W a@1; LATEST missing ->"},
	{"TE42", te42_flush_of_nothing, NULL},
	{"TE43", NULL, "ALL ->"},
	{"TE45", NULL, "K z zzz ->"},
	{"TE46 TE47", te46_background, NULL},
	{"TE49", te49_no_compaction_yet, NULL},
	{"TE50", NULL, "W owned1@1 owned2@2; GET owned1@1 -> owned1@1"},
	{"TE53 TE54", NULL,
	 "TTL 4294967295 ttl1@1; GET ttl1@1 -> ttl1@1!4294967295000001"},
	{"TE59", NULL,
	 "W k1@10 k1@20 k2@30; P k1 -> #2; T 0 100 -> #3; PT k1 0 100 -> #2;"
	 "KT k1 k2 0 100 -> #3; KT k1 k2 20 29 -> k1@20"},
	{"TE60", NULL, "W c1@1 c2@2; PT c 0 100 -> c1@1 c2@2"},
	{"TE62", NULL, "W ss@7; F; GET ss@7 -> ss@7=\1\2\3"},
	{"TE64", te64_metrics, NULL},
	{"TE65", NULL, "W fa@1 fb@2; F; ALL -> fa@1 fb@2"},
	{"TE67", NULL,
	 "W rd@100=data; DEL rd@100; GET rd@100 ->; LATEST rd ->; ALL ->;"
	 "W rd@100=again; GET rd@100 -> rd@100=again"},
	{"TE69", te69_options_are_checked, NULL},
	{"TE74", te74_manifest_snapshot, NULL},
	{"TE76", NULL, "W a@100 b@200; P \"\" -> a@100 b@200"},
	{"TE77", NULL, "FILL key_%d 50 1; F; P key_ -> #50"},
	{"TE80", NULL,
	 "W gc@1!1700000000000005; F; NOW 1700000000000006; GC 1; ALL ->;"
	 "W gc@1; ALL -> gc@1"},
	{"TE82", te82_concurrent_writes, NULL},
	{"TE84", NULL, "FILL scan_%03d 30 1; F; P scan_ -> #30; ALL -> #30"},
	{"TE87", NULL,
	 "FILL dr_%03d 20 1; F; DR dr_005 dr_015; P dr_ -> dr_000@0 dr_001@1 "
	 "dr_002@2 dr_003@3 dr_004@4 dr_015@15 dr_016@16 dr_017@17 dr_018@18 "
	 "dr_019@19; LATEST dr_010 ->; GET dr_005@5 ->"},
	{"TE88", NULL,
	 "FILL bf_%03d 50 1; F; LATEST bf_025 -> bf_025@25;"
	 "LATEST nonexistent ->"},
	/* rules of part 1 that the reference tests nowhere */
	{"F04", NULL,
	 "W p@5!1700000000000009=old; PATCH p@5=new; GET p@5 -> "
	 "p@5!1700000000000009=new;"
	 "PATCH p@5 1800000000; GET p@5 -> p@5!1800000000000005=new;"
	 "PATCH p@5; GET p@5 -> p@5!1800000000000005=new"},
	{"E02", NULL,
	 "W k@1 k@2!1 k@3; DEL k@3; LATEST k -> k@1; W k@9000000000000000000;"
	 "LATEST k -> k@9000000000000000000"},
	{"E12 E13", NULL,
	 "W k@-9223372036854775808 k@9223372036854775807 l@0;"
	 "T -9223372036854775808 -1 -> k@-9223372036854775808;"
	 "T 1 9223372036854775807 -> k@9223372036854775807;"
	 "T -9223372036854775808 9223372036854775807 -> #3"},
};

REF_MAIN(cases)
