/*-------------------------------------------------------------------------
 * batch_test.c
 *	  Log records: round trip, and hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <string.h>

#include "../batch.h"
#include "../coding.h"
#include "../env_posix.h"
#include "../record.h"

#define MAX_OPS 200

typedef struct TestOp
{
	uint32_t step;
	uint32_t cid;
	FlowOp op;
	uint32_t store_id;
	uint8_t key[24];
	uint32_t key_bytes;
	int64_t ts;
	int64_t expire_at;
	uint8_t value[300];
	uint32_t value_bytes;
	bool open;
} TestOp;

static size_t biggest_alloc;
static void *(*real_alloc)(FlowEnv *env, size_t size);

static void *
watched_alloc(FlowEnv *env, size_t size)
{
	biggest_alloc = FLOW_MAX(biggest_alloc, size);
	return real_alloc(env, size);
}

static int64_t
random_time(CheckRandom *r)
{
	static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, -1,		0,
									1,		   INT64_MAX - 1, INT64_MAX};

	if (check_below(r, 4) == 0)
		return edges[check_below(r, 7)];
	return INT64_C(1700000000000000) + (int64_t) check_below(r, 1000000);
}

/* A range tombstone of any store: key_hi in value, its times in ts and
 * expire_at. */
static void
make_tomb(CheckRandom *r, TestOp *o)
{
	o->op = FLOW_DELETE_RANGE;
	o->store_id = 1 + (uint32_t) check_below(r, 5);
	o->key_bytes = (uint32_t) check_below(r, 20);
	o->open = check_below(r, 3) == 0;
	o->value_bytes = o->open ? 0 : (uint32_t) check_below(r, 20);
	o->ts = random_time(r);
	o->expire_at = random_time(r);
	for (uint32_t i = 0; i < 20; i++)
		o->key[i] = o->value[i] = (uint8_t) check_below(r, 3);
}

/* Operations with rising (store, key, ts) inside a step, behind range
 * tombstones in any order. */
static uint32_t
make_ops(CheckRandom *r, TestOp *ops)
{
	uint32_t nsteps = 1 + (uint32_t) check_below(r, 4);
	uint32_t per_step = 1 + (uint32_t) check_below(r, MAX_OPS / 4);
	uint32_t n = 0;

	for (uint32_t step = 0; step < nsteps; step++)
	{
		uint32_t cid = (uint32_t) check_random(r);
		uint32_t tombs =
			check_below(r, 2) ? (uint32_t) check_below(r, per_step + 1) : 0;

		for (uint32_t i = 0; i < per_step; i++)
		{
			TestOp *o = &ops[n++];

			memset(o, 0, sizeof(*o));
			o->step = step;
			o->cid = cid;
			o->op = check_below(r, 4) ? FLOW_PUT : FLOW_DELETE;
			if (i < tombs)
			{
				make_tomb(r, o);
				continue;
			}
			o->store_id = 1 + i / 16;
			o->key_bytes = i % 16 == 0 ? 0 : 2 + (uint32_t) check_below(r, 20);
			o->key[0] = (uint8_t) (i % 16);
			o->ts = random_time(r);
			o->expire_at = check_below(r, 2) ? FLOW_NEVER : random_time(r);
			if (o->op == FLOW_PUT)
				o->value_bytes = (uint32_t) check_below(r, 300);
			for (uint32_t k = 0; k < o->value_bytes; k++)
				o->value[k] = (uint8_t) check_below(r, 3);
		}
	}
	return n;
}

static void
encode(FlowBatchWriter *bw, uint64_t xid, const TestOp *ops, uint32_t n)
{
	flowi_batch_begin(bw, xid);
	for (uint32_t i = 0; i < n; i++)
	{
		const TestOp *o = &ops[i];

		if (i == 0 || o->step != ops[i - 1].step)
			CHECK_OK(flowi_batch_step(bw, o->cid));
		if (o->op == FLOW_DELETE_RANGE)
		{
			FlowRect rect = {o->key,	   o->open ? NULL : o->value,
							 o->key_bytes, o->value_bytes,
							 o->ts,		   o->expire_at};

			CHECK_OK(flowi_batch_add_tomb(bw, o->store_id, &rect));
			continue;
		}
		CHECK_OK(flowi_batch_add(bw, o->op, o->store_id, o->key, o->key_bytes,
								 o->ts, o->expire_at, o->value,
								 o->value_bytes));
	}
}

