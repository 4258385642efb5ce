/*-------------------------------------------------------------------------
 * memtable_bench.c
 *	  What a row costs a memtable: to stage and link, to find, to walk.
 *
 *	 memtable_bench [rows] [bytes of a value]
 *
 * No log and no lock: the engine's writers need those besides.  CPU time.
 *-------------------------------------------------------------------------
 */
#include "bench.h"
#include "check.h"

#include "../env_posix.h"
#include "../memtable.h"

#define REGION_BYTES ((size_t) 4 << 30)
#define MAX_BATCHES 4000000u

static FlowEnv *env;
static uint64_t nrows = 1000000;
static uint32_t value_bytes = 80;

/* Encoded batches. */
typedef struct Batch
{
	FlowBatchHeader hdr;
	uint8_t *payload;
} Batch;

static Batch *batches;
static uint32_t nbatches;

/* A way to fill a memtable. */
typedef struct Load
{
	const char *name;
	uint32_t series;
	uint32_t batch;	 /* rows */
	bool shuffled;	 /* series come in random order, else all by turns */
	uint32_t one_in; /* rows that come late; 0: none */
} Load;

static const Load loads[] = {
	{"1,000 series by turns, batches of 1,000", 1000, 1000, false, 0},
	{"10,000 series at random, batches of 100", 10000, 100, true, 0},
	{"the same, every tenth row late", 10000, 100, true, 10},
	{"1 series, batches of 1,000", 1, 1000, false, 0},
	{"1,000 series at random, one row a batch", 1000, 1, true, 0},
	{"100,000 series at random, one row a batch", 100000, 1, true, 0},
	{"1,000,000 series at random, batches of 1,000", 1000000, 1000, true, 0},
};

static void
report(const char *what, double began, uint64_t n)
{
	printf("  %-44s %8.1f ns\n", what, (bench_cpu_ns() - began) / (double) n);
	fflush(stdout);
}

static uint32_t
put_key(uint32_t series, char key[24])
{
	return (uint32_t) snprintf(key, 24, "host-%08u", series);
}

typedef struct Row
{
	uint32_t series;
	int64_t ts;
} Row;

static int
cmp_rows(const void *a, const void *b)
{
	const Row *x = a, *y = b;

	if (x->series != y->series)
		return x->series < y->series ? -1 : 1;
	return (x->ts > y->ts) - (x->ts < y->ts);
}

static void
keep_batch(FlowBatchWriter *bw)
{
	const void *rec;
	size_t rec_bytes;
	const uint8_t *payload;
	Batch *b = &batches[nbatches++];

	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &b->hdr, &payload));
	b->payload = malloc(b->hdr.payload_bytes);
	memcpy(b->payload, payload, b->hdr.payload_bytes);
}

static void
encode(const Load *l, CheckRandom *r)
{
	static uint8_t value[4096];
	Row *rows = calloc(l->batch, sizeof(*rows));
	FlowBatchWriter *bw;

	CHECK_OK(flowi_batch_writer_create(env, &bw));
	for (uint64_t done = 0; done < nrows; done += l->batch)
	{
		for (uint32_t i = 0; i < l->batch; i++)
		{
			uint64_t no = done + i;

			rows[i].series = (uint32_t) (l->shuffled ? check_below(r, l->series)
													 : no % l->series);
			rows[i].ts = (int64_t) (no * 100);
			if (l->one_in && check_below(r, l->one_in) == 0)
				rows[i].ts -= (int64_t) check_below(r, 100000000);
		}
		qsort(rows, l->batch, sizeof(*rows), cmp_rows);
		flowi_batch_begin(bw, 7);
		CHECK_OK(flowi_batch_step(bw, 0));
		for (uint32_t i = 0; i < l->batch; i++)
		{
			char key[24];

			if (i > 0 && cmp_rows(&rows[i - 1], &rows[i]) == 0)
				continue;
			CHECK_OK(flowi_batch_add(bw, FLOW_PUT, 1, (uint8_t *) key,
									 put_key(rows[i].series, key), rows[i].ts,
									 FLOW_NEVER, value, value_bytes));
		}
		keep_batch(bw);
	}
	flowi_batch_writer_free(bw);
	free(rows);
}

