/*-------------------------------------------------------------------------
 * sst_cache_test.c
 *	  SSTables and the block cache: what goes in, what is pinned, pauses.
 *
 * The iterators' part is tested with and without a cache.
 *-------------------------------------------------------------------------
 */
#include "../sst_format.h"
#include "dbtest.h"
#include "ssts.h"

static uint64_t
pinned(void)
{
	FlowCacheStats stats;

	flowi_cache_stats(env, &stats);
	return stats.pinned;
}

static uint64_t
pieces(void)
{
	FlowCacheStats stats;

	flowi_cache_stats(env, &stats);
	return stats.pieces;
}

/* Go through rows with pauses, seeks out of pauses, and a cache that forgets
 * the file meanwhile. */
static void
walk(FlowSstReader *r, const Rows *rows, CheckRandom *rnd, bool reverse)
{
	FlowSstIterOptions o = ssts_all(reverse);
	FlowSeek to = {.unbounded = true};
	FlowIter *it;
	uint32_t i = 0;
	FlowStatus st;

	o.no_fill_cache = check_below(rnd, 4) == 0;
	o.no_verify = check_below(rnd, 4) == 0;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	CHECK_OK(flowi_sst_iter_resume(it)); /* stands nowhere */
	st = it->seek(it, &to);
	for (int step = 0; step < 400; step++)
	{
		CHECK(st == (i < rows->n ? FLOW_OK : FLOW_END));
		if (check_below(rnd, 5) == 0)
		{
			flowi_sst_iter_pause(it);
			CHECK(pinned() == 0);
			if (check_below(rnd, 3) == 0)
				flowi_cache_forget(env, SPACE, ID);
			if (check_below(rnd, 3) == 0)
				flowi_sst_iter_pause(it);
			if (check_below(rnd, 3) > 0)
				CHECK_OK(flowi_sst_iter_resume(it));
			else
				st = FLOW_END; /* so that a seek comes next */
		}
		if (st == FLOW_OK)
		{
			ssts_check_rec(it, &rows->rec[rows->order[reverse][i]]);
			i++;
			st = it->next(it);
		}
		if (st == FLOW_END || check_below(rnd, 10) == 0)
		{
			rows_random_seek(rows, rnd, &to);
			i = rows_find(rows, reverse, &to);
			st = it->seek(it, &to);
		}
	}
	it->free(it);
	CHECK(pinned() == 0);
}

static void
test_pauses(CheckRandom *rnd)
{
	for (int round = 0; round < 100; round++)
	{
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(rnd, 600),
						 .nkeys = 1 + (uint32_t) check_below(rnd, 40),
						 .key_max = 20,
						 .value_max = 100,
						 .mortal_percent = 20};
		Rows rows;
		FlowSstReader *r;

		sst_spec.shape = NULL;
		if (check_below(rnd, 2))
			ssts_use_columns(&spec, rnd);
		rows_make(&rows, rnd, &spec);
		sst_spec.segment_blocks = (uint32_t) check_below(rnd, 5);
		sst_spec.compression = (FlowCompression) check_below(rnd, 3);
		CHECK_OK(ssts_write(&rows, NULL, NULL));
		CHECK_OK(ssts_open(&r));
		walk(r, &rows, rnd, false);
		walk(r, &rows, rnd, true);
		CHECK_OK(ssts_ask_filters(r, &rows));
		CHECK(pinned() == 0);
		flowi_sst_close(r);
		rows_free(&rows);
	}
	ssts_usual_spec();
	check_passed("pauses, seeks out of pauses, a cache that forgets");
}

/* A resume costs nothing while the block is there, and one read else; the
 * same block is not decoded again for a seek into it. */
static void
test_resume(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSstIterStats stats = {0};
	FlowSstIterOptions o = ssts_all(false);
	FlowSeek to = {.key = (const uint8_t *) "host", .key_bytes = 4};
	FlowIter *it;

	ssts_make_series(&rows, 1000, 100);
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	o.stats = &stats;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	to.ts = rows.rec[500].ts;
	CHECK_OK(it->seek(it, &to));
	for (int i = 0; i < 10; i++)
	{
		flowi_sst_iter_pause(it);
		CHECK(it->cur.ts == to.ts && it->cur.seq == rows.rec[500].seq);
		CHECK_OK(flowi_sst_iter_resume(it));
		ssts_check_rec(it, &rows.rec[500]);
		flowi_sst_iter_pause(it);
		CHECK_OK(it->seek(it, &to));
		ssts_check_rec(it, &rows.rec[500]);
	}
	CHECK(stats.blocks_read == 1);
	flowi_sst_iter_pause(it);
	flowi_cache_forget(env, SPACE, ID);
	CHECK_OK(flowi_sst_iter_resume(it));
	CHECK(stats.blocks_read == (2));
	ssts_check_rec(it, &rows.rec[500]);
	CHECK_OK(it->next(it));
	ssts_check_rec(it, &rows.rec[501]);

	/* a resume that fails leaves an iterator that can seek */
	flowi_sst_iter_pause(it);
	flowi_cache_forget(env, SPACE, ID);
	flow_env_posix_fail(env, FLOW_POSIX_READ, 1, UINT64_MAX, 5);
	CHECK_STATUS(flowi_sst_iter_resume(it), FLOW_IOERR);
	flow_env_posix_fail(env, FLOW_POSIX_READ, 1, 0, 0);
	CHECK_OK(it->seek(it, &to));
	ssts_check_rec(it, &rows.rec[500]);
	it->free(it);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("resume");
}

