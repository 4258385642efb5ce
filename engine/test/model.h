/*-------------------------------------------------------------------------
 * model.h
 *	  The model of model_test.c: a grid of identities, each with its versions
 *	  in log order, and transactions with their fates.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_MODEL_H
#define FLOW_TEST_MODEL_H

#include <stdatomic.h>

#include "../row.h"
#include "lyingdisk.h"

#define NSTORES 2
#define NKEYS 40
#define NTS 24
#define NOPEN 4 /* transactions at a time */
#define NSNAPS 3
#define FIRST_NOW 1000

typedef struct Version
{
	uint64_t xid;
	uint64_t number; /* names the value */
	int64_t expire_at;
	uint32_t cid;
	FlowOp op;
} Version;

typedef struct Versions
{
	Version *v; /* oldest first */
	uint32_t n;
	uint32_t cap;
} Versions;

typedef enum Fate
{
	RUNNING,
	COMMITTED,
	ABORTED
} Fate;

typedef struct Txn
{
	Fate fate;
	uint64_t commit_no;
} Txn;

/* Cells from key_lo to before key_hi (NKEYS: to the end), and of the times
 * from ts_lo to ts_hi. */
typedef struct Cells
{
	uint32_t key_lo, key_hi, ts_lo, ts_hi;
} Cells;

/* An entry of a private buffer, as the model keeps it; one of a single cell,
 * or a range delete. */
typedef struct Entry
{
	uint32_t store;
	Cells cells;
	Version version;
} Entry;

typedef struct Open
{
	FlowTxBuf *buf; /* NULL: none open */
	uint64_t xid;
	uint32_t cid;
	uint64_t snapshot;
	Entry *entries;
	size_t n;
	size_t cap;
	size_t pushed; /* entries that were pushed: the first ones */
} Open;

/* What a reader sees: commits up to commit_no, and own's earlier commands, as
 * of a time. */
typedef struct Reader
{
	int64_t now;
	uint64_t commit_no;
	const Open *own;
	uint32_t own_cid;
} Reader;

typedef struct LongScan
{
	FlowScan *scan; /* NULL: none */
	Reader reader;
	FlowScanSpec spec;
	uint32_t *expect; /* cells */
	uint64_t *numbers;
	size_t n;
	size_t at;
} LongScan;

static TestDb t;
static CheckRandom rnd;
static uint32_t store_id[NSTORES];
static uint8_t keys[NKEYS][400];
static uint32_t key_bytes[NKEYS];
static int64_t times[NTS];
static Versions grid[NSTORES][NKEYS][NTS];

static Txn *txns; /* by xid */
static uint64_t ntxns;
static uint64_t commits;
static uint64_t numbers;
static Open open_txns[NOPEN];
static uint64_t snaps[NSNAPS]; /* UINT64_MAX: none */
static int64_t model_now = FIRST_NOW;
static LongScan long_scan;
static uint64_t poll_calls;
static uint32_t poll_every; /* interrupt each n-th poll; 0: never */

/* ------------------------------------------------------------- the model */

static uint64_t
below(uint64_t n)
{
	return check_below(&rnd, n);
}

static uint64_t
horizon(void)
{
	uint64_t h = commits;

	for (int i = 0; i < NSNAPS; i++)
		h = snaps[i] < h ? snaps[i] : h;
	for (int i = 0; i < NOPEN; i++)
		if (open_txns[i].buf && open_txns[i].snapshot < h)
			h = open_txns[i].snapshot;
	if (long_scan.scan && long_scan.reader.commit_no < h)
		h = long_scan.reader.commit_no;
	return h;
}

static FlowTxnState
state_of(uint64_t xid)
{
	const Txn *txn = &txns[xid];

	if (txn->fate == ABORTED)
		return FLOW_TXN_ABORTED;
	if (txn->fate == RUNNING)
		return FLOW_TXN_UNKNOWN;
	return txn->commit_no <= horizon() ? FLOW_TXN_SETTLED : FLOW_TXN_COMMITTED;
}

static FlowStatus
outcome(void *arg, uint64_t xid, FlowTxnState *statep)
{
	(void) arg;
	CHECK(xid > 0 && xid < ntxns);
	*statep = state_of(xid);
	return FLOW_OK;
}

static bool
sees(const Reader *r, uint64_t xid, uint32_t cid)
{
	if (xid == 0)
		return true;
	if (r->own && r->own->xid == xid)
		return cid < r->own_cid;
	return txns[xid].fate == COMMITTED && txns[xid].commit_no <= r->commit_no;
}

/* FlowVisibleFn; leaves hints now and then, as a host does. */
static bool
visible(void *arg, FlowTxn *txn)
{
	if (below(4) == 0)
	{
		FlowTxnState state = state_of(txn->xid);

		if (state != FLOW_TXN_UNKNOWN)
			atomic_store(&txn->state, state);
	}
	return sees(arg, txn->xid, txn->cid);
}

