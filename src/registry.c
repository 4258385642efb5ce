/*-------------------------------------------------------------------------
 * registry.c
 *	  Which databases there are: the slots in shared memory and their file
 *	  (regfile.c).  No catalog is read, so that redo and workers can use it
 *	  (S11).
 *
 * CREATE SERVER and DROP SERVER are logged with the transaction that does
 * them and take effect once it has ended: until then the entry keeps its
 * full xid (settle.c).  A database that is gone leaves its slot at once;
 * what the log may still say about it stands before forgotten_before, and
 * redo passes over records of unknown databases that do.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "datadir.h"
#include "flowdb_identity.h"

/* How often a slot is looked for while files are being removed: 10 s. */
#define REMOVAL_TRIES 1000

void
flowdb_registry_path(const FlowdbEntry *entry, char *path)
{
	if (entry->path[0] != '\0')
		snprintf(path, MAXPGPATH, FLOWDB_DIRECTORY "/%s", entry->path);
	else
		snprintf(path, MAXPGPATH, FLOWDB_DIRECTORY "/%u-%u", entry->dboid,
				 entry->serverid);
}

/* The database stands in the registry, for better or worse. */
static bool
is_listed(const FlowdbSlot *slot)
{
	return slot->state == FLOWDB_DB_CLOSED || slot->state == FLOWDB_DB_OPEN ||
		   slot->state == FLOWDB_DB_BROKEN;
}

static void
fill_slot(FlowdbSlot *slot, const FlowdbEntry *entry, FlowdbDbState state)
{
	slot->entry = *entry;
	slot->state = state;
	slot->shared = NULL;
	slot->may_heal = false;
	slot->sqlstate = ERRCODE_DATA_CORRUPTED;
	slot->reason[0] = '\0';
	slot->newer = false;
	slot->generation++;
}

/* Make the slots durable.  registry_lock is held exclusively. */
void
flowdb_registry_write(void)
{
	FlowdbEntry *entries = palloc(sizeof(FlowdbEntry) * FLOWDB_MAX_DATABASES);
	FlowdbSlot *slots = flowdb_shared->slots;
	int n = 0;

	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (is_listed(&slots[i]) || slots[i].state == FLOWDB_DB_DROPPING)
			entries[n++] = slots[i].entry;
	}
	flowdb_regfile_write(entries, n, flowdb_shared->forgotten_before);
	pfree(entries);
}

/* Fill the slots at first use.  registry_lock is held exclusively. */
static void
load_registry(void)
{
	FlowdbEntry *entries = palloc(sizeof(FlowdbEntry) * FLOWDB_MAX_DATABASES);
	XLogRecPtr forgotten_before;
	int n = flowdb_regfile_read(entries, &forgotten_before);

	for (int i = 0; i < n; i++)
		fill_slot(&flowdb_shared->slots[i], &entries[i], FLOWDB_DB_CLOSED);
	flowdb_shared->forgotten_before = forgotten_before;
	flowdb_shared->registry_loaded = true;
	pfree(entries);
}

/* ---------------------------------------------------------- the slots */

void
flowdb_registry_lock(void)
{
	LWLockAcquire(&flowdb_shared->registry_lock, LW_EXCLUSIVE);
	if (!flowdb_shared->registry_loaded)
		load_registry();
}

static FlowdbSlot *
find_slot(Oid dboid, Oid serverid, bool reserved)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if ((is_listed(slot) ||
			 (reserved && slot->state == FLOWDB_DB_RESERVED)) &&
			slot->entry.dboid == dboid && slot->entry.serverid == serverid)
			return slot;
	}
	return NULL;
}

static FlowdbSlot *
find_state(FlowdbDbState state)
{
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (flowdb_shared->slots[i].state == state)
			return &flowdb_shared->slots[i];
	}
	return NULL;
}

/*
 * A free slot; registry_lock is held, and may be released in between: the
 * launcher, or redo before the next checkpoint record, may not have seen yet
 * that servers were dropped, or somebody may be removing their files.
 */
static FlowdbSlot *
take_slot(void)
{
	FlowdbSlot *slot = find_state(FLOWDB_DB_FREE);
	bool wait = true;

	for (int i = 0; slot == NULL && wait && i < REMOVAL_TRIES; i++)
	{
		LWLockRelease(&flowdb_shared->registry_lock);
		if (i > 0)
			pg_usleep(10000L);
		CHECK_FOR_INTERRUPTS();
		flowdb_registry_settle();
		flowdb_registry_lock();
		slot = find_state(FLOWDB_DB_FREE);
		wait = find_state(FLOWDB_DB_DROPPING) != NULL;
	}
	if (slot == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many FlowDB servers"),
						errdetail("A cluster can have %d of them.",
								  FLOWDB_MAX_DATABASES),
						errhint("Drop servers that are no longer needed.")));
	return slot;
}

