/*-------------------------------------------------------------------------
 * split.c
 *	  Cut the bounds of a scan into parts of about equal rows.
 *
 * Rows are sorted by (key, ts), but bounds are a rectangle: keys from .. to,
 * times from .. to.  So that each part is one, a cut goes between two keys;
 * only a key that has more rows than a part should have is a part, or several,
 * of its own, which times separate.
 *
 * Samples (sample.c) say where the rows are.  They may be wrong in any way:
 * the parts are together what the bounds are all the same.
 *-------------------------------------------------------------------------
 */
#include "sample.h"

#define PART_ROWS 1024.0 /* less is not worth a scan of its own */
#define PART_SAMPLES 16u /* a part */
#define BIG_KEY 1.5		 /* times the rows of a part: cut by times */
#define KEY_ROOM (FLOW_SAMPLE_KEY + 1) /* and a zero byte */

/* The rows from here on belong to the next part. */
typedef struct Edge
{
	const uint8_t *key;
	uint32_t key_bytes;
	bool timed; /* of that key those from ts on; else all of it */
	int64_t ts;
} Edge;

typedef struct Split
{
	FlowSamples samples;
	const FlowScanSpec *spec;
	double per;	  /* rows of a part */
	double rows;  /* before the sample that is looked at */
	double due;	  /* the next part begins when there are so many */
	uint32_t cap; /* edges there may be */
	uint32_t n;
	Edge *edge;
	FlowParts *parts; /* and behind its parts, memory of keys */
	uint8_t *room;	  /* the next key's */
} Split;

/* ------------------------------------------------------------------ edges */

/* Is there anything within the bounds before such an edge and behind it? */
static bool
cuts(const Split *s, const uint8_t *key, uint32_t key_bytes)
{
	const FlowKeyBound *lo = &s->spec->key_lo;
	const Edge *last = s->n > 0 ? &s->edge[s->n - 1] : NULL;
	int c;

	if (lo->kind == FLOW_OPEN)
		c = key_bytes > 0 ? 1 : 0;
	else
		c = flowi_key_cmp(key, key_bytes, lo->key, (uint32_t) lo->key_bytes);
	if (c <= 0 || flowi_spec_behind(s->spec, key, key_bytes))
		return false;
	return last == NULL ||
		   flowi_key_cmp(last->key, last->key_bytes, key, key_bytes) < 0;
}

static void
add_edge(Split *s, Edge edge)
{
	if (s->n < s->cap)
		s->edge[s->n++] = edge;
}

/* An edge before all rows of the key; behind: behind them. */
static void
cut_at_key(Split *s, const FlowSample *at, bool behind)
{
	uint32_t key_bytes = at->key_bytes + behind;

	if (s->n == s->cap)
		return;
	if (at->key_bytes > 0)
		memcpy(s->room, at->key, at->key_bytes);
	if (behind)
		s->room[at->key_bytes] = 0;
	if (s->samples.one_key || !cuts(s, s->room, key_bytes))
		return;
	add_edge(s, (Edge){.key = s->room, .key_bytes = key_bytes});
	s->room += key_bytes;
}

static void
cut_at_time(Split *s, const uint8_t *key, const FlowSample *at)
{
	const Edge *last = s->n > 0 ? &s->edge[s->n - 1] : NULL;

	if (at->ts > s->samples.ts_lo && at->ts <= s->samples.ts_hi &&
		!(last && last->timed && last->key == key &&
		  last->key_bytes == at->key_bytes && last->ts >= at->ts))
		add_edge(s, (Edge){.key = key,
						   .key_bytes = at->key_bytes,
						   .timed = true,
						   .ts = at->ts});
}

/* The samples from .. to are of one key that has many rows. */
static void
cut_big_key(Split *s, uint32_t from, uint32_t to)
{
	const FlowSample *sample = s->samples.sample;
	const uint8_t *key = s->room;

	/* a copy for its edges by time */
	if (sample[from].key_bytes > 0)
		memcpy(s->room, sample[from].key, sample[from].key_bytes);
	s->room += sample[from].key_bytes;
	cut_at_key(s, &sample[from], false);
	s->due = s->rows + s->per;
	for (uint32_t i = from; i < to; i++)
	{
		if (s->rows >= s->due)
		{
			cut_at_time(s, key, &sample[i]);
			s->due = s->rows + s->per;
		}
		s->rows += sample[i].rows;
	}
	cut_at_key(s, &sample[from], true);
	s->due = s->rows + s->per;
}

