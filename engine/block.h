/*-------------------------------------------------------------------------
 * block.h
 *	  Build and read one block of versions.
 *
 * A block is what the SSTable checks as one piece.  Its first byte names its
 * format: version 1, rows, which the SSTable compresses as a whole, or version
 * 2, columns, if all values are rows of one shape.  Bytes: doc/FORMAT.md
 * "Block, version 1 (rows)", "Block, version 2 (columns)".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BLOCK_H
#define FLOW_BLOCK_H

#include "column.h"
#include "iter.h"
#include "row.h"

#define FLOW_BLOCK_ROWS 1				/* versions of the format */
#define FLOW_BLOCK_COLUMNS 2			/* the newest */
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

	/* columns */
	const FlowShape *shape; /* NULL: none */
	bool conforms;			/* all values so far are rows of it */
	bool as_columns;		/* what raw is */
	FlowColumnWriter writer;
	FlowBuf split;	/* FlowRowValue, one a column of the shape */
	FlowBuf cells;	/* one struct a value that a row has, row by row */
	FlowBuf vector; /* one column as a vector */
} FlowBlockBuilder;

extern void flowi_block_builder_init(FlowBlockBuilder *b, FlowEnv *env);
extern void flowi_block_builder_free(FlowBlockBuilder *b);
/* From the next reset on blocks are to be of columns, where they can.  All is
 * borrowed until free; how and level are for what no encoding makes small. */
extern void flowi_block_builder_shape(FlowBlockBuilder *b,
									  const FlowShape *shape, FlowCodec *codec,
									  FlowCompression how, int level);

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

/* Of a block of columns: what its values are read with (block_value.c). */
typedef struct FlowBlockValues FlowBlockValues;

/*
 * A decoded block: everything but keys and values in arrays of its own
 * memory, keys and values in the encoded bytes, which must stay.  Run r has
 * the rows [run_row[r], run_row[r + 1]).
 *
 * Of columns what a lookup does not need is not decoded before it is asked
 * for: times that are evenly spaced, sequences when no two rows have one
 * identity, expiry at one age.  So these are read by flowi_block_ts,
 * flowi_block_seq and flowi_block_expiry.
 */
typedef struct FlowBlock
{
	FlowEnv *env;
	FlowCodec *codec;
	const uint8_t *keys;   /* all keys, back to back */
	const uint8_t *values; /* all values; NULL: they are columns */
	uint32_t nrows;
	uint32_t nruns;
	const int64_t *ts;		   /* NULL: evenly spaced */
	const uint64_t *seq;	   /* NULL: not decoded */
	const int64_t *expire_at;  /* NULL: FLOW_NEVER all, or at one age */
	const uint8_t *tombs;	   /* bitmap of tombstones; NULL: none */
	const uint32_t *value_off; /* nrows + 1; NULL: they are columns */
	const uint32_t *run_row;   /* nruns + 1 */
	const uint32_t *key_off;   /* nruns + 1 */
	void *mem;				   /* holds the arrays; kept for the next block */
	size_t mem_bytes;

	/* of columns */
	const uint8_t *raw;
	size_t raw_bytes;
	const char *path; /* for errors */
	uint64_t off;
	uint32_t ncolumns;
	const uint16_t *width;	/* columns that each row has; NULL: all of them */
	FlowColumnReader chunk; /* of the columns that are no value's; at the end
							 * that of the sequences */
	FlowBlockValues *value; /* NULL: none was asked for yet */
	const int64_t *run_ts;	/* ts NULL: of the first row of each run */
	uint64_t step;			/* and from row to row */
	bool same_age;			/* expire_at NULL: all expire at ts + age */
	uint64_t age;
	uint64_t *seq_room; /* where seq will be */
	uint8_t *null_room;
	uint32_t seqs_asked; /* one by one */
} FlowBlock;

/* codec is borrowed until free */
extern void flowi_block_init(FlowBlock *b, FlowEnv *env, FlowCodec *codec);
extern void flowi_block_free(FlowBlock *b);

/*
 * flowi_block_decode
 *		Decode raw, which stays borrowed, as path does.  Every length and the
 *		order of the rows are checked; CORRUPT and MISMATCH name path and off.
 */
