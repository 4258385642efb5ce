/*-------------------------------------------------------------------------
 * execlock.c
 *	  Scans that lock what they return.
 *
 * A row of the snapshot that passes the scan's conditions is locked and read
 * again.  Under READ COMMITTED its newest version takes its place, if that
 * passes too, as a heap's would after EvalPlanQual; under REPEATABLE READ a
 * newer version is an error.  The conditions are evaluated here, and taken
 * from the node: once a version, however volatile they are.  What the engine
 * applies is another matter.  Bounds need not be checked again: they are about
 * key and time, and these are the row's identity.  Filters are about values, so
 * another version than the scan's has to pass them too.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "modify.h"

/* How a scan locks; in FlowdbScanState. */
struct FlowdbScanLock
{
	FlowdbRowLock mode;
	FlowdbRowWait wait;
	CmdType command;   /* whose target the relation is; CMD_SELECT: none's */
	ExprState *qual;   /* taken from the node */
	ExprState *filter; /* what the engine applies to value columns */
	int64 now;
	bool store_locked;
	FlowdbStatement *statement;
	FlowdbHeldRow held; /* the newest version, when the slot shows it */
};

/*
 * flowdb_lock_begin
 *		Make the scan a locking one if its plan says so.
 *
 * A plan tree that EvalPlanQual runs keeps its conditions: rows are put into
 * its slots without asking us.
 */
void
flowdb_lock_begin(ForeignScanState *node, FlowdbScanState *state)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	List *how = list_nth(plan->fdw_private, FLOWDB_SCAN_LOCK);
	List *filters = list_copy_tail(plan->fdw_recheck_quals, state->nquals);
	FlowdbScanLock *lock;

	if (how == NIL)
		return;
	lock = palloc0(sizeof(FlowdbScanLock));
	lock->mode = (FlowdbRowLock) linitial_int(how);
	lock->wait.policy = (LockWaitPolicy) lsecond_int(how);
	lock->wait.relname =
		pstrdup(RelationGetRelationName(node->ss.ss_currentRelation));
	lock->command = (CmdType) lthird_int(how);
	lock->now = flowdb_judge_now(state->db);
	lock->statement = flowdb_statement(node->ss.ps.state);
	flowdb_held_init(&lock->held, CurrentMemoryContext);
	lock->filter = ExecInitQual(filters, &node->ss.ps);
	if (!node->ss.ps.state->es_epq_active)
	{
		lock->qual = node->ss.ps.qual;
		node->ss.ps.qual = NULL;
	}
	state->lock = lock;
	state->reads_keys = state->reads_times = true;
}

void
flowdb_lock_end(FlowdbScanState *state)
{
	if (state->lock)
		flowdb_held_close(&state->lock->held);
}

static bool
passes(ForeignScanState *node, TupleTableSlot *slot)
{
	FlowdbScanState *state = node->fdw_state;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	if (!state->lock->qual)
		return true;
	ResetExprContext(econtext);
	econtext->ecxt_scantuple = slot;
	if (ExecQual(state->lock->qual, econtext))
		return true;
	InstrCountFiltered1(node, 1);
	return false;
}

/* The same of a version that the engine has not filtered. */
static bool
passes_anew(ForeignScanState *node, TupleTableSlot *slot)
{
	FlowdbScanState *state = node->fdw_state;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	if (state->lock->filter)
	{
		ResetExprContext(econtext);
		econtext->ecxt_scantuple = slot;
		if (!ExecQual(state->lock->filter, econtext))
			return false;
	}
	return passes(node, slot);
}

