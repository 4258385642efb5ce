/*-------------------------------------------------------------------------
 * ssts.h
 *	  What the tests of SSTables share: write rows and range tombstones into
 *	  a file, read them back.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_SSTS_H
#define FLOW_TEST_SSTS_H

#include <unistd.h>

#include "../cache.h"
#include "../env_posix.h"
#include "../sst.h"
#include "rows.h"

#define ID 7
#define STORE 3
#define SPACE 11

static FlowEnv *env;
static char dir[64];
static char path[256];

/* How the next file is written; a test changes what it wants to. */
static FlowSstSpec sst_spec;

static inline void
ssts_usual_spec(void)
{
	sst_spec = (FlowSstSpec){.id = ID,
							 .store_id = STORE,
							 .level = 2,
							 .origin = FLOW_SST_MERGED,
							 .block_bytes = 1000,
							 .bloom_bits_per_key = 10,
							 .compression = FLOW_COMPRESS_LZ4,
							 .zstd_level = 1};
}

static inline void
ssts_begin(const char *name, size_t region_bytes)
{
	snprintf(dir, sizeof(dir), "/tmp/%s.XXXXXX", name);
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/00000007.sst", dir);
	CHECK_OK(flow_env_posix_create(region_bytes, &env));
	ssts_usual_spec();
}