extern FlowStatus flowi_block_decode(FlowBlock *b, const uint8_t *raw,
									 size_t raw_bytes, const char *path,
									 uint64_t off) FLOW_MUST_CHECK;

/*
 * flowi_block_peek
 *		Look for a version in the bytes of a block that was decoded before: the
 *		newest of identity (to->key, to->ts), or with last of the key's last
 *		identity.  ROW: rec is it, in memory of the block, txn NULL.  UNSURE:
 *		decode it; always so of another version than FLOW_BLOCK_ROWS.
 */
extern FlowPeek flowi_block_peek(const uint8_t *raw, size_t raw_bytes,
								 const FlowSeek *to, bool last, FlowRec *rec);

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

/*
 * Of a block of columns:
 * flowi_block_value
 *		Append the value of a row, which is no tombstone, to out.  Rows that are
 *		asked for one after the other, in either direction, are decoded some
 *		ahead.
 * flowi_block_pick
 *		The wanted columns of count rows from row first on into the vectors of
 *		those columns, from number at on.  What a row lacks is its column's
 *		missing value.  Pointers are valid until the next decode.
 *		What a tombstone gets means nothing.
 * flowi_block_stats
 *		What column c, a reader's col, has in all rows of the block, tombstones
 *		counting as NULL; *knownp false: that cannot be told without them.
 */
extern FlowStatus flowi_block_value(FlowBlock *b, uint32_t row,
									FlowBuf *out) FLOW_MUST_CHECK;
extern FlowStatus flowi_block_pick(FlowBlock *b, const FlowShape *shape,
								   const uint32_t *columns, uint32_t ncolumns,
								   uint32_t first, uint32_t count,
								   FlowColumnVector *vectors,
								   uint32_t at) FLOW_MUST_CHECK;
extern FlowStatus flowi_block_stats(FlowBlock *b, const FlowColumn *col,
									uint32_t c, FlowColumnStats *stats,
									bool *knownp) FLOW_MUST_CHECK;
/* Bytes of memory that are kept for the next block. */
extern size_t flowi_block_memory(const FlowBlock *b);

/* Of a row and its run. */
static inline int64_t
flowi_block_ts(const FlowBlock *b, uint32_t run, uint32_t row)
{
	if (b->ts)
		return b->ts[row];
	return (int64_t) ((uint64_t) b->run_ts[run] +
					  (row - b->run_row[run]) * b->step);
}

/* ts: the row's. */
static inline int64_t
flowi_block_expiry(const FlowBlock *b, uint32_t row, int64_t ts)
{
	if (b->expire_at)
		return b->expire_at[row];
	return b->same_age ? (int64_t) ((uint64_t) ts + b->age) : FLOW_NEVER;
}

/*
 * flowi_block_seq
 *		The sequence of a row; CORRUPT.
 */
extern FlowStatus flowi_block_read_seq(FlowBlock *b, uint32_t row,
									   uint64_t *seqp) FLOW_MUST_CHECK;

FLOW_MUST_CHECK
static inline FlowStatus
flowi_block_seq(FlowBlock *b, uint32_t row, uint64_t *seqp)
{
	if (b->seq == NULL)
		return flowi_block_read_seq(b, row, seqp);
	*seqp = b->seq[row];
	return FLOW_OK;
}

/* Fill rec, but for seq and txn, from a row and its run; of a block of columns
 * without the value. */
static inline void
flowi_block_rec(const FlowBlock *b, uint32_t run, uint32_t row, FlowRec *rec)
{
	bool tomb = b->tombs && (b->tombs[row >> 3] >> (row & 7) & 1);

	rec->key = flowi_block_key(b, run, &rec->key_bytes);
	if (b->value_off)
	{
		rec->value = tomb ? NULL : b->values + b->value_off[row];
		rec->value_bytes = b->value_off[row + 1] - b->value_off[row];
	}
	else
	{
		rec->value = NULL;
		rec->value_bytes = 0;
	}
	rec->ts = flowi_block_ts(b, run, row);
	rec->expire_at = flowi_block_expiry(b, row, rec->ts);
	rec->op = tomb ? FLOW_DELETE : FLOW_PUT;
}

#endif /* FLOW_BLOCK_H */
