/*-------------------------------------------------------------------------
 * gc_test.c
 *	  Collection of expired files, and what a flush leaves out.
 *-------------------------------------------------------------------------
 */
#include "mergetest.h"

/* -------------------------------------------------------------- collection */

static void
test_gc(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	FlowScanSpec spec = {.now = 150};

	open_db(&t, &s);
	spec.store_id = s;
	horizon = 5;
	test_put_expiring(&t, s, "a", 1, "x", 100);
	test_put_expiring(&t, s, "b", 1, "x", 110);
	flush(&t);
	test_put_expiring(&t, s, "c", 1, "x", 100);
	test_put(&t, s, "d", 1, "immortal");
	flush(&t);
	test_put_expiring(&t, s, "e", 1, "x", 100);
	test_delete(&t, s, "c", 1);
	flush(&t);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	horizon = 109;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	horizon = 110;
	CHECK(flow_wants_maintenance(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2 && t.sh->version->nssts == 2);
	CHECK(stats_of(&t).purged == 2 && stats_of(&t).records_expired == 2);
	CHECK(count_orphans(&t) == 0);
	test_reopen(&t);
	CHECK_TEXT(test_rows(&t, &spec), "d@1=immortal ");

	/* what hides an older row is no matter of a collection (X07) */
	horizon = 5;
	test_put_expiring(&t, s, "d", 1, "past", 100);
	flush(&t);
	CHECK_TEXT(test_rows(&t, &spec), "");
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_TEXT(test_rows(&t, &spec), "");
	while (compact(&t, s))
		CHECK_TEXT(test_rows(&t, &spec), "");
	CHECK(t.sh->version->nssts <= 1);

	/* two versions that have both expired go together */
	horizon = 5;
	test_put_expiring(&t, s, "p", 1, "x", 100);
	flush(&t);
	test_put_expiring(&t, s, "p", 1, "y", 90);
	flush(&t);
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2);

	/* not settled: not yet */
	horizon = 5;
	{
		FlowTxBuf *buf;

		CHECK_OK(flow_txbuf_create(t.env, &buf));
		CHECK_OK(
			flow_txbuf_add(buf, FLOW_PUT, s, "q", 1, 1, 100, "x", 1, 3, 0));
		CHECK_OK(flow_txbuf_push(buf, t.db));
		flow_txbuf_free(buf);
	}
	flush(&t);
	horizon = 120;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	fate[3] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_resolve_step(t.db));
	maintain(&t, 1000); /* which collects too */
	CHECK(stats_of(&t).purged == 3);
	test_close(&t);
	check_passed("collection");
}

/* Where there is always something to merge, what has expired goes all the same:
 * a merge has its store for itself, so it goes before one begins. */
static void
test_gc_beside_merges(void)
{
	TestDb t;
	uint32_t s;
	FlowMaintenance report;
	char key[8];

	open_db(&t, &s);
	horizon = 5;
	for (int i = 0; i < 4; i++)
	{
		snprintf(key, sizeof(key), "a%d", i);
		test_put_expiring(&t, s, key, 1, "x", 100);
		flush(&t);
	}
	horizon = 100;
	for (int i = 0; i < 8; i++)
	{
		snprintf(key, sizeof(key), "b%d", i);
		test_put(&t, s, key, 1, "immortal");
		flush(&t);
	}
	CHECK_OK(flow_maintenance_step(t.db, 0, &report));
	CHECK(report.purged == 4 && report.pending);
	CHECK(t.sh->version->nssts == 8);
	maintain(&t, 1000);
	test_close(&t);
	check_passed("collection beside merges");
}

/* Rows that expired are not even flushed. */
static void
test_flush_expired(void)
{
	TestDb t;
	uint32_t s;
	FlowFlushReport report;

	open_db(&t, &s);
	horizon = 1000;
	test_put_expiring(&t, s, "a", 1, "x", 1000);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 0 && report.first_id == 0 && report.records == 0);
	CHECK(t.sh->version->nssts == 0);
	test_put_expiring(&t, s, "a", 1, "x", 1001);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 1 && report.records == 1);
	CHECK(report.first_id == t.sh->version->sst[0]->info.id);
	CHECK(report.file_bytes == t.sh->version->sst[0]->info.file_bytes);
	/* over an older version it stays, as a tombstone */
	test_put_expiring(&t, s, "a", 1, "y", 900);
	CHECK_OK(flow_flush(t.db, &report));
	CHECK(report.sstables == 1);
	CHECK(t.sh->version->sst[1]->info.tombstones == 1);
	CHECK(t.sh->version->sst[1]->info.expire_max == INT64_MIN);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK(stats_of(&t).records_expired == 2);
	CHECK(stats_of(&t).last_flush_at > 0);
	test_close(&t);
	check_passed("flushes of expired rows");
}