static void
check_ops(const FlowBatchHeader *hdr, const uint8_t *payload, const TestOp *ops,
		  uint32_t n)
{
	FlowBatchCursor c;
	uint32_t ntombs = 0;

	flowi_batch_cursor_init(&c, hdr, payload);
	for (uint32_t i = 0; i < n; i++)
	{
		const TestOp *o = &ops[i];

		CHECK_OK(flowi_batch_cursor_next(&c));
		CHECK(c.step == o->step && c.cid == o->cid && c.op == o->op);
		CHECK(c.store_id == o->store_id && c.ts == o->ts);
		CHECK(c.expire_at == o->expire_at);
		CHECK(c.key_bytes == o->key_bytes);
		CHECK(memcmp(c.key, o->key, o->key_bytes) == 0);
		CHECK(c.value_bytes == o->value_bytes);
		CHECK((c.value == NULL) == (o->op == FLOW_DELETE || o->open));
		ntombs += c.op == FLOW_DELETE_RANGE;
		CHECK(o->value_bytes == 0 ||
			  memcmp(c.value, o->value, o->value_bytes) == 0);
	}
	CHECK_STATUS(flowi_batch_cursor_next(&c), FLOW_END);
	CHECK(hdr->ntombs == ntombs);
}

static volatile uint64_t swallowed; /* so that it is worked out */

/* Decode to the end, whatever it is; every byte it points to is read. */
static void
swallow(FlowEnv *env, const uint8_t *rec, size_t rec_bytes)
{
	FlowBatchHeader hdr;
	FlowBatchCursor c;
	const uint8_t *payload;
	void *owned;
	FlowStatus st;
	uint64_t sum = 0;
	char desc[64];

	flow_record_desc(rec, rec_bytes, desc, sizeof(desc));
	st = flowi_batch_open(env, rec, rec_bytes, &hdr, &payload, &owned);
	if (st != FLOW_OK)
	{
		CHECK(st == FLOW_CORRUPT || st == FLOW_MISMATCH);
		CHECK(flow_last_error()->status == st && owned == NULL);
		return;
	}
	flowi_batch_cursor_init(&c, &hdr, payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
	{
		CHECK(c.step < FLOW_MAX_STEPS);
		CHECK(c.key_bytes <= FLOW_MAX_KEY && c.value_bytes <= FLOW_MAX_VALUE);
		for (uint32_t i = 0; i < c.key_bytes; i++)
			sum += c.key[i];
		for (uint32_t i = 0; i < c.value_bytes; i++)
			sum += c.value[i];
	}
	swallowed = sum;
	CHECK(st == FLOW_END || st == FLOW_CORRUPT);
	env->free(env, owned);
}

/* Copies of their own size, so that a sanitizer sees each stray read. */
static void
test_hostile(FlowEnv *env, CheckRandom *r, const uint8_t *rec, size_t rec_bytes)
{
	for (size_t len = 0; len < rec_bytes; len++)
	{
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, rec, len);
		swallow(env, copy, len);
		free(copy);
	}
	for (size_t at = 0; at < rec_bytes; at++)
		for (int k = 0; k < 9; k++)
		{
			uint8_t *copy = malloc(rec_bytes);

			memcpy(copy, rec, rec_bytes);
			copy[at] ^= k < 8 ? (uint8_t) (1u << k)
							  : (uint8_t) (1 + check_below(r, 255));
			swallow(env, copy, rec_bytes);
			free(copy);
		}
	CHECK(biggest_alloc <= FLOW_BATCH_MAX_BYTES);
}

