/*-------------------------------------------------------------------------
 * text_read.c
 *	  Read texts of few patterns: put each together from its columns.
 *
 * All columns are decoded first, then one text is written behind the other.
 * What is copied is short, so it is copied in 16 or 32 bytes whatever its
 * length; a text that would come too near the end for that is made aside.
 * A token that is the one of the text before is not made of its number again.
 *-------------------------------------------------------------------------
 */
#include "texts.h"

#define SPARE 32u /* bytes behind what is copied, to read and to write */
#define NUMBER_BYTES \
	24u /* room for one: a sign, 19 digits, a point, or zeros */

/* What a text has in one place, and what stands before it. */
typedef struct Field
{
	uint8_t kind;
	uint8_t digits;
	bool made; /* text is that of num, and of own */
	uint32_t literal_bytes;
	size_t literal;		/* in r->literals */
	size_t numbers;		/* in r->numbers; VARIED: twice as many */
	size_t words, ends; /* in r->words, r->ends */
	uint32_t nwords;
	uint32_t most; /* bytes */
	int64_t num, own;
	uint32_t text_bytes;
	uint8_t text[2 * NUMBER_BYTES]; /* copied as a whole, see make_number */
} Field;

typedef struct Pattern
{
	uint32_t nfields;
	uint32_t ntexts;
	uint32_t at;   /* texts that are read */
	size_t fields; /* in r->fields */
	size_t tail;   /* in r->literals */
	uint32_t tail_bytes;
	size_t most; /* bytes of a text */
} Pattern;

void
flowi_text_reader_init(FlowTextReader *r, FlowEnv *env, FlowCodec *codec)
{
	FlowBuf *bufs[] = {&r->scratch, &r->ids,	  &r->patterns,
					   &r->fields,	&r->literals, &r->numbers,
					   &r->ends,	&r->words,	  &r->row};

	r->codec = codec;
	for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		flowi_buf_init(bufs[i], env);
}

void
flowi_text_reader_free(FlowTextReader *r)
{
	flowi_buf_free(&r->scratch);
	flowi_buf_free(&r->ids);
	flowi_buf_free(&r->patterns);
	flowi_buf_free(&r->fields);
	flowi_buf_free(&r->literals);
	flowi_buf_free(&r->numbers);
	flowi_buf_free(&r->ends);
	flowi_buf_free(&r->words);
	flowi_buf_free(&r->row);
}

FlowStatus
flowi_text_get_numbers(FlowTextReader *r, const uint8_t **pp,
					   const uint8_t *end, uint32_t n, int64_t *x)
{
	const uint8_t *p = *pp;
	FlowNumReader num;
	uint32_t bytes;

	if (!flowi_get_varint32(&p, end, &bytes) || bytes > (size_t) (end - p))
		return FLOW_CORRUPT;
	FLOW_TRY(flowi_num_open(&num, &r->scratch, p, p + bytes, n));
	*pp = p + bytes;
	return flowi_num_read(&num, 0, n, x);
}

/* The header of a section; *rawp: its bytes once it is decompressed. */
static bool
open_section(const uint8_t **pp, const uint8_t *end, uint8_t *codecp,
			 size_t *storedp, size_t *rawp)
{
	uint64_t raw, stored;

	if (*pp == end)
		return false;
	*codecp = *(*pp)++;
	if (*codecp > FLOW_CODEC_ZSTD || !flowi_get_varint(pp, end, &raw))
		return false;
	stored = raw;
	if (*codecp != FLOW_CODEC_NONE && !flowi_get_varint(pp, end, &stored))
		return false;
	if (stored > (uint64_t) (end - *pp) || raw > SIZE_MAX / 2 ||
		!flowi_codec_plausible(*codecp, *pp, (size_t) stored, (size_t) raw))
		return false;
	*storedp = (size_t) stored;
	*rawp = (size_t) raw;
	return true;
}

FlowStatus
flowi_text_get_section(FlowTextReader *r, const uint8_t **pp,
					   const uint8_t *end, size_t n, uint8_t *out)
{
	size_t stored, raw;
	uint8_t codec;

	if (!open_section(pp, end, &codec, &stored, &raw) || raw != n)
		return FLOW_CORRUPT;
	if (n > 0)
		FLOW_TRY(
			flowi_codec_decompress(r->codec, codec, *pp, stored, out, raw));
	*pp += stored;
	return FLOW_OK;
}

/* ---------------------------------------------------------------- opening */

/* What of the texts is known while their columns are read. */
typedef struct Source
{
	const uint8_t *p;
	const uint8_t *end;
	uint32_t n;
	uint32_t npatterns;
	size_t raw_bytes;
	size_t numbers; /* so far */
	size_t most_numbers;
} Source;

