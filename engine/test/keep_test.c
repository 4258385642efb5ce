/*-------------------------------------------------------------------------
 * keep_test.c
 *	  The keep rule: each of its parts, and all of it against a naive model.
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <string.h>

#include "../env_posix.h"
#include "../judge.h"
#include "../keep.h"
#include "check.h"

static FlowEnv *env;

#define HORIZON 1000

/* ------------------------------------------------------------ short forms */

static FlowRec
rec_of(const char *key, int64_t ts, uint64_t seq, FlowOp op, int64_t expire_at)
{
	return (FlowRec){.key = (const uint8_t *) key,
					 .key_bytes = (uint32_t) strlen(key),
					 .ts = ts,
					 .seq = seq,
					 .op = (uint8_t) op,
					 .expire_at = expire_at,
					 .value = op == FLOW_PUT ? (const uint8_t *) "v" : NULL,
					 .value_bytes = op == FLOW_PUT};
}

static FlowTomb
tomb_of(const char *lo, const char *hi, int64_t ts_lo, int64_t ts_hi,
		uint64_t seq)
{
	return (FlowTomb){.rect = {.key_lo = (const uint8_t *) lo,
							   .key_lo_bytes = (uint32_t) strlen(lo),
							   .key_hi = (const uint8_t *) hi,
							   .key_hi_bytes = hi ? (uint32_t) strlen(hi) : 0,
							   .ts_lo = ts_lo,
							   .ts_hi = ts_hi},
					  .seq = seq};
}

static FlowSst
file_of(const char *lo, const char *hi, int64_t ts_min, int64_t ts_max,
		uint64_t seq_min)
{
	return (FlowSst){.info = {.records = 1,
							  .key_min = (const uint8_t *) lo,
							  .key_min_bytes = (uint32_t) strlen(lo),
							  .key_max = (const uint8_t *) hi,
							  .key_max_bytes = (uint32_t) strlen(hi),
							  .ts_min = ts_min,
							  .ts_max = ts_max,
							  .expire_max = FLOW_NEVER,
							  .seq_min = seq_min,
							  .seq_max = seq_min}};
}

static FlowKeepVerdict
judge(FlowKeeper *k, FlowRec rec, FlowFate fate)
{
	FlowKeepVerdict verdict;

	CHECK_OK(flowi_keep_rec(k, &rec, fate, &verdict));
	return verdict;
}

static bool
keeps_tomb(FlowKeeper *k, FlowTomb tomb, FlowFate fate)
{
	bool keep;

	CHECK_OK(flowi_keep_tomb(k, &tomb, fate, &keep));
	return keep;
}

#define PUT(key, ts, seq) rec_of(key, ts, seq, FLOW_PUT, FLOW_NEVER)
#define DEL(key, ts, seq) rec_of(key, ts, seq, FLOW_DELETE, FLOW_NEVER)
#define OLD(key, ts, seq) rec_of(key, ts, seq, FLOW_PUT, HORIZON)
#define YOUNG(key, ts, seq) rec_of(key, ts, seq, FLOW_PUT, HORIZON + 1)

/* -------------------------------------------------------------- the rules */

