/*-------------------------------------------------------------------------
 * wal_test.c
 *	  The file log by itself: records, segments, torn tails, damage, groups,
 *	  failures, repair.
 *-------------------------------------------------------------------------
 */
#include "check.h"
#include "testfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common.h"
#include "../env_posix.h"
#include "../wal.h"

#define MAX_RECORDS 4096

static FlowEnv *env;
static CheckRandom random_state;
static char dir[] = "tmp_wal.XXXXXX";
static FlowWalOptions opts = {4096, FLOW_SYNC_ALWAYS, 100};

/* What a replay gave: record i of a test is "<i>:" and filler. */
typedef struct Seen
{
	uint32_t n;
	uint32_t id[MAX_RECORDS];
	uint64_t start[MAX_RECORDS];
	uint64_t end[MAX_RECORDS];
} Seen;

static Seen seen;
static FlowWalReport report;

static size_t
make_record(char *buf, size_t cap, uint32_t id, size_t len)
{
	size_t n = (size_t) snprintf(buf, cap, "%u:", id);

	len = FLOW_MAX(len, n);
	memset(buf + n, 'a' + (int) (id % 26), len - n);
	return len;
}

static FlowStatus
see(void *arg, const void *rec, size_t len, uint64_t start, uint64_t end)
{
	static char want[1 << 16];
	Seen *s = arg;
	uint32_t id = (uint32_t) strtoul(rec, NULL, 10);

	CHECK(s->n < MAX_RECORDS && start > 0 && end > start);
	CHECK(make_record(want, sizeof(want), id, len) == len);
	CHECK(memcmp(want, rec, len) == 0);
	CHECK(s->n == 0 || (start >= s->end[s->n - 1] && id > s->id[s->n - 1]));
	s->id[s->n] = id;
	s->start[s->n] = start;
	s->end[s->n++] = end;
	return FLOW_OK;
}

static FlowStatus
try_open(uint64_t from, FlowWal **walp)
{
	seen.n = 0;
	return flowi_wal_open(env, dir, &opts, from, see, &seen, &report, walp);
}

static FlowWal *
open_log(uint64_t from)
{
	FlowWal *wal;

	CHECK_OK(try_open(from, &wal));
	return wal;
}

/* Append, not commit. */
static FlowStatus
append(FlowWal *wal, uint32_t id, size_t len, FlowSync sync, uint64_t *endp)
{
	static _Thread_local char buf[1 << 16];
	FlowWalRoom *room;
	uint64_t start;
	uint64_t bound = flowi_wal_bound(wal);

	len = make_record(buf, sizeof(buf), id, len);
	FLOW_TRY(flowi_wal_admit(wal, len, sync, &room));
	flowi_wal_append(wal, room, buf, len, &start, endp);
	CHECK(bound <= start && *endp >= start + 24 + len);
	return FLOW_OK;
}

static FlowStatus
put(FlowWal *wal, uint32_t id, size_t len, FlowSync sync)
{
	uint64_t end, visible;

	FLOW_TRY(append(wal, id, len, sync, &end));
	FLOW_TRY(flowi_wal_commit(wal, end, &visible));
	CHECK(visible >= end);
	return FLOW_OK;
}

static FlowStatus
no_file_sync(FlowFile *file)
{
	(void) file;
	return FLOW_OK;
}

static FlowStatus
no_dir_sync(FlowEnv *e, const char *path)
{
	(void) e;
	(void) path;
	return FLOW_OK;
}

/* Where thousands of logs are made: no crash of the machine is played here. */
static void
run_unsynced(void (*test)(void))
{
	FlowEnv real = *env;

	env->file_sync = env->file_datasync = no_file_sync;
	env->sync_dir = no_dir_sync;
	test();
	*env = real;
}

/* rm -rf a copy, cp -a the log; cheap enough for small logs. */
static void
empty_dir(void)
{
	file_shell("rm -rf ./%s/*", dir);
}

static void
check_seen(uint32_t from, uint32_t to)
{
	CHECK(seen.n == to - from);
	for (uint32_t i = 0; i < seen.n; i++)
		CHECK(seen.id[i] == from + i);
}

static const char *
seg_path(uint64_t start)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/WAL/%016" PRIx64 ".wal", dir, start);
	return path;
}

