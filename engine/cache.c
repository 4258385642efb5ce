/*-------------------------------------------------------------------------
 * cache.c
 *	  The block cache: immutable pieces in the shared region, found by name.
 *
 *	  base                                                      base + bytes
 *	  | FlowCache, shards | heads | arena | heads | arena | ..              |
 *
 * A shard's arena is tiled by entries, each a header of one unit (64 bytes)
 * and its data behind it, without a gap.  An entry is linked (its name is in
 * the hash table), or private to the one who reserved it, or free: unlinked
 * and pinned by nobody.  So giving up the last pin is one atomic subtraction,
 * which frees a private entry too, and no lock is taken for it.
 *
 * The hand stands between two entries.  Who needs room goes on from it over
 * entries that may be taken, until they make a run that is long enough; a
 * pinned entry ends the run, and so does one that was asked for since the
 * hand came by, which loses its mark.  Only a run that is long enough is
 * taken: what is not needed stays.  What is left of it becomes a free entry,
 * where the hand waits.  After MAX_SPARED marks in one call the rest count
 * for nothing, and after two rounds the call gives up, so a call is bounded.
 *
 * Pins only ever rise under the shard's lock (shared is enough), so who holds
 * it exclusive and sees none may take the entry.
 *
 * Locks: a shard's lock (FLOW_RANK_CACHE), a leaf.
 *-------------------------------------------------------------------------
 */
#include "cache.h"

#define UNIT FLOW_CACHE_LINE
#define NO_ENTRY UINT32_MAX
#define UNLINKED (UINT32_C(1) << 31) /* in word, beside the number of pins */
#define PINS (UNLINKED - 1)

#define MAX_SHARDS 64u
#define MIN_SHARD_BYTES (2u << 20) /* before there is a second one */
#define MIN_BYTES (64u << 10)	   /* less is not worth a cache */
#define MAX_SHARD_BYTES ((uint64_t) UNIT << 30)
#define BYTES_PER_HEAD 8192u
#define MAX_SPARED 256u	  /* marks that one call respects */
#define FORGET_HEADS 256u /* chains walked under one lock */

/* One tile of an arena; its data follow. */
typedef struct Entry
{
	/* protected by the shard's lock; whoever has a pin may read them too */
	uint64_t space;
	uint64_t file;
	uint64_t off;
	uint64_t stamp;
	uint32_t units; /* of the whole tile */
	uint32_t bytes; /* of data */
	uint32_t next;	/* in the hash chain; unit, or NO_ENTRY */
	uint32_t shard;

	_Atomic uint32_t word; /* UNLINKED and pins */
	_Atomic bool asked;	   /* for, since the hand came by */
} Entry;

_Static_assert(sizeof(Entry) <= UNIT, "an entry's header is one unit");

typedef struct Shard
{
	/* constant after init */
	_Alignas(UNIT) uint8_t *arena;
	uint32_t *heads; /* hash table: units, or NO_ENTRY */
	uint32_t nunits;
	uint32_t head_mask;

	FlowLock lock;

	/* protected by lock */
	uint64_t stamp; /* last one given */
	uint64_t bytes; /* data of linked entries */
	uint32_t pieces;
	uint32_t hand; /* where some entry begins */

	/* atomic */
	_Atomic uint64_t hits;
	_Atomic uint64_t misses;
	_Atomic uint64_t pinned; /* entries */
} Shard;

struct FlowCache
{
	/* constant after init */
	uint32_t nshards; /* power of two */
	uint32_t shard_shift;
	Shard shard[];
};

typedef struct Name
{
	uint64_t space;
	uint64_t file;
	uint64_t off;
	uint64_t hash;
} Name;

/* ----------------------------------------------------------------- init */

static size_t
align_up(size_t x, size_t to)
{
	return (x + to - 1) / to * to;
}

static uint32_t
shards_for(size_t bytes)
{
	uint32_t n = 1;

	while (n < MAX_SHARDS && bytes / (2 * n) >= MIN_SHARD_BYTES)
		n *= 2;
	return n;
}

static uint32_t
heads_for(size_t bytes)
{
	uint32_t n = 64;

	while (n < UINT32_C(1) << 30 && bytes / n > BYTES_PER_HEAD)
		n *= 2;
	return n;
}

