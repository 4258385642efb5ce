/*-------------------------------------------------------------------------
 * fuzz_sst.c
 *	  A whole SSTable: opened, scanned both ways, searched.
 *
 * The input is run as it is, which mostly ends at a checksum, and with all
 * checksums made right, which reaches what lies behind.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "../cache.h"
#include "../sst_format.h"
#include "../test/rows.h"

#define PATH "SST/0000000000000007.sst"
#define FILE_ID 7
#define STORE_ID 3
#define MAX_KEPT 300u

/* What a scan has seen: the first rows, copied, and how many there were. */
typedef struct Seen
{
	Rows rows; /* order is not made */
	uint64_t n;
	FlowStatus st; /* how it ended */
} Seen;

/* Frames stand back to back; the footer is the end. */
static void
fix_checksums(uint8_t *file, size_t bytes)
{
	size_t off = 0;
	uint8_t *foot;

	if (bytes < FOOT_BYTES)
		return;
	foot = file + bytes - FOOT_BYTES;
	while (off + FRAME_BYTES <= bytes - FOOT_BYTES)
	{
		uint32_t stored = flowi_get32(file + off + FRAME_STORED);

		if (stored > bytes - FOOT_BYTES - off - FRAME_BYTES)
			break;
		flowi_put64(file + off + FRAME_CHECKSUM,
					flowi_frame_checksum(file + off, stored, FILE_ID, off));
		off += FRAME_BYTES + (size_t) stored;
	}
	flowi_put64(foot + FOOT_CHECKSUM, XXH3_64bits(foot, FOOT_CHECKSUM));
}

static void
keep(Seen *seen, const FlowRec *rec)
{
	FlowRec *to = &seen->rows.rec[seen->n];

	if (seen->n++ >= MAX_KEPT)
		return;
	*to = *rec;
	to->key = rows_alloc(rec->key_bytes);
	if (rec->key_bytes > 0)
		memcpy((uint8_t *) to->key, rec->key, rec->key_bytes);
	to->value = rec->value ? rows_alloc(rec->value_bytes) : NULL;
	if (rec->value_bytes > 0)
		memcpy((uint8_t *) to->value, rec->value, rec->value_bytes);
}

static void
drop(Seen *seen)
{
	for (uint64_t i = 0; i < FLOW_MIN(seen->n, MAX_KEPT); i++)
	{
		free((void *) seen->rows.rec[i].key);
		free((void *) seen->rows.rec[i].value);
	}
	free(seen->rows.rec);
}

/* Is rec right behind last, in that direction?  The versions of an identity
 * come newest first in both. */
static bool
in_order(const FlowRec *last, const FlowRec *rec, bool reverse)
{
	int c = flowi_identity_cmp(last->key, last->key_bytes, last->ts, rec->key,
							   rec->key_bytes, rec->ts);

	if (c == 0)
		return last->seq > rec->seq;
	return reverse ? c > 0 : c < 0;
}

static void
check_rec(const FlowSstInfo *info, const FlowRec *rec)
{
	FUZZ_CHECK(rec->key_bytes <= FLOW_MAX_KEY &&
			   rec->value_bytes <= FLOW_MAX_VALUE);
	FUZZ_CHECK(rec->op == FLOW_PUT ||
			   (rec->op == FLOW_DELETE && rec->value_bytes == 0));
	FUZZ_CHECK(flowi_key_cmp(info->key_min, info->key_min_bytes, rec->key,
							 rec->key_bytes) <= 0 &&
			   flowi_key_cmp(rec->key, rec->key_bytes, info->key_max,
							 info->key_max_bytes) <= 0);
}

/* All of the file one way; it pauses now and then as a cursor does. */
static void
scan(FlowSstReader *r, const FlowSstIterOptions *o, Seen *seen)
{
	static FuzzBytes key; /* of last: cur's may be gone after a pause */
	FlowSeek first = {.unbounded = true};
	FlowRec last = {0};
	FlowIter *it;

	*seen = (Seen){{NULL, 0, {NULL, NULL}}, 0, FLOW_OK};
	seen->rows.rec = rows_alloc(MAX_KEPT * sizeof(FlowRec));
	seen->st = flowi_sst_iter(r, o, &it);
	if (seen->st != FLOW_OK)
		return;
	seen->st = it->seek(it, &first);
	while (seen->st == FLOW_OK)
	{
		seen->st = flowi_iter_value(it);
		if (seen->st != FLOW_OK)
			break;
		check_rec(flowi_sst_info(r), &it->cur);
		FUZZ_CHECK(seen->n == 0 || in_order(&last, &it->cur, o->reverse));
		keep(seen, &it->cur);
		last = it->cur;
		fuzz_bytes_set(&key, last.key, last.key_bytes);
		last.key = key.data;
		if (seen->n % 16 == 0)
		{
			flowi_sst_iter_pause(it);
			seen->st = flowi_sst_iter_resume(it);
		}
		if (seen->st == FLOW_OK)
			seen->st = it->next(it);
	}
	it->free(it);
}

