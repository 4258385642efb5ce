/*-------------------------------------------------------------------------
 * edit_read.c
 *	  One manifest edit: decode into a visitor's calls.
 *
 * Bytes: doc/FORMAT.md "Manifest".
 *-------------------------------------------------------------------------
 */
#include "edit_format.h"

#include <inttypes.h>

#include "batch.h"

#define TXN_MIN_BYTES 5 /* of an encoded directory entry */

/* What is left of a field. */
typedef struct Field
{
	const uint8_t *p;
	const uint8_t *end;
} Field;

static bool
get_u64(Field *f, uint64_t *vp)
{
	return flowi_get_varint(&f->p, f->end, vp);
}

static bool
get_u32(Field *f, uint32_t *vp)
{
	return flowi_get_varint32(&f->p, f->end, vp);
}

static bool
get_fixed64(Field *f, uint64_t *vp)
{
	if (f->end - f->p < 8)
		return false;
	*vp = flowi_get64(f->p);
	f->p += 8;
	return true;
}

/* Fixed width too, for times. */
static bool
get_time(Field *f, int64_t *vp)
{
	uint64_t v;

	if (!get_fixed64(f, &v))
		return false;
	*vp = (int64_t) v;
	return true;
}

static bool
get_bytes(Field *f, uint32_t max, const uint8_t **pp, uint32_t *np)
{
	if (!get_u32(f, np) || *np > max || *np > (size_t) (f->end - f->p))
		return false;
	*pp = f->p;
	f->p += *np;
	return true;
}

static FlowStatus
damaged(const FlowEditSource *src, const char *what)
{
	return flowi_fail(FLOW_CORRUPT,
					  "manifest \"%s\" is damaged at offset %" PRIu64 ": %s",
					  src->path, src->off, what);
}

static bool
get_txn(Field *f, uint64_t *fromp, bool first, FlowTxnInfo *t)
{
	uint64_t gap, span;

	if (!get_u64(f, &gap) || !get_u64(f, &span) || !get_u64(f, &t->xid) ||
		!get_u32(f, &t->cid) || !get_u32(f, &t->state))
		return false;
	t->seq_first = *fromp + gap;
	t->seq_last = t->seq_first + span;
	if ((!first && *fromp == 0) || t->seq_first < gap || t->seq_last < span ||
		t->state > FLOW_TXN_SETTLED)
		return false;
	*fromp = t->seq_last + 1;
	return true;
}

/* Decode a directory into memory of its own, NULL for an empty one; the
 * caller frees it, after an error too. */
static FlowStatus
get_txns(const FlowEditSource *src, Field *f, FlowTxnInfo **txnsp,
		 uint32_t *ntxnsp)
{
	uint64_t from = 0;

	*txnsp = NULL;
	if (!get_u32(f, ntxnsp) ||
		*ntxnsp > (size_t) (f->end - f->p) / TXN_MIN_BYTES)
		return damaged(src, "wrong directory of transactions");
	if (*ntxnsp == 0)
		return FLOW_OK;
	*txnsp = src->env->alloc(src->env, *ntxnsp * sizeof(FlowTxnInfo));
	if (*txnsp == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < *ntxnsp; i++)
		if (!get_txn(f, &from, i == 0, &(*txnsp)[i]))
			return damaged(src, "wrong directory of transactions");
	return FLOW_OK;
}

static bool
get_cover(Field *f, FlowRect *r)
{
	uint8_t flags;

	if (f->p == f->end)
		return false;
	flags = *f->p++;
	return flags <= COVER_HAS_END && get_time(f, &r->ts_lo) &&
		   get_time(f, &r->ts_hi) &&
		   get_bytes(f, FLOW_MAX_KEY, &r->key_lo, &r->key_lo_bytes) &&
		   (flags == 0 ||
			get_bytes(f, FLOW_MAX_KEY, &r->key_hi, &r->key_hi_bytes));
}

/* All but the directory; keys point into the field. */
static bool
get_sst(Field *f, FlowSstInfo *s)
{
	return get_u64(f, &s->id) && get_u32(f, &s->store_id) &&
		   get_u32(f, &s->level) && get_u32(f, &s->origin) &&
		   get_u64(f, &s->file_bytes) && get_u64(f, &s->records) &&
		   get_u64(f, &s->tombstones) && get_u64(f, &s->keys) &&
		   get_u64(f, &s->ntombs) && get_u64(f, &s->raw_bytes) &&
		   get_time(f, &s->ts_min) && get_time(f, &s->ts_max) &&
		   get_time(f, &s->expire_min) && get_time(f, &s->expire_max) &&
		   get_fixed64(f, &s->seq_min) && get_fixed64(f, &s->seq_max) &&
		   get_bytes(f, FLOW_MAX_KEY, &s->key_min, &s->key_min_bytes) &&
		   get_bytes(f, FLOW_MAX_KEY, &s->key_max, &s->key_max_bytes) &&
		   (s->ntombs == 0 || get_cover(f, &s->cover));
}

