/*-------------------------------------------------------------------------
 * trash_test.c
 *	  Exchange of SSTables, and what becomes of the files that go.
 *-------------------------------------------------------------------------
 */
#include <sys/stat.h>

#include "exchange.h"
#include "lyingdisk.h"

#define REGION_BYTES ((size_t) 8 << 20)
#define MEMTABLE_BYTES ((size_t) 1 << 20)

/* n flushed files of a row each, "k0@1=v0 k1@1=v1 ..". */
static void
open_files(TestDb *t, uint32_t n, uint32_t *store)
{
	exchange_backup = false;
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	t->env->keep_files = exchange_keep;
	*store = test_store(t, "s");
	for (uint32_t i = 0; i < n; i++)
	{
		char key[16], value[16];

		snprintf(key, sizeof(key), "k%u", i);
		snprintf(value, sizeof(value), "v%u", i);
		test_put(t, *store, key, 1, value);
		CHECK_OK(flow_flush(t->db, NULL));
	}
	test_forget_log(t);
	CHECK(count_files(t) == n);
}

#define ROWS2 "k0@1=v0 k1@1=v1 "
#define ROWS4 ROWS2 "k2@1=v2 k3@1=v3 "

/* Die and load again; redo is to begin behind all there is, so that no flush
 * may have left an orphan.  The log is empty. */
static void
die(TestDb *t)
{
	test_unload(t);
	t->opts.log_start = UINT64_MAX;
	test_load(t);
	t->opts.log_start = 0;
}

static void
test_replace(void)
{
	TestDb t;
	FlowVersion *pin;
	FlowSst *drop[2];
	uint32_t s;
	uint64_t id, number;

	open_files(&t, 4, &s);
	pin = flowi_version_pin(t.sh);
	number = pin->number;
	id = t.sh->next_sst_id;
	CHECK_OK(exchange_some(&t, 1, 2));
	CHECK(t.sh->version->nssts == 3 && t.sh->version->number == number + 1);
	CHECK(t.sh->version->sst[2]->info.id == id);
	CHECK(t.sh->version->sst[2]->info.origin == FLOW_SST_MERGED);
	CHECK(t.sh->version->sst[2]->info.level == 1);
	CHECK_TEXT(test_all(&t, s), ROWS4);

	/* the older version's files stay while it is read */
	CHECK(count_files(&t) == 5 && count_trash(&t) == 2);
	flowi_trash_sweep(t.db);
	CHECK(count_files(&t) == 5);
	memcpy(drop, pin->sst + 1, sizeof(drop));
	CHECK_STATUS(exchange(&t, drop, 2), FLOW_INVALID); /* listed no more */
	CHECK(t.sh->version->number == number + 1 && count_files(&t) == 5);
	flowi_version_unref(t.env, t.dir, pin);
	CHECK(count_files(&t) == 3);
	CHECK(count_trash(&t) == 2 && t.sh->trash->gone); /* not told yet */

	/* the next edit tells */
	CHECK_OK(exchange_some(&t, 0, 2));
	CHECK(count_files(&t) == 2 && count_trash(&t) == 2);
	CHECK_TEXT(test_all(&t, s), ROWS4);
	die(&t);
	CHECK(t.sh->version->nssts == 2 && count_trash(&t) == 0);
	CHECK_TEXT(test_all(&t, s), ROWS4);

	/* nothing in the place of something */
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_OK(flowi_version_replace(t.db, NULL, 0, t.sh->version->sst, 2));
	flowi_version_end(t.db);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(count_files(&t) == 0);
	die(&t);
	CHECK_TEXT(test_all(&t, s), "");
	test_close(&t);
	check_passed("exchange");
}

