/*-------------------------------------------------------------------------
 * fault_test.c
 *	  Everything that can fail fails once; the machine dies at every call.
 *
 * One workload of writes, deletions, flushes, merges, GC, manifest turns,
 * settings, and a store that comes and goes
 * runs on a database as an embedder has it, with its file log:
 *	 - once for each call of each kind (write, fsync, rename, unlink, open,
 *	   truncate, allocation), which fails, the rest going well;
 *	 - once for each call that changes the disk, from which on all fail, and
 *	   then the disk loses everything that was not synced.
 * In each case, at once and after the next open: every acknowledged batch is
 * there, the one that was under way is there as a whole or not at all,
 * nothing else is, no file is left over, and no memory of the region.
 */
#include "../common.h"
#include "lyingdisk.h"

#define REGION_BYTES ((size_t) 16 << 20)
#define KEYS 6
#define TIMES 8
#define CELLS (KEYS * TIMES)
#define MAX_STEPS 96
#define EXPIRED 5 /* an expiry that is long over */

static TestDb t; /* env, dir, db: what the lying disk and short spellings use */
static uint32_t store;

/* ---------------------------------------------------------------- the model */

/* Value of each (key, ts); 0: no row. */
typedef struct Model
{
	uint32_t cell[CELLS];
	uint32_t guest; /* of the one row of store "guest", as above */
	int64_t bits;	/* for bloom filters, 0: not set */
	int64_t policy; /* of the store, and 1; 0: not set */
} Model;

typedef enum StepKind
{
	STEP_PUT,	 /* some cells get the step's number */
	STEP_DEAD,	 /* the same, expired: whole SSTables of them for the GC */
	STEP_DELETE, /* a tombstone for each of some cells */
	STEP_GUEST,	 /* store "guest" gets its row, and begins if need be */
	STEP_DROP,	 /* it is dropped, if it is there */
	STEP_SET,	 /* settings change */
	STEP_POLICY, /* and the store's policy */
	STEP_RANGE,	 /* a range tombstone */
	STEP_FLUSH,
	STEP_COMPACT,
	STEP_STEP, /* maintenance_step */
	STEP_GC
} StepKind;

typedef struct Step
{
	StepKind kind;
	uint32_t first; /* cell */
	uint32_t n;
	uint32_t stride;
} Step;

static Step steps[MAX_STEPS];
static uint32_t nsteps;

static void
add_step(StepKind kind, uint32_t first, uint32_t n, uint32_t stride)
{
	CHECK(nsteps < MAX_STEPS);
	steps[nsteps++] = (Step){kind, first, n, stride};
}

static void
make_steps(void)
{
	for (uint32_t round = 0; round < 3; round++)
	{
		for (uint32_t i = 0; i < 4; i++)
		{
			add_step(STEP_PUT, round * 5 + i * 7, 12, 5);
			add_step(STEP_DELETE, round + i * 11, 3, 13);
			if (i == 2)
				add_step(STEP_RANGE, 9 + round * 3, 14, 1);
			add_step(STEP_FLUSH, 0, 0, 0);
		}
		add_step(STEP_GUEST, 0, 0, 0);
		add_step(STEP_SET, 0, 0, 0);
		add_step(STEP_POLICY, 0, 0, 0);
		add_step(STEP_DEAD, 40 + round, 3, 2);
		add_step(STEP_FLUSH, 0, 0, 0);
		add_step(round == 1 ? STEP_STEP : STEP_COMPACT, 0, 0, 0);
		add_step(STEP_GC, 0, 0, 0);
		if (round < 2)
			add_step(STEP_DROP, 0, 0, 0);
		if (round == 1) /* once in memory only */
		{
			add_step(STEP_GUEST, 0, 0, 0);
			add_step(STEP_DROP, 0, 0, 0);
		}
		add_step(STEP_SET, 0, 0, 0);
		add_step(STEP_PUT, round * 3, 20, 1); /* stays in the log */
	}
}

