/*-------------------------------------------------------------------------
 * golden.h
 *	  The golden databases: how they are made, and what is in them.
 *
 * golden/<version>.tar.gz holds databases as that version wrote them: "host",
 * with the log kept by its host (as under PostgreSQL), "embed", with a file
 * log, and since 1.1 "documents", whose blocks a merge has packed.  The same code makes them and tells what is in them: each
 * operation is applied to a database, when there is one, and noted in a
 * model.  It must never change for what a released version has written; what
 * a new version can do gets an archive of its own.
 *
 * Batches stay small or random: lz4 then keeps none, and positions in the log
 * do not depend on the library's version.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_GOLDEN_H
#define FLOW_TEST_GOLDEN_H

#include <stdarg.h>
#include <xxhash.h>

#include "../db.h"
#include "dbtest.h"

#define GOLDEN_REGION ((size_t) 16 << 20)
#define GOLDEN_SEGMENT 4096
#define GOLDEN_OPS 4000
#define GOLDEN_KEY 16

/* Transactions: what has become of them when a golden database is opened. */
enum
{
	XID_NONE = 0,
	XID_COMMITTED = 2,
	XID_ABORTED = 3,
	XID_UNKNOWN = 4,
	XID_SETTLED = 5,
	XID_LOGGED = 6, /* committed; its records are only in the log */
	XIDS
};

typedef struct GoldenOp
{
	FlowOp op;
	uint32_t store;
	uint64_t xid;
	uint8_t key[GOLDEN_KEY];
	uint8_t key_hi[GOLDEN_KEY]; /* of a range tombstone */
	uint32_t key_bytes, hi_bytes;
	bool open; /* no key_hi */
	int64_t ts, ts_hi;
	int64_t expire_at;
	uint8_t *value;
	uint32_t value_bytes;
} GoldenOp;

/* t is NULL to make the model alone. */
typedef struct Golden
{
	TestDb *t;
	GoldenOp *ops;
	size_t nops;
	uint32_t next_store;
	CheckRandom random;
	FlowTxBuf *buf;
} Golden;

/* ------------------------------------------------------------------- fates */

static FlowTxnState golden_fate[XIDS];

static inline FlowStatus
golden_outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid < XIDS);
	if (golden_fate[xid] != FLOW_TXN_UNKNOWN)
		*statep = golden_fate[xid];
	return FLOW_OK;
}

static inline bool
golden_counts(uint64_t xid)
{
	return xid == XID_NONE || golden_fate[xid] == FLOW_TXN_COMMITTED ||
		   golden_fate[xid] == FLOW_TXN_SETTLED;
}

static inline bool
golden_visible(void *arg, FlowTxn *txn)
{
	(void) arg;
	return golden_counts(txn->xid);
}

static inline void
golden_end_transactions(void)
{
	golden_fate[XID_COMMITTED] = FLOW_TXN_COMMITTED;
	golden_fate[XID_ABORTED] = FLOW_TXN_ABORTED;
	golden_fate[XID_SETTLED] = FLOW_TXN_SETTLED;
	golden_fate[XID_LOGGED] = FLOW_TXN_COMMITTED;
}

/* -------------------------------------------------------------- operations */

static inline void
golden_begin(Golden *g, TestDb *t)
{
	memset(g, 0, sizeof(*g));
	memset(golden_fate, 0, sizeof(golden_fate));
	g->t = t;
	g->ops = calloc(GOLDEN_OPS, sizeof(GoldenOp));
	CHECK(g->ops != NULL);
	g->next_store = 1;
	g->random.state = UINT64_C(20260101);
}

static inline void
golden_end(Golden *g)
{
	for (size_t i = 0; i < g->nops; i++)
		free(g->ops[i].value);
	free(g->ops);
}

/* Ids are given out from 1 on; that of the settings counts. */
static inline uint32_t
golden_store(Golden *g, const char *name, const char *blob)
{
	uint32_t id = g->next_store++;
	uint32_t got = id;

	if (g->t)
		CHECK_OK(flow_store_define(g->t->db, name, blob, strlen(blob), &got));
	CHECK(got == id);
	return id;
}

