/*-------------------------------------------------------------------------
 * load_test.c
 *	  What a load makes of files and manifests that do not fit: orphans, and
 *	  copies made while the database was at work.
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <sys/stat.h>

#include "../edit.h"
#include "../history.h"
#include "exchange.h"

#define REGION_BYTES ((size_t) 8 << 20)
#define MEMTABLE_BYTES ((size_t) 1 << 20)

static int rewrites;

static FlowStatus
count_rewrites(void *arg, const char *name)
{
	(void) arg;
	rewrites += strcmp(name, "manifest-rewrite") == 0;
	return FLOW_OK;
}

/* Load; was the manifest's last state not the one that was taken? */
static bool
load_older(TestDb *t)
{
	rewrites = 0;
	flow_env_posix_set_point(t->env, count_rewrites, NULL);
	test_load(t);
	flow_env_posix_set_point(t->env, NULL, NULL);
	CHECK(rewrites <= 1 && !t->sh->manifest_failed);
	return rewrites == 1;
}

static void
put_flush(TestDb *t, uint32_t store, const char *key, const char *value)
{
	test_put(t, store, key, 1, value);
	CHECK_OK(flow_flush(t->db, NULL));
}

static void
path_of(const TestDb *t, uint64_t id, char path[FLOW_PATH_BYTES])
{
	flowi_version_path(t->dir, id, path);
}

/* --------------------------------------------------------------- orphans */

static void
test_orphan_trash(void)
{
	TestDb t;
	char path[FLOW_PATH_BYTES];
	uint32_t s;
	uint64_t id;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	t.env->keep_files = exchange_keep;
	s = test_store(&t, "s");
	put_flush(&t, s, "a", "1");
	put_flush(&t, s, "b", "2");
	test_forget_log(&t);
	id = t.sh->version->sst[0]->info.id;
	path_of(&t, id, path);
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 1));
	exchange_backup = false;

	/* trash is no evidence, not even when the manifest says it is gone: a
	 * backup may have copied it before */
	test_shell(&t, "cp -r %s %s.copy");
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	put_flush(&t, s, "c", "3"); /* tells that it is gone */
	test_forget_log(&t);
	CHECK(count_trash(&t) == 0 && access(path, F_OK) != 0);
	test_unload(&t);
	test_shell(&t, "cp %s.copy/SST/* %s/SST");
	CHECK(access(path, F_OK) == 0);
	CHECK_OK(test_try_load(&t, UINT64_MAX, false));
	CHECK(access(path, F_OK) != 0);
	test_shell(&t, "rm -rf %s && mv %s.copy %s");
	CHECK(access(path, F_OK) == 0);
	CHECK_OK(test_try_load(&t, UINT64_MAX, false));
	CHECK(access(path, F_OK) != 0);
	test_load(&t);
	CHECK_TEXT(test_all(&t, s), "a@1=1 b@1=2 ");
	test_close(&t);
	check_passed("orphans that the manifest knows");
}

static bool
file_is_merged(TestDb *t, uint64_t id, uint32_t store)
{
	char path[FLOW_PATH_BYTES];
	FlowSstReader *reader;
	bool merged;

	path_of(t, id, path);
	CHECK_OK(flowi_sst_open(t->env, path, 0, id, store, &reader));
	merged = flowi_sst_info(reader)->origin == FLOW_SST_MERGED;
	flowi_sst_close(reader);
	return merged;
}

