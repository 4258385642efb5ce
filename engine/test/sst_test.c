/*-------------------------------------------------------------------------
 * sst_test.c
 *	  SSTables: round trip against a sorted array.
 *
 * What else is in a file: sst_parts_test.c; damage and faults:
 * sst_damage_test.c; the block cache: sst_cache_test.c.
 *-------------------------------------------------------------------------
 */
#include <sys/stat.h>

#include "../sst_format.h"
#include "ssts.h"

static void
check_info(const Rows *rows, const FlowSstInfo *info)
{
	const FlowRec *first = &rows->rec[0];
	const FlowRec *last = &rows->rec[rows->n - 1];
	struct stat sb;
	int64_t ts_min = INT64_MAX, ts_max = INT64_MIN;
	int64_t expire_min = INT64_MAX, expire_max = INT64_MIN;
	uint64_t seq_min = UINT64_MAX, seq_max = 0, tombs = 0, raw = 0, keys = 0;

	for (const FlowRec *rec = first; rec <= last; rec++)
	{
		ts_min = FLOW_MIN(ts_min, rec->ts);
		ts_max = FLOW_MAX(ts_max, rec->ts);
		if (rec->op == FLOW_PUT)
		{
			expire_min = FLOW_MIN(expire_min, rec->expire_at);
			expire_max = FLOW_MAX(expire_max, rec->expire_at);
		}
		seq_min = FLOW_MIN(seq_min, rec->seq);
		seq_max = FLOW_MAX(seq_max, rec->seq);
		tombs += rec->op == FLOW_DELETE;
		raw += rec->key_bytes + rec->value_bytes;
		keys +=
			rec == first || flowi_key_cmp(rec->key, rec->key_bytes, rec[-1].key,
										  rec[-1].key_bytes) != 0;
	}
	if (tombs == rows->n)
		expire_min = expire_max = INT64_MIN;
	CHECK(stat(path, &sb) == 0);
	CHECK(info->id == ID && info->store_id == STORE && info->level == 2 &&
		  info->origin == FLOW_SST_MERGED && info->ntombs == 0);
	CHECK(info->file_bytes == (uint64_t) sb.st_size);
	CHECK(info->records == rows->n && info->tombstones == tombs);
	CHECK(info->raw_bytes == raw && info->keys == keys);
	CHECK(info->ts_min == ts_min && info->ts_max == ts_max);
	CHECK(info->expire_min == expire_min && info->expire_max == expire_max);
	CHECK(info->seq_min == seq_min && info->seq_max == seq_max);
	if (info->key_min == NULL) /* ssts_write's */
		return;
	CHECK(flowi_key_cmp(info->key_min, info->key_min_bytes, first->key,
						first->key_bytes) == 0);
	CHECK(flowi_key_cmp(info->key_max, info->key_max_bytes, last->key,
						last->key_bytes) == 0);
}

static void
check_scan(FlowSstReader *r, const Rows *rows, bool reverse)
{
	FlowSstIterOptions o = ssts_all(reverse);
	FlowIter *it;
	FlowSeek to = {.unbounded = true};
	FlowStatus st;
	uint32_t i = 0;

	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
	{
		CHECK(i < rows->n);
		CHECK(it->cur.txn == NULL);
		ssts_check_rec(it, &rows->rec[rows->order[reverse][i++]]);
	}
	CHECK(st == FLOW_END && i == rows->n);
	it->free(it);
}

static void
check_seeks(FlowSstReader *r, const Rows *rows, bool reverse, CheckRandom *rnd)
{
	FlowSstIterOptions o = ssts_all(reverse);
	FlowIter *it;

	o.no_fill_cache = check_below(rnd, 2);
	o.no_verify = check_below(rnd, 2);
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (int k = 0; k < 100; k++)
	{
		uint32_t steps = (uint32_t) check_below(rnd, 20);
		FlowStatus st;
		FlowSeek to;
		uint32_t i;

		rows_random_seek(rows, rnd, &to);
		i = rows_find(rows, reverse, &to);
		st = it->seek(it, &to);
		for (; st == FLOW_OK && steps > 0; steps--, i++)
		{
			CHECK(i < rows->n);
			ssts_check_rec(it, &rows->rec[rows->order[reverse][i]]);
			st = it->next(it);
		}
		CHECK(st == (i < rows->n ? FLOW_OK : FLOW_END));
	}
	it->free(it);
}

