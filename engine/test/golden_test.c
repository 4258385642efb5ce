/*-------------------------------------------------------------------------
 * golden_test.c
 *	  What released versions wrote opens, says the same, and is written on;
 *	  what is written now has the layout that the newest of them has; what a
 *	  later version may write is refused.
 *
 * golden/<version>.tar.gz, see golden.h, and golden/<version>.layout, see
 * goldenlayout.h, are made by "make -C engine golden VERSION=...", which
 * runs this program with "--make DIR".  An archive is kept for ever; when the
 * layout differs from the newest, the format has changed: raise its version
 * and add an archive, as doc/RELEASING.md says.
 *-------------------------------------------------------------------------
 */
#include <ctype.h>

#include "goldenlayout.h"
#include "goldenmake.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "test/golden"
#endif

/* --------------------------------------------------------- the host's database */

static void
host_env(TestDb *t, const char *dir)
{
	memset(t, 0, sizeof(*t));
	t->opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t->opts.memtable_bytes = 1 << 20;
	CHECK_OK(flow_env_posix_create(GOLDEN_REGION, &t->env));
	flow_env_posix_set_log(t->env, test_log, t);
	flow_env_posix_set_outcome(t->env, golden_outcome, NULL);
	t->env->expire_horizon = test_expire_horizon;
	CHECK(snprintf(t->dir, sizeof(t->dir), "%s/host", dir) < 64);
}

static void
host_free(TestDb *t)
{
	test_unload(t);
	test_forget_log(t);
	free(t->log);
	flow_env_posix_free(t->env);
}

/* What is not flushed stands beside the files, a record a line: start, end,
 * bytes. */
static void
write_log(const TestDb *t)
{
	uint64_t flushed = atomic_load(&t->sh->flushed_pos);
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", t->dir);
	f = fopen(path, "w");
	CHECK(f != NULL);
	for (size_t i = 0; i < t->nlog; i++)
	{
		const TestRecord *r = &t->log[i];

		if (r->start < flushed)
			continue;
		fprintf(f, "%" PRIu64 " %" PRIu64 " ", r->start, r->end);
		for (size_t j = 0; j < r->len; j++)
			fprintf(f, "%02x", ((uint8_t *) r->rec)[j]);
		fputc('\n', f);
	}
	CHECK(fclose(f) == 0);
}

static uint8_t
hex_byte(const char *p)
{
	unsigned v;

	CHECK(isxdigit((unsigned char) p[0]) && sscanf(p, "%2x", &v) == 1);
	return (uint8_t) v;
}

static void
read_log(TestDb *t)
{
	static char line[200000];
	char path[100];
	uint64_t end = 1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", t->dir);
	f = fopen(path, "r");
	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f))
	{
		static uint8_t rec[100000];
		uint64_t start;
		size_t n = 0;
		int skip;

		CHECK(sscanf(line, "%" SCNu64 " %" SCNu64 " %n", &start, &end, &skip) ==
			  2);
		for (const char *p = line + skip; *p != '\n'; p += 2)
			rec[n++] = hex_byte(p);
		test_log(t, rec, n, start, end);
	}
	fclose(f);
	flow_env_posix_set_log_pos(t->env, end);
}

static void
make_host(const char *dir, GoldenText *layout)
{
	Golden g;
	TestDb t;

	host_env(&t, dir);
	CHECK_OK(flow_create(t.env, t.dir));
	test_load(&t);
	golden_begin(&g, &t);
	golden_host(&g);
	golden_check(&g, t.db, "host, as it was made");
	golden_say(layout, "host\n");
	layout_dir(layout, t.dir);
	layout_log(layout, t.log, t.nlog);
	write_log(&t);
	host_free(&t);
	golden_end(&g);
}

/* Settings, descriptions, drops and names, beside the rows. */
static void
check_host(TestDb *t)
{
	FlowSettings s;
	uint32_t id;
	void *blob;
	size_t bytes;
	int policy;

	CHECK_OK(flow_store_find(t->db, "plain", &id, &blob, &bytes));
	CHECK(id == HOST_PLAIN && bytes == 20 &&
		  memcmp(blob, "description of plain", 20) == 0);
	t->env->free(t->env, blob);
	CHECK_OK(flow_store_find(t->db, "gone", &id, NULL, NULL));
	CHECK(id == HOST_AGAIN && !flow_store_exists(t->db, HOST_GONE));
	CHECK(flow_store_policy(t->db, HOST_MERGED, &policy) &&
		  policy == FLOW_POLICY_LCS);
	flow_settings(t->db, &s);
	CHECK(s.value[FLOW_SETTING_FLUSH_COMPRESSION] == FLOW_COMPRESS_LZ4 &&
		  s.value[FLOW_SETTING_MERGE_COMPRESSION] == FLOW_COMPRESS_ZSTD &&
		  s.value[FLOW_SETTING_BLOCK_BYTES] == 1024);
}

