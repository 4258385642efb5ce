/*-------------------------------------------------------------------------
 * sst_parts_test.c
 *	  SSTables: range tombstones, filters, compression, the writer's memory.
 *-------------------------------------------------------------------------
 */
#include <malloc.h>

#include "../sst_format.h"
#include "ssts.h"
#include "textdata.h"

/* --- range tombstones --- */

static void
check_cover(const Tombs *tombs, const FlowRect *cover)
{
	int64_t ts_lo = INT64_MAX, ts_hi = INT64_MIN;
	bool lo_met = false, hi_met = false, open = false;

	for (uint32_t i = 0; i < tombs->n; i++)
	{
		const FlowRect *r = &tombs->tomb[i].rect;
		int c = flowi_key_cmp(cover->key_lo, cover->key_lo_bytes, r->key_lo,
							  r->key_lo_bytes);

		ts_lo = FLOW_MIN(ts_lo, r->ts_lo);
		ts_hi = FLOW_MAX(ts_hi, r->ts_hi);
		CHECK(c <= 0);
		lo_met |= c == 0;
		open |= r->key_hi == NULL;
		if (cover->key_hi == NULL || r->key_hi == NULL)
			continue;
		c = flowi_key_cmp(cover->key_hi, cover->key_hi_bytes, r->key_hi,
						  r->key_hi_bytes);
		CHECK(c >= 0);
		hi_met |= c == 0;
	}
	CHECK(lo_met && open == (cover->key_hi == NULL) && (open || hi_met));
	CHECK(cover->ts_lo == ts_lo && cover->ts_hi == ts_hi);
}

static void
check_tombs(const Rows *rows, const Tombs *tombs)
{
	uint64_t seq_min = UINT64_MAX, seq_max = 0;
	const FlowSstInfo *info;
	FlowSstInfo wrote;
	FlowSstReader *r;

	CHECK_OK(ssts_write(rows, tombs, &wrote));
	CHECK_OK(ssts_read_through(rows, tombs));
	for (uint32_t i = 0; i < rows->n; i++)
	{
		seq_min = FLOW_MIN(seq_min, rows->rec[i].seq);
		seq_max = FLOW_MAX(seq_max, rows->rec[i].seq);
	}
	for (uint32_t i = 0; i < tombs->n; i++)
	{
		seq_min = FLOW_MIN(seq_min, tombs->tomb[i].seq);
		seq_max = FLOW_MAX(seq_max, tombs->tomb[i].seq);
	}
	CHECK_OK(ssts_open(&r));
	info = flowi_sst_info(r);
	CHECK(info->ntombs == tombs->n && wrote.ntombs == tombs->n);
	CHECK(info->seq_min == seq_min && info->seq_max == seq_max);
	CHECK(wrote.seq_min == seq_min && wrote.seq_max == seq_max);
	CHECK(info->records == rows->n);
	CHECK(info->file_bytes == wrote.file_bytes);
	check_cover(tombs, &info->cover);
	if (rows->n == 0)
	{
		CHECK(info->keys == 0 && info->key_min_bytes == 0 &&
			  info->key_max_bytes == 0 && info->key_min && info->key_max);
		CHECK(info->ts_min == INT64_MAX && info->ts_max == INT64_MIN);
		CHECK(info->expire_min == INT64_MAX && info->expire_max == INT64_MIN);
		CHECK(wrote.ts_min == INT64_MAX && wrote.ts_max == INT64_MIN);
	}
	flowi_sst_close(r);
}

static void
test_tombs(CheckRandom *rnd)
{
	for (int round = 0; round < 60; round++)
	{
		RowsSpec spec = {.n = 200, .nkeys = 20, .key_max = 20, .value_max = 30};
		Rows rows = {0};
		Tombs tombs;

		if (round % 3)
			rows_make(&rows, rnd, &spec);
		ssts_make_tombs(
			&tombs, rnd,
			1 + 7 * (uint32_t) check_below(rnd, round % 2 ? 2 : 70));
		check_tombs(&rows, &tombs);
		rows_free(&rows);
		ssts_free_tombs(&tombs);
	}
	check_passed("range tombstones, with and without records");
}

