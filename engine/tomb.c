/*-------------------------------------------------------------------------
 * tomb.c
 *	  A set of range tombstones that tells the newest one over a place.
 *
 * The keys of all rectangles cut the keys into places, between one bound and
 * the next; what covers one key of a place covers all of it.  Over the places
 * stands a segment tree: a rectangle is noted at the few nodes (at most two a
 * level) that make up its places together, so what covers a place is noted on
 * the path from its leaf up.  The rectangles of one node differ in time and
 * sequence only; they are kept as steps, the newest sequence from each time
 * on to the next:
 *
 *	 bounds      b0    b1    b2              a node's steps
 *	 places   0  |  1  |  2  |  3            ts    MIN   10   20   30
 *	 leaves  size+0 ..      size+3           seq     0   77   55    0
 *
 * So n rectangles take O(n log n) memory and time to arrange, however they
 * overlap, and a question about a new place costs a walk up the path with a
 * binary search at each node that has something.  Questions come in the order
 * of a scan, mostly about the place before and the same times: then the last
 * answer is given again.
 *-------------------------------------------------------------------------
 */
#include "tomb.h"

#include <stdlib.h>

typedef struct TombEntry
{
	size_t lo_off; /* in set->keys */
	size_t hi_off;
	uint32_t lo_bytes;
	uint32_t hi_bytes;
	bool open;
	int64_t ts_lo;
	int64_t ts_hi;
	uint64_t seq;
} TombEntry;

typedef struct TombBound
{
	const uint8_t *key; /* in set->keys */
	uint32_t bytes;
} TombBound;

/* From ts on, until the node's next step; seq 0: nothing there. */
typedef struct TombStep
{
	int64_t ts;
	uint64_t seq;
} TombStep;

/* ------------------------------------------------------------- the lists */

static TombEntry *
entries(const FlowTombSet *set)
{
	return (TombEntry *) (void *) set->entries.data;
}

static TombBound *
bounds(const FlowTombSet *set)
{
	return (TombBound *) (void *) set->bounds.data;
}

static uint32_t *
firsts(const FlowTombSet *set)
{
	return (uint32_t *) (void *) set->first.data;
}

static TombStep *
steps(const FlowTombSet *set)
{
	return (TombStep *) (void *) set->steps.data;
}

void
flowi_tombs_init(FlowTombSet *set, FlowEnv *env)
{
	memset(set, 0, sizeof(*set));
	set->env = env;
	flowi_buf_init(&set->keys, env);
	flowi_buf_init(&set->entries, env);
	flowi_buf_init(&set->bounds, env);
	flowi_buf_init(&set->first, env);
	flowi_buf_init(&set->steps, env);
}

void
flowi_tombs_reset(FlowTombSet *set)
{
	set->n = 0;
	set->arranged = false;
	set->has_place = false;
	set->keys.len = 0;
	set->entries.len = 0;
}

void
flowi_tombs_free(FlowTombSet *set)
{
	flowi_tombs_reset(set);
	flowi_buf_free(&set->keys);
	flowi_buf_free(&set->entries);
	flowi_buf_free(&set->bounds);
	flowi_buf_free(&set->first);
	flowi_buf_free(&set->steps);
}

FlowStatus
flowi_tombs_add(FlowTombSet *set, const FlowTomb *tomb)
{
	const FlowRect *r = &tomb->rect;
	TombEntry e = {.lo_off = set->keys.len,
				   .hi_off = set->keys.len + r->key_lo_bytes,
				   .lo_bytes = r->key_lo_bytes,
				   .hi_bytes = r->key_hi ? r->key_hi_bytes : 0,
				   .open = r->key_hi == NULL,
				   .ts_lo = r->ts_lo,
				   .ts_hi = r->ts_hi,
				   .seq = tomb->seq};

	if (flowi_rect_empty(r))
		return FLOW_OK;
	if (set->n >= UINT32_MAX / 256)
		return flowi_fail(FLOW_NOMEM, "too many range tombstones");
	/* also when there is not a byte: bounds want a pointer */
	FLOW_TRY(flowi_buf_reserve(&set->keys, e.lo_bytes + e.hi_bytes + 1u));
	FLOW_TRY(flowi_buf_append(&set->entries, &e, sizeof(e)));
	if (e.lo_bytes > 0)
		FLOW_TRY(flowi_buf_append(&set->keys, r->key_lo, e.lo_bytes));
	if (e.hi_bytes > 0)
		FLOW_TRY(flowi_buf_append(&set->keys, r->key_hi, e.hi_bytes));
	set->n++;
	set->arranged = false;
	set->has_place = false;
	return FLOW_OK;
}

