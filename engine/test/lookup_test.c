/*-------------------------------------------------------------------------
 * lookup_test.c
 *	  Lookups of one row: what an SSTable tells of one without an iterator,
 *	  and get and latest against scans, over stores of everything there is.
 *
 *	 lookup_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "../db.h"
#include "../sst_reader.h"
#include "dbtest.h"
#include "ssts.h"

/* --------------------------------------------------------------- SSTables */

/* Is what the file tells right?  Counts what it tells into found. */
static void
check_point(FlowSstReader *r, const Rows *rows, const FlowSeek *to, bool last,
			uint64_t found[3])
{
	FlowSstIterOptions o = ssts_all(false);
	uint32_t row = rows_find_one(rows, to, last);
	FlowSstPoint point;
	FlowPeek got;
	bool may;

	CHECK_OK(flowi_sst_may_contain(r, to->key, to->key_bytes, &o, &may));
	CHECK(may || row == rows->n);
	if (!may)
		return;
	CHECK_OK(flowi_sst_point(r, to, last, &point, &got));
	found[got]++;
	/* a later seek, for another key, must not begin there */
	CHECK(got == FLOW_PEEK_UNSURE || r->asked_seg == FLOW_NO_SEGMENT);
	if (got == FLOW_PEEK_ROW)
	{
		CHECK(row < rows->n && point.rec.txn == NULL);
		rows_check_rec(&point.rec, &rows->rec[row]);
	}
	CHECK(got != FLOW_PEEK_NONE || row == rows->n);
	flowi_sst_point_end(r, &point);
	ssts_check_unpinned();
}

/* Read all of it, so that the cache has what fits. */
static void
fill_cache(FlowSstReader *r)
{
	FlowSstIterOptions o = ssts_all(false);
	FlowSeek to = {.unbounded = true};
	FlowStatus st;
	FlowIter *it;

	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		;
	CHECK_STATUS(st, FLOW_END);
	it->free(it);
}

static void
test_points(CheckRandom *rnd, uint32_t rounds)
{
	uint64_t found[3] = {0};

	ssts_begin("lookup_test", 8 << 20);
	for (uint32_t round = 0; round < rounds; round++)
	{
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(rnd, 2000),
						 .nkeys = 1 + (uint32_t) check_below(rnd, 60),
						 .key_max = check_below(rnd, 2) ? 8 : 40,
						 .value_max = 100,
						 .extreme = check_below(rnd, 2),
						 .tomb_percent = 20 * (uint32_t) check_below(rnd, 2),
						 .mortal_percent = 50 * (uint32_t) check_below(rnd, 3)};
		FlowSstReader *r;
		Rows rows;

		sst_spec.shape = NULL;
		if (check_below(rnd, 4) == 0)
			ssts_use_columns(&spec, rnd);
		sst_spec.segment_blocks = (uint32_t) check_below(rnd, 6);
		rows_make(&rows, rnd, &spec);
		CHECK_OK(ssts_write(&rows, NULL, NULL));
		CHECK_OK(ssts_open(&r));
		if (check_below(rnd, 4) > 0)
			fill_cache(r);
		for (int i = 0; i < 400; i++)
		{
			FlowSeek to;

			rows_random_seek(&rows, rnd, &to);
			to.after = to.unbounded = false;
			check_point(r, &rows, &to, check_below(rnd, 2), found);
			if (i == 300)
				flowi_cache_forget(env, SPACE, ID);
		}
		flowi_sst_close(r);
		rows_free(&rows);
	}
	ssts_end();
	/* each of the three was there, and most are told at once */
	CHECK(found[FLOW_PEEK_ROW] > 40 * rounds);
	CHECK(found[FLOW_PEEK_NONE] > rounds && found[FLOW_PEEK_UNSURE] > rounds);
	check_passed("points of SSTables");
}

/* A key whose rows end with a block, or with a segment, or with the file, has
 * its last row before where a search for its end arrives. */
