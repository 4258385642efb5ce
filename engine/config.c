/*-------------------------------------------------------------------------
 * config.c
 *	  The rules of options and merge policies.
 *
 * Each rule names the option and the least or greatest value, so that the
 * message alone tells what to write instead.  Which options there are, and
 * their defaults: flow.h.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <float.h>

#define MIB (UINT64_C(1) << 20)

#define BLOCK_MIN_BYTES (1u << 10)
#define BLOCK_MAX_BYTES (16u << 20)
#define BLOOM_MAX_BITS 64u
#define ZSTD_MAX_LEVEL 22

/* ------------------------------------------------------------ merge policy */

FlowStatus
flow_policy_check(const FlowMergePolicy *p)
{
	if ((int) p->kind < FLOW_POLICY_STCS || p->kind > FLOW_POLICY_TWCS)
		return flowi_fail(FLOW_INVALID, "merge policy %d is unknown",
						  (int) p->kind);
	if (p->min_threshold < 2)
		return flowi_fail(FLOW_INVALID, "min_threshold must be at least 2");
	if (p->max_threshold < p->min_threshold)
		return flowi_fail(FLOW_INVALID,
						  "max_threshold must not be less than min_threshold");
	/* written so that what is not a number is refused too */
	if (!(p->bucket_low > 0))
		return flowi_fail(FLOW_INVALID, "bucket_low must be greater than 0");
	if (!(p->bucket_high > p->bucket_low && p->bucket_high <= DBL_MAX))
		return flowi_fail(FLOW_INVALID,
						  "bucket_high must be greater than bucket_low");
	if (p->window_us < 1)
		return flowi_fail(FLOW_INVALID,
						  "window must be at least 1 microsecond");
	if (p->target_bytes < MIB)
		return flowi_fail(FLOW_INVALID, "target_bytes must be at least 1 MB");
	return FLOW_OK;
}

/* ----------------------------------------------------------------- options */

static FlowStatus
check_memory(const FlowOptions *o)
{
	if (o->memtable_bytes < MIB)
		return flowi_fail(FLOW_INVALID, "memtable_bytes must be at least 1 MB");
	if (o->max_frozen < 1)
		return flowi_fail(FLOW_INVALID, "max_frozen must be at least 1");
	if (o->block_bytes < BLOCK_MIN_BYTES || o->block_bytes > BLOCK_MAX_BYTES)
		return flowi_fail(FLOW_INVALID,
						  "block_bytes must be between 1 kB and 16 MB");
	if (o->bloom_bits_per_key < 1 || o->bloom_bits_per_key > BLOOM_MAX_BITS)
		return flowi_fail(FLOW_INVALID,
						  "bloom_bits_per_key must be between 1 and %u",
						  BLOOM_MAX_BITS);
	return FLOW_OK;
}

static FlowStatus
check_compression(const char *option, FlowCompression c)
{
	if ((int) c < FLOW_COMPRESS_NONE || c > FLOW_COMPRESS_ZSTD)
		return flowi_fail(FLOW_INVALID, "%s %d is unknown", option, (int) c);
	return FLOW_OK;
}

static FlowStatus
check_files(const FlowOptions *o)
{
	FLOW_TRY(check_compression("flush_compression", o->flush_compression));
	FLOW_TRY(check_compression("merge_compression", o->merge_compression));
	/* also when nothing is compressed by it now: it may be tomorrow */
	if (o->zstd_level < 1 || o->zstd_level > ZSTD_MAX_LEVEL)
		return flowi_fail(FLOW_INVALID, "zstd_level must be between 1 and %d",
						  ZSTD_MAX_LEVEL);
	if (o->default_ttl_secs < 0)
		return flowi_fail(FLOW_INVALID,
						  "default_ttl_secs must not be negative");
	if (o->default_ttl_secs > FLOW_MAX_TTL_SECS)
		return flowi_fail(FLOW_INVALID, "default_ttl_secs must be at most %lld",
						  (long long) FLOW_MAX_TTL_SECS);
	if (o->merge_threshold < 1)
		return flowi_fail(FLOW_INVALID, "merge_threshold must be at least 1");
	return flow_policy_check(&o->policy);
}

static FlowStatus
check_log(const FlowOptions *o)
{
	if (o->wal_segment_bytes < MIB)
		return flowi_fail(FLOW_INVALID,
						  "wal_segment_bytes must be at least 1 MB");
	if (o->log_compression != FLOW_COMPRESS_NONE &&
		o->log_compression != FLOW_COMPRESS_LZ4)
		return flowi_fail(FLOW_INVALID,
						  "log_compression %d is neither none nor lz4",
						  (int) o->log_compression);
	if ((int) o->sync_mode < FLOW_SYNC_ALWAYS || o->sync_mode > FLOW_SYNC_HOST)
		return flowi_fail(FLOW_INVALID, "sync_mode %d is unknown",
						  (int) o->sync_mode);
	if (o->sync_interval_ms < 1)
		return flowi_fail(FLOW_INVALID, "sync_interval_ms must be at least 1");
	return FLOW_OK;
}

static FlowStatus
check_background(const FlowOptions *o)
{
	if (o->flush_interval_ms < 1)
		return flowi_fail(FLOW_INVALID, "flush_interval_ms must be at least 1");
	if (o->compaction_interval_ms < 1)
		return flowi_fail(FLOW_INVALID,
						  "compaction_interval_ms must be at least 1");
	if (o->gc_interval_secs < 1)
		return flowi_fail(FLOW_INVALID, "gc_interval_secs must be at least 1");
	return FLOW_OK;
}

FlowStatus
flow_options_check(const FlowOptions *o)
{
	FLOW_TRY(check_memory(o));
	FLOW_TRY(check_files(o));
	FLOW_TRY(check_log(o));
	return check_background(o);
}
