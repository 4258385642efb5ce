/*-------------------------------------------------------------------------
 * batch.c
 *	  Batches as log records: encode and decode.
 *
 * An operation leaves out what it shares with the one before it in its step:
 * the store, and most of the timestamp (a difference).  An operation begins
 * a step by a flag, so the encoder patches no counts.  Room for the record's
 * header is kept in front of the payload, so a batch that lz4 does not
 * shrink goes to the log without being copied.
 *
 * The decoder trusts nothing: a torn or hostile record gives CORRUPT.
 * Bytes: doc/FORMAT.md "Log records".
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <lz4.h>

#include "batch.h"
#include "coding.h"
#include "iter.h"
#include "record.h"

/* the first byte of an operation */
#define OP_DELETE 0x01u
#define OP_EXPIRES 0x02u /* expire_at follows; without it FLOW_NEVER */
#define OP_STORE 0x04u	 /* store id follows; without it as before */
#define OP_STEP 0x08u	 /* begins a step; its command id follows */
#define OP_RANGE 0x10u	 /* a range tombstone */
#define OP_OPEN 0x20u	 /* of it: there is no upper end of the keys */
#define OP_KNOWN 0x3fu

/* header: prefix, xid, nsteps, nops, ntombs, payload_bytes */
#define HEADER_MAX (RECORD_PREFIX_BYTES + FLOW_VARINT_MAX + 4 * 5)

#define LZ4_MIN_BYTES 256u /* do not try to compress less */

struct FlowBatchWriter
{
	FlowEnv *env;
	FlowBuf raw;	/* HEADER_MAX bytes of room, then the payload */
	FlowBuf packed; /* header and compressed payload */
	FlowBatchHeader hdr;
	bool compress;
	bool begin_step; /* the next operation opens a step */
	bool points;	 /* the current step has more than range tombstones */
	uint32_t cid;	 /* of the current step */
	/* the operation before in this step */
	uint32_t store_id;
	int64_t ts;
};

/* Differences wrap around: any int64 can follow any other. */
static uint64_t
encode_difference(int64_t a, int64_t b)
{
	return flowi_zigzag((int64_t) ((uint64_t) a - (uint64_t) b));
}

static int64_t
decode_difference(uint64_t v, int64_t b)
{
	return (int64_t) ((uint64_t) flowi_unzigzag(v) + (uint64_t) b);
}

/* -------------------------------------------------------------- encoder */

