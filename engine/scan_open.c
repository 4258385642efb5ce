/*-------------------------------------------------------------------------
 * scan_open.c
 *	  Scans are opened and closed.
 *
 * A handle keeps one closed scan with its memory for the next one.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

#include "judge.h"
#include "store.h"

/* What of it a closed scan keeps. */
#define ROWS_KEEP_BYTES ((size_t) 256 << 10)
#define TOMBS_KEEP 256

/* ---------------------------------------------------------------- bounds */

/* Copy a bound's key into s->bounds, which has the room. */
static void
copy_bound(FlowScan *s, FlowKeyBound *bound)
{
	uint8_t *to = s->bounds.data + s->bounds.len;

	if (bound->kind == FLOW_OPEN)
	{
		bound->key = NULL;
		bound->key_bytes = 0;
		return;
	}
	if (bound->key_bytes > 0)
		memcpy(to, bound->key, bound->key_bytes);
	s->bounds.len += bound->key_bytes;
	bound->key = to;
}

static FlowStatus
set_key_bounds(FlowScan *s)
{
	FlowKeyBound *lo = &s->spec.key_lo;
	FlowKeyBound *hi = &s->spec.key_hi;
	size_t lo_bytes = lo->kind == FLOW_OPEN ? 0 : lo->key_bytes;
	size_t hi_bytes = hi->kind == FLOW_OPEN ? 0 : hi->key_bytes;
	int c;

	s->one_key = false;
	if (lo_bytes > INT32_MAX || hi_bytes > INT32_MAX)
		return flowi_fail(FLOW_INVALID, "key bound of %zu bytes is too long",
						  FLOW_MAX(lo_bytes, hi_bytes));
	s->bounds.len = 0;
	FLOW_TRY(flowi_buf_reserve(&s->bounds, lo_bytes + hi_bytes + 1));
	copy_bound(s, lo);
	copy_bound(s, hi);
	if (lo->kind == FLOW_OPEN || hi->kind == FLOW_OPEN)
		return FLOW_OK;
	c = flowi_key_cmp(lo->key, (uint32_t) lo_bytes, hi->key,
					  (uint32_t) hi_bytes);
	s->one_key = c == 0;
	if (c > 0 ||
		(c == 0 && (lo->kind == FLOW_EXCLUSIVE || hi->kind == FLOW_EXCLUSIVE)))
		s->ended = true;
	return FLOW_OK;
}

static void
set_time_bounds(FlowScan *s)
{
	const FlowTimeBound *lo = &s->spec.ts_lo;
	const FlowTimeBound *hi = &s->spec.ts_hi;

	s->ts_lo = lo->kind == FLOW_OPEN ? INT64_MIN : lo->ts;
	s->ts_hi = hi->kind == FLOW_OPEN ? INT64_MAX : hi->ts;
	if ((lo->kind == FLOW_EXCLUSIVE && lo->ts == INT64_MAX) ||
		(hi->kind == FLOW_EXCLUSIVE && hi->ts == INT64_MIN))
	{
		s->ended = true;
		return;
	}
	s->ts_lo += lo->kind == FLOW_EXCLUSIVE;
	s->ts_hi -= hi->kind == FLOW_EXCLUSIVE;
	if (s->ts_lo > s->ts_hi)
		s->ended = true;
}

/* ------------------------------------------------------- open and close */

/* A scan of no content: the handle's spare one, or a new one. */
static FlowScan *
take_scan(FlowDb *db)
{
	FlowEnv *env = db->env;
	FlowScan *s = db->spare;

	if (s != NULL)
	{
		db->spare = NULL;
		return s;
	}
	s = env->alloc(env, sizeof(*s));
	if (s == NULL)
		return NULL;
	memset(s, 0, offsetof(FlowScan, vec));
	s->env = env;
	s->db = db;
	flowi_buf_init(&s->bounds, env);
	flowi_buf_init(&s->pos_key, env);
	flowi_buf_init(&s->target_key, env);
	flowi_buf_init(&s->origin_key, env);
	flowi_merge_init(&s->merge, env);
	flowi_tombs_init(&s->tombs, env);
	flowi_filters_init(&s->filters, env);
	return s;
}

