/*-------------------------------------------------------------------------
 * env_posix_thread.c
 *	  The background thread of a database that flow_open has open: flushes,
 *	  merges, drops what expired, syncs the log.
 *
 * It has a handle of its own.  What fails is noted and tried again at the
 * next turn: a thread that ended at the first error would leave a database
 * that only grows.  A stop is asked for by the poll of whatever runs, so the
 * end comes promptly.
 *-------------------------------------------------------------------------
 */
#include "env_posix_impl.h"

#include <errno.h>
#include <time.h>

#include "db.h"

/* One step of a merge, between two looks at the clock. */
#define MERGE_BUDGET_US 50000

typedef enum Task
{
	TASK_FLUSH,
	TASK_MERGE,
	TASK_GC,
	TASK_SYNC,
	NTASKS
} Task;

struct PosixThread
{
	FlowDb *db; /* its own handle */
	pthread_t id;
	_Atomic bool stop;

	pthread_mutex_t mutex;
	pthread_cond_t cond; /* monotonic clock */
	bool woken;			 /* protected by mutex */

	/* the thread's own */
	int64_t every_us[NTASKS]; /* 0: never */
	int64_t due_us[NTASKS];
	bool merging;
};

static _Thread_local PosixThread *self;

bool
posix_thread_stopping(void)
{
	return self && atomic_load(&self->stop);
}

static int64_t
monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ tasks */

/* Keep the error of a task; stops, and nothing to do, are none. */
static void
note(PosixThread *t, FlowStatus st)
{
	PosixHost *host = posix_host(t->db->env);

	if (st == FLOW_OK || st == FLOW_END || st == FLOW_BUSY ||
		st == FLOW_INTERRUPTED)
		return;
	posix_must(pthread_mutex_lock(&host->thread_mutex), "pthread_mutex_lock");
	host->thread_failures++;
	host->thread_error = *flow_last_error();
	posix_must(pthread_mutex_unlock(&host->thread_mutex),
			   "pthread_mutex_unlock");
}

static void
flush_frozen(PosixThread *t)
{
	FlowStatus st = FLOW_OK;

	while (st == FLOW_OK && !atomic_load(&t->stop) &&
		   flow_has_frozen(t->db->sh))
		st = flow_flush_step(t->db);
	note(t, st);
}

static void
merge_step(PosixThread *t)
{
	FlowStatus st = flow_maintenance_step(t->db, MERGE_BUDGET_US, NULL);

	note(t, st);
	t->merging = st == FLOW_OK;
}

static bool
is_due(PosixThread *t, Task task)
{
	int64_t now = monotonic_us();

	if (t->every_us[task] == 0 || now < t->due_us[task] ||
		atomic_load(&t->stop))
		return false;
	t->due_us[task] = now + t->every_us[task];
	return true;
}

static void
do_tasks(PosixThread *t)
{
	FlowDb *db = t->db;
	uint64_t purged;

	flush_frozen(t);
	if (is_due(t, TASK_SYNC))
		note(t, posix_log_sync(db->env));
	if (is_due(t, TASK_FLUSH))
	{
		if (flow_oldest_unflushed(db->sh) != UINT64_MAX)
			note(t, flow_flush(db, NULL));
		note(t, posix_log_prepare(db->env));
	}
	if (is_due(t, TASK_MERGE))
		t->merging |= flow_wants_maintenance(db);
	if (t->merging && !atomic_load(&t->stop))
		merge_step(t);
	if (is_due(t, TASK_GC))
		note(t, flow_gc(db, &purged));
}

/* ------------------------------------------------------------------- loop */

/* Sleep until something is due or somebody wakes us; mutex held. */
static void
sleep_until_due(PosixThread *t)
{
	int64_t due = INT64_MAX;
	struct timespec ts;

	for (int i = 0; i < NTASKS; i++)
	{
		if (t->every_us[i] > 0)
			due = FLOW_MIN(due, t->due_us[i]);
	}
	ts.tv_sec = due / 1000000;
	ts.tv_nsec = due % 1000000 * 1000;
	while (!t->woken && !t->merging && !atomic_load(&t->stop))
	{
		int err_no = pthread_cond_timedwait(&t->cond, &t->mutex, &ts);

		if (err_no == ETIMEDOUT)
			break;
		posix_must(err_no, "pthread_cond_timedwait");
	}
}

static void *
thread_main(void *arg)
{
	PosixThread *t = arg;

	self = t;
	while (!atomic_load(&t->stop))
	{
		posix_must(pthread_mutex_lock(&t->mutex), "pthread_mutex_lock");
		sleep_until_due(t);
		t->woken = false;
		posix_must(pthread_mutex_unlock(&t->mutex), "pthread_mutex_unlock");
		if (!atomic_load(&t->stop))
			do_tasks(t);
	}
	flow_maintenance_cancel(t->db);
	return NULL;
}

