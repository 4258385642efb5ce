/*-------------------------------------------------------------------------
 * edit.c
 *	  One manifest edit: encode into a frame, decode into a visitor's calls.
 *
 * An edit is a list of fields, each a tag, a length and a body.  There is no
 * skipping of unknown tags: a new one raises the manifest's version.
 *
 * Bytes: doc/FORMAT.md "Manifest".
 *-------------------------------------------------------------------------
 */
#include "edit.h"

#include <inttypes.h>

#include "batch.h"

/* Fields of an edit: tag, length of the body, body. */
#define FIELD_TAG 0
#define FIELD_LENGTH 1
#define FIELD_BYTES 5

enum
{
	TAG_ADD_SST = 1,
	TAG_REMOVE_SST = 2,
	TAG_TXNS = 3,
	TAG_STORE = 4,
	TAG_FLUSHED = 5,
	TAG_NEXT_ID = 6,
	TAG_TRASH = 7,
	TAG_GONE = 8,
	TAG_DROP = 9,
	TAG_KEPT = 10,
	TAG_STORE_GONE = 11,
	TAG_NEXT_STORE = 12
};

/* Flags of a drop. */
#define DROP_UNLESS 1

/* Flags of a range tombstones' rectangle. */
#define COVER_HAS_END 1

#define TXN_MIN_BYTES 5 /* of an encoded directory entry */

/* ----------------------------------------------------------------- encode */

FlowStatus
flowi_edit_create(FlowEnv *env, FlowEdit **editp)
{
	FlowEdit *edit;

	*editp = NULL;
	edit = env->alloc(env, sizeof(*edit));
	if (edit == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	edit->env = env;
	flowi_buf_init(&edit->buf, env);
	if (flowi_buf_reserve(&edit->buf, EDIT_BYTES) != FLOW_OK)
	{
		env->free(env, edit);
		return FLOW_NOMEM;
	}
	memset(edit->buf.data, 0, EDIT_BYTES);
	edit->buf.len = EDIT_BYTES;
	*editp = edit;
	return FLOW_OK;
}

void
flowi_edit_free(FlowEdit *edit)
{
	if (edit == NULL)
		return;
	flowi_buf_free(&edit->buf);
	edit->env->free(edit->env, edit);
}

/* Begin a field; *startp is for end_field. */
static FlowStatus
begin_field(FlowEdit *edit, uint8_t tag, size_t *startp)
{
	uint8_t head[FIELD_BYTES] = {tag};

	*startp = edit->buf.len;
	return flowi_buf_append(&edit->buf, head, sizeof(head));
}

/* End a field whose making gave st; one that failed leaves no trace. */
static FlowStatus
end_field(FlowEdit *edit, size_t start, FlowStatus st)
{
	size_t n = edit->buf.len - start;

	if (st == FLOW_OK && edit->buf.len - EDIT_BYTES > UINT32_MAX)
		st = flowi_fail(FLOW_INVALID, "manifest edit is too large");
	if (st == FLOW_OK)
		flowi_put32(edit->buf.data + start + FIELD_LENGTH,
					(uint32_t) (n - FIELD_BYTES));
	else
		edit->buf.len = start;
	return st;
}

/* A directory: count, then entries as distances from the one before. */
static FlowStatus
put_txns(FlowBuf *b, const FlowTxnInfo *txns, uint32_t ntxns)
{
	uint64_t from = 0; /* first sequence the next entry may have */

	FLOW_TRY(flowi_buf_varint(b, ntxns));
	for (uint32_t i = 0; i < ntxns; i++)
	{
		const FlowTxnInfo *t = &txns[i];

		if (t->seq_first < from || t->seq_last < t->seq_first ||
			(i > 0 && from == 0) || t->state > FLOW_TXN_SETTLED)
			return flowi_fail(FLOW_INVALID,
							  "malformed directory of transactions");
		FLOW_TRY(flowi_buf_varint(b, t->seq_first - from));
		FLOW_TRY(flowi_buf_varint(b, t->seq_last - t->seq_first));
		FLOW_TRY(flowi_buf_varint(b, t->xid));
		FLOW_TRY(flowi_buf_varint(b, t->cid));
		FLOW_TRY(flowi_buf_varint(b, t->state));
		from = t->seq_last + 1; /* 0 behind UINT64_MAX: nothing may follow */
	}
	return FLOW_OK;
}

static FlowStatus
put_bytes(FlowBuf *b, const void *p, size_t n)
{
	FLOW_TRY(flowi_buf_varint(b, n));
	return flowi_buf_append(b, p, n);
}

/*
 * What every SSTable keeps to; NULL: all is well.  Checked when an entry
 * is written too, so that no manifest is made that cannot be read again.
 * cover is that of whatever range tombstones there are, empty ones included,
 * so nothing is asked of it.
 */
static const char *
check_sst(const FlowSstInfo *s)
{
	if (!flowi_batch_store_ok(s->store_id))
		return "SSTable of an impossible store";
	if (s->origin > FLOW_SST_MERGED)
		return "SSTable of unknown origin";
	if (s->records == 0 && s->ntombs == 0)
		return "SSTable without content";
	if (s->tombstones > s->records || s->keys > s->records)
		return "SSTable with impossible counts";
	if (s->seq_min > s->seq_max)
		return "SSTable with wrong sequences";
	if (s->records == 0 && (s->key_min_bytes > 0 || s->key_max_bytes > 0 ||
							s->ts_min <= s->ts_max))
		return "SSTable with bounds of no records";
	if (s->records > 0 &&
		(s->ts_min > s->ts_max || s->expire_min > s->expire_max ||
		 flowi_key_cmp(s->key_min, s->key_min_bytes, s->key_max,
					   s->key_max_bytes) > 0))
		return "SSTable with wrong bounds";
	return NULL;
}

static FlowStatus
put_cover(FlowBuf *b, const FlowRect *r)
{
	uint8_t flags = r->key_hi ? COVER_HAS_END : 0;

	FLOW_TRY(flowi_buf_append(b, &flags, 1));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) r->ts_lo));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) r->ts_hi));
	FLOW_TRY(put_bytes(b, r->key_lo, r->key_lo_bytes));
	return r->key_hi ? put_bytes(b, r->key_hi, r->key_hi_bytes) : FLOW_OK;
}