static int
count_files(const char *suffix)
{
	char command[256];
	FILE *f;
	int n = -1;

	snprintf(command, sizeof(command), "ls %s/WAL | grep -c '\\.%s$'", dir,
			 suffix);
	f = popen(command, "r");
	CHECK(f != NULL && fscanf(f, "%d", &n) == 1);
	pclose(f);
	return n;
}

/* ------------------------------------------------------------- small files */

static void
write_at(uint64_t pos, const void *bytes, size_t n, uint64_t start)
{
	int fd = open(seg_path(start), O_RDWR);

	CHECK(fd >= 0);
	CHECK(pwrite(fd, bytes, n, (off_t) (pos - start)) == (ssize_t) n);
	close(fd);
}

typedef struct Saved
{
	uint64_t start;
	uint8_t *bytes;
	size_t n;
} Saved;

static Saved saved[16];
static int nsaved;

static FlowStatus
save_one(void *arg, const char *name)
{
	char path[256];
	Saved *s = &saved[nsaved];
	FILE *f;

	(void) arg;
	if (strlen(name) != 20 || strcmp(name + 16, ".wal") != 0)
		return FLOW_OK;
	snprintf(path, sizeof(path), "%s/WAL/%s", dir, name);
	s->start = strtoull(name, NULL, 16);
	s->bytes = malloc(1 << 20);
	f = fopen(path, "rb");
	CHECK(f != NULL && s->bytes != NULL && nsaved < 15);
	s->n = fread(s->bytes, 1, 1 << 20, f);
	fclose(f);
	nsaved++;
	return FLOW_OK;
}

static int
saved_cmp(const void *a, const void *b)
{
	return ((const Saved *) a)->start < ((const Saved *) b)->start ? -1 : 1;
}

static void
save_log(void)
{
	char path[128];

	nsaved = 0;
	snprintf(path, sizeof(path), "%s/WAL", dir);
	CHECK_OK(env->list_dir(env, path, save_one, NULL));
	qsort(saved, (size_t) nsaved, sizeof(saved[0]), saved_cmp);
}

static FlowStatus
unlink_log_file(void *arg, const char *name)
{
	char path[256];

	(void) arg;
	snprintf(path, sizeof(path), "%s/WAL/%s", dir, name);
	CHECK(unlink(path) == 0);
	return FLOW_OK;
}

static void
restore_log(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/WAL", dir);
	CHECK_OK(env->list_dir(env, path, unlink_log_file, NULL));
	for (int i = 0; i < nsaved; i++)
	{
		int fd = open(seg_path(saved[i].start), O_RDWR | O_CREAT, 0600);

		CHECK(fd >= 0);
		CHECK(write(fd, saved[i].bytes, saved[i].n) == (ssize_t) saved[i].n);
		close(fd);
	}
}

static void
forget_saved(void)
{
	for (int i = 0; i < nsaved; i++)
		free(saved[i].bytes);
	nsaved = 0;
	empty_dir();
}

/* ------------------------------------------------------------------ basics */

/* TW01, TW04, TW06, TW15, X17: back as they were, positions go on. */
static void
test_roundtrip(void)
{
	FlowWal *wal = open_log(0);
	uint64_t last = 0;

	CHECK(seen.n == 0 && report.records == 0 && flowi_wal_bytes(wal) == 0);
	for (uint32_t round = 0; round < 6; round++)
	{
		for (uint32_t i = 0; i < 50; i++)
			CHECK_OK(put(wal, round * 50 + i, 1 + i * 7, FLOW_SYNC_DEFAULT));
		CHECK_OK(flowi_wal_close(wal));
		wal = open_log(0);
		check_seen(0, (round + 1) * 50);
		CHECK(seen.start[seen.n - 50] >= last);
		last = seen.end[seen.n - 1];
		CHECK(report.end == last && report.cut_bytes == 0);
		CHECK(flowi_wal_bound(wal) == last);
	}
	CHECK_OK(flowi_wal_close(wal));
	/* only what ends behind a position */
	wal = open_log(seen.end[99]);
	check_seen(100, 300);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	/* no log, but something was flushed: it begins behind that */
	wal = open_log(123457);
	CHECK_OK(put(wal, 1, 10, FLOW_SYNC_DEFAULT));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(123457);
	check_seen(1, 2);
	CHECK(seen.start[0] > 123457);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	check_passed("records come back");
}

