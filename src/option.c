/*-------------------------------------------------------------------------
 * option.c
 *	  The table of options, and the validator behind CREATE and ALTER.
 *
 * The validator sees one list of options at a time and no column types; what
 * takes more to judge is judged in roles.c.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "datadir.h"
#include "fdw.h"

PG_FUNCTION_INFO_V1(flowdb_fdw_validator);

typedef void (*CheckFn)(const char *name, const char *value);

typedef struct Option
{
	const char *name;
	Oid context; /* catalog it belongs to */
	CheckFn check;
} Option;

static void check_store(const char *name, const char *value);
static void check_columns(const char *name, const char *value);
static void check_column(const char *name, const char *value);
static void check_role(const char *name, const char *value);
static void check_number(const char *name, const char *value);
static void check_bool(const char *name, const char *value);
static void check_create(const char *name, const char *value);
static void check_ttl(const char *name, const char *value);
static void check_policy(const char *name, const char *value);
static void check_compression(const char *name, const char *value);
static void check_duplicate(const char *name, const char *value);

static const Option options_known[] = {
	{"store", ForeignTableRelationId, check_store},
	{"key_columns", ForeignTableRelationId, check_columns},
	{"time_column", ForeignTableRelationId, check_column},
	{"expire_column", ForeignTableRelationId, check_column},
	{"ttl", ForeignTableRelationId, check_ttl},
	{"default_ttl_secs", ForeignTableRelationId, check_number},
	{"on_duplicate", ForeignTableRelationId, check_duplicate},
	{"merge_policy", ForeignTableRelationId, check_policy},
	{"role", AttributeRelationId, check_role},
	{FLOWDB_DATA_DIR_OPTION, ForeignServerRelationId, flowdb_datadir_check},
	{"create_if_missing", ForeignServerRelationId, check_create},
	{"default_ttl_secs", ForeignServerRelationId, check_number},
	{"memtable_size_mb", ForeignServerRelationId, check_number},
	{"max_frozen_memtables", ForeignServerRelationId, check_number},
	{"block_size", ForeignServerRelationId, check_number},
	{"bloom_bits_per_key", ForeignServerRelationId, check_number},
	{"flush_compression", ForeignServerRelationId, check_compression},
	{"compaction_compression", ForeignServerRelationId, check_compression},
	{"zstd_level", ForeignServerRelationId, check_number},
	{"merge_policy", ForeignServerRelationId, check_policy},
	{"compaction_threshold", ForeignServerRelationId, check_number},
	{"auto_background", ForeignServerRelationId, check_bool},
	{"flush_interval_ms", ForeignServerRelationId, check_number},
	{"compaction_interval_ms", ForeignServerRelationId, check_number},
	{"gc_interval_secs", ForeignServerRelationId, check_number},
};

/* FlowDB's own settings that mean nothing inside the server. */
static const struct
{
	const char *name;
	const char *hint;
} options_refused[] = {
	{"wal_sync_mode",
	 "FlowDB writes into PostgreSQL's own log: use the setting "
	 "\"synchronous_commit\"."},
	{"wal_segment_size_mb",
	 "FlowDB writes into PostgreSQL's own log: its segment size is the "
	 "server's \"wal_segment_size\", chosen by initdb."},
	{"time_bucket_secs",
	 "There is no index by buckets of time: files and their blocks carry their "
	 "own bounds of time."},
	{"index_memory_budget_mb",
	 "Memory is that of the setting \"flowdb.shared_memory\"."},
	{"block_cache_capacity_mb",
	 "All servers share one block cache: use the setting "
	 "\"flowdb.block_cache\"."},
	{"storage_backend", "A server's data is a directory."},
	{"compression", "Use the options \"flush_compression\" and "
					"\"compaction_compression\"."},
};

static const char *const role_names[] = {
	[FLOWDB_ROLE_VALUE] = "value",
	[FLOWDB_ROLE_KEY] = "key",
	[FLOWDB_ROLE_TIME] = "time",
	[FLOWDB_ROLE_EXPIRE] = "expire_at",
};

const char *
flowdb_option_role_name(FlowdbRole role)
{
	return role_names[role];
}

static FlowdbRole
parse_role(const char *value)
{
	for (int i = FLOWDB_ROLE_KEY; i < (int) lengthof(role_names); i++)
		if (strcmp(value, role_names[i]) == 0)
			return (FlowdbRole) i;
	return FLOWDB_ROLE_VALUE;
}