/* A merge that was not published leaves a file with old records. */
static void
test_orphan_merge(void)
{
	TestDb t;
	char path[FLOW_PATH_BYTES];
	uint32_t s;
	uint64_t id;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	t.env->keep_files = exchange_keep;
	s = test_store(&t, "s");
	put_flush(&t, s, "a", "1");
	put_flush(&t, s, "b", "2");
	test_forget_log(&t);
	test_shell(&t, "cp -r %s/INDEX %s.before");
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 2));
	exchange_backup = false;
	id = t.sh->version->sst[0]->info.id;
	path_of(&t, id, path);
	CHECK(file_is_merged(&t, id, s));
	test_unload(&t);
	test_shell(&t, "rm -rf %s/INDEX && mv %s.before %s/INDEX");
	CHECK_OK(test_try_load(&t, UINT64_MAX, false));
	CHECK(access(path, F_OK) != 0);
	test_load(&t);
	CHECK(t.sh->version->nssts == 2);
	CHECK_TEXT(test_all(&t, s), "a@1=1 b@1=2 ");
	test_close(&t);
	check_passed("an unpublished merge");
}

/* ------------------------------------------------------- which prefix: rules */

/* Cases of files that a copy lacks; redo is to begin at start, and the log
 * has what was logged from there on. */
typedef struct Lacking
{
	TestDb t;
	uint32_t store;
	uint64_t start;
	uint64_t id[4]; /* old: 0, 1; flushed since: 2; merged from 0, 1: 3 */
} Lacking;

static void
open_lacking(Lacking *l)
{
	TestDb *t = &l->t;

	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	t->env->keep_files = exchange_keep;
	t->opts.will_redo = true;
	l->store = test_store(t, "s");
	put_flush(t, l->store, "a", "1");
	put_flush(t, l->store, "b", "2");
	test_forget_log(t);
	exchange_backup = true;
	l->start = t->env->log_bound(t->env);
	put_flush(t, l->store, "c", "3");
	for (int i = 0; i < 3; i++)
		l->id[i] = t->sh->version->sst[i]->info.id;
	CHECK_OK(exchange_some(t, 0, 2));
	l->id[3] = t->sh->version->sst[1]->info.id;
	test_unload(t);
	exchange_backup = false;
	t->opts.log_start = l->start;
}

static void
lose(Lacking *l, int i)
{
	char path[FLOW_PATH_BYTES];

	path_of(&l->t, l->id[i], path);
	CHECK(unlink(path) == 0);
}

/* All rows are there, before and after another restart and a flush. */
static void
check_restored(Lacking *l, uint32_t nssts)
{
	TestDb *t = &l->t;

	test_load(t);
	CHECK(t->sh->version->nssts == nssts);
	CHECK_TEXT(test_all(t, l->store), "a@1=1 b@1=2 c@1=3 ");
	test_crash(t);
	CHECK(t->sh->version->nssts == nssts);
	CHECK_TEXT(test_all(t, l->store), "a@1=1 b@1=2 c@1=3 ");
	CHECK_OK(flow_flush(t->db, NULL));
	t->opts.will_redo = false;
	test_reopen(t);
	CHECK_TEXT(test_all(t, l->store), "a@1=1 b@1=2 c@1=3 ");
	CHECK(count_files(t) == t->sh->version->nssts);
	test_close(t);
}