static inline void
ssts_end(void)
{
	flow_env_posix_free(env);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

/* Range tombstones, as a file gives them: newest first. */
typedef struct Tombs
{
	FlowTomb *tomb;
	uint32_t n;
} Tombs;

/* Some of them, with keys like those of rows; freed by ssts_free_tombs. */
static inline void
ssts_make_tombs(Tombs *tombs, CheckRandom *r, uint32_t n)
{
	tombs->n = n;
	tombs->tomb = rows_alloc(n * sizeof(FlowTomb));
	for (uint32_t i = 0; i < n; i++)
	{
		FlowTomb *t = &tombs->tomb[i];
		FlowRect *rect = &t->rect;

		memset(t, 0, sizeof(*t));
		/* each has a sequence of its own, so that the order is certain */
		t->seq = (uint64_t) (n - i) * 1000 + check_below(r, 1000);
		rect->key_lo_bytes = (uint32_t) check_below(r, 20);
		rect->key_lo = rows_bytes(r, rect->key_lo_bytes);
		rect->ts_lo =
			check_below(r, 4) ? (int64_t) check_below(r, 1000000) : INT64_MIN;
		rect->ts_hi =
			check_below(r, 4) ? (int64_t) check_below(r, 1000000) : INT64_MAX;
		if (check_below(r, 3) == 0)
			continue;
		rect->key_hi_bytes = (uint32_t) check_below(r, 20);
		rect->key_hi = rows_bytes(r, rect->key_hi_bytes);
	}
}

static inline void
ssts_free_tombs(Tombs *tombs)
{
	for (uint32_t i = 0; i < tombs->n; i++)
	{
		free((void *) tombs->tomb[i].rect.key_lo);
		free((void *) tombs->tomb[i].rect.key_hi);
	}
	free(tombs->tomb);
}

/* Write rows and tombs (NULL: none; a number of them that 7 does not divide),
 * these in another order than sorted.
 * *infop's pointers are gone with the writer. */
static inline FlowStatus
ssts_write(const Rows *rows, const Tombs *tombs, FlowSstInfo *infop)
{
	FlowSstWriter *w = NULL;
	FlowSstInfo info;
	uint32_t ntombs = tombs ? tombs->n : 0;
	uint32_t done = 0;
	FlowStatus st;

	flowi_cache_forget(env, SPACE, ID); /* by its content of before */
	FLOW_GOTO(flowi_sst_create(env, path, &sst_spec, &w));
	for (uint32_t i = 0; i < rows->n; i++)
	{
		FLOW_GOTO(flowi_sst_add(w, &rows->rec[i]));
		if (done < ntombs && i % 3 == 0)
		{
			FLOW_GOTO(flowi_sst_add_tomb(w, &tombs->tomb[done * 7 % ntombs]));
			done++;
		}
	}
	for (; done < ntombs; done++)
		FLOW_GOTO(flowi_sst_add_tomb(w, &tombs->tomb[done * 7 % ntombs]));
	FLOW_GOTO(flowi_sst_finish(w, &info));
	CHECK(info.records == rows->n && info.ntxns == 0);
	if (infop)
	{
		*infop = info;
		infop->key_min = infop->key_max = NULL;
		infop->cover.key_lo = infop->cover.key_hi = NULL;
	}
out:
	flowi_sst_writer_free(w);
	return st;
}

static inline FlowStatus
ssts_open(FlowSstReader **rp)
{
	return flowi_sst_open(env, path, SPACE, ID, STORE, rp);
}

/* Options of an iterator over everything. */
static inline FlowSstIterOptions
ssts_all(bool reverse)
{
	return (FlowSstIterOptions){
		.reverse = reverse, .ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
}

static inline void
ssts_check_rec(FlowIter *it, const FlowRec *want)
{
	CHECK_OK(flowi_iter_value(it));
	rows_check_rec(&it->cur, want);
}

/* Let the rows that are made be rows of columns, and the files of blocks of
 * columns, as far as they can. */
static inline void
ssts_use_columns(RowsSpec *rows, CheckRandom *r)
{
	static FlowColumn columns[ROWS_MAX_COLUMNS];
	static FlowShape shape;

	rows_make_shape(&shape, columns, r);
	rows->shape = &shape;
	rows->narrow_percent = 30 * (uint32_t) check_below(r, 3);
	rows->odd_percent = check_below(r, 3) ? 0 : 1;
	sst_spec.shape = &shape;
}

static inline void
ssts_check_unpinned(void)
{
	FlowCacheStats stats;

	flowi_cache_stats(env, &stats);
	CHECK(stats.pinned == 0);
}

/* n rows of one key, evenly spaced; the caller frees with rows_free. */
static inline void
ssts_make_series(Rows *rows, uint32_t n, uint32_t value_bytes)
{
	rows->n = n;
	rows->rec = rows_alloc(n * sizeof(FlowRec));
	for (uint32_t i = 0; i < n; i++)
	{
		uint8_t *value = rows_alloc(value_bytes);

		for (uint32_t k = 0; k < value_bytes; k++)
			value[k] = (uint8_t) ((i + 1) * (k ^ (k >> 8)) >> 3);
		rows->rec[i] = (FlowRec){.key = rows_alloc(4),
								 .key_bytes = 4,
								 .value = value,
								 .value_bytes = value_bytes,
								 .ts = 10 * (int64_t) i,
								 .expire_at = FLOW_NEVER,
								 .seq = 1000 + i};
		memcpy((uint8_t *) rows->rec[i].key, "host", 4);
	}
	rows_set_order(rows);
}

static inline void
ssts_same_rect(const FlowRect *a, const FlowRect *b)
{
	CHECK(a->ts_lo == b->ts_lo && a->ts_hi == b->ts_hi);
	CHECK(flowi_key_cmp(a->key_lo, a->key_lo_bytes, b->key_lo,
						b->key_lo_bytes) == 0);
	CHECK((a->key_hi == NULL) == (b->key_hi == NULL));
	CHECK(a->key_hi == NULL || flowi_key_cmp(a->key_hi, a->key_hi_bytes,
											 b->key_hi, b->key_hi_bytes) == 0);
}

/* Ask the filters for each key, and for one right behind it. */
static inline FlowStatus
ssts_ask_filters(FlowSstReader *r, const Rows *rows)
{
	FlowSstIterOptions o = ssts_all(false);
	uint8_t behind[256];
	bool may;

	for (uint32_t i = 0; i < rows->n; i++)
	{
		const FlowRec *rec = &rows->rec[i];

		FLOW_TRY(flowi_sst_may_contain(r, rec->key, rec->key_bytes, &o, &may));
		CHECK(may);
		CHECK(rec->key_bytes < sizeof(behind));
		memcpy(behind, rec->key, rec->key_bytes);
		behind[rec->key_bytes] = 0;
		FLOW_TRY(
			flowi_sst_may_contain(r, behind, rec->key_bytes + 1, &o, &may));
	}
	return FLOW_OK;
}

/* Read all there is of a file, both ways; what comes has to be rows and
 * tombs. */
static inline FlowStatus
ssts_read_through(const Rows *rows, const Tombs *tombs)
{
	FlowSeek to = {.unbounded = true};
	FlowSstReader *r;
	FlowStatus st = FLOW_OK;
	const FlowTomb *tomb;
	uint32_t n;

	FLOW_TRY(ssts_open(&r));
	tomb = flowi_sst_tombs(r, &n);
	CHECK(n == (tombs ? tombs->n : 0));
	for (uint32_t i = 0; i < n; i++)
	{
		CHECK(tomb[i].seq == tombs->tomb[i].seq && tomb[i].txn == NULL);
		ssts_same_rect(&tomb[i].rect, &tombs->tomb[i].rect);
	}
	for (int reverse = 0; reverse < 2 && st == FLOW_OK; reverse++)
	{
		FlowSstIterOptions o = ssts_all(reverse);
		FlowIter *it;
		uint32_t i = 0;

		st = flowi_sst_iter(r, &o, &it);
		if (st != FLOW_OK)
			break;
		for (st = it->seek(it, &to); st == FLOW_OK; st = it->next(it))
		{
			CHECK(i < rows->n);
			st = flowi_iter_value(it);
			if (st != FLOW_OK)
				break;
			rows_check_rec(&it->cur, &rows->rec[rows->order[reverse][i++]]);
		}
		it->free(it);
		CHECK(st != FLOW_END || i == rows->n);
		if (st == FLOW_END)
			st = FLOW_OK;
	}
	if (st == FLOW_OK)
		st = ssts_ask_filters(r, rows);
	flowi_sst_close(r);
	return st;
}

#endif /* FLOW_TEST_SSTS_H */
