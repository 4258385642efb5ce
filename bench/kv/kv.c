/*-------------------------------------------------------------------------
 * kv.c
 *	  FlowDB, LevelDB and LMDB side by side: one process, one data set, turns.
 *
 *	 kv DIR [records] [series] [turns] [engine]
 *
 * Records of about 126 bytes of JSON, series in random order, as a service
 * that many devices report to gets them; then the reads of a time series
 * store.  And FlowDB's own table: 100,000 records of 128 bytes in batches of
 * 100 by 1 and 8 threads.  No engine syncs before it acknowledges; each has
 * handed its bytes to the kernel.  Prints a Markdown table of medians.
 *
 * With an engine it is run alone (for profiles).  With CLOCK=cpu in the
 * environment times are the process's processor time, of all its threads:
 * what is left to compare on a machine that others use too.
 *-------------------------------------------------------------------------
 */
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kv.h"

#define NENGINES 3
#define MAX_TURNS 15
#define BATCH 100
#define STEP INT64_C(10000000) /* 10 s between two records of a series */
#define GETS 100000
#define SMALL_SCANS 2000
#define README_RECORDS 100000

static const KvEngine *const engines[NENGINES] = {&kv_flowdb, &kv_leveldb,
												  &kv_lmdb};

static uint64_t nrecords = 1000000;
static uint32_t nseries = 10000;
static uint32_t nturns = 3;
static const char *top;
static clockid_t timer = CLOCK_MONOTONIC;
static uint64_t sink; /* of all sums, so that no read is optimised away */

_Noreturn void
kv_die(const char *what, const char *why)
{
	fprintf(stderr, "kv: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(timer, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ------------------------------------------------------------------- data */

static size_t
series_name(uint32_t series, char *out)
{
	return (size_t) snprintf(out, KV_KEY_BYTES, "dev-%08u", series);
}

/*
 * Each round of all series brings one record of each, in an order of its own:
 * an odd multiplier permutes them (nseries need not be a power of two: the
 * ones outside are passed over).
 */
typedef struct Order
{
	uint64_t mask;
	uint64_t at;
	uint64_t round;
} Order;

static uint32_t
next_series(Order *o, uint64_t *roundp)
{
	for (;;)
	{
		uint64_t multiplier = mix(o->round) | 1;
		uint64_t series = (o->at * multiplier + (mix(o->round) >> 7)) & o->mask;

		*roundp = o->round;
		if (o->at++ == o->mask)
		{
			o->at = 0;
			o->round++;
		}
		if (series < nseries)
			return (uint32_t) series;
	}
}

static Order
first_order(void)
{
	Order o = {.mask = 1};

	while (o.mask + 1 < nseries)
		o.mask = o.mask << 1 | 1;
	return o;
}

static void
make_record(KvRecord *r, uint32_t series, uint64_t round)
{
	uint64_t x = mix((uint64_t) series << 32 | round);

	r->key_bytes = series_name(series, r->key);
	r->ts = (int64_t) round * STEP;
	r->value_bytes = (size_t) snprintf(
		(char *) r->value, KV_MAX_VALUE,
		"{\"temp\":%.2f,\"humidity\":%.1f,\"battery\":%u,\"status\":\"%s\","
		"\"lat\":%.5f,\"lon\":%.5f,\"fw\":\"2.%u.%u\",\"seq\":%" PRIu64 "}",
		15 + (double) (x % 1000) / 100, 30 + (double) (x >> 10 & 511) / 10,
		(unsigned) (100 - round % 100), x >> 60 ? "ok" : "alarm",
		48 + (double) (series % 1000) / 1000, 9 + (double) (series % 777) / 777,
		series % 7, series % 13, round);
}

/* ------------------------------------------------------------- directories */

static uint64_t
dir_bytes(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	uint64_t bytes = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL)
	{
		char name[1024];
		struct stat st;

		/* a log is made in advance, and empty now */
		if (e->d_name[0] == '.' || strcmp(e->d_name, "WAL") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (stat(name, &st) != 0)
			continue;
		bytes += S_ISDIR(st.st_mode) ? dir_bytes(name)
									 : (uint64_t) st.st_blocks * 512;
	}
	closedir(dir);
	return bytes;
}

static void
remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL)
	{
		char name[1024];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name) != 0)
			remove_dir(name);
	}
	closedir(dir);
	rmdir(path);
}

/* ----------------------------------------------------------------- figures */

typedef enum Measure
{
	INGEST,
	GET,
	GET_MISS,
	LATEST,
	SERIES_200,
	SERIES_TIME,
	ALL_TIME,
	ALL,
	DISK,
	WRITE_1,
	WRITE_8,
	NMEASURES
} Measure;

