/*-------------------------------------------------------------------------
 * txbuf_push.c
 *	  Hand a transaction's private buffer to the database, batch by batch.
 *
 * A batch is consecutive entries of one xid; inside it each run of one
 * command id is a step.  Range tombstones come first in a step, so one that
 * arrives behind other writes begins a step of its own: it may hide them, and
 * must not hide what comes behind it.  What is too much for one batch is cut in the order
 * of arrival: a later piece has later sequences, so the last write of a
 * (key, ts) wins there as it does by sorting inside a piece.
 *
 * Keeps: S1, S2.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "txbuf_impl.h"
#include "write.h"

/* What an operation is taken to cost beside its key and value; a batch's
 * size is a matter of taste, so a guess will do. */
#define OP_BYTES_GUESS 16u

typedef struct Pusher
{
	FlowBatchWriter *bw;
	FlowBuf piece;	 /* of const TxEntry *: entries of one step */
	size_t ntombs;	 /* of these, in front: range tombstones */
	FlowBuf scratch; /* for sorting */
	TxPos pos;		 /* first entry that is in no batch yet */
	uint64_t no;	 /* its number */
	uint64_t xid;	 /* of the current batch */
	bool full;		 /* the current batch takes no more */
} Pusher;

/* Collect the next entries of one command id that the batch has room for. */
static FlowStatus
take_piece(Pusher *p)
{
	size_t room = FLOW_BATCH_TARGET_BYTES;
	size_t payload_bytes = flowi_batch_payload_bytes(p->bw);
	const TxEntry *first = txbuf_at(&p->pos);
	const TxEntry *e;

	room -= FLOW_MIN(room, payload_bytes);
	p->piece.len = 0;
	p->ntombs = 0;
	while ((e = txbuf_at(&p->pos)) != NULL && e->xid == p->xid &&
		   e->cid == first->cid)
	{
		size_t cost = e->key_bytes + e->value_bytes + OP_BYTES_GUESS;

		if (e->op == FLOW_DELETE_RANGE && p->piece.len > p->ntombs * sizeof(e))
			break;
		/* a record that is too big for any batch gets one of its own */
		if (cost > room && (payload_bytes > 0 || p->piece.len > 0))
		{
			p->full = true;
			break;
		}
		room -= FLOW_MIN(room, cost);
		FLOW_TRY(flowi_buf_append(&p->piece, &e, sizeof(e)));
		p->ntombs += e->op == FLOW_DELETE_RANGE;
		p->pos.off += txentry_bytes(e);
		p->no = e->no + 1;
	}
	return FLOW_OK;
}

/* Encode the piece as a step: range tombstones, then the others sorted, the
 * last of equals only. */
static FlowStatus
encode_piece(Pusher *p)
{
	const TxEntry **a = (const TxEntry **) (void *) p->piece.data;
	size_t n = p->piece.len / sizeof(*a);

	if (n == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_batch_step(p->bw, a[0]->cid));
	for (size_t i = 0; i < p->ntombs; i++)
	{
		FlowRect rect = txentry_rect(a[i]);

		FLOW_TRY(flowi_batch_add_tomb(p->bw, a[i]->store_id, &rect));
	}
	a += p->ntombs;
	n -= p->ntombs;
	FLOW_TRY(flowi_txbuf_sort(a, n, &p->scratch));
	for (size_t i = 0; i < n; i++)
	{
		const TxEntry *e = a[i];

		if (i + 1 < n && txentry_cmp(e, a[i + 1]) == 0)
			continue;
		FLOW_TRY(flowi_batch_add(p->bw, (FlowOp) e->op, e->store_id, e->data,
								 e->key_bytes, e->ts, e->expire_at,
								 txentry_value(e), e->value_bytes));
	}
	return FLOW_OK;
}

/* Encode the next batch from p->pos on, which it moves. */
static FlowStatus
encode_batch(Pusher *p)
{
	const TxEntry *e = txbuf_at(&p->pos);

	p->xid = e->xid;
	p->full = false;
	flowi_batch_begin(p->bw, p->xid);
	while (e != NULL && e->xid == p->xid && !p->full &&
		   flowi_batch_steps(p->bw) < FLOW_MAX_STEPS)
	{
		FLOW_TRY(take_piece(p));
		FLOW_TRY(encode_piece(p));
		e = txbuf_at(&p->pos);
	}
	return FLOW_OK;
}

FlowStatus
flow_txbuf_push(FlowTxBuf *buf, FlowDb *db)
{
	FlowEnv *env = buf->env;
	Pusher p = {0};
	FlowStatus st = FLOW_OK;

	if (buf->front == NULL)
		return FLOW_OK;
	flowi_buf_init(&p.piece, env);
	flowi_buf_init(&p.scratch, env);
	FLOW_GOTO(flowi_batch_writer_create(env, &p.bw));
	while (buf->front != NULL)
	{
		FlowBatchHeader hdr;
		const void *rec;
		size_t rec_bytes;
		const uint8_t *payload;

		p.pos = txbuf_front(buf);
		FLOW_GOTO(env->poll(env));
		FLOW_GOTO(encode_batch(&p));
		FLOW_GOTO(flowi_batch_finish(p.bw, &rec, &rec_bytes, &hdr, &payload));
		FLOW_GOTO(flowi_write_record(db, rec, rec_bytes, &hdr, payload));
		flowi_txbuf_drop_front(buf, p.pos, p.no);
	}
out:
	flowi_batch_writer_free(p.bw);
	flowi_buf_free(&p.piece);
	flowi_buf_free(&p.scratch);
	return st;
}
