/*-------------------------------------------------------------------------
 * compact_fault_test.c
 *	  Merges that fail or die: nothing is lost, nothing is left; their memory.
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "mergetest.h"

/* ----------------------------------------------------------------- faults */

#define FAULT_ROWS "a@1=2 b@1=x c@1=x "

/* Three files; d of an open transaction, e aborted, f expired. */
static void
prepare(TestDb *t, uint32_t *s)
{
	open_db(t, s);
	t->env->file_sync = real_sync;
	horizon = 50;
	fate[2] = FLOW_TXN_ABORTED;
	test_put(t, *s, "a", 1, "1");
	test_put(t, *s, "b", 1, "x");
	test_put_expiring(t, *s, "f", 1, "x", 60);
	flush(t);
	test_put(t, *s, "a", 1, "2");
	test_put_xid(t, *s, "d", 1, "open", 1);
	flush(t);
	fate[2] = FLOW_TXN_UNKNOWN;
	test_put_xid(t, *s, "e", 1, "x", 2);
	test_put(t, *s, "c", 1, "x");
	test_put(t, *s, "c", 2, "x");
	delete_range(t, *s, "c", "d", 2, 9, 0);
	flush(t);
	fate[2] = FLOW_TXN_ABORTED;
	horizon = 70;
}

static void
check_fault_rows(TestDb *t, uint32_t s)
{
	uint64_t snapshot = UINT64_MAX;
	FlowScanSpec spec = {
		.store_id = s, .now = 70, .visible = sees, .visible_arg = &snapshot};

	snapshot &= ~UINT64_C(4);
	CHECK_TEXT(test_rows(t, &spec), FAULT_ROWS "d@1=open ");
	snapshot = 0;
	CHECK_TEXT(test_rows(t, &spec), FAULT_ROWS);
}

typedef enum Then
{
	GO_ON,
	DIE,
	DIE_HARD,
	NTHENS
} Then;

/* By hand, or all of a merge by steps: its status. */
static FlowStatus
merge_once(TestDb *t, uint32_t s, bool by_hand)
{
	FlowStatus st;
	bool ran;

	if (by_hand)
		return flow_compact(t->db, s, &ran);
	while ((st = flow_maintenance_step(t->db, 1000, NULL)) == FLOW_OK)
		;
	return st == FLOW_END ? FLOW_OK : st;
}

/* Let the nth call of op, and times - 1 more, fail under a merge. */
static bool
fault(FlowPosixOp op, uint64_t nth, uint64_t times, Then then)
{
	TestDb t;
	uint32_t s;
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;
	FlowStatus st;
	uint64_t calls;

	prepare(&t, &s);
	policy.min_threshold = 2;
	CHECK_OK(flow_set_merge_policy(t.db, s, &policy));
	disk_begin(&t);
	calls = flow_env_posix_calls(t.env, op);
	flow_env_posix_fail(t.env, op, nth, times, EIO);
	st = merge_once(&t, s, nth % 2);
	calls = flow_env_posix_calls(t.env, op) - calls;
	flow_env_posix_fail(t.env, op, 1, 0, 0);
	CHECK(st == FLOW_OK || st == FLOW_IOERR || st == FLOW_NOMEM ||
		  st == FLOW_PANIC);
	CHECK(t.db->merge == NULL);
	if (then == GO_ON)
	{
		check_fault_rows(&t, s);
		CHECK(flow_compact(t.db, s, &(bool){0}) == FLOW_OK);
	}
	else
	{
		/* everything that was written was flushed */
		test_forget_log(&t);
		test_unload(&t);
		if (then == DIE_HARD)
			disk_lose(&t);
		test_load(&t);
	}
	check_fault_rows(&t, s);
	flow_maintenance_cancel(t.db);
	test_reopen(&t);
	CHECK(count_orphans(&t) == 0);
	check_fault_rows(&t, s);
	CHECK_OK(flow_compact(t.db, s, &(bool){0}));
	check_fault_rows(&t, s);
	disk_end(&t);
	test_close(&t);
	return nth <= calls;
}

static void
test_faults(void)
{
	static const FlowPosixOp ops[] = {
		FLOW_POSIX_OPEN,   FLOW_POSIX_READ,	  FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
		FLOW_POSIX_RENAME, FLOW_POSIX_UNLINK, FLOW_POSIX_ALLOC,
	};
	int n = 0;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		for (Then then = GO_ON; then < NTHENS; then++)
		{
			/* only what is on the disk can be lost with the machine */
			if (then == DIE_HARD && ops[i] != FLOW_POSIX_WRITE &&
				ops[i] != FLOW_POSIX_SYNC && ops[i] != FLOW_POSIX_RENAME)
				continue;
			/* odd ones by hand, even ones by steps: two that are beyond */
			for (uint64_t nth = 1;
				 fault(ops[i], nth, 1, then) || fault(ops[i], ++nth, 1, then);
				 nth++)
				n++;
			for (uint64_t nth = 1; fault(ops[i], nth, UINT64_MAX, then) ||
								   fault(ops[i], ++nth, UINT64_MAX, then);
				 nth++)
				n++;
		}
	}
	printf("# %d failed merges\n", n);
	CHECK(n > 100);
	check_passed("every failing call of a merge");
}

