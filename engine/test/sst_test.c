/*-------------------------------------------------------------------------
 * sst_test.c
 *	  SSTables: round trip against a sorted array, damage, faults.
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../env_posix.h"
#include "../sst_format.h"
#include "rows.h"

#define ID 7
#define STORE 3

static FlowEnv *env;
static char path[256];

static FlowStatus
write_file(const Rows *rows, uint32_t block_bytes, FlowSstInfo *infop)
{
	FlowSstWriter *w = NULL;
	FlowSstInfo info;
	FlowStatus st;

	FLOW_GOTO(flowi_sst_create(env, path, ID, STORE, block_bytes, &w));
	for (uint32_t i = 0; i < rows->n; i++)
		FLOW_GOTO(flowi_sst_add(w, &rows->rec[i]));
	FLOW_GOTO(flowi_sst_finish(w, &info));
	CHECK(info.records == rows->n && info.ntxns == 0);
	if (infop)
	{
		*infop = info; /* keys go with the writer */
		infop->key_min = infop->key_max = NULL;
	}
out:
	flowi_sst_writer_free(w);
	return st;
}

static void
check_info(const Rows *rows, const FlowSstInfo *info)
{
	const FlowRec *first = &rows->rec[0];
	const FlowRec *last = &rows->rec[rows->n - 1];
	struct stat sb;
	int64_t ts_min = INT64_MAX, ts_max = INT64_MIN;
	int64_t expire_min = INT64_MAX, expire_max = INT64_MIN;
	uint64_t seq_min = UINT64_MAX, seq_max = 0, tombs = 0, raw = 0;

	for (const FlowRec *rec = first; rec <= last; rec++)
	{
		ts_min = FLOW_MIN(ts_min, rec->ts);
		ts_max = FLOW_MAX(ts_max, rec->ts);
		expire_min = FLOW_MIN(expire_min, rec->expire_at);
		expire_max = FLOW_MAX(expire_max, rec->expire_at);
		seq_min = FLOW_MIN(seq_min, rec->seq);
		seq_max = FLOW_MAX(seq_max, rec->seq);
		tombs += rec->op == FLOW_DELETE;
		raw += rec->key_bytes + rec->value_bytes;
	}
	CHECK(stat(path, &sb) == 0);
	CHECK(info->id == ID && info->store_id == STORE && info->level == 0);
	CHECK(info->file_bytes == (uint64_t) sb.st_size);
	CHECK(info->records == rows->n && info->tombstones == tombs);
	CHECK(info->raw_bytes == raw);
	CHECK(info->ts_min == ts_min && info->ts_max == ts_max);
	CHECK(info->expire_min == expire_min && info->expire_max == expire_max);
	CHECK(info->seq_min == seq_min && info->seq_max == seq_max);
	if (info->key_min == NULL) /* write_file's */
		return;
	CHECK(flowi_key_cmp(info->key_min, info->key_min_bytes, first->key,
						first->key_bytes) == 0);
	CHECK(flowi_key_cmp(info->key_max, info->key_max_bytes, last->key,
						last->key_bytes) == 0);
}