/* The rows of a scan that came to its end, in the other direction too, and
 * searched. */
static void
check_whole(FlowSstReader *r, const Seen *forward, CheckRandom *random)
{
	FlowSstIterOptions o = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	Rows rows = {forward->rows.rec, (uint32_t) forward->n, {NULL, NULL}};
	FlowIter *it;
	Seen back;

	rows_set_order(&rows);
	o.reverse = true;
	scan(r, &o, &back);
	fuzz_check_status(back.st);
	FUZZ_CHECK(back.st != FLOW_END || back.n == rows.n);
	for (uint32_t i = 0; i < back.n; i++)
		rows_check_rec(&back.rows.rec[i], &rows.rec[rows.order[1][i]]);
	drop(&back);
	for (int i = 0; i < 20; i++)
	{
		FlowSeek to;
		uint32_t at;
		FlowStatus st;

		o.reverse = i % 2;
		rows_random_seek(&rows, random, &to);
		at = rows_find(&rows, o.reverse, &to);
		st = flowi_sst_iter(r, &o, &it);
		if (st != FLOW_OK)
		{
			fuzz_check_status(st);
			break;
		}
		st = it->seek(it, &to);
		fuzz_check_status(st);
		FUZZ_CHECK(st != FLOW_END || at == rows.n);
		if (st == FLOW_OK)
		{
			FUZZ_CHECK(at < rows.n);
			st = flowi_iter_value(it);
			fuzz_check_status(st);
		}
		if (st == FLOW_OK)
			rows_check_rec(&it->cur, &rows.rec[rows.order[o.reverse][at]]);
		it->free(it);
	}
	free(rows.order[0]);
	free(rows.order[1]);
}

static void
check_tombs(const FlowSstReader *r)
{
	uint32_t n;
	const FlowTomb *tombs = flowi_sst_tombs(r, &n);

	FUZZ_CHECK(n == flowi_sst_info(r)->ntombs);
	for (uint32_t i = 0; i < n; i++)
	{
		const FlowRect *rect = &tombs[i].rect;

		FUZZ_CHECK(i == 0 || tombs[i - 1].seq >= tombs[i].seq);
		FUZZ_CHECK(rect->key_lo_bytes <= FLOW_MAX_KEY &&
				   rect->key_hi_bytes <= FLOW_MAX_KEY);
		(void) fuzz_sum(fuzz_sum(0, rect->key_lo, rect->key_lo_bytes),
						rect->key_hi, rect->key_hi ? rect->key_hi_bytes : 0);
	}
}

/* What has no result to hold it against: only that it is safe. */
static void
touch(FlowSstReader *r, const Seen *seen)
{
	FlowSstIterOptions o = {.ts_lo = 1000,
							.ts_hi = 20000,
							.no_fill_cache = true,
							.no_verify = true};
	Seen part;

	for (uint64_t i = 0; i < FLOW_MIN(seen->n, 20); i++)
	{
		bool may;

		fuzz_check_status(flowi_sst_may_contain(
			r, seen->rows.rec[i].key, seen->rows.rec[i].key_bytes, &o, &may));
	}
	for (int i = 0; i < 2; i++)
	{
		o.reverse = i;
		scan(r, &o, &part);
		fuzz_check_status(part.st);
		drop(&part);
	}
}

