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
#include "port/pg_iovec.h"
#include "storage/fd.h"

#include "aside.h"
#include "datadir.h"
#include "flowdb_identity.h"

#define IDENTITY_MAGIC 0x00314449574F4C46ULL /* "FLOWID1", little-endian */
#define IDENTITY_VERSION 1

static const FlowdbFileHead identity_head = {.magic = IDENTITY_MAGIC,
											 .version = IDENTITY_VERSION};

typedef struct IdentityFile
{
	FlowdbFileHead head;
	uint64 system_id;
	uint64 identity;
	Oid dboid;
	Oid serverid;
	char path[NAMEDATALEN];
} IdentityFile;

pg_crc32c
flowdb_file_crc(const void *data, Size len)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

/* Write, and sync; false, with errno: it could not be. */
static bool
write_file(const char *path, const void *data, Size len)
{
	pg_crc32c crc = flowdb_file_crc(data, len);
	struct iovec iov[2] = {{unconstify(void *, data), len},
						   {&crc, sizeof(crc)}};
	int fd = BasicOpenFile(path, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	int save_errno;
	bool ok;

	if (fd < 0)
		return false;
	errno = ENOSPC; /* what a short write means */
	ok = !flowdb_debug_io("write", path) &&
		 pg_pwritev(fd, iov, lengthof(iov), 0) ==
			 (ssize_t) (len + sizeof(crc)) &&
		 pg_fsync(fd) == 0;
	save_errno = errno;
	close(fd);
	if (!ok)
		unlink(path);
	errno = save_errno;
	return ok;
}

/*
 * flowdb_file_replace
 *		Durably put data and its CRC-32C where path is: a reader sees the old
 *		file or the new one.  Backups skip the temporary name.  reserve: NULL,
 *		or a file of no use that is removed if the disk is full.
 */
void
flowdb_file_replace(const char *path, const void *data, Size len,
					const char *reserve)
{
	char tmp[MAXPGPATH];
	char dir[MAXPGPATH];
	bool ok;

	strlcpy(dir, path, sizeof(dir));
	get_parent_directory(dir);
	snprintf(tmp, sizeof(tmp), "%s/%s.%s", dir, PG_TEMP_FILE_PREFIX,
			 last_dir_separator(path) + 1);
	ok = write_file(tmp, data, len);
	if (!ok && errno == ENOSPC && reserve != NULL && unlink(reserve) == 0)
		ok = write_file(tmp, data, len);
	if (!ok)
	{
		bool full = errno == ENOSPC;

		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", tmp),
						full ? errhint("Free some space.") : 0));
	}
	durable_rename(tmp, path, ERROR);
}

/* What the file begins with, against what it should. */
static FlowdbFileState
check_head(int fd, const FlowdbFileHead *want)
{
	FlowdbFileHead head;

	if (pg_pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
		head.magic != want->magic || head.version == 0)
		return FLOWDB_FILE_DAMAGED;
	return head.version > want->version ? FLOWDB_FILE_NEWER : FLOWDB_FILE_OK;
}

bool
flowdb_file_is_newer(const char *path, const FlowdbFileHead *want)
{
	int fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	bool result;

	if (fd < 0)
		return false;
	result = check_head(fd, want) == FLOWDB_FILE_NEWER;
	close(fd);
	return result;
}

