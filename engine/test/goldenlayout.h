/*-------------------------------------------------------------------------
 * goldenlayout.h
 *	  The layout of a database's files as text, read as doc/FORMAT.md says
 *	  and with nothing of the engine's.
 *
 * What depends on how far a library compresses is left out: sizes and offsets
 * of compressed frames, and what follows from them.  What depends on the run
 * is too: the identity of a file log, and checksums.  All else is there, long
 * pieces as their length and hash, so two texts are equal when the formats are.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_GOLDENLAYOUT_H
#define FLOW_TEST_GOLDENLAYOUT_H

#include <dirent.h>
#include <lz4.h>
#include <zstd.h>

#include "../codec.h"
#include "../env_posix.h"
#include "golden.h"

typedef struct Bytes
{
	const uint8_t *p, *end;
} Bytes;

static inline uint64_t
take(Bytes *b, unsigned n)
{
	uint64_t v = 0;

	CHECK((size_t) (b->end - b->p) >= n);
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t) b->p[i] << (8 * i);
	b->p += n;
	return v;
}

static inline uint64_t
take_varint(Bytes *b)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7)
	{
		uint8_t byte = (uint8_t) take(b, 1);

		CHECK(shift < 70);
		v |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
	}
}

static inline Bytes
cut(Bytes *b, size_t n)
{
	Bytes part = {b->p, b->p + n};

	CHECK((size_t) (b->end - b->p) >= n);
	b->p += n;
	return part;
}

/* Short ones as they are, long ones as length and hash. */
static inline void
say_bytes(GoldenText *text, Bytes b)
{
	size_t n = (size_t) (b.end - b.p);

	if (n <= 64)
		golden_hex(text, b.p, n);
	else
		golden_say(text, "%zu:%016" PRIx64, n, XXH3_64bits(b.p, n));
}

/* -------------------------------------------------------------- log records */

/* A batch as doc/FORMAT.md has it; its payload is decompressed. */
static inline void
layout_record(GoldenText *text, Bytes b)
{
	static char raw[1 << 16];
	uint8_t kind = (uint8_t) take(&b, 1);
	uint8_t version = (uint8_t) take(&b, 1);
	uint8_t flags = (uint8_t) take(&b, 1);
	uint64_t bytes = 0;

	golden_say(text, "  record kind %u version %u flags %u", kind, version,
			   flags);
	for (int i = 0; kind == 1 && i < 5; i++)
		golden_say(text, " %" PRIu64, bytes = take_varint(&b));
	if (kind == 1 && (flags & 1))
	{
		CHECK(LZ4_decompress_safe((const char *) b.p, raw, (int) (b.end - b.p),
								  sizeof(raw)) == (int) bytes);
		b = (Bytes){(uint8_t *) raw, (uint8_t *) raw + bytes};
	}
	golden_say(text, " ");
	say_bytes(text, b);
	golden_say(text, "\n");
}

/* ----------------------------------------------------------------- manifest */

static inline void
layout_head(GoldenText *text, Bytes b)
{
	golden_say(text, "  magic %016" PRIx64, take(&b, 8));
	golden_say(text, " version %" PRIu64, take(&b, 4));
	golden_say(text, " zero %" PRIu64, take(&b, 4));
	golden_say(text, " number %" PRIu64 "\n", take(&b, 8));
	(void) take(&b, 8);
	CHECK(b.p == b.end);
}

/* Of an SSTable that is added the size is left out. */
static inline void
layout_field(GoldenText *text, uint8_t tag, Bytes body)
{
	golden_say(text, "   field %u ", tag);
	if (tag == 1)
	{
		for (int i = 0; i < 4; i++)
			golden_say(text, "%" PRIu64 " ", take_varint(&body));
		(void) take_varint(&body);
	}
	say_bytes(text, body);
	golden_say(text, "\n");
}

static inline void
layout_manifest(GoldenText *text, Bytes b)
{
	layout_head(text, cut(&b, 32));
	while (b.p < b.end)
	{
		uint64_t number;
		Bytes fields;

		(void) take(&b, 8);
		number = take(&b, 8);
		fields = cut(&b, take(&b, 4));
		golden_say(text, "  edit %" PRIu64 "\n", number);
		while (fields.p < fields.end)
		{
			uint8_t tag = (uint8_t) take(&fields, 1);

			layout_field(text, tag, cut(&fields, take(&fields, 4)));
		}
	}
}

/* ------------------------------------------------------------------ SSTable */

static inline Bytes
decompress(Bytes stored, uint8_t codec, size_t raw_bytes)
{
	static uint8_t raw[1 << 16];
	size_t n = (size_t) (stored.end - stored.p);

	CHECK(raw_bytes <= sizeof(raw) && codec <= 3);
	if (codec == 0)
		return stored;
	if (codec == 3)
	{
		FlowEnv *env;
		FlowCodec packed;

		CHECK_OK(flow_env_posix_create((size_t) 64 << 20, &env));
		flowi_codec_init(&packed, env);
		CHECK_OK(flowi_codec_decompress(&packed, codec, stored.p, n, raw,
										raw_bytes));
		flowi_codec_free(&packed);
		flow_env_posix_free(env);
		n = raw_bytes;
	}
	else if (codec == 1)
		n = (size_t) LZ4_decompress_safe((const char *) stored.p, (char *) raw,
										 (int) n, sizeof(raw));
	else
		n = ZSTD_decompress(raw, sizeof(raw), stored.p, n);
	CHECK(n == raw_bytes);
	return (Bytes){raw, raw + n};
}

