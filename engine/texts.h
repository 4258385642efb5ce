/*-------------------------------------------------------------------------
 * texts.h
 *	  Texts of few patterns as columns: documents, messages, keys.
 *
 * A text is tokens and what stands between them.  Texts between whose tokens
 * the same stands are of one pattern; of a pattern the tokens of one place are
 * a column, of numbers where they are numbers.  So a JSON document of 126
 * bytes that differs from the one before it in five numbers takes some bytes
 * for these, and no others.  This is the decomposition of PIDS (Jiang, Liu,
 * Jin, Elmore and others, PIDS: attribute decomposition for improved
 * compression and query performance in columnar storage, VLDB 2020) and, for
 * log messages, of CLP (Rodrigues, Luo and Yuan, OSDI 2021), with patterns
 * found in one pass over a block's own texts.  The bytes that come out are
 * those that went in, whatever they are.
 *
 * Bytes: doc/FORMAT.md "Texts".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEXTS_H
#define FLOW_TEXTS_H

#include "codec.h"
#include "column_num.h"

#define FLOW_TEXT_PATTERNS 32u /* the last of them may be of any text */
#define FLOW_TEXT_TOKENS 1024u /* of a pattern; a format, as the next two */
#define FLOW_TEXT_DIGITS 18u   /* of a number, and behind its point */
#define FLOW_TEXT_MAX (1u << 20)

/* Kinds of a field; a format. */
#define FLOW_FIELD_DECIMALS 0 /* so many digits behind the point */
#define FLOW_FIELD_VARIED 1	  /* each its own number of them */
#define FLOW_FIELD_PADDED 2	  /* digits, always so many */
#define FLOW_FIELD_WORDS 3	  /* a dictionary */

/* --- finding patterns (text_pattern.c) --- */

/* Part of a text, from its beginning; part of the texts. */
typedef struct FlowTextSpan
{
	uint32_t from, to;
} FlowTextSpan;

typedef struct FlowTextRef
{
	uint32_t at, bytes;
} FlowTextRef;

/* A text: its pattern, and the first ref of its tokens. */
typedef struct FlowTextPlace
{
	uint32_t pattern, refs;
} FlowTextPlace;

typedef struct FlowTextPattern
{
	uint32_t ntokens;
	uint32_t ntexts;
	uint32_t at, bytes;	  /* its last text */
	uint32_t refs;		  /* the first one of it */
	FlowTextSpan *tokens; /* of it; in the finder's memory */
} FlowTextPattern;

/* Embed it. */
typedef struct FlowTextFinder
{
	const uint8_t *raw; /* borrowed */
	uint32_t npatterns;
	bool whole; /* the last pattern is one token, of any text */
	FlowTextPattern pattern[FLOW_TEXT_PATTERNS];
	FlowBuf tokens[FLOW_TEXT_PATTERNS]; /* FlowTextSpan */
	FlowBuf fresh;						/* those of the text looked at */
	FlowBuf refs;						/* FlowTextRef */
	FlowBuf places;						/* FlowTextPlace, one a text */
} FlowTextFinder;

extern void flowi_text_finder_init(FlowTextFinder *f, FlowEnv *env);
extern void flowi_text_finder_free(FlowTextFinder *f);

/*
 * flowi_text_find
 *		Patterns of the n texts that stand back to back at raw, and end where
 *		ends says; npatterns 0: they have nothing in common.
 */
extern FlowStatus flowi_text_find(FlowTextFinder *f, const uint8_t *raw,
								  const uint32_t *ends,
								  uint32_t n) FLOW_MUST_CHECK;

/* --- writing (text_write.c) --- */

/* Embed it. */
typedef struct FlowTextWriter
{
	FlowCodec *codec;	 /* borrowed */
	FlowCompression how; /* of words; may be set at any time */
	int level;
	FlowTextFinder find;
	FlowNumWriter num;
	FlowBuf part;	  /* a sequence */
	FlowBuf numbers;  /* of a field */
	FlowBuf digits;	  /* of these */
	FlowBuf rows;	  /* first refs of the texts of a pattern */
	FlowBuf slots;	  /* of a dictionary */
	FlowBuf heap;	  /* its words */
	FlowBuf fields;	  /* as they will stand behind the literals */
	FlowBuf constant; /* of a pattern's tokens: which are no fields */
} FlowTextWriter;

extern void flowi_text_writer_init(FlowTextWriter *w, FlowEnv *env,
								   FlowCodec *codec);
extern void flowi_text_writer_free(FlowTextWriter *w);

/*
 * flowi_text_write
 *		The n texts, 1 .. 2^20, as in flowi_text_find, behind out; *didp: false
 *		when they have nothing in common, and nothing was written.
 * flowi_text_put_numbers
 *		Bytes of a sequence as a varint, then the sequence of n >= 1 numbers.
 * flowi_text_put_section
 *		Bytes, compressed where that pays.
 */
extern FlowStatus flowi_text_write(FlowTextWriter *w, const uint8_t *raw,
								   const uint32_t *ends, uint32_t n,
								   FlowBuf *out, bool *didp) FLOW_MUST_CHECK;
extern FlowStatus flowi_text_put_numbers(FlowTextWriter *w, const int64_t *x,
										 uint32_t n,
										 FlowBuf *out) FLOW_MUST_CHECK;
extern FlowStatus flowi_text_put_section(FlowTextWriter *w, const uint8_t *p,
										 size_t n,
										 FlowBuf *out) FLOW_MUST_CHECK;

/* --- reading (text_read.c) --- */

/* Embed it.  It keeps its memory for the next texts. */
typedef struct FlowTextReader
{
	FlowCodec *codec; /* borrowed */
	FlowBuf scratch;  /* of a sequence */
	FlowBuf ids;	  /* the texts' patterns */
	FlowBuf patterns, fields;
	FlowBuf literals;
	FlowBuf numbers; /* of all fields */
	FlowBuf ends;	 /* of the words of all fields */
	FlowBuf words;
	FlowBuf row; /* a text that has no room to spare where it belongs */
} FlowTextReader;

extern void flowi_text_reader_init(FlowTextReader *r, FlowEnv *env,
								   FlowCodec *codec);
extern void flowi_text_reader_free(FlowTextReader *r);

/*
 * flowi_text_read
 *		The texts that take [p, end), back to back into out, exactly raw_bytes
 *		of them.
 * flowi_text_get_numbers, flowi_text_get_section
 *		What the writer's functions have put, from *pp on, which is moved
 *		behind it: n numbers into x; exactly n bytes into out.
 * All: CORRUPT, without an error record, when that is not what stands there.
 */
extern FlowStatus flowi_text_read(FlowTextReader *r, const uint8_t *p,
								  const uint8_t *end, uint8_t *out,
								  size_t raw_bytes) FLOW_MUST_CHECK;
extern FlowStatus flowi_text_get_numbers(FlowTextReader *r, const uint8_t **pp,
										 const uint8_t *end, uint32_t n,
										 int64_t *x) FLOW_MUST_CHECK;
extern FlowStatus flowi_text_get_section(FlowTextReader *r, const uint8_t **pp,
										 const uint8_t *end, size_t n,
										 uint8_t *out) FLOW_MUST_CHECK;

#endif /* FLOW_TEXTS_H */
