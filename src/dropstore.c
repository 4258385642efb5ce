/*-------------------------------------------------------------------------
 * dropstore.c
 *	  Stores that go with the current transaction.
 *
 * A table that does not name its store owns it: the store goes at the commit
 * of the DROP, however that came about (ddl.c sees it).  A store that has a
 * name stays, and is an orphan when no table shows it any more, until
 * flowdb_drop_store.  What is to go is kept in a list: ROLLBACK TO takes from
 * it what its level has put there, and before the commit the rest is logged
 * with the transaction's xid.  The engine does the rest when it knows that
 * the transaction has committed.
 *
 * The other way round a store that a transaction has begun for a table that
 * it made itself must not outlive them when they are rolled back.  For the
 * whole transaction the engine is told so when the store begins; when only
 * a level is rolled back, the store joins the list.
 *
 * Keeps: S4, S11, I25.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "fdw.h"
#include "flowdb_shmem.h"

/* A store that goes, or that has begun, in this transaction. */
typedef struct Change
{
	Oid serverid;
	char *store;
	SubTransactionId subid; /* whose rollback takes it back */
	bool lost;	/* its table never was: no rollback brings it back */
	bool asked; /* by flowdb_drop_store, not by a DROP */
} Change;

/* So many stores that a statement leaves behind are named one by one. */
#define MAX_KEPT_TOLD 20

/* All in TopTransactionContext. */
static List *endings;	 /* Change: stores to be dropped at the commit */
static List *beginnings; /* Change: stores of tables that are new */
static List *kept;		 /* Change: named stores of tables that were dropped */
static List *logged;	 /* FlowDb: databases whose log has our drops */
static uint64 logged_xid;
static bool committing; /* PRE_COMMIT has been */

static ProcessUtility_hook_type next_ProcessUtility;

static List *
add_change(List *list, Oid serverid, const char *store, SubTransactionId subid,
		   Change **changep)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Change *c = palloc0(sizeof(Change));

	c->serverid = serverid;
	c->store = pstrdup(store);
	c->subid = subid;
	list = lappend(list, c);
	MemoryContextSwitchTo(old);
	if (changep)
		*changep = c;
	return list;
}

static bool
is_among(List *list, Oid serverid, const char *store)
{
	ListCell *lc;

	foreach (lc, list)
	{
		const Change *c = lfirst(lc);

		if (c->serverid == serverid && strcmp(c->store, store) == 0)
			return true;
	}
	return false;
}

/* ----------------------------------------------------------- who shows a store */

/* The first of tables that shows the store; named_only: by its option. */
static const FlowdbShown *
who_shows(List *tables, const char *store, bool named_only)
{
	ListCell *lc;

	foreach (lc, tables)
	{
		const FlowdbShown *shown = lfirst(lc);

		if ((shown->named || !named_only) && strcmp(shown->store, store) == 0)
			return shown;
	}
	return NULL;
}

static void
refuse_shown(List *tables, const char *store)
{
	StringInfoData names;
	ListCell *lc;
	int n = 0;

	initStringInfo(&names);
	foreach (lc, tables)
	{
		const FlowdbShown *shown = lfirst(lc);

		if (strcmp(shown->store, store) != 0)
			continue;
		appendStringInfo(
			&names, "%s%s", n++ > 0 ? ", " : "",
			quote_qualified_identifier(
				get_namespace_name(get_rel_namespace(shown->relid)),
				get_rel_name(shown->relid)));
	}
	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop FlowDB store \"%s\" because foreign "
						"tables show it",
						store),
				 errdetail_plural("Foreign table: %s.", "Foreign tables: %s.",
								  n, names.data),
				 errhint("Drop them first.")));
}

void
flowdb_refuse_shown(Oid serverid, const char *store)
{
	refuse_shown(flowdb_catalog_tables(serverid), store);
}

/* ----------------------------------------------------------------- databases */

static bool
server_exists(Oid serverid)
{
	return SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(serverid));
}

/* The database of a server, or NULL when there is none, it is broken, or
 * nothing can be logged. */
static FlowDb *
usable_database(Oid serverid)
{
	int slot = flowdb_registry_find(MyDatabaseId, serverid);
	FlowDb *db;

	if (slot < 0)
		return NULL;
	db = flowdb_slot_handle(slot);
	return flowdb_slot_is_broken(slot) ? NULL : db;
}

/* -------------------------------------------------------------------- drops */

void
flowdb_store_ends(Oid serverid, const char *store)
{
	Change *c;

	if (is_among(endings, serverid, store))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("FlowDB store \"%s\" does not exist", store),
						errdetail("This transaction has dropped it.")));
	endings =
		add_change(endings, serverid, store, GetCurrentSubTransactionId(), &c);
	c->asked = true;
}

