/*-------------------------------------------------------------------------
 * damage_test.c
 *	  A whole database with one byte changed, or one file cut short.
 *
 * A small database has every kind of file: SSTables from flushes and from a
 * merge, with range tombstones and without, the manifest, CURRENT, and a log
 * with batches that are not flushed.  Each byte of each file is changed in
 * turn, each file is cut at each length and removed; then the database is
 * opened, read in every way, written to, and opened again.  It must give the
 * right rows or an error.  One thing cannot be told from what a crash leaves:
 * damage to the very last frame of the log or of the manifest; then all but
 * the last batch must be there, or an error said so.  And a log that is cut
 * short is taken for one that a crash cut: what stands before is there.
 *
 *	 damage_test [every]	  only every so manyth byte; default 11, 1 is all
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../common.h"
#include "dbtest.h"

#define REGION_BYTES ((size_t) 8 << 20)
#define MAX_FILES 32
#define PATH 512

static FlowEnv *env;
static FlowOptions opts;
static char home[64]; /* the undamaged database */
static char copy[80];
static TestDb t;

#define NSTATES 4
static char rows[NSTATES][4096]; /* after each batch that is in the log only;
								  * the last one is what must be there */
#define rows_all rows[NSTATES - 1]

typedef struct File
{
	char name[PATH]; /* from the database's directory on */
	uint64_t size;
	uint64_t used; /* what is behind is zero */
} File;

static File files[MAX_FILES];
static uint32_t nfiles;

static uint64_t opened, refused, misread; /* outcomes */
static const char *deed; /* what was done to the file, and where */
static uint64_t place;

/* ------------------------------------------------------------------- files */

static void
note_file(const char *sub, const char *name)
{
	File *f = &files[nfiles++];
	char path[2 * PATH];
	FILE *in;
	int c;
	uint64_t at = 0;

	CHECK(nfiles <= MAX_FILES);
	snprintf(f->name, sizeof(f->name), "%s/%s", sub, name);
	snprintf(path, sizeof(path), "%s/%s", home, f->name);
	in = fopen(path, "rb");
	CHECK(in != NULL);
	while ((c = getc(in)) != EOF)
	{
		at++;
		if (c != 0)
			f->used = at;
	}
	f->size = at;
	fclose(in);
}

static void
note_files(const char *sub)
{
	char path[PATH];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", home, sub);
	dir = opendir(path);
	CHECK(dir != NULL);
	while ((e = readdir(dir)) != NULL)
	{
		if (e->d_name[0] != '.')
			note_file(sub, e->d_name);
	}
	closedir(dir);
}

static void
fresh_copy(void)
{
	file_shell("rm -rf ./%s && cp -r --sparse=always ./%s ./%s", copy, home,
			   copy);
}

/* ---------------------------------------------------------------- database */

static FlowStatus
open_db(const char *dir)
{
	FlowStatus st = flow_open(env, dir, &opts, &t.db);

	if (st != FLOW_OK)
		t.db = NULL;
	return st;
}

/* As after a crash: what is not flushed stays in the log. */
static void
drop_db(void)
{
	flow_env_posix_fail(env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	flow_free(t.db);
	flow_env_posix_fail(env, FLOW_POSIX_RENAME, 0, 0, 0);
	t.db = NULL;
}

/* All rows as text; false: reading failed. */
static bool
read_rows(uint32_t store, bool reverse, char *text, size_t bytes)
{
	FlowScanSpec spec = {.store_id = store, .now = 1000, .reverse = reverse};
	const FlowVector *vec;
	FlowScan *scan;
	size_t len = 0;
	FlowStatus st;

	text[0] = '\0';
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
			len += (size_t) snprintf(
				text + len, bytes - len, "%.*s@%" PRId64 "=%.*s ",
				(int) vec->key_bytes[i], (const char *) vec->key[i], vec->ts[i],
				(int) vec->value_bytes[i], (const char *) vec->value[i]);
		CHECK(len < bytes);
	}
	flow_scan_close(scan);
	return st == FLOW_END;
}

