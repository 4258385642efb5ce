/*-------------------------------------------------------------------------
 * readers.c
 *	  A handle's open SSTables, by id, least recently used closed first.
 *
 * An id is never used again for other content while the database is loaded,
 * so an open reader stays right for as long as anybody wants the file.  The
 * cap bounds file descriptors, not correctness: when everything is pinned,
 * the cache grows beyond it and shrinks at the releases.  The list has those
 * that are not pinned, so that a scan of thousands of files does not look
 * through all it has open for each further one.
 *-------------------------------------------------------------------------
 */
#include "readers.h"

#define BUCKETS 256u /* power of two */

/* Buffers of a point lookup that are kept for the next one, by a reader. */
#define KEEP_BYTES ((size_t) 256 << 10)

struct FlowReaderCache
{
	FlowEnv *env;
	const char *dir;
	uint64_t space; /* of the block cache */
	uint32_t capacity;
	uint32_t count;
	FlowSstShared shared; /* of all its readers */
	FlowReader *newest, *oldest;
	FlowReader *bucket[BUCKETS];
};

static FlowReader **
bucket_of(FlowReaderCache *cache, uint64_t id)
{
	return &cache->bucket[id & (BUCKETS - 1)];
}

static void
lru_unlink(FlowReaderCache *cache, FlowReader *r)
{
	*(r->newer ? &r->newer->older : &cache->newest) = r->older;
	*(r->older ? &r->older->newer : &cache->oldest) = r->newer;
}

static void
lru_push(FlowReaderCache *cache, FlowReader *r)
{
	r->newer = NULL;
	r->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = r;
	cache->newest = r;
}

static void
close_reader(FlowReaderCache *cache, FlowReader *r)
{
	FlowReader **at = bucket_of(cache, r->id);

	FLOW_ASSERT(r->pins == 0);
	while (*at != r)
		at = &(*at)->chain;
	*at = r->chain;
	lru_unlink(cache, r);
	if (r->get_iter)
		r->get_iter->free(r->get_iter);
	flowi_tombs_free(&r->tombs);
	cache->env->free(cache->env, r->tomb_order);
	flowi_sst_close(r->sst);
	cache->env->free(cache->env, r);
	cache->count--;
}

/* Close the least recently used ones, down to keep; those that are pinned are
 * not in the list. */
static void
shrink(FlowReaderCache *cache, uint32_t keep)
{
	while (cache->oldest && cache->count > keep)
		close_reader(cache, cache->oldest);
}

FlowStatus
flowi_readers_create(FlowEnv *env, const char *dir, uint64_t space,
					 uint32_t capacity, FlowReaderCache **cachep)
{
	FlowReaderCache *cache = env->alloc(env, sizeof(*cache));

	*cachep = cache;
	if (cache == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	*cache = (FlowReaderCache){
		.env = env, .dir = dir, .space = space, .capacity = capacity};
	flowi_codec_init(&cache->shared.codec, env);
	return FLOW_OK;
}

void
flowi_readers_free(FlowReaderCache *cache)
{
	if (cache == NULL)
		return;
	shrink(cache, 0);
	FLOW_ASSERT(cache->count == 0);
	flowi_codec_free(&cache->shared.codec);
	cache->env->free(cache->env, cache);
}

/* Open sst's file and enter it, not pinned yet. */
static FlowStatus
open_reader(FlowReaderCache *cache, const FlowSst *sst, FlowReader **readerp)
{
	FlowEnv *env = cache->env;
	char path[FLOW_PATH_BYTES];
	FlowReader *r = env->alloc(env, sizeof(*r));
	FlowStatus st;

	if (r == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(r, 0, sizeof(*r));
	flowi_tombs_init(&r->tombs, env);
	r->id = sst->info.id;
	flowi_version_path(cache->dir, r->id, path);
	st = flowi_sst_open(env, path, cache->space, r->id, sst->info.store_id,
						&r->sst);
	if (st != FLOW_OK)
	{
		env->free(env, r);
		return st;
	}
	flowi_sst_share(r->sst, &cache->shared);
	r->chain = *bucket_of(cache, r->id);
	*bucket_of(cache, r->id) = r;
	lru_push(cache, r);
	cache->count++;
	*readerp = r;
	return FLOW_OK;
}

FlowStatus
flowi_readers_acquire(FlowReaderCache *cache, const FlowSst *sst,
					  FlowReader **readerp)
{
	FlowReader *r = *bucket_of(cache, sst->info.id);

	*readerp = NULL;
	while (r && r->id != sst->info.id)
		r = r->chain;
	if (r == NULL)
	{
		if (cache->count >= cache->capacity)
			shrink(cache, cache->capacity - 1);
		FLOW_TRY(open_reader(cache, sst, &r));
	}
	if (r->pins++ == 0)
		lru_unlink(cache, r);
	*readerp = r;
	return FLOW_OK;
}

void
flowi_readers_release(FlowReaderCache *cache, FlowReader *r)
{
	FLOW_ASSERT(r->pins > 0);
	if (--r->pins == 0)
		lru_push(cache, r);
	/* with no pin no lookup is under way.  What it has decoded stays, but
	 * nothing of the block cache is pinned. */
	if (r->pins == 0 && r->get_iter)
	{
		flowi_sst_iter_pause(r->get_iter);
		if (flowi_sst_iter_memory(r->get_iter) > KEEP_BYTES)
		{
			r->get_iter->free(r->get_iter);
			r->get_iter = NULL;
		}
	}
	if (r->pins == 0 && cache->count > cache->capacity)
		close_reader(cache, r);
}

static FlowTxn *
find_for_get(void *arg, uint64_t seq)
{
	FlowReader *r = arg;

	if (atomic_load_explicit(&r->get_sst->unsettled, memory_order_acquire) == 0)
		return NULL;
	return flowi_version_find_txn(r->get_sst, seq);
}

FlowStatus
flowi_readers_get_iter(FlowReader *r, FlowSst *sst)
{
	r->get_sst = sst;
	if (r->get_iter != NULL)
		return FLOW_OK;
	return flowi_sst_iter(r->sst,
						  &(FlowSstIterOptions){.ts_lo = INT64_MIN,
												.ts_hi = INT64_MAX,
												.find_txn = find_for_get,
												.find_arg = r,
												.stats = &r->get_stats},
						  &r->get_iter);
}

static bool
version_has(const FlowVersion *v, uint64_t id)
{
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		if (v->sst[i]->info.id == id)
			return true;
	}
	return false;
}

void
flowi_readers_retain(FlowReaderCache *cache, const FlowVersion *v)
{
	FlowReader *newer;

	for (FlowReader *r = cache->oldest; r; r = newer)
	{
		newer = r->newer;
		if (!version_has(v, r->id))
			close_reader(cache, r);
	}
}
