/*-------------------------------------------------------------------------
 * truncate.c
 *	  TRUNCATE: one range tombstone over all keys and times of a store.
 *
 * It is as transactional as any other write: rolled back it hides nothing,
 * and a snapshot that is older goes on to see the rows.  Core has checked the
 * privilege, locked the table and seen to sequences and partitions.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/rel.h"

#include "modify.h"

/*
 * The table's lock keeps away who comes by this table; the store's keeps away
 * writers and row locks of other tables that show the same store.
 */
static void
truncate_one(Relation rel)
{
	FlowdbTable *table = flowdb_table_get(rel);
	FlowDb *db = flowdb_database(table->serverid);
	FlowdbLayout *layout = flowdb_layout_read(rel, table, db);
	FlowRect everything = {.key_lo = (const uint8_t *) "",
						   .ts_lo = PG_INT64_MIN,
						   .ts_hi = PG_INT64_MAX};

	if (!layout->exists)
		return;
	flowdb_lock_store(table->serverid, layout->store_id, ExclusiveLock);
	flowdb_xact_delete_range(table->serverid, db, layout->store_id, &everything,
							 GetCurrentCommandId(true));
}

void
flowdbExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs)
{
	ListCell *lc;

	flowdb_refuse_serializable();
	foreach (lc, rels)
		truncate_one(lfirst(lc));
}
