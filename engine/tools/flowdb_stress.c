/*-------------------------------------------------------------------------
 * flowdb_stress.c
 *	  Stress a FlowDB database and check everything that comes back.
 *
 *	 flowdb_stress [options] DIR
 *
 * Writers put, overwrite, delete, delete ranges and patch; readers scan both
 * ways, get and get the latest; others flush, merge, collect and step.  Every
 * row that is read is checked against the model (stress_model.h), while
 * others write, and at the end exactly.  With --kills the writing process is
 * killed again and again, and what it had acknowledged must be there, and its
 * last batch whole or not at all.  The directory is made new and is left when
 * something is wrong.
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../env_posix.h"
#include "stress_model.h"

static struct
{
	uint64_t seed;
	uint32_t writers;
	uint32_t readers;
	uint32_t keys;
	uint32_t times;
	uint32_t seconds;
	uint32_t kills;
	uint32_t memtable_mb;
	uint32_t region_mb;
	FlowSyncMode sync;
	FlowPolicyKind policy;
	const char *dir;
} opt = {.seed = 1,
		 .writers = 4,
		 .readers = 2,
		 .keys = 200,
		 .times = 500,
		 .seconds = 10,
		 .memtable_mb = 1,
		 .region_mb = 64,
		 .sync = FLOW_SYNC_INTERVAL,
		 .policy = FLOW_POLICY_STCS};

static StressModel *model;
static FlowEnv *env;
static FlowDb *main_db;
static uint32_t store;
static _Atomic bool stop;

/* --------------------------------------------------------------- helpers */

typedef struct Random
{
	uint64_t state;
} Random;

static uint64_t
next_random(Random *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t
below(Random *r, uint32_t n)
{
	return (uint32_t) (next_random(r) % n);
}

static _Noreturn void
wrong(const char *what, uint32_t slot, uint32_t version)
{
	char key[STRESS_KEY_BYTES];
	uint64_t acked = atomic_load(&model->slot[slot].acked);
	uint64_t issued = atomic_load(&model->slot[slot].issued);

	stress_key(model, slot, key);
	fprintf(stderr,
			"flowdb_stress: WRONG: %s: key %s, ts %" PRId64
			": found version %u, acknowledged %u, issued %u (seed %" PRIu64
			")\n",
			what, key, stress_ts(model, slot), version, stress_version(acked),
			stress_version(issued), opt.seed);
	abort();
}

static void
must(FlowStatus st, const char *what)
{
	if (st == FLOW_OK)
		return;
	fprintf(stderr, "flowdb_stress: %s: %s: %s\n", what, flow_status_name(st),
			flow_last_error()->message);
	abort();
}

static FlowDb *
new_handle(void)
{
	FlowDb *db;

	must(flow_attach(env, flow_shared(main_db), opt.dir, &db), "attach");
	return db;
}

static FlowScanSpec
plain_spec(void)
{
	return (FlowScanSpec){.store_id = store, .now = env->now_us(env)};
}

/* --------------------------------------------------------------- writers */

static void
begin_flight(uint32_t writer, const uint32_t *slots, uint32_t n)
{
	StressFlight *f = &model->flight[writer];

	memcpy(f->slot, slots, n * sizeof(*slots));
	atomic_store(&f->nslots, n);
}

static void
end_flight(uint32_t writer)
{
	StressFlight *f = &model->flight[writer];
	uint32_t n = atomic_load(&f->nslots);

	for (uint32_t i = 0; i < n; i++)
		stress_ack(model, f->slot[i]);
	atomic_store(&f->nslots, 0);
	atomic_fetch_add(&model->batches, 1);
}

/* n slots of the writer, each once. */
static uint32_t
choose_slots(Random *r, uint32_t writer, uint32_t *slots)
{
	uint32_t all = stress_slots_of_writer(model);
	uint32_t n = 1 + below(r, STRESS_MAX_BATCH);
	uint32_t first = below(r, all);
	uint32_t step = below(r, 3) == 0 ? 1 : 1 + 2 * below(r, all / 2);

	if (n > all / 2)
		n = 1;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t slot =
			writer * all +
			(uint32_t) (((uint64_t) first + (uint64_t) i * step) % all);

		for (uint32_t j = 0; j < i; j++)
		{
			if (slots[j] == slot)
				return i; /* the steps have come round */
		}
		slots[i] = slot;
	}
	return n;
}

