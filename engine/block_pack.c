/*-------------------------------------------------------------------------
 * block_pack.c
 *	  A block of rows as it stands in the file: its columns, its texts.
 *
 * A block of version 1 is what a lookup wants in memory, every row's key and
 * value as they are.  It compresses badly: in one stream of bytes the columns
 * of its head are as long as their widest number, and a value repeats the
 * value before it but for some digits.  In the file the columns are sequences
 * (column_num.h) and keys and values are texts (texts.h); read, they become
 * the same block again, byte for byte.
 *
 * Bytes: doc/FORMAT.md "Packed block".
 *-------------------------------------------------------------------------
 */
#include "block_format.h"
#include "texts.h"

#define NPACKED COL_LIFE /* columns in front of the bitmaps */
#define MIN_ROWS 8u		 /* of fewer nothing can be shared */

typedef struct FlowPacker
{
	FlowTextWriter text;
	FlowBuf numbers; /* of a column */
	FlowBuf ends;	 /* of keys and values */
	FlowBuf out;
} FlowPacker;

typedef struct FlowUnpacker
{
	FlowTextReader text;
	FlowBuf numbers; /* of a column */
} FlowUnpacker;

/* What the header of a block of version 1 tells. */
typedef struct Head
{
	uint32_t nrows, nruns;
	uint32_t count[NPACKED];
	uint8_t width[NPACKED];
	uint64_t base[NPACKED];
	size_t columns_end; /* where the bitmaps begin */
	uint64_t key_bytes, value_bytes;
} Head;

void
flowi_codec_free_packers(FlowCodec *c)
{
	FlowPacker *p = c->packer;
	FlowUnpacker *u = c->unpacker;

	if (p != NULL)
	{
		flowi_text_writer_free(&p->text);
		flowi_buf_free(&p->numbers);
		flowi_buf_free(&p->ends);
		flowi_buf_free(&p->out);
	}
	if (u != NULL)
	{
		flowi_text_reader_free(&u->text);
		flowi_buf_free(&u->numbers);
	}
	c->env->free(c->env, p);
	c->env->free(c->env, u);
	c->packer = NULL;
	c->unpacker = NULL;
}

/* What head says; false: no block of version 1 of so many bytes has that. */
static bool
read_head(const uint8_t *head, size_t raw_bytes, Head *h)
{
	if (raw_bytes < HEADER_BYTES || head[OFF_VERSION] != FLOW_BLOCK_ROWS)
		return false;
	h->nrows = flowi_get32(head + OFF_NROWS);
	h->nruns = flowi_get32(head + OFF_NRUNS);
	if (h->nruns == 0 || h->nruns > h->nrows ||
		(uint64_t) h->nrows + h->nruns > FLOW_TEXT_MAX)
		return false;
	h->columns_end = HEADER_BYTES;
	for (int col = 0; col < NPACKED; col++)
	{
		bool of_runs = col <= COL_FIRST_TS;

		h->width[col] = head[OFF_WIDTHS + col];
		h->base[col] = flowi_get64(head + OFF_BASES + 8 * col);
		h->count[col] = of_runs				  ? h->nruns
						: col == COL_TS_DELTA ? h->nrows - h->nruns
											  : h->nrows;
		if (h->width[col] > 8 || (h->width[col] & (h->width[col] - 1)) != 0)
			return false;
		h->columns_end += (size_t) h->width[col] * h->count[col];
	}
	return h->columns_end <= raw_bytes;
}

/* Number i of a column that begins at p, without its base. */
static inline uint64_t
column_number(const uint8_t *p, unsigned width, uint32_t i)
{
	return flowi_num_get_bytes(p + (size_t) i * width, width);
}

/* Sum of the numbers of a column of lengths; false when one is above most. */
static bool
sum_column(const Head *h, int col, const uint8_t *p, uint64_t most,
		   uint64_t *sump)
{
	uint64_t sum = 0;
	bool bad = false;

	for (uint32_t i = 0; i < h->count[col]; i++)
	{
		uint64_t v = h->base[col] + column_number(p, h->width[col], i);

		bad |= v > most;
		sum += v;
	}
	*sump = sum; /* of at most 2^20 numbers */
	return !bad;
}