/* A scan that goes on, over both sides of an exchange. */
static void
test_scan_over(void)
{
	TestDb t;
	FlowScan *scan;
	const FlowVector *vec;
	FlowScanSpec spec = {.now = INT64_MIN};
	int rows = 0;
	FlowStatus st;

	open_files(&t, 4, &spec.store_id);
	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 1, &vec)) == FLOW_OK)
	{
		rows += (int) vec->nrows;
		if (rows < 4)
			CHECK_OK(exchange_some(&t, 0, 2));
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(rows == 4);
	flow_scan_close(scan);
	CHECK(count_files(&t) == t.sh->version->nssts);
	test_close(&t);
	check_passed("a scan over exchanges");
}

static int64_t asked_since;

static bool
keep_new(FlowEnv *env, int64_t since)
{
	CHECK(since <= env->ticks_us(env));
	asked_since = since;
	return exchange_backup;
}

/* While a backup runs files stay; so does the history of the manifest. */
static void
test_backup(void)
{
	TestDb t;
	uint32_t s, id;
	uint64_t number;
	int64_t before;
	char *blob = calloc(1, 200000);

	CHECK(blob != NULL);
	open_files(&t, 4, &s);
	t.env->keep_files = keep_new;
	exchange_backup = true;
	number = t.sh->manifest.number;
	before = t.env->ticks_us(t.env);
	CHECK_OK(exchange_some(&t, 0, 3));
	CHECK(asked_since >= before);
	CHECK(count_files(&t) == 5 && t.sh->trash->unused);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(count_files(&t) == 5);
	for (int i = 0; i < 20; i++)
	{
		blob[0] = (char) i;
		CHECK_OK(flow_store_define(t.db, "big", blob, 200000, &id));
		test_put(&t, s, "a", i, "x");
		CHECK_OK(flow_flush(t.db, NULL));
	}
	CHECK(t.sh->manifest.number == number);
	exchange_backup = false;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(t.sh->manifest.number == number + 1);
	CHECK(count_files(&t) == t.sh->version->nssts);
	test_close(&t);
	free(blob);
	check_passed("what a backup needs stays");
}

/* ------------------------------------------------------------ crash points */

static void
test_crash_points(void)
{
	TestDb t;
	uint32_t s;

	/* after the edit, before the files are unlinked */
	open_files(&t, 4, &s);
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 3));
	CHECK(count_files(&t) == 5);
	exchange_backup = false;
	die(&t);
	CHECK(count_files(&t) == 2 && count_trash(&t) == 0);
	CHECK_TEXT(test_all(&t, s), ROWS4);

	/* the same, and the manifest was rewritten meanwhile */
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 2));
	CHECK(count_files(&t) == 3);
	t.sh->manifest_failed = true;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(!t.sh->manifest_failed);
	exchange_backup = false;
	die(&t);
	CHECK(count_files(&t) == 1);
	CHECK_TEXT(test_all(&t, s), ROWS4);
	test_close(&t);
	check_passed("dead before the files are unlinked");
}

/* A disk that forgets what is not synced. */
static void
test_lost_unlink(void)
{
	TestDb t;
	uint32_t s;

	open_files(&t, 4, &s);
	disk_begin(&t);
	CHECK_OK(exchange_some(&t, 0, 1));
	CHECK(count_files(&t) == 4 && t.sh->trash->gone);
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 1));
	CHECK(count_trash(&t) == 1); /* the first is known to be gone */
	exchange_backup = false;

	/* unlinked, but the directory cannot be synced: not gone */
	flow_env_posix_fail(t.env, FLOW_POSIX_SYNC, 1, 1, EIO);
	flowi_trash_sweep(t.db);
	flow_env_posix_fail(t.env, FLOW_POSIX_SYNC, 1, 0, 0);
	CHECK(count_files(&t) == 4 && !t.sh->trash->gone);
	CHECK_OK(exchange_some(&t, 0, 1));
	test_unload(&t);
	disk_lose(&t);
	CHECK(count_files(&t) >= 4);
	t.opts.log_start = UINT64_MAX;
	test_load(&t);
	CHECK(count_files(&t) == 4);
	CHECK_TEXT(test_all(&t, s), ROWS4);

	/* a load's own unlinks are durable before the manifest forgets them */
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 2));
	exchange_backup = false;
	die(&t);
	CHECK(count_files(&t) == 3);
	t.sh->manifest_failed = true;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	test_unload(&t);
	disk_lose(&t);
	CHECK(count_files(&t) == 3);
	test_load(&t);
	CHECK_TEXT(test_all(&t, s), ROWS4);
	disk_end(&t);
	test_close(&t);
	check_passed("an unlink that the disk forgets");
}