/* TW07, TW09: segments of records never split, released and recycled. */
static void
test_segments(void)
{
	FlowWal *wal;
	uint32_t id = 0;
	uint64_t renames, flushed = 0, next;

	opts.segment_bytes = 1 << 20;
	wal = open_log(0);
	for (; id < 20; id++)
		CHECK_OK(put(wal, id, 65000, FLOW_SYNC_NO));
	CHECK(count_files("wal") == 2);
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	check_seen(0, 20);
	for (uint32_t i = 0; i < 20; i++)
		CHECK(seen.start[i] >> 20 == (seen.end[i] - 1) >> 20);
	flowi_wal_release(wal, seen.end[0]);
	CHECK(count_files("wal") == 2);
	flowi_wal_release(wal, UINT64_MAX);
	CHECK(count_files("wal") == 1 && count_files("spare") == 1);
	CHECK(flowi_wal_bytes(wal) == 1 << 20);

	/* for a long time: no file is made any more, none is lost */
	for (; id < 300; id++)
	{
		uint64_t end, visible;

		CHECK_OK(append(wal, id, 60000, FLOW_SYNC_YES, &end));
		CHECK_OK(flowi_wal_commit(wal, end, &visible));
		flowi_wal_release(wal, end);
		flushed = id < 299 ? end : flushed;
		CHECK(count_files("wal") <= 2 && count_files("spare") <= 2);
	}
	renames = flow_env_posix_calls(env, FLOW_POSIX_RENAME);
	CHECK(renames > 20);
	CHECK_OK(flowi_wal_close(wal));
	/* what was released but not flushed is missed */
	CHECK_STATUS(try_open(0, &wal), FLOW_CORRUPT);
	wal = open_log(flushed);
	CHECK(seen.n == 1 && seen.id[0] == 299);
	CHECK(report.cut_bytes == 0);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();

	/* one that is larger than a segment has one of its own */
	opts.segment_bytes = 4096;
	wal = open_log(0);
	for (id = 0; id < 30; id++)
		CHECK_OK(put(wal, id, id % 3 == 1 ? 50000 : 900, FLOW_SYNC_DEFAULT));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	check_seen(0, 30);
	next = seen.end[20];
	flowi_wal_release(wal, next);
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(next);
	check_seen(21, 30);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	check_passed("segments");
}

/* A segment whose last pad is not written yet is not released, though all its
 * records are flushed. */
static void
test_release_queued(void)
{
	FlowWal *wal = open_log(0);
	uint64_t end[2], visible;

	CHECK_OK(append(wal, 0, 2000, FLOW_SYNC_YES, &end[0]));
	CHECK_OK(flowi_wal_commit(wal, end[0], &visible));
	CHECK_OK(append(wal, 1, 3000, FLOW_SYNC_YES, &end[1]));
	flowi_wal_release(wal, end[0]);
	CHECK(count_files("wal") == 2);
	CHECK_OK(flowi_wal_commit(wal, end[1], &visible));
	flowi_wal_release(wal, end[0]);
	CHECK(count_files("wal") == 1);
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(end[0]);
	check_seen(1, 2);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	check_passed("release of a segment that is still written to");
}

/* A room that is not used is given back; a large one waits for small ones. */
static void
test_rooms(void)
{
	FlowWal *wal = open_log(0);
	FlowWalRoom *a, *b;

	for (int i = 0; i < 1000; i++)
	{
		CHECK_OK(flowi_wal_admit(wal, 3000, FLOW_SYNC_NO, &a));
		flowi_wal_leave(wal, a);
	}
	CHECK(count_files("wal") == 1);
	CHECK_OK(flowi_wal_admit(wal, 100, FLOW_SYNC_NO, &a));
	CHECK_OK(flowi_wal_admit(wal, 100, FLOW_SYNC_NO, &b));
	flowi_wal_leave(wal, a);
	flowi_wal_leave(wal, b);
	CHECK_OK(flowi_wal_admit(wal, 100000, FLOW_SYNC_NO, &a));
	flowi_wal_leave(wal, a);
	flowi_wal_leave(wal, NULL);
	for (uint32_t i = 0; i < 10; i++)
		CHECK_OK(put(wal, i, 3000, FLOW_SYNC_NO));
	CHECK_OK(flowi_wal_prepare(wal));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	check_seen(0, 10);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	check_passed("rooms");
}