static const struct
{
	const char *name;
	bool less; /* is better */
} measures[NMEASURES] = {
	[INGEST] = {"ingest of random series, rec/s", false},
	[GET] = {"get, us", true},
	[GET_MISS] = {"get of a series that is not there, us", true},
	[LATEST] = {"latest of a series, us", true},
	[SERIES_200] = {"newest records of a series (up to 200), us", true},
	[SERIES_TIME] = {"one series, 1/24 of its time, us", true},
	[ALL_TIME] = {"all series, 1/24 of the time, rec/s", false},
	[ALL] = {"full scan, rec/s", false},
	[DISK] = {"disk / raw, logs left out", true},
	[WRITE_1] = {"100,000 x 128 B in batches of 100, 1 thread, rec/s", false},
	[WRITE_8] = {"the same, 8 threads, rec/s", false},
};

static double figure[NENGINES][NMEASURES][MAX_TURNS];

static int
cmp_double(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values, uint32_t n)
{
	qsort(values, n, sizeof(*values), cmp_double);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---------------------------------------------------------------- workload */

static uint64_t
rounds(void)
{
	return (nrecords + nseries - 1) / nseries;
}

/*
 * Write all records and settle; what making them takes does not count, nor
 * what the engine's own threads do meanwhile if it is wall time that counts:
 * that is the same for all.
 */
static double
ingest(const KvEngine *e, void *db, uint64_t *rawp)
{
	static KvRecord batch[BATCH];
	void *s = e->session(db);
	Order order = first_order();
	double spent = 0;

	*rawp = 0;
	for (uint64_t done = 0; done < nrecords;)
	{
		size_t n = nrecords - done < BATCH ? nrecords - done : BATCH;
		double began;

		for (size_t i = 0; i < n; i++)
		{
			uint64_t round;
			uint32_t series = next_series(&order, &round);

			make_record(&batch[i], series, round);
			*rawp += batch[i].key_bytes + 8 + batch[i].value_bytes;
		}
		began = now();
		e->write(s, batch, n);
		spent += now() - began;
		done += n;
	}
	e->end_session(s);
	{
		double began = now();

		e->settle(db);
		spent += now() - began;
	}
	return (double) nrecords / spent;
}

/* Mean time of one get, in us.  Every one must hit, or none. */
static double
gets(const KvEngine *e, void *s, bool hit)
{
	uint64_t found = 0;
	double began = now();

	for (uint64_t i = 0; i < GETS; i++)
	{
		uint64_t x = mix(i);
		char key[KV_KEY_BYTES];
		size_t bytes = series_name((uint32_t) (x % nseries), key);

		if (!hit)
			key[bytes - 1] = '~';
		found += e->get(s, key, bytes,
						(int64_t) ((x >> 32) % (rounds() - 1)) * STEP, &sink);
	}
	if (found != (hit ? GETS : 0))
		kv_die(e->name, "a get gave the wrong answer");
	return (now() - began) / GETS * 1e6;
}

static double
latests(const KvEngine *e, void *s)
{
	uint64_t found = 0;
	double began = now();

	for (uint64_t i = 0; i < GETS; i++)
	{
		char key[KV_KEY_BYTES];
		size_t bytes = series_name((uint32_t) (mix(i) % nseries), key);

		found += e->latest(s, key, bytes, &sink);
	}
	if (found != GETS)
		kv_die(e->name, "a latest gave the wrong answer");
	return (now() - began) / GETS * 1e6;
}

static double
series_scans(const KvEngine *e, void *s, int64_t width)
{
	int64_t end = (int64_t) rounds() * STEP;
	uint64_t found = 0;
	double began = now();

	for (uint64_t i = 0; i < SMALL_SCANS; i++)
	{
		char key[KV_KEY_BYTES];
		size_t bytes = series_name((uint32_t) (mix(i) % nseries), key);
		int64_t lo = end - width;

		if (width < end / 2) /* anywhere but in the last, ragged round */
			lo = (int64_t) (mix(i) >> 20) % (end - width - STEP);
		found += e->range(s, key, bytes, lo < 0 ? 0 : lo, lo + width, &sink);
	}
	if (found == 0)
		kv_die(e->name, "a scan gave nothing");
	return (now() - began) / SMALL_SCANS * 1e6;
}

static double
wide_scan(const KvEngine *e, void *s, bool everything)
{
	int64_t end = (int64_t) rounds() * STEP;
	double began = now();
	uint64_t n = everything
					 ? e->all(s, &sink)
					 : e->range(s, NULL, 0, end / 2, end / 2 + end / 24, &sink);

	if (n == 0 || (everything && n != nrecords))
		kv_die(e->name, "a scan gave the wrong number of records");
	return (double) n / (now() - began);
}

static void
measure_reads(const KvEngine *e, void *db, double f[][MAX_TURNS], uint32_t turn)
{
	int64_t end = (int64_t) rounds() * STEP;
	void *s = e->session(db);

	(void) wide_scan(e, s, true); /* warm */
	f[GET][turn] = gets(e, s, true);
	f[GET_MISS][turn] = gets(e, s, false);
	f[LATEST][turn] = latests(e, s);
	f[SERIES_200][turn] =
		series_scans(e, s, 200 * STEP < end ? 200 * STEP : end);
	f[SERIES_TIME][turn] = series_scans(e, s, end / 24);
	f[ALL_TIME][turn] = wide_scan(e, s, false);
	f[ALL][turn] = wide_scan(e, s, true);
	e->end_session(s);
}

/* ------------------------------------------------------- many small batches */

typedef struct Writer
{
	const KvEngine *e;
	void *db;
	uint32_t no;
	uint32_t nthreads;
} Writer;

static void *
write_main(void *arg)
{
	const Writer *w = arg;
	KvRecord *batch = calloc(BATCH, sizeof(*batch));
	void *s = w->e->session(w->db);

	for (uint32_t done = 0; done < README_RECORDS / w->nthreads; done += BATCH)
	{
		for (uint32_t i = 0; i < BATCH; i++)
		{
			uint32_t no = done + i;

			batch[i].key_bytes =
				series_name(w->no * 1000 + no % 500, batch[i].key);
			batch[i].ts = no / 500;
			batch[i].value_bytes = 128;
			for (size_t j = 0; j < 128; j += 8)
			{
				uint64_t x = mix(no * 16 + j) & 0x0f0f0f0f0f0f0f0f;

				memcpy(batch[i].value + j, &x, 8);
			}
		}
		w->e->write(s, batch, BATCH);
	}
	w->e->end_session(s);
	free(batch);
	return NULL;
}

static double
small_batches(const KvEngine *e, const char *dir, uint32_t nthreads)
{
	Writer w[8];
	pthread_t thread[8];
	double began, spent;
	void *db;

	mkdir(dir, 0700);
	db = e->open(dir);
	began = now();
	for (uint32_t i = 0; i < nthreads; i++)
	{
		w[i] = (Writer){e, db, i, nthreads};
		pthread_create(&thread[i], NULL, write_main, &w[i]);
	}
	for (uint32_t i = 0; i < nthreads; i++)
		pthread_join(thread[i], NULL);
	spent = now() - began;
	e->close(db);
	remove_dir(dir);
	return (double) (README_RECORDS / nthreads / BATCH * BATCH * nthreads) /
		   spent;
}

static void
one_turn(uint32_t which, uint32_t turn)
{
	const KvEngine *e = engines[which];
	double(*f)[MAX_TURNS] = figure[which];
	char dir[1024];
	uint64_t raw;
	void *db;

	snprintf(dir, sizeof(dir), "%s/%s", top, e->name);
	mkdir(dir, 0700);
	db = e->open(dir);
	f[INGEST][turn] = ingest(e, db, &raw);
	measure_reads(e, db, f, turn);
	e->close(db);
	f[DISK][turn] = (double) dir_bytes(dir) / (double) raw;
	remove_dir(dir);
	f[WRITE_1][turn] = small_batches(e, dir, 1);
	f[WRITE_8][turn] = small_batches(e, dir, 8);
}

static void
print_table(void)
{
	printf("| measure |");
	for (uint32_t i = 0; i < NENGINES; i++)
		printf(" %s |", engines[i]->name);
	printf(" FlowDB / LevelDB | FlowDB / LMDB |\n|---|");
	for (uint32_t i = 0; i < NENGINES + 2; i++)
		printf("---:|");
	printf("\n");
	for (uint32_t m = 0; m < NMEASURES; m++)
	{
		double v[NENGINES];

		printf("| %s |", measures[m].name);
		for (uint32_t i = 0; i < NENGINES; i++)
		{
			v[i] = median(figure[i][m], nturns);
			printf(v[i] >= 1000 ? " %.0f |"
				   : v[i] >= 10 ? " %.1f |"
								: " %.2f |",
				   v[i]);
		}
		printf(" %.2f | %.2f |\n", v[0] / v[1], v[0] / v[2]);
	}
}

int
main(int argc, char **argv)
{
	const char *only = argc > 5 ? argv[5] : NULL;
	const char *clock = getenv("CLOCK");

	if (argc < 2)
		kv_die("usage", "kv DIR [records] [series] [turns] [engine]");
	top = argv[1];
	if (argc > 2)
		nrecords = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		nseries = (uint32_t) strtoul(argv[3], NULL, 10);
	if (argc > 4)
		nturns = (uint32_t) strtoul(argv[4], NULL, 10);
	if (clock && strcmp(clock, "cpu") == 0)
		timer = CLOCK_PROCESS_CPUTIME_ID;
	if (nseries == 0 || nrecords / nseries < 3 || nturns == 0 ||
		nturns > MAX_TURNS)
		kv_die("usage", "at least 3 records a series, and 1 to 15 turns");
	mkdir(top, 0700);
	for (uint32_t turn = 0; turn < nturns; turn++)
	{
		for (uint32_t i = 0; i < NENGINES; i++)
		{
			if (only && strcmp(only, engines[i]->name) != 0)
				continue;
			fprintf(stderr, "turn %u, %s\n", turn + 1, engines[i]->name);
			one_turn(i, turn);
		}
	}
	print_table();
	fprintf(stderr, "(%" PRIu64 ")\n", sink);
	return 0;
}
