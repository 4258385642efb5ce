/*-------------------------------------------------------------------------
 * column.c
 *	  One column of a block as a chunk of bytes: header, integers.
 *
 * NULLs are column_null.c's, doubles column_float.c's, values of other kinds
 * column_bytes.c's.
 *-------------------------------------------------------------------------
 */
#include "column_impl.h"

void
flowi_column_writer_init(FlowColumnWriter *w, FlowEnv *env, FlowCodec *codec,
						 FlowCompression how, int level)
{
	w->codec = codec;
	w->how = how;
	w->level = level;
	flowi_num_writer_init(&w->num, env);
	for (int i = 0; i < 4; i++)
		flowi_buf_init(&w->scratch[i], env);
}

void
flowi_column_writer_free(FlowColumnWriter *w)
{
	flowi_num_writer_free(&w->num);
	for (int i = 0; i < 4; i++)
		flowi_buf_free(&w->scratch[i]);
}

/* ---------------------------------------------------------------- writing */

/* The first value that is not NULL, of which there is one. */
static uint32_t
first_value(const FlowColumnVector *v)
{
	uint32_t i = 0;

	while (flowi_column_is_null(v, i))
		i++;
	return i;
}

/* Are all values from number i on like that one, or NULL? */
static bool
all_same(const FlowColumn *col, const FlowColumnVector *v, uint32_t i,
		 uint32_t n)
{
	const uint32_t like = i;

	if (flowi_column_is_number(col))
	{
		for (i++; i < n; i++)
			if (v->num[i] != v->num[like] && !flowi_column_is_null(v, i))
				return false;
		return true;
	}
	for (i++; i < n; i++)
		if (!flowi_column_is_null(v, i) &&
			(v->bytes[i] != v->bytes[like] ||
			 memcmp(v->ptr[i], v->ptr[like], v->bytes[like]) != 0))
			return false;
	return true;
}

static FlowStatus
put_one(const FlowColumn *col, const FlowColumnVector *v, uint32_t i,
		FlowBuf *out)
{
	if (col->kind == FLOW_COLUMN_INT)
		return flowi_buf_varint(out, flowi_zigzag(v->num[i]));
	if (col->kind == FLOW_COLUMN_FLOAT)
		return flowi_float_put_one(v->num[i], col->bytes, out);
	return flowi_buf_append(out, v->ptr[i], v->bytes[i]);
}

static FlowStatus
write_numbers(FlowColumnWriter *w, const FlowColumnVector *v, uint32_t n,
			  FlowBuf *out)
{
	FlowBuf *copy = &w->scratch[0];
	const int64_t *num = v->num;
	FlowNumLook look;

	if (v->any_null)
	{
		copy->len = 0;
		FLOW_TRY(flowi_buf_append(copy, num, (size_t) n * sizeof(*num)));
		flowi_num_fill((int64_t *) copy->data, v->null, n);
		num = (const int64_t *) copy->data;
	}
	look = flowi_num_look(num, n);
	FLOW_TRY(flowi_buf_varint(out, flowi_zigzag(look.lo)));
	FLOW_TRY(flowi_buf_varint(out, (uint64_t) look.hi - (uint64_t) look.lo));
	return flowi_num_write(&w->num, num, n, &look, out);
}

FlowStatus
flowi_column_write(FlowColumnWriter *w, const FlowColumn *col,
				   const FlowColumnVector *v, uint32_t n, FlowBuf *out)
{
	uint8_t head = FLOW_CHUNK_NULLS;
	uint8_t flags;
	size_t at = out->len;
	uint32_t one;

	FLOW_ASSERT(n > 0 && n <= FLOW_COLUMN_MAX_ROWS);
	FLOW_TRY(flowi_buf_append(out, &head, 1));
	FLOW_TRY(flowi_null_write(w, v, n, &flags, out));
	if (flags == FLOW_CHUNK_ALL_NULL)
		return FLOW_OK;
	one = first_value(v);
	if (all_same(col, v, one, n))
	{
		head = FLOW_CHUNK_ONE;
		FLOW_TRY(put_one(col, v, one, out));
	}
	else if (col->kind == FLOW_COLUMN_INT)
	{
		head = FLOW_CHUNK_NUMBERS;
		FLOW_TRY(write_numbers(w, v, n, out));
	}
	else if (col->kind == FLOW_COLUMN_FLOAT)
		FLOW_TRY(flowi_float_write(w, col, v, n, &head, out));
	else
		FLOW_TRY(flowi_bytes_write(w, col, v, n, &head, out));
	out->data[at] = head | flags;
	return FLOW_OK;
}

/* ---------------------------------------------------------------- reading */

