/*-------------------------------------------------------------------------
 * db_bench.c
 *	  What a row costs: batches, scans from memory and from files, lookups.
 *
 *	 db_bench [million rows]
 *-------------------------------------------------------------------------
 */
#include "bench.h"
#include "dbtest.h"

#define BATCH 1000
#define HOSTS 100
#define VALUE_BYTES 64
#define GETS 200000

static TestDb t;
static uint32_t store;
static uint64_t nrows;

static void
report(const char *what, double began, uint64_t n)
{
	printf("%-28s %8.1f ns\n", what, (bench_wall_ns() - began) / (double) n);
	fflush(stdout);
}

/* Row i: hosts take turns, as clients send them. */
static size_t
key_of(uint64_t i, char key[16])
{
	return (size_t) snprintf(key, 16, "host_%03u", (unsigned) (i % HOSTS));
}

static void
write_all(void)
{
	static char keys[BATCH][16];
	static char values[BATCH][VALUE_BYTES];
	FlowRecord r[BATCH];
	CheckRandom rnd = {1};
	double spent = 0;

	for (uint64_t done = 0; done < nrows; done += BATCH)
	{
		double began;

		for (uint64_t i = 0; i < BATCH; i++)
		{
			uint64_t row = done + i;

			r[i] = (FlowRecord){keys[i],
								key_of(row, keys[i]),
								(int64_t) (row / HOSTS) * 1000000,
								FLOW_NEVER,
								values[i],
								VALUE_BYTES};
			/* doubles that compress somewhat */
			for (size_t j = 0; j < VALUE_BYTES; j += 8)
			{
				double d = (double) check_below(&rnd, 10000) / 100;

				memcpy(values[i] + j, &d, sizeof(d));
			}
		}
		began = bench_wall_ns();
		CHECK_OK(flow_write_batch(t.db, store, r, BATCH, NULL));
		spent += bench_wall_ns() - began;
	}
	printf("%-28s %8.1f ns\n", "write, a row of 1000", spent / (double) nrows);
}

static void
scan_all(const char *what, bool reverse)
{
	FlowScanSpec spec = {
		.store_id = store, .now = INT64_MIN, .reverse = reverse};
	const FlowVector *vec;
	FlowScan *scan;
	uint64_t rows = 0;
	double began = bench_wall_ns();

	CHECK_OK(flow_scan_open(t.db, &spec, &scan));
	while (flow_scan_next(scan, 0, &vec) == FLOW_OK)
		rows += vec->nrows;
	CHECK(rows == nrows);
	flow_scan_close(scan);
	report(what, began, rows);
}

static void
get_all(const char *what, bool latest)
{
	FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};
	CheckRandom rnd = {2};
	double began = bench_wall_ns();

	for (int i = 0; i < GETS; i++)
	{
		uint64_t row = check_below(&rnd, nrows);
		const FlowVector *vec;
		FlowScan *scan;
		char key[16];
		size_t n = key_of(row, key);

		if (latest)
			CHECK_OK(flow_get_latest(t.db, &spec, key, n, &scan, &vec));
		else
			CHECK_OK(flow_get(t.db, &spec, key, n,
							  (int64_t) (row / HOSTS) * 1000000, &scan, &vec));
		flow_scan_close(scan);
	}
	report(what, began, GETS);
}

int
main(int argc, char **argv)
{
	double began;

	nrows = (uint64_t) (argc > 1 ? atoi(argv[1]) : 1) * 1000000;
	test_open(&t, (size_t) 1 << 30, (uint64_t) 1 << 29);
	flow_env_posix_set_log(t.env, NULL, NULL);
	t.opts.block_bytes = 16u << 10;
	test_reopen(&t);
	store = test_store(&t, "s");
	write_all();
	scan_all("scan, memtable", false);
	scan_all("scan, memtable", false);
	scan_all("scan backwards, memtable", true);
	get_all("get, memtable", false);
	get_all("get latest, memtable", true);
	began = bench_wall_ns();
	CHECK_OK(flow_flush(t.db, NULL));
	report("flush", began, nrows);
	scan_all("scan, SSTable", false);
	scan_all("scan, SSTable", false);
	scan_all("scan backwards, SSTable", true);
	get_all("get, SSTable", false);
	get_all("get latest, SSTable", true);
	test_close(&t);
	return 0;
}