/*
 * A file with many expired rows over one that has expired as a whole: the
 * rewriting of the first would leave tombstones, which would ask for the next
 * one.  The collection comes first; then nothing is left to do.
 */
static void
test_garbage_over_garbage(void)
{
	TestDb t;
	uint32_t s;
	int steps = 0;
	FlowStatus st = FLOW_OK;

	open_db(&t, &s);
	for (int64_t ts = 0; ts < 100; ts++)
		test_put_expiring(&t, s, "k", ts, "below", 1000);
	flush(&t);
	for (int64_t ts = 50; ts < 150; ts++)
		test_put_expiring(&t, s, "k", ts, "above", ts < 110 ? 1000 : 2000);
	flush(&t);
	horizon = 1900;
	for (; st == FLOW_OK && steps < 100; steps++)
		st = flow_maintenance_step(t.db, 100000, NULL);
	CHECK_STATUS(st, FLOW_END);
	CHECK(!flow_wants_maintenance(t.db));
	CHECK(stats_of(&t).sstables == 1 && stats_of(&t).sstable_records == 40);
	test_close(&t);
	check_passed("garbage over garbage comes to an end");
}

/*
 * Files of a stream overlap a little, and merges do not go by age: their
 * sequences do too.  When a file began to expire before its neighbour did, it
 * has tombstones over it.  They must not keep each other for ever.
 */
static void
test_neighbours(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_db(&t, &s);
	for (int64_t ts = 0; ts < 20; ts++)
		test_put_expiring(&t, s, "k", ts, "x", 1000 + ts);
	flush(&t);
	/* the upper file: tombstones where the lower lives, rows that expire */
	horizon = 500;
	for (int64_t ts = 15; ts < 40; ts++)
		test_put_expiring(&t, s, "k", ts, "y", ts < 20 ? 500 : 1000 + ts);
	flush(&t);
	CHECK(t.sh->version->nssts == 2);
	CHECK(t.sh->version->sst[1]->info.tombstones == 5);
	CHECK(t.sh->version->sst[1]->info.expire_max == 1039);

	/* the lower one has expired, what is over it has not: it goes alone */
	horizon = 1019;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 20 && t.sh->version->nssts == 1);
	CHECK(stats_of(&t).records_expired == 25);
	/* and then the upper one, tombstones and all */
	horizon = 1039;
	CHECK(flow_wants_maintenance(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 25 && t.sh->version->nssts == 0);
	test_close(&t);
	check_passed("tombstones of expired rows keep nothing");
}

/*
 * What has expired of a file goes, though its newer rows lie over a file that
 * lives: else files of a stream, whose times overlap a little, would all wait
 * for the next one.
 */
static void
test_part_over_living(void)
{
	TestDb t;
	uint32_t s;
	int steps = 0;
	FlowStatus st = FLOW_OK;

	open_db(&t, &s);
	horizon = 5;
	for (int64_t ts = 90; ts < 190; ts++)
		test_put_expiring(&t, s, "k", ts, "x", 1000 + ts);
	flush(&t);
	for (int64_t ts = 0; ts < 100; ts++)
		test_put_expiring(&t, s, "k", ts, "y", 1000 + ts);
	flush(&t);
	horizon = 1040; /* less than half is not worth it */
	CHECK_STATUS(flow_maintenance_step(t.db, 100000, NULL), FLOW_END);
	horizon = 1069;
	for (; st == FLOW_OK && steps < 100; steps++)
		st = flow_maintenance_step(t.db, 100000, NULL);
	CHECK_STATUS(st, FLOW_END);
	CHECK(stats_of(&t).sstables == 2 && stats_of(&t).sstable_records == 130);
	CHECK(t.sh->version->sst[1]->info.ts_min == 70);
	/* the rest lies over what lives: tombstones, once */
	horizon = 1095;
	for (steps = 0, st = FLOW_OK; st == FLOW_OK && steps < 100; steps++)
		st = flow_maintenance_step(t.db, 100000, NULL);
	CHECK_STATUS(st, FLOW_END);
	CHECK(stats_of(&t).sstable_records == 110);
	test_close(&t);
	check_passed("expired rows over nothing go, though others are over rows");
}