/* A field's words: how many, where each ends, they. */
static FlowStatus
read_words(FlowTextReader *r, Source *s, uint32_t ntexts, Field *f)
{
	const uint8_t *p;
	uint8_t codec;
	size_t stored, raw;
	int64_t *ends;
	int64_t last = 0;

	if (!flowi_get_varint32(&s->p, s->end, &f->nwords) || f->nwords == 0 ||
		f->nwords > ntexts)
		return FLOW_CORRUPT;
	f->ends = r->ends.len / sizeof(*ends);
	FLOW_TRY(flowi_buf_reserve(&r->ends, f->nwords * sizeof(*ends)));
	ends = (int64_t *) r->ends.data + f->ends;
	r->ends.len += f->nwords * sizeof(*ends);
	FLOW_TRY(flowi_text_get_numbers(r, &s->p, s->end, f->nwords, ends));
	p = s->p;
	/* each word stands in a text, and in no other field's */
	if (!open_section(&p, s->end, &codec, &stored, &raw) ||
		raw > s->raw_bytes - r->words.len)
		return FLOW_CORRUPT;
	for (uint32_t i = 0; i < f->nwords; i++)
	{
		if (ends[i] < last || (uint64_t) ends[i] > raw)
			return FLOW_CORRUPT;
		f->most = (uint32_t) FLOW_MAX((int64_t) f->most, ends[i] - last);
		last = ends[i];
	}
	if ((uint64_t) last != raw)
		return FLOW_CORRUPT;
	f->words = r->words.len;
	FLOW_TRY(flowi_buf_reserve(&r->words, raw + SPARE));
	FLOW_TRY(flowi_text_get_section(r, &s->p, s->end, raw,
									r->words.data + r->words.len));
	r->words.len += raw;
	return FLOW_OK;
}

/* Are the numbers ones that the field can have? */
static bool
numbers_ok(const Field *f, const int64_t *x, uint32_t n)
{
	uint64_t most = UINT64_MAX; /* number that is too great */
	bool bad = false;

	if (f->kind == FLOW_FIELD_DECIMALS)
		return true;
	if (f->kind == FLOW_FIELD_WORDS)
		most = f->nwords;
	else if (f->kind == FLOW_FIELD_VARIED)
	{
		x += n; /* their digits */
		most = f->digits + 1u;
	}
	else
	{
		most = 1;
		for (uint8_t d = 0; d < f->digits; d++)
			most *= 10;
	}
	for (uint32_t i = 0; i < n; i++)
		bad |= (uint64_t) x[i] >= most;
	return !bad;
}

/* The numbers of a field of a pattern with n texts. */
static FlowStatus
read_field(FlowTextReader *r, Source *s, uint32_t n, Field *f)
{
	size_t want = f->numbers;
	int64_t *x;

	if (s->end - s->p < 2)
		return FLOW_CORRUPT;
	f->kind = *s->p++;
	f->digits = *s->p++;
	if (f->kind > FLOW_FIELD_WORDS || f->digits > FLOW_TEXT_DIGITS ||
		(f->kind == FLOW_FIELD_PADDED && f->digits == 0))
		return FLOW_CORRUPT;
	f->most = NUMBER_BYTES;
	if (f->kind == FLOW_FIELD_WORDS)
	{
		f->most = 0;
		FLOW_TRY(read_words(r, s, n, f));
	}
	f->numbers = want = s->numbers;
	s->numbers += f->kind == FLOW_FIELD_VARIED ? 2 * (size_t) n : n;
	if (s->numbers > s->most_numbers)
		return FLOW_CORRUPT;
	r->numbers.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->numbers, s->numbers * sizeof(*x)));
	x = (int64_t *) r->numbers.data + want;
	FLOW_TRY(flowi_text_get_numbers(r, &s->p, s->end, n, x));
	if (f->kind == FLOW_FIELD_VARIED)
		FLOW_TRY(flowi_text_get_numbers(r, &s->p, s->end, n, x + n));
	return numbers_ok(f, x, n) ? FLOW_OK : FLOW_CORRUPT;
}

