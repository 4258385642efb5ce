/*-------------------------------------------------------------------------
 * flowdb_identity.h
 *	  The IDENTITY file: whose a database's directory is (S10); and the
 *	  registry's file.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_IDENTITY_H
#define FLOWDB_IDENTITY_H

#include "flowdb_shmem.h"

/*
 * flowdb_identity_write: durable; throws.
 * flowdb_identity_read: false when the file is missing or damaged.
 * flowdb_identity_matches: does the directory belong to this entry of this
 * cluster, with nothing set aside?  If not, reason says why.
 */
extern void flowdb_identity_write(const char *dir, const FlowdbEntry *entry);
extern bool flowdb_identity_read(const char *dir, FlowdbEntry *entry,
								 uint64 *system_id);
extern bool flowdb_identity_matches(const char *dir, const FlowdbEntry *entry,
									char *reason, Size reason_bytes);

/*
 * Small files with a checksum behind: IDENTITY and the registry.  load tells
 * a missing or damaged file from one that cannot be read, which throws.
 */
typedef enum FlowdbFileState
{
	FLOWDB_FILE_OK,
	FLOWDB_FILE_MISSING,
	FLOWDB_FILE_DAMAGED
} FlowdbFileState;

extern void flowdb_file_replace(const char *path, const void *data, Size len);
extern FlowdbFileState flowdb_file_load(const char *path, void *data, Size max,
										Size *len);

/*
 * flowdb_regfile_write: n entries and the position into the registry's file,
 * durably; throws.
 * flowdb_regfile_read: how many there are; what is missing or damaged is told
 * by the directories.
 */
extern void flowdb_regfile_write(const FlowdbEntry *entries, int n,
								 XLogRecPtr forgotten_before);
extern int flowdb_regfile_read(FlowdbEntry entries[FLOWDB_MAX_DATABASES],
							   XLogRecPtr *forgotten_before);

#endif /* FLOWDB_IDENTITY_H */
