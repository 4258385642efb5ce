/*-------------------------------------------------------------------------
 * env_posix_test.c
 *	  The POSIX environment and the error record.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../cache.h"
#include "../common.h"
#include "../env_posix.h"

static char dir[] = "/tmp/flow_env_test.XXXXXX";
static char path_buf[2][128];

static const char *
path(int i, const char *name)
{
	snprintf(path_buf[i], sizeof(path_buf[i]), "%s/%s", dir, name);
	return path_buf[i];
}

static void
test_status(void)
{
	FlowStatus st;
	char long_text[2000];

	CHECK(flow_last_error()->status == FLOW_OK);
	CHECK(flowi_fail(FLOW_CORRUPT, "block %d", 7) == FLOW_CORRUPT);
	CHECK(strcmp(flow_last_error()->message, "block 7") == 0);
	CHECK(flowi_fail_errno(ENOSPC, "write") == FLOW_FULL);
	CHECK(flowi_fail_errno(EDQUOT, "write") == FLOW_FULL);
	CHECK(flowi_fail_errno(EIO, "could not write \"%s\"", "x") == FLOW_IOERR);
	CHECK(flow_last_error()->err_no == EIO);
	CHECK(strncmp(flow_last_error()->message, "could not write \"x\": ", 21) ==
		  0);
	memset(long_text, 'a', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	CHECK(flowi_fail_errno(EIO, "%s", long_text) == FLOW_IOERR);
	CHECK(strlen(flow_last_error()->message) == 511);
	/* a message may quote the one before */
	flowi_fail(FLOW_CORRUPT, "bad");
	flowi_fail(FLOW_CORRUPT, "very %s", flow_last_error()->message);
	CHECK(strcmp(flow_last_error()->message, "very bad") == 0);

	CHECK(flowi_status_merge(FLOW_OK, FLOW_OK) == FLOW_OK);
	CHECK(flowi_status_merge(FLOW_OK, FLOW_END) == FLOW_END);
	CHECK(flowi_status_merge(FLOW_OK, FLOW_IOERR) == FLOW_IOERR);
	CHECK(flowi_status_merge(FLOW_NOTFOUND, FLOW_OK) == FLOW_NOTFOUND);
	CHECK(flowi_status_merge(FLOW_NOTFOUND, FLOW_IOERR) == FLOW_IOERR);
	CHECK(flowi_status_merge(FLOW_IOERR, FLOW_END) == FLOW_IOERR);
	CHECK(flowi_status_merge(FLOW_IOERR, FLOW_PANIC) == FLOW_PANIC);
	CHECK(flowi_status_merge(FLOW_PANIC, FLOW_IOERR) == FLOW_PANIC);
	/* the record tells of the status that won */
	st = flowi_fail(FLOW_CORRUPT, "first");
	FLOW_KEEP(flowi_fail(FLOW_IOERR, "second"));
	CHECK(st == FLOW_CORRUPT);
	CHECK(strcmp(flow_last_error()->message, "first") == 0);
	FLOW_KEEP(flowi_fail(FLOW_PANIC, "third"));
	CHECK(st == FLOW_PANIC);
	CHECK(strcmp(flow_last_error()->message, "third") == 0);
	for (int i = FLOW_OK; i <= FLOW_EXISTS; i++)
		CHECK(strcmp(flow_status_name((FlowStatus) i), "unknown status") != 0);
	check_passed("status");
}

static FlowStatus
count_name(void *arg, const char *name)
{
	CHECK(name[0] != '.');
	return ++*(int *) arg == 3 ? FLOW_BUSY : FLOW_OK;
}