static inline void
golden_flush(Golden *g)
{
	if (g->t)
		CHECK_OK(flow_flush(g->t->db, NULL));
}

static inline GoldenOp *
golden_op(Golden *g, FlowOp op, uint32_t store, uint64_t xid)
{
	GoldenOp *o = &g->ops[g->nops++];

	CHECK(g->nops <= GOLDEN_OPS);
	*o = (GoldenOp){
		.op = op, .store = store, .xid = xid, .expire_at = FLOW_NEVER};
	return o;
}

/* Key number n: plain ones, one with bytes that texts do not have, and none. */
static inline uint32_t
golden_key(unsigned n, uint8_t key[GOLDEN_KEY])
{
	static const uint8_t odd[] = {0x00, 0xff, 0x00, 0x80};

	if (n == 10)
		return 0;
	if (n == 11)
		return memcpy(key, odd, sizeof(odd)), (uint32_t) sizeof(odd);
	return (uint32_t) snprintf((char *) key, GOLDEN_KEY, "host-%02u", n);
}

/* Apply what stands in ops from first on, as one batch. */
static inline void
golden_push(Golden *g, size_t first, uint32_t cid)
{
	FlowTxBuf *buf;

	if (g->t == NULL)
		return;
	CHECK_OK(flow_txbuf_create(g->t->env, &buf));
	for (size_t i = first; i < g->nops; i++)
	{
		GoldenOp *o = &g->ops[i];
		FlowRect rect = {o->key,	   o->open ? NULL : o->key_hi,
						 o->key_bytes, o->hi_bytes,
						 o->ts,		   o->ts_hi};

		if (o->op == FLOW_DELETE_RANGE)
			CHECK_OK(
				flow_txbuf_delete_range(buf, o->store, &rect, o->xid, cid));
		else
			CHECK_OK(flow_txbuf_add(buf, o->op, o->store, o->key, o->key_bytes,
									o->ts, o->expire_at, o->value,
									o->value_bytes, o->xid, cid));
	}
	CHECK_OK(flow_txbuf_push(buf, g->t->db));
	flow_txbuf_free(buf);
}

/* How a value is made. */
typedef enum GoldenValue
{
	VALUE_RANDOM,
	VALUE_REPEATED,
	VALUE_DOCUMENT /* of one template */
} GoldenValue;

#define GOLDEN_DOCUMENT 80 /* bytes, at most */

/* A document of the row: numbers, one of various digits, a word. */
static inline uint32_t
golden_document(const GoldenOp *o, uint64_t x, char *to)
{
	static const char *const words[] = {"ok", "low", "failed"};

	return (uint32_t) snprintf(
		to, GOLDEN_DOCUMENT,
		"{\"t\":%" PRId64
		",\"v\":%u.%02u,\"w\":%u%s,\"id\":\"%04u\",\"s\":\"%s\"}",
		o->ts, (unsigned) (x % 50), (unsigned) (x >> 8 & 63),
		(unsigned) (x >> 16 & 7), x >> 20 & 1 ? ".5" : "",
		(unsigned) (x >> 24 & 1023), words[(x >> 40) % 3]);
}

static inline void
golden_value(Golden *g, GoldenOp *o, GoldenValue kind, uint32_t bytes)
{
	o->value = malloc(bytes + 1);
	CHECK(o->value != NULL);
	o->value_bytes = bytes;
	if (kind == VALUE_DOCUMENT && bytes == GOLDEN_DOCUMENT)
	{
		o->value_bytes =
			golden_document(o, check_random(&g->random), (char *) o->value);
		return;
	}
	for (uint32_t i = 0; i < bytes; i++)
		o->value[i] = kind == VALUE_REPEATED
						  ? (uint8_t) ('a' + o->ts % 7)
						  : (uint8_t) check_random(&g->random);
}

static inline GoldenOp *
golden_row(Golden *g, FlowOp op, uint32_t store, uint64_t xid, unsigned key,
		   int64_t ts)
{
	GoldenOp *o = golden_op(g, op, store, xid);

	o->key_bytes = golden_key(key, o->key);
	o->ts = ts;
	return o;
}

