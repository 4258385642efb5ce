/*-------------------------------------------------------------------------
 * datadir.h
 *	  Where a database's files lie, and what may lie there before.
 *
 * By default in $PGDATA/flowdb/<database oid>-<server oid>; the server option
 * data_dir names another folder of $PGDATA/flowdb.  An entry's path is that
 * name, or empty.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_DATADIR_H
#define FLOWDB_DATADIR_H

#include "flowdb_shmem.h"

#define FLOWDB_DATA_DIR_OPTION "data_dir"

/*
 * flowdb_datadir_check
 *		ERROR when value is not good for the option data_dir; name is the
 *		option's.
 * flowdb_datadir_valid
 *		The same as a question, for names that come from files.
 * flowdb_datadir_option
 *		The option among a server's (List of DefElem), "" for none.
 * flowdb_datadir_make
 *		Make the directory of a new database: false, with a reason, when there
 *		is something that is not ours.  In recovery it may be one that was
 *		begun before a crash, or that a base backup has copied in part.
 *		Throws when the file system fails.
 * flowdb_datadir_require_free, _refuse
 *		For CREATE SERVER, before it is logged: ERROR when the directory is
 *		there and not empty; the same error for a reason of the former.
 * flowdb_datadir_is_sound
 *		Nothing on the way to the directory is a symbolic link.
 * flowdb_datadir_remove
 *		Remove it with all that is in it; false: something is left.
 */
extern void flowdb_datadir_check(const char *name, const char *value);
extern bool flowdb_datadir_valid(const char *value);
extern const char *flowdb_datadir_option(List *options);
extern bool flowdb_datadir_make(const FlowdbEntry *entry, char *reason,
								Size reason_bytes);
extern void flowdb_datadir_require_free(const FlowdbEntry *entry);
pg_noreturn extern void flowdb_datadir_refuse(const char *reason);
extern bool flowdb_datadir_is_sound(const FlowdbEntry *entry, char *reason,
									Size reason_bytes);
extern bool flowdb_datadir_remove(const FlowdbEntry *entry);

#endif /* FLOWDB_DATADIR_H */
