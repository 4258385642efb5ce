/*-------------------------------------------------------------------------
 * memiter.c
 *	  Reading a memtable: a store's rows in both directions, single versions.
 *
 * An iterator merges, series by series, the run with the late rows.  Of one
 * time the late ones come first: they are newer.
 *
 * The next late row is always loaded before the count of the run's rows that
 * it is compared with, and the run's end is judged by a count that is loaded
 * then.  A late row comes at or before the last time of its series' run and
 * is linked after that was published, so nothing of the run is missed that
 * stands before it; with an older count rows would come out of order.
 *
 * Keeps: S3, I35.  The caller holds a reference on the memtable.
 *-------------------------------------------------------------------------
 */
#include "memtable_impl.h"

#define AHEAD 4u /* rows whose data is fetched early */

typedef struct MemIter
{
	FlowIter base;
	FlowEnv *env;
	FlowMemtable *mt;
	uint32_t store_id;
	FlowMemSeries *known; /* the series of all seeks, or NULL */
	bool on_late;		  /* the current row is the late one */
	bool placed;		  /* in reverse: order stands before series */

	FlowMemSeries *series;
	/* the run's next row, if at < count (in reverse: at != FLOW_NO_ROW) */
	FlowMemChunk *chunk; /* NULL: in the series itself */
	uint32_t at;
	uint32_t end; /* where chunk ends */
	uint32_t count;
	int64_t from;			/* forward: where the seek of this series began, */
	bool from_behind;		/* or behind it */
	FlowMemLate *late;		/* the next late row; or NULL */
	FlowSplice late_before; /* in reverse: before late's time */
	FlowSplice order;
} MemIter;

/* ------------------------------------------------------------------ a row */

static void
enter_series(MemIter *it, FlowMemSeries *s)
{
	it->series = s;
	it->base.cur.key = flowi_memseries_key(s);
	it->base.cur.key_bytes = s->key_bytes;
}

static FlowStatus
show(MemIter *it, const FlowMemRow *row)
{
	FlowRec *cur = &it->base.cur;
	const uint8_t *p = row->data;
	uint32_t head = 1;

	cur->ts = row->ts;
	cur->txn = row->txn;
	cur->seq = row->txn->seq_first;
	cur->expire_at = FLOW_NEVER;
	if (p != NULL)
	{
		memcpy(&head, p, 4);
		p += 4;
	}
	if (head & 2)
	{
		memcpy(&cur->expire_at, p, 8);
		p += 8;
	}
	cur->op = head & 1 ? FLOW_DELETE : FLOW_PUT;
	cur->value = head & 1 ? NULL : p;
	cur->value_bytes = head >> 2;
	return FLOW_OK;
}

static FlowStatus
show_late(MemIter *it)
{
	it->on_late = true;
	return show(it, &it->late->row);
}

static FlowStatus
show_run(MemIter *it)
{
	it->on_late = false;
	return show(it, flowi_memrun_row(it->series, it->chunk, it->at));
}

/* The run stands in that chunk. */
static void
enter_chunk(MemIter *it, FlowMemChunk *chunk)
{
	it->chunk = chunk;
	it->end = chunk ? flowi_memchunk_end(chunk) : 1;
}

/* ---------------------------------------------------------------- forward */

/* At the run's end: has it become longer, by rows that the seek asked for? */
static bool
has_grown(MemIter *it)
{
	FlowMemChunk *chunk;
	uint32_t at;

	it->count = flowi_memrun_count(it->series);
	if (it->at < it->count)
	{
		at = 1 + flowi_memrun_last(it->series, it->count, it->from,
								   it->from_behind, &chunk);
		if (at > it->at)
		{
			it->at = at;
			enter_chunk(it, chunk);
		}
	}
	return it->at < it->count;
}

/* Is there a next row of the run?  Its chunk is set then. */
static inline bool
has_forward(MemIter *it)
{
	if (it->at == it->count && !has_grown(it))
		return false;
	if (it->at == it->end)
		enter_chunk(
			it, it->chunk ? it->chunk->next
						  : flowi_memrun_chunk(it->series, it->count, it->at));
	return true;
}

/* From the first row on, or from (ts) on, or behind it. */
static void
enter_forward(MemIter *it, FlowMemSeries *s, const FlowSeek *to)
{
	FlowMemChunk *chunk = NULL;
	FlowSplice splice;

	enter_series(it, s);
	it->from = to ? to->ts : INT64_MIN;
	it->from_behind = to != NULL && to->after;
	it->late = flowi_memlate_seek(s, &splice, it->from,
								  it->from_behind ? 0 : UINT64_MAX);
	it->count = flowi_memrun_count(s); /* behind it */
	it->at = 0;
	if (to)
		it->at = 1 + flowi_memrun_last(s, it->count, it->from, it->from_behind,
									   &chunk);
	enter_chunk(it, chunk);
}