static FlowSstIterStats
scan(FlowSstReader *r, const Rows *rows, bool no_fill, bool no_verify)
{
	FlowSstIterStats stats = {0};
	FlowSstIterOptions o = ssts_all(false);
	FlowStatus st;
	FlowIter *it;
	uint32_t i = 0;

	o.no_fill_cache = no_fill;
	o.no_verify = no_verify;
	o.stats = &stats;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
		 st = it->next(it))
		ssts_check_rec(it, &rows->rec[i++]);
	CHECK(st == FLOW_END && i == rows->n);
	it->free(it);
	CHECK(pinned() == 0);
	return stats;
}

static void
test_fill(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSstIterStats stats;
	uint64_t before, leaves, reads;

	ssts_make_series(&rows, 1000, 100);
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	before = pieces();
	stats = scan(r, &rows, true, false);
	CHECK(pieces() == before && stats.cache_hits == 0);
	stats = scan(r, &rows, false, true);
	leaves = pieces() - before; /* but no block that was not verified */
	CHECK(leaves >= 1 && leaves <= 1 + stats.blocks_read / 128);
	CHECK(stats.cache_hits == 0);
	stats = scan(r, &rows, false, false);
	CHECK(pieces() == before + leaves + stats.blocks_read);
	CHECK(stats.cache_hits == 0);
	reads = flow_env_posix_calls(env, FLOW_POSIX_READ);
	stats = scan(r, &rows, false, false);
	CHECK(stats.cache_hits == stats.blocks_read && stats.blocks_read > 100);
	stats = scan(r, &rows, true, true);
	CHECK(stats.cache_hits == stats.blocks_read);
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_READ) == reads);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("what is read goes into the cache, and comes from there");
}

/* A byte of a value, in a block that is not compressed. */
static void
test_no_verify(void)
{
	static const char mark[] = "the value that changes";
	Rows rows;
	FlowSstReader *r;
	FlowSstIterOptions o = ssts_all(false);
	FlowIter *it;
	FILE *f;
	long at = 0;

	ssts_make_series(&rows, 3, sizeof(mark));
	memcpy((uint8_t *) rows.rec[1].value, mark, sizeof(mark));
	sst_spec.compression = FLOW_COMPRESS_NONE;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	f = fopen(path, "r+b");
	CHECK(f != NULL);
	for (;; at++)
	{
		char got[sizeof(mark)];

		CHECK(fseek(f, at, SEEK_SET) == 0 &&
			  fread(got, sizeof(got), 1, f) == 1);
		if (memcmp(got, mark, sizeof(mark)) == 0)
			break;
	}
	CHECK(fseek(f, at, SEEK_SET) == 0 && fputc('T', f) == 'T');
	CHECK(fclose(f) == 0);
	CHECK_OK(ssts_open(&r));
	for (int i = 0; i < 3; i++)
	{
		o.no_verify = i == 1;
		CHECK_OK(flowi_sst_iter(r, &o, &it));
		CHECK_STATUS(it->seek(it, &(FlowSeek){.unbounded = true}),
					 o.no_verify ? FLOW_OK : FLOW_CORRUPT);
		if (o.no_verify)
		{
			CHECK_OK(it->next(it));
			CHECK(it->cur.value[0] == 'T' && it->cur.value[1] == 'h');
		}
		it->free(it);
	}
	flowi_sst_close(r);
	rows_free(&rows);
	ssts_usual_spec();
	check_passed("checksums that are not compared, and no such block cached");
}

static size_t
key_of_row(int i, char key[16])
{
	return (size_t) snprintf(key, 16, "host_%06d", i);
}

/* Point lookups of a database leave nothing pinned. */
static void
test_gets(void)
{
	FlowCacheStats stats;
	TestDb t;
	uint32_t store;

	test_open(&t, 16 << 20, 1 << 20);
	store = test_store(&t, "s");
	for (int file = 0; file < 3; file++)
	{
		for (int i = 0; i < 2000; i++)
		{
			char key[16];
			FlowRecord rec = {key, key_of_row(i, key), file, FLOW_NEVER, "v",
							  1};

			CHECK_OK(flow_write_batch(t.db, store, &rec, 1, NULL));
		}
		CHECK_OK(flow_flush(t.db, NULL));
	}
	for (int i = 0; i < 3000; i++)
	{
		FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};
		const FlowVector *vec;
		FlowScan *s;
		char key[16];
		size_t n = key_of_row(i % 2500, key);
		FlowStatus st = flow_get(t.db, &spec, key, n, i % 3, &s, &vec);

		CHECK(st == (i % 2500 < 2000 ? FLOW_OK : FLOW_NOTFOUND));
		flowi_cache_stats(t.env, &stats);
		CHECK(stats.pinned == 0);
		if (st == FLOW_OK)
			flow_scan_close(s);
	}
	test_close(&t);
	check_passed("lookups pin nothing");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	ssts_begin("sst_cache_test", 4 << 20);
	test_pauses(&rnd);
	test_resume();
	test_fill();
	test_no_verify();
	test_gets();
	ssts_end();
	return 0;
}
