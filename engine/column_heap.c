/*-------------------------------------------------------------------------
 * column_heap.c
 *	  Bytes of values back to back, compressed in pieces.
 *
 * A piece is small enough for one value to be read without much beside it.
 * Pieces are decompressed to where they belong in one buffer, so that a value
 * that lies in two of them is in one place.
 *-------------------------------------------------------------------------
 */
#include "column_impl.h"

#define PIECE ((size_t) 8192) /* raw bytes; a format */
#define COMPRESS_MIN 64u
#define COMPRESS_MAX ((size_t) 1 << 30)

/* A piece of a heap that is being read. */
typedef struct Piece
{
	const uint8_t *stored;
	uint32_t bytes;
	bool done; /* it is in the buffer */
} Piece;

/* Stored bytes of each piece as a varint, then the pieces, into scratch 1 and
 * 2; *codecp NONE: that would not save an eighth. */
static FlowStatus
compress(FlowColumnWriter *w, const FlowBuf *heap, uint8_t *codecp)
{
	FlowBuf *sizes = &w->scratch[1];
	FlowBuf *pieces = &w->scratch[2];
	size_t most = heap->len - heap->len / 8;

	sizes->len = pieces->len = 0;
	*codecp = FLOW_CODEC_NONE;
	FLOW_TRY(flowi_buf_reserve(pieces, most));
	for (size_t at = 0; at < heap->len; at += PIECE)
	{
		size_t raw = FLOW_MIN(heap->len - at, PIECE);
		size_t stored;

		FLOW_TRY(flowi_codec_compress(
			w->codec, w->how, w->level, heap->data + at, raw,
			pieces->data + pieces->len, most - pieces->len, codecp, &stored));
		if (*codecp == FLOW_CODEC_NONE)
			return FLOW_OK;
		pieces->len += stored;
		FLOW_TRY(flowi_buf_varint(sizes, stored));
	}
	return FLOW_OK;
}

FlowStatus
flowi_heap_write(FlowColumnWriter *w, const FlowBuf *heap, FlowBuf *out)
{
	const FlowBuf *sizes = &w->scratch[1];
	const FlowBuf *pieces = &w->scratch[2];
	uint8_t codec = FLOW_CODEC_NONE;

	if (heap->len >= COMPRESS_MIN && heap->len <= COMPRESS_MAX)
		FLOW_TRY(compress(w, heap, &codec));
	FLOW_TRY(flowi_buf_append(out, &codec, 1));
	FLOW_TRY(flowi_buf_varint(out, heap->len));
	if (codec == FLOW_CODEC_NONE)
		return flowi_buf_append(out, heap->data, heap->len);
	FLOW_TRY(flowi_buf_varint(out, sizes->len + pieces->len));
	FLOW_TRY(flowi_buf_append(out, sizes->data, sizes->len));
	return flowi_buf_append(out, pieces->data, pieces->len);
}

bool
flowi_heap_open(FlowColumnReader *r, const uint8_t **pp, const uint8_t *end)
{
	const uint8_t *p = *pp;
	uint64_t raw, stored;

	if (p == end)
		return false;
	r->heap_codec = *p++;
	/* blocks alone are packed */
	if (r->heap_codec > FLOW_CODEC_ZSTD)
		return false;
	if (!flowi_get_varint(&p, end, &raw) || raw > SIZE_MAX / 2)
		return false;
	stored = raw;
	if (r->heap_codec != FLOW_CODEC_NONE &&
		(raw > COMPRESS_MAX || !flowi_get_varint(&p, end, &stored)))
		return false;
	if (stored > (uint64_t) (end - p))
		return false;
	r->heap = p;
	r->heap_bytes = (size_t) stored;
	r->raw_bytes = (size_t) raw;
	r->split = false;
	*pp = p + stored;
	return true;
}

/* Find the pieces, and take memory for all, if they can be what they should. */
static FlowStatus
split(FlowColumnReader *r)
{
	const uint8_t *p = r->heap;
	const uint8_t *end = p + r->heap_bytes;
	size_t n = (r->raw_bytes + PIECE - 1) / PIECE;
	Piece *pieces;

	if (n > r->heap_bytes)
		return FLOW_CORRUPT;
	r->pieces.len = r->raw.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->pieces, n * sizeof(*pieces)));
	pieces = (Piece *) r->pieces.data;
	for (size_t i = 0; i < n; i++)
	{
		if (!flowi_get_varint32(&p, end, &pieces[i].bytes))
			return FLOW_CORRUPT;
		pieces[i].done = false;
	}
	for (size_t i = 0; i < n; i++)
	{
		size_t raw = FLOW_MIN(r->raw_bytes - i * PIECE, PIECE);

		pieces[i].stored = p;
		if (pieces[i].bytes > (size_t) (end - p) ||
			!flowi_codec_plausible(r->heap_codec, p, pieces[i].bytes, raw))
			return FLOW_CORRUPT;
		p += pieces[i].bytes;
	}
	FLOW_TRY(flowi_buf_reserve(&r->raw, r->raw_bytes + 1));
	r->heap = r->raw.data;
	r->split = true;
	return FLOW_OK;
}

FlowStatus
flowi_heap_need(FlowColumnReader *r, size_t from, size_t to)
{
	Piece *pieces;

	FLOW_ASSERT(from <= to && to <= r->raw_bytes);
	if (r->heap_codec == FLOW_CODEC_NONE)
		return FLOW_OK;
	if (!r->split)
		FLOW_TRY(split(r));
	pieces = (Piece *) r->pieces.data;
	for (size_t i = from / PIECE; i * PIECE < to; i++)
	{
		size_t raw = FLOW_MIN(r->raw_bytes - i * PIECE, PIECE);

		if (pieces[i].done)
			continue;
		FLOW_TRY(flowi_codec_decompress(r->codec, r->heap_codec,
										pieces[i].stored, pieces[i].bytes,
										r->raw.data + i * PIECE, raw));
		pieces[i].done = true;
	}
	return FLOW_OK;
}
