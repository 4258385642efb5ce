/*-------------------------------------------------------------------------
 * patch.c
 *	  Change one live row in place.
 *
 * Read, encode, write; the write happens under the condition, looked at under
 * the write lock, that nothing has come to the row since it was read.  What
 * has come since is in a memtable, for a flush in between changes the number
 * of the version, and then it is all done again.
 *
 * Keeps: S1.  Locks: L1, and L2 within.
 *-------------------------------------------------------------------------
 */
#include "embed.h"

#include "active.h"
#include "scan.h"

/* A patch under way. */
typedef struct Patch
{
	uint32_t store_id;
	FlowSeek to;

	/* what was read is of this version and of all records before seen */
	uint64_t version;
	uint64_t seen;

	bool changed; /* since */
} Patch;

/* ------------------------------------------------------ under the write lock */

/* Does the memtable hold a version of the row that was not seen? */
static FlowStatus
look_for_version(FlowDb *db, Patch *p, FlowMemtable *mt)
{
	FlowIter *it;
	FlowStatus st;

	FLOW_TRY(flowi_memtable_iter(db->env, mt, p->store_id, false, &it));
	st = it->seek(it, &p->to); /* the newest one */
	if (st == FLOW_OK &&
		flowi_identity_cmp(it->cur.key, it->cur.key_bytes, it->cur.ts,
						   p->to.key, p->to.key_bytes, p->to.ts) == 0 &&
		it->cur.seq >= p->seen)
		p->changed = true;
	it->free(it);
	return st == FLOW_END ? FLOW_OK : st;
}

static FlowStatus
look_at_tomb(void *arg, const FlowTomb *tomb)
{
	Patch *p = arg;

	if (tomb->seq < p->seen)
		return FLOW_END; /* the newest come first */
	if (tomb->rect.ts_lo <= p->to.ts && p->to.ts <= tomb->rect.ts_hi &&
		flowi_rect_has_key(&tomb->rect, p->to.key, p->to.key_bytes))
		p->changed = true;
	return FLOW_OK;
}

static FlowStatus
look_into(FlowDb *db, Patch *p, FlowMemtable *mt)
{
	FlowStatus st;

	FLOW_TRY(look_for_version(db, p, mt));
	st = flowi_memtable_each_tomb(mt, p->store_id, look_at_tomb, p);
	return st == FLOW_END ? FLOW_OK : st;
}

/*
 * FlowWriteCheckFn: END when the row may have changed.  The state lock keeps
 * version and list together; nothing is pinned, because a pin would keep the
 * memory that the write may have to wait for.
 */
static FlowStatus
still_the_same(FlowDb *db, void *arg)
{
	FlowDbShared *sh = db->sh;
	Patch *p = arg;
	FlowStatus st = FLOW_OK;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	p->changed = atomic_load(&sh->version_number) != p->version;
	if (sh->active)
		st = look_into(db, p, sh->active);
	for (FlowMemtable *mt = sh->frozen; mt && st == FLOW_OK;
		 mt = mt->next_older)
		st = look_into(db, p, mt);
	db->env->lock_release(db->env, &sh->state_lock);
	return st == FLOW_OK && p->changed ? FLOW_END : st;
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
	FLOW_TRY(flowi_scan_emit(s, FLOW_SOURCE_MEMTABLE, &rec));
	s->stats = stats;
	return FLOW_OK;
}

/* One attempt.  END: the row has changed since it was read. */
static FlowStatus
attempt(FlowDb *db, Patch *p, const void *value, size_t value_bytes,
		const FlowWriteOptions *opts, FlowScan **scanp, const FlowVector **vecp)
{
	int64_t now = db->env->now_us(db->env);
	int64_t purged = atomic_load(&db->sh->purge_horizon);
	FlowScanSpec spec = {.store_id = p->store_id, .now = FLOW_MAX(now, purged)};
	const FlowVector *vec;

	/* the get takes its own later, so what is missed here is looked at twice */
	p->version = atomic_load(&db->sh->version_number);
	p->seen = atomic_load(&db->sh->visible_end);
	FLOW_TRY(
		flow_get(db, &spec, p->to.key, p->to.key_bytes, p->to.ts, scanp, vecp));
	FLOW_TRY(patch_row(*scanp, value, value_bytes, opts));
	vec = *vecp;
	FLOW_TRY(flowi_embed_begin(db));
	FLOW_TRY(flowi_batch_add(db->batch, FLOW_PUT, p->store_id, vec->key[0],
							 vec->key_bytes[0], vec->ts[0], vec->expire_at[0],
							 vec->value[0], vec->value_bytes[0]));
	return flowi_embed_finish(db, opts, still_the_same, p);
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
	Patch p = {.store_id = store_id, .to = {.key = key, .ts = ts}};
	FlowStatus st;

	*scanp = NULL;
	*vecp = NULL;
	FLOW_TRY(flowi_embed_check(db, store_id, opts));
	FLOW_TRY(flowi_embed_check_lengths(key_bytes, value ? value_bytes : 0));
	p.to.key_bytes = (uint32_t) key_bytes;
	while ((st = attempt(db, &p, value, value_bytes, opts, scanp, vecp)) ==
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