/* What cannot be unlinked stays listed as trash, by a load too. */
static void
test_stubborn(void)
{
	TestDb t;
	uint32_t s;

	open_files(&t, 4, &s);
	flow_env_posix_fail(t.env, FLOW_POSIX_UNLINK, 1, UINT64_MAX, EIO);
	CHECK_OK(exchange_some(&t, 0, 2));
	flowi_trash_sweep(t.db);
	CHECK(count_files(&t) == 5 && count_trash(&t) == 2);
	die(&t);
	CHECK(count_files(&t) == 5 && count_trash(&t) == 2);
	t.sh->manifest_failed = true;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	die(&t);
	CHECK(count_files(&t) == 5 && count_trash(&t) == 2);
	flow_env_posix_fail(t.env, FLOW_POSIX_UNLINK, 1, 0, 0);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(count_files(&t) == 3);
	CHECK_TEXT(test_all(&t, s), ROWS4);
	test_close(&t);
	check_passed("files that cannot be unlinked");
}

/* Many files that are gone are told of even if nothing else happens. */
static void
test_many_gone(void)
{
	TestDb t;
	uint32_t s;
	uint64_t edit;

	open_files(&t, 1, &s);
	for (int i = 0; i < 300; i++)
	{
		FlowTrash *e = flowi_trash_alloc(t.env, 1);

		CHECK(e != NULL);
		e->id = 1000 + (uint64_t) i;
		e->unused = true;
		flowi_trash_add(t.sh, e);
	}
	t.sh->manifest_failed = true; /* so that the manifest has them, too */
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(count_trash(&t) == 300 && t.sh->trash->gone);
	edit = t.sh->manifest.edit_number;
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(count_trash(&t) == 0 && t.sh->manifest.edit_number == edit + 1);
	CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	CHECK(t.sh->manifest.edit_number == edit + 1);
	die(&t);
	test_close(&t);
	check_passed("many files are gone");
}

/* ----------------------------------------------------------------- faults */

/*
 * Let the nth call of op fail in an exchange; then go on, or die.  False: n
 * was too high.
 */
static bool
fault(FlowPosixOp op, uint64_t nth, bool hard, bool go_on)
{
	TestDb t;
	uint32_t s;
	FlowStatus st;

	open_files(&t, 2, &s);
	disk_begin(&t);
	flow_env_posix_fail(t.env, op, nth, 1, EIO);
	st = exchange_some(&t, 0, 2);
	flow_env_posix_fail(t.env, op, 1, 0, 0);
	CHECK(st == FLOW_OK || st == FLOW_IOERR || st == FLOW_NOMEM);
	CHECK(t.sh->version->nssts == (st == FLOW_OK ? 1 : 2));
	CHECK_TEXT(test_all(&t, s), ROWS2);
	if (go_on)
	{
		if (st != FLOW_OK)
			CHECK_OK(exchange_some(&t, 0, 2));
		CHECK_TEXT(test_all(&t, s), ROWS2);
		CHECK_STATUS(flow_resolve_step(t.db), FLOW_END);
	}
	test_unload(&t);
	if (hard)
		disk_lose(&t);
	test_load(&t);
	CHECK_TEXT(test_all(&t, s), ROWS2);
	CHECK(t.sh->version->nssts == 1 || (!go_on && st != FLOW_OK));
	CHECK(count_files(&t) == t.sh->version->nssts);
	die(&t);
	CHECK_TEXT(test_all(&t, s), ROWS2);
	disk_end(&t);
	test_close(&t);
	return st != FLOW_OK || op == FLOW_POSIX_UNLINK;
}

