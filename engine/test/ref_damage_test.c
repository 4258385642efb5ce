/*-------------------------------------------------------------------------
 * ref_damage_test.c
 *	  Damaged files and killed processes: X15, X18, X23, X24, X33; see
 *	  refcase.h.
 *
 * X15: W16.  X18: W24, W25, W26, W31.  X23: W37.  X24: W39.  X33: W38, W40.
 *-------------------------------------------------------------------------
 */
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "refcase.h"

/* ------------------------------------------------------------------- files */

static uint8_t bytes[1 << 21];

/* The only file, or the largest, that matches dir/pattern. */
static size_t
find_file(const char *dir, const char *pattern, char path[256])
{
	char full[256];
	glob_t found;
	struct stat sb;
	off_t size = -1;

	snprintf(full, sizeof(full), "%s/%s", dir, pattern);
	CHECK(glob(full, 0, NULL, &found) == 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
	{
		CHECK(stat(found.gl_pathv[i], &sb) == 0);
		if (sb.st_size <= size)
			continue;
		size = sb.st_size;
		snprintf(path, 256, "%s", found.gl_pathv[i]);
	}
	globfree(&found);
	return (size_t) size;
}

static size_t
read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	CHECK(file != NULL);
	n = fread(bytes, 1, sizeof(bytes), file);
	CHECK(n < sizeof(bytes));
	fclose(file);
	return n;
}

static void
write_file(const char *path, size_t n)
{
	FILE *file = fopen(path, "wb");

	CHECK(file != NULL && fwrite(bytes, 1, n, file) == n);
	CHECK(fclose(file) == 0);
}

static void
flip(const char *path, size_t at)
{
	FILE *file = fopen(path, "r+b");
	int c;

	CHECK(file != NULL && fseek(file, (long) at, SEEK_SET) == 0);
	c = fgetc(file);
	CHECK(c != EOF && fseek(file, (long) at, SEEK_SET) == 0);
	CHECK(fputc(c ^ 0x41, file) != EOF);
	CHECK(fclose(file) == 0);
}

/* As if the process had died: the directory is kept as base, nobody has it
 * open. */
static void
keep_as_base(RefDb *r, char base[64])
{
	snprintf(base, 64, "%.14s.base", r->dir);
	ref_copy(r->dir, base);
	ref_drop(r);
}

static void
begin_from_base(RefDb *r, const char *base)
{
	ref_remove(r->dir);
	ref_copy(base, r->dir);
}

static bool
is_damage(FlowStatus st)
{
	return st == FLOW_CORRUPT || st == FLOW_MISMATCH;
}

/* Count what can be read; *stp: how it ended.  A row must be one of ours. */
static uint64_t
try_count(RefDb *r, FlowStatus *stp)
{
	FlowScanSpec spec = ref_spec(r);
	FlowScan *scan;
	FlowRecord row;
	uint64_t n = 0;

	CHECK_OK(flow_scan_open(r->db, &spec, &scan));
	while ((*stp = flow_scan_row(scan, &row)) == FLOW_OK)
	{
		CHECK(row.key_bytes == row.value_bytes);
		CHECK(memcmp(row.key, row.value, row.key_bytes) == 0);
		n++;
	}
	flow_scan_close(scan);
	return n;
}

/* --------------------------------------------------------------------- X15 */

#define X15_ROWS 40

static void
read_flipped(RefDb *r)
{
	FlowStatus st = ref_try_open(r);
	char key[16];
	uint64_t n;

	if (st != FLOW_OK)
	{
		CHECK(is_damage(st));
		return;
	}
	n = try_count(r, &st);
	CHECK(is_damage(st) || (st == FLOW_END && n == X15_ROWS));
	for (int i = 0; i < X15_ROWS; i += 13)
	{
		FlowScanSpec spec = ref_spec(r);
		FlowScan *scan;
		const FlowVector *vec;

		snprintf(key, sizeof(key), "key%02d", i);
		st = flow_get(r->db, &spec, key, 5, i, &scan, &vec);
		CHECK(st == FLOW_OK || is_damage(st));
		if (st == FLOW_OK)
			CHECK(vec->value_bytes[0] == 5 &&
				  memcmp(vec->value[0], key, 5) == 0);
		flow_scan_close(scan);
	}
	ref_drop(r);
}

static void
x15_flipped_bytes(void)
{
	RefDb r;
	char key[16], path[256];
	size_t size;

	ref_open(&r);
	for (int i = 0; i < X15_ROWS; i++)
	{
		snprintf(key, sizeof(key), "key%02d", i);
		ref_put(&r, key, i, key);
	}
	ref_shut(&r);
	size = find_file(r.dir, "SST/*", path);
	CHECK(size > 100 && size < 8192);
	for (size_t at = 0; at < size; at++)
	{
		flip(path, at);
		read_flipped(&r);
		flip(path, at);
	}
	CHECK_OK(ref_try_open(&r));
	CHECK(ref_count(&r) == X15_ROWS);
	ref_close(&r);
}

