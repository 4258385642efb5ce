/*-------------------------------------------------------------------------
 * flowdb_wal.h
 *	  Records of the FlowDB resource manager in PostgreSQL's WAL.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_WAL_H
#define FLOWDB_WAL_H

#include "flowdb_shmem.h"

/* A body that changes gets a new number, since it has no version of its own;
 * only an engine record has. */
#define XLOG_FLOWDB_RECORD 0x00 /* an engine record: batch or store */
#define XLOG_FLOWDB_CREATE 0x10 /* body: FlowdbEntry */
#define XLOG_FLOWDB_DROP 0x20	/* body: uint64 full xid */

/* serverid InvalidOid in a DROP: every server of the database. */
typedef struct FlowdbWalHead
{
	Oid dboid;
	Oid serverid;
} FlowdbWalHead;

#endif /* FLOWDB_WAL_H */