/* FlowEnv's clock, and how far back it may still be asked for. */
static int64_t
model_clock(FlowEnv *env)
{
	(void) env;
	return model_now;
}

static int64_t
model_horizon(FlowEnv *env)
{
	(void) env;
	return long_scan.scan ? long_scan.reader.now : model_now;
}

/* Versions that nobody can see any more. */
static void
prune(Versions *vs)
{
	uint32_t kept = 0;
	uint32_t first = 0;

	for (uint32_t i = vs->n; i-- > 0;)
	{
		uint64_t xid = vs->v[i].xid;

		if (xid == 0 || state_of(xid) == FLOW_TXN_SETTLED)
		{
			first = i;
			break;
		}
	}
	for (uint32_t i = first; i < vs->n; i++)
	{
		uint64_t xid = vs->v[i].xid;

		if (xid == 0 || txns[xid].fate != ABORTED)
			vs->v[kept++] = vs->v[i];
	}
	vs->n = kept;
}

static void
add_version(uint32_t store, uint32_t key, uint32_t ts, Version version)
{
	Versions *vs = &grid[store][key][ts];

	if (vs->n == vs->cap)
		prune(vs);
	if (vs->n == vs->cap)
	{
		vs->cap = vs->cap ? vs->cap * 2 : 4;
		vs->v = realloc(vs->v, vs->cap * sizeof(*vs->v));
		CHECK(vs->v != NULL);
	}
	vs->v[vs->n++] = version;
}

static bool
in_cells(const Cells *c, uint32_t key, uint32_t ts)
{
	return c->key_lo <= key && key < c->key_hi && c->ts_lo <= ts &&
		   ts <= c->ts_hi;
}

/* A range delete is a delete of each cell that ever had something. */
static void
add_versions(uint32_t store, const Cells *c, Version version)
{
	for (uint32_t key = c->key_lo; key < c->key_hi; key++)
		for (uint32_t ts = c->ts_lo; ts <= c->ts_hi; ts++)
			if (version.op != FLOW_DELETE_RANGE || grid[store][key][ts].n > 0)
				add_version(store, key, ts, version);
}

/* The live version that the reader sees, or NULL. */
static const Version *
model_get(const Reader *r, uint32_t store, uint32_t key, uint32_t ts)
{
	const Versions *vs = &grid[store][key][ts];
	const Version *found = NULL;

	for (uint32_t i = vs->n; i-- > 0 && !found;)
		if (sees(r, vs->v[i].xid, vs->v[i].cid))
			found = &vs->v[i];
	for (size_t i = r->own ? r->own->n : 0; r->own && i-- > r->own->pushed;)
	{
		const Entry *e = &r->own->entries[i];

		if (e->store == store && in_cells(&e->cells, key, ts) &&
			e->version.cid < r->own_cid)
		{
			found = &e->version;
			break;
		}
	}
	if (!found || found->op != FLOW_PUT || found->expire_at <= r->now)
		return NULL;
	return found;
}

/* ---------------------------------------------------------------- values */

/* In some rounds values are rows of columns.  The host tells the engine of all
 * but the last column, which readers know: rows are older than it. */
#define NCOLUMNS 5

static bool columns; /* this round */

static const FlowColumn model_columns[NCOLUMNS] = {
	{FLOW_COLUMN_INT, 8, NULL, 0},
	{FLOW_COLUMN_PACKED, 0, NULL, 0},
	{FLOW_COLUMN_FLOAT, 8, NULL, 0},
	{FLOW_COLUMN_INT, 2, NULL, 0},
	{FLOW_COLUMN_INT, 4, (const uint8_t *) "\5\0\0\0", 4}};
static const FlowShape model_shape = {NCOLUMNS, model_columns};

static FlowStatus
model_store_shape(FlowEnv *env, const void *blob, size_t blob_bytes,
				  FlowShape *shape)
{
	(void) blob;
	(void) blob_bytes;
	return columns ? test_copy_shape(env, &model_shape, NCOLUMNS - 1, shape)
				   : FLOW_NOTFOUND;
}

/* Column c of a row: its bytes, or none for a NULL. */
static size_t
column_of(uint64_t number, uint32_t c, uint8_t *p)
{
	double d = (double) (number % 1000) / 10;
	uint64_t v = number / 7 * 5;
	size_t n = number % 13;

	if (number / (c + 3) % 4 == 0)
		return 0;
	switch (c)
	{
		case 1:
			p[0] = (uint8_t) ((n + 1) * 2 + 1);
			memset(p + 1, 'a' + (int) (number % 5), n);
			return n + 1;
		case 2:
			memcpy(&v, &d, sizeof(v));
			break;
		default:
			break;
	}
	for (uint32_t i = 0; i < model_columns[c].bytes; i++)
		p[i] = (uint8_t) (v >> 8 * i);
	return model_columns[c].bytes;
}

