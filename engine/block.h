/*-------------------------------------------------------------------------
 * block.h
 *	  Build and read one block of versions.
 *
 * A block is what the SSTable compresses and checks as one piece.  Its first
 * byte names its format, so that others (columns) can come later; today
 * there is version 1, rows.  Bytes: doc/FORMAT.md "Block, version 1 (rows)".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BLOCK_H
#define FLOW_BLOCK_H

#include "coding.h"
#include "iter.h"

#define FLOW_BLOCK_VERSION 1
#define FLOW_BLOCK_MAX_BYTES (1u << 30) /* encoded, before compression */
#define FLOW_BLOCK_ROW_BYTES 16			/* what a row counts beside its data */

/*
 * Rows a block may have that cost no byte at all (equal lengths, even
 * spacing).  Any row beyond them takes a byte: this bounds what a decoder
 * allocates.  The writer keeps to it because it cuts blocks between
 * identities by FLOW_BLOCK_ROW_BYTES a row, and the versions of one identity
 * differ in their sequence.
 */
#define FLOW_BLOCK_FREE_ROWS (1u << 20)
#define FLOW_BLOCK_MAX_TARGET (FLOW_BLOCK_FREE_ROWS * FLOW_BLOCK_ROW_BYTES)

/* --- builder: embed it; private memory, reusable --- */
typedef struct FlowBlockBuilder
{
	uint32_t nrows;
	uint32_t nruns;
	uint32_t first_key_bytes; /* of keys.data: the first run's key */
	uint64_t bytes;			  /* keys, values and FLOW_BLOCK_ROW_BYTES a row */
	uint64_t max_bytes;		  /* upper bound of the encoded size */

	FlowBuf rows;	 /* one struct a version */
	FlowBuf runs;	 /* one struct a run of equal keys */
	FlowBuf keys;	 /* bytes, one key a run */
	FlowBuf values;	 /* bytes */
	FlowBuf scratch; /* one column as uint64_t */
	FlowBuf raw;	 /* the encoded block */
} FlowBlockBuilder;

extern void flowi_block_builder_init(FlowBlockBuilder *b, FlowEnv *env);
extern void flowi_block_builder_free(FlowBlockBuilder *b);

/*
 * flowi_block_add
 *		Append the next version, in (key, ts, seq descending) order.
 *
 * new_key: its key is not that of the version before.
 * NOMEM; INVALID: the block would pass FLOW_BLOCK_MAX_BYTES.  After an error
 * the builder can only be reset or freed.
 */
extern FlowStatus flowi_block_add(FlowBlockBuilder *b, const FlowRec *rec,
								  bool new_key) FLOW_MUST_CHECK;

/* Encode what was added; *rawp is valid until the next reset. */
extern FlowStatus flowi_block_finish(FlowBlockBuilder *b, const uint8_t **rawp,
									 size_t *raw_bytesp) FLOW_MUST_CHECK;
extern void flowi_block_reset(FlowBlockBuilder *b);

/*
 * A decoded block: everything but keys and values in arrays of its own
 * memory, keys and values in the encoded bytes, which must stay.  Run r has
 * the rows [run_row[r], run_row[r + 1]).
 */
typedef struct FlowBlock
{
	FlowEnv *env;
	const uint8_t *keys;   /* all keys, back to back */
	const uint8_t *values; /* all values */
	uint32_t nrows;
	uint32_t nruns;
	const int64_t *ts;
	const uint64_t *seq;
	const int64_t *expire_at;  /* NULL: FLOW_NEVER all */
	const uint8_t *tombs;	   /* bitmap of tombstones; NULL: none */
	const uint32_t *value_off; /* nrows + 1 */
	const uint32_t *run_row;   /* nruns + 1 */
	const uint32_t *key_off;   /* nruns + 1 */
	void *mem;				   /* holds the arrays; kept for the next block */
	size_t mem_bytes;
} FlowBlock;

extern void flowi_block_init(FlowBlock *b, FlowEnv *env);
extern void flowi_block_free(FlowBlock *b);

/*
 * flowi_block_decode
 *		Decode raw, which stays borrowed.  Every length and the order of the
 *		rows are checked; CORRUPT and MISMATCH name path and off.
 */
extern FlowStatus flowi_block_decode(FlowBlock *b, const uint8_t *raw,
									 size_t raw_bytes, const char *path,
									 uint64_t off) FLOW_MUST_CHECK;

/*
 * flowi_block_find
 *		The first row whose identity is >= (key, ts), or > when after is set;
 *		nrows when there is none.  *runp: its run, nruns when there is none.
 */
extern uint32_t flowi_block_find(const FlowBlock *b, const uint8_t *key,
								 uint32_t key_bytes, int64_t ts, bool after,
								 uint32_t *runp);

static inline const uint8_t *
flowi_block_key(const FlowBlock *b, uint32_t run, uint32_t *key_bytesp)
{
	*key_bytesp = b->key_off[run + 1] - b->key_off[run];
	return b->keys + b->key_off[run];
}

/* Fill rec, but for txn, from a row and its run. */
static inline void
flowi_block_rec(const FlowBlock *b, uint32_t run, uint32_t row, FlowRec *rec)
{
	bool tomb = b->tombs && (b->tombs[row >> 3] >> (row & 7) & 1);

	rec->key = flowi_block_key(b, run, &rec->key_bytes);
	rec->value = tomb ? NULL : b->values + b->value_off[row];
	rec->value_bytes = b->value_off[row + 1] - b->value_off[row];
	rec->ts = b->ts[row];
	rec->expire_at = b->expire_at ? b->expire_at[row] : FLOW_NEVER;
	rec->seq = b->seq[row];
	rec->op = tomb ? FLOW_DELETE : FLOW_PUT;
}

#endif /* FLOW_BLOCK_H */