static void
test_random(FlowEnv *env, CheckRandom *r)
{
	static TestOp ops[MAX_OPS];
	FlowBatchWriter *bw;
	unsigned packed = 0;

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	for (int round = 0; round < 400; round++)
	{
		uint32_t n = make_ops(r, ops);
		uint64_t xid = check_random(r) >> check_below(r, 64);
		FlowBatchHeader hdr, hdr2;
		const void *rec;
		const uint8_t *payload, *payload2;
		size_t rec_bytes;
		void *owned;
		FlowRecordKind kind;

		encode(bw, xid, ops, n);
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		CHECK(hdr.xid == xid && hdr.nops == n);
		CHECK(hdr.nsteps == ops[n - 1].step + 1);
		check_ops(&hdr, payload, ops, n);
		CHECK_OK(flowi_record_kind(rec, rec_bytes, &kind));
		CHECK(kind == FLOW_RECORD_BATCH);
		CHECK_OK(
			flowi_batch_open(env, rec, rec_bytes, &hdr2, &payload2, &owned));
		packed += owned != NULL;
		CHECK(hdr2.xid == xid && hdr2.nops == n && hdr2.nsteps == hdr.nsteps);
		check_ops(&hdr2, payload2, ops, n);
		env->free(env, owned);
		if (round % 20 == 0)
			test_hostile(env, r, rec, rec_bytes);
	}
	CHECK(packed > 0 && packed < 400);
	flowi_batch_writer_free(bw);
	check_passed("batch round trip, truncations and flips");
}

static void
test_limits(FlowEnv *env)
{
	uint8_t *big = calloc(1, FLOW_MAX_VALUE);
	uint8_t key[FLOW_MAX_KEY] = {0};
	FlowBatchWriter *bw;
	FlowBatchHeader hdr;
	const void *rec;
	const uint8_t *payload;
	size_t rec_bytes;
	void *owned;
	FlowBatchCursor c;

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	CHECK_STATUS(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload),
				 FLOW_INVALID);
	flowi_batch_begin(bw, UINT64_MAX);
	CHECK_STATUS(
		flowi_batch_add(bw, FLOW_PUT, 1, key, FLOW_MAX_KEY + 1, 0, 0, NULL, 0),
		FLOW_INVALID);
	CHECK_STATUS(
		flowi_batch_add(bw, FLOW_PUT, 1, key, 1, 0, 0, big, FLOW_MAX_VALUE + 1),
		FLOW_INVALID);
	CHECK_OK(flowi_batch_step(bw, UINT32_MAX));
	CHECK_OK(flowi_batch_add(bw, FLOW_PUT, UINT32_MAX - 1, key, FLOW_MAX_KEY,
							 INT64_MIN, INT64_MAX - 1, big, FLOW_MAX_VALUE));
	CHECK(flowi_batch_payload_bytes(bw) <=
		  FLOW_MAX_KEY + FLOW_MAX_VALUE + FLOW_OP_MAX_OVERHEAD);
	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	CHECK(rec_bytes < FLOW_MAX_VALUE / 100);
	CHECK_OK(flowi_batch_open(env, rec, rec_bytes, &hdr, &payload, &owned));
	flowi_batch_cursor_init(&c, &hdr, payload);
	CHECK_OK(flowi_batch_cursor_next(&c));
	CHECK(c.value_bytes == FLOW_MAX_VALUE && c.ts == INT64_MIN);
	CHECK_STATUS(flowi_batch_cursor_next(&c), FLOW_END);
	env->free(env, owned);

	/* as many steps as there may be; empty ones leave no trace */
	flowi_batch_begin(bw, 7);
	for (uint32_t i = 0; i < FLOW_MAX_STEPS; i++)
	{
		CHECK_OK(flowi_batch_step(bw, 12345));
		CHECK_OK(flowi_batch_step(bw, i));
		CHECK_OK(flowi_batch_add(bw, FLOW_DELETE, 1, key, 3, 5, FLOW_NEVER,
								 NULL, 0));
	}
	CHECK_STATUS(flowi_batch_step(bw, 1), FLOW_INVALID);
	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	CHECK(hdr.nsteps == FLOW_MAX_STEPS && hdr.nops == FLOW_MAX_STEPS);
	flowi_batch_cursor_init(&c, &hdr, payload);
	for (uint32_t i = 0; i < FLOW_MAX_STEPS; i++)
	{
		CHECK_OK(flowi_batch_cursor_next(&c));
		CHECK(c.step == i && c.cid == i);
	}

	/* stores that cannot be */
	for (int i = 0; i < 2; i++)
	{
		flowi_batch_begin(bw, 7);
		CHECK_OK(flowi_batch_add(bw, FLOW_DELETE, i ? UINT32_MAX : 0, key, 3, 5,
								 FLOW_NEVER, NULL, 0));
		CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
		flowi_batch_cursor_init(&c, &hdr, payload);
		CHECK_STATUS(flowi_batch_cursor_next(&c), FLOW_CORRUPT);
	}

	/* a step that does not rise */
	flowi_batch_begin(bw, 7);
	for (int i = 0; i < 2; i++)
		CHECK_OK(flowi_batch_add(bw, FLOW_DELETE, 1, key, 3, 5, FLOW_NEVER,
								 NULL, 0));
	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	flowi_batch_cursor_init(&c, &hdr, payload);
	CHECK_OK(flowi_batch_cursor_next(&c));
	CHECK_STATUS(flowi_batch_cursor_next(&c), FLOW_CORRUPT);
	flowi_batch_writer_free(bw);
	free(big);
	check_passed("batch limits");
}

