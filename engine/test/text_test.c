/*-------------------------------------------------------------------------
 * text_test.c
 *	  Texts and packed blocks: what comes out is what went in; hostile bytes.
 *-------------------------------------------------------------------------
 */
#include "../block.h"
#include "../env_posix.h"
#include "../texts.h"
#include "rows.h"
#include "textdata.h"

static FlowEnv *env;
static FlowCodec codec;
static FlowTextWriter writer;
static FlowTextReader reader;

/* Write, read, compare; bytes taken, 0 if nothing was written. */
static size_t
round_trip(const Texts *t, FlowCompression how, FlowBuf *out)
{
	bool did;

	writer.how = how;
	writer.level = 1;
	out->len = 0;
	CHECK_OK(flowi_text_write(&writer, t->raw, t->ends, t->n, out, &did));
	CHECK(did || out->len == 0);
	if (did)
	{
		uint8_t *exact = malloc(t->bytes); /* for sanitizers */

		CHECK_OK(flowi_text_read(&reader, out->data, out->data + out->len,
								 exact, t->bytes));
		CHECK(t->bytes == 0 || memcmp(exact, t->raw, t->bytes) == 0);
		free(exact);
	}
	return out->len;
}

/* Whatever the bytes: OK or CORRUPT, and not a byte out of place. */
static void
hostile(const Texts *t, const FlowBuf *out, CheckRandom *r)
{
	uint8_t *copy = malloc(out->len);
	uint8_t *raw = malloc(t->bytes + 1);

	for (size_t cut = 0; cut < out->len; cut += 1 + out->len / 64)
	{
		memcpy(copy, out->data, cut);
		CHECK_STATUS(flowi_text_read(&reader, copy, copy + cut, raw, t->bytes),
					 FLOW_CORRUPT);
	}
	CHECK_STATUS(flowi_text_read(&reader, out->data, out->data + out->len, raw,
								 t->bytes + 1),
				 FLOW_CORRUPT);
	if (t->bytes > 0)
		CHECK_STATUS(flowi_text_read(&reader, out->data, out->data + out->len,
									 raw, t->bytes - 1),
					 FLOW_CORRUPT);
	for (int i = 0; i < 60; i++)
	{
		FlowStatus st;

		memcpy(copy, out->data, out->len);
		for (uint64_t n = 1 + check_below(r, 3); n > 0; n--)
			copy[check_below(r, out->len)] ^=
				(uint8_t) (1u << check_below(r, 8));
		st = flowi_text_read(&reader, copy, copy + out->len, raw, t->bytes);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
	}
	free(copy);
	free(raw);
}

static void
test_kinds(CheckRandom *r)
{
	FlowBuf out;
	uint32_t written[TEXT_NKINDS] = {0};

	flowi_buf_init(&out, env);
	for (int round = 0; round < 40 * TEXT_NKINDS; round++)
	{
		TextKind kind = (TextKind) (round % TEXT_NKINDS);
		uint32_t n = 1 + (uint32_t) check_below(r, round % 3 ? 150 : 3000);
		Texts t;

		texts_make(&t, kind, n, round % 5 == 0 ? 20 : 0, r);
		if (round_trip(&t, (FlowCompression) (round % 3), &out) > 0)
		{
			written[kind]++;
			hostile(&t, &out, r);
		}
		texts_free(&t);
	}
	for (int kind = 0; kind < TEXT_NKINDS; kind++)
		CHECK(written[kind] > 0);
	flowi_buf_free(&out);
	check_passed("texts of all kinds, and hostile bytes");
}

/* What it is for: documents of one template, a tenth of their bytes or less. */
static void
test_size(CheckRandom *r)
{
	FlowBuf out;
	Texts t;

	flowi_buf_init(&out, env);
	texts_make(&t, TEXT_JSON, 1000, 0, r);
	CHECK(round_trip(&t, FLOW_COMPRESS_ZSTD, &out) < t.bytes / 20);
	texts_free(&t);
	texts_make(&t, TEXT_KEYS, 1000, 0, r);
	CHECK(round_trip(&t, FLOW_COMPRESS_ZSTD, &out) < t.bytes / 20);
	texts_free(&t);
	texts_make(&t, TEXT_SAME, 1000, 0, r);
	CHECK(round_trip(&t, FLOW_COMPRESS_ZSTD, &out) < 40);
	texts_free(&t);
	texts_make(&t, TEXT_RANDOM, 1000, 0, r);
	CHECK(round_trip(&t, FLOW_COMPRESS_ZSTD, &out) ==
		  0); /* nothing in common */
	texts_free(&t);
	flowi_buf_free(&out);
	check_passed("a template is kept once");
}

