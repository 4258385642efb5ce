/*-------------------------------------------------------------------------
 * edit.c
 *	  One manifest edit: encode into a frame.
 *
 * Bytes: doc/FORMAT.md "Manifest".
 *-------------------------------------------------------------------------
 */
#include "edit_format.h"

#include "batch.h"

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

const char *
flowi_edit_check_sst(const FlowSstInfo *s)
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
	const char *wrong = flowi_edit_check_sst(info);

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
