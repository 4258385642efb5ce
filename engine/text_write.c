/*-------------------------------------------------------------------------
 * text_write.c
 *	  Write texts of few patterns: what is the same once, the rest as columns.
 *
 * A token that all texts of a pattern share becomes part of what stands
 * between the others.  The others are a field: numbers if each can be made
 * of its number again, digit for digit, else words.
 *-------------------------------------------------------------------------
 */
#include <xxhash.h>

#include "texts.h"

#define COMPRESS_MIN 64u

/* The texts of one pattern. */
typedef struct Rows
{
	const uint8_t *raw;
	const FlowTextRef *refs;
	const uint32_t *first; /* of each text the first of its refs */
	uint32_t n;
} Rows;

void
flowi_text_writer_init(FlowTextWriter *w, FlowEnv *env, FlowCodec *codec)
{
	FlowBuf *bufs[] = {&w->part,  &w->numbers, &w->digits, &w->rows,
					   &w->slots, &w->heap,	   &w->fields, &w->constant};

	memset(w, 0, sizeof(*w));
	w->codec = codec;
	flowi_text_finder_init(&w->find, env);
	flowi_num_writer_init(&w->num, env);
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		flowi_buf_init(bufs[i], env);
}

void
flowi_text_writer_free(FlowTextWriter *w)
{
	flowi_text_finder_free(&w->find);
	flowi_num_writer_free(&w->num);
	flowi_buf_free(&w->part);
	flowi_buf_free(&w->numbers);
	flowi_buf_free(&w->digits);
	flowi_buf_free(&w->rows);
	flowi_buf_free(&w->slots);
	flowi_buf_free(&w->heap);
	flowi_buf_free(&w->fields);
	flowi_buf_free(&w->constant);
}

FlowStatus
flowi_text_put_numbers(FlowTextWriter *w, const int64_t *x, uint32_t n,
					   FlowBuf *out)
{
	FlowNumLook look = flowi_num_look(x, n);

	w->part.len = 0;
	FLOW_TRY(flowi_num_write(&w->num, x, n, &look, &w->part));
	FLOW_TRY(flowi_buf_varint(out, w->part.len));
	return flowi_buf_append(out, w->part.data, w->part.len);
}

FlowStatus
flowi_text_put_section(FlowTextWriter *w, const uint8_t *p, size_t n,
					   FlowBuf *out)
{
	uint8_t codec = FLOW_CODEC_NONE;
	size_t stored = 0;

	w->part.len = 0;
	if (n >= COMPRESS_MIN)
	{
		FLOW_TRY(flowi_buf_reserve(&w->part, n));
		FLOW_TRY(flowi_codec_compress(w->codec, w->how, w->level, p, n,
									  w->part.data, n - n / 8, &codec,
									  &stored));
	}
	FLOW_TRY(flowi_buf_append(out, &codec, 1));
	FLOW_TRY(flowi_buf_varint(out, n));
	if (codec == FLOW_CODEC_NONE)
		return flowi_buf_append(out, p, n);
	FLOW_TRY(flowi_buf_varint(out, stored));
	return flowi_buf_append(out, w->part.data, stored);
}

/* ---------------------------------------------------------------- numbers */

static inline FlowTextRef
ref_of(const Rows *r, uint32_t row, uint32_t token)
{
	return r->refs[r->first[row] + token];
}

static inline bool
same_bytes(const uint8_t *raw, FlowTextRef a, FlowTextRef b)
{
	if (a.bytes != b.bytes)
		return false;
	return a.at == b.at || memcmp(raw + a.at, raw + b.at, a.bytes) == 0;
}

/* Digits from p on, at most FLOW_TEXT_DIGITS of them in all, behind *vp. */
static const uint8_t *
read_digits(const uint8_t *p, const uint8_t *end, uint64_t *vp)
{
	uint64_t v = *vp;

	while (p < end && *p >= '0' && *p <= '9')
		v = v * 10 + (uint64_t) (*p++ - '0');
	*vp = v;
	return p;
}

/* Is that a number as we would write it, with so many digits behind the
 * point?  *vp: it without the point. */