static void
cut_all(Split *s)
{
	const FlowSample *sample = s->samples.sample;
	uint32_t to;

	s->due = s->per;
	for (uint32_t from = 0; from < s->samples.n; from = to)
	{
		const FlowSample *first = &sample[from];
		double rows = 0;

		for (to = from;
			 to < s->samples.n && first->whole && sample[to].whole &&
			 flowi_key_cmp(first->key, first->key_bytes, sample[to].key,
						   sample[to].key_bytes) == 0;
			 to++)
			rows += sample[to].rows;
		if (to > from + 1 && rows >= BIG_KEY * s->per &&
			rows / s->per + 3 < s->cap - s->n)
		{
			cut_big_key(s, from, to);
			continue;
		}
		if (s->rows >= s->due)
		{
			cut_at_key(s, first, false);
			s->due = s->rows + s->per;
		}
		if (to == from)
		{
			rows = first->rows;
			to++;
		}
		s->rows += rows;
	}
}

/* ------------------------------------------------------------------ parts */

/* The part between two edges; NULL: an end of the bounds. */
static FlowPart
part_between(const Split *s, const Edge *a, const Edge *b)
{
	const FlowScanSpec *spec = s->spec;
	FlowPart part = {spec->key_lo, spec->key_hi, spec->ts_lo, spec->ts_hi};
	const Edge *timed = a && a->timed ? a : b && b->timed ? b : NULL;

	if (timed == NULL)
	{
		if (a)
			part.key_lo = (FlowKeyBound){FLOW_INCLUSIVE, a->key, a->key_bytes};
		if (b)
			part.key_hi = (FlowKeyBound){FLOW_EXCLUSIVE, b->key, b->key_bytes};
		return part;
	}
	if (!s->samples.one_key)
		part.key_lo = part.key_hi =
			(FlowKeyBound){FLOW_INCLUSIVE, timed->key, timed->key_bytes};
	if (a && a->timed)
		part.ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, a->ts};
	if (b && b->timed)
		part.ts_hi = (FlowTimeBound){FLOW_EXCLUSIVE, b->ts};
	return part;
}

static void
make_parts(Split *s)
{
	for (uint32_t i = 0; i <= s->n; i++)
		s->parts->part[i] = part_between(s, i > 0 ? &s->edge[i - 1] : NULL,
										 i < s->n ? &s->edge[i] : NULL);
	s->parts->n = s->n + 1;
}

/* One chunk for all that is given back. */
static FlowStatus
alloc_parts(Split *s)
{
	FlowEnv *env = s->samples.db->env;
	size_t parts = sizeof(FlowParts) + (s->cap + (size_t) 1) * sizeof(FlowPart);

	/* an edge needs one key at most, and each big one another; one is tried */
	s->parts = env->alloc(env, parts + (2 * (size_t) s->cap + 2) * KEY_ROOM);
	s->edge = env->alloc(env, (s->cap + (size_t) 1) * sizeof(Edge));
	if (s->parts == NULL || s->edge == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	s->parts->part = (FlowPart *) (s->parts + 1);
	s->room = (uint8_t *) s->parts + parts;
	return FLOW_OK;
}

FlowStatus
flow_split(FlowDb *db, const FlowScanSpec *spec, uint32_t want,
		   FlowParts **partsp)
{
	FlowEnv *env = db->env;
	Split s = {.spec = spec};
	FlowStatus st;

	*partsp = NULL;
	want = FLOW_MIN(want, FLOW_MOST_PARTS);
	FLOW_GOTO(flowi_samples_take(&s.samples, db, spec, want * PART_SAMPLES));
	if (s.samples.ts_lo > s.samples.ts_hi || s.samples.rows < 2 * PART_ROWS)
		want = 1;
	else if (s.samples.rows < want * PART_ROWS)
		want = (uint32_t) (s.samples.rows / PART_ROWS);
	s.cap = want > 1 ? FLOW_SPLIT_PARTS(want) - 1 : 0;
	FLOW_GOTO(alloc_parts(&s));
	s.per = s.samples.rows / FLOW_MAX(want, 1);
	if (s.cap > 0)
		cut_all(&s);
	make_parts(&s);
	*partsp = s.parts;
	s.parts = NULL;
out:
	env->free(env, s.parts);
	env->free(env, s.edge);
	flowi_samples_free(&s.samples);
	return st;
}

void
flow_parts_free(FlowDb *db, FlowParts *parts)
{
	db->env->free(db->env, parts);
}