/* Make [unit, unit + units) one free entry. */
static void
put_free(Shard *s, uint32_t shard_no, uint32_t unit, uint32_t units)
{
	Entry *e = (Entry *) (s->arena + (size_t) unit * UNIT);

	memset(e, 0, sizeof(*e));
	e->units = units;
	e->next = NO_ENTRY;
	e->shard = shard_no;
	atomic_init(&e->word, UNLINKED);
}

static void
shard_init(FlowEnv *env, Shard *s, uint32_t shard_no, uint8_t *base,
		   size_t bytes)
{
	uint32_t nheads = heads_for(bytes);
	size_t table = align_up((size_t) nheads * sizeof(uint32_t), UNIT);

	s->heads = (uint32_t *) base;
	s->head_mask = nheads - 1;
	for (uint32_t i = 0; i < nheads; i++)
		s->heads[i] = NO_ENTRY;
	s->arena = base + table;
	s->nunits = (uint32_t) (FLOW_MIN(bytes - table, MAX_SHARD_BYTES) / UNIT);
	env->lock_init(env, &s->lock, FLOW_RANK_CACHE);
	put_free(s, shard_no, 0, s->nunits);
}

FlowStatus
flowi_cache_init(FlowEnv *env, void *base, size_t bytes, FlowCache **cachep)
{
	size_t skip = align_up((uintptr_t) base, UNIT) - (uintptr_t) base;
	uint32_t nshards = shards_for(bytes);
	size_t head = sizeof(FlowCache) + nshards * sizeof(Shard);
	FlowCache *cache;
	size_t each;

	*cachep = NULL;
	if (bytes < MIN_BYTES)
		return flowi_fail(FLOW_INVALID,
						  "a block cache has at least %u bytes, not %zu",
						  MIN_BYTES, bytes);
	cache = (FlowCache *) ((uint8_t *) base + skip);
	head = align_up(head, UNIT);
	each = (bytes - skip - head) / nshards / UNIT * UNIT;
	cache->nshards = nshards;
	cache->shard_shift = 64;
	for (uint32_t n = nshards; n > 1; n /= 2)
		cache->shard_shift--;
	for (uint32_t i = 0; i < nshards; i++)
		shard_init(env, &cache->shard[i], i,
				   (uint8_t *) cache + head + i * each, each);
	*cachep = cache;
	return FLOW_OK;
}

/* -------------------------------------------------------------- entries */

static Entry *
entry_at(const Shard *s, uint32_t unit)
{
	return (Entry *) (s->arena + (size_t) unit * UNIT);
}

static uint32_t
unit_of(const Shard *s, const Entry *e)
{
	return (uint32_t) ((size_t) ((const uint8_t *) e - s->arena) / UNIT);
}

