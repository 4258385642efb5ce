/*-------------------------------------------------------------------------
 * identity.c
 *	  The IDENTITY file of a database's directory, and the little files with
 *	  a checksum that it and the registry are.
 *
 * Bytes: doc/FORMAT.md "Registry and IDENTITY".  Keeps: S10.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "datadir.h"
#include "flowdb_identity.h"

#define IDENTITY_MAGIC 0x00314449574F4C46ULL /* "FLOWID1", little-endian */

typedef struct IdentityFile
{
	uint64 magic;
	uint64 system_id;
	uint64 identity;
	Oid dboid;
	Oid serverid;
	char path[NAMEDATALEN];
} IdentityFile;

static pg_crc32c
crc_of(const void *data, Size len)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

/*
 * flowdb_file_replace
 *		Durably put data and its CRC-32C where path is: a reader sees the old
 *		file or the new one.  Backups skip the temporary name.
 */
void
flowdb_file_replace(const char *path, const void *data, Size len)
{
	char tmp[MAXPGPATH];
	char dir[MAXPGPATH];
	pg_crc32c crc = crc_of(data, len);
	int fd;

	strlcpy(dir, path, sizeof(dir));
	get_parent_directory(dir);
	snprintf(tmp, sizeof(tmp), "%s/%s.%s", dir, PG_TEMP_FILE_PREFIX,
			 last_dir_separator(path) + 1);
	fd = BasicOpenFile(tmp, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create file \"%s\": %m", tmp)));
	errno = ENOSPC; /* what a short write means */
	if (write(fd, data, len) != (ssize_t) len ||
		write(fd, &crc, sizeof(crc)) != sizeof(crc) || pg_fsync(fd) != 0)
	{
		int save_errno = errno;

		close(fd);
		unlink(tmp);
		errno = save_errno;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", tmp)));
	}
	close(fd);
	durable_rename(tmp, path, ERROR);
}

/* Read such a file of at most max bytes. */
FlowdbFileState
flowdb_file_load(const char *path, void *data, Size max, Size *len)
{
	pg_crc32c crc;
	struct stat st;
	bool ok = false;
	int fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return FLOWDB_FILE_MISSING;
	if (fd < 0 || fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	if (st.st_size >= (off_t) sizeof(crc) &&
		(Size) st.st_size <= max + sizeof(crc))
	{
		*len = (Size) st.st_size - sizeof(crc);
		ok = read(fd, data, *len) == (ssize_t) *len &&
			 read(fd, &crc, sizeof(crc)) == sizeof(crc) &&
			 crc == crc_of(data, *len);
	}
	close(fd);
	return ok ? FLOWDB_FILE_OK : FLOWDB_FILE_DAMAGED;
}

static void
identity_path(const char *dir, char *path)
{
	snprintf(path, MAXPGPATH, "%s/IDENTITY", dir);
}

void
flowdb_identity_write(const char *dir, const FlowdbEntry *entry)
{
	IdentityFile file = {.magic = IDENTITY_MAGIC,
						 .system_id = GetSystemIdentifier(),
						 .identity = entry->identity,
						 .dboid = entry->dboid,
						 .serverid = entry->serverid};
	char path[MAXPGPATH];

	strlcpy(file.path, entry->path, sizeof(file.path));
	identity_path(dir, path);
	flowdb_file_replace(path, &file, sizeof(file));
}

bool
flowdb_identity_read(const char *dir, FlowdbEntry *entry, uint64 *system_id)
{
	IdentityFile file;
	char path[MAXPGPATH];
	Size len;

	identity_path(dir, path);
	if (flowdb_file_load(path, &file, sizeof(file), &len) != FLOWDB_FILE_OK ||
		len != sizeof(file) || file.magic != IDENTITY_MAGIC ||
		file.path[sizeof(file.path) - 1] != '\0')
		return false;
	memset(entry, 0, sizeof(*entry));
	entry->identity = file.identity;
	entry->dboid = file.dboid;
	entry->serverid = file.serverid;
	strlcpy(entry->path, file.path, sizeof(entry->path));
	*system_id = file.system_id;
	return true;
}

bool
flowdb_identity_matches(const char *dir, const FlowdbEntry *entry, char *reason,
						Size reason_bytes)
{
	FlowdbEntry found;
	uint64 system_id;
	char aside[MAXPGPATH];

	snprintf(aside, sizeof(aside), FLOWDB_DIRECTORY "/aside-%u-%u",
			 entry->dboid, entry->serverid);
	if (access(aside, F_OK) == 0)
	{
		snprintf(reason, reason_bytes,
				 "recovery set records of it aside in \"%s\"", aside);
		return false;
	}
	if (!flowdb_datadir_is_sound(entry, reason, reason_bytes))
		return false;
	if (!flowdb_identity_read(dir, &found, &system_id))
	{
		snprintf(reason, reason_bytes,
				 "file \"%s/IDENTITY\" is missing or damaged", dir);
		return false;
	}
	if (system_id != GetSystemIdentifier() ||
		found.identity != entry->identity || found.dboid != entry->dboid ||
		found.serverid != entry->serverid ||
		strcmp(found.path, entry->path) != 0)
	{
		snprintf(reason, reason_bytes,
				 "directory \"%s\" belongs to another database", dir);
		return false;
	}
	return true;
}
