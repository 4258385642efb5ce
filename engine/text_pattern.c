/*-------------------------------------------------------------------------
 * text_pattern.c
 *	  Find the patterns of texts, and the tokens of each text.
 *
 * A text is compared with the last one of a pattern: what is equal is passed
 * over in words of eight bytes, and only where they differ, in a token or
 * just behind one, the new token's end is looked for.  So a text costs about
 * what has changed in it.  A text that no pattern fits is taken apart byte by
 * byte, and is a new pattern.
 *
 * Any way to take a text apart is right as long as the parts make up the
 * text; what the tokens are decides about size alone.
 *-------------------------------------------------------------------------
 */
#include "texts.h"

/* Texts that fit no pattern: too many of them, and columns are not worth it. */
#define MISFITS_MIN 16u
#define MISFITS_SHARE 4u /* one in so many */

void
flowi_text_finder_init(FlowTextFinder *f, FlowEnv *env)
{
	memset(f, 0, sizeof(*f));
	for (uint32_t i = 0; i < FLOW_TEXT_PATTERNS; i++)
		flowi_buf_init(&f->tokens[i], env);
	flowi_buf_init(&f->fresh, env);
	flowi_buf_init(&f->refs, env);
	flowi_buf_init(&f->places, env);
}

void
flowi_text_finder_free(FlowTextFinder *f)
{
	for (uint32_t i = 0; i < FLOW_TEXT_PATTERNS; i++)
		flowi_buf_free(&f->tokens[i]);
	flowi_buf_free(&f->fresh);
	flowi_buf_free(&f->refs);
	flowi_buf_free(&f->places);
}

/* ----------------------------------------------------------------- tokens */

/* Letters, digits, '.', '_' and bytes that are not ASCII. */
static inline bool
is_word(uint8_t c)
{
	static const uint64_t set[4] = {UINT64_C(0x03ff400000000000),
									UINT64_C(0x07fffffe87fffffe), ~UINT64_C(0),
									~UINT64_C(0)};

	return set[c >> 6] >> (c & 63) & 1;
}

static inline bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Where the token that begins at p, or goes on there, ends; p if none does. */
static inline const uint8_t *
token_end(const uint8_t *p, const uint8_t *end, bool begins)
{
	if (begins && end - p >= 2 && *p == '-' && is_digit(p[1]))
		p++; /* a sign */
	while (p < end && is_word(*p))
		p++;
	return p;
}

