/*-------------------------------------------------------------------------
 * datadir.c
 *	  Where a database's files lie: the server option data_dir, and what may
 *	  be at its place before.
 *
 * The name becomes part of a path, so it is made of few characters, and of
 * none of the names that base backups pass over at any depth: a database
 * named so would be missing from them.  A symbolic link is never followed:
 * who can write below $PGDATA/flowdb could otherwise make the server write,
 * and DROP SERVER remove, files anywhere else.
 *
 * Keeps: S10.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "commands/defrem.h"
#include "common/file_perm.h"
#include "common/file_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "datadir.h"
#include "flowdb_identity.h"

#define REMOVE_TRIES 5

#define NAME_CHARACTERS                                    \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
	"0123456789_-."

/* Beginnings of names that are ours, or that base backups leave out. */
static const char *const reserved[] = {
	"registry",		  "aside-",			  "later-",		"pg_",
	"pgsql_",		  "postmaster.",	  "postgresql", "backup_",
	"tablespace_map", "current_logfiles",
};

/* ------------------------------------------------------------------ the name */

/* "<number>-<number>", as directories are named by default. */
static bool
is_default_name(const char *value)
{
	size_t first = strspn(value, "0123456789");
	size_t second;

	if (first == 0 || value[first] != '-')
		return false;
	second = strspn(value + first + 1, "0123456789");
	return second > 0 && value[first + 1 + second] == '\0';
}

static bool
is_reserved(const char *value)
{
	for (Size i = 0; i < lengthof(reserved); i++)
		if (pg_strncasecmp(value, reserved[i], strlen(reserved[i])) == 0)
			return true;
	return is_default_name(value);
}

bool
flowdb_datadir_valid(const char *value)
{
	size_t len = strlen(value);

	return len > 0 && len < NAMEDATALEN && value[0] != '.' && value[0] != '-' &&
		   strspn(value, NAME_CHARACTERS) == len && !is_reserved(value);
}

void
flowdb_datadir_check(const char *name, const char *value)
{
	if (is_absolute_path(value))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"%s\" cannot be an absolute path", name),
				 errhint("Give the name of a folder of $PGDATA/%s.  It may be "
						 "an empty one that has another file system mounted "
						 "at it.",
						 FLOWDB_DIRECTORY)));
	if (strlen(value) == 0 || strlen(value) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_STRING_LENGTH_OR_BUFFER_LENGTH),
				 errmsg("invalid value for option \"%s\": %zu bytes", name,
						strlen(value)),
				 errhint("The name of a folder has 1 to %d bytes.",
						 NAMEDATALEN - 1)));
	if (flowdb_datadir_valid(value))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
		 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
		 is_reserved(value)
			 ? errhint("The name is reserved; choose another one.")
			 : errhint("The name of a folder is made of letters without "
					   "accents, digits, \"_\", \"-\" and \".\", and begins "
					   "with a letter, a digit or \"_\".")));
}

const char *
flowdb_datadir_option(List *options)
{
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, FLOWDB_DATA_DIR_OPTION) == 0)
			return defGetString(def);
	}
	return "";
}

/* ------------------------------------------------------------- the directory */

/* Nothing there, or a directory and no symbolic link to one. */
static bool
is_directory_or_missing(const char *path, bool *existsp, char *reason,
						Size reason_bytes)
{
	struct stat sb;

	*existsp = false;
	if (lstat(path, &sb) < 0)
	{
		if (errno == ENOENT)
			return true;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not stat file \"%s\": %m", path)));
	}
	*existsp = true;
	if (S_ISDIR(sb.st_mode))
		return true;
	snprintf(reason, reason_bytes, "\"%s\" is %s", path,
			 S_ISLNK(sb.st_mode) ? "a symbolic link" : "not a directory");
	return false;
}

bool
flowdb_datadir_is_sound(const FlowdbEntry *entry, char *reason,
						Size reason_bytes)
{
	char path[MAXPGPATH];
	bool exists;

	flowdb_registry_path(entry, path);
	return is_directory_or_missing(FLOWDB_DIRECTORY, &exists, reason,
								   reason_bytes) &&
		   is_directory_or_missing(path, &exists, reason, reason_bytes);
}

