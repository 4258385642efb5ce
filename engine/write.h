/*-------------------------------------------------------------------------
 * write.h
 *	  The commit path: from a finished log record to linked records.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_WRITE_H
#define FLOW_WRITE_H

#include "batch.h"

/*
 * flowi_write_record
 *		Log one finished BATCH record and apply it.
 *
 * rec: what goes to the log; hdr, payload: the same batch, decoded (what
 * flowi_batch_finish gives).  All borrowed until return.
 * Takes the write lock, stages, logs, links: after FLOW_OK the batch is in
 * the log and in the memtable.  FLOW_BUSY: no room in the write buffers.  On
 * any status but FLOW_OK nothing was logged and nothing is visible.
 */
extern FlowStatus flowi_write_record(FlowDb *db, const void *rec,
									 size_t rec_bytes,
									 const FlowBatchHeader *hdr,
									 const uint8_t *payload) FLOW_MUST_CHECK;

#endif /* FLOW_WRITE_H */