/* ------------------------------------------------------- torn and damaged */

/* Twelve records in some segments, all synced one by one but the last two of
 * them. */
static void
make_small_log(void)
{
	FlowWal *wal = open_log(0);

	for (uint32_t i = 0; i < 12; i++)
		CHECK_OK(put(wal, i, 30 + i * 61, FLOW_SYNC_YES));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	check_seen(0, 12);
	CHECK_OK(flowi_wal_close(wal));
	save_log();
	CHECK(nsaved >= 2);
}

/* After any open: more goes in, and both are there. */
static void
check_goes_on(FlowWal *wal, uint32_t n)
{
	CHECK_OK(put(wal, 100, 700, FLOW_SYNC_YES));
	CHECK_OK(put(wal, 101, 20, FLOW_SYNC_YES));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	CHECK(seen.n == n + 2 && seen.id[n] == 100 && seen.id[n + 1] == 101);
	CHECK_OK(flowi_wal_close(wal));
}

/* X18, TW03: the last segment that is used, cut at each byte. */
static void
test_cut_everywhere(void)
{
	uint64_t all_end[16];
	uint32_t nopened = 0;

	make_small_log();
	memcpy(all_end, seen.end, sizeof(all_end));
	for (int i = 0; i < nsaved; i++)
	{
		for (size_t at = 0; at < saved[i].n; at += at < 1200 ? 1 : 37)
		{
			uint64_t pos = saved[i].start + at;
			FlowWal *wal;
			FlowStatus st;
			uint32_t whole = 0;

			restore_log();
			CHECK(truncate(seg_path(saved[i].start), (off_t) at) == 0);
			st = try_open(0, &wal);
			while (whole < 12 && all_end[whole] <= pos)
				whole++;
			/* padding may be missing */
			if (st == FLOW_OK)
			{
				CHECK(seen.n >= whole);
				check_seen(0, seen.n);
				CHECK(seen.n <= whole + 1 || seen.n == 12);
				nopened++;
				check_goes_on(wal, seen.n);
			}
			else
			{
				/* something behind had been durable, or no header */
				CHECK_STATUS(st, FLOW_CORRUPT);
				CHECK(wal == NULL);
				CHECK(at < 64 || pos < all_end[10]);
			}
		}
	}
	CHECK(nopened > 500);
	forget_saved();
	check_passed("cut at every byte");
}

/* X18, TW10: each byte flipped. */
static void
test_flip_everywhere(void)
{
	uint32_t nopened = 0;
	uint32_t nrefused = 0;

	make_small_log();
	for (int i = 0; i < nsaved; i++)
	{
		for (size_t at = 0; at < saved[i].n; at += at < 4000 ? 1 : 11)
		{
			FlowWal *wal;
			FlowStatus st;

			restore_log();
			write_at(saved[i].start + at,
					 &(uint8_t){saved[i].bytes[at] ^ (1u << at % 8)}, 1,
					 saved[i].start);
			st = try_open(0, &wal);
			if (st == FLOW_OK)
			{
				/* only the last one has nobody to vouch for it */
				CHECK(seen.n >= 11);
				check_seen(0, seen.n);
				nopened++;
				CHECK_OK(flowi_wal_close(wal));
			}
			else
			{
				CHECK(st == FLOW_CORRUPT ||
					  (st == FLOW_MISMATCH && at >= 8 && at < 12));
				nrefused++;
			}
		}
	}
	CHECK(nrefused > 1000 && nopened > 1000);
	restore_log();
	/* the message says where, and what to do */
	write_at(saved[0].start + 100, "x", 1, saved[0].start);
	CHECK_STATUS(try_open(0, &(FlowWal *){NULL}), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, ".wal") != NULL);
	CHECK(strstr(flow_last_error()->message, "offset 64") != NULL);
	CHECK(strstr(flow_last_error()->message, "flowdb_salvage") != NULL);
	CHECK(report.bad_pos == saved[0].start + 64);
	forget_saved();
	check_passed("flip every byte");
}

