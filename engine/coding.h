/*-------------------------------------------------------------------------
 * coding.h
 *	  Little-endian fixed-width integers, varints (LEB128), zigzag; a
 *	  bounds-checked reader and a growing private buffer.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_CODING_H
#define FLOW_CODING_H

#include "common.h"

#define FLOW_VARINT_MAX 10 /* bytes of the longest varint */
#define FLOW_VARINT32_MAX 5

static inline void
flowi_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) v;
	p[1] = (uint8_t) (v >> 8);
	p[2] = (uint8_t) (v >> 16);
	p[3] = (uint8_t) (v >> 24);
}

static inline uint32_t
flowi_get32(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 |
		   (uint32_t) p[3] << 24;
}

static inline void
flowi_put64(uint8_t *p, uint64_t v)
{
	flowi_put32(p, (uint32_t) v);
	flowi_put32(p + 4, (uint32_t) (v >> 32));
}

static inline uint64_t
flowi_get64(const uint8_t *p)
{
	return (uint64_t) flowi_get32(p) | (uint64_t) flowi_get32(p + 4) << 32;
}

static inline uint64_t
flowi_zigzag(int64_t v)
{
	return ((uint64_t) v << 1) ^ (uint64_t) (v >> 63);
}

static inline int64_t
flowi_unzigzag(uint64_t v)
{
	return (int64_t) ((v >> 1) ^ (0 - (v & 1)));
}

/* Write at p (FLOW_VARINT_MAX bytes of room), return the byte behind. */
static inline uint8_t *
flowi_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80)
	{
		*p++ = (uint8_t) (v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t) v;
	return p;
}

/* Read a varint from [*pp, end): false when it is cut or too long. */
static inline bool
flowi_get_varint(const uint8_t **pp, const uint8_t *end, uint64_t *vp)
{
	const uint8_t *p = *pp;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && p < end; shift += 7)
	{
		uint8_t b = *p++;

		if (shift == 63 && b > 1)
			return false;
		v |= (uint64_t) (b & 0x7f) << shift;
		if (b < 0x80)
		{
			*pp = p;
			*vp = v;
			return true;
		}
	}
	return false;
}

static inline bool
flowi_get_varint32(const uint8_t **pp, const uint8_t *end, uint32_t *vp)
{
	uint64_t v;

	if (!flowi_get_varint(pp, end, &v) || v > UINT32_MAX)
		return false;
	*vp = (uint32_t) v;
	return true;
}

/* The same in FLOW_VARINT32_MAX bytes at most, as in rows and in what the host
 * says of them. */
static inline bool
flowi_get_short_varint(const uint8_t **pp, const uint8_t *end, uint32_t *vp)
{
	const uint8_t *p = *pp;
	uint32_t v = 0;

	for (unsigned shift = 0; shift < 35 && p < end; shift += 7)
	{
		uint8_t b = *p++;

		if (shift == 28 && b > 0x0f)
			return false;
		v |= (uint32_t) (b & 0x7f) << shift;
		if (b < 0x80)
		{
			*pp = p;
			*vp = v;
			return true;
		}
	}
	return false;
}

/* A growing buffer of private memory. */
typedef struct FlowBuf
{
	FlowEnv *env;
	uint8_t *data;
	size_t len;
	size_t cap;
} FlowBuf;

extern void flowi_buf_init(FlowBuf *b, FlowEnv *env);
extern void flowi_buf_free(FlowBuf *b);
/* Room for extra more bytes behind len; NOMEM. */
extern FlowStatus flowi_buf_reserve(FlowBuf *b, size_t extra) FLOW_MUST_CHECK;
extern FlowStatus flowi_buf_append(FlowBuf *b, const void *p,
								   size_t n) FLOW_MUST_CHECK;
extern FlowStatus flowi_buf_varint(FlowBuf *b, uint64_t v) FLOW_MUST_CHECK;
extern FlowStatus flowi_buf_u32(FlowBuf *b, uint32_t v) FLOW_MUST_CHECK;
extern FlowStatus flowi_buf_u64(FlowBuf *b, uint64_t v) FLOW_MUST_CHECK;

#endif /* FLOW_CODING_H */
