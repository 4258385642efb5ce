/*-------------------------------------------------------------------------
 * memory_bench.c
 *	  Memory that a database needs beside its region, however large it is.
 *
 *	 memory_bench [GB] [bytes of a value]
 *
 * Fills a database, every record with a key of its own or many to a series,
 * merges all of it into one file, scans it both ways and looks up at random;
 * prints the resident memory's peak in each phase, less what it was before.
 * VmHWM is set back between phases (Linux: /proc/self/clear_refs).
 */
#include <sys/stat.h>

#include "../db.h"
#include "bench.h"
#include "dbtest.h"

#define REGION_BYTES ((size_t) 256 << 20)
#define BATCH 500

static TestDb t;
static uint32_t store;

/* kB of a line of /proc/self/status */
static long
status_kb(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	while (f && fgets(line, sizeof(line), f))
	{
		if (strncmp(line, name, strlen(name)) == 0)
			kb = strtol(line + strlen(name) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return kb;
}

static double began;
static long base_kb;

static void
begin(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	if (f)
	{
		fputs("5", f);
		fclose(f);
	}
	base_kb = status_kb("VmRSS:");
	began = bench_wall_ns();
}

static void
end(const char *what)
{
	printf("%-34s %8.1f s   peak %+8.1f MB\n", what,
		   (bench_wall_ns() - began) / 1e9,
		   (double) (status_kb("VmHWM:") - base_kb) / 1024);
	fflush(stdout);
}

static void
fill(uint64_t bytes, uint32_t value_bytes)
{
	static char keys[BATCH][24];
	uint8_t *values = malloc((size_t) BATCH * value_bytes);
	FlowRecord r[BATCH];
	CheckRandom rnd = {1};

	CHECK(values != NULL);
	for (uint64_t done = 0, n = 0; done < bytes; n++)
	{
		for (uint32_t i = 0; i < BATCH; i++)
		{
			uint64_t no = n * BATCH + i;
			uint8_t *v = values + (size_t) i * value_bytes;

			/* every other record has a key of its own, in random order */
			if (no % 2)
				snprintf(keys[i], sizeof(keys[i]), "k%016" PRIx64,
						 no * UINT64_C(0x9e3779b97f4a7c15));
			else
				snprintf(keys[i], sizeof(keys[i]), "series-%u",
						 (unsigned) (no / 2 % 1000));
			for (uint32_t j = 0; j + 8 <= value_bytes; j += 8)
			{
				uint64_t x = check_random(&rnd);

				memcpy(v + j, &x, 8);
			}
			r[i] =
				(FlowRecord){keys[i], strlen(keys[i]), (int64_t) no, FLOW_NEVER,
							 v,		  value_bytes};
			done += value_bytes + strlen(keys[i]);
		}
		CHECK_OK(flow_write_batch(t.db, store, r, BATCH, NULL));
	}
	free(values);
	CHECK_OK(flow_flush(t.db, NULL));
}

static void
scan(bool reverse)
{
	FlowScanSpec spec = {
		.store_id = store, .now = INT64_MIN, .reverse = reverse};
	const FlowVector *vec;
	FlowScan *s;
	FlowStatus st;

	CHECK_OK(flow_scan_open(t.db, &spec, &s));
	while ((st = flow_scan_next(s, 0, &vec)) == FLOW_OK)
		;
	CHECK_STATUS(st, FLOW_END);
	flow_scan_close(s);
}

static void
gets(void)
{
	FlowScanSpec spec = {.store_id = store, .now = INT64_MIN};

	for (uint64_t i = 0; i < 100000; i++)
	{
		char key[24];
		const FlowVector *vec;
		FlowScan *s;
		uint64_t no = i * 2 + 1;
		FlowStatus st;

		snprintf(key, sizeof(key), "k%016" PRIx64,
				 no * UINT64_C(0x9e3779b97f4a7c15));
		st = flow_get(t.db, &spec, key, strlen(key), (int64_t) no, &s, &vec);
		if (st == FLOW_OK)
			flow_scan_close(s);
		else
			CHECK_STATUS(st, FLOW_NOTFOUND);
	}
}

int
main(int argc, char **argv)
{
	uint64_t gb = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint32_t value_bytes = argc > 2 ? (uint32_t) atoi(argv[2]) : 200;
	FlowStats stats;
	bool ran = true;

	test_open(&t, REGION_BYTES, 64u << 20);
	flow_env_posix_set_log(t.env, NULL, NULL);
	t.sh->options.block_bytes = 16384; /* test_open has tiny ones */
	store = test_store(&t, "s");
	begin();
	fill(gb << 30, value_bytes);
	end("fill (the region comes into use)");
	flow_stats(t.db, &stats);
	printf("# %u SSTables, %.2f GB, %" PRIu64 " records\n", stats.sstables,
		   (double) stats.sstable_bytes / 1e9, stats.sstable_records);
	begin();
	scan(false);
	end("scan of all SSTables");
	begin();
	while (ran)
		CHECK_OK(flow_compact(t.db, store, &ran));
	end("merge of everything");
	flow_stats(t.db, &stats);
	printf("# %u SSTables, %.2f GB\n", stats.sstables,
		   (double) stats.sstable_bytes / 1e9);
	begin();
	scan(false);
	end("scan of the one");
	begin();
	scan(true);
	end("the same backwards");
	begin();
	gets();
	end("100,000 gets");
	test_close(&t);
	return 0;
}