/*
 * A group that was written but never synced, of which the disk kept any part:
 * what is in front of the first loss stays, all behind it goes and never
 * comes back.
 */
static void
test_out_of_order(void)
{
	for (int round = 0; round < 60; round++)
	{
		FlowWal *wal = open_log(0);
		uint64_t starts[64], end;
		uint32_t first = 64;
		FlowWalRoom *room;
		char buf[1024];

		for (uint32_t i = 0; i < 10; i++)
			CHECK_OK(put(wal, i, 100, FLOW_SYNC_YES));
		for (uint32_t i = 10; i < 40; i++)
		{
			size_t len = make_record(buf, sizeof(buf), i, 20 + i * 11);

			CHECK_OK(flowi_wal_admit(wal, len, FLOW_SYNC_NO, &room));
			flowi_wal_append(wal, room, buf, len, &starts[i], &end);
		}
		CHECK_OK(flowi_wal_close(wal));
		for (int i = 0; i < 3; i++)
		{
			uint32_t lost = 10 + (uint32_t) check_below(&random_state, 30);

			write_at(starts[lost], "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16,
					 starts[lost] & ~UINT64_C(4095));
			first = FLOW_MIN(first, lost);
		}
		wal = open_log(0);
		check_seen(0, first);
		CHECK(first == 39 || report.cut_bytes > 0);
		check_goes_on(wal, first);
		empty_dir();
	}
	check_passed("a torn tail out of order");
}

/*
 * What was cut may lie on the disk whole, right behind the place where the
 * log goes on: a new record as long as the one that was lost makes it the
 * next one, which it must not become.
 */
static void
test_cut_stays_cut(void)
{
	for (uint32_t lost = 10; lost < 13; lost++)
	{
		FlowWal *wal = open_log(0);
		uint64_t starts[16], end;
		FlowWalRoom *room;
		char buf[256];
		size_t len;

		for (uint32_t i = 0; i < 10; i++)
			CHECK_OK(put(wal, i, 100, FLOW_SYNC_YES));
		for (uint32_t i = 10; i < 15; i++)
		{
			len = make_record(buf, sizeof(buf), i, 100);
			CHECK_OK(flowi_wal_admit(wal, len, FLOW_SYNC_NO, &room));
			flowi_wal_append(wal, room, buf, len, &starts[i], &end);
		}
		CHECK_OK(flowi_wal_close(wal));
		write_at(starts[lost] + 40, "lost", 4, 0);
		wal = open_log(0);
		check_seen(0, lost);
		CHECK(flowi_wal_bound(wal) == starts[lost]);
		CHECK_OK(put(wal, lost, 100, FLOW_SYNC_NO));
		CHECK_OK(flowi_wal_close(wal));
		wal = open_log(0);
		check_seen(0, lost + 1);
		CHECK_OK(flowi_wal_close(wal));
		empty_dir();
	}
	check_passed("what was cut does not come back");
}

/* The same, but a later record was synced: damage.  And a segment lost. */
static void
test_damage(void)
{
	FlowWal *wal = open_log(0);
	uint64_t end, start;

	for (uint32_t i = 0; i < 10; i++)
		CHECK_OK(put(wal, i, 100, FLOW_SYNC_NO));
	CHECK_OK(append(wal, 10, 10, FLOW_SYNC_YES, &end));
	CHECK_OK(flowi_wal_sync(wal, &end));
	CHECK_OK(put(wal, 11, 10, FLOW_SYNC_YES));
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	CHECK_OK(flowi_wal_close(wal));
	write_at(seen.start[4], "junk", 4, 0);
	CHECK_STATUS(try_open(0, &wal), FLOW_CORRUPT);
	CHECK(report.bad_pos == seen.start[4]);
	/* what SSTables have need not be whole */
	wal = open_log(seen.end[4]);
	check_seen(5, 12);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();

	for (int which = 0; which < 3; which++)
	{
		wal = open_log(0);
		for (uint32_t i = 0; i < 12; i++)
			CHECK_OK(put(wal, i, 1000, FLOW_SYNC_YES));
		CHECK_OK(flowi_wal_close(wal));
		start = 0x1000 * (uint64_t) which;
		CHECK(unlink(seg_path(start)) == 0);
		CHECK_STATUS(try_open(0, &wal), FLOW_CORRUPT);
		CHECK(strstr(flow_last_error()->message, "missing") != NULL);
		empty_dir();
	}
	check_passed("damage");
}