/* Bytes of keys and values; raw has its columns. */
static bool
sum_texts(Head *h, const uint8_t *raw, size_t raw_bytes)
{
	const uint8_t *p = raw + HEADER_BYTES;

	for (int col = 0; col < NPACKED; col++)
	{
		if (col == COL_KEY_LEN &&
			!sum_column(h, col, p, FLOW_MAX_KEY, &h->key_bytes))
			return false;
		if (col == COL_VALUE_LEN &&
			!sum_column(h, col, p, FLOW_MAX_VALUE, &h->value_bytes))
			return false;
		p += (size_t) h->width[col] * h->count[col];
	}
	return h->key_bytes + h->value_bytes <= raw_bytes - h->columns_end;
}

/* The greatest number that a column of lengths, of at most most, can have. */
static uint64_t
longest(const Head *h, int col, uint64_t most)
{
	uint64_t more = most;

	if (h->width[col] < 8)
		more = (UINT64_C(1) << (8 * h->width[col])) - 1;
	return h->base[col] > most || more > most - h->base[col]
			   ? most
			   : h->base[col] + more;
}

bool
flowi_codec_block_plausible(const uint8_t *stored, size_t stored_bytes,
							size_t raw_bytes)
{
	uint64_t most;
	Head h;

	if (raw_bytes > FLOW_PACKED_MAX_BYTES || stored_bytes < HEADER_BYTES ||
		!read_head(stored, raw_bytes, &h))
		return false;
	most = h.columns_end;
	most += (uint64_t) h.nrows * 9 + 2; /* a life, two bits of bitmaps */
	most += h.nruns * longest(&h, COL_KEY_LEN, FLOW_MAX_KEY);
	most += h.nrows * longest(&h, COL_VALUE_LEN, FLOW_MAX_VALUE);
	return raw_bytes <= most;
}

/* ---------------------------------------------------------------- packing */

static FlowStatus
make_packer(FlowCodec *c)
{
	FlowPacker *p = c->env->alloc(c->env, sizeof(*p));

	if (p == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	flowi_text_writer_init(&p->text, c->env, c);
	flowi_buf_init(&p->numbers, c->env);
	flowi_buf_init(&p->ends, c->env);
	flowi_buf_init(&p->out, c->env);
	c->packer = p;
	return FLOW_OK;
}

/* The columns that have a width, each a sequence; where lengths are to be
 * had, so are the ends of the texts. */
static FlowStatus
pack_columns(FlowPacker *p, const Head *h, const uint8_t *raw)
{
	const uint8_t *from = raw + HEADER_BYTES;
	uint32_t *end;
	uint32_t at = 0;
	int64_t *x;

	p->numbers.len = p->ends.len = 0;
	FLOW_TRY(flowi_buf_reserve(&p->numbers, h->nrows * sizeof(*x)));
	FLOW_TRY(flowi_buf_reserve(&p->ends, (h->nrows + h->nruns) * sizeof(*end)));
	x = (int64_t *) p->numbers.data;
	end = (uint32_t *) p->ends.data;
	for (int col = 0; col < NPACKED; col++)
	{
		unsigned width = h->width[col];
		uint32_t n = h->count[col];

		for (uint32_t i = 0; i < n; i++)
			x[i] = (int64_t) column_number(from, width, i);
		if (col == COL_KEY_LEN || col == COL_VALUE_LEN)
			for (uint32_t i = 0; i < n; i++)
				*end++ = at += (uint32_t) (h->base[col] + (uint64_t) x[i]);
		if (width > 0 && n > 0)
			FLOW_TRY(flowi_text_put_numbers(&p->text, x, n, &p->out));
		from += (size_t) width * n;
	}
	return FLOW_OK;
}

FlowStatus
flowi_codec_pack_block(FlowCodec *c, FlowCompression how, int level,
					   const uint8_t *raw, size_t raw_bytes,
					   const uint8_t **outp, size_t *bytesp)
{
	FlowPacker *p;
	size_t texts;
	bool did;
	Head h;

	*outp = NULL;
	*bytesp = 0;
	if (raw_bytes > FLOW_PACKED_MAX_BYTES || !read_head(raw, raw_bytes, &h) ||
		h.nrows < MIN_ROWS || !sum_texts(&h, raw, raw_bytes))
		return FLOW_OK;
	if (c->packer == NULL)
		FLOW_TRY(make_packer(c));
	p = c->packer;
	p->text.how = how;
	p->text.level = level;
	p->out.len = 0;
	FLOW_TRY(flowi_buf_append(&p->out, raw, HEADER_BYTES));
	FLOW_TRY(pack_columns(p, &h, raw));
	texts = raw_bytes - (size_t) (h.key_bytes + h.value_bytes);
	FLOW_TRY(flowi_text_put_section(&p->text, raw + h.columns_end,
									texts - h.columns_end, &p->out));
	FLOW_TRY(flowi_text_write(&p->text, raw + texts,
							  (const uint32_t *) p->ends.data,
							  h.nrows + h.nruns, &p->out, &did));
	if (!did || !flowi_codec_plausible(FLOW_CODEC_BLOCK, p->out.data,
									   p->out.len, raw_bytes))
		return FLOW_OK;
	*outp = p->out.data;
	*bytesp = p->out.len;
	return FLOW_OK;
}

/* -------------------------------------------------------------- unpacking */

static FlowStatus
make_unpacker(FlowCodec *c)
{
	FlowUnpacker *u = c->env->alloc(c->env, sizeof(*u));

	if (u == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	flowi_text_reader_init(&u->text, c->env, c);
	flowi_buf_init(&u->numbers, c->env);
	c->unpacker = u;
	return FLOW_OK;
}

/* n numbers of a column at to; false when one is wider than that. */
static bool
put_column(const int64_t *x, uint32_t n, unsigned width, uint8_t *to)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t v = (uint64_t) x[i];

		all |= v;
		for (unsigned b = 0; b < width; b++, v >>= 8)
			*to++ = (uint8_t) v;
	}
	return width == 8 || all >> (8 * width) == 0;
}

