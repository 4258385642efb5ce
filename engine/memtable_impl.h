/*-------------------------------------------------------------------------
 * memtable_impl.h
 *	  A memtable's inside, for mem*.c only.
 *
 * A series is the rows of one (store, key):
 *
 *	 | FlowMemSeries, first row | links | key | value |
 *	        | tail                                      late |
 *	        v                                                v
 *	 | 2 rows | <-> | 4 rows | <-> .. | 256 rows |      skiplist of rows
 *
 * Its run has strictly rising times; what comes at or before the run's last
 * time is late.  A version in the run is thus the oldest of its (key, ts).
 *
 * Who may follow which pointer is I35 (doc/INVARIANTS.md).
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MEMTABLE_IMPL_H
#define FLOW_MEMTABLE_IMPL_H

#include "common.h"

#include "memtable.h"

/*
 * A row.  data: u32 value bytes << 2 | expires << 1 | tombstone, then i64
 * expiry if it expires, then the value; unaligned.  NULL: a tombstone that
 * does not expire.
 */
typedef struct FlowMemRow
{
	int64_t ts;
	FlowTxn *txn; /* directory entry: sequence, transaction */
	const uint8_t *data;
} FlowMemRow;

/*
 * Rows base, base + 1, .. of a run.  prev and jump never change.  jump leads
 * back over more chunks, so that the one of a time is found in logarithmic
 * steps from the last one: Myers, "An applicative random-access stack"
 * (Information Processing Letters 17, 1983).
 */
typedef struct FlowMemChunk FlowMemChunk;
struct FlowMemChunk
{
	FlowMemChunk *prev; /* NULL: the first; before it is the series' own row */
	FlowMemChunk *jump; /* NULL: none */
	FlowMemChunk *next; /* means something if a row is published behind us */
	uint32_t base;
	uint32_t no; /* 0, 1, .. */
	FlowMemRow rows[];
};

#define FLOW_CHUNK_ROWS 256u /* of the largest */

/* How many rows chunk no has room for: twice as many as the one before. */
static inline uint32_t
flowi_memchunk_rows(uint32_t no)
{
	return no < 7 ? 2u << no : FLOW_CHUNK_ROWS;
}

static inline uint32_t
flowi_memchunk_end(const FlowMemChunk *chunk)
{
	return chunk->base + flowi_memchunk_rows(chunk->no);
}

/* The base of the chunk with row at > 0, without looking at it. */
static inline uint32_t
flowi_memchunk_base(uint32_t at)
{
	if (at < FLOW_CHUNK_ROWS - 1)
		return (1u << (31 - __builtin_clz(at + 1))) - 1;
	return (at + 1) / FLOW_CHUNK_ROWS * FLOW_CHUNK_ROWS - 1;
}

/* A late row. */
typedef struct FlowMemLate FlowMemLate;
struct FlowMemLate
{
	FlowMemRow row;
	uint32_t height;
	FlowSkipLink next[]; /* while staged: [0] the next one, the last's the first
						  */
};

#define FLOW_LATE_HEIGHT 8 /* enough for a million rows of a series */

/* The late rows of a series, in the order ts, sequence descending. */
typedef struct FlowMemLates
{
	FlowSkipLink head[FLOW_LATE_HEIGHT];
	FlowMemLate *staged; /* the last one of a ring; the writer's */
} FlowMemLates;

struct FlowMemSeries
{
	_Atomic(FlowMemSeries *) chain; /* next of the bucket */
	uint32_t hash;
	uint32_t store_id;
	_Atomic uint32_t count; /* published rows of the run, at least 1 */
	uint32_t staged;		/* and those that are not; the writer's */
	_Atomic uint32_t nlate; /* published late rows */
	uint16_t key_bytes;
	uint8_t height;
	_Atomic(FlowMemChunk *) tail; /* means something if count > 1: the last
								   * chunk with a published row, or behind it */
	FlowMemLates *late;			  /* means something if nlate > 0 */
	FlowMemSeries *next_staged;	  /* the writer's */
	FlowMemRow first;
	FlowSkipLink next[];
};

