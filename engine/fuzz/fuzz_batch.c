/*-------------------------------------------------------------------------
 * fuzz_batch.c
 *	  Log records: header, payload, operations, store definitions; and what a
 *	  memtable makes of them.
 *
 * The log's own checksum is not in the record, so nothing needs repair.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../batch.h"
#include "../memtable.h"
#include "../record.h"
#include "../region.h"

/* Everything a cursor says about an operation, for comparing. */
static bool
same_op(const FlowBatchCursor *a, const FlowBatchCursor *b)
{
	return a->op == b->op && a->step == b->step && a->cid == b->cid &&
		   a->store_id == b->store_id && a->ts == b->ts &&
		   a->expire_at == b->expire_at && a->key_bytes == b->key_bytes &&
		   a->value_bytes == b->value_bytes &&
		   (a->value == NULL) == (b->value == NULL) &&
		   flowi_key_cmp(a->key, a->key_bytes, b->key, b->key_bytes) == 0 &&
		   flowi_key_cmp(a->value, a->value_bytes, b->value, b->value_bytes) ==
			   0;
}

/* c is behind last in the same step: is that right? */
static bool
in_order(const FlowBatchCursor *last, const FlowBatchCursor *c)
{
	if (c->op == FLOW_DELETE_RANGE)
		return last->op == FLOW_DELETE_RANGE;
	if (last->op == FLOW_DELETE_RANGE)
		return true;
	return last->store_id < c->store_id ||
		   (last->store_id == c->store_id &&
			flowi_identity_cmp(last->key, last->key_bytes, last->ts, c->key,
							   c->key_bytes, c->ts) < 0);
}

static void
check_op(const FlowBatchHeader *hdr, const uint8_t *payload,
		 const FlowBatchCursor *last, const FlowBatchCursor *c)
{
	uint32_t most = c->op == FLOW_PUT ? FLOW_MAX_VALUE : FLOW_MAX_KEY;

	FUZZ_CHECK(flowi_batch_store_ok(c->store_id));
	FUZZ_CHECK(c->step < hdr->nsteps && c->step < FLOW_MAX_STEPS);
	FUZZ_CHECK(c->key_bytes <= FLOW_MAX_KEY && c->value_bytes <= most);
	FUZZ_CHECK(fuzz_inside(c->key, c->key_bytes, payload, hdr->payload_bytes));
	FUZZ_CHECK(
		fuzz_inside(c->value, c->value_bytes, payload, hdr->payload_bytes));
	FUZZ_CHECK(c->op == FLOW_PUT || c->op == FLOW_DELETE ||
			   c->op == FLOW_DELETE_RANGE);
	FUZZ_CHECK(c->op != FLOW_PUT || c->value != NULL);
	FUZZ_CHECK(c->op != FLOW_DELETE || c->value == NULL);
	if (last != NULL && last->step == c->step)
		FUZZ_CHECK(in_order(last, c) && last->cid == c->cid);
	else
		FUZZ_CHECK(c->step == (last ? last->step + 1 : 0));
}

/* Walk the payload; what the cursor said at its end.  bw: put each operation
 * into it too. */
static FlowStatus
walk(const FlowBatchHeader *hdr, const uint8_t *payload, FlowBatchWriter *bw)
{
	FlowBatchCursor c, last;
	uint32_t nops = 0;
	FlowStatus st;

	flowi_batch_cursor_init(&c, hdr, payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
	{
		check_op(hdr, payload, nops ? &last : NULL, &c);
		if (bw && (nops == 0 || c.step != last.step))
			FLOW_TRY(flowi_batch_step(bw, c.cid));
		if (bw && c.op == FLOW_DELETE_RANGE)
		{
			FlowRect rect = {c.key,			c.value, c.key_bytes,
							 c.value_bytes, c.ts,	 c.expire_at};

			FLOW_TRY(flowi_batch_add_tomb(bw, c.store_id, &rect));
		}
		else if (bw)
			FLOW_TRY(flowi_batch_add(bw, c.op, c.store_id, c.key, c.key_bytes,
									 c.ts, c.expire_at, c.value,
									 c.value_bytes));
		last = c;
		nops++;
	}
	if (st == FLOW_END)
		FUZZ_CHECK(nops == hdr->nops && last.step + 1 == hdr->nsteps);
	return st;
}

/* What was decoded, encoded again, says the same. */
static void
check_again(FlowEnv *env, const FlowBatchHeader *hdr, const uint8_t *payload)
{
	FlowBatchWriter *bw = NULL;
	FlowBatchHeader hdr2;
	const uint8_t *payload2;
	const void *rec;
	size_t rec_bytes;
	FlowBatchCursor a, b;
	void *owned = NULL;
	FlowStatus st;

	FLOW_GOTO(flowi_batch_writer_create(env, &bw));
	flowi_batch_begin(bw, hdr->xid);
	st = walk(hdr, payload, bw);
	if (st != FLOW_END)
		goto out;
	FLOW_GOTO(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr2, &payload2));
	FLOW_GOTO(flowi_batch_open(env, rec, rec_bytes, &hdr2, &payload2, &owned));
	FUZZ_CHECK(hdr2.xid == hdr->xid && hdr2.nsteps == hdr->nsteps &&
			   hdr2.nops == hdr->nops);
	flowi_batch_cursor_init(&a, hdr, payload);
	flowi_batch_cursor_init(&b, &hdr2, payload2);
	while (flowi_batch_cursor_next(&a) == FLOW_OK)
		FUZZ_CHECK(flowi_batch_cursor_next(&b) == FLOW_OK && same_op(&a, &b));
	FUZZ_CHECK(flowi_batch_cursor_next(&b) == FLOW_END);
out:
	FUZZ_CHECK(st == FLOW_OK || (st == FLOW_NOMEM && fuzz_no_memory()));
	env->free(env, owned);
	flowi_batch_writer_free(bw);
}

