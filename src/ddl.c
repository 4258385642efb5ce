/*-------------------------------------------------------------------------
 * ddl.c
 *	  CREATE SERVER makes a database, DROP SERVER and DROP DATABASE mark it
 *	  as dropped: seen by object_access_hook, which core calls in the middle
 *	  of the command.  The same hook sees base backups begin (backup.c), and
 *	  foreign tables go or change their store (dropstore.c).
 *
 * Both are logged with the full xid of their (sub)transaction; what becomes
 * of it decides later (registry.c).  Keeps: S10, S11.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "datadir.h"

static object_access_hook_type prev_object_access;

bool
flowdb_is_our_wrapper(Oid fdwid)
{
	ForeignDataWrapper *fdw = GetForeignDataWrapper(fdwid);
	HeapTuple tuple;
	Datum symbol;
	bool isnull;
	bool result;

	if (!OidIsValid(fdw->fdwhandler))
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fdw->fdwhandler));
	if (!HeapTupleIsValid(tuple))
		return false;
	symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	result = !isnull &&
			 strcmp(TextDatumGetCString(symbol), "flowdb_fdw_handler") == 0;
	ReleaseSysCache(tuple);
	return result;
}

/* Wrapper of a server whose row this command has just written, and its
 * data_dir as *dirp, "" for none. */
static Oid
new_servers_wrapper(Oid serverid, const char **dirp)
{
	List *options;
	HeapTuple tuple = flowdb_catalog_written(
		ForeignServerOidIndexId, Anum_pg_foreign_server_oid, serverid,
		Anum_pg_foreign_server_srvoptions, &options);

	*dirp = flowdb_datadir_option(options);
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	return ((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw;
}

/*
 * No checkpoint may begin between the log record and the registry file: its
 * redo would start behind the record and find no file.
 */
static void
create_database(Oid serverid, const char *dir)
{
	FlowdbEntry entry = {0};

	/* the restore of pg_upgrade: an empty database in the place of the old
	 * one would be taken for it */
	if (IsBinaryUpgrade)
		return;
	flowdb_require_preload();
	/* it becomes a path: the catalog's word alone is not enough */
	if (dir[0] != '\0')
		flowdb_datadir_check(FLOWDB_DATA_DIR_OPTION, dir);
	strlcpy(entry.path, dir, sizeof(entry.path));
	entry.dboid = MyDatabaseId;
	entry.serverid = serverid;
	entry.create_xid = U64FromFullTransactionId(GetCurrentFullTransactionId());
	if (!pg_strong_random(&entry.identity, sizeof(entry.identity)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate a random identity")));

	flowdb_registry_reserve(&entry);
	MyProc->delayChkptFlags |= DELAY_CHKPT_START;
	PG_TRY();
	{
		flowdb_datadir_require_free(&entry);
		/* an xid that no surviving WAL names would be given out again */
		XLogFlush(flowdb_log_create(&entry));
		flowdb_debug_point("create-logged");
		flowdb_registry_create(&entry);
	}
	PG_FINALLY();
	{
		MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
		flowdb_registry_release(&entry);
	}
	PG_END_TRY();
}

void
flowdb_ddl_make_database(Oid serverid)
{
	ForeignServer *server = GetForeignServer(serverid);

	/* one whose transaction was rolled back is none */
	flowdb_registry_settle();
	if (flowdb_registry_find(MyDatabaseId, serverid) >= 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_DATABASE),
						errmsg("server \"%s\" has a FlowDB database already",
							   server->servername)));
	create_database(serverid, flowdb_datadir_option(server->options));
}

/* A server's files stay where they are. */
static void
refuse_other_directory(Oid serverid, const char *dir)
{
	char there[NAMEDATALEN];

	if (!flowdb_registry_data_dir(MyDatabaseId, serverid, there) ||
		strcmp(there, dir) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("option \"%s\" of a server cannot be changed",
					FLOWDB_DATA_DIR_OPTION),
			 errhint("Create another server with it, and copy the tables.")));
}

static void
drop_database(Oid dboid, Oid serverid)
{
	uint64 xid = U64FromFullTransactionId(GetCurrentFullTransactionId());

	MyProc->delayChkptFlags |= DELAY_CHKPT_START;
	PG_TRY();
	{
		XLogFlush(flowdb_log_drop(dboid, serverid, xid));
		flowdb_registry_mark_drop(dboid, serverid, xid);
	}
	PG_FINALLY();
	{
		MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
	}
	PG_END_TRY();
}

static void
object_access(ObjectAccessType access, Oid classId, Oid objectId, int subId,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, classId, objectId, subId, arg);

	if (access == OAT_FUNCTION_EXECUTE)
		flowdb_backup_function(objectId);
	else if ((access == OAT_POST_CREATE || access == OAT_POST_ALTER) &&
			 classId == ForeignServerRelationId)
	{
		const char *dir;
		Oid fdwid = new_servers_wrapper(objectId, &dir);

		if (!OidIsValid(fdwid) || !flowdb_is_our_wrapper(fdwid))
			return;
		if (access == OAT_POST_CREATE)
			create_database(objectId, dir);
		else if (flowdb_shared != NULL)
			refuse_other_directory(objectId, dir);
	}
	else if (access == OAT_DROP && classId == RelationRelationId && subId == 0)
		flowdb_table_dropped(objectId);
	else if (access == OAT_POST_ALTER && classId == ForeignTableRelationId)
		flowdb_table_altered(objectId);
	else if (access == OAT_DROP && classId == ForeignServerRelationId)
	{
		if (flowdb_registry_find(MyDatabaseId, objectId) >= 0)
			drop_database(MyDatabaseId, objectId);
	}
	else if (access == OAT_DROP && classId == DatabaseRelationId)
	{
		if (flowdb_registry_has_database(objectId))
			drop_database(objectId, InvalidOid);
	}
}

void
flowdb_ddl_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	flowdb_dropstore_init();
}