static void
check_scan(FlowSstReader *r, const Rows *rows, bool reverse)
{
	FlowIter *it;
	FlowSeek to = {.unbounded = true};
	FlowStatus st;
	uint32_t i = 0;

	CHECK_OK(flowi_sst_iter(r, reverse, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
							&it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
	{
		CHECK(i < rows->n);
		CHECK(it->cur.txn == NULL);
		rows_check_rec(&it->cur, &rows->rec[rows->order[reverse][i++]]);
	}
	CHECK(st == FLOW_END && i == rows->n);
	it->free(it);
}

static void
check_seeks(FlowSstReader *r, const Rows *rows, bool reverse, CheckRandom *rnd)
{
	FlowIter *it;

	CHECK_OK(flowi_sst_iter(r, reverse, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
							&it));
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
			rows_check_rec(&it->cur, &rows->rec[rows->order[reverse][i]]);
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
	FlowIter *it;
	FlowSeek to;
	FlowStatus st;
	uint32_t i;

	rows_random_seek(rows, rnd, &to);
	i = rows_find(rows, reverse, &to);
	CHECK_OK(flowi_sst_iter(r, reverse, lo, hi, NULL, NULL, &stats, &it));
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
		rows_check_rec(&it->cur, &rows->rec[rows->order[reverse][i++]]);
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

	for (int round = 0; round < 140; round++)
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

		rows_make(&rows, rnd, &spec);
		CHECK_OK(write_file(&rows, sizes[round % 7], &info));
		check_info(&rows, &info);
		CHECK_OK(flowi_sst_open(env, path, ID, STORE, &r));
		check_info(&rows, flowi_sst_info(r));
		for (int reverse = 0; reverse < 2; reverse++)
		{
			check_scan(r, &rows, reverse);
			check_seeks(r, &rows, reverse, rnd);
			for (int i = 0; i < 5; i++)
				check_bounds(r, &rows, reverse, rnd);
		}
		flowi_sst_close(r);
		rows_free(&rows);
	}
	check_passed("random files: scans, seeks, bounds, both directions");
}

/* n rows of one key, evenly spaced; the caller frees with rows_free. */
static void
make_series(Rows *rows, uint32_t n, uint32_t value_bytes)
{
	rows->n = n;
	rows->rec = rows_alloc(n * sizeof(FlowRec));
	for (uint32_t i = 0; i < n; i++)
	{
		uint8_t *value = rows_alloc(value_bytes);

		for (uint32_t k = 0; k < value_bytes; k++)
			value[k] = (uint8_t) ((i + 1) * (k ^ (k >> 8)) >> 3);
		rows->rec[i] = (FlowRec){.key = rows_alloc(4),
								 .key_bytes = 4,
								 .value = value,
								 .value_bytes = value_bytes,
								 .ts = 10 * (int64_t) i,
								 .expire_at = FLOW_NEVER,
								 .seq = 1000 + i};
		memcpy((uint8_t *) rows->rec[i].key, "host", 4);
	}
	rows_set_order(rows);
}

static void
test_huge_value(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSeek to = {.key = (const uint8_t *) "host", .key_bytes = 4, .ts = 10};
	FlowSstIterStats stats = {0};
	FlowIter *it;

	make_series(&rows, 3, FLOW_MAX_VALUE);
	/* small ones on both sides: the huge one has a block of its own */
	rows.rec[0].value_bytes = rows.rec[2].value_bytes = 10;
	CHECK_OK(write_file(&rows, 4096, NULL));
	CHECK_OK(flowi_sst_open(env, path, ID, STORE, &r));
	check_scan(r, &rows, false);
	check_scan(r, &rows, true);
	CHECK_OK(flowi_sst_iter(r, false, 0, 0, NULL, NULL, &stats, &it));
	CHECK_STATUS(it->seek(it, &to), FLOW_END);
	CHECK(stats.blocks_read == 0 && stats.blocks_skipped == 2);
	it->free(it);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("a value of 16 MiB");
}

/* Seeks in the current block and reads of neighbours cost no system call. */
static void
test_reads(void)
{
	Rows rows;
	FlowSstReader *r;
	FlowSstIterStats stats = {0};
	FlowSeek to = {.key = (const uint8_t *) "host", .key_bytes = 4};
	FlowIter *it;
	uint64_t reads;

	make_series(&rows, 20000, 90);
	CHECK_OK(write_file(&rows, 4096, NULL));
	CHECK_OK(flowi_sst_open(env, path, ID, STORE, &r));
	CHECK_OK(flowi_sst_iter(r, false, INT64_MIN, INT64_MAX, NULL, NULL, &stats,
							&it));
	reads = flow_env_posix_calls(env, FLOW_POSIX_READ);
	for (to.ts = 100000; to.ts < 100100; to.ts++)
	{
		CHECK_OK(it->seek(it, &to));
		CHECK(it->cur.ts == (to.ts + 9) / 10 * 10);
	}
	CHECK(stats.blocks_read <= 2);
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_READ) - reads <= 2);
	it->free(it);
	reads = flow_env_posix_calls(env, FLOW_POSIX_READ);
	check_scan(r, &rows, false);
	check_scan(r, &rows, true);
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_READ) - reads < 60);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("few reads");
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
	FlowSeek to = {.unbounded = true};
	FlowIter *it;
	FlowStatus st;

	make_series(&rows, 50, 9);
	CHECK_OK(write_file(&rows, 300, NULL));
	CHECK_OK(flowi_sst_open(env, path, ID, STORE, &r));
	CHECK_OK(flowi_sst_iter(r, true, INT64_MIN, INT64_MAX, find_txn, &txns,
							NULL, &it));
	for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		CHECK(it->cur.txn == find_txn(&txns, it->cur.seq));
	it->free(it);
	flowi_sst_close(r);
	rows_free(&rows);
	check_passed("directory entries");
}