static uint32_t
cell_of(const Step *s, uint32_t i)
{
	return (s->first + i * s->stride) % CELLS;
}

static bool
is_write(const Step *s)
{
	return s->kind <= STEP_RANGE;
}

/* What a step sets; each one something else than the one before. */
static int64_t
bits_of(uint32_t no)
{
	return no % 4 == 3 ? 0 : 5 + (int64_t) (no % 50);
}

static int64_t
policy_of(uint32_t no)
{
	return (int64_t) (no % 4);
}

static void
apply(Model *m, uint32_t no)
{
	const Step *s = &steps[no];

	if (s->kind == STEP_GUEST || s->kind == STEP_DROP)
		m->guest = s->kind == STEP_GUEST ? no + 1 : 0;
	if (s->kind == STEP_SET)
		m->bits = bits_of(no);
	if (s->kind == STEP_POLICY)
		m->policy = policy_of(no);
	for (uint32_t i = 0; i < s->n; i++)
		m->cell[cell_of(s, i)] = s->kind == STEP_PUT ? no + 1 : 0;
}

/* Settings that are as they shall be are not written. */
static bool
is_set(const Model *m, uint32_t no)
{
	return (steps[no].kind == STEP_SET && m->bits == bits_of(no)) ||
		   (steps[no].kind == STEP_POLICY && m->policy == policy_of(no));
}

/* ------------------------------------------------------------- the database */

static const char *
key_of(uint32_t cell)
{
	static const char *const keys[KEYS] = {"", "a", "b", "bb", "c\xff", "d"};

	return keys[cell / TIMES];
}

static int64_t
ts_of(uint32_t cell)
{
	return (int64_t) (cell % TIMES) - TIMES / 2;
}

static FlowStatus
write_cells(const Step *s, uint32_t no)
{
	FlowRecord r[CELLS];
	char value[16];

	snprintf(value, sizeof(value), "%u", no + 1);
	for (uint32_t i = 0; i < s->n; i++)
	{
		r[i] = test_record(key_of(cell_of(s, i)), ts_of(cell_of(s, i)), value);
		if (s->kind == STEP_DEAD)
			r[i].expire_at = EXPIRED;
	}
	if (s->kind == STEP_DELETE)
		return flow_delete_batch(t.db, store, r, s->n, NULL);
	return flow_write_batch(t.db, store, r, s->n, NULL);
}

/* Rectangles: whole keys, or some times of one. */
static FlowStatus
delete_cells(const Step *s)
{
	FlowStatus st = FLOW_OK;

	for (uint32_t i = 0; i < s->n && st == FLOW_OK; i++)
	{
		const char *key = key_of(cell_of(s, i));
		uint8_t after[8];
		FlowRect rect = {.key_lo = (const uint8_t *) key,
						 .key_lo_bytes = (uint32_t) strlen(key),
						 .key_hi = after,
						 .key_hi_bytes = (uint32_t) strlen(key) + 1,
						 .ts_lo = ts_of(cell_of(s, i)),
						 .ts_hi = ts_of(cell_of(s, i))};

		memcpy(after, key, strlen(key) + 1); /* key, and a zero byte */
		st = flow_delete_range(t.db, store, &rect, NULL);
	}
	return st;
}

static FlowStatus
write_guest(uint32_t no)
{
	char value[16];
	FlowRecord r;
	uint32_t id;
	FlowStatus st = flow_store_find(t.db, "guest", &id, NULL, NULL);

	if (st == FLOW_NOTFOUND)
		st = flow_store_define(t.db, "guest", NULL, 0, &id);
	if (st != FLOW_OK)
		return st;
	snprintf(value, sizeof(value), "%u", no + 1);
	r = test_record("guest", 1, value);
	return flow_write_batch(t.db, id, &r, 1, NULL);
}