/* How many columns it has. */
static uint32_t
width_of(uint64_t number)
{
	return number % 10 ? NCOLUMNS - 1 : (uint32_t) (number / 10 % NCOLUMNS);
}

static size_t
row_of(uint64_t number, uint8_t *value)
{
	uint32_t width = width_of(number);
	uint8_t *p = value + 2;
	uint8_t nulls = 0;

	for (uint32_t c = 0; c < width; c++)
		nulls |= (uint8_t) ((column_of(number, c, p) == 0) << c);
	/* now and then there is room for NULLs but none: the engine would not
	 * write such a row, and has to keep it */
	value[0] = 1;
	value[1] = (uint8_t) (width * 2 + (nulls != 0 || number % 200 == 0));
	if (value[1] & 1 && width > 0)
		*p++ = nulls;
	for (uint32_t c = 0; c < width; c++)
		p += column_of(number, c, p);
	return (size_t) (p - value);
}

static size_t
value_of(uint64_t number, uint8_t *value)
{
	size_t n = number % 61;

	if (columns)
		return row_of(number, value);
	for (size_t i = 0; i < n; i++)
		value[i] = (uint8_t) (number * 31 + (number >> 8) + i);
	return n;
}

static void
check_columns(const FlowVector *vec, const FlowScanSpec *spec, uint32_t i,
			  uint64_t number)
{
	for (uint32_t k = 0; k < spec->ncolumns; k++)
	{
		const FlowColumnVector *v = &vec->columns[k];
		uint32_t c = spec->columns[k];
		const FlowColumn *col = &model_columns[c];
		uint8_t bytes[32] = {0};
		size_t n = col->missing_bytes;

		if (c < width_of(number))
			n = column_of(number, c, bytes);
		else if (n > 0)
			memcpy(bytes, col->missing, n);
		CHECK(v->null[i] == (n == 0) && v->null[i] <= v->any_null);
		if (n == 0)
			continue;
		if (flowi_column_is_number(col))
			CHECK(v->num[i] == flowi_row_number(col, bytes));
		else
			CHECK(v->bytes[i] == n && memcmp(v->ptr[i], bytes, n) == 0);
	}
}

static void
check_row(const FlowVector *vec, uint32_t i, uint32_t cell, uint64_t number,
		  int64_t expire_at, const FlowScanSpec *spec)
{
	uint8_t value[64];
	size_t n = value_of(number, value);
	uint32_t key = cell / NTS;

	CHECK(vec->key_bytes[i] == key_bytes[key]);
	CHECK(memcmp(vec->key[i], keys[key], key_bytes[key]) == 0);
	CHECK(vec->ts[i] == times[cell % NTS]);
	CHECK(expire_at == 0 || vec->expire_at[i] == expire_at);
	CHECK((vec->columns != NULL) == (spec->ncolumns > 0));
	check_columns(vec, spec, i, number);
	if (spec->keys_only || spec->ncolumns > 0)
	{
		CHECK(vec->value[i] == NULL);
		return;
	}
	CHECK(vec->value_bytes[i] == n);
	CHECK(n == 0 || memcmp(vec->value[i], value, n) == 0);
}

static int
key_cmp(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
	size_t n = a_bytes < b_bytes ? a_bytes : b_bytes;
	int c = n ? memcmp(a, b, n) : 0;

	return c ? c : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static void
make_keys(void)
{
	static const uint8_t alphabet[] = {0x00, 'a', 'b', 0x7f, 0xff};
	uint32_t n = 0;

	while (n < NKEYS)
	{
		uint8_t key[400];
		uint32_t bytes = (uint32_t) (below(30) ? below(6) : 390);
		uint32_t at = n;
		bool known = false;

		for (uint32_t i = 0; i < bytes; i++)
			key[i] = alphabet[below(sizeof(alphabet))];
		for (uint32_t i = 0; i < n; i++)
			known |= key_cmp(keys[i], key_bytes[i], key, bytes) == 0;
		if (known)
			continue;
		for (;
			 at > 0 && key_cmp(keys[at - 1], key_bytes[at - 1], key, bytes) > 0;
			 at--)
		{
			memcpy(keys[at], keys[at - 1], sizeof(keys[at]));
			key_bytes[at] = key_bytes[at - 1];
		}
		memcpy(keys[at], key, sizeof(key));
		key_bytes[at] = bytes;
		n++;
	}
	times[0] = INT64_MIN;
	for (int i = 1; i < NTS - 1; i++)
		times[i] = (i - NTS / 2) * 3;
	times[NTS - 1] = INT64_MAX;
}

#endif /* FLOW_TEST_MODEL_H */