/* With bounds: no row inside is missing, none is invented, seeks arrive. */
static void
check_bounds(FlowSstReader *r, const Rows *rows, bool reverse, CheckRandom *rnd)
{
	int64_t a = rows->rec[check_below(rnd, rows->n)].ts;
	int64_t b = rows->rec[check_below(rnd, rows->n)].ts;
	int64_t lo = FLOW_MIN(a, b);
	int64_t hi = FLOW_MAX(a, b);
	FlowSstIterStats stats = {0};
	FlowSstIterOptions o = {
		.reverse = reverse, .ts_lo = lo, .ts_hi = hi, .stats = &stats};
	FlowIter *it;
	FlowSeek to;
	FlowStatus st;
	uint32_t i;

	rows_random_seek(rows, rnd, &to);
	i = rows_find(rows, reverse, &to);
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
	{
		for (;; i++)
		{
			const FlowRec *rec;

			CHECK(i < rows->n);
			rec = &rows->rec[rows->order[reverse][i]];
			if (rows_same_identity(rec, &it->cur) && rec->seq == it->cur.seq)
				break;
			CHECK(rec->ts < lo || rec->ts > hi);
		}
		ssts_check_rec(it, &rows->rec[rows->order[reverse][i++]]);
	}
	CHECK(st == FLOW_END);
	for (; i < rows->n; i++)
	{
		int64_t ts = rows->rec[rows->order[reverse][i]].ts;

		CHECK(ts < lo || ts > hi);
	}
	it->free(it);
}

static void
test_random(CheckRandom *rnd)
{
	static const uint32_t sizes[] = {0, 1, 200, 1000, 4096, 1u << 14, 1u << 30};

	for (int round = 0; round < 210; round++)
	{
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(rnd, 1000),
						 .nkeys = 1 + (uint32_t) check_below(rnd, 40),
						 .key_max = 1 + (uint32_t) check_below(rnd, 40),
						 .value_max = (uint32_t) check_below(rnd, 300),
						 .extreme = check_below(rnd, 2),
						 .tomb_percent = 30 * (uint32_t) check_below(rnd, 3),
						 .mortal_percent = 50 * (uint32_t) check_below(rnd, 3)};
		Rows rows;
		FlowSstInfo info;
		FlowSstReader *r;

		sst_spec.shape = NULL;
		if (check_below(rnd, 3))
			ssts_use_columns(&spec, rnd);
		rows_make(&rows, rnd, &spec);
		sst_spec.block_bytes = sizes[round % 7];
		sst_spec.segment_blocks = (uint32_t) check_below(rnd, 5);
		sst_spec.compression = (FlowCompression) check_below(rnd, 3);
		sst_spec.zstd_level = 1 + (int) check_below(rnd, 5);
		sst_spec.bloom_bits_per_key = (uint32_t) check_below(rnd, 20);
		CHECK_OK(ssts_write(&rows, NULL, &info));
		check_info(&rows, &info);
		CHECK_OK(ssts_open(&r));
		check_info(&rows, flowi_sst_info(r));
		for (int reverse = 0; reverse < 2; reverse++)
		{
			check_scan(r, &rows, reverse);
			check_seeks(r, &rows, reverse, rnd);
			for (int i = 0; i < 5; i++)
				check_bounds(r, &rows, reverse, rnd);
		}
		CHECK_OK(ssts_ask_filters(r, &rows));
		flowi_sst_close(r);
		ssts_check_unpinned();
		rows_free(&rows);
	}
	ssts_usual_spec();
	check_passed("random files: scans, seeks, bounds, both directions");
}

static void
test_huge_value(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSeek to = {.key = (const uint8_t *) "host", .key_bytes = 4, .ts = 10};
	FlowSstIterStats stats = {0};
	FlowSstIterOptions o = {.stats = &stats}; /* ts 0 */
	FlowIter *it;

	ssts_make_series(&rows, 3, FLOW_MAX_VALUE);
	/* small ones on both sides: the huge one has a block of its own */
	rows.rec[0].value_bytes = rows.rec[2].value_bytes = 10;
	sst_spec.block_bytes = 4096;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	check_scan(r, &rows, false);
	check_scan(r, &rows, true);
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	CHECK_STATUS(it->seek(it, &to), FLOW_END);
	CHECK(stats.blocks_read == 0 && stats.blocks_skipped == 2);
	it->free(it);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("a value of 16 MiB");
}

/* System calls of reading since the last call. */
static uint64_t
new_reads(void)
{
	static uint64_t last;
	uint64_t now = flow_env_posix_calls(env, FLOW_POSIX_READ);
	uint64_t n = now - last;

	last = now;
	return n;
}

/* Seeks in the current block and reads of neighbours cost no system call;
 * a seek elsewhere costs a leaf and a block. */
static void
test_reads(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSstIterStats stats = {0};
	FlowSstIterOptions o = ssts_all(false);
	FlowSeek to = {.key = (const uint8_t *) "host", .key_bytes = 4};
	FlowIter *it;

	ssts_make_series(&rows, 20000, 90);
	sst_spec.block_bytes = 4096;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	new_reads();
	CHECK_OK(ssts_open(&r));
	CHECK(new_reads() == 2);
	o.stats = &stats;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (to.ts = 100000; to.ts < 100100; to.ts++)
	{
		CHECK_OK(it->seek(it, &to));
		CHECK(it->cur.ts == (to.ts + 9) / 10 * 10);
	}
	CHECK(stats.blocks_read <= 2);
	CHECK(new_reads() <= 3);
	it->free(it);
	check_scan(r, &rows, false);
	CHECK(new_reads() < 30);
	check_scan(r, &rows, true);
	CHECK(new_reads() < 30);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("few reads");
}

