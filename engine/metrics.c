/*-------------------------------------------------------------------------
 * metrics.c
 *	  Statistics as Prometheus text (exposition format 0.0.4).
 *
 * A table says what there is; base units are seconds and bytes, counters end
 * in _total.  Numbers are printed from integers, so that no locale puts a
 * comma into them.  What belongs to the whole region has one sample, without
 * a label: a sample a database would be added up by whoever sums over them.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "coding.h"

#define MICRO UINT64_C(1000000)

typedef enum MetricKind
{
	COUNTER,
	GAUGE
} MetricKind;

/* What stands at offset in FlowStats, and how it is shown. */
typedef enum MetricForm
{
	FORM_U64,
	FORM_U32,
	FORM_SECONDS, /* from 64 bits of microseconds */
	FORM_UPTIME,  /* from the time of the load */
	FORM_RATIO	  /* by ratio */
} MetricForm;

typedef struct Metric
{
	const char *name; /* behind "flowdb_" */
	const char *help;
	MetricKind kind;
	MetricForm form;
	bool of_region; /* the same for all databases */
	size_t offset;
	void (*ratio)(const FlowStats *s, uint64_t *part, uint64_t *whole);
} Metric;

/* Raw bytes a byte of SSTables. */
static void
compression_ratio(const FlowStats *s, uint64_t *part, uint64_t *whole)
{
	*part = s->sstable_raw_bytes;
	*whole = s->sstable_bytes;
}

static void
cache_hit_ratio(const FlowStats *s, uint64_t *part, uint64_t *whole)
{
	*part = s->cache_hits;
	*whole = s->cache_hits + s->cache_misses;
}

#define AT(member) .offset = offsetof(FlowStats, member)
#define U64(what, member, text)                                      \
	{                                                                \
		.name = what, .help = text, .kind = GAUGE, .form = FORM_U64, \
		AT(member)                                                   \
	}
#define U32(what, member, text)                                      \
	{                                                                \
		.name = what, .help = text, .kind = GAUGE, .form = FORM_U32, \
		AT(member)                                                   \
	}
#define REGION(what, member, text)                                   \
	{                                                                \
		.name = what, .help = text, .kind = GAUGE, .form = FORM_U64, \
		.of_region = true, AT(member)                                \
	}
#define TIME(what, member, text)                                         \
	{                                                                    \
		.name = what, .help = text, .kind = GAUGE, .form = FORM_SECONDS, \
		AT(member)                                                       \
	}
#define COUNT(what, member, text)                                      \
	{                                                                  \
		.name = what, .help = text, .kind = COUNTER, .form = FORM_U64, \
		AT(member)                                                     \
	}

