/*-------------------------------------------------------------------------
 * execmodify.c
 *	  Writing rows: begin and end, INSERT, COPY FROM, partition routing.
 *
 * Core enforces neither NOT NULL nor CHECK nor partition bounds on foreign
 * tables; they are enforced here.  Rows go to the transaction's private
 * buffer (xact.c) one by one: core's batches would only copy each row twice
 * more (measured: 350 instead of 250 ns a row), and there is no round trip to
 * save.  UPDATE and DELETE are in execupdate.c.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "modify.h"

void
flowdb_refuse_do_update(const ModifyTable *plan)
{
	if (plan && plan->onConflictAction == ONCONFLICT_UPDATE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("ON CONFLICT DO UPDATE is not supported on "
							   "FlowDB tables"),
						errhint("INSERT replaces the row with the same key and "
								"time.")));
}

/* ------------------------------------------------------------------- begin */

/*
 * A row that tuple routing brought here fits the partition, unless a trigger
 * may have changed it since.
 */
static bool
needs_partition_check(const ResultRelInfo *rinfo)
{
	return rinfo->ri_RelationDesc->rd_rel->relispartition &&
		   (!rinfo->ri_RootResultRelInfo ||
			(rinfo->ri_TrigDesc && rinfo->ri_TrigDesc->trig_insert_before_row));
}

/*
 * cid: the statement's command id.  It is taken once: functions that the
 * statement calls may move the transaction's on.
 */
static FlowdbModify *
begin_modify(ResultRelInfo *rinfo, const ModifyTable *plan, CommandId cid)
{
	Relation rel = rinfo->ri_RelationDesc;
	FlowdbModify *m = palloc0(sizeof(FlowdbModify));

	flowdb_refuse_serializable();
	flowdb_refuse_do_update(plan);
	m->table = flowdb_table_get(rel);
	m->db = flowdb_database(m->table->serverid);
	flowdb_encoder_init(&m->encoder, rel, m->table);
	m->on_duplicate = plan && plan->onConflictAction == ONCONFLICT_NOTHING
						  ? FLOWDB_DUPLICATE_IGNORE
						  : m->table->on_duplicate;
	m->check_constraints = RelationGetDescr(rel)->constr != NULL;
	m->check_partition = needs_partition_check(rinfo);
	m->cid = cid;
	m->now = flowdb_statement_now();
	m->wait.policy = LockWaitBlock;
	m->wait.relname = RelationGetRelationName(rel);
	m->cxt = CurrentMemoryContext;
	flowdb_held_init(&m->held, m->cxt);
	m->row_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB row to write", ALLOCSET_DEFAULT_SIZES);
	rinfo->ri_FdwState = m;
	return m;
}

void
flowdbBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
						 List *fdw_private, int subplan_index, int eflags)
{
	FlowdbModify *m;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	m = begin_modify(rinfo, castNode(ModifyTable, mtstate->ps.plan),
					 mtstate->ps.state->es_output_cid);
	if (mtstate->operation == CMD_UPDATE || mtstate->operation == CMD_DELETE)
		flowdb_update_begin(m, mtstate, rinfo->ri_RelationDesc);
}

/*
 * COPY comes without a plan, and without the command id in its EState.  A
 * partition that an UPDATE moves rows to may be a target of it as well, and
 * has its state then.
 */
void
flowdbBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	EState *estate = mtstate->ps.state;
	ModifyTable *plan = (ModifyTable *) mtstate->ps.plan;
	FlowdbModify *m;
	MemoryContext old;

	if (rinfo->ri_FdwState)
		return;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	m = begin_modify(rinfo, plan,
					 plan ? estate->es_output_cid : GetCurrentCommandId(true));
	if (plan && plan->operation != CMD_INSERT)
		m->statement = flowdb_statement(estate);
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------- what all writes share */

/*
 * The lock is the statement's: rows are written by it alone, outside of
 * subtransactions that its functions may begin, so once is enough.
 */