/* --- damage --- */

static uint8_t *
read_all(size_t *np)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;

	CHECK(f != NULL && fseek(f, 0, SEEK_END) == 0);
	*np = (size_t) ftell(f);
	rewind(f);
	p = rows_alloc(*np);
	CHECK(fread(p, 1, *np, f) == *np);
	fclose(f);
	return p;
}

/* Without O_TRUNC, after which some file systems flush at close. */
static void
write_all(const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	struct stat sb;

	CHECK(fd >= 0 && pwrite(fd, p, n, 0) == (ssize_t) n);
	CHECK(fstat(fd, &sb) == 0);
	if ((size_t) sb.st_size != n)
		CHECK(ftruncate(fd, (off_t) n) == 0);
	CHECK(close(fd) == 0);
}

/* Open and read all there is, both ways. */
static FlowStatus
read_through(uint64_t *rowsp)
{
	FlowSeek to = {.unbounded = true};
	FlowSstReader *r;
	FlowStatus st;
	uint64_t sum = 0;

	FLOW_TRY(flowi_sst_open(env, path, ID, STORE, &r));
	*rowsp = 0;
	for (int reverse = 0; reverse < 2; reverse++)
	{
		FlowIter *it;

		st = flowi_sst_iter(r, reverse, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
							&it);
		if (st != FLOW_OK)
			break;
		for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		{
			++*rowsp;
			for (uint32_t i = 0; i < it->cur.value_bytes; i++)
				sum += it->cur.value[i];
		}
		it->free(it);
		if (st != FLOW_END)
			break;
	}
	flowi_sst_close(r);
	CHECK(sum != 1); /* keep the compiler from leaving the reads out */
	return st == FLOW_END ? FLOW_OK : st;
}