static FlowStatus
put_sst(FlowBuf *b, const FlowSstInfo *info)
{
	const char *wrong = check_sst(info);

	if (wrong)
		return flowi_fail(FLOW_INVALID, "manifest edit: %s", wrong);
	FLOW_TRY(flowi_buf_varint(b, info->id));
	FLOW_TRY(flowi_buf_varint(b, info->store_id));
	FLOW_TRY(flowi_buf_varint(b, info->level));
	FLOW_TRY(flowi_buf_varint(b, info->origin));
	FLOW_TRY(flowi_buf_varint(b, info->file_bytes));
	FLOW_TRY(flowi_buf_varint(b, info->records));
	FLOW_TRY(flowi_buf_varint(b, info->tombstones));
	FLOW_TRY(flowi_buf_varint(b, info->keys));
	FLOW_TRY(flowi_buf_varint(b, info->ntombs));
	FLOW_TRY(flowi_buf_varint(b, info->raw_bytes));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) info->ts_min));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) info->ts_max));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) info->expire_min));
	FLOW_TRY(flowi_buf_u64(b, (uint64_t) info->expire_max));
	FLOW_TRY(flowi_buf_u64(b, info->seq_min));
	FLOW_TRY(flowi_buf_u64(b, info->seq_max));
	FLOW_TRY(put_bytes(b, info->key_min, info->key_min_bytes));
	FLOW_TRY(put_bytes(b, info->key_max, info->key_max_bytes));
	if (info->ntombs > 0)
		FLOW_TRY(put_cover(b, &info->cover));
	return put_txns(b, info->txns, info->ntxns);
}

FlowStatus
flowi_edit_add_sst(FlowEdit *edit, const FlowSstInfo *info)
{
	size_t start;

	FLOW_TRY(begin_field(edit, TAG_ADD_SST, &start));
	return end_field(edit, start, put_sst(&edit->buf, info));
}

/* A field that is one number. */
static FlowStatus
put_number(FlowEdit *edit, uint8_t tag, uint64_t v)
{
	size_t start;

	FLOW_TRY(begin_field(edit, tag, &start));
	return end_field(edit, start, flowi_buf_varint(&edit->buf, v));
}

