/*-------------------------------------------------------------------------
 * split_test.c
 *	  Parts of a scan's bounds: together they are the bounds, whatever the
 *	  store looks like, and where its rows are known they are of about equal
 *	  size.
 *
 *	 split_test [seed [rounds]]
 *-------------------------------------------------------------------------
 */
#include "../common.h"
#include "dbtest.h"

typedef struct Sum
{
	uint64_t rows;
	uint64_t hash; /* depends on the order of rows */
} Sum;

static void
add_bytes(Sum *sum, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum->hash = (sum->hash ^ ((const uint8_t *) p)[i]) * 1099511628211u;
}

/* All rows of the spec, behind those of before. */
static void
read_rows(TestDb *t, const FlowScanSpec *spec, Sum *sum)
{
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t->db, spec, &scan));
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			add_bytes(sum, vec->key[i], vec->key_bytes[i]);
			add_bytes(sum, &vec->ts[i], sizeof(vec->ts[i]));
			add_bytes(sum, vec->value[i], vec->value_bytes[i]);
			sum->rows++;
		}
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(scan);
}

typedef struct Shape
{
	uint32_t n;	   /* parts */
	uint64_t rows; /* of all */
	uint64_t most; /* of one part */
} Shape;

/* Split, and compare what the parts have with what the bounds have. */
static Shape
check_split(TestDb *t, const FlowScanSpec *spec, uint32_t want)
{
	Sum whole = {0};
	Sum parts = {0};
	Shape shape = {0};
	FlowParts *p;

	read_rows(t, spec, &whole);
	CHECK_OK(flow_split(t->db, spec, want, &p));
	CHECK(p->n >= 1 && p->n <= FLOW_SPLIT_PARTS(FLOW_MAX(want, 1)));
	for (uint32_t i = 0; i < p->n; i++)
	{
		const FlowPart *part = &p->part[i];
		FlowScanSpec one = *spec;
		uint64_t before = parts.rows;

		CHECK(part->key_lo.key == spec->key_lo.key ||
			  part->key_lo.key_bytes <= FLOW_SPLIT_KEY);
		CHECK(part->key_hi.key == spec->key_hi.key ||
			  part->key_hi.key_bytes <= FLOW_SPLIT_KEY);
		one.key_lo = part->key_lo;
		one.key_hi = part->key_hi;
		one.ts_lo = part->ts_lo;
		one.ts_hi = part->ts_hi;
		read_rows(t, &one, &parts);
		shape.most = FLOW_MAX(shape.most, parts.rows - before);
	}
	CHECK(parts.rows == whole.rows && parts.hash == whole.hash);
	shape.n = p->n;
	shape.rows = whole.rows;
	flow_parts_free(t->db, p);
	return shape;
}

/* That, and no part has much more than its share of the rows. */
static void
check_even(TestDb *t, const FlowScanSpec *spec, uint32_t want, double slack)
{
	Shape shape = check_split(t, spec, want);
	uint64_t wanted = shape.rows / want;

	if (shape.n * 4 < want * 3 || (double) shape.most > slack * (double) wanted)
		printf("%u parts, %u wanted, of %llu rows one has %llu\n", shape.n,
			   want, (unsigned long long) shape.rows,
			   (unsigned long long) shape.most);
	CHECK(shape.n * 4 >= want * 3);
	CHECK((double) shape.most <= slack * (double) wanted);
}

/* ------------------------------------------------------------------- rows */

#define BATCH 1000

typedef struct Load
{
	TestDb *t;
	uint32_t store;
	FlowRecord record[BATCH];
	char key[BATCH][300];
	size_t n;
} Load;

static void
end_load(Load *l)
{
	if (l->n > 0)
		CHECK_OK(flow_write_batch(l->t->db, l->store, l->record, l->n, NULL));
	l->n = 0;
}