static void
check_damaged(void)
{
	uint64_t n;
	FlowStatus st = read_through(&n);

	CHECK(st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	CHECK(flow_last_error()->status == st);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	CHECK(strstr(flow_last_error()->message, "offset") != NULL);
}

/* A few KB: some blocks packed, some not. */
static void
make_small(Rows *rows, CheckRandom *rnd)
{
	RowsSpec spec = {.n = 150,
					 .nkeys = 5,
					 .key_max = 10,
					 .value_max = 60,
					 .tomb_percent = 10,
					 .mortal_percent = 10};

	rows_make(rows, rnd, &spec);
	CHECK_OK(write_file(rows, 500, NULL));
}

static void
test_damage(CheckRandom *rnd)
{
	Rows rows;
	FlowSstReader *r;
	size_t size;
	uint8_t *file;

	make_small(&rows, rnd);
	file = read_all(&size);
	CHECK(size > 2000 && size < 10000);
	for (size_t i = 0; i < size; i++)
	{
		uint8_t good = file[i];

		for (int bit = 0; bit < 9; bit++)
		{
			file[i] = bit < 8 ? (uint8_t) (good ^ 1 << bit) : (uint8_t) ~good;
			write_all(file, size);
			check_damaged();
		}
		file[i] = good;
	}
	write_all(file, size);
	for (size_t len = size; len-- > 0;)
	{
		CHECK(truncate(path, (off_t) len) == 0);
		check_damaged();
	}
	write_all(file, size);
	check_passed("every flipped bit and every cut is found");

	CHECK(unlink(path) == 0);
	CHECK_STATUS(flowi_sst_open(env, path, ID, STORE, &r), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	write_all(file, size);
	CHECK_STATUS(flowi_sst_open(env, path, ID + 1, STORE, &r), FLOW_CORRUPT);
	CHECK_STATUS(flowi_sst_open(env, path, ID, STORE + 1, &r), FLOW_CORRUPT);
	CHECK(r == NULL);
	check_passed("a missing and a foreign file");
	free(file);
	rows_free(&rows);
}

/* Damage with checksums that fit: no crash, whatever comes. */
static void
test_hostile(CheckRandom *rnd)
{
	Rows rows;
	size_t size;
	uint8_t *file, *copy, *foot;

	make_small(&rows, rnd);
	file = read_all(&size);
	copy = rows_alloc(size);
	foot = copy + size - FOOT_BYTES;
	for (int i = 0; i < 20000; i++)
	{
		size_t at = check_below(rnd, size);
		size_t off = 0;
		uint64_t n;
		FlowStatus st;

		memcpy(copy, file, size);
		copy[at] = check_below(rnd, 2) ? (uint8_t) check_random(rnd)
									   : (uint8_t) check_below(rnd, 4);
		while (off < size - FOOT_BYTES)
		{
			size_t stored = flowi_get32(file + off + FRAME_STORED);

			flowi_put64(copy + off + FRAME_CHECKSUM,
						flowi_frame_checksum(copy + off, stored, ID, off));
			off += FRAME_BYTES + stored;
		}
		CHECK(off == size - FOOT_BYTES);
		flowi_put64(foot + FOOT_CHECKSUM, XXH3_64bits(foot, FOOT_CHECKSUM));
		write_all(copy, size);
		st = read_through(&n);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	}
	free(copy);
	free(file);
	rows_free(&rows);
	check_passed("hostile bytes under good checksums");
}

/* --- faults --- */

static FlowStatus
write_and_read(const Rows *rows)
{
	uint64_t n;

	FLOW_TRY(write_file(rows, 1000, NULL));
	FLOW_TRY(read_through(&n));
	CHECK(n == 2 * (uint64_t) rows->n);
	return FLOW_OK;
}

static void
test_faults(void)
{
	static const FlowPosixOp ops[] = {FLOW_POSIX_OPEN, FLOW_POSIX_READ,
									  FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
									  FLOW_POSIX_ALLOC};
	Rows rows;

	make_series(&rows, 6000, 100);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		FlowStatus st;
		uint64_t nth = 0;

		do
		{
			flow_env_posix_fail(env, ops[i], ++nth, 1, 5 /* EIO */);
			st = write_and_read(&rows);
			CHECK(st == FLOW_OK ||
				  st == (ops[i] == FLOW_POSIX_ALLOC ? FLOW_NOMEM : FLOW_IOERR));
		} while (st != FLOW_OK);
		flow_env_posix_fail(env, ops[i], 1, 0, 0);
		CHECK(nth > 1);
	}
	rows_free(&rows);
	check_passed("each operation failing once");
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

	make_series(&rows, 500, 100);
	env->poll = poll_some;
	polls_left = 10;
	CHECK_STATUS(write_file(&rows, 1000, NULL), FLOW_INTERRUPTED);
	env->poll = poll;
	flow_env_posix_set_point(env, stop_point, NULL);
	CHECK_STATUS(write_file(&rows, 1000, NULL), FLOW_INTERRUPTED);
	flow_env_posix_set_point(env, NULL, NULL);
	rows_free(&rows);
	check_passed("interrupts");
}

static void
test_misuse(void)
{
	FlowRec rec = {.key = (const uint8_t *) "b",
				   .key_bytes = 1,
				   .ts = 5,
				   .expire_at = FLOW_NEVER,
				   .seq = 5};
	FlowRec bad;
	FlowSstInfo info;
	FlowSstWriter *w;

	CHECK_OK(flowi_sst_create(env, path, ID, STORE, 1000, &w));
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
	char dir[] = "/tmp/sst_test.XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/00000007.sst", dir);
	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	test_random(&rnd);
	test_huge_value();
	test_reads();
	test_txns();
	test_misuse();
	test_interrupts();
	test_faults();
	test_damage(&rnd);
	test_hostile(&rnd);
	flow_env_posix_free(env);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
	return 0;
}
