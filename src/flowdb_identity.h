/*-------------------------------------------------------------------------
 * flowdb_identity.h
 *	  The IDENTITY file: whose a database's directory is (S10); and the
 *	  registry's file.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_IDENTITY_H
#define FLOWDB_IDENTITY_H

#include "flowdb_shmem.h"
#include "port/pg_crc32c.h"

/* The checksum of all these files. */
extern pg_crc32c flowdb_file_crc(const void *data, Size len);

/* What IDENTITY, the registry and files of records set aside begin with, in
 * every version. */
typedef struct FlowdbFileHead
{
	uint64 magic;
	uint32 version; /* from 1 on */
	uint32 zero;
} FlowdbFileHead;

/*
 * Small files with a head before and a checksum behind: IDENTITY and the
 * registry.  load tells a missing or damaged file from one that cannot be
 * read, which throws.  NEWER: of a version above the one in want; that is
 * told from the head alone, since all behind it may be different.
 */
typedef enum FlowdbFileState
{
	FLOWDB_FILE_OK,
	FLOWDB_FILE_MISSING,
	FLOWDB_FILE_DAMAGED,
	FLOWDB_FILE_NEWER
} FlowdbFileState;

extern void flowdb_file_replace(const char *path, const void *data, Size len,
								const char *reserve);
extern FlowdbFileState flowdb_file_load(const char *path,
										const FlowdbFileHead *want, void *data,
										Size max, Size *len);

/* The same, as far as its head tells; false when there is nothing to read. */
extern bool flowdb_file_is_newer(const char *path, const FlowdbFileHead *want);

/*
 * flowdb_identity_write: durable; throws.
 * flowdb_identity_read: as flowdb_file_load.
 * flowdb_identity_matches: FLOW_OK: the directory belongs to this entry of
 * this cluster, and nothing is set aside; else reason says why not, and
 * FLOW_MISMATCH that a newer version of ours may know.
 */
extern void flowdb_identity_write(const char *dir, const FlowdbEntry *entry);
extern FlowdbFileState flowdb_identity_read(const char *dir, FlowdbEntry *entry,
											uint64 *system_id);
extern FlowStatus flowdb_identity_matches(const char *dir,
										  const FlowdbEntry *entry,
										  char *reason, Size reason_bytes);

/*
 * flowdb_regfile_write: n entries and the position into the registry's file,
 * durably; throws.
 * flowdb_regfile_read: how many there are; what is missing or damaged is told
 * by the directories.  ERROR when the file is of a newer version.
 * flowdb_regfile_check: that ERROR, and no other; for the postmaster.
 */
extern void flowdb_regfile_check(void);
extern void flowdb_regfile_write(const FlowdbEntry *entries, int n,
								 XLogRecPtr forgotten_before);
extern int flowdb_regfile_read(FlowdbEntry entries[FLOWDB_MAX_DATABASES],
							   XLogRecPtr *forgotten_before);

#endif /* FLOWDB_IDENTITY_H */
