/*-------------------------------------------------------------------------
 * sst_damage_test.c
 *	  SSTables: damage, hostile bytes, operations that fail.
 *-------------------------------------------------------------------------
 */
#include "../sst_reader.h"
#include "ssts.h"
#include "testfile.h"

static uint8_t *
read_all(size_t *np)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;

	CHECK(f != NULL && fseek(f, 0, SEEK_END) == 0);
	*np = (size_t) ftell(f);
	rewind(f);
	p = rows_alloc(*np);
	CHECK(fread(p, 1, *np, f) == *np);
	fclose(f);
	return p;
}

/* What the cache has of the file is of another content now. */
static void
write_all(const uint8_t *p, size_t n)
{
	file_write_all(path, p, n);
	flowi_cache_forget(env, SPACE, ID);
}

static void
check_damaged(const Rows *rows, const Tombs *tombs)
{
	FlowStatus st = ssts_read_through(rows, tombs);

	CHECK(st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	CHECK(flow_last_error()->status == st);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	CHECK(strstr(flow_last_error()->message, "offset") != NULL);
	ssts_check_unpinned();
}

/* Has each segment a key between its first and its last, for which its filter
 * is asked? */
static bool
filters_asked(const Rows *rows)
{
	FlowSstReader *r;
	bool all = true;

	CHECK_OK(ssts_open(&r));
	for (uint32_t i = 0; i < r->nsegs; i++)
	{
		const FlowSpan *s = &r->segs[i].span;
		bool any = false;

		for (uint32_t k = 0; k < rows->n; k++)
		{
			const FlowRec *rec = &rows->rec[k];

			any |= flowi_key_cmp(s->first_key, s->first_bytes, rec->key,
								 rec->key_bytes) < 0 &&
				   flowi_key_cmp(rec->key, rec->key_bytes, s->last_key,
								 s->last_bytes) < 0;
		}
		all &= any;
	}
	all &= r->nsegs > 1;
	flowi_sst_close(r);
	return all;
}

/*
 * A few KB: some blocks packed, some not; several segments, each with a
 * filter that is asked; range tombstones.
 */
static void
make_small(Rows *rows, Tombs *tombs, CheckRandom *rnd, FlowCompression how,
		   bool columns)
{
	RowsSpec spec = {.n = 110,
					 .nkeys = 40,
					 .key_max = 10,
					 .value_max = 60,
					 .tomb_percent = 10,
					 .mortal_percent = 10};

	ssts_make_tombs(tombs, rnd, 5);
	ssts_usual_spec();
	sst_spec.block_bytes = 800;
	sst_spec.segment_blocks = 3;
	sst_spec.compression = how;
	for (;;)
	{
		if (columns)
		{
			ssts_use_columns(&spec, rnd);
			spec.odd_percent = 1;
			sst_spec.block_bytes = 60; /* as it is for rows */
		}
		rows_make(rows, rnd, &spec);
		CHECK_OK(ssts_write(rows, tombs, NULL));
		CHECK_OK(ssts_read_through(rows, tombs));
		if (filters_asked(rows) && (!columns || sst_spec.shape->ncolumns > 3))
			return;
		rows_free(rows);
	}
}

/* There are all kinds of frames, some compressed as they should be. */
static void
check_kinds(const uint8_t *file, size_t size, FlowCompression how, bool columns)
{
	unsigned formats = 0;
	unsigned kinds = 0;
	unsigned codecs = 0;
	size_t off = 0;

	for (; off < size - FOOT_BYTES;
		 off += FRAME_BYTES + flowi_get32(file + off + FRAME_STORED))
	{
		kinds |= 1u << file[off + FRAME_KIND];
		if (file[off + FRAME_KIND] == KIND_BLOCK)
			codecs |= 1u << file[off + FRAME_CODEC];
		if (file[off + FRAME_KIND] == KIND_BLOCK &&
			file[off + FRAME_CODEC] == FLOW_CODEC_NONE)
			formats |= 1u << file[off + FRAME_BYTES];
	}
	CHECK(off == size - FOOT_BYTES && kinds == 0x7e);
	/* numbers are the same */
	CHECK(columns ? formats >> FLOW_BLOCK_COLUMNS & 1 : codecs >> how & 1);
}

static void
test_damage(CheckRandom *rnd, FlowCompression how, bool columns)
{
	Rows rows;
	Tombs tombs;
	FlowSstReader *r;
	size_t size;
	uint8_t *file;

	make_small(&rows, &tombs, rnd, how, columns);
	file = read_all(&size);
	CHECK(size > 2000 && size < 24000);
	check_kinds(file, size, how, columns);
	for (size_t i = 0; i < size; i++)
	{
		uint8_t good = file[i];

		/* all bits of a byte with one codec, one with the others */
		for (int bit = how == FLOW_COMPRESS_LZ4 ? 0 : 8; bit < 9; bit++)
		{
			file[i] = bit < 8 ? (uint8_t) (good ^ 1 << bit) : (uint8_t) ~good;
			write_all(file, size);
			check_damaged(&rows, &tombs);
		}
		file[i] = good;
	}
	write_all(file, size);
	for (size_t len = size; len-- > 0;)
	{
		CHECK(truncate(path, (off_t) len) == 0);
		check_damaged(&rows, &tombs);
	}
	write_all(file, size);
	CHECK_OK(ssts_read_through(&rows, &tombs));

	CHECK(unlink(path) == 0);
	CHECK_STATUS(flowi_sst_open(env, path, SPACE, ID, STORE, &r), FLOW_CORRUPT);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	write_all(file, size);
	CHECK_STATUS(flowi_sst_open(env, path, SPACE, ID + 1, STORE, &r),
				 FLOW_CORRUPT);
	CHECK_STATUS(flowi_sst_open(env, path, SPACE, ID, STORE + 1, &r),
				 FLOW_CORRUPT);
	CHECK(r == NULL);
	free(file);
	rows_free(&rows);
	ssts_free_tombs(&tombs);
	check_passed("every flipped bit and every cut is found");
}

/* Give every frame and the footer the checksum that fits. */
static void
seal(const uint8_t *file, uint8_t *copy, size_t size)
{
	uint8_t *foot = copy + size - FOOT_BYTES;
	size_t off = 0;

	while (off < size - FOOT_BYTES)
	{
		size_t stored = flowi_get32(file + off + FRAME_STORED);

		flowi_put64(copy + off + FRAME_CHECKSUM,
					flowi_frame_checksum(copy + off, stored, ID, off));
		off += FRAME_BYTES + stored;
	}
	flowi_put64(foot + FOOT_CHECKSUM, XXH3_64bits(foot, FOOT_CHECKSUM));
}

/* As ssts_read_through, but what comes may be anything. */
static FlowStatus
read_anything(const Rows *rows)
{
	FlowSeek to = {.unbounded = true};
	FlowSstReader *r;
	FlowStatus st = FLOW_OK;
	uint64_t sum = 0;
	uint32_t n;

	FLOW_TRY(ssts_open(&r));
	for (const FlowTomb *t = flowi_sst_tombs(r, &n); n > 0; n--, t++)
		sum += t->rect.key_lo_bytes ? t->rect.key_lo[0] : 0;
	for (int reverse = 0; reverse < 2; reverse++)
	{
		FlowSstIterOptions o = ssts_all(reverse);
		FlowIter *it;

		CHECK_OK(flowi_sst_iter(r, &o, &it));
		for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		{
			st = flowi_iter_value(it);
			if (st != FLOW_OK)
				break;
			for (uint32_t i = 0; i < it->cur.value_bytes; i++)
				sum += it->cur.value[i];
		}
		if (st == FLOW_END)
			for (uint32_t i = 0; i < rows->n; i += 11)
			{
				FlowRec *rec = &rows->rec[i];

				st = it->seek(it, &(FlowSeek){.key = rec->key,
											  .key_bytes = rec->key_bytes,
											  .ts = rec->ts});
				if (st != FLOW_OK && st != FLOW_END)
					break;
				if (st == FLOW_OK)
					sum += it->cur.key_bytes ? it->cur.key[0] : 0;
			}
		it->free(it);
		if (st != FLOW_OK && st != FLOW_END)
			break;
	}
	for (uint32_t i = 0; i < rows->n; i++)
	{
		FlowSstIterOptions o = ssts_all(false);
		bool may;
		FlowStatus asked = flowi_sst_may_contain(
			r, rows->rec[i].key, rows->rec[i].key_bytes, &o, &may);

		CHECK(asked == FLOW_OK || asked == FLOW_CORRUPT);
	}
	flowi_sst_close(r);
	CHECK(sum != 1); /* keep the compiler from leaving the reads out */
	return st == FLOW_END ? FLOW_OK : st;
}

/* Damage with checksums that fit: no crash, whatever comes. */
static void
test_hostile(CheckRandom *rnd, FlowCompression how, bool columns)
{
	Rows rows;
	Tombs tombs;
	size_t size;
	uint8_t *file, *copy;

	make_small(&rows, &tombs, rnd, how, columns);
	file = read_all(&size);
	copy = rows_alloc(size);
	for (int i = 0; i < 8000; i++)
	{
		/* half of it behind the blocks, where the indexes are */
		size_t at = check_below(rnd, 2) ? check_below(rnd, size)
										: size - 1 - check_below(rnd, size / 4);
		FlowStatus st;

		memcpy(copy, file, size);
		copy[at] = check_below(rnd, 2) ? (uint8_t) check_random(rnd)
									   : (uint8_t) check_below(rnd, 4);
		seal(file, copy, size);
		write_all(copy, size);
		st = read_anything(&rows);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH);
		ssts_check_unpinned();
	}
	free(copy);
	free(file);
	rows_free(&rows);
	ssts_free_tombs(&tombs);
	check_passed("hostile bytes under good checksums");
}

