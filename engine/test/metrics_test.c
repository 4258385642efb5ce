/*-------------------------------------------------------------------------
 * metrics_test.c
 *	  Statistics of a database, its lists, and the Prometheus text, which is
 *	  read line by line as a scraper would.
 *-------------------------------------------------------------------------
 */
#include "dbtest.h"

#include <ctype.h>

#include "../cache.h"
#include "../db.h"
#include "../version.h"

#define REGION_BYTES (16u << 20)
#define MEMTABLE_BYTES (4u << 20)

/* ------------------------------------------------------------ statistics */

static void
put_many(TestDb *t, uint32_t store, int n)
{
	FlowRecord r[100];
	char key[100][16];

	for (int i = 0; i < n; i++)
	{
		snprintf(key[i % 100], sizeof(key[0]), "key%05d", i);
		r[i % 100] = test_record(key[i % 100], i, "a value like any other");
		if (i % 100 == 99 || i == n - 1)
			CHECK_OK(
				flow_write_batch(t->db, store, r, (size_t) i % 100 + 1, NULL));
	}
}

static void
test_stats(void)
{
	TestDb t;
	FlowStats s;
	FlowCacheRef ref;
	int64_t before = 0;
	uint32_t store;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	before = t.env->now_us(t.env);
	flow_stats(t.db, &s);
	CHECK(s.loaded_at > before - 60000000 && s.loaded_at <= before);
	CHECK(t.sh->cache_space > 0);
	CHECK(s.records_written == 0 && s.sstables == 0 && s.stores == 0);
	CHECK(s.generation == 1 && s.last_gc_at == 0 && s.log_bytes == 0);
	CHECK(s.cache_capacity > REGION_BYTES / 16 * 7 - (1u << 20));
	CHECK(s.latency[FLOW_LATENCY_FLUSH].p99_us == 0);

	store = test_store(&t, "s");
	put_many(&t, store, 1000);
	test_delete(&t, store, "key00000", 0);
	flow_stats(t.db, &s);
	CHECK(s.records_written == 1001 && s.stores == 1);
	CHECK(s.memtable_records == 1001 && s.memtable_bytes > 30000);
	CHECK_OK(flow_flush(t.db, NULL));
	flow_stats(t.db, &s);
	CHECK(s.memtable_records == 0 && s.sstables == 1 && s.flushes == 1);
	CHECK(s.sstable_records >= 999 && s.generation == 2);
	CHECK(s.sstable_raw_bytes > 29000 && s.sstable_raw_bytes < 31000);
	CHECK(s.sstable_bytes < s.sstable_raw_bytes); /* evenly spaced, one value */
	CHECK(s.range_tombstones == 0 && s.obsolete_files == 0);

	/* what others count is handed through */
	atomic_fetch_add(&t.sh->records_read, 11);
	atomic_fetch_add(&t.sh->records_expired, 12);
	atomic_fetch_add(&t.sh->merges, 13);
	atomic_fetch_add(&t.sh->merge_time_us, 14);
	atomic_fetch_add(&t.sh->purged, 15);
	atomic_store(&t.sh->last_merge_at, 16);
	flowi_latency_add(&t.sh->latency[FLOW_LATENCY_QUERY], 17);
	CHECK(!flowi_cache_get(t.env, UINT64_MAX, 1, 1, &ref));
	before = (int64_t) s.cache_misses;
	flow_stats(t.db, &s);
	CHECK(s.records_read >= 11 && s.records_expired >= 12);
	CHECK(s.merges == 13 && s.merge_time_us == 14 && s.purged == 15);
	CHECK(s.last_merge_at == 16 && s.cache_misses == (uint64_t) before + 1);
	CHECK(s.latency[FLOW_LATENCY_QUERY].max_us >= 17);
	test_close(&t);
	check_passed("statistics");
}

/* -------------------------------------------------------------------- lists */

typedef struct Seen
{
	char text[8192];
	uint32_t n;
	uint32_t stop_at;
	TestDb *t;
	uint64_t records;
} Seen;