/* One text after the other, as given. */
static void
texts_of(Texts *t, const char *const *s, uint32_t n)
{
	texts_make(t, TEXT_SAME, n, 0, &(CheckRandom){1});
	t->bytes = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		size_t bytes = strlen(s[i]);

		memcpy(t->raw + t->bytes, s[i], bytes);
		t->bytes += bytes;
		t->ends[i] = (uint32_t) t->bytes;
	}
}

#define CHECK_TEXTS(...)                                    \
	do                                                      \
	{                                                       \
		static const char *const s[] = {__VA_ARGS__};       \
		Texts t;                                            \
		texts_of(&t, s, sizeof(s) / sizeof(s[0]));          \
		CHECK(round_trip(&t, FLOW_COMPRESS_LZ4, &out) > 0); \
		texts_free(&t);                                     \
	} while (0)

/* Numbers that must not be taken for others, tokens that grow and shrink. */
static void
test_edges(void)
{
	FlowBuf out;

	flowi_buf_init(&out, env);
	CHECK_TEXTS("a=1", "a=01", "a=1.0", "a=-1", "a=-0", "a=0", "a=-0.0");
	CHECK_TEXTS("1", "2", "-3", "4.50", "6.7", "0.01", "-0.01", "10");
	CHECK_TEXTS("0.5", "-0.5", "-1.5", "-0.05");
	CHECK_TEXTS("x 999999999999999999", "x -99999999999999999", "x 0");
	CHECK_TEXTS("x 0.00000000000000001", "x 99999999999999999", "x 1.5");
	CHECK_TEXTS("x 9223372036854775807", "x -9223372036854775808", "x 1");
	CHECK_TEXTS("k-5", "k-6", "k -5", "k --5");
	CHECK_TEXTS("{\"a\":1}", "{\"a\":12}", "{\"a\":1}", "{\"a\":123} ");
	CHECK_TEXTS("ab", "abc", "a", "", "abcd");
	CHECK_TEXTS("", "", "");
	CHECK_TEXTS("12:00", "12:0", "12:000", "1:00");
	CHECK_TEXTS("000", "001", "999", "100");
	CHECK_TEXTS("000000000000000000", "999999999999999999");
	CHECK_TEXTS("0000000000000000000", "9999999999999999999");
	flowi_buf_free(&out);
	check_passed("numbers and tokens at their edges");
}

/* The bytes are a format: those of one version are read by all later ones. */
static void
test_frozen(void)
{
	static const char *const text[] = {"{\"a\":1.50,\"b\":\"on\"} 007",
									   "{\"a\":-2.25,\"b\":\"off\"} 010",
									   "{\"a\":3.00,\"b\":\"on\"} 100",
									   "x-1",
									   "x-2.5",
									   "x-30"};
	static const char hex[] =
		"0602070200000000013803050603007b2261223a2c2262223a22227d2000"
		"020b124bc1030000000003c5010300020301040600056f6e6f6666070200"
		"000000010202030a12030e0000000005207c010200782d01010b12051400"
		"00000006c0a0030702000000000102";
	uint8_t frozen[sizeof(hex) / 2];
	uint8_t raw[128];
	FlowBuf out;
	Texts t;

	flowi_buf_init(&out, env);
	texts_of(&t, text, sizeof(text) / sizeof(text[0]));
	CHECK(round_trip(&t, FLOW_COMPRESS_NONE, &out) > 0);
	for (size_t i = 0; i < sizeof(frozen); i++)
	{
		unsigned byte;

		CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
		frozen[i] = (uint8_t) byte;
	}
	CHECK(out.len == sizeof(frozen));
	CHECK(memcmp(out.data, frozen, out.len) == 0);
	CHECK_OK(flowi_text_read(&reader, frozen, frozen + sizeof(frozen), raw,
							 t.bytes));
	CHECK(memcmp(raw, t.raw, t.bytes) == 0);
	texts_free(&t);
	flowi_buf_free(&out);
	check_passed("bytes as they were");
}

