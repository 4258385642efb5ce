/*-------------------------------------------------------------------------
 * sample_memtable.c
 *	  Where the rows of a memtable within a scan's bounds lie, roughly.
 *
 * It is asked row by row or key by key, or here and there when it has too many.
 *-------------------------------------------------------------------------
 */
#include "sample.h"

#define MOST_ROWS 4096u	 /* of a memtable, looked at one by one */
#define ROWS_STEP 64u	 /* of these one is a sample */
#define MOST_KEYS 2048u	 /* of a memtable, one by one */
#define MOST_PROBES 256u /* when there are more keys */
#define FEW_KEYS 16u	 /* whose times are looked at */
#define TIMES 32u		 /* samples of such a key */

/* The identity within one bound of the key that is next to it; it goes from
 * low to high, or reverse. */
static FlowStatus
seek_bound(FlowIter *it, const FlowKeyBound *bound, bool reverse)
{
	FlowSeek to = {.unbounded = bound->kind == FLOW_OPEN};

	if (bound->kind != FLOW_OPEN)
	{
		to.key = bound->key;
		to.key_bytes = (uint32_t) bound->key_bytes;
		to.after = bound->kind == FLOW_EXCLUSIVE;
		to.ts = to.after != reverse ? INT64_MAX : INT64_MIN;
	}
	return it->seek(it, &to);
}

/* The first identity within the bounds of the key. */
static FlowStatus
seek_first(const FlowSamples *s, FlowIter *it)
{
	return seek_bound(it, &s->spec->key_lo, false);
}

static bool
is_behind(const FlowSamples *s, const FlowRec *rec)
{
	return flowi_spec_behind(s->spec, rec->key, rec->key_bytes);
}

/* Look at its rows one by one; *allp: those were all there are. */
static FlowStatus
walk_rows(FlowSamples *s, FlowIter *it, bool *allp)
{
	FlowStatus st = seek_first(s, it);
	uint32_t n = 0;

	for (; st == FLOW_OK && n < MOST_ROWS && !is_behind(s, &it->cur); n++)
	{
		const FlowRec *rec = &it->cur;

		if (n % ROWS_STEP == 0 && flowi_samples_times_meet(s, rec->ts, rec->ts))
			FLOW_TRY(flowi_samples_add(s, rec->key, rec->key_bytes, rec->ts,
									   (double) ROWS_STEP));
		st = it->next(it);
	}
	*allp = st == FLOW_END || (st == FLOW_OK && n < MOST_ROWS);
	return st == FLOW_END ? FLOW_OK : st;
}

/* Look at its keys one by one, up to MOST_KEYS; *allp as above. */
static FlowStatus
walk_keys(FlowSamples *s, FlowIter *it, bool *allp)
{
	FlowStatus st = seek_first(s, it);
	uint32_t n = 0;

	for (; st == FLOW_OK && n < MOST_KEYS && !is_behind(s, &it->cur); n++)
	{
		FlowSeek next = {.key = it->cur.key,
						 .key_bytes = it->cur.key_bytes,
						 .ts = INT64_MAX,
						 .after = true};

		FLOW_TRY(flowi_samples_add(s, it->cur.key, it->cur.key_bytes,
								   it->cur.ts, 1));
		st = it->seek(it, &next);
	}
	*allp = st == FLOW_END || (st == FLOW_OK && n < MOST_KEYS);
	return st == FLOW_END ? FLOW_OK : st;
}

/* Eight bytes of a key behind its first skip ones, as a number. */
static uint64_t
key_number(const uint8_t *key, uint32_t key_bytes, uint32_t skip)
{
	uint64_t v = 0;

	for (uint32_t i = skip; i < skip + 8; i++)
		v = v << 8 | (i < key_bytes ? key[i] : 0);
	return v;
}

