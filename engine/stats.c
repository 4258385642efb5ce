/*-------------------------------------------------------------------------
 * stats.c
 *	  What a database holds, from metadata: for views and for a planner.
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "cache.h"
#include "configure.h"
#include "drop.h"
#include "scan.h"
#include "version.h"

/* Records of a memtable that are counted one by one for flow_store_stats. */
#define MAX_COUNTED 256
#define MAX_SKIPPED 64 /* keys that are looked at behind them */
#define FEW_KEYS 3	   /* of the records counted: too few to go by */

static void
add_version(const FlowVersion *v, FlowStats *stats)
{
	stats->sstables = v->nssts;
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSst *sst = v->sst[i];

		stats->sstable_bytes += sst->info.file_bytes;
		stats->sstable_raw_bytes += sst->info.raw_bytes;
		stats->sstable_records += sst->info.records;
		stats->range_tombstones += sst->info.ntombs;
		if (atomic_load(&sst->unsettled) > 0)
			stats->unresolved_txns +=
				flowi_version_count_txns(sst, FLOW_TXN_UNKNOWN);
	}
}

static void
add_memtable(FlowMemtable *mt, FlowStats *stats)
{
	stats->memtable_records += atomic_load(&mt->records);
	stats->memtable_bytes += atomic_load(&mt->bytes);
}

/* What the lists of the database hold, as of one moment; *vp is pinned. */
static void
add_lists(FlowEnv *env, FlowDbShared *sh, FlowStats *stats, FlowVersion **vp)
{
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	*vp = flowi_version_pin(sh);
	if (sh->active)
		add_memtable(sh->active, stats);
	for (FlowMemtable *mt = sh->frozen; mt; mt = mt->next_older)
	{
		add_memtable(mt, stats);
		stats->frozen_memtables++;
	}
	for (const FlowStore *s = sh->stores; s; s = s->next)
		stats->stores += !s->dropped && !flowi_is_reserved(s->name);
	for (const FlowTrash *t = sh->trash; t; t = t->next)
		stats->obsolete_files += !t->gone;
	stats->flushed_pos = atomic_load(&sh->flushed_pos);
	stats->oldest_unflushed = atomic_load(&sh->oldest_unflushed);
	env->lock_release(env, &sh->state_lock);
}

static void
add_counters(FlowDbShared *sh, FlowStats *stats)
{
	stats->records_written = atomic_load(&sh->records_written);
	stats->bytes_written = atomic_load(&sh->bytes_written);
	stats->records_read = atomic_load(&sh->records_read);
	stats->records_expired = atomic_load(&sh->records_expired);
	stats->flushes = atomic_load(&sh->flushes);
	stats->flush_failures = atomic_load(&sh->flush_failures);
	stats->merges = atomic_load(&sh->merges);
	stats->merge_failures = atomic_load(&sh->merge_failures);
	stats->gc_runs = atomic_load(&sh->gc_runs);
	stats->purged = atomic_load(&sh->purged);
	stats->sstables_merged = atomic_load(&sh->sstables_merged);
	stats->sstables_made = atomic_load(&sh->sstables_made);
	stats->merge_rows = atomic_load(&sh->merge_rows);
	stats->merge_bytes_read = atomic_load(&sh->merge_bytes_read);
	stats->merge_bytes_written = atomic_load(&sh->merge_bytes_written);
	stats->merge_time_us = atomic_load(&sh->merge_time_us);
	stats->generation = sh->next_sst_id;
	stats->loaded_at = sh->loaded_at;
	stats->last_flush_at = atomic_load(&sh->last_flush_at);
	stats->last_merge_at = atomic_load(&sh->last_merge_at);
	stats->last_gc_at = atomic_load(&sh->last_gc_at);
	for (int kind = 0; kind < FLOW_LATENCY_KINDS; kind++)
		flowi_latency_read(&sh->latency[kind], &stats->latency[kind]);
}

void
flow_stats(FlowDb *db, FlowStats *stats)
{
	FlowEnv *env = db->env;
	FlowCacheStats cache;
	FlowVersion *v;

	*stats = (FlowStats){0};
	add_lists(env, db->sh, stats, &v);
	add_version(v, stats);
	flowi_version_unref(env, db->dir, v);
	add_counters(db->sh, stats);
	if (env->log_bytes)
		stats->log_bytes = env->log_bytes(env);
	flowi_cache_stats(env, &cache);
	stats->cache_bytes = cache.bytes;
	stats->cache_capacity = cache.capacity;
	flow_region_usage(env, env->region, &stats->buffer_capacity,
					  &stats->buffer_bytes, &stats->meta_capacity,
					  &stats->meta_bytes);
	stats->cache_hits = cache.hits;
	stats->cache_misses = cache.misses;
}