FlowStatus
flowi_batch_writer_create(FlowEnv *env, FlowBatchWriter **bwp)
{
	FlowBatchWriter *bw = env->alloc(env, sizeof(*bw));

	*bwp = NULL;
	if (bw == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: batch writer");
	bw->env = env;
	bw->compress = true;
	flowi_buf_init(&bw->raw, env);
	flowi_buf_init(&bw->packed, env);
	flowi_batch_begin(bw, 0);
	*bwp = bw;
	return FLOW_OK;
}

void
flowi_batch_writer_free(FlowBatchWriter *bw)
{
	if (bw == NULL)
		return;
	flowi_buf_free(&bw->raw);
	flowi_buf_free(&bw->packed);
	bw->env->free(bw->env, bw);
}

void
flowi_batch_begin(FlowBatchWriter *bw, uint64_t xid)
{
	bw->raw.len = 0;
	bw->packed.len = 0;
	bw->hdr = (FlowBatchHeader){.xid = xid};
	bw->begin_step = true;
	bw->points = false;
	bw->cid = 0;
}

void
flowi_batch_compress(FlowBatchWriter *bw, bool compress)
{
	bw->compress = compress;
}

/* A step that gets no operation leaves no trace. */
FlowStatus
flowi_batch_step(FlowBatchWriter *bw, uint32_t cid)
{
	if (flowi_batch_steps(bw) >= FLOW_MAX_STEPS && !bw->begin_step)
		return flowi_fail(FLOW_INVALID, "a batch has at most %d steps",
						  FLOW_MAX_STEPS);
	bw->begin_step = true;
	bw->cid = cid;
	return FLOW_OK;
}

/* The part of an operation before its key; the byte behind it. */
static uint8_t *
put_op_head(FlowBatchWriter *bw, uint8_t *p, unsigned flags, uint32_t store_id,
			int64_t ts, int64_t expire_at)
{
	if (bw->begin_step)
	{
		flags |= OP_STEP;
		bw->begin_step = false;
		bw->points = false;
		bw->hdr.nsteps++;
		bw->store_id = 0;
		bw->ts = 0;
	}
	if (store_id != bw->store_id)
		flags |= OP_STORE;
	if (expire_at != FLOW_NEVER)
		flags |= OP_EXPIRES;
	*p++ = (uint8_t) flags;
	if (flags & OP_STEP)
		p = flowi_put_varint(p, bw->cid);
	if (flags & OP_STORE)
		p = flowi_put_varint(p, store_id);
	p = flowi_put_varint(p, encode_difference(ts, bw->ts));
	if (flags & OP_EXPIRES)
		p = flowi_put_varint(p, encode_difference(expire_at, ts));
	bw->store_id = store_id;
	bw->ts = ts;
	return p;
}

/* Room for an operation behind the others; *pp: where it begins. */
static FlowStatus
reserve_op(FlowBatchWriter *bw, size_t bytes, uint8_t **pp)
{
	FLOW_TRY(
		flowi_buf_reserve(&bw->raw, HEADER_MAX + FLOW_OP_MAX_OVERHEAD + bytes));
	if (bw->raw.len == 0)
		bw->raw.len = HEADER_MAX;
	*pp = bw->raw.data + bw->raw.len;
	return FLOW_OK;
}

/* The operation reaches to p. */
static void
end_op(FlowBatchWriter *bw, const uint8_t *p)
{
	bw->raw.len = (size_t) (p - bw->raw.data);
	bw->hdr.nops++;
}

static uint8_t *
put_bytes(uint8_t *p, const uint8_t *bytes, uint32_t n)
{
	p = flowi_put_varint(p, n);
	if (n > 0)
		memcpy(p, bytes, n);
	return p + n;
}

FlowStatus
flowi_batch_add(FlowBatchWriter *bw, FlowOp op, uint32_t store_id,
				const uint8_t *key, uint32_t key_bytes, int64_t ts,
				int64_t expire_at, const uint8_t *value, uint32_t value_bytes)
{
	uint8_t *p;

	if (key_bytes > FLOW_MAX_KEY || value_bytes > FLOW_MAX_VALUE)
		return flowi_fail(FLOW_INVALID,
						  "key of %u bytes or value of %u bytes is too long",
						  key_bytes, value_bytes);
	if (op == FLOW_DELETE)
		value_bytes = 0;
	FLOW_TRY(reserve_op(bw, (size_t) key_bytes + value_bytes, &p));
	p = put_op_head(bw, p, op == FLOW_DELETE ? OP_DELETE : 0, store_id, ts,
					expire_at);
	p = put_bytes(p, key, key_bytes);
	if (op == FLOW_PUT)
		p = put_bytes(p, value, value_bytes);
	end_op(bw, p);
	bw->points = true;
	return FLOW_OK;
}

FlowStatus
flowi_batch_add_tomb(FlowBatchWriter *bw, uint32_t store_id,
					 const FlowRect *rect)
{
	bool open = rect->key_hi == NULL;
	uint32_t hi_bytes = open ? 0 : rect->key_hi_bytes;
	uint8_t *p;

	if (rect->key_lo_bytes > FLOW_MAX_KEY || hi_bytes > FLOW_MAX_KEY)
		return flowi_fail(FLOW_INVALID,
						  "range of keys of %u and %u bytes is too long",
						  rect->key_lo_bytes, hi_bytes);
	if (bw->points && !bw->begin_step)
		return flowi_fail(FLOW_INVALID,
						  "range tombstone behind other operations of a step");
	FLOW_TRY(reserve_op(bw, (size_t) rect->key_lo_bytes + hi_bytes, &p));
	p = put_op_head(bw, p, open ? OP_RANGE | OP_OPEN : OP_RANGE, store_id,
					rect->ts_lo, rect->ts_hi);
	p = put_bytes(p, rect->key_lo, rect->key_lo_bytes);
	if (!open)
		p = put_bytes(p, rect->key_hi, hi_bytes);
	end_op(bw, p);
	bw->hdr.ntombs++;
	return FLOW_OK;
}

size_t
flowi_batch_payload_bytes(const FlowBatchWriter *bw)
{
	return bw->raw.len == 0 ? 0 : bw->raw.len - HEADER_MAX;
}

uint32_t
flowi_batch_steps(const FlowBatchWriter *bw)
{
	return bw->hdr.nsteps;
}

/* Write the record's header to p (HEADER_MAX bytes of room); its length. */
static size_t
put_header(uint8_t *p, const FlowBatchHeader *hdr, unsigned flags)
{
	uint8_t *start = p;

	*p++ = FLOW_RECORD_BATCH;
	*p++ = BATCH_VERSION;
	*p++ = (uint8_t) flags;
	p = flowi_put_varint(p, hdr->xid);
	p = flowi_put_varint(p, hdr->nsteps);
	p = flowi_put_varint(p, hdr->nops);
	p = flowi_put_varint(p, hdr->ntombs);
	p = flowi_put_varint(p, hdr->payload_bytes);
	return (size_t) (p - start);
}

/*
 * Compress the payload into bw->packed; leaves it empty when that saves less
 * than an eighth.
 */
static FlowStatus
pack(FlowBatchWriter *bw, const uint8_t *payload)
{
	uint32_t raw_bytes = bw->hdr.payload_bytes;
	uint32_t room = raw_bytes - raw_bytes / 8;
	size_t len;
	int n;

	FLOW_TRY(flowi_buf_reserve(&bw->packed, HEADER_MAX + room));
	len = put_header(bw->packed.data, &bw->hdr, BATCH_LZ4);
	n = LZ4_compress_default((const char *) payload,
							 (char *) bw->packed.data + len, (int) raw_bytes,
							 (int) room);
	if (n > 0)
		bw->packed.len = len + (size_t) n;
	return FLOW_OK;
}

FlowStatus
flowi_batch_finish(FlowBatchWriter *bw, const void **recp, size_t *rec_bytesp,
				   FlowBatchHeader *hdr, const uint8_t **payloadp)
{
	size_t payload_bytes = flowi_batch_payload_bytes(bw);
	uint8_t *payload;

	if (bw->hdr.nops == 0 || payload_bytes > FLOW_BATCH_MAX_BYTES)
		return flowi_fail(FLOW_INVALID, "batch of %u operations, %zu bytes",
						  bw->hdr.nops, payload_bytes);
	bw->hdr.payload_bytes = (uint32_t) payload_bytes;
	payload = bw->raw.data + HEADER_MAX;
	if (bw->compress && payload_bytes >= LZ4_MIN_BYTES)
		FLOW_TRY(pack(bw, payload));
	if (bw->packed.len > 0)
	{
		*recp = bw->packed.data;
		*rec_bytesp = bw->packed.len;
	}
	else
	{
		uint8_t header[HEADER_MAX];
		size_t len = put_header(header, &bw->hdr, 0);

		memcpy(payload - len, header, len);
		*recp = payload - len;
		*rec_bytesp = len + payload_bytes;
	}
	*hdr = bw->hdr;
	*payloadp = payload;
	return FLOW_OK;
}

/* -------------------------------------------------------------- decoder */

FlowStatus
flowi_batch_header(const void *rec, size_t rec_bytes, FlowBatchHeader *hdr,
				   unsigned *flagsp, const uint8_t **pp)
{
	const uint8_t *p = rec;
	const uint8_t *end = p + rec_bytes;

	FLOW_TRY(flowi_record_prefix(rec, rec_bytes, FLOW_RECORD_BATCH,
								 BATCH_VERSION, flagsp));
	FLOW_CHECK_DATA((*flagsp & ~BATCH_LZ4) == 0, "batch has flags 0x%02x",
					*flagsp);
	p += RECORD_PREFIX_BYTES;
	FLOW_CHECK_DATA(flowi_get_varint(&p, end, &hdr->xid) &&
						flowi_get_varint32(&p, end, &hdr->nsteps) &&
						flowi_get_varint32(&p, end, &hdr->nops) &&
						flowi_get_varint32(&p, end, &hdr->ntombs) &&
						flowi_get_varint32(&p, end, &hdr->payload_bytes),
					"batch header is cut short");
	FLOW_CHECK_DATA(hdr->payload_bytes <= FLOW_BATCH_MAX_BYTES,
					"batch payload of %u bytes", hdr->payload_bytes);
	FLOW_CHECK_DATA(hdr->nsteps >= 1 && hdr->nsteps <= FLOW_MAX_STEPS &&
						hdr->nsteps <= hdr->nops && hdr->ntombs <= hdr->nops &&
						hdr->nops <= hdr->payload_bytes,
					"batch of %u steps, %u operations, %u bytes", hdr->nsteps,
					hdr->nops, hdr->payload_bytes);
	*pp = p;
	return FLOW_OK;
}

FlowStatus
flowi_batch_open(FlowEnv *env, const void *rec, size_t rec_bytes,
				 FlowBatchHeader *hdr, const uint8_t **payloadp, void **ownedp)
{
	const uint8_t *p;
	size_t stored;
	unsigned flags;
	int n;

	*payloadp = NULL;
	*ownedp = NULL;
	FLOW_TRY(flowi_batch_header(rec, rec_bytes, hdr, &flags, &p));
	stored = rec_bytes - (size_t) (p - (const uint8_t *) rec);
	if ((flags & BATCH_LZ4) == 0)
	{
		FLOW_CHECK_DATA(stored == hdr->payload_bytes,
						"batch has %zu payload bytes, not %u", stored,
						hdr->payload_bytes);
		*payloadp = p;
		return FLOW_OK;
	}
	/* lz4 cannot do better than 255 to 1: no big allocation for nothing */
	FLOW_CHECK_DATA(stored <=
							(size_t) LZ4_COMPRESSBOUND(FLOW_BATCH_MAX_BYTES) &&
						hdr->payload_bytes / 255 <= stored,
					"%zu compressed bytes cannot make a batch of %u", stored,
					hdr->payload_bytes);
	*ownedp = env->alloc(env, hdr->payload_bytes);
	if (*ownedp == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: batch of %u bytes",
						  hdr->payload_bytes);
	n = LZ4_decompress_safe((const char *) p, *ownedp, (int) stored,
							(int) hdr->payload_bytes);
	if (n < 0 || (uint32_t) n != hdr->payload_bytes)
	{
		env->free(env, *ownedp);
		*ownedp = NULL;
		return flowi_fail(FLOW_CORRUPT, "batch of %u bytes does not decompress",
						  hdr->payload_bytes);
	}
	*payloadp = *ownedp;
	return FLOW_OK;
}

void
flowi_batch_cursor_init(FlowBatchCursor *c, const FlowBatchHeader *hdr,
						const uint8_t *payload)
{
	memset(c, 0, sizeof(*c));
	c->p = payload;
	c->end = payload + hdr->payload_bytes;
	c->nsteps = hdr->nsteps;
	c->ops_left = hdr->nops;
	c->tombs_left = hdr->ntombs;
}

/* The part of an operation before its key; false when it is malformed. */
static bool
get_op_head(FlowBatchCursor *c, unsigned *flagsp)
{
	uint64_t difference;
	unsigned flags;

	if (c->p >= c->end)
		return false;
	flags = *c->p++;
	*flagsp = flags;
	if ((flags & ~OP_KNOWN) != 0 ||
		(flags & (OP_DELETE | OP_RANGE)) == (OP_DELETE | OP_RANGE) ||
		(flags & (OP_OPEN | OP_RANGE)) == OP_OPEN)
		return false;
	if (flags & OP_STEP)
	{
		if (c->steps_seen == c->nsteps)
			return false;
		c->step = c->steps_seen++;
		c->store_id = 0;
		c->ts = 0;
		if (!flowi_get_varint32(&c->p, c->end, &c->cid))
			return false;
	}
	else if (c->steps_seen == 0)
		return false;
	if ((flags & OP_STORE) && !flowi_get_varint32(&c->p, c->end, &c->store_id))
		return false;
	if (!flowi_get_varint(&c->p, c->end, &difference))
		return false;
	c->ts = decode_difference(difference, c->ts);
	c->expire_at = FLOW_NEVER;
	if (flags & OP_EXPIRES)
	{
		if (!flowi_get_varint(&c->p, c->end, &difference))
			return false;
		c->expire_at = decode_difference(difference, c->ts);
	}
	return true;
}

/* Length and bytes of a key or value; false when malformed. */
static bool
get_bytes(FlowBatchCursor *c, uint32_t max, const uint8_t **bytesp,
		  uint32_t *lenp)
{
	if (!flowi_get_varint32(&c->p, c->end, lenp) || *lenp > max ||
		*lenp > (size_t) (c->end - c->p))
		return false;
	*bytesp = c->p;
	c->p += *lenp;
	return true;
}

/* What follows the key: a value, the upper end of a range, or nothing. */
static bool
get_op_tail(FlowBatchCursor *c, unsigned flags)
{
	c->value = NULL;
	c->value_bytes = 0;
	if (flags & OP_RANGE)
	{
		c->op = FLOW_DELETE_RANGE;
		return c->tombs_left-- > 0 &&
			   ((flags & OP_OPEN) ||
				get_bytes(c, FLOW_MAX_KEY, &c->value, &c->value_bytes));
	}
	c->op = flags & OP_DELETE ? FLOW_DELETE : FLOW_PUT;
	return c->op == FLOW_DELETE ||
		   get_bytes(c, FLOW_MAX_VALUE, &c->value, &c->value_bytes);
}

/* The end of the payload. */
static FlowStatus
check_end(const FlowBatchCursor *c)
{
	FLOW_CHECK_DATA(
		c->p == c->end && c->steps_seen == c->nsteps && c->tombs_left == 0,
		"batch has %u steps, not %u, lacks %u range tombstones, "
		"and has %zu bytes behind its last operation",
		c->steps_seen, c->nsteps, c->tombs_left, (size_t) (c->end - c->p));
	return FLOW_END;
}

/* May c's operation stand behind the one before it in its step? */
static bool
in_order(const FlowBatchCursor *c, const FlowBatchCursor *before)
{
	if (before->op == FLOW_DELETE_RANGE)
		return true;
	return c->op != FLOW_DELETE_RANGE &&
		   (before->store_id < c->store_id ||
			(before->store_id == c->store_id &&
			 flowi_identity_cmp(before->key, before->key_bytes, before->ts,
								c->key, c->key_bytes, c->ts) < 0));
}

FlowStatus
flowi_batch_cursor_next(FlowBatchCursor *c)
{
	FlowBatchCursor before = *c;
	unsigned flags;

	if (c->ops_left == 0)
		return check_end(c);
	FLOW_CHECK_DATA(get_op_head(c, &flags) &&
						flowi_batch_store_ok(c->store_id) &&
						get_bytes(c, FLOW_MAX_KEY, &c->key, &c->key_bytes),
					"malformed operation in a batch, %zu bytes before its end",
					(size_t) (c->end - c->p));
	FLOW_CHECK_DATA(get_op_tail(c, flags),
					"malformed value in a batch, %zu bytes before its end",
					(size_t) (c->end - c->p));
	FLOW_CHECK_DATA((flags & OP_STEP) || in_order(c, &before),
					"operations of a batch's step do not rise");
	c->ops_left--;
	return FLOW_OK;
}