static void
wake(PosixThread *t)
{
	posix_must(pthread_mutex_lock(&t->mutex), "pthread_mutex_lock");
	t->woken = true;
	posix_must(pthread_cond_signal(&t->cond), "pthread_cond_signal");
	posix_must(pthread_mutex_unlock(&t->mutex), "pthread_mutex_unlock");
}

void
posix_thread_notify(FlowEnv *env, FlowDbShared *sh, FlowEvent event)
{
	PosixHost *host = posix_host(env);

	/* merges keep to their interval, whatever flushes do (B15) */
	if (event != FLOW_EVENT_FROZEN)
		return;
	posix_must(pthread_mutex_lock(&host->thread_mutex), "pthread_mutex_lock");
	if (host->thread && host->thread->db->sh == sh)
		wake(host->thread);
	posix_must(pthread_mutex_unlock(&host->thread_mutex),
			   "pthread_mutex_unlock");
}

/* --------------------------------------------------------- start and stop */

static void
thread_free(FlowEnv *env, PosixThread *t)
{
	flow_detach(t->db);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->mutex);
	env->free(env, t);
}

static FlowStatus
thread_create(FlowEnv *env, FlowDb *db, PosixThread **tp)
{
	const FlowOptions *o = &db->sh->options;
	PosixThread *t = env->alloc(env, sizeof(*t));
	pthread_condattr_t attr;
	FlowStatus st;

	if (t == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(t, 0, sizeof(*t));
	st = flow_attach(env, db->sh, db->dir, &t->db);
	if (st != FLOW_OK)
	{
		env->free(env, t);
		return st;
	}
	posix_must(pthread_mutex_init(&t->mutex, NULL), "pthread_mutex_init");
	posix_must(pthread_condattr_init(&attr), "pthread_condattr_init");
	posix_must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC),
			   "pthread_condattr_setclock");
	posix_must(pthread_cond_init(&t->cond, &attr), "pthread_cond_init");
	pthread_condattr_destroy(&attr);
	t->every_us[TASK_FLUSH] = (int64_t) o->flush_interval_ms * 1000;
	t->every_us[TASK_MERGE] = (int64_t) o->compaction_interval_ms * 1000;
	t->every_us[TASK_GC] = (int64_t) o->gc_interval_secs * 1000000;
	if (o->sync_mode == FLOW_SYNC_INTERVAL)
		t->every_us[TASK_SYNC] = (int64_t) o->sync_interval_ms * 1000;
	for (int i = 0; i < NTASKS; i++)
		t->due_us[i] = monotonic_us() + t->every_us[i];
	*tp = t;
	return FLOW_OK;
}

static FlowStatus
thread_start(FlowEnv *env, FlowDb *db)
{
	PosixHost *host = posix_host(env);
	PosixThread *t = NULL;
	int err_no;

	FLOW_TRY(thread_create(env, db, &t));
	posix_must(pthread_mutex_lock(&host->thread_mutex), "pthread_mutex_lock");
	err_no = pthread_create(&t->id, NULL, thread_main, t);
	if (err_no == 0)
		host->thread = t;
	posix_must(pthread_mutex_unlock(&host->thread_mutex),
			   "pthread_mutex_unlock");
	if (err_no == 0)
		return FLOW_OK;
	thread_free(env, t);
	return flowi_fail_errno(err_no, "could not start the background thread");
}

static void
thread_stop(FlowEnv *env, FlowDb *db)
{
	PosixHost *host = posix_host(env);
	PosixThread *t;

	posix_must(pthread_mutex_lock(&host->thread_mutex), "pthread_mutex_lock");
	t = host->thread;
	if (t && t->db->sh == db->sh)
		host->thread = NULL;
	else
		t = NULL;
	posix_must(pthread_mutex_unlock(&host->thread_mutex),
			   "pthread_mutex_unlock");
	if (t == NULL)
		return;
	atomic_store(&t->stop, true);
	wake(t);
	posix_must(pthread_join(t->id, NULL), "pthread_join");
	thread_free(env, t);
}

uint64_t
flow_env_posix_thread_failures(FlowEnv *env, FlowError *lastp)
{
	PosixHost *host = posix_host(env);
	uint64_t n;

	posix_must(pthread_mutex_lock(&host->thread_mutex), "pthread_mutex_lock");
	n = host->thread_failures;
	if (lastp)
		*lastp = host->thread_error;
	posix_must(pthread_mutex_unlock(&host->thread_mutex),
			   "pthread_mutex_unlock");
	return n;
}

void
posix_thread_init(FlowEnv *env)
{
	posix_must(pthread_mutex_init(&posix_host(env)->thread_mutex, NULL),
			   "pthread_mutex_init");
	env->thread_start = thread_start;
	env->thread_stop = thread_stop;
}

void
posix_thread_free(PosixHost *host)
{
	pthread_mutex_destroy(&host->thread_mutex);
}