/*
 * The slot that has the data_dir of entry, one that is being removed if there
 * are several; NULL when it is free.  Names that only differ in case may be
 * the same to a file system.
 */
static FlowdbSlot *
find_path(const FlowdbEntry *entry)
{
	FlowdbSlot *found = NULL;

	for (int i = 0; entry->path[0] && i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (slot->state == FLOWDB_DB_FREE ||
			slot->entry.identity == entry->identity ||
			pg_strcasecmp(slot->entry.path, entry->path) != 0)
			continue;
		if (found == NULL || slot->state == FLOWDB_DB_DROPPING)
			found = slot;
	}
	return found;
}

/*
 * Nobody else has the data_dir of entry, or ERROR.  registry_lock is held,
 * and may be released in between: for files that are being removed.
 */
static void
claim_path(const FlowdbEntry *entry)
{
	FlowdbSlot *slot = find_path(entry);

	for (int i = 0;
		 slot != NULL && slot->state == FLOWDB_DB_DROPPING && i < REMOVAL_TRIES;
		 i++)
	{
		LWLockRelease(&flowdb_shared->registry_lock);
		pg_usleep(10000L);
		CHECK_FOR_INTERRUPTS();
		flowdb_registry_lock();
		slot = find_path(entry);
	}
	if (slot != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("data directory \"%s\" is used by another FlowDB "
						"server",
						entry->path),
				 errhint("Each server has a directory of its own.  That of a "
						 "dropped server is free once the transaction that "
						 "dropped it has ended.")));
}

bool
flowdb_registry_data_dir(Oid dboid, Oid serverid, char *dir)
{
	FlowdbSlot *slot;

	flowdb_registry_lock();
	slot = find_slot(dboid, serverid, false);
	if (slot != NULL)
		strlcpy(dir, slot->entry.path, NAMEDATALEN);
	LWLockRelease(&flowdb_shared->registry_lock);
	return slot != NULL;
}

int
flowdb_registry_find(Oid dboid, Oid serverid)
{
	FlowdbSlot *slot;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	if (!flowdb_shared->registry_loaded)
	{
		LWLockRelease(&flowdb_shared->registry_lock);
		flowdb_registry_lock();
	}
	slot = find_slot(dboid, serverid, false);
	LWLockRelease(&flowdb_shared->registry_lock);
	return slot != NULL ? (int) (slot - flowdb_shared->slots) : -1;
}

int
flowdb_registry_closed(int slots[FLOWDB_MAX_DATABASES])
{
	int n = 0;

	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		const FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (slot->state == FLOWDB_DB_CLOSED ||
			(slot->state == FLOWDB_DB_BROKEN && slot->may_heal))
			slots[n++] = i;
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return n;
}

bool
flowdb_registry_has_database(Oid dboid)
{
	bool found = false;

	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		found |= is_listed(slot) && slot->entry.dboid == dboid;
	}
	LWLockRelease(&flowdb_shared->registry_lock);
	return found;
}

bool
flowdb_registry_forgot(XLogRecPtr pos)
{
	bool result;

	LWLockAcquire(&flowdb_shared->registry_lock, LW_SHARED);
	result = pos < flowdb_shared->forgotten_before;
	LWLockRelease(&flowdb_shared->registry_lock);
	return result;
}

/*
 * flowdb_registry_reserve, _release
 *		A slot for a database that is about to be logged: once it is, nothing
 *		may stand in its way, in redo least of all.
 */
void
flowdb_registry_reserve(const FlowdbEntry *entry)
{
	FlowdbSlot *slot;

	if (entry->path[0] != '\0')
		flowdb_registry_settle();
	flowdb_registry_lock();
	do
	{
		slot = take_slot();
		claim_path(entry);
	} while (slot->state != FLOWDB_DB_FREE);
	fill_slot(slot, entry, FLOWDB_DB_RESERVED);
	LWLockRelease(&flowdb_shared->registry_lock);
}

void
flowdb_registry_release(const FlowdbEntry *entry)
{
	LWLock *lock = &flowdb_shared->registry_lock;
	/* an error in flowdb_registry_create leaves it to the abort */
	bool held = LWLockHeldByMe(lock);

	if (!held)
		LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (slot->state == FLOWDB_DB_RESERVED &&
			slot->entry.identity == entry->identity)
			slot->state = FLOWDB_DB_FREE;
	}
	if (!held)
		LWLockRelease(lock);
}