/* -------------------------------------------------------------- arranging */

static int
newest_first(const void *a, const void *b)
{
	const TombEntry *x = a;
	const TombEntry *y = b;

	return (x->seq < y->seq) - (x->seq > y->seq);
}

static int
bound_cmp(const void *a, const void *b)
{
	const TombBound *x = a;
	const TombBound *y = b;

	return flowi_key_cmp(x->key, x->bytes, y->key, y->bytes);
}

/* Sort the keys of all rectangles, each once. */
static FlowStatus
make_bounds(FlowTombSet *set)
{
	TombBound *b;
	uint32_t n = 0;
	uint32_t kept = 0;

	set->bounds.len = 0;
	FLOW_TRY(flowi_buf_reserve(&set->bounds, 2 * sizeof(*b) * set->n));
	b = bounds(set);
	for (uint32_t i = 0; i < set->n; i++)
	{
		const TombEntry *e = &entries(set)[i];

		b[n++] = (TombBound){set->keys.data + e->lo_off, e->lo_bytes};
		if (!e->open)
			b[n++] = (TombBound){set->keys.data + e->hi_off, e->hi_bytes};
	}
	qsort(b, n, sizeof(*b), bound_cmp);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || bound_cmp(&b[kept - 1], &b[i]) != 0)
			b[kept++] = b[i];
	set->nbounds = kept;
	return FLOW_OK;
}

/* The place of key: how many bounds are at or before it. */
static uint32_t
place_of(const FlowTombSet *set, const uint8_t *key, uint32_t key_bytes)
{
	const TombBound *b = bounds(set);
	uint32_t lo = 0;
	uint32_t hi = set->nbounds;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (flowi_key_cmp(b[mid].key, b[mid].bytes, key, key_bytes) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t
nplaces(const FlowTombSet *set)
{
	return set->nbounds + 1;
}

/* The nodes that make up an entry's places; their number, at most 64. */
static uint32_t
nodes_of(const FlowTombSet *set, const TombEntry *e, uint32_t node[64])
{
	const uint8_t *keys = set->keys.data;
	uint32_t size = nplaces(set);
	uint32_t l = size + place_of(set, keys + e->lo_off, e->lo_bytes);
	uint32_t r = 2 * size;
	uint32_t n = 0;

	if (!e->open)
		r = size + place_of(set, keys + e->hi_off, e->hi_bytes);
	for (; l < r; l /= 2, r /= 2)
	{
		if (l & 1)
			node[n++] = l++;
		if (r & 1)
			node[n++] = --r;
	}
	return n;
}

/*
 * Which entries are noted at which node, newest first: list holds the numbers
 * of node's at [start[node], start[node + 1]).
 */
static FlowStatus
make_lists(const FlowTombSet *set, FlowBuf *starts, FlowBuf *lists)
{
	uint32_t nnodes = 2 * nplaces(set);
	size_t bytes = (nnodes + 2) * sizeof(uint32_t);
	uint32_t node[64];
	uint32_t *start, *list;

	FLOW_TRY(flowi_buf_reserve(starts, bytes));
	start = (uint32_t *) (void *) starts->data;
	memset(start, 0, bytes);
	/* count, two places ahead; sum up, one place ahead; then fill */
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = nodes_of(set, &entries(set)[i], node); k-- > 0;)
			start[node[k] + 2]++;
	for (uint32_t i = 2; i < nnodes + 2; i++)
		start[i] += start[i - 1];
	FLOW_TRY(flowi_buf_reserve(lists, (start[nnodes + 1] + 1) * sizeof(*list)));
	list = (uint32_t *) (void *) lists->data;
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = nodes_of(set, &entries(set)[i], node); k-- > 0;)
			list[start[node[k] + 1]++] = i;
	return FLOW_OK;
}

static int
time_cmp(const void *a, const void *b)
{
	int64_t x = ((const TombStep *) a)->ts;
	int64_t y = ((const TombStep *) b)->ts;

	return (x > y) - (x < y);
}

