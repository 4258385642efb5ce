/*-------------------------------------------------------------------------
 * config_test.c
 *	  The rules of options and merge policies, one by one; the defaults.
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "check.h"

static const FlowOptions defaults = FLOW_OPTIONS_DEFAULT;

/* The options must be refused, by a message that begins so. */
static void
refused(const FlowOptions *o, const char *message)
{
	CHECK_STATUS(flow_options_check(o), FLOW_INVALID);
	if (strcmp(flow_last_error()->message, message) != 0)
	{
		fprintf(stderr, "got \"%s\", not \"%s\"\n", flow_last_error()->message,
				message);
		CHECK(!"message");
	}
}

/* field = good passes, field = bad does not */
#define RULE(field, good, bad, message)    \
	do                                     \
	{                                      \
		FlowOptions o_ = defaults;         \
		o_.field = (good);                 \
		CHECK_OK(flow_options_check(&o_)); \
		o_.field = (bad);                  \
		refused(&o_, message);             \
	} while (0)

/* B02 to B18, TR06 */
static void
test_defaults(void)
{
	CHECK_OK(flow_options_check(&defaults));
	CHECK(!defaults.create && !defaults.create_missing);
	CHECK(defaults.default_ttl_secs == 0);					/* B03 */
	CHECK(defaults.gc_interval_secs == 3600);				/* B04 */
	CHECK(defaults.memtable_bytes == 64u << 20);			/* B05 */
	CHECK(defaults.max_frozen == 2);						/* B06 */
	CHECK(defaults.block_bytes == 16u << 10);				/* B07, ours */
	CHECK(defaults.flush_interval_ms == 1000);				/* B08 */
	CHECK(defaults.bloom_bits_per_key == 10);				/* B12 */
	CHECK(defaults.wal_segment_bytes == 64u << 20);			/* B13 */
	CHECK(defaults.merge_threshold == 2);					/* B14 */
	CHECK(defaults.compaction_interval_ms == 60000);		/* B15 */
	CHECK(defaults.sync_mode == FLOW_SYNC_ALWAYS);			/* B16, TR15 */
	CHECK(!defaults.auto_background);						/* B17, ours */
	CHECK(defaults.flush_compression == FLOW_COMPRESS_LZ4); /* B18 */
	CHECK(defaults.merge_compression == FLOW_COMPRESS_ZSTD);
	CHECK(defaults.log_compression == FLOW_COMPRESS_NONE); /* ours */
	CHECK(defaults.policy.kind == FLOW_POLICY_STCS);
	check_passed("defaults");
}

static void
test_rules(void)
{
	const uint64_t mib = 1u << 20;

	RULE(memtable_bytes, mib, mib - 1, "memtable_bytes must be at least 1 MB");
	RULE(memtable_bytes, mib, 0, "memtable_bytes must be at least 1 MB");
	RULE(max_frozen, 1, 0, "max_frozen must be at least 1");
	RULE(block_bytes, 1024, 1023, "block_bytes must be between 1 kB and 16 MB");
	RULE(block_bytes, 16u << 20, (16u << 20) + 1,
		 "block_bytes must be between 1 kB and 16 MB");
	RULE(bloom_bits_per_key, 1, 0,
		 "bloom_bits_per_key must be between 1 and 64");
	RULE(bloom_bits_per_key, 64, 65,
		 "bloom_bits_per_key must be between 1 and 64");
	RULE(flush_compression, FLOW_COMPRESS_NONE, (FlowCompression) 3,
		 "flush_compression 3 is unknown");
	RULE(merge_compression, FLOW_COMPRESS_LZ4, (FlowCompression) 3,
		 "merge_compression 3 is unknown");
	RULE(default_ttl_secs, FLOW_MAX_TTL_SECS, -1,
		 "default_ttl_secs must not be negative");
	RULE(default_ttl_secs, 1, FLOW_MAX_TTL_SECS + 1,
		 "default_ttl_secs must be at most 9223372036854");
	RULE(merge_threshold, 1, 0, "merge_threshold must be at least 1");
	RULE(wal_segment_bytes, mib, mib - 1,
		 "wal_segment_bytes must be at least 1 MB");
	RULE(log_compression, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD,
		 "log_compression 2 is neither none nor lz4");
	RULE(sync_mode, FLOW_SYNC_HOST, (FlowSyncMode) 3, "sync_mode 3 is unknown");
	RULE(sync_interval_ms, 1, 0, "sync_interval_ms must be at least 1");
	RULE(flush_interval_ms, 1, 0, "flush_interval_ms must be at least 1");
	RULE(compaction_interval_ms, 1, 0,
		 "compaction_interval_ms must be at least 1");
	RULE(gc_interval_secs, 1, 0, "gc_interval_secs must be at least 1");
	check_passed("options");
}

/* TR19 */
static void
test_zstd_levels(void)
{
	const char *message = "zstd_level must be between 1 and 22";

	RULE(zstd_level, 1, 0, message);
	RULE(zstd_level, 3, -1, message);
	RULE(zstd_level, 22, 23, message);
	check_passed("zstd levels");
}

static void
test_policies(void)
{
	FlowMergePolicy p = defaults.policy;

	CHECK_OK(flow_policy_check(&p));
	RULE(policy.kind, FLOW_POLICY_TWCS, (FlowPolicyKind) 3,
		 "merge policy 3 is unknown");
	RULE(policy.min_threshold, 2, 1, "min_threshold must be at least 2");
	RULE(policy.max_threshold, 4, 3,
		 "max_threshold must not be less than min_threshold");
	RULE(policy.bucket_low, 0.1, 0, "bucket_low must be greater than 0");
	RULE(policy.bucket_low, 1.4, -1, "bucket_low must be greater than 0");
	RULE(policy.bucket_low, 1, NAN, "bucket_low must be greater than 0");
	RULE(policy.bucket_high, 0.6, 0.5,
		 "bucket_high must be greater than bucket_low");
	RULE(policy.bucket_high, 1e300, INFINITY,
		 "bucket_high must be greater than bucket_low");
	RULE(policy.bucket_high, 2, NAN,
		 "bucket_high must be greater than bucket_low");
	RULE(policy.window_us, 1, 0, "window must be at least 1 microsecond");
	RULE(policy.target_bytes, 1u << 20, (1u << 20) - 1,
		 "target_bytes must be at least 1 MB");
	check_passed("merge policies");
}

int
main(void)
{
	test_defaults();
	test_rules();
	test_zstd_levels();
	test_policies();
	return 0;
}