static void
test_ends(void)
{
	uint64_t found[3] = {0};
	FlowSstReader *r;
	Rows rows;

	ssts_begin("lookup_test", 8 << 20);
	sst_spec.segment_blocks = 2;
	ssts_make_series(&rows, 600, 100);
	/* six keys of a hundred rows: of some the last one ends a block */
	for (uint32_t i = 0; i < rows.n; i++)
		((uint8_t *) rows.rec[i].key)[3] = (uint8_t) ('a' + i / 100);
	for (uint32_t block_bytes = 1100; block_bytes < 2400; block_bytes += 116)
	{
		sst_spec.block_bytes = block_bytes;
		CHECK_OK(ssts_write(&rows, NULL, NULL));
		CHECK_OK(ssts_open(&r));
		fill_cache(r);
		for (int again = 0; again < 3; again++)
			for (uint32_t i = 0; i < rows.n; i += 50)
			{
				FlowSeek to = {.key = rows.rec[i].key,
							   .key_bytes = 4,
							   .ts = rows.rec[i].ts};

				found[FLOW_PEEK_UNSURE] *= again < 2;
				check_point(r, &rows, &to, true, found);
				check_point(r, &rows, &to, false, found);
			}
		CHECK(found[FLOW_PEEK_UNSURE] == 0);
		flowi_sst_close(r);
	}
	CHECK(found[FLOW_PEEK_NONE] == 0);
	rows_free(&rows);
	ssts_end();
	check_passed("keys that end with a block");
}

/* Long keys whose first bytes do not tell them apart, or of which one
 * fills many blocks: once the cache has all, each row is told at once. */
static void
check_keys(const char *format, uint32_t factor, uint32_t nkeys)
{
	enum
	{
		ROWS = 1200
	};
	uint64_t found[3] = {0};
	FlowSstReader *r;
	char key[64];
	Rows rows;

	ssts_make_series(&rows, ROWS, 20);
	for (uint32_t i = 0; i < ROWS; i++)
	{
		FlowRec *rec = &rows.rec[i];
		uint32_t k = i / (ROWS / nkeys);
		int n = snprintf(key, sizeof(key), format, k * factor, k * factor);

		free((void *) rec->key);
		rec->key = rows_alloc((size_t) n);
		rec->key_bytes = (uint32_t) n;
		memcpy((uint8_t *) rec->key, key, (size_t) n);
	}
	qsort(rows.rec, ROWS, sizeof(FlowRec), rows_cmp_recs);
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	fill_cache(r);
	for (int again = 0; again < 3; again++)
		for (uint32_t i = 0; i < ROWS; i++)
		{
			FlowSeek to = {.key = rows.rec[i].key,
						   .key_bytes = rows.rec[i].key_bytes,
						   .ts = rows.rec[i].ts};

			found[FLOW_PEEK_UNSURE] *= again == 2;
			check_point(r, &rows, &to, true, found);
			check_point(r, &rows, &to, false, found);
			to.ts++;
			check_point(r, &rows, &to, false, found);
		}
	CHECK(found[FLOW_PEEK_UNSURE] == 0);
	CHECK(found[FLOW_PEEK_ROW] > 4 * ROWS && found[FLOW_PEEK_NONE] >= 2 * ROWS);
	flowi_sst_close(r);
	rows_free(&rows);
}

static void
test_long_keys(void)
{
	static const char *const formats[] = {
		"%08x-9a4c-4f0e-8d5b-0123456789ab",
		"550e8400-e29b-41d4-a716-44665544%04x",
		"host=web-%03u,region=eu,metric=cpu-%u", "%02u-all-the-same-behind-%u"};

	ssts_begin("lookup_test", 8 << 20);
	for (int blocks = 0; blocks < 8; blocks += 4)
		for (uint32_t nkeys = 1; nkeys <= 300; nkeys = nkeys * 4 - 1)
			for (size_t f = 0; f < 4; f++)
			{
				sst_spec.segment_blocks = (uint32_t) blocks;
				check_keys(formats[f], f ? 1 : 2654435761u, nkeys);
			}
	ssts_end();
	check_passed("long keys");
}

static FlowPeek
ask(FlowSstReader *r, const FlowRec *rec)
{
	FlowSeek to = {.key = rec->key, .key_bytes = rec->key_bytes, .ts = rec->ts};
	FlowSstIterOptions o = ssts_all(false);
	FlowSstPoint point;
	FlowPeek found;
	bool may;

	CHECK_OK(flowi_sst_may_contain(r, to.key, to.key_bytes, &o, &may));
	CHECK(may);
	CHECK_OK(flowi_sst_point(r, &to, false, &point, &found));
	flowi_sst_point_end(r, &point);
	return found;
}

