/*-------------------------------------------------------------------------
 * batch.h
 *	  Log records: encode and decode.
 *
 * A log record is what FlowEnv.log_append gets and flow_redo is given: one
 * kind byte, a header, a body.  Two kinds:
 *
 * BATCH: operations of one transaction in at most FLOW_MAX_STEPS steps.  In
 * a step all operations have one command id: first range tombstones in any
 * order, then the others sorted by (store, key, ts), each named once.  A
 * range tombstone that follows other writes of its batch begins a step.  Step
 * i of a record that starts at log position L has sequence L + i (S1): a
 * record of PostgreSQL's WAL has a header of 24 bytes, so at most 24
 * sequences fit before any other record can start.
 *
 * STORE: a store's id, name and blob.
 *
 * Bytes: doc/FORMAT.md "Log records".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BATCH_H
#define FLOW_BATCH_H

#include "common.h"

#define FLOW_MAX_STEPS 24
#define FLOW_BATCH_TARGET_BYTES (4u * 1024u * 1024u) /* raw payload */
#define FLOW_OP_MAX_OVERHEAD 48u /* bytes of an op but for key and value */
/* The pusher's measure of an op, but for key and value.  A batch of so many of
 * FLOW_BATCH_TARGET_BYTES, in whatever rows, has room in 32 MiB of write
 * buffers (memtable_room_test). */
#define FLOW_BATCH_OP_GUESS 16u
/* no raw payload is longer; a decoder allocates no more */
#define FLOW_BATCH_MAX_BYTES                                   \
	(FLOW_BATCH_TARGET_BYTES + FLOW_MAX_VALUE + FLOW_MAX_KEY + \
	 FLOW_OP_MAX_OVERHEAD)

/* Ids that a store can have: 0 is none, and behind each there is another. */
static inline bool
flowi_batch_store_ok(uint32_t store_id)
{
	return store_id != 0 && store_id != UINT32_MAX;
}

typedef enum FlowRecordKind
{
	FLOW_RECORD_BATCH = 1,
	FLOW_RECORD_STORE = 2,
	FLOW_RECORD_DROP = 3
} FlowRecordKind;

typedef struct FlowBatchHeader
{
	uint64_t xid;
	uint32_t nsteps;
	uint32_t nops;
	uint32_t ntombs;		/* of nops: range tombstones */
	uint32_t payload_bytes; /* raw, after decompression */
} FlowBatchHeader;

/* --- encoder: private memory, reusable --- */
typedef struct FlowBatchWriter FlowBatchWriter;

extern FlowStatus
flowi_batch_writer_create(FlowEnv *env, FlowBatchWriter **bwp) FLOW_MUST_CHECK;
extern void flowi_batch_writer_free(FlowBatchWriter *bw);
extern void flowi_batch_begin(FlowBatchWriter *bw, uint64_t xid);
/* Open a new step; the caller keeps to FLOW_MAX_STEPS. */
extern FlowStatus flowi_batch_step(FlowBatchWriter *bw,
								   uint32_t cid) FLOW_MUST_CHECK;
extern FlowStatus flowi_batch_add(FlowBatchWriter *bw, FlowOp op,
								  uint32_t store_id, const uint8_t *key,
								  uint32_t key_bytes, int64_t ts,
								  int64_t expire_at, const uint8_t *value,
								  uint32_t value_bytes) FLOW_MUST_CHECK;
/* A range tombstone; in its step before any other operation.  INVALID else,
 * and when a key is too long. */
extern FlowStatus flowi_batch_add_tomb(FlowBatchWriter *bw, uint32_t store_id,
									   const FlowRect *rect) FLOW_MUST_CHECK;
extern size_t flowi_batch_payload_bytes(const FlowBatchWriter *bw);
extern uint32_t flowi_batch_steps(const FlowBatchWriter *bw);
/* Whether records are compressed, from the next one on; at first they are. */
extern void flowi_batch_compress(FlowBatchWriter *bw, bool compress);
/* The finished log record (lz4 where it pays), the header and the raw
 * payload it holds; all valid until the next begin. */
extern FlowStatus flowi_batch_finish(FlowBatchWriter *bw, const void **recp,
									 size_t *rec_bytesp, FlowBatchHeader *hdr,
									 const uint8_t **payloadp) FLOW_MUST_CHECK;

/* --- decoder --- */

/* Kind of a record; CORRUPT when there is none, MISMATCH when it is a later
 * version's. */
extern FlowStatus flowi_record_kind(const void *rec, size_t rec_bytes,
									FlowRecordKind *kindp) FLOW_MUST_CHECK;

/* Header and raw payload of a BATCH record.  *payloadp points into rec, or
 * into *ownedp, which the caller frees with env->free (NULL when not used).
 * Checks the record's checksum-free framing: every length is verified. */
extern FlowStatus flowi_batch_open(FlowEnv *env, const void *rec,
								   size_t rec_bytes, FlowBatchHeader *hdr,
								   const uint8_t **payloadp,
								   void **ownedp) FLOW_MUST_CHECK;

/* Walk a raw payload, checking it: start by flowi_batch_cursor_init.  That
 * the operations of a step rise is checked too. */
typedef struct FlowBatchCursor
{
	const uint8_t *p;
	const uint8_t *end;
	uint32_t nsteps;	 /* of the header */
	uint32_t steps_seen; /* begun so far */
	uint32_t ops_left;	 /* of the batch */
	uint32_t tombs_left; /* of these: range tombstones */
	uint32_t step;		 /* current step, from 0; valid after the first op */
	uint32_t cid;		 /* of the current step */
	/* current operation.  A range tombstone has key_lo as key, key_hi as value
	 * (NULL: open), ts_lo as ts and ts_hi as expire_at */
	FlowOp op;
	uint32_t store_id;
	const uint8_t *key;
	uint32_t key_bytes;
	int64_t ts;
	int64_t expire_at;
	const uint8_t *value;
	uint32_t value_bytes;
} FlowBatchCursor;

extern void flowi_batch_cursor_init(FlowBatchCursor *c,
									const FlowBatchHeader *hdr,
									const uint8_t *payload);
/* Next operation: FLOW_OK, FLOW_END, or CORRUPT. */
extern FlowStatus flowi_batch_cursor_next(FlowBatchCursor *c);

/* STORE records. */
extern FlowStatus flowi_store_encode(FlowEnv *env, uint32_t store_id,
									 const char *name, const void *blob,
									 size_t blob_bytes, void **recp,
									 size_t *rec_bytesp) FLOW_MUST_CHECK;
extern FlowStatus flowi_store_decode(const void *rec, size_t rec_bytes,
									 uint32_t *store_idp, const char **namep,
									 uint32_t *name_bytesp, const void **blobp,
									 size_t *blob_bytesp) FLOW_MUST_CHECK;

#endif /* FLOW_BATCH_H */
