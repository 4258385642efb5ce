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

#include "access/xlog.h"
#include "miscadmin.h"

#include "datadir.h"
#include "flowdb_identity.h"

#define REGISTRY_FILE FLOWDB_DIRECTORY "/registry"
#define REGISTRY_MAGIC 0x31474552574F4C46ULL /* "FLOWREG1", little-endian */

typedef struct RegistryFile
{
	uint64 magic;
	uint64 forgotten_before;
	uint64 nentries;
	FlowdbEntry entries[FLOWDB_MAX_DATABASES];
} RegistryFile;

void
flowdb_regfile_write(const FlowdbEntry *entries, int n,
					 XLogRecPtr forgotten_before)
{
	RegistryFile *file = palloc0(sizeof(RegistryFile));

	file->magic = REGISTRY_MAGIC;
	file->forgotten_before = forgotten_before;
	file->nentries = (uint64) n;
	memcpy(file->entries, entries, sizeof(FlowdbEntry) * n);
	flowdb_file_replace(REGISTRY_FILE, file,
						offsetof(RegistryFile, entries) +
							file->nentries * sizeof(FlowdbEntry));
	pfree(file);
}

/* Its data_dir becomes a path. */
static bool
is_sound_entry(const FlowdbEntry *entry)
{
	return memchr(entry->path, '\0', sizeof(entry->path)) != NULL &&
		   (entry->path[0] == '\0' || flowdb_datadir_valid(entry->path));
}

/* The registry file is lost: every directory says itself what it is.  Copies
 * under another name are none of ours. */
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
		char own_path[MAXPGPATH];
		uint64 system_id;

		snprintf(path, sizeof(path), FLOWDB_DIRECTORY "/%s", de->d_name);
		if (!flowdb_identity_read(path, &entries[n], &system_id) ||
			system_id != GetSystemIdentifier())
			continue;
		flowdb_registry_path(&entries[n], own_path);
		if (is_sound_entry(&entries[n]) && strcmp(path, own_path) == 0)
			n++;
	}
	closedir(dir);
	return n;
}

static bool
is_sound(const RegistryFile *file, Size len)
{
	if (file->magic != REGISTRY_MAGIC ||
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
	FlowdbFileState state =
		flowdb_file_load(REGISTRY_FILE, file, sizeof(RegistryFile), &len);
	int n;

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