/* --------------------------------------------------------------------- X18 */

#define X18_BATCHES 4

/* Where the log ends: behind the last byte that is not 0. */
static size_t
log_end(const RefDb *r, char path[256])
{
	size_t n;

	find_file(r->dir, "WAL/*.wal", path);
	n = read_file(path);
	while (n > 0 && bytes[n - 1] == 0)
		n--;
	return n;
}

static void
write_three(RefDb *r, int batch)
{
	char key[3][16];
	FlowRecord rec[3];

	for (int i = 0; i < 3; i++)
	{
		snprintf(key[i], sizeof(key[i]), "b%d-%d", batch, i);
		rec[i] = ref_record(key[i], batch, key[i]);
	}
	CHECK_OK(flow_write_batch(r->db, r->store, rec, 3, NULL));
}

/* Batches of which no byte is behind cut. */
static uint64_t
whole_batches(const size_t *end, size_t cut)
{
	uint64_t n = 0;

	while (n < X18_BATCHES && end[n + 1] <= cut)
		n++;
	return n;
}

/* end: of the log before the first batch, and after each. */
static void
open_cut_log(RefDb *r, const size_t *end, size_t cut)
{
	FlowStatus st = ref_try_open(r);
	uint64_t n;

	if (st != FLOW_OK)
	{
		/* there may be nothing to go on from */
		CHECK(is_damage(st) && cut < end[0]);
		return;
	}
	n = ref_count(r);
	CHECK(n % 3 == 0); /* no part of a batch */
	CHECK(n / 3 <= whole_batches(end, cut));
	CHECK(cut < 8 || n / 3 >= whole_batches(end, cut - 8)); /* padding */
	ref_put(r, "new", 1, "new");
	ref_crash(r);
	CHECK(ref_count(r) == n + 1);
	ref_reopen(r);
	CHECK(ref_count(r) == n + 1);
	ref_drop(r);
}

static void
x18_cut_log(void)
{
	RefDb r;
	char base[64], path[256];
	size_t end[X18_BATCHES + 1];
	size_t size;

	ref_open(&r);
	end[0] = log_end(&r, path);
	for (int i = 0; i < X18_BATCHES; i++)
	{
		write_three(&r, i);
		end[i + 1] = log_end(&r, path);
		CHECK(end[i + 1] > end[i]);
	}
	keep_as_base(&r, base);
	for (size_t cut = 0; cut <= end[X18_BATCHES]; cut++)
	{
		/* all of the last batch, some of the others */
		if (cut < end[X18_BATCHES - 1] && cut % 7 != 0)
			continue;
		begin_from_base(&r, base);
		find_file(r.dir, "WAL/*.wal", path);
		size = read_file(path);
		/* the file ends there, or the block behind was never written */
		if (cut % 2)
			memset(bytes + cut, 0, size - cut);
		write_file(path, cut % 2 ? size : cut);
		open_cut_log(&r, end, cut);
	}
	ref_remove(base);
	ref_remove(r.dir);
}

/* a flipped bit of a batch: behind it lie good ones, so the open fails; in
 * the last one it is a torn tail or damage, but no row is another */
static void
x18_flipped_log(void)
{
	RefDb r;
	char base[64], path[256];
	size_t end[X18_BATCHES + 1];

	ref_open(&r);
	end[0] = log_end(&r, path);
	for (int i = 0; i < X18_BATCHES; i++)
	{
		write_three(&r, i);
		end[i + 1] = log_end(&r, path);
	}
	keep_as_base(&r, base);
	for (size_t at = end[1]; at < end[X18_BATCHES]; at += 5)
	{
		FlowStatus st;
		uint64_t n;

		begin_from_base(&r, base);
		find_file(r.dir, "WAL/*.wal", path);
		flip(path, at);
		st = ref_try_open(&r);
		CHECK(st == FLOW_OK || is_damage(st));
		if (st != FLOW_OK)
			continue;
		n = try_count(&r, &st);
		CHECK(st == FLOW_END && n % 3 == 0);
		/* nothing is cut that was durable when more was written */
		CHECK(at < end[X18_BATCHES - 1] ? n == 3 * X18_BATCHES
										: n >= 3 * (X18_BATCHES - 1));
		ref_drop(&r);
	}
	ref_remove(base);
	ref_remove(r.dir);
}

/* --------------------------------------------------------------------- X23 */