/* ---------------------------------------------------------- packed blocks */

static void
build(const Rows *rows, FlowBlockBuilder *b, const uint8_t **rawp,
	  size_t *bytesp)
{
	flowi_block_builder_init(b, env);
	for (uint32_t i = 0; i < rows->n; i++)
	{
		const FlowRec *rec = &rows->rec[i];
		bool new_key = i == 0 || flowi_key_cmp(rec[-1].key, rec[-1].key_bytes,
											   rec->key, rec->key_bytes) != 0;

		CHECK_OK(flowi_block_add(b, rec, new_key));
	}
	CHECK_OK(flowi_block_finish(b, rawp, bytesp));
}

static void
check_packed(const uint8_t *raw, size_t raw_bytes, const uint8_t *packed,
			 size_t bytes, CheckRandom *r)
{
	uint8_t *copy = malloc(bytes);
	uint8_t *out = malloc(raw_bytes);

	memcpy(copy, packed, bytes);
	CHECK(flowi_codec_plausible(FLOW_CODEC_BLOCK, copy, bytes, raw_bytes));
	CHECK_OK(flowi_codec_decompress(&codec, FLOW_CODEC_BLOCK, copy, bytes, out,
									raw_bytes));
	CHECK(memcmp(out, raw, raw_bytes) == 0);
	for (size_t cut = 0; cut < bytes; cut += 1 + bytes / 64)
		CHECK_STATUS(flowi_codec_decompress(&codec, FLOW_CODEC_BLOCK, copy, cut,
											out, raw_bytes),
					 FLOW_CORRUPT);
	for (int i = 0; i < 60; i++)
	{
		size_t at = check_below(r, i % 2 ? bytes : FLOW_MIN(bytes, 76));
		FlowStatus st;

		copy[at] ^= (uint8_t) (1u << check_below(r, 8));
		st = flowi_codec_decompress(&codec, FLOW_CODEC_BLOCK, copy, bytes, out,
									raw_bytes);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
		copy[at] = packed[at];
	}
	free(copy);
	free(out);
}

/* Rows of random keys and values, tombstones, expiry; values become texts in
 * every other round, so that there is something to pack. */
static void
test_blocks(CheckRandom *r)
{
	uint32_t packed_blocks = 0;

	for (int round = 0; round < 300; round++)
	{
		RowsSpec spec = {.n = 1 + (uint32_t) check_below(r, 200),
						 .nkeys = 1 + (uint32_t) check_below(r, 20),
						 .key_max = 1 + (uint32_t) check_below(r, 30),
						 .value_max = (uint32_t) check_below(r, 60),
						 .extreme = check_below(r, 2),
						 .tomb_percent = 30 * (uint32_t) check_below(r, 3),
						 .mortal_percent = 50 * (uint32_t) check_below(r, 3)};
		FlowBlockBuilder builder;
		const uint8_t *raw, *packed;
		size_t raw_bytes, bytes;
		Texts t;
		Rows rows;

		rows_make(&rows, r, &spec);
		texts_make(&t, (TextKind) check_below(r, TEXT_NKINDS), rows.n, 0, r);
		for (uint32_t i = 0; i < rows.n && round % 2; i++)
		{
			uint32_t from = i > 0 ? t.ends[i - 1] : 0;

			if (rows.rec[i].op == FLOW_DELETE)
				continue;
			free((void *) rows.rec[i].value);
			rows.rec[i].value_bytes = t.ends[i] - from;
			rows.rec[i].value = memcpy(rows_alloc(rows.rec[i].value_bytes),
									   t.raw + from, rows.rec[i].value_bytes);
		}
		build(&rows, &builder, &raw, &raw_bytes);
		CHECK_OK(flowi_codec_pack_block(&codec, (FlowCompression) (round % 3),
										1, raw, raw_bytes, &packed, &bytes));
		if (bytes > 0)
			check_packed(raw, raw_bytes, packed, bytes, r);
		packed_blocks += bytes > 0;
		texts_free(&t);
		rows_free(&rows);
		flowi_block_builder_free(&builder);
	}
	CHECK(packed_blocks > 50);
	check_passed("packed blocks, and hostile bytes");
}