/* Every row by itself: found, or an error; and nothing that is not there. */
static void
get_rows(uint32_t store, const char *right)
{
	FlowScanSpec spec = {.store_id = store, .now = 1000};

	for (int k = 0; k < 5; k++)
	{
		char key[2] = {(char) ('a' + k), '\0'};

		for (int64_t ts = -2; ts < 6; ts++)
		{
			const FlowVector *vec;
			FlowScan *scan;
			char want[64];
			FlowStatus st = flow_get(t.db, &spec, key, 1, ts, &scan, &vec);

			snprintf(want, sizeof(want), "%s@%" PRId64 "=", key, ts);
			if (st == FLOW_OK)
			{
				char got[128];

				snprintf(got, sizeof(got), "%s%.*s ", want,
						 (int) vec->value_bytes[0],
						 (const char *) vec->value[0]);
				flow_scan_close(scan);
				CHECK(strstr(right, got) != NULL);
			}
			else if (st == FLOW_NOTFOUND)
				CHECK(strstr(right, want) == NULL);
		}
	}
}

static void
put(uint32_t store, const char *key, int64_t ts, const char *value)
{
	test_put(&t, store, key, ts, value);
}

static void
fill(uint32_t store, char tag, int64_t from)
{
	for (int k = 0; k < 5; k++)
	{
		char key[2] = {(char) ('a' + k), '\0'};

		for (int64_t ts = from; ts < from + 4; ts++)
		{
			char value[32];

			snprintf(value, sizeof(value), "%c%s%" PRId64 "xxxxxxxxxx", tag,
					 key, ts);
			put(store, key, ts, value);
		}
	}
}

static void
make_home(void)
{
	FlowRect rect = {.key_lo = (const uint8_t *) "b",
					 .key_lo_bytes = 1,
					 .key_hi = (const uint8_t *) "c",
					 .key_hi_bytes = 1,
					 .ts_lo = 0,
					 .ts_hi = 1};
	uint32_t store;
	bool ran;

	CHECK_OK(open_db(home));
	store = test_store(&t, "s");
	fill(store, '1', -2);
	CHECK_OK(flow_flush(t.db, NULL));
	fill(store, '2', 0);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_compact(t.db, store, &ran));
	CHECK(ran);
	fill(store, '3', 2);
	CHECK_OK(flow_delete_range(t.db, store, &rect, NULL));
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(read_rows(store, false, rows[0], sizeof(rows[0])));
	test_delete(&t, store, "d", 1);
	CHECK(read_rows(store, false, rows[1], sizeof(rows[1])));
	put(store, "e", 1, "fresh");
	CHECK(read_rows(store, false, rows[2], sizeof(rows[2])));
	put(store, "a", 5, "last");
	CHECK(read_rows(store, false, rows[3], sizeof(rows[3])));
	for (int i = 1; i < NSTATES; i++)
		CHECK(strcmp(rows[i - 1], rows[i]) != 0);
	drop_db();
	note_files("SST");
	note_files("INDEX");
	note_files("WAL");
}

/* Reverse the words of text, each of which ends with a blank. */
static bool
is_reverse(const char *text, const char *other)
{
	size_t end = strlen(text);

	while (end > 0)
	{
		size_t from = end - 1;

		while (from > 0 && text[from - 1] != ' ')
			from--;
		if (strncmp(other, text + from, end - from) != 0)
			return false;
		other += end - from;
		end = from;
	}
	return *other == '\0';
}

/*
 * The state that the rows are, if it is one that may be seen: an SSTable's
 * damage never goes unseen, that of a log or manifest may have cost the last
 * batch, and a log that was cut short ends where it was cut.
 */
static const char *
accepted(const File *f, const char *text)
{
	int first = NSTATES - 1;

	if (strncmp(f->name, "SST", 3) != 0)
		first--;
	if (strncmp(f->name, "WAL", 3) == 0 && strcmp(deed, "cut") == 0)
		first = 0;
	for (int i = first; i < NSTATES; i++)
	{
		if (strcmp(text, rows[i]) == 0)
			return rows[i];
	}
	return NULL;
}

