/*-------------------------------------------------------------------------
 * registry.c
 *	  Which databases there are: the slots in shared memory and their file
 *	  $PGDATA/flowdb/registry.  No catalog is read, so that redo and workers
 *	  can use it (S11).
 *
 * CREATE SERVER and DROP SERVER are logged with the transaction that does
 * them and take effect once it has ended: until then the entry keeps its
 * full xid (settle.c).  A database that is gone leaves its slot at once;
 * what the log may still say about it stands before forgotten_before, and
 * redo passes over records of unknown databases that do.  The file is
 * written as a whole; should it be damaged, it is rebuilt from the
 * directories' IDENTITY files.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "flowdb_identity.h"

#define REGISTRY_FILE FLOWDB_DIRECTORY "/registry"
#define REGISTRY_MAGIC 0x31474552574F4C46ULL /* "FLOWREG1", little-endian */

/* How often a slot is looked for while files are being removed: 10 s. */
#define REMOVAL_TRIES 1000

typedef struct RegistryFile
{
	uint64 magic;
	uint64 forgotten_before;
	uint64 nentries;
	FlowdbEntry entries[FLOWDB_MAX_DATABASES];
} RegistryFile;

void
flowdb_registry_path(const FlowdbEntry *entry, char *path)
{
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
	slot->reason[0] = '\0';
	slot->generation++;
}

/* ------------------------------------------------------------ the file */

/* Make the slots durable.  registry_lock is held exclusively. */
void
flowdb_registry_write(void)
{
	RegistryFile *file = palloc0(sizeof(RegistryFile));
	FlowdbSlot *slots = flowdb_shared->slots;

	file->magic = REGISTRY_MAGIC;
	file->forgotten_before = flowdb_shared->forgotten_before;
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (is_listed(&slots[i]) || slots[i].state == FLOWDB_DB_DROPPING)
			file->entries[file->nentries++] = slots[i].entry;
	}
	flowdb_file_replace(REGISTRY_FILE, file,
						offsetof(RegistryFile, entries) +
							file->nentries * sizeof(FlowdbEntry));
	pfree(file);
}

/* The registry file is lost: every directory says itself what it is. */
static int
rebuild_entries(FlowdbEntry *entries)
{
	DIR *dir = opendir(FLOWDB_DIRECTORY);
	struct dirent *de;
	int n = 0;

	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open directory \"%s\": %m",
							   FLOWDB_DIRECTORY)));
	while ((de = readdir(dir)) != NULL && n < FLOWDB_MAX_DATABASES)
	{
		char path[MAXPGPATH];
		uint64 system_id;

		snprintf(path, sizeof(path), FLOWDB_DIRECTORY "/%s", de->d_name);
		if (flowdb_identity_read(path, &entries[n], &system_id) &&
			system_id == GetSystemIdentifier())
			n++;
	}
	closedir(dir);
	return n;
}

static bool
is_sound(const RegistryFile *file, Size len)
{
	return file->magic == REGISTRY_MAGIC &&
		   file->nentries <= FLOWDB_MAX_DATABASES &&
		   len == offsetof(RegistryFile, entries) +
					  file->nentries * sizeof(FlowdbEntry);
}

/* Fill the slots at first use.  registry_lock is held exclusively. */
static void
load_registry(void)
{
	RegistryFile *file = palloc0(sizeof(RegistryFile));
	Size len = 0;
	FlowdbFileState state =
		flowdb_file_load(REGISTRY_FILE, file, sizeof(RegistryFile), &len);

	if (state != FLOWDB_FILE_OK || !is_sound(file, len))
	{
		if (state != FLOWDB_FILE_MISSING)
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" is damaged", REGISTRY_FILE),
					 errdetail("It is rebuilt from the directories.")));
		file->forgotten_before = 0;
		file->nentries = rebuild_entries(file->entries);
	}
	for (uint64 i = 0; i < file->nentries; i++)
		fill_slot(&flowdb_shared->slots[i], &file->entries[i],
				  FLOWDB_DB_CLOSED);
	flowdb_shared->forgotten_before = file->forgotten_before;
	flowdb_shared->registry_loaded = true;
	pfree(file);
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
		if (flowdb_shared->slots[i].state == FLOWDB_DB_CLOSED)
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
	flowdb_registry_lock();
	fill_slot(take_slot(), entry, FLOWDB_DB_RESERVED);
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
make_files(const FlowdbEntry *entry)
{
	char path[MAXPGPATH];
	FlowStatus st;

	flowdb_registry_path(entry, path);
	if ((MakePGDirectory(FLOWDB_DIRECTORY) < 0 && errno != EEXIST) ||
		(MakePGDirectory(path) < 0 && errno != EEXIST))
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", path)));
	flowdb_identity_write(path, entry);
	st = flow_create(flowdb_env(), path);
	if (st != FLOW_EXISTS)
		flowdb_report(st);
	fsync_fname(FLOWDB_DIRECTORY, true);
	fsync_fname(".", true);
}

/*
 * flowdb_registry_create
 *		Make an empty database and list it.  Redo repeats the call for one
 *		that exists: a base backup may have copied the registry later than
 *		the directory, so the files are completed.  Nothing is lost by that:
 *		all that was ever written to it follows in the log.
 */
void
flowdb_registry_create(const FlowdbEntry *entry)
{
	FlowdbSlot *slot;

	flowdb_registry_lock();
	slot = find_slot(entry->dboid, entry->serverid, true);
	if (slot == NULL)
		slot = take_slot();
	if (!is_listed(slot) || slot->entry.identity != entry->identity)
	{
		make_files(entry);
		fill_slot(slot, entry, FLOWDB_DB_CLOSED);
		flowdb_registry_write();
	}
	else if (slot->state == FLOWDB_DB_CLOSED)
		make_files(entry);
	LWLockRelease(&flowdb_shared->registry_lock);
}

/* serverid InvalidOid: every server of the database.  An earlier DROP that
 * may have committed is not forgotten. */
void
flowdb_registry_mark_drop(Oid dboid, Oid serverid, uint64 drop_xid)
{
	bool changed = false;

	flowdb_registry_settle();
	flowdb_registry_lock();
	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		FlowdbSlot *slot = &flowdb_shared->slots[i];

		if (!is_listed(slot) || slot->entry.dboid != dboid ||
			(OidIsValid(serverid) && slot->entry.serverid != serverid) ||
			slot->entry.drop_xid != 0)
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