/* ------------------------------------------------------------------ lists */

/* A list of stores in private memory: entries, then names. */
typedef struct Named
{
	uint32_t id;
	uint32_t name_bytes; /* the NUL too */
	const char *name;
} Named;

typedef struct NamedList
{
	Named *named;
	uint32_t n;
	size_t bytes; /* of all of it */
} NamedList;

/* Copy the list if it fits into list->bytes; else false, and bytes is what it
 * takes.  State lock held. */
static bool
copy_stores(const FlowDbShared *sh, NamedList *list)
{
	size_t need = 0;
	char *name;

	list->n = 0;
	for (const FlowStore *s = sh->stores; s; s = s->next)
	{
		if (s->dropped || flowi_is_reserved(s->name))
			continue;
		need += sizeof(Named) + s->name_bytes + 1;
		list->n++;
	}
	if (need > list->bytes)
	{
		list->bytes = need;
		return false;
	}
	name = (char *) (list->named + list->n);
	list->n = 0;
	for (const FlowStore *s = sh->stores; s; s = s->next)
	{
		Named *to;

		if (s->dropped || flowi_is_reserved(s->name))
			continue;
		to = &list->named[list->n++];
		*to = (Named){s->id, s->name_bytes + 1, name};
		memcpy(name, s->name, to->name_bytes);
		name += to->name_bytes;
	}
	return true;
}

static int
cmp_named(const void *pa, const void *pb)
{
	const Named *a = pa;
	const Named *b = pb;

	return (a->id > b->id) - (a->id < b->id);
}