void
flowi_column_reader_init(FlowColumnReader *r, FlowEnv *env, FlowCodec *codec)
{
	*r = (FlowColumnReader){.env = env, .codec = codec};
	flowi_buf_init(&r->pieces, env);
	flowi_buf_init(&r->raw, env);
	flowi_buf_init(&r->table, env);
	flowi_buf_init(&r->runs, env);
	flowi_buf_init(&r->bitmap, env);
}

void
flowi_column_reader_free(FlowColumnReader *r)
{
	flowi_buf_free(&r->pieces);
	flowi_buf_free(&r->raw);
	flowi_buf_free(&r->table);
	flowi_buf_free(&r->runs);
	flowi_buf_free(&r->bitmap);
}

static FlowStatus
open_int(FlowColumnReader *r, const uint8_t *p, const uint8_t *end)
{
	uint64_t min;
	uint64_t range = 0;

	if (!flowi_get_varint(&p, end, &min) ||
		(r->encoding != FLOW_CHUNK_ONE && !flowi_get_varint(&p, end, &range)))
		return FLOW_CORRUPT;
	r->stats.has_bounds = true;
	r->one = r->stats.min = flowi_unzigzag(min);
	r->stats.max = (int64_t) ((uint64_t) r->stats.min + range);
	if (r->stats.max < r->stats.min)
		return FLOW_CORRUPT;
	if (r->encoding == FLOW_CHUNK_ONE)
		return p == end ? FLOW_OK : FLOW_CORRUPT;
	if (r->encoding != FLOW_CHUNK_NUMBERS)
		return FLOW_CORRUPT;
	return flowi_num_open(&r->num, &r->runs, p, end, r->n);
}

FlowStatus
flowi_column_open(FlowColumnReader *r, const FlowColumn *col, uint32_t n,
				  const uint8_t *chunk, size_t bytes)
{
	const uint8_t *p = chunk;
	const uint8_t *end = chunk + bytes;

	r->col = *col;
	r->n = n;
	r->nulls = NULL;
	r->null_runs = 0;
	r->stats = (FlowColumnStats){0};
	if (bytes == 0 || n == 0 || n > FLOW_COLUMN_MAX_ROWS)
		return FLOW_CORRUPT;
	r->encoding = *p & (uint8_t) ~(FLOW_CHUNK_BITMAP | FLOW_CHUNK_NULL_RUNS);
	if (*p == FLOW_CHUNK_NULLS)
	{
		r->stats.nulls = n;
		return bytes == 1 ? FLOW_OK : FLOW_CORRUPT;
	}
	p++;
	if (!flowi_null_open(r, *chunk, &p, end))
		return FLOW_CORRUPT;
	FLOW_TRY(col->kind == FLOW_COLUMN_INT	  ? open_int(r, p, end)
			 : col->kind == FLOW_COLUMN_FLOAT ? flowi_float_open(r, p, end)
											  : flowi_bytes_open(r, p, end));
	r->num.window = r->window;
	return FLOW_OK;
}

/* Numbers of fewer than eight bytes are what those bytes can tell. */
static void
narrow(int64_t *num, uint32_t count, uint32_t bytes)
{
	if (bytes == 4)
		for (uint32_t i = 0; i < count; i++)
			num[i] = (int32_t) num[i];
	else if (bytes == 2)
		for (uint32_t i = 0; i < count; i++)
			num[i] = (int16_t) num[i];
	else if (bytes == 1)
		for (uint32_t i = 0; i < count; i++)
			num[i] = (int8_t) num[i];
}

static FlowStatus
read_numbers(FlowColumnReader *r, uint32_t first, uint32_t count,
			 const uint8_t *null, int64_t *num)
{
	if (r->encoding == FLOW_CHUNK_NULLS)
	{
		memset(num, 0, count * sizeof(*num));
		return FLOW_OK;
	}
	if (r->encoding == FLOW_CHUNK_ONE)
	{
		for (uint32_t i = 0; i < count; i++)
			num[i] = r->one;
	}
	else
		FLOW_TRY(flowi_num_read(&r->num, first, count, num));
	if (r->col.kind == FLOW_COLUMN_INT)
		narrow(num, count, r->col.bytes);
	else if (r->encoding != FLOW_CHUNK_ONE)
		flowi_float_convert(r, first, count, num);
	if (r->stats.nulls > 0)
		for (uint32_t i = 0; i < count; i++)
			num[i] &= (int64_t) null[i] - 1;
	return FLOW_OK;
}

FlowStatus
flowi_column_read(FlowColumnReader *r, uint32_t first, uint32_t count,
				  FlowColumnVector *v, uint32_t at)
{
	FLOW_ASSERT(count > 0 && first < r->n && count <= r->n - first);
	FLOW_TRY(flowi_null_read(r, first, count, v, at));
	if (flowi_column_is_number(&r->col))
		return read_numbers(r, first, count, v->null + at, v->num + at);
	return flowi_bytes_read(r, first, count, v, at);
}