/* Status of a walk over a hand-made batch. */
static FlowStatus
walk(FlowEnv *env, const uint8_t *rec, size_t rec_bytes)
{
	FlowBatchHeader hdr;
	const uint8_t *payload;
	void *owned;
	FlowBatchCursor c;
	FlowStatus st;

	CHECK_OK(flowi_batch_open(env, rec, rec_bytes, &hdr, &payload, &owned));
	flowi_batch_cursor_init(&c, &hdr, payload);
	while ((st = flowi_batch_cursor_next(&c)) == FLOW_OK)
		;
	env->free(env, owned);
	return st;
}

/* Bytes as FORMAT.md has them; where range tombstones may stand. */
static void
test_tombs(FlowEnv *env)
{
	/* xid 0, 1 step, 2 operations, 1 range tombstone, 11 bytes: */
	uint8_t rec[] = {1,	   2, 0, 0,	  1,  2,   1, 11,
					 0x3c, 9, 3, 0,	  1,  'k', /* [k, .. at times 0 to MAX */
					 0x01, 2, 2, 'a', 'b'};	   /* delete (ab, 1) */
	FlowRect rect = {(const uint8_t *) "k", NULL, 1, 0, 0, INT64_MAX};
	static const uint8_t long_key[FLOW_MAX_KEY + 1];
	FlowBatchWriter *bw;
	FlowBatchHeader hdr;
	const uint8_t *payload;
	const void *made;
	size_t made_bytes;
	char desc[128];

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	CHECK_OK(flowi_batch_step(bw, 9));
	CHECK_OK(flowi_batch_add_tomb(bw, 3, &rect));
	CHECK_OK(flowi_batch_add(bw, FLOW_DELETE, 3, (const uint8_t *) "ab", 2, 1,
							 FLOW_NEVER, NULL, 0));
	/* behind other operations only in a step of its own */
	CHECK_STATUS(flowi_batch_add_tomb(bw, 3, &rect), FLOW_INVALID);
	CHECK_OK(flowi_batch_finish(bw, &made, &made_bytes, &hdr, &payload));
	rec[8] = 0x1c | 0x20; /* STEP, STORE, RANGE, OPEN */
	CHECK(made_bytes == sizeof(rec) && memcmp(made, rec, sizeof(rec)) == 0);
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_END);
	flow_record_desc(rec, sizeof(rec), desc, sizeof(desc));
	CHECK(strcmp(desc, "batch: xid 0, steps 1, operations 2, "
					   "range tombstones 1, 11 bytes") == 0);
	CHECK_OK(flowi_batch_step(bw, 9));
	CHECK_OK(flowi_batch_add_tomb(bw, 3, &rect));
	rect.key_lo = long_key;
	rect.key_lo_bytes = FLOW_MAX_KEY + 1;
	CHECK_STATUS(flowi_batch_add_tomb(bw, 3, &rect), FLOW_INVALID);
	rect.key_lo_bytes = 0;
	rect.key_hi = long_key;
	rect.key_hi_bytes = FLOW_MAX_KEY + 1;
	CHECK_STATUS(flowi_batch_add_tomb(bw, 3, &rect), FLOW_INVALID);
	flowi_batch_writer_free(bw);

	rec[6] = 0; /* fewer, and more, than there are */
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT);
	rec[6] = 2;
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT);
	rec[6] = 1;
	rec[8] = 0x1d | 0x20; /* a range and a record at once */
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT);
	rec[8] = 0x0d | 0x20; /* an open record */
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT);
	rec[8] = 0x0d; /* a range behind a record */
	rec[14] = 0x30;
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT);
	rec[14] = 0x38; /* in a step of its own; its command id stands there */
	CHECK(rec[15] == 2);
	rec[4] = 2;
	rec[15] = 0;
	rec[16] = 0;
	rec[17] = 1;
	CHECK_STATUS(walk(env, rec, sizeof(rec)), FLOW_CORRUPT); /* no store */
	rec[1] = 1; /* another version */
	CHECK_STATUS(flowi_batch_open(env, rec, sizeof(rec), &hdr, &payload,
								  (void *[]){NULL}),
				 FLOW_MISMATCH);
	check_passed("range tombstones in batches");
}