/* Say which named stores tables have left behind, unless their server has
 * gone too, or another table shows them. */
static void
tell_kept(void)
{
	List *changes = kept;
	List *tables = NIL;
	Oid serverid = InvalidOid;
	int n = 0;
	ListCell *lc;

	kept = NIL;
	CommandCounterIncrement();
	foreach (lc, changes)
	{
		const Change *c = lfirst(lc);
		FlowDb *db;

		if (!server_exists(c->serverid))
			continue;
		if (c->serverid != serverid)
			tables = flowdb_catalog_tables(c->serverid);
		serverid = c->serverid;
		if (who_shows(tables, c->store, false))
			continue;
		db = usable_database(c->serverid);
		if (db == NULL || flowdb_store_id(db, c->store) == 0)
			continue;
		if (++n > MAX_KEPT_TOLD)
			continue;
		ereport(NOTICE, (errmsg("FlowDB store \"%s\" keeps its rows", c->store),
						 errhint("Drop it with flowdb_drop_store(%s, %s).",
								 quote_literal_cstr(
									 GetForeignServer(c->serverid)->servername),
								 quote_literal_cstr(c->store))));
	}
	if (n > MAX_KEPT_TOLD)
		ereport(
			NOTICE,
			(errmsg("%d more FlowDB stores keep their rows", n - MAX_KEPT_TOLD),
			 errhint("They are those of flowdb_stores with \"orphan\".")));
}

/* Log a drop, unless a table shows the store all the same. */
static void
log_ending(const Change *c, List *tables)
{
	FlowDb *db;
	uint32 id;

	if (c->asked)
		refuse_shown(tables, c->store);
	else if (who_shows(tables, c->store, true))
		return;
	db = IsUnderPostmaster ? usable_database(c->serverid) : NULL;
	if (db == NULL)
	{
		ereport(WARNING,
				(errmsg("FlowDB store \"%s\" was not dropped", c->store),
				 errdetail("The FlowDB database of server \"%s\" cannot be "
						   "written.",
						   GetForeignServer(c->serverid)->servername)));
		return;
	}
	id = flowdb_store_id(db, c->store);
	if (id == 0)
		return;
	flowdb_store_drop(db, id, logged_xid, false);
	logged = list_append_unique_ptr(logged, db);
}

/* A table that another transaction is making may show a store too: wait for
 * it to have written, and keep it from doing so. */
static void
lock_endings(void)
{
	ListCell *lc;

	foreach (lc, endings)
	{
		const Change *c = lfirst(lc);
		FlowDb *db;
		uint32 id;

		if (c->asked || c->lost || !IsUnderPostmaster ||
			!server_exists(c->serverid))
			continue;
		db = usable_database(c->serverid);
		id = db ? flowdb_store_id(db, c->store) : 0;
		if (id != 0)
			flowdb_lock_store(c->serverid, id, AccessExclusiveLock);
	}
	AcceptInvalidationMessages();
}

/* PRE_COMMIT.  The catalogs are asked here and not in the hook: a table may
 * come to show a store after it was dropped. */
static void
log_endings(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Oid serverid = InvalidOid;
	List *tables = NIL;
	ListCell *lc;

	CommandCounterIncrement();
	lock_endings();
	logged_xid = U64FromFullTransactionId(GetTopFullTransactionId());
	foreach (lc, endings)
	{
		const Change *c = lfirst(lc);

		if (!server_exists(c->serverid))
			continue; /* its database goes as a whole */
		if (c->serverid != serverid)
			tables = flowdb_catalog_tables(c->serverid);
		serverid = c->serverid;
		log_ending(c, tables);
	}
	endings = NIL;
	MemoryContextSwitchTo(old);
	flowdb_debug_point("drop-logged");
}