static void
test_versions(void)
{
	FlowKeeper k;

	flowi_keep_init(&k, env, NULL, 0, HORIZON);
	/* K1, and it hides nothing */
	CHECK(judge(&k, PUT("a", 1, 9), FLOW_FATE_ABORTED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, PUT("a", 1, 8), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	/* K2: an open one hides nothing, a settled one all that is older */
	CHECK(judge(&k, PUT("a", 1, 7), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("a", 1, 6), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, PUT("a", 1, 5), FLOW_FATE_OPEN) == FLOW_KEEP_DROP);
	/* another time, another key, and a key that begins like it */
	CHECK(judge(&k, PUT("a", 2, 5), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("ab", 2, 4), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("b", 2, 4), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	/* K4 */
	CHECK(judge(&k, PUT("c", 1, 9), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("c", 1, 9), FLOW_FATE_OPEN) == FLOW_KEEP_DROP);
	CHECK(judge(&k, PUT("c", 1, 8), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("c", 1, 8), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, PUT("c", 1, 7), FLOW_FATE_OPEN) == FLOW_KEEP_DROP);
	CHECK(k.dropped == 6 && k.expired == 0);
	flowi_keep_free(&k);
	check_passed("versions hide versions");
}

/* K3, with and without something below. */
static void
test_nothing_here(void)
{
	FlowSst files[] = {file_of("x", "z", 0, 9, 1), file_of("b", "d", 5, 7, 3)};
	FlowSst *below[] = {&files[0], &files[1]};
	FlowKeeper k;

	flowi_keep_init(&k, env, below, 2, HORIZON);
	/* nothing below: by key, by time, by sequence */
	CHECK(judge(&k, DEL("a", 6, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, OLD("b", 4, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, DEL("b", 8, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, DEL("b", 9, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, DEL("c", 6, 3), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, OLD("e", 6, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(k.expired == 2);
	/* what goes still hides what is older */
	CHECK(judge(&k, PUT("e", 6, 8), FLOW_FATE_OPEN) == FLOW_KEEP_DROP);
	/* on the edges, and in the middle */
	CHECK(judge(&k, DEL("b", 5, 4), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, DEL("d", 7, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, OLD("c", 6, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_TOMBSTONE);
	CHECK(judge(&k, PUT("c", 6, 8), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, DEL("y", 6, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(k.expired == 3);
	/* what has expired below needs nobody who hides it, what was deleted does */
	files[1].info.expire_max = HORIZON;
	CHECK(judge(&k, OLD("d", 6, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	CHECK(judge(&k, DEL("d", 7, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(k.expired == 4);
	/* also what has expired later; what still lives does */
	CHECK(judge(&k, rec_of("d", 6, 9, FLOW_PUT, HORIZON - 5),
				FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	files[1].info.expire_max = HORIZON + 1;
	CHECK(judge(&k, rec_of("d", 7, 9, FLOW_PUT, HORIZON - 5),
				FLOW_FATE_SETTLED) == FLOW_KEEP_TOMBSTONE);
	k.expired -= 2;
	/* not settled, or not yet expired */
	CHECK(judge(&k, DEL("f", 1, 9), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, OLD("f", 1, 8), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, YOUNG("f", 1, 7), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(k.expired == 4);
	/* a file of range tombstones only has nothing to come to light */
	files[0].info.records = 0;
	CHECK(judge(&k, DEL("y", 7, 9), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	flowi_keep_free(&k);
	check_passed("tombstones and expired rows");
}

/* K2 by range tombstones, and K5. */
static void
test_ranges(void)
{
	FlowSst file = file_of("m", "p", 10, 20, 5);
	FlowSst *below[] = {&file};
	FlowKeeper k;

	flowi_keep_init(&k, env, below, 1, HORIZON);
	CHECK(!keeps_tomb(&k, tomb_of("a", "b", 0, 9, 50), FLOW_FATE_SETTLED));
	CHECK(!keeps_tomb(&k, tomb_of("c", "d", 0, 9, 50), FLOW_FATE_ABORTED));
	CHECK(keeps_tomb(&k, tomb_of("e", "f", 0, 9, 50), FLOW_FATE_OPEN));
	CHECK(keeps_tomb(&k, tomb_of("a", NULL, 20, 99, 40), FLOW_FATE_SETTLED));
	CHECK(!keeps_tomb(&k, tomb_of("a", "m", 10, 20, 40), FLOW_FATE_SETTLED));
	CHECK(
		!keeps_tomb(&k, tomb_of("p\x01", NULL, 10, 20, 40), FLOW_FATE_SETTLED));
	CHECK(!keeps_tomb(&k, tomb_of("a", NULL, 21, 99, 40), FLOW_FATE_SETTLED));
	CHECK(!keeps_tomb(&k, tomb_of("a", NULL, 10, 20, 5), FLOW_FATE_SETTLED));
	CHECK(!keeps_tomb(&k, tomb_of("z", "y", 10, 20, 50), FLOW_FATE_OPEN));

	CHECK(judge(&k, PUT("a", 1, 51), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("a", 1, 50), FLOW_FATE_OPEN) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("a", 1, 49), FLOW_FATE_OPEN) == FLOW_KEEP_DROP);
	CHECK(judge(&k, PUT("c", 1, 49), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	CHECK(judge(&k, PUT("e", 1, 49), FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	/* a point tombstone under a range tombstone is not needed either */
	CHECK(judge(&k, DEL("n", 20, 39), FLOW_FATE_SETTLED) == FLOW_KEEP_DROP);
	flowi_keep_free(&k);
	check_passed("range tombstones");
}

/* --------------------------------------------------------------- horizon */

static int64_t answers[2];
static int asked;
static FlowDbShared shared;

/* The second answer may see a reader that the first did not. */
static int64_t
answer(FlowEnv *e)
{
	(void) e;
	if (asked == 1)
		CHECK(atomic_load(&shared.purge_horizon) >= answers[0]);
	return answers[asked++];
}

static int64_t
horizon_of(int64_t first, int64_t second)
{
	answers[0] = first;
	answers[1] = second;
	asked = 0;
	return flowi_keep_horizon(env, &shared);
}

static void
test_horizon(void)
{
	atomic_store(&shared.purge_horizon, INT64_MIN);
	env->expire_horizon = answer;
	CHECK(horizon_of(100, 110) == 100);
	CHECK(atomic_load(&shared.purge_horizon) == 100);
	CHECK(horizon_of(120, 90) == 90);
	CHECK(atomic_load(&shared.purge_horizon) == 120);
	CHECK(horizon_of(50, 60) == 50);
	CHECK(atomic_load(&shared.purge_horizon) == 120);
	/* a host that does not count: open scans hold it back */
	env->expire_horizon = NULL;
	for (int i = 0; i < FLOW_JUDGES; i++)
		atomic_store(&shared.judge[i], FLOW_NEVER);
	CHECK(flowi_keep_horizon(env, &shared) > 120);
	atomic_store(&shared.judge[FLOW_JUDGES - 1], 119);
	CHECK(flowi_keep_horizon(env, &shared) == 119);
	atomic_store(&shared.judges_more, 1);
	CHECK(flowi_keep_horizon(env, &shared) == INT64_MIN);
	check_passed("the horizon is told before it is used");
}

/* Readers that come and go while a flush asks. */
static void *
come_and_go(void *arg)
{
	_Atomic bool *stop = arg;

	while (!atomic_load(stop))
	{
		int32_t place;

		(void) flowi_judge_begin(env, &shared, 119, &place);
		flowi_judge_end(&shared, &place);
	}
	return NULL;
}

static void
test_horizon_beside_readers(void)
{
	_Atomic bool stop = false;
	pthread_t reader;

	for (int i = 0; i < FLOW_JUDGES; i++)
		atomic_store(&shared.judge[i], FLOW_NEVER);
	atomic_store(&shared.judges_more, 0);
	atomic_store(&shared.purge_horizon, INT64_MIN);
	CHECK(pthread_create(&reader, NULL, come_and_go, &stop) == 0);
	for (int i = 0; i < 200000; i++)
	{
		CHECK(flowi_keep_horizon(env, &shared) <= env->now_us(env));
		CHECK(atomic_load(&shared.purge_horizon) <= env->now_us(env));
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(reader, NULL) == 0);
	check_passed("readers that come and go put no horizon into the future");
}

/* ----------------------------------------------------------------- model */

#define MAX_ITEMS 14
#define MAX_FILES 3
#define KEYS 3
#define TIMES 3

/* A version or a range tombstone. */
typedef struct Item
{
	bool is_tomb;
	FlowRec rec;
	FlowTomb tomb;
	uint64_t seq;
	FlowFate fate;
	int open_bit; /* of an open one: which of the subsets' bits */
	int file;	  /* -1: in the merge */
} Item;

typedef struct World
{
	Item item[MAX_ITEMS];
	int n;
	int nopen;
} World;

static const char *const key_names[KEYS + 1] = {"a", "b", "c", "d"};

static void
make_item(CheckRandom *r, Item *it, uint64_t seq)
{
	uint64_t key = check_below(r, KEYS);

	memset(it, 0, sizeof(*it));
	it->seq = seq;
	it->is_tomb = check_below(r, 5) == 0;
	it->file = (int) check_below(r, MAX_FILES + 2) - 2;
	it->file = it->file < 0 ? -1 : it->file;
	if (it->is_tomb)
	{
		uint64_t to = key + check_below(r, KEYS - key + 1);
		int64_t lo = (int64_t) check_below(r, TIMES);

		it->tomb =
			tomb_of(key_names[key], check_below(r, 4) ? key_names[to] : NULL,
					lo, lo + (int64_t) check_below(r, 3) - 1, seq);
		return;
	}
	it->rec =
		rec_of(key_names[key], (int64_t) check_below(r, TIMES), seq,
			   check_below(r, 4) ? FLOW_PUT : FLOW_DELETE,
			   check_below(r, 3) ? FLOW_NEVER
								 : HORIZON - 1 + (int64_t) check_below(r, 4));
}

static void
make_world(CheckRandom *r, World *w)
{
	uint64_t mix = check_below(r, 3);

	w->n = 2 + (int) check_below(r, MAX_ITEMS - 1);
	w->nopen = 0;
	for (int i = 0; i < w->n; i++)
	{
		Item *it = &w->item[i];
		uint64_t fate = check_below(r, 6);

		make_item(r, it, 10 + (uint64_t) i);
		it->fate = fate == 0						 ? FLOW_FATE_ABORTED
				   : fate <= 1 + mix && w->nopen < 6 ? FLOW_FATE_OPEN
													 : FLOW_FATE_SETTLED;
		if (it->fate == FLOW_FATE_OPEN)
			it->open_bit = w->nopen++;
	}
}

static bool
sees(const Item *it, unsigned subset)
{
	return it->fate == FLOW_FATE_SETTLED ||
		   (it->fate == FLOW_FATE_OPEN && (subset >> it->open_bit & 1));
}

static bool
covers(const FlowRect *rect, const char *key, int64_t ts)
{
	return !flowi_rect_empty(rect) && rect->ts_lo <= ts && ts <= rect->ts_hi &&
		   flowi_rect_has_key(rect, (const uint8_t *) key,
							  (uint32_t) strlen(key));
}

/* The sequence of the live row that the reader sees, 0: none. */
static uint64_t
look_up(const World *w, unsigned subset, const char *key, int64_t ts,
		int64_t now)
{
	const Item *best = NULL;

	for (int i = 0; i < w->n; i++)
	{
		const Item *it = &w->item[i];

		if (!it->is_tomb && sees(it, subset) && it->rec.ts == ts &&
			*it->rec.key == (uint8_t) *key &&
			(best == NULL || it->seq > best->seq))
			best = it;
	}
	if (best == NULL || best->rec.op == FLOW_DELETE ||
		best->rec.expire_at <= now)
		return 0;
	for (int i = 0; i < w->n; i++)
	{
		const Item *it = &w->item[i];

		if (it->is_tomb && sees(it, subset) && it->seq > best->seq &&
			covers(&it->tomb.rect, key, ts))
			return 0;
	}
	return best->seq;
}

/* The files that are not merged, by what is in them. */
static uint32_t
make_below(const World *w, FlowSst *files, FlowSst **below)
{
	uint32_t n = 0;

	for (int f = 0; f < MAX_FILES; f++)
	{
		FlowSstInfo *info = &files[f].info;

		memset(&files[f], 0, sizeof(files[f]));
		info->seq_min = UINT64_MAX;
		info->ts_min = INT64_MAX;
		info->ts_max = INT64_MIN;
		info->expire_max = INT64_MIN;
		for (int i = 0; i < w->n; i++)
		{
			const Item *it = &w->item[i];

			if (it->file != f)
				continue;
			info->seq_min = FLOW_MIN(info->seq_min, it->seq);
			if (it->is_tomb)
				continue;
			info->ts_min = FLOW_MIN(info->ts_min, it->rec.ts);
			info->ts_max = FLOW_MAX(info->ts_max, it->rec.ts);
			if (it->rec.op == FLOW_PUT)
				info->expire_max =
					FLOW_MAX(info->expire_max, it->rec.expire_at);
			if (info->records == 0 || *it->rec.key < *info->key_min)
				info->key_min = it->rec.key;
			if (info->records == 0 || *it->rec.key > *info->key_max)
				info->key_max = it->rec.key;
			info->key_min_bytes = info->key_max_bytes = 1;
			info->records++;
		}
		if (info->seq_min != UINT64_MAX)
			below[n++] = &files[f];
	}
	return n;
}

static int
item_cmp(const void *pa, const void *pb)
{
	const Item *a = *(Item *const *) pa;
	const Item *b = *(Item *const *) pb;
	int c = flowi_identity_cmp(a->rec.key, a->rec.key_bytes, a->rec.ts,
							   b->rec.key, b->rec.key_bytes, b->rec.ts);

	return c ? c : (a->seq < b->seq) - (a->seq > b->seq);
}

/* The world after the merge. */
static void
merge_world(const World *w, World *after, uint64_t *dropped)
{
	FlowSst files[MAX_FILES];
	FlowSst *below[MAX_FILES];
	Item *recs[MAX_ITEMS];
	FlowKeeper k;
	World copy = *w;
	int nrecs = 0;

	after->n = 0;
	flowi_keep_init(&k, env, below, make_below(w, files, below), HORIZON);
	for (int i = 0; i < copy.n; i++)
	{
		Item *it = &copy.item[i];

		if (it->file >= 0 ||
			(it->is_tomb && keeps_tomb(&k, it->tomb, it->fate)))
			after->item[after->n++] = *it;
		else if (!it->is_tomb)
			recs[nrecs++] = it;
	}
	qsort(recs, (size_t) nrecs, sizeof(recs[0]), item_cmp);
	for (int i = 0; i < nrecs; i++)
	{
		FlowKeepVerdict verdict = judge(&k, recs[i]->rec, recs[i]->fate);

		if (verdict == FLOW_KEEP_DROP)
			continue;
		if (verdict == FLOW_KEEP_TOMBSTONE)
			recs[i]->rec = flowi_keep_tombstone(&recs[i]->rec);
		after->item[after->n++] = *recs[i];
	}
	*dropped += k.dropped;
	flowi_keep_free(&k);
}

static void
check_same(const World *before, const World *after)
{
	for (unsigned subset = 0; subset < 1u << before->nopen; subset++)
		for (int key = 0; key < KEYS; key++)
			for (int64_t ts = 0; ts < TIMES; ts++)
				for (int64_t now = HORIZON; now < HORIZON + 3; now++)
					CHECK(look_up(before, subset, key_names[key], ts, now) ==
						  look_up(after, subset, key_names[key], ts, now));
}

static void
test_model(CheckRandom *r)
{
	uint64_t items = 0, dropped = 0;

	for (int i = 0; i < 20000; i++)
	{
		World before, after;

		make_world(r, &before);
		merge_world(&before, &after, &dropped);
		check_same(&before, &after);
		items += (uint64_t) before.n;
	}
	printf("# %" PRIu64 " of %" PRIu64 " left out\n", dropped, items);
	CHECK(dropped > items / 10);
	check_passed("no reader sees a difference");
}

static void
test_no_memory(void)
{
	FlowKeeper k;
	FlowKeepVerdict verdict;
	FlowRec rec = PUT("a", 1, 1);

	flowi_keep_init(&k, env, NULL, 0, HORIZON);
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 1, 0);
	CHECK_STATUS(flowi_keep_rec(&k, &rec, FLOW_FATE_SETTLED, &verdict),
				 FLOW_NOMEM);
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 0, 0);
	CHECK(judge(&k, rec, FLOW_FATE_SETTLED) == FLOW_KEEP_WRITE);
	flowi_keep_free(&k);
	check_passed("no memory");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	test_versions();
	test_nothing_here();
	test_ranges();
	test_horizon();
	test_horizon_beside_readers();
	test_model(&r);
	test_no_memory();
	flow_env_posix_free(env);
	return 0;
}
