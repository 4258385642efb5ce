/*-------------------------------------------------------------------------
 * reserve_test.c
 *	  Space on a full disk for what gives space back, and what merges leave.
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mergetest.h"

/* A disk without a free byte, until the reserve is removed. */
static FlowStatus (*real_unlink)(FlowEnv *, const char *);
static int spent;

static FlowStatus
unlink_on_full_disk(FlowEnv *env, const char *path)
{
	if (strstr(path, "RESERVE"))
	{
		spent++;
		flow_env_posix_fail(env, FLOW_POSIX_WRITE, 1, 0, 0);
	}
	return real_unlink(env, path);
}

static void
fill_disk(TestDb *t)
{
	if (t->env->unlink != unlink_on_full_disk)
		real_unlink = t->env->unlink;
	t->env->unlink = unlink_on_full_disk;
	spent = 0;
	flow_env_posix_fail(t->env, FLOW_POSIX_WRITE, 1, UINT64_MAX, ENOSPC);
}

static void
make_room(TestDb *t)
{
	flow_env_posix_fail(t->env, FLOW_POSIX_WRITE, 1, 0, 0);
}

static off_t
reserve_size(const TestDb *t)
{
	char path[FLOW_PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s/INDEX/RESERVE", t->dir);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void
open_with_reserve(TestDb *t, uint32_t *s)
{
	open_db(t, s);
	CHECK(reserve_size(t) == 0);
	t->opts.reserve_bytes = 65536;
	test_reopen(t);
	set_up(t);
	CHECK(reserve_size(t) == 65536);
}

static void
test_expired_go(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;

	open_with_reserve(&t, &s);
	test_put_expiring(&t, s, "a", 1, "x", 100);
	flush(&t);
	test_put(&t, s, "b", 1, "y");
	horizon = 200;
	fill_disk(&t);
	CHECK_STATUS(flow_flush(t.db, NULL), FLOW_FULL);
	CHECK(spent == 0);
	CHECK_STATUS(flow_gc(t.db, &purged), FLOW_FULL);
	CHECK(spent == 1 && reserve_size(&t) == 0);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 1 && t.sh->version->nssts == 0);

	/* and is there again after the next flush */
	flush(&t);
	CHECK(reserve_size(&t) == 65536);
	test_reopen(&t);
	CHECK_TEXT(test_all(&t, s), "b@1=y ");
	CHECK(count_orphans(&t) == 0);
	test_close(&t);
	check_passed("expired files go from a full disk");
}

/* A failed edit makes the next one write a whole new manifest: without that a
 * flush could not even remove what it has left. */
static void
test_manifest_is_mended(void)
{
	TestDb t;
	uint32_t s;

	open_with_reserve(&t, &s);
	test_put(&t, s, "a", 1, "x");
	/* all writes of the file go well, that of the edit does not */
	t.sh->manifest_failed = true;
	fill_disk(&t);
	flush(&t);
	CHECK(spent == 1 && !t.sh->manifest_failed);
	CHECK_TEXT(test_all(&t, s), "a@1=x ");
	test_close(&t);
	check_passed("a manifest is mended on a full disk");
}

/* It cannot be made: no error, and it is made later. */
static void
test_made_later(void)
{
	TestDb t;
	uint32_t s;

	open_db(&t, &s);
	t.opts.reserve_bytes = 65536;
	flow_env_posix_fail(t.env, FLOW_POSIX_WRITE, 1, UINT64_MAX, ENOSPC);
	test_reopen(&t);
	set_up(&t);
	CHECK(reserve_size(&t) == 0 && t.sh->reserve_bytes == 0);
	make_room(&t);
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	CHECK(reserve_size(&t) == 65536);
	test_close(&t);
	check_passed("a reserve that could not be made is made later");
}

/* ---------------------------------------------------- write buffers are full */

static FlowStatus
delete_all(TestDb *t, uint32_t s)
{
	const FlowRect all = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	FlowTxBuf *buf;
	FlowStatus st;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_delete_range(buf, s, &all, 0, 0));
	st = flow_txbuf_push(buf, t->db);
	flow_txbuf_free(buf);
	return st;
}