/* What a new file system has in it, and what a crash may leave, is nothing;
 * in recovery also what there is of a database before it has an identity. */
static bool
is_nothing(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		   strcmp(name, "lost+found") == 0 ||
		   strncmp(name, PG_TEMP_FILE_PREFIX, strlen(PG_TEMP_FILE_PREFIX)) ==
			   0 ||
		   (RecoveryInProgress() &&
			(strcmp(name, "INDEX") == 0 || strcmp(name, "SST") == 0));
}

static bool
is_empty(const char *path, int elevel)
{
	DIR *dir = AllocateDir(path);
	bool empty = dir != NULL;
	struct dirent *de;

	while ((empty || elevel >= ERROR) &&
		   (de = ReadDirExtended(dir, path, elevel)) != NULL)
		empty = empty && is_nothing(de->d_name);
	if (dir != NULL)
		FreeDir(dir);
	return empty;
}

/* May an existing directory become this database's? */
static bool
may_take(const char *path, const FlowdbEntry *entry, char *reason,
		 Size reason_bytes)
{
	FlowdbEntry found;
	uint64 system_id;

	if (is_empty(path, ERROR))
		return true;
	if (RecoveryInProgress() &&
		flowdb_identity_read(path, &found, &system_id) == FLOWDB_FILE_OK &&
		found.identity == entry->identity && system_id == GetSystemIdentifier())
		return true;
	snprintf(reason, reason_bytes, "directory \"%s\" is not empty", path);
	return false;
}

/* *existsp: the database's directory does. */
static bool
is_free(const FlowdbEntry *entry, const char *path, bool *existsp, char *reason,
		Size reason_bytes)
{
	return is_directory_or_missing(FLOWDB_DIRECTORY, existsp, reason,
								   reason_bytes) &&
		   is_directory_or_missing(path, existsp, reason, reason_bytes) &&
		   (!*existsp || may_take(path, entry, reason, reason_bytes));
}

void
flowdb_datadir_refuse(const char *reason)
{
	ereport(ERROR, (errcode(ERRCODE_DUPLICATE_FILE),
					errmsg("could not create a FlowDB database: %s", reason),
					errhint("Its directory must be missing, or empty.")));
}

void
flowdb_datadir_require_free(const FlowdbEntry *entry)
{
	char path[MAXPGPATH];
	char reason[256];
	bool exists;

	flowdb_registry_path(entry, path);
	if (!is_free(entry, path, &exists, reason, sizeof(reason)))
		flowdb_datadir_refuse(reason);
}

static void
make_directory(const char *path)
{
	if (MakePGDirectory(path) < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", path)));
}

bool
flowdb_datadir_make(const FlowdbEntry *entry, char *reason, Size reason_bytes)
{
	char path[MAXPGPATH];
	struct stat sb;
	bool exists;

	flowdb_registry_path(entry, path);
	if (!is_free(entry, path, &exists, reason, reason_bytes))
		return false;
	if (lstat(FLOWDB_DIRECTORY, &sb) < 0)
		make_directory(FLOWDB_DIRECTORY);
	if (!exists)
		make_directory(path);
	return true;
}

/* A merge that is under way may make one more file while the others go; it
 * fails with the next one.  Of a link that somebody put there only the link
 * is removed; where a file system is mounted the directory stays. */
bool
flowdb_datadir_remove(const FlowdbEntry *entry)
{
	char path[MAXPGPATH];
	struct stat sb;

	flowdb_registry_path(entry, path);
	for (int i = 0; i < REMOVE_TRIES; i++)
	{
		if (lstat(path, &sb) < 0 && errno == ENOENT)
			return true;
		if (S_ISLNK(sb.st_mode) ? unlink(path) == 0
								: rmtree(path, false) && rmdir(path) == 0)
			return true;
		if (errno == EBUSY && is_empty(path, LOG))
			return true; /* nothing is wrong: no WARNING */
		pg_usleep(10000L);
	}
	return is_empty(path, LOG);
}