static Name
name_of(uint64_t space, uint64_t file, uint64_t off)
{
	uint64_t h = space * UINT64_C(0x9e3779b97f4a7c15);

	/* the finish of splitmix64, once for each part */
	h = (h ^ (h >> 30) ^ file) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27) ^ off) * UINT64_C(0x94d049bb133111eb);
	h = (h ^ (h >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (Name){space, file, off, h ^ (h >> 32)};
}

/* By the high bits; the low ones are for the hash table. */
static Shard *
shard_of(FlowCache *cache, const Name *name)
{
	uint64_t i = 0;

	if (cache->nshards > 1)
		i = name->hash >> cache->shard_shift;
	return &cache->shard[i];
}

static uint32_t *
head_of(const Shard *s, const Name *name)
{
	return &s->heads[name->hash & s->head_mask];
}

/* Lock held. */
static Entry *
find(const Shard *s, const Name *name)
{
	uint32_t unit = *head_of(s, name);

	while (unit != NO_ENTRY)
	{
		Entry *e = entry_at(s, unit);

		if (e->off == name->off && e->file == name->file &&
			e->space == name->space)
			return e;
		unit = e->next;
	}
	return NULL;
}

/* Lock held exclusive. */
static void
link_entry(Shard *s, const Name *name, Entry *e)
{
	uint32_t *head = head_of(s, name);

	e->next = *head;
	*head = unit_of(s, e);
	s->pieces++;
	s->bytes += e->bytes;
	atomic_fetch_and(&e->word, ~UNLINKED);
}

/* The entry that *place names leaves its chain.  Lock held exclusive. */
static void
unlink_entry(Shard *s, uint32_t *place)
{
	Entry *e = entry_at(s, *place);

	*place = e->next;
	e->next = NO_ENTRY;
	s->pieces--;
	s->bytes -= e->bytes;
	atomic_fetch_or(&e->word, UNLINKED);
}

static void
drop_entry(Shard *s, const Entry *e)
{
	Name name = name_of(e->space, e->file, e->off);
	uint32_t unit = unit_of(s, e);
	uint32_t *place = head_of(s, &name);

	while (*place != unit)
		place = &entry_at(s, *place)->next;
	unlink_entry(s, place);
}

/* Lock held; ref becomes a pin on e. */
static void
pin(Shard *s, Entry *e, FlowCacheRef *ref)
{
	if ((atomic_fetch_add(&e->word, 1) & PINS) == 0)
		atomic_fetch_add_explicit(&s->pinned, 1, memory_order_relaxed);
	ref->data = (uint8_t *) e + UNIT;
	ref->bytes = e->bytes;
	ref->entry = e;
	ref->stamp = e->stamp;
}

/* ----------------------------------------------------------------- room */

/* Is e of no use, or little?  *sparedp: marks respected in this call. */
static bool
may_take(Entry *e, uint32_t *sparedp)
{
	/* acquire: what its last user did with the data came before */
	uint32_t word = atomic_load_explicit(&e->word, memory_order_acquire);

	if ((word & PINS) != 0)
		return false;
	if ((word & UNLINKED) != 0 || *sparedp >= MAX_SPARED ||
		!atomic_load_explicit(&e->asked, memory_order_relaxed))
		return true;
	atomic_store_explicit(&e->asked, false, memory_order_relaxed);
	++*sparedp;
	return false;
}

/* A run of entries that may be taken, need units or more; false: none. */
static bool
find_run(Shard *s, uint32_t need, uint32_t *startp, uint32_t *endp)
{
	uint64_t budget = 2 * (uint64_t) s->nunits + need;
	uint32_t start = s->hand;
	uint32_t end = start;
	uint32_t spared = 0;

	while (end - start < need)
	{
		Entry *e;
		bool take;

		if (end == s->nunits)
			start = end = 0; /* a run does not go round */
		e = entry_at(s, end);
		take = may_take(e, &spared);
		end += e->units;
		if (!take)
			start = end;
		if (budget < e->units)
			return false;
		budget -= e->units;
	}
	*startp = start;
	*endp = end;
	return true;
}

/* A private entry of need units, with one pin; NULL: there is no room.  Lock
 * held exclusive. */
static Entry *
make_room(Shard *s, uint32_t need)
{
	uint32_t start, end;
	uint32_t shard_no;
	Entry *e;

	if (!find_run(s, need, &start, &end))
		return NULL;
	for (uint32_t unit = start; unit < end; unit += entry_at(s, unit)->units)
	{
		e = entry_at(s, unit);
		if ((atomic_load(&e->word) & UNLINKED) == 0)
			drop_entry(s, e);
	}
	e = entry_at(s, start);
	shard_no = e->shard;
	put_free(s, shard_no, start, need);
	if (start + need < end)
		put_free(s, shard_no, start + need, end - start - need);
	s->hand = start + need == s->nunits ? 0 : start + need;
	return e;
}

/* ---------------------------------------------------------- get and give */

/* Pin the entry of that name; with only, if it is that content of it. */
static bool
lookup(FlowEnv *env, Shard *s, const Name *name, const FlowCacheRef *only,
	   FlowCacheRef *ref)
{
	FlowCacheRef found = {0};
	Entry *e;

	env->lock_acquire(env, &s->lock, FLOW_LOCK_SHARED);
	e = find(s, name);
	if (e && (only == NULL || (e == only->entry && e->stamp == only->stamp)))
	{
		pin(s, e, &found);
		/* again is no new use: a scan that goes on through a piece does not
		 * make it worth keeping */
		if (only == NULL &&
			!atomic_load_explicit(&e->asked, memory_order_relaxed))
			atomic_store_explicit(&e->asked, true, memory_order_relaxed);
	}
	env->lock_release(env, &s->lock);
	*ref = found;
	return found.data != NULL;
}

static bool
get(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off, bool misses,
	FlowCacheRef *ref)
{
	FlowCache *cache = flowi_region_cache(env);
	Name name = name_of(space, file, off);
	Shard *s;
	bool found;

	*ref = (FlowCacheRef){0};
	if (cache == NULL)
		return false;
	s = shard_of(cache, &name);
	found = lookup(env, s, &name, NULL, ref);
	if (found || misses)
		atomic_fetch_add_explicit(found ? &s->hits : &s->misses, 1,
								  memory_order_relaxed);
	return found;
}

bool
flowi_cache_get(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off,
				FlowCacheRef *ref)
{
	return get(env, space, file, off, true, ref);
}

bool
flowi_cache_try(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off,
				FlowCacheRef *ref)
{
	return get(env, space, file, off, false, ref);
}

bool
flowi_cache_again(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off,
				  FlowCacheRef *ref)
{
	FlowCache *cache = flowi_region_cache(env);
	Name name = name_of(space, file, off);
	FlowCacheRef old = *ref;
	Shard *s;

	*ref = (FlowCacheRef){0};
	if (cache == NULL || old.entry == NULL)
		return false;
	FLOW_ASSERT(old.data == NULL);
	s = shard_of(cache, &name);
	/* old.entry is only compared: what lies there now may be anything */
	if (!lookup(env, s, &name, &old, ref))
		return false;
	atomic_fetch_add_explicit(&s->hits, 1, memory_order_relaxed);
	return true;
}

bool
flowi_cache_reserve(FlowEnv *env, uint64_t space, uint64_t file, uint64_t off,
					size_t bytes, FlowCacheRef *ref)
{
	FlowCache *cache = flowi_region_cache(env);
	Name name = name_of(space, file, off);
	Shard *s;
	Entry *e;
	size_t need;

	*ref = (FlowCacheRef){0};
	if (cache == NULL || bytes > UINT32_MAX - 2 * UNIT)
		return false;
	s = shard_of(cache, &name);
	need = (bytes + UNIT - 1) / UNIT + 1;
	if (need > s->nunits / 4)
		return false;
	env->lock_acquire(env, &s->lock, FLOW_LOCK_EXCLUSIVE);
	e = make_room(s, (uint32_t) need);
	if (e != NULL)
	{
		e->space = space;
		e->file = file;
		e->off = off;
		e->bytes = (uint32_t) bytes;
		e->stamp = ++s->stamp;
		pin(s, e, ref);
	}
	env->lock_release(env, &s->lock);
	return e != NULL;
}

void
flowi_cache_publish(FlowEnv *env, FlowCacheRef *ref)
{
	Entry *e = ref->entry;
	Name name;
	Shard *s;

	if (ref->data == NULL)
		return;
	FLOW_ASSERT(atomic_load(&e->word) == (UNLINKED | 1));
	name = name_of(e->space, e->file, e->off);
	s = shard_of(flowi_region_cache(env), &name);
	env->lock_acquire(env, &s->lock, FLOW_LOCK_EXCLUSIVE);
	if (find(s, &name) == NULL)
		link_entry(s, &name, e);
	env->lock_release(env, &s->lock);
}

void
flowi_cache_unpin(FlowEnv *env, FlowCacheRef *ref)
{
	Entry *e = ref->entry;
	Shard *s;
	uint32_t word;

	if (ref->data == NULL)
		return;
	s = &flowi_region_cache(env)->shard[e->shard];
	/* from here on the entry may be anybody's */
	word = atomic_fetch_sub_explicit(&e->word, 1, memory_order_acq_rel);
	FLOW_ASSERT((word & PINS) != 0);
	if ((word & PINS) == 1)
		atomic_fetch_sub_explicit(&s->pinned, 1, memory_order_relaxed);
	ref->data = NULL;
}

/* --------------------------------------------------------------- forget */

static void
forget_chain(Shard *s, uint32_t *place, uint64_t space, uint64_t file)
{
	while (*place != NO_ENTRY)
	{
		Entry *e = entry_at(s, *place);

		if (e->file == file && e->space == space)
			unlink_entry(s, place);
		else
			place = &e->next;
	}
}

/* Names are never used for other content, so this only makes room sooner;
 * the lock is given back now and then. */
void
flowi_cache_forget(FlowEnv *env, uint64_t space, uint64_t file)
{
	FlowCache *cache = flowi_region_cache(env);

	for (uint32_t i = 0; cache && i < cache->nshards; i++)
	{
		Shard *s = &cache->shard[i];
		uint32_t head = 0;

		while (head <= s->head_mask)
		{
			uint32_t until = FLOW_MIN(head + FORGET_HEADS, s->head_mask + 1);

			env->lock_acquire(env, &s->lock, FLOW_LOCK_EXCLUSIVE);
			for (; head < until; head++)
				forget_chain(s, &s->heads[head], space, file);
			env->lock_release(env, &s->lock);
		}
	}
}

/* ---------------------------------------------------------------- stats */

void
flowi_cache_stats(FlowEnv *env, FlowCacheStats *stats)
{
	FlowCache *cache = flowi_region_cache(env);

	*stats = (FlowCacheStats){0};
	for (uint32_t i = 0; cache && i < cache->nshards; i++)
	{
		Shard *s = &cache->shard[i];

		env->lock_acquire(env, &s->lock, FLOW_LOCK_SHARED);
		stats->bytes += s->bytes;
		stats->pieces += s->pieces;
		env->lock_release(env, &s->lock);
		stats->capacity += (uint64_t) s->nunits * UNIT;
		stats->pinned += atomic_load_explicit(&s->pinned, memory_order_relaxed);
		stats->hits += atomic_load_explicit(&s->hits, memory_order_relaxed);
		stats->misses += atomic_load_explicit(&s->misses, memory_order_relaxed);
	}
}

/* ---------------------------------------------------------------- check */

/* Do the entries tile the arena, with the hand between two of them, and is
 * what they say what the shard says? */
static bool
check_arena(const Shard *s, uint32_t shard_no)
{
	uint64_t bytes = 0;
	uint32_t pieces = 0;
	bool hand = false;
	uint32_t unit = 0;

	while (unit < s->nunits)
	{
		const Entry *e = entry_at(s, unit);

		hand |= unit == s->hand;
		if (e->units == 0 || e->units > s->nunits - unit ||
			e->shard != shard_no || e->stamp > s->stamp ||
			(uint64_t) e->bytes + UNIT > (uint64_t) e->units * UNIT)
			return false;
		if ((atomic_load(&e->word) & UNLINKED) == 0)
		{
			Name name = name_of(e->space, e->file, e->off);

			if (find(s, &name) != e)
				return false;
			pieces++;
			bytes += e->bytes;
		}
		unit += e->units;
	}
	return unit == s->nunits && hand && pieces == s->pieces &&
		   bytes == s->bytes;
}

/* Does the hash table have as many entries, all of them linked? */
static bool
check_chains(const Shard *s)
{
	uint32_t n = 0;

	for (uint32_t head = 0; head <= s->head_mask; head++)
		for (uint32_t unit = s->heads[head]; unit != NO_ENTRY;
			 unit = entry_at(s, unit)->next)
		{
			if (unit >= s->nunits || n == s->pieces ||
				(atomic_load(&entry_at(s, unit)->word) & UNLINKED) != 0)
				return false;
			n++;
		}
	return n == s->pieces;
}

bool
flowi_cache_check(FlowEnv *env)
{
	FlowCache *cache = flowi_region_cache(env);
	bool good = true;

	for (uint32_t i = 0; cache && i < cache->nshards; i++)
	{
		Shard *s = &cache->shard[i];

		env->lock_acquire(env, &s->lock, FLOW_LOCK_EXCLUSIVE);
		good = good && check_chains(s) && check_arena(s, i);
		env->lock_release(env, &s->lock);
	}
	return good;
}