static void
test_tomb_rules(void)
{
	FlowTomb t = {.rect = {.ts_lo = 5, .ts_hi = 3}, .seq = 9};
	static const uint8_t big[FLOW_MAX_KEY + 1];
	const FlowTomb *tombs;
	FlowSstIterOptions o = ssts_all(false);
	FlowSstWriter *w;
	FlowSstReader *r;
	FlowSstInfo info;
	FlowIter *it;
	uint32_t n;
	bool may;

	CHECK_OK(flowi_sst_create(env, path, &sst_spec, &w));
	t.rect.key_lo = big;
	t.rect.key_lo_bytes = sizeof(big);
	CHECK_STATUS(flowi_sst_add_tomb(w, &t), FLOW_INVALID);
	t.rect.key_lo_bytes = 0;
	t.rect.key_hi = big;
	t.rect.key_hi_bytes = sizeof(big);
	CHECK_STATUS(flowi_sst_add_tomb(w, &t), FLOW_INVALID);
	CHECK_STATUS(flowi_sst_finish(w, &info), FLOW_INVALID);
	/* an empty one is kept as it is: its file must not be refused */
	t.rect.key_lo = t.rect.key_hi = NULL;
	t.rect.key_hi_bytes = 0;
	CHECK_OK(flowi_sst_add_tomb(w, &t));
	CHECK_OK(flowi_sst_finish(w, &info));
	CHECK(info.ntombs == 1 && info.cover.key_hi == NULL);
	flowi_sst_writer_free(w);

	CHECK_OK(ssts_open(&r));
	tombs = flowi_sst_tombs(r, &n);
	CHECK(n == 1 && flowi_rect_empty(&tombs[0].rect));
	CHECK_OK(flowi_sst_may_contain(r, big, 0, &o, &may));
	CHECK(!may);
	for (int reverse = 0; reverse < 2; reverse++)
	{
		o.reverse = reverse;
		CHECK_OK(flowi_sst_iter(r, &o, &it));
		CHECK_STATUS(it->seek(it, &(FlowSeek){.unbounded = true}), FLOW_END);
		CHECK_STATUS(it->seek(it, &(FlowSeek){.key = big, .key_bytes = 3}),
					 FLOW_END);
		flowi_sst_iter_pause(it);
		CHECK_OK(flowi_sst_iter_resume(it));
		it->free(it);
	}
	flowi_sst_close(r);
	check_passed("rules of range tombstones");
}

/* --- filters --- */

/* n rows of one key each; every second key of those that key_of makes. */
static size_t
key_of(uint32_t i, char key[16])
{
	return (size_t) snprintf(key, 16, "key_%07u", i);
}

static void
make_keys(Rows *rows, uint32_t n)
{
	rows->n = n;
	rows->rec = rows_alloc(n * sizeof(FlowRec));
	for (uint32_t i = 0; i < n; i++)
	{
		char key[16];
		size_t bytes = key_of(2 * i, key);

		rows->rec[i] = (FlowRec){.key = rows_alloc(bytes),
								 .key_bytes = (uint32_t) bytes,
								 .value = rows_alloc(1),
								 .value_bytes = 0,
								 .expire_at = FLOW_NEVER,
								 .seq = 1 + i};
		memcpy((uint8_t *) rows->rec[i].key, key, bytes);
	}
	rows_set_order(rows);
}

static bool
may_contain(FlowSstReader *r, uint32_t i)
{
	FlowSstIterOptions o = ssts_all(false);
	char key[16];
	size_t n = key_of(i, key);
	bool may;

	CHECK_OK(flowi_sst_may_contain(r, (const uint8_t *) key, (uint32_t) n, &o,
								   &may));
	return may;
}

static void
test_filters(void)
{
	enum
	{
		N = 200000
	};
	Rows rows;
	FlowSstReader *r;
	uint32_t wrong = 0;
	uint64_t reads;

	make_keys(&rows, N);
	ssts_usual_spec();
	sst_spec.block_bytes = 16384;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	reads = flow_env_posix_calls(env, FLOW_POSIX_READ);
	for (uint32_t i = 0; i < N; i++)
		CHECK(may_contain(r, 2 * i));
	for (uint32_t i = 0; i < N - 1; i++)
		wrong += may_contain(r, 2 * i + 1);
	/* segments end at 64 K keys, so there are four; keys come in order */
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_READ) - reads <= 8);
	printf("# false answers: %.2f %%\n", 100.0 * wrong / N);
	CHECK(wrong < N / 50);
	CHECK(!may_contain(r, 2 * N) && !may_contain(r, 9999999));
	flowi_sst_close(r);

	/* without filters only the bounds tell */
	rows_free(&rows);
	make_keys(&rows, 1000);
	sst_spec.bloom_bits_per_key = 0;
	CHECK_OK(ssts_write(&rows, NULL, NULL));
	CHECK_OK(ssts_open(&r));
	CHECK(may_contain(r, 1) && !may_contain(r, 2000));
	flowi_sst_close(r);
	rows_free(&rows);
	ssts_usual_spec();
	check_passed("filters");
}

