/*-------------------------------------------------------------------------
 * roles.c
 *	  What a foreign table's columns are for: key, time, expiry, values.
 *
 * Roles come from column options, from table options (PARTITION OF takes no
 * column options), or, when there is neither, from the names key, ts and
 * expire_at.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "rights.h"
#include "schema.h"

/* Where the roles of a table came from, while they are worked out. */
typedef struct Roles
{
	Relation rel;
	List *keys; /* of int, attnums */
	AttrNumber time;
	AttrNumber expire;
	bool by_name;
	bool wrong; /* an error was passed over: see wrong_level */
	int elevel; /* for what may still come by ALTER: ERROR, or less */
} Roles;

static const char *
column_name(Relation rel, AttrNumber attnum)
{
	return NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);
}

static AttrNumber
find_column(Relation rel, const char *name)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return 0;
}

/* The level of what makes no sense: whoever only tries gets no roles, so that
 * ALTER can put right what it complains about. */
static int
wrong_level(Roles *roles)
{
	if (roles->elevel >= NOTICE)
		return ERROR;
	roles->wrong = true;
	return roles->elevel;
}

/* Note that attnum has the role, which only one column may have. */
static void
set_single(Roles *roles, AttrNumber *placep, AttrNumber attnum, FlowdbRole role)
{
	if (*placep != 0 && *placep != attnum)
		ereport(
			wrong_level(roles),
			(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
			 errmsg("columns \"%s\" and \"%s\" of foreign table \"%s\" both "
					"have the role \"%s\"",
					column_name(roles->rel, *placep),
					column_name(roles->rel, attnum),
					RelationGetRelationName(roles->rel),
					flowdb_option_role_name(role)),
			 errhint("Leave the role to one of them.")));
	*placep = attnum;
}

static void
roles_from_columns(Roles *roles)
{
	TupleDesc desc = RelationGetDescr(roles->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		AttrNumber attnum = (AttrNumber) (i + 1);
		FlowdbRole role;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		role = flowdb_option_role(
			GetForeignColumnOptions(RelationGetRelid(roles->rel), attnum));
		if (role == FLOWDB_ROLE_KEY)
			roles->keys = lappend_int(roles->keys, attnum);
		else if (role == FLOWDB_ROLE_TIME)
			set_single(roles, &roles->time, attnum, role);
		else if (role == FLOWDB_ROLE_EXPIRE)
			set_single(roles, &roles->expire, attnum, role);
	}
}

static AttrNumber
named_column(Roles *roles, const char *option, const char *name)
{
	AttrNumber attnum = find_column(roles->rel, name);

	if (attnum == 0)
		ereport(wrong_level(roles),
				(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
				 errmsg("column \"%s\" named in option \"%s\" of foreign "
						"table \"%s\" does not exist",
						name, option, RelationGetRelationName(roles->rel)),
				 errhint("Correct the option with ALTER FOREIGN TABLE ... "
						 "OPTIONS (SET %s '...').",
						 option)));
	return attnum;
}

static void
roles_from_options(Roles *roles, const FlowdbTableOptions *opts)
{
	List *keys = NIL;
	ListCell *lc;

	foreach (lc, opts->key_columns)
		keys =
			lappend_int(keys, named_column(roles, "key_columns", lfirst(lc)));
	if (keys != NIL && roles->keys != NIL && !equal(keys, roles->keys))
		ereport(wrong_level(roles),
				(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
				 errmsg("option \"key_columns\" of foreign table \"%s\" "
						"contradicts the roles of its columns",
						RelationGetRelationName(roles->rel)),
				 errhint("Give the key by column options or by the table "
						 "option, not both.")));
	if (keys != NIL)
		roles->keys = keys;
	if (opts->time_column)
		set_single(roles, &roles->time,
				   named_column(roles, "time_column", opts->time_column),
				   FLOWDB_ROLE_TIME);
	if (opts->expire_column)
		set_single(roles, &roles->expire,
				   named_column(roles, "expire_column", opts->expire_column),
				   FLOWDB_ROLE_EXPIRE);
}