/* Show the first of the rows that come next, of this or a further series. */
static FlowStatus
choose_forward(MemIter *it)
{
	for (;;)
	{
		bool more = has_forward(it);
		FlowMemSeries *next;

		if (it->late != NULL &&
			(!more || it->late->row.ts <=
						  flowi_memrun_row(it->series, it->chunk, it->at)->ts))
			return show_late(it);
		if (more)
			return show_run(it);
		next = flowi_memdir_next(it->series);
		if (next == NULL || next->store_id != it->store_id)
			return FLOW_END;
		enter_forward(it, next, NULL);
	}
}

static FlowStatus
mem_next_forward(FlowIter *base)
{
	MemIter *it = (MemIter *) base;

	if (it->on_late)
		it->late = flowi_memlate_next(it->late);
	else
	{
		uint32_t ahead = ++it->at + AHEAD;

		if (ahead < it->end && ahead < it->count)
			__builtin_prefetch(
				flowi_memrun_row(it->series, it->chunk, ahead)->data);
	}
	return choose_forward(it);
}

/* The first series at or behind where the seek begins; *inp: it is that of its
 * key. */
static FlowMemSeries *
seek_series(MemIter *it, const FlowSeek *to, bool *inp)
{
	FlowMemPlace place = {
		.store_id = it->store_id, .key = to->key, .key_bytes = to->key_bytes};
	FlowMemSeries *s;

	*inp = !to->unbounded;
	if (it->known)
		return it->known;
	if (to->unbounded)
		place.edge = -1;
	else
	{
		s = flowi_memdir_find(
			it->mt,
			flowi_memdir_hash(it->mt, it->store_id, to->key, to->key_bytes),
			it->store_id, to->key, to->key_bytes);
		if (s != NULL)
			return s;
	}
	s = flowi_memdir_seek(it->mt, &it->order, &place);
	it->placed = true;
	/* it may have come this moment */
	*inp = !to->unbounded && s != NULL &&
		   flowi_memseries_is(s, it->store_id, to->key, to->key_bytes);
	return s;
}

static FlowStatus
mem_seek_forward(FlowIter *base, const FlowSeek *to)
{
	MemIter *it = (MemIter *) base;
	bool in;
	FlowMemSeries *s = seek_series(it, to, &in);

	if (s == NULL || s->store_id != it->store_id)
		return FLOW_END;
	enter_forward(it, s, in ? to : NULL);
	return choose_forward(it);
}

/* ---------------------------------------------------------------- reverse */

/* From the last row back, or from (ts) back, or from before it. */
static void
enter_reverse(MemIter *it, FlowMemSeries *s, const FlowSeek *to)
{
	FlowMemChunk *chunk;

	enter_series(it, s);
	(void) flowi_memlate_seek(s, &it->late_before, to ? to->ts : INT64_MAX,
							  to != NULL && to->after ? UINT64_MAX : 0);
	it->late = flowi_memlate_back(s, &it->late_before);
	it->count = flowi_memrun_count(s); /* behind it */
	it->at = flowi_memrun_last(s, it->count, to ? to->ts : INT64_MAX,
							   to == NULL || !to->after, &chunk);
	it->chunk = chunk;
}

/* Go to the last row of the series before. */
static bool
enter_series_before(MemIter *it)
{
	FlowMemPlace place;
	FlowMemSeries *s;

	if (!it->placed)
	{
		place = flowi_memplace_of(it->series);
		(void) flowi_memdir_seek(it->mt, &it->order, &place);
		it->placed = true;
	}
	s = flowi_memdir_before(it->mt, &it->order);
	if (s == NULL || s->store_id != it->store_id)
		return false;
	place = flowi_memplace_of(s);
	flowi_memdir_back(it->mt, &it->order, &place);
	enter_reverse(it, s, NULL);
	return true;
}

/* Show the first of the rows that come next in the series, backwards. */
static bool
show_back(MemIter *it)
{
	bool more = it->at != FLOW_NO_ROW;

	if (it->late != NULL &&
		(!more || it->late->row.ts >=
					  flowi_memrun_row(it->series, it->chunk, it->at)->ts))
		return show_late(it) == FLOW_OK;
	return more && show_run(it) == FLOW_OK;
}

static FlowStatus
choose_reverse(MemIter *it)
{
	do
	{
		if (show_back(it))
			return FLOW_OK;
	} while (enter_series_before(it));
	return FLOW_END;
}

/* Older versions of the late row's time, then the time before. */
static void
step_back_late(MemIter *it)
{
	FlowMemLate *older = flowi_memlate_next(it->late);

	if (older != NULL && older->row.ts == it->late->row.ts)
		it->late = older;
	else
		it->late = flowi_memlate_back(it->series, &it->late_before);
}