static void
test_faults(void)
{
	int faults = 0;

	for (int op = 0; op < FLOW_POSIX_NOPS; op++)
		for (int how = 0; how < 3; how++)
		{
			uint64_t most = op == FLOW_POSIX_UNLINK ? 4 : UINT64_MAX;
			uint64_t nth = 1;

			while (fault((FlowPosixOp) op, nth, how & 1, how & 2) && nth < most)
				nth++;
			faults += (int) nth;
		}
	printf("# %d exchanges with a fault\n", faults);
	check_passed("every failing call of an exchange");
}

/* No metadata but the reserve: an exchange gives memory back. */
static void
test_full_metadata(void)
{
	static void *hog[100000];
	size_t nhog = 0;
	TestDb t;
	uint32_t s;

	open_files(&t, 8, &s);
	for (size_t size = 1u << 20; size >= 32; size /= 2)
		while ((hog[nhog] = flowi_region_alloc(t.env, size)) != NULL)
			nhog++;
	CHECK_OK(exchange_some(&t, 0, 8));
	while (nhog > 0)
		flowi_region_free(t.env, hog[--nhog]);
	CHECK(count_files(&t) == 1);
	test_close(&t);
	check_passed("exchange with full metadata");
}

/* An error that is to be told is not hidden by a sweep's. */
static void
test_quiet(void)
{
	TestDb t;
	uint32_t s;
	FlowStatus st;

	open_files(&t, 2, &s);
	flow_env_posix_fail(t.env, FLOW_POSIX_UNLINK, 1, UINT64_MAX, EIO);
	CHECK_OK(exchange_some(&t, 0, 2));
	st = flowi_fail(FLOW_INVALID, "what matters");
	flowi_trash_sweep(t.db);
	CHECK(st == FLOW_INVALID && flow_last_error()->status == FLOW_INVALID);
	CHECK_TEXT(flow_last_error()->message, "what matters");
	flow_env_posix_fail(t.env, FLOW_POSIX_UNLINK, 1, 0, 0);
	test_close(&t);
	check_passed("a sweep tells no errors");
}

/* --------------------------------------------------------------- two handles */

static FlowDb *second;
static FlowDbShared *discard;

static FlowStatus
sweep_within(void *arg, const char *name)
{
	TestDb *t = arg;

	if (strcmp(name, "trash-unlinked") != 0)
		return FLOW_OK;
	if (discard)
		flow_discard(t->env, discard);
	else
		flowi_trash_sweep(second);
	return FLOW_OK;
}

static void
test_two_sweepers(void)
{
	TestDb t;
	uint32_t s;
	uint64_t unlinks;

	open_files(&t, 4, &s);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 3));
	exchange_backup = false;
	flow_env_posix_set_point(t.env, sweep_within, &t);
	unlinks = flow_env_posix_calls(t.env, FLOW_POSIX_UNLINK);
	flowi_trash_sweep(t.db);
	CHECK(flow_env_posix_calls(t.env, FLOW_POSIX_UNLINK) == unlinks + 3);
	for (const FlowTrash *e = t.sh->trash; e; e = e->next)
		CHECK(e->gone && !e->claimed);
	flowi_trash_sweep(second);
	CHECK(flow_env_posix_calls(t.env, FLOW_POSIX_UNLINK) == unlinks + 3);

	/* and the list emptied under a sweep */
	exchange_backup = true;
	CHECK_OK(exchange_some(&t, 0, 2));
	exchange_backup = false;
	discard = t.sh;
	flowi_trash_sweep(t.db);
	discard = NULL;
	CHECK(count_trash(&t) == 0);
	flow_env_posix_set_point(t.env, NULL, NULL);
	flow_detach(second);
	test_close(&t);
	check_passed("two sweeps at once");
}