static void
roles_from_names(Roles *roles)
{
	AttrNumber key = find_column(roles->rel, "key");

	if (key != 0)
		roles->keys = list_make1_int(key);
	roles->time = find_column(roles->rel, "ts");
	roles->expire = find_column(roles->rel, "expire_at");
	roles->by_name = true;
}

static void
check_one_role_each(Roles *roles)
{
	AttrNumber twice = 0;

	if (roles->time != 0 && list_member_int(roles->keys, roles->time))
		twice = roles->time;
	else if (roles->expire != 0 &&
			 (list_member_int(roles->keys, roles->expire) ||
			  roles->expire == roles->time))
		twice = roles->expire;
	if (twice != 0)
		ereport(wrong_level(roles),
				(errcode(ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION),
				 errmsg("column \"%s\" of foreign table \"%s\" has two roles",
						column_name(roles->rel, twice),
						RelationGetRelationName(roles->rel)),
				 errhint("A column is part of the key, the time, the expiry "
						 "or a value.")));
}

/*
 * Complain about a column's type.  When the role follows from nothing but
 * the column's name, an explicit role may still come: only a NOTICE then.
 */
static void
wrong_type(Roles *roles, AttrNumber attnum, FlowdbRole role,
		   const char *allowed)
{
	Form_pg_attribute att =
		TupleDescAttr(RelationGetDescr(roles->rel), attnum - 1);

	ereport(roles->by_name ? roles->elevel : wrong_level(roles),
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" of foreign table \"%s\" has type %s, which "
					"cannot have the role \"%s\"",
					NameStr(att->attname), RelationGetRelationName(roles->rel),
					format_type_with_typemod(att->atttypid, att->atttypmod),
					flowdb_option_role_name(role)),
			 roles->by_name
				 ? errhint("The role follows from the column's name because "
						   "no column has an explicit one.  Types allowed: %s.",
						   allowed)
				 : errhint("Types allowed: %s.", allowed)));
}

static Oid
base_type(Roles *roles, AttrNumber attnum)
{
	return getBaseType(
		TupleDescAttr(RelationGetDescr(roles->rel), attnum - 1)->atttypid);
}

/* What has a role is stored in each row; false after a NOTICE. */
static bool
is_stored(Roles *roles, AttrNumber attnum, FlowdbRole role)
{
	Form_pg_attribute att =
		TupleDescAttr(RelationGetDescr(roles->rel), attnum - 1);

	if (!FLOWDB_IS_VIRTUAL(att))
		return true;
	ereport(roles->by_name ? roles->elevel : wrong_level(roles),
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("virtual generated column \"%s\" of foreign table \"%s\" "
					"cannot have the role \"%s\"",
					NameStr(att->attname), RelationGetRelationName(roles->rel),
					flowdb_option_role_name(role)),
			 errhint("Make it a STORED one.")));
	return false;
}

/* Type of a time or expiry column; false after a NOTICE. */
static bool
time_type(Roles *roles, AttrNumber attnum, FlowdbRole role,
		  FlowdbTimeType *typep)
{
	if (!is_stored(roles, attnum, role))
		return false;
	if (flowdb_time_type(base_type(roles, attnum), typep))
		return true;
	wrong_type(roles, attnum, role, flowdb_time_types_allowed());
	return false;
}

static bool
key_type(Roles *roles, AttrNumber attnum, FlowdbKeyType *typep)
{
	if (!is_stored(roles, attnum, FLOWDB_ROLE_KEY))
		return false;
	if (flowdb_key_type(base_type(roles, attnum), typep))
		return true;
	wrong_type(roles, attnum, FLOWDB_ROLE_KEY, flowdb_key_types_allowed());
	return false;
}

/*
 * The table's TTL, or its server's.  A TTL counts from the row's time: a
 * table without one takes none, and the server's is not for it.
 */