static void
load(Load *l, const char *key, int64_t ts)
{
	if (l->n == BATCH)
		end_load(l);
	snprintf(l->key[l->n], sizeof(l->key[0]), "%s", key);
	l->record[l->n] = test_record(l->key[l->n], ts, "some bytes of a value");
	l->n++;
}

/* Keys with a number behind the prefix, each with so many times. */
static void
load_series(Load *l, const char *prefix, uint32_t nkeys, uint32_t ntimes,
			int64_t from)
{
	for (uint32_t i = 0; i < ntimes; i++)
		for (uint32_t k = 0; k < nkeys; k++)
		{
			char key[300];

			snprintf(key, sizeof(key), "%s%05u", prefix, k);
			load(l, key, from + 10 * (int64_t) i);
		}
	end_load(l);
}

static FlowScanSpec
all_of(uint32_t store)
{
	return (FlowScanSpec){.store_id = store, .now = INT64_MIN};
}

static void
begin(TestDb *t, Load *l, const char *store)
{
	test_open(t, 64u << 20, 8u << 20);
	*l = (Load){.t = t, .store = test_store(t, store)};
}

/* ------------------------------------------------------------------ cases */

static Load l; /* large */

static void
test_small(void)
{
	TestDb t;
	FlowScanSpec spec;

	begin(&t, &l, "small");
	spec = all_of(l.store);
	CHECK(check_split(&t, &spec, 8).n == 1);
	load_series(&l, "k", 10, 10, 0);
	CHECK(check_split(&t, &spec, 8).n == 1);
	CHECK_OK(flow_flush(t.db, NULL));
	CHECK(check_split(&t, &spec, 8).n == 1);
	CHECK(check_split(&t, &spec, 0).n == 1);
	CHECK(check_split(&t, &spec, 1).n == 1);
	test_close(&t);
	printf("ok small stores stay whole\n");
}

static void
test_series(bool flush)
{
	TestDb t;
	FlowScanSpec spec;

	begin(&t, &l, "series");
	spec = all_of(l.store);
	load_series(&l, "host_", 200, 300, 0);
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	check_even(&t, &spec, 8, 1.5);
	check_even(&t, &spec, 40, 2);
	flow_spec_key_range(&spec, "host_00050", 10, "host_00149", 10);
	check_even(&t, &spec, 8, 1.5);
	flow_spec_time_range(&spec, 500, 2000);
	check_even(&t, &spec, 8, flush ? 2 : 3);
	test_close(&t);
	printf("ok many series, %s\n", flush ? "flushed" : "in memory");
}

static void
test_one_key(bool flush)
{
	TestDb t;
	FlowScanSpec spec;

	begin(&t, &l, "one");
	spec = all_of(l.store);
	load_series(&l, "only", 1, 40000, -100000);
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	check_even(&t, &spec, 8, 1.5);
	flow_spec_key_range(&spec, "only00000", 9, "only00000", 9);
	check_even(&t, &spec, 8, 1.5);
	flow_spec_time_range(&spec, 0, 200000);
	check_even(&t, &spec, 8, 2);
	flow_spec_key_range(&spec, "other", 5, "other", 5);
	CHECK(check_split(&t, &spec, 8).n == 1);
	test_close(&t);
	printf("ok one key, %s\n", flush ? "flushed" : "in memory");
}

/* Keys of which some have most of the rows. */
static void
test_skewed(bool flush)
{
	TestDb t;
	FlowScanSpec spec;

	begin(&t, &l, "skewed");
	spec = all_of(l.store);
	load_series(&l, "a", 300, 10, 0);
	load_series(&l, "b", 1, 20000, 0);
	load_series(&l, "c", 300, 10, 0);
	load_series(&l, "d", 2, 10000, 0);
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	/* of keys in memory the rows are not counted */
	if (flush)
		check_even(&t, &spec, 8, 2);
	check_split(&t, &spec, 3);
	flow_spec_key_range(&spec, "b00000", 6, "d", 1);
	check_split(&t, &spec, 8);
	spec.key_lo.kind = FLOW_EXCLUSIVE;
	check_split(&t, &spec, 8);
	test_close(&t);
	printf("ok skewed keys, %s\n", flush ? "flushed" : "in memory");
}