/* Puts, some of them dead on arrival, or tombstones. */
static void
write_some(FlowDb *db, Random *r, uint32_t writer, bool puts)
{
	static _Thread_local uint8_t values[STRESS_MAX_BATCH][STRESS_MAX_VALUE];
	char keys[STRESS_MAX_BATCH][STRESS_KEY_BYTES];
	FlowRecord records[STRESS_MAX_BATCH];
	uint32_t slots[STRESS_MAX_BATCH];
	uint32_t n = choose_slots(r, writer, slots);

	begin_flight(writer, slots, n);
	for (uint32_t i = 0; i < n; i++)
	{
		bool dead = !puts || below(r, 20) == 0;
		uint32_t version = stress_issue(model, slots[i], dead);

		records[i] = (FlowRecord){
			.key = keys[i],
			.key_bytes = stress_key(model, slots[i], keys[i]),
			.ts = stress_ts(model, slots[i]),
			.expire_at = dead ? INT64_MIN / 2 + (int64_t) version : FLOW_NEVER,
			.value = values[i],
			.value_bytes = stress_value(model, slots[i], version, values[i])};
		if (!dead && below(r, 4) == 0)
			records[i].expire_at = INT64_MAX / 2;
	}
	if (puts)
		must(flow_write_batch(db, store, records, n, NULL), "write");
	else
		must(flow_delete_batch(db, store, records, n, NULL), "delete");
	end_flight(writer);
}

/* A range tombstone over some keys and times of the writer; the slots that
 * it covers are too many for a flight, so each is acknowledged by itself. */
static void
delete_range(FlowDb *db, Random *r, uint32_t writer)
{
	uint32_t key_lo = below(r, model->nkeys);
	uint32_t nkeys = 1 + below(r, below(r, 8) == 0 ? model->nkeys : 8);
	uint32_t time_lo = below(r, model->ntimes);
	uint32_t ntimes = 1 + below(r, model->ntimes);
	uint32_t base = writer * stress_slots_of_writer(model);
	char lo[STRESS_KEY_BYTES], hi[STRESS_KEY_BYTES];
	FlowRect rect;

	if (nkeys > model->nkeys - key_lo)
		nkeys = model->nkeys - key_lo;
	if (ntimes > model->ntimes - time_lo)
		ntimes = model->ntimes - time_lo;
	base += key_lo * model->ntimes + time_lo;
	for (uint32_t k = 0; k < nkeys; k++)
	{
		for (uint32_t t = 0; t < ntimes; t++)
			(void) stress_issue(model, base + k * model->ntimes + t, true);
	}
	rect = (FlowRect){
		.key_lo = (const uint8_t *) lo,
		.key_lo_bytes = (uint32_t) stress_key(model, base, lo),
		.key_hi = (const uint8_t *) hi,
		.ts_lo = stress_ts(model, base),
		.ts_hi = stress_ts(model, base + ntimes - 1),
	};
	/* just behind the last key */
	rect.key_hi_bytes =
		(uint32_t) stress_key(model, base + (nkeys - 1) * model->ntimes, hi);
	hi[rect.key_hi_bytes++] = '\0';
	must(flow_delete_range(db, store, &rect, NULL), "delete_range");
	for (uint32_t k = 0; k < nkeys; k++)
	{
		for (uint32_t t = 0; t < ntimes; t++)
			stress_ack(model, base + k * model->ntimes + t);
	}
	atomic_fetch_add(&model->batches, 1);
}