static FlowStatus
see_store(void *arg, uint32_t store_id, const char *name)
{
	Seen *seen = arg;
	size_t len = strlen(seen->text);
	FlowStats stats;

	if (++seen->n == seen->stop_at)
		return FLOW_INTERRUPTED;
	flow_stats(seen->t->db, &stats); /* no lock is held */
	CHECK(strlen(name) > 0);
	if (len < sizeof(seen->text) - 300)
		snprintf(seen->text + len, 300, "%u=%s ", store_id, name);
	return FLOW_OK;
}

static FlowStatus
see_sst(void *arg, const FlowSstStats *sst)
{
	Seen *seen = arg;
	FlowStats stats;

	if (++seen->n == seen->stop_at)
		return FLOW_INTERRUPTED;
	flow_stats(seen->t->db, &stats);
	CHECK(sst->id > 0 && sst->file_bytes > 0 && sst->unsettled == 0);
	CHECK(sst->key_min_bytes == 8 && memcmp(sst->key_min, "key00000", 8) == 0);
	CHECK(sst->key_max_bytes == 8 && sst->ts_min == 0);
	CHECK(sst->ts_max == (int64_t) sst->records - 1);
	CHECK(sst->expire_max == FLOW_NEVER);
	seen->records += sst->records;
	return FLOW_OK;
}

static void
test_lists(void)
{
	static Seen seen;
	TestDb t;
	uint32_t a, b;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	seen = (Seen){.t = &t};
	CHECK_OK(flow_each_store(t.db, see_store, &seen));
	CHECK_OK(flow_each_sst(t.db, see_sst, &seen));
	CHECK(seen.n == 0);
	a = test_store(&t, "first");
	b = test_store(&t, "second \"one\"");
	CHECK_OK(flow_each_store(t.db, see_store, &seen));
	CHECK(strcmp(seen.text, "1=first 2=second \"one\" ") == 0);
	put_many(&t, a, 300);
	put_many(&t, b, 500);
	CHECK_OK(flow_flush(t.db, NULL));
	seen = (Seen){.t = &t};
	CHECK_OK(flow_each_sst(t.db, see_sst, &seen));
	CHECK(seen.n == 2 && seen.records == 800);
	seen = (Seen){.t = &t, .stop_at = 2};
	CHECK_STATUS(flow_each_sst(t.db, see_sst, &seen), FLOW_INTERRUPTED);
	CHECK(seen.n == 2 && seen.records == 300);

	/* more than fits at first */
	for (int i = 0; i < 200; i++)
	{
		char name[200];

		snprintf(name, sizeof(name), "store number %d %0120d", i, 0);
		(void) test_store(&t, name);
	}
	seen = (Seen){.t = &t};
	CHECK_OK(flow_each_store(t.db, see_store, &seen));
	CHECK(seen.n == 202);
	seen = (Seen){.t = &t, .stop_at = 100};
	CHECK_STATUS(flow_each_store(t.db, see_store, &seen), FLOW_INTERRUPTED);
	CHECK(seen.n == 100);
	flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, 1, 1, 0);
	CHECK_STATUS(flow_each_store(t.db, see_store, &seen), FLOW_NOMEM);
	test_close(&t);
	check_passed("lists of stores and SSTables");
}

/* A file of range tombstones only has no times. */
static void
test_estimate(void)
{
	TestDb t;
	FlowStoreStats s;
	FlowSst *sst;
	uint32_t store;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	store = test_store(&t, "s");
	put_many(&t, store, 10);
	CHECK_OK(flow_flush(t.db, NULL));
	sst = t.sh->version->sst[0];
	flow_store_stats(t.db, store, &s);
	CHECK(s.records == 10 && s.sstables == 1 && s.has_ts);
	sst->info.records = 0;
	sst->info.ts_min = INT64_MAX;
	sst->info.ts_max = INT64_MIN;
	flow_store_stats(t.db, store, &s);
	CHECK(s.records == 0 && s.sstables == 1 && !s.has_ts);
	test_close(&t);
	check_passed("estimates of one store");
}

/* ---------------------------------------------------------------- the text */