static bool
read_number(const uint8_t *p, uint32_t bytes, int64_t *vp, uint8_t *digitsp)
{
	const uint8_t *end = p + bytes;
	bool minus = bytes > 0 && *p == '-';
	const uint8_t *first = p + minus;
	const uint8_t *point;
	uint64_t v = 0;

	if (bytes - minus < 1 || bytes - minus > FLOW_TEXT_DIGITS)
		return false;
	point = read_digits(first, end, &v);
	*digitsp = 0;
	if (point == first || (*first == '0' && point - first > 1))
		return false;
	if (point != end)
	{
		if (*point != '.' || read_digits(point + 1, end, &v) != end ||
			point + 1 == end)
			return false;
		*digitsp = (uint8_t) (end - point - 1);
	}
	*vp = minus ? -(int64_t) v : (int64_t) v;
	return !minus || v != 0;
}

/* Numbers of a token, and their digits behind the point, into w->numbers and
 * w->digits; false when some are none. */
static bool
read_numbers(FlowTextWriter *w, const Rows *r, uint32_t token, uint8_t *leastp,
			 uint8_t *mostp)
{
	int64_t *x = (int64_t *) w->numbers.data;
	uint8_t *digits = w->digits.data;
	uint32_t at = UINT32_MAX;
	uint8_t least = FLOW_TEXT_DIGITS;
	uint8_t most = 0;

	for (uint32_t i = 0; i < r->n; i++)
	{
		FlowTextRef ref = ref_of(r, i, token);

		if (ref.at == at) /* the last one's, as it is where little changes */
		{
			x[i] = x[i - 1];
			digits[i] = digits[i - 1];
			continue;
		}
		if (!read_number(r->raw + ref.at, ref.bytes, &x[i], &digits[i]))
			return false;
		at = ref.at;
		least = FLOW_MIN(least, digits[i]);
		most = FLOW_MAX(most, digits[i]);
	}
	*leastp = least;
	*mostp = most;
	return true;
}

/* All numbers with the digits of the one that has most; false: too many. */
static bool
scale_up(int64_t *x, const uint8_t *digits, uint32_t n, uint8_t most)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint8_t d = digits[i]; d < most; d++)
			if (__builtin_mul_overflow(x[i], 10, &x[i]))
				return false;
	return true;
}

static FlowStatus
put_head(FlowTextWriter *w, uint8_t kind, uint8_t digits)
{
	uint8_t head[2] = {kind, digits};

	return flowi_buf_append(&w->fields, head, sizeof(head));
}

/* A field of numbers; *didp: false, it is none. */
static FlowStatus
put_decimals(FlowTextWriter *w, const Rows *r, uint32_t token, bool *didp)
{
	int64_t *x = (int64_t *) w->numbers.data;
	uint8_t least, most;

	*didp = false;
	if (!read_numbers(w, r, token, &least, &most))
		return FLOW_OK;
	if (least == most)
		FLOW_TRY(put_head(w, FLOW_FIELD_DECIMALS, most));
	else if (!scale_up(x, w->digits.data, r->n, most))
		return FLOW_OK;
	else
	{
		FLOW_TRY(put_head(w, FLOW_FIELD_VARIED, most));
		FLOW_TRY(flowi_text_put_numbers(w, x, r->n, &w->fields));
		for (uint32_t i = 0; i < r->n; i++)
			x[i] = w->digits.data[i];
	}
	*didp = true;
	return flowi_text_put_numbers(w, x, r->n, &w->fields);
}

/* A field of digits, always as many; *didp: false, it is none. */
static FlowStatus
put_padded(FlowTextWriter *w, const Rows *r, uint32_t token, bool *didp)
{
	int64_t *x = (int64_t *) w->numbers.data;
	uint32_t bytes = ref_of(r, 0, token).bytes;

	*didp = false;
	if (bytes > FLOW_TEXT_DIGITS)
		return FLOW_OK;
	for (uint32_t i = 0; i < r->n; i++)
	{
		FlowTextRef ref = ref_of(r, i, token);
		const uint8_t *p = r->raw + ref.at;
		uint64_t v = 0;

		if (ref.bytes != bytes || read_digits(p, p + bytes, &v) != p + bytes)
			return FLOW_OK;
		x[i] = (int64_t) v;
	}
	*didp = true;
	FLOW_TRY(put_head(w, FLOW_FIELD_PADDED, (uint8_t) bytes));
	return flowi_text_put_numbers(w, x, r->n, &w->fields);
}