static void
check_store(const char *name, const char *value)
{
	Size len = strlen(value);

	if (len == 0 || len > FLOW_MAX_STORE_NAME)
		ereport(
			ERROR,
			(errcode(ERRCODE_FDW_INVALID_STRING_LENGTH_OR_BUFFER_LENGTH),
			 errmsg("invalid value for option \"%s\": %zu bytes", name, len),
			 errhint("The name of a store has 1 to %u bytes.",
					 FLOW_MAX_STORE_NAME)));
}

static void
check_columns(const char *name, const char *value)
{
	List *names = flowdb_value_names(value);

	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give column names separated by commas, for example "
						 "'host,region'.")));
	for (int i = 1; i < list_length(names); i++)
		for (int j = 0; j < i; j++)
			if (strcmp(list_nth(names, i), list_nth(names, j)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						 errmsg("column \"%s\" appears twice in option \"%s\"",
								(char *) list_nth(names, i), name),
						 errhint("Name each column once.")));
}

static void
check_column(const char *name, const char *value)
{
	if (list_length(flowdb_value_names(value)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Give the name of one column.")));
}

static void
check_role(const char *name, const char *value)
{
	if (parse_role(value) == FLOWDB_ROLE_VALUE)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errhint("Roles are \"key\", \"time\" and \"expire_at\"; a "
						 "column without a role holds values.")));
}

static void
check_number(const char *name, const char *value)
{
	(void) flowdb_value_number(flowdb_value_number_rule(name), value);
}

static void
check_bool(const char *name, const char *value)
{
	(void) flowdb_value_bool(name, value);
}

/* CREATE SERVER is what makes a database; nothing else ever does. */
static void
check_create(const char *name, const char *value)
{
	if (!flowdb_value_bool(name, value))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"%s\" cannot be false", name),
				 errhint("CREATE SERVER makes an empty database; a missing "
						 "one is made by flowdb_create_database() only.")));
}

static void
check_ttl(const char *name, const char *value)
{
	(void) flowdb_value_ttl(name, value);
}

static void
check_policy(const char *name, const char *value)
{
	(void) flowdb_value_policy(name, value);
}

static void
check_compression(const char *name, const char *value)
{
	(void) flowdb_value_compression(name, value);
}

static void
check_duplicate(const char *name, const char *value)
{
	(void) flowdb_value_duplicate(name, value);
}

/* Options that are fine alone, but not together. */
static void
check_together(List *options)
{
	bool ttl = false;
	bool secs = false;
	ListCell *lc;

	foreach (lc, options)
	{
		const char *name = lfirst_node(DefElem, lc)->defname;

		ttl |= strcmp(name, "ttl") == 0;
		secs |= strcmp(name, "default_ttl_secs") == 0;
	}
	if (ttl && secs)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("options \"ttl\" and \"default_ttl_secs\" exclude "
						"each other"),
				 errhint("Give one of them.")));
}

/*
 * Raise the error for an option nobody knows here, naming the nearest one
 * that is right, or all of them.
 */
static void
unknown_option(const char *name, Oid context)
{
	const char *nearest = NULL;
	int nearest_distance = 5; /* farther than that is no typing error */
	StringInfoData valid;

	for (Size i = 0; i < lengthof(options_refused); i++)
		if (context == ForeignServerRelationId &&
			strcmp(name, options_refused[i].name) == 0)
			ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
							errmsg("invalid option \"%s\"", name),
							errhint("%s", options_refused[i].hint)));

	initStringInfo(&valid);
	for (Size i = 0; i < lengthof(options_known); i++)
	{
		const Option *opt = &options_known[i];
		int distance;

		if (opt->context != context)
			continue;
		appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", opt->name);
		if (nearest_distance > 0 && strlen(name) >= 3 &&
			strstr(opt->name, name))
		{
			nearest = opt->name; /* it is only the unit that is missing */
			nearest_distance = 0;
		}
		if (strlen(name) >= NAMEDATALEN)
			continue; /* varstr_levenshtein's cost is quadratic */
		distance = varstr_levenshtein_less_equal(
			name, (int) strlen(name), opt->name, (int) strlen(opt->name), 1, 1,
			1, nearest_distance, true);
		if (distance < nearest_distance && distance <= (int) strlen(name) / 2)
		{
			nearest = opt->name;
			nearest_distance = distance;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 nearest ? errhint("Perhaps you meant the option \"%s\".", nearest)
			 : valid.len > 0
				 ? errhint("Valid options in this context are: %s", valid.data)
				 : errhint("There are no valid options in this context.")));
}

