/*-------------------------------------------------------------------------
 * record.c
 *	  What all log records have in common; records that define or drop a
 *	  store; descriptions.
 *
 * Bytes: doc/FORMAT.md "Log records".
 *-------------------------------------------------------------------------
 */
#include "record.h"

#include <inttypes.h>
#include <stdio.h>

#include "coding.h"

#define STORE_VERSION 1
#define DROP_VERSION 1
#define DROP_UNLESS 0x01u /* a flag */

/* --------------------------------------------------------------- prefix */

FlowStatus
flowi_record_kind(const void *rec, size_t rec_bytes, FlowRecordKind *kindp)
{
	const uint8_t *p = rec;

	FLOW_CHECK_DATA(rec_bytes >= RECORD_PREFIX_BYTES, "log record of %zu bytes",
					rec_bytes);
	FLOW_CHECK_DATA(p[0] != 0, "log record without a kind");
	if (p[0] > FLOW_RECORD_DROP)
		return flowi_fail(FLOW_MISMATCH,
						  "log record of kind %u, this build knows %u", p[0],
						  FLOW_RECORD_DROP);
	*kindp = (FlowRecordKind) p[0];
	return FLOW_OK;
}

/* Another version is MISMATCH, like a higher kind: the bytes may be good,
 * this build cannot tell. */
FlowStatus
flowi_record_prefix(const void *rec, size_t rec_bytes, FlowRecordKind want,
					unsigned version, unsigned *flagsp)
{
	const uint8_t *p = rec;
	FlowRecordKind kind = 0;

	FLOW_TRY(flowi_record_kind(rec, rec_bytes, &kind));
	FLOW_CHECK_DATA(kind == want, "log record of kind %u where %u belongs",
					p[0], want);
	FLOW_CHECK_DATA(p[1] != 0, "log record of kind %u has no version", p[0]);
	if (p[1] != version)
		return flowi_fail(FLOW_MISMATCH,
						  "log record of kind %u has version %u, this build "
						  "reads version %u",
						  p[0], p[1], version);
	*flagsp = p[2];
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
	rec = env->alloc(env, RECORD_PREFIX_BYTES + 3 * FLOW_VARINT_MAX +
							  name_bytes + 1 + blob_bytes);
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

	FLOW_TRY(flowi_record_prefix(rec, rec_bytes, FLOW_RECORD_STORE,
								 STORE_VERSION, &flags));
	FLOW_CHECK_DATA(flags == 0, "store record has flags 0x%02x", flags);
	p += RECORD_PREFIX_BYTES;
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

/* --------------------------------------------------------- DROP records */

size_t
flowi_drop_encode(uint8_t *rec, const FlowDropInfo *drop)
{
	uint8_t *p = rec;

	*p++ = FLOW_RECORD_DROP;
	*p++ = DROP_VERSION;
	*p++ = drop->unless ? DROP_UNLESS : 0;
	p = flowi_put_varint(p, drop->store_id);
	p = flowi_put_varint(p, drop->xid);
	return (size_t) (p - rec);
}

FlowStatus
flowi_drop_decode(const void *rec, size_t rec_bytes, FlowDropInfo *drop)
{
	const uint8_t *p = rec;
	const uint8_t *end = p + rec_bytes;
	unsigned flags;

	*drop = (FlowDropInfo){0};
	FLOW_TRY(flowi_record_prefix(rec, rec_bytes, FLOW_RECORD_DROP, DROP_VERSION,
								 &flags));
	FLOW_CHECK_DATA((flags & ~DROP_UNLESS) == 0, "drop record has flags 0x%02x",
					flags);
	p += RECORD_PREFIX_BYTES;
	FLOW_CHECK_DATA(flowi_get_varint32(&p, end, &drop->store_id) &&
						flowi_get_varint(&p, end, &drop->xid) && p == end &&
						flowi_batch_store_ok(drop->store_id),
					"drop record is malformed");
	drop->unless = (flags & DROP_UNLESS) != 0;
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
	FlowDropInfo drop;

	if (flowi_record_kind(rec, rec_bytes, &kind) == FLOW_OK &&
		kind == FLOW_RECORD_DROP)
		return flowi_drop_decode(rec, rec_bytes, &drop) == FLOW_OK ? drop.xid
																   : 0;
	if (flowi_record_kind(rec, rec_bytes, &kind) != FLOW_OK ||
		kind != FLOW_RECORD_BATCH ||
		flowi_batch_header(rec, rec_bytes, &hdr, &flags, &p) != FLOW_OK)
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
	FlowDropInfo drop;

	if (flowi_record_kind(rec, rec_bytes, &kind) != FLOW_OK)
		snprintf(buf, buf_bytes, "not a FlowDB record, %zu bytes", rec_bytes);
	else if (kind == FLOW_RECORD_BATCH &&
			 flowi_batch_header(rec, rec_bytes, &hdr, &flags, &p) == FLOW_OK)
		snprintf(buf, buf_bytes,
				 "batch: xid %" PRIu64 ", steps %u, operations %u, "
				 "range tombstones %u, %u bytes%s",
				 hdr.xid, hdr.nsteps, hdr.nops, hdr.ntombs, hdr.payload_bytes,
				 flags & BATCH_LZ4 ? ", lz4" : "");
	else if (kind == FLOW_RECORD_STORE &&
			 flowi_store_decode(rec, rec_bytes, &store_id, &name, &name_bytes,
								&blob, &blob_bytes) == FLOW_OK)
		snprintf(buf, buf_bytes, "store: id %u, name \"%s\", schema %zu bytes",
				 store_id, name, blob_bytes);
	else if (kind == FLOW_RECORD_DROP &&
			 flowi_drop_decode(rec, rec_bytes, &drop) == FLOW_OK)
		snprintf(buf, buf_bytes, "drop: store id %u, %s xid %" PRIu64,
				 drop.store_id, drop.unless ? "unless" : "by", drop.xid);
	else
		snprintf(buf, buf_bytes,
				 "malformed FlowDB record of kind %d, %zu bytes", (int) kind,
				 rec_bytes);
}