void
flowdb_modify_begin_store(FlowdbModify *m, Relation rel)
{
	MemoryContext old;

	if (m->layout)
		return;
	old = MemoryContextSwitchTo(m->cxt);
	m->layout = flowdb_layout_write(rel, m->table, m->db);
	m->encoder.layout = m->layout;
	MemoryContextSwitchTo(old);
	flowdb_lock_store(m->table->serverid, m->layout->store_id,
					  RowExclusiveLock);
}

void
flowdb_modify_constraints(FlowdbModify *m, ResultRelInfo *rinfo,
						  TupleTableSlot *slot, EState *estate, bool partition)
{
	if (m->check_constraints)
		ExecConstraints(rinfo, slot, estate);
	if (partition)
		ExecPartitionCheck(rinfo, slot, estate, true);
}

void
flowdb_modify_encode(FlowdbModify *m, TupleTableSlot *slot, int64 old_expire_at)
{
	FlowdbEncoder *enc = &m->encoder;
	MemoryContext old = MemoryContextSwitchTo(m->row_cxt);

	flowdb_encode(enc, slot);
	MemoryContextSwitchTo(old);
	if (!MemoryContextIsEmpty(m->row_cxt))
		MemoryContextReset(m->row_cxt);
	if (m->table->expire_attnum == 0 && !m->table->has_ttl)
		enc->expire_at = old_expire_at;
}

void
flowdb_modify_row(const FlowdbModify *m, FlowdbRowId *row)
{
	*row = (FlowdbRowId){.serverid = m->table->serverid,
						 .db = m->db,
						 .store_id = m->layout->store_id,
						 .key = (const uint8 *) m->encoder.key.data,
						 .key_bytes = (uint32) m->encoder.key.len,
						 .ts = m->encoder.ts};
}

void
flowdb_modify_put(FlowdbModify *m, const uint64 *seen, bool absent)
{
	FlowdbEncoder *enc = &m->encoder;

	if (enc->expire_at <= m->now)
		m->expired_rows++;
	flowdb_xact_write(m->table->serverid, m->db,
					  &(FlowdbWrite){.op = FLOW_PUT,
									 .store_id = m->layout->store_id,
									 .key = enc->key.data,
									 .key_bytes = (Size) enc->key.len,
									 .ts = enc->ts,
									 .expire_at = enc->expire_at,
									 .value = enc->value.data,
									 .value_bytes = (Size) enc->value.len,
									 .cid = m->cid,
									 .checked = seen != NULL,
									 .seen = seen ? *seen : 0,
									 .absent = absent});
}

/* -------------------------------------------------------------- duplicates */

static bool
may_see(Relation rel, AttrNumber attnum)
{
	Oid relid = RelationGetRelid(rel);

	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		   pg_attribute_aclcheck(relid, attnum, GetUserId(), ACL_SELECT) ==
			   ACLCHECK_OK;
}

static void
describe_column(Relation rel, AttrNumber attnum, TupleTableSlot *slot,
				StringInfo names, StringInfo values)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid output;
	bool varlena;

	getTypeOutputInfo(att->atttypid, &output, &varlena);
	appendStringInfo(names, "%s%s", names->len > 0 ? ", " : "",
					 NameStr(att->attname));
	appendStringInfo(
		values, "%s%s", values->len > 0 ? ", " : "",
		OidOutputFunctionCall(output, slot->tts_values[attnum - 1]));
}

/* Key and time as names and values; false: not all may be shown. */
static bool
describe_row(const FlowdbTable *table, Relation rel, TupleTableSlot *slot,
			 StringInfo names, StringInfo values)
{
	initStringInfo(names);
	initStringInfo(values);
	slot_getallattrs(slot);
	for (int i = 0; i < table->nkeys; i++)
	{
		if (!may_see(rel, table->keys[i].attnum))
			return false;
		describe_column(rel, table->keys[i].attnum, slot, names, values);
	}
	if (table->time_attnum == 0)
		return true;
	if (!may_see(rel, table->time_attnum))
		return false;
	describe_column(rel, table->time_attnum, slot, names, values);
	return true;
}