void
flowdb_table_dropped(Oid relid)
{
	ForeignTable *ft;
	char *store;

	if (IsBinaryUpgrade || get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return;
	ft = GetForeignTable(relid);
	if (!flowdb_is_ours(ft->serverid) ||
		flowdb_registry_find(MyDatabaseId, ft->serverid) < 0)
		return;
	store = flowdb_catalog_named_store(ft->options);
	if (store && !is_among(kept, ft->serverid, store))
		kept = add_change(kept, ft->serverid, store,
						  GetCurrentSubTransactionId(), NULL);
	else if (!store)
		endings =
			add_change(endings, ft->serverid, flowdb_catalog_own_store(relid),
					   GetCurrentSubTransactionId(), NULL);
	/* ON COMMIT DROP comes after PRE_COMMIT, and may cascade to a table */
	if (committing && endings != NIL)
		log_endings();
}

/* The commit record is in the log, and we still hold our locks: whoever gets
 * them finds the names free. */
static void
tell_committed(void)
{
	ListCell *lc;

	foreach (lc, logged)
		flow_drop_committed(lfirst(lc), logged_xid);
	if (logged != NIL)
		flowdb_wake_workers();
}

/* ------------------------------------------------------------ begin and alter */

void
flowdb_store_begun(Relation rel, const FlowdbTable *table, FlowDb *db,
				   uint32 store_id)
{
	if (rel->rd_createSubid == InvalidSubTransactionId ||
		strcmp(table->store, flowdb_catalog_own_store(table->relid)) != 0)
		return;
	flowdb_store_drop(db, store_id,
					  U64FromFullTransactionId(GetTopFullTransactionId()),
					  true);
	beginnings = add_change(beginnings, table->serverid, table->store,
							rel->rd_createSubid, NULL);
}

/* An owned store that its table leaves by ALTER stays; say so. */
void
flowdb_table_altered(Oid relid)
{
	ForeignTable *ft = GetForeignTable(relid); /* as it was */
	const char *own = flowdb_catalog_own_store(relid);
	List *options;
	char *store;
	FlowDb *db;

	if (!flowdb_is_ours(ft->serverid) ||
		flowdb_catalog_named_store(ft->options) != NULL)
		return;
	(void) flowdb_catalog_written(ForeignTableRelidIndexId,
								  Anum_pg_foreign_table_ftrelid, relid,
								  Anum_pg_foreign_table_ftoptions, &options);
	store = flowdb_catalog_named_store(options);
	if (store == NULL || strcmp(store, own) == 0)
		return;
	db = usable_database(ft->serverid);
	if (db == NULL || flowdb_store_id(db, own) == 0)
		return;
	ereport(NOTICE,
			(errmsg("the store that foreign table \"%s\" had for itself keeps "
					"its rows",
					get_rel_name(relid)),
			 errhint("The view flowdb_stores lists it as an orphan; "
					 "flowdb_drop_store() drops it.")));
}

/* ----------------------------------------------------------------- callbacks */

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (kept != NIL)
				tell_kept();
			if (endings != NIL)
				log_endings();
			committing = true;
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (endings != NIL)
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("cannot PREPARE a transaction that has "
									   "dropped a FlowDB table")));
			break;
		case XACT_EVENT_COMMIT:
			tell_committed();
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			endings = beginnings = kept = logged = NIL;
			committing = false;
			break;
		default:
			break;
	}
}

/* A table that was made in the level that is rolled back never was. */
static void
abort_beginnings(SubTransactionId subid, SubTransactionId parent)
{
	ListCell *lc;

	foreach (lc, beginnings)
	{
		const Change *b = lfirst(lc);
		Change *c;

		if (b->subid != subid)
			continue;
		endings = add_change(endings, b->serverid, b->store, parent, &c);
		c->lost = true;
		beginnings = foreach_delete_current (beginnings, lc);
	}
}

static void
abort_endings(SubTransactionId subid, SubTransactionId parent)
{
	ListCell *lc;

	foreach (lc, endings)
	{
		Change *c = lfirst(lc);

		if (c->subid != subid)
			continue;
		if (c->lost)
			c->subid = parent;
		else
			endings = foreach_delete_current (endings, lc);
	}
}

static void
commit_changes(List *changes, SubTransactionId subid, SubTransactionId parent)
{
	ListCell *lc;

	foreach (lc, changes)
	{
		Change *c = lfirst(lc);

		if (c->subid == subid)
			c->subid = parent;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		kept = NIL; /* of a command that has failed */
		abort_endings(mySubid, parentSubid);
		abort_beginnings(mySubid, parentSubid);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		commit_changes(endings, mySubid, parentSubid);
		commit_changes(beginnings, mySubid, parentSubid);
	}
}

/* When a command is done it is known whether the server went too. */
static void
utility_hook(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *query_env, DestReceiver *dest,
			 QueryCompletion *qc)
{
	bool drops = IsA(pstmt->utilityStmt, DropStmt) ||
				 IsA(pstmt->utilityStmt, DropOwnedStmt);

	if (next_ProcessUtility)
		next_ProcessUtility(pstmt, query_string, read_only_tree, context,
							params, query_env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
								params, query_env, dest, qc);
	if (drops && kept != NIL)
		tell_kept();
}

void
flowdb_dropstore_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
