/*-------------------------------------------------------------------------
 * stats.c
 *	  What a database holds, from metadata: for views and for a planner.
 *-------------------------------------------------------------------------
 */
#include "scan.h"
#include "version.h"

/* Records of a memtable that are counted one by one for flow_store_stats. */
#define MAX_COUNTED 256

static uint64_t
count_unknown(const FlowSst *sst)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < sst->ntxns; i++)
		n += atomic_load_explicit(&sst->txns[i].state, memory_order_relaxed) ==
			 FLOW_TXN_UNKNOWN;
	return n;
}

static void
add_version(const FlowVersion *v, FlowStats *stats)
{
	stats->sstables = v->nssts;
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSst *sst = v->sst[i];

		stats->sstable_bytes += sst->info.file_bytes;
		stats->sstable_records += sst->info.records;
		if (atomic_load(&sst->unsettled) > 0)
			stats->unresolved_txns += count_unknown(sst);
	}
}

static void
add_memtable(FlowMemtable *mt, FlowStats *stats)
{
	stats->memtable_records += atomic_load(&mt->records);
	stats->memtable_bytes += atomic_load(&mt->bytes);
}

void
flow_stats(FlowDb *db, FlowStats *stats)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	FlowVersion *v;

	*stats = (FlowStats){0};
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	v = flowi_version_pin(sh);
	if (sh->active)
		add_memtable(sh->active, stats);
	for (FlowMemtable *mt = sh->frozen; mt; mt = mt->next_older)
	{
		add_memtable(mt, stats);
		stats->frozen_memtables++;
	}
	for (const FlowStore *s = sh->stores; s; s = s->next)
		stats->stores++;
	stats->flushed_pos = atomic_load(&sh->flushed_pos);
	stats->oldest_unflushed = atomic_load(&sh->oldest_unflushed);
	env->lock_release(env, &sh->state_lock);

	add_version(v, stats);
	flowi_version_unref(env, db->dir, v);
	stats->records_written = atomic_load(&sh->records_written);
	stats->bytes_written = atomic_load(&sh->bytes_written);
	stats->flushes = atomic_load(&sh->flushes);
	stats->flush_failures = atomic_load(&sh->flush_failures);
}

/* ------------------------------------------------------------- one store */

static void
widen(FlowStoreStats *stats, int64_t ts_min, int64_t ts_max)
{
	stats->ts_min = stats->has_ts ? FLOW_MIN(stats->ts_min, ts_min) : ts_min;
	stats->ts_max = stats->has_ts ? FLOW_MAX(stats->ts_max, ts_max) : ts_max;
	stats->has_ts = true;
}

/*
 * A memtable has no counts by store.  The store's first records are counted;
 * when there are more than that, it is taken to own the memtable.
 */
static void
estimate_memtable(FlowEnv *env, FlowMemtable *mt, uint32_t store_id,
				  FlowStoreStats *stats)
{
	const FlowSeek first = {.unbounded = true};
	FlowIter *it;
	uint64_t n = 0;
	uint64_t bytes = 0;
	FlowStatus st = flowi_memtable_iter(env, mt, store_id, false, &it);

	if (st != FLOW_OK)
		return;
	for (st = it->seek(it, &first); st == FLOW_OK && n < MAX_COUNTED;
		 st = it->next(it))
	{
		n++;
		bytes += it->cur.key_bytes + it->cur.value_bytes;
		widen(stats, it->cur.ts, it->cur.ts);
	}
	if (st == FLOW_OK)
	{
		uint64_t records = FLOW_MAX(atomic_load(&mt->records), n);

		bytes = bytes / n * records;
		n = records;
	}
	it->free(it);
	stats->records += n;
	stats->bytes += bytes;
}

void
flow_store_stats(FlowDb *db, uint32_t store_id, FlowStoreStats *stats)
{
	FlowPins pins = {0};
	uint32_t first, n;

	*stats = (FlowStoreStats){0};
	if (flowi_pins_take(db, &pins) != FLOW_OK)
		return; /* no memory for the list: no estimate */
	n = flowi_version_store(pins.version, store_id, &first);
	for (uint32_t i = first; i < first + n; i++)
	{
		const FlowSstInfo *info = &pins.version->sst[i]->info;

		stats->records += info->records;
		stats->bytes += info->raw_bytes;
		stats->sstables++;
		widen(stats, info->ts_min, info->ts_max);
	}
	for (uint32_t i = 0; i < pins.nmemtables; i++)
		estimate_memtable(db->env, pins.memtables[i], store_id, stats);
	flowi_pins_drop(db, &pins);
	flowi_pins_free(db, &pins);
}
