/*-------------------------------------------------------------------------
 * sst_reader.h
 *	  What the files of the SSTable reader share: sst_open.c opens,
 *	  sst_piece.c reads frames, sst_index.c finds segments and blocks,
 *	  sst_iter.c goes along the rows, sst_point.c looks for one.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SST_READER_H
#define FLOW_SST_READER_H

#include "cache.h"
#include "sst_format.h"

/* From where to where the rows of a block or segment go.  Keys are borrowed
 * from the index that tells it. */
typedef struct FlowSpan
{
	const uint8_t *first_key, *last_key;
	uint32_t first_bytes, last_bytes;
	int64_t first_ts, last_ts; /* of the first and the last row */
	int64_t ts_min, ts_max;
	int64_t expire_min;
	bool plain; /* no tombstone, no two versions of one identity; false: that
				 * is not known */
} FlowSpan;

/* An entry of the top index. */
typedef struct FlowSegment
{
	FlowSpan span;
	uint64_t off;
	uint64_t rows;
	uint32_t block_bytes; /* frames; the filter's and the leaf's come behind */
	uint32_t filter_bytes;
	uint32_t leaf_bytes;
	uint32_t nblocks;
	bool marked;	   /* the file's version tells what is plain */
	bool leaf_checked; /* this reader has seen all of its leaf: from then on
						* the checksum tells that it is the same */
	struct FlowSegmentIndex *index; /* sst_point.c; or NULL */
	size_t index_need; /* its bytes, once they were measured; or 0 */
	bool asked;		   /* for a point: the next one makes index */
	bool decode;	   /* its blocks cannot be searched undecoded */
	uint32_t small;	   /* where in small_filters its filter begins, + 1; 0:
						* it is not there */
} FlowSegment;

/* An entry of an index leaf. */
typedef struct FlowLeafEntry
{
	FlowSpan span;
	uint64_t off; /* of the block's frame in the file */
	uint32_t frame_bytes;
	uint32_t raw_bytes;
	uint32_t nrows;
} FlowLeafEntry;

/*
 * The raw bytes of one frame, in the block cache or in private memory.  It is
 * empty (data NULL), full, or paused: then its bytes are in the cache, if
 * anywhere, and nothing is pinned.  Zeroed: empty.
 */
typedef struct FlowPiece
{
	const uint8_t *data;
	size_t bytes;
	uint64_t off; /* of the frame */
	bool in_cache;
	bool paused;
	bool fresh; /* in_cache, but not to be found by others yet */
	FlowCacheRef ref;
	const uint8_t *paused_data; /* what data was */
	uint8_t *mem;				/* private memory, kept for the next piece */
	size_t mem_bytes;
} FlowPiece;

/* An open file; constant after open but for the scratch memory. */
struct FlowSstReader
{
	FlowEnv *env;
	FlowFile *file;
	char *path;
	uint64_t space;
	uint32_t version;
	uint64_t tombs_off; /* end of the segments */
	uint64_t top_off;
	uint64_t properties_off;
	uint32_t nsegs;
	uint64_t nblocks;
	FlowSegment *segs;
	FlowTomb *tombs;
	FlowPiece top, properties, tomb_bytes; /* raw; what is above points there */
	FlowSstInfo info;

	/* scratch */
	FlowCodec own_codec;
	FlowCodec *codec; /* own_codec, or one that readers share */
	FlowBuf frame;	  /* a frame as it stands in the file */
	FlowPiece filter; /* the last one that was not in the cache */
	uint32_t filter_seg;
	FlowBuf small_filters; /* of few keys each: good ones, once asked */
	size_t own_index_bytes;
	size_t *index_bytes; /* of segments' indexes, of all that share them */
	uint32_t asked_seg;	 /* where a key was that was asked for last, for the
							* seek that follows; or FLOW_NO_SEGMENT */
};

#define FLOW_NO_SEGMENT UINT32_MAX

extern FlowStatus flowi_reader_damaged(const FlowSstReader *r, uint64_t off,
									   const char *what);

/* --- sst_piece.c --- */

/* What a frame must be. */
typedef struct FlowFrameSpec
{
	uint8_t kind;
	uint64_t off;
	size_t frame_bytes; /* header included */
	uint64_t most;		/* raw bytes it may have at most */
	bool no_verify;		/* do not compare its checksum */
} FlowFrameSpec;