/* The rows of a memtable that the batch was linked into. */
static void
check_rows(FlowEnv *env, FlowMemtable *mt, uint32_t nops)
{
	uint32_t store_id;
	uint32_t rows = 0;

	for (uint32_t from = 0;
		 flowi_memtable_next_store(mt, from, &store_id) == FLOW_OK;
		 from = store_id + 1)
	{
		FlowSeek first = {.unbounded = true};
		FlowRec last = {0};
		FlowIter *it;
		FlowStatus st;

		FUZZ_CHECK(store_id >= from && flowi_batch_store_ok(store_id));
		if (flowi_memtable_iter(env, mt, store_id, false, &it) != FLOW_OK)
		{
			FUZZ_CHECK(fuzz_no_memory());
			return;
		}
		for (st = it->seek(it, &first); st == FLOW_OK; st = it->next(it))
		{
			int c = last.key ? flowi_identity_cmp(last.key, last.key_bytes,
												  last.ts, it->cur.key,
												  it->cur.key_bytes, it->cur.ts)
							 : -1;

			FUZZ_CHECK(c < 0 || (c == 0 && last.seq > it->cur.seq));
			last = it->cur;
			rows++;
		}
		FUZZ_CHECK(st == FLOW_END);
		it->free(it);
	}
	FUZZ_CHECK(rows <= nops);
}

static void
check_memtable(FlowEnv *env, const FlowBatchHeader *hdr, const uint8_t *payload,
			   FlowStatus walked)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	FlowStatus st;

	FUZZ_CHECK(mt != NULL);
	st = flowi_memtable_stage(env, mt, hdr, payload);
	if (st == FLOW_OK)
	{
		FUZZ_CHECK(walked == FLOW_END);
		flowi_memtable_link(mt, 1000, 1000 + FLOW_MAX_STEPS);
		check_rows(env, mt, hdr->nops);
	}
	else
		FUZZ_CHECK(st == FLOW_BUSY || st == FLOW_NOMEM ||
				   (st == FLOW_CORRUPT && walked == FLOW_CORRUPT));
	flowi_memtable_unref(env, mt);
	FUZZ_CHECK(flowi_region_chunks_used(env) == 0);
}

static void
check_batch(FlowEnv *env, const uint8_t *data, size_t size)
{
	FlowBatchHeader hdr;
	const uint8_t *payload;
	void *owned;
	FlowStatus st = flowi_batch_open(env, data, size, &hdr, &payload, &owned);

	fuzz_check_status(st);
	if (st != FLOW_OK)
	{
		FUZZ_CHECK(owned == NULL && payload == NULL);
		return;
	}
	FUZZ_CHECK(hdr.payload_bytes <= FLOW_BATCH_MAX_BYTES);
	FUZZ_CHECK(owned ? payload == owned
					 : fuzz_inside(payload, hdr.payload_bytes, data, size));
	FUZZ_CHECK(flow_record_xid(data, size) == hdr.xid);
	st = walk(&hdr, payload, NULL);
	fuzz_check_status(st);
	fuzz_decoded += st == FLOW_END;
	if (st == FLOW_END)
		check_again(env, &hdr, payload);
	check_memtable(env, &hdr, payload, st);
	env->free(env, owned);
}

static void
check_store(FlowEnv *env, const uint8_t *data, size_t size)
{
	const char *name, *name2;
	const void *blob, *blob2;
	uint32_t id, name_bytes, id2, name_bytes2;
	size_t blob_bytes, rec_bytes, blob_bytes2;
	void *rec;
	FlowStatus st = flowi_store_decode(data, size, &id, &name, &name_bytes,
									   &blob, &blob_bytes);

	fuzz_check_status(st);
	if (st != FLOW_OK)
		return;
	FUZZ_CHECK(fuzz_inside(name, (size_t) name_bytes + 1, data, size));
	FUZZ_CHECK(fuzz_inside(blob, blob_bytes, data, size));
	FUZZ_CHECK(name_bytes <= FLOW_MAX_STORE_NAME && strlen(name) == name_bytes);
	FUZZ_CHECK(blob_bytes <= FLOW_MAX_BLOB);
	st = flowi_store_encode(env, id, name, blob, blob_bytes, &rec, &rec_bytes);
	if (st != FLOW_OK)
	{
		FUZZ_CHECK(st == FLOW_NOMEM && fuzz_no_memory());
		return;
	}
	FUZZ_CHECK(flowi_store_decode(rec, rec_bytes, &id2, &name2, &name_bytes2,
								  &blob2, &blob_bytes2) == FLOW_OK);
	FUZZ_CHECK(id2 == id && strcmp(name, name2) == 0);
	FUZZ_CHECK(blob_bytes2 == blob_bytes &&
			   (blob_bytes == 0 || memcmp(blob, blob2, blob_bytes) == 0));
	env->free(env, rec);
}