/* Keys that begin alike for longer than what samples keep of them. */
static void
test_long_keys(bool flush)
{
	TestDb t;
	FlowScanSpec spec;
	char prefix[256] = "";

	begin(&t, &l, "long");
	spec = all_of(l.store);
	memset(prefix, 'x', 200);
	load_series(&l, prefix, 5, 4000, 0);
	load_series(&l, "y", 5, 2000, 0);
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	check_split(&t, &spec, 8);
	strcat(prefix, "x");
	load_series(&l, prefix, 1, 8000, 0);
	strcat(prefix, "00000");
	flow_spec_key_range(&spec, prefix, strlen(prefix), prefix, strlen(prefix));
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	check_even(&t, &spec, 4, 2);
	test_close(&t);
	printf("ok long keys, %s\n", flush ? "flushed" : "in memory");
}

/* Keys of all bytes, zeros at their ends and the empty one among them. */
static void
make_key(CheckRandom *r, uint8_t *key, size_t *lenp)
{
	static const uint8_t bytes[] = {0, 0, 1, 'a', 0xff};

	*lenp = (size_t) check_below(r, 4);
	for (size_t i = 0; i < *lenp; i++)
		key[i] = bytes[check_below(r, sizeof(bytes))];
}

static void
random_bounds(CheckRandom *r, FlowScanSpec *spec, uint8_t key[2][4])
{
	FlowKeyBound *bound[2] = {&spec->key_lo, &spec->key_hi};
	FlowTimeBound *time[2] = {&spec->ts_lo, &spec->ts_hi};

	for (int i = 0; i < 2; i++)
	{
		size_t len;

		make_key(r, key[i], &len);
		*bound[i] =
			(FlowKeyBound){(FlowBoundKind) check_below(r, 3), key[i], len};
		*time[i] = (FlowTimeBound){(FlowBoundKind) check_below(r, 3),
								   (int64_t) check_below(r, 3000)};
		if (check_below(r, 2))
			time[i]->kind = FLOW_OPEN;
	}
	if (check_below(r, 4) == 0)
	{
		spec->key_hi = spec->key_lo;
		if (spec->key_lo.kind == FLOW_EXCLUSIVE)
			spec->key_lo.kind = spec->key_hi.kind = FLOW_INCLUSIVE;
	}
}

/* Some thousand rows of such keys, in several files and memory. */
static void
load_random(CheckRandom *r, TestDb *t, uint32_t store)
{
	uint32_t files = 1 + (uint32_t) check_below(r, 4);
	uint32_t times = 10 + (uint32_t) check_below(r, 3000);

	for (uint32_t f = 0; f < files; f++)
	{
		FlowTxBuf *buf;

		CHECK_OK(flow_txbuf_create(t->env, &buf));
		for (uint32_t i = 0; i < 4000; i++)
		{
			bool dead = check_below(r, 20) == 0;
			uint8_t key[4];
			size_t len;

			make_key(r, key, &len);
			CHECK_OK(flow_txbuf_add(buf, dead ? FLOW_DELETE : FLOW_PUT, store,
									key, len, (int64_t) check_below(r, times),
									FLOW_NEVER, &i, dead ? 0 : sizeof(i), 0,
									0));
		}
		CHECK_OK(flow_txbuf_push(buf, t->db));
		flow_txbuf_free(buf);
		if (check_below(r, 3))
			CHECK_OK(flow_flush(t->db, NULL));
	}
}

