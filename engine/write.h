/*-------------------------------------------------------------------------
 * write.h
 *	  The commit path: from a finished log record to linked records.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_WRITE_H
#define FLOW_WRITE_H

#include "batch.h"

/* Asked under the write lock, before anything is logged: anything but FLOW_OK
 * ends the write with that status.  No I/O, takes the state lock at most. */
typedef FlowStatus (*FlowWriteCheckFn)(FlowDb *db, void *arg);

/*
 * flowi_write_record_if
 *		Log one finished BATCH record and apply it.
 *
 * rec: what goes to the log; hdr, payload: the same batch, decoded (what
 * flowi_batch_finish gives).  All borrowed until return.
 * Takes the write lock, asks check (may be NULL), stages, logs, links, gives
 * the lock back and waits for the log: after FLOW_OK the batch is in the log
 * and in the memtable, as durable as sync asks, and visible.  FLOW_BUSY: no
 * room in the write buffers, or max_frozen memtables wait for a flush.
 * INVALID: the database is closed.
 * On BUSY, INVALID, NOMEM, or what check said, nothing was logged; on any
 * other status but FLOW_OK the batch may be in the log, and nothing of it will
 * be visible before the database is opened again.
 */
extern FlowStatus flowi_write_record_if(FlowDb *db, const void *rec,
										size_t rec_bytes,
										const FlowBatchHeader *hdr,
										const uint8_t *payload, FlowSync sync,
										FlowWriteCheckFn check,
										void *arg) FLOW_MUST_CHECK;

#endif /* FLOW_WRITE_H */
