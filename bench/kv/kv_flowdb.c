/*-------------------------------------------------------------------------
 * kv_flowdb.c
 *	  FlowDB behind kv.h, as an embedder has it: file log, interval sync.
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "../../engine/env_posix.h"
#include "kv.h"

#define REGION_BYTES ((size_t) 512 << 20)

typedef struct Db
{
	FlowEnv *env;
	FlowDb *db;
	uint32_t store;
	const char *dir;
} Db;

typedef struct Session
{
	FlowDb *db;
	uint32_t store;
} Session;

static void
must(FlowStatus st)
{
	if (st != FLOW_OK)
		kv_die("flowdb", flow_last_error()->message);
}

static void *
open_db(const char *dir)
{
	FlowOptions options = FLOW_OPTIONS_DEFAULT;
	Db *d = calloc(1, sizeof(*d));

	options.create = true;
	options.sync_mode = FLOW_SYNC_INTERVAL;
	options.auto_background = true;
	options.compaction_interval_ms = 1000;
	must(flow_env_posix_create(REGION_BYTES, &d->env));
	must(flow_open(d->env, dir, &options, &d->db));
	must(flow_store_define(d->db, "bench", "", 0, &d->store));
	d->dir = dir;
	return d;
}

static void
settle(void *db)
{
	Db *d = db;
	FlowStoreStats stats;
	bool ran = true;

	must(flow_flush(d->db, NULL));
	while (ran)
		must(flow_compact(d->db, d->store, &ran));
	flow_store_stats(d->db, d->store, &stats);
	fprintf(stderr, "flowdb: %u SSTables\n", stats.sstables);
}

static void
close_db(void *db)
{
	Db *d = db;

	must(flow_close(d->db));
	flow_free(d->db);
	flow_env_posix_free(d->env);
	free(d);
}

static void *
session(void *db)
{
	Db *d = db;
	Session *s = calloc(1, sizeof(*s));

	s->store = d->store;
	must(flow_attach(d->env, flow_shared(d->db), d->dir, &s->db));
	return s;
}

static void
end_session(void *session)
{
	Session *s = session;

	flow_detach(s->db);
	free(s);
}

static void
write_batch(void *session, const KvRecord *records, size_t n)
{
	Session *s = session;
	FlowRecord r[KV_MAX_BATCH];

	for (size_t i = 0; i < n; i++)
		r[i] = (FlowRecord){records[i].key,	  records[i].key_bytes,
							records[i].ts,	  FLOW_NEVER,
							records[i].value, records[i].value_bytes};
	must(flow_write_batch(s->db, s->store, r, n, NULL));
}

static uint64_t
sum_vector(const FlowVector *vec, uint64_t *sum)
{
	for (uint32_t i = 0; i < vec->nrows; i++)
		*sum += vec->value_bytes[i] + vec->value[i][0];
	return vec->nrows;
}

static uint64_t
get(void *session, const char *key, size_t key_bytes, int64_t ts, uint64_t *sum)
{
	Session *s = session;
	FlowScanSpec spec = {.store_id = s->store};
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st = flow_get(s->db, &spec, key, key_bytes, ts, &scan, &vec);
	uint64_t n;

	if (st == FLOW_NOTFOUND)
		return 0;
	must(st);
	n = sum_vector(vec, sum);
	flow_scan_close(scan);
	return n;
}

static uint64_t
latest(void *session, const char *key, size_t key_bytes, uint64_t *sum)
{
	Session *s = session;
	FlowScanSpec spec = {.store_id = s->store};
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st = flow_get_latest(s->db, &spec, key, key_bytes, &scan, &vec);
	uint64_t n;

	if (st == FLOW_NOTFOUND)
		return 0;
	must(st);
	n = sum_vector(vec, sum);
	flow_scan_close(scan);
	return n;
}

static uint64_t
run(Session *s, const FlowScanSpec *spec, uint64_t *sum)
{
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;
	uint64_t n = 0;

	must(flow_scan_open(s->db, spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
		n += sum_vector(vec, sum);
	if (st != FLOW_END)
		must(st);
	flow_scan_close(scan);
	return n;
}

static uint64_t
range(void *session, const char *key, size_t key_bytes, int64_t lo, int64_t hi,
	  uint64_t *sum)
{
	Session *s = session;
	FlowScanSpec spec = {.store_id = s->store};

	if (key)
		flow_spec_key_range(&spec, key, key_bytes, key, key_bytes);
	flow_spec_time_range(&spec, lo, hi);
	return run(s, &spec, sum);
}

static uint64_t
all(void *session, uint64_t *sum)
{
	Session *s = session;
	FlowScanSpec spec = {.store_id = s->store};

	return run(s, &spec, sum);
}

const KvEngine kv_flowdb = {.name = "FlowDB",
							.open = open_db,
							.settle = settle,
							.close = close_db,
							.session = session,
							.end_session = end_session,
							.write = write_batch,
							.get = get,
							.latest = latest,
							.range = range,
							.all = all};
