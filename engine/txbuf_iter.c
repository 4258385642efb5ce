/*-------------------------------------------------------------------------
 * txbuf_iter.c
 *	  Read a transaction's private buffer: the index, the iterator, range
 *	  tombstones.
 *
 * The index is pointers to the entries in order.  What came since it was made
 * is sorted and merged in when the next iterator is.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "txbuf_impl.h"

/* ---------------------------------------------------------------- index */

/*
 * Merge the sorted a[old .. n) into the sorted a[0 .. old), from the back by
 * blocks: cheap when few new entries meet many old ones, as in a loop that
 * writes a row and reads.
 */
static FlowStatus
merge_new(FlowTxBuf *buf, const TxEntry **a, size_t old, size_t n)
{
	const TxEntry **fresh;
	size_t out = n;

	if (old == 0 || old == n || txentry_cmp(a[old - 1], a[old]) <= 0)
		return FLOW_OK;
	buf->scratch.len = 0;
	FLOW_TRY(flowi_buf_reserve(&buf->scratch, (n - old) * sizeof(*a)));
	fresh = (const TxEntry **) (void *) buf->scratch.data;
	memcpy(fresh, &a[old], (n - old) * sizeof(*a));
	for (size_t left = n - old; left > 0; left--)
	{
		size_t at = flowi_txbuf_behind(a, old, fresh[left - 1]);

		memmove(&a[out - (old - at)], &a[at], (old - at) * sizeof(*a));
		out -= old - at;
		old = at;
		a[--out] = fresh[left - 1];
	}
	return FLOW_OK;
}

/* Bring the index up to date.  On failure it is as before. */
static FlowStatus
refresh_index(FlowTxBuf *buf)
{
	size_t old = txbuf_index_count(buf);
	size_t more = (size_t) (buf->next_no - buf->index_upto);
	TxPos pos = buf->index_pos.chunk ? buf->index_pos : txbuf_front(buf);
	const TxEntry **a;
	const TxEntry *e;
	size_t n = old;

	if (more == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_reserve(&buf->index, more * sizeof(*a)));
	a = txbuf_index(buf);
	while ((e = txbuf_at(&pos)) != NULL)
	{
		if (e->op != FLOW_DELETE_RANGE)
			a[n++] = e;
		pos.off += txentry_bytes(e);
	}
	FLOW_ASSERT(n <= old + more);
	FLOW_TRY(flowi_txbuf_sort(a + old, n - old, &buf->scratch));
	FLOW_TRY(merge_new(buf, a, old, n));
	buf->index.len = n * sizeof(*a);
	buf->index_upto = buf->next_no;
	buf->index_pos = pos;
	return FLOW_OK;
}

/* ------------------------------------------------------------- iterator */

typedef struct TxIter
{
	FlowIter base;
	const FlowTxBuf *buf;
	uint64_t generation;
	uint32_t store_id;
	uint32_t own_cid;
	size_t at; /* between the entries given and those to come */
} TxIter;

/* The transaction of what the reader must not see. */
static FlowTxn unseen = {.xid = UINT64_MAX, .state = FLOW_TXN_ABORTED};

/* Show the newest of the equals a[from .. to) that the reader may see. */
static void
show_newest(TxIter *it, const TxEntry **a, size_t from, size_t to)
{
	for (size_t i = to; i-- > from;)
		if (a[i]->cid < it->own_cid)
		{
			it->base.cur = txentry_rec(a[i]);
			return;
		}
	it->base.cur = txentry_rec(a[to - 1]);
	it->base.cur.txn = &unseen;
}

static FlowStatus
tx_next_forward(FlowIter *base)
{
	TxIter *it = (TxIter *) base;
	const TxEntry **a = txbuf_index(it->buf);
	size_t n = txbuf_index_count(it->buf);
	size_t from;

	FLOW_ASSERT(it->generation == it->buf->generation);
	if (it->at == n || a[it->at]->store_id != it->store_id)
		return FLOW_END;
	from = it->at++;
	while (it->at < n && txentry_cmp(a[from], a[it->at]) == 0)
		it->at++;
	show_newest(it, a, from, it->at);
	return FLOW_OK;
}

static FlowStatus
tx_next_reverse(FlowIter *base)
{
	TxIter *it = (TxIter *) base;
	const TxEntry **a = txbuf_index(it->buf);
	size_t to;

	FLOW_ASSERT(it->generation == it->buf->generation);
	if (it->at == 0 || a[it->at - 1]->store_id != it->store_id)
		return FLOW_END;
	to = it->at--;
	while (it->at > 0 && txentry_cmp(a[it->at - 1], a[to - 1]) == 0)
		it->at--;
	show_newest(it, a, it->at, to);
	return FLOW_OK;
}

/*
 * Number of entries before (store, target); behind: its equals count too.
 * An unbounded target is before, or behind, all of its store.
 */
static size_t
count_before(const TxIter *it, const FlowSeek *to, bool behind)
{
	const TxEntry **a = txbuf_index(it->buf);
	size_t lo = 0;
	size_t hi = txbuf_index_count(it->buf);

	while (lo < hi)
	{
		size_t mid = lo + (hi - lo) / 2;
		const TxEntry *e = a[mid];
		int c = 0;

		if (e->store_id != it->store_id)
			c = e->store_id < it->store_id ? -1 : 1;
		else if (!to->unbounded)
			c = flowi_identity_cmp(e->data, e->key_bytes, e->ts, to->key,
								   to->key_bytes, to->ts);
		if (c < 0 || (c == 0 && behind))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static FlowStatus
tx_seek_forward(FlowIter *base, const FlowSeek *to)
{
	TxIter *it = (TxIter *) base;

	it->at = count_before(it, to, to->after && !to->unbounded);
	return tx_next_forward(base);
}

static FlowStatus
tx_seek_reverse(FlowIter *base, const FlowSeek *to)
{
	TxIter *it = (TxIter *) base;

	it->at = count_before(it, to, !to->after || to->unbounded);
	return tx_next_reverse(base);
}

static void
tx_free(FlowIter *base)
{
	TxIter *it = (TxIter *) base;

	it->buf->env->free(it->buf->env, it);
}

FlowStatus
flowi_txbuf_iter(FlowTxBuf *buf, uint32_t store_id, uint32_t own_cid,
				 bool reverse, FlowIter **itp)
{
	TxIter *it;

	*itp = NULL;
	FLOW_TRY(refresh_index(buf));
	it = buf->env->alloc(buf->env, sizeof(*it));
	if (it == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: buffer iterator");
	memset(it, 0, sizeof(*it));
	it->base.seek = reverse ? tx_seek_reverse : tx_seek_forward;
	it->base.next = reverse ? tx_next_reverse : tx_next_forward;
	it->base.free = tx_free;
	it->buf = buf;
	it->generation = buf->generation;
	it->store_id = store_id;
	it->own_cid = own_cid;
	*itp = &it->base;
	return FLOW_OK;
}

FlowStatus
flowi_txbuf_each_tomb(FlowTxBuf *buf, uint32_t store_id, uint32_t own_cid,
					  FlowStatus (*fn)(void *arg, const FlowTomb *tomb),
					  void *arg)
{
	const TxEntry **a = txbuf_tombs(buf);

	for (size_t i = txbuf_tomb_count(buf); i-- > buf->tombs_gone;)
	{
		const TxEntry *e = a[i];

		if (e->store_id == store_id && e->cid < own_cid)
			FLOW_TRY(fn(arg, &(FlowTomb){.rect = txentry_rect(e),
										 .seq = FLOW_OWN_SEQ + e->no}));
	}
	return FLOW_OK;
}