_Static_assert(FLOW_MAX_KEY <= UINT16_MAX, "key_bytes is 16 bits wide");
_Static_assert(sizeof(FlowMemSeries) == 80 && sizeof(FlowMemRow) == 24 &&
				   sizeof(FlowMemChunk) == 32,
			   "DESIGN.md says what a row takes");

static inline const uint8_t *
flowi_memseries_key(const FlowMemSeries *s)
{
	return (const uint8_t *) &s->next[s->height];
}

static inline bool
flowi_memseries_is(const FlowMemSeries *s, uint32_t store_id,
				   const uint8_t *key, uint32_t key_bytes)
{
	return s->key_bytes == key_bytes && s->store_id == store_id &&
		   (key_bytes == 0 ||
			memcmp(flowi_memseries_key(s), key, key_bytes) == 0);
}

/* The series, or late row, whose links these are. */
static inline FlowMemSeries *
flowi_memseries_of(const FlowSkipLink *links)
{
	return (FlowMemSeries *) ((uintptr_t) links -
							  offsetof(FlowMemSeries, next));
}

static inline FlowMemLate *
flowi_memlate_of(const FlowSkipLink *links)
{
	return (FlowMemLate *) ((uintptr_t) links - offsetof(FlowMemLate, next));
}

/* ------------------------------------------------- memdir.c: the directory */

/*
 * A place between series: before the one of (store_id, key), or with edge -1
 * or 1 before or behind all of the store.
 */
typedef struct FlowMemPlace
{
	uint32_t store_id;
	int edge;
	const uint8_t *key;
	uint32_t key_bytes;
} FlowMemPlace;

static inline FlowMemPlace
flowi_memplace_of(const FlowMemSeries *s)
{
	return (FlowMemPlace){.store_id = s->store_id,
						  .key = flowi_memseries_key(s),
						  .key_bytes = s->key_bytes};
}

/*
 * flowi_memdir_init: false: no room.
 * flowi_memdir_hash, flowi_memdir_find
 *		The series with that key, NULL: there is none.  Anybody.
 * flowi_memdir_bucket: where the chain of a hash begins.  The writer.
 * flowi_memdir_seek, flowi_memdir_back
 *		Set the splice for place and return the series behind it, or move it
 *		back to place, which is before its prev[0].  Anybody.
 * flowi_memdir_before: the series before the splice, or NULL.
 */
extern bool flowi_memdir_init(FlowEnv *env, FlowMemtable *mt);
extern uint32_t flowi_memdir_hash(const FlowMemtable *mt, uint32_t store_id,
								  const uint8_t *key, uint32_t key_bytes);
extern FlowMemSeries *flowi_memdir_find(FlowMemtable *mt, uint32_t hash,
										uint32_t store_id, const uint8_t *key,
										uint32_t key_bytes);
extern _Atomic(FlowMemSeries *) *flowi_memdir_bucket(FlowMemtable *mt,
													 uint32_t hash);
extern FlowMemSeries *flowi_memdir_seek(FlowMemtable *mt, FlowSplice *splice,
										const FlowMemPlace *place);
extern void flowi_memdir_back(FlowMemtable *mt, FlowSplice *splice,
							  const FlowMemPlace *place);
extern FlowMemSeries *flowi_memdir_before(const FlowMemtable *mt,
										  const FlowSplice *splice);

/* The series that follows, or NULL. */
static inline FlowMemSeries *
flowi_memdir_next(FlowMemSeries *s)
{
	FlowSkipLink *next = flowi_skip_next(s->next, 0);

	return next ? flowi_memseries_of(next) : NULL;
}

/*
 * The writer's: the series that a batch makes, in an order of their own until
 * they are linked.
 *
 * flowi_memdir_staged: move the splice to place and return the one there, or
 *		NULL.  anew: place may be before where the splice stands, or it stands
 *		nowhere yet.
 * flowi_memdir_stage: put a complete one behind the splice; false: no room in
 *		the hash.
 * flowi_memdir_link, flowi_memdir_unstage: of all of them.
 */
extern FlowMemSeries *flowi_memdir_staged(FlowMemtable *mt, FlowSplice *splice,
										  bool anew, const FlowMemPlace *place);
extern bool flowi_memdir_stage(FlowEnv *env, FlowMemtable *mt,
							   FlowSplice *splice, FlowMemSeries *s);