static void
check_drop(const uint8_t *data, size_t size)
{
	uint8_t rec[DROP_RECORD_MAX];
	FlowDropInfo drop, again;
	FlowStatus st = flowi_drop_decode(data, size, &drop);

	fuzz_check_status(st);
	if (st != FLOW_OK)
		return;
	FUZZ_CHECK(flowi_batch_store_ok(drop.store_id));
	FUZZ_CHECK(flow_record_xid(data, size) == drop.xid);
	FUZZ_CHECK(flowi_drop_decode(rec, flowi_drop_encode(rec, &drop), &again) ==
			   FLOW_OK);
	FUZZ_CHECK(again.store_id == drop.store_id && again.xid == drop.xid &&
			   again.unless == drop.unless);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	FlowRecordKind kind;
	char text[80];
	FlowStatus st = flowi_record_kind(data, size, &kind);

	fuzz_check_status(st);
	flow_record_desc(data, size, text, sizeof(text));
	FUZZ_CHECK(strlen(text) > 0 && strlen(text) < sizeof(text));
	check_batch(env, data, size);
	check_store(env, data, size);
	check_drop(data, size);
	fuzz_end();
	return 0;
}

/* ----------------------------------------------------------------- seeds */

static FlowStatus
add_step(CheckRandom *r, FlowBatchWriter *bw)
{
	static uint8_t value[4096];
	uint32_t store_id = 1 + (uint32_t) check_below(r, 3);
	uint64_t n = 1 + check_below(r, 30);

	FLOW_TRY(flowi_batch_step(bw, (uint32_t) check_below(r, 5)));
	if (check_below(r, 3) == 0)
	{
		FlowRect rect = {(const uint8_t *) "aa",
						 (const uint8_t *) "abc",
						 2,
						 3,
						 -5,
						 INT64_MAX};

		if (check_below(r, 2))
			rect.key_hi = NULL;
		FLOW_TRY(flowi_batch_add_tomb(bw, store_id, &rect));
	}
	for (uint64_t i = 0; i < n; i++)
	{
		char key[32];
		int key_bytes = snprintf(key, sizeof(key), "key%06d", (int) i / 3);
		FlowOp op = check_below(r, 5) ? FLOW_PUT : FLOW_DELETE;

		value[check_below(r, sizeof(value))] = (uint8_t) check_random(r);
		FLOW_TRY(flowi_batch_add(
			bw, op, store_id, (const uint8_t *) key, (uint32_t) key_bytes,
			(int64_t) i * 1000,
			check_below(r, 3) ? FLOW_NEVER : (int64_t) check_random(r), value,
			(uint32_t) check_below(r, check_below(r, 4) ? 20 : 4096)));
	}
	return FLOW_OK;
}

static void
seed_batch(CheckRandom *r, FlowEnv *env, FuzzBytes *out)
{
	uint64_t steps = 1 + check_below(r, check_below(r, 4) ? 3 : FLOW_MAX_STEPS);
	FlowBatchWriter *bw;
	FlowBatchHeader hdr;
	const uint8_t *payload;
	const void *rec;
	size_t bytes;

	FUZZ_CHECK(flowi_batch_writer_create(env, &bw) == FLOW_OK);
	flowi_batch_begin(bw, check_below(r, 2) ? 0 : check_random(r));
	for (uint64_t i = 0; i < steps; i++)
		FUZZ_CHECK(add_step(r, bw) == FLOW_OK);
	FUZZ_CHECK(flowi_batch_finish(bw, &rec, &bytes, &hdr, &payload) == FLOW_OK);
	fuzz_bytes_set(out, rec, bytes);
	flowi_batch_writer_free(bw);
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);

	if (check_below(r, 4) != 0)
		seed_batch(r, env, out);
	else if (check_below(r, 4) == 0)
	{
		uint8_t rec[DROP_RECORD_MAX];
		FlowDropInfo drop = {1 + (uint32_t) check_below(r, 1000),
							 check_random(r), check_below(r, 2)};

		fuzz_bytes_set(out, rec, flowi_drop_encode(rec, &drop));
	}
	else
	{
		static const uint8_t blob[100] = {1, 2, 3};
		void *rec;
		size_t bytes;

		FUZZ_CHECK(flowi_store_encode(env, 1 + (uint32_t) check_below(r, 9),
									  check_below(r, 2) ? "s" : "a store", blob,
									  check_below(r, sizeof(blob)), &rec,
									  &bytes) == FLOW_OK);
		fuzz_bytes_set(out, rec, bytes);
		env->free(env, rec);
	}
	fuzz_end();
}