static const Metric metrics[] = {
	/* counters */
	COUNT("records_written_total", records_written,
		  "Records and tombstones written since the load."),
	COUNT("bytes_written_total", bytes_written,
		  "Bytes of keys and values written."),
	COUNT("records_read_total", records_read,
		  "Records that scans and lookups returned."),
	COUNT("records_expired_total", records_expired,
		  "Expired records that flushes, merges and GC left out."),
	COUNT("flushes_total", flushes, "Memtables flushed."),
	COUNT("flush_failures_total", flush_failures, "Flushes that failed."),
	COUNT("merges_total", merges, "Merges of SSTables completed."),
	COUNT("merge_failures_total", merge_failures, "Merges that failed."),
	COUNT("gc_runs_total", gc_runs, "Runs that dropped expired SSTables."),
	COUNT("records_purged_total", purged,
		  "Records of SSTables that were dropped because all had expired."),
	COUNT("sstables_merged_total", sstables_merged, "SSTables merges read."),
	COUNT("sstables_made_total", sstables_made, "SSTables merges wrote."),
	COUNT("merge_rows_total", merge_rows, "Versions that merges read."),
	COUNT("merge_read_bytes_total", merge_bytes_read,
		  "Bytes of SSTables that merges read."),
	COUNT("merge_written_bytes_total", merge_bytes_written,
		  "Bytes of SSTables that merges wrote."),
	{.name = "merge_seconds_total",
	 .help = "Time spent in merges.",
	 .kind = COUNTER,
	 .form = FORM_SECONDS,
	 AT(merge_time_us)},
	{.name = "cache_hits_total",
	 .help = "Pieces of SSTables found in the block cache.",
	 .kind = COUNTER,
	 .form = FORM_U64,
	 .of_region = true,
	 AT(cache_hits)},
	{.name = "cache_misses_total",
	 .help = "Pieces of SSTables not found in the block cache.",
	 .kind = COUNTER,
	 .form = FORM_U64,
	 .of_region = true,
	 AT(cache_misses)},

	/* gauges */
	U64("memtable_records", memtable_records, "Records in memory."),
	U64("memtable_bytes", memtable_bytes, "Bytes of write buffers in use."),
	U32("frozen_memtables", frozen_memtables,
		"Memtables that wait for a flush."),
	U32("sstables", sstables, "SSTables."),
	U64("sstable_bytes", sstable_bytes, "Bytes of SSTables."),
	U64("sstable_raw_bytes", sstable_raw_bytes,
		"Bytes of keys and values in SSTables before encoding."),
	U64("sstable_records", sstable_records, "Record versions in SSTables."),
	U64("range_tombstones", range_tombstones, "Range tombstones in SSTables."),
	{.name = "compression_ratio",
	 .help = "Raw bytes for each byte of SSTables.",
	 .kind = GAUGE,
	 .form = FORM_RATIO,
	 .ratio = compression_ratio},
	U64("obsolete_files", obsolete_files, "Files that wait to be removed."),
	U64("next_sstable_id", generation, "Id of the next SSTable."),
	U64("flushed_position", flushed_pos,
		"Log position up to which SSTables are complete."),
	U64("unresolved_transactions", unresolved_txns,
		"Transactions in SSTables whose fate is not known."),
	U32("stores", stores, "Stores."),
	U64("wal_bytes", log_bytes, "Bytes of live segments of the file log."),
	REGION("cache_bytes", cache_bytes, "Bytes in the block cache."),
	REGION("cache_capacity_bytes", cache_capacity, "Size of the block cache."),
	{.name = "cache_hit_ratio",
	 .help = "Hits for each look into the block cache.",
	 .kind = GAUGE,
	 .form = FORM_RATIO,
	 .of_region = true,
	 .ratio = cache_hit_ratio},
	REGION("write_buffer_bytes", buffer_bytes,
		   "Bytes of all write buffers in use."),
	REGION("write_buffer_capacity_bytes", buffer_capacity,
		   "Size of all write buffers."),
	REGION("metadata_bytes", meta_bytes,
		   "Bytes of metadata in shared memory in use."),
	REGION("metadata_capacity_bytes", meta_capacity,
		   "Size of the metadata in shared memory."),
	{.name = "uptime_seconds",
	 .help = "Time since the load.",
	 .kind = GAUGE,
	 .form = FORM_UPTIME,
	 AT(loaded_at)},
	TIME("last_flush_timestamp_seconds", last_flush_at,
		 "Time of the last flush; 0: none."),
	TIME("last_merge_timestamp_seconds", last_merge_at,
		 "Time of the last merge; 0: none."),
	TIME("last_gc_timestamp_seconds", last_gc_at,
		 "Time of the last drop of expired SSTables; 0: none."),
};

static const struct
{
	const char *name;
	const char *help;
} latencies[FLOW_LATENCY_KINDS] = {
	[FLOW_LATENCY_WRITE] = {"write_latency_seconds",
							"Time of a batch until it is durable."},
	[FLOW_LATENCY_QUERY] = {"query_latency_seconds",
							"Time of a lookup or of one fill of a scan, "
							"sampled."},
	[FLOW_LATENCY_FLUSH] = {"flush_latency_seconds", "Time of a flush."},
};

/* ----------------------------------------------------------------- output */

/* The text in the making, and whose statistics it is made of. */
typedef struct Text
{
	FlowBuf buf;
	const char *const *names;
	const FlowStats *stats;
	size_t n;
	int64_t now;
} Text;

static FlowStatus say(Text *t, const char *fmt, ...) FLOW_PRINTF(2, 3);

