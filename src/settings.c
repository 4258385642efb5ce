/*-------------------------------------------------------------------------
 * settings.c
 *	  The settings (GUCs) and what they make of the engine's options.
 *
 * Options that the engine takes once, when a database is loaded, need a
 * restart: a database is loaded by whoever comes first, and all processes
 * must agree on them.  What workers decide by themselves is reloaded, and so
 * is the merge policy, which worker 0 hands on (worker.c).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "flowdb_shmem.h"

/* Of disk, kept in each database for what gives space back. */
#define RESERVE_BYTES (64 * 1024)

int flowdb_shared_memory_mb = 256;
int flowdb_block_cache_mb = -1;
int flowdb_transaction_buffer_kb = 8192;
int flowdb_row_locks = 10000;
bool flowdb_enable_aggregate_pushdown = true;
int flowdb_max_workers = 2;
int flowdb_gc_interval_secs = 3600;
int flowdb_retention_secs = 60;
bool flowdb_auto_compaction = true;
int flowdb_merge_policy = FLOW_POLICY_STCS;

static int memtable_size_kb = 64 * 1024;
static int max_frozen_memtables = 2;
static int block_size = 16 * 1024;
static int bloom_bits_per_key = 10;
static int flush_compression = FLOW_COMPRESS_LZ4;
static int compaction_compression = FLOW_COMPRESS_ZSTD;
static int zstd_level = 1;
static int compaction_threshold = 2;

#define MB ((Size) 1024 * 1024)

/* Write buffers below this could not take the largest batch and go on. */
#define MIN_WRITE_BYTES (32 * MB)
#define MIN_SHARED_MB 64
#define MAX_SHARED_MB (1024 * 1024)

static const struct config_enum_entry compressions[] = {
	{"none", FLOW_COMPRESS_NONE, false},
	{"lz4", FLOW_COMPRESS_LZ4, false},
	{"zstd", FLOW_COMPRESS_ZSTD, false},
	{NULL, 0, false}};

static const struct config_enum_entry policies[] = {
	{"stcs", FLOW_POLICY_STCS, false},
	{"lcs", FLOW_POLICY_LCS, false},
	{"twcs", FLOW_POLICY_TWCS, false},
	{NULL, 0, false}};

/* ------------------------------------------------------------- definitions */

/*
 * Of a value in postgresql.conf that is out of bounds PostgreSQL only warns
 * when we define the setting, and takes the default: four times as much as
 * there may be on a machine that somebody wanted to give less than there must
 * be.
 */
static void
check_memory_given(void)
{
	const char *given = GetConfigOption("flowdb.shared_memory", true, false);
	int mb;

	if (given == NULL || !parse_int(given, &mb, GUC_UNIT_MB, NULL) ||
		(mb >= MIN_SHARED_MB && mb <= MAX_SHARED_MB))
		return;
	ereport(FATAL,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("flowdb.shared_memory is %d MB, and must be from %d MB to "
					"%d MB",
					mb, MIN_SHARED_MB, MAX_SHARED_MB),
			 errhint("Set it to '%dMB' or more.", MIN_SHARED_MB)));
}

