/*-------------------------------------------------------------------------
 * modify.h
 *	  What the files that write rows share: the state of a target relation,
 *	  and what the scans of a statement tell its writes.
 *
 * A locking scan (execlock.c) locks a row and reads its newest version; what
 * comes of it is written later by another node (execupdate.c), which knows the
 * row's identity only.  What it needs besides, it finds here: the position in
 * the log up to which the scan has looked, and the expiry of the old row.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_MODIFY_H
#define FLOWDB_MODIFY_H

#include "fdw.h"

#include "lib/ilist.h"
#include "rowlock.h"
#include "utils/hsearch.h"

/* ----------------------------------------------------------- in rownote.c */

/* A row's store, key and time, hashed: so long that two never meet. */
typedef struct FlowdbRowHash
{
	uint64 low;
	uint64 high;
} FlowdbRowHash;

/* What a statement remembers of one row; only of few rows. */
typedef struct FlowdbRowNote
{
	FlowdbRowHash hash; /* first: the key of the hash table */

	/* The scan found another version than the snapshot's. */
	bool changed;
	uint64 seen; /* log position of that read */

	/* A row of this command has moved to this place, and the row that was
	 * here may still come to be dealt with. */
	bool displaced;
	int64 displaced_expire_at;
	char *displaced_value; /* not NULL: it was not the snapshot's version */
	uint32 displaced_bytes;
} FlowdbRowNote;

/*
 * One execution of a plan.  Rows that are not noted were read as the snapshot
 * has them, so any log position between the snapshot and the read will do for
 * the check of what is written to them: there is no version in between.
 */
typedef struct FlowdbStatement
{
	dlist_node node;
	EState *estate;
	HTAB *notes; /* of FlowdbRowNote; NULL: none yet */

	/* The row that was locked last, by a scan of a target relation. */
	bool last_valid;
	FlowdbRowHash last;
	uint64 last_seen;
	int64 last_expire_at;
	Size last_writes; /* this transaction's writes to the database then */

	FlowVector *displaced; /* room for a displaced row; NULL: none yet */
	MemoryContextCallback callback;
} FlowdbStatement;

/*
 * flowdb_statement
 *		The state of the statement that estate executes; made at first use,
 *		gone with estate->es_query_cxt.
 * flowdb_note_find, flowdb_note_make
 *		The note of a row; NULL: there is none.
 * flowdb_note_drop
 *		The row was dealt with: forget its note, if there is one.
 * flowdb_note_last
 *		Remember the row that was locked and read last.
 * flowdb_note_is_last
 *		Is this that row, and has this transaction written nothing since?
 */
extern FlowdbStatement *flowdb_statement(EState *estate);
extern void flowdb_row_hash(const FlowdbRowId *row, FlowdbRowHash *hash);
extern FlowdbRowNote *flowdb_note_find(FlowdbStatement *statement,
									   const FlowdbRowHash *hash);
extern FlowdbRowNote *flowdb_note_make(FlowdbStatement *statement,
									   const FlowdbRowHash *hash);
extern void flowdb_note_drop(FlowdbStatement *statement,
							 const FlowdbRowHash *hash);
extern void flowdb_note_last(FlowdbStatement *statement, const FlowdbRowId *row,
							 const FlowdbRowNewest *newest, bool changed);
extern bool flowdb_note_is_last(const FlowdbStatement *statement, Oid serverid,
								const FlowdbRowHash *hash);

/* An engine scan that holds a row's memory; closed after an error, too. */
typedef struct FlowdbHeldRow
{
	FlowScan *scan;
	MemoryContextCallback callback;
} FlowdbHeldRow;

extern void flowdb_held_init(FlowdbHeldRow *held, MemoryContext cxt);
extern void flowdb_held_close(FlowdbHeldRow *held);

/* flowdb_row_newest, with the row's memory held by held. */
extern void flowdb_held_newest(FlowdbHeldRow *held, const FlowdbRowId *row,
							   Snapshot snapshot, int64 now,
							   const FlowdbRowWait *wait,
							   FlowdbRowNewest *newest);

/* 40001: under REPEATABLE READ, another transaction has changed the row. */
extern void flowdb_check_newer(const FlowdbRowNewest *newest);
/* 27000: what the command calls has written the row. */
pg_noreturn extern void flowdb_modified_error(CmdType operation);

/* -------------------------------------------------------- in planmodify.c */

/* The name of the junk column that carries a key or time column. */
extern char *flowdb_junk_name(Form_pg_attribute att);

/* -------------------------------------------------------- in execmodify.c */

/* One target relation of a statement; in ResultRelInfo.ri_FdwState. */
typedef struct FlowdbModify
{
	FlowdbTable *table;
	FlowDb *db;
	FlowdbLayout *layout; /* NULL until the first row: it begins the store */
	FlowdbEncoder encoder;
	FlowdbOnDuplicate on_duplicate; /* INSERT; ON CONFLICT DO NOTHING: ignore */
	bool check_constraints;
	bool check_partition; /* of rows to insert */
	CommandId cid;
	int64 now;
	uint64 expired_rows;
	FlowdbRowWait wait;
	FlowdbHeldRow held;
	MemoryContext cxt;	   /* the statement's */
	MemoryContext row_cxt; /* reset with every row */

	/* UPDATE and DELETE; of the rest, rows that UPDATE brings from another
	 * partition need the first alone */
	FlowdbStatement *statement; /* NULL: INSERT or COPY */
	AttrNumber *key_junk; /* by key column: its place in the plan's rows */
	AttrNumber time_junk;
	StringInfoData old_key;
	uint64 seen; /* a log position after the snapshot, before the first read */
} FlowdbModify;

/*
 * flowdb_modify_constraints
 *		NOT NULL, CHECK and, when asked, the partition's bounds.
 * flowdb_modify_encode
 *		The row in slot into m->encoder; old_expire_at: what a row keeps that
 *		has neither a column nor a time to live to tell.
 * flowdb_modify_put
 *		Write what m->encoder has; seen: NULL for an unchecked write; absent:
 *		no row was found there then.
 * flowdb_modify_row
 *		The identity of what m->encoder has.
 * flowdb_duplicate_error
 *		23505 for the row in slot.
 */
extern void flowdb_modify_constraints(FlowdbModify *m, ResultRelInfo *rinfo,
									  TupleTableSlot *slot, EState *estate,
									  bool partition);
extern void flowdb_modify_begin_store(FlowdbModify *m, Relation rel);
extern void flowdb_modify_encode(FlowdbModify *m, TupleTableSlot *slot,
								 int64 old_expire_at);
extern void flowdb_modify_put(FlowdbModify *m, const uint64 *seen, bool absent);
extern void flowdb_modify_row(const FlowdbModify *m, FlowdbRowId *row);
pg_noreturn extern void flowdb_duplicate_error(const FlowdbModify *m,
											   Relation rel,
											   TupleTableSlot *slot);

/* -------------------------------------------------------- in execupdate.c */

/*
 * flowdb_update_arrive
 *		Write the row that m->encoder has, which UPDATE has taken from another
 *		partition: as one that moves within this one.
 */
extern void flowdb_update_begin(FlowdbModify *m, ModifyTableState *mtstate,
								Relation rel);
extern void flowdb_update_arrive(FlowdbModify *m, ResultRelInfo *rinfo,
								 TupleTableSlot *slot, EState *estate);

#endif /* FLOWDB_MODIFY_H */
