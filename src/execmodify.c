/*-------------------------------------------------------------------------
 * execmodify.c
 *	  Writing rows: INSERT, COPY FROM, partition routing.
 *
 * Core enforces neither NOT NULL nor CHECK nor partition bounds on foreign
 * tables; they are enforced here.  Rows go to the transaction's private
 * buffer (xact.c) one by one: core's batches would only copy each row twice
 * more (measured: 350 instead of 250 ns a row), and there is no round trip to
 * save.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "fdw.h"

/* One target relation of a statement; in ResultRelInfo.ri_FdwState. */
typedef struct ModifyState
{
	FlowdbTable *table;
	FlowDb *db;
	FlowdbLayout *layout; /* NULL until the first row: it begins the store */
	FlowdbEncoder encoder;
	bool check_constraints;
	bool check_partition;
	CommandId cid;
	int64 now;
	uint64 expired_rows;
	MemoryContext cxt;	   /* the statement's */
	MemoryContext row_cxt; /* reset with every row */
} ModifyState;

/* UPDATE and DELETE are not there yet. */
int
flowdbIsForeignRelUpdatable(Relation rel)
{
	return 1 << CMD_INSERT;
}

static void
refuse_on_conflict(const ModifyTable *plan)
{
	if (plan && plan->onConflictAction != ONCONFLICT_NONE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("ON CONFLICT is not supported on FlowDB tables"),
						errhint("INSERT replaces the row with the same key and "
								"time.")));
}

List *
flowdbPlanForeignModify(PlannerInfo *root, ModifyTable *plan,
						Index resultRelation, int subplan_index)
{
	refuse_on_conflict(plan);
	return NIL;
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
static void
begin_modify(ResultRelInfo *rinfo, CommandId cid)
{
	Relation rel = rinfo->ri_RelationDesc;
	ModifyState *state = palloc0(sizeof(ModifyState));

	flowdb_refuse_serializable();
	state->table = flowdb_table_get(rel);
	state->db = flowdb_database(state->table->serverid);
	flowdb_encoder_init(&state->encoder, rel, state->table);
	state->check_constraints = RelationGetDescr(rel)->constr != NULL;
	state->check_partition = needs_partition_check(rinfo);
	state->cid = cid;
	state->now = flowdb_statement_now();
	state->cxt = CurrentMemoryContext;
	state->row_cxt = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB row to write", ALLOCSET_DEFAULT_SIZES);
	rinfo->ri_FdwState = state;
}

void
flowdbBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
						 List *fdw_private, int subplan_index, int eflags)
{
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	begin_modify(rinfo, mtstate->ps.state->es_output_cid);
}

/* COPY comes without a plan, and without the command id in its EState. */
void
flowdbBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	MemoryContext old;

	refuse_on_conflict((ModifyTable *) mtstate->ps.plan);
	old = MemoryContextSwitchTo(mtstate->ps.state->es_query_cxt);
	begin_modify(rinfo, mtstate->ps.plan ? mtstate->ps.state->es_output_cid
										 : GetCurrentCommandId(true));
	MemoryContextSwitchTo(old);
}

/* ------------------------------------------------------------------- rows */

/*
 * The lock is the statement's: rows are written by it alone, outside of
 * subtransactions that its functions may begin, so once is enough.
 */
static void
begin_store(ModifyState *state, Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(state->cxt);

	state->layout = flowdb_layout_write(rel, state->table, state->db);
	state->encoder.layout = state->layout;
	MemoryContextSwitchTo(old);
	flowdb_lock_store(state->table->serverid, state->layout->store_id,
					  RowExclusiveLock);
}

static void
insert_row(ModifyState *state, ResultRelInfo *rinfo, TupleTableSlot *slot,
		   EState *estate)
{
	FlowdbEncoder *enc = &state->encoder;
	MemoryContext old;

	if (state->check_constraints)
		ExecConstraints(rinfo, slot, estate);
	if (state->check_partition)
		ExecPartitionCheck(rinfo, slot, estate, true);

	if (!state->layout)
		begin_store(state, rinfo->ri_RelationDesc);
	old = MemoryContextSwitchTo(state->row_cxt);
	flowdb_encode(enc, slot);
	MemoryContextSwitchTo(old);
	if (!MemoryContextIsEmpty(state->row_cxt))
		MemoryContextReset(state->row_cxt);

	if (enc->expire_at <= state->now)
		state->expired_rows++;
	flowdb_xact_add(state->table->serverid, state->db, FLOW_PUT,
					state->layout->store_id, enc->key.data, (Size) enc->key.len,
					enc->ts, enc->expire_at, enc->value.data,
					(Size) enc->value.len, state->cid);
}

TupleTableSlot *
flowdbExecForeignInsert(EState *estate, ResultRelInfo *rinfo,
						TupleTableSlot *slot, TupleTableSlot *planSlot)
{
	insert_row(rinfo->ri_FdwState, rinfo, slot, estate);
	return slot;
}

/* -------------------------------------------------------------------- end */

static void
end_modify(ResultRelInfo *rinfo)
{
	ModifyState *state = rinfo->ri_FdwState;

	if (!state)
		return; /* EXPLAIN */
	rinfo->ri_FdwState = NULL;
	if (state->expired_rows > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu row written to foreign table \"%s\" had "
							   "expired already",
							   "%llu rows written to foreign table \"%s\" had "
							   "expired already",
							   state->expired_rows,
							   (unsigned long long) state->expired_rows,
							   RelationGetRelationName(rinfo->ri_RelationDesc)),
				 errdetail("They will not be seen.")));
	MemoryContextDelete(state->row_cxt);
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
