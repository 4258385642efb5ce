/*-------------------------------------------------------------------------
 * compact_step_test.c
 *	  Merges by steps: budgets, interrupts, two handles, closing in between.
 *-------------------------------------------------------------------------
 */
#include <time.h>

#include "mergetest.h"

/* --------------------------------------------------------------- by steps */

/* Budget 0 still gets on; between the steps nothing is different. */
static void
test_steps(void)
{
	TestDb t;
	uint32_t s;
	FlowMaintenance report;
	uint64_t rows, seen = 0, steps = 0;
	FlowStatus st;

	open_db(&t, &s);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK_STATUS(flow_maintenance_step(t.db, 1000, &report), FLOW_END);
	four_files(&t, s, 1000, 100);
	CHECK(flow_wants_maintenance(t.db));
	rows = count_rows(&t, s);
	while ((st = flow_maintenance_step(t.db, 0, &report)) == FLOW_OK)
	{
		seen += report.rows_merged;
		steps++;
		if (report.pending)
			CHECK(!flow_wants_maintenance(t.db)); /* it is at work */
		if (steps % 16 == 0)
			CHECK(count_rows(&t, s) == rows);
	}
	CHECK_STATUS(st, FLOW_END);
	CHECK(seen == 4000 && steps >= 4000 / 16);
	CHECK(count_rows(&t, s) == rows && t.sh->version->nssts == 1);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK(count_orphans(&t) == 0);

	/* a merge that is given up, at any point, leaves nothing */
	for (int n = 1; n < 300; n += 23)
	{
		four_files(&t, s, 300, 50);
		rows = count_rows(&t, s);
		for (int i = 0; i < n; i++)
			step(t.db);
		flow_maintenance_cancel(t.db);
		CHECK(count_orphans(&t) == 0);
		CHECK(count_rows(&t, s) == rows);
	}
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	test_reopen(&t); /* detach ends it too */
	CHECK(count_orphans(&t) == 0);
	test_close(&t);
	check_passed("step by step");
}

static int
cmp_i64(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

/* Time in which this thread was at work: what else the machine does is no
 * matter of ours. */
static int64_t
thread_now(FlowEnv *env)
{
	struct timespec ts;

	(void) env;
	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The median of a merge's steps; 0: it has too few. */
static int64_t
median_step(TestDb *t, uint32_t s, int64_t budget)
{
	int64_t took[1000];
	size_t n = 0;
	FlowStatus st;
	FlowMaintenance report;

	four_files(t, s, 20000, 100);
	while ((st = flow_maintenance_step(t->db, budget, &report)) == FLOW_OK)
	{
		if (report.pending && report.rows_merged > 0 && n < 1000)
			took[n++] = report.time_us;
	}
	CHECK_STATUS(st, FLOW_END);
	if (n < 3)
		return 0;
	qsort(took, n, sizeof(took[0]), cmp_i64);
	printf("# budget %" PRId64 " us: %zu steps, median %" PRId64 "\n", budget,
		   n, took[n / 2]);
	return took[n / 2];
}

static void
test_budgets(void)
{
	static const int64_t budgets[] = {5000, 10000, 20000};
	TestDb t;
	uint32_t s;

	test_open(&t, 64u << 20, 8u << 20);
	set_up(&t);
	t.env->ticks_us = thread_now;
	s = test_store(&t, "s");
	for (size_t b = 0; b < sizeof(budgets) / sizeof(budgets[0]); b++)
	{
		int tries = 0;

		/* caches may be somebody else's */
		while (median_step(&t, s, budgets[b]) > budgets[b] + budgets[b] / 10)
			CHECK(++tries < 10);
	}
	test_close(&t);
	check_passed("budgets");
}

/* Interrupted at every poll, a merge still gets there. */
static uint64_t polls;

static FlowStatus
nervous_poll(FlowEnv *env)
{
	(void) env;
	return ++polls % 3 ? FLOW_OK : FLOW_INTERRUPTED;
}

static void
test_interrupts(void)
{
	TestDb t;
	uint32_t s;
	uint64_t rows, interrupted = 0;
	FlowStatus (*calm)(FlowEnv *);
	FlowStatus st;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 2000, 100);
	rows = count_rows(&t, s);
	calm = t.env->poll;
	t.env->poll = nervous_poll;
	while ((st = flow_maintenance_step(t.db, 1000, NULL)) != FLOW_END)
	{
		CHECK(st == FLOW_OK || st == FLOW_INTERRUPTED);
		interrupted += st == FLOW_INTERRUPTED;
		CHECK(interrupted < 100000);
	}
	t.env->poll = calm;
	CHECK(interrupted > 10 && t.sh->version->nssts == 1);
	CHECK(count_rows(&t, s) == rows &&
		  rows == t.sh->version->sst[0]->info.records);
	CHECK(stats_of(&t).merges == 1 && stats_of(&t).merge_failures == 0);

	/* by hand it ends there */
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	t.env->poll = nervous_poll;
	st = flow_compact(t.db, s, &ran);
	t.env->poll = calm;
	CHECK(st == FLOW_INTERRUPTED && !ran && t.db->merge == NULL);
	CHECK(count_orphans(&t) == 0 && count_rows(&t, s) == rows + 1);
	CHECK(compact(&t, s));
	test_close(&t);
	check_passed("interrupts");
}

/* ---------------------------------------------------------- others at work */

static void
test_two_handles(void)
{
	TestDb t;
	uint32_t s, other;
	FlowDb *second;
	FlowMaintenance report;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	other = test_store(&t, "other");
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, &report));
	CHECK(report.pending);
	CHECK_STATUS(flow_maintenance_step(second, 1000, &report), FLOW_END);
	CHECK(!flow_wants_maintenance(second));
	four_files(&t, other, 300, 50);
	CHECK_OK(flow_maintenance_step(second, 0, &report));
	CHECK(report.pending && second->merge != NULL);
	/* a collection passes over both, and comes back */
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_OK(flow_compact(second, other, &ran)); /* its own first */
	CHECK(!ran && second->merge == NULL);
	maintain(&t, 10000);
	CHECK(t.sh->version->nssts == 2 && count_orphans(&t) == 0);

	/* what another one flushes meanwhile stays; busy is waited for */
	four_files(&t, s, 300, 50);
	CHECK_OK(flow_maintenance_step(t.db, 0, NULL));
	test_put(&t, s, "zz", 1, "new");
	CHECK_OK(flow_flush(second, NULL));
	CHECK_OK(flowi_version_begin(second));
	for (int i = 0; i < 2000; i++)
		CHECK_OK(flow_maintenance_step(t.db, 0, &report));
	CHECK(report.pending);
	flowi_version_end(second);
	maintain(&t, 1000);
	CHECK_TEXT(test_get(&t, &(FlowScanSpec){.store_id = s}, "zz", 1), "new");
	CHECK(count_rows(&t, s) == 4 * 300 + 1);
	flow_detach(second);
	test_close(&t);
	check_passed("two handles");
}