/* The last of n steps that begins at or before ts; the first always does. */
static uint32_t
step_at(const TombStep *s, uint32_t n, int64_t ts)
{
	uint32_t lo = 0;

	while (n - lo > 1)
	{
		uint32_t mid = lo + (n - lo) / 2;

		if (s[mid].ts <= ts)
			lo = mid;
		else
			n = mid;
	}
	return lo;
}

/* Where the times of the listed entries begin and end, in order, each once;
 * their number. */
static uint32_t
make_times(const FlowTombSet *set, const uint32_t *list, uint32_t nlist,
		   TombStep *s)
{
	uint32_t n = 0;
	uint32_t kept = 0;

	s[n++] = (TombStep){INT64_MIN, 0};
	for (uint32_t i = 0; i < nlist; i++)
	{
		const TombEntry *e = &entries(set)[list[i]];

		s[n++] = (TombStep){e->ts_lo, 0};
		if (e->ts_hi < INT64_MAX)
			s[n++] = (TombStep){e->ts_hi + 1, 0};
	}
	qsort(s, n, sizeof(*s), time_cmp);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || s[kept - 1].ts != s[i].ts)
			s[kept++] = s[i];
	return kept;
}

/*
 * Set the steps' sequences: the newest entry first, each where no one was
 * before.  next: n + 1 numbers; from a step to the first behind it, itself
 * included, that has none.
 */
static void
paint(const FlowTombSet *set, const uint32_t *list, uint32_t nlist, TombStep *s,
	  uint32_t n, uint32_t *next)
{
	for (uint32_t i = 0; i <= n; i++)
		next[i] = i;
	for (uint32_t i = 0; i < nlist; i++)
	{
		const TombEntry *e = &entries(set)[list[i]];
		uint32_t at = step_at(s, n, e->ts_lo);

		for (;;)
		{
			while (next[at] != at) /* halving the way for those to come */
				at = next[at] = next[next[at]];
			if (at == n || s[at].ts > e->ts_hi)
				break;
			s[at].seq = e->seq;
			next[at] = at + 1;
		}
	}
}

/* Append the steps of a node where the listed entries, one at least, are
 * noted. */
static FlowStatus
make_node(FlowTombSet *set, const uint32_t *list, uint32_t nlist,
		  FlowBuf *scratch)
{
	uint32_t most = 2 * nlist + 1;
	uint32_t n, kept = 0;
	TombStep *s;

	FLOW_TRY(flowi_buf_reserve(&set->steps, most * sizeof(*s)));
	FLOW_TRY(flowi_buf_reserve(scratch, (most + 1) * sizeof(uint32_t)));
	s = (TombStep *) (void *) (set->steps.data + set->steps.len);
	n = make_times(set, list, nlist, s);
	paint(set, list, nlist, s, n, (uint32_t *) (void *) scratch->data);
	for (uint32_t i = 0; i < n; i++)
		if (kept == 0 || s[kept - 1].seq != s[i].seq)
			s[kept++] = s[i];
	set->steps.len += kept * sizeof(*s);
	return FLOW_OK;
}

/* How many of a node's entries matter: none behind one of all times. */
static uint32_t
that_matter(const FlowTombSet *set, const uint32_t *list, uint32_t nlist)
{
	for (uint32_t i = 0; i < nlist; i++)
	{
		const TombEntry *e = &entries(set)[list[i]];

		if (e->ts_lo == INT64_MIN && e->ts_hi == INT64_MAX)
			return i + 1;
	}
	return nlist;
}

/* Steps of all nodes, from the lists. */
static FlowStatus
make_steps(FlowTombSet *set, const uint32_t *start, const uint32_t *list,
		   FlowBuf *scratch)
{
	uint32_t nnodes = 2 * nplaces(set);

	set->first.len = 0;
	set->steps.len = 0;
	FLOW_TRY(flowi_buf_reserve(&set->first, (nnodes + 1) * sizeof(uint32_t)));
	for (uint32_t i = 0; i < nnodes; i++)
	{
		const uint32_t *l = list + start[i];
		uint32_t n = that_matter(set, l, start[i + 1] - start[i]);

		firsts(set)[i] = (uint32_t) (set->steps.len / sizeof(TombStep));
		if (n > 0)
			FLOW_TRY(make_node(set, l, n, scratch));
	}
	firsts(set)[nnodes] = (uint32_t) (set->steps.len / sizeof(TombStep));
	return FLOW_OK;
}

