/*-------------------------------------------------------------------------
 * sst_piece.c
 *	  The raw bytes of a frame, in the block cache or in private memory.
 *
 * Nothing of a frame is believed before its checksum fits, and no memory is
 * taken for it before its size is one that such a frame can have.  A piece
 * goes into the cache only when its reader has also understood it: it is
 * reserved, filled, decoded, and published then.
 *-------------------------------------------------------------------------
 */
#include "sst_reader.h"

#include <inttypes.h>

/* Private memory is taken in multiples of this, so that blocks of about one
 * size do not each ask for some more. */
#define MEM_STEP 4096u

FlowStatus
flowi_reader_damaged(const FlowSstReader *r, uint64_t off, const char *what)
{
	return flowi_fail(FLOW_CORRUPT,
					  "file \"%s\" is damaged at offset %" PRIu64 ": %s",
					  r->path, off, what);
}

void
flowi_piece_drop(const FlowSstReader *r, FlowPiece *p)
{
	if (p->in_cache && !p->paused)
		flowi_cache_unpin(r->env, &p->ref);
	p->data = NULL;
	p->in_cache = p->paused = p->fresh = false;
}

void
flowi_piece_free(const FlowSstReader *r, FlowPiece *p)
{
	flowi_piece_drop(r, p);
	r->env->free(r->env, p->mem);
	p->mem = NULL;
	p->mem_bytes = 0;
}

static void
set_cached(FlowPiece *p, uint64_t off)
{
	p->data = p->ref.data;
	p->bytes = p->ref.bytes;
	p->off = off;
	p->in_cache = true;
}

bool
flowi_piece_cached(const FlowSstReader *r, FlowPiece *p, uint64_t off)
{
	flowi_piece_drop(r, p);
	if (!flowi_cache_get(r->env, r->space, r->info.id, off, &p->ref))
		return false;
	set_cached(p, off);
	return true;
}

void
flowi_piece_publish(const FlowSstReader *r, FlowPiece *p)
{
	if (p->fresh)
		flowi_cache_publish(r->env, &p->ref);
	p->fresh = false;
}

void
flowi_piece_pause(const FlowSstReader *r, FlowPiece *p)
{
	if (!p->in_cache || p->paused)
		return;
	flowi_cache_unpin(r->env, &p->ref);
	p->paused_data = p->data;
	p->data = NULL;
	p->paused = true;
}

bool
flowi_piece_wake(const FlowSstReader *r, FlowPiece *p)
{
	if (!p->paused)
		return p->data != NULL;
	p->paused = false;
	if (!flowi_cache_again(r->env, r->space, r->info.id, p->off, &p->ref))
	{
		p->in_cache = p->fresh = false;
		return false;
	}
	p->data = p->ref.data;
	if (p->data == p->paused_data)
		return true;
	flowi_piece_drop(r, p);
	return false;
}

/* Room for raw bytes: the cache's, or private. */
static FlowStatus
make_room(FlowSstReader *r, FlowPiece *p, uint64_t off, size_t raw, bool fill,
		  uint8_t **roomp)
{
	size_t want = (raw / MEM_STEP + 1) * MEM_STEP;

	if (fill &&
		flowi_cache_reserve(r->env, r->space, r->info.id, off, raw, &p->ref))
	{
		set_cached(p, off);
		p->fresh = true;
		*roomp = p->ref.data;
		return FLOW_OK;
	}
	if (raw > p->mem_bytes || p->mem == NULL)
	{
		r->env->free(r->env, p->mem);
		p->mem_bytes = 0;
		p->mem = r->env->alloc(r->env, want);
		if (p->mem == NULL)
			return flowi_fail(FLOW_NOMEM,
							  "out of memory: %zu bytes of file \"%s\"", want,
							  r->path);
		p->mem_bytes = want;
	}
	p->data = *roomp = p->mem;
	p->bytes = raw;
	p->off = off;
	return FLOW_OK;
}

FlowStatus
flowi_piece_unpack(FlowSstReader *r, FlowPiece *p, const FlowFrameSpec *spec,
				   const uint8_t *frame, bool fill, bool in_place)
{
	size_t stored = spec->frame_bytes - FRAME_BYTES;
	const uint8_t *bytes = frame + FRAME_BYTES;
	uint8_t *room = NULL;
	size_t raw;
	FlowStatus st;

	flowi_piece_drop(r, p);
	if (spec->frame_bytes < FRAME_BYTES || stored > FLOW_BLOCK_MAX_BYTES)
		return flowi_reader_damaged(r, spec->off, "impossible frame");
	if (!spec->no_verify &&
		flowi_get64(frame + FRAME_CHECKSUM) !=
			flowi_frame_checksum(frame, stored, r->info.id, spec->off))
		return flowi_reader_damaged(r, spec->off, "wrong checksum");
	raw = flowi_get32(frame + FRAME_RAW);
	if (flowi_get32(frame + FRAME_STORED) != stored ||
		frame[FRAME_KIND] != spec->kind || frame[FRAME_ZERO] != 0 ||
		frame[FRAME_ZERO + 1] != 0 || raw > FLOW_BLOCK_MAX_BYTES ||
		raw > spec->most ||
		(frame[FRAME_CODEC] == FLOW_CODEC_BLOCK && spec->kind != KIND_BLOCK) ||
		!flowi_codec_plausible(frame[FRAME_CODEC], bytes, stored, raw))
		return flowi_reader_damaged(r, spec->off, "malformed frame");
	/* what was not verified is not for others */
	fill = fill && !spec->no_verify;
	if (frame[FRAME_CODEC] == FLOW_CODEC_NONE && in_place && !fill)
	{
		p->data = bytes;
		p->bytes = raw;
		p->off = spec->off;
		return FLOW_OK;
	}
	FLOW_TRY(make_room(r, p, spec->off, raw, fill, &room));
	st = flowi_codec_decompress(r->codec, frame[FRAME_CODEC], bytes, stored,
								room, raw);
	if (st == FLOW_OK)
		return FLOW_OK;
	flowi_piece_drop(r, p);
	if (st == FLOW_CORRUPT)
		return flowi_reader_damaged(r, spec->off, "cannot be decompressed");
	return st;
}

FlowStatus
flowi_piece_read(FlowSstReader *r, FlowPiece *p, const FlowFrameSpec *spec,
				 bool fill)
{
	r->frame.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->frame, spec->frame_bytes));
	FLOW_TRY(r->env->file_read(r->file, r->frame.data, spec->frame_bytes,
							   spec->off));
	return flowi_piece_unpack(r, p, spec, r->frame.data, fill, false);
}