/* Readers of discarded versions have no trash to report to. */
static void
test_discard(void)
{
	TestDb t;
	uint32_t s;
	FlowVersion *pin;

	open_files(&t, 4, &s);
	pin = flowi_version_pin(t.sh);
	CHECK_OK(exchange_some(&t, 0, 3));
	flow_discard(t.env, t.sh);
	CHECK(count_trash(&t) == 0);
	flowi_version_unref(t.env, t.dir, pin);
	test_close(&t);
	check_passed("discard with trash");
}

static TestDb shared;
static _Atomic bool done;

static void *
read_on(void *arg)
{
	const FlowScanSpec spec = {.store_id = *(uint32_t *) arg, .now = INT64_MIN};
	TestDb t = shared;

	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &t.db));
	while (!atomic_load(&done))
	{
		CHECK_TEXT(test_rows_by(&t, &spec, 1), ROWS4);
		flowi_trash_sweep(t.db);
	}
	flow_detach(t.db);
	return NULL;
}

static void
test_threads(void)
{
	pthread_t readers[3];
	uint32_t s;

	open_files(&shared, 4, &s);
	atomic_store(&done, false);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&readers[i], NULL, read_on, &s) == 0);
	for (uint32_t i = 0; i < 150; i++)
		CHECK_OK(exchange_some(&shared, i % 4, 1));
	atomic_store(&done, true);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(readers[i], NULL) == 0);
	flowi_trash_sweep(shared.db);
	CHECK(count_files(&shared) == 4);
	die(&shared);
	CHECK_TEXT(test_all(&shared, s), ROWS4);
	test_close(&shared);
	check_passed("readers and exchanges in threads");
}

/* ---------------------------------------------------------------- versions */

static FlowSst *
make_entry(TestDb *t, uint32_t store, uint64_t id, uint64_t ntombs)
{
	FlowSstInfo info = {.id = id,
						.store_id = store,
						.ntombs = ntombs,
						.cover.key_lo = (const uint8_t *) "lo",
						.cover.key_lo_bytes = 2,
						.key_min = (const uint8_t *) "min",
						.key_min_bytes = 3,
						.key_max = (const uint8_t *) "most",
						.key_max_bytes = 4};
	FlowSst *sst;

	if (id % 2)
	{
		info.cover.key_hi = (const uint8_t *) "high";
		info.cover.key_hi_bytes = 4;
	}
	CHECK_OK(flowi_version_sst_create(t->env, &info, FLOW_ROOM_ALL, &sst));
	return sst;
}

static void
test_copy(void)
{
	TestDb t;
	FlowSst *sst;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	for (uint64_t id = 1; id <= 2; id++)
	{
		const uint8_t *from, *to;

		sst = make_entry(&t, 1, id, 3);
		from = (const uint8_t *) (sst + 1);
		to = from + 3 + 4 + 2 + (id % 2 ? 4 : 0);
		CHECK(memcmp(sst->info.cover.key_lo, "lo", 2) == 0);
		CHECK(sst->info.cover.key_lo >= from && sst->info.cover.key_lo < to);
		CHECK((sst->info.cover.key_hi != NULL) == (id % 2));
		if (id % 2)
			CHECK(memcmp(sst->info.cover.key_hi, "high", 4) == 0 &&
				  sst->info.cover.key_hi > from && sst->info.cover.key_hi < to);
		CHECK(memcmp(sst->info.key_max, "most", 4) == 0);
		flowi_version_sst_free(t.env, sst);
	}
	sst = make_entry(&t, 1, 1, 0); /* cover means nothing */
	CHECK(sst->info.cover.key_lo == NULL && sst->info.cover.key_hi == NULL);
	flowi_version_sst_free(t.env, sst);
	test_close(&t);
	check_passed("an entry has memory of its own");
}