/* ------------------------------------------------------------------ words */

/* Words and who they were first; places of the texts' words in x. */
typedef struct Words
{
	uint32_t n;
	uint32_t *slots; /* number of a word + 1, or 0 */
	uint32_t *rows;	 /* that has it first */
	uint32_t mask;
} Words;

static uint32_t
find_word(Words *d, const Rows *r, uint32_t token, uint32_t row)
{
	FlowTextRef ref = ref_of(r, row, token);
	uint32_t slot = (uint32_t) XXH3_64bits(r->raw + ref.at, ref.bytes);

	for (slot &= d->mask; d->slots[slot] != 0; slot = (slot + 1) & d->mask)
	{
		uint32_t word = d->slots[slot] - 1;

		if (same_bytes(r->raw, ref, ref_of(r, d->rows[word], token)))
			return word;
	}
	d->rows[d->n] = row;
	d->slots[slot] = ++d->n;
	return d->n - 1;
}

static FlowStatus
make_words(FlowTextWriter *w, const Rows *r, uint32_t token, Words *d)
{
	int64_t *x = (int64_t *) w->numbers.data;
	uint32_t slots = 64;

	while (slots < r->n * 2)
		slots *= 2;
	w->slots.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->slots,
							   ((size_t) slots + r->n) * sizeof(*d->slots)));
	*d = (Words){.slots = (uint32_t *) w->slots.data, .mask = slots - 1};
	d->rows = d->slots + slots;
	memset(d->slots, 0, slots * sizeof(*d->slots));
	for (uint32_t i = 0; i < r->n; i++)
	{
		bool same = i > 0 &&
					ref_of(r, i, token).at == ref_of(r, i - 1, token).at &&
					ref_of(r, i, token).bytes == ref_of(r, i - 1, token).bytes;

		x[i] = same ? x[i - 1] : find_word(d, r, token, i);
	}
	return FLOW_OK;
}

/* A field of words: how many, where each ends, they, and of each text which. */
static FlowStatus
put_words(FlowTextWriter *w, const Rows *r, uint32_t token)
{
	int64_t *ends;
	Words d;

	FLOW_TRY(make_words(w, r, token, &d));
	w->heap.len = w->digits.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->digits, d.n * sizeof(*ends)));
	ends = (int64_t *) w->digits.data;
	for (uint32_t i = 0; i < d.n; i++)
	{
		FlowTextRef ref = ref_of(r, d.rows[i], token);

		FLOW_TRY(flowi_buf_append(&w->heap, r->raw + ref.at, ref.bytes));
		ends[i] = (int64_t) w->heap.len;
	}
	FLOW_TRY(put_head(w, FLOW_FIELD_WORDS, 0));
	FLOW_TRY(flowi_buf_varint(&w->fields, d.n));
	FLOW_TRY(flowi_text_put_numbers(w, ends, d.n, &w->fields));
	FLOW_TRY(flowi_text_put_section(w, w->heap.data, w->heap.len, &w->fields));
	return flowi_text_put_numbers(w, (const int64_t *) w->numbers.data, r->n,
								  &w->fields);
}

/* --------------------------------------------------------------- patterns */

static bool
is_constant(const Rows *r, uint32_t token)
{
	FlowTextRef first = ref_of(r, 0, token);

	for (uint32_t i = 1; i < r->n; i++)
		if (!same_bytes(r->raw, first, ref_of(r, i, token)))
			return false;
	return true;
}

static FlowStatus
put_field(FlowTextWriter *w, const Rows *r, uint32_t token, bool whole)
{
	bool did = false;

	if (!whole)
		FLOW_TRY(put_decimals(w, r, token, &did));
	if (!whole && !did)
		FLOW_TRY(put_padded(w, r, token, &did));
	return did ? FLOW_OK : put_words(w, r, token);
}

