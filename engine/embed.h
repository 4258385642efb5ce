/*-------------------------------------------------------------------------
 * embed.h
 *	  What the embedders' writes share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_EMBED_H
#define FLOW_EMBED_H

#include "store.h"
#include "write.h"

/* Are the options, the store and the lengths of a write in order? */
extern FlowStatus
flowi_embed_check(FlowDb *db, uint32_t store_id,
				  const FlowWriteOptions *opts) FLOW_MUST_CHECK;
extern FlowStatus flowi_embed_check_lengths(size_t key_bytes,
											size_t value_bytes) FLOW_MUST_CHECK;

/* Begin db's batch of one step, outside any transaction. */
extern FlowStatus flowi_embed_begin(FlowDb *db) FLOW_MUST_CHECK;

/*
 * flowi_embed_finish
 *		Log and apply db's batch, making room as often as needed.
 *
 * check, arg: as in flowi_write_record_if; asked anew at each attempt.
 * BUSY: the write buffers stayed full; nothing was logged.
 */
extern FlowStatus flowi_embed_finish(FlowDb *db, const FlowWriteOptions *opts,
									 FlowWriteCheckFn check,
									 void *arg) FLOW_MUST_CHECK;

#endif /* FLOW_EMBED_H */