static void
test_random(CheckRandom *r, int rounds)
{
	for (int round = 0; round < rounds; round++)
	{
		TestDb t;
		uint32_t store;

		test_open(&t, 64u << 20, 8u << 20);
		store = test_store(&t, "random");
		load_random(r, &t, store);
		for (int i = 0; i < 30; i++)
		{
			FlowScanSpec spec = all_of(store);
			uint8_t key[2][4];

			random_bounds(r, &spec, key);
			check_split(&t, &spec, (uint32_t) check_below(r, 12));
		}
		test_close(&t);
	}
	printf("ok random stores and bounds\n");
}

/* More keys in memory than are looked at one by one. */
static void
test_many_keys(void)
{
	TestDb t;
	FlowScanSpec spec;

	begin(&t, &l, "many");
	spec = all_of(l.store);
	load_series(&l, "host_", 30000, 1, 0);
	check_even(&t, &spec, 4, 2.5);
	check_split(&t, &spec, 100);
	flow_spec_key_range(&spec, "host_10000", 10, "host_1ffff", 10);
	check_even(&t, &spec, 4, 2.5);
	test_close(&t);
	printf("ok many keys in memory\n");
}

/* Without memory for it, whichever: NOMEM, and nothing is lost. */
static int allocs_left;
static void *(*real_alloc)(FlowEnv *env, size_t size);
static void *(*real_realloc)(FlowEnv *env, void *p, size_t size);

static void *
scarce_alloc(FlowEnv *env, size_t size)
{
	return allocs_left-- == 0 ? NULL : real_alloc(env, size);
}

static void *
scarce_realloc(FlowEnv *env, void *p, size_t size)
{
	return allocs_left-- == 0 ? NULL : real_realloc(env, p, size);
}

static void
test_no_memory(bool flush)
{
	TestDb t;
	FlowScanSpec spec;
	FlowStatus st = FLOW_NOMEM;
	FlowParts *p;
	int n;

	begin(&t, &l, "memory");
	spec = all_of(l.store);
	load_series(&l, "k", 10, 1000, 0);
	if (flush)
		CHECK_OK(flow_flush(t.db, NULL));
	real_alloc = t.env->alloc;
	real_realloc = t.env->realloc;
	t.env->alloc = scarce_alloc;
	t.env->realloc = scarce_realloc;
	for (n = 0; st != FLOW_OK; n++)
	{
		allocs_left = n;
		st = flow_split(t.db, &spec, 4, &p);
		CHECK(st == FLOW_OK || (st == FLOW_NOMEM && p == NULL));
	}
	flow_parts_free(t.db, p);
	t.env->alloc = real_alloc;
	t.env->realloc = real_realloc;
	CHECK(n > 4);
	check_even(&t, &spec, 4, 2);
	test_close(&t);
	printf("ok no memory, %s\n", flush ? "flushed" : "in memory");
}

/* Whoever is interrupted calls again. */
static FlowStatus
interrupted(FlowEnv *env)
{
	static int calls;

	(void) env;
	return calls++ % 2 == 0 ? FLOW_INTERRUPTED : FLOW_OK;
}

static void
test_interrupt(void)
{
	TestDb t;
	FlowScanSpec spec;
	FlowStatus (*poll)(FlowEnv * env);
	FlowParts *p;

	begin(&t, &l, "interrupt");
	spec = all_of(l.store);
	load_series(&l, "k", 10, 1000, 0);
	CHECK_OK(flow_flush(t.db, NULL));
	poll = t.env->poll;
	t.env->poll = interrupted;
	CHECK_STATUS(flow_split(t.db, &spec, 4, &p), FLOW_INTERRUPTED);
	CHECK(p == NULL);
	t.env->poll = poll;
	check_even(&t, &spec, 4, 2);
	test_close(&t);
	printf("ok interrupts\n");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 10;

	test_small();
	for (int flush = 0; flush < 2; flush++)
	{
		test_series(flush);
		test_one_key(flush);
		test_skewed(flush);
		test_long_keys(flush);
	}
	test_many_keys();
	test_no_memory(true);
	test_no_memory(false);
	test_interrupt();
	test_random(&r, rounds);
	return 0;
}
