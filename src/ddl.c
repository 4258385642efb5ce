/*-------------------------------------------------------------------------
 * ddl.c
 *	  CREATE SERVER makes a database, DROP SERVER and DROP DATABASE mark it
 *	  as dropped: seen by object_access_hook, which core calls in the middle
 *	  of the command.  The same hook sees base backups begin (backup.c).
 *
 * Both are logged with the full xid of their (sub)transaction; what becomes
 * of it decides later (registry.c).  Keeps: S10, S11.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "flowdb_shmem.h"

static object_access_hook_type prev_object_access;

/* Is the wrapper one whose handler is ours, whatever its name? */
static bool
is_our_wrapper(Oid fdwid)
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

/* Wrapper of a server whose row this command has just written. */
static Oid
new_servers_wrapper(Oid serverid)
{
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	Oid fdwid = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_foreign_server_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(serverid));
	scan = systable_beginscan(rel, ForeignServerOidIndexId, true, SnapshotSelf,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		fdwid = ((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return fdwid;
}

/*
 * No checkpoint may begin between the log record and the registry file: its
 * redo would start behind the record and find no file.
 */
static void
create_database(Oid serverid)
{
	FlowdbEntry entry = {0};

	/* the restore of pg_upgrade: an empty database in the place of the old
	 * one would be taken for it */
	if (IsBinaryUpgrade)
		return;
	flowdb_require_preload();
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
	else if (access == OAT_POST_CREATE && classId == ForeignServerRelationId)
	{
		Oid fdwid = new_servers_wrapper(objectId);

		if (OidIsValid(fdwid) && is_our_wrapper(fdwid))
			create_database(objectId);
	}
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
}