/* n puts from time ts on over all keys, in batches of at most per rows. */
static inline void
golden_puts(Golden *g, uint32_t store, uint64_t xid, int64_t ts, unsigned n,
			unsigned per, GoldenValue kind, uint32_t bytes)
{
	size_t first = g->nops;

	for (unsigned i = 0; i < n; i++)
	{
		GoldenOp *o = golden_row(g, FLOW_PUT, store, xid, i % 12, ts + i / 12);

		if (i % 5 == 3)
			o->expire_at = o->ts + 1000 + i;
		golden_value(g, o, kind, i % 17 == 16 ? 0 : bytes);
		if ((i + 1) % per == 0 || i + 1 == n)
		{
			golden_push(g, first, i % 3);
			first = g->nops;
		}
	}
}

static inline void
golden_delete(Golden *g, uint32_t store, uint64_t xid, unsigned key, int64_t ts)
{
	(void) golden_row(g, FLOW_DELETE, store, xid, key, ts);
	golden_push(g, g->nops - 1, 0);
}

/* Keys lo .. hi - 1, hi 0: all from lo on; a batch of its own, so that what it
 * hides stands before it. */
static inline void
golden_range(Golden *g, uint32_t store, uint64_t xid, unsigned lo, unsigned hi,
			 int64_t ts_lo, int64_t ts_hi)
{
	GoldenOp *o = golden_row(g, FLOW_DELETE_RANGE, store, xid, lo, ts_lo);

	o->ts_hi = ts_hi;
	o->open = hi == 0;
	o->hi_bytes = hi == 0 ? 0 : golden_key(hi, o->key_hi);
	golden_push(g, g->nops - 1, 0);
}

/* ------------------------------------------------------- what is in it now */

typedef struct GoldenText
{
	char *p;
	size_t len, cap;
} GoldenText;

FLOW_PRINTF(2, 3)
static inline void
golden_say(GoldenText *text, const char *format, ...)
{
	va_list args;

	if (text->cap - text->len < 1024)
	{
		text->cap = text->cap * 2 + 65536;
		text->p = realloc(text->p, text->cap);
		CHECK(text->p != NULL);
	}
	va_start(args, format);
	text->len += (size_t) vsnprintf(text->p + text->len, text->cap - text->len,
									format, args);
	va_end(args);
	CHECK(text->len < text->cap);
}

static inline void
golden_hex(GoldenText *text, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		golden_say(text, "%02x", p[i]);
}

/* One row as a line; a long value as its length and hash. */
static inline void
golden_say_row(GoldenText *text, const uint8_t *key, uint32_t key_bytes,
			   int64_t ts, int64_t expire_at, const uint8_t *value,
			   uint32_t value_bytes)
{
	golden_hex(text, key, key_bytes);
	golden_say(text, " %" PRId64 " %" PRId64 " %u:%016" PRIx64 "\n", ts,
			   expire_at, value_bytes, XXH3_64bits(value, value_bytes));
}

static inline int
golden_compare(const void *a, const void *b)
{
	const GoldenOp *x = *(GoldenOp *const *) a;
	const GoldenOp *y = *(GoldenOp *const *) b;
	uint32_t n = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
	int c = memcmp(x->key, y->key, n);

	if (c == 0)
		c = (x->key_bytes > y->key_bytes) - (x->key_bytes < y->key_bytes);
	return c ? c : (x->ts > y->ts) - (x->ts < y->ts);
}

static inline int
golden_key_order(const uint8_t *a, uint32_t an, const uint8_t *b, uint32_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);

	return c ? c : (an > bn) - (an < bn);
}

/* Is o, of ops[at], hidden by anything that came later and counts? */
static inline bool
golden_hidden(const Golden *g, size_t at)
{
	const GoldenOp *o = &g->ops[at];

	for (size_t i = at + 1; i < g->nops; i++)
	{
		const GoldenOp *l = &g->ops[i];
		int lo;

		if (l->store != o->store || !golden_counts(l->xid))
			continue;
		lo = golden_key_order(o->key, o->key_bytes, l->key, l->key_bytes);
		if (l->op != FLOW_DELETE_RANGE && lo == 0 && l->ts == o->ts)
			return true;
		if (l->op == FLOW_DELETE_RANGE && lo >= 0 && o->ts >= l->ts &&
			o->ts <= l->ts_hi &&
			(l->open || golden_key_order(o->key, o->key_bytes, l->key_hi,
										 l->hi_bytes) < 0))
			return true;
	}
	return false;
}