static void
test_rules(void)
{
	Lacking l;
	char path[FLOW_PATH_BYTES];

	/* nothing is missing: the full state, files of older ones go */
	open_lacking(&l);
	CHECK(!load_older(&l.t) && l.t.sh->version->nssts == 2);
	test_unload(&l.t);
	check_restored(&l, 2);

	/* the merge's output: its inputs are as good */
	open_lacking(&l);
	lose(&l, 3);
	path_of(&l.t, l.id[3], path);
	CHECK_STATUS(test_try_load(&l.t, l.start, false), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	CHECK(count_files(&l.t) == 3); /* nothing was removed */
	CHECK(load_older(&l.t) && l.t.sh->version->nssts == 3);
	CHECK(atomic_load(&l.t.sh->flushed_pos) > l.start);
	CHECK(l.t.sh->next_sst_id > l.id[3]);
	test_unload(&l.t);
	check_restored(&l, 3);

	/* what was flushed since: redo brings it; the merge is undone, too */
	open_lacking(&l);
	lose(&l, 2);
	test_load(&l.t);
	CHECK(atomic_load(&l.t.sh->flushed_pos) <= l.start);
	test_unload(&l.t);
	check_restored(&l, 2);

	/* redo would not bring it */
	open_lacking(&l);
	lose(&l, 2);
	path_of(&l.t, l.id[2], path);
	CHECK_STATUS(test_try_load(&l.t, l.start + 1, true), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	check_restored(&l, 2);

	/* the new manifest cannot be written: the next one to write does it */
	open_lacking(&l);
	lose(&l, 2);
	flow_env_posix_fail(l.t.env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	test_load(&l.t);
	CHECK(l.t.sh->manifest_failed && l.t.sh->version->nssts == 2);
	test_crash(&l.t);
	CHECK(l.t.sh->manifest_failed && l.t.sh->version->nssts == 2);
	flow_env_posix_fail(l.t.env, FLOW_POSIX_RENAME, 1, 0, 0);
	CHECK_OK(flow_flush(l.t.db, NULL));
	test_unload(&l.t);
	check_restored(&l, 3);

	/* one of wrong size is not there */
	open_lacking(&l);
	path_of(&l.t, l.id[3], path);
	CHECK(truncate(path, 100) == 0);
	CHECK_STATUS(test_try_load(&l.t, l.start, false), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, "100 bytes") != NULL);
	check_restored(&l, 3);

	/* an input and the output: no prefix */
	open_lacking(&l);
	lose(&l, 0);
	lose(&l, 3);
	path_of(&l.t, l.id[3], path);
	CHECK_STATUS(test_try_load(&l.t, l.start, true), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	test_shell(&l.t, "rm -rf %s");
	CHECK_OK(flow_create(l.t.env, l.t.dir));
	test_forget_log(&l.t);
	test_load(&l.t);
	test_close(&l.t);
	check_passed("the newest state whose files are there");
}

/* A snapshot that lists what the copy lacks. */
static void
test_snapshot_ahead(void)
{
	Lacking l;
	TestDb *t = &l.t;

	open_lacking(&l);
	test_load(t);
	t->sh->manifest_failed = true;
	CHECK_STATUS(flow_resolve_step(t->db), FLOW_END);
	put_flush(t, l.store, "c", "3");
	test_unload(t);
	lose(&l, 2);
	CHECK_STATUS(test_try_load(t, l.start + 1, true), FLOW_CORRUPT);
	CHECK(load_older(t) && t->sh->version->nssts == 2);
	CHECK(atomic_load(&t->sh->flushed_pos) <= l.start);
	test_unload(t);
	check_restored(&l, 2);
	check_passed("a snapshot ahead of the directory");
}

static FlowStatus
settled(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	(void) xid;
	*statep = FLOW_TXN_SETTLED;
	return FLOW_OK;
}

static FlowStatus
unknown(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	(void) xid;
	(void) statep;
	return FLOW_OK;
}

/* Fates that edits tell which do not count: the host may have forgotten. */
static void
test_fates(void)
{
	TestDb t;
	char path[FLOW_PATH_BYTES];
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	flow_env_posix_set_outcome(t.env, unknown, NULL);
	s = test_store(&t, "s");
	test_put_xid(&t, s, "a", 1, "1", 5);
	CHECK_OK(flow_flush(t.db, NULL));
	test_forget_log(&t);
	t.opts.log_start = t.env->log_bound(t.env);
	put_flush(&t, s, "b", "2");
	flow_env_posix_set_outcome(t.env, settled, NULL);
	CHECK_OK(flow_resolve_step(t.db));
	flow_env_posix_set_outcome(t.env, unknown, NULL);
	path_of(&t, t.sh->version->sst[1]->info.id, path);
	test_unload(&t);
	CHECK(unlink(path) == 0);
	t.opts.will_redo = true;
	test_load(&t);
	CHECK(t.sh->version->nssts == 1);
	CHECK(atomic_load(&t.sh->version->sst[0]->unsettled) == 0);
	CHECK_TEXT(test_all(&t, s), "a@1=1 b@1=2 ");
	test_close(&t);
	check_passed("fates of edits that do not count");
}

/* --------------------------------------------- which prefix: any history */

#define MOST_EDITS 40
#define MOST_IDS 200

/* A manifest as it was made, for a choice by brute force. */
typedef struct Made
{
	uint32_t nedits;
	uint32_t nids;
	uint64_t flushed[MOST_EDITS];
	bool listed[MOST_EDITS][MOST_IDS]; /* after the edit */
	bool exists[MOST_IDS];
	uint64_t seq_min[MOST_IDS];
	uint32_t origin[MOST_IDS];
	uint32_t added[MOST_IDS];
} Made;

/* Add, remove: as flushes, merges and drops do. */
static void
make_edit(CheckRandom *r, Made *m, FlowEdit *edit, uint32_t e)
{
	uint64_t flushed = e > 0 ? m->flushed[e - 1] : 1000;
	uint64_t least = UINT64_MAX; /* of what is removed */

	if (e > 0)
		memcpy(m->listed[e], m->listed[e - 1], sizeof(m->listed[e]));
	for (uint32_t i = 0; e > 0 && i < m->nids; i++)
	{
		if (!m->listed[e][i] || check_below(r, 6) > 0)
			continue;
		CHECK_OK(flowi_edit_remove_sst(edit, i + 1));
		m->listed[e][i] = false;
		least = FLOW_MIN(least, m->seq_min[i]);
	}
	for (uint64_t n = check_below(r, 4); n > 0 && m->nids < MOST_IDS; n--)
	{
		uint32_t i = m->nids++;
		bool merged = least < UINT64_MAX && check_below(r, 2);
		FlowSstInfo info = {.id = i + 1,
							.store_id = 1,
							.records = 1,
							.file_bytes = i + 1,
							.seq_max = UINT64_MAX};

		m->origin[i] = merged ? FLOW_SST_MERGED : FLOW_SST_FLUSHED;
		m->seq_min[i] = merged ? least : flushed + check_below(r, 50);
		m->added[i] = e;
		m->listed[e][i] = true;
		m->exists[i] = true;
		info.origin = m->origin[i];
		info.seq_min = m->seq_min[i];
		CHECK_OK(flowi_edit_add_sst(edit, &info));
	}
	m->flushed[e] = flushed + check_below(r, 2) * check_below(r, 100);
	CHECK_OK(flowi_edit_flushed(edit, m->flushed[e]));
	m->nedits = e + 1;
}

static void
make_history(CheckRandom *r, TestDb *t, Made *m)
{
	FlowManifestPos pos = {0, 0, 0};
	uint32_t n = 1 + (uint32_t) check_below(r, MOST_EDITS);

	memset(m, 0, sizeof(*m));
	for (uint32_t e = 0; e < n; e++)
	{
		FlowEdit *edit;

		CHECK_OK(flowi_edit_create(t->env, &edit));
		make_edit(r, m, edit, e);
		if (e == 0)
			CHECK_OK(flowi_manifest_rewrite(t->env, t->dir, edit, &pos));
		else
			CHECK_OK(flowi_manifest_append(t->env, t->dir, edit, &pos));
		flowi_edit_free(edit);
	}
}

static bool
is_complete(const Made *m, uint32_t n)
{
	for (uint32_t i = 0; i < m->nids; i++)
	{
		if (m->listed[n - 1][i] && !m->exists[i])
			return false;
	}
	return true;
}

/* The rule as the header of history.c has it. */
static FlowStatus
choose_slowly(const Made *m, uint64_t log_start, uint32_t *keepp,
			  bool *withoutp, uint64_t *flushedp)
{
	uint32_t n = m->nedits;
	bool follows, brings = true;

	*withoutp = false;
	while (n > 0 && !is_complete(m, n))
		n--;
	follows = n > 0 && m->flushed[n - 1] >= log_start;
	if (n > 0 && !follows)
	{
		follows = true;
		for (uint32_t i = 0; i < m->nids; i++)
			if (m->added[i] >= n && m->origin[i] == FLOW_SST_FLUSHED)
				follows &= m->seq_min[i] >= log_start;
	}
	*keepp = n;
	*flushedp = n > 0 ? m->flushed[n - 1] : 0;
	if (n == m->nedits || follows)
		return FLOW_OK;
	for (uint32_t i = 0; i < m->nids; i++)
		if (m->listed[m->nedits - 1][i] && !m->exists[i])
			brings &= m->seq_min[i] >= log_start;
	*keepp = m->nedits;
	*withoutp = true;
	*flushedp = FLOW_MIN(m->flushed[m->nedits - 1], log_start);
	return brings ? FLOW_OK : FLOW_CORRUPT;
}

static void
check_choice(TestDb *t, const Made *m, uint64_t log_start, int *kinds)
{
	FlowHistory h = {.env = t->env, .dir = t->dir, .next_id = 1};
	FlowOptions opts = t->opts;
	uint32_t keep;
	bool without;
	uint64_t flushed;
	FlowStatus want = choose_slowly(m, log_start, &keep, &without, &flushed);

	opts.will_redo = true;
	opts.log_start = log_start;
	CHECK_OK(flowi_history_read(&h));
	CHECK(h.nedits == m->nedits && h.next_id == m->nids + 1);
	for (uint32_t i = 0; i < m->nids; i++)
		flowi_history_find(&h, i + 1)->found = m->exists[i];
	CHECK_STATUS(flowi_history_choose(&h, &opts), want);
	if (want == FLOW_OK)
	{
		CHECK(h.keep == keep && h.without_missing == without);
		CHECK(h.flushed_pos == flushed);
		for (uint32_t i = 0; i < m->nids; i++)
			CHECK(flowi_history_lists(&h, flowi_history_find(&h, i + 1)) ==
				  (m->listed[keep - 1][i] && (m->exists[i] || !without)));
	}
	CHECK(flowi_history_is_whole(&h) ==
			  (want == FLOW_OK && is_complete(m, m->nedits)) ||
		  want != FLOW_OK);
	kinds[want != FLOW_OK ? 3 : without ? 2 : keep < m->nedits]++;
	flowi_history_free(&h);
}

static void
test_choice(CheckRandom *r)
{
	static Made m;
	TestDb t;
	int kinds[4] = {0};

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	test_unload(&t);
	for (int round = 0; round < 60; round++)
	{
		make_history(r, &t, &m);
		for (int i = 0; i < 40; i++)
		{
			uint64_t dense = check_below(r, 40);
			uint32_t from = (uint32_t) check_below(r, m.nedits);

			/* as a copy: what came after a moment is there or not */
			for (uint32_t k = 0; k < m.nids; k++)
				m.exists[k] = m.added[k] < from ? check_below(r, 200) > 0
												: check_below(r, 40) < dense;
			check_choice(&t, &m, 1000 + check_below(r, 1000), kinds);
		}
	}
	printf("# whole %d, prefix %d, without files %d, refused %d\n", kinds[0],
		   kinds[1], kinds[2], kinds[3]);
	for (int i = 0; i < 4; i++)
		CHECK(kinds[i] > 20);
	test_shell(&t, "rm -rf %s");
	CHECK_OK(flow_create(t.env, t.dir));
	test_load(&t);
	test_close(&t);
	check_passed("the newest complete prefix of any history");
}

/* Bytes that are not what was written, under good checksums: no crash. */
static void
test_hostile(CheckRandom *r)
{
	static Made m;
	TestDb t;
	int refused = 0;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	test_unload(&t);
	for (int i = 0; i < 150; i++)
	{
		FlowManifestPos pos = {0, 0, 0};
		FlowEdit *edit;
		FlowStatus st;

		memset(&m, 0, sizeof(m));
		CHECK_OK(flowi_edit_create(t.env, &edit));
		for (uint32_t e = 0; e < 6; e++)
			make_edit(r, &m, edit, e);
		for (uint64_t n = 1 + check_below(r, 3); n > 0; n--)
			edit->buf
				.data[EDIT_BYTES + check_below(r, edit->buf.len - EDIT_BYTES)] =
				(uint8_t) (check_below(r, 2) ? check_below(r, 9)
											 : check_random(r));
		CHECK_OK(flowi_manifest_rewrite(t.env, t.dir, edit, &pos));
		flowi_edit_free(edit);
		st = test_try_load(&t, 0, true);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_NOMEM);
		refused += st != FLOW_OK;
	}
	CHECK(refused > 50);
	test_shell(&t, "rm -rf %s");
	CHECK_OK(flow_create(t.env, t.dir));
	test_load(&t);
	test_close(&t);
	check_passed("hostile histories");
}

/* Manifests that contradict themselves. */
static void
test_contradictions(void)
{
	static const char *const says[] = {"twice", "removes", "gone", "twice"};
	const FlowSstInfo info = {
		.id = 7, .store_id = 1, .records = 1, .seq_max = 1};
	TestDb t;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	test_unload(&t);
	for (int i = 0; i < 4; i++)
	{
		FlowManifestPos pos = {0, 0, 0};
		FlowEdit *edit;

		CHECK_OK(flowi_edit_create(t.env, &edit));
		CHECK_OK(flowi_edit_add_sst(edit, &info));
		if (i == 0)
			CHECK_OK(flowi_edit_add_sst(edit, &info));
		else if (i == 1)
			CHECK_OK(flowi_edit_remove_sst(edit, 8));
		else if (i == 2)
			CHECK_OK(flowi_edit_gone(edit, 7));
		else
			CHECK_OK(flowi_edit_trash(edit, 7));
		CHECK_OK(flowi_manifest_rewrite(t.env, t.dir, edit, &pos));
		CHECK_STATUS(test_try_load(&t, 0, true), FLOW_CORRUPT);
		CHECK(strstr(flow_last_error()->message, says[i]) != NULL);
		flowi_edit_free(edit);
	}
	test_shell(&t, "rm -rf %s");
	CHECK_OK(flow_create(t.env, t.dir));
	test_load(&t);
	test_close(&t);
	check_passed("manifests that contradict themselves");
}

/* ----------------------------------------------------------------- backups */

/* A copy in the making: files in any order, each at a time of its own. */
typedef struct Copy
{
	TestDb *t;
	char to[80];
	char name[512][24]; /* in SST when it was listed */
	uint32_t n;
	bool listed, has_manifest, has_current;
} Copy;

static FlowStatus
list_name(void *arg, const char *name)
{
	Copy *c = arg;

	CHECK(c->n < 512 && strlen(name) < sizeof(c->name[0]));
	strcpy(c->name[c->n++], name);
	return FLOW_OK;
}

/* One step of the copy; false: it is complete. */
static bool
copy_some(CheckRandom *r, Copy *c)
{
	char path[FLOW_PATH_BYTES];
	uint64_t what = check_below(r, 4);

	if (!c->listed && what == 0)
	{
		flowi_version_sst_dir(c->t->dir, path);
		CHECK_OK(c->t->env->list_dir(c->t->env, path, list_name, c));
		c->listed = true;
	}
	else if (!c->has_manifest && what == 1)
	{
		test_shell(c->t, "cp %s/INDEX/MANIFEST-* %s.copy/INDEX");
		c->has_manifest = true;
	}
	else if (!c->has_current && what == 2)
	{
		test_shell(c->t, "cp %s/INDEX/CURRENT %s.copy/INDEX");
		c->has_current = true;
	}
	else if (c->n > 0 && what == 3)
	{
		uint32_t i = (uint32_t) check_below(r, c->n);
		char command[512];

		snprintf(command, sizeof(command), "cp %s/SST/%s %s.copy/SST",
				 c->t->dir, c->name[i], c->t->dir);
		CHECK(system(command) == 0); /* what was listed stays */
		memmove(c->name[i], c->name[--c->n], sizeof(c->name[i]));
	}
	return !c->listed || !c->has_manifest || !c->has_current || c->n > 0;
}

static void
work(CheckRandom *r, TestDb *t, uint32_t store)
{
	uint32_t n = t->sh->version->nssts;
	char key[8], value[16];

	switch (check_below(r, 4))
	{
		case 0:
			if (n > 1)
			{
				uint32_t first = (uint32_t) check_below(r, n - 1);

				CHECK_OK(exchange_some(
					t, first, 2 + (uint32_t) check_below(r, n - first - 1)));
			}
			break;
		case 1:
			CHECK_OK(flow_flush(t->db, NULL));
			break;
		default:
			snprintf(key, sizeof(key), "k%u", (unsigned) check_below(r, 30));
			snprintf(value, sizeof(value), "%u",
					 (unsigned) check_below(r, 1000));
			if (check_below(r, 5) == 0)
				test_delete(t, store, key, 1);
			else
				test_put(t, store, key, 1, value);
	}
}

/* The copy in the database's place; redo from start on. */
static void
restore(TestDb *t, uint32_t store, uint64_t start, int *prefixes)
{
	static char want[65536];

	strcpy(want, test_all(t, store));
	test_unload(t);
	test_shell(t, "rm -rf %s && mv %s.copy %s");
	t->opts.will_redo = true;
	t->opts.log_start = start;
	*prefixes += load_older(t);
	CHECK_TEXT(test_all(t, store), want);
	CHECK_OK(flow_flush(t->db, NULL));
	CHECK_TEXT(test_all(t, store), want);
	t->opts.will_redo = false;
	t->opts.log_start = 0;
	test_reopen(t);
	CHECK_TEXT(test_all(t, store), want);
	CHECK(count_files(t) == t->sh->version->nssts);
	for (uint32_t n; (n = t->sh->version->nssts) > 1;)
		CHECK_OK(exchange_some(t, 0, FLOW_MIN(n, 64)));
	CHECK_TEXT(test_all(t, store), want);
}

static void
test_backups(CheckRandom *r)
{
	TestDb t;
	int prefixes = 0;
	uint32_t s;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	t.env->keep_files = exchange_keep;
	exchange_backup = false;
	s = test_store(&t, "s");
	for (int round = 0; round < 25; round++)
	{
		Copy *c = calloc(1, sizeof(*c));
		uint64_t start;

		CHECK(c != NULL);
		c->t = &t;
		for (int i = 0; i < 20; i++)
			work(r, &t, s);
		CHECK_OK(flow_flush(t.db, NULL)); /* its checkpoint */
		test_forget_log(&t);
		exchange_backup = true;
		start = t.env->log_bound(t.env) + check_below(r, 2);
		flow_env_posix_set_log_pos(t.env, start + check_below(r, 2) * 500);
		test_shell(&t, "mkdir -p %s.copy/SST %s.copy/INDEX");
		do
			for (uint64_t n = check_below(r, 6); n > 0; n--)
				work(r, &t, s);
		while (copy_some(r, c));
		for (int i = 0; i < 5; i++)
			work(r, &t, s);
		exchange_backup = false;
		restore(&t, s, start, &prefixes);
		free(c);
	}
	printf("# %d of 25 restored from a prefix\n", prefixes);
	CHECK(prefixes > 0);
	test_close(&t);
	check_passed("backups copied in any order");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_orphan_trash();
	test_orphan_merge();
	test_rules();
	test_snapshot_ahead();
	test_fates();
	test_choice(&r);
	test_hostile(&r);
	test_contradictions();
	test_backups(&r);
	return 0;
}
