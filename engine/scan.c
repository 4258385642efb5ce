/*-------------------------------------------------------------------------
 * scan.c
 *	  Snapshot range scan over private buffer, memtables and SSTables.
 *
 * The merge gives the versions of one identity after the other, the newest
 * first.  Of each identity the first version that the reader may see counts;
 * when it is a tombstone or has expired there is no row, and no older
 * version comes to light.  The same when a range tombstone that the reader
 * sees covers it and is newer: what is older than the version is so all the
 * more.
 *
 * Bounds of the key are met by where the scan begins and by where it stops;
 * bounds of the time by looking at each identity, and by seeking ahead once
 * several in a row were outside.
 *
 * Keeps: S3, S8, S13.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

#define SEEK_STEPS 12 /* steps outside the time range before a seek */

#define ROWS_MIN_BYTES ((size_t) 8 << 10)
#define ROWS_MAX_BYTES ((size_t) 1 << 20) /* grown to; a row may need more */

#define BATCH_GROWTH 4 /* of rows looked at, while few pass the filters */

#define CALLS_SAMPLED 16u /* the time of one in so many calls is taken */

/* ----------------------------------------------------------------- rows */

/* Forget the rows of the last call; the largest block is kept. */
static void
reset_rows(FlowScan *s)
{
	FlowRowBlock *older;

	while (s->rows && (older = s->rows->next) != NULL)
	{
		s->rows->next = older->next;
		s->env->free(s->env, older);
	}
	s->rows_used = 0;
	s->fill_bytes = 0;
	s->row_key = NULL;
	s->asked = NULL;
	s->vec.nrows = 0;
	s->vec.span_rows = 0;
}