/* The files of an empty database, or what is missing of them. */
static void
fill_directory(const FlowdbEntry *entry)
{
	char path[MAXPGPATH];
	FlowStatus st;

	flowdb_registry_path(entry, path);
	flowdb_identity_write(path, entry);
	st = flow_create(flowdb_env(), path);
	if (st != FLOW_EXISTS)
		flowdb_report(st);
	fsync_fname(FLOWDB_DIRECTORY, true);
	fsync_fname(".", true);
}

/* For a session, which leaves nothing behind when it fails. */
static void
make_files(const FlowdbEntry *entry)
{
	char reason[256];

	if (!flowdb_datadir_make(entry, reason, sizeof(reason)))
		flowdb_datadir_refuse(reason);
	PG_TRY();
	{
		fill_directory(entry);
	}
	PG_CATCH();
	{
		(void) flowdb_datadir_remove(entry);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* For redo; false, with a reason: there is something in its place. */
static bool
redo_files(const FlowdbEntry *entry, char *reason, Size reason_bytes)
{
	if (!flowdb_datadir_make(entry, reason, reason_bytes))
		return false;
	fill_directory(entry);
	return true;
}

/* List it.  reason: why it cannot be used, or NULL. */
static void
list_slot(FlowdbSlot *slot, const FlowdbEntry *entry, const char *reason)
{
	fill_slot(slot, entry, reason ? FLOWDB_DB_BROKEN : FLOWDB_DB_CLOSED);
	if (reason)
	{
		strlcpy(slot->reason, reason, sizeof(slot->reason));
		ereport(LOG, (errmsg("FlowDB database of server %u in database %u is "
							 "broken: %s",
							 entry->serverid, entry->dboid, reason)));
	}
}

/*
 * flowdb_registry_create
 *		Make an empty database and list it.  Redo repeats the call for one
 *		that exists: a base backup may have copied the registry later than
 *		the directory, so the files are completed.  Nothing is lost by that:
 *		all that was ever written to it follows in the log.  What stands in
 *		its way there makes it a broken database, and recovery goes on.
 */
void
flowdb_registry_create(const FlowdbEntry *entry)
{
	bool redo = RecoveryInProgress();
	char reason[256];
	FlowdbSlot *slot;
	bool ok = true;

	if (redo)
		flowdb_registry_evict(entry);
	flowdb_registry_lock();
	if (redo)
		claim_path(entry);
	slot = find_slot(entry->dboid, entry->serverid, true);
	if (slot == NULL)
		slot = take_slot();
	if (!is_listed(slot) || slot->entry.identity != entry->identity)
	{
		if (redo)
			ok = redo_files(entry, reason, sizeof(reason));
		else
			make_files(entry);
		list_slot(slot, entry, ok ? NULL : reason);
		flowdb_registry_write();
	}
	else if (slot->state == FLOWDB_DB_CLOSED &&
			 !redo_files(entry, reason, sizeof(reason)))
		list_slot(slot, entry, reason);
	LWLockRelease(&flowdb_shared->registry_lock);
}

/*
 * serverid InvalidOid: every server of the database.  An earlier DROP that
 * may have committed is not forgotten.  In redo none may: whoever drops once
 * more found the server, so an earlier DROP was over, and what is not known
 * to have committed by this record was aborted, perhaps by a crash.
 */
void
flowdb_registry_mark_drop(Oid dboid, Oid serverid, uint64 drop_xid)
{
	bool redo = RecoveryInProgress();
	bool changed = false;

	flowdb_registry_settle();
	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (!is_listed(slot) || slot->entry.dboid != dboid ||
			(OidIsValid(serverid) && slot->entry.serverid != serverid) ||
			(slot->entry.drop_xid != 0 && !redo))
			continue;
		slot->entry.drop_xid = drop_xid;
		changed = true;
	}
	if (changed)
		flowdb_registry_write();
	LWLockRelease(&flowdb_shared->registry_lock);
}

int
flowdb_registry_add_broken(Oid dboid, Oid serverid, const char *reason)
{
	FlowdbEntry entry = {.dboid = dboid, .serverid = serverid};
	FlowdbSlot *slot;

	flowdb_registry_lock();
	slot = take_slot();
	fill_slot(slot, &entry, FLOWDB_DB_BROKEN);
	strlcpy(slot->reason, reason, sizeof(slot->reason));
	flowdb_registry_write();
	LWLockRelease(&flowdb_shared->registry_lock);
	ereport(LOG, (errmsg("FlowDB database of server %u in database %u is "
						 "broken: %s",
						 serverid, dboid, reason)));
	return slot - flowdb_shared->slots;
}