/* The cursor's part: the same for any memtable. */
static void
decode_all(void)
{
	double began = bench_cpu_ns();
	uint64_t n = 0;

	for (uint32_t i = 0; i < nbatches; i++)
	{
		FlowBatchCursor c;

		flowi_batch_cursor_init(&c, &batches[i].hdr, batches[i].payload);
		while (flowi_batch_cursor_next(&c) == FLOW_OK)
			n++;
	}
	report("(decode)", began, n);
}

static void
fill(FlowMemtable *mt)
{
	double began = bench_cpu_ns();
	uint64_t n;

	for (uint32_t i = 0; i < nbatches; i++)
	{
		CHECK_OK(
			flowi_memtable_stage(env, mt, &batches[i].hdr, batches[i].payload));
#ifdef OLD
		flowi_memtable_link(mt, 1 + i * 100ul, 1 + i * 100ul + 50, NULL);
#else
		flowi_memtable_link(mt, 1 + i * 100ul, 1 + i * 100ul + 50);
#endif
	}
	n = atomic_load(&mt->records);
	report("stage and link, a row", began, n);
	printf("  %-44s %8.1f\n", "bytes a row",
		   (double) atomic_load(&mt->bytes) / (double) n);
}

static void
walk(FlowMemtable *mt, bool reverse)
{
	const FlowSeek all = {.unbounded = true};
	double began = bench_cpu_ns();
	uint64_t n = 0;
	uint64_t sum = 0;
	FlowIter *it;
	FlowStatus st;

	CHECK_OK(flowi_memtable_iter(env, mt, 1, reverse, &it));
	for (st = it->seek(it, &all); st == FLOW_OK; st = it->next(it))
	{
		n++;
		sum += it->cur.seq + (it->cur.value_bytes ? it->cur.value[0] : 0);
	}
	it->free(it);
	CHECK(n == atomic_load(&mt->records) && sum > 0);
	report(reverse ? "walk in reverse, a row" : "walk, a row", began, n);
}

/* Rows that are there, from one place of the batches and another. */
static void
look_up(FlowMemtable *mt, CheckRandom *r)
{
	enum
	{
		GETS = 200000
	};
	static char keys[GETS][24];
	static FlowSeek to[GETS];
	double began;

	for (uint32_t i = 0; i < GETS; i++)
	{
		const Batch *b = &batches[check_below(r, nbatches)];
		FlowBatchCursor c;

		flowi_batch_cursor_init(&c, &b->hdr, b->payload);
		for (uint64_t n = 1 + check_below(r, b->hdr.nops); n > 0; n--)
			CHECK_OK(flowi_batch_cursor_next(&c));
		memcpy(keys[i], c.key, c.key_bytes);
		to[i] = (FlowSeek){
			.key = (uint8_t *) keys[i], .key_bytes = c.key_bytes, .ts = c.ts};
	}
	began = bench_cpu_ns();
	for (uint32_t i = 0; i < GETS; i++)
	{
		FlowIter *it;

		CHECK_OK(flowi_memtable_iter(env, mt, 1, false, &it));
		CHECK_OK(it->seek(it, &to[i]));
		CHECK(it->cur.ts == to[i].ts);
		it->free(it);
	}
	report("get", began, GETS);
}

/* Touch all memory that a load needs, so that none of it counts. */
static void
warm(void)
{
	uint32_t n = 300u << 20 >> 18;
	void *chunks = flowi_region_chunks_alloc(env, n);

	CHECK(chunks != NULL);
	FLOW_PERMIT(chunks, (size_t) n * FLOW_CHUNK_BYTES);
	memset(chunks, 1, (size_t) n * FLOW_CHUNK_BYTES);
	flowi_region_chunks_free(env, chunks, n);
}

static void
measure(const Load *l)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	CheckRandom r = {1};

	printf("%s\n", l->name);
	encode(l, &r);
	decode_all();
	fill(mt);
	walk(mt, false);
	walk(mt, true);
	look_up(mt, &r);
	flowi_memtable_unref(env, mt);
	while (nbatches > 0)
		free(batches[--nbatches].payload);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		nrows = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		value_bytes = (uint32_t) strtoul(argv[2], NULL, 0);
	CHECK(nrows > 0 && nrows <= MAX_BATCHES && value_bytes <= 4096);
	CHECK_OK(flow_env_posix_create(REGION_BYTES, &env));
	warm();
	batches = calloc(MAX_BATCHES, sizeof(*batches));
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		measure(&loads[i]);
	free(batches);
	flow_env_posix_free(env);
	return 0;
}