void
flowdb_duplicate_error(const FlowdbModify *m, Relation rel,
					   TupleTableSlot *slot)
{
	StringInfoData names;
	StringInfoData values;
	bool shown = describe_row(m->table, rel, slot, &names, &values);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates uniqueness of foreign table "
					"\"%s\"",
					RelationGetRelationName(rel)),
			 shown ? errdetail("Key (%s)=(%s) already exists.", names.data,
							   values.data)
				   : 0,
			 errtable(rel)));
}

/*
 * Lock the place of the row to insert and look what is there: false if there
 * is a row, and it stays.  *seenp: what the write is checked against.  A row
 * of the running command counts, and one that the snapshot does not see: under
 * REPEATABLE READ nobody may act on it, as in a heap.
 *
 * The lock may be missing: the push looks again at what is written.  What is
 * left alone was there when it was looked at, though somebody who is not done
 * may have deleted it in his buffer.
 */
static bool
look_for_duplicate(FlowdbModify *m, ResultRelInfo *rinfo, TupleTableSlot *slot,
				   EState *estate, uint64 *seenp)
{
	Snapshot snapshot = estate->es_snapshot;
	FlowdbRowWait wait = m->wait;
	FlowdbRowId row;
	FlowdbRowNewest newest;

	wait.optional = true;
	if (!snapshot && ActiveSnapshotSet())
		snapshot = GetActiveSnapshot(); /* COPY */
	flowdb_modify_row(m, &row);
	(void) flowdb_row_lock(&row, FLOWDB_ROW_EXCLUSIVE, &wait);
	flowdb_held_newest(&m->held, &row, snapshot, m->now, &m->wait, &newest);
	flowdb_held_close(&m->held);
	*seenp = newest.seen;
	if (newest.state == FLOWDB_ROW_NONE)
		return true;
	if (m->on_duplicate == FLOWDB_DUPLICATE_ERROR)
		flowdb_duplicate_error(m, rinfo->ri_RelationDesc, slot);
	flowdb_check_newer(&newest);
	return false;
}

/* ------------------------------------------------------------------- insert */

TupleTableSlot *
flowdbExecForeignInsert(EState *estate, ResultRelInfo *rinfo,
						TupleTableSlot *slot, TupleTableSlot *planSlot)
{
	FlowdbModify *m = rinfo->ri_FdwState;
	uint64 seen;

	flowdb_modify_constraints(m, rinfo, slot, estate, m->check_partition);
	flowdb_modify_begin_store(m, rinfo->ri_RelationDesc);
	flowdb_modify_encode(m, slot, FLOW_NEVER);
	if (m->statement)
		flowdb_update_arrive(m, rinfo, slot, estate);
	else if (m->on_duplicate == FLOWDB_DUPLICATE_REPLACE)
		flowdb_modify_put(m, NULL, false);
	else if (look_for_duplicate(m, rinfo, slot, estate, &seen))
		flowdb_modify_put(m, &seen, true);
	else
		return NULL;
	return slot;
}

/* -------------------------------------------------------------------- end */

static void
end_modify(ResultRelInfo *rinfo)
{
	FlowdbModify *m = rinfo->ri_FdwState;

	if (!m)
		return; /* EXPLAIN, or ended as a partition already */
	rinfo->ri_FdwState = NULL;
	flowdb_held_close(&m->held);
	if (m->expired_rows > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu row written to foreign table \"%s\" had "
							   "expired already",
							   "%llu rows written to foreign table \"%s\" had "
							   "expired already",
							   m->expired_rows,
							   (unsigned long long) m->expired_rows,
							   RelationGetRelationName(rinfo->ri_RelationDesc)),
				 errdetail("Expired rows are not seen.")));
	MemoryContextDelete(m->row_cxt);
}

void
flowdbEndForeignModify(EState *estate, ResultRelInfo *rinfo)
{
	end_modify(rinfo);
}

void
flowdbEndForeignInsert(EState *estate, ResultRelInfo *rinfo)
{
	end_modify(rinfo);
}