/* It could be opened: rows that are right, or errors; then it goes on. */
static void
use_copy(const File *f)
{
	char text[4096], back[4096];
	const char *right = rows_all;
	uint32_t store;
	FlowStatus st = flow_store_find(t.db, "s", &store, NULL, NULL);

	CHECK_OK(st);
	if (read_rows(store, false, text, sizeof(text)))
	{
		right = accepted(f, text);
		if (right == NULL)
		{
			fprintf(stderr, "%s of %s at %" PRIu64 ": got %s, not %s\n", deed,
					f->name, place, text, rows_all);
			exit(1);
		}
		if (read_rows(store, true, back, sizeof(back)))
			CHECK(is_reverse(text, back));
		opened++;
	}
	else
		misread++;
	get_rows(store, right);
	/* what is written now stays */
	put(store, "z", 9, "new");
	drop_db();
	CHECK_OK(open_db(copy));
	CHECK_TEXT(
		test_get(&t, &(FlowScanSpec){.store_id = store, .now = 0}, "z", 9),
		"new");
	drop_db();
}

static void
try_copy(const File *f)
{
	FlowStatus st = open_db(copy);

	if (st == FLOW_OK)
		use_copy(f);
	else
	{
		CHECK(st == FLOW_CORRUPT || st == FLOW_MISMATCH || st == FLOW_NOTFOUND);
		CHECK(flow_last_error()->message[0] != '\0');
		refused++;
	}
}

/* ------------------------------------------------------------------- cases */

static void
path_in_copy(const File *f, char path[2 * PATH])
{
	int n = snprintf(path, 2 * PATH, "%s/%s", copy, f->name);

	CHECK(n > 0 && n < 2 * PATH);
}

static void
flip(const File *f, uint64_t at, CheckRandom *r)
{
	char path[2 * PATH];
	uint8_t byte;
	int fd;

	fresh_copy();
	path_in_copy(f, path);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	CHECK(pread(fd, &byte, 1, (off_t) at) == 1);
	byte ^= (uint8_t) (1 + check_below(r, 255));
	CHECK(pwrite(fd, &byte, 1, (off_t) at) == 1);
	close(fd);
	try_copy(f);
}

static void
cut(const File *f, uint64_t len)
{
	char path[2 * PATH];

	fresh_copy();
	path_in_copy(f, path);
	CHECK(truncate(path, (off_t) len) == 0);
	try_copy(f);
}

static void
lose(const File *f)
{
	char path[2 * PATH];

	fresh_copy();
	path_in_copy(f, path);
	CHECK(unlink(path) == 0);
	try_copy(f);
}

int
main(int argc, char **argv)
{
	uint64_t every = argc > 1 ? strtoull(argv[1], NULL, 0) : 11;
	CheckRandom r = {UINT64_C(4711)};

	CHECK(every > 0);
	opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	opts.create_missing = true;
	opts.memtable_bytes = 1u << 20;
	opts.block_bytes = 1024;
	opts.wal_segment_bytes = 1u << 20;
	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	strcpy(home, "tmp_damage.XXXXXX");
	CHECK(mkdtemp(home) != NULL);
	snprintf(copy, sizeof(copy), "%s.copy", home);
	t.env = env;
	make_home();
	for (uint32_t i = 0; i < nfiles; i++)
	{
		const File *f = &files[i];
		/* some of the empty part too */
		uint64_t end = FLOW_MIN(f->size, f->used + 100);

		opened = refused = misread = 0;
		for (uint64_t at = i % every; at < end; at += every)
		{
			deed = "flip";
			place = at;
			flip(f, at, &r);
		}
		for (uint64_t len = i % every; len < end; len += every)
		{
			deed = "cut";
			place = len;
			cut(f, len);
		}
		/* that the only segment of a log is gone cannot be known */
		deed = "loss";
		place = 0;
		if (strncmp(f->name, "WAL", 3) != 0)
			lose(f);
		printf("# %s, %" PRIu64 " bytes: %" PRIu64 " right, %" PRIu64
			   " refused, %" PRIu64 " failed when read\n",
			   f->name, f->size, opened, refused, misread);
		fflush(stdout);
	}
	flow_env_posix_free(env);
	file_shell("rm -rf ./%s ./%s", home, copy);
	return 0;
}
