/*-------------------------------------------------------------------------
 * stress.h
 *	  What the parts of flowdb_stress share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_STRESS_H
#define FLOW_STRESS_H

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../env_posix.h"
#include "stress_model.h"

/* What argv says. */
typedef struct StressOptions
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
} StressOptions;

extern StressOptions opt;
extern StressModel *model;
extern FlowEnv *env;
extern FlowDb *main_db;
extern uint32_t store;
extern _Atomic bool stop; /* all threads end */

typedef struct Random
{
	uint64_t state;
} Random;

extern uint64_t next_random(Random *r);
extern uint32_t below(Random *r, uint32_t n); /* 0 .. n - 1 */

/* A row that must not be, or is missing; the program ends. */
extern _Noreturn void wrong(const char *what, uint32_t slot, uint32_t version);
extern void must(FlowStatus st, const char *what);
extern FlowDb *new_handle(void);
extern FlowScanSpec plain_spec(void);

/* Threads; their argument is their number. */
extern void *writer_main(void *arg);	 /* stress_write.c */
extern void *reader_main(void *arg);	 /* stress_read.c */
extern void *maintainer_main(void *arg); /* stress_round.c */

/* --------------------------------------------------------- stress_read.c */

/* What was acknowledged of each slot of a key range before a read. */
typedef struct Before
{
	uint32_t first;
	uint32_t n;
	uint64_t *acked;
} Before;

extern void look_before(Before *b, uint32_t first, uint32_t n);
/* A row that a scan gave proves itself; returns its slot. */
extern uint32_t check_row(const FlowVector *vec, uint32_t i,
						  uint32_t *versionp);
/* Scan the keys of b's slots: each slot is found or may be missing. */
extern void scan_range(FlowDb *db, Random *r, Before *b, FlowScanSpec spec);

/* -------------------------------------------------------- stress_round.c */

extern void open_database(bool create);
extern void close_database(void);
extern void run_threads(uint32_t seconds);
extern void check_all(const char *when); /* while nobody writes */

/* --------------------------------------------------------- stress_kill.c */

extern int run_kills(void); /* the exit code */

#endif /* FLOW_STRESS_H */