/* Read such a file of at most max bytes. */
FlowdbFileState
flowdb_file_load(const char *path, const FlowdbFileHead *want, void *data,
				 Size max, Size *len)
{
	FlowdbFileState state;
	pg_crc32c crc = 0;
	struct stat st;
	bool ok = false;
	bool failed = false;
	int fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return FLOWDB_FILE_MISSING;
	if (fd < 0 || fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	state = check_head(fd, want);
	if (state == FLOWDB_FILE_OK && st.st_size >= (off_t) sizeof(crc) &&
		(Size) st.st_size <= max + sizeof(crc))
	{
		struct iovec iov[2] = {{data, (Size) st.st_size - sizeof(crc)},
							   {&crc, sizeof(crc)}};
		ssize_t n = pg_preadv(fd, iov, lengthof(iov), 0);

		*len = iov[0].iov_len;
		failed = n < 0;
		ok = n == (ssize_t) st.st_size && crc == flowdb_file_crc(data, *len);
	}
	if (failed)
	{
		int save_errno = errno;

		close(fd);
		errno = save_errno;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", path)));
	}
	close(fd);
	if (state == FLOWDB_FILE_OK && !ok)
		state = FLOWDB_FILE_DAMAGED;
	return state;
}

static void
identity_path(const char *dir, char *path)
{
	snprintf(path, MAXPGPATH, "%s/IDENTITY", dir);
}

void
flowdb_identity_write(const char *dir, const FlowdbEntry *entry)
{
	IdentityFile file = {.head = identity_head,
						 .system_id = GetSystemIdentifier(),
						 .identity = entry->identity,
						 .dboid = entry->dboid,
						 .serverid = entry->serverid};
	char path[MAXPGPATH];

	strlcpy(file.path, entry->path, sizeof(file.path));
	identity_path(dir, path);
	flowdb_file_replace(path, &file, sizeof(file), NULL);
}

FlowdbFileState
flowdb_identity_read(const char *dir, FlowdbEntry *entry, uint64 *system_id)
{
	FlowdbFileState state;
	IdentityFile file;
	char path[MAXPGPATH];
	Size len;

	identity_path(dir, path);
	state = flowdb_file_load(path, &identity_head, &file, sizeof(file), &len);
	if (state == FLOWDB_FILE_OK &&
		(len != sizeof(file) || file.head.zero != 0 ||
		 file.path[sizeof(file.path) - 1] != '\0'))
		state = FLOWDB_FILE_DAMAGED;
	if (state != FLOWDB_FILE_OK)
		return state;
	memset(entry, 0, sizeof(*entry));
	entry->identity = file.identity;
	entry->dboid = file.dboid;
	entry->serverid = file.serverid;
	strlcpy(entry->path, file.path, sizeof(entry->path));
	*system_id = file.system_id;
	return FLOWDB_FILE_OK;
}

static bool
is_ours(const FlowdbEntry *found, uint64 system_id, const FlowdbEntry *entry)
{
	return system_id == GetSystemIdentifier() &&
		   found->identity == entry->identity && found->dboid == entry->dboid &&
		   found->serverid == entry->serverid &&
		   strcmp(found->path, entry->path) == 0;
}

FlowStatus
flowdb_identity_matches(const char *dir, const FlowdbEntry *entry, char *reason,
						Size reason_bytes)
{
	FlowdbFileState state;
	FlowdbEntry found;
	uint64 system_id;
	char path[MAXPGPATH];

	flowdb_aside_path(entry, false, path);
	if (access(path, F_OK) == 0)
	{
		snprintf(reason, reason_bytes,
				 "recovery set records of it aside in \"%s\"", path);
		return FLOW_CORRUPT;
	}
	if (!flowdb_datadir_is_sound(entry, reason, reason_bytes))
		return FLOW_CORRUPT;
	state = flowdb_identity_read(dir, &found, &system_id);
	if (state == FLOWDB_FILE_NEWER)
	{
		snprintf(reason, reason_bytes,
				 "file \"%s/IDENTITY\" has a newer version than %d", dir,
				 IDENTITY_VERSION);
		return FLOW_MISMATCH;
	}
	if (state != FLOWDB_FILE_OK)
	{
		bool missing;

		identity_path(dir, path);
		missing = access(path, F_OK) != 0;
		snprintf(reason, reason_bytes, "file \"%s/IDENTITY\" is %s", dir,
				 missing ? "missing" : "damaged");
		return missing ? FLOW_NOTFOUND : FLOW_CORRUPT;
	}
	if (!is_ours(&found, system_id, entry))
	{
		snprintf(reason, reason_bytes,
				 "directory \"%s\" belongs to another database", dir);
		return FLOW_CORRUPT;
	}
	return FLOW_OK;
}
