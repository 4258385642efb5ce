/*-------------------------------------------------------------------------
 * regfile.c
 *	  The registry's file, $PGDATA/flowdb/registry: read, write, rebuild.
 *
 * It is written as a whole; should it be damaged, it is rebuilt from the
 * directories' IDENTITY files.  Bytes: doc/FORMAT.md "Registry and IDENTITY".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "datadir.h"
#include "flowdb_identity.h"

#define REGISTRY_FILE FLOWDB_DIRECTORY "/registry"
#define RESERVE_FILE FLOWDB_DIRECTORY "/" PG_TEMP_FILE_PREFIX ".reserve"
#define REGISTRY_MAGIC 0x31474552574F4C46ULL /* "FLOWREG1", little-endian */
#define REGISTRY_VERSION 1

static const FlowdbFileHead registry_head = {.magic = REGISTRY_MAGIC,
											 .version = REGISTRY_VERSION};

typedef struct RegistryFile
{
	FlowdbFileHead head;
	uint64 forgotten_before;
	uint64 nentries;
	FlowdbEntry entries[FLOWDB_MAX_DATABASES];
} RegistryFile;

/* DROP SERVER writes the registry before anything is removed: on a full disk
 * this file makes room for it.  If it cannot be made now it is made later. */
static void
keep_reserve(void)
{
	static const char zeros[sizeof(RegistryFile) + BLCKSZ];
	int fd;

	if (access(RESERVE_FILE, F_OK) == 0)
		return;
	fd = BasicOpenFile(RESERVE_FILE, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		return;
	if (write(fd, zeros, sizeof(zeros)) != (ssize_t) sizeof(zeros))
		unlink(RESERVE_FILE);
	close(fd);
}

void
flowdb_regfile_write(const FlowdbEntry *entries, int n,
					 XLogRecPtr forgotten_before)
{
	RegistryFile *file = palloc0(sizeof(RegistryFile));

	file->head = registry_head;
	file->forgotten_before = forgotten_before;
	file->nentries = (uint64) n;
	memcpy(file->entries, entries, sizeof(FlowdbEntry) * n);
	flowdb_file_replace(REGISTRY_FILE, file,
						offsetof(RegistryFile, entries) +
							file->nentries * sizeof(FlowdbEntry),
						RESERVE_FILE);
	pfree(file);
	keep_reserve();
}

/* Its data_dir becomes a path. */
static bool
is_sound_entry(const FlowdbEntry *entry)
{
	return memchr(entry->path, '\0', sizeof(entry->path)) != NULL &&
		   (entry->path[0] == '\0' || flowdb_datadir_valid(entry->path));
}

/* What a newer version wrote is never replaced by what we make of it. */
static void
refuse_newer(const char *path)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("file \"%s\" was written by a newer version of flowdb_fdw",
					path),
			 errhint("Use the version of flowdb_fdw that wrote it, or a later "
					 "one.")));
}

/* The registry file is lost: every directory says itself what it is.  Copies
 * under another name are none of ours. */
static int
rebuild_entries(FlowdbEntry *entries)
{
	DIR *dir = AllocateDir(FLOWDB_DIRECTORY);
	struct dirent *de;
	int n = 0;

	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open directory \"%s\": %m",
							   FLOWDB_DIRECTORY)));
	while (n < FLOWDB_MAX_DATABASES &&
		   (de = ReadDir(dir, FLOWDB_DIRECTORY)) != NULL)
	{
		char path[MAXPGPATH];
		char own_path[MAXPGPATH];
		uint64 system_id;
		FlowdbFileState state;

		snprintf(path, sizeof(path), FLOWDB_DIRECTORY "/%s", de->d_name);
		state = flowdb_identity_read(path, &entries[n], &system_id);
		if (state == FLOWDB_FILE_NEWER)
		{
			FreeDir(dir);
			refuse_newer(path);
		}
		if (state != FLOWDB_FILE_OK || system_id != GetSystemIdentifier())
			continue;
		flowdb_registry_path(&entries[n], own_path);
		if (is_sound_entry(&entries[n]) && strcmp(path, own_path) == 0)
			n++;
	}
	FreeDir(dir);
	return n;
}

static bool
is_sound(const RegistryFile *file, Size len)
{
	if (file->head.zero != 0 || len < offsetof(RegistryFile, entries) ||
		file->nentries > FLOWDB_MAX_DATABASES ||
		len != offsetof(RegistryFile, entries) +
				   file->nentries * sizeof(FlowdbEntry))
		return false;
	for (uint64 i = 0; i < file->nentries; i++)
		if (!is_sound_entry(&file->entries[i]))
			return false;
	return true;
}

int
flowdb_regfile_read(FlowdbEntry entries[FLOWDB_MAX_DATABASES],
					XLogRecPtr *forgotten_before)
{
	RegistryFile *file = palloc0(sizeof(RegistryFile));
	Size len = 0;
	FlowdbFileState state = flowdb_file_load(REGISTRY_FILE, &registry_head,
											 file, sizeof(RegistryFile), &len);
	int n;

	if (state == FLOWDB_FILE_NEWER)
		refuse_newer(REGISTRY_FILE);
	if (state != FLOWDB_FILE_OK || !is_sound(file, len))
	{
		if (state != FLOWDB_FILE_MISSING)
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" is damaged", REGISTRY_FILE),
					 errdetail("It is rebuilt from the directories.")));
		file->forgotten_before = 0;
		file->nentries = (uint64) rebuild_entries(file->entries);
	}
	n = (int) file->nentries;
	memcpy(entries, file->entries, sizeof(FlowdbEntry) * n);
	*forgotten_before = file->forgotten_before;
	pfree(file);
	return n;
}

void
flowdb_regfile_check(void)
{
	if (flowdb_file_is_newer(REGISTRY_FILE, &registry_head))
		refuse_newer(REGISTRY_FILE);
}