FlowStatus
flowi_edit_remove_sst(FlowEdit *edit, uint64_t id)
{
	return put_number(edit, TAG_REMOVE_SST, id);
}

FlowStatus
flowi_edit_trash(FlowEdit *edit, uint64_t id)
{
	return put_number(edit, TAG_TRASH, id);
}

FlowStatus
flowi_edit_gone(FlowEdit *edit, uint64_t id)
{
	return put_number(edit, TAG_GONE, id);
}

FlowStatus
flowi_edit_flushed(FlowEdit *edit, uint64_t flushed_pos)
{
	return put_number(edit, TAG_FLUSHED, flushed_pos);
}

FlowStatus
flowi_edit_next_id(FlowEdit *edit, uint64_t next_sst_id)
{
	return put_number(edit, TAG_NEXT_ID, next_sst_id);
}

FlowStatus
flowi_edit_txns(FlowEdit *edit, uint64_t sst_id, const FlowTxnInfo *txns,
				uint32_t ntxns)
{
	size_t start;
	FlowStatus st;

	FLOW_TRY(begin_field(edit, TAG_TXNS, &start));
	st = flowi_buf_varint(&edit->buf, sst_id);
	if (st == FLOW_OK)
		st = put_txns(&edit->buf, txns, ntxns);
	return end_field(edit, start, st);
}

FlowStatus
flowi_edit_store(FlowEdit *edit, const FlowStoreInfo *store)
{
	size_t start;
	FlowStatus st;

	if (store->name_bytes > FLOW_MAX_STORE_NAME ||
		memchr(store->name, 0, store->name_bytes) != NULL ||
		store->blob_bytes > FLOW_MAX_BLOB)
		return flowi_fail(FLOW_INVALID, "malformed store definition");
	FLOW_TRY(begin_field(edit, TAG_STORE, &start));
	st = flowi_buf_varint(&edit->buf, store->id);
	if (st == FLOW_OK)
		st = put_bytes(&edit->buf, store->name, store->name_bytes);
	if (st == FLOW_OK)
		st = flowi_buf_append(&edit->buf, "", 1); /* a NUL behind the name */
	if (st == FLOW_OK)
		st = put_bytes(&edit->buf, store->blob, store->blob_bytes);
	return end_field(edit, start, st);
}

static FlowStatus
put_drop(FlowEdit *edit, uint8_t tag, const FlowDropInfo *drop)
{
	uint8_t flags = drop->unless ? DROP_UNLESS : 0;
	size_t start;
	FlowStatus st;

	if (!flowi_batch_store_ok(drop->store_id))
		return flowi_fail(FLOW_INVALID, "drop of an impossible store");
	FLOW_TRY(begin_field(edit, tag, &start));
	st = flowi_buf_append(&edit->buf, &flags, 1);
	if (st == FLOW_OK)
		st = flowi_buf_varint(&edit->buf, drop->store_id);
	if (st == FLOW_OK)
		st = flowi_buf_varint(&edit->buf, drop->xid);
	return end_field(edit, start, st);
}

FlowStatus
flowi_edit_drop(FlowEdit *edit, const FlowDropInfo *drop)
{
	return put_drop(edit, TAG_DROP, drop);
}

FlowStatus
flowi_edit_kept(FlowEdit *edit, const FlowDropInfo *drop)
{
	return put_drop(edit, TAG_KEPT, drop);
}

static FlowStatus
put_store_id(FlowEdit *edit, uint8_t tag, uint32_t store_id)
{
	if (store_id == 0)
		return flowi_fail(FLOW_INVALID, "manifest edit: no store has id 0");
	return put_number(edit, tag, store_id);
}

FlowStatus
flowi_edit_store_gone(FlowEdit *edit, uint32_t store_id)
{
	return put_store_id(edit, TAG_STORE_GONE, store_id);
}

FlowStatus
flowi_edit_next_store(FlowEdit *edit, uint32_t store_id)
{
	return put_store_id(edit, TAG_NEXT_STORE, store_id);
}

/* ----------------------------------------------------------------- decode */

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
	wrong = check_sst(&info);
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