/* The pending drops are known once their transaction is. */
static void
end_drops(TestDb *t)
{
	golden_fate[XID_UNKNOWN] = FLOW_TXN_ABORTED;
	CHECK_OK(flow_drop_step(t->db));
	CHECK(flow_store_exists(t->db, HOST_DOOMED));
	CHECK(flow_store_exists(t->db, HOST_LATE));
	CHECK(!flow_store_exists(t->db, HOST_NEWBORN));
	CHECK(!flow_store_exists(t->db, HOST_LATER));
}

static void
go_on_host(Golden *g, TestDb *t)
{
	bool ran = true;

	golden_puts(g, HOST_PLAIN, XID_NONE, 101, 60, 6, VALUE_RANDOM, 40);
	golden_puts(g, HOST_PACKED, XID_NONE, 110, 60, 6, VALUE_REPEATED, 40);
	golden_range(g, HOST_SQUEEZED, XID_NONE, 3, 7, 105, 108);
	golden_check(g, t->db, "host, written on");
	test_crash(t);
	golden_check(g, t->db, "host, after a crash");
	CHECK_OK(flow_flush(t->db, NULL));
	CHECK_OK(flow_resolve_all(t->db));
	for (uint32_t store = HOST_PLAIN; store < HOST_END; store++)
		if (flow_store_exists(t->db, store))
			CHECK_OK(flow_compact(t->db, store, &ran));
	golden_check(g, t->db, "host, merged");
	test_reopen(t);
	golden_check(g, t->db, "host, opened again");
}

static void
open_host(const char *dir)
{
	Golden g;
	TestDb t;

	golden_begin(&g, NULL);
	golden_host(&g);
	host_env(&t, dir);
	read_log(&t);
	test_load(&t);
	g.t = &t;
	check_host(&t);
	golden_check(&g, t.db, "host");
	end_drops(&t);
	go_on_host(&g, &t);
	host_free(&t);
	golden_end(&g);
}

/* ------------------------------------------------------- the embedder's */

static void
embed_open(TestDb *t, const char *dir, const char *name, bool create)
{
	bool documents = strcmp(name, "documents") == 0;

	memset(t, 0, sizeof(*t));
	t->opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t->opts.memtable_bytes = 1 << 20;
	t->opts.block_bytes = documents ? 4096 : 1024;
	t->opts.flush_compression = FLOW_COMPRESS_NONE;
	t->opts.merge_compression =
		documents ? FLOW_COMPRESS_ZSTD : FLOW_COMPRESS_NONE;
	t->opts.create = create;
	CHECK_OK(flow_env_posix_create(GOLDEN_REGION, &t->env));
	flow_env_posix_set_segment_bytes(t->env, GOLDEN_SEGMENT);
	t->env->expire_horizon = test_expire_horizon;
	CHECK(snprintf(t->dir, sizeof(t->dir), "%s/%s", dir, name) < 64);
	CHECK_OK(flow_open(t->env, t->dir, &t->opts, &t->db));
}

static void
embed_free(TestDb *t)
{
	CHECK_OK(close_free(t->db));
	flow_env_posix_free(t->env);
}

/* Copied while it is open: what is not flushed is in the log. */
static void
make_embed(const char *dir, const char *name, void (*make)(Golden *),
		   GoldenText *layout)
{
	Golden g;
	TestDb t;

	embed_open(&t, dir, name, true);
	golden_begin(&g, &t);
	make(&g);
	golden_check(&g, t.db, name);
	file_shell("cp -r %s %s/copy", t.dir, dir);
	embed_free(&t);
	file_shell("rm -rf %s && mv %s/copy %s", t.dir, dir, t.dir);
	golden_say(layout, "%s\n", name);
	layout_dir(layout, t.dir);
	golden_end(&g);
}

static void
open_embed(const char *dir)
{
	Golden g;
	TestDb t;
	bool ran;

	golden_begin(&g, NULL);
	golden_embed(&g);
	embed_open(&t, dir, "embed", false);
	g.t = &t;
	golden_check(&g, t.db, "embed");
	golden_puts(&g, 1, XID_NONE, 150, 200, 12, VALUE_RANDOM, 60);
	golden_range(&g, 2, XID_NONE, 0, 5, 104, 110);
	golden_check(&g, t.db, "embed, written on");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_compact(t.db, 1, &ran));
	embed_free(&t);
	embed_open(&t, dir, "embed", false);
	golden_check(&g, t.db, "embed, opened again");
	embed_free(&t);
	golden_end(&g);
}

