/*-------------------------------------------------------------------------
 * record.h
 *	  Log records: what batch.c and record.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_RECORD_H
#define FLOW_RECORD_H

#include "batch.h"
#include "coding.h"
#include "manifest.h"

#define RECORD_PREFIX_BYTES 3 /* kind, version, flags */

#define BATCH_VERSION 2
#define BATCH_LZ4 0x01u /* a flag: the payload is compressed */

#define DROP_RECORD_MAX (RECORD_PREFIX_BYTES + 2 * FLOW_VARINT_MAX)

/* A DROP record into rec, which has DROP_RECORD_MAX bytes; its length. */
extern size_t flowi_drop_encode(uint8_t *rec, const FlowDropInfo *drop);
extern FlowStatus flowi_drop_decode(const void *rec, size_t rec_bytes,
									FlowDropInfo *drop) FLOW_MUST_CHECK;

/* Check the prefix of a record of one kind; *flagsp its flags. */
extern FlowStatus flowi_record_prefix(const void *rec, size_t rec_bytes,
									  FlowRecordKind want, unsigned version,
									  unsigned *flagsp) FLOW_MUST_CHECK;

/* Read and check a BATCH record's header; *pp: the payload as stored, which
 * reaches to the record's end. */
extern FlowStatus flowi_batch_header(const void *rec, size_t rec_bytes,
									 FlowBatchHeader *hdr, unsigned *flagsp,
									 const uint8_t **pp) FLOW_MUST_CHECK;

#endif /* FLOW_RECORD_H */