static FlowStatus
mem_next_reverse(FlowIter *base)
{
	MemIter *it = (MemIter *) base;

	if (it->on_late)
		step_back_late(it);
	else if (it->at-- > 0 && it->chunk != NULL)
	{
		if (it->at < it->chunk->base)
			it->chunk = it->chunk->prev;
		else if (it->at - it->chunk->base >= AHEAD)
			__builtin_prefetch(
				flowi_memrun_row(it->series, it->chunk, it->at - AHEAD)->data);
	}
	return choose_reverse(it);
}

static FlowStatus
mem_seek_reverse(FlowIter *base, const FlowSeek *to)
{
	MemIter *it = (MemIter *) base;
	FlowMemSeries *s;
	bool in;

	it->placed = false;
	if (to->unbounded)
	{
		FlowMemPlace place = {.store_id = it->store_id, .edge = 1};

		(void) flowi_memdir_seek(it->mt, &it->order, &place);
		it->placed = true;
		return enter_series_before(it) ? choose_reverse(it) : FLOW_END;
	}
	s = seek_series(it, to, &in);
	if (in)
		enter_reverse(it, s, to);
	else if (!enter_series_before(it))
		return FLOW_END;
	return choose_reverse(it);
}

/* --------------------------------------------------------------- iterator */

static void
mem_free(FlowIter *base)
{
	MemIter *it = (MemIter *) base;

	it->env->free(it->env, it);
}

FlowStatus
flowi_memtable_iter(FlowEnv *env, FlowMemtable *mt, uint32_t store_id,
					bool reverse, FlowIter **itp)
{
	MemIter *it = env->alloc(env, sizeof(*it));

	*itp = NULL;
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: memtable iterator");
	/* what a seek does not set need not be set */
	it->base.seek = reverse ? mem_seek_reverse : mem_seek_forward;
	it->base.next = reverse ? mem_next_reverse : mem_next_forward;
	it->base.free = mem_free;
	it->env = env;
	it->mt = mt;
	it->store_id = store_id;
	it->known = NULL;
	*itp = &it->base;
	return FLOW_OK;
}

/* -------------------------------------------------------- without iterator */

/* Series that were published before the caller's references are found. */
static FlowMemSeries *
find_series(FlowMemtable *mt, uint32_t store_id, const uint8_t *key,
			uint32_t key_bytes)
{
	return flowi_memdir_find(mt,
							 flowi_memdir_hash(mt, store_id, key, key_bytes),
							 store_id, key, key_bytes);
}

FlowStatus
flowi_memtable_key_iter(FlowEnv *env, FlowMemtable *mt, uint32_t store_id,
						const uint8_t *key, uint32_t key_bytes, FlowIter **itp)
{
	FlowMemSeries *s = find_series(mt, store_id, key, key_bytes);

	*itp = NULL;
	if (s == NULL)
		return FLOW_NOTFOUND;
	FLOW_TRY(flowi_memtable_iter(env, mt, store_id, false, itp));
	((MemIter *) *itp)->known = s;
	return FLOW_OK;
}

bool
flowi_memtable_last(FlowMemtable *mt, uint32_t store_id, const uint8_t *key,
					uint32_t key_bytes, FlowRec *rec)
{
	FlowMemSeries *s = find_series(mt, store_id, key, key_bytes);
	MemIter it;

	if (s == NULL)
		return false;
	enter_reverse(&it, s, NULL);
	if (!show_back(&it))
		return false;
	*rec = it.base.cur;
	return true;
}

FlowStatus
flowi_memtable_next_store(FlowMemtable *mt, uint32_t from, uint32_t *store_idp)
{
	FlowMemPlace place = {.store_id = from, .edge = -1};
	FlowSplice splice;
	const FlowMemSeries *s = flowi_memdir_seek(mt, &splice, &place);

	*store_idp = flowi_memtomb_next_store(mt, from);
	if (s != NULL && (*store_idp == 0 || s->store_id < *store_idp))
		*store_idp = s->store_id;
	return *store_idp == 0 ? FLOW_NOTFOUND : FLOW_OK;
}

static bool
row_since(const FlowMemRow *row, const FlowSince *q)
{
	return row->txn->seq_first >= q->from && flowi_since_counts(q, row->txn);
}

bool
flowi_memtable_since(FlowMemtable *mt, const FlowSince *q)
{
	FlowMemSeries *s;
	FlowMemChunk *chunk;
	FlowSplice splice;
	const FlowMemRow *row;
	uint32_t at;

	if (!q->no_tombs && flowi_memtomb_since(mt, q))
		return true;
	s = find_series(mt, q->store_id, q->key, q->key_bytes);
	if (s == NULL)
		return false;
	for (FlowMemLate *late = flowi_memlate_seek(s, &splice, q->ts, UINT64_MAX);
		 late != NULL && late->row.ts == q->ts; late = flowi_memlate_next(late))
		if (row_since(&late->row, q))
			return true;
	at = flowi_memrun_last(s, flowi_memrun_count(s), q->ts, true, &chunk);
	if (at == FLOW_NO_ROW)
		return false;
	row = flowi_memrun_row(s, chunk, at);
	return row->ts == q->ts && row_since(row, q);
}
