/*-------------------------------------------------------------------------
 * execupdate.c
 *	  UPDATE and DELETE of rows that a scan has locked.
 *
 * An update that leaves key and time alone writes the row anew.  Any other
 * moves it: its old place is deleted and its new one written, each checked at
 * the push like every write that answers a read.
 *
 * Within one command a row may move to a place whose own row is moved away
 * later (SET ts = ts + 1).  So it is noted that it has displaced that one: the
 * scan still returns it then, and it leaves without a tombstone, which would
 * hide the newcomer.  If it does not come, because it does not match, it has
 * been replaced.  The note goes with it, so that a series that moves on by
 * one needs a single note at a time.
 *
 * A row that comes twice, by a join, is written once: whatever has happened
 * since its scan read it last is seen by reading it again.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "modify.h"

/* The row to be changed, as its scan has left it. */
typedef struct OldRow
{
	FlowdbRowId id;
	FlowdbRowHash hash;
	FlowdbRowNote *note; /* NULL: none */
	uint64 seen;
	int64 expire_at;
} OldRow;

/* ------------------------------------------------------------------- begin */

static AttrNumber
find_junk(Plan *subplan, Relation rel, AttrNumber attnum)
{
	const char *name =
		flowdb_junk_name(TupleDescAttr(RelationGetDescr(rel), attnum - 1));
	AttrNumber junk = ExecFindJunkAttributeInTlist(subplan->targetlist, name);

	if (!AttributeNumberIsValid(junk))
		elog(ERROR, "could not find junk column \"%s\"", name);
	return junk;
}

void
flowdb_update_begin(FlowdbModify *m, ModifyTableState *mtstate, Relation rel)
{
	Plan *subplan = outerPlan(mtstate->ps.plan);
	const FlowdbTable *table = m->table;

	m->statement = flowdb_statement(mtstate->ps.state);
	m->key_junk = palloc(sizeof(AttrNumber) * table->nkeys);
	for (int i = 0; i < table->nkeys; i++)
		m->key_junk[i] = find_junk(subplan, rel, table->keys[i].attnum);
	if (table->time_attnum != 0)
		m->time_junk = find_junk(subplan, rel, table->time_attnum);
	initStringInfo(&m->old_key);
	m->seen = flow_log_seen(m->db);
}

/* ----------------------------------------------------------------- old row */

static Datum
junk_value(TupleTableSlot *planSlot, AttrNumber attnum)
{
	bool isnull;
	Datum value = ExecGetJunkAttribute(planSlot, attnum, &isnull);

	if (isnull)
		elog(ERROR, "junk column %d is NULL", attnum);
	return value;
}

/* Key and time of the old row from the junk columns. */
static void
old_identity(FlowdbModify *m, TupleTableSlot *planSlot, FlowdbRowId *id)
{
	const FlowdbTable *table = m->table;
	MemoryContext old = MemoryContextSwitchTo(m->row_cxt);

	resetStringInfo(&m->old_key);
	for (int i = 0; i < table->nkeys; i++)
		flowdb_key_append(&m->old_key, table->keys[i].type,
						  junk_value(planSlot, m->key_junk[i]),
						  table->nkeys > 1);
	MemoryContextSwitchTo(old);
	*id = (FlowdbRowId){.serverid = table->serverid,
						.db = m->db,
						.store_id = m->layout->store_id,
						.key = (const uint8 *) m->old_key.data,
						.key_bytes = (uint32) m->old_key.len};
	if (table->time_attnum != 0)
		id->ts = flowdb_encode_time(junk_value(planSlot, m->time_junk),
									table->time_type);
}

/*
 * Something has been written since the row was read: read it again.  It is
 * locked, so that only this transaction can have changed it; false: this
 * command has, and is done with it.
 */
static bool
read_again(FlowdbModify *m, OldRow *old, CmdType operation)
{
	FlowdbRowNewest newest;
	bool own;

	flowdb_held_newest(&m->held, &old->id, NULL, m->now, &m->wait, &newest);
	if (newest.state != FLOWDB_ROW_NONE)
		old->expire_at = newest.vec->expire_at[0];
	flowdb_held_close(&m->held);
	own = newest.own && newest.cid >= m->cid;
	if (own && newest.cid > m->cid)
		flowdb_modified_error(operation);
	if (own && old->note && old->note->displaced)
	{
		old->expire_at = old->note->displaced_expire_at;
		return true;
	}
	return !own && newest.state != FLOWDB_ROW_NONE;
}

/* What is known of the row to be changed; false: leave it alone. */
static bool
find_old(FlowdbModify *m, TupleTableSlot *planSlot, CmdType operation,
		 OldRow *old)
{
	FlowdbStatement *statement = m->statement;

	old_identity(m, planSlot, &old->id);
	flowdb_row_hash(&old->id, &old->hash);
	old->note = flowdb_note_find(statement, &old->hash);
	if (flowdb_note_is_last(statement, old->id.serverid, &old->hash))
	{
		old->seen = statement->last_seen;
		old->expire_at = statement->last_expire_at;
		return true;
	}
	old->seen = old->note && old->note->changed ? old->note->seen : m->seen;
	return read_again(m, old, operation);
}

