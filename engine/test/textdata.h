/*-------------------------------------------------------------------------
 * textdata.h
 *	  Texts for tests of texts.h: documents, messages, keys, and worse.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_TEXTDATA_H
#define FLOW_TEST_TEXTDATA_H

#include <string.h>

#include "check.h"

typedef enum TextKind
{
	TEXT_JSON,	  /* one template; numbers with a fixed count of digits */
	TEXT_VARIED,  /* numbers as short as they go, keys that may lack */
	TEXT_LOG,	  /* messages of some kinds, times, addresses */
	TEXT_KEYS,	  /* numbers with zeros in front */
	TEXT_EDGE,	  /* what looks like a number and is none; odd bytes */
	TEXT_NUMBERS, /* all of a text, up to the greatest there are */
	TEXT_SAME,
	TEXT_RANDOM, /* bytes */
	TEXT_NKINDS
} TextKind;

#define TEXT_MAX 512 /* bytes of one */

typedef struct Texts
{
	uint8_t *raw;
	uint32_t *ends;
	uint32_t n;
	size_t bytes;
} Texts;

static inline size_t
text_edge(CheckRandom *r, char *to)
{
	static const char *const odd[] = {"",
									  "-",
									  "-0",
									  "0",
									  "00",
									  "-0.0",
									  "0.0",
									  "1.",
									  ".5",
									  "1.5.2",
									  "--1",
									  "1-2",
									  "1e5",
									  "+3",
									  "007",
									  "7",
									  "-7.0",
									  "9.99",
									  "123456789012345678",
									  "1234567890123456789",
									  "-999999999999999999",
									  "0.000000000000000001",
									  "1\0002",
									  "\xff\xfe",
									  "{}",
									  "a b",
									  "100000000000000000.5",
									  " 5",
									  "5 ",
									  "-.5"};
	size_t n = 0;

	for (uint64_t parts = 1 + check_below(r, 4); parts > 0; parts--)
	{
		const char *s = odd[check_below(r, sizeof(odd) / sizeof(odd[0]))];
		size_t bytes = s[0] == '1' && s[1] == '\0' ? 3 : strlen(s);

		memcpy(to + n, s, bytes);
		n += bytes;
		if (check_below(r, 2))
			to[n++] = ",:[ -"[check_below(r, 5)];
	}
	return n;
}

static inline size_t
text_json(CheckRandom *r, uint32_t i, char *to)
{
	uint64_t x = check_random(r);

	return (size_t) snprintf(
		to, TEXT_MAX,
		"{\"temp\":%.2f,\"humidity\":%.1f,\"battery\":%u,\"status\":\"%s\","
		"\"lat\":%.5f,\"fw\":\"2.%u.%u\",\"seq\":%u}",
		(double) (x % 4000) / 100 - 20, 30 + (double) (x >> 20 & 511) / 10,
		100 - i % 100, x >> 60 ? "ok" : "alarm", 48 + (double) (i / 64) / 1000,
		i / 64 % 7, i / 64 % 13, i);
}

static inline size_t
text_varied(CheckRandom *r, char *to)
{
	uint64_t x = check_random(r);
	size_t n = (size_t) snprintf(to, TEXT_MAX, "{\"a\":%.*g,\"b\":%g",
								 (int) (x >> 8 & 7), (double) (x & 0xffff) / 64,
								 (double) (x >> 16 & 0xff) / 8 - 10);

	if (x >> 62)
		n += (size_t) snprintf(to + n, TEXT_MAX - n, ", \"c\": \"%s\"",
							   x >> 61 & 1 ? "none" : "some thing");
	return n + (size_t) snprintf(to + n, TEXT_MAX - n, "}");
}

static inline size_t
text_log(CheckRandom *r, uint32_t i, char *to)
{
	uint64_t x = check_random(r);
	size_t n = (size_t) snprintf(
		to, TEXT_MAX, "2026-11-%02u %02u:%02u:%02u.%03u ", 1 + i / 3000 % 28,
		i / 3600 % 24, i / 60 % 60, i % 60, (unsigned) (x % 1000));

	switch (x >> 60 & 3)
	{
		case 0:
			return n + (size_t) snprintf(to + n, TEXT_MAX - n,
										 "user %u logged in from 10.0.%u.%u",
										 (unsigned) (x >> 8 & 4095),
										 (unsigned) (x >> 20 & 255),
										 (unsigned) (x >> 28 & 255));
		case 1:
			return n + (size_t) snprintf(to + n, TEXT_MAX - n,
										 "GET /item/%u?q=%04x took %.3f ms",
										 (unsigned) (x >> 8 & 4095),
										 (unsigned) (x >> 20 & 0xffff),
										 (double) (x >> 36 & 0xffff) / 1000);
		default:
			return n + (size_t) snprintf(to + n, TEXT_MAX - n, "heartbeat %u",
										 (unsigned) i);
	}
}

static inline size_t
text_make(TextKind kind, CheckRandom *r, uint32_t i, char *to)
{
	switch (kind)
	{
		case TEXT_JSON:
			return text_json(r, i, to);
		case TEXT_VARIED:
			return text_varied(r, to);
		case TEXT_LOG:
			return text_log(r, i, to);
		case TEXT_KEYS:
			return (size_t) snprintf(to, TEXT_MAX, "dev-%08u/%u", i * 3,
									 (unsigned) check_below(r, 3));
		case TEXT_EDGE:
			return text_edge(r, to);
		case TEXT_NUMBERS:
			return (size_t) snprintf(
				to, TEXT_MAX, "%" PRId64,
				(int64_t) (check_random(r) >> check_below(r, 64)) *
					(check_below(r, 2) ? 1 : -1));
		case TEXT_SAME:
			return (size_t) snprintf(to, TEXT_MAX, "{\"v\":1.50}");
		default:
			break;
	}
	for (size_t j = 0, n = check_below(r, 40);; j++)
	{
		if (j == n)
			return n;
		to[j] = (char) check_random(r);
	}
}

/* n texts; one in odd is of another kind (0: none). */
static inline void
texts_make(Texts *t, TextKind kind, uint32_t n, uint32_t odd, CheckRandom *r)
{
	t->raw = malloc((size_t) n * TEXT_MAX + 1);
	t->ends = malloc(n * sizeof(*t->ends));
	CHECK(t->raw != NULL && t->ends != NULL);
	t->n = n;
	t->bytes = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		TextKind of = kind;
		char text[TEXT_MAX];
		size_t bytes;

		if (odd > 0 && check_below(r, odd) == 0)
			of = (TextKind) check_below(r, TEXT_NKINDS);
		bytes = text_make(of, r, i, text);
		memcpy(t->raw + t->bytes, text, bytes);
		t->bytes += bytes;
		t->ends[i] = (uint32_t) t->bytes;
	}
}

static inline void
texts_free(Texts *t)
{
	free(t->raw);
	free(t->ends);
}

#endif /* FLOW_TEST_TEXTDATA_H */