/* Readers that share have so much room for indexes and no more.  Without it,
 * or without memory, a lookup iterates, until there is some. */
static void
test_index_room(void)
{
	FlowSstShared shared = {.index_bytes = 4 << 20};
	FlowRegion *region;
	FlowSstReader *r;
	Rows rows;

	ssts_begin("lookup_test", 8 << 20);
	ssts_make_series(&rows, 600, 100);
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	flowi_codec_init(&shared.codec, env);
	flowi_sst_share(r, &shared);
	fill_cache(r);
	for (int i = 0; i < 3; i++)
		CHECK(ask(r, &rows.rec[10]) == FLOW_PEEK_UNSURE);
	CHECK(shared.index_bytes == 4 << 20);
	shared.index_bytes = 0;
	region = env->region;
	env->region = NULL; /* no block cache */
	CHECK(ask(r, &rows.rec[10]) == FLOW_PEEK_UNSURE);
	CHECK(shared.index_bytes == 0);
	env->region = region;
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 1, 0);
	CHECK(ask(r, &rows.rec[10]) == FLOW_PEEK_UNSURE);
	CHECK(shared.index_bytes == 0);
	CHECK(ask(r, &rows.rec[10]) == FLOW_PEEK_ROW);
	CHECK(shared.index_bytes > 0);
	flowi_sst_close(r);
	CHECK(shared.index_bytes == 0);
	flowi_codec_free(&shared.codec);
	rows_free(&rows);
	ssts_end();
	check_passed("room for indexes");
}

/* ----------------------------------------------------------------- stores */

#define NKEYS 40
#define NTS 60
#define NOW 1000
#define NXIDS 64

static TestDb t;
static uint32_t store;
static char keys[NKEYS][64];
static FlowTxnState state[NXIDS];

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	*statep = state[xid];
	return FLOW_OK;
}

/* A snapshot that sees every second of the transactions that committed. */
static bool
sees_some(void *arg, FlowTxn *txn)
{
	(void) arg;
	return state[txn->xid] == FLOW_TXN_COMMITTED && txn->xid % 2 == 0;
}

static void
make_keys(CheckRandom *rnd)
{
	for (uint32_t i = 0; i < NKEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "%.*s%02u",
				 (int) check_below(rnd, 3) * 12, "a/prefix/that/many/keys/have",
				 i);
}

static void
put_some(CheckRandom *rnd, FlowTxBuf *buf, uint64_t xid)
{
	uint32_t n = 1 + (uint32_t) check_below(rnd, 30);

	for (uint32_t i = 0; i < n; i++)
	{
		const char *key = keys[check_below(rnd, NKEYS)];
		int64_t ts = (int64_t) check_below(rnd, NTS);
		FlowOp op = check_below(rnd, 6) ? FLOW_PUT : FLOW_DELETE;
		int64_t expire_at = FLOW_NEVER;
		char value[80];
		int bytes = snprintf(value, sizeof(value), "%" PRIu64 " %.*s",
							 check_random(rnd), (int) check_below(rnd, 40),
							 "{\"key\":\"value\",\"other\":\"thing\"}");

		if (op == FLOW_PUT && check_below(rnd, 8) == 0)
			expire_at = NOW - 2 + (int64_t) check_below(rnd, 5);
		CHECK_OK(flow_txbuf_add(buf, op, store, key, strlen(key), ts, expire_at,
								value, op == FLOW_PUT ? (size_t) bytes : 0, xid,
								0));
	}
}

static void
delete_some(CheckRandom *rnd, FlowTxBuf *buf, uint64_t xid)
{
	const char *lo = keys[check_below(rnd, NKEYS)];
	const char *hi = keys[check_below(rnd, NKEYS)];
	FlowRect rect = {.key_lo = (const uint8_t *) lo,
					 .key_lo_bytes = (uint32_t) strlen(lo),
					 .ts_lo = (int64_t) check_below(rnd, NTS),
					 .ts_hi = INT64_MAX};

	if (check_below(rnd, 2))
		rect.ts_hi = rect.ts_lo + (int64_t) check_below(rnd, 10);
	rect.key_hi = (const uint8_t *) hi;
	rect.key_hi_bytes = (uint32_t) strlen(hi);
	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, xid, 0));
}