/* ------------------------------------------------------------- durability */

/* W31, D08: which commits sync. */
static void
test_modes(void)
{
	uint64_t syncs;
	FlowWal *wal = open_log(0);

	CHECK_OK(put(wal, 0, 10, FLOW_SYNC_DEFAULT));
	syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
	CHECK_OK(put(wal, 1, 10, FLOW_SYNC_DEFAULT));
	CHECK_OK(put(wal, 2, 10, FLOW_SYNC_YES));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs + 2);
	CHECK_OK(put(wal, 3, 10, FLOW_SYNC_NO));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs + 2);
	CHECK_OK(flowi_wal_close(wal));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs + 3);

	opts.sync_mode = FLOW_SYNC_INTERVAL;
	opts.sync_interval_ms = 60000;
	wal = open_log(0);
	check_seen(0, 4);
	syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
	for (uint32_t i = 4; i < 10; i++)
		CHECK_OK(put(wal, i, 10, FLOW_SYNC_DEFAULT));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs);
	CHECK_OK(put(wal, 10, 10, FLOW_SYNC_YES));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs + 1);
	CHECK_OK(flowi_wal_close(wal));

	/* the next one after the interval does it */
	opts.sync_interval_ms = 20;
	wal = open_log(0);
	check_seen(0, 11);
	usleep(30000);
	syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
	CHECK_OK(put(wal, 11, 10, FLOW_SYNC_DEFAULT));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) == syncs + 1);
	CHECK_OK(flowi_wal_close(wal));
	opts.sync_mode = FLOW_SYNC_ALWAYS;
	empty_dir();
	check_passed("sync modes");
}

/* Writes to the kernel before it returns: another open sees it at once. */
static void
test_killed(void)
{
	FlowWal *wal = open_log(0);
	FlowWal *other;

	CHECK_OK(put(wal, 0, 100, FLOW_SYNC_NO));
	other = open_log(0);
	check_seen(0, 1);
	CHECK_OK(flowi_wal_close(other));
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	check_passed("written before the return");
}

/* Each write and sync in turn fails; each failure ends the log, and what was
 * acknowledged is there afterwards. */
static void
test_failures(void)
{
	static const FlowPosixOp ops[] = {FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
									  FLOW_POSIX_RENAME, FLOW_POSIX_OPEN,
									  FLOW_POSIX_ALLOC};

	for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++)
	{
		bool failed = true;

		for (uint64_t nth = 1; failed; nth++)
		{
			uint32_t good = 0;
			bool panicked = false;
			FlowWal *wal = NULL;
			FlowStatus st;

			flow_env_posix_fail(env, ops[o], nth, 1, EIO);
			st = try_open(0, &wal);
			failed = st != FLOW_OK;
			for (uint32_t i = 0; wal && i < 12; i++)
			{
				st = put(wal, i, 700, FLOW_SYNC_YES);
				if (st == FLOW_OK)
				{
					CHECK(!panicked);
					good = i + 1;
					continue;
				}
				failed = true;
				CHECK(!panicked || st == FLOW_PANIC);
				if (st == FLOW_PANIC)
					CHECK(strstr(flow_last_error()->message, "could not"));
				if (good == i && !panicked)
				{
					/* once more: either it was refused before it was
					 * logged, or for ever */
					st = put(wal, i, 700, FLOW_SYNC_YES);
					panicked = st != FLOW_OK;
					CHECK(!panicked || st == FLOW_PANIC);
					good += !panicked;
				}
			}
			flow_env_posix_fail(env, ops[o], 1, 0, 0);
			st = flowi_wal_close(wal);
			CHECK(st == (panicked ? FLOW_PANIC : FLOW_OK));
			wal = open_log(0);
			CHECK(seen.n >= good);
			check_seen(0, seen.n);
			check_goes_on(wal, seen.n);
			empty_dir();
		}
	}
	check_passed("failed calls");
}

/* ------------------------------------------------------------------ groups */

#define WRITERS 8

static bool measuring;