/* First refs of the texts of a pattern. */
static FlowStatus
gather(FlowTextWriter *w, uint32_t pattern, Rows *r)
{
	const FlowTextFinder *f = &w->find;
	const FlowTextPlace *place = (const FlowTextPlace *) f->places.data;
	size_t n = f->places.len / sizeof(*place);
	uint32_t *first;

	w->rows.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->rows,
							   f->pattern[pattern].ntexts * sizeof(*first)));
	first = (uint32_t *) w->rows.data;
	*r = (Rows){f->raw, (const FlowTextRef *) f->refs.data, first, 0};
	for (size_t i = 0; i < n; i++)
		if (place[i].pattern == pattern)
			first[r->n++] = place[i].refs;
	FLOW_ASSERT(r->n == f->pattern[pattern].ntexts);
	return FLOW_OK;
}

/* What stands before each field, and behind the last: lengths, then bytes. */
static FlowStatus
put_literals(FlowTextWriter *w, const FlowTextPattern *p, FlowBuf *out)
{
	const uint8_t *text = w->find.raw + p->at;
	const uint8_t *constant = w->constant.data;
	uint32_t from = 0;

	for (uint32_t k = 0; k < p->ntokens; k++)
	{
		if (constant[k])
			continue;
		FLOW_TRY(flowi_buf_varint(out, p->tokens[k].from - from));
		from = p->tokens[k].to;
	}
	FLOW_TRY(flowi_buf_varint(out, p->bytes - from));
	from = 0;
	for (uint32_t k = 0; k < p->ntokens; k++)
	{
		if (constant[k])
			continue;
		FLOW_TRY(flowi_buf_append(out, text + from, p->tokens[k].from - from));
		from = p->tokens[k].to;
	}
	return flowi_buf_append(out, text + from, p->bytes - from);
}

static FlowStatus
put_pattern(FlowTextWriter *w, uint32_t pattern, FlowBuf *out)
{
	const FlowTextPattern *p = &w->find.pattern[pattern];
	bool whole = w->find.whole && pattern + 1 == w->find.npatterns;
	FlowTextSpan all = {0, p->bytes};
	FlowTextPattern one = *p;
	uint32_t nfields = 0;
	Rows r;

	if (whole)
		one.tokens = &all;
	FLOW_TRY(gather(w, pattern, &r));
	w->fields.len = w->constant.len = w->numbers.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->constant, p->ntokens));
	FLOW_TRY(flowi_buf_reserve(&w->numbers, r.n * sizeof(int64_t)));
	for (uint32_t k = 0; k < p->ntokens; k++)
	{
		w->constant.data[k] = is_constant(&r, k);
		if (w->constant.data[k])
			continue;
		w->digits.len = 0;
		FLOW_TRY(flowi_buf_reserve(&w->digits, r.n));
		FLOW_TRY(put_field(w, &r, k, whole));
		nfields++;
	}
	FLOW_TRY(flowi_buf_varint(out, nfields));
	FLOW_TRY(put_literals(w, &one, out));
	return flowi_buf_append(out, w->fields.data, w->fields.len);
}

/* Of each text which pattern. */
static FlowStatus
put_ids(FlowTextWriter *w, uint32_t n, FlowBuf *out)
{
	const FlowTextPlace *place = (const FlowTextPlace *) w->find.places.data;
	int64_t *x;

	w->numbers.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->numbers, n * sizeof(*x)));
	x = (int64_t *) w->numbers.data;
	for (uint32_t i = 0; i < n; i++)
		x[i] = place[i].pattern;
	return flowi_text_put_numbers(w, x, n, out);
}

FlowStatus
flowi_text_write(FlowTextWriter *w, const uint8_t *raw, const uint32_t *ends,
				 uint32_t n, FlowBuf *out, bool *didp)
{
	*didp = false;
	if (n == 0 || n > FLOW_TEXT_MAX)
		return FLOW_OK;
	FLOW_TRY(flowi_text_find(&w->find, raw, ends, n));
	if (w->find.npatterns == 0)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_varint(out, n));
	FLOW_TRY(flowi_buf_varint(out, w->find.npatterns));
	if (w->find.npatterns > 1)
		FLOW_TRY(put_ids(w, n, out));
	for (uint32_t i = 0; i < w->find.npatterns; i++)
		FLOW_TRY(put_pattern(w, i, out));
	*didp = true;
	return FLOW_OK;
}
