/*-------------------------------------------------------------------------
 * txbuf.c
 *	  A transaction's private write buffer: append, truncate.
 *
 * Adding is the hot path of COPY and INSERT: a bump allocation and two
 * copies.  Order is made only when somebody asks: a scan of the same
 * transaction sorts what came since the last one into an index of pointers
 * (txbuf_iter.c), a push sorts each piece it encodes (txbuf_push.c).
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
	flowi_buf_init(&buf->tombs, env);
	flowi_buf_init(&buf->checks, env);
	flowi_buf_init(&buf->nodes, env);
	flowi_buf_init(&buf->slots, env);
	flowi_buf_init(&buf->index, env);
	flowi_buf_init(&buf->scratch, env);
	*bufp = buf;
	return FLOW_OK;
}

/* An empty buffer has no use for the memory of the lists. */
static void
free_lists(FlowTxBuf *buf)
{
	flowi_buf_free(&buf->tombs);
	flowi_buf_free(&buf->checks);
	flowi_buf_free(&buf->nodes);
	flowi_buf_free(&buf->slots);
	flowi_buf_free(&buf->index);
	flowi_buf_free(&buf->scratch);
}

void
flow_txbuf_free(FlowTxBuf *buf)
{
	if (buf == NULL)
		return;
	flow_txbuf_truncate(buf, 0);
	buf->env->free(buf->env, buf->spare);
	free_lists(buf);
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

/* An entry behind all others with room for key and value, not counted yet. */
static FlowStatus
new_entry(FlowTxBuf *buf, uint32_t store_id, size_t key_bytes,
		  size_t value_bytes, TxEntry **ep)
{
	TxChunk *chunk = buf->tail;
	size_t size = FLOW_ALIGN8(sizeof(TxEntry) + key_bytes + value_bytes);
	TxEntry *e;

	if (!flowi_batch_store_ok(store_id))
		return flowi_fail(FLOW_INVALID, "there can be no store %u", store_id);
	if (chunk == NULL || size > chunk->cap - chunk->used)
	{
		FLOW_TRY(add_chunk(buf, size));
		chunk = buf->tail;
	}
	e = (TxEntry *) (chunk->data + chunk->used);
	e->no = buf->next_no++;
	e->store_id = store_id;
	e->key_bytes = (uint16_t) key_bytes;
	e->value_bytes = (uint32_t) value_bytes;
	chunk->used += size;
	buf->bytes += size;
	buf->generation++;
	buf->last = e;
	*ep = e;
	return FLOW_OK;
}

FlowStatus
flow_txbuf_add(FlowTxBuf *buf, FlowOp op, uint32_t store_id, const void *key,
			   size_t key_bytes, int64_t ts, int64_t expire_at,
			   const void *value, size_t value_bytes, uint64_t xid,
			   uint32_t cid)
{
	TxEntry *e;

	if (key_bytes > FLOW_MAX_KEY || value_bytes > FLOW_MAX_VALUE)
		return flowi_fail(FLOW_INVALID,
						  "key of %zu bytes or value of %zu bytes is too long",
						  key_bytes, value_bytes);
	if (op == FLOW_DELETE)
		value_bytes = 0;
	else if (op != FLOW_PUT)
		return flowi_fail(FLOW_INVALID, "no operation on one record: %d",
						  (int) op);
	FLOW_TRY(new_entry(buf, store_id, key_bytes, value_bytes, &e));
	e->xid = xid;
	e->ts = ts;
	e->expire_at = expire_at;
	e->cid = cid;
	e->op = (uint8_t) op;
	e->open = false;
	if (key_bytes > 0)
		memcpy(e->data, key, key_bytes);
	if (value_bytes > 0)
		memcpy(e->data + key_bytes, value, value_bytes);
	return FLOW_OK;
}

FlowStatus
flow_txbuf_delete_range(FlowTxBuf *buf, uint32_t store_id, const FlowRect *rect,
						uint64_t xid, uint32_t cid)
{
	bool open = rect->key_hi == NULL;
	uint32_t hi_bytes = open ? 0 : rect->key_hi_bytes;
	TxEntry *e;

	if (rect->key_lo_bytes > FLOW_MAX_KEY || hi_bytes > FLOW_MAX_KEY)
		return flowi_fail(FLOW_INVALID,
						  "range of keys of %u and %u bytes is too long",
						  rect->key_lo_bytes, hi_bytes);
	FLOW_TRY(flowi_buf_reserve(&buf->tombs, sizeof(e)));
	FLOW_TRY(new_entry(buf, store_id, rect->key_lo_bytes, hi_bytes, &e));
	e->xid = xid;
	e->ts = rect->ts_lo;
	e->expire_at = rect->ts_hi;
	e->cid = cid;
	e->op = FLOW_DELETE_RANGE;
	e->open = open;
	if (rect->key_lo_bytes > 0)
		memcpy(e->data, rect->key_lo, rect->key_lo_bytes);
	if (hi_bytes > 0)
		memcpy(e->data + rect->key_lo_bytes, rect->key_hi, hi_bytes);
	buf->tombs_generation++;
	return flowi_buf_append(&buf->tombs, &e, sizeof(e));
}

FlowStatus
flow_txbuf_check(FlowTxBuf *buf, uint64_t seen, bool absent)
{
	TxCheck check = {buf->last, seen, absent};

	if (buf->last == NULL || buf->last->op == FLOW_DELETE_RANGE)
		return flowi_fail(FLOW_INVALID, "no record was added to be checked");
	return flowi_buf_append(&buf->checks, &check, sizeof(check));
}

void
flow_txbuf_set_counts(FlowTxBuf *buf, FlowCountsFn counts, void *arg)
{
	buf->counts = counts;
	buf->counts_arg = arg;
}

size_t
flow_txbuf_bytes(const FlowTxBuf *buf)
{
	return buf->bytes + buf->tombs.cap + buf->checks.cap + buf->nodes.cap +
		   buf->slots.cap + buf->index.cap + buf->scratch.cap;
}

bool
flow_txbuf_pending(const FlowTxBuf *buf)
{
	return buf->front != NULL;
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

uint64_t
flowi_txbuf_tombs_generation(const FlowTxBuf *buf)
{
	return buf->tombs_generation;
}

/* Entries before from and those from to on are gone, or go. */
static void
keep_tombs(FlowTxBuf *buf, uint64_t from, uint64_t to)
{
	const TxEntry **a = txbuf_tombs(buf);
	size_t n = txbuf_tomb_count(buf);

	if (n == 0)
		return;
	buf->tombs_generation++;
	while (n > buf->tombs_gone && a[n - 1]->no >= to)
		n--;
	while (buf->tombs_gone < n && a[buf->tombs_gone]->no < from)
		buf->tombs_gone++;
	if (buf->tombs_gone == n)
		buf->tombs_gone = n = 0;
	buf->tombs.len = n * sizeof(*a);
}

/* The same for the checks. */
static void
keep_checks(FlowTxBuf *buf, uint64_t from, uint64_t to)
{
	const TxCheck *a = txbuf_checks(buf);
	size_t n = txbuf_check_count(buf);

	while (n > buf->checks_gone && a[n - 1].e->no >= to)
		n--;
	while (buf->checks_gone < n && a[buf->checks_gone].e->no < from)
		buf->checks_gone++;
	if (buf->checks_gone == n)
		buf->checks_gone = n = 0;
	buf->checks.len = n * sizeof(*a);
}

/* Entries from mark on are gone: take them out of the index. */
static void
truncate_index(FlowTxBuf *buf, uint64_t mark)
{
	const TxEntry **a = txbuf_index(buf);
	size_t n = txbuf_index_count(buf);
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
	bool noded = mark <= buf->nodes_upto;
	TxPos pos;
	const TxEntry *e;

	if (mark >= buf->next_no)
		return;
	truncate_index(buf, mark);
	flowi_txbuf_cut_nodes(buf, mark);
	keep_tombs(buf, buf->front_no, mark);
	keep_checks(buf, buf->front_no, mark);
	buf->last = NULL;
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
	pos = (TxPos){buf->tail, buf->tail ? buf->tail->used : 0};
	if (indexed)
		buf->index_pos = pos;
	if (noded)
	{
		buf->nodes_upto = mark;
		buf->nodes_pos = pos;
	}
	if (buf->tail == NULL)
		free_lists(buf);
	buf->generation++;
}

void
flowi_txbuf_drop_front(FlowTxBuf *buf, TxPos pos, uint64_t no)
{
	keep_tombs(buf, no, buf->next_no);
	keep_checks(buf, no, buf->next_no);
	if (no == buf->next_no)
		buf->last = NULL;
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
	flowi_txbuf_clear_nodes(buf);
	buf->nodes_upto = no;
	buf->nodes_pos = (TxPos){NULL, 0};
	if (buf->front == NULL)
		free_lists(buf);
	buf->generation++;
}