typedef struct Writer
{
	FlowWal *wal;
	uint32_t id;
	uint32_t commits;
	uint32_t failed;
	pthread_mutex_t *lock;
	uint32_t *next;
} Writer;

static void *
writer_main(void *arg)
{
	Writer *w = arg;

	for (uint32_t i = 0; i < w->commits; i++)
	{
		char buf[256];
		size_t len;
		uint64_t start, end, visible;
		FlowWalRoom *room;
		FlowSync sync = i % 3 == 0 && !measuring ? FLOW_SYNC_NO : FLOW_SYNC_YES;
		uint32_t id;

		if (flowi_wal_admit(w->wal, 200, sync, &room) != FLOW_OK)
		{
			w->failed++;
			continue;
		}
		/* as the write lock does */
		pthread_mutex_lock(w->lock);
		id = (*w->next)++;
		len = make_record(buf, sizeof(buf), id, 20 + id % 180);
		flowi_wal_append(w->wal, room, buf, len, &start, &end);
		pthread_mutex_unlock(w->lock);
		if (flowi_wal_commit(w->wal, end, &visible) != FLOW_OK)
			w->failed++;
		else
			CHECK(visible >= end);
		if (i % 64 == 63 && w->id == 0)
			CHECK_OK(flowi_wal_prepare(w->wal));
	}
	return NULL;
}

static uint32_t
run_writers(FlowWal *wal, uint32_t n, uint32_t commits)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[WRITERS];
	Writer w[WRITERS];
	uint32_t next = 0;
	uint32_t failed = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		w[i] = (Writer){wal, i, commits, 0, &lock, &next};
		CHECK(pthread_create(&threads[i], NULL, writer_main, &w[i]) == 0);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		CHECK(pthread_join(threads[i], NULL) == 0);
		failed += w[i].failed;
	}
	return failed;
}

/* D06, W29: eight writers, and none waits for ever. */
static void
test_groups(void)
{
	uint64_t syncs;
	FlowWal *wal;

	opts.segment_bytes = 65536;
	wal = open_log(0);
	syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
	CHECK(run_writers(wal, WRITERS, 300) == 0);
	syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC) - syncs;
	CHECK(syncs < WRITERS * 300);
	CHECK_OK(flowi_wal_close(wal));
	wal = open_log(0);
	check_seen(0, WRITERS * 300);
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	printf("# %d commits of 8 writers, %" PRIu64 " syncs\n", WRITERS * 300,
		   syncs);

	/* D12: a failed sync is told to all who wait, and to all who come */
	wal = open_log(0);
	CHECK_OK(put(wal, 0, 10, FLOW_SYNC_YES));
	CHECK_OK(flowi_wal_close(wal));
	empty_dir();
	wal = open_log(0);
	flow_env_posix_fail(env, FLOW_POSIX_SYNC, 40, UINT64_MAX, EIO);
	CHECK(run_writers(wal, WRITERS, 100) > 0);
	flow_env_posix_fail(env, FLOW_POSIX_SYNC, 1, 0, 0);
	CHECK_STATUS(put(wal, 5000, 10, FLOW_SYNC_NO), FLOW_PANIC);
	CHECK_STATUS(flowi_wal_close(wal), FLOW_PANIC);
	empty_dir();
	opts.segment_bytes = 4096;
	check_passed("group commit");
}

/* ------------------------------------------------------------------ repair */

static uint32_t nbad;
static uint64_t bad_from[16], bad_to[16];

static FlowStatus
see_bad(void *arg, const char *file, uint64_t from, uint64_t to, uint64_t off)
{
	(void) arg;
	CHECK(strstr(file, ".wal") != NULL && nbad < 16 && off <= to);
	bad_from[nbad] = from;
	bad_to[nbad++] = to;
	return FLOW_OK;
}

static void
scan(void)
{
	seen.n = 0;
	nbad = 0;
	CHECK_OK(flowi_wal_scan(env, dir, 0, see, see_bad, &seen, &report));
	CHECK((report.bad_pos != 0) == (nbad > 0));
}