/* A frame that claims to be huge is refused before memory is taken. */
static size_t most_asked;
static void *(*real_alloc)(FlowEnv *e, size_t size);

static void *
watch_alloc(FlowEnv *e, size_t size)
{
	most_asked = FLOW_MAX(most_asked, size);
	return real_alloc(e, size);
}

static void
test_claims(CheckRandom *rnd)
{
	static const FlowCompression hows[] = {
		FLOW_COMPRESS_NONE, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD};

	for (size_t h = 0; h < 3; h++)
	{
		Rows rows;
		Tombs tombs;
		size_t size;
		uint8_t *file, *copy;

		make_small(&rows, &tombs, rnd, hows[h], false);
		file = read_all(&size);
		copy = rows_alloc(size);
		for (size_t off = 0; off < size - FOOT_BYTES;
			 off += FRAME_BYTES + flowi_get32(file + off + FRAME_STORED))
		{
			memcpy(copy, file, size);
			flowi_put32(copy + off + FRAME_RAW, 1u << 30);
			seal(file, copy, size);
			write_all(copy, size);
			real_alloc = env->alloc;
			most_asked = 0;
			env->alloc = watch_alloc;
			check_damaged(&rows, &tombs);
			env->alloc = real_alloc;
			CHECK(most_asked < 200000);
		}
		free(copy);
		free(file);
		rows_free(&rows);
		ssts_free_tombs(&tombs);
	}
	check_passed("absurd sizes");
}