typedef struct Parsed
{
	char metric[128]; /* of the last TYPE line */
	char type[16];
	char names[200][128]; /* metrics so far */
	int nmetrics;
	int nsamples;
} Parsed;

static bool
is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char) p[i]) && p[i] != '_' && p[i] != ':' &&
			(i == 0 || !isdigit((unsigned char) p[i])))
			return false;
	return n > 0;
}

/* "# TYPE name type", once a metric, and behind its HELP. */
static void
parse_comment(Parsed *p, const char *line)
{
	char name[128], rest[256];

	if (strncmp(line, "# HELP ", 7) == 0)
	{
		CHECK(sscanf(line + 7, "%127s %255[^\n]", name, rest) == 2);
		CHECK(is_name(name, strlen(name)));
		for (int i = 0; i < p->nmetrics; i++)
			CHECK(strcmp(p->names[i], name) != 0);
		CHECK(p->nmetrics < 200);
		strcpy(p->names[p->nmetrics++], name);
		p->type[0] = '\0';
		return;
	}
	CHECK(strncmp(line, "# TYPE ", 7) == 0 && p->type[0] == '\0');
	CHECK(sscanf(line + 7, "%127s %15s", p->metric, p->type) == 2);
	CHECK(strcmp(p->metric, p->names[p->nmetrics - 1]) == 0);
	CHECK(strncmp(p->metric, "flowdb_", 7) == 0);
	if (strcmp(p->type, "counter") == 0)
		CHECK(strcmp(p->metric + strlen(p->metric) - 6, "_total") == 0);
	else
		CHECK(
			strstr(p->metric, "_total") == NULL &&
			(strcmp(p->type, "gauge") == 0 || strcmp(p->type, "summary") == 0));
}

/* Labels from { to }; the byte behind. */
static const char *
parse_labels(const char *p)
{
	do
	{
		const char *eq = strchr(++p, '=');

		CHECK(eq != NULL && is_name(p, (size_t) (eq - p)) && eq[1] == '"');
		for (p = eq + 2; *p != '"'; p++)
		{
			CHECK(*p != '\0');
			if (*p == '\\')
			{
				p++;
				CHECK(*p == '\\' || *p == '"' || *p == 'n');
			}
		}
		p++;
	} while (*p == ',');
	CHECK(*p == '}');
	return p + 1;
}

static void
parse_sample(Parsed *p, const char *line)
{
	size_t n = strcspn(line, "{ ");
	size_t base = strlen(p->metric);
	const char *value = line + n;
	char *end;

	CHECK(is_name(line, n));
	CHECK(n >= base && memcmp(line, p->metric, base) == 0);
	if (n > base) /* only a summary has parts */
		CHECK(strcmp(p->type, "summary") == 0 &&
			  (strncmp(line + base, "_sum", n - base) == 0 ||
			   strncmp(line + base, "_count", n - base) == 0));
	if (*value == '{')
		value = parse_labels(value);
	CHECK(*value == ' ');
	(void) strtod(value + 1, &end);
	CHECK(end > value + 1 && *end == '\0');
	p->nsamples++;
}

static void
parse(const char *text, Parsed *p)
{
	char *copy = strdup(text);
	char *rest = copy;
	char *line;

	*p = (Parsed){.nmetrics = 0};
	CHECK(copy != NULL && text[strlen(text) - 1] == '\n');
	while ((line = strsep(&rest, "\n")) != NULL && rest != NULL)
	{
		CHECK(*line != '\0');
		if (*line == '#')
			parse_comment(p, line);
		else
			parse_sample(p, line);
	}
	CHECK(line != NULL && *line == '\0');
	free(copy);
}

static void
check_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; (p = strstr(p, line)) != NULL; p++)
		if ((p == text || p[-1] == '\n') && p[n] == '\n')
			return;
	fprintf(stderr, "no line: %s\n", line);
	CHECK(!"line is there");
}

