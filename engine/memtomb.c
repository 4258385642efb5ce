/*-------------------------------------------------------------------------
 * memtomb.c
 *	  The range tombstones of a memtable: a list in its arena.
 *
 * Like a node, a tombstone is complete, sequence included, before a release
 * store of the list's head shows it; it is never changed nor removed then,
 * and neither are the older ones behind it.  So a reader needs no lock:
 *
 *	 FlowMemTomb | key_lo | key_hi |  -> older
 *
 * They are few beside the records, and who reads collects those that matter
 * to it into a set (tomb.c), so a list will do.
 *
 * Keeps: S1, S3.  Writers hold the database's write lock.
 *-------------------------------------------------------------------------
 */
#include "memtable.h"

struct FlowMemTomb
{
	FlowMemTomb *older; /* while staged: of the same batch */
	FlowTxn *txn;		/* directory entry: sequence, transaction */
	int64_t ts_lo;
	int64_t ts_hi;
	uint32_t store_id;
	uint32_t key_hi_bytes;
	uint16_t key_lo_bytes;
	bool open; /* no key_hi */
	uint8_t data[];
};

_Static_assert(FLOW_MAX_KEY <= UINT16_MAX, "key_lo_bytes is 16 bits wide");
_Static_assert(sizeof(FlowMemTomb) == FLOW_MEMTOMB_BYTES,
			   "the arena gives no less");

bool
flowi_memtomb_stage(FlowEnv *env, FlowMemtable *mt, const FlowBatchCursor *c,
					FlowTxn *txn)
{
	FlowMemTomb *tomb = flowi_arena_alloc(env, &mt->arena,
										  sizeof(*tomb) + c->key_bytes +
											  (size_t) c->value_bytes);

	if (tomb == NULL)
		return false;
	tomb->older = mt->staged_tombs;
	tomb->txn = txn;
	tomb->ts_lo = c->ts;
	tomb->ts_hi = c->expire_at;
	tomb->store_id = c->store_id;
	tomb->key_lo_bytes = (uint16_t) c->key_bytes;
	tomb->key_hi_bytes = c->value_bytes;
	tomb->open = c->value == NULL;
	if (c->key_bytes > 0)
		memcpy(tomb->data, c->key, c->key_bytes);
	if (c->value_bytes > 0)
		memcpy(tomb->data + c->key_bytes, c->value, c->value_bytes);
	mt->staged_tombs = tomb;
	return true;
}

void
flowi_memtomb_link(FlowMemtable *mt)
{
	FlowMemTomb *newest = mt->staged_tombs;
	FlowMemTomb *oldest = newest;
	uint64_t n = 1;

	for (; oldest->older != NULL; oldest = oldest->older)
		n++;
	oldest->older = atomic_load_explicit(&mt->tombs, memory_order_relaxed);
	atomic_store_explicit(&mt->tombs, newest, memory_order_release);
	/* behind the list: who knows of so many finds them */
	atomic_fetch_add_explicit(&mt->ntombs, n, memory_order_release);
	mt->staged_tombs = NULL;
}

static FlowRect
rect_of(const FlowMemTomb *tomb)
{
	return (FlowRect){.key_lo = tomb->data,
					  .key_hi =
						  tomb->open ? NULL : tomb->data + tomb->key_lo_bytes,
					  .key_lo_bytes = tomb->key_lo_bytes,
					  .key_hi_bytes = tomb->key_hi_bytes,
					  .ts_lo = tomb->ts_lo,
					  .ts_hi = tomb->ts_hi};
}

static const FlowMemTomb *
newest_tomb(FlowMemtable *mt)
{
	return atomic_load_explicit(&mt->tombs, memory_order_acquire);
}

FlowStatus
flowi_memtable_each_tomb(FlowMemtable *mt, uint32_t store_id,
						 FlowStatus (*fn)(void *arg, const FlowTomb *tomb),
						 void *arg)
{
	for (const FlowMemTomb *t = newest_tomb(mt); t; t = t->older)
	{
		if (t->store_id == store_id)
			FLOW_TRY(fn(arg, &(FlowTomb){.rect = rect_of(t),
										 .seq = t->txn->seq_first,
										 .txn = t->txn}));
	}
	return FLOW_OK;
}

uint32_t
flowi_memtomb_next_store(FlowMemtable *mt, uint32_t from)
{
	uint32_t least = 0;

	for (const FlowMemTomb *t = newest_tomb(mt); t; t = t->older)
	{
		if (t->store_id >= from && (least == 0 || t->store_id < least))
			least = t->store_id;
	}
	return least;
}

bool
flowi_memtomb_since(FlowMemtable *mt, const FlowSince *q)
{
	for (const FlowMemTomb *t = newest_tomb(mt);
		 t != NULL && t->txn->seq_first >= q->from; t = t->older)
	{
		FlowRect rect = rect_of(t);

		if (t->store_id == q->store_id && rect.ts_lo <= q->ts &&
			q->ts <= rect.ts_hi &&
			flowi_rect_has_key(&rect, q->key, q->key_bytes) &&
			flowi_since_counts(q, t->txn))
			return true;
	}
	return false;
}
