/*-------------------------------------------------------------------------
 * batch.c
 *	  Log records: encode and decode.
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

#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>

#include "batch.h"
#include "coding.h"
#include "iter.h"

#define BATCH_VERSION 1
#define STORE_VERSION 1

/* flags of a BATCH record */
#define BATCH_LZ4 0x01u

/* the first byte of an operation */
#define OP_DELETE 0x01u
#define OP_EXPIRES 0x02u /* expire_at follows; without it FLOW_NEVER */
#define OP_STORE 0x04u	 /* store id follows; without it as before */
#define OP_STEP 0x08u	 /* begins a step; its command id follows */
#define OP_KNOWN 0x0fu

#define PREFIX_BYTES 3 /* kind, version, flags */
/* header: prefix, xid, nsteps, nops, payload_bytes */
#define HEADER_MAX (PREFIX_BYTES + FLOW_VARINT_MAX + 3 * 5)

#define LZ4_MIN_BYTES 256u /* do not try to compress less */

struct FlowBatchWriter
{
	FlowEnv *env;
	FlowBuf raw;	/* HEADER_MAX bytes of room, then the payload */
	FlowBuf packed; /* header and compressed payload */
	FlowBatchHeader hdr;
	bool begin_step; /* the next operation opens a step */
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
	bw->cid = 0;
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
put_op_head(FlowBatchWriter *bw, uint8_t *p, FlowOp op, uint32_t store_id,
			int64_t ts, int64_t expire_at)
{
	unsigned flags = op == FLOW_DELETE ? OP_DELETE : 0;

	if (bw->begin_step)
	{
		flags |= OP_STEP;
		bw->begin_step = false;
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
	FLOW_TRY(flowi_buf_reserve(&bw->raw, HEADER_MAX + FLOW_OP_MAX_OVERHEAD +
											 key_bytes + value_bytes));
	if (bw->raw.len == 0)
		bw->raw.len = HEADER_MAX;
	p = put_op_head(bw, bw->raw.data + bw->raw.len, op, store_id, ts,
					expire_at);
	p = flowi_put_varint(p, key_bytes);
	if (key_bytes > 0)
		memcpy(p, key, key_bytes);
	p += key_bytes;
	if (op == FLOW_PUT)
	{
		p = flowi_put_varint(p, value_bytes);
		if (value_bytes > 0)
			memcpy(p, value, value_bytes);
		p += value_bytes;
	}
	bw->raw.len = (size_t) (p - bw->raw.data);
	bw->hdr.nops++;
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
	if (payload_bytes >= LZ4_MIN_BYTES)
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
flowi_record_kind(const void *rec, size_t rec_bytes, FlowRecordKind *kindp)
{
	const uint8_t *p = rec;

	FLOW_CHECK_DATA(rec_bytes >= PREFIX_BYTES, "log record of %zu bytes",
					rec_bytes);
	FLOW_CHECK_DATA(p[0] == FLOW_RECORD_BATCH || p[0] == FLOW_RECORD_STORE,
					"log record of unknown kind %u", p[0]);
	*kindp = (FlowRecordKind) p[0];
	return FLOW_OK;
}

/*
 * Check the prefix of a record of one kind; *flagsp its flags.  A newer
 * version is MISMATCH: the bytes may be good, this build cannot tell.
 */
static FlowStatus
check_prefix(const void *rec, size_t rec_bytes, FlowRecordKind want,
			 unsigned version, unsigned *flagsp)
{
	const uint8_t *p = rec;
	FlowRecordKind kind = 0;

	FLOW_TRY(flowi_record_kind(rec, rec_bytes, &kind));
	FLOW_CHECK_DATA(kind == want, "log record of kind %u where %u belongs",
					p[0], want);
	FLOW_CHECK_DATA(p[1] != 0, "log record of kind %u has no version", p[0]);
	if (p[1] > version)
		return flowi_fail(FLOW_MISMATCH,
						  "log record of kind %u has version %u, this build "
						  "reads up to %u",
						  p[0], p[1], version);
	*flagsp = p[2];
	return FLOW_OK;
}

/* Read and check the header; the payload as stored is [*pp, end). */
static FlowStatus
read_header(const void *rec, size_t rec_bytes, FlowBatchHeader *hdr,
			unsigned *flagsp, const uint8_t **pp)
{
	const uint8_t *p = rec;
	const uint8_t *end = p + rec_bytes;

	FLOW_TRY(
		check_prefix(rec, rec_bytes, FLOW_RECORD_BATCH, BATCH_VERSION, flagsp));
	FLOW_CHECK_DATA((*flagsp & ~BATCH_LZ4) == 0, "batch has flags 0x%02x",
					*flagsp);
	p += PREFIX_BYTES;
	FLOW_CHECK_DATA(flowi_get_varint(&p, end, &hdr->xid) &&
						flowi_get_varint32(&p, end, &hdr->nsteps) &&
						flowi_get_varint32(&p, end, &hdr->nops) &&
						flowi_get_varint32(&p, end, &hdr->payload_bytes),
					"batch header is cut short");
	FLOW_CHECK_DATA(hdr->payload_bytes <= FLOW_BATCH_MAX_BYTES,
					"batch payload of %u bytes", hdr->payload_bytes);
	FLOW_CHECK_DATA(hdr->nsteps >= 1 && hdr->nsteps <= FLOW_MAX_STEPS &&
						hdr->nsteps <= hdr->nops &&
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
	FLOW_TRY(read_header(rec, rec_bytes, hdr, &flags, &p));
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
	if ((flags & ~OP_KNOWN) != 0)
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

FlowStatus
flowi_batch_cursor_next(FlowBatchCursor *c)
{
	uint32_t store_id = c->store_id;
	const uint8_t *key = c->key;
	uint32_t key_bytes = c->key_bytes;
	int64_t ts = c->ts;
	unsigned flags;

	if (c->ops_left == 0)
	{
		FLOW_CHECK_DATA(c->p == c->end && c->steps_seen == c->nsteps,
						"batch has %u steps, not %u, and %zu bytes behind "
						"its last operation",
						c->steps_seen, c->nsteps, (size_t) (c->end - c->p));
		return FLOW_END;
	}
	FLOW_CHECK_DATA(get_op_head(c, &flags) &&
						flowi_batch_store_ok(c->store_id) &&
						get_bytes(c, FLOW_MAX_KEY, &c->key, &c->key_bytes),
					"malformed operation in a batch, %zu bytes before its end",
					(size_t) (c->end - c->p));
	c->op = flags & OP_DELETE ? FLOW_DELETE : FLOW_PUT;
	c->value = NULL;
	c->value_bytes = 0;
	if (c->op == FLOW_PUT)
		FLOW_CHECK_DATA(
			get_bytes(c, FLOW_MAX_VALUE, &c->value, &c->value_bytes),
			"malformed value in a batch, %zu bytes before its end",
			(size_t) (c->end - c->p));
	if ((flags & OP_STEP) == 0)
		FLOW_CHECK_DATA(store_id < c->store_id ||
							(store_id == c->store_id &&
							 flowi_identity_cmp(key, key_bytes, ts, c->key,
												c->key_bytes, c->ts) < 0),
						"operations of a batch's step do not rise");
	c->ops_left--;
	return FLOW_OK;
}

/* -------------------------------------------------------- STORE records */

FlowStatus
flowi_store_encode(FlowEnv *env, uint32_t store_id, const char *name,
				   const void *blob, size_t blob_bytes, void **recp,
				   size_t *rec_bytesp)
{
	size_t name_bytes = strlen(name);
	uint8_t *rec;
	uint8_t *p;

	*recp = NULL;
	*rec_bytesp = 0;
	if (name_bytes == 0 || name_bytes > FLOW_MAX_STORE_NAME)
		return flowi_fail(FLOW_INVALID, "store name of %zu bytes", name_bytes);
	if (blob_bytes > FLOW_MAX_BLOB)
		return flowi_fail(FLOW_INVALID, "store schema of %zu bytes",
						  blob_bytes);
	rec = env->alloc(env, PREFIX_BYTES + 3 * FLOW_VARINT_MAX + name_bytes + 1 +
							  blob_bytes);
	if (rec == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: store record");
	p = rec;
	*p++ = FLOW_RECORD_STORE;
	*p++ = STORE_VERSION;
	*p++ = 0; /* flags */
	p = flowi_put_varint(p, store_id);
	p = flowi_put_varint(p, name_bytes);
	memcpy(p, name, name_bytes + 1);
	p += name_bytes + 1;
	p = flowi_put_varint(p, blob_bytes);
	if (blob_bytes > 0)
		memcpy(p, blob, blob_bytes);
	p += blob_bytes;
	*recp = rec;
	*rec_bytesp = (size_t) (p - rec);
	return FLOW_OK;
}

FlowStatus
flowi_store_decode(const void *rec, size_t rec_bytes, uint32_t *store_idp,
				   const char **namep, uint32_t *name_bytesp,
				   const void **blobp, size_t *blob_bytesp)
{
	const uint8_t *p = rec;
	const uint8_t *end = p + rec_bytes;
	uint64_t blob_bytes;
	unsigned flags;

	FLOW_TRY(
		check_prefix(rec, rec_bytes, FLOW_RECORD_STORE, STORE_VERSION, &flags));
	FLOW_CHECK_DATA(flags == 0, "store record has flags 0x%02x", flags);
	p += PREFIX_BYTES;
	FLOW_CHECK_DATA(flowi_get_varint32(&p, end, store_idp) &&
						flowi_get_varint32(&p, end, name_bytesp),
					"store record is cut short");
	FLOW_CHECK_DATA(
		*name_bytesp >= 1 && *name_bytesp <= FLOW_MAX_STORE_NAME &&
			*name_bytesp < (size_t) (end - p) && p[*name_bytesp] == '\0' &&
			memchr(p, '\0', *name_bytesp) == NULL,
		"store record has a malformed name of %u bytes", *name_bytesp);
	*namep = (const char *) p;
	p += *name_bytesp + 1;
	FLOW_CHECK_DATA(flowi_get_varint(&p, end, &blob_bytes) &&
						blob_bytes <= FLOW_MAX_BLOB &&
						blob_bytes == (size_t) (end - p),
					"store record has a malformed schema");
	*blobp = p;
	*blob_bytesp = (size_t) blob_bytes;
	return FLOW_OK;
}

/* ---------------------------------------------------------- description */

uint64_t
flow_record_xid(const void *rec, size_t rec_bytes)
{
	FlowRecordKind kind = 0;
	FlowBatchHeader hdr;
	const uint8_t *p;
	unsigned flags;

	if (flowi_record_kind(rec, rec_bytes, &kind) != FLOW_OK ||
		kind != FLOW_RECORD_BATCH ||
		read_header(rec, rec_bytes, &hdr, &flags, &p) != FLOW_OK)
		return 0;
	return hdr.xid;
}

void
flow_record_desc(const void *rec, size_t rec_bytes, char *buf, size_t buf_bytes)
{
	FlowRecordKind kind = 0;
	FlowBatchHeader hdr;
	const uint8_t *p;
	unsigned flags;
	uint32_t store_id;
	const char *name;
	uint32_t name_bytes;
	const void *blob;
	size_t blob_bytes;

	if (flowi_record_kind(rec, rec_bytes, &kind) != FLOW_OK)
		snprintf(buf, buf_bytes, "not a FlowDB record, %zu bytes", rec_bytes);
	else if (kind == FLOW_RECORD_BATCH &&
			 read_header(rec, rec_bytes, &hdr, &flags, &p) == FLOW_OK)
		snprintf(buf, buf_bytes,
				 "batch: xid %" PRIu64 ", steps %u, operations %u, "
				 "%u bytes%s",
				 hdr.xid, hdr.nsteps, hdr.nops, hdr.payload_bytes,
				 flags & BATCH_LZ4 ? ", lz4" : "");
	else if (kind == FLOW_RECORD_STORE &&
			 flowi_store_decode(rec, rec_bytes, &store_id, &name, &name_bytes,
								&blob, &blob_bytes) == FLOW_OK)
		snprintf(buf, buf_bytes, "store: id %u, name \"%s\", schema %zu bytes",
				 store_id, name, blob_bytes);
	else
		snprintf(buf, buf_bytes,
				 "malformed FlowDB record of kind %d, %zu bytes", (int) kind,
				 rec_bytes);
}