static void
test_no_memory(FlowEnv *env)
{
	static TestOp ops[MAX_OPS];
	CheckRandom r = {1};
	uint32_t n = make_ops(&r, ops);
	FlowStatus st = FLOW_NOMEM;

	for (uint64_t nth = 1; st != FLOW_OK; nth++)
	{
		FlowBatchWriter *bw;
		FlowBatchHeader hdr;
		const void *rec;
		const uint8_t *payload;
		size_t rec_bytes;

		flow_env_posix_fail(env, FLOW_POSIX_ALLOC, nth, 1, 0);
		st = flowi_batch_writer_create(env, &bw);
		for (uint32_t i = 0; st == FLOW_OK && i < n; i++)
			st = flowi_batch_add(bw, FLOW_PUT, i, ops[i].key, 8, 0, 0,
								 ops[i].value, 200);
		if (st == FLOW_OK)
			st = flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload);
		CHECK(st == FLOW_OK || st == FLOW_NOMEM);
		flowi_batch_writer_free(bw);
	}
	flow_env_posix_fail(env, FLOW_POSIX_ALLOC, 1, 0, 0);
	check_passed("batch without memory");
}

static void
test_store(FlowEnv *env)
{
	char blob[500];
	char name[FLOW_MAX_STORE_NAME + 2];
	void *rec;
	size_t rec_bytes, blob_bytes;
	uint32_t id, name_bytes;
	const char *got_name;
	const void *got_blob;
	char desc[100];

	memset(blob, 7, sizeof(blob));
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	CHECK_STATUS(flowi_store_encode(env, 1, "", NULL, 0, &rec, &rec_bytes),
				 FLOW_INVALID);
	CHECK_STATUS(flowi_store_encode(env, 1, name, NULL, 0, &rec, &rec_bytes),
				 FLOW_INVALID);
	CHECK_STATUS(flowi_store_encode(env, 1, "a", blob, FLOW_MAX_BLOB + 1, &rec,
									&rec_bytes),
				 FLOW_INVALID);
	CHECK_OK(flowi_store_encode(env, 77, "cpu", blob, sizeof(blob), &rec,
								&rec_bytes));
	CHECK_OK(flowi_store_decode(rec, rec_bytes, &id, &got_name, &name_bytes,
								&got_blob, &blob_bytes));
	CHECK(id == 77 && name_bytes == 3 && strcmp(got_name, "cpu") == 0);
	CHECK(blob_bytes == sizeof(blob) && memcmp(got_blob, blob, 500) == 0);
	flow_record_desc(rec, rec_bytes, desc, sizeof(desc));
	CHECK(strcmp(desc, "store: id 77, name \"cpu\", schema 500 bytes") == 0);
	for (size_t len = 0; len < rec_bytes; len++)
	{
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, rec, len);
		CHECK_STATUS(flowi_store_decode(copy, len, &id, &got_name, &name_bytes,
										&got_blob, &blob_bytes),
					 FLOW_CORRUPT);
		swallow(env, copy, len);
		free(copy);
	}
	for (size_t at = 0; at < rec_bytes; at++)
		for (unsigned k = 0; k < 256; k++)
		{
			uint8_t *copy = malloc(rec_bytes);

			memcpy(copy, rec, rec_bytes);
			copy[at] = (uint8_t) k;
			if (flowi_store_decode(copy, rec_bytes, &id, &got_name, &name_bytes,
								   &got_blob, &blob_bytes) == FLOW_OK)
				CHECK(strlen(got_name) == name_bytes && blob_bytes <= 500);
			flow_record_desc(copy, rec_bytes, desc, sizeof(desc));
			free(copy);
		}
	env->free(env, rec);
	check_passed("store records");
}