/* Short pieces only: what is too long is cut. */
static FlowStatus
say(Text *t, const char *fmt, ...)
{
	char piece[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	return flowi_buf_append(&t->buf, piece, strlen(piece));
}

static FlowStatus
say_head(Text *t, const char *name, const char *help, const char *type)
{
	FLOW_TRY(say(t, "# HELP flowdb_%s %s\n", name, help));
	return say(t, "# TYPE flowdb_%s %s\n", name, type);
}

/* A label's value, with what would end it escaped. */
static FlowStatus
say_escaped(Text *t, const char *value)
{
	for (const char *p = value; *p; p++)
	{
		if (*p == '\\' || *p == '"' || *p == '\n')
			FLOW_TRY(flowi_buf_append(&t->buf, "\\", 1));
		FLOW_TRY(flowi_buf_append(&t->buf, *p == '\n' ? "n" : p, 1));
	}
	return FLOW_OK;
}

/* A name and the labels, up to the value.  quantile NULL: none. */
static FlowStatus
say_labels(Text *t, const char *name, const char *suffix, size_t i,
		   const char *quantile)
{
	FLOW_TRY(say(t, "flowdb_%s%s{database=\"", name, suffix));
	FLOW_TRY(say_escaped(t, t->names[i]));
	if (quantile)
		return say(t, "\",quantile=\"%s\"} ", quantile);
	return say(t, "\"} ");
}

static FlowStatus
say_micro(Text *t, uint64_t v)
{
	return say(t, "%" PRIu64 ".%06" PRIu64 "\n", v / MICRO, v % MICRO);
}

/* ---------------------------------------------------------------- samples */

static FlowStatus
say_value(Text *t, const Metric *m, const FlowStats *s)
{
	const char *at = (const char *) s + m->offset;
	uint64_t v = 0;
	uint64_t whole = 0;
	uint32_t v32;

	switch (m->form)
	{
		case FORM_U32:
			memcpy(&v32, at, sizeof(v32));
			return say(t, "%" PRIu32 "\n", v32);
		case FORM_U64:
			memcpy(&v, at, sizeof(v));
			return say(t, "%" PRIu64 "\n", v);
		case FORM_SECONDS:
			memcpy(&v, at, sizeof(v));
			return say_micro(t, v);
		case FORM_UPTIME: /* the clock may have been set back */
			return say_micro(t, t->now > s->loaded_at
									? (uint64_t) (t->now - s->loaded_at)
									: 0);
		case FORM_RATIO:
			m->ratio(s, &v, &whole);
			return say_micro(
				t, whole == 0
					   ? 0
					   : (uint64_t) ((double) v / (double) whole * MICRO));
	}
	return FLOW_OK;
}

static FlowStatus
say_metric(Text *t, const Metric *m)
{
	FLOW_TRY(say_head(t, m->name, m->help,
					  m->kind == COUNTER ? "counter" : "gauge"));
	if (m->of_region && t->n > 0)
	{
		FLOW_TRY(say(t, "flowdb_%s ", m->name));
		return say_value(t, m, &t->stats[0]);
	}
	for (size_t i = 0; i < t->n; i++)
	{
		FLOW_TRY(say_labels(t, m->name, "", i, NULL));
		FLOW_TRY(say_value(t, m, &t->stats[i]));
	}
	return FLOW_OK;
}

static FlowStatus
say_quantile(Text *t, const char *name, size_t i, const char *quantile,
			 const FlowLatency *l, uint32_t us)
{
	FLOW_TRY(say_labels(t, name, "", i, quantile));
	return l->count == 0 ? say(t, "NaN\n") : say_micro(t, us);
}

static FlowStatus
say_latency(Text *t, FlowLatencyKind kind)
{
	const char *name = latencies[kind].name;

	FLOW_TRY(say_head(t, name, latencies[kind].help, "summary"));
	for (size_t i = 0; i < t->n; i++)
	{
		const FlowLatency *l = &t->stats[i].latency[kind];

		FLOW_TRY(say_quantile(t, name, i, "0.5", l, l->p50_us));
		FLOW_TRY(say_quantile(t, name, i, "0.9", l, l->p90_us));
		FLOW_TRY(say_quantile(t, name, i, "0.99", l, l->p99_us));
		FLOW_TRY(say_labels(t, name, "_sum", i, NULL));
		FLOW_TRY(say_micro(t, l->sum_us));
		FLOW_TRY(say_labels(t, name, "_count", i, NULL));
		FLOW_TRY(say(t, "%" PRIu64 "\n", l->count));
	}
	return FLOW_OK;
}

FlowStatus
flow_metrics_text(FlowEnv *env, const char *const *names,
				  const FlowStats *stats, size_t n, char **textp)
{
	Text t = {.names = names, .stats = stats, .n = n};
	FlowStatus st = FLOW_OK;

	*textp = NULL;
	t.now = env->now_us(env);
	flowi_buf_init(&t.buf, env);
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		FLOW_GOTO(say_metric(&t, &metrics[i]));
	for (int kind = 0; kind < FLOW_LATENCY_KINDS; kind++)
		FLOW_GOTO(say_latency(&t, (FlowLatencyKind) kind));
	FLOW_GOTO(flowi_buf_append(&t.buf, "", 1));
	*textp = (char *) t.buf.data; /* the buffer is the caller's now */
	t.buf.data = NULL;
out:
	flowi_buf_free(&t.buf);
	return st;
}