/* Damage of each kind; cut and skip both make a log that opens. */
static void
test_repair(void)
{
	char keep[64];

	make_small_log();
	snprintf(keep, sizeof(keep), "%s/WAL/damaged-1", dir);
	scan();
	CHECK(seen.n == 12 && nbad == 0 && report.cut_bytes == 0);
	for (int kind = 0; kind < 8; kind++)
	{
		uint32_t before;
		FlowWal *wal;

		restore_log();
		/* a frame, a header, a segment; two frames */
		if (kind < 2)
			write_at(seen.start[3] + 40, "bad", 3, saved[0].start);
		else if (kind < 4)
			write_at(saved[1].start + 20, "bad", 3, saved[1].start);
		else if (kind < 6)
			CHECK(unlink(seg_path(saved[0].start)) == 0);
		else
		{
			write_at(seen.start[3] + 40, "bad", 3, saved[0].start);
			write_at(seen.start[5] + 40, "bad", 3, saved[0].start);
		}
		CHECK_STATUS(try_open(0, &wal), FLOW_CORRUPT);
		scan();
		CHECK(nbad == (kind >= 6 ? 2 : 1) && seen.n <= 12);
		before = seen.n;
		if (kind % 2 == 0)
		{
			CHECK_OK(flowi_wal_cut(env, dir, bad_from[0], keep));
			wal = open_log(0);
			CHECK(seen.n < 12);
			check_seen(0, seen.n);
			check_goes_on(wal, seen.n);
		}
		else
		{
			for (uint32_t i = 0; i < nbad; i++)
				CHECK_OK(
					flowi_wal_skip(env, dir, bad_from[i], bad_to[i], keep));
			wal = open_log(0);
			CHECK(seen.n == before);
			check_goes_on(wal, seen.n);
		}
		file_shell("rm -rf ./%s/*", keep);
		CHECK(rmdir(keep) == 0 || errno == ENOENT);
		restore_log();
		scan();
	}
	forget_saved();

	/* a segment in the middle that is gone */
	for (int skip = 0; skip < 2; skip++)
	{
		FlowWal *wal = open_log(0);

		for (uint32_t i = 0; i < 12; i++)
			CHECK_OK(put(wal, i, 1000, FLOW_SYNC_YES));
		CHECK_OK(flowi_wal_close(wal));
		CHECK(unlink(seg_path(0x1000)) == 0);
		scan();
		CHECK(nbad == 1 && seen.n == 9);
		if (skip)
			CHECK_OK(flowi_wal_skip(env, dir, bad_from[0], bad_to[0], keep));
		else
			CHECK_OK(flowi_wal_cut(env, dir, bad_from[0], keep));
		wal = open_log(0);
		CHECK(seen.n == (skip ? 9 : 3));
		check_goes_on(wal, seen.n);
		empty_dir();
	}
	check_passed("repair");
}

/* Commits a second and per sync, by one writer and by eight; argv[2]. */
static void
measure(void)
{
	measuring = true;
	for (uint32_t n = 1; n <= WRITERS; n += WRITERS - 1)
	{
		FlowWal *wal;
		uint64_t syncs;
		int64_t begin;
		double secs;
		uint32_t commits = 20000 / n;

		opts.segment_bytes = 64 << 20;
		wal = open_log(0);
		CHECK_OK(put(wal, 0, 10, FLOW_SYNC_YES));
		syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
		begin = env->now_us(env);
		CHECK(run_writers(wal, n, commits) == 0);
		secs = (double) (env->now_us(env) - begin) / 1e6;
		syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC) - syncs;
		printf("%u threads: %.0f commits/s, %.2f commits per sync\n", n,
			   n * commits / secs, n * commits / (double) syncs);
		CHECK_OK(flowi_wal_close(wal));
		empty_dir();
	}
}

int
main(int argc, char **argv)
{

	random_state = check_seed(argc, argv);
	CHECK(mkdtemp(dir) != NULL);
	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	if (argc > 2)
		measure();
	else
	{
		test_roundtrip();
		test_segments();
		test_release_queued();
		test_rooms();
		run_unsynced(test_cut_everywhere);
		run_unsynced(test_flip_everywhere);
		run_unsynced(test_out_of_order);
		run_unsynced(test_cut_stays_cut);
		run_unsynced(test_damage);
		test_modes();
		test_killed();
		test_failures();
		test_groups();
		run_unsynced(test_repair);
	}
	flow_env_posix_free(env);
	empty_dir();
	CHECK(rmdir(dir) == 0);
	return 0;
}