static FlowStatus
drop_guest(void)
{
	uint32_t id;
	FlowStatus st = flow_store_find(t.db, "guest", &id, NULL, NULL);

	/* one that is not there cannot be told from one without its row */
	return st == FLOW_OK ? flow_store_drop(t.db, id, 0) : st;
}

static FlowStatus
set_bits(int64_t bits)
{
	FlowSettings settings = {0};

	if (bits != 0)
		settings.given = 1u << FLOW_SETTING_BLOOM_BITS;
	settings.value[FLOW_SETTING_BLOOM_BITS] = bits;
	return flow_configure(t.db, &settings);
}

static FlowStatus
run_step(uint32_t no)
{
	const Step *s = &steps[no];
	uint64_t purged;
	bool ran;
	FlowStatus st;

	switch (s->kind)
	{
		case STEP_FLUSH:
			return flow_flush(t.db, NULL);
		case STEP_COMPACT:
			return flow_compact(t.db, store, &ran);
		case STEP_STEP:
			do
				st = flow_maintenance_step(t.db, 0, NULL);
			while (st == FLOW_OK);
			return st == FLOW_END ? FLOW_OK : st;
		case STEP_GC:
			return flow_gc(t.db, &purged);
		case STEP_GUEST:
			return write_guest(no);
		case STEP_DROP:
			return drop_guest();
		case STEP_SET:
			return set_bits(bits_of(no));
		case STEP_POLICY:
			return flow_configure_store(t.db, store, (int) policy_of(no) - 1);
		case STEP_RANGE:
			return delete_cells(s);
		default:
			return write_cells(s, no);
	}
}

static FlowStatus
open_db(void)
{
	FlowStatus st = flow_open(t.env, t.dir, &t.opts, &t.db);

	if (st != FLOW_OK)
		return st;
	st = flow_store_find(t.db, "s", &store, NULL, NULL);
	if (st == FLOW_NOTFOUND)
		st = flow_store_define(t.db, "s", NULL, 0, &store);
	if (st != FLOW_OK)
	{
		flow_free(t.db);
		t.db = NULL;
	}
	return st;
}

/* The handle goes, whatever state it is in, and all memory with it. */
static void
close_db(void)
{
	uint64_t total, used, meta_total, meta_used;

	flow_free(t.db);
	t.db = NULL;
	flow_region_usage(t.env, t.env->region, &total, &used, &meta_total,
					  &meta_used);
	CHECK(used == 0);
	CHECK(meta_used == 0);
}

static void
begin_case(void)
{
	memset(&t, 0, sizeof(t));
	t.opts = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	t.opts.create_missing = true;
	t.opts.memtable_bytes = 1u << 20;
	t.opts.block_bytes = 1024;
	t.opts.wal_segment_bytes = 1u << 20;
	t.opts.policy.min_threshold = 2;
	CHECK_OK(flow_env_posix_create(REGION_BYTES, &t.env));
	strcpy(t.dir, "tmp_fault.XXXXXX");
	CHECK(mkdtemp(t.dir) != NULL);
	CHECK_OK(open_db());
}

static void
end_case(void)
{
	flow_env_posix_free(t.env);
	file_shell("rm -rf ./%s", t.dir);
}

/* ----------------------------------------------------------------- checking */

static uint32_t
guest_value(void)
{
	const char *value;
	uint32_t id;
	FlowStatus st = flow_store_find(t.db, "guest", &id, NULL, NULL);

	if (st == FLOW_NOTFOUND)
		return 0;
	CHECK_OK(st);
	value =
		test_get(&t, &(FlowScanSpec){.store_id = id, .now = 1000}, "guest", 1);
	return value ? (uint32_t) strtoul(value, NULL, 10) : 0;
}

static bool
same_settings(const Model *m)
{
	int64_t bits;
	int policy;

	(void) flow_setting(t.db, FLOW_SETTING_BLOOM_BITS, &bits);
	(void) flow_store_policy(t.db, store, &policy);
	return bits == m->bits && policy + 1 == m->policy;
}