static void
set_ttl(Roles *roles, const FlowdbTableOptions *opts, FlowdbTable *table)
{
	FlowSettings settings;

	if (opts->has_ttl && opts->ttl_us >= 0 && table->time_attnum == 0)
		ereport(roles->elevel,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("foreign table \"%s\" has a TTL, but no time column",
						RelationGetRelationName(roles->rel)),
				 errdetail("A TTL counts from the time of a row."),
				 errhint("Give a column OPTIONS (role 'time'), or a column "
						 "the role \"expire_at\" instead of the TTL.")));
	if (table->time_attnum == 0)
		return;
	if (opts->has_ttl)
	{
		table->has_ttl = opts->ttl_us >= 0;
		table->ttl_us = Max(opts->ttl_us, 0);
		return;
	}
	flowdb_option_server(GetForeignServer(table->serverid)->options, &settings);
	table->has_ttl =
		(settings.given & 1u << FLOW_SETTING_DEFAULT_TTL_SECS) != 0;
	table->ttl_us =
		table->has_ttl
			? settings.value[FLOW_SETTING_DEFAULT_TTL_SECS] * USECS_PER_SEC
			: 0;
}

int64
flowdb_row_expiry(const FlowdbTable *table, int64 ts)
{
	int64 expire_at;

	if (!table->has_ttl || pg_add_s64_overflow(ts, table->ttl_us, &expire_at))
		return FLOW_NEVER;
	return expire_at;
}

/* Roles into a FlowdbTable; NULL after a NOTICE. */
static FlowdbTable *
make_table(Roles *roles, Oid serverid, const FlowdbTableOptions *opts)
{
	int nkeys = list_length(roles->keys);
	FlowdbTable *table =
		palloc0(offsetof(FlowdbTable, keys) + sizeof(FlowdbKeyColumn) * nkeys);
	bool ok = true;

	table->relid = RelationGetRelid(roles->rel);
	table->serverid = serverid;
	table->owned = opts->store == NULL;
	table->on_duplicate = (FlowdbOnDuplicate) opts->on_duplicate;
	table->merge_policy = opts->merge_policy;
	strlcpy(table->store,
			opts->store ? opts->store : flowdb_catalog_own_store(table->relid),
			sizeof(table->store));
	table->nkeys = nkeys;
	for (int i = 0; i < nkeys; i++)
	{
		table->keys[i].attnum = (AttrNumber) list_nth_int(roles->keys, i);
		ok &= key_type(roles, table->keys[i].attnum, &table->keys[i].type);
	}
	table->time_attnum = roles->time;
	if (roles->time != 0)
		ok &=
			time_type(roles, roles->time, FLOWDB_ROLE_TIME, &table->time_type);
	table->expire_attnum = roles->expire;
	if (roles->expire != 0)
		ok &= time_type(roles, roles->expire, FLOWDB_ROLE_EXPIRE,
						&table->expire_type);
	if (!ok)
		return NULL;
	set_ttl(roles, opts, table);
	return table;
}

FlowdbTable *
flowdb_roles_resolve(Relation rel, int elevel)
{
	ForeignTable *ft = GetForeignTable(RelationGetRelid(rel));
	Roles roles = {.rel = rel, .elevel = elevel};
	FlowdbTableOptions opts;

	flowdb_option_table(ft->options, &opts);
	if (opts.store && elevel >= NOTICE)
		flowdb_rights_check_store(RelationGetRelid(rel), ft->serverid,
								  opts.store);
	roles_from_columns(&roles);
	roles_from_options(&roles, &opts);
	if (roles.keys == NIL && roles.time == 0 && roles.expire == 0)
		roles_from_names(&roles);
	if (!roles.wrong)
		check_one_role_each(&roles);
	if (roles.wrong)
		return NULL;
	if (roles.keys == NIL)
	{
		ereport(elevel,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("foreign table \"%s\" has no key column",
						RelationGetRelationName(rel)),
				 errhint("Give a column OPTIONS (role 'key'), or the table "
						 "OPTIONS (key_columns '...').")));
		return NULL;
	}
	return make_table(&roles, ft->serverid, &opts);
}

bool
flowdb_is_role_column(const FlowdbTable *table, AttrNumber attnum)
{
	if (attnum == table->time_attnum || attnum == table->expire_attnum)
		return true;
	for (int i = 0; i < table->nkeys; i++)
		if (table->keys[i].attnum == attnum)
			return true;
	return false;
}