static void
define_memory(void)
{
	check_memory_given();
	DefineCustomIntVariable(
		"flowdb.shared_memory",
		"Shared memory for FlowDB's write buffers, block cache and metadata.",
		NULL, &flowdb_shared_memory_mb, 256, MIN_SHARED_MB, MAX_SHARED_MB,
		PGC_POSTMASTER, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.block_cache",
		"The part of flowdb.shared_memory that caches blocks of SSTables.",
		"-1 makes it a quarter; 0 turns the cache off.", &flowdb_block_cache_mb,
		-1, -1, 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.memtable_size",
		"A write buffer of a server is written to disk at this size.",
		"At most a quarter of what flowdb.shared_memory has for them.",
		&memtable_size_kb, 64 * 1024, 1024, INT_MAX / 1024, PGC_POSTMASTER,
		GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.max_frozen_memtables",
		"So many full write buffers of a server make its writers wait.", NULL,
		&max_frozen_memtables, 2, 1, 64, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.transaction_buffer",
		"A transaction hands its writes over when they take more memory.", NULL,
		&flowdb_transaction_buffer_kb, 8192, 64, 1024 * 1024, PGC_USERSET,
		GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.row_locks",
		"A transaction that locks more rows of a table locks all of it.", NULL,
		&flowdb_row_locks, 10000, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_files(void)
{
	DefineCustomIntVariable("flowdb.block_size",
							"Size of a block of an SSTable before compression.",
							NULL, &block_size, 16 * 1024, 1024,
							16 * 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_BYTE,
							NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.bloom_bits_per_key", "Size of an SSTable's bloom filter.", NULL,
		&bloom_bits_per_key, 10, 1, 64, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"flowdb.flush_compression",
		"How SSTables are compressed that come from memory.", NULL,
		&flush_compression, FLOW_COMPRESS_LZ4, compressions, PGC_POSTMASTER, 0,
		NULL, NULL, NULL);
	DefineCustomEnumVariable("flowdb.compaction_compression",
							 "How SSTables are compressed that come from a "
							 "compaction.",
							 NULL, &compaction_compression, FLOW_COMPRESS_ZSTD,
							 compressions, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("flowdb.zstd_level", "Effort of zstd.", NULL,
							&zstd_level, 1, 1, 22, PGC_POSTMASTER, 0, NULL,
							NULL, NULL);
}

static void
define_work(void)
{
	DefineCustomIntVariable(
		"flowdb.max_workers",
		"Processes that flush FlowDB's write buffers and compact its SSTables.",
		NULL, &flowdb_max_workers, 2, 1, FLOWDB_MAX_WORKERS, PGC_POSTMASTER, 0,
		NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"flowdb.auto_compaction", "Workers compact SSTables by themselves.",
		NULL, &flowdb_auto_compaction, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("flowdb.merge_policy",
							 "Which SSTables are compacted together.", NULL,
							 &flowdb_merge_policy, FLOW_POLICY_STCS, policies,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.compaction_threshold",
		"flowdb_compact() compacts a store that has so many SSTables.", NULL,
		&compaction_threshold, 2, 1, 1000000, PGC_POSTMASTER, 0, NULL, NULL,
		NULL);
	DefineCustomIntVariable("flowdb.gc_interval",
							"Time between two searches for SSTables all of "
							"whose rows have expired.",
							"0 turns them off.", &flowdb_gc_interval_secs, 3600,
							0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL,
							NULL, NULL);
	DefineCustomIntVariable(
		"flowdb.obsolete_file_retention",
		"Files stay at least so long after a compaction has replaced them.",
		"While a base backup runs, they stay in any case.",
		&flowdb_retention_secs, 60, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S,
		NULL, NULL, NULL);
}

static void
define_planning(void)
{
	DefineCustomBoolVariable(
		"flowdb.enable_aggregate_pushdown",
		"Lets the planner have aggregates worked out in FlowDB's engine.", NULL,
		&flowdb_enable_aggregate_pushdown, true, PGC_USERSET, GUC_EXPLAIN, NULL,
		NULL, NULL);
}

void
flowdb_settings_init(void)
{
	define_memory();
	define_files();
	define_work();
	define_planning();
	MarkGUCPrefixReserved("flowdb");
}

/* ------------------------------------------------------------ what they mean */

Size
flowdb_region_bytes(void)
{
	return (Size) flowdb_shared_memory_mb * MB;
}

/* One part in eight of the region is for metadata; the rest is divided. */
void
flowdb_region_shares(Size *write_bytes, Size *cache_bytes)
{
	Size data = flowdb_region_bytes() / 8 * 7;
	Size cache = flowdb_block_cache_mb < 0 ? flowdb_region_bytes() / 4
										   : (Size) flowdb_block_cache_mb * MB;

	if (cache > data - MIN_WRITE_BYTES)
	{
		cache = data - MIN_WRITE_BYTES;
		ereport(LOG, (errmsg("flowdb.block_cache is limited to %zu MB by "
							 "flowdb.shared_memory",
							 cache / MB)));
	}
	*cache_bytes = cache;
	*write_bytes = data - cache;
}

/* At most a quarter of the write buffers, so that one memtable can fill
 * while others are flushed. */
static uint64
memtable_bytes(void)
{
	uint64 write_total;
	uint64 write_used;
	uint64 meta_total;
	uint64 meta_used;

	flow_region_usage(flowdb_env(), flowdb_shared->region, &write_total,
					  &write_used, &meta_total, &meta_used);
	return Max(Min((uint64) memtable_size_kb * 1024, write_total / 4), MB);
}

void
flowdb_settings_options(FlowOptions *options)
{
	options->memtable_bytes = memtable_bytes();
	options->max_frozen = (uint32) max_frozen_memtables;
	options->block_bytes = (uint32) block_size;
	options->bloom_bits_per_key = (uint32) bloom_bits_per_key;
	options->flush_compression = (FlowCompression) flush_compression;
	options->merge_compression = (FlowCompression) compaction_compression;
	options->zstd_level = zstd_level;
	options->merge_threshold = (uint32) compaction_threshold;
	options->reserve_bytes = RESERVE_BYTES;
	flowdb_settings_policy(&options->policy);
}

void
flowdb_settings_policy(FlowMergePolicy *policy)
{
	*policy = (FlowMergePolicy) FLOW_POLICY_DEFAULT;
	policy->kind = (FlowPolicyKind) flowdb_merge_policy;
}
