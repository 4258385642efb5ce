/*-------------------------------------------------------------------------
 * cover.c
 *	  Whole SSTables that a range tombstone in memory hides from everybody.
 *
 * A merge drops what a range tombstone hides, but it writes, and the flush
 * before it writes more: on a full disk neither can.  The tombstone of a
 * TRUNCATE or of flowdb_delete_range is in the log, though, and that is
 * enough to drop the files that it hides as a whole.
 *
 * The tombstones are looked for in the memtables only: those in SSTables have
 * merges.  One that is flushed meanwhile is as durable as before.
 *
 * Keeps: I7, S5 (the caller syncs the log).
 *-------------------------------------------------------------------------
 */
#include "cover.h"

FlowStatus
flowi_cover_begin(FlowCover *c, FlowDb *db)
{
	*c = (FlowCover){.db = db};
	c->tombs = db->env->alloc(db->env, FLOW_COVER_TOMBS * sizeof(FlowTomb));
	if (c->tombs == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	return flowi_pins_take_memtables(db, &c->pins);
}

void
flowi_cover_end(FlowCover *c)
{
	flowi_pins_drop_memtables(c->db, &c->pins);
	flowi_pins_free(c->db, &c->pins);
	c->db->env->free(c->db->env, c->tombs);
}

/* Committed before every snapshot there is?  The host is asked unless that is
 * known; one that it has forgotten is not taken for settled. */
static bool
is_settled(FlowEnv *env, FlowTxn *txn)
{
	FlowTxnState state;

	if (txn == NULL || txn->xid == 0)
		return true;
	state = (FlowTxnState) atomic_load(&txn->state);
	if (state != FLOW_TXN_UNKNOWN && state != FLOW_TXN_COMMITTED)
		return state == FLOW_TXN_SETTLED;
	if (env->txn_outcome(env, txn->xid, &state) != FLOW_OK)
		return false;
	flowi_version_learn(txn, state);
	return state == FLOW_TXN_SETTLED;
}

static FlowStatus
collect(void *arg, const FlowTomb *tomb)
{
	FlowCover *c = arg;

	if (c->looked++ >= FLOW_COVER_TOMBS)
		return FLOW_OK;
	if (tomb->seq < c->pins.visible_end && is_settled(c->db->env, tomb->txn))
		c->tombs[c->n++] = *tomb;
	return FLOW_OK;
}

FlowStatus
flowi_cover_store(FlowCover *c, uint32_t store_id)
{
	c->n = c->looked = 0;
	for (uint32_t i = 0; i < c->pins.nmemtables; i++)
		FLOW_TRY(flowi_memtable_each_tomb(c->pins.memtables[i], store_id,
										  collect, c));
	return FLOW_OK;
}

/* Does r have all of the keys from a to b, both included, and of the times? */
static bool
has_span(const FlowRect *r, const FlowSstInfo *info)
{
	return r->ts_lo <= info->ts_min && info->ts_max <= r->ts_hi &&
		   flowi_rect_has_key(r, info->key_min, info->key_min_bytes) &&
		   flowi_rect_has_key(r, info->key_max, info->key_max_bytes);
}

static bool
has_rect(const FlowRect *r, const FlowRect *inner)
{
	return r->ts_lo <= inner->ts_lo && inner->ts_hi <= r->ts_hi &&
		   flowi_key_cmp(r->key_lo, r->key_lo_bytes, inner->key_lo,
						 inner->key_lo_bytes) <= 0 &&
		   (r->key_hi == NULL ||
			(inner->key_hi != NULL &&
			 flowi_key_cmp(inner->key_hi, inner->key_hi_bytes, r->key_hi,
						   r->key_hi_bytes) <= 0));
}

bool
flowi_cover_hides(const FlowCover *c, const FlowSst *sst)
{
	const FlowSstInfo *info = &sst->info;

	for (uint32_t i = 0; i < c->n; i++)
	{
		const FlowTomb *t = &c->tombs[i];

		if (info->seq_max < t->seq &&
			(info->records == 0 || has_span(&t->rect, info)) &&
			(info->ntombs == 0 || has_rect(&t->rect, &info->cover)))
			return true;
	}
	return false;
}