/* Patch one slot: there is a row just when its newest version is one. */
static void
patch(FlowDb *db, Random *r, uint32_t writer)
{
	uint32_t all = stress_slots_of_writer(model);
	uint32_t slot = writer * all + below(r, all);
	uint64_t state = atomic_load(&model->slot[slot].acked);
	bool live = stress_version(state) > 0 && !(state >> 24 & 1);
	uint8_t value[STRESS_MAX_VALUE];
	char key[STRESS_KEY_BYTES];
	size_t key_bytes = stress_key(model, slot, key);
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;

	if (live)
	{
		uint32_t version;

		begin_flight(writer, &slot, 1);
		version = stress_issue(model, slot, false);
		must(flow_patch_record(
				 db, store, key, key_bytes, stress_ts(model, slot), value,
				 stress_value(model, slot, version, value), NULL, &scan, &vec),
			 "patch");
		if (vec->nrows != 1 ||
			stress_version_of(model, slot, vec->value[0],
							  vec->value_bytes[0]) != version)
			wrong("patched row", slot, 0);
		flow_scan_close(scan);
		end_flight(writer);
		return;
	}
	st = flow_patch_record(db, store, key, key_bytes, stress_ts(model, slot),
						   value, 0, NULL, &scan, &vec);
	if (st != FLOW_NOTFOUND)
	{
		must(st, "patch of nothing");
		wrong("patched a row that is not there", slot, 0);
	}
}

static void *
writer_main(void *arg)
{
	uint32_t writer = (uint32_t) (uintptr_t) arg;
	Random r = {opt.seed * 1000 + writer +
				atomic_load(&model->batches) * 1000003};
	FlowDb *db = new_handle();

	while (!atomic_load(&stop))
	{
		switch (below(&r, 40))
		{
			case 0:
				delete_range(db, &r, writer);
				break;
			case 1:
			case 2:
			case 3:
				write_some(db, &r, writer, false);
				break;
			case 4:
			case 5:
				patch(db, &r, writer);
				break;
			default:
				write_some(db, &r, writer, true);
				break;
		}
	}
	flow_detach(db);
	return NULL;
}

/* --------------------------------------------------------------- readers */

/* What was acknowledged of each slot of a key range before a read. */
typedef struct Before
{
	uint32_t first;
	uint32_t n;
	uint64_t *acked;
} Before;

static void
look_before(Before *b, uint32_t first, uint32_t n)
{
	b->first = first;
	b->n = n;
	for (uint32_t i = 0; i < n; i++)
		b->acked[i] = atomic_load(&model->slot[first + i].acked);
}

static void
check_slot(const Before *b, uint32_t slot, uint32_t version, const char *what)
{
	uint64_t issued = atomic_load(&model->slot[slot].issued);

	if (!stress_allows(b->acked[slot - b->first], issued, version))
		wrong(what, slot, version);
}

/* A row that a scan gave: it proves itself, and comes in order. */
static uint32_t
check_row(const FlowVector *vec, uint32_t i, uint32_t *versionp)
{
	uint32_t slot;

	if (!stress_slot_of(model, vec->key[i], vec->key_bytes[i], vec->ts[i],
						&slot))
	{
		fprintf(stderr, "flowdb_stress: WRONG: a row of no slot: %.*s\n",
				(int) vec->key_bytes[i], (const char *) vec->key[i]);
		abort();
	}
	*versionp =
		stress_version_of(model, slot, vec->value[i], vec->value_bytes[i]);
	if (*versionp == 0)
		wrong("value", slot, 0);
	return slot;
}

/* Does the scan's time range hold the slot? */
static bool
in_times(const FlowScanSpec *spec, uint32_t slot)
{
	int64_t ts = stress_ts(model, slot);

	return spec->ts_lo.kind == FLOW_OPEN ||
		   (ts >= spec->ts_lo.ts && ts <= spec->ts_hi.ts);
}

/* Slots between two rows, which the scan says are not there. */
static void
check_gap(const Before *b, const FlowScanSpec *spec, uint32_t from, uint32_t to)
{
	for (uint32_t slot = from; slot < to; slot++)
	{
		if (in_times(spec, slot))
			check_slot(b, slot, 0, "missing row");
	}
}