/* The slot shows another version of the row. */
static void
show_version(FlowdbScanState *state, TupleTableSlot *slot,
			 const FlowVector *vec)
{
	ExecClearTuple(slot);
	flowdb_decode(state->decoder, vec, 0, slot->tts_values, slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
}

/* A vector of the one row that another one has taken the place of. */
static const FlowVector *
displaced_row(FlowdbStatement *statement, const FlowdbRowId *row,
			  const FlowdbRowNote *note)
{
	FlowVector *vec = statement->displaced;

	if (!vec)
		vec = statement->displaced = MemoryContextAllocZero(
			statement->estate->es_query_cxt, sizeof(FlowVector));
	vec->nrows = 1;
	vec->key[0] = row->key;
	vec->key_bytes[0] = row->key_bytes;
	vec->ts[0] = row->ts;
	vec->expire_at[0] = note->displaced_expire_at;
	vec->value[0] = (const uint8_t *) note->displaced_value;
	vec->value_bytes[0] = note->displaced_bytes;
	return vec;
}

/*
 * The newest version is of the running command, or of a later one that this
 * one has called.  Such rows are left alone, as in a heap; but where a row of
 * this command has moved to the place of a row that it has not come to yet,
 * that one is still to be returned.
 */
static bool
own_row(ForeignScanState *node, const FlowdbRowId *row, CommandId cid,
		TupleTableSlot *slot)
{
	FlowdbScanState *state = node->fdw_state;
	FlowdbScanLock *lock = state->lock;
	FlowdbRowHash hash;
	FlowdbRowNote *note;

	if (lock->command == CMD_SELECT)
		return false;
	if (cid > node->ss.ps.state->es_output_cid)
		flowdb_modified_error(lock->command);
	flowdb_row_hash(row, &hash);
	note = flowdb_note_find(lock->statement, &hash);
	if (!note || !note->displaced)
		return false;
	if (!note->displaced_value)
		return true;
	show_version(state, slot, displaced_row(lock->statement, row, note));
	return passes_anew(node, slot);
}

/*
 * A row is changed at the time that its columns tell.  A table without a time
 * column shows rows that another table on the store has given one.
 */
static void
check_time_shown(const FlowdbTable *table, int64 ts, const char *relname)
{
	if (table->time_attnum != 0 || ts == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a row of foreign table \"%s\" has a time that the table "
					"does not show",
					relname),
			 errhint("Change it through a foreign table on the same store that "
					 "has a time column.")));
}

/* Somebody may have locked all of the store in place of many rows, which NOWAIT
 * and SKIP LOCKED take for each row; false: skip it. */
static bool
lock_store(const FlowdbScanLock *lock, const FlowdbRowId *row)
{
	LOCKMODE mode =
		lock->command == CMD_SELECT ? RowShareLock : RowExclusiveLock;

	if (lock->wait.policy == LockWaitBlock)
	{
		flowdb_lock_store(row->serverid, row->store_id, mode);
		return true;
	}
	if (flowdb_lock_store_if(row->serverid, row->store_id, mode))
		return true;
	if (lock->wait.policy == LockWaitError)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("could not obtain lock on row in relation "
							   "\"%s\"",
							   lock->wait.relname)));
	return false;
}

/* Lock the row that the scan has come to; false: it is not to be returned. */
static bool
lock_row(ForeignScanState *node, const FlowdbRowId *row, TupleTableSlot *slot)
{
	FlowdbScanState *state = node->fdw_state;
	FlowdbScanLock *lock = state->lock;
	Snapshot snapshot = node->ss.ps.state->es_snapshot;
	FlowdbRowNewest newest;

	if (lock->command != CMD_SELECT)
		check_time_shown(state->table, row->ts, lock->wait.relname);
	if (!lock->store_locked && !lock_store(lock, row))
		return false;
	lock->store_locked = true;
	if (!flowdb_row_lock(row, lock->mode, &lock->wait))
		return false;
	flowdb_held_newest(&lock->held, row, snapshot, lock->now, &lock->wait,
					   &newest);
	if (newest.skipped)
		return false;
	if (newest.own && newest.cid >= snapshot->curcid)
		return own_row(node, row, newest.cid, slot);
	flowdb_check_newer(&newest);
	if (newest.state == FLOWDB_ROW_NONE)
		return false;
	if (lock->command != CMD_SELECT)
		flowdb_note_last(lock->statement, row, &newest,
						 newest.state == FLOWDB_ROW_CHANGED);
	if (newest.state == FLOWDB_ROW_SAME)
	{
		flowdb_held_close(&lock->held);
		return true;
	}
	show_version(state, slot, newest.vec);
	return passes_anew(node, slot);
}

/*
 * flowdb_lock_next
 *		The next row that passes and could be locked; an empty slot at the end.
 */
TupleTableSlot *
flowdb_lock_next(ForeignScanState *node)
{
	FlowdbScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	for (;;)
	{
		FlowdbRowId row;
		uint32 at;

		CHECK_FOR_INTERRUPTS();
		flowdb_held_close(&state->lock->held);
		if (!flowdb_scan_next(node))
			return ExecClearTuple(slot);
		if (!passes(node, slot))
			continue;
		at = state->next - 1;
		row = (FlowdbRowId){.serverid = state->table->serverid,
							.db = state->db,
							.store_id = state->decoder->layout->store_id,
							.key = state->vec->key[at],
							.key_bytes = state->vec->key_bytes[at],
							.ts = state->vec->ts[at]};
		if (lock_row(node, &row, slot))
			return slot;
	}
}