static void
write_some(CheckRandom *rnd)
{
	uint64_t xid = check_below(rnd, 3) ? 0 : 1 + check_below(rnd, NXIDS - 1);
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t.env, &buf));
	if (check_below(rnd, 12) == 0)
		delete_some(rnd, buf, xid);
	else
		put_some(rnd, buf, xid);
	CHECK_OK(flow_txbuf_push(buf, t.db));
	flow_txbuf_free(buf);
}

/* What a lookup gave has to be the scan's row; both are closed. */
static void
check_same(FlowStatus st, FlowScan *got, const FlowVector *vec,
		   const FlowScanSpec *spec)
{
	const FlowVector *want;
	FlowScan *scan;
	FlowStatus scan_st;

	CHECK_OK(flow_scan_open(t.db, spec, &scan));
	scan_st = flow_scan_next(scan, 1, &want);
	CHECK(scan_st == FLOW_OK ? st == FLOW_OK
							 : scan_st == FLOW_END && st == FLOW_NOTFOUND);
	CHECK((st == FLOW_OK) == (got != NULL));
	if (st == FLOW_OK)
	{
		CHECK(vec->nrows == 1 && flow_scan_stats(got)->rows == 1);
		CHECK(vec->ts[0] == want->ts[0]);
		CHECK(vec->expire_at[0] == want->expire_at[0]);
		CHECK(vec->key_bytes[0] == want->key_bytes[0] &&
			  memcmp(vec->key[0], want->key[0], want->key_bytes[0]) == 0);
		CHECK(vec->value_bytes[0] == want->value_bytes[0] &&
			  (spec->keys_only || memcmp(vec->value[0], want->value[0],
										 want->value_bytes[0]) == 0));
	}
	flow_scan_close(got);
	flow_scan_close(scan);
}

static void
look_up(CheckRandom *rnd, FlowScanSpec spec)
{
	const char *key = keys[check_below(rnd, NKEYS)];
	int64_t ts = (int64_t) check_below(rnd, NTS);
	const FlowVector *vec;
	uint32_t queries = t.db->queries;
	FlowScan *got;
	FlowStatus st;

	if (check_below(rnd, 2))
	{
		st = flow_get(t.db, &spec, key, strlen(key), ts, &got, &vec);
		flow_spec_time_range(&spec, ts, ts);
	}
	else
	{
		st = flow_get_latest(t.db, &spec, key, strlen(key), &got, &vec);
		spec.reverse = true;
		spec.limit = 1;
	}
	CHECK(t.db->queries == queries + 1);
	flow_spec_key_range(&spec, key, strlen(key), key, strlen(key));
	check_same(st, got, vec, &spec);
}

static void
check_lookups(CheckRandom *rnd)
{
	FlowTxBuf *own = NULL;

	if (check_below(rnd, 4) == 0)
	{
		CHECK_OK(flow_txbuf_create(t.env, &own));
		put_some(rnd, own, NXIDS);
	}
	for (int i = 0; i < 200; i++)
	{
		FlowScanSpec spec = {.store_id = store,
							 .now = check_below(rnd, 4) ? NOW : INT64_MIN,
							 .keys_only = check_below(rnd, 8) == 0,
							 .no_fill_cache = check_below(rnd, 8) == 0,
							 .no_verify = check_below(rnd, 8) == 0};

		if (check_below(rnd, 2))
			spec.visible = sees_some;
		if (check_below(rnd, 2) && own)
		{
			spec.own = own;
			spec.own_cid = 1;
		}
		look_up(rnd, spec);
	}
	flow_txbuf_free(own);
}