static FlowStatus
add_row_block(FlowScan *s, size_t n)
{
	FlowEnv *env = s->env;
	size_t cap =
		s->rows ? FLOW_MIN(2 * s->rows->cap, ROWS_MAX_BYTES) : ROWS_MIN_BYTES;
	FlowRowBlock *block;

	cap = FLOW_MAX(cap, n);
	block = env->alloc(env, sizeof(*block) + cap);
	if (block == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: row of %zu bytes", n);
	block->next = s->rows;
	block->cap = cap;
	s->rows = block;
	s->rows_used = 0;
	return FLOW_OK;
}

FlowStatus
flowi_scan_room(FlowScan *s, size_t n, uint8_t **pp)
{
	if (s->rows == NULL || n > s->rows->cap - s->rows_used)
		FLOW_TRY(add_row_block(s, n));
	*pp = s->rows->data + s->rows_used;
	s->rows_used += n;
	s->fill_bytes += n;
	return FLOW_OK;
}

FlowStatus
flowi_scan_emit(FlowScan *s, FlowSourceKind kind, const FlowRec *rec,
				FlowIter *it)
{
	FlowVector *vec = &s->vec;
	uint32_t i = vec->nrows;
	size_t key_bytes = s->row_key ? 0 : rec->key_bytes;
	size_t value_bytes;
	uint8_t *p;

	if (s->spec.ncolumns > 0)
		FLOW_TRY(flowi_scan_pick(s, rec, it));
	else if (it != NULL && !s->spec.keys_only)
		FLOW_TRY(flowi_iter_value(it));
	value_bytes = s->spec.keys_only ? 0 : rec->value_bytes;
	FLOW_TRY(flowi_scan_room(s, key_bytes + value_bytes, &p));
	if (s->row_key == NULL)
	{
		memcpy(p, rec->key, key_bytes);
		s->row_key = p;
		p += key_bytes;
	}
	if (value_bytes > 0)
		memcpy(p, rec->value, value_bytes);
	vec->key[i] = s->row_key;
	vec->key_bytes[i] = rec->key_bytes;
	vec->ts[i] = rec->ts;
	vec->expire_at[i] = rec->expire_at;
	vec->value[i] = s->spec.keys_only ? NULL : p;
	if (!s->spec.keys_only)
		s->nulls = FLOW_MIN(s->nulls, i);
	else if (s->nulls == i)
		s->nulls = i + 1;
	vec->value_bytes[i] = (uint32_t) value_bytes;
	vec->nrows = i + 1;

	s->stats.rows++;
	s->stats.rows_memtable += kind == FLOW_SOURCE_MEMTABLE;
	s->stats.rows_sst += kind == FLOW_SOURCE_SST;
	s->stats.rows_own += kind == FLOW_SOURCE_OWN;
	return FLOW_OK;
}

/* ----------------------------------------------------------- visibility */

bool
flowi_scan_visible(FlowScan *s, FlowSourceKind kind, const FlowRec *rec)
{
	FlowTxn *txn = rec->txn;
	uint32_t state;

	/* of a batch that is being linked right now */
	if (kind == FLOW_SOURCE_MEMTABLE && rec->seq >= s->pins.visible_end)
		return false;
	if (txn == NULL || txn->xid == 0)
		return true;
	if (txn == s->asked)
		return s->answer;
	s->asked = txn;
	state = atomic_load_explicit(&txn->state, memory_order_relaxed);
	if (state == FLOW_TXN_SETTLED)
		s->answer = true;
	else if (state == FLOW_TXN_ABORTED || s->spec.visible == NULL)
		s->answer = false;
	else
		s->answer = s->spec.visible(s->spec.visible_arg, txn);
	return s->answer;
}

bool
flowi_scan_dead(const FlowScan *s, const FlowRec *rec)
{
	return rec->op == FLOW_DELETE ||
		   (rec->expire_at <= s->spec.now && s->spec.now != INT64_MIN);
}

/* ------------------------------------------------------------ the merge */

static bool
is_pos_key(const FlowScan *s, const FlowRec *rec)
{
	return s->has_pos && rec->key_bytes == s->pos_key.len &&
		   (rec->key_bytes == 0 ||
			memcmp(rec->key, s->pos_key.data, rec->key_bytes) == 0);
}

bool
flowi_scan_behind(const FlowScan *s, const uint8_t *key, uint32_t key_bytes)
{
	const FlowKeyBound *to =
		s->spec.reverse ? &s->spec.key_lo : &s->spec.key_hi;
	int c;

	if (to->kind == FLOW_OPEN)
		return false;
	c = flowi_key_cmp(key, key_bytes, to->key, (uint32_t) to->key_bytes);
	if (c == 0)
		return to->kind == FLOW_EXCLUSIVE;
	return (c > 0) != s->spec.reverse;
}

/*
 * Ask for interrupts once in a while.  INTERRUPTED: the position is still
 * the identity before; or the version's own, which is then walked again from
 * its newest version on, so the next poll is later: who is interrupted at
 * each poll gets on all the same.
 */
static FlowStatus
poll_versions(FlowScan *s, bool enters)
{
	FlowStatus st;

	if (++s->unpolled < s->patience)
		return FLOW_OK;
	s->unpolled = 0;
	if (enters)
	{
		s->resolved = true; /* all of the one before was seen */
		s->patience = FLOW_SCAN_POLL_VERSIONS;
	}
	st = s->env->poll(s->env);
	if (st == FLOW_INTERRUPTED && !enters && s->patience <= UINT32_MAX / 2)
		s->patience *= 2;
	return st;
}

/*
 * rec begins an identity: make it the position.  FLOW_END: it is behind the
 * bounds.
 */
static FlowStatus
enter_identity(FlowScan *s, const FlowRec *rec, bool same_key)
{
	if (!same_key)
	{
		if (flowi_scan_behind(s, rec->key, rec->key_bytes))
			return FLOW_END;
		s->pos_key.len = 0;
		FLOW_TRY(flowi_buf_append(&s->pos_key, rec->key, rec->key_bytes));
		s->row_key = NULL;
		s->steps = 0;
	}
	s->has_pos = true;
	s->pos_ts = rec->ts;
	s->resolved = false;
	return FLOW_OK;
}

/*
 * The position is outside the time range: step over it, or, after some
 * steps, seek to the range of this key, or past the key.
 */
static FlowStatus
pass_time(FlowScan *s)
{
	bool past = s->spec.reverse ? s->pos_ts < s->ts_lo : s->pos_ts > s->ts_hi;
	FlowSeek to = {.key = s->pos_key.data,
				   .key_bytes = (uint32_t) s->pos_key.len,
				   .after = past};

	s->resolved = true;
	if (past && s->one_key)
		return FLOW_END;
	if (++s->steps < SEEK_STEPS)
		return flowi_merge_next(&s->merge);
	s->steps = 0;
	if (past)
		to.ts = s->spec.reverse ? INT64_MIN : INT64_MAX;
	else
		to.ts = s->spec.reverse ? s->ts_hi : s->ts_lo;
	FLOW_TRY(flowi_source_aim(s, &to));
	return flowi_merge_seek(&s->merge, &s->target);
}

/*
 * A range tombstone hides the top's version.  After some in a row ask whether
 * it hides all that the source has from here to somewhere.
 */
static FlowStatus
pass_hidden(FlowScan *s, const FlowSource *top)
{
	FlowSeek to;
	bool end;

	s->resolved = true;
	s->stats.versions_hidden++;
	if (++s->hidden_run < SEEK_STEPS || !flowi_hide_skip(s, top, &to, &end))
		return flowi_merge_next(&s->merge);
	s->hidden_run = 0;
	return flowi_merge_skip(&s->merge, end ? NULL : &to);
}

/* The top's version is the row, unless a range tombstone hides it.  want: how
 * many the vector is to have at most. */
static FlowStatus
take_row(FlowScan *s, FlowSource *top, uint32_t want)
{
	const FlowRec *rec = top->base.cur;
	bool is_sst = top->kind == FLOW_SOURCE_SST;
	bool hidden = false;
	bool none = false;
	bool taken = false;

	if (!flowi_tombs_empty(&s->tombs))
		FLOW_TRY(flowi_hide_check(s, rec, &hidden));
	else if (is_sst)
		FLOW_TRY(flowi_scan_take_run(s, top, want, &taken));
	if (hidden)
		return pass_hidden(s, top);
	if (is_sst && !taken)
		FLOW_TRY(flowi_scan_ask(s, top->base.it, &none));
	if (!none && !taken)
		FLOW_TRY(
			flowi_scan_emit(s, top->kind, rec, is_sst ? top->base.it : NULL));
	s->resolved = true;
	s->hidden_run = 0;
	return flowi_merge_next(&s->merge);
}

/* The top stands on mark: take all of it, or look into it.  entered: its first
 * identity is the position already. */
static FlowStatus
take_mark(FlowScan *s, FlowSource *top, const FlowSstMark *mark, bool entered)
{
	const FlowRec *rec = top->base.cur;
	bool taken = false;

	if (flowi_scan_behind(s, rec->key, rec->key_bytes))
		return FLOW_END;
	if (!entered)
		FLOW_TRY(flowi_scan_span_take(s, top, mark, &taken));
	return flowi_merge_next(&s->merge);
}

/* Look at the merge's next version. */
static FlowStatus
take_version(FlowScan *s, uint32_t want)
{
	FlowMergeSource *top;
	const FlowRec *rec;
	FlowSourceKind kind;
	bool same_key, enters;

	FLOW_TRY(flowi_merge_top(&s->merge, &top));
	rec = top->cur;
	kind = ((FlowSource *) top)->kind;
	same_key = is_pos_key(s, rec);
	enters = !same_key || rec->ts != s->pos_ts;
	FLOW_TRY(poll_versions(s, enters));
	if (s->spans && kind == FLOW_SOURCE_SST)
	{
		const FlowSstMark *mark = flowi_sst_iter_mark(top->it);

		if (mark)
			return take_mark(s, (FlowSource *) top, mark, !enters);
	}
	if (enters)
	{
		FLOW_TRY(enter_identity(s, rec, same_key));
		if (rec->ts < s->ts_lo || rec->ts > s->ts_hi)
			return pass_time(s);
	}
	if (s->resolved || !flowi_scan_visible(s, kind, rec))
		s->stats.versions_hidden++;
	else if (flowi_scan_dead(s, rec))
	{
		s->resolved = true;
		s->stats.versions_hidden++;
	}
	else
		return take_row(s, (FlowSource *) top, want);
	return flowi_merge_next(&s->merge);
}

static FlowStatus
take_rows(FlowScan *s, uint32_t want)
{
	while (s->vec.nrows < want && s->fill_bytes < FLOW_FILL_BYTES)
		FLOW_TRY(take_version(s, want));
	return FLOW_OK;
}

/*
 * The same with filters.  As many rows as are wanted are looked at first, and
 * as long as too few of them pass, more at a time: a slice of a block is read
 * cheaper than row by row.  What does not pass gives its memory back once
 * nothing is kept that lies before it.
 */
static FlowStatus
take_filtered(FlowScan *s, uint32_t want, uint32_t room)
{
	uint32_t batch = want;
	FlowStatus st;

	do
	{
		uint32_t first = s->vec.nrows;

		if (first == 0)
			reset_rows(s);
		st = take_rows(s, FLOW_MIN(first + batch, room));
		flowi_scan_filter(s, first);
		batch = FLOW_MIN(batch * BATCH_GROWTH, room);
	} while (st == FLOW_OK && s->vec.nrows < want && s->vec.nrows <= room / 2 &&
			 (s->vec.nrows == 0 || s->fill_bytes < FLOW_FILL_BYTES));
	return st;
}

static FlowStatus
fill(FlowScan *s, uint32_t want)
{
	uint32_t room = s->filters.n > 0 ? FLOW_VECTOR_ROWS : want;

	FLOW_TRY(flowi_scan_columns_room(s, &room));
	FLOW_TRY(flowi_source_begin(s));
	if (s->filters.n > 0)
		return take_filtered(s, FLOW_MIN(want, room), room);
	return take_rows(s, room);
}

/* ----------------------------------------------------------------- next */

/* How many rows this call may return. */
static uint32_t
rows_wanted(const FlowScan *s, uint32_t want)
{
	uint64_t left = UINT64_MAX;

	if (want == 0 || want > FLOW_VECTOR_ROWS)
		want = FLOW_VECTOR_ROWS;
	if (s->spec.limit > 0)
		left = s->spec.limit - s->stats.rows;
	return (uint32_t) FLOW_MIN(left, want);
}

int64_t
flowi_scan_begin_call(FlowDb *db)
{
	if (++db->queries % CALLS_SAMPLED != 0)
		return INT64_MIN;
	return db->env->ticks_us(db->env);
}

void
flowi_scan_end_call(FlowDb *db, int64_t began, uint64_t rows)
{
	if (rows > 0)
		atomic_fetch_add_explicit(&db->sh->records_read, rows,
								  memory_order_relaxed);
	if (began != INT64_MIN)
		flowi_latency_add(&db->sh->latency[FLOW_LATENCY_QUERY],
						  db->env->ticks_us(db->env) - began);
}

FlowStatus
flow_scan_next(FlowScan *s, uint32_t want, const FlowVector **vecp)
{
	*vecp = NULL;
	if (s->db == NULL)
		return flowi_fail(FLOW_INVALID, "the database was closed");
	if (s->failed != FLOW_OK)
		return s->failed;
	reset_rows(s);
	if (s->ended)
		return FLOW_END;
	return flowi_scan_next_begun(s, want, flowi_scan_begin_call(s->db), vecp);
}

FlowStatus
flowi_scan_next_begun(FlowScan *s, uint32_t want, int64_t began,
					  const FlowVector **vecp)
{
	FlowStatus st = fill(s, rows_wanted(s, want));

	flowi_source_end(s);
	flowi_scan_end_call(s->db, began, s->vec.nrows + s->vec.span_rows);
	s->stats.blocks_read = s->sst_stats.blocks_read;
	s->stats.blocks_skipped = s->sst_stats.blocks_skipped;
	s->stats.cache_hits = s->sst_stats.cache_hits;

	if (st == FLOW_END || (s->spec.limit > 0 && s->stats.rows >= s->spec.limit))
		s->ended = true;
	else if (st != FLOW_OK && st != FLOW_INTERRUPTED)
		s->failed = st;
	if (s->ended || st != FLOW_OK)
		flowi_source_drop(s);
	if (s->failed != FLOW_OK)
	{
		s->vec.nrows = 0; /* nor does flow_scan_row find them */
		s->vec.span_rows = 0;
	}
	if (s->vec.nrows == 0 && s->vec.span_rows == 0)
		return st;
	*vecp = &s->vec;
	return FLOW_OK;
}