/*
 * flowdb_fdw_validator(options text[], catalog oid)
 *		Called by CREATE and ALTER of wrapper, server, user mapping, foreign
 *		table and column, also without any option.
 */
Datum
flowdb_fdw_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid context = PG_GETARG_OID(1);
	ListCell *lc;

	if (context == ForeignServerRelationId)
		flowdb_require_preload();
	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		const Option *found = NULL;

		for (Size i = 0; i < lengthof(options_known) && !found; i++)
			if (options_known[i].context == context &&
				strcmp(options_known[i].name, def->defname) == 0)
				found = &options_known[i];
		if (!found)
			unknown_option(def->defname, context);
		found->check(def->defname, defGetString(def));
	}
	check_together(options);
	PG_RETURN_VOID();
}

/* A wrapper may have no validator, and these are used as they are. */
static List *
checked_columns(const char *name, const char *value)
{
	check_columns(name, value);
	return flowdb_value_names(value);
}

static char *
checked_column(const char *name, const char *value)
{
	check_column(name, value);
	return linitial(flowdb_value_names(value));
}

/* Options, mostly ones that passed the validator, taken apart. */
void
flowdb_option_table(List *options, FlowdbTableOptions *opts)
{
	ListCell *lc;

	memset(opts, 0, sizeof(*opts));
	opts->merge_policy = -1;
	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		char *value = defGetString(def);

		if (strcmp(def->defname, "store") == 0)
			opts->store = value;
		else if (strcmp(def->defname, "key_columns") == 0)
			opts->key_columns = checked_columns(def->defname, value);
		else if (strcmp(def->defname, "time_column") == 0)
			opts->time_column = checked_column(def->defname, value);
		else if (strcmp(def->defname, "expire_column") == 0)
			opts->expire_column = checked_column(def->defname, value);
		else if (strcmp(def->defname, "ttl") == 0)
		{
			opts->has_ttl = true;
			opts->ttl_us = flowdb_value_ttl(def->defname, value);
		}
		else if (strcmp(def->defname, "default_ttl_secs") == 0)
		{
			opts->has_ttl = true;
			opts->ttl_us = flowdb_value_number(
							   flowdb_value_number_rule(def->defname), value) *
						   USECS_PER_SEC;
		}
		else if (strcmp(def->defname, "on_duplicate") == 0)
			opts->on_duplicate = flowdb_value_duplicate(def->defname, value);
		else if (strcmp(def->defname, "merge_policy") == 0)
			opts->merge_policy = flowdb_value_policy(def->defname, value);
	}
}

static void
give(FlowSettings *settings, FlowSetting which, int64 value)
{
	settings->given |= 1u << which;
	settings->value[which] = value;
}

void
flowdb_option_server(List *options, FlowSettings *settings)
{
	ListCell *lc;

	memset(settings, 0, sizeof(*settings));
	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		const char *name = def->defname;
		const FlowdbNumber *number = flowdb_value_number_rule(name);
		char *value = defGetString(def);

		if (number)
			give(settings, number->setting, flowdb_value_number(number, value));
		else if (strcmp(name, "merge_policy") == 0)
			give(settings, FLOW_SETTING_POLICY,
				 flowdb_value_policy(name, value));
		else if (strcmp(name, "flush_compression") == 0)
			give(settings, FLOW_SETTING_FLUSH_COMPRESSION,
				 flowdb_value_compression(name, value));
		else if (strcmp(name, "compaction_compression") == 0)
			give(settings, FLOW_SETTING_MERGE_COMPRESSION,
				 flowdb_value_compression(name, value));
		else if (strcmp(name, "auto_background") == 0)
			give(settings, FLOW_SETTING_AUTO_BACKGROUND,
				 flowdb_value_bool(name, value));
	}
}

/* The role among a column's options. */
FlowdbRole
flowdb_option_role(List *options)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "role") == 0)
			return parse_role(defGetString(def));
	}
	return FLOWDB_ROLE_VALUE;
}