static void
test_stores(CheckRandom *rnd, uint32_t rounds)
{
	test_open(&t, 16 << 20, 1 << 20);
	flow_env_posix_set_outcome(t.env, outcome, NULL);
	for (uint32_t round = 0; round < rounds; round++)
	{
		char name[16];

		snprintf(name, sizeof(name), "s%u", round);
		store = test_store(&t, name);
		make_keys(rnd);
		for (uint32_t i = 1; i < NXIDS; i++)
			state[i] = FLOW_TXN_UNKNOWN;
		for (int step = 0; step < 60; step++)
		{
			bool ran;

			for (uint64_t n = check_below(rnd, 10); n > 0; n--)
				write_some(rnd);
			if (check_below(rnd, 4) == 0)
				CHECK_OK(flow_flush(t.db, NULL));
			if (check_below(rnd, 10) == 0)
				CHECK_OK(flow_compact(t.db, store, &ran));
			if (check_below(rnd, 3) == 0)
				state[1 + check_below(rnd, NXIDS - 1)] =
					check_below(rnd, 3) ? FLOW_TXN_COMMITTED : FLOW_TXN_ABORTED;
			if (check_below(rnd, 3) == 0)
				check_lookups(rnd);
		}
	}
	test_close(&t);
	check_passed("lookups find what scans find");
}

/* A plain lookup of a block in the cache needs no iterator: it is counted as a
 * hit, and nothing is pinned afterwards. */
static void
test_counts(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	const FlowVector *vec;
	FlowScan *scan;

	test_open(&t, 16 << 20, 4 << 20);
	spec.store_id = store = test_store(&t, "s");
	for (int i = 0; i < 3000; i++)
	{
		char key[16], value[32];

		snprintf(key, sizeof(key), "k%03d", i % 100);
		snprintf(value, sizeof(value), "%d", i);
		test_put(&t, store, key, i / 100, value);
	}
	CHECK_OK(flow_flush(t.db, NULL));
	(void) test_all(&t, store);
	for (int i = 0; i < 500; i++)
	{
		char key[16], want[32];
		bool latest = i % 2;
		FlowCacheStats stats;

		snprintf(key, sizeof(key), "k%03d", i % 100);
		if (latest)
			CHECK_OK(flow_get_latest(t.db, &spec, key, 4, &scan, &vec));
		else
			CHECK_OK(flow_get(t.db, &spec, key, 4, 7, &scan, &vec));
		snprintf(want, sizeof(want), "%d", (latest ? 29 : 7) * 100 + i % 100);
		CHECK(vec->nrows == 1 && vec->value_bytes[0] == strlen(want) &&
			  memcmp(vec->value[0], want, strlen(want)) == 0);
		CHECK(flow_scan_stats(scan)->cache_hits ==
			  flow_scan_stats(scan)->blocks_read);
		CHECK(flow_scan_stats(scan)->rows_sst == 1 &&
			  flow_scan_stats(scan)->ssts_read == 1);
		flowi_cache_stats(t.env, &stats);
		CHECK(stats.pinned == 0);
		flow_scan_close(scan);
	}
	test_close(&t);
	check_passed("lookups are counted, and pin nothing");
}

/* Of the files that may have the key the one that goes on longest is enough,
 * whatever the newest file of the store has. */
static void
test_youngest(void)
{
	FlowScanSpec spec = {.now = INT64_MIN};
	const FlowVector *vec;
	FlowScan *scan;

	test_open(&t, 16 << 20, 4 << 20);
	spec.store_id = store = test_store(&t, "s");
	test_put(&t, store, "a", 100, "last");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, store, "a", 10, "before");
	CHECK_OK(flow_flush(t.db, NULL));
	test_put(&t, store, "b", 1000, "other");
	CHECK_OK(flow_flush(t.db, NULL));
	for (int i = 0; i < 4; i++)
	{
		CHECK_OK(flow_get_latest(t.db, &spec, "a", 1, &scan, &vec));
		CHECK(vec->nrows == 1 && vec->ts[0] == 100);
		if (i == 3)
			CHECK(flow_scan_stats(scan)->ssts_read == 1 &&
				  flow_scan_stats(scan)->ssts_skipped == 2);
		flow_scan_close(scan);
	}
	CHECK_STATUS(flow_get_latest(t.db, &spec, "c", 1, &scan, &vec),
				 FLOW_NOTFOUND);
	test_close(&t);
	check_passed("latest begins with the right file");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);
	uint32_t rounds = argc > 2 ? (uint32_t) strtoul(argv[2], NULL, 10) : 25;

	test_points(&rnd, 4 * rounds);
	test_ends();
	test_long_keys();
	test_index_room();
	test_stores(&rnd, rounds);
	test_counts();
	test_youngest();
	return 0;
}