static FlowStatus
put_big(TestDb *t, uint32_t s, int64_t ts)
{
	char value[4000] = {0};
	FlowTxBuf *buf;
	FlowStatus st;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_add(buf, FLOW_PUT, s, "k", 1, ts, FLOW_NEVER, value,
							sizeof(value), 0, 0));
	st = flow_txbuf_push(buf, t->db);
	flow_txbuf_free(buf);
	return st;
}

/* Rows fill them before anybody knows that the disk is full.  A range tombstone
 * is let in all the same, but no number of them. */
static void
test_tombstone_of_full_buffers(void)
{
	TestDb t;
	uint32_t s;
	uint64_t purged;
	int64_t ts = 0;
	FlowStatus st;

	open_with_reserve(&t, &s);
	t.opts.memtable_bytes = 65536;
	test_reopen(&t);
	set_up(&t);
	test_put(&t, s, "a", 1, "x");
	flush(&t);
	fill_disk(&t);
	while ((st = put_big(&t, s, ++ts)) == FLOW_OK)
		CHECK(ts < 10000);
	CHECK_STATUS(st, FLOW_BUSY);
	CHECK_STATUS(flow_flush_step(t.db), FLOW_FULL);

	CHECK_OK(delete_all(&t, s));
	CHECK_STATUS(put_big(&t, s, ts), FLOW_BUSY);
	CHECK_TEXT(test_all(&t, s), "");
	CHECK_STATUS(flow_gc(t.db, &purged), FLOW_FULL);
	CHECK_OK(flow_gc(t.db, &purged));
	CHECK(purged == 1 && t.sh->version->nssts == 0);
	for (ts = 0; (st = delete_all(&t, s)) == FLOW_OK; ts++)
		CHECK(ts < 100000);
	CHECK_STATUS(st, FLOW_BUSY);
	flush(&t);
	CHECK_TEXT(test_all(&t, s), "");
	test_put(&t, s, "b", 1, "y");
	CHECK_TEXT(test_all(&t, s), "b@1=y ");
	test_close(&t);
	check_passed("a range tombstone finds room in full write buffers");
}

/* ------------------------------------------------------------------- merges */

static uint64_t disk_free, disk_total;

static FlowStatus
disk_space(FlowEnv *env, const char *dir, uint64_t *freep, uint64_t *totalp)
{
	(void) env;
	(void) dir;
	*freep = disk_free;
	*totalp = disk_total;
	return FLOW_OK;
}

static void
test_merges_leave_room(void)
{
	TestDb t;
	uint32_t s;
	bool ran;

	open_db(&t, &s);
	t.env->disk_space = disk_space;
	for (int i = 0; i < 4; i++)
	{
		test_put(&t, s, "a", i, "x");
		flush(&t);
	}
	disk_total = UINT64_C(1) << 40;
	disk_free = 2 * MEMTABLE_BYTES - 1;
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_FULL);
	CHECK(strstr(flow_last_error()->message, t.dir) != NULL);
	CHECK(t.sh->version->nssts == 4 && count_orphans(&t) == 0);
	CHECK(stats_of(&t).merge_failures == 1);
	/* a small disk is used all the same */
	disk_total = 16 * disk_free;
	CHECK(compact(&t, s));
	CHECK(t.sh->version->nssts < 4);
	test_put(&t, s, "b", 1, "x");
	flush(&t);
	test_put(&t, s, "b", 2, "x");
	flush(&t);
	disk_free = disk_total / 16;
	disk_free--;
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_FULL);
	disk_free++;
	CHECK(compact(&t, s));
	CHECK_TEXT(test_all(&t, s), "a@0=x a@1=x a@2=x a@3=x b@1=x b@2=x ");
	test_close(&t);
	check_passed("merges leave room");
}

int
main(void)
{
	test_expired_go();
	test_manifest_is_mended();
	test_made_later();
	test_tombstone_of_full_buffers();
	test_merges_leave_room();
	return 0;
}