static void
check_file(FlowEnv *env, const uint8_t *data, size_t size)
{
	FlowSstIterOptions o = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	CheckRandom random = {XXH3_64bits(data, size)};
	FlowSstReader *r;
	FlowStatus st;
	Seen seen;

	fuzz_put_file(PATH, data, size);
	st = flowi_sst_open(env, PATH, flowi_cache_new_space(env), FILE_ID,
						STORE_ID, &r);
	fuzz_check_status(st);
	if (st != FLOW_OK)
	{
		FUZZ_CHECK(r == NULL);
		return;
	}
	check_tombs(r);
	scan(r, &o, &seen);
	fuzz_check_status(seen.st);
	if (seen.st == FLOW_END)
	{
		fuzz_decoded++;
		FUZZ_CHECK(seen.n == flowi_sst_info(r)->records);
		if (seen.n > 0 && seen.n <= MAX_KEPT)
			check_whole(r, &seen, &random);
	}
	touch(r, &seen);
	drop(&seen);
	flowi_sst_close(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FuzzBytes fixed;
	FlowEnv *env = fuzz_begin(data, size);

	check_file(env, data, size);
	fuzz_bytes_set(&fixed, data, size);
	fix_checksums(fixed.data, size);
	check_file(env, fixed.data, size);
	fuzz_end();
	return 0;
}

/* ----------------------------------------------------------------- seeds */

static void
write_rows(FlowSstWriter *w, CheckRandom *r, const RowsSpec *spec)
{
	Rows rows;

	rows_make(&rows, r, spec);
	for (uint32_t i = 0; i < rows.n; i++)
		FUZZ_CHECK(flowi_sst_add(w, &rows.rec[i]) == FLOW_OK);
	rows_free(&rows);
}

/* Some range tombstones. */
static void
add_tombs(FlowSstWriter *w, CheckRandom *r)
{
	uint64_t n = 1 + check_below(r, 6);

	for (uint64_t i = 0; i < n; i++)
	{
		FlowTomb tomb = {.rect = {.key_lo = (const uint8_t *) "abcabc",
								  .key_lo_bytes = (uint32_t) check_below(r, 6),
								  .ts_lo = -(int64_t) check_below(r, 9),
								  .ts_hi = (int64_t) check_below(r, 90000)},
						 .seq = 1 + check_below(r, 100000)};

		if (check_below(r, 4) != 0)
		{
			tomb.rect.key_hi = (const uint8_t *) "bcabca";
			tomb.rect.key_hi_bytes = 6;
		}
		FUZZ_CHECK(flowi_sst_add_tomb(w, &tomb) == FLOW_OK);
	}
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);
	RowsSpec spec = {.n = 1 + (uint32_t) check_below(r, 150),
					 .nkeys = 1 + (uint32_t) check_below(r, 20),
					 .key_max = 12,
					 .value_max = (uint32_t) check_below(r, 60),
					 .extreme = check_below(r, 3) == 0,
					 .tomb_percent = (uint32_t) check_below(r, 2) * 30,
					 .mortal_percent = (uint32_t) check_below(r, 3) * 50};
	FlowSstSpec sst = {.id = FILE_ID,
					   .store_id = STORE_ID,
					   .block_bytes = 200 + (uint32_t) check_below(r, 1000),
					   .bloom_bits_per_key = 10,
					   .compression = (FlowCompression) check_below(r, 3),
					   .zstd_level = 1,
					   .segment_blocks = 1 + (uint32_t) check_below(r, 6)};
	FlowColumn columns[ROWS_MAX_COLUMNS];
	FlowShape shape;
	FlowSstWriter *w;
	FlowSstInfo info;
	const uint8_t *file;
	size_t bytes;

	rows_make_shape(&shape, columns, r);
	if (check_below(r, 2))
	{
		sst.block_bytes /= 8;
		sst.shape = spec.shape = &shape;
		spec.narrow_percent = 50 * (uint32_t) check_below(r, 2);
		spec.odd_percent = (uint32_t) check_below(r, 2);
	}
	if (check_below(r, 2)) /* so that a change reaches the decoders */
		sst.compression = FLOW_COMPRESS_NONE;
	FUZZ_CHECK(flowi_sst_create(env, PATH, &sst, &w) == FLOW_OK);
	if (check_below(r, 8) != 0)
		write_rows(w, r, &spec);
	else
		spec.n = 0;
	if (spec.n == 0 || check_below(r, 3) == 0)
		add_tombs(w, r);
	FUZZ_CHECK(flowi_sst_finish(w, &info) == FLOW_OK);
	flowi_sst_writer_free(w);
	file = fuzz_get_file(PATH, &bytes);
	fuzz_bytes_set(out, file, bytes);
	fuzz_end();
}