/* The old row leaves its place, unless another one has arrived there. */
static void
leave(FlowdbModify *m, const OldRow *old)
{
	if (old->note && old->note->displaced)
		return;
	flowdb_xact_write(old->id.serverid, m->db,
					  &(FlowdbWrite){.op = FLOW_DELETE,
									 .store_id = old->id.store_id,
									 .key = old->id.key,
									 .key_bytes = old->id.key_bytes,
									 .ts = old->id.ts,
									 .cid = m->cid,
									 .checked = true,
									 .seen = old->seen});
}

/* ------------------------------------------------------------------ update */

/*
 * Note that a row arrives at a place where newest was found: a row that stood
 * there before this command is still to be updated if the scan comes to it.
 * If it is not the snapshot's version, the scan needs it from here.  What this
 * command has left or written there already is done with.
 */
static void
note_arrival(FlowdbModify *m, const FlowdbRowId *row,
			 const FlowdbRowNewest *newest)
{
	FlowdbRowHash hash;
	FlowdbRowNote *note;

	if (newest->state == FLOWDB_ROW_NONE ||
		(newest->own && newest->cid >= m->cid))
		return;
	flowdb_row_hash(row, &hash);
	note = flowdb_note_make(m->statement, &hash);
	note->displaced = true;
	note->displaced_expire_at = newest->vec->expire_at[0];
	if (newest->state == FLOWDB_ROW_CHANGED)
	{
		uint32 bytes = newest->vec->value_bytes[0];

		note->changed = true;
		note->seen = newest->seen;
		note->displaced_value = MemoryContextAlloc(m->cxt, bytes + 1);
		memcpy(note->displaced_value, newest->vec->value[0], bytes);
		note->displaced_bytes = bytes;
	}
}

/*
 * The row that m->encoder has arrives at its place, from old's or, NULL, from
 * another partition.
 */
static void
arrive(FlowdbModify *m, ResultRelInfo *rinfo, TupleTableSlot *slot,
	   EState *estate, const OldRow *old)
{
	FlowdbRowId row;
	FlowdbRowNewest newest;

	flowdb_modify_row(m, &row);
	(void) flowdb_row_lock(&row, FLOWDB_ROW_EXCLUSIVE, &m->wait);
	flowdb_held_newest(&m->held, &row, estate->es_snapshot, m->now, &m->wait,
					   &newest);
	if (newest.state != FLOWDB_ROW_NONE)
	{
		if (m->on_duplicate != FLOWDB_DUPLICATE_REPLACE)
			flowdb_duplicate_error(m, rinfo->ri_RelationDesc, slot);
		flowdb_check_newer(&newest);
	}
	if (old)
		leave(m, old);
	note_arrival(m, &row, &newest);
	flowdb_held_close(&m->held);
	flowdb_modify_put(m, &newest.seen, newest.state == FLOWDB_ROW_NONE);
}

void
flowdb_update_arrive(FlowdbModify *m, ResultRelInfo *rinfo,
					 TupleTableSlot *slot, EState *estate)
{
	arrive(m, rinfo, slot, estate, NULL);
}

static bool
same_place(const FlowdbModify *m, const OldRow *old)
{
	const FlowdbEncoder *enc = &m->encoder;

	return enc->ts == old->id.ts &&
		   (uint32) enc->key.len == old->id.key_bytes &&
		   memcmp(enc->key.data, old->id.key, old->id.key_bytes) == 0;
}

TupleTableSlot *
flowdbExecForeignUpdate(EState *estate, ResultRelInfo *rinfo,
						TupleTableSlot *slot, TupleTableSlot *planSlot)
{
	FlowdbModify *m = rinfo->ri_FdwState;
	OldRow old;

	/* core does not move a row out of a foreign partition: refused (23514) */
	flowdb_modify_constraints(m, rinfo, slot, estate,
							  rinfo->ri_RelationDesc->rd_rel->relispartition);
	flowdb_modify_begin_store(m, rinfo->ri_RelationDesc);
	if (!find_old(m, planSlot, CMD_UPDATE, &old))
		return NULL;
	flowdb_modify_encode(m, slot, old.expire_at);
	if (!same_place(m, &old))
		arrive(m, rinfo, slot, estate, &old);
	else
		flowdb_modify_put(m, &old.seen, false);
	if (old.note)
		flowdb_note_drop(m->statement, &old.hash);
	return slot;
}

/* ------------------------------------------------------------------ delete */

/* The deleted row for RETURNING, from the plan's whole-row column. */
static void
return_old(ResultRelInfo *rinfo, TupleTableSlot *planSlot, TupleTableSlot *slot)
{
	HeapTupleData tuple;
	HeapTupleHeader header =
		DatumGetHeapTupleHeader(junk_value(planSlot, rinfo->ri_RowIdAttNo));

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = RelationGetRelid(rinfo->ri_RelationDesc);
	tuple.t_data = header;
	/* a slot that keeps heap tuples keeps the very struct */
	ExecForceStoreHeapTuple(heap_copytuple(&tuple), slot, true);
}

TupleTableSlot *
flowdbExecForeignDelete(EState *estate, ResultRelInfo *rinfo,
						TupleTableSlot *slot, TupleTableSlot *planSlot)
{
	FlowdbModify *m = rinfo->ri_FdwState;
	OldRow old;

	flowdb_modify_begin_store(m, rinfo->ri_RelationDesc);
	if (!find_old(m, planSlot, CMD_DELETE, &old))
		return NULL;
	leave(m, &old);
	if (old.note)
		flowdb_note_drop(m->statement, &old.hash);
	if (rinfo->ri_projectReturning)
		return_old(rinfo, planSlot, slot);
	return slot;
}
