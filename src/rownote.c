/*-------------------------------------------------------------------------
 * rownote.c
 *	  What the scans of a statement tell its writes.
 *
 * Core hands a foreign table no more than junk columns from the scan of a
 * target row to the write of it.  The rest waits here, by EState: always for
 * the row that was locked last, which in a plain UPDATE or DELETE is the one
 * that is written next, and in a hash table for the few rows of which the
 * snapshot does not tell all.
 *
 * Keeps: S9.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <xxhash.h>

#include "access/xact.h"

#include "modify.h"

static dlist_head statements = DLIST_STATIC_INIT(statements);

static void
statement_callback(void *arg)
{
	dlist_delete(&((FlowdbStatement *) arg)->node);
}

FlowdbStatement *
flowdb_statement(EState *estate)
{
	FlowdbStatement *statement;
	dlist_iter iter;

	dlist_foreach(iter, &statements)
	{
		statement = dlist_container(FlowdbStatement, node, iter.cur);
		if (statement->estate == estate)
			return statement;
	}
	statement =
		MemoryContextAllocZero(estate->es_query_cxt, sizeof(FlowdbStatement));
	statement->estate = estate;
	dlist_push_head(&statements, &statement->node);
	statement->callback.func = statement_callback;
	statement->callback.arg = statement;
	MemoryContextRegisterResetCallback(estate->es_query_cxt,
									   &statement->callback);
	return statement;
}

/* ------------------------------------------------------------------- notes */

void
flowdb_row_hash(const FlowdbRowId *row, FlowdbRowHash *hash)
{
	XXH128_hash_t seed;
	XXH128_hash_t h;
	struct
	{
		uint64 store;
		int64 ts;
	} place = {(uint64) row->serverid << 32 | row->store_id, row->ts};

	seed = XXH3_128bits(&place, sizeof(place));
	h = XXH3_128bits_withSeed(row->key, row->key_bytes, seed.low64);
	hash->low = h.low64;
	hash->high = h.high64 ^ seed.high64;
}

FlowdbRowNote *
flowdb_note_find(FlowdbStatement *statement, const FlowdbRowHash *hash)
{
	if (!statement->notes)
		return NULL;
	return hash_search(statement->notes, hash, HASH_FIND, NULL);
}

FlowdbRowNote *
flowdb_note_make(FlowdbStatement *statement, const FlowdbRowHash *hash)
{
	FlowdbRowNote *note;
	bool found;

	if (!statement->notes)
	{
		HASHCTL ctl = {.keysize = sizeof(FlowdbRowHash),
					   .entrysize = sizeof(FlowdbRowNote),
					   .hcxt = statement->estate->es_query_cxt};

		statement->notes = hash_create("FlowDB rows of a statement", 256, &ctl,
									   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	note = hash_search(statement->notes, hash, HASH_ENTER, &found);
	if (!found)
		memset((char *) note + sizeof(FlowdbRowHash), 0,
			   sizeof(FlowdbRowNote) - sizeof(FlowdbRowHash));
	return note;
}

void
flowdb_note_drop(FlowdbStatement *statement, const FlowdbRowHash *hash)
{
	FlowdbRowNote *note = flowdb_note_find(statement, hash);

	if (!note)
		return;
	if (note->displaced_value)
		pfree(note->displaced_value);
	(void) hash_search(statement->notes, hash, HASH_REMOVE, NULL);
}

/* Writes of this transaction to a database so far. */
static Size
own_writes(Oid serverid)
{
	FlowTxBuf *buf = flowdb_xact_buffer(serverid);

	return buf ? flow_txbuf_count(buf) : 0;
}

void
flowdb_note_last(FlowdbStatement *statement, const FlowdbRowId *row,
				 const FlowdbRowNewest *newest, bool changed)
{
	statement->last_valid = true;
	flowdb_row_hash(row, &statement->last);
	statement->last_seen = newest->seen;
	statement->last_expire_at = newest->vec->expire_at[0];
	statement->last_writes = own_writes(row->serverid);
	if (changed)
	{
		FlowdbRowNote *note = flowdb_note_make(statement, &statement->last);

		note->changed = true;
		note->seen = newest->seen;
	}
}

bool
flowdb_note_is_last(const FlowdbStatement *statement, Oid serverid,
					const FlowdbRowHash *hash)
{
	return statement->last_valid && statement->last.low == hash->low &&
		   statement->last.high == hash->high &&
		   statement->last_writes == own_writes(serverid);
}

/* --------------------------------------------------------------- held rows */

static void
held_callback(void *arg)
{
	flowdb_held_close(arg);
}

void
flowdb_held_init(FlowdbHeldRow *held, MemoryContext cxt)
{
	held->scan = NULL;
	held->callback.func = held_callback;
	held->callback.arg = held;
	MemoryContextRegisterResetCallback(cxt, &held->callback);
}

void
flowdb_held_close(FlowdbHeldRow *held)
{
	FlowScan *scan = held->scan;

	if (!scan)
		return;
	held->scan = NULL;
	flow_scan_close(scan);
}

void
flowdb_held_newest(FlowdbHeldRow *held, const FlowdbRowId *row,
				   Snapshot snapshot, int64 now, const FlowdbRowWait *wait,
				   FlowdbRowNewest *newest)
{
	flowdb_held_close(held);
	flowdb_row_newest(row, snapshot, now, wait, newest);
	held->scan = newest->scan;
}

/* ------------------------------------------------------------------ errors */

void
flowdb_check_newer(const FlowdbRowNewest *newest)
{
	if (!newest->newer || newest->own || !IsolationUsesXactSnapshot())
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		 newest->state == FLOWDB_ROW_NONE
			 ? errmsg("could not serialize access due to concurrent delete")
			 : errmsg("could not serialize access due to concurrent update")));
}

void
flowdb_modified_error(CmdType operation)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 operation == CMD_DELETE
				 ? errmsg("tuple to be deleted was already modified by an "
						  "operation triggered by the current command")
				 : errmsg("tuple to be updated was already modified by an "
						  "operation triggered by the current command"),
			 errhint("Consider using an AFTER trigger instead of a BEFORE "
					 "trigger to propagate changes to other rows.")));
}