/* fn runs without a lock, so it may call the engine: on a copy. */
FlowStatus
flow_each_store(FlowDb *db,
				FlowStatus (*fn)(void *arg, uint32_t store_id,
								 const char *name),
				void *arg)
{
	FlowEnv *env = db->env;
	NamedList list = {.bytes = 1024};
	FlowStatus st = FLOW_OK;
	bool fits = false;

	FLOW_TRY(flowi_drops_learn(db, 0, true));
	while (!fits)
	{
		env->free(env, list.named);
		list.named = env->alloc(env, list.bytes);
		if (list.named == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory: list of stores");
		env->lock_acquire(env, &db->sh->state_lock, FLOW_LOCK_SHARED);
		fits = copy_stores(db->sh, &list);
		env->lock_release(env, &db->sh->state_lock);
	}
	if (list.n > 0)
		qsort(list.named, list.n, sizeof(Named), cmp_named);
	for (uint32_t i = 0; i < list.n; i++)
		FLOW_GOTO(fn(arg, list.named[i].id, list.named[i].name));
out:
	env->free(env, list.named);
	return st;
}

FlowStatus
flow_each_sst(FlowDb *db, FlowStatus (*fn)(void *arg, const FlowSstStats *sst),
			  void *arg)
{
	FlowEnv *env = db->env;
	FlowStatus st = FLOW_OK;
	FlowVersion *v;

	env->lock_acquire(env, &db->sh->state_lock, FLOW_LOCK_SHARED);
	v = flowi_version_pin(db->sh);
	env->lock_release(env, &db->sh->state_lock);
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		const FlowSstInfo *info = &v->sst[i]->info;
		const FlowSstStats sst = {
			.id = info->id,
			.store_id = info->store_id,
			.level = info->level,
			.records = info->records,
			.tombstones = info->tombstones,
			.range_tombstones = info->ntombs,
			.file_bytes = info->file_bytes,
			.raw_bytes = info->raw_bytes,
			.ts_min = info->ts_min,
			.ts_max = info->ts_max,
			.expire_max = info->expire_max,
			.key_min = info->key_min,
			.key_max = info->key_max,
			.key_min_bytes = info->key_min_bytes,
			.key_max_bytes = info->key_max_bytes,
			.unsettled = atomic_load(&v->sst[i]->unsettled),
		};

		FLOW_GOTO(fn(arg, &sst));
	}
out:
	flowi_version_unref(env, db->dir, v);
	return st;
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
 * Distinct keys of several sources.  Series come again in each of them: the
 * most that one has is the number.  Where nearly every record has a key of
 * its own, sources hardly share keys: the sum is.  In between, in between.
 */
typedef struct Distinct
{
	uint64_t most; /* keys of the source with the most */
	uint64_t most_records;
	uint64_t sum;
} Distinct;

static void
add_keys(Distinct *d, uint64_t keys, uint64_t records)
{
	d->sum += keys;
	if (keys > d->most)
	{
		d->most = keys;
		d->most_records = FLOW_MAX(records, keys);
	}
}

static uint64_t
distinct_keys(const Distinct *d)
{
	if (d->most == 0)
		return 0;
	return d->most + (uint64_t) ((double) (d->sum - d->most) *
								 (double) d->most / (double) d->most_records);
}

/* Has rec another key than the one before, of which last is a copy? */
static bool
is_new_key(FlowBuf *last, uint64_t n, const FlowRec *rec)
{
	if (n > 0 && flowi_key_cmp(last->data, (uint32_t) last->len, rec->key,
							   rec->key_bytes) == 0)
		return false;
	last->len = 0;
	if (flowi_buf_append(last, rec->key, rec->key_bytes) != FLOW_OK)
		last->len = 0; /* the next one counts as another: an estimate */
	return true;
}

/* Skip from key to key, behind the record where it stands, and count them;
 * true: these were the last. */
static bool
skip_keys(FlowIter *it, uint64_t *keysp)
{
	for (int i = 0; i < MAX_SKIPPED; i++)
	{
		const FlowSeek behind = {.key = it->cur.key,
								 .key_bytes = it->cur.key_bytes,
								 .ts = INT64_MAX,
								 .after = true};
		FlowStatus st = it->seek(it, &behind);

		if (st != FLOW_OK)
			return st == FLOW_END;
		(*keysp)++;
	}
	return false;
}

/*
 * How many keys there are behind n records, of some keys, of a memtable with
 * so many records.  Some more are looked at.  When that is not all, the
 * records tell if they were of several keys; else one key with many of them
 * proves little, and the guess is between what was seen and what they say.
 */
static uint64_t
guess_keys(FlowIter *it, uint64_t keys, uint64_t n, uint64_t records)
{
	uint64_t most = keys * records / n;
	uint64_t seen = keys;
	uint64_t guess;

	if (skip_keys(it, &seen) || most <= seen)
		return seen;
	if (keys > FEW_KEYS)
		return most;
	guess = seen; /* doubled until it is their geometric mean */
	while (guess * 2 < most / guess * seen)
		guess *= 2;
	return guess;
}

/*
 * A memtable has no counts by store.  The store's first records are counted;
 * when there are more than that, it is taken to own the memtable.
 */
static void
estimate_memtable(FlowEnv *env, FlowMemtable *mt, uint32_t store_id,
				  FlowStoreStats *stats, Distinct *distinct)
{
	const FlowSeek first = {.unbounded = true};
	FlowIter *it;
	FlowBuf last;
	uint64_t n = 0;
	uint64_t keys = 0;
	uint64_t bytes = 0;
	FlowStatus st = flowi_memtable_iter(env, mt, store_id, false, &it);

	if (st != FLOW_OK)
		return;
	flowi_buf_init(&last, env);
	for (st = it->seek(it, &first); st == FLOW_OK && n < MAX_COUNTED;
		 st = it->next(it))
	{
		keys += is_new_key(&last, n, &it->cur);
		n++;
		bytes += it->cur.key_bytes + it->cur.value_bytes;
		widen(stats, it->cur.ts, it->cur.ts);
	}
	if (st == FLOW_OK)
	{
		uint64_t records = atomic_load(&mt->records);

		records = FLOW_MAX(records, n);
		bytes = bytes / n * records;
		keys = guess_keys(it, keys, n, records);
		n = records;
	}
	it->free(it);
	flowi_buf_free(&last);
	stats->records += n;
	stats->bytes += bytes;
	add_keys(distinct, keys, n);
}

void
flow_store_stats(FlowDb *db, uint32_t store_id, FlowStoreStats *stats)
{
	FlowPins pins = {0};
	Distinct distinct = {0};
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
		stats->file_bytes += info->file_bytes;
		stats->sstables++;
		add_keys(&distinct, info->keys, info->records);
		if (info->records > 0) /* else range tombstones only */
			widen(stats, info->ts_min, info->ts_max);
	}
	for (uint32_t i = 0; i < pins.nmemtables; i++)
		estimate_memtable(db->env, pins.memtables[i], store_id, stats,
						  &distinct);
	stats->keys = distinct_keys(&distinct);
	flowi_pins_drop(db, &pins);
	flowi_pins_free(db, &pins);
}
