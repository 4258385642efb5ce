/*-------------------------------------------------------------------------
 * since.c
 *	  Has anybody written a record since it was read?
 *
 * All versions behind the place are looked at, not only the newest: that one
 * may be of an aborted transaction, and one below it count.
 *
 * What flushes and merges leave out cannot hide a write that counts (I7).  An
 * aborted one does not count (K1).  One that is left out for a newer one, or a
 * range tombstone, that is settled, leaves that behind, with a higher sequence
 * (K2), and of twins one (K4).  A settled tombstone or expired row that hides
 * nothing any more, however, goes by itself (K3, K5, garbage collection).  All
 * that it has hidden went before or together with it: so when the database
 * knows of such a one at or behind the place (gone_seq, raised before the
 * files that lack it can be seen), and not a single version of the record is
 * left, not even an old one, then the record may have been deleted since, and
 * counts as written.  Unless it was absent before: then nothing was lost.
 *
 * Keeps: S9.  Locks: L2 within.
 *-------------------------------------------------------------------------
 */
#include "since.h"

#include "readers.h"

/* ------------------------------------------------------------ an SSTable */

static bool
has_identity(const FlowRec *rec, const FlowSince *q)
{
	return rec->ts == q->ts &&
		   flowi_key_cmp(rec->key, rec->key_bytes, q->key, q->key_bytes) == 0;
}

/* The transaction of a sequence; NULL: settled. */
static FlowTxn *
txn_of(FlowSst *sst, uint64_t seq)
{
	if (atomic_load_explicit(&sst->unsettled, memory_order_acquire) == 0)
		return NULL;
	return flowi_version_find_txn(sst, seq);
}

static bool
has_tomb(FlowSst *sst, const FlowSstReader *file, const FlowSince *q)
{
	uint32_t n;
	const FlowTomb *tomb = flowi_sst_tombs(file, &n); /* newest first */

	for (uint32_t i = 0; i < n && tomb[i].seq >= q->from; i++)
	{
		const FlowRect *r = &tomb[i].rect;

		if (r->ts_lo <= q->ts && q->ts <= r->ts_hi &&
			flowi_rect_has_key(r, q->key, q->key_bytes) &&
			flowi_since_counts(q, txn_of(sst, tomb[i].seq)))
			return true;
	}
	return false;
}

static FlowStatus
look_for_version(FlowReader *reader, FlowSst *sst, const FlowSince *q,
				 bool *writtenp)
{
	FlowSeek to = {.key = q->key, .key_bytes = q->key_bytes, .ts = q->ts};
	FlowIter *it;
	FlowStatus st;

	FLOW_TRY(flowi_readers_get_iter(reader, sst));
	it = reader->get_iter;
	st = it->seek(it, &to);
	while (st == FLOW_OK && !*writtenp && has_identity(&it->cur, q) &&
		   it->cur.seq >= q->from)
	{
		*writtenp = flowi_since_counts(q, it->cur.txn);
		st = it->next(it);
	}
	flowi_sst_iter_pause(it);
	return st == FLOW_END ? FLOW_OK : st;
}

static bool
may_have_version(const FlowSstInfo *info, const FlowSince *q)
{
	return info->records > 0 && info->ts_min <= q->ts &&
		   q->ts <= info->ts_max &&
		   flowi_key_cmp(info->key_min, info->key_min_bytes, q->key,
						 q->key_bytes) <= 0 &&
		   flowi_key_cmp(info->key_max, info->key_max_bytes, q->key,
						 q->key_bytes) >= 0;
}

static bool
may_have_tomb(const FlowSstInfo *info, const FlowSince *q)
{
	return !q->no_tombs && info->ntombs > 0 && info->cover.ts_lo <= q->ts &&
		   q->ts <= info->cover.ts_hi &&
		   flowi_rect_has_key(&info->cover, q->key, q->key_bytes);
}

static FlowStatus
look_into_sst(FlowDb *db, FlowSst *sst, const FlowSince *q, bool *writtenp)
{
	bool version = may_have_version(&sst->info, q);
	bool tomb = may_have_tomb(&sst->info, q);
	FlowReader *reader;
	FlowStatus st = FLOW_OK;

	if (!version && !tomb)
		return FLOW_OK;
	FLOW_TRY(flowi_readers_acquire(db->readers, sst, &reader));
	*writtenp = tomb && has_tomb(sst, reader->sst, q);
	if (version && !*writtenp)
		st = look_for_version(reader, sst, q, writtenp);
	flowi_readers_release(db->readers, reader);
	return st;
}

/* -------------------------------------------------------------- all sources */

static FlowStatus
look_everywhere(FlowDb *db, const FlowPins *pins, const FlowSince *q,
				bool *writtenp)
{
	const FlowVersion *v = pins->version;
	uint32_t first;
	uint32_t n = flowi_version_store(v, q->store_id, &first);

	*writtenp = false;
	for (uint32_t i = 0; i < pins->nmemtables && !*writtenp; i++)
		*writtenp = flowi_memtable_since(pins->memtables[i], q);
	for (uint32_t i = first + n; i-- > first && !*writtenp;)
		if (v->sst[i]->info.seq_max >= q->from)
			FLOW_TRY(look_into_sst(db, v->sst[i], q, writtenp));
	return FLOW_OK;
}

/* FlowCountsFn: any version, own ones too, but of one that was aborted. */
static bool
is_left(void *arg, uint64_t xid, FlowTxnState state)
{
	FlowEnv *env = arg;

	if (state == FLOW_TXN_UNKNOWN &&
		env->txn_outcome(env, xid, &state) != FLOW_OK)
		return false;
	return state != FLOW_TXN_ABORTED;
}

FlowStatus
flowi_since_written(FlowDb *db, const FlowPins *pins, const FlowSince *q,
					bool *writtenp)
{
	FlowSince ever = *q;

	FLOW_TRY(look_everywhere(db, pins, q, writtenp));
	if (*writtenp || q->absent || atomic_load(&db->sh->gone_seq) < q->from)
		return FLOW_OK;
	ever.from = 0;
	ever.no_tombs = true;
	ever.counts = is_left;
	ever.counts_arg = db->env;
	FLOW_TRY(look_everywhere(db, pins, &ever, writtenp));
	*writtenp = !*writtenp;
	return FLOW_OK;
}

/*
 * Under the state lock list and memory of the memtables stay; nothing is
 * pinned, because a pin would keep memory that the write may have to wait for.
 */
bool
flowi_since_changed(FlowDb *db, const FlowSince *q)
{
	FlowDbShared *sh = db->sh;
	FlowSince any = *q;
	bool changed;

	any.counts = NULL;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	/* of what was logged behind it nothing is in a file yet */
	changed = atomic_load(&sh->flushed_pos) > q->from;
	if (!changed && sh->active)
		changed = flowi_memtable_since(sh->active, &any);
	for (FlowMemtable *mt = sh->frozen; mt && !changed; mt = mt->next_older)
		changed = flowi_memtable_since(mt, &any);
	db->env->lock_release(db->env, &sh->state_lock);
	return changed;
}

uint64_t
flow_log_seen(FlowDb *db)
{
	return atomic_load(&db->sh->visible_end);
}