/* Bytes of an input are not what they were. */
static void
test_unreadable(void)
{
	TestDb t;
	uint32_t s;
	char path[FLOW_PATH_BYTES];
	uint8_t byte;
	int fd;
	bool ran;

	open_db(&t, &s);
	four_files(&t, s, 300, 50);
	test_reopen(&t); /* nothing is cached */
	flowi_version_path(t.dir, t.sh->version->sst[2]->info.id, path);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &byte, 1, 3000) == 1);
	byte ^= 0x55;
	CHECK(pwrite(fd, &byte, 1, 3000) == 1);
	close(fd);
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_CORRUPT);
	CHECK(!ran && t.sh->version->nssts == 4 && count_orphans(&t) == 0);
	CHECK(stats_of(&t).merge_failures == 1);
	/* no hot loop: the store is left alone for a while */
	CHECK(!flow_wants_maintenance(t.db));
	CHECK_STATUS(flow_maintenance_step(t.db, 1000, NULL), FLOW_END);
	/* but by hand it is tried */
	CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_CORRUPT);
	CHECK(stats_of(&t).merge_failures == 2 && count_orphans(&t) == 0);
	/* the other stores go on */
	s = test_store(&t, "healthy");
	four_files(&t, s, 300, 50);
	maintain(&t, 1000);
	CHECK(t.sh->version->nssts == 5);
	test_close(&t);
	check_passed("an input that cannot be read");
}

/* A process dies at each named point. */
static const char *die_at;

static FlowStatus
die_point(void *arg, const char *name)
{
	(void) arg;
	return strcmp(name, die_at) == 0 ? FLOW_PANIC : FLOW_OK;
}

static void
test_points(void)
{
	static const char *const points[] = {"merge-begin", "merge-written",
										 "merge-renamed", "manifest-append",
										 "sst-before-sync"};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
	{
		TestDb t;
		uint32_t s;
		bool ran;

		prepare(&t, &s);
		die_at = points[i];
		flow_env_posix_set_point(t.env, die_point, NULL);
		CHECK_STATUS(flow_compact(t.db, s, &ran), FLOW_PANIC);
		flow_env_posix_set_point(t.env, NULL, NULL);
		check_fault_rows(&t, s);
		CHECK(t.sh->version->nssts == 3 && count_orphans(&t) == 0);
		CHECK(compact(&t, s));
		check_fault_rows(&t, s);
		test_close(&t);
	}
	check_passed("named points");
}

/* ----------------------------------------------------------------- memory */

static size_t heap_now, heap_most;
static void *(*real_realloc)(FlowEnv *, void *, size_t);
static void *(*real_alloc)(FlowEnv *, size_t);
static void (*real_free)(FlowEnv *, void *);

#define HEADER 16

static void *
counted_realloc(FlowEnv *env, void *p, size_t size)
{
	char *old = p ? (char *) p - HEADER : NULL;
	size_t before = old ? *(size_t *) (void *) old : 0;
	char *fresh = real_realloc(env, old, size + HEADER);

	if (fresh == NULL)
		return NULL;
	*(size_t *) (void *) fresh = size;
	heap_now += size - before;
	heap_most = FLOW_MAX(heap_most, heap_now);
	return fresh + HEADER;
}

static void *
counted_alloc(FlowEnv *env, size_t size)
{
	return counted_realloc(env, NULL, size);
}

static void
counted_free(FlowEnv *env, void *p)
{
	if (p == NULL)
		return;
	heap_now -= *(size_t *) (void *) ((char *) p - HEADER);
	real_free(env, (char *) p - HEADER);
}

static size_t
heap_of_merge(int rows)
{
	TestDb t;
	uint32_t s;
	FlowDb *db;
	bool ran;

	test_open(&t, 128u << 20, 16u << 20);
	set_up(&t);
	t.sh->options.block_bytes = 16 << 10;
	s = test_store(&t, "s");
	four_files(&t, s, rows, 1000);
	real_realloc = t.env->realloc;
	real_alloc = t.env->alloc;
	real_free = t.env->free;
	t.env->realloc = counted_realloc;
	t.env->alloc = counted_alloc;
	t.env->free = counted_free;
	heap_now = heap_most = 0;
	CHECK_OK(flow_attach(t.env, t.sh, t.dir, &db));
	CHECK_OK(flow_compact(db, s, &ran));
	CHECK(ran && t.sh->version->nssts == 1);
	printf("# merge of %" PRIu64 " MB: %zu KB of memory\n",
		   stats_of(&t).merge_bytes_read >> 20, heap_most >> 10);
	flow_detach(db);
	CHECK(heap_now == 0);
	t.env->realloc = real_realloc;
	t.env->alloc = real_alloc;
	t.env->free = real_free;
	test_close(&t);
	return heap_most;
}

static void
test_memory(void)
{
	size_t small = heap_of_merge(2500);
	size_t large = heap_of_merge(12500);

	CHECK(large < 16u << 20 && large < small + (2u << 20));
	check_passed("bounded memory");
}

int
main(void)
{
	test_unreadable();
	test_points();
	test_faults();
	test_memory();
	return 0;
}