static bool
same_rows(const Model *m)
{
	FlowScanSpec spec = {.store_id = store, .now = 1000};
	const FlowVector *vec;
	FlowScan *scan;
	uint32_t at = 0;
	bool same = true;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++, at++)
		{
			char value[16];

			while (at < CELLS && m->cell[at] == 0)
				at++;
			if (at == CELLS)
			{
				same = false;
				break;
			}
			snprintf(value, sizeof(value), "%u", m->cell[at]);
			same &= vec->ts[i] == ts_of(at) &&
					vec->key_bytes[i] == strlen(key_of(at)) &&
					memcmp(vec->key[i], key_of(at), vec->key_bytes[i]) == 0 &&
					vec->value_bytes[i] == strlen(value) &&
					memcmp(vec->value[i], value, vec->value_bytes[i]) == 0;
		}
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	while (at < CELLS && m->cell[at] == 0)
		at++;
	return same && at == CELLS && guest_value() == m->guest;
}

static bool
same_all(const Model *m)
{
	return same_rows(m) && same_settings(m);
}

static FlowStatus
count_file(void *arg, const FlowSstStats *sst)
{
	(void) sst;
	++*(uint32_t *) arg;
	return FLOW_OK;
}

/* Just open: what is in the directory is what the manifest lists. */
static void
check_files(void)
{
	uint32_t listed = 0;

	CHECK_OK(flow_each_sst(t.db, count_file, &listed));
	CHECK(test_count_files(&t, "SST") == listed);
	CHECK(test_count_files(&t, "INDEX") <= 3); /* CURRENT, two manifests */
}

/* ---------------------------------------------------------------- one case */

/* What became of the workload: acked is certain, maybe has the one write
 * that failed in the log's hands as well. */
typedef struct Outcome
{
	Model acked;
	Model maybe;
	bool in_doubt;
	bool failed; /* anything did */
} Outcome;

/*
 * A write that failed for want of memory never was in the log.  One that
 * failed else may be; those behind it are refused.  A range step is several
 * writes: what it may have done is not told apart, it is left out of doubt by
 * running it only where nothing fails in between (see run_workload).
 */
static void
note_failure(Outcome *o, uint32_t no, FlowStatus st)
{
	o->failed = true;
	if (!is_write(&steps[no]) || st == FLOW_NOMEM || o->in_doubt)
		return;
	o->in_doubt = true;
	o->maybe = o->acked;
	apply(&o->maybe, no);
}

/* A range step cell by cell, so that each write is of one batch. */
static void
run_range(Outcome *o, uint32_t no)
{
	Step whole = steps[no];

	for (uint32_t i = 0; i < whole.n; i++)
	{
		FlowStatus st;

		steps[no] = (Step){STEP_RANGE, cell_of(&whole, i), 1, 1};
		st = run_step(no);
		if (st == FLOW_OK)
		{
			apply(&o->acked, no);
			apply(&o->maybe, no);
		}
		else
			note_failure(o, no, st);
	}
	steps[no] = whole;
}

static void
run_workload(Outcome *o, Model *state)
{
	*o = (Outcome){.acked = *state};
	for (uint32_t no = 0; no < nsteps; no++)
	{
		FlowStatus st;

		if (steps[no].kind == STEP_RANGE)
		{
			run_range(o, no);
			continue;
		}
		st = run_step(no);
		if (st == FLOW_NOTFOUND) /* there is nothing to drop */
			continue;
		if (st != FLOW_OK)
			note_failure(o, no, st);
		else if (is_write(&steps[no]))
		{
			/* nothing is accepted once the log has failed */
			CHECK(!o->in_doubt || is_set(&o->acked, no) ||
				  is_set(&o->maybe, no));
			if (!o->in_doubt)
				apply(&o->acked, no);
		}
	}
}

