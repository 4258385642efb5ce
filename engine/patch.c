/*-------------------------------------------------------------------------
 * patch.c
 *	  Change one live row in place.
 *
 * Read, encode, write; the write happens under the condition, looked at under
 * the write lock, that nothing has come to the row since it was read (since.h).
 * Else it is all done again.
 *
 * Keeps: S1.  Locks: L1, and L2 within.
 *-------------------------------------------------------------------------
 */
#include "embed.h"

#include "active.h"
#include "judge.h"
#include "scan.h"
#include "since.h"

/* FlowWriteCheckFn: END when the row may have changed. */
static FlowStatus
still_the_same(FlowDb *db, void *arg)
{
	return flowi_since_changed(db, arg) ? FLOW_END : FLOW_OK;
}

/* ------------------------------------------------------------ read and write */

/* Put the row as it is to be into the scan that read it, whose memory holds
 * the value that was read. */
static FlowStatus
patch_row(FlowScan *s, const void *value, size_t value_bytes,
		  const FlowWriteOptions *opts)
{
	const FlowVector *vec = &s->vec;
	FlowScanStats stats = s->stats;
	FlowRec rec = {.key = vec->key[0],
				   .key_bytes = vec->key_bytes[0],
				   .ts = vec->ts[0],
				   .expire_at = vec->expire_at[0],
				   .value = vec->value[0],
				   .value_bytes = vec->value_bytes[0]};

	if (value != NULL)
	{
		rec.value = value;
		rec.value_bytes = (uint32_t) value_bytes;
	}
	if (opts && opts->has_ttl)
		rec.expire_at =
			flow_expiry(rec.ts, FLOW_NEVER, true, opts->ttl_secs, 0);
	s->vec.nrows = 0;
	s->row_key = NULL;
	FLOW_TRY(flowi_scan_emit(s, FLOW_SOURCE_MEMTABLE, &rec, NULL));
	s->stats = stats;
	return FLOW_OK;
}

/* One attempt.  END: the row has changed since it was read. */
static FlowStatus
attempt(FlowDb *db, FlowSince *row, const void *value, size_t value_bytes,
		const FlowWriteOptions *opts, FlowScan **scanp, const FlowVector **vecp)
{
	int64_t now = db->env->now_us(db->env);
	FlowScanSpec spec = {.store_id = row->store_id,
						 .now = flowi_judge_at(db->env, db->sh, now)};
	const FlowVector *vec;

	/* the get takes its own later, so what is missed here is looked at twice */
	row->from = atomic_load(&db->sh->visible_end);
	FLOW_TRY(
		flow_get(db, &spec, row->key, row->key_bytes, row->ts, scanp, vecp));
	FLOW_TRY(patch_row(*scanp, value, value_bytes, opts));
	vec = *vecp;
	FLOW_TRY(flowi_embed_begin(db));
	FLOW_TRY(flowi_batch_add(db->batch, FLOW_PUT, row->store_id, vec->key[0],
							 vec->key_bytes[0], vec->ts[0], vec->expire_at[0],
							 vec->value[0], vec->value_bytes[0]));
	return flowi_embed_finish(db, opts, still_the_same, row);
}

/* Before the next attempt: what came meanwhile becomes visible. */
static FlowStatus
wait_for_visible(FlowDb *db)
{
	FLOW_TRY(db->env->poll(db->env));
	return flowi_active_commit(db, atomic_load(&db->sh->applied_end));
}

FlowStatus
flow_patch_record(FlowDb *db, uint32_t store_id, const void *key,
				  size_t key_bytes, int64_t ts, const void *value,
				  size_t value_bytes, const FlowWriteOptions *opts,
				  FlowScan **scanp, const FlowVector **vecp)
{
	FlowSince row = {.store_id = store_id, .key = key, .ts = ts};
	FlowStatus st;

	*scanp = NULL;
	*vecp = NULL;
	FLOW_TRY(flowi_embed_check(db, store_id, opts));
	FLOW_TRY(flowi_embed_check_lengths(key_bytes, value ? value_bytes : 0));
	row.key_bytes = (uint32_t) key_bytes;
	while ((st = attempt(db, &row, value, value_bytes, opts, scanp, vecp)) ==
		   FLOW_END)
	{
		flow_scan_close(*scanp);
		*scanp = NULL;
		FLOW_GOTO(wait_for_visible(db));
	}
out:
	if (st != FLOW_OK)
	{
		flow_scan_close(*scanp);
		*scanp = NULL;
		*vecp = NULL;
	}
	return st;
}