static void
test_files(FlowEnv *env)
{
	FlowFile *file;
	char buf[100];
	uint64_t size;
	int names = 0;

	CHECK_OK(env->mkdir(env, path(0, "d")));
	CHECK_STATUS(env->mkdir(env, path(0, "d")), FLOW_EXISTS);
	CHECK_STATUS(env->mkdir(env, path(0, "no/d")), FLOW_IOERR);
	CHECK_STATUS(env->file_open(env, path(0, "a"), FLOW_O_READ, &file),
				 FLOW_NOTFOUND);
	CHECK_STATUS(env->file_open(env, path(0, "a"), FLOW_O_WRITE, &file),
				 FLOW_NOTFOUND);
	CHECK_STATUS(env->file_open(env, path(0, "no/a"), FLOW_O_CREATE, &file),
				 FLOW_IOERR);
	CHECK(file == NULL);
	env->file_close(NULL);
	CHECK_OK(env->file_open(env, path(0, "a"), FLOW_O_CREATE, &file));
	CHECK_OK(env->file_write(file, "0123456789", 10, 5));
	CHECK_OK(env->file_sync(file));
	CHECK_OK(env->file_size(file, &size));
	CHECK(size == 15);
	CHECK_OK(env->file_read(file, buf, 5, 5));
	CHECK(memcmp(buf, "01234", 5) == 0);
	CHECK_STATUS(env->file_read(file, buf, 5, 11), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, "offset 15") != NULL);
	CHECK_OK(env->file_truncate(file, 7));
	CHECK_OK(env->file_size(file, &size));
	CHECK(size == 7);
	env->file_close(file);
	CHECK_OK(env->rename(env, path(0, "a"), path(1, "d/b")));
	CHECK_STATUS(env->rename(env, path(0, "a"), path(1, "d/b")), FLOW_IOERR);
	CHECK_OK(env->sync_dir(env, path(0, "d")));
	CHECK_STATUS(env->sync_dir(env, path(0, "no")), FLOW_IOERR);
	CHECK_OK(env->file_open(env, path(0, "d/b"), FLOW_O_CREATE, &file));
	CHECK_OK(env->file_size(file, &size));
	CHECK(size == 0);
	env->file_close(file);
	CHECK_OK(env->list_dir(env, path(0, "d"), count_name, &names));
	CHECK(names == 1);
	for (int i = 0; i < 4; i++)
	{
		snprintf(buf, sizeof(buf), "d/x%d", i);
		CHECK_OK(env->file_open(env, path(0, buf), FLOW_O_CREATE, &file));
		env->file_close(file);
	}
	names = 0;
	CHECK_STATUS(env->list_dir(env, path(0, "d"), count_name, &names),
				 FLOW_BUSY);
	CHECK_STATUS(env->list_dir(env, path(0, "no"), count_name, &names),
				 FLOW_IOERR);
	CHECK_OK(env->unlink(env, path(0, "d/b")));
	CHECK_STATUS(env->unlink(env, path(0, "d/b")), FLOW_NOTFOUND);
	for (int i = 0; i < 4; i++)
	{
		snprintf(buf, sizeof(buf), "d/x%d", i);
		CHECK_OK(env->unlink(env, path(0, buf)));
	}
	CHECK(rmdir(path(0, "d")) == 0);
	check_passed("files");
}

static void
test_faults(FlowEnv *env)
{
	FlowFile *file;
	uint64_t calls = flow_env_posix_calls(env, FLOW_POSIX_WRITE);
	uint64_t size;

	CHECK_OK(env->file_open(env, path(0, "f"), FLOW_O_CREATE, &file));
	flow_env_posix_fail(env, FLOW_POSIX_WRITE, 2, 2, ENOSPC);
	CHECK_OK(env->file_write(file, "x", 1, 0));
	CHECK_STATUS(env->file_write(file, "y", 1, 1), FLOW_FULL);
	CHECK_STATUS(env->file_write(file, "y", 1, 1), FLOW_FULL);
	CHECK_OK(env->file_size(file, &size));
	CHECK(size == 1);
	CHECK_OK(env->file_write(file, "y", 1, 1));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_WRITE) == calls + 4);
	flow_env_posix_fail(env, FLOW_POSIX_SYNC, 1, UINT64_MAX, EIO);
	CHECK_STATUS(env->file_sync(file), FLOW_IOERR);
	CHECK_STATUS(env->sync_dir(env, dir), FLOW_IOERR);
	flow_env_posix_fail(env, FLOW_POSIX_SYNC, 1, 0, EIO);
	CHECK_OK(env->file_sync(file));
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 1, 0);
	CHECK(env->alloc(env, 1) == NULL);
	env->free(env, env->alloc(env, 0));
	env->file_close(file);
	flow_env_posix_fail(env, FLOW_POSIX_OPEN, 1, 1, EMFILE);
	CHECK_STATUS(env->file_open(env, path(0, "f"), FLOW_O_READ, &file),
				 FLOW_IOERR);
	flow_env_posix_fail(env, FLOW_POSIX_UNLINK, 1, 1, EPERM);
	CHECK_STATUS(env->unlink(env, path(0, "f")), FLOW_IOERR);
	CHECK_OK(env->unlink(env, path(0, "f")));
	check_passed("faults");
}

static FlowStatus
aborted(void *arg, uint64_t xid, FlowTxnState *statep)
{
	CHECK(arg == dir && xid == 9);
	*statep = FLOW_TXN_ABORTED;
	return FLOW_OK;
}

static void
note_record(void *arg, const void *rec, size_t len, uint64_t start,
			uint64_t end)
{
	CHECK(len == 3 && memcmp(rec, "rec", 3) == 0 && end > start);
	*(uint64_t *) arg = end;
}

static FlowStatus
stop_here(void *arg, const char *name)
{
	CHECK(strcmp(name, "here") == 0);
	++*(int *) arg;
	return FLOW_INTERRUPTED;
}

