/*-------------------------------------------------------------------------
 * aside.h
 *	  Log records that recovery could not apply.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_ASIDE_H
#define FLOWDB_ASIDE_H

#include "flowdb_shmem.h"

/*
 * flowdb_aside_path
 *		The file of a database's records: kept for later, or set aside for
 *		good.
 * flowdb_aside_append, _sync
 *		Append redo's record to the one or the other of a slot's database;
 *		make durable what was appended.  FATAL when that cannot be done:
 *		recovery goes on at the next start.  Of the startup process.
 * flowdb_aside_end
 *		At the end of recovery: of what is kept for a slot's database, no record
 *		that this recovery has not come to counts.  FATAL as above.
 * flowdb_aside_apply
 *		Apply what was kept for later to a database that was just loaded and
 *		nobody else uses yet, flush it, and remove the file.  OK too when
 *		there is none.  Throws when the file cannot be read.
 * flowdb_aside_start
 *		Does it have any, and at which log position does the first one start?
 *		Throws as above.
 * flowdb_aside_remove
 *		Remove both.
 */
extern void flowdb_aside_path(const FlowdbEntry *entry, bool later,
							  char path[64]);
extern void flowdb_aside_append(int slot, bool later, XLogReaderState *record);
extern void flowdb_aside_sync(void);
extern void flowdb_aside_end(int slot);
extern FlowStatus flowdb_aside_apply(const FlowdbEntry *entry, FlowDb *db);
extern bool flowdb_aside_start(const FlowdbEntry *entry, XLogRecPtr *startp);
extern void flowdb_aside_remove(const FlowdbEntry *entry);

#endif /* FLOWDB_ASIDE_H */