/* Scan keys [first slot, first + n): each slot is found or may be missing. */
static void
scan_range(FlowDb *db, Random *r, Before *b, FlowScanSpec spec)
{
	char lo[STRESS_KEY_BYTES], hi[STRESS_KEY_BYTES];
	uint32_t end = b->first + b->n;
	uint32_t at = spec.reverse ? end : b->first;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	flow_spec_key_range(&spec, lo, stress_key(model, b->first, lo), hi,
						stress_key(model, end - 1, hi));
	must(flow_scan_open(db, &spec, &scan), "scan");
	while ((st = flow_scan_next(scan, 1 + below(r, 1024), &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			uint32_t version;
			uint32_t slot = check_row(vec, i, &version);

			if (slot < b->first || slot >= end || !in_times(&spec, slot) ||
				(spec.reverse ? slot >= at : slot < at))
				wrong("row out of bounds or order", slot, version);
			check_slot(b, slot, version, "scan");
			if (spec.reverse)
				check_gap(b, &spec, slot + 1, at);
			else
				check_gap(b, &spec, at, slot);
			at = spec.reverse ? slot : slot + 1;
		}
		atomic_fetch_add(&model->checked, vec->nrows);
	}
	if (st != FLOW_END)
		must(st, "scan");
	if (spec.reverse)
		check_gap(b, &spec, b->first, at);
	else
		check_gap(b, &spec, at, end);
	flow_scan_close(scan);
}

static void
random_scan(FlowDb *db, Random *r, Before *b)
{
	uint32_t all_keys = model->nwriters * model->nkeys;
	uint32_t key = below(r, all_keys);
	uint32_t nkeys = 1 + below(r, below(r, 10) == 0 ? 50 : 3);
	FlowScanSpec spec = plain_spec();

	if (nkeys > all_keys - key)
		nkeys = all_keys - key;
	look_before(b, key * model->ntimes, nkeys * model->ntimes);
	spec.now = env->now_us(env);
	spec.reverse = below(r, 2) == 0;
	spec.no_fill_cache = below(r, 4) == 0;
	if (below(r, 2) == 0)
	{
		uint32_t time = below(r, model->ntimes);

		flow_spec_time_range(&spec, stress_ts(model, time),
							 stress_ts(model, time) +
								 (int64_t) below(r, 50) * 1000000);
	}
	scan_range(db, r, b, spec);
}

static void
random_get(FlowDb *db, Random *r, Before *b)
{
	uint32_t slot = below(r, stress_slots(model));
	char key[STRESS_KEY_BYTES];
	FlowScanSpec spec;
	const FlowVector *vec;
	FlowScan *scan;
	uint32_t version = 0;
	FlowStatus st;

	look_before(b, slot, 1);
	spec = plain_spec();
	st = flow_get(db, &spec, key, stress_key(model, slot, key),
				  stress_ts(model, slot), &scan, &vec);
	if (st == FLOW_OK)
	{
		if (check_row(vec, 0, &version) != slot)
			wrong("get gave another row", slot, version);
		flow_scan_close(scan);
	}
	else if (st != FLOW_NOTFOUND)
		must(st, "get");
	check_slot(b, slot, version, "get");
	atomic_fetch_add(&model->checked, 1);
}

static void
random_latest(FlowDb *db, Random *r, Before *b)
{
	uint32_t first = below(r, model->nwriters * model->nkeys) * model->ntimes;
	uint32_t at = first;
	uint32_t version;
	char key[STRESS_KEY_BYTES];
	FlowScanSpec spec = plain_spec();
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	look_before(b, first, model->ntimes);
	spec = plain_spec();
	st = flow_get_latest(db, &spec, key, stress_key(model, first, key), &scan,
						 &vec);
	if (st == FLOW_OK)
	{
		at = check_row(vec, 0, &version);
		if (at < first || at >= first + model->ntimes)
			wrong("latest of another key", at, version);
		check_slot(b, at, version, "latest");
		at++;
		flow_scan_close(scan);
	}
	else if (st != FLOW_NOTFOUND)
		must(st, "latest");
	check_gap(b, &spec, at, first + model->ntimes);
}

static void *
reader_main(void *arg)
{
	Random r = {opt.seed * 7777 + (uintptr_t) arg};
	FlowDb *db = new_handle();
	Before b = {.acked = calloc((size_t) 51 * model->ntimes, 8)};

	while (!atomic_load(&stop))
	{
		uint32_t what = below(&r, 10);

		if (what < 6)
			random_get(db, &r, &b);
		else if (what < 8)
			random_latest(db, &r, &b);
		else
			random_scan(db, &r, &b);
	}
	free(b.acked);
	flow_detach(db);
	return NULL;
}

/* ----------------------------------------------------------- maintenance */

static void
maintain_once(FlowDb *db, Random *r)
{
	uint64_t purged;
	bool ran;
	FlowStatus st;

	switch (below(r, 12))
	{
		case 0:
			must(flow_flush(db, NULL), "flush");
			break;
		case 1:
			must(flow_compact(db, 0, &ran), "compact");
			break;
		case 2:
			must(flow_gc(db, &purged), "gc");
			break;
		case 3:
			flow_maintenance_cancel(db);
			break;
		default:
			st = flow_maintenance_step(db, below(r, 20000), NULL);
			if (st != FLOW_END)
				must(st, "maintenance");
			break;
	}
}

static void *
maintainer_main(void *arg)
{
	Random r = {opt.seed * 31 + (uintptr_t) arg};
	FlowDb *db = new_handle();

	while (!atomic_load(&stop))
	{
		struct timespec pause = {0, (long) below(&r, 20) * 1000000};

		maintain_once(db, &r);
		nanosleep(&pause, NULL);
	}
	flow_detach(db);
	return NULL;
}

/* ----------------------------------------------------------------- rounds */

static void
open_database(bool create)
{
	FlowOptions options = FLOW_OPTIONS_DEFAULT;
	static const char name[] = "stress";
	FlowStatus st;

	options.create = create;
	options.memtable_bytes = (uint64_t) opt.memtable_mb << 20;
	options.sync_mode = opt.sync;
	options.sync_interval_ms = 20;
	options.wal_segment_bytes = 4u << 20;
	options.block_bytes = 4096;
	options.auto_background = true;
	options.flush_interval_ms = 200;
	options.compaction_interval_ms = 50;
	options.gc_interval_secs = 1;
	options.policy.kind = opt.policy;
	options.policy.window_us = INT64_C(60) * 1000000;
	options.policy.target_bytes = 1u << 20;
	must(flow_env_posix_create((size_t) opt.region_mb << 20, &env), "env");
	must(flow_open(env, opt.dir, &options, &main_db), "open");
	st = flow_store_find(main_db, name, &store, NULL, NULL);
	if (st == FLOW_NOTFOUND)
		st = flow_store_define(main_db, name, "", 0, &store);
	must(st, "store");
}

static void
close_database(void)
{
	must(flow_close(main_db), "close");
	flow_free(main_db);
	flow_env_posix_free(env);
}

/* Run all threads for a while, or until killed. */
static void
run_threads(uint32_t seconds)
{
	pthread_t threads[STRESS_MAX_WRITERS + 64];
	uint32_t n = 0;

	atomic_store(&stop, false);
	for (uint32_t i = 0; i < opt.writers; i++)
		pthread_create(&threads[n++], NULL, writer_main,
					   (void *) (uintptr_t) i);
	for (uint32_t i = 0; i < opt.readers; i++)
		pthread_create(&threads[n++], NULL, reader_main,
					   (void *) (uintptr_t) i);
	for (uint32_t i = 0; i < 2; i++)
		pthread_create(&threads[n++], NULL, maintainer_main,
					   (void *) (uintptr_t) i);
	for (uint32_t i = 0; i < seconds * 10; i++)
		nanosleep(&(struct timespec){0, 100000000}, NULL);
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

/* Nobody writes: every slot must be as acknowledged. */
static void
check_all(const char *when)
{
	uint32_t all = stress_slots(model);
	Before b = {.acked = calloc(all, 8)};
	Random r = {1};
	FlowScanSpec spec = plain_spec();

	look_before(&b, 0, all);
	scan_range(main_db, &r, &b, spec);
	spec.reverse = true;
	scan_range(main_db, &r, &b, spec);
	free(b.acked);
	printf("# %s: %u slots are right\n", when, all);
	fflush(stdout);
}

/* ------------------------------------------------------------------ kills */

/* What the database has of each slot after a kill. */
static uint32_t *
read_versions(void)
{
	uint32_t *found = calloc(stress_slots(model), sizeof(*found));
	FlowScanSpec spec = plain_spec();
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	must(flow_scan_open(main_db, &spec, &scan), "scan");
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			uint32_t version;
			uint32_t slot = check_row(vec, i, &version);

			found[slot] = version;
		}
	}
	if (st != FLOW_END)
		must(st, "scan");
	flow_scan_close(scan);
	return found;
}