/* The rows of a store at time now (INT64_MIN: expired ones too). */
static inline void
golden_expected(const Golden *g, uint32_t store, int64_t now, GoldenText *text)
{
	const GoldenOp **rows = calloc(g->nops + 1, sizeof(*rows));
	size_t n = 0;

	CHECK(rows != NULL);
	for (size_t i = 0; i < g->nops; i++)
	{
		const GoldenOp *o = &g->ops[i];

		if (o->store == store && o->op == FLOW_PUT && golden_counts(o->xid) &&
			o->expire_at > now && !golden_hidden(g, i))
			rows[n++] = o;
	}
	qsort(rows, n, sizeof(*rows), golden_compare);
	golden_say(text, "store %u at %" PRId64 "\n", store, now);
	for (size_t i = 0; i < n; i++)
		golden_say_row(text, rows[i]->key, rows[i]->key_bytes, rows[i]->ts,
					   rows[i]->expire_at, rows[i]->value,
					   rows[i]->value_bytes);
	free(rows);
}

/* The same row by its key: what a filter leaves out is missed. */
static inline void
golden_get(FlowDb *db, const FlowScanSpec *spec, const FlowRecord *row)
{
	const FlowVector *vec;
	FlowScan *scan;

	CHECK_OK(
		flow_get(db, spec, row->key, row->key_bytes, row->ts, &scan, &vec));
	CHECK(vec->value_bytes[0] == row->value_bytes);
	flow_scan_close(scan);
}

static inline void
golden_found(FlowDb *db, uint32_t store, int64_t now, GoldenText *text)
{
	FlowScanSpec spec = {
		.store_id = store, .now = now, .visible = golden_visible};
	FlowRecord row;
	FlowScan *scan;
	FlowStatus st;

	golden_say(text, "store %u at %" PRId64 "\n", store, now);
	CHECK_OK(flow_scan_open(db, &spec, &scan));
	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
	{
		golden_say_row(text, row.key, (uint32_t) row.key_bytes, row.ts,
					   row.expire_at, row.value, (uint32_t) row.value_bytes);
		golden_get(db, &spec, &row);
	}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
}

/* Rows counted by indexes, as far as the files tell, are as many as there are. */
static inline void
golden_count(FlowDb *db, uint32_t store, int64_t now)
{
	FlowScanSpec spec = {.store_id = store,
						 .now = now,
						 .visible = golden_visible,
						 .keys_only = true};
	uint64_t rows[2] = {0};

	for (int spans = 0; spans < 2; spans++)
	{
		const FlowVector *vec;
		FlowScan *scan;

		spec.spans = spans;
		CHECK_OK(flow_scan_open(db, &spec, &scan));
		while (flow_scan_next(scan, 0, &vec) == FLOW_OK)
			rows[spans] += vec->nrows + vec->span_rows;
		flow_scan_close(scan);
	}
	CHECK(rows[0] == rows[1]);
}

/* Every store of the database against the model. */
static inline void
golden_check(const Golden *g, FlowDb *db, const char *what)
{
	static const int64_t times[] = {INT64_MIN, 1000, 1100};

	for (uint32_t store = 1; store < g->next_store; store++)
		for (size_t i = 0; flow_store_exists(db, store) && i < 3; i++)
		{
			GoldenText want = {0}, got = {0};

			golden_expected(g, store, times[i], &want);
			golden_found(db, store, times[i], &got);
			if (strcmp(want.p, got.p) != 0)
				fprintf(stderr, "%s: wanted %s\ngot %s\n", what, want.p, got.p);
			CHECK(strcmp(want.p, got.p) == 0);
			golden_count(db, store, times[i]);
			free(want.p);
			free(got.p);
		}
}

#endif /* FLOW_TEST_GOLDEN_H */