/* Damage and what a later version may write are told apart. */
static void
test_kinds(void)
{
	uint8_t rec[DROP_RECORD_MAX];
	size_t n = flowi_drop_encode(rec, &(FlowDropInfo){7, 3, false});
	FlowRecordKind kind;
	FlowDropInfo got;

	rec[1]++;
	CHECK_STATUS(flowi_drop_decode(rec, n, &got), FLOW_MISMATCH);
	rec[1] = 0;
	CHECK_STATUS(flowi_drop_decode(rec, n, &got), FLOW_CORRUPT);
	rec[0] = FLOW_RECORD_DROP + 1;
	CHECK_STATUS(flowi_record_kind(rec, n, &kind), FLOW_MISMATCH);
	rec[0] = 0;
	CHECK_STATUS(flowi_record_kind(rec, n, &kind), FLOW_CORRUPT);
	check_passed("kinds and versions");
}

static void
check_drop(const FlowDropInfo *drop, const char *text)
{
	uint8_t rec[DROP_RECORD_MAX];
	size_t n = flowi_drop_encode(rec, drop);
	FlowDropInfo got;
	char desc[100];

	CHECK(n <= sizeof(rec));
	CHECK_OK(flowi_drop_decode(rec, n, &got));
	CHECK(got.store_id == drop->store_id && got.xid == drop->xid &&
		  got.unless == drop->unless);
	CHECK(flow_record_xid(rec, n) == drop->xid);
	flow_record_desc(rec, n, desc, sizeof(desc));
	CHECK(strcmp(desc, text) == 0);
	for (size_t len = 0; len < n; len++)
		CHECK_STATUS(flowi_drop_decode(rec, len, &got), FLOW_CORRUPT);
	for (size_t at = 0; at < n; at++)
		for (unsigned k = 0; k < 256; k++)
		{
			uint8_t copy[DROP_RECORD_MAX];
			FlowStatus st;

			memcpy(copy, rec, n);
			copy[at] = (uint8_t) k;
			st = flowi_drop_decode(copy, n, &got);
			CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH);
			CHECK(st != FLOW_OK || flowi_batch_store_ok(got.store_id));
			flow_record_desc(copy, n, desc, sizeof(desc));
		}
}

static void
test_drop(void)
{
	check_drop(&(FlowDropInfo){7, 1234567, false},
			   "drop: store id 7, by xid 1234567");
	check_drop(&(FlowDropInfo){7, 3, true}, "drop: store id 7, unless xid 3");
	check_drop(&(FlowDropInfo){UINT32_MAX - 1, UINT64_MAX, true},
			   "drop: store id 4294967294, unless xid 18446744073709551615");
	check_drop(&(FlowDropInfo){1, 0, false}, "drop: store id 1, by xid 0");
	check_passed("drop records");
}

/* Coding of integers: the edges, and what is cut or too long. */
static void
test_varint(CheckRandom *r)
{
	uint8_t buf[FLOW_VARINT_MAX];

	for (int i = 0; i < 100000; i++)
	{
		uint64_t v = check_random(r) >> check_below(r, 64);
		uint8_t *end = flowi_put_varint(buf, v);
		const uint8_t *p = buf;
		uint64_t got;

		CHECK(flowi_get_varint(&p, end, &got) && got == v && p == end);
		p = buf;
		CHECK(!flowi_get_varint(&p, end - 1, &got) && p == buf);
		CHECK(flowi_zigzag(flowi_unzigzag(v)) == v);
	}
	memset(buf, 0xff, sizeof(buf));
	for (unsigned last = 0; last < 256; last++)
	{
		const uint8_t *p = buf;
		uint64_t got;

		buf[9] = (uint8_t) last;
		CHECK(flowi_get_varint(&p, buf + 10, &got) == (last <= 1));
	}
	check_passed("varints");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	FlowEnv *env;

	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	real_alloc = env->alloc;
	env->alloc = watched_alloc;
	test_varint(&r);
	test_random(env, &r);
	env->alloc = real_alloc;
	test_limits(env);
	test_tombs(env);
	test_no_memory(env);
	test_store(env);
	test_kinds();
	test_drop();
	flow_env_posix_free(env);
	return 0;
}