/* Lengths of what stands between the fields of a pattern, then its bytes. */
static FlowStatus
read_literals(FlowTextReader *r, Source *s, Pattern *p, Field *fields)
{
	size_t at = r->literals.len;
	size_t all;

	for (uint32_t k = 0; k <= p->nfields; k++)
	{
		uint32_t bytes;

		if (!flowi_get_varint32(&s->p, s->end, &bytes) ||
			bytes > FLOW_MAX_VALUE)
			return FLOW_CORRUPT;
		if (k < p->nfields)
		{
			fields[k].literal = at;
			fields[k].literal_bytes = bytes;
		}
		else
		{
			p->tail = at;
			p->tail_bytes = bytes;
		}
		at += bytes;
	}
	all = at - r->literals.len;
	if (all > (size_t) (s->end - s->p))
		return FLOW_CORRUPT;
	FLOW_TRY(flowi_buf_reserve(&r->literals, all + SPARE));
	if (all > 0)
		memcpy(r->literals.data + r->literals.len, s->p, all);
	r->literals.len += all;
	s->p += all;
	return FLOW_OK;
}

static FlowStatus
read_pattern(FlowTextReader *r, Source *s, Pattern *p)
{
	Field *fields;

	if (!flowi_get_varint32(&s->p, s->end, &p->nfields) ||
		p->nfields > FLOW_TEXT_TOKENS || p->ntexts == 0)
		return FLOW_CORRUPT;
	p->fields = r->fields.len / sizeof(*fields);
	FLOW_TRY(flowi_buf_reserve(&r->fields, p->nfields * sizeof(*fields)));
	fields = (Field *) r->fields.data + p->fields;
	if (p->nfields > 0)
		memset(fields, 0, p->nfields * sizeof(*fields));
	r->fields.len += p->nfields * sizeof(*fields);
	FLOW_TRY(read_literals(r, s, p, fields));
	p->most = p->tail_bytes;
	for (uint32_t k = 0; k < p->nfields; k++)
	{
		FLOW_TRY(read_field(r, s, p->ntexts, &fields[k]));
		p->most += (size_t) fields[k].literal_bytes + fields[k].most;
	}
	/* each word is in a text: no memory for what cannot be */
	return p->most <= s->raw_bytes + (size_t) p->nfields * NUMBER_BYTES
			   ? FLOW_OK
			   : FLOW_CORRUPT;
}

/* How many texts there are, and of which patterns. */
static FlowStatus
read_ids(FlowTextReader *r, Source *s)
{
	Pattern *patterns;
	int64_t *ids;

	if (!flowi_get_varint32(&s->p, s->end, &s->n) || s->n == 0 ||
		s->n > FLOW_TEXT_MAX ||
		!flowi_get_varint32(&s->p, s->end, &s->npatterns) ||
		s->npatterns == 0 || s->npatterns > FLOW_TEXT_PATTERNS)
		return FLOW_CORRUPT;
	/* a token is a byte or more, but for that of a text that is empty; one of
	 * VARIED takes two numbers */
	s->most_numbers = 2 * s->raw_bytes + s->n;
	r->patterns.len = r->ids.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->patterns, s->npatterns * sizeof(*patterns)));
	patterns = (Pattern *) r->patterns.data;
	memset(patterns, 0, s->npatterns * sizeof(*patterns));
	if (s->npatterns == 1)
	{
		patterns[0].ntexts = s->n;
		return FLOW_OK;
	}
	FLOW_TRY(flowi_buf_reserve(&r->ids, s->n * sizeof(*ids)));
	ids = (int64_t *) r->ids.data;
	FLOW_TRY(flowi_text_get_numbers(r, &s->p, s->end, s->n, ids));
	for (uint32_t i = 0; i < s->n; i++)
	{
		if ((uint64_t) ids[i] >= s->npatterns)
			return FLOW_CORRUPT;
		patterns[ids[i]].ntexts++;
	}
	return FLOW_OK;
}

/* ---------------------------------------------------------------- writing */

/* SPARE bytes may be read behind from, and written behind to. */
static inline uint8_t *
copy_short(uint8_t *to, const uint8_t *from, size_t n)
{
	memcpy(to, from, 16);
	if (n > 16)
	{
		memcpy(to + 16, from + 16, 16);
		if (n > SPARE)
			memcpy(to + SPARE, from + SPARE, n - SPARE);
	}
	return to + n;
}

/* Digits of v, at least so many, to the end of buf; where they begin. */
static inline uint8_t *
put_digits(uint64_t v, unsigned least, uint8_t *end)
{
	uint8_t *p = end;

	for (; v > UINT32_MAX; v /= 10)
		*--p = (uint8_t) ('0' + v % 10);
	for (uint32_t u = (uint32_t) v; u > 0; u /= 10)
		*--p = (uint8_t) ('0' + u % 10);
	while (end - p < (ptrdiff_t) least)
		*--p = '0';
	return p;
}

static uint64_t
power_of_ten(unsigned exponent)
{
	uint64_t v = 1;

	while (exponent-- > 0)
		v *= 10;
	return v;
}