/* --- compression --- */

static void
test_codecs(void)
{
	static const FlowCompression hows[] = {
		FLOW_COMPRESS_NONE, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD};
	uint64_t bytes[4];
	Rows rows;

	ssts_make_series(&rows, 5000, 100);
	sst_spec.block_bytes = 16384;
	for (int i = 0; i < 4; i++)
	{
		FlowSstInfo info;

		sst_spec.compression = hows[FLOW_MIN(i, 2)];
		sst_spec.zstd_level = i == 3 ? 19 : 1;
		CHECK_OK(ssts_write(&rows, NULL, &info));
		CHECK_OK(ssts_read_through(&rows, NULL));
		bytes[i] = info.file_bytes;
	}
	printf("# none %" PRIu64 ", lz4 %" PRIu64 ", zstd 1 %" PRIu64
		   ", zstd 19 %" PRIu64 "\n",
		   bytes[0], bytes[1], bytes[2], bytes[3]);
	CHECK(bytes[0] > bytes[1] && bytes[1] > bytes[2] && bytes[2] >= bytes[3]);
	rows_free(&rows);
	ssts_usual_spec();
	check_passed("codecs");
}

/* --- packed blocks --- */

/* Block frames of the file that have each codec. */
static void
count_codecs(uint32_t n[4])
{
	FILE *f = fopen(path, "rb");
	uint8_t frame[FRAME_BYTES];
	long off = 0;

	memset(n, 0, 4 * sizeof(*n));
	CHECK(f != NULL);
	while (fread(frame, 1, sizeof(frame), f) == sizeof(frame) &&
		   frame[FRAME_KIND] != KIND_PROPERTIES)
	{
		CHECK(frame[FRAME_CODEC] <= FLOW_CODEC_BLOCK);
		n[frame[FRAME_CODEC]] += frame[FRAME_KIND] == KIND_BLOCK;
		off += FRAME_BYTES + (long) flowi_get32(frame + FRAME_STORED);
		CHECK(fseek(f, off, SEEK_SET) == 0);
	}
	fclose(f);
}

/* Documents, then bytes without a pattern, then documents. */
static void
make_documents(Rows *rows, CheckRandom *r)
{
	ssts_make_series(rows, 60000, 0);
	for (uint32_t i = 0; i < rows->n; i++)
	{
		bool plain = i / 20000 == 1;
		char text[TEXT_MAX];
		size_t n = text_make(plain ? TEXT_RANDOM : TEXT_JSON, r, i, text);

		free((void *) rows->rec[i].value);
		rows->rec[i].value = memcpy(rows_alloc(n), text, n);
		rows->rec[i].value_bytes = (uint32_t) n;
	}
}

static void
test_packed(CheckRandom *r)
{
	uint32_t zstd[4], lz4[4];
	FlowSstInfo small, large;
	Rows rows;

	make_documents(&rows, r);
	sst_spec.block_bytes = 16384;
	sst_spec.compression = FLOW_COMPRESS_LZ4;
	CHECK_OK(ssts_write(&rows, NULL, &large));
	CHECK_OK(ssts_read_through(&rows, NULL));
	count_codecs(lz4);
	sst_spec.compression = FLOW_COMPRESS_ZSTD;
	CHECK_OK(ssts_write(&rows, NULL, &small));
	CHECK_OK(ssts_read_through(&rows, NULL));
	count_codecs(zstd);
	printf("# %u packed, %u not\n", zstd[FLOW_CODEC_BLOCK],
		   zstd[FLOW_CODEC_NONE] + zstd[FLOW_CODEC_ZSTD]);
	CHECK(lz4[FLOW_CODEC_BLOCK] == 0); /* it is for files of zstd */
	CHECK(zstd[FLOW_CODEC_BLOCK] > 200 &&
		  zstd[FLOW_CODEC_NONE] + zstd[FLOW_CODEC_ZSTD] > 20);
	CHECK(small.file_bytes < large.file_bytes - large.file_bytes / 4);
	rows_free(&rows);
	ssts_usual_spec();
	check_passed("packed blocks, and those that are not");
}

/* --- memory --- */

static void *(*real_alloc)(FlowEnv *e, size_t size);
static void *(*real_realloc)(FlowEnv *e, void *p, size_t size);
static void (*real_free)(FlowEnv *e, void *p);
static size_t in_use, peak;