/* Open again, and see; then it must work as if nothing had been. */
static void
check_reopened(const Outcome *o)
{
	Model state = o->acked;
	Outcome again;

	CHECK_OK(open_db());
	check_files();
	if (!same_all(&o->acked))
	{
		CHECK(o->in_doubt);
		CHECK(same_all(&o->maybe));
		state = o->maybe;
	}
	run_workload(&again, &state);
	CHECK(!again.failed);
	CHECK(same_all(&again.acked));
	close_db();
	CHECK_OK(open_db());
	CHECK(same_all(&again.acked));
	check_files();
	close_db();
}

static const char *const op_names[FLOW_POSIX_NOPS] = {
	"open", "read", "write", "sync", "truncate", "rename", "unlink", "alloc"};

/* Let call nth of op fail; false: the workload makes fewer calls. */
static bool
fail_once(FlowPosixOp op, uint64_t nth, int err_no)
{
	Model empty = {.guest = 0};
	Outcome o;
	uint64_t before;

	begin_case();
	before = flow_env_posix_calls(t.env, op);
	flow_env_posix_fail(t.env, op, nth, 1, err_no);
	run_workload(&o, &empty);
	flow_env_posix_fail(t.env, op, 0, 0, 0);
	if (flow_env_posix_calls(t.env, op) - before < nth)
	{
		close_db();
		end_case();
		return false;
	}
	/* a reader sees what was acknowledged, and nothing that was refused; but
	 * settings that may have been logged count at once */
	CHECK(same_rows(&o.acked));
	CHECK(o.in_doubt || same_settings(&o.acked));
	close_db();
	check_reopened(&o);
	end_case();
	return true;
}

static void
test_fail_once(FlowPosixOp op, int err_no, uint64_t every)
{
	uint64_t nth = 1;

	while (fail_once(op, nth, err_no))
		nth += every;
	printf("# %s: failed at each of %" PRIu64 " calls (step %" PRIu64 ")\n",
		   op_names[op], nth - 1, every);
	fflush(stdout);
	CHECK(nth > 1);
}

/* Let call nth of op fail while the database is being opened, with things to
 * replay, to cut and to remove; then once more without. */
static bool
fail_open(FlowPosixOp op, uint64_t nth, int err_no)
{
	Model state = {.guest = 0};
	Outcome o;
	uint64_t before;
	bool reached;
	FlowStatus st;

	begin_case();
	run_workload(&o, &state);
	CHECK(!o.failed);
	/* the handle goes without a flush: what the log has is replayed */
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 1, UINT64_MAX, EIO);
	close_db();
	flow_env_posix_fail(t.env, FLOW_POSIX_RENAME, 0, 0, 0);
	before = flow_env_posix_calls(t.env, op);
	flow_env_posix_fail(t.env, op, nth, 1, err_no);
	st = open_db();
	flow_env_posix_fail(t.env, op, 0, 0, 0);
	reached = flow_env_posix_calls(t.env, op) - before >= nth;
	if (st == FLOW_OK)
	{
		CHECK(same_all(&o.acked));
		close_db();
	}
	else
		CHECK(reached);
	check_reopened(&o);
	end_case();
	return reached;
}

static void
test_fail_open(FlowPosixOp op, int err_no, uint64_t every)
{
	uint64_t nth = 1;

	while (fail_open(op, nth, err_no))
		nth += every;
	printf("# %s: failed at each of %" PRIu64 " calls of an open (step %" PRIu64
		   ")\n",
		   op_names[op], nth - 1, every);
	fflush(stdout);
}

/* ----------------------------------------------------------- the machine dies */

static uint64_t calls;	 /* that change the disk */
static uint64_t dies_at; /* from this one on all fail */
static FlowEnv alive;

static FlowStatus
gasp(void)
{
	if (++calls < dies_at)
		return FLOW_OK;
	return flowi_fail_errno(EIO, "the machine is dead");
}

static FlowStatus
dying_open(FlowEnv *env, const char *path, int how, FlowFile **filep)
{
	if (how == FLOW_O_CREATE)
		FLOW_TRY(gasp());
	return alive.file_open(env, path, how, filep);
}