/* Leaves and the top index say where compressed blocks stand. */
static inline void
layout_frame(GoldenText *text, Bytes *b, bool *packed)
{
	size_t raw_bytes;
	uint8_t kind, codec;
	Bytes stored, raw;

	(void) take(b, 8);
	raw_bytes = take(b, 4);
	stored.p = NULL;
	stored.end = stored.p + take(b, 4);
	kind = (uint8_t) take(b, 1);
	codec = (uint8_t) take(b, 1);
	CHECK(take(b, 2) == 0);
	stored = cut(b, (size_t) (stored.end - (const uint8_t *) NULL));
	raw = decompress(stored, codec, raw_bytes);
	*packed |= kind == 1 && codec != 0;
	golden_say(text, "  frame %u", kind);
	if (kind == 1)
		golden_say(text, " codec %u", codec);
	golden_say(text, " raw %zu ", raw_bytes);
	if (!*packed || (kind != 2 && kind != 5))
		say_bytes(text, raw);
	golden_say(text, "\n");
}

static inline void
layout_sst(GoldenText *text, Bytes b)
{
	Bytes foot = {b.end - 64, b.end};
	bool packed = false;

	CHECK(b.end - b.p >= 64);
	b.end = foot.p;
	while (b.p < b.end)
		layout_frame(text, &b, &packed);
	golden_say(text, "  footer id %" PRIu64, take(&foot, 8));
	(void) cut(&foot, 24);
	golden_say(text, " store %" PRIu64, take(&foot, 4));
	golden_say(text, " segments %" PRIu64, take(&foot, 4));
	golden_say(text, " version %" PRIu64, take(&foot, 4));
	golden_say(text, " zero %" PRIu64, take(&foot, 4));
	golden_say(text, " magic %016" PRIx64 "\n", take(&foot, 8));
}

/* ----------------------------------------------------------------- file log */

static inline void
layout_segment(GoldenText *text, Bytes b)
{
	const uint8_t *begin = b.p;
	uint64_t start;

	golden_say(text, "  magic %016" PRIx64, take(&b, 8));
	golden_say(text, " version %" PRIu64, take(&b, 4));
	golden_say(text, " zero %" PRIu64, take(&b, 4));
	start = take(&b, 8);
	golden_say(text, " start %" PRIu64, start);
	golden_say(text, " size %" PRIu64 "\n", take(&b, 8));
	(void) cut(&b, 8 + 16 + 8);
	while (b.end - b.p >= 32)
	{
		uint64_t pos = start + (uint64_t) (b.p - begin);
		uint64_t synced, length;
		uint8_t kind;
		Bytes record;

		(void) take(&b, 8);
		if (take(&b, 8) != pos)
			return;
		synced = take(&b, 8);
		length = take(&b, 4);
		kind = (uint8_t) take(&b, 1);
		CHECK(take(&b, 3) == 0);
		golden_say(text, "  at %" PRIu64 " synced %" PRIu64 " kind %u\n", pos,
				   synced, kind);
		record = cut(&b, length);
		if (kind == 1)
			layout_record(text, record);
		(void) cut(&b, (8 - length % 8) % 8);
	}
}

/* The log that a host has kept: lines of start, end and record. */
static inline void
layout_log(GoldenText *text, const TestRecord *log, size_t n)
{
	golden_say(text, "log\n");
	for (size_t i = 0; i < n; i++)
		layout_record(text, (Bytes){log[i].rec,
									(const uint8_t *) log[i].rec + log[i].len});
}

/* ---------------------------------------------------------------- directory */

static inline void
layout_file(GoldenText *text, const char *dir, const char *name)
{
	const char *base = strrchr(name, '/') + 1;
	char path[800];
	size_t bytes;
	uint8_t *p;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	p = file_read_all(path, &bytes);
	golden_say(text, " file %s\n", name);
	if (strncmp(base, "MANIFEST-", 9) == 0)
		layout_manifest(text, (Bytes){p, p + bytes});
	else if (strcmp(base, "CURRENT") == 0)
		layout_head(text, (Bytes){p, p + bytes});
	else if (strstr(base, ".sst"))
		layout_sst(text, (Bytes){p, p + bytes});
	else if (strstr(base, ".wal"))
		layout_segment(text, (Bytes){p, p + bytes});
	else
		CHECK(strstr(base, ".spare") != NULL);
	free(p);
}

/* All files below dir, by name. */
static inline void
layout_dir(GoldenText *text, const char *dir)
{
	static const char *const subdirs[] = {"INDEX", "SST", "WAL"};

	for (size_t i = 0; i < 3; i++)
	{
		struct dirent **names;
		char path[512];
		int n;

		snprintf(path, sizeof(path), "%s/%s", dir, subdirs[i]);
		n = scandir(path, &names, NULL, alphasort);
		for (int j = 0; j < n; j++)
		{
			snprintf(path, sizeof(path), "%s/%.200s", subdirs[i],
					 names[j]->d_name);
			if (names[j]->d_name[0] != '.')
				layout_file(text, dir, path);
			free(names[j]);
		}
		if (n >= 0)
			free(names);
	}
}

#endif /* FLOW_TEST_GOLDENLAYOUT_H */