/* How many bytes two keys begin with alike. */
static uint32_t
common_bytes(const uint8_t *a, uint32_t a_bytes, const uint8_t *b,
			 uint32_t b_bytes)
{
	uint32_t n = FLOW_MIN(a_bytes, b_bytes);
	uint32_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/*
 * Keys evenly spread between the first and the last one, as far as bytes tell:
 * what stands there.
 */
static FlowStatus
probe_keys(FlowSamples *s, FlowIter *it, const uint8_t *last,
		   uint32_t last_bytes)
{
	uint8_t probe[FLOW_SAMPLE_KEY + 8];
	uint32_t skip;
	uint64_t from, to, at;
	FlowStatus st = seek_first(s, it);

	if (st != FLOW_OK)
		return st == FLOW_END ? FLOW_OK : st;
	skip = common_bytes(it->cur.key, it->cur.key_bytes, last, last_bytes);
	if (skip > FLOW_SAMPLE_KEY)
		return FLOW_OK;
	memcpy(probe, last, skip);
	from = at = key_number(it->cur.key, it->cur.key_bytes, skip);
	to = key_number(last, last_bytes, skip);
	for (uint32_t i = 1; i < MOST_PROBES && at < to; i++)
	{
		FlowSeek seek = {.key = probe, .key_bytes = skip + 8, .ts = INT64_MIN};
		uint64_t next = from + (to - from) / MOST_PROBES * i;

		if (next <= at)
			continue; /* no key from there to here */
		for (uint32_t b = 0; b < 8; b++)
			probe[skip + b] = (uint8_t) (next >> (56 - 8 * b));
		st = it->seek(it, &seek);
		if (st != FLOW_OK || is_behind(s, &it->cur))
			break;
		FLOW_TRY(
			flowi_samples_add(s, it->cur.key, it->cur.key_bytes, INT64_MIN, 1));
		at = key_number(it->cur.key, it->cur.key_bytes, skip);
	}
	return st == FLOW_END ? FLOW_OK : st;
}

/* Samples from number n on are keys: exchange each for its times. */
static FlowStatus
spread_times(FlowSamples *s, FlowIter *rev, uint32_t n)
{
	uint32_t end = s->n;

	for (uint32_t i = n; i < end; i++)
	{
		FlowSample *sample = (FlowSample *) s->list.data + i;
		uint32_t off = (uint32_t) (uintptr_t) sample->key;
		uint32_t bytes = sample->key_bytes;
		int64_t lo = FLOW_MAX(sample->ts, s->ts_lo);
		FlowSeek to = {
			.key = s->one_key ? s->spec->key_lo.key : s->keys.data + off,
			.key_bytes =
				s->one_key ? (uint32_t) s->spec->key_lo.key_bytes : bytes,
			.ts = s->ts_hi};
		FlowStatus st;
		uint64_t width;

		if (!sample->whole)
			continue;
		st = rev->seek(rev, &to);
		if (st == FLOW_END)
			continue;
		FLOW_TRY(st);
		if (rev->cur.ts <= lo)
			continue;
		width = ((uint64_t) rev->cur.ts - (uint64_t) lo) / TIMES;
		sample->rows = 1.0 / TIMES;
		for (uint32_t k = 1; k < TIMES; k++)
		{
			uint8_t key[FLOW_SAMPLE_KEY];

			if (bytes > 0)
				memcpy(key, s->keys.data + off, bytes);
			FLOW_TRY(flowi_samples_add(s, key, bytes,
									   (int64_t) ((uint64_t) lo + width * k),
									   1.0 / TIMES));
		}
	}
	return FLOW_OK;
}

/* The samples from number n on are alike, and all of so many rows. */
static void
share_rows(FlowSamples *s, uint32_t n, double rows)
{
	double all = 0;

	for (uint32_t i = n; i < s->n; i++)
		all += ((FlowSample *) s->list.data)[i].rows;
	for (uint32_t i = n; i < s->n; i++)
		((FlowSample *) s->list.data)[i].rows *= rows / all;
}

/* Forget the samples from number n on. */
static void
forget(FlowSamples *s, uint32_t n)
{
	s->n = n;
	s->list.len = (size_t) n * sizeof(FlowSample);
}

/* A memtable with more rows than are worth a look each. */
static FlowStatus
sample_keys(FlowSamples *s, FlowMemtable *mt, FlowIter *it, FlowIter *rev)
{
	uint32_t n = s->n;
	bool all;
	FlowStatus st;

	FLOW_TRY(walk_keys(s, it, &all));
	if (!all)
	{
		forget(s, n);
		st = seek_bound(rev, &s->spec->key_hi, true);
		if (st != FLOW_OK)
			return st == FLOW_END ? FLOW_OK : st;
		FLOW_TRY(probe_keys(s, it, rev->cur.key, rev->cur.key_bytes));
	}
	else if (s->n - n <= FEW_KEYS)
		FLOW_TRY(spread_times(s, rev, n));
	share_rows(s, n, (double) atomic_load(&mt->records));
	return FLOW_OK;
}

FlowStatus
flowi_samples_memtable(FlowSamples *s, FlowMemtable *mt)
{
	FlowEnv *env = s->db->env;
	uint32_t n = s->n;
	FlowIter *it = NULL;
	FlowIter *rev = NULL;
	bool all;
	FlowStatus st;

	FLOW_GOTO(flowi_memtable_iter(env, mt, s->spec->store_id, false, &it));
	FLOW_GOTO(walk_rows(s, it, &all));
	if (all)
		goto out;
	forget(s, n);
	FLOW_GOTO(flowi_memtable_iter(env, mt, s->spec->store_id, true, &rev));
	st = sample_keys(s, mt, it, rev);
out:
	if (it)
		it->free(it);
	if (rev)
		rev->free(rev);
	return st;
}