/* What is no block of version 1 is not packed, whatever its header says. */
static void
test_no_block(CheckRandom *r)
{
	uint8_t raw[400];
	const uint8_t *packed;
	size_t bytes;

	for (int round = 0; round < 2000; round++)
	{
		for (size_t i = 0; i < sizeof(raw); i++)
			raw[i] = check_below(r, 3) ? 0 : (uint8_t) check_random(r);
		raw[0] = 1;
		raw[12] = (uint8_t) check_below(r, 100);
		raw[16] = (uint8_t) check_below(r, 20);
		raw[13] = raw[14] = raw[15] = raw[17] = raw[18] = raw[19] = 0;
		CHECK_OK(flowi_codec_pack_block(&codec, FLOW_COMPRESS_LZ4, 1, raw,
										check_below(r, sizeof(raw)), &packed,
										&bytes));
	}
	check_passed("bytes that are no block");
}

/* Words that no text has: more of them than texts are refused before there is
 * memory for them. */
static void
test_many_words(void)
{
	enum
	{
		FIELDS = 32,
		BYTES = 1 << 20
	};
	static const uint8_t words[2] = {3, 0};
	uint8_t *zeros = calloc(1, BYTES);
	uint8_t *raw = malloc(BYTES);
	int64_t zero = 0;
	FlowBuf out;

	flowi_buf_init(&out, env);
	writer.how = FLOW_COMPRESS_ZSTD;
	CHECK_OK(flowi_buf_varint(&out, 1)); /* texts, patterns, fields */
	CHECK_OK(flowi_buf_varint(&out, 1));
	CHECK_OK(flowi_buf_varint(&out, FIELDS));
	for (int i = 0; i <= FIELDS; i++) /* literals */
		CHECK_OK(flowi_buf_varint(&out, 0));
	for (int i = 0; i < FIELDS; i++)
	{
		CHECK_OK(flowi_buf_append(&out, words, sizeof(words)));
		CHECK_OK(flowi_buf_varint(&out, 1));
		CHECK_OK(flowi_text_put_numbers(&writer, &zero, 1, &out));
		CHECK_OK(flowi_text_put_section(&writer, zeros, BYTES, &out));
		CHECK_OK(flowi_text_put_numbers(&writer, &zero, 1, &out));
	}
	CHECK_STATUS(
		flowi_text_read(&reader, out.data, out.data + out.len, raw, BYTES),
		FLOW_CORRUPT);
	CHECK(reader.words.cap <= 2 * BYTES);
	flowi_buf_free(&out);
	free(zeros);
	free(raw);
	check_passed("words of no text");
}

/* Rows that take no byte but in their texts, each of which is as long as it
 * can be said to be. */
static void
test_claims(void)
{
	const size_t most = FLOW_PACKED_MAX_BYTES;
	uint8_t head[600] = {1};

	head[12] = 100; /* rows */
	head[16] = 1;	/* runs */
#define CLAIMS(bytes) \
	flowi_codec_plausible(FLOW_CODEC_BLOCK, head, sizeof(head), (bytes))
	CHECK(CLAIMS(76) && CLAIMS(76 + 902) && !CLAIMS(76 + 903));
	CHECK(!CLAIMS(75));	   /* less than a header */
	head[20 + 8 * 5] = 10; /* bytes of a value */
	CHECK(CLAIMS(76 + 902 + 1000) && !CLAIMS(76 + 902 + 1001));
	head[2 + 5] = 1; /* to 265 */
	CHECK(CLAIMS(76 + 100 + 902 + 26500) && !CLAIMS(76 + 100 + 902 + 26501));
	head[20 + 8 * 1] = 3; /* of the key */
	CHECK(!CLAIMS(76 + 100 + 902 + 26504) && CLAIMS(76 + 100 + 902 + 26503));
	/* beyond all bounds, and around 2^64 */
	memset(head + 20, 0xff, 7 * 8);
	CHECK(CLAIMS(most) && !CLAIMS(most + 1) && !CLAIMS((size_t) 1 << 30));
	memset(head + 20, 0, 7 * 8);
	head[2 + 5] = 8;
	CHECK(CLAIMS(most) && !CLAIMS(most + 1));
	head[14] = 0x11; /* too many rows */
	CHECK(!CLAIMS(most));
#undef CLAIMS
	check_passed("a packed block claims no more than its header allows");
}

