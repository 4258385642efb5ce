/*-------------------------------------------------------------------------
 * txbuf_push.c
 *	  Hand a transaction's private buffer to the database, batch by batch.
 *
 * A batch is consecutive entries of one xid; inside it each run of one
 * command id is a step.  Range tombstones come first in a step, so one that
 * arrives behind other writes begins a step of its own: it may hide them, and
 * must not hide what comes behind it.  What is too much for one batch is
 * cut in the order of arrival: a later piece has later sequences, so the last
 * write of a (key, ts) wins there as it does by sorting inside a piece.
 *
 * A batch with checked entries is looked at by since.h before it is logged.
 *
 * Keeps: S1, S2, S9.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "since.h"
#include "txbuf_impl.h"
#include "write.h"

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

	/* the checks of the batch; what was logged before checked was looked at */
	const TxCheck *checks;
	size_t nchecks;
	uint64_t checked;
	FlowPins pins;
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
		size_t cost = e->key_bytes + e->value_bytes + FLOW_BATCH_OP_GUESS;

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

/* ---------------------------------------------------------------- checks */

#define POLL_CHECKS 256 /* between two interrupt polls */

static FlowSince
since_of(const TxCheck *check, uint64_t from)
{
	const TxEntry *e = check->e;

	return (FlowSince){.store_id = e->store_id,
					   .key = e->data,
					   .key_bytes = e->key_bytes,
					   .ts = e->ts,
					   .from = from,
					   .absent = check->absent};
}

/* The checks of the entries that are in the batch. */
static void
take_checks(Pusher *p, const FlowTxBuf *buf)
{
	size_t n = txbuf_check_count(buf);
	size_t lo = buf->checks_gone;

	p->checks = txbuf_checks(buf) + lo;
	while (lo < n)
	{
		size_t mid = lo + (n - lo) / 2;

		if (txbuf_checks(buf)[mid].e->no < p->no)
			lo = mid + 1;
		else
			n = mid;
	}
	p->nchecks = lo - buf->checks_gone;
}

/* With all pinned: CONFLICT when one of the rows was written since. */
static FlowStatus
look_for_conflict(Pusher *p, const FlowTxBuf *buf, FlowDb *db)
{
	for (size_t i = 0; i < p->nchecks; i++)
	{
		FlowSince q = since_of(&p->checks[i], p->checks[i].seen);
		bool written;

		q.counts = buf->counts;
		q.counts_arg = buf->counts_arg;
		if (i % POLL_CHECKS == POLL_CHECKS - 1)
			FLOW_TRY(db->env->poll(db->env));
		FLOW_TRY(flowi_since_written(db, &p->pins, &q, &written));
		if (written)
			return flowi_fail(FLOW_CONFLICT,
							  "row was written by another transaction");
	}
	return FLOW_OK;
}

static FlowStatus
check_batch(Pusher *p, const FlowTxBuf *buf, FlowDb *db)
{
	FlowStatus st;

	if (p->nchecks == 0)
		return FLOW_OK;
	/* read before all is pinned: what lies before it is in what is pinned */
	p->checked = atomic_load(&db->sh->applied_end);
	FLOW_TRY(flowi_pins_take(db, &p->pins));
	st = look_for_conflict(p, buf, db);
	/* the write may have to wait for this memory */
	flowi_pins_drop(db, &p->pins);
	return st;
}

/* FlowWriteCheckFn: END when a row was written since check_batch looked. */
static FlowStatus
still_unwritten(FlowDb *db, void *arg)
{
	const Pusher *p = arg;

	if (atomic_load(&db->sh->applied_end) == p->checked)
		return FLOW_OK;
	for (size_t i = 0; i < p->nchecks; i++)
	{
		FlowSince q = since_of(&p->checks[i], p->checked);

		if (flowi_since_changed(db, &q))
			return FLOW_END;
	}
	return FLOW_OK;
}

/* ------------------------------------------------------------------ push */

/* Log and apply the next batch. */
static FlowStatus
push_batch(Pusher *p, FlowTxBuf *buf, FlowDb *db)
{
	FlowBatchHeader hdr;
	const void *rec;
	size_t rec_bytes;
	const uint8_t *payload;
	FlowStatus st;

	p->pos = txbuf_front(buf);
	FLOW_TRY(encode_batch(p));
	FLOW_TRY(flowi_batch_finish(p->bw, &rec, &rec_bytes, &hdr, &payload));
	take_checks(p, buf);
	do
	{
		FLOW_TRY(buf->env->poll(buf->env));
		FLOW_TRY(check_batch(p, buf, db));
		st = flowi_write_record_if(db, rec, rec_bytes, &hdr, payload,
								   FLOW_SYNC_DEFAULT,
								   p->nchecks > 0 ? still_unwritten : NULL, p);
	} while (st == FLOW_END);
	return st;
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
		FLOW_GOTO(push_batch(&p, buf, db));
		flowi_txbuf_drop_front(buf, p.pos, p.no);
	}
out:
	flowi_batch_writer_free(p.bw);
	flowi_buf_free(&p.piece);
	flowi_buf_free(&p.scratch);
	if (p.pins.cap > 0)
		flowi_pins_free(db, &p.pins);
	return st;
}
