/*-------------------------------------------------------------------------
 * alter.c
 *	  What CREATE, ALTER and RENAME do to foreign tables of ours.
 *
 * Core knows of no rows behind a foreign table, so it changes the catalogs
 * and is done.  The hook here compares the columns before and after the
 * statement (altercolumns.c), whatever its form was, also where it came down
 * from a parent.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "alter.h"
#include "catalog.h"
#include "schema.h"

static ProcessUtility_hook_type next_ProcessUtility = NULL;

/* ------------------------------------------------------------------ before */

/*
 * Tables of ours among the relation and what inherits from it, locked as the
 * statement will lock them: nobody changes them before it does.  Whoever may
 * not run the statement gets no lock; core tells him.  alter: NULL, it is a
 * RENAME.
 */
static List *
look_at_tree(RangeVar *rv, LOCKMODE mode, const AlterTableStmt *alter)
{
	Oid top = RangeVarGetRelid(rv, NoLock, true);
	List *result = NIL;
	List *relids;
	ListCell *lc;
	bool locked = false;

	if (!OidIsValid(top) || !FLOWDB_OWNS_RELATION(top, GetUserId()))
		return NIL;
	relids = find_all_inheritors(top, NoLock, NULL);
	foreach (lc, relids)
	{
		Oid relid = lfirst_oid(lc);

		if (!flowdb_owns_relation(relid))
			continue;
		if (!locked)
			LockRelationOid(top, mode);
		locked = true;
		LockRelationOid(relid, mode);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) &&
			flowdb_owns_relation(relid))
			result = lappend(result, flowdb_alter_begin(relid, alter));
	}
	return result;
}

/* -------------------------------------------------------------------- hook */

static bool
changes_type(const AlterTableStmt *alter)
{
	ListCell *lc;

	foreach (lc, alter->cmds)
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_AlterColumnType)
			return true;
	return false;
}

/* Also of what inherits: a table's row type changes with it. */
static void
check_composite(RangeVar *rv)
{
	Oid top = RangeVarGetRelid(rv, NoLock, true);
	ListCell *lc;

	if (!OidIsValid(top) || !FLOWDB_OWNS_RELATION(top, GetUserId()))
		return;
	foreach (lc, find_all_inheritors(top, NoLock, NULL))
		flowdb_alter_check_composite(lfirst_oid(lc));
}

static List *
before_statement(Node *stmt)
{
	if (IsA(stmt, AlterTableStmt))
	{
		AlterTableStmt *alter = (AlterTableStmt *) stmt;

		if (changes_type(alter))
			check_composite(alter->relation);
		if (alter->objtype == OBJECT_TABLE ||
			alter->objtype == OBJECT_FOREIGN_TABLE)
			return look_at_tree(alter->relation,
								AlterTableGetLockLevel(alter->cmds), alter);
	}
	if (IsA(stmt, RenameStmt) &&
		((RenameStmt *) stmt)->renameType == OBJECT_COLUMN)
		return look_at_tree(((RenameStmt *) stmt)->relation,
							AccessExclusiveLock, NULL);
	return NIL;
}

static void
after_create(CreateForeignTableStmt *stmt)
{
	RangeVar *rv = stmt->base.relation;
	Oid relid =
		get_relname_relid(rv->relname, RangeVarGetCreationNamespace(rv));
	FlowdbTableOptions opts;

	/* IF NOT EXISTS may have found one of others, who may be about to drop
	 * it */
	if (!OidIsValid(relid) || !flowdb_catalog_uncommitted(RELOID, relid) ||
		!flowdb_owns_relation(relid))
		return;
	flowdb_check_table(relid);
	flowdb_option_table(GetForeignTable(relid)->options, &opts);
	if (opts.merge_policy >= 0)
		flowdb_options_note_table(relid);
}

static void
after_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server && flowdb_is_ours(server->serverid))
		flowdb_options_note_server(server->serverid);
}

static void
after_statement(Node *stmt, List *before)
{
	ListCell *lc;

	if (IsA(stmt, CreateForeignTableStmt))
		after_create((CreateForeignTableStmt *) stmt);
	else if (IsA(stmt, CreateForeignServerStmt))
	{
		if (((CreateForeignServerStmt *) stmt)->options != NIL)
			after_server(((CreateForeignServerStmt *) stmt)->servername);
	}
	else if (IsA(stmt, AlterForeignServerStmt))
	{
		if (((AlterForeignServerStmt *) stmt)->options != NIL)
			after_server(((AlterForeignServerStmt *) stmt)->servername);
	}
	foreach (lc, before)
		flowdb_alter_end(lfirst(lc));
}

static bool
is_interesting(Node *stmt)
{
	return IsA(stmt, CreateForeignTableStmt) || IsA(stmt, AlterTableStmt) ||
		   IsA(stmt, RenameStmt) || IsA(stmt, CreateForeignServerStmt) ||
		   IsA(stmt, AlterForeignServerStmt);
}

/*
 * Core makes an ALTER of its own out of each column's options in a CREATE
 * FOREIGN TABLE: until the last one, the table may seem to lack a role.
 */
static bool creating;

static void
utility_hook(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *query_env, DestReceiver *dest,
			 QueryCompletion *qc)
{
	Node *stmt = pstmt->utilityStmt;
	bool part = creating && context == PROCESS_UTILITY_SUBCOMMAND;
	bool look = is_interesting(stmt) && !part;
	bool outer = creating;
	List *before = NIL;

	if (look)
	{
		stmt = copyObject(stmt); /* core may scribble on it */
		before = before_statement(stmt);
	}
	creating = part || IsA(stmt, CreateForeignTableStmt);
	PG_TRY();
	{
		(next_ProcessUtility ? next_ProcessUtility : standard_ProcessUtility)(
			pstmt, query_string, read_only_tree, context, params, query_env,
			dest, qc);
	}
	PG_FINALLY();
	{
		creating = outer;
	}
	PG_END_TRY();
	if (!look)
		return;
	CommandCounterIncrement();
	after_statement(stmt, before);
}

void
flowdb_alter_init(void)
{
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