/* More tokens than the texts have bytes: refused before there is memory for
 * their numbers. */
static void
test_many_numbers(void)
{
	enum
	{
		FIELDS = 1000,
		TEXTS = 100000,
		BYTES = 1000
	};
	static const uint8_t decimals[2] = {FLOW_FIELD_DECIMALS, 0};
	static int64_t sevens[TEXTS];
	uint8_t raw[BYTES];
	FlowBuf out;

	for (uint32_t i = 0; i < TEXTS; i++)
		sevens[i] = 7;
	flowi_buf_init(&out, env);
	CHECK_OK(flowi_buf_varint(&out, TEXTS));
	CHECK_OK(flowi_buf_varint(&out, 1));
	CHECK_OK(flowi_buf_varint(&out, FIELDS));
	for (int i = 0; i <= FIELDS; i++) /* literals */
		CHECK_OK(flowi_buf_varint(&out, 0));
	for (int i = 0; i < FIELDS; i++)
	{
		CHECK_OK(flowi_buf_append(&out, decimals, sizeof(decimals)));
		CHECK_OK(flowi_text_put_numbers(&writer, sevens, TEXTS, &out));
	}
	flowi_buf_free(&reader.numbers);
	flowi_buf_init(&reader.numbers, env);
	CHECK_STATUS(
		flowi_text_read(&reader, out.data, out.data + out.len, raw, BYTES),
		FLOW_CORRUPT);
	CHECK(reader.numbers.cap < 2 * sizeof(int64_t) * TEXTS);
	flowi_buf_free(&out);
	check_passed("numbers of no text");
}

/* A block that is too large for that is not packed. */
static void
test_large_block(CheckRandom *r)
{
	enum
	{
		BYTES = 100000
	};
	char *value = malloc(BYTES + 1);

	memset(value, 'x', BYTES);
	for (uint32_t n = 40; n <= 45; n++)
	{
		RowsSpec spec = {.n = n, .nkeys = 1, .key_max = 4, .value_max = 1};
		FlowBlockBuilder builder;
		const uint8_t *raw, *packed;
		size_t raw_bytes, bytes;
		Rows rows;

		rows_make(&rows, r, &spec);
		for (uint32_t i = 0; i < n; i++)
		{
			snprintf(value + BYTES - 6, 7, " %05u", i);
			free((void *) rows.rec[i].value);
			rows.rec[i].value_bytes = BYTES;
			rows.rec[i].value = memcpy(rows_alloc(BYTES), value, BYTES);
		}
		build(&rows, &builder, &raw, &raw_bytes);
		CHECK_OK(flowi_codec_pack_block(&codec, FLOW_COMPRESS_ZSTD, 1, raw,
										raw_bytes, &packed, &bytes));
		CHECK((bytes > 0) == (raw_bytes <= FLOW_PACKED_MAX_BYTES));
		if (bytes > 0)
			CHECK(flowi_codec_plausible(FLOW_CODEC_BLOCK, packed, bytes,
										raw_bytes));
		rows_free(&rows);
		flowi_block_builder_free(&builder);
	}
	free(value);
	check_passed("a large block is not packed");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK_OK(flow_env_posix_create((size_t) 64 << 20, &env));
	flowi_codec_init(&codec, env);
	flowi_text_writer_init(&writer, env, &codec);
	flowi_text_reader_init(&reader, env, &codec);
	test_kinds(&r);
	test_size(&r);
	test_edges();
	test_frozen();
	test_blocks(&r);
	test_no_block(&r);
	test_many_words();
	test_many_numbers();
	test_claims();
	test_large_block(&r);
	flowi_text_writer_free(&writer);
	flowi_text_reader_free(&reader);
	flowi_codec_free(&codec);
	flow_env_posix_free(env);
	return 0;
}