static FlowStatus
dying_write(FlowFile *file, const void *buf, size_t len, uint64_t off)
{
	FLOW_TRY(gasp());
	return alive.file_write(file, buf, len, off);
}

static FlowStatus
dying_sync(FlowFile *file)
{
	FLOW_TRY(gasp());
	return alive.file_sync(file);
}

static FlowStatus
dying_datasync(FlowFile *file)
{
	FLOW_TRY(gasp());
	return alive.file_datasync(file);
}

static FlowStatus
dying_truncate(FlowFile *file, uint64_t len)
{
	FLOW_TRY(gasp());
	return alive.file_truncate(file, len);
}

static FlowStatus
dying_rename(FlowEnv *env, const char *from, const char *to)
{
	FLOW_TRY(gasp());
	return alive.rename(env, from, to);
}

static FlowStatus
dying_unlink(FlowEnv *env, const char *path)
{
	FLOW_TRY(gasp());
	return alive.unlink(env, path);
}

static FlowStatus
dying_sync_dir(FlowEnv *env, const char *path)
{
	FLOW_TRY(gasp());
	return alive.sync_dir(env, path);
}

static void
put_hooks(uint64_t nth)
{
	alive = *t.env; /* the lying disk's */
	calls = 0;
	dies_at = nth;
	t.env->file_open = dying_open;
	t.env->file_write = dying_write;
	t.env->file_sync = dying_sync;
	t.env->file_datasync = dying_datasync;
	t.env->file_truncate = dying_truncate;
	t.env->rename = dying_rename;
	t.env->unlink = dying_unlink;
	t.env->sync_dir = dying_sync_dir;
}

static void
take_hooks(void)
{
	t.env->file_open = alive.file_open;
	t.env->file_write = alive.file_write;
	t.env->file_sync = alive.file_sync;
	t.env->file_datasync = alive.file_datasync;
	t.env->file_truncate = alive.file_truncate;
	t.env->rename = alive.rename;
	t.env->unlink = alive.unlink;
	t.env->sync_dir = alive.sync_dir;
}

/* lose: the disk keeps only what was synced; else all that was written. */
static bool
die_at(uint64_t nth, bool lose)
{
	Model empty = {.guest = 0};
	Outcome o;
	bool died;

	begin_case();
	close_db();
	disk_begin(&t); /* it must see every file being opened */
	CHECK_OK(open_db());
	put_hooks(nth);
	run_workload(&o, &empty);
	died = calls >= nth;
	close_db();
	take_hooks();
	if (died)
	{
		if (lose)
			disk_lose(&t);
		check_reopened(&o);
	}
	disk_end(&t);
	end_case();
	return died;
}

static void
test_die(bool lose, uint64_t every)
{
	uint64_t nth = 1;

	while (die_at(nth, lose))
		nth += every;
	printf("# died at each of %" PRIu64 " calls (step %" PRIu64 "), %s\n",
		   nth - 1, every, lose ? "unsynced bytes lost" : "nothing lost");
	fflush(stdout);
	CHECK(nth > 1);
}

int
main(int argc, char **argv)
{
	/* argv[1]: only every so manyth call */
	uint64_t every = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;

	CHECK(every > 0);
	make_steps();
	test_fail_once(FLOW_POSIX_WRITE, ENOSPC, every);
	test_fail_once(FLOW_POSIX_SYNC, EIO, every);
	test_fail_once(FLOW_POSIX_RENAME, EIO, every);
	test_fail_once(FLOW_POSIX_UNLINK, EIO, every);
	test_fail_once(FLOW_POSIX_OPEN, EMFILE, every);
	test_fail_once(FLOW_POSIX_READ, EIO, every);
	test_fail_once(FLOW_POSIX_ALLOC, 0, every);
	for (FlowPosixOp op = 0; op < FLOW_POSIX_NOPS; op++)
		test_fail_open(op, EIO, every);
	test_die(true, every);
	test_die(false, every);
	return 0;
}
