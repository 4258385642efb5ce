/*-------------------------------------------------------------------------
 * describe_fate.c
 *	  What of a store's description counts: the fates of those who wrote it.
 *
 * A definition is logged at once and stays, whatever becomes of its
 * transaction.  What must go with it carries the xid.  That of a transaction
 * so old that pg_xact does not know it any more has committed, for all that
 * anybody can tell: a description is written again by the first row after the
 * change, so this is about stores that were never written to since.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "describe.h"
#include "flowdb_shmem.h"

typedef enum Fate
{
	FATE_COMMITTED,
	FATE_ABORTED,
	FATE_MINE,	 /* of this transaction, under way */
	FATE_PENDING /* of another, under way, or nobody knows yet */
} Fate;

static Fate
fate_of(uint64 xid)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
	FlowTxnState state = FLOW_TXN_UNKNOWN;
	FlowStatus st;

	if (xid >= next)
		return FATE_PENDING;
	if (next - xid > PG_INT32_MAX)
		return FATE_COMMITTED;
	if (TransactionIdIsCurrentTransactionId((TransactionId) xid))
		return FATE_MINE;
	st = flowdb_txn_outcome(flowdb_env(), xid, &state);
	if (st == FLOW_CORRUPT)
		return FATE_COMMITTED;
	flowdb_report(st);
	if (state == FLOW_TXN_ABORTED)
		return FATE_ABORTED;
	return state == FLOW_TXN_UNKNOWN ? FATE_PENDING : FATE_COMMITTED;
}

/* The name that counts: the newest whose giver was not rolled back; of others
 * under way, the one before theirs. */
static void
resolve_name(FlowdbDescription *desc, FlowdbStoreColumn *col)
{
	col->shown = col->name;
	while (col->renames != NIL)
	{
		FlowdbRename *last = llast(col->renames);

		switch (fate_of(last->xid))
		{
			case FATE_COMMITTED:
				col->renames = NIL;
				return;
			case FATE_MINE:
				desc->unsettled = true;
				return;
			case FATE_PENDING:
				desc->unsettled = true;
				col->renaming = true;
				col->shown =
					((FlowdbRename *) linitial(col->renames))->old_name;
				return;
			case FATE_ABORTED:
				col->shown = col->name = last->old_name;
				col->renames = list_delete_last(col->renames);
				break;
		}
	}
}

static void
resolve_column(FlowdbDescription *desc, FlowdbStoreColumn *col)
{
	Fate fate = col->add_xid == 0 ? FATE_COMMITTED : fate_of(col->add_xid);

	if (fate == FATE_COMMITTED)
		col->add_xid = 0;
	else if (fate == FATE_ABORTED)
	{
		col->add_xid = 0;
		col->dead = true;
		col->attnum = 0;
		col->has_missing = false;
	}
	else
		desc->unsettled = true;
	col->pending = fate == FATE_PENDING;
	resolve_name(desc, col);
}

bool
flowdb_describe_resolve(FlowdbDescription *desc)
{
	ListCell *lc;

	if (desc->begin_xid != 0)
	{
		switch (fate_of(desc->begin_xid))
		{
			case FATE_COMMITTED:
				desc->begin_xid = 0;
				break;
			case FATE_ABORTED:
				return false;
			case FATE_PENDING:
				desc->pending = true;
				desc->unsettled = true;
				break;
			case FATE_MINE:
				desc->unsettled = true;
				break;
		}
	}
	foreach (lc, desc->columns)
		resolve_column(desc, lfirst(lc));
	return true;
}