/* Files that share no more than one time, at which an expired row hides one
 * that lives. */
static void
test_shared_edge(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	FlowScanSpec spec = {.now = 60};

	open_db(&t, &s);
	spec.store_id = s;
	horizon = 5;
	for (int64_t ts = 10; ts <= 11; ts++)
		test_put_expiring(&t, s, "k", ts, "old", 10000);
	flush(&t);
	for (int64_t ts = 1; ts <= 10; ts++)
		test_put_expiring(&t, s, "k", ts, "new", 50);
	flush(&t);
	CHECK_TEXT(test_rows(&t, &spec), "k@11=old ");
	horizon = 60;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_TEXT(test_rows(&t, &spec), "k@11=old ");
	test_close(&t);
	check_passed("an expired row at the edge of its file hides what lives");
}

/* A file with tombstones goes together with what they hide, or not at all. */
static void
test_deleted_and_expired(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_db(&t, &s);
	horizon = 5;
	test_put_expiring(&t, s, "a", 1, "x", 100);
	test_put_expiring(&t, s, "c", 1, "x", 200);
	flush(&t);
	test_delete(&t, s, "a", 1);
	test_put_expiring(&t, s, "b", 1, "x", 100);
	flush(&t);
	/* the deleted row has expired, but is there */
	horizon = 100;
	CHECK(!flow_wants_maintenance(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0 && t.sh->version->nssts == 2);
	horizon = 200;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 4 && t.sh->version->nssts == 0);

	/* below lies a file that has expired too, but stays for its range
	 * tombstone: what is over it stays as well */
	horizon = 5;
	test_put(&t, s, "y", 1, "immortal");
	flush(&t);
	test_put_expiring(&t, s, "a", 1, "x", 100);
	delete_range(&t, s, "y", "z", 0, 10, 0);
	flush(&t);
	test_delete(&t, s, "a", 1);
	test_put_expiring(&t, s, "b", 1, "x", 100);
	flush(&t);
	horizon = 100;
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0 && t.sh->version->nssts == 3);
	test_close(&t);
	check_passed("tombstones go with what they hide");
}

/* What a range tombstone in memory hides as a whole goes without a flush. */
static void
test_covered(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_db(&t, &s);
	test_put(&t, s, "a", 1, "x");
	test_put(&t, s, "c", 1, "x");
	flush(&t);
	test_put(&t, s, "b", 1, "x");
	test_put(&t, s, "d", 9, "x");
	flush(&t);
	delete_range(&t, s, "c", NULL, 0, 10, 0); /* of none all of it */
	delete_range(&t, s, "a", "d", 0, 10, 0);  /* d is not in it */
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2 && t.sh->version->nssts == 1);
	CHECK_TEXT(test_all(&t, s), "");

	/* one whose transaction is open hides nothing yet */
	fate[3] = FLOW_TXN_COMMITTED;
	delete_range(&t, s, "", NULL, INT64_MIN, INT64_MAX, 3);
	CHECK_OK(flow_learn_fates(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	fate[3] = FLOW_TXN_SETTLED;
	CHECK_OK(flow_learn_fates(t.db));
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 2 && t.sh->version->nssts == 0);
	CHECK(stats_of(&t).purged == 4 && stats_of(&t).records_expired == 0);

	/* a file that is newer than the tombstone stays, also after a crash */
	test_put(&t, s, "e", 1, "new");
	test_crash(&t);
	set_up(&t);
	CHECK_TEXT(test_all(&t, s), "e@1=new ");
	flush(&t);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 0);
	CHECK_TEXT(test_all(&t, s), "e@1=new ");

	/* nor does one go whose own range tombstones reach further */
	delete_range(&t, s, "e", "z", 0, 100, 0);
	test_put(&t, s, "f", 1, "x");
	flush(&t);
	delete_range(&t, s, "e", "g", 0, 100, 0);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(t.sh->version->nssts == 1);
	CHECK_TEXT(test_all(&t, s), "");
	test_close(&t);
	check_passed("collection of what is deleted as a whole");
}

int
main(void)
{
	test_gc();
	test_gc_beside_merges();
	test_neighbours();
	test_deleted_and_expired();
	test_part_over_living();
	test_shared_edge();
	test_covered();
	test_flush_expired();
	test_garbage_over_garbage();
	return 0;
}