/* Not every version has them. */
static void
open_documents(const char *dir)
{
	char path[64];
	Golden g;
	TestDb t;
	bool ran;

	snprintf(path, sizeof(path), "%s/documents", dir);
	if (access(path, F_OK) != 0)
		return;
	golden_begin(&g, NULL);
	golden_documents(&g);
	embed_open(&t, dir, "documents", false);
	g.t = &t;
	golden_check(&g, t.db, "documents");
	golden_puts(&g, 1, XID_NONE, 130, 200, 20, VALUE_DOCUMENT, GOLDEN_DOCUMENT);
	golden_check(&g, t.db, "documents, written on");
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK_OK(flow_compact(t.db, 1, &ran));
	embed_free(&t);
	embed_open(&t, dir, "documents", false);
	golden_check(&g, t.db, "documents, opened again");
	embed_free(&t);
	golden_end(&g);
}

/* ------------------------------------------------------------------ layouts */

/* Makes all databases in dir; the caller frees the text. */
static char *
make_all(const char *dir)
{
	GoldenText layout = {0};

	make_host(dir, &layout);
	make_embed(dir, "embed", golden_embed, &layout);
	make_embed(dir, "documents", golden_documents, &layout);
	CHECK(strstr(layout.p, " codec 3") != NULL);
	return layout.p;
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void
check_layout(const char *version, const char *dir)
{
	char path[512];
	size_t bytes;
	char *now = make_all(dir);
	char *then;

	snprintf(path, sizeof(path), GOLDEN_DIR "/%s.layout", version);
	then = (char *) file_read_all(path, &bytes);
	then[bytes] = '\0';
	if (strcmp(now, then) != 0)
	{
		snprintf(path, sizeof(path), "%s/layout", dir);
		write_text(path, now);
		fprintf(stderr, "What is written now differs from version %s:\n",
				version);
		file_shell("diff " GOLDEN_DIR "/%s.layout %s | head -n 40 >&2", version,
				   path);
		fprintf(stderr,
				"Does the version of each changed format stand among the lines "
				"above?  If not, raise it.\nThen add the archive of a new "
				"version: see doc/RELEASING.md.\n");
		exit(1);
	}
	free(now);
	free(then);
	check_passed("layout");
}

/* --------------------------------------------------------- later versions */

/* Write n bytes at offset off of a file, from its end when off is negative. */
static void
patch_file(const char *path, long off, uint8_t byte)
{
	FILE *f = fopen(path, "r+b");

	CHECK(f != NULL && fseek(f, off, off < 0 ? SEEK_END : SEEK_SET) == 0 &&
		  fputc(byte, f) != EOF && fclose(f) == 0);
}

/* The first block's version, in a frame whose checksum is right again. */
static void
patch_block(const char *path, uint64_t id)
{
	size_t bytes;
	uint8_t *p = file_read_all(path, &bytes);
	Bytes b = {p + 8, p + bytes};
	uint64_t stored, hash;
	FILE *f;

	(void) take(&b, 4);
	stored = take(&b, 4);
	CHECK(p[16] == 1 && p[17] == 0 && p[20] == 1);
	p[20] = 3;
	hash = XXH3_64bits_withSeed(p + 8, 12 + stored,
								id * UINT64_C(0x9e3779b97f4a7c15));
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t) (hash >> (8 * i));
	f = fopen(path, "wb");
	CHECK(f != NULL && fwrite(p, 1, bytes, f) == bytes && fclose(f) == 0);
	free(p);
}

/* What opening the host's database and reading "plain" comes to. */
static FlowStatus
try_host(const char *dir)
{
	FlowScanSpec spec = {
		.store_id = HOST_PLAIN, .now = INT64_MIN, .visible = golden_visible};
	FlowRecord row;
	FlowScan *scan;
	FlowStatus st;
	TestDb t;

	host_env(&t, dir);
	st = flow_load(t.env, t.dir, &t.opts, &t.sh);
	if (st == FLOW_OK)
	{
		CHECK_OK(flow_attach(t.env, t.sh, t.dir, &t.db));
		st = flow_scan_open(t.db, &spec, &scan);
		while (st == FLOW_OK)
			st = flow_scan_row(scan, &row);
		flow_scan_close(scan);
		test_unload(&t);
	}
	flow_env_posix_free(t.env);
	return st;
}