static void
free_scan(FlowScan *s)
{
	FlowEnv *env = s->env;
	FlowRowBlock *block;

	flowi_buf_free(&s->bounds);
	flowi_buf_free(&s->pos_key);
	flowi_buf_free(&s->target_key);
	flowi_buf_free(&s->origin_key);
	flowi_merge_free(&s->merge);
	flowi_tombs_free(&s->tombs);
	flowi_scan_columns_free(s);
	flowi_filters_free(&s->filters);
	if (s->db)
		flowi_pins_free(s->db, &s->pins);
	env->free(env, s->ssts);
	env->free(env, s->mems);
	while ((block = s->rows) != NULL)
	{
		s->rows = block->next;
		env->free(env, block);
	}
	env->free(env, s);
}

void
flowi_scan_free_spare(FlowDb *db)
{
	if (db->spare)
		free_scan(db->spare);
	db->spare = NULL;
}

FlowStatus
flowi_scan_create(FlowDb *db, const FlowScanSpec *spec, FlowScan **scanp)
{
	FlowScan *s;
	FlowStatus st;

	*scanp = NULL;
	FLOW_TRY(flowi_stores_check_read(db, spec->store_id));
	s = take_scan(db);
	if (s == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	s->spec = *spec;
	/* rows that expired before then may be gone already (keep.h) */
	if (spec->now != INT64_MIN)
		s->spec.now = flowi_judge_at(db->env, db->sh, spec->now);
	s->ended = false;
	s->failed = FLOW_OK;
	s->has_pos = false;
	s->resolved = false;
	s->unpolled = 0;
	s->patience = FLOW_SCAN_POLL_VERSIONS;
	s->steps = 0;
	s->judge = FLOW_JUDGE_NONE;
	s->tombs_known = false;
	s->hidden_run = 0;
	flowi_tombs_reset(&s->tombs);
	s->stats = (FlowScanStats){0};
	s->sst_stats = (FlowSstIterStats){0};
	s->vec.nrows = 0;
	s->vec.span_rows = 0;
	s->asked = NULL;
	s->row_key = NULL;
	s->rows_used = 0;
	s->fill_bytes = 0;
	set_time_bounds(s);
	flowi_scan_span_set(s);
	st = flowi_scan_columns_set(s);
	if (st == FLOW_OK)
		st = flowi_filters_set(&s->filters, &s->spec);
	if (st == FLOW_OK)
		st = set_key_bounds(s);
	if (st != FLOW_OK)
	{
		free_scan(s);
		return st;
	}
	s->prev = NULL;
	s->next = db->scans;
	if (s->next)
		s->next->prev = s;
	db->scans = s;
	*scanp = s;
	return FLOW_OK;
}

FlowStatus
flow_scan_open(FlowDb *db, const FlowScanSpec *spec, FlowScan **scanp)
{
	FlowScan *s;

	FLOW_TRY(flowi_scan_create(db, spec, scanp));
	s = *scanp;
	/* a lookup is over at once, a scan may stay open */
	if (spec->now != INT64_MIN && db->env->expire_horizon == NULL)
		s->spec.now = flowi_judge_begin(db->env, db->sh, spec->now, &s->judge);
	return FLOW_OK;
}

int64_t
flow_judge_at(FlowDb *db, int64_t now)
{
	return flowi_judge_at(db->env, db->sh, now);
}

void
flow_scan_close(FlowScan *s)
{
	FlowDb *db;

	if (s == NULL)
		return;
	db = s->db;
	if (db == NULL)
	{
		free_scan(s);
		return;
	}
	flowi_source_drop(s);
	flowi_judge_end(db->sh, &s->judge);
	if (s->tombs.n > TOMBS_KEEP)
		flowi_tombs_free(&s->tombs);
	flowi_scan_columns_trim(s);
	*(s->prev ? &s->prev->next : &db->scans) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	if (db->spare == NULL &&
		(s->rows == NULL || s->rows->cap <= ROWS_KEEP_BYTES))
		db->spare = s;
	else
		free_scan(s);
}

/*
 * The rows that an owner holds pointers to stay until it closes the scan,
 * which may be long after the handle is gone: at the end of a process of the
 * server handles go first, memory contexts with their scans later.
 */
void
flowi_scan_orphan_all(FlowDb *db)
{
	FlowScan *s;

	while ((s = db->scans) != NULL)
	{
		db->scans = s->next;
		flowi_source_drop(s);
		flowi_judge_end(db->sh, &s->judge);
		flowi_pins_free(db, &s->pins);
		s->db = NULL;
	}
}

const FlowScanStats *
flow_scan_stats(const FlowScan *scan)
{
	return &scan->stats;
}
