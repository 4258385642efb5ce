/*-------------------------------------------------------------------------
 * option.c
 *	  The table of options, and the validator behind CREATE and ALTER.
 *
 * The validator sees one list of options at a time and no column types; what
 * takes more to judge is judged in schema.c.
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
#include "utils/varlena.h"

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

static const Option options_known[] = {
	{"store", ForeignTableRelationId, check_store},
	{"key_columns", ForeignTableRelationId, check_columns},
	{"time_column", ForeignTableRelationId, check_column},
	{"expire_column", ForeignTableRelationId, check_column},
	{"role", AttributeRelationId, check_role},
};

/* FlowDB's own settings that PostgreSQL's log makes void. */
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

/*
 * Column names as SQL writes them: folded to lower case unless quoted,
 * separated by commas.  NIL: not such a list, or an empty one.
 */
static List *
parse_names(const char *value)
{
	List *names;

	if (!SplitIdentifierString(pstrdup(value), ',', &names))
		return NIL;
	return names;
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
	List *names = parse_names(value);

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
	if (list_length(parse_names(value)) != 1)
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
	PG_RETURN_VOID();
}

/* Options that passed the validator, taken apart. */
void
flowdb_option_table(List *options, FlowdbTableOptions *opts)
{
	ListCell *lc;

	memset(opts, 0, sizeof(*opts));
	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		char *value = defGetString(def);

		if (strcmp(def->defname, "store") == 0)
			opts->store = value;
		else if (strcmp(def->defname, "key_columns") == 0)
			opts->key_columns = parse_names(value);
		else if (strcmp(def->defname, "time_column") == 0)
			opts->time_column = linitial(parse_names(value));
		else if (strcmp(def->defname, "expire_column") == 0)
			opts->expire_column = linitial(parse_names(value));
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