static FlowStatus
arrange(FlowTombSet *set)
{
	FlowBuf starts, lists, scratch;
	FlowStatus st = FLOW_OK;

	flowi_buf_init(&starts, set->env);
	flowi_buf_init(&lists, set->env);
	flowi_buf_init(&scratch, set->env);
	qsort(entries(set), set->n, sizeof(TombEntry), newest_first);
	FLOW_GOTO(make_bounds(set));
	FLOW_GOTO(make_lists(set, &starts, &lists));
	FLOW_GOTO(make_steps(set, (const uint32_t *) (void *) starts.data,
						 (const uint32_t *) (void *) lists.data, &scratch));
	set->arranged = true;
out:
	flowi_buf_free(&starts);
	flowi_buf_free(&lists);
	flowi_buf_free(&scratch);
	return st;
}

/* -------------------------------------------------------------- questions */

static bool
is_in_place(const FlowTombSet *set, uint32_t place, const uint8_t *key,
			uint32_t key_bytes)
{
	const TombBound *b = bounds(set);

	return (place == 0 || flowi_key_cmp(b[place - 1].key, b[place - 1].bytes,
										key, key_bytes) <= 0) &&
		   (place == set->nbounds ||
			flowi_key_cmp(key, key_bytes, b[place].key, b[place].bytes) < 0);
}

/* Go to key's place, which is often a neighbour of the last one. */
static void
go_to_place(FlowTombSet *set, const uint8_t *key, uint32_t key_bytes)
{
	uint32_t at = set->place;

	if (set->has_place && at < set->nbounds &&
		is_in_place(set, at + 1, key, key_bytes))
		at++;
	else if (set->has_place && at > 0 &&
			 is_in_place(set, at - 1, key, key_bytes))
		at--;
	else
		at = place_of(set, key, key_bytes);
	set->place = at;
	set->has_place = true;
	set->npath = 0;
	for (uint32_t node = at + nplaces(set); node > 0; node /= 2)
		if (firsts(set)[node] < firsts(set)[node + 1])
			set->path[set->npath++] = node;
	/* no answer yet */
	set->ts_lo = INT64_MAX;
	set->ts_hi = INT64_MIN;
}

/* The newest at ts on the path, and the times around ts that it holds for. */
static void
answer(FlowTombSet *set, int64_t ts)
{
	set->ts_lo = INT64_MIN;
	set->ts_hi = INT64_MAX;
	set->seq = 0;
	for (uint32_t i = 0; i < set->npath; i++)
	{
		uint32_t first = firsts(set)[set->path[i]];
		uint32_t n = firsts(set)[set->path[i] + 1] - first;
		const TombStep *s = steps(set) + first;
		uint32_t at = step_at(s, n, ts);

		set->seq = FLOW_MAX(set->seq, s[at].seq);
		set->ts_lo = FLOW_MAX(set->ts_lo, s[at].ts);
		if (at + 1 < n)
			set->ts_hi = FLOW_MIN(set->ts_hi, s[at + 1].ts - 1);
	}
}

FlowStatus
flowi_tombs_newest(FlowTombSet *set, const uint8_t *key, uint32_t key_bytes,
				   int64_t ts, uint64_t *seqp)
{
	*seqp = 0;
	if (set->n == 0)
		return FLOW_OK;
	if (!set->arranged)
		FLOW_TRY(arrange(set));
	if (!set->has_place || !is_in_place(set, set->place, key, key_bytes))
		go_to_place(set, key, key_bytes);
	if (ts < set->ts_lo || ts > set->ts_hi)
		answer(set, ts);
	*seqp = set->seq;
	return FLOW_OK;
}

FlowRect
flowi_tombs_extent(const FlowTombSet *set)
{
	const TombBound *b = bounds(set);
	FlowRect r = {.key_lo = (const uint8_t *) "",
				  .ts_lo = set->ts_lo,
				  .ts_hi = set->ts_hi};

	FLOW_ASSERT(set->has_place);
	if (set->place > 0)
	{
		r.key_lo = b[set->place - 1].key;
		r.key_lo_bytes = b[set->place - 1].bytes;
	}
	if (set->place < set->nbounds)
	{
		r.key_hi = b[set->place].key;
		r.key_hi_bytes = b[set->place].bytes;
	}
	return r;
}
