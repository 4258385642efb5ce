/*-------------------------------------------------------------------------
 * txbuf.c
 *	  A transaction's private write buffer: append, truncate, iterate.
 *
 * Adding is the hot path of COPY and INSERT: a bump allocation and two
 * copies.  Order is made only when somebody asks: a scan of the same
 * transaction sorts what came since the last one into an index of pointers,
 * a push sorts each piece it encodes (txbuf_push.c).
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "batch.h"
#include "txbuf_impl.h"

#define CHUNK_MIN_BYTES ((size_t) 8 << 10)
#define CHUNK_MAX_BYTES ((size_t) 1 << 20)

/* ------------------------------------------------------ create and free */

FlowStatus
flow_txbuf_create(FlowEnv *env, FlowTxBuf **bufp)
{
	FlowTxBuf *buf = env->alloc(env, sizeof(*buf));

	*bufp = NULL;
	if (buf == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: transaction buffer");
	memset(buf, 0, sizeof(*buf));
	buf->env = env;
	buf->chunk_bytes = CHUNK_MIN_BYTES;
	flowi_buf_init(&buf->index, env);
	flowi_buf_init(&buf->scratch, env);
	*bufp = buf;
	return FLOW_OK;
}

void
flow_txbuf_free(FlowTxBuf *buf)
{
	if (buf == NULL)
		return;
	flow_txbuf_truncate(buf, 0);
	buf->env->free(buf->env, buf->spare);
	flowi_buf_free(&buf->index);
	flowi_buf_free(&buf->scratch);
	buf->env->free(buf->env, buf);
}

/* --------------------------------------------------------------- chunks */

/* Append a chunk with room for size bytes. */
static FlowStatus
add_chunk(FlowTxBuf *buf, size_t size)
{
	TxChunk *chunk = buf->spare;

	if (chunk != NULL && chunk->cap >= size)
		buf->spare = NULL;
	else
	{
		size_t cap = FLOW_MAX(buf->chunk_bytes, size);

		chunk = buf->env->alloc(buf->env, sizeof(TxChunk) + cap);
		if (chunk == NULL)
			return flowi_fail(FLOW_NOMEM,
							  "out of memory: %zu bytes for a transaction's "
							  "writes",
							  cap);
		chunk->cap = cap;
		buf->chunk_bytes = FLOW_MIN(buf->chunk_bytes * 2, CHUNK_MAX_BYTES);
	}
	chunk->start = 0;
	chunk->used = 0;
	chunk->next = NULL;
	chunk->prev = buf->tail;
	if (buf->tail != NULL)
		buf->tail->next = chunk;
	else
		buf->front = chunk;
	buf->tail = chunk;
	return FLOW_OK;
}

/* Unlink a chunk.  One of the usual size is kept: COPY fills and pushes. */
static void
remove_chunk(FlowTxBuf *buf, TxChunk *chunk)
{
	if (chunk->prev != NULL)
		chunk->prev->next = chunk->next;
	else
		buf->front = chunk->next;
	if (chunk->next != NULL)
		chunk->next->prev = chunk->prev;
	else
		buf->tail = chunk->prev;
	buf->bytes -= chunk->used - chunk->start;
	if (chunk->cap <= CHUNK_MAX_BYTES &&
		(buf->spare == NULL || buf->spare->cap < chunk->cap))
	{
		TxChunk *smaller = buf->spare;

		buf->spare = chunk;
		chunk = smaller;
	}
	buf->env->free(buf->env, chunk);
}

/* -------------------------------------------------------------- writing */

FlowStatus
flow_txbuf_add(FlowTxBuf *buf, FlowOp op, uint32_t store_id, const void *key,
			   size_t key_bytes, int64_t ts, int64_t expire_at,
			   const void *value, size_t value_bytes, uint64_t xid,
			   uint32_t cid)
{
	TxChunk *chunk = buf->tail;
	TxEntry *e;
	size_t size;

	if (!flowi_batch_store_ok(store_id))
		return flowi_fail(FLOW_INVALID, "there can be no store %u", store_id);
	if (key_bytes > FLOW_MAX_KEY || value_bytes > FLOW_MAX_VALUE)
		return flowi_fail(FLOW_INVALID,
						  "key of %zu bytes or value of %zu bytes is too long",
						  key_bytes, value_bytes);
	if (op == FLOW_DELETE)
		value_bytes = 0;
	size = FLOW_ALIGN8(sizeof(TxEntry) + key_bytes + value_bytes);
	if (chunk == NULL || size > chunk->cap - chunk->used)
	{
		FLOW_TRY(add_chunk(buf, size));
		chunk = buf->tail;
	}
	e = (TxEntry *) (chunk->data + chunk->used);
	e->no = buf->next_no++;
	e->xid = xid;
	e->ts = ts;
	e->expire_at = expire_at;
	e->cid = cid;
	e->store_id = store_id;
	e->value_bytes = (uint32_t) value_bytes;
	e->key_bytes = (uint16_t) key_bytes;
	e->op = (uint8_t) op;
	e->unused = 0;
	if (key_bytes > 0)
		memcpy(e->data, key, key_bytes);
	if (value_bytes > 0)
		memcpy(e->data + key_bytes, value, value_bytes);
	chunk->used += size;
	buf->bytes += size;
	buf->generation++;
	return FLOW_OK;
}

size_t
flow_txbuf_bytes(const FlowTxBuf *buf)
{
	return buf->bytes + buf->index.cap + buf->scratch.cap;
}

size_t
flow_txbuf_count(const FlowTxBuf *buf)
{
	return (size_t) buf->next_no;
}

uint64_t
flowi_txbuf_generation(const FlowTxBuf *buf)
{
	return buf->generation;
}

static const TxEntry **
index_entries(const FlowTxBuf *buf)
{
	return (const TxEntry **) (void *) buf->index.data;
}

static size_t
index_count(const FlowTxBuf *buf)
{
	return buf->index.len / sizeof(const TxEntry *);
}

/* An empty buffer has no use for the index's memory. */
static void
free_index(FlowTxBuf *buf)
{
	flowi_buf_free(&buf->index);
	flowi_buf_free(&buf->scratch);
}

/* Entries from mark on are gone: take them out of the index. */
static void
truncate_index(FlowTxBuf *buf, uint64_t mark)
{
	const TxEntry **a = index_entries(buf);
	size_t n = index_count(buf);
	size_t kept = 0;

	if (mark >= buf->index_upto)
		return;
	for (size_t i = 0; i < n; i++)
		if (a[i]->no < mark)
			a[kept++] = a[i];
	buf->index.len = kept * sizeof(*a);
	buf->index_upto = mark;
}

void
flow_txbuf_truncate(FlowTxBuf *buf, size_t mark_arg)
{
	uint64_t mark = FLOW_MAX((uint64_t) mark_arg, buf->front_no);
	bool indexed = mark <= buf->index_upto;
	TxPos pos;
	const TxEntry *e;

	if (mark >= buf->next_no)
		return;
	truncate_index(buf, mark);
	for (;;)
	{
		pos = (TxPos){buf->tail, buf->tail ? buf->tail->start : 0};
		e = txbuf_at(&pos);
		if (e == NULL || e->no < mark)
			break;
		remove_chunk(buf, buf->tail);
	}
	if (e != NULL)
	{
		while (pos.off < buf->tail->used && e->no < mark)
		{
			pos.off += txentry_bytes(e);
			e = (const TxEntry *) (buf->tail->data + pos.off);
		}
		buf->bytes -= buf->tail->used - pos.off;
		buf->tail->used = pos.off;
	}
	buf->next_no = mark;
	if (indexed)
		buf->index_pos = (TxPos){buf->tail, buf->tail ? buf->tail->used : 0};
	if (buf->tail == NULL)
		free_index(buf);
	buf->generation++;
}

void
flowi_txbuf_drop_front(FlowTxBuf *buf, TxPos pos, uint64_t no)
{
	if (txbuf_at(&pos) == NULL)
		pos.chunk = NULL;
	while (buf->front != pos.chunk)
		remove_chunk(buf, buf->front);
	if (pos.chunk != NULL)
	{
		buf->bytes -= pos.off - pos.chunk->start;
		pos.chunk->start = pos.off;
	}
	buf->front_no = no;
	buf->index.len = 0;
	buf->index_upto = no;
	buf->index_pos = (TxPos){NULL, 0};
	if (buf->front == NULL)
		free_index(buf);
	buf->generation++;
}

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
	size_t old = index_count(buf);
	size_t n = old + (size_t) (buf->next_no - buf->index_upto);
	TxPos pos = buf->index_pos.chunk ? buf->index_pos : txbuf_front(buf);
	const TxEntry **a;
	const TxEntry *e;
	size_t i = old;

	if (n == old)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_reserve(&buf->index, (n - old) * sizeof(*a)));
	a = index_entries(buf);
	while ((e = txbuf_at(&pos)) != NULL)
	{
		a[i++] = e;
		pos.off += txentry_bytes(e);
	}
	FLOW_ASSERT(i == n);
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

