/*-------------------------------------------------------------------------
 * stress_round.c
 *	  A round of flowdb_stress: open, run all threads, check, close.
 *-------------------------------------------------------------------------
 */
#include "stress.h"

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

void *
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

void
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

void
close_database(void)
{
	must(flow_close(main_db), "close");
	flow_free(main_db);
	flow_env_posix_free(env);
}

/* Run all threads for a while, or until killed. */
void
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
void
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