static void
x23_unreadable_input(void)
{
	RefDb r;
	char key[16], path[256], text[64];
	size_t size;
	bool ran;

	ref_open(&r);
	for (int i = 0; i < 600; i++)
	{
		snprintf(key, sizeof(key), "k%03d", i);
		ref_put(&r, key, i, key);
		if (i == 300)
			CHECK_OK(flow_flush(r.db, NULL));
	}
	ref_shut(&r);
	size = find_file(r.dir, "SST/*", path);
	flip(path, size / 4);
	CHECK_OK(ref_try_open(&r));
	CHECK(ref_sstables(&r) == 2);
	for (int i = 0; i < 2; i++)
	{
		CHECK_STATUS(flow_compact(r.db, r.store, &ran), FLOW_CORRUPT);
		CHECK(!ran && ref_sstables(&r) == 2);
	}
	CHECK(ref_get(&r, "k599", 599, text) || ref_get(&r, "k000", 0, text));
	ref_put(&r, "new", 1, "new");
	ref_shut(&r);
	flip(path, size / 4);
	CHECK_OK(ref_try_open(&r));
	CHECK(ref_count(&r) == 601);
	CHECK_OK(flow_compact(r.db, r.store, &ran));
	CHECK(ran && ref_count(&r) == 601);
	ref_close(&r);
}

/* --------------------------------------------------------------------- X24 */

static void
x24_cut_manifest(void)
{
	RefDb r;
	char base[64], path[256];
	size_t size;
	int opened = 0;

	ref_open(&r);
	ref_put(&r, "a", 1, "a");
	CHECK_OK(flow_flush(r.db, NULL));
	ref_put(&r, "b", 1, "b");
	CHECK_OK(flow_flush(r.db, NULL));
	ref_put(&r, "c", 1, "c");
	keep_as_base(&r, base);
	size = find_file(base, "INDEX/MANIFEST*", path);
	for (size_t cut = 0; cut <= size; cut++)
	{
		FlowStatus st;

		begin_from_base(&r, base);
		find_file(r.dir, "INDEX/MANIFEST*", path);
		CHECK(truncate(path, (off_t) cut) == 0);
		st = ref_try_open(&r);
		if (st != FLOW_OK)
		{
			CHECK(is_damage(st) && cut < size); /* said, not hidden */
			continue;
		}
		opened++;
		CHECK(ref_count(&r) == 3);
		ref_put(&r, "d", 1, "d");
		CHECK_OK(flow_flush(r.db, NULL));
		ref_crash(&r);
		CHECK(ref_count(&r) == 4);
		ref_drop(&r);
	}
	CHECK(opened > 0);
	ref_remove(base);
	ref_remove(r.dir);
}

/* --------------------------------------------------------------------- X33 */

/* What the killed process has left behind for the other to see. */
typedef struct Killed
{
	uint64_t acknowledged; /* rows */
	uint64_t calls;
} Killed;

static Killed *killed;
static uint64_t kill_at;
static FlowEnv real;

/* One call that changes something. */
static void
count_call(void)
{
	if (++killed->calls == kill_at)
		_exit(77);
}

static FlowStatus
kill_open(FlowEnv *env, const char *path, int how, FlowFile **filep)
{
	if (how == FLOW_O_CREATE)
		count_call();
	return real.file_open(env, path, how, filep);
}

static FlowStatus
kill_write(FlowFile *file, const void *buf, size_t len, uint64_t off)
{
	count_call();
	return real.file_write(file, buf, len, off);
}

static FlowStatus
kill_sync(FlowFile *file)
{
	count_call();
	return real.file_sync(file);
}

static FlowStatus
kill_truncate(FlowFile *file, uint64_t len)
{
	count_call();
	return real.file_truncate(file, len);
}

static FlowStatus
kill_rename(FlowEnv *env, const char *from, const char *to)
{
	count_call();
	return real.rename(env, from, to);
}

static FlowStatus
kill_unlink(FlowEnv *env, const char *path)
{
	count_call();
	return real.unlink(env, path);
}

static FlowStatus
kill_sync_dir(FlowEnv *env, const char *path)
{
	count_call();
	return real.sync_dir(env, path);
}

static void
arm(FlowEnv *env, uint64_t at)
{
	kill_at = at;
	killed->calls = 0;
	real = *env;
	env->file_open = kill_open;
	env->file_write = kill_write;
	env->file_sync = kill_sync;
	env->file_truncate = kill_truncate;
	env->rename = kill_rename;
	env->unlink = kill_unlink;
	env->sync_dir = kill_sync_dir;
}

static void
put_acknowledged(RefDb *r, int64_t ts)
{
	ref_put(r, "k", ts, "k");
	killed->acknowledged++;
}

/* What is killed.  The rows are k@0, k@1, ..; each acknowledged once. */
typedef enum KillWhat
{
	KILL_FLUSH,
	KILL_COMPACT,
	KILL_GC,
	KILL_SNAPSHOT /* of the manifest */
} KillWhat;