static FlowStatus
replay_add_sst(const FlowEditSource *src, Field *f)
{
	const FlowManifestVisitor *v = src->visitor;
	FlowSstInfo info = {0};
	FlowTxnInfo *txns = NULL;
	const char *wrong;
	FlowStatus st;

	if (!get_sst(f, &info))
		return damaged(src, "wrong SSTable entry");
	wrong = flowi_edit_check_sst(&info);
	if (wrong)
		return damaged(src, wrong);
	FLOW_GOTO(get_txns(src, f, &txns, &info.ntxns));
	if (f->p != f->end)
		FLOW_GOTO(damaged(src, "wrong SSTable entry"));
	info.txns = txns;
	if (v->add_sst)
		st = v->add_sst(v->arg, &info);
out:
	src->env->free(src->env, txns);
	return st;
}

static FlowStatus
replay_txns(const FlowEditSource *src, Field *f)
{
	const FlowManifestVisitor *v = src->visitor;
	FlowTxnInfo *txns = NULL;
	uint32_t ntxns;
	uint64_t id;
	FlowStatus st;

	if (!get_u64(f, &id))
		return damaged(src, "wrong directory of transactions");
	FLOW_GOTO(get_txns(src, f, &txns, &ntxns));
	if (f->p != f->end)
		FLOW_GOTO(damaged(src, "wrong directory of transactions"));
	if (v->txns)
		st = v->txns(v->arg, id, txns, ntxns);
out:
	src->env->free(src->env, txns);
	return st;
}

static FlowStatus
replay_store(const FlowEditSource *src, Field *f)
{
	const FlowManifestVisitor *v = src->visitor;
	FlowStoreInfo store;
	const uint8_t *name, *blob;
	uint32_t blob_bytes;

	if (!get_u32(f, &store.id) ||
		!get_bytes(f, FLOW_MAX_STORE_NAME, &name, &store.name_bytes) ||
		memchr(name, 0, store.name_bytes) != NULL || f->p == f->end ||
		*f->p++ != 0 || !get_bytes(f, FLOW_MAX_BLOB, &blob, &blob_bytes) ||
		f->p != f->end)
		return damaged(src, "wrong store entry");
	store.name = (const char *) name;
	store.blob = blob;
	store.blob_bytes = blob_bytes;
	return v->store ? v->store(v->arg, &store) : FLOW_OK;
}

static FlowStatus
replay_drop(const FlowEditSource *src, Field *f,
			FlowStatus (*fn)(void *, const FlowDropInfo *))
{
	FlowDropInfo drop = {0};
	uint8_t flags;

	if (f->p == f->end)
		return damaged(src, "wrong drop of a store");
	flags = *f->p++;
	if (flags > DROP_UNLESS || !get_u32(f, &drop.store_id) ||
		!get_u64(f, &drop.xid) || f->p != f->end ||
		!flowi_batch_store_ok(drop.store_id))
		return damaged(src, "wrong drop of a store");
	drop.unless = flags & DROP_UNLESS;
	return fn ? fn(src->visitor->arg, &drop) : FLOW_OK;
}

/* A number that is the id of a store. */
static FlowStatus
replay_store_id(const FlowEditSource *src, Field *f,
				FlowStatus (*fn)(void *, uint64_t))
{
	uint32_t id;

	if (!get_u32(f, &id) || f->p != f->end || id == 0)
		return damaged(src, "wrong id of a store");
	return fn ? fn(src->visitor->arg, id) : FLOW_OK;
}

static FlowStatus
replay_number(const FlowEditSource *src, Field *f,
			  FlowStatus (*fn)(void *, uint64_t))
{
	uint64_t n;

	if (!get_u64(f, &n) || f->p != f->end)
		return damaged(src, "wrong number");
	return fn ? fn(src->visitor->arg, n) : FLOW_OK;
}

static FlowStatus
replay_field(const FlowEditSource *src, uint8_t tag, Field *f)
{
	switch (tag)
	{
		case TAG_ADD_SST:
			return replay_add_sst(src, f);
		case TAG_REMOVE_SST:
			return replay_number(src, f, src->visitor->remove_sst);
		case TAG_TXNS:
			return replay_txns(src, f);
		case TAG_STORE:
			return replay_store(src, f);
		case TAG_FLUSHED:
			return replay_number(src, f, src->visitor->flushed);
		case TAG_NEXT_ID:
			return replay_number(src, f, src->visitor->next_id);
		case TAG_TRASH:
			return replay_number(src, f, src->visitor->trash);
		case TAG_GONE:
			return replay_number(src, f, src->visitor->gone);
		case TAG_DROP:
			return replay_drop(src, f, src->visitor->drop);
		case TAG_KEPT:
			return replay_drop(src, f, src->visitor->kept);
		case TAG_STORE_GONE:
			return replay_store_id(src, f, src->visitor->store_gone);
		case TAG_NEXT_STORE:
			return replay_store_id(src, f, src->visitor->next_store);
		default:
			return damaged(src, "unknown field");
	}
}

FlowStatus
flowi_edit_replay(const FlowEditSource *src, const uint8_t *p,
				  const uint8_t *end)
{
	while (p < end)
	{
		Field f;
		uint32_t n;

		if (end - p < FIELD_BYTES)
			return damaged(src, "edit is cut");
		n = flowi_get32(p + FIELD_LENGTH);
		f.p = p + FIELD_BYTES;
		if (n > (size_t) (end - f.p))
			return damaged(src, "edit is cut");
		f.end = f.p + n;
		FLOW_TRY(replay_field(src, p[FIELD_TAG], &f));
		p = f.p;
	}
	return src->visitor->edit_done ? src->visitor->edit_done(src->visitor->arg)
								   : FLOW_OK;
}