/* The batch a writer was in: all of it, or nothing. */
static void
check_flight(uint32_t writer, const uint32_t *found)
{
	StressFlight *f = &model->flight[writer];
	uint32_t n = atomic_load(&f->nslots);
	bool some = false, missing = false;

	for (uint32_t i = 0; i < n; i++)
	{
		StressSlot *s = &model->slot[f->slot[i]];
		uint64_t acked = atomic_load(&s->acked);
		uint64_t issued = atomic_load(&s->issued);
		bool row_before = stress_version(acked) > 0 && !(acked >> 24 & 1);
		uint32_t version = found[f->slot[i]];

		if (stress_version(acked) == stress_version(issued))
			continue; /* not issued when the kill came, or acknowledged */
		if (version == stress_version(issued))
			some = true;
		else if (version > 0)
			missing = true;
		else if (!(issued >> 24 & 1))
			missing = true; /* a put that is not there */
		else if (row_before)
			some = true; /* a deletion that is */
	}
	if (some && missing)
		wrong("a part of a batch", f->slot[0], found[f->slot[0]]);
	atomic_store(&f->nslots, 0);
}

static void
check_after_kill(uint32_t round)
{
	uint32_t *found = read_versions();

	for (uint32_t slot = 0; slot < stress_slots(model); slot++)
	{
		if (!stress_allows(atomic_load(&model->slot[slot].acked),
						   atomic_load(&model->slot[slot].issued), found[slot]))
			wrong("after a kill", slot, found[slot]);
	}
	for (uint32_t i = 0; i < model->nwriters; i++)
		check_flight(i, found);
	for (uint32_t slot = 0; slot < stress_slots(model); slot++)
		stress_settle(model, slot, found[slot]);
	free(found);
	printf("# kill %u: all right, %" PRIu64 " batches so far\n", round,
		   atomic_load(&model->batches));
	fflush(stdout);
}

