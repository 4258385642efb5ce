/*-------------------------------------------------------------------------
 * coding.c
 *	  The growing private buffer of coding.h.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "coding.h"

#define BUF_MIN_BYTES 256

void
flowi_buf_init(FlowBuf *b, FlowEnv *env)
{
	b->env = env;
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
}

void
flowi_buf_free(FlowBuf *b)
{
	b->env->free(b->env, b->data);
	flowi_buf_init(b, b->env);
}

FlowStatus
flowi_buf_reserve(FlowBuf *b, size_t extra)
{
	size_t need = b->len + extra;
	size_t cap;
	uint8_t *data;

	FLOW_ASSERT(b->len <= b->cap);
	if (extra <= b->cap - b->len)
		return FLOW_OK;
	if (need < extra || need > SIZE_MAX / 2)
		return flowi_fail(FLOW_NOMEM, "buffer of %zu bytes cannot grow by %zu",
						  b->len, extra);
	cap = FLOW_MAX(b->cap * 2, (size_t) BUF_MIN_BYTES);
	cap = FLOW_MAX(cap, need);
	data = b->env->realloc(b->env, b->data, cap);
	if (data == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory: %zu bytes", cap);
	b->data = data;
	b->cap = cap;
	return FLOW_OK;
}

FlowStatus
flowi_buf_append(FlowBuf *b, const void *p, size_t n)
{
	if (n == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_reserve(b, n));
	memcpy(b->data + b->len, p, n);
	b->len += n;
	return FLOW_OK;
}

FlowStatus
flowi_buf_varint(FlowBuf *b, uint64_t v)
{
	FLOW_TRY(flowi_buf_reserve(b, FLOW_VARINT_MAX));
	b->len = (size_t) (flowi_put_varint(b->data + b->len, v) - b->data);
	return FLOW_OK;
}

FlowStatus
flowi_buf_u32(FlowBuf *b, uint32_t v)
{
	FLOW_TRY(flowi_buf_reserve(b, 4));
	flowi_put32(b->data + b->len, v);
	b->len += 4;
	return FLOW_OK;
}

FlowStatus
flowi_buf_u64(FlowBuf *b, uint64_t v)
{
	FLOW_TRY(flowi_buf_reserve(b, 8));
	flowi_put64(b->data + b->len, v);
	b->len += 8;
	return FLOW_OK;
}