static FlowStatus
unpack_columns(FlowUnpacker *u, const Head *h, const uint8_t **pp,
			   const uint8_t *end, uint8_t *to)
{
	int64_t *x;

	u->numbers.len = 0;
	FLOW_TRY(flowi_buf_reserve(&u->numbers, h->nrows * sizeof(*x)));
	x = (int64_t *) u->numbers.data;
	for (int col = 0; col < NPACKED; col++)
	{
		unsigned width = h->width[col];
		uint32_t n = h->count[col];

		if (width == 0 || n == 0)
			continue;
		FLOW_TRY(flowi_text_get_numbers(&u->text, pp, end, n, x));
		if (!put_column(x, n, width, to))
			return FLOW_CORRUPT;
		to += (size_t) width * n;
	}
	return FLOW_OK;
}

FlowStatus
flowi_codec_unpack_block(FlowCodec *c, const uint8_t *stored,
						 size_t stored_bytes, uint8_t *out, size_t raw_bytes)
{
	const uint8_t *p = stored + HEADER_BYTES;
	const uint8_t *end = stored + stored_bytes;
	size_t texts;
	Head h;

	if (stored_bytes < HEADER_BYTES || !read_head(stored, raw_bytes, &h))
		return FLOW_CORRUPT;
	if (c->unpacker == NULL)
		FLOW_TRY(make_unpacker(c));
	memcpy(out, stored, HEADER_BYTES);
	FLOW_TRY(unpack_columns(c->unpacker, &h, &p, end, out + HEADER_BYTES));
	if (!sum_texts(&h, out, raw_bytes))
		return FLOW_CORRUPT;
	texts = raw_bytes - (size_t) (h.key_bytes + h.value_bytes);
	FLOW_TRY(flowi_text_get_section(&c->unpacker->text, &p, end,
									texts - h.columns_end,
									out + h.columns_end));
	return flowi_text_read(&c->unpacker->text, p, end, out + texts,
						   (size_t) (h.key_bytes + h.value_bytes));
}
