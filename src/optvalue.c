/*-------------------------------------------------------------------------
 * optvalue.c
 *	  Values of options, from text.
 *
 * The rules are FlowDB's; sizes and times may be given with a unit as in
 * postgresql.conf, and without one they are in what the option's name says.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "fdw.h"

#define MB INT64CONST(1048576)

static const FlowdbNumber numbers[] = {
	{"memtable_size_mb", FLOW_SETTING_MEMTABLE_BYTES, GUC_UNIT_MB, 1, 1048576,
	 MB, "Give a whole number of megabytes, from 1 to 1048576."},
	{"max_frozen_memtables", FLOW_SETTING_MAX_FROZEN, 0, 1, 64, 1,
	 "Give a whole number from 1 to 64."},
	{"block_size", FLOW_SETTING_BLOCK_BYTES, GUC_UNIT_BYTE, 1024, 16 * MB, 1,
	 "Give a whole number of bytes, from 1024 to 16777216."},
	{"bloom_bits_per_key", FLOW_SETTING_BLOOM_BITS, 0, 1, 64, 1,
	 "Give a whole number from 1 to 64."},
	{"zstd_level", FLOW_SETTING_ZSTD_LEVEL, 0, 1, 22, 1,
	 "Give a whole number from 1 to 22."},
	{"default_ttl_secs", FLOW_SETTING_DEFAULT_TTL_SECS, GUC_UNIT_S, 1,
	 FLOW_MAX_TTL_SECS, 1,
	 "Give a whole number of seconds, at least 1; leave the option out for no "
	 "TTL."},
	{"compaction_threshold", FLOW_SETTING_MERGE_THRESHOLD, 0, 1, 1000000, 1,
	 "Give a whole number from 1 to 1000000."},
	{"flush_interval_ms", FLOW_SETTING_FLUSH_INTERVAL_MS, GUC_UNIT_MS, 1,
	 PG_INT32_MAX, 1, "Give a whole number of milliseconds, at least 1."},
	{"compaction_interval_ms", FLOW_SETTING_COMPACTION_INTERVAL_MS, GUC_UNIT_MS,
	 1, PG_INT32_MAX, 1, "Give a whole number of milliseconds, at least 1."},
	{"gc_interval_secs", FLOW_SETTING_GC_INTERVAL_SECS, GUC_UNIT_S, 1,
	 PG_INT32_MAX, 1, "Give a whole number of seconds, at least 1."},
};

static const char *const policy_names[] = {
	[FLOW_POLICY_STCS] = "stcs",
	[FLOW_POLICY_LCS] = "lcs",
	[FLOW_POLICY_TWCS] = "twcs",
};

static const char *const compression_names[] = {
	[FLOW_COMPRESS_NONE] = "none",
	[FLOW_COMPRESS_LZ4] = "lz4",
	[FLOW_COMPRESS_ZSTD] = "zstd",
};

static const char *const duplicate_names[] = {
	[FLOWDB_DUPLICATE_REPLACE] = "replace",
	[FLOWDB_DUPLICATE_IGNORE] = "ignore",
	[FLOWDB_DUPLICATE_ERROR] = "error",
};

static void
wrong_value(const char *name, const char *value, const char *rule)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
			 errhint("%s", rule)));
}

/* ----------------------------------------------------------------- numbers */

const FlowdbNumber *
flowdb_value_number_rule(const char *name)
{
	for (Size i = 0; i < lengthof(numbers); i++)
		if (strcmp(numbers[i].name, name) == 0)
			return &numbers[i];
	return NULL;
}

/* In units of the setting. */
int64
flowdb_value_number(const FlowdbNumber *rule, const char *value)
{
	double number;

	/* doubles are exact where the limits are */
	if (!parse_real(value, &number, rule->unit, NULL) ||
		number != rint(number) || number < (double) rule->min ||
		number > (double) rule->max)
		wrong_value(rule->name, value, rule->rule);
	return (int64) number * rule->scale;
}

bool
flowdb_value_bool(const char *name, const char *value)
{
	bool result = false;

	if (!parse_bool(value, &result))
		wrong_value(name, value, "Give \"true\" or \"false\".");
	return result;
}

/* --------------------------------------------------------------------- TTL */

#define TTL_RULE                                                           \
	"Give an interval greater than 0, for example '90 days', or 'never'; " \
	"months are 30 days long."

int64
flowdb_value_ttl(const char *name, const char *value)
{
	Interval *ttl;
	int64 days;
	int64 us;

	if (strcmp(value, "never") == 0)
		return -1;
	ttl = DatumGetIntervalP(
		DirectFunctionCall3(interval_in, CStringGetDatum(value),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	days = (int64) ttl->month * DAYS_PER_MONTH + ttl->day;
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, ttl->time, &us) || us <= 0)
		wrong_value(name, value, TTL_RULE);
	return us;
}

/* -------------------------------------------------------------------- words */

static int
find_word(const char *name, const char *value, const char *const *words,
		  int nwords, const char *rule)
{
	for (int i = 0; i < nwords; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	wrong_value(name, value, rule);
	return -1;
}

int
flowdb_value_policy(const char *name, const char *value)
{
	return find_word(name, value, policy_names, lengthof(policy_names),
					 "Merge policies are \"stcs\", \"lcs\" and \"twcs\".");
}

int
flowdb_value_compression(const char *name, const char *value)
{
	return find_word(name, value, compression_names,
					 lengthof(compression_names),
					 "Compressions are \"none\", \"lz4\" and \"zstd\".");
}

int
flowdb_value_duplicate(const char *name, const char *value)
{
	return find_word(name, value, duplicate_names, lengthof(duplicate_names),
					 "Give \"replace\", \"ignore\" or \"error\".");
}

/*
 * Column names as SQL writes them: folded to lower case unless quoted,
 * separated by commas.  NIL: not such a list, or an empty one.
 */
List *
flowdb_value_names(const char *value)
{
	List *names;

	if (!SplitIdentifierString(pstrdup(value), ',', &names))
		return NIL;
	return names;
}