static void
check_version(const FlowVersion *v, uint32_t nssts, uint64_t ntombs)
{
	CHECK(v->nssts == nssts && v->ntombs == ntombs);
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSstInfo *b = &v->sst[i]->info;
		const FlowSstInfo *a = i > 0 ? &v->sst[i - 1]->info : NULL;

		CHECK(a == NULL || a->store_id < b->store_id ||
			  (a->store_id == b->store_id && a->id < b->id));
		CHECK(flowi_version_index(v, v->sst[i]) == i);
	}
}

/* Random sets, derived one from the other. */
static void
test_derive(CheckRandom *r)
{
	FlowSst *add[20], *drop[20];
	FlowVersion *v = NULL, *next;
	TestDb t;
	uint64_t id = 1, ntombs = 0;
	uint32_t nssts = 0;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	for (int round = 0; round < 500; round++)
	{
		uint32_t nadd = (uint32_t) check_below(r, 20);
		uint32_t ndrop = 0;

		for (uint32_t i = 0; i < nadd; i++)
		{
			uint64_t n = check_below(r, 3);

			add[i] = make_entry(&t, 1 + (uint32_t) check_below(r, 5), id++, n);
			ntombs += n;
		}
		for (uint32_t i = 0; v && i < v->nssts && ndrop < 20; i++)
		{
			if (check_below(r, 8) > 0)
				continue;
			drop[ndrop++] = v->sst[i];
			ntombs -= v->sst[i]->info.ntombs;
		}
		for (uint32_t i = 1; i < ndrop; i++) /* in any order */
		{
			uint32_t k = (uint32_t) check_below(r, i + 1);
			FlowSst *swap = drop[i];

			drop[i] = drop[k];
			drop[k] = swap;
		}
		CHECK_OK(flowi_version_derive(t.env, v, add, nadd, drop, ndrop, &next));
		nssts += nadd - ndrop;
		check_version(next, nssts, ntombs);
		CHECK(next->number == (v ? v->number + 1 : 1));
		if (nadd > 0) /* not listed by v */
			CHECK(v == NULL || flowi_version_index(v, add[0]) == v->nssts);
		flowi_version_unref(t.env, NULL, v);
		v = next;
	}
	flowi_version_unref(t.env, NULL, v);
	test_close(&t);
	check_passed("derived versions");
}

/* Thousands of SSTables in any order, made, and exchanged one by one. */
static void
test_many(CheckRandom *r)
{
	enum
	{
		MANY = 20000
	};
	static FlowSst *ssts[MANY];
	FlowVersion *v, *next;
	TestDb t;

	test_open(&t, (size_t) 256 << 20, MEMTABLE_BYTES);
	for (uint32_t i = 0; i < MANY; i++)
	{
		uint32_t k = (uint32_t) check_below(r, i + 1);

		ssts[i] = ssts[k];
		ssts[k] = make_entry(&t, 1 + i % 3, MANY - i, 0);
	}
	CHECK_OK(flowi_version_create(t.env, ssts, MANY, &v));
	check_version(v, MANY, 0);
	for (uint32_t n = MANY; n > 0; n -= MANY / 4)
	{
		CHECK_OK(
			flowi_version_derive(t.env, v, NULL, 0, v->sst, MANY / 4, &next));
		flowi_version_unref(t.env, NULL, v);
		v = next;
		check_version(v, n - MANY / 4, 0);
	}
	flowi_version_unref(t.env, NULL, v);
	test_close(&t);
	check_passed("thousands of SSTables");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_replace();
	test_scan_over();
	test_backup();
	test_crash_points();
	test_lost_unlink();
	test_stubborn();
	test_many_gone();
	test_faults();
	test_full_metadata();
	test_quiet();
	test_two_sweepers();
	test_discard();
	test_threads();
	test_copy();
	test_derive(&r);
	test_many(&r);
	return 0;
}