static void *
count_alloc(FlowEnv *e, size_t size)
{
	void *p = real_alloc(e, size);

	in_use += malloc_usable_size(p);
	peak = FLOW_MAX(peak, in_use);
	return p;
}

static void *
count_realloc(FlowEnv *e, void *p, size_t size)
{
	in_use -= malloc_usable_size(p);
	p = real_realloc(e, p, size);
	in_use += malloc_usable_size(p);
	peak = FLOW_MAX(peak, in_use);
	return p;
}

static void
count_free(FlowEnv *e, void *p)
{
	in_use -= malloc_usable_size(p);
	real_free(e, p);
}

static void
count_memory(bool on)
{
	if (on)
	{
		real_alloc = env->alloc;
		real_realloc = env->realloc;
		real_free = env->free;
	}
	env->alloc = on ? count_alloc : real_alloc;
	env->realloc = on ? count_realloc : real_realloc;
	env->free = on ? count_free : real_free;
	in_use = peak = 0;
}

/* Write n rows without keeping them; the writer's peak. */
static size_t
write_many(uint32_t n)
{
	FlowSstWriter *w;
	FlowSstInfo info;
	uint64_t syncs = flow_env_posix_calls(env, FLOW_POSIX_SYNC);
	uint8_t value[64];
	size_t most;

	flowi_cache_forget(env, SPACE, ID);
	count_memory(true);
	CHECK_OK(flowi_sst_create(env, path, &sst_spec, &w));
	for (uint32_t i = 0; i < n; i++)
	{
		char key[16];
		FlowRec rec = {.key = (const uint8_t *) key,
					   .key_bytes = (uint32_t) key_of(i / 4, key),
					   .ts = i % 4,
					   .expire_at = FLOW_NEVER,
					   .seq = 1 + i,
					   .value = value,
					   .value_bytes = sizeof(value)};

		for (size_t k = 0; k < sizeof(value); k++)
			value[k] = (uint8_t) ((i * 2654435761u) >> (k % 24));
		CHECK_OK(flowi_sst_add(w, &rec));
		if (i % 1000 == 0)
			CHECK(flowi_sst_written(w) <= (uint64_t) n * 200);
	}
	CHECK_OK(flowi_sst_finish(w, &info));
	CHECK(flow_env_posix_calls(env, FLOW_POSIX_SYNC) - syncs ==
		  1 + info.file_bytes / (16u << 20));
	flowi_sst_writer_free(w);
	CHECK(in_use == 0);
	most = peak;
	count_memory(false);
	return most;
}

/* What the writer needs grows by an entry a segment, and by nothing else. */
static void
test_writer_memory(void)
{
	size_t few, many, segments;

	sst_spec.block_bytes = 2048;
	sst_spec.compression = FLOW_COMPRESS_NONE;
	few = write_many(100000);
	many = write_many(400000);
	/* 26 rows a block, 128 blocks a segment */
	segments = 300000 / (20 * 128);
	printf("# writer's peak: %zu bytes, of four times the file %zu\n", few,
		   many);
	CHECK(few < 1000000);
	/* a buffer may be twice as large as what is in it, and in two places
	 * while it grows */
	CHECK(many <= few + segments * (TOP_BYTES + 2 * 16) * 3);
	ssts_usual_spec();
	check_passed("the writer's memory does not grow with the file");
}

/* Nor does what an open file needs. */
static void
test_reader_memory(void)
{
	FlowSstReader *r;
	FlowSstIterOptions o = ssts_all(false);
	FlowIter *it;
	FlowStatus st;
	uint32_t n = 0;

	count_memory(true);
	CHECK_OK(ssts_open(&r));
	CHECK(in_use < 100000);
	o.no_fill_cache = true;
	CHECK_OK(flowi_sst_iter(r, &o, &it));
	for (st = it->seek(it, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
		 st = it->next(it))
		n++;
	CHECK(st == FLOW_END && n == 400000);
	CHECK(peak < 100000 + 800000);
	it->free(it);
	flowi_sst_close(r);
	CHECK(in_use == 0);
	count_memory(false);
	check_passed("nor that of a reader");
}

int
main(int argc, char **argv)
{
	CheckRandom rnd = check_seed(argc, argv);

	ssts_begin("sst_parts_test", 1 << 20);
	test_tombs(&rnd);
	test_tomb_rules();
	test_filters();
	test_codecs();
	test_packed(&rnd);
	test_writer_memory();
	test_reader_memory();
	ssts_end();
	return 0;
}