/* A copy of the directory with a file patched. */
static void
refuse_file(const char *dir, const char *file, long off, uint8_t byte)
{
	char path[200];

	file_shell("rm -rf future && mkdir future && cp -r %s/host future", dir);
	snprintf(path, sizeof(path), "future/host/%s", file);
	if (byte == 0)
		patch_block(path, strtoull(file + 4, NULL, 10));
	else
		patch_file(path, off, byte);
	CHECK_STATUS(try_host("future"), FLOW_MISMATCH);
	CHECK(strstr(flow_last_error()->message, "newer") != NULL);
}

/* The records of the log, one after the other with a higher kind or version,
 * and the settings with another version inside. */
static void
refuse_records(const char *dir)
{
	bool seen[4] = {false};
	TestDb t;

	host_env(&t, dir);
	read_log(&t);
	CHECK_OK(flow_load(t.env, t.dir, &t.opts, &t.sh));
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &t.db));
	for (size_t i = 0; i < t.nlog; i++)
	{
		TestRecord *r = &t.log[i];
		uint8_t *p = r->rec;
		FlowStatus st = flow_redo(t.db, p, r->len, r->start, r->end);
		char *settings = memmem(p, r->len, FLOW_SETTINGS_STORE, 9);

		CHECK_OK(st);
		seen[p[0]] = true;
		p[1]++;
		CHECK_STATUS(flow_redo(t.db, p, r->len, r->start, r->end),
					 FLOW_MISMATCH);
		p[1]--;
		if (settings != NULL)
		{
			char *version = settings + 9 + 1 + 1; /* zero, length */

			CHECK(*version == 1);
			*version = 2;
			CHECK_STATUS(flow_redo(t.db, p, r->len, r->start, r->end),
						 FLOW_MISMATCH);
			seen[0] = true;
		}
		p[0] = 4;
		CHECK_STATUS(flow_redo(t.db, p, r->len, r->start, r->end),
					 FLOW_MISMATCH);
	}
	CHECK(seen[0] && seen[1] && seen[2] && seen[3]);
	host_free(&t);
}

static void
refuse_segment(const char *dir)
{
	FlowOptions opts = FLOW_OPTIONS_DEFAULT;
	FlowEnv *env;
	FlowDb *db;

	file_shell("rm -rf future && mkdir future && cp -r %s/embed future", dir);
	file_shell("for f in future/embed/WAL/*.wal; do printf '\\2' | "
			   "dd of=$f bs=1 seek=8 conv=notrunc status=none; done");
	CHECK_OK(flow_env_posix_create(GOLDEN_REGION, &env));
	CHECK_STATUS(flow_open(env, "future/embed", &opts, &db), FLOW_MISMATCH);
	flow_env_posix_free(env);
}

static void
check_future(const char *dir)
{
	char manifest[] = "INDEX/MANIFEST-00000002";
	char sst[] = "SST/0000000000000001.sst";

	golden_end_transactions();
	CHECK_STATUS(try_host(dir), FLOW_END);
	refuse_file(dir, "INDEX/CURRENT", 8, 4);
	refuse_file(dir, manifest, 8, 4);
	refuse_file(dir, sst, -24, 5);
	refuse_file(dir, sst, 20, 0);
	refuse_records(dir);
	refuse_segment(dir);
	file_shell("rm -rf future");
	check_passed("later versions");
}

/* --------------------------------------------------------------------- main */

static void
check_version(const char *version)
{
	char dir[] = "golden.XXXXXX";
	char what[300];

	CHECK(mkdtemp(dir) != NULL);
	file_shell("tar -xzf " GOLDEN_DIR "/%s.tar.gz -C %s", version, dir);
	check_future(dir);
	golden_end_transactions();
	open_host(dir);
	open_embed(dir);
	open_documents(dir);
	file_shell("rm -rf %s", dir);
	snprintf(what, sizeof(what), "version %s", version);
	check_passed(what);
}

static int
is_archive(const struct dirent *e)
{
	const char *end = strstr(e->d_name, ".tar.gz");

	return end != NULL && end[7] == '\0';
}

int
main(int argc, char **argv)
{
	char dir[] = "golden.XXXXXX";
	struct dirent **names;
	int n;

	if (argc == 3 && strcmp(argv[1], "--make") == 0)
	{
		char *layout;

		CHECK(chdir(argv[2]) == 0);
		layout = make_all(".");
		write_text("layout", layout);
		free(layout);
		return 0;
	}
	n = scandir(GOLDEN_DIR, &names, is_archive, versionsort);
	CHECK(n > 0);
	for (int i = 0; i < n; i++)
	{
		*strstr(names[i]->d_name, ".tar.gz") = '\0';
		check_version(names[i]->d_name);
	}
	CHECK(mkdtemp(dir) != NULL);
	check_layout(names[n - 1]->d_name, dir);
	file_shell("rm -rf %s", dir);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return 0;
}
