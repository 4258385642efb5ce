/*-------------------------------------------------------------------------
 * mergetest.h
 *	  What the tests of merges share: a host's transactions, files to merge,
 *	  and a look at what is left in the directory.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_MERGETEST_H
#define FLOW_TEST_MERGETEST_H

#include "lyingdisk.h"

#include "../choose.h"
#include "../db.h"
#include "../version.h"

#define REGION_BYTES (32u << 20)
#define MEMTABLE_BYTES (4u << 20)

/* ----------------------------------------------------- a host's transactions */

#define MAX_XID 64
static FlowTxnState fate[MAX_XID];
static int64_t horizon;

static inline FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < MAX_XID);
	*statep = fate[xid];
	return FLOW_OK;
}

static inline int64_t
host_horizon(FlowEnv *env)
{
	(void) env;
	return horizon;
}

/* A snapshot: bit x for transaction x. */
static inline bool
sees(void *arg, FlowTxn *txn)
{
	if (fate[txn->xid] == FLOW_TXN_ABORTED)
		return false;
	return fate[txn->xid] == FLOW_TXN_SETTLED ||
		   (*(uint64_t *) arg >> txn->xid & 1);
}

/* Only where a test plays crashes does it matter. */
static FlowStatus (*real_sync)(FlowFile *);

static inline FlowStatus
no_sync(FlowFile *file)
{
	(void) file;
	return FLOW_OK;
}

static inline void
set_up(TestDb *t)
{
	if (t->env->file_sync != no_sync)
		real_sync = t->env->file_sync;
	t->env->file_sync = no_sync;
	flow_env_posix_set_outcome(t->env, outcome, NULL);
	t->env->expire_horizon = host_horizon;
}

static inline void
open_db(TestDb *t, uint32_t *store)
{
	test_open(t, REGION_BYTES, MEMTABLE_BYTES);
	set_up(t);
	memset(fate, 0, sizeof(fate));
	horizon = 0;
	*store = test_store(t, "s");
	CHECK_OK(flow_flush(t->db, NULL));
}

static inline FlowStats
stats_of(TestDb *t)
{
	FlowStats stats;

	flow_stats(t->db, &stats);
	return stats;
}

static inline bool
compact(TestDb *t, uint32_t store)
{
	bool ran;

	CHECK_OK(flow_compact(t->db, store, &ran));
	return ran;
}

static inline void
flush(TestDb *t)
{
	CHECK_OK(flow_flush(t->db, NULL));
}

/* Maintenance until nothing is left. */
static inline void
maintain(TestDb *t, int64_t budget)
{
	FlowStatus st;

	while ((st = flow_maintenance_step(t->db, budget, NULL)) == FLOW_OK)
		;
	CHECK_STATUS(st, FLOW_END);
}

/* As little as there is. */
static inline void
step(FlowDb *db)
{
	FlowStatus st = flow_maintenance_step(db, 0, NULL);

	CHECK(st == FLOW_OK || st == FLOW_END);
}

/* Files in SST that the version does not list. */
static inline int
count_orphans(const TestDb *t)
{
	return (int) test_count_files(t, "SST") - (int) t->sh->version->nssts;
}

static inline void
delete_range(TestDb *t, uint32_t store, const char *lo, const char *hi,
			 int64_t ts_lo, int64_t ts_hi, uint64_t xid)
{
	FlowRect rect = {.key_lo = (const uint8_t *) lo,
					 .key_lo_bytes = (uint32_t) strlen(lo),
					 .key_hi = (const uint8_t *) hi,
					 .key_hi_bytes = hi ? (uint32_t) strlen(hi) : 0,
					 .ts_lo = ts_lo,
					 .ts_hi = ts_hi};
	FlowTxBuf *buf;

	CHECK_OK(flow_txbuf_create(t->env, &buf));
	CHECK_OK(flow_txbuf_delete_range(buf, store, &rect, xid, 0));
	CHECK_OK(flow_txbuf_push(buf, t->db));
	flow_txbuf_free(buf);
}

static inline void
put_many(TestDb *t, uint32_t s, int from, int n, int64_t ts, size_t bytes)
{
	static char value[8192];
	static uint64_t salt;
	FlowRecord *records = calloc((size_t) n, sizeof(*records));
	char(*keys)[16] = calloc((size_t) n, sizeof(*keys));

	CHECK(records != NULL && keys != NULL && bytes <= sizeof(value) / 2);
	for (size_t i = 0; i < sizeof(value); i++)
	{
		salt = salt * UINT64_C(6364136223846793005) + 1442695040888963407u;
		value[i] = (char) (salt >> 56);
	}
	for (int i = 0; i < n; i++)
	{
		snprintf(keys[i], sizeof(keys[i]), "key%08d", from + i);
		records[i] = (FlowRecord){keys[i],	  strlen(keys[i]),		   ts,
								  FLOW_NEVER, value + (i * 37) % 4096, bytes};
	}
	CHECK_OK(flow_write_batch(t->db, s, records, (size_t) n, NULL));
	free(records);
	free(keys);
}

static inline uint64_t
count_rows(TestDb *t, uint32_t s)
{
	FlowScanSpec spec = {.store_id = s, .now = INT64_MIN, .keys_only = true};
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;
	uint64_t n = 0;

	CHECK_OK(flow_scan_open(t->db, &spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
		n += vec->nrows;
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
	return n;
}

/* Four files of so many rows. */
static inline void
four_files(TestDb *t, uint32_t s, int rows, size_t bytes)
{
	for (int i = 0; i < 4; i++)
	{
		for (int k = 0; k < rows; k += 1000)
			put_many(t, s, i * 7 + k * 2, rows - k < 1000 ? rows - k : 1000, i,
					 bytes);
		flush(t);
	}
}

#endif /* FLOW_TEST_MERGETEST_H */
