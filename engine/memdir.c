/*-------------------------------------------------------------------------
 * memdir.c
 *	  The series of a memtable: a hash to find one, an order to walk them.
 *
 * The order is a skiplist, touched once a series, not once a row.
 *
 * The hash grows by one bucket with each series (linear hashing: Litwin,
 * VLDB 1980), and nothing that a reader walks is ever moved.  That is because
 * each bucket's chain is sorted by the hash, of which the leading bits, from
 * the highest down, name the bucket (split-ordered lists: Shalev and Shavit,
 * JACM 53, 2006).  The upper half of a bucket's range is the end of its
 * chain: to split it is to let a new bucket point there:
 *
 *	 bucket 0   -> 00.. -> 01.. -> 10.. -> 11..
 *	 bucket 01b ------------------^		(bits of the number reversed)
 *
 * The old chain still leads into the new bucket's, but for what is put in
 * front of that from now on.  So who goes by an older number of buckets finds
 * what was there when that number was.
 *
 * Buckets are in segments that stay where they are.  When there are as many
 * as can be the chains get longer.
 *
 * Keeps: I35.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

#include <xxhash.h>

#define FIRST_BUCKETS 16u
#define MAX_SERIES (1u << 31)
#define MAX_BUCKETS (FLOW_MEM_SEGMENTS * FLOW_MEM_SEGMENT_BUCKETS)

/* ----------------------------------------------------------------- order */

static inline bool
series_before(const FlowSkipLink *node, const void *place)
{
	const FlowMemSeries *s = flowi_memseries_of(node);
	const FlowMemPlace *at = place;

	if (s->store_id != at->store_id)
		return s->store_id < at->store_id;
	if (at->edge != 0)
		return at->edge > 0;
	return flowi_key_cmp(flowi_memseries_key(s), s->key_bytes, at->key,
						 at->key_bytes) < 0;
}

static inline FlowMemSeries *
series_or_null(const FlowSkipLink *node)
{
	return node ? flowi_memseries_of(node) : NULL;
}

FlowMemSeries *
flowi_memdir_seek(FlowMemtable *mt, FlowSplice *splice,
				  const FlowMemPlace *place)
{
	return series_or_null(flowi_skip_find(mt->dir.order, FLOW_SKIP_HEIGHT,
										  splice, series_before, place));
}

void
flowi_memdir_back(FlowMemtable *mt, FlowSplice *splice,
				  const FlowMemPlace *place)
{
	(void) flowi_skip_retreat(mt->dir.order, FLOW_SKIP_HEIGHT, splice,
							  series_before, place);
}

FlowMemSeries *
flowi_memdir_before(const FlowMemtable *mt, const FlowSplice *splice)
{
	const FlowSkipLink *prev = splice->prev[0];

	return prev == mt->dir.order ? NULL : flowi_memseries_of(prev);
}

/* ------------------------------------------------------------------ hash */

uint32_t
flowi_memdir_hash(const FlowMemtable *mt, uint32_t store_id, const uint8_t *key,
				  uint32_t key_bytes)
{
	return (uint32_t) XXH3_64bits_withSeed(key, key_bytes,
										   mt->dir.seed + store_id);
}

static inline uint32_t
reverse_bits(uint32_t x)
{
	x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
	x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
	return __builtin_bswap32(x);
}

static inline _Atomic(FlowMemSeries *) *
bucket(FlowMemDir *dir, uint32_t no)
{
	return &dir->segment[no / FLOW_MEM_SEGMENT_BUCKETS]
						[no % FLOW_MEM_SEGMENT_BUCKETS];
}

/* The highest bit that is set; x > 0. */
static inline uint32_t
high_bit(uint32_t x)
{
	return 1u << (31 - __builtin_clz(x));
}

/* The bucket of a hash, of n > 1. */
static inline _Atomic(FlowMemSeries *) *
bucket_of(FlowMemDir *dir, uint32_t hash, uint32_t n)
{
	uint32_t high = high_bit(n - 1);
	uint32_t no = reverse_bits(hash) & (2 * high - 1);

	return bucket(dir, no < n ? no : no & (high - 1));
}

static inline FlowMemSeries *
follow(_Atomic(FlowMemSeries *) *link)
{
	return atomic_load_explicit(link, memory_order_acquire);
}

_Atomic(FlowMemSeries *) *
flowi_memdir_bucket(FlowMemtable *mt, uint32_t hash)
{
	return bucket_of(
		&mt->dir, hash,
		atomic_load_explicit(&mt->dir.nbuckets, memory_order_relaxed));
}

FlowMemSeries *
flowi_memdir_find(FlowMemtable *mt, uint32_t hash, uint32_t store_id,
				  const uint8_t *key, uint32_t key_bytes)
{
	FlowMemDir *dir = &mt->dir;
	/* acquire: of that many the segments are there */
	uint32_t n = atomic_load_explicit(&dir->nbuckets, memory_order_acquire);
	FlowMemSeries *s = follow(bucket_of(dir, hash, n));

	while (s != NULL && s->hash < hash)
		s = follow(&s->chain);
	for (; s != NULL && s->hash == hash; s = follow(&s->chain))
		if (flowi_memseries_is(s, store_id, key, key_bytes))
			return s;
	return NULL;
}