static void
tx_show(TxIter *it, const TxEntry *e)
{
	FlowRec *cur = &it->base.cur;

	cur->key = e->data;
	cur->key_bytes = e->key_bytes;
	cur->value = txentry_value(e);
	cur->value_bytes = e->value_bytes;
	cur->ts = e->ts;
	cur->expire_at = e->expire_at;
	cur->seq = e->no;
	cur->txn = NULL;
	cur->op = e->op;
}

/* The newest of the equals a[from .. to) that the reader may see, or NULL. */
static const TxEntry *
newest_seen(const TxIter *it, const TxEntry **a, size_t from, size_t to)
{
	while (to-- > from)
		if (a[to]->cid < it->own_cid)
			return a[to];
	return NULL;
}

static FlowStatus
tx_next_forward(FlowIter *base)
{
	TxIter *it = (TxIter *) base;
	const TxEntry **a = index_entries(it->buf);
	size_t n = index_count(it->buf);

	FLOW_ASSERT(it->generation == it->buf->generation);
	while (it->at < n && a[it->at]->store_id == it->store_id)
	{
		size_t from = it->at++;
		const TxEntry *e;

		while (it->at < n && txentry_cmp(a[from], a[it->at]) == 0)
			it->at++;
		e = newest_seen(it, a, from, it->at);
		if (e != NULL)
		{
			tx_show(it, e);
			return FLOW_OK;
		}
	}
	return FLOW_END;
}

static FlowStatus
tx_next_reverse(FlowIter *base)
{
	TxIter *it = (TxIter *) base;
	const TxEntry **a = index_entries(it->buf);

	FLOW_ASSERT(it->generation == it->buf->generation);
	while (it->at > 0 && a[it->at - 1]->store_id == it->store_id)
	{
		size_t to = it->at--;
		const TxEntry *e;

		while (it->at > 0 && txentry_cmp(a[it->at - 1], a[to - 1]) == 0)
			it->at--;
		e = newest_seen(it, a, it->at, to);
		if (e != NULL)
		{
			tx_show(it, e);
			return FLOW_OK;
		}
	}
	return FLOW_END;
}

/*
 * Number of entries before (store, target); behind: its equals count too.
 * An unbounded target is before, or behind, all of its store.
 */
static size_t
count_before(const TxIter *it, const FlowSeek *to, bool behind)
{
	const TxEntry **a = index_entries(it->buf);
	size_t lo = 0;
	size_t hi = index_count(it->buf);

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