/* One life: check what the one before left, then write until killed. */
static _Noreturn void
live(uint32_t round, bool last)
{
	open_database(round == 0);
	if (round > 0)
		check_after_kill(round);
	if (last)
	{
		close_database();
		exit(0);
	}
	run_threads(3600);
	exit(2);
}

/* Let a moment pass in the life of pid; false: it has ended. */
static bool
outlives_moment(pid_t pid, int *statusp)
{
	nanosleep(&(struct timespec){0, 1000000}, NULL);
	return waitpid(pid, statusp, WNOHANG) == 0;
}

/*
 * Kill pid after a while; false: it ended before, by itself.  Every other one
 * is killed while it writes, so has checked what it found, however slow that
 * is; the rest maybe while they recover.
 */
static bool
kill_some_time(pid_t pid, uint32_t round, uint32_t ms)
{
	uint64_t batches = atomic_load(&model->batches);
	int status;

	while (round % 2 == 0 && atomic_load(&model->batches) == batches)
	{
		if (!outlives_moment(pid, &status))
			return false;
	}
	for (; ms > 0; ms--)
	{
		if (!outlives_moment(pid, &status))
			return false;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static int
run_kills(void)
{
	Random r = {opt.seed};

	for (uint32_t round = 0; round <= opt.kills; round++)
	{
		bool last = round == opt.kills;
		pid_t pid = fork();
		int status;

		if (pid < 0)
		{
			perror("fork");
			return 2;
		}
		if (pid == 0)
			live(round, last);
		if (last)
			return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
		if (!kill_some_time(pid, round, below(&r, 1300)))
		{
			fprintf(stderr, "flowdb_stress: round %u ended by itself\n", round);
			return 1;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------- main */

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: flowdb_stress [options] DIR\n"
					"  --seed N         of everything random (1)\n"
					"  --seconds N      how long (10)\n"
					"  --writers N      threads that write (4)\n"
					"  --readers N      threads that read (2)\n"
					"  --keys N         keys of a writer (200)\n"
					"  --times N        times of a key (500)\n"
					"  --kills N        instead: kill and recover N times\n"
					"  --memtable N     MB (1)\n"
					"  --memory N       MB of shared region (64)\n"
					"  --sync MODE      always or interval (interval)\n"
					"  --policy NAME    stcs, lcs or twcs (stcs)\n");
	exit(2);
}

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n == 0 || n > UINT32_MAX)
		usage();
	return (uint32_t) n;
}

static FlowPolicyKind
policy_named(const char *name)
{
	if (strcmp(name, "stcs") == 0)
		return FLOW_POLICY_STCS;
	if (strcmp(name, "lcs") == 0)
		return FLOW_POLICY_LCS;
	if (strcmp(name, "twcs") == 0)
		return FLOW_POLICY_TWCS;
	usage();
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seed", 1, 0, 's'},	{"seconds", 1, 0, 't'},	 {"writers", 1, 0, 'w'},
		{"readers", 1, 0, 'r'}, {"keys", 1, 0, 'k'},	 {"times", 1, 0, 'n'},
		{"kills", 1, 0, 'x'},	{"memtable", 1, 0, 'm'}, {"memory", 1, 0, 'g'},
		{"sync", 1, 0, 'y'},	{"policy", 1, 0, 'p'},	 {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		switch (c)
		{
			case 's':
				opt.seed = strtoull(optarg, NULL, 0);
				break;
			case 't':
				opt.seconds = number(optarg);
				break;
			case 'w':
				opt.writers = number(optarg);
				break;
			case 'r':
				opt.readers = number(optarg);
				break;
			case 'k':
				opt.keys = number(optarg);
				break;
			case 'n':
				opt.times = number(optarg);
				break;
			case 'x':
				opt.kills = number(optarg);
				break;
			case 'm':
				opt.memtable_mb = number(optarg);
				break;
			case 'g':
				opt.region_mb = number(optarg);
				break;
			case 'y':
				opt.sync = strcmp(optarg, "always") == 0 ? FLOW_SYNC_ALWAYS
														 : FLOW_SYNC_INTERVAL;
				break;
			case 'p':
				opt.policy = policy_named(optarg);
				break;
			default:
				usage();
		}
	}
	if (optind != argc - 1 || opt.writers > STRESS_MAX_WRITERS ||
		opt.readers > 60)
		usage();
	opt.dir = argv[optind];
}

int
main(int argc, char **argv)
{
	parse(argc, argv);
	printf("# flowdb_stress seed %" PRIu64 "\n", opt.seed);
	model = stress_model_create(opt.writers, opt.keys, opt.times, opt.seed);
	if (model == NULL)
	{
		perror("mmap");
		return 2;
	}
	if (opt.kills > 0)
	{
		int rc = run_kills();

		puts(rc == 0 ? "ok" : "FAILED");
		return rc;
	}
	open_database(true);
	run_threads(opt.seconds);
	check_all("after the run");
	close_database();
	open_database(false);
	check_all("after a reopen");
	close_database();
	printf("# %" PRIu64 " batches, %" PRIu64 " rows checked\nok\n",
		   atomic_load(&model->batches), atomic_load(&model->checked));
	return 0;
}