typedef struct KillRun
{
	RefDb *r;
	KillWhat what;
	uint64_t at;
} KillRun;

static void
run_and_die(const void *arg)
{
	const KillRun *run = arg;
	RefDb *r = run->r;
	uint64_t purged;
	bool ran;

	CHECK_OK(ref_try_open(r));
	arm(r->env, run->at);
	switch (run->what)
	{
		case KILL_FLUSH:
			for (int i = 0; i < 3; i++)
				put_acknowledged(r, 3 + i);
			CHECK_OK(flow_flush(r->db, NULL));
			put_acknowledged(r, 6);
			break;
		case KILL_COMPACT:
			CHECK_OK(flow_compact(r->db, 0, &ran));
			CHECK(ran);
			break;
		case KILL_GC:
			ref_clock = REF_NOW + 1000;
			CHECK_OK(flow_gc(r->db, &purged));
			CHECK(purged == 2);
			break;
		default:
			for (int i = 0; i < 40; i++)
			{
				put_acknowledged(r, 3 + i);
				CHECK_OK(flow_flush(r->db, NULL));
				CHECK_OK(flow_compact(r->db, 0, &ran));
			}
	}
	_exit(0);
}

static int
count_files(const char *dir)
{
	char pattern[128];
	glob_t found;
	int n;

	snprintf(pattern, sizeof(pattern), "%s/SST/*", dir);
	n = glob(pattern, 0, NULL, &found) == 0 ? (int) found.gl_pathc : 0;
	globfree(&found);
	return n;
}

/* Open what the killed process left; false: it was not killed. */
static bool
kill_once(RefDb *r, KillWhat what, uint64_t at, const char *base)
{
	KillRun run = {r, what, at};
	FlowStats stats;
	uint64_t n;
	bool done;

	begin_from_base(r, base);
	killed->acknowledged = 3;
	done = ref_apart(run_and_die, &run);
	CHECK(done || killed->calls == at);
	CHECK_OK(ref_try_open(r));
	n = ref_count(r);
	CHECK(n == killed->acknowledged || n == killed->acknowledged + 1);
	flow_stats(r->db, &stats);
	CHECK(count_files(r->dir) == (int) (stats.sstables + stats.obsolete_files));
	/* and it can be worked with */
	ref_put(r, "k", 1000, "k");
	CHECK_OK(flow_flush(r->db, NULL));
	ref_reopen(r);
	CHECK(ref_count(r) == n + 1);
	ref_drop(r);
	return !done;
}

/* Three rows k@0.. in two SSTables, and one with expired rows of another key */
static void
make_base(RefDb *r, char base[64])
{
	FlowRecord rec[2] = {ref_record("x", 1, "x"), ref_record("y", 1, "y")};

	ref_open(r);
	for (int i = 0; i < 3; i++)
	{
		ref_put(r, "k", i, "k");
		if (i > 0)
			CHECK_OK(flow_flush(r->db, NULL));
	}
	rec[0].expire_at = rec[1].expire_at = REF_NOW + 1;
	CHECK_OK(flow_write_batch(r->db, r->store, rec, 2, NULL));
	CHECK_OK(flow_flush(r->db, NULL));
	CHECK(ref_sstables(r) == 3);
	keep_as_base(r, base);
	killed = mmap(NULL, sizeof(*killed), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(killed != MAP_FAILED);
	ref_clock = REF_NOW + 1000; /* for who reads what is left */
}

static void
kill_all(KillWhat what, uint64_t step)
{
	RefDb r;
	char base[64];
	uint64_t at = 1;

	make_base(&r, base);
	while (kill_once(&r, what, at, base))
		at += step;
	CHECK(at > 3);
	ref_remove(base);
	ref_remove(r.dir);
}

static void
x33_flush(void)
{
	kill_all(KILL_FLUSH, 1);
}

static void
x33_compact(void)
{
	kill_all(KILL_COMPACT, 1);
}

static void
x33_gc(void)
{
	kill_all(KILL_GC, 1);
}

static void
x33_snapshot(void)
{
	kill_all(KILL_SNAPSHOT, 23);
}

static const RefCase cases[] = {
	{"X15", x15_flipped_bytes, NULL},	  {"X18", x18_cut_log, NULL},
	{"X18", x18_flipped_log, NULL},		  {"X23", x23_unreadable_input, NULL},
	{"X24", x24_cut_manifest, NULL},	  {"X33 flush", x33_flush, NULL},
	{"X33 compact", x33_compact, NULL},	  {"X33 gc", x33_gc, NULL},
	{"X33 snapshot", x33_snapshot, NULL},
};

REF_MAIN(cases)