/* It may fail: its files are gone. */
static void
step_anyhow(FlowDb *db)
{
	FlowStatus st = flow_maintenance_step(db, 0, NULL);

	CHECK(st != FLOW_NOMEM && st != FLOW_PANIC);
}

/* The database is dropped under a merge. */
static void
test_discard(void)
{
	TestDb t;
	uint32_t s, again;
	FlowDb *second;
	char command[200];

	for (int steps = 1; steps < 120; steps += 7)
	{
		open_db(&t, &s);
		CHECK_OK(flow_attach(t.env, t.sh, t.dir, &second));
		four_files(&t, s, 300, 50);
		for (int i = 0; i < steps; i++)
			step_anyhow(second);
		snprintf(command, sizeof(command), "rm -rf ./%s/SST/*", t.dir);
		if (steps % 2)
			CHECK(system(command) == 0);
		flow_discard(t.env, t.sh);
		again = test_store(&t, "again");
		CHECK(again == s || again > 0);
		for (int i = 0; i < 3000 && second->merge; i++)
			step_anyhow(second);
		CHECK(second->merge == NULL);
		CHECK(t.sh->version->nssts == 0);
		CHECK(t.sh->stores->claim == 0);
		flow_detach(second);
		test_close(&t);
	}
	check_passed("a database dropped under a merge");
}

static void
test_closed(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	atomic_store(&t.sh->closed, true);
	CHECK_STATUS(flow_maintenance_step(t.db, 0, NULL), FLOW_INVALID);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_INVALID);
	CHECK_STATUS(flow_gc(t.db, &purged), FLOW_INVALID);
	atomic_store(&t.sh->closed, false);
	CHECK_STATUS(
		flow_set_merge_policy(t.db, 99, &(FlowMergePolicy) FLOW_POLICY_DEFAULT),
		FLOW_INVALID);
	test_close(&t);
	check_passed("closed");
}

static FlowDbShared *closing;

static void
set_closed(FlowDbShared *sh, bool closed)
{
	atomic_store(&sh->closed, closed);
	sh->retired = closed;
}

static void
close_on_pause(FlowEnv *env)
{
	(void) env;
	set_closed(closing, true);
}

/* Whoever closes the database retires it: what was under way in other threads
 * comes to an end, and does not wait for what never comes. */
static void
test_closing(void)
{
	TestDb t;
	FlowDb *other;
	FlowMaintenance report;
	uint32_t s;
	uint64_t purged;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 100, 10);
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &other));
	do
		CHECK_OK(flow_maintenance_step(other, 0, &report));
	while (report.rows_merged == 0);
	CHECK_OK(flowi_version_begin(t.db));
	t.env->pause = close_on_pause;
	closing = t.sh;
	alarm(30);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_INVALID); /* the claim */
	set_closed(t.sh, false);
	CHECK_STATUS(flow_compact(other, s, &ran), FLOW_INVALID);
	set_closed(t.sh, false);
	test_put_expiring(&t, test_store(&t, "g"), "k", 1, "v", 1000);
	flowi_version_end(t.db);
	flush(&t);
	horizon = 2000;
	CHECK_OK(flowi_version_begin(t.db));
	CHECK_STATUS(flow_gc(other, &purged), FLOW_INVALID);
	alarm(0);
	flowi_version_end(t.db);
	flow_detach(other);
	test_close(&t);
	check_passed("closed while at work");
}

int
main(void)
{
	test_steps();
	test_budgets();
	test_interrupts();
	test_two_handles();
	test_discard();
	test_closed();
	test_closing();
	return 0;
}