/* --- faults --- */

static FlowStatus
write_and_read(const Rows *rows, const Tombs *tombs)
{
	FLOW_TRY(ssts_write(rows, tombs, NULL));
	return ssts_read_through(rows, tombs);
}

static void
test_faults(CheckRandom *rnd, bool columns)
{
	static const FlowPosixOp ops[] = {FLOW_POSIX_OPEN, FLOW_POSIX_READ,
									  FLOW_POSIX_WRITE, FLOW_POSIX_SYNC,
									  FLOW_POSIX_ALLOC};
	RowsSpec spec = {.n = 3000, .nkeys = 400, .key_max = 10, .value_max = 400};
	Rows rows;
	Tombs tombs;

	ssts_usual_spec();
	if (columns)
		ssts_use_columns(&spec, rnd);
	rows_make(&rows, rnd, &spec);
	ssts_make_tombs(&tombs, rnd, 50);
	sst_spec.block_bytes = 4000;
	sst_spec.segment_blocks = 40;
	sst_spec.compression = FLOW_COMPRESS_ZSTD;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		FlowStatus st;
		uint64_t nth = 0;

		do
		{
			flow_env_posix_fail(env, ops[i], ++nth, 1, 5 /* EIO */);
			st = write_and_read(&rows, &tombs);
			CHECK(st == FLOW_OK ||
				  st == (ops[i] == FLOW_POSIX_ALLOC ? FLOW_NOMEM : FLOW_IOERR));
			ssts_check_unpinned();
		} while (st != FLOW_OK);
		flow_env_posix_fail(env, ops[i], 1, 0, 0);
		CHECK(nth > 1);
	}
	rows_free(&rows);
	ssts_free_tombs(&tombs);
	check_passed("each operation failing once");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	ssts_begin("sst_damage_test", 1 << 20);
	test_claims(&rnd);
	for (int columns = 0; columns < 2; columns++)
	{
		test_faults(&rnd, columns);
		test_damage(&rnd, FLOW_COMPRESS_NONE, columns);
		test_damage(&rnd, FLOW_COMPRESS_LZ4, columns);
		test_damage(&rnd, FLOW_COMPRESS_ZSTD, columns);
		test_hostile(&rnd, FLOW_COMPRESS_NONE, columns);
		test_hostile(&rnd, FLOW_COMPRESS_LZ4, columns);
		test_hostile(&rnd, FLOW_COMPRESS_ZSTD, columns);
	}
	ssts_end();
	return 0;
}
