/*-------------------------------------------------------------------------
 * rowtable.h
 *	  The table of row locks in shared memory; for rowlock.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_ROWTABLE_H
#define FLOWDB_ROWTABLE_H

#include "rowlock.h"

typedef struct FlowdbRowKey
{
	Oid dboid;
	Oid serverid;
	uint32 store_id;
	uint32 part; /* 0; more entries are needed for many holders */
	uint64 hash; /* of the row's key and time; two rows may share an entry */
} FlowdbRowKey;

typedef enum FlowdbRowTake
{
	FLOWDB_ROW_HAD,		/* this transaction has it already */
	FLOWDB_ROW_TAKEN,	/* now */
	FLOWDB_ROW_BUSY,	/* another one has it */
	FLOWDB_ROW_NO_ROOM, /* in the table */
} FlowdbRowTake;

/*
 * flowdb_row_take
 *		Enter xid, of this transaction, as a holder of a row.  *otherp: the
 *		one that is in the way, when it is BUSY.
 * flowdb_row_leave
 *		Take xid out again, as what it holds in this mode.
 * flowdb_row_evict
 *		Take out all that xid holds of the row: it has ended.
 * None of them throws; all take a lock of the table for a moment.
 */
extern FlowdbRowTake flowdb_row_take(const FlowdbRowKey *key,
									 FlowdbRowLock mode, uint64 xid,
									 uint64 *otherp);
extern void flowdb_row_leave(const FlowdbRowKey *key, FlowdbRowLock mode,
							 uint64 xid);
extern void flowdb_row_evict(const FlowdbRowKey *key, uint64 xid);

#endif /* FLOWDB_ROWTABLE_H */