static void
test_host(FlowEnv *env)
{
	FlowTxnState state;
	FlowLock lock[2];
	uint64_t start, end, seen = 0;
	int stops = 0;

	CHECK_OK(env->txn_outcome(env, 0, &state));
	CHECK(state == FLOW_TXN_SETTLED);
	CHECK_OK(env->txn_outcome(env, 9, &state));
	CHECK(state == FLOW_TXN_COMMITTED);
	flow_env_posix_set_outcome(env, aborted, dir);
	CHECK_OK(env->txn_outcome(env, 9, &state));
	CHECK(state == FLOW_TXN_ABORTED);
	CHECK_OK(env->txn_outcome(env, 0, &state));
	CHECK(state == FLOW_TXN_SETTLED);

	CHECK(env->log_bound(env) == 1);
	flow_env_posix_set_log(env, note_record, &seen);
	env->log_append(env, NULL, "rec", 3, &start, &end);
	CHECK(start == 1 && end >= start + 27 && seen == end);
	CHECK(env->log_bound(env) == end);
	flow_env_posix_set_log_pos(env, 1000);
	flow_env_posix_set_log_pos(env, 10);
	CHECK(env->log_bound(env) == 1000);
	CHECK_OK(env->log_sync(env));

	env->lock_init(env, &lock[0], FLOW_RANK_WRITE);
	env->lock_init(env, &lock[1], FLOW_RANK_STATE);
	env->lock_acquire(env, &lock[0], FLOW_LOCK_EXCLUSIVE);
	env->lock_acquire(env, &lock[1], FLOW_LOCK_SHARED);
	env->lock_release(env, &lock[0]);
	env->lock_release(env, &lock[1]);
	CHECK_OK(env->poll(env));
	env->pause(env);
	env->notify(env, NULL, FLOW_EVENT_FROZEN);
	CHECK(env->now_us(env) > INT64_C(1700000000000000));
	CHECK(env->point == NULL);
	flow_env_posix_set_point(env, stop_here, &stops);
	CHECK_STATUS(env->point(env, "here"), FLOW_INTERRUPTED);
	CHECK(stops == 1);
	check_passed("host calls");
}

/* A directory's lock is one handle's, whatever process it is in. */
static void
test_dir_lock(FlowEnv *env)
{
	FlowMonitor *mon = env->monitor_create(env);
	FlowFile *file;
	void *lock, *other;
	char pid[32];

	CHECK_OK(env->dir_lock(env, dir, &lock));
	CHECK_STATUS(env->dir_lock(env, dir, &other), FLOW_BUSY);
	snprintf(pid, sizeof(pid), "process %ld", (long) getpid());
	CHECK(other == NULL && strstr(flow_last_error()->message, pid) != NULL);
	env->dir_unlock(env, lock);
	env->dir_unlock(env, NULL);
	CHECK_OK(env->dir_lock(env, dir, &lock));
	env->dir_unlock(env, lock);
	CHECK_STATUS(env->dir_lock(env, path(0, "no"), &lock), FLOW_IOERR);
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 2, 0);
	CHECK_STATUS(env->dir_lock(env, dir, &lock), FLOW_NOMEM);
	CHECK(env->monitor_create(env) == NULL);

	CHECK_OK(env->file_open(env, path(0, "LOCK"), FLOW_O_WRITE, &file));
	CHECK_OK(env->file_datasync(file));
	flow_env_posix_fail(env, FLOW_POSIX_SYNC, 1, 1, EIO);
	CHECK_STATUS(env->file_datasync(file), FLOW_IOERR);
	env->file_close(file);
	CHECK_OK(env->unlink(env, path(0, "LOCK")));

	env->monitor_enter(mon);
	env->monitor_wake(mon);
	env->monitor_leave(mon);
	env->monitor_free(env, mon);
	env->monitor_free(env, NULL);
	check_passed("lock of a directory");
}

/* Bytes of memory that the process has. */
static size_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long all, in = 0;

	if (f)
	{
		CHECK(fscanf(f, "%lu %lu", &all, &in) == 2);
		fclose(f);
	}
	return (size_t) in * (size_t) sysconf(_SC_PAGESIZE);
}

/* Does every program have large pages, whether it asks or not? */
static bool
always_large(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char word[16] = "";

	if (f)
	{
		CHECK(fscanf(f, "%15s", word) == 1);
		fclose(f);
	}
	return strcmp(word, "[always]") == 0;
}

/* What a large region does not hold it does not take, though it would like
 * large pages. */
static void
test_large_region(void)
{
	size_t before = resident();
	FlowEnv *env;

	if (always_large())
		return;
	CHECK_OK(flow_env_posix_create((size_t) 256 << 20, &env));
	for (uint64_t i = 0; i < 500; i++)
	{
		FlowCacheRef ref;

		CHECK(flowi_cache_reserve(env, 1, 1, i, 10000, &ref));
		memset((uint8_t *) ref.data, 1, 10000);
		flowi_cache_publish(env, &ref);
		flowi_cache_unpin(env, &ref);
	}
	CHECK(resident() - before < (size_t) 40 << 20);
	flow_env_posix_free(env);
	check_passed("memory of a large region");
}

int
main(int argc, char **argv)
{
	FlowEnv *env;

	check_seed(argc, argv);
	CHECK(mkdtemp(dir) != NULL);
	test_status();
	test_large_region();
	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	test_files(env);
	test_faults(env);
	test_host(env);
	test_dir_lock(env);
	flow_env_posix_free(env);
	CHECK(rmdir(dir) == 0);
	return 0;
}