/* Empty the piece: unpin it, or give back the room that was reserved.  Its
 * private memory stays for the next, until free. */
extern void flowi_piece_drop(const FlowSstReader *r, FlowPiece *p);
extern void flowi_piece_free(const FlowSstReader *r, FlowPiece *p);

/* The piece of the frame at off, if the cache has it. */
extern bool flowi_piece_cached(const FlowSstReader *r, FlowPiece *p,
							   uint64_t off);
/*
 * flowi_piece_unpack
 *		Check the frame, and make the piece its raw bytes: in the cache when
 *		fill is set and there is room, not to be found by others before
 *		flowi_piece_publish; else in private memory, or where they stand
 *		when they are not compressed and in_place is set.
 * flowi_piece_read
 *		The same of a frame that is still in the file; verified.
 */
extern FlowStatus flowi_piece_unpack(FlowSstReader *r, FlowPiece *p,
									 const FlowFrameSpec *spec,
									 const uint8_t *frame, bool fill,
									 bool in_place) FLOW_MUST_CHECK;
extern FlowStatus flowi_piece_read(FlowSstReader *r, FlowPiece *p,
								   const FlowFrameSpec *spec,
								   bool fill) FLOW_MUST_CHECK;
extern void flowi_piece_publish(const FlowSstReader *r, FlowPiece *p);

/* Pin nothing; wake: the same bytes at the same place again, or false, and
 * the piece is empty.  Of a full one wake is true. */
extern void flowi_piece_pause(const FlowSstReader *r, FlowPiece *p);
extern bool flowi_piece_wake(const FlowSstReader *r, FlowPiece *p);

/* --- sst_index.c --- */

/* The key of key_bytes at off among the keys of an index; false: outside. */
extern bool flowi_index_key(const uint8_t *keys, size_t keys_bytes,
							uint32_t off, uint32_t key_bytes,
							const uint8_t **keyp);
/* Does the span go forward, and begin behind the one before (NULL: any)? */
extern bool flowi_span_ordered(const FlowSpan *s, const FlowSpan *before);

/* Make leaf the index leaf of segment s; fill: by way of the cache. */
extern FlowStatus flowi_leaf_load(FlowSstReader *r, uint32_t s, bool fill,
								  FlowPiece *leaf) FLOW_MUST_CHECK;
/* Entry n of a leaf; false when its bytes are not what can stand there. */
extern bool flowi_leaf_entry(const FlowSegment *s, const FlowPiece *leaf,
							 uint32_t n, FlowLeafEntry *e);

/* Of entry n no more than its last identity, which a search looks at. */
static inline bool
flowi_leaf_last(const FlowSegment *s, const FlowPiece *leaf, uint32_t n,
				FlowSpan *last)
{
	const uint8_t *p = leaf->data + (size_t) n * LEAF_BYTES;
	size_t entries = (size_t) s->nblocks * LEAF_BYTES;

	last->last_bytes = flowi_get16(p + LEAF_LAST_BYTES);
	last->last_ts = (int64_t) flowi_get64(p + LEAF_LAST_TS);
	return flowi_index_key(leaf->data + entries, leaf->bytes - entries,
						   flowi_get32(p + LEAF_LAST_KEY), last->last_bytes,
						   &last->last_key);
}

/* Is the last identity before (key, ts), or at it when strict? */
static inline bool
flowi_span_ends_before(const FlowSpan *s, const FlowSeek *to, bool strict)
{
	int c = flowi_identity_cmp(s->last_key, s->last_bytes, s->last_ts, to->key,
							   to->key_bytes, to->ts);

	return c < 0 || (strict && c == 0);
}

/* Backwards: is the first identity too far already? */
static inline bool
flowi_span_starts_behind(const FlowSpan *s, const FlowSeek *to)
{
	int c = flowi_identity_cmp(s->first_key, s->first_bytes, s->first_ts,
							   to->key, to->key_bytes, to->ts);

	return c > 0 || (to->after && c == 0);
}

/* --- sst_point.c --- */

extern void flowi_sst_free_points(FlowSstReader *r);

#endif /* FLOW_SST_READER_H */