static void
test_text(void)
{
	static Parsed p;
	TestDb t;
	FlowStats s[2];
	const char *names[2] = {"one", "a \"b\"\\\nc"};
	char *text;
	uint32_t store;

	test_open(&t, REGION_BYTES, MEMTABLE_BYTES);
	store = test_store(&t, "s");
	put_many(&t, store, 250);
	flow_stats(t.db, &s[0]);
	s[0].loaded_at -= 5000000;
	s[0].latency[FLOW_LATENCY_WRITE] = (FlowLatency){
		.count = 3, .sum_us = 2000500, .p50_us = 7, .p90_us = 1999999};
	s[1] = (FlowStats){.records_written = UINT64_MAX,
					   .loaded_at = INT64_MAX,
					   .sstable_bytes = 1000,
					   .sstable_raw_bytes = 3500,
					   .last_flush_at = 1700000000000001,
					   .frozen_memtables = 2};

	/* TE64 */
	CHECK_OK(flow_metrics_text(t.env, names, s, 1, &text));
	CHECK(strstr(text, "flowdb_") != NULL);
	parse(text, &p);
	CHECK(p.nmetrics >= 40);
	CHECK(p.nsamples == p.nmetrics - 3 + 15);
	t.env->free(t.env, text);

	s[0].cache_hits = 3;
	s[0].cache_misses = 1;
	CHECK_OK(flow_metrics_text(t.env, names, s, 2, &text));
	parse(text, &p);
	check_line(text, "flowdb_records_written_total{database=\"one\"} 250");
	check_line(text, "flowdb_memtable_records{database=\"one\"} 250");
	check_line(text,
			   "flowdb_records_written_total{database=\"a \\\"b\\\"\\\\\\nc\"} "
			   "18446744073709551615");
	check_line(text, "flowdb_frozen_memtables{database=\"a \\\"b\\\"\\\\\\nc\"}"
					 " 2");
	check_line(text, "flowdb_compression_ratio{database=\"one\"} 0.000000");
	check_line(text, "flowdb_compression_ratio{database=\"a \\\"b\\\"\\\\\\nc\""
					 "} 3.500000");
	check_line(text, "flowdb_cache_hit_ratio 0.750000");
	check_line(text, "flowdb_cache_hits_total 3");
	check_line(text, "flowdb_last_flush_timestamp_seconds{database=\"a "
					 "\\\"b\\\"\\\\\\nc\"} 1700000000.000001");
	check_line(text, "flowdb_uptime_seconds{database=\"a \\\"b\\\"\\\\\\nc\"} "
					 "0.000000"); /* set back */
	check_line(text, "flowdb_write_latency_seconds{database=\"one\","
					 "quantile=\"0.5\"} 0.000007");
	check_line(text, "flowdb_write_latency_seconds{database=\"one\","
					 "quantile=\"0.9\"} 1.999999");
	check_line(text, "flowdb_write_latency_seconds_sum{database=\"one\"} "
					 "2.000500");
	check_line(text, "flowdb_write_latency_seconds_count{database=\"one\"} 3");
	check_line(text, "flowdb_flush_latency_seconds{database=\"a \\\"b\\\"\\\\"
					 "\\nc\",quantile=\"0.99\"} NaN");
	CHECK(strstr(text, "flowdb_uptime_seconds{database=\"one\"} 5.") ||
		  strstr(text, "flowdb_uptime_seconds{database=\"one\"} 6."));
	t.env->free(t.env, text);

	CHECK_OK(flow_metrics_text(t.env, NULL, NULL, 0, &text));
	parse(text, &p);
	CHECK(p.nsamples == 0);
	t.env->free(t.env, text);
	for (uint64_t i = 1; i < 8; i++)
	{
		flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, i, 1, 0);
		CHECK_STATUS(flow_metrics_text(t.env, names, s, 2, &text), FLOW_NOMEM);
		CHECK(text == NULL);
	}
	flow_env_posix_fail(t.env, FLOW_POSIX_ALLOC, 1, 0, 0);
	test_close(&t);
	check_passed("metrics text");
}

int
main(int argc, char **argv)
{
	check_seed(argc, argv);
	test_stats();
	test_lists();
	test_estimate();
	test_text();
	return 0;
}