extern void flowi_memdir_link(FlowMemtable *mt);
extern void flowi_memdir_unstage(FlowMemtable *mt);

/* --------------------------------------------------------- memrun.c: a run */

#define FLOW_NO_ROW UINT32_MAX

/*
 * The writer's:
 * flowi_memrun_tail: the chunk with the last row, staged or not; NULL: it is
 *		the series' own row.
 * flowi_memrun_append: stage a row behind the last one, which is in *tailp;
 *		false: no room.
 * flowi_memrun_publish: the staged rows become visible.
 */
extern FlowMemChunk *flowi_memrun_tail(const FlowMemSeries *s);
extern bool flowi_memrun_append(FlowEnv *env, FlowMemtable *mt,
								FlowMemSeries *s, FlowMemChunk **tailp,
								const FlowMemRow *row);
extern void flowi_memrun_publish(FlowMemSeries *s);

/* How many rows may be looked at. */
static inline uint32_t
flowi_memrun_count(const FlowMemSeries *s)
{
	return atomic_load_explicit(&s->count, memory_order_acquire);
}

/*
 * Of the first count rows:
 * flowi_memrun_chunk: the chunk with row at, NULL: the series has it itself.
 * flowi_memrun_last: the last row before ts, or at it if at is set;
 *		FLOW_NO_ROW: none.  *chunkp: where it is.
 */
extern FlowMemChunk *flowi_memrun_chunk(const FlowMemSeries *s, uint32_t count,
										uint32_t at);
extern uint32_t flowi_memrun_last(const FlowMemSeries *s, uint32_t count,
								  int64_t ts, bool at, FlowMemChunk **chunkp);

static inline const FlowMemRow *
flowi_memrun_row(const FlowMemSeries *s, const FlowMemChunk *chunk, uint32_t at)
{
	return chunk ? &chunk->rows[at - flowi_memchunk_base(at)] : &s->first;
}

/* -------------------------------------------------- memlate.c: late rows */

/*
 * The writer's:
 * flowi_memlate_stage: false: no room.
 * flowi_memlate_link: the staged ones become visible.
 * flowi_memlate_unstage
 */
extern bool flowi_memlate_stage(FlowEnv *env, FlowMemtable *mt,
								FlowMemSeries *s, const FlowMemRow *row);
extern void flowi_memlate_link(FlowMemSeries *s);
extern void flowi_memlate_unstage(FlowMemSeries *s);

/*
 * flowi_memlate_seek
 *		Set the splice before the newest version of ts that has a sequence <=
 *		seq (0: behind all of ts); returns what is there, or NULL.
 * flowi_memlate_back: from there to the newest version of the time before.
 * flowi_memlate_next
 */
extern FlowMemLate *flowi_memlate_seek(FlowMemSeries *s, FlowSplice *splice,
									   int64_t ts, uint64_t seq);
extern FlowMemLate *flowi_memlate_back(FlowMemSeries *s, FlowSplice *splice);

static inline FlowMemLate *
flowi_memlate_next(FlowMemLate *late)
{
	FlowSkipLink *next = flowi_skip_next(late->next, 0);

	return next ? flowi_memlate_of(next) : NULL;
}

/* ----------------------------------------------------- memahead.c: prefetch */

#define FLOW_AHEAD_ROWS 8u

/* Rows of a batch that will be staged soon; private to the writer. */
typedef struct FlowMemAhead
{
	FlowMemtable *mt;
	bool on;		  /* there may be more to decode */
	uint32_t decoded; /* rows */
	uint32_t hash[FLOW_AHEAD_ROWS];
	FlowBatchCursor c;
} FlowMemAhead;

/*
 * flowi_memahead_next
 *		The row that is staged now: 0, 1, .., range tombstones left out.
 *		true: *hashp is its key's hash.  Once false it remains so.
 */
extern void flowi_memahead_init(FlowMemAhead *a, FlowMemtable *mt,
								const FlowBatchHeader *hdr,
								const uint8_t *payload);
extern bool flowi_memahead_next(FlowMemAhead *a, uint32_t row, uint32_t *hashp);

#endif /* FLOW_MEMTABLE_IMPL_H */