/* The token of num, with own digits behind the point, into f->text. */
static void
make_number(Field *f, int64_t num, int64_t own)
{
	uint8_t buf[2 * NUMBER_BYTES] = {0}; /* the number, and what to copy */
	uint8_t *end = buf + NUMBER_BYTES;
	uint8_t *to = f->text;
	uint64_t v = num < 0 ? 0 - (uint64_t) num : (uint64_t) num;
	unsigned digits = f->kind == FLOW_FIELD_PADDED ? 0 : (unsigned) own;
	unsigned least = f->kind == FLOW_FIELD_PADDED ? f->digits : digits + 1;
	uint8_t *p;
	size_t front;

	if (f->kind == FLOW_FIELD_VARIED && digits < f->digits)
		v /= power_of_ten(f->digits - digits);
	p = put_digits(v, least, end);
	front = (size_t) (end - p) - digits;
	if (num < 0)
		*to++ = '-';
	memcpy(to, p, NUMBER_BYTES);
	to += front;
	if (digits > 0)
	{
		*to++ = '.';
		memcpy(to, p + front, NUMBER_BYTES);
		to += digits;
	}
	f->text_bytes = (uint32_t) (to - f->text);
	f->num = num;
	f->own = own;
	f->made = true;
}

/* Text i of a pattern, with SPARE bytes behind it; returns its end. */
static uint8_t *
put_text(const FlowTextReader *r, const Pattern *p, uint32_t i, uint8_t *to)
{
	const int64_t *numbers = (const int64_t *) r->numbers.data;
	const int64_t *ends = (const int64_t *) r->ends.data;
	Field *f = (Field *) r->fields.data + p->fields;

	for (uint32_t k = 0; k < p->nfields; k++, f++)
	{
		int64_t num = numbers[f->numbers + i];
		int64_t own = f->digits;

		to = copy_short(to, r->literals.data + f->literal, f->literal_bytes);
		if (f->kind == FLOW_FIELD_WORDS)
		{
			int64_t from = num > 0 ? ends[f->ends + (size_t) num - 1] : 0;
			int64_t bytes = ends[f->ends + (size_t) num] - from;

			to =
				copy_short(to, r->words.data + f->words + from, (size_t) bytes);
			continue;
		}
		if (f->kind == FLOW_FIELD_VARIED)
			own = numbers[f->numbers + p->ntexts + i];
		if (!f->made || f->num != num || f->own != own)
			make_number(f, num, own);
		memcpy(to, f->text, NUMBER_BYTES);
		to += f->text_bytes;
	}
	return copy_short(to, r->literals.data + p->tail, p->tail_bytes);
}

/* All texts into out; exactly raw_bytes of them. */
static FlowStatus
put_texts(FlowTextReader *r, const Source *s, uint8_t *out)
{
	const int64_t *ids =
		s->npatterns > 1 ? (const int64_t *) r->ids.data : NULL;
	Pattern *patterns = (Pattern *) r->patterns.data;
	uint8_t *to = out;
	uint8_t *end = out + s->raw_bytes;

	for (uint32_t i = 0; i < s->n; i++)
	{
		Pattern *p = &patterns[ids ? ids[i] : 0];
		uint8_t *from;
		size_t bytes;

		if ((size_t) (end - to) >= p->most + SPARE)
		{
			to = put_text(r, p, p->at++, to);
			continue;
		}
		r->row.len = 0;
		FLOW_TRY(flowi_buf_reserve(&r->row, p->most + SPARE));
		from = r->row.data;
		bytes = (size_t) (put_text(r, p, p->at++, from) - from);
		if (bytes > (size_t) (end - to))
			return FLOW_CORRUPT;
		if (bytes > 0)
			memcpy(to, from, bytes);
		to += bytes;
	}
	return to == end ? FLOW_OK : FLOW_CORRUPT;
}

FlowStatus
flowi_text_read(FlowTextReader *r, const uint8_t *p, const uint8_t *end,
				uint8_t *out, size_t raw_bytes)
{
	Source s = {.p = p, .end = end, .raw_bytes = raw_bytes};
	Pattern *patterns;

	r->fields.len = r->literals.len = r->numbers.len = 0;
	r->ends.len = r->words.len = 0;
	FLOW_TRY(read_ids(r, &s));
	patterns = (Pattern *) r->patterns.data;
	for (uint32_t i = 0; i < s.npatterns; i++)
		FLOW_TRY(read_pattern(r, &s, &patterns[i]));
	if (s.p != s.end)
		return FLOW_CORRUPT;
	return put_texts(r, &s, out);
}