/* Bytes that a and b, n of each, have in common in front. */
static inline size_t
common_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8)
	{
		uint64_t differ = flowi_load64(a + i) ^ flowi_load64(b + i);

		if (differ != 0)
			return i + (size_t) (__builtin_ctzll(differ) >> 3);
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/*
 * fit
 *		Take the text of bytes at b apart as a text of p, into now and refs;
 *		false if that does not go.
 *
 * last: the refs of p's last text.  A token that is the same keeps its ref,
 * so that whoever makes columns need not compare it.
 */
static bool
fit(const FlowTextFinder *f, const FlowTextPattern *p, uint32_t b_at,
	uint32_t bytes, FlowTextSpan *now, const FlowTextRef *last,
	FlowTextRef *refs)
{
	const uint8_t *a = f->raw + p->at;
	const uint8_t *b = f->raw + b_at;
	const FlowTextSpan *was = p->tokens;
	uint32_t i = 0, j = 0, k = 0; /* in a, in b, of the tokens */

	for (;;)
	{
		uint32_t shift = j - i; /* modulo 2^32 */
		uint32_t begin, end;
		size_t same =
			common_bytes(a + i, b + j, FLOW_MIN(p->bytes - i, bytes - j));
		bool done;

		i += (uint32_t) same;
		j += (uint32_t) same;
		done = i == p->bytes && j == bytes;
		for (; k < p->ntokens && was[k].to < i + done; k++)
		{
			now[k] = (FlowTextSpan){was[k].from + shift, was[k].to + shift};
			refs[k] = last[k];
		}
		if (done)
			return true;
		if (k == p->ntokens || i < was[k].from)
			return false; /* not in a token */
		begin = was[k].from + shift;
		end = (uint32_t) (token_end(b + j, b + bytes, j == begin) - b);
		if (end == begin || (end == j && i == was[k].to))
			return false;
		now[k] = (FlowTextSpan){begin, end};
		refs[k] = (FlowTextRef){b_at + begin, end - begin};
		i = was[k++].to;
		j = end;
	}
}

/* ---------------------------------------------------------------- patterns */

/* Enter a text of a pattern, whose refs are the last ones. */
static void
enter(FlowTextFinder *f, uint32_t pattern, uint32_t at, uint32_t bytes)
{
	FlowTextPattern *p = &f->pattern[pattern];
	uint32_t nrefs = (uint32_t) (f->refs.len / sizeof(FlowTextRef));
	FlowTextPlace *place = (FlowTextPlace *) (f->places.data + f->places.len);

	p->at = at;
	p->bytes = bytes;
	p->ntexts++;
	p->refs = nrefs - p->ntokens;
	place->pattern = pattern;
	place->refs = p->refs;
	f->places.len += sizeof(*place); /* there is room for all */
}

/* Is the text one of the pattern?  Then it is entered. */
static FlowStatus
try_pattern(FlowTextFinder *f, uint32_t pattern, uint32_t at, uint32_t bytes,
			bool *fitsp)
{
	FlowTextPattern *p = &f->pattern[pattern];
	size_t n = p->ntokens * sizeof(FlowTextRef);
	FlowTextRef *refs;
	FlowBuf tokens;

	*fitsp = false;
	FLOW_TRY(flowi_buf_reserve(&f->fresh, n));
	FLOW_TRY(flowi_buf_reserve(&f->refs, n));
	refs = (FlowTextRef *) f->refs.data;
	if (!fit(f, p, at, bytes, (FlowTextSpan *) f->fresh.data, refs + p->refs,
			 refs + f->refs.len / sizeof(*refs)))
		return FLOW_OK;
	tokens = f->tokens[pattern];
	f->tokens[pattern] = f->fresh;
	f->fresh = tokens;
	f->fresh.len = 0;
	p->tokens = (FlowTextSpan *) f->tokens[pattern].data;
	f->refs.len += n;
	enter(f, pattern, at, bytes);
	*fitsp = true;
	return FLOW_OK;
}

/* Append a token of the text at at to refs, and to the tokens of a pattern. */
static FlowStatus
put_token(FlowTextFinder *f, uint32_t pattern, uint32_t at, uint32_t from,
		  uint32_t to)
{
	FlowTextRef ref = {at + from, to - from};
	FlowTextSpan span = {from, to};

	FLOW_TRY(flowi_buf_append(&f->refs, &ref, sizeof(ref)));
	return flowi_buf_append(&f->tokens[pattern], &span, sizeof(span));
}

/* All tokens of a text that is the first of a pattern; *ntokensp is more than
 * FLOW_TEXT_TOKENS when it has too many. */
static FlowStatus
take_apart(FlowTextFinder *f, uint32_t pattern, uint32_t at, uint32_t bytes,
		   uint32_t *ntokensp)
{
	const uint8_t *text = f->raw + at;
	const uint8_t *end = text + bytes;
	const uint8_t *p = text;
	uint32_t n = 0;

	while (p < end && n <= FLOW_TEXT_TOKENS)
	{
		bool begins = p == text || !is_word(p[-1]);
		const uint8_t *to = token_end(p, end, begins);

		if (to == p)
		{
			p++;
			continue;
		}
		FLOW_TRY(put_token(f, pattern, at, (uint32_t) (p - text),
						   (uint32_t) (to - text)));
		n++;
		p = to;
	}
	*ntokensp = n;
	return FLOW_OK;
}

/* Begin a pattern with a text; *madep: false when it has too many tokens. */
static FlowStatus
begin_pattern(FlowTextFinder *f, uint32_t at, uint32_t bytes, bool whole,
			  bool *madep)
{
	uint32_t pattern = f->npatterns;
	FlowTextPattern *p = &f->pattern[pattern];
	size_t nrefs = f->refs.len;

	*p = (FlowTextPattern){.ntokens = 1};
	f->tokens[pattern].len = 0;
	if (whole)
		FLOW_TRY(put_token(f, pattern, at, 0, bytes));
	else
		FLOW_TRY(take_apart(f, pattern, at, bytes, &p->ntokens));
	*madep = p->ntokens <= FLOW_TEXT_TOKENS;
	if (!*madep)
	{
		f->refs.len = nrefs;
		return FLOW_OK;
	}
	p->tokens = (FlowTextSpan *) f->tokens[pattern].data;
	f->npatterns++;
	f->whole = whole;
	enter(f, pattern, at, bytes);
	return FLOW_OK;
}

/* A text that fits no pattern. */
static FlowStatus
add_misfit(FlowTextFinder *f, uint32_t at, uint32_t bytes)
{
	FlowTextRef whole = {at, bytes};
	bool made = false;

	if (f->npatterns + 1 < FLOW_TEXT_PATTERNS && !f->whole)
		FLOW_TRY(begin_pattern(f, at, bytes, false, &made));
	if (made)
		return FLOW_OK;
	if (!f->whole)
		return begin_pattern(f, at, bytes, true, &made);
	FLOW_TRY(flowi_buf_append(&f->refs, &whole, sizeof(whole)));
	enter(f, f->npatterns - 1, at, bytes);
	return FLOW_OK;
}

/* The patterns that are looked at for a text, that of the one before first. */
static FlowStatus
add_text(FlowTextFinder *f, uint32_t *lastp, uint32_t at, uint32_t bytes)
{
	uint32_t n = f->npatterns - f->whole;
	uint32_t last = *lastp;
	bool fits = false;

	if (last < n)
		FLOW_TRY(try_pattern(f, last, at, bytes, &fits));
	for (uint32_t i = 0; i < n && !fits; i++)
	{
		if (i == last)
			continue;
		FLOW_TRY(try_pattern(f, i, at, bytes, &fits));
		*lastp = i;
	}
	if (fits)
		return FLOW_OK;
	*lastp = n;
	return add_misfit(f, at, bytes);
}

FlowStatus
flowi_text_find(FlowTextFinder *f, const uint8_t *raw, const uint32_t *ends,
				uint32_t n)
{
	uint32_t at = 0;
	uint32_t last = 0;

	f->raw = raw;
	f->npatterns = 0;
	f->whole = false;
	f->refs.len = f->places.len = 0;
	FLOW_TRY(flowi_buf_reserve(&f->places, n * sizeof(FlowTextPlace)));
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t misfits = f->npatterns;

		FLOW_TRY(add_text(f, &last, at, ends[i] - at));
		at = ends[i];
		if (f->whole)
			misfits += f->pattern[f->npatterns - 1].ntexts;
		if (misfits >= MISFITS_MIN && misfits > i / MISFITS_SHARE)
		{
			f->npatterns = 0;
			return FLOW_OK;
		}
	}
	return FLOW_OK;
}