/* One bucket more: the upper half of one that there is. */
static void
split_bucket(FlowMemDir *dir)
{
	uint32_t no = atomic_load_explicit(&dir->nbuckets, memory_order_relaxed);
	uint32_t begin = reverse_bits(no);
	FlowMemSeries *s = follow(bucket(dir, no & ~high_bit(no)));

	while (s != NULL && s->hash < begin)
		s = follow(&s->chain);
	atomic_init(bucket(dir, no), s);
	atomic_store_explicit(&dir->nbuckets, no + 1, memory_order_release);
}

static void
link_into_hash(FlowMemDir *dir, FlowMemSeries *s)
{
	uint32_t n = atomic_load_explicit(&dir->nbuckets, memory_order_relaxed);
	_Atomic(FlowMemSeries *) *at = bucket_of(dir, s->hash, n);
	FlowMemSeries *next;

	while ((next = follow(at)) != NULL && next->hash < s->hash)
		at = &next->chain;
	atomic_store_explicit(&s->chain, next, memory_order_relaxed);
	atomic_store_explicit(at, s, memory_order_release);
	dir->nseries++;
	if (dir->nseries > n && n < dir->nsegments * FLOW_MEM_SEGMENT_BUCKETS)
		split_bucket(dir);
}

static bool
add_segment(FlowEnv *env, FlowMemtable *mt)
{
	FlowMemDir *dir = &mt->dir;
	void *segment = flowi_arena_alloc(
		env, &mt->arena, FLOW_MEM_SEGMENT_BUCKETS * sizeof(**dir->segment));

	if (segment == NULL)
		return false;
	dir->segment[dir->nsegments++] = segment;
	return true;
}

bool
flowi_memdir_init(FlowEnv *env, FlowMemtable *mt)
{
	FlowMemDir *dir = &mt->dir;

	dir->seed = (uint64_t) env->ticks_us(env);
	if (!add_segment(env, mt))
		return false;
	for (uint32_t i = 0; i < FIRST_BUCKETS; i++)
		atomic_init(bucket(dir, i), NULL);
	atomic_init(&dir->nbuckets, FIRST_BUCKETS);
	dir->linked_segments = dir->nsegments;
	return true;
}

/* ---------------------------------------------------------------- staging */

FlowMemSeries *
flowi_memdir_staged(FlowMemtable *mt, FlowSplice *splice, bool anew,
					const FlowMemPlace *place)
{
	FlowMemSeries *s;

	if (anew)
		(void) flowi_skip_find(mt->dir.staged, FLOW_SKIP_HEIGHT, splice,
							   series_before, place);
	else
		flowi_skip_advance(FLOW_SKIP_HEIGHT, splice, series_before, place);
	s = series_or_null(flowi_skip_next(splice->prev[0], 0));
	if (s != NULL &&
		flowi_memseries_is(s, place->store_id, place->key, place->key_bytes))
		return s;
	return NULL;
}

bool
flowi_memdir_stage(FlowEnv *env, FlowMemtable *mt, FlowSplice *splice,
				   FlowMemSeries *s)
{
	FlowMemDir *dir = &mt->dir;
	uint32_t want = dir->nseries + dir->nstaged + 1;

	if (want > MAX_SERIES ||
		(want > dir->nsegments * FLOW_MEM_SEGMENT_BUCKETS &&
		 want <= MAX_BUCKETS && !add_segment(env, mt)))
		return false;
	flowi_skip_link(splice, s->next, s->height);
	dir->nstaged++;
	return true;
}

static void
forget_staged(FlowMemDir *dir)
{
	if (dir->nstaged == 0)
		return;
	for (uint32_t i = 0; i < FLOW_SKIP_HEIGHT; i++)
		atomic_store_explicit(&dir->staged[i], NULL, memory_order_relaxed);
	dir->nstaged = 0;
}

void
flowi_memdir_unstage(FlowMemtable *mt)
{
	forget_staged(&mt->dir);
	mt->dir.nsegments = mt->dir.linked_segments;
}

void
flowi_memdir_link(FlowMemtable *mt)
{
	FlowMemDir *dir = &mt->dir;
	FlowSkipLink *node = flowi_skip_next(dir->staged, 0);
	FlowSplice splice;

	for (bool anew = true; node != NULL; anew = false)
	{
		FlowSkipLink *following = flowi_skip_next(node, 0);
		FlowMemSeries *s = flowi_memseries_of(node);
		FlowMemPlace place = flowi_memplace_of(s);

		if (anew)
			(void) flowi_memdir_seek(mt, &splice, &place);
		else
			flowi_skip_advance(FLOW_SKIP_HEIGHT, &splice, series_before,
							   &place);
		flowi_memrun_publish(s);
		flowi_memlate_link(s);
		flowi_skip_link(&splice, node, s->height);
		/* then: who finds it there goes on from it in the order */
		link_into_hash(dir, s);
		node = following;
	}
	forget_staged(dir);
	dir->linked_segments = dir->nsegments;
}