/* Of segments and blocks outside the bounds nothing is read. */
static void
test_skips(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSeek to = {.unbounded = true};

	ssts_make_series(&rows, 20000, 90);
	sst_spec.block_bytes = 1000;
	sst_spec.segment_blocks = 10;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	for (int reverse = 0; reverse < 2; reverse++)
	{
		FlowSstIterStats stats = {0};
		FlowSstIterOptions o = {.reverse = reverse,
								.ts_lo = 100000,
								.ts_hi = 100000,
								.stats = &stats};
		FlowIter *it;
		FlowStatus st;
		uint64_t found = 0;

		CHECK_OK(ssts_open(&r));
		CHECK_OK(flowi_sst_iter(r, &o, &it));
		new_reads();
		for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
			found += it->cur.ts == 100000;
		CHECK(st == FLOW_END && found == 1);
		CHECK(stats.blocks_read == 1);
		CHECK(stats.blocks_skipped > 2000);
		CHECK(new_reads() <= 2);
		it->free(it);
		flowi_sst_close(r);
	}
	rows_free(&rows);
	ssts_usual_spec();
	check_passed("segments and blocks of other times are skipped");
}

static FlowTxn txns[2] = {{.seq_first = 1000, .seq_last = 1009},
						  {.seq_first = 1020, .seq_last = 1039}};

static FlowTxn *
find_txn(void *arg, uint64_t seq)
{
	CHECK(arg == &txns);
	for (int i = 0; i < 2; i++)
		if (seq >= txns[i].seq_first && seq <= txns[i].seq_last)
			return &txns[i];
	return NULL;
}

static void
test_txns(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSstIterOptions o = ssts_all(true);
	FlowSeek to = {.unbounded = true};
	FlowIter *it;
	FlowStatus st;

	ssts_make_series(&rows, 50, 9);
	sst_spec.block_bytes = 300;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	o.find_txn = find_txn;
	o.find_arg = &txns;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		CHECK(it->cur.txn == find_txn(&txns, it->cur.seq));
	it->free(it);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("directory entries");
}

static FlowStatus
stop_point(void *arg, const char *name)
{
	(void) arg;
	return strcmp(name, "sst-before-sync") == 0 ? FLOW_INTERRUPTED : FLOW_OK;
}

static int polls_left;

static FlowStatus
poll_some(FlowEnv *e)
{
	(void) e;
	return polls_left-- > 0 ? FLOW_OK : FLOW_INTERRUPTED;
}

static void
test_interrupts(void)
{
	FlowStatus (*poll)(FlowEnv *) = env->poll;
	Rows rows;

	ssts_make_series(&rows, 500, 100);
	sst_spec.block_bytes = 1000;
	env->poll = poll_some;
	polls_left = 10;
	CHECK_STATUS(ssts_write(&rows, NULL, NULL), FLOW_INTERRUPTED);
	env->poll = poll;
	flow_env_posix_set_point(env, stop_point, NULL);
	CHECK_STATUS(ssts_write(&rows, NULL, NULL), FLOW_INTERRUPTED);
	flow_env_posix_set_point(env, NULL, NULL);
	rows_free(&rows);
	check_passed("interrupts");
}

static void
test_misuse(void)
{
	FlowRec rec = {.key = (const uint8_t *) "b",
				   .key_bytes = 1,
				   .value = (const uint8_t *) "",
				   .ts = 5,
				   .expire_at = FLOW_NEVER,
				   .seq = 5};
	FlowRec bad;
	FlowSstInfo info;
	FlowSstWriter *w;

	CHECK_OK(flowi_sst_create(env, path, &sst_spec, &w));
	CHECK_STATUS(flowi_sst_finish(w, &info), FLOW_INVALID);
	CHECK_OK(flowi_sst_add(w, &rec));
	CHECK_STATUS(flowi_sst_add(w, &rec), FLOW_INVALID);
	bad = rec;
	bad.ts = 4;
	CHECK_STATUS(flowi_sst_add(w, &bad), FLOW_INVALID);
	bad = rec;
	bad.key = (const uint8_t *) "a";
	CHECK_STATUS(flowi_sst_add(w, &bad), FLOW_INVALID);
	bad = rec;
	bad.seq = 4;
	bad.value = NULL;
	CHECK_STATUS(flowi_sst_add(w, &bad), FLOW_INVALID);
	bad.op = FLOW_DELETE;
	CHECK_OK(flowi_sst_add(w, &bad));
	CHECK_OK(flowi_sst_finish(w, &info));
	CHECK(info.records == 2 && info.tombstones == 1);
	flowi_sst_writer_free(w);
	flowi_sst_writer_free(NULL);
	flowi_sst_close(NULL);
	check_passed("misuse is refused");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	ssts_begin("sst_test", 1 << 20);
	test_random(&rnd);
	test_huge_value();
	test_reads();
	test_skips();
	test_txns();
	test_misuse();
	test_interrupts();
	ssts_end();
	return 0;
}
